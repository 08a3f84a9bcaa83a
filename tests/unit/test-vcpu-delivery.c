/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU of which KVM says that an event could not be delivered, which it says also where there was
 * none. The kernel's part is here: no real one can be made to say so.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm-glue/vcpu-internal.h"
#include "util/bits.h"

#define FAKE_FD -77 /* no descriptor */

/* What KVM_RUN ends with, one after the other. */
struct step {
	uint32_t reason;
	uint64_t rip;
};

static struct {
	const struct step *step;
	unsigned int n, runs;
	struct kvm_vcpu_events events;
	struct vcpu *vcpu;
} kernel;

static int run(void)
{
	struct kvm_run *run = kernel.vcpu->run;

	assert_true(kernel.runs < kernel.n);
	run->exit_reason = kernel.step[kernel.runs++].reason;
	run->internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
	return 0;
}

/* In the place of the C library's. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fd != FAKE_FD)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	switch (request) {
	case KVM_RUN:
		return run();
	case KVM_GET_VCPU_EVENTS:
		memcpy(arg, &kernel.events, sizeof(kernel.events));
		return 0;
	case KVM_GET_REGS:
		*(struct kvm_regs *)arg =
			(struct kvm_regs){ .rip = kernel.step[kernel.runs - 1].rip };
		return 0;
	default:
		errno = ENOTTY;
		return -1;
	}
}

/* Returns what vcpu_run does, and how often KVM_RUN was called. */
static enum vcpu_event go(const struct step *step, unsigned int n, unsigned int *runs)
{
	struct kvm_run state = { 0 };
	struct vm vm = { 0 };
	struct vcpu vcpu = { .run = &state, .vm = &vm, .fd = FAKE_FD };
	enum vcpu_event event;

	kernel.step = step;
	kernel.n = n;
	kernel.runs = 0;
	kernel.vcpu = &vcpu;
	event = vcpu_run(&vcpu);
	*runs = kernel.runs;
	return event;
}

#define GO(steps, runs) go(steps, ARRAY_SIZE(steps), runs)
#define DELIVERY	KVM_EXIT_INTERNAL_ERROR

static int setup(void **state)
{
	memset(&kernel, 0, sizeof(kernel));
	return 0;
}

static void where_nothing_was_being_delivered_the_guest_goes_on(void **state)
{
	static const struct step steps[] = { { DELIVERY, 0x1000 }, { KVM_EXIT_SHUTDOWN, 0 } };
	unsigned int runs;

	assert_int_equal(GO(steps, &runs), VCPU_SHUTDOWN);
	assert_int_equal(runs, 2);
}

static void an_event_that_was_being_delivered_is_a_failure(void **state)
{
	static const struct step steps[] = { { DELIVERY, 0x1000 } };
	static const struct kvm_vcpu_events events[] = {
		{ .exception.injected = 1 },
		{ .interrupt.injected = 1 },
		{ .nmi.injected = 1 },
	};
	unsigned int runs;

	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		kernel.events = events[i];
		assert_int_equal(GO(steps, &runs), VCPU_FAILED);
		assert_int_equal(runs, 1);
	}
}

static void the_same_again_is_a_failure(void **state)
{
	static const struct step steps[] = { { DELIVERY, 0x1000 }, { DELIVERY, 0x1000 } };
	unsigned int runs;

	assert_int_equal(GO(steps, &runs), VCPU_FAILED);
	assert_int_equal(runs, 2);
}

static void further_on_it_is_not(void **state)
{
	static const struct step steps[] = {
		{ DELIVERY, 0x1000 }, { DELIVERY, 0x1004 },	     { DELIVERY, 0x1008 },
		{ DELIVERY, 0x1000 }, { KVM_EXIT_IOAPIC_EOI, 0 },    { DELIVERY, 0x1000 },
		{ DELIVERY, 0 },      { KVM_EXIT_SHUTDOWN, 0x1000 },
	};
	unsigned int runs;

	assert_int_equal(GO(steps, &runs), VCPU_SHUTDOWN);
	assert_int_equal(runs, ARRAY_SIZE(steps));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(where_nothing_was_being_delivered_the_guest_goes_on, setup),
		cmocka_unit_test_setup(an_event_that_was_being_delivered_is_a_failure, setup),
		cmocka_unit_test_setup(the_same_again_is_a_failure, setup),
		cmocka_unit_test_setup(further_on_it_is_not, setup),
	};

	return cmocka_run_group_tests_name("vcpu-delivery", tests, NULL, NULL);
}
