/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine says of its assigned devices: to the log, to who follows its events, in vm.info,
 * and to who started it with what cannot be.
 */
#include "fake-vfio.h"

#include <json-c/json.h>

#include "vmm/api/coherency.h"
#include "vmm/devices-internal.h"

#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

struct told {
	struct loop *loop;
	char event[32], detail[200];
};

static void on_told(void *arg, const char *event, const char *detail)
{
	struct told *told = arg;

	snprintf(told->event, sizeof(told->event), "%s", event);
	snprintf(told->detail, sizeof(told->detail), "%s", detail);
	loop_stop(told->loop);
}

static void an_error_reaches_the_log_and_who_follows_events(void **state)
{
	struct told told = { 0 };
	struct log log = { .level = LOG_INFO };
	struct devices_making making;
	struct devices devices = {
		.log = &log,
		.place = { .event = on_told, .event_arg = &told },
		.mapped = true,
	};
	struct device device = { .all = &devices, .config = { .id = "disk" } };
	char line[1024] = { 0 };
	int pipe_fds[2];
	FAKE_RIG(m);

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	log.fd = pipe_fds[1];
	devices.place.loop = told.loop = m->loop;
	devices_making(&device, &making);
	making.options.sys = &m->v.sys;
	fake_plug(m, &making.options);
	fake_signal(m->v.error);
	assert_int_equal(loop_run(m->loop), 0);
	assert_string_equal(told.event, "device-error");
	assert_ptr_equal(strstr(told.detail, "disk reported an uncorrectable error"), told.detail);
	assert_true(read(pipe_fds[0], line, sizeof(line) - 1) > 0);
	assert_non_null(strstr(line, "error"));
	assert_non_null(strstr(line, told.detail));
	fake_rig_close(m);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* Before the guest runs none is: then the bus is reset, with all that is on it. */
static void those_that_the_guest_has_are_the_neighbours(void **state)
{
	struct device near = { .config = { .id = "near" }, .node = { .name = "0000:04:00.1" } };
	struct device comes = { .config = { .id = "comes" }, .node = { .name = "0000:04:00.0" } };
	struct devices devices = { .n = 2, .device = { &near, &comes } };
	struct devices_making making;

	near.all = comes.all = &devices;
	devices_making(&comes, &making);
	assert_int_equal(making.options.n_neighbours, 0);
	near.on_bus = true;
	devices_making(&comes, &making);
	assert_int_equal(making.options.n_neighbours, 1);
	assert_string_equal(making.options.neighbours[0].bdf, "0000:04:00.1");
	assert_string_equal(making.options.neighbours[0].name, "near");
}

static const char *text(struct json_object *object, const char *key)
{
	return json_object_get_string(json_object_object_get(object, key));
}

static void the_state_has_a_row_for_each_device_that_is_decided(void **state)
{
	struct device disk = {
		.config = { .id = "disk" },
		.decided = true,
		.facts = { .policy = COHERENCY_POLICY_ENFORCE, .iommu = COHERENCY_IOMMU_ENFORCES },
		.choice = { .tell_kvm = true },
		.isolation = IOASID_ISOLATION_RID,
	};
	struct device comes = { .config = { .id = "comes" } };
	struct device port = {
		.config = { .id = "port" },
		.decided = true,
		.facts = { .policy = COHERENCY_POLICY_AUTO, .iommu = COHERENCY_IOMMU_NONE },
		.choice = { .no_snoop = true },
		.isolation = IOASID_ISOLATION_VENDOR,
	};
	static const char *const rows[][6] = {
		{ "disk", "enforce", "yes", "told", "off", "iommu-rid" },
		{ "port", "auto", "none", "not told", "guest", "vendor-mdev" },
	};
	static const char *const keys[] = { "id",  "policy",	   "iommu_enforces",
					    "kvm", "no_snoop_bit", "isolation" };
	struct devices devices = {
		.n = 3,
		.device = { &disk, &comes, &port },
		.state = { .wbinvd = true, .guest_pat = true },
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	struct devices_coherency coherency;
	struct json_object *object, *list;

	devices_coherency(&devices, &coherency);
	object = coherency_json(&coherency);
	list = json_object_object_get(object, "devices");
	assert_string_equal(text(object, "wbinvd"), "emulated");
	assert_string_equal(text(object, "guest_pat"), "honoured");
	assert_int_equal(json_object_array_length(list), ARRAY_SIZE(rows));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			assert_string_equal(text(json_object_array_get_idx(list, i), keys[k]),
					    rows[i][k]);
	}
	json_object_put(object);
}

static int explain(const char *name, enum config_coherency coherency, struct err *err)
{
	struct device device = { .config = { .id = "port", .coherency = coherency } };

	snprintf(device.node.name, sizeof(device.node.name), "%s", name);
	err_set(err, ESRCH, "device port cannot be bound: No such process");
	return devices_explain_deny(&device, err);
}

static void an_mdev_that_does_not_open_without_kvm_is_explained(void **state)
{
	static const char said[] = "device port cannot be bound: No such process";
	struct err err;

	assert_int_equal(explain(UUID, COHERENCY_DENY, &err), -ESRCH);
	assert_ptr_equal(strstr(err.text, said), err.text);
	assert_non_null(strstr(err.text, "KVM was not told of it"));
	assert_non_null(strstr(err.text, "use 'auto' instead of 'deny'"));
	/* A function asks no KVM, and KVM was told of the others. */
	assert_int_equal(explain("0000:00:03.0", COHERENCY_DENY, &err), -ESRCH);
	assert_string_equal(err.text, said);
	assert_int_equal(explain(UUID, COHERENCY_AUTO, &err), -ESRCH);
	assert_string_equal(err.text, said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_reaches_the_log_and_who_follows_events),
		cmocka_unit_test(those_that_the_guest_has_are_the_neighbours),
		cmocka_unit_test(the_state_has_a_row_for_each_device_that_is_decided),
		cmocka_unit_test(an_mdev_that_does_not_open_without_kvm_is_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
