/* SPDX-License-Identifier: Apache-2.0 */
/* Asks for a reset: register=acpi (default), cf9 or i8042. */
#include "kit.h"

int payload_main(void)
{
	const char *which = "acpi";

	command_word("register", &which);
	test_ok("reset_reached");
	if (which[0] == 'c')
		outb(PORT_CF9, 0x06);
	else if (which[0] == 'i')
		outb(PORT_I8042_COMMAND, 0xfe);
	else
		reset_machine();
	test_fail("reset", "execution goes on behind it");
	return 1;
}
