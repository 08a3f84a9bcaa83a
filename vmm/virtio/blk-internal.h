/* SPDX-License-Identifier: Apache-2.0 */
/* What blk.c (the guest's side) and blk-io.c (the host's side) share. */
#ifndef ADIT_VMM_VIRTIO_BLK_INTERNAL_H
#define ADIT_VMM_VIRTIO_BLK_INTERNAL_H

#include <liburing.h>
#include <linux/virtio_blk.h>

#include "vmm/virtio/blk.h"

#define BLK_SECTOR	 512u
#define BLK_DEPTH	 256u /* requests in flight */
#define BLK_RING	 64u  /* entries that are submitted in one call */
#define BLK_KEPT_PIECES	 256u /* of a free request's list; longer ones are given back */
#define BLK_ZERO_BYTES	 (64 * KIB)
#define BLK_ZERO_SECTORS (BLK_ZERO_BYTES / BLK_SECTOR * VIRTQ_SIZE_MAX)
#define BLK_BOUNCE_MAX	 (32 * MIB)
#define BLK_BOUNCED_MAX	 (64 * MIB) /* of all requests; from there on none is taken */
#define BLK_INLINE_MAX	 MIB	    /* that the loop's thread itself copies from the page cache */
#define BLK_COPY_MAX	 (16 * MIB) /* of one operation: who waits for its end waits for so much */
#define BLK_QUEUES_MAX	 32u
#define BLK_FIXED_BYTES	 GIB /* of one registered buffer, and of one piece: the kernel's limit */
#define BLK_FIXED_MAX	 1024u
/*
 * Where more than that were left to the host, neither its answers nor new requests of the guest are
 * looked for one by one: who sleeps a little takes several at once.
 */
#define BLK_POLL_DEPTH 4u

enum blk_op {
	BLK_READ,
	BLK_WRITE,
	BLK_FLUSH,
	BLK_DISCARD,
	BLK_ZERO, /* fallocate */
};

struct blk_request {
	struct blk_request *next; /* free list */
	uint16_t queue, id, slots;
	enum blk_op op;
	bool unmap;		/* BLK_ZERO */
	uint8_t *status;	/* the guest's byte */
	uint64_t offset, bytes; /* what is left; of the image */
	uint32_t used;		/* bytes written to the guest, the status included */
	unsigned int n_iov, first_iov, room;
	struct iovec *iov;
	void *bounce;	  /* direct I/O from buffers that are not aligned */
	uint64_t bounced; /* its bytes */
	unsigned int n_guest;
	struct iovec *guest; /* the guest's pieces while `bounce` is used */
};

struct blk {
	struct virtio_device *device;
	struct virtio_host host;
	char id[64];
	struct image image;
	bool readonly, direct, pinned;
	uint8_t serial[BLK_SERIAL_MAX];
	struct virtio_blk_config config; /* under the device's lock */

	struct io_uring ring;
	bool ring_open;
	struct loop_watch *watch;
	struct loop_poller poller; /* of the ring, while something is in flight */
	unsigned int in_flight, made;
	uint64_t bounced; /* bytes of bounce buffers that there are */
	unsigned int queue_in_flight[BLK_QUEUES_MAX];
	bool stopping;		  /* a reset waits for what is in flight */
	uint64_t stopping_queues; /* resets of single queues wait for what is theirs */
	bool dirty_sq;		  /* something is prepared and not submitted */
	struct blk_request *free;
	bool no_unmap;	    /* zeros do not come by holes here: they are written down */
	bool no_zero_range; /* nor by the file system or the device: by us */
	void *zeros;
	struct iovec *fixed; /* guest memory as registered; NULL: it is not */
	unsigned int n_fixed;
	unsigned int behind; /* most that the host had at a time, since it had none */
	uint64_t starved;    /* queues that wait for a free request */
	uint64_t touched;    /* queues with answers that are not published */

	struct limiter limiter;
	struct loop_timer *timer;
	bool throttled;
	struct log_limit limit;
};

/* blk-io.c, on the loop with the device locked. */
int blk_io_open(struct blk *blk, struct err *err);
/* Waits for what is in flight, without the loop. */
void blk_io_close(struct blk *blk);
struct blk_request *blk_request_get(struct blk *blk);
void blk_request_put(struct blk *blk, struct blk_request *r);
/* Room for n pieces. -ENOMEM. */
int blk_request_room(struct blk_request *r, unsigned int n);
/* Prepares it; blk_submit sends all that is prepared in one call. */
void blk_start(struct blk *blk, struct blk_request *r);
void blk_submit(struct blk *blk);
/* Takes what is complete; the loop may look for the rest for a while. */
void blk_reap(struct blk *blk);

/* blk.c: a request has ended; `error` is 0 or -errno. Puts it. */
void blk_done(struct blk *blk, struct blk_request *r, int error);
/* Publishes answers, and looks at the queues that waited. */
void blk_answer(struct blk *blk);

#endif
