/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both capability lists, in the order in which capabilities were added, and the PCI Express
 * capability that every function of the root bus wants.
 *
 * Source: PCI Express Base 6.0 sections 7.5.1.1.11, 7.6 (lists), 7.5.3 (PCI Express capability).
 */
#include <errno.h>
#include <linux/pci_regs.h>

#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define CAP_HEADER	2u
#define EXT_CAP_HEADER	4u
#define EXPRESS_SIZE	0x3cu
#define EXPRESS_VERSION 2u
#define READRQ_512	0x2000u /* the default of section 7.5.3.4 */

/* Appends the capability at `at` to the list. */
static void link_capability(struct pci_function *function, uint8_t id, uint32_t at,
			    unsigned int len)
{
	uint8_t *config = function->config;

	config[at + PCI_CAP_LIST_ID] = id;
	config[at + PCI_CAP_LIST_NEXT] = 0;
	if (function->last_cap)
		config[function->last_cap + PCI_CAP_LIST_NEXT] = (uint8_t)at;
	else
		config[PCI_CAPABILITY_LIST] = (uint8_t)at;
	config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	function->last_cap = at;
	function->cap_end = MAX(function->cap_end, (uint32_t)align_up(at + len, 4));
}

static void link_ext_capability(struct pci_function *function, uint16_t id, uint8_t version,
				uint32_t at, unsigned int len)
{
	uint8_t *config = function->config;

	store_le(config + at, (uint32_t)id | (uint32_t)version << 16, 4);
	if (function->last_ext_cap) {
		uint8_t *last = config + function->last_ext_cap;

		store_le(last, load_le(last, 4) | at << 20, 4);
	}
	function->last_ext_cap = at;
	function->ext_cap_end = MAX(function->ext_cap_end, (uint32_t)align_up(at + len, 4));
}

/* *end moves past a new dword-aligned place of len bytes below `limit`. */
static int take_space(const struct pci_function *function, const char *what, unsigned int id,
		      unsigned int len, unsigned int header, uint32_t *end, uint32_t limit,
		      struct err *err)
{
	int ret = pci_function_check_unplugged(function, err);

	if (ret)
		return ret;
	if (len < header)
		return err_set(err, EINVAL,
			       "%s: %s 0x%x of %u bytes is shorter than its header (%u)",
			       function->name, what, id, len, header);
	if (len > limit - *end)
		return err_set(err, ENOSPC,
			       "%s: %s 0x%x needs %u bytes and %u are left in configuration space",
			       function->name, what, id, len, limit - *end);
	*end = (uint32_t)align_up(*end + len, 4);
	return 0;
}

int pci_function_capability(struct pci_function *function, uint8_t id, unsigned int len,
			    uint32_t *offset, struct err *err)
{
	uint32_t at = function->cap_end;
	int ret = take_space(function, "capability", id, len, CAP_HEADER, &function->cap_end,
			     PCI_CFG_SPACE_SIZE, err);

	if (ret)
		return ret;
	link_capability(function, id, at, len);
	*offset = at;
	return 0;
}

static int check_at(struct pci_function *function, const char *what, uint32_t offset,
		    unsigned int len, uint32_t first, uint32_t end, struct err *err)
{
	int ret = pci_function_check_unplugged(function, err);

	if (ret)
		return ret;
	if (is_aligned(offset, 4) && len && range_inside(offset, len, first, end - first))
		return 0;
	return err_set(err, EINVAL,
		       "%s: %s at 0x%x, %u bytes: it must be dword aligned from 0x%x to 0x%x",
		       function->name, what, offset, len, first, end);
}

int pci_function_capability_at(struct pci_function *function, uint8_t id, uint32_t offset,
			       unsigned int len, struct err *err)
{
	uint64_t dwords;
	int ret = check_at(function, "capability", offset, MAX(len, CAP_HEADER),
			   PCI_STD_HEADER_SIZEOF, PCI_CFG_SPACE_SIZE, err);

	if (ret)
		return ret;
	dwords = (mask_bytes(8) >> (64 - (MAX(len, CAP_HEADER) + 3) / 4)) << offset / 4;
	if (function->cap_used & dwords)
		return err_set(err, EEXIST, "%s: capability 0x%x at 0x%x lies on another",
			       function->name, id, offset);
	function->cap_used |= dwords;
	link_capability(function, id, offset, len);
	return 0;
}

int pci_function_ext_capability_at(struct pci_function *function, uint16_t id, uint8_t version,
				   uint32_t offset, unsigned int len, struct err *err)
{
	int ret = check_at(function, "extended capability", offset, MAX(len, EXT_CAP_HEADER),
			   PCI_CFG_SPACE_SIZE, PCI_CONFIG_SIZE, err);

	if (ret)
		return ret;
	/* Section 7.6.3: the list starts at 0x100, be it with a header of id 0 that leads on. */
	if (!function->last_ext_cap && offset != PCI_CFG_SPACE_SIZE)
		link_ext_capability(function, 0, 0, PCI_CFG_SPACE_SIZE, EXT_CAP_HEADER);
	link_ext_capability(function, id, version, offset, len);
	return 0;
}

int pci_function_ext_capability(struct pci_function *function, uint16_t id, uint8_t version,
				unsigned int len, uint32_t *offset, struct err *err)
{
	uint32_t at = function->ext_cap_end;
	int ret;

	if (!id || version > 0xf)
		return err_set(err, EINVAL,
			       "%s: extended capability 0x%x version %u: the id is not 0 and the "
			       "version at most 15",
			       function->name, id, version);
	ret = take_space(function, "extended capability", id, len, EXT_CAP_HEADER,
			 &function->ext_cap_end, PCI_CONFIG_SIZE, err);
	if (ret)
		return ret;
	link_ext_capability(function, id, version, at, len);
	*offset = at;
	return 0;
}

void pci_function_express_at(struct pci_function *function, uint32_t offset)
{
	function->express = offset;
}

/*
 * No link, slot or root registers: section 7.5.3 makes them reserved for this type. Relaxed
 * ordering, no-snoop and payload size are hard-wired to what the function does: nothing of it.
 */
int pci_function_express(struct pci_function *function, struct err *err)
{
	uint8_t *config = function->config;
	uint32_t at;
	int ret;

	if (function->express)
		return err_set(err, EEXIST, "%s has a PCI Express capability already",
			       function->name);
	ret = pci_function_capability(function, PCI_CAP_ID_EXP, EXPRESS_SIZE, &at, err);
	if (ret)
		return ret;
	store_le(config + at + PCI_EXP_FLAGS, EXPRESS_VERSION | PCI_EXP_TYPE_RC_END << 4, 2);
	store_le(config + at + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR, 4);
	store_le(config + at + PCI_EXP_DEVCTL, READRQ_512, 2);
	store_le(function->writable + at + PCI_EXP_DEVCTL,
		 PCI_EXP_DEVCTL_READRQ | PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE |
			 PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE,
		 2);
	function->express = at;
	return 0;
}

bool pci_express_starts_flr(const struct pci_function *function, uint32_t offset, uint64_t value,
			    unsigned int size)
{
	uint32_t byte = function->express + PCI_EXP_DEVCTL + 1;

	if (!function->express || byte < offset || byte - offset >= size)
		return false;
	return value >> (8 * (byte - offset)) & (PCI_EXP_DEVCTL_BCR_FLR >> 8);
}
