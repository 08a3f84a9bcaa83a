/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bench is, and what it is given: the options of the command line, and the run that it is
 * part of, which has the results, the plot and the watch over its turns.
 */
#ifndef ADIT_BENCH_BENCH_H
#define ADIT_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "util/err.h"

/* Untold (help.c says so). */
#define BENCH_ROUNDS	    21
#define BENCH_PATIENCE	    120 /* seconds */
#define BENCH_PATIENCE_MAX  86400
#define BENCH_VMS	    200
#define BENCH_VMS_MAX	    10000
#define BENCH_RETRIES_MAX   100
#define BENCH_THRESHOLD	    2 /* percent */
#define BENCH_THRESHOLD_MAX 100

struct bench_options {
	char *const *argv; /* as it was started; not for reading options */
	int argc;
	const char *describe;  /* git's, of the tree that was built; NULL: there was none */
	const char *json_path; /* NULL: no JSON */
	const char *svg_path;  /* NULL: no plot */
	unsigned int rounds;
	int warm_up; /* rounds that are not kept; below 0: each contest's own number */
	uint64_t seed;
	const char *cpus;      /* NULL: any */
	int node;	       /* NUMA; below 0: any */
	unsigned int patience; /* seconds that a turn may take */
	unsigned int retries;  /* turns in all that were ended for it and are taken again */
	bool self;	       /* the first party in the place of all others */
	bool brief;	       /* fewer sizes: what a summary needs */
	double threshold;      /* compare: smaller changes are none; 0.02 are 2 % */
	const char *job_path;  /* NULL: the bench's own rows */
	const char *build;     /* directory of adit, bench/ and guest/ */
	/* boot: a Linux kernel instead of flat payloads; NULL: none */
	const char *kernel, *initramfs, *cmdline;
	const char *marker;   /* what its user space says first */
	unsigned int devices; /* and with that many functions of vfio-pci's; 0: none. Of map too */
	bool picked;	      /* nobody named the functions: what they cannot is no failure */
	unsigned int vms;     /* fleet: how many at once */
	/* map: a VFIO character device; a VFIO group and a device of it. NULL: none */
	const char *cdev, *group, *device;
	const char *socket; /* dma: where a function is served over vfio-user; NULL: none */
	/* io: where its image is made, and whether both sides go past the page cache */
	const char *directory;
	bool direct;
};

struct results;
struct plot;
struct watch;

struct bench_run {
	const struct bench_options *options;
	const char *bench; /* its name */
	struct results *results;
	struct plot *plot; /* of curves; where the bench puts none, its rows are drawn */
	struct watch *watch;
	unsigned int retried; /* turns */
	bool progress;	      /* a line on stderr, for somebody who sees it */
};

/* One row of the table in all.c. */
struct bench {
	const char *name;
	int (*run)(struct bench_run *run, struct err *err); /* 0, or -errno with a sentence */
	const char *summary;
	bool needs_kvm;
	bool takes_jobs;
	bool takes_function; /* of vfio-pci's */
};

/* NULL: there is none of that name. */
const struct bench *bench_find(const char *name);
void bench_list(FILE *to);
/* Its options; of compare too, which is none. */
void bench_help(const char *name, FILE *to);

int bench_boot(struct bench_run *run, struct err *err);
int bench_map(struct bench_run *run, struct err *err);
int bench_copy(struct bench_run *run, struct err *err);
int bench_submit(struct bench_run *run, struct err *err);
int bench_io(struct bench_run *run, struct err *err);
int bench_fault(struct bench_run *run, struct err *err);
int bench_dma(struct bench_run *run, struct err *err);
int bench_fleet(struct bench_run *run, struct err *err);
int bench_all(struct bench_run *run, struct err *err);
int bench_libvirt(struct bench_run *run, struct err *err);
int bench_noise(struct bench_run *run, struct err *err);
int bench_boot_kernel(struct bench_run *run, struct err *err);

/* --- functions that vfio-pci has (functions.c) ----------------------------------------------- */

#define FUNCTIONS_MAX 31u
#define BDF_CHARS     12u

/* The first n of them by address. 0, or -ENODEV with a sentence that says how many there are. */
int functions_find(char (*bdf)[BDF_CHARS + 1], unsigned int n, struct err *err);
/* Its character device, and its group's; "": there is none. */
void function_cdev(const char *bdf, char *path, size_t size);
void function_group(const char *bdf, char *path, size_t size);

#endif
