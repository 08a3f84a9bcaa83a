/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF kernels: PVH ones, which say so in a note and start in 32-bit mode, and plain ELF64 ones,
 * which start in long mode. Segments go to their physical addresses.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/payload-internal.h"

#define SEGMENTS_MAX	  64u
#define NOTES_BYTES_MAX	  (64 * KIB)
#define NOTE_PHYS32_ENTRY 18 /* Xen public headers, elfnote.h: XEN_ELFNOTE_PHYS32_ENTRY */

/* A program header of either class. */
struct segment {
	uint32_t type;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

struct image {
	bool is64;
	uint64_t entry;
	unsigned int n;
	struct segment segments[SEGMENTS_MAX];
};

static struct segment segment_from64(const Elf64_Phdr *p)
{
	return (struct segment){ .type = p->p_type,
				 .offset = p->p_offset,
				 .vaddr = p->p_vaddr,
				 .paddr = p->p_paddr,
				 .filesz = p->p_filesz,
				 .memsz = p->p_memsz,
				 .align = p->p_align };
}

static struct segment segment_from32(const Elf32_Phdr *p)
{
	return (struct segment){ .type = p->p_type,
				 .offset = p->p_offset,
				 .vaddr = p->p_vaddr,
				 .paddr = p->p_paddr,
				 .filesz = p->p_filesz,
				 .memsz = p->p_memsz,
				 .align = p->p_align };
}

static int check_ident(const unsigned char *ident, uint16_t type, uint16_t machine, struct err *err)
{
	if (ident[EI_DATA] != ELFDATA2LSB || ident[EI_VERSION] != EV_CURRENT)
		return err_set(err, ENOEXEC,
			       "ELF e_ident: data encoding %u and version %u, not little-endian "
			       "version 1",
			       ident[EI_DATA], ident[EI_VERSION]);
	if (type != ET_EXEC && type != ET_DYN)
		return err_set(err, ENOEXEC, "ELF e_type %u is neither EXEC (2) nor DYN (3)", type);
	if (machine != EM_X86_64 && !(machine == EM_386 && ident[EI_CLASS] == ELFCLASS32))
		return err_set(err, ENOEXEC, "ELF e_machine %u is not x86", machine);
	return 0;
}

/* What the headers of both classes say of the table. */
struct table {
	uint64_t offset;
	unsigned int num, size, want; /* want: bytes of an entry */
};

static int read_table(const struct payload_source *source, const struct table *table, void *out,
		      struct err *err)
{
	if (table->size != table->want)
		return err_set(err, ENOEXEC, "ELF e_phentsize is %u, not %u", table->size,
			       table->want);
	if (!table->num || table->num > SEGMENTS_MAX)
		return err_set(err, ENOEXEC, "ELF e_phnum is %u, not from 1 to %u", table->num,
			       SEGMENTS_MAX);
	return payload_read(source, table->offset, out, (size_t)table->num * table->size,
			    "the ELF program header table (e_phoff)", err);
}

static int read_image64(const struct payload_source *source, struct image *image, struct err *err)
{
	Elf64_Ehdr header;
	Elf64_Phdr entries[SEGMENTS_MAX];
	int ret;

	ret = payload_read(source, 0, &header, sizeof(header), "the ELF header", err);
	if (!ret)
		ret = check_ident(header.e_ident, header.e_type, header.e_machine, err);
	if (!ret)
		ret = read_table(source,
				 &(struct table){ header.e_phoff, header.e_phnum,
						  header.e_phentsize, sizeof(entries[0]) },
				 entries, err);
	if (ret)
		return ret;
	*image = (struct image){ .is64 = true, .entry = header.e_entry, .n = header.e_phnum };
	for (unsigned int i = 0; i < image->n; i++)
		image->segments[i] = segment_from64(&entries[i]);
	return 0;
}

static int read_image32(const struct payload_source *source, struct image *image, struct err *err)
{
	Elf32_Ehdr header;
	Elf32_Phdr entries[SEGMENTS_MAX];
	int ret;

	ret = payload_read(source, 0, &header, sizeof(header), "the ELF header", err);
	if (!ret)
		ret = check_ident(header.e_ident, header.e_type, header.e_machine, err);
	if (!ret)
		ret = read_table(source,
				 &(struct table){ header.e_phoff, header.e_phnum,
						  header.e_phentsize, sizeof(entries[0]) },
				 entries, err);
	if (ret)
		return ret;
	*image = (struct image){ .entry = header.e_entry, .n = header.e_phnum };
	for (unsigned int i = 0; i < image->n; i++)
		image->segments[i] = segment_from32(&entries[i]);
	return 0;
}

static int read_image(const struct payload_source *source, struct image *image, struct err *err)
{
	unsigned char ident[EI_NIDENT];
	int ret;

	ret = payload_read(source, 0, ident, sizeof(ident), "ELF e_ident", err);
	if (ret)
		return ret;
	if (ident[EI_CLASS] == ELFCLASS64)
		return read_image64(source, image, err);
	if (ident[EI_CLASS] == ELFCLASS32)
		return read_image32(source, image, err);
	return err_set(err, ENOEXEC, "ELF e_ident: class %u is neither 32-bit (1) nor 64-bit (2)",
		       ident[EI_CLASS]);
}

static bool is_loaded(const struct segment *segment)
{
	return segment->type == PT_LOAD && segment->memsz;
}

static int check_segment(const struct boot_memory *memory, const struct payload_source *source,
			 const struct segment *segment, unsigned int i, struct err *err)
{
	if (segment->filesz > segment->memsz)
		return err_set(err, ENOEXEC,
			       "ELF segment %u: p_filesz %#" PRIx64
			       " is more than p_memsz %#" PRIx64,
			       i, segment->filesz, segment->memsz);
	if (segment->memsz > PAYLOAD_MAX_BYTES)
		return err_set(err, ENOEXEC,
			       "ELF segment %u: p_memsz %#" PRIx64 " is more than %#llx", i,
			       segment->memsz, PAYLOAD_MAX_BYTES);
	if (!range_inside(segment->offset, segment->filesz, 0, source->size))
		return err_set(err, ENOEXEC,
			       "truncated: ELF segment %u has p_filesz %#" PRIx64
			       " at p_offset %#" PRIx64 ", the file has %#" PRIx64 " bytes",
			       i, segment->filesz, segment->offset, source->size);
	if (segment->paddr < HIGH_RAM_BASE)
		return err_set(err, ENOSPC,
			       "ELF segment %u: p_paddr %#" PRIx64 " is below %#x, where boot "
			       "structures are",
			       i, segment->paddr, HIGH_RAM_BASE);
	if (!boot_memory_at(memory, segment->paddr, segment->memsz))
		return err_set(err, ENOSPC,
			       "ELF segment %u: p_paddr %#" PRIx64 " with p_memsz %#" PRIx64
			       " is outside RAM",
			       i, segment->paddr, segment->memsz);
	return 0;
}

static int check_overlap(const struct image *image, unsigned int i, struct err *err)
{
	const struct segment *a = &image->segments[i];

	for (unsigned int j = 0; j < i; j++) {
		const struct segment *b = &image->segments[j];

		if (is_loaded(b) && range_overlaps(a->paddr, a->memsz, b->paddr, b->memsz))
			return err_set(err, ENOEXEC,
				       "ELF segments %u and %u overlap at p_paddr %#" PRIx64, j, i,
				       MAX(a->paddr, b->paddr));
	}
	return 0;
}

/* All segments before any is loaded; leaves the range they take in *payload. */
static int check_segments(const struct boot_memory *memory, const struct payload_source *source,
			  const struct image *image, struct payload *payload, struct err *err)
{
	int ret;

	payload->start = UINT64_MAX;
	payload->end = 0;
	for (unsigned int i = 0; i < image->n; i++) {
		const struct segment *segment = &image->segments[i];

		if (!is_loaded(segment))
			continue;
		ret = check_segment(memory, source, segment, i, err);
		if (ret)
			return ret;
		ret = check_overlap(image, i, err);
		if (ret)
			return ret;
		payload->start = MIN(payload->start, segment->paddr);
		payload->end = MAX(payload->end, segment->paddr + segment->memsz);
	}
	if (!payload->end)
		return err_set(err, ENOEXEC, "ELF file without a PT_LOAD segment");
	return 0;
}

/* Looks through the notes at bytes for the PVH entry. 1: found, 0: not there, or -errno. */
static int scan_notes(const uint8_t *bytes, uint64_t size, uint64_t align, unsigned int i,
		      uint64_t *entry, struct err *err)
{
	uint64_t at = 0;

	while (size - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		uint64_t name, desc;

		memcpy(&note, bytes + at, sizeof(note));
		name = at + sizeof(note);
		desc = align_up(name + note.n_namesz, align);
		if (!range_inside(desc, note.n_descsz, 0, size))
			return err_set(err, ENOEXEC,
				       "ELF segment %u: the note at %#" PRIx64
				       " (n_namesz %u, n_descsz "
				       "%u) leaves its segment of %#" PRIx64 " bytes",
				       i, at, note.n_namesz, note.n_descsz, size);
		if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == 4 &&
		    !memcmp(bytes + name, "Xen", 4)) {
			if (note.n_descsz != 4 && note.n_descsz != 8)
				return err_set(err, ENOEXEC,
					       "ELF note PHYS32_ENTRY: n_descsz is %u, not 4 or 8",
					       note.n_descsz);
			*entry = load_le(bytes + desc, note.n_descsz);
			return 1;
		}
		at = MIN(align_up(desc + note.n_descsz, align), size);
	}
	return 0;
}

static int find_pvh_entry(const struct payload_source *source, const struct image *image,
			  uint64_t *entry, struct err *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < image->n && !ret; i++) {
		const struct segment *segment = &image->segments[i];
		uint8_t *bytes;

		if (segment->type != PT_NOTE || !segment->filesz)
			continue;
		if (segment->filesz > NOTES_BYTES_MAX)
			return err_set(err, ENOEXEC,
				       "ELF segment %u: p_filesz %#" PRIx64
				       " of notes is more than %#llx",
				       i, segment->filesz, NOTES_BYTES_MAX);
		bytes = malloc(segment->filesz);
		if (!bytes)
			return err_set(err, ENOMEM, "no memory for %" PRIu64 " bytes of ELF notes",
				       segment->filesz);
		ret = payload_read(source, segment->offset, bytes, segment->filesz,
				   "the ELF PT_NOTE segment", err);
		if (!ret)
			ret = scan_notes(bytes, segment->filesz, segment->align == 8 ? 8 : 4, i,
					 entry, err);
		free(bytes);
	}
	return ret;
}

/* Where file bytes of a loaded segment are at addr: their physical address, else UINT64_MAX. */
static uint64_t loaded_at(const struct image *image, uint64_t addr, bool is_virtual)
{
	for (unsigned int i = 0; i < image->n; i++) {
		const struct segment *segment = &image->segments[i];
		uint64_t base = is_virtual ? segment->vaddr : segment->paddr;

		if (is_loaded(segment) && addr - base < segment->filesz)
			return segment->paddr + (addr - base);
	}
	return UINT64_MAX;
}

static int choose_entry(const struct payload_source *source, const struct image *image,
			struct payload *payload, struct err *err)
{
	uint64_t entry = 0;
	int ret = find_pvh_entry(source, image, &entry, err);

	if (ret < 0)
		return ret;
	payload->kind = ret ? PAYLOAD_PVH : PAYLOAD_ELF64;
	if (!ret && !image->is64)
		return err_set(err, ENOEXEC,
			       "32-bit ELF file without a PVH entry (Xen note 18, PHYS32_ENTRY): a "
			       "kernel with CONFIG_PVH or a 64-bit one is needed");
	if (!ret)
		entry = image->entry;
	payload->entry = loaded_at(image, entry, false);
	if (!ret && payload->entry == UINT64_MAX)
		payload->entry = loaded_at(image, entry, true);
	if (payload->entry == UINT64_MAX)
		return err_set(err, ENOEXEC, "ELF %s %#" PRIx64 " is outside the loaded segments",
			       ret ? "note PHYS32_ENTRY" : "e_entry", entry);
	if (payload->entry >= BOOT_MAPPED_END)
		return err_set(err, ENOSPC,
			       "ELF entry at %#" PRIx64
			       " is above the 4 GiB that are mapped at boot",
			       payload->entry);
	return 0;
}

static int load_segment(const struct boot_memory *memory, const struct payload_source *source,
			const struct segment *segment, struct err *err)
{
	uint8_t *to = boot_memory_at(memory, segment->paddr, segment->memsz);
	int ret = payload_read(source, segment->offset, to, segment->filesz, "an ELF segment", err);

	if (ret)
		return ret;
	memset(to + segment->filesz, 0, segment->memsz - segment->filesz);
	return 0;
}

int payload_load_elf(const struct boot_memory *memory, const struct payload_source *source,
		     struct payload *payload, struct err *err)
{
	struct image image = { 0 };
	struct payload found = { 0 };
	int ret;

	ret = read_image(source, &image, err);
	if (ret)
		return ret;
	ret = check_segments(memory, source, &image, &found, err);
	if (ret)
		return ret;
	ret = choose_entry(source, &image, &found, err);
	if (ret)
		return ret;
	for (unsigned int i = 0; i < image.n; i++) {
		if (!is_loaded(&image.segments[i]))
			continue;
		ret = load_segment(memory, source, &image.segments[i], err);
		if (ret)
			return ret;
	}
	*payload = found;
	return 0;
}
