/* SPDX-License-Identifier: Apache-2.0 */
/* A driver of a served DSA by messages: what a guest behind a vfio-user client does, for tests. */
#ifndef ADIT_TESTS_UNIT_TEST_VFIO_DSA_H
#define ADIT_TESTS_UNIT_TEST_VFIO_DSA_H

#include "tests/unit/test-vfio-user.h"

#include <linux/pci_regs.h>

#include "passthrough/adi/dsa-regs.h"
#include "util/bits.h"

static inline void peer_register_write(struct peer *peer, uint64_t offset, uint64_t value,
				       unsigned int size)
{
	assert_int_equal(peer_write(peer, DSA_BAR_REGISTERS, offset, &value, size), 0);
}

static inline uint64_t peer_register(struct peer *peer, uint64_t offset, unsigned int size)
{
	assert_int_equal(peer_read(peer, DSA_BAR_REGISTERS, offset, size), 0);
	return load_le(peer_data(peer), size);
}

static inline uint32_t peer_command(struct peer *peer, enum dsa_command command)
{
	uint32_t status;

	peer_register_write(peer, DSA_CMD, (uint32_t)command << DSA_CMD_CODE_SHIFT, 4);
	do
		status = (uint32_t)peer_register(peer, DSA_CMDSTS, 4);
	while (status & DSA_CMDSTS_ACTIVE);
	return status;
}

/* Bus mastering, two vectors on one eventfd, and work queue 0: dedicated, 16 entries, no PASID. */
static inline void peer_enable(struct peer *peer, int interrupt)
{
	const uint16_t on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	const int fds[2] = { interrupt, interrupt };
	uint64_t offsets, groups, queues;

	assert_int_equal(peer_write(peer, VFU_REGION_CONFIG, PCI_COMMAND, &on, 2), 0);
	assert_int_equal(peer_irqs(peer, 0, 0, 2, fds, 2), 0);
	offsets = peer_register(peer, DSA_OFFSETS, 8);
	groups = (offsets & 0xffff) * DSA_OFFSET_UNIT;
	queues = (offsets >> 16 & 0xffff) * DSA_OFFSET_UNIT;
	assert_int_equal(peer_command(peer, DSA_RESET_DEVICE), 0);
	peer_register_write(peer, groups, 1, 8);
	peer_register_write(peer, groups + DSA_GRPCFG_ENGINES, 1, 8);
	peer_register_write(peer, queues, 16, 4);
	peer_register_write(peer, queues + 8, DSA_WQCFG_DEDICATED | 1 << DSA_WQCFG_PRIORITY_SHIFT,
			    4);
	peer_register_write(peer, queues + 12, 28, 4);
	assert_int_equal(peer_command(peer, DSA_ENABLE_DEVICE), 0);
	assert_int_equal(peer_command(peer, DSA_ENABLE_WQ), 0);
}

static inline void peer_move(struct peer *peer, uint64_t from, uint64_t to, uint32_t size,
			     uint64_t record)
{
	const struct dsa_descriptor d = {
		.flags = DSA_OP_MEMMOVE << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID |
			 DSA_FLAG_RECORD | DSA_FLAG_INTERRUPT,
		.record = record,
		.source = from,
		.destination = to,
		.size = size,
		.interrupt = 1,
	};

	assert_int_equal(peer_write(peer, DSA_BAR_PORTALS, DSA_PORTAL_PAGE, &d, sizeof(d)), 0);
}

#endif
