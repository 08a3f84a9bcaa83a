/* SPDX-License-Identifier: Apache-2.0 */
/* What is made of a running machine's own words about its devices, whatever they are. */
#include "tests/unit/check.h"

#include <json-c/json.h>
#include <string.h>

#include "libvirt-driver/run-device.h"
#include "util/bits.h"

static const char xml[] =
	"<domain type='kvm'><name>one</name><uuid>12345678-9abc-4def-8123-456789abcdef</uuid>"
	"<memory>131072</memory><os><type>hvm</type><kernel>/k</kernel></os><devices>"
	"<disk type='file'><driver type='raw'/><source file='/a'/><target dev='vda'/></disk>"
	"</devices></domain>";

static bool is_gone(const char *config, char id[DEVICE_ID])
{
	const struct definition_host host = { "/run/x", "/usr/bin/adit" };
	struct refusal refusal = { 0 };
	struct definition *live = definition_parse(xml, strlen(xml), &host, &refusal);
	struct json_object *object = json_tokener_parse(config);
	bool gone;

	assert_non_null(live);
	gone = device_is_gone(live, object, id);
	json_object_put(object);
	definition_free(live);
	return gone;
}

static void a_device_that_the_machine_has_is_not_gone(void **state)
{
	char id[DEVICE_ID];

	assert_false(is_gone("{\"disks\": [{\"id\": \"other\"}, {\"id\": \"vda\"}]}", id));
}

static void one_that_it_has_not_is_gone_by_its_id(void **state)
{
	char id[DEVICE_ID];

	assert_true(is_gone("{\"disks\": [{\"id\": \"other\"}]}", id));
	assert_string_equal(id, "vda");
	assert_true(is_gone("{}", id));
}

/* Of a process that somebody broke into. */
static void words_of_any_kind_are_survived(void **state)
{
	static const char *const configs[] = {
		"null",
		"5",
		"[]",
		"{\"disks\": null}",
		"{\"disks\": 5}",
		"{\"disks\": \"vda\"}",
		"{\"disks\": {\"id\": \"vda\"}}",
		"{\"disks\": [null, 1, [], \"vda\", {}]}",
		"{\"disks\": [{\"id\": null}, {\"id\": 1}, {\"id\": [\"vda\"]}]}",
	};
	char id[DEVICE_ID];

	for (size_t i = 0; i < ARRAY_SIZE(configs); i++)
		assert_true(is_gone(configs[i], id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_that_the_machine_has_is_not_gone),
		cmocka_unit_test(one_that_it_has_not_is_gone_by_its_id),
		cmocka_unit_test(words_of_any_kind_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
