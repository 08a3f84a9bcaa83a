/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/beside.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int program_self(char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);

	if (n < 0)
		return -errno;
	path[n] = 0;
	return 0;
}

int program_beside(char *path, size_t size, const char *name)
{
	static const char *const folders[] = { "", "/../libexec/adit" };
	char self[PATH_MAX], *slash;

	if (program_self(self, sizeof(self)))
		return -ENOENT;
	slash = strrchr(self, '/');
	if (!slash)
		return -ENOENT;
	*slash = 0;
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		int n = snprintf(path, size, "%s%s/%s", self, folders[i], name);

		if (n > 0 && (size_t)n < size && !access(path, X_OK))
			return 0;
	}
	return -ENOENT;
}
