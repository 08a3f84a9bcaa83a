/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WBINVD, as often as times= says: whether it does anything is the host's affair and is seen there.
 * With `forever` again and again until it is stopped, each round with a line.
 */
#include "kit.h"

static uint64_t flush(uint64_t times, uint64_t b, uint64_t c)
{
	while (times--)
		__asm__ volatile("wbinvd" : : : "memory");
	return 0;
}

int payload_main(void)
{
	cpl0(flush, command_number("times", 1), 0, 0);
	test_ok("every_wbinvd_returned");
	for (uint64_t round = 1; command_word("forever", NULL); round++) {
		cpl0(flush, command_number("times", 1), 0, 0);
		kprintf("round %lu\n", round);
	}
	return 0;
}
