/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page walk over any tables: the input's head is the mode and the address, the rest is guest
 * memory, 8 bytes an entry, found at any address by folding it. A second walk must agree with the
 * first, and no walk may read or write more than its bound.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kvm-glue/walk.h"

#define ENTRIES 64u

struct head {
	uint64_t cr3, linear;
	uint32_t pkru;
	uint8_t flags, access, maxphyaddr, races;
};

struct world {
	uint64_t entry[ENTRIES];
	unsigned int reads, swaps, races, holes;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

static uint64_t *world_entry(struct world *w, uint64_t gpa)
{
	require(gpa % 8 == 0);
	return &w->entry[(gpa / 8 ^ gpa >> 12) % ENTRIES];
}

static int world_read(void *arg, uint64_t gpa, uint64_t *entry)
{
	struct world *w = arg;

	w->reads++;
	if (w->holes && gpa >> 20 == 0xfee)
		return -EFAULT;
	*entry = *world_entry(w, gpa);
	return 0;
}

static int world_swap(void *arg, uint64_t gpa, uint64_t old, uint64_t new)
{
	struct world *w = arg;
	uint64_t *entry = world_entry(w, gpa);

	w->swaps++;
	require((old & ~new) == 0 && ((old ^ new) & ~0x60ULL) == 0);
	if (w->races) {
		w->races--;
		*entry = *entry * 5 + 1;
		return -EAGAIN;
	}
	if (*entry != old)
		return -EAGAIN;
	*entry = new;
	return 0;
}

static int one_walk(struct world *w, const struct walk_mode *mode, const struct head *head,
		    uint64_t *gpa, struct guest_fault *fault)
{
	const struct walk_memory memory = { .read = world_read, .swap = world_swap, .arg = w };
	int ret;

	w->reads = w->swaps = 0;
	ret = walk(mode, &memory, head->linear, head->access & 7, gpa, fault);
	require(w->reads <= WALK_LEVELS * WALK_RETRIES && w->swaps <= w->reads);
	switch (ret) {
	case 0:
		require((*gpa ^ head->linear) % 4096 == 0);
		require(*gpa >> (mode->cr0 & X86_CR0_PG ? mode->maxphyaddr : 32) == 0);
		break;
	case -EFAULT:
		require(fault->vector == VECTOR_PF && fault->cr2 == head->linear);
		require(fault->error_code < 0x40 && w->reads > 0);
		break;
	default:
		require(ret == -ENOTSUP || ret == -EINVAL || ret == -ENXIO || ret == -EAGAIN);
	}
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk_mode mode = { .cr0 = X86_CR0_PE };
	struct guest_fault fault, fault2;
	struct world w = { 0 };
	uint64_t gpa, gpa2;
	struct head head;
	int ret;

	if (size < sizeof(head))
		return 0;
	memcpy(&head, data, sizeof(head));
	size -= sizeof(head);
	memcpy(w.entry, data + sizeof(head), size < sizeof(w.entry) ? size : sizeof(w.entry));

	mode.cr0 |= head.flags & 0x01 ? 0 : X86_CR0_PG;
	mode.cr0 |= head.flags & 0x02 ? X86_CR0_WP : 0;
	mode.efer |= head.flags & 0x04 ? 0 : X86_EFER_LMA;
	mode.efer |= head.flags & 0x08 ? X86_EFER_NXE : 0;
	mode.cr4 |= head.flags & 0x10 ? X86_CR4_LA57 : 0;
	mode.cr4 |= head.flags & 0x20 ? X86_CR4_SMEP | X86_CR4_SMAP : 0;
	mode.cr4 |= head.flags & 0x40 ? X86_CR4_PKE : 0;
	mode.rflags = head.flags & 0x80 ? X86_EFLAGS_AC : 0;
	mode.cr3 = head.cr3;
	mode.pkru = head.pkru;
	mode.cpl = head.access >> 6;
	mode.maxphyaddr = head.maxphyaddr;
	w.races = head.races % 16;
	w.holes = head.races >> 7;

	ret = one_walk(&w, &mode, &head, &gpa, &fault);
	if (ret == -EAGAIN || w.races)
		return 0;
	/* Entries may be shared by levels, so accessed bits can only have been added meanwhile. */
	if (ret == 0) {
		require(one_walk(&w, &mode, &head, &gpa2, &fault2) == 0 || w.swaps);
		require(w.swaps || gpa == gpa2);
	}
	return 0;
}
