/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The composed ADIs of a machine and what they may reach: one I/O address space context (the soft
 * provider here), a space for all guest memory and one for each window of the configuration, the
 * functions on the bus, and the guest -> host PASID bindings that the operator gave.
 */
#ifndef ADIT_VMM_ADIS_H
#define ADIT_VMM_ADIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/log.h"
#include "util/state.h"

struct adis;
struct config;
struct config_adi;
struct config_pasid;
struct dsa;
struct dsa_options;
struct hot_ram;
struct idxd_spawner;
struct ioasid_space;
struct layout;
struct pci_bus;
struct ram;
struct sandbox;
struct vm;

/*
 * Whether helpers of host work queues may be needed once a guest has run; config and api_socket may
 * be NULL. Then who starts them, for the queues that config names now and for any /dev/dsa/wqN.M:
 * passthrough/adi/idxd-spawner.h says when.
 */
bool adis_need_spawner(const struct config *config, const char *api_socket);
int adis_start_spawner(struct idxd_spawner **out, const struct config *config,
		       const struct sandbox *sandbox, struct err *err);

/* Also where the configuration has none: they can come later. spawner may be NULL. */
int adis_create(struct adis **out, const struct config *config, struct vm *vm, struct pci_bus *bus,
		const struct ram *ram, struct hot_ram *hot, const struct layout *layout,
		const struct log *log, const struct sandbox *sandbox, struct idxd_spawner *spawner,
		struct err *err);
/* Removes the functions from the bus, then the context with all that it owns. */
void adis_destroy(struct adis *adis);

/*
 * These on the thread that makes machines, also while the guest runs. config: whose bindings of
 * this ADI's PASIDs hold before the guest sees it; the id's characters stay where they are until it
 * is removed. On failure nothing of it is left.
 */
int adis_add(struct adis *adis, const struct config *config, const struct config_adi *adi,
	     struct err *err);
/* Whatever the guest does with it: its descriptors end. False: there is none of that id. */
bool adis_remove(struct adis *adis, const char *id);

/* Any thread. The slot, or 0; the id of the one in a slot. */
unsigned int adis_slot(struct adis *adis, const char *id);
bool adis_in(struct adis *adis, unsigned int slot, char *id, size_t size);

/*
 * While engines run; any thread, but not while one is removed. -ENOENT: no such ADI or space, or
 * guest PASID to unbind; else as dsa_pasid_bind and dsa_pasid_unbind.
 */
int adis_bind(struct adis *adis, const struct config_pasid *pasid, struct err *err);
int adis_unbind(struct adis *adis, const char *adi, uint32_t guest, struct err *err);

/* Valid until it is removed. */
struct dsa *adis_find(struct adis *adis, const char *id);
/* Any thread, for what they count: calls fn for each space that ADIs do DMA in. */
void adis_spaces(struct adis *adis,
		 void (*fn)(void *arg, const char *provider, const struct ioasid_space *space),
		 void *arg);
void adis_stop_engines(struct adis *adis);
void adis_start_engines(struct adis *adis);
/*
 * A section for each, while engines are stopped: what they have begun is ended first. -EBUSY names
 * one that waits for a page. Loaded into ADIs that no guest has seen; what their PASIDs reach is
 * the configuration's, and a state that needs more is refused.
 */
int adis_save(struct adis *adis, struct state_out *out, struct err *err);
int adis_load(struct adis *adis, struct state_in *in);

/* What the configuration says of an ADI, and of a PASID's binding, for who makes them elsewhere. */
void adi_options(struct dsa_options *options, const struct config_adi *adi, const struct log *log);
int adi_bind(struct dsa *dsa, const struct config_pasid *pasid, struct ioasid_space *space,
	     const struct log *log, struct err *err);

#endif
