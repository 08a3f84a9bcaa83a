/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VFIO device in memory: an NVMe-like function with MSI, MSI-X in the middle of a BAR, an I/O
 * BAR, a ROM and more capabilities than a guest should see. It answers the calls of struct vfio_sys
 * and keeps what it was told, so that tests look at both sides.
 */
#ifndef ADIT_TESTS_UNIT_FAKE_VFIO_H
#define ADIT_TESTS_UNIT_FAKE_VFIO_H

#include "fake-migration.h"
#include "test-pci.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "kvm-glue/ioapic.h"
#include "kvm-glue/vcpu.h"
#include "passthrough/vfio/internal.h"
#include "util/loop.h"

#define FAKE_REGIONS   9u
#define FAKE_BAR0_SIZE (64 * KIB)
#define FAKE_TABLE     0x4000u
#define FAKE_PBA       0x5000u
#define FAKE_VECTORS   70u
#define FAKE_STEP      0x1000000u /* between regions in the descriptor */

#define FAKE_PM	    0x40u
#define FAKE_MSI    0x50u
#define FAKE_EXP    0x70u
#define FAKE_MSIX   0xb0u
#define FAKE_VENDOR 0xc0u
#define FAKE_HT	    0xd0u
#define FAKE_VPD    0xe0u
#define FAKE_AER    0x100u
#define FAKE_ATS    0x140u /* where AER's optional registers would be */
#define FAKE_DSN    0x180u

struct fake_vfio {
	struct vfio_sys sys;
	uint8_t config[PCI_CONFIG_SIZE];
	size_t config_size;
	uint8_t io[32], rom[64 * KIB];
	uint8_t *bar0; /* a memfd's pages */
	int memfd;
	uint32_t flags;	      /* of the device */
	bool resizes, sparse; /* MSI-X grows; BAR 0 offers two areas */
	bool bus_reset;	      /* can be reset with its bus */
	bool pba_apart;	      /* the pending bits are in BAR 4 */
	int groups[2];	      /* of the two functions of its bus; hot reset asks for them */
	uint8_t bar4[8192];
	uint64_t bar4_size; /* one that can be mapped, to nowhere; where that was asked for */
	const void *bar4_at;
	bool bells_refused;
	unsigned int n_bells, bells_off; /* ioeventfds set, taken back */
	struct vfio_device_ioeventfd bells[4];
	bool no_dma_bufs;	   /* a kernel before 6.19 */
	unsigned int last_dma_buf; /* more than so many are refused; 0: none is */
	unsigned int dma_bufs;	   /* asked for: each is a descriptor of /dev/null */
	bool shy_reset;		   /* can be reset, but does not say so */
	int vector[FAKE_VECTORS];  /* eventfds of MSI or MSI-X, -1: none */
	uint32_t index;		   /* which of both; VFIO_PCI_NUM_IRQS: none */
	unsigned int enables;	   /* times that it went from none to one */
	int intx, error, removal;
	bool intx_masked, intx_level;
	unsigned int resets, bus_resets, unmasks, maps;
	struct fake_migration migration; /* its flags are none, unless a test says so */
};

static inline void fake_signal(int fd)
{
	uint64_t one = 1;

	if (fd >= 0)
		assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

/* As vfio-pci: masks itself when it fires. */
static inline void fake_intx(struct fake_vfio *v, bool level)
{
	v->intx_level = level;
	if (!level || v->intx_masked || v->intx < 0)
		return;
	v->intx_masked = true;
	fake_signal(v->intx);
}

static inline uint8_t *fake_region(struct fake_vfio *v, unsigned int index, size_t *size)
{
	switch (index) {
	case VFIO_PCI_BAR0_REGION_INDEX:
		*size = FAKE_BAR0_SIZE;
		return v->bar0;
	case VFIO_PCI_BAR2_REGION_INDEX:
		*size = sizeof(v->io);
		return v->io;
	case VFIO_PCI_BAR4_REGION_INDEX:
		*size = v->pba_apart ? sizeof(v->bar4) : v->bar4_size;
		return v->bar4;
	case VFIO_PCI_ROM_REGION_INDEX:
		*size = sizeof(v->rom);
		return v->rom;
	case VFIO_PCI_CONFIG_REGION_INDEX:
		*size = v->config_size;
		return v->config;
	default:
		*size = 0;
		return NULL;
	}
}

static inline int fake_region_info(struct fake_vfio *v, struct vfio_region_info *info)
{
	struct vfio_region_info_cap_sparse_mmap *sparse;
	size_t size, need = sizeof(*sparse) + 2 * sizeof(sparse->areas[0]);

	fake_region(v, info->index, &size);
	info->size = size;
	info->offset = (uint64_t)info->index * FAKE_STEP;
	info->flags = size ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0;
	if (info->index == VFIO_PCI_BAR4_REGION_INDEX && v->bar4_size)
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	if (info->index)
		return 0;
	info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	if (!v->sparse)
		return 0;
	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	if (info->argsz < sizeof(*info) + need) {
		info->argsz = (uint32_t)(sizeof(*info) + need);
		return 0;
	}
	info->cap_offset = sizeof(*info);
	sparse = (void *)(info + 1);
	sparse->header = (struct vfio_info_cap_header){ VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0 };
	sparse->nr_areas = 2;
	sparse->areas[0].offset = 0x1000;
	sparse->areas[0].size = 0x2000;
	sparse->areas[1].offset = 0x8000;
	sparse->areas[1].size = 0x4000;
	return 0;
}

static inline int fake_irq_info(struct fake_vfio *v, struct vfio_irq_info *info)
{
	static const uint32_t counts[] = { 1, 4, FAKE_VECTORS, 1, 1 };

	if (info->index >= ARRAY_SIZE(counts))
		return -EINVAL;
	info->count = counts[info->index];
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	if (info->index == VFIO_PCI_INTX_IRQ_INDEX)
		info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (info->index != VFIO_PCI_MSIX_IRQ_INDEX || !v->resizes)
		info->flags |= VFIO_IRQ_INFO_NORESIZE;
	return 0;
}

static inline int fake_set_messages(struct fake_vfio *v, const struct vfio_irq_set *set,
				    const int *fds)
{
	if (set->flags & VFIO_IRQ_SET_DATA_NONE) {
		for (unsigned int i = 0; i < FAKE_VECTORS; i++)
			v->vector[i] = -1;
		v->index = VFIO_PCI_NUM_IRQS;
		return 0;
	}
	if (set->start + set->count > FAKE_VECTORS || v->intx >= 0)
		return -EINVAL;
	if (v->index != set->index) {
		if (v->index != VFIO_PCI_NUM_IRQS)
			return -EINVAL;
		v->index = set->index;
		v->enables++;
	} else if (!v->resizes || set->index == VFIO_PCI_MSI_IRQ_INDEX) {
		return -EINVAL;
	}
	for (unsigned int i = 0; i < set->count; i++)
		v->vector[set->start + i] = fds[i];
	return 0;
}

static inline int fake_set_irqs(struct fake_vfio *v, struct vfio_irq_set *set)
{
	const int *fds = (const int *)(void *)set->data;
	bool off = set->flags & VFIO_IRQ_SET_DATA_NONE;

	switch (set->index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		if (set->flags & VFIO_IRQ_SET_ACTION_UNMASK) {
			v->unmasks++;
			v->intx_masked = false;
			fake_intx(v, v->intx_level);
			return 0;
		}
		if (!off && v->index != VFIO_PCI_NUM_IRQS)
			return -EINVAL;
		v->intx = off ? -1 : fds[0];
		v->intx_masked = false;
		if (!off)
			fake_intx(v, v->intx_level);
		return 0;
	case VFIO_PCI_MSI_IRQ_INDEX:
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return fake_set_messages(v, set, fds);
	case VFIO_PCI_ERR_IRQ_INDEX:
		v->error = off ? -1 : fds[0];
		return 0;
	case VFIO_PCI_REQ_IRQ_INDEX:
		v->removal = off ? -1 : fds[0];
		return 0;
	default:
		return -EINVAL;
	}
}

static inline int fake_hot_reset_info(struct fake_vfio *v, struct vfio_pci_hot_reset_info *info)
{
	unsigned int n = ARRAY_SIZE(v->groups);

	if (!v->bus_reset)
		return -ENODEV;
	info->count = n;
	if (info->argsz < sizeof(*info) + n * sizeof(info->devices[0]))
		return -ENOSPC;
	for (unsigned int i = 0; i < n; i++)
		info->devices[i] = (struct vfio_pci_dependent_device){
			.group_id = (uint32_t)v->groups[i], .bus = 4, .devfn = (uint8_t)i
		};
	return 0;
}

/* Descriptors of groups are 2000 + number. No group at all is how a cdev asks. */
static inline int fake_hot_reset(struct fake_vfio *v, const struct vfio_pci_hot_reset *reset)
{
	bool all = v->bus_reset;

	for (unsigned int i = 0; reset->count && i < ARRAY_SIZE(v->groups); i++) {
		bool one = false;

		for (unsigned int j = 0; j < reset->count; j++)
			one |= reset->group_fds[j] == 2000 + v->groups[i];
		all &= one;
	}
	if (reset->count > ARRAY_SIZE(v->groups))
		return -EINVAL;
	v->bus_resets += all;
	return all ? 0 : -EPERM;
}

static inline int fake_ioeventfd(struct fake_vfio *v, const struct vfio_device_ioeventfd *event)
{
	if (v->bells_refused || v->n_bells == ARRAY_SIZE(v->bells))
		return -ENOTTY;
	if (event->fd < 0)
		v->bells_off++;
	else
		v->bells[v->n_bells++] = *event;
	return 0;
}

static inline int fake_ioctl(void *opaque, int fd, unsigned long request, void *arg)
{
	struct fake_vfio *v = opaque;
	struct vfio_device_info *info = arg;

	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		info->flags = v->flags;
		info->num_regions = FAKE_REGIONS;
		info->num_irqs = VFIO_PCI_NUM_IRQS;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return fake_region_info(v, arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return fake_irq_info(v, arg);
	case VFIO_DEVICE_SET_IRQS:
		return fake_set_irqs(v, arg);
	case VFIO_DEVICE_IOEVENTFD:
		return fake_ioeventfd(v, arg);
	case VFIO_DEVICE_FEATURE:
		if (fake_migration_asked(arg))
			return fake_migration_feature(&v->migration, arg);
		if (v->no_dma_bufs)
			return -ENOTTY;
		if (v->last_dma_buf && v->dma_bufs == v->last_dma_buf)
			return -ENOMEM;
		v->dma_bufs++;
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case VFIO_DEVICE_RESET:
		if (!(v->flags & VFIO_DEVICE_FLAGS_RESET) && !v->shy_reset)
			return -EINVAL;
		v->resets++;
		memset(v->bar0, 0, FAKE_BAR0_SIZE);
		fake_migration_reset(&v->migration);
		return 0;
	case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
		return fake_hot_reset_info(v, arg);
	case VFIO_DEVICE_PCI_HOT_RESET:
		return fake_hot_reset(v, arg);
	default:
		return -ENOTTY;
	}
}

static inline ssize_t fake_access(struct fake_vfio *v, void *in, const void *out, size_t size,
				  uint64_t offset)
{
	size_t have;
	uint8_t *region = fake_region(v, (unsigned int)(offset / FAKE_STEP), &have);

	offset %= FAKE_STEP;
	if (!region || offset + size > have)
		return -EINVAL;
	/* vfio-pci may do less than was asked for. */
	size = size == 8 ? 4 : MIN(size, (size_t)200);
	if (in)
		memcpy(in, region + offset, size);
	if (out)
		memcpy(region + offset, out, size);
	return (ssize_t)size;
}

static inline ssize_t fake_pread(void *opaque, int fd, void *data, size_t size, uint64_t offset)
{
	return fake_access(opaque, data, NULL, size, offset);
}

static inline ssize_t fake_pwrite(void *opaque, int fd, const void *data, size_t size,
				  uint64_t offset)
{
	return fake_access(opaque, NULL, data, size, offset);
}

static inline int fake_mmap(void *opaque, int fd, void *at, size_t size, bool write,
			    uint64_t offset)
{
	struct fake_vfio *v = opaque;

	v->maps++;
	if (offset >= FAKE_STEP) {
		v->bar4_at = at;
		return -EINVAL;
	}
	return mmap(at, size, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED,
		    v->memfd, (off_t)offset) == MAP_FAILED
		       ? -errno
		       : 0;
}

static inline void fake_cap(struct fake_vfio *v, unsigned int at, unsigned int next, uint8_t id)
{
	v->config[at] = id;
	v->config[at + 1] = (uint8_t)next;
}

static inline void fake_fill(struct fake_vfio *v)
{
	uint8_t *c = v->config;

	store_le(c + PCI_VENDOR_ID, 0x1b36, 2);
	store_le(c + PCI_DEVICE_ID, 0x0010, 2);
	store_le(c + PCI_CLASS_PROG, 0x010802, 3);
	c[PCI_REVISION_ID] = 2;
	c[PCI_HEADER_TYPE] = 0x80;
	store_le(c + PCI_STATUS, PCI_STATUS_CAP_LIST, 2);
	store_le(c + PCI_BASE_ADDRESS_0, 0xc, 4);
	store_le(c + PCI_BASE_ADDRESS_2, 1, 4);
	c[PCI_CAPABILITY_LIST] = FAKE_PM;
	fake_cap(v, FAKE_PM, FAKE_MSI, PCI_CAP_ID_PM);
	store_le(c + FAKE_PM + PCI_PM_PMC, 0xc803, 2);
	fake_cap(v, FAKE_MSI, FAKE_EXP, PCI_CAP_ID_MSI);
	store_le(c + FAKE_MSI + PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | 2 << 1,
		 2);
	fake_cap(v, FAKE_EXP, FAKE_MSIX, PCI_CAP_ID_EXP);
	store_le(c + FAKE_EXP + PCI_EXP_FLAGS, 2, 2);
	store_le(c + FAKE_EXP + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | 0x2 | 0x100, 4);
	store_le(c + FAKE_EXP + PCI_EXP_DEVCTL,
		 PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_RELAX_EN | 0x2000, 2);
	store_le(c + FAKE_EXP + PCI_EXP_LNKCAP, 0x12345678, 4);
	store_le(c + FAKE_EXP + PCI_EXP_DEVCAP2, 0x12345678, 4);
	fake_cap(v, FAKE_MSIX, FAKE_VENDOR, PCI_CAP_ID_MSIX);
	store_le(c + FAKE_MSIX + PCI_MSIX_FLAGS, FAKE_VECTORS - 1, 2);
	store_le(c + FAKE_MSIX + PCI_MSIX_TABLE, FAKE_TABLE, 4);
	store_le(c + FAKE_MSIX + PCI_MSIX_PBA, FAKE_PBA, 4);
	fake_cap(v, FAKE_VENDOR, FAKE_HT, PCI_CAP_ID_VNDR);
	store_le(c + FAKE_VENDOR + 2, 0xaabbcc08, 4);
	fake_cap(v, FAKE_HT, FAKE_VPD, PCI_CAP_ID_HT);
	fake_cap(v, FAKE_VPD, 0, PCI_CAP_ID_VPD);
	store_le(c + FAKE_AER, 1 | 2 << 16 | FAKE_ATS << 20, 4);
	store_le(c + FAKE_ATS, 0xf | 1 << 16 | FAKE_DSN << 20, 4);
	store_le(c + FAKE_DSN, 3 | 1 << 16, 4);
	store_le(c + FAKE_DSN + 4, 0x1122334455667788, 8);
}

static inline void fake_open(struct fake_vfio *v)
{
	*v = (struct fake_vfio){
		.sys = { fake_ioctl, fake_pread, fake_pwrite, fake_mmap, v },
		.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
		.config_size = PCI_CONFIG_SIZE,
		.resizes = true,
		.index = VFIO_PCI_NUM_IRQS,
		.migration = { .state = VFIO_DEVICE_STATE_RUNNING },
		.intx = -1,
		.error = -1,
		.removal = -1,
	};
	for (unsigned int i = 0; i < FAKE_VECTORS; i++)
		v->vector[i] = -1;
	v->memfd = memfd_create("fake-vfio", MFD_CLOEXEC);
	assert_int_equal(ftruncate(v->memfd, FAKE_BAR0_SIZE), 0);
	v->bar0 = mmap(NULL, FAKE_BAR0_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->memfd, 0);
	assert_true(v->bar0 != MAP_FAILED);
	fake_fill(v);
}

static inline void fake_close(struct fake_vfio *v)
{
	fake_migration_close(&v->migration);
	munmap(v->bar0, FAKE_BAR0_SIZE);
	close(v->memfd);
}

/* A VM with a vCPU that never runs, interrupt lines, a bus, and the device in slot 4 of it. */
#define FAKE_SLOT 4u
#define FAKE_PIN  16u

struct fake_rig {
	struct rig rig;
	struct fake_vfio v;
	struct vcpu *vcpu;
	struct ioapic *ioapic;
	struct loop *loop;
	struct vfio_function *f;
	uint64_t bar0;
	unsigned int errors, removals;
};

static inline void fake_event(void *opaque, enum vfio_event event)
{
	struct fake_rig *m = opaque;

	m->errors += event == VFIO_EVENT_ERROR;
	m->removals += event == VFIO_EVENT_REMOVAL;
	loop_stop(m->loop);
}

static inline struct vfio_options fake_options(struct fake_rig *m)
{
	return (struct vfio_options){ .name = "nvme",
				      .fd = 1000,
				      .sys = &m->v.sys,
				      .no_snoop = true,
				      .loop = m->loop,
				      .event = fake_event,
				      .opaque = m };
}

/* NULL, with the reason printed, where there is no KVM. m->v may be changed before fake_plug. */
static inline struct fake_rig *fake_rig_open(void)
{
	struct pci_bus_options options = rig_windows;
	struct fake_rig *m = aligned_alloc(64, align_up(sizeof(*m), 64));
	struct err err = { 0 };

	memset(m, 0, sizeof(*m));
	if (vm_create(&m->rig.vm, &(struct vm_options){ .kvm_fd = -1 }, &err)) {
		print_message("SKIPPED: %s\n", err.text);
		free(m);
		return NULL;
	}
	assert_int_equal(vm_split_irqchip(m->rig.vm, IOAPIC_PINS, &err), 0);
	assert_int_equal(ioapic_create(&m->ioapic, m->rig.vm, &err), 0);
	assert_int_equal(vcpu_create(&m->vcpu, m->rig.vm, 0, m->ioapic, &err), 0);
	assert_int_equal(loop_create(&m->loop, &err), 0);
	options.ioapic = m->ioapic;
	options.intx_pin = FAKE_PIN;
	epoch_join(vm_epoch(m->rig.vm), &m->rig.reader);
	assert_int_equal(pci_bus_create(&m->rig.bus, m->rig.vm, &options, &err), 0);
	fake_open(&m->v);
	return m;
}

static inline void fake_plug(struct fake_rig *m, const struct vfio_options *options)
{
	struct err err = { 0 };

	if (vfio_function_create(&m->f, m->rig.vm, options, &err))
		fail_msg("%s", err.text);
	add_function(&m->rig, vfio_function_pci(m->f), FAKE_SLOT);
	cfg_write(&m->rig, FAKE_SLOT, PCI_COMMAND,
		  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	m->bar0 = pci_function_bar_address(vfio_function_pci(m->f), 0);
}

static inline void fake_rig_close(struct fake_rig *m)
{
	pci_bus_destroy(m->rig.bus);
	epoch_leave(vm_epoch(m->rig.vm), &m->rig.reader);
	vcpu_destroy(m->vcpu);
	ioapic_destroy(m->ioapic);
	loop_destroy(m->loop);
	vm_destroy(m->rig.vm);
	fake_close(&m->v);
	free(m);
}

#define FAKE_RIG(m)                           \
	struct fake_rig *m = fake_rig_open(); \
	if (!m)                               \
		skip();

#endif
