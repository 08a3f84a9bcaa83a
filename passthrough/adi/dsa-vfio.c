/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of a whole DSA function that this process owns (dsa-owner.h), as the way to the device:
 * its PASID has a space in the device's IOMMU where guest memory lies at its own addresses.
 * Descriptors carry no PASID: a dedicated queue's is in its configuration.
 *
 * Untested on hardware: there was none. Tests put a function of software behind it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "passthrough/adi/dsa-hardware.h"
#include "util/bits.h"

#define SPINS 4096u

struct way {
	const struct dsa_port *port;
	struct dsa_lane lane;
};

static int check_record(const struct dsa *dsa, const struct dsa_lane *lane,
			const struct dsa_piece *pieces, unsigned int n, struct err *err)
{
	uint64_t page = align_down(lane->record_iova, IOASID_PAGE_SIZE);

	for (unsigned int i = 0; i < n; i++) {
		if (range_overlaps(page, IOASID_PAGE_SIZE, pieces[i].iova, pieces[i].size))
			return err_set(err, EINVAL,
				       "%s: the page for records at %#llx lies in guest memory",
				       dsa->id, (unsigned long long)page);
	}
	return 0;
}

static int vfio_open(struct dsa *dsa, struct dsa_channel *channel, const struct dsa_piece *pieces,
		     unsigned int n, struct err *err)
{
	struct way *way = calloc(1, sizeof(*way));
	int ret;

	if (!way)
		return err_set(err, ENOMEM, "%s: no memory for a way to the device", dsa->id);
	way->port = dsa->host.port;
	ret = way->port->attach(way->port->arg, channel->host, channel->space, pieces, n,
				&way->lane, err);
	if (!ret) {
		ret = check_record(dsa, &way->lane, pieces, n, err);
		if (ret)
			way->port->detach(way->port->arg, &way->lane);
	}
	if (ret) {
		free(way);
		return ret;
	}
	for (unsigned int i = 0; i < n; i++) {
		channel->reach.piece[i].iova = channel->reach.piece[i].at = pieces[i].iova;
		channel->reach.piece[i].size = pieces[i].size;
		channel->reach.piece[i].rights = pieces[i].rights;
	}
	channel->reach.n = n;
	channel->priv = way;
	return 0;
}

static bool stopped(const struct dsa_channel *channel)
{
	return __atomic_load_n(&channel->stopped, __ATOMIC_RELAXED);
}

/* Until the record is there, nobody waits for it any more, or the function was lost. */
static int wait_for_record(struct dsa_channel *channel, const struct dsa_job *live, uint64_t losses)
{
	const struct timespec nap = { .tv_nsec = 10000 };
	const struct way *way = channel->priv;
	const struct dsa_port *port = way->port;

	for (unsigned int n = 0; !__atomic_load_n(&way->lane.record->status, __ATOMIC_ACQUIRE);
	     n++) {
		if (stopped(channel))
			return -ECANCELED;
		if (dsa_flagged(&live->abandon)) {
			port->abort(port->arg, &way->lane);
			return -ECANCELED;
		}
		if (port->losses(port->arg) != losses)
			return -EIO;
		if (n < SPINS)
			continue;
		port->look(port->arg);
		nanosleep(&nap, NULL);
	}
	return 0;
}

static int vfio_run(struct dsa_channel *channel, const struct dsa_job *live,
		    struct dsa_descriptor *descriptor, struct dsa_record *record)
{
	const struct way *way = channel->priv;
	const struct dsa_port *port = way->port;
	uint64_t losses = port->losses(port->arg);
	int ret;

	/* A batch goes on with a channel that was stopped meanwhile; its queue is another's. */
	if (stopped(channel))
		return -ECANCELED;
	memset(way->lane.record, 0, sizeof(*way->lane.record));
	descriptor->record = way->lane.record_iova;
	if (port->submit(port->arg, &way->lane, losses, descriptor))
		return -EIO;
	ret = wait_for_record(channel, live, losses);
	if (!ret)
		*record = *way->lane.record;
	return ret;
}

/* What runs has seen that it is stopped, before its queue is taken back. */
static void vfio_stop(struct dsa_channel *channel)
{
	const struct way *way = channel->priv;

	pthread_mutex_lock(&channel->in_use);
	way->port->detach(way->port->arg, &way->lane);
	pthread_mutex_unlock(&channel->in_use);
}

static void vfio_close(struct dsa_channel *channel)
{
	free(channel->priv);
}

const struct dsa_channel_ops dsa_vfio_channel = {
	.open = vfio_open,
	.run = vfio_run,
	.stop = vfio_stop,
	.close = vfio_close,
};
