/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first serial port of the machine: a 16550A at PORT_SERIAL, between the vCPUs that touch its
 * registers and a sink that the loop's thread writes to.
 *
 * Guarantees
 *  - A register access never waits for the sink: bytes go to a 64 KiB ring. When it is nearly
 *    full, LSR says so (THRE and TEMT clear) until half of it is written: a guest that obeys LSR
 *    loses nothing.
 *  - The first byte after a silence and the end of each line are written at once, bytes between
 *    them within a millisecond.
 *  - Input is read from the sink only as far as the receive FIFO has room.
 */
#ifndef ADIT_VMM_SERIAL_H
#define ADIT_VMM_SERIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/log.h"
#include "util/loop.h"
#include "util/state.h"
#include "vmm/serial-sink.h"

struct vm;
struct ioapic;
struct serial;

/* Binds the sink, opens PIN_SERIAL and registers the ports. All are borrowed. */
int serial_create(struct serial **out, struct vm *vm, struct ioapic *ioapic, struct loop *loop,
		  struct serial_sink *sink, const struct log *log, struct err *err);
/*
 * On the loop's thread, when no vCPU and no loop will run again; before the sink, the loop, the
 * I/O APIC and the VM go. NULL: nothing.
 */
void serial_destroy(struct serial *serial);

/*
 * On the loop's thread, when no vCPU runs: writes what is in the ring. Gives up, and logs how much
 * was lost, when the sink took nothing for a second.
 */
void serial_flush(struct serial *serial);

/*
 * The section "serial", while no vCPU runs. What is in the ring was sent, as far as the guest
 * knows, and is this process's to write. Load restores the interrupt line too.
 */
void serial_save(struct serial *serial, struct state_out *out);
int serial_load(struct serial *serial, struct state_in *in);

/* The port without a VM, for tests: what serial_create builds on. irq runs under the port's lock.
 */
int serial_open(struct serial **out, struct loop *loop, struct serial_sink *sink,
		void (*irq)(void *opaque, bool asserted), void *opaque, const struct log *log,
		struct err *err);
/* Any thread; as struct io_ops. */
uint64_t serial_read(void *opaque, uint64_t offset, unsigned int size);
void serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size);

#endif
