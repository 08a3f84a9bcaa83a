/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports, their two queues each, and the control queues through which driver and device tell each
 * other of them.
 *
 * Source: OASIS virtio 1.2, section 5.3.
 */
#include "vmm/virtio/console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/serial-sink.h"

#define CONSOLE_TYPE	   3u
#define CONSOLE_CLASS	   0x078000u
#define CONSOLE_QUEUE_SIZE 64u
#define CONTROL_RX	   2u
#define CONTROL_TX	   3u
#define INPUT_BYTES	   256u
/* Written in one turn of the loop; a guest that writes for ever lets others have theirs. */
#define TURN_BYTES (64 * KIB)

/* What a port still has to tell its driver, in the order in which it is told. */
#define TELL_ADD     0x1u
#define TELL_CONSOLE 0x2u
#define TELL_NAME    0x4u
#define TELL_OPEN    0x8u

struct port {
	struct console *console;
	unsigned int index;
	char name[64];
	struct serial_sink *sink;
	uint8_t input[INPUT_BYTES];
	size_t n_input;
	bool starved; /* the sink was told that there is no room */
	bool blocked; /* the sink took nothing: it calls writable() */
	/* A buffer that is being written. */
	bool holds;
	uint16_t id, slots;
	struct iovec *iov;
	unsigned int n_iov, at;
	uint64_t written; /* bytes of it */
	uint64_t skip;	  /* so many of the next one were written before this process */
	unsigned int tell;
};

struct console {
	struct virtio_device *device;
	struct virtio_console_config config;
	unsigned int n;
	struct port ports[CONSOLE_PORTS_MAX];
};

static unsigned int rx_queue(const struct port *port)
{
	return port->index ? 2 + 2 * port->index : 0;
}

static unsigned int tx_queue(const struct port *port)
{
	return rx_queue(port) + 1;
}

/* --- from the guest to the sink -------------------------------------------------------------- */

static void advance(struct port *port, size_t n)
{
	struct iovec *v = &port->iov[port->at];

	port->written += n;
	v->iov_base = (char *)v->iov_base + n;
	v->iov_len -= n;
	port->at += !v->iov_len;
}

static bool hold(struct port *port)
{
	const struct virtq_chain *chain = &port->console->device->chain;

	port->iov = malloc((chain->n_out + 1) * sizeof(*port->iov));
	if (!port->iov)
		return false;
	memcpy(port->iov, chain->iov, chain->n_out * sizeof(*port->iov));
	port->n_iov = chain->n_out;
	port->at = 0;
	port->id = chain->id;
	port->slots = chain->slots;
	port->holds = true;
	port->written = 0;
	while (port->skip && port->at < port->n_iov) {
		size_t n = (size_t)MIN((uint64_t)port->iov[port->at].iov_len, port->skip);

		port->skip -= n;
		advance(port, n);
	}
	port->skip = 0;
	return true;
}

static void let_go(struct port *port)
{
	free(port->iov);
	port->iov = NULL;
	port->holds = false;
}

/* False where the sink blocks or the turn is over; *budget is what is left of it. */
static bool write_held(struct port *port, size_t *budget)
{
	while (port->at < port->n_iov) {
		struct iovec *v = &port->iov[port->at];
		size_t n;

		if (!*budget)
			return false;
		n = serial_sink_write(port->sink, v->iov_base, MIN(v->iov_len, *budget));
		if (!n) {
			port->blocked = true;
			return false;
		}
		*budget -= n;
		advance(port, n);
	}
	return true;
}

static void transmit(struct port *port)
{
	struct virtio_device *device = port->console->device;
	unsigned int queue = tx_queue(port), left = CONSOLE_QUEUE_SIZE;
	size_t budget = TURN_BYTES;

	if (!virtio_live(device, queue) || port->blocked)
		return;
	while (left--) {
		if (!port->holds && (!virtio_pop(device, queue) || !hold(port)))
			break;
		if (!write_held(port, &budget))
			break;
		virtio_push(device, queue, port->id, port->slots, 0);
		let_go(port);
	}
	virtio_flush(device, queue);
	if (!port->blocked && (port->holds || virtio_kicks_on(device, queue)))
		virtio_again(device, queue);
}

static void sink_writable(void *arg)
{
	struct port *port = arg;

	virtio_lock(port->console->device);
	port->blocked = false;
	transmit(port);
	virtio_unlock(port->console->device);
}

/* --- from the sink to the guest -------------------------------------------------------------- */

static void receive(struct port *port)
{
	struct virtio_device *device = port->console->device;
	unsigned int queue = rx_queue(port);
	size_t done = 0;

	while (done < port->n_input && virtio_pop(device, queue)) {
		const struct virtq_chain *chain = &device->chain;
		size_t n = virtq_write(chain, 0, port->input + done, port->n_input - done);

		virtio_push(device, queue, chain->id, chain->slots, (uint32_t)n);
		done += n;
	}
	virtio_flush(device, queue);
	port->n_input -= done;
	memmove(port->input, port->input + done, port->n_input);
	/* With something left over, the driver's next buffer is waited for. */
	if (port->n_input && virtio_kicks_on(device, queue))
		virtio_again(device, queue);
	if (port->starved && port->n_input < INPUT_BYTES) {
		port->starved = false;
		serial_sink_resume(port->sink);
	}
}

static size_t sink_room(void *arg)
{
	struct port *port = arg;
	size_t room;

	virtio_lock(port->console->device);
	room = INPUT_BYTES - port->n_input;
	port->starved = !room;
	virtio_unlock(port->console->device);
	return room;
}

static void sink_input(void *arg, const uint8_t *data, size_t len)
{
	struct port *port = arg;

	virtio_lock(port->console->device);
	len = MIN(len, INPUT_BYTES - port->n_input);
	memcpy(port->input + port->n_input, data, len);
	port->n_input += len;
	receive(port);
	virtio_unlock(port->console->device);
}

static const struct serial_sink_ops sink_ops = {
	.room = sink_room,
	.input = sink_input,
	.writable = sink_writable,
};

/* --- control --------------------------------------------------------------------------------- */

/* The first of what the port has to tell; 0: nothing. */
static size_t next_message(struct port *port, uint8_t *out)
{
	struct virtio_console_control message = { .id = port->index, .value = 1 };
	size_t name = 0;
	unsigned int what = port->tell & -port->tell;

	switch (what) {
	case TELL_ADD:
		message.event = VIRTIO_CONSOLE_PORT_ADD;
		break;
	case TELL_CONSOLE:
		message.event = VIRTIO_CONSOLE_CONSOLE_PORT;
		break;
	case TELL_NAME:
		message.event = VIRTIO_CONSOLE_PORT_NAME;
		name = strlen(port->name);
		break;
	case TELL_OPEN:
		message.event = VIRTIO_CONSOLE_PORT_OPEN;
		break;
	default:
		return 0;
	}
	port->tell &= ~what;
	memcpy(out, &message, sizeof(message));
	memcpy(out + sizeof(message), port->name, name);
	return sizeof(message) + name;
}

static void tell(struct console *console)
{
	struct virtio_device *device = console->device;
	uint8_t message[sizeof(struct virtio_console_control) + sizeof(console->ports[0].name)];
	bool room = true;

	if (!virtio_has(device, VIRTIO_CONSOLE_F_MULTIPORT))
		return;
	/* In order: what finds no buffer keeps the next from going, even if one comes now. */
	for (unsigned int i = 0; i < console->n && room; i++) {
		while (console->ports[i].tell) {
			const struct virtq_chain *chain = &device->chain;
			size_t n;

			room = virtio_pop(device, CONTROL_RX);
			if (!room)
				break;
			n = next_message(&console->ports[i], message);
			virtio_push(device, CONTROL_RX, chain->id, chain->slots,
				    (uint32_t)virtq_write(chain, 0, message, n));
		}
	}
	virtio_flush(device, CONTROL_RX);
	if (virtio_kicks_on(device, CONTROL_RX)) {
		for (unsigned int i = 0; i < console->n; i++) {
			if (console->ports[i].tell) {
				virtio_again(device, CONTROL_RX);
				return;
			}
		}
	}
}

static void hear(struct console *console, const struct virtio_console_control *message)
{
	struct port *port;

	if (message->event == VIRTIO_CONSOLE_DEVICE_READY && message->value == 1) {
		for (unsigned int i = 0; i < console->n; i++)
			console->ports[i].tell = TELL_ADD;
		return;
	}
	if (message->event != VIRTIO_CONSOLE_PORT_READY || message->value != 1 ||
	    message->id >= console->n)
		return;
	port = &console->ports[message->id];
	port->tell |= TELL_OPEN | (port->index ? TELL_NAME : TELL_CONSOLE);
}

static bool hear_one(void *opaque, unsigned int queue)
{
	struct console *console = opaque;
	const struct virtq_chain *chain = &console->device->chain;
	struct virtio_console_control message = { 0 };

	if (virtq_read(chain, 0, &message, sizeof(message)) == sizeof(message))
		hear(console, &message);
	virtio_push(console->device, queue, chain->id, chain->slots, 0);
	return true;
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_kick(void *opaque, unsigned int queue)
{
	struct console *console = opaque;
	bool multi = virtio_has(console->device, VIRTIO_CONSOLE_F_MULTIPORT);
	unsigned int index = queue < CONTROL_RX ? 0 : queue / 2 - 1;

	if (queue == CONTROL_RX || queue == CONTROL_TX) {
		if (multi && queue == CONTROL_TX)
			virtio_drain(console->device, CONTROL_TX, hear_one);
		tell(console);
	} else if (!index || multi) {
		struct port *port = &console->ports[index];

		if (queue & 1)
			transmit(port);
		else
			receive(port);
	}
}

static bool on_stop(void *opaque)
{
	struct console *console = opaque;

	for (unsigned int i = 0; i < console->n; i++) {
		struct port *port = &console->ports[i];

		let_go(port);
		port->skip = 0;
		port->tell = 0;
		port->blocked = false;
	}
	return true;
}

static bool on_stop_queue(void *opaque, unsigned int queue)
{
	struct console *console = opaque;

	for (unsigned int i = 0; i < console->n; i++) {
		if (tx_queue(&console->ports[i]) != queue)
			continue;
		let_go(&console->ports[i]);
		console->ports[i].skip = 0;
	}
	return true;
}

/* The buffer that is being written is taken again, and gone on with where it was. */
static void on_save(void *opaque, struct state_out *out)
{
	struct console *console = opaque;

	for (unsigned int i = 0; i < console->n; i++) {
		const struct port *port = &console->ports[i];

		state_put_bytes(out, port->input, port->n_input);
		state_put(out, port->tell);
		state_put(out, port->holds ? port->written : port->skip);
	}
}

static void on_load(void *opaque, struct state_in *in)
{
	struct console *console = opaque;

	for (unsigned int i = 0; i < console->n; i++) {
		struct port *port = &console->ports[i];
		size_t n;
		const uint8_t *input = state_take_some(in, INPUT_BYTES, &n);

		if (input)
			memcpy(port->input, input, n);
		port->n_input = n;
		port->tell = (unsigned int)state_take(in, TELL_ADD | TELL_CONSOLE | TELL_NAME |
								  TELL_OPEN);
		port->skip = state_take(in, UINT64_MAX);
	}
}

static void config_read(void *opaque, uint32_t offset, void *data, unsigned int size)
{
	struct console *console = opaque;

	memcpy(data, (const uint8_t *)&console->config + offset, size);
}

static void on_free(void *opaque)
{
	struct console *console = opaque;

	for (unsigned int i = 0; i < console->n; i++) {
		let_go(&console->ports[i]);
		serial_sink_close(console->ports[i].sink);
	}
	free(console);
}

static const struct virtio_ops console_ops = {
	.config_read = config_read,
	.kick = on_kick,
	.stop = on_stop,
	.stop_queue = on_stop_queue,
	.save = on_save,
	.load = on_load,
	.free = on_free,
};

static int open_port(struct console *console, unsigned int index,
		     const struct console_options *options, const struct virtio_host *host,
		     struct err *err)
{
	const struct console_port_options *from = &options->ports[index];
	struct port *port = &console->ports[index];
	int ret = serial_sink_open(&port->sink, from->mode, from->path, host->loop, host->log, err);

	if (ret)
		return ret;
	port->console = console;
	port->index = index;
	if (from->name)
		snprintf(port->name, sizeof(port->name), "%s", from->name);
	serial_sink_on_quit(port->sink, options->quit, options->quit_arg);
	console->n++;
	return 0;
}

static int make_device(struct console *console, const struct virtio_host *host, struct err *err)
{
	bool multi = console->n > 1;
	const struct virtio_options options = {
		.name = "console",
		.type = CONSOLE_TYPE,
		.class_code = CONSOLE_CLASS,
		.features = multi ? VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT) : 0,
		.packed = true,
		.queues = multi ? 2 * (console->n + 1) : 2,
		.queue_size = CONSOLE_QUEUE_SIZE,
		.config_size = sizeof(console->config),
		.ops = &console_ops,
		.opaque = console,
	};

	console->config.max_nr_ports = console->n;
	return virtio_device_create(&console->device, host, &options, err);
}

int console_create(struct virtio_device **out, const struct virtio_host *host,
		   const struct console_options *options, struct err *err)
{
	struct console *console = calloc(1, sizeof(*console));
	int ret = 0;

	if (!console)
		return err_set(err, ENOMEM, "no memory for the console");
	for (unsigned int i = 0; i < options->n && !ret; i++)
		ret = open_port(console, i, options, host, err);
	if (!ret)
		ret = make_device(console, host, err);
	if (ret) {
		on_free(console);
		return ret;
	}
	/* From here on the sinks' input finds a device. */
	for (unsigned int i = 0; i < console->n; i++)
		serial_sink_bind(console->ports[i].sink, &sink_ops, &console->ports[i]);
	*out = console->device;
	return 0;
}
