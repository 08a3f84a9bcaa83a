/* SPDX-License-Identifier: Apache-2.0 */
/* Sleep, reset and debug-exit registers, and the events of the GED, on an I/O map without a VM. */
#include "tests/unit/check.h"
#include "tests/unit/ports.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "kvm-glue/iomap.h"
#include "util/bits.h"
#include "vmm/platform.h"
#include "vmm/power.h"

struct fixture {
	struct ports ports;
	struct power *power;
	unsigned int stops, pulses;
	bool high; /* atomic: the line of the pulse */
	unsigned int merged;
	enum power_reason reason;
	uint32_t value, ejected;
};

static void on_stop(void *arg, enum power_reason reason, uint32_t value)
{
	struct fixture *f = arg;

	f->stops++;
	f->reason = reason;
	f->value = value;
}

static void on_eject(void *arg, unsigned int slot)
{
	struct fixture *f = arg;

	f->ejected |= 1u << slot;
}

static void on_pulse(void *opaque)
{
	struct fixture *f = opaque;

	/* A line that is high already has no edge. */
	if (__atomic_exchange_n(&f->high, true, __ATOMIC_SEQ_CST))
		__atomic_add_fetch(&f->merged, 1, __ATOMIC_RELAXED);
	nanosleep(&(struct timespec){ .tv_nsec = 1 }, NULL);
	__atomic_store_n(&f->high, false, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&f->pulses, 1, __ATOMIC_RELAXED);
}

static const struct power_ops ops = { .stop = on_stop, .eject = on_eject };

static void open_power(struct fixture *f, bool debug_exit)
{
	struct power_wiring wiring = { .pio = &f->ports.pio, .pulse = on_pulse, .opaque = f };
	struct err err = { 0 };

	assert_ok(power_open(&f->power, &wiring, &ops, f, debug_exit, NULL, &err), &err);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (ports_open(&f->ports) < 0)
		return -1;
	open_power(f, true);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	power_destroy(f->power);
	ports_close(&f->ports);
	free(f);
	return 0;
}

static void s5_powers_off(void **state)
{
	struct fixture *f = *state;

	out(&f->ports, PORT_SLEEP_CONTROL, SLEEP_TYPE_S5 << 2, 1); /* without SLP_EN */
	out(&f->ports, PORT_SLEEP_CONTROL, 3 << 2 | 0x20, 1);	   /* S3 */
	assert_int_equal(f->stops, 0);
	out(&f->ports, PORT_SLEEP_CONTROL, SLEEP_TYPE_S5 << 2 | 0x20, 1);
	assert_int_equal(f->stops, 1);
	assert_int_equal(f->reason, POWER_OFF);
	assert_int_equal(in(&f->ports, PORT_SLEEP_CONTROL, 1), 0);
	assert_int_equal(in(&f->ports, PORT_SLEEP_STATUS, 1), 0);
}

static void reset_register_resets(void **state)
{
	struct fixture *f = *state;

	out(&f->ports, PORT_RESET, RESET_VALUE + 1, 1);
	assert_int_equal(f->stops, 0);
	out(&f->ports, PORT_RESET, RESET_VALUE, 1);
	assert_int_equal(f->stops, 1);
	assert_int_equal(f->reason, POWER_RESET);
}

static void older_resets_work(void **state)
{
	struct fixture *f = *state;

	out(&f->ports, PORT_CF9, 0x02, 1);
	assert_int_equal(in(&f->ports, PORT_CF9, 1), 0x02);
	assert_int_equal(f->stops, 0);
	out(&f->ports, PORT_CF9, 0x06, 1);
	assert_int_equal(f->stops, 1);
	assert_int_equal(f->reason, POWER_RESET);
	assert_int_equal(in(&f->ports, PORT_I8042_COMMAND, 1), 0);
	assert_int_equal(in(&f->ports, 0x60, 1), 0);
	out(&f->ports, PORT_I8042_COMMAND, 0xff, 1);
	assert_int_equal(f->stops, 1);
	out(&f->ports, PORT_I8042_COMMAND, 0xfe, 1);
	assert_int_equal(f->stops, 2);
	assert_int_equal(f->reason, POWER_RESET);
}

/* An address with bit 10 set has bit 2 of its second byte set: that byte lies on 0xcf9. */
static void pci_address_probe_does_not_reset(void **state)
{
	struct fixture *f = *state;

	out(&f->ports, 0xcf8, 0x80000400, 4);
	out(&f->ports, 0xcf8, 0x0400, 2);
	out(&f->ports, 0xcf9, 0x0006, 2);
	assert_int_equal(f->stops, 0);
	assert_int_equal(in(&f->ports, 0xcf8, 4), 0xffffffff);
	assert_int_equal(in(&f->ports, 0xcfc, 4), 0xffffffff);
}

static void debug_exit_carries_its_value(void **state)
{
	struct fixture *f = *state;

	out(&f->ports, PORT_DEBUG_EXIT, 0xffffff07, 1);
	assert_int_equal(f->value, 0x07);
	out(&f->ports, PORT_DEBUG_EXIT, 0x1234, 2);
	assert_int_equal(f->value, 0x1234);
	out(&f->ports, PORT_DEBUG_EXIT, 0xdeadbeef, 4);
	assert_int_equal(f->value, 0xdeadbeef);
	assert_int_equal(f->stops, 3);
	assert_int_equal(f->reason, POWER_DEBUG_EXIT);
	out(&f->ports, PORT_DEBUG_EXIT + 1, 1, 1);
	assert_int_equal(f->stops, 3);
}

static void debug_exit_is_absent_unless_asked_for(void **state)
{
	struct fixture *f = *state;

	power_destroy(f->power);
	open_power(f, false);
	out(&f->ports, PORT_DEBUG_EXIT, 0, 4);
	assert_int_equal(f->stops, 0);
}

static void power_button_sets_its_event(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(in(&f->ports, PORT_GED_EVENTS, 4), 0);
	power_button_press(f->power);
	power_button_press(f->power);
	assert_int_equal(f->pulses, 2);
	assert_int_equal(in(&f->ports, PORT_GED_EVENTS, 4), GED_EVENT_POWER_BUTTON);
	assert_int_equal(in(&f->ports, PORT_GED_EVENTS, 4), 0);
}

static void hotplug_tells_the_slot_once(void **state)
{
	struct fixture *f = *state;

	power_hotplug_notify(f->power, 1, true);
	power_hotplug_notify(f->power, 31, true);
	power_hotplug_notify(f->power, 9, false);
	power_hotplug_notify(f->power, 0, true); /* the host bridge */
	power_hotplug_notify(f->power, 32, true);
	assert_int_equal(f->pulses, 3);
	assert_int_equal(in(&f->ports, PORT_GED_EVENTS, 1), GED_EVENT_HOTPLUG);
	assert_int_equal(in(&f->ports, PORT_HOTPLUG_UP, 4), 1u << 31 | 1u << 1);
	assert_int_equal(in(&f->ports, PORT_HOTPLUG_UP, 4), 0);
	/* Bytes are cleared one by one. */
	assert_int_equal(in(&f->ports, PORT_HOTPLUG_DOWN, 1), 0);
	assert_int_equal(in(&f->ports, PORT_HOTPLUG_DOWN + 1, 1), 2);
	assert_int_equal(in(&f->ports, PORT_HOTPLUG_DOWN, 4), 0);
}

#define NOTIFIERS 4
#define NOTICES	  500u

static void *notify_often(void *arg)
{
	struct fixture *f = arg;

	for (unsigned int i = 0; i < NOTICES; i++)
		power_hotplug_notify(f->power, 1 + i % 31, i & 1);
	return NULL;
}

/* The life's thread tells of what comes while the API's asks for what shall go. */
static void every_notice_has_an_edge_of_its_own(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[NOTIFIERS];

	for (unsigned int i = 0; i < NOTIFIERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, notify_often, f), 0);
	for (unsigned int i = 0; i < NOTIFIERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(f->pulses, NOTIFIERS * NOTICES);
	assert_int_equal(f->merged, 0);
}

static void eject_names_each_slot_but_the_host_bridge(void **state)
{
	struct fixture *f = *state;

	out(&f->ports, PORT_HOTPLUG_EJECT, 0x80000003, 4);
	assert_int_equal(f->ejected, 0x80000002);
	f->ejected = 0;
	out(&f->ports, PORT_HOTPLUG_EJECT + 2, 0x01, 1);
	assert_int_equal(f->ejected, 1u << 16);
	assert_int_equal(in(&f->ports, PORT_HOTPLUG_EJECT, 4), 0);
	assert_int_equal(f->stops, 0);
}

static void every_port_width_and_value_is_survived(void **state)
{
	struct fixture *f = *state;

	for (uint16_t port = PORT_SLEEP_CONTROL - 8; port < PORT_HOTPLUG_EJECT + 8; port++) {
		for (unsigned int size = 1; size <= 4; size *= 2) {
			in(&f->ports, port, size);
			out(&f->ports, port, 0xffffffff, size);
		}
	}
}

static void taken_ports_are_refused_by_name(void **state)
{
	struct fixture *f = *state;
	struct power_wiring wiring = { .pio = &f->ports.pio, .pulse = on_pulse };
	struct power *second;
	struct err err = { 0 };

	assert_int_equal(power_open(&second, &wiring, &ops, f, false, NULL, &err), -EEXIST);
	assert_null(second);
	assert_non_null(strstr(err.text, "0x600"));
	power_button_press(f->power);
	assert_int_equal(in(&f->ports, PORT_GED_EVENTS, 4), GED_EVENT_POWER_BUTTON);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(s5_powers_off),
		T(reset_register_resets),
		T(older_resets_work),
		T(pci_address_probe_does_not_reset),
		T(debug_exit_carries_its_value),
		T(debug_exit_is_absent_unless_asked_for),
		T(power_button_sets_its_event),
		T(hotplug_tells_the_slot_once),
		T(every_notice_has_an_edge_of_its_own),
		T(eject_names_each_slot_but_the_host_bridge),
		T(every_port_width_and_value_is_survived),
		T(taken_ports_are_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
