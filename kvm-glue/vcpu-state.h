/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM keeps of a vCPU and of its VM beside memory, saved and loaded: registers, extended
 * state, local APIC with its timer, pending events, MSRs, and the guest's clocks.
 *
 * Clocks. The TSC and kvmclock go on where they stood when they were saved; the time in between has
 * not passed for the guest. The TSC's frequency is that of the saved guest: where the processor
 * has another one and KVM cannot scale, loading is refused. A KVM that cannot offset the TSC (PVM)
 * shows the host's, before and after: it jumps ahead then, and loading is refused where it would
 * jump back.
 */
#ifndef ADIT_KVM_GLUE_VCPU_STATE_H
#define ADIT_KVM_GLUE_VCPU_STATE_H

#include "util/err.h"
#include "util/state.h"

struct vcpu;
struct vm;

/*
 * While it rests between two vcpu_run, any thread; the section "vcpu N". -EOPNOTSUPP: it has state
 * that is not carried.
 */
int vcpu_save(struct vcpu *vcpu, struct state_out *out, struct err *err);
/*
 * Before it first runs; CPUID has been set. Only registers that vcpu_save here would save are
 * written. -EPROTO where KVM refuses a part of it.
 */
int vcpu_load(struct vcpu *vcpu, struct state_in *in);

/* The section "clock"; loaded after the vCPUs. */
int vm_clock_save(struct vm *vm, struct state_out *out, struct err *err);
int vm_clock_load(struct vm *vm, struct state_in *in);

#endif
