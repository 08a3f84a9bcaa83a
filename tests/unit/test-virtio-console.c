/* SPDX-License-Identifier: Apache-2.0 */
/* The console with sockets as sinks: bytes both ways, several ports, and peers that do not read. */
#include "tests/unit/test-virtio-device.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <sys/socket.h>

#include "util/unix-socket.h"
#include "vmm/virtio/console.h"

#define TEXT	(BENCH_BUFFERS)
#define INPUT	(BENCH_BUFFERS + 0x1000)
#define CONTROL (BENCH_BUFFERS + 0x2000)

struct desk {
	struct bench b;
	char dir[32], path[2][64];
};

static void open_desk(struct desk *d, unsigned int ports)
{
	struct console_options options = { .n = ports };
	struct virtio_device *device;
	struct err err;

	strcpy(d->dir, "/tmp/adit-console-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	for (unsigned int i = 0; i < ports; i++) {
		snprintf(d->path[i], sizeof(d->path[i]), "%s/%u", d->dir, i);
		options.ports[i] = (struct console_port_options){ .name = i ? "agent" : NULL,
								  .mode = SERIAL_SOCKET,
								  .path = d->path[i] };
	}
	bench_open(&d->b);
	assert_ok(console_create(&device, &d->b.host, &options, &err), &err);
	bench_run(&d->b, device);
}

static void close_desk(struct desk *d)
{
	bench_close(&d->b);
	assert_int_equal(rmdir(d->dir), 0);
}

static int connect_to(const char *path)
{
	int fd = unix_socket_connect(path, 0);

	assert_true(fd >= 0);
	return fd;
}

static void expect(int fd, const char *text)
{
	char got[256];
	size_t n = 0, want = strlen(text);

	while (n < want) {
		ssize_t part = read(fd, got + n, want - n);

		assert_true(part > 0);
		n += (size_t)part;
	}
	assert_memory_equal(got, text, want);
}

/* The guest writes; a client that has not connected yet would lose it, so input comes first. */
static void guest_writes(struct desk *d, unsigned int queue, const char *text)
{
	struct driver_piece piece = { TEXT, (uint32_t)strlen(text), false };

	memcpy(guest_at(&d->b.memory, TEXT), text, strlen(text));
	driver_add(&d->b.q[queue], &piece, 1);
	bench_kick(&d->b, queue);
	bench_take(&d->b, queue, NULL);
}

static void guest_reads(struct desk *d, unsigned int queue, const char *text)
{
	struct driver_piece piece = { INPUT, 4, true };
	size_t n = 0;

	while (n < strlen(text)) {
		uint32_t written;

		driver_add(&d->b.q[queue], &piece, 1);
		bench_kick(&d->b, queue);
		bench_take(&d->b, queue, &written);
		assert_in_range(written, 1, 4);
		assert_memory_equal(guest_at(&d->b.memory, INPUT), text + n, written);
		n += written;
	}
}

static void bytes_pass_both_ways(void **state)
{
	struct desk d;

	open_desk(&d, 1);
	assert_false(bench_offered(&d.b) & VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT));
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		int fd;

		bench_start(&d.b, bench_layouts[i], 2);
		fd = connect_to(d.path[0]);
		assert_int_equal(write(fd, "hello guest", 11), 11);
		guest_reads(&d, 0, "hello guest");
		guest_writes(&d, 1, "hello host");
		expect(fd, "hello host");
		close(fd);
	}
	close_desk(&d);
}

/* More than the monitor holds, while the guest offers no buffer: the kernel keeps it. */
static void input_waits_for_the_guest(void **state)
{
	struct desk d;
	char text[2001];
	int fd;

	open_desk(&d, 1);
	bench_start(&d.b, bench_layouts[1], 2);
	fd = connect_to(d.path[0]);
	memset(text, 'x', 2000);
	text[2000] = 0;
	assert_int_equal(write(fd, text, 2000), 2000);
	guest_reads(&d, 0, text);
	close(fd);
	close_desk(&d);
}

/* A peer that does not read: the guest's buffers stay with the device, and a reset frees them. */
static void output_waits_for_the_peer_and_a_reset_does_not(void **state)
{
	const struct driver_piece piece = { BENCH_BUFFERS, 1 << 20, false };
	struct desk d;
	int fd, taken = 0;
	char *text = malloc(1 << 20);

	open_desk(&d, 1);
	bench_start(&d.b, bench_layouts[0], 2);
	fd = connect_to(d.path[0]);
	assert_int_equal(write(fd, "!", 1), 1);
	guest_reads(&d, 0, "!");
	for (int i = 0; i < 4; i++)
		driver_add(&d.b.q[1], &piece, 1);
	bench_kick(&d.b, 1);
	assert_int_equal(driver_take(&d.b.q[1], NULL), -1);
	for (size_t n = 0; n < 4U << 20;) {
		ssize_t part = read(fd, text, 1 << 20);

		assert_true(part > 0);
		n += (size_t)part;
	}
	while (taken < 4) {
		bench_take(&d.b, 1, NULL);
		taken++;
	}
	driver_add(&d.b.q[1], &piece, 1);
	bench_kick(&d.b, 1);
	bench_start(&d.b, bench_layouts[2] | BENCH_RING_RESET, 2);
	/* Or of the queue alone. */
	driver_add(&d.b.q[1], &piece, 1);
	bench_kick(&d.b, 1);
	bench_queue_reset(&d.b, 1);
	bench_queue(&d.b, 1, bench_layouts[2]);
	assert_int_equal(driver_take(&d.b.q[1], NULL), -1);
	close(fd);
	free(text);
	close_desk(&d);
}

static struct virtio_console_control control(struct desk *d, char *name)
{
	const struct driver_piece piece = { CONTROL, 64, true };
	struct virtio_console_control message;
	uint32_t written;

	driver_add(&d->b.q[2], &piece, 1);
	bench_kick(&d->b, 2);
	bench_take(&d->b, 2, &written);
	assert_true(written >= sizeof(message));
	memcpy(&message, guest_at(&d->b.memory, CONTROL), sizeof(message));
	memcpy(name, guest_at(&d->b.memory, CONTROL + sizeof(message)), written - sizeof(message));
	name[written - sizeof(message)] = 0;
	return message;
}

static void say(struct desk *d, uint32_t id, uint16_t event, uint16_t value)
{
	const struct virtio_console_control message = { id, event, value };
	const struct driver_piece piece = { TEXT, sizeof(message), false };

	memcpy(guest_at(&d->b.memory, TEXT), &message, sizeof(message));
	driver_add(&d->b.q[3], &piece, 1);
	bench_kick(&d->b, 3);
	bench_take(&d->b, 3, NULL);
}

static void several_ports_are_announced_and_work(void **state)
{
	struct virtio_console_control message;
	struct desk d;
	char name[64];
	int fd;

	open_desk(&d, 2);
	bench_start(&d.b, bench_layouts[3] | VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT), 6);
	assert_int_equal(reg(&d.b, VIRTIO_BAR_DEVICE + 4, 4), 2);
	say(&d, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (unsigned int i = 0; i < 2; i++) {
		message = control(&d, name);
		assert_int_equal(message.event, VIRTIO_CONSOLE_PORT_ADD);
		assert_int_equal(message.id, i);
	}
	/* Of ports that there are none, nothing is heard. */
	say(&d, 2, VIRTIO_CONSOLE_PORT_READY, 1);
	say(&d, ~0u, VIRTIO_CONSOLE_PORT_OPEN, 1);
	say(&d, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	message = control(&d, name);
	assert_int_equal(message.event, VIRTIO_CONSOLE_PORT_NAME);
	assert_string_equal(name, "agent");
	message = control(&d, name);
	assert_int_equal(message.event, VIRTIO_CONSOLE_PORT_OPEN);
	say(&d, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	message = control(&d, name);
	assert_int_equal(message.event, VIRTIO_CONSOLE_CONSOLE_PORT);
	fd = connect_to(d.path[1]);
	assert_int_equal(write(fd, "ping", 4), 4);
	guest_reads(&d, 4, "ping");
	guest_writes(&d, 5, "pong");
	expect(fd, "pong");
	close(fd);
	close_desk(&d);
}

#define LONG (300 * 1024u)

/* Everything that is there now. */
static size_t read_all(int fd, char *to, size_t most)
{
	size_t n = 0;
	ssize_t part;

	while ((part = recv(fd, to + n, most - n, MSG_DONTWAIT)) > 0)
		n += (size_t)part;
	return n;
}

/* A peer that does not read has a part of it; the other process's peer gets the rest. */
static void output_goes_on_in_the_middle_of_a_buffer(void **state)
{
	const struct driver_piece piece = { BENCH_BUFFERS + 0x10000, LONG, false };
	char *text = malloc(LONG), *got = malloc(LONG);
	struct desk from, to;
	int fd[2];
	size_t n;

	for (size_t i = 0; i < LONG; i++)
		text[i] = (char)(i % 251);
	open_desk(&from, 1);
	open_desk(&to, 1);
	bench_start(&from.b, bench_layouts[0], 2);
	fd[0] = connect_to(from.path[0]);
	/* It is heard, so its peer is there. */
	assert_int_equal(write(fd[0], "x", 1), 1);
	guest_reads(&from, 0, "x");
	memcpy(guest_at(&from.b.memory, piece.gpa), text, LONG);
	driver_add(&from.b.q[1], &piece, 1);
	bench_kick(&from.b, 1);
	assert_int_equal(write(fd[0], "y", 1), 1);
	guest_reads(&from, 0, "y");
	fd[1] = connect_to(to.path[0]);
	virtio_pause(from.b.device);
	bench_go_on(&to.b, &from.b);
	n = read_all(fd[0], got, LONG);
	assert_in_range(n, 1, LONG - 1);
	while (n < LONG) {
		ssize_t part = read(fd[1], got + n, LONG - n);

		assert_true(part > 0);
		n += (size_t)part;
	}
	bench_take(&to.b, 1, NULL);
	assert_memory_equal(got, text, LONG);
	virtio_resume(from.b.device);
	close(fd[0]);
	close(fd[1]);
	close_desk(&from);
	close_desk(&to);
	free(text);
	free(got);
}

static void input_that_waits_goes_with_it(void **state)
{
	struct desk from, to;
	int fd;

	open_desk(&from, 1);
	open_desk(&to, 1);
	bench_start(&from.b, bench_layouts[2], 2);
	fd = connect_to(from.path[0]);
	assert_int_equal(write(fd, "hello", 5), 5);
	guest_reads(&from, 0, "hell");
	bench_go_on(&to.b, &from.b);
	guest_reads(&to, 0, "o");
	close(fd);
	close_desk(&from);
	close_desk(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_pass_both_ways),
		cmocka_unit_test(input_waits_for_the_guest),
		cmocka_unit_test(output_waits_for_the_peer_and_a_reset_does_not),
		cmocka_unit_test(several_ports_are_announced_and_work),
		cmocka_unit_test(output_goes_on_in_the_middle_of_a_buffer),
		cmocka_unit_test(input_that_waits_goes_with_it),
	};

	return cmocka_run_group_tests_name("virtio-console", tests, NULL, NULL);
}
