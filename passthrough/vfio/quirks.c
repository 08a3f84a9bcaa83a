/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has to be done differently for some devices, by their ids. A row says what is wrong with the
 * device; the files that act on a flag say what they do about it.
 */
#include "passthrough/vfio/internal.h"
#include "util/bits.h"

#define ANY 0xffffu

static const struct {
	uint16_t vendor, device;
	unsigned int flags;
} rows[] = {
	/* Broadcom BCM57810: a read of its ROM through VFIO hangs the device until power-off. */
	{ 0x14e4, 0x168e, VFIO_QUIRK_NO_ROM },
};

unsigned int vfio_quirks(uint16_t vendor, uint16_t device)
{
	unsigned int flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].vendor == vendor && (rows[i].device == device || rows[i].device == ANY))
			flags |= rows[i].flags;
	}
	return flags;
}
