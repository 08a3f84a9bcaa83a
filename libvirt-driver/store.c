/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory. */
#include "libvirt-driver/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libvirt-driver/domain.h"

#define FILE_NAME 64u /* UUID, a dot and a word */

int store_open_dir(const char *path, struct err *err)
{
	struct stat st;
	int dir;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(err, errno, "%s: cannot be made: %s", path, strerror(errno));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, errno, "%s: %s", path, strerror(errno));
	if (fstat(dir, &st) < 0 || st.st_uid != geteuid() || st.st_mode & 022) {
		close(dir);
		return err_set(err, EPERM,
			       "%s: must belong to uid %u and be writable by nobody else", path,
			       geteuid());
	}
	return dir;
}

char *store_read(int dir, const char *name, size_t max, size_t *len)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	struct stat st;
	ssize_t n = 0;

	*len = 0;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0)
		goto out;
	errno = EINVAL;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
		goto out;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		goto out;
	while (*len < (size_t)st.st_size) {
		n = read(fd, text + *len, (size_t)st.st_size - *len);
		if (n <= 0)
			break;
		*len += (size_t)n;
	}
	text[*len] = 0;
	if (n < 0) {
		free(text);
		text = NULL;
	}
out:
	close(fd);
	return text;
}

int store_write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int store_write(int dir, const char *name, const char *text, bool sync)
{
	char fresh[FILE_NAME + 8];
	int fd, ret;

	snprintf(fresh, sizeof(fresh), ".%s.new", name);
	/* Whatever an interrupted write has left. */
	unlinkat(dir, fresh, 0);
	fd = openat(dir, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ret = store_write_all(fd, text, strlen(text));
	if (!ret && sync && fsync(fd) < 0)
		ret = -errno;
	close(fd);
	if (!ret && renameat(dir, fresh, dir, name) < 0)
		ret = -errno;
	if (!ret && sync && fsync(dir) < 0)
		ret = -errno;
	if (ret)
		unlinkat(dir, fresh, 0);
	return ret;
}

static void name_file(char name[FILE_NAME], const uint8_t uuid[XDR_UUID], const char *suffix)
{
	char text[UUID_TEXT];

	uuid_format(text, uuid);
	snprintf(name, FILE_NAME, "%s.%s", text, suffix);
}

/* Opens the directory for one change; -1 where nothing is kept, or it is refused. */
static int begin(struct daemon *daemon, struct refusal *refusal)
{
	int dir = store_open_dir(daemon->state_dir, &refusal->err);

	if (dir < 0)
		refusal->fault = FAULT_OPERATION_FAILED;
	return dir;
}

static int end(int dir, int ret, const char *name, struct refusal *refusal)
{
	close(dir);
	if (!ret)
		return 0;
	return refuse(refusal, FAULT_OPERATION_FAILED, "%s cannot be kept: %s", name,
		      strerror(-ret));
}

int store_save(struct daemon *daemon, const struct definition *definition, struct refusal *refusal)
{
	char name[FILE_NAME];
	int dir;

	if (!daemon->state_dir)
		return 0;
	dir = begin(daemon, refusal);
	if (dir < 0)
		return CALL_REFUSED;
	name_file(name, definition->uuid, "xml");
	return end(dir, store_write(dir, name, definition->xml, true), name, refusal);
}

static int remove_file(int dir, const char *name)
{
	return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static const char *mark_name(bool once)
{
	return once ? "once" : "autostart";
}

int store_remove(struct daemon *daemon, const uint8_t uuid[XDR_UUID], struct refusal *refusal)
{
	char name[FILE_NAME], mark[FILE_NAME], next[FILE_NAME];
	int dir, ret;

	if (!daemon->state_dir)
		return 0;
	dir = begin(daemon, refusal);
	if (dir < 0)
		return CALL_REFUSED;
	name_file(name, uuid, "xml");
	name_file(mark, uuid, mark_name(false));
	name_file(next, uuid, mark_name(true));
	/* The marks first: one without a definition would start a later domain of that UUID. */
	ret = remove_file(dir, mark);
	if (!ret)
		ret = remove_file(dir, next);
	if (!ret)
		ret = remove_file(dir, name);
	if (!ret && fsync(dir) < 0)
		ret = -errno;
	return end(dir, ret, name, refusal);
}

int store_autostart(struct daemon *daemon, const uint8_t uuid[XDR_UUID], bool once, bool on,
		    struct refusal *refusal)
{
	char mark[FILE_NAME];
	int dir, ret;

	if (!daemon->state_dir)
		return 0;
	dir = begin(daemon, refusal);
	if (dir < 0)
		return CALL_REFUSED;
	name_file(mark, uuid, mark_name(once));
	ret = on ? store_write(dir, mark, "", true) : remove_file(dir, mark);
	return end(dir, ret, mark, refusal);
}

/* --- saved state ----------------------------------------------------------------------------- */

bool store_has_saved(struct daemon *daemon, const uint8_t uuid[XDR_UUID])
{
	char name[FILE_NAME], path[PATH_MAX];
	struct stat st;

	if (!daemon->state_dir)
		return false;
	name_file(name, uuid, "save");
	return snprintf(path, sizeof(path), "%s/%s", daemon->state_dir, name) < PATH_MAX &&
	       !lstat(path, &st) && S_ISREG(st.st_mode);
}

/* The directory; refused where nothing is kept at all. */
static int begin_kept(struct daemon *daemon, struct refusal *refusal)
{
	return daemon->state_dir
		       ? begin(daemon, refusal)
		       : refuse(refusal, FAULT_OPERATION_INVALID, "this daemon keeps nothing");
}

int store_begin_saved(struct daemon *daemon, const uint8_t uuid[XDR_UUID],
		      struct saved_target *target, struct refusal *refusal)
{
	char name[FILE_NAME];
	int dir = begin_kept(daemon, refusal);

	*target = (struct saved_target){ .fd = -1 };
	if (dir < 0)
		return CALL_REFUSED;
	name_file(name, uuid, "save");
	return saved_begin_at(target, dir, name, uuid, refusal);
}

int store_open_saved(struct daemon *daemon, const uint8_t uuid[XDR_UUID], struct saved *saved,
		     bool change, struct refusal *refusal)
{
	char name[FILE_NAME];
	int dir = begin_kept(daemon, refusal), fd;

	*saved = (struct saved){ .fd = -1 };
	if (dir < 0)
		return CALL_REFUSED;
	name_file(name, uuid, "save");
	fd = openat(dir, name, (change ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return end(dir, -errno, name, refusal);
	close(dir);
	return saved_read(saved, fd, name, refusal);
}

int store_remove_saved(struct daemon *daemon, const uint8_t uuid[XDR_UUID], struct refusal *refusal)
{
	char name[FILE_NAME];
	int dir = begin_kept(daemon, refusal), ret;

	if (dir < 0)
		return CALL_REFUSED;
	name_file(name, uuid, "save");
	ret = remove_file(dir, name);
	if (!ret && fsync(dir) < 0)
		ret = -errno;
	return end(dir, ret, name, refusal);
}

/* --- loading --------------------------------------------------------------------------------- */

static bool is_marked(int dir, const uint8_t uuid[XDR_UUID], bool once)
{
	char mark[FILE_NAME];
	struct stat st;

	name_file(mark, uuid, mark_name(once));
	return !fstatat(dir, mark, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode);
}

static void load_one(struct daemon *daemon, int dir, const char *file, const uint8_t uuid[XDR_UUID])
{
	const struct definition_host host = { daemon->run_dir, daemon->adit };
	struct refusal refusal = { 0 };
	struct definition *definition = NULL;
	struct domain *domain;
	size_t len;
	char *text = store_read(dir, file, DEFINITION_MAX_XML, &len);

	if (text)
		definition = definition_parse(text, len, &host, &refusal);
	else
		refuse(&refusal, FAULT_INTERNAL, "%s", strerror(errno));
	free(text);
	if (definition && memcmp(definition->uuid, uuid, XDR_UUID) != 0) {
		definition_free(definition);
		definition = NULL;
		refuse(&refusal, FAULT_XML, "it defines another UUID than its name says");
	}
	domain = definition ? domain_for(daemon, definition, &refusal) : NULL;
	if (!domain || domain->kept) {
		log_line(daemon->log, LOG_ERROR, "store", "%s/%s: not loaded: %s",
			 daemon->state_dir, file, refusal.err.text);
		definition_free(definition);
		return;
	}
	domain->kept = definition;
	domain->autostart = is_marked(dir, uuid, false);
	domain->autostart_once = is_marked(dir, uuid, true);
}

int store_load(struct daemon *daemon, struct err *err)
{
	int dir = store_open_dir(daemon->state_dir, err), n;
	struct dirent **entries;

	if (dir < 0)
		return dir;
	n = scandirat(dir, ".", &entries, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		uint8_t uuid[XDR_UUID];
		char text[UUID_TEXT];

		snprintf(text, sizeof(text), "%.36s", name);
		if (strlen(name) == UUID_TEXT + 3 && !strcmp(name + UUID_TEXT - 1, ".xml") &&
		    uuid_parse(uuid, text))
			load_one(daemon, dir, name, uuid);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	close(dir);
	return n < 0 ? err_set(err, EIO, "%s: cannot be listed", daemon->state_dir) : 0;
}
