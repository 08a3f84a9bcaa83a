/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's state, shared by the run loop (vcpu.c) and the failure report (vcpu-report.c). */
#ifndef ADIT_KVM_GLUE_VCPU_INTERNAL_H
#define ADIT_KVM_GLUE_VCPU_INTERNAL_H

#include <pthread.h>

#include "kvm-glue/internal.h"
#include "kvm-glue/vcpu.h"

#define KEPT_EXITS 8u  /* power of two */
#define INSN_BYTES 15u /* Intel SDM volume 2, 2.3.11: the longest instruction */

struct kept_exit {
	uint32_t reason;
	uint32_t len; /* bytes of a PIO or MMIO access */
	uint64_t where;
	bool write;
};

struct vcpu {
	struct vm *vm;
	struct ioapic *ioapic;
	struct kvm_run *run;
	int fd;
	unsigned int id, maxphyaddr;
	struct epoch_reader reader;

	bool kicked; /* atomic */
	bool bound;  /* atomic; `thread` is valid */
	pthread_t thread;

	struct vcpu_stats stats; /* written by the vCPU's thread, read relaxed by others */
	uint32_t exits;
	struct kept_exit kept[KEPT_EXITS];
	int run_errno; /* of the KVM_RUN that failed, 0 where an exit reason ended it */
};

/*
 * Inside an epoch section: carries out a 64-byte portal store that KVM could not emulate. False:
 * it was none, or the registers cannot be reached.
 */
bool vcpu_store64(struct vcpu *vcpu, const uint8_t *insn, unsigned int len);

#endif
