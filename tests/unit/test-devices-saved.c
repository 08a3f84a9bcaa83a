/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several assigned devices of one machine that is saved: in which order they stop and go on, and
 * that one which cannot be saved keeps the others from being disturbed. Each is in a VM of its own
 * here, for what is looked at is their migration alone.
 */
#include "fake-vfio.h"

#include "vmm/devices-internal.h"

#define N    2u
#define BOTH (VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P)

struct fleet {
	struct fake_rig *m[N];
	struct device device[N];
	struct devices devices;
	char id[N][8];
	unsigned int clock;
};

/* False: there is no KVM. */
static bool fleet_open(struct fleet *fleet)
{
	*fleet = (struct fleet){ .devices = { .n = N }, .id = { "first", "second" } };
	for (unsigned int i = 0; i < N; i++) {
		struct fake_rig *m = fake_rig_open();
		struct vfio_options options;

		if (!m)
			return false;
		options = fake_options(m);
		options.name = fleet->id[i];
		m->v.migration.flags = BOTH;
		m->v.migration.clock = &fleet->clock;
		fake_plug(m, &options);
		fleet->m[i] = m;
		fleet->device[i].function = m->f;
		fleet->device[i].config.id = fleet->id[i];
		fleet->devices.device[i] = &fleet->device[i];
	}
	return true;
}

static void fleet_close(struct fleet *fleet)
{
	for (unsigned int i = 0; i < N; i++)
		fake_rig_close(fleet->m[i]);
}

/* When device i came to that state for the nth time; fails where it did not. */
static unsigned int when(const struct fleet *fleet, unsigned int i, uint32_t to, unsigned int nth)
{
	const struct fake_migration *m = &fleet->m[i]->v.migration;

	for (unsigned int k = 0; k < m->n_path; k++) {
		if (m->path[k] == to && !nth--)
			return m->when[k];
	}
	fail_msg("device %u has not come to state %u", i, to);
	return 0;
}

static void none_reaches_into_one_that_stands_still(void **state)
{
	struct err err = { 0 };
	struct fleet fleet;

	if (!fleet_open(&fleet))
		skip();
	assert_int_equal(devices_stop(&fleet.devices, &err), 0);
	assert_int_equal(devices_start(&fleet.devices, &err), 0);
	for (unsigned int i = 0; i < N; i++) {
		const unsigned int other = !i;

		assert_true(when(&fleet, i, VFIO_DEVICE_STATE_RUNNING_P2P, 0) <
			    when(&fleet, other, VFIO_DEVICE_STATE_STOP, 0));
		assert_true(when(&fleet, i, VFIO_DEVICE_STATE_RUNNING_P2P, 1) <
			    when(&fleet, other, VFIO_DEVICE_STATE_RUNNING, 0));
	}
	fleet_close(&fleet);
}

static void one_that_cannot_be_saved_leaves_all_undisturbed(void **state)
{
	struct err err = { 0 };
	struct fleet fleet;

	if (!fleet_open(&fleet))
		skip();
	fleet.m[1]->v.migration.flags = 0;
	assert_int_equal(devices_stop(&fleet.devices, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "second: a snapshot does not carry"));
	assert_int_equal(devices_start(&fleet.devices, &err), 0);
	assert_int_equal(fleet.m[0]->v.migration.sets + fleet.m[1]->v.migration.sets, 0);
	fleet_close(&fleet);
}

/* Registers that others reach, as where the kernel gives dma-bufs. */
static void one_that_cannot_end_their_dma_is_refused_beside_others(void **state)
{
	struct err err = { 0 };
	struct fleet fleet;

	if (!fleet_open(&fleet))
		skip();
	fleet.m[1]->v.migration.flags = VFIO_MIGRATION_STOP_COPY;
	assert_int_equal(devices_stop(&fleet.devices, &err), 0);
	assert_int_equal(devices_start(&fleet.devices, &err), 0);
	fleet.m[1]->f->bars[0].n_peers = 1;
	assert_int_equal(devices_stop(&fleet.devices, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "second: a snapshot does not carry it beside other"));
	fleet.devices.device[0] = &fleet.device[1];
	fleet.devices.n = 1;
	assert_int_equal(devices_stop(&fleet.devices, &err), 0);
	assert_int_equal(devices_start(&fleet.devices, &err), 0);
	fleet.m[1]->f->bars[0].n_peers = 0;
	fleet_close(&fleet);
}

static void where_one_does_not_stop_all_go_on(void **state)
{
	struct err err = { 0 };
	struct fleet fleet;

	if (!fleet_open(&fleet))
		skip();
	fleet.m[1]->v.migration.refused = 2;
	assert_int_equal(devices_stop(&fleet.devices, &err), -EIO);
	assert_int_equal(devices_start(&fleet.devices, &err), 0);
	for (unsigned int i = 0; i < N; i++)
		assert_int_equal(fleet.m[i]->v.migration.state, VFIO_DEVICE_STATE_RUNNING);
	fleet_close(&fleet);
}

static void the_first_that_does_not_go_on_is_named_and_the_others_do(void **state)
{
	struct err err = { 0 };
	struct fleet fleet;

	if (!fleet_open(&fleet))
		skip();
	assert_int_equal(devices_stop(&fleet.devices, &err), 0);
	fleet.m[0]->v.migration.refused = 3;
	fleet.m[0]->v.migration.breaks = true;
	assert_int_equal(devices_start(&fleet.devices, &err), -EIO);
	assert_non_null(strstr(err.text, "first: "));
	assert_int_equal(fleet.m[0]->v.resets, 1);
	for (unsigned int i = 0; i < N; i++)
		assert_int_equal(fleet.m[i]->v.migration.state, VFIO_DEVICE_STATE_RUNNING);
	fleet_close(&fleet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_reaches_into_one_that_stands_still),
		cmocka_unit_test(one_that_cannot_be_saved_leaves_all_undisturbed),
		cmocka_unit_test(one_that_cannot_end_their_dma_is_refused_beside_others),
		cmocka_unit_test(where_one_does_not_stop_all_go_on),
		cmocka_unit_test(the_first_that_does_not_go_on_is_named_and_the_others_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
