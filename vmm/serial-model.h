/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of a 16550A and nothing else: no lock, no descriptor, no VM. Time does not pass
 * in it: a byte is sent at once unless its owner says that no more fits, and a received byte below
 * the trigger level counts as timed out at once, because there is no line speed to wait for.
 *
 * Source: National Semiconductor PC16550D data sheet (June 1995), section 8.
 */
#ifndef ADIT_VMM_SERIAL_MODEL_H
#define ADIT_VMM_SERIAL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "util/state.h"

#define SERIAL_FIFO	 16u /* bytes in either direction */
#define SERIAL_REGISTERS 8u

struct serial_model_ops {
	/*
	 * Takes one byte. False: it was taken, but fewer than SERIAL_FIFO more would be. THRE and
	 * TEMT are then clear until serial_model_sent; a guest that writes on loses bytes.
	 */
	bool (*send)(void *opaque, uint8_t byte);
	/* The interrupt output changed. */
	void (*irq)(void *opaque, bool asserted);
};

struct serial_model {
	const struct serial_model_ops *ops;
	void *opaque;
	uint8_t ier, lcr, mcr, scr, dll, dlm;
	uint8_t rx[SERIAL_FIFO], rx_head, rx_count, rx_trigger;
	bool fifo; /* FCR bit 0 */
	bool overrun;
	bool tx_full;	   /* send returned false */
	bool thre_pending; /* the THRE interrupt, until IIR reports it or THR is written */
	uint8_t msr_delta; /* bits 0 to 3 of MSR */
	bool asserted;
};

void serial_model_init(struct serial_model *model, const struct serial_model_ops *ops,
		       void *opaque);

/* reg: below SERIAL_REGISTERS. */
uint8_t serial_model_read(struct serial_model *model, unsigned int reg);
void serial_model_write(struct serial_model *model, unsigned int reg, uint8_t value);

/* How many bytes serial_model_receive takes without an overrun; 0 in loopback mode. */
unsigned int serial_model_room(const struct serial_model *model);
void serial_model_receive(struct serial_model *model, const uint8_t *data, unsigned int len);

/*
 * Its fields into a section that is open, and back. What was sent is sent: the transmitter is
 * empty afterwards, and says so by its interrupt where it was full.
 */
void serial_model_save(const struct serial_model *model, struct state_out *out);
/* 0, or -EPROTO, which has changed nothing. Ends in state_leave. */
int serial_model_load(struct serial_model *model, struct state_in *in);

/* There is room for SERIAL_FIFO bytes again. */
void serial_model_sent(struct serial_model *model);

#endif
