/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trapped portal over a VM's own memory and I/O map, and on /dev/kvm with the exit that a real
 * guest's instruction causes.
 */
#include "tests/unit/test-direct-store.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm-glue/memory.h"

struct machine {
	struct guest guest;
	struct vm *vm;
	struct epoch_reader reader;
	unsigned int slot;
	int vcpu;
	struct kvm_run *run;
	size_t run_size;
};

static void machine_destroy(struct machine *m)
{
	if (m->run)
		munmap(m->run, m->run_size);
	if (m->vcpu >= 0)
		close(m->vcpu);
	if (m->vm) {
		epoch_leave(vm_epoch(m->vm), &m->reader);
		vm_destroy(m->vm);
	}
	if (m->guest.ram)
		munmap(m->guest.ram, RAM);
	free(m);
}

/* NULL, after saying why, where there is no KVM. */
static struct machine *machine_create(bool readonly)
{
	struct vm_options options = { .kvm_fd = -1 };
	struct machine *m = calloc(1, sizeof(*m));
	struct vm_memory memory;
	struct err err = { 0 };

	assert_non_null(m);
	m->vcpu = -1;
	if (vm_create(&m->vm, &options, &err)) {
		print_message("skipped: %s\n", err.text);
		free(m);
		return NULL;
	}
	epoch_join(vm_epoch(m->vm), &m->reader);
	m->guest.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(m->guest.ram != MAP_FAILED);
	guest_fill(&m->guest);
	memory = (struct vm_memory){ .size = RAM, .hva = m->guest.ram, .readonly = readonly };
	assert_int_equal(vm_memory_add(m->vm, &memory, &m->slot, &err), 0);
	assert_int_equal(iomap_add(vm_mmio(m->vm), &m->guest.region), 0);
	return m;
}

static enum direct_store_result machine_store(struct machine *m, const uint8_t *bytes,
					      unsigned int len)
{
	struct guest *g = &m->guest;
	enum direct_store_result result;

	epoch_enter(vm_epoch(m->vm), &m->reader);
	result = direct_store(m->vm, &g->cpu, bytes, len, &g->regs, &g->fault);
	epoch_exit(&m->reader);
	return result;
}

static void a_vm_is_the_bus(void **state)
{
	struct machine *m = machine_create(false);
	struct guest *g;

	if (!m)
		skip();
	g = &m->guest;
	*pte(g, SOURCE) &= ~A;
	assert_int_equal(machine_store(m, movdir64b, sizeof(movdir64b)), DIRECT_STORE_DONE);
	assert_int_equal(g->portal.calls, 1);
	assert_memory_equal(g->portal.data, g->ram + SOURCE, 64);
	assert_true(*pte(g, SOURCE) & A);

	g->regs.rcx = PORTAL;
	assert_int_equal(machine_store(m, movdir64b, sizeof(movdir64b)), DIRECT_STORE_NOT_OURS);
	g->regs.rcx = SOURCE;
	g->regs.rax = PORTAL + PORTAL_SIZE;
	assert_int_equal(machine_store(m, movdir64b, sizeof(movdir64b)), DIRECT_STORE_NOT_OURS);
	machine_destroy(m);
}

static void memory_over_a_portal_hides_it(void **state)
{
	struct machine *m = machine_create(false);
	struct vm_memory memory;
	unsigned int slot;
	void *hva;

	if (!m)
		skip();
	hva = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(hva != MAP_FAILED);
	memory = (struct vm_memory){ .gpa = PORTAL, .size = 4096, .hva = hva };
	assert_int_equal(vm_memory_add(m->vm, &memory, &slot, NULL), 0);
	assert_int_equal(machine_store(m, movdir64b, sizeof(movdir64b)), DIRECT_STORE_NOT_OURS);
	assert_int_equal(vm_memory_remove(m->vm, slot, NULL), 0);
	assert_int_equal(machine_store(m, movdir64b, sizeof(movdir64b)), DIRECT_STORE_DONE);
	munmap(hva, 4096);
	machine_destroy(m);
}

static void read_only_tables_are_used_but_not_marked(void **state)
{
	struct machine *m = machine_create(true);

	if (!m)
		skip();
	assert_int_equal(machine_store(m, movdir64b, sizeof(movdir64b)), DIRECT_STORE_DONE);
	*pte(&m->guest, SOURCE) &= ~A;
	assert_int_equal(machine_store(m, movdir64b, sizeof(movdir64b)), DIRECT_STORE_NOT_OURS);
	assert_false(*pte(&m->guest, SOURCE) & A);
	machine_destroy(m);
}

/* Without CPUID some hosts refuse long mode. */
static void set_cpuid(struct machine *m)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	assert_non_null(cpuid);
	cpuid->nent = 256;
	assert_int_equal(ioctl(vm_kvm_fd(m->vm), KVM_GET_SUPPORTED_CPUID, cpuid), 0);
	assert_int_equal(ioctl(m->vcpu, KVM_SET_CPUID2, cpuid), 0);
	free(cpuid);
}

/* The instruction and a HLT, in the guest's kernel mode. */
static void machine_boot(struct machine *m, const uint8_t *bytes, size_t len)
{
	struct guest *g = &m->guest;
	struct kvm_sregs sregs;

	memcpy(g->ram + RIP, bytes, len);
	g->ram[RIP + len] = 0xf4;
	m->vcpu = ioctl(vm_fd(m->vm), KVM_CREATE_VCPU, 0);
	assert_true(m->vcpu >= 0);
	m->run_size = (size_t)ioctl(vm_kvm_fd(m->vm), KVM_GET_VCPU_MMAP_SIZE, 0);
	m->run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	assert_true(m->run != MAP_FAILED);
	set_cpuid(m);
	assert_int_equal(ioctl(m->vcpu, KVM_GET_SREGS, &sregs), 0);
	g->sregs = long_mode(&sregs, 0);
	assert_int_equal(ioctl(m->vcpu, KVM_SET_SREGS, &g->sregs), 0);
	assert_int_equal(ioctl(m->vcpu, KVM_SET_REGS, &g->regs), 0);
}

static bool emulation_failed(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
	       run->emulation_failure.suberror == KVM_INTERNAL_ERROR_EMULATION &&
	       run->emulation_failure.ndata >= 3 &&
	       run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
}

static void real_exit_submits_and_steps(const uint8_t *bytes, size_t len, enum store64_kind kind)
{
	struct machine *m = machine_create(false);
	struct guest *g;

	if (!m)
		skip();
	g = &m->guest;
	(void)vm_enable(m->vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1);
	machine_boot(m, bytes, len);
	assert_int_equal(ioctl(m->vcpu, KVM_RUN, 0), 0);
	if (!emulation_failed(m->run)) {
		print_message("skipped: this CPU and KVM do not trap the instruction (exit %u)\n",
			      m->run->exit_reason);
		machine_destroy(m);
		skip();
	}
	assert_int_equal(ioctl(m->vcpu, KVM_GET_REGS, &g->regs), 0);
	assert_int_equal(ioctl(m->vcpu, KVM_GET_SREGS, &g->sregs), 0);
	assert_int_equal(machine_store(m, m->run->emulation_failure.insn_bytes,
				       m->run->emulation_failure.insn_size),
			 DIRECT_STORE_DONE);
	assert_int_equal(g->portal.calls, 1);
	assert_int_equal(g->portal.kind, kind);
	assert_memory_equal(g->portal.data, g->ram + SOURCE, 64);
	assert_int_equal(g->regs.rip, RIP + len);
	assert_int_equal(ioctl(m->vcpu, KVM_SET_REGS, &g->regs), 0);
	assert_int_equal(ioctl(m->vcpu, KVM_RUN, 0), 0);
	assert_int_equal(m->run->exit_reason, KVM_EXIT_HLT);
	machine_destroy(m);
}

static void movdir64b_of_a_real_guest_submits(void **state)
{
	real_exit_submits_and_steps(movdir64b, sizeof(movdir64b), STORE64_MOVDIR64B);
}

static void enqcmds_of_a_real_guest_submits(void **state)
{
	real_exit_submits_and_steps(enqcmds, sizeof(enqcmds), STORE64_ENQCMDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vm_is_the_bus),
		cmocka_unit_test(memory_over_a_portal_hides_it),
		cmocka_unit_test(read_only_tables_are_used_but_not_marked),
		cmocka_unit_test(movdir64b_of_a_real_guest_submits),
		cmocka_unit_test(enqcmds_of_a_real_guest_submits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
