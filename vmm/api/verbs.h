/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the API can be asked: a table of verbs, each a method and a target, and the answers. Nothing
 * here knows sockets; the server hands over a complete request and sends what comes back.
 */
#ifndef ADIT_VMM_API_VERBS_H
#define ADIT_VMM_API_VERBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/err.h"

#define API_PREFIX "/api/v1/"

struct life;
struct log;

enum reply_kind {
	REPLY_NOW,
	REPLY_LATER,  /* an operation of the life is under way: verbs_finished has the answer */
	REPLY_EVENTS, /* from now on the client gets events */
	REPLY_QUIT,   /* the answer, then the end of the process */
};

struct reply {
	enum reply_kind kind;
	unsigned int status;
	const char *type;  /* of the body */
	const char *allow; /* the method that would have been right, or NULL */
	char *body;	   /* allocated and followed by a NUL, or NULL: none */
	size_t len;
	uint64_t ticket; /* REPLY_LATER: of an errand, whose answer verbs_done has; 0: of none */
};

struct request {
	const char *method, *target;
	const char *body;
	size_t len;
	/* Descriptors that came with it. A verb that takes them sets n_fds to 0. */
	const int *fds;
	unsigned int n_fds;
	/* Who asks, from the kernel. */
	pid_t pid;
	uid_t uid;
};

/* Fills *reply, whose body the caller frees. What is wrong with a request has changed nothing. */
void verbs_serve(struct life *life, const struct log *log, struct request *request,
		 struct reply *reply);
/* The answer to a REPLY_LATER whose operation ended so. */
void verbs_finished(struct reply *reply, int ret, const struct err *err);
/* The answer to an errand that is over. */
struct life_done;
void verbs_done(struct reply *reply, const struct life_done *done);
/* An answer that is an error alone. */
void reply_refuse(struct reply *reply, unsigned int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* For who asks: what the table says of a verb. */
#define VERB_KEYS 4u
struct verb_info {
	const char *name, *method, *summary;
	/* The keys of its body, the required ones first; none: no body. */
	const char *keys[VERB_KEYS];
	unsigned int required;
	bool whole; /* the body is a file, which its one key stands for */
};
/* By index; false past the end. */
bool verbs_info(size_t index, struct verb_info *info);

#endif
