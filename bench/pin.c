/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping the bench, its threads and its children on some CPUs and on one NUMA node's memory. */
#include <errno.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/host.h"
#include "util/bits.h"

#define NODES_MAX 1024u

/* One "N" or "N-M" of a list; what comes behind it, or NULL where it is neither. */
static const char *parse_range(const char *at, cpu_set_t *set)
{
	char *end;
	unsigned long first = strtoul(at, &end, 10), last = first;

	if (end == at || *at < '0' || *at > '9')
		return NULL;
	if (*end == '-') {
		at = end + 1;
		last = strtoul(at, &end, 10);
		if (end == at || *at < '0' || *at > '9')
			return NULL;
	}
	if (last < first || last >= CPU_SETSIZE)
		return NULL;
	for (unsigned long cpu = first; cpu <= last; cpu++)
		CPU_SET(cpu, set);
	return end;
}

int host_pin_cpus(const char *list, struct err *err)
{
	const char *at = list;
	cpu_set_t set;

	CPU_ZERO(&set);
	do {
		at = parse_range(at, &set);
		if (!at || (*at && *at != ',' && *at != '\n'))
			return err_set(err, EINVAL,
				       "--cpus %s: not a list of CPUs below %u like 0-3,8", list,
				       CPU_SETSIZE);
	} while (*at++ == ',');
	if (sched_setaffinity(0, sizeof(set), &set))
		return err_set(err, errno, "--cpus %s: none of these is online and allowed here",
			       list);
	return 0;
}

int host_pin_node(unsigned int node, bool keep_cpus, struct err *err)
{
	unsigned long mask[NODES_MAX / 64] = { 0 };
	char path[96], cpus[4096];
	FILE *file;
	int ret = 0;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/cpulist", node);
	file = node < NODES_MAX ? fopen(path, "re") : NULL;
	if (!file)
		return err_set(err, ENODEV, "--numa-node %u: this host has no such node", node);
	if (!fgets(cpus, sizeof(cpus), file))
		cpus[0] = 0;
	fclose(file);
	cpus[strcspn(cpus, "\n")] = 0;
	mask[node / 64] = BIT_U64(node % 64);
	if (syscall(SYS_set_mempolicy, MPOL_BIND, mask, NODES_MAX))
		return err_set(err, errno, "--numa-node %u: memory of it cannot be had: %m", node);
	/* A node may have memory only. */
	if (!keep_cpus && cpus[0])
		ret = host_pin_cpus(cpus, err);
	return ret;
}
