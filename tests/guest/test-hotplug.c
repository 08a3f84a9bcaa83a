/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that come to a running guest and leave it, well and badly. */
#include "tests/guest/harness.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/hotplug.h"

#define STORES (host_has_movdir64b() ? "" : "stores")

/* --- calls that fail ------------------------------------------------------------------------- */

/*
 * On a thread where `left` counts, each call of these takes one from it, and the one that takes the
 * last fails. A sanitizer has the allocator for itself.
 */
static _Thread_local unsigned int left;

static bool fails(int error)
{
	if (!left || --left)
		return false;
	errno = error;
	return true;
}

#ifdef ADIT_SANITIZED
#define CALLS_LEAST 0
#else
#define CALLS_LEAST 4
#endif

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#ifndef ADIT_SANITIZED
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *old, size_t size);

void *calloc(size_t n, size_t size)
{
	return fails(ENOMEM) ? NULL : __libc_calloc(n, size);
}

void *malloc(size_t size)
{
	return fails(ENOMEM) ? NULL : __libc_malloc(size);
}

void *realloc(void *old, size_t size)
{
	return fails(ENOMEM) ? NULL : __libc_realloc(old, size);
}
#endif

int eventfd(unsigned int count, int flags)
{
	return fails(EMFILE) ? -1 : NEXT(eventfd)(count, flags);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	return fails(ENOSPC) ? -1 : NEXT(ioctl)(fd, request, arg);
}

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (flags & (O_CREAT | __O_TMPFILE)) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return fails(EMFILE) ? -1 : NEXT(open)(path, flags, mode);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	return fails(EAGAIN) ? EAGAIN : NEXT(pthread_create)(thread, attr, fn, arg);
}

/* --- what comes ------------------------------------------------------------------------------ */

struct coming {
	struct config config; /* that has it as the only one of its kind */
	struct hotplug_part part;
	char path[32];
	unsigned int fail; /* the call that fails; 0: none */
	int ret;	   /* the slot, or -errno */
	struct err err;
};

static void parse(struct coming *coming, const char *members)
{
	char text[1024];
	struct err err;

	snprintf(text, sizeof(text), "{\"payload\": {\"flat\": \"x\"}%s}", members);
	assert_ok(config_parse(&coming->config, text, strlen(text), &err), &err);
	coming->part = (struct hotplug_part){
		.config = &coming->config,
		.disk = coming->config.n_disks ? coming->config.disks : NULL,
		.adi = coming->config.n_adis ? coming->config.adis : NULL,
	};
}

/* Its first byte is `first`. */
static void coming_disk(struct coming *coming, const char *id, char first)
{
	char members[256];
	int fd;

	memset(coming, 0, sizeof(*coming));
	strcpy(coming->path, "/tmp/adit-disk-XXXXXX");
	fd = mkostemp(coming->path, O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(pwrite(fd, &first, 1, 0), 1);
	close(fd);
	snprintf(members, sizeof(members),
		 ", \"disks\": [{\"id\": \"%s\", \"path\": \"%s\", \"image_type\": \"Raw\"}]", id,
		 coming->path);
	parse(coming, members);
}

static void coming_adi(struct coming *coming, const char *id)
{
	char members[256];

	memset(coming, 0, sizeof(*coming));
	snprintf(members, sizeof(members),
		 ", \"adis\": [{\"id\": \"%s\", \"type\": \"dsa\", \"wqs\": [{\"size\": 8}], "
		 "\"pasid\": {\"allow\": false}}]",
		 id);
	parse(coming, members);
}

static void forget(struct coming *coming)
{
	config_free(&coming->config);
	if (*coming->path)
		unlink(coming->path);
}

static void add(struct guest *guest, void *arg)
{
	struct coming *coming = arg;

	left = coming->fail;
	coming->ret = hotplug_add(machine_hotplug(guest->machine), &coming->part, &coming->err);
	coming->fail = left;
	left = 0;
}

static void take_away(struct guest *guest, void *id)
{
	struct err err;

	assert_ok(hotplug_remove(machine_hotplug(guest->machine), id, &err), &err);
}

static void start(struct guest *guest, const char *words)
{
	assert_ok(guest_create(guest, "hotplug", words, ""), &guest->err);
	guest_start(guest);
	guest_expect(guest, "ready");
}

static void stop(struct guest *guest)
{
	machine_power_button(guest->machine);
	assert_int_equal(guest_wait(guest), MACHINE_OFF);
	guest_destroy(guest);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void what_comes_is_used_and_ejected_when_asked(void **state)
{
	struct coming disk, adi;
	struct guest guest;
	struct err err;

	coming_disk(&disk, "d", 77);
	coming_adi(&adi, "a");
	start(&guest, STORES);
	guest_do(&guest, add, &disk);
	assert_int_equal(disk.ret, 1);
	guest_expect(&guest, "disk 1 says 77");
	guest_do(&guest, add, &adi);
	assert_int_equal(adi.ret, 2);
	guest_expect(&guest, "dsa 2 moved 2");
	assert_int_equal(hotplug_ask(machine_hotplug(guest.machine), "b", &err), -ENOENT);
	assert_ok(hotplug_ask(machine_hotplug(guest.machine), "d", &err), &err);
	guest_expect(&guest, "ejected 1");
	assert_ok(hotplug_ask(machine_hotplug(guest.machine), "a", &err), &err);
	guest_expect(&guest, "ejected 2");
	guest_await_departed(&guest, 2);
	stop(&guest);
	forget(&disk);
	forget(&adi);
}

static void a_guest_ejects_what_nobody_asked_for(void **state)
{
	struct coming disk;
	struct guest guest;

	coming_disk(&disk, "d", 5);
	start(&guest, "eager");
	for (unsigned int i = 1; i <= 3; i++) {
		guest_do(&guest, add, &disk);
		assert_int_equal(disk.ret, 1);
		guest_await_departed(&guest, i);
	}
	stop(&guest);
	forget(&disk);
}

static void what_the_guest_keeps_is_taken_away(void **state)
{
	struct coming disk, adi;
	struct guest guest;
	struct err err;

	coming_disk(&disk, "d", 5);
	coming_adi(&adi, "a");
	assert_ok(guest_create(&guest, "hotplug", "stubborn stores", ""), &guest.err);
	guest_start(&guest);
	guest_expect(&guest, "ready");
	guest_do(&guest, add, &disk);
	guest_do(&guest, add, &adi);
	guest_expect(&guest, "dsa 2 moved 2");
	assert_ok(hotplug_ask(machine_hotplug(guest.machine), "d", &err), &err);
	guest_expect(&guest, "down 1");
	guest_do(&guest, take_away, "d");
	guest_do(&guest, take_away, "a");
	guest_await_departed(&guest, 2);
	stop(&guest);
	forget(&disk);
	forget(&adi);
}

static void what_comes_while_the_machine_is_paused_works_afterwards(void **state)
{
	struct coming disk, adi;
	struct guest guest;

	coming_disk(&disk, "d", 9);
	coming_adi(&adi, "a");
	start(&guest, STORES);
	machine_pause(guest.machine);
	machine_pause(guest.machine);
	guest_do(&guest, add, &disk);
	guest_do(&guest, add, &adi);
	machine_resume(guest.machine);
	machine_resume(guest.machine);
	guest_expect(&guest, "disk 1 says 9");
	guest_expect(&guest, "dsa 2 moved 2");
	stop(&guest);
	forget(&disk);
	forget(&adi);
}

static unsigned int open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Every call on the way fails once; after each the machine is as it was, and in the end it works.
 */
static void fail_everywhere(struct coming *coming, const char *works)
{
	unsigned int files, failed = 0;
	struct guest guest;

	start(&guest, STORES);
	/* What is made once and stays is made. */
	guest_do(&guest, add, coming);
	assert_true(coming->ret > 0);
	guest_expect(&guest, "up 1");
	guest_expect(&guest, works);
	guest_do(&guest, take_away, "x");
	guest_await_departed(&guest, 1);
	files = open_files();
	for (;;) {
		coming->fail = failed + 1;
		guest_do(&guest, add, coming);
		if (coming->ret > 0)
			break;
		failed++;
		assert_int_equal(coming->fail, 0);
		assert_int_equal(coming->err.code, -coming->ret);
		assert_int_equal(hotplug_slot(machine_hotplug(guest.machine), "x"), 0);
		assert_int_equal(open_files(), files);
	}
	print_message("each of %u calls failed it\n", failed);
	assert_true(failed >= CALLS_LEAST);
	guest_do(&guest, take_away, "x");
	guest_await_departed(&guest, 2);
	stop(&guest);
}

static void a_disk_that_cannot_come_leaves_nothing(void **state)
{
	struct coming disk;

	coming_disk(&disk, "x", 3);
	fail_everywhere(&disk, "disk 1 says 3");
	forget(&disk);
}

static void an_adi_that_cannot_come_leaves_nothing(void **state)
{
	struct coming adi;

	coming_adi(&adi, "x");
	fail_everywhere(&adi, "dsa 1 moved 1");
	forget(&adi);
}

/* Rings are made past the C library: here every descriptor is the one too many once. */
static void without_descriptors_nothing_comes_and_nothing_is_lost(void **state)
{
	struct rlimit old, few;
	struct coming disk;
	unsigned int failed = 0;
	struct guest guest;

	coming_disk(&disk, "x", 3);
	start(&guest, STORES);
	getrlimit(RLIMIT_NOFILE, &old);
	few = old;
	for (few.rlim_cur = 3;; few.rlim_cur++) {
		unsigned int files = open_files();

		setrlimit(RLIMIT_NOFILE, &few);
		guest_do(&guest, add, &disk);
		setrlimit(RLIMIT_NOFILE, &old);
		if (disk.ret > 0)
			break;
		failed++;
		assert_int_equal(open_files(), files);
	}
	assert_true(failed > 3);
	guest_expect(&guest, "disk 1 says 3");
	stop(&guest);
	forget(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_is_used_and_ejected_when_asked),
		cmocka_unit_test(a_guest_ejects_what_nobody_asked_for),
		cmocka_unit_test(what_the_guest_keeps_is_taken_away),
		cmocka_unit_test(what_comes_while_the_machine_is_paused_works_afterwards),
		cmocka_unit_test(a_disk_that_cannot_come_leaves_nothing),
		cmocka_unit_test(an_adi_that_cannot_come_leaves_nothing),
		cmocka_unit_test(without_descriptors_nothing_comes_and_nothing_is_lost),
	};

	return cmocka_run_group_tests_name("hotplug", tests, NULL, NULL);
}
