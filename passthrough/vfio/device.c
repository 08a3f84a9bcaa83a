/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An assigned function's life: read, shaped, given to the PCI core, and taken apart when the core
 * lets go of it.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>

#include "passthrough/vfio/internal.h"
#include "util/bits.h"

/* No vCPU reaches it and no vector is open: nothing is left but to let go of everything. */
static void free_function(void *opaque)
{
	struct vfio_function *f = opaque;

	vfio_config_command(f, false);
	vfio_irqs_destroy(f);
	vfio_doorbells_destroy(f);
	vfio_peers_destroy(f);
	vfio_bars_unmap(f);
	pthread_mutex_destroy(&f->intx.lock);
	free(f);
}

static const struct pci_ops ops = {
	.config_written = vfio_config_written,
	.config_read = vfio_config_passed_read,
	.config_write = vfio_config_passed_write,
	.reset = vfio_reset_by_guest,
	.free = free_function,
	.carried = true, /* saved.c, of those whose driver can */
};

static int make_pci(struct vfio_function *f, struct err *err)
{
	const uint8_t *c = f->config.bytes;
	const struct pci_id id = {
		.vendor = (uint16_t)load_le(c + PCI_VENDOR_ID, 2),
		.device = (uint16_t)load_le(c + PCI_DEVICE_ID, 2),
		.subsystem_vendor = (uint16_t)load_le(c + PCI_SUBSYSTEM_VENDOR_ID, 2),
		.subsystem_device = (uint16_t)load_le(c + PCI_SUBSYSTEM_ID, 2),
		.class_code = (uint32_t)load_le(c + PCI_CLASS_PROG, 3),
		.revision = c[PCI_REVISION_ID],
	};

	return pci_function_create(&f->pci, f->name, &id, &ops, f, err);
}

/* With f->pci made. */
static int shape(struct vfio_function *f, const struct vfio_options *options, struct err *err)
{
	const uint8_t *c = f->config.bytes;
	unsigned int quirks = vfio_quirks((uint16_t)load_le(c + PCI_VENDOR_ID, 2),
					  (uint16_t)load_le(c + PCI_DEVICE_ID, 2));
	int ret = vfio_bars_create(f, options->rom && !(quirks & VFIO_QUIRK_NO_ROM), err);

	if (!ret)
		ret = vfio_irqs_create(f, err);
	if (!ret)
		ret = vfio_config_capabilities(f, err);
	if (!ret)
		vfio_config_sync(f);
	if (!ret)
		ret = vfio_bars_map(f, err);
	if (!ret)
		vfio_irqs_start(f);
	return ret;
}

int vfio_function_create(struct vfio_function **out, struct vm *vm,
			 const struct vfio_options *options, struct err *err)
{
	struct vfio_function *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return err_set(err, ENOMEM, "%s: no memory for the device", options->name);
	snprintf(f->name, sizeof(f->name), "%s", options->name);
	f->fd = options->fd;
	f->sys = options->sys ? options->sys : &vfio_sys_kernel;
	f->vm = vm;
	f->loop = options->loop;
	f->log = options->log;
	f->event = options->event;
	f->dma = options->dma;
	f->opaque = options->opaque;
	f->no_snoop = options->no_snoop;
	f->peers = options->peers;
	f->intx.watch.fd = f->error.fd = f->removal.fd = -1;
	pthread_mutex_init(&f->intx.lock, NULL);
	pthread_mutex_init(&f->bells.lock, NULL);

	ret = vfio_get_info(f, err);
	if (!ret)
		ret = vfio_config_read(f, err);
	if (!ret)
		ret = vfio_reset_choose(f, options, err);
	if (!ret)
		ret = make_pci(f, err);
	if (ret) {
		pthread_mutex_destroy(&f->bells.lock);
		pthread_mutex_destroy(&f->intx.lock);
		free(f);
		return ret;
	}
	ret = shape(f, options, err);
	if (ret) {
		pci_function_destroy(f->pci);
		return ret;
	}
	*out = f;
	return 0;
}

struct pci_function *vfio_function_pci(const struct vfio_function *function)
{
	return function->pci;
}
