/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of guest-physical space: known machines, refusals, and the invariants that every plan
 * keeps whatever ranges the host reserves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>

#include "vmm/layout.h"
#include "vmm/platform.h"

#define NO_LIMIT UINT64_MAX

static const struct layout_range msi_window = { 0xfee00000, 0x100000 };
static const struct layout_range ht_range = { 0xfd00000000, 0x300000000 };

static bool on_range(uint64_t base, uint64_t size, const struct layout_range *range)
{
	return range_overlaps(base, size, range->base, range->size);
}

static void assert_free(const struct layout_request *request, uint64_t base, uint64_t size)
{
	for (unsigned int i = 0; i < request->n_reserved; i++)
		assert_false(on_range(base, size, &request->reserved[i]));
}

static void assert_ram_invariants(const struct layout_request *request, const struct layout *layout)
{
	uint64_t total = 0, last_end = 0;

	assert_true(layout->n_ram >= 1 && layout->n_ram <= LAYOUT_MAX_RAM);
	assert_int_equal(layout->ram[0].gpa, 0);
	assert_true(layout->ram[0].size >= 0x100000);
	for (unsigned int i = 0; i < layout->n_ram; i++) {
		const struct layout_ram *ram = &layout->ram[i];
		uint64_t end = ram->gpa + ram->size;

		assert_true(ram->size > 0 && end > ram->gpa);
		assert_int_equal(ram->offset, total);
		assert_true(is_aligned(ram->gpa | ram->offset, layout->ram_align));
		assert_true(ram->gpa >= last_end);
		assert_true(end <= LOW_RAM_END || ram->gpa >= 4 * GIB);
		assert_true(end - 1 <= BIT_U64(request->phys_bits) - 1);
		assert_true(end - 1 <= request->aperture_last);
		assert_false(on_range(ram->gpa, ram->size, &ht_range));
		assert_free(request, ram->gpa, ram->size);
		total += ram->size;
		last_end = end;
	}
	assert_int_equal(total, request->ram_size);
}

static void assert_window_invariants(const struct layout_request *request,
				     const struct layout *layout)
{
	const struct layout_ram *top = &layout->ram[layout->n_ram - 1];
	const struct layout_range *mmio32 = &layout->mmio32, *mmio64 = &layout->mmio64;

	assert_true(mmio32->size >= LAYOUT_MMIO32_MIN);
	assert_true(
		range_inside(mmio32->base, mmio32->size, MMIO32_BASE, MMIO32_END - MMIO32_BASE));
	assert_true(is_aligned(mmio32->base | mmio32->size, MIB));
	assert_free(request, mmio32->base, mmio32->size);

	assert_true(is_pow2(mmio64->size));
	if (request->mem64_size)
		assert_int_equal(mmio64->size, request->mem64_size);
	else
		assert_true(mmio64->size >= LAYOUT_MMIO64_MIN && mmio64->size <= LAYOUT_MMIO64_MAX);
	assert_true(is_aligned(mmio64->base, mmio64->size));
	assert_true(mmio64->base >= 4 * GIB && mmio64->base >= top->gpa + top->size);
	assert_true(mmio64->base + (mmio64->size - 1) <= BIT_U64(request->phys_bits) - 1);
	assert_true(mmio64->base + (mmio64->size - 1) <= request->aperture_last);
	assert_false(on_range(mmio64->base, mmio64->size, &ht_range));
	assert_free(request, mmio64->base, mmio64->size);

	assert_int_equal(layout->ecam.base, ECAM_BASE);
	assert_int_equal(layout->io.base, IO_WINDOW_BASE);
}

static void assert_hot_invariants(const struct layout_request *request, const struct layout *layout)
{
	const struct layout_ram *top = &layout->ram[layout->n_ram - 1];
	const struct layout_range *hot = &layout->hot;

	assert_int_equal(hot->size, request->hot_size);
	if (!hot->size)
		return;
	assert_true(is_aligned(hot->base, request->hot_align) && is_aligned(hot->base, 128 * MIB));
	assert_true(hot->base >= 4 * GIB && hot->base >= top->gpa + top->size);
	assert_true(hot->base + hot->size <= layout->mmio64.base);
	assert_false(on_range(hot->base, hot->size, &ht_range));
	assert_free(request, hot->base, hot->size);
}

static struct layout plan(const struct layout_request *request)
{
	struct layout layout;
	struct err err = { 0 };

	if (layout_plan(&layout, request, &err))
		fail_msg("refused: %s", err.text);
	assert_ram_invariants(request, &layout);
	assert_window_invariants(request, &layout);
	assert_hot_invariants(request, &layout);
	return layout;
}

static void refused(const struct layout_request *request, int code, const char *word)
{
	struct layout layout;
	struct err err = { 0 };

	assert_int_equal(layout_plan(&layout, request, &err), -code);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" does not say \"%s\"", err.text, word);
}

static void small_machine_is_one_piece(void **state)
{
	struct layout layout = plan(&(struct layout_request){
		.ram_size = MIB, .phys_bits = 40, .aperture_last = NO_LIMIT });

	assert_int_equal(layout.n_ram, 1);
	assert_int_equal(layout.mmio32.base, MMIO32_BASE);
	assert_int_equal(layout.mmio32.size, MMIO32_END - MMIO32_BASE);
	/* Half of 1 TiB would lie on the HyperTransport range. */
	assert_int_equal(layout.mmio64.size, 256 * GIB);
}

static void ram_goes_on_above_4gib(void **state)
{
	struct layout_request request = { .ram_size = 3 * GIB,
					  .phys_bits = 46,
					  .aperture_last = NO_LIMIT };
	struct layout layout = plan(&request);

	assert_int_equal(layout.n_ram, 1);

	request.ram_size = 3 * GIB + 4096;
	layout = plan(&request);
	assert_int_equal(layout.n_ram, 2);
	assert_int_equal(layout.ram[1].gpa, 4 * GIB);
	assert_int_equal(layout.ram[1].size, 4096);
	assert_int_equal(layout.ram_align, GIB);
	assert_int_equal(layout.mmio64.base, 4 * TIB);
	assert_int_equal(layout.mmio64.size, LAYOUT_MMIO64_MAX);
}

static void terabytes_step_around_hypertransport(void **state)
{
	struct layout layout = plan(&(struct layout_request){ .ram_size = 16 * TIB,
							      .phys_bits = 46,
							      .aperture_last = NO_LIMIT,
							      .reserved = &msi_window,
							      .n_reserved = 1 });

	assert_int_equal(layout.n_ram, 3);
	assert_int_equal(layout.ram[1].size, ht_range.base - 4 * GIB);
	assert_int_equal(layout.ram[2].gpa, TIB);
	assert_int_equal(layout.ram_align, GIB);
}

static void gigabyte_borders_are_kept_around_a_small_range(void **state)
{
	const struct layout_range reserved[] = { { 5 * GIB + 4096, 8192 },
						 { 2 * GIB + 512 * MIB, 4096 } };
	struct layout layout = plan(&(struct layout_request){ .ram_size = 8 * GIB,
							      .phys_bits = 40,
							      .aperture_last = NO_LIMIT,
							      .reserved = reserved,
							      .n_reserved = 2 });

	assert_int_equal(layout.ram_align, GIB);
	assert_int_equal(layout.n_ram, 3);
	assert_int_equal(layout.ram[0].size, 2 * GIB);
	assert_int_equal(layout.ram[1].size, GIB);
	assert_int_equal(layout.ram[2].gpa, 6 * GIB);
}

static void two_megabyte_borders_in_a_small_machine(void **state)
{
	const struct layout_range reserved = { 64 * MIB + 4096, 4096 };
	struct layout layout = plan(&(struct layout_request){ .ram_size = 128 * MIB,
							      .phys_bits = 40,
							      .aperture_last = NO_LIMIT,
							      .reserved = &reserved,
							      .n_reserved = 1 });

	assert_int_equal(layout.ram_align, 2 * MIB);
	assert_int_equal(layout.n_ram, 2);
	assert_int_equal(layout.ram[0].size, 64 * MIB);
	assert_int_equal(layout.ram[1].gpa, 66 * MIB);
}

static void page_borders_where_nothing_else_works(void **state)
{
	const struct layout_range reserved = { MIB + 4096, 4096 };
	struct layout layout = plan(&(struct layout_request){ .ram_size = 8 * MIB,
							      .phys_bits = 40,
							      .aperture_last = NO_LIMIT,
							      .reserved = &reserved,
							      .n_reserved = 1 });

	assert_int_equal(layout.ram_align, 4 * KIB);
	assert_int_equal(layout.ram[0].size, MIB + 4096);
	assert_int_equal(layout.ram[1].gpa, MIB + 8192);
}

static void the_32_bit_window_is_trimmed_to_its_largest_part(void **state)
{
	const struct layout_range reserved = { 0xd0000800, 0x1000 };
	struct layout layout = plan(&(struct layout_request){ .ram_size = GIB,
							      .phys_bits = 40,
							      .aperture_last = NO_LIMIT,
							      .reserved = &reserved,
							      .n_reserved = 1 });

	assert_int_equal(layout.mmio32.base, MMIO32_BASE);
	assert_int_equal(layout.mmio32.size, 0x10000000);
}

static void a_range_that_ends_at_2_to_the_64_is_taken(void **state)
{
	const struct layout_range reserved = { BIT_U64(47), -BIT_U64(47) };
	struct layout layout = plan(&(struct layout_request){ .ram_size = GIB,
							      .phys_bits = 52,
							      .aperture_last = NO_LIMIT,
							      .reserved = &reserved,
							      .n_reserved = 1 });

	assert_true(layout.mmio64.base + layout.mmio64.size <= BIT_U64(47));
}

static void the_aperture_limits_the_64_bit_window(void **state)
{
	struct layout layout = plan(&(struct layout_request){
		.ram_size = GIB, .phys_bits = 46, .aperture_last = BIT_U64(39) - 1 });

	assert_int_equal(layout.mmio64.base, 256 * GIB);
	assert_int_equal(layout.mmio64.size, 256 * GIB);
}

static void memory_to_be_plugged_is_one_piece_above_ram(void **state)
{
	const struct layout_range range = { .base = 5 * GIB, .size = 4096 };
	struct layout_request request = { .ram_size = 256 * MIB,
					  .phys_bits = 40,
					  .aperture_last = NO_LIMIT,
					  .hot_size = 2 * GIB,
					  .hot_align = 4 * MIB };
	struct layout layout = plan(&request);

	assert_int_equal(layout.hot.base, 4 * GIB);
	request.reserved = &range;
	request.n_reserved = 1;
	layout = plan(&request);
	assert_int_equal(layout.hot.base, 6 * GIB);
	/* Where a gigabyte's border leaves no room, 128 MiB do. */
	request.hot_size = 768 * MIB;
	request.aperture_last = 6 * GIB + 512 * MIB - 1;
	request.mem64_size = 128 * MIB;
	layout = plan(&request);
	assert_int_equal(layout.hot.base, 4 * GIB);
	request.ram_size = 3 * GIB + 512 * MIB;
	layout = plan(&request);
	assert_int_equal(layout.hot.base, 5 * GIB + 128 * MIB);
	request.hot_size = 2 * GIB;
	refused(&request, ENOSPC, "to be plugged do not fit");
}

static void requests_outside_their_limits_are_refused(void **state)
{
	const struct layout_range wrapping = { 0xfffffffffffff000, 0x2000 };

	refused(&(struct layout_request){ .ram_size = MIB - 4096,
					  .phys_bits = 40,
					  .aperture_last = NO_LIMIT },
		EINVAL, "1044480");
	refused(&(struct layout_request){ .ram_size = 16 * TIB + 4096,
					  .phys_bits = 52,
					  .aperture_last = NO_LIMIT },
		EINVAL, "17592186048512");
	refused(&(struct layout_request){ .ram_size = GIB + 1,
					  .phys_bits = 40,
					  .aperture_last = NO_LIMIT },
		EINVAL, "multiple of 4096");
	refused(&(struct layout_request){ .ram_size = GIB,
					  .phys_bits = 35,
					  .aperture_last = NO_LIMIT },
		EINVAL, "35");
	refused(&(struct layout_request){ .ram_size = GIB,
					  .phys_bits = 53,
					  .aperture_last = NO_LIMIT },
		EINVAL, "53");
	refused(&(struct layout_request){ .ram_size = GIB,
					  .phys_bits = 40,
					  .aperture_last = NO_LIMIT,
					  .mem64_size = 3 * GIB },
		EINVAL, "power of two");
	refused(&(struct layout_request){ .ram_size = GIB,
					  .phys_bits = 40,
					  .aperture_last = NO_LIMIT,
					  .reserved = &wrapping,
					  .n_reserved = 1 },
		EINVAL, "0xfffffffffffff000");
}

static void what_does_not_fit_is_refused_with_the_limit(void **state)
{
	const struct layout_range first_mib = { 0xa0000, 0x20000 };
	const struct layout_range window = { MMIO32_BASE, MMIO32_END - MMIO32_BASE };

	refused(&(struct layout_request){ .ram_size = 64 * GIB,
					  .phys_bits = 36,
					  .aperture_last = NO_LIMIT },
		ENOSPC, "67645734912"); /* 64 GiB less the hole is what fits */
	refused(&(struct layout_request){ .ram_size = 63 * GIB,
					  .phys_bits = 36,
					  .aperture_last = NO_LIMIT },
		ENOSPC, "64-bit PCI window");
	refused(&(struct layout_request){ .ram_size = GIB,
					  .phys_bits = 40,
					  .aperture_last = NO_LIMIT,
					  .mem64_size = TIB },
		ENOSPC, "1099511627776");
	refused(&(struct layout_request){ .ram_size = 4 * GIB,
					  .phys_bits = 40,
					  .aperture_last = 0xffffffff },
		ENOSPC, "aperture");
	refused(&(struct layout_request){ .ram_size = GIB, .phys_bits = 40, .aperture_last = 0 },
		ENOSPC, "aperture");
	refused(&(struct layout_request){ .ram_size = GIB,
					  .phys_bits = 40,
					  .aperture_last = NO_LIMIT,
					  .reserved = &first_mib,
					  .n_reserved = 1 },
		ENOSPC, "0xa0000-0xbffff");
	refused(&(struct layout_request){ .ram_size = GIB,
					  .phys_bits = 40,
					  .aperture_last = NO_LIMIT,
					  .reserved = &window,
					  .n_reserved = 1 },
		ENOSPC, "32-bit PCI window");
}

static void too_many_pieces_are_refused(void **state)
{
	struct layout_range reserved[64];

	for (unsigned int i = 0; i < ARRAY_SIZE(reserved); i++)
		reserved[i] = (struct layout_range){ (i + 1ULL) * 4 * MIB, 4096 };
	refused(&(struct layout_request){ .ram_size = 2 * GIB + 512 * MIB,
					  .phys_bits = 36,
					  .aperture_last = NO_LIMIT,
					  .reserved = reserved,
					  .n_reserved = ARRAY_SIZE(reserved) },
		ENOSPC, "32 pieces");
}

static uint64_t draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* Sizes and addresses of every magnitude, often near round numbers. */
static uint64_t draw_scaled(uint64_t *seed, unsigned int bits)
{
	uint64_t value = draw(seed) >> (64 - bits + draw(seed) % bits);

	if (draw(seed) % 2)
		value = align_down(value, BIT_U64(draw(seed) % bits));
	return value;
}

static void every_plan_keeps_the_invariants(void **state)
{
	uint64_t seed = 2021;
	unsigned int planned = 0;

	for (unsigned int run = 0; run < 20000; run++) {
		const uint64_t ram_size = MIB + align_down(draw_scaled(&seed, 43), 4096);
		struct layout_range reserved[24];
		struct layout_request request = {
			.ram_size = ram_size,
			.phys_bits = 36 + draw(&seed) % 17,
			.aperture_last = draw(&seed) % 2 ? NO_LIMIT : draw_scaled(&seed, 64),
			.reserved = reserved,
			.n_reserved = draw(&seed) % ARRAY_SIZE(reserved),
			.mem64_size = draw(&seed) % 4 ? 0 : BIT_U64(20 + draw(&seed) % 25),
			.hot_align = BIT_U64(21 + draw(&seed) % 15),
		};
		struct layout layout;
		struct err err = { 0 };

		for (unsigned int i = 0; i < request.n_reserved; i++) {
			reserved[i].base = draw_scaled(&seed, 52) | MIB;
			reserved[i].size = draw_scaled(&seed, 36);
		}
		if (draw(&seed) % 2)
			request.hot_size = request.hot_align * (1 + draw(&seed) % 512);
		if (layout_plan(&layout, &request, &err)) {
			assert_true(err.code == ENOSPC && strlen(err.text) > 20);
			continue;
		}
		planned++;
		assert_ram_invariants(&request, &layout);
		assert_window_invariants(&request, &layout);
		assert_hot_invariants(&request, &layout);
	}
	assert_true(planned > 5000); /* else this test looks at nothing */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_machine_is_one_piece),
		cmocka_unit_test(ram_goes_on_above_4gib),
		cmocka_unit_test(terabytes_step_around_hypertransport),
		cmocka_unit_test(gigabyte_borders_are_kept_around_a_small_range),
		cmocka_unit_test(two_megabyte_borders_in_a_small_machine),
		cmocka_unit_test(page_borders_where_nothing_else_works),
		cmocka_unit_test(the_32_bit_window_is_trimmed_to_its_largest_part),
		cmocka_unit_test(a_range_that_ends_at_2_to_the_64_is_taken),
		cmocka_unit_test(the_aperture_limits_the_64_bit_window),
		cmocka_unit_test(memory_to_be_plugged_is_one_piece_above_ram),
		cmocka_unit_test(requests_outside_their_limits_are_refused),
		cmocka_unit_test(what_does_not_fit_is_refused_with_the_limit),
		cmocka_unit_test(too_many_pieces_are_refused),
		cmocka_unit_test(every_plan_keeps_the_invariants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
