/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The capabilities that a guest's driver looks for before it uses PASIDs: ATS, page requests,
 * PASID.
 *
 * Source: PCI Express Base 6.0 sections 10.5.1 (ATS), 10.5.2 (page requests), 7.8.9 (PASID), 6.20
 * and 7.5.3.15 (the TLP prefix and Device Capabilities 2).
 */
#include <errno.h>
#include <linux/pci_regs.h>

#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define ATS_SIZE	8u
#define ATS_STU_MASK	0x1fu
#define PRI_SIZE	16u
#define PRI_OUTSTANDING 32u
#define PASID_SIZE	8u
#define PASID_WIDTH_AT	8
#define ONE_TLP_PREFIX	(1u << 22)
#define PASID_WIDTH_MAX 20u

static int add_ats(struct pci_function *function, struct err *err)
{
	uint32_t at;
	int ret = pci_function_ext_capability(function, PCI_EXT_CAP_ID_ATS, 1, ATS_SIZE, &at, err);

	if (ret)
		return ret;
	store_le(function->config + at + PCI_ATS_CAP, PCI_ATS_CAP_PAGE_ALIGNED, 2);
	store_le(function->writable + at + PCI_ATS_CTRL, PCI_ATS_CTRL_ENABLE | ATS_STU_MASK, 2);
	return 0;
}

static int add_pri(struct pci_function *function, struct err *err)
{
	uint32_t at;
	int ret = pci_function_ext_capability(function, PCI_EXT_CAP_ID_PRI, 1, PRI_SIZE, &at, err);

	if (ret)
		return ret;
	store_le(function->config + at + PCI_PRI_STATUS,
		 PCI_PRI_STATUS_STOPPED | PCI_PRI_STATUS_PASID, 2);
	store_le(function->config + at + PCI_PRI_MAX_REQ, PRI_OUTSTANDING, 4);
	store_le(function->writable + at + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE, 2);
	store_le(function->writable + at + PCI_PRI_ALLOC_REQ, UINT32_MAX, 4);
	return 0;
}

static int add_pasid(struct pci_function *function, const struct pci_svm_options *options,
		     struct err *err)
{
	uint32_t rights = (options->pasid_exec ? PCI_PASID_CAP_EXEC : 0) |
			  (options->pasid_priv ? PCI_PASID_CAP_PRIV : 0);
	uint8_t *devcap2 = function->config + function->express + PCI_EXP_DEVCAP2;
	uint32_t at;
	int ret;

	if (!options->pasid_width || options->pasid_width > PASID_WIDTH_MAX)
		return err_set(err, EINVAL,
			       "%s: a PASID capability of %u bits: 1 to %u are possible",
			       function->name, options->pasid_width, PASID_WIDTH_MAX);
	ret = pci_function_ext_capability(function, PCI_EXT_CAP_ID_PASID, 1, PASID_SIZE, &at, err);
	if (ret)
		return ret;
	store_le(function->config + at + PCI_PASID_CAP,
		 rights | options->pasid_width << PASID_WIDTH_AT, 2);
	/* The control register's bits lie where those of the capability do. */
	store_le(function->writable + at + PCI_PASID_CTRL, PCI_PASID_CTRL_ENABLE | rights, 2);
	store_le(devcap2, load_le(devcap2, 4) | PCI_EXP_DEVCAP2_EE_PREFIX | ONE_TLP_PREFIX, 4);
	return 0;
}

int pci_function_svm(struct pci_function *function, const struct pci_svm_options *options,
		     struct err *err)
{
	int ret = 0;

	if (!function->express)
		return err_set(err, EINVAL,
			       "%s has no PCI Express capability: add that before ATS and PASID",
			       function->name);
	if (options->ats)
		ret = add_ats(function, err);
	if (!ret && options->pri)
		ret = add_pri(function, err);
	if (!ret && options->pasid)
		ret = add_pasid(function, options, err);
	return ret;
}
