/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remote spaces: memory that an engine reaches by calls, behind the pointers that it works with. A
 * section gets copies, read when they are translated, and what it changed in those that it may
 * write is written back at its end.
 *
 * What an engine was given to write and left alone must stay as its owner has it: a copy that may
 * be written keeps what was read beside it, and only the span between the first and the last
 * changed byte goes back. All of that span the engine had asked for.
 */
#include "ioasid-client/providers/soft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"

#define COPY_MAX     (64 * KIB) /* bytes of one copy */
#define RECORD_BYTES 64u /* what a device waits for is not longer: its first word goes last */
#define RECORD_WORD  8u

struct soft_copy {
	struct soft_copy *next;
	const struct soft_space *space;
	uint64_t iova, size;
	bool writable;
	char *before; /* as it was read; behind data */
	_Alignas(64) char data[];
};

void soft_copies_init(struct soft_copies *copies)
{
	copies->first = NULL;
	copies->last = &copies->first;
}

/* The copy that holds iova; else NULL, and *len ends where the next one begins. */
static struct soft_copy *find(const struct soft_copies *copies, const struct soft_space *space,
			      uint64_t iova, uint64_t *len)
{
	for (struct soft_copy *copy = copies->first; copy; copy = copy->next) {
		if (copy->space != space)
			continue;
		if (iova - copy->iova < copy->size)
			return copy;
		if (copy->iova > iova)
			*len = MIN(*len, copy->iova - iova);
	}
	return NULL;
}

/* Up to the first page that is mapped, the end of the range, or what one copy holds. */
static uint64_t clip(const struct soft_space *space, uint64_t iova, uint64_t len)
{
	uint64_t end;

	len = MIN(MIN(len, COPY_MAX) - 1, space->remote->range.last - iova) + 1;
	for (end = align_down(iova, IOASID_PAGE_SIZE) + IOASID_PAGE_SIZE; end - iova < len;
	     end += IOASID_PAGE_SIZE) {
		struct soft_extent extent;

		if (soft_map_find(&space->map, end >> SOFT_PAGE_SHIFT, &extent))
			return end - iova;
	}
	return len;
}

static struct soft_copy *make(const struct soft_space *space, uint64_t iova, uint64_t size)
{
	size_t bytes = align_up(sizeof(struct soft_copy) + 2 * size, 64);
	struct soft_copy *copy = aligned_alloc(64, bytes);

	if (!copy)
		return NULL;
	*copy = (struct soft_copy){
		.space = space, .iova = iova, .size = size, .before = copy->data + size
	};
	if (!space->remote->read(space->remote->opaque, iova, copy->data, size))
		return copy;
	free(copy);
	return NULL;
}

void *soft_copy_in(struct soft_copies *copies, const struct soft_space *space, uint64_t iova,
		   uint64_t *len, unsigned int rights)
{
	const struct ioasid_remote *remote = space->remote;
	struct soft_copy *copy = NULL;

	if (rights & ~remote->rights || iova < remote->range.first || iova > remote->range.last)
		goto blocked;
	copy = find(copies, space, iova, len);
	if (!copy) {
		copy = make(space, iova, clip(space, iova, *len));
		if (!copy)
			goto blocked;
		*copies->last = copy;
		copies->last = &copy->next;
	}
	if (rights & IOASID_WRITE && !copy->writable) {
		memcpy(copy->before, copy->data, copy->size);
		copy->writable = true;
	}
	*len = MIN(*len, copy->size - (iova - copy->iova));
	return copy->data + (iova - copy->iova);
blocked:
	*len = 0;
	return NULL;
}

static int write_part(const struct soft_copy *copy, uint64_t first, uint64_t end)
{
	const struct ioasid_remote *remote = copy->space->remote;

	if (first >= end)
		return 0;
	return remote->write(remote->opaque, copy->iova + first, copy->data + first, end - first);
}

/* What is polled for, a completion record's status, must not be seen before what it is about. */
static int write_back(const struct soft_copy *copy)
{
	uint64_t first = 0, end = copy->size, word;
	int ret;

	while (first < end && copy->data[first] == copy->before[first])
		first++;
	while (end > first && copy->data[end - 1] == copy->before[end - 1])
		end--;
	if (copy->size > RECORD_BYTES)
		return write_part(copy, first, end);
	word = MIN(MAX(first, RECORD_WORD), end);
	ret = write_part(copy, word, end);
	return ret ? ret : write_part(copy, first, word);
}

int soft_copies_out(struct soft_copies *copies)
{
	struct soft_copy *copy;
	int ret = 0;

	while ((copy = copies->first)) {
		if (copy->writable && !ret && write_back(copy)) {
			copies->failed = copy->iova;
			ret = -EFAULT;
		}
		copies->first = copy->next;
		free(copy);
	}
	soft_copies_init(copies);
	return ret;
}
