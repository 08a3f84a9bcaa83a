/* SPDX-License-Identifier: Apache-2.0 */
/* The MC146818's time, modes and RAM, on an I/O map without a VM and a clock of the test's own. */
#include "tests/unit/check.h"
#include "tests/unit/ports.h"

#include <stdlib.h>

#include "kvm-glue/iomap.h"
#include "util/bits.h"
#include "vmm/platform.h"
#include "vmm/rtc.h"

#define B_SET	 0x80
#define B_BINARY 0x04
#define B_24H	 0x02

struct fixture {
	struct ports ports;
	struct rtc *rtc;
	struct timespec now;
};

static struct timespec test_now(void *opaque)
{
	struct fixture *f = opaque;

	return f->now;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err = { 0 };

	*state = f;
	if (ports_open(&f->ports) < 0)
		return -1;
	f->now.tv_sec = 1709210096; /* Thursday 2024-02-29 12:34:56 UTC */
	assert_ok(rtc_open(&f->rtc, &f->ports.pio, test_now, f, &err), &err);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rtc_destroy(f->rtc);
	ports_close(&f->ports);
	free(f);
	return 0;
}

static uint8_t get(struct fixture *f, uint8_t reg)
{
	out(&f->ports, PORT_RTC_INDEX, reg, 1);
	return (uint8_t)in(&f->ports, PORT_RTC_DATA, 1);
}

static void set(struct fixture *f, uint8_t reg, uint8_t value)
{
	out(&f->ports, PORT_RTC_INDEX, reg, 1);
	out(&f->ports, PORT_RTC_DATA, value, 1);
}

static const uint8_t fields[] = { RTC_CENTURY, 9, 8, 7, 6, 4, 2, 0 };

static void expect(struct fixture *f, const uint8_t *want)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		assert_int_equal(get(f, fields[i]), want[i]);
}

static void bcd_and_24_hours_at_power_on(void **state)
{
	struct fixture *f = *state;
	const uint8_t want[] = { 0x20, 0x24, 0x02, 0x29, 5, 0x12, 0x34, 0x56 };

	assert_int_equal(get(f, 11), B_24H);
	assert_int_equal(get(f, 12), 0);
	assert_int_equal(get(f, 13), 0x80);
	expect(f, want);
}

static void binary_mode_counts_in_binary(void **state)
{
	struct fixture *f = *state;
	const uint8_t want[] = { 20, 24, 2, 29, 5, 12, 34, 56 };

	set(f, 11, B_24H | B_BINARY);
	expect(f, want);
}

static void twelve_hour_mode_marks_the_afternoon(void **state)
{
	struct fixture *f = *state;

	set(f, 11, 0);
	assert_int_equal(get(f, 4), 0x92); /* 12 PM */
	f->now.tv_sec += 3600;
	assert_int_equal(get(f, 4), 0x81); /* 1 PM */
	f->now.tv_sec += 11 * 3600L;
	assert_int_equal(get(f, 4), 0x12); /* 12 AM */
	set(f, 4, 0x91);		   /* 11 PM */
	set(f, 11, B_24H);
	assert_int_equal(get(f, 4), 0x23);
}

static void set_holds_the_clock_and_moves_it(void **state)
{
	struct fixture *f = *state;
	const uint8_t put[] = { 0x19, 0x99, 0x12, 0x31, 0x01, 0x23, 0x59, 0x58 };
	const uint8_t later[] = { 0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x00, 0x00 };

	set(f, 11, B_SET | B_24H);
	f->now.tv_sec += 100;
	assert_int_equal(get(f, 0), 0x56);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		set(f, fields[i], put[i]);
	f->now.tv_sec += 100;
	set(f, 11, B_24H);
	assert_int_equal(get(f, 0), 0x58);
	assert_int_equal(get(f, 6), 6); /* the weekday follows from the date: Friday */
	f->now.tv_sec += 2;
	expect(f, later);
}

static void fields_can_be_set_while_it_runs(void **state)
{
	struct fixture *f = *state;

	set(f, 2, 0x00);
	assert_int_equal(get(f, 2), 0x00);
	assert_int_equal(get(f, 4), 0x12);
	f->now.tv_sec += 60;
	assert_int_equal(get(f, 2), 0x01);
}

/* Whatever the host's clock says is a time to the guest, and one that the guest set stays as far
 * away. */
static void a_host_clock_that_jumps_is_followed(void **state)
{
	static const time_t jumps[] = { 0, 4102444800, -1, 253402300799, -62135596800 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		f->now.tv_sec = jumps[i];
		for (size_t j = 0; j < ARRAY_SIZE(fields); j++) {
			uint8_t value = get(f, fields[j]);

			assert_true(value >> 4 < 10 && (value & 15) < 10);
		}
	}
	f->now.tv_sec = 1709210096;
	assert_int_equal(get(f, 4), 0x12);
	assert_int_equal(get(f, 2), 0x34);
	assert_int_equal(get(f, 0), 0x56);
}

static void update_in_progress_warns_before_the_second(void **state)
{
	struct fixture *f = *state;

	f->now.tv_nsec = 999755000;
	assert_int_equal(get(f, 10), 0x26);
	f->now.tv_nsec = 999756000;
	assert_int_equal(get(f, 10), 0xa6);
	set(f, 11, B_SET | B_24H);
	assert_int_equal(get(f, 10), 0x26);
	set(f, 10, 0xff);
	assert_int_equal(get(f, 10), 0x7f);
}

static void ram_keeps_bytes_and_the_nmi_bit_is_ignored(void **state)
{
	struct fixture *f = *state;

	for (unsigned int reg = 14; reg < 128; reg++) {
		if (reg != RTC_CENTURY)
			set(f, (uint8_t)reg, (uint8_t)(reg ^ 0x5a));
	}
	for (unsigned int reg = 14; reg < 128; reg++) {
		if (reg != RTC_CENTURY)
			assert_int_equal(get(f, (uint8_t)(reg | 0x80)), reg ^ 0x5a);
	}
	set(f, 1, 0x59); /* alarms are kept */
	assert_int_equal(get(f, 1), 0x59);
}

static void word_accesses_take_index_and_data(void **state)
{
	struct fixture *f = *state;

	out(&f->ports, PORT_RTC_INDEX, 0xab40, 2);
	assert_int_equal(get(f, 0x40), 0xab);
	out(&f->ports, PORT_RTC_INDEX, 0x40, 1);
	assert_int_equal(in(&f->ports, PORT_RTC_INDEX, 2), 0xabff);
}

static void any_bytes_are_a_time(void **state)
{
	struct fixture *f = *state;

	for (unsigned int mode = 0; mode < 8; mode++) {
		for (unsigned int value = 0; value < 256; value += 5) {
			set(f, 11,
			    (uint8_t)((mode & 1 ? B_24H : 0) | (mode & 2 ? B_BINARY : 0) |
				      (mode & 4 ? B_SET : 0)));
			for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
				set(f, fields[i], (uint8_t)value);
			for (unsigned int reg = 0; reg < 128; reg++)
				get(f, (uint8_t)reg);
		}
	}
	set(f, 11, B_24H);
	get(f, 9);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(bcd_and_24_hours_at_power_on),
		T(binary_mode_counts_in_binary),
		T(twelve_hour_mode_marks_the_afternoon),
		T(set_holds_the_clock_and_moves_it),
		T(fields_can_be_set_while_it_runs),
		T(a_host_clock_that_jumps_is_followed),
		T(update_in_progress_warns_before_the_second),
		T(ram_keeps_bytes_and_the_nmi_bit_is_ignored),
		T(word_accesses_take_index_and_data),
		T(any_bytes_are_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
