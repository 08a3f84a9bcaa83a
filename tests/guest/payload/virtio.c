/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk and an entropy device as a guest drives them: every queue layout, direct and indirect,
 * with interrupts, and then every way to break a ring, after each of which the device wants a reset
 * and works again.
 */
#include "apic.h"
#include "kit.h"
#include "pci.h"
#include "virtio.h"

#define VECTOR 0x62
#define SECTOR 512

struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

static struct virtqueue queue;
static struct header header;
static uint8_t data[8 * SECTOR] __attribute__((aligned(4096)));
static uint8_t status, table[16 * VIRTQ_ENTRIES] __attribute__((aligned(16)));

static const struct {
	const char *name;
	uint64_t features;
} layouts[] = {
	{ "split", VIRTIO_F_VERSION_1 },
	{ "split_event", VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT },
	{ "packed", VIRTIO_F_VERSION_1 | VIRTIO_F_PACKED },
	{ "packed_event",
	  VIRTIO_F_VERSION_1 | VIRTIO_F_PACKED | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT },
};

static bool start(struct virtio *v, uint64_t features)
{
	if (!virtio_agree(v, features))
		return false;
	virtio_queue(v, &queue, 0, features, VECTOR);
	virtio_ready(v);
	return virtio_status(v) == 0xf;
}

/* One request; true where it was answered with status 0. */
static bool request(struct virtio *v, uint32_t type, uint64_t sector, bool indirect)
{
	const struct piece pieces[] = { { &header, sizeof(header), false },
					{ data, sizeof(data), type == 0 },
					{ &status, 1, true } };
	uint32_t written;

	header.type = type;
	header.sector = sector;
	status = 0xee;
	virtio_add(&queue, pieces, 3, indirect ? table : NULL);
	virtio_kick(&queue);
	return virtio_used(v, &queue, indirect ? 1 : 3, &written) && !status &&
	       written == (type == 0 ? sizeof(data) + 1 : 1);
}

static bool data_is(uint8_t byte)
{
	for (unsigned int i = 0; i < sizeof(data); i++) {
		if (data[i] != byte)
			return false;
	}
	return true;
}

static bool round_trips(struct virtio *v, bool indirect)
{
	for (unsigned int i = 0; i < 20; i++) {
		memset(data, (int)i + 1, sizeof(data));
		if (!request(v, 1, i * 8, indirect))
			return false;
		memset(data, 0, sizeof(data));
		if (!request(v, 0, i * 8, indirect) || !data_is((uint8_t)(i + 1)))
			return false;
	}
	return true;
}

static void test_layouts(struct virtio *disk)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(layouts); i++) {
		uint64_t before = irq_count(VECTOR);

		if (!test_check(layouts[i].name, start(disk, layouts[i].features), "status 0x%x",
				virtio_status(disk)))
			continue;
		test_check("direct", round_trips(disk, false), "status 0x%x, answer 0x%x",
			   virtio_status(disk), status);
		if (layouts[i].features & VIRTIO_F_INDIRECT)
			test_check("indirect", round_trips(disk, true), "status 0x%x, answer 0x%x",
				   virtio_status(disk), status);
		/* With event indices it asked for the very first only. */
		test_check("interrupts", wait_count(VECTOR, before + 1, CYCLES_SECOND),
			   "no interrupt");
	}
}

/* --- broken rings ---------------------------------------------------------------------------- */

#define DESC(at, gpa, len_, a, b)                                \
	do {                                                     \
		uint64_t gpa_ = (gpa);                           \
		uint32_t l_ = (len_);                            \
		uint16_t a_ = (uint16_t)(a), b_ = (uint16_t)(b); \
		memcpy((at), &gpa_, 8);                          \
		memcpy((at) + 8, &l_, 4);                        \
		memcpy((at) + 12, &a_, 2);                       \
		memcpy((at) + 14, &b_, 2);                       \
	} while (0)

struct breakage {
	const char *name;
	uint64_t gpa;
	uint32_t len;
	uint16_t flags, next, head, available;
};

#define HERE 0x200000UL /* RAM in any case */
#define HOLE 0xd0000000UL
static const struct breakage breakages[] = {
	{ "buffer_in_a_hole", HOLE, 16, 0, 0, 0, 1 },
	{ "buffer_past_the_end", ~0UL - 7, 16, 0, 0, 0, 1 },
	{ "buffer_of_four_gib", HERE, ~0u, 0, 0, 0, 1 },
	{ "circle", HERE, 16, DESC_NEXT, 0, 0, 1 },
	{ "next_past_the_table", HERE, 16, DESC_NEXT, VIRTQ_ENTRIES, 0, 1 },
	{ "head_past_the_table", HERE, 16, 0, 0, VIRTQ_ENTRIES, 1 },
	{ "too_many_available", HERE, 16, 0, 0, 0, VIRTQ_ENTRIES + 1 },
	{ "indirect_of_17_bytes", HERE, 17, DESC_INDIRECT, 0, 0, 1 },
	{ "indirect_of_nothing", HERE, 0, DESC_INDIRECT, 0, 0, 1 },
	{ "indirect_in_a_hole", HOLE, 32, DESC_INDIRECT, 0, 0, 1 },
	{ "indirect_that_goes_on", HERE, 32, DESC_INDIRECT | DESC_NEXT, 1, 0, 1 },
	{ "header_too_short", HERE, 8, 0, 0, 0, 1 },
	{ "no_room_for_a_status", HERE, 64, 0, 0, 0, 1 },
};

static void break_split(const struct breakage *b)
{
	uint16_t *available = (uint16_t *)(void *)(queue.ring + RING_DRIVER);

	for (unsigned int i = 0; i < VIRTQ_ENTRIES; i++)
		DESC(queue.ring + 16UL * i, b->gpa, b->len, b->flags, b->next);
	available[2] = b->head;
	available[1] = b->available;
}

static void break_packed(const struct breakage *b)
{
	for (unsigned int i = 0; i < VIRTQ_ENTRIES; i++)
		DESC(queue.ring + 16UL * i, b->gpa, b->len, 0, b->flags | 0x80);
}

static bool wants_reset(struct virtio *v)
{
	uint64_t begin = rdtsc();

	while (!(virtio_status(v) & VIRTIO_NEEDS_RESET)) {
		if (rdtsc() - begin > 10 * CYCLES_SECOND)
			return false;
	}
	return true;
}

static void test_breakages(struct virtio *disk)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(breakages); i++) {
		for (unsigned int packed = 0; packed < 2; packed++) {
			const struct breakage *b = &breakages[i];
			bool ready = start(disk, layouts[packed ? 3 : 1].features);

			/* What only the split ring's indices can say. */
			if (packed && (b->head || b->available != 1))
				continue;
			if (packed)
				break_packed(b);
			else
				break_split(b);
			virtio_kick(&queue);
			test_check(b->name, ready && wants_reset(disk), "status 0x%x",
				   virtio_status(disk));
		}
	}
	test_check("works_after_all_that",
		   start(disk, layouts[0].features) && round_trips(disk, false), "status 0x%x",
		   virtio_status(disk));
}

static void test_ring_outside_memory(struct virtio *disk)
{
	virtio_agree(disk, VIRTIO_F_VERSION_1);
	write16(disk->common + 22, 0);
	write64(disk->common + 32, HOLE);
	write64(disk->common + 40, HOLE + 0x1000);
	write64(disk->common + 48, HOLE + 0x2000);
	write16(disk->common + 28, 1);
	test_check("ring_outside_memory",
		   virtio_status(disk) & VIRTIO_NEEDS_RESET && !read16(disk->common + 28),
		   "status 0x%x", virtio_status(disk));
}

static void test_resets(struct virtio *disk)
{
	bool ok = true;

	for (unsigned int i = 0; i < 10 && ok; i++) {
		const struct piece pieces[] = { { &header, sizeof(header), false },
						{ data, sizeof(data), true },
						{ &status, 1, true } };

		ok = start(disk, layouts[i % ARRAY_SIZE(layouts)].features);
		header = (struct header){ 0 };
		virtio_add(&queue, pieces, 3, NULL);
		virtio_kick(&queue);
	}
	test_check("resets_at_any_moment",
		   ok && start(disk, layouts[2].features) && round_trips(disk, false),
		   "status 0x%x", virtio_status(disk));
}

/* The registers once more, through configuration space: device status, and the ISR's own width. */
static void test_window(struct virtio *disk)
{
	unsigned int at = 0, steps = 48;
	uint8_t before, through;

	for (unsigned int next = (unsigned int)pci_read(disk->slot, PCI_CAPABILITIES, 1);
	     next && steps--; next = (unsigned int)pci_read(disk->slot, next + 1, 1)) {
		if (pci_read(disk->slot, next, 1) == 9 && pci_read(disk->slot, next + 3, 1) == 5)
			at = next;
	}
	virtio_agree(disk, VIRTIO_F_VERSION_1);
	before = virtio_status(disk);
	pci_write(disk->slot, at + 4, 0, 1);
	pci_write(disk->slot, at + 8, 20, 4);
	pci_write(disk->slot, at + 12, 1, 4);
	through = (uint8_t)pci_read(disk->slot, at + 16, 1);
	pci_write(disk->slot, at + 16, 0, 1);
	test_check("window_in_configuration_space",
		   at && before == 0xb && through == 0xb && !virtio_status(disk),
		   "at 0x%x: 0x%x and 0x%x, then 0x%x", at, before, through, virtio_status(disk));
	/* What cannot be reached reads as nothing: another BAR, past its end, a wrong length. */
	pci_write(disk->slot, at + 4, 1, 1);
	through = (uint8_t)pci_read(disk->slot, at + 16, 1);
	pci_write(disk->slot, at + 4, 0, 1);
	pci_write(disk->slot, at + 8, 0xfffffffc, 4);
	through |= (uint8_t)pci_read(disk->slot, at + 16, 1);
	pci_write(disk->slot, at + 8, 20, 4);
	pci_write(disk->slot, at + 12, 8, 4);
	through |= (uint8_t)pci_read(disk->slot, at + 16, 1);
	test_check("window_stays_inside", !through, "0x%x", through);
}

static void test_rng(void)
{
	const struct piece piece = { data, 64, true };
	struct virtio rng;
	uint32_t written = 0;
	unsigned int zeros = 0;

	if (!virtio_find(&rng, VIRTIO_RNG, 0)) {
		test_skip("rng", "there is none");
		return;
	}
	if (!start(&rng, layouts[1].features)) {
		test_fail("rng", "status 0x%x", virtio_status(&rng));
		return;
	}
	memset(data, 0, 64);
	virtio_add(&queue, &piece, 1, NULL);
	virtio_kick(&queue);
	if (!virtio_used(&rng, &queue, 1, &written))
		written = 0;
	for (unsigned int i = 0; i < 64; i++)
		zeros += !data[i];
	test_check("rng_fills_buffers", written == 64 && zeros < 16, "%u bytes, %u zeros", written,
		   zeros);
}

int payload_main(void)
{
	struct virtio disk;

	lapic_enable();
	if (!pci_init() || !virtio_find(&disk, VIRTIO_BLK, 0)) {
		test_fail("virtio", "no disk");
		return 1;
	}
	test_check("capacity", read64(disk.device) == 2048, "%lu sectors", read64(disk.device));
	test_layouts(&disk);
	test_breakages(&disk);
	test_ring_outside_memory(&disk);
	test_resets(&disk);
	test_window(&disk);
	test_rng();
	return (int)test_failures();
}
