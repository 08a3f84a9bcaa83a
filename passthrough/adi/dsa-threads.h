/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of a back end: one for each engine, made when the first queue is enabled, so that a
 * function that no driver uses costs nothing. What such a thread does is the back end's.
 */
#ifndef ADIT_PASSTHROUGH_ADI_DSA_THREADS_H
#define ADIT_PASSTHROUGH_ADI_DSA_THREADS_H

#include "passthrough/adi/dsa-internal.h"

/* What every engine begins with; its thread is given it. */
struct dsa_thread {
	struct dsa *dsa;
	unsigned int index;
	struct ioasid_dma *dma; /* NULL: this one and those after it do not run yet */
	pthread_t id;
};

/* What every back end's state begins with. */
struct dsa_threads {
	pthread_cond_t work; /* with the lock of the dsa; its clock is CLOCK_MONOTONIC */
	bool quit;	     /* with the lock: threads end */
	struct dsa_thread *thread[DSA_MAX_ENGINES];
};

/* A back end's state of `size` bytes, zero, with its engines `first` bytes into it; or NULL. */
void *dsa_threads_new(struct dsa *dsa, size_t size, size_t first, size_t engine_size);
/*
 * With the lock held; the state is dsa->backend_state. A failure is logged; what was started before
 * it stays, idle, and the next call goes on from there.
 */
int dsa_threads_start(struct dsa *dsa, void *(*run)(void *thread));
/* With the lock held. */
void dsa_threads_kick(struct dsa *dsa);
/* Without the lock. Threads have ended and the state is freed when it returns. */
void dsa_threads_stop(struct dsa *dsa);

#endif
