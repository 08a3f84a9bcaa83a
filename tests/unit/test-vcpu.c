/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU without a guest: registers, the kick, CPUID policy, and the report of each kind of end. */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm-glue/cpuid.h"
#include "kvm-glue/ioapic.h"
#include "kvm-glue/vcpu-internal.h"
#include "kvm-glue/vcpu.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"

#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_NONE	   0x4fffffffu

struct fixture {
	struct vm *vm;
	struct vcpu *vcpu;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	*state = f;
	if (access("/dev/kvm", R_OK | W_OK))
		return 0;
	assert_ok(vm_create(&f->vm, &(struct vm_options){ .kvm_fd = -1 }, &err), &err);
	assert_ok(vm_split_irqchip(f->vm, IOAPIC_PINS, &err), &err);
	assert_ok(vcpu_create(&f->vcpu, f->vm, 0, NULL, &err), &err);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vcpu_destroy(f->vcpu);
	vm_destroy(f->vm);
	free(f);
	return 0;
}

static struct fixture *need_kvm(void **state)
{
	struct fixture *f = *state;

	if (!f->vm)
		skip_because("no /dev/kvm");
	return f;
}

static void msr_keeps_its_value_and_an_unknown_one_is_refused(void **state)
{
	struct fixture *f = need_kvm(state);
	uint64_t value = 0;

	assert_int_equal(vcpu_set_msr(f->vcpu, MSR_KERNEL_GS_BASE, 0x1234), 0);
	assert_int_equal(vcpu_get_msr(f->vcpu, MSR_KERNEL_GS_BASE, &value), 0);
	assert_int_equal(value, 0x1234);
	assert_int_equal(vcpu_set_msr(f->vcpu, MSR_NONE, 1), -EINVAL);
	assert_int_equal(vcpu_get_msr(f->vcpu, MSR_NONE, &value), -EINVAL);
}

static void kick_before_the_thread_is_bound_is_not_lost(void **state)
{
	struct fixture *f = need_kvm(state);

	vcpu_kick(f->vcpu);
	vcpu_bind_thread(f->vcpu);
	assert_int_equal(vcpu_run(f->vcpu), VCPU_KICKED);
}

static void kick_from_the_own_thread_ends_the_next_run(void **state)
{
	struct fixture *f = need_kvm(state);

	vcpu_bind_thread(f->vcpu);
	for (int i = 0; i < 100; i++) {
		vcpu_kick(f->vcpu);
		assert_int_equal(vcpu_run(f->vcpu), VCPU_KICKED);
	}
}

static void report(struct fixture *f, char *text, size_t size)
{
	assert_true(vcpu_report(f->vcpu, text, size) > 0);
}

static void report_names_a_failed_entry_and_its_reason(void **state)
{
	struct fixture *f = need_kvm(state);
	char text[4096];

	f->vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	f->vcpu->run->fail_entry.hardware_entry_failure_reason = 0x80000021;
	report(f, text, sizeof(text));
	assert_non_null(
		strstr(text, "vCPU 0: KVM_EXIT_FAIL_ENTRY (9), hardware reason 0x80000021"));
	assert_non_null(strstr(text, "rip 0x"));
	assert_non_null(strstr(text, "last exits, newest first: none"));
}

static void report_shows_the_bytes_of_an_emulation_failure(void **state)
{
	struct fixture *f = need_kvm(state);
	struct kvm_run *run = f->vcpu->run;
	char text[4096];

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 4;
	run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	run->emulation_failure.insn_size = 255; /* cut to what an instruction can have */
	memcpy(run->emulation_failure.insn_bytes, "\xf3\x0f\xb8\xc1", 4);
	report(f, text, sizeof(text));
	assert_non_null(strstr(text, "suberror 1: KVM cannot emulate the instruction"));
	assert_non_null(strstr(text, "instruction bytes: f3 0f b8 c1"));
}

static void report_of_an_unknown_exit_gives_its_number(void **state)
{
	struct fixture *f = need_kvm(state);
	char text[4096];

	f->vcpu->run->exit_reason = 999;
	report(f, text, sizeof(text));
	assert_non_null(strstr(text, "KVM_EXIT_? (999)"));
}

static void report_is_cut_to_its_buffer_and_tells_its_length(void **state)
{
	struct fixture *f = need_kvm(state);
	char text[4096], small[16];

	f->vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	report(f, text, sizeof(text));
	assert_int_equal(vcpu_report(f->vcpu, small, sizeof(small)), strlen(text));
	assert_int_equal(strlen(small), sizeof(small) - 1);
	assert_memory_equal(small, text, sizeof(small) - 1);
}

static void cpuid_offers_the_timer_and_hides_what_guests_must_not_have(void **state)
{
	struct fixture *f = need_kvm(state);
	const struct kvm_cpuid_entry2 *e;
	struct cpuid *cpuid;
	struct err err;

	assert_ok(cpuid_create(&cpuid, f->vm, 4, &err), &err);
	e = cpuid_entry(cpuid, 1, 0);
	assert_non_null(e);
	assert_true(e->ecx & BIT_U64(31)); /* hypervisor */
	assert_false(e->ecx & BIT_U64(5)); /* VMX */
	assert_int_equal(!!(e->ecx & BIT_U64(24)), vm_has(f->vm, KVM_CAP_TSC_DEADLINE_TIMER));
	assert_int_equal(e->ebx >> 16 & 0xff, 4);
	assert_true(e->edx & BIT_U64(28)); /* several processors */
	e = cpuid_entry(cpuid, 6, 0);
	assert_true(e && e->eax & BIT_U64(2)); /* ARAT */
	e = cpuid_entry(cpuid, 7, 0);
	assert_false(e && e->ecx & BIT_U64(29)); /* ENQCMD */
	e = cpuid_entry(cpuid, 0x80000001, 0);
	assert_false(e && e->ecx & BIT_U64(2)); /* SVM */
	e = cpuid_entry(cpuid, 0x40000000, 0);
	assert_true(e && !memcmp(&e->ebx, "KVMKVMKVM\0\0\0", 12));
	e = cpuid_entry(cpuid, 0x40000001, 0);
	assert_true(e && e->eax & (BIT_U64(0) | BIT_U64(3))); /* kvmclock */
	assert_true(cpuid_phys_bits(cpuid) >= 32 && cpuid_phys_bits(cpuid) <= 52);
	assert_ok(cpuid_apply(cpuid, f->vcpu, &err), &err);
	cpuid_destroy(cpuid);
}

static void cpuid_topology_follows_the_number_of_vcpus(void **state)
{
	static const unsigned int counts[] = { 1, 2, 3, 64, 255 };
	struct fixture *f = need_kvm(state);
	const struct kvm_cpuid_entry2 *e;
	struct cpuid *cpuid;
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		assert_ok(cpuid_create(&cpuid, f->vm, counts[i], &err), &err);
		e = cpuid_entry(cpuid, 0xb, 1);
		if (e) {
			assert_int_equal(e->ebx, counts[i]);
			assert_true(1u << e->eax >= counts[i]);
		}
		e = cpuid_entry(cpuid, 1, 0);
		assert_int_equal(!!(e->edx & BIT_U64(28)), counts[i] > 1);
		cpuid_destroy(cpuid);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(msr_keeps_its_value_and_an_unknown_one_is_refused),
		T(kick_before_the_thread_is_bound_is_not_lost),
		T(kick_from_the_own_thread_ends_the_next_run),
		T(report_names_a_failed_entry_and_its_reason),
		T(report_shows_the_bytes_of_an_emulation_failure),
		T(report_of_an_unknown_exit_gives_its_number),
		T(report_is_cut_to_its_buffer_and_tells_its_length),
		T(cpuid_offers_the_timer_and_hides_what_guests_must_not_have),
		T(cpuid_topology_follows_the_number_of_vcpus),
	};

	return cmocka_run_group_tests_name("vcpu", tests, NULL, NULL);
}
