/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of adit bench map. Each adds its rows; 0 or -errno. */
#ifndef ADIT_BENCH_MAP_H
#define ADIT_BENCH_MAP_H

#include <errno.h>

#include "bench/bench.h"
#include "util/err.h"

int bench_map_iommufd(const struct bench_options *options, struct results *results,
		      struct err *err);
int bench_map_soft(const struct bench_options *options, struct results *results, struct err *err);

#endif
