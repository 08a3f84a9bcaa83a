/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of the start-up bench: the least a program can do to run a flat payload on KVM, in the
 * best order (memory before interrupts, split irqchip). `floor PAYLOAD.bin [ADDRESS [WORDS]]`:
 * 128 MiB, one vCPU, serial output to stdout, debug-exit and ACPI power-off; WORDS are the
 * payload's command line. It shares adit's addresses (vmm/platform.h) and nothing else, and is kept
 * as plain as it is on purpose.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/platform.h"

#define RAM_SIZE	(128UL << 20)
#define DEFAULT_ADDRESS 0x200000UL
#define PAGE_2M_FLAGS	0x87UL /* present, writable, user, 2 MiB */
#define TABLE_FLAGS	0x07UL

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void load(uint8_t *ram, const char *path, uint64_t address)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t at = address;
	ssize_t n;

	if (fd < 0)
		die(path);
	while ((n = read(fd, ram + at, RAM_SIZE - at)) > 0)
		at += (uint64_t)n;
	if (n < 0)
		die(path);
	close(fd);
}

static void write_tables(uint8_t *ram)
{
	uint64_t *pml4 = (uint64_t *)(ram + BOOT_PML4);
	uint64_t *pdpt = pml4 + 512, *pd = pdpt + 512;
	uint64_t *gdt = (uint64_t *)(ram + BOOT_GDT);

	pml4[0] = (BOOT_PML4 + 0x1000) | TABLE_FLAGS;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (BOOT_PML4 + 0x2000 + i * 0x1000) | TABLE_FLAGS;
	for (uint64_t i = 0; i < 2048; i++)
		pd[i] = i << 21 | PAGE_2M_FLAGS;
	gdt[2] = 0x00af9b000000ffff;
	gdt[3] = 0x00cf93000000ffff;
}

/* Linux boot protocol: cmd_line_ptr is at 0x228 of the zero page. */
static void write_words(uint8_t *ram, const char *words)
{
	uint32_t at = BOOT_CMDLINE;

	snprintf((char *)ram + at, BOOT_CMDLINE_MAX, "%s", words);
	memcpy(ram + BOOT_ZERO_PAGE + 0x228, &at, sizeof(at));
}

static struct kvm_segment flat(uint16_t selector, bool code)
{
	struct kvm_segment s = { .limit = ~0u, .selector = selector, .present = 1, .s = 1, .g = 1 };

	s.type = code ? 11 : 3;
	s.l = code;
	s.db = !code;
	return s;
}

static void set_registers(int vcpu, uint64_t entry)
{
	struct kvm_segment tr = { .limit = 0x67, .selector = 0x38, .type = 11, .present = 1 };
	struct kvm_regs regs = { .rip = entry, .rsp = BOOT_STACK_TOP, .rflags = 2 };
	struct kvm_sregs sregs;

	regs.rbx = BOOT_START_INFO;
	regs.rsi = BOOT_ZERO_PAGE;
	if (ioctl(vcpu, KVM_GET_SREGS, &sregs))
		die("KVM_GET_SREGS");
	sregs.cs = flat(0x10, true);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(0x18, false);
	sregs.tr = tr;
	sregs.gdt = (struct kvm_dtable){ .base = BOOT_GDT, .limit = 4 * 8 - 1 };
	sregs.idt = (struct kvm_dtable){ 0 };
	sregs.cr0 = 0x80050033;
	sregs.cr3 = BOOT_PML4;
	sregs.cr4 = 0x620;
	sregs.efer = 0xd01;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs))
		die("KVM_SET_SREGS");
	if (ioctl(vcpu, KVM_SET_REGS, &regs))
		die("KVM_SET_REGS");
}

static void set_cpuid(int kvm, int vcpu)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	if (!cpuid)
		die("memory");
	cpuid->nent = 256;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid))
		die("KVM_GET_SUPPORTED_CPUID");
	if (ioctl(vcpu, KVM_SET_CPUID2, cpuid))
		die("KVM_SET_CPUID2");
	free(cpuid);
}

/* Returns the exit status once the guest has ended the machine, else -1. */
static int port_io(struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	size_t bytes = (size_t)run->io.size * run->io.count;

	if (run->io.direction == KVM_EXIT_IO_IN) {
		memset(data, 0xff, bytes);
		return -1;
	}
	if (run->io.port == PORT_DEBUG_EXIT)
		return *data ? 1 : 0;
	if (run->io.port == PORT_SLEEP_CONTROL)
		return 0;
	for (size_t i = 0; i < bytes && run->io.port == PORT_SERIAL; i += run->io.size) {
		if (write(STDOUT_FILENO, data + i, 1) != 1)
			die("stdout");
	}
	return -1;
}

static int run_guest(int vcpu, struct kvm_run *run)
{
	int status = -1;

	while (status < 0) {
		if (ioctl(vcpu, KVM_RUN, 0) && errno != EINTR)
			die("KVM_RUN");
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			status = port_io(run);
			break;
		case KVM_EXIT_MMIO:
			if (!run->mmio.is_write)
				memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
			break;
		case KVM_EXIT_INTR:
			break;
		default:
			fprintf(stderr, "floor: exit reason %u\n", run->exit_reason);
			return 1;
		}
	}
	return status;
}

int main(int argc, char **argv)
{
	uint64_t address = argc > 2 ? strtoull(argv[2], NULL, 0) : DEFAULT_ADDRESS;
	struct kvm_userspace_memory_region slot = { .memory_size = RAM_SIZE };
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = 24 };
	int kvm, vm, vcpu, run_size;
	struct kvm_run *run;
	uint8_t *ram;

	if (argc < 2 || address >= RAM_SIZE) {
		fprintf(stderr, "usage: floor PAYLOAD.bin [ADDRESS below 128 MiB [WORDS]]\n");
		return 2;
	}
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		die("/dev/kvm");
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		die("KVM_CREATE_VM");
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram == MAP_FAILED)
		die("mmap");
	slot.userspace_addr = (uintptr_t)ram;
	load(ram, argv[1], address);
	write_tables(ram);
	if (argc > 3)
		write_words(ram, argv[3]);
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
		die("KVM_SET_USER_MEMORY_REGION");
	if (ioctl(vm, KVM_ENABLE_CAP, &split))
		die("KVM_CAP_SPLIT_IRQCHIP");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vcpu < 0 || run_size < 0)
		die("KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		die("mmap of the vCPU");
	set_cpuid(kvm, vcpu);
	set_registers(vcpu, address);
	return run_guest(vcpu, run);
}
