/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trapped portal of direct-store.h. Checks come in the order in which the instruction raises
 * them (Intel SDM volume 2, MOVDIR64B, ENQCMD, ENQCMDS): privilege, operand addresses, the source
 * read, what was read, the store.
 */
#include "kvm-glue/direct-store.h"

#include <errno.h>
#include <stdbool.h>

#include "kvm-glue/insn.h"
#include "kvm-glue/memory.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"

#define STORE_BYTES 64u
#define PAGE_BYTES  4096u

/* What the enqueue instructions write: ZF, and zero to the others. */
#define STATUS_FLAGS                                                                     \
	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | X86_EFLAGS_SF | \
	 X86_EFLAGS_OF)

/* The first dword of a command: PASID 19:0, reserved 30:20, privileged 31. */
#define COMMAND_RESERVED 0x7ff00000u
#define COMMAND_PASID	 0x000fffffu

struct store {
	const struct direct_store_bus *bus;
	struct insn_store64 insn;
	struct walk_mode mode;
	uint64_t dest, source; /* linear */
	uint8_t data[STORE_BYTES];
	struct guest_fault *fault;
};

static int raise_fault(struct guest_fault *fault, uint8_t vector)
{
	*fault = (struct guest_fault){
		.vector = vector,
		.has_error_code = vector != VECTOR_UD,
	};
	return -EFAULT;
}

/* -EFAULT: *fault is set. Anything else but 0: not ours. */
static int decode(struct store *store, const uint8_t *bytes, unsigned int len,
		  const struct kvm_sregs *sregs)
{
	int ret = insn_decode(bytes, len, insn_mode(sregs), &store->insn);

	if (ret == -EINVAL)
		return raise_fault(store->fault, VECTOR_GP);
	if (ret == -EILSEQ)
		return raise_fault(store->fault, VECTOR_UD);
	return ret;
}

/* The source may be unaligned and cross into another page, which is walked for itself. */
static int read_source(struct store *store)
{
	size_t first = MIN(STORE_BYTES, PAGE_BYTES - (store->source & (PAGE_BYTES - 1)));
	uint64_t next = store->source + first;
	uint64_t gpa[2];
	int ret;

	if (store->insn.mode != CPU_MODE_64)
		next = (uint32_t)next;
	ret = walk(&store->mode, &store->bus->tables, store->source, 0, &gpa[0], store->fault);
	if (ret)
		return ret;
	if (first < STORE_BYTES) {
		ret = walk(&store->mode, &store->bus->tables, next, 0, &gpa[1], store->fault);
		if (ret)
			return ret;
	}
	ret = store->bus->read(store->bus->arg, gpa[0], store->data, first);
	if (!ret && first < STORE_BYTES)
		ret = store->bus->read(store->bus->arg, gpa[1], store->data + first,
				       STORE_BYTES - first);
	return ret ? -ENXIO : 0;
}

/* What the enqueue instructions do with the first dword. */
static int form_command(struct store *store)
{
	uint32_t head = (uint32_t)load_le(store->data, 4);

	if (store->insn.kind == STORE64_ENQCMDS && head & COMMAND_RESERVED)
		return raise_fault(store->fault, VECTOR_GP);
	if (store->insn.kind == STORE64_ENQCMD)
		store_le(store->data, head & COMMAND_PASID, 4);
	return 0;
}

/* 0 or -EAGAIN as the device answered in *answer; the return value is about the way there. */
static int write_portal(struct store *store, int *answer)
{
	const struct io_region *region;
	uint64_t gpa;
	int ret;

	ret = walk(&store->mode, &store->bus->tables, store->dest, WALK_WRITE, &gpa, store->fault);
	if (ret)
		return ret;
	region = store->bus->portal(store->bus->arg, gpa);
	if (!region || !region->ops->store64 ||
	    !range_inside(gpa, STORE_BYTES, region->base, region->size) ||
	    !is_aligned(gpa - region->base, STORE_BYTES))
		return -ENXIO;
	*answer = region->ops->store64(region->opaque, gpa - region->base, store->insn.kind,
				       store->data);
	return 0;
}

static void step_registers(const struct store *store, int answer, struct kvm_regs *regs)
{
	regs->rip += store->insn.len;
	if (store->insn.mode != CPU_MODE_64)
		regs->rip = (uint32_t)regs->rip;
	regs->rflags &= ~X86_EFLAGS_RF;
	if (store->insn.kind == STORE64_MOVDIR64B)
		return;
	regs->rflags &= ~STATUS_FLAGS;
	if (answer)
		regs->rflags |= X86_EFLAGS_ZF;
}

static int carry_out(struct store *store, const struct kvm_regs *regs,
		     const struct kvm_sregs *sregs, int *answer)
{
	int ret;

	if (store->insn.kind != STORE64_MOVDIR64B && store->mode.cpl > 0)
		return raise_fault(store->fault, VECTOR_GP);
	ret = insn_addresses(&store->insn, regs, sregs, &store->dest, &store->source, store->fault);
	if (ret)
		return ret;
	ret = read_source(store);
	if (ret)
		return ret;
	ret = form_command(store);
	if (ret)
		return ret;
	return write_portal(store, answer);
}

enum direct_store_result direct_store_on(const struct direct_store_bus *bus,
					 const struct direct_store_cpu *cpu, const uint8_t *bytes,
					 unsigned int len, struct kvm_regs *regs,
					 struct guest_fault *fault)
{
	const struct kvm_sregs *sregs = cpu->sregs;
	struct store store = {
		.bus = bus,
		.mode = {
			.cr0 = sregs->cr0,
			.cr3 = sregs->cr3,
			.cr4 = sregs->cr4,
			.efer = sregs->efer,
			.rflags = regs->rflags,
			.pkru = cpu->pkru,
			.cpl = insn_cpl(regs, sregs),
			.maxphyaddr = cpu->maxphyaddr,
		},
		.fault = fault,
	};
	int answer = 0;
	int ret;

	ret = decode(&store, bytes, MIN(len, INSN_MAX_LEN), sregs);
	if (ret == -EFAULT)
		return DIRECT_STORE_INJECTED;
	if (ret)
		return DIRECT_STORE_NOT_OURS;
	ret = carry_out(&store, regs, sregs, &answer);
	switch (ret) {
	case 0:
		step_registers(&store, answer, regs);
		return DIRECT_STORE_DONE;
	case -EAGAIN:
		return DIRECT_STORE_DONE;
	case -EFAULT:
		return DIRECT_STORE_INJECTED;
	default:
		return DIRECT_STORE_NOT_OURS;
	}
}

/* --- a VM as the bus ------------------------------------------------------------------------- */

static int vm_entry_read(void *arg, uint64_t gpa, uint64_t *entry)
{
	const uint64_t *at = vm_memory_at(arg, gpa, sizeof(*at), false);

	if (!at)
		return -ENXIO;
	*entry = __atomic_load_n(at, __ATOMIC_ACQUIRE);
	return 0;
}

static int vm_entry_swap(void *arg, uint64_t gpa, uint64_t old, uint64_t new)
{
	uint64_t *at = vm_memory_at(arg, gpa, sizeof(*at), true);

	if (!at)
		return -ENXIO;
	return __atomic_compare_exchange_n(at, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)
		       ? 0
		       : -EAGAIN;
}

static int vm_bytes_read(void *arg, uint64_t gpa, void *data, size_t len)
{
	return vm_memory_read(arg, gpa, data, len);
}

/* Memory lies over the I/O map: a store that KVM would not have let out is no portal's. */
static const struct io_region *vm_portal(void *arg, uint64_t gpa)
{
	if (vm_memory_at(arg, gpa, STORE_BYTES, true))
		return NULL;
	return iomap_find(vm_mmio(arg), gpa);
}

enum direct_store_result direct_store(struct vm *vm, const struct direct_store_cpu *cpu,
				      const uint8_t *bytes, unsigned int len, struct kvm_regs *regs,
				      struct guest_fault *fault)
{
	const struct direct_store_bus bus = {
		.tables = { .read = vm_entry_read, .swap = vm_entry_swap, .arg = vm },
		.read = vm_bytes_read,
		.portal = vm_portal,
		.arg = vm,
	};

	return direct_store_on(&bus, cpu, bytes, len, regs, fault);
}
