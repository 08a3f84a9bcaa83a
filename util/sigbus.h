/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Surviving SIGBUS. Guest memory is a file: when its huge pages are exhausted, its file was shrunk
 * or a page of it was poisoned, touching it raises SIGBUS in whoever does. A piece of work that
 * only guest memory can make fail arms a guard, and goes on behind it instead of dying.
 *
 *	struct sigbus_guard guard;
 *
 *	if (!sigsetjmp(guard.env, 0)) {
 *		sigbus_arm(&guard);
 *		... touches guest memory; takes no lock and allocates nothing ...
 *		sigbus_disarm(&guard);
 *	} else {
 *		... guard.address is where it happened; the guard is disarmed ...
 *	}
 *
 * A thread has one guard at a time. SIGBUS outside a guard, or one that was sent by somebody, does
 * what it did before sigbus_install: nothing is hidden.
 */
#ifndef ADIT_UTIL_SIGBUS_H
#define ADIT_UTIL_SIGBUS_H

#include <setjmp.h>

struct sigbus_guard {
	sigjmp_buf env;
	const void *address;
};

/*
 * May be called again: puts the handler back where somebody else's has replaced it. The signal must
 * not be blocked where a guard is.
 */
void sigbus_install(void);
void sigbus_arm(struct sigbus_guard *guard);
void sigbus_disarm(struct sigbus_guard *guard);

#endif
