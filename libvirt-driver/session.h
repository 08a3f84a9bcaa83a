/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client's side of the protocol: bytes in, bytes out. It knows no descriptor, so that a test
 * can be a client without one.
 *
 * What a client can make the daemon hold is bounded: one message, OUT_MAX of answers and events
 * (then it is over), and a number of registered callbacks.
 */
#ifndef ADIT_LIBVIRT_DRIVER_SESSION_H
#define ADIT_LIBVIRT_DRIVER_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libvirt-driver/daemon.h"
#include "libvirt-driver/xdr.h"

struct session;
struct call;
struct domain;
struct streams;
struct wire_header;

struct session_options {
	bool readonly;
	/* There is something to send, or the session is over. Not called from within session_feed.
	 */
	void (*ready)(void *arg);
	void *arg;
};

int session_create(struct session **out, struct daemon *daemon,
		   const struct session_options *options);
void session_destroy(struct session *session);

/* 0; -EPROTO where the client does not speak the protocol, -ENOMEM: the session is over. */
int session_feed(struct session *session, const void *bytes, size_t len);

/*
 * A descriptor that came with the bytes which are fed next; it is the session's. -EPROTO where none
 * may come: the session is over.
 */
int session_give(struct session *session, int fd);

/* What waits to be sent; session_sent takes from its front. */
const uint8_t *session_pending(const struct session *session, size_t *len);
void session_sent(struct session *session, size_t len);
/* The client said goodbye, or does not read what it asked for: close when nothing waits. */
bool session_is_over(const struct session *session);

/* Callbacks for events. A client's ids are its own. -ENOSPC past the limit, -ENOENT. */
int session_register(struct session *session, int32_t event, const uint8_t uuid[XDR_UUID]);
/* For events of the host's devices; name: of one, or NULL. */
int session_register_node(struct session *session, int32_t event, const char *name);
int session_deregister(struct session *session, int32_t callback);
uint64_t session_id(const struct session *session);
void session_end(struct session *session);
/* A frame that is no answer, its body as it is. */
void session_send(struct session *session, const struct wire_header *header, const void *body,
		  size_t len);
struct streams *session_streams(struct session *session);

/* virDomainEventType and what goes with it, to all who asked. */
enum lifecycle {
	LIFECYCLE_DEFINED = 0,
	LIFECYCLE_UNDEFINED = 1,
	LIFECYCLE_STARTED = 2,
	LIFECYCLE_SUSPENDED = 3,
	LIFECYCLE_RESUMED = 4,
	LIFECYCLE_STOPPED = 5,
};
void sessions_tell_lifecycle(struct daemon *daemon, const struct domain *domain,
			     enum lifecycle event, int32_t detail);
/* The guest has reset its machine. */
void sessions_tell_reboot(struct daemon *daemon, const struct domain *domain);
/* The guest has as much memory as it was asked to. */
void sessions_tell_balloon(struct daemon *daemon, const struct domain *domain, uint64_t kib);
/* By the device's alias, or the name that adit gives it. */
void sessions_tell_device(struct daemon *daemon, const struct domain *domain, const char *alias,
			  bool added);

/* virNodeDeviceEventLifecycleType, and the other event that devices of the host have. */
enum node_event {
	NODE_CREATED = 0,
	NODE_DELETED = 1,
	NODE_DEFINED = 2,
	NODE_UNDEFINED = 3,
	NODE_UPDATED,
};
void sessions_tell_node(struct daemon *daemon, const char *name, enum node_event event);
/* Whether anybody has asked for them. */
bool sessions_want_nodes(const struct daemon *daemon);

#endif
