/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Talks over the serial port: what comes goes back, '+' resets the machine and '.' ends it. The
 * line status is asked for in a loop, so that the port's interrupt plays no part.
 */
#include "kit.h"

int payload_main(void)
{
	kprintf("listening\n");
	for (;;) {
		char c;

		if (!(inb(PORT_SERIAL + 5) & 1))
			continue;
		c = (char)inb(PORT_SERIAL);
		if (c == '.')
			poweroff_machine();
		if (c == '+')
			reset_machine();
		kprintf("%c", c);
	}
}
