/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages of guest memory, made before the guest has them: zeroing is nearly all of the time, and
 * several CPUs do it side by side.
 */
#ifndef ADIT_UTIL_POPULATE_H
#define ADIT_UTIL_POPULATE_H

#include <stdint.h>
#include <sys/mman.h>

#include "util/log.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

struct populate;

/*
 * Begins with [base, base + size), which stays mapped until one of the calls below; hugepage: bytes
 * of a page of it, or 0. NULL: no memory.
 */
struct populate *populate_begin(void *base, uint64_t size, uint64_t hugepage);
/* Takes part until all are there. Negative errno of the first that was refused. Frees it. */
int populate_end(struct populate *populate, const struct log *log);
/* Ends with what is under way, which is some MiB or a huge page a thread, and frees it. */
void populate_cancel(struct populate *populate);

#endif
