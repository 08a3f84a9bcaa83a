/* SPDX-License-Identifier: Apache-2.0 */
/* Switches the machine off the ACPI way: S5 through the sleep control register. */
#include "kit.h"

int payload_main(void)
{
	test_ok("poweroff_reached");
	poweroff_machine();
}
