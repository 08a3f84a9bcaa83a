/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of one client: taken apart, called, answered; and the events that it asked for. */
#include "libvirt-driver/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvirt-driver/associate.h"
#include "libvirt-driver/call.h"
#include "libvirt-driver/domain.h"
#include "libvirt-driver/run.h"
#include "libvirt-driver/stream.h"
#include "util/bits.h"

#define IN_MAX		(2u << 20)  /* one message; the longest that is of use is a domain's XML */
#define IN_MAX_READONLY (64u << 10) /* names and flags */
#define OUT_MAX		(64u << 20) /* answers that were not taken: two of the longest */
#define CALLBACKS	128u

/* An event (virDomainEventID) and the message that tells it. */
struct event {
	int32_t id, message;
};
static const struct event lifecycle = { 0, 318 };
static const struct event reboot = { 1, 319 };
static const struct event balloon = { 13, 331 };
static const struct event device_removed = { 15, 333 };
static const struct event device_added = { 19, 354 };

/* Of devices of the host, whose ids are their own (virNodeDeviceEventID). */
static const struct event node_lifecycle = { 0, 376 };
static const struct event node_update = { 1, 377 };

struct callback {
	int32_t id; /* 0: free */
	int32_t event;
	bool node;  /* of devices of the host; else of domains */
	char *name; /* of one such device; NULL: of all */
	bool one;   /* of one domain */
	uint8_t uuid[XDR_UUID];
};

struct session {
	struct daemon *daemon;
	struct session *prev, *next;
	struct session_options options;
	uint64_t id;
	uint8_t *in;
	size_t in_len, in_room;
	int fds[WIRE_MAX_FDS]; /* of messages that are not whole yet */
	size_t n_fds;
	struct xdr_out out;
	size_t sent;
	bool over;
	bool feeding;
	struct streams streams;
	int32_t last_callback;
	struct callback callbacks[CALLBACKS];
};

int session_create(struct session **out, struct daemon *daemon,
		   const struct session_options *options)
{
	struct session *session = calloc(1, sizeof(*session));

	*out = session;
	if (!session)
		return -ENOMEM;
	session->daemon = daemon;
	session->options = *options;
	session->id = ++daemon->last_session;
	session->out.max = OUT_MAX;
	session->next = daemon->sessions;
	if (session->next)
		session->next->prev = session;
	daemon->sessions = session;
	return 0;
}

/* The first n. */
static void close_fds(struct session *session, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(session->fds[i]);
	session->n_fds -= n;
	memmove(session->fds, session->fds + n, session->n_fds * sizeof(*session->fds));
}

void session_destroy(struct session *session)
{
	if (!session)
		return;
	associations_end(session->daemon, session->id);
	run_autodestroy(session->daemon, session->id);
	close_fds(session, session->n_fds);
	for (size_t i = 0; i < CALLBACKS; i++)
		free(session->callbacks[i].name);
	if (session->prev)
		session->prev->next = session->next;
	else
		session->daemon->sessions = session->next;
	if (session->next)
		session->next->prev = session->prev;
	streams_end(&session->streams);
	free(session->in);
	free(session->out.bytes);
	free(session);
}

uint64_t session_id(const struct session *session)
{
	return session->id;
}

void session_end(struct session *session)
{
	session->over = true;
}

bool session_is_over(const struct session *session)
{
	return session->over || session->out.bad;
}

const uint8_t *session_pending(const struct session *session, size_t *len)
{
	*len = session->out.bad ? 0 : session->out.len - session->sent;
	return *len ? session->out.bytes + session->sent : NULL;
}

void session_sent(struct session *session, size_t len)
{
	session->sent += len;
	if (session->sent < session->out.len)
		return;
	free(session->out.bytes);
	session->out = (struct xdr_out){ .max = OUT_MAX };
	session->sent = 0;
	streams_have_room(&session->streams);
}

struct streams *session_streams(struct session *session)
{
	return &session->streams;
}

static void say_ready(struct session *session)
{
	if (!session->feeding && session->options.ready)
		session->options.ready(session->options.arg);
}

void session_send(struct session *session, const struct wire_header *header, const void *body,
		  size_t len)
{
	size_t at = wire_begin(&session->out, header);

	xdr_put_raw(&session->out, body, len);
	wire_end(&session->out, at);
	say_ready(session);
}

/* --- answers --------------------------------------------------------------------------------- */

static void answer(struct session *session, const struct wire_header *call,
		   const struct xdr_out *body, const struct refusal *refusal)
{
	struct wire_header header = *call;
	struct xdr_out *out = &session->out;
	size_t at;

	header.type = WIRE_REPLY;
	header.status = refusal ? WIRE_ERROR : WIRE_OK;
	at = wire_begin(out, &header);
	if (refusal)
		wire_put_error(out, refusal->fault, refusal->err.text);
	else if (body && body->len)
		xdr_put_bytes(out, body->bytes, body->len);
	wire_end(out, at);
}

void ticket_answer(struct daemon *daemon, struct ticket *ticket, const struct xdr_out *body,
		   const struct refusal *refusal)
{
	struct session *session = daemon->sessions;

	while (session && session->id != ticket->session)
		session = session->next;
	if (session && ticket->session) {
		answer(session, &ticket->header, body, refusal);
		say_ready(session);
	}
	ticket->session = 0;
}

bool call_arguments(struct call *call)
{
	if (xdr_in_is_whole(&call->in))
		return true;
	refuse(&call->refusal, FAULT_RPC, "the arguments of procedure %d are not what it takes",
	       call->ticket.header.procedure);
	return false;
}

/* --- calls ----------------------------------------------------------------------------------- */

static const struct procedure *find_procedure(struct call *call)
{
	const struct wire_header *header = &call->ticket.header;
	const struct procedure *procedure = procedure_find(header->procedure);

	if (header->program != WIRE_PROGRAM_REMOTE || header->version != WIRE_VERSION ||
	    !procedure ||
	    (header->type != WIRE_CALL && header->procedure != PROCEDURE_FD_ASSOCIATE)) {
		refuse(&call->refusal, FAULT_NO_SUPPORT,
		       "procedure %d of program %#x is not served by virtaditd", header->procedure,
		       header->program);
		return NULL;
	}
	if (call->readonly && !procedure->readonly) {
		refuse(&call->refusal, FAULT_OPERATION_DENIED,
		       "this connection is read-only; procedure %d needs one to the other socket",
		       header->procedure);
		return NULL;
	}
	return procedure;
}

static void serve_call(struct session *session, const struct wire_header *header,
		       const struct xdr_in *in, size_t n_fds)
{
	struct xdr_out out = { .max = WIRE_MAX_MESSAGE - WIRE_HEADER };
	struct call call = {
		.daemon = session->daemon,
		.session = session,
		.readonly = session->options.readonly,
		.ticket = { session->id, *header },
		.in = *in,
		.fds = session->fds,
		.n_fds = n_fds,
		.out = &out,
	};
	const struct procedure *procedure = find_procedure(&call);
	int ret = procedure ? procedure->fn(&call) : CALL_REFUSED;

	if (ret == CALL_DONE && out.bad)
		ret = refuse(&call.refusal, FAULT_INTERNAL,
			     "the answer is longer than a message may be, or there is no memory");
	if (ret != CALL_LATER)
		answer(session, header, &out, ret == CALL_DONE ? NULL : &call.refusal);
	xdr_in_end(&call.in);
	free(out.bytes);
}

static void pong(struct session *session, const struct wire_header *ping)
{
	struct wire_header header = *ping;

	header.procedure = KEEPALIVE_PONG;
	header.type = WIRE_MESSAGE;
	header.status = WIRE_OK;
	wire_end(&session->out, wire_begin(&session->out, &header));
}

static int serve_message(struct session *session, const uint8_t *bytes, size_t len, size_t n_fds)
{
	struct wire_header header;
	struct xdr_in in;

	xdr_in_begin(&in, bytes + 4, len - 4);
	wire_get_header(&in, &header);
	if (header.program == WIRE_PROGRAM_KEEPALIVE) {
		if (header.version != WIRE_VERSION || header.type != WIRE_MESSAGE ||
		    in.at != in.end)
			return -EPROTO;
		if (header.procedure == KEEPALIVE_PING)
			pong(session, &header);
		return 0;
	}
	if (header.type == WIRE_STREAM && header.program == WIRE_PROGRAM_REMOTE && !in.bad) {
		streams_take(&session->streams, &header, in.at, (size_t)(in.end - in.at));
		return session->out.bad ? -ENOMEM : 0;
	}
	/* Only calls begin something. */
	if (header.status != WIRE_OK ||
	    (header.type != WIRE_CALL && header.type != WIRE_CALL_WITH_FDS))
		return -EPROTO;
	if (header.type == WIRE_CALL_WITH_FDS)
		xdr_u32(&in); /* how many: known by now */
	serve_call(session, &header, &in, n_fds);
	return session->out.bad ? -ENOMEM : 0;
}

/* --- bytes ----------------------------------------------------------------------------------- */

/* Room for what came, not for what a length promises. */
static int keep(struct session *session, const void *bytes, size_t len)
{
	size_t room = MAX(session->in_room, 1024u);
	uint8_t *in;

	while (room < session->in_len + len)
		room *= 2;
	if (room != session->in_room) {
		in = realloc(session->in, room);
		if (!in)
			return -ENOMEM;
		session->in = in;
		session->in_room = room;
	}
	memcpy(session->in + session->in_len, bytes, len);
	session->in_len += len;
	return 0;
}

int session_give(struct session *session, int fd)
{
	if (!session->options.readonly && session->n_fds < WIRE_MAX_FDS) {
		session->fds[session->n_fds++] = fd;
		return 0;
	}
	close(fd);
	session->over = true;
	return -EPROTO;
}

/* With the bytes that came with descriptors: a NUL each. 0: more of it is to come; -EPROTO. */
static ssize_t whole_message(const struct session *session, size_t at, size_t *n_fds)
{
	const uint32_t max = session->options.readonly ? IN_MAX_READONLY : IN_MAX;
	const uint8_t *frame = session->in + at;
	size_t has = session->in_len - at;
	uint32_t len = wire_length(frame, max);
	int n;

	if (!len)
		return -EPROTO;
	if (has < len)
		return 0;
	n = wire_fds(frame, len);
	if (n < 0)
		return n;
	*n_fds = (size_t)n;
	if (has < len + *n_fds)
		return 0;
	/* They come with their bytes, not after them. */
	if (session->n_fds < *n_fds)
		return -EPROTO;
	return (ssize_t)(len + *n_fds);
}

/* Bytes of whole messages that were served; -errno. */
static ssize_t serve_all(struct session *session)
{
	size_t at = 0, n_fds = 0;

	while (!session->over && session->in_len - at >= 4) {
		ssize_t len = whole_message(session, at, &n_fds);
		int ret;

		if (len < 0)
			return len;
		if (!len)
			break;
		ret = serve_message(session, session->in + at, (size_t)len - n_fds, n_fds);
		close_fds(session, n_fds);
		if (ret)
			return ret;
		at += (size_t)len;
	}
	return (ssize_t)at;
}

int session_feed(struct session *session, const void *bytes, size_t len)
{
	ssize_t served = -EPROTO;

	if (session_is_over(session))
		return 0;
	session->feeding = true;
	if (!len || !(served = keep(session, bytes, len)))
		served = serve_all(session);
	session->feeding = false;
	if (served < 0) {
		session->over = true;
		return (int)served;
	}
	session->in_len -= (size_t)served;
	if (session->in_len) {
		memmove(session->in, session->in + served, session->in_len);
	} else {
		free(session->in);
		session->in = NULL;
		session->in_room = 0;
	}
	return 0;
}

/* --- events ---------------------------------------------------------------------------------- */

/* A free one with an id; NULL past the limit. */
static struct callback *add_callback(struct session *session, int32_t event)
{
	for (size_t i = 0; i < CALLBACKS; i++) {
		struct callback *callback = &session->callbacks[i];

		if (callback->id)
			continue;
		if (session->last_callback == INT32_MAX)
			return NULL;
		callback->id = ++session->last_callback;
		callback->event = event;
		return callback;
	}
	return NULL;
}

int session_register(struct session *session, int32_t event, const uint8_t uuid[XDR_UUID])
{
	struct callback *callback = add_callback(session, event);

	if (!callback)
		return -ENOSPC;
	callback->one = uuid != NULL;
	if (uuid)
		memcpy(callback->uuid, uuid, XDR_UUID);
	return callback->id;
}

int session_register_node(struct session *session, int32_t event, const char *name)
{
	char *copy = name ? strdup(name) : NULL;
	struct callback *callback = name && !copy ? NULL : add_callback(session, event);

	if (!callback) {
		free(copy);
		return -ENOSPC;
	}
	callback->node = true;
	callback->name = copy;
	return callback->id;
}

int session_deregister(struct session *session, int32_t id)
{
	for (size_t i = 0; i < CALLBACKS; i++) {
		if (id && session->callbacks[i].id == id) {
			free(session->callbacks[i].name);
			session->callbacks[i] = (struct callback){ 0 };
			return 0;
		}
	}
	return -ENOENT;
}

/* Callback by callback; what goes behind the domain is the same for each. */
static void tell(struct daemon *daemon, const struct domain *domain, const struct event *event,
		 const struct xdr_out *more)
{
	const struct wire_header header = {
		.program = WIRE_PROGRAM_REMOTE,
		.version = WIRE_VERSION,
		.procedure = event->message,
		.type = WIRE_MESSAGE,
	};

	for (struct session *session = daemon->sessions, *next; session; session = next) {
		bool told = false;

		next = session->next;
		for (size_t i = 0; i < CALLBACKS; i++) {
			const struct callback *callback = &session->callbacks[i];
			size_t at;

			if (!callback->id || callback->node || callback->event != event->id ||
			    (callback->one &&
			     memcmp(callback->uuid, domain_uuid(domain), XDR_UUID) != 0))
				continue;
			at = wire_begin(&session->out, &header);
			xdr_put_i32(&session->out, callback->id);
			domain_put(&session->out, domain);
			xdr_put_raw(&session->out, more->bytes, more->len);
			wire_end(&session->out, at);
			told = true;
		}
		if (told)
			say_ready(session);
	}
}

void sessions_tell_lifecycle(struct daemon *daemon, const struct domain *domain,
			     enum lifecycle event, int32_t detail)
{
	struct xdr_out more = { .max = WIRE_MAX_STRING };

	xdr_put_i32(&more, event);
	xdr_put_i32(&more, detail);
	tell(daemon, domain, &lifecycle, &more);
	free(more.bytes);
}

void sessions_tell_reboot(struct daemon *daemon, const struct domain *domain)
{
	tell(daemon, domain, &reboot, &(struct xdr_out){ 0 });
}

void sessions_tell_balloon(struct daemon *daemon, const struct domain *domain, uint64_t kib)
{
	struct xdr_out more = { .max = WIRE_MAX_STRING };

	xdr_put_u64(&more, kib);
	tell(daemon, domain, &balloon, &more);
	free(more.bytes);
}

void sessions_tell_device(struct daemon *daemon, const struct domain *domain, const char *alias,
			  bool added)
{
	struct xdr_out more = { .max = WIRE_MAX_STRING };

	xdr_put_string(&more, alias);
	tell(daemon, domain, added ? &device_added : &device_removed, &more);
	free(more.bytes);
}

static void tell_node(struct session *session, const struct callback *callback,
		      const struct event *event, const char *name, const struct xdr_out *more)
{
	const struct wire_header header = {
		.program = WIRE_PROGRAM_REMOTE,
		.version = WIRE_VERSION,
		.procedure = event->message,
		.type = WIRE_MESSAGE,
	};
	size_t at = wire_begin(&session->out, &header);

	xdr_put_i32(&session->out, callback->id);
	xdr_put_string(&session->out, name);
	xdr_put_raw(&session->out, more->bytes, more->len);
	wire_end(&session->out, at);
}

void sessions_tell_node(struct daemon *daemon, const char *name, enum node_event event)
{
	const struct event *which = event == NODE_UPDATED ? &node_update : &node_lifecycle;
	struct xdr_out more = { .max = WIRE_MAX_STRING };

	if (event != NODE_UPDATED) {
		xdr_put_i32(&more, event);
		xdr_put_i32(&more, 0); /* there are no details */
	}
	for (struct session *session = daemon->sessions, *next; session; session = next) {
		bool told = false;

		next = session->next;
		for (size_t i = 0; i < CALLBACKS; i++) {
			const struct callback *callback = &session->callbacks[i];

			if (!callback->id || !callback->node || callback->event != which->id ||
			    (callback->name && strcmp(callback->name, name) != 0))
				continue;
			tell_node(session, callback, which, name, &more);
			told = true;
		}
		if (told)
			say_ready(session);
	}
	free(more.bytes);
}

bool sessions_want_nodes(const struct daemon *daemon)
{
	for (const struct session *session = daemon->sessions; session; session = session->next) {
		for (size_t i = 0; i < CALLBACKS; i++) {
			if (session->callbacks[i].id && session->callbacks[i].node)
				return true;
		}
	}
	return false;
}
