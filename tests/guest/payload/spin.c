/* SPDX-License-Identifier: Apache-2.0 */
/* Says "ready" and never gives the CPU back by itself: what a monitor must be able to stop. */
#include "kit.h"

int payload_main(void)
{
	kprintf("ready\n");
	for (;;)
		__asm__ volatile("" : : : "memory");
	return 0;
}
