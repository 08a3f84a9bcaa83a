// SPDX-License-Identifier: GPL-2.0
/*
 * Asks a DMA engine for two copies: one inside the kernel's own memory, and one to physical memory
 * that the kernel was told to leave alone (parameter `to`), and says what became of both.
 */
#include <linux/completion.h>
#include <linux/dmaengine.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/slab.h>

#define SIZE	  4096
#define UNTOUCHED 0xc7

static ulong to;
module_param(to, ulong, 0444);

static void done(void *arg)
{
	complete(arg);
}

static int copy(struct dma_chan *chan, phys_addr_t dst, void *src)
{
	DECLARE_COMPLETION_ONSTACK(end);
	struct dma_async_tx_descriptor *tx;

	tx = dmaengine_prep_dma_memcpy(chan, dst, virt_to_phys(src), SIZE, DMA_PREP_INTERRUPT);
	if (!tx)
		return -EIO;
	tx->callback = done;
	tx->callback_param = &end;
	if (dma_submit_error(dmaengine_submit(tx)))
		return -EIO;
	dma_async_issue_pending(chan);
	return wait_for_completion_timeout(&end, 20 * HZ) ? 0 : -ETIMEDOUT;
}

static int __init reach_init(void)
{
	u8 *src = kmalloc(SIZE, GFP_KERNEL), *dst = kzalloc(SIZE, GFP_KERNEL);
	u8 *outside = memremap(to, SIZE, MEMREMAP_WB);
	struct dma_chan *chan;
	dma_cap_mask_t mask;
	int inside, out, i, changed = 0;

	if (!src || !dst || !outside)
		return -ENOMEM;
	dma_cap_zero(mask);
	dma_cap_set(DMA_MEMCPY, mask);
	chan = dma_request_chan_by_mask(&mask);
	if (IS_ERR(chan))
		return PTR_ERR(chan);
	memset(src, 0x3c, SIZE);
	memset(outside, UNTOUCHED, SIZE);
	inside = copy(chan, virt_to_phys(dst), src);
	out = copy(chan, to, src);
	for (i = 0; i < SIZE; i++)
		changed += outside[i] != UNTOUCHED;
	pr_info("reach: inside ended %d, %s; outside ended %d, %d bytes changed\n", inside,
		memcmp(src, dst, SIZE) ? "bytes differ" : "bytes right", out, changed);
	dma_release_channel(chan);
	memunmap(outside);
	kfree(src);
	kfree(dst);
	return 0;
}

static void __exit reach_exit(void)
{
}

module_init(reach_init);
module_exit(reach_exit);
MODULE_DESCRIPTION("what a DMA engine reaches");
MODULE_LICENSE("GPL");
