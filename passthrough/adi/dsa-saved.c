/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual DSA, saved and loaded. What engines have begun is ended before: a descriptor is in a
 * state only as the 64 bytes that the guest submitted. Loading is what a guest could have done:
 * registers are written as by it to a device after reset, then the device and its queues are
 * enabled with all that is checked then, then descriptors are judged by the two keys as they are
 * here. A binding or a descriptor whose PASID this ADI's configuration does not grant is refused.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "ioasid-client/pasid-table.h"
#include "passthrough/adi/dsa-internal.h"
#include "util/bits.h"

#define VERSION	       1
#define FINISH_SECONDS 10
#define BINDINGS_MAX   4096u

/* --- ending what has begun ------------------------------------------------------------------- */

/* With the lock held, while engines rest. */
static int finish(struct dsa *dsa, struct err *err)
{
	struct timespec until;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += FINISH_SECONDS;
	dsa->finishing = true;
	dsa->backend->kick(dsa);
	while ((dsa->running || dsa->waiting) && !ret)
		ret = pthread_cond_timedwait(&dsa->rest, &dsa->lock, &until);
	dsa->finishing = false;
	/* What goes on with a step now lays its work aside again. */
	while (dsa->running)
		pthread_cond_wait(&dsa->rest, &dsa->lock);
	if (!dsa->waiting)
		return 0;
	return err_set(err, EBUSY,
		       "%s: a descriptor waits for a page, and has not ended in %u seconds: ask "
		       "again later",
		       dsa->id, FINISH_SECONDS);
}

/* --- saving: with both locks held ------------------------------------------------------------ */

static void save_bindings(struct dsa *dsa, struct state_out *out)
{
	struct dsa_binding *binding = SLIST_FIRST(&dsa->bindings);
	uint64_t n = 0;

	for (; binding; binding = SLIST_NEXT(binding, link))
		n++;
	state_put(out, n);
	for (binding = SLIST_FIRST(&dsa->bindings); binding; binding = SLIST_NEXT(binding, link)) {
		struct ioasid_pasid_info info;

		ioasid_pasid_info(binding->host, &info);
		state_put(out, binding->guest);
		state_put(out, binding->wq);
		state_put_bytes(out, info.space, strlen(info.space));
	}
}

static void save_registers(struct dsa *dsa, struct state_out *out)
{
	const struct dsa_config *c = &dsa->config;

	state_put(out, c->gencfg);
	state_put(out, c->genctrl);
	state_put_bytes(out, c->evlcfg, sizeof(c->evlcfg));
	state_put_bytes(out, c->msixperm, sizeof(c->msixperm));
	state_put_bytes(out, c->group, sizeof(c->group));
	for (unsigned int i = 0; i < dsa->wqs; i++)
		state_put_bytes(out, dsa->wq[i].config, sizeof(dsa->wq[i].config));
	state_put(out, dsa->state);
	state_put(out, dsa->reset_type);
	for (unsigned int i = 0; i < dsa->wqs; i++)
		state_put(out, dsa->wq[i].enabled);
	state_put(out, c->intcause);
	state_put_bytes(out, c->swerr, sizeof(c->swerr));
	state_put(out, __atomic_load_n(&c->handles, __ATOMIC_RELAXED));
	state_put(out, c->evl.head);
	state_put(out, c->evl.tail);
	state_put(out, c->evl.pending);
}

static void save_command(const struct dsa *dsa, struct state_out *out)
{
	state_put(out, dsa->config.cmdsts);
	state_put(out, dsa->command.int_req);
	state_put(out, dsa->command.code);
	state_put(out, dsa->command.wqs);
	state_put(out, dsa->command.result);
}

static void save_jobs(struct dsa *dsa, struct state_out *out)
{
	for (unsigned int i = 0; i < dsa->wqs; i++) {
		const struct dsa_job *job = TAILQ_FIRST(&dsa->wq[i].jobs);

		state_put(out, dsa->wq[i].queued);
		for (; job; job = TAILQ_NEXT(job, link)) {
			state_put_bytes(out, &job->descriptor, sizeof(job->descriptor));
			state_put(out, job->guest);
			state_put(out, job->guest_pasid);
			state_put(out, job->max_xfer_shift);
			state_put(out, job->max_batch_shift);
			state_put(out, job->block_on_fault);
			state_put(out, job->waited);
		}
	}
}

int dsa_save(struct dsa *dsa, struct state_out *out, struct err *err)
{
	int ret;

	pthread_mutex_lock(&dsa->keys);
	pthread_mutex_lock(&dsa->lock);
	ret = finish(dsa, err);
	if (!ret) {
		state_begin(out, VERSION, "adi %s", dsa->id);
		state_put(out, dsa->wqs);
		state_put(out, dsa->engines);
		save_bindings(dsa, out);
		save_registers(dsa, out);
		save_command(dsa, out);
		save_jobs(dsa, out);
		for (unsigned int i = 0; i < dsa->wqs; i++)
			dsa_gather_save(&dsa->wq[i], out);
		state_end(out);
	}
	pthread_mutex_unlock(&dsa->lock);
	pthread_mutex_unlock(&dsa->keys);
	return ret;
}

/* --- loading: with both locks held ----------------------------------------------------------- */

static struct dsa_binding *granted(struct dsa *dsa, uint32_t guest, unsigned int wq)
{
	struct dsa_binding *binding = SLIST_FIRST(&dsa->bindings);

	while (binding && (binding->guest != guest || binding->wq != wq))
		binding = SLIST_NEXT(binding, link);
	return binding;
}

/* What the guest was granted must be granted here, to the space of that name. */
static void check_bindings(struct dsa *dsa, struct state_in *in)
{
	uint64_t n = state_take(in, BINDINGS_MAX);

	for (uint64_t i = 0; i < n && !in->ret; i++) {
		uint32_t guest = (uint32_t)state_take(in, DSA_DESCRIPTOR_PASID);
		unsigned int wq = (unsigned int)state_take(in, DSA_ALL_WQS);
		struct ioasid_pasid_info info = { 0 };
		struct dsa_binding *binding;
		size_t len;
		const uint8_t *space = state_take_some(in, sizeof(info.space) - 1, &len);

		if (!space)
			return;
		binding = granted(dsa, guest, wq);
		if (binding)
			ioasid_pasid_info(binding->host, &info);
		if (!binding || strlen(info.space) != len || memcmp(info.space, space, len) != 0)
			state_refuse(in,
				     "guest PASID %u%s was bound to space \"%.*s\", and this "
				     "configuration's /pasids do not bind it so",
				     guest, guest ? "" : " (descriptors without one)", (int)len,
				     (const char *)space);
	}
}

static void load_jobs_of(struct dsa *dsa, unsigned int wq, struct state_in *in)
{
	uint64_t n = state_take(in, DSA_MAX_WQ_SIZE);

	/* Also of a queue that was disabled meanwhile. */
	if (n && !in->ret && dsa->backend->start(dsa))
		state_refuse(in, "the engines cannot be started");
	for (uint64_t i = 0; i < n && !in->ret; i++) {
		struct dsa_job job = { .wq = (uint8_t)wq };

		state_take_bytes(in, &job.descriptor, sizeof(job.descriptor));
		job.guest = (uint32_t)state_take(in, DSA_DESCRIPTOR_PASID);
		job.guest_pasid = state_take_bool(in);
		job.max_xfer_shift = (uint8_t)state_take(in, DSA_MAX_XFER_SHIFT);
		job.max_batch_shift = (uint8_t)state_take(in, dsa->max_batch_shift);
		job.block_on_fault = state_take_bool(in);
		job.waited = state_take_bool(in);
		if (in->ret)
			return;
		if (dsa->state == DSA_STATE_DISABLED)
			state_refuse(in, "a descriptor on a device that is disabled");
		else if (!dsa_job_restore(dsa, &job))
			state_refuse(in,
				     "work queue %u holds a descriptor of guest PASID %u%s, which "
				     "this configuration does not grant",
				     wq, job.guest, job.guest_pasid ? "" : " (none)");
	}
}

static void load_command(struct dsa *dsa, struct state_in *in)
{
	uint32_t cmdsts = (uint32_t)state_take(in, UINT32_MAX);

	dsa->command.int_req = state_take_bool(in);
	dsa->command.code = (uint8_t)state_take(in, DSA_CMD_CODE_MASK);
	dsa->command.wqs = (uint32_t)state_take(in, BIT_U64(dsa->wqs) - 1);
	dsa->command.result = (uint32_t)state_take(in, UINT16_MAX);
	dsa->config.cmdsts = cmdsts;
}

/* Whether what waits for descriptors has some to wait for. */
static void check_command(struct dsa *dsa, struct state_in *in)
{
	bool active = dsa->config.cmdsts & DSA_CMDSTS_ACTIVE;

	if (active != (dsa->command.waited > 0) ||
	    (dsa->state == DSA_STATE_DRAINING &&
	     !(active && dsa->command.code == DSA_DISABLE_DEVICE)))
		state_refuse(in, "command status %#x does not go with its descriptors",
			     dsa->config.cmdsts);
}

static void load(struct dsa *dsa, struct state_in *in)
{
	if (state_take(in, UINT32_MAX) != dsa->wqs || state_take(in, UINT32_MAX) != dsa->engines) {
		state_refuse(in, "it has not %u work queues and %u engines as here", dsa->wqs,
			     dsa->engines);
		return;
	}
	check_bindings(dsa, in);
	if (!in->ret)
		dsa_registers_load(dsa, in);
	load_command(dsa, in);
	for (unsigned int i = 0; i < dsa->wqs && !in->ret; i++)
		load_jobs_of(dsa, i, in);
	if (!in->ret)
		check_command(dsa, in);
	for (unsigned int i = 0; i < dsa->wqs && !in->ret; i++)
		dsa_gather_load(&dsa->wq[i], in);
}

int dsa_load(struct dsa *dsa, struct state_in *in)
{
	int ret;

	state_enter(in, VERSION, "adi %s", dsa->id);
	pthread_mutex_lock(&dsa->keys);
	pthread_mutex_lock(&dsa->lock);
	if (!in->ret)
		load(dsa, in);
	ret = state_leave(in);
	if (!ret)
		dsa->backend->kick(dsa);
	pthread_mutex_unlock(&dsa->lock);
	pthread_mutex_unlock(&dsa->keys);
	return ret;
}
