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

/*
 * Registers come by calls, or, once a vCPU has submitted, with the exit itself: KVM_SYNC_REGS
 * leaves them in the run structure and takes them from there, which is cheaper than the calls but
 * not free for exits that need none. So the next exit of another kind switches it off again.
 */
struct registers {
	bool synced;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
};

static int read_registers(struct vcpu *vcpu, struct registers *registers)
{
	const struct kvm_sync_regs *sync = &vcpu->run->s.regs;
	int ret;

	registers->synced = vcpu->run->kvm_valid_regs == VCPU_SYNCED;
	if (registers->synced) {
		registers->regs = sync->regs;
		registers->sregs = sync->sregs;
		return 0;
	}
	ret = vcpu_get_regs(vcpu, &registers->regs);
	if (!ret)
		ret = vcpu_get_sregs(vcpu, &registers->sregs);
	if (!ret && vcpu->can_sync) {
		vcpu->run->kvm_valid_regs = VCPU_SYNCED;
		vcpu->synced = true;
	}
	return ret;
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

/* The instruction is done. */
static int write_registers(struct vcpu *vcpu, const struct registers *registers)
{
	struct kvm_sync_regs *sync = &vcpu->run->s.regs;
	int ret;

	if (!registers->synced) {
		ret = vcpu_set_regs(vcpu, &registers->regs);
		return ret || registers->sregs.ss.dpl ? ret : drop_shadow(vcpu);
	}
	sync->regs = registers->regs;
	vcpu->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	if (sync->events.interrupt.shadow) {
		sync->events.interrupt.shadow = 0;
		sync->events.flags |= KVM_VCPUEVENT_VALID_SHADOW;
		vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_EVENTS;
	}
	return 0;
}

void vcpu_settle(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (run->kvm_dirty_regs & KVM_SYNC_X86_REGS)
		(void)vcpu_set_regs(vcpu, &run->s.regs.regs);
	if (run->kvm_dirty_regs & KVM_SYNC_X86_EVENTS)
		(void)kvm_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &run->s.regs.events);
	run->kvm_dirty_regs = 0;
}

bool vcpu_store64(struct vcpu *vcpu, const uint8_t *insn, unsigned int len)
{
	struct registers registers;
	struct direct_store_cpu cpu = { .sregs = &registers.sregs, .maxphyaddr = vcpu->maxphyaddr };
	struct guest_fault fault;

	if (read_registers(vcpu, &registers))
		return false;
	if (registers.sregs.cr4 & CR4_PKE_BIT && read_pkru(vcpu, &cpu.pkru))
		return false;
	switch (direct_store(vcpu->vm, &cpu, insn, len, &registers.regs, &fault)) {
	case DIRECT_STORE_DONE:
		return !write_registers(vcpu, &registers);
	case DIRECT_STORE_INJECTED:
		return !inject(vcpu, &registers.sregs, &fault);
	case DIRECT_STORE_NOT_OURS:
		break;
	}
	return false;
}
