/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration space as the guest reaches it: masks, absent functions, capabilities, reset. */
#include "test-pci.h"

#include <errno.h>

struct spy {
	unsigned int written, resets, freed;
	uint32_t offset;
	unsigned int size;
	struct pci_function *function;
	uint16_t command_at_reset;
};

static void spy_written(void *opaque, uint32_t offset, unsigned int size)
{
	struct spy *spy = opaque;

	spy->written++;
	spy->offset = offset;
	spy->size = size;
}

static void spy_reset(void *opaque)
{
	struct spy *spy = opaque;

	spy->resets++;
	spy->command_at_reset =
		(uint16_t)load_le(pci_function_config(spy->function) + PCI_COMMAND, 2);
}

static void spy_free(void *opaque)
{
	((struct spy *)opaque)->freed++;
}

static const struct pci_ops spy_ops = { .config_written = spy_written,
					.reset = spy_reset,
					.free = spy_free };

static void identity_is_what_was_given(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);

	add_function(&rig, f, 5);
	assert_int_equal(pci_function_slot(f), 5);
	assert_string_equal(pci_function_name(f), "dev");
	assert_int_equal(cfg_read(&rig, 5, 0, 4), 0x0b258086);
	assert_int_equal(cfg_read(&rig, 5, PCI_CLASS_REVISION, 4), 0x08800003);
	assert_int_equal(cfg_read(&rig, 5, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001af4);
	assert_int_equal(cfg_read(&rig, 5, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(cfg_read(&rig, 5, PCI_STATUS, 2), 0);
	assert_int_equal(cfg_read(&rig, 5, PCI_ROM_ADDRESS, 4), 0);
	assert_int_equal(cfg_read(&rig, 5, 0, 8), 0x0b258086);
	rig_close(&rig);
}

static void slot_zero_is_a_host_bridge(void **state)
{
	RIG(rig, &rig_windows);

	assert_int_equal(cfg_read(&rig, 0, PCI_CLASS_DEVICE, 2), 0x0600);
	assert_int_equal(cfg_read(&rig, 0, PCI_HEADER_TYPE, 1), 0);
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		cfg_write(&rig, 0, PCI_BASE_ADDRESS_0 + 4 * i, 0xffffffff, 4);
		assert_int_equal(cfg_read(&rig, 0, PCI_BASE_ADDRESS_0 + 4 * i, 4), 0);
	}
	rig_close(&rig);
}

static void absent_functions_read_as_ones_and_lose_writes(void **state)
{
	RIG(rig, &rig_windows);

	add_function(&rig, new_function("dev", NULL, NULL), 3);
	for (unsigned int slot = 0; slot < PCI_SLOTS; slot++) {
		for (unsigned int fn = 0; fn < 8; fn++) {
			uint64_t at = cfg_address(slot, fn << 12);

			if (fn == 0 && (slot == 0 || slot == 3))
				continue;
			mem_write(&rig, at + PCI_COMMAND, 0, 2);
			assert_int_equal(mem_read(&rig, at, 1), 0xff);
			assert_int_equal(mem_read(&rig, at, 2), 0xffff);
			assert_int_equal(mem_read(&rig, at, 4), 0xffffffff);
			assert_true(mem_read(&rig, at, 8) == UINT64_MAX);
			assert_int_equal(mem_read(&rig, at + 0xfff, 1), 0xff);
		}
	}
	rig_close(&rig);
}

static void an_access_across_functions_is_split(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);

	memset(pci_function_writable(f) + 0xff8, 0xff, 8);
	add_function(&rig, f, 3);
	/* Function 1 of slot 3 is absent: ones above, bytes of function 0 below. */
	cfg_write(&rig, 3, 0xffc, 0x1122334455667788, 8);
	assert_true(cfg_read(&rig, 3, 0xffc, 8) == 0xffffffff55667788);
	assert_true(cfg_read(&rig, 3, 0xff8, 8) == 0x5566778800000000);
	/* The last byte of slot 2 and the first of slot 3. */
	assert_int_equal(mem_read(&rig, cfg_address(3, 0) - 1, 2), 0x86ff);
	assert_int_equal(mem_read(&rig, cfg_address(3, 0) - 2, 4), 0x8086ffff);
	/* The end of the ECAM. */
	assert_true(mem_read(&rig, ECAM + PCI_ECAM_SIZE - 4, 8) == UINT64_MAX);
	rig_close(&rig);
}

static void the_command_register_has_four_bits(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);

	add_function(&rig, f, -1);
	assert_int_equal(pci_function_slot(f), 1);
	assert_false(pci_function_bus_master(f));
	cfg_write(&rig, 1, PCI_COMMAND, 0xffffffff, 4);
	assert_int_equal(cfg_read(&rig, 1, PCI_COMMAND, 4), 0x0407);
	assert_true(pci_function_bus_master(f));
	assert_true(pci_function_mem_enabled(f));
	cfg_write(&rig, 1, PCI_COMMAND, PCI_COMMAND_MASTER, 1);
	assert_true(pci_function_bus_master(f));
	assert_false(pci_function_mem_enabled(f));
	assert_int_equal(cfg_read(&rig, 1, PCI_COMMAND, 2), 0x0404);
	cfg_write(&rig, 1, PCI_INTERRUPT_LINE, 0x5a, 1);
	assert_int_equal(cfg_read(&rig, 1, PCI_INTERRUPT_LINE, 2), 0x005a);
	rig_close(&rig);
}

static void the_device_hears_of_writes_after_the_masks(void **state)
{
	RIG(rig, &rig_windows);
	struct spy spy = { 0 };
	struct pci_function *f = new_function("dev", &spy_ops, &spy);

	spy.function = f;
	add_function(&rig, f, 2);
	cfg_write(&rig, 2, PCI_COMMAND, 0xffff, 2);
	assert_int_equal(spy.written, 1);
	assert_int_equal(spy.offset, PCI_COMMAND);
	assert_int_equal(spy.size, 2);
	cfg_write(&rig, 2, 0x123, 0, 8);
	assert_int_equal(spy.written, 2);
	assert_int_equal(spy.offset, 0x123);
	assert_int_equal(spy.size, 8);
	cfg_read(&rig, 2, 0, 4);
	assert_int_equal(spy.written, 2);
	pci_bus_remove(rig.bus, f);
	assert_int_equal(spy.freed, 1);
	assert_int_equal(cfg_read(&rig, 2, 0, 4), 0xffffffff);
	rig_close(&rig);
}

/* Bits the guest may change, said a second time and in another way. */
static uint64_t expected_writable(unsigned int byte, unsigned int msix)
{
	if (byte == PCI_COMMAND)
		return 0x07;
	if (byte == PCI_COMMAND + 1)
		return 0x04;
	if (byte == PCI_CACHE_LINE_SIZE || byte == PCI_INTERRUPT_LINE)
		return 0xff;
	if (byte >= 0x10 && byte < 0x14) /* BAR 0: 64 KiB, 32 bits */
		return 0xffff0000 >> (8 * (byte - 0x10)) & 0xff;
	if (byte >= 0x14 && byte < 0x1c) /* BAR 1: 8 GiB, 64 bits */
		return 0xfffffffe00000000 >> (8 * (byte - 0x14)) & 0xff;
	if (byte >= 0x1c && byte < 0x20) /* BAR 3: 16 bytes, 32 bits */
		return 0xfffffff0 >> (8 * (byte - 0x1c)) & 0xff;
	if (byte >= 0x20 && byte < 0x24) /* BAR 4: 4 ports */
		return 0xfffffffc >> (8 * (byte - 0x20)) & 0xff;
	if (byte == msix + PCI_MSIX_FLAGS + 1)
		return 0xc0;
	if (byte >= 0x200 && byte < 0x240)
		return 0x5a;
	return 0;
}

static void random_writes_agree_with_a_model_of_the_masks(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);
	uint8_t model[PCI_CONFIG_SIZE], was[PCI_CONFIG_SIZE];
	unsigned short seed[3] = { 1, 2, 3 };
	unsigned int msix = PCI_STD_HEADER_SIZEOF;
	struct err err = { 0 };

	add_bar(f, 0, PCI_BAR_MEM32, 64 * KIB, 1);
	add_bar(f, 1, PCI_BAR_MEM64, 8 * GIB, 2);
	add_bar(f, 3, PCI_BAR_MEM32, 16, 3);
	add_bar(f, 4, PCI_BAR_IO, 4, 4);
	assert_int_equal(pci_function_msix(f, 5, 0, 0, 0x800, &err), 0);
	memset(pci_function_writable(f) + 0x200, 0x5a, 0x40);
	add_function(&rig, f, 4);
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++)
		model[i] = was[i] = (uint8_t)cfg_read(&rig, 4, i, 1);

	for (unsigned int round = 0; round < 20000; round++) {
		unsigned int size = 1u << (nrand48(seed) & 3);
		unsigned int offset = (unsigned int)nrand48(seed) % PCI_CONFIG_SIZE;
		uint64_t value = (uint64_t)jrand48(seed) << 32 ^ (uint32_t)jrand48(seed);

		if (round & 1)
			offset %= 0x60;
		cfg_write(&rig, 4, offset, value, size);
		for (unsigned int i = 0; i < size && offset + i < PCI_CONFIG_SIZE; i++) {
			uint64_t w = expected_writable(offset + i, msix);

			model[offset + i] =
				(uint8_t)((was[offset + i] & ~w) | ((value >> (8 * i)) & w));
		}
		offset = (unsigned int)nrand48(seed) % (PCI_CONFIG_SIZE - 8);
		if (round & 2)
			offset %= 0x60;
		size = 1u << (nrand48(seed) & 3);
		assert_true(cfg_read(&rig, 4, offset, size) == load_le(model + offset, size));
	}
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++)
		assert_int_equal(cfg_read(&rig, 4, i, 1), model[i]);
	rig_close(&rig);
}

static void capability_lists_are_well_formed(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);
	uint32_t vendor, ext1, ext2, next;
	struct err err = { 0 };

	add_bar(f, 0, PCI_BAR_MEM64, 4096, 1);
	assert_int_equal(pci_function_express(f, &err), 0);
	assert_int_equal(pci_function_express(f, &err), -EEXIST);
	assert_int_equal(pci_function_msix(f, 2, 0, 0, 0x800, &err), 0);
	assert_int_equal(pci_function_capability(f, PCI_CAP_ID_VNDR, 17, &vendor, &err), 0);
	assert_int_equal(pci_function_ext_capability(f, 0x1b, 1, 8, &ext1, &err), 0);
	assert_int_equal(pci_function_ext_capability(f, 0x23, 2, 0x15, &ext2, &err), 0);
	add_function(&rig, f, 1);

	assert_int_equal(cfg_read(&rig, 1, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
	next = (uint32_t)cfg_read(&rig, 1, PCI_CAPABILITY_LIST, 1);
	assert_int_equal(next, 0x40);
	assert_int_equal(cfg_read(&rig, 1, next, 1), PCI_CAP_ID_EXP);
	assert_int_equal(cfg_read(&rig, 1, next + PCI_EXP_FLAGS, 2), 0x92);
	assert_int_equal(cfg_read(&rig, 1, next + PCI_EXP_DEVCAP, 4), 0x10008000);
	next = (uint32_t)cfg_read(&rig, 1, next + 1, 1);
	assert_int_equal(next, 0x7c);
	assert_int_equal(cfg_read(&rig, 1, next, 1), PCI_CAP_ID_MSIX);
	assert_int_equal(cfg_read(&rig, 1, next + PCI_MSIX_FLAGS, 2), 1);
	assert_int_equal(cfg_read(&rig, 1, next + PCI_MSIX_TABLE, 4), 0);
	assert_int_equal(cfg_read(&rig, 1, next + PCI_MSIX_PBA, 4), 0x800);
	next = (uint32_t)cfg_read(&rig, 1, next + 1, 1);
	assert_int_equal(next, vendor);
	assert_int_equal(cfg_read(&rig, 1, next, 2), PCI_CAP_ID_VNDR);

	assert_int_equal(ext1, 0x100);
	assert_int_equal(cfg_read(&rig, 1, ext1, 4), 0x1b | 1 << 16 | ext2 << 20);
	assert_int_equal(ext2, 0x108);
	assert_int_equal(cfg_read(&rig, 1, ext2, 4), 0x23 | 2 << 16);
	/* Bodies are read-only until the device says otherwise. */
	cfg_write(&rig, 1, vendor, UINT64_MAX, 8);
	assert_int_equal(cfg_read(&rig, 1, vendor, 8), PCI_CAP_ID_VNDR);
	assert_int_equal(pci_function_capability(f, PCI_CAP_ID_VNDR, 4, &vendor, &err), -EBUSY);
	rig_close(&rig);
}

static void capabilities_that_do_not_fit_are_refused(void **state)
{
	struct pci_function *f = new_function("dev", NULL, NULL);
	uint32_t at;
	struct err err = { 0 };

	assert_int_equal(pci_function_capability(f, 9, 1, &at, &err), -EINVAL);
	assert_int_equal(pci_function_capability(f, 9, 193, &at, &err), -ENOSPC);
	assert_int_equal(pci_function_capability(f, 9, 0xffffffff, &at, &err), -ENOSPC);
	assert_int_equal(pci_function_capability(f, 9, 191, &at, &err), 0);
	assert_int_equal(pci_function_capability(f, 9, 2, &at, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "dev"));
	assert_int_equal(pci_function_ext_capability(f, 0, 1, 8, &at, &err), -EINVAL);
	assert_int_equal(pci_function_ext_capability(f, 1, 16, 8, &at, &err), -EINVAL);
	assert_int_equal(pci_function_ext_capability(f, 1, 1, 3, &at, &err), -EINVAL);
	assert_int_equal(pci_function_ext_capability(f, 1, 1, 3841, &at, &err), -ENOSPC);
	assert_int_equal(pci_function_ext_capability(f, 1, 1, 3840, &at, &err), 0);
	assert_int_equal(pci_function_ext_capability(f, 1, 1, 4, &at, &err), -ENOSPC);
	pci_function_destroy(f);
}

static void function_level_reset_brings_power_on_back(void **state)
{
	RIG(rig, &rig_windows);
	struct spy spy = { 0 };
	struct pci_function *f = new_function("dev", &spy_ops, &spy);
	unsigned int devctl = 0x40 + PCI_EXP_DEVCTL;
	uint64_t address;
	struct err err = { 0 };

	spy.function = f;
	add_bar(f, 0, PCI_BAR_MEM64, 4096, 1);
	assert_int_equal(pci_function_express(f, &err), 0);
	pci_function_writable(f)[0x300] = 0xff;
	pci_function_config(f)[0x300] = 0x42;
	add_function(&rig, f, 1);
	address = pci_function_bar_address(f, 0);
	cfg_write(&rig, 1, PCI_COMMAND, 6, 2);
	cfg_write(&rig, 1, 0x300, 0x99, 1);
	cfg_write(&rig, 1, devctl, 0x700f, 2);
	assert_int_equal(cfg_read(&rig, 1, devctl, 2), 0x700f);
	assert_int_equal(mem_read(&rig, address, 4), TAG(1, 0));
	assert_int_equal(spy.resets, 0);

	cfg_write(&rig, 1, devctl, 0x800f, 2);
	assert_int_equal(spy.resets, 1);
	assert_int_equal(spy.command_at_reset, 0);
	assert_int_equal(cfg_read(&rig, 1, devctl, 2), 0x2000);
	assert_int_equal(cfg_read(&rig, 1, 0x300, 1), 0x42);
	assert_int_equal(cfg_read(&rig, 1, PCI_BASE_ADDRESS_0, 8), PCI_BASE_ADDRESS_MEM_TYPE_64);
	assert_int_equal(cfg_read(&rig, 1, 0, 4), 0x0b258086);
	assert_int_equal(mem_read(&rig, address, 4), 0xffffffff);
	assert_false(pci_function_mem_enabled(f));
	assert_int_equal(pci_function_bar_address(f, 0), 0);

	/* The same bit in wider and narrower writes; the byte beside it does nothing. */
	cfg_write(&rig, 1, devctl + 1, 0x80, 1);
	assert_int_equal(spy.resets, 2);
	cfg_write(&rig, 1, devctl - 4, 0x8000ULL << 32, 8);
	assert_int_equal(spy.resets, 3);
	cfg_write(&rig, 1, devctl, 0x80, 1);
	cfg_write(&rig, 1, devctl + 2, 0x80808080, 4);
	assert_int_equal(spy.resets, 3);
	rig_close(&rig);
	assert_int_equal(spy.freed, 1);
}

static void slots_are_chosen_and_guarded(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f[PCI_SLOTS], *more = new_function("more", NULL, NULL);
	struct err err = { 0 };

	assert_int_equal(pci_bus_add(rig.bus, more, 0, &err), -EINVAL);
	assert_int_equal(pci_bus_add(rig.bus, more, 32, &err), -EINVAL);
	assert_int_equal(pci_bus_add(rig.bus, more, -2, &err), -EINVAL);
	for (unsigned int i = 1; i < PCI_SLOTS; i++) {
		f[i] = new_function("dev", NULL, NULL);
		add_function(&rig, f[i], -1);
		assert_int_equal(pci_function_slot(f[i]), i);
	}
	assert_int_equal(pci_bus_add(rig.bus, more, -1, &err), -ENOSPC);
	assert_int_equal(pci_bus_add(rig.bus, more, 7, &err), -EEXIST);
	assert_int_equal(pci_bus_add(rig.bus, f[7], -1, &err), -EBUSY);
	pci_bus_remove(rig.bus, f[7]);
	add_function(&rig, more, -1);
	assert_int_equal(pci_function_slot(more), 7);
	rig_close(&rig);
}

static struct pci_function *add_named(struct rig *rig, const char *name)
{
	struct pci_function *function = new_function(name, NULL, NULL);

	add_function(rig, function, -1);
	return function;
}

static void a_slot_is_kept_for_its_function(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *one;
	struct err err = { 0 };

	assert_int_equal(pci_bus_reserve(rig.bus, "one", 0, &err), -EINVAL);
	assert_int_equal(pci_bus_reserve(rig.bus, "one", 32, &err), -EINVAL);
	assert_int_equal(pci_bus_reserve(rig.bus, "one", 2, &err), 0);
	assert_int_equal(pci_bus_reserve(rig.bus, "one", 2, &err), 0);
	assert_int_equal(pci_bus_reserve(rig.bus, "other", 2, &err), -EEXIST);
	assert_string_equal(err.text, "other: slot 2 is that of one: choose another");
	assert_int_equal(pci_bus_reserve(rig.bus, "one", 5, &err), -ENOTUNIQ);
	assert_int_equal(pci_function_slot(add_named(&rig, "first")), 1);
	assert_int_equal(pci_function_slot(add_named(&rig, "second")), 3);
	one = add_named(&rig, "one");
	assert_int_equal(pci_function_slot(one), 2);
	assert_int_equal(pci_bus_reserve(rig.bus, "other", 2, &err), -EEXIST);
	assert_string_equal(err.text, "other: slot 2 holds one: choose another");
	/* Kept for as long as it comes once. */
	pci_bus_remove(rig.bus, one);
	assert_int_equal(pci_function_slot(add_named(&rig, "third")), 2);
	assert_int_equal(pci_bus_reserve(rig.bus, "late", 4, &err), 0);
	pci_bus_unreserve(rig.bus, "late");
	assert_int_equal(pci_function_slot(add_named(&rig, "fourth")), 4);
	rig_close(&rig);
}

static void impossible_functions_and_buses_are_refused(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_id id = { .vendor = 0xffff };
	struct pci_bus_options o = rig_windows;
	struct pci_function *f;
	struct pci_bus *bus;
	struct err err = { 0 };

	assert_int_equal(pci_function_create(&f, "dev", &id, NULL, NULL, &err), -EINVAL);
	id.vendor = 1;
	assert_int_equal(pci_function_create(&f, "", &id, NULL, NULL, &err), -EINVAL);
	o.ecam_base += 4096;
	assert_int_equal(pci_bus_create(&bus, rig.vm, &o, &err), -EINVAL);
	o.ecam_base = 0xc0000000;
	assert_int_equal(pci_bus_create(&bus, rig.vm, &o, &err), -EINVAL);
	o.ecam_base = ECAM; /* taken by the rig's own bus */
	assert_int_equal(pci_bus_create(&bus, rig.vm, &o, &err), -EEXIST);
	o.ecam_base = 0xf0000000;
	o.mem32.size = 1ULL << 32;
	assert_int_equal(pci_bus_create(&bus, rig.vm, &o, &err), -EINVAL);
	o.mem32.size = 0;
	o.mem64 = (struct pci_window){ UINT64_MAX - 4095, 8192 };
	assert_int_equal(pci_bus_create(&bus, rig.vm, &o, &err), -EINVAL);
	o.mem64.size = 4096;
	o.io.size = 0x4001;
	assert_int_equal(pci_bus_create(&bus, rig.vm, &o, &err), -EINVAL);
	o.io.size = 0x4000;
	assert_int_equal(pci_bus_create(&bus, rig.vm, &o, &err), 0);
	pci_bus_destroy(bus);
	rig_close(&rig);
}

static uint64_t port_read(struct rig *rig, uint64_t offset, unsigned int size)
{
	return pci_bus_ports.read(rig->bus, offset, size) & mask_bytes(size);
}

static void port_write(struct rig *rig, uint64_t offset, uint64_t value, unsigned int size)
{
	pci_bus_ports.write(rig->bus, offset, value, size);
}

static void mechanism_1_reaches_what_the_ecam_does(void **state)
{
	struct rig rig;

	if (!rig_open(&rig, &rig_windows))
		skip();
	assert_int_equal(port_read(&rig, 4, 4), 0xffffffff); /* not enabled */
	port_write(&rig, 0, 0x80000000, 4);
	assert_int_equal(port_read(&rig, 0, 4), 0x80000000);
	assert_int_equal(port_read(&rig, 4, 4), 0x00081b36);
	assert_int_equal(port_read(&rig, 6, 2), 0x0008);
	assert_int_equal(port_read(&rig, 5, 1), 0x1b);
	assert_int_equal(port_read(&rig, 7, 2), 0xffff); /* leaves the data register */
	port_write(&rig, 0, 0x80000000 | PCI_INTERRUPT_LINE, 4);
	port_write(&rig, 4 + (PCI_INTERRUPT_LINE & 3), 0x5a, 1);
	assert_int_equal(port_read(&rig, 4, 1), 0x5a);
	port_write(&rig, 0, 0x80010000, 4); /* bus 1 */
	assert_int_equal(port_read(&rig, 4, 4), 0xffffffff);
	port_write(&rig, 0, 0x80000800, 4); /* device 1 is not there */
	assert_int_equal(port_read(&rig, 4, 4), 0xffffffff);
	port_write(&rig, 0, 0xff, 1); /* only 4-byte writes change the address */
	assert_int_equal(port_read(&rig, 0, 4), 0x80000800);
	port_write(&rig, 0, 0xffffffff, 4);
	assert_int_equal(port_read(&rig, 0, 4), 0x80fffffc);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mechanism_1_reaches_what_the_ecam_does),
		cmocka_unit_test(identity_is_what_was_given),
		cmocka_unit_test(slot_zero_is_a_host_bridge),
		cmocka_unit_test(absent_functions_read_as_ones_and_lose_writes),
		cmocka_unit_test(an_access_across_functions_is_split),
		cmocka_unit_test(the_command_register_has_four_bits),
		cmocka_unit_test(the_device_hears_of_writes_after_the_masks),
		cmocka_unit_test(random_writes_agree_with_a_model_of_the_masks),
		cmocka_unit_test(capability_lists_are_well_formed),
		cmocka_unit_test(capabilities_that_do_not_fit_are_refused),
		cmocka_unit_test(function_level_reset_brings_power_on_back),
		cmocka_unit_test(slots_are_chosen_and_guarded),
		cmocka_unit_test(a_slot_is_kept_for_its_function),
		cmocka_unit_test(impossible_functions_and_buses_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
