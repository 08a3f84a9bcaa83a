/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes to the monitor's identity map: device windows above 4 GiB, and single 4 KiB pages with
 * other rights. CPL3 writes the tables (they are mapped for it), CPL0 only invalidates.
 */
#include "kit.h"

#define TABLE_FLAGS (PAGE_PRESENT | PAGE_WRITE | PAGE_USER)
#define ADDRESS	    0x000ffffffffff000UL
#define REACH	    (1UL << 47) /* of four levels, below the hole of addresses that are none */
#define POOL_TABLES 16

static uint64_t pool[POOL_TABLES][512] __attribute__((aligned(4096)));
static unsigned int pool_used;

static uint64_t *new_table(void)
{
	return pool_used < POOL_TABLES ? pool[pool_used++] : NULL;
}

/* The table below `entry`, made where there is none. NULL: the pool is empty. */
static uint64_t *descend(uint64_t *entry)
{
	uint64_t *table;

	if (*entry & PAGE_PRESENT)
		return (uint64_t *)(*entry & ADDRESS);
	table = new_table();
	if (table)
		*entry = (uint64_t)table | TABLE_FLAGS;
	return table;
}

/* The page directory entry of an address. */
static uint64_t *find_pde(uint64_t address)
{
	uint64_t *table = (uint64_t *)(read_cr(3) & ADDRESS);

	for (unsigned int shift = 39; shift > 21 && table; shift -= 9)
		table = descend(&table[address >> shift & 511]);
	return table ? &table[address >> 21 & 511] : NULL;
}

bool map_device(uint64_t address, uint64_t size)
{
	uint64_t end = address + size;

	/* What a function says that vanishes while it is asked is no address. */
	if (size > REACH || address > REACH - size)
		return false;
	for (address &= -(2 * MIB); address < end; address += 2 * MIB) {
		uint64_t *pde = find_pde(address);

		if (!pde)
			return false;
		if (!(*pde & PAGE_PRESENT))
			*pde = address | TABLE_FLAGS | PAGE_UNCACHED | PAGE_LARGE;
	}
	settle();
	return true;
}

bool page_set(uint64_t address, uint64_t flags)
{
	uint64_t *pde = find_pde(address), *table;
	uint64_t first = address & -(2 * MIB);

	if (!pde)
		return false;
	if (*pde & PAGE_LARGE) {
		table = new_table();
		if (!table)
			return false;
		for (uint64_t i = 0; i < 512; i++)
			table[i] = (first + i * 4096) | TABLE_FLAGS;
		*pde = (uint64_t)table | TABLE_FLAGS;
		invlpg(address);
	}
	table = (uint64_t *)(*pde & ADDRESS);
	table[address >> 12 & 511] = (address & ADDRESS) | flags;
	invlpg(address);
	return true;
}
