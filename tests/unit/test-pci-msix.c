/* SPDX-License-Identifier: Apache-2.0 */
/* MSI-X: what is sent, what pends, what is lost; the table and the pending bits in their BAR. */
#include "test-pci.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#define VECTORS 70u
#define TABLE	0x1000u
#define PBA	0x1800u
#define CONTROL (PCI_STD_HEADER_SIZEOF + PCI_MSIX_FLAGS)

#define ON	PCI_MSIX_FLAGS_ENABLE
#define MASKALL PCI_MSIX_FLAGS_MASKALL

/* Messages as the device's interrupt controller would see them: data is the vector. */
struct sink {
	uint64_t count[VECTORS];
	uint64_t total;	  /* atomic */
	uint64_t address; /* of the last */
	bool forbidden;	  /* atomic: nothing may arrive now */
	uint64_t wrong;	  /* atomic */
};

static void sink_deliver(void *arg, const struct msi_message *message)
{
	struct sink *sink = arg;

	if (message->data >= VECTORS || __atomic_load_n(&sink->forbidden, __ATOMIC_ACQUIRE)) {
		__atomic_fetch_add(&sink->wrong, 1, __ATOMIC_RELAXED);
		return;
	}
	sink->count[message->data]++;
	sink->address = message->address;
	__atomic_fetch_add(&sink->total, 1, __ATOMIC_RELEASE);
}

static uint64_t taken(struct sink *sink)
{
	return __atomic_exchange_n(&sink->total, 0, __ATOMIC_ACQ_REL);
}

struct msix_rig {
	struct rig rig;
	struct pci_function *f;
	struct sink sink;
	uint64_t bar;
};

static void entry_write(struct rig *rig, uint64_t bar, unsigned int vector, unsigned int reg,
			uint64_t value, unsigned int size)
{
	mem_write(rig, bar + TABLE + vector * 16UL + reg, value, size);
}

static void mask(struct msix_rig *m, unsigned int vector, bool on)
{
	entry_write(&m->rig, m->bar, vector, PCI_MSIX_ENTRY_VECTOR_CTRL, on, 4);
}

static void control(struct msix_rig *m, uint16_t value)
{
	cfg_write(&m->rig, 1, CONTROL, value, 2);
}

static bool pending(struct msix_rig *m, unsigned int vector)
{
	return mem_read(&m->rig, m->bar + PBA + vector / 64 * 8UL, 8) >> vector % 64 & 1;
}

static bool msix_rig_open(struct msix_rig *m)
{
	struct err err = { 0 };

	*m = (struct msix_rig){ 0 };
	if (!rig_open(&m->rig, &rig_windows))
		return false;
	m->f = new_function("dev", NULL, NULL);
	add_bar(m->f, 0, PCI_BAR_MEM64, 8 * KIB, 9);
	assert_int_equal(pci_function_msix(m->f, VECTORS, 0, TABLE, PBA, &err), 0);
	assert_int_equal(pci_function_express(m->f, &err), 0);
	m->f->msix->deliver = sink_deliver;
	m->f->msix->deliver_arg = &m->sink;
	add_function(&m->rig, m->f, 1);
	cfg_write(&m->rig, 1, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	m->bar = pci_function_bar_address(m->f, 0);
	for (unsigned int v = 0; v < VECTORS; v++) {
		entry_write(&m->rig, m->bar, v, 0, 0xfee00000, 8);
		entry_write(&m->rig, m->bar, v, 8, v, 4);
	}
	return true;
}

#define MSIX_RIG(m)                       \
	struct msix_rig m;                \
	do {                              \
		if (!msix_rig_open(&(m))) \
			skip();           \
	} while (0)

static void vectors_start_masked_and_off(void **state)
{
	MSIX_RIG(m);

	assert_int_equal(cfg_read(&m.rig, 1, CONTROL, 2), VECTORS - 1);
	assert_int_equal(mem_read(&m.rig, m.bar + TABLE + 12, 4), 1);
	pci_function_msix_fire(m.f, 0);
	assert_false(pending(&m, 0));
	control(&m, ON);
	pci_function_msix_fire(m.f, 0);
	assert_true(pending(&m, 0));
	assert_int_equal(taken(&m.sink), 0);
	rig_close(&m.rig);
}

static void an_open_vector_sends_its_entry_at_once(void **state)
{
	MSIX_RIG(m);

	control(&m, ON);
	entry_write(&m.rig, m.bar, 3, 0, 0x1fee01007, 8);
	mask(&m, 3, false);
	pci_function_msix_fire(m.f, 3);
	assert_int_equal(taken(&m.sink), 1);
	assert_int_equal(m.sink.count[3], 1);
	assert_true(m.sink.address == 0x1fee01004);
	assert_false(pending(&m, 3));
	rig_close(&m.rig);
}

static void a_masked_event_is_sent_once_when_unmasked(void **state)
{
	MSIX_RIG(m);

	control(&m, ON);
	for (unsigned int i = 0; i < 3; i++)
		pci_function_msix_fire(m.f, 69);
	assert_true(pending(&m, 69));
	mask(&m, 69, false);
	assert_int_equal(taken(&m.sink), 1);
	assert_false(pending(&m, 69));
	mask(&m, 69, true);
	mask(&m, 69, false);
	assert_int_equal(taken(&m.sink), 0);
	rig_close(&m.rig);
}

static void the_function_mask_holds_every_vector(void **state)
{
	MSIX_RIG(m);

	for (unsigned int v = 0; v < VECTORS; v++)
		mask(&m, v, v == 5);
	control(&m, ON | MASKALL);
	for (unsigned int v = 0; v < VECTORS; v++)
		pci_function_msix_fire(m.f, v);
	assert_int_equal(taken(&m.sink), 0);
	control(&m, ON);
	assert_int_equal(taken(&m.sink), VECTORS - 1);
	assert_int_equal(m.sink.count[5], 0);
	assert_true(pending(&m, 5));
	mask(&m, 5, false);
	assert_int_equal(taken(&m.sink), 1);
	rig_close(&m.rig);
}

static void without_bus_master_nothing_is_sent(void **state)
{
	MSIX_RIG(m);

	control(&m, ON);
	pci_function_msix_fire(m.f, 1); /* pends: still masked */
	cfg_write(&m.rig, 1, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	mask(&m, 1, false);
	mask(&m, 2, false);
	pci_function_msix_fire(m.f, 2); /* lost */
	assert_int_equal(taken(&m.sink), 0);
	cfg_write(&m.rig, 1, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	assert_int_equal(taken(&m.sink), 1);
	assert_int_equal(m.sink.count[1], 1);
	rig_close(&m.rig);
}

static void vectors_that_do_not_exist_are_ignored(void **state)
{
	MSIX_RIG(m);
	struct pci_function *bare = new_function("bare", NULL, NULL);

	control(&m, ON);
	pci_function_msix_fire(m.f, VECTORS);
	pci_function_msix_fire(m.f, UINT32_MAX);
	pci_function_msix_fire(bare, 0);
	assert_int_equal(mem_read(&m.rig, m.bar + PBA, 8), 0);
	assert_int_equal(mem_read(&m.rig, m.bar + PBA + 8, 8), 0);
	pci_function_destroy(bare);
	rig_close(&m.rig);
}

static void pending_bits_are_read_only(void **state)
{
	MSIX_RIG(m);

	control(&m, ON);
	pci_function_msix_fire(m.f, 2);
	mem_write(&m.rig, m.bar + PBA, UINT64_MAX, 8);
	assert_int_equal(mem_read(&m.rig, m.bar + PBA, 8), 4);
	mem_write(&m.rig, m.bar + PBA, 0, 8);
	assert_int_equal(mem_read(&m.rig, m.bar + PBA, 1), 4);
	rig_close(&m.rig);
}

static void reserved_entry_bits_stay_zero(void **state)
{
	MSIX_RIG(m);

	entry_write(&m.rig, m.bar, 1, 0, UINT64_MAX, 8);
	entry_write(&m.rig, m.bar, 1, 8, UINT64_MAX, 8);
	assert_true(mem_read(&m.rig, m.bar + TABLE + 16, 8) == 0xfffffffffffffffc);
	assert_true(mem_read(&m.rig, m.bar + TABLE + 24, 8) == 0x1ffffffff);
	rig_close(&m.rig);
}

static void accesses_across_the_table_s_border_are_split(void **state)
{
	MSIX_RIG(m);
	const uint64_t end = TABLE + VECTORS * 16;

	/* Below: the device's bytes; above: those of entry 0. */
	assert_true(mem_read(&m.rig, m.bar + TABLE - 4, 8) == 0xfee00000fffefdfc);
	mem_write(&m.rig, m.bar + TABLE - 4, 0x11223344aabbccdd, 8);
	assert_int_equal(mem_read(&m.rig, m.bar + TABLE, 4), 0x11223344);
	/* The last vector control and the device behind it; a straddling unmask still acts. */
	control(&m, ON);
	pci_function_msix_fire(m.f, VECTORS - 1);
	mem_write(&m.rig, m.bar + end - 4, 0, 8);
	assert_int_equal(taken(&m.sink), 1);
	assert_int_equal(mem_read(&m.rig, m.bar + end - 4, 4), 0);
	assert_int_equal(mem_read(&m.rig, m.bar + end, 4), TAG(9, end) & 0xffffffff);
	assert_int_equal(mem_read(&m.rig, m.bar + PBA - 1, 2), 0x00ff & ((PBA - 1) & 0xff));
	/* One unaligned write over two entries unmasks the first and readdresses the second. */
	pci_function_msix_fire(m.f, 4);
	entry_write(&m.rig, m.bar, 4, 12, 0xfee0200000000000, 8);
	assert_int_equal(taken(&m.sink), 1);
	assert_int_equal(mem_read(&m.rig, m.bar + TABLE + 5 * 16UL, 4), 0xfee02000);
	rig_close(&m.rig);
}

static void reset_masks_and_forgets(void **state)
{
	MSIX_RIG(m);
	unsigned int devctl = m.f->express + PCI_EXP_DEVCTL;

	control(&m, ON);
	mask(&m, 0, false);
	pci_function_msix_fire(m.f, 1);
	cfg_write(&m.rig, 1, devctl, PCI_EXP_DEVCTL_BCR_FLR, 2);
	pci_function_msix_fire(m.f, 0);
	assert_int_equal(cfg_read(&m.rig, 1, CONTROL, 2), VECTORS - 1);
	cfg_write(&m.rig, 1, PCI_BASE_ADDRESS_0, m.bar, 8);
	cfg_write(&m.rig, 1, PCI_COMMAND, 6, 2);
	control(&m, ON);
	assert_int_equal(mem_read(&m.rig, m.bar + TABLE, 8), 0);
	assert_int_equal(mem_read(&m.rig, m.bar + TABLE + 8, 8), 1ULL << 32);
	assert_int_equal(mem_read(&m.rig, m.bar + PBA, 8), 0);
	mask(&m, 1, false);
	assert_int_equal(taken(&m.sink), 0);
	rig_close(&m.rig);
}

static int portal_store(void *opaque, uint64_t offset, enum store64_kind kind, const void *data)
{
	*(uint64_t *)opaque = offset;
	return 0;
}

static void a_portal_beside_the_table_stays_a_portal(void **state)
{
	RIG(rig, &rig_windows);
	const struct io_ops ops = { .store64 = portal_store };
	struct pci_function *f = new_function("dev", NULL, NULL);
	const struct io_region *region;
	uint64_t at = 0, data[8] = { 0 };
	struct err err = { 0 };

	assert_int_equal(pci_function_bar(f, 0, PCI_BAR_MEM32, false, 4096, &ops, &at, &err), 0);
	assert_int_equal(pci_function_msix(f, 1, 0, 0x40, 0x48 + 0x40, &err), 0);
	add_function(&rig, f, 1);
	cfg_write(&rig, 1, PCI_COMMAND, 2, 2);
	region = iomap_find(vm_mmio(rig.vm), pci_function_bar_address(f, 0));
	assert_non_null(region);
	assert_int_equal(region->ops->store64(region->opaque, 0xc0, STORE64_MOVDIR64B, data), 0);
	assert_int_equal(at, 0xc0);
	assert_int_equal(region->ops->store64(region->opaque, 0x40, STORE64_ENQCMDS, data),
			 -EAGAIN);
	assert_int_equal(region->ops->store64(region->opaque, 0x80, STORE64_ENQCMDS, data),
			 -EAGAIN);
	assert_int_equal(at, 0xc0);
	rig_close(&rig);
}

static void impossible_tables_are_refused(void **state)
{
	static const struct {
		unsigned int vectors, bar;
		uint32_t table, pba;
		int ret;
	} rows[] = {
		{ 0, 0, 0, 0x800, -EINVAL },
		{ 2049, 0, 0, 0x800, -EINVAL },
		{ UINT32_MAX, 0, 0, 0x800, -EINVAL },
		{ 1, 1, 0, 0x800, -EINVAL },
		{ 1, 2, 0, 0x800, -EINVAL },
		{ 1, 6, 0, 0x800, -EINVAL },
		{ 1, 3, 0, 0x10, -EINVAL },
		{ 1, 0, 4, 0x800, -EINVAL },
		{ 1, 0, 0, 0x804, -EINVAL },
		{ 1, 0, 0, 0xffc, -EINVAL },
		{ 1, 0, 0, 8, -EINVAL },
		{ 1, 0, 0, 0x1000, -EINVAL },
		{ 1, 0, 0xff8, 0, -EINVAL },
		{ 256, 0, 8, 0, -EINVAL },
		{ 255, 0, 0, 0xff8, -EINVAL },
		{ 65, 0, 0, 0xff8, -EINVAL },
		{ 64, 0, 0, 0xff8, 0 },
		{ 1, 0, 0, 0x800, -EEXIST },
	};
	struct pci_function *f = new_function("dev", NULL, NULL);

	add_bar(f, 0, PCI_BAR_MEM64, 4096, 1);
	add_bar(f, 3, PCI_BAR_IO, 64, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = { 0 };

		assert_int_equal(pci_function_msix(f, rows[i].vectors, rows[i].bar, rows[i].table,
						   rows[i].pba, &err),
				 rows[i].ret);
	}
	pci_function_destroy(f);
}

/* --- against a naive model ------------------------------------------------------------------- */

struct model {
	bool on, bm, all, masked[VECTORS], pending[VECTORS];
	uint64_t count[VECTORS];
};

static void model_settle(struct model *w)
{
	for (unsigned int v = 0; v < VECTORS; v++) {
		if (w->pending[v] && w->on && w->bm && !w->all && !w->masked[v]) {
			w->pending[v] = false;
			w->count[v]++;
		}
	}
}

static void random_step(struct msix_rig *m, struct model *w, unsigned short seed[3])
{
	unsigned int v = (unsigned int)nrand48(seed) % VECTORS;
	long r = nrand48(seed);

	switch (nrand48(seed) % 16) {
	case 0:
		w->on = r & 3;
		w->all = r & 4;
		control(m, (uint16_t)((w->on ? ON : 0) | (w->all ? MASKALL : 0)));
		break;
	case 1:
		w->bm = r & 3;
		cfg_write(&m->rig, 1, PCI_COMMAND, w->bm ? 6 : 2, 1);
		break;
	case 2:
	case 3:
	case 4:
	case 5:
		w->masked[v] = r & 1;
		mask(m, v, w->masked[v]);
		break;
	default:
		pci_function_msix_fire(m->f, v);
		if (w->on && w->bm)
			w->pending[v] = true;
	}
	model_settle(w);
}

static void random_steps_agree_with_a_model(void **state)
{
	MSIX_RIG(m);
	struct model w = { .bm = true };
	unsigned short seed[3] = { 4, 5, 6 };

	memset(w.masked, true, sizeof(w.masked));
	for (unsigned int i = 0; i < 20000; i++) {
		random_step(&m, &w, seed);
		for (unsigned int v = 0; v < VECTORS; v++) {
			assert_int_equal(m.sink.count[v], w.count[v]);
			assert_int_equal(m.f->msix->pending[v / 64] >> v % 64 & 1, w.pending[v]);
		}
	}
	assert_int_equal(m.sink.wrong, 0);
	assert_true(taken(&m.sink) > 1000);
	rig_close(&m.rig);
}

/* --- two threads ----------------------------------------------------------------------------- */

struct masker {
	struct epoch_reader reader;
	struct msix_rig *m;
	bool whole; /* by the function mask */
	bool stop;
};

static void masker_write(struct masker *k, bool on)
{
	uint64_t control_value = ON | (on ? MASKALL : 0), vector_value = on;

	epoch_enter(vm_epoch(k->m->rig.vm), &k->reader);
	if (k->whole)
		iomap_write(vm_mmio(k->m->rig.vm), cfg_address(1, CONTROL), &control_value, 2);
	else
		iomap_write(vm_mmio(k->m->rig.vm), k->m->bar + TABLE + 12, &vector_value, 4);
	epoch_exit(&k->reader);
}

static void *masker_thread(void *arg)
{
	struct masker *k = arg;

	while (!__atomic_load_n(&k->stop, __ATOMIC_ACQUIRE)) {
		masker_write(k, true);
		__atomic_store_n(&k->m->sink.forbidden, true, __ATOMIC_RELEASE);
		sched_yield();
		__atomic_store_n(&k->m->sink.forbidden, false, __ATOMIC_RELEASE);
		masker_write(k, false);
	}
	return NULL;
}

/* Each event waits for its message: one that is lost hangs, one that is doubled is counted. */
static void fire_against_a_masker(struct msix_rig *m, bool whole, unsigned int events)
{
	struct masker k = { .m = m, .whole = whole };
	pthread_t thread;

	control(m, ON);
	mask(m, 0, false);
	epoch_join(vm_epoch(m->rig.vm), &k.reader);
	assert_int_equal(pthread_create(&thread, NULL, masker_thread, &k), 0);
	for (unsigned int i = 1; i <= events; i++) {
		pci_function_msix_fire(m->f, 0);
		while (__atomic_load_n(&m->sink.total, __ATOMIC_ACQUIRE) < i)
			sched_yield();
	}
	__atomic_store_n(&k.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_int_equal(taken(&m->sink), events);
	assert_int_equal(m->sink.wrong, 0);
	epoch_leave(vm_epoch(m->rig.vm), &k.reader);
}

static void no_event_is_lost_or_doubled_while_another_thread_masks(void **state)
{
	MSIX_RIG(m);

	fire_against_a_masker(&m, false, 20000);
	fire_against_a_masker(&m, true, 5000);
	rig_close(&m.rig);
}

struct firer {
	struct pci_function *f;
	unsigned int vector, events;
};

static void *firer_thread(void *arg)
{
	struct firer *w = arg;

	for (unsigned int i = 0; i < w->events; i++)
		pci_function_msix_fire(w->f, w->vector);
	return NULL;
}

static void two_firing_threads_are_both_counted(void **state)
{
	MSIX_RIG(m);
	struct firer one = { m.f, 0, 5000 }, two = { m.f, 65, 5000 };
	pthread_t a, b;

	mask(&m, 0, false);
	mask(&m, 65, false);
	control(&m, ON);
	assert_int_equal(pthread_create(&a, NULL, firer_thread, &one), 0);
	assert_int_equal(pthread_create(&b, NULL, firer_thread, &two), 0);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	assert_int_equal(m.sink.count[0], 5000);
	assert_int_equal(m.sink.count[65], 5000);
	rig_close(&m.rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_start_masked_and_off),
		cmocka_unit_test(an_open_vector_sends_its_entry_at_once),
		cmocka_unit_test(a_masked_event_is_sent_once_when_unmasked),
		cmocka_unit_test(the_function_mask_holds_every_vector),
		cmocka_unit_test(without_bus_master_nothing_is_sent),
		cmocka_unit_test(vectors_that_do_not_exist_are_ignored),
		cmocka_unit_test(pending_bits_are_read_only),
		cmocka_unit_test(reserved_entry_bits_stay_zero),
		cmocka_unit_test(accesses_across_the_table_s_border_are_split),
		cmocka_unit_test(reset_masks_and_forgets),
		cmocka_unit_test(a_portal_beside_the_table_stays_a_portal),
		cmocka_unit_test(impossible_tables_are_refused),
		cmocka_unit_test(random_steps_agree_with_a_model),
		cmocka_unit_test(no_event_is_lost_or_doubled_while_another_thread_masks),
		cmocka_unit_test(two_firing_threads_are_both_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
