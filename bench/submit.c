/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench submit: what a trapped submission costs, from the guest's MOVDIR64B to its next
 * instruction, beside the least that a KVM program can do about the same exit: get the registers,
 * step RIP, set them. CPU time of the vCPU's thread, KVM's share included; engines work elsewhere.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

#include "bench/contest.h"
#include "bench/dsa-rig.h"
#include "bench/job.h"
#include "bench/results.h"
#include "bench/trap.h"
#include "kvm-glue/cpuid.h"
#include "kvm-glue/memory.h"
#include "kvm-glue/vcpu.h"
#include "kvm-glue/vm.h"
#include "passthrough/adi/dsa.h"
#include "util/bits.h"

#define STORES	     200u /* of a turn, where no job says how many */
#define SUBMIT_LIMIT 1.2
#define MEMORY	     (4 * MIB)

struct submit {
	struct dsa_rig rig;
	struct vcpu *vcpu;
	struct cpuid *cpuid;
	double begin, end; /* of the guest's loop */
	struct trap_floor floor;
	uint32_t stores; /* of a turn */
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

/* ns for one store; below 0: the guest did not get through, and err says why. */
static double run_guest(struct submit *submit, uint32_t count, struct err *err)
{
	struct kvm_regs regs;
	char report[1024];

	trap_regs(&regs, submit->rig.portal->base + DSA_PORTAL_PAGE, count);
	if (vcpu_set_regs(submit->vcpu, &regs))
		return err_set(err, EIO, "the guest's registers cannot be set");
	submit->end = 0;
	while (vcpu_run(submit->vcpu) == VCPU_KICKED) {
		if (submit->end > 0)
			return (submit->end - submit->begin) / count;
	}
	vcpu_report(submit->vcpu, report, sizeof(report));
	return err_set(err, EIO, "the guest did not get through: %s", report);
}

static void put_descriptor(struct submit *submit)
{
	const struct dsa_descriptor noop = { .flags = DSA_OP_NOOP << DSA_OPCODE_SHIFT };

	memcpy(submit->rig.memory + TRAP_DESCRIPTOR, &noop, sizeof(noop));
}

static int submit_turn(struct turn *turn, struct err *err)
{
	struct submit *submit = turn->opaque;
	double ns;

	turn_state(turn, "a guest at its stores");
	ns = turn->party ? trap_floor_run(&submit->floor, submit->stores)
			 : run_guest(submit, submit->stores, err);
	if (ns < 0)
		return turn->party ? err_set(err, EIO, "the minimal program did not get through")
				   : -EIO;
	turn_put(turn, 0, ns / 1000);
	return 0;
}

static int measure(struct submit *submit, struct bench_run *run, const struct job *job,
		   struct err *err)
{
	const struct contest_row row = {
		.name = job->name, .unit = "us", .target = SUBMIT_LIMIT, .job = job
	};
	struct contest contest = {
		.name = job->name,
		.parties = { "adit", "minimal" },
		.party_count = 2,
		.rows = &row,
		.row_count = 1,
		.jobs = job,
		.job_count = 1,
		.job_keys = JOB_BIT(JOB_NUMBER_IOS),
		.warm_up = 1,
		.turn = submit_turn,
		.opaque = submit,
	};

	return contest_hold(&contest, run, err);
}

static int measure_jobs(struct submit *submit, struct bench_run *run, const struct jobs *jobs,
			struct err *err)
{
	struct dsa_counters counters;
	int ret = 0;

	put_descriptor(submit);
	if (trap_floor_run(&submit->floor, 1) < 0) {
		results_note(run->results, "nothing measured: on this host a guest's MOVDIR64B "
					   "does not exit to user space");
		return 0;
	}
	for (unsigned int i = 0; !ret && i < jobs->count; i++) {
		submit->stores = jobs->job[i].number_ios;
		ret = measure(submit, run, &jobs->job[i], err);
	}
	dsa_counters_read(submit->rig.dsa, &counters);
	results_note(run->results, "%lu submissions accepted, %lu found the queue full",
		     counters.accepted, counters.dropped);
	return ret;
}

static int measure_on_kvm(struct submit *submit, struct bench_run *run, const struct jobs *jobs,
			  struct err *err)
{
	int ret = make_vcpu(submit, err);

	if (ret)
		return ret;
	if (trap_floor_open(&submit->floor, submit->rig.portal->base + DSA_PORTAL_PAGE))
		ret = err_set(err, EIO, "the minimal program cannot start");
	else
		ret = measure_jobs(submit, run, jobs, err);
	trap_floor_close(&submit->floor);
	return ret;
}

int bench_submit(struct bench_run *run, struct err *err)
{
	static const struct job own = { .name = "trapped submission", .number_ios = STORES };
	struct jobs jobs = { .count = 1, .job = { own } };
	struct submit submit = { 0 };
	int ret = 0;

	if (run->options->job_path)
		ret = jobs_read(&jobs, run->options->job_path, JOB_BIT(JOB_NUMBER_IOS), &own, err);
	if (!ret)
		ret = dsa_rig_open(&submit.rig, MEMORY, 1, false, err);
	if (ret)
		return ret;
	ret = measure_on_kvm(&submit, run, &jobs, err);
	if (submit.vcpu)
		vcpu_destroy(submit.vcpu);
	if (submit.cpuid)
		cpuid_destroy(submit.cpuid);
	dsa_rig_close(&submit.rig);
	return ret;
}
