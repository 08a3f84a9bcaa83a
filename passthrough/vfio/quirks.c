/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has to be done differently for some devices, by their ids. A row says what is wrong with the
 * device; the files that act on it say what they do about it. Which of the known ones are not here,
 * and why, is in docs/passthrough.md.
 */
#include "passthrough/vfio/internal.h"
#include "util/bits.h"

static const struct {
	uint16_t vendor, device;
	unsigned int flags;
} rows[] = {
	/* Broadcom BCM57810: a read of its ROM through VFIO hangs the device until power-off. */
	{ 0x14e4, 0x168e, VFIO_QUIRK_NO_ROM },
};

/* Where the pending bits are of devices that say a place outside their BAR. */
static const struct {
	uint16_t vendor, device, mask;
	uint32_t offset;
} pending[] = {
	/* VFs of Chelsio's T5 say 0x8000, in a BAR of 8 KiB. */
	{ 0x1425, 0x5800, 0xff00, 0x1000 },
	/* VFs of Baidu's Kunlun say 0x460000, in a BAR of 64 KiB. */
	{ 0x1d22, 0x3685, 0xffff, 0xb400 },
};

unsigned int vfio_quirks(uint16_t vendor, uint16_t device)
{
	unsigned int flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].vendor == vendor && rows[i].device == device)
			flags |= rows[i].flags;
	}
	return flags;
}

uint32_t vfio_quirk_pending(uint16_t vendor, uint16_t device, uint32_t offset, uint64_t size)
{
	for (size_t i = 0; offset >= size && i < ARRAY_SIZE(pending); i++) {
		if (pending[i].vendor == vendor && pending[i].device == (device & pending[i].mask))
			return pending[i].offset;
	}
	return offset;
}
