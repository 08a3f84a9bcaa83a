/* SPDX-License-Identifier: Apache-2.0 */
/* Which benches there are, and adit bench all: each that this machine can, in one table. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/describe.h"
#include "bench/results.h"
#include "util/bits.h"

static const struct bench benches[] = {
	{ "boot", bench_boot, "exec to first output and to exit, memory, and the cost of an exit",
	  .needs_kvm = true },
	{ "map", bench_map, "map, attach and unmap; translations and PASIDs of the soft provider",
	  .takes_function = true },
	{ "copy", bench_copy, "memory moves by the software engine beside memcpy",
	  .needs_kvm = true, .takes_jobs = true },
	{ "submit", bench_submit, "a trapped submission beside a minimal KVM program's exit",
	  .needs_kvm = true, .takes_jobs = true },
	{ "io", bench_io, "a guest's disk beside QEMU microvm's, and io_uring without a guest",
	  .needs_kvm = true, .takes_jobs = true },
	{ "fault", bench_fault, "faults of an ADI, and a PASID's way to its next use under load",
	  .needs_kvm = true },
	{ "dma", bench_dma, "DMA of a device, from here and from a guest", .takes_jobs = true,
	  .takes_function = true },
	{ "libvirt", bench_libvirt,
	  "virsh with a thousand domains, beside libvirtd's test driver" },
	{ "fleet", bench_fleet, "many VMs with an ADI each, started, verified and stopped at once",
	  .needs_kvm = true },
	{ "noise", bench_noise, "two equal parties: what this host can tell apart" },
	{ "all", bench_all, "all of these that this machine can, in one table" },
};

const struct bench *bench_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(benches); i++) {
		if (!strcmp(name, benches[i].name))
			return &benches[i];
	}
	return NULL;
}

void bench_list(FILE *to)
{
	for (size_t i = 0; i < ARRAY_SIZE(benches); i++)
		fprintf(to, "  %-8s %s\n", benches[i].name, benches[i].summary);
}

#define SHARED_MAX 4u /* more of them say nothing more */

/* Functions that nobody named, for the benches that take some: the first that vfio-pci has. */
struct picked {
	char bdf[SHARED_MAX][BDF_CHARS + 1], cdev[64], group[64];
	struct bench_options options;
};

static unsigned int find_some(struct picked *picked)
{
	unsigned int n = SHARED_MAX;
	struct err err = { 0 };

	while (n && functions_find(picked->bdf, n, &err))
		n--;
	return n;
}

static bool pick(struct picked *picked, const struct bench_options *options)
{
	unsigned int n;

	if (options->cdev || options->group || options->device || options->socket)
		return false;
	n = find_some(picked);
	if (!n)
		return false;
	function_cdev(picked->bdf[0], picked->cdev, sizeof(picked->cdev));
	function_group(picked->bdf[0], picked->group, sizeof(picked->group));
	picked->options = *options;
	picked->options.picked = true;
	picked->options.device = picked->bdf[0];
	picked->options.devices = n >= 2 ? n : 0;
	if (picked->cdev[0])
		picked->options.cdev = picked->cdev;
	if (picked->group[0])
		picked->options.group = picked->group;
	return picked->options.cdev || picked->options.group;
}

/* With the picked function; without it where it is somebody's, or none that the bench knows. */
static int run_one(const struct bench *bench, struct bench_run *run, const struct picked *picked,
		   struct err *err)
{
	unsigned int rows = results_count(run->results);
	struct bench_run with = *run;
	struct err why = { 0 };
	int ret;

	if (!picked || !bench->takes_function)
		return bench->run(run, err);
	with.options = &picked->options;
	ret = bench->run(&with, &why);
	if (!ret)
		results_note(run->results, "%s: with %s, the first function that vfio-pci has",
			     bench->name, picked->bdf[0]);
	if (!ret || results_count(run->results) > rows)
		return ret ? err_set(err, -ret, "%s", why.text) : 0;
	results_note(run->results, "%s: %s, the first function that vfio-pci has, cannot: %s",
		     bench->name, picked->bdf[0], why.text);
	return bench->run(run, err);
}

/* One that fails does not keep the others from their rows; the end's status says it. */
int bench_all(struct bench_run *run, struct err *err)
{
	bool kvm = !access("/dev/kvm", R_OK | W_OK);
	struct picked picked;
	bool has_function = pick(&picked, run->options);

	if (has_function)
		describe_functions(run->results, &picked.options);
	for (size_t i = 0; i < ARRAY_SIZE(benches); i++) {
		struct bench_run one = *run;
		struct err why = { 0 };

		if (benches[i].run == bench_all)
			continue;
		if (benches[i].needs_kvm && !kvm) {
			results_note(run->results, "%s: not without /dev/kvm", benches[i].name);
			continue;
		}
		one.bench = benches[i].name;
		results_bench(run->results, one.bench);
		if (run_one(&benches[i], &one, has_function ? &picked : NULL, &why))
			results_failed(run->results, "%s: %s", one.bench, why.text);
	}
	(void)err;
	return 0;
}
