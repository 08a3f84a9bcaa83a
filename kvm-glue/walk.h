/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's page tables, walked by us: from a linear address and the vCPU's state to a
 * guest-physical address, or to the page fault that the access would have raised. It is a file of
 * its own because the check is what keeps a trapped portal from becoming a confused deputy: what
 * the guest's own code may not touch, we do not touch for it.
 *
 * Covered: no paging, 4-level and 5-level paging. 32-bit and PAE paging are refused.
 * Source: Intel SDM volume 3, chapter 4 (4.5 tables, 4.6 rights, 4.7 error code, 4.8 A and D).
 */
#ifndef ADIT_KVM_GLUE_WALK_H
#define ADIT_KVM_GLUE_WALK_H

#include <asm/processor-flags.h>
#include <stdbool.h>
#include <stdint.h>

/* An exception for KVM_SET_VCPU_EVENTS. */
struct guest_fault {
	uint8_t vector;
	bool has_error_code;
	uint32_t error_code;
	uint64_t cr2; /* of a #PF; else leave CR2 alone */
};

enum guest_vector {
	VECTOR_UD = 6,
	VECTOR_SS = 12,
	VECTOR_GP = 13,
	VECTOR_PF = 14
};

/* The error code of #PF. */
#define PFEC_PRESENT  0x01u
#define PFEC_WRITE    0x02u
#define PFEC_USER     0x04u
#define PFEC_RESERVED 0x08u
#define PFEC_FETCH    0x10u
#define PFEC_KEY      0x20u

/* Bits of EFER; those of CR0, CR4 and RFLAGS come from the kernel's header. */
#define X86_EFER_LMA (1ULL << 10)
#define X86_EFER_NXE (1ULL << 11)

struct walk_mode {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t rflags;	 /* AC is used */
	uint32_t pkru;		 /* used where CR4.PKE is set */
	unsigned int cpl;	 /* 0 to 3 */
	unsigned int maxphyaddr; /* the guest's, 32 to 52 */
};

/* An access is a data read unless it says otherwise. */
#define WALK_WRITE    0x1u
#define WALK_FETCH    0x2u
#define WALK_IMPLICIT 0x4u /* implicit supervisor access: CPL and AC do not count */

/* How the walk reaches table entries, which are 8 bytes and aligned. */
struct walk_memory {
	/* One atomic load. Not 0: there is no memory at gpa. */
	int (*read)(void *arg, uint64_t gpa, uint64_t *entry);
	/* Atomic compare and swap. -EAGAIN: the entry is not `old` any more. */
	int (*swap)(void *arg, uint64_t gpa, uint64_t old, uint64_t new);
	void *arg;
};

#define WALK_LEVELS  5u
#define WALK_RETRIES 8u /* at most this many walks, and so WALK_LEVELS times as many reads */

/*
 * 0: *gpa is the address, and the accessed and dirty bits are set.
 * -EFAULT: the guest faults; *fault holds its #PF.
 * -ENOTSUP: 32-bit or PAE paging.
 * -EINVAL: linear is not canonical, or maxphyaddr is out of bounds.
 * -ENXIO: a table lies where no memory is, or (to set a bit) where it is read-only.
 * -EAGAIN: other vCPUs changed the tables WALK_RETRIES times meanwhile: let the guest try again.
 */
int walk(const struct walk_mode *mode, const struct walk_memory *memory, uint64_t linear,
	 unsigned int access, uint64_t *gpa, struct guest_fault *fault);

/* Bits of a canonical address: 48 or 57. */
static inline unsigned int canonical_bits(uint64_t cr4)
{
	return cr4 & X86_CR4_LA57 ? 57 : 48;
}

static inline bool is_canonical(uint64_t linear, unsigned int bits)
{
	return (uint64_t)((int64_t)(linear << (64 - bits)) >> (64 - bits)) == linear;
}

#endif
