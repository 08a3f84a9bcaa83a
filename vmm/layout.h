/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where RAM and the PCI windows lie in guest-physical space. Pure arithmetic: no memory, file or
 * descriptor is touched, so that terabytes can be planned (and tested) anywhere.
 */
#ifndef ADIT_VMM_LAYOUT_H
#define ADIT_VMM_LAYOUT_H

#include <stdint.h>

#include "util/bits.h"
#include "util/err.h"

#define LAYOUT_MAX_RAM	     32u /* pieces that reserved ranges may cut RAM into */
#define LAYOUT_RAM_SIZE_MIN  (1 * MIB)
#define LAYOUT_RAM_SIZE_MAX  (16 * TIB)
#define LAYOUT_PHYS_BITS_MIN 36u
#define LAYOUT_PHYS_BITS_MAX 52u
#define LAYOUT_MMIO32_MIN    (16 * MIB) /* less than this left by reserved ranges is refused */
#define LAYOUT_MMIO64_MIN    (1 * GIB)	/* bounds of the window's default size */
#define LAYOUT_MMIO64_MAX    (4 * TIB)

struct layout_range {
	uint64_t base, size; /* bytes; [base, base + size) may end at 2^64 */
};

struct layout_request {
	uint64_t ram_size;		     /* bytes, multiple of 4 KiB, 1 MiB to 16 TiB */
	unsigned int phys_bits;		     /* the guest's physical address width, 36 to 52 */
	uint64_t aperture_last;		     /* highest IOVA, UINT64_MAX: no limit */
	const struct layout_range *reserved; /* any order, may overlap; empty ones are ignored */
	unsigned int n_reserved;
	uint64_t mem64_size; /* wanted 64-bit window: a power of two from 1 MiB; 0: default */
	uint64_t hot_size;   /* memory that may be plugged later, whole blocks; 0: none */
	uint64_t hot_align;  /* its blocks: a power of two */
};

struct layout_ram {
	uint64_t gpa, size;
	uint64_t offset; /* in the memfd; pieces follow each other without a gap */
};

struct layout {
	struct layout_ram ram[LAYOUT_MAX_RAM]; /* ascending; the first starts at 0 */
	unsigned int n_ram;
	/*
	 * 1 GiB, 2 MiB or 4 KiB: gpa and offset of every piece are multiples of it, so pages up to
	 * this size can back all of RAM but its tail.
	 */
	uint64_t ram_align;
	struct layout_range hot;    /* in one piece, above RAM and 4 GiB; size 0: none */
	struct layout_range mmio32; /* 1 MiB borders inside [MMIO32_BASE, MMIO32_END) */
	struct layout_range mmio64; /* a power of two, aligned to its size, above all of these */
	struct layout_range io;
	/* Fixed: no device does DMA there, so reserved ranges may lie on it. */
	struct layout_range ecam;
};

/*
 * RAM goes from 0 to LOW_RAM_END and on from 4 GiB, stepping around reserved ranges and around the
 * HyperTransport range below 1 TiB, where AMD IOMMUs never translate. The largest alignment that
 * lets everything fit is chosen. The default 64-bit window is the largest power of two between
 * LAYOUT_MMIO64_MIN and _MAX that fits.
 *
 * -EINVAL: a request outside its limits. -ENOSPC: something does not fit. The sentence names the
 * value and the limit; *layout is then undefined.
 */
int layout_plan(struct layout *layout, const struct layout_request *request, struct err *err);

#endif
