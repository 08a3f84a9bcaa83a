/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile guest can do to the virtual DSA: any sequence of register and portal accesses, of
 * descriptors and resets, while an operator binds and unbinds. The back end is one that runs a job
 * when the input says so, on this thread, so that every run is the same; the VM is a stand-in
 * without KVM.
 *
 * The first byte of the input chooses a function: configurable or fixed, with interrupt handles and
 * an event log or not. Its queues may be dedicated or shared, its defaults bound or not.
 *
 * Checked: every queue has a PASID or a default binding or is refused, so nothing outside the
 * window is ever written, by a descriptor, a record or the event log; the window bound read-only is
 * not written at all; every descriptor is accounted for; and no command stays active once all jobs
 * have ended.
 */
#include <linux/pci_regs.h>

#include "tests/fuzz/dsa-inline.h"
#include "tests/fuzz/dsa-stand-in.h"

#define MEMORY	    (16 * 4096u)
#define WINDOW	    (4 * 4096u) /* rw: four pages from here; read-only: the four behind them */
#define WINDOW_SIZE (4 * 4096u)

#define PASID_RW 5u
#define PASID_RO 6u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rig {
	struct stand_in at;
	struct ioasid_space *guest, *rw, *ro;
	struct dsa *dsa;
	bool bound[5]; /* two PASIDs; then the defaults of queues 0 and 2, and of all */
	unsigned int stops;
};

/* --- accesses -------------------------------------------------------------------------------- */

static void mmio_write(struct rig *rig, uint64_t address, uint64_t value, unsigned int len)
{
	epoch_enter(&rig->at.vm.epoch, &rig->at.reader);
	iomap_write(&rig->at.vm.mmio, address, &value, len);
	epoch_exit(&rig->at.reader);
}

static uint64_t mmio_read(struct rig *rig, uint64_t address, unsigned int len)
{
	uint64_t value = 0;

	epoch_enter(&rig->at.vm.epoch, &rig->at.reader);
	iomap_read(&rig->at.vm.mmio, address, &value, len);
	epoch_exit(&rig->at.reader);
	return value;
}

static uint64_t bar(struct rig *rig, unsigned int index)
{
	return pci_function_bar_address(dsa_function(rig->dsa), index);
}

static uint64_t config_at(struct rig *rig, uint32_t offset)
{
	return ECAM + ((uint64_t)pci_function_slot(dsa_function(rig->dsa)) << 15) + offset;
}

static void command(struct rig *rig, uint32_t code, uint32_t operand)
{
	mmio_write(rig, bar(rig, 0) + DSA_CMD, code << DSA_CMD_CODE_SHIFT | operand, 4);
}

static void store64(struct rig *rig, uint64_t offset, enum store64_kind kind, const void *bytes)
{
	const struct io_region *region;

	epoch_enter(&rig->at.vm.epoch, &rig->at.reader);
	region = iomap_find(&rig->at.vm.mmio, bar(rig, 2) + offset);
	if (region && region->ops->store64)
		region->ops->store64(region->opaque, offset, kind, bytes);
	epoch_exit(&rig->at.reader);
}

/* Mostly near the window's borders; at times anywhere. */
static uint64_t address(struct input *in)
{
	uint64_t raw = take(in, 3);

	return raw >> 20 == 0xf ? take(in, 8) : raw % (MEMORY + 0x2000);
}

static void submit(struct rig *rig, struct input *in, unsigned int how)
{
	struct dsa_descriptor d = {
		.pasid = (uint32_t)take(in, 1),
		.flags = (uint32_t)take(in, 4),
		.record = address(in) & (how & 1 ? ~0ULL : ~31ULL),
		.source = address(in),
		.destination = address(in),
		.size = (uint32_t)take(in, 2),
		.interrupt = (uint16_t)take(in, 1) & 0x47,
	};
	uint64_t offset = (how >> 1 & 3) * DSA_WQ_PORTALS + (how >> 3 & 1) * DSA_PORTAL_PAGE;

	if (how & 2)
		d.reserved[take(in, 1) % sizeof(d.reserved)] = (uint8_t)take(in, 1);
	if (how & 8) {
		for (unsigned int i = 0; i < 64; i += 8)
			mmio_write(rig, bar(rig, 2) + offset + i, load_le((char *)&d + i, 8), 8);
		return;
	}
	store64(rig, offset, (enum store64_kind)(how & 4 ? take(in, 1) % 3 : 0), &d);
}

/* The way in that random bytes would seldom find. */
static void set_up(struct rig *rig, uint32_t pasid)
{
	uint64_t registers = bar(rig, 0);

	mmio_write(rig, config_at(rig, PCI_COMMAND), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	mmio_write(rig, registers + DSA_GRPCFG, 7, 8);
	mmio_write(rig, registers + DSA_GRPCFG + DSA_GRPCFG_ENGINES, 3, 8);
	/* A log of the window's last page, and one that would go on past it. */
	mmio_write(rig, registers + DSA_EVLCFG,
		   (WINDOW + WINDOW_SIZE - 4096) | (pasid & 1 ? DSA_EVLCFG_PASID : 0), 8);
	mmio_write(rig, registers + DSA_EVLCFG + 8,
		   (pasid & 2 ? 64 : 128) | (uint64_t)PASID_RW << DSA_EVLCFG_PASID_SHIFT, 8);
	mmio_write(rig, registers + DSA_GENCTRL, 7, 4);
	mmio_write(rig, registers + DSA_GENCFG, pasid & 3 ? 0x3000 : 0, 4);
	command(rig, DSA_ENABLE_DEVICE, 0);
	command(rig, DSA_REQUEST_INT_HANDLE, pasid & 3);
	for (unsigned int i = 0; i < 3; i++) {
		bool none = i == 1 && pasid & 1;
		uint32_t mode = (i == 2 ? 0x10 : 0x11) | (pasid + i) << DSA_WQCFG_PASID_SHIFT |
				(none ? 0 : DSA_WQCFG_PASID_ENABLE);

		mmio_write(rig, registers + DSA_WQCFG + i * DSA_WQCFG_SIZE + 8, mode, 4);
		command(rig, DSA_ENABLE_WQ, i);
	}
}

/* --- the operator ---------------------------------------------------------------------------- */

static void toggle_default(struct rig *rig, unsigned int which)
{
	static const unsigned int queues[] = { 0, 2, DSA_ALL_WQS };
	unsigned int wq = queues[which - 2];

	if (rig->bound[which])
		must(dsa_default_unbind(rig->dsa, wq, NULL));
	else
		must(dsa_default_bind(rig->dsa, wq, which == 3 ? rig->ro : rig->rw, 0, NULL, NULL));
}

/* At rest, for no other thread would end what is queued. */
static void toggle_binding(struct rig *rig, unsigned int which)
{
	uint32_t guest = which ? PASID_RO : PASID_RW;

	dsa_engines_stop(rig->dsa);
	if (which > 1)
		toggle_default(rig, which);
	else if (rig->bound[which])
		must(dsa_pasid_unbind(rig->dsa, guest, NULL));
	else
		must(dsa_pasid_bind(rig->dsa, guest, which ? rig->ro : rig->rw, 0, NULL, NULL));
	rig->bound[which] = !rig->bound[which];
	dsa_engines_start(rig->dsa);
}

/* A back end that is lost. */
static void halt(struct rig *rig)
{
	pthread_mutex_lock(&rig->dsa->lock);
	dsa_halt(rig->dsa);
	pthread_mutex_unlock(&rig->dsa->lock);
}

static void manage(struct rig *rig, unsigned int what)
{
	uint32_t devctl = dsa_function(rig->dsa)->express + PCI_EXP_DEVCTL;
	uint64_t bars[2] = { bar(rig, 0), bar(rig, 2) };

	switch (what % 9) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		toggle_binding(rig, what % 9);
		break;
	case 5:
		halt(rig);
		break;
	case 6:
		if (rig->stops++ & 1)
			dsa_engines_start(rig->dsa);
		else
			dsa_engines_stop(rig->dsa);
		break;
	case 7:
		mmio_write(rig, config_at(rig, PCI_COMMAND),
			   PCI_COMMAND_MEMORY | (what & 8 ? PCI_COMMAND_MASTER : 0), 2);
		break;
	default:
		mmio_write(rig, config_at(rig, devctl), PCI_EXP_DEVCTL_BCR_FLR, 2);
		mmio_write(rig, config_at(rig, PCI_BASE_ADDRESS_0), bars[0], 8);
		mmio_write(rig, config_at(rig, PCI_BASE_ADDRESS_2), bars[1], 8);
		mmio_write(rig, config_at(rig, PCI_COMMAND),
			   PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	}
}

static void step(struct rig *rig, struct input *in)
{
	unsigned int op = (unsigned int)take(in, 1), arg = op >> 3;
	unsigned int len = 1u << (arg & 3);

	switch (op & 7) {
	case 0:
		mmio_write(rig, bar(rig, 0) + take(in, 2) % 0x1000, take(in, len), len);
		break;
	case 1:
		mmio_read(rig, bar(rig, 0) + take(in, 2), len);
		break;
	case 2:
		mmio_write(rig, bar(rig, 2) + take(in, 2) % (3 * DSA_WQ_PORTALS), take(in, len),
			   len);
		break;
	case 3:
		command(rig, arg & 15, (uint32_t)take(in, 1));
		break;
	case 4:
		work(rig->dsa, arg & 1);
		break;
	case 5:
		manage(rig, arg);
		break;
	case 6:
		set_up(rig, PASID_RW - 1 + arg % 4);
		break;
	default:
		submit(rig, in, arg);
	}
}

/* --- what must hold -------------------------------------------------------------------------- */

static void check_memory(const struct rig *rig)
{
	for (unsigned int i = 0; i < MEMORY; i++) {
		if (i == WINDOW)
			i += WINDOW_SIZE;
		if (rig->at.memory[i] != UNTOUCHED)
			abort();
	}
}

static void check_account(struct rig *rig)
{
	struct dsa_counters c;

	if (rig->stops & 1)
		dsa_engines_start(rig->dsa);
	while (work(rig->dsa, 0) || work(rig->dsa, 1))
		;
	if (rig->dsa->config.cmdsts & DSA_CMDSTS_ACTIVE || rig->dsa->running)
		abort();
	dsa_counters_read(rig->dsa, &c);
	if (c.accepted != c.completed + c.failed + c.aborted)
		abort();
}

/* --- building -------------------------------------------------------------------------------- */

static void build_dsa(struct rig *rig, unsigned int shape)
{
	const struct dsa_options options = {
		.id = "dsa",
		.wqs = 3,
		.wq = { { .size = 3 },
			{ .size = 2 },
			{ .size = 2, .shared = true, .threshold = 1 } },
		.engines = 2,
		.fixed = shape & 1,
		.interrupt_handles = shape & 2,
		.event_log = shape & 4,
		.pasid = { .allow = true, .width = 4 },
	};
	struct stand_in *at = &rig->at;

	stand_in_open(at, MEMORY);
	rig->guest = stand_in_space(at, "guest", 0, MEMORY, IOASID_READ | IOASID_WRITE);
	rig->rw = stand_in_space(at, "rw", WINDOW, WINDOW_SIZE, IOASID_READ | IOASID_WRITE);
	rig->ro = stand_in_space(at, "ro", WINDOW + WINDOW_SIZE, WINDOW_SIZE, IOASID_READ);
	must(dsa_create(&rig->dsa, &at->vm, at->ctx, rig->guest, &options, NULL));
	rig->dsa->backend = &inline_backend;
	stand_in_add(at, rig->dsa);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, MIN(size, (size_t)4096) };
	struct rig rig = { 0 };

	build_dsa(&rig, (unsigned int)take(&in, 1));
	while (in.left)
		step(&rig, &in);
	check_account(&rig);
	check_memory(&rig);
	stand_in_close(&rig.at);
	return 0;
}
