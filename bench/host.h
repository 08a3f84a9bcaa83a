/* SPDX-License-Identifier: Apache-2.0 */
/* The host that a figure is of: its description, and the CPUs and memory that the bench keeps to.
 */
#ifndef ADIT_BENCH_HOST_H
#define ADIT_BENCH_HOST_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

struct json_object;

/*
 * CPU, kernel, IOMMU and whether it enforces snooping, huge pages, governor, load: read from /proc
 * and /sys below `root` ("": the host's). What cannot be read is null there. A new object.
 */
struct json_object *host_describe(const char *root);

/* The first line of root/path without its end, in `text`; NULL: it cannot be read. */
const char *host_line(const char *root, const char *path, char *text, size_t size);

/* "0-3,8": this process and its children run there only. 0 or -errno with a sentence. */
int host_pin_cpus(const char *list, struct err *err);
/* Memory from that NUMA node only, and its CPUs unless `keep_cpus`. */
int host_pin_node(unsigned int node, bool keep_cpus, struct err *err);

/* Of the time-stamp counter, measured for 50 ms. */
double host_tsc_hertz(void);

#endif
