/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux bzImage by its 64-bit entry (Documentation/arch/x86/boot.rst, "64-bit boot protocol"): the
 * real-mode part is skipped but for its header, the rest goes to the address the kernel prefers.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/payload-internal.h"

#define SECTOR	       512ULL
#define ENTRY64_OFFSET 0x200
#define VERSION_MIN    0x20c /* xloadflags came with 2.12 */
#define HEADER_AT      offsetof(struct boot_params, hdr)
/* init_size is the last field used here; every 2.12 header has it. */
#define HEADER_END_MIN (offsetof(struct boot_params, hdr.init_size) + sizeof(uint32_t))

_Static_assert(offsetof(struct boot_params, hdr.jump) == 0x200, "boot.rst");
_Static_assert(offsetof(struct boot_params, hdr.header) == 0x202, "boot.rst");
_Static_assert(offsetof(struct boot_params, hdr.xloadflags) == 0x236, "boot.rst");
_Static_assert(offsetof(struct boot_params, hdr.pref_address) == 0x258, "boot.rst");
_Static_assert(offsetof(struct boot_params, hdr.init_size) == 0x260, "boot.rst");

/* Copies the header as far as the file says it goes and we know its fields. */
static int read_header(const struct payload_source *source, struct setup_header *header,
		       struct err *err)
{
	const uint64_t known_end = HEADER_AT + sizeof(*header);
	uint64_t end;
	int ret;

	*header = (struct setup_header){ 0 };
	ret = payload_read(source, HEADER_AT, header, HEADER_END_MIN - HEADER_AT,
			   "the bzImage setup header", err);
	if (ret)
		return ret;
	/* The jump at 0x200 goes right behind the header: boot.rst, "Details of header fields". */
	end = offsetof(struct boot_params, hdr.header) + (header->jump >> 8);
	if (header->version >= VERSION_MIN && end < HEADER_END_MIN)
		return err_set(err, ENOEXEC,
			       "bzImage jump: the header ends at %#" PRIx64
			       ", protocol 2.12 needs at least %#zx",
			       end, HEADER_END_MIN);
	if (end <= HEADER_END_MIN)
		return 0;
	return payload_read(source, HEADER_END_MIN, (char *)header + (HEADER_END_MIN - HEADER_AT),
			    MIN(end, known_end) - HEADER_END_MIN, "the bzImage setup header", err);
}

static int check_header(const struct setup_header *header, struct err *err)
{
	if (header->boot_flag != 0xaa55)
		return err_set(err, ENOEXEC, "bzImage boot_flag is %#x, not 0xaa55",
			       header->boot_flag);
	if (header->version < VERSION_MIN)
		return err_set(
			err, ENOEXEC,
			"bzImage boot protocol %u.%02u is too old: 2.12 (Linux 3.8) or later is "
			"needed",
			header->version >> 8, header->version & 0xff);
	if (!(header->xloadflags & XLF_KERNEL_64))
		return err_set(
			err, ENOEXEC,
			"bzImage xloadflags %#x has no XLF_KERNEL_64: this is a 32-bit kernel, a "
			"64-bit one is needed",
			header->xloadflags);
	if (!(header->loadflags & LOADED_HIGH))
		return err_set(
			err, ENOEXEC,
			"bzImage loadflags %#x has no LOADED_HIGH: a zImage cannot be loaded",
			header->loadflags);
	if (header->relocatable_kernel &&
	    (!is_pow2(header->kernel_alignment) || header->kernel_alignment > GIB))
		return err_set(err, ENOEXEC,
			       "bzImage kernel_alignment %#x is not a power of two up to 1 GiB",
			       header->kernel_alignment);
	return 0;
}

/* Where the part behind the real-mode sectors lies in the file. */
static int find_code(const struct setup_header *header, uint64_t file_size, uint64_t *offset,
		     uint64_t *size, struct err *err)
{
	const uint64_t sects = header->setup_sects ? header->setup_sects : 4;
	const uint64_t claimed = header->syssize * 16ULL;
	uint64_t rest;

	*offset = (sects + 1) * SECTOR;
	if (*offset >= file_size)
		return err_set(err, ENOEXEC,
			       "truncated: bzImage setup_sects %" PRIu64
			       " puts the kernel at %#" PRIx64 ", the file has %#" PRIx64 " bytes",
			       sects, *offset, file_size);
	/* syssize counts paragraphs, the last may be partial; behind it may be a signature. */
	rest = file_size - *offset;
	if (!claimed || claimed - 16 >= rest)
		return err_set(err, ENOEXEC,
			       "truncated: bzImage syssize says %" PRIu64
			       " bytes of kernel, the file has %" PRIu64,
			       claimed, rest);
	*size = MIN(claimed, rest);
	if (*size <= ENTRY64_OFFSET)
		return err_set(err, ENOEXEC,
			       "bzImage syssize: %" PRIu64
			       " bytes of kernel end before the 64-bit entry at %#x",
			       *size, ENTRY64_OFFSET);
	if (header->init_size < *size)
		return err_set(err, ENOEXEC,
			       "bzImage init_size %" PRIu32 " is less than the kernel's %" PRIu64
			       " bytes",
			       header->init_size, *size);
	return 0;
}

/* The lowest multiple of align from `from` on with size bytes of RAM below LOW_RAM_END; or 0. */
static uint64_t place(const struct boot_memory *memory, uint64_t from, uint64_t align,
		      uint64_t size)
{
	for (unsigned int i = 0; i < memory->layout->n_ram; i++) {
		const struct layout_ram *ram = &memory->layout->ram[i];
		uint64_t end = ram->gpa + ram->size, at = MAX(ram->gpa, from);

		if (end > LOW_RAM_END)
			end = LOW_RAM_END;
		if (at >= end)
			continue;
		at = align_up(at, align);
		if (at < end && end - at >= size)
			return at;
	}
	return 0;
}

static int place_kernel(const struct boot_memory *memory, const struct setup_header *header,
			uint64_t *at, struct err *err)
{
	const uint64_t pref = MAX(header->pref_address, (__u64)HIGH_RAM_BASE);
	const uint64_t size = header->init_size;

	if (header->relocatable_kernel) {
		*at = place(memory, pref, header->kernel_alignment, size);
		if (!*at)
			*at = place(memory, HIGH_RAM_BASE, header->kernel_alignment, size);
	} else {
		*at = header->pref_address == pref && pref < LOW_RAM_END &&
				      size <= LOW_RAM_END - pref &&
				      boot_memory_at(memory, pref, size)
			      ? pref
			      : 0;
	}
	if (*at)
		return 0;
	return err_set(err, ENOSPC,
		       "bzImage init_size: the kernel needs %" PRIu64 " bytes of RAM at %s%#" PRIx64
		       ": give the guest more memory",
		       size, header->relocatable_kernel ? "or near " : "",
		       (uint64_t)header->pref_address);
}

int payload_load_bzimage(const struct boot_memory *memory, const struct payload_source *source,
			 struct payload *payload, struct err *err)
{
	struct setup_header header;
	uint64_t offset = 0, size = 0, at = 0;
	int ret;

	ret = read_header(source, &header, err);
	if (ret)
		return ret;
	ret = check_header(&header, err);
	if (ret)
		return ret;
	ret = find_code(&header, source->size, &offset, &size, err);
	if (ret)
		return ret;
	ret = place_kernel(memory, &header, &at, err);
	if (ret)
		return ret;
	ret = payload_read(source, offset, boot_memory_at(memory, at, size), size,
			   "the bzImage kernel", err);
	if (ret)
		return ret;
	*payload = (struct payload){ .kind = PAYLOAD_BZIMAGE,
				     .entry = at + ENTRY64_OFFSET,
				     .start = at,
				     .end = at + header.init_size,
				     .header = header };
	return 0;
}
