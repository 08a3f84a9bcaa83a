/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner of guest-physical space: it walks the gaps that reserved ranges leave, fills them
 * with RAM at the coarsest alignment that works, and puts the PCI windows where nothing else is.
 */
#include "vmm/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

#include "vmm/platform.h"

#define RAM_FIRST 0x100000ULL /* boot structures and ACPI tables: the first piece must cover it */

/* RAM may never be here, whatever the host: see layout_plan. Windows above 4 GiB neither. */
static const struct layout_range always_reserved[] = {
	{ .base = LOW_RAM_END, .size = 4 * GIB - LOW_RAM_END },
	{ .base = 0xfd00000000, .size = 0x300000000 }, /* AMD I/O virtualization spec, table 3 */
};

struct gap {
	uint64_t start, end; /* end is exclusive; start == end: there is none */
};

struct obstacles {
	const struct layout_range *reserved;
	unsigned int n_reserved;
	bool always; /* always_reserved counts too */
};

static uint64_t range_last(const struct layout_range *range)
{
	return range->base + (range->size - 1);
}

static const struct layout_range *obstacle_at(const struct obstacles *obstacles, unsigned int i)
{
	if (i < obstacles->n_reserved)
		return &obstacles->reserved[i];
	i -= obstacles->n_reserved;
	return obstacles->always && i < ARRAY_SIZE(always_reserved) ? &always_reserved[i] : NULL;
}

/* The obstacle that covers pos, else the first one after it, else NULL. */
static const struct layout_range *obstacle_from(const struct obstacles *obstacles, uint64_t pos)
{
	const struct layout_range *first = NULL, *range;

	for (unsigned int i = 0; (range = obstacle_at(obstacles, i)); i++) {
		if (!range->size || range_last(range) < pos)
			continue;
		if (range->base <= pos)
			return range;
		if (!first || range->base < first->base)
			first = range;
	}
	return first;
}

/* The first free stretch at or after pos and below limit. */
static struct gap gap_from(const struct obstacles *obstacles, uint64_t pos, uint64_t limit)
{
	while (pos < limit) {
		const struct layout_range *range = obstacle_from(obstacles, pos);

		if (!range)
			return (struct gap){ pos, limit };
		if (range->base > pos)
			return (struct gap){ pos, MIN(range->base, limit) };
		if (range_last(range) >= limit)
			break;
		pos = range_last(range) + 1;
	}
	return (struct gap){ limit, limit };
}

/* Whether size bytes fit; *start is the gap's first multiple of align, maybe past its end. */
static bool gap_holds(const struct gap *gap, uint64_t align, uint64_t size, uint64_t *start)
{
	*start = align_up(gap->start, align);
	return *start < gap->end && gap->end - *start >= size;
}

/* Returns how many bytes found a place; layout->n_ram says in how many pieces. */
static uint64_t fill_ram(struct layout *layout, const struct obstacles *obstacles, uint64_t limit,
			 uint64_t ram_size, uint64_t align)
{
	uint64_t placed = 0, pos = 0;

	layout->n_ram = 0;
	layout->ram_align = align;
	while (placed < ram_size && layout->n_ram < LAYOUT_MAX_RAM) {
		struct gap gap = gap_from(obstacles, pos, limit);
		uint64_t size = ram_size - placed, start;

		if (gap.start == gap.end)
			break;
		pos = gap.end;
		if (!gap_holds(&gap, align, size, &start)) {
			uint64_t end = align_down(gap.end, align);

			if (start >= end)
				continue;
			size = end - start;
		}
		layout->ram[layout->n_ram++] =
			(struct layout_ram){ .gpa = start, .size = size, .offset = placed };
		placed += size;
	}
	return placed;
}

static bool ram_covers_start(const struct layout *layout)
{
	return layout->n_ram && layout->ram[0].gpa == 0 && layout->ram[0].size >= RAM_FIRST;
}

static int ram_refused(const struct layout *layout, const struct obstacles *obstacles,
		       uint64_t ram_size, uint64_t placed, uint64_t limit, struct err *err)
{
	const struct layout_range *range = obstacle_from(obstacles, 0);

	if (!ram_covers_start(layout) && range && range->base < RAM_FIRST)
		return err_set(err, ENOSPC,
			       "reserved range %#" PRIx64 "-%#" PRIx64 " lies in the first MiB, "
			       "where the guest must have RAM: its device cannot be assigned",
			       range->base, range_last(range));
	if (layout->n_ram == LAYOUT_MAX_RAM)
		return err_set(err, ENOSPC,
			       "reserved ranges cut %" PRIu64
			       " bytes of memory into more than %u pieces",
			       ram_size, LAYOUT_MAX_RAM);
	return err_set(err, ENOSPC,
		       "%" PRIu64 " bytes of memory do not fit below %#" PRIx64 " (guest physical "
		       "bits and IOMMU aperture) around reserved ranges: at most %" PRIu64 " do",
		       ram_size, limit, placed);
}

static int plan_ram(struct layout *layout, const struct obstacles *obstacles, uint64_t limit,
		    uint64_t ram_size, struct err *err)
{
	static const uint64_t aligns[] = { GIB, 2 * MIB, 4 * KIB };
	uint64_t placed = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(aligns); i++) {
		placed = fill_ram(layout, obstacles, limit, ram_size, aligns[i]);
		if (placed == ram_size && ram_covers_start(layout))
			return 0;
	}
	return ram_refused(layout, obstacles, ram_size, placed, limit, err);
}

/* The largest stretch that reserved ranges leave of the 32-bit window, the lowest of equals. */
static int plan_mmio32(struct layout *layout, const struct layout_request *request, uint64_t limit,
		       struct err *err)
{
	const struct obstacles obstacles = { .reserved = request->reserved,
					     .n_reserved = request->n_reserved };
	struct layout_range best = { 0 };
	uint64_t end = MMIO32_END;

	if (end > limit)
		end = limit;
	for (uint64_t pos = MMIO32_BASE; pos < end;) {
		struct gap gap = gap_from(&obstacles, pos, end);
		uint64_t start = align_up(gap.start, MIB), stop = align_down(gap.end, MIB);

		if (start < stop && stop - start > best.size)
			best = (struct layout_range){ .base = start, .size = stop - start };
		pos = gap.end;
	}
	if (best.size < LAYOUT_MMIO32_MIN)
		return err_set(err, ENOSPC,
			       "reserved ranges leave %" PRIu64 " bytes of the 32-bit PCI window "
			       "%#x-%#x: at least %llu are needed",
			       best.size, MMIO32_BASE, MMIO32_END - 1, LAYOUT_MMIO32_MIN);
	layout->mmio32 = best;
	return 0;
}

/*
 * Linux plugs memory in pieces of 128 MiB at least, and the border of 1 GiB serves large pages: the
 * coarsest border at which it fits is taken.
 */
static int plan_hot(struct layout *layout, const struct obstacles *obstacles,
		    const struct layout_request *request, uint64_t limit, struct err *err)
{
	const struct layout_ram *top = &layout->ram[layout->n_ram - 1];
	const uint64_t from = MAX(top->gpa + top->size, 4 * GIB), size = request->hot_size;
	const uint64_t aligns[] = { MAX(GIB, request->hot_align),
				    MAX(128 * MIB, request->hot_align) };

	for (unsigned int i = 0; size && i < ARRAY_SIZE(aligns); i++) {
		for (uint64_t pos = from; pos < limit;) {
			struct gap gap = gap_from(obstacles, pos, limit);
			uint64_t start;

			if (gap_holds(&gap, aligns[i], size, &start)) {
				layout->hot = (struct layout_range){ start, size };
				return 0;
			}
			pos = gap.end;
		}
	}
	if (!size)
		return 0;
	return err_set(err, ENOSPC,
		       "%" PRIu64 " bytes of memory to be plugged do not fit in one piece between "
		       "the end of RAM at %#" PRIx64 " and %#" PRIx64 " (guest physical bits and "
		       "IOMMU aperture): make it less",
		       size, from, limit);
}

static bool place_mmio64(struct layout *layout, const struct obstacles *obstacles, uint64_t from,
			 uint64_t limit, uint64_t size)
{
	while (from < limit) {
		struct gap gap = gap_from(obstacles, from, limit);
		uint64_t start;

		if (gap_holds(&gap, size, size, &start)) {
			layout->mmio64 = (struct layout_range){ .base = start, .size = size };
			return true;
		}
		from = gap.end;
	}
	return false;
}

static int plan_mmio64(struct layout *layout, const struct obstacles *obstacles, uint64_t limit,
		       uint64_t wanted, struct err *err)
{
	const struct layout_ram *top = &layout->ram[layout->n_ram - 1];
	const uint64_t ram_end = MAX(top->gpa + top->size, layout->hot.base + layout->hot.size);
	const uint64_t from = MAX(ram_end, 4 * GIB);
	const uint64_t least = wanted ? wanted : LAYOUT_MMIO64_MIN;

	for (uint64_t size = wanted ? wanted : LAYOUT_MMIO64_MAX; size >= least; size /= 2) {
		if (place_mmio64(layout, obstacles, from, limit, size))
			return 0;
	}
	return err_set(err, ENOSPC,
		       "a 64-bit PCI window of %" PRIu64
		       " bytes does not fit between the end of RAM "
		       "at %#" PRIx64 " and %#" PRIx64 " (guest physical bits and IOMMU aperture): "
		       "give the guest less memory or a smaller window",
		       least, ram_end, limit);
}

static int check_request(const struct layout_request *request, struct err *err)
{
	if (request->ram_size < LAYOUT_RAM_SIZE_MIN || request->ram_size > LAYOUT_RAM_SIZE_MAX ||
	    !is_aligned(request->ram_size, 4 * KIB))
		return err_set(err, EINVAL,
			       "memory size %" PRIu64
			       " is not a multiple of 4096 from %llu to %llu",
			       request->ram_size, LAYOUT_RAM_SIZE_MIN, LAYOUT_RAM_SIZE_MAX);
	if (request->phys_bits < LAYOUT_PHYS_BITS_MIN || request->phys_bits > LAYOUT_PHYS_BITS_MAX)
		return err_set(err, EINVAL, "%u guest physical address bits are not from %u to %u",
			       request->phys_bits, LAYOUT_PHYS_BITS_MIN, LAYOUT_PHYS_BITS_MAX);
	if (request->mem64_size && (!is_pow2(request->mem64_size) || request->mem64_size < MIB))
		return err_set(err, EINVAL,
			       "64-bit PCI window size %" PRIu64 " is not a power of two from %llu",
			       request->mem64_size, MIB);
	for (unsigned int i = 0; i < request->n_reserved; i++) {
		const struct layout_range *range = &request->reserved[i];

		if (range_wraps(range->base, range->size))
			return err_set(err, EINVAL,
				       "reserved range at %#" PRIx64 " of %#" PRIx64
				       " bytes leaves 64 bits",
				       range->base, range->size);
	}
	return 0;
}

int layout_plan(struct layout *layout, const struct layout_request *request, struct err *err)
{
	const struct obstacles obstacles = { .reserved = request->reserved,
					     .n_reserved = request->n_reserved,
					     .always = true };
	uint64_t limit;
	int ret;

	ret = check_request(request, err);
	if (ret)
		return ret;
	limit = BIT_U64(request->phys_bits);
	if (request->aperture_last < limit - 1)
		limit = request->aperture_last + 1;

	*layout = (struct layout){
		.io = { .base = IO_WINDOW_BASE, .size = IO_WINDOW_END - IO_WINDOW_BASE },
		.ecam = { .base = ECAM_BASE, .size = MIB },
	};
	ret = plan_ram(layout, &obstacles, limit, request->ram_size, err);
	if (ret)
		return ret;
	ret = plan_hot(layout, &obstacles, request, limit, err);
	if (!ret)
		ret = plan_mmio32(layout, request, limit, err);
	if (ret)
		return ret;
	return plan_mmio64(layout, &obstacles, limit, request->mem64_size, err);
}
