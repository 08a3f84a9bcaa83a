/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's state, shared by the run loop (vcpu.c) and the failure report (vcpu-report.c). */
#ifndef ADIT_KVM_GLUE_VCPU_INTERNAL_H
#define ADIT_KVM_GLUE_VCPU_INTERNAL_H

#include <pthread.h>

#include "kvm-glue/internal.h"
#include "kvm-glue/vcpu.h"

#define KEPT_EXITS  8u /* power of two */
#define VCPU_SYNCED (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)
#define INSN_BYTES  15u /* Intel SDM volume 2, 2.3.11: the longest instruction */

struct kept_exit {
	uint64_t where;
	uint32_t reason;
	uint16_t len; /* bytes of a PIO or MMIO access */
	bool write;
};

struct vcpu {
	/* The first cache lines are what every exit touches. */
	_Alignas(64) struct kvm_run *run;
	struct vm *vm;
	struct epoch_reader reader;
	int fd;
	bool kicked;   /* atomic */
	bool bound;    /* atomic; `thread` is valid */
	bool can_sync; /* KVM_CAP_SYNC_REGS with all that a portal store needs */
	bool synced;   /* kvm_valid_regs is not 0 */
	uint32_t exits;
	_Alignas(64) struct iomap_cache pio_cache;
	_Alignas(64) struct iomap_cache mmio_cache;
	struct vcpu_stats stats; /* written by the vCPU's thread, read relaxed by others */
	struct kept_exit kept[KEPT_EXITS];

	struct ioapic *ioapic;
	unsigned int id, maxphyaddr;
	pthread_t thread;
	int run_errno; /* of the KVM_RUN that failed, 0 where an exit reason ended it */
	struct {
		uint32_t exits;
		uint64_t rip;
	} resumed; /* where a failure to deliver an event was none, and what `exits` was then */
};

/*
 * Inside an epoch section: carries out a 64-byte portal store that KVM could not emulate. False:
 * it was none, or the registers cannot be reached.
 */
bool vcpu_store64(struct vcpu *vcpu, const uint8_t *insn, unsigned int len);
/* Registers that a store left for the next KVM_RUN are put in place: others will look at them. */
void vcpu_settle(struct vcpu *vcpu);
/* Exits of other kinds need no registers. */
static inline void vcpu_unsync(struct vcpu *vcpu)
{
	if (!vcpu->synced)
		return;
	vcpu->run->kvm_valid_regs = 0;
	vcpu->synced = false;
}

#endif
