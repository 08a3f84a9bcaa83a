/* SPDX-License-Identifier: Apache-2.0 */
/* virtaditd: its options, and the order in which it comes up and goes down. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libxml/parser.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libvirt-driver/daemon.h"
#include "libvirt-driver/domain.h"
#include "libvirt-driver/node-change.h"
#include "libvirt-driver/node-watch.h"
#include "libvirt-driver/run.h"
#include "libvirt-driver/server.h"
#include "libvirt-driver/stats.h"
#include "libvirt-driver/store.h"
#include "util/bits.h"

#define SOCKET	      "/run/libvirt/virtaditd-sock"
#define SOCKET_RO     "/run/libvirt/virtaditd-sock-ro"
#define STATE_DIR     "/var/lib/adit/libvirt"
#define RUN_DIR	      "/run/adit/libvirt"
#define MAX_LISTENERS 4u
#define NS_PER_S      1000000000ull
#define TIMEOUT_MAX   (365ul * 86400)
#define FIRST_FD      3 /* sd_listen_fds(3) */

struct virtaditd {
	struct log log;
	struct daemon daemon;
	struct host host;
	const char *socket, *socket_ro;
	mode_t mode, mode_ro;
	char adit[PATH_MAX];
	char socket_path[PATH_MAX], socket_ro_path[PATH_MAX], state_path[PATH_MAX];
	char run_path[PATH_MAX]; /* of a session */
	uint64_t timeout_ns;	 /* 0: none */
	struct loop_timer *timer;
	uint64_t sessions_seen;
	struct listener *listeners[MAX_LISTENERS];
	unsigned int n_listeners;
	int signals;
	struct loop_watch *watch;
};

static int usage(void)
{
	fprintf(stderr,
		"usage: virtaditd [OPTIONS]\n\n"
		"  --socket PATH        where clients connect (" SOCKET ")\n"
		"  --socket-ro PATH     where clients that may only look do (" SOCKET_RO ")\n"
		"  --mode OCTAL         of the first (0600: one who may write is as good as root)\n"
		"  --mode-ro OCTAL      of the second (0600)\n"
		"  --state-dir DIR      definitions (" STATE_DIR ")\n"
		"  --run-dir DIR        what runs (" RUN_DIR ")\n"
		"  --adit PATH          the program that runs a domain\n"
		"  --uids FIRST-LAST    each runs as a user of these of its own\n"
		"  --timeout SECONDS    ends when nobody has come for so long and nothing runs\n"
		"  --host-root DIR      has the sys of another host, whose devices are shown\n"
		"  --log-json           log lines in JSON\n"
		"  --log-level LEVEL    error, warn, info or debug\n"
		"  --version, --help\n\n"
		"For another user than root these are of a session: the sockets in\n"
		"$XDG_RUNTIME_DIR/libvirt, definitions in $XDG_CONFIG_HOME/adit/libvirt.\n");
	return 2;
}

static bool parse_mode(const char *text, mode_t *mode)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 8);
	if (*text < '0' || *text > '7' || *end || errno || value > 0777)
		return false;
	*mode = (mode_t)value;
	return true;
}

static bool parse_timeout(const char *text, uint64_t *ns)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value > TIMEOUT_MAX)
		return false;
	*ns = value * NS_PER_S;
	return true;
}

/* It stands in XML and in nobody's shell: plain characters only. */
static bool parse_adit(struct virtaditd *all, const char *text)
{
	if (!realpath(text, all->adit) || access(all->adit, X_OK))
		return false;
	for (const char *at = all->adit; *at; at++) {
		if ((unsigned char)*at < 0x20 || strchr("<>&'\"\x7f", *at))
			return false;
	}
	all->daemon.adit = all->adit;
	return true;
}

/* Numbers that nobody else has: none of them is root, or no user at all. */
static bool parse_uids(struct daemon *daemon, const char *text)
{
	unsigned long long first, last;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	first = strtoull(text, &end, 10);
	if (*end != '-' || !isdigit((unsigned char)end[1]))
		return false;
	last = strtoull(end + 1, &end, 10);
	if (*end || !first || first > last || last >= UINT32_MAX)
		return false;
	daemon->uid_first = (uint32_t)first;
	daemon->uid_last = (uint32_t)last;
	return true;
}

static int parse_option(struct virtaditd *all, int c)
{
	switch (c) {
	case 's':
		all->socket = optarg;
		return 0;
	case 'o':
		all->socket_ro = optarg;
		return 0;
	case 'm':
		return parse_mode(optarg, &all->mode) ? 0 : -EINVAL;
	case 'n':
		return parse_mode(optarg, &all->mode_ro) ? 0 : -EINVAL;
	case 'd':
		all->daemon.state_dir = optarg;
		return 0;
	case 'r':
		all->daemon.run_dir = optarg;
		return 0;
	case 'a':
		if (parse_adit(all, optarg))
			return 0;
		fprintf(stderr, "virtaditd: --adit %s: no program that can be run\n", optarg);
		return -EINVAL;
	case 'u':
		if (!geteuid() && parse_uids(&all->daemon, optarg))
			return 0;
		fprintf(stderr,
			"virtaditd: --uids %s: takes FIRST-LAST, two numbers from 1 to 4294967294, "
			"and root to give them\n",
			optarg);
		return -EINVAL;
	case 'h':
		all->host.root = optarg;
		return 0;
	case 't':
		return parse_timeout(optarg, &all->timeout_ns) ? 0 : -EINVAL;
	case 'j':
		all->log.json = true;
		return 0;
	case 'l':
		return log_level_parse(optarg, &all->log.level);
	default:
		return -EINVAL;
	}
}

/* Where libvirt's clients look for the daemon of a user: "libvirt session" of their URI. */
static int place_session(struct virtaditd *all)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *config = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");

	if (!runtime || *runtime != '/' || ((!config || *config != '/') && (!home || *home != '/')))
		return -ENOENT;
	snprintf(all->socket_path, PATH_MAX, "%s/libvirt/virtaditd-sock", runtime);
	snprintf(all->socket_ro_path, PATH_MAX, "%s/libvirt/virtaditd-sock-ro", runtime);
	snprintf(all->run_path, PATH_MAX, "%s/adit/libvirt", runtime);
	if (config && *config == '/')
		snprintf(all->state_path, PATH_MAX, "%s/adit/libvirt", config);
	else
		snprintf(all->state_path, PATH_MAX, "%s/.config/adit/libvirt", home);
	all->socket = all->socket_path;
	all->socket_ro = all->socket_ro_path;
	all->daemon.state_dir = all->state_path;
	all->daemon.run_dir = all->run_path;
	return 0;
}

/* Beside this program, as it is installed and as it is built, or behind ../../bin. */
static void find_adit(struct virtaditd *all)
{
	static const char *const places[] = { "adit", "../../bin/adit", "../bin/adit" };
	char self[PATH_MAX], path[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return;
	self[n] = 0;
	slash = strrchr(self, '/');
	if (!slash)
		return;
	*slash = 0;
	for (size_t i = 0; i < ARRAY_SIZE(places) && !all->daemon.adit; i++) {
		snprintf(path, sizeof(path), "%s/%s", self, places[i]);
		parse_adit(all, path);
	}
}

static int parse(struct virtaditd *all, int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "socket-ro", required_argument, NULL, 'o' },
		{ "mode", required_argument, NULL, 'm' },
		{ "mode-ro", required_argument, NULL, 'n' },
		{ "state-dir", required_argument, NULL, 'd' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "adit", required_argument, NULL, 'a' },
		{ "uids", required_argument, NULL, 'u' },
		{ "host-root", required_argument, NULL, 'h' },
		{ "timeout", required_argument, NULL, 't' },
		{ "log-json", no_argument, NULL, 'j' },
		{ "log-level", required_argument, NULL, 'l' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (parse_option(all, c))
			return -EINVAL;
	}
	if (optind < argc)
		return -EINVAL;
	if (!all->daemon.adit)
		find_adit(all);
	if (!all->daemon.adit)
		log_line(&all->log, LOG_WARN, "main",
			 "adit is not where it could be found; domains "
			 "will not start without --adit");
	return 0;
}

/* --- up and down ----------------------------------------------------------------------------- */

static void on_signal(void *arg, uint32_t ready)
{
	struct signalfd_siginfo info;
	struct virtaditd *all = arg;

	if (read(all->signals, &info, sizeof(info)) == sizeof(info))
		loop_stop(all->daemon.loop);
}

static int open_signals(struct virtaditd *all, struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	all->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (all->signals < 0)
		return err_set(err, errno, "no signalfd: %s", strerror(errno));
	return loop_watch(all->daemon.loop, all->signals, POLLIN, on_signal, all, &all->watch, err);
}

/* How many sockets systemd has handed over: sd_listen_fds(3). */
static unsigned int inherited(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	unsigned long n = 0;

	if (pid && fds && strtol(pid, NULL, 10) == getpid())
		n = strtoul(fds, NULL, 10);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return n > MAX_LISTENERS ? MAX_LISTENERS : (unsigned int)n;
}

static int open_listeners(struct virtaditd *all, struct err *err)
{
	unsigned int n = inherited();
	int ret = 0;

	for (unsigned int i = 0; i < n && !ret; i++) {
		fcntl(FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC);
		ret = listener_adopt(&all->listeners[all->n_listeners++], &all->daemon,
				     FIRST_FD + (int)i, err);
	}
	if (n || ret)
		return ret;
	ret = listener_open(&all->listeners[all->n_listeners++], &all->daemon, all->socket,
			    all->mode, false, err);
	if (!ret)
		ret = listener_open(&all->listeners[all->n_listeners++], &all->daemon,
				    all->socket_ro, all->mode_ro, true, err);
	return ret;
}

/* Each that is missing, from the top down. */
static int make_parents_of(const char *path, mode_t mode, struct err *err)
{
	char parent[PATH_MAX];
	int dir;

	snprintf(parent, sizeof(parent), "%s", path);
	for (char *slash = strchr(parent + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (access(parent, F_OK)) {
			dir = store_open_dir(parent, err);
			if (dir < 0)
				return dir;
			fchmod(dir, mode);
			close(dir);
		}
		*slash = '/';
	}
	return 0;
}

/* Domains' users come to what is theirs in it, and see nothing else. */
static int open_run_dir(const char *path, struct err *err)
{
	char parent[PATH_MAX];
	int dir = store_open_dir(path, err), ret;
	struct stat st;

	if (dir < 0)
		return dir;
	ret = fchmod(dir, 0711) < 0 ? err_set(err, errno, "%s: %s", path, strerror(errno)) : 0;
	close(dir);
	snprintf(parent, sizeof(parent), "%s", path);
	for (char *slash; !ret && (slash = strrchr(parent, '/')) && slash != parent;) {
		*slash = 0;
		if (!stat(parent, &st) && !(st.st_mode & S_IXOTH))
			ret = err_set(err, EACCES,
				      "%s: the users of --uids cannot pass it on their way to %s: "
				      "\"chmod o+x %s\", or another --run-dir",
				      parent, path, parent);
	}
	return ret;
}

/* RUN_DIR's parent is adit-keeper's too; each makes it where it is missing. */
static int make_parents(const struct virtaditd *all, struct err *err)
{
	int ret = make_parents_of(all->daemon.state_dir, 0700, err);

	if (!ret)
		ret = make_parents_of(all->daemon.run_dir, all->daemon.uid_first ? 0711 : 0700,
				      err);
	return ret || !all->daemon.uid_first ? ret : open_run_dir(all->daemon.run_dir, err);
}

/* --- a daemon that nobody needs -------------------------------------------------------------- */

static void on_timeout(void *arg);

static int wait_for_nobody(struct virtaditd *all, struct err *err)
{
	all->sessions_seen = all->daemon.last_session;
	if (!all->timeout_ns)
		return 0;
	return loop_timer(all->daemon.loop, all->timeout_ns, on_timeout, all, &all->timer, err);
}

static bool is_needed(const struct virtaditd *all)
{
	if (all->daemon.sessions || all->daemon.last_session != all->sessions_seen)
		return true;
	for (const struct domain *domain = all->daemon.domains; domain; domain = domain->next) {
		if (domain->live)
			return true;
	}
	return false;
}

static void on_timeout(void *arg)
{
	struct virtaditd *all = arg;

	loop_timer_cancel(all->timer);
	all->timer = NULL;
	if (!is_needed(all) || wait_for_nobody(all, NULL))
		loop_stop(all->daemon.loop);
}

static int come_up(struct virtaditd *all, struct err *err)
{
	int ret = loop_create(&all->daemon.loop, err);

	if (!ret)
		ret = open_signals(all, err);
	if (!ret)
		ret = make_parents(all, err);
	if (!ret)
		ret = store_load(&all->daemon, err);
	if (!ret)
		ret = run_find_all(&all->daemon, err);
	/* The sockets last: who can connect finds what is there. */
	if (!ret)
		ret = open_listeners(all, err);
	return ret ? ret : wait_for_nobody(all, err);
}

/* Domains go on: whoever comes up next finds them. */
static void go_down(struct virtaditd *all)
{
	for (unsigned int i = 0; i < all->n_listeners; i++)
		listener_close(all->listeners[i]);
	stats_free_all(&all->daemon);
	node_changes_forget(&all->daemon);
	node_watch_end(&all->daemon);
	domains_free(&all->daemon);
	loop_unwatch(all->watch);
	loop_timer_cancel(all->timer);
	if (all->signals >= 0)
		close(all->signals);
	if (all->daemon.loop)
		loop_destroy(all->daemon.loop);
	xmlCleanupParser();
}

int main(int argc, char **argv)
{
	struct virtaditd all = {
		.log = { .fd = STDERR_FILENO, .level = LOG_INFO },
		.daemon = { .state_dir = STATE_DIR, .run_dir = RUN_DIR },
		.host = { .root = "" },
		.socket = SOCKET,
		.socket_ro = SOCKET_RO,
		.mode = 0600,
		.mode_ro = 0600,
		.signals = -1,
	};
	struct err err = { 0 };
	int ret;

	all.daemon.log = &all.log;
	all.daemon.host = &all.host;
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("virtaditd %s\n", ADIT_VERSION);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--help")) {
		usage();
		return 0;
	}
	/* Where it cannot be told, the options must. */
	if (geteuid())
		place_session(&all);
	if (parse(&all, argc, argv))
		return usage();
	xmlInitParser();
	ret = come_up(&all, &err);
	if (ret) {
		log_line(&all.log, LOG_ERROR, "main", "%s", err.text);
	} else {
		log_line(&all.log, LOG_INFO, "main", "%zu domains, serving", all.daemon.n_domains);
		run_autostart(&all.daemon);
		ret = loop_run(all.daemon.loop);
	}
	go_down(&all);
	return ret ? 1 : 0;
}
