/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What functions add to adit's own time before its guest starts: apart from the time in which the
 * kernel opened, reset, attached or pinned something, or was waited for to make pages. The guest is
 * a payload of a page. Under a kernel and its initramfs it would be the machine without functions
 * that takes longer: their pages are made when they are loaded, and those of a guest with functions
 * before.
 */
#include "bench/boot-devices.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "bench/child.h"
#include "bench/entry.h"
#include "bench/results.h"

#define LIMIT_MS 5.0

enum party {
	WITHOUT,
	WITH,
	PARTIES
};

struct measure {
	const char (*bdf)[BDF_CHARS + 1];
	char config[PARTIES][PATH_MAX], timed[PATH_MAX], entry_file[PATH_MAX];
};

static int write_config(const struct measure *measure, enum party party, const char *build,
			unsigned int n)
{
	FILE *to = fopen(measure->config[party], "we");

	if (!to)
		return -errno;
	fprintf(to,
		"{\"payload\": {\"flat\": \"%s/guest/hello.bin\", \"address\": \"2M\"}, "
		"\"cpus\": {\"boot_vcpus\": 1}, \"memory\": {\"size\": \"128M\", \"shared\": "
		"false}, \"serial\": {\"mode\": \"Tty\"}, \"debug_exit\": true, \"devices\": [",
		build);
	for (unsigned int i = 0; i < n; i++)
		fprintf(to, "%s{\"path\": \"%s\", \"allow_no_reset\": true}", i ? ", " : "",
			measure->bdf[i]);
	fprintf(to, "]}");
	return fclose(to) ? -errno : 0;
}

static int devices_turn(struct turn *turn, struct err *err)
{
	struct measure *measure = turn->opaque;
	char *const argv[] = { measure->timed, (char *)"run", measure->config[turn->party], NULL };
	struct child_times times;
	double entry_ms, kernel_ms;
	int ret, taken;

	entry_begin(measure->entry_file);
	ret = child_time(turn, argv, NULL, NULL, false, &times);
	taken = entry_take(measure->entry_file, &entry_ms, &kernel_ms);
	if (!ret && (!WIFEXITED(times.status) || WEXITSTATUS(times.status)))
		ret = -EIO;
	ret = ret ? ret : taken;
	if (ret)
		return err_set(err, -ret, "%s run %s: %s", measure->timed,
			       measure->config[turn->party], strerror(-ret));
	turn_put(turn, 0, entry_ms - kernel_ms);
	return 0;
}

static void report(const struct contest *contest, struct bench_run *run, unsigned int n)
{
	static const struct result row = {
		.name = "own time per device",
		.unit = "ms",
		.reference_name = "5 ms",
		.reference = LIMIT_MS,
		.target = 1.0,
	};
	const struct samples *with = contest_samples(contest, 0, WITH);
	const struct samples *without = contest_samples(contest, 0, WITHOUT);
	struct samples ours = { .count = 0 };

	for (unsigned int i = 0; i < with->count; i++)
		samples_add(&ours, (with->value[i] - without->value[i]) / n);
	results_add(run->results, &row, &ours, NULL);
}

int boot_devices_measure(struct bench_run *run, const char (*bdf)[BDF_CHARS + 1], unsigned int n,
			 const char *work, struct err *err)
{
	static const struct contest_row rows[] = { { .hidden = true } };
	struct measure *measure = calloc(1, sizeof(*measure));
	struct contest contest = {
		.name = "devices",
		.parties = { "adit", "adit with devices" },
		.party_count = PARTIES,
		.rows = rows,
		.row_count = 1,
		.turn = devices_turn,
		.opaque = measure,
	};
	int ret = 0;

	if (!measure)
		return err_set(err, ENOMEM, "no memory");
	measure->bdf = bdf;
	snprintf(measure->timed, PATH_MAX, "%.4000s/bench/adit-timed", run->options->build);
	snprintf(measure->entry_file, PATH_MAX, "%.4000s/entry", work);
	for (unsigned int i = 0; !ret && i < PARTIES; i++) {
		snprintf(measure->config[i], PATH_MAX, "%.4000s/flat%u", work, i);
		ret = write_config(measure, i, run->options->build, i == WITH ? n : 0);
		if (ret)
			err_set(err, -ret, "%s: %s", measure->config[i], strerror(-ret));
	}
	if (!ret)
		ret = contest_run(&contest, run, err);
	if (!ret)
		report(&contest, run, n);
	contest_free(&contest);
	free(measure);
	return ret;
}
