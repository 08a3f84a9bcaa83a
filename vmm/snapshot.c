/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/bits.h"
#include "vmm/layout.h"

#define MAGIC	     "ADITSNAP"
#define VERSION	     1u
#define PAGE	     4096u
#define MEMORY_ALIGN (2 * MIB) /* so that large pages of the page cache fit */
#define STATE_MAX    (1 * GIB) /* devices of the host have up to 256 MiB each */

/* Little-endian, at the file's begin. */
struct header {
	char magic[8];
	uint32_t version;
	uint32_t checksum; /* of what follows it here */
	uint64_t state_at, state_len;
	uint32_t state_checksum, zero;
	uint64_t memory_at, memory_size;
};
_Static_assert(sizeof(struct header) == 56, "no padding");
#define CHECKED_FROM offsetof(struct header, state_at)

static uint32_t header_checksum(const struct header *header)
{
	return state_checksum((const char *)header + CHECKED_FROM, sizeof(*header) - CHECKED_FROM);
}

/* --- opening --------------------------------------------------------------------------------- */

static int read_at(int fd, uint64_t at, void *data, size_t len)
{
	while (len) {
		ssize_t n = pread(fd, data, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		data = (char *)data + n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int refuse(const char *path, const char *why, struct err *err)
{
	return err_set(err, EINVAL, "%s: %s", path, why);
}

static int check_header(const struct header *h, uint64_t size, const char *path, struct err *err)
{
	if (memcmp(h->magic, MAGIC, sizeof(h->magic)) != 0)
		return refuse(path, "is no snapshot of adit, or was not written to its end", err);
	if (h->version != VERSION)
		return err_set(err, EINVAL,
			       "%s: is a snapshot of version %u; %u is understood here", path,
			       h->version, VERSION);
	if (h->checksum != header_checksum(h) || h->zero)
		return refuse(path, "its header is damaged", err);
	if (!h->memory_size || h->memory_size > LAYOUT_RAM_SIZE_MAX ||
	    !is_aligned(h->memory_size, PAGE) || !is_aligned(h->memory_at, PAGE) ||
	    !range_inside(h->memory_at, h->memory_size, 0, size))
		return refuse(path, "its memory is not inside the file", err);
	if (h->state_at < sizeof(*h) || h->state_len > STATE_MAX ||
	    !range_inside(h->state_at, h->state_len, 0, h->memory_at))
		return refuse(path, "its state is not inside the file", err);
	return 0;
}

static int look_file(int fd, const char *path, uint64_t *size, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return refuse(path, "is no regular file", err);
	*size = (uint64_t)st.st_size;
	return 0;
}

static int read_state(struct snapshot *s, const struct header *h, const char *path, struct err *err)
{
	int ret;

	s->state = malloc(h->state_len + 1);
	if (!s->state)
		return err_set(err, ENOMEM, "%s: no memory for its state", path);
	s->state_len = h->state_len;
	ret = read_at(s->fd, h->state_at, s->state, s->state_len);
	if (ret)
		return err_set(err, -ret, "%s: its state: %s", path, strerror(-ret));
	if (state_checksum(s->state, s->state_len) != h->state_checksum)
		return refuse(path, "its state is damaged", err);
	return 0;
}

int snapshot_open(struct snapshot *s, const char *path, struct err *err)
{
	/* A pipe or a device is refused, not waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	*s = (struct snapshot){ .fd = -1 };
	if (fd < 0)
		return err_set(err, errno, "%s: %s", path, strerror(errno));
	return snapshot_open_fd(s, fd, path, err);
}

int snapshot_open_fd(struct snapshot *s, int fd, const char *path, struct err *err)
{
	struct header header = { 0 };
	uint64_t size = 0;
	int ret;

	*s = (struct snapshot){ .fd = fd };
	ret = look_file(fd, path, &size, err);
	/* A file that is too short for a header has none. */
	if (!ret)
		(void)read_at(s->fd, 0, &header, MIN(sizeof(header), size));
	if (!ret)
		ret = check_header(&header, size, path, err);
	if (!ret)
		ret = read_state(s, &header, path, err);
	if (ret) {
		snapshot_close(s);
		return ret;
	}
	s->memory = (struct ram_file){ .fd = s->fd, .at = header.memory_at };
	s->memory_size = header.memory_size;
	return 0;
}

void snapshot_close(struct snapshot *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->state);
	*s = (struct snapshot){ .fd = -1 };
}

const char *snapshot_path(const char *url, struct err *err)
{
	static const char scheme[] = "file://";
	const char *path = url;

	if (!strncmp(url, scheme, sizeof(scheme) - 1))
		path = url + sizeof(scheme) - 1;
	if (*path == '/')
		return path;
	err_set(err, EINVAL, "%s: must be file:// and an absolute path, or the path alone", url);
	return NULL;
}

/* --- writing --------------------------------------------------------------------------------- */

static int write_at(int fd, uint64_t at, const void *data, size_t len)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		data = (const char *)data + n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static bool is_empty(const uint8_t *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

/* [at, at + len) of memory, in as few calls as it has pieces that are not empty. */
static int write_pages(int fd, uint64_t memory_at, const struct ram *ram, uint64_t at, uint64_t len)
{
	const uint8_t *base = ram->base;
	uint64_t end = at + len;
	int ret = 0;

	while (at < end && !ret) {
		uint64_t from;

		while (at < end && is_empty(base + at))
			at += PAGE;
		from = at;
		while (at < end && !is_empty(base + at))
			at += PAGE;
		if (at > from)
			ret = write_at(fd, memory_at + from, base + from, at - from);
	}
	return ret;
}

/*
 * The next piece of memory that may hold something; false: there is none. What a memfd has never
 * been given must not be looked at: to read it would take pages for it.
 */
static bool next_piece(const struct ram *ram, uint64_t at, uint64_t *from, uint64_t *len)
{
	off_t data, hole;

	*from = at;
	*len = ram->size - at;
	if (at >= ram->size)
		return false;
	if (ram->fd < 0)
		return true;
	data = lseek(ram->fd, (off_t)at, SEEK_DATA);
	if (data < 0)
		return errno != ENXIO; /* which is: only holes from here on */
	hole = lseek(ram->fd, data, SEEK_HOLE);
	*from = align_down((uint64_t)data, PAGE);
	*len = (hole < 0 ? ram->size : align_up((uint64_t)hole, PAGE)) - *from;
	return true;
}

static int write_memory(int fd, uint64_t memory_at, const struct ram *ram)
{
	uint64_t at = 0, len;
	int ret = 0;

	while (!ret && next_piece(ram, at, &at, &len)) {
		ret = write_pages(fd, memory_at, ram, at, len);
		at += len;
	}
	return ret;
}

static int write_all(int fd, const struct state_out *state, const struct ram *ram)
{
	struct header header = {
		.version = VERSION,
		.state_at = PAGE,
		.state_len = state->len,
		.state_checksum = state_checksum(state->data, state->len),
		.memory_at = align_up(PAGE + state->len, MEMORY_ALIGN),
		.memory_size = ram->size,
	};
	int ret;

	memcpy(header.magic, MAGIC, sizeof(header.magic));
	header.checksum = header_checksum(&header);
	if (ftruncate(fd, (off_t)(header.memory_at + header.memory_size)))
		return -errno;
	ret = write_at(fd, header.state_at, state->data, state->len);
	if (!ret)
		ret = write_memory(fd, header.memory_at, ram);
	if (!ret && fsync(fd))
		ret = -errno;
	if (!ret)
		ret = write_at(fd, 0, &header, sizeof(header));
	if (!ret && fsync(fd))
		ret = -errno;
	return ret;
}

static int check_state(const struct state_out *state, struct err *err)
{
	if (state->ret)
		return err_set(err, -state->ret, "the state to be saved: %s",
			       strerror(-state->ret));
	if (state->len > STATE_MAX)
		return err_set(err, EFBIG, "the state to be saved has %zu bytes: %llu are possible",
			       state->len, (unsigned long long)STATE_MAX);
	return 0;
}

int snapshot_write_fd(int fd, const char *name, const struct state_out *state,
		      const struct ram *ram, struct err *err)
{
	uint64_t size = 0;
	int ret = check_state(state, err);

	if (!ret)
		ret = look_file(fd, name, &size, err);
	if (!ret && size)
		ret = refuse(name, "is not empty: a snapshot is written over nothing", err);
	if (ret)
		return ret;
	ret = write_all(fd, state, ram);
	return ret ? err_set(err, -ret, "%s: %s", name, strerror(-ret)) : 0;
}

int snapshot_write(const char *path, const struct state_out *state, const struct ram *ram,
		   struct err *err)
{
	int ret = check_state(state, err), fd;

	if (ret)
		return ret;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EEXIST)
		return err_set(err, EEXIST, "%s: is there already: choose another name", path);
	if (fd < 0)
		return err_set(err, errno, "%s: %s", path, strerror(errno));
	ret = write_all(fd, state, ram);
	if (close(fd) && !ret)
		ret = -errno;
	if (!ret)
		return 0;
	unlink(path);
	return err_set(err, -ret, "%s: %s", path, strerror(-ret));
}
