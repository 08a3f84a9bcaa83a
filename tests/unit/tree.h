/* SPDX-License-Identifier: Apache-2.0 */
/* A tree of files that stands for a host's /proc and /sys. */
#ifndef ADIT_TESTS_UNIT_TREE_H
#define ADIT_TESTS_UNIT_TREE_H

#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* root/path with what is above it; its text may be another's of before. */
static inline void put_file(const char *root, const char *path, const char *text)
{
	char whole[512], *slash;
	FILE *to;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		mkdir(whole, 0700);
		*slash = '/';
	}
	to = fopen(whole, "we");
	assert_non_null(to);
	fputs(text, to);
	fclose(to);
}

static inline void remove_tree(const char *root)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	assert_int_equal(system(command), 0);
}

#endif
