/* SPDX-License-Identifier: Apache-2.0 */
/* IOMMU groups: who is in one, and whether one VM could have it. */
#include <errno.h>
#include <string.h>

#include "keeper/host.h"
#include "util/bits.h"

#define MEMBERS 64 /* more in one group are not looked at one by one */

/*
 * Drivers that leave DMA to others (driver_managed_dma in the kernel): their devices may stay in
 * the group of an assigned one.
 */
static const char *const harmless[] = { "pcieport", "pci-stub", "shpchp", "vfio-pci", "vfio_mdev" };

int host_group_members(const struct host *host, int group, struct host_member *out, size_t max,
		       size_t *n)
{
	struct sysfs_names names;
	int ret = sysfs_list(host, &names, "/sys/kernel/iommu_groups/%d/devices", group);

	*n = ret ? 0 : names.n;
	for (size_t i = 0; i < *n && i < max; i++) {
		struct host_member *member = &out[i];

		memset(member, 0, sizeof(*member));
		strncpy(member->name, names.name[i], sizeof(member->name) - 1);
		sysfs_link(host, member->driver, sizeof(member->driver),
			   "/sys/kernel/iommu_groups/%d/devices/%s/driver", group, names.name[i]);
	}
	sysfs_names_free(&names);
	return ret;
}

static bool is_among(const char *name, const char *const *with, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (with[i] && !strcmp(with[i], name))
			return true;
	}
	return false;
}

static bool is_harmless(const char *driver)
{
	return !*driver || is_among(driver, harmless, ARRAY_SIZE(harmless)) ||
	       strstr(driver, "vfio-pci") || strstr(driver, "vfio_pci");
}

int host_group_check(const struct host *host, int group, const char *name, const char *const *with,
		     size_t n_with, struct err *err)
{
	struct host_member members[MEMBERS];
	size_t n;

	if (host_group_members(host, group, members, MEMBERS, &n))
		return err_set(err, ENOMEM, "out of memory");
	if (n > MEMBERS)
		return err_set(
			err, E2BIG,
			"%s: its group %d has %zu members, more than the %u that are looked at",
			name, group, n, MEMBERS);
	for (size_t i = 0; i < n; i++) {
		if (is_harmless(members[i].driver) || !strcmp(members[i].name, name) ||
		    is_among(members[i].name, with, n_with))
			continue;
		return err_set(
			err, EBUSY,
			"%s: its group %d also holds %s, which is on driver %s; give it to the "
			"same VM, or take it from that driver",
			name, group, members[i].name, members[i].driver);
	}
	return 0;
}
