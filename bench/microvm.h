/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU microvm as a contestant: without firmware, which would be measured otherwise, but with a
 * BIOS image of a few bytes at the reset vector.
 */
#ifndef ADIT_BENCH_MICROVM_H
#define ADIT_BENCH_MICROVM_H

#define MICROVM_PROGRAM "qemu-system-x86_64"
#define MICROVM_WORDS	18 /* at most, with the NULL */
#define MICROVM_SAYS	"!"

enum microvm_then {
	MICROVM_LEAVE, /* the VM ends, with an odd status */
	MICROVM_SPIN,
	MICROVM_HALT,
};

/* Whose guest says MICROVM_SAYS, and then that. 0 or -errno. */
int microvm_bios(const char *path, enum microvm_then then);
/* bios and memory ("128M") are borrowed. */
void microvm_line(char **argv, const char *bios, const char *memory);

#endif
