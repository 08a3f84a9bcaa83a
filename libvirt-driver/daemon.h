/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What virtaditd is made of: everything hangs off one struct daemon, which one thread works on. Its
 * clients (session.h) call procedures (call.h) on its domains (domain.h).
 */
#ifndef ADIT_LIBVIRT_DRIVER_DAEMON_H
#define ADIT_LIBVIRT_DRIVER_DAEMON_H

#include <stddef.h>
#include <stdint.h>

#include "util/log.h"
#include "util/loop.h"

struct association;
struct console;
struct domain;
struct host;
struct node_change;
struct node_watch;
struct session;
struct stats;

#define DAEMON_MAX_DOMAINS 16384u /* what one list may hold by the protocol */
#define DAEMON_BUCKETS	   4096u  /* that they are found in: every call names one by its UUID */

struct daemon {
	struct loop *loop;
	const struct log *log;
	const char *adit;      /* the program that runs a domain */
	const char *state_dir; /* definitions; NULL: nothing is kept */
	const char *run_dir;   /* what runs; NULL: nothing can be run */

	uint32_t uid_first, uid_last; /* of domains' processes; 0: they are the daemon's own */
	uint32_t last_uid;

	struct domain *domains; /* in the order of their definition */
	struct domain *last_domain;
	struct domain *by_uuid[DAEMON_BUCKETS];
	size_t n_domains;
	int32_t last_id;

	const struct host *host; /* whose devices clients may ask for; NULL: none */
	struct node_change *changes;
	struct node_watch *node_watch; /* while somebody wants to know of them */
	struct console *consoles;      /* that clients have open */
	struct association *associations;
	struct stats *stats; /* calls that wait for the domains' processes */
	struct session *sessions;
	uint64_t last_session;
};

#endif
