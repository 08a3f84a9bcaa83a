/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest payload kit. A payload is one C file with payload_main(), which runs at CPL3 on CPU 0
 * with interrupts off, in the identity map that the monitor made, and ends by returning the
 * number of failures (0: the machine ends well) or through one of the *_machine calls.
 *
 * Nothing is assumed beyond vmm/platform.h: start info, boot_params and ACPI may be absent, and
 * what depends on them then says so.
 */
#ifndef ADIT_KIT_H
#define ADIT_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "vmm/platform.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIB	      (1UL << 20)
#define GIB	      (1UL << 30)

int payload_main(void);

/* --- output (console.c). %s %c %d %u %x %p with an l for 64 bits, and widths as %08x. -------- */

void kprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Every line that a host driver counts: "ok NAME", "not ok NAME: reason", "skip NAME: reason". */
void test_ok(const char *name);
void test_fail(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void test_skip(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* ok or not ok by the condition; returns it. */
#define test_check(name, condition, ...) \
	((condition) ? (test_ok(name), true) : (test_fail(name, __VA_ARGS__), false))
unsigned int test_failures(void);

/* --- the end (console.c) --------------------------------------------------------------------- */

_Noreturn void exit_machine(uint32_t value); /* debug-exit, then S5 where there is none */
_Noreturn void poweroff_machine(void);
_Noreturn void reset_machine(void);

/* --- ports and MMIO: one instruction of exactly that width each ------------------------------ */

#define PORT_ACCESS(name, type, suffix)                                                          \
	static inline void out##name(uint16_t port, type value)                                  \
	{                                                                                        \
		__asm__ volatile("out" suffix " %0, %w1" : : "a"(value), "Nd"(port) : "memory"); \
	}                                                                                        \
	static inline type in##name(uint16_t port)                                               \
	{                                                                                        \
		type value;                                                                      \
		__asm__ volatile("in" suffix " %w1, %0" : "=a"(value) : "Nd"(port) : "memory");  \
		return value;                                                                    \
	}
PORT_ACCESS(b, uint8_t, "b")
PORT_ACCESS(w, uint16_t, "w")
PORT_ACCESS(l, uint32_t, "l")

#define MMIO_ACCESS(bits, suffix, constraint)                                  \
	static inline uint##bits##_t read##bits(uint64_t address)              \
	{                                                                      \
		uint##bits##_t value;                                          \
		__asm__ volatile("mov" suffix " (%1), %0"                      \
				 : "=" constraint(value)                       \
				 : "r"(address)                                \
				 : "memory");                                  \
		return value;                                                  \
	}                                                                      \
	static inline void write##bits(uint64_t address, uint##bits##_t value) \
	{                                                                      \
		__asm__ volatile("mov" suffix " %0, (%1)"                      \
				 :                                             \
				 : constraint(value), "r"(address)             \
				 : "memory");                                  \
	}
MMIO_ACCESS(8, "b", "q")
MMIO_ACCESS(16, "w", "r")
MMIO_ACCESS(32, "l", "r")
MMIO_ACCESS(64, "q", "r")

/* size: 1, 2, 4 or 8 bytes. */
uint64_t mmio_read(uint64_t address, unsigned int size);
void mmio_write(uint64_t address, uint64_t value, unsigned int size);

/* --- CPL0 (start.S, cpu.c) ------------------------------------------------------------------- */

/* Runs fn(a, b, c) at CPL0 with interrupts off; keep it short. */
uint64_t cpl0(uint64_t (*fn)(uint64_t a, uint64_t b, uint64_t c), uint64_t a, uint64_t b,
	      uint64_t c);

uint64_t rdmsr(uint32_t msr);
void wrmsr(uint32_t msr, uint64_t value);
/* False where the access faulted. */
bool try_rdmsr(uint32_t msr, uint64_t *value);
uint64_t read_cr(unsigned int number); /* 0, 2, 3 or 4 */
void invlpg(uint64_t address);
struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};
/* At CPL0: on PVM hosts CPL3 sees the host's leaves. */
struct cpuid cpuid(uint32_t leaf, uint32_t subleaf);

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

/* Which CPU runs this, from the stack it runs on (either level). */
unsigned int this_cpu(void);

/*
 * An access whose fault is an answer. Each returns 0, or 1 + the vector of the exception, which
 * fault_address() then describes (#PF).
 */
unsigned int try_read8(uint64_t address, uint8_t *value);
unsigned int try_write8(uint64_t address, uint8_t value);
unsigned int try_movdir64b(uint64_t destination, const void *source);
uint64_t fault_address(void);

/*
 * An exit that is no MMIO, after an exception and before the first MMIO. Under QEMU's TCG what was
 * injected last stays in the VMCB up to the next exit, without its valid bit; Linux's kvm_amd looks
 * at its type, and emulates nothing that seems to come while an event is delivered.
 */
static inline void settle(void)
{
	(void)inb(0x80);
}

/* --- interrupts (cpu.c) ---------------------------------------------------------------------- */

extern uint64_t kit_irq_count[256]; /* by vector, over all CPUs; counted, then EOI */
extern void (*kit_irq_handler[256])(uint64_t vector); /* at CPL0 before the EOI; NULL: none */

static inline uint64_t irq_count(unsigned int vector)
{
	return __atomic_load_n(&kit_irq_count[vector], __ATOMIC_ACQUIRE);
}

/* Whether CPL3 code of this CPU is interruptible. */
void interrupts(bool on);
/* One sti; hlt at CPL0. The kit's timeout timer does not run: something must wake it. */
void wait_for_interrupt(void);
/* Halts until the count is reached. Interrupts that came before are not lost. */
void halt_until(unsigned int vector, uint64_t count);
/*
 * Spins at CPL3 with interrupts on until the count is reached; false after `cycles` of the TSC.
 * Interrupts are off afterwards.
 */
bool wait_count(unsigned int vector, uint64_t count, uint64_t cycles);
#define CYCLES_SECOND 4000000000UL /* at least a second on the machines of the day */

/* --- locks ----------------------------------------------------------------------------------- */

struct spinlock {
	uint32_t held;
};

static inline void spin_lock(struct spinlock *lock)
{
	while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE))
		cpu_relax();
}

static inline void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

/* --- what the monitor said (boot.c) ---------------------------------------------------------- */

/* "" where there is none. */
const char *command_line(void);
/* True where `name` or `name=...` is a word; *value (may be NULL): behind '=', or "". */
bool command_word(const char *name, const char **value);
/* The number behind name=, decimal or 0x; `fallback` where the word is absent. */
uint64_t command_number(const char *name, uint64_t fallback);

struct memory_range {
	uint64_t start, size;
	uint32_t type; /* 1: RAM */
} __attribute__((packed));
/* The e820 map of boot_params; 0 entries where there is none. */
unsigned int memory_map(const struct memory_range **ranges);
uint64_t memory_total(void); /* RAM bytes of the map */
void memory_print(void);
/* Physical address of the RSDP: start info, else boot_params; 0 where there is none. */
uint64_t rsdp_address(void);

/* --- page tables (paging.c) ------------------------------------------------------------------ */

#define PAGE_PRESENT  0x001UL
#define PAGE_WRITE    0x002UL
#define PAGE_USER     0x004UL
#define PAGE_UNCACHED 0x018UL
#define PAGE_LARGE    0x080UL

/*
 * Maps the 2 MiB pages of [address, address + size) one to one, uncached, where they are not.
 * False: there is no room, or no such address.
 */
bool map_device(uint64_t address, uint64_t size);
/* Sets the flags of one 4 KiB page (its 2 MiB page is split) and invalidates it here. */
bool page_set(uint64_t address, uint64_t flags);

/* --- SMP (smp.c) ----------------------------------------------------------------------------- */

/*
 * Starts the CPUs of the MADT (without one: word cpus=N, APIC ids 0 to N - 1), which then run
 * fn(index) at CPL3 with interrupts off and park. Returns how many run, this one included;
 * *expected receives how many there should be.
 */
unsigned int smp_start(void (*fn)(unsigned int cpu), unsigned int *expected);
uint32_t cpu_apic_id(unsigned int cpu);

/* --- compiler's helpers (string.c) ----------------------------------------------------------- */

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
void *memmove(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

#endif
