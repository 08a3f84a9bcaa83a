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

void dma_guest_words(const struct dma *dma, FILE *to)
{
	fprintf(to, "hertz=%.0f ", dma->hertz);
	for (unsigned int i = 0; i < dma->jobs.count; i++) {
		const struct dma_load load = dma_load_of(dma, &dma->jobs.job[i]);
		char row = (char)('a' + i);

		fprintf(to, "row%c=%#llx mix%c=%u size%c=%llu cycles%c=%llu batch%c=%u ", row,
			(unsigned long long)!load.random << 62 |
				(unsigned long long)load.depth << 32 | load.bytes,
			row, load.writes, row, (unsigned long long)load.size, row,
			(unsigned long long)load.ticks, row, load.batch);
	}
}

static void write_device(const struct dma *dma, FILE *to)
{
	bool cdev = dma->provider->provider == IOASID_PROVIDER_IOMMUFD;

	if (dma->provider == &dma_served)
		fprintf(to, "{\"id\": \"served\", \"socket\": \"%s\", \"share\": \"memory\"}",
			dma->options.socket);
	else
		fprintf(to, "{\"path\": \"%s\", \"via\": \"%s\", \"allow_no_reset\": true}",
			dma->options.device, cdev ? "cdev" : "group");
}

int dma_guest_prepare(struct dma *dma, struct err *err)
{
	FILE *to = fopen(dma->config, "we");

	if (!to)
		return err_set(err, errno, "%s: %m", dma->config);
	fprintf(to,
		"{\"payload\": {\"flat\": \"%s/guest/dmaload.bin\", \"address\": \"2M\", "
		"\"cmdline\": \"",
		dma->options.build);
	dma_guest_words(dma, to);
	fprintf(to, "\"}, \"memory\": {\"size\": \"" DMA_GUEST_MEMORY "\"}, \"debug_exit\": true, "
		    "\"serial\": {\"mode\": \"Tty\"}, \"devices\": [");
	write_device(dma, to);
	fprintf(to, "]}");
	return fclose(to) ? err_set(err, EIO, "%s: it cannot be written", dma->config) : 0;
}

static void on_line(void *arg, int pid, char *text)
{
	struct dma *dma = arg;
	double done, ticks, latency[2];
	char row;

	(void)pid;
	if (sscanf(text, "end %c %lf %lf %lf %lf", &row, &done, &ticks, &latency[0], &latency[1]) ==
		    5 &&
	    row >= 'a' && row < 'a' + (int)dma->jobs.count && ticks > 0) {
		dma->ended++;
		dma_put(dma, dma->turn, (unsigned int)(row - 'a'), done, ticks, latency);
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
	char *argv[] = { adit, (char *)"run", dma->config, NULL };

	snprintf(adit, sizeof(adit), "%.4000s/adit", dma->options.build);
	return dma_guest_run(dma, turn, argv, 0, err);
}
