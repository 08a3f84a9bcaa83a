/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask about the host, and what adit can do on it, in libvirt's words. */
#ifndef ADIT_LIBVIRT_DRIVER_HOST_H
#define ADIT_LIBVIRT_DRIVER_HOST_H

#include <stdint.h>

#include "libvirt-driver/daemon.h"

struct host_info {
	char model[32]; /* the architecture, as libvirt has it there */
	uint64_t memory_kib;
	int32_t cpus, mhz, nodes, sockets, cores, threads;
};

void host_info(struct host_info *info);
/* XML; the caller frees. NULL: no memory. */
char *host_capabilities(const struct daemon *daemon);
char *host_domain_capabilities(const struct daemon *daemon);

#endif
