/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every operation against the reference of dsa-reference.h: random sizes, alignments and contents,
 * over I/O addresses whose pages are scattered in memory, with descriptors that run off the mapped
 * range. After each one all memory and the whole record must be as the reference has them.
 */
#include "passthrough/adi/dsa-memory.h"
#include "tests/unit/dsa-reference.h"
#include "tests/unit/test-dsa.h"

#define BASE  0x10000000ULL
#define PAGES 96u
#define SIZE  (PAGES * 4096u)
#define FIRST 0x400000ULL /* guest memory behind them */
#define PASID 5u

struct scatter {
	struct dsa_rig *rig;
	uint64_t seed;
	uint8_t *before; /* the pages as they were, and what the reference makes of them */
	struct reference ref;
};

static uint8_t *page_of(struct scatter *s, unsigned int i)
{
	return s->rig->memory + FIRST + i * 37 % PAGES * 4096;
}

static void gather(struct scatter *s, uint8_t *flat)
{
	for (unsigned int i = 0; i < PAGES; i++)
		memcpy(flat + i * 4096, page_of(s, i), 4096);
}

static void spread(struct scatter *s, const uint8_t *flat)
{
	for (unsigned int i = 0; i < PAGES; i++)
		memcpy(page_of(s, i), flat + i * 4096, 4096);
}

static void scatter_open(struct scatter *s, struct dsa_rig *rig)
{
	struct ioasid_space *space =
		rig_space(rig, "scattered", RECORD, 0x1000, IOASID_READ | IOASID_WRITE);

	*s = (struct scatter){ .rig = rig, .seed = 7, .before = malloc(SIZE) };
	s->ref = (struct reference){ .flat = malloc(SIZE), .base = BASE, .size = SIZE };
	for (unsigned int i = 0; i < PAGES; i++)
		assert_ok(ioasid_map_hva(space, BASE + i * 4096, 4096, page_of(s, i),
					 IOASID_READ | IOASID_WRITE, &rig->err),
			  &rig->err);
	assert_ok(dsa_pasid_bind(rig->dsa, PASID, space, 0, NULL, &rig->err), &rig->err);
	device_enable(rig);
	wq_enable(rig, 0, PASID);
}

static void scatter_close(struct scatter *s)
{
	free(s->before);
	free(s->ref.flat);
	rig_close(s->rig);
}

static uint32_t below(struct scatter *s, uint32_t n)
{
	return random_next(&s->seed) % n;
}

static bool chance(struct scatter *s, uint32_t one_in)
{
	return !below(s, one_in);
}

static void assert_as_reference(struct scatter *s, const struct dsa_descriptor *d)
{
	const struct dsa_record *record =
		(const struct dsa_record *)(s->rig->memory + (d->record & 0xffff));
	uint8_t status;

	gather(s, s->ref.flat);
	ref_run(&s->ref, d);
	status = run(s->rig, d);
	gather(s, s->before);
	if (status != s->ref.status || record->result != s->ref.result ||
	    record->bytes != s->ref.bytes || record->fault != s->ref.fault ||
	    memcmp(record->words, s->ref.words, 16) || memcmp(s->before, s->ref.flat, SIZE))
		fail_msg(
			"opcode 0x%x size 0x%x source 0x%lx destination 0x%lx: status 0x%x result %u "
			"bytes 0x%x fault 0x%lx words %x %x %x %x; the reference has 0x%x %u 0x%x "
			"0x%lx %x %x %x %x; memory %s",
			dsa_opcode(d), d->size, d->source, d->destination, status, record->result,
			record->bytes, record->fault, record->words[0], record->words[1],
			record->words[2], record->words[3], s->ref.status, s->ref.result,
			s->ref.bytes, s->ref.fault, s->ref.words[0], s->ref.words[1],
			s->ref.words[2], s->ref.words[3],
			memcmp(s->before, s->ref.flat, SIZE) ? "differs" : "as it should");
}

/* --- descriptors ----------------------------------------------------------------------------- */

static uint32_t some_size(struct scatter *s)
{
	switch (below(s, 4)) {
	case 0:
		return 1 + below(s, 64);
	case 1:
		return 1 + below(s, 5000);
	default:
		return 1 + below(s, 40000);
	}
}

/* Mostly all of it is mapped; at times its end is not, or nothing of it. */
static uint64_t some_place(struct scatter *s, uint32_t size, uint32_t align)
{
	uint64_t at = BASE + below(s, SIZE - size);

	if (chance(s, 12))
		at = BASE + SIZE - below(s, size + 1);
	if (chance(s, 100))
		at = BASE - size + below(s, size);
	return at / align * align;
}

static struct dsa_descriptor some(struct scatter *s, uint32_t opcode, uint32_t size, uint32_t align)
{
	return (struct dsa_descriptor){
		.flags = opcode << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID | DSA_FLAG_RECORD,
		.record = RECORD,
		.source = some_place(s, size, align),
		.destination = some_place(s, size, align),
		.size = size,
	};
}

static void randomise(struct scatter *s)
{
	for (uint32_t i = 0; i < SIZE; i += 4) {
		uint32_t word = random_next(&s->seed);

		memcpy(s->before + i, &word, 4);
	}
	spread(s, s->before);
}

/* What is at `to` becomes what is at `from`, but for a few bytes. */
static void resemble(struct scatter *s, uint64_t to, uint64_t from, uint32_t size)
{
	gather(s, s->before);
	if (to < BASE || from < BASE || to + size > BASE + SIZE || from + size > BASE + SIZE)
		return;
	memmove(s->before + (to - BASE), s->before + (from - BASE), size);
	for (unsigned int n = below(s, 4); n; n--)
		s->before[to - BASE + below(s, size)] ^= (uint8_t)(1u << below(s, 8));
	spread(s, s->before);
}

static unsigned int rounds(unsigned int usual)
{
	const char *more = getenv("ADIT_TEST_OPS");

	return more ? (unsigned int)strtoul(more, NULL, 0) / 500 : usual;
}

static bool overlapping(uint64_t a, uint64_t b, uint64_t size)
{
	return a < b + size && b < a + size;
}

#define SCATTERED(s)                  \
	RIG(rig_, rig_options(true)); \
	struct scatter s;             \
	scatter_open(&s, &rig_);      \
	randomise(&s)

static void moves(void **state)
{
	SCATTERED(s);

	for (unsigned int i = 0; i < rounds(600); i++) {
		struct dsa_descriptor d = some(&s, DSA_OP_MEMMOVE, some_size(&s), 1);
		bool down = d.destination > d.source && d.destination - d.source < d.size;

		/* Where a move from the end meets a fault is fault_says_where_and_how_far's. */
		if (down && (d.source < BASE || d.destination + d.size > BASE + SIZE))
			continue;
		d.flags |= chance(&s, 2) ? DSA_FLAG_CACHE : 0;
		assert_as_reference(&s, &d);
	}
	scatter_close(&s);
}

static void fills(void **state)
{
	SCATTERED(s);

	for (unsigned int i = 0; i < rounds(400); i++) {
		struct dsa_descriptor d = some(&s, DSA_OP_FILL, some_size(&s), 1);

		d.pattern = (uint64_t)random_next(&s.seed) << 33 ^ random_next(&s.seed);
		assert_as_reference(&s, &d);
	}
	scatter_close(&s);
}

static void dualcasts(void **state)
{
	SCATTERED(s);

	for (unsigned int i = 0; i < rounds(400); i++) {
		struct dsa_descriptor d = some(&s, DSA_OP_DUALCAST, some_size(&s), 1);

		d.destination2 = some_place(&s, d.size, 4096) + d.destination % 4096;
		if (overlapping(d.source, d.destination, d.size) ||
		    overlapping(d.source, d.destination2, d.size) ||
		    overlapping(d.destination, d.destination2, d.size))
			continue;
		assert_as_reference(&s, &d);
	}
	scatter_close(&s);
}

static void compares(void **state)
{
	SCATTERED(s);

	for (unsigned int i = 0; i < rounds(400); i++) {
		struct dsa_descriptor d = some(&s, DSA_OP_COMPARE, some_size(&s), 1);

		resemble(&s, d.source2, d.source, d.size);
		d.flags |= chance(&s, 2) ? DSA_FLAG_CHECK_RESULT : 0;
		d.expected = (uint8_t)below(&s, 2);
		assert_as_reference(&s, &d);
	}
	scatter_close(&s);
}

static void pattern_compares(void **state)
{
	SCATTERED(s);

	for (unsigned int i = 0; i < rounds(400); i++) {
		struct dsa_descriptor d = some(&s, DSA_OP_COMPARE_PATTERN, some_size(&s), 1);
		uint64_t at = d.source - BASE;

		d.compare_pattern = (uint64_t)random_next(&s.seed) << 33 ^ random_next(&s.seed);
		gather(&s, s.before);
		for (uint32_t j = 0; j < d.size && at + j < SIZE; j++)
			s.before[at + j] = (uint8_t)(d.compare_pattern >> j % 8 * 8);
		if (chance(&s, 2) && at < SIZE && at + d.size < SIZE)
			s.before[at + below(&s, d.size)] ^= 0x10;
		spread(&s, s.before);
		d.flags |= chance(&s, 2) ? DSA_FLAG_CHECK_RESULT : 0;
		d.expected = (uint8_t)below(&s, 2);
		assert_as_reference(&s, &d);
	}
	scatter_close(&s);
}

static void deltas_are_created(void **state)
{
	SCATTERED(s);

	for (unsigned int i = 0; i < rounds(400); i++) {
		uint32_t size = (some_size(&s) + 7) & ~7u, max = 80 + below(&s, 40) * 10;
		struct dsa_descriptor d = some(&s, DSA_OP_DELTA_CREATE, size, 8);

		d.delta.address = some_place(&s, max, 8);
		d.delta.max_size = max;
		d.delta.expected = (uint8_t)below(&s, 8);
		d.flags |= chance(&s, 2) ? DSA_FLAG_CHECK_RESULT : 0;
		if (overlapping(d.source, d.source2, size) ||
		    overlapping(d.source, d.delta.address, MAX(size, max)) ||
		    overlapping(d.source2, d.delta.address, MAX(size, max)))
			continue;
		if (!chance(&s, 4))
			resemble(&s, d.source2, d.source, size);
		assert_as_reference(&s, &d);
	}
	scatter_close(&s);
}

static void deltas_are_applied(void **state)
{
	SCATTERED(s);

	for (unsigned int i = 0; i < rounds(400); i++) {
		uint32_t size = (some_size(&s) + 7) & ~7u, entries = 1 + below(&s, 60);
		struct dsa_descriptor d = some(&s, DSA_OP_DELTA_APPLY, size, 8);
		uint32_t index = 0;

		d.source = some_place(&s, entries * 10, 8);
		d.delta_size = entries * 10;
		if (overlapping(d.source, d.destination, MAX(size, d.delta_size)))
			continue;
		gather(&s, s.before);
		for (uint32_t n = 0; n < entries; n++) {
			uint64_t at = d.source - BASE + n * 10ULL;

			/* In order most of the time, and mostly inside. */
			index = chance(&s, 150) ? index
						: index + 1 + below(&s, size / 8 / entries + 1);
			if (at + 1 < SIZE) {
				s.before[at] = (uint8_t)index;
				s.before[at + 1] = (uint8_t)(index >> 8);
			}
		}
		spread(&s, s.before);
		assert_as_reference(&s, &d);
	}
	scatter_close(&s);
}

static void crcs(void **state)
{
	SCATTERED(s);

	for (unsigned int i = 0; i < rounds(600); i++) {
		bool copies = chance(&s, 2);
		struct dsa_descriptor d =
			some(&s, copies ? DSA_OP_COPY_CRC : DSA_OP_CRC, some_size(&s), 1);

		d.flags |= below(&s, 8) << 16;
		d.crc.seed = random_next(&s.seed);
		if (d.flags & DSA_CRC_READ_SEED)
			d.crc.seed_address = some_place(&s, 4, 4);
		if (!copies)
			d.destination = 0;
		else if (overlapping(d.source, d.destination, d.size))
			continue;
		assert_as_reference(&s, &d);
	}
	scatter_close(&s);
}

/* The check value of CRC-32C that every catalogue has. */
static void crc_of_the_catalogues(void **state)
{
	SCATTERED(s);
	struct dsa_descriptor d = some(&s, DSA_OP_CRC, 9, 1);

	d.source = BASE;
	d.destination = 0;
	memcpy(page_of(&s, 0), "123456789", 9);
	assert_int_equal(run(s.rig, &d), DSA_STATUS_OK);
	assert_int_equal(record_at(s.rig, RECORD)->words[0], 0xe3069283);
	scatter_close(&s);
}

static void flushes(void **state)
{
	SCATTERED(s);

	for (unsigned int i = 0; i < rounds(200); i++) {
		struct dsa_descriptor d = some(&s, DSA_OP_CACHE_FLUSH, some_size(&s), 1);

		d.source = 0;
		d.flags |= chance(&s, 2) ? DSA_FLAG_CACHE : 0;
		assert_as_reference(&s, &d);
	}
	scatter_close(&s);
}

/* --- DIF ------------------------------------------------------------------------------------- */

static struct dsa_dif_tags some_tags(struct scatter *s)
{
	return (struct dsa_dif_tags){
		.ref = chance(s, 8) ? 0xffffffff : random_next(&s->seed),
		.app_mask = (uint16_t)(chance(s, 2) ? 0 : random_next(&s->seed)),
		.app = (uint16_t)(chance(s, 8) ? 0xffff : random_next(&s->seed)),
	};
}

/* A source whose fields are right for the descriptor's check, but for some damage. */
static void protect(struct scatter *s, const struct dsa_descriptor *d, uint32_t block)
{
	struct dsa_dif_tags tags = d->dif.source;
	uint64_t at = d->source - BASE;

	if (at >= SIZE)
		return;
	gather(s, s->before);
	for (uint32_t i = 0; i + block + 8 <= d->size && at + block + 8 <= SIZE;
	     i += block + 8, at += block + 8) {
		uint16_t mask = tags.app_mask;

		tags.app_mask = 0;
		ref_dif_make(d, &tags, s->before + at, block, 0);
		tags.app_mask = mask;
		tags.app += d->dif.source_flags >> 4 & 1;
		tags.ref += !(d->dif.source_flags & 0x80);
		if (chance(s, 16))
			s->before[at + below(s, block + 8)] ^= (uint8_t)(1u << below(s, 8));
		if (chance(s, 8))
			memset(s->before + at + block + 2 * below(s, 2), 0xff, 4);
		if (chance(s, 12))
			memset(s->before + at + block, 0xff, 8);
	}
	spread(s, s->before);
}

static void dif_of(struct scatter *s, uint32_t opcode)
{
	static const uint32_t blocks[] = { 512, 520, 4096, 4104 };
	uint32_t code = below(s, 4), block = blocks[code];
	bool checks = opcode != DSA_OP_DIF_INSERT;
	bool makes = opcode == DSA_OP_DIF_INSERT || opcode == DSA_OP_DIF_UPDATE;
	uint32_t count = 1 + below(s, block > 1000 ? 6 : 30);
	struct dsa_descriptor d = some(s, opcode, count * (block + (checks ? 8 : 0)), 1);

	d.dif.flags = (uint8_t)(code | below(s, 4) << 2);
	if (checks) {
		d.dif.source = some_tags(s);
		d.dif.source_flags = (uint8_t)(chance(s, 3) ? random_next(&s->seed) : 0);
	}
	if (makes) {
		d.dif.destination = some_tags(s);
		d.dif.destination_flags = random_next(&s->seed) & (checks ? 0xf8 : 0x90);
	}
	if (opcode == DSA_OP_DIF_CHECK)
		d.destination = 0;
	else if (overlapping(d.source, d.destination, (uint64_t)count * (block + 8)))
		return;
	if (checks)
		protect(s, &d, block);
	assert_as_reference(s, &d);
}

static void dif(struct scatter *s, uint32_t opcode)
{
	for (unsigned int i = 0; i < rounds(300); i++)
		dif_of(s, opcode);
}

static void dif_checks(void **state)
{
	SCATTERED(s);
	dif(&s, DSA_OP_DIF_CHECK);
	scatter_close(&s);
}

static void dif_inserts(void **state)
{
	SCATTERED(s);
	dif(&s, DSA_OP_DIF_INSERT);
	scatter_close(&s);
}

static void dif_strips(void **state)
{
	SCATTERED(s);
	dif(&s, DSA_OP_DIF_STRIP);
	scatter_close(&s);
}

static void dif_updates(void **state)
{
	SCATTERED(s);
	dif(&s, DSA_OP_DIF_UPDATE);
	scatter_close(&s);
}

/* Past one section, and past the size from which copies go around the caches. */
static void large_ones(void **state)
{
	RIG(rig, rig_options(false));
	const uint32_t size = 5 * MIB + 12345;
	uint8_t *expected = malloc(size);
	struct dsa_descriptor d = move(0x900000 + 3, 0x300001, size);

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (uint32_t i = 0; i < size; i++)
		rig.memory[0x300001 + i] = (uint8_t)(i * 2654435761u >> 13);
	memcpy(expected, rig.memory + 0x300001, size);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_memory_equal(rig.memory + 0x900003, expected, size);
	d.flags = (d.flags & 0xffffff) | DSA_OP_COMPARE << DSA_OPCODE_SHIFT;
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(record_at(&rig, RECORD)->result, 0);
	rig.memory[0x900003 + size - 1] ^= 1;
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(record_at(&rig, RECORD)->result, 1);
	assert_int_equal(record_at(&rig, RECORD)->bytes, size - 1);
	free(expected);
	rig_close(&rig);
}

/* 16 MiB over 16 times the same MiB, as much as every CPU's second-level cache asks for. */
static void copies_past_the_caches_are_right(void **state)
{
	enum {
		N = 300000
	};
	uint8_t *from = malloc(N + 64), *to = malloc(N + 64), *expected = malloc(N + 64);
	uint64_t seed = 5;

	if (dsa_stream_from() == SIZE_MAX)
		skip_because("this CPU has no AVX2");
	for (unsigned int i = 0; i < N + 64; i++)
		from[i] = (uint8_t)random_next(&seed);
	for (unsigned int i = 0; i < 200; i++) {
		unsigned int a = random_next(&seed) % 64, b = random_next(&seed) % 64;
		unsigned int n = random_next(&seed) % (i & 1 ? 400 : N);

		memset(to, 0xee, N + 64);
		memset(expected, 0xee, N + 64);
		memcpy(expected + a, from + b, n);
		dsa_copy_stream(to + a, from + b, n);
		assert_memory_equal(to, expected, N + 64);
	}
	free(from);
	free(to);
	free(expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves),
		cmocka_unit_test(fills),
		cmocka_unit_test(dualcasts),
		cmocka_unit_test(compares),
		cmocka_unit_test(pattern_compares),
		cmocka_unit_test(deltas_are_created),
		cmocka_unit_test(deltas_are_applied),
		cmocka_unit_test(crcs),
		cmocka_unit_test(crc_of_the_catalogues),
		cmocka_unit_test(flushes),
		cmocka_unit_test(dif_checks),
		cmocka_unit_test(dif_inserts),
		cmocka_unit_test(dif_strips),
		cmocka_unit_test(dif_updates),
		cmocka_unit_test(large_ones),
		cmocka_unit_test(copies_past_the_caches_are_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
