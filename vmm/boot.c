/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot structures in guest memory and the registers that go with them: one file because the GDT,
 * the page tables and the segment registers must tell the same story.
 */
#include "vmm/boot.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "vmm/payload.h"

#define PTE_TABLE                                                                       \
	0x67ULL /* present, writable, user, accessed, dirty: payload kits drop to CPL 3 \
		 */
#define PTE_2M (PTE_TABLE | 0x80)

#define PAGE_BYTES   4096ULL
#define PAGE_ENTRIES 512u

#define E820_RAM      1
#define E820_RESERVED 2

#define TSS_BYTES 104 /* both the 32-bit and the 64-bit one; the map base is its last word */

_Static_assert(sizeof(struct pvh_start_info) == 56, "Xen start_info.h");
_Static_assert(sizeof(struct pvh_module) == 32, "Xen start_info.h");
_Static_assert(sizeof(struct pvh_memory) == 24, "Xen start_info.h");
_Static_assert(sizeof(struct boot_params) == PAGE_BYTES, "boot.rst: the zero page is a page");
_Static_assert(offsetof(struct boot_params, hdr) == 0x1f1, "boot.rst: the header's place");
_Static_assert(BOOT_GDT + BOOT_GDT_BYTES <= BOOT_TSS, "the TSS lies behind the GDT");

/* RAM below 1 MiB takes two entries, each further piece one, ECAM one. */
#define MAP_MAX (LAYOUT_MAX_RAM + 3)
_Static_assert(MAP_MAX <= E820_MAX_ENTRIES_ZEROPAGE, "the map fits the zero page");

/* The page at BOOT_START_INFO. */
struct start_page {
	struct pvh_start_info info;
	struct pvh_module module;
	struct pvh_memory map[MAP_MAX];
};
_Static_assert(BOOT_START_INFO + sizeof(struct start_page) <= BOOT_ZERO_PAGE, "it fits");

void *boot_memory_at(const struct boot_memory *memory, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < memory->layout->n_ram; i++) {
		const struct layout_ram *ram = &memory->layout->ram[i];

		if (gpa - ram->gpa < ram->size && range_inside(gpa, len, ram->gpa, ram->size))
			return (char *)memory->base + ram->offset + (gpa - ram->gpa);
	}
	return NULL;
}

/* Intel SDM vol. 3, figure 3-8; the limit's low 12 bits are dropped where g is set. */
static uint64_t descriptor(const struct kvm_segment *segment)
{
	const uint64_t limit = segment->g ? segment->limit >> 12 : segment->limit;
	const uint64_t access = segment->type | segment->s << 4 | segment->dpl << 5 |
				segment->present << 7 | segment->avl << 12 | segment->l << 13 |
				segment->db << 14 | segment->g << 15;

	return (limit & 0xffff) | (segment->base & 0xffffff) << 16 | access << 40 |
	       (limit & 0xf0000) << 32 | (segment->base & 0xff000000) << 32;
}

static struct kvm_segment code_segment(uint16_t selector, bool is64, uint8_t dpl)
{
	return (struct kvm_segment){ .limit = 0xffffffff,
				     .selector = selector,
				     .type = 0xb,
				     .present = 1,
				     .dpl = dpl,
				     .db = !is64,
				     .s = 1,
				     .l = is64,
				     .g = 1 };
}

static struct kvm_segment data_segment(uint16_t selector, uint8_t dpl)
{
	return (struct kvm_segment){ .limit = 0xffffffff,
				     .selector = selector,
				     .type = 0x3,
				     .present = 1,
				     .dpl = dpl,
				     .db = 1,
				     .s = 1,
				     .g = 1 };
}

/* Busy, as VMX wants a loaded task register. The PVH ABI asks for base 0. */
static struct kvm_segment task_segment(enum boot_entry mode)
{
	return (struct kvm_segment){ .base = mode == BOOT_PVH32 ? 0 : BOOT_TSS,
				     .limit = TSS_BYTES - 1,
				     .selector = BOOT_SEL_TSS,
				     .type = 0xb,
				     .present = 1 };
}

static void write_gdt(uint8_t *low, enum boot_entry mode)
{
	const struct kvm_segment segments[] = {
		code_segment(BOOT_SEL_CODE32, false, 0),
		code_segment(BOOT_SEL_CODE64, true, 0),
		data_segment(BOOT_SEL_DATA, 0),
		data_segment(BOOT_SEL_USER_DATA, 3),
		code_segment(BOOT_SEL_USER_CODE, true, 3),
		task_segment(mode), /* its upper half stays 0: the base is below 4 GiB */
	};
	uint8_t *gdt = low + BOOT_GDT, *tss = low + BOOT_TSS;

	memset(gdt, 0, BOOT_GDT_BYTES);
	for (unsigned int i = 0; i < ARRAY_SIZE(segments); i++)
		store_le(gdt + segments[i].selector, descriptor(&segments[i]), 8);

	memset(tss, 0, TSS_BYTES);
	store_le(tss + TSS_BYTES - 2, TSS_BYTES, 2); /* past the limit: no I/O bitmap */
}

static void write_page_tables(uint8_t *low)
{
	const uint64_t pdpt = BOOT_PML4 + PAGE_BYTES, directories = pdpt + PAGE_BYTES;
	const uint64_t gibs = BOOT_MAPPED_END / GIB;

	memset(low + BOOT_PML4, 0, 2 * PAGE_BYTES);
	store_le(low + BOOT_PML4, pdpt | PTE_TABLE, 8);
	for (uint64_t i = 0; i < gibs; i++)
		store_le(low + pdpt + i * 8, (directories + i * PAGE_BYTES) | PTE_TABLE, 8);
	for (uint64_t i = 0; i < gibs * PAGE_ENTRIES; i++)
		store_le(low + directories + i * 8, i * 2 * MIB | PTE_2M, 8);
}

static void map_add(struct pvh_memory *map, unsigned int *n, uint64_t addr, uint64_t end,
		    uint32_t type)
{
	if (addr < end)
		map[(*n)++] = (struct pvh_memory){ .addr = addr, .size = end - addr, .type = type };
}

static unsigned int fill_map(struct pvh_memory *map, const struct layout *layout)
{
	unsigned int n = 0, i = 1;

	map_add(map, &n, 0, BOOT_RAM_END, E820_RAM);
	map_add(map, &n, BOOT_RAM_END, HIGH_RAM_BASE, E820_RESERVED);
	map_add(map, &n, HIGH_RAM_BASE, layout->ram[0].size, E820_RAM);
	for (; i < layout->n_ram && layout->ram[i].gpa < layout->ecam.base; i++)
		map_add(map, &n, layout->ram[i].gpa, layout->ram[i].gpa + layout->ram[i].size,
			E820_RAM);
	/* Linux uses MCFG only where firmware reserves the range. */
	map_add(map, &n, layout->ecam.base, layout->ecam.base + layout->ecam.size, E820_RESERVED);
	for (; i < layout->n_ram; i++)
		map_add(map, &n, layout->ram[i].gpa, layout->ram[i].gpa + layout->ram[i].size,
			E820_RAM);
	return n;
}

static void fill_start_page(struct start_page *page, const struct layout *layout,
			    const struct payload *payload, uint64_t rsdp_gpa)
{
	const uint64_t at = BOOT_START_INFO;

	*page = (struct start_page){ 0 };
	page->info = (struct pvh_start_info){
		.magic = PVH_START_MAGIC,
		.version = PVH_START_VERSION,
		.cmdline_paddr = BOOT_CMDLINE,
		.rsdp_paddr = rsdp_gpa,
		.memmap_paddr = at + offsetof(struct start_page, map),
		.memmap_entries = fill_map(page->map, layout),
	};
	if (payload->initramfs_size) {
		page->info.nr_modules = 1;
		page->info.modlist_paddr = at + offsetof(struct start_page, module);
		page->module.paddr = payload->initramfs;
		page->module.size = payload->initramfs_size;
	}
}

/* boot.rst, "The real-mode kernel header": the fields a loader writes. */
static void fill_header(struct setup_header *header, const struct payload *payload)
{
	if (payload->kind == PAYLOAD_BZIMAGE) {
		*header = payload->header;
		header->setup_data = 0; /* the loader's list, and we have none */
		header->code32_start = payload->start;
	} else {
		*header = (struct setup_header){ .boot_flag = 0xaa55,
						 .header = 0x53726448,
						 .version = 0x20c,
						 .loadflags = LOADED_HIGH,
						 .kernel_alignment = 2 * MIB };
	}
	header->type_of_loader = 0xff;
	header->ext_loader_type = 0;
	header->ext_loader_ver = 0;
	header->loadflags &= ~CAN_USE_HEAP;
	header->cmd_line_ptr = BOOT_CMDLINE;
	header->ramdisk_image = payload->initramfs_size ? payload->initramfs : 0;
	header->ramdisk_size = payload->initramfs_size;
}

static void write_zero_page(uint8_t *low, const struct start_page *page,
			    const struct payload *payload)
{
	struct boot_params params = { 0 };

	fill_header(&params.hdr, payload);
	params.ext_ramdisk_size = payload->initramfs_size >> 32;
	params.acpi_rsdp_addr = page->info.rsdp_paddr;
	params.e820_entries = page->info.memmap_entries;
	for (unsigned int i = 0; i < page->info.memmap_entries; i++)
		params.e820_table[i] = (struct boot_e820_entry){ .addr = page->map[i].addr,
								 .size = page->map[i].size,
								 .type = page->map[i].type };
	memcpy(low + BOOT_ZERO_PAGE, &params, sizeof(params));
}

static int write_cmdline(uint8_t *low, const struct payload *payload, const char *cmdline,
			 struct err *err)
{
	const size_t len = strlen(cmdline);
	uint64_t most = BOOT_CMDLINE_MAX - 1;

	/* boot.rst: cmdline_size does not count the final NUL. */
	if (payload->kind == PAYLOAD_BZIMAGE)
		most = MIN(most, (uint64_t)payload->header.cmdline_size);
	if (len > most)
		return err_set(err, E2BIG,
			       "the command line has %zu bytes: this kernel takes at most %" PRIu64,
			       len, most);
	memcpy(low + BOOT_CMDLINE, cmdline, len + 1);
	return 0;
}

static void fill_state(struct boot_state *state, const struct payload *payload)
{
	*state = (struct boot_state){
		.rip = payload->entry,
		.rsi = BOOT_ZERO_PAGE,
		.rbx = BOOT_START_INFO,
		.rsp = BOOT_STACK_TOP,
		.gdt_base = BOOT_GDT,
		.gdt_limit = BOOT_GDT_BYTES - 1,
	};
	if (payload->kind == PAYLOAD_PVH) {
		state->mode = BOOT_PVH32;
		state->cr0 = 0x11; /* PE; ET cannot be cleared */
		return;
	}
	state->mode = BOOT_LONG_MODE;
	state->cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
	state->cr3 = BOOT_PML4;
	state->cr4 = 0x620;  /* OSXMMEXCPT OSFXSR PAE */
	state->efer = 0xd01; /* NXE LMA LME SCE */
}

/*
 * Linux without EFI and with hardware-reduced ACPI resets by going to real mode and jumping where
 * a PC has its BIOS; it never comes to the FADT's register. What it finds there writes that.
 */
static void write_reset_vector(uint8_t *low)
{
	static const uint8_t code[] = {
		0xba,
		PORT_RESET & 0xff,
		PORT_RESET >> 8, /* mov $PORT_RESET, %dx */
		0xb0,
		RESET_VALUE, /* mov $RESET_VALUE, %al */
		0xee,	     /* out %al, %dx */
		0xf4,	     /* hlt */
		0xeb,
		0xfd, /* jmp to the hlt */
	};

	memcpy(low + BOOT_RESET_VECTOR, code, sizeof(code));
}

int boot_prepare(const struct boot_memory *memory, const struct payload *payload,
		 const char *cmdline, uint64_t rsdp_gpa, struct boot_state *state, struct err *err)
{
	uint8_t *low = boot_memory_at(memory, 0, HIGH_RAM_BASE);
	struct start_page page;
	int ret;

	if (!low)
		return err_set(err, ENOSPC,
			       "RAM does not cover the first %#x bytes, where boot "
			       "structures go",
			       HIGH_RAM_BASE);
	fill_state(state, payload);
	ret = write_cmdline(low, payload, cmdline, err);
	if (ret)
		return ret;
	write_gdt(low, state->mode);
	write_page_tables(low);
	write_reset_vector(low);
	fill_start_page(&page, memory->layout, payload, rsdp_gpa);
	memcpy(low + BOOT_START_INFO, &page, sizeof(page));
	write_zero_page(low, &page, payload);
	return 0;
}

void boot_registers(const struct boot_state *state, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
	const bool is64 = state->mode == BOOT_LONG_MODE;
	const struct kvm_segment data = data_segment(BOOT_SEL_DATA, 0);

	*regs = (struct kvm_regs){ .rip = state->rip,
				   .rsi = state->rsi,
				   .rbx = state->rbx,
				   .rsp = state->rsp,
				   .rflags = 0x2 };

	sregs->cs = code_segment(is64 ? BOOT_SEL_CODE64 : BOOT_SEL_CODE32, is64, 0);
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->tr = task_segment(state->mode);
	sregs->ldt = (struct kvm_segment){ .type = 2, .unusable = 1 };
	sregs->gdt = (struct kvm_dtable){ .base = state->gdt_base, .limit = state->gdt_limit };
	sregs->idt = (struct kvm_dtable){ 0 };
	sregs->cr0 = state->cr0;
	sregs->cr2 = 0;
	sregs->cr3 = state->cr3;
	sregs->cr4 = state->cr4;
	sregs->cr8 = 0;
	sregs->efer = state->efer;
}
