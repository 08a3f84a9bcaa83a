/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder of 64-byte stores over any bytes. Byte 0 chooses the mode and how the segments lie,
 * the rest are instruction bytes at the very end of the input, so that a read past them is seen.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "kvm-glue/insn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

static struct kvm_sregs some_sregs(uint8_t choice)
{
	struct kvm_segment segment = {
		.base = choice & 0x08 ? 0xfffffff000000000 : 0x1000,
		.limit = choice & 0x10 ? UINT32_MAX : 0xffff,
		.type = choice >> 4,
		.present = 1,
		.s = 1,
		.db = choice & 1,
	};

	return (struct kvm_sregs){
		.cs = segment,
		.ds = segment,
		.es = segment,
		.fs = segment,
		.gs = segment,
		.ss = segment,
		.cr0 = choice & 4 ? X86_CR0_PE : 0,
		.cr4 = choice & 0x20 ? X86_CR4_LA57 : 0,
	};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvm_regs regs = {
		.rax = 0x7fffffffff40,
		.rcx = 0xffff800000000000,
		.rsp = 0x7fffffffffff,
		.rsi = ~0ULL,
		.rip = 0xffffffff81000000,
	};
	struct insn_store64 insn, again;
	struct guest_fault fault = { 0 };
	uint64_t dest, source;
	struct kvm_sregs sregs;
	enum cpu_mode mode;
	unsigned int len;
	int ret;

	if (size < 1 || size > 4096)
		return 0;
	mode = (enum cpu_mode)(data[0] % 3);
	len = (unsigned int)size - 1;
	ret = insn_decode(data + 1, len, mode, &insn);
	if (ret) {
		require(ret == -ENOENT || ret == -EAGAIN || ret == -EINVAL || ret == -EILSEQ);
		require(ret != -EAGAIN || len < INSN_MAX_LEN);
		return 0;
	}
	require(insn.len >= 5 && insn.len <= INSN_MAX_LEN && insn.len <= len);
	require(insn.dest < 16 && insn.scale < 4);
	require(insn_decode(data + 1, insn.len, mode, &again) == 0 && again.len == insn.len);
	require(insn_decode(data + 1, insn.len - 1u, mode, &again) == -EAGAIN);

	sregs = some_sregs(data[0]);
	ret = insn_addresses(&insn, &regs, &sregs, &dest, &source, &fault);
	if (ret) {
		require(ret == -EFAULT);
		require(fault.vector == VECTOR_GP || fault.vector == VECTOR_SS);
		return 0;
	}
	require(dest % 64 == 0);
	if (mode == CPU_MODE_64)
		require(is_canonical(dest, canonical_bits(sregs.cr4)) &&
			is_canonical(source, canonical_bits(sregs.cr4)));
	else
		require(dest <= UINT32_MAX && source <= UINT32_MAX);
	return 0;
}
