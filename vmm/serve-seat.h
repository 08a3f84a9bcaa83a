/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One served ADI and its socket: the function with its windows and PASIDs, and the clients that
 * come there one after another. Seats know nothing of each other; where they share a DSA function,
 * each is a tenant of it.
 */
#ifndef ADIT_VMM_SERVE_SEAT_H
#define ADIT_VMM_SERVE_SEAT_H

#include <stddef.h>

#include "util/err.h"
#include "util/log.h"

struct sandbox;
struct serve_config;
struct serve_function;
struct serve_seat;

/*
 * For entry `index` of /adis. Listens on `path`; a socket that nobody listens on is replaced,
 * another is -EADDRINUSE. function: NULL for one of its own. All is borrowed.
 */
int serve_seat_create(struct serve_seat **out, const struct serve_config *config, size_t index,
		      const char *path, struct serve_function *function, const struct log *log,
		      const struct sandbox *sandbox, struct err *err);
/* Removes the socket. */
void serve_seat_destroy(struct serve_seat *seat);

/* Until serve_seat_stop: 0, or -errno where no more clients can be taken. */
int serve_seat_run(struct serve_seat *seat, struct err *err);
/* Any thread, also before serve_seat_run. */
void serve_seat_stop(struct serve_seat *seat);

#endif
