/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft back end: one thread for each engine (dsa-threads.h).
 *
 * An engine holds at most one descriptor of each of its queues and goes round them: a queue works
 * off what its priority earns it in a round, in bytes, and then the next one's turn comes, also in
 * the middle of a descriptor or a batch. So a queue waits for the others' rounds and never for a
 * 256 MiB move of theirs, and a descriptor that waits for a page holds up its own queue alone.
 *
 * Interrupts that are asked for while there is more to do are merged, one per vector and
 * INTERRUPT_GAP_NS at the most; before an engine goes to sleep it fires them all.
 */
#include <stddef.h>
#include <time.h>

#include "passthrough/adi/dsa-threads.h"
#include "passthrough/adi/dsa-work.h"
#include "util/bits.h"
#include "util/clock.h"
#include "util/sandbox.h"

#define ROUND_BYTES	 INT64_C(65536) /* of a queue of priority 1 */
#define DESCRIPTOR_BYTES 1024		/* as which any step counts, beside its bytes */
#define MAX_BATCH_SHIFT	 10u		/* 1024 descriptors */
#define INTERRUPT_GAP_NS 20000u
#define RETRY_NS	 2000000u   /* between two looks for a page that is waited for, */
#define RETRY_MAX_NS	 128000000u /* and longer and longer ones, for each leaves a fault record */

/* What an engine does for one queue. */
struct slot {
	struct dsa_job *job; /* NULL: nothing */
	bool waiting;	     /* laid aside */
	bool stuck;	     /* for its last step could do nothing */
	uint64_t ended;	     /* the engines', when that step began */
	int64_t credit;	     /* bytes that are left of its share */
	/* While its descriptor waits for a page that nobody can be asked for: when to look again,
	 * and how much later than before. */
	uint64_t look_at, pause_ns;
	struct dsa_work work;
	struct dsa_outcome outcome;
	struct dsa_batch batch;
};

struct engine {
	struct dsa_thread thread; /* first */
	uint32_t vectors;	  /* to be fired */
	uint64_t fired_at;
	struct slot slot[DSA_MAX_WQS];
};

struct soft {
	struct dsa_threads threads; /* first */
	unsigned int waiting;	    /* slots, of all engines */
	uint64_t ended;		    /* atomic: descriptors */
	struct engine engine[DSA_MAX_ENGINES];
};

/* --- interrupts ------------------------------------------------------------------------------ */

static void fire(struct engine *engine, bool now)
{
	uint64_t time;

	if (!engine->vectors)
		return;
	time = clock_ns();
	if (!now && time - engine->fired_at < INTERRUPT_GAP_NS)
		return;
	engine->fired_at = time;
	dsa_fire(engine->thread.dsa, engine->vectors);
	engine->vectors = 0;
}

/* --- slots ----------------------------------------------------------------------------------- */

/* With the lock held: it ends in its next step, whatever it waits for. */
static bool must_end(const struct dsa *dsa, const struct dsa_job *job)
{
	return job->abandon || job->revoked || job->forgotten ||
	       !pci_function_bus_master(dsa->function);
}

/* With the lock held. Each look leaves a fault record, so they are not made at every turn. */
static bool may_look(struct engine *engine, struct slot *slot)
{
	const struct soft *soft = engine->thread.dsa->backend_state;
	struct dsa_work *blocked;

	if (!slot->stuck || must_end(engine->thread.dsa, slot->job))
		return true;
	blocked = dsa_work_blocked(&slot->work);
	if (!blocked) /* a drain */
		return slot->ended != __atomic_load_n(&soft->ended, __ATOMIC_RELAXED);
	return blocked->blocked.request ? dsa_work_answered(blocked) : clock_ns() >= slot->look_at;
}

/* With the lock held: there is a descriptor to go on with. */
static bool fill_slot(struct engine *engine, unsigned int wq)
{
	struct slot *slot = &engine->slot[wq];
	struct soft *soft = engine->thread.dsa->backend_state;

	if (slot->waiting) {
		if (!may_look(engine, slot) || !dsa_job_resume(engine->thread.dsa, slot->job))
			return false;
		slot->waiting = false;
		soft->waiting--;
	}
	if (slot->job)
		return true;
	if (!(engine->thread.dsa->engine_wqs[engine->thread.index] & 1u << wq))
		return false;
	slot->job = dsa_job_take_from(engine->thread.dsa, wq);
	if (!slot->job)
		return false;
	slot->work.dsa = NULL;
	slot->pause_ns = RETRY_NS;
	return true;
}

/* With the lock held. Which slots have work: a bit each. */
static uint32_t fill_slots(struct engine *engine)
{
	uint32_t ready = 0;

	for (unsigned int wq = 0; wq < engine->thread.dsa->wqs; wq++) {
		if (fill_slot(engine, wq))
			ready |= 1u << wq;
	}
	return ready;
}

/* With the lock held. */
static void lay_aside(struct engine *engine, struct slot *slot, bool stuck)
{
	struct soft *soft = engine->thread.dsa->backend_state;

	slot->stuck = stuck;
	slot->waiting = true;
	soft->waiting++;
	dsa_job_wait(engine->thread.dsa, slot->job);
}

/* In the middle of a descriptor; true where the engines are to rest. */
static bool rests(struct engine *engine, struct slot *slot)
{
	bool rest;

	pthread_mutex_lock(&engine->thread.dsa->lock);
	rest = engine->thread.dsa->resting && !engine->thread.dsa->finishing;
	if (rest)
		lay_aside(engine, slot, false);
	pthread_mutex_unlock(&engine->thread.dsa->lock);
	return rest;
}

static void wait_for_more(struct engine *engine, struct slot *slot)
{
	slot->look_at = clock_ns() + slot->pause_ns;
	slot->pause_ns = MIN(2 * slot->pause_ns, (uint64_t)RETRY_MAX_NS);
	pthread_mutex_lock(&engine->thread.dsa->lock);
	lay_aside(engine, slot, true);
	pthread_mutex_unlock(&engine->thread.dsa->lock);
}

/* Reports the slot's end and takes the queue's next; false where there is none. */
static bool end_slot(struct engine *engine, unsigned int wq)
{
	struct slot *slot = &engine->slot[wq];
	struct dsa *dsa = engine->thread.dsa;
	struct soft *soft;
	bool more;

	dsa_report(dsa, engine->thread.dma, slot->job, &slot->outcome, &slot->outcome.vectors);
	engine->vectors |= slot->outcome.vectors;
	pthread_mutex_lock(&dsa->lock);
	soft = dsa->backend_state;
	/* Neither a command that ends with this job nor a pause must overtake its interrupt. */
	if (slot->job->waited || dsa->resting)
		fire(engine, true);
	dsa_job_done(dsa, slot->job, &slot->outcome);
	slot->job = NULL;
	__atomic_fetch_add(&soft->ended, 1, __ATOMIC_RELAXED);
	if (soft->waiting)
		pthread_cond_broadcast(&soft->threads.work);
	more = !soft->threads.quit && fill_slot(engine, wq);
	pthread_mutex_unlock(&dsa->lock);
	return more;
}

static int64_t share(struct dsa *dsa, unsigned int wq)
{
	uint32_t mode = __atomic_load_n(&dsa->wq[wq].config[DSA_WQCFG_MODE], __ATOMIC_RELAXED);

	return (int64_t)MAX(1u, mode >> DSA_WQCFG_PRIORITY_SHIFT & 0xf) * ROUND_BYTES;
}

/* One step; false where the slot has nothing more to do in this round. */
static bool step_slot(struct engine *engine, unsigned int wq)
{
	struct slot *slot = &engine->slot[wq];
	const struct soft *soft = engine->thread.dsa->backend_state;
	enum dsa_step step;
	uint64_t before;

	slot->ended = __atomic_load_n(&soft->ended, __ATOMIC_RELAXED);
	if (!slot->work.dsa)
		dsa_work_begin(&slot->work, engine->thread.dsa, engine->thread.dma, slot->job,
			       &slot->outcome, &slot->batch);
	before = slot->work.done;
	step = dsa_work_step(&slot->work);
	slot->credit -= (int64_t)(slot->work.done - before) + DESCRIPTOR_BYTES;
	switch (step) {
	case DSA_STEP_MORE:
		slot->pause_ns = RETRY_NS;
		return !rests(engine, slot);
	case DSA_STEP_WAIT:
		wait_for_more(engine, slot);
		return false;
	default:
		return end_slot(engine, wq);
	}
}

/* What an idle queue did not use of its share is lost; what it used too much it pays for. */
static void run_round(struct engine *engine, uint32_t ready)
{
	for (; ready; ready &= ready - 1) {
		unsigned int wq = (unsigned int)__builtin_ctz(ready);
		struct slot *slot = &engine->slot[wq];

		slot->credit = MIN(slot->credit, 0) + share(engine->thread.dsa, wq);
		while (slot->credit > 0 && step_slot(engine, wq))
			fire(engine, false);
	}
	fire(engine, false);
}

/* --- threads --------------------------------------------------------------------------------- */

/*
 * With the lock held. When the first of the pages that its descriptors wait for is to be looked
 * for; 0: never. An answer wakes it, but that the bus was taken from the function does not.
 */
static uint64_t next_look(struct engine *engine)
{
	uint64_t first = 0;

	for (unsigned int wq = 0; wq < engine->thread.dsa->wqs; wq++) {
		struct slot *slot = &engine->slot[wq];
		struct dsa_work *blocked =
			slot->waiting && slot->stuck ? dsa_work_blocked(&slot->work) : NULL;
		uint64_t at = slot->look_at;

		if (blocked && blocked->blocked.request)
			at = clock_ns() + RETRY_MAX_NS;
		if (blocked && (!first || at < first))
			first = at;
	}
	return first;
}

/* With the lock held. A page may come without anybody telling an engine: it looks again. */
static void sleep_until_kicked(struct engine *engine, struct soft *soft)
{
	uint64_t look = next_look(engine);
	const struct timespec until = { .tv_sec = (time_t)(look / 1000000000u),
					.tv_nsec = (long)(look % 1000000000u) };

	fire(engine, true);
	if (!look || (engine->thread.dsa->resting && !engine->thread.dsa->finishing))
		pthread_cond_wait(&soft->threads.work, &engine->thread.dsa->lock);
	else
		pthread_cond_timedwait(&soft->threads.work, &engine->thread.dsa->lock, &until);
}

/* From any thread: a page request has its answer. */
static void wake_up(void *arg)
{
	struct engine *engine = arg;

	pthread_mutex_lock(&engine->thread.dsa->lock);
	dsa_threads_kick(engine->thread.dsa);
	pthread_mutex_unlock(&engine->thread.dsa->lock);
}

static void *engine_main(void *arg)
{
	struct engine *engine = arg;
	struct dsa *dsa = engine->thread.dsa;
	struct soft *soft;

	pthread_setname_np(pthread_self(), "dsa-engine");
	sandbox_enter(dsa->sandbox, SANDBOX_ENGINE);
	ioasid_dma_on_answer(engine->thread.dma, wake_up, engine);
	pthread_mutex_lock(&dsa->lock);
	soft = dsa->backend_state;
	while (!soft->threads.quit) {
		uint32_t ready = fill_slots(engine);

		if (!ready) {
			sleep_until_kicked(engine, soft);
			continue;
		}
		pthread_mutex_unlock(&dsa->lock);
		run_round(engine, ready);
		pthread_mutex_lock(&dsa->lock);
	}
	fire(engine, true);
	pthread_mutex_unlock(&dsa->lock);
	ioasid_dma_on_answer(engine->thread.dma, NULL, NULL);
	return NULL;
}

static int soft_start(struct dsa *dsa)
{
	if (!dsa->backend_state)
		dsa->backend_state =
			dsa_threads_new(dsa, sizeof(struct soft), offsetof(struct soft, engine),
					sizeof(struct engine));
	return dsa_threads_start(dsa, engine_main);
}

const struct dsa_backend_ops dsa_soft_backend = {
	.name = "soft",
	.gencap = DSA_GENCAP_BLOCK_ON_FAULT | DSA_GENCAP_OVERLAP | DSA_GENCAP_CACHE_MEMORY |
		  DSA_GENCAP_CACHE_CACHE,
	.max_batch_shift = MAX_BATCH_SHIFT,
	.opcap = dsa_opcap,
	.start = soft_start,
	.kick = dsa_threads_kick,
	.stop = dsa_threads_stop,
};
