/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP messages out of bytes: pieces, pipelines and limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/api/http.h"

#define MAX_BODY 64

static int setup(void **state)
{
	return http_create((struct http **)state, HTTP_REQUESTS, MAX_BODY);
}

static int teardown(void **state)
{
	http_destroy(*state);
	return 0;
}

static enum http_state feed(struct http *http, const char *text)
{
	size_t taken;

	return http_feed(http, text, strlen(text), &taken);
}

static void takes_a_request_byte_by_byte(void **state)
{
	static const char text[] = "PUT /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz";
	struct http *http = *state;
	size_t len, taken;

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(http_feed(http, text + i, 1, &taken),
				 i < sizeof(text) - 2 ? HTTP_MORE : HTTP_DONE);
		assert_int_equal(taken, 1);
		assert_true(http_is_amid(http));
	}
	assert_string_equal(http_method(http), "PUT");
	assert_string_equal(http_target(http), "/a");
	assert_string_equal(http_body(http, &len), "xyz");
	assert_int_equal(len, 3);
	assert_true(http_keeps_open(http));
	http_next(http);
	assert_false(http_is_amid(http));
}

static void leaves_the_next_request_alone(void **state)
{
	static const char text[] = "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
	size_t half = (sizeof(text) - 1) / 2, taken, len;
	struct http *http = *state;

	assert_int_equal(http_feed(http, text, sizeof(text) - 1, &taken), HTTP_DONE);
	assert_int_equal(taken, half);
	assert_string_equal(http_target(http), "/a");
	http_next(http);
	assert_int_equal(http_feed(http, text + half, half, &taken), HTTP_DONE);
	assert_string_equal(http_target(http), "/b");
	assert_string_equal(http_body(http, &len), "");
}

static void joins_chunks(void **state)
{
	struct http *http = *state;
	size_t len;

	assert_int_equal(feed(http, "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
				    "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
			 HTTP_DONE);
	assert_string_equal(http_body(http, &len), "abc");
}

static void refuses_what_is_past_a_limit_or_no_http(void **state)
{
	static const struct {
		const char *text;
		unsigned int status;
	} rows[] = {
		{ "GARBAGE\r\n\r\n", 400 },
		{ "GET /a HTTP/2.0\r\n\r\n", 505 },
		{ "GET /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", 501 },
		{ "PUT /a HTTP/1.1\r\nContent-Length: 65\r\n\r\n", 413 },
		{ "PUT /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400 },
		{ "PUT /a HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
		  400 },
		{ "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n"
		  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab",
		  413 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http *http;

		assert_int_equal(http_create(&http, HTTP_REQUESTS, MAX_BODY), 0);
		assert_int_equal(feed(http, rows[i].text), HTTP_BAD);
		assert_int_equal(http_status(http), rows[i].status);
		/* For good. */
		assert_int_equal(feed(http, "GET /a HTTP/1.1\r\n\r\n"), HTTP_BAD);
		http_destroy(http);
	}
}

static void bounds_target_and_head(void **state)
{
	struct http *http = *state;
	char text[2 * HTTP_MAX_HEAD];
	size_t taken;

	memset(text, 'a', sizeof(text));
	memcpy(text, "GET /", 5);
	assert_int_equal(http_feed(http, text, HTTP_MAX_TARGET + 6, &taken), HTTP_BAD);
	assert_int_equal(http_status(http), 414);
	http_destroy(http);
	assert_int_equal(http_create((struct http **)state, HTTP_REQUESTS, MAX_BODY), 0);
	http = *state;
	memcpy(text, "GET / HTTP/1.1\r\nA: ", 19);
	assert_int_equal(http_feed(http, text, sizeof(text), &taken), HTTP_BAD);
	assert_int_equal(http_status(http), 431);
	assert_true(taken <= HTTP_MAX_HEAD + 1);
}

static void asks_for_continue_once(void **state)
{
	struct http *http = *state;

	assert_false(http_wants_continue(http));
	assert_int_equal(feed(http, "PUT /a HTTP/1.1\r\nExpect: 100-Continue\r\n"
				    "Content-Length: 1\r\n\r\n"),
			 HTTP_MORE);
	assert_true(http_wants_continue(http));
	assert_false(http_wants_continue(http));
	assert_int_equal(feed(http, "x"), HTTP_DONE);
}

static void a_response_ends_with_its_stream(void **state)
{
	struct http *http;
	size_t len;

	assert_int_equal(http_create(&http, HTTP_RESPONSES, MAX_BODY), 0);
	assert_int_equal(feed(http, "HTTP/1.1 200 OK\r\n\r\nabc"), HTTP_MORE);
	assert_int_equal(http_end(http), HTTP_DONE);
	assert_int_equal(http_status(http), 200);
	assert_string_equal(http_body(http, &len), "abc");
	http_destroy(http);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(takes_a_request_byte_by_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_the_next_request_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(joins_chunks, setup, teardown),
		cmocka_unit_test(refuses_what_is_past_a_limit_or_no_http),
		cmocka_unit_test_setup_teardown(bounds_target_and_head, setup, teardown),
		cmocka_unit_test_setup_teardown(asks_for_continue_once, setup, teardown),
		cmocka_unit_test(a_response_ends_with_its_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
