/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token buckets for what a device may do: bytes and operations in a time, with a burst that is
 * given once. What an operation costs is taken at once, also below zero; then nothing is allowed
 * until the bucket is above zero again, so that one large operation never waits for ever.
 */
#ifndef ADIT_VMM_VIRTIO_LIMITER_H
#define ADIT_VMM_VIRTIO_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
	uint64_t size;	    /* tokens in refill_ms; 0: no limit */
	uint64_t burst;	    /* more, once */
	uint32_t refill_ms; /* > 0 where size is */
};

struct limiter {
	struct bucket bytes, ops;
	double left_bytes, left_ops, burst_bytes, burst_ops;
	uint64_t last_ns;
};

void limiter_init(struct limiter *limiter, const struct bucket *bytes, const struct bucket *ops,
		  uint64_t now_ns);
/* Nanoseconds until something is allowed, 0: now. */
uint64_t limiter_wait(struct limiter *limiter, uint64_t now_ns);
void limiter_take(struct limiter *limiter, uint64_t bytes);

#endif
