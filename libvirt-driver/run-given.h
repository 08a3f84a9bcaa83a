/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to run*.c: files of a configuration that the daemon opens for a process which may not,
 * for it is of another user. Each path of the configuration becomes the number of a descriptor.
 */
#ifndef ADIT_LIBVIRT_DRIVER_RUN_GIVEN_H
#define ADIT_LIBVIRT_DRIVER_RUN_GIVEN_H

#include <stddef.h>

#include "libvirt-driver/call.h"

struct host;
struct json_object;

#define GIVEN_MAX 128u

struct given {
	int fds[GIVEN_MAX]; /* closed on exec; ours */
	size_t n;
	int saved; /* one of them, which the process goes on from; 0: none */
};

/* The payload, disks and taps of a whole configuration. Refused: one cannot be opened. */
int given_open(struct given *given, struct json_object *config, struct refusal *refusal);
/* One of a request to add it, which takes the descriptor beside its body. */
int given_open_disk(struct given *given, struct json_object *disk, struct refusal *refusal);
int given_open_net(struct given *given, struct json_object *net, struct refusal *refusal);
/*
 * A device of the host, which is on a VFIO driver; config: what the domain will have, with it.
 * Where with_iommu, also the node for its I/O address space, which goes behind it.
 */
int given_open_device(struct given *given, const struct host *host, struct json_object *device,
		      struct json_object *config, bool with_iommu, struct refusal *refusal);
/* A copy of one that somebody has opened already. */
int given_take(struct given *given, int fd, struct refusal *refusal);
/* The same, as what the process goes on from. */
int given_take_saved(struct given *given, int fd, struct refusal *refusal);
/* Also after a refusal. */
void given_close(struct given *given);

#endif
