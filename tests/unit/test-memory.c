/* SPDX-License-Identifier: Apache-2.0 */
/* Memory slots on the real /dev/kvm: what is refused, what lookups see, and the dirty log. */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm-glue/memory.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"

#define RAM (4 * MIB)

struct fixture {
	struct vm *vm;
	uint8_t *ram;
	struct epoch_reader reader;
};

static int setup(void **state)
{
	struct fixture *f = aligned_alloc(64, align_up(sizeof(*f), 64));
	struct err err;

	memset(f, 0, sizeof(*f));
	*state = f;
	if (access("/dev/kvm", R_OK | W_OK))
		return 0;
	assert_ok(vm_create(&f->vm, &(struct vm_options){ .kvm_fd = -1 }, &err), &err);
	f->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->ram, MAP_FAILED);
	epoch_join(vm_epoch(f->vm), &f->reader);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->vm) {
		epoch_leave(vm_epoch(f->vm), &f->reader);
		munmap(f->ram, RAM);
	}
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

static int add(struct fixture *f, uint64_t gpa, uint64_t size, bool readonly, unsigned int *slot,
	       struct err *err)
{
	const struct vm_memory memory = {
		.gpa = gpa,
		.size = size,
		.hva = f->ram,
		.readonly = readonly,
	};

	return vm_memory_add(f->vm, &memory, slot, err);
}

static void unaligned_empty_and_wrapping_slots_are_refused(void **state)
{
	struct fixture *f = need_kvm(state);
	unsigned int slot;
	struct err err;

	assert_int_equal(add(f, 0x800, MIB, false, &slot, &err), -EINVAL);
	assert_int_equal(add(f, 0, 0, false, &slot, &err), -EINVAL);
	assert_int_equal(add(f, 0, 0x1001, false, &slot, &err), -EINVAL);
	assert_int_equal(add(f, -4096ULL, 0x2000, false, &slot, &err), -EINVAL);
	assert_non_null(strstr(err.text, "within 64 bits"));
}

static void overlap_is_refused_and_names_the_slot_in_the_way(void **state)
{
	struct fixture *f = need_kvm(state);
	unsigned int slot, other;
	struct err err;

	assert_ok(add(f, MIB, MIB, false, &slot, &err), &err);
	assert_int_equal(add(f, MIB + 4096, 4096, false, &other, &err), -EEXIST);
	assert_non_null(strstr(err.text, "0x100000"));
	assert_ok(add(f, 2 * MIB, MIB, false, &other, &err), &err);
	assert_int_not_equal(slot, other);
}

static void lookup_sees_slots_and_not_their_neighbours(void **state)
{
	struct fixture *f = need_kvm(state);
	unsigned int slot;
	struct err err;

	assert_ok(add(f, MIB, MIB, false, &slot, &err), &err);
	epoch_enter(vm_epoch(f->vm), &f->reader);
	assert_ptr_equal(vm_memory_at(f->vm, MIB, 1, true), f->ram);
	assert_ptr_equal(vm_memory_at(f->vm, 2 * MIB - 1, 1, true), f->ram + MIB - 1);
	assert_null(vm_memory_at(f->vm, 2 * MIB - 1, 2, true));
	assert_null(vm_memory_at(f->vm, MIB - 1, 1, false));
	assert_null(vm_memory_at(f->vm, MIB, UINT64_MAX, false));
	epoch_exit(&f->reader);
	assert_ok(vm_memory_remove(f->vm, slot, &err), &err);
	epoch_enter(vm_epoch(f->vm), &f->reader);
	assert_null(vm_memory_at(f->vm, MIB, 1, false));
	epoch_exit(&f->reader);
	assert_int_equal(vm_memory_remove(f->vm, slot, &err), -ENOENT);
}

static void readonly_slot_is_not_given_out_for_writing(void **state)
{
	struct fixture *f = need_kvm(state);
	unsigned int slot;
	struct err err;
	uint8_t byte = 7;

	assert_ok(add(f, 0, MIB, true, &slot, &err), &err);
	epoch_enter(vm_epoch(f->vm), &f->reader);
	assert_non_null(vm_memory_at(f->vm, 0, 1, false));
	assert_null(vm_memory_at(f->vm, 0, 1, true));
	assert_int_equal(vm_memory_write(f->vm, 0, &byte, 1), -EFAULT);
	assert_int_equal(vm_memory_read(f->vm, 0, &byte, 1), 0);
	epoch_exit(&f->reader);
}

static void copies_cross_adjacent_slots_and_stop_at_holes(void **state)
{
	struct fixture *f = need_kvm(state);
	struct vm_memory second = { .gpa = MIB, .size = MIB, .hva = f->ram + 2 * MIB };
	uint64_t value = 0x1122334455667788, back = 0;
	unsigned int slot;
	struct err err;

	assert_ok(add(f, 0, MIB, false, &slot, &err), &err);
	assert_ok(vm_memory_add(f->vm, &second, &slot, &err), &err);
	epoch_enter(vm_epoch(f->vm), &f->reader);
	assert_int_equal(vm_memory_write(f->vm, MIB - 3, &value, 8), 0);
	assert_int_equal(f->ram[MIB - 1], 0x66);
	assert_int_equal(f->ram[2 * MIB], 0x55);
	assert_int_equal(vm_memory_read(f->vm, MIB - 3, &back, 8), 0);
	assert_int_equal(back, value);
	assert_int_equal(vm_memory_read(f->vm, 2 * MIB - 4, &back, 8), -EFAULT);
	epoch_exit(&f->reader);
}

static void dirty_log_needs_a_slot_a_log_and_room(void **state)
{
	struct fixture *f = need_kvm(state);
	uint64_t bitmap[MIB / 4096 / 64];
	unsigned int slot;
	struct err err;

	assert_ok(add(f, 0, MIB, false, &slot, &err), &err);
	assert_int_equal(vm_memory_dirty(f->vm, slot + 1, bitmap, sizeof(bitmap)), -ENOENT);
	assert_int_equal(vm_memory_dirty(f->vm, slot, bitmap, sizeof(bitmap)), -ENOENT);
	assert_ok(vm_memory_log(f->vm, slot, true, &err), &err);
	assert_int_equal(vm_memory_dirty(f->vm, slot, bitmap, sizeof(bitmap) - 8), -ENOSPC);
	assert_int_equal(vm_memory_dirty(f->vm, slot, bitmap, sizeof(bitmap)), 0);
	assert_ok(vm_memory_log(f->vm, slot, false, &err), &err);
	assert_int_equal(vm_memory_dirty(f->vm, slot, bitmap, sizeof(bitmap)), -ENOENT);
}

static void slots_are_reused_after_removal(void **state)
{
	struct fixture *f = need_kvm(state);
	unsigned int slot, first;
	struct err err;

	assert_ok(add(f, 0, MIB, false, &first, &err), &err);
	for (int i = 0; i < 100; i++) {
		assert_ok(vm_memory_remove(f->vm, first, &err), &err);
		assert_ok(add(f, 0, MIB, false, &slot, &err), &err);
		assert_int_equal(slot, first);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(unaligned_empty_and_wrapping_slots_are_refused),
		T(overlap_is_refused_and_names_the_slot_in_the_way),
		T(lookup_sees_slots_and_not_their_neighbours),
		T(readonly_slot_is_not_given_out_for_writing),
		T(copies_cross_adjacent_slots_and_stop_at_holes),
		T(dirty_log_needs_a_slot_a_log_and_room),
		T(slots_are_reused_after_removal),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
