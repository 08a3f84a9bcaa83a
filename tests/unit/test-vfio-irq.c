/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of an assigned function on a real KVM: what the device signals is looked for in the
 * IRR of a vCPU that never runs. irqfds deliver from a work queue of the kernel, so what is
 * expected is waited for; what is not is looked for after something that was sent later has
 * arrived.
 */
#include "fake-vfio.h"

#include <sched.h>
#include <sys/ioctl.h>

#define LAPIC_SVR 0xf0
#define LAPIC_IRR 0x200

#define LEVEL	   (1u << 15)
#define ACTIVE_LOW (1u << 13)
#define REMOTE_IRR (1u << 14)

/* Vectors in the guest: 0x40 + the function's, and one for what comes last. */
#define GUEST(v) (0x40u + (v))
#define LAST	 0xf0u

static void enable_lapic(struct fake_rig *m)
{
	struct kvm_lapic_state lapic;

	assert_int_equal(ioctl(vcpu_fd(m->vcpu), KVM_GET_LAPIC, &lapic), 0);
	store_le(lapic.regs + LAPIC_SVR, 0x1ff, 4);
	assert_int_equal(ioctl(vcpu_fd(m->vcpu), KVM_SET_LAPIC, &lapic), 0);
}

/* Takes the vector out of the IRR; was it there? */
static bool delivered(struct fake_rig *m, unsigned int vector)
{
	struct kvm_lapic_state lapic;
	char *irr = lapic.regs + LAPIC_IRR + vector / 32 * 0x10;
	uint32_t bits;

	assert_int_equal(ioctl(vcpu_fd(m->vcpu), KVM_GET_LAPIC, &lapic), 0);
	bits = (uint32_t)load_le(irr, 4);
	if (!(bits >> vector % 32 & 1))
		return false;
	store_le(irr, bits & ~(1u << vector % 32), 4);
	assert_int_equal(ioctl(vcpu_fd(m->vcpu), KVM_SET_LAPIC, &lapic), 0);
	return true;
}

static void wait_for(struct fake_rig *m, unsigned int vector)
{
	while (!delivered(m, vector))
		sched_yield();
}

static void plug(struct fake_rig *m)
{
	const struct vfio_options options = fake_options(m);

	fake_plug(m, &options);
	enable_lapic(m);
}

static void entry(struct fake_rig *m, unsigned int vector, unsigned int reg, uint32_t value)
{
	mem_write(&m->rig, m->bar0 + FAKE_TABLE + vector * 16UL + reg, value, 4);
}

static void mask(struct fake_rig *m, unsigned int vector, bool on)
{
	entry(m, vector, PCI_MSIX_ENTRY_VECTOR_CTRL, on);
}

static void msix(struct fake_rig *m, uint16_t control)
{
	cfg_write(&m->rig, FAKE_SLOT, FAKE_MSIX + PCI_MSIX_FLAGS, control, 2);
}

static bool pending(struct fake_rig *m, unsigned int v)
{
	return mem_read(&m->rig, m->bar0 + FAKE_PBA + v / 64 * 8UL, 8) >> v % 64 & 1;
}

static void msix_on(struct fake_rig *m)
{
	for (unsigned int v = 0; v < FAKE_VECTORS; v++) {
		entry(m, v, PCI_MSIX_ENTRY_LOWER_ADDR, 0xfee00000);
		entry(m, v, PCI_MSIX_ENTRY_DATA, GUEST(v));
	}
	msix(m, PCI_MSIX_FLAGS_ENABLE);
}

static void assert_counted(struct fake_rig *m, uint64_t interrupts, uint64_t irqfds)
{
	struct vfio_counters counters;

	vfio_function_counters(m->f, &counters);
	assert_int_equal(counters.interrupts, interrupts);
	assert_int_equal(counters.irqfds, irqfds);
}

static void vectors_are_made_when_the_guest_unmasks_them(void **state)
{
	FAKE_RIG(m);

	plug(m);
	assert_true(m->v.intx >= 0);
	msix_on(m);
	assert_int_equal(m->v.intx, -1);
	assert_int_equal(m->v.index, VFIO_PCI_MSIX_IRQ_INDEX);
	for (unsigned int v = 0; v < FAKE_VECTORS; v++)
		assert_int_equal(m->v.vector[v], -1);
	mask(m, 69, false);
	assert_true(m->v.vector[69] >= 0);
	assert_int_equal(m->v.vector[68], -1);
	/* Whose pending bit is the device's until then, and no longer. */
	store_le(m->v.bar0 + FAKE_PBA + 8, BIT_U64(68 - 64) | BIT_U64(69 - 64), 8);
	assert_true(pending(m, 68));
	assert_false(pending(m, 67));
	assert_false(pending(m, 69));
	mask(m, 69, true);
	assert_false(pending(m, 69));
	mask(m, 69, false);
	fake_signal(m->v.vector[69]);
	wait_for(m, GUEST(69));
	/* The kernel brought it: nobody here has seen it. */
	assert_counted(m, 0, 1);
	msix(m, 0);
	assert_false(pending(m, 68));
	assert_counted(m, 0, 0);
	assert_int_equal(m->v.index, VFIO_PCI_NUM_IRQS);
	assert_true(m->v.intx >= 0);
	fake_rig_close(m);
}

static void a_device_that_cannot_grow_gets_all_vectors_at_once(void **state)
{
	FAKE_RIG(m);

	m->v.resizes = false;
	plug(m);
	msix_on(m);
	for (unsigned int v = 0; v < FAKE_VECTORS; v++)
		assert_true(m->v.vector[v] >= 0);
	fake_signal(m->v.vector[5]);
	assert_true(pending(m, 5));
	mask(m, 5, false);
	wait_for(m, GUEST(5));
	assert_int_equal(m->v.enables, 1);
	fake_rig_close(m);
}

static void what_comes_while_masked_pends_and_is_sent_once(void **state)
{
	FAKE_RIG(m);

	plug(m);
	msix_on(m);
	mask(m, 3, false);
	mask(m, 4, false);
	mask(m, 3, true);
	for (unsigned int i = 0; i < 3; i++)
		fake_signal(m->v.vector[3]);
	assert_true(pending(m, 3));
	assert_false(delivered(m, GUEST(3)));
	assert_counted(m, 0, 1);
	mask(m, 3, false);
	wait_for(m, GUEST(3));
	assert_false(pending(m, 3));
	assert_counted(m, 1, 2);
	/* What KVM delivered at once is not taken for pending at the next mask. */
	mask(m, 3, true);
	assert_false(pending(m, 3));
	mask(m, 3, false);
	fake_signal(m->v.vector[4]);
	wait_for(m, GUEST(4));
	assert_false(delivered(m, GUEST(3)));
	fake_rig_close(m);
}

static void pending_bits_in_another_bar_are_read_there(void **state)
{
	FAKE_RIG(m);
	uint64_t bar4;

	m->v.pba_apart = true;
	store_le(m->v.config + FAKE_MSIX + PCI_MSIX_PBA, 0x100 | 4, 4);
	plug(m);
	bar4 = pci_function_bar_address(vfio_function_pci(m->f), 4);
	assert_int_equal(cfg_read(&m->rig, FAKE_SLOT, FAKE_MSIX + PCI_MSIX_PBA, 4), 0x100 | 4);
	msix_on(m);
	mask(m, 3, false);
	mask(m, 3, true);
	fake_signal(m->v.vector[3]);
	assert_true(mem_read(&m->rig, bar4 + 0x100, 8) == BIT_U64(3));
	mask(m, 3, false);
	wait_for(m, GUEST(3));
	assert_true(mem_read(&m->rig, bar4 + 0x100, 8) == 0);
	/* Where they would be in the table's BAR, and beside them, the device answers. */
	m->v.bar4[0x200] = 0x5a;
	assert_int_equal(mem_read(&m->rig, bar4 + 0x200, 1), 0x5a);
	fake_rig_close(m);
}

static void a_wrong_place_of_the_pending_bits_is_corrected(void **state)
{
	static const struct {
		uint16_t vendor, device;
		uint32_t says, is; /* in BAR 4, of 8 KiB */
	} rows[] = {
		{ 0x1425, 0x5812, 0x8000, 0x1000 },
		{ 0x1425, 0x5812, 0x800, 0x800 },
		{ 0x1425, 0x5412, 0x8000, 0 }, /* a physical function: nothing is known of it */
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vfio_options options;
		struct err err = { 0 };
		uint64_t bar4;
		FAKE_RIG(m);

		m->v.pba_apart = true;
		store_le(m->v.config + PCI_VENDOR_ID, rows[i].vendor, 2);
		store_le(m->v.config + PCI_DEVICE_ID, rows[i].device, 2);
		store_le(m->v.config + FAKE_MSIX + PCI_MSIX_PBA, rows[i].says | 4, 4);
		options = fake_options(m);
		if (!rows[i].is) {
			assert_int_equal(vfio_function_create(&m->f, m->rig.vm, &options, &err),
					 -EINVAL);
			assert_non_null(strstr(err.text, "the MSI-X pending bits"));
			fake_rig_close(m);
			continue;
		}
		plug(m);
		bar4 = pci_function_bar_address(vfio_function_pci(m->f), 4);
		assert_int_equal(cfg_read(&m->rig, FAKE_SLOT, FAKE_MSIX + PCI_MSIX_PBA, 4),
				 rows[i].is | 4);
		msix_on(m);
		store_le(m->v.bar4 + rows[i].is, BIT_U64(9), 8);
		assert_true(mem_read(&m->rig, bar4 + rows[i].is, 8) == BIT_U64(9));
		mask(m, 3, false);
		mask(m, 3, true);
		fake_signal(m->v.vector[3]);
		assert_true(mem_read(&m->rig, bar4 + rows[i].is, 8) == (BIT_U64(3) | BIT_U64(9)));
		fake_rig_close(m);
	}
}

static void the_other_place_that_is_known_is_so_too(void **state)
{
	assert_int_equal(vfio_quirk_pending(0x1d22, 0x3685, 0x460000, 0x10000), 0xb400);
	assert_int_equal(vfio_quirk_pending(0x1d22, 0x3684, 0x460000, 0x10000), 0x460000);
}

static void a_changed_message_goes_where_it_says(void **state)
{
	FAKE_RIG(m);

	plug(m);
	msix_on(m);
	mask(m, 0, false);
	entry(m, 0, PCI_MSIX_ENTRY_DATA, LAST);
	fake_signal(m->v.vector[0]);
	wait_for(m, LAST);
	assert_false(delivered(m, GUEST(0)));
	fake_rig_close(m);
}

/* Each round masks, signals or not, and unmasks; a vector fires exactly in rounds that signal. */
static void mask_and_unmask_lose_and_double_nothing(void **state)
{
	unsigned int seed = 3;
	FAKE_RIG(m);

	plug(m);
	msix_on(m);
	mask(m, 7, false);
	mask(m, 8, false);
	for (unsigned int i = 0; i < 1000; i++) {
		bool before = rand_r(&seed) & 1, during = rand_r(&seed) & 1;

		if (before) {
			fake_signal(m->v.vector[7]);
			wait_for(m, GUEST(7));
		}
		mask(m, 7, true);
		if (during)
			fake_signal(m->v.vector[7]);
		assert_int_equal(pending(m, 7), during);
		mask(m, 7, false);
		if (during)
			wait_for(m, GUEST(7));
		fake_signal(m->v.vector[8]);
		wait_for(m, GUEST(8));
		assert_false(delivered(m, GUEST(7)));
	}
	fake_rig_close(m);
}

static void msi_is_enabled_whole_and_masked_by_vector(void **state)
{
	FAKE_RIG(m);

	plug(m);
	cfg_write(&m->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_ADDRESS_LO, 0xfee00000, 4);
	cfg_write(&m->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_DATA_64, GUEST(0), 2);
	cfg_write(&m->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | 2 << 4, 2);
	assert_int_equal(m->v.index, VFIO_PCI_MSI_IRQ_INDEX);
	fake_signal(m->v.vector[3]);
	wait_for(m, GUEST(3));
	cfg_write(&m->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_MASK_64, 2, 4);
	fake_signal(m->v.vector[1]);
	assert_int_equal(cfg_read(&m->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_PENDING_64, 4), 2);
	cfg_write(&m->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_MASK_64, 0, 4);
	wait_for(m, GUEST(1));
	cfg_write(&m->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_FLAGS, 0, 2);
	assert_int_equal(m->v.index, VFIO_PCI_NUM_IRQS);
	fake_rig_close(m);
}

static void a_reset_by_the_guest_ends_messages(void **state)
{
	FAKE_RIG(m);

	plug(m);
	msix_on(m);
	mask(m, 1, false);
	cfg_write(&m->rig, FAKE_SLOT, FAKE_EXP + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR, 2);
	assert_int_equal(m->v.index, VFIO_PCI_NUM_IRQS);
	assert_true(m->v.intx >= 0);
	fake_rig_close(m);
}

/* --- INTx ------------------------------------------------------------------------------------ */

static uint32_t pin(struct fake_rig *m, uint32_t value)
{
	mem_write(&m->rig, IOAPIC_BASE, 0x10 + 2 * FAKE_PIN, 4);
	if (value)
		mem_write(&m->rig, IOAPIC_BASE + 0x10, value, 4);
	return (uint32_t)mem_read(&m->rig, IOAPIC_BASE + 0x10, 4);
}

static void stop(void *arg)
{
	struct fake_rig *m = arg;

	loop_stop(m->loop);
}

/* The loop, until it has seen what was signalled before. */
static void turn(struct fake_rig *m)
{
	struct loop_timer *timer;
	struct err err = { 0 };

	assert_int_equal(loop_timer(m->loop, 20 * 1000000, stop, m, &timer, &err), 0);
	assert_int_equal(loop_run(m->loop), 0);
	loop_timer_cancel(timer);
}

static void intx_is_asserted_until_eoi_and_comes_again_while_it_lasts(void **state)
{
	FAKE_RIG(m);

	plug(m);
	ioapic_wire(m->ioapic, FAKE_PIN, true);
	pin(m, GUEST(0) | LEVEL | ACTIVE_LOW);
	fake_intx(&m->v, true);
	turn(m);
	assert_true(pin(m, 0) & REMOTE_IRR);
	assert_true(m->v.intx_masked);
	assert_counted(m, 1, 0);
	ioapic_eoi(m->ioapic, GUEST(0));
	assert_int_equal(m->v.unmasks, 1);
	turn(m);
	assert_true(pin(m, 0) & REMOTE_IRR);
	assert_counted(m, 2, 0);
	fake_intx(&m->v, false);
	ioapic_eoi(m->ioapic, GUEST(0));
	turn(m);
	assert_false(pin(m, 0) & REMOTE_IRR);
	assert_false(m->v.intx_masked);
	assert_int_equal(m->v.unmasks, 2);
	/* An EOI that is another function's touches nothing. */
	ioapic_eoi(m->ioapic, GUEST(0));
	assert_int_equal(m->v.unmasks, 2);
	fake_rig_close(m);
}

static void intx_is_off_while_messages_are_on(void **state)
{
	FAKE_RIG(m);

	plug(m);
	ioapic_wire(m->ioapic, FAKE_PIN, true);
	pin(m, GUEST(0) | LEVEL | ACTIVE_LOW);
	fake_intx(&m->v, true);
	msix_on(m);
	turn(m);
	assert_false(pin(m, 0) & REMOTE_IRR);
	msix(m, 0);
	turn(m);
	assert_true(pin(m, 0) & REMOTE_IRR);
	fake_rig_close(m);
}

static void errors_and_removal_requests_are_told(void **state)
{
	FAKE_RIG(m);

	plug(m);
	fake_signal(m->v.error);
	assert_int_equal(loop_run(m->loop), 0);
	assert_int_equal(m->errors, 1);
	fake_signal(m->v.removal);
	assert_int_equal(loop_run(m->loop), 0);
	assert_int_equal(m->removals, 1);
	fake_rig_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_are_made_when_the_guest_unmasks_them),
		cmocka_unit_test(a_device_that_cannot_grow_gets_all_vectors_at_once),
		cmocka_unit_test(what_comes_while_masked_pends_and_is_sent_once),
		cmocka_unit_test(pending_bits_in_another_bar_are_read_there),
		cmocka_unit_test(a_wrong_place_of_the_pending_bits_is_corrected),
		cmocka_unit_test(the_other_place_that_is_known_is_so_too),
		cmocka_unit_test(a_changed_message_goes_where_it_says),
		cmocka_unit_test(mask_and_unmask_lose_and_double_nothing),
		cmocka_unit_test(msi_is_enabled_whole_and_masked_by_vector),
		cmocka_unit_test(a_reset_by_the_guest_ends_messages),
		cmocka_unit_test(intx_is_asserted_until_eoi_and_comes_again_while_it_lasts),
		cmocka_unit_test(intx_is_off_while_messages_are_on),
		cmocka_unit_test(errors_and_removal_requests_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
