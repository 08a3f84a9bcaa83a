/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bench of dma.c and its parts: turns of a guest (dma-guest.c), and the server that it starts
 * where nobody named a device (dma-server.c).
 */
#ifndef ADIT_BENCH_DMA_INTERNAL_H
#define ADIT_BENCH_DMA_INTERNAL_H

#include <limits.h>

#include "bench/contest.h"
#include "bench/dma-port.h"
#include "bench/job.h"

#define DMA_GUEST_WALK (192 * MIB) /* of a guest's memory, at most */

enum dma_figure {
	DMA_RATE,
	DMA_MEDIAN, /* latency */
	DMA_TAIL,   /* of 99 % */
	DMA_FIGURES
};

/* Who takes a turn. */
enum dma_way {
	DMA_OURS,  /* this process, through ioasid-client or the vfio-user client */
	DMA_BARE,  /* by the bare ioctls */
	DMA_CPU,   /* memcpy */
	DMA_GUEST, /* a guest of adit's */
};

struct dma {
	struct bench_options options; /* with a server of our own: its socket too */
	const struct map_contest *provider;
	const struct map_memory *memory;
	struct jobs jobs;
	bool moves;   /* the device moves memory to memory, as memcpy does */
	double hertz; /* of the TSC */
	enum dma_way way[PARTIES_MAX];
	/* What turns are made of. */
	char config[PATH_MAX];
	bool serves; /* a server of our own, anew for each turn */
	char server_config[PATH_MAX], socket[96];
	/* Of a guest's turn. */
	struct turn *turn;
	unsigned int ended;
	char complaint[160];
};

struct dma_load dma_load_of(const struct dma *dma, const struct job *job);
/* One load's figures: operations, ticks, and two latencies in ticks. */
void dma_put(const struct dma *dma, struct turn *turn, unsigned int job, double done, double ticks,
	     const double latency[2]);

/* The configuration of a guest with the device, for the jobs that are chosen. */
int dma_guest_prepare(struct dma *dma, struct err *err);
int dma_guest_turn(struct dma *dma, struct turn *turn, struct err *err);

/* `work`: a directory for its socket and configuration. */
int dma_server_prepare(struct dma *dma, const char *work, struct err *err);
/* Runs body while it serves. */
int dma_server_with(struct dma *dma, struct turn *turn,
		    int (*body)(struct dma *dma, struct turn *turn, struct err *err),
		    struct err *err);

#endif
