/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that several functions reach, in adit bench map: what is measured of each provider. */
#ifndef ADIT_BENCH_MAP_DEVICES_H
#define ADIT_BENCH_MAP_DEVICES_H

#include "bench/bench.h"
#include "bench/map.h"

#define SHARED_MEMORY	 (64 * MIB)
#define SHARED_MORE	 (16 * MIB) /* of it, that is mapped while all are attached */
#define SHARED_MORE_IOVA (MAP_IOVA + SHARED_MEMORY)

enum shared_row {
	SHARED_FIRST,
	SHARED_LAST,
	SHARED_MAP,
	SHARED_UNMAP,
	SHARED_DETACH,
	SHARED_ROWS
};

struct map_devices {
	const struct map_contest *provider;
	unsigned int n;
	char bdf[FUNCTIONS_MAX][BDF_CHARS + 1];
	char node[FUNCTIONS_MAX][64]; /* a character device, or a group's */
	struct map_memory memory;
};

/* When it began; us since then. */
static inline double map_lap(double *since)
{
	double now = map_now_us(), us = now - *since;

	*since = now;
	return us;
}

/* A turn by the ioctls of type1 alone, with all groups in one container (map-groups.c). */
int map_groups_turn(const struct map_devices *devices, double us[SHARED_ROWS], struct err *err);

#endif
