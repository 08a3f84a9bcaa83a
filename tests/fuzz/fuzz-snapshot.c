/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile snapshot can do to a machine: a good state is made once, of a bus with a virtual
 * DSA in use, four virtio devices, clock, power and serial registers; each input is a list of
 * changes to its bytes, numbers and sections, and what comes out is loaded into a fresh machine
 * and, where it is taken, used. No KVM is asked; the DSA's descriptors run on this thread.
 *
 * Checked: whatever was loaded, no descriptor reaches memory outside of the window that this
 * machine's own binding names, every command ends once its descriptors have, and whatever the
 * sections are, no byte outside them is read.
 */
#include <linux/pci_regs.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/dsa-inline.h"
#include "tests/fuzz/dsa-stand-in.h"
#include "tests/fuzz/replay.h"
#include "util/state.h"
#include "vmm/power.h"
#include "vmm/rtc.h"
#include "vmm/serial-model.h"
#include "vmm/virtio/balloon.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/internal.h"
#include "vmm/virtio/rng.h"
#include "vmm/virtio/vsock.h"

#define MEMORY	    (16 * 4096u)
#define WINDOW	    (4 * 4096u)
#define WINDOW_SIZE (4 * 4096u)
#define PASID	    5u
#define RAM	    (16 * 4096u) /* of the virtio devices */
#define DEVICES	    4u
#define NUMBERS_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fleet {
	struct stand_in at;
	struct dsa *dsa;
	struct virtio_memory table;
	struct virtio_host host;
	struct virtio_device *device[DEVICES];
	struct rtc *rtc;
	struct power *power;
	struct serial_model serial;
};

/* A state that is right, and where its numbers and sections begin. */
struct good {
	struct state_out out;
	size_t number[NUMBERS_MAX], section[64];
	unsigned int n_numbers, n_sections;
};

/* --- the machine ----------------------------------------------------------------------------- */

static bool send_nothing(void *opaque, uint8_t byte)
{
	return true;
}

static void irq_nothing(void *opaque, bool asserted)
{
}

static const struct serial_model_ops serial_ops = { .send = send_nothing, .irq = irq_nothing };

static void stop_nothing(void *arg, enum power_reason reason, uint32_t value)
{
}

static void pulse_nothing(void *opaque)
{
}

static struct timespec fixed_time(void *opaque)
{
	return (struct timespec){ .tv_sec = 1790000000 };
}

static void add_dsa(struct fleet *f)
{
	const struct dsa_options options = {
		.id = "dsa",
		.wqs = 2,
		.wq = { { .size = 4 }, { .size = 4, .shared = true } },
		.engines = 2,
		.event_log = true,
		.pasid = { .allow = true, .width = 20 },
	};
	struct ioasid_space *guest =
		stand_in_space(&f->at, "guest", 0, MEMORY, IOASID_READ | IOASID_WRITE);
	struct ioasid_space *window =
		stand_in_space(&f->at, "window", WINDOW, WINDOW_SIZE, IOASID_READ | IOASID_WRITE);

	must(dsa_create_apart(&f->dsa, &f->at.vm.epoch, f->at.ctx, guest, &options, NULL));
	f->dsa->backend = &inline_backend;
	must(dsa_pasid_bind(f->dsa, PASID, window, 0, NULL, NULL));
	stand_in_add(&f->at, f->dsa);
}

static void add_virtio(struct fleet *f)
{
	const struct balloon_options options = { .size = 4096, .reporting = true };
	const struct console_options console = {
		.n = 2, .ports = { { .mode = SERIAL_NULL }, { .name = "a", .mode = SERIAL_NULL } }
	};
	char path[64];
	struct balloon *balloon;
	uint8_t *ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ram == MAP_FAILED)
		abort();
	f->table = (struct virtio_memory){ .n = 1, .range[0] = { 0, RAM, ram } };
	must(loop_create(&f->host.loop, NULL));
	f->host.memory = &f->table;
	must(rng_create(&f->device[0], &f->host, NULL, NULL));
	must(balloon_create(&balloon, &f->host, &options, NULL));
	f->device[1] = balloon_device(balloon);
	must(console_create(&f->device[2], &f->host, &console, NULL));
	snprintf(path, sizeof(path), "/tmp/adit-fuzz-snapshot-%d", getpid());
	must(vsock_create(&f->device[3], &f->host, 3, path, NULL));
	/* The process may end at any input; nobody needs the name. */
	unlink(path);
	for (unsigned int i = 0; i < DEVICES; i++) {
		f->device[i]->function->msix->deliver = stand_in_deliver;
		f->device[i]->function->msix->deliver_arg = f;
		must(pci_bus_add(f->at.bus, f->device[i]->function, (int)i + 2, NULL));
	}
}

static void fleet_open(struct fleet *f)
{
	static const struct power_ops ops = { .stop = stop_nothing };
	const struct power_wiring wiring = { .pio = &f->at.vm.pio, .pulse = pulse_nothing };

	memset(f, 0, sizeof(*f));
	stand_in_open(&f->at, MEMORY);
	add_dsa(f);
	add_virtio(f);
	must(rtc_open(&f->rtc, &f->at.vm.pio, fixed_time, NULL, NULL));
	must(power_open(&f->power, &wiring, &ops, NULL, false, NULL, NULL));
	serial_model_init(&f->serial, &serial_ops, f);
}

static void fleet_close(struct fleet *f)
{
	struct loop *loop = f->host.loop;
	uint8_t *ram = f->table.range[0].hva;

	power_destroy(f->power);
	rtc_destroy(f->rtc);
	stand_in_close(&f->at);
	loop_destroy(loop);
	munmap(ram, RAM);
}

/* --- a state that is right ------------------------------------------------------------------- */

static void mmio_write(struct fleet *f, uint64_t address, uint64_t value, unsigned int len)
{
	epoch_enter(&f->at.vm.epoch, &f->at.reader);
	iomap_write(&f->at.vm.mmio, address, &value, len);
	epoch_exit(&f->at.reader);
}

static void config_write(struct fleet *f, unsigned int slot, uint32_t offset, uint64_t value)
{
	mmio_write(f, ECAM + ((uint64_t)slot << 15) + offset, value, 2);
}

static void use_dsa(struct fleet *f)
{
	uint64_t at = pci_function_bar_address(dsa_function(f->dsa), 0);
	const struct dsa_descriptor d = {
		.flags = DSA_OP_MEMMOVE << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID |
			 DSA_FLAG_RECORD,
		.record = WINDOW,
		.source = WINDOW + 64,
		.destination = WINDOW + 4096,
		.size = 256,
	};

	mmio_write(f, at + DSA_GRPCFG, 3, 8);
	mmio_write(f, at + DSA_GRPCFG + DSA_GRPCFG_ENGINES, 3, 8);
	mmio_write(f, at + DSA_EVLCFG, WINDOW + 2 * 4096 + DSA_EVLCFG_PASID, 8);
	mmio_write(f, at + DSA_EVLCFG + 8, 64 | (uint64_t)PASID << DSA_EVLCFG_PASID_SHIFT, 8);
	mmio_write(f, at + DSA_GENCFG, DSA_GENCFG_EVENT_LOG, 4);
	mmio_write(f, at + DSA_CMD, DSA_ENABLE_DEVICE << DSA_CMD_CODE_SHIFT, 4);
	mmio_write(f, at + DSA_WQCFG + 8, 0x11 | DSA_WQCFG_PASID_ENABLE | PASID << 8, 4);
	for (unsigned int i = 0; i < 2; i++)
		mmio_write(f, at + DSA_CMD, DSA_ENABLE_WQ << DSA_CMD_CODE_SHIFT | i, 4);
	dsa_engines_stop(f->dsa);
	for (unsigned int i = 0; i < 2; i++)
		must(dsa_submit(f->dsa, 0, DSA_POSTED, &d));
	mmio_write(f, at + DSA_CMD, DSA_DRAIN_ALL << DSA_CMD_CODE_SHIFT, 4);
	mmio_write(f, pci_function_bar_address(dsa_function(f->dsa), 2) + 0x80, 1, 8);
}

static void use_virtio(struct virtio_device *d)
{
	virtio_pci_write(d, 0x14, STATUS_ACKNOWLEDGE | STATUS_DRIVER, 1);
	virtio_pci_write(d, 0x08, 1, 4);
	virtio_pci_write(d, 0x0c, 1, 4); /* VERSION_1 */
	virtio_pci_write(d, 0x14, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK, 1);
	for (unsigned int i = 0; i < d->n_queues; i++) {
		virtio_pci_write(d, 0x16, i, 2);
		virtio_pci_write(d, 0x20, 0x1000, 8);
		virtio_pci_write(d, 0x28, 0x2000, 8);
		virtio_pci_write(d, 0x30, 0x3000, 8);
		virtio_pci_write(d, 0x1c, 1, 2);
	}
	virtio_pci_write(d, 0x14, 0xf, 1);
	d->work.fn(d);
}

static void save(struct fleet *f, struct state_out *out)
{
	struct err err;

	must(dsa_save(f->dsa, out, &err));
	for (unsigned int i = 0; i < DEVICES; i++)
		must(virtio_device_save(f->device[i], out, &err));
	must(pci_bus_save(f->at.bus, out, &err));
	state_begin(out, 1, "serial");
	serial_model_save(&f->serial, out);
	state_end(out);
	rtc_save(f->rtc, out);
	power_save(f->power, out);
	must(out->ret);
}

static void find_places(struct good *good)
{
	const uint8_t *data = good->out.data;
	size_t at = 0;

	while (at < good->out.len) {
		size_t end = at + 8 + load_le(data + at, 4);
		size_t field = at + 8 + load_le(data + at + 6, 2);

		good->section[good->n_sections++] = at;
		for (; field < end; field += 8 + load_le(data + field + 4, 4)) {
			if (load_le(data + field + 2, 2) == 1 && good->n_numbers < NUMBERS_MAX)
				good->number[good->n_numbers++] = field + 8;
		}
		at = end;
	}
}

static struct good *make_good(void)
{
	static const uint32_t on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	struct good *good = calloc(1, sizeof(*good));
	struct fleet f;

	fleet_open(&f);
	for (unsigned int slot = 1; slot < 2 + DEVICES; slot++)
		config_write(&f, slot, PCI_COMMAND, on);
	use_dsa(&f);
	for (unsigned int i = 0; i < DEVICES; i++)
		use_virtio(f.device[i]);
	save(&f, &good->out);
	dsa_engines_start(f.dsa);
	fleet_close(&f);
	find_places(good);
	return good;
}

/* --- changes --------------------------------------------------------------------------------- */

static uint64_t value_of(struct input *in)
{
	static const uint64_t odd[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0xffffffff };
	uint64_t how = take(in, 1);

	if (how < ARRAY_SIZE(odd))
		return odd[how];
	return how & 1 ? take(in, 8) : how & 2 ? ~take(in, 2) : take(in, 2);
}

static void change(const struct good *good, struct input *in, uint8_t *state, size_t *len)
{
	size_t place = (size_t)take(in, 3), section, bytes;

	switch (take(in, 1) % 6) {
	case 0:
		if (*len)
			state[place % *len] = (uint8_t)take(in, 1);
		break;
	case 1:
		if (*len)
			state[place % *len] ^= (uint8_t)(1u << take(in, 1) % 8);
		break;
	case 2:
	case 3:
		place = good->number[place % good->n_numbers];
		if (place + 8 <= *len)
			store_le(state + place, value_of(in), 8);
		break;
	case 4: /* a section less */
		section = good->section[place % good->n_sections];
		bytes = section + 8 <= *len ? 8 + load_le(state + section, 4) : 0;
		if (bytes && bytes <= *len - section) {
			memmove(state + section, state + section + bytes, *len - section - bytes);
			*len -= bytes;
		}
		break;
	default: /* an end too early */
		if (!(place & 7))
			*len = place % (*len + 1);
	}
}

static int load(struct fleet *f, const uint8_t *state, size_t len)
{
	struct err err = { 0 };
	struct state_in in;
	int ret = state_open(&in, state, len, &err);

	if (!ret)
		ret = pci_bus_plan(f->at.bus, &in);
	if (!ret)
		ret = state_enter(&in, 1, "serial");
	if (!ret)
		ret = serial_model_load(&f->serial, &in);
	if (!ret)
		ret = rtc_load(f->rtc, &in);
	if (!ret)
		ret = power_load(f->power, &in);
	if (!ret)
		ret = pci_bus_load(f->at.bus, &in);
	for (unsigned int i = 0; i < DEVICES && !ret; i++)
		ret = virtio_device_load(f->device[i], &in);
	if (!ret)
		ret = dsa_load(f->dsa, &in);
	if (!ret)
		ret = state_close(&in);
	/* What is refused is refused in words. */
	if (ret && !err.text[0])
		abort();
	return ret;
}

/* --- using what was loaded ------------------------------------------------------------------- */

static void use_again(struct fleet *f)
{
	for (unsigned int reg = 0; reg < SERIAL_REGISTERS; reg++) {
		(void)serial_model_read(&f->serial, reg);
		serial_model_write(&f->serial, reg, 0x55);
	}
	for (uint64_t i = 0; i < 128; i++) {
		uint64_t value = i;

		epoch_enter(&f->at.vm.epoch, &f->at.reader);
		iomap_write(&f->at.vm.pio, 0x70, &value, 1);
		iomap_read(&f->at.vm.pio, 0x71, &value, 1);
		epoch_exit(&f->at.reader);
	}
	for (unsigned int i = 0; i < DEVICES; i++) {
		struct virtio_device *d = f->device[i];

		d->work.fn(d);
		for (uint64_t at = 0; at < 0x40; at++)
			(void)virtio_pci_read(d, at, 1);
		virtio_lock(d);
		for (unsigned int q = 0; q < d->n_queues; q++) {
			if (virtio_live(d, q))
				d->options.ops->kick(d->options.opaque, q);
		}
		virtio_unlock(d);
	}
}

static void check_dsa(struct fleet *f, bool loaded)
{
	dsa_engines_start(f->dsa);
	while (work(f->dsa, 0) || work(f->dsa, 1))
		;
	if (f->dsa->running ||
	    (loaded && f->dsa->config.cmdsts & DSA_CMDSTS_ACTIVE &&
	     TAILQ_EMPTY(&f->dsa->wq[0].jobs) && TAILQ_EMPTY(&f->dsa->wq[1].jobs)))
		abort();
	for (unsigned int i = 0; i < MEMORY; i++) {
		if (i == WINDOW)
			i += WINDOW_SIZE;
		if (f->at.memory[i] != UNTOUCHED)
			abort();
	}
}

/* A machine costs a ring of its loop and its pages. */
unsigned int replay_runs(void)
{
	return 2500;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct good *good; /* for the process */
	struct input in = { data, size };
	struct fleet f;
	uint8_t *state, *exact;
	size_t len;
	int ret;

	if (!good)
		good = make_good();
	len = good->out.len;
	state = malloc(len);
	if (!state)
		abort();
	memcpy(state, good->out.data, len);
	while (in.left >= 4)
		change(good, &in, state, &len);
	/* Of exactly its size: a read past its end is seen. */
	exact = malloc(len + !len);
	if (!exact)
		abort();
	memcpy(exact, state, len);
	free(state);
	fleet_open(&f);
	dsa_engines_stop(f.dsa);
	ret = load(&f, exact, len);
	if (!size && ret)
		abort();
	if (!ret)
		use_again(&f);
	check_dsa(&f, !ret);
	fleet_close(&f);
	free(exact);
	return 0;
}
