/* SPDX-License-Identifier: Apache-2.0 */
/* adit bench map: what it costs to make memory reachable for a device; the order of its parts. */
#include "bench/map.h"
#include "bench/results.h"

/* Functions that nobody named may be somebody's, or in a group that nobody can have. */
static int measure_devices(struct bench_run *run, struct err *err)
{
	struct err why = { 0 };
	int r;

	if (!run->options->picked)
		return bench_map_devices(run, err);
	r = bench_map_devices(run, &why);
	if (r)
		results_note(run->results, "several devices of one space: not measured: %s",
			     why.text);
	return 0;
}

int bench_map(struct bench_run *run, struct err *err)
{
	int r = bench_map_kernel(run, err);

	if (!r)
		r = measure_devices(run, err);
	if (!r)
		r = bench_map_pasids(run, err);
	if (!r)
		r = bench_map_soft(run, err);
	return r ? r : bench_map_share(run, err);
}
