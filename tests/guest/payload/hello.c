/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First output as early as a guest can make it, then a clean end. It has an entry of its own and
 * takes nothing from the kit, so that the boot bench measures the monitor and not the guest.
 */
#include "vmm/platform.h"

#define STR(x)	#x
#define XSTR(x) STR(x)

__asm__(".section .text.start, \"ax\"\n"
	".globl _start\n"
	"_start:\n"
	"	mov $" XSTR(
		PORT_SERIAL) ", %edx\n"
			     "	mov $'!', %al\n"
			     "	out %al, %dx\n"
			     "	lea 1f(%rip), %rsi\n"
			     "	mov $(2f - 1f), %ecx\n"
			     "	cld\n"
			     "	rep outsb\n"
			     "	xor %eax, %eax\n"
			     "	mov $" XSTR(
				     PORT_DEBUG_EXIT) ", %edx\n"
						      "	out %eax, %dx\n"
						      "	mov $(" XSTR(
							      SLEEP_TYPE_S5) " << 2 | 1 << 5), %al\n"
									     "	mov $" XSTR(
										     PORT_SLEEP_CONTROL) ", %edx\n"
													 "	out %al, %dx\n"
													 "3:	cli\n"
													 "	hlt\n"
													 "	jmp 3b\n"
													 "1:	.ascii \"\\nok hello\\n\"\n"
													 "2:\n"
													 ".previous\n");
