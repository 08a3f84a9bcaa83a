/* SPDX-License-Identifier: Apache-2.0 */
/* When a program that exit-gap.c is in front of first runs its guest. */
#ifndef ADIT_BENCH_ENTRY_H
#define ADIT_BENCH_ENTRY_H

/* From now on, for the child that is started next: it notes that in the file. */
void entry_begin(const char *path);

/*
 * Takes what the child noted away: ms from entry_begin to its first KVM_RUN, and those of
 * these in which a thread was in the kernel's calls for devices, or waited for pages to be made.
 * 0 or -errno, with 0 and 0.
 */
int entry_take(const char *path, double *entry_ms, double *kernel_ms);

#endif
