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

static void open_wire(struct wire *w, unsigned int pairs)
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
					     .uso = true };
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

static uint8_t control(struct wire *w, uint8_t class, uint8_t command, uint16_t value)
{
	uint8_t *at = guest_at(&w->b.memory, CONTROL);
	const struct driver_piece pieces[] = { { CONTROL, 2, false },
					       { CONTROL + 16, 2, false },
					       { CONTROL + 32, 1, true } };

	at[0] = class;
	at[1] = command;
	memcpy(at + 16, &value, 2);
	at[32] = 0xee;
	driver_add(&w->b.q[4], pieces, 3);
	bench_kick(&w->b, 4);
	bench_take(&w->b, 4, NULL);
	return at[32];
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

static void features_that_stand_on_others_are_refused_alone(void **state)
{
	struct wire w;

	open_wire(&w, 1);
	assert_false(bench_agree(&w.b, BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4)));
	assert_false(bench_agree(&w.b, BENCH_VERSION_1 | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6)));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_receive_queue_is_reset_under_frames),
		cmocka_unit_test(an_interface_leaves_under_frames),
		cmocka_unit_test(frames_pass_both_ways_in_every_layout),
		cmocka_unit_test(frames_are_merged_from_small_buffers),
		cmocka_unit_test(configuration_tells_mac_mtu_and_pairs),
		cmocka_unit_test(queue_pairs_are_switched_by_the_driver),
		cmocka_unit_test(features_that_stand_on_others_are_refused_alone),
		cmocka_unit_test(bad_frames_are_lost_and_nothing_else),
		cmocka_unit_test(receive_buffers_too_short_for_a_header_break_the_device),
		cmocka_unit_test(a_descriptor_that_is_no_tap_is_refused),
	};

	return cmocka_run_group_tests_name("virtio-net", tests, NULL, NULL);
}
