/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/adis.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/adi/dsa.h"
#include "passthrough/pci/pci.h"
#include "util/bits.h"
#include "vmm/config.h"
#include "vmm/guest-space.h"
#include "vmm/hot-ram.h"
#include "vmm/layout.h"
#include "vmm/ram.h"

struct adi {
	const char *id;
	struct dsa *dsa;
};

struct adis {
	struct vm *vm;
	const struct ram *ram;
	struct hot_ram *hot;
	const struct layout *layout;
	struct pci_bus *bus;
	struct ioasid_ctx *ctx;	      /* NULL before the first ADI */
	struct ioasid_space *guest;   /* all of RAM */
	struct ioasid_space **spaces; /* as config->spaces */
	const struct config *config;
	const struct log *log;
	const struct sandbox *sandbox;
	struct idxd_spawner *spawner;
	/* Who is there changes on the thread that makes machines only; others look. */
	pthread_mutex_t lock;
	bool open;	    /* the spaces are there, and all of them */
	unsigned int stops; /* of the engines; one that comes meanwhile has them as well */
	size_t count;
	struct adi all[CONFIG_MAX_ADIS];
};

/* Maps what of [offset, offset + size) is RAM; *mapped receives how much that was. */
static int map_window(struct ioasid_space *space, const struct ram *ram,
		      const struct layout *layout, uint64_t offset, uint64_t size,
		      unsigned int rights, uint64_t *mapped, struct err *err)
{
	*mapped = 0;
	for (unsigned int i = 0; i < layout->n_ram; i++) {
		const struct layout_ram *r = &layout->ram[i];
		uint64_t first = MAX(offset, r->gpa);
		uint64_t end = MIN(offset + size, r->gpa + r->size);
		uint64_t at = r->offset + (first - r->gpa);
		const struct ioasid_mapping mapping = {
			.iova = first,
			.size = end - first,
			.hva = (char *)ram->base + at,
			.rights = rights,
			.fd = ram->fd,
			.fd_offset = at,
		};
		int ret;

		if (first >= end)
			continue;
		ret = ioasid_map(space, &mapping, err);
		if (ret)
			return ret;
		*mapped += end - first;
	}
	return 0;
}

static int make_guest_space(struct adis *adis, const struct ram *ram, const struct layout *layout,
			    struct err *err)
{
	const struct ioasid_space_options options = { .name = "guest", .pasid_capable = true };
	const struct layout_ram *last = &layout->ram[layout->n_ram - 1];
	uint64_t mapped;
	int ret = ioasid_alloc(adis->ctx, &options, &adis->guest, err);

	if (ret)
		return ret;
	return map_window(adis->guest, ram, layout, 0, last->gpa + last->size,
			  IOASID_READ | IOASID_WRITE, &mapped, err);
}

static int make_window(struct adis *adis, size_t index, const struct ram *ram,
		       const struct layout *layout, struct err *err)
{
	const struct config_space *window = &adis->config->spaces[index];
	const struct ioasid_space_options options = { .name = window->id, .pasid_capable = true };
	unsigned int rights = IOASID_READ | (window->write ? IOASID_WRITE : 0);
	uint64_t mapped;
	int ret = ioasid_alloc(adis->ctx, &options, &adis->spaces[index], err);

	if (ret)
		return ret;
	ret = map_window(adis->spaces[index], ram, layout, window->offset, window->size, rights,
			 &mapped, err);
	if (!ret && mapped != window->size)
		ret = err_set(
			err, EINVAL,
			"/spaces/%zu: %#llx + %#llx is not all RAM: %#llx bytes of it are (RAM "
			"leaves out the hole below 4 GiB and reserved ranges)",
			index, (unsigned long long)window->offset, (unsigned long long)window->size,
			(unsigned long long)mapped);
	return ret;
}

/* What a space maps: as map_window did. */
static int what_it_maps(void *arg, const struct ioasid_space *space, struct dsa_piece *pieces,
			unsigned int *n, struct err *err)
{
	const struct adis *adis = arg;
	uint64_t offset = 0, end = UINT64_MAX;
	bool write = true;

	for (size_t i = 0; i < adis->config->n_spaces; i++) {
		const struct config_space *window = &adis->config->spaces[i];

		if (adis->spaces[i] != space)
			continue;
		offset = window->offset;
		end = window->offset + window->size;
		write = window->write;
	}
	if (adis->ram->fd < 0)
		return err_set(
			err, EOPNOTSUPP,
			"the memory of a VM that goes on from a snapshot has no descriptor for "
			"another process");
	*n = 0;
	for (unsigned int i = 0; i < adis->layout->n_ram; i++) {
		const struct layout_ram *r = &adis->layout->ram[i];
		uint64_t first = MAX(offset, r->gpa), past = MIN(end, r->gpa + r->size);

		if (first >= past)
			continue;
		if (*n == DSA_MAX_PIECES)
			return err_set(err, E2BIG, "space %s is in more than %u pieces",
				       ioasid_space_name(space), DSA_MAX_PIECES);
		pieces[(*n)++] = (struct dsa_piece){
			.iova = first,
			.size = past - first,
			.fd = adis->ram->fd,
			.fd_offset = r->offset + (first - r->gpa),
			.rights = IOASID_READ | (write ? IOASID_WRITE : 0),
		};
	}
	return 0;
}

void adi_options(struct dsa_options *options, const struct config_adi *adi, const struct log *log)
{
	*options = (struct dsa_options){
		.id = adi->id,
		.backend = adi->backend,
		.wqs = adi->n_wqs,
		.engines = adi->engines,
		.fixed = adi->fixed,
		.interrupt_handles = adi->interrupt_handles,
		.event_log = adi->event_log,
		.pasid = { .allow = adi->pasid_allow, .width = adi->pasid_width },
		.log = log,
	};
	for (unsigned int i = 0; i < adi->n_wqs; i++) {
		options->wq[i].size = adi->wqs[i].size;
		options->wq[i].shared = adi->wqs[i].shared;
		options->wq[i].threshold = adi->wqs[i].threshold;
		options->wq[i].group = adi->wqs[i].group;
	}
}

static struct ioasid_space *space_of(const struct adis *adis, const struct config_pasid *pasid)
{
	if (!pasid->space)
		return adis->guest;
	for (size_t i = 0; i < adis->config->n_spaces; i++) {
		if (!strcmp(adis->config->spaces[i].id, pasid->space))
			return adis->spaces[i];
	}
	return NULL;
}

_Static_assert(CONFIG_ALL_WQS == DSA_ALL_WQS, "a binding's queue means the same on both sides");

static void name_binding(const struct config_pasid *pasid, char *name, size_t size)
{
	if (pasid->guest)
		snprintf(name, size, "guest PASID %u", pasid->guest);
	else if (pasid->wq == CONFIG_ALL_WQS)
		snprintf(name, size, "descriptors without a PASID");
	else
		snprintf(name, size, "descriptors without a PASID on work queue %u", pasid->wq);
}

int adi_bind(struct dsa *dsa, const struct config_pasid *pasid, struct ioasid_space *space,
	     const struct log *log, struct err *err)
{
	char name[64];
	uint32_t host;
	int ret;

	if (pasid->guest)
		ret = dsa_pasid_bind(dsa, pasid->guest, space, pasid->host, &host, err);
	else
		ret = dsa_default_bind(dsa, pasid->wq, space, pasid->host, &host, err);
	if (ret)
		return ret;
	name_binding(pasid, name, sizeof(name));
	log_line(log, LOG_INFO, "pasid", "%s: %s -> host PASID %u, space %s", pasid->adi, name,
		 host, ioasid_space_name(space));
	return 0;
}

/* Nothing of the guest's can be in it before it is on the bus. */
static int make_function(struct adis *adis, const struct config_adi *adi, struct dsa **out,
			 struct err *err)
{
	struct dsa_options options;

	adi_options(&options, adi, adis->log);
	options.host.reach = what_it_maps;
	options.host.reach_arg = adis;
	options.host.node = adi->node;
	options.sandbox = adis->sandbox;
	options.spawner = adis->spawner;
	return dsa_create(out, adis->vm, adis->ctx, adis->guest, &options, err);
}

static int show_function(struct adis *adis, const char *id, struct dsa *dsa, struct err *err)
{
	int ret;

	pthread_mutex_lock(&adis->lock);
	ret = adis->count < CONFIG_MAX_ADIS
		      ? pci_bus_add(adis->bus, dsa_function(dsa), -1, err)
		      : err_set(err, ENOSPC, "%s: a VM has at most %u ADIs", id, CONFIG_MAX_ADIS);
	if (!ret) {
		adis->all[adis->count++] = (struct adi){ .id = id, .dsa = dsa };
		for (unsigned int i = 0; i < adis->stops; i++)
			dsa_engines_stop(dsa);
	}
	pthread_mutex_unlock(&adis->lock);
	return ret;
}

static int bind_pasids(struct adis *adis, const struct config *config, const char *id,
		       struct dsa *dsa, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < config->n_pasids && !ret; i++) {
		const struct config_pasid *pasid = &config->pasids[i];
		struct ioasid_space *space = space_of(adis, pasid);

		if (strcmp(pasid->adi, id) != 0)
			continue;
		ret = space ? adi_bind(dsa, pasid, space, adis->log, err)
			    : err_set(err, EINVAL, "no such space");
		if (ret)
			err_prefix(err, "/pasids/%zu", i);
	}
	return ret;
}

/* Whoever looks finds all or none. */
static void set_open(struct adis *adis, bool open)
{
	pthread_mutex_lock(&adis->lock);
	adis->open = open;
	pthread_mutex_unlock(&adis->lock);
}

static void close_spaces(struct adis *adis)
{
	set_open(adis, false);
	if (adis->guest)
		hot_ram_leave(adis->hot, adis->guest);
	if (adis->ctx)
		ioasid_ctx_close(adis->ctx);
	adis->ctx = NULL;
	adis->guest = NULL;
	free(adis->spaces);
	adis->spaces = NULL;
}

/* Without an ADI nothing does DMA to memory, which can be unplugged then. */
static void close_unused(struct adis *adis)
{
	if (!adis->count)
		close_spaces(adis);
}

static int open_spaces(struct adis *adis, struct err *err)
{
	size_t n = adis->config->n_spaces;
	int ret;

	if (adis->ctx)
		return 0;
	adis->spaces = calloc(n + 1, sizeof(struct ioasid_space *));
	ret = adis->spaces ? 0 : err_set(err, ENOMEM, "no memory for the spaces");
	if (!ret)
		ret = ioasid_ctx_open(&adis->ctx, IOASID_PROVIDER_SOFT, NULL, err);
	if (!ret)
		ret = make_guest_space(adis, adis->ram, adis->layout, err);
	for (size_t i = 0; i < n && !ret; i++)
		ret = make_window(adis, i, adis->ram, adis->layout, err);
	if (!ret)
		ret = guest_space_follow(adis->guest, adis->hot, "ADIs", err);
	if (ret)
		close_spaces(adis);
	else
		set_open(adis, true);
	return ret;
}

int adis_add(struct adis *adis, const struct config *config, const struct config_adi *adi,
	     struct err *err)
{
	struct dsa *dsa;
	int ret = open_spaces(adis, err);

	if (!ret)
		ret = make_function(adis, adi, &dsa, err);
	if (!ret) {
		ret = bind_pasids(adis, config, adi->id, dsa, err);
		if (!ret)
			ret = show_function(adis, adi->id, dsa, err);
		if (ret)
			pci_function_destroy(dsa_function(dsa));
	}
	if (ret)
		close_unused(adis);
	return ret;
}

int adis_create(struct adis **out, const struct config *config, struct vm *vm, struct pci_bus *bus,
		const struct ram *ram, struct hot_ram *hot, const struct layout *layout,
		const struct log *log, const struct sandbox *sandbox, struct idxd_spawner *spawner,
		struct err *err)
{
	struct adis *adis = calloc(1, sizeof(*adis));
	int ret = 0;

	*out = NULL;
	if (!adis)
		return err_set(err, ENOMEM, "no memory for the ADIs");
	*adis = (struct adis){
		.vm = vm,
		.ram = ram,
		.hot = hot,
		.layout = layout,
		.bus = bus,
		.config = config,
		.log = log,
		.sandbox = sandbox,
		.spawner = spawner,
	};
	pthread_mutex_init(&adis->lock, NULL);
	for (size_t i = 0; i < config->n_adis && !ret; i++)
		ret = adis_add(adis, config, &config->adis[i], err);
	if (ret) {
		adis_destroy(adis);
		return ret;
	}
	*out = adis;
	return 0;
}

void adis_destroy(struct adis *adis)
{
	if (!adis)
		return;
	for (size_t i = 0; i < adis->count; i++)
		pci_bus_remove(adis->bus, dsa_function(adis->all[i].dsa));
	close_spaces(adis);
	pthread_mutex_destroy(&adis->lock);
	free(adis);
}

/* With the lock held. */
static struct adi *find(struct adis *adis, const char *id)
{
	for (size_t i = 0; i < adis->count; i++) {
		if (!strcmp(adis->all[i].id, id))
			return &adis->all[i];
	}
	return NULL;
}

struct dsa *adis_find(struct adis *adis, const char *id)
{
	const struct adi *adi;

	pthread_mutex_lock(&adis->lock);
	adi = find(adis, id);
	pthread_mutex_unlock(&adis->lock);
	return adi ? adi->dsa : NULL;
}

unsigned int adis_slot(struct adis *adis, const char *id)
{
	struct dsa *dsa = adis_find(adis, id);

	return dsa ? pci_function_slot(dsa_function(dsa)) : 0;
}

bool adis_in(struct adis *adis, unsigned int slot, char *id, size_t size)
{
	bool found = false;

	pthread_mutex_lock(&adis->lock);
	for (size_t i = 0; i < adis->count && !found; i++) {
		found = pci_function_slot(dsa_function(adis->all[i].dsa)) == slot;
		if (found)
			snprintf(id, size, "%s", adis->all[i].id);
	}
	pthread_mutex_unlock(&adis->lock);
	return found;
}

bool adis_remove(struct adis *adis, const char *id)
{
	struct dsa *dsa = NULL;
	struct adi *adi;

	pthread_mutex_lock(&adis->lock);
	adi = find(adis, id);
	if (adi) {
		dsa = adi->dsa;
		*adi = adis->all[--adis->count];
	}
	pthread_mutex_unlock(&adis->lock);
	if (dsa) {
		pci_bus_remove(adis->bus, dsa_function(dsa));
		close_unused(adis);
	}
	return dsa;
}

static int no_adi(const char *id, struct err *err)
{
	return err_set(err, ENOENT, "no ADI is called \"%s\"", id);
}

int adis_bind(struct adis *adis, const struct config_pasid *pasid, struct err *err)
{
	struct dsa *dsa = adis_find(adis, pasid->adi);
	struct ioasid_space *space = dsa ? space_of(adis, pasid) : NULL;

	if (!dsa)
		return no_adi(pasid->adi, err);
	if (!space)
		return err_set(err, ENOENT, "no space is called \"%s\"", pasid->space);
	return adi_bind(dsa, pasid, space, adis->log, err);
}

int adis_unbind(struct adis *adis, const char *adi, uint32_t guest, struct err *err)
{
	struct dsa *dsa = adis_find(adis, adi);
	int ret = dsa ? dsa_pasid_unbind(dsa, guest, err) : no_adi(adi, err);

	if (!ret)
		log_line(adis->log, LOG_INFO, "pasid", "%s: guest PASID %u unbound", adi, guest);
	return ret;
}

void adis_spaces(struct adis *adis,
		 void (*fn)(void *arg, const char *provider, const struct ioasid_space *space),
		 void *arg)
{
	pthread_mutex_lock(&adis->lock);
	if (adis->open) {
		const char *provider = ioasid_ctx_provider(adis->ctx);

		fn(arg, provider, adis->guest);
		for (size_t i = 0; i < adis->config->n_spaces; i++)
			fn(arg, provider, adis->spaces[i]);
	}
	pthread_mutex_unlock(&adis->lock);
}

void adis_stop_engines(struct adis *adis)
{
	pthread_mutex_lock(&adis->lock);
	adis->stops++;
	for (size_t i = 0; i < adis->count; i++)
		dsa_engines_stop(adis->all[i].dsa);
	pthread_mutex_unlock(&adis->lock);
}

void adis_start_engines(struct adis *adis)
{
	pthread_mutex_lock(&adis->lock);
	adis->stops--;
	for (size_t i = 0; i < adis->count; i++)
		dsa_engines_start(adis->all[i].dsa);
	pthread_mutex_unlock(&adis->lock);
}

int adis_save(struct adis *adis, struct state_out *out, struct err *err)
{
	int ret = 0;

	pthread_mutex_lock(&adis->lock);
	for (size_t i = 0; i < adis->count && !ret; i++)
		ret = dsa_save(adis->all[i].dsa, out, err);
	pthread_mutex_unlock(&adis->lock);
	return ret;
}

int adis_load(struct adis *adis, struct state_in *in)
{
	pthread_mutex_lock(&adis->lock);
	for (size_t i = 0; i < adis->count && !in->ret; i++)
		dsa_load(adis->all[i].dsa, in);
	pthread_mutex_unlock(&adis->lock);
	return in->ret;
}
