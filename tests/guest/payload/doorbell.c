/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to one place many times, for the host to count. Words: port=0x... or address=0x...;
 * size=1, 2, 4 or 8 (default 4), count=1000, data=0 and step=0 (added to data after each write).
 */
#include "kit.h"

static void ring_port(uint16_t port, uint64_t data, uint64_t size)
{
	if (size == 1)
		outb(port, (uint8_t)data);
	else if (size == 2)
		outw(port, (uint16_t)data);
	else
		outl(port, (uint32_t)data);
}

int payload_main(void)
{
	uint64_t port = command_number("port", 0), address = command_number("address", 0);
	uint64_t count = command_number("count", 1000), data = command_number("data", 0);
	uint64_t size = command_number("size", 4), step = command_number("step", 0);

	if (!port && !address) {
		test_skip("doorbell", "neither port= nor address= on the command line");
		return 0;
	}
	if (address && !map_device(address, 8)) {
		test_fail("doorbell", "0x%lx cannot be mapped", address);
		return 1;
	}
	kprintf("ready\n");
	for (uint64_t i = 0; i < count; i++, data += step) {
		if (address)
			mmio_write(address, data, (unsigned int)size);
		else
			ring_port((uint16_t)port, data, size);
	}
	kprintf("rang %lu\n", count);
	test_ok("doorbell");
	return 0;
}
