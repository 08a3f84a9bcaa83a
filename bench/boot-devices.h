/* SPDX-License-Identifier: Apache-2.0 */
/* adit's own time for functions, in adit bench boot --kernel --devices. */
#ifndef ADIT_BENCH_BOOT_DEVICES_H
#define ADIT_BENCH_BOOT_DEVICES_H

#include "bench/bench.h"

/* Adds the row. work: a directory for configurations. */
int boot_devices_measure(struct bench_run *run, const char (*bdf)[BDF_CHARS + 1], unsigned int n,
			 const char *work, struct err *err);

#endif
