/* SPDX-License-Identifier: Apache-2.0 */
/* adit bench map: what it costs to make memory reachable for a device; the order of its parts. */
#include "bench/map.h"

int bench_map(struct bench_run *run, struct err *err)
{
	int r = bench_map_kernel(run, err);

	if (!r)
		r = bench_map_devices(run, err);
	if (!r)
		r = bench_map_pasids(run, err);
	if (!r)
		r = bench_map_soft(run, err);
	return r ? r : bench_map_share(run, err);
}
