/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bench of dma.c and its parts: its loads (dma-loads.c), turns of a guest (dma-guest.c) and of
 * QEMU's (dma-qemu.c), and the server that it starts where nobody named a device (dma-server.c).
 */
#ifndef ADIT_BENCH_DMA_INTERNAL_H
#define ADIT_BENCH_DMA_INTERNAL_H

#include <errno.h>
#include <limits.h>

#include "bench/contest.h"
#include "bench/dma-port.h"
#include "bench/job.h"

#define DMA_GUEST_MEMORY "256M"
#define DMA_GUEST_BYTES	 (256 * MIB)
#define DMA_GUEST_WALK	 (192 * MIB) /* of it, at most */

#define DMA_LINES	  4096u /* of as many pages, where there are as many */
#define DMA_MEMORY_MOST	  (16 * GIB)
#define DMA_RUNTIME	  0.2 /* seconds */
#define DMA_RUNTIME_BRIEF 0.05

enum dma_figure {
	DMA_RATE,
	DMA_MEDIAN, /* latency */
	DMA_TAIL,   /* of 99 % */
	DMA_FAR,    /* of 99.9 % */
	DMA_LONGEST,
	DMA_OPERATIONS, /* of a turn */
	DMA_FIGURES
};

/* What a turn says of a load; latencies in ticks. */
struct dma_says {
	double done, ticks, median, tail, far, longest;
};

/* Of a contest: DMA_FIGURES one behind the other for each load, from its `first` on. */
struct dma_rows {
	struct contest_row row[ROWS_MAX];
	char name[ROWS_MAX][128];
};

/* Who takes a turn. */
enum dma_way {
	DMA_OURS,	  /* this process, through ioasid-client or the vfio-user client */
	DMA_BARE,	  /* by the bare ioctls */
	DMA_CPU,	  /* memcpy */
	DMA_GUEST,	  /* a guest of adit's */
	DMA_QEMU,	  /* the same under QEMU's microvm */
	DMA_PASIDS,	  /* as DMA_OURS, by several queues with a PASID each */
	DMA_NO_PASIDS,	  /* by as many queues without */
	DMA_GUEST_PASIDS, /* both in a guest with a DSA of adit's own */
	DMA_GUEST_NO_PASIDS,
};

struct dma {
	struct bench_options options; /* with a server of our own: its socket too */
	const struct map_contest *provider;
	const struct map_memory *memory;
	struct jobs jobs;	  /* of the contest; at first of all that are under no PASID */
	struct jobs under_pasids; /* the others */
	bool guest_room;	  /* there are as many such pages as a guest's memory takes */
	bool moves;		  /* the device moves memory to memory, as memcpy does */
	double hertz;		  /* of the TSC */
	enum dma_way way[PARTIES_MAX];
	/* What turns are made of. */
	char work[PATH_MAX - 16], config[PATH_MAX];
	char no_pasids[PATH_MAX]; /* as config, of a guest that uses none */
	bool serves;		  /* a server of our own, anew for each turn */
	char server_config[PATH_MAX], pasid_config[PATH_MAX], socket[96];
	const struct map_contest *qemu_has; /* the device model of this one */
	/* Of a guest's turn. */
	struct turn *turn;
	unsigned int ended;
	char complaint[160];
};

/* --- dma-loads.c: of dma->options --- */
int dma_take_jobs(struct dma *dma, struct err *err);
/* Names and places of those that are lines, in `room` bytes of memory of such pages. */
void dma_fit_lines(struct jobs *jobs, unsigned int page_shift, uint64_t room);
unsigned int dma_job_keys(void); /* what a file may say of them */

/* Queues that the loads of the contest are spread over; none where they all take one. */
struct dma_queues dma_queues_of(const struct dma *dma, bool pasids);
struct dma_load dma_load_of(const struct dma *dma, const struct job *job);
/* One load's figures. */
void dma_put(const struct dma *dma, struct turn *turn, unsigned int job,
	     const struct dma_says *says);

/* --- dma-rows.c --- */
struct dma_says dma_says_of(const struct dma_result *result);
/* Rates are of moves of so many bytes, of which an operation makes `batch`. */
void dma_rows_put(struct turn *turn, unsigned int first, const struct dma_says *says,
		  uint64_t bytes, unsigned int batch, double hertz);
void dma_rows_name(struct dma_rows *rows, unsigned int first, const char *name, uint64_t bytes,
		   bool brief);
/* Between the contest's run and its report: what is of too few operations says so. */
void dma_rows_judge(struct dma_rows *rows, unsigned int first, const struct contest *contest);

/* The configuration of a guest with the device, for the jobs that are chosen. */
int dma_guest_prepare(struct dma *dma, struct err *err);
int dma_guest_turn(struct dma *dma, struct turn *turn, struct err *err);
/* The two of a guest whose ADI has PASIDs, which are turns as others are. */
int dma_guest_prepare_pasids(struct dma *dma, struct err *err);
/* What its payload is told of the jobs and of queues, each word with a space behind it. */
void dma_guest_words(const struct dma *dma, const struct dma_queues *queues, FILE *to);
/* A monitor with that payload, which ends with status `good` where all went well. */
int dma_guest_run(struct dma *dma, struct turn *turn, char *const argv[], int good,
		  struct err *err);
/* -ENOTSUP: QEMU is not there, or has no such device model. */
int dma_qemu_turn(struct dma *dma, struct turn *turn, struct err *err);

/* dma-soft.c: under PASIDs of the soft provider. */
int dma_soft_measure(const struct dma *dma, struct bench_run *run, struct err *err);

/* Keys of a configuration: an ADI with DMA_QUEUES queues, of which PASIDs 1 to as many, and none,
 * are bound to all memory. */
void dma_write_adi(FILE *to);
/* Its socket and configuration are in dma->work. */
int dma_server_prepare(struct dma *dma, struct err *err);
/* Runs body while it serves. */
int dma_server_with(struct dma *dma, struct turn *turn,
		    int (*body)(struct dma *dma, struct turn *turn, struct err *err),
		    struct err *err);

#endif
