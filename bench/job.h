/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Job files: what a bench measures instead of its own rows, in JSON, with the names that fio has
 * for the same things.
 *
 *	{ "global": { "iodepth": 16 }, "jobs": [ { "name": "small", "rw": "randread", "bs": "4k" } ]
 *}
 *
 * A job has what global says, and its own keys above that. A key that the bench does not know is
 * refused with its JSON pointer.
 */
#ifndef ADIT_BENCH_JOB_H
#define ADIT_BENCH_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

struct json_object;

#define JOBS_MAX 16u

/* Which keys a bench takes: bits by their place in job.c's table. */
enum job_key {
	JOB_RW,
	JOB_BS,
	JOB_IODEPTH,
	JOB_IODEPTH_BATCH,
	JOB_RUNTIME,
	JOB_SIZE,
	JOB_IO_SIZE,
	JOB_NUMBER_IOS,
	JOB_RWMIXREAD,
	JOB_DIRECT,
	JOB_PASID,
	JOB_PASIDS,
	JOB_PASID_RUN,
	JOB_NUMJOBS,
	JOB_RAMP_TIME,
	JOB_KEYS
};

#define JOB_BIT(key) (1u << (key))

/* Of dma: a line in each of many pages, or as many lines one behind the other. */
enum job_lines {
	JOB_NO_LINES,
	JOB_PACKED,
	JOB_SPREAD,
};

struct job {
	char name[40];
	unsigned int index;	    /* in its file */
	bool random, reads, writes; /* rw */
	uint64_t bs;		    /* bytes of one */
	unsigned int iodepth;	    /* under way at a time */
	unsigned int iodepth_batch; /* submitted at a time */
	double runtime;		    /* seconds of one turn */
	double ramp_time;	    /* and before them, of which nothing is kept */
	uint64_t size;		    /* bytes that are walked over */
	uint64_t io_size;	    /* bytes that one turn moves */
	unsigned int number_ios;    /* operations of one turn */
	unsigned int rwmixread;	    /* % of reads where both are asked for */
	bool direct;
	bool pasid;
	unsigned int numjobs;	/* queues, each with its iodepth; 0: as 1 */
	unsigned int pasids;	/* that operations are spread over; 0: under none */
	unsigned int pasid_run; /* operations under one before the next */
	/* No keys of a file: */
	enum job_lines lines;
	uint64_t stride; /* bytes from the begin of one to that of the next; 0: no gap */
};

struct jobs {
	unsigned int count;
	struct job job[JOBS_MAX];
};

/*
 * keys: the bits that the bench takes; defaults: what a job has that says nothing. 0, or -EINVAL
 * with a sentence that begins with the file and the JSON pointer.
 */
int jobs_read(struct jobs *jobs, const char *path, unsigned int keys, const struct job *defaults,
	      struct err *err);
/* The same of a text; name: what to call it. */
int jobs_parse(struct jobs *jobs, const char *name, const char *text, unsigned int keys,
	       const struct job *defaults, struct err *err);

/* A job as a file would say it, with what it has of these keys. A new object. */
struct json_object *job_describe(const struct job *job, unsigned int keys);
/* What one turn of each of them asks for, by their ramps and runtimes. */
double jobs_seconds(const struct job *jobs, unsigned int count);

#endif
