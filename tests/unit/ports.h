/* SPDX-License-Identifier: Apache-2.0 */
/* A table of I/O ports without a machine, and one vCPU that accesses it. */
#ifndef ADIT_TESTS_UNIT_PORTS_H
#define ADIT_TESTS_UNIT_PORTS_H

#include "kvm-glue/iomap.h"
#include "util/epoch.h"

struct ports {
	struct epoch epoch;
	struct epoch_reader reader;
	struct iomap pio;
};

static inline int ports_open(struct ports *ports)
{
	epoch_init(&ports->epoch);
	epoch_join(&ports->epoch, &ports->reader);
	return iomap_init(&ports->pio, &ports->epoch);
}

static inline void ports_close(struct ports *ports)
{
	iomap_destroy(&ports->pio);
	epoch_leave(&ports->epoch, &ports->reader);
	epoch_destroy(&ports->epoch);
}

static inline void out(struct ports *ports, uint16_t port, uint32_t value, unsigned int size)
{
	epoch_enter(&ports->epoch, &ports->reader);
	iomap_write(&ports->pio, port, &value, size);
	epoch_exit(&ports->reader);
}

static inline uint32_t in(struct ports *ports, uint16_t port, unsigned int size)
{
	uint32_t value = 0;

	epoch_enter(&ports->epoch, &ports->reader);
	iomap_read(&ports->pio, port, &value, size);
	epoch_exit(&ports->reader);
	return value;
}

#endif
