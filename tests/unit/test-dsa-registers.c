/* SPDX-License-Identifier: Apache-2.0 */
/* BAR0 of the virtual DSA: what a guest finds there and what its writes change. */
#include "tests/unit/test-dsa.h"

static struct dsa_options three_queues(void)
{
	struct dsa_options options = rig_options(false);

	options.wqs = 3;
	options.wq[0].size = 8;
	options.wq[1].size = 4;
	options.wq[2].size = 2;
	options.engines = 4;
	return options;
}

static void function_is_a_dsa(void **state)
{
	RIG(rig, three_queues());
	uint32_t express = dsa_function(rig.dsa)->express;
	uint32_t msix = dsa_function(rig.dsa)->msix->capability;

	assert_int_equal(mmio_read(&rig, cfg_at(&rig, PCI_VENDOR_ID), 4), 0x0b258086);
	assert_int_equal(mmio_read(&rig, cfg_at(&rig, PCI_CLASS_REVISION), 4) >> 8, 0x088000);
	assert_int_equal(mmio_read(&rig, cfg_at(&rig, express), 1), PCI_CAP_ID_EXP);
	assert_int_equal(mmio_read(&rig, cfg_at(&rig, msix), 1), PCI_CAP_ID_MSIX);
	assert_int_equal(mmio_read(&rig, cfg_at(&rig, msix + PCI_MSIX_FLAGS), 2), 3);
	/* Four portals for each of three queues, and a power of two. */
	mmio_write(&rig, cfg_at(&rig, PCI_BASE_ADDRESS_2), ~0ULL, 8);
	assert_int_equal(mmio_read(&rig, cfg_at(&rig, PCI_BASE_ADDRESS_2), 8),
			 ~0xffffULL | PCI_BASE_ADDRESS_MEM_TYPE_64);
	rig_close(&rig);
}

static void capabilities_follow_the_options(void **state)
{
	RIG(rig, three_queues());
	uint64_t wqcap = reg_read(&rig, DSA_WQCAP, 8), gencap = reg_read(&rig, DSA_GENCAP, 8);
	uint64_t offsets = reg_read(&rig, DSA_OFFSETS, 8);

	assert_int_equal(reg_read(&rig, DSA_VERSION, 4), 0x100);
	assert_int_equal(wqcap & 0xffff, 14);
	assert_int_equal(wqcap >> 16 & 0xff, 3);
	assert_int_equal(wqcap >> 48 & 3, 3); /* dedicated and shared */
	assert_int_equal(reg_read(&rig, DSA_ENGCAP, 8), 4);
	assert_int_equal(reg_read(&rig, DSA_GRPCAP, 8) & 0xff, 4);
	assert_int_equal(gencap >> 31 & 1, 1);
	assert_int_equal(gencap & 1, 1);
	assert_int_equal(gencap >> 21 & 15, 10);
	assert_int_equal(gencap >> 16 & 31, DSA_MAX_XFER_SHIFT);
	/* All operations of DSA 1.0. */
	assert_int_equal(reg_read(&rig, DSA_OPCAP, 8), 0x1003f03ff);
	for (unsigned int i = 1; i < 4; i++)
		assert_int_equal(reg_read(&rig, DSA_OPCAP + i * 8ULL, 8), 0);
	assert_int_equal(offsets & 0xffff, DSA_GRPCFG / 0x100);
	assert_int_equal(offsets >> 16 & 0xffff, DSA_WQCFG / 0x100);
	assert_int_equal(offsets >> 32 & 0xffff, DSA_MSIXPERM / 0x100);
	assert_int_equal(reg_read(&rig, DSA_CMDCAP, 4), 0x1ffe);
	assert_int_equal(wqcfg_read(&rig, 0, 0), 8);
	assert_int_equal(wqcfg_read(&rig, 1, 0), 4);
	assert_int_equal(wqcfg_read(&rig, 2, 0), 2);
	rig_close(&rig);
}

/* Reading must never change anything, so every byte is the same by every way to it. */
static void reads_of_every_width_agree(void **state)
{
	RIG(rig, three_queues());
	uint8_t bytes[0x1010];

	reg_write(&rig, DSA_GRPCFG, 0x1122334455667788, 8);
	wqcfg_write(&rig, 2, 2, 0x01234567);
	reg_write(&rig, DSA_MSIXPERM + 8, 0xabcde00c, 4);
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)reg_read(&rig, i, 1);
	for (unsigned int i = 0; i < 0x1000; i++) {
		assert_int_equal(reg_read(&rig, i, 2), load_le(bytes + i, 2));
		assert_int_equal(reg_read(&rig, i, 4), load_le(bytes + i, 4));
		assert_int_equal(reg_read(&rig, i, 8), load_le(bytes + i, 8));
	}
	assert_int_equal(load_le(bytes + DSA_GRPCFG, 8), 0x1122334455667788);
	/* The rest is there and is nothing. */
	for (unsigned int i = 0x1000; i < DSA_MSIX_TABLE; i += 8)
		assert_int_equal(reg_read(&rig, i, 8), 0);
	assert_int_equal(reg_read(&rig, DSA_REGISTERS_SIZE - 8, 8), 0);
	rig_close(&rig);
}

static void writes_of_odd_width_or_place_are_ignored(void **state)
{
	RIG(rig, three_queues());

	reg_write(&rig, DSA_GENCTRL, 3, 4);
	reg_write(&rig, DSA_GENCTRL, 0, 1);
	reg_write(&rig, DSA_GENCTRL, 0, 2);
	reg_write(&rig, DSA_GENCTRL - 2, 0, 4);
	reg_write(&rig, DSA_GENCTRL - 4, 0, 8);
	assert_int_equal(reg_read(&rig, DSA_GENCTRL, 4), 3);
	/* A command's bytes one by one are no command. */
	for (unsigned int i = 0; i < 4; i++)
		reg_write(&rig, DSA_CMD + i, (DSA_ENABLE_DEVICE << 20) >> (8 * i), 1);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4) & 3, DSA_STATE_DISABLED);
	rig_close(&rig);
}

static void read_only_registers_stay(void **state)
{
	static const uint32_t fixed[] = { DSA_VERSION, DSA_GENCAP, DSA_WQCAP,	DSA_GRPCAP,
					  DSA_ENGCAP,  DSA_OPCAP,  DSA_OFFSETS, DSA_GENSTS,
					  DSA_CMDSTS,  DSA_CMDCAP, 0x180,	0x1000 };
	RIG(rig, three_queues());

	for (unsigned int i = 0; i < ARRAY_SIZE(fixed); i++) {
		uint64_t before = reg_read(&rig, fixed[i], 8);

		reg_write(&rig, fixed[i], ~before, 8);
		reg_write(&rig, fixed[i], ~before, 4);
		assert_int_equal(reg_read(&rig, fixed[i], 8), before);
	}
	rig_close(&rig);
}

static void queue_is_fixed_while_enabled(void **state)
{
	RIG(rig, three_queues());

	wqcfg_write(&rig, 0, 0, 6);
	assert_int_equal(wqcfg_read(&rig, 0, 0), 6);
	device_enable(&rig);
	/* Size goes with the device, the rest with the queue. */
	wqcfg_write(&rig, 0, 0, 5);
	assert_int_equal(wqcfg_read(&rig, 0, 0), 6);
	wqcfg_write(&rig, 0, 3, 20);
	assert_int_equal(wqcfg_read(&rig, 0, 3), 20);
	wq_enable(&rig, 0, 0);
	wqcfg_write(&rig, 0, 3, 21);
	wqcfg_write(&rig, 0, 2, 0x31);
	assert_int_equal(wqcfg_read(&rig, 0, 3), 20);
	assert_int_equal(wqcfg_read(&rig, 0, 2), 0x11);
	assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_STATE) >> 30, 1);
	assert_int_equal(wqcfg_read(&rig, 1, DSA_WQCFG_STATE) >> 30, 0);
	wqcfg_write(&rig, 1, 2, 0x31);
	assert_int_equal(wqcfg_read(&rig, 1, 2), 0x31);
	rig_close(&rig);
}

static void groups_are_fixed_while_the_device_is_enabled(void **state)
{
	RIG(rig, three_queues());

	device_enable(&rig);
	reg_write(&rig, DSA_GRPCFG, 1, 8);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_ENGINES, 1, 4);
	assert_int_equal(reg_read(&rig, DSA_GRPCFG, 8), 7);
	assert_int_equal(reg_read(&rig, DSA_GRPCFG + DSA_GRPCFG_ENGINES, 8), 15);
	rig_close(&rig);
}

static void privilege_cannot_be_set(void **state)
{
	RIG(rig, three_queues());

	wqcfg_write(&rig, 0, DSA_WQCFG_MODE, ~0u);
	assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_MODE) >> 29, 0);
	rig_close(&rig);
}

static void sixty_four_bit_writes_act_as_two(void **state)
{
	RIG(rig, three_queues());

	reg_write(&rig, DSA_WQCFG + 8, 0x0000000a00000021, 8);
	assert_int_equal(wqcfg_read(&rig, 0, 2), 0x21);
	assert_int_equal(wqcfg_read(&rig, 0, 3), 0xa);
	reg_write(&rig, DSA_GRPCFG + 4, 0xffffffff, 4);
	assert_int_equal(reg_read(&rig, DSA_GRPCFG, 8), 0xffffffff00000000);
	rig_close(&rig);
}

static void reset_command_restores_everything(void **state)
{
	RIG(rig, three_queues());

	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4) >> 2, DSA_RESET_COLD);
	wqcfg_write(&rig, 0, 0, 1);
	wqcfg_write(&rig, 0, 3, 1);
	reg_write(&rig, DSA_GENCTRL, 3, 4);
	reg_write(&rig, DSA_GENCFG, 0x1000, 4);
	reg_write(&rig, DSA_MSIXPERM, 4, 4);
	device_enable(&rig);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4) & 3, DSA_STATE_ENABLED);
	assert_int_equal(reg_read(&rig, DSA_GENCFG, 4), 0x1000);
	assert_int_equal(command(&rig, DSA_RESET_DEVICE, 0), 0);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4), DSA_STATE_DISABLED);
	assert_int_equal(reg_read(&rig, DSA_GENCTRL, 4), 0);
	assert_int_equal(reg_read(&rig, DSA_GENCFG, 4), 0);
	assert_int_equal(reg_read(&rig, DSA_MSIXPERM, 4), 0);
	assert_int_equal(reg_read(&rig, DSA_GRPCFG, 8), 0);
	assert_int_equal(wqcfg_read(&rig, 0, 0), 8);
	assert_int_equal(wqcfg_read(&rig, 0, 3), DSA_MAX_XFER_SHIFT | 10 << DSA_WQCFG_BATCH_SHIFT);
	rig_close(&rig);
}

static void function_level_reset_leaves_a_fresh_device(void **state)
{
	RIG(rig, three_queues());
	uint32_t devctl = dsa_function(rig.dsa)->express + PCI_EXP_DEVCTL;
	uint64_t bars[2] = { reg_at(&rig, 0), portal_at(&rig, 0, 0) };
	struct dsa_descriptor d = noop();

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	mmio_write(&rig, cfg_at(&rig, devctl), PCI_EXP_DEVCTL_BCR_FLR, 2);
	mmio_write(&rig, cfg_at(&rig, PCI_BASE_ADDRESS_0), bars[0], 8);
	mmio_write(&rig, cfg_at(&rig, PCI_BASE_ADDRESS_2), bars[1], 8);
	bus_master(&rig, true);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4), DSA_RESET_FLR << DSA_GENSTS_RESET_SHIFT);
	assert_int_equal(submit(&rig, 0, &d), -EAGAIN);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	rig_close(&rig);
}

static void software_errors_are_kept_until_acknowledged(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = move(0x3000, 0x2000, 64);
	uint64_t swerr;

	device_enable(&rig);
	wq_enable(&rig, 1, 77);
	d.record = 0x5000;
	assert_int_equal(submit(&rig, 1, &d), -EAGAIN);
	swerr = reg_read(&rig, DSA_SWERR, 8);
	assert_int_equal(swerr & 0xff, 0xd); /* valid, descriptor and queue too */
	assert_int_equal(swerr >> 8 & 0xff, DSA_STATUS_RECORD_FAULT);
	assert_int_equal(swerr >> 16 & 0xff, 1);
	assert_int_equal(swerr >> 32 & 0xff, DSA_OP_MEMMOVE);
	assert_int_equal(swerr >> 40, 77);
	assert_int_equal(reg_read(&rig, DSA_SWERR + 16, 8), 0x5000);
	assert_int_equal(reg_read(&rig, DSA_INTCAUSE, 4), DSA_INTCAUSE_ERROR);

	/* The first stays; that there were more is noted. */
	d.record = 0x6000;
	assert_int_equal(submit(&rig, 1, &d), -EAGAIN);
	assert_int_equal(reg_read(&rig, DSA_SWERR, 8), swerr | DSA_SWERR_OVERFLOW);
	assert_int_equal(reg_read(&rig, DSA_SWERR + 16, 8), 0x5000);
	reg_write(&rig, DSA_SWERR, DSA_SWERR_OVERFLOW, 4);
	assert_int_equal(reg_read(&rig, DSA_SWERR, 8), swerr);
	swerr_ack(&rig);
	assert_int_equal(swerr_code(&rig), 0);
	reg_write(&rig, DSA_INTCAUSE, DSA_INTCAUSE_ERROR, 4);
	assert_int_equal(reg_read(&rig, DSA_INTCAUSE, 4), 0);
	rig_close(&rig);
}

static void software_errors_interrupt_where_enabled(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = noop();

	msix_enable(&rig);
	device_enable(&rig);
	wq_enable(&rig, 0, 77);
	submit(&rig, 0, &d);
	assert_int_equal(fired(&rig, 0), 0);
	reg_write(&rig, DSA_GENCTRL, DSA_GENCTRL_SOFTERR, 4);
	submit(&rig, 0, &d);
	assert_int_equal(fired(&rig, 0), 1);
	assert_int_equal(reg_read(&rig, DSA_INTCAUSE, 4), DSA_INTCAUSE_ERROR);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(function_is_a_dsa),
		cmocka_unit_test(capabilities_follow_the_options),
		cmocka_unit_test(reads_of_every_width_agree),
		cmocka_unit_test(writes_of_odd_width_or_place_are_ignored),
		cmocka_unit_test(read_only_registers_stay),
		cmocka_unit_test(queue_is_fixed_while_enabled),
		cmocka_unit_test(groups_are_fixed_while_the_device_is_enabled),
		cmocka_unit_test(privilege_cannot_be_set),
		cmocka_unit_test(sixty_four_bit_writes_act_as_two),
		cmocka_unit_test(reset_command_restores_everything),
		cmocka_unit_test(function_level_reset_leaves_a_fresh_device),
		cmocka_unit_test(software_errors_are_kept_until_acknowledged),
		cmocka_unit_test(software_errors_interrupt_where_enabled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
