/* SPDX-License-Identifier: Apache-2.0 */
/* The event log: where errors go when a guest set one up, and that it reaches no more than a
 * descriptor does. */
#include "tests/unit/test-dsa.h"

#define LOG	0x100000ULL
#define ENTRIES 64u

struct event {
	uint64_t head, flags, address, reserved;
	struct dsa_record record;
};

static struct dsa_options with_log(bool pasids)
{
	struct dsa_options options = rig_options(pasids);

	options.event_log = true;
	return options;
}

static void set_log(struct dsa_rig *rig, uint64_t base, uint32_t entries, uint32_t pasid)
{
	reg_write(rig, DSA_EVLCFG, base | (pasid ? DSA_EVLCFG_PASID : 0), 8);
	reg_write(rig, DSA_EVLCFG + 8, entries | (uint64_t)pasid << DSA_EVLCFG_PASID_SHIFT, 8);
	reg_write(rig, DSA_GENCTRL, DSA_GENCTRL_SOFTERR | DSA_GENCTRL_HALT | DSA_GENCTRL_EVENT_LOG,
		  4);
	reg_write(rig, DSA_GENCFG, 0x3000, 4);
}

/* A record address that is not aligned cannot be told in a record. */
static void err(struct dsa_rig *rig)
{
	struct dsa_descriptor d = noop();

	d.record = RECORD + 8;
	assert_int_equal(submit(rig, 0, &d), 0);
	assert_int_equal(command(rig, DSA_DRAIN_ALL, 0), 0);
}

static const struct event *event_at(struct dsa_rig *rig, uint64_t base, unsigned int index)
{
	return (const struct event *)(rig->memory + base) + index;
}

static unsigned int tail(struct dsa_rig *rig)
{
	return (unsigned int)(reg_read(rig, DSA_EVLSTATUS, 8) >> DSA_EVLSTATUS_TAIL_SHIFT) & 0xffff;
}

static void error_is_an_entry_and_an_interrupt(void **state)
{
	RIG(rig, with_log(false));
	const struct event *event = event_at(&rig, LOG, 0);

	assert_int_equal(reg_read(&rig, DSA_GENCAP, 8) >> 13 & 3, 1);
	msix_enable(&rig);
	set_log(&rig, LOG, ENTRIES, 0);
	assert_int_equal(reg_read(&rig, DSA_EVLCFG, 8), LOG);
	assert_int_equal(reg_read(&rig, DSA_EVLCFG + 8, 8), ENTRIES);
	assert_int_equal(reg_read(&rig, DSA_GENCFG, 4), 0x3000);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	err(&rig);
	assert_int_equal(swerr_code(&rig), 0);
	assert_int_equal(reg_read(&rig, DSA_EVLSTATUS, 8),
			 DSA_EVLSTATUS_PENDING | 1ULL << DSA_EVLSTATUS_TAIL_SHIFT);
	assert_int_equal(reg_read(&rig, DSA_INTCAUSE, 4), DSA_INTCAUSE_EVENT_LOG);
	WAIT_FOR(fired(&rig, 0) == 1);
	assert_int_equal(event->head >> 8 & 0xff, DSA_STATUS_RECORD_ALIGN);
	assert_int_equal(event->head & 0xff, 0xc);
	assert_int_equal(event->head >> 16 & 0xff, 0);
	assert_int_equal(event->address, RECORD + 8);
	assert_int_equal(event->record.status, DSA_STATUS_RECORD_ALIGN);

	/* While it is pending there is no second interrupt; the driver clears it and reads on. */
	err(&rig);
	assert_int_equal(fired(&rig, 0), 1);
	reg_write(&rig, DSA_EVLSTATUS + 4, DSA_EVLSTATUS_PENDING >> 32, 4);
	assert_int_equal(tail(&rig), 2);
	reg_write(&rig, DSA_EVLSTATUS, 2, 4);
	assert_int_equal(reg_read(&rig, DSA_EVLSTATUS, 8), 2 | 2ULL << DSA_EVLSTATUS_TAIL_SHIFT);
	err(&rig);
	WAIT_FOR(fired(&rig, 0) == 2);
	rig_close(&rig);
}

static void full_log_falls_back_to_swerr(void **state)
{
	RIG(rig, with_log(false));

	set_log(&rig, LOG, ENTRIES, 0);
	memset(rig.memory + LOG + sizeof(struct event) * ENTRIES, 0xc7, 64);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (unsigned int i = 0; i + 1 < ENTRIES; i++)
		err(&rig);
	assert_int_equal(tail(&rig), ENTRIES - 1);
	assert_int_equal(swerr_code(&rig), 0);
	err(&rig);
	assert_int_equal(tail(&rig), ENTRIES - 1);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_ALIGN);
	/* Room again: it goes round. */
	reg_write(&rig, DSA_EVLSTATUS, 10, 4);
	err(&rig);
	assert_int_equal(tail(&rig), 0);
	assert_int_equal(rig.memory[LOG + sizeof(struct event) * ENTRIES], 0xc7);
	rig_close(&rig);
}

static void nonsense_is_refused_at_enable(void **state)
{
	RIG(rig, with_log(true));

	reg_write(&rig, DSA_GRPCFG, 3, 8);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_ENGINES, 3, 8);
	set_log(&rig, LOG, ENTRIES - 1, 0);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), DSA_CMD_CONFIG);
	/* Without a PASID it is under the default binding of all queues, and there is none. */
	set_log(&rig, LOG, ENTRIES, 0);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), DSA_CMD_PASID);
	set_log(&rig, LOG, ENTRIES, 5);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), DSA_CMD_PASID);
	assert_ok(dsa_pasid_bind(rig.dsa, 5, rig.window, 0, NULL, &rig.err), &rig.err);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), 0);
	/* Fixed from then on; a head outside of it is ignored. */
	set_log(&rig, 0, 0xffff, 0);
	assert_int_equal(reg_read(&rig, DSA_EVLCFG, 8), LOG | DSA_EVLCFG_PASID);
	reg_write(&rig, DSA_EVLSTATUS, ENTRIES, 4);
	assert_int_equal(reg_read(&rig, DSA_EVLSTATUS, 8), 0);
	rig_close(&rig);
}

static void log_reaches_no_more_than_its_pasid(void **state)
{
	RIG(rig, with_log(true));

	assert_ok(dsa_pasid_bind(rig.dsa, 5, rig.window, 0, NULL, &rig.err), &rig.err);
	assert_ok(dsa_default_bind(rig.dsa, 0, rig.guest, 0, NULL, &rig.err), &rig.err);
	/* The window's last page: what comes after it is not written. */
	set_log(&rig, WINDOW + WINDOW_SIZE - 4096, 256, 5);
	memset(rig.memory + WINDOW + WINDOW_SIZE, 0xc7, 4096);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (unsigned int i = 0; i < 64; i++)
		err(&rig);
	assert_int_equal(tail(&rig), 64);
	assert_int_equal(swerr_code(&rig), 0);
	err(&rig);
	assert_int_equal(tail(&rig), 64);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_ALIGN);
	for (unsigned int i = 0; i < 4096; i++)
		assert_int_equal(rig.memory[WINDOW + WINDOW_SIZE + i], 0xc7);
	swerr_ack(&rig);
	assert_ok(dsa_pasid_unbind(rig.dsa, 5, &rig.err), &rig.err);
	reg_write(&rig, DSA_EVLSTATUS, 63, 4);
	err(&rig);
	assert_int_equal(tail(&rig), 64);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_ALIGN);
	rig_close(&rig);
}

static void refused_descriptors_are_events(void **state)
{
	RIG(rig, with_log(true));
	const struct event *event = event_at(&rig, LOG, 0);
	struct dsa_descriptor d = noop();

	assert_ok(dsa_default_bind(rig.dsa, DSA_ALL_WQS, rig.guest, 0, NULL, &rig.err), &rig.err);
	set_log(&rig, LOG, ENTRIES, 0);
	device_enable(&rig);
	wq_enable(&rig, 1, 77);
	assert_int_equal(submit(&rig, 1, &d), -EAGAIN);
	assert_int_equal(tail(&rig), 1);
	assert_int_equal(event->head >> 8 & 0xff, DSA_STATUS_RECORD_FAULT);
	assert_int_equal(event->head >> 16 & 0xff, 1);
	assert_int_equal(event->head >> 40 & 0xfffff, 77);
	rig_close(&rig);
}

static void without_it_nothing_of_it_is_there(void **state)
{
	RIG(rig, rig_options(false));

	set_log(&rig, LOG, ENTRIES, 0);
	reg_write(&rig, DSA_EVLSTATUS, ~0ULL, 8);
	assert_int_equal(reg_read(&rig, DSA_GENCAP, 8) >> 13 & 3, 0);
	assert_int_equal(reg_read(&rig, DSA_EVLCFG, 8), 0);
	assert_int_equal(reg_read(&rig, DSA_EVLSTATUS, 8), 0);
	assert_int_equal(reg_read(&rig, DSA_GENCFG, 4), 0x1000);
	assert_int_equal(reg_read(&rig, DSA_GENCTRL, 4), 3);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	err(&rig);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_ALIGN);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_is_an_entry_and_an_interrupt),
		cmocka_unit_test(full_log_falls_back_to_swerr),
		cmocka_unit_test(nonsense_is_refused_at_enable),
		cmocka_unit_test(log_reaches_no_more_than_its_pasid),
		cmocka_unit_test(refused_descriptors_are_events),
		cmocka_unit_test(without_it_nothing_of_it_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
