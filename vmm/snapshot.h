/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a snapshot: a header, the state of everything but memory (util/state.h), and the
 * memory, page by page at the place that its address says, so that it can be mapped. Pages that
 * hold nothing are holes of the file.
 *
 * A file that is opened is hostile: whatever its header says is checked against the file before
 * it is used, and the state is a private copy. A file that is being written has no header until
 * all of it is on the disk.
 */
#ifndef ADIT_VMM_SNAPSHOT_H
#define ADIT_VMM_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/state.h"
#include "vmm/ram.h"

struct snapshot {
	int fd; /* -1: closed */
	uint8_t *state;
	size_t state_len;
	struct ram_file memory;
	uint64_t memory_size;
};

/* -EINVAL: the sentence says what of the file is wrong. */
int snapshot_open(struct snapshot *snapshot, const char *path, struct err *err);
/* One that somebody has opened already: fd is taken over in any case. name: for sentences. */
int snapshot_open_fd(struct snapshot *snapshot, int fd, const char *name, struct err *err);
/* What is mapped of it stays so. */
void snapshot_close(struct snapshot *snapshot);

/*
 * Makes the file, for its owner alone: -EEXIST where there is one of that name. On failure none is
 * left. Nobody writes to the memory meanwhile.
 */
int snapshot_write(const char *path, const struct state_out *state, const struct ram *ram,
		   struct err *err);
/*
 * Into a regular file that is open for writing, and empty: -EINVAL where it is not. It stays the
 * caller's, also what a failure leaves in it. name: for sentences.
 */
int snapshot_write_fd(int fd, const char *name, const struct state_out *state,
		      const struct ram *ram, struct err *err);

/* The path that a URL names: file:///..., or an absolute path as it is. NULL, -EINVAL in err. */
const char *snapshot_path(const char *url, struct err *err);

#endif
