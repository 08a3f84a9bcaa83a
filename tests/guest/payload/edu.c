/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An assigned edu device (QEMU's docs/specs/edu.rst): DMA into it and back, its BAR moved about
 * under it moves=N times, MSIs counted. With `forever` it then keeps doing DMA until it is stopped;
 * with peer=1 (0) a second one's registers are (not) reached by the first one's DMA, wherever they
 * are; with `all` each other edu does DMA as well; with resets=N it resets the machine until that
 * was N times, which it counts in the device: nothing resets an edu, and guest memory is new every
 * time.
 */
#include "apic.h"
#include "pci.h"

#define EDU_ID	     0x11e81234
#define EDU_VERSION  0x010000ed
#define REG_ID	     0x00
#define REG_RAISE    0x60
#define REG_ACK	     0x64
#define REG_SOURCE   0x80
#define REG_TARGET   0x88
#define REG_COUNT    0x90
#define REG_COMMAND  0x98
#define COMMAND_RUN  1
#define COMMAND_BACK 2 /* from the device to memory */
#define EDU_BUFFER   0x40000
#define BYTES	     512
#define EDU_COUNT    (EDU_BUFFER + 2048) /* past what round_trip writes */
#define COUNT_MARK   0xc0047ed000000000

#define PCI_CAPABILITY_MSI 0x05
#define MSI_VECTOR	   0x51
#define MSI_ADDRESS	   0xfee00000

static uint64_t from[BYTES / 8] __attribute__((aligned(4096)));
static uint64_t to[BYTES / 8] __attribute__((aligned(4096)));

static void begin(uint64_t bar, uint64_t source, uint64_t target, uint64_t bytes, uint64_t command)
{
	write64(bar + REG_SOURCE, source);
	write64(bar + REG_TARGET, target);
	write64(bar + REG_COUNT, bytes);
	write64(bar + REG_COMMAND, command | COMMAND_RUN);
}

static bool runs(uint64_t bar)
{
	return read64(bar + REG_COMMAND) & COMMAND_RUN;
}

static void transfer_some(uint64_t bar, uint64_t source, uint64_t target, uint64_t bytes,
			  uint64_t command)
{
	begin(bar, source, target, bytes, command);
	while (runs(bar))
		cpu_relax();
}

static void transfer(uint64_t bar, uint64_t source, uint64_t target, uint64_t command)
{
	transfer_some(bar, source, target, BYTES, command);
}

static void fill(uint64_t seed)
{
	for (unsigned int i = 0; i < BYTES / 8; i++) {
		from[i] = (seed + i) * 0x9e3779b97f4a7c15;
		to[i] = 0;
	}
}

/* Through the device and back; are they the same bytes? */
static bool round_trip(uint64_t bar, uint64_t seed)
{
	fill(seed);
	transfer(bar, (uint64_t)from, EDU_BUFFER, 0);
	transfer(bar, EDU_BUFFER, (uint64_t)to, COMMAND_BACK);
	return !memcmp(from, to, BYTES);
}

/* Bytes that go in and come back while the BAR is moved, one transfer after the other. */
struct traffic {
	bool back, wrong;
	unsigned int trips; /* that were made whole */
};

static void keep_busy(uint64_t bar, struct traffic *traffic)
{
	if (runs(bar))
		return;
	if (traffic->back) {
		traffic->wrong |= memcmp(from, to, BYTES) != 0;
		fill(++traffic->trips);
	}
	traffic->back = !traffic->back;
	if (traffic->back)
		begin(bar, EDU_BUFFER, (uint64_t)to, BYTES, COMMAND_BACK);
	else
		begin(bar, (uint64_t)from, EDU_BUFFER, BYTES, 0);
}

/*
 * To and fro between two places while DMA goes on, through whole trips of it; it answers at one of
 * them at a time.
 */
static uint64_t move_about(unsigned int slot, uint64_t home, uint64_t size, unsigned int moves)
{
	uint64_t away = home + 16 * size, at = home;
	struct traffic traffic = { 0 };
	bool good = map_device(away, size);

	fill(0);
	begin(at, (uint64_t)from, EDU_BUFFER, BYTES, 0);
	for (unsigned int i = 0; good && (i < moves || traffic.trips < 2); i++) {
		uint64_t next = at == home ? away : home;

		pci_bar_set(slot, 0, next);
		good = read32(next + REG_ID) == EDU_VERSION && read32(at + REG_ID) == ~0u;
		at = next;
		keep_busy(at, &traffic);
	}
	test_check("the_bar_answers_where_it_is_and_nowhere_else", good, "at %lx of %lx", at, home);
	while (good && runs(at))
		cpu_relax();
	test_check("dma_is_right_under_moves_and_after",
		   !traffic.wrong && round_trip(at, traffic.trips + 1), "first %lx, not %lx", to[0],
		   from[0]);
	return at;
}

static void count_msis(unsigned int slot, uint64_t bar, unsigned int count)
{
	unsigned int cap = pci_capability(slot, PCI_CAPABILITY_MSI);
	bool all = cap;

	if (!cap) {
		test_fail("every_msi_arrives_once", "no MSI capability");
		return;
	}
	pci_write(slot, cap + 4, MSI_ADDRESS, 4);
	pci_write(slot, cap + 8, 0, 4);
	pci_write(slot, cap + 12, MSI_VECTOR, 2);
	pci_write(slot, cap + 2, 1, 2);
	for (unsigned int i = 1; all && i <= count; i++) {
		write32(bar + REG_RAISE, 1);
		all = wait_count(MSI_VECTOR, i, 60 * CYCLES_SECOND) && irq_count(MSI_VECTOR) == i;
		write32(bar + REG_ACK, 1);
	}
	pci_write(slot, cap + 2, 0, 2);
	test_check("every_msi_arrives_once", all, "%lu of %u", irq_count(MSI_VECTOR), count);
}

/* Whether DMA of the device at `bar` goes to and comes from a register of the one at `other`. */
static bool reaches(uint64_t bar, uint64_t other, uint64_t value)
{
	uint64_t at = other + REG_SOURCE;

	from[0] = value;
	transfer_some(bar, (uint64_t)from, EDU_BUFFER, 8, 0);
	transfer_some(bar, EDU_BUFFER, at, 8, COMMAND_BACK);
	if (read64(at) != value)
		return false;
	write64(at, ~value);
	to[0] = 0;
	transfer_some(bar, at, EDU_BUFFER, 8, 0);
	transfer_some(bar, EDU_BUFFER, (uint64_t)to, 8, COMMAND_BACK);
	return to[0] == ~value;
}

/* At home, moved away, and home again: DMA to where it is not goes nowhere. */
static void meet_peer(unsigned int slot, uint64_t bar, bool expected)
{
	int found = pci_find(EDU_ID, slot + 1);
	unsigned int other = (unsigned int)found;
	uint64_t size, home, away;
	bool good = found > 0;

	size = good ? pci_bar(other, 0).size : 0;
	home = good ? pci_bar_map(other, 0) : 0;
	away = home + 32 * size;
	good = good && map_device(away, size);
	for (uint64_t i = 0; good && i < 6; i++) {
		uint64_t at = i % 2 ? away : home;

		pci_bar_set(other, 0, at);
		good = reaches(bar, at, 0x5eed0000 + i) == expected;
		write64(at + REG_SOURCE, i);
		from[0] = ~i;
		transfer_some(bar, (uint64_t)from, EDU_BUFFER, 8, 0);
		transfer_some(bar, EDU_BUFFER, (i % 2 ? home : away) + REG_SOURCE, 8, COMMAND_BACK);
		good = good && read64(at + REG_SOURCE) == i;
	}
	test_check("a_peer_is_reached_where_it_is_if_at_all", good, "in slot %d at %lx", found,
		   home);
}

/* Members of a group, and what is behind another bridge. */
static void try_others(unsigned int slot)
{
	unsigned int tried = 0, right = 0;

	for (int next; (next = pci_find(EDU_ID, slot + 1)) > 0; slot = (unsigned int)next) {
		uint64_t bar = pci_bar_map((unsigned int)next, 0);

		pci_command((unsigned int)next, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
		right += round_trip(bar, 0xa11 + tried++);
	}
	test_check("dma_of_the_others_is_right", tried && right == tried, "%u of %u", right, tried);
}

/* Comes back only after the last one, the count being 0 again for the next guest. */
static void reset_again(uint64_t bar, uint64_t resets)
{
	uint64_t count;

	transfer_some(bar, EDU_COUNT, (uint64_t)to, 8, COMMAND_BACK);
	count = (to[0] & ~0xffffffffUL) == COUNT_MARK ? (uint32_t)to[0] : 0;
	from[0] = count < resets ? COUNT_MARK | (count + 1) : 0;
	transfer_some(bar, (uint64_t)from, EDU_COUNT, 8, 0);
	if (count < resets && !test_failures())
		reset_machine();
	test_check("resets", count == resets, "%lu of %lu", count, resets);
}

int payload_main(void)
{
	struct pci_bar info;
	uint64_t bar;
	int slot;

	if (!pci_init() || (slot = pci_find(EDU_ID, 1)) < 0) {
		test_fail("edu_is_there", "no function 1234:11e8");
		return 1;
	}
	lapic_enable();
	info = pci_bar((unsigned int)slot, 0);
	bar = pci_bar_map((unsigned int)slot, 0);
	pci_command((unsigned int)slot, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
	test_check("edu_answers", read32(bar + REG_ID) == EDU_VERSION, "%x", read32(bar + REG_ID));
	test_check("dma_is_right", round_trip(bar, 1), "first %lx, not %lx", to[0], from[0]);
	bar = move_about((unsigned int)slot, bar, info.size,
			 (unsigned int)command_number("moves", 2));
	count_msis((unsigned int)slot, bar, (unsigned int)command_number("msis", 10));
	if (command_word("peer", NULL))
		meet_peer((unsigned int)slot, bar, command_number("peer", 0));
	if (command_word("all", NULL))
		try_others((unsigned int)slot);
	if (command_number("resets", 0))
		reset_again(bar, command_number("resets", 0));
	if (command_word("forever", NULL)) {
		kprintf("goes on\n");
		for (uint64_t seed = 2;; seed++)
			round_trip(bar, seed);
	}
	return (int)test_failures();
}
