/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft back end: one thread for each engine, made when the first queue is enabled, so that a
 * function that no driver uses costs nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/adi/dsa-internal.h"

struct engine {
	struct dsa *dsa;
	unsigned int index;
	struct ioasid_dma *dma; /* NULL: this engine and those after it do not run yet */
	pthread_t thread;
};

struct soft {
	pthread_cond_t work; /* with the lock of the dsa */
	bool quit;
	struct engine engine[DSA_MAX_ENGINES];
};

static void *engine_main(void *arg)
{
	struct engine *engine = arg;
	struct dsa *dsa = engine->dsa;
	struct dsa_outcome outcome;
	struct dsa_job *job;
	struct soft *soft;

	pthread_setname_np(pthread_self(), "dsa-engine");
	pthread_mutex_lock(&dsa->lock);
	soft = dsa->backend_state;
	while (!soft->quit) {
		job = dsa_job_take(dsa, engine->index);
		if (!job) {
			pthread_cond_wait(&soft->work, &dsa->lock);
			continue;
		}
		pthread_mutex_unlock(&dsa->lock);
		dsa_execute(dsa, engine->dma, job, &outcome);
		dsa_report_end(dsa, engine->dma, job, &outcome);
		pthread_mutex_lock(&dsa->lock);
		dsa_job_done(dsa, job, &outcome);
	}
	pthread_mutex_unlock(&dsa->lock);
	return NULL;
}

/* Signals are for vCPU threads and the loop: an engine takes none. */
static int start_engine(struct engine *engine, struct err *err)
{
	sigset_t all, before;
	int ret;

	ret = ioasid_dma_open(engine->dsa->ctx, &engine->dma, err);
	if (ret)
		return ret;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&engine->thread, NULL, engine_main, engine);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!ret)
		return 0;
	ioasid_dma_close(engine->dma);
	engine->dma = NULL;
	return err_set(err, ret, "pthread_create: %s", strerror(ret));
}

static struct soft *soft_new(struct dsa *dsa)
{
	struct soft *soft = calloc(1, sizeof(*soft));

	if (!soft)
		return NULL;
	pthread_cond_init(&soft->work, NULL);
	for (unsigned int i = 0; i < dsa->engines; i++)
		soft->engine[i] = (struct engine){ .dsa = dsa, .index = i };
	return soft;
}

/* What was started before a failure stays, idle, and the next call goes on from there. */
static int start_engines(struct dsa *dsa, struct err *err)
{
	struct soft *soft = dsa->backend_state;

	if (!soft)
		soft = soft_new(dsa);
	if (!soft)
		return err_set(err, ENOMEM, "no memory");
	dsa->backend_state = soft;
	for (unsigned int i = 0; i < dsa->engines; i++) {
		int ret = soft->engine[i].dma ? 0 : start_engine(&soft->engine[i], err);

		if (ret)
			return ret;
	}
	return 0;
}

static int soft_start(struct dsa *dsa)
{
	struct err err = { 0 };
	int ret = start_engines(dsa, &err);

	if (ret)
		log_limited(dsa->log, &dsa->limit, LOG_ERROR, "dsa",
			    "%s: its %u engines cannot be started: %s", dsa->id, dsa->engines,
			    err.text);
	return ret;
}

static void soft_kick(struct dsa *dsa)
{
	struct soft *soft = dsa->backend_state;

	if (soft)
		pthread_cond_broadcast(&soft->work);
}

static void soft_stop(struct dsa *dsa)
{
	struct soft *soft = dsa->backend_state;

	if (!soft)
		return;
	pthread_mutex_lock(&dsa->lock);
	soft->quit = true;
	pthread_cond_broadcast(&soft->work);
	pthread_mutex_unlock(&dsa->lock);
	for (unsigned int i = 0; i < dsa->engines && soft->engine[i].dma; i++) {
		pthread_join(soft->engine[i].thread, NULL);
		ioasid_dma_close(soft->engine[i].dma);
	}
	pthread_cond_destroy(&soft->work);
	free(soft);
	dsa->backend_state = NULL;
}

const struct dsa_backend_ops dsa_soft_backend = {
	.name = "soft",
	.gencap = DSA_GENCAP_OVERLAP | DSA_GENCAP_CACHE_MEMORY | DSA_GENCAP_CACHE_CACHE,
	.opcap = dsa_opcap,
	.start = soft_start,
	.kick = soft_kick,
	.stop = soft_stop,
};
