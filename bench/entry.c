/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/entry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void entry_begin(const char *path)
{
	struct timespec now;
	char start[32];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(start, sizeof(start), "%llu",
		 (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec);
	setenv("ADIT_EXIT_GAP_FILE", path, 1);
	setenv("ADIT_EXIT_GAP_START", start, 1);
}

int entry_take(const char *path, double *entry_ms, double *kernel_ms)
{
	double gap, own;
	FILE *from;
	int ret;

	*entry_ms = *kernel_ms = 0;
	unsetenv("ADIT_EXIT_GAP_FILE");
	unsetenv("ADIT_EXIT_GAP_START");
	from = fopen(path, "re");
	if (!from)
		return -errno;
	ret = fscanf(from, "%lf %lf %lf %lf", &gap, &own, entry_ms, kernel_ms) == 4 ? 0 : -EIO;
	fclose(from);
	unlink(path);
	return ret;
}
