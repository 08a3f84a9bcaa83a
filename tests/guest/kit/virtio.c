/* SPDX-License-Identifier: Apache-2.0 */
/* Source: OASIS virtio 1.2, sections 2.7, 2.8, 3.1 and 4.1. */
#include "apic.h"
#include "virtio.h"

#define CAP_VENDOR 0x09
#define DRIVER_OK  0x04
#define ABSENT	   0xff /* as a status, which no device has: it holds each bit there is */

bool virtio_find(struct virtio *v, unsigned int type, unsigned int nth)
{
	int slot = -1;
	unsigned int at, steps = 48;

	for (unsigned int i = 0; i <= nth; i++) {
		slot = pci_find(VIRTIO_ID(type), (unsigned int)(slot + 1));
		if (slot < 0)
			return false;
	}
	memset(v, 0, sizeof(*v));
	v->slot = (unsigned int)slot;
	pci_command(v->slot, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
	at = (unsigned int)pci_read(v->slot, PCI_CAPABILITIES, 1) & 0xfc;
	for (; at && steps; at = (unsigned int)pci_read(v->slot, at + 1, 1) & 0xfc, steps--) {
		unsigned int kind = (unsigned int)pci_read(v->slot, at + 3, 1);
		unsigned int bar = (unsigned int)pci_read(v->slot, at + 4, 1);
		uint64_t place;

		if (pci_read(v->slot, at, 1) != CAP_VENDOR || kind < 1 || kind > 4)
			continue;
		place = pci_bar_map(v->slot, bar) + pci_read(v->slot, at + 8, 4);
		if (kind == 1)
			v->common = place;
		else if (kind == 2) {
			v->notify = place;
			v->notify_step = (uint32_t)pci_read(v->slot, at + 16, 4);
		} else if (kind == 3)
			v->isr = place;
		else
			v->device = place;
	}
	return v->common && v->notify && v->isr && msix_find(v->slot, &v->msix);
}

uint8_t virtio_status(struct virtio *v)
{
	return read8(v->common + 20);
}

/* Ends for a device that was taken away as well: nothing is there then, and reads as all ones. */
void virtio_reset(struct virtio *v)
{
	uint8_t status;

	write8(v->common + 20, 0);
	while ((status = virtio_status(v)) && status != ABSENT)
		cpu_relax();
}

uint64_t virtio_offered(struct virtio *v)
{
	uint64_t low;

	write32(v->common, 0);
	low = read32(v->common + 4);
	write32(v->common, 1);
	return low | (uint64_t)read32(v->common + 4) << 32;
}

bool virtio_agree(struct virtio *v, uint64_t features)
{
	virtio_reset(v);
	write8(v->common + 20, 1);
	write8(v->common + 20, 3);
	write32(v->common + 8, 0);
	write32(v->common + 12, (uint32_t)features);
	write32(v->common + 8, 1);
	write32(v->common + 12, (uint32_t)(features >> 32));
	write8(v->common + 20, 0xb);
	msix_enable(v->slot, &v->msix, true);
	return virtio_status(v) == 0xb;
}

void virtio_queue(struct virtio *v, struct virtqueue *q, unsigned int index, uint64_t features,
		  unsigned int vector)
{
	uint64_t ring = (uint64_t)q->ring;

	memset(q, 0, sizeof(*q));
	q->index = (uint16_t)index;
	q->packed = features & VIRTIO_F_PACKED;
	q->avail_wrap = q->used_wrap = true;
	write16(v->common + 22, (uint16_t)index);
	write16(v->common + 24, VIRTQ_ENTRIES);
	if (vector) {
		msix_set(&v->msix, index + 1, vector, lapic_id(), false);
		write16(v->common + 26, (uint16_t)(index + 1));
	}
	write64(v->common + 32, ring);
	write64(v->common + 40, ring + RING_DRIVER);
	write64(v->common + 48, ring + RING_DEVICE);
	q->doorbell = v->notify + (uint64_t)v->notify_step * read16(v->common + 30);
	write16(v->common + 28, 1);
}

void virtio_ready(struct virtio *v)
{
	write8(v->common + 20, 0xf);
}

void virtio_kick(struct virtqueue *q)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	write16(q->doorbell, q->index);
}

static void put(uint8_t *at, const void *address, uint32_t len, uint16_t a, uint16_t b)
{
	uint64_t gpa = (uint64_t)address;

	memcpy(at, &gpa, 8);
	memcpy(at + 8, &len, 4);
	memcpy(at + 12, &a, 2);
	__atomic_store_n((uint16_t *)(void *)(at + 14), b, __ATOMIC_RELEASE);
}

static void put_table(const struct virtqueue *q, uint8_t *table, const struct piece *pieces,
		      unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		uint16_t write = pieces[i].write ? DESC_WRITE : 0;
		uint16_t next = i + 1 < n ? DESC_NEXT : 0;

		if (q->packed)
			put(table + 16UL * i, pieces[i].at, pieces[i].len, 0, write);
		else
			put(table + 16UL * i, pieces[i].at, pieces[i].len, write | next,
			    (uint16_t)(i + 1));
	}
}

static void add_packed(struct virtqueue *q, const struct piece *pieces, unsigned int n,
		       uint16_t more)
{
	uint16_t first = q->next_avail, first_flags = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t flags = (uint16_t)((pieces[i].write ? DESC_WRITE : 0) |
					    (i + 1 < n ? DESC_NEXT : 0) | more |
					    (q->avail_wrap ? 0x80 : 0x8000));
		uint8_t *at = q->ring + 16UL * q->next_avail;

		if (!i) {
			first_flags = flags;
			flags = *(uint16_t *)(void *)(at + 14);
		}
		put(at, pieces[i].at, pieces[i].len, 0, flags);
		if (++q->next_avail == VIRTQ_ENTRIES) {
			q->next_avail = 0;
			q->avail_wrap = !q->avail_wrap;
		}
	}
	__atomic_store_n((uint16_t *)(void *)(q->ring + 16UL * first + 14), first_flags,
			 __ATOMIC_SEQ_CST);
}

void virtio_add(struct virtqueue *q, const struct piece *pieces, unsigned int n, void *table)
{
	const struct piece one = { table, 16 * n, false };
	uint16_t *available = (uint16_t *)(void *)(q->ring + RING_DRIVER);

	if (table) {
		put_table(q, table, pieces, n);
		pieces = &one;
		n = 1;
	}
	if (q->packed) {
		add_packed(q, pieces, n, table ? DESC_INDIRECT : 0);
		return;
	}
	/* One buffer at a time: always from descriptor 0. */
	put_table(q, q->ring, pieces, n);
	if (table)
		put(q->ring, table, one.len, DESC_INDIRECT, 0);
	available[2 + q->next_avail++ % VIRTQ_ENTRIES] = 0;
	__atomic_store_n(available + 1, q->next_avail, __ATOMIC_SEQ_CST);
}

static bool is_used(const struct virtqueue *q, uint32_t *written)
{
	if (q->packed) {
		const uint8_t *at = q->ring + 16UL * q->last_used;
		uint16_t flags = __atomic_load_n((const uint16_t *)(const void *)(at + 14),
						 __ATOMIC_ACQUIRE);

		memcpy(written, at + 8, 4);
		return !!(flags & 0x80) == q->used_wrap && !!(flags & 0x8000) == q->used_wrap;
	}
	memcpy(written, q->ring + RING_DEVICE + 8 + 8UL * (q->last_used % VIRTQ_ENTRIES), 4);
	return __atomic_load_n((const uint16_t *)(const void *)(q->ring + RING_DEVICE + 2),
			       __ATOMIC_ACQUIRE) != q->last_used;
}

bool virtio_used(struct virtio *v, struct virtqueue *q, unsigned int n, uint32_t *written)
{
	uint64_t start = rdtsc();

	while (!is_used(q, written)) {
		uint8_t status = virtio_status(v);

		/* Without DRIVER_OK another device is there by now. */
		if (rdtsc() - start > 10 * CYCLES_SECOND || status & VIRTIO_NEEDS_RESET ||
		    !(status & DRIVER_OK))
			return false;
	}
	(void)is_used(q, written);
	if (!q->packed) {
		q->last_used++;
		return true;
	}
	q->last_used = (uint16_t)(q->last_used + n);
	if (q->last_used >= VIRTQ_ENTRIES) {
		q->last_used -= VIRTQ_ENTRIES;
		q->used_wrap = !q->used_wrap;
	}
	return true;
}
