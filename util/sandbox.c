/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entering a filter, and the signal by which a thread learns that it left it. As with SIGBUS
 * (sigbus.c), the handler can look at nothing but its own thread: so which role that has, and
 * where its log is, are a variable of the thread.
 */
#include "util/sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "sandbox-filters.h"
#include "util/bits.h"

#define BY_SECCOMP 1 /* SYS_SECCOMP of asm-generic/siginfo.h, which C libraries lack */

static __thread const struct log *log_of_thread;
static __thread enum sandbox_role role_of_thread;

static const char role_names[SANDBOX_ROLES][12] = {
	[SANDBOX_LIFE] = "life",	 [SANDBOX_LOOP] = "loop",
	[SANDBOX_VSOCK] = "loop+vsock",	 [SANDBOX_VCPU] = "vcpu",
	[SANDBOX_ENGINE] = "engine",	 [SANDBOX_RECEIVER] = "vfio-user",
	[SANDBOX_API] = "api",		 [SANDBOX_MEMORY] = "memory",
	[SANDBOX_SERVER] = "server",	 [SANDBOX_SEAT] = "seat",
	[SANDBOX_OWNER] = "owner",	 [SANDBOX_TENANT] = "tenant",
	[SANDBOX_FUNCTION] = "function", [SANDBOX_STARTER] = "starter",
	[SANDBOX_QUEUE] = "queue",
};

const char *sandbox_role_name(enum sandbox_role role)
{
	return role_names[role];
}

bool sandbox_is_built(void)
{
#ifdef ADIT_SANITIZED
	return false;
#else
	return true;
#endif
}

static const char *call_name(int call)
{
	if (call < 0 || (size_t)call >= ARRAY_SIZE(sandbox_calls) || !*sandbox_calls[call])
		return "a system call";
	return sandbox_calls[call];
}

/* Those of other processes than the VM's end nothing but themselves. */
static const char *what_ends(enum sandbox_role role)
{
	return role == SANDBOX_STARTER || role == SANDBOX_QUEUE ? "its process" : "the VM";
}

/*
 * Synchronous: the thread is at its system call, which was not carried out. One that somebody sent
 * says nothing of this process, and ends it no more than it would a program without the signal.
 */
static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *at = context;
	const greg_t *regs = at->uc_mcontext.gregs;

	if (info->si_code != BY_SECCOMP)
		return;
	log_line(log_of_thread, LOG_ERROR, "sandbox",
		 "a %s thread asked for %s (number %d, arguments %#llx, %#llx, %#llx), which its "
		 "filter does not allow: %s ends here; please report this",
		 role_names[role_of_thread], call_name(info->si_syscall), info->si_syscall,
		 (unsigned long long)regs[REG_RDI], (unsigned long long)regs[REG_RSI],
		 (unsigned long long)regs[REG_RDX], what_ends(role_of_thread));
	_exit(EXIT_FAILURE);
}

/* A signal that is blocked when the kernel forces it would end the process without a word. */
static int unblock_sigsys(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	return -pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static int install(enum sandbox_role role)
{
	const struct sandbox_filter *filter = &sandbox_filters[role];
	struct sock_filter code[SANDBOX_LONGEST];
	const struct sock_fprog program = { .len = filter->len, .filter = code };

	memcpy(code, sandbox_code + filter->first, filter->len * sizeof(*code));
	for (size_t i = 0; i < filter->len; i++) {
		if (code[i].code == (BPF_JMP | BPF_JEQ | BPF_K) && code[i].k == SANDBOX_SELF)
			code[i].k = (uint32_t)getpid();
	}
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) ? -errno : 0;
}

int sandbox_check(struct err *err)
{
	const uint32_t action = SECCOMP_RET_TRAP;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action))
		return err_set(err, EOPNOTSUPP,
			       "this kernel has no seccomp filters (%s): use one with "
			       "CONFIG_SECCOMP_FILTER=y, or say --sandbox=off and run guests that "
			       "you trust",
			       strerror(errno));
	return 0;
}

const char *sandbox_state(const struct sandbox *sandbox)
{
	if (!sandbox_is_built())
		return "none";
	return sandbox ? "seccomp" : "off";
}

int sandbox_start(const struct sandbox *sandbox, struct err *err)
{
	struct sigaction action = { .sa_sigaction = on_sigsys,
				    .sa_flags = SA_SIGINFO | SA_RESTART };
	const struct rlimit none = { 0 };
	int ret;

	if (!sandbox || !sandbox_is_built())
		return 0;
	ret = sandbox_check(err);
	if (ret)
		return ret;
	/*
	 * With a heap for each thread the allocator reads files of /proc and /sys, now and then and
	 * from any of them, to know how many heaps to make and whether one may shrink.
	 */
	mallopt(M_ARENA_MAX, 1);
	sigfillset(&action.sa_mask);
	/*
	 * A core would hold what guests passed through; their memory itself is in none. The others
	 * are what adit does not use: message queues, and turns before everybody else.
	 */
	if (setrlimit(RLIMIT_CORE, &none) || setrlimit(RLIMIT_MSGQUEUE, &none) ||
	    setrlimit(RLIMIT_RTPRIO, &none) || sigaction(SIGSYS, &action, NULL) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_set(err, errno, "starting the sandbox: %s", strerror(errno));
	return 0;
}

void sandbox_enter(const struct sandbox *sandbox, enum sandbox_role role)
{
	int ret;

	if (!sandbox || !sandbox_is_built())
		return;
	log_of_thread = sandbox->log;
	role_of_thread = role;
	ret = unblock_sigsys();
	if (!ret)
		ret = install(role);
	if (!ret)
		return;
	log_line(sandbox->log, LOG_ERROR, "sandbox", "a %s thread gets no filter: %s; %s ends here",
		 role_names[role], strerror(-ret), what_ends(role));
	_exit(EXIT_FAILURE);
}

struct beginning {
	const struct sandbox_thread *what;
	sem_t confined;
};

static void *begin(void *arg)
{
	struct beginning *beginning = arg;
	const struct sandbox_thread what = *beginning->what;

	pthread_setname_np(pthread_self(), what.name);
	if (what.yields)
		setpriority(PRIO_PROCESS, 0, SANDBOX_NICE);
	sandbox_enter(what.sandbox, what.role);
	sem_post(&beginning->confined);
	return what.run(what.arg);
}

static int create(const struct sandbox_thread *what, pthread_t *thread, struct beginning *beginning)
{
	sigset_t block, before;
	pthread_attr_t attr;
	int ret;

	pthread_attr_init(&attr);
	if (what->stack)
		pthread_attr_setstacksize(&attr, what->stack);
	sigfillset(&block);
	sigdelset(&block, SIGSYS);
	pthread_sigmask(SIG_SETMASK, &block, &before);
	ret = pthread_create(thread, &attr, begin, beginning);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -ret;
}

int sandbox_start_thread(const struct sandbox_thread *what, pthread_t *thread)
{
	struct beginning beginning = { .what = what };
	int ret;

	sem_init(&beginning.confined, 0, 0);
	ret = create(what, thread, &beginning);
	while (!ret && sem_wait(&beginning.confined))
		;
	sem_destroy(&beginning.confined);
	return ret;
}
