/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory as KVM slots, and the way from a guest-physical address to host memory that
 * everything in the monitor uses. Lookups run without a lock inside an epoch section of the VM;
 * vm_memory_remove waits for them, so a pointer got inside a section is good until its end.
 *
 * Guest memory is shared with running vCPUs and devices: copy once, then check, then use.
 */
#ifndef ADIT_KVM_GLUE_MEMORY_H
#define ADIT_KVM_GLUE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

struct vm;

struct vm_memory {
	uint64_t gpa;  /* page aligned */
	uint64_t size; /* bytes, page aligned, > 0 */
	void *hva;     /* page aligned; stays the caller's and must outlive the slot */
	bool readonly; /* guest writes exit as MMIO writes */
	bool dirty_log;
	/* A device's registers: the guest reaches it, the lookups below do not. */
	bool device;
};

/*
 * Errors: -EINVAL unaligned, empty or wrapping; -EEXIST overlaps a slot (named); -ENOSPC no slot
 * is left; else KVM's. *slot receives the number that the other calls take.
 */
int vm_memory_add(struct vm *vm, const struct vm_memory *memory, unsigned int *slot,
		  struct err *err);

/* Outside any epoch section: returns when no lookup can still hold a pointer into it. -ENOENT. */
int vm_memory_remove(struct vm *vm, unsigned int slot, struct err *err);
/*
 * The same without the wait, for device memory, into which no lookup leads: may be called inside
 * an epoch section. No vCPU reaches it through the slot when it returns.
 */
int vm_memory_unlink(struct vm *vm, unsigned int slot, struct err *err);

/* Switches dirty logging of a slot. */
int vm_memory_log(struct vm *vm, unsigned int slot, bool on, struct err *err);

/*
 * KVM_GET_DIRTY_LOG: one bit a 4 KiB page since the last call, which clears the log.
 * bytes must be at least size / 4096 / 8 rounded up to 8: -ENOSPC. -ENOENT: no such slot or no log.
 */
int vm_memory_dirty(struct vm *vm, unsigned int slot, void *bitmap, size_t bytes);

/*
 * Inside an epoch section. Host address of [gpa, gpa + len) if it lies in one slot (and, for
 * writing, in one that is not read-only), else NULL. len > 0.
 */
void *vm_memory_at(struct vm *vm, uint64_t gpa, uint64_t len, bool write);

/* Inside an epoch section. Copies across slots; -EFAULT leaves the rest undone. */
int vm_memory_read(struct vm *vm, uint64_t gpa, void *data, size_t len);
int vm_memory_write(struct vm *vm, uint64_t gpa, const void *data, size_t len);

#endif
