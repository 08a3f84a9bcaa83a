/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What no single key of the virtio devices can know: names that are there once, sizes that must be
 * powers of two.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/config-draft.h"

/* Which device a name belongs to: for the sentence. */
struct named {
	const char *list;
	size_t index;
	char **id;
};

#define NAMED_MAX (CONFIG_MAX_DISKS)

static size_t collect(struct config *config, struct named *out)
{
	size_t n = 0;

	for (size_t i = 0; i < config->n_disks; i++)
		out[n++] = (struct named){ "disks", i, &config->disks[i].id };
	return n;
}

/* "disks" and 0 -> "disk0"; "net" stays as it is. */
static int name_devices(struct named *all, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(all[i].list);

		if (*all[i].id)
			continue;
		if (all[i].list[len - 1] == 's')
			len--;
		if (asprintf(all[i].id, "%.*s%zu", (int)len, all[i].list, all[i].index) < 0) {
			*all[i].id = NULL;
			return err_set(err, ENOMEM, "out of memory");
		}
	}
	return 0;
}

static int check_names(const struct named *all, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(*all[i].id, *all[j].id))
				return err_set(err, EINVAL,
					       "/%s/%zu/id: \"%s\" is the name of /%s/%zu "
					       "already; choose another",
					       all[i].list, all[i].index, *all[i].id, all[j].list,
					       all[j].index);
		}
	}
	return 0;
}

static int check_queue_size(const char *list, size_t index, uint32_t size, struct err *err)
{
	if (is_pow2(size))
		return 0;
	return err_set(err, EINVAL, "/%s/%zu/queue_size: %u is no power of two", list, index, size);
}

int config_settle_virtio(struct config *config, struct err *err)
{
	struct named all[NAMED_MAX];
	size_t n = collect(config, all);
	int ret = name_devices(all, n, err);

	if (!ret)
		ret = check_names(all, n, err);
	for (size_t i = 0; i < config->n_disks && !ret; i++)
		ret = check_queue_size("disks", i, config->disks[i].queue_size, err);
	return ret;
}

void config_free_virtio(struct config *config)
{
	for (size_t i = 0; i < config->n_disks; i++) {
		free(config->disks[i].id);
		free(config->disks[i].path);
		free(config->disks[i].serial);
	}
	free(config->disks);
	free(config->rng.src);
}
