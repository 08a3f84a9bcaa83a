/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile guest can do to whole devices: any registers, any rings, any buffers, in any
 * order, on a console of two ports, a balloon, a source of entropy, a vsock, a network interface of
 * two queue pairs, a disk, and one on which zeros are written down. The devices live as long as the
 * process and are reset before each input; their loop never runs, its work is done here. The
 * network's, which has nothing else, turns when the input says so; frames come from a wire that the
 * input feeds, and go where their sizes are looked at.
 *
 * Input: a byte that chooses the device, then steps of an operation byte with its arguments.
 */
#include <linux/pci_regs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "passthrough/pci/internal.h"
#include "tests/fuzz/reader.h"
#include "tests/fuzz/wire.h"
#include "util/bits.h"
#include "vmm/virtio/balloon.h"
#include "vmm/virtio/blk-internal.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/internal.h"
#include "vmm/virtio/net.h"
#include "vmm/virtio/rng.h"
#include "vmm/virtio/vsock.h"

#define BASE	0x1000ULL
#define BYTES	0x10000u
#define DEVICES 7u
#define DISK	4u
#define NET	5u
#define ZEROS	6u
#define IMAGE	0x8000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fleet {
	uint8_t *memory;
	struct virtio_memory table;
	struct virtio_host host;
	struct virtio_device *device[DEVICES];
	struct blk *blk[DEVICES];    /* where it is a disk */
	struct virtio_host net_host; /* with a loop of its own */
	struct loop_work stop;
	char path[64];
};

static void interrupt(void *arg, uint16_t vector)
{
	const struct virtio_device *device = arg;

	if (vector > device->n_queues)
		abort();
}

static void check(int ret, const struct err *err)
{
	if (!ret)
		return;
	fprintf(stderr, "%s\n", err->text);
	abort();
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

static void make_disk(struct fleet *fleet, unsigned int index)
{
	char path[] = "/tmp/adit-fuzz-disk-XXXXXX";
	const struct blk_options options = {
		.id = "disk", .image.path = path, .queues = 1, .queue_size = 16, .packed = true
	};
	int fd = mkstemp(path);
	struct err err;

	if (fd < 0 || ftruncate(fd, IMAGE))
		abort();
	close(fd);
	check(blk_create(&fleet->blk[index], &fleet->host, &options, &err), &err);
	unlink(path);
	fleet->device[index] = blk_device(fleet->blk[index]);
}

static void make_net(struct fleet *fleet)
{
	const struct net_options options = {
		.id = "net",
		.tap = "wire",
		.fd = -1,
		.pairs = WIRE_PAIRS,
		.queue_size = 16,
		.packed = true,
		.csum = true,
		.tso = true,
		.uso = true,
	};
	struct err err;

	fleet->net_host = fleet->host;
	check(loop_create(&fleet->net_host.loop, &err), &err);
	fleet->stop = (struct loop_work){ .fn = stop_loop, .arg = fleet->net_host.loop };
	check(net_create(&fleet->device[NET], &fleet->net_host, &options, &err), &err);
}

/* A frame of any size and content for a queue pair. */
static void send_frame(struct reader *r)
{
	static uint8_t frame[WIRE_FRAME_MAX];
	unsigned int pair = (unsigned int)take(r, 1) % WIRE_PAIRS;
	size_t size = TAP_HEADER_BYTES + (size_t)take(r, 2), known = MIN(r->size, (size_t)16);

	memset(frame, 0x5a, size);
	memcpy(frame, r->data, known);
	r->data += known;
	r->size -= known;
	/* Where the wire is full, it is lost. */
	(void)!send(wire_end[pair], frame, size, 0);
}

static void clear_wire(void)
{
	for (unsigned int i = 0; i < WIRE_PAIRS; i++) {
		wire_empty(wire_end[i]);
		wire_empty(wire_tap[i]);
	}
}

/* What the loop would do, until nothing is in flight. */
static void work(struct fleet *fleet, struct virtio_device *device)
{
	struct blk *blk = NULL;

	if (device == fleet->device[NET]) {
		(void)loop_post(fleet->net_host.loop, &fleet->stop);
		if (loop_run(fleet->net_host.loop))
			abort();
		for (unsigned int i = 0; i < WIRE_PAIRS; i++)
			wire_empty(wire_end[i]);
		return;
	}
	device->work.fn(device);
	for (unsigned int i = 0; i < DEVICES; i++)
		blk = fleet->device[i] == device ? fleet->blk[i] : blk;
	if (!blk)
		return;
	virtio_lock(device);
	do {
		blk_reap(blk);
		blk_answer(blk);
	} while (blk->in_flight);
	virtio_unlock(device);
}

static struct fleet *fleet_new(void)
{
	const struct console_options console = {
		.n = 2, .ports = { { .mode = SERIAL_NULL }, { .name = "a", .mode = SERIAL_NULL } }
	};
	const struct balloon_options balloon = { .size = 4096,
						 .reporting = true,
						 .stats_ms = 1000 };
	struct fleet *fleet = calloc(1, sizeof(*fleet));
	struct balloon *made;
	struct err err;

	/* Pages, since the balloon gives them back; a guard behind them is the allocator's. */
	fleet->memory = aligned_alloc(4096, BYTES);
	fleet->table = (struct virtio_memory){ .n = 1, .range[0] = { BASE, BYTES, fleet->memory } };
	snprintf(fleet->path, sizeof(fleet->path), "/tmp/adit-fuzz-vsock-%d", getpid());
	check(loop_create(&fleet->host.loop, &err), &err);
	fleet->host.memory = &fleet->table;
	check(console_create(&fleet->device[0], &fleet->host, &console, &err), &err);
	check(balloon_create(&made, &fleet->host, &balloon, &err), &err);
	fleet->device[1] = balloon_device(made);
	check(rng_create(&fleet->device[2], &fleet->host, NULL, &err), &err);
	check(vsock_create(&fleet->device[3], &fleet->host, 3, fleet->path, &err), &err);
	/* The process may end at any input; nobody needs the names. */
	unlink(fleet->path);
	make_disk(fleet, DISK);
	make_disk(fleet, ZEROS);
	/* What a file system finds out that knows nothing of zeros. */
	fleet->blk[ZEROS]->no_unmap = fleet->blk[ZEROS]->no_zero_range = true;
	make_net(fleet);
	for (unsigned int i = 0; i < DEVICES; i++) {
		fleet->device[i]->interrupt = interrupt;
		fleet->device[i]->interrupt_arg = fleet->device[i];
		fleet->device[i]->function->command = PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY;
	}
	return fleet;
}

static void kick(struct virtio_device *device, unsigned int queue)
{
	virtio_lock(device);
	if (virtio_live(device, queue))
		device->options.ops->kick(device->options.opaque, queue);
	virtio_unlock(device);
}

/* A driver's short way to running queues of 8 entries, rings at fixed places. */
static void bring_up(struct fleet *fleet, struct virtio_device *device, uint64_t features)
{
	virtio_pci_write(device, 0x14, 0, 1);
	work(fleet, device);
	virtio_pci_write(device, 0x14, 3, 1);
	virtio_pci_write(device, 0x08, 0, 4);
	virtio_pci_write(device, 0x0c, features & device->offered & 0xffffffff, 4);
	virtio_pci_write(device, 0x08, 1, 4);
	virtio_pci_write(device, 0x0c, ((features & device->offered) >> 32) | 1, 4);
	virtio_pci_write(device, 0x14, 0xb, 1);
	for (unsigned int i = 0; i < device->n_queues; i++) {
		uint64_t at = BASE + 0x400ULL * i;

		virtio_pci_write(device, 0x16, i, 2);
		virtio_pci_write(device, 0x18, 8, 2);
		virtio_pci_write(device, 0x1a, i, 2);
		virtio_pci_write(device, 0x20, at, 8);
		virtio_pci_write(device, 0x28, at + 0x100, 8);
		virtio_pci_write(device, 0x30, at + 0x200, 8);
		virtio_pci_write(device, 0x1c, 1, 2);
	}
	virtio_pci_write(device, 0x14, 0xf, 1);
	work(fleet, device);
}

static void step(struct fleet *fleet, struct virtio_device *device, struct reader *r)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8 };
	uint8_t op = (uint8_t)take(r, 1);
	unsigned int size = sizes[op >> 3 & 3];
	uint64_t at;
	size_t len;

	switch (op & 7) {
	case 0:
		at = take(r, 2) % VIRTIO_BAR_TABLE;
		virtio_pci_write(device, at, take(r, size), size);
		break;
	case 1:
		(void)virtio_pci_read(device, take(r, 2) % VIRTIO_BAR_TABLE, size);
		break;
	case 2:
		work(fleet, device);
		break;
	case 3:
		bring_up(fleet, device, take(r, 8));
		break;
	case 4:
	case 5:
		kick(device, (unsigned int)take(r, 1) % device->n_queues);
		break;
	case 6:
		if (device == fleet->device[NET]) {
			send_frame(r);
			break;
		}
		/* fall through */
	default:
		at = take(r, 2) % BYTES;
		len = (size_t)take(r, 1);
		len = MIN(MIN(len, r->size), (size_t)(BYTES - at));
		memcpy(fleet->memory + at, r->data, len);
		r->data += len;
		r->size -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fleet *fleet;
	struct reader r = { data, size };
	struct virtio_device *device;

	if (!fleet)
		fleet = fleet_new();
	memset(fleet->memory, 0, BYTES);
	device = fleet->device[take(&r, 1) % DEVICES];
	virtio_pci_write(device, 0x14, 0, 1);
	work(fleet, device);
	clear_wire();
	while (r.size)
		step(fleet, device, &r);
	return 0;
}
