/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock device with UNIX sockets on the host's side: both ways to connect, data and credit,
 * both ways to end, and guests that break the protocol.
 */
#include "tests/unit/test-virtio-device.h"

#include <errno.h>
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "util/unix-socket.h"
#include "vmm/virtio/vsock.h"

#define CID	42u
#define HEADER	sizeof(struct virtio_vsock_hdr)
#define PACKET	(BENCH_BUFFERS)
#define RECEIVE (BENCH_BUFFERS + 0x40000)
#define CREDIT	65536u
#define RX	0
#define TX	1

struct room {
	struct bench b;
	char dir[32], path[64];
	uint32_t received; /* bytes that the guest took: its fwd_cnt */
};

static void open_room_with(struct room *r, const struct log *log)
{
	struct virtio_device *device;
	struct err err;

	memset(r, 0, sizeof(*r));
	strcpy(r->dir, "/tmp/adit-vsock-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/v", r->dir);
	bench_open(&r->b);
	r->b.host.log = log;
	assert_ok(vsock_create(&device, &r->b.host, CID, r->path, &err), &err);
	bench_run(&r->b, device);
}

static void open_room(struct room *r)
{
	open_room_with(r, NULL);
}

static void close_room(struct room *r)
{
	bench_close(&r->b);
	assert_int_equal(rmdir(r->dir), 0);
}

static int connect_to(const char *path)
{
	int fd = unix_socket_connect(path, 0);

	assert_true(fd >= 0);
	return fd;
}

static int listen_at(struct room *r, unsigned int port, char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	sprintf(path, "%s_%u", r->path, port);
	strcpy(at.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void expect_bytes(int fd, const void *bytes, size_t len)
{
	char *got = malloc(len);
	size_t n = 0;

	while (n < len) {
		ssize_t part = read(fd, got + n, len - n);

		assert_true(part > 0);
		n += (size_t)part;
	}
	assert_memory_equal(got, bytes, len);
	free(got);
}

static void guest_says(struct room *r, uint16_t op, uint32_t from, uint32_t to, const void *data,
		       uint32_t len, uint32_t flags)
{
	const struct virtio_vsock_hdr header = {
		.src_cid = CID,
		.dst_cid = 2,
		.src_port = from,
		.dst_port = to,
		.len = len,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.flags = flags,
		.buf_alloc = CREDIT,
		.fwd_cnt = r->received,
	};
	const struct driver_piece pieces[] = { { PACKET, HEADER, false },
					       { PACKET + 64, len, false } };

	memcpy(guest_at(&r->b.memory, PACKET), &header, HEADER);
	if (len)
		memcpy(guest_at(&r->b.memory, PACKET + 64), data, len);
	driver_add(&r->b.q[TX], pieces, len ? 2 : 1);
	bench_kick(&r->b, TX);
	bench_take(&r->b, TX, NULL);
}

/* The next packet, with one buffer of 4 KiB for it. */
static struct virtio_vsock_hdr guest_hears(struct room *r, void *data)
{
	const struct driver_piece piece = { RECEIVE, 4096, true };
	struct virtio_vsock_hdr header;
	uint32_t written;

	driver_add(&r->b.q[RX], &piece, 1);
	bench_kick(&r->b, RX);
	bench_take(&r->b, RX, &written);
	assert_true(written >= HEADER);
	memcpy(&header, guest_at(&r->b.memory, RECEIVE), HEADER);
	assert_int_equal(header.dst_cid, CID);
	assert_int_equal(header.src_cid, 2);
	assert_int_equal(written, HEADER + header.len);
	if (data)
		memcpy(data, guest_at(&r->b.memory, RECEIVE + HEADER), header.len);
	return header;
}

static void start(struct room *r, size_t layout)
{
	bench_start(&r->b, bench_layouts[layout], 3);
	assert_int_equal(reg(&r->b, VIRTIO_BAR_DEVICE, 8), CID);
	r->received = 0;
}

/* A client of the host on port 1000 of the guest; returns its socket and the host's port. */
static int host_connects(struct room *r, uint32_t *port)
{
	int fd = connect_to(r->path);
	struct virtio_vsock_hdr header;
	char line[32];

	assert_int_equal(write(fd, "CONNECT 1000\n", 13), 13);
	header = guest_hears(r, NULL);
	assert_int_equal(header.op, VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(header.dst_port, 1000);
	*port = header.src_port;
	guest_says(r, VIRTIO_VSOCK_OP_RESPONSE, 1000, *port, NULL, 0, 0);
	sprintf(line, "OK %u\n", *port);
	expect_bytes(fd, line, strlen(line));
	return fd;
}

static void host_connects_and_both_talk(void **state)
{
	struct room r;

	open_room(&r);
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		struct virtio_vsock_hdr header;
		char data[4096];
		uint32_t port;
		int fd;

		start(&r, i);
		fd = host_connects(&r, &port);
		guest_says(&r, VIRTIO_VSOCK_OP_RW, 1000, port, "from the guest", 14, 0);
		expect_bytes(fd, "from the guest", 14);
		assert_int_equal(write(fd, "from the host", 13), 13);
		header = guest_hears(&r, data);
		assert_int_equal(header.op, VIRTIO_VSOCK_OP_RW);
		assert_int_equal(header.len, 13);
		assert_int_equal(header.fwd_cnt, 14);
		assert_memory_equal(data, "from the host", 13);
		/* The guest ends: the client reads the end, and the guest is told that all is over.
		 */
		guest_says(&r, VIRTIO_VSOCK_OP_SHUTDOWN, 1000, port, NULL, 0, 3);
		assert_int_equal(read(fd, data, 1), 0);
		assert_int_equal(guest_hears(&r, NULL).op, VIRTIO_VSOCK_OP_RST);
		close(fd);
	}
	close_room(&r);
}

static void guest_connects_and_the_host_ends(void **state)
{
	struct virtio_vsock_hdr header;
	struct room r;
	char path[128], data[4096];
	int listener, fd;

	open_room(&r);
	listener = listen_at(&r, 77, path);
	start(&r, 1);
	guest_says(&r, VIRTIO_VSOCK_OP_REQUEST, 5000, 77, NULL, 0, 0);
	header = guest_hears(&r, NULL);
	assert_int_equal(header.op, VIRTIO_VSOCK_OP_RESPONSE);
	assert_int_equal(header.src_port, 77);
	assert_int_equal(header.dst_port, 5000);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "bye", 3), 3);
	close(fd);
	header = guest_hears(&r, data);
	assert_int_equal(header.op, VIRTIO_VSOCK_OP_RW);
	assert_memory_equal(data, "bye", 3);
	header = guest_hears(&r, NULL);
	assert_int_equal(header.op, VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(header.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	guest_says(&r, VIRTIO_VSOCK_OP_SHUTDOWN, 5000, 77, NULL, 0, 3);
	assert_int_equal(guest_hears(&r, NULL).op, VIRTIO_VSOCK_OP_RST);
	/* Nobody listens on 78. */
	guest_says(&r, VIRTIO_VSOCK_OP_REQUEST, 5000, 78, NULL, 0, 0);
	header = guest_hears(&r, NULL);
	assert_int_equal(header.op, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(header.src_port, 78);
	close(listener);
	unlink(path);
	close_room(&r);
}

static void no_more_is_sent_than_the_guest_has_credit_for(void **state)
{
	struct room r;
	uint32_t port, sum = 0;
	uint8_t *data = calloc(1, 200000), got[4096];
	int fd;

	open_room(&r);
	start(&r, 3);
	fd = host_connects(&r, &port);
	for (unsigned int i = 0; i < 100000; i++)
		data[i] = (uint8_t)(i * 7);
	assert_int_equal(send(fd, data, 100000, 0), 100000);
	while (sum < CREDIT) {
		struct virtio_vsock_hdr header = guest_hears(&r, got);

		assert_int_equal(header.op, VIRTIO_VSOCK_OP_RW);
		assert_memory_equal(got, data + sum, header.len);
		sum += header.len;
	}
	assert_int_equal(sum, CREDIT);
	/* The guest reads what it has; the rest comes. */
	r.received = sum;
	guest_says(&r, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, port, NULL, 0, 0);
	while (sum < 100000) {
		struct virtio_vsock_hdr header = guest_hears(&r, got);

		assert_memory_equal(got, data + sum, header.len);
		sum += header.len;
	}
	close(fd);
	free(data);
	close_room(&r);
}

/* The client does not read: what is buffered is bounded, and the guest learns when there is room.
 */
static void a_guest_beyond_its_credit_is_reset(void **state)
{
	struct room r;
	uint32_t port;
	uint8_t *data = calloc(1, 65536);
	int fd;

	open_room(&r);
	start(&r, 0);
	fd = host_connects(&r, &port);
	for (;;) {
		const struct driver_piece piece = { RECEIVE, 4096, true };
		const struct virtio_vsock_hdr *header = guest_at(&r.b.memory, RECEIVE);

		guest_says(&r, VIRTIO_VSOCK_OP_RW, 1000, port, data, 60000, 0);
		if (r.b.q[RX].n_free == BENCH_QUEUE_SIZE)
			driver_add(&r.b.q[RX], &piece, 1);
		bench_kick(&r.b, RX);
		/* The answer to a kick of the other queue: the first was served before. */
		guest_says(&r, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, port, NULL, 0, 0);
		if (driver_take(&r.b.q[RX], NULL) >= 0 && header->op == VIRTIO_VSOCK_OP_RST)
			break;
	}
	close(fd);
	free(data);
	close_room(&r);
}

static void packets_of_no_connection_are_answered_with_a_reset(void **state)
{
	struct virtio_vsock_hdr header;
	struct room r;

	open_room(&r);
	start(&r, 1);
	guest_says(&r, VIRTIO_VSOCK_OP_RW, 1, 2, "x", 1, 0);
	header = guest_hears(&r, NULL);
	assert_int_equal(header.op, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(header.dst_port, 1);
	/* A reset is not answered; more than can wait are dropped. */
	guest_says(&r, VIRTIO_VSOCK_OP_RST, 1, 2, NULL, 0, 0);
	for (unsigned int i = 0; i < 200; i++)
		guest_says(&r, VIRTIO_VSOCK_OP_CREDIT_REQUEST, i + 10, 2, NULL, 0, 0);
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(guest_hears(&r, NULL).op, VIRTIO_VSOCK_OP_RST);
	close_room(&r);
}

static void clients_that_do_not_say_connect_are_hung_up(void **state)
{
	static const char *const lines[] = { "CONNECT\n",
					     "CONNECT x\n",
					     "CONNECT 4294967296\n",
					     "HELLO 1\n",
					     "CONNECT 1 \n",
					     "\n",
					     "CONNECT 0000000000000000000000000000001\n" };
	struct room r;
	char byte;

	open_room(&r);
	start(&r, 1);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		int fd = connect_to(r.path);

		assert_int_equal(write(fd, lines[i], strlen(lines[i])), strlen(lines[i]));
		assert_true(read(fd, &byte, 1) <= 0);
		close(fd);
	}
	close_room(&r);
}

/* With buffers for what it is told, which then are answers due, or with none at all. */
static void a_guest_that_does_not_answer_keeps_no_client(void **state)
{
	struct virtio_vsock_hdr header;
	struct room r;
	uint32_t port;
	int heard, unheard, fd;
	char c;

	open_room(&r);
	start(&r, 2);
	heard = connect_to(r.path);
	assert_int_equal(write(heard, "CONNECT 1000\n", 13), 13);
	header = guest_hears(&r, NULL);
	assert_int_equal(header.op, VIRTIO_VSOCK_OP_REQUEST);
	unheard = connect_to(r.path);
	assert_int_equal(write(unheard, "CONNECT 1001\n", 13), 13);
	assert_int_equal(poll(&(struct pollfd){ .fd = heard, .events = POLLIN }, 1, 60000), 1);
	assert_int_equal(read(heard, &c, 1), 0);
	assert_int_equal(poll(&(struct pollfd){ .fd = unheard, .events = POLLIN }, 1, 60000), 1);
	assert_int_equal(read(unheard, &c, 1), 0);
	/* Of the other one nothing is said to the guest. */
	port = header.src_port;
	header = guest_hears(&r, NULL);
	assert_int_equal(header.op, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(header.src_port, port);
	assert_int_equal(header.dst_port, 1000);
	fd = host_connects(&r, &port);
	close(fd);
	close(heard);
	close(unheard);
	close_room(&r);
}

/* The next descriptor is the first that the process may not have. */
static void clients_wait_while_there_are_no_descriptors(void **state)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct log log = { .level = LOG_WARN };
	struct rlimit old, none;
	struct loop_stats before, after;
	struct room r;
	char text[400], c;
	int fds[2], fd;
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	log.fd = fds[1];
	open_room_with(&r, &log);
	start(&r, 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(to.sun_path, r.path);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){ 3, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(poll(&(struct pollfd){ .fd = fds[0], .events = POLLIN }, 1, 60000), 1);
	n = read(fds[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = 0;
	assert_non_null(strstr(text, "no connection can be accepted for now"));
	loop_read_stats(r.b.loop, &before);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	/* Whoever is accepted is hung up on for what it says. */
	assert_int_equal(write(fd, "what\n", 5), 5);
	assert_int_equal(read(fd, &c, 1), 0);
	loop_read_stats(r.b.loop, &after);
	assert_true(after.turns - before.turns < 100);
	close(fd);
	close_room(&r);
	close(fds[0]);
	close(fds[1]);
}

static void a_reset_hangs_up_on_everybody(void **state)
{
	struct room r;
	uint32_t port;
	char byte;
	int fd;

	open_room(&r);
	for (unsigned int i = 0; i < 8; i++) {
		start(&r, i % ARRAY_SIZE(bench_layouts));
		fd = host_connects(&r, &port);
		bench_reset(&r.b);
		assert_int_equal(read(fd, &byte, 1), 0);
		close(fd);
	}
	close_room(&r);
}

static void a_socket_in_use_is_refused_and_a_leftover_is_not(void **state)
{
	struct virtio_device *device;
	struct room r;
	struct err err;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd;

	open_room(&r);
	assert_int_equal(vsock_create(&device, &r.b.host, CID, r.path, &err), -EADDRINUSE);
	close_room(&r);
	strcpy(r.dir, "/tmp/adit-vsock-XXXXXX");
	assert_non_null(mkdtemp(r.dir));
	snprintf(r.path, sizeof(r.path), "%s/v", r.dir);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(at.sun_path, r.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
	bench_open(&r.b);
	assert_ok(vsock_create(&device, &r.b.host, CID, r.path, &err), &err);
	bench_run(&r.b, device);
	close_room(&r);
}

/* Its clients read the end, and its socket is gone. */
static void a_vsock_leaves_with_clients(void **state)
{
	struct room r;
	char byte;
	int fd[4];

	for (unsigned int i = 0; i < 10; i++) {
		open_room(&r);
		bench_start(&r.b, bench_layouts[i % ARRAY_SIZE(bench_layouts)], 2);
		for (unsigned int n = 0; n < 4; n++) {
			fd[n] = connect_to(r.path);
			assert_int_equal(write(fd[n], "CONNECT 5\n", n & 1 ? 10 : 4),
					 n & 1 ? 10 : 4);
		}
		bench_unplug(&r.b);
		for (unsigned int n = 0; n < 4; n++) {
			assert_true(read(fd[n], &byte, 1) <= 0);
			close(fd[n]);
		}
		assert_int_equal(access(r.path, F_OK), -1);
		close_room(&r);
	}
}

#define EVENT	    2
#define EVENT_BYTES (BENCH_BUFFERS + 0x60000)

/* Section 5.10.6.7; whether the buffer for it is there already or comes later. */
static void connections_of_a_saved_guest_are_told_gone(void **state)
{
	const struct driver_piece piece = { EVENT_BYTES, 8, true };

	for (unsigned int later = 0; later < 2; later++) {
		struct virtio_vsock_event event;
		struct room from, to;
		uint32_t written;

		open_room(&from);
		open_room(&to);
		bench_start(&from.b, bench_layouts[1], 3);
		if (!later)
			driver_add(&from.b.q[EVENT], &piece, 1);
		memset(guest_at(&from.b.memory, EVENT_BYTES), 0xff, 8);
		bench_go_on(&to.b, &from.b);
		if (later)
			driver_add(&to.b.q[EVENT], &piece, 1);
		bench_kick(&to.b, EVENT);
		bench_take(&to.b, EVENT, &written);
		assert_int_equal(written, sizeof(event));
		memcpy(&event, guest_at(&to.b.memory, EVENT_BYTES), sizeof(event));
		assert_int_equal(event.id, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
		close_room(&from);
		close_room(&to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vsock_leaves_with_clients),
		cmocka_unit_test(host_connects_and_both_talk),
		cmocka_unit_test(guest_connects_and_the_host_ends),
		cmocka_unit_test(no_more_is_sent_than_the_guest_has_credit_for),
		cmocka_unit_test(a_guest_beyond_its_credit_is_reset),
		cmocka_unit_test(packets_of_no_connection_are_answered_with_a_reset),
		cmocka_unit_test(clients_that_do_not_say_connect_are_hung_up),
		cmocka_unit_test(a_guest_that_does_not_answer_keeps_no_client),
		cmocka_unit_test(clients_wait_while_there_are_no_descriptors),
		cmocka_unit_test(a_reset_hangs_up_on_everybody),
		cmocka_unit_test(a_socket_in_use_is_refused_and_a_leftover_is_not),
		cmocka_unit_test(connections_of_a_saved_guest_are_told_gone),
	};

	return cmocka_run_group_tests_name("virtio-vsock", tests, NULL, NULL);
}
