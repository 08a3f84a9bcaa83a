/* SPDX-License-Identifier: Apache-2.0 */
/* Which functions a bench may assign: those that vfio-pci has, which somebody gave it for that. */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

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
