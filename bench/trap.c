/* SPDX-License-Identifier: Apache-2.0 */
/* The guest that stores to a portal, and the floor that only steps over its stores. */
#include "bench/trap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CODE	    0x2000u
#define PML4	    0x10000u
#define TABLE_FLAGS 0x03u
#define LARGE_FLAGS 0x83u
#define GDT	    0x4000u

static const uint8_t code[] = {
	0xb0, TRAP_BEGIN, 0xe6, TRAP_PORT,	 /* mov $1, %al; out %al, $0xf4 */
	0x66, 0x0f,	  0x38, 0xf8,	   0x3e, /* again: movdir64b (%rsi), %rdi */
	0xff, 0xc9,				 /* dec %ecx */
	0x75, 0xf7,				 /* jnz again */
	0xb0, TRAP_END,	  0xe6, TRAP_PORT,	 /* mov $2, %al; out %al, $0xf4 */
	0xf4,					 /* hlt */
};

/* Three tables for the first GiB, and two more where the portal lies in another. */
void trap_load(uint8_t *memory, uint64_t portal)
{
	uint64_t *pml4 = (uint64_t *)(memory + PML4), *pdpt = pml4 + 512, *pd = pdpt + 512;
	uint64_t *far_pdpt = pd + 512, *far_pd = far_pdpt + 512;

	memcpy(memory + CODE, code, sizeof(code));
	memset(pml4, 0, 5 * 4096UL);
	pml4[0] = (PML4 + 0x1000) | TABLE_FLAGS;
	pdpt[0] = (PML4 + 0x2000) | TABLE_FLAGS;
	for (uint64_t i = 0; i < 512; i++)
		pd[i] = i << 21 | LARGE_FLAGS;
	if (portal >> 39) {
		pml4[portal >> 39 & 511] = (PML4 + 0x3000) | TABLE_FLAGS;
		pdpt = far_pdpt;
	}
	pdpt[portal >> 30 & 511] = (PML4 + 0x4000) | TABLE_FLAGS;
	far_pd[portal >> 21 & 511] = (portal & ~0x1fffffULL) | LARGE_FLAGS;
	((uint64_t *)(memory + GDT))[2] = 0x00af9b000000ffff;
	((uint64_t *)(memory + GDT))[3] = 0x00cf93000000ffff;
}

void trap_sregs(struct kvm_sregs *sregs)
{
	const struct kvm_segment cs = {
		.limit = ~0u, .selector = 0x10, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
	};
	const struct kvm_segment ds = {
		.limit = ~0u, .selector = 0x18, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
	};
	const struct kvm_segment tr = { .limit = 0x67, .selector = 0x38, .type = 11, .present = 1 };

	sregs->cs = cs;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = ds;
	sregs->tr = tr;
	sregs->gdt = (struct kvm_dtable){ .base = GDT, .limit = 4 * 8 - 1 };
	sregs->idt = (struct kvm_dtable){ 0 };
	sregs->cr0 = 0x80050033;
	sregs->cr3 = PML4;
	sregs->cr4 = 0x620;
	sregs->efer = 0xd01;
}

void trap_regs(struct kvm_regs *regs, uint64_t portal, uint32_t count)
{
	*regs = (struct kvm_regs){
		.rip = CODE,
		.rsp = CODE,
		.rflags = 2,
		.rcx = count,
		.rsi = TRAP_DESCRIPTOR,
		.rdi = portal,
	};
}

/* --- the floor ------------------------------------------------------------------------------- */

static int complain(const char *what)
{
	fprintf(stderr, "adit bench submit: %s: %s\n", what, strerror(errno));
	return -1;
}

static int add_memory(struct trap_floor *floor)
{
	struct kvm_userspace_memory_region slot = { .memory_size = TRAP_MEMORY };

	floor->memory =
		mmap(NULL, TRAP_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (floor->memory == MAP_FAILED)
		return complain("mmap");
	slot.userspace_addr = (uintptr_t)floor->memory;
	trap_load(floor->memory, floor->portal);
	return ioctl(floor->vm, KVM_SET_USER_MEMORY_REGION, &slot) ? complain("memory") : 0;
}

/* That MOVDIR64B exits to user space, with the instruction's bytes. */
static int let_stores_exit(struct trap_floor *floor)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args[0] = 1 };

	return ioctl(floor->vm, KVM_ENABLE_CAP, &cap) ? complain("KVM_ENABLE_CAP") : 0;
}

static int add_vcpu(struct trap_floor *floor)
{
	struct kvm_sregs sregs;

	floor->vcpu = ioctl(floor->vm, KVM_CREATE_VCPU, 0);
	floor->run_size = ioctl(floor->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (floor->vcpu < 0 || floor->run_size < 0)
		return complain("KVM_CREATE_VCPU");
	floor->run = mmap(NULL, (size_t)floor->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			  floor->vcpu, 0);
	if (floor->run == MAP_FAILED || ioctl(floor->vcpu, KVM_GET_SREGS, &sregs))
		return complain("the vCPU");
	trap_sregs(&sregs);
	return ioctl(floor->vcpu, KVM_SET_SREGS, &sregs) ? complain("KVM_SET_SREGS") : 0;
}

int trap_floor_open(struct trap_floor *floor, uint64_t portal)
{
	*floor = (struct trap_floor){ .vm = -1, .vcpu = -1, .portal = portal };
	floor->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (floor->kvm < 0)
		return complain("/dev/kvm");
	floor->vm = ioctl(floor->kvm, KVM_CREATE_VM, 0);
	if (floor->vm < 0)
		return complain("KVM_CREATE_VM");
	return add_memory(floor) || let_stores_exit(floor) || add_vcpu(floor) ? -1 : 0;
}

void trap_floor_close(struct trap_floor *floor)
{
	if (floor->run && floor->run != MAP_FAILED)
		munmap(floor->run, (size_t)floor->run_size);
	if (floor->memory && floor->memory != MAP_FAILED)
		munmap(floor->memory, TRAP_MEMORY);
	if (floor->vcpu >= 0)
		close(floor->vcpu);
	if (floor->vm >= 0)
		close(floor->vm);
	if (floor->kvm >= 0)
		close(floor->kvm);
}

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* What the exit asks for at the least: the registers, and RIP behind the store. */
static int step_over(struct trap_floor *floor)
{
	struct kvm_regs regs;

	if (ioctl(floor->vcpu, KVM_GET_REGS, &regs))
		return -1;
	regs.rip += TRAP_LENGTH;
	return ioctl(floor->vcpu, KVM_SET_REGS, &regs);
}

double trap_floor_run(struct trap_floor *floor, uint32_t count)
{
	struct kvm_run *run = floor->run;
	struct kvm_regs regs;
	double begin = 0;

	trap_regs(&regs, floor->portal, count);
	if (ioctl(floor->vcpu, KVM_SET_REGS, &regs))
		return -1;
	for (;;) {
		if (ioctl(floor->vcpu, KVM_RUN, 0) && errno != EINTR)
			return -1;
		if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
			if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION ||
			    step_over(floor))
				return -1;
			continue;
		}
		if (run->exit_reason != KVM_EXIT_IO)
			return -1;
		if (((uint8_t *)run)[run->io.data_offset] == TRAP_END)
			return (cpu_ns() - begin) / count;
		begin = cpu_ns();
	}
}
