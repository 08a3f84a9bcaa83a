/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtual CPU: registers, the run loop's single step, and the kick that gets it out of
 * KVM_RUN. A vCPU is driven by one thread; vcpu_kick alone may be called from others.
 *
 * vcpu_run handles port I/O, MMIO, I/O APIC EOIs and 64-byte portal stores by itself through the
 * VM's maps, and returns only for what the machine must decide.
 */
#ifndef ADIT_KVM_GLUE_VCPU_H
#define ADIT_KVM_GLUE_VCPU_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

struct vm;
struct vcpu;
struct ioapic;

enum vcpu_event {
	VCPU_KICKED,   /* vcpu_kick was called, or a signal arrived: look at what was asked */
	VCPU_SHUTDOWN, /* triple fault */
	VCPU_RESET,    /* KVM_SYSTEM_EVENT_RESET or SHUTDOWN from the kernel */
	VCPU_FAILED,   /* the VM cannot go on: vcpu_report says why */
};

/* Counters that a vCPU thread keeps for itself; others may read them, torn by one at most. */
struct vcpu_stats {
	uint64_t exits_pio, exits_mmio, exits_eoi, exits_store64, exits_kick, exits_other;
};

/*
 * id: the APIC id, below KVM_MAX_VCPU_ID. ioapic may be NULL. The vCPU is left as KVM made it:
 * the boot processor's state is set by the caller, the others wait for INIT and SIPI in the
 * kernel (KVM_MP_STATE_UNINITIALIZED).
 */
int vcpu_create(struct vcpu **out, struct vm *vm, unsigned int id, struct ioapic *ioapic,
		struct err *err);
/* The thread that runs it must have ended. */
void vcpu_destroy(struct vcpu *vcpu);

/* Call once on the thread that will run it: the kick is a signal to that thread. */
void vcpu_bind_thread(struct vcpu *vcpu);
/* Runs until there is an event. Only on the bound thread. */
enum vcpu_event vcpu_run(struct vcpu *vcpu);
/*
 * Makes the current or the next vcpu_run return VCPU_KICKED soon. Any thread, any time between
 * create and destroy, also before the thread is bound.
 */
void vcpu_kick(struct vcpu *vcpu);

unsigned int vcpu_id(const struct vcpu *vcpu);
struct vm *vcpu_vm(const struct vcpu *vcpu);
int vcpu_fd(const struct vcpu *vcpu);
void vcpu_stats_read(const struct vcpu *vcpu, struct vcpu_stats *stats);

/*
 * A few lines for a person: why KVM_RUN ended, RIP, the instruction bytes there, the registers,
 * and the last exits, newest first. Only while vcpu_run is not running. Returns the length that
 * was needed, as snprintf.
 */
int vcpu_report(struct vcpu *vcpu, char *text, size_t size);

/* Thin covers: 0 or -errno, errno never to be read. */
int vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs);
int vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs);
int vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs);
int vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs);
int vcpu_get_msr(struct vcpu *vcpu, uint32_t index, uint64_t *value);
/* -EINVAL where KVM does not know the register or refuses the value. */
int vcpu_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value);
/* KVM_SET_MP_STATE, e.g. KVM_MP_STATE_RUNNABLE. */
int vcpu_set_mp_state(struct vcpu *vcpu, uint32_t state);

#endif
