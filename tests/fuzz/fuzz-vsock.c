/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsock device between a hostile guest and hostile peers: connections are opened from both sides
 * and live, since the host's ends of their sockets are here. The guest's packets are mostly whole
 * (what is broken about rings is fuzz-virtio's), their fields are the input's; peers connect,
 * write, read, stop reading, shut down and go away. The device's loop runs, a turn after each step.
 *
 * Input: steps of an operation byte with its arguments. After each, the books must balance.
 */
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "passthrough/pci/internal.h"
#include "tests/fuzz/reader.h"
#include "util/bits.h"
#include "vmm/virtio/internal.h"
#include "vmm/virtio/vsock-internal.h"

#define BASE	    0x10000ULL
#define BYTES	    0x40000u
#define ENTRIES	    16u
#define RING_STEP   0x1000u
#define BUFFERS	    0x10000u /* of memory, from here on */
#define BUFFER	    0x1000u
#define PEERS	    8u
#define GUEST_CID   3u
#define LISTENED    77u /* the port of the host that somebody listens on */
#define TURNS_QUIET 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	uint8_t *memory;
	struct virtio_memory table;
	struct virtio_host host;
	struct virtio_device *device;
	struct vsock *vsock;
	struct loop_work stop;
	struct sockaddr_un at, port;
	int listener;
	int peer[PEERS];
	uint16_t next[2]; /* of the rings that the guest fills: receive and transmit */
};

static void check(bool good)
{
	if (!good)
		abort();
}

/* --- the machine around it ------------------------------------------------------------------- */

static void interrupt(void *arg, uint16_t vector)
{
	check(vector <= ((const struct virtio_device *)arg)->n_queues);
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

/* What is ready now is handled. */
static void turn(struct world *w)
{
	loop_post(w->host.loop, &w->stop);
	check(!loop_run(w->host.loop));
}

/* The names of the sockets go when this process does, however it ends. */
static void tidy_up_behind(const char *directory, const struct world *w)
{
	int ends[2];
	char byte;

	check(!pipe2(ends, O_CLOEXEC));
	if (fork()) {
		close(ends[0]);
		return; /* the other end stays open as long as we live */
	}
	close(ends[1]);
	/* Who ends us with our group does not mean the one who cleans up. */
	(void)setsid();
	while (read(ends[0], &byte, 1) > 0)
		;
	unlink(w->at.sun_path);
	unlink(w->port.sun_path);
	rmdir(directory);
	_exit(0);
}

static struct world *world_new(void)
{
	char directory[] = "/tmp/adit-fuzz-vsock-XXXXXX";
	struct world *w = calloc(1, sizeof(*w));
	struct err err;

	check(w && mkdtemp(directory));
	(void)signal(SIGPIPE, SIG_IGN);
	w->at.sun_family = w->port.sun_family = AF_UNIX;
	snprintf(w->at.sun_path, sizeof(w->at.sun_path), "%s/v", directory);
	snprintf(w->port.sun_path, sizeof(w->port.sun_path), "%s/v_%u", directory, LISTENED);
	tidy_up_behind(directory, w);
	w->memory = malloc(BYTES);
	check(w->memory && !loop_create(&w->host.loop, &err));
	w->table = (struct virtio_memory){ .n = 1, .range[0] = { BASE, BYTES, w->memory } };
	w->host.memory = &w->table;
	w->stop = (struct loop_work){ .fn = stop_loop, .arg = w->host.loop };
	check(!vsock_create(&w->device, &w->host, GUEST_CID, w->at.sun_path, &err));
	w->vsock = w->device->options.opaque;
	w->device->interrupt = interrupt;
	w->device->interrupt_arg = w->device;
	w->device->function->command = PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY;
	w->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	check(w->listener >= 0 &&
	      !bind(w->listener, (const struct sockaddr *)&w->port, sizeof(w->port)) &&
	      !listen(w->listener, 4));
	for (unsigned int i = 0; i < PEERS; i++)
		w->peer[i] = -1;
	return w;
}

/* Split queues with everything else that was offered and asked for. */
static void bring_up(struct world *w, uint64_t features)
{
	struct virtio_device *device = w->device;

	features &= device->offered & ~VIRTIO_FEATURE(FEATURE_PACKED);
	virtio_pci_write(device, 0x14, 0, 1);
	turn(w);
	check(!virtio_pci_read(device, 0x14, 1));
	memset(w->memory, 0, 3UL * RING_STEP);
	w->next[0] = w->next[1] = 0;
	virtio_pci_write(device, 0x14, 3, 1);
	virtio_pci_write(device, 0x08, 0, 4);
	virtio_pci_write(device, 0x0c, features & 0xffffffff, 4);
	virtio_pci_write(device, 0x08, 1, 4);
	virtio_pci_write(device, 0x0c, features >> 32 | 1, 4);
	virtio_pci_write(device, 0x14, 0xb, 1);
	for (unsigned int i = 0; i < device->n_queues; i++) {
		uint64_t at = BASE + (uint64_t)RING_STEP * i;

		virtio_pci_write(device, 0x16, i, 2);
		virtio_pci_write(device, 0x18, ENTRIES, 2);
		virtio_pci_write(device, 0x20, at, 8);
		virtio_pci_write(device, 0x28, at + 0x400, 8);
		virtio_pci_write(device, 0x30, at + 0x800, 8);
		virtio_pci_write(device, 0x1c, 1, 2);
	}
	virtio_pci_write(device, 0x14, 0xf, 1);
	turn(w);
}

/* --- the guest ------------------------------------------------------------------------------- */

/* One buffer of one piece, whatever came of the one that used the entry before. */
static void offer(struct world *w, unsigned int queue, uint32_t len, bool write)
{
	uint8_t *ring = w->memory + (size_t)RING_STEP * queue;
	uint16_t head = w->next[queue] % ENTRIES;
	uint8_t *d = ring + 16UL * head;

	store_le(d, BASE + BUFFERS + (uint64_t)BUFFER * (queue * ENTRIES + head), 8);
	store_le(d + 8, len, 4);
	store_le(d + 12, write ? 2 : 0, 4);
	store_le(ring + 0x404 + 2UL * head, head, 2);
	w->next[queue]++;
	store_le(ring + 0x402, w->next[queue], 2);
	virtio_pci_write(w->device, VIRTIO_BAR_NOTIFY + VIRTIO_NOTIFY_STEP * queue, queue, 2);
}

static uint16_t used_of(const struct world *w, unsigned int queue)
{
	return (uint16_t)load_le(w->memory + (size_t)RING_STEP * queue + 0x802, 2);
}

static bool has_room(const struct world *w, unsigned int queue)
{
	return (uint16_t)(w->next[queue] - used_of(w, queue)) < ENTRIES;
}

/* Ports that there are, more often than others. */
static uint32_t some_port(const struct world *w, uint8_t choice, bool of_host)
{
	unsigned int n = choice >> 2;

	if (!(choice & 3))
		return choice;
	if ((choice & 3) == 1)
		return of_host ? LISTENED : 1000u + (n & 3);
	for (const struct conn *c = w->vsock->conns; c; c = c->next) {
		if (!n--)
			return of_host ? c->host_port : c->guest_port;
	}
	return of_host ? LISTENED : 1000;
}

static void guest_says(struct world *w, struct reader *r)
{
	struct virtio_vsock_hdr header = { .src_cid = GUEST_CID,
					   .dst_cid = VSOCK_HOST_CID,
					   .type = VIRTIO_VSOCK_TYPE_STREAM };
	uint8_t shape = (uint8_t)take(r, 1), which = (uint8_t)take(r, 1);
	uint8_t *at = w->memory + BUFFERS + (size_t)BUFFER * (ENTRIES + w->next[1] % ENTRIES);
	uint32_t len = sizeof(header);

	header.op = (uint16_t)(shape & 15);
	header.src_port = some_port(w, which, false);
	header.dst_port = some_port(w, (uint8_t)(which | (shape & 0x80 ? 3 : 0)), true);
	header.flags = shape >> 4 & 3;
	header.buf_alloc = shape & 0x40 ? (uint32_t)take(r, 4) : 1u << 16;
	header.fwd_cnt = shape & 0x40 ? (uint32_t)take(r, 4) : 0;
	if (header.op == VIRTIO_VSOCK_OP_RW) {
		header.len = (uint32_t)take(r, 2);
		/* At times it says more than it has, or less. */
		len += MIN(header.len & 0x8000 ? header.len & 0xff : header.len,
			   BUFFER - (uint32_t)sizeof(header));
	}
	if (!has_room(w, 1))
		return;
	memset(at, (uint8_t)shape, BUFFER);
	memcpy(at, &header, sizeof(header));
	offer(w, 1, len, false);
}

/* --- the peers ------------------------------------------------------------------------------- */

static void keep(struct world *w, int fd)
{
	for (unsigned int i = 0; fd >= 0 && i < PEERS; i++) {
		if (w->peer[i] < 0) {
			w->peer[i] = fd;
			return;
		}
	}
	if (fd >= 0)
		close(fd);
}

static void peer_connects(struct world *w)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&w->at, sizeof(w->at))) {
		close(fd);
		return;
	}
	keep(w, fd);
}

static void peer_acts(struct world *w, struct reader *r)
{
	uint8_t op = (uint8_t)take(r, 1);
	int *peer = &w->peer[op % PEERS];
	static char bulk[1 << 16];
	size_t n;

	if (*peer < 0)
		return;
	switch (op >> 3 & 7) {
	case 0:
	case 1: /* the input's own bytes: "CONNECT 5\n", or what passes for it */
		n = (size_t)take(r, 1);
		n = MIN(n, r->size);
		(void)!send(*peer, r->data, n, MSG_NOSIGNAL);
		r->data += n;
		r->size -= n;
		break;
	case 2:
		(void)!send(*peer, "CONNECT 1001\n", 13, MSG_NOSIGNAL);
		break;
	case 3: /* much at once, as far as it goes */
		(void)!send(*peer, bulk, sizeof(bulk), MSG_NOSIGNAL);
		break;
	case 4:
	case 5:
		(void)!recv(*peer, bulk, (size_t)take(r, 2), 0);
		break;
	case 6:
		(void)shutdown(*peer, op & 0x40 ? SHUT_RD : SHUT_WR);
		break;
	default:
		close(*peer);
		*peer = -1;
	}
}

/* --- steps ----------------------------------------------------------------------------------- */

static void balance(const struct world *w)
{
	unsigned int n = 0;

	for (const struct conn *c = w->vsock->conns; c; c = c->next, n++) {
		check(c->used <= VSOCK_BUFFER && c->start < VSOCK_BUFFER);
		check(c->rx_count - c->forwarded >= c->used);
		check(c->state == CONN_DEAD || c->fd >= 0);
		check(!c->used || c->buffer);
	}
	check(n == w->vsock->n_conns && n <= VSOCK_CONNECTIONS);
	check(w->vsock->n_resets <= VSOCK_RESETS);
}

static void step(struct world *w, struct reader *r)
{
	uint8_t op = (uint8_t)take(r, 1);

	switch (op & 7) {
	case 0:
	case 1:
		guest_says(w, r);
		break;
	case 2: /* from too small for a header to much */
		if (has_room(w, 0))
			offer(w, 0, op & 0x80 ? BUFFER : 40u + (op >> 3), true);
		break;
	case 3: /* all that has room */
		while (has_room(w, 0))
			offer(w, 0, BUFFER, true);
		break;
	case 4:
		peer_connects(w);
		break;
	case 5:
	case 6:
		peer_acts(w, r);
		break;
	default:
		if (op < 0xc0)
			keep(w, accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
		else
			bring_up(w, op & 8 ? ~0ULL : 0);
	}
	turn(w);
	keep(w, accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
	balance(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world *w;
	struct reader r = { data, size };
	int fd;

	if (!w)
		w = world_new();
	bring_up(w, take(&r, 1) & 1 ? ~0ULL : 0);
	while (r.size)
		step(w, &r);
	/* Nobody is left, on either side. */
	for (unsigned int i = 0; i < PEERS; i++) {
		if (w->peer[i] >= 0)
			close(w->peer[i]);
		w->peer[i] = -1;
	}
	while ((fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
	for (unsigned int i = 0; i < TURNS_QUIET; i++)
		turn(w);
	virtio_pci_write(w->device, 0x14, 0, 1);
	turn(w);
	check(!w->vsock->conns && !w->vsock->n_conns);
	return 0;
}
