/* SPDX-License-Identifier: Apache-2.0 */
/* Between the device core and the PCI transport; beside them only tests include this. */
#ifndef ADIT_VMM_VIRTIO_INTERNAL_H
#define ADIT_VMM_VIRTIO_INTERNAL_H

#include "vmm/virtio/device.h"

/* Status bits, virtio 1.2 section 2.1. */
#define STATUS_ACKNOWLEDGE 0x01u
#define STATUS_DRIVER	   0x02u
#define STATUS_DRIVER_OK   0x04u
#define STATUS_FEATURES_OK 0x08u
#define STATUS_NEEDS_RESET 0x40u
#define STATUS_FAILED	   0x80u

/* Reserved feature bits, section 6. */
#define FEATURE_INDIRECT   28u
#define FEATURE_EVENT_IDX  29u
#define FEATURE_VERSION_1  32u
#define FEATURE_PACKED	   34u
#define FEATURE_RING_RESET 40u

#define ISR_QUEUE  0x1u
#define ISR_CONFIG 0x2u

/* Places inside BAR 0. */
#define VIRTIO_BAR_COMMON  0x0000u
#define VIRTIO_BAR_ISR	   0x1000u
#define VIRTIO_BAR_DEVICE  0x2000u
#define VIRTIO_BAR_NOTIFY  0x3000u
#define VIRTIO_BAR_TABLE   0x4000u
#define VIRTIO_BAR_PENDING 0x6000u
#define VIRTIO_BAR_SIZE	   0x8000u
#define VIRTIO_NOTIFY_STEP 4u

/* pci.c: the function around a device. */
int virtio_pci_create(struct virtio_device *device, struct err *err);
/* BAR 0 as the guest reaches it; any width and offset. */
uint64_t virtio_pci_read(void *opaque, uint64_t offset, unsigned int size);
void virtio_pci_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size);

/* device.c, with the lock held. */
void virtio_write_status(struct virtio_device *device, uint8_t status);
void virtio_enable_queue(struct virtio_device *device, unsigned int queue);
void virtio_reset_queue(struct virtio_device *device, unsigned int queue);
void virtio_reset(struct virtio_device *device);
/* Bus mastering may have come. */
void virtio_look_again(struct virtio_device *device);
/* Any thread, without the lock: what a doorbell does. */
void virtio_doorbell(struct virtio_device *device, unsigned int queue);
void virtio_device_destroy(struct virtio_device *device);

#endif
