/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vCPU threads of a machine: created with their state, started together, paused and resumed,
 * stopped for good. One thread a vCPU; whoever pauses waits until none is in the guest.
 */
#ifndef ADIT_VMM_PROCESSORS_H
#define ADIT_VMM_PROCESSORS_H

#include <stdint.h>

#include "kvm-glue/vcpu.h"
#include "util/err.h"
#include "util/state.h"

struct boot_state;
struct cpuid;
struct ioapic;
struct processors;
struct vm;

struct processors_ops {
	/* Once on each vCPU's thread, before it first runs the guest. May be NULL. */
	void (*began)(void *arg);
	/* A vCPU cannot go on (its event says why). On its own thread, which then ends. */
	void (*ended)(void *arg, struct vcpu *vcpu, enum vcpu_event event);
};

/* Creates `count` vCPUs; the first gets the boot state, the others wait for INIT and SIPI. */
int processors_create(struct processors **out, struct vm *vm, struct ioapic *ioapic,
		      const struct cpuid *cpuid, unsigned int count,
		      const struct processors_ops *ops, void *arg, struct err *err);
int processors_boot(struct processors *processors, const struct boot_state *state, struct err *err);
/*
 * While they are paused; a section for each. Loaded instead of processors_boot, where there are as
 * many.
 */
int processors_save(struct processors *processors, struct state_out *out, struct err *err);
int processors_load(struct processors *processors, struct state_in *in);
/* Stops first, where that was not done. */
void processors_destroy(struct processors *processors);

int processors_start(struct processors *processors, struct err *err);
/* Has every thread end soon; any thread, also a vCPU's own, any number of times. */
void processors_ask_stop(struct processors *processors);
/* Waits for the threads' ends. Not on a vCPU's thread. */
void processors_join(struct processors *processors);

/* Returns when no vCPU is in the guest or in a handler. Not on a vCPU's thread; nests. */
void processors_pause(struct processors *processors);
void processors_resume(struct processors *processors);

struct vcpu *processors_vcpu(struct processors *processors, unsigned int index);

#endif
