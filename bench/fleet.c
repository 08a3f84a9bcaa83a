/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench fleet: many VMs at once, each with a soft ADI and a PASID of its own, in the sandbox.
 * All are started without waiting for any; each guest moves memory through its ADI, is stopped at
 * the end of its window, and says so. Then they are weighed, and told to power off. Beside it,
 * where it is installed, as many of QEMU's microvm, whose guests have no ADI and only say that they
 * run, and which a signal ends without their guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/clock.h"
#include "bench/microvm.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "util/bits.h"

#define RAM_BYTES  (32 * MIB)
#define RAM_TEXT   "32M"
#define ROUNDS	   3u /* each is an average over all VMs already */
#define BRIEF_VMS  20u
#define TAIL_BYTES 256
#define NO_VM	   (-1)

enum contestant {
	ADIT,
	QEMU,
	CONTESTANTS
};

enum row {
	START,
	MEMORY,
	STOP
};

struct vm {
	pid_t pid; /* 0: ended and waited for */
	int out;   /* NO_VM: closed */
	bool verified;
	char tail[TAIL_BYTES]; /* of what it said */
	size_t used;
};

struct fleet {
	const struct bench_options *options;
	char work[PATH_MAX], bios[PATH_MAX];
	unsigned int n; /* 1 and more */
	struct vm *vms;
	struct pollfd *fds; /* as many */
};

/* --- one of them ----------------------------------------------------------------------------- */

static void config_path(const struct fleet *fleet, unsigned int i, char *path)
{
	snprintf(path, PATH_MAX, "%.4000s/vm%u.json", fleet->work, i);
}

static int write_config(const struct fleet *fleet, unsigned int i)
{
	char path[PATH_MAX];
	FILE *file;

	config_path(fleet, i, path);
	file = fopen(path, "we");
	if (!file)
		return -errno;
	fprintf(file,
		"{\"payload\": {\"flat\": \"%s/guest/fleet.bin\", \"address\": \"2M\", "
		"\"cmdline\": \"number=%u\"}, \"cpus\": {\"boot_vcpus\": 1}, "
		"\"memory\": {\"size\": \"" RAM_TEXT "\"}, \"serial\": {\"mode\": \"Tty\"}, "
		"\"debug_exit\": true, \"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", "
		"\"wqs\": [{\"size\": 16}], \"pasid\": {\"allow\": true}}], "
		"\"spaces\": [{\"id\": \"window\", \"offset\": \"8M\", \"size\": \"8M\"}], "
		"\"pasids\": [{\"guest\": 5, \"adi\": \"dsa0\", \"space\": \"window\"}]}",
		fleet->options->build, i);
	return fclose(file) ? -errno : 0;
}

/* In the child, which ends with us: there are too many for the watch to know them. */
static void become(char *const argv[], int out, pid_t bench, const sigset_t *signals)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == bench && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
	    dup2(out, STDOUT_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0 &&
	    !sigprocmask(SIG_SETMASK, signals, NULL))
		execvp(argv[0], argv);
	_exit(127);
}

static int start(const struct fleet *fleet, enum contestant who, unsigned int i, struct vm *vm)
{
	char adit[PATH_MAX], config[PATH_MAX];
	char *argv[MICROVM_WORDS] = { adit, (char *)"run", config, NULL };
	int pipe_fds[2];
	pid_t bench = getpid();
	sigset_t signals;

	*vm = (struct vm){ .out = NO_VM };
	snprintf(adit, sizeof(adit), "%.4000s/adit", fleet->options->build);
	config_path(fleet, i, config);
	if (who == QEMU)
		microvm_line(argv, fleet->bios, RAM_TEXT);
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	sigemptyset(&signals);
	vm->pid = fork();
	if (!vm->pid)
		become(argv, pipe_fds[1], bench, &signals);
	close(pipe_fds[1]);
	vm->out = pipe_fds[0];
	if (vm->pid > 0)
		return 0;
	vm->pid = 0;
	return -errno;
}

/* The end of what it said: false where it says nothing more. */
static bool hear(struct vm *vm, const char *marker)
{
	ssize_t n;

	if (vm->used > TAIL_BYTES / 2) {
		memmove(vm->tail, vm->tail + vm->used - TAIL_BYTES / 2, TAIL_BYTES / 2);
		vm->used = TAIL_BYTES / 2;
	}
	n = read(vm->out, vm->tail + vm->used, TAIL_BYTES - vm->used);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	vm->used += (size_t)n;
	vm->verified = vm->verified || memmem(vm->tail, vm->used, marker, strlen(marker)) != NULL;
	return n > 0;
}

static void drop(struct vm *vm)
{
	if (vm->out >= 0)
		close(vm->out);
	vm->out = NO_VM;
}

/* --- all of them ----------------------------------------------------------------------------- */

static int start_all(struct turn *turn, struct err *err)
{
	const struct fleet *fleet = turn->opaque;

	for (unsigned int i = 0; i < fleet->n; i++) {
		int ret = start(fleet, turn->party, i, &fleet->vms[i]);

		if (ret)
			return err_set(err, -ret, "VM %u of %u: %s", i, fleet->n, strerror(-ret));
	}
	return 0;
}

static int hear_all(const struct fleet *fleet, enum contestant who, struct err *err)
{
	for (unsigned int i = 0; i < fleet->n; i++) {
		struct vm *vm = &fleet->vms[i];
		char marker[32] = MICROVM_SAYS;

		if (!fleet->fds[i].revents || vm->verified)
			continue;
		if (who == ADIT)
			snprintf(marker, sizeof(marker), "verified %u\n", i);
		if (!hear(vm, marker) && !vm->verified)
			return err_set(err, EIO,
				       "VM %u of %u ended before its guest said what it should", i,
				       fleet->n);
	}
	return 0;
}

static int wait_verified(struct turn *turn, struct err *err)
{
	const struct fleet *fleet = turn->opaque;
	unsigned int left = fleet->n;
	int ret = 0;

	while (!ret && left) {
		turn_state(turn, "waiting for %u of %u guests", left, fleet->n);
		for (unsigned int i = 0; i < fleet->n; i++)
			fleet->fds[i] = (struct pollfd){
				.fd = fleet->vms[i].verified ? -1 : fleet->vms[i].out,
				.events = POLLIN,
			};
		if (poll(fleet->fds, fleet->n, -1) < 0 && errno != EINTR)
			ret = err_set(err, errno, "poll: %s", strerror(errno));
		if (!ret)
			ret = hear_all(fleet, turn->party, err);
		left = 0;
		for (unsigned int i = 0; i < fleet->n; i++)
			left += !fleet->vms[i].verified;
	}
	return ret;
}

static int weigh_all(const struct fleet *fleet, double *mib, struct err *err)
{
	double sum = 0;

	for (unsigned int i = 0; i < fleet->n; i++) {
		double kib;
		int ret = child_weigh(fleet->vms[i].pid, RAM_BYTES, &kib);

		if (ret)
			return err_set(err, -ret, "memory of VM %u: %s", i, strerror(-ret));
		sum += kib;
	}
	*mib = sum / 1024 / fleet->n;
	return 0;
}

/* What they still say has nowhere to go, and must not keep them: so their pipes stay open. */
static int stop_all(struct turn *turn, struct err *err)
{
	const struct fleet *fleet = turn->opaque;
	int status, ret = 0;

	for (unsigned int i = 0; i < fleet->n; i++)
		kill(fleet->vms[i].pid, SIGTERM);
	for (unsigned int i = 0; i < fleet->n; i++) {
		turn_state(turn, "waiting for the end of VM %u of %u", i, fleet->n);
		waitpid(fleet->vms[i].pid, &status, 0);
		fleet->vms[i].pid = 0;
		if (turn->party == ADIT && !ret && (!WIFEXITED(status) || WEXITSTATUS(status)))
			ret = err_set(err, EIO, "VM %u ended with status %#x", i,
				      (unsigned int)status);
	}
	return ret;
}

static void kill_all(const struct fleet *fleet)
{
	for (unsigned int i = 0; i < fleet->n; i++) {
		if (fleet->vms[i].pid > 0) {
			kill(fleet->vms[i].pid, SIGKILL);
			waitpid(fleet->vms[i].pid, NULL, 0);
		}
		drop(&fleet->vms[i]);
		fleet->vms[i].pid = 0;
	}
}

static int fleet_turn(struct turn *turn, struct err *err)
{
	const struct fleet *fleet = turn->opaque;
	double begin = now_ns(), verified, mib = 0;
	int ret = start_all(turn, err);

	if (!ret)
		ret = wait_verified(turn, err);
	verified = now_ns();
	if (!ret)
		ret = weigh_all(fleet, &mib, err);
	if (!ret) {
		turn_put(turn, START, (verified - begin) / 1e6 / fleet->n);
		turn_put(turn, MEMORY, mib);
		begin = now_ns();
		ret = stop_all(turn, err);
		turn_put(turn, STOP, (now_ns() - begin) / 1e6 / fleet->n);
	}
	kill_all(fleet);
	return ret;
}

/* --- the bench ------------------------------------------------------------------------------- */

static int prepare(struct fleet *fleet, struct err *err)
{
	int ret;

	snprintf(fleet->bios, sizeof(fleet->bios), "%.4000s/bios", fleet->work);
	ret = microvm_bios(fleet->bios, MICROVM_HALT);
	for (unsigned int i = 0; i < fleet->n && !ret; i++)
		ret = write_config(fleet, i);
	fleet->vms = calloc(MAX(fleet->n, 1u), sizeof(*fleet->vms));
	fleet->fds = calloc(MAX(fleet->n, 1u), sizeof(*fleet->fds));
	if (!ret && (!fleet->vms || !fleet->fds))
		ret = -ENOMEM;
	for (unsigned int i = 0; fleet->vms && i < fleet->n; i++)
		fleet->vms[i].out = NO_VM;
	return ret ? err_set(err, -ret, "%s: %s", fleet->work, strerror(-ret)) : 0;
}

int bench_fleet(struct bench_run *run, struct err *err)
{
	static const struct contest_row rows[] = {
		[START] = { .name = "from the first exec to the last guest's word, by VM",
			    .unit = "ms" },
		[MEMORY] = { .name = "memory beyond guest RAM (PSS), by VM", .unit = "MiB" },
		[STOP] = { .name = "from the first signal to the last end, by VM", .unit = "ms" },
	};
	struct fleet fleet = {
		.options = run->options,
		.n = run->options->brief ? MIN(run->options->vms, BRIEF_VMS) : run->options->vms,
	};
	const bool qemu = child_on_path(MICROVM_PROGRAM);
	struct contest contest = {
		.name = "fleet",
		.parties = { "adit", "qemu-microvm" },
		.party_count = qemu ? CONTESTANTS : QEMU,
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.warm_up = 1,
		.rounds_max = ROUNDS,
		.turn = fleet_turn,
		.opaque = &fleet,
	};
	int ret = watch_scratch(run->watch, NULL, fleet.work, sizeof(fleet.work), err);

	if (!ret)
		ret = prepare(&fleet, err);
	if (!ret)
		ret = contest_hold(&contest, run, err);
	free(fleet.vms);
	free(fleet.fds);
	if (!qemu)
		results_note(run->results,
			     MICROVM_PROGRAM " is not installed: no comparison with it");
	results_note(run->results,
		     "%u VMs at once, 1 vCPU, " RAM_TEXT
		     ", a soft ADI with a PASID each: verified, "
		     "then powered off by their guests; QEMU's have no ADI, and are ended",
		     fleet.n);
	return ret;
}
