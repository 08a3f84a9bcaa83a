/* SPDX-License-Identifier: Apache-2.0 */
/* One device or one line of a domain's XML changed: which one it is, and that the rest stays. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/definition-edit.h"

#define ADDRESS(bus)  "<source><address domain='0' bus='" bus "' slot='0' function='1'/></source>"
#define FUNCTION(bus) "<hostdev mode='subsystem' type='pci'>" ADDRESS(bus) "</hostdev>"
#define DISK(dev, path)                                                   \
	"<disk type='file'><driver type='raw'/><source file='" path "'/>" \
	"<target dev='" dev "'/></disk>"

static const struct definition_host host = { "/run/x", "/usr/bin/adit" };
static const char begin[] = "<domain type='kvm'><name>one</name>"
			    "<uuid>12345678-9abc-4def-8123-456789abcdef</uuid>"
			    "<memory>131072</memory><os><type>hvm</type><kernel>/k</kernel></os>"
			    "<devices>" DISK("vda", "/a") FUNCTION("0x3b") "</devices></domain>";

static struct definition *start(void)
{
	struct refusal refusal = { 0 };
	struct definition *definition = definition_parse(begin, strlen(begin), &host, &refusal);

	assert_non_null(definition);
	return definition;
}

static struct definition *changed(const struct definition *from, enum device_change change,
				  const char *xml)
{
	struct refusal refusal = { 0 };
	struct definition *definition =
		definition_change_device(from, change, xml, &host, &refusal);

	if (!definition)
		fail_msg("%s\n%s", refusal.err.text, xml);
	return definition;
}

static void refused(enum device_change change, const char *xml, enum fault fault)
{
	struct definition *definition = start();
	struct refusal refusal = { 0 };

	assert_null(definition_change_device(definition, change, xml, &host, &refusal));
	if (refusal.fault != fault)
		fail_msg("%d, not %d: %s", refusal.fault, fault, refusal.err.text);
	definition_free(definition);
}

static void a_device_comes_and_goes_and_leaves_no_trace(void **state)
{
	struct definition *first = start();
	struct definition *more = changed(first, DEVICE_ATTACH, DISK("vdb", "/b"));
	struct definition *less = changed(more, DEVICE_DETACH, "<disk><target dev='vdb'/></disk>");

	assert_non_null(strstr(more->config, "\"/b\""));
	assert_string_equal(less->xml, first->xml);
	assert_string_equal(less->config, first->config);
	definition_free(first);
	definition_free(more);
	definition_free(less);
}

static void a_device_is_known_however_its_address_is_written(void **state)
{
	struct definition *first = start();
	struct definition *less = changed(first, DEVICE_DETACH, FUNCTION("59"));

	assert_null(strstr(less->config, "3b"));
	definition_free(first);
	definition_free(less);
}

static void an_update_keeps_the_place(void **state)
{
	struct definition *first = start();
	struct definition *two = changed(first, DEVICE_ATTACH, DISK("vdb", "/b"));
	struct definition *other = changed(two, DEVICE_UPDATE, DISK("vda", "/c"));

	assert_true(strstr(other->config, "/c") < strstr(other->config, "/b"));
	assert_null(strstr(other->config, "\"/a\""));
	definition_free(first);
	definition_free(two);
	definition_free(other);
}

/* adit's own names come from what does not change with the number of devices. */
static void names_stay_when_others_go(void **state)
{
	struct definition *first = start();
	struct definition *two = changed(first, DEVICE_ATTACH, DISK("vdb", "/b"));
	struct definition *one = changed(two, DEVICE_DETACH, DISK("vda", "/a"));

	assert_non_null(strstr(two->config, "\"vdb\""));
	assert_non_null(strstr(one->config, "\"vdb\""));
	assert_non_null(strstr(one->config, "\"0000-3b-00.1\""));
	definition_free(first);
	definition_free(two);
	definition_free(one);
}

static void what_is_wrong_is_refused(void **state)
{
	refused(DEVICE_ATTACH, DISK("vda", "/b"), FAULT_OPERATION_INVALID);
	refused(DEVICE_ATTACH, FUNCTION("59"), FAULT_OPERATION_INVALID);
	refused(DEVICE_ATTACH, "<video/>", FAULT_CONFIG_UNSUPPORTED);
	refused(DEVICE_ATTACH, "<disk type='file'><target dev='vdb'/></disk>",
		FAULT_CONFIG_UNSUPPORTED);
	refused(DEVICE_ATTACH, "<disk", FAULT_XML);
	refused(DEVICE_ATTACH, "<!DOCTYPE d><disk/>", FAULT_XML);
	refused(DEVICE_ATTACH, "<domain/>", FAULT_CONFIG_UNSUPPORTED);
	refused(DEVICE_DETACH, "<interface/>", FAULT_XML);
	refused(DEVICE_DETACH, DISK("vdb", "/b"), FAULT_DEVICE_MISSING);
	refused(DEVICE_DETACH, "<rng/>", FAULT_DEVICE_MISSING);
	refused(DEVICE_UPDATE, DISK("vdb", "/b"), FAULT_DEVICE_MISSING);
}

static void a_difference_is_told_by_its_path(void **state)
{
	static const struct {
		const char *xml, *path;
	} rows[] = {
		{ DISK("vda", "/b"), "/domain/devices/disk/source/@file: " },
		{ "<disk type='block'><driver type='raw'/><source dev='/a'/><target dev='vda'/>"
		  "</disk>",
		  "/domain/devices/disk/@type: " },
		{ "<disk type='file'><driver type='raw' cache='none'/><source file='/a'/>"
		  "<target dev='vda'/></disk>",
		  "/domain/devices/disk/driver/@cache: " },
		{ "<disk type='file'><driver type='raw'/><source file='/a'/><target dev='vda'/>"
		  "<serial>X</serial></disk>",
		  "/domain/devices/disk/serial: " },
		{ "<disk type='file'><driver type='raw'/><source file='/a'/><target dev='vda'/>"
		  "<address type='pci' slot='9'/></disk>",
		  "/domain/devices/disk/address/@slot: " },
	};
	struct definition *first = start(),
			  *other = changed(first, DEVICE_UPDATE, DISK("vda", "/a"));
	struct refusal refusal = { 0 };

	assert_int_equal(definition_refuse_difference(first, other, &refusal), 0);
	definition_free(other);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		other = changed(first, DEVICE_UPDATE, rows[i].xml);
		assert_int_equal(definition_refuse_difference(first, other, &refusal), -1);
		assert_int_equal(refusal.fault, FAULT_OPERATION_UNSUPPORTED);
		if (strncmp(refusal.err.text, rows[i].path, strlen(rows[i].path)) != 0)
			fail_msg("not %s: %s", rows[i].path, refusal.err.text);
		definition_free(other);
	}
	definition_free(first);
}

static void the_text_of_an_element_is_set(void **state)
{
	struct refusal refusal = { 0 };
	struct definition *first = start();
	struct definition *titled =
		definition_set_text(first, "title", "a < b & c", &host, &refusal);
	struct definition *bare = definition_set_text(titled, "title", NULL, &host, &refusal);
	struct definition *more = definition_set_text(first, "memory", "262144", &host, &refusal);

	assert_string_equal(titled->title, "a < b & c");
	assert_string_equal(bare->xml, first->xml);
	assert_true(more->memory_kib == 262144);
	assert_null(definition_set_text(first, "vcpu", "0", &host, &refusal));
	definition_free(first);
	definition_free(titled);
	definition_free(bare);
	definition_free(more);
}

static void current_memory_is_all_of_it_where_none_can_be_given_back(void **state)
{
	struct refusal refusal = { 0 };
	struct definition *first = start();
	struct definition *more = definition_set_memory(first, 262144, 262144, &host, &refusal);
	struct definition *less = definition_set_memory(first, 131072, 65536, &host, &refusal);

	assert_true(more->memory_kib == 262144 && more->current_kib == 262144);
	assert_null(strstr(more->xml, "currentMemory"));
	assert_null(less);
	assert_int_equal(refusal.fault, FAULT_CONFIG_UNSUPPORTED);
	definition_free(first);
	definition_free(more);
}

static void current_memory_may_be_less_with_a_balloon(void **state)
{
	struct refusal refusal = { 0 };
	struct definition *first = start();
	struct definition *thin = definition_set_text(first, "title", "thin", &host, &refusal);
	char *xml = NULL;
	struct definition *balloon, *less, *all;

	assert_true(asprintf(&xml, "%.*s<memballoon model='virtio'/></devices></domain>",
			     (int)(strstr(begin, "</devices>") - begin), begin) > 0);
	balloon = definition_parse(xml, strlen(xml), &host, &refusal);
	less = definition_set_memory(balloon, 131072, 65536, &host, &refusal);
	all = definition_set_memory(less, 131072, 131072, &host, &refusal);
	assert_true(balloon->balloon && !thin->balloon);
	assert_true(less->current_kib == 65536);
	assert_non_null(strstr(less->config, "\"size\":67108864"));
	assert_true(all->current_kib == 131072);
	assert_null(definition_set_memory(less, 131072, 131076, &host, &refusal));
	free(xml);
	definition_free(first);
	definition_free(thin);
	definition_free(balloon);
	definition_free(less);
	definition_free(all);
}

static void places_stay_when_others_come_and_go(void **state)
{
	struct definition *first = start();
	struct definition *more = changed(first, DEVICE_ATTACH, DISK("vdb", "/b"));
	struct definition *less = changed(more, DEVICE_DETACH, DISK("vda", "/a"));
	struct definition *last = changed(less, DEVICE_ATTACH, DISK("vdc", "/c"));
	struct definition *other = changed(last, DEVICE_UPDATE, DISK("vdb", "/x"));

	/* The function came first, as with adit itself. */
	assert_non_null(strstr(more->config, "\"id\":\"vdb\",\"slot\":3"));
	assert_non_null(strstr(less->config, "\"id\":\"vdb\",\"slot\":3"));
	assert_non_null(strstr(last->config, "\"id\":\"vdb\",\"slot\":3"));
	assert_non_null(strstr(last->config, "\"id\":\"vdc\",\"slot\":2"));
	assert_non_null(strstr(other->config, "\"path\":\"/x\",\"id\":\"vdb\",\"slot\":3"));
	definition_free(first);
	definition_free(more);
	definition_free(less);
	definition_free(last);
	definition_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_comes_and_goes_and_leaves_no_trace),
		cmocka_unit_test(a_device_is_known_however_its_address_is_written),
		cmocka_unit_test(an_update_keeps_the_place),
		cmocka_unit_test(names_stay_when_others_go),
		cmocka_unit_test(what_is_wrong_is_refused),
		cmocka_unit_test(places_stay_when_others_come_and_go),
		cmocka_unit_test(a_difference_is_told_by_its_path),
		cmocka_unit_test(the_text_of_an_element_is_set),
		cmocka_unit_test(current_memory_is_all_of_it_where_none_can_be_given_back),
		cmocka_unit_test(current_memory_may_be_less_with_a_balloon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
