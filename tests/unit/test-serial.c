/* SPDX-License-Identifier: Apache-2.0 */
/* The 16550A's registers, the ring between guest and loop, and the sinks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "util/bits.h"
#include "vmm/serial-model.h"
#include "vmm/serial.h"

#define RBR 0
#define THR 0
#define IER 1
#define IIR 2
#define FCR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCR 7

/* --- registers ------------------------------------------------------------------------------- */

struct wire {
	struct serial_model model;
	uint8_t sent[64];
	unsigned int n_sent, limit, edges;
	bool asserted;
};

static bool wire_send(void *opaque, uint8_t byte)
{
	struct wire *w = opaque;

	w->sent[w->n_sent++ % sizeof(w->sent)] = byte;
	return w->n_sent < w->limit;
}

static void wire_irq(void *opaque, bool asserted)
{
	struct wire *w = opaque;

	assert_int_not_equal(w->asserted, asserted);
	w->asserted = asserted;
	w->edges += asserted;
}

static const struct serial_model_ops wire_ops = { .send = wire_send, .irq = wire_irq };

static struct serial_model *wire_init(struct wire *w)
{
	*w = (struct wire){ .limit = 1000 };
	serial_model_init(&w->model, &wire_ops, w);
	return &w->model;
}

/* What Linux's 8250 driver looks at to tell a 16550A from its relatives. */
static void drivers_recognise_a_16550a(void **state)
{
	struct wire w;
	struct serial_model *m = wire_init(&w);

	assert_int_equal(serial_model_read(m, IIR), 0x01);
	serial_model_write(m, IER, 0xff);
	assert_int_equal(serial_model_read(m, IER), 0x0f);
	serial_model_write(m, IER, 0);
	serial_model_write(m, SCR, 0xa5);
	assert_int_equal(serial_model_read(m, SCR), 0xa5);
	serial_model_write(m, MCR, 0x1a);
	assert_int_equal(serial_model_read(m, MSR) & 0xf0, 0x90);
	serial_model_write(m, MCR, 0);
	serial_model_write(m, FCR, 0x01);
	assert_int_equal(serial_model_read(m, IIR) & 0xe0, 0xc0);
	serial_model_write(m, FCR, 0x00);
	assert_int_equal(serial_model_read(m, IIR) & 0xc0, 0);
	assert_int_equal(serial_model_read(m, LSR), 0x60);
}

static void divisor_hides_behind_dlab(void **state)
{
	struct wire w;
	struct serial_model *m = wire_init(&w);

	serial_model_write(m, IER, 0x05);
	serial_model_write(m, LCR, 0x83);
	serial_model_write(m, 0, 0x34);
	serial_model_write(m, 1, 0x12);
	assert_int_equal(serial_model_read(m, 0), 0x34);
	assert_int_equal(serial_model_read(m, 1), 0x12);
	serial_model_write(m, LCR, 0x03);
	assert_int_equal(serial_model_read(m, IER), 0x05);
	assert_int_equal(w.n_sent, 0);
}

static void thre_interrupt_follows_the_data_sheet(void **state)
{
	struct wire w;
	struct serial_model *m = wire_init(&w);

	serial_model_write(m, IER, 0x02);
	assert_true(w.asserted);
	assert_int_equal(serial_model_read(m, IIR), 0x02);
	assert_false(w.asserted); /* reading IIR acknowledges it */
	assert_int_equal(serial_model_read(m, IIR), 0x01);
	serial_model_write(m, THR, 'a');
	assert_true(w.asserted);
	serial_model_write(m, THR, 'b'); /* a new edge for each byte */
	assert_int_equal(w.edges, 3);
	serial_model_write(m, IER, 0x00);
	assert_false(w.asserted);
	assert_memory_equal(w.sent, "ab", 2);
}

static void full_transmitter_clears_thre_until_sent(void **state)
{
	struct wire w;
	struct serial_model *m = wire_init(&w);

	w.limit = 2;
	serial_model_write(m, IER, 0x02);
	serial_model_read(m, IIR);
	serial_model_write(m, THR, 'a');
	assert_int_equal(serial_model_read(m, LSR), 0x60);
	serial_model_write(m, THR, 'b');
	assert_int_equal(serial_model_read(m, LSR), 0x00);
	assert_false(w.asserted);
	serial_model_write(m, IER, 0x00);
	serial_model_write(m, IER, 0x02); /* enabling is no reason while it is full */
	assert_false(w.asserted);
	serial_model_sent(m);
	assert_true(w.asserted);
	assert_int_equal(serial_model_read(m, LSR), 0x60);
}

static void received_bytes_interrupt_in_order(void **state)
{
	struct wire w;
	struct serial_model *m = wire_init(&w);

	serial_model_write(m, FCR, 0x81); /* FIFO, trigger at 8 */
	serial_model_write(m, IER, 0x01);
	assert_int_equal(serial_model_room(m), 16);
	serial_model_receive(m, (const uint8_t *)"0123456789", 10);
	assert_int_equal(serial_model_room(m), 6);
	assert_true(w.asserted);
	assert_int_equal(serial_model_read(m, IIR), 0xc4);
	for (int i = 0; i < 3; i++)
		assert_int_equal(serial_model_read(m, RBR), '0' + i);
	assert_int_equal(serial_model_read(m, IIR), 0xcc); /* below the trigger: time-out */
	for (int i = 3; i < 10; i++)
		assert_int_equal(serial_model_read(m, RBR), '0' + i);
	assert_false(w.asserted);
	assert_int_equal(serial_model_read(m, RBR), 0);
	assert_int_equal(serial_model_read(m, LSR), 0x60);
}

static void overrun_is_reported_once(void **state)
{
	struct wire w;
	struct serial_model *m = wire_init(&w);

	serial_model_write(m, IER, 0x04);
	assert_int_equal(serial_model_room(m), 1);
	serial_model_receive(m, (const uint8_t *)"ab", 2);
	assert_true(w.asserted);
	assert_int_equal(serial_model_read(m, IIR), 0x06);
	assert_int_equal(serial_model_read(m, LSR), 0x63);
	assert_false(w.asserted);
	assert_int_equal(serial_model_read(m, LSR), 0x61);
	assert_int_equal(serial_model_read(m, RBR), 'b');
}

static void fifo_keeps_old_bytes_at_overrun(void **state)
{
	struct wire w;
	struct serial_model *m = wire_init(&w);

	serial_model_write(m, FCR, 0x01);
	serial_model_receive(m, (const uint8_t *)"0123456789abcdefXY", 18);
	assert_int_equal(serial_model_room(m), 0);
	assert_int_equal(serial_model_read(m, RBR), '0');
	serial_model_write(m, FCR, 0x03);
	assert_int_equal(serial_model_room(m), 16);
	assert_int_equal(serial_model_read(m, LSR), 0x62);
}

static void loopback_returns_bytes_and_lines(void **state)
{
	struct wire w;
	struct serial_model *m = wire_init(&w);

	serial_model_write(m, MCR, 0x10);
	serial_model_read(m, MSR);
	assert_int_equal(serial_model_room(m), 0);
	serial_model_write(m, THR, 'x');
	assert_int_equal(w.n_sent, 0);
	assert_int_equal(serial_model_read(m, RBR), 'x');
	serial_model_write(m, IER, 0x08);
	serial_model_write(m, MCR, 0x16); /* RTS and OUT1: CTS and RI */
	assert_true(w.asserted);
	assert_int_equal(serial_model_read(m, IIR), 0x00);
	assert_int_equal(serial_model_read(m, MSR), 0x51);
	serial_model_write(m, MCR, 0x12); /* RI falls: its edge counts now */
	assert_int_equal(serial_model_read(m, MSR), 0x14);
	assert_false(w.asserted);
}

/* --- the port on a loop ---------------------------------------------------------------------- */

struct port {
	struct loop *loop;
	struct serial_sink *sink;
	struct serial *serial;
	struct log log;
	int log_fd[2];
	int edges;
	struct loop_timer *deadline;
	bool late, quit;
	struct loop_watch *watch;
	char dir[64], path[96];
};

static void port_irq(void *opaque, bool asserted)
{
	struct port *p = opaque;

	p->edges += asserted;
}

static void deadline_passed(void *arg)
{
	struct port *p = arg;

	p->late = true;
	loop_stop(p->loop);
}

static void quit_asked(void *arg)
{
	struct port *p = arg;

	p->quit = true;
	loop_stop(p->loop);
}

static int setup(void **state)
{
	struct port *p = calloc(1, sizeof(*p));
	struct err err = { 0 };
	int rc = loop_create(&p->loop, &err);

	*state = p;
	if (rc == -ENOSYS || rc == -EPERM) {
		print_message("SKIP: %s\n", err.text);
		p->loop = NULL;
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	strcpy(p->dir, "/tmp/adit-serial-XXXXXX");
	if (rc < 0 || !mkdtemp(p->dir) || pipe2(p->log_fd, O_NONBLOCK | O_CLOEXEC) < 0)
		return -1;
	snprintf(p->path, sizeof(p->path), "%s/console", p->dir);
	p->log = (struct log){ .fd = p->log_fd[1], .level = LOG_INFO };
	return loop_timer(p->loop, 20000000000ULL, deadline_passed, p, &p->deadline, &err);
}

static int teardown(void **state)
{
	struct port *p = *state;

	if (p->loop) {
		loop_unwatch(p->watch);
		serial_destroy(p->serial);
		serial_sink_close(p->sink);
		loop_timer_cancel(p->deadline);
		loop_destroy(p->loop);
		close(p->log_fd[0]);
		close(p->log_fd[1]);
		unlink(p->path);
		rmdir(p->dir);
	}
	free(p);
	return 0;
}

static struct port *port_of(void **state)
{
	struct port *p = *state;

	if (!p->loop)
		skip();
	return p;
}

static void port_open(struct port *p, enum config_serial mode, int in_fd, int out_fd)
{
	struct err err = { 0 };
	int rc;

	if (mode == SERIAL_TTY)
		rc = serial_sink_open_streams(&p->sink, in_fd, out_fd, p->loop, &p->log, &err);
	else
		rc = serial_sink_open(&p->sink, mode, p->path, p->loop, &p->log, &err);
	if (rc < 0)
		fail_msg("%s", err.text);
	serial_sink_on_quit(p->sink, quit_asked, p);
	assert_int_equal(serial_open(&p->serial, p->loop, p->sink, port_irq, p, &p->log, &err), 0);
	serial_write(p->serial, FCR, 0x01, 1);
}

static void put(struct port *p, const char *text)
{
	while (*text)
		serial_write(p->serial, THR, (uint8_t)*text++, 1);
}

static void stop_now(void *arg, uint32_t ready)
{
	struct port *p = arg;

	loop_unwatch(p->watch);
	p->watch = NULL;
	loop_stop(p->loop);
}

/* Runs the loop until fd is ready. */
static void run_until(struct port *p, int fd, uint32_t events)
{
	struct err err;

	assert_int_equal(loop_watch(p->loop, fd, events, stop_now, p, &p->watch, &err), 0);
	assert_int_equal(loop_run(p->loop), 0);
	assert_false(p->late);
}

static void stop_poll(void *arg)
{
	struct port *p = arg;

	loop_stop(p->loop);
}

/* One pass over everything that is ready now and for a few milliseconds. */
static void run_a_while(struct port *p)
{
	struct loop_timer *timer;
	struct err err;

	assert_int_equal(loop_timer(p->loop, 20000000, stop_poll, p, &timer, &err), 0);
	assert_int_equal(loop_run(p->loop), 0);
	loop_timer_cancel(timer);
	assert_false(p->late);
}

static void run_until_received(struct port *p)
{
	while (!(serial_read(p->serial, LSR, 1) & 1))
		run_a_while(p);
}

static void expect_text(struct port *p, int fd, const char *text)
{
	char got[256] = { 0 };
	size_t n = 0, len = strlen(text);

	assert_true(len < sizeof(got));
	while (n < len) {
		ssize_t rc;

		run_until(p, fd, POLLIN);
		rc = read(fd, got + n, len - n);
		assert_true(rc > 0);
		n += (size_t)rc;
	}
	assert_string_equal(got, text);
}

static unsigned int log_lines(struct port *p)
{
	char text[4096];
	ssize_t n = read(p->log_fd[0], text, sizeof(text));
	unsigned int lines = 0;

	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

static void output_reaches_a_pipe(void **state)
{
	struct port *p = port_of(state);
	int out[2];

	assert_int_equal(pipe(out), 0);
	port_open(p, SERIAL_TTY, -1, out[1]);
	put(p, "a");
	expect_text(p, out[0], "a");
	put(p, "bc"); /* while the loop lingers */
	expect_text(p, out[0], "bc");
	put(p, "line\n");
	expect_text(p, out[0], "line\n");
	/* Shared with others: neither end may have become non-blocking. */
	assert_false(fcntl(out[1], F_GETFL) & O_NONBLOCK);
	close(out[0]);
	close(out[1]);
}

static void wide_accesses_touch_successive_ports(void **state)
{
	struct port *p = port_of(state);

	port_open(p, SERIAL_NULL, -1, -1);
	serial_write(p->serial, MCR, 0x6600001b, 4); /* MCR, LSR, MSR, SCR */
	assert_int_equal(serial_read(p->serial, SCR, 1), 0x66);
	assert_int_equal(serial_read(p->serial, MCR, 1), 0x1b);
	assert_int_equal(serial_read(p->serial, MCR, 4) >> 24, 0x66);
	serial_read(p->serial, 0, 8);
	serial_read(p->serial, 7, 2); /* cannot come from the map; must not leave the device */
}

/* A guest that obeys LSR against a reader that does not read: nothing grows, nothing is lost. */
static void full_ring_stops_an_obedient_guest(void **state)
{
	struct port *p = port_of(state);
	char buffer[4096];
	size_t put_bytes = 0, got = 0;
	int out[2], waits = 0;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	port_open(p, SERIAL_TTY, -1, out[1]);
	while (waits < 3) {
		if (serial_read(p->serial, LSR, 1) & 0x20)
			serial_write(p->serial, THR, (uint8_t)(put_bytes++ % 251), 1);
		else if (++waits < 3)
			run_a_while(p); /* fills the pipe */
		assert_true(put_bytes < 1u << 20);
	}
	serial_write(p->serial, IER, 0x02, 1);
	assert_int_equal(p->edges, 0);
	while (got < put_bytes) {
		ssize_t n;

		run_until(p, out[0], POLLIN);
		n = read(out[0], buffer, sizeof(buffer));
		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal((uint8_t)buffer[i], got++ % 251);
	}
	run_a_while(p);
	assert_int_equal(serial_read(p->serial, LSR, 1) & 0x60, 0x60);
	assert_true(p->edges > 0);
	close(out[0]);
	close(out[1]);
}

static void guest_that_ignores_lsr_loses_bytes_only(void **state)
{
	struct port *p = port_of(state);
	char buffer[4096];
	size_t got = 0;
	int out[2];

	assert_int_equal(pipe2(out, O_NONBLOCK | O_CLOEXEC), 0);
	port_open(p, SERIAL_TTY, -1, out[1]);
	for (int i = 0; i < 200000; i++)
		serial_write(p->serial, THR, 'x', 1);
	while (got < 65536) {
		ssize_t n;

		run_until(p, out[0], POLLIN);
		while ((n = read(out[0], buffer, sizeof(buffer))) > 0)
			got += (size_t)n;
	}
	run_a_while(p);
	assert_int_equal(got, 65536);
	assert_int_equal(serial_read(p->serial, LSR, 1) & 0x60, 0x60);
	close(out[0]);
	close(out[1]);
}

static void closed_reader_is_logged_once(void **state)
{
	struct port *p = port_of(state);
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	port_open(p, SERIAL_TTY, -1, out[1]);
	close(out[0]);
	for (int i = 0; i < 5; i++) {
		put(p, "lost\n");
		run_a_while(p);
	}
	assert_int_equal(log_lines(p), 1);
	assert_int_equal(serial_read(p->serial, LSR, 1) & 0x60, 0x60);
	close(out[1]);
}

static void input_waits_for_the_fifo(void **state)
{
	struct port *p = port_of(state);
	uint8_t text[100];
	int in[2];

	assert_int_equal(pipe(in), 0);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)i;
	port_open(p, SERIAL_TTY, in[0], -1);
	assert_int_equal(write(in[1], text, sizeof(text)), sizeof(text));
	for (size_t i = 0; i < sizeof(text); i++) {
		run_until_received(p);
		assert_int_equal(serial_read(p->serial, RBR, 1), i);
	}
	assert_int_equal(serial_read(p->serial, LSR, 1), 0x60); /* no overrun */
	close(in[1]);
	run_a_while(p); /* the end of input is quiet */
	close(in[0]);
}

static void regular_files_serve_as_standard_streams(void **state)
{
	struct port *p = port_of(state);
	char got[8] = { 0 };
	int fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0 && null >= 0);
	assert_int_equal(pwrite(fd, "in", 2, 0), 2);
	port_open(p, SERIAL_TTY, fd, null);
	run_until_received(p);
	assert_int_equal(serial_read(p->serial, RBR, 1), 'i');
	assert_int_equal(serial_read(p->serial, RBR, 1), 'n');
	put(p, "gone\n");
	run_a_while(p);
	assert_int_equal(log_lines(p), 0);
	serial_destroy(p->serial);
	serial_sink_close(p->sink);
	port_open(p, SERIAL_TTY, null, fd);
	put(p, "out\n");
	run_a_while(p);
	assert_int_equal(pread(fd, got, sizeof(got), 2), 4);
	assert_string_equal(got, "out\n");
	close(fd);
	close(null);
}

static void file_is_appended_to(void **state)
{
	struct port *p = port_of(state);
	char got[16] = { 0 };
	struct stat st;
	int fd;

	for (int i = 0; i < 2; i++) {
		port_open(p, SERIAL_FILE, -1, -1);
		assert_string_equal(serial_sink_name(p->sink), p->path);
		put(p, i ? "two" : "one");
		serial_flush(p->serial);
		serial_destroy(p->serial);
		serial_sink_close(p->sink);
		p->serial = NULL;
		p->sink = NULL;
	}
	fd = open(p->path, O_RDONLY);
	assert_int_equal(read(fd, got, sizeof(got)), 6);
	assert_string_equal(got, "onetwo");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	close(fd);
}

static void flush_gives_up_and_says_so(void **state)
{
	struct port *p = port_of(state);
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	port_open(p, SERIAL_TTY, -1, out[1]);
	for (int i = 0; i < 3 * 65536; i++)
		serial_write(p->serial, THR, 'x', 1);
	serial_flush(p->serial); /* the ring fits into the pipe */
	assert_int_equal(log_lines(p), 0);
	put(p, "last words");
	serial_flush(p->serial);
	assert_int_equal(log_lines(p), 1);
	close(out[0]);
	close(out[1]);
}

/* --- terminal, pty, socket ------------------------------------------------------------------- */

static int open_terminal(int *master)
{
	char name[64];
	int fd;

	*master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*master < 0 || unlockpt(*master) < 0 || ptsname_r(*master, name, sizeof(name)))
		return -1;
	fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return fd;
}

static void terminal_is_raw_and_restored(void **state)
{
	struct port *p = port_of(state);
	struct termios before, during, after;
	int master, slave = open_terminal(&master);

	if (slave < 0)
		skip();
	tcgetattr(slave, &before);
	port_open(p, SERIAL_TTY, slave, slave);
	tcgetattr(slave, &during);
	assert_true(before.c_lflag & ICANON);
	assert_false(during.c_lflag & (ICANON | ECHO | ISIG));
	assert_false(fcntl(slave, F_GETFL) & O_NONBLOCK);
	put(p, "out\n");
	expect_text(p, master, "out\r\n");
	assert_int_equal(write(master, "\x01\x01\x03\x01z", 5), 5);
	run_until_received(p);
	assert_int_equal(serial_read(p->serial, RBR, 1), 0x01);
	assert_int_equal(serial_read(p->serial, RBR, 1), 0x03); /* Ctrl-C is the guest's */
	assert_int_equal(serial_read(p->serial, RBR, 1), 'z');
	assert_int_equal(write(master, "\x01x", 2), 2);
	assert_int_equal(loop_run(p->loop), 0);
	assert_true(p->quit);
	serial_sink_restore(p->sink);
	tcgetattr(slave, &after);
	assert_int_equal(after.c_lflag, before.c_lflag);
	assert_int_equal(after.c_iflag, before.c_iflag);
	serial_sink_restore(p->sink);
	close(master);
	close(slave);
}

static void hung_up_terminal_is_quiet(void **state)
{
	struct port *p = port_of(state);
	int master, slave = open_terminal(&master);

	if (slave < 0)
		skip();
	port_open(p, SERIAL_TTY, slave, slave);
	close(master);
	for (int i = 0; i < 3; i++) {
		put(p, "lost\n");
		run_a_while(p);
	}
	assert_int_equal(log_lines(p), 1);
	close(slave);
}

static void pty_peers_come_and_go(void **state)
{
	struct port *p = port_of(state);
	char target[64] = { 0 };

	assert_int_equal(symlink("/nonexistent", p->path), 0);
	port_open(p, SERIAL_PTY, -1, -1);
	assert_true(readlink(p->path, target, sizeof(target) - 1) > 0);
	assert_string_equal(target, serial_sink_name(p->sink));
	for (int i = 0; i < 3; i++) {
		int peer;

		put(p, "nobody hears\n");
		serial_flush(p->serial);
		peer = open(p->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
		assert_true(peer >= 0);
		run_a_while(p);
		put(p, "hello\n");
		expect_text(p, peer, "hello\n");
		assert_int_equal(write(peer, "k", 1), 1);
		run_until_received(p);
		assert_int_equal(serial_read(p->serial, RBR, 1), 'k');
		close(peer);
		run_a_while(p);
	}
	serial_destroy(p->serial);
	serial_sink_close(p->sink);
	p->serial = NULL;
	p->sink = NULL;
	assert_int_equal(readlink(p->path, target, sizeof(target)), -1);
}

static void pty_reader_that_leaves_unblocks(void **state)
{
	struct port *p = port_of(state);
	int peer;

	port_open(p, SERIAL_PTY, -1, -1);
	peer = open(serial_sink_name(p->sink), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(peer >= 0);
	run_a_while(p);
	for (int i = 0; i < 200000; i++)
		serial_write(p->serial, THR, 'x', 1);
	run_a_while(p);
	assert_int_equal(serial_read(p->serial, LSR, 1) & 0x20, 0);
	close(peer);
	while (!(serial_read(p->serial, LSR, 1) & 0x20))
		run_a_while(p);
}

static int client(struct port *p)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", p->path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void socket_serves_one_client_after_another(void **state)
{
	struct port *p = port_of(state);
	int first, second;
	struct stat st;

	port_open(p, SERIAL_SOCKET, -1, -1);
	assert_int_equal(stat(p->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	put(p, "nobody hears\n");
	run_a_while(p);
	first = client(p);
	second = client(p);
	run_a_while(p);
	put(p, "first\n");
	expect_text(p, first, "first\n");
	assert_int_equal(write(first, "1", 1), 1);
	run_until_received(p);
	assert_int_equal(serial_read(p->serial, RBR, 1), '1');
	close(first);
	run_a_while(p);
	put(p, "second\n");
	expect_text(p, second, "second\n");
	close(second);
	serial_destroy(p->serial);
	serial_sink_close(p->sink);
	p->serial = NULL;
	p->sink = NULL;
	assert_int_equal(access(p->path, F_OK), -1);
}

static void socket_in_use_is_refused_and_stale_one_replaced(void **state)
{
	struct port *p = port_of(state);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct serial_sink *sink;
	struct err err = { 0 };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", p->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(serial_sink_open(&sink, SERIAL_SOCKET, p->path, p->loop, NULL, &err),
			 -EADDRINUSE);
	assert_non_null(strstr(err.text, p->path));
	assert_int_equal(access(p->path, F_OK), 0);
	close(fd);
	port_open(p, SERIAL_SOCKET, -1, -1);
}

static void other_files_are_never_replaced(void **state)
{
	struct port *p = port_of(state);
	struct serial_sink *sink;
	struct err err = { 0 };
	char long_path[200];

	close(open(p->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(serial_sink_open(&sink, SERIAL_SOCKET, p->path, p->loop, NULL, &err),
			 -EADDRINUSE);
	assert_int_equal(serial_sink_open(&sink, SERIAL_PTY, p->path, p->loop, NULL, &err),
			 -EEXIST);
	assert_int_equal(access(p->path, F_OK), 0);
	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = 0;
	assert_int_equal(serial_sink_open(&sink, SERIAL_SOCKET, long_path, p->loop, NULL, &err),
			 -ENAMETOOLONG);
	assert_int_equal(serial_sink_open(&sink, SERIAL_FILE, "/nonexistent/directory/file",
					  p->loop, NULL, &err),
			 -ENOENT);
}

/* --- two vCPUs and the loop at once ---------------------------------------------------------- */

#define THREADS ((size_t)2)
#define LINES	3000u

static void *guest_thread(void *arg)
{
	struct port *p = arg;

	for (unsigned int i = 0; i < LINES; i++) {
		while (!(serial_read(p->serial, LSR, 1) & 0x20))
			sched_yield();
		serial_write(p->serial, THR, i % 40 == 39 ? '\n' : 'a', 1);
	}
	return NULL;
}

static void concurrent_writers_lose_nothing(void **state)
{
	struct port *p = port_of(state);
	pthread_t threads[THREADS];
	size_t got = 0;
	char buffer[4096];
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	port_open(p, SERIAL_TTY, -1, out[1]);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, guest_thread, p), 0);
	while (got < THREADS * LINES) {
		ssize_t n;

		run_until(p, out[0], POLLIN);
		n = read(out[0], buffer, sizeof(buffer));
		assert_true(n > 0);
		got += (size_t)n;
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(got, THREADS * LINES);
	close(out[0]);
	close(out[1]);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drivers_recognise_a_16550a),
		cmocka_unit_test(divisor_hides_behind_dlab),
		cmocka_unit_test(thre_interrupt_follows_the_data_sheet),
		cmocka_unit_test(full_transmitter_clears_thre_until_sent),
		cmocka_unit_test(received_bytes_interrupt_in_order),
		cmocka_unit_test(overrun_is_reported_once),
		cmocka_unit_test(fifo_keeps_old_bytes_at_overrun),
		cmocka_unit_test(loopback_returns_bytes_and_lines),
		T(output_reaches_a_pipe),
		T(wide_accesses_touch_successive_ports),
		T(full_ring_stops_an_obedient_guest),
		T(guest_that_ignores_lsr_loses_bytes_only),
		T(closed_reader_is_logged_once),
		T(input_waits_for_the_fifo),
		T(regular_files_serve_as_standard_streams),
		T(file_is_appended_to),
		T(flush_gives_up_and_says_so),
		T(terminal_is_raw_and_restored),
		T(hung_up_terminal_is_quiet),
		T(pty_peers_come_and_go),
		T(pty_reader_that_leaves_unblocks),
		T(socket_serves_one_client_after_another),
		T(socket_in_use_is_refused_and_stale_one_replaced),
		T(other_files_are_never_replaced),
		T(concurrent_writers_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
