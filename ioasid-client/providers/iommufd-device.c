/* SPDX-License-Identifier: Apache-2.0 */
/* Binding a VFIO cdev to an iommufd, and finding out what device and IOMMU can do. */
#include "ioasid-client/providers/iommufd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ioasid-client/providers/sysfs.h"
#include "util/bits.h"

/* VT-d spec 3.1: capability register, section 11.4.2; extended, section 11.4.3. */
#define VTD_CAP_2M	(1ULL << 34)
#define VTD_CAP_1G	(1ULL << 35)
#define VTD_ECAP_SC	(1ULL << 7)
#define VTD_ECAP_NEST	(1ULL << 26)
#define MAX_IOVA_RANGES 64u

static int explain_bind(const struct ioasid_device *device, const struct sysfs_device *id,
			const char *token, int r, struct err *err)
{
	const struct ioasid_seam *seam = device->ctx->seam;

	switch (r) {
	case -EPERM:
	case -EBUSY:
		/*
		 * EPERM is also what a host without interrupt remapping gets; then nobody holds a
		 * member of the group.
		 */
		if (r == -EPERM && sysfs_group_is_free(seam, id))
			return err_set(
				err, EPERM,
				"device %s: the kernel refuses it although its IOMMU group is "
				"free: interrupt remapping is off, so it could forge interrupts; "
				"switch that on in the firmware's setup and the kernel's command "
				"line",
				id->name);
		return sysfs_explain_group(seam, id, -r, err);
	case -EACCES:
		return sysfs_explain_token(id, token, err);
	case -EINVAL:
		if (token)
			return err_set(
				err, EINVAL,
				"device %s: no VF token is taken: its physical function is not "
				"VFIO's, the device is bound already, or the kernel knows tokens "
				"with groups only (before 6.17)",
				id->name);
		/* Two binds of a device, by whomever; or an IOMMU that is not coherent, which no
		 * x86 has. */
		return err_set(
			err, EBUSY,
			"device %s is bound already, by another program or by an earlier try "
			"with this descriptor; end that, or open the node again",
			id->name);
	case -ENOTTY:
		return err_set(
			err, ENOTSUP,
			"this kernel binds no VFIO character devices (CONFIG_VFIO_DEVICE_CDEV, "
			"6.6 or later); use provider type1");
	default:
		return err_set(err, -r, "device %s cannot be bound: %s", id->name, strerror(-r));
	}
}

/* What the IOMMU says of itself; the caller knows that the device has one. */
static int read_hw(struct ioasid_device *device, struct err *err)
{
	const struct iommufd_device *dev = device->priv;
	struct ioasid_device_info *info = &device->info;
	union {
		struct ifd_hw_vtd vtd;
		struct ifd_hw_amd amd;
	} data = { 0 };
	struct ifd_hw_info hw;
	int r = ifd_hw_info(&iommufd_of(device->ctx)->ifd, dev->id, &data, sizeof(data), &hw);

	if (r)
		return err_set(err, -r, "device %s: its IOMMU cannot be asked: %s", info->name,
			       strerror(-r));
	info->snoop = IOASID_SNOOP_NOT_ENFORCED;
	info->page_sizes = IOASID_PAGE_SIZE;
	info->dirty = hw.out_capabilities & IFD_HW_CAP_DIRTY;
	info->pasid_width = MIN(hw.out_max_pasid_log2, 20);
	if (info->pasid_width)
		info->pasid_rights =
			(hw.out_capabilities & IFD_HW_CAP_PASID_EXEC ? IOASID_EXEC : 0) |
			(hw.out_capabilities & IFD_HW_CAP_PASID_PRIV ? IOASID_PRIVILEGED : 0);
	if (hw.out_data_type == IFD_HW_VTD) {
		info->hw_cap = data.vtd.cap_reg;
		info->hw_ecap = data.vtd.ecap_reg;
		if (data.vtd.ecap_reg & VTD_ECAP_SC)
			info->snoop = IOASID_SNOOP_ENFORCED;
		info->page_sizes |= (data.vtd.cap_reg & VTD_CAP_2M ? 2 * MIB : 0) |
				    (data.vtd.cap_reg & VTD_CAP_1G ? GIB : 0);
	} else if (!strcmp(info->hw, "amd-iommu")) {
		/* Always enforces (amd_iommu_capable); registers only where the kernel gives them.
		 */
		if (hw.out_data_type == IFD_HW_AMD) {
			info->hw_cap = data.amd.efr;
			info->hw_ecap = data.amd.efr2;
		}
		info->snoop = IOASID_SNOOP_ENFORCED;
		info->page_sizes |= 2 * MIB | GIB;
	}
	return 0;
}

static bool can_alloc(const struct ioasid_device *device, uint32_t ioas, uint32_t flags)
{
	const struct ifd *ifd = &iommufd_of(device->ctx)->ifd;
	const struct iommufd_device *dev = device->priv;
	struct ifd_hwpt_alloc request = { .dev_id = dev->id, .pt_id = ioas, .flags = flags };
	uint32_t hwpt;

	if (ifd_hwpt_alloc(ifd, &request, &hwpt))
		return false;
	ifd_destroy(ifd, hwpt);
	return true;
}

/* A device may have PASIDs that its IOMMU driver attaches nothing to, and so on: ask. */
static void probe_tables(struct ioasid_device *device, uint32_t ioas)
{
	struct ioasid_device_info *info = &device->info;

	if (info->pasid_width && !can_alloc(device, ioas, IFD_HWPT_PASID))
		info->pasid_width = info->pasid_rights = 0;
	if (!strcmp(info->hw, "intel-vtd") && info->hw_ecap & VTD_ECAP_NEST &&
	    can_alloc(device, ioas, IFD_HWPT_NEST_PARENT))
		info->nesting = IOASID_FORMAT_BIT(IOASID_FORMAT_VTD_S1);
}

static int take_ranges(struct ioasid_device *device, const struct ifd_iova_range *ranges,
		       uint32_t n)
{
	struct iommufd_device *dev = device->priv;

	dev->iova = calloc(n, sizeof(*dev->iova));
	if (!dev->iova)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		dev->iova[i] = (struct ioasid_range){ ranges[i].start, ranges[i].last };
	device->info.iova = dev->iova;
	device->info.n_iova = n;
	device->info.iova_first = dev->iova[0].first;
	device->info.iova_last = dev->iova[n - 1].last;
	return 0;
}

/*
 * The ranges are those of an IOAS that the device is attached to: one in which nothing is mapped,
 * so that it stays blocked. Where a member of its group is attached elsewhere already the kernel
 * refuses that, and what the page table reaches must do.
 */
static int probe_ranges(struct ioasid_device *device, uint32_t ioas)
{
	const struct ifd *ifd = &iommufd_of(device->ctx)->ifd;
	const struct iommufd_device *dev = device->priv;
	struct ifd_iova_range ranges[MAX_IOVA_RANGES];
	uint32_t n = MAX_IOVA_RANGES;
	int attached = cdev_attach(ifd, dev->fd, 0, ioas);
	int r = ifd_iova_ranges(ifd, ioas, ranges, &n);

	if (!attached)
		attached = cdev_detach(ifd, dev->fd, 0);
	else
		attached = 0;
	if (!r)
		r = attached;
	if (r)
		return r;
	return n ? take_ranges(device, ranges, MIN(n, MAX_IOVA_RANGES)) : -ERANGE;
}

static int probe(struct ioasid_device *device, struct err *err)
{
	const struct ifd *ifd = &iommufd_of(device->ctx)->ifd;
	uint32_t ioas;
	int r;

	if (!device->info.emulated) {
		r = read_hw(device, err);
		if (r)
			return r;
	}
	r = ifd_ioas_alloc(ifd, &ioas);
	if (!r) {
		if (!device->info.emulated)
			probe_tables(device, ioas);
		r = probe_ranges(device, ioas);
		ifd_destroy(ifd, ioas);
	}
	if (r)
		return err_set(err, -r, "device %s: what it reaches cannot be asked: %s",
			       device->info.name, strerror(-r));
	device->info.isolation = device->info.emulated	    ? IOASID_ISOLATION_VENDOR
				 : device->info.pasid_width ? IOASID_ISOLATION_PASID
							    : IOASID_ISOLATION_RID;
	return 0;
}

static int read_group(struct ioasid_device *device, const struct sysfs_device *id, struct err *err)
{
	struct iommufd_device *dev = device->priv;
	struct ioasid_device_info *info = &device->info;
	int r = sysfs_members(device->ctx->seam, id->group, &dev->members, &info->n_members);

	if (!r && !id->mdev)
		r = sysfs_reserved(device->ctx->seam, id->group, &dev->reserved, &info->n_reserved);
	if (r)
		return err_set(err, -r, "device %s: no memory for its group", id->name);
	info->members = dev->members;
	info->reserved = dev->reserved;
	/* An mdev's group is its own. */
	info->group = id->mdev ? -1 : id->group;
	info->emulated = id->mdev;
	info->hw = sysfs_hw(id);
	info->page_sizes = IOASID_PAGE_SIZE;
	snprintf(info->name, sizeof(info->name), "%s", id->name);
	return 0;
}

static void free_device(struct ioasid_device *device)
{
	struct iommufd_device *dev = device->priv;

	free(dev->iova);
	free(dev->reserved);
	free(dev->members);
	free(dev);
	device->priv = NULL;
}

/* A UUID's bytes are in the order in which it is written (the kernel's uuid_t). */
static void parse_token(const char *text, unsigned char token[16])
{
	for (size_t i = 0; i < 16; i++) {
		text += *text == '-';
		sscanf(text, "%2hhx", &token[i]);
		text += 2;
	}
}

/* What is asked of the device afterwards is asked of one at a time: see probe_ranges. */
static int bind_beside(struct ioasid_ctx *ctx, struct iommufd_device *dev,
		       const unsigned char *token)
{
	int r;

	pthread_mutex_unlock(&ctx->lock);
	r = cdev_bind(&iommufd_of(ctx)->ifd, dev->fd, token, &dev->id);
	pthread_mutex_lock(&ctx->lock);
	return r;
}

int iommufd_bind(struct ioasid_device *device, const struct ioasid_source *source, struct err *err)
{
	unsigned char token[16];
	struct iommufd_device *dev;
	struct sysfs_device id;
	int r;

	if (source->type != IOASID_SOURCE_CDEV)
		return err_set(err, ENOTSUP,
			       "provider iommufd takes VFIO character devices only; groups need "
			       "provider type1, models need soft");
	r = sysfs_cdev(device->ctx->seam, source->cdev.fd, &id, err);
	if (r)
		return r;
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return err_set(err, ENOMEM, "no memory for device %s", id.name);
	dev->fd = source->cdev.fd;
	device->priv = dev;
	r = read_group(device, &id, err);
	if (r)
		goto out;
	if (source->vf_token)
		parse_token(source->vf_token, token);
	r = bind_beside(device->ctx, dev, source->vf_token ? token : NULL);
	if (r) {
		r = explain_bind(device, &id, source->vf_token, r, err);
		goto out;
	}
	r = probe(device, err);
out:
	if (r)
		free_device(device);
	return r;
}

void iommufd_unbind(struct ioasid_device *device)
{
	const struct iommufd_device *dev = device->priv;

	close(dev->fd);
	free_device(device);
}
