/* SPDX-License-Identifier: Apache-2.0 */
/*
 * INTA# of a function against the I/O APIC: Remote IRR of the pin's entry shows what was delivered,
 * EOIs are given by hand.
 */
#include "test-pci.h"

#include <errno.h>

#include "kvm-glue/ioapic.h"
#include "kvm-glue/vcpu.h"

#define INTX_PIN   16u
#define VECTOR	   0x41u
#define LEVEL	   (1u << 15)
#define ACTIVE_LOW (1u << 13)
#define REMOTE_IRR (1u << 14)

struct intx_rig {
	struct vm *vm;
	struct vcpu *vcpu;
	struct ioapic *ioapic;
	struct pci_function *f;
	unsigned int unmasked;
	bool again; /* the unmask hook asserts */
	struct rig rig;
};

static void on_unmask(void *opaque)
{
	struct intx_rig *m = opaque;

	m->unmasked++;
	pci_function_intx_set(m->f, m->again);
}

static uint32_t pin_register(struct intx_rig *m, unsigned int pin, bool set, uint32_t value)
{
	mem_write(&m->rig, IOAPIC_BASE, 0x10 + 2 * pin, 4);
	if (set)
		mem_write(&m->rig, IOAPIC_BASE + 0x10, value, 4);
	return (uint32_t)mem_read(&m->rig, IOAPIC_BASE + 0x10, 4);
}

static bool in_service(struct intx_rig *m, unsigned int pin)
{
	return pin_register(m, pin, false, 0) & REMOTE_IRR;
}

static struct intx_rig *intx_open(unsigned int slot)
{
	struct pci_bus_options options = rig_windows;
	struct intx_rig *m = aligned_alloc(64, align_up(sizeof(*m), 64));
	struct err err = { 0 };

	memset(m, 0, sizeof(*m));
	if (vm_create(&m->vm, &(struct vm_options){ .kvm_fd = -1 }, &err)) {
		print_message("SKIPPED: %s\n", err.text);
		free(m);
		return NULL;
	}
	assert_int_equal(vm_split_irqchip(m->vm, IOAPIC_PINS, &err), 0);
	assert_int_equal(ioapic_create(&m->ioapic, m->vm, &err), 0);
	assert_int_equal(vcpu_create(&m->vcpu, m->vm, 0, m->ioapic, &err), 0);
	options.ioapic = m->ioapic;
	options.intx_pin = INTX_PIN;
	m->rig.vm = m->vm;
	epoch_join(vm_epoch(m->vm), &m->rig.reader);
	assert_int_equal(pci_bus_create(&m->rig.bus, m->vm, &options, &err), 0);
	for (unsigned int i = 0; i < 4; i++) {
		ioapic_wire(m->ioapic, INTX_PIN + i, true);
		pin_register(m, INTX_PIN + i, true, VECTOR | LEVEL | ACTIVE_LOW);
	}
	m->f = new_function("dev", NULL, NULL);
	assert_int_equal(pci_function_intx(m->f, on_unmask, m, &err), 0);
	assert_int_equal(pci_function_intx(m->f, on_unmask, m, &err), -EEXIST);
	add_function(&m->rig, m->f, (int)slot);
	return m;
}

static void intx_close(struct intx_rig *m)
{
	pci_bus_destroy(m->rig.bus);
	epoch_leave(vm_epoch(m->vm), &m->rig.reader);
	vcpu_destroy(m->vcpu);
	ioapic_destroy(m->ioapic);
	vm_destroy(m->vm);
	free(m);
}

#define INTX_RIG(m, slot)                       \
	struct intx_rig *m = intx_open((slot)); \
	if (!m)                                 \
		skip();

static bool status(struct intx_rig *m, unsigned int slot)
{
	return cfg_read(&m->rig, slot, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT;
}

static void the_slot_decides_the_pin(void **state)
{
	INTX_RIG(m, 6);

	assert_int_equal(cfg_read(&m->rig, 6, PCI_INTERRUPT_PIN, 1), 1);
	pci_function_intx_set(m->f, true);
	assert_true(in_service(m, INTX_PIN + 2));
	assert_false(in_service(m, INTX_PIN));
	assert_true(status(m, 6));
	pci_function_intx_set(m->f, false);
	assert_false(status(m, 6));
	intx_close(m);
}

static void eoi_unmasks_and_what_is_still_asserted_comes_again(void **state)
{
	INTX_RIG(m, 4);

	m->again = true;
	pci_function_intx_set(m->f, true);
	ioapic_eoi(m->ioapic, VECTOR);
	assert_int_equal(m->unmasked, 1);
	assert_true(in_service(m, INTX_PIN));
	m->again = false;
	ioapic_eoi(m->ioapic, VECTOR);
	assert_int_equal(m->unmasked, 2);
	assert_false(in_service(m, INTX_PIN));
	intx_close(m);
}

static void interrupt_disable_holds_it_back_and_status_still_shows_it(void **state)
{
	INTX_RIG(m, 4);

	cfg_write(&m->rig, 4, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
	pci_function_intx_set(m->f, true);
	assert_false(in_service(m, INTX_PIN));
	assert_true(status(m, 4));
	cfg_write(&m->rig, 4, PCI_COMMAND, 0, 2);
	assert_true(in_service(m, INTX_PIN));
	intx_close(m);
}

static void a_blocked_function_asserts_nothing(void **state)
{
	INTX_RIG(m, 4);

	pci_function_block(m->f, true);
	pci_function_intx_set(m->f, true);
	assert_false(in_service(m, INTX_PIN));
	pci_function_block(m->f, false);
	assert_true(in_service(m, INTX_PIN));
	intx_close(m);
}

static void a_bus_without_lines_refuses(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);
	struct err err = { 0 };

	assert_int_equal(pci_function_intx(f, NULL, NULL, &err), 0);
	assert_int_equal(pci_bus_add(rig.bus, f, -1, &err), -ENOTSUP);
	pci_function_destroy(f);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_slot_decides_the_pin),
		cmocka_unit_test(eoi_unmasks_and_what_is_still_asserted_comes_again),
		cmocka_unit_test(interrupt_disable_holds_it_back_and_status_still_shows_it),
		cmocka_unit_test(a_blocked_function_asserts_nothing),
		cmocka_unit_test(a_bus_without_lines_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
