/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a device for its DMA: by ioasid-client, or by the ioctls alone that it comes to. */
#include "bench/dma-port.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/host.h"
#include "ioasid-client/providers/iommufd-uapi.h"
#include "util/bits.h"

#define DMA_PATIENCE_SECONDS 20

/* --- the two ways ---------------------------------------------------------------------------- */

static int open_ours(struct dma_port *port, const struct map_contest *provider,
		     const struct bench_options *options, const struct map_memory *memory,
		     struct err *err)
{
	const struct ioasid_space_options wanted = { .name = "bench" };
	struct ioasid_device *device = NULL;
	struct ioasid_space *space = NULL;
	int r = ioasid_ctx_open(&port->ctx, provider->provider, NULL, err);

	if (r)
		return r;
	r = map_bind(provider, options, port->ctx, &device, err);
	if (!r)
		r = ioasid_alloc(port->ctx, &wanted, &space, err);
	if (!r)
		r = ioasid_attach(device, space, err);
	if (!r)
		r = ioasid_map_hva(space, MAP_IOVA, memory->size, memory->at,
				   IOASID_READ | IOASID_WRITE, err);
	if (r)
		return r;
	port->fd = ioasid_device_fd(device);
	port->bound = device;
	return 0;
}

/* 0 or -1 with errno. */
static int bare_iommufd(struct dma_port *port, const struct bench_options *options,
			const struct map_memory *memory)
{
	struct vfio_cdev_bind bind = { .argsz = sizeof(bind) };
	struct vfio_cdev_attach attach = { .argsz = sizeof(attach) };
	struct ifd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct ifd_ioas_map map = {
		.size = sizeof(map),
		.flags = IFD_MAP_FIXED_IOVA | IFD_MAP_WRITEABLE | IFD_MAP_READABLE,
		.user_va = (uintptr_t)memory->at,
		.length = memory->size,
		.iova = MAP_IOVA,
	};

	port->bare_iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	port->fd = open(options->cdev, O_RDWR | O_CLOEXEC);
	if (port->bare_iommu < 0 || port->fd < 0)
		return -1;
	bind.iommufd = port->bare_iommu;
	if (ioctl(port->fd, VFIO_CDEV_BIND, &bind) ||
	    ioctl(port->bare_iommu, IFD_IOAS_ALLOC, &alloc))
		return -1;
	attach.pt_id = map.ioas_id = alloc.out_ioas_id;
	if (ioctl(port->fd, VFIO_CDEV_ATTACH, &attach))
		return -1;
	return ioctl(port->bare_iommu, IFD_IOAS_MAP, &map);
}

static int bare_type1(struct dma_port *port, const struct bench_options *options,
		      const struct map_memory *memory)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory->at,
		.iova = MAP_IOVA,
		.size = memory->size,
	};

	port->bare_iommu = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	port->bare_group = open(options->group, O_RDWR | O_CLOEXEC);
	if (port->bare_iommu < 0 || port->bare_group < 0 ||
	    ioctl(port->bare_group, VFIO_GROUP_SET_CONTAINER, &port->bare_iommu) ||
	    ioctl(port->bare_iommu, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -1;
	port->fd = ioctl(port->bare_group, VFIO_GROUP_GET_DEVICE_FD, options->device);
	return port->fd < 0 ? -1 : ioctl(port->bare_iommu, VFIO_IOMMU_MAP_DMA, &map);
}

static int open_bare(struct dma_port *port, const struct map_contest *provider,
		     const struct bench_options *options, const struct map_memory *memory,
		     struct err *err)
{
	int r = provider->provider == IOASID_PROVIDER_IOMMUFD ? bare_iommufd(port, options, memory)
							      : bare_type1(port, options, memory);

	return r ? err_set(err, errno, "%s by the bare ioctls: %m", provider->name) : 0;
}

/* --- the device ------------------------------------------------------------------------------ */

static int region(const struct dma_port *port, unsigned int index, struct vfio_region_info *info,
		  struct err *err)
{
	*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = index };
	return ioctl(port->fd, VFIO_DEVICE_GET_REGION_INFO, info)
		       ? err_set(err, errno, "region %u of the device: %m", index)
		       : 0;
}

static int find_driver(struct dma_port *port, uint64_t config, struct err *err)
{
	uint8_t header[64];
	uint16_t vendor, device, command;
	uint32_t class_code;

	if (pread(port->fd, header, sizeof(header), (off_t)config) != (ssize_t)sizeof(header))
		return err_set(err, EIO, "the device's configuration space cannot be read");
	memcpy(&vendor, header + PCI_VENDOR_ID, 2);
	memcpy(&device, header + PCI_DEVICE_ID, 2);
	memcpy(&class_code, header + PCI_CLASS_REVISION, 4);
	memcpy(&command, header + PCI_COMMAND, 2);
	port->device.driver = dma_find(vendor, device, class_code >> 8);
	if (!port->device.driver)
		return err_set(err, ENOTSUP,
			       "%04x:%04x, class %06x: no driver of this bench knows it; there are "
			       "edu and nvme",
			       vendor, device, class_code >> 8);
	if (port->device.driver->refused)
		return err_set(err, ENOTSUP, "%04x:%04x: %s", vendor, device,
			       port->device.driver->refused);
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(port->fd, &command, 2, (off_t)config + PCI_COMMAND) != 2)
		return err_set(err, EIO, "the device cannot be made bus master");
	return 0;
}

static int map_registers(struct dma_port *port, struct err *err)
{
	struct vfio_region_info info;
	void *at;
	int r = region(port, VFIO_PCI_BAR0_REGION_INDEX, &info, err);

	if (r)
		return r;
	if (!(info.flags & VFIO_REGION_INFO_FLAG_MMAP) || info.size < 2ULL * DMA_PAGE)
		return err_set(err, ENOTSUP, "BAR 0 of %llu bytes cannot be mapped",
			       (unsigned long long)info.size);
	at = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, port->fd,
		  (off_t)info.offset);
	if (at == MAP_FAILED)
		return err_set(err, errno, "BAR 0: %m");
	port->device.registers = at;
	port->registers_size = info.size;
	return 0;
}

int dma_port_open(struct dma_port *port, const struct map_contest *provider, bool bare,
		  const struct bench_options *options, const struct map_memory *memory,
		  struct err *err)
{
	struct vfio_region_info config;
	char state[128];
	int r;

	*port = (struct dma_port){
		.fd = -1,
		.bare_iommu = -1,
		.bare_group = -1,
		.device = {
			.memory = memory->at,
			.address = MAP_IOVA,
			.size = memory->size,
			.patience = (uint64_t)(host_tsc_hertz() * DMA_PATIENCE_SECONDS),
		},
	};
	r = bare ? open_bare(port, provider, options, memory, err)
		 : open_ours(port, provider, options, memory, err);
	if (!r)
		r = region(port, VFIO_PCI_CONFIG_REGION_INDEX, &config, err);
	if (!r)
		r = find_driver(port, config.offset, err);
	if (!r)
		r = map_registers(port, err);
	if (r || port->device.driver->start(&port->device))
		return r;
	dma_port_describe(port, state, sizeof(state));
	return err_set(err, EIO, "%s does not start: %s", port->device.driver->name, state);
}

void dma_port_close(struct dma_port *port)
{
	if (port->device.registers) {
		port->device.driver->stop(&port->device);
		munmap((void *)port->device.registers, port->registers_size);
	}
	if (port->ctx)
		ioasid_ctx_close(port->ctx);
	else if (port->fd >= 0)
		close(port->fd);
	if (port->bare_group >= 0)
		close(port->bare_group);
	if (port->bare_iommu >= 0)
		close(port->bare_iommu);
}

void dma_port_describe(struct dma_port *port, char *text, size_t size)
{
	struct dma_device *d = &port->device;
	uint32_t value = 0;
	const char *name = d->driver->describe(d, &value);

	snprintf(text, size, "at %s; %s 0x%x, %llu failed, the last with status 0x%x", d->at, name,
		 value, (unsigned long long)d->failed, d->error);
}
