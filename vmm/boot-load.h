/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a configuration names to be booted: read into guest memory, or tried in memory that nobody
 * runs from, for a plan.
 */
#ifndef ADIT_VMM_BOOT_LOAD_H
#define ADIT_VMM_BOOT_LOAD_H

#include "util/err.h"

struct boot_memory;
struct config;
struct layout;
struct payload;

/* The payload and its initramfs. Errors are those of vmm/payload.h; the sentence names the file. */
int boot_load(const struct boot_memory *memory, const struct config *config,
	      struct payload *payload, struct err *err);

/*
 * Whether boot_load and boot_prepare would work with this layout; nothing of it stays. Takes as
 * much memory as the files have, and -ENOMEM where the host does not lend it.
 */
int boot_try(const struct config *config, const struct layout *layout, struct err *err);

#endif
