/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/guest/harness.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/loop.h"
#include "vmm/hotplug.h"
#include "vmm/snapshot.h"

#define GUARD_NS (120 * 1000000000ull) /* a guest that is not done by then hangs */

const char *build_directory(void)
{
	const char *dir = getenv("ADIT_BUILD");

	return dir ? dir : "build";
}

static sigjmp_buf no_instruction;

static void on_sigill(int sig)
{
	siglongjmp(no_instruction, 1);
}

bool host_has_movdir64b(void)
{
	struct sigaction catch = { .sa_handler = on_sigill }, old;
	_Alignas(64) uint8_t from[64] = { 1 }, to[64];
	bool has = false;

	sigaction(SIGILL, &catch, &old);
	if (!sigsetjmp(no_instruction, 1)) {
		/* movdir64b (%rsi), %rdi */
		__asm__ volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x3e"
				 :
				 : "D"(to), "S"(from)
				 : "memory");
		has = true;
	}
	sigaction(SIGILL, &old, NULL);
	return has;
}

static char *read_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text;
	ssize_t n;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	text = malloc((size_t)st.st_size + 1);
	assert_non_null(text);
	n = read(fd, text, (size_t)st.st_size);
	assert_true(n >= 0);
	text[n] = 0;
	close(fd);
	return text;
}

char *guest_output(const struct guest *guest)
{
	return read_file(guest->output_path);
}

char *guest_log(const struct guest *guest)
{
	return read_file(guest->log_path);
}

static int make_temporary(char *path, size_t size, const char *what)
{
	int fd;

	snprintf(path, size, "/tmp/adit-test-%s-XXXXXX", what);
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* What a life does there: takes in who has left, and does what it is asked. */
static uint64_t serve_errands(void *arg, struct machine *machine)
{
	struct guest *guest = arg;
	void (*errand)(struct guest * guest, void *arg);
	char id[CONFIG_ID_MAX + 1];

	hotplug_let_go(machine_hotplug(machine));
	pthread_mutex_lock(&guest->lock);
	while (hotplug_departed(machine_hotplug(machine), id))
		guest->departed++;
	errand = guest->errand;
	pthread_mutex_unlock(&guest->lock);
	if (errand)
		errand(guest, guest->errand_arg);
	pthread_mutex_lock(&guest->lock);
	if (errand)
		guest->errand = NULL;
	pthread_cond_broadcast(&guest->changed);
	pthread_mutex_unlock(&guest->lock);
	return 0;
}

void guest_do(struct guest *guest, void (*fn)(struct guest *guest, void *arg), void *arg)
{
	pthread_mutex_lock(&guest->lock);
	guest->errand_arg = arg;
	guest->errand = fn;
	hotplug_wake(machine_hotplug(guest->machine));
	while (guest->errand && !guest->over)
		pthread_cond_wait(&guest->changed, &guest->lock);
	pthread_mutex_unlock(&guest->lock);
	assert_false(guest->over);
}

void guest_await_departed(struct guest *guest, unsigned int n)
{
	pthread_mutex_lock(&guest->lock);
	while (guest->departed < n && !guest->over)
		pthread_cond_wait(&guest->changed, &guest->lock);
	pthread_mutex_unlock(&guest->lock);
	assert_true(guest->departed >= n);
}

static int create(struct guest *guest, const struct snapshot *snapshot, const char *payload,
		  const char *words, const char *members)
{
	struct machine_options options = {
		.config = &guest->config,
		.kvm_fd = -1,
		.errands = serve_errands,
		.errands_arg = guest,
		.snapshot = snapshot,
	};
	char text[8192], what[512];

	memset(guest, 0, sizeof(*guest));
	pthread_mutex_init(&guest->lock, NULL);
	pthread_cond_init(&guest->changed, NULL);
	if (access("/dev/kvm", R_OK | W_OK))
		skip_because("no /dev/kvm");
	close(make_temporary(guest->output_path, sizeof(guest->output_path), "serial"));
	guest->log_fd = make_temporary(guest->log_path, sizeof(guest->log_path), "log");
	guest->log = (struct log){ .fd = guest->log_fd, .level = LOG_DEBUG };
	guest->over_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(guest->over_fd >= 0);
	options.log = &guest->log;
	guest->sandbox.log = &guest->log;
	assert_ok(sandbox_start(&guest->sandbox, &guest->err), &guest->err);
	options.sandbox = &guest->sandbox;

	if (strchr(payload, '/'))
		snprintf(what, sizeof(what), "\"kernel\": \"%s\"", payload);
	else
		snprintf(what, sizeof(what), "\"flat\": \"%s/guest/%s.bin\", \"address\": \"2M\"",
			 build_directory(), payload);
	snprintf(text, sizeof(text),
		 "{\"payload\": {%s, \"cmdline\": \"%s\"}, "
		 "\"serial\": {\"mode\": \"File\", \"file\": \"%s\"}, \"debug_exit\": true%s}",
		 what, words, guest->output_path, members ? members : "");
	assert_ok(config_parse(&guest->config, text, strlen(text), &guest->err), &guest->err);
	return machine_create(&guest->machine, &options, &guest->err);
}

int guest_create(struct guest *guest, const char *payload, const char *words, const char *members)
{
	return create(guest, NULL, payload, words, members);
}

/* The payload is not looked for: another name than that of the saved one says so. */
int guest_restore(struct guest *guest, const char *path, const char *members)
{
	struct snapshot snapshot;
	struct err err;
	int ret;

	assert_ok(snapshot_open(&snapshot, path, &err), &err);
	ret = create(guest, &snapshot, "none", "", members);
	snapshot_close(&snapshot);
	return ret;
}

static void on_guard(void *arg)
{
	machine_stop(arg);
}

static void *run(void *arg)
{
	struct guest *guest = arg;
	struct loop_timer *guard = NULL;

	loop_timer(machine_loop(guest->machine), GUARD_NS, on_guard, guest->machine, &guard, NULL);
	guest->end = machine_run(guest->machine, false);
	loop_timer_cancel(guard);
	pthread_mutex_lock(&guest->lock);
	guest->over = true;
	pthread_cond_broadcast(&guest->changed);
	pthread_mutex_unlock(&guest->lock);
	if (eventfd_write(guest->over_fd, 1))
		abort();
	return NULL;
}

void guest_start(struct guest *guest)
{
	assert_int_equal(pthread_create(&guest->thread, NULL, run, guest), 0);
	guest->started = true;
}

enum machine_end guest_wait(struct guest *guest)
{
	pthread_join(guest->thread, NULL);
	guest->started = false;
	return guest->end;
}

enum machine_end guest_run(struct guest *guest)
{
	run(guest);
	return guest->end;
}

void guest_destroy(struct guest *guest)
{
	if (guest->started) {
		machine_stop(guest->machine);
		guest_wait(guest);
	}
	machine_destroy(guest->machine);
	config_free(&guest->config);
	close(guest->over_fd);
	close(guest->log_fd);
	unlink(guest->output_path);
	unlink(guest->log_path);
	pthread_cond_destroy(&guest->changed);
	pthread_mutex_destroy(&guest->lock);
}

static void print_all(const struct guest *guest)
{
	char *output = guest_output(guest), *log = guest_log(guest);

	print_message("%s\n%s\n", output, log);
	free(output);
	free(log);
}

static bool guest_says(const struct guest *guest, const char *text)
{
	char *output = guest_output(guest);
	bool found = strstr(output, text) != NULL;

	free(output);
	return found;
}

void guest_expect(struct guest *guest, const char *text)
{
	int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct pollfd fds[] = { { .fd = notify, .events = POLLIN },
				{ .fd = guest->over_fd, .events = POLLIN } };
	bool found, last = false;
	char events[4096];

	assert_true(notify >= 0);
	assert_true(inotify_add_watch(notify, guest->output_path, IN_MODIFY) >= 0);
	/* What was said before the end is looked at once more after it. */
	while (!(found = guest_says(guest, text)) && !last) {
		last = poll(fds, 2, (int)(GUARD_NS / 1000000)) <= 0 || fds[1].revents;
		while (read(notify, events, sizeof(events)) > 0)
			;
	}
	close(notify);
	if (found)
		return;
	print_all(guest);
	fail_msg("the guest did not say '%s'%s", text,
		 fds[1].revents ? ", and its machine has ended" : "");
}

void guest_assert_passed(const struct guest *guest, unsigned int least)
{
	char *output = guest_output(guest), *rest = output, *line;
	unsigned int ok = 0, bad = 0;

	while ((line = strsep(&rest, "\r\n"))) {
		ok += !strncmp(line, "ok ", 3);
		bad += !strncmp(line, "not ok ", 7);
		if (!strncmp(line, "not ok ", 7) || !strncmp(line, "skip ", 5))
			print_message("guest: %s\n", line);
	}
	if (bad || ok < least) {
		free(output);
		print_all(guest);
		fail_msg("the guest passed %u checks (at least %u are wanted) and failed %u", ok,
			 least, bad);
	}
	free(output);
}

void guest_passes(const char *payload, const char *words, const char *members, unsigned int least)
{
	struct guest guest;

	assert_ok(guest_create(&guest, payload, words, members), &guest.err);
	guest_run(&guest);
	guest_assert_passed(&guest, least);
	assert_int_equal(guest.end, MACHINE_OFF);
	guest_destroy(&guest);
}
