/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PREFIX	   "keeper-"
#define SUFFIX	   ".journal"
#define FIRST_LINE "adit-keeper 1"
#define NONE	   "-" /* stands for an empty name: lines are split at spaces */
#define FILE_MAX   65536
#define STEPS_MAX  256
#define SOCKET	   "socket " /* and the rest of the line, which may have spaces */
#define TRIES	   16
#define DYING_MS   5000

/* Start time of a process in clock ticks since boot, which with its number names it for good. */
static unsigned long long start_of(pid_t pid)
{
	const struct host host = { .root = "" };
	char text[1024], *p;

	if (sysfs_read(&host, text, sizeof(text), "/proc/%d/stat", (int)pid))
		return 0;
	/* The name in parentheses may hold anything; the fields after it count from 3. */
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

/*
 * Whether the process is still there. One that is about to end, as a child whose keeper was killed
 * is, gets DYING_MS for it: what it holds open is closed only then.
 */
static bool is_alive(pid_t pid, unsigned long long start)
{
	struct pollfd ended = { .events = POLLIN };
	bool alive;

	if (pid <= 0 || !start)
		return false;
	ended.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (ended.fd < 0)
		return false;
	/* Checked after the descriptor names it: the number may belong to another by now. */
	alive = start_of(pid) == start && poll(&ended, 1, DYING_MS) == 0;
	close(ended.fd);
	return alive;
}

/* --- writing --------------------------------------------------------------------------------- */

static int append(struct journal *journal, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int append(struct journal *journal, struct err *err, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line))
		return err_set(err, EOVERFLOW, "%s: a line would be too long", journal->path);
	errno = EIO;
	/* One write: after a kill a line is there or not. */
	if (write(journal->fd, line, (size_t)n) != n)
		return err_set(err, errno, "%s: cannot be written: %m", journal->path);
	return 0;
}

static const char *or_none(const char *name)
{
	return *name ? name : NONE;
}

int journal_child(struct journal *journal, pid_t child, struct err *err)
{
	return append(journal, err, "child %d %llu\n", (int)child, start_of(child));
}

int journal_function(struct journal *journal, const struct change_function *before, bool taken,
		     struct err *err)
{
	return append(journal, err, "%cfunction %s %s %s\n", taken ? '+' : '-', before->bdf,
		      or_none(before->driver), or_none(before->override));
}

int journal_mdev(struct journal *journal, const struct change_mdev *mdev, bool made,
		 struct err *err)
{
	return append(journal, err, "%cmdev %s %s %s\n", made ? '+' : '-', mdev->uuid, mdev->parent,
		      mdev->type);
}

int journal_socket(struct journal *journal, const struct keeper_socket *socket, struct err *err)
{
	return append(journal, err, "socket %s\n", socket->path);
}

static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int journal_open(struct journal *out, const char *dir, struct err *err)
{
	int n = snprintf(out->path, sizeof(out->path), "%s/" PREFIX "%d-%llu" SUFFIX, dir,
			 (int)getpid(), start_of(getpid()));

	out->fd = -1;
	if (n < 0 || (size_t)n >= sizeof(out->path))
		return err_set(err, ENAMETOOLONG, "%s: is too long a path", dir);
	/* Others have folders below it (virtaditd's --run-dir), whatever the umask is here. */
	if (!mkdir(dir, 0755) ? chmod(dir, 0755) : errno != EEXIST)
		return err_set(err, errno, "%s: cannot be made: %m", dir);
	/* Between making and locking it, a cleaner may take it for one that was left behind. */
	for (int i = 0; i < TRIES; i++) {
		out->fd =
			open(out->path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (out->fd < 0)
			return err_set(err, errno, "%s: cannot be made: %m", out->path);
		if (!flock(out->fd, LOCK_EX | LOCK_NB) && same_file(out->fd, out->path))
			return append(out, err, FIRST_LINE "\n");
		close(out->fd);
		out->fd = -1;
	}
	return err_set(err, EBUSY, "%s: is locked by another process", out->path);
}

void journal_close(struct journal *journal)
{
	if (journal->fd >= 0)
		unlink(journal->path);
	journal_leave(journal);
}

void journal_leave(struct journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = -1;
}

/* --- cleaning -------------------------------------------------------------------------------- */

struct step {
	bool is_mdev, undone;
	struct change_function function;
	struct change_mdev mdev;
};

struct record {
	pid_t child;
	unsigned long long child_start;
	struct step *steps;
	size_t n;
	struct keeper_socket sockets[KEEPER_MAX_SOCKETS];
	unsigned int n_sockets;
};

static int take_name(char *out, size_t size, const char *word, bool optional)
{
	if (optional && !strcmp(word, NONE)) {
		out[0] = 0;
		return 0;
	}
	if (!host_part_is_sane(word) || strlen(word) >= size)
		return -EINVAL;
	memcpy(out, word, strlen(word) + 1);
	return 0;
}

static bool is_same(const struct step *a, const struct step *b)
{
	return a->is_mdev == b->is_mdev && (a->is_mdev ? !strcmp(a->mdev.uuid, b->mdev.uuid)
						       : !strcmp(a->function.bdf, b->function.bdf));
}

static int parse_step(struct record *record, bool made, char *words[4])
{
	struct step step = { .is_mdev = !strcmp(words[0] + 1, "mdev") };
	char name[HOST_NAME_CHARS + 1];
	int ret;

	if (step.is_mdev) {
		ret = host_uuid_parse(name, words[1]);
		if (!ret)
			memcpy(step.mdev.uuid, name, sizeof(step.mdev.uuid));
		if (!ret)
			ret = take_name(step.mdev.parent, HOST_TEXT, words[2], false);
		if (!ret)
			ret = take_name(step.mdev.type, HOST_TEXT, words[3], false);
	} else {
		ret = host_bdf_parse(step.function.bdf, words[1]);
		if (!ret)
			ret = take_name(step.function.driver, HOST_TEXT, words[2], true);
		if (!ret)
			ret = take_name(step.function.override, HOST_TEXT, words[3], true);
	}
	if (ret)
		return ret;
	for (size_t i = 0; i < record->n && !made; i++)
		record->steps[i].undone |= is_same(&record->steps[i], &step);
	if (!made)
		return 0;
	if (record->n == STEPS_MAX)
		return -E2BIG;
	record->steps[record->n++] = step;
	return 0;
}

/* A folder that is not there any more, or not the one that it was, has nothing of ours. */
static int parse_socket(struct record *record, const char *path)
{
	int ret;

	if (record->n_sockets == KEEPER_MAX_SOCKETS)
		return -E2BIG;
	ret = keeper_socket_again(&record->sockets[record->n_sockets], path);
	record->n_sockets += !ret;
	return ret == -EINVAL || ret == -ENAMETOOLONG ? ret : 0;
}

static int parse_line(struct record *record, char *line)
{
	char *words[4] = { 0 }, *rest = line;
	unsigned int n = 0;

	if (!strncmp(line, SOCKET, strlen(SOCKET)))
		return parse_socket(record, line + strlen(SOCKET));

	while (n < 4 && rest)
		words[n++] = strsep(&rest, " ");
	if (rest)
		return -EINVAL;
	if (n == 3 && !strcmp(words[0], "child")) {
		record->child = (pid_t)strtol(words[1], NULL, 10);
		record->child_start = strtoull(words[2], NULL, 10);
		return 0;
	}
	if (n == 4 && (line[0] == '+' || line[0] == '-') &&
	    (!strcmp(line + 1, "function") || !strcmp(line + 1, "mdev")))
		return parse_step(record, line[0] == '+', words);
	return -EINVAL;
}

/* What follows the last newline is a line that was cut off: its step was not made. */
static int parse(struct record *record, char *text)
{
	char *rest = text, *line, *end = strrchr(text, '\n');
	int ret = 0;

	if (!end)
		return 0;
	*end = 0;
	line = strsep(&rest, "\n");
	if (strcmp(line, FIRST_LINE) != 0)
		return -EINVAL;
	while (!ret && (line = strsep(&rest, "\n")))
		ret = parse_line(record, line);
	return ret;
}

static void say(FILE *to, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(FILE *to, const char *fmt, ...)
{
	va_list ap;

	if (!to)
		return;
	va_start(ap, fmt);
	vfprintf(to, fmt, ap);
	va_end(ap);
	fputc('\n', to);
}

/* The last step first. Returns how many could not be taken back. */
static unsigned int undo(const struct host *host, const struct record *record, FILE *to)
{
	unsigned int failed = 0;

	for (size_t i = record->n; i--;) {
		const struct step *step = &record->steps[i];
		struct err err = { 0 };
		int ret;

		if (step->undone)
			continue;
		ret = step->is_mdev ? change_mdev_remove(host, &step->mdev, &err)
				    : change_function_return(host, &step->function, &err);
		failed += ret != 0;
		if (ret)
			say(to, "%s", err.text);
		else if (step->is_mdev)
			say(to, "mdev %s: removed", step->mdev.uuid);
		else
			say(to, "%s: given back to %s", step->function.bdf,
			    *step->function.driver ? step->function.driver : "no driver");
	}
	return failed;
}

static void clear_sockets(const struct record *record, FILE *to)
{
	for (unsigned int i = 0; i < record->n_sockets; i++) {
		if (keeper_socket_clear(&record->sockets[i]))
			say(to, "%s: removed", record->sockets[i].path);
	}
}

static void close_sockets(const struct record *record)
{
	for (unsigned int i = 0; i < record->n_sockets; i++)
		close(record->sockets[i].folder);
}

static bool is_ours(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH)) && st.st_nlink == 1;
}

static int read_record(int fd, struct record *record)
{
	char *text = calloc(1, FILE_MAX + 1);
	ssize_t n = text ? pread(fd, text, FILE_MAX + 1, 0) : -1;
	int ret;

	if (n < 0)
		ret = text ? -errno : -ENOMEM;
	else if (n > FILE_MAX)
		ret = -EFBIG;
	else
		ret = strlen(text) == (size_t)n ? parse(record, text) : -EINVAL;
	free(text);
	return ret;
}

static int take_back(const struct host *host, const struct record *record, const char *path,
		     FILE *to)
{
	unsigned int failed = undo(host, record, to);

	clear_sockets(record, to);
	return !failed && !unlink(path) ? 1 : -1;
}

/* 1: taken back; 0: its keeper is alive, or it is gone; -1: could not be. */
static int clean_file(const struct host *host, const char *path, FILE *to)
{
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK), ret = -1, bad;
	struct step steps[STEPS_MAX];
	struct record record = { .steps = steps };

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	if (!is_ours(fd)) {
		say(to, "%s: could have been written by others, so it is not believed; remove it",
		    path);
	} else if (flock(fd, LOCK_EX | LOCK_NB) || !same_file(fd, path)) {
		ret = 0;
	} else {
		bad = read_record(fd, &record);
		if (bad)
			say(to,
			    "%s: is damaged and says nothing to take back for sure; look at it "
			    "and remove it",
			    path);
		else if (is_alive(record.child, record.child_start))
			say(to,
			    "%s: its VM is alive as process %d without its keeper; end it "
			    "('kill -9 %d')",
			    path, (int)record.child, (int)record.child);
		else
			ret = take_back(host, &record, path, to);
		close_sockets(&record);
	}
	close(fd);
	return ret;
}

static bool is_journal(const char *name)
{
	size_t n = strlen(name), suffix = strlen(SUFFIX);

	return n > suffix && !strncmp(name, PREFIX, strlen(PREFIX)) &&
	       !strcmp(name + n - suffix, SUFFIX);
}

int journal_clean(const struct host *host, const char *dir, FILE *to, unsigned int *done,
		  unsigned int *failed, struct err *err)
{
	char path[SYSFS_PATH_MAX];
	struct dirent *entry;
	struct stat st;
	DIR *folder;

	*done = *failed = 0;
	folder = opendir(dir);
	if (!folder)
		return errno == ENOENT ? 0 : err_set(err, errno, "%s: cannot be read: %m", dir);
	if (fstat(dirfd(folder), &st) || st.st_uid != geteuid() ||
	    st.st_mode & (S_IWGRP | S_IWOTH)) {
		closedir(folder);
		return err_set(err, EPERM,
			       "%s: must belong to user %u and be writable by no other, for what "
			       "lies in it is believed",
			       dir, (unsigned int)geteuid());
	}
	while ((entry = readdir(folder))) {
		int n, ret;

		if (!is_journal(entry->d_name))
			continue;
		n = snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		ret = n < (int)sizeof(path) ? clean_file(host, path, to) : -1;
		*done += ret > 0;
		*failed += ret < 0;
	}
	closedir(folder);
	return 0;
}

unsigned int journal_count(const char *dir, unsigned int *stale)
{
	unsigned int count = 0;
	char path[SYSFS_PATH_MAX];
	struct dirent *entry;
	DIR *folder = opendir(dir);

	*stale = 0;
	while (folder && (entry = readdir(folder))) {
		int n, fd;

		if (!is_journal(entry->d_name))
			continue;
		n = snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		fd = n < (int)sizeof(path) ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
		count++;
		/* A shared lock can be had where no keeper holds its own. */
		*stale += fd >= 0 && !flock(fd, LOCK_SH | LOCK_NB);
		if (fd >= 0)
			close(fd);
	}
	if (folder)
		closedir(folder);
	return count;
}
