/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vectors with a source behind them, MSI and MSI-X: when the source is told to open and close, with
 * which message, and that what it holds is what the pending bits show. Each event ends in exactly
 * one message whatever the guest does to masks meanwhile.
 */
#include <errno.h>

#include "test-pci.h"

#define VECTORS 70u
#define TABLE	0x1000u
#define PBA	0x1800u
#define CONTROL (PCI_STD_HEADER_SIZEOF + PCI_MSIX_FLAGS)
#define MSI	0x80u
#define APART	0x40u /* pending bits in a BAR of their own */

/* What the kernel would do with an eventfd: deliver while open, hold while closed. */
struct source {
	unsigned int vectors; /* enabled with; 0: off */
	bool open[VECTORS];
	bool held[VECTORS];
	struct msi_message message[VECTORS];
	unsigned int sent[VECTORS], opened, wrong;
};

static void source_enable(void *opaque, unsigned int vectors)
{
	struct source *s = opaque;

	s->wrong += s->vectors != 0;
	s->vectors = vectors;
}

static void source_disable(void *opaque)
{
	struct source *s = opaque;

	for (unsigned int v = 0; v < VECTORS; v++) {
		s->wrong += s->open[v];
		s->held[v] = false;
	}
	s->wrong += !s->vectors;
	s->vectors = 0;
}

static void source_open(void *opaque, unsigned int vector, const struct msi_message *message)
{
	struct source *s = opaque;

	s->wrong += !s->vectors;
	s->opened++;
	s->open[vector] = true;
	s->message[vector] = *message;
	s->sent[vector] += s->held[vector];
	s->held[vector] = false;
}

static void source_close(void *opaque, unsigned int vector)
{
	struct source *s = opaque;

	s->wrong += !s->open[vector];
	s->open[vector] = false;
}

static bool source_pending(void *opaque, unsigned int vector)
{
	struct source *s = opaque;

	return s->held[vector];
}

static void event(struct source *s, unsigned int vector)
{
	if (s->open[vector])
		s->sent[vector]++;
	else if (s->vectors)
		s->held[vector] = true;
}

static const struct pci_vector_ops source_ops = {
	.enable = source_enable,
	.disable = source_disable,
	.open = source_open,
	.close = source_close,
	.pending = source_pending,
};

struct source_rig {
	struct rig rig;
	struct pci_function *f;
	struct source s;
	uint64_t bar;
};

static void entry(struct source_rig *m, unsigned int vector, unsigned int reg, uint64_t value,
		  unsigned int size)
{
	mem_write(&m->rig, m->bar + TABLE + vector * 16UL + reg, value, size);
}

static void mask(struct source_rig *m, unsigned int vector, bool on)
{
	entry(m, vector, PCI_MSIX_ENTRY_VECTOR_CTRL, on, 4);
}

static void control(struct source_rig *m, uint16_t value)
{
	cfg_write(&m->rig, 1, CONTROL, value, 2);
}

static bool pending(struct source_rig *m, unsigned int vector)
{
	return mem_read(&m->rig, m->bar + PBA + vector / 64 * 8UL, 8) >> vector % 64 & 1;
}

static void command(struct source_rig *m, bool master)
{
	cfg_write(&m->rig, 1, PCI_COMMAND, PCI_COMMAND_MEMORY | (master ? PCI_COMMAND_MASTER : 0),
		  2);
}

static bool msix_open(struct source_rig *m)
{
	struct err err = { 0 };

	*m = (struct source_rig){ 0 };
	if (!rig_open(&m->rig, &rig_windows))
		return false;
	m->f = new_function("dev", NULL, NULL);
	add_bar(m->f, 0, PCI_BAR_MEM64, 8 * KIB, 9);
	assert_int_equal(pci_function_msix(m->f, VECTORS, 0, TABLE, PBA, &err), 0);
	pci_function_msix_source(m->f, &source_ops, &m->s);
	assert_int_equal(pci_function_express(m->f, &err), 0);
	add_function(&m->rig, m->f, 1);
	command(m, true);
	m->bar = pci_function_bar_address(m->f, 0);
	for (unsigned int v = 0; v < VECTORS; v++) {
		entry(m, v, 0, 0xfee00000, 8);
		entry(m, v, 8, v, 4);
	}
	return true;
}

static bool msi_open(struct source_rig *m, unsigned int log2, bool wide, bool maskable)
{
	const struct pci_msi_options options = {
		.offset = MSI, .log2_vectors = log2, .wide = wide, .maskable = maskable
	};
	struct err err = { 0 };

	*m = (struct source_rig){ 0 };
	if (!rig_open(&m->rig, &rig_windows))
		return false;
	m->f = new_function("dev", NULL, NULL);
	if (pci_function_msi(m->f, &options, &source_ops, &m->s, &err))
		fail_msg("%s", err.text);
	add_function(&m->rig, m->f, 1);
	command(m, true);
	return true;
}

#define OPEN(m, call)           \
	struct source_rig m;    \
	do {                    \
		if (!(call))    \
			skip(); \
	} while (0)

static void nothing_is_opened_before_the_guest_unmasks(void **state)
{
	OPEN(m, msix_open(&m));

	assert_int_equal(m.s.vectors, 0);
	control(&m, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(m.s.vectors, VECTORS);
	assert_int_equal(m.s.opened, 0);
	mask(&m, 69, false);
	assert_int_equal(m.s.opened, 1);
	assert_true(m.s.open[69]);
	assert_int_equal(m.s.message[69].data, 69);
	rig_close(&m.rig);
	assert_int_equal(m.s.wrong, 0);
}

static void an_event_while_masked_is_sent_once_at_unmask(void **state)
{
	OPEN(m, msix_open(&m));

	control(&m, PCI_MSIX_FLAGS_ENABLE);
	mask(&m, 3, false);
	event(&m.s, 3);
	mask(&m, 3, true);
	event(&m.s, 3);
	event(&m.s, 3);
	assert_true(pending(&m, 3));
	assert_int_equal(m.s.sent[3], 1);
	mask(&m, 3, false);
	assert_int_equal(m.s.sent[3], 2);
	assert_false(pending(&m, 3));
	mask(&m, 3, true);
	mask(&m, 3, false);
	assert_int_equal(m.s.sent[3], 2);
	rig_close(&m.rig);
	assert_int_equal(m.s.wrong, 0);
}

static void the_function_mask_and_bus_master_close_all(void **state)
{
	OPEN(m, msix_open(&m));

	control(&m, PCI_MSIX_FLAGS_ENABLE);
	mask(&m, 0, false);
	mask(&m, 65, false);
	control(&m, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_false(m.s.open[0] || m.s.open[65]);
	event(&m.s, 65);
	control(&m, PCI_MSIX_FLAGS_ENABLE);
	assert_true(m.s.open[0] && m.s.open[65]);
	assert_int_equal(m.s.sent[65], 1);
	command(&m, false);
	assert_false(m.s.open[0] || m.s.open[65]);
	assert_int_equal(m.s.vectors, VECTORS);
	command(&m, true);
	assert_true(m.s.open[0] && m.s.open[65]);
	rig_close(&m.rig);
	assert_int_equal(m.s.wrong, 0);
}

static void a_changed_message_opens_again_and_an_equal_one_does_not(void **state)
{
	OPEN(m, msix_open(&m));

	control(&m, PCI_MSIX_FLAGS_ENABLE);
	mask(&m, 1, false);
	entry(&m, 1, PCI_MSIX_ENTRY_DATA, 0x77, 4);
	assert_int_equal(m.s.opened, 2);
	assert_int_equal(m.s.message[1].data, 0x77);
	entry(&m, 1, PCI_MSIX_ENTRY_DATA, 0x77, 4);
	mask(&m, 1, false);
	assert_int_equal(m.s.opened, 2);
	rig_close(&m.rig);
}

static void disable_and_reset_close_and_switch_off(void **state)
{
	OPEN(m, msix_open(&m));
	uint32_t devctl = m.f->express + PCI_EXP_DEVCTL;

	control(&m, PCI_MSIX_FLAGS_ENABLE);
	mask(&m, 1, false);
	control(&m, 0);
	assert_int_equal(m.s.vectors, 0);
	assert_false(m.s.open[1]);
	control(&m, PCI_MSIX_FLAGS_ENABLE);
	assert_true(m.s.open[1]);
	cfg_write(&m.rig, 1, devctl, PCI_EXP_DEVCTL_BCR_FLR, 2);
	assert_int_equal(m.s.vectors, 0);
	assert_false(m.s.open[1]);
	rig_close(&m.rig);
	assert_int_equal(m.s.wrong, 0);
}

static void a_blocked_function_is_silent_and_comes_back_as_it_was(void **state)
{
	OPEN(m, msix_open(&m));

	control(&m, PCI_MSIX_FLAGS_ENABLE);
	mask(&m, 1, false);
	pci_function_block(m.f, true);
	assert_int_equal(m.s.vectors, 0);
	assert_int_equal(cfg_read(&m.rig, 1, 0, 4), ~0u);
	assert_int_equal(mem_read(&m.rig, m.bar, 4), ~0u);
	control(&m, 0);
	pci_function_block(m.f, false);
	assert_int_equal(cfg_read(&m.rig, 1, 0, 4), 0x0b258086);
	assert_true(m.s.open[1]);
	rig_close(&m.rig);
	assert_int_equal(m.s.wrong, 0);
}

static void random_masks_lose_and_double_nothing(void **state)
{
	OPEN(m, msix_open(&m));
	unsigned int events[VECTORS] = { 0 }, seed = 7;

	control(&m, PCI_MSIX_FLAGS_ENABLE);
	for (unsigned int i = 0; i < 20000; i++) {
		unsigned int v = (unsigned int)rand_r(&seed) % VECTORS;

		switch (rand_r(&seed) % 4) {
		case 0:
			mask(&m, v, rand_r(&seed) & 1);
			break;
		case 1:
			control(&m, PCI_MSIX_FLAGS_ENABLE |
					    (rand_r(&seed) % 8 ? 0 : PCI_MSIX_FLAGS_MASKALL));
			break;
		default:
			/* Events of a vector that holds one already become one message. */
			events[v] += !m.s.held[v];
			event(&m.s, v);
			break;
		}
		assert_int_equal(pending(&m, v), m.s.held[v]);
	}
	control(&m, PCI_MSIX_FLAGS_ENABLE);
	for (unsigned int v = 0; v < VECTORS; v++) {
		mask(&m, v, false);
		assert_int_equal(m.s.sent[v], events[v]);
	}
	rig_close(&m.rig);
	assert_int_equal(m.s.wrong, 0);
}

static void msi_opens_as_many_vectors_as_were_enabled(void **state)
{
	OPEN(m, msi_open(&m, 3, true, false));

	assert_int_equal(cfg_read(&m.rig, 1, MSI + PCI_MSI_FLAGS, 2), PCI_MSI_FLAGS_64BIT | 3 << 1);
	cfg_write(&m.rig, 1, MSI + PCI_MSI_ADDRESS_LO, 0xfee01003, 4);
	cfg_write(&m.rig, 1, MSI + PCI_MSI_ADDRESS_HI, 1, 4);
	cfg_write(&m.rig, 1, MSI + PCI_MSI_DATA_64, 0x47, 2);
	cfg_write(&m.rig, 1, MSI + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | 2 << 4, 2);
	assert_int_equal(m.s.vectors, 4);
	for (unsigned int v = 0; v < 8; v++)
		assert_int_equal(m.s.open[v], v < 4);
	assert_true(m.s.message[2].address == 0x1fee01000);
	assert_int_equal(m.s.message[2].data, 0x46);
	/* More than it has. */
	cfg_write(&m.rig, 1, MSI + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | 5 << 4, 2);
	assert_int_equal(m.s.vectors, 8);
	cfg_write(&m.rig, 1, MSI + PCI_MSI_FLAGS, 0, 2);
	assert_int_equal(m.s.vectors, 0);
	rig_close(&m.rig);
	assert_int_equal(m.s.wrong, 0);
}

static void msi_masks_hold_and_show_pending_bits(void **state)
{
	OPEN(m, msi_open(&m, 1, false, true));

	cfg_write(&m.rig, 1, MSI + PCI_MSI_MASK_32, ~0u, 4);
	assert_int_equal(cfg_read(&m.rig, 1, MSI + PCI_MSI_MASK_32, 4), 3);
	cfg_write(&m.rig, 1, MSI + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | 1 << 4, 2);
	event(&m.s, 1);
	assert_int_equal(cfg_read(&m.rig, 1, MSI + PCI_MSI_PENDING_32, 4), 2);
	cfg_write(&m.rig, 1, MSI + PCI_MSI_PENDING_32, 0, 4);
	cfg_write(&m.rig, 1, MSI + PCI_MSI_MASK_32, 0, 4);
	assert_int_equal(m.s.sent[1], 1);
	assert_int_equal(cfg_read(&m.rig, 1, MSI + PCI_MSI_PENDING_32, 4), 0);
	command(&m, false);
	assert_false(m.s.open[0] || m.s.open[1]);
	rig_close(&m.rig);
	assert_int_equal(m.s.wrong, 0);
}

static void msi_forms_have_their_sizes(void **state)
{
	static const struct {
		bool wide, maskable;
		unsigned int size;
	} forms[] = {
		{ false, false, 10 }, { true, false, 14 }, { false, true, 20 }, { true, true, 24 }
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(forms); i++) {
		OPEN(m, msi_open(&m, 5, forms[i].wide, forms[i].maskable));
		unsigned int last = 0;

		for (unsigned int b = 0; b < 32; b++) {
			if (m.f->writable[MSI + b])
				last = b;
		}
		/* The pending bits, read-only, end the maskable forms. */
		assert_int_equal(last + (forms[i].maskable ? 5 : 1), forms[i].size);
		rig_close(&m.rig);
	}
}

static void pending_bits_may_lie_in_a_bar_of_their_own(void **state)
{
	struct source_rig m = { 0 };
	struct err err = { 0 };
	uint64_t apart;

	if (!rig_open(&m.rig, &rig_windows)) {
		skip();
		return;
	}
	m.f = new_function("dev", NULL, NULL);
	add_bar(m.f, 0, PCI_BAR_MEM64, 8 * KIB, 9);
	add_bar(m.f, 4, PCI_BAR_MEM32, 4 * KIB, 10);
	assert_int_equal(pci_function_msix_at(m.f, VECTORS, TABLE, APART | 3, 0, &err), -EINVAL);
	assert_int_equal(pci_function_msix_at(m.f, VECTORS, TABLE, 0xff8 | 4, 0, &err), -EINVAL);
	/* In one BAR the same offsets would overlap. */
	assert_int_equal(pci_function_msix_at(m.f, VECTORS, APART | 4, APART | 4, 0, &err),
			 -EINVAL);
	assert_int_equal(pci_function_msix_at(m.f, VECTORS, TABLE, PBA / 2 | 4, 0, &err), 0);
	pci_function_msix_source(m.f, &source_ops, &m.s);
	add_function(&m.rig, m.f, 1);
	command(&m, true);
	m.bar = pci_function_bar_address(m.f, 0);
	apart = pci_function_bar_address(m.f, 4) + PBA / 2;
	assert_int_equal(cfg_read(&m.rig, 1, PCI_STD_HEADER_SIZEOF + PCI_MSIX_PBA, 4), PBA / 2 | 4);
	entry(&m, 69, 0, 0xfee00000, 8);
	control(&m, PCI_MSIX_FLAGS_ENABLE);
	event(&m.s, 69);
	assert_true(mem_read(&m.rig, apart + 8, 8) == BIT_U64(5));
	mask(&m, 69, false);
	assert_true(mem_read(&m.rig, apart + 8, 8) == 0);
	assert_int_equal(m.s.sent[69], 1);
	/* Where the other BAR has the one or the other, the device answers. */
	event(&m.s, 0);
	assert_true(mem_read(&m.rig, apart, 8) == 1);
	assert_true(mem_read(&m.rig, m.bar + PBA / 2, 8) != 1);
	assert_int_equal(m.s.wrong, 0);
	rig_close(&m.rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_opened_before_the_guest_unmasks),
		cmocka_unit_test(an_event_while_masked_is_sent_once_at_unmask),
		cmocka_unit_test(the_function_mask_and_bus_master_close_all),
		cmocka_unit_test(a_changed_message_opens_again_and_an_equal_one_does_not),
		cmocka_unit_test(disable_and_reset_close_and_switch_off),
		cmocka_unit_test(a_blocked_function_is_silent_and_comes_back_as_it_was),
		cmocka_unit_test(random_masks_lose_and_double_nothing),
		cmocka_unit_test(msi_opens_as_many_vectors_as_were_enabled),
		cmocka_unit_test(msi_masks_hold_and_show_pending_bits),
		cmocka_unit_test(msi_forms_have_their_sizes),
		cmocka_unit_test(pending_bits_may_lie_in_a_bar_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
