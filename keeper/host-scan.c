/* SPDX-License-Identifier: Apache-2.0 */
/* All that could be assigned on a host, in one look. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/host.h"

#define WQ "/sys/bus/dsa/devices/%s"

/* Room for one more item of `size` bytes, zeroed; NULL without memory. */
static void *grow(void **items, size_t *n, size_t size)
{
	char *grown = realloc(*items, (*n + 1) * size);

	if (!grown)
		return NULL;
	*items = grown;
	memset(grown + *n * size, 0, size);
	return grown + (*n)++ * size;
}

#define GROW(inventory, member, count) \
	grow((void **)&(inventory)->member, &(inventory)->count, sizeof(*(inventory)->member))

static int scan_functions(const struct host *host, struct host_inventory *out)
{
	struct sysfs_names names;
	int ret = sysfs_list(host, &names, "/sys/bus/pci/devices");

	for (size_t i = 0; i < names.n && !ret; i++) {
		struct host_function *function = GROW(out, functions, n_functions);

		if (!function)
			ret = -ENOMEM;
		else if (host_function_read(host, names.name[i], function))
			out->n_functions--;
	}
	sysfs_names_free(&names);
	return ret;
}

static int scan_types_of(const struct host *host, const char *parent, struct host_inventory *out)
{
	struct sysfs_names names;
	int ret = sysfs_list(host, &names, "/sys/class/mdev_bus/%s/mdev_supported_types", parent);

	for (size_t i = 0; i < names.n && !ret; i++) {
		struct host_mdev_type *type = GROW(out, types, n_types);

		if (!type)
			ret = -ENOMEM;
		else if (host_mdev_type_read(host, parent, names.name[i], type))
			out->n_types--;
	}
	sysfs_names_free(&names);
	return ret;
}

static int scan_mdevs(const struct host *host, struct host_inventory *out)
{
	struct sysfs_names names;
	int ret = sysfs_list(host, &names, "/sys/class/mdev_bus");

	for (size_t i = 0; i < names.n && !ret; i++)
		ret = scan_types_of(host, names.name[i], out);
	sysfs_names_free(&names);
	if (ret)
		return ret;
	ret = sysfs_list(host, &names, "/sys/bus/mdev/devices");
	for (size_t i = 0; i < names.n && !ret; i++) {
		struct host_mdev *mdev = GROW(out, mdevs, n_mdevs);

		if (!mdev)
			ret = -ENOMEM;
		else if (host_mdev_read(host, names.name[i], mdev))
			out->n_mdevs--;
	}
	sysfs_names_free(&names);
	return ret;
}

/* ".../0000:6a:01.0/dsa0/wq0.1": function and device are the directories above. */
static void read_wq_place(const struct host *host, struct host_wq *wq)
{
	char path[PATH_MAX], *slash;

	if (sysfs_real(host, path, WQ, wq->name))
		return;
	slash = strrchr(path, '/');
	*slash = 0;
	slash = strrchr(path, '/');
	if (!slash || !host_part_is_sane(slash + 1))
		return;
	memcpy(wq->device, slash + 1, strlen(slash + 1) + 1);
	*slash = 0;
	slash = strrchr(path, '/');
	if (slash && host_bdf_parse(wq->function, slash + 1))
		wq->function[0] = 0;
}

static void read_wq(const struct host *host, struct host_wq *wq)
{
	static const char *const folders[] = { "dsa", "iax" };

	sysfs_read(host, wq->mode, sizeof(wq->mode), WQ "/mode", wq->name);
	sysfs_read(host, wq->type, sizeof(wq->type), WQ "/type", wq->name);
	sysfs_read(host, wq->state, sizeof(wq->state), WQ "/state", wq->name);
	sysfs_read(host, wq->driver, sizeof(wq->driver), WQ "/driver_name", wq->name);
	wq->size = (uint32_t)sysfs_number(host, WQ "/size", wq->name);
	read_wq_place(host, wq);
	for (unsigned int i = 0; i < 2 && !*wq->node; i++) {
		if (sysfs_exists(host, "/dev/%s/%s", folders[i], wq->name))
			snprintf(wq->node, sizeof(wq->node), "/dev/%s/%.40s", folders[i], wq->name);
	}
}

static int scan_wqs(const struct host *host, struct host_inventory *out)
{
	struct sysfs_names names;
	int ret = sysfs_list(host, &names, "/sys/bus/dsa/devices");

	for (size_t i = 0; i < names.n && !ret; i++) {
		struct host_wq *wq;

		if (strncmp(names.name[i], "wq", 2) != 0 || !host_part_is_sane(names.name[i]))
			continue;
		wq = GROW(out, wqs, n_wqs);
		if (!wq) {
			ret = -ENOMEM;
			break;
		}
		memcpy(wq->name, names.name[i], strlen(names.name[i]) + 1);
		read_wq(host, wq);
	}
	sysfs_names_free(&names);
	return ret;
}

int host_scan(const struct host *host, struct host_inventory *out)
{
	int ret;

	*out = (struct host_inventory){ 0 };
	ret = scan_functions(host, out);
	if (!ret)
		ret = scan_mdevs(host, out);
	if (!ret)
		ret = scan_wqs(host, out);
	if (ret)
		host_inventory_free(out);
	return ret;
}

void host_inventory_free(struct host_inventory *inventory)
{
	free(inventory->functions);
	free(inventory->types);
	free(inventory->mdevs);
	free(inventory->wqs);
	*inventory = (struct host_inventory){ 0 };
}
