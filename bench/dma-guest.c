/* SPDX-License-Identifier: Apache-2.0 */
/* The guest in adit bench dma: dmaload, which has the same drivers, under adit run. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "bench/child.h"
#include "bench/dma-internal.h"
#include "util/bits.h"

_Static_assert(DMA_GUEST_WALK < 256 * MIB, "what is walked over lies in the guest's memory");

void dma_guest_words(const struct dma *dma, const struct dma_queues *queues, FILE *to)
{
	fprintf(to, "hertz=%.0f queues=%u pasids=%d ", dma->hertz, queues->count, queues->pasids);
	for (unsigned int i = 0; i < dma->jobs.count; i++) {
		const struct dma_load load = dma_load_of(dma, &dma->jobs.job[i]);
		char row = (char)('a' + i);

		fprintf(to, "row%c=%#llx mix%c=%u size%c=%llu cycles%c=%llu batch%c=%u ", row,
			(unsigned long long)!load.random << 62 |
				(unsigned long long)load.depth << 32 | load.bytes,
			row, load.writes, row, (unsigned long long)load.size, row,
			(unsigned long long)load.ticks, row, load.batch);
		if (load.stride)
			fprintf(to, "stride%c=%llu ", row, (unsigned long long)load.stride);
		if (load.queues)
			fprintf(to, "spread%c=%u inrow%c=%u own%c=%d ", row, load.queues, row,
				load.in_row, row, load.own_lanes);
		if (load.ramp)
			fprintf(to, "ramp%c=%llu ", row, (unsigned long long)load.ramp);
	}
}

static void write_device(const struct dma *dma, FILE *to)
{
	bool cdev = dma->provider->provider == IOASID_PROVIDER_IOMMUFD;

	fprintf(to, "\"devices\": [");
	if (dma->provider == &dma_served)
		fprintf(to, "{\"id\": \"served\", \"socket\": \"%s\", \"share\": \"memory\"}",
			dma->options.socket);
	else
		fprintf(to, "{\"path\": \"%s\", \"via\": \"%s\", \"allow_no_reset\": true}",
			dma->options.device, cdev ? "cdev" : "group");
	fprintf(to, "]");
}

/* adi: with one of its own, in the place of the device. */
static int write_config(const struct dma *dma, const char *path, const struct dma_queues *queues,
			bool adi, struct err *err)
{
	FILE *to = fopen(path, "we");

	if (!to)
		return err_set(err, errno, "%s: %m", path);
	fprintf(to,
		"{\"payload\": {\"flat\": \"%s/guest/dmaload.bin\", \"address\": \"2M\", "
		"\"cmdline\": \"",
		dma->options.build);
	dma_guest_words(dma, queues, to);
	fprintf(to,
		"\"}, \"memory\": {\"size\": \"" DMA_GUEST_MEMORY "\"%s}, \"debug_exit\": true, "
		"\"serial\": {\"mode\": \"Tty\"}, ",
		dma->memory->page_shift > 12 ? ", \"hugepages\": true" : "");
	if (adi)
		dma_write_adi(to);
	else
		write_device(dma, to);
	fprintf(to, "}");
	return fclose(to) ? err_set(err, EIO, "%s: it cannot be written", path) : 0;
}

int dma_guest_prepare(struct dma *dma, struct err *err)
{
	const struct dma_queues queues = dma_queues_of(dma, false);

	return write_config(dma, dma->config, &queues, false, err);
}

int dma_guest_prepare_pasids(struct dma *dma, struct err *err)
{
	const struct dma_queues with = dma_queues_of(dma, true);
	const struct dma_queues without = dma_queues_of(dma, false);
	int ret = write_config(dma, dma->config, &with, true, err);

	snprintf(dma->no_pasids, sizeof(dma->no_pasids), "%.4000s/no-pasids", dma->work);
	return ret ? ret : write_config(dma, dma->no_pasids, &without, true, err);
}

static void on_line(void *arg, int pid, char *text)
{
	struct dma *dma = arg;
	struct dma_says says;
	char row;

	(void)pid;
	if (sscanf(text, "end %c %lf %lf %lf %lf %lf %lf", &row, &says.done, &says.ticks,
		   &says.median, &says.tail, &says.far, &says.longest) == 7 &&
	    row >= 'a' && row < 'a' + (int)dma->jobs.count && says.ticks > 0) {
		dma->ended++;
		dma_put(dma, dma->turn, (unsigned int)(row - 'a'), &says);
	} else if (!strncmp(text, "not ok", 6)) {
		snprintf(dma->complaint, sizeof(dma->complaint), "; the guest says: %.120s", text);
	}
}

int dma_guest_run(struct dma *dma, struct turn *turn, char *const argv[], int good, struct err *err)
{
	int status = 0, ret;

	dma->turn = turn;
	dma->ended = 0;
	dma->complaint[0] = 0;
	ret = child_lines(turn, argv, on_line, dma, &status);
	if (!ret &&
	    (!WIFEXITED(status) || WEXITSTATUS(status) != good || dma->ended != dma->jobs.count))
		ret = -EIO;
	return ret ? err_set(err, -ret, "the guest ended with status %#x after %u loads of %u%s",
			     (unsigned int)status, dma->ended, dma->jobs.count, dma->complaint)
		   : 0;
}

int dma_guest_turn(struct dma *dma, struct turn *turn, struct err *err)
{
	char adit[PATH_MAX];
	bool no_pasids = dma->way[turn->party] == DMA_GUEST_NO_PASIDS;
	char *argv[] = { adit, (char *)"run", no_pasids ? dma->no_pasids : dma->config, NULL };

	snprintf(adit, sizeof(adit), "%.4000s/adit", dma->options.build);
	return dma_guest_run(dma, turn, argv, 0, err);
}
