/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk under load, for the host to measure: rows of reads and writes of one size, at random
 * places or one after the other, so many of them under way, for so long. Each row says "begin N"
 * and "end N OPERATIONS CYCLES".
 *
 * Words: rowa=, rowb=, ...: write << 63 | in order << 62 | depth << 32 | bytes; cycles= of the TSC
 * for each row. Of row a alone: mixa= of a hundred are writes, sizea= bytes of the disk, cyclesa=.
 * mmio=: see bare.h.
 */
#include "bare.h"
#include "kit.h"

#define ENTRIES	  256u
#define PIECES	  3u
#define DEPTH_MAX 64u
#define SECTOR	  512u
#define ROWS_MAX  26u
#define BUFFERS	  (16 * MIB) /* the rest of memory is for data */
#define PATIENCE  (20 * CYCLES_SECOND)
#define FEATURES  (VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | 1UL << 9) /* FLUSH */

struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

struct descriptor {
	uint64_t address;
	uint32_t len;
	uint16_t flags, next;
};

/* Virtio 1.2 section 2.7, with event indices. */
static struct descriptor descriptors[ENTRIES] __attribute__((aligned(4096)));
static struct {
	uint16_t flags, idx, ring[ENTRIES], used_event;
} available __attribute__((aligned(4096)));
static struct {
	uint16_t flags, idx;
	struct {
		uint32_t id, len;
	} ring[ENTRIES];
	uint16_t avail_event;
} used __attribute__((aligned(4096)));

static struct header headers[DEPTH_MAX] __attribute__((aligned(4096)));
static uint8_t status[DEPTH_MAX];

struct load {
	uint64_t doorbell, sectors;
	struct bare bare;
	uint64_t places, place; /* of the row; the next in order */
	bool in_order;
	unsigned int writes; /* of a hundred */
	unsigned int depth;
	uint32_t bytes;
	uint64_t random;
	uint16_t next, seen; /* of the available and the used ring */
	uint64_t done, failed;
};

static bool open_disk(struct load *load)
{
	struct bare *b = &load->bare;

	if (!bare_find(b, VIRTIO_BLK) || !bare_agree(b, FEATURES) ||
	    !bare_queue(b, 0, ENTRIES, descriptors, &available, &used, &load->doorbell))
		return false;
	load->sectors = read32(b->device) | (uint64_t)read32(b->device + 4) << 32;
	return bare_ready(b);
}

/* Requests keep their descriptors: only place and direction change from one to the next. */
static void prepare(struct load *load)
{
	for (unsigned int i = 0; i < load->depth; i++) {
		struct descriptor *d = descriptors + (size_t)PIECES * i;
		uint16_t at = (uint16_t)(PIECES * i);

		d[0] = (struct descriptor){ (uint64_t)&headers[i], sizeof(headers[i]), DESC_NEXT,
					    (uint16_t)(at + 1) };
		d[1] = (struct descriptor){ BUFFERS + (uint64_t)load->bytes * i, load->bytes,
					    DESC_NEXT, (uint16_t)(at + 2) };
		d[2] = (struct descriptor){ (uint64_t)&status[i], 1, DESC_WRITE, 0 };
	}
}

static void add(struct load *load, unsigned int i)
{
	bool write;

	/* Knuth's multiplier of MMIX. */
	load->random = load->random * 6364136223846793005UL + 1442695040888963407UL;
	write = (load->random >> 40) % 100 < load->writes;
	if (!load->in_order)
		load->place = (load->random >> 33) % load->places;
	headers[i].type = write;
	headers[i].sector = load->place * (load->bytes / SECTOR);
	descriptors[PIECES * i + 1].flags = write ? DESC_NEXT : DESC_NEXT | DESC_WRITE;
	load->place = load->place + 1 < load->places ? load->place + 1 : 0;
	status[i] = 0xee;
	available.ring[load->next++ % ENTRIES] = (uint16_t)(PIECES * i);
}

/* What was added becomes visible; the doorbell only where the device asked (2.7.10). */
static void publish(struct load *load)
{
	uint16_t old = available.idx, event;

	if (load->next == old)
		return;
	__atomic_store_n(&available.idx, load->next, __ATOMIC_SEQ_CST);
	event = __atomic_load_n(&used.avail_event, __ATOMIC_SEQ_CST);
	if ((uint16_t)(load->next - event - 1) < (uint16_t)(load->next - old))
		bare_ring(&load->bare, load->doorbell, 0);
}

/* Takes what is done, and puts as many again where `more`. */
static void take(struct load *load, bool more)
{
	uint16_t now = __atomic_load_n(&used.idx, __ATOMIC_ACQUIRE);

	for (; load->seen != now; load->seen++) {
		unsigned int i = used.ring[load->seen % ENTRIES].id / PIECES;

		load->done++;
		load->failed += status[i] != 0;
		if (more)
			add(load, i);
	}
	publish(load);
}

static bool run_row(struct load *load, char name, uint64_t cycles)
{
	uint64_t start, now;

	prepare(load);
	load->done = load->failed = 0;
	kprintf("begin %c\n", name);
	start = rdtsc();
	for (unsigned int i = 0; i < load->depth; i++)
		add(load, i);
	publish(load);
	do {
		take(load, true);
		cpu_relax();
		now = rdtsc();
	} while (now - start < cycles);
	while (load->seen != load->next && now - start < cycles + PATIENCE) {
		take(load, false);
		now = rdtsc();
	}
	kprintf("end %c %lu %lu\n", name, load->done, now - start);
	return load->seen == load->next && !load->failed;
}

/* A word of one row: its name and the row's letter. */
static uint64_t row_number(const char *word, char row, uint64_t fallback)
{
	char name[16];
	unsigned int n = 0;

	for (; word[n]; n++)
		name[n] = word[n];
	name[n] = row;
	name[n + 1] = 0;
	return command_number(name, fallback);
}

/* False: it says something that this disk or payload has not. */
static bool take_row(struct load *load, char name, uint64_t row)
{
	uint64_t size = row_number("size", name, load->sectors * SECTOR);

	load->in_order = row >> 62 & 1;
	load->depth = row >> 32 & 0xffff;
	load->bytes = (uint32_t)row;
	load->writes = (unsigned int)row_number("mix", name, row >> 63 ? 100 : 0);
	load->random = (uint64_t)(name - 'a' + 1);
	load->place = 0;
	if (!load->depth || load->depth > DEPTH_MAX || load->bytes < SECTOR ||
	    load->bytes % SECTOR || size < load->bytes || size / SECTOR > load->sectors)
		return false;
	load->places = size / load->bytes;
	return true;
}

int payload_main(void)
{
	uint64_t cycles = command_number("cycles", CYCLES_SECOND / 20);
	static struct load load;
	char word[] = "rowa";

	if (!open_disk(&load)) {
		test_fail("diskload", "no disk with queues of %u entries", ENTRIES);
		return 1;
	}
	for (unsigned int i = 0; i < ROWS_MAX; i++, word[3]++) {
		uint64_t row = command_number(word, 0);

		if (!row)
			continue;
		if (!take_row(&load, word[3], row)) {
			test_fail(word, "0x%lx: 1 to %u requests of whole sectors", row, DEPTH_MAX);
			return 1;
		}
		if (!run_row(&load, word[3], row_number("cycles", word[3], cycles))) {
			test_fail(word, "%lu of %lu requests failed, or stayed away", load.failed,
				  load.done);
			return 1;
		}
	}
	test_ok("diskload");
	return 0;
}
