/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Epoch-based reclamation: readers walk shared tables without a lock, a writer that has unlinked
 * something waits until nobody can still see it, or leaves the freeing for later.
 *
 * Guarantees
 *  - epoch_enter/epoch_exit cost one full barrier and one store; they never wait.
 *  - When epoch_wait returns, every section that was open when it was called has ended. It must
 *    not be called from inside a section (it would wait for itself).
 *  - epoch_retire never waits and may be called inside a section; the object is freed by a later
 *    epoch_retire, epoch_wait or epoch_destroy, after all sections that could see it have ended.
 *
 * A reader slot belongs to one thread at a time; sections do not nest.
 */
#ifndef ADIT_UTIL_EPOCH_H
#define ADIT_UTIL_EPOCH_H

#include <pthread.h>
#include <stdint.h>

/* Written at each entry and exit: keep it on a cache line of the thread's own data. */
struct epoch_reader {
	uint64_t seen; /* 0: outside; else the epoch that was current at entry */
	struct epoch_reader *next;
};

struct epoch_retired {
	struct epoch_retired *next;
	uint64_t epoch;
	void (*free)(struct epoch_retired *);
};

struct epoch {
	uint64_t current; /* starts at 1, grows only */
	pthread_mutex_t lock;
	struct epoch_reader *readers; /* under lock */
	struct epoch_retired *retired;
};

void epoch_init(struct epoch *epoch);
/* No reader may be left. Frees what is retired. */
void epoch_destroy(struct epoch *epoch);

/* The slot's memory stays the caller's and must stay valid until epoch_leave. */
void epoch_join(struct epoch *epoch, struct epoch_reader *reader);
void epoch_leave(struct epoch *epoch, struct epoch_reader *reader);

static inline void epoch_enter(struct epoch *epoch, struct epoch_reader *reader)
{
	/* The exchange orders the announcement before every load of the section. */
	__atomic_exchange_n(&reader->seen, __atomic_load_n(&epoch->current, __ATOMIC_SEQ_CST),
			    __ATOMIC_SEQ_CST);
}

static inline void epoch_exit(struct epoch_reader *reader)
{
	__atomic_store_n(&reader->seen, 0, __ATOMIC_RELEASE);
}

void epoch_wait(struct epoch *epoch);
void epoch_retire(struct epoch *epoch, struct epoch_retired *retired,
		  void (*free_fn)(struct epoch_retired *));

#endif
