/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An assigned NVMe controller whose interrupts are counted while their vector is masked, unmasked
 * and moved: rounds=N commands (default 500) on the admin queue, one at a time, each of which ends
 * with one MSI-X message (NVM Express 1.4, section 7.5). Interrupts stay on, so that a message
 * too many is counted as well.
 */
#include "apic.h"
#include "pci.h"

#define NVME_ID	    0x00101b36
#define REG_CAP	    0x00
#define REG_CC	    0x14
#define REG_CSTS    0x1c
#define REG_AQA	    0x24
#define REG_ASQ	    0x28
#define REG_ACQ	    0x30
#define REG_TAIL    0x1000
#define CC_ENABLE   0x00460001 /* entries of 64 and 16 bytes */
#define CSTS_READY  1
#define DEPTH	    16u
#define GET_FEATURE 0x0a
#define QUEUES	    0x07 /* the feature "number of queues": nothing happens, every time */

#define VECTOR	      0x61u /* and the one above it */
#define FUNCTION_MASK 0x4000
#define WAIT	      (60 * CYCLES_SECOND)

struct command {
	uint32_t opcode, namespace, rest[8], feature, tail[5];
};
struct completion {
	uint32_t result, reserved, queue, status;
};
_Static_assert(sizeof(struct command) == 64, "NVM Express 1.4, section 4.2");
_Static_assert(sizeof(struct completion) == 16, "NVM Express 1.4, section 4.6");

static volatile struct command submission[DEPTH] __attribute__((aligned(4096)));
static volatile struct completion completions[DEPTH] __attribute__((aligned(4096)));

struct nvme {
	unsigned int slot;
	uint64_t bar, head_doorbell;
	struct msix msix;
	unsigned int vector; /* where entry 0 goes */
	uint64_t commands;
};

static bool wait_bits(uint64_t address, uint32_t bits, uint32_t value)
{
	uint64_t end = rdtsc() + WAIT;

	while ((read32(address) & bits) != value) {
		if (rdtsc() > end)
			return false;
		cpu_relax();
	}
	return true;
}

static bool start(struct nvme *n)
{
	write32(n->bar + REG_CC, 0);
	if (!wait_bits(n->bar + REG_CSTS, CSTS_READY, 0))
		return false;
	n->head_doorbell = n->bar + REG_TAIL + (4UL << (read64(n->bar + REG_CAP) >> 32 & 0xf));
	write32(n->bar + REG_AQA, (DEPTH - 1) << 16 | (DEPTH - 1));
	write64(n->bar + REG_ASQ, (uint64_t)submission);
	write64(n->bar + REG_ACQ, (uint64_t)completions);
	write32(n->bar + REG_CC, CC_ENABLE);
	return wait_bits(n->bar + REG_CSTS, CSTS_READY, CSTS_READY);
}

static void submit(struct nvme *n)
{
	volatile struct command *command = &submission[n->commands % DEPTH];

	command->opcode = GET_FEATURE | (uint32_t)(n->commands & 0xffff) << 16;
	command->feature = QUEUES;
	write32(n->bar + REG_TAIL, (uint32_t)((n->commands + 1) % DEPTH));
	n->commands++;
}

/* Takes the completion of the last command from its queue; the message comes by itself. */
static bool complete(struct nvme *n)
{
	uint64_t last = n->commands - 1;
	uint64_t at = (uint64_t)&completions[last % DEPTH].status;
	uint32_t phase = last / DEPTH % 2 ? 0 : 0x10000;
	bool done = wait_bits(at, 0x10000, phase);

	write32(n->head_doorbell, (uint32_t)(n->commands % DEPTH));
	return done && !(read32(at) >> 17);
}

static uint64_t arrived(void)
{
	return irq_count(VECTOR) + irq_count(VECTOR + 1);
}

static bool arrives(struct nvme *n)
{
	uint64_t end = rdtsc() + WAIT;

	while (arrived() < n->commands && rdtsc() < end)
		cpu_relax();
	return arrived() == n->commands;
}

static void mask(struct nvme *n, bool on)
{
	write32(n->msix.table + 12, on);
}

/* As Linux does it: masked meanwhile. */
static void move(struct nvme *n, bool masked)
{
	n->vector = n->vector == VECTOR ? VECTOR + 1 : VECTOR;
	msix_set(&n->msix, 0, n->vector, lapic_id(), masked);
}

/* Masked, completed, seen to pend, moved, unmasked: it comes then, and to the new place. */
static bool pends(struct nvme *n)
{
	uint64_t before;
	bool good;

	mask(n, true);
	submit(n);
	good = complete(n) && wait_bits(n->msix.pba, 1, 1) && arrived() == n->commands - 1;
	move(n, true);
	before = irq_count(n->vector);
	mask(n, false);
	return good && arrives(n) && irq_count(n->vector) == before + 1 &&
	       !(read32(n->msix.pba) & 1);
}

static bool pends_by_function(struct nvme *n)
{
	unsigned int control = n->msix.capability + 2;
	uint64_t value = pci_read(n->slot, control, 2);
	bool good;

	pci_write(n->slot, control, value | FUNCTION_MASK, 2);
	submit(n);
	good = complete(n) && wait_bits(n->msix.pba, 1, 1) && arrived() == n->commands - 1;
	pci_write(n->slot, control, value & ~(uint64_t)FUNCTION_MASK, 2);
	return good && arrives(n);
}

/* Masked, unmasked and moved while the command is on its way. */
static bool races(struct nvme *n, uint64_t round)
{
	submit(n);
	for (uint64_t i = 0; i <= round % 7; i++) {
		mask(n, true);
		mask(n, false);
		if (round % 3 == i)
			move(n, false);
	}
	return complete(n) && arrives(n);
}

static bool plain(struct nvme *n)
{
	submit(n);
	return complete(n) && arrives(n);
}

int payload_main(void)
{
	uint64_t rounds = command_number("rounds", 500), pend = 0, race = 0, round;
	struct nvme n = { .vector = VECTOR };
	int slot;

	if (!pci_init() || (slot = pci_find(NVME_ID, 1)) < 0) {
		test_fail("nvme_is_there", "no function 1b36:0010");
		return 1;
	}
	n.slot = (unsigned int)slot;
	lapic_enable();
	n.bar = pci_bar_map(n.slot, 0);
	pci_command(n.slot, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
	if (!test_check("nvme_starts", msix_find(n.slot, &n.msix) && start(&n), "CSTS %x",
			read32(n.bar + REG_CSTS)))
		return 1;
	msix_enable(n.slot, &n.msix, true);
	msix_set(&n.msix, 0, n.vector, lapic_id(), false);
	interrupts(true);
	for (round = 0; round < rounds; round += 4) {
		if (!plain(&n) || !races(&n, round))
			break;
		race++;
		if (!pends(&n) || !pends_by_function(&n))
			break;
		pend++;
	}
	test_check("vectors_lose_and_double_nothing", race * 4 >= rounds && arrived() == n.commands,
		   "round %lu: %lu commands, %lu messages", round, n.commands, arrived());
	test_check("what_pends_is_shown_and_comes_once", pend * 4 >= rounds,
		   "round %lu: pending bits %x", round, read32(n.msix.pba));
	return (int)test_failures();
}
