/* SPDX-License-Identifier: Apache-2.0 */
#include "ioasid-client/providers/locked.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "util/bits.h"

#define CAP_IPC_LOCK_BIT 14 /* include/uapi/linux/capability.h */

static FILE *open_self(const struct ioasid_seam *seam, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/proc/self/%s", seam->root, name);
	return fopen(path, "re");
}

static bool status_line(const struct ioasid_seam *seam, const char *key, char *line, size_t size)
{
	FILE *file = open_self(seam, "status");
	size_t length = strlen(key);
	bool found = false;

	while (file && !found && fgets(line, (int)size, file))
		found = !strncmp(line, key, length) && line[length] == ':';
	if (file)
		fclose(file);
	return found;
}

uint64_t locked_status(const struct ioasid_seam *seam, const char *key)
{
	char line[128];

	if (!status_line(seam, key, line, sizeof(line)))
		return 0;
	return strtoull(line + strlen(key) + 1, NULL, 10) * KIB;
}

/*
 * The kernel asks for the capability in the first user namespace, where root of another one has
 * none. In the first all ids are mapped to themselves; a kernel without others has no such file.
 */
static bool in_first_user_namespace(const struct ioasid_seam *seam)
{
	FILE *file = open_self(seam, "uid_map");
	unsigned int inside = 0, outside = 0, n = UINT32_MAX;

	if (!file)
		return true;
	if (fscanf(file, "%u %u %u", &inside, &outside, &n) != 3)
		n = 0;
	fclose(file);
	return !inside && !outside && n == UINT32_MAX;
}

static bool may_lock_all(const struct ioasid_seam *seam)
{
	char line[128];

	if (!status_line(seam, "CapEff", line, sizeof(line)) || !in_first_user_namespace(seam))
		return false;
	return strtoull(line + strlen("CapEff:"), NULL, 16) >> CAP_IPC_LOCK_BIT & 1;
}

void locked_limit(const struct ioasid_seam *seam, uint64_t used, struct ioasid_memory *memory)
{
	struct rlimit limit;

	memory->limit = memory->left = UINT64_MAX;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY ||
	    may_lock_all(seam))
		return;
	memory->limit = limit.rlim_cur;
	memory->left = limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

int locked_explain(const struct ioasid_memory *memory, uint64_t bytes, struct err *err)
{
	uint64_t missing = bytes > memory->left ? bytes - memory->left : 0;

	if (memory->limit == UINT64_MAX)
		return err_set(err, ENOMEM, "the kernel has no memory to pin %" PRIu64 " bytes",
			       bytes);
	if (missing)
		return err_set(err, ENOMEM,
			       "%" PRIu64 " bytes cannot be locked: %" PRIu64
			       " are missing of the limit of %" PRIu64
			       "; raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=)",
			       bytes, missing, memory->limit);
	return err_set(
		err, ENOMEM,
		"%" PRIu64 " bytes cannot be locked: this process has %" PRIu64
		" left of the limit of %" PRIu64
		", but the user's other processes count too; raise RLIMIT_MEMLOCK (ulimit -l, "
		"LimitMEMLOCK=)",
		bytes, memory->left, memory->limit);
}
