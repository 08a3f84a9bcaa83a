/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio balloon: memory that the guest gives back goes to the host at once, what it reports as
 * free too, and it tells how it fares.
 *
 * While something does DMA to guest memory (assigned devices, ADIs), statistics are all there is:
 * what is pinned for DMA does not come free, and a device would go on reading and writing pages
 * that the guest does not see any more. Whoever would map memory bars the balloon first.
 */
#ifndef ADIT_VMM_VIRTIO_BALLOON_H
#define ADIT_VMM_VIRTIO_BALLOON_H

#include "vmm/virtio/device.h"

#define BALLOON_STATS 16u /* virtio 1.3 section 5.5.6.3, and those of Linux 6.12 */

struct balloon;

struct balloon_options {
	uint64_t size;	     /* bytes that the guest shall give at first, whole pages */
	bool shared;	     /* guest memory is a shared mapping (memfd) */
	bool deflate_on_oom; /* the guest may take pages back before it kills a process */
	bool reporting;	     /* free pages are reported */
	uint32_t stats_ms;   /* how often statistics are asked for; 0: never */
	unsigned int barred; /* by so many from the start, where size is 0 and reporting false */
	/*
	 * The guest has given, or taken back, all that it was asked for: once for each
	 * balloon_resize, so that no guest can make many of them. On any thread, with the device's
	 * lock held. May be NULL.
	 */
	void (*reached)(void *arg, uint64_t bytes);
	void *arg;
};

/* What the guest said last; a value that it does not tell is UINT64_MAX. */
struct balloon_stats {
	uint64_t wanted, actual; /* bytes */
	uint64_t reported;	 /* bytes given back by free page reporting, ever */
	/* By VIRTIO_BALLOON_S_*: bytes and counts. */
	uint64_t value[BALLOON_STATS];
};

int balloon_create(struct balloon **out, const struct virtio_host *host,
		   const struct balloon_options *options, struct err *err);
struct virtio_device *balloon_device(struct balloon *balloon);

/* --- any thread ------------------------------------------------------------------------------ */

/* Whether it could be told to have so many bytes. -EBUSY: more than none, while it is barred. */
int balloon_check(struct balloon *balloon, uint64_t size, struct err *err);
int balloon_resize(struct balloon *balloon, uint64_t size, struct err *err);
/*
 * From here on no page goes back to the host, whatever the guest asks, until as many unbars; when
 * it returns, none is on its way. who: comes and does DMA; for the sentence. -EBUSY: the balloon
 * has memory or shall have some, so the guest would be without it for nothing. NULL: nothing to do.
 */
int balloon_bar(struct balloon *balloon, const char *who, struct err *err);
void balloon_unbar(struct balloon *balloon);
void balloon_read_stats(struct balloon *balloon, struct balloon_stats *stats);

#endif
