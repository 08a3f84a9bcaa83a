/* SPDX-License-Identifier: Apache-2.0 */
/* The same moves by this thread's memcpy: what a device that moves memory is worth its set-up for.
 */
#include "bench/dma-device.h"

static bool cpu_start(struct dma_device *d)
{
	dma_fill_source(d);
	d->lanes = DMA_LANES;
	d->bytes_max = DMA_SOURCE_BYTES;
	d->bytes_step = 1;
	d->batch_max = UINT32_MAX;
	return true;
}

static void cpu_submit(struct dma_device *d, unsigned int lane, uint64_t address, bool to_memory)
{
	uint8_t *at = d->memory + (address - d->address);

	for (uint32_t i = 0; i < d->batch; i++, at += d->stride) {
		__builtin_memcpy(to_memory ? at : d->memory + DMA_SINK,
				 to_memory ? d->memory + DMA_SOURCE : at, d->bytes);
		__asm__ volatile("" : : : "memory");
	}
	d->dsa.busy |= 1ULL << lane;
}

static uint64_t cpu_reap(struct dma_device *d)
{
	uint64_t done = d->dsa.busy;

	d->dsa.busy = 0;
	return done;
}

static void cpu_stop(struct dma_device *d)
{
	(void)d;
}

static const uint8_t *cpu_brings(const struct dma_device *d)
{
	return d->memory + DMA_SOURCE;
}

static const char *cpu_describe(struct dma_device *d, uint32_t *value)
{
	(void)d;
	*value = 0;
	return "memcpy, which has no registers";
}

const struct dma_driver dma_cpu = {
	.name = "memcpy",
	.start = cpu_start,
	.submit = cpu_submit,
	.reap = cpu_reap,
	.stop = cpu_stop,
	.brings = cpu_brings,
	.describe = cpu_describe,
};
