/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines over a logarithmic abscissa, as an SVG file that any browser shows: enough to see where one
 * curve leaves the other.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/plot.h"
#include "util/bits.h"

#define WIDTH	   800.0
#define HEIGHT	   480.0
#define LEFT	   60.0
#define RIGHT	   130.0
#define TOP	   40.0
#define BOTTOM	   50.0
#define LINES_MAX  8u
#define POINTS_MAX 64u

struct line {
	char name[32];
	unsigned int count;
	double x[POINTS_MAX], y[POINTS_MAX];
};

struct plot {
	char title[96], x_name[32], y_name[32];
	unsigned int count;
	struct line line[LINES_MAX];
};

/* What is drawn: from x_min to x_max in powers of two, from 0 to y_max. */
struct frame {
	double x_min, x_max, y_max;
};

struct plot *plot_new(const char *title, const char *x_name, const char *y_name)
{
	struct plot *plot = calloc(1, sizeof(*plot));

	if (!plot)
		abort();
	snprintf(plot->title, sizeof(plot->title), "%s", title);
	snprintf(plot->x_name, sizeof(plot->x_name), "%s", x_name);
	snprintf(plot->y_name, sizeof(plot->y_name), "%s", y_name);
	return plot;
}

void plot_free(struct plot *plot)
{
	free(plot);
}

void plot_point(struct plot *plot, const char *name, double x, double y)
{
	struct line *line = plot->line;

	while (line < plot->line + plot->count && strcmp(line->name, name) != 0)
		line++;
	if (line == plot->line + LINES_MAX)
		return;
	if (line == plot->line + plot->count) {
		plot->count++;
		snprintf(line->name, sizeof(line->name), "%s", name);
	}
	if (line->count == POINTS_MAX)
		return;
	line->x[line->count] = x;
	line->y[line->count++] = y;
}

static struct frame frame_of(const struct plot *plot)
{
	struct frame frame = { .x_min = INFINITY, .x_max = 1, .y_max = 1 };

	for (unsigned int i = 0; i < plot->count; i++) {
		for (unsigned int j = 0; j < plot->line[i].count; j++) {
			frame.x_min = fmin(frame.x_min, plot->line[i].x[j]);
			frame.x_max = fmax(frame.x_max, plot->line[i].x[j]);
			frame.y_max = fmax(frame.y_max, plot->line[i].y[j]);
		}
	}
	frame.x_min = fmin(frame.x_min, frame.x_max / 2);
	return frame;
}

static double place_x(const struct frame *frame, double x)
{
	double span = log2(frame->x_max) - log2(frame->x_min);

	return LEFT + (WIDTH - LEFT - RIGHT) * (log2(x) - log2(frame->x_min)) / span;
}

static double place_y(const struct frame *frame, double y)
{
	return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / frame->y_max;
}

static void label_x(double x, char *text, size_t size)
{
	if (x >= MIB)
		snprintf(text, size, "%.0fM", x / MIB);
	else if (x >= KIB)
		snprintf(text, size, "%.0fK", x / KIB);
	else
		snprintf(text, size, "%.0f", x);
}

static void write_axes(FILE *to, const struct plot *plot, const struct frame *frame)
{
	double step = pow(10, floor(log10(frame->y_max)));
	char text[16];

	if (frame->y_max / step < 3)
		step /= 4;
	for (unsigned int i = 0; i <= (unsigned int)log2(frame->x_max / frame->x_min); i += 2) {
		double x = frame->x_min * exp2(i);

		label_x(x, text, sizeof(text));
		fprintf(to, "<line class=\"g\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
			place_x(frame, x), TOP, place_x(frame, x), HEIGHT - BOTTOM);
		fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
			place_x(frame, x), HEIGHT - BOTTOM + 18, text);
	}
	for (unsigned int i = 0; i <= (unsigned int)(frame->y_max / step); i++) {
		double y = i * step;

		fprintf(to, "<line class=\"g\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
			LEFT, place_y(frame, y), WIDTH - RIGHT, place_y(frame, y));
		fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", LEFT - 8,
			place_y(frame, y) + 4, y);
	}
	fprintf(to, "<text x=\"%.1f\" y=\"20\">%s</text>\n", LEFT, plot->title);
	fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
		(LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, plot->x_name);
	fprintf(to, "<text x=\"12\" y=\"%.1f\">%s</text>\n", TOP - 6, plot->y_name);
}

static void write_line(FILE *to, const struct frame *frame, const struct line *line,
		       const char *colour)
{
	unsigned int last = line->count - 1;

	fprintf(to, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour);
	for (unsigned int i = 0; i < line->count; i++)
		fprintf(to, "%.1f,%.1f ", place_x(frame, line->x[i]), place_y(frame, line->y[i]));
	fprintf(to, "\"/>\n");
	for (unsigned int i = 0; i < line->count; i++)
		fprintf(to, "<circle fill=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", colour,
			place_x(frame, line->x[i]), place_y(frame, line->y[i]));
	fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%s</text>\n",
		place_x(frame, line->x[last]) + 8, place_y(frame, line->y[last]) + 4, colour,
		line->name);
}

int plot_write(const struct plot *plot, const char *path)
{
	static const char *const colours[LINES_MAX] = {
		"#1b6ca8", "#888888", "#c0392b", "#2e8b57",
		"#8e44ad", "#d68910", "#16a085", "#34495e"
	};
	struct frame frame = frame_of(plot);
	FILE *to = fopen(path, "we");

	if (!to)
		return -errno;
	fprintf(to,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\">\n"
		"<style>text{font:13px sans-serif}.g{stroke:#ddd}</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
		WIDTH, HEIGHT);
	write_axes(to, plot, &frame);
	for (unsigned int i = 0; i < plot->count; i++)
		write_line(to, &frame, &plot->line[i], colours[i]);
	fprintf(to, "</svg>\n");
	return fclose(to) ? -errno : 0;
}
