/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network interface under load, for the host to measure: rows of frames of one size, sent as fast
 * as they are taken, or received as fast as they come, for so long, from the first one on. Each row
 * says "begin N" and "end N FRAMES CYCLES"; of those that are received, only frames of the row's
 * size count. After the last it stays for a moment, so that its host can look what that took.
 *
 * Words: rowa=, rowb=, ...: receive << 63 | in segments << 62 | depth << 32 | bytes of a frame;
 * cycles= of the TSC for each row. mmio=: see bare.h.
 */
#include "bare.h"
#include "kit.h"

#define VIRTIO_NET 1
#define ENTRIES	   256u
#define DEPTH_MAX  64u
#define RECEIVING  128u /* buffers for frames that come */
#define ROOM	   0x800u
#define HEADER	   12u
#define BYTES_MAX  0x10000u
#define ROWS_MAX   26u
#define SENT	   (16 * MIB) /* the rest of memory is for frames */
#define RECEIVED   (32 * MIB)
#define PATIENCE   (20 * CYCLES_SECOND)
#define F_CSUM	   1UL
#define F_TSO4	   (1UL << 11)
#define MSS	   1448u
#define HEADERS	   54u /* Ethernet, IPv4 and TCP */

enum {
	RECEIVE,
	SEND
};

struct descriptor {
	uint64_t address;
	uint32_t len;
	uint16_t flags, next;
};

/* Virtio 1.2 section 2.7, with event indices. */
struct ring {
	struct descriptor descriptors[ENTRIES] __attribute__((aligned(4096)));
	struct {
		uint16_t flags, idx, ring[ENTRIES], used_event;
	} available __attribute__((aligned(4096)));
	struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[ENTRIES];
		uint16_t avail_event;
	} used __attribute__((aligned(4096)));
	uint64_t doorbell;
	uint16_t next, seen; /* of the available and the used ring */
};

static struct ring rings[2];
static struct bare net;

struct row {
	bool receive, segments;
	unsigned int depth;
	uint32_t bytes;
	uint64_t done;
};

static bool open_net(void)
{
	uint64_t features = VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | F_CSUM | F_TSO4;

	if (!bare_find(&net, VIRTIO_NET) || !bare_agree(&net, features))
		return false;
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		struct ring *r = &rings[i];

		if (!bare_queue(&net, i, ENTRIES, r->descriptors, &r->available, &r->used,
				&r->doorbell))
			return false;
	}
	return bare_ready(&net);
}

/* --- rings ----------------------------------------------------------------------------------- */

static void add(struct ring *r, unsigned int id)
{
	r->available.ring[r->next++ % ENTRIES] = (uint16_t)id;
}

/* What was added becomes visible; the doorbell only where the device asked (2.7.10). */
static void publish(struct ring *r)
{
	uint16_t old = r->available.idx, event;

	if (r->next == old)
		return;
	__atomic_store_n(&r->available.idx, r->next, __ATOMIC_SEQ_CST);
	event = __atomic_load_n(&r->used.avail_event, __ATOMIC_SEQ_CST);
	if ((uint16_t)(r->next - event - 1) < (uint16_t)(r->next - old))
		bare_ring(&net, r->doorbell, (unsigned int)(r - rings));
}

/* Takes what is done, and puts it again where `more`. */
static void take(struct row *row, bool more)
{
	struct ring *r = &rings[row->receive ? RECEIVE : SEND];
	uint16_t now = __atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE);

	for (; r->seen != now; r->seen++) {
		unsigned int at = r->seen % ENTRIES;

		row->done += !row->receive || r->used.ring[at].len == HEADER + row->bytes;
		if (more)
			add(r, r->used.ring[at].id);
	}
	publish(r);
}

/* --- frames ---------------------------------------------------------------------------------- */

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* For nobody, of a protocol that nobody has (IEEE 802 local experimental); or much of TCP. */
static void fill_frame(uint8_t *at, const struct row *row)
{
	static const uint8_t addresses[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };
	uint8_t *frame = at + HEADER, *ip = frame + 14, *tcp = ip + 20;

	memset(at, 0, HEADER + HEADERS);
	memcpy(frame, addresses, sizeof(addresses));
	put16(frame + 12, row->segments ? 0x0800 : 0x88b5);
	if (!row->segments)
		return;
	/* Virtio 1.2 section 5.1.6: a checksum to be made, and TCP over IPv4 to be cut. */
	at[0] = 1;
	at[1] = 1;
	at[2] = HEADERS;
	at[4] = MSS & 0xff;
	at[5] = MSS >> 8;
	at[6] = 34;
	at[8] = 16;
	ip[0] = 0x45;
	put16(ip + 2, row->bytes - 14);
	ip[8] = 64;
	ip[9] = 6;
	ip[12] = ip[16] = 10;
	ip[15] = 1;
	ip[19] = 2;
	tcp[12] = 0x50;
	tcp[13] = 0x10;
}

static void begin_sending(const struct row *row)
{
	struct ring *r = &rings[SEND];

	for (unsigned int i = 0; i < row->depth; i++) {
		uint64_t at = SENT + (uint64_t)(BYTES_MAX + 4096) * i;

		fill_frame((uint8_t *)at, row);
		r->descriptors[i] = (struct descriptor){ at, HEADER + row->bytes, 0, 0 };
		add(r, i);
	}
	publish(r);
}

/* Once: they stay with the device from row to row. */
static void begin_receiving(void)
{
	struct ring *r = &rings[RECEIVE];

	if (r->next)
		return;
	for (unsigned int i = 0; i < RECEIVING; i++) {
		r->descriptors[i] =
			(struct descriptor){ RECEIVED + (uint64_t)ROOM * i, ROOM, DESC_WRITE, 0 };
		add(r, i);
	}
	publish(r);
}

static bool run_row(struct row *row, char name, uint64_t cycles)
{
	const struct ring *r = &rings[SEND];
	uint64_t start, now;

	if (row->receive)
		begin_receiving();
	kprintf("begin %c\n", name);
	start = rdtsc();
	if (!row->receive)
		begin_sending(row);
	while (row->receive && !row->done && rdtsc() - start < PATIENCE)
		take(row, true);
	if (row->receive)
		start = rdtsc();
	row->done = 0;
	do {
		take(row, true);
		cpu_relax();
		now = rdtsc();
	} while (now - start < cycles);
	while (!row->receive && r->seen != r->next && now - start < cycles + PATIENCE) {
		take(row, false);
		now = rdtsc();
	}
	kprintf("end %c %lu %lu\n", name, row->done, now - start);
	return row->receive ? row->done : r->seen == r->next;
}

static void linger(uint64_t cycles)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < cycles)
		cpu_relax();
}

int payload_main(void)
{
	uint64_t cycles = command_number("cycles", CYCLES_SECOND / 20);
	char word[] = "rowa";

	if (!open_net()) {
		test_fail("netload", "no network interface with queues of %u entries", ENTRIES);
		return 1;
	}
	for (unsigned int i = 0; i < ROWS_MAX; i++, word[3]++) {
		uint64_t said = command_number(word, 0);
		struct row row = { .receive = said >> 63,
				   .segments = said >> 62 & 1,
				   .depth = said >> 32 & 0xffff,
				   .bytes = (uint32_t)said };

		if (!said)
			continue;
		if (!row.depth || row.depth > DEPTH_MAX || row.bytes < HEADERS + row.segments ||
		    row.bytes >= BYTES_MAX || (row.receive && row.bytes > ROOM - HEADER)) {
			test_fail(word, "0x%lx: 1 to %u frames of %u to %u bytes", said, DEPTH_MAX,
				  HEADERS, BYTES_MAX - 1);
			return 1;
		}
		if (!run_row(&row, word[3], cycles)) {
			test_fail(word, "frames stayed away");
			return 1;
		}
	}
	linger(cycles);
	test_ok("netload");
	return 0;
}
