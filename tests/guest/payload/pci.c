/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI as the guest sees it: configuration accesses of every width and alignment on every function,
 * and on the DSA function BAR sizing and moving, MSI-X, and interrupts that wait behind a mask.
 */
#include "apic.h"
#include "dsa.h"
#include "kit.h"
#include "pci.h"

#define CHECKED	       0x100 /* bytes of each function's space read in every way */
#define VECTOR_COMMAND 0x60
#define WAIT	       CYCLES_SECOND

/* Every width at every offset must say what the bytes say. */
static bool reads_agree(unsigned int slot)
{
	static uint8_t bytes[CHECKED + 8];
	static const uint8_t sizes[] = { 2, 4, 8 };

	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)pci_read(slot, i, 1);
	for (unsigned int s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (unsigned int at = 0; at < CHECKED; at++) {
			uint64_t got = pci_read(slot, at, sizes[s]);

			if (memcmp(&got, bytes + at, sizes[s])) {
				test_fail("pci_reads_agree", "slot %u, %u bytes at 0x%x: 0x%lx",
					  slot, sizes[s], at, got);
				return false;
			}
		}
	}
	return true;
}

static void test_reads(void)
{
	unsigned int functions = 0;

	for (unsigned int slot = 0; slot < PCI_SLOTS; slot++) {
		if (pci_id(slot) == 0xffffffff)
			continue;
		functions++;
		if (!reads_agree(slot))
			return;
	}
	test_ok("pci_reads_agree");
	kprintf("# %u functions\n", functions);
}

static void test_absent(void)
{
	unsigned int slot = PCI_SLOTS;

	while (slot-- && pci_id(slot) != 0xffffffff)
		;
	pci_write(slot, PCI_COMMAND, 7, 2);
	test_check("pci_absent_reads_ones",
		   pci_read(slot, 0, 1) == 0xff && pci_read(slot, 0, 2) == 0xffff &&
			   pci_read(slot, 5, 4) == 0xffffffff && pci_read(slot, 0, 8) == ~0UL,
		   "slot %u: 0x%lx", slot, pci_read(slot, 0, 8));
	/* The other functions of a device that is there. */
	test_check("pci_absent_function", pci_read(0, 0x1000, 4) == 0xffffffff, "0x%x",
		   (uint32_t)pci_read(0, 0x1000, 4));
	test_check("pci_space_end",
		   pci_read(0, 0xffe, 2) == 0 && pci_read(0, 0xffc, 8) >> 32 == 0xffffffff, "0x%lx",
		   pci_read(0, 0xffc, 8));
}

static void test_ids_read_only(unsigned int slot)
{
	uint64_t id = pci_read(slot, 0, 8), class = pci_read(slot, PCI_CLASS, 4);

	pci_write(slot, 0, 0, 4);
	pci_write(slot, PCI_CLASS, 0, 4);
	pci_write(slot, 1, 0x55, 1);
	test_check("pci_ids_read_only",
		   (uint32_t)pci_read(slot, 0, 4) == (uint32_t)id &&
			   pci_read(slot, PCI_CLASS, 4) == class,
		   "0x%lx", pci_read(slot, 0, 8));
}

/* BAR0 with decoding off: a register that bytes, words and longer writes can be told apart in. */
static void test_write_widths(unsigned int slot)
{
	uint64_t old = pci_read(slot, PCI_BAR0, 8), command = pci_read(slot, PCI_COMMAND, 2);
	uint64_t a, b, c, d;

	pci_command(slot, 0, PCI_COMMAND_MEMORY);
	pci_write(slot, PCI_BAR0, 0xd0000000, 4);
	pci_write(slot, PCI_BAR0 + 3, 0xd1, 1);
	a = pci_read(slot, PCI_BAR0, 4) & ~15UL;
	pci_write(slot, PCI_BAR0 + 2, 0xd200, 2);
	b = pci_read(slot, PCI_BAR0, 4) & ~15UL;
	pci_write(slot, PCI_BAR0 + 1, 0xd30000, 4); /* bytes 1 to 4, the last in BAR1 */
	c = pci_read(slot, PCI_BAR0, 4) & ~15UL;
	pci_write(slot, PCI_BAR0, 0x12d4000000, 8);
	d = pci_read(slot, PCI_BAR0, 8) & ~15UL;
	pci_write(slot, PCI_BAR0, old, 4);
	pci_write(slot, PCI_BAR0 + 4, old >> 32, 4);
	pci_write(slot, PCI_COMMAND, command, 2);
	test_check("pci_write_widths",
		   a == 0xd1000000 && b == 0xd2000000 && c == 0xd3000000 && d == 0x12d4000000,
		   "0x%lx 0x%lx 0x%lx 0x%lx", a, b, c, d);
	test_check("pci_bar_restored", pci_read(slot, PCI_BAR0, 8) == old, "0x%lx",
		   pci_read(slot, PCI_BAR0, 8));
}

static void test_bar_sizes(unsigned int slot)
{
	for (unsigned int i = 0; i < 6; i++) {
		struct pci_bar bar = pci_bar(slot, i);

		if (bar.size & (bar.size - 1) || bar.address & (bar.size ? bar.size - 1 : 0)) {
			test_fail("pci_bar_sizes", "BAR%u at 0x%lx has 0x%lx bytes", i, bar.address,
				  bar.size);
			return;
		}
		i += bar.is64;
	}
	test_ok("pci_bar_sizes");
}

/* The first address behind all memory BARs of the same half of the address space. */
static uint64_t free_address(bool high, uint64_t size)
{
	uint64_t end = 0;

	for (unsigned int slot = 1; slot < PCI_SLOTS; slot++) {
		if (pci_id(slot) == 0xffffffff)
			continue;
		for (unsigned int i = 0; i < 6; i++) {
			struct pci_bar bar = pci_bar(slot, i);

			if (bar.size && !bar.io && (bar.address >= 4 * GIB) == high &&
			    bar.address + bar.size > end)
				end = bar.address + bar.size;
			i += bar.is64;
		}
	}
	return (end + size - 1) & -size;
}

static void test_bar_moves(struct dsa *dsa)
{
	struct pci_bar bar = pci_bar(dsa->slot, 0);
	uint64_t to = free_address(bar.address >= 4 * GIB, bar.size);
	uint32_t version = read32(dsa->registers + DSA_VERSION), there, here, off;

	if (!map_device(to, bar.size)) {
		test_fail("pci_bar_moves", "0x%lx cannot be mapped", to);
		return;
	}
	pci_bar_set(dsa->slot, 0, to);
	there = read32(to + DSA_VERSION);
	here = read32(bar.address + DSA_VERSION);
	test_check("pci_bar_moves", there == version && here == 0xffffffff,
		   "0x%x at 0x%lx, 0x%x at 0x%lx", there, to, here, bar.address);
	pci_command(dsa->slot, 0, PCI_COMMAND_MEMORY);
	off = read32(to + DSA_VERSION);
	pci_command(dsa->slot, PCI_COMMAND_MEMORY, 0);
	there = read32(to + DSA_VERSION);
	test_check("pci_memory_decoding", off == 0xffffffff && there == version,
		   "0x%x while off, 0x%x after", off, there);
	pci_bar_set(dsa->slot, 0, bar.address);
	here = read32(bar.address + DSA_VERSION);
	test_check("pci_bar_moves_back", here == version && read32(to + DSA_VERSION) == 0xffffffff,
		   "0x%x", here);
}

static void test_bar_widths(const struct dsa *dsa)
{
	uint64_t at = dsa->registers + DSA_WQCAP, whole = read64(at);
	uint64_t halves = read32(at) | (uint64_t)read32(at + 4) << 32;

	test_check("pci_bar_widths", whole == halves, "0x%lx and 0x%lx", whole, halves);
}

/* --- MSI-X ----------------------------------------------------------------------------------- */

static void test_msix_table(const struct msix *msix)
{
	uint64_t at = msix->table;
	uint32_t control = read32(at + 12);
	uint64_t address;

	test_check("msix_masked_at_reset", control & 1, "vector control 0x%x", control);
	write64(at, 0xfee01000);
	write32(at + 8, 0x1234);
	address = read64(at);
	test_check("msix_table_holds", address == 0xfee01000 && read32(at + 8) == 0x1234,
		   "0x%lx 0x%x", address, read32(at + 8));
}

/* A command that asks for an interrupt, which arrives as vector 0. */
static void command_with_interrupt(struct dsa *dsa)
{
	write32(dsa->registers + DSA_INTCAUSE, INTCAUSE_CMD);
	dsa_command(dsa, CMD_RESET_DEVICE | CMD_INTERRUPT, 0);
}

static void test_msix_fires(struct dsa *dsa, const struct msix *msix)
{
	uint64_t before;
	uint32_t pending;

	msix_set(msix, 0, VECTOR_COMMAND, lapic_id(), false);
	msix_enable(dsa->slot, msix, true);
	command_with_interrupt(dsa);
	test_check("msix_fires", wait_count(VECTOR_COMMAND, 1, WAIT), "no interrupt");
	test_check("msix_cause", read32(dsa->registers + DSA_INTCAUSE) & INTCAUSE_CMD,
		   "INTCAUSE 0x%x", read32(dsa->registers + DSA_INTCAUSE));

	msix_set(msix, 0, VECTOR_COMMAND, lapic_id(), true);
	before = irq_count(VECTOR_COMMAND);
	command_with_interrupt(dsa);
	pending = read32(msix->pba);
	test_check("msix_pends_behind_mask",
		   pending & 1 && !wait_count(VECTOR_COMMAND, before + 1, WAIT / 100),
		   "pending bits 0x%x, %lu interrupts", pending,
		   irq_count(VECTOR_COMMAND) - before);
	write32(msix->table + 12, 0);
	test_check("msix_fires_at_unmask", wait_count(VECTOR_COMMAND, before + 1, WAIT),
		   "no interrupt");
	test_check("msix_pending_cleared", !(read32(msix->pba) & 1), "0x%x", read32(msix->pba));
	msix_enable(dsa->slot, msix, false);
}

int payload_main(void)
{
	struct dsa dsa;
	struct msix msix;

	lapic_enable();
	if (!pci_init()) {
		test_skip("pci", "no configuration space");
		return 0;
	}
	test_reads();
	test_absent();
	if (!dsa_find(&dsa, 0)) {
		test_skip("pci_device", "no function 8086:0b25");
		return 0;
	}
	test_ids_read_only(dsa.slot);
	test_write_widths(dsa.slot);
	test_bar_sizes(dsa.slot);
	test_bar_widths(&dsa);
	test_bar_moves(&dsa);
	if (!test_check("msix_present", msix_find(dsa.slot, &msix) && msix.vectors >= 2,
			"%u vectors", msix.vectors))
		return 1;
	test_msix_table(&msix);
	test_msix_fires(&dsa, &msix);
	return 0;
}
