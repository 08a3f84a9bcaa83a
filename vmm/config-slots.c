/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots across the lists of a configuration: which devices there are, and that no two are given the
 * same place. What is given none goes to the first slot that is nobody's.
 */
#include "vmm/config-slots.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct config_slot of_list(const char *list, size_t index, const char *id, uint32_t slot)
{
	return (struct config_slot){ .place = list, .index = index, .name = id, .slot = slot };
}

/* Such a function is called as its key. */
static struct config_slot of_single(const char *key, uint32_t slot)
{
	return (struct config_slot){ .place = key, .single = true, .name = key, .slot = slot };
}

size_t config_slots(const struct config *config, struct config_slot out[CONFIG_MAX_SLOTTED])
{
	size_t n = 0;

	for (size_t i = 0; i < config->n_adis; i++)
		out[n++] = of_list("adis", i, config->adis[i].id, config->adis[i].slot);
	for (size_t i = 0; i < config->n_devices; i++)
		out[n++] = of_list("devices", i, config->devices[i].id, config->devices[i].slot);
	for (size_t i = 0; i < config->n_user_devices; i++)
		out[n++] = of_list("devices", i, config->user_devices[i].id,
				   config->user_devices[i].slot);
	for (size_t i = 0; i < config->n_disks; i++)
		out[n++] = of_list("disks", i, config->disks[i].id, config->disks[i].slot);
	for (size_t i = 0; i < config->n_net; i++)
		out[n++] = of_list("net", i, config->net[i].id, config->net[i].slot);
	if (config->rng.present)
		out[n++] = of_single("rng", config->rng.slot);
	if (config->console.present)
		out[n++] = of_single("console", config->console.slot);
	if (config->vsock.present)
		out[n++] = of_single("vsock", config->vsock.slot);
	if (config->balloon.present)
		out[n++] = of_single("balloon", config->balloon.slot);
	return n;
}

static void name_place(const struct config_slot *slot, char text[32])
{
	if (slot->single)
		snprintf(text, 32, "/%s", slot->place);
	else
		snprintf(text, 32, "/%s/%zu", slot->place, slot->index);
}

/* One of the two is given a place. */
static int check_pair(const struct config_slot *a, const struct config_slot *b, struct err *err)
{
	char place[32], other[32];

	name_place(a, place);
	name_place(b, other);
	if (a->slot == b->slot)
		return err_set(
			err, EINVAL,
			"%s/slot: %u is that of %s (\"%s\"); choose another, or leave it out",
			place, a->slot, other, b->name);
	/* A slot is kept under the function's name. */
	if (!strcmp(a->name, b->name))
		return err_set(err, EINVAL,
			       "%s/slot: needs a name of its own, and \"%s\" is that of %s, too",
			       place, a->name, other);
	return 0;
}

int config_settle_slots(const struct config *config, struct err *err)
{
	struct config_slot all[CONFIG_MAX_SLOTTED];
	size_t n = config_slots(config, all);
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++) {
		for (size_t j = 0; j < n && !ret; j++) {
			if (i != j && all[i].slot && (j < i || !all[j].slot))
				ret = check_pair(&all[i], &all[j], err);
		}
	}
	return ret;
}
