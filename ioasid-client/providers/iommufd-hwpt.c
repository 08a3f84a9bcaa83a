/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which page table of a space a device's RID or PASID goes to, and leaving it again. The kernel's
 * rules of PASIDs are kept here: a PASID needs a HWPT that was made for PASIDs, and so does the RID
 * of a device that has any, so a device with PASIDs gets no other kind.
 */
#include "ioasid-client/providers/iommufd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"

static uint32_t flags_for(const struct ioasid_device *device, const struct ioasid_space *space)
{
	const struct ioasid_space_options *options = &space->options;

	return (options->nest_parent ? IFD_HWPT_NEST_PARENT : 0) |
	       (options->dirty ? IFD_HWPT_DIRTY : 0) | (options->faults ? IFD_HWPT_FAULT_ID : 0) |
	       (device->info.pasid_width ? IFD_HWPT_PASID : 0);
}

static struct iommufd_hwpt *hwpt_new(struct ioasid_device *device, struct ioasid_space *space,
				     struct ifd_hwpt_alloc *request, int *r)
{
	struct iommufd *iommufd = iommufd_of(space->ctx);
	struct iommufd_space *own = space->priv;
	struct iommufd_device *dev = device->priv;
	struct iommufd_hwpt *hwpt = calloc(1, sizeof(*hwpt));

	if (!hwpt) {
		*r = -ENOMEM;
		return NULL;
	}
	request->dev_id = dev->id;
	request->flags = flags_for(device, space);
	request->fault_id = iommufd->fault_queue;
	*r = ifd_hwpt_alloc(&iommufd->ifd, request, &hwpt->id);
	if (*r) {
		free(hwpt);
		return NULL;
	}
	hwpt->space = space;
	hwpt->flags = request->flags;
	LIST_INSERT_HEAD(&own->hwpts, hwpt, of_space);
	if (own->tracking && ifd_set_dirty(&iommufd->ifd, hwpt->id, true)) {
		iommufd_hwpt_put(space->ctx, hwpt);
		*r = -EOPNOTSUPP;
		return NULL;
	}
	return hwpt;
}

/* The device's page table of a parent: HWPTs of one parent may serve only some devices. */
static struct iommufd_hwpt *hwpt_of_parent(struct ioasid_device *device,
					   struct ioasid_space *parent, int *r)
{
	struct ifd_hwpt_alloc request = { .pt_id = ((struct iommufd_space *)parent->priv)->ioas };

	return hwpt_new(device, parent, &request, r);
}

static struct iommufd_hwpt *nested_new(struct ioasid_device *device, struct ioasid_space *space,
				       struct iommufd_hwpt *parent, int *r)
{
	const struct ioasid_nesting *nesting = &space->options.nesting;
	struct ifd_vtd_s1 data = {
		.flags = nesting->flags,
		.pgtbl_addr = nesting->table,
		.addr_width = nesting->addr_width,
	};
	struct ifd_hwpt_alloc request = {
		.pt_id = parent->id,
		.data_type = IFD_HWPT_DATA_VTD_S1,
		.data_len = sizeof(data),
		.data_uptr = seam_ptr(&data),
	};

	return hwpt_new(device, space, &request, r);
}

/* A HWPT of the space for a device that could join none that there is. */
static struct iommufd_hwpt *hwpt_make(struct ioasid_device *device, struct ioasid_space *space,
				      int *r)
{
	struct ifd_hwpt_alloc request = { .pt_id = ((struct iommufd_space *)space->priv)->ioas };
	struct ioasid_space *parent = space->options.parent;
	const struct iommufd_space *own;
	struct iommufd_hwpt *over, *hwpt;

	if (!parent)
		return hwpt_new(device, space, &request, r);
	/* Over one of the parent's that takes it, else over a new one. */
	own = parent->priv;
	for (over = LIST_FIRST(&own->hwpts); over; over = LIST_NEXT(over, of_space)) {
		hwpt = nested_new(device, space, over, r);
		if (hwpt)
			return hwpt;
	}
	over = hwpt_of_parent(device, parent, r);
	return over ? nested_new(device, space, over, r) : NULL;
}

void iommufd_hwpt_put(struct ioasid_ctx *ctx, struct iommufd_hwpt *hwpt)
{
	if (!hwpt)
		return;
	if (hwpt->users)
		hwpt->users--;
	/* A parent's stays for those nested over it, until its space goes. */
	if (hwpt->users || hwpt->flags & IFD_HWPT_NEST_PARENT)
		return;
	LIST_REMOVE(hwpt, of_space);
	ifd_destroy(&iommufd_of(ctx)->ifd, hwpt->id);
	free(hwpt);
}

void iommufd_hwpts_destroy(struct ioasid_space *space)
{
	struct iommufd_space *own = space->priv;
	struct iommufd_hwpt *hwpt;

	while ((hwpt = LIST_FIRST(&own->hwpts))) {
		LIST_REMOVE(hwpt, of_space);
		ifd_destroy(&iommufd_of(space->ctx)->ifd, hwpt->id);
		free(hwpt);
	}
}

static bool reserved_hit(const struct ioasid_device *device, const struct ioasid_space *space,
			 struct ioasid_range *hit)
{
	struct iommufd_space *own = space->priv;
	struct mapped mapped;

	for (size_t i = 0; i < device->info.n_reserved; i++) {
		*hit = device->info.reserved[i];
		if (mappings_next(&own->mappings, hit->first, &mapped) && mapped.iova <= hit->last)
			return true;
	}
	return false;
}

static int explain(const struct ioasid_device *device, const struct ioasid_space *space,
		   uint32_t pasid, int r, struct err *err)
{
	const struct iommufd_space *own = space->priv;
	const char *label = device->info.label;
	struct ioasid_range hit;

	if (reserved_hit(device, space, &hit))
		return err_set(err, EINVAL,
			       "space %s maps into %#" PRIx64 " to %#" PRIx64
			       ", which device %s has reserved",
			       space->name, hit.first, hit.last, label);
	if (r == -ENOMEM)
		return iommufd_no_memory(space->ctx, own->mappings.bytes, err);
	if (r == -ENODEV && space->options.faults)
		return err_set(err, EOPNOTSUPP,
			       "device %s cannot report page requests (it has no PRI, or its IOMMU "
			       "does not deliver them); attach a space without a fault queue",
			       label);
	if (r == -EOPNOTSUPP)
		return err_set(err, EOPNOTSUPP,
			       "the IOMMU of device %s cannot serve what space %s was made for",
			       label, space->name);
	if (r == -EIO)
		r = -EINVAL; /* it is where it was, which EIO would deny */
	if (r == -EBUSY)
		return err_set(err, EBUSY, "device %s is being reset; try again", label);
	if (pasid)
		return err_set(err, -r, "device %s cannot attach space %s under PASID %u: %s",
			       label, space->name, pasid, strerror(-r));
	return err_set(err, -r, "device %s cannot attach space %s: %s", label, space->name,
		       strerror(-r));
}

/* One that is there already; EINVAL means that its IOMMU cannot use that one. */
static int join(const struct ioasid_device *device, const struct ioasid_space *space,
		uint32_t pasid, struct iommufd_hwpt **joined)
{
	const struct iommufd_device *dev = device->priv;
	const struct iommufd_space *own = space->priv;
	uint32_t flags = flags_for(device, space);

	for (struct iommufd_hwpt *hwpt = LIST_FIRST(&own->hwpts); hwpt;
	     hwpt = LIST_NEXT(hwpt, of_space)) {
		int r;

		if (hwpt->flags != flags)
			continue;
		r = cdev_attach(&iommufd_of(space->ctx)->ifd, dev->fd, pasid, hwpt->id);
		if (r != -EINVAL) {
			*joined = hwpt;
			return r;
		}
	}
	return -ENOENT;
}

static int enter(struct ioasid_device *device, struct ioasid_space *space, uint32_t pasid,
		 struct iommufd_hwpt **hwpt)
{
	const struct ifd *ifd = &iommufd_of(space->ctx)->ifd;
	const struct iommufd_device *dev = device->priv;
	int r;

	if (!space->options.parent && !flags_for(device, space))
		return cdev_attach(ifd, dev->fd, pasid,
				   ((struct iommufd_space *)space->priv)->ioas);
	r = join(device, space, pasid, hwpt);
	if (r != -ENOENT)
		return r;
	*hwpt = hwpt_make(device, space, &r);
	if (!*hwpt)
		return r;
	r = cdev_attach(ifd, dev->fd, pasid, (*hwpt)->id);
	if (r)
		iommufd_hwpt_put(space->ctx, *hwpt);
	return r;
}

int iommufd_enter(struct ioasid_device *device, struct ioasid_space *space, uint32_t pasid,
		  struct iommufd_hwpt **hwpt, struct err *err)
{
	int r;

	*hwpt = NULL;
	r = enter(device, space, pasid, hwpt);
	if (r) {
		*hwpt = NULL;
		return explain(device, space, pasid, r, err);
	}
	if (*hwpt)
		(*hwpt)->users++;
	return 0;
}

/* For a PASID the empty space needs a HWPT, which goes with the context. */
static int enter_empty(struct ioasid_device *device, uint32_t pasid)
{
	const struct iommufd *iommufd = iommufd_of(device->ctx);
	const struct iommufd_device *dev = device->priv;
	struct ifd_hwpt_alloc request = {
		.dev_id = dev->id,
		.pt_id = iommufd->empty,
		.flags = IFD_HWPT_PASID,
	};
	uint32_t pt = iommufd->empty;
	int r = 0;

	if (device->info.pasid_width)
		r = ifd_hwpt_alloc(&iommufd->ifd, &request, &pt);
	return r ? r : cdev_attach(&iommufd->ifd, dev->fd, pasid, pt);
}

int iommufd_leave(struct ioasid_device *device, uint32_t pasid, struct err *err)
{
	const struct iommufd *iommufd = iommufd_of(device->ctx);
	const struct iommufd_device *dev = device->priv;
	int r = cdev_detach(&iommufd->ifd, dev->fd, pasid);

	if (!r || !enter_empty(device, pasid))
		return 0;
	return err_set(err, EIO,
		       "device %s: the kernel neither detaches it (%s) nor moves it to an empty "
		       "space; unbind it",
		       device->info.label, strerror(-r));
}
