/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs guest payloads for host-side tests, in this process: a configuration is made around the
 * payload, the machine is the real one on /dev/kvm, its serial port is a file that can be read at
 * any moment. A guest that never ends is stopped by a guard and fails its test.
 */
#ifndef ADIT_TESTS_GUEST_HARNESS_H
#define ADIT_TESTS_GUEST_HARNESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/unit/check.h"
#include "util/log.h"
#include "util/sandbox.h"
#include "vmm/config.h"
#include "vmm/machine.h"

struct guest {
	struct machine *machine;
	struct config config;
	struct log log;
	struct sandbox sandbox; /* its threads have their filters, the test has none */
	char output_path[64], log_path[64];
	int log_fd;
	enum machine_end end;
	struct err err;
	pthread_t thread; /* guest_start to guest_wait */
	bool started;
	/* guest_do: what the machine's thread shall call. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	void (*errand)(struct guest *guest, void *arg);
	void *errand_arg;
	unsigned int departed; /* functions that have left the machine */
	bool over;
	int over_fd; /* an eventfd, readable from then on */
};

/*
 * Makes the machine. payload: a name under build/guest/, or a path with a '/', which is then given
 * as a kernel. words: the command line. members: more JSON members (", \"cpus\": {...}"), may be
 * NULL; they come after "payload", "serial" and "debug_exit". Returns machine_create's answer; the
 * reason is in guest->err. Skips the test where there is no /dev/kvm.
 */
int guest_create(struct guest *guest, const char *payload, const char *words, const char *members);
/* The same with the state of a machine that was saved, instead of a payload. */
int guest_restore(struct guest *guest, const char *snapshot, const char *members);
/* On a thread of its own, until guest_wait. */
void guest_start(struct guest *guest);
enum machine_end guest_wait(struct guest *guest);
/* fn on the machine's thread, between guest_start and guest_wait; fails where it has ended. */
void guest_do(struct guest *guest, void (*fn)(struct guest *guest, void *arg), void *arg);
/* Waits until so many functions have left. */
void guest_await_departed(struct guest *guest, unsigned int n);
/* start and wait. */
enum machine_end guest_run(struct guest *guest);
void guest_destroy(struct guest *guest);

/* Waits until the serial output holds `text`; fails the test where the machine ends before. */
void guest_expect(struct guest *guest, const char *text);
/* Everything so far, to be freed. */
char *guest_output(const struct guest *guest);
char *guest_log(const struct guest *guest);
/* The output holds at least `least` lines "ok ..." and none "not ok ...". */
void guest_assert_passed(const struct guest *guest, unsigned int least);

/* create, run, assert that it powered off well and passed, destroy. */
void guest_passes(const char *payload, const char *words, const char *members, unsigned int least);

/* Whether this CPU executes MOVDIR64B (also where CPUID hides it). */
bool host_has_movdir64b(void);

/* Where the build is: $ADIT_BUILD, or build. */
const char *build_directory(void);

#endif
