/* SPDX-License-Identifier: Apache-2.0 */
/* Virtio devices under payloads that drive them well and badly. */
#include "tests/guest/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/hotplug.h"

static void make_disk(char *path, off_t bytes)
{
	int fd;

	strcpy(path, "/tmp/adit-disk-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	close(fd);
}

static unsigned int count(const char *text, const char *word)
{
	unsigned int n = 0;

	while ((text = strstr(text, word))) {
		n++;
		text += strlen(word);
	}
	return n;
}

static void every_layout_works_and_every_broken_ring_is_refused(void **state)
{
	char path[32], members[128], *log;
	struct guest guest;

	make_disk(path, 1 << 20);
	snprintf(members, sizeof(members), ", \"disks\": [{\"path\": \"%s\"}], \"rng\": {}", path);
	assert_ok(guest_create(&guest, "virtio", "", members), &guest.err);
	assert_int_equal(guest_run(&guest), MACHINE_OFF);
	guest_assert_passed(&guest, 35);
	log = guest_log(&guest);
	/* One line each, as far as lines that a guest causes are let through. */
	assert_in_range(count(log, "broke the rules"), 10, 30);
	free(log);
	guest_destroy(&guest);
	unlink(path);
}

static void two_machines_have_disks_in_one_process(void **state)
{
	char path[2][32], members[2][128];
	struct guest guest[2];

	for (int i = 0; i < 2; i++) {
		make_disk(path[i], 1 << 20);
		snprintf(members[i], sizeof(members[i]), ", \"disks\": [{\"path\": \"%s\"}]",
			 path[i]);
		assert_ok(guest_create(&guest[i], "virtio", "", members[i]), &guest[i].err);
	}
	for (int i = 0; i < 2; i++)
		guest_start(&guest[i]);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(guest_wait(&guest[i]), MACHINE_OFF);
		guest_assert_passed(&guest[i], 35);
		guest_destroy(&guest[i]);
		unlink(path[i]);
	}
}

/* What adit bench io runs: many requests under way, each row's numbers on the console. */
static void a_disk_under_load_answers_every_request(void **state)
{
	char path[32], members[160], *output;
	struct guest guest;

	make_disk(path, 1 << 20);
	snprintf(members, sizeof(members), ", \"disks\": [{\"path\": \"%s\"}]", path);
	assert_ok(guest_create(&guest, "diskload",
			       "cycles=20000000 rowa=0x4000001000 rowb=0x8000000400010000 "
			       "rowc=0x100000200 rowd=0x4000001000001000 mixd=30 sized=65536 "
			       "cyclesd=1000000",
			       members),
		  &guest.err);
	assert_int_equal(guest_run(&guest), MACHINE_OFF);
	guest_assert_passed(&guest, 1);
	output = guest_output(&guest);
	assert_int_equal(count(output, "begin "), 4);
	assert_int_equal(count(output, "end "), 4);
	free(output);
	guest_destroy(&guest);
	unlink(path);
}

static void take_out(struct guest *guest, void *id)
{
	struct hotplug *hotplug = machine_hotplug(guest->machine);
	struct err err;

	assert_int_not_equal(hotplug_slot(hotplug, id), 0);
	assert_int_equal(hotplug_remove(hotplug, "e", &err), -ENOENT);
	assert_ok(hotplug_remove(hotplug, id, &err), &err);
	assert_int_equal(hotplug_slot(hotplug, id), 0);
	assert_int_equal(hotplug_remove(hotplug, id, &err), -ENOENT);
}

/* Surprise removal, with 16 reads under way; the image is free for others at once. */
static void a_disk_is_taken_out_under_load_and_the_machine_runs_on(void **state)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[32], members[160];
	struct guest guest;
	struct err err;
	int fd;

	make_disk(path, 1 << 20);
	snprintf(members, sizeof(members), ", \"disks\": [{\"id\": \"d\", \"path\": \"%s\"}]",
		 path);
	assert_ok(guest_create(&guest, "diskload", "cycles=1000000000000 rowa=0x1000001000",
			       members),
		  &guest.err);
	guest_start(&guest);
	guest_expect(&guest, "begin a");
	guest_do(&guest, take_out, "d");
	guest_await_departed(&guest, 1);
	assert_int_equal(machine_resize_disk(guest.machine, "d", &err), -ENOENT);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	close(fd);
	machine_pause(guest.machine);
	machine_resume(guest.machine);
	machine_stop(guest.machine);
	assert_int_equal(guest_wait(&guest), MACHINE_STOPPED);
	guest_destroy(&guest);
	unlink(path);
}

static void an_image_in_use_is_refused_with_the_place(void **state)
{
	struct guest a, b;
	char path[32], members[128];

	make_disk(path, 1 << 20);
	snprintf(members, sizeof(members), ", \"disks\": [{\"path\": \"%s\"}]", path);
	assert_ok(guest_create(&a, "hello", "", members), &a.err);
	assert_int_not_equal(guest_create(&b, "hello", "", members), 0);
	assert_ptr_equal(strstr(b.err.text, "/disks/0: "), b.err.text);
	guest_destroy(&b);
	guest_destroy(&a);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_layout_works_and_every_broken_ring_is_refused),
		cmocka_unit_test(two_machines_have_disks_in_one_process),
		cmocka_unit_test(a_disk_under_load_answers_every_request),
		cmocka_unit_test(a_disk_is_taken_out_under_load_and_the_machine_runs_on),
		cmocka_unit_test(an_image_in_use_is_refused_with_the_place),
	};

	return cmocka_run_group_tests_name("virtio", tests, NULL, NULL);
}
