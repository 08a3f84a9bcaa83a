/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench libvirt: one virsh defines a thousand domains, lists them and undefines them, by
 * virtaditd and by libvirtd with its test driver. The test driver keeps domains in memory, for as
 * long as the connection lasts: so it is one virsh for all, and virtaditd's definitions are in a
 * file system that is memory too. What a disk's fsync costs is the disk's.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "util/bits.h"

#define DOMAINS	      1000u
#define DOMAINS_BRIEF 200u
#define LISTS	      3u
#define ROUNDS_MAX    7u
#define WARM_UP	      1u
#define MEMORY	      "/dev/shm"
#define LOOK_NS	      5000000l /* between two looks for a socket; nothing is timed meanwhile */
#define LOOKS	      4000u
#define NOBODY	      "65534"
#define COMMAND	      (8ul * PATH_MAX)

enum who {
	ADIT,
	LIBVIRTD,
};

enum row {
	TIME,
	CPU,	/* of the daemon */
	CLIENT, /* of virsh, which is much of the first and has nothing to do with the daemon */
	ROWS
};

struct bench_libvirt {
	const struct bench_options *options;
	unsigned int domains;
	char work[PATH_MAX];   /* what virsh reads, and sockets */
	char memory[PATH_MAX]; /* of virtaditd's definitions */
	char libvirt[PATH_MAX];
};

static const struct party {
	const char *type, *suffix; /* of a domain; of files */
} parties[] = {
	[ADIT] = { "kvm", "adit" },
	[LIBVIRTD] = { "test", "test" },
};

/* --- what virsh reads ------------------------------------------------------------------------ */

static int write_domain(const struct bench_libvirt *bench, enum who who, unsigned int i)
{
	char path[PATH_MAX];
	FILE *to;

	snprintf(path, sizeof(path), "%.4000s/%s%u.xml", bench->work, parties[who].suffix, i);
	to = fopen(path, "we");
	if (!to)
		return -errno;
	fprintf(to,
		"<domain type='%s'><name>domain%u</name><memory unit='MiB'>64</memory>"
		"<vcpu>1</vcpu><os><type>hvm</type>%s</os><devices><serial type='pty'/></devices>"
		"</domain>\n",
		parties[who].type, i, who == ADIT ? "<kernel>/boot/vmlinuz</kernel>" : "");
	return fclose(to) ? -EIO : 0;
}

/* Commands of one virsh. */
static int write_commands(const struct bench_libvirt *bench, enum who who)
{
	char path[PATH_MAX];
	int ret = 0;
	FILE *to;

	snprintf(path, sizeof(path), "%.4000s/commands.%s", bench->work, parties[who].suffix);
	to = fopen(path, "we");
	if (!to)
		return -errno;
	for (unsigned int i = 0; !ret && i < bench->domains; i++) {
		ret = write_domain(bench, who, i);
		fprintf(to, "define %s/%s%u.xml\n", bench->work, parties[who].suffix, i);
	}
	for (unsigned int i = 0; i < LISTS; i++)
		fprintf(to, "list --all\n");
	for (unsigned int i = 0; i < bench->domains; i++)
		fprintf(to, "undefine domain%u\n", i);
	return fclose(to) ? -EIO : ret;
}

/* --- daemons --------------------------------------------------------------------------------- */

static void name_socket(const struct bench_libvirt *bench, enum who who, char *path)
{
	snprintf(path, PATH_MAX, "%.4000s/%s", who == ADIT ? bench->work : bench->libvirt,
		 who == ADIT ? "s" : "libvirt-sock");
}

/* Not as root, whose libvirtd wants users of its own before it serves anything. */
static void daemon_command(const struct bench_libvirt *bench, enum who who, char *command)
{
	if (who == ADIT)
		snprintf(command, COMMAND,
			 "exec %s/virtaditd --socket %s/s --socket-ro %s/ro --state-dir %s "
			 "--run-dir %s --log-level error",
			 bench->options->build, bench->work, bench->work, bench->memory,
			 bench->memory);
	else
		snprintf(command, COMMAND,
			 "cd %s; printf 'unix_sock_dir = \"%s\"\\nauth_unix_rw = \"none\"\\n"
			 "auth_unix_ro = \"none\"\\n' >conf; %s env -i PATH=\"$PATH\" HOME=%s "
			 "XDG_RUNTIME_DIR=%s libvirtd -f %s/conf -p %s/pid",
			 bench->libvirt, bench->libvirt,
			 geteuid() ? "exec"
				   : "chown " NOBODY " . && exec setpriv --reuid=" NOBODY
				     " --regid=" NOBODY " --clear-groups",
			 bench->libvirt, bench->libvirt, bench->libvirt, bench->libvirt);
}

static pid_t start_shell(const char *command)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)command, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none;
	pid_t pid = -1;

	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&files);
	for (int fd = 0; fd < 3; fd++)
		posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
	if (posix_spawnp(&pid, "sh", &files, &attributes, argv, environ))
		pid = -1;
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return pid;
}

static bool serves(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool does;

	snprintf(address.sun_path, sizeof(address.sun_path), "%.107s", path);
	does = fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address));
	if (fd >= 0)
		close(fd);
	return does;
}

static pid_t start_daemon(const struct bench_libvirt *bench, enum who who)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	char command[COMMAND], socket[PATH_MAX];
	pid_t pid;

	daemon_command(bench, who, command);
	name_socket(bench, who, socket);
	pid = start_shell(command);
	for (unsigned int i = 0; pid > 0 && i < LOOKS; i++) {
		if (serves(socket))
			return pid;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return -1;
		nanosleep(&pause, NULL);
	}
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return -1;
}

static void stop_daemon(const struct bench_libvirt *bench, enum who who, pid_t pid)
{
	char command[COMMAND];

	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	/* Whatever it has left, in directories of its own making too. */
	snprintf(command, sizeof(command), "rm -rf %s/* %s/.[!.]*",
		 who == ADIT ? bench->memory : bench->libvirt,
		 who == ADIT ? bench->memory : bench->libvirt);
	pid = start_shell(command);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* Of all its threads, in ms: proc(5), stat, the 14th and 15th field behind a name. */
static double cpu_of(pid_t pid)
{
	unsigned long long user = 0, system = 0;
	char path[32], text[1024] = "";
	const char *at;
	FILE *from;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	from = fopen(path, "re");
	if (!from)
		return 0;
	at = fgets(text, sizeof(text), from) ? strrchr(text, ')') : NULL;
	fclose(from);
	if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
			  &system) != 2)
		return 0;
	return 1000.0 * (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* --- a turn ---------------------------------------------------------------------------------- */

/* Of all children that have ended and were waited for, theirs included, in ms. */
static double cpu_of_children(void)
{
	struct rusage usage;

	getrusage(RUSAGE_CHILDREN, &usage);
	return 1000.0 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000.0;
}

/* It has succeeded where each list had all of them: the shell looks. */
static int measure_virsh(struct turn *turn, const char *uri, const char *commands, struct err *err)
{
	const struct bench_libvirt *bench = turn->opaque;
	char command[COMMAND];
	char *argv[] = { (char *)"sh", (char *)"-c", command, NULL };
	struct child_times times;
	double before;
	int ret;

	snprintf(command, sizeof(command),
		 "test $(virsh -q -c '%s' <%s | grep -c 'domain.*shut off') = %u", uri, commands,
		 LISTS * bench->domains);
	before = cpu_of_children();
	ret = child_time(turn, argv, NULL, NULL, false, &times);
	if (!ret && times.status)
		ret = -EIO;
	if (ret)
		return err_set(err, -ret, "virsh -c '%s': it has not listed %u domains", uri,
			       bench->domains);
	turn_put(turn, TIME, times.exit_ms);
	turn_put(turn, CLIENT, cpu_of_children() - before);
	return 0;
}

static int one_turn(struct turn *turn, struct err *err)
{
	const struct bench_libvirt *bench = turn->opaque;
	const enum who who = turn->party;
	char socket[PATH_MAX], uri[PATH_MAX + 64], commands[PATH_MAX];
	double before;
	pid_t pid;
	int ret;

	if (who == LIBVIRTD && !child_on_path("libvirtd"))
		return err_set(err, ENOTSUP,
			       "no libvirtd to compare with (package libvirt-daemon)");
	pid = start_daemon(bench, who);
	if (pid < 0)
		return err_set(err, who == ADIT ? EIO : ENOTSUP, "%s does not serve",
			       who == ADIT ? "virtaditd" : "libvirtd");
	before = cpu_of(pid);
	name_socket(bench, who, socket);
	snprintf(uri, sizeof(uri), "%s?socket=%s",
		 who == ADIT ? "adit:///system" : "test+unix:///default", socket);
	snprintf(commands, sizeof(commands), "%.4000s/commands.%s", bench->work,
		 parties[who].suffix);
	ret = measure_virsh(turn, uri, commands, err);
	turn_put(turn, CPU, cpu_of(pid) - before);
	stop_daemon(bench, who, pid);
	return ret;
}

static int measure(struct bench_libvirt *bench, struct bench_run *run, struct err *err)
{
	char name[48];
	const struct contest_row rows[ROWS] = {
		[TIME] = { .name = name, .unit = "ms", .target = 0.5 },
		[CPU] = { .name = "CPU time of the daemon for it", .unit = "ms", .target = 0.5 },
		[CLIENT] = { .name = "CPU time of virsh for it", .unit = "ms" },
	};
	struct contest contest = {
		.name = "virsh",
		.parties = { "adit", "libvirtd, test driver" },
		.party_count = 2,
		.rows = rows,
		.row_count = ROWS,
		.warm_up = WARM_UP,
		.rounds_max = ROUNDS_MAX,
		.turn = one_turn,
		.opaque = bench,
	};

	snprintf(name, sizeof(name), "virsh with %u domains", bench->domains);
	return contest_hold(&contest, run, err);
}

int bench_libvirt(struct bench_run *run, struct err *err)
{
	struct bench_libvirt bench = {
		.options = run->options,
		.domains = run->options->brief ? DOMAINS_BRIEF : DOMAINS,
	};
	int ret;

	if (!child_on_path("virsh")) {
		results_note(run->results, "libvirt: no virsh (package libvirt-clients)");
		return 0;
	}
	ret = watch_scratch(run->watch, NULL, bench.work, sizeof(bench.work), err);
	if (!ret)
		ret = watch_scratch(run->watch, MEMORY, bench.memory, sizeof(bench.memory), err);
	if (!ret)
		ret = watch_scratch(run->watch, NULL, bench.libvirt, sizeof(bench.libvirt), err);
	for (size_t i = 0; !ret && i < ARRAY_SIZE(parties); i++) {
		ret = write_commands(&bench, (enum who)i);
		if (ret)
			err_set(err, -ret, "%s cannot be written to", bench.work);
	}
	return ret ? ret : measure(&bench, run, err);
}
