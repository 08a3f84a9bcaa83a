/* SPDX-License-Identifier: Apache-2.0 */
/* Domain XML of a configuration: what it says is all there, or it is refused by its pointer. */
#include "tests/unit/check.h"

#include <json-c/json.h>
#include <string.h>

#include "libvirt-driver/native.h"

#define UUID "12345678-9abc-4def-8123-456789abcdef"

static const struct definition_host host = { "/run/x", "/usr/bin/adit" };
static const uint8_t uuid[XDR_UUID] = { 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0x4d, 0xef,
					0x81, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };

static struct definition *from(const char *json)
{
	struct refusal refusal = { 0 };
	struct definition *definition =
		definition_from_native(json, strlen(json), "one", uuid, &host, &refusal);

	if (!definition)
		fail_msg("%s\n%s", refusal.err.text, json);
	return definition;
}

static void refused(const char *json, const char *why)
{
	struct refusal refusal = { 0 };

	assert_null(definition_from_native(json, strlen(json), "one", uuid, &host, &refusal));
	assert_true(refusal.fault);
	if (!strstr(refusal.err.text, why))
		fail_msg("not \"%s\": %s", why, refusal.err.text);
}

static bool is_same(const char *a, const char *b)
{
	struct json_object *x = json_tokener_parse(a), *y = json_tokener_parse(b);
	bool same = json_object_equal(x, y);

	json_object_put(x);
	json_object_put(y);
	return same;
}

static const char everything[] =
	"<domain type='kvm'><name>one</name><uuid>" UUID "</uuid><memory unit='MiB'>256</memory>"
	"<currentMemory unit='MiB'>128</currentMemory>"
	"<memoryBacking><hugepages><page size='2' unit='M'/></hugepages><access mode='private'/>"
	"<allocation mode='ondemand'/></memoryBacking><vcpu>3</vcpu>"
	"<os><type>hvm</type><kernel>/k</kernel><initrd>/i</initrd><cmdline>a &lt; \"b\"</cmdline>"
	"</os><iommufd enabled='yes'/><devices>"
	"<disk type='file'><driver type='raw' cache='none'/><source file='/d/a&amp;b'/>"
	"<target dev='vdc'/><serial>A1</serial><address type='pci' slot='30'/></disk>"
	"<disk type='block'><driver type='raw'/><source dev='/dev/sdz'/><target dev='vda'/>"
	"<readonly/><alias name='ua-root'/></disk>"
	"<interface type='ethernet'><mac address='52:54:00:00:00:01'/>"
	"<target dev='tap0' managed='no'/><mtu size='9000'/></interface>"
	"<interface type='ethernet'><target dev='tap1' managed='no'/><alias name='ua-n'/>"
	"</interface><serial type='pty'/><console type='file'><source path='/c'/>"
	"<target type='virtio'/></console><channel type='unix'><source path='/run/agent'/>"
	"<target type='virtio' name='org.agent'/></channel>"
	"<vsock><cid address='9'/></vsock><rng model='virtio'><backend model='random'/></rng>"
	"<memballoon model='virtio' autodeflate='on'><stats period='5'/></memballoon>"
	"<hostdev mode='subsystem' type='pci' managed='yes'><source>"
	"<address domain='0' bus='0x3b' slot='0' function='1'/></source><rom bar='off'/></hostdev>"
	"<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>"
	"<address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source><alias name='ua-m'/>"
	"</hostdev></devices><a:machine xmlns:a='" DEFINITION_NS "'>"
	"<a:adi id='dsa0' type='dsa' engines='2' fixed='no'><a:wq size='8'/>"
	"<a:wq mode='shared' size='8' threshold='4'/><a:pasid allow='yes' width='16'/></a:adi>"
	"<a:space id='w' offset='32M' size='16M' rights='r'/>"
	"<a:pasid guest='5' adi='dsa0' space='w'/><a:pasid guest='none' wq='all' adi='dsa0'/>"
	"<a:hostdev alias='0000-3b-00.1' coherency='deny' unsafe_stale_reads='yes'/>"
	"<a:debug-exit/><a:shutdown-timeout seconds='9'/><a:poll max='5000'/></a:machine></domain>";

static void what_xml_can_say_comes_back(void **state)
{
	struct refusal refusal = { 0 };
	struct definition *first =
		definition_parse(everything, strlen(everything), &host, &refusal);
	struct definition *second;

	assert_non_null(first);
	second = from(first->config);
	if (!is_same(first->config, second->config))
		fail_msg("%s\n%s", first->config, second->config);
	assert_memory_equal(first->uuid, second->uuid, XDR_UUID);
	assert_string_equal(first->name, second->name);
	assert_true(first->current_kib == second->current_kib && second->balloon);
	definition_free(first);
	definition_free(second);
}

static void what_a_person_has_written_may_say_less(void **state)
{
	struct definition *definition =
		from("{\"payload\": {\"kernel\": \"/k\"}, \"memory\": "
		     "{\"size\": \"512M\", \"hugepages\": false}, \"disks\": "
		     "[{\"path\": \"/d\", \"image_type\": \"Raw\"}]}");

	assert_true(definition->memory_kib == 512 * 1024 && definition->vcpus == 1);
	assert_non_null(strstr(definition->xml, "<serial type=\"pty\"/>"));
	assert_non_null(strstr(definition->xml, "<target dev=\"vda\" bus=\"virtio\"/>"));
	definition_free(definition);
}

static void a_uuid_is_that_of_its_sockets(void **state)
{
	static const char own[] = "{\"serial\": {\"link\": \"/run/x/" UUID "/vm/serial\"}}";
	static const char other[] = "{\"serial\": {\"link\": \"/run/y/" UUID "/vm/serial\"}}";
	uint8_t found[XDR_UUID];

	assert_true(native_uuid(own, strlen(own), &host, found));
	assert_memory_equal(found, uuid, XDR_UUID);
	assert_false(native_uuid(other, strlen(other), &host, found));
	assert_false(native_uuid("{", 1, &host, found));
}

#define HEAD	"{\"payload\": {\"kernel\": \"/k\"}, \"memory\": {\"size\": 134217728}"
#define WITH(x) HEAD ", " x "}"

static void what_xml_cannot_say_is_refused_by_its_pointer(void **state)
{
	refused(WITH("\"disks\": [{\"path\": \"/d\", \"image_type\": \"Raw\", \"num_queues\": 2}]"),
		"/disks/0/num_queues: domain XML has no words");
	refused(WITH("\"net\": [{\"tap\": \"t\", \"offload_tso\": false}]"),
		"/net/0/offload_tso: domain XML has no words");
	refused(WITH("\"net\": [{\"tap\": \"t\", \"mac\": \"52:54:00:00:00:01\", \"id\": \"n\"}]"),
		"/net/0/id: \"n\" cannot be said");
	refused(WITH("\"net\": [{\"tap\": \"at525400000001\", \"mac\": \"52:54:00:00:00:01\"}]"),
		"/net/0/tap: \"at525400000001\" is made for <interface type='bridge'>");
	refused(WITH("\"serial\": {\"mode\": \"Tty\"}"), "/serial/mode: \"Tty\" cannot be said");
	refused(WITH("\"cpu\": {}"), "/cpu: domain XML has no words");
	refused(WITH("\"devices\": [{\"fd\": 3}]"), "/domain/devices/hostdev");
	refused("{\"payload\": {\"kernel\": \"/k\"}}", "/domain/memory: is missing");
	refused("{\"memory\": {\"size\": 134217728}}", "/domain/os/kernel: is missing");
}

static void what_is_no_configuration_is_refused(void **state)
{
	static char deep[4096];

	refused("", "(document)");
	refused("{", "(document)");
	refused("[]", "(document): it must be a JSON object");
	refused("null", "(document)");
	refused("{} {}", "(document)");
	refused("{\"a\": \"\xff\"}", "/a: invalid UTF-8");
	refused("{\"cpus\": {}, \"cpus\": {}}", "/cpus");
	refused(WITH("\"disks\": 5"), "/disks: domain XML has no words");
	refused(WITH("\"disks\": [null, 1, []]"), "/domain/devices/disk");
	refused(WITH("\"serial\": []"), "/serial");
	refused(WITH("\"memory\\u001b[1m\": 1"), "/memory?[1m: domain XML has no words");
	refused(WITH("\"rng\": {\"src\": \"/a\\u0000b\"}"), "/rng/src");
	refused(WITH("\"rng\": {\"src\": \"/a\\u0001b\"}"), "/rng/src");
	refused(WITH("\"rng\": {\"src\": \"/a\\uffff\"}"), "/rng/src");
	memset(deep, '[', sizeof(deep) - 1);
	refused(deep, "arrays and objects go at most 32 deep");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_xml_can_say_comes_back),
		cmocka_unit_test(what_a_person_has_written_may_say_less),
		cmocka_unit_test(a_uuid_is_that_of_its_sockets),
		cmocka_unit_test(what_xml_cannot_say_is_refused_by_its_pointer),
		cmocka_unit_test(what_is_no_configuration_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
