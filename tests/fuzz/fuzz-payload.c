/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload images. The first byte chooses what to do with the rest (kernel, flat, kernel with an
 * initramfs); whatever loads must lie where the headers promise, and boot must prepare it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vmm/boot.h"
#include "vmm/payload.h"

#define RAM_LOW	 (3 * MIB) /* small, so that edges are near */
#define RAM_HIGH (128 * KIB)
#define HIGH_AT	 (6 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int truth)
{
	if (!truth)
		abort();
}

static void check(const struct boot_memory *memory, const struct payload *payload)
{
	require(payload->start < payload->end && payload->end <= HIGH_AT + RAM_HIGH);
	require(payload->entry >= payload->start && payload->entry < payload->end);
	require(boot_memory_at(memory, payload->entry, 1) != NULL);
	require(payload->start >= (payload->kind == PAYLOAD_RAW ? 0x20000 : HIGH_RAM_BASE));
}

static void boot(const struct boot_memory *memory, struct payload *payload, const uint8_t *data,
		 size_t size)
{
	struct payload_source initramfs;
	struct boot_state state;
	struct kvm_sregs sregs = { 0 };
	struct kvm_regs regs;
	struct err err;

	check(memory, payload);
	payload_from_memory(&initramfs, data, size);
	if (!payload_load_initramfs(memory, &initramfs, payload, &err)) {
		require(payload->initramfs_size == size);
		require(boot_memory_at(memory, payload->initramfs, size) != NULL);
		require(!range_overlaps(payload->initramfs, size, payload->start,
					payload->end - payload->start));
	}
	if (boot_prepare(memory, payload, "quiet", 0, &state, &err))
		return;
	boot_registers(&state, &regs, &sregs);
	require(regs.rip == payload->entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct layout layout = {
		.n_ram = 2,
		.ram = { { .gpa = 0, .size = RAM_LOW },
			 { .gpa = HIGH_AT, .size = RAM_HIGH, .offset = RAM_LOW } }
	};
	struct boot_memory memory = { .layout = &layout };
	struct payload_source source;
	struct payload payload;
	struct err err;
	int ret;

	if (!size)
		return 0;
	/* Mapped, not allocated: a sanitizer would shadow all of it. A guard page ends it. */
	memory.base = mmap(NULL, RAM_LOW + RAM_HIGH + 4096, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	require(memory.base != MAP_FAILED);
	require(!mprotect((char *)memory.base + RAM_LOW + RAM_HIGH, 4096, PROT_NONE));
	payload_from_memory(&source, data + 1, size - 1);
	if (data[0] == 'F')
		ret = payload_load_flat(&memory, &source, size > 2 ? data[1] << 12 : 0, &payload,
					&err);
	else
		ret = payload_load_kernel(&memory, &source, &payload, &err);
	if (!ret)
		boot(&memory, &payload, data, size);
	munmap(memory.base, RAM_LOW + RAM_HIGH + 4096);
	return 0;
}
