/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of iommufd, VFIO's cdev, containers and groups as the providers use, behind their seam:
 * what is mapped, what is attached, and where DMA of the one device then goes. So their suites run
 * without an IOMMU, under sanitizers. It is stricter than it is complete: what the real kernel
 * refuses (unmap of half a mapping, destroy of what is used, a PASID on a page table that was not
 * made for it) it refuses as well. /dev/null stands for every node.
 */
#ifndef ADIT_TESTS_UNIT_FAKE_IOMMU_H
#define ADIT_TESTS_UNIT_FAKE_IOMMU_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ioasid-client/providers/iommufd-uapi.h"
#include "ioasid-client/providers/seam.h"

#define FAKE_BDF     "0000:00:04.0"
#define FAKE_OBJECTS 64u
#define FAKE_MAPS    16u
#define FAKE_FDS     1024

struct fake_map {
	uint64_t iova, size; /* size 0: free */
	unsigned char *hva;
	bool read, write;
};

/* An IOAS or a container's space, or a HWPT over one. */
struct fake_object {
	bool used, hwpt, pasid, container;
	uint32_t over; /* HWPT: its IOAS */
	unsigned int users;
	struct fake_map map[FAKE_MAPS];
};

struct fake_fd {
	uint32_t rid, pasid; /* what a device is attached to; 0: nothing */
	uint32_t space;	     /* container: its maps */
	int container;	     /* group: its container; 0: none */
};

struct fake {
	struct ioasid_seam seam;
	char root[64];
	struct fake_object object[FAKE_OBJECTS];
	struct fake_fd fd[FAKE_FDS];
	uint32_t edu;	      /* the page table of the device that was bound last */
	int device;	      /* its descriptor's number: closing that is not seen here */
	const char *vf_token; /* what the device needs to be had, where it needs one: UUID */
	unsigned char vf_token_bytes[16];
};

static inline uint32_t fake_new(struct fake *k)
{
	uint32_t id = 1;

	while (id < FAKE_OBJECTS && k->object[id].used)
		id++;
	if (id == FAKE_OBJECTS)
		return 0;
	k->object[id] = (struct fake_object){ .used = true };
	return id;
}

static inline struct fake_object *fake_ioas(struct fake *k, uint32_t id)
{
	struct fake_object *o =
		id && id < FAKE_OBJECTS && k->object[id].used ? &k->object[id] : NULL;

	return o && o->hwpt ? &k->object[o->over] : o;
}

static inline int fake_map(struct fake_object *o, const struct fake_map *new)
{
	struct fake_map *room = NULL;

	if (!o)
		return -ENOENT;
	for (unsigned int i = 0; i < FAKE_MAPS; i++) {
		struct fake_map *m = &o->map[i];

		if (!m->size)
			room = m;
		else if (new->iova < m->iova + m->size && m->iova < new->iova + new->size)
			return -EEXIST;
	}
	/* What is reserved counts from the first attach on; a container has its group already. */
	if ((o->users || o->container) && new->iova < 0xfef00000 &&
	    new->iova + new->size > 0xfee00000)
		return -EINVAL;
	if (!room)
		return -ENOMEM;
	*room = *new;
	return 0;
}

static inline int fake_unmap(struct fake_object *o, uint64_t iova, uint64_t size, bool must)
{
	unsigned int n = 0;

	if (!o)
		return -ENOENT;
	for (unsigned int i = 0; i < FAKE_MAPS; i++) {
		struct fake_map *m = &o->map[i];

		if (!m->size || m->iova >= iova + size || iova >= m->iova + m->size)
			continue;
		if (m->iova < iova || m->iova + m->size > iova + size)
			return -ENOENT; /* halfway, as the kernel does */
		m->size = 0;
		n++;
	}
	return n || !must ? 0 : -ENOENT;
}

static inline int fake_copy(struct fake *k, const struct ifd_ioas_copy *c)
{
	struct fake_object *from = fake_ioas(k, c->src_ioas_id);

	for (unsigned int i = 0; from && i < FAKE_MAPS; i++) {
		const struct fake_map *m = &from->map[i];
		struct fake_map new = { c->dst_iova, c->length, m->hva + (c->src_iova - m->iova),
					c->flags & IFD_MAP_READABLE, c->flags & IFD_MAP_WRITEABLE };

		if (!m->size || c->src_iova < m->iova || c->src_iova >= m->iova + m->size)
			continue;
		if (new.write && !m->write)
			return -EPERM;
		return fake_map(fake_ioas(k, c->dst_ioas_id), &new);
	}
	return -ENOENT;
}

static inline int fake_destroy(struct fake *k, uint32_t id)
{
	struct fake_object *o = id && id < FAKE_OBJECTS ? &k->object[id] : NULL;

	if (!o || !o->used)
		return -ENOENT;
	if (o->users)
		return -EBUSY;
	if (o->hwpt)
		k->object[o->over].users--;
	o->used = false;
	return 0;
}

static inline int fake_hwpt(struct fake *k, struct ifd_hwpt_alloc *a)
{
	uint32_t id;

	if (!fake_ioas(k, a->pt_id))
		return -ENOENT;
	if (a->flags & ~IFD_HWPT_PASID)
		return -EOPNOTSUPP;
	id = fake_new(k);
	if (!id)
		return -ENOMEM;
	k->object[id].hwpt = true;
	k->object[id].pasid = a->flags & IFD_HWPT_PASID;
	k->object[id].over = a->pt_id;
	k->object[a->pt_id].users++;
	a->out_hwpt_id = id;
	return 0;
}

static inline int fake_attach(struct fake *k, int fd, uint32_t *slot, uint32_t pt)
{
	if (pt && !fake_ioas(k, pt))
		return -ENOENT;
	if (!pt && !*slot)
		return -EINVAL;
	/* A mapping in what the device has reserved. */
	for (unsigned int i = 0; pt && i < FAKE_MAPS; i++) {
		const struct fake_map *m = &fake_ioas(k, pt)->map[i];

		if (m->size && m->iova < 0xfef00000 && m->iova + m->size > 0xfee00000)
			return -EADDRINUSE;
	}
	if (*slot)
		k->object[*slot].users--;
	if (pt)
		k->object[pt].users++;
	*slot = pt;
	if (slot == &k->fd[fd].rid && fd == k->device)
		k->edu = pt;
	return 0;
}

static inline int fake_attach_pasid(struct fake *k, int fd, uint32_t pt)
{
	uint32_t rid = k->fd[fd].rid;

	if (!k->object[pt].hwpt || !k->object[pt].pasid ||
	    (rid && !(k->object[rid].hwpt && k->object[rid].pasid)))
		return -EINVAL;
	return fake_attach(k, fd, &k->fd[fd].pasid, pt);
}

static inline int fake_ranges(struct ifd_iova_ranges *r)
{
	const struct ifd_iova_range ranges[2] = { { 0, 0xfedfffff },
						  { 0xfef00000, (1ULL << 47) - 1 } };

	if (r->num_iovas >= 2)
		memcpy((void *)(uintptr_t)r->allowed_iovas, ranges, sizeof(ranges));
	r->num_iovas = 2;
	return 0;
}

static inline bool fake_bind_token(const struct fake *k, const struct vfio_cdev_bind *bind)
{
	const bool given = bind->flags & VFIO_CDEV_BIND_TOKEN;

	if (given != !!k->vf_token)
		return false;
	return !given || (bind->argsz == sizeof(*bind) &&
			  !memcmp((const void *)(uintptr_t)bind->token, k->vf_token_bytes, 16));
}

static inline int fake_iommufd(struct fake *k, int fd, unsigned long request, void *arg)
{
	struct ifd_ioas_map *map = arg;
	struct ifd_ioas_unmap *unmap = arg;
	struct ifd_hw_info *info = arg;
	struct vfio_cdev_attach *attach = arg;
	struct vfio_cdev_detach *detach = arg;
	bool pasid;

	switch (request) {
	case IFD_OPTION:
		((struct ifd_option *)arg)->val64 = 0;
		return 0;
	case IFD_IOAS_ALLOC:
		((struct ifd_ioas_alloc *)arg)->out_ioas_id = fake_new(k);
		return ((struct ifd_ioas_alloc *)arg)->out_ioas_id ? 0 : -ENOMEM;
	case IFD_DESTROY:
		return fake_destroy(k, ((struct ifd_destroy *)arg)->id);
	case IFD_IOAS_IOVA_RANGES:
		return fake_ranges(arg);
	case IFD_IOAS_MAP:
		return fake_map(fake_ioas(k, map->ioas_id),
				&(struct fake_map){ map->iova, map->length,
						    (unsigned char *)(uintptr_t)map->user_va,
						    map->flags & IFD_MAP_READABLE,
						    map->flags & IFD_MAP_WRITEABLE });
	case IFD_IOAS_UNMAP:
		return fake_unmap(fake_ioas(k, unmap->ioas_id), unmap->iova, unmap->length, true);
	case IFD_IOAS_COPY:
		return fake_copy(k, arg);
	case IFD_HWPT_ALLOC:
		return fake_hwpt(k, arg);
	case IFD_GET_HW_INFO:
		info->out_data_type = IFD_HW_NONE;
		info->out_max_pasid_log2 = 0;
		info->out_capabilities = 0;
		return 0;
	case VFIO_CDEV_BIND:
		if (!fake_bind_token(k, arg))
			return -EACCES;
		k->fd[fd] = (struct fake_fd){ 0 };
		k->device = fd;
		((struct vfio_cdev_bind *)arg)->out_devid = 1000;
		return 0;
	case VFIO_CDEV_ATTACH:
		pasid = attach->flags & VFIO_CDEV_PASID;
		return pasid ? fake_attach_pasid(k, fd, attach->pt_id)
			     : fake_attach(k, fd, &k->fd[fd].rid, attach->pt_id);
	case VFIO_CDEV_DETACH:
		pasid = detach->flags & VFIO_CDEV_PASID;
		return fake_attach(k, fd, pasid ? &k->fd[fd].pasid : &k->fd[fd].rid, 0);
	default:
		return -ENOTTY; /* an older kernel: no MAP_FILE, no fault queues */
	}
}

static inline bool fake_group_token(const struct fake *k, const char *text)
{
	char needed[96];

	snprintf(needed, sizeof(needed), FAKE_BDF "%s%s", k->vf_token ? " vf_token=" : "",
		 k->vf_token ? k->vf_token : "");
	return !strcmp(text, needed);
}

/* A group's container shows its space to the device from SET_IOMMU on. */
static inline int fake_type1(struct fake *k, int fd, unsigned long request, void *arg)
{
	struct fake_object *space = &k->object[k->fd[fd].space];
	struct vfio_iommu_type1_dma_map *map = arg;
	struct vfio_iommu_type1_dma_unmap *unmap = arg;

	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return (uintptr_t)arg == VFIO_TYPE1v2_IOMMU;
	case VFIO_SET_IOMMU:
		k->fd[fd].space = fake_new(k);
		k->edu = k->fd[fd].space;
		k->object[k->edu].container = true;
		return k->edu ? 0 : -ENOMEM;
	case VFIO_IOMMU_GET_INFO:
		((struct vfio_iommu_type1_info *)arg)->flags = 0;
		return 0;
	case VFIO_IOMMU_MAP_DMA:
		return fake_map(space, &(struct fake_map){ map->iova, map->size,
							   (unsigned char *)(uintptr_t)map->vaddr,
							   map->flags & VFIO_DMA_MAP_FLAG_READ,
							   map->flags & VFIO_DMA_MAP_FLAG_WRITE });
	case VFIO_IOMMU_UNMAP_DMA:
		if (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL)
			memset(space->map, 0, sizeof(space->map));
		else
			return fake_unmap(space, unmap->iova, unmap->size, false);
		return 0;
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)arg)->flags = VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		k->fd[fd].container = *(int *)arg;
		return 0;
	case VFIO_GROUP_UNSET_CONTAINER:
		k->edu = 0;
		k->object[k->fd[k->fd[fd].container].space].used = false;
		k->fd[fd].container = 0;
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		if (!fake_group_token(k, arg))
			return -EACCES;
		k->device = open("/dev/null", O_RDWR | O_CLOEXEC);
		return k->device;
	default:
		return -ENOTTY;
	}
}

static inline int fake_ioctl(const struct ioasid_seam *seam, int fd, unsigned long request,
			     void *arg)
{
	struct fake *k = seam->arg;
	unsigned int nr = _IOC_NR(request);

	if (fd < 0 || fd >= FAKE_FDS)
		return -EBADF;
	if (nr >= 0x80 || request == VFIO_CDEV_BIND || request == VFIO_CDEV_ATTACH ||
	    request == VFIO_CDEV_DETACH)
		return fake_iommufd(k, fd, request, arg);
	return fake_type1(k, fd, request, arg);
}

/* Where the device's DMA goes; NULL: nowhere. */
static inline unsigned char *fake_reach(struct fake *k, uint64_t iova, bool write)
{
	struct fake_object *o = fake_ioas(k, k->edu);

	for (unsigned int i = 0; o && i < FAKE_MAPS; i++) {
		const struct fake_map *m = &o->map[i];

		if (m->size && iova >= m->iova && iova < m->iova + m->size &&
		    (write ? m->write : m->read))
			return m->hva + (iova - m->iova);
	}
	return NULL;
}

static inline void fake_link(const struct fake *k, const char *name, const char *target)
{
	char path[512];

	snprintf(path, sizeof(path), "%s%s", k->root, name);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	unlink(path);
	assert_int_equal(symlink(target, path), 0);
}

static inline void fake_start(struct fake *k, bool groups)
{
	*k = (struct fake){ .seam = { .ioctl = fake_ioctl, .arg = k } };
	strcpy(k->root, "/tmp/adit-fake-XXXXXX");
	assert_non_null(mkdtemp(k->root));
	k->seam.root = k->root;
	fake_link(k, "/dev/iommu", "/dev/null");
	fake_link(k, "/dev/vfio/vfio", "/dev/null");
	fake_link(k, "/sys/dev/char/1:3",
		  groups ? "../../devices/virtual/vfio/7"
			 : "../../devices/pci0000:00/" FAKE_BDF "/vfio-dev/vfio0");
	fake_link(k, "/sys/devices/pci0000:00/" FAKE_BDF "/iommu_group",
		  "../../../kernel/iommu_groups/7");
	fake_link(k, "/sys/devices/pci0000:00/" FAKE_BDF "/driver",
		  "../../../bus/pci/drivers/vfio-pci");
	fake_link(k, "/sys/kernel/iommu_groups/7/devices/" FAKE_BDF,
		  "../../../../devices/pci0000:00/" FAKE_BDF);
	fake_link(k, "/sys/bus/pci/devices/" FAKE_BDF, "../../../devices/pci0000:00/" FAKE_BDF);
}

static inline int fake_drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void fake_end(struct fake *k)
{
	nftw(k->root, fake_drop, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
