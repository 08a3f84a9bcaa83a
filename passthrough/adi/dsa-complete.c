/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the guest learns of a job's end: the completion record, translated anew when it is written
 * and with its status last; SWERR for what cannot be told in a record; and the interrupts.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), sections 5.8 (errors), 8.2 (completion
 * record), 9.2 (SWERR, MSIXPERM).
 */
#include <string.h>

#include "passthrough/adi/dsa-internal.h"
#include "util/bits.h"
#include "util/sigbus.h"

void dsa_error_words(const struct dsa_job *job, uint8_t code, uint32_t invalid_flags,
		     uint64_t words[2])
{
	uint64_t status = code & ~DSA_STATUS_WRITE & 0xff;

	words[0] = DSA_SWERR_DESC_VALID | DSA_SWERR_WQ_VALID |
		   (code & DSA_STATUS_WRITE ? DSA_SWERR_WRITE : 0) |
		   status << DSA_SWERR_CODE_SHIFT | (uint64_t)job->wq << DSA_SWERR_WQ_SHIFT |
		   (uint64_t)dsa_opcode(&job->descriptor) << DSA_SWERR_OP_SHIFT |
		   (uint64_t)job->guest << DSA_SWERR_PASID_SHIFT;
	words[1] = (uint64_t)invalid_flags << DSA_SWERR_FLAGS_SHIFT;
	if (job->batch) {
		words[0] |= DSA_SWERR_BATCH;
		words[1] |= job->batch_index;
	}
}

void dsa_swerr(struct dsa *dsa, const struct dsa_job *job, uint8_t code, uint64_t address,
	       uint32_t invalid_flags)
{
	uint64_t *swerr = dsa->config.swerr;

	if (dsa_event_log(dsa, job, code, address, invalid_flags))
		return;
	if (swerr[0] & DSA_SWERR_VALID) {
		swerr[0] |= DSA_SWERR_OVERFLOW;
	} else {
		dsa_error_words(job, code, invalid_flags, swerr);
		swerr[0] |= DSA_SWERR_VALID;
		swerr[2] = address;
	}
	if (dsa->config.genctrl & DSA_GENCTRL_SOFTERR)
		dsa_interrupt(dsa, DSA_INTCAUSE_ERROR);
	else
		dsa->config.intcause |= DSA_INTCAUSE_ERROR;
}

/* A vector may be told apart by PASID: MSIXPERM must name the queue's, or say that it ignores it.
 */
bool dsa_vector_allowed(struct dsa *dsa, const struct dsa_job *job)
{
	unsigned int vector = dsa_vector_of(dsa, job->descriptor.interrupt);
	uint32_t permission;

	if (vector == DSA_NO_VECTOR)
		return false;
	pthread_mutex_lock(&dsa->lock);
	permission = dsa->config.msixperm[vector];
	pthread_mutex_unlock(&dsa->lock);
	if (permission & DSA_MSIXPERM_IGNORE)
		return true;
	if (!job->guest_pasid)
		return !(permission & DSA_MSIXPERM_PASID);
	return permission & DSA_MSIXPERM_PASID && permission >> DSA_MSIXPERM_SHIFT == job->guest;
}

/* Aligned to 32, so it lies in one page. Status goes last, with everything else visible before. */
void dsa_record_store(void *at, const struct dsa_outcome *outcome)
{
	const struct dsa_record record __attribute__((aligned(8))) = {
		.status = outcome->status,
		.result = outcome->result,
		.bytes = outcome->bytes,
		.fault = outcome->fault,
		.words = { outcome->words[0], outcome->words[1], outcome->words[2],
			   outcome->words[3] },
	};
	const uint64_t *from = (const uint64_t *)&record;
	uint64_t *to = at;

	for (unsigned int i = 1; i < sizeof(record) / 8; i++)
		__atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
	__atomic_store_n(&to[0], from[0], __ATOMIC_RELEASE);
}

/* Inside a section. */
static bool put_record(struct dsa *dsa, struct ioasid_dma *dma, const struct dsa_job *job,
		       const struct dsa_outcome *outcome)
{
	const struct dsa_job *live = job->batch ? job->batch : job;
	uint64_t len = sizeof(struct dsa_record);
	void *at;

	if (__atomic_load_n(&live->forgotten, __ATOMIC_RELAXED))
		return false;
	at = ioasid_translate(dma, dsa->device, job->host, job->descriptor.record, &len,
			      IOASID_WRITE);
	if (!at || len != sizeof(struct dsa_record))
		return false;
	dsa_record_store(at, outcome);
	return true;
}

static bool write_record(struct dsa *dsa, struct ioasid_dma *dma, const struct dsa_job *job,
			 const struct dsa_outcome *outcome)
{
	volatile bool written = false;
	struct sigbus_guard guard;

	ioasid_dma_begin(dma);
	if (!sigsetjmp(guard.env, 0)) {
		sigbus_arm(&guard);
		written = put_record(dsa, dma, job, outcome);
		sigbus_disarm(&guard);
	}
	if (ioasid_dma_end(dma))
		return false;
	return written;
}

static void report_error(struct dsa *dsa, const struct dsa_job *job,
			 const struct dsa_outcome *outcome)
{
	uint32_t flags = outcome->status == DSA_STATUS_FLAGS ? outcome->invalid_flags : 0;

	pthread_mutex_lock(&dsa->lock);
	dsa_swerr(dsa, job, outcome->status, outcome->fault, flags);
	pthread_mutex_unlock(&dsa->lock);
}

/* True where the guest may be interrupted: what it waits for is there. */
static bool report(struct dsa *dsa, struct ioasid_dma *dma, const struct dsa_job *job,
		   struct dsa_outcome *outcome)
{
	uint32_t flags = job->descriptor.flags;
	bool failed = outcome->status != DSA_STATUS_OK && outcome->status != DSA_STATUS_FALSE;

	if (outcome->blocked || outcome->status == DSA_STATUS_RECORD_ALIGN) {
		if (outcome->status == DSA_STATUS_RECORD_ALIGN)
			outcome->fault = job->descriptor.record;
		report_error(dsa, job, outcome);
		return false;
	}
	if (!(flags & DSA_FLAG_RECORD_VALID)) {
		if (failed)
			report_error(dsa, job, outcome);
		return true;
	}
	if (outcome->status == DSA_STATUS_OK && !(flags & DSA_FLAG_RECORD))
		return true;
	if (write_record(dsa, dma, job, outcome))
		return true;
	outcome->status = DSA_STATUS_RECORD_FAULT | DSA_STATUS_WRITE;
	outcome->fault = job->descriptor.record;
	report_error(dsa, job, outcome);
	return false;
}

void dsa_report(struct dsa *dsa, struct ioasid_dma *dma, const struct dsa_job *job,
		struct dsa_outcome *outcome, uint32_t *vectors)
{
	const struct dsa_job *live = job->batch ? job->batch : job;
	unsigned int vector;

	/* The bus may have gone since the last look, and then not even a record may be written. */
	if (outcome->status && !outcome->blocked && !pci_function_bus_master(dsa->function)) {
		outcome->status = DSA_STATUS_HARDWARE;
		outcome->blocked = true;
	}
	if (__atomic_load_n(&live->abandon, __ATOMIC_RELAXED))
		outcome->status = 0;
	if (!outcome->status)
		return;
	dsa_note_fault(dsa, job, outcome);
	if (!report(dsa, dma, job, outcome) || !(job->descriptor.flags & DSA_FLAG_INTERRUPT))
		return;
	/* A handle may have been released since it was last looked at. */
	vector = dsa_vector_of(dsa, job->descriptor.interrupt);
	if (vector != DSA_NO_VECTOR && dsa_vector_allowed(dsa, job))
		*vectors |= 1u << vector;
}

void dsa_fire(struct dsa *dsa, uint32_t vectors)
{
	for (; vectors; vectors &= vectors - 1)
		pci_function_msix_fire(dsa->function, (unsigned int)__builtin_ctz(vectors));
}

void dsa_report_end(struct dsa *dsa, struct ioasid_dma *dma, const struct dsa_job *job,
		    struct dsa_outcome *outcome)
{
	dsa_report(dsa, dma, job, outcome, &outcome->vectors);
	dsa_fire(dsa, outcome->vectors);
}
