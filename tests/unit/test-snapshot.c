/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a snapshot: sparse, mapped as it is, and refused where it is not what it says. */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/bits.h"
#include "vmm/snapshot.h"

#define SIZE (64 * MIB)

struct fixture {
	char path[64];
	struct ram ram;
};

static void make(struct fixture *f, bool shared)
{
	const struct ram_options options = { .size = SIZE, .shared = shared };
	struct state_out out = { 0 };
	struct err err;

	assert_ok(ram_create(&f->ram, &options, &err), &err);
	memset(f->ram.base, 0x11, 10000);
	memset((char *)f->ram.base + 40 * MIB, 0x22, 4096);
	/* Touched, and empty. */
	memset((char *)f->ram.base + 20 * MIB, 0, MIB);
	state_begin(&out, 1, "some");
	state_put(&out, 7);
	state_end(&out);
	assert_ok(snapshot_write(f->path, &out, &f->ram, &err), &err);
	state_out_free(&out);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	strcpy(f->path, "/tmp/adit-test-snapshot-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	unlink(f->path);
	f->ram.fd = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ram_destroy(&f->ram);
	unlink(f->path);
	free(f);
	return 0;
}

static void comes_back(struct fixture *f)
{
	struct snapshot s;
	struct state_in in;
	struct ram ram;
	struct err err;
	char *base;

	assert_ok(snapshot_open(&s, f->path, &err), &err);
	assert_int_equal(s.memory_size, SIZE);
	assert_ok(state_open(&in, s.state, s.state_len, &err), &err);
	assert_ok(state_enter(&in, 1, "some"), &err);
	assert_int_equal(state_take(&in, 7), 7);
	assert_ok(ram_create(&ram, &(struct ram_options){ .size = SIZE, .file = &s.memory }, &err),
		  &err);
	snapshot_close(&s);
	base = ram.base;
	assert_int_equal(memcmp(base, f->ram.base, SIZE), 0);
	/* What is written here is nobody else's. */
	base[0] = 1;
	assert_int_equal(((char *)f->ram.base)[0], 0x11);
	ram_destroy(&ram);
	assert_ok(snapshot_open(&s, f->path, &err), &err);
	assert_ok(ram_create(&ram, &(struct ram_options){ .size = SIZE, .file = &s.memory }, &err),
		  &err);
	assert_int_equal(((char *)ram.base)[0], 0x11);
	ram_destroy(&ram);
	snapshot_close(&s);
}

static void memory_and_state_come_back_and_what_is_empty_takes_no_room(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	make(f, true);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(st.st_size > (off_t)SIZE);
	assert_in_range(st.st_blocks * 512, 1, MIB);
	/* Nor did the guest's memory grow by being read. */
	assert_int_equal(fstat(f->ram.fd, &st), 0);
	assert_in_range(st.st_blocks * 512, 1, 8 * MIB);
	comes_back(f);
}

static void memory_that_is_not_shared_comes_back_too(void **state)
{
	make(*state, false);
	comes_back(*state);
}

static void a_name_that_is_taken_is_refused(void **state)
{
	struct fixture *f = *state;
	struct state_out out = { 0 };
	struct err err;
	struct stat before, after;

	make(f, true);
	assert_int_equal(stat(f->path, &before), 0);
	assert_int_equal(snapshot_write(f->path, &out, &f->ram, &err), -EEXIST);
	assert_int_equal(stat(f->path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_size, after.st_size);
}

static void one_that_is_open_and_empty_is_written_and_read(void **state)
{
	struct fixture *f = *state;
	struct state_out out = { 0 };
	struct snapshot s;
	struct err err;
	int fd;

	make(f, true);
	state_begin(&out, 1, "some");
	state_end(&out);
	fd = open(f->path, O_RDWR | O_CLOEXEC);
	assert_int_equal(snapshot_write_fd(fd, "it", &out, &f->ram, &err), -EINVAL);
	assert_string_equal(err.text, "it: is not empty: a snapshot is written over nothing");
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_ok(snapshot_write_fd(fd, "it", &out, &f->ram, &err), &err);
	state_out_free(&out);
	assert_ok(snapshot_open_fd(&s, fd, "it", &err), &err);
	assert_int_equal(s.memory_size, SIZE);
	snapshot_close(&s);
}

static void what_is_open_and_no_file_is_refused(void **state)
{
	struct fixture *f = *state;
	struct state_out out = { 0 };
	struct snapshot s;
	struct err err;
	int fds[2];

	make(f, true);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(snapshot_write_fd(fds[1], "it", &out, &f->ram, &err), -EINVAL);
	assert_string_equal(err.text, "it: is no regular file");
	assert_int_equal(snapshot_open_fd(&s, fds[0], "it", &err), -EINVAL);
	assert_int_equal(s.fd, -1);
	close(fds[1]);
}

static void refuses(struct fixture *f, const char *why)
{
	struct snapshot s;
	struct err err;

	assert_int_equal(snapshot_open(&s, f->path, &err), -EINVAL);
	assert_non_null(strstr(err.text, why));
	assert_int_equal(s.fd, -1);
}

static void write_byte(struct fixture *f, off_t at, uint8_t byte)
{
	int fd = open(f->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void a_file_that_is_none_is_refused(void **state)
{
	struct fixture *f = *state;
	struct snapshot s;
	struct err err;

	assert_int_equal(snapshot_open(&s, f->path, &err), -ENOENT);
	write_byte(f, 0, 'A');
	refuses(f, "is no snapshot of adit");
	assert_int_equal(truncate(f->path, SIZE), 0);
	refuses(f, "is no snapshot of adit");
	unlink(f->path);
	assert_int_equal(mkfifo(f->path, 0600), 0);
	refuses(f, "is no regular file");
	unlink(f->path);
	assert_int_equal(symlink("/dev/zero", f->path), 0);
	refuses(f, "is no regular file");
}

static void another_version_is_refused(void **state)
{
	struct fixture *f = *state;

	make(f, true);
	write_byte(f, 8, 2);
	refuses(f, "is a snapshot of version 2; 1 is understood here");
}

static void a_file_that_was_cut_short_is_refused(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	make(f, true);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(truncate(f->path, st.st_size - 4096), 0);
	refuses(f, "its memory is not inside the file");
}

static void damage_to_header_and_state_is_found(void **state)
{
	struct fixture *f = *state;

	make(f, true);
	for (off_t at = 12; at < 56; at++) {
		uint8_t was;
		int fd = open(f->path, O_RDONLY | O_CLOEXEC);

		assert_int_equal(pread(fd, &was, 1, at), 1);
		close(fd);
		write_byte(f, at, was ^ 0x40);
		refuses(f, "damaged");
		write_byte(f, at, was);
	}
	write_byte(f, 4096 + 3, 1);
	refuses(f, "its state is damaged");
}

/* Whoever lies knows the checksum as well: then limits decide. */
static void a_header_that_lies_is_refused(void **state)
{
	static const struct {
		unsigned int at;
		uint64_t value;
		const char *why;
	} lies[] = {
		{ 16, 0, "its state is not" },		/* state over the header */
		{ 16, 1ULL << 40, "its state is not" }, /* past the file */
		{ 24, 1ULL << 40, "its state is not" }, /* too long */
		{ 24, UINT64_MAX, "its state is not" },
		{ 40, 0, "its state is not" }, /* memory over the state */
		{ 40, 4097, "its memory is not" },
		{ 40, UINT64_MAX & ~0xfffULL, "its memory is not" },
		{ 48, 0, "its memory is not" },
		{ 48, SIZE + 4096, "its memory is not" },
		{ 48, SIZE - 1, "its memory is not" },
		{ 48, UINT64_MAX & ~0xfffULL, "its memory is not" },
	};
	struct fixture *f = *state;
	uint8_t good[56], bad[56];

	make(f, true);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		int fd = open(f->path, O_RDWR | O_CLOEXEC);

		if (!i)
			assert_int_equal(pread(fd, good, sizeof(good), 0), sizeof(good));
		memcpy(bad, good, sizeof(bad));
		store_le(bad + lies[i].at, lies[i].value, 8);
		store_le(bad + 12, state_checksum(bad + 16, sizeof(bad) - 16), 4);
		assert_int_equal(pwrite(fd, bad, sizeof(bad), 0), sizeof(bad));
		close(fd);
		refuses(f, lies[i].why);
	}
}

static void urls_are_absolute_paths(void **state)
{
	struct err err;

	assert_string_equal(snapshot_path("file:///a/b", &err), "/a/b");
	assert_string_equal(snapshot_path("/a/b", &err), "/a/b");
	assert_null(snapshot_path("a/b", &err));
	assert_null(snapshot_path("file://a/b", &err));
	assert_null(snapshot_path("", &err));
	assert_null(snapshot_path("http://a/b", &err));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(memory_and_state_come_back_and_what_is_empty_takes_no_room),
		TEST(memory_that_is_not_shared_comes_back_too),
		TEST(a_name_that_is_taken_is_refused),
		TEST(one_that_is_open_and_empty_is_written_and_read),
		TEST(what_is_open_and_no_file_is_refused),
		TEST(a_file_that_is_none_is_refused),
		TEST(another_version_is_refused),
		TEST(a_file_that_was_cut_short_is_refused),
		TEST(damage_to_header_and_state_is_found),
		TEST(a_header_that_lies_is_refused),
		TEST(urls_are_absolute_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
