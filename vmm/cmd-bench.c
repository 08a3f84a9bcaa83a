/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench: hands over to adit-bench, a program of its own, so that what measures weighs nothing
 * in what runs VMs.
 */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "vmm/beside.h"
#include "vmm/command.h"

#define NAME "adit-bench"

int cmd_bench(int argc, char **argv)
{
	char path[PATH_MAX];

	if (!program_beside(path, sizeof(path), NAME))
		execv(path, argv);
	fprintf(stderr,
		"adit bench: " NAME " is neither beside adit nor in ../libexec/adit: build it with "
		"'make' or install it with 'make install'\n");
	return EXIT_FAILED;
}
