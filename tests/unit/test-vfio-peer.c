/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BARs of an assigned function in the space of other devices' DMA. The space is of the soft
 * provider, which maps the BAR's own mapping, so a translation shows what a peer would reach.
 */
#include "fake-vfio.h"

#include <dirent.h>

#include "ioasid-client/ioasid.h"

struct scene {
	struct fake_rig *m;
	struct ioasid_ctx *ctx;
	struct ioasid_device *peer;
	struct ioasid_dma *dma;
	struct ioasid_space *space;
	struct err err;
};

static bool scene_start(struct scene *s)
{
	const struct ioasid_space_options options = { .name = "guest" };
	const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT };

	*s = (struct scene){ .m = fake_rig_open() };
	if (!s->m)
		return false;
	assert_int_equal(ioasid_ctx_open(&s->ctx, IOASID_PROVIDER_SOFT, NULL, &s->err), 0);
	assert_int_equal(ioasid_dma_open(s->ctx, &s->dma, &s->err), 0);
	assert_int_equal(ioasid_bind(s->ctx, &source, "peer", &s->peer, &s->err), 0);
	assert_int_equal(ioasid_alloc(s->ctx, &options, &s->space, &s->err), 0);
	assert_int_equal(ioasid_attach(s->peer, s->space, &s->err), 0);
	return true;
}

static void plug(struct scene *s)
{
	struct vfio_options options = fake_options(s->m);

	options.peers = s->space;
	fake_plug(s->m, &options);
	/* By a byte in each page it is known again. */
	for (unsigned int at = 0; at < FAKE_BAR0_SIZE; at += 4096)
		s->m->v.bar0[at] = (uint8_t)(0x80 + at / 4096);
}

static void scene_end(struct scene *s)
{
	fake_rig_close(s->m);
	ioasid_ctx_close(s->ctx);
	ioasid_dma_close(s->dma);
}

/* What DMA of the peer reads there; -1: it is stopped. */
static int dma_read(struct scene *s, uint64_t iova)
{
	uint64_t len = 1;
	const uint8_t *at;
	int byte;

	ioasid_dma_begin(s->dma);
	at = ioasid_translate(s->dma, s->peer, 0, iova, &len, IOASID_READ | IOASID_WRITE);
	byte = at ? *at : -1;
	ioasid_dma_end(s->dma);
	return byte;
}

/* All that is mapped of a BAR at `base`, but for the pages that MSI-X has. */
static bool reached(struct scene *s, uint64_t base)
{
	bool all = true;

	for (unsigned int at = 0; at < FAKE_BAR0_SIZE; at += 4096) {
		bool msix = at == FAKE_TABLE || at == FAKE_PBA;

		all &= dma_read(s, base + at) == (msix ? -1 : (int)(0x80 + at / 4096));
	}
	return all;
}

static bool nothing_reached(struct scene *s, uint64_t base)
{
	bool none = true;

	for (unsigned int at = 0; at < FAKE_BAR0_SIZE; at += 4096)
		none &= dma_read(s, base + at) == -1;
	return none;
}

static void command(struct scene *s, uint16_t value)
{
	cfg_write(&s->m->rig, FAKE_SLOT, PCI_COMMAND, value, 2);
}

static void move(struct scene *s, uint64_t to)
{
	cfg_write(&s->m->rig, FAKE_SLOT, PCI_BASE_ADDRESS_0, (uint32_t)to, 4);
	cfg_write(&s->m->rig, FAKE_SLOT, PCI_BASE_ADDRESS_1, to >> 32, 4);
}

static unsigned int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void registers_are_reached_where_the_guest_has_them(void **state)
{
	struct scene s;
	uint64_t home;

	if (!scene_start(&s))
		skip();
	plug(&s);
	home = s.m->bar0;
	assert_int_equal(s.m->v.dma_bufs, 2);
	assert_true(vfio_function_has_peers(s.m->f));
	assert_true(reached(&s, home));
	move(&s, home + 4ULL * FAKE_BAR0_SIZE);
	assert_true(nothing_reached(&s, home));
	assert_true(reached(&s, home + 4ULL * FAKE_BAR0_SIZE));
	/* Onto a place in no window, and back. */
	move(&s, 0);
	assert_true(nothing_reached(&s, home + 4ULL * FAKE_BAR0_SIZE));
	move(&s, home);
	assert_true(reached(&s, home));
	command(&s, PCI_COMMAND_MASTER);
	assert_true(nothing_reached(&s, home));
	command(&s, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	assert_true(reached(&s, home));
	scene_end(&s);
}

/* The kernel has taken its pages out of the space: they are mapped anew, by and by. */
static void a_reset_by_the_guest_takes_them_out(void **state)
{
	struct scene s;
	uint64_t home;

	if (!scene_start(&s))
		skip();
	plug(&s);
	home = s.m->bar0;
	cfg_write(&s.m->rig, FAKE_SLOT, FAKE_EXP + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR, 2);
	assert_int_equal(s.m->v.resets, 1);
	assert_true(nothing_reached(&s, home));
	move(&s, home);
	command(&s, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	assert_int_equal(ioasid_unmap(s.space, home, FAKE_BAR0_SIZE, &s.err), 0);
	scene_end(&s);
}

static void a_function_that_leaves_leaves_nothing(void **state)
{
	unsigned int before;
	struct scene s;
	uint64_t home;

	if (!scene_start(&s))
		skip();
	before = descriptors();
	plug(&s);
	home = s.m->bar0;
	assert_true(reached(&s, home));
	pci_bus_remove(s.m->rig.bus, vfio_function_pci(s.m->f));
	assert_true(nothing_reached(&s, home));
	assert_int_equal(ioasid_unmap(s.space, home, FAKE_BAR0_SIZE, &s.err), -ENOENT);
	assert_int_equal(descriptors(), before);
	scene_end(&s);
}

static void without_dma_bufs_nothing_is_reached_and_all_else_works(void **state)
{
	struct scene s;

	if (!scene_start(&s))
		skip();
	s.m->v.no_dma_bufs = true;
	plug(&s);
	assert_false(vfio_function_has_peers(s.m->f));
	assert_true(nothing_reached(&s, s.m->bar0));
	assert_int_equal(mem_read(&s.m->rig, s.m->bar0 + FAKE_TABLE + 12, 4), 1);
	scene_end(&s);
}

static void without_one_dma_buf_the_others_are_reached(void **state)
{
	struct scene s;

	if (!scene_start(&s))
		skip();
	s.m->v.last_dma_buf = 1;
	plug(&s);
	assert_int_equal(s.m->v.dma_bufs, 1);
	assert_true(vfio_function_has_peers(s.m->f));
	assert_false(nothing_reached(&s, s.m->bar0));
	assert_false(reached(&s, s.m->bar0));
	move(&s, s.m->bar0 + 4ULL * FAKE_BAR0_SIZE);
	assert_true(nothing_reached(&s, s.m->bar0));
	scene_end(&s);
}

static void a_place_that_the_space_has_taken_is_no_failure(void **state)
{
	struct scene s;
	uint64_t to;

	if (!scene_start(&s))
		skip();
	plug(&s);
	to = s.m->bar0 + 4ULL * FAKE_BAR0_SIZE;
	assert_int_equal(ioasid_map_hva(s.space, to, 4096, s.m->v.bar0 + 0x8000, IOASID_READ,
					&s.err),
			 0);
	move(&s, to);
	assert_int_equal(dma_read(&s, to + 0x8000), 0x88);
	assert_int_equal(dma_read(&s, to + 0x1000), -1);
	/* The guest is shown all of it nevertheless. */
	assert_int_equal(mem_read(&s.m->rig, to + FAKE_TABLE + 12, 4), 1);
	move(&s, s.m->bar0);
	assert_true(reached(&s, s.m->bar0));
	scene_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_are_reached_where_the_guest_has_them),
		cmocka_unit_test(a_reset_by_the_guest_takes_them_out),
		cmocka_unit_test(a_function_that_leaves_leaves_nothing),
		cmocka_unit_test(without_dma_bufs_nothing_is_reached_and_all_else_works),
		cmocka_unit_test(without_one_dma_buf_the_others_are_reached),
		cmocka_unit_test(a_place_that_the_space_has_taken_is_no_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
