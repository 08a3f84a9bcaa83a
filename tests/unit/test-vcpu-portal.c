/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU that submits in a loop: registers come with the exit or by calls, whichever the exit
 * before it left, and either way every store arrives once and in order.
 */
#include "tests/unit/check.h"

#include <linux/kvm.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm-glue/cpuid.h"
#include "kvm-glue/memory.h"
#include "kvm-glue/vcpu-internal.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"

#define MEMORY	   (2 * MIB)
#define CODE	   0x2000u
#define DESCRIPTOR 0x3000u
#define GDT	   0x4000u
#define PML4	   0x10000u
#define PORTAL	   (1 * GIB)
#define REGISTER   (PORTAL + 0x10000)
#define PORT	   0xf4u
#define ROUNDS	   500u
#define FIRST_END  5u /* where the code goes on behind each of the two stores */
#define SECOND_END 14u

static const uint8_t code[] = {
	0x66, 0x0f, 0x38, 0xf8, 0x3e, /* again: movdir64b (%rsi), %rdi */
	0xff, 0x06,		      /* incl (%rsi) */
	0x8b, 0x03,		      /* mov (%rbx), %eax: an exit of another kind */
	0x66, 0x0f, 0x38, 0xf8, 0x3e, /* movdir64b (%rsi), %rdi */
	0xff, 0x06,		      /* incl (%rsi) */
	0xff, 0xc9,		      /* dec %ecx */
	0x75, 0xec,		      /* jnz again */
	0xe6, PORT,		      /* out %al, $0xf4 */
	0xf4,			      /* hlt */
};

struct rig {
	struct vm *vm;
	struct vcpu *vcpu;
	struct cpuid *cpuid;
	uint8_t *memory;
	struct err err;
	uint32_t stores, out_of_order, reads;
	unsigned int kick_every; /* stores; 0: never */
	bool done;
};

static int on_store(void *opaque, uint64_t offset, enum store64_kind kind, const void *data)
{
	struct rig *rig = opaque;

	rig->out_of_order += load_le(data, 4) != rig->stores++;
	if (rig->kick_every && !(rig->stores % rig->kick_every))
		vcpu_kick(rig->vcpu);
	return 0;
}

static uint64_t on_read(void *opaque, uint64_t offset, unsigned int size)
{
	((struct rig *)opaque)->reads++;
	return 0;
}

static void on_out(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct rig *rig = opaque;

	rig->done = true;
	vcpu_kick(rig->vcpu);
}

static const struct io_ops portal_ops = { .store64 = on_store };
static const struct io_ops register_ops = { .read = on_read };
static const struct io_ops port_ops = { .write = on_out };

static void add_region(struct rig *rig, struct iomap *map, uint64_t base, uint64_t size,
		       const struct io_ops *ops)
{
	const struct io_region region = {
		.base = base, .size = size, .ops = ops, .opaque = rig, .name = "test"
	};

	assert_int_equal(iomap_add(map, &region), 0);
}

/* The first two GiB one to one. */
static void load(struct rig *rig)
{
	uint64_t *pml4 = (uint64_t *)(rig->memory + PML4), *pdpt = pml4 + 512;

	memcpy(rig->memory + CODE, code, sizeof(code));
	pml4[0] = (PML4 + 0x1000) | 3;
	for (uint64_t i = 0; i < 2; i++)
		pdpt[i] = (PML4 + 0x2000 + i * 0x1000) | 3;
	for (uint64_t i = 0; i < 1024; i++)
		pdpt[512 + i] = i << 21 | 0x83;
	((uint64_t *)(rig->memory + GDT))[2] = 0x00af9b000000ffff;
	((uint64_t *)(rig->memory + GDT))[3] = 0x00cf93000000ffff;
}

static void set_registers(struct rig *rig)
{
	const struct kvm_segment cs = {
		.limit = ~0u, .selector = 0x10, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
	};
	const struct kvm_segment ds = {
		.limit = ~0u, .selector = 0x18, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
	};
	const struct kvm_regs regs = { .rip = CODE,
				       .rsp = CODE,
				       .rflags = 2,
				       .rcx = ROUNDS,
				       .rsi = DESCRIPTOR,
				       .rdi = PORTAL,
				       .rbx = REGISTER };
	struct kvm_sregs sregs;

	assert_int_equal(vcpu_get_sregs(rig->vcpu, &sregs), 0);
	sregs.cs = cs;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = ds;
	sregs.tr =
		(struct kvm_segment){ .limit = 0x67, .selector = 0x38, .type = 11, .present = 1 };
	sregs.gdt = (struct kvm_dtable){ .base = GDT, .limit = 4 * 8 - 1 };
	sregs.idt = (struct kvm_dtable){ 0 };
	sregs.cr0 = 0x80050033;
	sregs.cr3 = PML4;
	sregs.cr4 = 0x620;
	sregs.efer = 0xd01;
	assert_int_equal(vcpu_set_sregs(rig->vcpu, &sregs), 0);
	assert_int_equal(vcpu_set_regs(rig->vcpu, &regs), 0);
}

static void rig_open(struct rig *rig)
{
	const struct vm_options options = { .kvm_fd = -1 };
	struct vm_memory memory = { .size = MEMORY };
	unsigned int slot;

	memset(rig, 0, sizeof(*rig));
	if (vm_create(&rig->vm, &options, &rig->err))
		skip_because("no VM: %s", rig->err.text);
	rig->memory =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(rig->memory, MAP_FAILED);
	memory.hva = rig->memory;
	assert_ok(vm_memory_add(rig->vm, &memory, &slot, &rig->err), &rig->err);
	assert_ok(vcpu_create(&rig->vcpu, rig->vm, 0, NULL, &rig->err), &rig->err);
	assert_ok(cpuid_create(&rig->cpuid, rig->vm, 1, &rig->err), &rig->err);
	assert_ok(cpuid_apply(rig->cpuid, rig->vcpu, &rig->err), &rig->err);
	add_region(rig, vm_mmio(rig->vm), PORTAL, 4096, &portal_ops);
	add_region(rig, vm_mmio(rig->vm), REGISTER, 4096, &register_ops);
	add_region(rig, vm_pio(rig->vm), PORT, 1, &port_ops);
	load(rig);
	set_registers(rig);
	vcpu_bind_thread(rig->vcpu);
}

static void rig_close(struct rig *rig)
{
	vcpu_destroy(rig->vcpu);
	cpuid_destroy(rig->cpuid);
	vm_destroy(rig->vm);
	munmap(rig->memory, MEMORY);
}

/* Until the next kick. Skips where a guest's MOVDIR64B does not exit. */
static void run(struct rig *rig)
{
	enum vcpu_event event = vcpu_run(rig->vcpu);

	if (event != VCPU_KICKED && !rig->stores) {
		rig_close(rig);
		skip_because("a guest's MOVDIR64B does not exit to user space on this host");
	}
	assert_int_equal(event, VCPU_KICKED);
}

static void assert_all_came(struct rig *rig)
{
	assert_true(rig->done);
	assert_int_equal(rig->stores, 2 * ROUNDS);
	assert_int_equal(rig->out_of_order, 0);
	assert_int_equal(rig->reads, ROUNDS);
}

static void every_store_arrives_once_and_in_order(void **state)
{
	struct rig rig;

	rig_open(&rig);
	run(&rig);
	assert_all_came(&rig);
	rig_close(&rig);
}

static void the_same_where_kvm_cannot_hand_registers_over(void **state)
{
	struct rig rig;

	rig_open(&rig);
	rig.vcpu->can_sync = false;
	run(&rig);
	assert_all_came(&rig);
	rig_close(&rig);
}

/* Whoever looks at a vCPU that was kicked out sees it behind the instruction that was done. */
static void registers_are_settled_at_a_kick(void **state)
{
	struct rig rig;

	rig_open(&rig);
	rig.kick_every = 7;
	for (;;) {
		struct kvm_regs regs;
		uint32_t stores;

		run(&rig);
		if (rig.done)
			break;
		assert_int_equal(vcpu_get_regs(rig.vcpu, &regs), 0);
		stores = rig.stores;
		assert_int_equal(regs.rip, CODE + (stores & 1 ? FIRST_END : SECOND_END));
		assert_int_equal(regs.rcx, ROUNDS - (stores - 1) / 2);
		/* And what they are set to then is what it goes on with. */
		regs.rax = 1;
		assert_int_equal(vcpu_set_regs(rig.vcpu, &regs), 0);
	}
	assert_all_came(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_store_arrives_once_and_in_order),
		cmocka_unit_test(the_same_where_kvm_cannot_hand_registers_over),
		cmocka_unit_test(registers_are_settled_at_a_kick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
