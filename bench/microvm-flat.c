/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/microvm-flat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"
#include "vmm/platform.h"

#define BIOS_BYTES (64 * KIB)
#define LOW_BASE   BOOT_GDT /* what is put into low memory begins there */
#define LOW_END	   (BOOT_CMDLINE + BOOT_CMDLINE_MAX)
#define ENTRY	   0x200000

/* Xen public/arch-x86/hvm/start_info.h: offsets in struct hvm_start_info. */
#define START_MAGIC	 0x336ec578
#define START_MAGIC_AT	 0
#define START_VERSION_AT 4
#define START_CMDLINE_AT 24
#define PAGE_FLAGS	 0x7  /* present, for writing, for CPL3 */
#define PAGE_LARGE_FLAGS 0x87 /* and 2 MiB */
#define PML4_TABLES	 6    /* PML4, PDPT, four page directories */
#define TABLE_ENTRIES	 512u

static void put(uint8_t *low, uint64_t at, const void *bytes, size_t n)
{
	memcpy(low + (at - LOW_BASE), bytes, n);
}

static void put64(uint8_t *low, uint64_t at, uint64_t value)
{
	put(low, at, &value, sizeof(value));
}

/* 4 GiB at their own addresses, as vmm/boot.c has it. */
static void put_tables(uint8_t *low)
{
	const uint64_t pdpt = BOOT_PML4 + 4 * KIB, directories = pdpt + 4 * KIB;

	put64(low, BOOT_PML4, pdpt | PAGE_FLAGS);
	for (uint64_t i = 0; i < 4; i++)
		put64(low, pdpt + 8 * i, (directories + 4 * KIB * i) | PAGE_FLAGS);
	for (uint64_t i = 0; i < 4ULL * TABLE_ENTRIES; i++)
		put64(low, directories + 8 * i, i * 2 * MIB | PAGE_LARGE_FLAGS);
}

static void fill_low(uint8_t *low, const char *words)
{
	static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
	static const uint32_t magic = START_MAGIC, version = 1;

	put(low, BOOT_GDT, gdt, sizeof(gdt));
	put(low, BOOT_START_INFO + START_MAGIC_AT, &magic, sizeof(magic));
	put(low, BOOT_START_INFO + START_VERSION_AT, &version, sizeof(version));
	put64(low, BOOT_START_INFO + START_CMDLINE_AT, BOOT_CMDLINE);
	put_tables(low);
	put(low, BOOT_CMDLINE, words, strlen(words) + 1);
}

/*
 * Real mode straight to long mode, with what is in low memory: 32-bit paging does not exist on PVM
 * hosts. The image ends at 4 GiB, and the CPU begins 16 bytes before.
 */
static void fill_bios(uint8_t *image)
{
	static const uint8_t code[] = {
		0xfa,					     /* cli */
		0x2e, 0x66, 0x0f, 0x01, 0x16, 0x60, 0x00,    /* lgdtl %cs:0x60 */
		0x66, 0xb8, 0x00, 0x90, 0x00, 0x00,	     /* mov $BOOT_PML4, %eax */
		0x0f, 0x22, 0xd8,			     /* mov %eax, %cr3 */
		0x66, 0xb8, 0x20, 0x06, 0x00, 0x00,	     /* mov $0x620, %eax: PAE, SSE */
		0x0f, 0x22, 0xe0,			     /* mov %eax, %cr4 */
		0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0,	     /* mov $0xc0000080, %ecx: EFER */
		0x66, 0xb8, 0x01, 0x09, 0x00, 0x00,	     /* mov $0x901, %eax: NXE LME SCE */
		0x66, 0x31, 0xd2,			     /* xor %edx, %edx */
		0x0f, 0x30,				     /* wrmsr */
		0x66, 0xb8, 0x33, 0x00, 0x05, 0x80,	     /* mov $0x80050033, %eax */
		0x0f, 0x22, 0xc0,			     /* mov %eax, %cr0 */
		0x66, 0xea, 0x40, 0x00, 0xff, 0xff, 0x10, 0, /* ljmpl $0x10, $0xffff0040 */
	};
	static const uint8_t code64[] = {
		0xbb, 0x00, 0x60, 0x00, 0x00, /* mov $BOOT_START_INFO, %ebx */
		0x31, 0xf6,		      /* xor %esi, %esi */
		0xb8, 0x18, 0x00, 0x00, 0x00, /* mov $0x18, %eax */
		0x8e, 0xd8, 0x8e, 0xc0,	      /* mov %eax, %ds; %es */
		0x8e, 0xd0,		      /* mov %eax, %ss */
		0xb8, 0x00, 0x00, 0x20, 0x00, /* mov $ENTRY, %eax */
		0xff, 0xe0,		      /* jmp *%rax */
	};
	static const uint8_t gdtr[] = { 0x1f, 0x00, 0x00, 0x05, 0x00, 0x00 };
	static const uint8_t reset[] = { 0xe9, 0x0d, 0x00 }; /* jmp to the image's start, wraps */

	_Static_assert(sizeof(code) <= 0x40 && sizeof(code64) <= 0x20, "they fit their places");
	_Static_assert(BOOT_PML4 == 0x9000 && BOOT_START_INFO == 0x6000 && BOOT_GDT == 0x500 &&
			       ENTRY == 0x200000,
		       "the code says the same");
	memcpy(image, code, sizeof(code));
	memcpy(image + 0x40, code64, sizeof(code64));
	memcpy(image + 0x60, gdtr, sizeof(gdtr));
	memcpy(image + BIOS_BYTES - 16, reset, sizeof(reset));
}

static int write_file(const char *path, const void *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, bytes, n) == (ssize_t)n ? 0 : -EIO;
	close(fd);
	return ret;
}

static int make_files(struct microvm_flat *flat, const char *words)
{
	uint8_t *low = calloc(1, LOW_END - LOW_BASE), *bios = calloc(1, BIOS_BYTES);
	int ret = -ENOMEM;

	if (low && bios) {
		fill_low(low, words);
		fill_bios(bios);
		ret = write_file(flat->low, low, LOW_END - LOW_BASE);
		if (!ret)
			ret = write_file(flat->bios, bios, BIOS_BYTES);
	}
	free(low);
	free(bios);
	return ret;
}

void microvm_flat_add(struct microvm_flat *flat, const char *const *words)
{
	while (*words && flat->n + 1 < MICROVM_FLAT_WORDS)
		flat->argv[flat->n++] = (char *)*words++;
	flat->argv[flat->n] = NULL;
}

int microvm_flat(struct microvm_flat *flat, const char *work, const char *payload,
		 const char *words, const char *memory)
{
	int ret;

	_Static_assert(MICROVM_WORDS < MICROVM_FLAT_WORDS, "room for the line");
	if (strlen(words) >= BOOT_CMDLINE_MAX)
		return -E2BIG;
	snprintf(flat->bios, sizeof(flat->bios), "%.4000s/bios", work);
	snprintf(flat->low, sizeof(flat->low), "%.4000s/low", work);
	ret = make_files(flat, words);
	if (ret)
		return ret;
	microvm_line(flat->argv, flat->bios, memory);
	for (flat->n = 0; flat->argv[flat->n]; flat->n++)
		;
	snprintf(flat->loader[0], sizeof(flat->loader[0]),
		 "loader,file=%.4000s,addr=%#x,force-raw=on", flat->low, LOW_BASE);
	snprintf(flat->loader[1], sizeof(flat->loader[1]),
		 "loader,file=%.4000s,addr=%#x,force-raw=on", payload, ENTRY);
	/* Threads by their names, so that a vCPU can be told from the rest. */
	microvm_flat_add(flat, (const char *const[]){ "-name", "bench,debug-threads=on", "-global",
						      "virtio-mmio.force-legacy=false", "-device",
						      flat->loader[0], "-device", flat->loader[1],
						      NULL });
	return 0;
}
