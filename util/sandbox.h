/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each thread of a VM may ask the kernel for: a seccomp filter for each role, made at build
 * time (vmm/sandbox/table.h says what is in them and why) and entered by the thread itself, for
 * good. A call that is not in a thread's filter ends the process with one sentence in the log that
 * names both.
 *
 * A thread inherits the filter of the one that starts it and can only narrow it. The first
 * machine's threads take theirs side by side, and no guest runs before all have; those of the
 * machines after it are started within the life's.
 *
 * A build with a sanitizer has no filters: what its runtime asks for is nobody's to say.
 */
#ifndef ADIT_UTIL_SANDBOX_H
#define ADIT_UTIL_SANDBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"
#include "util/log.h"

enum sandbox_role {
	SANDBOX_LIFE,	  /* makes and ends machines; waits while one runs */
	SANDBOX_LOOP,	  /* serves a machine's devices */
	SANDBOX_VSOCK,	  /* the same of a machine with a vsock */
	SANDBOX_VCPU,	  /* runs the guest and answers its exits */
	SANDBOX_ENGINE,	  /* carries out an ADI's descriptors */
	SANDBOX_RECEIVER, /* reads what a vfio-user server sends */
	SANDBOX_API,	  /* serves the API's clients */
	SANDBOX_MEMORY,	  /* makes, plugs and unplugs guest memory */
	SANDBOX_SERVER,	  /* adit adi-serve: waits for its end, and clears up */
	SANDBOX_SEAT,	  /* adit adi-serve: serves the clients of one socket */
	/* The same where a function does the work: they ask VFIO and the IOMMU as well. */
	SANDBOX_OWNER,	  /* waits for its end, and gives the function back */
	SANDBOX_TENANT,	  /* serves the clients of one socket */
	SANDBOX_FUNCTION, /* carries out descriptors on it, watches it, tells who it is lent to */
	/* Processes of one thread each, beside the VM's. */
	SANDBOX_STARTER, /* starts the helpers of host work queues */
	SANDBOX_QUEUE,	 /* is one, and hands descriptors to its queue */
	SANDBOX_ROLES,
};

/* Of threads that give way. */
#define SANDBOX_NICE 19

/* Handed to whoever starts threads, and outlives them; NULL where there is no sandbox. */
struct sandbox {
	const struct log *log; /* for the last sentence */
};

/*
 * "life", "loop", "loop+vsock", "vcpu", "engine", "vfio-user", "api", "memory", "server", "seat",
 * "owner", "tenant", "function", "starter", "queue".
 */
const char *sandbox_role_name(enum sandbox_role role);

/* Were filters built in? */
bool sandbox_is_built(void);

/* Can this kernel do it? -EOPNOTSUPP with the mend. */
int sandbox_check(struct err *err);
/* "seccomp", "off" (NULL), or "none" in a build without filters. */
const char *sandbox_state(const struct sandbox *sandbox);

/*
 * Once, on the process's first thread, before it starts others: no new privileges for any of them,
 * no core, and the signal that ends who leaves its filter is caught.
 */
int sandbox_start(const struct sandbox *sandbox, struct err *err);

/*
 * Starts a thread that takes the role and then calls run, and returns when it has the filter: no
 * later thing that its caller does, such as running a guest, happens beside one that has none.
 * No signal but SIGSYS is delivered to it. 0 or -errno.
 */
struct sandbox_thread {
	const struct sandbox *sandbox; /* NULL: no filter */
	enum sandbox_role role;
	const char *name; /* at most 15 characters */
	size_t stack;	  /* bytes; 0: as usual */
	bool yields;	  /* where CPUs are wanted it gives way to the others: nice 19 */
	void *(*run)(void *arg);
	void *arg;
};
int sandbox_start_thread(const struct sandbox_thread *what, pthread_t *thread);

/*
 * The calling thread has this role from now on. Does not return where the filter cannot be had: the
 * process ends with a sentence. sandbox may be NULL: nothing happens.
 */
void sandbox_enter(const struct sandbox *sandbox, enum sandbox_role role);

#endif
