/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that stands between a PASID and a host work queue. The queue's driver binds the PASID
 * to the address space of whoever opens the queue; so that this is not the monitor's, each host
 * PASID has a process that maps the window it may reach and nothing else of the guest, lets go of
 * the memory's descriptor, and then opens the queue.
 *
 * Protocol, on one SOCK_SEQPACKET socket: an idxd_hello with the memory's descriptor; an
 * idxd_ready; then a private descriptor and an idxd_end for it, again and again. The socket's end
 * is the process's.
 */
#ifndef ADIT_PASSTHROUGH_ADI_IDXD_HELPER_H
#define ADIT_PASSTHROUGH_ADI_IDXD_HELPER_H

#include <stdint.h>

#include "passthrough/adi/dsa-regs.h"
#include "passthrough/adi/dsa.h"

struct sandbox;

#define IDXD_HELPER_WORD \
	"idxd-helper" /* first argument of a program that is to be one; then the queue */
#define IDXD_HELPER_FD 3

struct idxd_hello {
	uint32_t n;
	struct {
		uint64_t size, fd_offset;
		uint32_t writable;
	} piece[DSA_MAX_PIECES];
};

struct idxd_ready {
	int32_t error; /* 0 or a positive errno */
	uint32_t step; /* of what failed; see idxd-helper.c */
	uint64_t at[DSA_MAX_PIECES];
};

struct idxd_end {
	int32_t error;
	uint32_t reserved;
	struct dsa_record record;
};

/*
 * Serves the socket until its end, on the queue at `node`: which one it is says who starts the
 * process, and nobody who speaks to it later. When the queue is open it takes the role
 * SANDBOX_QUEUE, unless sandbox is NULL. The process's exit status.
 */
int idxd_helper_main(int fd, const char *node, const struct sandbox *sandbox);

#endif
