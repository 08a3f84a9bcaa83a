/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting a virtual DSA together and taking it apart: the options, the PCI function around the
 * register model, the device in the I/O address space context, pause, and counters.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ioasid-client/pasid-table.h"
#include "kvm-glue/vm.h"
#include "passthrough/adi/dsa-internal.h"
#include "passthrough/adi/dsa-memory.h"
#include "util/bits.h"

static bool id_ok(const char *id)
{
	size_t len = id ? strlen(id) : 0;

	for (size_t i = 0; i < len; i++) {
		if (id[i] < 0x20 || id[i] > 0x7e)
			return false;
	}
	return len && len < sizeof(((struct dsa *)0)->id);
}

static int check_options(const struct dsa_options *options, struct err *err)
{
	unsigned int total = 0;

	if (!id_ok(options->id))
		return err_set(err, EINVAL, "the id of an ADI has 1 to 63 printable characters");
	if (!options->wqs || options->wqs > DSA_MAX_WQS)
		return err_set(err, EINVAL, "%s: %u work queues: 1 to %u are possible", options->id,
			       options->wqs, DSA_MAX_WQS);
	if (!options->engines || options->engines > DSA_MAX_ENGINES)
		return err_set(err, EINVAL, "%s: %u engines: 1 to %u are possible", options->id,
			       options->engines, DSA_MAX_ENGINES);
	for (unsigned int i = 0; i < options->wqs; i++) {
		unsigned int size = options->wq[i].size;

		if (!size || size > DSA_MAX_WQ_SIZE - total)
			return err_set(err, EINVAL,
				       "%s: work queue %u of %u entries: at least 1, and %u are "
				       "left of %u for all queues",
				       options->id, i, size, DSA_MAX_WQ_SIZE - total,
				       DSA_MAX_WQ_SIZE);
		total += size;
		if (options->wq[i].threshold > size)
			return err_set(err, EINVAL,
				       "%s: work queue %u has %u entries; its threshold of %u is "
				       "past them",
				       options->id, i, size, options->wq[i].threshold);
		if (options->wq[i].group >= options->engines)
			return err_set(err, EINVAL,
				       "%s: work queue %u is in group %u; with %u engines there "
				       "are groups 0 to %u",
				       options->id, i, options->wq[i].group, options->engines,
				       options->engines - 1);
	}
	if (options->backend != DSA_BACKEND_SOFT && !options->host.reach)
		return err_set(err, EINVAL, "%s: nobody says what its spaces map", options->id);
	if (options->backend == DSA_BACKEND_VFIO && !options->host.port)
		return err_set(err, EINVAL, "%s: no DSA function was given to it", options->id);
	if (options->pasid.allow &&
	    (!options->pasid.width || options->pasid.width > PASID_MAX_WIDTH))
		return err_set(err, EINVAL, "%s: PASIDs of %u bits: 1 to %u are possible",
			       options->id, options->pasid.width, PASID_MAX_WIDTH);
	return 0;
}

static const struct {
	const struct dsa_backend_ops *ops;
	const char *isolation;
} backends[] = {
	[DSA_BACKEND_SOFT] = { &dsa_soft_backend, "software-checked" },
	[DSA_BACKEND_IDXD] = { &dsa_idxd_backend, "iommu-pasid" },
	[DSA_BACKEND_VFIO] = { &dsa_vfio_backend, "iommu-pasid" },
};

const char *dsa_backend_name(enum dsa_backend backend)
{
	return backends[backend].ops->name;
}

const char *dsa_backend_isolation(enum dsa_backend backend)
{
	return backends[backend].isolation;
}

static void take_backend(struct dsa *dsa, const struct dsa_backend_ops *backend)
{
	dsa->backend = backend;
	dsa->gencap = backend->gencap;
	dsa->max_batch_shift = backend->max_batch_shift;
	for (unsigned int i = 0; i < ARRAY_SIZE(dsa->opcap); i++)
		dsa->opcap[i] = backend->opcap(i);
}

static struct dsa *dsa_new(struct ioasid_ctx *ctx, const struct dsa_options *options)
{
	struct dsa *dsa = calloc(1, sizeof(*dsa));
	pthread_condattr_t attr;

	if (!dsa)
		return NULL;
	snprintf(dsa->id, sizeof(dsa->id), "%s", options->id);
	dsa->ctx = ctx;
	dsa->log = options->log;
	dsa->sandbox = options->sandbox;
	dsa->spawner = options->spawner;
	dsa->wqs = options->wqs;
	dsa->engines = options->engines;
	dsa->gate.allow = options->pasid.allow;
	dsa->gate.width = options->pasid.allow ? (uint8_t)options->pasid.width : 0;
	dsa->fixed = options->fixed;
	dsa->interrupt_handles = options->interrupt_handles;
	dsa->event_log = options->event_log;
	dsa->host = options->host;
	if (dsa->host.port)
		dsa->losses = dsa->host.port->losses(dsa->host.port->arg);
	dsa->open = !options->pasid.allow && options->backend == DSA_BACKEND_SOFT;
	take_backend(dsa, backends[options->backend].ops);
	dsa->stream_from = dsa_stream_from();
	for (unsigned int i = 0; i < dsa->wqs; i++) {
		unsigned int size = options->wq[i].size, threshold = options->wq[i].threshold;

		dsa->shape[i].size = size;
		dsa->shape[i].shared = options->wq[i].shared;
		dsa->shape[i].threshold = threshold ? threshold : size;
		dsa->shape[i].group = options->wq[i].group;
		dsa->total_size += size;
	}
	pthread_mutex_init(&dsa->keys, NULL);
	pthread_mutex_init(&dsa->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&dsa->rest, &attr);
	pthread_condattr_destroy(&attr);
	dsa_registers_reset(dsa, DSA_RESET_COLD);
	return dsa;
}

/* Engines first: what they use goes after them. Outside any section of the VM. */
static void dsa_free(struct dsa *dsa)
{
	if (dsa->job) {
		dsa_reset(dsa);
		dsa->backend->stop(dsa);
	}
	dsa_pasids_destroy(dsa);
	if (dsa->log_dma)
		ioasid_dma_close(dsa->log_dma);
	if (dsa->device)
		ioasid_unbind(dsa->device);
	dsa_jobs_destroy(dsa);
	for (unsigned int i = 0; i < dsa->wqs; i++)
		dsa_gather_free(&dsa->wq[i]);
	pthread_cond_destroy(&dsa->rest);
	pthread_mutex_destroy(&dsa->lock);
	pthread_mutex_destroy(&dsa->keys);
	free(dsa);
}

static void function_reset(void *opaque)
{
	dsa_reset(opaque);
}

static void function_free(void *opaque)
{
	dsa_free(opaque);
}

static const struct pci_ops function_ops = { .reset = function_reset, .free = function_free };

/* Default bindings need host PASIDs also where the guest may use none of its own. */
static int bind_device(struct dsa *dsa, struct ioasid_space *space, struct err *err)
{
	const struct ioasid_source source = {
		.type = IOASID_SOURCE_SOFT,
		.soft = { .pasid_width = PASID_MAX_WIDTH,
			  .snoop_enforced = true,
			  .page_requests = true },
	};
	int ret = ioasid_bind(dsa->ctx, &source, dsa->id, &dsa->device, err);

	if (!ret && dsa->open)
		ret = ioasid_attach(dsa->device, space, err);
	if (!ret && dsa->event_log)
		ret = ioasid_dma_open(dsa->ctx, &dsa->log_dma, err);
	return ret;
}

/* The MSI-X structures lie in the part of BAR0 that no register uses. */
static int shape_function(struct dsa *dsa, struct err *err)
{
	uint64_t portals = DSA_WQ_PORTALS;
	int ret;

	while (portals < (uint64_t)dsa->wqs * DSA_WQ_PORTALS)
		portals *= 2;
	ret = pci_function_bar(dsa->function, DSA_BAR_REGISTERS, PCI_BAR_MEM64, false,
			       DSA_REGISTERS_SIZE, &dsa_register_ops, dsa, err);
	if (!ret)
		ret = pci_function_bar(dsa->function, DSA_BAR_PORTALS, PCI_BAR_MEM64, false,
				       portals, &dsa_portal_ops, dsa, err);
	if (!ret)
		ret = pci_function_msix(dsa->function, 1 + dsa->wqs, DSA_BAR_REGISTERS,
					DSA_MSIX_TABLE, DSA_MSIX_PBA, err);
	if (!ret)
		ret = pci_function_express(dsa->function, err);
	return ret;
}

static int make_function(struct dsa *dsa, struct err *err)
{
	const struct pci_id id = {
		.vendor = DSA_VENDOR_ID,
		.device = DSA_DEVICE_ID,
		.subsystem_vendor = DSA_VENDOR_ID,
		.class_code = DSA_CLASS_CODE,
	};

	return pci_function_create(&dsa->function, dsa->id, &id, &function_ops, dsa, err);
}

int dsa_create_apart(struct dsa **out, struct epoch *epoch, struct ioasid_ctx *ctx,
		     struct ioasid_space *default_space, const struct dsa_options *options,
		     struct err *err)
{
	struct dsa *dsa;
	int ret = check_options(options, err);

	if (ret)
		return ret;
	dsa = dsa_new(ctx, options);
	if (!dsa)
		return err_set(err, ENOMEM, "%s: no memory for a DSA function", options->id);
	ret = dsa_jobs_create(dsa, err);
	if (!ret)
		ret = pasid_table_create(&dsa->table, epoch, err);
	if (!ret)
		ret = bind_device(dsa, default_space, err);
	if (!ret)
		ret = make_function(dsa, err);
	if (ret) {
		dsa_free(dsa);
		return ret;
	}
	ret = shape_function(dsa, err);
	if (ret) {
		pci_function_destroy(dsa->function);
		return ret;
	}
	*out = dsa;
	return 0;
}

int dsa_create(struct dsa **out, struct vm *vm, struct ioasid_ctx *ctx,
	       struct ioasid_space *default_space, const struct dsa_options *options,
	       struct err *err)
{
	return dsa_create_apart(out, vm_epoch(vm), ctx, default_space, options, err);
}

struct pci_function *dsa_function(struct dsa *dsa)
{
	return dsa->function;
}

/* --- pause ----------------------------------------------------------------------------------- */

void dsa_engines_stop(struct dsa *dsa)
{
	pthread_mutex_lock(&dsa->lock);
	dsa->resting++;
	/* An unbind that waits for queued descriptors must not wait for the pause to end. */
	pthread_cond_broadcast(&dsa->rest);
	while (dsa->running)
		pthread_cond_wait(&dsa->rest, &dsa->lock);
	pthread_mutex_unlock(&dsa->lock);
}

void dsa_engines_start(struct dsa *dsa)
{
	pthread_mutex_lock(&dsa->lock);
	if (dsa->resting && !--dsa->resting)
		dsa->backend->kick(dsa);
	pthread_mutex_unlock(&dsa->lock);
}

/* --- counters -------------------------------------------------------------------------------- */

static uint64_t counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void read_depth(struct dsa *dsa, struct dsa_counters *counters)
{
	pthread_mutex_lock(&dsa->lock);
	for (unsigned int i = 0; i < dsa->wqs; i++)
		counters->queued += dsa->wq[i].queued;
	counters->running = dsa->running;
	pthread_mutex_unlock(&dsa->lock);
}

void dsa_counters_read(struct dsa *dsa, struct dsa_counters *counters)
{
	*counters = (struct dsa_counters){
		.accepted = counted(&dsa->counters.accepted),
		.completed = counted(&dsa->counters.completed),
		.failed = counted(&dsa->counters.failed),
		.aborted = counted(&dsa->counters.aborted),
		.refused_key = counted(&dsa->gate.count[PASID_REFUSE_KEY]),
		.refused_width = counted(&dsa->gate.count[PASID_REFUSE_WIDTH]),
		.refused_unbound = counted(&dsa->gate.count[PASID_REFUSE_UNBOUND]),
		.faults = counted(&dsa->counters.faults),
		.dropped = counted(&dsa->counters.dropped),
		.retried = counted(&dsa->counters.retried),
		.bytes = counted(&dsa->counters.bytes),
		.without_pasid = counted(&dsa->counters.without_pasid),
		.interrupts = pci_function_interrupts(dsa->function),
	};
	read_depth(dsa, counters);
}
