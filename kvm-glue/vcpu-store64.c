/* SPDX-License-Identifier: Apache-2.0 */
/* Between a vCPU's exit and direct-store.h: fetches the registers and puts back what came of it. */
#include <cpuid.h>
#include <string.h>

#include "kvm-glue/direct-store.h"
#include "kvm-glue/vcpu-internal.h"
#include "util/bits.h"

#define CR4_PKE_BIT	   (1ULL << 22)
#define XSTATE_PKRU	   9u	/* Intel SDM volume 1, 13.1 */
#define XSTATE_BV_OFFSET   512u /* XSAVE header */
#define XSAVE_LEGACY_BYTES sizeof(struct kvm_xsave)

/* PKRU lies in the XSAVE area where CPUID.(0Dh, 9) says; absent or initial state is 0. */
static int read_pkru(struct vcpu *vcpu, uint32_t *pkru)
{
	struct kvm_xsave xsave;
	unsigned int size, offset, c, d;
	int ret = kvm_ioctl(vcpu->fd, KVM_GET_XSAVE, &xsave);

	*pkru = 0;
	if (ret)
		return ret;
	if (!__get_cpuid_count(0xd, XSTATE_PKRU, &size, &offset, &c, &d) ||
	    offset + sizeof(*pkru) > XSAVE_LEGACY_BYTES)
		return -ENOTSUP;
	if (load_le((uint8_t *)&xsave + XSTATE_BV_OFFSET, 8) & BIT_U64(XSTATE_PKRU))
		memcpy(pkru, (uint8_t *)&xsave + offset, sizeof(*pkru));
	return 0;
}

static int inject(struct vcpu *vcpu, struct kvm_sregs *sregs, const struct guest_fault *fault)
{
	struct kvm_vcpu_events events;
	int ret = kvm_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);

	if (ret)
		return ret;
	events.exception.injected = 1;
	events.exception.nr = fault->vector;
	events.exception.has_error_code = fault->has_error_code;
	events.exception.error_code = fault->error_code;
	if (fault->vector == VECTOR_PF) {
		sregs->cr2 = fault->cr2;
		ret = vcpu_set_sregs(vcpu, sregs);
		if (ret)
			return ret;
	}
	return kvm_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
}

/* STI and MOV SS (CPL 0) shadow the next instruction only, which is the one just done. */
static int drop_shadow(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events;
	int ret = kvm_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);

	if (ret || !events.interrupt.shadow)
		return ret;
	events.interrupt.shadow = 0;
	events.flags |= KVM_VCPUEVENT_VALID_SHADOW;
	return kvm_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
}

bool vcpu_store64(struct vcpu *vcpu, const uint8_t *insn, unsigned int len)
{
	struct kvm_sregs sregs;
	struct direct_store_cpu cpu = { .sregs = &sregs, .maxphyaddr = vcpu->maxphyaddr };
	struct guest_fault fault;
	struct kvm_regs regs;

	if (vcpu_get_regs(vcpu, &regs) || vcpu_get_sregs(vcpu, &sregs))
		return false;
	if (sregs.cr4 & CR4_PKE_BIT && read_pkru(vcpu, &cpu.pkru))
		return false;
	switch (direct_store(vcpu->vm, &cpu, insn, len, &regs, &fault)) {
	case DIRECT_STORE_DONE:
		return !vcpu_set_regs(vcpu, &regs) && (sregs.ss.dpl || !drop_shadow(vcpu));
	case DIRECT_STORE_INJECTED:
		return !inject(vcpu, &sregs, &fault);
	case DIRECT_STORE_NOT_OURS:
		break;
	}
	return false;
}
