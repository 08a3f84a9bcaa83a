/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one signal handler that is about memory, and the only state of it: a pointer per thread. A
 * signal is delivered to a process and not to an object, so there is no other place that the
 * handler could look at; everything else hangs off what the guard belongs to.
 */
#include "util/sigbus.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/* volatile: the handler runs between any two instructions of the thread that it belongs to. */
static __thread struct sigbus_guard *volatile armed;
static struct sigaction before;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Back to what was there: the instruction is tried again and meets it. */
static void hand_on(void)
{
	sigaction(SIGBUS, &before, NULL);
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	struct sigbus_guard *guard = armed;
	sigset_t bus;

	/* si_code above 0: the kernel says that this thread's access failed. */
	if (!guard || info->si_code <= 0) {
		hand_on();
		if (info->si_code <= 0)
			raise(sig);
		return;
	}
	armed = NULL;
	guard->address = info->si_addr;
	/* The jump leaves the mask as it is, for saving it would cost a call for every guard. */
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &bus, NULL);
	siglongjmp(guard->env, 1);
}

void sigbus_install(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	struct sigaction now;

	sigemptyset(&action.sa_mask);
	pthread_mutex_lock(&lock);
	sigaction(SIGBUS, NULL, &now);
	if (!(now.sa_flags & SA_SIGINFO) || now.sa_sigaction != on_sigbus) {
		before = now;
		sigaction(SIGBUS, &action, NULL);
	}
	pthread_mutex_unlock(&lock);
}

void sigbus_arm(struct sigbus_guard *guard)
{
	armed = guard;
}

void sigbus_disarm(struct sigbus_guard *guard)
{
	(void)guard;
	armed = NULL;
}
