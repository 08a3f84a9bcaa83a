/* SPDX-License-Identifier: Apache-2.0 */
/* Remote spaces of the soft provider: what is copied in, what goes back, in which order. */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ioasid-client/ioasid.h"
#include "util/bits.h"

#define MEMORY	 (256 * KIB)
#define BASE	 0x100000ULL
#define PAGE	 IOASID_PAGE_SIZE
#define MAX_CALL 16

struct call {
	bool write;
	uint64_t iova, size;
};

struct fixture {
	struct ioasid_ctx *ctx;
	struct ioasid_device *device;
	struct ioasid_space *space;
	struct ioasid_dma *dma;
	char *page; /* of host memory, to be mapped */
	uint8_t memory[MEMORY];
	struct call calls[MAX_CALL];
	unsigned int n_calls;
	uint64_t read_only; /* from this address on, writes fail */
};

static void record(struct fixture *f, bool write, uint64_t iova, uint64_t size)
{
	assert_true(f->n_calls < MAX_CALL);
	f->calls[f->n_calls++] = (struct call){ write, iova, size };
}

static int remote_read(void *opaque, uint64_t iova, void *data, uint64_t size)
{
	struct fixture *f = opaque;

	record(f, false, iova, size);
	if (!range_inside(iova, size, BASE, MEMORY))
		return -EFAULT;
	memcpy(data, f->memory + (iova - BASE), size);
	return 0;
}

static int remote_write(void *opaque, uint64_t iova, const void *data, uint64_t size)
{
	struct fixture *f = opaque;

	record(f, true, iova, size);
	if (!range_inside(iova, size, BASE, MEMORY) || iova >= f->read_only)
		return -EFAULT;
	memcpy(f->memory + (iova - BASE), data, size);
	return 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT };
	const struct ioasid_space_options options = {
		.name = "remote",
		.remote = { .read = remote_read,
			    .write = remote_write,
			    .opaque = f,
			    .range = { BASE, BASE + 2 * MEMORY - 1 },
			    .rights = IOASID_READ | IOASID_WRITE },
	};
	struct err err = { 0 };

	f->read_only = UINT64_MAX;
	for (size_t i = 0; i < MEMORY; i++)
		f->memory[i] = (uint8_t)(i * 7);
	f->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ok(ioasid_ctx_open(&f->ctx, IOASID_PROVIDER_SOFT, NULL, &err), &err);
	assert_ok(ioasid_bind(f->ctx, &source, "device", &f->device, &err), &err);
	assert_ok(ioasid_alloc(f->ctx, &options, &f->space, &err), &err);
	assert_ok(ioasid_attach(f->device, f->space, &err), &err);
	assert_ok(ioasid_dma_open(f->ctx, &f->dma, &err), &err);
	ioasid_dma_begin(f->dma);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ioasid_dma_close(f->dma);
	ioasid_ctx_close(f->ctx);
	munmap(f->page, PAGE);
	free(f);
	return 0;
}

static uint8_t *translate(struct fixture *f, uint64_t iova, uint64_t *len, unsigned int rights)
{
	return ioasid_translate(f->dma, f->device, IOASID_PASID_NONE, iova, len, rights);
}

static void what_is_read_is_copied_in(void **state)
{
	struct fixture *f = *state;
	uint64_t len = 100;
	uint8_t *at = translate(f, BASE + 5, &len, IOASID_READ);

	assert_non_null(at);
	assert_int_equal(len, 100);
	assert_memory_equal(at, f->memory + 5, 100);
	assert_int_equal(ioasid_dma_end(f->dma), 0);
	assert_int_equal(f->n_calls, 1);
}

static void what_changed_goes_back_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	uint64_t len = 1000;
	uint8_t *at = translate(f, BASE, &len, IOASID_WRITE);

	at[100] ^= 1;
	at[209] ^= 1;
	/* The guest's own store meanwhile, where the engine left memory alone. */
	f->memory[500] = 0xee;
	assert_int_equal(ioasid_dma_end(f->dma), 0);
	assert_int_equal(f->n_calls, 2);
	assert_true(f->calls[1].write);
	assert_int_equal(f->calls[1].iova, BASE + 100);
	assert_int_equal(f->calls[1].size, 110);
	assert_int_equal(f->memory[500], 0xee);
}

static void an_untouched_copy_is_not_written(void **state)
{
	struct fixture *f = *state;
	uint64_t len = 1000;

	assert_non_null(translate(f, BASE, &len, IOASID_WRITE));
	assert_int_equal(ioasid_dma_end(f->dma), 0);
	assert_int_equal(f->n_calls, 1);
}

static void a_section_sees_its_own_writes(void **state)
{
	struct fixture *f = *state;
	uint64_t len = 1000, again = 10;
	uint8_t *at = translate(f, BASE, &len, IOASID_READ), *same;

	same = translate(f, BASE + 50, &again, IOASID_WRITE);
	assert_ptr_equal(same, at + 50);
	assert_int_equal(again, 10);
	*same ^= 1;
	assert_int_equal(ioasid_dma_end(f->dma), 0);
	assert_int_equal(f->calls[1].iova, BASE + 50);
	assert_int_equal(f->calls[1].size, 1);
}

/* Pages are contiguous in every order of accesses, as an engine may count on. */
static void what_overlaps_is_one_copy(void **state)
{
	struct fixture *f = *state;
	uint64_t high = 100, low = 1000;
	uint8_t *above = translate(f, BASE + 500, &high, IOASID_READ), *below;

	below = translate(f, BASE, &low, IOASID_WRITE);
	assert_int_equal(high, 100);
	assert_int_equal(low, 1000);
	assert_ptr_equal(below + 500, above);
	assert_memory_equal(below, f->memory, 1000);
	assert_int_equal(ioasid_dma_end(f->dma), 0);
}

static void between_two_pieces_nothing_is_written(void **state)
{
	struct fixture *f = *state;
	uint64_t one = 32, two = 32;
	uint8_t *first = translate(f, BASE, &one, IOASID_WRITE), *second;

	second = translate(f, BASE + 64, &two, IOASID_WRITE);
	first[31] ^= 1;
	second[0] ^= 1;
	f->memory[40] = 0xee; /* somebody else's record, meanwhile */
	assert_int_equal(ioasid_dma_end(f->dma), 0);
	assert_int_equal(f->memory[40], 0xee);
	assert_int_equal(f->memory[31], (uint8_t)(31 * 7) ^ 1);
	assert_int_equal(f->memory[64], (uint8_t)(64 * 7) ^ 1);
}

static void a_record_s_first_word_goes_last(void **state)
{
	struct fixture *f = *state;
	uint64_t len = 32;
	uint8_t *at = translate(f, BASE + 64, &len, IOASID_WRITE);

	for (unsigned int i = 0; i < 32; i++)
		at[i] ^= 0xff;
	assert_int_equal(ioasid_dma_end(f->dma), 0);
	assert_int_equal(f->n_calls, 3);
	assert_int_equal(f->calls[1].iova, BASE + 72);
	assert_int_equal(f->calls[1].size, 24);
	assert_int_equal(f->calls[2].iova, BASE + 64);
	assert_int_equal(f->calls[2].size, 8);
}

static void mapped_pages_are_memory_and_end_a_copy(void **state)
{
	struct fixture *f = *state;
	const struct ioasid_mapping mapping = { .iova = BASE + PAGE,
						.size = PAGE,
						.hva = f->page,
						.rights = IOASID_READ,
						.fd = IOASID_NO_FD };
	uint64_t len = 3 * PAGE, mapped = 8, write = 8;
	struct err err;

	assert_ok(ioasid_map(f->space, &mapping, &err), &err);
	assert_non_null(translate(f, BASE + 1, &len, IOASID_READ));
	assert_int_equal(len, PAGE - 1);
	assert_ptr_equal(translate(f, BASE + PAGE, &mapped, IOASID_READ), f->page);
	assert_int_equal(mapped, 8);
	/* Mapped without the right to write: nobody is asked instead. */
	assert_null(translate(f, BASE + PAGE, &write, IOASID_WRITE));
	assert_int_equal(ioasid_dma_end(f->dma), 0);
	assert_int_equal(f->n_calls, 1);
}

static void outside_the_range_nobody_is_asked(void **state)
{
	struct fixture *f = *state;
	uint64_t below = 8, past = 8, end = 100;

	assert_null(translate(f, BASE - 1, &below, IOASID_READ));
	assert_null(translate(f, BASE + 2 * MEMORY, &past, IOASID_READ));
	assert_int_equal(f->n_calls, 0);
	assert_null(translate(f, BASE + 2 * MEMORY - 10, &end, IOASID_READ)); /* refused there */
	assert_int_equal(f->calls[0].size, 10);
	assert_int_equal(ioasid_dma_end(f->dma), 0);
}

static void large_accesses_are_cut(void **state)
{
	struct fixture *f = *state;
	uint64_t len = MEMORY;

	assert_non_null(translate(f, BASE, &len, IOASID_READ));
	assert_true(len >= PAGE && len <= 64 * KIB);
	assert_int_equal(ioasid_dma_end(f->dma), 0);
}

static void a_write_that_fails_is_told_with_its_address(void **state)
{
	struct fixture *f = *state;
	uint64_t len = 100, other = 100;
	uint8_t *at = translate(f, BASE + 0x1000, &len, IOASID_WRITE);

	*at ^= 1;
	at = translate(f, BASE + 0x2000, &other, IOASID_WRITE);
	*at ^= 1;
	f->read_only = BASE + 0x2000;
	assert_int_equal(ioasid_dma_end(f->dma), -EFAULT);
	assert_int_equal(ioasid_dma_failed(f->dma), BASE + 0x2000);
	ioasid_dma_begin(f->dma);
	assert_int_equal(ioasid_dma_end(f->dma), 0);
}

static void the_top_of_the_address_space_does_not_wrap(void **state)
{
	struct fixture *f = *state;
	const struct ioasid_space_options options = {
		.name = "all",
		.remote = { .read = remote_read,
			    .write = remote_write,
			    .opaque = f,
			    .range = { 0, UINT64_MAX },
			    .rights = IOASID_READ },
	};
	struct ioasid_space *all;
	uint64_t len = 100, zero = 8, write = 8;
	struct err err;

	ioasid_dma_end(f->dma);
	assert_ok(ioasid_alloc(f->ctx, &options, &all, &err), &err);
	assert_ok(ioasid_attach(f->device, all, &err), &err);
	ioasid_dma_begin(f->dma);
	assert_null(translate(f, UINT64_MAX - 9, &len, IOASID_READ));
	assert_int_equal(f->calls[0].iova, UINT64_MAX - 9);
	assert_int_equal(f->calls[0].size, 10);
	assert_null(translate(f, 0, &zero, IOASID_READ));
	assert_int_equal(f->calls[1].size, 8);
	assert_null(translate(f, BASE, &write, IOASID_WRITE));
	assert_int_equal(f->n_calls, 2);
	ioasid_dma_end(f->dma);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_read_is_copied_in),
		TEST(what_changed_goes_back_and_nothing_else),
		TEST(an_untouched_copy_is_not_written),
		TEST(a_section_sees_its_own_writes),
		TEST(what_overlaps_is_one_copy),
		TEST(between_two_pieces_nothing_is_written),
		TEST(a_record_s_first_word_goes_last),
		TEST(mapped_pages_are_memory_and_end_a_copy),
		TEST(outside_the_range_nobody_is_asked),
		TEST(large_accesses_are_cut),
		TEST(a_write_that_fails_is_told_with_its_address),
		TEST(the_top_of_the_address_space_does_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
