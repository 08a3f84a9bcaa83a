/* SPDX-License-Identifier: Apache-2.0 */
/* PCI functions: what sysfs says of one, and whether it can be assigned. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/host.h"
#include "util/bits.h"

#define PCI	     "/sys/bus/pci/devices/%s"
#define RESOURCES    6	   /* lines of `resource` that are BARs */
#define FLAG_MEM     0x200 /* IORESOURCE_MEM */
#define CLASS_BASE   16
#define BASE_BRIDGE  0x06
#define SUB_HOST     0x0600
#define SUB_PCI	     0x0604
#define VENDOR_INTEL 0x8086
#define ECAP_SC	     (1ull << 7) /* VT-d extended capability: snoop control */

/* vfio-pci's own list (drivers/vfio/pci/vfio_pci.c, vfio_pci_dev_in_denylist): all Intel's. */
static const uint16_t denylist[] = {
	0x19e2, 0x19e3, /* QAT C3xxx and its VFs */
	0x37c8, 0x37c9, /* QAT C62x */
	0x0435, 0x0443, /* QAT DH895xCC */
	0x0b25, 0x0cfe, /* DSA and IAX of Sapphire Rapids */
};

static bool is_on(const struct host *host, const char *path)
{
	char text[8];

	return !sysfs_read(host, text, sizeof(text), "%s", path) &&
	       (text[0] == 'Y' || text[0] == '1');
}

bool host_noiommu_mode(const struct host *host)
{
	return is_on(host, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
}

const char *host_unsafe_interrupts(const struct host *host)
{
	if (is_on(host, "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"))
		return "vfio_iommu_type1";
	if (is_on(host, "/sys/module/iommufd/parameters/allow_unsafe_interrupts"))
		return "iommufd";
	return NULL;
}

const char *host_snoop_word(enum host_snoop snoop)
{
	static const char *const words[] = {
		[HOST_SNOOP_UNKNOWN] = "unknown",
		[HOST_SNOOP_NO] = "no",
		[HOST_SNOOP_YES] = "yes",
		[HOST_SNOOP_NONE] = "none",
	};

	return words[snoop];
}

/* "3" of ".../iommu_groups/3". */
static int group_of(const struct host *host, const char *bdf)
{
	char text[HOST_TEXT];

	if (sysfs_link(host, text, sizeof(text), PCI "/iommu_group", bdf) || !*text ||
	    text[strspn(text, "0123456789")])
		return HOST_NO_GROUP;
	return (int)strtol(text, NULL, 10);
}

static enum host_snoop snoop_of(const struct host *host, const char *iommu)
{
	char text[32];

	if (!*iommu)
		return HOST_SNOOP_UNKNOWN;
	/* AMD's IOMMU always can: FC in every page table entry. */
	if (sysfs_exists(host, "/sys/class/iommu/%s/amd-iommu", iommu))
		return HOST_SNOOP_YES;
	/* VT-d shows its registers in hex without 0x. */
	if (sysfs_read(host, text, sizeof(text), "/sys/class/iommu/%s/intel-iommu/ecap", iommu))
		return HOST_SNOOP_UNKNOWN;
	return strtoull(text, NULL, 16) & ECAP_SC ? HOST_SNOOP_YES : HOST_SNOOP_NO;
}

static uint64_t bar_bytes(const struct host *host, const char *bdf)
{
	char text[2048], *line, *rest = text;
	uint64_t sum = 0;

	if (sysfs_read(host, text, sizeof(text), PCI "/resource", bdf))
		return 0;
	for (unsigned int i = 0; i < RESOURCES && (line = strsep(&rest, "\n")); i++) {
		uint64_t start, end, flags;

		if (sscanf(line, "%" SCNx64 " %" SCNx64 " %" SCNx64, &start, &end, &flags) != 3)
			break;
		if (flags & FLAG_MEM && end > start && end - start < 1ull << 48)
			sum += end - start + 1;
	}
	return sum;
}

static bool is_vfio_driver(const char *name)
{
	/* vfio-pci and the variant drivers: mlx5_vfio_pci, qat_vfio_pci, nvgrace_gpu_vfio_pci, ...
	 */
	return strstr(name, "vfio-pci") || strstr(name, "vfio_pci");
}

static bool is_denylisted(const struct host *host, const struct host_function *function)
{
	if (function->vendor != VENDOR_INTEL ||
	    is_on(host, "/sys/module/vfio_pci/parameters/disable_denylist"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(denylist); i++) {
		if (function->device == denylist[i])
			return true;
	}
	return false;
}

static void read_vfio(const struct host *host, struct host_function *out)
{
	struct sysfs_names names;

	out->vfio = is_vfio_driver(out->driver);
	if (!sysfs_list(host, &names, PCI "/vfio-dev", out->bdf) && names.n) {
		out->vfio = true;
		/* Without CONFIG_VFIO_DEVICE_CDEV the device is there, but has no number. */
		if (strlen(names.name[0]) < sizeof(out->cdev) &&
		    sysfs_exists(host, PCI "/vfio-dev/%s/dev", out->bdf, names.name[0]))
			memcpy(out->cdev, names.name[0], strlen(names.name[0]) + 1);
	}
	sysfs_names_free(&names);
}

static void read_group(const struct host *host, struct host_function *out)
{
	char name[HOST_TEXT];

	out->group = group_of(host, out->bdf);
	out->noiommu = out->group != HOST_NO_GROUP &&
		       !sysfs_read(host, name, sizeof(name), "/sys/kernel/iommu_groups/%d/name",
				   out->group) &&
		       !strcmp(name, "vfio-noiommu");
}

int host_function_look(const struct host *host, const char *bdf, struct host_function *out)
{
	char vendor[16];

	memset(out, 0, sizeof(*out));
	out->numa_node = -1;
	if (host_bdf_parse(out->bdf, bdf) ||
	    sysfs_read(host, vendor, sizeof(vendor), PCI "/vendor", out->bdf))
		return -ENODEV;
	bdf = out->bdf;
	out->vendor = (uint16_t)strtoul(vendor, NULL, 0);
	out->device = (uint16_t)sysfs_number(host, PCI "/device", bdf);
	out->class = (uint32_t)sysfs_number(host, PCI "/class", bdf);
	out->bridge = out->class >> 8 == SUB_HOST || out->class >> 8 == SUB_PCI;
	sysfs_link(host, out->driver, sizeof(out->driver), PCI "/driver", bdf);
	read_vfio(host, out);
	read_group(host, out);
	out->denylisted = is_denylisted(host, out);
	return 0;
}

int host_function_read(const struct host *host, const char *bdf, struct host_function *out)
{
	char numa[16];

	if (host_function_look(host, bdf, out))
		return -ENODEV;
	bdf = out->bdf;
	sysfs_read(host, out->override, sizeof(out->override), PCI "/driver_override", bdf);
	if (!strcmp(out->override, "(null)"))
		out->override[0] = 0;
	sysfs_link(host, out->pf, sizeof(out->pf), PCI "/physfn", bdf);
	out->vfs = (uint32_t)sysfs_number(host, PCI "/sriov_numvfs", bdf);
	out->max_vfs = (uint32_t)sysfs_number(host, PCI "/sriov_totalvfs", bdf);
	sysfs_read(host, out->resets, sizeof(out->resets), PCI "/reset_method", bdf);
	out->bar_bytes = bar_bytes(host, bdf);
	if (!sysfs_read(host, numa, sizeof(numa), PCI "/numa_node", bdf))
		out->numa_node = (int)strtol(numa, NULL, 10);
	out->mdev_parent = sysfs_exists(host, PCI "/mdev_supported_types", bdf);
	sysfs_link(host, out->iommu, sizeof(out->iommu), PCI "/iommu", bdf);
	out->snoop = snoop_of(host, out->iommu);
	return 0;
}

/* --- whether it can be assigned -------------------------------------------------------------- */

static int check_host(const struct host *host, const char *bdf, struct err *err)
{
	const char *module = host_unsafe_interrupts(host);

	if (host_noiommu_mode(host))
		return err_set(
			err, EPERM,
			"%s: VFIO's no-IOMMU mode is on, in which a device reaches all memory; "
			"'echo N > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode'",
			bdf);
	if (module)
		return err_set(err, EPERM,
			       "%s: %s's allow_unsafe_interrupts is on, so a device may forge "
			       "interrupts; 'echo N > "
			       "/sys/module/%s/parameters/allow_unsafe_interrupts'",
			       bdf, module, module);
	return 0;
}

static int check_kind(const struct host_function *function, struct err *err)
{
	const char *bdf = function->bdf;

	if (function->bridge)
		return err_set(err, EOPNOTSUPP,
			       "%s: is a bridge; only what is behind it can be assigned", bdf);
	if (function->group == HOST_NO_GROUP)
		return err_set(err, ENXIO,
			       "%s: is in no IOMMU group: the host has no IOMMU, or it is off "
			       "(intel_iommu=on or amd_iommu=on on the kernel's command line, and "
			       "VT-d or AMD-Vi in the firmware's setup)",
			       bdf);
	if (function->noiommu)
		return err_set(err, EPERM,
			       "%s: is in a group of VFIO's no-IOMMU mode, in which it reaches all "
			       "memory; unload vfio-pci and turn "
			       "vfio.enable_unsafe_noiommu_mode off",
			       bdf);
	if (function->denylisted && !function->vfio)
		return err_set(err, EPERM,
			       "%s: vfio-pci refuses %04x:%04x for its known errata; an operator "
			       "who trusts the guest loads it with 'modprobe vfio-pci "
			       "disable_denylist=1'",
			       bdf, function->vendor, function->device);
	return 0;
}

static int check_driver(const struct host *host, const struct host_function *function, bool managed,
			struct err *err)
{
	char use[256];
	int ret;

	if (function->vfio)
		return 0;
	ret = host_function_use(host, function->bdf, use, sizeof(use));
	if (ret)
		return err_set(err, -ret, "out of memory");
	if (*use)
		return err_set(err, EBUSY,
			       "%s: the host itself uses it (driver %s): %s; end that first",
			       function->bdf, *function->driver ? function->driver : "none", use);
	if (managed)
		return 0;
	if (*function->driver)
		return err_set(err, EBUSY,
			       "%s: is on its host driver %s; \"managed\": true takes it from "
			       "there, or bind it to vfio-pci yourself",
			       function->bdf, function->driver);
	return err_set(err, EBUSY,
		       "%s: has no driver; \"managed\": true binds it to vfio-pci, or do that "
		       "yourself",
		       function->bdf);
}

int host_function_check(const struct host *host, const struct host_function *function, bool managed,
			const char *const *with, size_t n_with, struct err *err)
{
	int ret = check_host(host, function->bdf, err);

	if (!ret)
		ret = check_kind(function, err);
	if (!ret)
		ret = check_driver(host, function, managed, err);
	return ret ? ret
		   : host_group_check(host, function->group, function->bdf, with, n_with, err);
}
