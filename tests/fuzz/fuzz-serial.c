/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 16550A's registers under any sequence of accesses, input and drained output. Two bytes an
 * operation: what (low bits: register or action), then the value.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/serial-model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct wire {
	unsigned int room;
	bool asserted;
};

static void expect(bool condition)
{
	if (!condition)
		abort();
}

static bool send(void *opaque, uint8_t byte)
{
	struct wire *wire = opaque;

	if (wire->room)
		wire->room--;
	return wire->room;
}

static void irq(void *opaque, bool asserted)
{
	struct wire *wire = opaque;

	expect(wire->asserted != asserted);
	wire->asserted = asserted;
}

static const struct serial_model_ops ops = { .send = send, .irq = irq };

static void receive(struct serial_model *model, uint8_t value)
{
	uint8_t bytes[32];

	memset(bytes, value, sizeof(bytes));
	/* More than there is room for, now and then: an overrun, no more. */
	serial_model_receive(model, bytes, value % (sizeof(bytes) + 1));
}

/* The interrupt output is what IIR says; a copy is asked, for reading changes the state. */
static void check(const struct serial_model *model, const struct wire *wire)
{
	struct wire other = *wire;
	struct serial_model copy = *model;
	uint8_t iir;

	copy.opaque = &other;
	iir = serial_model_read(&copy, 2);
	expect(wire->asserted == !(iir & 1));
	expect(serial_model_room(model) <= SERIAL_FIFO);
	expect(model->rx_count <= SERIAL_FIFO && model->rx_head < SERIAL_FIFO);
	expect((model->ier & 0xf0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire wire = { .room = 20 };
	struct serial_model model;

	serial_model_init(&model, &ops, &wire);
	for (size_t i = 0; i + 1 < size; i += 2) {
		uint8_t what = data[i], value = data[i + 1];

		switch (what >> 3 & 3) {
		case 0:
			serial_model_read(&model, what & 7);
			break;
		case 1:
			serial_model_write(&model, what & 7, value);
			break;
		case 2:
			receive(&model, value);
			break;
		default:
			wire.room = value;
			serial_model_sent(&model);
			break;
		}
		check(&model, &wire);
	}
	return 0;
}
