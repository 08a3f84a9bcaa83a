/* SPDX-License-Identifier: Apache-2.0 */
/* Events as lines: whole ones, whoever reads them and however slowly. */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/event-monitor.h"

#define ROOM   (1u << 20)
#define EVENTS 500u

static struct event_monitor *monitor_of(int fd)
{
	struct event_monitor *monitor;
	struct err err;
	char target[24];

	snprintf(target, sizeof(target), "fd=%d", fd);
	assert_int_equal(event_monitor_open(&monitor, target, &err), 0);
	return monitor;
}

struct count {
	unsigned int events; /* numbered, in their order */
	uint64_t lost;
	int last;
};

/* What is there, of a whole number of lines; `from` has what was read before. */
static void look(struct count *count, char *text)
{
	for (char *line = text, *end; *line; line = end + 1) {
		struct json_object *object, *word = NULL, *detail = NULL;

		end = strchr(line, '\n');
		assert_non_null(end);
		*end = 0;
		object = json_tokener_parse(line);
		assert_non_null(object);
		assert_true(json_object_object_get_ex(object, "time_ns", NULL));
		assert_true(json_object_object_get_ex(object, "event", &word));
		assert_true(json_object_object_get_ex(object, "detail", &detail));
		if (!strcmp(json_object_get_string(word), "lost")) {
			count->lost += (uint64_t)json_object_get_int64(detail);
			/* Exactly those are missing. */
			count->last += json_object_get_int(detail);
		} else {
			assert_int_equal(atoi(json_object_get_string(detail)), count->last + 1);
			count->last++;
			count->events++;
		}
		json_object_put(object);
	}
}

static size_t take(int fd, char *text, size_t have, size_t most)
{
	ssize_t n = recv(fd, text + have, most, MSG_DONTWAIT);

	if (n < 0 && errno == ENOTSOCK) {
		fcntl(fd, F_SETFL, O_NONBLOCK);
		n = read(fd, text + have, most);
	}
	return n > 0 ? (size_t)n : 0;
}

/* A number and so many bytes after it, so that lines and what the other side has are no multiples.
 */
static void tell(struct event_monitor *monitor, unsigned int number, size_t len)
{
	char detail[4000];
	int n = snprintf(detail, sizeof(detail), "%u ", number);

	memset(detail + n, 'x', len);
	detail[(size_t)n + len] = 0;
	event_monitor_tell(monitor, "test", detail);
}

/* Nobody reads, then somebody does a little, and at last all. */
static void fill_and_drain(int reader, int writer, bool shared, size_t least)
{
	struct event_monitor *monitor = monitor_of(writer);
	struct count count = { .last = -1 };
	char *text = calloc(1, ROOM), end[32];
	size_t have = 0, n;
	unsigned int number = 0;

	assert_non_null(text);
	if (shared)
		assert_false(fcntl(writer, F_GETFL) & O_NONBLOCK);
	for (; number < EVENTS; number++) {
		tell(monitor, number, least + (number * 37) % (least ? 500 : 3000));
		if (number > EVENTS / 2)
			have += take(reader, text, have, 700);
	}
	/* Once there is room again, what was begun is finished, and what is missing is said. */
	do {
		while ((n = take(reader, text, have, ROOM - 1 - have)))
			have += n;
		tell(monitor, number, 1);
		while ((n = take(reader, text, have, ROOM - 1 - have)))
			have += n;
		snprintf(end, sizeof(end), "\"%u x\"}\n", number++);
	} while (have < strlen(end) || strcmp(text + have - strlen(end), end));
	look(&count, text);
	assert_true(count.lost > 0);
	assert_int_equal(count.events + count.lost, number);
	event_monitor_close(monitor);
	free(text);
}

static void test_full_pipe(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	fill_and_drain(fds[0], fds[1], true, 0);
	close(fds[0]);
	close(fds[1]);
}

static void test_full_socket(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	fill_and_drain(fds[0], fds[1], false, 0);
	close(fds[0]);
	close(fds[1]);
}

/* Nobody reads its other end; who else has the terminal waits as before. */
static void test_full_terminal(void **state)
{
	int reader = posix_openpt(O_RDWR | O_NOCTTY), writer;
	struct termios raw;

	(void)state;
	if (reader < 0 || grantpt(reader) || unlockpt(reader))
		skip_because("no pseudoterminal: %s", strerror(errno));
	writer = open(ptsname(reader), O_RDWR | O_NOCTTY);
	assert_true(writer >= 0);
	assert_int_equal(tcgetattr(writer, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(writer, TCSANOW, &raw), 0);
	/* A line of more than 2 KiB is two of its writes, the second of which would wait for ever.
	 */
	alarm(60);
	fill_and_drain(reader, writer, true, 3400);
	alarm(0);
	close(writer);
	close(reader);
}

/* What is written to the other end of a terminal is that terminal's input, and no new one's. */
static void test_master_of_a_terminal(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	struct event_monitor *monitor;
	struct termios raw;
	char text[200] = "";

	(void)state;
	if (master < 0 || grantpt(master) || unlockpt(master))
		skip_because("no pseudoterminal: %s", strerror(errno));
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK);
	assert_true(slave >= 0);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	monitor = monitor_of(master);
	tell(monitor, 0, 1);
	assert_int_equal(poll(&(struct pollfd){ .fd = slave, .events = POLLIN }, 1, 60000), 1);
	assert_true(read(slave, text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "\"0 x\"}\n"));
	event_monitor_close(monitor);
	close(slave);
	close(master);
}

/* Its room is counted in bytes, so that lines are taken in part. */
static void test_narrow_tcp(void **state)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), writer = socket(AF_INET, SOCK_STREAM, 0);
	int reader, small = 4096;

	(void)state;
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	setsockopt(writer, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	memset(&address, 0, sizeof(address));
	address.ss_family = AF_INET;
	if (listen(listener, 1) || getsockname(listener, (struct sockaddr *)&address, &len) ||
	    connect(writer, (const struct sockaddr *)&address, len)) {
		close(listener);
		close(writer);
		skip_because("no TCP here");
	}
	reader = accept(listener, NULL, NULL);
	assert_true(reader >= 0);
	fill_and_drain(reader, writer, false, 0);
	close(reader);
	close(listener);
	close(writer);
}

static void test_reader_is_gone(void **state)
{
	struct event_monitor *monitor;
	int fds[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fds), 0);
	monitor = monitor_of(fds[1]);
	close(fds[0]);
	for (unsigned int i = 0; i < 3; i++)
		tell(monitor, i, 1);
	event_monitor_close(monitor);
	/* It is still its owner's. */
	assert_int_equal(close(fds[1]), 0);
}

static void *tell_many(void *arg)
{
	for (unsigned int i = 0; i < EVENTS; i++)
		event_monitor_tell(arg, "test", "0");
	return NULL;
}

/* Lines of several threads do not mix. */
static void test_threads(void **state)
{
	char path[] = "/tmp/adit-events-XXXXXX", *text = calloc(1, ROOM), *line, *next;
	pthread_t threads[4];
	struct event_monitor *monitor;
	unsigned int n = 0;
	ssize_t len;
	int fd = mkstemp(path);

	(void)state;
	assert_non_null(text);
	assert_true(fd >= 0);
	monitor = monitor_of(fd);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, tell_many, monitor), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	event_monitor_close(monitor);
	len = pread(fd, text, ROOM - 1, 0);
	assert_true(len > 0);
	for (line = text; (next = strchr(line, '\n')); line = next + 1) {
		struct json_object *object;

		*next = 0;
		object = json_tokener_parse(line);
		assert_non_null(object);
		json_object_put(object);
		n++;
	}
	assert_int_equal(n, 4 * EVENTS);
	close(fd);
	unlink(path);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_terminal), cmocka_unit_test(test_master_of_a_terminal),
		cmocka_unit_test(test_full_pipe),     cmocka_unit_test(test_full_socket),
		cmocka_unit_test(test_narrow_tcp),    cmocka_unit_test(test_reader_is_gone),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
