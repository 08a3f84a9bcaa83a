/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/processors.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvm-glue/cpuid.h"
#include "kvm-glue/ioapic.h"
#include "kvm-glue/vcpu-state.h"
#include "vmm/boot.h"

#define VCPU_STACK_BYTES (256ul * 1024)

#define MSR_MISC_ENABLE		0x1a0u
#define MISC_ENABLE_FAST_STRING 1u
#define MSR_MTRR_DEFTYPE	0x2ffu
#define MTRR_ENABLED_WB		0x806u /* Intel SDM volume 3, 12.11.2.1: enabled, write-back */

struct processor {
	struct processors *all;
	struct vcpu *vcpu;
	pthread_t thread;
	bool started;
};

struct processors {
	const struct processors_ops *ops;
	void *arg;
	bool stopping; /* atomic */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int pauses;  /* nested */
	unsigned int running; /* threads that are neither parked nor ended */
	unsigned int count;
	struct processor processor[];
};

int processors_create(struct processors **out, struct vm *vm, struct ioapic *ioapic,
		      const struct cpuid *cpuid, unsigned int count,
		      const struct processors_ops *ops, void *arg, struct err *err)
{
	struct processors *all = calloc(1, sizeof(*all) + count * sizeof(all->processor[0]));
	int ret;

	if (!all)
		return err_set(err, ENOMEM, "no memory for %u vCPUs", count);
	all->ops = ops;
	all->arg = arg;
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->changed, NULL);
	for (unsigned int i = 0; i < count; i++) {
		struct processor *p = &all->processor[i];

		p->all = all;
		ret = vcpu_create(&p->vcpu, vm, i, ioapic, err);
		if (ret)
			goto fail;
		all->count++;
		ret = cpuid_apply(cpuid, p->vcpu, err);
		if (ret)
			goto fail;
	}
	*out = all;
	return 0;
fail:
	processors_destroy(all);
	return ret;
}

/* What firmware would have left behind; registers that a host lacks are left alone. */
static void set_msrs(struct vcpu *vcpu)
{
	vcpu_set_msr(vcpu, MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRING);
	vcpu_set_msr(vcpu, MSR_MTRR_DEFTYPE, MTRR_ENABLED_WB);
}

int processors_boot(struct processors *all, const struct boot_state *state, struct err *err)
{
	struct vcpu *vcpu = all->processor[0].vcpu;
	struct kvm_sregs sregs;
	struct kvm_regs regs = { 0 };
	int ret;

	for (unsigned int i = 0; i < all->count; i++)
		set_msrs(all->processor[i].vcpu);
	ret = vcpu_get_sregs(vcpu, &sregs);
	if (!ret) {
		boot_registers(state, &regs, &sregs);
		ret = vcpu_set_sregs(vcpu, &sregs);
	}
	if (!ret)
		ret = vcpu_set_regs(vcpu, &regs);
	return ret ? err_set(err, -ret, "setting the boot processor's registers: %s",
			     strerror(-ret))
		   : 0;
}

int processors_save(struct processors *all, struct state_out *out, struct err *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < all->count && !ret; i++)
		ret = vcpu_save(all->processor[i].vcpu, out, err);
	return ret;
}

int processors_load(struct processors *all, struct state_in *in)
{
	int ret = 0;

	for (unsigned int i = 0; i < all->count && !ret; i++)
		ret = vcpu_load(all->processor[i].vcpu, in);
	return ret;
}

/* Waits here while paused. */
static void park(struct processors *all)
{
	pthread_mutex_lock(&all->lock);
	if (all->pauses && !__atomic_load_n(&all->stopping, __ATOMIC_SEQ_CST)) {
		all->running--;
		pthread_cond_broadcast(&all->changed);
		while (all->pauses && !__atomic_load_n(&all->stopping, __ATOMIC_SEQ_CST))
			pthread_cond_wait(&all->changed, &all->lock);
		all->running++;
	}
	pthread_mutex_unlock(&all->lock);
}

static void *processor_run(void *arg)
{
	struct processor *p = arg;
	struct processors *all = p->all;
	enum vcpu_event event = VCPU_KICKED;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", vcpu_id(p->vcpu));
	pthread_setname_np(pthread_self(), name);
	vcpu_bind_thread(p->vcpu);
	if (all->ops->began)
		all->ops->began(all->arg);
	while (!__atomic_load_n(&all->stopping, __ATOMIC_SEQ_CST)) {
		park(all);
		event = vcpu_run(p->vcpu);
		if (event != VCPU_KICKED) {
			all->ops->ended(all->arg, p->vcpu, event);
			break;
		}
	}
	pthread_mutex_lock(&all->lock);
	all->running--;
	pthread_cond_broadcast(&all->changed);
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

int processors_start(struct processors *all, struct err *err)
{
	pthread_attr_t attr;
	sigset_t block, old;
	int ret = 0;

	/* Signals for the process are read by a loop (signalfd), not taken by whoever runs. */
	sigfillset(&block);
	sigdelset(&block, SIGSYS); /* util/sandbox.h */
	pthread_sigmask(SIG_SETMASK, &block, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, VCPU_STACK_BYTES);
	for (unsigned int i = 0; i < all->count && !ret; i++) {
		struct processor *p = &all->processor[i];

		pthread_mutex_lock(&all->lock);
		all->running++;
		pthread_mutex_unlock(&all->lock);
		ret = pthread_create(&p->thread, &attr, processor_run, p);
		p->started = !ret;
		if (ret) {
			pthread_mutex_lock(&all->lock);
			all->running--;
			pthread_mutex_unlock(&all->lock);
			err_set(err, ret, "starting the thread of vCPU %u of %u: %s", i, all->count,
				strerror(ret));
		}
	}
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -ret;
}

void processors_ask_stop(struct processors *all)
{
	pthread_mutex_lock(&all->lock);
	__atomic_store_n(&all->stopping, true, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&all->changed);
	pthread_mutex_unlock(&all->lock);
	for (unsigned int i = 0; i < all->count; i++)
		vcpu_kick(all->processor[i].vcpu);
}

void processors_join(struct processors *all)
{
	for (unsigned int i = 0; i < all->count; i++) {
		if (all->processor[i].started)
			pthread_join(all->processor[i].thread, NULL);
		all->processor[i].started = false;
	}
}

void processors_destroy(struct processors *all)
{
	if (!all)
		return;
	processors_ask_stop(all);
	processors_join(all);
	for (unsigned int i = 0; i < all->count; i++)
		vcpu_destroy(all->processor[i].vcpu);
	pthread_cond_destroy(&all->changed);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

void processors_pause(struct processors *all)
{
	pthread_mutex_lock(&all->lock);
	all->pauses++;
	pthread_mutex_unlock(&all->lock);
	for (unsigned int i = 0; i < all->count; i++)
		vcpu_kick(all->processor[i].vcpu);
	pthread_mutex_lock(&all->lock);
	while (all->running)
		pthread_cond_wait(&all->changed, &all->lock);
	pthread_mutex_unlock(&all->lock);
}

void processors_resume(struct processors *all)
{
	pthread_mutex_lock(&all->lock);
	if (all->pauses)
		all->pauses--;
	pthread_cond_broadcast(&all->changed);
	pthread_mutex_unlock(&all->lock);
}

struct vcpu *processors_vcpu(struct processors *all, unsigned int index)
{
	return index < all->count ? all->processor[index].vcpu : NULL;
}
