/* SPDX-License-Identifier: Apache-2.0 */
#include "libvirt-driver/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libvirt-driver/json.h"
#include "libvirt-driver/store.h"
#include "util/state.h"

#define MAGIC	    "ADITSAVE"
#define VERSION	    1u
#define FLAG_PAUSED 1u

/* At the file's end. */
struct trailer {
	char magic[8];
	uint32_t version, flags, len, checksum;
};
_Static_assert(sizeof(struct trailer) == 24, "no padding");

/* --- one that is there ----------------------------------------------------------------------- */

static int wrong(struct refusal *refusal, const char *name, const char *why)
{
	return refuse(refusal, FAULT_OPERATION_FAILED, "%s: %s", name, why);
}

static int read_whole(int fd, off_t at, void *data, size_t len)
{
	while (len) {
		ssize_t n = pread(fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		data = (char *)data + n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_trailer(int fd, const char *name, struct trailer *trailer, off_t *at,
			struct refusal *refusal)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return wrong(refusal, name, "is no regular file");
	*at = st.st_size - (off_t)sizeof(*trailer);
	if (*at < 0 || read_whole(fd, *at, trailer, sizeof(*trailer)) ||
	    memcmp(trailer->magic, MAGIC, sizeof(trailer->magic)) != 0)
		return wrong(refusal, name, "holds no saved domain, or was not written to its end");
	if (trailer->version != VERSION || trailer->flags & ~FLAG_PAUSED)
		return refuse(refusal, FAULT_OPERATION_FAILED,
			      "%s: is of version %u with flags %#x, which are not understood here",
			      name, trailer->version, trailer->flags);
	if (!trailer->len || trailer->len > DEFINITION_MAX_XML || trailer->len > *at)
		return wrong(refusal, name, "its XML is not inside the file");
	*at -= trailer->len;
	return 0;
}

int saved_read(struct saved *saved, int fd, const char *name, struct refusal *refusal)
{
	struct trailer trailer = { 0 };
	off_t at = 0;

	*saved = (struct saved){ .fd = fd };
	if (read_trailer(fd, name, &trailer, &at, refusal))
		goto fail;
	saved->paused = trailer.flags & FLAG_PAUSED;
	saved->len = trailer.len;
	saved->xml = malloc(saved->len + 1);
	if (!saved->xml) {
		refuse(refusal, FAULT_NO_MEMORY, "no memory for the XML of a saved domain");
		goto fail;
	}
	if (read_whole(fd, at, saved->xml, saved->len) ||
	    state_checksum(saved->xml, saved->len) != trailer.checksum) {
		wrong(refusal, name, "its XML is damaged");
		goto fail;
	}
	saved->xml[saved->len] = 0;
	if (!memchr(saved->xml, 0, saved->len))
		return 0;
	wrong(refusal, name, "its XML is no text");
fail:
	saved_close(saved);
	return CALL_REFUSED;
}

int saved_open(struct saved *saved, const char *path, bool change, struct refusal *refusal)
{
	/* A pipe or a device is refused, not waited for. */
	const int flags = (change ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd = *path == '/' ? open(path, flags) : -1;

	*saved = (struct saved){ .fd = -1 };
	if (*path != '/')
		return refuse(refusal, FAULT_INVALID_ARG, "%s: must be an absolute path", path);
	if (fd < 0)
		return wrong(refusal, path, strerror(errno));
	return saved_read(saved, fd, path, refusal);
}

static int append(int fd, const char *xml, bool paused)
{
	const struct trailer trailer = {
		.magic = { 'A', 'D', 'I', 'T', 'S', 'A', 'V', 'E' },
		.version = VERSION,
		.flags = paused ? FLAG_PAUSED : 0,
		.len = (uint32_t)strlen(xml),
		.checksum = state_checksum(xml, strlen(xml)),
	};
	int ret = lseek(fd, 0, SEEK_END) < 0 ? -errno : 0;

	if (!ret)
		ret = store_write_all(fd, xml, trailer.len);
	if (!ret)
		ret = store_write_all(fd, (const char *)&trailer, sizeof(trailer));
	if (!ret && fsync(fd) < 0)
		ret = -errno;
	return ret;
}

int saved_change(struct saved *saved, const char *xml, bool paused, const char *name,
		 struct refusal *refusal)
{
	struct stat st;
	int ret = fstat(saved->fd, &st) < 0 ? -errno : append(saved->fd, xml, paused);

	if (!ret)
		return 0;
	if (ftruncate(saved->fd, st.st_size) < 0)
		return refuse(refusal, FAULT_OPERATION_FAILED, "%s: is damaged now: %s", name,
			      strerror(errno));
	return wrong(refusal, name, strerror(-ret));
}

void saved_close(struct saved *saved)
{
	if (saved->fd >= 0)
		close(saved->fd);
	free(saved->xml);
	*saved = (struct saved){ .fd = -1 };
}

/* --- one that is made ------------------------------------------------------------------------ */

static bool name_target(struct saved_target *target, const char *name, const uint8_t uuid[XDR_UUID])
{
	char text[UUID_TEXT];

	uuid_format(text, uuid);
	return snprintf(target->name, sizeof(target->name), "%s", name) <= NAME_MAX &&
	       snprintf(target->fresh, sizeof(target->fresh), ".%s.%s.new", name, text) <= NAME_MAX;
}

int saved_begin_at(struct saved_target *target, int dir, const char *name,
		   const uint8_t uuid[XDR_UUID], struct refusal *refusal)
{
	struct stat st;
	int ret = CALL_REFUSED;

	*target = (struct saved_target){ .dir = dir, .fd = -1 };
	if (!*name || !name_target(target, name, uuid)) {
		refuse(refusal, FAULT_INVALID_ARG, "\"%.64s\" is no name for a file here: %s", name,
		       *name ? "shorten it" : "it is empty");
	} else if (!fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) && !S_ISREG(st.st_mode)) {
		refuse(refusal, FAULT_OPERATION_UNSUPPORTED,
		       "%s is there, and is no regular file: choose another name", name);
	} else {
		/* Whatever a daemon that was killed has left. */
		unlinkat(dir, target->fresh, 0);
		target->fd = openat(dir, target->fresh,
				    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		ret = target->fd >= 0 ? 0 : wrong(refusal, name, strerror(errno));
	}
	if (ret)
		close(dir);
	return ret;
}

int saved_begin(struct saved_target *target, const char *path, const uint8_t uuid[XDR_UUID],
		struct refusal *refusal)
{
	const char *slash = strrchr(path, '/');
	char *folder;
	int dir;

	*target = (struct saved_target){ .fd = -1 };
	if (*path != '/')
		return refuse(refusal, FAULT_INVALID_ARG, "%s: must be an absolute path", path);
	folder = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!folder)
		return refuse(refusal, FAULT_NO_MEMORY, "no memory for a path");
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		wrong(refusal, folder, strerror(errno));
	free(folder);
	return dir < 0 ? CALL_REFUSED : saved_begin_at(target, dir, slash + 1, uuid, refusal);
}

int saved_finish(struct saved_target *target, const char *xml, bool paused, struct refusal *refusal)
{
	int ret = append(target->fd, xml, paused);

	if (!ret && renameat(target->dir, target->fresh, target->dir, target->name) < 0)
		ret = -errno;
	if (ret) {
		wrong(refusal, target->name, strerror(-ret));
		saved_drop(target);
		return CALL_REFUSED;
	}
	/* It is there; that it is there after a power cut as well is not worth losing it for. */
	(void)fsync(target->dir);
	close(target->fd);
	close(target->dir);
	*target = (struct saved_target){ .fd = -1 };
	return 0;
}

void saved_drop(struct saved_target *target)
{
	if (target->fd < 0)
		return;
	unlinkat(target->dir, target->fresh, 0);
	close(target->fd);
	close(target->dir);
	*target = (struct saved_target){ .fd = -1 };
}

/* --- what is not carried --------------------------------------------------------------------- */

static int refuse_entry(struct refusal *refusal, const char *path, struct json_object *entry,
			const char *what)
{
	return refuse(refusal, FAULT_CONFIG_UNSUPPORTED,
		      "%s: \"%s\" is %s, which cannot be saved: detach it first", path,
		      json_word(entry, "id", "it"), what);
}

static int check_adis(struct json_object *config, struct refusal *refusal)
{
	struct json_object *adis;

	for (size_t i = 0;
	     json_object_object_get_ex(config, "adis", &adis) && i < json_object_array_length(adis);
	     i++) {
		struct json_object *adi = json_object_array_get_idx(adis, i);

		if (strcmp(json_word(adi, "backend", "soft"), "soft") != 0)
			return refuse_entry(refusal, "/domain/adit:machine/adit:adi", adi,
					    "an ADI on a device of the host");
	}
	return 0;
}

/* Devices of the host are not looked at: what their drivers offer is adit's to find out. */
int saved_check(const struct definition *definition, struct refusal *refusal)
{
	struct json_object *config = json_tokener_parse(definition->config), *found;
	int ret = 0;

	if (json_object_object_get_ex(config, "memory", &found) &&
	    json_object_object_get_ex(found, "hugepages", &found) && json_object_get_boolean(found))
		ret = refuse(refusal, FAULT_CONFIG_UNSUPPORTED,
			     "/domain/memoryBacking/hugepages: a saved domain's memory is mapped "
			     "from its file, which huge pages cannot be");
	else
		ret = check_adis(config, refusal);
	json_object_put(config);
	return ret;
}
