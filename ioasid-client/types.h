/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, rights and names that every part of the interface in ioasid.h uses. */
#ifndef ADIT_IOASID_CLIENT_TYPES_H
#define ADIT_IOASID_CLIENT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define IOASID_PASID_NONE 0u	   /* DMA without a PASID; never a host PASID's number */
#define IOASID_PASID_MAX  0xfffffu /* PCIe 6.0 section 10.5.1.2: 20 bits */
#define IOASID_PAGE_SIZE  4096u

/* Mappings have READ and WRITE; faults and PASIDs know the other two as well. */
#define IOASID_READ	  1u
#define IOASID_WRITE	  2u
#define IOASID_EXEC	  4u
#define IOASID_PRIVILEGED 8u

struct ioasid_ctx;
struct ioasid_device;
struct ioasid_space;
struct ioasid_pasid;

struct ioasid_range {
	uint64_t first, last; /* inclusive */
};

/* Formats of page tables that a guest keeps itself and a nested space walks. */
enum ioasid_format {
	IOASID_FORMAT_NONE,
	IOASID_FORMAT_VTD_S1, /* VT-d first stage: x86 tables of 4 or 5 levels */
};
#define IOASID_FORMAT_BIT(format) (1u << (format))

#endif
