/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot structures: what a kernel reads is there and right, and on /dev/kvm a few instructions of a
 * guest agree, in long mode and by the PVH entry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <asm/bootparam.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/boot.h"
#include "vmm/payload.h"

#define RAM_SIZE (8 * MIB)
#define CODE_AT	 0x20000

struct fixture {
	struct layout layout;
	struct boot_memory memory;
	uint8_t *ram;
	struct boot_state boot;
	struct err err;
	int kvm, vm, vcpu;
	struct kvm_run *run;
	size_t run_size;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	f->kvm = f->vm = f->vcpu = -1;
	f->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->ram == MAP_FAILED)
		return -1;
	f->memory = (struct boot_memory){ .layout = &f->layout, .base = f->ram };
	return layout_plan(&f->layout,
			   &(struct layout_request){ .ram_size = RAM_SIZE,
						     .phys_bits = 40,
						     .aperture_last = UINT64_MAX },
			   NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->run)
		munmap(f->run, f->run_size);
	if (f->vcpu >= 0)
		close(f->vcpu);
	if (f->vm >= 0)
		close(f->vm);
	if (f->kvm >= 0)
		close(f->kvm);
	munmap(f->ram, RAM_SIZE);
	free(f);
	return 0;
}

static void prepare(struct fixture *f, const struct payload *payload, const char *cmdline,
		    uint64_t rsdp)
{
	if (boot_prepare(&f->memory, payload, cmdline, rsdp, &f->boot, &f->err))
		fail_msg("refused: %s", f->err.text);
}

static const struct payload flat = {
	.kind = PAYLOAD_RAW, .entry = CODE_AT, .start = CODE_AT, .end = CODE_AT + 0x1000
};

static void memory_at_keeps_inside_one_piece(void **state)
{
	struct layout layout = { .n_ram = 2,
				 .ram = { { .gpa = 0, .size = MIB },
					  { .gpa = 4 * MIB, .size = MIB, .offset = MIB } } };
	char base[1];
	const struct boot_memory memory = { .layout = &layout, .base = base };

	assert_ptr_equal(boot_memory_at(&memory, 0, MIB), base);
	assert_null(boot_memory_at(&memory, 0, MIB + 1));
	assert_null(boot_memory_at(&memory, MIB, 1));
	assert_int_equal((uintptr_t)boot_memory_at(&memory, 4 * MIB + 5, MIB - 5),
			 (uintptr_t)base + MIB + 5);
	assert_null(boot_memory_at(&memory, 4 * MIB + 5, MIB - 4));
	assert_null(boot_memory_at(&memory, 4 * MIB - 1, 2));
	assert_null(boot_memory_at(&memory, 5 * MIB, 1));
	assert_null(boot_memory_at(&memory, 4 * MIB + 5, UINT64_MAX));
	assert_null(boot_memory_at(&memory, UINT64_MAX, 1));
}

static void page_tables_map_4gib_to_themselves(void **state)
{
	struct fixture *f = *state;

	memset(f->ram, 0xff, MIB);
	prepare(f, &flat, "", 0);
	assert_int_equal(f->boot.cr3, BOOT_PML4);
	for (uint64_t at = 0; at < 8 * GIB; at += 2 * MIB) {
		uint64_t pml4e = load_le(f->ram + BOOT_PML4 + (at >> 39) * 8, 8);
		uint64_t pdpte = load_le(f->ram + (pml4e & ~0xfffULL) + (at >> 30) * 8, 8), pde;

		assert_int_equal(pml4e & 0xfff, 0x67);
		if (at >= 4 * GIB) {
			assert_int_equal(pdpte, 0);
			continue;
		}
		assert_int_equal(pdpte & 0xfff, 0x67);
		pde = load_le(f->ram + (pdpte & ~0xfffULL) + (at >> 21) % 512 * 8, 8);
		assert_int_equal(pde, at | 0xe7);
	}
	for (uint64_t i = 1; i < 512; i++)
		assert_int_equal(load_le(f->ram + BOOT_PML4 + i * 8, 8), 0);
	/* Nothing past the last directory and nothing of the free stack is written. */
	assert_int_equal(f->ram[BOOT_PML4 + 6 * 4096], 0xff);
	assert_int_equal(f->ram[BOOT_STACK_TOP - 1], 0xff);
}

static void gdt_holds_flat_segments_and_a_busy_tss(void **state)
{
	struct fixture *f = *state;
	const uint8_t *gdt = f->ram + BOOT_GDT;

	prepare(f, &flat, "", 0);
	assert_int_equal(load_le(gdt, 8), 0);
	assert_int_equal(load_le(gdt + BOOT_SEL_CODE32, 8), 0x00cf9b000000ffff);
	assert_int_equal(load_le(gdt + BOOT_SEL_CODE64, 8), 0x00af9b000000ffff);
	assert_int_equal(load_le(gdt + BOOT_SEL_DATA, 8), 0x00cf93000000ffff);
	assert_int_equal(load_le(gdt + BOOT_SEL_USER_DATA, 8), 0x00cff3000000ffff);
	assert_int_equal(load_le(gdt + BOOT_SEL_USER_CODE, 8), 0x00affb000000ffff);
	assert_int_equal(load_le(gdt + BOOT_SEL_TSS, 8),
			 0x00008b0000000067 | (uint64_t)BOOT_TSS << 16);
	assert_int_equal(load_le(gdt + BOOT_SEL_TSS + 8, 8), 0);
	assert_int_equal(load_le(f->ram + BOOT_TSS + 102, 2), 104);
}

static void long_mode_registers_keep_the_convention(void **state)
{
	struct fixture *f = *state;
	struct kvm_regs regs;
	struct kvm_sregs sregs = { .apic_base = 0xfee00900 };

	prepare(f, &flat, "", 0);
	boot_registers(&f->boot, &regs, &sregs);
	assert_int_equal(regs.rip, CODE_AT);
	assert_int_equal(regs.rsi, BOOT_ZERO_PAGE);
	assert_int_equal(regs.rbx, BOOT_START_INFO);
	assert_int_equal(regs.rsp, BOOT_STACK_TOP);
	assert_int_equal(regs.rflags, 2);
	assert_int_equal(sregs.cr0, 0x80050033);
	assert_int_equal(sregs.cr4, 0x620);
	assert_int_equal(sregs.efer, 0xd01);
	assert_int_equal(sregs.cs.selector, 0x10);
	assert_true(sregs.cs.l && !sregs.cs.db && sregs.cs.type == 0xb);
	assert_int_equal(sregs.ss.selector, 0x18);
	assert_int_equal(sregs.tr.type, 11);
	assert_int_equal(sregs.tr.base, BOOT_TSS);
	assert_int_equal(sregs.apic_base, 0xfee00900);
}

static void pvh_registers_keep_the_abi(void **state)
{
	struct fixture *f = *state;
	const struct payload payload = { .kind = PAYLOAD_PVH, .entry = MIB };
	struct kvm_regs regs;
	struct kvm_sregs sregs = { .cr4 = 0x620, .cr3 = 0x9000, .efer = 0x500 };

	prepare(f, &payload, "", 0);
	assert_int_equal(f->boot.mode, BOOT_PVH32);
	boot_registers(&f->boot, &regs, &sregs);
	assert_int_equal(regs.rip, MIB);
	assert_int_equal(regs.rbx, BOOT_START_INFO);
	assert_int_equal(sregs.cr0 & ~0x10ULL, 1);
	assert_int_equal(sregs.cr3 | sregs.cr4 | sregs.efer, 0);
	assert_true(sregs.cs.db && !sregs.cs.l && sregs.cs.limit == 0xffffffff);
	assert_int_equal(sregs.ds.limit, 0xffffffff);
	assert_int_equal(sregs.tr.base, 0);
	assert_int_equal(sregs.tr.limit, 0x67);
	assert_int_equal(sregs.tr.type, 11);
}

static void start_info_lists_modules_and_memory(void **state)
{
	struct fixture *f = *state;
	const struct payload payload = {
		.kind = PAYLOAD_PVH, .entry = MIB, .initramfs = 4 * MIB, .initramfs_size = 5000
	};
	const struct pvh_start_info *info = (void *)(f->ram + BOOT_START_INFO);
	const struct pvh_module *module;
	const struct pvh_memory *map;

	prepare(f, &payload, "console=ttyS0", ACPI_TABLES);
	assert_int_equal(info->magic, 0x336ec578);
	assert_int_equal(info->version, 1);
	assert_int_equal(info->nr_modules, 1);
	assert_int_equal(info->rsdp_paddr, ACPI_TABLES);
	assert_string_equal((char *)f->ram + info->cmdline_paddr, "console=ttyS0");
	module = (void *)(f->ram + info->modlist_paddr);
	assert_int_equal(module->paddr, 4 * MIB);
	assert_int_equal(module->size, 5000);
	map = (void *)(f->ram + info->memmap_paddr);
	assert_int_equal(info->memmap_entries, 4);
	assert_int_equal(map[0].size, BOOT_RAM_END);
	assert_int_equal(map[1].addr, BOOT_RAM_END);
	assert_int_equal(map[1].type, PVH_MEMORY_RESERVED);
	assert_int_equal(map[2].addr, MIB);
	assert_int_equal(map[2].size, RAM_SIZE - MIB);
	assert_int_equal(map[2].type, PVH_MEMORY_RAM);
	assert_int_equal(map[3].addr, ECAM_BASE);
	assert_int_equal(map[3].type, PVH_MEMORY_RESERVED);
}

static void no_initramfs_is_no_module(void **state)
{
	struct fixture *f = *state;
	const struct pvh_start_info *info = (void *)(f->ram + BOOT_START_INFO);

	prepare(f, &flat, "", 0);
	assert_int_equal(info->nr_modules, 0);
	assert_int_equal(info->modlist_paddr, 0);
	assert_int_equal(info->rsdp_paddr, 0);
}

static void zero_page_is_complete_for_a_bzimage(void **state)
{
	struct fixture *f = *state;
	const struct payload payload = { .kind = PAYLOAD_BZIMAGE,
					 .entry = 2 * MIB + 0x200,
					 .start = 2 * MIB,
					 .end = 4 * MIB,
					 .initramfs = 6 * MIB,
					 .initramfs_size = 70000,
					 .header = { .boot_flag = 0xaa55,
						     .version = 0x20f,
						     .cmdline_size = 2047,
						     .loadflags = LOADED_HIGH | CAN_USE_HEAP,
						     .init_size = 2 * MIB,
						     .setup_data = 0x1234 } };
	const struct boot_params *params = (void *)(f->ram + BOOT_ZERO_PAGE);

	memset(f->ram, 0xff, MIB);
	prepare(f, &payload, "quiet", 0xe0000);
	assert_int_equal(params->hdr.type_of_loader, 0xff);
	assert_int_equal(params->hdr.loadflags, LOADED_HIGH);
	assert_int_equal(params->hdr.version, 0x20f);
	assert_int_equal(params->hdr.init_size, 2 * MIB);
	assert_int_equal(params->hdr.setup_data, 0);
	assert_int_equal(params->hdr.code32_start, 2 * MIB);
	assert_int_equal(params->hdr.cmd_line_ptr, BOOT_CMDLINE);
	assert_string_equal((char *)f->ram + BOOT_CMDLINE, "quiet");
	assert_int_equal(params->hdr.ramdisk_image, 6 * MIB);
	assert_int_equal(params->hdr.ramdisk_size, 70000);
	assert_int_equal(params->ext_ramdisk_image | params->ext_ramdisk_size, 0);
	assert_int_equal(params->acpi_rsdp_addr, 0xe0000);
	assert_int_equal(params->sentinel, 0);
	assert_int_equal(params->e820_entries, 4);
	assert_int_equal(params->e820_table[2].addr, MIB);
	assert_int_equal(params->e820_table[2].size, RAM_SIZE - MIB);
	assert_int_equal(params->e820_table[3].type, 2);
}

static void the_map_is_sorted_with_many_pieces_of_ram(void **state)
{
	struct fixture *f = *state;
	struct layout_range reserved[20];
	struct layout layout;
	const struct boot_memory memory = { .layout = &layout, .base = f->ram };
	const struct boot_params *params = (void *)(f->ram + BOOT_ZERO_PAGE);
	uint64_t total = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(reserved); i++)
		reserved[i] = (struct layout_range){ (i + 1ULL) * 512 * MIB, 4096 };
	assert_int_equal(layout_plan(&layout,
				     &(struct layout_request){ .ram_size = 12 * GIB,
							       .phys_bits = 40,
							       .aperture_last = UINT64_MAX,
							       .reserved = reserved,
							       .n_reserved = ARRAY_SIZE(reserved) },
				     NULL),
			 0);
	assert_int_equal(boot_prepare(&memory, &flat, "", 0, &f->boot, NULL), 0);
	assert_int_equal(params->e820_entries, layout.n_ram + 3);
	for (unsigned int i = 0; i < params->e820_entries; i++) {
		const struct boot_e820_entry *entry = &params->e820_table[i];

		if (entry->type == 1)
			total += entry->size;
		if (i)
			assert_true(entry->addr >= entry[-1].addr + entry[-1].size);
	}
	assert_int_equal(total, 12 * GIB - (HIGH_RAM_BASE - BOOT_RAM_END));
}

static void a_long_command_line_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct payload bzimage = { .kind = PAYLOAD_BZIMAGE, .header.cmdline_size = 7 };
	char *line = calloc(1, BOOT_CMDLINE_MAX + 1);

	assert_non_null(line);
	assert_int_equal(boot_prepare(&f->memory, &bzimage, "12345678", 0, &f->boot, &f->err),
			 -E2BIG);
	assert_non_null(strstr(f->err.text, "at most 7"));
	assert_int_equal(boot_prepare(&f->memory, &bzimage, "1234567", 0, &f->boot, NULL), 0);

	memset(line, 'x', BOOT_CMDLINE_MAX);
	assert_int_equal(boot_prepare(&f->memory, &flat, line, 0, &f->boot, &f->err), -E2BIG);
	line[BOOT_CMDLINE_MAX - 1] = 0;
	assert_int_equal(boot_prepare(&f->memory, &flat, line, 0, &f->boot, NULL), 0);
	free(line);
}

/*
 * Guests: each reports through port 0xf4 what it found, reloads its segments from the GDT and
 * halts. Position independent.
 */
__asm__(".pushsection .rodata\n"
	"guest64:\n"
	"	mov %esi, %eax; out %eax, $0xf4\n"
	"	mov (%rbx), %eax; out %eax, $0xf4\n"
	"	mov 0x1fe(%rsi), %eax; out %eax, $0xf4\n"
	"	mov $0x18, %eax; mov %eax, %ds; mov %eax, %ss\n"
	"	lea 1f(%rip), %rax; push $0x10; push %rax; lretq\n"
	"1:	mov $0xfffff000, %ecx; mov (%rcx), %eax; out %eax, $0xf4\n"
	"	hlt\n"
	"guest64_size: .long . - guest64\n"
	"	.code32\n"
	"guest32:\n"
	"	mov %ebx, %eax; out %eax, $0xf4\n"
	"	mov (%ebx), %eax; out %eax, $0xf4\n"
	"	mov %cr0, %eax; out %eax, $0xf4\n"
	"	mov $0x18, %eax; mov %eax, %ds; mov %eax, %ss\n"
	"	call 1f\n"
	"1:	pop %eax; add $(2f - 1b), %eax; push $8; push %eax; lret\n"
	"2:	mov $0xfffff000, %ecx; mov (%ecx), %eax; out %eax, $0xf4\n"
	"	hlt\n"
	"guest32_size: .long . - guest32\n"
	"	.code64\n"
	"	.popsection\n");
extern const uint8_t guest64[], guest32[];
extern const uint32_t guest64_size, guest32_size;

static void vm_open(struct fixture *f)
{
	_Alignas(struct kvm_cpuid2)
		uint8_t bytes[sizeof(struct kvm_cpuid2) + 256 * sizeof(struct kvm_cpuid_entry2)] = {
			0
		};
	struct kvm_cpuid2 *cpuid = (void *)bytes;
	const struct kvm_userspace_memory_region slot = { .memory_size = RAM_SIZE,
							  .userspace_addr = (uintptr_t)f->ram };

	cpuid->nent = 256;
	f->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (f->kvm < 0) {
		print_message("SKIPPED: /dev/kvm: %s\n", strerror(errno));
		skip();
	}
	f->vm = ioctl(f->kvm, KVM_CREATE_VM, 0);
	assert_true(f->vm >= 0);
	assert_int_equal(ioctl(f->vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	f->vcpu = ioctl(f->vm, KVM_CREATE_VCPU, 0);
	assert_true(f->vcpu >= 0);
	assert_int_equal(ioctl(f->kvm, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
	assert_int_equal(ioctl(f->vcpu, KVM_SET_CPUID2, cpuid), 0);
	f->run_size = ioctl(f->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	f->run = mmap(NULL, f->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, f->vcpu, 0);
	assert_ptr_not_equal(f->run, MAP_FAILED);
}

static void vm_registers(struct fixture *f)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	assert_int_equal(ioctl(f->vcpu, KVM_GET_SREGS, &sregs), 0);
	boot_registers(&f->boot, &regs, &sregs);
	assert_int_equal(ioctl(f->vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(ioctl(f->vcpu, KVM_SET_REGS, &regs), 0);
}

/* Runs to the HLT; the values that came out of port 0xf4, MMIO reads give 0x600df00d. */
static unsigned int vm_run(struct fixture *f, uint32_t *values, unsigned int max)
{
	unsigned int n = 0;

	for (;;) {
		assert_int_equal(ioctl(f->vcpu, KVM_RUN, 0), 0);
		switch (f->run->exit_reason) {
		case KVM_EXIT_IO:
			assert_int_equal(f->run->io.port, 0xf4);
			assert_true(n < max);
			values[n++] = load_le((char *)f->run + f->run->io.data_offset, 4);
			break;
		case KVM_EXIT_MMIO:
			assert_int_equal(f->run->mmio.phys_addr, 0xfffff000);
			store_le(f->run->mmio.data, 0x600df00d, 4);
			break;
		case KVM_EXIT_HLT:
			return n;
		default:
			fail_msg("exit reason %u", f->run->exit_reason);
		}
	}
}

static void a_guest_starts_in_long_mode(void **state)
{
	struct fixture *f = *state;
	struct payload_source source;
	struct payload payload;
	uint32_t values[8] = { 0 };

	vm_open(f);
	payload_from_memory(&source, guest64, guest64_size);
	assert_int_equal(payload_load_flat(&f->memory, &source, CODE_AT, &payload, NULL), 0);
	prepare(f, &payload, "", 0);
	vm_registers(f);
	assert_int_equal(vm_run(f, values, ARRAY_SIZE(values)), 4);
	assert_int_equal(values[0], BOOT_ZERO_PAGE);
	assert_int_equal(values[1], PVH_START_MAGIC);
	assert_int_equal(values[2] & 0xffff, 0xaa55);
	assert_int_equal(values[3], 0x600df00d);
}

static void a_guest_starts_by_the_pvh_entry(void **state)
{
	struct fixture *f = *state;
	const struct payload payload = { .kind = PAYLOAD_PVH, .entry = CODE_AT };
	uint32_t values[8] = { 0 };

	vm_open(f);
	memcpy(f->ram + CODE_AT, guest32, guest32_size);
	prepare(f, &payload, "", 0);
	vm_registers(f);
	assert_int_equal(vm_run(f, values, ARRAY_SIZE(values)), 4);
	assert_int_equal(values[0], BOOT_START_INFO);
	assert_int_equal(values[1], PVH_START_MAGIC);
	assert_int_equal(values[2] & ~0x10U, 1);
	assert_int_equal(values[3], 0x600df00d);
}

static void real_mode_code_that_jumps_to_the_bios_resets(void **state)
{
	struct fixture *f = *state;
	const struct payload payload = { .kind = PAYLOAD_PVH, .entry = CODE_AT };
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vm_open(f);
	prepare(f, &payload, "", 0);
	/* A new vCPU is in real mode already, but above: Linux jumps to f000:fff0. */
	assert_int_equal(ioctl(f->vcpu, KVM_GET_SREGS, &sregs), 0);
	assert_int_equal(ioctl(f->vcpu, KVM_GET_REGS, &regs), 0);
	sregs.cs.selector = 0xf000;
	sregs.cs.base = 0xf0000;
	regs.rip = BOOT_RESET_VECTOR - 0xf0000;
	assert_int_equal(ioctl(f->vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(ioctl(f->vcpu, KVM_SET_REGS, &regs), 0);
	assert_int_equal(ioctl(f->vcpu, KVM_RUN, 0), 0);
	assert_int_equal(f->run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(f->run->io.port, PORT_RESET);
	assert_int_equal(*((uint8_t *)f->run + f->run->io.data_offset), RESET_VALUE);
	assert_int_equal(ioctl(f->vcpu, KVM_RUN, 0), 0);
	assert_int_equal(f->run->exit_reason, KVM_EXIT_HLT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_at_keeps_inside_one_piece),
		TEST(page_tables_map_4gib_to_themselves),
		TEST(gdt_holds_flat_segments_and_a_busy_tss),
		TEST(long_mode_registers_keep_the_convention),
		TEST(pvh_registers_keep_the_abi),
		TEST(start_info_lists_modules_and_memory),
		TEST(no_initramfs_is_no_module),
		TEST(zero_page_is_complete_for_a_bzimage),
		TEST(the_map_is_sorted_with_many_pieces_of_ram),
		TEST(a_long_command_line_is_refused),
		TEST(a_guest_starts_in_long_mode),
		TEST(a_guest_starts_by_the_pvh_entry),
		TEST(real_mode_code_that_jumps_to_the_bios_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
