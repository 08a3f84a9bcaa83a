/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile guest can do to the I/O APIC, the RTC and the power registers: any sequence of
 * accesses of any width, lines that go up and down in between, and EOIs of any vector. The VM is
 * a stand-in that checks what would reach KVM.
 */
#include <stdlib.h>

#include "kvm-glue/ioapic.h"
#include "kvm-glue/irq.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"
#include "vmm/power.h"
#include "vmm/rtc.h"

#define LINES 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct vm {
	struct epoch epoch;
	struct iomap mmio, pio;
	struct epoch_reader reader;
	unsigned int sent, messages; /* since the last input byte, in all */
};

struct epoch *vm_epoch(struct vm *vm)
{
	return &vm->epoch;
}

struct iomap *vm_mmio(struct vm *vm)
{
	return &vm->mmio;
}

struct iomap *vm_pio(struct vm *vm)
{
	return &vm->pio;
}

int msi_send(struct vm *vm, const struct msi_message *msi)
{
	if (msi->address >> 20 != 0xfee)
		abort();
	/* One access cannot cause more messages than there are pins. */
	if (++vm->sent > IOAPIC_PINS)
		abort();
	vm->messages++;
	return 1;
}

void gsi_set_msi(struct vm *vm, uint32_t gsi, const struct msi_message *msi)
{
	if (gsi >= IOAPIC_PINS || (msi && msi->address >> 20 != 0xfee))
		abort();
}

int gsi_commit(struct vm *vm, struct err *err)
{
	return 0;
}

static void on_stop(void *arg, enum power_reason reason, uint32_t value)
{
	if (reason != POWER_DEBUG_EXIT && value)
		abort();
}

static void on_eject(void *arg, unsigned int slot)
{
	if (slot < 1 || slot > 31)
		abort();
}

static void on_pulse(void *opaque)
{
	irq_line_set(opaque, true);
	irq_line_set(opaque, false);
}

static struct timespec fixed_time(void *opaque)
{
	return (struct timespec){ .tv_sec = 1790000000 };
}

struct bench {
	struct vm vm;
	struct ioapic *ioapic;
	struct irq_line *lines[LINES];
	struct rtc *rtc;
	struct power *power;
};

/* Eight bytes an action: what, width and direction, place, value. */
static void act(struct bench *b, const uint8_t *p)
{
	static const uint16_t ports[] = { 0x70, 0x71,  0x64,  0xcf8, 0xcf9,
					  0xf4, 0x600, 0x604, 0x608, 0x610 };
	unsigned int len = 1 + (p[1] & 7), line = p[2] % LINES;
	uint64_t value = load_le(p + 3, 4), mmio = IOAPIC_BASE + (p[2] & 0x5f);
	uint64_t port = ports[p[2] % ARRAY_SIZE(ports)] + (p[7] & 3);
	bool write = p[1] & 0x80;

	b->vm.sent = 0;
	switch (p[0] % 5) {
	case 0:
		epoch_enter(&b->vm.epoch, &b->vm.reader);
		if (write)
			iomap_write(&b->vm.mmio, mmio, &value, len);
		else
			iomap_read(&b->vm.mmio, mmio, &value, len);
		epoch_exit(&b->vm.reader);
		break;
	case 1:
		epoch_enter(&b->vm.epoch, &b->vm.reader);
		if (write)
			iomap_write(&b->vm.pio, port, &value, MIN(len, 4u));
		else
			iomap_read(&b->vm.pio, port, &value, MIN(len, 4u));
		epoch_exit(&b->vm.reader);
		break;
	case 2:
		irq_line_set(b->lines[line], write);
		break;
	case 3:
		ioapic_eoi(b->ioapic, p[2]);
		break;
	default:
		if (write)
			power_button_press(b->power);
		else
			power_hotplug_notify(b->power, 1 + p[2] % 31, p[3] & 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct power_ops ops = { .stop = on_stop, .eject = on_eject };
	struct bench b = { .rtc = NULL };
	struct power_wiring wiring = { .pio = &b.vm.pio, .pulse = on_pulse };

	epoch_init(&b.vm.epoch);
	epoch_join(&b.vm.epoch, &b.vm.reader);
	if (iomap_init(&b.vm.mmio, &b.vm.epoch) || iomap_init(&b.vm.pio, &b.vm.epoch) ||
	    ioapic_create(&b.ioapic, &b.vm, NULL))
		abort();
	for (unsigned int i = 0; i < LINES; i++) {
		if (irq_line_open(&b.lines[i], b.ioapic, i ? 16 : 9, NULL, NULL))
			abort();
	}
	ioapic_wire(b.ioapic, 16, true);
	wiring.opaque = b.lines[0];
	if (rtc_open(&b.rtc, &b.vm.pio, fixed_time, NULL, NULL) ||
	    power_open(&b.power, &wiring, &ops, &b, true, NULL, NULL))
		abort();
	for (; size >= 8; data += 8, size -= 8)
		act(&b, data);
	power_destroy(b.power);
	rtc_destroy(b.rtc);
	b.vm.sent = 0;
	for (unsigned int i = 0; i < LINES; i++)
		irq_line_close(b.lines[i]);
	ioapic_destroy(b.ioapic);
	epoch_leave(&b.vm.epoch, &b.vm.reader);
	iomap_destroy(&b.vm.mmio);
	iomap_destroy(&b.vm.pio);
	epoch_destroy(&b.vm.epoch);
	return 0;
}
