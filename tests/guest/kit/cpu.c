/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What needs CPL0, each a function of a few instructions called through cpl0(); exceptions; and
 * waiting for interrupts.
 */
#include "kit.h"
#include "internal.h"

uint64_t kit_irq_count[256];
void (*kit_irq_handler[256])(uint64_t vector);
uint8_t kit_x2apic;

static uint64_t last_fault_address;

/* IN and OUT, their strings, and the prefixes of those (SDM volume 2). */
static bool is_port_access(const uint8_t *code)
{
	while (*code == 0x66 || *code == 0xf2 || *code == 0xf3)
		code++;
	return (*code & 0xf4) == 0xe4 || (*code & 0xfc) == 0x6c;
}

/*
 * All ports are open to CPL3, by the task state. QEMU's TCG looks into one only where its type is
 * not the busy one, as it leaves it at LTR; a vCPU whose registers were loaded has a busy one, as
 * it must. There the task register is loaded anew.
 */
static bool task_reloaded(const struct frame *frame)
{
	static uint32_t tries = 1000; /* which end where that is not what is wrong */

	if (frame->vector != 13 || frame->error || (frame->cs & 3) != 3 ||
	    !is_port_access((const uint8_t *)frame->rip) ||
	    !__atomic_fetch_sub(&tries, 1, __ATOMIC_RELAXED))
		return false;
	kit_load_tables(this_cpu());
	return true;
}

void kit_exception(struct frame *frame, uint64_t cr2)
{
	if (task_reloaded(frame))
		return;
	for (const struct fixup *f = kit_fixups_start; f != kit_fixups_end; f++) {
		if (f->rip == frame->rip) {
			last_fault_address = cr2;
			frame->rip = f->resume;
			frame->rax = 1 + frame->vector;
			return;
		}
	}
	kprintf("not ok exception: vector %lu error 0x%lx at %lx:0x%lx address 0x%lx stack 0x%lx\n",
		frame->vector, frame->error, frame->cs, frame->rip, cr2, frame->rsp);
	exit_machine(1);
}

uint64_t fault_address(void)
{
	return last_fault_address;
}

unsigned int this_cpu(void)
{
	uint64_t rsp = (uint64_t)__builtin_frame_address(0);

	if (rsp >= (uint64_t)kit_ustacks)
		return (unsigned int)((rsp - (uint64_t)kit_ustacks) / USTACK_SIZE);
	return (unsigned int)((rsp - (uint64_t)kit_kstacks) / KSTACK_SIZE);
}

static uint64_t do_rdmsr(uint64_t msr, uint64_t value, uint64_t c)
{
	uint64_t failed;
	uint32_t low, high;

	__asm__ volatile("mov %3, %%ecx\n"
			 "1: rdmsr\n"
			 "mov %%eax, %1\n"
			 "xor %%eax, %%eax\n"
			 "2:\n" FIXUP("1b", "2b")
			 : "=&a"(failed), "=&r"(low), "=&d"(high)
			 : "r"((uint32_t)msr)
			 : "rcx", "memory");
	if (!failed)
		*(uint64_t *)value = (uint64_t)high << 32 | low;
	return failed;
}

bool try_rdmsr(uint32_t msr, uint64_t *value)
{
	return !cpl0(do_rdmsr, msr, (uint64_t)value, 0);
}

uint64_t rdmsr(uint32_t msr)
{
	uint64_t value = 0;

	if (!try_rdmsr(msr, &value))
		test_fail("rdmsr", "MSR 0x%x faults", msr);
	return value;
}

static uint64_t do_wrmsr(uint64_t msr, uint64_t value, uint64_t c)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"((uint32_t)msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
	return 0;
}

void wrmsr(uint32_t msr, uint64_t value)
{
	cpl0(do_wrmsr, msr, value, 0);
}

static uint64_t do_read_cr(uint64_t number, uint64_t b, uint64_t c)
{
	uint64_t value = 0;

	switch (number) {
	case 0:
		__asm__ volatile("mov %%cr0, %0" : "=r"(value));
		break;
	case 2:
		__asm__ volatile("mov %%cr2, %0" : "=r"(value));
		break;
	case 3:
		__asm__ volatile("mov %%cr3, %0" : "=r"(value));
		break;
	default:
		__asm__ volatile("mov %%cr4, %0" : "=r"(value));
		break;
	}
	return value;
}

uint64_t read_cr(unsigned int number)
{
	return cpl0(do_read_cr, number, 0, 0);
}

static uint64_t do_invlpg(uint64_t address, uint64_t b, uint64_t c)
{
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
	return 0;
}

void invlpg(uint64_t address)
{
	cpl0(do_invlpg, address, 0, 0);
}

static uint64_t do_cpuid(uint64_t leaf, uint64_t subleaf, uint64_t out)
{
	struct cpuid *r = (struct cpuid *)out;

	__asm__ volatile("cpuid"
			 : "=a"(r->eax), "=b"(r->ebx), "=c"(r->ecx), "=d"(r->edx)
			 : "a"((uint32_t)leaf), "c"((uint32_t)subleaf));
	return 0;
}

struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	cpl0(do_cpuid, leaf, subleaf, (uint64_t)&r);
	return r;
}

unsigned int try_read8(uint64_t address, uint8_t *value)
{
	uint64_t failed = 0;
	uint8_t byte = 0;

	__asm__ volatile("1: movb (%2), %1\n"
			 "2:\n" FIXUP("1b", "2b")
			 : "+a"(failed), "+q"(byte)
			 : "r"(address)
			 : "memory");
	*value = byte;
	return (unsigned int)failed;
}

unsigned int try_write8(uint64_t address, uint8_t value)
{
	uint64_t failed = 0;

	__asm__ volatile("1: movb %1, (%2)\n"
			 "2:\n" FIXUP("1b", "2b")
			 : "+a"(failed)
			 : "q"(value), "r"(address)
			 : "memory");
	return (unsigned int)failed;
}

unsigned int try_movdir64b(uint64_t destination, const void *source)
{
	uint64_t failed = 0;

	/* movdir64b (%rsi), %rdi in bytes: assemblers of the day may not know it. */
	__asm__ volatile("1: .byte 0x66, 0x0f, 0x38, 0xf8, 0x3e\n"
			 "2:\n" FIXUP("1b", "2b")
			 : "+a"(failed)
			 : "D"(destination), "S"(source)
			 : "memory");
	return (unsigned int)failed;
}

uint64_t mmio_read(uint64_t address, unsigned int size)
{
	switch (size) {
	case 1:
		return read8(address);
	case 2:
		return read16(address);
	case 4:
		return read32(address);
	default:
		return read64(address);
	}
}

void mmio_write(uint64_t address, uint64_t value, unsigned int size)
{
	switch (size) {
	case 1:
		write8(address, (uint8_t)value);
		break;
	case 2:
		write16(address, (uint16_t)value);
		break;
	case 4:
		write32(address, (uint32_t)value);
		break;
	default:
		write64(address, value);
		break;
	}
}

static uint64_t do_interrupts(uint64_t on, uint64_t b, uint64_t c)
{
	/* The frame of the trap from CPL3 is at the top of this CPU's stack. */
	uint64_t *top = (uint64_t *)((uint64_t)kit_kstacks + (this_cpu() + 1UL) * KSTACK_SIZE);
	uint64_t *rflags = &top[-3];

	*rflags = on ? *rflags | 0x200 : *rflags & ~0x200UL;
	return 0;
}

void interrupts(bool on)
{
	cpl0(do_interrupts, on, 0, 0);
}

static uint64_t do_halt(uint64_t a, uint64_t b, uint64_t c)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
	return 0;
}

void wait_for_interrupt(void)
{
	cpl0(do_halt, 0, 0, 0);
}

static uint64_t do_halt_until(uint64_t vector, uint64_t count, uint64_t c)
{
	/* sti takes effect after hlt: an interrupt between the check and hlt still wakes it. */
	while (irq_count((unsigned int)vector) < count)
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	return 0;
}

void halt_until(unsigned int vector, uint64_t count)
{
	cpl0(do_halt_until, vector, count, 0);
}

bool wait_count(unsigned int vector, uint64_t count, uint64_t cycles)
{
	uint64_t end = rdtsc() + cycles;

	interrupts(true);
	while (irq_count(vector) < count && rdtsc() < end)
		cpu_relax();
	interrupts(false);
	return irq_count(vector) >= count;
}
