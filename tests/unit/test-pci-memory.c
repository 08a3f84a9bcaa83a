/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BARs that are host memory: their slots are there exactly while and where the BAR is decoded. And
 * the expansion ROM, passed configuration bytes and capabilities at given places.
 */
#include "test-pci.h"

#include <errno.h>
#include <sys/mman.h>

#include "kvm-glue/memory.h"

#define PAGE  4096u
#define SIZE  (16u * PAGE)
#define FIRST (4u * PAGE) /* before it and after LAST the device answers */
#define LAST  (8u * PAGE)

static const uint16_t mem_on = PCI_COMMAND_MEMORY;

/* A slot on the page refuses another there. */
static bool shown(struct rig *rig, uint64_t gpa, void *page)
{
	const struct vm_memory memory = { .gpa = gpa, .size = PAGE, .hva = page };
	unsigned int slot;

	if (vm_memory_add(rig->vm, &memory, &slot, NULL) == -EEXIST)
		return true;
	assert_int_equal(vm_memory_remove(rig->vm, slot, NULL), 0);
	return false;
}

struct memory_rig {
	struct rig rig;
	struct pci_function *f;
	uint8_t *pages; /* SIZE, and one more */
	uint64_t bar;
};

static bool memory_open(struct memory_rig *m)
{
	struct err err = { 0 };

	if (!rig_open(&m->rig, &rig_windows))
		return false;
	m->pages =
		mmap(NULL, SIZE + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(m->pages != MAP_FAILED);
	m->f = new_function("dev", NULL, NULL);
	add_bar(m->f, 2, PCI_BAR_MEM64, SIZE, 9);
	if (pci_function_bar_memory(m->f, 2, FIRST, LAST - FIRST, m->pages + FIRST, &err))
		fail_msg("%s", err.text);
	add_function(&m->rig, m->f, 1);
	m->bar = pci_function_bar_address(m->f, 2);
	return true;
}

static void memory_close(struct memory_rig *m)
{
	rig_close(&m->rig);
	munmap(m->pages, SIZE + PAGE);
}

#define MEMORY_RIG(m)                   \
	struct memory_rig m;            \
	do {                            \
		if (!memory_open(&(m))) \
			skip();         \
	} while (0)

static bool shown_at(struct memory_rig *m, uint64_t bar)
{
	bool first = shown(&m->rig, bar + FIRST, m->pages + SIZE);

	assert_int_equal(shown(&m->rig, bar + LAST - PAGE, m->pages + SIZE), first);
	assert_false(shown(&m->rig, bar + FIRST - PAGE, m->pages + SIZE));
	assert_false(shown(&m->rig, bar + LAST, m->pages + SIZE));
	return first;
}

static void memory_is_shown_while_the_bar_is_decoded(void **state)
{
	MEMORY_RIG(m);

	assert_false(shown_at(&m, m.bar));
	cfg_write(&m.rig, 1, PCI_COMMAND, mem_on, 2);
	assert_true(shown_at(&m, m.bar));
	cfg_write(&m.rig, 1, PCI_COMMAND, 0, 2);
	assert_false(shown_at(&m, m.bar));
	memory_close(&m);
}

static void memory_follows_the_bar_and_leaves_nothing(void **state)
{
	MEMORY_RIG(m);
	uint64_t other = m.bar + 64 * SIZE;

	cfg_write(&m.rig, 1, PCI_COMMAND, mem_on, 2);
	for (unsigned int i = 0; i < 100; i++) {
		cfg_write(&m.rig, 1, PCI_BASE_ADDRESS_2, other, 4);
		assert_true(shown_at(&m, other));
		assert_false(shown_at(&m, m.bar));
		cfg_write(&m.rig, 1, PCI_BASE_ADDRESS_2, m.bar, 4);
		assert_true(shown_at(&m, m.bar));
		assert_false(shown_at(&m, other));
	}
	/* To where no window is. */
	cfg_write(&m.rig, 1, PCI_BASE_ADDRESS_3, 0x7fffffff, 4);
	assert_false(shown_at(&m, m.bar));
	memory_close(&m);
}

static void sizing_a_decoded_bar_takes_it_away_meanwhile(void **state)
{
	MEMORY_RIG(m);

	cfg_write(&m.rig, 1, PCI_COMMAND, mem_on, 2);
	cfg_write(&m.rig, 1, PCI_BASE_ADDRESS_2, ~0u, 4);
	assert_int_equal(cfg_read(&m.rig, 1, PCI_BASE_ADDRESS_2, 4) & ~0xfu, ~(SIZE - 1));
	assert_false(shown_at(&m, m.bar));
	cfg_write(&m.rig, 1, PCI_BASE_ADDRESS_2, m.bar, 4);
	assert_true(shown_at(&m, m.bar));
	memory_close(&m);
}

static void blocked_and_removed_functions_show_nothing(void **state)
{
	MEMORY_RIG(m);

	cfg_write(&m.rig, 1, PCI_COMMAND, mem_on, 2);
	pci_function_block(m.f, true);
	assert_false(shown_at(&m, m.bar));
	pci_function_block(m.f, false);
	assert_true(shown_at(&m, m.bar));
	pci_bus_remove(m.rig.bus, m.f);
	assert_false(shown_at(&m, m.bar));
	memory_close(&m);
}

static void device_memory_is_not_found_by_lookups(void **state)
{
	MEMORY_RIG(m);

	cfg_write(&m.rig, 1, PCI_COMMAND, mem_on, 2);
	epoch_enter(vm_epoch(m.rig.vm), &m.rig.reader);
	assert_null(vm_memory_at(m.rig.vm, m.bar + FIRST, 8, false));
	assert_int_equal(vm_memory_write(m.rig.vm, m.bar + FIRST, "x", 1), -EFAULT);
	epoch_exit(&m.rig.reader);
	memory_close(&m);
}

static void parts_outside_or_on_each_other_are_refused(void **state)
{
	struct pci_function *f = new_function("dev", NULL, NULL);
	struct err err = { 0 };
	void *page = (void *)(uintptr_t)(16 * PAGE);

	add_bar(f, 0, PCI_BAR_MEM32, SIZE, 1);
	add_bar(f, 1, PCI_BAR_IO, 16, 1);
	assert_int_equal(pci_function_bar_memory(f, 1, 0, PAGE, page, &err), -EINVAL);
	assert_int_equal(pci_function_bar_memory(f, 3, 0, PAGE, page, &err), -EINVAL);
	assert_int_equal(pci_function_bar_memory(f, 0, 0, 0, page, &err), -EINVAL);
	assert_int_equal(pci_function_bar_memory(f, 0, 8, PAGE, page, &err), -EINVAL);
	assert_int_equal(pci_function_bar_memory(f, 0, SIZE - PAGE, 2 * PAGE, page, &err), -EINVAL);
	assert_int_equal(pci_function_bar_memory(f, 0, PAGE, PAGE, page, &err), 0);
	assert_int_equal(pci_function_bar_memory(f, 0, 0, 2 * PAGE, page, &err), -EEXIST);
	pci_function_destroy(f);
}

static void a_rom_is_decoded_when_both_bits_say_so(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);
	struct err err = { 0 };
	uint64_t at;

	assert_int_equal(pci_function_rom(f, 0x1800, &tag_ops, tag(5), &err), -EINVAL);
	assert_int_equal(pci_function_rom(f, 0x10000, &tag_ops, tag(5), &err), 0);
	assert_int_equal(pci_function_rom(f, 0x10000, &tag_ops, tag(5), &err), -EEXIST);
	add_function(&rig, f, 1);
	at = cfg_read(&rig, 1, PCI_ROM_ADDRESS, 4);
	assert_true(at >= rig_windows.mem32.base && !(at & 0xffff));
	cfg_write(&rig, 1, PCI_ROM_ADDRESS, ~0u, 4);
	assert_int_equal(cfg_read(&rig, 1, PCI_ROM_ADDRESS, 4), 0xffff0001);
	cfg_write(&rig, 1, PCI_ROM_ADDRESS, at, 4);
	cfg_write(&rig, 1, PCI_COMMAND, mem_on, 2);
	assert_int_equal(mem_read(&rig, at, 4), ~0u);
	cfg_write(&rig, 1, PCI_ROM_ADDRESS, at | 1, 4);
	assert_int_equal(mem_read(&rig, at + 0x20, 4), TAG(5, 0x20));
	rig_close(&rig);
}

struct passed {
	uint64_t reads, writes, last_offset, last_value;
	unsigned int last_size;
};

static uint64_t passed_read(void *opaque, uint32_t offset, unsigned int size)
{
	struct passed *p = opaque;

	p->reads++;
	return 0xd7d6d5d4d3d2d1d0;
}

static void passed_write(void *opaque, uint32_t offset, uint64_t value, unsigned int size)
{
	struct passed *p = opaque;

	p->writes++;
	p->last_offset = offset;
	p->last_value = value;
	p->last_size = size;
}

static const struct pci_ops passed_ops = { .config_read = passed_read,
					   .config_write = passed_write };

static void passed_bytes_are_the_devices_and_no_others(void **state)
{
	RIG(rig, &rig_windows);
	struct passed p = { 0 };
	struct pci_function *f = new_function("dev", &passed_ops, &p);

	pci_function_pass(f, 0x42, 6);
	store_le(pci_function_config(f) + 0x40, 0x1111, 2);
	add_function(&rig, f, 1);
	assert_int_equal(cfg_read(&rig, 1, 0x40, 4), 0xd3d21111);
	assert_int_equal(cfg_read(&rig, 1, 0x48, 4), 0);
	assert_int_equal(p.reads, 1);
	cfg_write(&rig, 1, 0x44, 0xaabbccdd, 4);
	assert_int_equal(p.writes, 1);
	assert_true(p.last_size == 4 && p.last_offset == 0x44 && p.last_value == 0xaabbccdd);
	cfg_write(&rig, 1, 0x40, 0xaabbccdd, 4);
	assert_int_equal(p.writes, 3);
	assert_true(p.last_size == 1 && p.last_offset == 0x43 && p.last_value == 0xaa);
	cfg_write(&rig, 1, 0x48, 1, 4);
	assert_int_equal(p.writes, 3);
	rig_close(&rig);
}

static void capabilities_go_where_they_are_told(void **state)
{
	struct pci_function *f = new_function("dev", NULL, NULL);
	const uint8_t *config = pci_function_config(f);
	struct err err = { 0 };

	assert_int_equal(pci_function_capability_at(f, 9, 0xc0, 0x10, &err), 0);
	assert_int_equal(pci_function_capability_at(f, 9, 0x50, 8, &err), 0);
	assert_int_equal(pci_function_capability_at(f, 9, 0x54, 8, &err), -EEXIST);
	assert_int_equal(pci_function_capability_at(f, 9, 0x3c, 8, &err), -EINVAL);
	assert_int_equal(pci_function_capability_at(f, 9, 0xf8, 16, &err), -EINVAL);
	assert_int_equal(pci_function_capability_at(f, 9, 0x62, 4, &err), -EINVAL);
	assert_int_equal(config[PCI_CAPABILITY_LIST], 0xc0);
	assert_int_equal(config[0xc0 + PCI_CAP_LIST_NEXT], 0x50);
	assert_int_equal(config[0x50 + PCI_CAP_LIST_NEXT], 0);
	assert_int_equal(pci_function_ext_capability_at(f, 3, 1, 0x140, 12, &err), 0);
	assert_int_equal(pci_function_ext_capability_at(f, 0xb, 1, 0x200, 12, &err), 0);
	assert_int_equal(load_le(config + 0x100, 4), 0x14000000);
	assert_int_equal(load_le(config + 0x140, 4), 0x20010003);
	assert_int_equal(load_le(config + 0x200, 4), 0x0001000b);
	pci_function_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_shown_while_the_bar_is_decoded),
		cmocka_unit_test(memory_follows_the_bar_and_leaves_nothing),
		cmocka_unit_test(sizing_a_decoded_bar_takes_it_away_meanwhile),
		cmocka_unit_test(blocked_and_removed_functions_show_nothing),
		cmocka_unit_test(device_memory_is_not_found_by_lookups),
		cmocka_unit_test(parts_outside_or_on_each_other_are_refused),
		cmocka_unit_test(a_rom_is_decoded_when_both_bits_say_so),
		cmocka_unit_test(passed_bytes_are_the_devices_and_no_others),
		cmocka_unit_test(capabilities_go_where_they_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
