/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping a device at work for a while, whatever it is, and how long each operation took. */
#include "bench/dma-device.h"

#define IOAT "I/OAT is not driven by this bench"
#define DSA  "DSA is not driven by this bench over VFIO: adit bench copy has the software engine's"

static const struct dma_driver refused[] = {
	{ .name = "ioat", .vendor = 0x8086, .device = 0x2021, .refused = IOAT }, /* Skylake */
	{ .name = "ioat", .vendor = 0x8086, .device = 0x0b00, .refused = IOAT }, /* Ice Lake */
	{ .name = "dsa", .vendor = 0x8086, .device = 0x0b25, .refused = DSA },
};

const struct dma_driver *dma_find(uint16_t vendor, uint16_t device, uint32_t class_code)
{
	static const struct dma_driver *const drivers[] = { &dma_edu, &dma_nvme_driver, &refused[0],
							    &refused[1], &refused[2] };

	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		const struct dma_driver *driver = drivers[i];

		if (driver->class_code ? driver->class_code == class_code
				       : driver->vendor == vendor && driver->device == device)
			return driver;
	}
	return NULL;
}

/* --- latencies ------------------------------------------------------------------------------- */

unsigned int dma_bucket(uint64_t ticks)
{
	unsigned int top = ticks < 32 ? 5 : 63 - (unsigned int)__builtin_clzll(ticks);

	return (top - 5) * 32 + (unsigned int)(ticks >> (top - 5)) % 32 + (ticks < 32 ? 0 : 32);
}

/* The middle of a bucket. */
static uint64_t ticks_of(unsigned int bucket)
{
	unsigned int shift = bucket < 64 ? 0 : bucket / 32 - 1;
	uint64_t base = bucket < 32 ? bucket : 32 + bucket % 32;

	return (base << shift) + ((1ULL << shift) >> 1);
}

uint64_t dma_latency(const struct dma_result *result, unsigned int of_1000)
{
	uint64_t seen = 0, all = 0;

	for (unsigned int i = 0; i < DMA_BUCKETS; i++)
		all += result->latency[i];
	for (unsigned int i = 0; i < DMA_BUCKETS; i++) {
		seen += result->latency[i];
		if (seen && seen * 1000 >= all * of_1000)
			return ticks_of(i);
	}
	return 0;
}

/* --- the loop -------------------------------------------------------------------------------- */

struct lanes {
	uint64_t begun[DMA_LANES];
	uint64_t busy; /* bits */
	uint64_t random, place, places;
};

static void begin(struct dma_device *d, const struct dma_load *load, struct lanes *lanes,
		  unsigned int lane)
{
	bool to_memory;

	lanes->random = lanes->random * 6364136223846793005u + 1442695040888963407u;
	to_memory = (lanes->random >> 40) % 100 >= load->writes;
	if (load->random)
		lanes->place = (lanes->random >> 33) % lanes->places;
	lanes->busy |= 1ULL << lane;
	lanes->begun[lane] = dma_ticks();
	d->driver->submit(d, lane, d->address + DMA_OWN + lanes->place * load->bytes, to_memory);
	lanes->place = lanes->place + 1 < lanes->places ? lanes->place + 1 : 0;
}

/* What is done, and as many again where `more`. False: something failed, or is not waited for. */
static bool take(struct dma_device *d, const struct dma_load *load, struct lanes *lanes,
		 struct dma_result *result, bool more, uint64_t *last)
{
	uint64_t done = d->driver->reap(d), now = dma_ticks();

	if (!done)
		return now - *last < d->patience;
	*last = now;
	done &= lanes->busy;
	lanes->busy &= ~done;
	while (done) {
		unsigned int lane = (unsigned int)__builtin_ctzll(done);

		done &= done - 1;
		result->done++;
		result->latency[dma_bucket(now - lanes->begun[lane])]++;
		if (more)
			begin(d, load, lanes, lane);
	}
	return !d->failed;
}

bool dma_run(struct dma_device *d, const struct dma_load *load, struct dma_result *result)
{
	struct lanes lanes = { .random = 1, .places = load->size / load->bytes };
	uint64_t start = dma_ticks(), last = start;
	bool good = true;

	*result = (struct dma_result){ 0 };
	d->bytes = load->bytes;
	d->at = "a load";
	d->failed = 0;
	for (unsigned int lane = 0; lane < load->depth; lane++)
		begin(d, load, &lanes, lane);
	while (good && (dma_ticks() - start < load->ticks || result->done < load->least))
		good = take(d, load, &lanes, result, true, &last);
	while (good && lanes.busy)
		good = take(d, load, &lanes, result, false, &last);
	result->ticks = dma_ticks() - start;
	return good;
}
