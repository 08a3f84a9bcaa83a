/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An assigned device under load, for the host to measure: adit bench dma's own drivers (bench/), in
 * a guest. Each row says "begin N" and "end N OPERATIONS CYCLES P50 P99 P99.9 MAX", the latter four
 * latencies in cycles.
 *
 * Words, as of diskload.c: rowa=, rowb=, ...: in order << 62 | depth << 32 | bytes; mixa= of a
 * hundred are writes, sizea= bytes of memory that are walked over, cyclesa= of the TSC, batcha=
 * moves of one operation, stridea= bytes from the begin of one to that of the next; hertz= of the
 * TSC. queues= to set up besides the first, pasids=1: each under its PASID; spreada= of them that
 * operations go to in turn, inrowa= to one before the next; owna=1: each has its share of the depth
 * instead. rampa= cycles before, of which nothing is kept. window=: where BARs go that nobody gave
 * an address, as under a QEMU without firmware.
 */
#include "kit.h"
#include "pci.h"

#include "bench/dma-device.h"
#include "bench/dma-dsa.c"
#include "bench/dma-edu.c"
#include "bench/dma-ioat.c"
#include "bench/dma-nvme.c"
#include "bench/dma-run.c"

#define MEMORY	  (16 * MIB)
#define ROWS_MAX  26u
#define LEAST	  4u
#define SLOTS	  32u
#define PATIENCE  20u /* seconds */
#define CLASS_REG 8u
#define BARS	  6u

#define SLOT_BYTES 64u

static uint64_t portals;

/* As tests/guest/kit/dsa.c: MOVDIR64B, or eight stores once it was seen to be missing. */
static void store64(struct dma_device *d, uint32_t at, const void *data)
{
	const uint64_t *words = data;

	__asm__ volatile("sfence" : : : "memory");
	if (!d->torn && !try_movdir64b(portals + at, data))
		return;
	if (!d->torn)
		settle();
	d->torn = true;
	for (unsigned int i = 0; i < SLOT_BYTES / sizeof(*words); i++)
		write64(portals + at + sizeof(*words) * i, words[i]);
}

static bool map_portals(struct dma_device *d, unsigned int slot)
{
	if (!d->driver->portals)
		return true;
	portals = pci_bar_map(slot, 2);
	d->store64 = store64;
	return portals;
}

/* One behind the other, each at a multiple of its size. */
static void place_bars(unsigned int slot)
{
	uint64_t next = command_number("window", 0);

	for (unsigned int i = 0; next && i < BARS; i++) {
		struct pci_bar bar = pci_bar(slot, i);

		if (bar.size && !bar.io && !bar.address) {
			next = (next + bar.size - 1) / bar.size * bar.size;
			pci_bar_set(slot, i, next);
			next += bar.size;
		}
		i += bar.is64;
	}
}

static bool find_device(struct dma_device *d)
{
	for (unsigned int slot = 1; slot < SLOTS; slot++) {
		uint32_t id = pci_id(slot);

		if ((id & 0xffff) == 0xffff)
			continue;
		d->driver = dma_find((uint16_t)id, (uint16_t)(id >> 16),
				     (uint32_t)pci_read(slot, CLASS_REG, 4) >> 8);
		if (!d->driver)
			continue;
		place_bars(slot);
		d->registers = (volatile uint8_t *)pci_bar_map(slot, 0);
		pci_command(slot, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
		return d->registers && map_portals(d, slot);
	}
	return false;
}

/* A word of one row: its name and the row's letter. */
static uint64_t row_number(const char *word, char row, uint64_t fallback)
{
	char name[16];
	unsigned int n = 0;

	for (; word[n]; n++)
		name[n] = word[n];
	name[n] = row;
	name[n + 1] = 0;
	return command_number(name, fallback);
}

static bool run_row(struct dma_device *d, char name, uint64_t row)
{
	static struct dma_result result;
	const struct dma_load load = {
		.bytes = (uint32_t)row,
		.batch = (unsigned int)row_number("batch", name, 1),
		.depth = row >> 32 & 0xffff,
		.random = !(row >> 62 & 1),
		.writes = (unsigned int)row_number("mix", name, 0),
		.size = row_number("size", name, MIB),
		.stride = row_number("stride", name, 0),
		.queues = (unsigned int)row_number("spread", name, 0),
		.in_row = (unsigned int)row_number("inrow", name, 0),
		.own_lanes = row_number("own", name, 0),
		.ramp = row_number("ramp", name, 0),
		.ticks = row_number("cycles", name, CYCLES_SECOND / 20),
		.least = LEAST,
	};
	unsigned int lanes;

	lanes = load.own_lanes ? d->lanes * load.queues : d->lanes;
	if (load.queues > d->wanted.count + !d->wanted.count || !load.bytes ||
	    load.bytes > d->bytes_max || load.bytes % d->bytes_step || !load.depth ||
	    load.depth > lanes || load.depth > DMA_LANES || !load.batch ||
	    load.batch > d->batch_max ||
	    load.size < (load.stride ? load.stride : load.bytes) * load.batch)
		return false;
	kprintf("begin %c\n", name);
	if (!dma_prove(d, &load) || !dma_run(d, &load, &result))
		return false;
	kprintf("end %c %lu %lu %lu %lu %lu %lu\n", name, result.done, result.ticks,
		dma_latency(&result, 500), dma_latency(&result, 990), dma_latency(&result, 999),
		result.longest);
	return true;
}

int payload_main(void)
{
	static struct dma_device d;
	char word[] = "rowa";
	uint32_t value;

	d.memory = (uint8_t *)MEMORY;
	d.address = MEMORY;
	d.wanted.count = (unsigned int)command_number("queues", 0);
	d.wanted.pasids = command_number("pasids", 0);
	d.patience = PATIENCE * command_number("hertz", CYCLES_SECOND);
	if (!pci_init() || !find_device(&d)) {
		test_fail("dmaload", "no function that there is a driver for");
		return 1;
	}
	if (!d.driver->start(&d)) {
		const char *name = d.driver->describe(&d, &value);

		test_fail("dmaload", "%s does not start at %s: %s %x", d.driver->name, d.at, name,
			  value);
		return 1;
	}
	for (unsigned int i = 0; i < ROWS_MAX; i++, word[3]++) {
		uint64_t row = command_number(word, 0);

		if (row && !run_row(&d, word[3], row)) {
			const char *name = d.driver->describe(&d, &value);

			test_fail(word, "0x%lx: at %s: %lu failed, status %x; %s %x", row, d.at,
				  d.failed, d.error, name, value);
			return 1;
		}
	}
	d.driver->stop(&d);
	test_ok("dmaload");
	return 0;
}
