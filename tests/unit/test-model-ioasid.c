/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioasid.h against a naive model: random calls, the same answers. What is reachable, which state
 * each PASID is in, that no number is handed out early, and, with threads, that no translation is
 * used after the call that ended it has returned. ADIT_TEST_OPS sets the number of operations.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ioasid-client/ioasid.h"
#include "ioasid-client/pasid-table.h"
#include "util/bits.h"

#define PAGE ((uint64_t)IOASID_PAGE_SIZE)

static unsigned long operations(void)
{
	const char *text = getenv("ADIT_TEST_OPS");
	unsigned long n = text ? strtoul(text, NULL, 0) : 0;

	return n ? n : 20000;
}

/* xorshift64: small, and the same everywhere. */
static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* --- the model: arrays, and loops over them -------------------------------------------------- */

#define DEVICES	 3u
#define SPACES	 4u
#define MAPPINGS 48u
#define PASIDS	 24u
#define NUMBERS	 16u /* states are compared for those below */
#define WINDOW	 96u /* pages */
#define GUESTS	 8u  /* guest PASIDs 1 to 8 */

/* Where mappings are put: at levels' borders, and at both ends of the address space. */
static const uint64_t bases[] = { 0, GIB - 48 * PAGE, (1ULL << 48) - 20 * PAGE, 0 - WINDOW *PAGE };
static const unsigned int widths[DEVICES] = { 20, 4, 0 };

struct model_mapping {
	uint64_t iova, size; /* size 0: none */
	uint64_t hva;
	unsigned int rights;
};

struct model_space {
	struct ioasid_space *real; /* NULL: none */
	bool pasid_capable;
	struct model_mapping mapping[MAPPINGS];
};

struct model_device {
	struct ioasid_device *real; /* NULL: none */
	int space;		    /* -1: blocked */
};

struct model_pasid {
	struct ioasid_pasid *real; /* NULL: none */
	uint32_t number;
	int device, space; /* -1: parked */
	bool attached;	   /* ioasid_pasid_detach was not called */
	unsigned int holds;
};

struct model {
	uint64_t seed;
	struct ioasid_ctx *ctx;
	struct ioasid_dma *dma;
	struct model_device device[DEVICES];
	struct model_space space[SPACES];
	struct model_pasid pasid[PASIDS];
	struct epoch epoch;
	struct epoch_reader reader;
	struct pasid_table *table;
	struct model_pasid *guest[GUESTS + 1]; /* NULL: unbound */
	struct err err;
};

static unsigned int below(struct model *m, unsigned int limit)
{
	return (unsigned int)((next_random(&m->seed) >> 16) % limit);
}

static uint64_t random_iova(struct model *m)
{
	return bases[below(m, ARRAY_SIZE(bases))] + below(m, WINDOW) * PAGE;
}

/* Mostly small, so that many fit; never past the end of 64 bits. */
static uint64_t random_size(struct model *m, uint64_t iova)
{
	uint64_t pages = 1 + (below(m, 2) ? 0 : below(m, below(m, 8) ? 6 : 90));
	uint64_t left = (0 - iova) / PAGE;

	return (left && pages > left ? left : pages) * PAGE;
}

static const struct model_mapping *find(const struct model_space *space, uint64_t iova)
{
	for (size_t i = 0; i < MAPPINGS; i++) {
		const struct model_mapping *mapping = &space->mapping[i];

		if (mapping->size && iova - mapping->iova < mapping->size)
			return mapping;
	}
	return NULL;
}

/* Page by page. */
static uint64_t model_translate(const struct model *m, int space, uint64_t iova, uint64_t *len,
				unsigned int rights)
{
	uint64_t asked = *len, start = 0;

	*len = 0;
	while (space >= 0 && *len < asked) {
		const struct model_mapping *mapping = find(&m->space[space], iova);
		uint64_t hva;

		if (!mapping || rights & ~mapping->rights)
			break;
		hva = mapping->hva + (iova - mapping->iova);
		if (!start)
			start = hva;
		else if (hva != start + *len)
			break;
		*len += MIN(asked - *len, PAGE - iova % PAGE);
		iova += PAGE - iova % PAGE;
		if (!iova)
			break;
	}
	return start;
}

static int model_space_of(const struct model *m, unsigned int device, uint32_t number)
{
	if (number == IOASID_PASID_NONE)
		return m->device[device].space;
	for (size_t i = 0; i < PASIDS; i++) {
		if (m->pasid[i].real && m->pasid[i].number == number)
			return m->pasid[i].device == (int)device ? m->pasid[i].space : -1;
	}
	return -1;
}

static enum ioasid_pasid_state model_state(const struct model *m, uint32_t number)
{
	for (size_t i = 0; i < PASIDS; i++) {
		if (m->pasid[i].real && m->pasid[i].number == number)
			return m->pasid[i].space >= 0 ? IOASID_PASID_ACTIVE : IOASID_PASID_PARKED;
	}
	return IOASID_PASID_FREE;
}

/* --- operations: done to both, and compared -------------------------------------------------- */

static void compare_reach(struct model *m)
{
	unsigned int device = below(m, DEVICES), rights = 1 + below(m, 3);
	uint32_t number = below(m, NUMBERS + 2);
	uint64_t iova = random_iova(m) + below(m, (unsigned int)PAGE);
	uint64_t len = 1 + below(m, 1u << below(m, 18)), expected_len = len;
	uint64_t expected;
	void *p;

	if (!m->device[device].real)
		return;
	expected =
		model_translate(m, model_space_of(m, device, number), iova, &expected_len, rights);
	ioasid_dma_begin(m->dma);
	p = ioasid_translate(m->dma, m->device[device].real, number, iova, &len, rights);
	ioasid_dma_end(m->dma);
	if ((uint64_t)(uintptr_t)p != expected || len != expected_len)
		fail_msg("device %u PASID %u IOVA %#" PRIx64 ": %p + %#" PRIx64 ", model %#" PRIx64
			 " + %#" PRIx64,
			 device, number, iova, p, len, expected, expected_len);
}

static void compare_states(struct model *m)
{
	for (uint32_t number = 1; number < NUMBERS; number++)
		assert_int_equal(ioasid_pasid_state(m->ctx, number), model_state(m, number));
}

static void op_bind(struct model *m)
{
	unsigned int i = below(m, DEVICES);
	const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT,
					      .soft = { .pasid_width = widths[i] } };
	char label[16];
	int r;

	snprintf(label, sizeof(label), "dev%u", i);
	if (m->device[i].real) {
		struct ioasid_device *second;

		assert_int_equal(ioasid_bind(m->ctx, &source, label, &second, NULL), -EEXIST);
		return;
	}
	r = ioasid_bind(m->ctx, &source, label, &m->device[i].real, &m->err);
	assert_ok(r, &m->err);
	m->device[i].space = -1;
}

static void op_unbind(struct model *m)
{
	unsigned int i = below(m, DEVICES);

	if (!m->device[i].real || below(m, 8))
		return;
	ioasid_unbind(m->device[i].real);
	m->device[i].real = NULL;
	for (size_t j = 0; j < PASIDS; j++) {
		if (m->pasid[j].device == (int)i)
			m->pasid[j].device = m->pasid[j].space = -1;
	}
}

static void op_alloc(struct model *m)
{
	unsigned int i = below(m, SPACES);
	const struct ioasid_space_options options = { .name = "space", .pasid_capable = i != 0 };

	if (m->space[i].real)
		return;
	memset(&m->space[i], 0, sizeof(m->space[i]));
	m->space[i].pasid_capable = i != 0;
	assert_ok(ioasid_alloc(m->ctx, &options, &m->space[i].real, &m->err), &m->err);
}

static void op_destroy(struct model *m)
{
	unsigned int i = below(m, SPACES);

	if (!m->space[i].real || below(m, 16))
		return;
	ioasid_destroy(m->space[i].real);
	m->space[i].real = NULL;
	for (size_t j = 0; j < DEVICES; j++) {
		if (m->device[j].space == (int)i)
			m->device[j].space = -1;
	}
	for (size_t j = 0; j < PASIDS; j++) {
		if (m->pasid[j].space == (int)i)
			m->pasid[j].device = m->pasid[j].space = -1;
	}
}

static void op_map(struct model *m)
{
	struct model_space *space = &m->space[below(m, SPACES)];
	struct model_mapping new = { .iova = random_iova(m), .rights = 1 + below(m, 3) };
	struct model_mapping *slot = NULL;
	int expected = 0;

	new.size = random_size(m, new.iova);
	/* Addresses that often go on where a neighbour ends. */
	new.hva = 0x100000000000 + new.iova % GIB + below(m, 3) * 64 * PAGE;
	for (size_t i = 0; i < MAPPINGS; i++) {
		struct model_mapping *old = &space->mapping[i];

		if (!old->size)
			slot = old;
		else if (range_overlaps(old->iova, old->size, new.iova, new.size))
			expected = -EEXIST;
	}
	if (!space->real || (!expected && !slot))
		return;
	assert_int_equal(ioasid_map_hva(space->real, new.iova, new.size,
					(void *)(uintptr_t) new.hva, new.rights, &m->err),
			 expected);
	if (!expected)
		*slot = new;
}

/* -EINVAL where one straddles, else -ENOENT where none is inside, else 0. */
static int model_unmap(struct model_space *space, uint64_t iova, uint64_t size)
{
	int r = -ENOENT;

	for (size_t i = 0; i < MAPPINGS; i++) {
		const struct model_mapping *old = &space->mapping[i];

		if (!old->size || !range_overlaps(old->iova, old->size, iova, size))
			continue;
		if (!range_inside(old->iova, old->size, iova, size))
			return -EINVAL;
		r = 0;
	}
	for (size_t i = 0; !r && i < MAPPINGS; i++) {
		if (space->mapping[i].size &&
		    range_inside(space->mapping[i].iova, space->mapping[i].size, iova, size))
			space->mapping[i].size = 0;
	}
	return r;
}

static void op_unmap(struct model *m)
{
	struct model_space *space = &m->space[below(m, SPACES)];
	const struct model_mapping *old = &space->mapping[below(m, MAPPINGS)];
	uint64_t iova = random_iova(m), size = random_size(m, iova);

	if (!space->real)
		return;
	if (below(m, 4) && old->size) {
		iova = old->iova;
		size = old->size;
	} else if (!below(m, 16)) {
		iova = bases[below(m, ARRAY_SIZE(bases))];
		size = WINDOW * PAGE;
	}
	assert_int_equal(ioasid_unmap(space->real, iova, size, &m->err),
			 model_unmap(space, iova, size));
}

static void op_attach(struct model *m)
{
	struct model_device *device = &m->device[below(m, DEVICES)];
	unsigned int space = below(m, SPACES);

	if (!device->real || !m->space[space].real)
		return;
	assert_ok(ioasid_attach(device->real, m->space[space].real, &m->err), &m->err);
	device->space = (int)space;
}

static void op_detach(struct model *m)
{
	struct model_device *device = &m->device[below(m, DEVICES)];

	if (!device->real)
		return;
	ioasid_detach(device->real, NULL);
	device->space = -1;
}

static bool any_free(const struct model *m, uint32_t max)
{
	for (uint32_t number = 1; number <= max; number++) {
		if (model_state(m, number) == IOASID_PASID_FREE)
			return true;
	}
	return false;
}

static int expected_attach(const struct model *m, unsigned int device, unsigned int space,
			   uint32_t want)
{
	uint32_t max = (1u << widths[device]) - 1;

	if (!widths[device])
		return -EOPNOTSUPP;
	if (!m->space[space].pasid_capable)
		return -EINVAL;
	if (want > max)
		return -ERANGE;
	if (want)
		return model_state(m, want) == IOASID_PASID_FREE ? 0 : -EBUSY;
	return any_free(m, max) ? 0 : -ENOSPC;
}

static void op_pasid_attach(struct model *m)
{
	unsigned int device = below(m, DEVICES), space = below(m, SPACES);
	uint32_t want = below(m, 2) ? below(m, NUMBERS + 2) : IOASID_PASID_NONE;
	struct model_pasid *pasid = NULL;
	struct ioasid_pasid *real = NULL;
	uint32_t number;
	int expected;

	for (size_t i = 0; i < PASIDS; i++) {
		if (!m->pasid[i].real)
			pasid = &m->pasid[i];
	}
	if (!pasid || !m->device[device].real || !m->space[space].real)
		return;
	expected = expected_attach(m, device, space, want);
	assert_int_equal(ioasid_pasid_attach(m->device[device].real, m->space[space].real, want,
					     &real, &m->err),
			 expected);
	if (expected)
		return;
	number = ioasid_pasid_number(real);
	assert_in_range(number, 1, (1u << widths[device]) - 1);
	if (want)
		assert_int_equal(number, want);
	assert_int_equal(model_state(m, number), IOASID_PASID_FREE);
	*pasid = (struct model_pasid){
		.real = real,
		.number = number,
		.device = (int)device,
		.space = (int)space,
		.attached = true,
	};
}

static void forget_if_free(struct model_pasid *pasid)
{
	if (!pasid->attached && !pasid->holds)
		pasid->real = NULL;
}

static void op_pasid_detach(struct model *m)
{
	struct model_pasid *pasid = &m->pasid[below(m, PASIDS)];

	if (!pasid->real || !pasid->attached)
		return;
	ioasid_pasid_detach(pasid->real);
	pasid->attached = false;
	pasid->device = pasid->space = -1;
	forget_if_free(pasid);
}

static void op_hold(struct model *m)
{
	struct model_pasid *pasid = &m->pasid[below(m, PASIDS)];

	if (!pasid->real)
		return;
	ioasid_pasid_hold(pasid->real);
	pasid->holds++;
}

static void op_release(struct model *m)
{
	struct model_pasid *pasid = &m->pasid[below(m, PASIDS)];
	unsigned int of_guests = 0;

	for (uint32_t guest = 1; guest <= GUESTS; guest++)
		of_guests += m->guest[guest] == pasid;
	if (!pasid->real || pasid->holds == of_guests)
		return;
	ioasid_pasid_release(pasid->real);
	pasid->holds--;
	forget_if_free(pasid);
}

/* To another space, or as it is; -ENOENT where it is parked. */
static void op_replace(struct model *m)
{
	struct model_pasid *pasid = &m->pasid[below(m, PASIDS)];
	unsigned int space = below(m, SPACES);
	int expected = 0;

	if (!pasid->real || !m->space[space].real)
		return;
	if (pasid->space < 0)
		expected = -ENOENT;
	else if (!m->space[space].pasid_capable)
		expected = -EINVAL;
	assert_int_equal(ioasid_pasid_replace(pasid->real, m->space[space].real, &m->err),
			 expected);
	if (!expected)
		pasid->space = (int)space;
}

/* One mapping, or a part of it, into another space with some of its rights. */
static void op_copy(struct model *m)
{
	struct model_space *to = &m->space[below(m, SPACES)], *from = &m->space[below(m, SPACES)];
	const struct model_mapping *old = &from->mapping[below(m, MAPPINGS)];
	struct model_mapping new = { .iova = random_iova(m) }, *slot = NULL;
	struct ioasid_copy copy = { .from = from->real,
				    .iova = new.iova,
				    .rights = 1 + below(m, 3) };
	int expected = 0;

	if (!to->real || !from->real || !old->size)
		return;
	copy.from_iova = old->iova + below(m, (unsigned int)(old->size / PAGE)) * PAGE;
	copy.size = old->size - (copy.from_iova - old->iova);
	if (range_wraps(copy.iova, copy.size))
		return;
	new.size = copy.size;
	new.hva = old->hva + (copy.from_iova - old->iova);
	new.rights = old->rights &copy.rights;
	for (size_t i = 0; i < MAPPINGS; i++) {
		if (!to->mapping[i].size)
			slot = &to->mapping[i];
		else if (range_overlaps(to->mapping[i].iova, to->mapping[i].size, new.iova,
					new.size))
			expected = -EEXIST;
	}
	if (!new.rights)
		expected = -EINVAL;
	if (!expected && !slot)
		return;
	assert_int_equal(ioasid_copy(to->real, &copy, &m->err), expected);
	if (!expected)
		*slot = new;
}

/* An entry is a hold; what the guest PASID stands for is looked up as often as it changes. */
static void op_guest_bind(struct model *m)
{
	struct model_pasid *pasid = &m->pasid[below(m, PASIDS)];
	uint32_t guest = below(m, GUESTS + 1);
	int expected = !guest ? -EINVAL : m->guest[guest] ? -EEXIST : 0;

	if (!pasid->real)
		return;
	assert_int_equal(pasid_table_bind(m->table, guest, pasid->real, &m->err), expected);
	if (expected)
		return;
	m->guest[guest] = pasid;
	pasid->holds++;
}

static void op_guest_unbind(struct model *m)
{
	uint32_t guest = below(m, GUESTS + 1);
	struct model_pasid *pasid = m->guest[guest];

	assert_int_equal(pasid_table_unbind(m->table, guest, &m->err), pasid ? 0 : -ENOENT);
	if (!pasid)
		return;
	m->guest[guest] = NULL;
	pasid->holds--;
	forget_if_free(pasid);
}

static void compare_guests(struct model *m)
{
	unsigned int count = 0;

	epoch_enter(&m->epoch, &m->reader);
	for (uint32_t guest = 1; guest <= GUESTS; guest++) {
		count += m->guest[guest] != NULL;
		assert_int_equal(pasid_table_lookup(m->table, guest),
				 m->guest[guest] ? m->guest[guest]->number : 0);
	}
	epoch_exit(&m->reader);
	assert_int_equal(pasid_table_count(m->table), count);
}

static const struct operation {
	void (*run)(struct model *m);
	unsigned int weight;
} table[] = {
	{ op_bind, 4 },		{ op_unbind, 3 }, { op_alloc, 4 },
	{ op_destroy, 3 },	{ op_map, 30 },	  { op_unmap, 18 },
	{ op_attach, 6 },	{ op_detach, 2 }, { op_pasid_attach, 8 },
	{ op_pasid_detach, 6 }, { op_hold, 3 },	  { op_release, 4 },
	{ op_replace, 4 },	{ op_copy, 4 },	  { op_guest_bind, 4 },
	{ op_guest_unbind, 4 },
};

static void random_operation(struct model *m)
{
	unsigned int total = 0, pick;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		total += table[i].weight;
	pick = below(m, total);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (pick < table[i].weight) {
			table[i].run(m);
			return;
		}
		pick -= table[i].weight;
	}
}

/* The context goes with everything still in it; only what is held stays, until it is let go. */
static void model_close(struct model *m)
{
	ioasid_ctx_close(m->ctx);
	for (uint32_t guest = 1; guest <= GUESTS; guest++) {
		if (!m->guest[guest])
			continue;
		m->guest[guest]->holds--;
		assert_ok(pasid_table_unbind(m->table, guest, &m->err), &m->err);
		m->guest[guest] = NULL;
	}
	for (size_t i = 0; i < PASIDS; i++) {
		struct model_pasid *pasid = &m->pasid[i];

		for (; pasid->real && pasid->holds; pasid->holds--) {
			assert_int_equal(ioasid_pasid_number(pasid->real), pasid->number);
			ioasid_pasid_release(pasid->real);
		}
	}
	ioasid_dma_close(m->dma);
}

static void model_open(struct model *m)
{
	memset(m->device, 0, sizeof(m->device));
	memset(m->space, 0, sizeof(m->space));
	memset(m->pasid, 0, sizeof(m->pasid));
	for (size_t i = 0; i < PASIDS; i++)
		m->pasid[i].device = m->pasid[i].space = -1;
	assert_ok(ioasid_ctx_open(&m->ctx, IOASID_PROVIDER_SOFT, NULL, &m->err), &m->err);
	assert_ok(ioasid_dma_open(m->ctx, &m->dma, &m->err), &m->err);
}

static void run_model(uint64_t seed, unsigned long ops)
{
	struct model *m = calloc(1, sizeof(*m));

	m->seed = seed;
	epoch_init(&m->epoch);
	epoch_join(&m->epoch, &m->reader);
	assert_ok(pasid_table_create(&m->table, &m->epoch, &m->err), &m->err);
	model_open(m);
	for (unsigned long i = 0; i < ops; i++) {
		random_operation(m);
		for (int j = 0; j < 3; j++)
			compare_reach(m);
		compare_states(m);
		compare_guests(m);
		if (!below(m, 5000)) {
			model_close(m);
			model_open(m);
		}
	}
	model_close(m);
	pasid_table_destroy(m->table);
	epoch_leave(&m->epoch, &m->reader);
	epoch_destroy(&m->epoch);
	free(m);
}

static void random_calls_answer_as_the_model_does(void **state)
{
	static const uint64_t seeds[] = { 0x9e3779b97f4a7c15, 0xd1b54a32d192ed03,
					  0x2545f4914f6cdd1d, 0x123456789abcdef1 };

	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		run_model(seeds[i], operations() / ARRAY_SIZE(seeds));
}

/* --- threads: no translation is used after the call that ended it ---------------------------- */

#define SLOTS 64u

/* One per host page. `open` is set before it can be reached and cleared once it cannot. */
struct target {
	bool open; /* atomic */
} __attribute__((aligned(IOASID_PAGE_SIZE)));

struct race {
	struct ioasid_ctx *ctx;
	struct ioasid_device *device;
	struct ioasid_space *shared, *window[2];
	struct target *target; /* SLOTS for shared, then one for each window */
	uint64_t used, stale;  /* atomic */
	unsigned int writers;  /* atomic */
	unsigned long ops;
};

static void use(struct race *race, const struct target *target)
{
	if (!target)
		return;
	/* Now and then long enough for a call that does not wait to return. */
	if (__atomic_fetch_add(&race->used, 1, __ATOMIC_RELAXED) % 16 == 0)
		sched_yield();
	for (int i = 0; i < 4; i++) {
		if (!__atomic_load_n(&target->open, __ATOMIC_SEQ_CST))
			__atomic_fetch_add(&race->stale, 1, __ATOMIC_RELAXED);
	}
}

static void *engine_thread(void *arg)
{
	struct race *race = arg;
	uint64_t seed = (uint64_t)(uintptr_t)&seed | 1;
	struct ioasid_dma *dma = NULL;

	if (ioasid_dma_open(race->ctx, &dma, NULL)) {
		__atomic_fetch_add(&race->stale, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	while (__atomic_load_n(&race->writers, __ATOMIC_ACQUIRE)) {
		ioasid_dma_begin(dma);
		for (int i = 0; i < 4; i++) {
			uint64_t r = next_random(&seed) >> 8, len = 8;
			uint32_t pasid = (uint32_t)(r % 4); /* 0 and 1: shared, 2 and 3: windows */
			uint64_t iova = pasid < 2 ? r / 4 % SLOTS * PAGE : 0;

			use(race,
			    ioasid_translate(dma, race->device, pasid, iova, &len, IOASID_READ));
		}
		ioasid_dma_end(dma);
	}
	ioasid_dma_close(dma);
	return NULL;
}

static void set_open(struct race *race, size_t target, bool open)
{
	__atomic_store_n(&race->target[target].open, open, __ATOMIC_SEQ_CST);
}

static bool go_on(const struct race *race, unsigned long i)
{
	return i < race->ops || __atomic_load_n(&race->used, __ATOMIC_RELAXED) < 1000;
}

/* Maps and unmaps runs of the shared space. */
static void *map_thread(void *arg)
{
	struct race *race = arg;
	uint64_t seed = 0x9e3779b97f4a7c15;
	unsigned int mapped[SLOTS] = { 0 }; /* pages of the run that starts here */

	for (unsigned long i = 0; go_on(race, i); i++) {
		unsigned int start = (unsigned int)(next_random(&seed) >> 20) % (SLOTS / 4) * 4;
		unsigned int pages = 1 + (unsigned int)(seed >> 40) % 4;

		if (!mapped[start]) {
			for (unsigned int j = 0; j < pages; j++)
				set_open(race, start + j, true);
			if (!ioasid_map_hva(race->shared, start * PAGE, pages * PAGE,
					    &race->target[start], IOASID_READ, NULL))
				mapped[start] = pages;
			continue;
		}
		if (ioasid_unmap(race->shared, start * PAGE, mapped[start] * PAGE, NULL))
			__atomic_fetch_add(&race->stale, 1, __ATOMIC_RELAXED);
		for (unsigned int j = 0; j < mapped[start]; j++)
			set_open(race, start + j, false);
		mapped[start] = 0;
	}
	__atomic_fetch_sub(&race->writers, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Attaches and detaches PASIDs 2 and 3, whose windows hold one page each; sometimes held. */
static void *pasid_thread(void *arg)
{
	struct race *race = arg;

	for (unsigned long i = 0; go_on(race, i); i++) {
		unsigned int which = i % 2;
		struct ioasid_pasid *pasid = NULL;

		set_open(race, SLOTS + which, true);
		if (ioasid_pasid_attach(race->device, race->window[which], 2 + which, &pasid,
					NULL)) {
			__atomic_fetch_add(&race->stale, 1, __ATOMIC_RELAXED);
			break;
		}
		if (i % 3 == 0)
			ioasid_pasid_hold(pasid);
		if (i % 5 == 0)
			sched_yield();
		ioasid_pasid_detach(pasid);
		set_open(race, SLOTS + which, false);
		if (i % 3 == 0)
			ioasid_pasid_release(pasid);
	}
	__atomic_fetch_sub(&race->writers, 1, __ATOMIC_RELEASE);
	return NULL;
}

static struct ioasid_space *race_space(struct race *race, const char *name)
{
	const struct ioasid_space_options options = { .name = name, .pasid_capable = true };
	struct ioasid_space *space = NULL;
	struct err err;

	assert_ok(ioasid_alloc(race->ctx, &options, &space, &err), &err);
	return space;
}

static void race_setup(struct race *race)
{
	const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT,
					      .soft = { .pasid_width = 8 } };
	struct ioasid_pasid *pasid;
	struct err err;

	race->target = aligned_alloc(PAGE, (SLOTS + 2) * sizeof(*race->target));
	memset(race->target, 0, (SLOTS + 2) * sizeof(*race->target));
	assert_ok(ioasid_ctx_open(&race->ctx, IOASID_PROVIDER_SOFT, NULL, &err), &err);
	assert_ok(ioasid_bind(race->ctx, &source, "adi0", &race->device, &err), &err);
	race->shared = race_space(race, "shared");
	assert_ok(ioasid_attach(race->device, race->shared, &err), &err);
	assert_ok(ioasid_pasid_attach(race->device, race->shared, 1, &pasid, &err), &err);
	for (unsigned int i = 0; i < 2; i++) {
		race->window[i] = race_space(race, "window");
		assert_ok(ioasid_map_hva(race->window[i], 0, PAGE, &race->target[SLOTS + i],
					 IOASID_READ, &err),
			  &err);
	}
}

static void no_translation_is_used_after_its_end(void **state)
{
	static void *(*const run[])(void *) = { engine_thread, engine_thread, map_thread,
						pasid_thread };
	struct race race = { .writers = 2, .ops = operations() / 20 };
	pthread_t thread[ARRAY_SIZE(run)];

	race_setup(&race);
	for (size_t i = 0; i < ARRAY_SIZE(run); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run[i], &race), 0);
	for (size_t i = 0; i < ARRAY_SIZE(run); i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(race.stale, 0);
	assert_true(race.used >= 1000);
	ioasid_ctx_close(race.ctx);
	free(race.target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_calls_answer_as_the_model_does),
		cmocka_unit_test(no_translation_is_used_after_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
