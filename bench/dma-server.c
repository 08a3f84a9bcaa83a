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

#define ENTRIES 64 /* as many as there are lanes */

int dma_server_prepare(struct dma *dma, struct err *err)
{
	FILE *to;

	snprintf(dma->socket, sizeof(dma->socket), "%.80s/socket", dma->work);
	snprintf(dma->server_config, sizeof(dma->server_config), "%.4000s/served", dma->work);
	dma->options.socket = dma->socket;
	dma->serves = true;
	to = fopen(dma->server_config, "we");
	if (!to)
		return err_set(err, errno, "%s: %m", dma->server_config);
	fprintf(to,
		"{\"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", \"wqs\": [{\"size\": %d}]}]}",
		ENTRIES);
	return fclose(to) ? err_set(err, EIO, "%s: it cannot be written", dma->server_config) : 0;
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
	char *argv[] = { adit, (char *)"adi-serve", dma->socket, dma->server_config, NULL };
	int ret;

	snprintf(adit, sizeof(adit), "%.4000s/adit", dma->options.build);
	ret = child_look(turn, argv, "ready", look, &served);
	/* It was killed: nobody took its socket away. */
	unlink(dma->socket);
	return ret && !served.ready ? err_set(err, -ret, "%s adi-serve %s %s does not get ready",
					      adit, dma->socket, dma->server_config)
				    : ret;
}
