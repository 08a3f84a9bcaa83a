/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The passthrough budget in adit bench map: what `adit check` predicts of locked memory and of the
 * time to map it, beside what a VM with the device has locked and what mapping as much takes here.
 */
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/map.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "util/bits.h"
#include "util/populate.h"

#define SIZE	  (256 * MIB)
#define SIZE_TEXT "256M"
#define ROUNDS	  8u /* it is a boot each */

#define LOCKED_LIMIT 1.0 /* % that its prediction may be off: it is arithmetic */

enum row {
	LOCKED,
	TIME,
	/* Of that time, what is sampled when it is predicted, and what comes from a table. */
	MAKING,
	ENTERING,
	ROWS
};

struct budget {
	const struct bench_options *options;
	const struct map_contest *provider;
	unsigned int page_shift;
	char config[PATH_MAX], adit[PATH_MAX];
};

/* --- measured -------------------------------------------------------------------------------- */

/* iommufd counts what it pins as pinned, type1 as locked. */
static int read_locked(int pid, void *arg)
{
	char path[64], line[256];
	unsigned long long kib;
	double *bytes = arg;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	status = fopen(path, "re");
	if (!status)
		return -errno;
	while (fgets(line, sizeof(line), status)) {
		if (sscanf(line, "VmLck: %llu kB", &kib) == 1 ||
		    sscanf(line, "VmPin: %llu kB", &kib) == 1)
			*bytes += (double)kib * 1024;
	}
	fclose(status);
	return 0;
}

static int make_pages(const struct map_memory *memory, double *ms, struct err *err)
{
	struct populate *populate;
	int r;

	*ms = map_now_us() / -1e3;
	populate = populate_begin(&(struct populate_options){
		.base = memory->at, .size = SIZE, .hugepage = BIT_U64(memory->page_shift) });
	r = populate ? populate_end(populate, NULL) : -ENOMEM;
	*ms += map_now_us() / 1e3;
	return r ? err_set(err, -r, "%llu bytes of memory: %s", SIZE, strerror(-r)) : 0;
}

/*
 * As adit does it at its start, one after the other: the pages of a memfd that nobody has touched
 * are made, and it is mapped into a space with the device.
 */
static int time_map(const struct budget *budget, double *making, double *entering, struct err *err)
{
	const struct ioasid_space_options wanted = { .name = "bench" };
	struct ioasid_device *device = NULL;
	struct ioasid_space *space = NULL;
	struct map_memory memory;
	struct ioasid_ctx *ctx;
	int r;

	if (map_memory_empty(&memory, budget->page_shift, SIZE))
		return err_set(err, ENOMEM, "%llu bytes of memory in %s pages are not there", SIZE,
			       memory.pages);
	r = ioasid_ctx_open(&ctx, budget->provider->provider, NULL, err);
	if (r)
		goto out;
	r = map_bind(budget->provider, budget->options, ctx, &device, err);
	if (!r)
		r = ioasid_alloc(ctx, &wanted, &space, err);
	if (!r)
		r = ioasid_attach(device, space, err);
	if (!r)
		r = make_pages(&memory, making, err);
	*entering = map_now_us() / -1e3;
	if (!r)
		r = ioasid_map(space,
			       &(struct ioasid_mapping){ .iova = MAP_IOVA,
							 .size = SIZE,
							 .hva = memory.at,
							 .rights = IOASID_READ | IOASID_WRITE,
							 .fd = memory.fd },
			       err);
	*entering += map_now_us() / 1e3;
	ioasid_ctx_close(ctx);
out:
	map_memory_free(&memory);
	return r;
}

static int measured(struct turn *turn, const struct budget *budget, struct err *err)
{
	char *const argv[] = { (char *)budget->adit, (char *)"run", (char *)budget->config, NULL };
	double locked = 0, making = 0, entering = 0;
	int ret = child_look(turn, argv, "ready", read_locked, &locked);

	if (ret)
		return err_set(err, -ret, "%s run %s: %s", budget->adit, budget->config,
			       strerror(-ret));
	ret = time_map(budget, &making, &entering, err);
	turn_put(turn, LOCKED, locked / MIB);
	turn_put(turn, TIME, making + entering);
	turn_put(turn, MAKING, making);
	turn_put(turn, ENTERING, entering);
	return ret;
}

/* --- predicted ------------------------------------------------------------------------------- */

struct text {
	char all[64 * 1024];
	size_t used;
};

static void add_line(void *arg, int pid, char *line)
{
	struct text *text = arg;

	(void)pid;
	text->used += (size_t)snprintf(text->all + text->used, sizeof(text->all) - text->used, "%s",
				       line);
	text->used = MIN(text->used, sizeof(text->all) - 1);
}

static int predicted(struct turn *turn, const struct budget *budget, struct err *err)
{
	char *const argv[] = { (char *)budget->adit, (char *)"check", (char *)"--json",
			       (char *)budget->config, NULL };
	struct text *text = calloc(1, sizeof(*text));
	struct json_object *plan, *found = NULL;
	int status = 0, ret;

	if (!text)
		return err_set(err, ENOMEM, "no memory");
	/* Its status says whether the plan has problems, and is not asked. */
	ret = child_lines(turn, argv, add_line, text, &status);
	plan = ret ? NULL : json_tokener_parse(text->all);
	if (json_object_is_type(plan, json_type_object))
		found = json_object_object_get(plan, "budget");
	if (json_object_is_type(found, json_type_object)) {
		const struct json_object *locked = json_object_object_get(found, "locked_memory");
		const struct json_object *ms = json_object_object_get(found, "map_ms");

		turn_put(turn, LOCKED, json_object_get_double(locked) / MIB);
		turn_put(turn, TIME, json_object_get_double(ms));
	} else {
		ret = err_set(err, EPROTO, "adit check --json says no budget");
	}
	json_object_put(plan);
	free(text);
	return ret;
}

/* --- both ------------------------------------------------------------------------------------ */

static int budget_turn(struct turn *turn, struct err *err)
{
	return turn->party ? predicted(turn, turn->opaque, err) : measured(turn, turn->opaque, err);
}

static int write_config(struct budget *budget, struct bench_run *run, struct err *err)
{
	char work[PATH_MAX - 16];
	int ret = watch_scratch(run->watch, NULL, work, sizeof(work), err);
	FILE *to;

	if (ret)
		return ret;
	snprintf(budget->config, sizeof(budget->config), "%s/config", work);
	snprintf(budget->adit, sizeof(budget->adit), "%.4000s/adit", run->options->build);
	to = fopen(budget->config, "we");
	if (!to)
		return err_set(err, errno, "%s: %m", budget->config);
	fprintf(to,
		"{\"payload\": {\"flat\": \"%s/guest/spin.bin\", \"address\": \"2M\"}, "
		"\"memory\": {\"size\": \"" SIZE_TEXT "\"%s}, \"serial\": {\"mode\": \"Tty\"}, "
		"\"devices\": [{\"path\": \"%s\", \"via\": \"%s\", \"allow_no_reset\": true}]}",
		run->options->build, budget->page_shift > 12 ? ", \"hugepages\": true" : "",
		run->options->device,
		budget->provider->provider == IOASID_PROVIDER_IOMMUFD ? "cdev" : "group");
	return fclose(to) ? err_set(err, EIO, "%s: it cannot be written", budget->config) : 0;
}

static void say_error(struct bench_run *run, const char *name, const struct contest *contest,
		      enum row row)
{
	const struct samples *is = contest_samples(contest, row, 0);
	const struct samples *said = contest_samples(contest, row, 1);
	struct prng prng = { .state = run->options->seed };
	struct interval off = ratio_interval(said, is, 0, INTERVAL_LEVEL, &prng);

	if (samples_median(is) > 0)
		results_note(run->results,
			     "%s: the prediction of %.4g is off by %+.1f %% (%.0f %%: %+.1f to "
			     "%+.1f)",
			     name, samples_median(said),
			     (samples_median(said) / samples_median(is) - 1) * 100,
			     INTERVAL_LEVEL * 100, (off.low - 1) * 100, (off.high - 1) * 100);
}

/* In percent, of each round; limit: what it may be, 0: nobody asks. */
static void add_error(struct bench_run *run, const char *name, const struct contest *contest,
		      enum row row, double limit)
{
	const struct samples off =
		samples_off(contest_samples(contest, row, 1), contest_samples(contest, row, 0));
	char whole[80];
	const struct result result = {
		.name = whole,
		.unit = "%",
		.reference_name = limit > 0 ? "limit" : NULL,
		.reference = limit,
		.target = limit > 0 ? 1 : 0,
	};

	snprintf(whole, sizeof(whole), "%s, error", name);
	results_add(run->results, &result, &off, NULL);
}

/* Whether there are so many of such pages. */
static bool have_pages(const struct budget *budget, struct bench_run *run)
{
	struct map_memory memory;

	if (!map_memory_new(&memory, budget->page_shift, SIZE)) {
		map_memory_free(&memory);
		return true;
	}
	results_note(run->results, "%s: budget in %s pages: this host has too few free",
		     budget->provider->name, memory.pages);
	return false;
}

int bench_map_budget(const struct map_contest *provider, unsigned int page_shift,
		     struct bench_run *run, struct err *err)
{
	struct budget *budget = calloc(1, sizeof(*budget));
	char names[ROWS][64];
	const struct contest_row rows[ROWS] = {
		[LOCKED] = { .name = names[LOCKED], .unit = "MiB" },
		[TIME] = { .name = names[TIME], .unit = "ms" },
		[MAKING] = { .name = names[MAKING], .unit = "ms" },
		[ENTERING] = { .name = names[ENTERING], .unit = "ms" },
	};
	struct contest contest = {
		.name = "budget",
		.parties = { "adit", "predicted" },
		.party_count = 2,
		.rows = rows,
		.row_count = ROWS,
		.rounds_max = ROUNDS,
		.turn = budget_turn,
		.opaque = budget,
	};
	const char *pages = page_shift > 12 ? "2M" : "4K";
	int ret;

	if (!budget)
		return err_set(err, ENOMEM, "no memory");
	budget->options = run->options;
	budget->provider = provider;
	budget->page_shift = page_shift;
	if (!have_pages(budget, run)) {
		free(budget);
		return 0;
	}
	snprintf(names[LOCKED], sizeof(names[LOCKED]), "%s, %s pages: budget: locked memory",
		 provider->name, pages);
	snprintf(names[TIME], sizeof(names[TIME]), "%s, %s pages: budget: time to map",
		 provider->name, pages);
	snprintf(names[MAKING], sizeof(names[MAKING]), "%s, %s pages: budget: making the pages",
		 provider->name, pages);
	snprintf(names[ENTERING], sizeof(names[ENTERING]),
		 "%s, %s pages: budget: pinning and entering", provider->name, pages);
	ret = write_config(budget, run, err);
	if (!ret)
		ret = contest_run(&contest, run, err);
	if (!ret) {
		contest_report(&contest, run);
		for (int row = LOCKED; row <= TIME; row++) {
			add_error(run, names[row], &contest, row, row == LOCKED ? LOCKED_LIMIT : 0);
			say_error(run, names[row], &contest, row);
		}
	}
	contest_free(&contest);
	free(budget);
	return ret;
}
