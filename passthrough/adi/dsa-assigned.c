/* SPDX-License-Identifier: Apache-2.0 */
#include "passthrough/adi/dsa-assigned.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/adi/dsa-regs.h"
#include "passthrough/vfio/vfio.h"
#include "util/bits.h"

/* No guest of x86-64 has memory above; where the IOMMU reaches as far, records lie below it. */
#define ADDRESSES (1ULL << 47)
#define RECORDS	  (DSA_OWNER_QUEUES * (uint64_t)IOASID_PAGE_SIZE)

/* Sapphire Rapids, Granite Rapids-D, Diamond Rapids: drivers/dma/idxd/registers.h. */
static const uint16_t device_ids[] = { DSA_DEVICE_ID, 0x11fb, 0x1212 };

struct dsa_assigned {
	char name[64];
	struct dsa_assigned_options options;
	const struct vfio_sys *sys;
	struct dsa_access access;
	uint64_t bar[3], config; /* offsets of regions in the descriptor */
	uint64_t portal_bytes;
	char *portals; /* NULL: by calls of 64 bytes */
	bool movdir64b;
	struct ioasid_space *none; /* what it reaches without a PASID */
	struct ioasid_pasid *pasid[DSA_OWNER_QUEUES];
};

/* --- what its owner calls: the lend lock is held, but for store64 and read ------------------- */

static uint64_t assigned_read(void *arg, uint64_t offset, unsigned int size)
{
	const struct dsa_assigned *a = arg;
	uint8_t data[8];
	ssize_t n = a->sys->pread(a->sys->opaque, a->options.fd, data, size,
				  a->bar[DSA_BAR_REGISTERS] + offset);

	/* As a bus answers for a device that is not there; its state is "halted" then. */
	return n == (ssize_t)size ? load_le(data, size) : ~0ULL;
}

static void assigned_write(void *arg, uint64_t offset, uint64_t value, unsigned int size)
{
	const struct dsa_assigned *a = arg;
	uint8_t data[8];

	store_le(data, value, sizeof(data));
	(void)a->sys->pwrite(a->sys->opaque, a->options.fd, data, size,
			     a->bar[DSA_BAR_REGISTERS] + offset);
}

/* One bus transaction; registers are named since older assemblers do not know the instruction. */
static void movdir64b(void *to, const void *from)
{
	__asm__ volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x02" /* movdir64b (%rdx), %rax */
			 :
			 : "a"(to), "d"(from)
			 : "memory");
}

/* A CPU without the instruction has no DSA beside it, but a virtual one, which gathers these. */
static void store_words(void *to, const void *from)
{
	volatile uint64_t *out = to;
	uint64_t words[8];

	memcpy(words, from, sizeof(words));
	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		out[i] = words[i];
}

static void assigned_store64(void *arg, uint64_t offset, const void *bytes)
{
	const struct dsa_assigned *a = arg;
	struct dsa_descriptor descriptor;

	if (!range_inside(offset, sizeof(descriptor), 0, a->portal_bytes))
		return;
	if (!a->portals) {
		(void)a->sys->store64(a->sys->opaque, a->options.fd, bytes,
				      a->bar[DSA_BAR_PORTALS] + offset);
		return;
	}
	memcpy(&descriptor, bytes, sizeof(descriptor));
	__builtin_ia32_sfence(); /* what it is about comes first */
	if (a->movdir64b)
		movdir64b(a->portals + offset, &descriptor);
	else
		store_words(a->portals + offset, &descriptor);
}

static int set_interrupt(struct dsa_assigned *a)
{
	_Alignas(struct vfio_irq_set) uint8_t bytes[sizeof(struct vfio_irq_set) + sizeof(int)];
	struct vfio_irq_set *set = (struct vfio_irq_set *)bytes;

	*set = (struct vfio_irq_set){
		.argsz = sizeof(bytes),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.count = 1,
	};
	memcpy(set->data, &a->access.interrupt, sizeof(int));
	return a->sys->ioctl(a->sys->opaque, a->options.fd, VFIO_DEVICE_SET_IRQS, set);
}

static int assigned_reset(void *arg)
{
	struct dsa_assigned *a = arg;
	uint8_t command[2];
	ssize_t n;
	int ret = a->sys->ioctl(a->sys->opaque, a->options.fd, VFIO_DEVICE_RESET, NULL);

	if (ret)
		return ret;
	store_le(command, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, sizeof(command));
	n = a->sys->pwrite(a->sys->opaque, a->options.fd, command, sizeof(command),
			   a->config + PCI_COMMAND);
	if (n != sizeof(command))
		return n < 0 ? (int)n : -EIO;
	return set_interrupt(a);
}

static int assigned_attach(void *arg, uint32_t pasid, struct ioasid_space *space, struct err *err)
{
	struct dsa_assigned *a = arg;

	for (unsigned int i = 0; i < DSA_OWNER_QUEUES; i++) {
		if (!a->pasid[i])
			return ioasid_pasid_attach(a->options.device, space, pasid, &a->pasid[i],
						   err);
	}
	return err_set(err, ENOSPC, "%s: has %u PASIDs attached, which is all", a->name,
		       DSA_OWNER_QUEUES);
}

static void assigned_detach(void *arg, uint32_t pasid)
{
	struct dsa_assigned *a = arg;

	for (unsigned int i = 0; i < DSA_OWNER_QUEUES; i++) {
		if (!a->pasid[i] || ioasid_pasid_number(a->pasid[i]) != pasid)
			continue;
		ioasid_pasid_detach(a->pasid[i]);
		a->pasid[i] = NULL;
	}
}

/* --- what it is ------------------------------------------------------------------------------ */

static int get_region(struct dsa_assigned *a, unsigned int index, struct vfio_region_info *info,
		      struct err *err)
{
	int ret;

	*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = index };
	ret = a->sys->ioctl(a->sys->opaque, a->options.fd, VFIO_DEVICE_GET_REGION_INFO, info);
	return ret ? err_set(err, -ret, "%s: VFIO_DEVICE_GET_REGION_INFO %u: %s", a->name, index,
			     strerror(-ret))
		   : 0;
}

static int check_identity(struct dsa_assigned *a, struct err *err)
{
	struct ioasid_device_info info;
	uint8_t id[4] = { 0 };
	bool known = false;
	ssize_t n = a->sys->pread(a->sys->opaque, a->options.fd, id, sizeof(id), a->config);

	for (unsigned int i = 0; i < ARRAY_SIZE(device_ids); i++)
		known |= load_le(id, 2) == DSA_VENDOR_ID && load_le(id + 2, 2) == device_ids[i];
	if (n != sizeof(id) || !known)
		return err_set(err, ENOTSUP, "%s: is %04x:%04x, which is no DSA that adit knows",
			       a->name, (unsigned int)load_le(id, 2),
			       (unsigned int)load_le(id + 2, 2));
	ioasid_device_info(a->options.device, &info);
	if (!info.pasid_width)
		return err_set(
			err, ENOTSUP,
			"%s: has no PASIDs here, and its queues can be told apart by nothing "
			"else; \"adit doctor\" says what PASIDs need",
			a->name);
	a->access.record_iova = MIN(info.iova_last, ADDRESSES - 1) + 1 - RECORDS;
	if (info.iova_last < 2 * RECORDS)
		return err_set(err, ENOTSUP, "%s: its IOMMU reaches up to %#llx only", a->name,
			       (unsigned long long)info.iova_last);
	return 0;
}

static bool has_movdir64b(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & 1u << 28;
}

static int map_portals(struct dsa_assigned *a, const struct vfio_region_info *info, struct err *err)
{
	void *at;
	int ret;

	a->portal_bytes = info->size;
	a->movdir64b = has_movdir64b();
	if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return a->sys->store64
			       ? 0
			       : err_set(err, ENOTSUP, "%s: its portals cannot be mapped", a->name);
	at = mmap(NULL, info->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return err_set(err, errno, "%s: no room for its portals", a->name);
	a->portals = at;
	ret = a->sys->mmap(a->sys->opaque, a->options.fd, at, info->size, true, info->offset);
	return ret ? err_set(err, -ret, "%s: mapping its portals: %s", a->name, strerror(-ret)) : 0;
}

static int find_regions(struct dsa_assigned *a, struct err *err)
{
	struct vfio_region_info info;
	int ret = get_region(a, VFIO_PCI_CONFIG_REGION_INDEX, &info, err);

	if (ret)
		return ret;
	a->config = info.offset;
	ret = check_identity(a, err);
	if (!ret)
		ret = get_region(a, DSA_BAR_REGISTERS, &info, err);
	if (ret)
		return ret;
	a->bar[DSA_BAR_REGISTERS] = info.offset;
	ret = get_region(a, DSA_BAR_PORTALS, &info, err);
	if (ret)
		return ret;
	a->bar[DSA_BAR_PORTALS] = info.offset;
	return map_portals(a, &info, err);
}

/* Whatever is done without a PASID is done nowhere. */
static int close_rid(struct dsa_assigned *a, struct err *err)
{
	const struct ioasid_space_options options = { .name = "nothing" };
	int ret = ioasid_alloc(a->options.ctx, &options, &a->none, err);

	return ret ? ret : ioasid_attach(a->options.device, a->none, err);
}

/* --- life ------------------------------------------------------------------------------------ */

int dsa_assigned_create(struct dsa_assigned **out, const struct dsa_assigned_options *options,
			struct err *err)
{
	struct dsa_assigned *a = calloc(1, sizeof(*a));
	int ret;

	if (!a)
		return err_set(err, ENOMEM, "%s: no memory for a function", options->name);
	snprintf(a->name, sizeof(a->name), "%s", options->name);
	a->options = *options;
	a->sys = options->sys ? options->sys : &vfio_sys_kernel;
	a->access = (struct dsa_access){
		.read = assigned_read,
		.write = assigned_write,
		.store64 = assigned_store64,
		.reset = assigned_reset,
		.attach = assigned_attach,
		.detach = assigned_detach,
		.interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.arg = a,
	};
	ret = a->access.interrupt < 0
		      ? err_set(err, errno, "%s: no eventfd: %s", a->name, strerror(errno))
		      : find_regions(a, err);
	if (!ret)
		ret = close_rid(a, err);
	if (ret) {
		dsa_assigned_destroy(a);
		return ret;
	}
	*out = a;
	return 0;
}

void dsa_assigned_destroy(struct dsa_assigned *a)
{
	if (!a)
		return;
	for (unsigned int i = 0; i < DSA_OWNER_QUEUES; i++) {
		if (a->pasid[i])
			ioasid_pasid_detach(a->pasid[i]);
	}
	if (a->portals)
		munmap(a->portals, a->portal_bytes);
	if (a->none)
		ioasid_destroy(a->none);
	if (a->access.interrupt >= 0)
		close(a->access.interrupt);
	free(a);
}

const struct dsa_access *dsa_assigned_access(const struct dsa_assigned *assigned)
{
	return &assigned->access;
}
