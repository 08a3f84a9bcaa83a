/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench: hands over to adit-bench, a program of its own, so that what measures weighs nothing
 * in what runs VMs. It lies beside adit in a build tree and in libexec when installed.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/command.h"

#define NAME "adit-bench"

/* "<directory of this program><suffix>/adit-bench" */
static int beside(char *path, size_t size, const char *suffix)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	char *slash;
	size_t left;

	if (n < 0)
		return -errno;
	path[n] = 0;
	slash = strrchr(path, '/');
	if (!slash)
		return -ENOENT;
	left = size - (size_t)(slash - path);
	if ((size_t)snprintf(slash, left, "%s/" NAME, suffix) >= left)
		return -ENAMETOOLONG;
	return 0;
}

int cmd_bench(int argc, char **argv)
{
	char path[PATH_MAX];

	if (!beside(path, sizeof(path), "") && !access(path, X_OK))
		execv(path, argv);
	if (!beside(path, sizeof(path), "/../libexec/adit") && !access(path, X_OK))
		execv(path, argv);
	fprintf(stderr,
		"adit bench: " NAME " is neither beside adit nor in ../libexec/adit: build it with "
		"'make' or install it with 'make install'\n");
	return EXIT_FAILED;
}
