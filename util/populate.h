/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages of guest memory, made before the guest has them: zeroing is nearly all of the time, and
 * several CPUs do it side by side.
 */
#ifndef ADIT_UTIL_POPULATE_H
#define ADIT_UTIL_POPULATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#include "util/log.h"
#include "util/sandbox.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

struct populate;

struct populate_options {
	void *base; /* of memory that stays mapped until one of the calls below */
	uint64_t size;
	uint64_t hugepage;	       /* bytes of a page of it, or 0 */
	bool file;		       /* private to this process, of a file that may end early */
	const struct sandbox *sandbox; /* of the threads that make them; may be NULL */
	bool yields;		       /* they do, to whoever wants a CPU */
	const bool *stop;	       /* atomic: set, no more are made; may be NULL */
};

/* NULL: no memory. */
struct populate *populate_begin(const struct populate_options *options);
/*
 * Takes part until all are there. Negative errno of the first that was refused, -ECANCELED where
 * it was stopped. Frees it.
 */
int populate_end(struct populate *populate, const struct log *log);
/* Ends with what is under way, which is some MiB or a huge page a thread, and frees it. */
void populate_cancel(struct populate *populate);

#endif
