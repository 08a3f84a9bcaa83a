/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device on a real tap in a network namespace of the test's own; the other end is a
 * packet socket on the interface. Needs the rights to make both.
 */
#include "tests/unit/test-virtio-device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "vmm/virtio/net.h"

#define HEADER	12u
#define FRAME	(BENCH_BUFFERS)
#define RECEIVE (BENCH_BUFFERS + 0x20000)
#define CONTROL (BENCH_BUFFERS + 0x10000)
#define TYPE	0x88b5 /* local experimental: nothing else sends it */

struct wire {
	struct bench b;
	int peer;
};

static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };

/* Nothing of the host's in it, and no frames but ours: IPv6 would send some of its own. */
static bool own_namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWNET))
		return false;
	fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		assert_int_equal(write(fd, "1", 1), 1);
		close(fd);
	}
	return true;
}

/* Brings the interface up and listens on it. */
static int open_peer(const char *name)
{
	struct ifreq request = { 0 };
	struct sockaddr_ll from = { .sll_family = AF_PACKET, .sll_protocol = htons(TYPE) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(TYPE));

	assert_true(fd >= 0);
	strcpy(request.ifr_name, name);
	request.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	assert_int_equal(ioctl(fd, SIOCGIFINDEX, &request), 0);
	from.sll_ifindex = request.ifr_ifindex;
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	return fd;
}

static void open_limited(struct wire *w, unsigned int pairs, const struct bucket *bytes)
{
	const struct net_options options = { .id = "net0",
					     .tap = "adit0",
					     .fd = -1,
					     .mac = mac,
					     .mtu = 9000,
					     .pairs = pairs,
					     .queue_size = 64,
					     .packed = true,
					     .csum = true,
					     .tso = true,
					     .uso = true,
					     .bytes = *bytes };
	struct virtio_device *device;
	struct err err;
	int ret;

	if (!own_namespace())
		skip_because("no network namespace: %s", strerror(errno));
	bench_open(&w->b);
	ret = net_create(&device, &w->b.host, &options, &err);
	if (ret == -ENOENT || ret == -EPERM || ret == -EACCES) {
		bench_close(&w->b);
		skip_because("%s", err.text);
	}
	assert_ok(ret, &err);
	w->peer = open_peer("adit0");
	bench_run(&w->b, device);
}

static void open_wire(struct wire *w, unsigned int pairs)
{
	open_limited(w, pairs, &(struct bucket){ 0 });
}

static void close_wire(struct wire *w)
{
	close(w->peer);
	bench_close(&w->b);
}

static size_t make_frame(uint8_t *frame, size_t payload)
{
	memset(frame, 0xff, 6);
	memcpy(frame + 6, mac, 6);
	frame[12] = TYPE >> 8;
	frame[13] = TYPE & 0xff;
	for (size_t i = 0; i < payload; i++)
		frame[14 + i] = (uint8_t)rand();
	return 14 + payload;
}

static void guest_sends(struct wire *w, size_t payload)
{
	uint8_t *at = guest_at(&w->b.memory, FRAME), got[2048];
	size_t len = make_frame(at + HEADER, payload);
	const struct driver_piece pieces[] = { { FRAME, HEADER, false },
					       { FRAME + HEADER, 20, false },
					       { FRAME + HEADER + 20, (uint32_t)len - 20, false } };

	memset(at, 0, HEADER);
	driver_add(&w->b.q[1], pieces, 3);
	bench_kick(&w->b, 1);
	bench_take(&w->b, 1, NULL);
	assert_int_equal(recv(w->peer, got, sizeof(got), 0), len);
	assert_memory_equal(got, at + HEADER, len);
}

/* Receive buffers of `size` bytes; the frame needs as many as it needs. */
static void guest_receives(struct wire *w, size_t payload, uint32_t size)
{
	uint8_t frame[2048], got[4096];
	size_t len = make_frame(frame, payload), n = 0;
	unsigned int buffers = (unsigned int)((len + HEADER + size - 1) / size);
	uint16_t told;

	assert_int_equal(send(w->peer, frame, len, 0), len);
	for (unsigned int i = 0; i < buffers; i++) {
		const struct driver_piece piece = { RECEIVE + (uint64_t)size * i, size, true };

		/* One by one: the frame waits for the last. */
		assert_int_equal(driver_take(&w->b.q[0], NULL), -1);
		driver_add(&w->b.q[0], &piece, 1);
		bench_kick(&w->b, 0);
	}
	for (unsigned int i = 0; i < buffers; i++) {
		uint32_t written;

		bench_take(&w->b, 0, &written);
		memcpy(got + n, guest_at(&w->b.memory, RECEIVE + (uint64_t)size * i), written);
		n += written;
	}
	assert_int_equal(n, len + HEADER);
	assert_memory_equal(got + HEADER, frame, len);
	memcpy(&told, got + 10, 2);
	assert_int_equal(told, buffers);
}

static void frames_pass_both_ways_in_every_layout(void **state)
{
	struct wire w;

	open_wire(&w, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		bench_start(&w.b, bench_layouts[i] | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF), 2);
		for (unsigned int n = 0; n < 20; n++) {
			guest_sends(&w, 60 + n * 50);
			guest_receives(&w, 60 + n * 50, 2048);
		}
	}
	close_wire(&w);
}

static void frames_are_merged_from_small_buffers(void **state)
{
	struct wire w;

	open_wire(&w, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		bench_start(&w.b, bench_layouts[i] | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF), 2);
		for (unsigned int n = 0; n < 10; n++)
			guest_receives(&w, 1000 + n, 64 + n * 16);
	}
	close_wire(&w);
}

static void configuration_tells_mac_mtu_and_pairs(void **state)
{
	struct virtio_net_config config;
	struct wire w;

	open_wire(&w, 2);
	for (unsigned int i = 0; i < sizeof(config); i++)
		((uint8_t *)&config)[i] = (uint8_t)reg(&w.b, VIRTIO_BAR_DEVICE + i, 1);
	assert_memory_equal(config.mac, mac, 6);
	assert_int_equal(config.mtu, 9000);
	assert_int_equal(config.max_virtqueue_pairs, 2);
	assert_int_equal(config.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(reg(&w.b, REG_QUEUES, 2), 5);
	close_wire(&w);
}

static uint8_t *answer_of(struct wire *w, unsigned int index)
{
	return (uint8_t *)guest_at(&w->b.memory, CONTROL) + 64UL * index + 32;
}

static void put_control(struct wire *w, unsigned int index, uint8_t class, uint8_t command,
			uint16_t value)
{
	uint64_t gpa = CONTROL + 64UL * index;
	uint8_t *at = guest_at(&w->b.memory, gpa);
	const struct driver_piece pieces[] = { { gpa, 2, false },
					       { gpa + 16, 2, false },
					       { gpa + 32, 1, true } };

	at[0] = class;
	at[1] = command;
	memcpy(at + 16, &value, 2);
	at[32] = 0xee;
	driver_add(&w->b.q[4], pieces, 3);
}

static uint8_t control(struct wire *w, uint8_t class, uint8_t command, uint16_t value)
{
	put_control(w, 0, class, command, value);
	bench_kick(&w->b, 4);
	bench_take(&w->b, 4, NULL);
	return *answer_of(w, 0);
}

static void queue_pairs_are_switched_by_the_driver(void **state)
{
	const uint64_t features = BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) |
				  VIRTIO_FEATURE(VIRTIO_NET_F_MQ) |
				  VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ);
	struct wire w;

	open_wire(&w, 2);
	bench_start(&w.b, features, 5);
	assert_int_equal(control(&w, VIRTIO_NET_CTRL_MQ, 0, 2), VIRTIO_NET_OK);
	assert_int_equal(control(&w, VIRTIO_NET_CTRL_MQ, 0, 1), VIRTIO_NET_OK);
	assert_int_equal(control(&w, VIRTIO_NET_CTRL_MQ, 0, 0), VIRTIO_NET_ERR);
	assert_int_equal(control(&w, VIRTIO_NET_CTRL_MQ, 0, 3), VIRTIO_NET_ERR);
	assert_int_equal(control(&w, 77, 0, 0), VIRTIO_NET_ERR);
	guest_sends(&w, 100);
	guest_receives(&w, 100, 2048);
	close_wire(&w);
}

/* Of commands that wait, one that switches is the last of a turn. */
static void queue_pairs_are_switched_once_a_turn(void **state)
{
	static const struct {
		uint16_t pairs[6];
		unsigned int taken; /* in the first turn */
	} rows[] = { { { 2, 1, 2, 1, 2, 1 }, 1 },
		     { { 1, 1, 1, 2, 2, 2 }, 4 },
		     { { 2, 2, 2, 2, 2, 2 }, 6 } };
	struct wire w;

	open_wire(&w, 2);
	bench_start(&w.b,
		    BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) |
			    VIRTIO_FEATURE(VIRTIO_NET_F_MQ) | VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ),
		    5);
	assert_int_equal(control(&w, 77, 0, 0), VIRTIO_NET_ERR);
	for (size_t row = 0; row < ARRAY_SIZE(rows); row++) {
		bench_stop_loop(&w.b);
		for (unsigned int i = 0; i < 6; i++)
			put_control(&w, i, VIRTIO_NET_CTRL_MQ, 0, rows[row].pairs[i]);
		assert_int_equal(bench_kick_here(&w.b, 4), rows[row].taken);
		bench_run_loop(&w.b);
		for (unsigned int i = 0; i < 6; i++)
			bench_take(&w.b, 4, NULL);
		for (unsigned int i = 0; i < 6; i++)
			assert_int_equal(*answer_of(&w, i), VIRTIO_NET_OK);
	}
	close_wire(&w);
}

static void features_that_stand_on_others_are_refused_alone(void **state)
{
	struct wire w;

	open_wire(&w, 1);
	assert_false(bench_agree(&w.b, BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4)));
	assert_false(bench_agree(&w.b, BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6)));
	assert_false(bench_agree(&w.b, BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_ECN)));
	assert_false(bench_agree(&w.b, BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_ECN) |
					       VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM)));
	assert_true(bench_agree(&w.b, BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) |
					      VIRTIO_FEATURE(VIRTIO_NET_F_CSUM)));
	close_wire(&w);
}

static void bad_frames_are_lost_and_nothing_else(void **state)
{
	const struct driver_piece lengths[] = { { FRAME, 1, false },
						{ FRAME, HEADER, false },
						{ FRAME, HEADER + 5, false },
						{ FRAME, 100000, false } };
	struct wire w;

	open_wire(&w, 1);
	bench_start(&w.b, BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF), 2);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		memset(guest_at(&w.b.memory, FRAME), 0xff, 64);
		driver_add(&w.b.q[1], &lengths[i], 1);
		bench_kick(&w.b, 1);
		bench_take(&w.b, 1, NULL);
	}
	guest_sends(&w, 100);
	close_wire(&w);
}

static void receive_buffers_too_short_for_a_header_break_the_device(void **state)
{
	const struct driver_piece piece = { RECEIVE, 11, true };
	struct wire w;
	uint8_t frame[128];

	open_wire(&w, 1);
	bench_start(&w.b, BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF), 2);
	driver_add(&w.b.q[0], &piece, 1);
	bench_kick(&w.b, 0);
	assert_int_equal(send(w.peer, frame, make_frame(frame, 60), 0), 74);
	bench_wait(&w.b, 0);
	assert_int_equal(reg(&w.b, REG_STATUS, 1) & STATUS_NEEDS_RESET, STATUS_NEEDS_RESET);
	bench_start(&w.b, BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF), 2);
	guest_sends(&w, 100);
	close_wire(&w);
}

static void a_descriptor_that_is_no_tap_is_refused(void **state)
{
	const struct net_options options = { .id = "net0", .fd = 0, .pairs = 1, .queue_size = 64 };
	struct bench b;
	struct virtio_device *device;
	struct err err;

	bench_open(&b);
	assert_int_equal(net_create(&device, &b.host, &options, &err), -EINVAL);
	assert_non_null(strstr(err.text, "is no tap"));
	bench_close(&b);
}

static void put_buffers(struct wire *w)
{
	const struct driver_piece small = { RECEIVE, 200, true };

	for (unsigned int i = 0; i < BENCH_QUEUE_SIZE; i++)
		driver_add(&w->b.q[0], &small, 1);
	bench_kick(&w->b, 0);
}

/* Its receive queue is reset while frames come, half of one in its buffers: as `ethtool -G` does.
 */
static void a_receive_queue_is_reset_under_frames(void **state)
{
	const uint64_t features =
		bench_layouts[3] | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | BENCH_RING_RESET;
	uint8_t frame[1514];
	struct wire w;

	open_wire(&w, 1);
	bench_start(&w.b, features, 2);
	make_frame(frame, 1500);
	for (unsigned int i = 0; i < 40; i++) {
		put_buffers(&w);
		for (unsigned int n = 0; n < 6; n++)
			assert_int_equal(send(w.peer, frame, sizeof(frame), 0), sizeof(frame));
		bench_queue_reset(&w.b, 0);
		bench_queue(&w.b, 0, features);
	}
	put_buffers(&w);
	assert_int_equal(send(w.peer, frame, sizeof(frame), 0), sizeof(frame));
	bench_take(&w.b, 0, NULL);
	close_wire(&w);
}

static void an_interface_leaves_under_frames(void **state)
{
	uint8_t frame[1514];
	struct wire w;

	for (unsigned int i = 0; i < 10; i++) {
		open_wire(&w, 1);
		bench_start(&w.b, bench_layouts[i % ARRAY_SIZE(bench_layouts)], 2);
		make_frame(frame, 1500);
		put_buffers(&w);
		for (unsigned int n = 0; n < 10; n++)
			assert_int_equal(send(w.peer, frame, sizeof(frame), 0), sizeof(frame));
		bench_unplug(&w.b);
		close_wire(&w);
	}
}

/* --- offloads -------------------------------------------------------------------------------- */

#define SEGMENT 1000u
#define LARGE	(9 * SEGMENT + 500) /* of what is to be cut */

#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4	  54
#define VIRTIO_NET_F_GUEST_USO6	  55
#define VIRTIO_NET_F_HOST_USO	  56
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

static const struct offload {
	uint8_t protocol, gso;
	uint16_t transport, checksum; /* bytes of its header, and where in it the sum is */
	uint64_t guest, host;	      /* features */
} offloads[] = {
	{ IPPROTO_TCP, VIRTIO_NET_HDR_GSO_TCPV4, 20, 16, VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4),
	  VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) },
	{ IPPROTO_UDP, VIRTIO_NET_HDR_GSO_UDP_L4, 8, 6,
	  VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_USO4) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_USO6),
	  VIRTIO_FEATURE(VIRTIO_NET_F_HOST_USO) },
};

/* A frame for somebody else, to be cut and summed by whoever it comes to; returns its length. */
static size_t make_large(uint8_t *frame, struct virtio_net_hdr *header, const struct offload *o)
{
	const size_t len = 20u + o->transport + LARGE;
	uint8_t *ip = frame + 14, *transport = ip + 20;

	make_frame(frame, len);
	frame[12] = 0x08;
	frame[13] = 0;
	memset(ip, 0, 20u + o->transport);
	ip[0] = 0x45;
	ip[2] = (uint8_t)(len >> 8);
	ip[3] = (uint8_t)len;
	ip[8] = 64;
	ip[9] = o->protocol;
	ip[12] = ip[16] = 10;
	ip[15] = 1;
	ip[19] = 2;
	if (o->protocol == IPPROTO_TCP) {
		transport[12] = 0x50;
	} else {
		transport[4] = (uint8_t)((len - 20) >> 8);
		transport[5] = (uint8_t)(len - 20);
	}
	*header = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = o->gso,
		.hdr_len = 34u + o->transport,
		.gso_size = SEGMENT,
		.csum_start = 34,
		.csum_offset = o->checksum,
	};
	return 14 + len;
}

/* Another end, which sees frames as the interface has them: before they are cut, with a header. */
static int open_ip_peer(void)
{
	struct sockaddr_ll from = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP)), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	from.sll_ifindex = (int)if_nametoindex("adit0");
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	return fd;
}

static void guest_sends_large(struct wire *w, int peer, const struct offload *o)
{
	static uint8_t got[16384];
	uint8_t *at = guest_at(&w->b.memory, FRAME);
	struct virtio_net_hdr header;
	size_t len = make_large(at + HEADER, &header, o);
	const struct driver_piece pieces[] = { { FRAME, HEADER, false },
					       { FRAME + HEADER, (uint32_t)len, false } };

	memset(at, 0, HEADER);
	memcpy(at, &header, sizeof(header));
	driver_add(&w->b.q[1], pieces, 2);
	bench_kick(&w->b, 1);
	bench_take(&w->b, 1, NULL);
	assert_int_equal(recv(peer, got, sizeof(got), 0), sizeof(header) + len);
	memcpy(&header, got, sizeof(header));
	assert_int_equal(header.gso_type, o->gso);
	assert_int_equal(header.gso_size, SEGMENT);
	assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_memory_equal(got + sizeof(header), at + HEADER, len);
}

/* The next frame that the guest receives, in buffers that are there; its length without the header.
 */
static size_t next_frame(struct wire *w, uint8_t *frame, struct virtio_net_hdr *header)
{
	uint16_t buffers = 1;
	size_t n = 0;

	for (uint16_t i = 0; i < buffers; i++) {
		uint32_t written;
		int id = bench_take(&w->b, 0, &written);
		const uint8_t *at = guest_at(&w->b.memory, RECEIVE + 2048UL * (unsigned int)id);

		if (!i) {
			memcpy(header, at, sizeof(*header));
			memcpy(&buffers, at + 10, 2);
		}
		memcpy(frame + n, at, written);
		n += written;
	}
	return n - HEADER;
}

/* With the feature one frame and what is to be done to it; without, what the kernel did. */
static void guest_receives_large(struct wire *w, int peer, const struct offload *o, bool whole)
{
	static uint8_t frame[16384], got[16384];
	struct virtio_net_hdr header;
	size_t len = make_large(frame + sizeof(header), &header, o), payload = 0;
	unsigned int frames = 0;

	memcpy(frame, &header, sizeof(header));
	for (unsigned int i = 0; i < BENCH_QUEUE_SIZE; i++) {
		/* Ids come in order from an empty queue, so buffers can be told by them. */
		const int id = w->b.q[0].free_head;

		driver_add(&w->b.q[0],
			   &(struct driver_piece){ RECEIVE + 2048UL * (unsigned int)id, 2048,
						   true },
			   1);
	}
	bench_kick(&w->b, 0);
	assert_int_equal(send(peer, frame, sizeof(header) + len, 0), sizeof(header) + len);
	for (; payload < LARGE; frames++) {
		size_t n = next_frame(w, got, &header);

		assert_int_equal(header.gso_type, whole ? o->gso : VIRTIO_NET_HDR_GSO_NONE);
		assert_int_equal(header.gso_size, whole ? SEGMENT : 0);
		assert_memory_equal(got + HEADER + 34 + o->transport,
				    frame + sizeof(header) + 34 + o->transport + payload,
				    n - 34 - o->transport);
		payload += n - 34 - o->transport;
	}
	assert_int_equal(payload, LARGE);
	assert_int_equal(frames, whole ? 1 : LARGE / SEGMENT + 1);
}

static void large_frames_are_cut_by_whoever_agreed_to(void **state)
{
	const uint64_t base = VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) |
			      VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) |
			      VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM);
	struct wire w;
	int peer;

	(void)state;
	open_wire(&w, 1);
	peer = open_ip_peer();
	for (size_t i = 0; i < 2 * ARRAY_SIZE(offloads); i++) {
		const struct offload *o = &offloads[i / 2];
		bool whole = i & 1;

		if (~bench_offered(&w.b) & (o->guest | o->host)) {
			print_message("SKIPPED: this kernel's taps do not cut protocol %u\n",
				      o->protocol);
			continue;
		}
		bench_start(&w.b, bench_layouts[i] | base | o->host | (whole ? o->guest : 0), 2);
		guest_sends_large(&w, peer, o);
		guest_receives_large(&w, peer, o, whole);
	}
	close(peer);
	close_wire(&w);
}

static uint64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* 20 frames of 1000 bytes each way, 3000 of them at once and then 3000 in 20 ms: no sooner than
 * that. */
static void frames_that_wait_for_a_limit_all_pass(void **state)
{
	const struct bucket bytes = { .size = 3000, .refill_ms = 20 };
	uint64_t start;
	struct wire w;

	(void)state;
	open_limited(&w, 1, &bytes);
	bench_start(&w.b, bench_layouts[3] | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF), 2);
	start = milliseconds();
	for (unsigned int i = 0; i < 20; i++)
		guest_sends(&w, 1000);
	assert_true(milliseconds() - start >= 80);
	start = milliseconds();
	for (unsigned int i = 0; i < 20; i++)
		guest_receives(&w, 1000, 2048);
	assert_true(milliseconds() - start >= 80);
	close_wire(&w);
}

/* Half a frame is in the guest's buffers, which nobody has seen: it is lost, and they are not. */
static void an_interface_goes_on_with_its_pairs_and_buffers(void **state)
{
	const uint64_t features = BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) |
				  VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ) |
				  VIRTIO_FEATURE(VIRTIO_NET_F_MQ);
	const struct driver_piece first = { RECEIVE, 512, true };
	uint8_t frame[2048];
	struct wire from, to;
	uint32_t written;
	size_t len;

	open_wire(&from, 2);
	open_wire(&to, 2);
	bench_start(&from.b, features, 5);
	assert_int_equal(control(&from, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2),
			 VIRTIO_NET_OK);
	assert_int_equal(control(&from, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 1),
			 VIRTIO_NET_OK);
	driver_add(&from.b.q[0], &first, 1);
	bench_kick(&from.b, 0);
	len = make_frame(frame, 1000);
	assert_int_equal(send(from.peer, frame, len, 0), len);
	/* The loop has been there: what it sends came after. */
	guest_sends(&from, 100);
	bench_go_on(&to.b, &from.b);
	guest_sends(&to, 100);
	len = make_frame(frame, 300);
	assert_int_equal(send(to.peer, frame, len, 0), len);
	bench_take(&to.b, 0, &written);
	assert_int_equal(written, len + HEADER);
	assert_memory_equal((uint8_t *)guest_at(&to.b.memory, RECEIVE) + HEADER, frame, len);
	guest_receives(&to, 1000, 256);
	close_wire(&from);
	close_wire(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_receive_queue_is_reset_under_frames),
		cmocka_unit_test(an_interface_leaves_under_frames),
		cmocka_unit_test(frames_pass_both_ways_in_every_layout),
		cmocka_unit_test(frames_are_merged_from_small_buffers),
		cmocka_unit_test(configuration_tells_mac_mtu_and_pairs),
		cmocka_unit_test(queue_pairs_are_switched_by_the_driver),
		cmocka_unit_test(queue_pairs_are_switched_once_a_turn),
		cmocka_unit_test(features_that_stand_on_others_are_refused_alone),
		cmocka_unit_test(bad_frames_are_lost_and_nothing_else),
		cmocka_unit_test(receive_buffers_too_short_for_a_header_break_the_device),
		cmocka_unit_test(a_descriptor_that_is_no_tap_is_refused),
		cmocka_unit_test(large_frames_are_cut_by_whoever_agreed_to),
		cmocka_unit_test(frames_that_wait_for_a_limit_all_pass),
		cmocka_unit_test(an_interface_goes_on_with_its_pairs_and_buffers),
	};

	return cmocka_run_group_tests_name("virtio-net", tests, NULL, NULL);
}
