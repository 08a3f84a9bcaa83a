/* SPDX-License-Identifier: Apache-2.0 */
#include "passthrough/vfio-user/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "util/bits.h"

/* A memfd, mapped whole. */
struct file {
	dev_t dev;
	ino_t ino;
	uint64_t size;
	bool writable;
	char *hva;
	unsigned int users;
	LIST_ENTRY(file) link;
};

struct range {
	uint64_t first, last;
	struct file *file; /* NULL: reached by messages */
};

struct window {
	struct ioasid_space *space;
	struct ioasid_range range;
	unsigned int rights;
	SLIST_ENTRY(window) link;
};

struct vfu_memory {
	pthread_mutex_t lock; /* who changes the next two, and who asks */
	void *ranges;	      /* a tree (tsearch) */
	unsigned int shared;  /* ranges that have a file */
	LIST_HEAD(files, file) files;
	unsigned int n_files;
	uint64_t mapped; /* bytes of them */
	SLIST_HEAD(windows, window) windows;
	const struct log *log;
	bool said; /* that some memory is reached by messages */
};

/* Ranges that overlap are equal: those in the tree never do. */
static int compare(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	if (a->last < b->first)
		return -1;
	return a->first > b->last;
}

/* --- descriptors ----------------------------------------------------------------------------- */

static void put_file(struct vfu_memory *memory, struct file *file)
{
	if (!file || --file->users)
		return;
	LIST_REMOVE(file, link);
	memory->n_files--;
	memory->mapped -= file->size;
	munmap(file->hva, file->size);
	free(file);
}

static struct file *find_file(struct vfu_memory *memory, const struct stat *st, bool writable)
{
	struct file *file = LIST_FIRST(&memory->files);

	while (file && (file->dev != st->st_dev || file->ino != st->st_ino ||
			file->size != (uint64_t)st->st_size || file->writable != writable))
		file = LIST_NEXT(file, link);
	return file;
}

/* *out stays NULL past the limits, and where there is no room: hostile sizes are the file's. */
static int map_file(struct vfu_memory *memory, int fd, const struct stat *st, bool writable,
		    struct file **out)
{
	struct file *file;

	if (memory->n_files >= VFU_MAX_FILES ||
	    (uint64_t)st->st_size > VFU_MAX_MAPPED - memory->mapped)
		return 0;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	*file = (struct file){ .dev = st->st_dev,
			       .ino = st->st_ino,
			       .size = (uint64_t)st->st_size,
			       .writable = writable,
			       .users = 1 };
	file->hva = mmap(NULL, file->size, PROT_READ | (writable ? PROT_WRITE : 0),
			 MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (file->hva == MAP_FAILED) {
		free(file);
		return 0;
	}
	LIST_INSERT_HEAD(&memory->files, file, link);
	memory->n_files++;
	memory->mapped += file->size;
	*out = file;
	return 0;
}

/* *out stays NULL where the range is to be reached by messages. */
static int get_file(struct vfu_memory *memory, const struct vfu_range *range, struct file **out)
{
	int flags = fcntl(range->fd, F_GETFL), seals = fcntl(range->fd, F_GET_SEALS);
	struct stat st;
	bool writable;

	/* What is not memory has no seals to ask for. */
	if (seals < 0)
		return 0;
	if (flags < 0 || fstat(range->fd, &st))
		return -errno;
	writable = (flags & O_ACCMODE) == O_RDWR && !(seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
	if ((range->write && !writable) || (flags & O_ACCMODE) == O_WRONLY)
		return -EACCES;
	if (!range_inside(range->offset, range->size, 0, (uint64_t)st.st_size))
		return -EINVAL;
	*out = find_file(memory, &st, writable);
	if (!*out)
		return map_file(memory, range->fd, &st, writable, out);
	(*out)->users++;
	return 0;
}

/* --- windows --------------------------------------------------------------------------------- */

/* The part of [first, last] that the window shows; false: none. */
static bool clip(const struct window *window, uint64_t *first, uint64_t *last)
{
	*first = MAX(*first, window->range.first);
	*last = MIN(*last, window->range.last);
	return *first <= *last;
}

static void unmap_from(const struct window *window, const struct range *range)
{
	uint64_t first = range->first, last = range->last;

	if (range->file && clip(window, &first, &last))
		ioasid_unmap(window->space, first, last - first + 1, NULL);
}

static int map_into(const struct window *window, const struct range *range, char *hva,
		    unsigned int rights)
{
	uint64_t first = range->first, last = range->last;
	struct ioasid_mapping mapping = { .fd = IOASID_NO_FD, .rights = rights & window->rights };

	if (!clip(window, &first, &last) || !mapping.rights)
		return 0;
	mapping.iova = first;
	mapping.size = last - first + 1;
	mapping.hva = hva + (first - range->first);
	return ioasid_map(window->space, &mapping, NULL);
}

/* In all windows or, with an error, in none. */
static int show(struct vfu_memory *memory, const struct range *range, char *hva,
		unsigned int rights)
{
	struct window *window, *done;
	int ret = 0;

	for (window = SLIST_FIRST(&memory->windows); window; window = SLIST_NEXT(window, link)) {
		ret = map_into(window, range, hva, rights);
		if (ret)
			break;
	}
	if (!ret)
		return 0;
	for (done = SLIST_FIRST(&memory->windows); done != window; done = SLIST_NEXT(done, link))
		unmap_from(done, range);
	return ret;
}

static void hide(struct vfu_memory *memory, const struct range *range)
{
	struct window *window;

	for (window = SLIST_FIRST(&memory->windows); window; window = SLIST_NEXT(window, link))
		unmap_from(window, range);
}

int vfu_memory_add_space(struct vfu_memory *memory, struct ioasid_space *space,
			 struct ioasid_range window, unsigned int rights, struct err *err)
{
	struct window *new = calloc(1, sizeof(*new));

	if (!new)
		return err_set(err, ENOMEM, "space %s: no memory", ioasid_space_name(space));
	*new = (struct window){ .space = space, .range = window, .rights = rights };
	SLIST_INSERT_HEAD(&memory->windows, new, link);
	return 0;
}

/* --- ranges ---------------------------------------------------------------------------------- */

static void say_messages(struct vfu_memory *memory, const struct vfu_range *range)
{
	if (memory->said)
		return;
	memory->said = true;
	log_line(memory->log, LOG_INFO, "vfio-user",
		 "memory from %#llx on %s: it is reached by messages, which is slow",
		 (unsigned long long)range->iova,
		 range->fd < 0 ? "came without a descriptor"
			       : "is no memfd, or more than is mapped of one client");
}

static struct range **insert(struct vfu_memory *memory, struct range *range)
{
	struct range **at;

	pthread_mutex_lock(&memory->lock);
	at = tsearch(range, &memory->ranges, compare);
	if (at && *at == range)
		memory->shared += range->file != NULL;
	pthread_mutex_unlock(&memory->lock);
	return at;
}

static void erase(struct vfu_memory *memory, struct range *range)
{
	pthread_mutex_lock(&memory->lock);
	tdelete(range, &memory->ranges, compare);
	memory->shared -= range->file != NULL;
	pthread_mutex_unlock(&memory->lock);
}

/* Before the range is in the tree, where others look at it. */
static int find_memory(struct vfu_memory *memory, const struct vfu_range *asked,
		       struct range *range)
{
	int ret = asked->fd >= 0 ? get_file(memory, asked, &range->file) : 0;

	if (!ret && !range->file)
		say_messages(memory, asked);
	return ret;
}

static int add(struct vfu_memory *memory, const struct vfu_range *asked, struct range *range)
{
	unsigned int rights = (asked->read ? IOASID_READ : 0) | (asked->write ? IOASID_WRITE : 0);
	struct range **at = insert(memory, range);
	int ret = 0;

	if (!at || *at != range)
		return at ? -EEXIST : -ENOMEM;
	if (range->file)
		ret = show(memory, range, range->file->hva + asked->offset, rights);
	if (ret)
		erase(memory, range);
	return ret;
}

int vfu_memory_map(struct vfu_memory *memory, const struct vfu_range *asked)
{
	struct range *range = calloc(1, sizeof(*range));
	int ret;

	if (!range)
		return -ENOMEM;
	range->first = asked->iova;
	range->last = asked->iova + (asked->size - 1);
	ret = find_memory(memory, asked, range);
	if (!ret)
		ret = add(memory, asked, range);
	if (ret) {
		put_file(memory, range->file);
		free(range);
	}
	return ret;
}

static void drop(struct vfu_memory *memory, struct range *range)
{
	hide(memory, range);
	erase(memory, range);
	put_file(memory, range->file);
	free(range);
}

int vfu_memory_unmap(struct vfu_memory *memory, uint64_t iova, uint64_t size)
{
	const struct range key = { .first = iova, .last = iova + (size - 1) };
	struct range **at = tfind(&key, &memory->ranges, compare);

	if (!at || (*at)->first != key.first || (*at)->last != key.last)
		return -ENOENT;
	drop(memory, *at);
	return 0;
}

void vfu_memory_unmap_all(struct vfu_memory *memory)
{
	/* The root of the tree is some range, as the first member of its node (search.h). */
	while (memory->ranges)
		drop(memory, *(struct range **)memory->ranges);
}

/* With the lock held: all of [first, last] lies in ranges that have no file. */
static bool all_without_file(const struct vfu_memory *memory, uint64_t first, uint64_t last)
{
	for (;;) {
		const struct range key = { .first = first, .last = first };
		struct range **at = tfind(&key, &memory->ranges, compare);

		if (!at || (*at)->file)
			return false;
		if ((*at)->last >= last)
			return true;
		first = (*at)->last + 1;
	}
}

bool vfu_memory_asks(struct vfu_memory *memory, uint64_t iova, uint64_t size)
{
	bool asks;

	pthread_mutex_lock(&memory->lock);
	asks = !memory->shared || all_without_file(memory, iova, iova + (size - 1));
	pthread_mutex_unlock(&memory->lock);
	return asks;
}

/* --- life ------------------------------------------------------------------------------------ */

int vfu_memory_create(struct vfu_memory **out, const struct log *log, struct err *err)
{
	struct vfu_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return err_set(err, ENOMEM, "no memory for a client's ranges");
	memory->log = log;
	pthread_mutex_init(&memory->lock, NULL);
	LIST_INIT(&memory->files);
	SLIST_INIT(&memory->windows);
	*out = memory;
	return 0;
}

void vfu_memory_destroy(struct vfu_memory *memory)
{
	struct window *window;

	if (!memory)
		return;
	while ((window = SLIST_FIRST(&memory->windows))) {
		SLIST_REMOVE_HEAD(&memory->windows, link);
		free(window);
	}
	pthread_mutex_destroy(&memory->lock);
	free(memory);
}
