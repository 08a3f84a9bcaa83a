/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benches share: samples and their medians, child programs timed from exec to first
 * output and to exit, and the results as a table for people and JSON for machines.
 */
#ifndef ADIT_BENCH_BENCH_H
#define ADIT_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_options {
	const char *json_path; /* NULL: no JSON */
	const char *svg_path;  /* NULL: no plot */
	unsigned int rounds;
	const char *build; /* directory of adit, bench/ and guest/ */
	/* boot: a Linux kernel instead of flat payloads; NULL: none */
	const char *kernel, *initramfs, *cmdline;
	const char *marker;   /* what its user space says first */
	unsigned int devices; /* and with that many functions of vfio-pci's; 0: none */
	/* map: a VFIO character device; a VFIO group and a device of it. NULL: none */
	const char *cdev, *group, *device;
	/* io: where its image is made, and whether both sides go past the page cache */
	const char *directory;
	bool direct;
};

/* One row of main.c's table. Returns the process's exit status. */
struct bench {
	const char *name;
	int (*run)(const struct bench_options *options);
	const char *summary;
};

int bench_boot(const struct bench_options *options);
int bench_map(const struct bench_options *options);
int bench_copy(const struct bench_options *options);
int bench_submit(const struct bench_options *options);
int bench_io(const struct bench_options *options);
int bench_boot_kernel(const struct bench_options *options);

/* --- functions that vfio-pci has (functions.c) ----------------------------------------------- */

#define FUNCTIONS_MAX 31u
#define BDF_CHARS     12u

/* The first n of them by address. 0, or -ENODEV after saying on stderr how many there are. */
int functions_find(char (*bdf)[BDF_CHARS + 1], unsigned int n);

/* --- samples (samples.c) --------------------------------------------------------------------- */

#define SAMPLES_MAX 1001u

struct samples {
	double value[SAMPLES_MAX];
	unsigned int count;
};

void samples_add(struct samples *samples, double value); /* past SAMPLES_MAX: dropped */
/* 0 where there are none. fraction: 0.5 is the median. Sorts. */
double samples_quantile(struct samples *samples, double fraction);

/* --- results (results.c) --------------------------------------------------------------------- */

struct results;

struct result {
	const char *name, *unit, *reference_name;
	double adit, reference;
	double target; /* ratio adit / reference that is asked for; 0: none */
	bool higher;   /* better is higher; else lower */
};

struct results *results_new(const char *bench);
void results_free(struct results *results);
/* Values from samples: the medians; the quartiles go into the JSON. */
void results_add(struct results *results, const struct result *result, struct samples *adit,
		 struct samples *reference);
/* A remark for the reader: what was not measured and why. */
void results_note(struct results *results, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Prints the table to stdout, and the JSON where a path is given. 0 or -errno of the file. */
int results_print(struct results *results, const char *json_path);

/* --- a plot (plot.c): lines over a logarithmic abscissa, as SVG ------------------------------ */

struct plot;

struct plot *plot_new(const char *title, const char *x_name, const char *y_name);
void plot_free(struct plot *plot);
/* Adds to the line of that name; x above 0. Past what is room for: dropped. */
void plot_point(struct plot *plot, const char *name, double x, double y);
/* 0 or -errno. */
int plot_write(const struct plot *plot, const char *path);

/* --- child programs (child.c) ---------------------------------------------------------------- */

struct child_times {
	double first_output_ms; /* from before exec to the first byte on its stdout */
	double marker_ms;	/* to the end of the marker; 0: it did not come */
	double exit_ms;		/* to its end being known */
	int status;		/* as waitpid gives it */
};

/*
 * Runs argv to its end; stderr goes nowhere. env: one more "NAME=value" or NULL. marker: a text to
 * look for in its output, or NULL; leave: kill it once that came.
 * 0 or -errno.
 */
int child_time(char *const argv[], const char *env, const char *marker, bool leave,
	       struct child_times *times);

/*
 * Runs argv to its end and calls `line` for each line of its output when it came, without its end.
 * Of lines longer than 4 KiB the beginning is lost. 0 or -errno; *status as waitpid gives it.
 */
int child_lines(char *const argv[], void (*line)(void *arg, int pid, char *text), void *arg,
		int *status);

/*
 * Starts argv, waits until it wrote `wait_for`, reads its proportional memory (PSS, KiB) without
 * mappings of at least ram_bytes (the guest's RAM), and kills it.
 */
int child_pss(char *const argv[], const char *wait_for, uint64_t ram_bytes, double *pss_kib);

#endif
