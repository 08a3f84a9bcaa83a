/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BAR2: the portals. A 64-byte store is a descriptor. For guests whose CPU has no MOVDIR64B, which
 * hardware does not serve, aligned stores of 4 or 8 bytes are gathered: each 64-byte slot of a
 * portal has its own buffer, and the store that makes it whole submits it. A store over bytes that
 * the slot holds already begins it anew, so that no more than one descriptor's stores meet in one.
 *
 * Dedicated queues take MOVDIR64B, and answer ENQCMD and ENQCMDS with retry; shared ones take
 * these, and drop MOVDIR64B, and so also what was gathered. A shared queue's limited portal takes
 * descriptors up to the threshold, the unlimited one up to the size; beyond it is retry.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), section 3.3 (portals).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/adi/dsa-internal.h"
#include "util/bits.h"

#define SLOT_BYTES  64u
#define SLOTS	    (DSA_WQ_PORTALS / SLOT_BYTES)
#define SLOT_WORDS  (SLOT_BYTES / 4)
#define SLOT_FILLED ((1u << SLOT_WORDS) - 1)

struct dsa_gather {
	uint16_t have[SLOTS]; /* one bit for each 4 bytes */
	uint8_t bytes[SLOTS][SLOT_BYTES];
};

void dsa_gather_clear(struct dsa_wq *wq)
{
	if (wq->gather)
		memset(wq->gather->have, 0, sizeof(wq->gather->have));
}

void dsa_gather_free(struct dsa_wq *wq)
{
	free(wq->gather);
}

void dsa_gather_save(const struct dsa_wq *wq, struct state_out *out)
{
	unsigned int n = 0;

	for (unsigned int i = 0; wq->gather && i < SLOTS; i++)
		n += wq->gather->have[i] != 0;
	state_put(out, n);
	for (unsigned int i = 0; n && i < SLOTS; i++) {
		if (!wq->gather->have[i])
			continue;
		state_put(out, i);
		state_put(out, wq->gather->have[i]);
		state_put_bytes(out, wq->gather->bytes[i], SLOT_BYTES);
	}
}

void dsa_gather_load(struct dsa_wq *wq, struct state_in *in)
{
	uint64_t n = state_take(in, SLOTS);

	if (n && !wq->enabled)
		state_refuse(in, "a descriptor is half written to a queue that is disabled");
	if (n && !wq->gather)
		wq->gather = calloc(1, sizeof(*wq->gather));
	if (n && !wq->gather)
		state_refuse(in, "there is no memory for half-written descriptors");
	for (uint64_t i = 0; i < n && wq->gather && !in->ret; i++) {
		unsigned int slot = (unsigned int)state_take(in, SLOTS - 1);

		wq->gather->have[slot] = (uint16_t)state_take(in, SLOT_FILLED - 1);
		state_take_bytes(in, wq->gather->bytes[slot], SLOT_BYTES);
	}
}

/*
 * With the lock held. 1: the slot was whole and is now in out. 0: it needs more. -ENOMEM. The store
 * does not cross a slot, for it is aligned.
 */
static int gather(struct dsa_wq *wq, uint64_t offset, uint64_t value, unsigned int size, void *out)
{
	unsigned int slot = (unsigned int)(offset / SLOT_BYTES), at = offset % SLOT_BYTES;
	unsigned int words = ((1u << size / 4) - 1) << at / 4, have;

	if (!wq->gather)
		wq->gather = calloc(1, sizeof(*wq->gather));
	if (!wq->gather)
		return -ENOMEM;
	have = wq->gather->have[slot];
	have = have & words ? words : have | words;
	store_le(wq->gather->bytes[slot] + at, value, size);
	wq->gather->have[slot] = (uint16_t)have;
	if (have != SLOT_FILLED)
		return 0;
	memcpy(out, wq->gather->bytes[slot], SLOT_BYTES);
	wq->gather->have[slot] = 0;
	return 1;
}

static void portal_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct dsa *dsa = opaque;
	uint64_t wq = offset / DSA_WQ_PORTALS;
	uint8_t bytes[SLOT_BYTES];
	int ret = -EINVAL;

	if (wq < dsa->wqs && size >= 4 && is_aligned(offset, size)) {
		pthread_mutex_lock(&dsa->lock);
		if (dsa->wq[wq].enabled)
			ret = gather(&dsa->wq[wq], offset % DSA_WQ_PORTALS, value, size, bytes);
		pthread_mutex_unlock(&dsa->lock);
	}
	if (ret < 0)
		dsa_count(&dsa->counters.dropped, 1);
	if (ret > 0)
		(void)dsa_submit(dsa, (unsigned int)wq, DSA_POSTED, bytes);
}

/* Pages 0 and 2 of a queue's four are unlimited, 1 and 3 limited. */
static enum dsa_way way_of(uint64_t offset, enum store64_kind kind)
{
	if (kind == STORE64_MOVDIR64B)
		return DSA_POSTED;
	return offset / DSA_PORTAL_PAGE & 1 ? DSA_LIMITED : DSA_UNLIMITED;
}

static void forget_slot(struct dsa *dsa, unsigned int wq, uint64_t offset)
{
	pthread_mutex_lock(&dsa->lock);
	if (dsa->wq[wq].gather)
		dsa->wq[wq].gather->have[offset % DSA_WQ_PORTALS / SLOT_BYTES] = 0;
	pthread_mutex_unlock(&dsa->lock);
}

/* What a command was refused for is told elsewhere: to try again would not help. */
static int portal_store64(void *opaque, uint64_t offset, enum store64_kind kind, const void *data)
{
	struct dsa *dsa = opaque;
	uint64_t wq = offset / DSA_WQ_PORTALS;
	int ret;

	if (wq >= dsa->wqs) {
		dsa_count(kind == STORE64_MOVDIR64B ? &dsa->counters.dropped
						    : &dsa->counters.retried,
			  1);
		return -EAGAIN;
	}
	if (kind == STORE64_MOVDIR64B)
		forget_slot(dsa, (unsigned int)wq, offset);
	ret = dsa_submit(dsa, (unsigned int)wq, way_of(offset, kind), data);
	if (kind != STORE64_MOVDIR64B && ret == -EACCES)
		return 0;
	return ret ? -EAGAIN : 0;
}

const struct io_ops dsa_portal_ops = { .write = portal_write, .store64 = portal_store64 };
