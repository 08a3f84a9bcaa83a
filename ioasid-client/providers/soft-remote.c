/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remote spaces: memory that an engine reaches by calls, behind the pointers that it works with. A
 * section gets copies, read when they are translated, and what it changed in those that it may
 * write is written back at its end.
 *
 * Copies hold whole pages, each at most once, so that what is contiguous is no less than in mapped
 * memory; but only what an engine asks for is read, and what lies between two such pieces.
 *
 * What an engine was given to write and left alone must stay as its owner has it: a copy keeps what
 * was read beside what became of it, and goes back from the first to the last changed byte of each
 * piece that was asked for in a row.
 */
#include "ioasid-client/providers/soft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"

#define COPY_MAX     (64 * KIB) /* bytes of one copy */
#define RECORDS_MAX  64u	/* what is polled for lies in pieces up to this size */
#define RECORD_BYTES 32u	/* where such a thing begins; its first word goes last */
#define RECORD_WORD  8u

struct soft_copy {
	struct soft_copy *next;
	const struct soft_space *space;
	uint64_t iova, size; /* whole pages */
	uint64_t from, to;   /* what of them was read */
	bool written;
	uint8_t *asked; /* a bit per byte that may have been written */
	char *before;	/* as it was read */
	char *data;
};

void soft_copies_init(struct soft_copies *copies)
{
	copies->first = NULL;
	copies->last = &copies->first;
}

/* The copy that holds iova; else NULL, and *end is no further than where another begins. */
static struct soft_copy *find(const struct soft_copies *copies, const struct soft_space *space,
			      uint64_t iova, uint64_t *end)
{
	for (struct soft_copy *copy = copies->first; copy; copy = copy->next) {
		if (copy->space != space)
			continue;
		if (iova - copy->iova < copy->size)
			return copy;
		if (copy->iova > iova)
			*end = MIN(*end, copy->iova - 1);
	}
	return NULL;
}

/* The last byte of a new copy from `first` on, at most `last`: pages up to one that is mapped. */
static uint64_t clip(const struct soft_space *space, uint64_t first, uint64_t last)
{
	uint64_t page = first;

	last |= IOASID_PAGE_SIZE - 1;
	if (last - first >= COPY_MAX)
		last = first + (COPY_MAX - 1);
	while (last - page >= IOASID_PAGE_SIZE) {
		struct soft_extent extent;

		page += IOASID_PAGE_SIZE;
		if (soft_map_find(&space->map, page >> SOFT_PAGE_SHIFT, &extent))
			return page - 1;
	}
	return last;
}

static struct soft_copy *make(struct soft_copies *copies, const struct soft_space *space,
			      uint64_t first, uint64_t last)
{
	uint64_t size = last - first + 1;
	size_t head = align_up(sizeof(struct soft_copy), 64);
	struct soft_copy *copy = aligned_alloc(64, head + 2 * size + align_up(size / 8, 64));

	if (!copy)
		return NULL;
	*copy = (struct soft_copy){ .space = space, .iova = first, .size = size };
	copy->data = (char *)copy + head;
	copy->before = copy->data + size;
	copy->asked = (uint8_t *)copy->before + size;
	memset(copy->asked, 0, size / 8);
	*copies->last = copy;
	copies->last = &copy->next;
	return copy;
}

static int read_part(struct soft_copy *copy, uint64_t from, uint64_t to)
{
	const struct ioasid_remote *remote = copy->space->remote;

	if (remote->read(remote->opaque, copy->iova + from, copy->data + from, to - from))
		return -EFAULT;
	memcpy(copy->before + from, copy->data + from, to - from);
	return 0;
}

/* [from, to) of the copy is there when it returns 0. */
static int fetch(struct soft_copy *copy, uint64_t from, uint64_t to)
{
	if (copy->from == copy->to) {
		if (read_part(copy, from, to))
			return -EFAULT;
		copy->from = from;
		copy->to = to;
		return 0;
	}
	if (from < copy->from) {
		if (read_part(copy, from, copy->from))
			return -EFAULT;
		copy->from = from;
	}
	if (to > copy->to) {
		if (read_part(copy, copy->to, to))
			return -EFAULT;
		copy->to = to;
	}
	return 0;
}

static void mark(struct soft_copy *copy, uint64_t from, uint64_t to)
{
	copy->written = true;
	for (; from < to && from % 8; from++)
		copy->asked[from / 8] |= (uint8_t)(1u << from % 8);
	if (to - from >= 8) {
		memset(copy->asked + from / 8, 0xff, (to - from) / 8);
		from += (to - from) / 8 * 8;
	}
	for (; from < to; from++)
		copy->asked[from / 8] |= (uint8_t)(1u << from % 8);
}

void *soft_copy_in(struct soft_copies *copies, const struct soft_space *space, uint64_t iova,
		   uint64_t *len, unsigned int rights)
{
	const struct ioasid_remote *remote = space->remote;
	uint64_t last = iova + MIN(*len - 1, UINT64_MAX - iova), from;
	struct soft_copy *copy;

	*len = 0;
	if (rights & ~remote->rights || iova < remote->range.first || iova > remote->range.last)
		return NULL;
	last = MIN(last, remote->range.last);
	copy = find(copies, space, iova, &last);
	if (!copy) {
		uint64_t page = align_down(iova, IOASID_PAGE_SIZE);

		copy = make(copies, space, page, clip(space, page, last));
		if (!copy)
			return NULL;
	}
	from = iova - copy->iova;
	last = MIN(last - copy->iova, copy->size - 1);
	if (fetch(copy, from, last + 1))
		return NULL;
	if (rights & IOASID_WRITE)
		mark(copy, from, last + 1);
	*len = last + 1 - from;
	return copy->data + from;
}

static bool may_differ(const struct soft_copy *copy, uint64_t at)
{
	return copy->asked[at / 8] >> at % 8 & 1;
}

static int write_part(const struct soft_copy *copy, uint64_t from, uint64_t to)
{
	const struct ioasid_remote *remote = copy->space->remote;

	if (from >= to)
		return 0;
	return remote->write(remote->opaque, copy->iova + from, copy->data + from, to - from);
}

/* What is polled for, a completion record's status, must not be seen before what it is about. */
static int write_piece(const struct soft_copy *copy, uint64_t from, uint64_t to)
{
	int ret = 0;

	if (to - from > RECORDS_MAX)
		return write_part(copy, from, to);
	while (from < to && !ret) {
		uint64_t record = align_down(from, RECORD_BYTES);
		uint64_t end = MIN(record + RECORD_BYTES, to);
		uint64_t word = MIN(MAX(record + RECORD_WORD, from), end);

		ret = write_part(copy, word, end);
		if (!ret)
			ret = write_part(copy, from, word);
		from = end;
	}
	return ret;
}

static int write_back(struct soft_copy *copy)
{
	uint64_t at = copy->from;

	while (at < copy->to) {
		uint64_t from = at, to = at;

		if (!may_differ(copy, at) || copy->data[at] == copy->before[at]) {
			at++;
			continue;
		}
		for (; at < copy->to && may_differ(copy, at); at++) {
			if (copy->data[at] != copy->before[at])
				to = at + 1;
		}
		if (write_piece(copy, from, to)) {
			copy->iova += from;
			return -EFAULT;
		}
	}
	return 0;
}

int soft_copies_out(struct soft_copies *copies)
{
	struct soft_copy *copy;
	int ret = 0;

	while ((copy = copies->first)) {
		if (copy->written && !ret && write_back(copy)) {
			copies->failed = copy->iova;
			ret = -EFAULT;
		}
		copies->first = copy->next;
		free(copy);
	}
	soft_copies_init(copies);
	return ret;
}
