/* SPDX-License-Identifier: Apache-2.0 */
/* Child programs, timed and weighed from outside. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/clock.h"
#include "bench/watch.h"

extern char **environ;

/* vfork-like spawn with stdout into a pipe; stdin and stderr are nowhere. */
static int spawn(struct turn *turn, char *const argv[], char *const env[], pid_t *pid, int *out)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int pipe_fds[2], ret;
	sigset_t signals;

	if (pipe2(pipe_fds, O_CLOEXEC))
		return -errno;
	/* What this process leaves to its watch is not blocked in a child. */
	sigemptyset(&signals);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &signals);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	ret = posix_spawnp(pid, argv[0], &actions, &attributes, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	close(pipe_fds[1]);
	if (ret) {
		close(pipe_fds[0]);
		return -ret;
	}
	*out = pipe_fds[0];
	watch_child(turn->run->watch, *pid);
	turn_state(turn, "waiting for output of %s", argv[0]);
	return 0;
}

/* The watch forgets it before its number can be another's. */
static void reap(struct turn *turn, pid_t pid, int *status)
{
	siginfo_t info;

	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	watch_child(turn->run->watch, 0);
	waitpid(pid, status, 0);
}

static char **with_env(const char *extra)
{
	size_t n = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 2, sizeof(*env));
	if (!env)
		abort();
	memcpy(env, environ, n * sizeof(*env));
	env[n] = (char *)extra;
	return env;
}

/* The end of what a child said, in which a marker may be split over several reads. */
struct tail {
	char text[8192];
	size_t used;
};

static bool tail_says(struct tail *tail, const char *marker)
{
	return memmem(tail->text, tail->used, marker, strlen(marker)) != NULL;
}

static ssize_t tail_read(struct tail *tail, int out)
{
	size_t room = sizeof(tail->text) / 2;
	ssize_t n;

	if (tail->used > room) {
		memmove(tail->text, tail->text + tail->used - room, room);
		tail->used = room;
	}
	n = read(out, tail->text + tail->used, sizeof(tail->text) - tail->used);
	if (n > 0)
		tail->used += (size_t)n;
	return n;
}

int child_time(struct turn *turn, char *const argv[], const char *env_extra, const char *marker,
	       bool leave, struct child_times *times)
{
	char **env = with_env(env_extra);
	struct tail tail = { .used = 0 };
	double start = now_ns();
	pid_t pid = -1;
	ssize_t n;
	int out = -1, ret = spawn(turn, argv, env, &pid, &out);

	free(env);
	if (ret)
		return ret;
	*times = (struct child_times){ 0 };
	do {
		n = tail_read(&tail, out);
		if (!times->first_output_ms)
			times->first_output_ms = (now_ns() - start) / 1e6;
		if (marker && !times->marker_ms && tail_says(&tail, marker))
			times->marker_ms = (now_ns() - start) / 1e6;
	} while (n > 0 && !(leave && times->marker_ms));
	if (n)
		kill(pid, SIGKILL);
	turn_state(turn, "waiting for the end of %s", argv[0]);
	reap(turn, pid, &times->status);
	times->exit_ms = (now_ns() - start) / 1e6;
	close(out);
	return n < 0 ? -EIO : 0;
}

int child_lines(struct turn *turn, char *const argv[], void (*line)(void *arg, int pid, char *text),
		void *arg, int *status)
{
	char text[4096];
	size_t used = 0;
	pid_t pid = -1;
	ssize_t n;
	int out = -1, ret = spawn(turn, argv, environ, &pid, &out);

	if (ret)
		return ret;
	while ((n = read(out, text + used, sizeof(text) - 1 - used)) > 0) {
		char *at = text, *end;

		used += (size_t)n;
		text[used] = 0;
		while ((end = strpbrk(at, "\r\n"))) {
			*end = 0;
			if (end > at) {
				turn_state(turn, "%s said last: %.100s", argv[0], at);
				line(arg, (int)pid, at);
			}
			at = end + 1;
		}
		used -= (size_t)(at - text);
		memmove(text, at, used);
		if (used == sizeof(text) - 1)
			used = 0;
	}
	if (n)
		kill(pid, SIGKILL);
	reap(turn, pid, status);
	close(out);
	return n < 0 ? -EIO : 0;
}

int child_look(struct turn *turn, char *const argv[], const char *wait_for,
	       int (*look)(int pid, void *arg), void *arg)
{
	struct tail tail = { .used = 0 };
	pid_t pid = -1;
	int out = -1, status, ret = spawn(turn, argv, environ, &pid, &out);

	if (ret)
		return ret;
	while (!tail_says(&tail, wait_for)) {
		ssize_t n = tail_read(&tail, out);

		if (n <= 0) {
			ret = n < 0 ? -EIO : -EPIPE;
			goto out;
		}
	}
	ret = look(pid, arg);
out:
	kill(pid, SIGKILL);
	reap(turn, pid, &status);
	close(out);
	return ret;
}

struct weight {
	uint64_t ram_bytes;
	double kib;
};

static int pss_without(int pid, void *arg)
{
	struct weight *weight = arg;
	char path[64], line[512];
	unsigned long long start, end, kib;
	bool counted = false;
	FILE *smaps;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	smaps = fopen(path, "re");
	if (!smaps)
		return -errno;
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			counted = end - start < weight->ram_bytes;
		else if (counted && sscanf(line, "Pss: %llu kB", &kib) == 1)
			weight->kib += (double)kib;
	}
	fclose(smaps);
	return 0;
}

int child_weigh(int pid, uint64_t ram_bytes, double *pss_kib)
{
	struct weight weight = { .ram_bytes = ram_bytes };
	int ret = pss_without(pid, &weight);

	*pss_kib = weight.kib;
	return ret;
}

int child_pss(struct turn *turn, char *const argv[], const char *wait_for, uint64_t ram_bytes,
	      double *pss_kib)
{
	struct weight weight = { .ram_bytes = ram_bytes };
	int ret = child_look(turn, argv, wait_for, pss_without, &weight);

	*pss_kib = weight.kib;
	return ret;
}

bool child_on_path(const char *program)
{
	const char *at = getenv("PATH");

	while (at && *at) {
		size_t n = strcspn(at, ":");
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%.*s/%s", (int)n, at, program);
		if (!access(path, X_OK))
			return true;
		at += n + (at[n] == ':');
	}
	return false;
}
