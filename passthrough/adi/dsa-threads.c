/* SPDX-License-Identifier: Apache-2.0 */
/* Starting, waking and ending the engine threads of every back end: they differ in their work. */
#include "passthrough/adi/dsa-threads.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "util/sigbus.h"

void *dsa_threads_new(struct dsa *dsa, size_t size, size_t first, size_t engine_size)
{
	struct dsa_threads *threads = calloc(1, size);
	pthread_condattr_t attr;

	if (!threads)
		return NULL;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&threads->work, &attr);
	pthread_condattr_destroy(&attr);
	for (unsigned int i = 0; i < dsa->engines; i++) {
		threads->thread[i] = (void *)((char *)threads + first + i * engine_size);
		threads->thread[i]->dsa = dsa;
		threads->thread[i]->index = i;
	}
	return threads;
}

/* Signals are for vCPU threads and the loop: an engine takes none but its own SIGBUS. */
static int start_one(struct dsa_thread *thread, void *(*run)(void *thread), struct err *err)
{
	sigset_t all, before;
	int ret = ioasid_dma_open(thread->dsa->ctx, &thread->dma, err);

	if (ret)
		return ret;
	sigfillset(&all);
	sigdelset(&all, SIGSYS); /* util/sandbox.h */
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&thread->id, NULL, run, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!ret)
		return 0;
	ioasid_dma_close(thread->dma);
	thread->dma = NULL;
	return err_set(err, ret, "pthread_create: %s", strerror(ret));
}

int dsa_threads_start(struct dsa *dsa, void *(*run)(void *thread))
{
	struct dsa_threads *threads = dsa->backend_state;
	struct err err = { .text = "no memory" };
	int ret = threads ? 0 : -ENOMEM;

	sigbus_install();
	for (unsigned int i = 0; threads && i < dsa->engines && !ret; i++) {
		if (!threads->thread[i]->dma)
			ret = start_one(threads->thread[i], run, &err);
	}
	if (ret)
		log_limited(dsa->log, &dsa->limit, LOG_ERROR, "dsa",
			    "%s: its %u engines cannot be started: %s", dsa->id, dsa->engines,
			    err.text);
	return ret;
}

void dsa_threads_kick(struct dsa *dsa)
{
	struct dsa_threads *threads = dsa->backend_state;

	if (threads)
		pthread_cond_broadcast(&threads->work);
}

void dsa_threads_stop(struct dsa *dsa)
{
	struct dsa_threads *threads = dsa->backend_state;

	if (!threads)
		return;
	pthread_mutex_lock(&dsa->lock);
	threads->quit = true;
	pthread_cond_broadcast(&threads->work);
	pthread_mutex_unlock(&dsa->lock);
	for (unsigned int i = 0; i < dsa->engines && threads->thread[i]->dma; i++) {
		pthread_join(threads->thread[i]->id, NULL);
		ioasid_dma_close(threads->thread[i]->dma);
	}
	pthread_cond_destroy(&threads->work);
	free(threads);
	dsa->backend_state = NULL;
}
