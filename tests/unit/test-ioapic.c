/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O APIC against a real local APIC: what it delivers is looked for in the IRR of a vCPU that
 * never runs (KVM_GET_LAPIC). EOIs are given by hand; the way through KVM_EXIT_IOAPIC_EOI is
 * tested with a guest in tests/guest/.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm-glue/ioapic.h"
#include "kvm-glue/vcpu.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"

#define PIN    16u
#define VECTOR 0x41u

#define LEVEL	   (1u << 15)
#define ACTIVE_LOW (1u << 13)
#define MASKED	   (1u << 16)
#define REMOTE_IRR (1u << 14)

#define LAPIC_TPR 0x80
#define LAPIC_SVR 0xf0
#define LAPIC_IRR 0x200

struct fixture {
	struct vm *vm;
	struct vcpu *vcpu;
	struct ioapic *ioapic;
	struct epoch_reader reader;
	unsigned int unmasked;
};

static int setup(void **state)
{
	struct fixture *f = aligned_alloc(64, align_up(sizeof(*f), 64));
	struct kvm_lapic_state lapic;
	struct err err;

	memset(f, 0, sizeof(*f));
	*state = f;
	if (access("/dev/kvm", R_OK | W_OK))
		return 0;
	assert_ok(vm_create(&f->vm, &(struct vm_options){ .kvm_fd = -1 }, &err), &err);
	assert_ok(vm_split_irqchip(f->vm, IOAPIC_PINS, &err), &err);
	assert_ok(ioapic_create(&f->ioapic, f->vm, &err), &err);
	assert_ok(vcpu_create(&f->vcpu, f->vm, 0, f->ioapic, &err), &err);
	assert_int_equal(ioctl(vcpu_fd(f->vcpu), KVM_GET_LAPIC, &lapic), 0);
	store_le(lapic.regs + LAPIC_SVR, 0x1ff, 4);
	assert_int_equal(ioctl(vcpu_fd(f->vcpu), KVM_SET_LAPIC, &lapic), 0);
	epoch_join(vm_epoch(f->vm), &f->reader);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->vm) {
		epoch_leave(vm_epoch(f->vm), &f->reader);
		vcpu_destroy(f->vcpu);
		ioapic_destroy(f->ioapic);
		vm_destroy(f->vm);
	}
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

/* Whether the vector was delivered since the last look. */
static bool delivered(struct fixture *f, unsigned int vector)
{
	struct kvm_lapic_state lapic;
	char *irr = lapic.regs + LAPIC_IRR + vector / 32 * 0x10;
	uint32_t bits;

	assert_int_equal(ioctl(vcpu_fd(f->vcpu), KVM_GET_LAPIC, &lapic), 0);
	bits = (uint32_t)load_le(irr, 4);
	store_le(irr, bits & ~(1u << vector % 32), 4);
	assert_int_equal(ioctl(vcpu_fd(f->vcpu), KVM_SET_LAPIC, &lapic), 0);
	return bits >> vector % 32 & 1;
}

static void mmio_write(struct fixture *f, uint64_t offset, uint32_t value)
{
	epoch_enter(vm_epoch(f->vm), &f->reader);
	assert_true(iomap_write(vm_mmio(f->vm), IOAPIC_BASE + offset, &value, 4));
	epoch_exit(&f->reader);
}

static uint32_t mmio_read(struct fixture *f, uint64_t offset)
{
	uint32_t value = 0;

	epoch_enter(vm_epoch(f->vm), &f->reader);
	assert_true(iomap_read(vm_mmio(f->vm), IOAPIC_BASE + offset, &value, 4));
	epoch_exit(&f->reader);
	return value;
}

static void set_register(struct fixture *f, uint32_t index, uint32_t value)
{
	mmio_write(f, 0, index);
	mmio_write(f, 0x10, value);
}

static uint32_t get_register(struct fixture *f, uint32_t index)
{
	mmio_write(f, 0, index);
	return mmio_read(f, 0x10);
}

static void program(struct fixture *f, unsigned int pin, uint32_t low)
{
	set_register(f, 0x10 + 2 * pin + 1, 0);
	set_register(f, 0x10 + 2 * pin, low);
}

static struct irq_line *open_line(struct fixture *f, void (*unmask)(void *), void *opaque)
{
	struct irq_line *line;

	assert_int_equal(irq_line_open(&line, f->ioapic, PIN, unmask, opaque), 0);
	return line;
}

static void registers_keep_what_may_be_written(void **state)
{
	struct fixture *f = need_kvm(state);

	assert_int_equal(get_register(f, 1), 0x00170020);
	set_register(f, 0, 0xffffffff);
	assert_int_equal(get_register(f, 0), 0x0f000000);
	assert_int_equal(get_register(f, 0x10), MASKED);
	set_register(f, 0x10, 0xffffffff);
	assert_int_equal(get_register(f, 0x10), 0x1afff);
	set_register(f, 0x11, 0xffffffff);
	assert_int_equal(get_register(f, 0x11), 0xff000000);
	set_register(f, 0x10 + 2 * IOAPIC_PINS, 0xffffffff);
	assert_int_equal(get_register(f, 0x10 + 2 * IOAPIC_PINS), 0);
}

static void edge_pin_delivers_once_an_assertion(void **state)
{
	struct fixture *f = need_kvm(state);
	struct irq_line *line = open_line(f, NULL, NULL);

	program(f, PIN, VECTOR);
	assert_false(delivered(f, VECTOR));
	irq_line_set(line, true);
	assert_true(delivered(f, VECTOR));
	irq_line_set(line, true);
	ioapic_eoi(f->ioapic, VECTOR);
	assert_false(delivered(f, VECTOR));
	irq_line_set(line, false);
	assert_false(delivered(f, VECTOR));
	irq_line_set(line, true);
	assert_true(delivered(f, VECTOR));
	assert_int_equal(ioapic_interrupts(f->ioapic, PIN), 2);
	assert_int_equal(ioapic_interrupts(f->ioapic, PIN + 1), 0);
	assert_int_equal(ioapic_interrupts(f->ioapic, IOAPIC_PINS), 0);
	irq_line_close(line);
}

static void edge_on_a_masked_pin_is_ignored(void **state)
{
	struct fixture *f = need_kvm(state);
	struct irq_line *line = open_line(f, NULL, NULL);

	program(f, PIN, VECTOR | MASKED);
	irq_line_set(line, true);
	program(f, PIN, VECTOR);
	assert_false(delivered(f, VECTOR));
	irq_line_close(line);
}

static void level_pin_is_delivered_again_after_eoi_while_asserted(void **state)
{
	struct fixture *f = need_kvm(state);
	struct irq_line *line = open_line(f, NULL, NULL);

	program(f, PIN, VECTOR | LEVEL);
	irq_line_set(line, true);
	assert_true(delivered(f, VECTOR));
	assert_true(get_register(f, 0x10 + 2 * PIN) & REMOTE_IRR);
	irq_line_set(line, false);
	irq_line_set(line, true);
	assert_false(delivered(f, VECTOR));
	ioapic_eoi(f->ioapic, VECTOR);
	assert_true(delivered(f, VECTOR));
	irq_line_set(line, false);
	ioapic_eoi(f->ioapic, VECTOR);
	assert_false(delivered(f, VECTOR));
	assert_false(get_register(f, 0x10 + 2 * PIN) & REMOTE_IRR);
	irq_line_close(line);
}

static void shared_level_pin_stays_asserted_until_both_sources_let_go(void **state)
{
	struct fixture *f = need_kvm(state);
	struct irq_line *a = open_line(f, NULL, NULL), *b = open_line(f, NULL, NULL);

	program(f, PIN, VECTOR | LEVEL);
	irq_line_set(a, true);
	assert_true(delivered(f, VECTOR));
	irq_line_set(b, true);
	irq_line_set(a, false);
	assert_false(delivered(f, VECTOR));
	ioapic_eoi(f->ioapic, VECTOR);
	assert_true(delivered(f, VECTOR));
	irq_line_set(b, false);
	ioapic_eoi(f->ioapic, VECTOR);
	assert_false(delivered(f, VECTOR));
	irq_line_set(b, true);
	assert_true(delivered(f, VECTOR));
	ioapic_eoi(f->ioapic, VECTOR);
	irq_line_close(b);
	irq_line_close(a);
}

static void masked_level_pin_delivers_at_unmask_if_still_asserted(void **state)
{
	struct fixture *f = need_kvm(state);
	struct irq_line *line = open_line(f, NULL, NULL);

	program(f, PIN, VECTOR | LEVEL | MASKED);
	irq_line_set(line, true);
	assert_false(delivered(f, VECTOR));
	program(f, PIN, VECTOR | LEVEL);
	assert_true(delivered(f, VECTOR));
	program(f, PIN, VECTOR | LEVEL | MASKED);
	ioapic_eoi(f->ioapic, VECTOR);
	assert_false(delivered(f, VECTOR));
	irq_line_set(line, false);
	program(f, PIN, VECTOR | LEVEL);
	assert_false(delivered(f, VECTOR));
	irq_line_close(line);
}

static void polarity_must_match_the_wiring(void **state)
{
	struct fixture *f = need_kvm(state);
	struct irq_line *line = open_line(f, NULL, NULL);

	ioapic_wire(f->ioapic, PIN, true);
	program(f, PIN, VECTOR | LEVEL | ACTIVE_LOW);
	assert_false(delivered(f, VECTOR));
	irq_line_set(line, true);
	assert_true(delivered(f, VECTOR));
	irq_line_set(line, false);
	ioapic_eoi(f->ioapic, VECTOR);
	assert_false(delivered(f, VECTOR));
	/* Programmed the wrong way round, an idle line looks asserted. */
	program(f, PIN, VECTOR | LEVEL);
	assert_true(delivered(f, VECTOR));
	irq_line_set(line, true);
	ioapic_eoi(f->ioapic, VECTOR);
	assert_false(delivered(f, VECTOR));
	irq_line_close(line);
}

struct hook {
	struct irq_line *line;
	unsigned int calls;
	bool clear;
};

static void on_unmask(void *opaque)
{
	struct hook *hook = opaque;

	hook->calls++;
	if (hook->clear)
		irq_line_set(hook->line, false);
}

static void unmask_hook_runs_before_the_pin_is_sampled_again(void **state)
{
	struct fixture *f = need_kvm(state);
	struct hook hook = { .clear = true };

	hook.line = open_line(f, on_unmask, &hook);
	program(f, PIN, VECTOR | LEVEL);
	irq_line_set(hook.line, true);
	assert_true(delivered(f, VECTOR));
	ioapic_eoi(f->ioapic, VECTOR + 1);
	assert_int_equal(hook.calls, 0);
	ioapic_eoi(f->ioapic, VECTOR);
	assert_int_equal(hook.calls, 1);
	assert_false(delivered(f, VECTOR));
	hook.clear = false;
	irq_line_set(hook.line, true);
	assert_true(delivered(f, VECTOR));
	mmio_write(f, 0x40, VECTOR);
	assert_int_equal(hook.calls, 2);
	assert_true(delivered(f, VECTOR));
	irq_line_close(hook.line);
	ioapic_eoi(f->ioapic, VECTOR);
	assert_int_equal(hook.calls, 2);
}

static void line_on_a_pin_that_is_not_there_is_refused(void **state)
{
	struct fixture *f = need_kvm(state);
	struct irq_line *line;

	assert_int_equal(irq_line_open(&line, f->ioapic, IOAPIC_PINS, NULL, NULL), -EINVAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(registers_keep_what_may_be_written),
		T(edge_pin_delivers_once_an_assertion),
		T(edge_on_a_masked_pin_is_ignored),
		T(level_pin_is_delivered_again_after_eoi_while_asserted),
		T(shared_level_pin_stays_asserted_until_both_sources_let_go),
		T(masked_level_pin_delivers_at_unmask_if_still_asserted),
		T(polarity_must_match_the_wiring),
		T(unmask_hook_runs_before_the_pin_is_sampled_again),
		T(line_on_a_pin_that_is_not_there_is_refused),
	};

	return cmocka_run_group_tests_name("ioapic", tests, NULL, NULL);
}
