/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MC146818. Time is not counted here: every read converts the host's clock plus an offset, and a
 * write to a time register moves the offset. While the guest holds SET (register B), a copy of the
 * fields stands still and takes its writes.
 */
#include "vmm/rtc.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kvm-glue/vm.h"
#include "util/bits.h"
#include "vmm/platform.h"

enum {
	REG_SECONDS = 0,
	REG_MINUTES = 2,
	REG_HOURS = 4,
	REG_WEEKDAY = 6,
	REG_DAY = 7,
	REG_MONTH = 8,
	REG_YEAR = 9,
	REG_A = 10,
	REG_B = 11,
	REG_C = 12,
	REG_D = 13
};

#define A_UPDATING 0x80
#define A_DEFAULT  0x26 /* 32.768 kHz crystal, 1024 Hz rate */
#define B_SET	   0x80
#define B_BINARY   0x04
#define B_24H	   0x02
#define D_VALID	   0x80
#define HOURS_PM   0x80

#define RAM_SIZE    128u
#define NS_PER_SEC  1000000000L
#define UPDATING_NS 244000L /* A_UPDATING is seen this long before the fields change */

struct rtc {
	pthread_mutex_t lock;  /* all below, but what is set once */
	uint8_t index;	       /* atomic, without the lock */
	uint8_t ram[RAM_SIZE]; /* time registers are not kept here */
	int64_t offset;	       /* seconds: guest time - host time */
	struct tm held;	       /* the fields while B_SET */

	struct iomap *pio;
	struct vm *vm; /* NULL without a VM */
	struct timespec (*now)(void *opaque);
	void *opaque;
};

static bool is_time(unsigned int reg)
{
	return reg == REG_SECONDS || reg == REG_MINUTES || reg == REG_HOURS ||
	       (reg >= REG_WEEKDAY && reg <= REG_YEAR) || reg == RTC_CENTURY;
}

static struct tm current(struct rtc *rtc)
{
	struct tm tm = rtc->held;
	time_t seconds;

	if (rtc->ram[REG_B] & B_SET)
		return tm;
	seconds = rtc->now(rtc->opaque).tv_sec + (time_t)rtc->offset;
	gmtime_r(&seconds, &tm);
	return tm;
}

/* --- fields <-> registers, BCD or binary, 24 or 12 hours ------------------------------------- */

/* Before the year 0, which a guest can set as well, without a sign. */
static uint8_t encode(const struct rtc *rtc, int value)
{
	unsigned int digits = (unsigned int)(value < 0 ? -value : value);

	if (rtc->ram[REG_B] & B_BINARY)
		return (uint8_t)digits;
	return (uint8_t)(digits / 10 % 10 << 4 | digits % 10);
}

/* Any byte is a number, if an odd one: the fields are normalised before they are used. */
static int decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->ram[REG_B] & B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hours(const struct rtc *rtc, int hours)
{
	if (rtc->ram[REG_B] & B_24H)
		return encode(rtc, hours);
	return encode(rtc, hours % 12 ? hours % 12 : 12) | (hours >= 12 ? HOURS_PM : 0);
}

static int decode_hours(const struct rtc *rtc, uint8_t value)
{
	if (rtc->ram[REG_B] & B_24H)
		return decode(rtc, value);
	return decode(rtc, value & (uint8_t)~HOURS_PM) % 12 + (value & HOURS_PM ? 12 : 0);
}

static uint8_t read_time(struct rtc *rtc, unsigned int reg)
{
	struct tm tm = current(rtc);
	int year = tm.tm_year + 1900;

	switch (reg) {
	case REG_SECONDS:
		return encode(rtc, tm.tm_sec);
	case REG_MINUTES:
		return encode(rtc, tm.tm_min);
	case REG_HOURS:
		return encode_hours(rtc, tm.tm_hour);
	case REG_WEEKDAY:
		return encode(rtc, tm.tm_wday + 1);
	case REG_DAY:
		return encode(rtc, tm.tm_mday);
	case REG_MONTH:
		return encode(rtc, tm.tm_mon + 1);
	case REG_YEAR:
		return encode(rtc, year % 100);
	default:
		return encode(rtc, year / 100 % 100);
	}
}

/* From the fields to the offset. timegm takes fields out of range, as a guest may write them. */
static void set_clock(struct rtc *rtc, struct tm tm)
{
	rtc->offset = (int64_t)timegm(&tm) - rtc->now(rtc->opaque).tv_sec;
}

static void write_time(struct rtc *rtc, unsigned int reg, uint8_t value)
{
	struct tm tm = current(rtc);
	int year = tm.tm_year + 1900;

	switch (reg) {
	case REG_SECONDS:
		tm.tm_sec = decode(rtc, value);
		break;
	case REG_MINUTES:
		tm.tm_min = decode(rtc, value);
		break;
	case REG_HOURS:
		tm.tm_hour = decode_hours(rtc, value);
		break;
	case REG_WEEKDAY: /* follows from the date */
		break;
	case REG_DAY:
		tm.tm_mday = decode(rtc, value);
		break;
	case REG_MONTH:
		tm.tm_mon = decode(rtc, value) - 1;
		break;
	case REG_YEAR:
		tm.tm_year = year / 100 * 100 + decode(rtc, value) - 1900;
		break;
	default:
		tm.tm_year = decode(rtc, value) * 100 + year % 100 - 1900;
		break;
	}
	if (rtc->ram[REG_B] & B_SET)
		rtc->held = tm;
	else
		set_clock(rtc, tm);
}

/* --- registers ------------------------------------------------------------------------------- */

static void write_b(struct rtc *rtc, uint8_t value)
{
	bool was = rtc->ram[REG_B] & B_SET, is = value & B_SET;

	if (!was && is)
		rtc->held = current(rtc);
	rtc->ram[REG_B] = value;
	if (was && !is)
		set_clock(rtc, rtc->held);
}

static uint8_t read_data(struct rtc *rtc)
{
	unsigned int reg = __atomic_load_n(&rtc->index, __ATOMIC_RELAXED);
	bool updating;

	if (is_time(reg))
		return read_time(rtc, reg);
	switch (reg) {
	case REG_A:
		updating = !(rtc->ram[REG_B] & B_SET) &&
			   rtc->now(rtc->opaque).tv_nsec >= NS_PER_SEC - UPDATING_NS;
		return rtc->ram[REG_A] | (updating ? A_UPDATING : 0);
	case REG_C:
		return 0; /* no interrupt is ever pending */
	case REG_D:
		return D_VALID;
	default:
		return rtc->ram[reg];
	}
}

static void write_data(struct rtc *rtc, uint8_t value)
{
	unsigned int reg = __atomic_load_n(&rtc->index, __ATOMIC_RELAXED);

	if (is_time(reg))
		write_time(rtc, reg, value);
	else if (reg == REG_A)
		rtc->ram[REG_A] = value & (uint8_t)~A_UPDATING;
	else if (reg == REG_B)
		write_b(rtc, value);
	else if (reg != REG_C && reg != REG_D)
		rtc->ram[reg] = value;
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct rtc *rtc = opaque;
	uint64_t value = 0;

	pthread_mutex_lock(&rtc->lock);
	for (unsigned int i = 0; i < size; i++) {
		bool data = PORT_RTC_INDEX + offset + i == PORT_RTC_DATA;

		/* The index cannot be read on a PC. */
		value |= (uint64_t)(data ? read_data(rtc) : 0xff) << (8 * i);
	}
	pthread_mutex_unlock(&rtc->lock);
	return value;
}

/* Bit 7 of the index masks NMIs on a PC: there is nothing to mask here. */
static void set_index(struct rtc *rtc, uint8_t value)
{
	__atomic_store_n(&rtc->index, value % RAM_SIZE, __ATOMIC_RELAXED);
}

/* What more than the index is written. */
COLD static void write_bytes(struct rtc *rtc, uint64_t offset, uint64_t value, unsigned int size)
{
	pthread_mutex_lock(&rtc->lock);
	for (unsigned int i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)(value >> (8 * i));

		if (PORT_RTC_INDEX + offset + i == PORT_RTC_DATA)
			write_data(rtc, byte);
		else
			set_index(rtc, byte);
	}
	pthread_mutex_unlock(&rtc->lock);
}

HOT static void rtc_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct rtc *rtc = opaque;

	if (PORT_RTC_INDEX + offset == PORT_RTC_INDEX && size == 1)
		set_index(rtc, (uint8_t)value);
	else
		write_bytes(rtc, offset, value, size);
}

static const struct io_ops rtc_ops = { .read = rtc_read, .write = rtc_write };

/* --- making and ending ----------------------------------------------------------------------- */

static struct timespec host_now(void *opaque)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

int rtc_open(struct rtc **out, struct iomap *pio, struct timespec (*now)(void *opaque),
	     void *opaque, struct err *err)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	struct io_region region = {
		.base = PORT_RTC_INDEX,
		.size = 2,
		.ops = &rtc_ops,
		.opaque = rtc,
		.name = "rtc",
	};
	int rc;

	*out = NULL;
	if (!rtc)
		return err_set(err, ENOMEM, "no memory for the real-time clock");
	rtc->pio = pio;
	rtc->now = now;
	rtc->opaque = opaque;
	rtc->ram[REG_A] = A_DEFAULT;
	rtc->ram[REG_B] = B_24H;
	pthread_mutex_init(&rtc->lock, NULL);
	rc = iomap_add(pio, &region);
	if (rc < 0) {
		pthread_mutex_destroy(&rtc->lock);
		free(rtc);
		return err_set(err, -rc, "real-time clock: ports 0x%x and 0x%x: %s", PORT_RTC_INDEX,
			       PORT_RTC_DATA, strerror(-rc));
	}
	*out = rtc;
	return 0;
}

int rtc_create(struct rtc **out, struct vm *vm, struct err *err)
{
	int rc = rtc_open(out, vm_pio(vm), host_now, NULL, err);

	/* The C library looks for the time zone once, though UTC needs none: not on a vCPU. */
	tzset();
	if (*out)
		(*out)->vm = vm;
	return rc;
}

void rtc_destroy(struct rtc *rtc)
{
	if (!rtc)
		return;
	iomap_remove(rtc->pio, PORT_RTC_INDEX, rtc);
	if (rtc->vm)
		epoch_wait(vm_epoch(rtc->vm));
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}

/* --- saved guests ---------------------------------------------------------------------------- */

#define OFFSET_MAX (INT64_C(1) << 40) /* seconds: past every year that the registers can say */
#define FIELD_MAX  INT64_C(40000)

/* Each field as it is: the guest may have written a 31st of February, and goes on to mend it. */
static void fields_of(const struct tm *tm, int fields[6])
{
	const int values[6] = { tm->tm_sec,  tm->tm_min, tm->tm_hour,
				tm->tm_mday, tm->tm_mon, tm->tm_year };

	memcpy(fields, values, sizeof(values));
}

void rtc_save(struct rtc *rtc, struct state_out *out)
{
	int fields[6];

	pthread_mutex_lock(&rtc->lock);
	fields_of(&rtc->held, fields);
	state_begin(out, 1, "rtc");
	state_put(out, __atomic_load_n(&rtc->index, __ATOMIC_RELAXED));
	state_put_bytes(out, rtc->ram, sizeof(rtc->ram));
	state_put(out, (uint64_t)(rtc->offset + OFFSET_MAX));
	for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++)
		state_put(out, (uint64_t)(fields[i] + FIELD_MAX));
	state_end(out);
	pthread_mutex_unlock(&rtc->lock);
}

int rtc_load(struct rtc *rtc, struct state_in *in)
{
	uint8_t ram[RAM_SIZE], index;
	int fields[6];
	int64_t offset;
	int ret;

	state_enter(in, 1, "rtc");
	index = (uint8_t)state_take(in, RAM_SIZE - 1);
	state_take_bytes(in, ram, sizeof(ram));
	offset = (int64_t)state_take(in, 2 * OFFSET_MAX) - OFFSET_MAX;
	for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++)
		fields[i] = (int)((int64_t)state_take(in, 2 * FIELD_MAX) - FIELD_MAX);
	ret = state_leave(in);
	if (ret)
		return ret;
	pthread_mutex_lock(&rtc->lock);
	__atomic_store_n(&rtc->index, index, __ATOMIC_RELAXED);
	memcpy(rtc->ram, ram, sizeof(ram));
	rtc->ram[REG_A] &= (uint8_t)~A_UPDATING;
	rtc->offset = offset;
	rtc->held = (struct tm){ .tm_sec = fields[0],
				 .tm_min = fields[1],
				 .tm_hour = fields[2],
				 .tm_mday = fields[3],
				 .tm_mon = fields[4],
				 .tm_year = fields[5] };
	pthread_mutex_unlock(&rtc->lock);
	return 0;
}
