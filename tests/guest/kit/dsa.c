/* SPDX-License-Identifier: Apache-2.0 */
/* Registers, work queue 0 and its portal of a DSA function. */
#include "dsa.h"

#define PORTAL_LIMITED 0x1000
#define WQ_DEDICATED   1u
#define WQ_PRIORITY    (1u << 4)
#define WQ_PASID_EN    (1u << 28)

bool dsa_find(struct dsa *dsa, unsigned int from)
{
	int slot = pci_find(DSA_PCI_ID, from);
	uint64_t wqcap, offsets;

	if (slot < 0)
		return false;
	memset(dsa, 0, sizeof(*dsa));
	dsa->slot = (unsigned int)slot;
	dsa->registers = pci_bar_map(dsa->slot, 0);
	dsa->portals = pci_bar_map(dsa->slot, 2);
	if (!dsa->registers || !dsa->portals)
		return false;
	pci_command(dsa->slot, PCI_COMMAND_MASTER, 0);
	wqcap = read64(dsa->registers + DSA_WQCAP);
	dsa->wq_size = (unsigned int)wqcap & 0xffff;
	dsa->wqs = (unsigned int)(wqcap >> 16) & 0xff;
	dsa->engines = (unsigned int)read64(dsa->registers + DSA_ENGCAP) & 0xff;
	offsets = read64(dsa->registers + DSA_OFFSETS);
	dsa->grpcfg = dsa->registers + (offsets & 0xffff) * 0x100;
	dsa->wqcfg = dsa->registers + (offsets >> 16 & 0xffff) * 0x100;
	dsa->msixperm = dsa->registers + (offsets >> 32 & 0xffff) * 0x100;
	return true;
}

int dsa_command(struct dsa *dsa, uint32_t command, uint32_t operand)
{
	uint64_t end = rdtsc() + 2 * CYCLES_SECOND;
	uint32_t status;

	write32(dsa->registers + DSA_CMD,
		(command & CMD_INTERRUPT) | (command & 31) << 20 | operand);
	while ((status = read32(dsa->registers + DSA_CMDSTS)) >> 31) {
		if (rdtsc() > end)
			return -1;
		cpu_relax();
	}
	return (int)(status & 0xff);
}

int dsa_start(struct dsa *dsa)
{
	int rc = dsa_command(dsa, CMD_RESET_DEVICE, 0);

	if (rc)
		return rc;
	write64(dsa->grpcfg, 1); /* work queue 0 */
	write64(dsa->grpcfg + 32, (1UL << dsa->engines) - 1);
	write64(dsa->grpcfg + 40, 1 | 1 << 3); /* traffic classes 1 */
	return 0;
}

int dsa_queue_enable(struct dsa *dsa, uint32_t pasid)
{
	uint64_t gencap = read64(dsa->registers + DSA_GENCAP);
	uint32_t max_transfer = (uint32_t)(gencap >> 16) & 31,
		 max_batch = (uint32_t)(gencap >> 21) & 15;
	int rc;

	write32(dsa->wqcfg, dsa->wq_size / (dsa->wqs ? dsa->wqs : 1));
	write32(dsa->wqcfg + 4, 0);
	write32(dsa->wqcfg + 8,
		WQ_DEDICATED | WQ_PRIORITY | (pasid ? pasid << 8 | WQ_PASID_EN : 0));
	write32(dsa->wqcfg + 12, max_transfer | max_batch << 5);
	if (!(read32(dsa->registers + DSA_GENSTS) & 3)) {
		rc = dsa_command(dsa, CMD_ENABLE_DEVICE, 0);
		if (rc)
			return rc;
	}
	return dsa_command(dsa, CMD_ENABLE_WQ, 0);
}

int dsa_queue_disable(struct dsa *dsa)
{
	return dsa_command(dsa, CMD_DISABLE_WQ, 1);
}

void dsa_submit(struct dsa *dsa, const struct dsa_descriptor *descriptor)
{
	/* Like a driver does, the next 64 bytes of the page each time: the device ignores them. */
	uint64_t to = dsa->portals + PORTAL_LIMITED + (dsa->portal_slot++ % 64) * 64UL;
	const uint64_t *words = (const uint64_t *)descriptor;

	__asm__ volatile("sfence" : : : "memory");
	if (!dsa->movdir64b_missing && !try_movdir64b(to, descriptor))
		return;
	dsa->movdir64b_missing = true;
	for (unsigned int i = 0; i < 8; i++)
		write64(to + 8UL * i, words[i]);
}

uint8_t dsa_wait(const struct dsa_completion *completion, uint64_t cycles)
{
	uint64_t end = rdtsc() + cycles;
	uint8_t status;

	while (!(status = __atomic_load_n(&completion->status, __ATOMIC_ACQUIRE)) && rdtsc() < end)
		cpu_relax();
	return status;
}
