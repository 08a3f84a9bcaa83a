/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm-glue/ioapic.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "kvm-glue/internal.h"
#include "kvm-glue/iomap.h"
#include "kvm-glue/irq.h"
#include "util/bits.h"

#define REG_SELECT 0x00
#define REG_WINDOW 0x10
#define REG_EOI	   0x40

#define INDEX_ID	  0x00
#define INDEX_VERSION	  0x01
#define INDEX_ARBITRATION 0x02
#define INDEX_REDIRECTION 0x10

#define VERSION_20 0x20u /* has the EOI register */

/* Redirection entry, 82093AA section 3.2.4 */
#define RTE_VECTOR     0xffULL
#define RTE_DELIVERY   (7ULL << 8)
#define RTE_LOGICAL    (1ULL << 11)
#define RTE_ACTIVE_LOW (1ULL << 13)
#define RTE_REMOTE_IRR (1ULL << 14)
#define RTE_LEVEL      (1ULL << 15)
#define RTE_MASKED     (1ULL << 16)
#define RTE_DEST_SHIFT 56
#define RTE_WRITABLE                                                                            \
	(0xffULL << 56 | RTE_MASKED | RTE_LEVEL | RTE_ACTIVE_LOW | RTE_LOGICAL | RTE_DELIVERY | \
	 RTE_VECTOR)

/* MSI address and data, Intel SDM volume 3, 11.11 */
#define MSI_ADDRESS 0xfee00000ULL
#define MSI_LOGICAL (1ULL << 2)
#define MSI_LEVEL   (1u << 15)
#define MSI_ASSERT  (1u << 14)

struct irq_line {
	struct ioapic *ioapic;
	struct irq_line *next; /* of the same pin */
	unsigned int pin;
	bool asserted;
	void (*unmask)(void *opaque);
	void *opaque;
};

struct pin {
	uint64_t rte;
	bool active_low; /* wiring */
	bool was_active; /* last level that an edge was looked for against */
	uint64_t sent;	 /* atomic */
	struct irq_line *lines;
};

struct ioapic {
	struct vm *vm;
	pthread_mutex_t lock;
	/* Held while unmask hooks run, so that closing a line can wait for them. */
	pthread_mutex_t hooks_lock;
	uint32_t select; /* atomic, without the lock */
	uint32_t id;
	struct pin pins[IOAPIC_PINS];
};

static struct msi_message message_of(uint64_t rte)
{
	struct msi_message msi = {
		.address = MSI_ADDRESS | (rte >> RTE_DEST_SHIFT) << 12 |
			   (rte & RTE_LOGICAL ? MSI_LOGICAL : 0),
		.data = (uint32_t)(rte & (RTE_VECTOR | RTE_DELIVERY)) |
			(rte & RTE_LEVEL ? MSI_LEVEL | MSI_ASSERT : 0),
	};

	return msi;
}

/* Whether the pin's entry sees its interrupt asserted: wire level against programmed polarity. */
static bool pin_active(const struct pin *pin)
{
	bool asserted = false;

	for (const struct irq_line *l = pin->lines; l && !asserted; l = l->next)
		asserted = l->asserted;
	return asserted != (pin->active_low != !!(pin->rte & RTE_ACTIVE_LOW));
}

/* Delivers what the pin's state calls for; caller holds the lock. */
static void pin_update(struct ioapic *ioapic, struct pin *pin)
{
	bool active = pin_active(pin), edge = active && !pin->was_active;
	struct msi_message msi;

	pin->was_active = active;
	/* Section 3.2.4: an edge on a masked pin is ignored, not held pending. */
	if (pin->rte & RTE_MASKED)
		return;
	if (pin->rte & RTE_LEVEL) {
		if (!active || pin->rte & RTE_REMOTE_IRR)
			return;
		pin->rte |= RTE_REMOTE_IRR;
	} else if (!edge) {
		return;
	}
	msi = message_of(pin->rte);
	if (msi_send(ioapic->vm, &msi) < 0)
		pin->rte &= ~RTE_REMOTE_IRR;
	else
		__atomic_fetch_add(&pin->sent, 1, __ATOMIC_RELAXED);
}

uint64_t ioapic_interrupts(const struct ioapic *ioapic, unsigned int pin)
{
	return pin < IOAPIC_PINS ? __atomic_load_n(&ioapic->pins[pin].sent, __ATOMIC_RELAXED) : 0;
}

/*
 * KVM learns from the routes which vectors are ours and level-triggered: their EOIs exit. A pin
 * that is masked between its interrupt and the EOI keeps its route until then, or the EOI would not
 * be heard of and remote IRR would stay.
 */
static void pin_route(struct ioapic *ioapic, unsigned int number)
{
	const struct pin *pin = &ioapic->pins[number];
	bool heard = !(pin->rte & RTE_MASKED) || pin->rte & RTE_REMOTE_IRR;
	struct msi_message msi = message_of(pin->rte);

	gsi_set_msi(ioapic->vm, number, heard ? &msi : NULL);
	gsi_commit(ioapic->vm, NULL);
}

static void pin_write(struct ioapic *ioapic, unsigned int number, bool high, uint32_t value)
{
	struct pin *pin = &ioapic->pins[number];
	uint64_t old = pin->rte, mask = high ? RTE_WRITABLE >> 32 << 32 : RTE_WRITABLE & ~0U;
	uint64_t fresh = high ? (uint64_t)value << 32 : value;

	pin->rte = (old & ~mask) | (fresh & mask);
	/* Changing to edge drops the in-service state: how Linux clears a stuck remote IRR. */
	if (!(pin->rte & RTE_LEVEL))
		pin->rte &= ~RTE_REMOTE_IRR;
	if (pin->rte != old)
		pin_route(ioapic, number);
	pin_update(ioapic, pin);
}

static uint64_t window_read(const struct ioapic *ioapic)
{
	uint32_t index = __atomic_load_n(&ioapic->select, __ATOMIC_RELAXED);

	switch (index) {
	case INDEX_ID:
	case INDEX_ARBITRATION:
		return ioapic->id;
	case INDEX_VERSION:
		return VERSION_20 | (IOAPIC_PINS - 1) << 16;
	default:
		if (index < INDEX_REDIRECTION || index >= INDEX_REDIRECTION + 2 * IOAPIC_PINS)
			return 0;
		index -= INDEX_REDIRECTION;
		return ioapic->pins[index / 2].rte >> (index & 1 ? 32 : 0) & ~0U;
	}
}

static void window_write(struct ioapic *ioapic, uint32_t value)
{
	uint32_t index = __atomic_load_n(&ioapic->select, __ATOMIC_RELAXED);

	if (index == INDEX_ID)
		ioapic->id = value & 0x0f000000;
	else if (index >= INDEX_REDIRECTION && index < INDEX_REDIRECTION + 2 * IOAPIC_PINS)
		pin_write(ioapic, (index - INDEX_REDIRECTION) / 2, index & 1, value);
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct ioapic *ioapic = opaque;
	uint64_t value = 0;

	if (offset == REG_SELECT)
		return __atomic_load_n(&ioapic->select, __ATOMIC_RELAXED) & mask_bytes(size);
	pthread_mutex_lock(&ioapic->lock);
	if (offset == REG_WINDOW)
		value = window_read(ioapic);
	pthread_mutex_unlock(&ioapic->lock);
	return value & mask_bytes(size);
}

COLD static void mmio_write_other(struct ioapic *ioapic, uint64_t offset, uint64_t value,
				  unsigned int size)
{
	pthread_mutex_lock(&ioapic->lock);
	if (offset == REG_WINDOW && size >= 4)
		window_write(ioapic, (uint32_t)value);
	pthread_mutex_unlock(&ioapic->lock);
}

HOT static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct ioapic *ioapic = opaque;

	if (offset == REG_SELECT)
		__atomic_store_n(&ioapic->select, value & 0xff, __ATOMIC_RELAXED);
	else if (offset == REG_EOI)
		ioapic_eoi(ioapic, (uint8_t)value);
	else
		mmio_write_other(ioapic, offset, value, size);
}

static const struct io_ops mmio_ops = { .read = mmio_read, .write = mmio_write };

int ioapic_create(struct ioapic **out, struct vm *vm, struct err *err)
{
	struct ioapic *ioapic = calloc(1, sizeof(*ioapic));
	struct io_region region = {
		.base = IOAPIC_BASE,
		.size = IOAPIC_SIZE,
		.ops = &mmio_ops,
		.opaque = ioapic,
		.name = "ioapic",
	};
	int ret;

	if (!ioapic)
		return err_set(err, ENOMEM, "no memory for the I/O APIC");
	ioapic->vm = vm;
	pthread_mutex_init(&ioapic->lock, NULL);
	pthread_mutex_init(&ioapic->hooks_lock, NULL);
	for (unsigned int i = 0; i < IOAPIC_PINS; i++)
		ioapic->pins[i].rte = RTE_MASKED;
	ret = iomap_add(vm_mmio(vm), &region);
	if (ret) {
		free(ioapic);
		return err_set(err, -ret, "the I/O APIC's place %#llx is taken", IOAPIC_BASE);
	}
	*out = ioapic;
	return 0;
}

void ioapic_destroy(struct ioapic *ioapic)
{
	if (!ioapic)
		return;
	iomap_remove(vm_mmio(ioapic->vm), IOAPIC_BASE, ioapic);
	epoch_wait(vm_epoch(ioapic->vm));
	pthread_mutex_destroy(&ioapic->lock);
	pthread_mutex_destroy(&ioapic->hooks_lock);
	free(ioapic);
}

void ioapic_wire(struct ioapic *ioapic, unsigned int pin, bool active_low)
{
	pthread_mutex_lock(&ioapic->lock);
	ioapic->pins[pin].active_low = active_low;
	ioapic->pins[pin].was_active = pin_active(&ioapic->pins[pin]);
	pthread_mutex_unlock(&ioapic->lock);
}

int irq_line_open(struct irq_line **out, struct ioapic *ioapic, unsigned int pin,
		  void (*unmask)(void *opaque), void *opaque)
{
	struct irq_line *line;

	if (pin >= IOAPIC_PINS)
		return -EINVAL;
	line = calloc(1, sizeof(*line));
	if (!line)
		return -ENOMEM;
	*line = (struct irq_line){
		.ioapic = ioapic,
		.pin = pin,
		.unmask = unmask,
		.opaque = opaque,
	};
	pthread_mutex_lock(&ioapic->hooks_lock);
	pthread_mutex_lock(&ioapic->lock);
	line->next = ioapic->pins[pin].lines;
	ioapic->pins[pin].lines = line;
	pthread_mutex_unlock(&ioapic->lock);
	pthread_mutex_unlock(&ioapic->hooks_lock);
	*out = line;
	return 0;
}

void irq_line_close(struct irq_line *line)
{
	struct ioapic *ioapic;
	struct pin *pin;

	if (!line)
		return;
	ioapic = line->ioapic;
	pin = &ioapic->pins[line->pin];
	pthread_mutex_lock(&ioapic->hooks_lock);
	pthread_mutex_lock(&ioapic->lock);
	for (struct irq_line **link = &pin->lines; *link; link = &(*link)->next) {
		if (*link == line) {
			*link = line->next;
			break;
		}
	}
	pin_update(ioapic, pin);
	pthread_mutex_unlock(&ioapic->lock);
	pthread_mutex_unlock(&ioapic->hooks_lock);
	free(line);
}

void irq_line_set(struct irq_line *line, bool asserted)
{
	struct ioapic *ioapic = line->ioapic;

	pthread_mutex_lock(&ioapic->lock);
	if (line->asserted != asserted) {
		line->asserted = asserted;
		pin_update(ioapic, &ioapic->pins[line->pin]);
	}
	pthread_mutex_unlock(&ioapic->lock);
}

/*
 * Hooks run without ioapic->lock, for they may end in irq_line_set; the list stays still because
 * opening and closing lines take hooks_lock too.
 */
static void run_hooks(struct ioapic *ioapic, unsigned int number)
{
	for (struct irq_line *l = ioapic->pins[number].lines; l; l = l->next) {
		if (l->unmask)
			l->unmask(l->opaque);
	}
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
	pthread_mutex_lock(&ioapic->hooks_lock);
	for (unsigned int i = 0; i < IOAPIC_PINS; i++) {
		struct pin *pin = &ioapic->pins[i];
		bool ours;

		pthread_mutex_lock(&ioapic->lock);
		ours = (pin->rte & RTE_VECTOR) == vector && pin->rte & RTE_REMOTE_IRR;
		if (ours) {
			pin->rte &= ~RTE_REMOTE_IRR;
			if (pin->rte & RTE_MASKED)
				pin_route(ioapic, i);
		}
		pthread_mutex_unlock(&ioapic->lock);
		if (!ours)
			continue;
		run_hooks(ioapic, i);
		pthread_mutex_lock(&ioapic->lock);
		pin_update(ioapic, pin);
		pthread_mutex_unlock(&ioapic->lock);
	}
	pthread_mutex_unlock(&ioapic->hooks_lock);
}

/* --- saved guests ---------------------------------------------------------------------------- */

void irq_line_restore(struct irq_line *line, bool asserted)
{
	pthread_mutex_lock(&line->ioapic->lock);
	line->asserted = asserted;
	line->ioapic->pins[line->pin].was_active = pin_active(&line->ioapic->pins[line->pin]);
	pthread_mutex_unlock(&line->ioapic->lock);
}

void ioapic_save(struct ioapic *ioapic, struct state_out *out)
{
	pthread_mutex_lock(&ioapic->lock);
	state_begin(out, 1, "ioapic");
	state_put(out, __atomic_load_n(&ioapic->select, __ATOMIC_RELAXED));
	state_put(out, ioapic->id);
	for (unsigned int i = 0; i < IOAPIC_PINS; i++)
		state_put(out, ioapic->pins[i].rte);
	state_end(out);
	pthread_mutex_unlock(&ioapic->lock);
}

int ioapic_load(struct ioapic *ioapic, struct state_in *in)
{
	uint64_t rte[IOAPIC_PINS];
	uint32_t select, id;
	int ret;

	state_enter(in, 1, "ioapic");
	select = (uint32_t)state_take(in, 0xff);
	id = (uint32_t)state_take(in, 0x0f000000);
	for (unsigned int i = 0; i < IOAPIC_PINS; i++) {
		rte[i] = state_take(in, UINT64_MAX);
		if (rte[i] & ~(RTE_WRITABLE | RTE_REMOTE_IRR) ||
		    (rte[i] & RTE_REMOTE_IRR && !(rte[i] & RTE_LEVEL)))
			state_refuse(in, "pin %u cannot hold %#llx", i, (unsigned long long)rte[i]);
	}
	ret = state_leave(in);
	if (ret)
		return ret;
	pthread_mutex_lock(&ioapic->lock);
	__atomic_store_n(&ioapic->select, select, __ATOMIC_RELAXED);
	ioapic->id = id & 0x0f000000;
	for (unsigned int i = 0; i < IOAPIC_PINS; i++) {
		ioapic->pins[i].rte = rte[i];
		ioapic->pins[i].was_active = pin_active(&ioapic->pins[i]);
		pin_route(ioapic, i);
	}
	pthread_mutex_unlock(&ioapic->lock);
	return 0;
}
