/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload loaders: every format goes where it belongs, and every malformed image is refused with
 * the field that is wrong. Images are made here, byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/boot.h"
#include "vmm/payload.h"

#define RAM_SIZE  (32 * MIB)
#define LOAD_AT	  0x200000ULL
#define VIRTUAL	  0xffffffff80000000ULL
#define CODE_AT	  0x400 /* in the ELF images */
#define CODE_SIZE 0x300
#define NOTE_AT	  0x300

struct fixture {
	struct layout layout;
	struct boot_memory memory;
	uint8_t image[16 * KIB];
	size_t size;
	struct payload payload;
	struct err err;
};

/* RAM at [0, 20 MiB) and [22 MiB, 34 MiB), so that there is a hole to fall into. */
static int setup(void **state)
{
	const struct layout_range hole = { 20 * MIB, 4096 };
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	f->memory.layout = &f->layout;
	f->memory.base =
		mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->memory.base == MAP_FAILED)
		return -1;
	return layout_plan(&f->layout,
			   &(struct layout_request){ .ram_size = RAM_SIZE,
						     .phys_bits = 40,
						     .aperture_last = UINT64_MAX,
						     .reserved = &hole,
						     .n_reserved = 1 },
			   NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	munmap(f->memory.base, RAM_SIZE);
	free(f);
	return 0;
}

static Elf64_Ehdr *elf_header(struct fixture *f)
{
	return (void *)f->image;
}

static Elf64_Phdr *elf_segment(struct fixture *f, unsigned int i)
{
	return (Elf64_Phdr *)(void *)(f->image + sizeof(Elf64_Ehdr)) + i;
}

/* One code segment with .bss at LOAD_AT, linked at VIRTUAL; the entry is physical. */
static void make_elf64(struct fixture *f)
{
	memset(f->image, 0, sizeof(f->image));
	*elf_header(f) = (Elf64_Ehdr){
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = LOAD_AT + 0x10,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
	};
	*elf_segment(f, 0) = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = CODE_AT,
		.p_vaddr = VIRTUAL + LOAD_AT,
		.p_paddr = LOAD_AT,
		.p_filesz = CODE_SIZE,
		.p_memsz = 0x2000,
		.p_align = 4096,
	};
	for (unsigned int i = 0; i < CODE_SIZE; i++)
		f->image[CODE_AT + i] = i * 7 + 1;
	f->size = CODE_AT + CODE_SIZE;
}

static void put_note(uint8_t *at, uint32_t type, const char *name, const void *desc, uint32_t size,
		     uint32_t align)
{
	const Elf64_Nhdr note = { .n_namesz = strlen(name) + 1, .n_descsz = size, .n_type = type };

	memcpy(at, &note, sizeof(note));
	memcpy(at + sizeof(note), name, note.n_namesz);
	memcpy(at + align_up(sizeof(note) + note.n_namesz, align), desc, size);
}

/* The same with two notes, of which the second makes it PVH. */
static void make_pvh(struct fixture *f)
{
	const uint64_t entry = LOAD_AT + 0x20;

	make_elf64(f);
	elf_header(f)->e_phnum = 2;
	*elf_segment(f, 1) = (Elf64_Phdr){
		.p_type = PT_NOTE, .p_offset = NOTE_AT, .p_filesz = 44, .p_align = 4
	};
	put_note(f->image + NOTE_AT, 6, "Xen", "abc", 4, 4);
	put_note(f->image + NOTE_AT + 20, 18, "Xen", &entry, 8, 4);
}

static struct setup_header *bz_header(struct fixture *f)
{
	return (void *)(f->image + 0x1f1);
}

/* Two real-mode sectors, then 4 KiB of kernel. */
static void make_bzimage(struct fixture *f)
{
	memset(f->image, 0, sizeof(f->image));
	*bz_header(f) = (struct setup_header){
		.setup_sects = 2,
		.syssize = 4096 / 16,
		.boot_flag = 0xaa55,
		.jump = 0x6aeb, /* to 0x26c */
		.header = 0x53726448,
		.version = 0x20f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 2 * MIB,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.pref_address = 16 * MIB,
		.init_size = 3 * MIB,
		.setup_data = 0x1234,
	};
	for (unsigned int i = 0; i < 4096; i++)
		f->image[3 * 512 + i] = i * 5 + 3;
	f->size = 3 * 512 + 4096;
}

static int load(struct fixture *f)
{
	struct payload_source source;

	payload_from_memory(&source, f->image, f->size);
	f->err = (struct err){ 0 };
	return payload_load_kernel(&f->memory, &source, &f->payload, &f->err);
}

static void loads(struct fixture *f)
{
	if (load(f))
		fail_msg("refused: %s", f->err.text);
}

static void refuses(struct fixture *f, int code, const char *word)
{
	assert_int_equal(load(f), -code);
	assert_int_equal(f->err.code, code);
	if (!strstr(f->err.text, word))
		fail_msg("\"%s\" does not say \"%s\"", f->err.text, word);
}

static const uint8_t *guest(struct fixture *f, uint64_t gpa)
{
	return boot_memory_at(&f->memory, gpa, 1);
}

static void elf64_goes_to_its_physical_address(void **state)
{
	struct fixture *f = *state;

	make_elf64(f);
	memset(boot_memory_at(&f->memory, LOAD_AT, 0x2001), 0xee, 0x2001);
	loads(f);
	assert_int_equal(f->payload.kind, PAYLOAD_ELF64);
	assert_int_equal(f->payload.entry, LOAD_AT + 0x10);
	assert_int_equal(f->payload.start, LOAD_AT);
	assert_int_equal(f->payload.end, LOAD_AT + 0x2000);
	assert_memory_equal(guest(f, LOAD_AT), f->image + CODE_AT, CODE_SIZE);
	for (unsigned int i = CODE_SIZE; i < 0x2000; i++)
		assert_int_equal(*guest(f, LOAD_AT + i), 0);
	assert_int_equal(*guest(f, LOAD_AT + 0x2000), 0xee);
}

static void a_virtual_entry_is_converted(void **state)
{
	struct fixture *f = *state;

	make_elf64(f);
	elf_header(f)->e_entry = VIRTUAL + LOAD_AT + 0x18;
	loads(f);
	assert_int_equal(f->payload.entry, LOAD_AT + 0x18);
}

static void a_segment_goes_above_the_hole(void **state)
{
	struct fixture *f = *state;

	make_elf64(f);
	elf_segment(f, 0)->p_paddr = 22 * MIB;
	elf_header(f)->e_entry = 22 * MIB;
	loads(f);
	assert_memory_equal((uint8_t *)f->memory.base + 20 * MIB, f->image + CODE_AT, CODE_SIZE);
}

static void the_pvh_note_decides_the_entry(void **state)
{
	struct fixture *f = *state;

	make_pvh(f);
	loads(f);
	assert_int_equal(f->payload.kind, PAYLOAD_PVH);
	assert_int_equal(f->payload.entry, LOAD_AT + 0x20);
}

static void notes_of_eight_byte_alignment_are_read(void **state)
{
	struct fixture *f = *state;
	const uint32_t entry = LOAD_AT + 0x24;

	make_pvh(f);
	memset(f->image + NOTE_AT, 0, 64);
	put_note(f->image + NOTE_AT, 5, "GNU", "0123456", 8, 8);
	put_note(f->image + NOTE_AT + 24, 18, "Xen", &entry, 4, 8);
	elf_segment(f, 1)->p_filesz = 44;
	elf_segment(f, 1)->p_align = 8;
	loads(f);
	assert_int_equal(f->payload.kind, PAYLOAD_PVH);
	assert_int_equal(f->payload.entry, LOAD_AT + 0x24);
}

static void notes_of_others_are_not_pvh(void **state)
{
	struct fixture *f = *state;

	make_pvh(f);
	f->image[NOTE_AT + 20 + sizeof(Elf64_Nhdr)] = 'x';
	loads(f);
	assert_int_equal(f->payload.kind, PAYLOAD_ELF64);
}

/* make_pvh's image as ELF32. */
static void make_elf32(struct fixture *f)
{
	Elf32_Phdr *segments = (void *)(f->image + sizeof(Elf32_Ehdr));

	make_pvh(f);
	memset(f->image, 0, NOTE_AT);
	*(Elf32_Ehdr *)(void *)f->image = (Elf32_Ehdr){
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_version = EV_CURRENT,
		.e_entry = LOAD_AT,
		.e_phoff = sizeof(Elf32_Ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 2,
	};
	segments[0] = (Elf32_Phdr){ .p_type = PT_LOAD,
				    .p_offset = CODE_AT,
				    .p_vaddr = LOAD_AT,
				    .p_paddr = LOAD_AT,
				    .p_filesz = CODE_SIZE,
				    .p_memsz = 0x1000 };
	segments[1] = (Elf32_Phdr){
		.p_type = PT_NOTE, .p_offset = NOTE_AT, .p_filesz = 44, .p_align = 4
	};
}

static void elf32_runs_with_a_pvh_note_only(void **state)
{
	struct fixture *f = *state;

	make_elf32(f);
	loads(f);
	assert_int_equal(f->payload.kind, PAYLOAD_PVH);
	assert_int_equal(f->payload.entry, LOAD_AT + 0x20);
	assert_int_equal(f->payload.end, LOAD_AT + 0x1000);

	f->image[NOTE_AT + 20 + 8] = 17;
	refuses(f, ENOEXEC, "32-bit ELF file without a PVH entry");
}

static void a_malformed_elf_header_is_refused(void **state)
{
	struct fixture *f = *state;

	make_elf64(f);
	f->size = 40;
	refuses(f, ENOEXEC, "truncated: the ELF header");
	make_elf64(f);
	f->image[EI_CLASS] = 3;
	refuses(f, ENOEXEC, "class 3");
	make_elf64(f);
	f->image[EI_DATA] = ELFDATA2MSB;
	refuses(f, ENOEXEC, "data encoding 2");
	make_elf64(f);
	elf_header(f)->e_type = ET_REL;
	refuses(f, ENOEXEC, "e_type 1");
	make_elf64(f);
	elf_header(f)->e_machine = EM_AARCH64;
	refuses(f, ENOEXEC, "e_machine 183");
	make_elf64(f);
	elf_header(f)->e_phentsize = 32;
	refuses(f, ENOEXEC, "e_phentsize is 32");
	make_elf64(f);
	elf_header(f)->e_phnum = 65;
	refuses(f, ENOEXEC, "e_phnum is 65");
	elf_header(f)->e_phnum = 0;
	refuses(f, ENOEXEC, "e_phnum is 0");
	make_elf64(f);
	elf_header(f)->e_phoff = f->size - 8;
	refuses(f, ENOEXEC, "e_phoff");
	elf_header(f)->e_phoff = UINT64_MAX - 8;
	refuses(f, ENOEXEC, "e_phoff");
	make_elf64(f);
	elf_segment(f, 0)->p_type = PT_NULL;
	refuses(f, ENOEXEC, "without a PT_LOAD");
	make_elf64(f);
	elf_header(f)->e_entry = LOAD_AT + CODE_SIZE;
	refuses(f, ENOEXEC, "e_entry 0x200300 is outside");
}

static void malformed_segments_are_refused(void **state)
{
	struct fixture *f = *state;

	make_elf64(f);
	elf_segment(f, 0)->p_filesz = 0x2001;
	refuses(f, ENOEXEC, "p_filesz 0x2001 is more than p_memsz 0x2000");
	make_elf64(f);
	f->size--;
	refuses(f, ENOEXEC, "truncated: ELF segment 0");
	make_elf64(f);
	elf_segment(f, 0)->p_offset = UINT64_MAX - 0x10;
	refuses(f, ENOEXEC, "truncated: ELF segment 0");
	make_elf64(f);
	elf_segment(f, 0)->p_memsz = UINT64_MAX;
	refuses(f, ENOEXEC, "p_memsz");
	make_elf64(f);
	elf_segment(f, 0)->p_paddr = 0x7000;
	refuses(f, ENOSPC, "p_paddr 0x7000 is below 0x100000");
	make_elf64(f);
	elf_segment(f, 0)->p_paddr = 20 * MIB - 0x1000; /* into the hole */
	refuses(f, ENOSPC, "outside RAM");
	elf_segment(f, 0)->p_paddr = UINT64_MAX - 0xfff;
	refuses(f, ENOSPC, "outside RAM");
	make_elf64(f);
	elf_header(f)->e_phnum = 2;
	*elf_segment(f, 1) = *elf_segment(f, 0);
	elf_segment(f, 1)->p_paddr = LOAD_AT + 0x1fff;
	refuses(f, ENOEXEC, "segments 0 and 1 overlap");
	elf_segment(f, 1)->p_paddr = LOAD_AT + 0x2000;
	loads(f);
	assert_int_equal(f->payload.end, LOAD_AT + 0x4000);
}

static void malformed_notes_are_refused(void **state)
{
	struct fixture *f = *state;

	make_pvh(f);
	elf_segment(f, 1)->p_filesz = 64 * KIB + 1;
	refuses(f, ENOEXEC, "of notes is more than");
	make_pvh(f);
	elf_segment(f, 1)->p_offset = f->size - 8;
	refuses(f, ENOEXEC, "truncated: the ELF PT_NOTE");
	make_pvh(f);
	store_le(f->image + NOTE_AT, 0xffffffff, 4);
	refuses(f, ENOEXEC, "n_namesz 4294967295");
	make_pvh(f);
	store_le(f->image + NOTE_AT + 4, 0xffffffff, 4);
	refuses(f, ENOEXEC, "n_descsz 4294967295");
	make_pvh(f);
	store_le(f->image + NOTE_AT + 20 + 4, 2, 4);
	refuses(f, ENOEXEC, "n_descsz is 2");
	make_pvh(f);
	store_le(f->image + NOTE_AT + 36, LOAD_AT + 0x1000, 8); /* .bss */
	refuses(f, ENOEXEC, "PHYS32_ENTRY 0x201000 is outside");
}

static void an_unknown_file_is_refused_by_name(void **state)
{
	struct fixture *f = *state;

	memset(f->image, 0x90, sizeof(f->image));
	f->size = 700;
	refuses(f, ENOEXEC, "neither an ELF file nor a bzImage");
	f->size = 1;
	refuses(f, ENOEXEC, "neither an ELF file nor a bzImage");
}

static void bzimage_goes_where_it_prefers(void **state)
{
	struct fixture *f = *state;

	make_bzimage(f);
	loads(f);
	assert_int_equal(f->payload.kind, PAYLOAD_BZIMAGE);
	assert_int_equal(f->payload.start, 16 * MIB);
	assert_int_equal(f->payload.end, 19 * MIB);
	assert_int_equal(f->payload.entry, 16 * MIB + 0x200);
	assert_memory_equal(guest(f, 16 * MIB), f->image + 3UL * 512, 4096);
	/* The header ends at 0x26c: the fields up to there are copied, the rest is not. */
	assert_int_equal(f->payload.header.init_size, 3 * MIB);
	assert_int_equal(f->payload.header.kernel_info_offset, 0);
}

static void bzimage_moves_where_its_place_is_taken(void **state)
{
	struct fixture *f = *state;

	make_bzimage(f);
	bz_header(f)->init_size = 5 * MIB; /* 16 to 20 MiB is too short, 22 MiB is free */
	loads(f);
	assert_int_equal(f->payload.start, 22 * MIB);

	bz_header(f)->init_size = 16 * MIB; /* nothing from 16 MiB on is long enough */
	loads(f);
	assert_int_equal(f->payload.start, 2 * MIB);

	bz_header(f)->init_size = 19 * MIB;
	refuses(f, ENOSPC, "init_size");

	make_bzimage(f);
	bz_header(f)->relocatable_kernel = 0;
	bz_header(f)->kernel_alignment = 3;
	loads(f);
	assert_int_equal(f->payload.start, 16 * MIB);
	bz_header(f)->init_size = 5 * MIB;
	refuses(f, ENOSPC, "needs 5242880 bytes of RAM at 0x1000000");
	bz_header(f)->pref_address = 0x10000;
	refuses(f, ENOSPC, "at 0x10000");
}

static void bzimage_without_a_64_bit_entry_is_refused(void **state)
{
	struct fixture *f = *state;

	make_bzimage(f);
	bz_header(f)->version = 0x20b;
	refuses(f, ENOEXEC, "protocol 2.11 is too old");
	make_bzimage(f);
	bz_header(f)->xloadflags = 0;
	refuses(f, ENOEXEC, "32-bit kernel");
	make_bzimage(f);
	bz_header(f)->loadflags = 0;
	refuses(f, ENOEXEC, "LOADED_HIGH");
}

static void a_malformed_bzimage_is_refused(void **state)
{
	struct fixture *f = *state;

	make_bzimage(f);
	f->size = 0x220;
	refuses(f, ENOEXEC, "truncated: the bzImage setup header");
	make_bzimage(f);
	bz_header(f)->boot_flag = 0;
	refuses(f, ENOEXEC, "boot_flag");
	make_bzimage(f);
	bz_header(f)->jump = 0x30eb;
	refuses(f, ENOEXEC, "jump");
	make_bzimage(f);
	bz_header(f)->kernel_alignment = 3 * MIB;
	refuses(f, ENOEXEC, "kernel_alignment 0x300000");
	make_bzimage(f);
	bz_header(f)->setup_sects = 200;
	refuses(f, ENOEXEC, "setup_sects 200");
	make_bzimage(f);
	f->size -= 17;
	refuses(f, ENOEXEC, "syssize says 4096 bytes of kernel, the file has 4079");
	make_bzimage(f);
	bz_header(f)->syssize = 0xffffffff;
	refuses(f, ENOEXEC, "syssize");
	make_bzimage(f);
	bz_header(f)->syssize = 0x20;
	refuses(f, ENOEXEC, "64-bit entry");
	make_bzimage(f);
	bz_header(f)->init_size = 4095;
	refuses(f, ENOEXEC, "init_size 4095");
	make_bzimage(f);
	bz_header(f)->pref_address = UINT64_MAX;
	bz_header(f)->relocatable_kernel = 0;
	refuses(f, ENOSPC, "0xffffffffffffffff");
}

static void flat_goes_to_its_address(void **state)
{
	struct fixture *f = *state;
	struct payload_source source;
	const uint8_t bytes[5000] = { 0xf4, 1, 2, [4999] = 9 };

	payload_from_memory(&source, bytes, sizeof(bytes));
	assert_int_equal(payload_load_flat(&f->memory, &source, 0x20000, &f->payload, NULL), 0);
	assert_int_equal(f->payload.kind, PAYLOAD_RAW);
	assert_int_equal(f->payload.entry, 0x20000);
	assert_int_equal(f->payload.end, 0x20000 + 5000);
	assert_memory_equal(guest(f, 0x20000), bytes, sizeof(bytes));
}

static void flat_in_a_wrong_place_is_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint64_t address;
		int code;
		const char *word;
	} cases[] = {
		{ 0x100010, EINVAL, "0x100010 is not a multiple" },
		{ 0, ENOSPC, "boot structures" },
		{ 0x1f000, ENOSPC, "boot structures" },
		{ 0x9e000, ENOSPC, "boot structures" },
		{ 0xff000, ENOSPC, "boot structures" },
		{ 20 * MIB - 4096, ENOSPC, "not inside RAM" },
		{ 34 * MIB, ENOSPC, "not inside RAM" },
		{ 0xfffffffffffff000, ENOSPC, "not inside RAM" },
	};
	uint8_t bytes[8192] = { 0 };
	struct payload_source source;

	payload_from_memory(&source, bytes, sizeof(bytes));
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = { 0 };

		assert_int_equal(payload_load_flat(&f->memory, &source, cases[i].address,
						   &f->payload, &err),
				 -cases[i].code);
		assert_non_null(strstr(err.text, cases[i].word));
	}
}

static int load_initramfs(struct fixture *f, size_t size)
{
	struct payload_source source;
	uint8_t *bytes = malloc(size);
	int ret;

	assert_non_null(bytes);
	memset(bytes, 0x5a, size);
	payload_from_memory(&source, bytes, size);
	f->err = (struct err){ 0 };
	ret = payload_load_initramfs(&f->memory, &source, &f->payload, &f->err);
	free(bytes);
	return ret;
}

static void initramfs_goes_to_the_top_of_ram(void **state)
{
	struct fixture *f = *state;

	make_elf64(f);
	loads(f);
	assert_int_equal(load_initramfs(f, 5000), 0);
	assert_int_equal(f->payload.initramfs, 34 * MIB - 8192);
	assert_int_equal(f->payload.initramfs_size, 5000);
	assert_int_equal(*guest(f, 34 * MIB - 8192), 0x5a);
	assert_int_equal(*guest(f, 34 * MIB - 8192 + 5000), 0);
}

static void initramfs_stays_below_the_kernels_limit(void **state)
{
	struct fixture *f = *state;

	make_bzimage(f);
	bz_header(f)->initrd_addr_max = 20 * MIB - 1;
	loads(f);
	assert_int_equal(load_initramfs(f, 4096), 0);
	assert_int_equal(f->payload.initramfs, 20 * MIB - 4096);
	/* The MiB above the kernel is too short: it goes below. */
	assert_int_equal(load_initramfs(f, 2 * MIB), 0);
	assert_int_equal(f->payload.initramfs, 14 * MIB);

	bz_header(f)->initrd_addr_max = 0xffff;
	loads(f);
	assert_int_equal(load_initramfs(f, 4096), -ENOSPC);
	assert_non_null(strstr(f->err.text, "below 0x10000"));
}

static void initramfs_does_not_overlap_the_kernel(void **state)
{
	struct fixture *f = *state;

	make_elf64(f);
	elf_segment(f, 0)->p_paddr = 34 * MIB - 0x2000;
	elf_header(f)->e_entry = 34 * MIB - 0x2000;
	loads(f);
	assert_int_equal(load_initramfs(f, 4097), 0);
	assert_int_equal(f->payload.initramfs, 34 * MIB - 0x4000);
	assert_int_equal(load_initramfs(f, 20 * MIB), -ENOSPC);
	assert_non_null(strstr(f->err.text, "more memory"));
}

static void a_file_is_read_into_memory(void **state)
{
	struct fixture *f = *state;
	struct payload_source source;
	int fd = memfd_create("payload", MFD_CLOEXEC);

	make_pvh(f);
	assert_int_equal(write(fd, f->image, f->size), f->size);
	assert_int_equal(payload_open_fd(&source, fd, NULL), 0);
	assert_int_equal(source.size, f->size);
	assert_int_equal(payload_load_kernel(&f->memory, &source, &f->payload, NULL), 0);
	assert_memory_equal(guest(f, LOAD_AT), f->image + CODE_AT, CODE_SIZE);
	payload_close(&source);
}

static void a_file_that_shrinks_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct payload_source source;
	int fd = memfd_create("payload", MFD_CLOEXEC);

	make_elf64(f);
	assert_int_equal(write(fd, f->image, f->size), f->size);
	assert_int_equal(payload_open_fd(&source, fd, NULL), 0);
	assert_int_equal(ftruncate(fd, f->size - 1), 0);
	assert_int_equal(payload_load_kernel(&f->memory, &source, &f->payload, &f->err), -EIO);
	assert_non_null(strstr(f->err.text, "shrank"));
	payload_close(&source);
}

static void refuses_file(const char *path, int code, const char *word)
{
	struct payload_source source;
	struct err err = { 0 };

	assert_int_equal(payload_open(&source, path, &err), -code);
	assert_ptr_equal(strstr(err.text, path), err.text);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" does not say \"%s\"", err.text, word);
	payload_close(&source);
}

static void only_regular_files_with_bytes_are_opened(void **state)
{
	char dir[] = "/tmp/adit-test-payload-XXXXXX", path[64];
	struct payload_source source;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	refuses_file(path, ENOENT, "No such file");
	refuses_file(dir, EINVAL, "not a regular file");
	assert_int_equal(mkfifo(path, 0600), 0);
	refuses_file(path, EINVAL, "not a regular file");
	unlink(path);

	FILE *file = fopen(path, "w");
	assert_non_null(file);
	refuses_file(path, ENOEXEC, "empty");
	assert_int_equal(ftruncate(fileno(file), PAYLOAD_MAX_BYTES + 1), 0);
	refuses_file(path, EFBIG, "4294967297");
	assert_int_equal(ftruncate(fileno(file), 1), 0);
	assert_int_equal(payload_open(&source, path, NULL), 0);
	assert_int_equal(source.size, 1);
	payload_close(&source);
	assert_int_equal(source.fd, -1);
	fclose(file);
	unlink(path);
	rmdir(dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(elf64_goes_to_its_physical_address),
		TEST(a_virtual_entry_is_converted),
		TEST(a_segment_goes_above_the_hole),
		TEST(the_pvh_note_decides_the_entry),
		TEST(notes_of_eight_byte_alignment_are_read),
		TEST(notes_of_others_are_not_pvh),
		TEST(elf32_runs_with_a_pvh_note_only),
		TEST(a_malformed_elf_header_is_refused),
		TEST(malformed_segments_are_refused),
		TEST(malformed_notes_are_refused),
		TEST(an_unknown_file_is_refused_by_name),
		TEST(bzimage_goes_where_it_prefers),
		TEST(bzimage_moves_where_its_place_is_taken),
		TEST(bzimage_without_a_64_bit_entry_is_refused),
		TEST(a_malformed_bzimage_is_refused),
		TEST(flat_goes_to_its_address),
		TEST(flat_in_a_wrong_place_is_refused),
		TEST(initramfs_goes_to_the_top_of_ram),
		TEST(initramfs_stays_below_the_kernels_limit),
		TEST(initramfs_does_not_overlap_the_kernel),
		TEST(a_file_is_read_into_memory),
		TEST(a_file_that_shrinks_is_an_error),
		cmocka_unit_test(only_regular_files_with_bytes_are_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
