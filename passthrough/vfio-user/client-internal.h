/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c has the connection: calls and their answers, the thread that receives, the server's own
 * requests. client-sys.c makes VFIO calls of them.
 */
#ifndef ADIT_PASSTHROUGH_VFIO_USER_CLIENT_INTERNAL_H
#define ADIT_PASSTHROUGH_VFIO_USER_CLIENT_INTERNAL_H

#include <pthread.h>
#include <sys/queue.h>

#include "passthrough/vfio-user/client.h"
#include "passthrough/vfio-user/version.h"
#include "passthrough/vfio-user/wire.h"
#include "passthrough/vfio/vfio.h"

/* A call that waits for its answer; on the stack of who waits. */
struct vfu_pending {
	uint16_t id, command;
	bool done;
	int result;
	struct vfu_message *reply;
	TAILQ_ENTRY(vfu_pending) link;
};
TAILQ_HEAD(vfu_pendings, vfu_pending);

struct vfu_client_region {
	int fd; /* to be mapped; -1: none */
	uint64_t fd_offset, size;
};

struct vfu_client {
	char name[64];
	struct vfu_client_options options;
	struct vfio_sys sys;
	struct vfu_limits peer;
	int socket;
	pthread_t receiver;
	bool receiving;

	pthread_mutex_t send;
	pthread_mutex_t lock; /* the members below */
	pthread_cond_t answered;
	struct vfu_pendings pendings;
	uint16_t next_id;
	bool gone, closing;
	struct vfu_client_region regions[VFU_REGIONS];
};

/* What is sent, in pieces. */
struct vfu_request {
	uint16_t command;
	const void *head, *data;
	size_t head_size, data_size;
	const int *fds;
	unsigned int n_fds;
};

/* 0 and the answer in *reply, to be freed by the caller; or -errno: the server's, -EIO: it is gone.
 */
int vfu_client_call(struct vfu_client *client, const struct vfu_request *request,
		    struct vfu_message *reply);
/* No answer is asked for. */
int vfu_client_post(struct vfu_client *client, const struct vfu_request *request);

extern const struct vfio_sys vfu_client_calls;

#endif
