/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power and event registers. One file: each is a few bits, and all of them end in the same two
 * calls to the machine or the same interrupt.
 */
#include "vmm/power.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kvm-glue/ioapic.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"
#include "vmm/platform.h"

/* ACPI 6.4 table 4.18: sleep control register */
#define SLEEP_ENABLE	 0x20
#define SLEEP_TYPE(byte) ((byte) >> 2 & 7)

#define CF9_RESET   0x04
#define I8042_RESET 0xfe
#define I8042_DATA  0x60

#define BLOCK_BASE PORT_SLEEP_CONTROL
#define BLOCK_SIZE (PORT_HOTPLUG_EJECT + 4 - BLOCK_BASE)
#define CF8_BASE   0xcf8
#define CF8_SIZE   8

struct power {
	const struct power_ops *ops;
	void *arg;
	const struct log *log;
	struct log_limit limit;
	struct power_wiring wiring;
	struct vm *vm; /* NULL without a VM */
	struct irq_line *line;
	bool debug_exit;
	unsigned int n_ports; /* rows of `ports` that are registered */

	pthread_mutex_t lock;
	/* Under lock: events, slots that appeared, slots to go. Each byte read is cleared. */
	uint32_t events, up, down;
	uint8_t cf9;
	const struct io_ops *cf8; /* the PCI registers around it, or NULL */
	void *cf8_opaque;
};

static void stop(struct power *power, enum power_reason reason, uint32_t value)
{
	power->ops->stop(power->arg, reason, value);
}

/* --- the block at PORT_SLEEP_CONTROL --------------------------------------------------------- */

static uint8_t take_byte(uint32_t *reg, unsigned int byte)
{
	uint8_t value = (uint8_t)(*reg >> (8 * byte));

	*reg &= ~(0xffu << (8 * byte));
	return value;
}

/* Sleep control and status read as 0: SLP_EN is write-only and nothing ever woke. */
static uint8_t block_read_byte(struct power *power, unsigned int port)
{
	switch (port & ~3u) {
	case PORT_GED_EVENTS:
		return take_byte(&power->events, port & 3);
	case PORT_HOTPLUG_UP:
		return take_byte(&power->up, port & 3);
	case PORT_HOTPLUG_DOWN:
		return take_byte(&power->down, port & 3);
	default:
		return 0;
	}
}

static uint64_t block_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct power *power = opaque;
	uint64_t value = 0;

	pthread_mutex_lock(&power->lock);
	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)block_read_byte(power, BLOCK_BASE + (unsigned int)offset + i)
			 << (8 * i);
	pthread_mutex_unlock(&power->lock);
	return value;
}

static void sleep_control(struct power *power, uint8_t value)
{
	if (!(value & SLEEP_ENABLE))
		return;
	if (SLEEP_TYPE(value) == SLEEP_TYPE_S5)
		stop(power, POWER_OFF, 0);
	else
		log_limited(power->log, &power->limit, LOG_WARN, "power",
			    "the guest asked for sleep type %u: this machine has S5 (%u) only",
			    SLEEP_TYPE(value), SLEEP_TYPE_S5);
}

/* Slot 0 is the host bridge: it never goes. */
static void eject(struct power *power, uint32_t slots)
{
	if (!power->ops->eject)
		return;
	for (unsigned int slot = 1; slot < 32; slot++) {
		if (slots >> slot & 1)
			power->ops->eject(power->arg, slot);
	}
}

static void block_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct power *power = opaque;
	uint32_t slots = 0;

	for (unsigned int i = 0; i < size; i++) {
		unsigned int port = BLOCK_BASE + (unsigned int)offset + i;
		uint8_t byte = (uint8_t)(value >> (8 * i));

		if (port == PORT_SLEEP_CONTROL)
			sleep_control(power, byte);
		else if (port == PORT_RESET && byte == RESET_VALUE)
			stop(power, POWER_RESET, 0);
		else if ((port & ~3u) == PORT_HOTPLUG_EJECT)
			slots |= (uint32_t)byte << (8 * (port & 3));
	}
	eject(power, slots);
}

static const struct io_ops block_ops = { .read = block_read, .write = block_write };

/* --- older ways to reset --------------------------------------------------------------------- */

/*
 * Reset control is the byte at 0xcf9 alone. All other accesses are meant for the PCI address and
 * data registers around it, and must not reset.
 */
static uint64_t cf8_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct power *power = opaque;

	if (CF8_BASE + offset == PORT_CF9 && size == 1)
		return __atomic_load_n(&power->cf9, __ATOMIC_RELAXED);
	return power->cf8 ? power->cf8->read(power->cf8_opaque, offset, size) : ~0ULL;
}

static void cf8_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct power *power = opaque;

	if (CF8_BASE + offset != PORT_CF9 || size != 1) {
		if (power->cf8)
			power->cf8->write(power->cf8_opaque, offset, value, size);
		return;
	}
	__atomic_store_n(&power->cf9, (uint8_t)value & ~CF9_RESET, __ATOMIC_RELAXED);
	if (value & CF9_RESET)
		stop(power, POWER_RESET, 0);
}

static const struct io_ops cf8_ops = { .read = cf8_read, .write = cf8_write };

/* No keyboard controller: its ports read as 0 (nothing to read, ready to be written). */
static uint64_t i8042_read(void *opaque, uint64_t offset, unsigned int size)
{
	return 0;
}

static void i8042_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	if ((value & 0xff) == I8042_RESET)
		stop(opaque, POWER_RESET, 0);
}

static const struct io_ops i8042_command_ops = { .read = i8042_read, .write = i8042_write };
static const struct io_ops i8042_data_ops = { .read = i8042_read };

/* --- debug exit ------------------------------------------------------------------------------ */

static void debug_exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	if (offset == 0 && size <= 4)
		stop(opaque, POWER_DEBUG_EXIT, (uint32_t)(value & mask_bytes(size)));
}

static const struct io_ops debug_exit_ops = { .write = debug_exit_write };

/* --- events ---------------------------------------------------------------------------------- */

/*
 * The edge comes after its bits and belongs to them alone: two pulses at once would be one edge,
 * and the guest may have read the registers between that and the second's bits.
 */
static void raise_event(struct power *power, uint32_t event, uint32_t *slots, uint32_t slot_bit)
{
	pthread_mutex_lock(&power->lock);
	if (slots)
		*slots |= slot_bit;
	power->events |= event;
	power->wiring.pulse(power->wiring.opaque);
	pthread_mutex_unlock(&power->lock);
}

void power_share_cf8(struct power *power, const struct io_ops *ops, void *opaque)
{
	power->cf8 = ops;
	power->cf8_opaque = opaque;
}

void power_button_press(struct power *power)
{
	raise_event(power, GED_EVENT_POWER_BUTTON, NULL, 0);
}

/* What was to leave a slot where something new appears has left it. */
void power_hotplug_notify(struct power *power, unsigned int slot, bool up)
{
	if (slot < 1 || slot >= 32)
		return;
	if (up) {
		pthread_mutex_lock(&power->lock);
		power->down &= ~(1u << slot);
		pthread_mutex_unlock(&power->lock);
	}
	raise_event(power, GED_EVENT_HOTPLUG, up ? &power->up : &power->down, 1u << slot);
}

/* --- making and ending ----------------------------------------------------------------------- */

/* debug-exit comes last: it is left out where it was not asked for. */
static const struct {
	uint64_t base, size;
	const struct io_ops *ops;
	const char *name;
} ports[] = {
	{ BLOCK_BASE, BLOCK_SIZE, &block_ops, "power" },
	{ CF8_BASE, CF8_SIZE, &cf8_ops, "reset control" },
	{ I8042_DATA, 1, &i8042_data_ops, "keyboard controller data" },
	{ PORT_I8042_COMMAND, 1, &i8042_command_ops, "keyboard controller" },
	{ PORT_DEBUG_EXIT, 4, &debug_exit_ops, "debug-exit" },
};

static int register_ports(struct power *power, struct err *err)
{
	size_t n = ARRAY_SIZE(ports) - (power->debug_exit ? 0 : 1);

	while (power->n_ports < n) {
		unsigned int i = power->n_ports;
		struct io_region region = {
			.base = ports[i].base,
			.size = ports[i].size,
			.ops = ports[i].ops,
			.opaque = power,
			.name = ports[i].name,
		};
		int rc = iomap_add(power->wiring.pio, &region);

		if (rc < 0)
			return err_set(err, -rc, "%s: ports 0x%llx to 0x%llx: %s", region.name,
				       (unsigned long long)region.base,
				       (unsigned long long)(region.base + region.size - 1),
				       strerror(-rc));
		power->n_ports++;
	}
	return 0;
}

int power_open(struct power **out, const struct power_wiring *wiring, const struct power_ops *ops,
	       void *arg, bool debug_exit, const struct log *log, struct err *err)
{
	struct power *power = calloc(1, sizeof(*power));
	int rc;

	*out = NULL;
	if (!power)
		return err_set(err, ENOMEM, "no memory for the power registers");
	power->ops = ops;
	power->arg = arg;
	power->log = log;
	power->wiring = *wiring;
	power->debug_exit = debug_exit;
	pthread_mutex_init(&power->lock, NULL);
	rc = register_ports(power, err);
	if (rc < 0) {
		power_destroy(power);
		return rc;
	}
	*out = power;
	return 0;
}

static void pulse_line(void *opaque)
{
	irq_line_set(opaque, true);
	irq_line_set(opaque, false);
}

int power_create(struct power **out, struct vm *vm, struct ioapic *ioapic,
		 const struct power_ops *ops, void *arg, bool debug_exit, const struct log *log,
		 struct err *err)
{
	struct power_wiring wiring = { .pio = vm_pio(vm), .pulse = pulse_line };
	struct power *power;
	struct irq_line *line;
	int rc = irq_line_open(&line, ioapic, PIN_GED, NULL, NULL);

	*out = NULL;
	if (rc < 0)
		return err_set(err, -rc, "event device: interrupt pin %d: %s", PIN_GED,
			       strerror(-rc));
	wiring.opaque = line;
	rc = power_open(&power, &wiring, ops, arg, debug_exit, log, err);
	if (!power) {
		irq_line_close(line);
		return rc;
	}
	power->line = line;
	power->vm = vm;
	*out = power;
	return 0;
}

void power_destroy(struct power *power)
{
	if (!power)
		return;
	while (power->n_ports)
		iomap_remove(power->wiring.pio, ports[--power->n_ports].base, power);
	if (power->vm)
		epoch_wait(vm_epoch(power->vm));
	if (power->line)
		irq_line_close(power->line);
	pthread_mutex_destroy(&power->lock);
	free(power);
}

/* --- saved guests ---------------------------------------------------------------------------- */

void power_save(struct power *power, struct state_out *out)
{
	pthread_mutex_lock(&power->lock);
	state_begin(out, 1, "power");
	state_put(out, power->events);
	state_put(out, power->up);
	state_put(out, power->down);
	state_put(out, __atomic_load_n(&power->cf9, __ATOMIC_RELAXED));
	state_end(out);
	pthread_mutex_unlock(&power->lock);
}

int power_load(struct power *power, struct state_in *in)
{
	uint32_t events, up, down;
	uint8_t cf9;
	int ret;

	state_enter(in, 1, "power");
	events = (uint32_t)state_take(in, GED_EVENT_POWER_BUTTON | GED_EVENT_HOTPLUG);
	up = (uint32_t)state_take(in, UINT32_MAX);
	down = (uint32_t)state_take(in, UINT32_MAX);
	cf9 = (uint8_t)state_take(in, UINT8_MAX);
	ret = state_leave(in);
	if (ret)
		return ret;
	pthread_mutex_lock(&power->lock);
	power->events = events;
	power->up = up & ~1u;
	power->down = down & ~1u;
	__atomic_store_n(&power->cf9, cf9 & ~CF9_RESET, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&power->lock);
	return 0;
}
