/* SPDX-License-Identifier: Apache-2.0 */
/* BARs: sizing, placement in the windows, decoding exactly where the guest programmed them. */
#include "test-pci.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#define BAR(n) (PCI_BASE_ADDRESS_0 + 4 * (n))

static void every_type_and_size_answers_the_sizing_protocol(void **state)
{
	RIG(rig, &rig_windows);
	static const struct {
		enum pci_bar_type type;
		unsigned int first, last; /* log2 */
		uint64_t flags;
	} rows[] = {
		{ PCI_BAR_MEM32, 4, 28, 0 },
		{ PCI_BAR_MEM64, 4, 37, PCI_BASE_ADDRESS_MEM_TYPE_64 },
		{ PCI_BAR_IO, 2, 8, PCI_BASE_ADDRESS_SPACE_IO },
	};

	for (unsigned int r = 0; r < ARRAY_SIZE(rows); r++) {
		for (unsigned int n = rows[r].first; n <= rows[r].last; n++) {
			unsigned int bytes = rows[r].type == PCI_BAR_MEM64 ? 8 : 4;
			uint64_t low = rows[r].type == PCI_BAR_IO ? 3 : 15, answer, before;
			struct pci_function *f = new_function("dev", NULL, NULL);

			add_bar(f, 2, rows[r].type, BIT_U64(n), 1);
			add_function(&rig, f, 1);
			before = cfg_read(&rig, 1, BAR(2), bytes);
			assert_int_equal(before & low, rows[r].flags);
			assert_true((before & ~low) == pci_function_bar_address(f, 2));
			cfg_write(&rig, 1, BAR(2), UINT64_MAX, bytes);
			answer = cfg_read(&rig, 1, BAR(2), bytes);
			assert_int_equal(answer & low, rows[r].flags);
			assert_true(((~(answer & ~low) + 1) & mask_bytes(bytes)) == BIT_U64(n));
			cfg_write(&rig, 1, BAR(2), before, bytes);
			assert_true(cfg_read(&rig, 1, BAR(2), bytes) == before);
			pci_bus_remove(rig.bus, f);
		}
	}
	rig_close(&rig);
}

static void sizing_a_64_bit_bar_by_halves_works(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);

	add_bar(f, 0, PCI_BAR_MEM64, 8 * GIB, 1);
	add_function(&rig, f, 1);
	cfg_write(&rig, 1, BAR(0), 0xffffffff, 4);
	cfg_write(&rig, 1, BAR(1), 0xffffffff, 4);
	assert_int_equal(cfg_read(&rig, 1, BAR(0), 4), PCI_BASE_ADDRESS_MEM_TYPE_64);
	assert_int_equal(cfg_read(&rig, 1, BAR(1), 4), 0xfffffffe);
	rig_close(&rig);
}

static void prefetchable_shows(void **state)
{
	struct pci_function *f = new_function("dev", NULL, NULL);
	struct err err = { 0 };

	assert_int_equal(pci_function_bar(f, 0, PCI_BAR_MEM64, true, 4096, NULL, NULL, &err), 0);
	assert_int_equal(load_le(pci_function_config(f) + BAR(0), 8), 0xc);
	assert_int_equal(pci_function_bar(f, 2, PCI_BAR_IO, true, 4, NULL, NULL, &err), -EINVAL);
	pci_function_destroy(f);
}

static void impossible_bars_are_refused(void **state)
{
	static const struct {
		unsigned int index;
		enum pci_bar_type type;
		uint64_t size;
		int ret;
	} rows[] = {
		{ 0, PCI_BAR_MEM32, 0, -EINVAL },    { 0, PCI_BAR_MEM32, 8, -EINVAL },
		{ 0, PCI_BAR_MEM32, 24, -EINVAL },   { 0, PCI_BAR_MEM32, 4 * GIB, -EINVAL },
		{ 0, PCI_BAR_MEM64, 8, -EINVAL },    { 0, PCI_BAR_IO, 2, -EINVAL },
		{ 0, PCI_BAR_IO, 512, -EINVAL },     { 6, PCI_BAR_MEM32, 16, -EINVAL },
		{ 5, PCI_BAR_MEM64, 16, -EINVAL },   { UINT32_MAX, PCI_BAR_MEM64, 16, -EINVAL },
		{ 2, PCI_BAR_MEM64, 16, 0 },	     { 2, PCI_BAR_MEM32, 16, -EEXIST },
		{ 3, PCI_BAR_MEM32, 16, -EEXIST },   { 1, PCI_BAR_MEM64, 16, -EEXIST },
		{ 4, PCI_BAR_MEM64, 1ULL << 63, 0 },
	};
	struct pci_function *f = new_function("dev", NULL, NULL);

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = { 0 };

		assert_int_equal(pci_function_bar(f, rows[i].index, rows[i].type, false,
						  rows[i].size, NULL, NULL, &err),
				 rows[i].ret);
	}
	pci_function_destroy(f);
}

static void placement_is_aligned_apart_and_in_its_window(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f[4];

	for (unsigned int i = 0; i < ARRAY_SIZE(f); i++) {
		f[i] = new_function("dev", NULL, NULL);
		add_bar(f[i], 0, PCI_BAR_MEM32, 16, 1);
		add_bar(f[i], 1, PCI_BAR_MEM32, 32 * MIB, 2);
		add_bar(f[i], 2, PCI_BAR_MEM64, 8 * GIB, 3);
		add_bar(f[i], 4, PCI_BAR_IO, 4, 4);
		add_bar(f[i], 5, PCI_BAR_IO, 256, 5);
		add_function(&rig, f[i], -1);
	}
	for (unsigned int a = 0; a < ARRAY_SIZE(f) * PCI_BARS; a++) {
		const struct pci_bar *x = &f[a / PCI_BARS]->bars[a % PCI_BARS];

		if (!x->function)
			continue;
		assert_true(x->address && is_aligned(x->address, x->size));
		assert_true(pci_window_holds(rig.bus, x, x->address));
		if (x->type == PCI_BAR_MEM64)
			assert_true(x->address >= rig_windows.mem64.base);
		for (unsigned int b = 0; b < a; b++) {
			const struct pci_bar *y = &f[b / PCI_BARS]->bars[b % PCI_BARS];

			if (!y->function || pci_bar_is_io(x) != pci_bar_is_io(y))
				continue;
			assert_false(range_overlaps(x->address, x->size, y->address, y->size));
			if (!pci_bar_is_io(x))
				assert_true(x->address / 4096 != y->address / 4096);
		}
	}
	rig_close(&rig);
}

static void what_fits_nowhere_is_refused_by_name(void **state)
{
	struct pci_bus_options o = rig_windows;
	struct pci_function *big;
	struct err err = { 0 };

	o.mem64.size = 0;
	o.mem32.size = 64 * KIB;
	RIG(rig, &o);
	big = new_function("gpu0", NULL, NULL);
	add_bar(big, 0, PCI_BAR_MEM32, 4 * KIB, 1);
	add_bar(big, 2, PCI_BAR_MEM64, 64 * KIB, 2);
	assert_int_equal(pci_bus_add(rig.bus, big, -1, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "gpu0 BAR 0"));
	assert_int_equal(cfg_read(&rig, 1, 0, 4), 0xffffffff);
	assert_int_equal(pci_function_bar_address(big, 0), 0);
	assert_int_equal(pci_function_bar_address(big, 2), 0);
	pci_function_destroy(big);

	/* A 64-bit BAR goes below 4 GiB where there is no other window. */
	big = new_function("gpu1", NULL, NULL);
	add_bar(big, 2, PCI_BAR_MEM64, 64 * KIB, 2);
	add_function(&rig, big, -1);
	assert_int_equal(pci_function_bar_address(big, 2), 0xc0000000);
	rig_close(&rig);
}

static void a_bar_answers_only_while_its_space_is_enabled(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);
	uint64_t mem, io;

	add_bar(f, 0, PCI_BAR_MEM32, 4096, 1);
	add_bar(f, 1, PCI_BAR_IO, 16, 2);
	add_function(&rig, f, 1);
	mem = pci_function_bar_address(f, 0);
	io = pci_function_bar_address(f, 1);
	for (unsigned int command = 0; command < 4; command++) {
		cfg_write(&rig, 1, PCI_COMMAND, command, 2);
		assert_int_equal(mem_read(&rig, mem + 8, 4), command & 2 ? TAG(1, 8) : 0xffffffff);
		assert_int_equal(pio_read(&rig, io + 8, 4), command & 1 ? TAG(2, 8) : 0xffffffff);
		assert_int_equal(pio_read(&rig, io + 16, 4), 0xffffffff);
		assert_int_equal(mem_read(&rig, mem + 4096, 4), 0xffffffff);
		assert_int_equal(mem_read(&rig, mem - 4, 4), 0xffffffff);
	}
	/* Off the map when the function goes. */
	pci_bus_remove(rig.bus, f);
	assert_int_equal(mem_read(&rig, mem, 4), 0xffffffff);
	assert_int_equal(pio_read(&rig, io, 4), 0xffffffff);
	rig_close(&rig);
}

static void a_bar_without_handlers_reads_as_ones(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);
	struct err err = { 0 };

	assert_int_equal(pci_function_bar(f, 0, PCI_BAR_MEM32, false, 64, NULL, NULL, &err), 0);
	add_function(&rig, f, 1);
	cfg_write(&rig, 1, PCI_COMMAND, 2, 2);
	mem_write(&rig, pci_function_bar_address(f, 0), 1, 4);
	assert_int_equal(mem_read(&rig, pci_function_bar_address(f, 0), 4), 0xffffffff);
	rig_close(&rig);
}

static void a_bar_outside_the_windows_is_logged_and_not_decoded(void **state)
{
	struct log log = { .fd = memfd_create("log", 0), .level = LOG_DEBUG };
	struct pci_bus_options o = rig_windows;
	static const uint64_t outside[] = { 0x1000, 0xbffff000, 1ULL << 50, ECAM, 0xfee00000 };
	char text[4096] = { 0 };
	struct pci_function *f;

	o.log = &log;
	RIG(rig, &o);
	f = new_function("dev", NULL, NULL);
	add_bar(f, 0, PCI_BAR_MEM64, 4096, 1);
	add_function(&rig, f, 1);
	cfg_write(&rig, 1, PCI_COMMAND, 2, 2);
	for (unsigned int i = 0; i < ARRAY_SIZE(outside); i++) {
		uint64_t there = outside[i];

		cfg_write(&rig, 1, BAR(0), there, 8);
		assert_true(cfg_read(&rig, 1, BAR(0), 8) == (there | 4));
		assert_true(pci_function_bar_address(f, 0) == there);
		assert_true(mem_read(&rig, there, 4) != TAG(1, 0));
	}
	assert_int_equal(cfg_read(&rig, 0, PCI_CLASS_DEVICE, 2), 0x600);
	assert_true(pread(log.fd, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(strstr(text, "dev BAR 0 at 0x1000 (0x1000 bytes) is not decoded"));
	rig_close(&rig);
	close(log.fd);
}

static void the_first_holder_keeps_a_place_and_the_next_gets_it_after(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *a = new_function("a", NULL, NULL), *b = new_function("b", NULL, NULL);
	const uint64_t x = 0xc1000000, y = 0xc2000000;

	add_bar(a, 0, PCI_BAR_MEM32, 4096, 1);
	add_bar(b, 0, PCI_BAR_MEM32, 8192, 2);
	add_function(&rig, a, 1);
	add_function(&rig, b, 2);
	cfg_write(&rig, 1, PCI_COMMAND, 2, 2);
	cfg_write(&rig, 2, PCI_COMMAND, 2, 2);
	cfg_write(&rig, 1, BAR(0), x + 4096, 4);
	cfg_write(&rig, 2, BAR(0), x, 4);
	assert_int_equal(mem_read(&rig, x + 4096, 4), TAG(1, 0));
	assert_int_equal(mem_read(&rig, x, 4), 0xffffffff);
	assert_int_equal(cfg_read(&rig, 2, BAR(0), 4), x);

	cfg_write(&rig, 1, BAR(0), y, 4);
	assert_int_equal(mem_read(&rig, y, 4), TAG(1, 0));
	assert_int_equal(mem_read(&rig, x + 4096, 4), TAG(2, 4096));
	/* Now the other way round, given up by disabling, and by removal. */
	cfg_write(&rig, 1, BAR(0), x, 4);
	assert_int_equal(mem_read(&rig, x, 4), TAG(2, 0));
	assert_int_equal(mem_read(&rig, y, 4), 0xffffffff);
	cfg_write(&rig, 2, PCI_COMMAND, 0, 2);
	assert_int_equal(mem_read(&rig, x, 4), TAG(1, 0));
	cfg_write(&rig, 2, PCI_COMMAND, 2, 2);
	assert_int_equal(mem_read(&rig, x, 4), TAG(1, 0));
	pci_bus_remove(rig.bus, a);
	assert_int_equal(mem_read(&rig, x, 4), TAG(2, 0));
	rig_close(&rig);
}

static void one_wide_write_swaps_two_bars(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);
	const uint64_t x = 0xc1000000, y = 0xc2000000;

	add_bar(f, 0, PCI_BAR_MEM32, 4096, 1);
	add_bar(f, 1, PCI_BAR_MEM32, 4096, 2);
	add_function(&rig, f, 1);
	cfg_write(&rig, 1, PCI_COMMAND, 2, 2);
	cfg_write(&rig, 1, BAR(0), x | y << 32, 8);
	assert_int_equal(mem_read(&rig, x, 4), TAG(1, 0));
	assert_int_equal(mem_read(&rig, y, 4), TAG(2, 0));
	cfg_write(&rig, 1, BAR(0), y | x << 32, 8);
	assert_int_equal(mem_read(&rig, x, 4), TAG(2, 0));
	assert_int_equal(mem_read(&rig, y, 4), TAG(1, 0));
	rig_close(&rig);
}

static void a_bar_moves_onto_part_of_its_old_place(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);
	uint64_t at = 0xc1000000;

	add_bar(f, 0, PCI_BAR_MEM32, 16, 1);
	add_function(&rig, f, 1);
	cfg_write(&rig, 1, PCI_COMMAND, 2, 2);
	for (unsigned int i = 0; i < 64; i++, at += 16) {
		cfg_write(&rig, 1, BAR(0), at, 1); /* byte by byte, as slow guests do */
		cfg_write(&rig, 1, BAR(0) + 1, at >> 8, 1);
		cfg_write(&rig, 1, BAR(0) + 2, at >> 16, 2);
		assert_int_equal(mem_read(&rig, at, 4), TAG(1, 0));
		assert_int_equal(mem_read(&rig, at - 4, 4), 0xffffffff);
		assert_int_equal(mem_read(&rig, at + 16, 4), 0xffffffff);
	}
	rig_close(&rig);
}

static void a_move_is_one_step_for_other_vcpus(void **state)
{
	RIG(rig, &rig_windows);
	struct pci_function *f = new_function("dev", NULL, NULL);
	uint64_t before;

	add_bar(f, 0, PCI_BAR_MEM64, 4096, 1);
	add_function(&rig, f, 1);
	cfg_write(&rig, 1, PCI_COMMAND, 2, 2);
	/* Every table that replaces another moves the epoch on by one. */
	before = vm_epoch(rig.vm)->current;
	cfg_write(&rig, 1, BAR(0), 0xc1000000, 8);
	assert_int_equal(vm_epoch(rig.vm)->current - before, 1);
	assert_int_equal(mem_read(&rig, 0xc1000000, 4), TAG(1, 0));
	/* What changes nothing replaces nothing. */
	cfg_write(&rig, 1, BAR(0), 0xc1000000, 8);
	cfg_write(&rig, 1, PCI_COMMAND, 6, 2);
	assert_int_equal(vm_epoch(rig.vm)->current - before, 1);
	rig_close(&rig);
}

/* --- random reprogramming against the invariant ---------------------------------------------- */

#define FUNCTIONS 4

struct seen {
	uint64_t address, size;
	bool io, wanted, answers;
	unsigned int tag;
};

static const struct pci_bus_options small_windows = {
	.mem32 = { 0xc0000000, 64 * KIB },
	.mem64 = { 1ULL << 40, 64 * KIB },
	.io = { 0xc000, 0x100 },
	.ecam_base = ECAM,
};

static const struct {
	enum pci_bar_type type;
	uint64_t size;
} shapes[FUNCTIONS][PCI_BARS] = {
	{ { PCI_BAR_MEM32, 16 },
	  { PCI_BAR_MEM32, 4096 },
	  { PCI_BAR_MEM64, 8192 },
	  { 0, 0 },
	  { PCI_BAR_IO, 4 },
	  { PCI_BAR_IO, 32 } },
	{ { PCI_BAR_MEM64, 16384 },
	  { 0, 0 },
	  { PCI_BAR_MEM64, 64 },
	  { 0, 0 },
	  { PCI_BAR_IO, 128 } },
	{ { PCI_BAR_MEM32, 1024 }, { PCI_BAR_MEM64, 4096 }, { 0, 0 }, { PCI_BAR_IO, 8 } },
	{ { PCI_BAR_MEM32, 8192 }, { PCI_BAR_MEM32, 4096 }, { PCI_BAR_MEM32, 256 } },
};

static uint64_t read_at(struct rig *rig, bool io, uint64_t address)
{
	return io ? pio_read(rig, address, 4) : mem_read(rig, address, 4);
}

/* What the guest can know: registers only. */
static unsigned int look(struct rig *rig, struct seen *seen)
{
	unsigned int n = 0;

	for (unsigned int f = 0; f < FUNCTIONS; f++) {
		uint64_t command = cfg_read(rig, f + 1, PCI_COMMAND, 2);

		for (unsigned int b = 0; b < PCI_BARS; b++) {
			struct seen *s = &seen[n];
			bool wide = shapes[f][b].type == PCI_BAR_MEM64;
			const struct pci_window *w = &small_windows.mem32;

			if (!shapes[f][b].size)
				continue;
			n++;
			*s = (struct seen){ .size = shapes[f][b].size,
					    .io = shapes[f][b].type == PCI_BAR_IO,
					    .tag = f * 8 + b + 1 };
			s->address = cfg_read(rig, f + 1, BAR(b), wide ? 8 : 4) &
				     (s->io ? ~3ULL : ~15ULL);
			s->wanted = command & (s->io ? 1 : 2);
			if (s->io)
				w = &small_windows.io;
			else if (s->address >> 32)
				w = &small_windows.mem64;
			s->wanted &= range_inside(s->address, s->size, w->base, w->size);
			s->answers = s->wanted && read_at(rig, s->io, s->address) == TAG(s->tag, 0);
		}
	}
	return n;
}

static bool clash(const struct seen *a, const struct seen *b)
{
	return a != b && a->io == b->io && a->wanted && b->wanted &&
	       range_overlaps(a->address, a->size, b->address, b->size);
}

/* What an address must answer, from the BARs that do answer. */
static uint64_t expected_at(const struct seen *seen, unsigned int n, bool io, uint64_t address)
{
	for (unsigned int i = 0; i < n; i++) {
		if (seen[i].answers && seen[i].io == io && address >= seen[i].address &&
		    address - seen[i].address < seen[i].size)
			return TAG(seen[i].tag, address - seen[i].address);
	}
	return 0xffffffff;
}

static void check_edges(struct rig *rig, const struct seen *seen, unsigned int n,
			const struct seen *s)
{
	const uint64_t probes[] = { s->address - 4, s->address, s->address + s->size / 2,
				    s->address + s->size - 4, s->address + s->size };

	for (unsigned int i = 0; i < ARRAY_SIZE(probes); i++) {
		uint64_t at = align_down(probes[i], 4);

		if (!s->io && at >= ECAM && at < ECAM + PCI_ECAM_SIZE)
			continue;
		assert_int_equal(read_at(rig, s->io, at), expected_at(seen, n, s->io, at));
	}
}

/* Returns how many BARs had to wait for another. */
static unsigned int check_invariant(struct rig *rig, bool sweep)
{
	struct seen seen[FUNCTIONS * PCI_BARS];
	unsigned int n = look(rig, seen), waiting = 0;

	for (unsigned int i = 0; i < n; i++) {
		bool beaten = false;

		for (unsigned int j = 0; j < n; j++) {
			if (!clash(&seen[i], &seen[j]))
				continue;
			assert_false(seen[i].answers && seen[j].answers);
			beaten |= seen[j].answers;
		}
		if (seen[i].wanted && !beaten)
			assert_true(seen[i].answers);
		waiting += seen[i].wanted && beaten;
		check_edges(rig, seen, n, &seen[i]);
	}
	for (uint64_t o = 0; sweep && o < 64 * KIB; o += 16) {
		uint64_t low = small_windows.mem32.base + o, high = small_windows.mem64.base + o;

		assert_int_equal(mem_read(rig, low, 4), expected_at(seen, n, false, low));
		assert_int_equal(mem_read(rig, high, 4), expected_at(seen, n, false, high));
	}
	for (uint64_t o = 0; sweep && o < 0x100; o += 4)
		assert_int_equal(pio_read(rig, 0xc000 + o, 4),
				 expected_at(seen, n, true, 0xc000 + o));
	return waiting;
}

static uint64_t random_address(unsigned short seed[3], enum pci_bar_type type)
{
	uint64_t r = (uint64_t)nrand48(seed);

	switch (nrand48(seed) % 10) {
	case 0:
		return UINT64_MAX;
	case 1:
		return r << 16;
	default:
		if (type == PCI_BAR_IO)
			return 0xbff0 + r % 0x120;
		if (type == PCI_BAR_MEM64 && r & 0x1000000)
			return (1ULL << 40) + r % (66 * KIB);
		return 0xc0000000 + r % (66 * KIB);
	}
}

static void reprogram(struct rig *rig, unsigned short seed[3])
{
	unsigned int f = (unsigned int)nrand48(seed) % FUNCTIONS, b, size;

	if (nrand48(seed) % 4 == 0) {
		cfg_write(rig, f + 1, PCI_COMMAND, (uint64_t)nrand48(seed) | (nrand48(seed) & 3),
			  2);
		return;
	}
	do
		b = (unsigned int)nrand48(seed) % PCI_BARS;
	while (!shapes[f][b].size);
	size = shapes[f][b].type == PCI_BAR_MEM64 ? 8 : 4;
	if (nrand48(seed) % 8 == 0)
		size = 1u << (nrand48(seed) & 3);
	cfg_write(rig, f + 1, BAR(b), random_address(seed, shapes[f][b].type), size);
}

static void random_reprogramming_keeps_the_invariant(void **state)
{
	RIG(rig, &small_windows);
	unsigned short seed[3] = { 7, 8, 9 };
	unsigned int waited = 0;

	for (unsigned int f = 0; f < FUNCTIONS; f++) {
		struct pci_function *function = new_function("dev", NULL, NULL);

		for (unsigned int b = 0; b < PCI_BARS; b++) {
			if (shapes[f][b].size)
				add_bar(function, b, shapes[f][b].type, shapes[f][b].size,
					f * 8 + b + 1);
		}
		add_function(&rig, function, (int)f + 1);
		cfg_write(&rig, f + 1, PCI_COMMAND, 3, 2);
	}
	check_invariant(&rig, true);
	for (unsigned int i = 0; i < 10000; i++) {
		reprogram(&rig, seed);
		waited += check_invariant(&rig, i % 200 == 0);
	}
	assert_true(waited > 1000);
	rig_close(&rig);
}

/* --- threads --------------------------------------------------------------------------------- */

struct device {
	uint32_t alive; /* handlers must not be called after free */
	uint32_t late;
};

static uint64_t device_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct device *device = opaque;

	if (!__atomic_load_n(&device->alive, __ATOMIC_ACQUIRE))
		__atomic_fetch_add(&device->late, 1, __ATOMIC_RELAXED);
	return 0x5a;
}

static const struct io_ops device_ops = { .read = device_read };

static void device_free(void *opaque)
{
	struct device *device = opaque;

	__atomic_store_n(&device->alive, 0, __ATOMIC_RELEASE);
}

static const struct pci_ops device_pci_ops = { .free = device_free };

struct guest {
	struct rig rig; /* its own epoch reader on the shared VM */
	bool stop;
	uint64_t met;
};

static void *guest_thread(void *arg)
{
	struct guest *g = arg;
	unsigned short seed[3] = { 1, 1, 1 };

	while (!__atomic_load_n(&g->stop, __ATOMIC_ACQUIRE)) {
		cfg_write(&g->rig, 1, PCI_COMMAND, 2, 2);
		if (mem_read(&g->rig, 0xc0000000 + (uint64_t)(nrand48(seed) & 3) * 4096, 1) == 0x5a)
			__atomic_fetch_add(&g->met, 1, __ATOMIC_RELEASE);
		cfg_write(&g->rig, 1, BAR(0), 0xc0000000 + (uint64_t)(nrand48(seed) & 3) * 4096, 4);
	}
	return NULL;
}

static void removal_waits_for_handlers_of_running_vcpus(void **state)
{
	RIG(rig, &rig_windows);
	struct guest g = { .rig = { .vm = rig.vm, .bus = rig.bus } };
	struct device device = { 0 };
	struct err err = { 0 };
	pthread_t thread;

	epoch_join(vm_epoch(rig.vm), &g.rig.reader);
	assert_int_equal(pthread_create(&thread, NULL, guest_thread, &g), 0);
	for (unsigned int i = 0; i < 200; i++) {
		struct pci_function *f = new_function("dev", &device_pci_ops, &device);
		uint64_t met = __atomic_load_n(&g.met, __ATOMIC_ACQUIRE);

		__atomic_store_n(&device.alive, 1, __ATOMIC_RELEASE);
		assert_int_equal(pci_function_bar(f, 0, PCI_BAR_MEM32, false, 4096, &device_ops,
						  &device, &err),
				 0);
		add_function(&rig, f, 1);
		while (__atomic_load_n(&g.met, __ATOMIC_ACQUIRE) == met)
			sched_yield();
		pci_bus_remove(rig.bus, f);
		assert_int_equal(__atomic_load_n(&device.alive, __ATOMIC_ACQUIRE), 0);
	}
	__atomic_store_n(&g.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_int_equal(device.late, 0);
	epoch_leave(vm_epoch(rig.vm), &g.rig.reader);
	rig_close(&rig);
}

/* A handler that stays inside until it is off the map, and then looks whether its device lives. */
struct slow {
	struct device device;
	struct rig *rig; /* with the reading thread's own reader */
	uint64_t base;
	bool inside;
};

static uint64_t slow_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct slow *slow = opaque;

	__atomic_store_n(&slow->inside, true, __ATOMIC_RELEASE);
	while (iomap_find(vm_mmio(slow->rig->vm), slow->base))
		sched_yield();
	for (unsigned int i = 0; i < 1000; i++)
		sched_yield();
	return device_read(&slow->device, offset, size);
}

static const struct io_ops slow_ops = { .read = slow_read };

static void *slow_thread(void *arg)
{
	struct slow *slow = arg;

	mem_read(slow->rig, slow->base, 4);
	return NULL;
}

static void removal_waits_for_a_handler_that_is_inside(void **state)
{
	RIG(rig, &rig_windows);
	struct rig other = { .vm = rig.vm, .bus = rig.bus };
	struct slow slow = { .device = { .alive = 1 }, .rig = &other };
	struct pci_function *f = new_function("dev", &device_pci_ops, &slow.device);
	struct err err = { 0 };
	pthread_t thread;

	epoch_join(vm_epoch(rig.vm), &other.reader);
	assert_int_equal(pci_function_bar(f, 0, PCI_BAR_MEM32, false, 64, &slow_ops, &slow, &err),
			 0);
	add_function(&rig, f, 1);
	cfg_write(&rig, 1, PCI_COMMAND, 2, 2);
	slow.base = pci_function_bar_address(f, 0);
	assert_int_equal(pthread_create(&thread, NULL, slow_thread, &slow), 0);
	while (!__atomic_load_n(&slow.inside, __ATOMIC_ACQUIRE))
		sched_yield();
	pci_bus_remove(rig.bus, f);
	pthread_join(thread, NULL);
	assert_int_equal(slow.device.alive, 0);
	assert_int_equal(slow.device.late, 0);
	epoch_leave(vm_epoch(rig.vm), &other.reader);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_and_size_answers_the_sizing_protocol),
		cmocka_unit_test(sizing_a_64_bit_bar_by_halves_works),
		cmocka_unit_test(prefetchable_shows),
		cmocka_unit_test(impossible_bars_are_refused),
		cmocka_unit_test(placement_is_aligned_apart_and_in_its_window),
		cmocka_unit_test(what_fits_nowhere_is_refused_by_name),
		cmocka_unit_test(a_bar_answers_only_while_its_space_is_enabled),
		cmocka_unit_test(a_bar_without_handlers_reads_as_ones),
		cmocka_unit_test(a_bar_outside_the_windows_is_logged_and_not_decoded),
		cmocka_unit_test(the_first_holder_keeps_a_place_and_the_next_gets_it_after),
		cmocka_unit_test(one_wide_write_swaps_two_bars),
		cmocka_unit_test(a_bar_moves_onto_part_of_its_old_place),
		cmocka_unit_test(a_move_is_one_step_for_other_vcpus),
		cmocka_unit_test(random_reprogramming_keeps_the_invariant),
		cmocka_unit_test(removal_waits_for_a_handler_that_is_inside),
		cmocka_unit_test(removal_waits_for_handlers_of_running_vcpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
