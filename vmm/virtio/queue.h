/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtqueue from the device's side, split or packed: buffers that the driver made available
 * are taken (virtq_pop), used ones are staged (virtq_push) and become visible together
 * (virtq_publish).
 *
 * The rings are the guest's memory and hostile. Guarantees
 *  - Every descriptor is copied once and then checked; what was checked is what is used.
 *  - No walk takes more steps than the queue (or the indirect table) has entries, whatever the
 *    descriptors say. At most `size` buffers are in flight.
 *  - A chain's pieces lie in guest RAM, device-readable ones before device-writable ones.
 *  - Anything else is -EPROTO with a sentence; the caller marks the device NEEDS_RESET. Nothing
 *    was written to the ring by then.
 *
 * A queue belongs to one thread at a time.
 *
 * Source: OASIS virtio 1.2, sections 2.6 (virtqueues), 2.7 (split), 2.8 (packed).
 */
#ifndef ADIT_VMM_VIRTIO_QUEUE_H
#define ADIT_VMM_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/err.h"
#include "vmm/virtio/memory.h"

#define VIRTQ_SIZE_MAX 1024u /* also the pieces of one chain: what readv(2) takes */

/* A buffer of the driver. iov[0 .. n_out) is device-readable, the n_in behind it writable. */
struct virtq_chain {
	uint16_t id;	/* what virtq_push gives back */
	uint16_t slots; /* packed: descriptors of the ring that it takes */
	unsigned int n_out, n_in;
	uint64_t out_bytes, in_bytes;
	struct iovec iov[VIRTQ_SIZE_MAX];
};

struct virtq {
	/* Set before virtq_start: by the transport, from the driver's registers. */
	uint16_t size; /* 1 to VIRTQ_SIZE_MAX; split: a power of two */
	uint64_t desc, driver, device;
	bool packed, event_idx, indirect; /* as negotiated */

	const struct virtio_memory *memory;
	uint8_t *desc_ring, *driver_area, *device_area;
	uint16_t next_avail, next_used;
	bool avail_wrap, used_wrap; /* packed */
	uint16_t in_flight;	    /* split: chains; packed: descriptors */
	uint16_t staged;	    /* pushed since the last publish, in the same unit */
	uint16_t first_slot;	    /* packed: the staged element that is made visible last */
	uint16_t first_flags;
	uint16_t signalled; /* next_used at the last virtq_should_notify */
	bool signalled_valid;
};

/* Finds the rings in memory and starts from an empty queue. -EINVAL with a sentence. */
int virtq_start(struct virtq *q, const struct virtio_memory *memory, struct err *err);

/*
 * 1: *chain is the next buffer; 0: there is none; -EPROTO: the driver broke the ring. *chain is
 * undefined but for 1.
 */
int virtq_pop(struct virtq *q, struct virtq_chain *chain, struct err *err);

/* Whether virtq_pop would not return 0. */
bool virtq_ready(const struct virtq *q);

/* `written` bytes of the writable part were filled. slots: the chain's. */
void virtq_push(struct virtq *q, uint16_t id, uint16_t slots, uint32_t written);
/* Everything pushed becomes visible; returns whether there was something. */
bool virtq_publish(struct virtq *q);
/* After a publish: whether the driver wants an interrupt for what is new since the last call. */
bool virtq_should_notify(struct virtq *q);

/* The driver need not kick while the device looks anyway. A hint. */
void virtq_kicks_off(struct virtq *q);
/* Kicks are wanted again. True: more is available already, so look once more. */
bool virtq_kicks_on(struct virtq *q);

/* Copies between a part of a chain and bytes; return how many. skip: bytes of the part left out. */
size_t virtq_read(const struct virtq_chain *chain, uint64_t skip, void *data, size_t len);
size_t virtq_write(const struct virtq_chain *chain, uint64_t skip, const void *data, size_t len);
/* The same over any pieces. */
size_t iov_read(const struct iovec *iov, unsigned int n, uint64_t skip, void *data, size_t len);
size_t iov_write(const struct iovec *iov, unsigned int n, uint64_t skip, const void *data,
		 size_t len);

#endif
