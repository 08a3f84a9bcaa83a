/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payloads of adit bench under QEMU's microvm: the same bytes, entered as adit enters them
 * (64-bit code in an identity map, a PVH start info with the words), by a BIOS image of our own.
 * Devices are on virtio-mmio, which is what this machine type has.
 */
#ifndef ADIT_BENCH_MICROVM_FLAT_H
#define ADIT_BENCH_MICROVM_FLAT_H

#include <limits.h>

#include "bench/microvm.h"

#define MICROVM_FLAT_WORDS 48	      /* at most, with the NULL */
#define MICROVM_MMIO_BASE  0xfeb00000 /* of its virtio transports */

struct microvm_flat {
	char bios[PATH_MAX], low[PATH_MAX]; /* files that were made */
	char loader[2][PATH_MAX + 64];
	char *argv[MICROVM_FLAT_WORDS];
	unsigned int n;
};

/*
 * Makes the files in `work`, and a command line that runs the payload (a flat binary for 2 MiB)
 * with these words. 0 or -errno.
 */
int microvm_flat(struct microvm_flat *flat, const char *work, const char *payload,
		 const char *words, const char *memory);
/* More of QEMU's words, up to a NULL; borrowed. */
void microvm_flat_add(struct microvm_flat *flat, const char *const *words);

#endif
