/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the helpers of host work queues (idxd-helper.h). The sandbox lets a VM start no process
 * and open no file once a guest has run; so a small process that is made before, and knows nothing
 * of the guest, starts them when it is asked. What it can be asked for is a helper for a host work
 * queue, and nothing else.
 */
#ifndef ADIT_PASSTHROUGH_ADI_IDXD_SPAWNER_H
#define ADIT_PASSTHROUGH_ADI_IDXD_SPAWNER_H

#include <stddef.h>
#include <sys/types.h>

#include "util/err.h"

struct sandbox;

/* Bytes of a node's path, with the 0 at its end. */
#define IDXD_NODE_ROOM 108

struct idxd_spawner;

/* A helper that runs; both descriptors are the caller's. */
struct idxd_process {
	int fd;	     /* its socket */
	int process; /* a pidfd, so that nobody else is ever ended */
	pid_t pid;   /* 0: it is another's child */
};

/*
 * Forks it: on the process's only thread, with the user, the namespaces and the files that helpers
 * are to have, before there is any memory of a guest. It takes /dev/dsa/wqN.M and the n paths of
 * `nodes`, has the filter of SANDBOX_STARTER unless sandbox is NULL, and ends with the caller. Its
 * helpers are forks of it, and have the filter of SANDBOX_QUEUE before they are asked for anything.
 */
int idxd_spawner_start(struct idxd_spawner **out, const char *const *nodes, size_t n,
		       const struct sandbox *sandbox, struct err *err);
void idxd_spawner_end(struct idxd_spawner *spawner);

/*
 * Starts a helper for `node`. Any thread. spawner NULL: as a child of this process, which has
 * threads and a guest's memory, and so by starting this program again.
 */
int idxd_spawn(struct idxd_spawner *spawner, const char *node, struct idxd_process *out,
	       struct err *err);
/* Ends it. It is gone when this returns, and what it gave to the device has been drained. */
void idxd_process_end(struct idxd_process *process);

#endif
