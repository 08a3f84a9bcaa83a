/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM runs: kernels (PVH ELF, ELF64, bzImage), flat binaries and the initramfs are read from
 * a file straight into guest memory. Files are hostile: headers are copied once and checked before
 * anything is written, and everything is read, never mapped, so that a file that shrinks meanwhile
 * is an error and no SIGBUS.
 */
#ifndef ADIT_VMM_PAYLOAD_H
#define ADIT_VMM_PAYLOAD_H

#include <asm/bootparam.h>
#include <stddef.h>
#include <stdint.h>

#include "util/bits.h"
#include "util/err.h"

struct boot_memory;

#define PAYLOAD_MAX_BYTES (4 * GIB) /* of a file, and of one ELF segment in memory */

struct payload_source {
	const void *bytes; /* where not NULL the image is here, and fd is not used */
	int fd;
	uint64_t size;
};

enum payload_kind {
	PAYLOAD_PVH,
	PAYLOAD_ELF64,
	PAYLOAD_BZIMAGE,
	PAYLOAD_RAW
};

struct payload {
	enum payload_kind kind;
	uint64_t entry;		    /* GPA, below 4 GiB */
	uint64_t start, end;	    /* GPA range that the payload uses; end is exclusive */
	uint64_t initramfs;	    /* GPA, meaningful where initramfs_size is not 0 */
	uint64_t initramfs_size;    /* bytes */
	struct setup_header header; /* bzImage: the file's, cut to what we know; else zero */
};

/* A regular file, not empty, at most PAYLOAD_MAX_BYTES. The sentence starts with the path. */
int payload_open(struct payload_source *source, const char *path, struct err *err);
/* The same for a descriptor that somebody opened; it becomes the source's only on success. */
int payload_open_fd(struct payload_source *source, int fd, struct err *err);
/* The one at the path; where that is NULL, the file of fd, which stays the caller's. */
int payload_open_given(struct payload_source *source, const char *path, uint32_t fd,
		       struct err *err);
/* An image that is in memory already; bytes must outlive the source. */
void payload_from_memory(struct payload_source *source, const void *bytes, size_t size);
/* Closes the descriptor. Also after a failed open. */
void payload_close(struct payload_source *source);

/*
 * Loads and fills *payload. -ENOEXEC: the image is not one of those that can run, or malformed; the
 * sentence names the field. -ENOSPC: it does not fit into guest memory, or would lie over the boot
 * structures (vmm/platform.h). -EIO and read errors: memory may hold a part of the image.
 * Guest memory that no image byte goes to is left alone, but .bss of ELF segments is zeroed.
 */
int payload_load_kernel(const struct boot_memory *memory, const struct payload_source *source,
			struct payload *payload, struct err *err);

/* address: page aligned; the entry too. -EINVAL unaligned, else as payload_load_kernel. */
int payload_load_flat(const struct boot_memory *memory, const struct payload_source *source,
		      uint64_t address, struct payload *payload, struct err *err);

/*
 * After one of the loads above: at the highest page below LOW_RAM_END, RAM's end and the kernel's
 * own limit where it overlaps nothing. -ENOSPC where there is no such place.
 */
int payload_load_initramfs(const struct boot_memory *memory, const struct payload_source *source,
			   struct payload *payload, struct err *err);

#endif
