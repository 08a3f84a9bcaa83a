/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the entry to payload_main: descriptor tables, and what the monitor handed over (PVH start
 * info and boot_params, either of which may be missing).
 *
 * One GDT serves all CPUs; every CPU has a task state of 128 bytes, and all of them share one I/O
 * permission bitmap behind the last, so that CPL3 may use every port (IOPL alone does not do on
 * PVM hosts).
 */
#include "kit.h"
#include "internal.h"

#define TSS_SIZE 128

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_bitmap; /* offset from the start of this task state */
	uint8_t pad[TSS_SIZE - 104];
} __attribute__((packed));
_Static_assert(sizeof(struct tss) == TSS_SIZE, "a task state crosses no page");

static struct {
	struct tss tss[KIT_CPUS];
	uint8_t io_bitmap[65536 / 8 +
			  1]; /* the last byte is all ones (SDM volume 1, I/O permission bit map) */
} __attribute__((aligned(4096))) tasks;

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_mid;
	uint32_t offset_high, reserved;
};
static struct gate idt[256] __attribute__((aligned(16)));

/* In .data, not .bss: it is used before .bss is cleared. */
static uint64_t gdt[SEL_TSS / 8 + 2 * KIT_CPUS] = {
	[SEL_CODE0 / 8] = 0x00af9b000000ffff,
	[SEL_DATA0 / 8] = 0x00cf93000000ffff,
	[SEL_DATA3 / 8] = 0x00cff3000000ffff,
	[SEL_CODE3 / 8] = 0x00affb000000ffff,
};

static struct {
	const uint8_t *boot_params;
	const uint8_t *start_info;
} handed;

struct pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

/* At CPL0, a microsecond an instruction, before .bss is cleared: no more than must be here. */
void kit_load_tables(unsigned int cpu)
{
	uint64_t base = (uint64_t)&tasks.tss[cpu];
	uint64_t limit = sizeof(tasks) - (uint64_t)cpu * TSS_SIZE - 1;
	struct pointer gdtr = { sizeof(gdt) - 1, (uint64_t)gdt };
	struct pointer idtr = { sizeof(idt) - 1, (uint64_t)idt };

	/* All below 16 MiB: the upper parts of the base stay 0. */
	gdt[SEL_TSS / 8 + 2 * cpu] = limit | base << 16 | 0x89UL << 40;
	__asm__ volatile("lgdt %0; lidt %1; ltr %w2"
			 :
			 : "m"(gdtr), "m"(idtr), "r"(SEL_TSS + 16 * cpu)
			 : "memory");
	__asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(SEL_DATA3));
}

static void fill_tables(void)
{
	for (unsigned int i = 0; i < KIT_CPUS; i++) {
		tasks.tss[i].rsp[0] = (uint64_t)kit_kstacks + (i + 1UL) * KSTACK_SIZE;
		tasks.tss[i].io_bitmap =
			(uint16_t)((uint64_t)tasks.io_bitmap - (uint64_t)&tasks.tss[i]);
	}
	tasks.io_bitmap[sizeof(tasks.io_bitmap) - 1] = 0xff;
	for (unsigned int i = 0; i < 256; i++) {
		uint64_t stub = (uint64_t)kit_stubs + i * 16UL;

		idt[i] = (struct gate){ .offset_low = (uint16_t)stub,
					.selector = SEL_CODE0,
					.type = 0x8e,
					.offset_mid = (uint16_t)(stub >> 16) };
	}
}

static uint32_t get32(const uint8_t *p)
{
	return *(const uint32_t *)p;
}

static uint64_t get64(const uint8_t *p)
{
	return *(const uint64_t *)p;
}

/* Offsets in struct boot_params: Linux Documentation/arch/x86/zero-page.rst. */
#define PARAMS_RSDP	    0x070
#define PARAMS_E820_ENTRIES 0x1e8
#define PARAMS_MAGIC	    0x202 /* setup header, "HdrS" */
#define PARAMS_CMDLINE	    0x228
#define PARAMS_E820	    0x2d0
/* Offsets in struct hvm_start_info: Xen public/arch-x86/hvm/start_info.h. */
#define START_MAGIC   0x336ec578
#define START_CMDLINE 24
#define START_RSDP    32

void kit_main(const uint8_t *start_info, const uint8_t *boot_params)
{
	memset(kit_bss_start, 0, (uint64_t)kit_bss_end - (uint64_t)kit_bss_start);
	fill_tables();
	if (start_info && get32(start_info) == START_MAGIC)
		handed.start_info = start_info;
	handed.boot_params = boot_params;
	exit_machine(payload_main() || test_failures() ? 1 : 0);
}

const char *command_line(void)
{
	uint64_t at = 0;

	if (handed.boot_params)
		at = get32(handed.boot_params + PARAMS_CMDLINE);
	if (!at && handed.start_info)
		at = get64(handed.start_info + START_CMDLINE);
	return at ? (const char *)at : "";
}

bool command_word(const char *name, const char **value)
{
	const char *at = command_line();
	size_t n = strlen(name);

	while (*at) {
		while (*at == ' ')
			at++;
		if (!memcmp(at, name, n) && (!at[n] || at[n] == ' ' || at[n] == '=')) {
			if (value)
				*value = at[n] == '=' ? at + n + 1 : "";
			return true;
		}
		while (*at && *at != ' ')
			at++;
	}
	return false;
}

uint64_t command_number(const char *name, uint64_t fallback)
{
	unsigned int base = 10, digit;
	uint64_t value = 0;
	const char *at;

	if (!command_word(name, &at))
		return fallback;
	if (at[0] == '0' && at[1] == 'x') {
		base = 16;
		at += 2;
	}
	for (; *at && *at != ' '; at++) {
		digit = *at <= '9' ? (unsigned int)(*at - '0') : (unsigned int)(*at - 'a') + 10;
		if (digit >= base)
			break;
		value = value * base + digit;
	}
	return value;
}

uint64_t rsdp_address(void)
{
	uint64_t at = 0;

	if (handed.start_info)
		at = get64(handed.start_info + START_RSDP);
	if (!at && handed.boot_params)
		at = get64(handed.boot_params + PARAMS_RSDP);
	return at;
}

unsigned int memory_map(const struct memory_range **ranges)
{
	if (!handed.boot_params)
		return 0;
	*ranges = (const struct memory_range *)(handed.boot_params + PARAMS_E820);
	return handed.boot_params[PARAMS_E820_ENTRIES];
}

uint64_t memory_total(void)
{
	const struct memory_range *ranges;
	unsigned int n = memory_map(&ranges);
	uint64_t total = 0;

	for (unsigned int i = 0; i < n; i++)
		total += ranges[i].type == 1 ? ranges[i].size : 0;
	return total;
}

void memory_print(void)
{
	const struct memory_range *ranges;
	unsigned int n = memory_map(&ranges);

	for (unsigned int i = 0; i < n; i++)
		kprintf("  %012lx-%012lx %s\n", ranges[i].start,
			ranges[i].start + ranges[i].size - 1,
			ranges[i].type == 1 ? "RAM" : "reserved");
}
