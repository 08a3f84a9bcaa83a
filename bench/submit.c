/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench submit: what a trapped submission costs, from the guest's MOVDIR64B to its next
 * instruction, beside the least that a KVM program can do about the same exit: get the registers,
 * step RIP, set them. CPU time of the vCPU's thread, KVM's share included; engines work elsewhere.
 */
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/dsa-rig.h"
#include "bench/trap.h"
#include "kvm-glue/cpuid.h"
#include "kvm-glue/memory.h"
#include "kvm-glue/vcpu.h"
#include "kvm-glue/vm.h"
#include "passthrough/adi/dsa.h"
#include "util/bits.h"

#define STORES	     200u
#define SUBMIT_LIMIT 1.2
#define MEMORY	     (4 * MIB)

struct submit {
	struct dsa_rig rig;
	struct vcpu *vcpu;
	struct cpuid *cpuid;
	double begin, end; /* of the guest's loop */
};

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The guest's port: where its loop begins and ends. */
static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct submit *submit = opaque;

	if ((value & 0xff) == TRAP_BEGIN) {
		submit->begin = cpu_ns();
	} else {
		submit->end = cpu_ns();
		vcpu_kick(submit->vcpu);
	}
}

static const struct io_ops port_ops = { .write = port_write };

static int make_vcpu(struct submit *submit, struct err *err)
{
	const struct vm_memory memory = { .size = submit->rig.size, .hva = submit->rig.memory };
	const struct io_region port = {
		.base = TRAP_PORT, .size = 1, .ops = &port_ops, .opaque = submit, .name = "bench"
	};
	struct vm *vm = submit->rig.vm;
	struct kvm_sregs sregs;
	unsigned int slot;
	int ret = vm_memory_add(vm, &memory, &slot, err);

	if (!ret)
		ret = vcpu_create(&submit->vcpu, vm, 0, NULL, err);
	if (!ret)
		ret = cpuid_create(&submit->cpuid, vm, 1, err);
	if (!ret)
		ret = cpuid_apply(submit->cpuid, submit->vcpu, err);
	if (ret)
		return ret;
	trap_load(submit->rig.memory, submit->rig.portal->base);
	vcpu_get_sregs(submit->vcpu, &sregs);
	trap_sregs(&sregs);
	ret = vcpu_set_sregs(submit->vcpu, &sregs);
	if (!ret)
		ret = iomap_add(vm_pio(vm), &port);
	vcpu_bind_thread(submit->vcpu);
	return ret ? err_set(err, ret, "the guest's registers or its port: %s", strerror(-ret)) : 0;
}

/* ns for one store; below 0: the guest did not get through, and report says why. */
static double run_guest(struct submit *submit, uint32_t count)
{
	struct kvm_regs regs;
	char report[1024];

	trap_regs(&regs, submit->rig.portal->base + DSA_PORTAL_PAGE, count);
	if (vcpu_set_regs(submit->vcpu, &regs))
		return -1;
	submit->end = 0;
	while (vcpu_run(submit->vcpu) == VCPU_KICKED) {
		if (submit->end > 0)
			return (submit->end - submit->begin) / count;
	}
	vcpu_report(submit->vcpu, report, sizeof(report));
	fprintf(stderr, "%s\n", report);
	return -1;
}

static void put_descriptor(struct submit *submit)
{
	const struct dsa_descriptor noop = { .flags = DSA_OP_NOOP << DSA_OPCODE_SHIFT };

	memcpy(submit->rig.memory + TRAP_DESCRIPTOR, &noop, sizeof(noop));
}

static int measure(struct submit *submit, struct trap_floor *floor, struct results *results,
		   const struct bench_options *options)
{
	static struct samples ours, theirs;

	put_descriptor(submit);
	if (trap_floor_run(floor, 1) < 0) {
		results_note(results, "nothing measured: on this host a guest's MOVDIR64B does not "
				      "exit to user space");
		return 0;
	}
	for (unsigned int i = 0; i < options->rounds; i++) {
		double a = run_guest(submit, STORES), b = trap_floor_run(floor, STORES);

		if (a < 0 || b < 0)
			return -1;
		samples_add(&ours, a / 1000);
		samples_add(&theirs, b / 1000);
	}
	results_add(results,
		    &(struct result){ .name = "trapped submission",
				      .unit = "us",
				      .reference_name = "minimal",
				      .target = SUBMIT_LIMIT },
		    &ours, &theirs);
	return 0;
}

static void note_counters(struct submit *submit, struct results *results)
{
	struct dsa_counters counters;

	dsa_counters_read(submit->rig.dsa, &counters);
	results_note(results, "%lu submissions accepted, %lu found the queue full",
		     counters.accepted, counters.dropped);
}

static int run(struct submit *submit, struct results *results, const struct bench_options *options,
	       struct err *err)
{
	struct trap_floor floor;
	int ret = make_vcpu(submit, err);

	if (ret)
		return ret;
	if (trap_floor_open(&floor, submit->rig.portal->base + DSA_PORTAL_PAGE))
		ret = err_set(err, 5, "the minimal program cannot start");
	else if (measure(submit, &floor, results, options))
		ret = err_set(err, 5, "the guest did not get through");
	else
		note_counters(submit, results);
	trap_floor_close(&floor);
	return ret;
}

int bench_submit(const struct bench_options *options)
{
	struct results *results = results_new("submit");
	struct submit submit = { 0 };
	struct err err = { 0 };
	int ret = dsa_rig_open(&submit.rig, MEMORY, 1, false, &err);

	if (!ret) {
		ret = run(&submit, results, options, &err);
		if (submit.vcpu)
			vcpu_destroy(submit.vcpu);
		if (submit.cpuid)
			cpuid_destroy(submit.cpuid);
		dsa_rig_close(&submit.rig);
	}
	if (ret)
		fprintf(stderr, "adit bench submit: %s\n", err.text);
	else
		ret = results_print(results, options->json_path);
	results_free(results);
	return ret ? 1 : 0;
}
