/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's state goes from one VM to another; what is not a vCPU's state does not. */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm-glue/cpuid.h"
#include "kvm-glue/ioapic.h"
#include "kvm-glue/vcpu-state.h"
#include "kvm-glue/vcpu.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"

#define MSR_TSC		   0x10u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_DEFTYPE	   0x2ffu
#define MSR_NONE	   0x4fffffffu

struct side {
	struct vm *vm;
	struct cpuid *cpuid;
	struct vcpu *vcpu;
};

struct fixture {
	struct side from, to;
	struct state_out out;
};

static void open_side(struct side *side)
{
	struct err err;

	assert_ok(vm_create(&side->vm, &(struct vm_options){ .kvm_fd = -1 }, &err), &err);
	assert_ok(cpuid_create(&side->cpuid, side->vm, 1, &err), &err);
	assert_ok(vm_split_irqchip(side->vm, IOAPIC_PINS, &err), &err);
	assert_ok(vcpu_create(&side->vcpu, side->vm, 0, NULL, &err), &err);
	assert_ok(cpuid_apply(side->cpuid, side->vcpu, &err), &err);
}

static void close_side(struct side *side)
{
	vcpu_destroy(side->vcpu);
	cpuid_destroy(side->cpuid);
	vm_destroy(side->vm);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (access("/dev/kvm", R_OK | W_OK))
		return 0;
	open_side(&f->from);
	open_side(&f->to);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->from.vm) {
		close_side(&f->from);
		close_side(&f->to);
	}
	state_out_free(&f->out);
	free(f);
	return 0;
}

static struct fixture *need_kvm(void **state)
{
	struct fixture *f = *state;

	if (!f->from.vm)
		skip_because("no /dev/kvm");
	return f;
}

static void save(struct fixture *f)
{
	struct err err;

	cpuid_save(f->from.cpuid, &f->out);
	assert_ok(vcpu_save(f->from.vcpu, &f->out, &err), &err);
	assert_ok(vm_clock_save(f->from.vm, &f->out, &err), &err);
	assert_int_equal(f->out.ret, 0);
}

static int load(struct fixture *f, struct err *err)
{
	struct state_in in;
	int ret = state_open(&in, f->out.data, f->out.len, err);

	if (!ret)
		ret = cpuid_check(f->to.cpuid, &in);
	if (!ret)
		ret = vcpu_load(f->to.vcpu, &in);
	if (!ret)
		ret = vm_clock_load(f->to.vm, &in);
	return ret ? ret : state_close(&in);
}

static void registers_msrs_and_special_registers_arrive(void **state)
{
	struct fixture *f = need_kvm(state);
	struct kvm_regs regs = { .rax = 0x1122334455667788, .rip = 0x7c00, .rflags = 2 }, then;
	struct kvm_sregs sregs, sregs_then;
	uint64_t value, tsc, before;
	struct err err;

	assert_int_equal(vcpu_set_regs(f->from.vcpu, &regs), 0);
	assert_int_equal(vcpu_get_sregs(f->from.vcpu, &sregs), 0);
	sregs.cs.base = 0x5000;
	sregs.cs.selector = 0x500;
	sregs.cr2 = 0xdead000;
	assert_int_equal(vcpu_set_sregs(f->from.vcpu, &sregs), 0);
	assert_int_equal(vcpu_set_msr(f->from.vcpu, MSR_KERNEL_GS_BASE, 0x1234), 0);
	/* Not one of those that KVM lists. */
	assert_int_equal(vcpu_set_msr(f->from.vcpu, MSR_DEFTYPE, 0x806), 0);
	/* Which a KVM that cannot offset it does not do. */
	assert_int_equal(vcpu_set_msr(f->from.vcpu, MSR_TSC, 1ULL << 50), 0);
	assert_int_equal(vcpu_get_msr(f->from.vcpu, MSR_TSC, &before), 0);
	save(f);
	assert_ok(load(f, &err), &err);
	assert_int_equal(vcpu_get_regs(f->to.vcpu, &then), 0);
	assert_memory_equal(&regs, &then, sizeof(regs));
	assert_int_equal(vcpu_get_sregs(f->to.vcpu, &sregs_then), 0);
	assert_int_equal(sregs_then.cs.base, 0x5000);
	assert_int_equal(sregs_then.cr2, 0xdead000);
	assert_int_equal(vcpu_get_msr(f->to.vcpu, MSR_KERNEL_GS_BASE, &value), 0);
	assert_int_equal(value, 0x1234);
	assert_int_equal(vcpu_get_msr(f->to.vcpu, MSR_DEFTYPE, &value), 0);
	assert_int_equal(value, 0x806);
	/* It goes on. */
	assert_int_equal(vcpu_get_msr(f->to.vcpu, MSR_TSC, &tsc), 0);
	assert_true(tsc >= before);
}

static void an_msr_that_is_none_is_refused(void **state)
{
	struct fixture *f = need_kvm(state);
	struct kvm_msr_entry entry = { .index = MSR_KERNEL_GS_BASE, .data = 0x5a5a5a5a5a };
	uint32_t none = MSR_NONE;
	struct err err;
	uint8_t *at;

	assert_int_equal(vcpu_set_msr(f->from.vcpu, entry.index, entry.data), 0);
	save(f);
	at = memmem(f->out.data, f->out.len, &entry, sizeof(entry));
	assert_non_null(at);
	memcpy(at, &none, sizeof(none));
	assert_int_equal(load(f, &err), -EPROTO);
	assert_string_equal(err.text,
			    "section \"vcpu 0\": MSR 0x4fffffff is none that this host has");
}

static void another_processor_is_refused_by_its_leaf(void **state)
{
	struct fixture *f = need_kvm(state);
	struct state_out out = { 0 };
	struct state_in in;
	struct err err;
	uint8_t *at;

	cpuid_save(f->from.cpuid, &out);
	assert_int_equal(out.ret, 0);
	/* The last leaf's last register: its entry ends with 12 bytes of padding. */
	at = out.data + out.len - 13;
	*at ^= 1;
	assert_ok(state_open(&in, out.data, out.len, &err), &err);
	assert_int_equal(cpuid_check(f->to.cpuid, &in), -EPROTO);
	assert_non_null(strstr(err.text, "differ from this host's in leaf"));
	state_out_free(&out);
}

/* Every byte of it may be wrong: KVM refuses, or we do, or it is a guest in an odd state. */
static void damage_ends_in_an_answer(void **state)
{
	struct fixture *f = need_kvm(state);
	unsigned int seed = 1;
	struct err err;
	uint8_t *good;

	save(f);
	good = malloc(f->out.len);
	memcpy(good, f->out.data, f->out.len);
	for (unsigned int round = 0; round < 300; round++) {
		f->out.data[(unsigned int)rand_r(&seed) % f->out.len] = (uint8_t)rand_r(&seed);
		(void)load(f, &err);
		memcpy(f->out.data, good, f->out.len);
	}
	free(good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(registers_msrs_and_special_registers_arrive, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_msr_that_is_none_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(another_processor_is_refused_by_its_leaf, setup,
						teardown),
		cmocka_unit_test_setup_teardown(damage_ends_in_an_answer, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
