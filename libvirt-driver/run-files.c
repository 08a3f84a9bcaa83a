/* SPDX-License-Identifier: Apache-2.0 */
/* What lies in the run directory, and starting a process from it. */
#include "libvirt-driver/run-files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libvirt-driver/associate.h"
#include "libvirt-driver/run-user.h"
#include "libvirt-driver/store.h"
#include "util/bits.h"

#define LAST_WORDS  480u
#define AUTOSTARTED "autostarted"
#define IOMMU_GIVEN "iommu"

int run_path(const struct daemon *daemon, const uint8_t uuid[XDR_UUID], const char *name,
	     char path[RUN_PATH])
{
	char text[UUID_TEXT];

	uuid_format(text, uuid);
	return snprintf(path, RUN_PATH, "%s/%s/%s", daemon->run_dir, text, name) < (int)RUN_PATH
		       ? 0
		       : -ENAMETOOLONG;
}

int run_open(const struct daemon *daemon, const uint8_t uuid[XDR_UUID], bool make)
{
	char text[UUID_TEXT];
	struct err err = { 0 };
	int run = store_open_dir(daemon->run_dir, &err), dir;

	if (run < 0)
		return run;
	uuid_format(text, uuid);
	if (make && mkdirat(run, text, 0700) < 0 && errno != EEXIST) {
		dir = -errno;
	} else {
		dir = openat(run, text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		dir = dir < 0 ? -errno : dir;
	}
	close(run);
	return dir;
}

/*
 * What the domain's process makes is in a directory of its user's: it could put anything there,
 * also in the place of what the daemon keeps.
 */
static int make_vm(int dir, uint32_t uid)
{
	int vm, ret = 0;

	if (mkdirat(dir, "vm", 0700) < 0 && errno != EEXIST)
		return -errno;
	vm = openat(dir, "vm", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (vm < 0)
		return -errno;
	unlinkat(vm, "api", 0);
	if (uid != geteuid() && (fchown(vm, uid, (gid_t)-1) < 0 || fchmodat(dir, ".", 0711, 0) < 0))
		ret = -errno;
	close(vm);
	return ret;
}

/* An iommufd that a client has opened: a number of the configuration, as what is opened here is. */
static int give_iommu(const struct domain *domain, struct given *given, struct json_object *config,
		      struct refusal *refusal)
{
	struct json_object *iommu;
	int fd = association_find(domain->daemon, domain->live, refusal);

	if (fd < 0 || given_take(given, fd, refusal))
		return CALL_REFUSED;
	if (json_object_object_get_ex(config, "iommu", &iommu))
		json_object_object_add(iommu, "fd", json_object_new_int(given->fds[given->n - 1]));
	return 0;
}

/* What adit is given; where it runs as another user, with descriptors instead of paths. */
static int write_config(int dir, const struct domain *domain, struct given *given,
			struct refusal *refusal)
{
	struct json_object *config;
	int ret = 0;

	given->n = 0;
	if (!user_is_own(domain->daemon) && !domain->live->iommu_group)
		return store_write(dir, "config.json", domain->live->config, false);
	config = json_tokener_parse(domain->live->config);
	if (user_is_own(domain->daemon) && given_open(given, config, refusal))
		ret = CALL_REFUSED;
	if (!ret && domain->live->iommu_group)
		ret = give_iommu(domain, given, config, refusal);
	if (!ret)
		ret = store_write(dir, "config.json",
				  json_object_to_json_string_ext(config, JSON_C_TO_STRING_PLAIN),
				  false);
	json_object_put(config);
	return ret;
}

int run_prepare(const struct domain *domain, struct given *given, struct refusal *refusal)
{
	const struct daemon *daemon = domain->daemon;
	char *xml = definition_xml_with_id(domain->live, domain->id);
	int dir = run_open(daemon, domain->live->uuid, true), ret = dir;

	*given = (struct given){ .n = 0 };
	if (dir >= 0) {
		ret = make_vm(dir, domain->uid);
		if (!ret)
			ret = xml ? store_write(dir, "live.xml", xml, false) : -ENOMEM;
		if (!ret)
			ret = write_config(dir, domain, given, refusal);
		close(dir);
	}
	free(xml);
	if (!ret || ret == CALL_REFUSED)
		return ret;
	return refuse(refusal, FAULT_OPERATION_FAILED, "%s cannot be written to: %s",
		      daemon->run_dir, strerror(-ret));
}

uint32_t run_owner(const struct daemon *daemon, const uint8_t uuid[XDR_UUID])
{
	int dir = run_open(daemon, uuid, false);
	struct stat st;
	bool known;

	if (dir < 0)
		return geteuid();
	known = !fstatat(dir, "vm", &st, AT_SYMLINK_NOFOLLOW);
	close(dir);
	return known ? st.st_uid : geteuid();
}

bool run_is_marked(const struct domain *domain, const char *mark)
{
	int dir = run_open(domain->daemon, domain_uuid(domain), false);
	struct stat st;
	bool is;

	if (dir < 0)
		return false;
	is = !fstatat(dir, mark, &st, AT_SYMLINK_NOFOLLOW);
	close(dir);
	return is;
}

static int set_mark(const struct domain *domain, const char *mark)
{
	int dir = run_open(domain->daemon, domain_uuid(domain), false), ret = dir;

	if (dir < 0)
		return ret;
	ret = store_write(dir, mark, "", false);
	close(dir);
	return ret;
}

int run_mark(const struct domain *domain, const char *mark, struct refusal *refusal)
{
	int ret = set_mark(domain, mark);

	return ret ? refuse(refusal, FAULT_OPERATION_FAILED, "%s cannot be written to: %s",
			    domain->daemon->run_dir, strerror(-ret))
		   : 0;
}

void run_unmark(const struct domain *domain, const char *mark)
{
	int dir = run_open(domain->daemon, domain_uuid(domain), false);

	if (dir < 0)
		return;
	unlinkat(dir, mark, 0);
	close(dir);
}

/* With a device from the start there is a keeper, which opens what it needs. */
bool run_has_iommu(const struct domain *domain)
{
	int dir = run_open(domain->daemon, domain_uuid(domain), false);
	struct json_object *config = NULL, *devices, *iommu;
	bool has = run_is_marked(domain, IOMMU_GIVEN);
	char *text = NULL;
	size_t len;

	if (dir < 0)
		return false;
	if (!has)
		text = store_read(dir, "config.json", DEFINITION_MAX_XML, &len);
	close(dir);
	if (text)
		config = json_tokener_parse(text);
	if (json_object_object_get_ex(config, "devices", &devices))
		has = json_object_array_length(devices) > 0;
	if (json_object_object_get_ex(config, "iommu", &iommu))
		has |= json_object_object_get_ex(iommu, "fd", NULL);
	json_object_put(config);
	free(text);
	return has;
}

int run_had_iommu(const struct domain *domain)
{
	return set_mark(domain, IOMMU_GIVEN);
}

int run_keep_live(struct daemon *daemon, const struct definition *live, int32_t id)
{
	char *xml = definition_xml_with_id(live, id);
	int dir = run_open(daemon, live->uuid, false), ret = dir;

	if (dir >= 0) {
		ret = xml ? store_write(dir, "live.xml", xml, false) : -ENOMEM;
		close(dir);
	}
	free(xml);
	return ret;
}

static int open_log(const struct daemon *daemon, const uint8_t uuid[XDR_UUID])
{
	int dir = run_open(daemon, uuid, false), fd;

	if (dir < 0)
		return dir;
	/* Of this run alone; a log that grows is the host's to rotate. */
	fd = openat(dir, "log",
		    O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
		    0600);
	fd = fd < 0 ? -errno : fd;
	close(dir);
	return fd;
}

static int spawn(const struct daemon *daemon, char *const argv[], int log,
		 const struct given *given, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, pipe;
	int ret;

	sigemptyset(&none);
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, log, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, log, STDERR_FILENO);
	/* Onto itself: it is not closed on exec then. */
	for (size_t i = 0; i < given->n; i++)
		posix_spawn_file_actions_adddup2(&files, given->fds[i], given->fds[i]);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &pipe);
	/* A session of its own: what ends the daemon's does not end the domain's. */
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETSID);
	ret = posix_spawn(pid, daemon->adit, &files, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return -ret;
}

/* Who may open /dev/kvm is its group; root's is nobody's but root's. */
static gid_t group_of(uint32_t uid)
{
	struct stat st;

	return stat("/dev/kvm", &st) < 0 || !st.st_gid ? uid : st.st_gid;
}

pid_t run_spawn(const struct domain *domain, const struct given *given, unsigned int how,
		struct refusal *refusal)
{
	const struct daemon *daemon = domain->daemon;
	const struct definition *live = domain->live;
	char program[] = "adit", verb[] = "run", api[] = "--api-socket", reboot[] = "--no-reboot";
	char config[RUN_PATH], socket[RUN_PATH], user[32], group[32], paused[] = "--paused";
	char saved[32];
	char *argv[11] = { program, verb, config, api, socket };
	int ret = run_path(daemon, live->uuid, "config.json", config), log = -1;
	size_t n = 5;
	pid_t pid = -1;

	if (user_is_own(daemon)) {
		snprintf(user, sizeof(user), "--user=%u", domain->uid);
		snprintf(group, sizeof(group), "--group=%u", group_of(domain->uid));
		argv[n++] = user;
		argv[n++] = group;
	}
	if (given->saved) {
		snprintf(saved, sizeof(saved), "--restore-fd=%d", given->saved);
		argv[n++] = saved;
	}
	if (how & RUN_PAUSED)
		argv[n++] = paused;
	argv[n] = live->no_reboot ? reboot : NULL;
	if (!ret)
		ret = run_path(daemon, live->uuid, "vm/api", socket);
	if (!ret)
		ret = log = open_log(daemon, live->uuid);
	if (log >= 0) {
		ret = spawn(daemon, argv, log, given, &pid);
		close(log);
	}
	if (!ret)
		return pid;
	refuse(refusal, FAULT_OPERATION_FAILED, "%s cannot be run: %s", daemon->adit,
	       strerror(-ret));
	return -1;
}

int run_last_words(struct daemon *daemon, const uint8_t uuid[XDR_UUID], struct err *err)
{
	int dir = run_open(daemon, uuid, false), fd;
	char text[LAST_WORDS + 1], *line;
	ssize_t n = 0;
	off_t size;

	if (dir < 0)
		return dir;
	fd = openat(dir, "log", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	close(dir);
	if (fd < 0)
		return -errno;
	size = lseek(fd, 0, SEEK_END);
	n = pread(fd, text, LAST_WORDS, size > LAST_WORDS ? size - LAST_WORDS : 0);
	close(fd);
	while (n > 0 && text[n - 1] == '\n')
		n--;
	if (n <= 0)
		return -ENODATA;
	text[n] = 0;
	line = strrchr(text, '\n');
	err_set(err, EIO, "%s", line ? line + 1 : text);
	/* It may hold whatever a guest has caused to be logged. */
	for (char *at = err->text; *at; at++) {
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	}
	return 0;
}

void run_clean(struct daemon *daemon, const uint8_t uuid[XDR_UUID])
{
	static const char *const own[] = { "live.xml",	"config.json",	   "taken.json",
					   IOMMU_GIVEN, RUN_AUTODESTROYED, RUN_SAVED };
	static const char *const made[] = { "api", "serial", "console", "vsock" };
	int dir = run_open(daemon, uuid, false), vm;

	if (dir < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		unlinkat(dir, own[i], 0);
	vm = openat(dir, "vm", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(made) && vm >= 0; i++)
		unlinkat(vm, made[i], 0);
	if (vm >= 0)
		close(vm);
	unlinkat(dir, "vm", AT_REMOVEDIR);
	close(dir);
}

struct definition *run_read_live(struct daemon *daemon, const uint8_t uuid[XDR_UUID])
{
	const struct definition_host host = { daemon->run_dir, daemon->adit };
	struct definition *definition = NULL;
	struct refusal refusal = { 0 };
	int dir = run_open(daemon, uuid, false);
	size_t len;
	char *text;

	if (dir < 0)
		return NULL;
	/* The id is a few bytes more than a definition may have. */
	text = store_read(dir, "live.xml", DEFINITION_MAX_XML, &len);
	close(dir);
	if (text)
		definition = definition_parse(text, len, &host, &refusal);
	free(text);
	if (text && !definition)
		log_line(daemon->log, LOG_ERROR, "domain", "a live.xml is not as it was left: %s",
			 refusal.err.text);
	if (definition && memcmp(definition->uuid, uuid, XDR_UUID) != 0) {
		definition_free(definition);
		return NULL;
	}
	return definition;
}

int run_each(struct daemon *daemon, void (*fn)(struct daemon *, const uint8_t uuid[XDR_UUID]),
	     struct err *err)
{
	struct dirent **entries;
	int run = store_open_dir(daemon->run_dir, err), n;

	if (run < 0)
		return run;
	n = scandirat(run, ".", &entries, NULL, alphasort);
	close(run);
	if (n < 0)
		return err_set(err, EIO, "%s: cannot be listed", daemon->run_dir);
	for (int i = 0; i < n; i++) {
		uint8_t uuid[XDR_UUID];

		if (uuid_parse(uuid, entries[i]->d_name))
			fn(daemon, uuid);
		free(entries[i]);
	}
	free(entries);
	return 0;
}

bool run_first_time(struct daemon *daemon)
{
	struct err err = { 0 };
	int run = store_open_dir(daemon->run_dir, &err), fd;

	if (run < 0)
		return false;
	fd = openat(run, AUTOSTARTED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	close(run);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/*
 * proc(5), stat: utime and stime are the 14th and 15th field, rss the 24th, behind a name that may
 * hold blanks.
 */
void run_process_times(pid_t pid, struct run_times *times)
{
	const uint64_t tick = 1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK);
	unsigned long long user, system, pages;
	char path[32], text[1024];
	const char *at;
	size_t n;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = 0;
	at = strrchr(text, ')');
	if (!at || sscanf(at + 1,
			  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d "
			  "%*d %*d %*u %*u %llu",
			  &user, &system, &pages) != 3)
		return;
	times->user_ns = user * tick;
	times->system_ns = system * tick;
	times->resident_kib = pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}
