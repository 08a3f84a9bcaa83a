/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial port: registers on one side, the sink on the other, and the transmit ring between
 * them. The ring has one producer at a time (a vCPU thread with the port's lock) and one consumer
 * (the loop's thread), so it needs no lock of its own.
 *
 * Waking the loop costs more than a byte does. After a write the loop lingers: until a timer has
 * found the ring empty, only the end of a line or a full ring wakes it.
 */
#include "vmm/serial.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm-glue/ioapic.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"
#include "vmm/platform.h"
#include "vmm/serial-model.h"

#define RING_SIZE     65536u /* bytes, a power of two */
#define LINGER_NS     1000000ULL
#define FLUSH_STEP_MS 1000

struct serial {
	pthread_mutex_t lock;
	struct serial_model model; /* under lock */
	bool rx_stopped;	   /* under lock: the sink waits for serial_sink_resume */

	struct loop *loop;
	struct serial_sink *sink;
	const struct log *log;
	struct loop_work tx_work, rx_work, idle_work;
	struct loop_timer *linger;
	bool blocked; /* the sink took nothing: it calls writable() */
	void (*irq)(void *opaque, bool asserted);
	void *irq_opaque;
	struct vm *vm; /* NULL without a VM */
	struct irq_line *line;

	bool lingering;	     /* atomic: bytes in the ring wait for the timer */
	uint32_t head, tail; /* atomic, free-running: bytes taken, bytes put */
	uint8_t *ring;	     /* RING_SIZE, a mapping: pages that no output reached cost nothing */
};

static const struct io_ops serial_io_ops = { .read = serial_read, .write = serial_write };

/* --- vCPU threads, under the lock ------------------------------------------------------------ */

/*
 * Every order below is sequentially consistent: a producer stores tail and then looks whether the
 * consumer has gone; the consumer goes and then looks at tail. One of them sees the other.
 */
static HOT bool ring_send(void *opaque, uint8_t byte)
{
	struct serial *serial = opaque;
	uint32_t tail = serial->tail, used;
	bool ready;

	used = tail - __atomic_load_n(&serial->head, __ATOMIC_SEQ_CST);
	if (used == RING_SIZE)
		return false; /* the guest did not look at LSR */
	serial->ring[tail % RING_SIZE] = byte;
	__atomic_store_n(&serial->tail, tail + 1, __ATOMIC_SEQ_CST);

	used = tail + 1 - __atomic_load_n(&serial->head, __ATOMIC_SEQ_CST);
	ready = RING_SIZE - used >= SERIAL_FIFO;
	if (!ready || byte == '\n' ||
	    (used == 1 && !__atomic_load_n(&serial->lingering, __ATOMIC_SEQ_CST)))
		loop_post(serial->loop, &serial->tx_work);
	return ready;
}

static void model_irq(void *opaque, bool asserted)
{
	struct serial *serial = opaque;

	serial->irq(serial->irq_opaque, asserted);
}

static const struct serial_model_ops model_ops = { .send = ring_send, .irq = model_irq };

/* An access of several bytes is one to each port, as on an 8-bit bus. */
HOT uint64_t serial_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct serial *serial = opaque;
	uint64_t value = 0;
	bool resume;

	pthread_mutex_lock(&serial->lock);
	for (unsigned int i = 0; i < size; i++)
		value |=
			(uint64_t)serial_model_read(&serial->model, (offset + i) % SERIAL_REGISTERS)
			<< (8 * i);
	resume = serial->rx_stopped && serial_model_room(&serial->model);
	pthread_mutex_unlock(&serial->lock);
	if (resume)
		loop_post(serial->loop, &serial->rx_work);
	return value;
}

HOT void serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct serial *serial = opaque;
	bool resume;

	pthread_mutex_lock(&serial->lock);
	for (unsigned int i = 0; i < size; i++)
		serial_model_write(&serial->model, (offset + i) % SERIAL_REGISTERS,
				   (uint8_t)(value >> (8 * i)));
	resume = serial->rx_stopped && serial_model_room(&serial->model);
	pthread_mutex_unlock(&serial->lock);
	if (resume)
		loop_post(serial->loop, &serial->rx_work);
}

/* --- the loop's thread ----------------------------------------------------------------------- */

static uint32_t ring_used(struct serial *serial)
{
	return __atomic_load_n(&serial->tail, __ATOMIC_SEQ_CST) - serial->head;
}

/* Writes what was in the ring at the call, or until the sink is blocked. */
static void drain(struct serial *serial)
{
	uint32_t left = ring_used(serial);

	while (left) {
		uint32_t at = serial->head % RING_SIZE;
		size_t done = serial_sink_write(serial->sink, serial->ring + at,
						MIN(left, RING_SIZE - at));

		serial->blocked = !done;
		if (!done)
			return;
		__atomic_store_n(&serial->head, serial->head + (uint32_t)done, __ATOMIC_SEQ_CST);
		left -= (uint32_t)done;
	}
}

static void tell_guest(struct serial *serial)
{
	if (ring_used(serial) > RING_SIZE / 2)
		return;
	pthread_mutex_lock(&serial->lock);
	serial_model_sent(&serial->model);
	pthread_mutex_unlock(&serial->lock);
}

static void linger_end(void *arg);

/* While the sink is blocked there is no timer: its writable() goes on. */
static void write_out(struct serial *serial)
{
	__atomic_store_n(&serial->lingering, true, __ATOMIC_SEQ_CST);
	drain(serial);
	tell_guest(serial);
	if (serial->blocked || serial->linger)
		return;
	/* Without memory for the timer the loop takes another turn instead. */
	if (loop_timer(serial->loop, LINGER_NS, linger_end, serial, &serial->linger, NULL) < 0)
		loop_post(serial->loop, &serial->idle_work);
}

/* Bytes that came meanwhile start the next round; else the next byte wakes the loop. */
static void linger_end(void *arg)
{
	struct serial *serial = arg;

	loop_timer_cancel(serial->linger);
	serial->linger = NULL;
	if (serial->blocked)
		return;
	__atomic_store_n(&serial->lingering, false, __ATOMIC_SEQ_CST);
	if (ring_used(serial))
		write_out(serial);
}

static void tx_run(void *arg)
{
	struct serial *serial = arg;

	if (!serial->blocked)
		write_out(serial);
}

static void sink_writable(void *arg)
{
	struct serial *serial = arg;

	serial->blocked = false;
	write_out(serial);
}

static void rx_run(void *arg)
{
	struct serial *serial = arg;

	serial_sink_resume(serial->sink);
}

static size_t sink_room(void *arg)
{
	struct serial *serial = arg;
	size_t room;

	pthread_mutex_lock(&serial->lock);
	room = serial_model_room(&serial->model);
	serial->rx_stopped = !room;
	pthread_mutex_unlock(&serial->lock);
	return room;
}

static void sink_input(void *arg, const uint8_t *data, size_t len)
{
	struct serial *serial = arg;

	pthread_mutex_lock(&serial->lock);
	serial_model_receive(&serial->model, data, (unsigned int)len);
	pthread_mutex_unlock(&serial->lock);
}

static const struct serial_sink_ops sink_ops = {
	.room = sink_room,
	.input = sink_input,
	.writable = sink_writable,
};

/* The caller's thread is the loop's: it waits for the sink only here, at the end of a VM. */
void serial_flush(struct serial *serial)
{
	uint32_t left;

	while ((left = ring_used(serial))) {
		drain(serial);
		if (ring_used(serial) != left)
			continue;
		serial_sink_wait(serial->sink, FLUSH_STEP_MS);
		drain(serial);
		if (ring_used(serial) == left) {
			log_line(serial->log, LOG_WARN, "serial",
				 "the console takes no output: the last %u bytes are lost", left);
			break;
		}
	}
}

/* --- making and ending ----------------------------------------------------------------------- */

int serial_open(struct serial **out, struct loop *loop, struct serial_sink *sink,
		void (*irq)(void *opaque, bool asserted), void *opaque, const struct log *log,
		struct err *err)
{
	struct serial *serial = calloc(1, sizeof(*serial));

	*out = NULL;
	if (!serial)
		return err_set(err, ENOMEM, "no memory for the serial port");
	serial->ring =
		mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (serial->ring == MAP_FAILED) {
		free(serial);
		return err_set(err, ENOMEM, "no memory for the serial port's output");
	}
	serial->loop = loop;
	serial->sink = sink;
	serial->log = log;
	serial->irq = irq;
	serial->irq_opaque = opaque;
	serial->tx_work = (struct loop_work){ .fn = tx_run, .arg = serial };
	serial->idle_work = (struct loop_work){ .fn = linger_end, .arg = serial };
	serial->rx_work = (struct loop_work){ .fn = rx_run, .arg = serial };
	pthread_mutex_init(&serial->lock, NULL);
	serial_model_init(&serial->model, &model_ops, serial);
	serial_sink_bind(sink, &sink_ops, serial);
	*out = serial;
	return 0;
}

static void line_irq(void *opaque, bool asserted)
{
	struct serial *serial = opaque;

	irq_line_set(serial->line, asserted);
}

int serial_create(struct serial **out, struct vm *vm, struct ioapic *ioapic, struct loop *loop,
		  struct serial_sink *sink, const struct log *log, struct err *err)
{
	struct io_region region = {
		.base = PORT_SERIAL,
		.size = SERIAL_REGISTERS,
		.ops = &serial_io_ops,
		.name = "serial",
	};
	struct serial *serial;
	int rc = serial_open(&serial, loop, sink, line_irq, NULL, log, err);

	*out = NULL;
	if (!serial)
		return rc;
	serial->irq_opaque = serial;
	rc = irq_line_open(&serial->line, ioapic, PIN_SERIAL, NULL, NULL);
	if (rc < 0) {
		err_set(err, -rc, "serial port: interrupt pin %d: %s", PIN_SERIAL, strerror(-rc));
		goto destroy;
	}
	region.opaque = serial;
	rc = iomap_add(vm_pio(vm), &region);
	if (rc < 0) {
		err_set(err, -rc, "serial port: ports 0x%x to 0x%x: %s", PORT_SERIAL,
			PORT_SERIAL + SERIAL_REGISTERS - 1, strerror(-rc));
		goto destroy;
	}
	serial->vm = vm;
	*out = serial;
	return 0;

destroy:
	serial_destroy(serial);
	return rc;
}

void serial_destroy(struct serial *serial)
{
	if (!serial)
		return;
	if (serial->vm) {
		iomap_remove(vm_pio(serial->vm), PORT_SERIAL, serial);
		epoch_wait(vm_epoch(serial->vm));
	}
	serial_sink_bind(serial->sink, NULL, NULL);
	loop_timer_cancel(serial->linger);
	if (serial->line)
		irq_line_close(serial->line);
	pthread_mutex_destroy(&serial->lock);
	munmap(serial->ring, RING_SIZE);
	free(serial);
}

/* --- saved guests ---------------------------------------------------------------------------- */

void serial_save(struct serial *serial, struct state_out *out)
{
	pthread_mutex_lock(&serial->lock);
	state_begin(out, 1, "serial");
	serial_model_save(&serial->model, out);
	state_end(out);
	pthread_mutex_unlock(&serial->lock);
}

int serial_load(struct serial *serial, struct state_in *in)
{
	int ret;

	state_enter(in, 1, "serial");
	pthread_mutex_lock(&serial->lock);
	ret = serial_model_load(&serial->model, in);
	if (!ret) {
		if (serial->line)
			irq_line_restore(serial->line, serial->model.asserted);
		/* The ring is empty here. */
		serial_model_sent(&serial->model);
	}
	pthread_mutex_unlock(&serial->lock);
	return ret;
}
