/* SPDX-License-Identifier: Apache-2.0 */
/* Which functions a bench may assign: those that vfio-pci has, which somebody gave it for that. */
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"

#define PATTERN "/sys/bus/pci/drivers/vfio-pci/*:*:*.*"

int functions_find(char (*bdf)[BDF_CHARS + 1], unsigned int n, struct err *err)
{
	glob_t found;
	unsigned int have = 0;
	int ret = glob(PATTERN, 0, NULL, &found);

	if (ret && ret != GLOB_NOMATCH)
		return err_set(err, ENOMEM, "%s: no memory", PATTERN);
	for (size_t i = 0; !ret && have < n && i < found.gl_pathc; i++) {
		const char *name = strrchr(found.gl_pathv[i], '/') + 1;

		if (strlen(name) == BDF_CHARS)
			memcpy(bdf[have++], name, BDF_CHARS + 1);
	}
	if (!ret)
		globfree(&found);
	if (have == n)
		return 0;
	return err_set(err, ENODEV,
		       "vfio-pci has %u functions and --devices asks for %u: give it more", have,
		       n);
}

void function_cdev(const char *bdf, char *path, size_t size)
{
	char pattern[96];
	glob_t found;

	*path = 0;
	snprintf(pattern, sizeof(pattern), "/sys/bus/pci/devices/%s/vfio-dev/vfio*", bdf);
	if (glob(pattern, 0, NULL, &found))
		return;
	snprintf(path, size, "/dev/vfio/devices/%s", strrchr(found.gl_pathv[0], '/') + 1);
	globfree(&found);
	if (access(path, F_OK))
		*path = 0;
}

void function_group(const char *bdf, char *path, size_t size)
{
	char link[96], target[PATH_MAX];
	ssize_t n;

	*path = 0;
	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	n = readlink(link, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = 0;
	snprintf(path, size, "/dev/vfio/%.32s", strrchr(target, '/') + 1);
	if (access(path, F_OK))
		*path = 0;
}
