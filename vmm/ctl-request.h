/* SPDX-License-Identifier: Apache-2.0 */
/* One request to an API socket, and its answer: what adit ctl and its top have in common. */
#ifndef ADIT_VMM_CTL_REQUEST_H
#define ADIT_VMM_CTL_REQUEST_H

#include <stddef.h>

#include "vmm/api/http.h"
#include "vmm/api/verbs.h"

#define CTL_ANSWER_MAX (16u << 20)

struct ctl_request {
	const char *socket;
	const char *method, *verb;
	const char *body; /* NULL: none */
	size_t len;
	int fds[VERB_KEYS]; /* sent along */
	unsigned int n_fds;
};

/* Sent: the connection, which the caller closes; or -errno. */
int ctl_send(const struct ctl_request *request);
/*
 * The answer whose first bytes these are, and what follows of it: 0 where http (of
 * HTTP_RESPONSES) has it, -EPROTO where no whole answer came.
 */
int ctl_receive(int fd, struct http *http, const char *begun, size_t len);

#endif
