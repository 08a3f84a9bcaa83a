/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory in the I/O space of its devices, on the soft provider: all of it, at the guest's
 * addresses.
 */
#include "tests/unit/soft-bench.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/guest-space.h"
#include "vmm/layout.h"
#include "vmm/ram.h"

/* A guest of that much, none of which is there: addresses are all that is looked at. */
static void plan(struct ram *ram, struct layout *layout, uint64_t size)
{
	const struct layout_range hole = { 80 * GIB, 1 * GIB };
	const struct layout_request request = { .ram_size = size,
						.phys_bits = 46,
						.aperture_last = UINT64_MAX,
						.reserved = &hole,
						.n_reserved = 1 };
	struct err err = { 0 };

	assert_ok(layout_plan(layout, &request, &err), &err);
	*ram = (struct ram){ .fd = -1, .size = size };
	ram->base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(ram->base != MAP_FAILED);
}

static void all_of_it_is_where_the_guest_has_it(void **state)
{
	const uint64_t size = 100 * GIB;
	struct fixture *f = *state;
	struct layout layout;
	struct ram ram;

	attach(f);
	plan(&ram, &layout, size);
	assert_true(layout.n_ram >= 3);
	assert_ok(guest_space_map(f->space, &ram, &layout, NULL, NULL, &f->err), &f->err);
	for (unsigned int i = 0; i < layout.n_ram; i++) {
		const struct layout_ram *r = &layout.ram[i];
		char *hva = (char *)ram.base + r->offset;

		assert_ptr_equal(reach1(f, 0, r->gpa), hva);
		assert_ptr_equal(reach1(f, 0, r->gpa + r->size / 2), hva + r->size / 2);
		assert_ptr_equal(reach1(f, 0, r->gpa + r->size - 1), hva + r->size - 1);
		assert_null(reach1(f, 0, r->gpa + r->size));
	}
	munmap(ram.base, size);
}

/* Lines of the log that say how far it is. */
static unsigned int progress_of(struct fixture *f, uint64_t size)
{
	struct ioasid_space *space = alloc_space(f, "another", false);
	char text[8192];
	struct layout layout;
	unsigned int lines = 0;
	struct ram ram;
	int fds[2];
	ssize_t n;

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	plan(&ram, &layout, size);
	assert_ok(guest_space_map(space, &ram, &layout, NULL,
				  &(struct log){ .fd = fds[1], .level = LOG_INFO }, &f->err),
		  &f->err);
	ioasid_destroy(space);
	munmap(ram.base, size);
	close(fds[1]);
	n = read(fds[0], text, sizeof(text) - 1);
	close(fds[0]);
	text[n > 0 ? n : 0] = '\0';
	for (const char *at = text; (at = strstr(at, " GiB\n")); at++)
		lines++;
	return lines;
}

static void only_a_large_guest_says_how_far_it_is(void **state)
{
	assert_int_equal(progress_of(*state, 2 * GIB), 0);
	assert_true(progress_of(*state, 100 * GIB) >= 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_guest, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_of_it_is_where_the_guest_has_it),
		TEST(only_a_large_guest_says_how_far_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
