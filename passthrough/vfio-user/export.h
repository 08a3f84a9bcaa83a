/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PCI function of this process served over vfio-user, to one client after another: its BARs and
 * configuration space are the connection's regions, its vectors go to the client's eventfds, and
 * its spaces hold what the client maps, by memfd or by messages.
 *
 * Order: create; make its spaces; make the function, whose DMA goes through them and whose epoch is
 * this one's; hand it over; serve. When a client leaves, its memory is gone and the function is
 * reset, so that the next client finds nothing of it.
 */
#ifndef ADIT_PASSTHROUGH_VFIO_USER_EXPORT_H
#define ADIT_PASSTHROUGH_VFIO_USER_EXPORT_H

#include "ioasid-client/ioasid.h"
#include "util/epoch.h"
#include "util/err.h"
#include "util/log.h"

struct pci_function;
struct vfu_export;

int vfu_export_create(struct vfu_export **out, const char *name, const struct log *log,
		      struct err *err);
/* Destroys the function as well, where it has one. Nobody serves any more. */
void vfu_export_destroy(struct vfu_export *export);

struct epoch *vfu_export_epoch(struct vfu_export *export);

/* A space that shows `window` of the client's DMA addresses. It is the context's; before serving.
 */
int vfu_export_space(struct vfu_export *export, struct ioasid_ctx *ctx, const char *name,
		     struct ioasid_range window, unsigned int rights, struct ioasid_space **out,
		     struct err *err);

/*
 * What of `window` the client maps by a descriptor appears in that space too: of another context,
 * for a device that does the function's work. Before serving; the space outlives the export.
 */
int vfu_export_show(struct vfu_export *export, struct ioasid_space *space,
		    struct ioasid_range window, unsigned int rights, struct err *err);

/* Takes the function over, also where it fails. Once. */
int vfu_export_function(struct vfu_export *export, struct pci_function *function, struct err *err);

/* One connection, until it ends; the socket is closed. -errno with a sentence where it broke. */
int vfu_export_serve(struct vfu_export *export, int socket, struct err *err);
/* Any thread: ends the connection that is served, if one is, and every later one at once. */
void vfu_export_stop(struct vfu_export *export);

#endif
