/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look into VT-d's own tables from L1, where no debugfs tells them (Debian's kernels have no
 * CONFIG_IOMMU_DEBUGFS): the root table's address from the IOMMU's registers through /dev/mem
 * (kernel word iomem=relaxed), the tables from RAM through /proc/kcore.
 *
 * Source: Intel Virtualization Technology for Directed I/O 4.1, sections 9.1 (root entry), 9.4
 * (scalable-mode context entry), 9.5 and 9.6 (PASID directory and table entries), 11.4.5 (RTADDR).
 */
#ifndef ADIT_TESTS_RIG_VTD_H
#define ADIT_TESTS_RIG_VTD_H

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define VTD_PAGE	  4096u
#define VTD_RTADDR	  0x20u
#define VTD_ADDRESS	  (~(uint64_t)(VTD_PAGE - 1))
#define VTD_PRESENT	  1u
#define VTD_CONTEXT_BYTES 32u
#define VTD_PASID_BYTES	  64u
#define VTD_DIR_SHIFT	  6u /* PASIDs of one directory entry: 64 */

/* 8 bytes of physical memory; 0 where they cannot be read, which no present entry is. */
static uint64_t vtd_memory(uint64_t address)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	uint64_t value = 0;
	Elf64_Phdr segment;
	Elf64_Ehdr header;
	bool ok = fd >= 0 && pread(fd, &header, sizeof(header), 0) == sizeof(header);

	for (unsigned int i = 0; ok && i < header.e_phnum; i++) {
		off_t at = (off_t)(header.e_phoff + i * sizeof(segment));

		ok = pread(fd, &segment, sizeof(segment), at) == sizeof(segment);
		if (!ok || segment.p_type != PT_LOAD || segment.p_paddr > address ||
		    address - segment.p_paddr >= segment.p_memsz)
			continue;
		at = (off_t)(segment.p_offset + (address - segment.p_paddr));
		if (pread(fd, &value, sizeof(value), at) != sizeof(value))
			value = 0;
		break;
	}
	if (fd >= 0)
		close(fd);
	return value;
}

static uint64_t vtd_root_table(void)
{
	FILE *file = fopen("/sys/class/iommu/dmar0/intel-iommu/address", "re");
	unsigned long long base = 0;
	uint64_t root = 0;
	void *page;
	int fd;

	if (!file)
		return 0;
	if (fscanf(file, "%llx", &base) != 1)
		base = 0;
	fclose(file);
	fd = open("/dev/mem", O_RDONLY | O_SYNC | O_CLOEXEC);
	if (fd < 0 || !base)
		return 0;
	page = mmap(NULL, VTD_PAGE, PROT_READ, MAP_SHARED, fd, (off_t)base);
	close(fd);
	if (page == MAP_FAILED)
		return 0;
	root = *(volatile uint64_t *)((char *)page + VTD_RTADDR);
	munmap(page, VTD_PAGE);
	return root & VTD_ADDRESS;
}

/* The first 8 bytes of the PASID table entry; 0: there is no table that could hold it. */
static uint64_t vtd_pasid_entry(unsigned int bus, unsigned int devfn, uint32_t pasid)
{
	uint64_t root = vtd_root_table(), context, directory, table;

	if (!root)
		return 0;
	context = vtd_memory(root + 16u * bus + (devfn >= 128 ? 8 : 0));
	if (!(context & VTD_PRESENT))
		return 0;
	context = (context & VTD_ADDRESS) + (devfn % 128) * VTD_CONTEXT_BYTES;
	directory = vtd_memory(context);
	if (!(directory & VTD_PRESENT))
		return 0;
	table = vtd_memory((directory & VTD_ADDRESS) + (pasid >> VTD_DIR_SHIFT) * 8);
	if (!(table & VTD_PRESENT))
		return 0;
	return vtd_memory((table & VTD_ADDRESS) +
			  (pasid & ((1u << VTD_DIR_SHIFT) - 1)) * VTD_PASID_BYTES);
}

#endif
