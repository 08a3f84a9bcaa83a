/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest sees of an assigned function's configuration space and BARs, and what of its
 * writes reaches the device.
 */
#include "fake-vfio.h"

#include "kvm-glue/irq.h"

#include "kvm-glue/memory.h"

static uint64_t cfg(struct fake_rig *m, unsigned int offset, unsigned int size)
{
	return cfg_read(&m->rig, FAKE_SLOT, offset, size);
}

static uint16_t device_word(struct fake_rig *m, unsigned int offset)
{
	return (uint16_t)load_le(m->v.config + offset, 2);
}

static void plug(struct fake_rig *m)
{
	const struct vfio_options options = fake_options(m);

	fake_plug(m, &options);
}

/* Where the capability is in the guest's list, 0: nowhere. */
static unsigned int find(struct fake_rig *m, uint8_t id)
{
	unsigned int at = (unsigned int)cfg(m, PCI_CAPABILITY_LIST, 1);

	for (unsigned int n = 0; at && n < 48; n++) {
		if (cfg(m, at, 1) == id)
			return at;
		at = (unsigned int)cfg(m, at + 1, 1);
	}
	return 0;
}

static void the_header_is_the_devices_identity(void **state)
{
	FAKE_RIG(m);

	plug(m);
	assert_int_equal(cfg(m, 0, 4), 0x00101b36);
	assert_int_equal(cfg(m, PCI_CLASS_REVISION, 4), 0x01080202);
	assert_int_equal(cfg(m, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(cfg(m, PCI_INTERRUPT_PIN, 1), 1);
	cfg_write(&m->rig, FAKE_SLOT, PCI_BASE_ADDRESS_0, ~0u, 4);
	assert_int_equal(cfg(m, PCI_BASE_ADDRESS_0, 4), (uint32_t) ~(FAKE_BAR0_SIZE - 1) + 0xc);
	assert_int_equal(load_le(m->v.config + PCI_BASE_ADDRESS_0, 4), 0xc);
	fake_rig_close(m);
}

static void known_capabilities_stay_in_place_and_others_are_hidden(void **state)
{
	FAKE_RIG(m);

	plug(m);
	assert_int_equal(find(m, PCI_CAP_ID_PM), FAKE_PM);
	assert_int_equal(find(m, PCI_CAP_ID_MSI), FAKE_MSI);
	assert_int_equal(find(m, PCI_CAP_ID_EXP), FAKE_EXP);
	assert_int_equal(find(m, PCI_CAP_ID_MSIX), FAKE_MSIX);
	assert_int_equal(find(m, PCI_CAP_ID_VNDR), FAKE_VENDOR);
	assert_int_equal(find(m, PCI_CAP_ID_VPD), FAKE_VPD);
	assert_int_equal(find(m, PCI_CAP_ID_HT), 0);
	assert_int_equal(cfg(m, FAKE_AER, 4), 0x18020001);
	assert_int_equal(cfg(m, FAKE_DSN, 4), 0x00010003);
	assert_true(cfg(m, FAKE_DSN + 4, 8) == 0x1122334455667788);
	assert_int_equal(cfg(m, FAKE_ATS, 4), 0);
	assert_int_equal(cfg(m, FAKE_ATS + 4, 4), 0);
	fake_rig_close(m);
}

static void it_is_an_integrated_endpoint_without_a_link(void **state)
{
	FAKE_RIG(m);

	plug(m);
	assert_int_equal(cfg(m, FAKE_EXP + PCI_EXP_FLAGS, 2), 2 | PCI_EXP_TYPE_RC_END << 4);
	assert_int_equal(cfg(m, FAKE_EXP + PCI_EXP_LNKCAP, 4), 0);
	assert_true(cfg(m, FAKE_EXP + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR);
	fake_rig_close(m);
}

static void power_states_are_virtual(void **state)
{
	FAKE_RIG(m);

	plug(m);
	cfg_write(&m->rig, FAKE_SLOT, FAKE_PM + PCI_PM_CTRL, 3, 2);
	assert_int_equal(cfg(m, FAKE_PM + PCI_PM_CTRL, 2), 3 | PCI_PM_CTRL_NO_SOFT_RESET);
	assert_int_equal(device_word(m, FAKE_PM + PCI_PM_CTRL), 0);
	assert_int_equal(cfg(m, FAKE_PM + PCI_PM_PMC, 2), 3);
	fake_rig_close(m);
}

static void vendor_bytes_are_the_devices_but_for_the_header(void **state)
{
	FAKE_RIG(m);

	plug(m);
	assert_int_equal(cfg(m, FAKE_VENDOR + 2, 4), 0xaabbcc08);
	cfg_write(&m->rig, FAKE_SLOT, FAKE_VENDOR, 0x12345678, 4);
	assert_int_equal(m->v.config[FAKE_VENDOR], PCI_CAP_ID_VNDR);
	assert_int_equal(m->v.config[FAKE_VENDOR + 1], FAKE_HT);
	assert_int_equal(device_word(m, FAKE_VENDOR + 2), 0x1234);
	fake_rig_close(m);
}

static void bus_master_is_the_guests_and_decoding_stays_on(void **state)
{
	const uint16_t decode = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
	FAKE_RIG(m);

	plug(m);
	assert_int_equal(device_word(m, PCI_COMMAND), decode | PCI_COMMAND_MASTER);
	cfg_write(&m->rig, FAKE_SLOT, PCI_COMMAND, 0, 2);
	assert_int_equal(device_word(m, PCI_COMMAND), decode);
	cfg_write(&m->rig, FAKE_SLOT, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
	assert_int_equal(device_word(m, PCI_COMMAND), decode | PCI_COMMAND_MASTER);
	pci_bus_remove(m->rig.bus, vfio_function_pci(m->f));
	assert_int_equal(device_word(m, PCI_COMMAND), decode);
	fake_rig_close(m);
}

/* Of each question: what bus mastering of the device was then. */
struct asked {
	struct fake_rig *m;
	bool let;
	unsigned int times, masters;
};

static bool on_dma(void *opaque)
{
	struct asked *asked = opaque;

	asked->times++;
	asked->masters += !!(device_word(asked->m, PCI_COMMAND) & PCI_COMMAND_MASTER);
	return asked->let;
}

static void no_dma_is_allowed_before_somebody_was_asked(void **state)
{
	const uint16_t decode = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
	struct asked asked = { .let = false };
	struct vfio_options options;
	FAKE_RIG(m);

	asked.m = m;
	options = fake_options(m);
	options.event = NULL;
	options.dma = on_dma;
	options.opaque = &asked;
	fake_plug(m, &options); /* which sets it */
	assert_int_equal(asked.times, 1);
	assert_int_equal(device_word(m, PCI_COMMAND), decode);
	/* Nobody is asked of what asks for none. */
	cfg_write(&m->rig, FAKE_SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(asked.times, 1);
	asked.let = true;
	cfg_write(&m->rig, FAKE_SLOT, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
	assert_int_equal(asked.times, 2);
	assert_int_equal(asked.masters, 0);
	assert_int_equal(device_word(m, PCI_COMMAND), decode | PCI_COMMAND_MASTER);
	fake_rig_close(m);
}

static void no_snoop_enable_is_the_guests_where_the_policy_says_so(void **state)
{
	for (unsigned int allowed = 0; allowed < 2; allowed++) {
		const unsigned int at = FAKE_EXP + PCI_EXP_DEVCTL;
		struct vfio_options options;
		FAKE_RIG(m);

		options = fake_options(m);
		options.no_snoop = allowed;
		fake_plug(m, &options);
		assert_int_equal(!!(device_word(m, at) & PCI_EXP_DEVCTL_NOSNOOP_EN), allowed);
		cfg_write(&m->rig, FAKE_SLOT, at, 0, 2);
		assert_int_equal(device_word(m, at) & PCI_EXP_DEVCTL_NOSNOOP_EN, 0);
		cfg_write(&m->rig, FAKE_SLOT, at,
			  PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_RELAX_EN, 2);
		assert_int_equal(!!(device_word(m, at) & PCI_EXP_DEVCTL_NOSNOOP_EN), allowed);
		assert_int_equal(!!(cfg(m, at, 2) & PCI_EXP_DEVCTL_NOSNOOP_EN), allowed);
		assert_true(device_word(m, at) & PCI_EXP_DEVCTL_RELAX_EN);
		fake_rig_close(m);
	}
}

static void a_function_level_reset_resets_the_device(void **state)
{
	const uint16_t decode = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
	FAKE_RIG(m);

	plug(m);
	m->v.bar0[0] = 7;
	for (unsigned int i = 1; i <= 100; i++) {
		cfg_write(&m->rig, FAKE_SLOT, FAKE_EXP + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR, 2);
		assert_int_equal(m->v.resets, i);
	}
	assert_int_equal(m->v.bar0[0], 0);
	assert_int_equal(cfg(m, PCI_COMMAND, 2), 0);
	assert_int_equal(device_word(m, PCI_COMMAND), decode);
	fake_rig_close(m);
}

static void a_device_without_reset_is_refused_unless_allowed(void **state)
{
	struct vfio_options options;
	struct err err = { 0 };
	FAKE_RIG(m);

	options = fake_options(m);
	m->v.flags = VFIO_DEVICE_FLAGS_PCI;
	assert_int_equal(vfio_function_create(&m->f, m->rig.vm, &options, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "allow_no_reset"));
	m->v.bus_reset = true;
	fake_plug(m, &options);
	assert_string_equal(vfio_function_reset_name(m->f), "bus");
	assert_int_equal(m->v.bus_resets, 1);
	assert_false(cfg(m, FAKE_EXP + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR);
	pci_bus_remove(m->rig.bus, vfio_function_pci(m->f));
	m->v.shy_reset = true;
	fake_plug(m, &options);
	assert_string_equal(vfio_function_reset_name(m->f), "function");
	pci_bus_remove(m->rig.bus, vfio_function_pci(m->f));
	m->v.bus_reset = m->v.shy_reset = false;
	options.allow_no_reset = true;
	fake_plug(m, &options);
	assert_string_equal(vfio_function_reset_name(m->f), "none");
	fake_rig_close(m);
}

/* Neither a group of the bus may be missing, nor may one be named that is not on it. */
static void a_bus_is_reset_for_who_holds_its_groups(void **state)
{
	const struct vfio_group groups[] = { { 7, 2007 }, { 8, 2008 }, { 9, 2009 }, { -1, 1999 } };
	struct vfio_options options;
	struct err err = { 0 };
	FAKE_RIG(m);

	m->v.flags = VFIO_DEVICE_FLAGS_PCI;
	m->v.bus_reset = true;
	options = fake_options(m);
	options.groups = groups;
	options.n_groups = ARRAY_SIZE(groups);
	m->v.groups[0] = 9;
	m->v.groups[1] = 10;
	assert_int_equal(vfio_function_create(&m->f, m->rig.vm, &options, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "Operation not permitted"));
	assert_int_equal(m->v.bus_resets, 0);
	for (int second = 8; second < 10; second++) {
		m->v.groups[1] = second;
		fake_plug(m, &options);
		assert_string_equal(vfio_function_reset_name(m->f), "bus");
		assert_int_equal(m->v.bus_resets, second - 7);
		pci_bus_remove(m->rig.bus, vfio_function_pci(m->f));
	}
	m->v.bus_reset = false;
	assert_int_equal(vfio_function_create(&m->f, m->rig.vm, &options, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "No such device"));
	fake_rig_close(m);
}

/* However the device was had: who is on the bus with it is in the guest's hands already. */
static void a_bus_with_a_neighbour_that_the_guest_has_is_not_reset(void **state)
{
	const struct vfio_group groups[] = { { 7, 2007 } };
	struct vfio_neighbour there[] = { { "0000:05:00.1", "far" }, { "0000:04:00.1", "near" } };

	for (unsigned int by_group = 0; by_group < 2; by_group++) {
		struct vfio_options options;
		struct err err = { 0 };
		FAKE_RIG(m);

		m->v.flags = VFIO_DEVICE_FLAGS_PCI;
		m->v.bus_reset = true;
		m->v.groups[0] = m->v.groups[1] = 7;
		options = fake_options(m);
		options.groups = groups;
		options.n_groups = by_group;
		options.neighbours = there;
		options.n_neighbours = 2;
		assert_int_equal(vfio_function_create(&m->f, m->rig.vm, &options, &err), -EBUSY);
		assert_non_null(strstr(err.text, "nvme cannot be reset now"));
		assert_non_null(strstr(err.text, "resets near too"));
		assert_non_null(strstr(err.text, "allow_no_reset"));
		options.allow_no_reset = true;
		fake_plug(m, &options);
		assert_string_equal(vfio_function_reset_name(m->f), "none");
		assert_int_equal(m->v.bus_resets, 0);
		pci_bus_remove(m->rig.bus, vfio_function_pci(m->f));
		options.n_neighbours = 1;
		fake_plug(m, &options);
		assert_string_equal(vfio_function_reset_name(m->f), "bus");
		assert_int_equal(m->v.bus_resets, 1);
		fake_rig_close(m);
	}
}

/* Functions 0 and 1 of bus 4 are on one, then another one is with the first. */
static void a_bus_is_reset_once_for_all_that_are_open(void **state)
{
	struct vfio_fresh fresh = { .n = 0 };
	struct vfio_options options;
	FAKE_RIG(m);

	m->v.flags = VFIO_DEVICE_FLAGS_PCI;
	m->v.bus_reset = true;
	options = fake_options(m);
	options.fresh = &fresh;
	for (unsigned int i = 0; i < 2; i++) {
		fake_plug(m, &options);
		assert_string_equal(vfio_function_reset_name(m->f), "bus");
		assert_int_equal(m->v.bus_resets, 1);
		pci_bus_remove(m->rig.bus, vfio_function_pci(m->f));
	}
	assert_int_equal(fresh.n, 2);
	assert_int_equal(fresh.function[1], 4 << 8 | 1);
	fresh.function[1] = 4 << 8 | 8;
	fake_plug(m, &options);
	assert_int_equal(m->v.bus_resets, 2);
	pci_bus_remove(m->rig.bus, vfio_function_pci(m->f));
	/* Without room each is reset by itself, as it is alone. */
	fresh = (struct vfio_fresh){ .n = VFIO_FRESH_MAX };
	fake_plug(m, &options);
	assert_int_equal(m->v.bus_resets, 3);
	pci_bus_remove(m->rig.bus, vfio_function_pci(m->f));
	options.fresh = NULL;
	fake_plug(m, &options);
	assert_int_equal(m->v.bus_resets, 4);
	fake_rig_close(m);
}

static void what_is_no_pci_function_is_refused(void **state)
{
	struct vfio_options options;
	struct err err = { 0 };
	FAKE_RIG(m);

	options = fake_options(m);
	m->v.flags = 0;
	assert_int_equal(vfio_function_create(&m->f, m->rig.vm, &options, &err), -ENOTSUP);
	m->v.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	m->v.config[PCI_HEADER_TYPE] = 1;
	assert_int_equal(vfio_function_create(&m->f, m->rig.vm, &options, &err), -ENOTSUP);
	m->v.config[PCI_HEADER_TYPE] = 0;
	store_le(m->v.config, 0xffff, 2);
	assert_int_equal(vfio_function_create(&m->f, m->rig.vm, &options, &err), -EIO);
	fake_rig_close(m);
}

static void a_configuration_space_that_ends_early_reads_as_0(void **state)
{
	struct vfio_options options;
	struct err err = { 0 };
	FAKE_RIG(m);

	options = fake_options(m);
	m->v.config_size = 32;
	assert_int_equal(vfio_function_create(&m->f, m->rig.vm, &options, &err), -EINVAL);
	m->v.config_size = 255;
	fake_plug(m, &options);
	assert_int_equal(cfg(m, 0, 4), 0x00101b36);
	assert_int_equal(cfg(m, 0xfc, 4), 0);
	assert_int_equal(cfg(m, FAKE_AER, 4), 0);
	fake_rig_close(m);
}

static void capability_lists_that_loop_or_overlap_end(void **state)
{
	struct vfio_options options;
	struct err err = { 0 };
	FAKE_RIG(m);

	options = fake_options(m);
	m->v.config[FAKE_VPD + 1] = FAKE_HT; /* both are passed over or refused, never for ever */
	assert_int_equal(vfio_function_create(&m->f, m->rig.vm, &options, &err), -EEXIST);
	m->v.config[FAKE_VPD + 1] = 0;
	store_le(m->v.config + FAKE_DSN, 3 | 1 << 16 | FAKE_ATS << 20, 4);
	fake_plug(m, &options);
	fake_rig_close(m);
}

/* --- BARs ------------------------------------------------------------------------------------ */

static bool slot_at(struct fake_rig *m, uint64_t offset)
{
	static uint8_t page[4096] __attribute__((aligned(4096)));
	const struct vm_memory memory = { .gpa = m->bar0 + offset, .size = 4096, .hva = page };
	unsigned int slot;

	if (vm_memory_add(m->rig.vm, &memory, &slot, NULL) == -EEXIST)
		return true;
	assert_int_equal(vm_memory_remove(m->rig.vm, slot, NULL), 0);
	return false;
}

static void pages_of_the_msix_table_are_not_mapped(void **state)
{
	FAKE_RIG(m);

	plug(m);
	for (uint64_t at = 0; at < FAKE_BAR0_SIZE; at += 4096)
		assert_int_equal(slot_at(m, at), at != FAKE_TABLE && at != FAKE_PBA);
	fake_rig_close(m);
}

static void only_what_the_region_offers_is_mapped(void **state)
{
	FAKE_RIG(m);

	m->v.sparse = true;
	plug(m);
	for (uint64_t at = 0; at < FAKE_BAR0_SIZE; at += 4096)
		assert_int_equal(slot_at(m, at),
				 (at >= 0x1000 && at < 0x3000) || (at >= 0x8000 && at < 0xc000));
	fake_rig_close(m);
}

static void accesses_that_are_not_mapped_are_answered_by_the_device(void **state)
{
	FAKE_RIG(m);

	plug(m);
	store_le(m->v.bar0 + FAKE_PBA + 0x800, 0x1122334455667788, 8);
	assert_true(mem_read(&m->rig, m->bar0 + FAKE_PBA + 0x800, 8) == 0x1122334455667788);
	mem_write(&m->rig, m->bar0 + FAKE_PBA + 0x900, 0xab, 1);
	assert_int_equal(m->v.bar0[FAKE_PBA + 0x900], 0xab);
	/* The table is adit's. */
	mem_write(&m->rig, m->bar0 + FAKE_TABLE, 0xfee00000, 4);
	assert_int_equal(m->v.bar0[FAKE_TABLE + 2], 0);
	fake_rig_close(m);
}

/* Whether KVM has an event for that write: a second one for it is refused. */
static bool kvm_listens(struct fake_rig *m, uint64_t address, uint64_t data)
{
	const struct ioevent event = { .address = address, .size = 4, .match = true, .data = data };
	int fd = eventfd(0, EFD_CLOEXEC), ret = ioevent_add(m->rig.vm, &event, fd, NULL);

	if (!ret)
		ioevent_remove(m->rig.vm, &event, fd);
	close(fd);
	return ret == -EEXIST;
}

static void ring(struct fake_rig *m, uint64_t offset, uint32_t value, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++)
		mem_write(&m->rig, m->bar0 + offset, value, 4);
}

static void a_value_that_is_written_again_and_again_is_a_doorbell(void **state)
{
	const uint64_t at = FAKE_PBA + 0x900;
	FAKE_RIG(m);

	plug(m);
	/* Neither different values nor few of one, nor the table. */
	for (unsigned int i = 0; i < 40; i++)
		ring(m, at, i, 1);
	ring(m, at, 7, 16);
	ring(m, FAKE_TABLE, 7, 40);
	assert_int_equal(m->v.n_bells, 0);
	ring(m, at, 7, 17);
	assert_int_equal(m->v.n_bells, 1);
	assert_int_equal(m->v.bells[0].offset, at);
	assert_int_equal(m->v.bells[0].data, 7);
	assert_int_equal(m->v.bells[0].flags, VFIO_DEVICE_IOEVENTFD_32);
	assert_true(kvm_listens(m, m->bar0 + at, 7));
	assert_false(kvm_listens(m, m->bar0 + at, 8));
	/* It goes with the BAR, and with its decoding. */
	cfg_write(&m->rig, FAKE_SLOT, PCI_BASE_ADDRESS_0, m->bar0 + 0x100000, 4);
	assert_false(kvm_listens(m, m->bar0 + at, 7));
	assert_true(kvm_listens(m, m->bar0 + 0x100000 + at, 7));
	cfg_write(&m->rig, FAKE_SLOT, PCI_COMMAND, 0, 2);
	assert_false(kvm_listens(m, m->bar0 + 0x100000 + at, 7));
	cfg_write(&m->rig, FAKE_SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_true(kvm_listens(m, m->bar0 + 0x100000 + at, 7));
	/* One a value, though it came here again. */
	m->bar0 += 0x100000;
	ring(m, at, 7, 40);
	assert_int_equal(m->v.n_bells, 1);
	ring(m, at + 4, 7, 17);
	assert_int_equal(m->v.n_bells, 2);
	pci_bus_remove(m->rig.bus, vfio_function_pci(m->f));
	assert_int_equal(m->v.bells_off, 2);
	assert_false(kvm_listens(m, m->bar0 + at, 7));
	fake_rig_close(m);
}

static void a_device_without_doorbells_is_asked_once(void **state)
{
	FAKE_RIG(m);

	m->v.bells_refused = true;
	plug(m);
	ring(m, FAKE_PBA + 0x900, 7, 40);
	m->v.bells_refused = false;
	ring(m, FAKE_PBA + 0x904, 7, 40);
	assert_int_equal(m->v.n_bells, 0);
	assert_int_equal(m->v.bar0[FAKE_PBA + 0x904], 7);
	fake_rig_close(m);
}

static void an_io_bar_is_answered_by_the_device(void **state)
{
	FAKE_RIG(m);
	uint64_t port;

	plug(m);
	port = pci_function_bar_address(vfio_function_pci(m->f), 2);
	m->v.io[4] = 0x5a;
	assert_int_equal(pio_read(&m->rig, port + 4, 1), 0x5a);
	fake_rig_close(m);
}

static void the_rom_is_shown_on_request_alone(void **state)
{
	for (unsigned int shown = 0; shown < 2; shown++) {
		struct vfio_options options;
		uint64_t at;
		FAKE_RIG(m);

		options = fake_options(m);
		options.rom = shown;
		fake_plug(m, &options);
		store_le(m->v.rom, 0xaa55, 2);
		at = cfg(m, PCI_ROM_ADDRESS, 4);
		assert_int_equal(at != 0, shown);
		if (shown) {
			cfg_write(&m->rig, FAKE_SLOT, PCI_ROM_ADDRESS, at | 1, 4);
			assert_int_equal(mem_read(&m->rig, at, 2), 0xaa55);
		}
		fake_rig_close(m);
	}
}

static void a_rom_that_hangs_its_device_is_never_shown(void **state)
{
	struct vfio_options options;
	FAKE_RIG(m);

	/* Broadcom BCM57810: a row of the table of quirks. */
	store_le(m->v.config + PCI_VENDOR_ID, 0x14e4, 2);
	store_le(m->v.config + PCI_DEVICE_ID, 0x168e, 2);
	options = fake_options(m);
	options.rom = true;
	fake_plug(m, &options);
	assert_int_equal(cfg(m, PCI_ROM_ADDRESS, 4), 0);
	fake_rig_close(m);
}

/* The guest's address of a BAR is aligned to its size: so must the host's be, for large pages. */
static void a_large_bar_is_mapped_where_large_pages_can_be(void **state)
{
	static const uint64_t sizes[] = { 2 * MIB, 16 * MIB };

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		FAKE_RIG(m);

		m->v.bar4_size = sizes[i];
		store_le(m->v.config + PCI_BASE_ADDRESS_4, 0xc, 4);
		plug(m);
		assert_non_null(m->v.bar4_at);
		assert_true(is_aligned((uintptr_t)m->v.bar4_at, 2 * MIB));
		fake_rig_close(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_header_is_the_devices_identity),
		cmocka_unit_test(known_capabilities_stay_in_place_and_others_are_hidden),
		cmocka_unit_test(it_is_an_integrated_endpoint_without_a_link),
		cmocka_unit_test(power_states_are_virtual),
		cmocka_unit_test(vendor_bytes_are_the_devices_but_for_the_header),
		cmocka_unit_test(bus_master_is_the_guests_and_decoding_stays_on),
		cmocka_unit_test(no_dma_is_allowed_before_somebody_was_asked),
		cmocka_unit_test(no_snoop_enable_is_the_guests_where_the_policy_says_so),
		cmocka_unit_test(a_function_level_reset_resets_the_device),
		cmocka_unit_test(a_device_without_reset_is_refused_unless_allowed),
		cmocka_unit_test(a_bus_is_reset_for_who_holds_its_groups),
		cmocka_unit_test(a_bus_with_a_neighbour_that_the_guest_has_is_not_reset),
		cmocka_unit_test(a_bus_is_reset_once_for_all_that_are_open),
		cmocka_unit_test(what_is_no_pci_function_is_refused),
		cmocka_unit_test(a_configuration_space_that_ends_early_reads_as_0),
		cmocka_unit_test(capability_lists_that_loop_or_overlap_end),
		cmocka_unit_test(pages_of_the_msix_table_are_not_mapped),
		cmocka_unit_test(only_what_the_region_offers_is_mapped),
		cmocka_unit_test(accesses_that_are_not_mapped_are_answered_by_the_device),
		cmocka_unit_test(a_value_that_is_written_again_and_again_is_a_doorbell),
		cmocka_unit_test(a_device_without_doorbells_is_asked_once),
		cmocka_unit_test(an_io_bar_is_answered_by_the_device),
		cmocka_unit_test(the_rom_is_shown_on_request_alone),
		cmocka_unit_test(a_rom_that_hangs_its_device_is_never_shown),
		cmocka_unit_test(a_large_bar_is_mapped_where_large_pages_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
