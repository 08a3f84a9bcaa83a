/* SPDX-License-Identifier: Apache-2.0 */
/* One call of a client: what a procedure reads, and what it answers with. */
#ifndef ADIT_LIBVIRT_DRIVER_CALL_H
#define ADIT_LIBVIRT_DRIVER_CALL_H

#include <stdbool.h>

#include "libvirt-driver/daemon.h"
#include "libvirt-driver/wire.h"
#include "util/err.h"

/* A refusal: the number that clients act on, and the sentence that a person reads. */
struct refusal {
	enum fault fault;
	struct err err;
};

/* Returns -1, so that "return refuse(...)" reads as it acts. */
int refuse(struct refusal *refusal, enum fault fault, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Who waits for an answer that comes later: the session may be gone by then. */
struct ticket {
	uint64_t session; /* 0: nobody */
	struct wire_header header;
};

struct call {
	struct daemon *daemon;
	struct session *session;
	bool readonly;
	struct ticket ticket;
	struct xdr_in in;
	const int *fds; /* that came with it; closed when the procedure returns */
	size_t n_fds;
	struct xdr_out *out; /* the reply's body */
	struct refusal refusal;
};

/* What a procedure returns. */
#define CALL_DONE    0
#define CALL_REFUSED (-1) /* the refusal says why */
#define CALL_LATER   1	  /* somebody keeps the ticket and answers once */

struct procedure {
	int32_t number;
	bool readonly; /* for clients that may only look */
	int (*fn)(struct call *call);
};

/* The one that takes descriptors. */
#define PROCEDURE_FD_ASSOCIATE 443

/* NULL: not served. */
const struct procedure *procedure_find(int32_t number);

/* The rows of the table, one file for each kind. */
extern const struct procedure associate_procedures[], connect_procedures[], domain_procedures[],
	edit_procedures[], event_procedures[], life_procedures[], mdev_procedures[],
	node_procedures[], save_procedures[];
extern const size_t n_associate_procedures, n_connect_procedures, n_domain_procedures,
	n_edit_procedures, n_event_procedures, n_life_procedures, n_mdev_procedures,
	n_node_procedures, n_save_procedures;

/* True where all arguments were there; else the call is refused. To be asked before they count. */
bool call_arguments(struct call *call);

/* body: NULL for none. refusal: NULL where it was done. A session that is gone gets nothing. */
void ticket_answer(struct daemon *daemon, struct ticket *ticket, const struct xdr_out *body,
		   const struct refusal *refusal);

#endif
