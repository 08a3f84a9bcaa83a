/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O APIC, in user space beside KVM's local APICs (split irqchip). Its redirection entries
 * are routed MSIs: that is how KVM knows which vectors need an EOI exit. A level-triggered pin is
 * delivered again after its EOI for as long as any source asserts it.
 *
 * Source: Intel 82093AA data sheet (290566), chapter 3; the EOI register is version 0x20's.
 */
#ifndef ADIT_KVM_GLUE_IOAPIC_H
#define ADIT_KVM_GLUE_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/state.h"

#define IOAPIC_BASE 0xfec00000ULL
#define IOAPIC_SIZE 0x1000ULL
#define IOAPIC_PINS 24

struct vm;
struct ioapic;
struct irq_line;

/* Registers itself in the VM's MMIO map at IOAPIC_BASE. vm_split_irqchip must have been called. */
int ioapic_create(struct ioapic **out, struct vm *vm, struct err *err);
/* All lines must be closed. */
void ioapic_destroy(struct ioapic *ioapic);

/* How the pin is wired: what ACPI tells the guest. A PCI line is active low. */
void ioapic_wire(struct ioapic *ioapic, unsigned int pin, bool active_low);

/*
 * One source on a pin; many may share it (wired-or). unmask, which may be NULL, is called with
 * opaque after the guest's EOI of a level interrupt on the pin, without any lock held, before the
 * pin is sampled again: a source that masked itself (VFIO INTx) opens here.
 * -EINVAL: no such pin.
 */
int irq_line_open(struct irq_line **out, struct ioapic *ioapic, unsigned int pin,
		  void (*unmask)(void *opaque), void *opaque);
/* Deasserts first. unmask is not running and will not run when it returns. */
void irq_line_close(struct irq_line *line);

/* Any thread. Edge pins deliver at each change from idle to asserted. */
void irq_line_set(struct irq_line *line, bool asserted);

/* Any thread: how many it has sent. Several sources may share a pin. */
uint64_t ioapic_interrupts(const struct ioapic *ioapic, unsigned int pin);

/* What the line was when it was saved; its pin does not see an edge in it. Before vCPUs run. */
void irq_line_restore(struct irq_line *line, bool asserted);

/*
 * The section "ioapic", while no vCPU runs. Loaded after the local APICs, and before the devices,
 * which restore their lines.
 */
void ioapic_save(struct ioapic *ioapic, struct state_out *out);
int ioapic_load(struct ioapic *ioapic, struct state_in *in);

/* KVM_EXIT_IOAPIC_EOI for this vector. Called by the vCPU loop. */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);

#endif
