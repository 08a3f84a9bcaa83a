/* SPDX-License-Identifier: Apache-2.0 */
/* Many machines: one after another and at once; nothing of them is left behind. */
#include "tests/guest/harness.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define IN_A_ROW 200
#define AT_ONCE	 20

/* Fewer where the machine itself is emulated: the rig's QEMU does not always survive twenty. */
static int at_once(void)
{
	const char *text = getenv("ADIT_TEST_AT_ONCE");
	long n = text ? strtol(text, NULL, 10) : AT_ONCE;

	return n > 0 && n <= AT_ONCE ? (int)n : AT_ONCE;
}

static unsigned int entries(const char *directory)
{
	DIR *dir = opendir(directory);
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Mappings that a machine makes; the C library's own heaps may grow. */
static unsigned int machine_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "adit-ram") || strstr(line, "kvm") || strstr(line, "io_uring");
	fclose(maps);
	return n;
}

static void run_one(const char *members)
{
	struct guest guest;

	assert_ok(guest_create(&guest, "hello", "", members), &guest.err);
	assert_int_equal(guest_run(&guest), MACHINE_OFF);
	guest_destroy(&guest);
}

static void machines_one_after_another_leave_nothing(void **state)
{
	static const char members[] =
		", \"cpus\": {\"boot_vcpus\": 2}, \"adis\": [{\"id\": \"dsa0\", "
		"\"type\": \"dsa\", \"wqs\": [{\"size\": 16}]}]";
	unsigned int fds, threads;

	run_one(members); /* what the libraries keep for good is there from now on */
	fds = entries("/proc/self/fd");
	threads = entries("/proc/self/task");
	for (int i = 0; i < IN_A_ROW; i++)
		run_one(members);
	assert_int_equal(entries("/proc/self/fd"), fds);
	/* A thread's entry goes a moment after it was joined. */
	while (entries("/proc/self/task") > threads)
		sched_yield();
	assert_int_equal(machine_mappings(), 0);
}

static void machine_that_cannot_be_made_leaves_nothing(void **state)
{
	unsigned int fds;
	struct guest guest;

	run_one(NULL);
	fds = entries("/proc/self/fd");
	for (int i = 0; i < 20; i++) {
		assert_int_not_equal(guest_create(&guest, "/nonexistent/kernel", "", NULL), 0);
		assert_non_null(strstr(guest.err.text, "/nonexistent/kernel"));
		guest_destroy(&guest);
	}
	assert_int_equal(entries("/proc/self/fd"), fds);
	assert_int_equal(machine_mappings(), 0);
}

static void twenty_machines_run_at_once_in_one_process(void **state)
{
	struct guest *guests = calloc(AT_ONCE, sizeof(*guests));
	int n = at_once();

	for (int i = 0; i < n; i++) {
		assert_ok(guest_create(&guests[i], "spin", "", ", \"memory\": {\"size\": \"16M\"}"),
			  &guests[i].err);
		guest_start(&guests[i]);
	}
	for (int i = 0; i < n; i++)
		guest_expect(&guests[i], "ready");
	for (int i = 0; i < n; i++) {
		machine_stop(guests[i].machine);
		assert_int_equal(guest_wait(&guests[i]), MACHINE_STOPPED);
		guest_destroy(&guests[i]);
	}
	free(guests);
}

/* In a process of its own: 0 where the guest ran to its end. */
static int run_in_child(void)
{
	struct guest guest;
	int failed = guest_create(&guest, "poweroff", "", NULL) || guest_run(&guest) != MACHINE_OFF;

	guest_destroy(&guest);
	return failed;
}

static void twenty_processes_run_at_once(void **state)
{
	pid_t pids[AT_ONCE];
	int status, n = at_once();

	if (access("/dev/kvm", R_OK | W_OK))
		skip_because("no /dev/kvm");
	for (int i = 0; i < n; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(run_in_child());
	}
	for (int i = 0; i < n; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machines_one_after_another_leave_nothing),
		cmocka_unit_test(machine_that_cannot_be_made_leaves_nothing),
		cmocka_unit_test(twenty_machines_run_at_once_in_one_process),
		cmocka_unit_test(twenty_processes_run_at_once),
	};

	return cmocka_run_group_tests_name("lifecycle", tests, NULL, NULL);
}
