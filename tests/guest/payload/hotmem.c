/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-mem function as a driver uses it well and badly: blocks come, are used by this CPU, by
 * rings and by an ADI where there is one, and go; requests for what is not there are refused. Then
 * it says "more?" and takes what it is offered. Two blocks are wanted at first.
 *
 * Words: pinned: an ADI does DMA into all memory, so that nothing can be unplugged.
 */
#include "apic.h"
#include "dsa.h"
#include "kit.h"
#include "pci.h"
#include "virtio.h"

#define VIRTIO_MEM	 24
#define INACCESSIBLE	 (1UL << 1)
#define FEATURES	 (VIRTIO_F_VERSION_1 | INACCESSIBLE)
#define PATIENCE	 (20 * CYCLES_SECOND)
#define CONFIG_BLOCK	 0
#define CONFIG_ADDR	 16
#define CONFIG_REGION	 24
#define CONFIG_PLUGGED	 40
#define CONFIG_REQUESTED 48

/* Virtio 1.2 section 5.15.6. */
enum {
	PLUG,
	UNPLUG,
	UNPLUG_ALL,
	STATE
};
enum {
	ACK,
	NACK,
	BUSY,
	ERROR,
	NOTHING = 99
};
enum {
	PLUGGED,
	UNPLUGGED,
	MIXED
};

struct request {
	uint16_t type, padding0[3];
	uint64_t addr;
	uint16_t blocks, padding1[3];
};

struct answer {
	uint16_t type, padding[3], state;
};

static struct virtqueue queue;
static struct request request;
static struct answer answer;
static struct virtio mem;
static uint64_t block, base, region;

static bool agree(void)
{
	if (!virtio_agree(&mem, FEATURES))
		return false;
	virtio_queue(&mem, &queue, 0, FEATURES, 0);
	virtio_ready(&mem);
	return virtio_status(&mem) == 0xf;
}

/* NOTHING: no answer came. */
static unsigned int ask_at(struct request *where, uint16_t type, uint64_t addr, uint16_t blocks)
{
	const struct piece pieces[] = { { where, sizeof(*where), false },
					{ &answer, sizeof(answer), true } };
	uint32_t written;

	*where = (struct request){ .type = type, .addr = addr, .blocks = blocks };
	memset(&answer, 0xee, sizeof(answer));
	virtio_add(&queue, pieces, 2, NULL);
	virtio_kick(&queue);
	if (!virtio_used(&mem, &queue, 2, &written) || written != sizeof(answer))
		return NOTHING;
	return answer.type;
}

static unsigned int ask(uint16_t type, uint64_t addr, uint16_t blocks)
{
	return ask_at(&request, type, addr, blocks);
}

#define EXPECT(name, want, type, addr, blocks)                                         \
	do {                                                                           \
		unsigned int got_ = ask((type), (addr), (blocks));                     \
		test_check((name), got_ == (want), "%u in place of %u", got_, (want)); \
	} while (0)

static void state_is(const char *name, unsigned int want, uint64_t addr, uint16_t blocks)
{
	unsigned int got = ask(STATE, addr, blocks);

	test_check(name, got == ACK && answer.state == want, "answer %u, state %u", got,
		   answer.state);
}

/* No memory: nobody answers, so reads are ones, and writes go nowhere. */
static void test_nothing_there(const char *name, uint64_t at)
{
	write64(at, 0x1234);
	test_check(name, read64(at) == ~0UL, "0x%lx", read64(at));
}

static void test_memory(const char *name, uint64_t at)
{
	static const uint64_t steps[] = { 0, 8, 4096, 0x100000 };
	bool good = true;

	for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++)
		write64(at + steps[i], at + i);
	write64(at + block - 8, ~at);
	for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++)
		good = good && read64(at + steps[i]) == at + i;
	test_check(name, good && read64(at + block - 8) == ~at, "memory at 0x%lx", at);
}

static void test_refusals(void)
{
	uint64_t end = base + region;

	EXPECT("unaligned", ERROR, PLUG, base + block / 2, 1);
	EXPECT("below", ERROR, PLUG, base - block, 1);
	EXPECT("across_the_start", ERROR, PLUG, base - block, 2);
	EXPECT("past_the_end", ERROR, PLUG, end, 1);
	EXPECT("across_the_end", ERROR, UNPLUG, end - block, 2);
	EXPECT("wrapping", ERROR, STATE, -block, 2);
	EXPECT("at_zero", ERROR, STATE, 0, 65535);
	EXPECT("no_blocks", ERROR, PLUG, base, 0);
	EXPECT("many_blocks", ERROR, PLUG, base, 65535);
	EXPECT("no_such_request", ERROR, 4, base, 1);
	EXPECT("request_of_ones", ERROR, 0xffff, base, 1);
	EXPECT("twice", ERROR, PLUG, base, 1);
	EXPECT("not_there", ERROR, UNPLUG, base + 2 * block, 1);
	EXPECT("partly_gone", ERROR, UNPLUG, base, 3);
}

/* Rings and buffers may lie in what is plugged, and in nothing that is not. */
static void test_rings(void)
{
	unsigned int got;

	got = ask_at((struct request *)(base + 256), STATE, base, 1);
	test_check("buffer_in_plugged_memory", got == ACK && answer.state == PLUGGED, "%u", got);
	got = ask_at((struct request *)(base + 3 * block), STATE, base, 1);
	test_check("buffer_in_unplugged_memory",
		   got == NOTHING && virtio_status(&mem) & VIRTIO_NEEDS_RESET, "%u, status 0x%x",
		   got, virtio_status(&mem));
	test_check("restart", agree(), "status 0x%x", virtio_status(&mem));
	state_is("a_reset_unplugs_nothing", PLUGGED, base, 1);
}

/* The ADI reaches what is plugged at once, and nothing else. */
static void test_dma(struct dsa *dsa)
{
	static struct dsa_completion completion __attribute__((aligned(32)));
	static struct dsa_descriptor descriptor;
	static uint8_t source[256];

	memset(source, 0x5a, sizeof(source));
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t to = i ? base + 3 * block : base + block - 4096;
		uint8_t status;

		descriptor = (struct dsa_descriptor){
			.flags = OP_MEMMOVE << 24 | FLAG_CRAV | FLAG_RCR,
			.completion = (uint64_t)&completion,
			.source = (uint64_t)source,
			.destination = to,
			.size = sizeof(source),
		};
		memset(&completion, 0, sizeof(completion));
		dsa_submit(dsa, &descriptor);
		status = dsa_wait(&completion, PATIENCE);
		if (i)
			test_check("dma_to_unplugged_memory_faults",
				   (status & 0x7f) == STATUS_PAGE_FAULT, "status 0x%x", status);
		else
			test_check("dma_to_plugged_memory",
				   status == STATUS_OK && read8(to) == 0x5a &&
					   read8(to + 255) == 0x5a,
				   "status 0x%x", status);
	}
}

static void test_unplug(bool pinned)
{
	unsigned int expected = pinned ? BUSY : ACK;

	write64(base + 64, 0x77);
	EXPECT("unplug", expected, UNPLUG, base, 1);
	if (pinned) {
		test_check("what_is_pinned_stays", read64(base + 64) == 0x77, "0x%lx",
			   read64(base + 64));
		EXPECT("unplug_all", BUSY, UNPLUG_ALL, 0, 0);
		state_is("it_stays_plugged", PLUGGED, base, 1);
		return;
	}
	test_nothing_there("gone", base + 64);
	EXPECT("plug_again", ACK, PLUG, base, 1);
	test_check("it_comes_empty", read64(base + 64) == 0, "0x%lx", read64(base + 64));
	EXPECT("unplug_all", ACK, UNPLUG_ALL, 0, 0);
	test_check("nothing_is_plugged", read64(mem.device + CONFIG_PLUGGED) == 0, "%lu",
		   read64(mem.device + CONFIG_PLUGGED));
	test_nothing_there("all_gone", base + 64);
}

/* Until so much more is wanted, and then takes it all. */
static void take_more(void)
{
	uint64_t start_at = rdtsc(), wanted, plugged = read64(mem.device + CONFIG_PLUGGED);

	kprintf("more?\n");
	do {
		wanted = read64(mem.device + CONFIG_REQUESTED);
		cpu_relax();
	} while (wanted < region && rdtsc() - start_at < PATIENCE);
	if (plugged)
		EXPECT("one_more", ACK, PLUG, base + block, (uint16_t)(region / block - 1));
	else
		EXPECT("all", ACK, PLUG, base, (uint16_t)(region / block));
	test_memory("the_last_block", base + region - block);
	state_is("all_is_plugged", PLUGGED, base, (uint16_t)(region / block));
}

int payload_main(void)
{
	bool pinned = command_word("pinned", NULL);
	static struct dsa dsa;

	if (!pci_init() || !virtio_find(&mem, VIRTIO_MEM, 0)) {
		test_fail("hotmem", "no memory device");
		return 1;
	}
	test_check("needs_the_feature", !virtio_agree(&mem, VIRTIO_F_VERSION_1),
		   "a driver that reads unplugged memory is taken");
	if (!test_check("start", agree(), "status 0x%x", virtio_status(&mem)))
		return 1;
	block = read64(mem.device + CONFIG_BLOCK);
	base = read64(mem.device + CONFIG_ADDR);
	region = read64(mem.device + CONFIG_REGION);
	if (!test_check("region", region >= 4 * block && map_device(base, region),
			"0x%lx bytes at 0x%lx", region, base))
		return 1;
	state_is("nothing_at_first", UNPLUGGED, base, (uint16_t)(region / block));
	test_nothing_there("no_memory_at_first", base);
	EXPECT("plug", ACK, PLUG, base, 1);
	test_memory("plugged", base);
	test_nothing_there("not_beyond", base + block);
	state_is("mixed", MIXED, base, 2);
	EXPECT("more_than_wanted", NACK, PLUG, base + block, 2);
	test_refusals();
	test_rings();
	if (pinned && dsa_find(&dsa, 0) && !dsa_start(&dsa) && !dsa_queue_enable(&dsa, 0))
		test_dma(&dsa);
	test_unplug(pinned);
	take_more();
	return (int)test_failures();
}
