/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included before every file of the idxd driver: TCG has no MOVDIR64B, so the driver's 64-byte
 * submission becomes eight stores in ascending order. Two CPUs can be given one portal slot: a lock
 * keeps their descriptors whole.
 */
#include <linux/io.h>
#include <linux/spinlock.h>
#include <asm/cpufeature.h>

#undef X86_FEATURE_MOVDIR64B
#define X86_FEATURE_MOVDIR64B X86_FEATURE_ALWAYS

static inline void rig_submit_cmds512(void __iomem *portal, const void *from, size_t count)
{
	static DEFINE_RAW_SPINLOCK(lock);
	const u64 *word = from;
	unsigned long flags;
	size_t i;

	raw_spin_lock_irqsave(&lock, flags);
	for (; count; count--)
		for (i = 0; i < 8; i++)
			__raw_writeq(*word++, portal + i * 8);
	raw_spin_unlock_irqrestore(&lock, flags);
}
#define iosubmit_cmds512 rig_submit_cmds512
