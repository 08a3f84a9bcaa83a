/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying out a descriptor: the checks before it, and the operations. Every access to memory goes
 * through reach(), in a section that ends after at most DSA_SECTION_BYTES; between sections a job
 * notices that it was aborted, that its PASID goes away, or that the bus was taken from the
 * function. Guest memory is written by others all the while: nothing read from it is believed.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), chapters 5 and 8.
 */
#include <string.h>

#include "passthrough/adi/dsa-internal.h"
#include "util/bits.h"

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

/* A descriptor at work. */
struct work {
	struct dsa *dsa;
	struct ioasid_dma *dma;
	const struct dsa_job *job;
	struct dsa_outcome *outcome;
	uint64_t source, destination;
	uint32_t size, done;
};

static bool flagged(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

static void fault(struct work *work, uint64_t address, unsigned int rights)
{
	work->outcome->status = DSA_STATUS_PAGE_FAULT;
	if (rights & IOASID_WRITE)
		work->outcome->status |= DSA_STATUS_WRITE;
	work->outcome->fault = address;
}

/* Inside a section. NULL: not reachable, and the outcome says so. */
static char *reach(struct work *work, uint64_t address, uint64_t *len, unsigned int rights)
{
	const struct dsa_job *job = work->job;
	char *at = NULL;

	if (!flagged(&job->revoked) && !flagged(&job->forgotten))
		at = ioasid_translate(work->dma, work->dsa->device, job->host, address, len,
				      rights);
	if (at && *len)
		return at;
	fault(work, address, rights);
	return NULL;
}

/*
 * Races with vCPUs are the guest's own. TSan cannot be told that of a library call, so under it the
 * copy is one that it does not see.
 */
static void copy(char *to, const char *from, size_t n)
{
#ifdef UNDER_TSAN
	if (to <= from || to >= from + n) {
		__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		return;
	}
	to += n - 1;
	from += n - 1;
	__asm__ volatile("std; rep movsb; cld" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
#else
	memmove(to, from, n);
#endif
}

/* The next up to `want` bytes, as many as are contiguous at both ends. 0: a fault. */
static uint64_t move_up(struct work *work, uint64_t want)
{
	uint64_t from_len = want, to_len;
	char *from = reach(work, work->source + work->done, &from_len, IOASID_READ), *to;

	if (!from)
		return 0;
	to_len = from_len;
	to = reach(work, work->destination + work->done, &to_len, IOASID_WRITE);
	if (!to)
		return 0;
	copy(to, from, to_len);
	return to_len;
}

/* The same from the end. Pages are the least that is contiguous, so n never crosses one. */
static uint64_t move_down_page(struct work *work, uint64_t want)
{
	uint64_t from_end = work->source + (work->size - work->done);
	uint64_t to_end = work->destination + (work->size - work->done);
	uint64_t n = MIN(want, ((from_end - 1) & (IOASID_PAGE_SIZE - 1)) + 1);
	uint64_t len;
	char *from, *to;

	n = MIN(n, ((to_end - 1) & (IOASID_PAGE_SIZE - 1)) + 1);
	len = n;
	from = reach(work, from_end - n, &len, IOASID_READ);
	if (!from)
		return 0;
	to = reach(work, to_end - n, &len, IOASID_WRITE);
	if (!to)
		return 0;
	copy(to, from, n);
	return n;
}

/* Ends a section early where the bytes are not contiguous; that only costs another section. */
static uint64_t section(struct work *work, bool down)
{
	uint64_t left = MIN(work->size - work->done, DSA_SECTION_BYTES), moved = 0;

	ioasid_dma_begin(work->dma);
	while (left) {
		uint64_t n = down ? move_down_page(work, left) : move_up(work, left);

		if (!n)
			break;
		work->done += (uint32_t)n;
		moved += n;
		left -= n;
	}
	ioasid_dma_end(work->dma);
	return left ? 0 : moved;
}

/* Before each section: true where the job goes no further. */
static bool must_stop(struct work *work)
{
	if (flagged(&work->job->abandon)) {
		work->outcome->status = 0;
		return true;
	}
	if (pci_function_bus_master(work->dsa->function))
		return false;
	work->outcome->status = DSA_STATUS_HARDWARE;
	work->outcome->blocked = true;
	return true;
}

static void do_noop(struct work *work)
{
	work->outcome->status = DSA_STATUS_OK;
}

/*
 * Where the destination lies above a source that it overlaps, the move goes from the end to the
 * start, and the record of a fault says so in its result field. What goes on past 2^64 faults
 * before anything is moved.
 */
static void do_memmove(struct work *work)
{
	bool down =
		work->destination > work->source && work->destination - work->source < work->size;

	work->outcome->result = down;
	work->outcome->status = DSA_STATUS_OK;
	if (range_wraps(work->source, work->size)) {
		fault(work, work->source, IOASID_READ);
		return;
	}
	if (range_wraps(work->destination, work->size)) {
		fault(work, work->destination, IOASID_WRITE);
		return;
	}
	while (work->done < work->size && !must_stop(work)) {
		if (!section(work, down))
			break;
	}
	work->outcome->bytes = work->done;
	work->outcome->moved = work->done;
}

/* --- what is checked before ------------------------------------------------------------------- */

#define FLAGS_ALL                                                                        \
	(DSA_FLAG_FENCE | DSA_FLAG_RECORD_VALID | DSA_FLAG_RECORD | DSA_FLAG_INTERRUPT | \
	 DSA_FLAG_TRAFFIC_CLASS | DSA_FLAG_STRICT_ORDER)

static const struct operation {
	void (*run)(struct work *work);
	uint32_t flags;	  /* allowed; fence means nothing outside a batch */
	bool has_buffers; /* source, destination and size */
} operations[] = {
	[DSA_OP_NOOP] = { do_noop, FLAGS_ALL, false },
	[DSA_OP_MEMMOVE] = { do_memmove, FLAGS_ALL | DSA_FLAG_CACHE, true },
};

uint64_t dsa_opcap(unsigned int word)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(operations); i++) {
		if (operations[i].run && i / 64 == word)
			bits |= BIT_U64(i % 64);
	}
	return bits;
}

static bool any_set(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint8_t seen = 0;

	while (n--)
		seen |= *p++;
	return seen;
}

static uint32_t bad_flags(const struct operation *op, uint32_t flags)
{
	uint32_t bad = flags & ~op->flags;

	/* A record cannot be asked for without saying where to. */
	if (flags & DSA_FLAG_RECORD && !(flags & DSA_FLAG_RECORD_VALID))
		bad |= DSA_FLAG_RECORD;
	return bad;
}

static uint8_t check(const struct work *work, const struct operation *op)
{
	const struct dsa_descriptor *d = &work->job->descriptor;

	work->outcome->invalid_flags = bad_flags(op, d->flags & DSA_FLAGS_MASK);
	if (work->outcome->invalid_flags)
		return DSA_STATUS_FLAGS;
	if (any_set(d->reserved_word, sizeof(d->reserved_word)) ||
	    any_set(d->reserved, sizeof(d->reserved)) ||
	    (!op->has_buffers && (d->source || d->destination || d->size)))
		return DSA_STATUS_RESERVED;
	if (d->flags & DSA_FLAG_INTERRUPT && !dsa_vector_allowed(work->dsa, work->job))
		return DSA_STATUS_INTERRUPT;
	if (op->has_buffers && (!d->size || d->size > BIT_U64(work->job->max_xfer_shift)))
		return DSA_STATUS_SIZE;
	return DSA_STATUS_OK;
}

void dsa_execute(struct dsa *dsa, struct ioasid_dma *dma, const struct dsa_job *job,
		 struct dsa_outcome *outcome)
{
	const struct dsa_descriptor *d = &job->descriptor;
	uint32_t opcode = dsa_opcode(d);
	struct work work = { .dsa = dsa,
			     .dma = dma,
			     .job = job,
			     .outcome = outcome,
			     .source = d->source,
			     .destination = d->destination,
			     .size = d->size };

	*outcome = (struct dsa_outcome){ 0 };
	if (must_stop(&work))
		return;
	if (d->flags & DSA_FLAG_RECORD_VALID && !is_aligned(d->record, DSA_RECORD_ALIGN)) {
		outcome->status = DSA_STATUS_RECORD_ALIGN;
		return;
	}
	if (opcode >= ARRAY_SIZE(operations) || !operations[opcode].run) {
		outcome->status = DSA_STATUS_OPCODE;
		return;
	}
	outcome->status = check(&work, &operations[opcode]);
	if (outcome->status == DSA_STATUS_OK)
		operations[opcode].run(&work);
}
