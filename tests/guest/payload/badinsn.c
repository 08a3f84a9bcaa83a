/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM cannot carry out, so that the monitor has to end the machine with a report. The word
 * kind= chooses: fetch (default; code in an MMIO hole), mmio (crc32 with an MMIO operand),
 * cpl0 (popcnt at CPL0: fails only where CPL0 is emulated).
 */
#include "kit.h"

#define HOLE 0xfed00000UL /* where PCs have an HPET, and adit has nothing */

static uint64_t count_bits(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t bits;

	__asm__ volatile("popcnt %1, %0" : "=r"(bits) : "r"(a));
	return bits;
}

int payload_main(void)
{
	const char *kind = "fetch";
	uint32_t crc = 0;

	command_word("kind", &kind);
	kprintf("ready\n");
	if (kind[0] == 'f')
		((void (*)(void))HOLE)();
	else if (kind[0] == 'm')
		__asm__ volatile("crc32l (%1), %0" : "+r"(crc) : "r"(HOLE) : "memory");
	else if (kind[0] == 'c')
		crc = (uint32_t)cpl0(count_bits, 3, 0, 0);
	test_fail("bad_instruction", "execution goes on behind it, %u", crc);
	return 1;
}
