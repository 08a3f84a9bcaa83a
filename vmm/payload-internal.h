/* SPDX-License-Identifier: Apache-2.0 */
/* What the loaders of the image formats share with vmm/payload.c and nobody else. */
#ifndef ADIT_VMM_PAYLOAD_INTERNAL_H
#define ADIT_VMM_PAYLOAD_INTERNAL_H

#include "vmm/boot.h"
#include "vmm/payload.h"

/* what names the bytes in the sentence. -ENOEXEC past the end, -EIO where the file shrank. */
int payload_read(const struct payload_source *source, uint64_t offset, void *to, uint64_t len,
		 const char *what, struct err *err);

int payload_load_elf(const struct boot_memory *memory, const struct payload_source *source,
		     struct payload *payload, struct err *err);
int payload_load_bzimage(const struct boot_memory *memory, const struct payload_source *source,
			 struct payload *payload, struct err *err);

#endif
