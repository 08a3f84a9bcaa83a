/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/unix-socket.h"
#include "vmm/config.h"
#include "vmm/new-root.h"
#include "vmm/paths.h"
#include "vmm/user.h"

static const struct {
	const char *name, *other; /* as unshare(1) and as systemd has it */
	unsigned int bit;
	int flag;
} kinds[NAMESPACES_MAX] = {
	{ "user", NULL, NAMESPACE_USER, CLONE_NEWUSER },
	{ "mount", "mnt", NAMESPACE_MOUNT, CLONE_NEWNS },
	{ "pid", NULL, NAMESPACE_PID, CLONE_NEWPID },
	{ "net", NULL, NAMESPACE_NET, CLONE_NEWNET },
	{ "ipc", NULL, NAMESPACE_IPC, CLONE_NEWIPC },
	{ "uts", NULL, NAMESPACE_UTS, CLONE_NEWUTS },
};

/* --- names ----------------------------------------------------------------------------------- */

static unsigned int bit_of(const char *word, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if ((strlen(kinds[i].name) == len && !strncmp(kinds[i].name, word, len)) ||
		    (kinds[i].other && strlen(kinds[i].other) == len &&
		     !strncmp(kinds[i].other, word, len)))
			return kinds[i].bit;
	}
	return 0;
}

int namespaces_parse(unsigned int *out, const char *text, struct err *err)
{
	*out = 0;
	for (const char *word = text; word; word = strchr(word, ',')) {
		size_t len;
		unsigned int bit;

		word += *word == ',';
		len = strcspn(word, ",");
		bit = bit_of(word, len);
		/* A user namespace comes by itself to who needs one; root would lose its devices.
		 */
		if (!bit || bit == NAMESPACE_USER)
			return err_set(err, EINVAL,
				       "\"%.*s\" is none: mount, pid, net, ipc and uts are, and "
				       "commas between them",
				       (int)MIN(len, 32u), word);
		*out |= bit;
	}
	return 0;
}

unsigned int namespaces_names(unsigned int which, const char *names[NAMESPACES_MAX])
{
	unsigned int n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (which & kinds[i].bit)
			names[n++] = kinds[i].name;
	}
	return n;
}

/* --- what cannot be had in them -------------------------------------------------------------- */

int namespaces_check_net(unsigned int which, const struct config_net *net, struct err *err)
{
	if (!(which & NAMESPACE_NET) || !net->tap)
		return 0;
	return err_set(err, EINVAL,
		       "\"tap\": %s is in the network namespace that --namespaces=net has left: "
		       "open it before and hand it over (\"fd\"), or leave net out",
		       net->tap);
}

/* /dev/ptmx belongs to the /dev/pts that it was mounted beside, which cannot be shown by itself. */
static int check_terminal(unsigned int which, enum config_serial mode, struct err *err)
{
	if (!(which & NAMESPACE_MOUNT) || mode != SERIAL_PTY)
		return 0;
	return err_set(err, EINVAL,
		       "\"mode\": \"Pty\" makes a terminal of the host, which --namespaces=mount "
		       "has left: use \"Socket\", or leave mount out");
}

int namespaces_check(unsigned int which, const struct config *config, struct err *err)
{
	const struct config_console *console = &config->console;

	for (size_t i = 0; i < config->n_net; i++) {
		if (namespaces_check_net(which, &config->net[i], err))
			return err_prefix(err, "/net/%zu", i);
	}
	if (check_terminal(which, config->serial.mode, err))
		return err_prefix(err, "/serial");
	if (!console->present)
		return 0;
	if (check_terminal(which, console->sink.mode, err))
		return err_prefix(err, "/console");
	for (size_t i = 0; i < console->n_ports; i++) {
		if (check_terminal(which, console->ports[i].sink.mode, err))
			return err_prefix(err, "/console/ports/%zu", i);
	}
	return 0;
}

/* --- the user namespace ---------------------------------------------------------------------- */

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ret = -errno;
	close(fd);
	return ret;
}

/*
 * Everybody whom a user namespace does not know has one number there. Who has it himself would take
 * them all for himself, and the API for welcome.
 */
static int check_stranger(uid_t uid, struct err *err)
{
	unsigned int stranger = 65534;
	FILE *file = fopen("/proc/sys/kernel/overflowuid", "re");

	if (file && fscanf(file, "%u", &stranger) != 1)
		stranger = uid;
	if (file)
		fclose(file);
	return uid != stranger
		       ? 0
		       : err_set(err, EPERM,
				 "--namespaces: uid %u is what everybody else's looks like in a user "
				 "namespace: use another user",
				 uid);
}

/* Who he was, and nobody else: the kernel lets everybody map that much (user_namespaces(7)). */
static int map_ids(uid_t uid, gid_t gid, struct err *err)
{
	char line[64];
	int ret = write_text("/proc/self/setgroups", "deny");

	snprintf(line, sizeof(line), "%u %u 1", uid, uid);
	if (!ret)
		ret = write_text("/proc/self/uid_map", line);
	snprintf(line, sizeof(line), "%u %u 1", gid, gid);
	if (!ret)
		ret = write_text("/proc/self/gid_map", line);
	return ret ? err_set(err, -ret, "a user namespace for uid %u: %s", uid, strerror(-ret)) : 0;
}

static int leave(unsigned int which, struct err *err)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int flags = 0;

	if (which & NAMESPACE_USER && check_stranger(uid, err))
		return -err->code;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		flags |= which & kinds[i].bit ? kinds[i].flag : 0;
	if (unshare(flags))
		return err_set(err, errno, "--namespaces: unshare: %s%s", strerror(errno),
			       which & NAMESPACE_USER
				       ? " (who is not root needs user namespaces; \"adit doctor\" "
					 "says what is in their way)"
				       : " (that takes CAP_SYS_ADMIN, and sysctl "
					 "user.max_*_namespaces above 0)");
	return which & NAMESPACE_USER ? map_ids(uid, gid, err) : 0;
}

/* --- the process namespace ------------------------------------------------------------------- */

/* What a terminal sends goes to all of its processes, the child too: that is not sent twice. */
static void hand_on(pid_t child, const siginfo_t *info)
{
	if (info->si_code != SI_KERNEL)
		kill(child, info->si_signo);
}

static int status_of(int status, const struct log *log)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	log_line(log, LOG_ERROR, "run", "the VM was killed by signal %d (%s)", WTERMSIG(status),
		 strsignal(WTERMSIG(status)));
	return EXIT_FAILURE;
}

/* Nothing of the VM is open here; so its end is seen by whoever waits for that. */
static __attribute__((noreturn)) void watch(pid_t child, int alive, const sigset_t *set,
					    const struct log *log)
{
	/* The log's own descriptor goes with the others. */
	const struct log last = { .fd = STDERR_FILENO, .level = log->level, .json = log->json };
	int status;

	if (alive > STDERR_FILENO + 1)
		syscall(SYS_close_range, STDERR_FILENO + 1, alive - 1, 0);
	syscall(SYS_close_range, alive + 1, ~0u, 0);
	for (;;) {
		siginfo_t info;
		int number = sigwaitinfo(set, &info);

		if (number > 0 && number != SIGCHLD)
			hand_on(child, &info);
		if (waitpid(child, &status, WNOHANG) == child)
			_exit(status_of(status, &last));
	}
}

/* The kernel kills us with our parent; had it ended before that was said, its pipe's end is gone.
 */
static int stay_with(int alive, struct err *err)
{
	struct pollfd parent = { .fd = alive };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || poll(&parent, 1, 0))
		return err_set(err, ESRCH, "--namespaces: the process that watches has ended");
	return 0;
}

/* Returns in the child. *alive stays open for as long as the parent is there. */
static int become_first(const struct log *log, int *alive, struct err *err)
{
	sigset_t set, before;
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return err_set(err, errno, "--namespaces: no pipe: %s", strerror(errno));
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &before);
	child = fork();
	if (child > 0)
		watch(child, ends[1], &set, log);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(ends[1]);
	if (child) {
		close(ends[0]);
		return err_set(err, errno, "--namespaces: no process: %s", strerror(errno));
	}
	*alive = ends[0];
	return stay_with(ends[0], err);
}

/* Whether the process that left a socket is still there, nobody inside can say. */
static void clear_socket(void *arg, const char *path)
{
	(void)arg;
	(void)unix_socket_clear(path);
}

/* --- all of it ------------------------------------------------------------------------------- */

int namespaces_enter(const struct namespaces_options *options, struct namespaces_entered *entered,
		     struct err *err)
{
	unsigned int wanted = options->which | (geteuid() ? NAMESPACE_USER : 0u);
	int ret;

	*entered = (struct namespaces_entered){ .alive = -1 };
	if (!options->which)
		return 0;
	ret = namespaces_check(wanted, options->config, err);
	if (!ret && wanted & NAMESPACE_PID)
		paths_sockets(options->config, options->api_socket, clear_socket, NULL);
	if (!ret)
		ret = leave(wanted, err);
	if (!ret && wanted & NAMESPACE_PID)
		ret = become_first(options->log, &entered->alive, err);
	if (!ret && wanted & NAMESPACE_MOUNT)
		ret = new_root_enter(options, wanted & NAMESPACE_PID, err);
	if (!ret && wanted & NAMESPACE_USER && user_give_up_capabilities())
		ret = err_set(err, errno, "--namespaces: giving up capabilities: %s",
			      strerror(errno));
	if (!ret)
		entered->which = wanted;
	return ret;
}
