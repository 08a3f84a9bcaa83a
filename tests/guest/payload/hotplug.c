/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest to which functions come and from which they go: hears of both by the event device, as the
 * DSDT's methods would, uses what has come, and ejects what it is asked for. Each step is a line.
 *
 * Words. "stubborn": it ejects nothing. "eager": it ejects what has come at once, unasked.
 * "stores": the CPU has no MOVDIR64B.
 */
#include "apic.h"
#include "dsa.h"
#include "kit.h"
#include "pci.h"
#include "virtio.h"

#define VECTOR 0x50
#define SECTOR 512

static uint8_t from[4096] __attribute__((aligned(64)));
static uint8_t to[4096] __attribute__((aligned(64)));
static struct virtqueue queue;
static struct {
	uint32_t type, reserved;
	uint64_t sector;
} header;

/* The first sector's first byte; -1 where it cannot be read. */
static int read_disk(unsigned int slot)
{
	const struct piece pieces[] = { { &header, sizeof(header), false },
					{ to, SECTOR, true },
					{ to + SECTOR, 1, true } };
	unsigned int nth = 0;
	struct virtio v;
	uint32_t written;

	for (unsigned int below = 1; below < slot; below++)
		nth += pci_id(below) == VIRTIO_ID(VIRTIO_BLK);
	memset(to, 0xee, sizeof(to));
	if (!virtio_find(&v, VIRTIO_BLK, nth) || v.slot != slot ||
	    !virtio_agree(&v, VIRTIO_F_VERSION_1))
		return -1;
	virtio_queue(&v, &queue, 0, VIRTIO_F_VERSION_1, 0);
	virtio_ready(&v);
	virtio_add(&queue, pieces, 3, NULL);
	virtio_kick(&queue);
	return virtio_used(&v, &queue, 3, &written) && !to[SECTOR] ? to[0] : -1;
}

static int move_memory(unsigned int slot)
{
	struct dsa_completion record __attribute__((aligned(32))) = { 0 };
	const struct dsa_descriptor move = {
		.flags = (uint32_t)OP_MEMMOVE << 24 | FLAG_CRAV | FLAG_RCR,
		.completion = (uint64_t)&record,
		.source = (uint64_t)from,
		.destination = (uint64_t)to,
		.size = sizeof(from),
	};
	struct dsa dsa;

	memset(from, (int)slot, sizeof(from));
	memset(to, 0, sizeof(to));
	if (!dsa_find(&dsa, slot) || dsa.slot != slot || dsa_start(&dsa) ||
	    dsa_queue_enable(&dsa, 0))
		return -1;
	dsa.movdir64b_missing = command_word("stores", NULL);
	dsa_submit(&dsa, &move);
	return dsa_wait(&record, 10 * CYCLES_SECOND) == STATUS_OK && !memcmp(from, to, sizeof(to))
		       ? to[0]
		       : -1;
}

static void eject(unsigned int slot)
{
	kprintf("ejected %u\n", slot);
	outl(PORT_HOTPLUG_EJECT, 1u << slot);
}

static void has_come(unsigned int slot)
{
	uint32_t id = pci_id(slot);

	kprintf("up %u id %08x\n", slot, id);
	if (id == VIRTIO_ID(VIRTIO_BLK))
		kprintf("disk %u says %d\n", slot, read_disk(slot));
	else if (id == DSA_PCI_ID)
		kprintf("dsa %u moved %d\n", slot, move_memory(slot));
	if (command_word("eager", NULL))
		eject(slot);
}

static void shall_go(unsigned int slot)
{
	kprintf("down %u\n", slot);
	if (!command_word("stubborn", NULL))
		eject(slot);
}

int payload_main(void)
{
	uint64_t heard = 0;

	lapic_enable();
	pci_init();
	inl(PORT_GED_EVENTS);
	ioapic_route(PIN_GED, VECTOR, lapic_id(), 0);
	kprintf("ready\n");
	for (;;) {
		uint32_t events, up, down;

		halt_until(VECTOR, ++heard);
		while ((events = inl(PORT_GED_EVENTS))) {
			up = events & GED_EVENT_HOTPLUG ? inl(PORT_HOTPLUG_UP) : 0;
			down = events & GED_EVENT_HOTPLUG ? inl(PORT_HOTPLUG_DOWN) : 0;
			for (unsigned int slot = 1; slot < 32; slot++) {
				if (up >> slot & 1)
					has_come(slot);
				if (down >> slot & 1)
					shall_go(slot);
			}
			if (events & GED_EVENT_POWER_BUTTON)
				poweroff_machine();
		}
	}
}
