/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One io_uring event loop: descriptors that become ready, timers, and work posted from other
 * threads, all called on the thread that runs the loop. Handlers must not block.
 *
 * loop_post and loop_stop may be called from any thread (and loop_stop from a signal handler), and
 * so may loop_watch and loop_unwatch: from another one they wait for the loop's, so not with a lock
 * held that a handler takes. Everything else only from the loop's thread, or while it does not run.
 */
#ifndef ADIT_UTIL_LOOP_H
#define ADIT_UTIL_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

struct loop;
struct loop_watch;
struct loop_timer;

/* -ENOSYS or -EPERM where the host forbids io_uring; the sentence names the sysctl. */
int loop_create(struct loop **out, struct err *err);
/* All watches and timers must be removed; posted work that did not run is dropped. */
void loop_destroy(struct loop *loop);

/* Runs until loop_stop. 0 or -errno of the ring. */
int loop_run(struct loop *loop);
/* loop_run returns after the handler that is running; a stop before the run counts too. */
void loop_stop(struct loop *loop);

/*
 * events: POLLIN, POLLOUT, ... fn is called with those that are there for as long as they are
 * (level-triggered), and with POLLERR, POLLHUP and POLLNVAL, which nobody need ask for. POLLRDHUP,
 * a peer that has ended its own half alone, is only for who asks for it. fd stays the caller's and
 * must be open until loop_unwatch.
 */
int loop_watch(struct loop *loop, int fd, uint32_t events, void (*fn)(void *arg, uint32_t ready),
	       void *arg, struct loop_watch **out, struct err *err);
/*
 * While held, the descriptor is not looked at; what was on its way still comes, once. On the loop's
 * thread only.
 */
void loop_watch_hold(struct loop_watch *watch, bool hold);
/* fn is not called any more, also not for events already taken from the ring. NULL is allowed. */
void loop_unwatch(struct loop_watch *watch);

/* Calls fn once, after `ns` nanoseconds of CLOCK_MONOTONIC. */
int loop_timer(struct loop *loop, uint64_t ns, void (*fn)(void *arg), void *arg,
	       struct loop_timer **out, struct err *err);
/* Before or after it fired; frees it. fn is not called any more. NULL is allowed. */
void loop_timer_cancel(struct loop_timer *timer);

/*
 * What can be seen in memory sooner than a descriptor tells of it, such as a ring that a guest
 * fills. What was soon there the last times, the loop looks for before it sleeps: for some
 * microseconds, by what it has learned of that poller (util/spin.h).
 *
 * loop_poll: a wait begins. True: `look` is called again and again until it has found something or
 * `rest` is called, so that nobody need tell. False: it does not pay, and whoever brings something
 * has to. loop_poll_came: what was waited for is there, whoever found it. loop_poll_end: nobody
 * waits any more. The last two end the polling, also of who does not poll.
 *
 * look: whether there was something; it was done, after loop_poll_came. rest: the polling has
 * ended without: whoever brings something has to tell from now on. True: there was something
 * already, and it was done.
 */
struct loop_poller {
	bool (*look)(void *arg);
	bool (*rest)(void *arg);
	void *arg;
	/* The loop's. */
	struct loop_poller *prev, *next;
	bool on, waiting;
	uint64_t since, ns; /* when the wait began; how long to look */
};
bool loop_poll(struct loop *loop, struct loop_poller *poller);
void loop_poll_came(struct loop *loop, struct loop_poller *poller);
void loop_poll_end(struct loop *loop, struct loop_poller *poller);
/* For at most so many nanoseconds, 0, as at first: never. Before loop_run. */
void loop_poll_most(struct loop *loop, uint64_t ns);

/*
 * Any thread. How long who becomes ready may wait is how long a turn takes: from when the kernel
 * says what there is to when the loop asks it again.
 */
struct loop_stats {
	uint64_t turns, busy_ns;
	uint64_t longest_ns; /* of all turns so far */
};
void loop_read_stats(const struct loop *loop, struct loop_stats *stats);

/*
 * Has fn called on the loop's thread. The caller owns `work` and keeps it until fn runs; posting
 * what is pending already does nothing. Wakes the loop at most once per batch. Returns true where
 * this call queued it.
 */
struct loop_work {
	struct loop_work *next;
	void (*fn)(void *arg);
	void *arg;
	bool pending; /* atomic */
};
bool loop_post(struct loop *loop, struct loop_work *work);

#endif
