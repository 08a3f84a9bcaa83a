/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line a row: the ratio to its reference as a point, its interval as a bar, its target as a
 * tick, over a logarithmic abscissa on which 1 is the reference itself.
 */
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>

#include "bench/plot.h"

#define WIDTH	800.0
#define LEFT	320.0
#define RIGHT	30.0
#define TOP	50.0
#define STEP	20.0
#define MARGIN	1.1   /* beyond the outermost figure */
#define MIN_MAX 100.0 /* what is further from 1 is drawn at the edge */

struct span {
	double low, high; /* of the ratios drawn */
	unsigned int rows;
};

struct ratio {
	const char *name, *reference;
	double ratio, low, high, target; /* target 0: none */
	bool met;
};

static double member(const struct json_object *row, const char *key)
{
	return json_object_get_double(json_object_object_get(row, key));
}

static bool get_ratio(const struct json_object *row, struct ratio *to)
{
	const struct json_object *interval = json_object_object_get(row, "interval");

	*to = (struct ratio){
		.name = json_object_get_string(json_object_object_get(row, "name")),
		.reference = json_object_get_string(json_object_object_get(row, "reference_name")),
		.ratio = member(row, "ratio"),
		.target = member(row, "target"),
		.met = json_object_get_boolean(json_object_object_get(row, "ok")),
	};
	if (!interval || to->ratio <= 0)
		return false;
	to->low = json_object_get_double(json_object_array_get_idx(interval, 0));
	to->high = json_object_get_double(json_object_array_get_idx(interval, 1));
	return true;
}

static double clamp(double ratio)
{
	return fmin(fmax(ratio, 1 / MIN_MAX), MIN_MAX);
}

static struct span span_of(const struct json_object *rows)
{
	struct span span = { .low = 1, .high = 1 };

	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct ratio ratio;

		if (!get_ratio(json_object_array_get_idx(rows, i), &ratio))
			continue;
		span.rows++;
		span.low = fmin(span.low, clamp(ratio.low));
		span.high = fmax(span.high, clamp(ratio.high));
		if (ratio.target > 0) {
			span.low = fmin(span.low, clamp(ratio.target));
			span.high = fmax(span.high, clamp(ratio.target));
		}
	}
	span.low /= MARGIN;
	span.high *= MARGIN;
	return span;
}

static double place(const struct span *span, double ratio)
{
	double all = log(span->high) - log(span->low);

	return LEFT + (WIDTH - LEFT - RIGHT) * (log(clamp(ratio)) - log(span->low)) / all;
}

/* Names come from job files too. */
static void write_text(FILE *to, const char *text)
{
	for (; text && *text; text++) {
		if (*text == '<')
			fputs("&lt;", to);
		else if (*text == '&')
			fputs("&amp;", to);
		else
			fputc(*text, to);
	}
}

static void write_grid(FILE *to, const struct span *span, double bottom)
{
	static const double ticks[] = { 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 1,
					1.1,  1.2,  1.5,  2,   3,   5,	 10,  20,  100 };
	double last = 0;

	for (size_t i = 0; i < sizeof(ticks) / sizeof(ticks[0]); i++) {
		double x = place(span, ticks[i]);

		if (ticks[i] < span->low || ticks[i] > span->high ||
		    (x < last + 28 && ticks[i] != 1))
			continue;
		last = x;
		fprintf(to,
			"<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n",
			ticks[i] == 1 ? "one" : "g", x, TOP - 8, x, bottom, x, TOP - 12, ticks[i]);
	}
}

static void write_ratio(FILE *to, const struct span *span, const struct ratio *ratio, double y)
{
	const char *colour = ratio->target <= 0 ? "#1b6ca8" : ratio->met ? "#2e8b57" : "#c0392b";

	fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 10, y + 4);
	write_text(to, ratio->name);
	fputs(" / ", to);
	write_text(to, ratio->reference);
	fprintf(to,
		"</text>\n<line stroke=\"%s\" stroke-width=\"2\" x1=\"%.1f\" y1=\"%.1f\" "
		"x2=\"%.1f\" y2=\"%.1f\"/>\n<circle fill=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n",
		colour, place(span, ratio->low), y, place(span, ratio->high), y, colour,
		place(span, ratio->ratio), y);
	if (ratio->target > 0)
		fprintf(to,
			"<line stroke=\"black\" stroke-width=\"2\" x1=\"%.1f\" y1=\"%.1f\" "
			"x2=\"%.1f\" y2=\"%.1f\"/>\n",
			place(span, ratio->target), y - 7, place(span, ratio->target), y + 7);
}

int plot_ratios(const char *title, const struct json_object *rows, const char *path)
{
	struct span span = span_of(rows);
	double y = TOP + STEP / 2, bottom = TOP + STEP * span.rows;
	FILE *to = span.rows ? fopen(path, "we") : NULL;

	if (!to)
		return span.rows ? -errno : -ENODATA;
	fprintf(to,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\">\n"
		"<style>text{font:12px sans-serif}.g{stroke:#ddd}.one{stroke:#888}</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
		"<text x=\"%.1f\" y=\"18\">%s: ratio to the reference; bars: 99 %% intervals; "
		"ticks: targets</text>\n",
		WIDTH, bottom + 20, RIGHT, title);
	write_grid(to, &span, bottom);
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct ratio ratio;

		if (!get_ratio(json_object_array_get_idx(rows, i), &ratio))
			continue;
		write_ratio(to, &span, &ratio, y);
		y += STEP;
	}
	fprintf(to, "</svg>\n");
	return fclose(to) ? -errno : 0;
}
