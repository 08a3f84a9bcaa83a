/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a guest's network in adit bench io: a tap in a network namespace of the
 * bench's own, a thread that sends frames into it, and the floor, which is a thread at the tap
 * itself.
 */
#ifndef ADIT_BENCH_WIRE_H
#define ADIT_BENCH_WIRE_H

#include <pthread.h>
#include <stdbool.h>

#include "bench/io.h"
#include "util/err.h"

#define WIRE_TAP    "adb0"
#define WIRE_HEADER 12u	     /* struct virtio_net_hdr_v1, before each frame at the tap */
#define WIRE_MOST   0x10000u /* bytes of a frame, and less */

struct wire {
	int before; /* the namespace that the thread was in; -1: it still is */
	int tap;    /* while nobody else has it, or -1 */
	int packet; /* a socket on the interface */
	unsigned int index;
	pthread_t thread;
	bool floods, stop; /* stop: atomic */
	unsigned int bytes;
};

/*
 * From here on this thread, and children that it starts, are in the namespace. -ENOTSUP with a
 * sentence where that cannot be had.
 */
int wire_open(struct wire *wire, struct err *err);
/* Back. Also after a wire_open that failed. */
void wire_close(struct wire *wire);

/* Frames of so many bytes come to the tap as fast as they go, until wire_quiet. 0 or -errno. */
int wire_flood(struct wire *wire, unsigned int bytes);
void wire_quiet(struct wire *wire);

/*
 * This thread at the tap for so many seconds, without a guest: takes what comes while the wire is
 * flooded, or sends the frame, which its header is before. 0 or -errno.
 */
int wire_floor(struct wire *wire, bool receive, const void *frame, unsigned int bytes,
	       double seconds, struct io_result *result);

#endif
