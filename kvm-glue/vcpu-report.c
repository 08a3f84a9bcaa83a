/* SPDX-License-Identifier: Apache-2.0 */
/* The lines that a user sees when a vCPU cannot go on. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kvm-glue/memory.h"
#include "kvm-glue/vcpu-internal.h"
#include "util/bits.h"

struct text {
	char *at;
	size_t size, used; /* used counts what did not fit, too */
};

static void __attribute__((format(printf, 2, 3))) put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->used < t->size ? t->at + t->used : NULL,
		      t->used < t->size ? t->size - t->used : 0, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->used += (size_t)n;
}

static const char *reason_name(uint32_t reason)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "UNKNOWN",
		[KVM_EXIT_IO] = "IO",
		[KVM_EXIT_MMIO] = "MMIO",
		[KVM_EXIT_HLT] = "HLT",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN",
		[KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
		[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
		[KVM_EXIT_INTR] = "INTR",
		[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
		[KVM_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
		[KVM_EXIT_IOAPIC_EOI] = "IOAPIC_EOI",
	};

	return reason < ARRAY_SIZE(names) && names[reason] ? names[reason] : "?";
}

static const char *internal_error(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		return ": KVM cannot emulate the instruction";
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		return ": MMIO where an event was being delivered";
	default:
		return "";
	}
}

static void put_reason(struct text *t, const struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	put(t, "vCPU %u: ", vcpu->id);
	if (vcpu->run_errno) {
		put(t, "KVM_RUN: %s\n", strerror(vcpu->run_errno));
		return;
	}
	put(t, "KVM_EXIT_%s (%u)", reason_name(run->exit_reason), run->exit_reason);
	switch (run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		put(t, ": triple fault");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		put(t, ", suberror %u%s", run->internal.suberror,
		    internal_error(run->internal.suberror));
		break;
	case KVM_EXIT_FAIL_ENTRY:
		put(t, ", hardware reason %#llx on CPU %u",
		    run->fail_entry.hardware_entry_failure_reason, run->fail_entry.cpu);
		break;
	case KVM_EXIT_UNKNOWN:
		put(t, ", hardware reason %#llx", run->hw.hardware_exit_reason);
		break;
	default:
		break;
	}
	put(t, "\n");
}

/* From the exit where it brings them, else from guest memory at CS:RIP. */
static unsigned int instruction(struct vcpu *vcpu, uint64_t linear, uint8_t *bytes)
{
	const struct kvm_run *run = vcpu->run;
	struct kvm_translation tr = { .linear_address = linear };
	unsigned int len = 0;

	if (!vcpu->run_errno && run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
	    run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
	    run->emulation_failure.ndata >= 3 &&
	    run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
		len = MIN((unsigned int)run->emulation_failure.insn_size, INSN_BYTES);
		memcpy(bytes, run->emulation_failure.insn_bytes, len);
		return len;
	}
	if (kvm_ioctl(vcpu->fd, KVM_TRANSLATE, &tr) || !tr.valid)
		return 0;
	epoch_enter(&vcpu->vm->epoch, &vcpu->reader);
	while (len < INSN_BYTES && !((linear + len) >> 12 != linear >> 12) &&
	       !vm_memory_read(vcpu->vm, tr.physical_address + len, bytes + len, 1))
		len++;
	epoch_exit(&vcpu->reader);
	return len;
}

static void put_registers(struct text *t, struct vcpu *vcpu)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	uint8_t bytes[INSN_BYTES];
	unsigned int len;

	if (vcpu_get_regs(vcpu, &r) || vcpu_get_sregs(vcpu, &s)) {
		put(t, "  its registers cannot be read\n");
		return;
	}
	put(t, "  rip %#" PRIx64 " (cs %#x, cpl %u), instruction bytes:", (uint64_t)r.rip,
	    s.cs.selector, s.ss.dpl);
	len = instruction(vcpu, s.cs.base + r.rip, bytes);
	for (unsigned int i = 0; i < len; i++)
		put(t, " %02x", bytes[i]);
	put(t, "%s\n", len ? "" : " not readable");
	put(t, "  rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", r.rax, r.rbx, r.rcx, r.rdx);
	put(t, "  rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n", r.rsi, r.rdi, r.rbp, r.rsp);
	put(t, "  r8  %016llx r9  %016llx r10 %016llx r11 %016llx\n", r.r8, r.r9, r.r10, r.r11);
	put(t, "  r12 %016llx r13 %016llx r14 %016llx r15 %016llx\n", r.r12, r.r13, r.r14, r.r15);
	put(t, "  rflags %#llx cr0 %#llx cr2 %#llx cr3 %#llx cr4 %#llx efer %#llx\n", r.rflags,
	    s.cr0, s.cr2, s.cr3, s.cr4, s.efer);
}

static void put_exits(struct text *t, const struct vcpu *vcpu)
{
	uint32_t n = MIN(vcpu->exits, KEPT_EXITS);

	put(t, "  last exits, newest first:");
	for (uint32_t i = 0; i < n; i++) {
		const struct kept_exit *e = &vcpu->kept[(vcpu->exits - 1 - i) % KEPT_EXITS];

		put(t, "%s %s", i ? "," : "", reason_name(e->reason));
		if (e->reason == KVM_EXIT_IO || e->reason == KVM_EXIT_MMIO)
			put(t, " %s%u at %#" PRIx64, e->write ? "write" : "read", e->len, e->where);
		else if (e->reason == KVM_EXIT_IOAPIC_EOI)
			put(t, " vector %" PRIu64, e->where);
	}
	put(t, "%s\n", n ? "" : " none");
}

int vcpu_report(struct vcpu *vcpu, char *text, size_t size)
{
	struct text t = { .at = text, .size = size };

	put_reason(&t, vcpu);
	put_registers(&t, vcpu);
	put_exits(&t, vcpu);
	return (int)t.used;
}
