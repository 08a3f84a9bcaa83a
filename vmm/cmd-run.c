/* SPDX-License-Identifier: Apache-2.0 */
/* adit run: one VM in the foreground, from its configuration, or its first client, to its end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "passthrough/adi/idxd-spawner.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/loop.h"
#include "util/sandbox.h"
#include "vmm/adis.h"
#include "vmm/api/server.h"
#include "vmm/command.h"
#include "vmm/config.h"
#include "vmm/event-monitor.h"
#include "vmm/life.h"
#include "vmm/machine.h"
#include "vmm/namespaces.h"
#include "vmm/paths.h"
#include "vmm/start-keeper.h"
#include "vmm/user.h"

#define NS_PER_MS 1000000ull

struct run {
	const char *path, *run_dir, *socket; /* each may be NULL */
	const char *user, *group;	     /* as whom; NULL: as who started it */
	const char *restore;		     /* a snapshot to go on from; NULL: none */
	int restore_fd;			     /* one that is open; 0: none */
	const char *events;		     /* where events go as lines; NULL: nowhere */
	int events_fd;			     /* where that is a descriptor; else 0 */
	char **argv;
	int keeper; /* the keeper that started us; 0: none */
	bool no_reboot;
	bool paused;
	bool unconfined; /* --sandbox=off */
	bool landlock;
	unsigned int namespaces;		      /* --namespaces */
	struct paths_rule rules[PATHS_MAX_RULES + 1]; /* and the snapshot */
	size_t n_rules;
	struct log log;
	struct sandbox sandbox;
	struct idxd_spawner *spawner;  /* NULL: none */
	struct event_monitor *monitor; /* NULL: none */
	struct life *life;
	struct server *server; /* NULL: no API */
	struct loop *loop;     /* which signals are watched on: the server's, or the machine's */
	struct loop_watch *watch;
	int signals; /* signalfd of SIGTERM and SIGINT */
	bool asked;  /* the power button was pressed */
	bool forced; /* and that was not enough */
	struct loop_timer *grace;
};

static void on_grace_over(void *arg)
{
	struct run *run = arg;

	log_line(&run->log, LOG_WARN, "run",
		 "the guest did not power off within %u ms of its power button: stopped",
		 life_grace_ms(run->life));
	run->forced = true;
	life_quit(run->life);
}

/* The power button first; force at the second signal, or when the guest takes too long. */
static void on_signal(void *arg, uint32_t ready)
{
	struct signalfd_siginfo info;
	struct run *run = arg;

	if (read(run->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (run->asked) {
		run->forced = true;
		life_quit(run->life);
		return;
	}
	run->asked = true;
	log_line(&run->log, LOG_INFO, "run", "signal %u: pressing the power button",
		 info.ssi_signo);
	if (life_end_softly(run->life) &&
	    loop_timer(run->loop, life_grace_ms(run->life) * NS_PER_MS, on_grace_over, run,
		       &run->grace, NULL))
		life_quit(run->life);
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

static int watch_signals(struct run *run, struct loop *loop, struct err *err)
{
	run->loop = loop;
	return loop_watch(loop, run->signals, POLLIN, on_signal, run, &run->watch, err);
}

static void unwatch_signals(struct run *run)
{
	loop_unwatch(run->watch);
	loop_timer_cancel(run->grace);
	run->watch = NULL;
	run->grace = NULL;
}

/* Without an API there is no loop but the machine's. */
static int on_begun(void *arg, struct machine *machine, struct err *err)
{
	struct run *run = arg;

	return run->server ? 0 : watch_signals(run, machine_loop(machine), err);
}

static void on_ended(void *arg)
{
	struct run *run = arg;

	if (!run->server)
		unwatch_signals(run);
}

static const struct sandbox *sandbox_of(const struct run *run)
{
	return run->unconfined ? NULL : &run->sandbox;
}

static int tell_state(void *arg, const struct life_view *view)
{
	event_monitor_tell(arg, "state", life_state_name(view->state));
	return 0;
}

/* As to clients of the API, the first line says where things stand. */
static void start_monitor(struct run *run)
{
	if (!run->monitor)
		return;
	life_look(run->life, tell_state, run->monitor);
	life_watch(run->life, event_monitor_tell, run->monitor);
}

static int start_server(struct run *run, struct err *err)
{
	int ret = run->socket ? server_create(&run->server, run->socket, run->life, &run->log, err)
			      : 0;

	if (ret || !run->server)
		return ret;
	ret = watch_signals(run, server_loop(run->server), err);
	return ret ? ret : server_start(run->server, sandbox_of(run), err);
}

/* An end that a client asked for is none that the machine met. */
static int status_of(const struct run *run, int ret, enum machine_end end)
{
	if (run->forced)
		return EXIT_FAILED;
	if (run->server && (!run->path || end == MACHINE_STOPPED))
		return EXIT_OK;
	return !ret && (end == MACHINE_OFF || end == MACHINE_RESET) ? EXIT_OK : EXIT_FAILED;
}

static int serve(struct run *run, struct err *err)
{
	enum machine_end end;
	int ret = open_signals(run);

	if (ret) {
		err_set(err, -ret, "no signalfd: %s", strerror(-ret));
		log_line(&run->log, LOG_ERROR, "run", "%s", err->text);
		return EXIT_FAILED;
	}
	if (run->unconfined)
		log_line(&run->log, LOG_WARN, "sandbox",
			 "off, as --sandbox=off says: a guest that breaks out has the rights of "
			 "uid %u",
			 geteuid());
	start_monitor(run);
	ret = sandbox_start(sandbox_of(run), err);
	if (!ret)
		ret = start_server(run, err);
	if (ret) {
		log_line(&run->log, LOG_ERROR, "run", "%s", err->text);
		return EXIT_FAILED;
	}
	ret = life_run(run->life, run->path, &end);
	/* Its answers and events are sent before this returns; after it nobody is called. */
	server_stop(run->server);
	return status_of(run, ret, end);
}

/* With another user the nodes of devices are opened by somebody who may. */
static bool keeper_is_wanted(const struct run *run)
{
	const struct config *config = run->path ? life_config(run->life) : NULL;

	return config && !run->keeper && !geteuid() &&
	       (keeper_is_needed(config) || (run->user && config->n_devices));
}

/*
 * The kernel forgets with the old user that our parent's end is ours too: it is told again, and one
 * that ended meanwhile has closed its end of what we have.
 */
static int change_user(const struct run *run, const struct user *user, int alive, struct err *err)
{
	struct pollfd parents[] = { { .fd = run->keeper ? run->keeper : -1 }, { .fd = alive } };
	int ret = user_become(user, err);

	if (ret || !(run->keeper || alive >= 0))
		return ret;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (poll(parents, ARRAY_SIZE(parents), 0) > 0)
		return err_set(err, EPIPE, "the process that started this one has ended");
	return 0;
}

/* Before anything is opened but the configuration; who the user is, no later root may say. */
static int settle(struct run *run, struct err *err)
{
	const struct namespaces_options options = {
		.which = run->namespaces,
		.config = life_config(run->life),
		.api_socket = run->socket,
		.rules = run->rules,
		.n_rules = run->n_rules,
		.log = &run->log,
	};
	struct namespaces_entered entered;
	struct user user;
	int ret = run->user ? user_find(&user, "/etc", run->user, run->group, err) : 0;

	if (!ret)
		ret = namespaces_enter(&options, &entered, err);
	if (ret)
		return ret;
	life_in_namespaces(run->life, entered.which);
	return run->user ? change_user(run, &user, entered.alive, err) : 0;
}

/* From here on no file is opened that neither the configuration nor the operator names. */
static int confine(const struct run *run, struct err *err)
{
	int ret;

	if (!run->landlock)
		return 0;
	ret = paths_confine(life_config(run->life), run->socket, run->rules, run->n_rules, err);
	if (!ret)
		log_line(
			&run->log, LOG_INFO, "sandbox",
			"Landlock: the files of the configuration, %zu rules beside, and no others",
			run->n_rules);
	return ret;
}

/* Before there is another thread, or memory of a guest; as whom the VM is, with its files. */
static int start_spawner(struct run *run, struct err *err)
{
	const struct config *config = run->path ? life_config(run->life) : NULL;
	int ret;

	if (!adis_need_spawner(config, run->socket))
		return 0;
	ret = adis_start_spawner(&run->spawner, config, sandbox_of(run), err);
	life_has_spawner(run->life, run->spawner);
	return ret;
}

/* What was inherited was so past the keeper, whose child has it; from here on it is ours alone. */
static int take_inherited(struct run *run, struct err *err)
{
	const int ours[] = { run->keeper, run->restore_fd, run->events_fd };

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		if (ours[i] > STDERR_FILENO)
			fcntl(ours[i], F_SETFD, FD_CLOEXEC);
	}
	/* Before there is another root or user: as who starts us, as the log is. */
	return run->events ? event_monitor_open(&run->monitor, run->events, err) : 0;
}

static int run_all(struct run *run)
{
	const struct life_options options = {
		.log = &run->log,
		.keeper = run->keeper,
		.sandbox = sandbox_of(run),
		.no_reboot = run->no_reboot,
		.stay = !run->path,
		.restore = run->restore,
		.restore_fd = run->restore_fd,
		.paused = run->paused,
		.begun = on_begun,
		.ended = on_ended,
		.arg = run,
	};
	struct err err;
	int status;

	if (life_create(&run->life, &options, &err))
		return EXIT_FAILED;
	if (run->path && life_load(run->life, run->path, run->socket, &err)) {
		log_line(&run->log, LOG_ERROR, "config", "%s", err.text);
		status = EXIT_CONFIG;
	} else if (keeper_is_wanted(run)) {
		/* Before anything else is there; it starts us again. Others are refused later. */
		keeper_exec(life_config(run->life), run->run_dir, run->socket, run->argv, &err);
		log_line(&run->log, LOG_ERROR, "run", "%s", err.text);
		status = EXIT_FAILED;
	} else if (take_inherited(run, &err) || settle(run, &err) || confine(run, &err) ||
		   start_spawner(run, &err)) {
		log_line(&run->log, LOG_ERROR, "run", "%s", err.text);
		status = EXIT_FAILED;
	} else {
		status = serve(run, &err);
	}
	unwatch_signals(run);
	server_destroy(run->server);
	life_destroy(run->life);
	event_monitor_close(run->monitor);
	idxd_spawner_end(run->spawner);
	return status;
}

/* Open, and by who started us: what we have opened ourselves is closed on exec. */
static bool is_given(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* A descriptor past the standard ones that we were given; else -1. */
static int parse_fd(const char *text)
{
	char *end;
	long fd = strtol(text, &end, 10);

	if (!*text || *end || fd <= STDERR_FILENO || fd > INT_MAX || !is_given((int)fd))
		return -1;
	return (int)fd;
}

static int parse_events(struct run *run, const char *target)
{
	struct err err;
	int fd = event_monitor_parse(target, &err);

	if (fd > 0 && !is_given(fd))
		fd = err_set(&err, EBADF, "no descriptor past 0 that is open");
	if (fd < 0) {
		fprintf(stderr, "adit run: --event-monitor %s: %s\n", target, err.text);
		return -EINVAL;
	}
	run->events = target;
	run->events_fd = fd;
	return 0;
}

static int add_rule(struct run *run, const char *text)
{
	struct err err = { .text = "at most 16 rules" };

	if (run->n_rules < PATHS_MAX_RULES &&
	    !paths_rule_parse(&run->rules[run->n_rules], text, &err)) {
		run->n_rules++;
		return 0;
	}
	fprintf(stderr, "adit run: --landlock-rules: %s\n", err.text);
	return -EINVAL;
}

/* What keeps a process to files has to know them. */
static int check_files(const struct run *run)
{
	bool kept = run->landlock || run->namespaces & NAMESPACE_MOUNT;

	if (kept ? run->path != NULL : !run->n_rules)
		return 0;
	fprintf(stderr, "adit run: %s\n",
		!kept ? "--landlock-rules: only with --landlock or --namespaces=mount"
		: run->landlock
			? "--landlock: only with CONFIG, which says what is needed"
			: "--namespaces=mount: only with CONFIG, which says what is needed");
	return -EINVAL;
}

static int usage(FILE *to)
{
	fprintf(to, "usage: adit run [CONFIG] [--api-socket PATH] [--paused] [--no-reboot]\n"
		    "                [--restore SNAPSHOT | --restore-fd N]\n"
		    "                [--event-monitor fd=N|path=FILE]\n"
		    "                [--log-json] [--log-level error|warn|info|debug]\n"
		    "                [--sandbox=on|off] [--user USER [--group GROUP]]\n"
		    "                [--namespaces=mount,pid,net,ipc,uts] [--landlock]\n"
		    "                [--landlock-rules path=PATH,access=r|rw]... [--run-dir DIR]\n"
		    "Without CONFIG there must be --api-socket.\n");
	return to == stdout ? 0 : -EINVAL;
}

static int parse(struct run *run, int argc, char **argv)
{
	static const struct option options[] = {
		{ "no-reboot", no_argument, NULL, 'n' },
		{ "log-json", no_argument, NULL, 'j' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "keeper-fd", required_argument, NULL, 'k' },
		{ "api-socket", required_argument, NULL, 'a' },
		{ "sandbox", required_argument, NULL, 's' },
		{ "user", required_argument, NULL, 'u' },
		{ "group", required_argument, NULL, 'g' },
		{ "landlock", no_argument, NULL, 'L' },
		{ "landlock-rules", required_argument, NULL, 'R' },
		{ "namespaces", required_argument, NULL, 'N' },
		{ "restore", required_argument, NULL, 'S' },
		{ "restore-fd", required_argument, NULL, 'F' },
		{ "paused", no_argument, NULL, 'P' },
		{ "event-monitor", required_argument, NULL, 'E' },
		{ 0 },
	};
	struct err err;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			run->no_reboot = true;
			break;
		case 'j':
			run->log.json = true;
			break;
		case 'a':
			run->socket = optarg;
			break;
		case 's':
			run->unconfined = !strcmp(optarg, "off");
			if (run->unconfined || !strcmp(optarg, "on"))
				break;
			fprintf(stderr, "adit run: --sandbox=%s: on or off\n", optarg);
			return -EINVAL;
		case 'u':
			run->user = optarg;
			break;
		case 'g':
			run->group = optarg;
			break;
		case 'L':
			run->landlock = true;
			break;
		case 'R':
			if (add_rule(run, optarg))
				return -EINVAL;
			break;
		case 'N':
			if (!namespaces_parse(&run->namespaces, optarg, &err))
				break;
			fprintf(stderr, "adit run: --namespaces=%s: %s\n", optarg, err.text);
			return -EINVAL;
		case 'S':
			run->restore = optarg;
			break;
		case 'F':
			run->restore_fd = parse_fd(optarg);
			if (run->restore_fd > 0)
				break;
			fprintf(stderr,
				"adit run: --restore-fd %s: no descriptor past 2 that is open\n",
				optarg);
			return -EINVAL;
		case 'E':
			if (parse_events(run, optarg))
				return -EINVAL;
			break;
		case 'P':
			run->paused = true;
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
			return usage(stderr);
		}
	}
	if (optind < argc - 1 || (optind == argc && !run->socket) || (run->group && !run->user)) {
		return usage(stderr);
	}
	run->path = argv[optind]; /* NULL where there is none */
	if ((run->restore || run->restore_fd) && !run->path) {
		fprintf(stderr, "adit run: --restore: only with CONFIG, which says what the VM is; "
				"a VM of the API is restored by vm.restore\n");
		return -EINVAL;
	}
	if (run->restore && run->restore_fd) {
		fprintf(stderr, "adit run: --restore, --restore-fd: one of the two\n");
		return -EINVAL;
	}
	if (run->events_fd &&
	    (run->events_fd == run->keeper || run->events_fd == run->restore_fd)) {
		fprintf(stderr, "adit run: --event-monitor %s: that descriptor is %s\n",
			run->events,
			run->events_fd == run->keeper ? "the keeper's" : "--restore-fd's");
		return -EINVAL;
	}
	if (run->paused && !(run->path && run->socket)) {
		fprintf(stderr, "adit run: --paused: only with CONFIG and --api-socket, through "
				"which somebody resumes it\n");
		return -EINVAL;
	}
	return check_files(run);
}

/* What a VM goes on from is one of its files. */
static int allow_snapshot(struct run *run)
{
	bool kept = run->landlock || run->namespaces & NAMESPACE_MOUNT;
	char *path;

	if (!kept || !run->restore)
		return 0;
	path = strdup(run->restore);
	if (!path)
		return -ENOMEM;
	run->rules[run->n_rules++] = (struct paths_rule){ .path = path };
	return 0;
}

int cmd_run(int argc, char **argv)
{
	struct run run = { .log = { .fd = log_descriptor(STDERR_FILENO), .level = LOG_INFO },
			   .signals = -1 };
	int status = EXIT_CONFIG;

	if (argc == 2 && !strcmp(argv[1], "--help"))
		return usage(stdout);
	run.sandbox.log = &run.log;
	/* getopt moves the arguments about, and the keeper wants them as they came. */
	run.argv = calloc((size_t)argc + 1, sizeof(*run.argv));
	if (!run.argv)
		return EXIT_FAILED;
	memcpy(run.argv, argv, (size_t)argc * sizeof(*run.argv));
	if (!parse(&run, argc, argv) && !allow_snapshot(&run))
		status = run_all(&run);
	free(run.argv);
	while (run.n_rules)
		free(run.rules[--run.n_rules].path);
	if (run.signals >= 0)
		close(run.signals);
	return status;
}
