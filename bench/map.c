/* SPDX-License-Identifier: Apache-2.0 */
/* adit bench map: what it costs to make memory reachable for a device; the order of its parts. */
#include <stdio.h>
#include <string.h>

#include "bench/map.h"

int bench_map(const struct bench_options *options)
{
	struct results *results = results_new("map");
	struct err err = { 0 };
	int r = bench_map_kernel(options, results, &err);

	if (!r)
		r = bench_map_soft(options, results, &err);
	if (r)
		fprintf(stderr, "adit bench map: %s\n", err.text);
	else if ((r = results_print(results, options->json_path)))
		fprintf(stderr, "adit bench map: %s: %s\n", options->json_path, strerror(-r));
	results_free(results);
	return r ? 1 : 0;
}
