/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device for adit bench dma where nobody named one: a DSA that adit adi-serve serves, started
 * anew for each turn.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/dma-internal.h"
#include "passthrough/adi/dsa.h"

#define ENTRIES 64			       /* as many as there are lanes */
#define SHARE	(DSA_MAX_WQ_SIZE / DMA_QUEUES) /* of each of several queues */

static int end_file(FILE *file, const char *path, struct err *err)
{
	return fclose(file) ? err_set(err, EIO, "%s: it cannot be written", path) : 0;
}

void dma_write_adi(FILE *to)
{
	fprintf(to, "\"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", "
		    "\"pasid\": {\"allow\": true}, \"wqs\": [");
	for (unsigned int i = 0; i < DMA_QUEUES; i++)
		fprintf(to, "%s{\"size\": %u}", i ? ", " : "", SHARE);
	fprintf(to, "]}], \"pasids\": [{\"adi\": \"dsa0\", \"guest\": \"none\"}");
	for (unsigned int i = 1; i <= DMA_QUEUES; i++)
		fprintf(to, ", {\"adi\": \"dsa0\", \"guest\": %u}", i);
	fprintf(to, "]");
}

static int write_pasid_config(const struct dma *dma, struct err *err)
{
	FILE *to = fopen(dma->pasid_config, "we");

	if (!to)
		return err_set(err, errno, "%s: %m", dma->pasid_config);
	fprintf(to, "{");
	dma_write_adi(to);
	fprintf(to, "}");
	return end_file(to, dma->pasid_config, err);
}

int dma_server_prepare(struct dma *dma, struct err *err)
{
	FILE *to;
	int ret;

	snprintf(dma->socket, sizeof(dma->socket), "%.80s/socket", dma->work);
	snprintf(dma->server_config, sizeof(dma->server_config), "%.4000s/served", dma->work);
	snprintf(dma->pasid_config, sizeof(dma->pasid_config), "%.4000s/pasids", dma->work);
	dma->options.socket = dma->socket;
	dma->serves = true;
	to = fopen(dma->server_config, "we");
	if (!to)
		return err_set(err, errno, "%s: %m", dma->server_config);
	fprintf(to,
		"{\"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", \"wqs\": [{\"size\": %d}]}]}",
		ENTRIES);
	ret = end_file(to, dma->server_config, err);
	return ret ? ret : write_pasid_config(dma, err);
}

struct served {
	struct dma *dma;
	struct turn *turn;
	int (*body)(struct dma *dma, struct turn *turn, struct err *err);
	struct err *err;
	bool ready;
};

static int look(int pid, void *arg)
{
	struct served *served = arg;

	(void)pid;
	served->ready = true;
	return served->body(served->dma, served->turn, served->err);
}

int dma_server_with(struct dma *dma, struct turn *turn,
		    int (*body)(struct dma *dma, struct turn *turn, struct err *err),
		    struct err *err)
{
	struct served served = { .dma = dma, .turn = turn, .body = body, .err = err };
	char adit[PATH_MAX];
	bool several = dma_queues_of(dma, true).count;
	char *config = several ? dma->pasid_config : dma->server_config;
	char *argv[] = { adit, (char *)"adi-serve", dma->socket, config, NULL };
	int ret;

	snprintf(adit, sizeof(adit), "%.4000s/adit", dma->options.build);
	ret = child_look(turn, argv, "ready", look, &served);
	/* It was killed: nobody took its socket away. */
	unlink(dma->socket);
	return ret && !served.ready ? err_set(err, -ret, "%s adi-serve %s %s does not get ready",
					      adit, dma->socket, config)
				    : ret;
}
