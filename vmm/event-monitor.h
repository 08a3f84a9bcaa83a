/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events as JSON lines to a descriptor, as Cloud Hypervisor's --event-monitor has them: for who
 * starts VMs and wants to know of them without a client of the API. Nothing waits for who reads:
 * what a full pipe does not take is lost, in whole lines, and counted in the next one that fits.
 */
#ifndef ADIT_VMM_EVENT_MONITOR_H
#define ADIT_VMM_EVENT_MONITOR_H

#include "util/err.h"

struct event_monitor;

/* Of "fd=N" the number, 0 for "path=FILE", -EINVAL for what is neither. */
int event_monitor_parse(const char *target, struct err *err);

/*
 * Of a target that event_monitor_parse takes. A file is appended to, or made with mode 0600. A
 * descriptor must be open for writing and stays its owner's; a socket's will not wait any more,
 * whoever writes to it. -errno with a sentence: it is not open, cannot be written, is a FIFO that
 * nobody reads.
 */
int event_monitor_open(struct event_monitor **out, const char *target, struct err *err);
void event_monitor_close(struct event_monitor *monitor);

/* Of any thread, with SIGPIPE ignored; arg is the monitor. What a life's watcher is told. */
void event_monitor_tell(void *arg, const char *event, const char *detail);

#endif
