/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPUID that guests see: what KVM supports on this host, with adit's policy on top. Offered
 * beyond KVM's table: the TSC-deadline timer (KVM reports it by a capability of its own) and ARAT.
 * Never offered: ENQCMD (the guest has no IA32_PASID), VMX and SVM, and what would change the
 * meaning of a portal's linear address (LAM, LASS, APX).
 *
 * Source: Intel SDM volume 2, CPUID; Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
#ifndef ADIT_KVM_GLUE_CPUID_H
#define ADIT_KVM_GLUE_CPUID_H

#include <linux/kvm.h>
#include <stdint.h>

#include "util/err.h"
#include "util/state.h"

struct cpuid;
struct vcpu;
struct vm;

/* Reads KVM's table and applies the policy, once for a VM with `vcpus` processors. */
int cpuid_create(struct cpuid **out, struct vm *vm, unsigned int vcpus, struct err *err);
void cpuid_destroy(struct cpuid *cpuid);

/* Guest-physical address bits (leaf 0x80000008); 36 where the leaf is absent. */
unsigned int cpuid_phys_bits(const struct cpuid *cpuid);

/* KVM_SET_CPUID2 with the vCPU's own APIC id filled in. Before its special registers are set. */
int cpuid_apply(const struct cpuid *cpuid, struct vcpu *vcpu, struct err *err);

/*
 * The section "cpuid": what the guest sees of its processors. A guest that was saved goes on where
 * they are the same: -EPROTO with the first leaf that differs.
 */
void cpuid_save(const struct cpuid *cpuid, struct state_out *out);
int cpuid_check(const struct cpuid *cpuid, struct state_in *in);

/* The entry for a leaf, for tests and reports; NULL where there is none. */
const struct kvm_cpuid_entry2 *cpuid_entry(const struct cpuid *cpuid, uint32_t leaf,
					   uint32_t subleaf);

#endif
