/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is reset together: all that is behind one bridge. A bridge resets its secondary bus as a
 * whole; on a root bus nobody can (Linux drivers/pci/pci.c, pci_parent_bus_reset).
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "keeper/host.h"

#define DEVICES "/sys/bus/pci/devices"

/* The directory of the bridge that a function is behind, with a last slash. */
static bool bridge_of(const struct host *host, const char *bdf, char *out)
{
	char name[HOST_NAME_CHARS + 1], *last, *parent;

	if (sysfs_real(host, out, DEVICES "/%s", bdf))
		return false;
	last = strrchr(out, '/');
	if (!last)
		return false;
	*last = 0;
	parent = strrchr(out, '/');
	if (!parent || host_bdf_parse(name, parent + 1))
		return false;
	memcpy(last, "/", 2);
	return true;
}

int host_bus_members(const struct host *host, const char *bdf, struct host_member *out, size_t max,
		     size_t *n)
{
	char bridge[PATH_MAX], path[PATH_MAX];
	struct sysfs_names names;
	int ret;

	*n = 0;
	if (!bridge_of(host, bdf, bridge))
		return 0;
	ret = sysfs_list(host, &names, DEVICES);
	for (size_t i = 0; !ret && i < names.n; i++) {
		if (sysfs_real(host, path, DEVICES "/%s", names.name[i]) ||
		    strncmp(path, bridge, strlen(bridge)) != 0)
			continue;
		if (*n < max) {
			memset(&out[*n], 0, sizeof(out[*n]));
			strncpy(out[*n].name, names.name[i], sizeof(out[*n].name) - 1);
			sysfs_link(host, out[*n].driver, sizeof(out[*n].driver),
				   DEVICES "/%s/driver", names.name[i]);
		}
		(*n)++;
	}
	sysfs_names_free(&names);
	return ret;
}
