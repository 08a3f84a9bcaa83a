/* SPDX-License-Identifier: Apache-2.0 */
/* Child programs, timed and weighed from outside. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

#define PATIENCE_MS 60000

extern char **environ;

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* vfork-like spawn with stdout into a pipe; stdin and stderr are nowhere. */
static int spawn(char *const argv[], char *const env[], pid_t *pid, int *out)
{
	posix_spawn_file_actions_t actions;
	int pipe_fds[2], ret;

	if (pipe2(pipe_fds, O_CLOEXEC))
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	ret = posix_spawnp(pid, argv[0], &actions, NULL, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_fds[1]);
	if (ret) {
		close(pipe_fds[0]);
		return -ret;
	}
	*out = pipe_fds[0];
	return 0;
}

/* Waits for output and appends it; 0 at its end. */
static ssize_t more(int out, char *buffer, size_t size)
{
	struct pollfd fd = { .fd = out, .events = POLLIN };

	if (poll(&fd, 1, PATIENCE_MS) <= 0)
		return -ETIMEDOUT;
	return read(out, buffer, size);
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
	n = more(out, tail->text + tail->used, sizeof(tail->text) - tail->used);
	if (n > 0)
		tail->used += (size_t)n;
	return n;
}

int child_time(char *const argv[], const char *env_extra, const char *marker, bool leave,
	       struct child_times *times)
{
	char **env = with_env(env_extra);
	struct tail tail = { .used = 0 };
	double start = now_ms();
	pid_t pid = -1;
	ssize_t n;
	int out = -1, ret = spawn(argv, env, &pid, &out);

	free(env);
	if (ret)
		return ret;
	*times = (struct child_times){ 0 };
	do {
		n = tail_read(&tail, out);
		if (!times->first_output_ms)
			times->first_output_ms = now_ms() - start;
		if (marker && !times->marker_ms && tail_says(&tail, marker))
			times->marker_ms = now_ms() - start;
	} while (n > 0 && !(leave && times->marker_ms));
	if (n)
		kill(pid, SIGKILL);
	waitpid(pid, &times->status, 0);
	times->exit_ms = now_ms() - start;
	close(out);
	return n < 0 ? (int)n : 0;
}

int child_lines(char *const argv[], void (*line)(void *arg, int pid, char *text), void *arg,
		int *status)
{
	char text[4096];
	size_t used = 0;
	pid_t pid = -1;
	ssize_t n;
	int out = -1, ret = spawn(argv, environ, &pid, &out);

	if (ret)
		return ret;
	while ((n = more(out, text + used, sizeof(text) - 1 - used)) > 0) {
		char *at = text, *end;

		used += (size_t)n;
		text[used] = 0;
		while ((end = strpbrk(at, "\r\n"))) {
			*end = 0;
			if (end > at)
				line(arg, (int)pid, at);
			at = end + 1;
		}
		used -= (size_t)(at - text);
		memmove(text, at, used);
		if (used == sizeof(text) - 1)
			used = 0;
	}
	if (n)
		kill(pid, SIGKILL);
	waitpid(pid, status, 0);
	close(out);
	return n < 0 ? (int)n : 0;
}

static int pss_without(pid_t pid, uint64_t ram_bytes, double *pss_kib)
{
	char path[64], line[512];
	unsigned long long start, end, kib;
	bool counted = false;
	FILE *smaps;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	smaps = fopen(path, "re");
	if (!smaps)
		return -errno;
	*pss_kib = 0;
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			counted = end - start < ram_bytes;
		else if (counted && sscanf(line, "Pss: %llu kB", &kib) == 1)
			*pss_kib += (double)kib;
	}
	fclose(smaps);
	return 0;
}

int child_pss(char *const argv[], const char *wait_for, uint64_t ram_bytes, double *pss_kib)
{
	struct tail tail = { .used = 0 };
	pid_t pid = -1;
	int out = -1, status, ret = spawn(argv, environ, &pid, &out);

	if (ret)
		return ret;
	while (!tail_says(&tail, wait_for)) {
		ssize_t n = tail_read(&tail, out);

		if (n <= 0) {
			ret = n < 0 ? (int)n : -EPIPE;
			goto out;
		}
	}
	ret = pss_without(pid, ram_bytes, pss_kib);
out:
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(out);
	return ret;
}
