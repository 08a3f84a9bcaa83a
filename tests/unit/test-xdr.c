/* SPDX-License-Identifier: Apache-2.0 */
/* The codec of libvirt's RPC: what is written is read, and nothing less than all of it. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/wire.h"
#include "util/bits.h"

static const uint8_t uuid[XDR_UUID] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

static void write_all(struct xdr_out *out)
{
	*out = (struct xdr_out){ .max = 1024 };
	xdr_put_u32(out, 0x80000001);
	xdr_put_i32(out, -2);
	xdr_put_u64(out, 0x0123456789abcdef);
	xdr_put_string(out, "");
	xdr_put_string(out, "abcde");
	xdr_put_opt_string(out, NULL);
	xdr_put_opt_string(out, "x");
	xdr_put_bytes(out, uuid, sizeof(uuid));
	xdr_put_bytes(out, "abc", 3);
	xdr_put_u32(out, 1);
}

/* True where all of it was there; what was read is checked by who asks for it. */
static bool read_all(const void *bytes, size_t len, bool check)
{
	const char *empty, *text, *none, *one;
	uint8_t read_uuid[XDR_UUID], three[3];
	struct xdr_in in;
	uint64_t big;
	uint32_t first;
	int32_t second;
	bool yes;

	xdr_in_begin(&in, bytes, len);
	first = xdr_u32(&in);
	second = xdr_i32(&in);
	big = xdr_u64(&in);
	empty = xdr_string(&in, 0);
	text = xdr_string(&in, 5);
	none = xdr_opt_string(&in, 5);
	one = xdr_opt_string(&in, 5);
	xdr_bytes(&in, read_uuid, sizeof(read_uuid));
	xdr_bytes(&in, three, sizeof(three));
	yes = xdr_bool(&in);
	if (check) {
		assert_int_equal(first, 0x80000001);
		assert_int_equal(second, -2);
		assert_true(big == 0x0123456789abcdef);
		assert_string_equal(empty, "");
		assert_string_equal(text, "abcde");
		assert_null(none);
		assert_string_equal(one, "x");
		assert_memory_equal(read_uuid, uuid, sizeof(uuid));
		assert_memory_equal(three, "abc", 3);
		assert_true(yes);
	}
	return xdr_in_end(&in);
}

static void reads_what_was_written(void **state)
{
	struct xdr_out out;

	write_all(&out);
	assert_false(out.bad);
	assert_int_equal(out.len % 4, 0);
	assert_true(read_all(out.bytes, out.len, true));
	free(out.bytes);
}

/* Each in memory of its own, so that a sanitizer sees a byte too many. */
static void refuses_every_truncation(void **state)
{
	struct xdr_out out;

	write_all(&out);
	for (size_t len = 0; len < out.len; len++) {
		uint8_t *cut = malloc(len ? len : 1);

		assert_non_null(cut);
		memcpy(cut, out.bytes, len);
		assert_false(read_all(cut, len, false));
		free(cut);
	}
	free(out.bytes);
}

static void refuses_what_is_left_over(void **state)
{
	struct xdr_out out;

	write_all(&out);
	xdr_put_u32(&out, 0);
	assert_false(read_all(out.bytes, out.len, true));
	free(out.bytes);
}

static bool reads_string(const char *bytes, size_t len, size_t max)
{
	struct xdr_in in;

	xdr_in_begin(&in, bytes, len);
	xdr_string(&in, max);
	return xdr_in_end(&in);
}

static void refuses_strings_that_are_none(void **state)
{
	assert_true(reads_string("\0\0\0\3abc\0", 8, 3));
	assert_false(reads_string("\0\0\0\3abc\0", 8, 2));	     /* longer than it may be */
	assert_false(reads_string("\0\0\0\3abc\1", 8, 3));	     /* padding */
	assert_false(reads_string("\0\0\0\3a\0c\0", 8, 3));	     /* NUL */
	assert_false(reads_string("\xff\xff\xff\xff", 4, SIZE_MAX)); /* a length that wraps */
}

static void refuses_a_bool_of_two(void **state)
{
	struct xdr_in in;

	xdr_in_begin(&in, "\0\0\0\2", 4);
	assert_false(xdr_bool(&in));
	assert_false(xdr_in_end(&in));
}

static void reads_nothing_after_the_first_that_is_bad(void **state)
{
	struct xdr_in in;

	xdr_in_begin(&in, "\0\0\0\2\0\0\0\7", 8);
	xdr_string(&in, 1);
	assert_int_equal(xdr_u32(&in), 0);
	assert_string_equal(xdr_string(&in, 9), "");
	assert_null(xdr_opt_string(&in, 9));
	assert_false(xdr_in_end(&in));
}

static void writes_no_more_than_it_may(void **state)
{
	struct xdr_out out = { .max = 8 };

	xdr_put_u64(&out, 1);
	assert_false(out.bad);
	xdr_put_u32(&out, 1);
	assert_true(out.bad);
	assert_int_equal(out.len, 8);
	free(out.bytes);
}

static void frames_have_their_length(void **state)
{
	const struct wire_header header = { WIRE_PROGRAM_REMOTE, 1, 66, WIRE_CALL, 7, WIRE_OK };
	struct xdr_out out = { .max = 1024 };
	struct wire_header read;
	struct xdr_in in;
	size_t at;

	xdr_put_u32(&out, 0); /* of another message */
	at = wire_begin(&out, &header);
	xdr_put_string(&out, "abc");
	wire_end(&out, at);
	assert_int_equal(wire_length(out.bytes + at, 1024), WIRE_HEADER + 8);
	xdr_in_begin(&in, out.bytes + at + 4, WIRE_HEADER - 4);
	wire_get_header(&in, &read);
	assert_true(xdr_in_end(&in));
	assert_memory_equal(&read, &header, sizeof(header));
	free(out.bytes);
}

static void refuses_lengths_that_no_frame_has(void **state)
{
	assert_int_equal(wire_length((const uint8_t *)"\0\0\0\x1c", 64), 28);
	assert_int_equal(wire_length((const uint8_t *)"\0\0\0\x1b", 64), 0);
	assert_int_equal(wire_length((const uint8_t *)"\0\0\0\x40", 64), 64);
	assert_int_equal(wire_length((const uint8_t *)"\0\0\0\x41", 64), 0);
	assert_int_equal(wire_length((const uint8_t *)"\xff\xff\xff\xff", 64), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_was_written),
		cmocka_unit_test(refuses_every_truncation),
		cmocka_unit_test(refuses_what_is_left_over),
		cmocka_unit_test(refuses_strings_that_are_none),
		cmocka_unit_test(refuses_a_bool_of_two),
		cmocka_unit_test(reads_nothing_after_the_first_that_is_bad),
		cmocka_unit_test(writes_no_more_than_it_may),
		cmocka_unit_test(frames_have_their_length),
		cmocka_unit_test(refuses_lengths_that_no_frame_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
