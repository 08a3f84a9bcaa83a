/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page walk of walk.h.
 *
 * Accessed and dirty bits are set, as the processor and KVM's emulator set them. One cannot count
 * on the processor having done so for the trapped access: where KVM emulates the guest's kernel
 * mode (PVM) nothing has walked the tables, and elsewhere another vCPU may have replaced an entry
 * since. A guest whose entry we used without a trace could reclaim the page as idle. The swap also
 * shows that the entry we judged is the entry that is there; where it is not, the walk starts anew.
 */
#include "kvm-glue/walk.h"

#include <errno.h>
#include <stddef.h>

#include "util/bits.h"

#define PTE_PRESENT  BIT_U64(0)
#define PTE_WRITE    BIT_U64(1)
#define PTE_USER     BIT_U64(2)
#define PTE_ACCESSED BIT_U64(5)
#define PTE_DIRTY    BIT_U64(6)
#define PTE_PS	     BIT_U64(7)
#define PTE_NX	     BIT_U64(63)

#define PKRU_AD 1u
#define PKRU_WD 2u

struct walk_state {
	const struct walk_mode *mode;
	const struct walk_memory *memory;
	uint64_t linear;
	unsigned int access;
	bool user_access;

	unsigned int steps;
	struct {
		uint64_t gpa, entry;
	} step[WALK_LEVELS];

	unsigned int shift; /* of the page that the leaf maps */
	bool user, write, nx;
};

/* Bits low to high, both included. */
static uint64_t bit_range(unsigned int low, unsigned int high)
{
	return low > high ? 0 : (~0ULL >> (63 - high)) & (~0ULL << low);
}

static uint64_t address_mask(const struct walk_mode *mode)
{
	return bit_range(12, mode->maxphyaddr - 1);
}

/* SDM 4.7. `code` holds what the caller knows: P, RSVD and PK. */
static int page_fault(const struct walk_state *state, uint32_t code, struct guest_fault *fault)
{
	const struct walk_mode *mode = state->mode;

	if (state->access & WALK_WRITE)
		code |= PFEC_WRITE;
	if (state->user_access)
		code |= PFEC_USER;
	if (state->access & WALK_FETCH && (mode->cr4 & X86_CR4_SMEP || mode->efer & X86_EFER_NXE))
		code |= PFEC_FETCH;
	*fault = (struct guest_fault){
		.vector = VECTOR_PF,
		.has_error_code = true,
		.error_code = code,
		.cr2 = state->linear,
	};
	return -EFAULT;
}

/*
 * The reserved bits of an entry at a level, 1 the lowest (SDM 4.5, tables 4-14 to 4-20). 1 GiB
 * pages are taken as supported: every processor with a 64-byte store has them.
 */
static uint64_t reserved_bits(const struct walk_mode *mode, unsigned int level, uint64_t entry)
{
	uint64_t reserved = bit_range(mode->maxphyaddr, 51);

	if (!(mode->efer & X86_EFER_NXE))
		reserved |= PTE_NX;
	if (level >= 4)
		reserved |= PTE_PS;
	else if (level > 1 && entry & PTE_PS)
		reserved |= bit_range(13, 12 + 9 * (level - 1) - 1); /* bit 12 is PAT */
	return reserved;
}

/* Down to the leaf, without judging rights. */
static int descend(struct walk_state *state, struct guest_fault *fault)
{
	const struct walk_mode *mode = state->mode;
	uint64_t table = mode->cr3 & address_mask(mode);
	unsigned int level = mode->cr4 & X86_CR4_LA57 ? 5 : 4;

	state->steps = 0;
	state->user = state->write = true;
	state->nx = false;
	for (;; level--) {
		unsigned int shift = 12 + 9 * (level - 1);
		uint64_t gpa = table + (state->linear >> shift & 511) * 8;
		uint64_t entry;

		if (state->memory->read(state->memory->arg, gpa, &entry))
			return -ENXIO;
		if (!(entry & PTE_PRESENT))
			return page_fault(state, 0, fault);
		if (entry & reserved_bits(mode, level, entry))
			return page_fault(state, PFEC_PRESENT | PFEC_RESERVED, fault);
		state->step[state->steps].gpa = gpa;
		state->step[state->steps++].entry = entry;
		state->user &= !!(entry & PTE_USER);
		state->write &= !!(entry & PTE_WRITE);
		state->nx |= !!(entry & PTE_NX);
		if (level == 1 || entry & PTE_PS) {
			state->shift = shift;
			return 0;
		}
		table = entry & address_mask(mode);
	}
}

/* SDM 4.6.2. Keys guard data accesses to user pages, by whomever; PKS is never offered. */
static bool key_denies(const struct walk_state *state)
{
	const struct walk_mode *mode = state->mode;
	uint64_t leaf = state->step[state->steps - 1].entry;
	uint32_t rights = mode->pkru >> (leaf >> 59 & 15) * 2;

	if (!(mode->cr4 & X86_CR4_PKE) || !state->user || state->access & WALK_FETCH)
		return false;
	if (rights & PKRU_AD)
		return true;
	return rights & PKRU_WD && state->access & WALK_WRITE &&
	       (state->user_access || mode->cr0 & X86_CR0_WP);
}

/* SDM 4.6.1. */
static bool rights_deny(const struct walk_state *state)
{
	const struct walk_mode *mode = state->mode;

	if (state->access & WALK_FETCH && state->nx)
		return true;
	if (state->access & WALK_WRITE && !state->write &&
	    (state->user_access || mode->cr0 & X86_CR0_WP))
		return true;
	if (state->user_access)
		return !state->user;
	if (!state->user)
		return false;
	if (state->access & WALK_FETCH)
		return mode->cr4 & X86_CR4_SMEP;
	return mode->cr4 & X86_CR4_SMAP &&
	       (state->access & WALK_IMPLICIT || !(mode->rflags & X86_EFLAGS_AC));
}

/* SDM 4.8: accessed in every entry that was used, dirty in the leaf of a write. */
static int mark_used(const struct walk_state *state)
{
	for (unsigned int i = 0; i < state->steps; i++) {
		uint64_t old = state->step[i].entry;
		uint64_t new = old | PTE_ACCESSED;
		int ret;

		if (i == state->steps - 1 && state->access & WALK_WRITE)
			new |= PTE_DIRTY;
		if (new == old)
			continue;
		ret = state->memory->swap(state->memory->arg, state->step[i].gpa, old, new);
		if (ret)
			return ret == -EAGAIN ? -EAGAIN : -ENXIO;
	}
	return 0;
}

static int walk_once(struct walk_state *state, uint64_t *gpa, struct guest_fault *fault)
{
	uint64_t offset_mask, leaf;
	bool key;
	int ret;

	ret = descend(state, fault);
	if (ret)
		return ret;
	key = key_denies(state);
	if (key || rights_deny(state))
		return page_fault(state, PFEC_PRESENT | (key ? PFEC_KEY : 0), fault);
	ret = mark_used(state);
	if (ret)
		return ret;
	leaf = state->step[state->steps - 1].entry;
	offset_mask = BIT_U64(state->shift) - 1;
	*gpa = (leaf & address_mask(state->mode) & ~offset_mask) | (state->linear & offset_mask);
	return 0;
}

int walk(const struct walk_mode *mode, const struct walk_memory *memory, uint64_t linear,
	 unsigned int access, uint64_t *gpa, struct guest_fault *fault)
{
	struct walk_state state = {
		.mode = mode,
		.memory = memory,
		.linear = linear,
		.access = access,
		.user_access = mode->cpl == 3 && !(access & WALK_IMPLICIT),
	};

	if (!(mode->cr0 & X86_CR0_PG)) {
		*gpa = (uint32_t)linear;
		return 0;
	}
	if (!(mode->efer & X86_EFER_LMA))
		return -ENOTSUP;
	if (mode->maxphyaddr < 32 || mode->maxphyaddr > 52 ||
	    !is_canonical(linear, canonical_bits(mode->cr4)))
		return -EINVAL;
	for (unsigned int i = 0; i < WALK_RETRIES; i++) {
		int ret = walk_once(&state, gpa, fault);

		if (ret != -EAGAIN)
			return ret;
	}
	return -EAGAIN;
}
