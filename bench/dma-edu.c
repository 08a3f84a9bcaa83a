/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's edu device (docs/specs/edu.rst): one operation at a time between memory and a buffer of
 * 4 KiB. It takes 100 ms for each, whatever it moves: it shows that DMA arrives, and no rate.
 */
#include "bench/dma-device.h"

#define EDU_SOURCE  0x80
#define EDU_TARGET  0x88
#define EDU_COUNT   0x90
#define EDU_COMMAND 0x98
#define EDU_RUN	    1u
#define EDU_BACK    2u /* from the device to memory */
#define EDU_BUFFER  0x40000u
#define EDU_BYTES   4096u

static bool edu_start(struct dma_device *d)
{
	d->lanes = 1;
	d->bytes_max = EDU_BYTES;
	d->bytes_step = 1;
	d->batch_max = 1;
	d->busy = false;
	/* Left behind by whoever had it last: nothing resets it. */
	for (uint64_t end = dma_ticks() + d->patience; dma_ticks() < end;) {
		if (!(dma_read64(d, EDU_COMMAND) & EDU_RUN))
			return true;
	}
	d->at = "a transfer of whoever had it before";
	return false;
}

static void edu_submit(struct dma_device *d, unsigned int lane, uint64_t address, bool to_memory)
{
	(void)lane;
	dma_write64(d, EDU_SOURCE, to_memory ? EDU_BUFFER : address);
	dma_write64(d, EDU_TARGET, to_memory ? address : EDU_BUFFER);
	dma_write64(d, EDU_COUNT, d->bytes);
	dma_write64(d, EDU_COMMAND, EDU_RUN | (to_memory ? EDU_BACK : 0));
	d->busy = true;
}

static uint64_t edu_reap(struct dma_device *d)
{
	if (!d->busy || dma_read64(d, EDU_COMMAND) & EDU_RUN)
		return 0;
	d->busy = false;
	return 1;
}

static void edu_stop(struct dma_device *d)
{
	(void)d;
}

static const char *edu_describe(struct dma_device *d, uint32_t *value)
{
	*value = (uint32_t)dma_read64(d, EDU_COMMAND);
	return "DMA command register";
}

const struct dma_driver dma_edu = {
	.name = "edu",
	.vendor = 0x1234,
	.devices = { 0x11e8 },
	.start = edu_start,
	.submit = edu_submit,
	.reap = edu_reap,
	.stop = edu_stop,
	.describe = edu_describe,
};
