/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that ends a bench which does not get on, and what must not outlive the bench. */
#include "bench/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/clock.h"

#define SCRATCH_MAX 16u /* of all benches in one run */
#define KILL_MS	    5000
#define CHILDREN    2u /* a server, and its client */

struct watch {
	const char *bench;
	unsigned int patience;
	pthread_t thread;
	pthread_mutex_t lock; /* of all that follows */
	bool stop;
	double deadline; /* 0: no turn is under way */
	double allowed;	 /* seconds of it, beside the patience */
	void (*keep)(void *arg, bool stalled, const char *why);
	void *keep_arg;
	char turn[160], state[200];
	bool spare; /* is the turn: a child of it is killed before the bench ends */
	bool late;  /* and it was */
	char late_state[200];
	pid_t child[CHILDREN];
	unsigned int children;
	char scratch[SCRATCH_MAX][PATH_MAX];
};

static void remove_directory(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

/* Of a child that a device holds inside the kernel nobody waits for the end. */
static void end_child(pid_t pid)
{
	struct pollfd fd = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };

	kill(pid, SIGKILL);
	if (fd.fd >= 0 && poll(&fd, 1, KILL_MS) == 1)
		waitpid(pid, NULL, WNOHANG);
	if (fd.fd >= 0)
		close(fd.fd);
}

static void clean(struct watch *watch)
{
	while (watch->children)
		end_child(watch->child[--watch->children]);
	for (unsigned int i = 0; i < SCRATCH_MAX; i++) {
		if (watch->scratch[i][0])
			remove_directory(watch->scratch[i]);
	}
}

static void limit_text(const struct watch *watch, char *text, size_t size)
{
	if (watch->allowed > 0)
		snprintf(text, size, "%u s (--patience) beyond the %.3g s that its jobs ask for",
			 watch->patience, watch->allowed);
	else
		snprintf(text, size, "%u s (--patience)", watch->patience);
}

/*
 * Called with the lock, which nobody gets again: no turn goes on beside the end. Said before
 * anything is done, for what is killed or written to may be what stalls.
 */
__attribute__((noreturn)) static void end(struct watch *watch, int signal)
{
	bool stalled = signal == SIGALRM;
	char why[600], limit[96];

	limit_text(watch, limit, sizeof(limit));
	if (stalled)
		snprintf(why, sizeof(why), "no end within %s: %s%s%s", limit, watch->turn,
			 watch->state[0] ? ": " : "", watch->state);
	else
		snprintf(why, sizeof(why), "ended by %s%s%s", strsignal(signal),
			 watch->deadline != 0 ? " during " : "",
			 watch->deadline != 0 ? watch->turn : "");
	if (stalled)
		fprintf(stderr, "adit bench %s: %s; it ends with status 1\n", watch->bench, why);
	clean(watch);
	if (watch->keep)
		watch->keep(watch->keep_arg, stalled, why);
	_exit(stalled ? 1 : 128 + signal);
}

/*
 * A turn is late. Called with the lock, which keeps a child's number its own (reap in child.c).
 * From the child's end to that of the turn there is little to do.
 */
static void give_up(struct watch *watch)
{
	if (!watch->spare || watch->late || !watch->children)
		end(watch, SIGALRM);
	watch->late = true;
	memcpy(watch->late_state, watch->state, sizeof(watch->late_state));
	kill(watch->child[watch->children - 1], SIGKILL);
	watch->deadline = now_seconds() + KILL_MS / 1e3;
}

/* Sleeps until a signal, or until the turn of the time it fell asleep is late: seldom. */
static void *watch_thread(void *arg)
{
	struct watch *watch = arg;
	double until = now_seconds() + watch->patience;
	sigset_t set;

	watch_child_signals(&set);
	for (;;) {
		double left = until - now_seconds();
		struct timespec pause = { .tv_sec = 0 };
		int signal;

		if (left > 0) {
			pause.tv_sec = (time_t)left;
			pause.tv_nsec = (long)((left - (double)pause.tv_sec) * 1e9);
		}
		signal = sigtimedwait(&set, NULL, &pause);
		pthread_mutex_lock(&watch->lock);
		if (watch->stop) {
			pthread_mutex_unlock(&watch->lock);
			return NULL;
		}
		if (signal == SIGINT || signal == SIGTERM)
			end(watch, signal);
		if (watch->deadline != 0 && now_seconds() >= watch->deadline)
			give_up(watch);
		until = watch->deadline != 0 ? watch->deadline : now_seconds() + watch->patience;
		pthread_mutex_unlock(&watch->lock);
	}
}

int watch_start(struct watch **watch, const char *bench, unsigned int patience, struct err *err)
{
	struct watch *w = calloc(1, sizeof(*w));
	sigset_t set;

	*watch = NULL;
	if (!w)
		return err_set(err, ENOMEM, "no memory");
	w->bench = bench;
	w->patience = patience;
	pthread_mutex_init(&w->lock, NULL);
	watch_child_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (pthread_create(&w->thread, NULL, watch_thread, w)) {
		free(w);
		return err_set(err, EAGAIN, "no thread for the watch");
	}
	*watch = w;
	return 0;
}

void watch_stop(struct watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watch->lock);
	watch->stop = true;
	pthread_mutex_unlock(&watch->lock);
	pthread_kill(watch->thread, SIGUSR1);
	pthread_join(watch->thread, NULL);
	clean(watch);
	pthread_mutex_destroy(&watch->lock);
	free(watch);
}

void watch_keep(struct watch *watch, void (*keep)(void *arg, bool stalled, const char *why),
		void *arg)
{
	pthread_mutex_lock(&watch->lock);
	watch->keep = keep;
	watch->keep_arg = arg;
	pthread_mutex_unlock(&watch->lock);
}

void watch_turn(struct watch *watch, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&watch->lock);
	watch->state[0] = 0;
	watch->spare = false;
	watch->late = false;
	watch->allowed = 0;
	watch->deadline = fmt ? now_seconds() + watch->patience : 0;
	if (fmt) {
		va_start(ap, fmt);
		vsnprintf(watch->turn, sizeof(watch->turn), fmt, ap);
		va_end(ap);
	}
	pthread_mutex_unlock(&watch->lock);
}

void watch_allow(struct watch *watch, double seconds)
{
	pthread_mutex_lock(&watch->lock);
	watch->allowed += seconds;
	watch->deadline += seconds;
	pthread_mutex_unlock(&watch->lock);
}

void watch_limit(struct watch *watch, char *text, size_t size)
{
	pthread_mutex_lock(&watch->lock);
	limit_text(watch, text, size);
	pthread_mutex_unlock(&watch->lock);
}

void watch_spare(struct watch *watch)
{
	pthread_mutex_lock(&watch->lock);
	watch->spare = true;
	pthread_mutex_unlock(&watch->lock);
}

bool watch_late(struct watch *watch, char *state, size_t size)
{
	bool late;

	pthread_mutex_lock(&watch->lock);
	late = watch->late;
	snprintf(state, size, "%s", watch->late_state);
	pthread_mutex_unlock(&watch->lock);
	return late;
}

void watch_state(struct watch *watch, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&watch->lock);
	va_start(ap, fmt);
	vsnprintf(watch->state, sizeof(watch->state), fmt, ap);
	va_end(ap);
	pthread_mutex_unlock(&watch->lock);
}

void watch_child(struct watch *watch, pid_t pid)
{
	pthread_mutex_lock(&watch->lock);
	if (!pid && watch->children)
		watch->children--;
	else if (pid && watch->children < CHILDREN)
		watch->child[watch->children++] = pid;
	pthread_mutex_unlock(&watch->lock);
}

void watch_child_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGUSR1);
}

int watch_scratch(struct watch *watch, const char *parent, char *path, size_t size, struct err *err)
{
	unsigned int i = 0;
	int ret = 0;

	pthread_mutex_lock(&watch->lock);
	while (i < SCRATCH_MAX && watch->scratch[i][0])
		i++;
	snprintf(path, size, "%.4000s/adit-bench-XXXXXX", parent ? parent : "/tmp");
	if (i == SCRATCH_MAX)
		ret = err_set(err, ENOSPC, "no more than %u scratch directories", SCRATCH_MAX);
	else if (!mkdtemp(path))
		ret = err_set(err, errno, "no scratch directory can be made in %s: %m",
			      parent ? parent : "/tmp");
	else
		snprintf(watch->scratch[i], sizeof(watch->scratch[i]), "%s", path);
	pthread_mutex_unlock(&watch->lock);
	return ret;
}
