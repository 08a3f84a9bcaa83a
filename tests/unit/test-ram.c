/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory whose pages are made beside other things: all of them, or a sentence, or an end. */
#include "tests/unit/check.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/populate.h"
#include "vmm/ram.h"

#define SIZE (96 * MIB)
#define PAGE (4 * KIB)

static bool all_there(const struct ram *ram)
{
	static unsigned char pages[SIZE / PAGE];
	size_t n = 0;

	assert_int_equal(mincore(ram->base, ram->size, pages), 0);
	for (size_t i = 0; i < ram->size / PAGE; i++)
		n += pages[i] & 1;
	return n == ram->size / PAGE;
}

static void all_pages_are_there_when_it_was_waited_for(void **state)
{
	struct err err = { 0 };
	struct ram ram;

	for (unsigned int i = 0; i < 4; i++) {
		const struct ram_options options = {
			.size = SIZE - i * PAGE, /* the last chunk is not whole */
			.shared = i % 2,
			.prefault = i / 2,
		};

		assert_ok(ram_create(&ram, &options, &err), &err);
		if (!options.prefault)
			assert_ok(ram_populate(&ram, i % 2, &err), &err);
		/* Once more is nothing. */
		assert_ok(ram_populate(&ram, false, &err), &err);
		assert_ok(ram_populated(&ram, NULL, &err), &err);
		assert_true(all_there(&ram));
		assert_ok(ram_populated(&ram, NULL, &err), &err);
		ram_destroy(&ram);
	}
}

static void what_is_written_meanwhile_stays(void **state)
{
	const struct ram_options options = { .size = SIZE, .shared = true };
	struct err err = { 0 };
	struct ram ram;

	assert_ok(ram_create(&ram, &options, &err), &err);
	assert_ok(ram_populate(&ram, true, &err), &err);
	for (size_t at = 0; at < SIZE; at += PAGE)
		((unsigned char *)ram.base)[at] = (unsigned char)(at / PAGE);
	assert_ok(ram_populated(&ram, NULL, &err), &err);
	for (size_t at = 0; at < SIZE; at += PAGE)
		assert_int_equal(((unsigned char *)ram.base)[at], (unsigned char)(at / PAGE));
	ram_destroy(&ram);
}

/* Code that the guest runs while devices wait for its memory. */
static void what_is_there_is_left_alone(void **state)
{
	struct err err = { 0 };
	struct ram ram;

	for (unsigned int i = 0; i < 2; i++) {
		const struct ram_options options = { .size = SIZE, .shared = i };
		const uint64_t part = SIZE / 16;
		char *base;

		assert_ok(ram_create(&ram, &options, &err), &err);
		base = ram.base;
		/* Every other part: a write there ends the test. */
		for (uint64_t at = 0; at < SIZE; at += 2 * part) {
			memset(base + at, 1, part);
			assert_int_equal(mprotect(base + at, part, PROT_READ), 0);
		}
		assert_ok(ram_populate(&ram, true, &err), &err);
		assert_ok(ram_populated(&ram, NULL, &err), &err);
		assert_true(all_there(&ram));
		ram_destroy(&ram);
	}
}

static void it_can_be_ended_at_any_moment(void **state)
{
	const struct ram_options options = { .size = SIZE };
	struct err err = { 0 };
	struct ram ram;

	for (unsigned int i = 0; i < 20; i++) {
		assert_ok(ram_create(&ram, &options, &err), &err);
		assert_ok(ram_populate(&ram, false, &err), &err);
		ram_destroy(&ram);
		assert_null(ram.base);
	}
}

static void none_is_made_for_who_has_been_told_to_stop(void **state)
{
	bool stop = true;
	const struct ram_options options = { .size = SIZE, .stop = &stop, .prefault = true };
	struct err err = { 0 };
	struct ram ram;

	assert_ok(ram_create(&ram, &options, &err), &err);
	assert_int_equal(ram_populated(&ram, NULL, &err), -ECANCELED);
	assert_false(all_there(&ram));
	ram_destroy(&ram);
}

/* A snapshot's file that ends before the memory does: there is nothing to make the rest of. */
static void what_cannot_be_made_is_said_to_who_asked_for_it(void **state)
{
	const struct ram_file file = { .fd = memfd_create("adit-test", MFD_CLOEXEC) };
	struct ram_options options = { .size = SIZE, .file = &file };
	struct err err = { 0 };
	struct ram ram;

	assert_int_equal(ftruncate(file.fd, SIZE / 2), 0);
	/* Nor does it end who makes it beside a guest, where pages are made by touching them. */
	for (unsigned int yields = 0; yields < 2; yields++) {
		assert_ok(ram_create(&ram, &options, &err), &err);
		assert_ok(ram_populate(&ram, yields, &err), &err);
		/* A gain of time, no more: whoever needs the rest will hear of it. */
		assert_ok(ram_populated(&ram, NULL, &err), &err);
		ram_destroy(&ram);
	}

	options.prefault = true;
	assert_ok(ram_create(&ram, &options, &err), &err);
	assert_int_equal(ram_populated(&ram, NULL, &err), -EFAULT);
	assert_non_null(strstr(err.text, "96 MiB of guest memory"));
	ram_destroy(&ram);
	close(file.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_pages_are_there_when_it_was_waited_for),
		cmocka_unit_test(what_is_written_meanwhile_stays),
		cmocka_unit_test(what_is_there_is_left_alone),
		cmocka_unit_test(it_can_be_ended_at_any_moment),
		cmocka_unit_test(none_is_made_for_who_has_been_told_to_stop),
		cmocka_unit_test(what_cannot_be_made_is_said_to_who_asked_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
