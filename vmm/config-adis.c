/* SPDX-License-Identifier: Apache-2.0 */
/* What /adis, /spaces and /pasids must be together: queues, windows, and the two keys. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/adi/dsa.h"
#include "util/bits.h"
#include "vmm/config-draft.h"
#include "vmm/config-schema.h"
#include "vmm/layout.h"
#include "vmm/platform.h"

/* What only shared queues, or only functions that the guest cannot configure, have. */
static int check_wq(const struct config *config, size_t adi, uint32_t index, struct err *err)
{
	const struct config_wq *wq = &config->adis[adi].wqs[index];
	uint32_t engines = config->adis[adi].engines;

	if (wq->threshold && !wq->shared)
		return err_set(err, EINVAL,
			       "/adis/%zu/wqs/%u/threshold: goes only with \"mode\": \"shared\"; "
			       "remove it or set that",
			       adi, index);
	if (wq->threshold > wq->size)
		return err_set(err, EINVAL,
			       "/adis/%zu/wqs/%u/threshold: %u is past the queue's %u entries; "
			       "lower it or raise size",
			       adi, index, wq->threshold, wq->size);
	if (wq->group && !config->adis[adi].fixed)
		return err_set(err, EINVAL,
			       "/adis/%zu/wqs/%u/group: goes only with \"fixed\": true; elsewhere "
			       "the guest makes the groups",
			       adi, index);
	if (wq->group >= engines)
		return err_set(err, EINVAL,
			       "/adis/%zu/wqs/%u/group: %u needs an engine of its own; with %u "
			       "engines there are groups 0 to %u",
			       adi, index, wq->group, engines, engines - 1);
	return 0;
}

/* What a host work queue needs, and nothing else has. */
static int check_backend(const struct config *config, size_t i, struct err *err)
{
	const struct config_adi *adi = &config->adis[i];

	if (adi->backend == DSA_BACKEND_IDXD && !adi->node)
		return err_set(err, EINVAL,
			       "/adis/%zu/node: is missing; \"backend\": \"idxd\" needs the host "
			       "work queue, /dev/dsa/wqN.M",
			       i);
	if (adi->backend != DSA_BACKEND_IDXD && adi->node)
		return err_set(err, EINVAL,
			       "/adis/%zu/node: goes only with \"backend\": \"idxd\"; remove it or "
			       "set that",
			       i);
	if (adi->backend == DSA_BACKEND_IDXD && !config->memory.shared)
		return err_set(
			err, EINVAL,
			"/memory/shared: must be true for \"backend\": \"idxd\" of /adis/%zu, "
			"whose helper maps guest memory",
			i);
	return 0;
}

static int check_adis(const struct config *config, struct err *err)
{
	for (size_t i = 0; i < config->n_adis; i++) {
		const struct config_adi *adi = &config->adis[i];
		uint32_t sum = 0;
		int ret = check_backend(config, i, err);

		for (size_t j = 0; j < i; j++) {
			if (!strcmp(adi->id, config->adis[j].id))
				return err_set(err, EINVAL,
					       "/adis/%zu/id: \"%s\" is the name of /adis/%zu "
					       "already; choose another",
					       i, adi->id, j);
		}
		for (uint32_t j = 0; j < adi->n_wqs && !ret; j++) {
			sum += adi->wqs[j].size;
			ret = check_wq(config, i, j, err);
		}
		if (ret)
			return ret;
		if (sum > DSA_MAX_WQ_SIZE)
			return err_set(err, EINVAL,
				       "/adis/%zu/wqs: the sizes sum to %u; the queues of an ADI "
				       "share %u entries",
				       i, sum, DSA_MAX_WQ_SIZE);
	}
	return 0;
}

/*
 * Where guest memory lies without reserved ranges of a host, which can move it and which only the
 * machine knows. Empty where there cannot be any such layout.
 */
static void plan_memory(const struct config *config, struct layout *layout)
{
	const struct layout_request request = {
		.ram_size = config->memory.size,
		.phys_bits = LAYOUT_PHYS_BITS_MAX,
		.aperture_last = UINT64_MAX,
	};

	if (layout_plan(layout, &request, NULL) != 0)
		*layout = (struct layout){ 0 };
}

static int check_window(const struct config_space *space, size_t i, const struct layout *layout,
			struct err *err)
{
	/* Both are bounded by the table: the sum cannot wrap. */
	unsigned long long first = space->offset, past = first + space->size, end = 0, at = first;

	for (unsigned int r = 0; r < layout->n_ram; r++) {
		end = layout->ram[r].gpa + layout->ram[r].size;
		if (at >= layout->ram[r].gpa && at < end)
			at = MIN(past, end);
	}
	if (at == past)
		return 0;
	if (past > end)
		return err_set(err, EINVAL,
			       "/spaces/%zu/%s: the window 0x%llx to 0x%llx leaves guest memory, "
			       "which ends at 0x%llx",
			       i, first >= end ? "offset" : "size", first, past, end);
	return err_set(err, EINVAL,
		       "/spaces/%zu/%s: the window 0x%llx to 0x%llx overlaps 0x%llx, where the "
		       "BARs of devices begin; guest memory goes on at 0x%llx",
		       i, at == first ? "offset" : "size", first, past,
		       (unsigned long long)LOW_RAM_END, 4ULL * GIB);
}

static int check_spaces(const struct config *config, struct err *err)
{
	struct layout layout = { 0 };
	int ret = 0;

	if (config->n_spaces)
		plan_memory(config, &layout);
	for (size_t i = 0; i < config->n_spaces && !ret; i++) {
		const struct config_space *space = &config->spaces[i];

		if (!strcmp(space->id, CONFIG_ALL_MEMORY))
			return err_set(err, EINVAL,
				       "/spaces/%zu/id: \"%s\" means all guest memory; choose "
				       "another",
				       i, CONFIG_ALL_MEMORY);
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(space->id, config->spaces[j].id))
				return err_set(err, EINVAL,
					       "/spaces/%zu/id: \"%s\" is the name of /spaces/%zu "
					       "already; choose another",
					       i, space->id, j);
		}
		ret = check_window(space, i, &layout, err);
	}
	return ret;
}

/* A reference that leads nowhere: names the nearest id, else all that fit into the message. */
static int refuse_reference(struct err *err, size_t binding, const char *key, const char *what,
			    const char *id, const char *const *ids, size_t n)
{
	const char *nearest = schema_nearest(id, ids, n);
	char list[160] = "there is none";
	size_t len = 0;

	if (nearest)
		return err_set(err, EINVAL,
			       "/pasids/%zu/%s: no %s is called \"%s\"; the nearest is \"%s\"",
			       binding, key, what, id, nearest);
	for (size_t i = 0; i < n && len < sizeof(list); i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s\"%s\"",
					i ? ", " : "there is ", ids[i]);
	return err_set(err, EINVAL, "/pasids/%zu/%s: no %s is called \"%s\"; %s", binding, key,
		       what, id, list);
}

/* NULL, and the sentence, where there is none. */
static const struct config_adi *find_adi(const struct config *config, size_t binding,
					 struct err *err)
{
	const char *ids[CONFIG_MAX_ADIS];

	for (size_t i = 0; i < config->n_adis; i++) {
		ids[i] = config->adis[i].id;
		if (!strcmp(ids[i], config->pasids[binding].adi))
			return &config->adis[i];
	}
	refuse_reference(err, binding, "adi", "ADI", config->pasids[binding].adi, ids,
			 config->n_adis);
	return NULL;
}

static int check_space_reference(struct config *config, size_t binding, struct err *err)
{
	const char *ids[CONFIG_MAX_SPACES + 1];
	struct config_pasid *pasid = &config->pasids[binding];

	if (!strcmp(pasid->space, CONFIG_ALL_MEMORY)) {
		free(pasid->space);
		pasid->space = NULL;
		return 0;
	}
	ids[0] = CONFIG_ALL_MEMORY;
	for (size_t i = 0; i < config->n_spaces; i++) {
		ids[i + 1] = config->spaces[i].id;
		if (!strcmp(ids[i + 1], pasid->space))
			return 0;
	}
	return refuse_reference(err, binding, "space", "space", pasid->space, ids,
				config->n_spaces + 1);
}

/* Two bindings for one guest number, or two defaults for one queue; or one host number twice. */
static int check_pasid_numbers(const struct config *config, size_t i, struct err *err)
{
	const struct config_pasid *pasid = &config->pasids[i];

	for (size_t j = 0; j < i; j++) {
		const struct config_pasid *other = &config->pasids[j];
		bool same = pasid->guest == other->guest && !strcmp(pasid->adi, other->adi);

		if (same && pasid->guest)
			return err_set(err, EINVAL,
				       "/pasids/%zu/guest: %u is bound on \"%s\" by /pasids/%zu "
				       "already; remove one",
				       i, pasid->guest, pasid->adi, j);
		if (same && pasid->wq == other->wq)
			return err_set(err, EINVAL,
				       "/pasids/%zu/wq: that of \"%s\" has a default binding by "
				       "/pasids/%zu already; remove one",
				       i, pasid->adi, j);
		if (pasid->host && pasid->host == other->host)
			return err_set(err, EINVAL,
				       "/pasids/%zu/host: %u is given to /pasids/%zu already; "
				       "choose another, or leave it out for any free one",
				       i, pasid->host, j);
	}
	return 0;
}

/* Descriptors without a PASID need no key: a default binding only ever takes away. */
static int check_default(const struct config_pasid *pasid, size_t i, const struct config_adi *adi,
			 struct err *err)
{
	if (pasid->wq == CONFIG_ALL_WQS || pasid->wq < adi->n_wqs)
		return 0;
	return err_set(err, EINVAL, "/pasids/%zu/wq: \"%s\" has no work queue %u; it has 0 to %u",
		       i, adi->id, pasid->wq, adi->n_wqs - 1);
}

static int check_key(const struct config *config, size_t i, const struct config_adi *adi,
		     struct err *err)
{
	const struct config_pasid *pasid = &config->pasids[i];
	size_t index = (size_t)(adi - config->adis);

	if (!adi->pasid_allow)
		return err_set(err, EINVAL,
			       "/pasids/%zu/adi: \"%s\" may not use PASIDs; a binding is the "
			       "second key, the first is /adis/%zu/pasid/allow: true",
			       i, adi->id, index);
	if (pasid->guest >> adi->pasid_width)
		return err_set(err, EINVAL,
			       "/pasids/%zu/guest: %u is past the %u bits of \"%s\", 1 to %u; "
			       "choose a smaller one or raise /adis/%zu/pasid/width",
			       i, pasid->guest, adi->pasid_width, adi->id,
			       (1u << adi->pasid_width) - 1, index);
	if (pasid->wq != CONFIG_ALL_WQS)
		return err_set(err, EINVAL,
			       "/pasids/%zu/wq: goes only with \"guest\": \"none\"; a guest "
			       "PASID is bound for all queues of the ADI",
			       i);
	return 0;
}

static int check_pasids(struct config *config, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < config->n_pasids && !ret; i++) {
		const struct config_adi *adi = find_adi(config, i, err);

		if (!adi)
			return -EINVAL;
		if (config->pasids[i].guest)
			ret = check_key(config, i, adi, err);
		else
			ret = check_default(&config->pasids[i], i, adi, err);
		if (!ret)
			ret = check_pasid_numbers(config, i, err);
		if (!ret)
			ret = check_space_reference(config, i, err);
	}
	return ret;
}

int config_settle_adis(struct config *config, struct err *err)
{
	int ret = check_adis(config, err);

	if (!ret)
		ret = check_spaces(config, err);
	if (!ret)
		ret = check_pasids(config, err);
	return ret;
}
