/* SPDX-License-Identifier: Apache-2.0 */
/* A fault that nobody can take: the interrupt table is empty when ud2 runs at CPL0. */
#include "kit.h"

static uint64_t fall(uint64_t a, uint64_t b, uint64_t c)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) empty = { 0, 0 };

	__asm__ volatile("lidt %0; xor %%r11d, %%r11d; ud2" : : "m"(empty) : "r11");
	return 0;
}

int payload_main(void)
{
	kprintf("ready\n");
	cpl0(fall, 0, 0, 0);
	test_fail("triple_fault", "execution goes on behind it");
	return 1;
}
