/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody who waits for the bench to get on. A turn that does not end (a device that stalls, a
 * guest that spins) ends the bench: with where it was, the last that the party said of itself, and
 * status 1; children are killed, scratch files removed and what was measured kept first, as upon
 * SIGINT and SIGTERM. Of a peer that is a program, and of who may try again, only the program is
 * ended, and its turn with it.
 */
#ifndef ADIT_BENCH_WATCH_H
#define ADIT_BENCH_WATCH_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "util/err.h"

struct watch;

/* patience: seconds that a turn may take. From here on SIGINT and SIGTERM are the watch's. */
int watch_start(struct watch **watch, const char *bench, unsigned int patience, struct err *err);
/* The end: removes scratch directories, and keeps nothing. */
void watch_stop(struct watch *watch);
/*
 * What becomes of the results of a bench that is ended: `keep` is called by the watch's thread,
 * just before the end of the process, while the others go on up to their next call of the watch.
 */
void watch_keep(struct watch *watch, void (*keep)(void *arg, bool stalled, const char *why),
		void *arg);

/* A turn begins; NULL: none is under way. */
void watch_turn(struct watch *watch, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The turn that has begun was asked to take so long, before anybody's patience begins. */
void watch_allow(struct watch *watch, double seconds);
/* How long it may take, in words. */
void watch_limit(struct watch *watch, char *text, size_t size);
/* The bench does not depend on the turn that has begun: where it is late, its youngest child is
 * killed, and the bench ends only where the turn does not even then. */
void watch_spare(struct watch *watch);
/* Whether that was so of the turn that is under way, and what its state was then. */
bool watch_late(struct watch *watch, char *state, size_t size);
/* What the party is waiting for; a stall's message ends with it. The deadline stays as it is. */
void watch_state(struct watch *watch, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A child to kill with it, up to two at a time; 0: the younger is none any more. */
void watch_child(struct watch *watch, pid_t pid);
/* The signals that a child has to have back. */
void watch_child_signals(sigset_t *set);

/*
 * A new directory inside `parent` (NULL: /tmp), which goes with its files (no directories in it) at
 * the end of the bench, whatever that is. 0 or -errno with a sentence.
 */
int watch_scratch(struct watch *watch, const char *parent, char *path, size_t size,
		  struct err *err);

#endif
