/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a VMM takes between two KVM_RUN calls: a preload library, or (WRAP) an object that
 * is linked into a static program with --wrap. It stands in front of libc's ioctl, notes the
 * time-stamp counter when KVM_RUN returns and when the same thread calls it again, and writes the
 * mean of the middle half in nanoseconds to $ADIT_EXIT_GAP_FILE at the end (some CPUs step the
 * counter by 10 ns: a median would hide what is smaller). What the library itself costs is measured
 * first, by calls that fail at once, and taken off. Behind it in the file: that cost, the
 * milliseconds from $ADIT_EXIT_GAP_START (CLOCK_MONOTONIC ns) to the first KVM_RUN, and of these
 * those in which a thread was in the kernel's calls of VFIO, iommufd or KVM's VFIO device (open,
 * reset, attach, pin, tell) or, with WRAP, waited for pages to be made.
 *
 * State is per process, since a library that is loaded in front of another program has no other
 * place for it.
 */
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define GAPS_MAX    (1u << 16)
#define CALIBRATION 4000u

#ifdef WRAP
#define ioctl __wrap_ioctl
#endif
int ioctl(int fd, unsigned long request, ...);

static uint64_t gaps[GAPS_MAX];
static unsigned int gap_count;
static uint64_t start_tsc, start_ns;
static uint64_t first_run_ns;
/* Before the first KVM_RUN: how long there was a thread in such a call, of several at once once. */
static pthread_mutex_t calls_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t calls_ns, calls_since;
static unsigned int calls_now;
static double own_ticks;
static __thread uint64_t returned;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Mean of the middle half, in ticks. Sorts. */
static double middle_mean(void)
{
	unsigned int n = gap_count < GAPS_MAX ? gap_count : GAPS_MAX, quarter = n / 4;
	double sum = 0;

	qsort(gaps, n, sizeof(gaps[0]), ascending);
	for (unsigned int i = quarter; i < n - quarter; i++)
		sum += (double)gaps[i];
	return n ? sum / (n - 2 * quarter) : 0;
}

__attribute__((constructor)) static void begin(void)
{
	for (unsigned int i = 0; i < CALIBRATION; i++)
		ioctl(-1, KVM_RUN, 0);
	own_ticks = middle_mean();
	gap_count = 0;
	returned = 0;
	start_tsc = __rdtsc();
	start_ns = now_ns();
}

__attribute__((destructor)) static void end(void)
{
	const char *path = getenv("ADIT_EXIT_GAP_FILE"), *start = getenv("ADIT_EXIT_GAP_START");
	double ns_per_tick = (double)(now_ns() - start_ns) / (double)(__rdtsc() - start_tsc);
	FILE *to = path ? fopen(path, "we") : NULL;
	double first_ms = 0;

	if (!to)
		return;
	if (start)
		first_ms = ((double)first_run_ns - (double)strtoull(start, NULL, 10)) / 1e6;
	fprintf(to, "%.2f %.2f %.3f %.3f\n", (middle_mean() - own_ticks) * ns_per_tick,
		own_ticks * ns_per_tick, first_ms, (double)calls_ns / 1e6);
	fclose(to);
}

static void enter_call(void)
{
	pthread_mutex_lock(&calls_lock);
	if (!calls_now++)
		calls_since = now_ns();
	pthread_mutex_unlock(&calls_lock);
}

/* Pages are waited for while the guest runs, too: no more than what lies before that counts. */
static void leave_call(void)
{
	uint64_t end = first_run_ns ? first_run_ns : now_ns();

	pthread_mutex_lock(&calls_lock);
	if (!--calls_now && end > calls_since)
		calls_ns += end - calls_since;
	pthread_mutex_unlock(&calls_lock);
}

/* VFIO and iommufd have one letter; KVM's VFIO device is the one whose attributes a VMM sets. */
static bool is_call(unsigned long request)
{
	return _IOC_TYPE(request) == VFIO_TYPE || request == KVM_SET_DEVICE_ATTR;
}

/* What comes after the guest has started is not counted. */
static int other_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	if (!is_call(request) || first_run_ns)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	enter_call();
	ret = (int)syscall(SYS_ioctl, fd, request, arg);
	leave_call();
	return ret;
}

#ifdef WRAP
/* util/populate.h; what it does beside others costs no time. */
struct populate;
struct log;
int __real_populate_end(struct populate *populate, const struct log *log);
int __wrap_populate_end(struct populate *populate, const struct log *log);

int __wrap_populate_end(struct populate *populate, const struct log *log)
{
	int ret;

	enter_call();
	ret = __real_populate_end(populate, log);
	leave_call();
	return ret;
}
#endif

int ioctl(int fd, unsigned long request, ...)
{
	unsigned int slot;
	uint64_t called;
	va_list ap;
	void *arg;
	int ret;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request != KVM_RUN)
		return other_ioctl(fd, request, arg);
	if (!first_run_ns && start_ns)
		first_run_ns = now_ns();
	called = __rdtsc();
	if (returned) {
		slot = __atomic_fetch_add(&gap_count, 1, __ATOMIC_RELAXED);
		if (slot < GAPS_MAX)
			gaps[slot] = called - returned;
	}
	ret = (int)syscall(SYS_ioctl, fd, request, arg);
	returned = __rdtsc();
	return ret;
}
