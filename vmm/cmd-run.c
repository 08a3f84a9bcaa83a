/* SPDX-License-Identifier: Apache-2.0 */
/* adit run: one VM in the foreground, from its configuration to its end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "util/log.h"
#include "util/loop.h"
#include "vmm/command.h"
#include "vmm/config.h"
#include "vmm/machine.h"
#include "vmm/start-keeper.h"

#define NS_PER_MS 1000000ull

struct run {
	const char *path, *run_dir;
	char **argv;
	int keeper; /* the keeper that started us; 0: none */
	bool no_reboot;
	struct log log;
	struct config config;
	struct machine *machine;
	int signals; /* signalfd of SIGTERM and SIGINT */
	bool asked;  /* the power button was pressed */
	struct loop_timer *grace;
};

static void on_grace_over(void *arg)
{
	struct run *run = arg;

	log_line(&run->log, LOG_WARN, "run",
		 "the guest did not power off within %u ms of its power button: stopped",
		 run->config.shutdown_timeout_ms);
	machine_stop(run->machine);
}

/* The power button first; force at the second signal, or when the guest takes too long. */
static void on_signal(void *arg, uint32_t ready)
{
	struct signalfd_siginfo info;
	struct run *run = arg;

	if (read(run->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (run->asked) {
		machine_stop(run->machine);
		return;
	}
	run->asked = true;
	log_line(&run->log, LOG_INFO, "run", "signal %u: pressing the power button",
		 info.ssi_signo);
	machine_power_button(run->machine);
	if (loop_timer(machine_loop(run->machine), run->config.shutdown_timeout_ms * NS_PER_MS,
		       on_grace_over, run, &run->grace, NULL))
		machine_stop(run->machine);
}

static int open_signals(struct run *run)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	run->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signals < 0 ? -errno : 0;
}

/* One life of the machine, from power-on to its end or reset. */
static int run_once(struct run *run, enum machine_end *end, struct err *err)
{
	const struct machine_options options = {
		.config = &run->config,
		.log = &run->log,
		.kvm_fd = -1,
		.keeper_fd = run->keeper,
	};
	struct loop_watch *watch = NULL;
	int ret = machine_create(&run->machine, &options, err);

	if (ret)
		return ret;
	ret = loop_watch(machine_loop(run->machine), run->signals, POLLIN, on_signal, run, &watch,
			 err);
	if (!ret)
		*end = machine_run(run->machine);
	loop_unwatch(watch);
	loop_timer_cancel(run->grace);
	run->grace = NULL;
	machine_destroy(run->machine);
	run->machine = NULL;
	return ret;
}

static int status_of(enum machine_end end)
{
	return end == MACHINE_OFF || end == MACHINE_RESET ? EXIT_OK : EXIT_FAILED;
}

static int run_all(struct run *run)
{
	enum machine_end end;
	struct err err;

	if (config_load(&run->config, run->path, &err)) {
		log_line(&run->log, LOG_ERROR, "config", "%s", err.text);
		return EXIT_CONFIG;
	}
	/* Before anything else is there; it starts us again. Others than root are refused later. */
	if (!run->keeper && keeper_is_needed(&run->config) && !geteuid()) {
		keeper_exec(&run->config, run->run_dir, run->argv, &err);
		log_line(&run->log, LOG_ERROR, "run", "%s", err.text);
		return EXIT_FAILED;
	}
	if (open_signals(run)) {
		log_line(&run->log, LOG_ERROR, "run", "no signalfd: %s", strerror(errno));
		return EXIT_FAILED;
	}
	do {
		if (run_once(run, &end, &err)) {
			log_line(&run->log, LOG_ERROR, "run", "%s", err.text);
			return EXIT_FAILED;
		}
	} while (end == MACHINE_RESET && !run->no_reboot && !run->asked);
	return status_of(end);
}

/* A descriptor past the standard ones that is open, which from now on is ours alone; else -1. */
static int parse_fd(const char *text)
{
	char *end;
	long fd = strtol(text, &end, 10);

	if (!*text || *end || fd <= STDERR_FILENO || fd > INT_MAX ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC))
		return -1;
	return (int)fd;
}

static int parse(struct run *run, int argc, char **argv)
{
	static const struct option options[] = {
		{ "no-reboot", no_argument, NULL, 'n' },
		{ "log-json", no_argument, NULL, 'j' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "keeper-fd", required_argument, NULL, 'k' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			run->no_reboot = true;
			break;
		case 'j':
			run->log.json = true;
			break;
		case 'r':
			run->run_dir = optarg;
			break;
		case 'k':
			run->keeper = parse_fd(optarg);
			if (run->keeper > 0)
				break;
			fprintf(stderr, "adit run: --keeper-fd %s: adit-keeper alone gives this\n",
				optarg);
			return -EINVAL;
		case 'l':
			if (!log_level_parse(optarg, &run->log.level))
				break;
			fprintf(stderr, "adit run: --log-level %s: error, warn, info or debug\n",
				optarg);
			return -EINVAL;
		default:
			return -EINVAL;
		}
	}
	if (optind != argc - 1) {
		fprintf(stderr, "usage: adit run CONFIG [--no-reboot] [--log-json] "
				"[--log-level error|warn|info|debug] [--run-dir DIR]\n");
		return -EINVAL;
	}
	run->path = argv[optind];
	return 0;
}

int cmd_run(int argc, char **argv)
{
	struct run run = { .log = { .fd = STDERR_FILENO, .level = LOG_INFO }, .signals = -1 };
	int status = EXIT_CONFIG;

	/* getopt moves the arguments about, and the keeper wants them as they came. */
	run.argv = calloc((size_t)argc + 1, sizeof(*run.argv));
	if (!run.argv)
		return EXIT_FAILED;
	memcpy(run.argv, argv, (size_t)argc * sizeof(*run.argv));
	if (!parse(&run, argc, argv))
		status = run_all(&run);
	free(run.argv);
	if (run.signals >= 0)
		close(run.signals);
	config_free(&run.config);
	return status;
}
