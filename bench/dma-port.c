/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a device for its DMA: by ioasid-client, or by the ioctls alone that it comes to. */
#include "bench/dma-port.h"

#include <cpuid.h>
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
#include "passthrough/vfio/vfio.h"
#include "util/bits.h"

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
	int ret;

	*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = index };
	ret = port->sys->ioctl(port->sys->opaque, port->fd, VFIO_DEVICE_GET_REGION_INFO, info);
	return ret ? err_set(err, -ret, "region %u of the device: %s", index, strerror(-ret)) : 0;
}

/* Of configuration space, whose region begins at `config`. */
static bool config_read(const struct dma_port *port, uint64_t config, void *data, size_t size)
{
	return port->sys->pread(port->sys->opaque, port->fd, data, size, config) == (ssize_t)size;
}

static int find_driver(struct dma_port *port, uint64_t config, struct err *err)
{
	const struct vfio_sys *sys = port->sys;
	uint8_t header[64];
	uint16_t vendor, device, command;
	uint32_t class_code;

	if (!config_read(port, config, header, sizeof(header)))
		return err_set(err, EIO, "the device's configuration space cannot be read");
	memcpy(&vendor, header + PCI_VENDOR_ID, 2);
	memcpy(&device, header + PCI_DEVICE_ID, 2);
	memcpy(&class_code, header + PCI_CLASS_REVISION, 4);
	memcpy(&command, header + PCI_COMMAND, 2);
	port->device.driver = dma_find(vendor, device, class_code >> 8);
	if (!port->device.driver)
		return err_set(err, ENOTSUP,
			       "%04x:%04x, class %06x: no driver of this bench knows it; there are "
			       "dsa, edu, ioat and nvme",
			       vendor, device, class_code >> 8);
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (sys->pwrite(sys->opaque, port->fd, &command, 2, config + PCI_COMMAND) != 2)
		return err_set(err, EIO, "the device cannot be made bus master");
	return 0;
}

/* --- registers and portals ------------------------------------------------------------------- */

static bool has_movdir64b(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & bit_MOVDIR64B;
}

static void store_mapped(struct dma_device *d, uint32_t at, const void *data)
{
	const struct dma_port *port = container_of(d, struct dma_port, device);
	volatile uint64_t *to = (volatile uint64_t *)(port->portals + at);
	uint64_t word[8];

	/* MOVDIR64B is ordered behind nothing by itself (SDM volume 2). */
	__asm__ volatile("sfence" : : : "memory");
	if (!d->torn) {
		__asm__ volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x02" /* movdir64b (%rdx), %rax */
				 :
				 : "a"(to), "d"(data)
				 : "memory");
		return;
	}
	memcpy(word, data, sizeof(word));
	for (unsigned int i = 0; i < ARRAY_SIZE(word); i++)
		to[i] = word[i];
}

static int map_bar(const struct dma_port *port, const struct vfio_region_info *info,
		   volatile uint8_t **out, uint64_t *size, struct err *err)
{
	void *at;

	if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return err_set(err, ENOTSUP, "BAR %u of %llu bytes cannot be mapped", info->index,
			       (unsigned long long)info->size);
	at = mmap(NULL, info->size, PROT_READ | PROT_WRITE, MAP_SHARED, port->fd,
		  (off_t)info->offset);
	if (at == MAP_FAILED)
		return err_set(err, errno, "BAR %u: %m", info->index);
	*out = at;
	*size = info->size;
	return 0;
}

static int reach_registers(struct dma_port *port, struct err *err)
{
	struct vfio_region_info registers, portals = { .size = 2ULL * DMA_PAGE };
	struct dma_device *d = &port->device;
	int r = region(port, VFIO_PCI_BAR0_REGION_INDEX, &registers, err);

	if (!r && d->driver->portals)
		r = region(port, VFIO_PCI_BAR2_REGION_INDEX, &portals, err);
	if (r)
		return r;
	if (registers.size < 2ULL * DMA_PAGE || portals.size < 2ULL * DMA_PAGE)
		return err_set(err, ENOTSUP, "%s: BARs of %llu and %llu bytes are too small",
			       d->driver->name, (unsigned long long)registers.size,
			       (unsigned long long)portals.size);
	port->registers_at = registers.offset;
	port->portals_at = portals.offset;
	if (port->client) {
		dma_served_reach(port);
		return 0;
	}
	r = map_bar(port, &registers, &d->registers, &port->registers_size, err);
	if (r || !d->driver->portals)
		return r;
	d->store64 = store_mapped;
	d->torn = !has_movdir64b();
	return map_bar(port, &portals, &port->portals, &port->portals_size, err);
}

/* --- both ------------------------------------------------------------------------------------ */

static struct dma_port new_port(const struct map_memory *memory)
{
	return (struct dma_port){
		.sys = &vfio_sys_kernel,
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
}

void dma_port_open_cpu(struct dma_port *port, const struct map_memory *memory)
{
	*port = new_port(memory);
	port->device.driver = &dma_cpu;
	port->device.driver->start(&port->device);
}

int dma_port_open(struct dma_port *port, const struct map_contest *provider, bool bare,
		  const struct bench_options *options, const struct map_memory *memory,
		  const struct dma_queues *queues, struct err *err)
{
	struct vfio_region_info config;
	char state[256];
	int r;

	*port = new_port(memory);
	if (queues)
		port->device.wanted = *queues;
	if (provider == &dma_served)
		r = dma_served_connect(port, options, memory, err);
	else
		r = bare ? open_bare(port, provider, options, memory, err)
			 : open_ours(port, provider, options, memory, err);
	if (!r)
		r = region(port, VFIO_PCI_CONFIG_REGION_INDEX, &config, err);
	if (!r)
		r = find_driver(port, config.offset, err);
	if (!r)
		r = reach_registers(port, err);
	if (r || port->device.driver->start(&port->device))
		return r;
	dma_port_describe(port, state, sizeof(state));
	return err_set(err, EIO, "%s does not start: %s", port->device.driver->name, state);
}

void dma_port_close(struct dma_port *port)
{
	struct dma_device *d = &port->device;

	if (d->registers || d->read)
		d->driver->stop(d);
	if (d->registers)
		munmap((void *)d->registers, port->registers_size);
	if (port->portals)
		munmap((void *)port->portals, port->portals_size);
	if (port->client)
		dma_served_close(port);
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
