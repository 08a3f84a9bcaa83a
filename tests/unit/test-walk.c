/* SPDX-License-Identifier: Apache-2.0 */
/* The walk of the guest's page tables (kvm-glue/walk.h), one check at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "kvm-glue/walk.h"
#include "util/bits.h"

#define P   BIT_U64(0)
#define W   BIT_U64(1)
#define U   BIT_U64(2)
#define A   BIT_U64(5)
#define D   BIT_U64(6)
#define PS  BIT_U64(7)
#define NX  BIT_U64(63)
#define ALL (P | W | U)

#define TABLES	 0x100000ULL /* where the tables lie: the highest level first, one page each */
#define LINEAR	 0x0000123456789abcULL
#define LINEAR57 0x00aa123456789abcULL
#define PAGE_GPA 0x7654321000ULL
#define MAXPHY	 40u

struct world {
	struct walk_mode mode;
	struct walk_memory memory;
	uint64_t linear;
	uint64_t page[WALK_LEVELS][512];
	unsigned int levels;

	unsigned int reads, swaps, races; /* races: how many swaps are still to be lost */
	bool readonly;
};

static int world_read(void *arg, uint64_t gpa, uint64_t *entry)
{
	struct world *w = arg;

	w->reads++;
	assert_int_equal(gpa % 8, 0);
	if (gpa < TABLES || gpa >= TABLES + sizeof(w->page))
		return -EFAULT;
	*entry = w->page[(gpa - TABLES) / 4096][gpa % 4096 / 8];
	return 0;
}

static int world_swap(void *arg, uint64_t gpa, uint64_t old, uint64_t new)
{
	struct world *w = arg;
	uint64_t *entry = &w->page[(gpa - TABLES) / 4096][gpa % 4096 / 8];

	w->swaps++;
	if (w->readonly)
		return -EFAULT;
	if (w->races) {
		w->races--;
		return -EAGAIN;
	}
	assert_int_equal(*entry, old);
	*entry = new;
	return 0;
}

/* The entry of a level, 1 the lowest, on the way to the linear address. */
static uint64_t *entry_of(struct world *w, unsigned int level)
{
	return &w->page[w->levels - level][w->linear >> (12 + 9 * (level - 1)) & 511];
}

static void world_init(struct world *w, unsigned int levels)
{
	*w = (struct world){
		.mode = {
			.cr0 = X86_CR0_PE | X86_CR0_WP | X86_CR0_PG,
			.cr3 = TABLES | 0xfff, /* a PCID does not count */
			.cr4 = X86_CR4_PAE | (levels == 5 ? X86_CR4_LA57 : 0),
			.efer = X86_EFER_LMA | X86_EFER_NXE,
			.cpl = 3,
			.maxphyaddr = MAXPHY,
		},
		.memory = { .read = world_read, .swap = world_swap, .arg = w },
		.linear = levels == 5 ? LINEAR57 : LINEAR,
		.levels = levels,
	};
	for (unsigned int level = levels; level > 1; level--)
		*entry_of(w, level) = (TABLES + 4096 * (levels - level + 1)) | ALL | A;
	*entry_of(w, 1) = PAGE_GPA | ALL | A | D;
}

struct outcome {
	int ret;
	uint64_t gpa;
	struct guest_fault fault;
};

static struct outcome run(struct world *w, unsigned int access)
{
	struct outcome o = { 0 };

	w->reads = 0;
	o.ret = walk(&w->mode, &w->memory, w->linear, access, &o.gpa, &o.fault);
	return o;
}

static void assert_reaches(struct world *w, unsigned int access, uint64_t gpa)
{
	struct outcome o = run(w, access);

	assert_int_equal(o.ret, 0);
	assert_int_equal(o.gpa, gpa);
}

static void assert_allowed(struct world *w, unsigned int access)
{
	assert_reaches(w, access, PAGE_GPA | (LINEAR & 0xfff));
}

static void assert_faults(struct world *w, unsigned int access, uint32_t code)
{
	struct outcome o = run(w, access);

	assert_int_equal(o.ret, -EFAULT);
	assert_int_equal(o.fault.vector, VECTOR_PF);
	assert_true(o.fault.has_error_code);
	assert_int_equal(o.fault.error_code, code);
	assert_int_equal(o.fault.cr2, w->linear);
}

static void four_levels_reach_a_small_page(void **state)
{
	struct world w;

	world_init(&w, 4);
	assert_allowed(&w, 0);
	assert_int_equal(w.reads, 4);
}

static void five_levels_reach_a_small_page(void **state)
{
	struct world w;

	world_init(&w, 5);
	assert_allowed(&w, WALK_WRITE);
	assert_int_equal(w.reads, 5);
}

static void upper_half_is_walked_too(void **state)
{
	struct world w;

	world_init(&w, 4);
	w.linear = 0xffffffffffffffff;
	w.page[0][511] = (TABLES + 4096) | ALL | A;
	w.page[1][511] = (TABLES + 8192) | ALL | A;
	w.page[2][511] = (TABLES + 12288) | ALL | A;
	w.page[3][511] = PAGE_GPA | ALL | A;
	assert_reaches(&w, 0, PAGE_GPA | 0xfff);
}

static void large_pages_keep_more_of_the_offset(void **state)
{
	struct world w;

	world_init(&w, 4);
	*entry_of(&w, 2) = 0x7654200000 | ALL | PS | A | BIT_U64(12); /* PAT */
	assert_reaches(&w, 0, 0x7654200000 | (LINEAR & 0x1fffff));
	*entry_of(&w, 3) = 0x7640000000 | ALL | PS | A | BIT_U64(12);
	assert_reaches(&w, 0, 0x7640000000 | (LINEAR & 0x3fffffff));
	assert_int_equal(w.reads, 2);
}

static void without_paging_addresses_are_physical(void **state)
{
	struct world w;

	world_init(&w, 4);
	w.mode.cr0 = X86_CR0_PE;
	w.mode.efer = 0;
	w.linear = 0xfee00123;
	assert_reaches(&w, WALK_WRITE, 0xfee00123);
	assert_int_equal(w.reads, 0);
}

static void other_paging_modes_are_refused(void **state)
{
	struct world w;

	world_init(&w, 4);
	w.mode.efer = 0;
	assert_int_equal(run(&w, 0).ret, -ENOTSUP); /* PAE */
	w.mode.cr4 = 0;
	assert_int_equal(run(&w, 0).ret, -ENOTSUP); /* 32-bit */
	assert_int_equal(w.reads, 0);
}

static void senseless_arguments_are_refused(void **state)
{
	struct world w;

	world_init(&w, 4);
	w.linear = 0x800000000000;
	assert_int_equal(run(&w, 0).ret, -EINVAL);
	world_init(&w, 5);
	w.linear = 0x100000000000000;
	assert_int_equal(run(&w, 0).ret, -EINVAL);
	world_init(&w, 4);
	w.mode.maxphyaddr = 53;
	assert_int_equal(run(&w, 0).ret, -EINVAL);
	w.mode.maxphyaddr = 0;
	assert_int_equal(run(&w, 0).ret, -EINVAL);
}

static void absent_at_every_level_is_a_fault_without_p(void **state)
{
	for (unsigned int levels = 4; levels <= 5; levels++) {
		for (unsigned int level = 1; level <= levels; level++) {
			struct world w;

			world_init(&w, levels);
			*entry_of(&w, level) &= ~P;
			assert_faults(&w, 0, PFEC_USER);
			assert_faults(&w, WALK_WRITE, PFEC_USER | PFEC_WRITE);
			w.mode.cpl = 0;
			assert_faults(&w, WALK_WRITE, PFEC_WRITE);
			assert_faults(&w, WALK_FETCH, PFEC_FETCH);
		}
	}
}

static void reserved_address_bits_fault_at_every_level(void **state)
{
	for (unsigned int levels = 4; levels <= 5; levels++) {
		for (unsigned int level = 1; level <= levels; level++) {
			struct world w;

			for (unsigned int bit = MAXPHY; bit <= 51; bit++) {
				world_init(&w, levels);
				*entry_of(&w, level) |= BIT_U64(bit);
				assert_faults(&w, 0, PFEC_PRESENT | PFEC_RESERVED | PFEC_USER);
			}
			world_init(&w, levels);
			*entry_of(&w, level) |= 0x7ffULL << 52; /* ignored, or a key */
			assert_allowed(&w, 0);
		}
	}
}

static void nx_is_reserved_where_it_is_off(void **state)
{
	for (unsigned int level = 1; level <= 4; level++) {
		struct world w;

		world_init(&w, 4);
		*entry_of(&w, level) |= NX;
		assert_allowed(&w, 0);
		w.mode.efer &= ~X86_EFER_NXE;
		assert_faults(&w, 0, PFEC_PRESENT | PFEC_RESERVED | PFEC_USER);
		w.mode.cpl = 0;
		assert_faults(&w, WALK_WRITE, PFEC_PRESENT | PFEC_RESERVED | PFEC_WRITE);
	}
}

static void page_size_is_reserved_at_the_top(void **state)
{
	struct world w;

	world_init(&w, 5);
	*entry_of(&w, 5) |= PS;
	assert_faults(&w, 0, PFEC_PRESENT | PFEC_RESERVED | PFEC_USER);
	world_init(&w, 5);
	*entry_of(&w, 4) |= PS;
	assert_faults(&w, 0, PFEC_PRESENT | PFEC_RESERVED | PFEC_USER);
	world_init(&w, 4);
	*entry_of(&w, 1) |= PS; /* PAT there */
	assert_allowed(&w, 0);
}

static void large_pages_have_reserved_low_address_bits(void **state)
{
	for (unsigned int level = 2; level <= 3; level++) {
		for (unsigned int bit = 13; bit < 12 + 9 * (level - 1); bit++) {
			struct world w;

			world_init(&w, 4);
			*entry_of(&w, level) = ALL | PS | A | BIT_U64(bit);
			assert_faults(&w, 0, PFEC_PRESENT | PFEC_RESERVED | PFEC_USER);
		}
	}
}

static void user_needs_u_at_every_level(void **state)
{
	for (unsigned int level = 1; level <= 4; level++) {
		struct world w;

		world_init(&w, 4);
		*entry_of(&w, level) &= ~U;
		assert_faults(&w, 0, PFEC_PRESENT | PFEC_USER);
		assert_faults(&w, WALK_WRITE, PFEC_PRESENT | PFEC_USER | PFEC_WRITE);
		assert_allowed(&w, WALK_IMPLICIT);
		for (w.mode.cpl = 0; w.mode.cpl < 3; w.mode.cpl++)
			assert_allowed(&w, WALK_WRITE);
	}
}

static void write_needs_w_at_every_level(void **state)
{
	for (unsigned int level = 1; level <= 4; level++) {
		struct world w;

		world_init(&w, 4);
		*entry_of(&w, level) &= ~W;
		assert_allowed(&w, 0);
		assert_faults(&w, WALK_WRITE, PFEC_PRESENT | PFEC_USER | PFEC_WRITE);
		w.mode.cr0 &= ~(uint64_t)X86_CR0_WP;
		assert_faults(&w, WALK_WRITE, PFEC_PRESENT | PFEC_USER | PFEC_WRITE);
		w.mode.cpl = 0;
		assert_allowed(&w, WALK_WRITE);
		w.mode.cr0 |= X86_CR0_WP;
		assert_faults(&w, WALK_WRITE, PFEC_PRESENT | PFEC_WRITE);
	}
}

static void fetch_obeys_nx_and_smep(void **state)
{
	for (unsigned int level = 1; level <= 4; level++) {
		struct world w;

		world_init(&w, 4);
		assert_allowed(&w, WALK_FETCH);
		*entry_of(&w, level) |= NX;
		assert_faults(&w, WALK_FETCH, PFEC_PRESENT | PFEC_USER | PFEC_FETCH);
		*entry_of(&w, level) &= ~NX;

		w.mode.cpl = 0;
		assert_allowed(&w, WALK_FETCH);
		w.mode.cr4 |= X86_CR4_SMEP;
		assert_faults(&w, WALK_FETCH, PFEC_PRESENT | PFEC_FETCH);
		w.mode.efer &= ~X86_EFER_NXE;
		assert_faults(&w, WALK_FETCH, PFEC_PRESENT | PFEC_FETCH);
		*entry_of(&w, level) &= ~U;
		assert_allowed(&w, WALK_FETCH);
		w.mode.cr4 &= ~(uint64_t)X86_CR4_SMEP;
		*entry_of(&w, level) &= ~P;
		assert_faults(&w, WALK_FETCH, 0); /* no I/D bit without NX and SMEP */
	}
}

static void smap_guards_user_pages_unless_ac(void **state)
{
	struct world w;

	world_init(&w, 4);
	w.mode.cr4 |= X86_CR4_SMAP;
	assert_allowed(&w, WALK_WRITE); /* CPL 3 */
	w.mode.cpl = 0;
	assert_faults(&w, 0, PFEC_PRESENT);
	assert_faults(&w, WALK_WRITE, PFEC_PRESENT | PFEC_WRITE);
	assert_allowed(&w, WALK_FETCH);
	w.mode.rflags = X86_EFLAGS_AC;
	assert_allowed(&w, WALK_WRITE);
	assert_faults(&w, WALK_IMPLICIT, PFEC_PRESENT);
	w.mode.cpl = 3;
	assert_faults(&w, WALK_IMPLICIT, PFEC_PRESENT);
	w.mode.cpl = 0;
	w.mode.rflags = 0;
	*entry_of(&w, 2) &= ~U;
	assert_allowed(&w, WALK_WRITE);
}

static void keys_guard_user_pages(void **state)
{
	struct world w;

	world_init(&w, 4);
	*entry_of(&w, 1) |= 9ULL << 59;
	w.mode.pkru = 1u << 18; /* AD of key 9 */
	assert_allowed(&w, 0);
	w.mode.cr4 |= X86_CR4_PKE;
	assert_faults(&w, 0, PFEC_PRESENT | PFEC_USER | PFEC_KEY);
	assert_allowed(&w, WALK_FETCH);
	w.mode.cpl = 0;
	assert_faults(&w, 0, PFEC_PRESENT | PFEC_KEY);

	w.mode.pkru = 2u << 18; /* WD */
	assert_allowed(&w, 0);
	assert_faults(&w, WALK_WRITE, PFEC_PRESENT | PFEC_WRITE | PFEC_KEY);
	w.mode.cr0 &= ~(uint64_t)X86_CR0_WP;
	assert_allowed(&w, WALK_WRITE);
	w.mode.cpl = 3;
	assert_faults(&w, WALK_WRITE, PFEC_PRESENT | PFEC_USER | PFEC_WRITE | PFEC_KEY);

	w.mode.pkru = ~(3u << 18); /* every key but this one */
	assert_allowed(&w, WALK_WRITE);
}

static void keys_do_not_guard_supervisor_pages(void **state)
{
	struct world w;

	world_init(&w, 4);
	*entry_of(&w, 3) &= ~U;
	*entry_of(&w, 1) |= 9ULL << 59;
	w.mode.pkru = UINT32_MAX;
	w.mode.cr4 |= X86_CR4_PKE;
	assert_faults(&w, 0, PFEC_PRESENT | PFEC_USER);
	w.mode.cpl = 0;
	assert_allowed(&w, WALK_WRITE);
}

static void the_key_of_a_large_page_is_in_its_leaf(void **state)
{
	struct world w;

	world_init(&w, 4);
	*entry_of(&w, 2) = 0x7654200000 | ALL | PS | A | 15ULL << 59;
	w.mode.cr4 |= X86_CR4_PKE;
	w.mode.pkru = 1u << 30;
	assert_faults(&w, 0, PFEC_PRESENT | PFEC_USER | PFEC_KEY);
}

static void key_bit_is_told_beside_other_denials(void **state)
{
	struct world w;

	world_init(&w, 4);
	*entry_of(&w, 1) &= ~W;
	w.mode.cr4 |= X86_CR4_PKE;
	w.mode.pkru = 2;
	assert_faults(&w, WALK_WRITE, PFEC_PRESENT | PFEC_USER | PFEC_WRITE | PFEC_KEY);
}

static void accessed_and_dirty_are_set(void **state)
{
	struct world w;

	world_init(&w, 4);
	for (unsigned int level = 1; level <= 4; level++)
		*entry_of(&w, level) &= ~(A | D);
	assert_allowed(&w, 0);
	assert_int_equal(w.swaps, 4);
	for (unsigned int level = 1; level <= 4; level++)
		assert_int_equal(*entry_of(&w, level) & (A | D), A);
	assert_allowed(&w, WALK_WRITE);
	assert_int_equal(w.swaps, 5);
	assert_int_equal(*entry_of(&w, 1) & (A | D), A | D);
	assert_int_equal(*entry_of(&w, 2) & (A | D), A);
	assert_allowed(&w, WALK_WRITE);
	assert_int_equal(w.swaps, 5);
}

static void a_fault_leaves_the_tables_alone(void **state)
{
	struct world w;

	world_init(&w, 4);
	*entry_of(&w, 1) &= ~(U | D | A);
	assert_faults(&w, WALK_WRITE, PFEC_PRESENT | PFEC_USER | PFEC_WRITE);
	assert_int_equal(w.swaps, 0);
}

static void a_lost_race_walks_again_but_not_for_ever(void **state)
{
	struct world w;

	world_init(&w, 4);
	*entry_of(&w, 1) &= ~A;
	w.races = WALK_RETRIES - 1;
	assert_allowed(&w, 0);
	assert_int_equal(w.reads, 4 * WALK_RETRIES);

	*entry_of(&w, 1) &= ~A;
	w.races = UINT32_MAX;
	assert_int_equal(run(&w, 0).ret, -EAGAIN);
	assert_int_equal(w.reads, 4 * WALK_RETRIES);
}

static void tables_outside_memory_are_told(void **state)
{
	struct world w;

	world_init(&w, 4);
	*entry_of(&w, 3) = 0xfee00000 | ALL | A;
	assert_int_equal(run(&w, 0).ret, -ENXIO);
	world_init(&w, 4);
	w.mode.cr3 = 0;
	assert_int_equal(run(&w, 0).ret, -ENXIO);
	world_init(&w, 4);
	w.readonly = true;
	assert_allowed(&w, WALK_WRITE);
	*entry_of(&w, 2) &= ~A;
	assert_int_equal(run(&w, 0).ret, -ENXIO);
}

static void a_table_that_is_its_own_child_ends(void **state)
{
	struct world w;

	world_init(&w, 5);
	for (unsigned int i = 0; i < 512; i++)
		w.page[0][i] = TABLES | ALL | A;
	assert_reaches(&w, 0, TABLES | (LINEAR & 0xfff));
	assert_int_equal(w.reads, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_levels_reach_a_small_page),
		cmocka_unit_test(five_levels_reach_a_small_page),
		cmocka_unit_test(upper_half_is_walked_too),
		cmocka_unit_test(large_pages_keep_more_of_the_offset),
		cmocka_unit_test(without_paging_addresses_are_physical),
		cmocka_unit_test(other_paging_modes_are_refused),
		cmocka_unit_test(senseless_arguments_are_refused),
		cmocka_unit_test(absent_at_every_level_is_a_fault_without_p),
		cmocka_unit_test(reserved_address_bits_fault_at_every_level),
		cmocka_unit_test(nx_is_reserved_where_it_is_off),
		cmocka_unit_test(page_size_is_reserved_at_the_top),
		cmocka_unit_test(large_pages_have_reserved_low_address_bits),
		cmocka_unit_test(user_needs_u_at_every_level),
		cmocka_unit_test(write_needs_w_at_every_level),
		cmocka_unit_test(fetch_obeys_nx_and_smep),
		cmocka_unit_test(smap_guards_user_pages_unless_ac),
		cmocka_unit_test(keys_guard_user_pages),
		cmocka_unit_test(keys_do_not_guard_supervisor_pages),
		cmocka_unit_test(the_key_of_a_large_page_is_in_its_leaf),
		cmocka_unit_test(key_bit_is_told_beside_other_denials),
		cmocka_unit_test(accessed_and_dirty_are_set),
		cmocka_unit_test(a_fault_leaves_the_tables_alone),
		cmocka_unit_test(a_lost_race_walks_again_but_not_for_ever),
		cmocka_unit_test(tables_outside_memory_are_told),
		cmocka_unit_test(a_table_that_is_its_own_child_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
