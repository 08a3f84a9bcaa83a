/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An assigned device that is saved, and one of the same kind that goes on: in two VMs of a real
 * KVM, with a driver in memory that offers migration. What the device knows, what its guest wrote
 * into configuration space, and every interrupt arrive; whatever fails leaves the saved one running
 * or reset, and says so.
 */
#include "fake-vfio.h"

#include <sched.h>
#include <sys/ioctl.h>

#define LAPIC_SVR 0xf0
#define LAPIC_IRR 0x200

#define LEVEL	   (1u << 15)
#define ACTIVE_LOW (1u << 13)
#define REMOTE_IRR (1u << 14)

#define GUEST(v) (0x40u + (v))
#define BOTH	 (VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P)
#define KNOWN	 "Knows fifteen.."

static const uint64_t new_place = (1ULL << 40) + (1ULL << 32);

/* --- a guest ---------------------------------------------------------------------------------- */

static void enable_lapic(struct fake_rig *m)
{
	struct kvm_lapic_state lapic;

	assert_int_equal(ioctl(vcpu_fd(m->vcpu), KVM_GET_LAPIC, &lapic), 0);
	store_le(lapic.regs + LAPIC_SVR, 0x1ff, 4);
	assert_int_equal(ioctl(vcpu_fd(m->vcpu), KVM_SET_LAPIC, &lapic), 0);
}

/* Takes the vector out of the IRR; was it there? */
static bool delivered(struct fake_rig *m, unsigned int vector)
{
	struct kvm_lapic_state lapic;
	char *irr = lapic.regs + LAPIC_IRR + vector / 32 * 0x10;
	uint32_t bits;

	assert_int_equal(ioctl(vcpu_fd(m->vcpu), KVM_GET_LAPIC, &lapic), 0);
	bits = (uint32_t)load_le(irr, 4);
	if (!(bits >> vector % 32 & 1))
		return false;
	store_le(irr, bits & ~(1u << vector % 32), 4);
	assert_int_equal(ioctl(vcpu_fd(m->vcpu), KVM_SET_LAPIC, &lapic), 0);
	return true;
}

static void wait_for(struct fake_rig *m, unsigned int vector)
{
	while (!delivered(m, vector))
		sched_yield();
}

static void plug_with(struct fake_rig *m, const struct vfio_options *options)
{
	m->v.migration.flags = BOTH;
	fake_plug(m, options);
	ioapic_wire(m->ioapic, FAKE_PIN, true);
	enable_lapic(m);
}

static void plug(struct fake_rig *m)
{
	const struct vfio_options options = fake_options(m);

	plug_with(m, &options);
}

/* Its guest moves BAR 0, and the device learns something. */
static void use(struct fake_rig *m)
{
	cfg_write(&m->rig, FAKE_SLOT, PCI_BASE_ADDRESS_0, (uint32_t)new_place, 4);
	cfg_write(&m->rig, FAKE_SLOT, PCI_BASE_ADDRESS_1, new_place >> 32, 4);
	m->bar0 = new_place;
	memcpy(m->v.migration.known, KNOWN, FAKE_KNOWN);
}

static void entry(struct fake_rig *m, unsigned int vector, unsigned int reg, uint32_t value)
{
	mem_write(&m->rig, m->bar0 + FAKE_TABLE + vector * 16UL + reg, value, 4);
}

static void mask(struct fake_rig *m, unsigned int vector, bool on)
{
	entry(m, vector, PCI_MSIX_ENTRY_VECTOR_CTRL, on);
}

static void msix_on(struct fake_rig *m)
{
	for (unsigned int v = 0; v < FAKE_VECTORS; v++) {
		entry(m, v, PCI_MSIX_ENTRY_LOWER_ADDR, 0xfee00000);
		entry(m, v, PCI_MSIX_ENTRY_DATA, GUEST(v));
	}
	cfg_write(&m->rig, FAKE_SLOT, FAKE_MSIX + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
}

static uint32_t pin(struct fake_rig *m, uint32_t value)
{
	mem_write(&m->rig, IOAPIC_BASE, 0x10 + 2 * FAKE_PIN, 4);
	if (value)
		mem_write(&m->rig, IOAPIC_BASE + 0x10, value, 4);
	return (uint32_t)mem_read(&m->rig, IOAPIC_BASE + 0x10, 4);
}

/* --- a machine, as far as it matters -------------------------------------------------------- */

static int save(struct fake_rig *m, struct state_out *out, struct err *err)
{
	int ret = vfio_function_check_saved(m->f, err);

	if (!ret)
		ret = vfio_function_quiet(m->f, err);
	if (!ret)
		ret = vfio_function_stop(m->f, err);
	if (!ret)
		ret = vfio_function_save(m->f, out, err);
	if (!ret)
		ret = pci_bus_save(m->rig.bus, out, err);
	if (!ret)
		ioapic_save(m->ioapic, out);
	return ret;
}

static int start(struct fake_rig *m, struct err *err)
{
	vfio_function_rouse(m->f);
	return vfio_function_start(m->f, err);
}

static int load(struct fake_rig *m, const struct state_out *out, struct err *err)
{
	struct state_in in;
	int ret = state_open(&in, out->data, out->len, err);

	if (!ret)
		ret = ioapic_load(m->ioapic, &in);
	if (!ret)
		ret = vfio_function_load(m->f, &in);
	if (!ret)
		ret = pci_bus_load(m->rig.bus, &in);
	if (!ret)
		ret = vfio_function_loaded(m->f, err);
	m->bar0 = pci_function_bar_address(vfio_function_pci(m->f), 0);
	return ret ? ret : state_close(&in);
}

/* From one to the other; the saved one goes on, too. */
static void carry(struct fake_rig *from, struct fake_rig *to)
{
	struct state_out out = { 0 };
	struct err err = { 0 };

	if (save(from, &out, &err) || start(from, &err) || load(to, &out, &err))
		fail_msg("%s", err.text);
	assert_int_equal(out.ret, 0);
	state_out_free(&out);
}

static void go_on(struct fake_rig *m)
{
	struct err err = { 0 };

	if (start(m, &err))
		fail_msg("%s", err.text);
}

/* A state that is right, or NULL: there is no KVM. */
static bool make_state(struct state_out *out)
{
	struct fake_rig *m = fake_rig_open();
	struct err err = { 0 };

	*out = (struct state_out){ 0 };
	if (!m)
		return false;
	plug(m);
	use(m);
	assert_int_equal(save(m, out, &err), 0);
	fake_rig_close(m);
	return true;
}

static void assert_says(const struct err *err, const char *what)
{
	if (!strstr(err->text, what))
		fail_msg("\"%s\" does not say \"%s\"", err->text, what);
}

/* --- what goes on ---------------------------------------------------------------------------- */

static void a_device_goes_on_where_it_stood(void **state)
{
	static const uint32_t saving[] = {
		VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_STOP,
		VFIO_DEVICE_STATE_STOP_COPY,   VFIO_DEVICE_STATE_STOP,
		VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_RUNNING,
	};
	FAKE_RIG(a);
	FAKE_RIG(b);

	plug(a);
	plug(b);
	use(a);
	carry(a, b);
	assert_int_equal(a->v.migration.n_path, ARRAY_SIZE(saving));
	assert_memory_equal(a->v.migration.path, saving, sizeof(saving));
	assert_memory_equal(b->v.migration.known, KNOWN, FAKE_KNOWN);
	assert_int_equal(b->bar0, new_place);
	assert_int_equal(load_le(b->v.config + PCI_COMMAND, 2),
			 PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	/* Nothing moves before it is told to. */
	assert_int_equal(b->v.migration.state, VFIO_DEVICE_STATE_STOP);
	go_on(b);
	assert_int_equal(b->v.migration.state, VFIO_DEVICE_STATE_RUNNING);
	assert_int_equal(a->v.resets + b->v.resets, 0);
	fake_rig_close(b);
	fake_rig_close(a);
}

static void without_peers_it_stops_at_once(void **state)
{
	FAKE_RIG(a);
	FAKE_RIG(b);

	plug(a);
	plug(b);
	a->v.migration.flags = b->v.migration.flags = VFIO_MIGRATION_STOP_COPY;
	use(a);
	carry(a, b);
	assert_int_equal(a->v.migration.path[0], VFIO_DEVICE_STATE_STOP);
	go_on(b);
	assert_int_equal(b->v.migration.state, VFIO_DEVICE_STATE_RUNNING);
	fake_rig_close(b);
	fake_rig_close(a);
}

static void vectors_are_armed_and_what_pends_is_sent_once(void **state)
{
	FAKE_RIG(a);
	FAKE_RIG(b);

	plug(a);
	plug(b);
	use(a);
	msix_on(a);
	mask(a, 3, false);
	mask(a, 69, false);
	mask(a, 69, true);
	fake_signal(a->v.vector[69]);
	carry(a, b);
	go_on(b);
	assert_int_equal(b->v.index, VFIO_PCI_MSIX_IRQ_INDEX);
	assert_int_equal(b->v.intx, -1);
	for (unsigned int i = 0; i < 2; i++) {
		struct fake_rig *m = i ? b : a;

		assert_true(m->v.vector[3] >= 0);
		assert_int_equal(m->v.vector[4], -1);
		assert_int_equal(mem_read(&m->rig, m->bar0 + FAKE_PBA + 8, 8), 1 << 5);
		mask(m, 69, false);
		wait_for(m, GUEST(69));
		assert_int_equal(mem_read(&m->rig, m->bar0 + FAKE_PBA + 8, 8), 0);
		fake_signal(m->v.vector[3]);
		wait_for(m, GUEST(3));
		assert_false(delivered(m, GUEST(69)));
	}
	fake_rig_close(b);
	fake_rig_close(a);
}

/* Several times, for what is on its way is so for a moment. */
static void what_was_sent_before_the_stop_is_in_the_saved_guest(void **state)
{
	FAKE_RIG(a);

	plug(a);
	use(a);
	msix_on(a);
	mask(a, 3, false);
	for (unsigned int i = 0; i < 50; i++) {
		struct state_out out = { 0 };
		struct err err = { 0 };

		fake_signal(a->v.vector[3]);
		assert_int_equal(save(a, &out, &err), 0);
		assert_true(delivered(a, GUEST(3)));
		go_on(a);
		state_out_free(&out);
	}
	assert_false(delivered(a, GUEST(3)));
	fake_rig_close(a);
}

static void msi_goes_on_with_its_masks(void **state)
{
	FAKE_RIG(a);
	FAKE_RIG(b);

	plug(a);
	plug(b);
	use(a);
	cfg_write(&a->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_ADDRESS_LO, 0xfee00000, 4);
	cfg_write(&a->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_DATA_64, GUEST(0), 2);
	cfg_write(&a->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | 2 << 4, 2);
	cfg_write(&a->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_MASK_64, 2, 4);
	fake_signal(a->v.vector[1]);
	assert_int_equal(cfg_read(&a->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_PENDING_64, 4), 2);
	carry(a, b);
	go_on(b);
	assert_int_equal(b->v.index, VFIO_PCI_MSI_IRQ_INDEX);
	for (unsigned int i = 0; i < 2; i++) {
		struct fake_rig *m = i ? b : a;

		fake_signal(m->v.vector[3]);
		wait_for(m, GUEST(3));
		assert_int_equal(cfg_read(&m->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_PENDING_64, 4), 2);
		cfg_write(&m->rig, FAKE_SLOT, FAKE_MSI + PCI_MSI_MASK_64, 0, 4);
		wait_for(m, GUEST(1));
	}
	fake_rig_close(b);
	fake_rig_close(a);
}

/* The loop has not seen it when the VM is saved. */
static void a_line_that_fired_is_asserted_until_eoi(void **state)
{
	FAKE_RIG(a);
	FAKE_RIG(b);

	plug(a);
	plug(b);
	use(a);
	pin(a, GUEST(0) | LEVEL | ACTIVE_LOW);
	fake_intx(&a->v, true);
	carry(a, b);
	go_on(b);
	assert_true(pin(b, 0) & REMOTE_IRR);
	/* It was sent where it was saved, and is not sent again. */
	wait_for(a, GUEST(0));
	assert_false(delivered(b, GUEST(0)));
	ioapic_eoi(b->ioapic, GUEST(0));
	assert_false(pin(b, 0) & REMOTE_IRR);
	assert_int_equal(b->v.unmasks, 1);
	fake_rig_close(b);
	fake_rig_close(a);
}

static void whether_it_may_not_snoop_is_decided_anew(void **state)
{
	FAKE_RIG(a);
	FAKE_RIG(b);
	struct vfio_options options = fake_options(b);

	options.no_snoop = false;
	plug(a);
	plug_with(b, &options);
	use(a);
	/* Relaxed ordering, which both devices began with, is off: that goes along. */
	cfg_write(&a->rig, FAKE_SLOT, FAKE_EXP + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_NOSNOOP_EN, 2);
	carry(a, b);
	assert_int_equal(load_le(a->v.config + FAKE_EXP + PCI_EXP_DEVCTL, 2) &
				 (PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_RELAX_EN),
			 PCI_EXP_DEVCTL_NOSNOOP_EN);
	assert_int_equal(load_le(b->v.config + FAKE_EXP + PCI_EXP_DEVCTL, 2) &
				 (PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_RELAX_EN),
			 0);
	fake_rig_close(b);
	fake_rig_close(a);
}

static void its_serial_number_may_be_another(void **state)
{
	FAKE_RIG(a);
	FAKE_RIG(b);

	store_le(b->v.config + FAKE_DSN + 4, 1, 8);
	plug(a);
	plug(b);
	use(a);
	carry(a, b);
	assert_int_equal(cfg_read(&b->rig, FAKE_SLOT, FAKE_DSN + 4, 4), 1);
	fake_rig_close(b);
	fake_rig_close(a);
}

/* --- what fails, saving ---------------------------------------------------------------------- */

/* Step `refused` of a save and of going on fails. False: there are not so many. */
static bool fail_step(unsigned int refused, bool breaks)
{
	struct fake_rig *m = fake_rig_open();
	struct state_out out = { 0 };
	struct err err = { 0 }, again = { 0 };
	bool hit;
	int ret, went;

	plug(m);
	use(m);
	m->v.migration.refused = refused;
	m->v.migration.breaks = breaks;
	ret = save(m, &out, &err);
	/* A reset may bring this about. */
	store_le(m->v.config + PCI_COMMAND, 0, 2);
	went = start(m, &again);
	hit = m->v.migration.sets >= refused;
	assert_int_equal(m->v.migration.state, VFIO_DEVICE_STATE_RUNNING);
	if (hit)
		assert_true(ret || went || (!breaks && refused == 5));
	if (ret)
		assert_says(&err, "nvme: the device does not go to ");
	if (went)
		assert_says(&again, "it was reset: its guest has to start it again");
	assert_int_equal(m->v.resets, went ? 1 : 0);
	assert_int_equal(went != 0, hit && (breaks || refused == 6));
	if (went)
		assert_true(load_le(m->v.config + PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
	else
		assert_memory_equal(m->v.migration.known, KNOWN, FAKE_KNOWN);
	state_out_free(&out);
	fake_rig_close(m);
	return hit;
}

static void whichever_step_fails_it_runs_or_was_reset(void **state)
{
	struct fake_rig *m = fake_rig_open();

	if (!m)
		skip();
	fake_rig_close(m);
	for (unsigned int step = 1; fail_step(step, false); step++)
		assert_true(step <= 6);
	for (unsigned int step = 1; fail_step(step, true); step++)
		assert_true(step <= 6);
}

static void one_that_a_reset_does_not_mend_stands_still(void **state)
{
	struct state_out out = { 0 };
	struct err err = { 0 };
	FAKE_RIG(m);

	plug(m);
	m->v.migration.refused = 3;
	m->v.migration.breaks = m->v.migration.stays = true;
	assert_int_equal(save(m, &out, &err), -EIO);
	assert_says(&err, "STOP_COPY, and is in ERROR");
	assert_int_equal(start(m, &err), -EIO);
	assert_says(&err, "cannot be reset either");
	state_out_free(&out);
	fake_rig_close(m);
}

static void assert_unreadable(int gives, bool silent, uint64_t padding, int code, const char *what)
{
	struct fake_rig *m = fake_rig_open();
	struct state_out out = { 0 };
	struct err err = { 0 };

	plug(m);
	use(m);
	m->v.migration.gives = gives;
	m->v.migration.silent = silent;
	m->v.migration.padding = padding;
	assert_int_equal(save(m, &out, &err), code);
	assert_says(&err, what);
	assert_int_equal(start(m, &err), 0);
	assert_int_equal(m->v.migration.state, VFIO_DEVICE_STATE_RUNNING);
	assert_memory_equal(m->v.migration.known, KNOWN, FAKE_KNOWN);
	state_out_free(&out);
	fake_rig_close(m);
}

static void a_state_that_cannot_be_read_or_has_no_end_is_refused(void **state)
{
	struct fake_rig *m = fake_rig_open();
	int write_only = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (!m) {
		close(write_only);
		skip();
	}
	fake_rig_close(m);
	assert_unreadable(write_only, false, 0, -EBADF, "reading the state of the device");
	assert_unreadable(0, true, 0, -EBADF, "does not go to STOP_COPY");
	assert_unreadable(0, false, VFIO_BLOB_MAX - FAKE_KNOWN + 1, -EOPNOTSUPP,
			  "more than 256 MiB");
	close(write_only);
}

static void one_without_migration_is_refused_by_name(void **state)
{
	struct state_out out = { 0 };
	struct err err = { 0 };
	FAKE_RIG(m);

	plug(m);
	m->v.migration.flags = 0;
	assert_int_equal(save(m, &out, &err), -EOPNOTSUPP);
	assert_says(&err, "nvme: a snapshot does not carry a device whose driver offers no "
			  "migration");
	assert_int_equal(m->v.migration.sets, 0);
	assert_int_equal(start(m, &err), 0);
	assert_int_equal(m->v.migration.sets, 0);
	state_out_free(&out);
	fake_rig_close(m);
}

/* --- what fails, loading --------------------------------------------------------------------- */

static void assert_refused(struct fake_rig *m, const struct state_out *out, const char *what)
{
	struct err err = { 0 };

	assert_int_equal(load(m, out, &err), -EPROTO);
	assert_says(&err, what);
	/* Whoever has the device next does not find it half loaded. */
	assert_int_equal(m->v.migration.state, VFIO_DEVICE_STATE_RUNNING);
}

static void whichever_step_fails_it_is_not_loaded(void **state)
{
	struct state_out out;

	if (!make_state(&out))
		skip();
	for (unsigned int step = 1; step <= 3; step++) {
		struct fake_rig *m = fake_rig_open();

		plug(m);
		m->v.migration.refused = step;
		assert_refused(m, &out, "section \"vfio nvme\": nvme: the device does not go to ");
		fake_rig_close(m);
	}
	state_out_free(&out);
}

static void one_that_takes_no_data_is_refused(void **state)
{
	int read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct state_out out;

	if (!make_state(&out)) {
		close(read_only);
		skip();
	}
	for (unsigned int i = 0; i < 2; i++) {
		struct fake_rig *m = fake_rig_open();

		plug(m);
		m->v.migration.gives = i ? 0 : read_only;
		m->v.migration.flags = i ? 0 : BOTH;
		assert_refused(m, &out, i ? "offers no migration" : "does not take the state");
		fake_rig_close(m);
	}
	close(read_only);
	state_out_free(&out);
}

/* Each changes the device that it is to be loaded into. */
static void another_device(struct fake_vfio *v)
{
	store_le(v->config + PCI_DEVICE_ID, 0x11, 2);
}

static void another_subsystem(struct fake_vfio *v)
{
	store_le(v->config + PCI_SUBSYSTEM_ID, 7, 2);
}

static void another_bar(struct fake_vfio *v)
{
	store_le(v->config + PCI_BASE_ADDRESS_4, 0, 4);
	v->bar4_size = 4096;
}

static void a_shorter_space(struct fake_vfio *v)
{
	v->config_size = PCI_CFG_SPACE_SIZE;
}

static void one_of_another_identity_is_refused(void **state)
{
	static const struct {
		void (*change)(struct fake_vfio *v);
		const char *what;
	} rows[] = {
		{ another_device, "its device id was 0x10, and this device's is 0x11" },
		{ another_subsystem, "its subsystem id was 0, and this device's is 0x7" },
		{ another_bar, "its BAR 4 was 0, and this device's is 0x1000" },
		{ a_shorter_space, "its configuration space was 0x1000" },
	};
	struct state_out out;

	if (!make_state(&out))
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fake_rig *m = fake_rig_open();

		rows[i].change(&m->v);
		plug(m);
		assert_refused(m, &out, rows[i].what);
		/* And nothing was asked of it. */
		assert_int_equal(m->v.migration.sets, 0);
		fake_rig_close(m);
	}
	state_out_free(&out);
}

static void another_kind_of_migration_is_refused(void **state)
{
	struct state_out out;
	struct fake_rig *m;

	if (!make_state(&out))
		skip();
	m = fake_rig_open();
	plug(m);
	m->v.migration.flags = VFIO_MIGRATION_STOP_COPY;
	assert_refused(m, &out, "its kind of migration was 0x3, and this device's is 0x1");
	fake_rig_close(m);
	state_out_free(&out);
}

/* What a liar says of the device, made as saved.c makes it. */
static void lie(struct state_out *out, bool asserted, const void *data, size_t len)
{
	static const uint64_t facts[] = { 0x1b36, 0x10, 0, 0, FAKE_BAR0_SIZE,  0,   32,
					  0,	  0,	0, 0, PCI_CONFIG_SIZE, BOTH };

	*out = (struct state_out){ 0 };
	state_begin(out, 1, "vfio nvme");
	for (size_t i = 0; i < ARRAY_SIZE(facts); i++)
		state_put(out, facts[i]);
	state_put(out, asserted);
	state_put_bytes(out, data, len);
	state_end(out);
}

static void what_the_device_does_not_take_is_refused(void **state)
{
	static const struct {
		const char *data;
		size_t len;
	} rows[] = { { "", 0 },
		     { "K", 1 },
		     { KNOWN, FAKE_KNOWN - 1 },
		     { KNOWN KNOWN, 31 },
		     { "knows fifteen..", FAKE_KNOWN } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = { 0 };
		struct state_out out;
		struct state_in in;
		FAKE_RIG(m);

		plug(m);
		lie(&out, false, rows[i].data, rows[i].len);
		assert_int_equal(state_open(&in, out.data, out.len, &err), 0);
		assert_int_equal(vfio_function_load(m->f, &in), -EPROTO);
		assert_says(&err, "the device does not go to STOP");
		assert_memory_not_equal(m->v.migration.known, "K", 1);
		assert_int_equal(m->v.migration.state, VFIO_DEVICE_STATE_RUNNING);
		state_out_free(&out);
		fake_rig_close(m);
	}
}

static void a_line_that_is_not_the_guests_is_not_asserted(void **state)
{
	struct err err = { 0 };
	struct state_out out;
	struct state_in in;
	FAKE_RIG(m);

	plug(m);
	lie(&out, true, KNOWN, FAKE_KNOWN);
	msix_on(m);
	assert_int_equal(state_open(&in, out.data, out.len, &err), 0);
	assert_int_equal(vfio_function_load(m->f, &in), 0);
	assert_int_equal(vfio_function_loaded(m->f, &err), -EPROTO);
	assert_says(&err, "its interrupt line is asserted");
	state_out_free(&out);
	fake_rig_close(m);
}

/* Every length that a state can be cut to, into the same device, which is never asked to run. */
static void a_state_that_is_cut_short_is_refused(void **state)
{
	struct state_out out;
	struct fake_rig *m;
	size_t len;

	if (!make_state(&out))
		skip();
	m = fake_rig_open();
	plug(m);
	len = out.len;
	for (out.len = 0; out.len < len; out.len += out.len < 512 ? 1 : 97) {
		struct err err = { 0 };

		assert_true(load(m, &out, &err) != 0);
		assert_true(err.text[0]);
	}
	state_out_free(&out);
	fake_rig_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_goes_on_where_it_stood),
		cmocka_unit_test(without_peers_it_stops_at_once),
		cmocka_unit_test(vectors_are_armed_and_what_pends_is_sent_once),
		cmocka_unit_test(what_was_sent_before_the_stop_is_in_the_saved_guest),
		cmocka_unit_test(msi_goes_on_with_its_masks),
		cmocka_unit_test(a_line_that_fired_is_asserted_until_eoi),
		cmocka_unit_test(whether_it_may_not_snoop_is_decided_anew),
		cmocka_unit_test(its_serial_number_may_be_another),
		cmocka_unit_test(whichever_step_fails_it_runs_or_was_reset),
		cmocka_unit_test(one_that_a_reset_does_not_mend_stands_still),
		cmocka_unit_test(a_state_that_cannot_be_read_or_has_no_end_is_refused),
		cmocka_unit_test(one_without_migration_is_refused_by_name),
		cmocka_unit_test(whichever_step_fails_it_is_not_loaded),
		cmocka_unit_test(one_that_takes_no_data_is_refused),
		cmocka_unit_test(one_of_another_identity_is_refused),
		cmocka_unit_test(another_kind_of_migration_is_refused),
		cmocka_unit_test(what_the_device_does_not_take_is_refused),
		cmocka_unit_test(a_line_that_is_not_the_guests_is_not_asserted),
		cmocka_unit_test(a_state_that_is_cut_short_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
