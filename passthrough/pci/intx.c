/* SPDX-License-Identifier: Apache-2.0 */
/*
 * INTA#: a line into the I/O APIC that a function asserts, and the two bits of configuration space
 * that belong to it: Interrupt Disable holds it back, Interrupt Status shows what the function
 * wants either way.
 *
 * Locks: intx->lock lies below the bus's and below the I/O APIC's hooks, so that a device may
 * change its line from its unmask hook.
 *
 * Source: PCI Express Base 6.0 sections 6.1.2, 7.5.1.1.3, 7.5.1.1.4.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>

#include "kvm-glue/ioapic.h"
#include "passthrough/pci/internal.h"

#define INTX_LINES 4u
#define PIN_INTA   1u

int pci_function_intx(struct pci_function *function, void (*unmask)(void *opaque), void *opaque,
		      struct err *err)
{
	struct pci_intx *intx;
	int ret = pci_function_check_unplugged(function, err);

	if (ret)
		return ret;
	if (function->intx)
		return err_set(err, EEXIST, "%s has an interrupt line already", function->name);
	intx = calloc(1, sizeof(*intx));
	if (!intx)
		return err_set(err, ENOMEM, "%s: no memory for its interrupt line", function->name);
	intx->unmask = unmask;
	intx->opaque = opaque;
	pthread_mutex_init(&intx->lock, NULL);
	function->intx = intx;
	function->config[PCI_INTERRUPT_PIN] = PIN_INTA;
	return 0;
}

void pci_intx_free(struct pci_intx *intx)
{
	if (!intx)
		return;
	pthread_mutex_destroy(&intx->lock);
	free(intx);
}

int pci_intx_plug(struct pci_function *function, struct err *err)
{
	const struct pci_bus_options *o = &function->bus->options;
	struct pci_intx *intx = function->intx;
	int ret;

	if (!intx)
		return 0;
	if (!o->ioapic)
		return err_set(err, ENOTSUP, "%s: this bus has no interrupt lines", function->name);
	ret = irq_line_open(&intx->line, o->ioapic, o->intx_pin + function->slot % INTX_LINES,
			    intx->unmask, intx->opaque);
	if (ret)
		return err_set(err, -ret, "%s: no interrupt line for slot %u", function->name,
			       function->slot);
	return 0;
}

void pci_intx_unplug(struct pci_function *function)
{
	struct pci_intx *intx = function->intx;
	struct irq_line *line;

	if (!intx)
		return;
	pthread_mutex_lock(&intx->lock);
	line = intx->line;
	intx->line = NULL;
	pthread_mutex_unlock(&intx->lock);
	irq_line_close(line);
}

static bool is_quiet(const struct pci_function *function)
{
	uint16_t command = __atomic_load_n(&function->command, __ATOMIC_ACQUIRE);

	return command & PCI_COMMAND_INTX_DISABLE ||
	       __atomic_load_n(&function->blocked, __ATOMIC_ACQUIRE);
}

/* With intx->lock held. */
static void drive(struct pci_function *function)
{
	if (function->intx->line)
		irq_line_set(function->intx->line, function->intx->asserted && !is_quiet(function));
}

void pci_function_intx_set(struct pci_function *function, bool asserted)
{
	struct pci_intx *intx = function->intx;

	if (!intx)
		return;
	pthread_mutex_lock(&intx->lock);
	intx->asserted = asserted;
	drive(function);
	pthread_mutex_unlock(&intx->lock);
}

void pci_function_intx_restore(struct pci_function *function, bool asserted)
{
	struct pci_intx *intx = function->intx;

	if (!intx)
		return;
	pthread_mutex_lock(&intx->lock);
	intx->asserted = asserted;
	if (intx->line)
		irq_line_restore(intx->line, asserted && !is_quiet(function));
	pthread_mutex_unlock(&intx->lock);
}

void pci_intx_apply(struct pci_function *function)
{
	if (!function->intx)
		return;
	pthread_mutex_lock(&function->intx->lock);
	drive(function);
	pthread_mutex_unlock(&function->intx->lock);
}

void pci_intx_refresh(struct pci_function *function)
{
	uint8_t *status = function->config + PCI_STATUS;

	if (!function->intx)
		return;
	pthread_mutex_lock(&function->intx->lock);
	*status &= (uint8_t)~PCI_STATUS_INTERRUPT;
	if (function->intx->asserted)
		*status |= PCI_STATUS_INTERRUPT;
	pthread_mutex_unlock(&function->intx->lock);
}
