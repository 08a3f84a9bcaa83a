/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that was given back, and an ADI that comes afterwards: what it reaches is what the guest
 * has, and from then on nothing goes back, until it has left. Each step is a line; the host adds
 * the ADI and asks for it back.
 *
 * Words: "plugged": by a virtio-mem function, of which two blocks are wanted; "balloon": by a
 * balloon, which the host sizes.
 */
#include "apic.h"
#include "dsa.h"
#include "kit.h"
#include "pci.h"
#include "virtio.h"

#define VIRTIO_BALLOON 5
#define VIRTIO_MEM     24
#define VECTOR	       0x50
#define PATIENCE       (20 * CYCLES_SECOND)
#define PAGE	       4096UL
#define PAGES	       16U

static struct virtio device;
static struct virtqueue queues[3];
static struct dsa dsa;
static uint64_t heard;
static uint8_t source[256];

/* --- the ADI --------------------------------------------------------------------------------- */

/* Until a function has come, or shall go; its slot. */
static unsigned int await(uint16_t port)
{
	for (;;) {
		uint32_t slots = 0;

		halt_until(VECTOR, ++heard);
		if (inl(PORT_GED_EVENTS) & GED_EVENT_HOTPLUG)
			slots = inl(port);
		if (slots)
			return (unsigned int)__builtin_ctz(slots);
	}
}

static bool start_adi(void)
{
	unsigned int slot = await(PORT_HOTPLUG_UP);

	dsa.movdir64b_missing = command_word("stores", NULL);
	return test_check("the_adi_comes",
			  dsa_find(&dsa, slot) && !dsa_start(&dsa) && !dsa_queue_enable(&dsa, 0),
			  "slot %u", slot);
}

/* Its status; what arrived is as it was sent where that is STATUS_OK. */
static uint8_t move_to(uint64_t to, uint8_t fill)
{
	static struct dsa_completion completion __attribute__((aligned(32)));
	static struct dsa_descriptor descriptor;
	uint8_t status;

	memset(source, fill, sizeof(source));
	descriptor = (struct dsa_descriptor){
		.flags = (uint32_t)OP_MEMMOVE << 24 | FLAG_CRAV | FLAG_RCR,
		.completion = (uint64_t)&completion,
		.source = (uint64_t)source,
		.destination = to,
		.size = sizeof(source),
	};
	memset(&completion, 0, sizeof(completion));
	dsa_submit(&dsa, &descriptor);
	status = dsa_wait(&completion, PATIENCE);
	if (status == STATUS_OK && (read8(to) != fill || read8(to + sizeof(source) - 1) != fill))
		return 0xff;
	return status & 0x7f;
}

static void reaches(const char *name, uint64_t to)
{
	uint8_t status = move_to(to, 0x5a);

	test_check(name, status == STATUS_OK, "status 0x%x at 0x%lx", status, to);
}

static void leave(void)
{
	unsigned int slot = await(PORT_HOTPLUG_DOWN);

	outl(PORT_HOTPLUG_EJECT, 1u << slot);
}

/* --- memory that is plugged ------------------------------------------------------------------ */

/* Virtio 1.2 section 5.15.6. */
enum {
	PLUG,
	UNPLUG
};
enum {
	ACK,
	NACK,
	BUSY,
	NOTHING = 99
};

static unsigned int ask(uint16_t type, uint64_t addr, uint16_t blocks)
{
	static struct {
		uint16_t type, padding0[3];
		uint64_t addr;
		uint16_t blocks, padding1[3];
	} request;
	static struct {
		uint16_t type, padding[3], state;
	} answer;
	const struct piece pieces[] = { { &request, sizeof(request), false },
					{ &answer, sizeof(answer), true } };
	uint32_t written;

	request.type = type;
	request.addr = addr;
	request.blocks = blocks;
	answer.type = NOTHING;
	virtio_add(&queues[0], pieces, 2, NULL);
	virtio_kick(&queues[0]);
	return virtio_used(&device, &queues[0], 2, &written) ? answer.type : NOTHING;
}

#define EXPECT(name, want, type, addr, blocks)                                         \
	do {                                                                           \
		unsigned int got_ = ask((type), (addr), (blocks));                     \
		test_check((name), got_ == (want), "%u in place of %u", got_, (want)); \
	} while (0)

static void plugged(void)
{
	const uint64_t features = VIRTIO_F_VERSION_1 | 1UL << 1; /* UNPLUGGED_INACCESSIBLE */
	uint64_t block, base, start;
	unsigned int got;

	if (!virtio_find(&device, VIRTIO_MEM, 0) || !virtio_agree(&device, features)) {
		test_fail("hotdma", "no memory device");
		return;
	}
	virtio_queue(&device, &queues[0], 0, features, 0);
	virtio_ready(&device);
	block = read64(device.device);
	base = read64(device.device + 16);
	map_device(base, read64(device.device + 24));
	EXPECT("plug", ACK, PLUG, base, 2);
	write64(base, 0x11);
	write64(base + block, 0x22);
	EXPECT("unplug", ACK, UNPLUG, base, 1);
	kprintf("less is there\n");
	if (!start_adi())
		return;
	test_check("what_stayed_is_as_it_was", read64(base + block) == 0x22, "0x%lx",
		   read64(base + block));
	reaches("it_reaches_what_stayed", base + block);
	reaches("to_its_end", base + 2 * block - sizeof(source));
	got = move_to(base + block - sizeof(source), 0x5a);
	test_check("it_does_not_reach_what_went", got == STATUS_PAGE_FAULT, "status 0x%x", got);
	EXPECT("plug_again", ACK, PLUG, base, 1);
	test_check("it_comes_empty", !read64(base), "0x%lx", read64(base));
	reaches("it_reaches_that_at_once", base);
	EXPECT("nothing_goes", BUSY, UNPLUG, base, 1);
	EXPECT("nor_the_other", BUSY, UNPLUG, base + block, 1);
	reaches("all_is_as_it_was", base + block);
	kprintf("nothing goes\n");
	leave();
	start = rdtsc();
	while ((got = ask(UNPLUG, base, 2)) == BUSY && rdtsc() - start < PATIENCE)
		cpu_relax();
	test_check("without_it_all_goes", got == ACK, "%u", got);
}

/* --- a balloon ------------------------------------------------------------------------------- */

static uint8_t pages[PAGES * PAGE] __attribute__((aligned(4096)));

static void pass(unsigned int queue)
{
	static uint32_t numbers[PAGES];
	const struct piece piece = { numbers, sizeof(numbers), false };
	uint32_t written;

	for (unsigned int i = 0; i < PAGES; i++)
		numbers[i] = (uint32_t)((uint64_t)pages / PAGE + i);
	virtio_add(&queues[queue], &piece, 1, NULL);
	virtio_kick(&queues[queue]);
	if (!virtio_used(&device, &queues[queue], 1, &written))
		test_fail("balloon", "queue %u does not answer", queue);
}

/* Gives pages that hold `fill`; whether they are gone. */
static bool give(uint8_t fill)
{
	memset(pages, fill, sizeof(pages));
	pass(0);
	for (unsigned int i = 1; i < PAGES; i++) {
		if (pages[i * PAGE] != pages[0])
			test_fail("balloon", "some pages went and some did not");
	}
	return pages[0] != fill;
}

/* Until the balloon shall have so many pages. */
static void await_size(uint32_t n)
{
	uint64_t start = rdtsc();

	while (read32(device.device) != n && rdtsc() - start < PATIENCE)
		cpu_relax();
	if (read32(device.device) != n)
		test_fail("balloon", "%u pages are wanted, and not %u", read32(device.device), n);
}

/* Until the next are asked for: then these were taken. */
static void tell_statistics(void)
{
	static struct {
		uint16_t tag;
		uint64_t value;
	} __attribute__((packed)) told[] = { { 4, 12345 }, { 15, 7 }, { 77, 1 } };
	const struct piece piece = { told, sizeof(told), false };
	uint32_t written;

	virtio_add(&queues[2], &piece, 1, NULL);
	virtio_kick(&queues[2]);
	test_check("statistics_are_asked_for", virtio_used(&device, &queues[2], 1, &written),
		   "they are not");
}

static void balloon(void)
{
	const uint64_t features = VIRTIO_F_VERSION_1 | 1UL << 1; /* STATS_VQ */

	if (!virtio_find(&device, VIRTIO_BALLOON, 0) || !virtio_agree(&device, features)) {
		test_fail("hotdma", "no balloon");
		return;
	}
	virtio_queue(&device, &queues[0], 0, features, 0);
	virtio_queue(&device, &queues[1], 1, features, 0);
	virtio_queue(&device, &queues[2], 2, features, 0);
	virtio_ready(&device);
	tell_statistics();
	kprintf("empty\n");
	await_size(PAGES);
	test_check("pages_go", give(0x33), "they are still there");
	write32(device.device + 4, PAGES);
	kprintf("less is there\n");
	await_size(0);
	pass(1);
	write32(device.device + 4, 0);
	kprintf("all is back\n");
	if (!start_adi())
		return;
	for (unsigned int i = 0; i < PAGES; i += 5)
		reaches("it_reaches_what_had_gone", (uint64_t)pages + i * PAGE);
	test_check("nothing_goes", !give(0x44), "pages went");
	reaches("all_is_as_it_was", (uint64_t)pages);
	kprintf("nothing goes\n");
	leave();
	await_size(PAGES);
	test_check("without_it_pages_go", give(0x55), "they are still there");
}

int payload_main(void)
{
	lapic_enable();
	pci_init();
	inl(PORT_GED_EVENTS);
	ioapic_route(PIN_GED, VECTOR, lapic_id(), 0);
	if (command_word("balloon", NULL))
		balloon();
	else
		plugged();
	return (int)test_failures();
}
