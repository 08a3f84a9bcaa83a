/* SPDX-License-Identifier: Apache-2.0 */
/* RLIMIT_MEMLOCK as the kernel providers run into it. */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_LOCKED_H
#define ADIT_IOASID_CLIENT_PROVIDERS_LOCKED_H

#include "ioasid-client/memory.h"
#include "ioasid-client/providers/seam.h"

/* "KEY: VALUE kB" of /proc/self/status in bytes; 0 where it is not there. */
uint64_t locked_status(const struct ioasid_seam *seam, const char *key);
/* Fills limit and left, with `used` bytes counting against the limit. */
void locked_limit(const struct ioasid_seam *seam, uint64_t used, struct ioasid_memory *memory);
/* After the kernel refused to lock `bytes` more: how much is missing. -ENOMEM. */
int locked_explain(const struct ioasid_memory *memory, uint64_t bytes, struct err *err);

#endif
