/* SPDX-License-Identifier: Apache-2.0 */
/* Saved state: it comes back as it was put, and nothing that is wrong with it is believed. */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "util/state.h"

static struct state_out two_sections(void)
{
	struct state_out out = { 0 };

	state_begin(&out, 3, "thing %d", 7);
	state_put(&out, 42);
	state_put_bytes(&out, "bytes", 5);
	state_put(&out, UINT64_MAX);
	state_end(&out);
	state_begin(&out, 1, "other");
	state_put_bytes(&out, NULL, 0);
	state_end(&out);
	assert_int_equal(out.ret, 0);
	return out;
}

static void what_was_put_comes_back(void **state)
{
	struct state_out out = two_sections();
	struct state_in in;
	struct err err = { 0 };
	char bytes[5], name[STATE_NAME_MAX + 1];
	size_t len = 1;

	assert_ok(state_open(&in, out.data, out.len, &err), &err);
	assert_true(state_name(&in, 1, name));
	assert_string_equal(name, "other");
	assert_false(state_name(&in, 2, name));
	/* In any order. */
	assert_ok(state_enter(&in, 1, "other"), &err);
	assert_non_null(state_take_some(&in, 10, &len));
	assert_int_equal(len, 0);
	assert_ok(state_leave(&in), &err);
	assert_ok(state_enter(&in, 3, "thing %u", 7u), &err);
	assert_int_equal(state_take(&in, 42), 42);
	state_take_bytes(&in, bytes, sizeof(bytes));
	assert_memory_equal(bytes, "bytes", 5);
	assert_true(state_take(&in, UINT64_MAX) == UINT64_MAX);
	assert_ok(state_leave(&in), &err);
	assert_ok(state_close(&in), &err);
	state_out_free(&out);
}

static void enter_thing(struct state_in *in, const struct state_out *out, struct err *err)
{
	*err = (struct err){ 0 };
	assert_ok(state_open(in, out->data, out->len, err), err);
	assert_ok(state_enter(in, 3, "thing 7"), err);
}

static void a_number_past_its_limit_is_refused_and_reads_as_0(void **state)
{
	struct state_out out = two_sections();
	struct state_in in;
	struct err err;
	char bytes[5] = "xxxxx";

	enter_thing(&in, &out, &err);
	assert_int_equal(state_take(&in, 41), 0);
	assert_string_equal(err.text, "section \"thing 7\": field 1: 0x2a is more than 0x29");
	/* And everything after it. */
	state_take_bytes(&in, bytes, sizeof(bytes));
	assert_memory_equal(bytes, "\0\0\0\0", 5);
	assert_int_equal(state_take(&in, UINT64_MAX), 0);
	assert_int_equal(state_leave(&in), -EPROTO);
	assert_int_equal(state_close(&in), -EPROTO);
	assert_non_null(strstr(err.text, "field 1:"));
	state_out_free(&out);
}

static void fields_of_another_kind_or_length_are_refused(void **state)
{
	struct state_out out = two_sections();
	struct state_in in;
	struct err err;
	char bytes[6];
	size_t len;

	enter_thing(&in, &out, &err);
	state_take_bytes(&in, bytes, 2);
	assert_int_equal(state_leave(&in), -EPROTO);

	enter_thing(&in, &out, &err);
	(void)state_take(&in, 100);
	state_take_bytes(&in, bytes, sizeof(bytes));
	assert_string_equal(err.text, "section \"thing 7\": field 2: has 5 bytes instead of 6");

	enter_thing(&in, &out, &err);
	(void)state_take(&in, 100);
	assert_null(state_take_some(&in, 4, &len));
	assert_int_equal(len, 0);
	assert_int_equal(in.ret, -EPROTO);
	state_out_free(&out);
}

static void too_few_and_too_many_fields_are_refused(void **state)
{
	struct state_out out = two_sections();
	struct state_in in;
	struct err err;
	char bytes[5];

	enter_thing(&in, &out, &err);
	assert_int_equal(state_take(&in, 100), 42);
	assert_int_equal(state_leave(&in), -EPROTO);
	assert_string_equal(err.text,
			    "section \"thing 7\": goes on after its last field, which is 1");

	enter_thing(&in, &out, &err);
	(void)state_take(&in, 100);
	state_take_bytes(&in, bytes, sizeof(bytes));
	(void)state_take(&in, UINT64_MAX);
	assert_int_equal(in.ret, 0);
	(void)state_take(&in, UINT64_MAX);
	assert_string_equal(err.text, "section \"thing 7\": field 4 is damaged, or not there");
	state_out_free(&out);
}

static void sections_that_are_missing_or_unknown_or_of_another_version_are_refused(void **state)
{
	struct state_out out = two_sections();
	struct state_in in;
	struct err err = { 0 };

	assert_ok(state_open(&in, out.data, out.len, &err), &err);
	assert_int_equal(state_enter(&in, 1, "third"), -EPROTO);
	assert_string_equal(err.text, "the state has no section \"third\"");

	assert_ok(state_open(&in, out.data, out.len, &err), &err);
	assert_int_equal(state_enter(&in, 2, "other"), -EPROTO);
	assert_string_equal(err.text, "section \"other\" is of version 1; 2 is understood here");

	assert_ok(state_open(&in, out.data, out.len, &err), &err);
	assert_ok(state_enter(&in, 1, "other"), &err);
	assert_int_equal(state_close(&in), -EPROTO);
	assert_string_equal(err.text,
			    "the state has a section \"thing 7\", for which there is nothing");
	state_out_free(&out);
}

static void two_sections_of_one_name_are_refused(void **state)
{
	struct state_out out = { 0 };
	struct state_in in;
	struct err err;

	for (int i = 0; i < 2; i++) {
		state_begin(&out, 1, "twin");
		state_end(&out);
	}
	assert_int_equal(state_open(&in, out.data, out.len, &err), -EPROTO);
	assert_string_equal(err.text, "the state has two sections \"twin\"");
	state_out_free(&out);
}

/* Whatever byte is hit, and wherever it ends: an answer, and nothing outside is read. */
static void damage_anywhere_is_survived(void **state)
{
	struct state_out out = two_sections();
	uint8_t *copy = malloc(out.len);

	for (size_t at = 0; at < out.len; at++) {
		for (unsigned int flip = 1; flip < 256; flip *= 2) {
			struct state_in in;
			struct err err;
			char bytes[5];

			memcpy(copy, out.data, out.len);
			copy[at] ^= (uint8_t)flip;
			if (state_open(&in, copy, out.len, &err) || state_enter(&in, 3, "thing 7"))
				continue;
			(void)state_take(&in, 100);
			state_take_bytes(&in, bytes, sizeof(bytes));
			(void)state_take(&in, UINT64_MAX);
			(void)state_leave(&in);
			(void)state_close(&in);
		}
	}
	for (size_t len = 0; len < out.len; len++) {
		struct state_in in;
		struct err err;
		uint8_t *shorter = malloc(len + 1);

		memcpy(shorter, out.data, len);
		if (!state_open(&in, shorter, len, &err))
			assert_int_equal(state_enter(&in, 1, "other"), -EPROTO);
		free(shorter);
	}
	free(copy);
	state_out_free(&out);
}

static void the_checksum_is_the_known_one(void **state)
{
	assert_int_equal(state_checksum("123456789", 9), 0xcbf43926);
	assert_int_equal(state_checksum("", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_comes_back),
		cmocka_unit_test(a_number_past_its_limit_is_refused_and_reads_as_0),
		cmocka_unit_test(fields_of_another_kind_or_length_are_refused),
		cmocka_unit_test(too_few_and_too_many_fields_are_refused),
		cmocka_unit_test(
			sections_that_are_missing_or_unknown_or_of_another_version_are_refused),
		cmocka_unit_test(two_sections_of_one_name_are_refused),
		cmocka_unit_test(damage_anywhere_is_survived),
		cmocka_unit_test(the_checksum_is_the_known_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
