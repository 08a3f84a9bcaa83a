/* SPDX-License-Identifier: Apache-2.0 */
/* What vsock.c (packets and queues) and vsock-conn.c (a connection and its UNIX socket) share. */
#ifndef ADIT_VMM_VIRTIO_VSOCK_INTERNAL_H
#define ADIT_VMM_VIRTIO_VSOCK_INTERNAL_H

#include <linux/virtio_vsock.h>

#include "util/unix-socket.h"
#include "vmm/virtio/vsock.h"

#define VSOCK_HOST_CID	 2u
#define VSOCK_RESETS	 64u /* answers to packets of no connection that may wait */
#define VSOCK_HELLO_MAX	 32u /* bytes of "CONNECT 1234\n" */
#define VSOCK_FIRST_PORT (1u << 30)

enum conn_state {
	CONN_HELLO, /* a client has not said yet which port it wants */
	CONN_ASKED, /* the guest was asked, REQUEST */
	CONN_OPEN,
	CONN_DEAD, /* what `tell` has goes out, then it is freed */
};

/* What is to be told to the guest, in this order. */
#define TELL_REQUEST  0x01u
#define TELL_RESPONSE 0x02u
#define TELL_CREDIT   0x04u
#define TELL_SHUTDOWN 0x08u
#define TELL_RESET    0x10u

struct conn {
	struct conn *next;
	struct vsock *vsock;
	enum conn_state state;
	uint32_t guest_port, host_port;
	int fd;
	struct loop_watch *watch;
	uint32_t events;	  /* what `watch` waits for */
	struct loop_timer *timer; /* CONN_ASKED: how long the guest has to answer */
	unsigned int tell;
	uint32_t shutdown_flags; /* of TELL_SHUTDOWN */

	/* From the guest: received, and passed on; the difference is in `buffer`. */
	uint32_t rx_count, forwarded, told_forwarded;
	uint8_t *buffer; /* VSOCK_BUFFER bytes, made when first needed */
	uint32_t start, used;
	/* To the guest: sent, and its credit. */
	uint32_t tx_count, peer_forwarded, peer_buffer;
	bool host_ended, guest_ended; /* no more bytes come from that side */

	char hello[VSOCK_HELLO_MAX];
	unsigned int n_hello;
};

struct vsock {
	struct virtio_device *device;
	struct virtio_host host;
	struct virtio_vsock_config config;
	char path[UNIX_SOCKET_PATH_MAX + 1];
	struct stat made; /* what the path was when we made it */
	int listen_fd;
	struct loop_watch *listen_watch; /* NULL: nobody can be accepted for now */
	struct loop_timer *listen_timer; /* until that is tried again */
	struct conn *conns;
	unsigned int n_conns;
	uint32_t next_port;
	bool starved; /* the guest has no receive buffer */
	bool lost;    /* its connections were another process's: it has not been told yet */
	struct virtio_vsock_hdr resets[VSOCK_RESETS];
	unsigned int n_resets;
	uint8_t data[VSOCK_BUFFER];
	struct log_limit limit;
};

/* vsock-conn.c, on the loop with the device locked. NULL where there are too many. */
struct conn *conn_new(struct vsock *vsock, int fd, enum conn_state state);
void conn_free(struct conn *conn);
/* Nothing more of it but a reset to the guest; its socket is closed. */
void conn_reset(struct conn *conn);
/* The guest connects to `port`: 0 or -errno. */
int conn_dial(struct vsock *vsock, uint32_t guest_port, uint32_t port);
/* The guest accepted what was asked. */
void conn_accepted(struct conn *conn);
/* Bytes of the guest; false where they are more than it had credit for. */
bool conn_take(struct conn *conn, const struct virtq_chain *chain, uint64_t skip, uint32_t len);
/* The guest shut down one way or both. */
void conn_shutdown(struct conn *conn, uint32_t flags);
/* Waits for what may happen next. */
void conn_watch(struct conn *conn);
uint32_t conn_credit(const struct conn *conn);
int vsock_listen(struct vsock *vsock, struct err *err);
void vsock_unlisten(struct vsock *vsock);

/* vsock.c: there is something to tell, or to read. */
void vsock_pump(struct vsock *vsock);

#endif
