/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long it pays to look for what comes next instead of sleeping: a thread that sleeps is woken
 * some microseconds later than it could have seen. Learns from each wait: what came soon, though
 * later than was looked, has it look longer, up to a most; what took longer than that ends it. So
 * nobody spins for what comes rarely. As QEMU's poll-max-ns of an I/O thread, with its steps.
 */
#ifndef ADIT_UTIL_SPIN_H
#define ADIT_UTIL_SPIN_H

#include <stdint.h>

#define SPIN_FIRST_NS 4000u

/* How many nanoseconds to look next time, 0: not at all, by how long was looked and waited now. */
static inline uint64_t spin_next(uint64_t looked, uint64_t waited, uint64_t most)
{
	uint64_t next = looked;

	if (waited > most)
		return 0;
	if (waited > looked)
		next = looked ? 2 * looked : SPIN_FIRST_NS;
	return next < most ? next : most;
}

#endif
