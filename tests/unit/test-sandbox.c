/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every role tries, from inside, what its filter must stop. Each attempt is a process of its own,
 * in which a thread takes the role as adit's threads do; it must end in the one sentence.
 */
#include "tests/unit/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "util/bits.h"
#include "ioasid-client/providers/iommufd-uapi.h"
#include "util/populate.h"
#include "util/sandbox.h"

#define BIT(role) (1u << SANDBOX_##role)
#define EVERY	  ((1u << SANDBOX_ROLES) - 1)
#define LOOPS	  (BIT(LOOP) | BIT(VSOCK))
#define LENT	  (BIT(OWNER) | BIT(TENANT) | BIT(FUNCTION))
#define APART	  (BIT(STARTER) | BIT(QUEUE))
/* Those that the life starts. */
#define OF_MACHINES (LOOPS | BIT(VCPU) | BIT(ENGINE) | BIT(RECEIVER) | BIT(MEMORY))
#define SURVIVED    42

struct attempt {
	const char *name; /* as the sentence names it */
	long call, argument[4];
	unsigned int stopped; /* in these roles */
};

/* Arguments are such that a kernel without the filter refuses them: nothing ever happens here. */
static const struct attempt attempts[] = {
	{ "execve", SYS_execve, { 0 }, EVERY },
	{ "execveat", SYS_execveat, { -1 }, EVERY },
	{ "fork", SYS_fork, { 0 }, EVERY },
	{ "vfork", SYS_vfork, { 0 }, EVERY },
	{ "ptrace", SYS_ptrace, { PTRACE_ATTACH, -1 }, EVERY },
	{ "process_vm_readv", SYS_process_vm_readv, { -1 }, EVERY },
	{ "process_vm_writev", SYS_process_vm_writev, { -1 }, EVERY },
	{ "pidfd_getfd", SYS_pidfd_getfd, { -1 }, EVERY },
	{ "mount", SYS_mount, { 0 }, EVERY },
	{ "unshare", SYS_unshare, { -1 }, EVERY },
	{ "setns", SYS_setns, { -1 }, EVERY },
	{ "bpf", SYS_bpf, { -1 }, EVERY },
	{ "perf_event_open", SYS_perf_event_open, { 0 }, EVERY },
	{ "keyctl", SYS_keyctl, { -1 }, EVERY },
	{ "userfaultfd", SYS_userfaultfd, { -1 }, EVERY },
	{ "init_module", SYS_init_module, { 0 }, EVERY },
	{ "setuid", SYS_setuid, { -1 }, EVERY },
	{ "chmod", SYS_chmod, { 0 }, EVERY },
	{ "rename", SYS_rename, { 0 }, EVERY },
	{ "open_by_handle_at", SYS_open_by_handle_at, { -1 }, EVERY },
	{ "socket", SYS_socket, { AF_INET, -1 }, EVERY },
	{ "socket", SYS_socket, { AF_NETLINK, -1 }, EVERY },
	{ "socket", SYS_socket, { AF_UNIX, -1 }, EVERY & ~(BIT(LIFE) | BIT(VSOCK)) },
	{ "connect", SYS_connect, { -1 }, EVERY & ~(BIT(LIFE) | BIT(VSOCK)) },
	{ "bind", SYS_bind, { -1 }, EVERY & ~BIT(LIFE) },
	{ "openat", SYS_openat, { -1, 0, O_RDWR }, EVERY & ~(BIT(LIFE) | BIT(MEMORY)) },
	{ "openat", SYS_openat, { -1, 0, O_RDONLY }, EVERY & ~(BIT(LIFE) | BIT(MEMORY)) },
	{ "openat",
	  SYS_openat,
	  { -1, 0, O_RDONLY | O_CLOEXEC },
	  EVERY & ~(BIT(LIFE) | BIT(VCPU) | BIT(MEMORY) | BIT(TENANT)) },
	{ "openat",
	  SYS_openat,
	  { -1, 0, O_RDWR | O_CLOEXEC },
	  EVERY & ~(BIT(LIFE) | BIT(MEMORY) | BIT(STARTER)) },
	{ "openat",
	  SYS_openat,
	  { -1, 0, O_RDWR | O_CLOEXEC | O_CREAT },
	  EVERY & ~(BIT(LIFE) | BIT(MEMORY)) },
	{ "unlink", SYS_unlink, { 0 }, EVERY & ~(BIT(LIFE) | BIT(SERVER) | BIT(OWNER)) },
	{ "memfd_create", SYS_memfd_create, { 0 }, EVERY & ~BIT(LIFE) },
	{ "io_uring_setup", SYS_io_uring_setup, { 0 }, EVERY & ~BIT(LIFE) },
	{ "io_uring_register", SYS_io_uring_register, { -1 }, EVERY & ~BIT(LIFE) },
	{ "io_uring_enter", SYS_io_uring_enter, { -1 }, EVERY & ~(BIT(LIFE) | LOOPS | BIT(API)) },
	{ "ftruncate", SYS_ftruncate, { -1 }, EVERY & ~(BIT(LIFE) | BIT(API)) },
	{ "kill", SYS_kill, { 0x7fffffff, SIGTERM }, EVERY },
	{ "kill", SYS_kill, { 0x7fffffff, SIGKILL }, EVERY },
	{ "kill", SYS_kill, { 0x7fffffff, 0 }, EVERY & ~BIT(LIFE) },
	{ "pidfd_open", SYS_pidfd_open, { -1 }, EVERY & ~BIT(STARTER) },
	{ "pidfd_send_signal", SYS_pidfd_send_signal, { -1, SIGTERM }, EVERY },
	{ "pidfd_send_signal",
	  SYS_pidfd_send_signal,
	  { -1, SIGKILL },
	  EVERY & ~(BIT(LIFE) | BIT(API)) },
	{ "tgkill", SYS_tgkill, { -1, -1, SIGKILL }, EVERY },
	{ "tgkill", SYS_tgkill, { 0x7fffffff, 0x7fffffff, SIGABRT }, EVERY },
	{ "tgkill", SYS_tgkill, { 0x7fffffff, 0x7fffffff, 34 }, EVERY },
	{ "rt_sigaction", SYS_rt_sigaction, { SIGSYS, 0, 0, 8 }, EVERY },
	{ "prctl", SYS_prctl, { PR_SET_SECCOMP }, EVERY },
	{ "prctl", SYS_prctl, { PR_SET_DUMPABLE, 1 }, EVERY },
	{ "seccomp",
	  SYS_seccomp,
	  { 1, -1 },
	  EVERY & ~(BIT(LIFE) | BIT(VCPU) | BIT(SEAT) | BIT(TENANT) | BIT(STARTER)) },
	{ "mmap", SYS_mmap, { 0, 0, PROT_READ | PROT_EXEC }, EVERY },
	{ "mprotect", SYS_mprotect, { 1, 0, PROT_EXEC }, EVERY },
	{ "madvise", SYS_madvise, { 0, 0, MADV_DONTNEED }, 0 },
	{ "madvise", SYS_madvise, { 0, 0, 102 }, 0 },
	{ "madvise", SYS_madvise, { 0, 0, MADV_HWPOISON }, EVERY },
	{ "madvise", SYS_madvise, { 0, 0, MADV_HWPOISON + 1 }, EVERY },
	{ "prlimit64",
	  SYS_prlimit64,
	  { -1, RLIMIT_CORE, 0 },
	  EVERY & ~(BIT(LIFE) | BIT(VCPU) | BIT(MEMORY) | BIT(TENANT)) },
	{ "prlimit64", SYS_prlimit64, { -1, RLIMIT_CORE, 1 }, EVERY },
	{ "prlimit64", SYS_prlimit64, { -1, RLIMIT_CORE, 1l << 32 }, EVERY },
	{ "fcntl", SYS_fcntl, { -1, F_SETOWN }, EVERY },
	{ "fcntl", SYS_fcntl, { -1, F_DUPFD_CLOEXEC }, EVERY & ~BIT(LIFE) },
	{ "ioctl", SYS_ioctl, { -1, TIOCSTI }, EVERY },
	{ "ioctl", SYS_ioctl, { -1, KVM_CREATE_VM }, EVERY & ~BIT(LIFE) },
	{ "ioctl", SYS_ioctl, { -1, KVM_CREATE_VCPU }, EVERY & ~BIT(LIFE) },
	{ "ioctl", SYS_ioctl, { -1, KVM_RUN }, EVERY & ~(BIT(LIFE) | BIT(VCPU)) },
	{ "ioctl",
	  SYS_ioctl,
	  { -1, KVM_SET_USER_MEMORY_REGION },
	  EVERY & ~(BIT(LIFE) | LOOPS | BIT(VCPU) | BIT(MEMORY)) },
	{ "ioctl",
	  SYS_ioctl,
	  { -1, KVM_SIGNAL_MSI },
	  BIT(RECEIVER) | BIT(MEMORY) | BIT(SERVER) | LENT | APART },
	{ "clone", SYS_clone, { CLONE_VM | CLONE_THREAD | CLONE_SIGHAND }, EVERY },
	/* The others are answered: new_processes_are_refused_with_an_error. */
	{ "clone",
	  SYS_clone,
	  { SIGCHLD },
	  BIT(ENGINE) | BIT(RECEIVER) | BIT(SERVER) | BIT(OWNER) | BIT(FUNCTION) | APART },
	{ "clone",
	  SYS_clone,
	  { CLONE_NEWUSER | SIGCHLD },
	  BIT(ENGINE) | BIT(RECEIVER) | BIT(SERVER) | BIT(OWNER) | BIT(FUNCTION) | APART },
	{ "socketpair", SYS_socketpair, { AF_UNIX, -1 }, EVERY & ~BIT(STARTER) },
	{ "dup3", SYS_dup3, { -1 }, EVERY & ~BIT(STARTER) },
	{ "close_range", SYS_close_range, { 1 }, EVERY & ~BIT(STARTER) },
	{ "sendto", SYS_sendto, { -1 }, BIT(RECEIVER) | BIT(MEMORY) | BIT(SERVER) | LENT },
	{ "sendmsg", SYS_sendmsg, { -1 }, BIT(MEMORY) | BIT(SERVER) | BIT(OWNER) | BIT(QUEUE) },
	{ "recvmsg",
	  SYS_recvmsg,
	  { -1 },
	  BIT(ENGINE) | BIT(MEMORY) | BIT(SERVER) | BIT(OWNER) | BIT(FUNCTION) | BIT(QUEUE) },
	{ "ioctl",
	  SYS_ioctl,
	  { -1, IFD_IOAS_MAP },
	  EVERY & ~(BIT(LIFE) | BIT(MEMORY) | BIT(TENANT)) },
	{ "ioctl", SYS_ioctl, { -1, VFIO_CDEV_ATTACH }, EVERY & ~(BIT(LIFE) | BIT(OWNER)) },
	{ "ioctl", SYS_ioctl, { -1, VFIO_CDEV_BIND }, EVERY & ~BIT(LIFE) },
	{ "ioctl",
	  SYS_ioctl,
	  { -1, VFIO_DEVICE_RESET },
	  EVERY & ~(BIT(LIFE) | LOOPS | BIT(VCPU) | LENT) },
	{ "pwrite64", SYS_pwrite64, { -1 }, EVERY & ~(BIT(LIFE) | LOOPS | BIT(VCPU) | LENT) },
};

struct inside {
	struct sandbox sandbox;
	enum sandbox_role role;
	const struct attempt *attempt;
};

static void *be_inside(void *arg)
{
	const struct inside *in = arg;
	const long *a = in->attempt->argument;

	sandbox_enter(&in->sandbox, in->role);
	syscall(in->attempt->call, a[0], a[1], a[2], a[3]);
	_exit(SURVIVED);
}

/*
 * What becomes of a process in which a thread of that role makes the call; its log in `text`.
 * inherits: the thread was started by the life's in its filter, as after a guest's reset.
 */
static int try_it(enum sandbox_role role, bool inherits, const struct attempt *attempt, char *text,
		  size_t size)
{
	int pair[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		const struct log log = { .fd = pair[1], .level = LOG_INFO };
		struct inside in = { { &log }, role, attempt };
		pthread_t thread;
		struct err err;

		if (sandbox_start(&in.sandbox, &err))
			_exit(1);
		if (inherits)
			sandbox_enter(&in.sandbox, SANDBOX_LIFE);
		if (role == SANDBOX_LIFE)
			be_inside(&in);
		if (!pthread_create(&thread, NULL, be_inside, &in))
			pthread_join(thread, NULL);
		_exit(1);
	}
	close(pair[1]);
	n = read(pair[0], text, size - 1);
	text[n > 0 ? n : 0] = 0;
	close(pair[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void expect(enum sandbox_role role, bool inherits, const struct attempt *attempt)
{
	bool stopped = attempt->stopped & (1u << role);
	char text[512], begin[128];
	int got = try_it(role, inherits, attempt, text, sizeof(text));

	snprintf(begin, sizeof(begin), "adit: sandbox: error: a %s thread asked for %s (number %ld",
		 sandbox_role_name(role), attempt->name, attempt->call);
	if (!stopped && got != SURVIVED)
		fail_msg("%s, %s(%#lx, %#lx): %d: %s", sandbox_role_name(role), attempt->name,
			 attempt->argument[0], attempt->argument[1], got, text);
	if (stopped && (got != 1 || strncmp(text, begin, strlen(begin)) != 0))
		fail_msg("%s could ask for %s(%#lx, %#lx): %d: %s", sandbox_role_name(role),
			 attempt->name, attempt->argument[0], attempt->argument[1], got, text);
	if (stopped)
		assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void role_is_stopped(enum sandbox_role role)
{
	struct err err;

	if (!sandbox_is_built())
		skip_because("a build with a sanitizer has no filters");
	if (sandbox_check(&err))
		skip_because("no seccomp here");
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		expect(role, false, &attempts[i]);
		if (BIT_U64(role) & OF_MACHINES)
			expect(role, true, &attempts[i]);
	}
}

static void life_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_LIFE);
}

static void loop_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_LOOP);
}

static void loop_with_vsock_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_VSOCK);
}

static void vcpu_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_VCPU);
}

static void engine_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_ENGINE);
}

static void receiver_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_RECEIVER);
}

static void api_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_API);
}

static void memory_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_MEMORY);
}

static void server_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_SERVER);
}

static void seat_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_SEAT);
}

static void owner_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_OWNER);
}

static void tenant_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_TENANT);
}

static void function_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_FUNCTION);
}

static void starter_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_STARTER);
}

static void queue_is_stopped(void **state)
{
	role_is_stopped(SANDBOX_QUEUE);
}

/* Where a library would use the call, it is told no and goes on. */
static void new_processes_are_refused_with_an_error(void **state)
{
	static const enum sandbox_role roles[] = { SANDBOX_LIFE, SANDBOX_LOOP, SANDBOX_VSOCK,
						   SANDBOX_VCPU, SANDBOX_API,  SANDBOX_MEMORY };
	int status;

	if (!sandbox_is_built())
		skip_because("a build with a sanitizer has no filters");
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		pid_t pid = fork();

		if (!pid) {
			const struct sandbox sandbox = { NULL };
			struct err err;

			if (sandbox_start(&sandbox, &err))
				_exit(1);
			sandbox_enter(&sandbox, roles[i]);
			if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) != -1 || errno != EPERM)
				_exit(2);
			if (syscall(SYS_clone3, 0, 0) != -1 || errno != ENOSYS)
				_exit(3);
			_exit(SURVIVED);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), SURVIVED);
	}
}

/* Why a BAR cannot be mapped for other devices is asked on the vCPU that moves it. */
static void vcpu_is_refused_files_with_an_error(void **state)
{
	int status;
	pid_t pid;

	if (!sandbox_is_built())
		skip_because("a build with a sanitizer has no filters");
	pid = fork();
	if (!pid) {
		const struct sandbox sandbox = { NULL };
		struct err err;

		if (sandbox_start(&sandbox, &err))
			_exit(1);
		sandbox_enter(&sandbox, SANDBOX_VCPU);
		if (fopen("/proc/self/status", "re") || errno != EACCES)
			_exit(2);
		_exit(SURVIVED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), SURVIVED);
}

/* In a process that has the role; what it ends by. */
static int signal_itself(enum sandbox_role role, long call, int number)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		const struct sandbox sandbox = { NULL };
		struct err err;

		if (sandbox_start(&sandbox, &err))
			_exit(1);
		sandbox_enter(&sandbox, role);
		if (call == SYS_kill)
			syscall(call, getpid(), number);
		else
			syscall(call, getpid(), gettid(), number);
		_exit(SURVIVED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void signals_go_to_the_process_itself(void **state)
{
	if (!sandbox_is_built())
		skip_because("a build with a sanitizer has no filters");
	for (int role = 0; role < SANDBOX_ROLES; role++)
		assert_int_equal(signal_itself(role, SYS_tgkill, SIGABRT), SIGABRT);
	assert_int_equal(signal_itself(SANDBOX_VCPU, SYS_tgkill, 34), 34);
	assert_int_equal(signal_itself(SANDBOX_SERVER, SYS_kill, SIGTERM), SIGTERM);
	assert_int_equal(signal_itself(SANDBOX_OWNER, SYS_kill, SIGTERM), SIGTERM);
}

static void *nothing(void *arg)
{
	return NULL;
}

/* Large BARs and blocks would be mapped side by side; without threads it takes longer. */
static void threads_that_only_save_time_are_refused_with_an_error(void **state)
{
	static const enum sandbox_role roles[] = { SANDBOX_LOOP, SANDBOX_VSOCK, SANDBOX_MEMORY };

	if (!sandbox_is_built())
		skip_because("a build with a sanitizer has no filters");
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		pid_t pid = fork();
		int status;

		if (!pid) {
			const struct sandbox sandbox = { NULL };
			pthread_t thread;
			struct err err;

			if (sandbox_start(&sandbox, &err) ||
			    pthread_create(&thread, NULL, nothing, NULL) ||
			    pthread_join(thread, NULL))
				_exit(1);
			sandbox_enter(&sandbox, roles[i]);
			if (pthread_create(&thread, NULL, nothing, NULL) != EPERM)
				_exit(2);
			_exit(SURVIVED);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), SURVIVED);
	}
}

/* The signal of a filter, sent by somebody: no thread was at a call that its filter stops. */
static void a_signal_that_is_sent_is_no_call_that_was_stopped(void **state)
{
	int status;
	pid_t pid;

	if (!sandbox_is_built())
		skip_because("a build with a sanitizer has no filters");
	pid = fork();
	if (!pid) {
		const struct sandbox sandbox = { NULL };
		struct err err;

		if (sandbox_start(&sandbox, &err) || raise(SIGSYS))
			_exit(1);
		_exit(SURVIVED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), SURVIVED);
}

/* /proc says of any thread whether it has one. */
static int mode_of(pid_t tid)
{
	char path[64], line[128];
	int mode = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "Seccomp: %d", &mode);
	if (file)
		fclose(file);
	return mode;
}

static unsigned int confined_others(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned int n = 0;

	for (const struct dirent *task; tasks && (task = readdir(tasks));)
		n += atoi(task->d_name) && atoi(task->d_name) != gettid() &&
		     mode_of(atoi(task->d_name)) == 2;
	if (tasks)
		closedir(tasks);
	return n;
}

static void *wait_for_end(void *arg)
{
	const int *end = arg;
	char byte;

	return read(*end, &byte, 1) ? arg : NULL;
}

static int be_started(void)
{
	const struct sandbox sandbox = { NULL };
	int ends[2];
	const struct sandbox_thread what = {
		.sandbox = &sandbox,
		.role = SANDBOX_MEMORY,
		.name = "starting",
		.run = wait_for_end,
		.arg = &ends[0],
	};
	pthread_t thread;
	unsigned int found;
	struct err err;

	if (sandbox_start(&sandbox, &err) || pipe2(ends, O_CLOEXEC) ||
	    sandbox_start_thread(&what, &thread))
		return 1;
	/* At once: before it says anything by itself. */
	found = confined_others();
	close(ends[1]);
	pthread_join(thread, NULL);
	return found == 1 && mode_of(gettid()) != 2 ? SURVIVED : 2;
}

/* More than it makes before it is told to stop. */
static int be_making_pages(void)
{
	const struct sandbox sandbox = { NULL };
	bool stop = false;
	const struct populate_options options = {
		.base = mmap(NULL, 8 * GIB, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
		.size = 8 * GIB,
		.sandbox = &sandbox,
		.yields = true,
		.stop = &stop,
	};
	struct populate *populate;
	unsigned int found;
	struct err err;

	if (sandbox_start(&sandbox, &err))
		return 1;
	populate = populate_begin(&options);
	found = confined_others();
	__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
	if (!populate || populate_end(populate, NULL) != -ECANCELED)
		return 1;
	return found && mode_of(gettid()) != 2 ? SURVIVED : 2;
}

static void survives(int (*child)(void))
{
	int status;
	pid_t pid;

	if (!sandbox_is_built())
		skip_because("a build with a sanitizer has no filters");
	if (prctl(PR_GET_SECCOMP) != 0)
		skip_because("this test has a filter itself");
	pid = fork();
	if (!pid)
		_exit(child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), SURVIVED);
}

static void a_thread_has_its_filter_when_it_is_started(void **state)
{
	survives(be_started);
}

static void those_that_make_pages_have_theirs_before_they_do(void **state)
{
	survives(be_making_pages);
}

static void no_sandbox_is_no_filter(void **state)
{
	int before = prctl(PR_GET_SECCOMP);

	sandbox_enter(NULL, SANDBOX_ENGINE);
	assert_int_equal(prctl(PR_GET_SECCOMP), before);
	assert_string_equal(sandbox_state(NULL), sandbox_is_built() ? "off" : "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(life_is_stopped),
		cmocka_unit_test(loop_is_stopped),
		cmocka_unit_test(loop_with_vsock_is_stopped),
		cmocka_unit_test(vcpu_is_stopped),
		cmocka_unit_test(engine_is_stopped),
		cmocka_unit_test(receiver_is_stopped),
		cmocka_unit_test(api_is_stopped),
		cmocka_unit_test(server_is_stopped),
		cmocka_unit_test(seat_is_stopped),
		cmocka_unit_test(memory_is_stopped),
		cmocka_unit_test(owner_is_stopped),
		cmocka_unit_test(tenant_is_stopped),
		cmocka_unit_test(function_is_stopped),
		cmocka_unit_test(starter_is_stopped),
		cmocka_unit_test(queue_is_stopped),
		cmocka_unit_test(new_processes_are_refused_with_an_error),
		cmocka_unit_test(vcpu_is_refused_files_with_an_error),
		cmocka_unit_test(signals_go_to_the_process_itself),
		cmocka_unit_test(threads_that_only_save_time_are_refused_with_an_error),
		cmocka_unit_test(a_signal_that_is_sent_is_no_call_that_was_stopped),
		cmocka_unit_test(a_thread_has_its_filter_when_it_is_started),
		cmocka_unit_test(those_that_make_pages_have_theirs_before_they_do),
		cmocka_unit_test(no_sandbox_is_no_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
