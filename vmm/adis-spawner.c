/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether somebody has to be there who starts helpers of host work queues, and for which. Apart
 * from the ADIs themselves: it is asked before there is a machine.
 */
#include <unistd.h>

#include "passthrough/adi/idxd-spawner.h"
#include "vmm/adis.h"
#include "vmm/config.h"

#define QUEUES "/dev/dsa"

/* The nodes of the configuration's host work queues; returns how many. */
static size_t find_nodes(const struct config *config, const char *nodes[CONFIG_MAX_ADIS])
{
	size_t n = 0;

	for (size_t i = 0; config && i < config->n_adis; i++) {
		if (config->adis[i].node)
			nodes[n++] = config->adis[i].node;
	}
	return n;
}

bool adis_need_spawner(const struct config *config, const char *api_socket)
{
	const char *nodes[CONFIG_MAX_ADIS];

	/* What the API is asked to add can only be there where the host has any. */
	return find_nodes(config, nodes) || (api_socket && !access(QUEUES, F_OK));
}

int adis_start_spawner(struct idxd_spawner **out, const struct config *config,
		       const struct sandbox *sandbox, struct err *err)
{
	const char *nodes[CONFIG_MAX_ADIS];
	size_t n = find_nodes(config, nodes);

	return idxd_spawner_start(out, nodes, n, sandbox, err);
}
