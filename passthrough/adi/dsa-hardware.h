/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back ends that give descriptors to a real DSA: what they share (dsa-hardware.c), and the table of
 * ways to reach one (idxd, vfio). Descriptors are checked as for the software engine, then made
 * anew (dsa-private.c): whole operands inside what the PASID reaches, addresses as the device sees
 * them, no interrupt, no privilege, no hint of the guest's, and a record of our own. The guest's
 * record and interrupt come from us, through the same path as for every back end. Batches are
 * unrolled: their lists never reach the device.
 *
 * A channel is one host PASID's way to the device. It is opened before the PASID is bound, and
 * stopped before its last descriptor ended.
 *
 * Untested on hardware: there was none. Tests use stand-ins for the queue.
 */
#ifndef ADIT_PASSTHROUGH_ADI_DSA_HARDWARE_H
#define ADIT_PASSTHROUGH_ADI_DSA_HARDWARE_H

#include "passthrough/adi/dsa-work.h"

/* What a PASID reaches, and where that is for the device. */
struct dsa_reach {
	unsigned int n;
	struct {
		uint64_t iova, size;
		uint64_t at;
		unsigned int rights;
	} piece[DSA_MAX_PIECES];
};

/*
 * The descriptor that stands for work->job's: work has begun and its checks are passed. The record
 * is left 0. Else the status that the job ends with, and *fault.
 */
uint8_t dsa_private_make(const struct dsa_reach *reach, const struct dsa_work *work, uint32_t pasid,
			 struct dsa_descriptor *out, uint64_t *fault);
/* The IOVA of what the device calls `at`; UINT64_MAX where that is no address of a piece. */
uint64_t dsa_reach_back(const struct dsa_reach *reach, uint64_t at);

struct dsa_channel {
	const struct dsa_channel_ops *ops;
	struct dsa_channel *next;
	uint32_t host;
	bool stopped;		/* with the dsa's lock */
	pthread_mutex_t in_use; /* one descriptor at a time */
	const struct ioasid_space *space;
	struct dsa_reach reach;	   /* filled by open */
	uint32_t descriptor_pasid; /* what descriptors carry: 0 where the kernel fills it in */
	void *priv;
};

struct dsa_channel_ops {
	/* 0 or -errno with a sentence. pieces: what the PASID's space maps. */
	int (*open)(struct dsa *dsa, struct dsa_channel *channel, const struct dsa_piece *pieces,
		    unsigned int n, struct err *err);
	/*
	 * Submits and waits for the record. live: whose marks say that nobody wants it any more.
	 * -errno: it was ended, or the device or the way to it is gone.
	 */
	int (*run)(struct dsa_channel *channel, const struct dsa_job *live,
		   struct dsa_descriptor *descriptor, struct dsa_record *record);
	/* From another thread: run returns, and nothing is written when this has returned. */
	void (*stop)(struct dsa_channel *channel);
	void (*close)(struct dsa_channel *channel);
};
extern const struct dsa_channel_ops dsa_idxd_channel, dsa_vfio_channel;

#endif
