/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm-glue/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm-glue/internal.h"
#include "util/bits.h"

#define PAGE 4096u

struct slot_entry {
	struct vm_memory m;
	unsigned int number;
};

/* Immutable once published; sorted by gpa, without overlaps. */
struct slot_table {
	struct epoch_retired retired;
	unsigned int count;
	struct slot_entry slots[];
};

static struct slot_table *table_new(unsigned int count)
{
	struct slot_table *table = malloc(sizeof(*table) + count * sizeof(table->slots[0]));

	if (table)
		table->count = count;
	return table;
}

static void table_free(struct epoch_retired *retired)
{
	free(container_of(retired, struct slot_table, retired));
}

int slots_init(struct vm *vm)
{
	int max = vm_has(vm, KVM_CAP_NR_MEMSLOTS);

	vm->max_slots = max > 0 ? (uint32_t)max : 32;
	vm->slots = table_new(0);
	return vm->slots ? 0 : -ENOMEM;
}

void slots_destroy(struct vm *vm)
{
	free(vm->slots);
	vm->slots = NULL;
}

static void publish(struct vm *vm, struct slot_table *fresh)
{
	struct slot_table *old = vm->slots;

	__atomic_store_n(&vm->slots, fresh, __ATOMIC_RELEASE);
	epoch_retire(&vm->epoch, &old->retired, table_free);
}

static int set_region(struct vm *vm, const struct slot_entry *slot, uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot->number,
		.flags = (slot->m.readonly ? KVM_MEM_READONLY : 0) |
			 (slot->m.dirty_log ? KVM_MEM_LOG_DIRTY_PAGES : 0),
		.guest_phys_addr = slot->m.gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)slot->m.hva,
	};

	return kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static int free_number(const struct vm *vm, unsigned int *number)
{
	for (unsigned int n = 0; n < vm->max_slots; n++) {
		bool used = false;

		for (unsigned int i = 0; i < vm->slots->count && !used; i++)
			used = vm->slots->slots[i].number == n;
		if (!used) {
			*number = n;
			return 0;
		}
	}
	return -ENOSPC;
}

static int check(const struct vm_memory *m, struct err *err)
{
	if (!m->size || !is_aligned(m->gpa, PAGE) || !is_aligned(m->size, PAGE) ||
	    !is_aligned((uintptr_t)m->hva, PAGE) || range_wraps(m->gpa, m->size))
		return err_set(err, EINVAL,
			       "memory slot %#llx + %#llx: address and size must be multiples of "
			       "4 KiB, not empty, within 64 bits",
			       (unsigned long long)m->gpa, (unsigned long long)m->size);
	return 0;
}

/* Caller holds the lock. */
static int insert(struct vm *vm, const struct slot_entry *slot, struct err *err)
{
	const struct slot_table *old = vm->slots;
	struct slot_table *fresh = table_new(old->count + 1);
	unsigned int at = 0;
	int ret;

	if (!fresh)
		return err_set(err, ENOMEM, "no memory for the slot table");
	while (at < old->count && old->slots[at].m.gpa < slot->m.gpa)
		at++;
	memcpy(fresh->slots, old->slots, at * sizeof(old->slots[0]));
	fresh->slots[at] = *slot;
	memcpy(fresh->slots + at + 1, old->slots + at, (old->count - at) * sizeof(old->slots[0]));

	ret = set_region(vm, slot, slot->m.size);
	if (ret) {
		free(fresh);
		return err_set(err, -ret, "KVM_SET_USER_MEMORY_REGION %#llx + %#llx: %s",
			       (unsigned long long)slot->m.gpa, (unsigned long long)slot->m.size,
			       strerror(-ret));
	}
	publish(vm, fresh);
	return 0;
}

int vm_memory_add(struct vm *vm, const struct vm_memory *memory, unsigned int *slot,
		  struct err *err)
{
	struct slot_entry fresh = { .m = *memory };
	int ret = check(memory, err);

	if (ret)
		return ret;
	pthread_mutex_lock(&vm->slots_lock);
	for (unsigned int i = 0; i < vm->slots->count; i++) {
		const struct slot_entry *s = &vm->slots->slots[i];

		if (range_overlaps(memory->gpa, memory->size, s->m.gpa, s->m.size)) {
			ret = err_set(err, EEXIST,
				      "memory slot %#llx + %#llx overlaps slot %u at %#llx + %#llx",
				      (unsigned long long)memory->gpa,
				      (unsigned long long)memory->size, s->number,
				      (unsigned long long)s->m.gpa, (unsigned long long)s->m.size);
			goto out;
		}
	}
	ret = free_number(vm, &fresh.number);
	if (ret) {
		err_set(err, -ret, "all %u memory slots of this KVM are in use", vm->max_slots);
		goto out;
	}
	ret = insert(vm, &fresh, err);
	if (!ret)
		*slot = fresh.number;
out:
	pthread_mutex_unlock(&vm->slots_lock);
	return ret;
}

/* Caller holds the lock. */
static int find_number(const struct vm *vm, unsigned int number)
{
	for (unsigned int i = 0; i < vm->slots->count; i++) {
		if (vm->slots->slots[i].number == number)
			return (int)i;
	}
	return -ENOENT;
}

int vm_memory_unlink(struct vm *vm, unsigned int slot, struct err *err)
{
	struct slot_table *fresh;
	int at, ret;

	pthread_mutex_lock(&vm->slots_lock);
	at = ret = find_number(vm, slot);
	if (at < 0) {
		err_set(err, ENOENT, "there is no memory slot %u", slot);
		goto out;
	}
	fresh = table_new(vm->slots->count - 1);
	if (!fresh) {
		ret = err_set(err, ENOMEM, "no memory for the slot table");
		goto out;
	}
	memcpy(fresh->slots, vm->slots->slots, (size_t)at * sizeof(fresh->slots[0]));
	memcpy(fresh->slots + at, vm->slots->slots + at + 1,
	       (fresh->count - (size_t)at) * sizeof(fresh->slots[0]));
	ret = set_region(vm, &vm->slots->slots[at], 0);
	if (ret) {
		free(fresh);
		err_set(err, -ret, "removing memory slot %u: %s", slot, strerror(-ret));
		goto out;
	}
	publish(vm, fresh);
out:
	pthread_mutex_unlock(&vm->slots_lock);
	return ret;
}

int vm_memory_remove(struct vm *vm, unsigned int slot, struct err *err)
{
	int ret = vm_memory_unlink(vm, slot, err);

	if (!ret)
		epoch_wait(&vm->epoch);
	return ret;
}

int vm_memory_log(struct vm *vm, unsigned int slot, bool on, struct err *err)
{
	struct slot_table *fresh;
	int at, ret;

	pthread_mutex_lock(&vm->slots_lock);
	at = ret = find_number(vm, slot);
	if (at < 0) {
		err_set(err, ENOENT, "there is no memory slot %u", slot);
		goto out;
	}
	fresh = table_new(vm->slots->count);
	if (!fresh) {
		ret = err_set(err, ENOMEM, "no memory for the slot table");
		goto out;
	}
	memcpy(fresh->slots, vm->slots->slots, fresh->count * sizeof(fresh->slots[0]));
	fresh->slots[at].m.dirty_log = on;
	ret = set_region(vm, &fresh->slots[at], fresh->slots[at].m.size);
	if (ret) {
		free(fresh);
		err_set(err, -ret, "dirty log of memory slot %u: %s", slot, strerror(-ret));
		goto out;
	}
	publish(vm, fresh);
out:
	pthread_mutex_unlock(&vm->slots_lock);
	return ret;
}

int vm_memory_dirty(struct vm *vm, unsigned int slot, void *bitmap, size_t bytes)
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };
	int at, ret;

	pthread_mutex_lock(&vm->slots_lock);
	at = ret = find_number(vm, slot);
	if (at < 0)
		goto out;
	ret = -ENOSPC;
	if (bytes >= align_up(vm->slots->slots[at].m.size / PAGE, 64) / 8)
		ret = kvm_ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
out:
	pthread_mutex_unlock(&vm->slots_lock);
	return ret;
}

static const struct slot_entry *slot_at(const struct slot_table *table, uint64_t gpa)
{
	unsigned int low = 0, high = table->count;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;
		const struct slot_entry *s = &table->slots[mid];

		if (gpa < s->m.gpa)
			high = mid;
		else if (gpa - s->m.gpa >= s->m.size)
			low = mid + 1;
		else
			return s;
	}
	return NULL;
}

void *vm_memory_at(struct vm *vm, uint64_t gpa, uint64_t len, bool write)
{
	const struct slot_table *table = __atomic_load_n(&vm->slots, __ATOMIC_ACQUIRE);
	const struct slot_entry *s = slot_at(table, gpa);

	if (!s || s->m.device || len > s->m.size - (gpa - s->m.gpa) || (write && s->m.readonly))
		return NULL;
	return (char *)s->m.hva + (gpa - s->m.gpa);
}

/* Host memory at gpa and how much of [gpa, gpa + len) follows contiguously in its slot. */
static void *chunk_at(struct vm *vm, uint64_t gpa, size_t len, bool write, size_t *chunk)
{
	const struct slot_table *table = __atomic_load_n(&vm->slots, __ATOMIC_ACQUIRE);
	const struct slot_entry *s = slot_at(table, gpa);

	if (!s || s->m.device || (write && s->m.readonly))
		return NULL;
	*chunk = MIN(len, s->m.size - (gpa - s->m.gpa));
	return (char *)s->m.hva + (gpa - s->m.gpa);
}

int vm_memory_read(struct vm *vm, uint64_t gpa, void *data, size_t len)
{
	while (len) {
		size_t chunk;
		const void *from = chunk_at(vm, gpa, len, false, &chunk);

		if (!from)
			return -EFAULT;
		memcpy(data, from, chunk);
		data = (char *)data + chunk;
		gpa += chunk;
		len -= chunk;
	}
	return 0;
}

int vm_memory_write(struct vm *vm, uint64_t gpa, const void *data, size_t len)
{
	while (len) {
		size_t chunk;
		void *to = chunk_at(vm, gpa, len, true, &chunk);

		if (!to)
			return -EFAULT;
		memcpy(to, data, chunk);
		data = (const char *)data + chunk;
		gpa += chunk;
		len -= chunk;
	}
	return 0;
}
