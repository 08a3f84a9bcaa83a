/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plots as SVG files, which any browser shows: curves over a logarithmic abscissa where a bench has
 * some, else each row's ratio with its interval and its target.
 */
#ifndef ADIT_BENCH_PLOT_H
#define ADIT_BENCH_PLOT_H

#include <stdbool.h>

struct json_object;
struct plot;

struct plot *plot_new(const char *title, const char *x_name, const char *y_name);
void plot_free(struct plot *plot);
/* Adds to the line of that name; x above 0. Past what is room for: dropped. */
void plot_point(struct plot *plot, const char *name, double x, double y);
/* 0 or -errno. */
int plot_write(const struct plot *plot, const char *path);

/* Of results_rows(). 0 or -errno; -ENODATA where no row has a ratio. */
int plot_ratios(const char *title, const struct json_object *rows, const char *path);

#endif
