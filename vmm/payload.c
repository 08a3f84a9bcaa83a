/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload files: opening and reading them, telling the kernel formats apart, and the two loads that
 * need no format at all, flat binaries and the initramfs.
 */
#include "vmm/payload.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/payload-internal.h"

#define PAGE_BYTES 4096ULL

int payload_open_fd(struct payload_source *source, int fd, struct err *err)
{
	struct stat st;

	*source = (struct payload_source){ .fd = -1 };
	if (fstat(fd, &st))
		return err_set(err, errno, "fstat: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "not a regular file");
	if (st.st_size <= 0)
		return err_set(err, ENOEXEC, "the file is empty");
	if ((uint64_t)st.st_size > PAYLOAD_MAX_BYTES)
		return err_set(err, EFBIG, "the file has %jd bytes: at most %llu are taken",
			       (intmax_t)st.st_size, PAYLOAD_MAX_BYTES);
	source->fd = fd;
	source->size = st.st_size;
	return 0;
}

int payload_open(struct payload_source *source, const char *path, struct err *err)
{
	int fd, ret;

	*source = (struct payload_source){ .fd = -1 };
	/* O_NONBLOCK: a FIFO without a writer must be refused, not waited for. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, errno, "%s: %s", path, strerror(errno));
	ret = payload_open_fd(source, fd, err);
	if (ret) {
		err_prefix(err, "%s", path);
		close(fd);
	}
	return ret;
}

int payload_open_given(struct payload_source *source, const char *path, uint32_t fd,
		       struct err *err)
{
	int own, ret;

	if (path)
		return payload_open(source, path, err);
	*source = (struct payload_source){ .fd = -1 };
	own = fcntl((int)fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0)
		return err_set(err, errno, "descriptor %u: %s", fd, strerror(errno));
	ret = payload_open_fd(source, own, err);
	if (ret) {
		err_prefix(err, "descriptor %u", fd);
		close(own);
	}
	return ret;
}

void payload_from_memory(struct payload_source *source, const void *bytes, size_t size)
{
	*source = (struct payload_source){ .bytes = bytes, .fd = -1, .size = size };
}

void payload_close(struct payload_source *source)
{
	if (source->fd >= 0)
		close(source->fd);
	*source = (struct payload_source){ .fd = -1 };
}

int payload_read(const struct payload_source *source, uint64_t offset, void *to, uint64_t len,
		 const char *what, struct err *err)
{
	uint64_t done = 0;

	if (!range_inside(offset, len, 0, source->size))
		return err_set(err, ENOEXEC,
			       "truncated: %s is %" PRIu64 " bytes at %" PRIu64
			       ", the file has %" PRIu64,
			       what, len, offset, source->size);
	if (source->bytes) {
		memcpy(to, (const char *)source->bytes + offset, len);
		return 0;
	}
	while (done < len) {
		ssize_t n =
			pread(source->fd, (char *)to + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, errno, "reading %s: %s", what, strerror(errno));
		if (n == 0)
			return err_set(err, EIO, "the file shrank while %s was read", what);
		done += n;
	}
	return 0;
}

int payload_load_kernel(const struct boot_memory *memory, const struct payload_source *source,
			struct payload *payload, struct err *err)
{
	uint8_t start[offsetof(struct boot_params, hdr.version)] = { 0 };
	int ret;

	*payload = (struct payload){ 0 };
	ret = payload_read(source, 0, start, MIN(sizeof(start), source->size), "the header", err);
	if (ret)
		return ret;
	if (!memcmp(start, ELFMAG, SELFMAG))
		return payload_load_elf(memory, source, payload, err);
	if (!memcmp(start + offsetof(struct boot_params, hdr.header), "HdrS", 4))
		return payload_load_bzimage(memory, source, payload, err);
	return err_set(err, ENOEXEC,
		       "neither an ELF file nor a bzImage (no \"\\x7f"
		       "ELF\" at 0, no \"HdrS\" at "
		       "0x202): a raw binary is loaded as a flat payload with an address");
}

int payload_load_flat(const struct boot_memory *memory, const struct payload_source *source,
		      uint64_t address, struct payload *payload, struct err *err)
{
	const uint64_t low_end = BOOT_CMDLINE + BOOT_CMDLINE_MAX, size = source->size;
	void *to;
	int ret;

	*payload = (struct payload){ 0 };
	if (!is_aligned(address, PAGE_BYTES))
		return err_set(err, EINVAL,
			       "flat payload address %#" PRIx64 " is not a multiple of 4096",
			       address);
	to = size ? boot_memory_at(memory, address, size) : NULL;
	if (!to || address >= BOOT_MAPPED_END)
		return err_set(err, ENOSPC,
			       "flat payload of %" PRIu64 " bytes at %#" PRIx64
			       " is not inside RAM below 4 GiB",
			       size, address);
	if (address < low_end ||
	    range_overlaps(address, size, BOOT_RAM_END, HIGH_RAM_BASE - BOOT_RAM_END))
		return err_set(err, ENOSPC,
			       "flat payload of %" PRIu64 " bytes at %#" PRIx64 " lies over boot "
			       "structures: free are %#" PRIx64 "-%#x and what follows %#x",
			       size, address, low_end, BOOT_RAM_END - 1, HIGH_RAM_BASE);
	ret = payload_read(source, 0, to, size, "the flat payload", err);
	if (ret)
		return ret;
	*payload = (struct payload){
		.kind = PAYLOAD_RAW, .entry = address, .start = address, .end = address + size
	};
	return 0;
}

/* The highest page in [HIGH_RAM_BASE, limit) where size bytes are RAM and not the payload; or 0. */
static uint64_t place_initramfs(const struct boot_memory *memory, const struct payload *payload,
				uint64_t limit, uint64_t size)
{
	const uint64_t used = payload->end - payload->start;

	for (unsigned int i = memory->layout->n_ram; i-- > 0;) {
		const struct layout_ram *ram = &memory->layout->ram[i];
		uint64_t bottom = MAX(ram->gpa, (uint64_t)HIGH_RAM_BASE);
		uint64_t top = MIN(ram->gpa + ram->size, limit);

		while (top > bottom && top - bottom >= size) {
			uint64_t at = align_down(top - size, PAGE_BYTES);

			if (at < bottom)
				break;
			if (!range_overlaps(at, size, payload->start, used))
				return at;
			top = payload->start;
		}
	}
	return 0;
}

int payload_load_initramfs(const struct boot_memory *memory, const struct payload_source *source,
			   struct payload *payload, struct err *err)
{
	uint64_t limit = LOW_RAM_END, at;
	int ret;

	if (payload->kind == PAYLOAD_BZIMAGE)
		limit = MIN(limit, (uint64_t)payload->header.initrd_addr_max + 1);
	at = source->size ? place_initramfs(memory, payload, limit, source->size) : 0;
	if (!at)
		return err_set(err, ENOSPC,
			       "initramfs of %" PRIu64
			       " bytes does not fit into RAM below %#" PRIx64
			       " beside the kernel at %#" PRIx64 "-%#" PRIx64
			       ": give the guest more memory",
			       source->size, limit, payload->start, payload->end - 1);
	ret = payload_read(source, 0, boot_memory_at(memory, at, source->size), source->size,
			   "the initramfs", err);
	if (ret)
		return ret;
	payload->initramfs = at;
	payload->initramfs_size = source->size;
	return 0;
}
