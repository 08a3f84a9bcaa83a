/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole DSA function that this process owns: the host PASID travels in each descriptor, and has a
 * space in the device's IOMMU where guest memory lies at its own addresses. Who owns the function
 * gives the port: how 64 bytes reach a queue of it, and a page for records that every PASID's space
 * maps at one IOVA outside of guest memory. A reset of the function is felt by all tenants.
 *
 * Untested on hardware: there was none.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "passthrough/adi/dsa-hardware.h"
#include "util/bits.h"

#define SPINS 4096u

static int vfio_open(struct dsa *dsa, struct dsa_channel *channel, const struct dsa_piece *pieces,
		     unsigned int n, struct err *err)
{
	const struct dsa_port *port = dsa->host.port;

	if (!port)
		return err_set(err, ENODEV, "%s: no DSA function was given to it", dsa->id);
	for (unsigned int i = 0; i < n; i++) {
		if (range_overlaps(port->record_iova, IOASID_PAGE_SIZE, pieces[i].iova,
				   pieces[i].size))
			return err_set(err, EINVAL,
				       "%s: the page for records at %#llx lies in guest memory",
				       dsa->id, (unsigned long long)port->record_iova);
		channel->reach.piece[i].iova = channel->reach.piece[i].at = pieces[i].iova;
		channel->reach.piece[i].size = pieces[i].size;
		channel->reach.piece[i].rights = pieces[i].rights;
	}
	channel->reach.n = n;
	channel->descriptor_pasid = channel->host;
	channel->priv = (void *)port;
	return port->attach ? port->attach(port->arg, channel->host, pieces, n, err) : 0;
}

/* Each PASID has a record of its own: its number's place in the page. */
static unsigned int slot_of(const struct dsa_channel *channel)
{
	return channel->host % (IOASID_PAGE_SIZE / sizeof(struct dsa_record));
}

static int vfio_run(struct dsa_channel *channel, struct dsa_descriptor *descriptor,
		    struct dsa_record *record)
{
	const struct dsa_port *port = channel->priv;
	struct dsa_record *at = &port->records[slot_of(channel)];
	const struct timespec nap = { .tv_nsec = 10000 };

	memset(at, 0, sizeof(*at));
	descriptor->record = port->record_iova + slot_of(channel) * sizeof(*at);
	if (port->submit(port->arg, descriptor))
		return -EIO;
	for (unsigned int n = 0; !__atomic_load_n(&at->status, __ATOMIC_ACQUIRE); n++) {
		if (__atomic_load_n(&channel->stopped, __ATOMIC_RELAXED))
			return -ECANCELED;
		if (n > SPINS)
			nanosleep(&nap, NULL);
	}
	*record = *at;
	return 0;
}

/* Drains the PASID in the device, then takes its space away. */
static void vfio_stop(struct dsa_channel *channel)
{
	const struct dsa_port *port = channel->priv;

	if (port->detach)
		port->detach(port->arg, channel->host);
}

static void vfio_close(struct dsa_channel *channel)
{
}

const struct dsa_channel_ops dsa_vfio_channel = {
	.open = vfio_open,
	.run = vfio_run,
	.stop = vfio_stop,
	.close = vfio_close,
};
