/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of `adit bench submit`, and the least that a KVM program can do for it. The guest is a
 * loop of MOVDIR64B to a hole in the memory map, at CPL 0 in long mode, between two writes to a
 * port.
 */
#ifndef ADIT_BENCH_TRAP_H
#define ADIT_BENCH_TRAP_H

#include <linux/kvm.h>
#include <stdint.h>

#define TRAP_MEMORY	0x200000ULL /* that the guest needs from address 0 on */
#define TRAP_DESCRIPTOR 0x3000ULL   /* the 64 bytes that it stores */
#define TRAP_PORT	0xf4u
#define TRAP_BEGIN	1u /* written to the port */
#define TRAP_END	2u
#define TRAP_LENGTH	5u /* bytes of the MOVDIR64B */

/* Code and page tables, which map `portal` one to one beside the first GiB. */
void trap_load(uint8_t *memory, uint64_t portal);
void trap_sregs(struct kvm_sregs *sregs);
/* `count` stores. */
void trap_regs(struct kvm_regs *regs, uint64_t portal, uint32_t count);

/* Plain KVM, not built from adit's sources on purpose. -1: the reason was printed. */
struct trap_floor {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	int run_size;
	uint8_t *memory;
	uint64_t portal;
};

int trap_floor_open(struct trap_floor *floor, uint64_t portal);
void trap_floor_close(struct trap_floor *floor);
/* CPU time of this thread for one store, ns; below 0: the guest did not get through. */
double trap_floor_run(struct trap_floor *floor, uint32_t count);

#endif
