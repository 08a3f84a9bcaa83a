/* SPDX-License-Identifier: Apache-2.0 */
#include "passthrough/adi/dsa-local.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/adi/dsa-regs.h"
#include "passthrough/pci/pci.h"
#include "util/bits.h"
#include "util/epoch.h"

/* Above what any guest of x86-64 has as memory: 2^47. */
#define RECORDS_AT 0x7ffffff00000ULL

struct dsa_local {
	struct ioasid_ctx *ctx;
	struct ioasid_space *none; /* what the function reaches without a PASID */
	struct dsa *dsa;
	struct dsa_access access;
	struct epoch epoch;
	pthread_mutex_t lock; /* who is in a section: one reader for all threads */
	struct epoch_reader reader;
};

/* --- what its owner calls -------------------------------------------------------------------- */

static struct pci_function *function_of(struct dsa_local *local)
{
	return dsa_function(local->dsa);
}

static uint64_t local_read(void *arg, uint64_t offset, unsigned int size)
{
	uint8_t data[8] = { 0 };

	pci_export_bar_read(function_of(arg), DSA_BAR_REGISTERS, offset, data, size);
	return load_le(data, size);
}

static void local_write(void *arg, uint64_t offset, uint64_t value, unsigned int size)
{
	uint8_t data[8];

	store_le(data, value, sizeof(data));
	pci_export_bar_write(function_of(arg), DSA_BAR_REGISTERS, offset, data, size);
}

static void local_store64(void *arg, uint64_t offset, const void *bytes)
{
	struct dsa_local *local = arg;

	pthread_mutex_lock(&local->lock);
	epoch_enter(&local->epoch, &local->reader);
	pci_export_bar_write(function_of(local), DSA_BAR_PORTALS, offset, bytes, 64);
	epoch_exit(&local->reader);
	pthread_mutex_unlock(&local->lock);
}

static int local_reset(void *arg)
{
	const uint16_t on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	struct pci_function *function = function_of(arg);
	uint8_t command[2];

	store_le(command, on, sizeof(command));
	pci_export_reset(function);
	pci_export_config_write(function, PCI_COMMAND, command, sizeof(command));
	return 0;
}

/* A PASID of the function is one of its context: nothing is translated twice. */
static int local_attach(void *arg, uint32_t pasid, struct ioasid_space *space, struct err *err)
{
	struct dsa_local *local = arg;

	return dsa_pasid_bind(local->dsa, pasid, space, pasid, NULL, err);
}

static void local_detach(void *arg, uint32_t pasid)
{
	struct dsa_local *local = arg;

	(void)dsa_pasid_unbind(local->dsa, pasid, NULL);
}

/* --- what the function calls ----------------------------------------------------------------- */

/* Under the function's lock: a counter that is full says what there is to say. */
static void fire(void *opaque, unsigned int vector)
{
	const struct dsa_local *local = opaque;
	const uint64_t one = 1;

	if (!vector && write(local->access.interrupt, &one, sizeof(one)) < 0)
		return;
}

/* Its memory is mapped: no access of it waits for anybody. */
static void quiet(void *opaque, bool on)
{
}

static const struct pci_export_ops function_ops = { .fire = fire, .quiet = quiet };

/* --- life ------------------------------------------------------------------------------------ */

static int make_function(struct dsa_local *local, const struct dsa_local_options *from,
			 struct err *err)
{
	const struct ioasid_space_options none = { .name = "nothing" };
	struct dsa_options options = {
		.id = from->name,
		.wqs = from->queues,
		.engines = from->engines,
		.pasid = { .allow = true, .width = 20 },
		.log = from->log,
		.sandbox = from->sandbox,
	};
	struct pci_function *function;
	int ret;

	for (unsigned int i = 0; i < from->queues && i < DSA_MAX_WQS; i++)
		options.wq[i].size = DSA_MAX_WQ_SIZE / from->queues;
	ret = ioasid_ctx_open(&local->ctx, IOASID_PROVIDER_SOFT, NULL, err);
	if (!ret)
		ret = ioasid_alloc(local->ctx, &none, &local->none, err);
	if (!ret)
		ret = dsa_create_apart(&local->dsa, &local->epoch, local->ctx, local->none,
				       &options, err);
	if (ret)
		return ret;
	function = dsa_function(local->dsa);
	ret = pci_function_export(function, &function_ops, local, err);
	if (ret) {
		pci_function_destroy(function);
		local->dsa = NULL;
	}
	return ret;
}

int dsa_local_create(struct dsa_local **out, const struct dsa_local_options *options,
		     struct err *err)
{
	struct dsa_local *local = calloc(1, sizeof(*local));
	int ret;

	if (!local)
		return err_set(err, ENOMEM, "%s: no memory for a DSA function", options->name);
	epoch_init(&local->epoch);
	epoch_join(&local->epoch, &local->reader);
	pthread_mutex_init(&local->lock, NULL);
	local->access = (struct dsa_access){
		.read = local_read,
		.write = local_write,
		.store64 = local_store64,
		.reset = local_reset,
		.attach = local_attach,
		.detach = local_detach,
		.interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.record_iova = RECORDS_AT,
		.arg = local,
	};
	if (local->access.interrupt < 0)
		ret = err_set(err, errno, "%s: no eventfd: %s", options->name, strerror(errno));
	else
		ret = make_function(local, options, err);
	if (ret) {
		dsa_local_destroy(local);
		return ret;
	}
	*out = local;
	return 0;
}

void dsa_local_destroy(struct dsa_local *local)
{
	if (!local)
		return;
	if (local->dsa)
		pci_function_destroy(dsa_function(local->dsa));
	if (local->ctx)
		ioasid_ctx_close(local->ctx);
	if (local->access.interrupt >= 0)
		close(local->access.interrupt);
	epoch_leave(&local->epoch, &local->reader);
	epoch_destroy(&local->epoch);
	pthread_mutex_destroy(&local->lock);
	free(local);
}

const struct dsa_access *dsa_local_access(const struct dsa_local *local)
{
	return &local->access;
}

struct ioasid_ctx *dsa_local_ctx(const struct dsa_local *local)
{
	return local->ctx;
}

struct dsa *dsa_local_dsa(const struct dsa_local *local)
{
	return local->dsa;
}
