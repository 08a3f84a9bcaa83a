/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modern PCI transport: the function with its capabilities, the registers of BAR 0, and the
 * doorbells that KVM turns into eventfds without an exit.
 *
 * Registers are written in any width and at any offset; what is written is merged with what the
 * register holds, and then means what it says.
 *
 * Source: OASIS virtio 1.2, section 4.1.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "kvm-glue/irq.h"
#include "passthrough/pci/pci.h"
#include "util/bits.h"
#include "vmm/virtio/internal.h"

#define VIRTIO_VENDOR	 0x1af4
#define VIRTIO_DEVICE(t) (0x1040u + (t)) /* 4.1.2 */
#define VIRTIO_REVISION	 1

/* Vendor capabilities, 4.1.4. */
#define CAP_SIZE	16u
#define CAP_NOTIFY_SIZE 20u
#define CAP_PCI_SIZE	20u
#define CAP_LENGTH	2u
#define CAP_TYPE	3u
#define CAP_BAR		4u
#define CAP_OFFSET	8u
#define CAP_RANGE	12u
#define CAP_EXTRA	16u /* notify: the multiplier; PCI access: the data */
#define TYPE_COMMON	1u
#define TYPE_NOTIFY	2u
#define TYPE_ISR	3u
#define TYPE_DEVICE	4u
#define TYPE_PCI	5u

/* The common configuration, 4.1.4.3. */
enum common {
	COMMON_OFFERED_SELECT = 0x00,
	COMMON_OFFERED = 0x04,
	COMMON_ACCEPTED_SELECT = 0x08,
	COMMON_ACCEPTED = 0x0c,
	COMMON_CONFIG_VECTOR = 0x10,
	COMMON_QUEUES = 0x12,
	COMMON_STATUS = 0x14,
	COMMON_GENERATION = 0x15,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY = 0x1e,
	COMMON_DESC = 0x20,
	COMMON_DRIVER = 0x28,
	COMMON_DEVICE = 0x30,
	/* 0x38, queue_notify_data, is there only with a feature that is not offered. */
	COMMON_QUEUE_RESET = 0x3a,
	COMMON_SIZE = 0x3c,
};

static const struct {
	uint8_t at, size;
} fields[] = {
	{ COMMON_OFFERED_SELECT, 4 }, { COMMON_OFFERED, 4 },	   { COMMON_ACCEPTED_SELECT, 4 },
	{ COMMON_ACCEPTED, 4 },	      { COMMON_CONFIG_VECTOR, 2 }, { COMMON_QUEUES, 2 },
	{ COMMON_STATUS, 1 },	      { COMMON_GENERATION, 1 },	   { COMMON_QUEUE_SELECT, 2 },
	{ COMMON_QUEUE_SIZE, 2 },     { COMMON_QUEUE_VECTOR, 2 },  { COMMON_QUEUE_ENABLE, 2 },
	{ COMMON_QUEUE_NOTIFY, 2 },   { COMMON_DESC, 8 },	   { COMMON_DRIVER, 8 },
	{ COMMON_DEVICE, 8 },	      { COMMON_QUEUE_RESET, 2 },
};

/* NULL: queue_select names none. */
static struct virtio_queue *selected(struct virtio_device *device)
{
	return device->queue_select < device->n_queues ? &device->queues[device->queue_select]
						       : NULL;
}

static uint64_t half(uint64_t features, uint32_t select)
{
	return select < 2 ? features >> (32 * select) & 0xffffffff : 0;
}

static uint64_t queue_field(struct virtio_device *device, unsigned int field)
{
	const struct virtio_queue *q = selected(device);

	if (!q)
		return field == COMMON_QUEUE_VECTOR ? VIRTIO_NO_VECTOR : 0;
	switch (field) {
	case COMMON_QUEUE_SIZE:
		return q->vq.size;
	case COMMON_QUEUE_VECTOR:
		return q->vector;
	case COMMON_QUEUE_ENABLE:
		return q->enabled;
	case COMMON_QUEUE_NOTIFY:
		return device->queue_select;
	case COMMON_QUEUE_RESET:
		return q->resetting;
	case COMMON_DESC:
		return q->vq.desc;
	case COMMON_DRIVER:
		return q->vq.driver;
	default:
		return q->vq.device;
	}
}

static uint64_t common_field(struct virtio_device *device, unsigned int field)
{
	switch (field) {
	case COMMON_OFFERED_SELECT:
		return device->offered_select;
	case COMMON_OFFERED:
		return half(device->offered, device->offered_select);
	case COMMON_ACCEPTED_SELECT:
		return device->accepted_select;
	case COMMON_ACCEPTED:
		return half(device->accepted, device->accepted_select);
	case COMMON_CONFIG_VECTOR:
		return device->config_vector;
	case COMMON_QUEUES:
		return device->n_queues;
	case COMMON_STATUS:
		/* While a reset is under way the old status stays readable: it is not 0. */
		return device->status;
	case COMMON_GENERATION:
		return device->generation;
	case COMMON_QUEUE_SELECT:
		return device->queue_select;
	default:
		return queue_field(device, field);
	}
}

/* A vector that does not exist reads back as none (4.1.4.3.1). */
static uint16_t checked_vector(const struct virtio_device *device, uint64_t vector)
{
	return vector <= device->n_queues ? (uint16_t)vector : VIRTIO_NO_VECTOR;
}

static void write_queue_field(struct virtio_device *device, unsigned int field, uint64_t value)
{
	struct virtio_queue *q = selected(device);

	if (!q || q->resetting)
		return;
	if (field == COMMON_QUEUE_RESET) {
		if (value == 1)
			virtio_reset_queue(device, device->queue_select);
		return;
	}
	if (field == COMMON_QUEUE_VECTOR) {
		q->vector = checked_vector(device, value);
		return;
	}
	if (q->enabled)
		return;
	switch (field) {
	case COMMON_QUEUE_SIZE:
		if (value && value <= device->options.queue_size)
			q->vq.size = (uint16_t)value;
		break;
	case COMMON_QUEUE_ENABLE:
		if (value == 1)
			virtio_enable_queue(device, device->queue_select);
		break;
	case COMMON_DESC:
		q->vq.desc = value;
		break;
	case COMMON_DRIVER:
		q->vq.driver = value;
		break;
	case COMMON_DEVICE:
		q->vq.device = value;
		break;
	default:
		break;
	}
}

static void write_accepted(struct virtio_device *device, uint32_t value)
{
	unsigned int shift = 32 * device->accepted_select;

	if (device->accepted_select > 1 || (device->status & STATUS_FEATURES_OK))
		return;
	device->accepted &= ~(0xffffffffULL << shift);
	device->accepted |= (uint64_t)value << shift;
}

static void write_common_field(struct virtio_device *device, unsigned int field, uint64_t value)
{
	/* The driver waits for status 0 before it touches anything (4.1.4.3.2). */
	if (device->stopping)
		return;
	switch (field) {
	case COMMON_OFFERED_SELECT:
		device->offered_select = (uint32_t)value;
		break;
	case COMMON_ACCEPTED_SELECT:
		device->accepted_select = (uint32_t)value;
		break;
	case COMMON_ACCEPTED:
		write_accepted(device, (uint32_t)value);
		break;
	case COMMON_CONFIG_VECTOR:
		device->config_vector = checked_vector(device, value);
		break;
	case COMMON_STATUS:
		virtio_write_status(device, (uint8_t)value);
		break;
	case COMMON_QUEUE_SELECT:
		device->queue_select = (uint16_t)value;
		break;
	default:
		write_queue_field(device, field, value);
	}
}

static uint64_t common_read(struct virtio_device *device, uint64_t offset, unsigned int size)
{
	uint8_t image[COMMON_SIZE + 8] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (range_overlaps(offset, size, fields[i].at, fields[i].size))
			store_le(image + fields[i].at, common_field(device, fields[i].at),
				 fields[i].size);
	}
	return load_le(image + offset, size);
}

static void common_write(struct virtio_device *device, uint64_t offset, uint64_t value,
			 unsigned int size)
{
	uint8_t bytes[8];

	store_le(bytes, value, size);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		uint64_t at = fields[i].at;
		uint8_t field[8] = { 0 };

		if (!range_overlaps(offset, size, at, fields[i].size))
			continue;
		store_le(field, common_field(device, fields[i].at), fields[i].size);
		for (unsigned int b = 0; b < fields[i].size; b++) {
			if (at + b >= offset && at + b - offset < size)
				field[b] = bytes[at + b - offset];
		}
		write_common_field(device, fields[i].at, load_le(field, fields[i].size));
	}
}

/* --- BAR 0 ----------------------------------------------------------------------------------- */

static bool in_device_config(const struct virtio_device *device, uint64_t offset, unsigned int size)
{
	return range_inside(offset, size, VIRTIO_BAR_DEVICE, device->options.config_size);
}

uint64_t virtio_pci_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct virtio_device *device = opaque;
	uint8_t data[8] = { 0 };
	uint64_t value = 0;

	virtio_lock(device);
	if (range_inside(offset, size, VIRTIO_BAR_COMMON, COMMON_SIZE)) {
		value = common_read(device, offset, size);
	} else if (offset == VIRTIO_BAR_ISR) {
		value = device->isr;
		device->isr = 0;
	} else if (in_device_config(device, offset, size)) {
		device->options.ops->config_read(device->options.opaque,
						 (uint32_t)(offset - VIRTIO_BAR_DEVICE), data,
						 size);
		value = load_le(data, size);
	}
	virtio_unlock(device);
	return value;
}

void virtio_pci_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct virtio_device *device = opaque;
	uint64_t queue = (offset - VIRTIO_BAR_NOTIFY) / VIRTIO_NOTIFY_STEP;
	uint8_t data[8];

	/* The address says which queue: the value repeats it (4.1.5.2). */
	if (offset >= VIRTIO_BAR_NOTIFY && queue < device->n_queues) {
		virtio_doorbell(device, (unsigned int)queue);
		return;
	}
	virtio_lock(device);
	if (range_inside(offset, size, VIRTIO_BAR_COMMON, COMMON_SIZE)) {
		common_write(device, offset, value, size);
	} else if (in_device_config(device, offset, size) && device->options.ops->config_write &&
		   !device->stopping) {
		store_le(data, value, size);
		device->options.ops->config_write(device->options.opaque,
						  (uint32_t)(offset - VIRTIO_BAR_DEVICE), data,
						  size);
	}
	virtio_unlock(device);
}

static const struct io_ops bar_ops = { .read = virtio_pci_read, .write = virtio_pci_write };

/* --- doorbells ------------------------------------------------------------------------------- */

static struct ioevent doorbell_at(uint64_t base, unsigned int queue)
{
	return (struct ioevent){
		.address = base + (uint64_t)VIRTIO_NOTIFY_STEP * queue,
		.size = 2,
	};
}

static void doorbells_off(struct virtio_device *device)
{
	for (unsigned int i = 0; device->ioevents_at && i < device->n_queues; i++) {
		const struct ioevent event = doorbell_at(device->ioevents_at, i);

		ioevent_remove(device->host.vm, &event, device->queues[i].kick_fd);
	}
	device->ioevents_at = 0;
}

/* With the bus's lock held. Where KVM has no room, doorbells exit and work all the same. */
static void follow_bar(struct virtio_device *device)
{
	uint64_t at = 0;

	if (!device->host.vm)
		return;
	if (pci_function_mem_enabled(device->function))
		at = pci_function_bar_address(device->function, 0) + VIRTIO_BAR_NOTIFY;
	if (at == device->ioevents_at)
		return;
	doorbells_off(device);
	device->ioevents_at = at;
	for (unsigned int i = 0; at && i < device->n_queues; i++) {
		const struct ioevent event = doorbell_at(at, i);
		struct err err;

		(void)ioevent_add(device->host.vm, &event, device->queues[i].kick_fd, &err);
	}
}

/* --- the function ---------------------------------------------------------------------------- */

/*
 * The window through configuration space (4.1.4.9), for firmware that cannot map BARs: its place in
 * BAR 0 as the capability's registers say now. False where they say nothing that can be reached.
 */
static bool window_at(const struct virtio_device *device, uint64_t *at, unsigned int *len)
{
	const uint8_t *cap = pci_function_config(device->function) + device->pci_cfg;

	*at = load_le(cap + CAP_OFFSET, 4);
	*len = (unsigned int)load_le(cap + CAP_RANGE, 4);
	return !cap[CAP_BAR] && (*len == 1 || *len == 2 || *len == 4) && is_aligned(*at, *len) &&
	       range_inside(*at, *len, 0, VIRTIO_BAR_TABLE);
}

static uint64_t on_window_read(void *opaque, uint32_t offset, unsigned int size)
{
	struct virtio_device *device = opaque;
	unsigned int skip = offset - device->pci_cfg - CAP_EXTRA, len;
	uint64_t at;

	if (!window_at(device, &at, &len))
		return 0;
	return virtio_pci_read(device, at, len) >> (8 * skip) & mask_bytes(size);
}

static void on_window_write(void *opaque, uint32_t offset, uint64_t value, unsigned int size)
{
	struct virtio_device *device = opaque;
	unsigned int len;
	uint64_t at;

	if (window_at(device, &at, &len) && offset == device->pci_cfg + CAP_EXTRA && size == len)
		virtio_pci_write(device, at, value, len);
}

static void on_config_written(void *opaque, uint32_t offset, unsigned int size)
{
	struct virtio_device *device = opaque;

	follow_bar(device);
	virtio_lock(device);
	if (device->no_master && pci_function_bus_master(device->function)) {
		device->no_master = false;
		virtio_look_again(device);
	}
	virtio_unlock(device);
}

static void on_function_reset(void *opaque)
{
	struct virtio_device *device = opaque;

	follow_bar(device);
	virtio_lock(device);
	virtio_reset(device);
	virtio_unlock(device);
}

static void on_free(void *opaque)
{
	struct virtio_device *device = opaque;

	/* Not finished: who makes the device cleans up. */
	if (!device->owned)
		return;
	doorbells_off(device);
	if (device->options.ops->free)
		device->options.ops->free(device->options.opaque);
	virtio_device_destroy(device);
}

static const struct pci_ops function_ops = {
	.config_written = on_config_written,
	.config_read = on_window_read,
	.config_write = on_window_write,
	.reset = on_function_reset,
	.free = on_free,
};

static int add_capability(struct virtio_device *device, unsigned int type, unsigned int len,
			  uint32_t offset, uint32_t range, uint32_t *place, struct err *err)
{
	int ret = pci_function_capability(device->function, PCI_CAP_ID_VNDR, len, place, err);
	uint8_t *cap;

	if (ret)
		return ret;
	cap = pci_function_config(device->function) + *place;
	cap[CAP_LENGTH] = (uint8_t)len;
	cap[CAP_TYPE] = (uint8_t)type;
	store_le(cap + CAP_OFFSET, offset, 4);
	store_le(cap + CAP_RANGE, range, 4);
	return 0;
}

static int add_capabilities(struct virtio_device *device, struct err *err)
{
	uint32_t at;
	int ret = add_capability(device, TYPE_COMMON, CAP_SIZE, VIRTIO_BAR_COMMON, COMMON_SIZE, &at,
				 err);

	if (!ret)
		ret = add_capability(device, TYPE_NOTIFY, CAP_NOTIFY_SIZE, VIRTIO_BAR_NOTIFY,
				     VIRTIO_NOTIFY_STEP * device->n_queues, &at, err);
	if (ret)
		return ret;
	store_le(pci_function_config(device->function) + at + CAP_EXTRA, VIRTIO_NOTIFY_STEP, 4);
	ret = add_capability(device, TYPE_ISR, CAP_SIZE, VIRTIO_BAR_ISR, 1, &at, err);
	if (!ret && device->options.config_size)
		ret = add_capability(device, TYPE_DEVICE, CAP_SIZE, VIRTIO_BAR_DEVICE,
				     device->options.config_size, &at, err);
	if (!ret)
		ret = add_capability(device, TYPE_PCI, CAP_PCI_SIZE, 0, 0, &device->pci_cfg, err);
	if (ret)
		return ret;
	pci_function_writable(device->function)[device->pci_cfg + CAP_BAR] = 0xff;
	memset(pci_function_writable(device->function) + device->pci_cfg + CAP_OFFSET, 0xff, 8);
	pci_function_pass(device->function, device->pci_cfg + CAP_EXTRA, 4);
	return 0;
}

static void fire(void *arg, uint16_t vector)
{
	pci_function_msix_fire(arg, vector);
}

int virtio_pci_create(struct virtio_device *device, struct err *err)
{
	const struct pci_id id = {
		.vendor = VIRTIO_VENDOR,
		.device = (uint16_t)VIRTIO_DEVICE(device->options.type),
		.subsystem_vendor = VIRTIO_VENDOR,
		.subsystem_device = (uint16_t)VIRTIO_DEVICE(device->options.type),
		.class_code = device->options.class_code,
		.revision = VIRTIO_REVISION,
	};
	struct pci_function *function;
	int ret = pci_function_create(&function, device->name, &id, &function_ops, device, err);

	if (ret)
		return ret;
	device->function = function;
	ret = pci_function_bar(function, 0, PCI_BAR_MEM64, false, VIRTIO_BAR_SIZE, &bar_ops, device,
			       err);
	if (!ret)
		ret = pci_function_msix(function, device->n_queues + 1, 0, VIRTIO_BAR_TABLE,
					VIRTIO_BAR_PENDING, err);
	if (!ret)
		ret = pci_function_express(function, err);
	if (!ret)
		ret = add_capabilities(device, err);
	device->interrupt = fire;
	device->interrupt_arg = function;
	if (ret)
		pci_function_destroy(function);
	return ret;
}
