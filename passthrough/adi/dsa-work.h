/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor at work in the software engine, between the engine that drives it in steps and the
 * operations that know what a step is. Only files of the engine include this.
 *
 * A step handles a bounded number of bytes inside one DMA section and under a SIGBUS guard. Between
 * steps a descriptor notices that it was aborted, that its PASID goes away or that the bus was
 * taken from the function; an engine may turn to another queue's in between. What an operation
 * keeps from step to step lies in `state`; it counts `done` up only behind what it has finished, so
 * that a step which met a fault can simply be made again.
 */
#ifndef ADIT_PASSTHROUGH_ADI_DSA_WORK_H
#define ADIT_PASSTHROUGH_ADI_DSA_WORK_H

#include "passthrough/adi/dsa-internal.h"
#include "passthrough/adi/dsa-memory.h"

#define DSA_OPERANDS 4u	   /* the last is the completion record */
#define DSA_BOUNCE   4096u /* bytes that are copied to the engine before they are judged */
#define DSA_LIST     64u   /* descriptors of a batch that are read at a time */

struct dsa_batch;
struct dsa_work;

enum dsa_step {
	DSA_STEP_DONE, /* the outcome says how */
	DSA_STEP_MORE,
	DSA_STEP_WAIT,	 /* for a page, or for older descriptors: made again later */
	DSA_STEP_REPORT, /* within a batch: one of its descriptors must be reported outside the
			    section */
};

struct dsa_operand {
	uint64_t address, size;
	unsigned int rights;
	/* What reach() gave last, to tell which address a SIGBUS was about. */
	uint64_t near;
	const char *host;
	uint64_t host_len;
};

struct dsa_operation {
	/* Names the operands, and makes the checks of its own: DSA_STATUS_OK or another. */
	uint8_t (*begin)(struct dsa_work *work);
	/* At most about `budget` bytes. */
	enum dsa_step (*step)(struct dsa_work *work, uint64_t budget);
	/* However it ended: what the record says beyond the status. May be NULL. */
	void (*finish)(struct dsa_work *work);
	uint32_t flags;		/* allowed */
	uint8_t fields;		/* enum dsa_fields: which it uses */
	uint8_t specific_bytes; /* of the last 24, from the first on; the rest is reserved */
	bool own_sections;	/* its step opens them itself */
};

enum dsa_fields {
	DSA_USES_SOURCE = 1,
	DSA_USES_DESTINATION = 2,
	DSA_USES_SIZE = 4, /* and it is a number of bytes within the queue's limit */
	DSA_USES_COUNT = 8,
	DSA_USES_BOTH = DSA_USES_SOURCE | DSA_USES_DESTINATION | DSA_USES_SIZE,
};

struct dsa_work {
	struct dsa *dsa;
	struct ioasid_dma *dma;
	const struct dsa_job *job;  /* whose descriptor it is */
	const struct dsa_job *live; /* whose marks count: the job, or the batch that it is of */
	struct dsa_outcome *outcome;
	const struct dsa_operation *operation; /* NULL: it ended before it began */
	struct dsa_batch *batch;	       /* room for one, the engine's */
	uint64_t done;			       /* bytes */
	bool faulted;
	uint8_t operands; /* a bit for each that is set */
	struct {
		uint8_t status; /* 0: it does not wait for a page */
		bool refused;	/* it will not come */
		uint64_t address;
		/* That it sent; 0: there is nobody to ask, and it looks again by itself. */
		uint64_t request;
	} blocked;
	union {
		struct {
			bool down, stream;
		} move;
		enum dsa_flush_way flush;
		struct {
			uint32_t size;
		} delta;
		struct {
			uint32_t value;
			bool seeded;
		} crc;
		struct {
			uint32_t block, source_step, destination_step;
			uint32_t written; /* bytes of the destination */
			struct dsa_dif_tags source, destination;
		} dif;
	} state;
	struct dsa_operand operand[DSA_OPERANDS]; /* last: beginning a work leaves it as it is */
};

struct dsa_batch {
	uint32_t next;	       /* the index of the next descriptor */
	uint32_t loaded, used; /* descriptors in list, and those begun */
	bool active;	       /* one has begun and not ended */
	bool failed;	       /* one of those that ended did not end well */
	struct dsa_job member;
	struct dsa_work work;
	struct dsa_outcome outcome;
	struct dsa_descriptor list[DSA_LIST];
};

/* dsa-ops.c */
/* The checks that come before; the work may have ended already. job and batch must stay in place.
 */
void dsa_work_begin(struct dsa_work *work, struct dsa *dsa, struct ioasid_dma *dma,
		    const struct dsa_job *job, struct dsa_outcome *outcome,
		    struct dsa_batch *batch);
/* In no section. Never DSA_STEP_REPORT. */
enum dsa_step dsa_work_step(struct dsa_work *work);
/* Inside a section: as far as a fault or the end. */
enum dsa_step dsa_work_advance(struct dsa_work *work, uint64_t budget);
/* fn inside a section and under the guard. */
enum dsa_step dsa_work_guarded(struct dsa_work *work,
			       enum dsa_step (*fn)(struct dsa_work *work, uint64_t budget),
			       uint64_t budget);

/* The work that waits for a page: this one or, of a batch, its descriptor at hand; or NULL. */
struct dsa_work *dsa_work_blocked(struct dsa_work *work);
/* True where the request of a blocked work has its answer, which the next step acts on. */
bool dsa_work_answered(struct dsa_work *blocked);
/* Nobody waits any more for a page that was asked for. */
void dsa_work_forget_request(struct dsa_work *work);

static inline bool dsa_flagged(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

static inline enum dsa_step dsa_work_ends(struct dsa_work *work, uint8_t status)
{
	work->outcome->status = status;
	return DSA_STEP_DONE;
}

void dsa_operand_set(struct dsa_work *work, unsigned int i, uint64_t address, uint64_t size,
		     unsigned int rights);
/*
 * Inside a section: where byte `offset` of an operand is, with *len: how many bytes from there on
 * are contiguous, at most the *len asked for. NULL: a fault, which the outcome tells.
 */
char *dsa_reach(struct dsa_work *work, unsigned int i, uint64_t offset, uint64_t *len);
/* The same at one offset of the first n operands, as far as all are contiguous. 0: a fault. */
uint64_t dsa_reach_all(struct dsa_work *work, unsigned int n, uint64_t offset, uint64_t len,
		       char *at[]);
/* Between private memory and an operand, over any pages. False: a fault. */
bool dsa_read(struct dsa_work *work, unsigned int i, uint64_t offset, void *to, uint64_t len);
bool dsa_write(struct dsa_work *work, unsigned int i, uint64_t offset, const void *from,
	       uint64_t len);
/* Operands a and b share a byte. */
bool dsa_overlap(const struct dsa_work *work, unsigned int a, unsigned int b);

/* What most operations do about a result that is, or is not, the expected one. */
enum dsa_step dsa_work_results(struct dsa_work *work, uint8_t result, bool expected);

/* One row an operation, each in the file of its family. */
extern const struct dsa_operation dsa_op_memmove, dsa_op_fill, dsa_op_compare,
	dsa_op_compare_pattern, dsa_op_delta_create, dsa_op_delta_apply, dsa_op_dualcast,
	dsa_op_crc, dsa_op_copy_crc, dsa_op_dif_check, dsa_op_dif_insert, dsa_op_dif_strip,
	dsa_op_dif_update, dsa_op_flush, dsa_op_batch, dsa_op_drain;

#define DSA_FLAGS_ALL                                                                    \
	(DSA_FLAG_FENCE | DSA_FLAG_RECORD_VALID | DSA_FLAG_RECORD | DSA_FLAG_INTERRUPT | \
	 DSA_FLAG_RECORD_STEER | DSA_FLAG_TRAFFIC_CLASS | DSA_FLAG_STRICT_ORDER)
#define DSA_FLAGS_READ	(DSA_FLAGS_ALL | DSA_FLAG_BLOCK_ON_FAULT)
#define DSA_FLAGS_WRITE (DSA_FLAGS_READ | DSA_FLAG_CACHE | DSA_FLAG_STEER)

#endif
