/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration space of an assigned function: what the guest sees of the device's, and what of the
 * guest's writes the device gets. A capability is shown because a row says how; what has no
 * row is hidden, for nobody has thought about it.
 *
 * Source: PCI Express Base 6.0 sections 7.5 to 7.9; PCI Local Bus 3.0 appendix I (VPD).
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "passthrough/vfio/internal.h"
#include "util/bits.h"

#define CAPS_MAX       48u /* a list longer than its space is a loop */
#define EXT_CAPS_MAX   480u
#define PM_SIZE	       8u
#define VPD_SIZE       8u
#define EXPRESS_SIZE   0x3cu
#define AER_SIZE       0x48u
#define SERIAL_SIZE    12u
#define EXT_CAP_HEADER 4u

#ifndef PCI_EXT_CAP_ID_DVSEC
#define PCI_EXT_CAP_ID_DVSEC 0x23
#endif

static uint16_t word(const struct vfio_config *c, uint32_t offset)
{
	return offset + 2 <= c->size ? (uint16_t)load_le(c->bytes + offset, 2) : 0;
}

static uint32_t dword(const struct vfio_config *c, uint32_t offset)
{
	return offset + 4 <= c->size ? (uint32_t)load_le(c->bytes + offset, 4) : 0;
}

/* What cannot be read is all ones, as on a bus. */
static void read_range(struct vfio_function *f, uint32_t from, uint32_t to)
{
	uint8_t *bytes = f->config.bytes + from;
	size_t n = vfio_region_copy(&f->space, from, bytes, to - from) & ~(size_t)3;

	memset(bytes + n, 0xff, to - from - n);
}

/* In as few calls as can be; without a first extended capability there are no others. */
static void read_bytes(struct vfio_function *f, uint32_t size)
{
	const uint32_t ext = PCI_CFG_SPACE_SIZE;
	uint32_t first;

	read_range(f, 0, MIN(size, ext));
	if (size <= ext)
		return;
	read_range(f, ext, ext + 4);
	first = dword(&f->config, ext);
	if (first && first != ~0u)
		read_range(f, ext + 4, size);
}

int vfio_config_read(struct vfio_function *f, struct err *err)
{
	struct vfio_config *c = &f->config;
	int ret = vfio_get_region(f, VFIO_PCI_CONFIG_REGION_INDEX, &f->space, err);

	if (ret)
		return ret;
	c->size = f->space.size >= PCI_CONFIG_SIZE ? PCI_CONFIG_SIZE : PCI_CFG_SPACE_SIZE;
	/* mtty and mdpy leave out the last of 256 bytes: what is not there reads as 0. */
	if (f->space.size < PCI_STD_HEADER_SIZEOF)
		return err_set(err, EINVAL,
			       "%s: a configuration space of %llu bytes: a header alone has %u",
			       f->name, (unsigned long long)f->space.size, PCI_STD_HEADER_SIZEOF);
	read_bytes(f, (uint32_t)MIN(c->size, f->space.size) & ~3u);
	if (word(c, PCI_VENDOR_ID) == 0xffff)
		return err_set(err, EIO,
			       "%s does not answer (vendor id 0xffff): it is gone or powered down",
			       f->name);
	if ((c->bytes[PCI_HEADER_TYPE] & 0x7f) != PCI_HEADER_TYPE_NORMAL)
		return err_set(err, ENOTSUP,
			       "%s has header type 0x%02x: bridges cannot be assigned", f->name,
			       c->bytes[PCI_HEADER_TYPE] & 0x7f);
	return 0;
}

/* --- writes that reach the device ------------------------------------------------------------ */

void vfio_config_command(struct vfio_function *f, bool master)
{
	if (master && f->dma)
		master = f->dma(f->opaque);
	vfio_region_write(&f->space, PCI_COMMAND,
			  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | (master ? PCI_COMMAND_MASTER : 0),
			  2);
}

/* The bits of Device Control that are the guest's business: how the device forms its requests. */
static uint16_t shared_devctl(const struct vfio_function *f)
{
	return PCI_EXP_DEVCTL_RELAX_EN | (f->no_snoop ? PCI_EXP_DEVCTL_NOSNOOP_EN : 0);
}

/* No Snoop Enable comes on at power-on: it is switched off here where it is not the guest's. */
static void write_devctl(struct vfio_function *f)
{
	uint32_t at = f->config.express + PCI_EXP_DEVCTL;
	uint16_t shared = shared_devctl(f);
	uint16_t guest = (uint16_t)load_le(pci_function_config(f->pci) + at, 2);
	uint16_t value = (uint16_t)vfio_region_read(&f->space, at, 2);

	value &= (uint16_t) ~(PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN |
			      PCI_EXP_DEVCTL_BCR_FLR);
	vfio_region_write(&f->space, at, value | (guest & shared), 2);
}

void vfio_config_written(void *opaque, uint32_t offset, unsigned int size)
{
	struct vfio_function *f = opaque;

	if (range_overlaps(offset, size, PCI_COMMAND, 2))
		vfio_config_command(f, pci_function_bus_master(f->pci));
	if (f->config.express &&
	    range_overlaps(offset, size, f->config.express + PCI_EXP_DEVCTL, 2))
		write_devctl(f);
}

uint64_t vfio_config_passed_read(void *opaque, uint32_t offset, unsigned int size)
{
	struct vfio_function *f = opaque;

	return vfio_region_read(&f->space, offset, size);
}

void vfio_config_passed_write(void *opaque, uint32_t offset, uint64_t value, unsigned int size)
{
	struct vfio_function *f = opaque;

	vfio_region_write(&f->space, offset, value, size);
}

/* --- capabilities ---------------------------------------------------------------------------- */

/* Its bytes as they are now, and from then on the device's, header apart. */
static int pass(struct vfio_function *f, uint8_t id, uint32_t at, unsigned int len, struct err *err)
{
	int ret = pci_function_capability_at(f->pci, id, at, len, err);

	if (!ret)
		pci_function_pass(f->pci, at + 2, len - 2);
	return ret;
}

static int add_vendor(struct vfio_function *f, uint32_t at, struct err *err)
{
	return pass(f, PCI_CAP_ID_VNDR, at, MAX(f->config.bytes[at + 2], 3u), err);
}

static int add_vpd(struct vfio_function *f, uint32_t at, struct err *err)
{
	return pass(f, PCI_CAP_ID_VPD, at, VPD_SIZE, err);
}

/*
 * The device stays in D0, for in any other state its mapped registers would be gone under the
 * guest. No_Soft_Reset says that the way through D3hot is no reset; there are no PMEs.
 */
static int add_pm(struct vfio_function *f, uint32_t at, struct err *err)
{
	uint8_t *config = pci_function_config(f->pci);
	int ret = pci_function_capability_at(f->pci, PCI_CAP_ID_PM, at, PM_SIZE, err);

	if (ret)
		return ret;
	store_le(config + at + PCI_PM_PMC, word(&f->config, at + PCI_PM_PMC) & PCI_PM_CAP_VER_MASK,
		 2);
	store_le(config + at + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET, 2);
	store_le(pci_function_writable(f->pci) + at + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK, 2);
	return 0;
}

static int add_msi(struct vfio_function *f, uint32_t at, struct err *err)
{
	uint16_t flags = word(&f->config, at + PCI_MSI_FLAGS);
	const struct pci_msi_options options = {
		.offset = at,
		.log2_vectors = MIN((flags & PCI_MSI_FLAGS_QMASK) >> 1, 5),
		.wide = flags & PCI_MSI_FLAGS_64BIT,
		.maskable = flags & PCI_MSI_FLAGS_MASKBIT,
	};

	if (!f->msi.max)
		return 0;
	return pci_function_msi(f->pci, &options, &vfio_vector_ops, &f->msi, err);
}

/* All that asks for the register later finds what is true. */
static void correct_pba(struct vfio_function *f, uint32_t at)
{
	struct vfio_config *c = &f->config;
	uint32_t pba = dword(c, at + PCI_MSIX_PBA), index = pba & PCI_MSIX_PBA_BIR;

	if (index < PCI_BARS)
		store_le(c->bytes + at + PCI_MSIX_PBA,
			 index | vfio_quirk_pending(word(c, PCI_VENDOR_ID), word(c, PCI_DEVICE_ID),
						    pba & PCI_MSIX_PBA_OFFSET, f->bars[index].size),
			 4);
}

static int add_msix(struct vfio_function *f, uint32_t at, struct err *err)
{
	uint32_t table = dword(&f->config, at + PCI_MSIX_TABLE), pba;
	unsigned int vectors = (word(&f->config, at + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1;
	int ret;

	correct_pba(f, at);
	pba = dword(&f->config, at + PCI_MSIX_PBA);
	/* Shown or not: the guest never gets at the device's own table. */
	f->config.msix = at;
	if (!f->msix.max)
		return 0;
	ret = pci_function_msix_at(f->pci, MIN(vectors, f->msix.max), table, pba, at, err);
	if (ret)
		return ret;
	pci_function_msix_source(f->pci, &vfio_vector_ops, &f->msix);
	return 0;
}

/*
 * On a root bus the function is integrated: link, slot and root registers are reserved then
 * (section 7.5.3). Function-level reset is offered where the kernel can reset it somehow.
 */
static int add_express(struct vfio_function *f, uint32_t at, struct err *err)
{
	uint8_t *config = pci_function_config(f->pci), *writable = pci_function_writable(f->pci);
	uint16_t flags = word(&f->config, at + PCI_EXP_FLAGS);
	uint32_t devcap = dword(&f->config, at + PCI_EXP_DEVCAP);
	unsigned int version = flags & PCI_EXP_FLAGS_VERS;
	unsigned int size = version >= 2 ? EXPRESS_SIZE : PCI_EXP_LNKCAP;
	int ret = pci_function_capability_at(f->pci, PCI_CAP_ID_EXP, at, size, err);

	if (ret)
		return ret;
	devcap &= PCI_EXP_DEVCAP_PAYLOAD | PCI_EXP_DEVCAP_EXT_TAG | PCI_EXP_DEVCAP_RBER;
	if (f->reset == VFIO_RESET_FUNCTION)
		devcap |= PCI_EXP_DEVCAP_FLR;
	store_le(config + at + PCI_EXP_FLAGS, version | PCI_EXP_TYPE_RC_END << 4, 2);
	store_le(config + at + PCI_EXP_DEVCAP, devcap, 4);
	store_le(config + at + PCI_EXP_DEVCTL,
		 word(&f->config, at + PCI_EXP_DEVCTL) &
			 (PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ | shared_devctl(f)),
		 2);
	store_le(writable + at + PCI_EXP_DEVCTL,
		 PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ | PCI_EXP_DEVCTL_CERE |
			 PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE |
			 shared_devctl(f),
		 2);
	/* Whether No Snoop is the guest's is the policy's business, wherever it goes on. */
	pci_function_anew(f->pci, at + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_NOSNOOP_EN);
	/* Transactions Pending and the error bits, which a write of ones clears. */
	pci_function_pass(f->pci, at + PCI_EXP_DEVSTA, 2);
	if (version >= 2)
		store_le(config + at + PCI_EXP_DEVCAP2,
			 dword(&f->config, at + PCI_EXP_DEVCAP2) & PCI_EXP_DEVCAP2_COMP_TMOUT_DIS,
			 4);
	if (f->reset == VFIO_RESET_FUNCTION)
		pci_function_express_at(f->pci, at);
	f->config.express = at;
	return 0;
}

static const struct {
	uint8_t id;
	int (*add)(struct vfio_function *f, uint32_t at, struct err *err);
} capabilities[] = {
	{ PCI_CAP_ID_PM, add_pm },     { PCI_CAP_ID_VPD, add_vpd },
	{ PCI_CAP_ID_MSI, add_msi },   { PCI_CAP_ID_EXP, add_express },
	{ PCI_CAP_ID_MSIX, add_msix }, { PCI_CAP_ID_VNDR, add_vendor },
};

static int add_capabilities(struct vfio_function *f, struct err *err)
{
	const struct vfio_config *c = &f->config;
	uint32_t at = c->bytes[PCI_CAPABILITY_LIST] & ~3u;
	int ret = 0;

	if (!(word(c, PCI_STATUS) & PCI_STATUS_CAP_LIST))
		return 0;
	for (unsigned int n = 0; !ret && at >= PCI_STD_HEADER_SIZEOF && n < CAPS_MAX; n++) {
		uint8_t id = c->bytes[at];

		for (size_t i = 0; !ret && i < ARRAY_SIZE(capabilities); i++) {
			if (capabilities[i].id == id)
				ret = capabilities[i].add(f, at, err);
		}
		at = c->bytes[at + 1] & ~3u;
	}
	return ret;
}

/* Bytes of an extended capability that is shown; 0: it is hidden. */
static unsigned int ext_size(const struct vfio_config *c, uint16_t id, uint32_t at)
{
	switch (id) {
	case PCI_EXT_CAP_ID_ERR:
		return AER_SIZE;
	case PCI_EXT_CAP_ID_DSN:
		return SERIAL_SIZE;
	case PCI_EXT_CAP_ID_VNDR:
	case PCI_EXT_CAP_ID_DVSEC:
		return dword(c, at + 4) >> 20;
	default:
		return 0;
	}
}

/*
 * No further than the next one of the list, be it hidden: some devices put it where this one's
 * optional registers would be, and its header must not shine through.
 */
static unsigned int ext_room(const struct vfio_config *c, uint32_t from)
{
	uint32_t at = PCI_CFG_SPACE_SIZE, end = c->size;

	for (unsigned int n = 0; at >= PCI_CFG_SPACE_SIZE && n < EXT_CAPS_MAX; n++) {
		if (at > from)
			end = MIN(end, at);
		at = dword(c, at) >> 20 & ~3u;
	}
	return end - from;
}

static int add_ext_capabilities(struct vfio_function *f, struct err *err)
{
	const struct vfio_config *c = &f->config;
	uint32_t at = PCI_CFG_SPACE_SIZE;
	int ret = 0;

	if (c->size < PCI_CONFIG_SIZE || !c->express)
		return 0;
	for (unsigned int n = 0; !ret && at >= PCI_CFG_SPACE_SIZE && n < EXT_CAPS_MAX; n++) {
		uint32_t header = dword(c, at);
		uint16_t id = header & 0xffff;
		unsigned int size = MIN(ext_size(c, id, at), ext_room(c, at));

		if (size >= EXT_CAP_HEADER && range_inside(at, size, 0, c->size)) {
			ret = pci_function_ext_capability_at(f->pci, id, header >> 16 & 0xf, at,
							     size, err);
			pci_function_pass(f->pci, at + EXT_CAP_HEADER, size - EXT_CAP_HEADER);
		}
		at = header >> 20 & ~3u;
	}
	return ret;
}

int vfio_config_capabilities(struct vfio_function *f, struct err *err)
{
	int ret = add_capabilities(f, err);

	if (!ret)
		ret = add_ext_capabilities(f, err);
	return ret;
}

void vfio_config_sync(struct vfio_function *f)
{
	vfio_config_command(f, pci_function_bus_master(f->pci));
	if (f->config.express)
		write_devctl(f);
}
