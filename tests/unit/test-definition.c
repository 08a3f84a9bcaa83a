/* SPDX-License-Identifier: Apache-2.0 */
/* Domain XML: what it means to adit, its one form, and what is refused by its path. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/definition.h"
#include "vmm/config.h"

#define UUID "12345678-9abc-4def-8123-456789abcdef"

static const struct definition_host host = { "/run/x", "/usr/bin/adit" };

/* What every domain needs; more stands at its end. */
#define DOMAIN(more)                                                                      \
	"<domain type='kvm'><name>one</name><uuid>" UUID "</uuid><memory>131072</memory>" \
	"<os><type>hvm</type><kernel>/boot/vmlinux</kernel></os>" more "</domain>"
#define DEVICES(more) DOMAIN("<devices>" more "</devices>")
#define ADIT(more)    DOMAIN("<adit:machine xmlns:adit='" DEFINITION_NS "'>" more "</adit:machine>")

static struct definition *parse(const char *xml)
{
	struct refusal refusal = { 0 };
	struct definition *definition = definition_parse(xml, strlen(xml), &host, &refusal);

	if (!definition)
		fail_msg("%s\n%s", refusal.err.text, xml);
	return definition;
}

/* The configuration is one that adit takes. */
static void load(struct config *config, const char *xml)
{
	struct definition *definition = parse(xml);
	struct err err;

	assert_ok(config_parse(config, definition->config, strlen(definition->config), &err), &err);
	definition_free(definition);
}

static void refused(const char *xml, enum fault fault, const char *beginning)
{
	struct refusal refusal = { 0 };
	struct definition *definition = definition_parse(xml, strlen(xml), &host, &refusal);

	if (definition)
		fail_msg("taken: %s", xml);
	if (refusal.fault != fault || strncmp(refusal.err.text, beginning, strlen(beginning)) != 0)
		fail_msg("%d, not %d: \"%s\" does not begin with \"%s\"", refusal.fault, fault,
			 refusal.err.text, beginning);
}

static void unsupported(const char *xml, const char *path)
{
	refused(xml, FAULT_CONFIG_UNSUPPORTED, path);
}

static void a_small_domain_is_a_small_configuration(void **state)
{
	struct definition *definition = parse(DOMAIN(""));
	struct config config;

	assert_string_equal(definition->name, "one");
	assert_int_equal(definition->memory_kib, 131072);
	assert_int_equal(definition->current_kib, 131072);
	assert_int_equal(definition->vcpus, 1);
	assert_null(definition->title);
	definition_free(definition);
	load(&config, DOMAIN(""));
	assert_string_equal(config.payload.kernel, "/boot/vmlinux");
	assert_true(config.memory.size == 128ull << 20);
	assert_int_equal(config.serial.mode, SERIAL_NULL);
	config_free(&config);
}

static const char everything[] =
	"<domain type='kvm' id='7' xmlns:o='http://example.org/o'>\n"
	"  <name>a &lt;b&gt; \xc3\xa4</name>\n"
	"  <title>One</title><description>two\nlines</description>\n"
	"  <metadata><o:app  x='1'> mixed <o:b/> text </o:app><o:c xmlns:o='urn:c'>\n<o:d/>\n</o:c>"
	"  <a:machine xmlns:a='" DEFINITION_NS "'>"
	"    <a:adi id='dsa0' type='dsa' engines='2'><a:wq size='8'/><a:wq mode='shared' size='8'/>"
	"    <a:pasid allow='yes' width='16'/></a:adi>"
	"    <a:space id='w' offset='32M' size='16M' rights='r'/>"
	"    <a:pasid guest='5' adi='dsa0' space='w'/><a:pasid guest='none' wq='0' adi='dsa0'/>"
	"    <a:hostdev alias='ua-nic' coherency='deny' unsafe_stale_reads='yes'/>"
	"  </a:machine></metadata>\n"
	"  <memory unit='GiB'>1</memory><currentMemory unit='MiB'>1024</currentMemory>\n"
	"  <memoryBacking><hugepages><page size='2' unit='M'/></hugepages><source type='memfd'/>"
	"<access mode='shared'/><allocation mode='immediate'/></memoryBacking>\n"
	"  <vcpu placement='static'>3</vcpu>\n"
	"  <os><type arch='x86_64' machine='microvm'>hvm</type><kernel>/k</kernel>"
	"<initrd>/i</initrd><cmdline>console=ttyS0</cmdline></os>\n"
	"  <features><acpi/><apic/></features><cpu mode='host-passthrough'/><clock offset='utc'/>\n"
	"  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot>\n"
	"  <on_crash>destroy</on_crash><!-- a comment --><?pi?>\n"
	"  <devices><emulator>/usr/bin/adit</emulator>\n"
	"    <controller type='pci' index='0' model='pcie-root'/>\n"
	"    <disk type='file' device='disk'><driver name='adit' type='raw' cache='none'/>"
	"<source file='/d/a.img'/><target dev='vda' bus='virtio'/><readonly/><serial>A1</serial>"
	"<alias name='ua-a'/></disk>\n"
	"    <disk type='block'><driver type='raw'/><source dev='/dev/sdz'/>"
	"<target dev='vdb' bus='virtio'/></disk>\n"
	"    <interface type='ethernet'><target dev='tap0' managed='no'/><model type='virtio'/>"
	"<mtu size='9000'/></interface>\n"
	"    <serial type='pty'><target type='isa-serial' port='0'><model name='isa-serial'/>"
	"</target></serial><console type='pty'><target type='serial' port='0'/></console>\n"
	"    <channel type='unix'><source mode='bind' path='/run/agent'/>"
	"<target type='virtio' name='org.agent'/></channel>\n"
	"    <vsock model='virtio'><cid auto='no' address='9'/></vsock>\n"
	"    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>\n"
	"    <memballoon model='none'/>\n"
	"    <hostdev mode='subsystem' type='pci' managed='yes'><driver name='vfio' iommufd='yes'/>"
	"<source><address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/></source>"
	"<rom bar='off'/><alias name='ua-nic'/></hostdev>\n"
	"    <hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>"
	"<address uuid='C2177883-F1BB-47F0-914D-32A22E3A8804'/></source></hostdev>\n"
	"  </devices>\n"
	"</domain>";

static void everything_becomes_configuration(void **state)
{
	struct config config;

	load(&config, everything);
	assert_int_equal(config.cpus.boot_vcpus, 3);
	assert_true(config.memory.hugepage_size == 2ull << 20 && config.memory.prefault);
	assert_string_equal(config.payload.initramfs, "/i");
	assert_string_equal(config.payload.cmdline, "console=ttyS0");
	assert_int_equal(config.n_disks, 2);
	assert_string_equal(config.disks[0].id, "ua-a");
	assert_string_equal(config.disks[0].serial, "A1");
	assert_true(config.disks[0].readonly && config.disks[0].direct && config.disks[0].raw);
	assert_string_equal(config.disks[1].path, "/dev/sdz");
	assert_int_equal(config.n_net, 1);
	assert_true(config.net[0].has_mac && config.net[0].mtu == 9000);
	assert_int_equal(config.serial.mode, SERIAL_PTY);
	assert_int_equal(config.console.n_ports, 1);
	assert_int_equal(config.vsock.cid, 9);
	assert_true(config.rng.present && !config.balloon.present);
	assert_int_equal(config.n_devices, 2);
	assert_string_equal(config.devices[0].path, "0000:3b:00.1");
	assert_true(config.devices[0].managed);
	assert_int_equal(config.devices[0].coherency, COHERENCY_DENY);
	assert_string_equal(config.devices[1].path, "c2177883-f1bb-47f0-914d-32a22e3a8804");
	assert_int_equal(config.iommu.provider, PROVIDER_IOMMUFD);
	assert_int_equal(config.n_adis, 1);
	assert_int_equal(config.adis[0].n_wqs, 2);
	assert_true(config.adis[0].pasid_allow && config.adis[0].pasid_width == 16);
	assert_int_equal(config.n_spaces, 1);
	assert_int_equal(config.n_pasids, 2);
	config_free(&config);
}

static void what_is_dumped_defines_the_same_byte_for_byte(void **state)
{
	struct definition *first = parse(everything), *second = parse(first->xml), *third;
	char *live = definition_xml_with_id(first, 12);

	assert_string_equal(second->xml, first->xml);
	assert_memory_equal(second->uuid, first->uuid, XDR_UUID);
	assert_string_equal(first->name, "a <b> \xc3\xa4");
	assert_non_null(strstr(first->xml, " mixed <o:b/> text "));
	assert_null(strstr(first->xml, "comment"));
	assert_non_null(live);
	third = parse(live);
	assert_int_equal(third->id, 12);
	assert_string_equal(third->xml, first->xml);
	assert_string_equal(third->config, second->config);
	free(live);
	definition_free(first);
	definition_free(second);
	definition_free(third);
}

static void ours_may_stand_at_the_end_of_the_domain(void **state)
{
	struct config config;

	load(&config, ADIT("<adit:debug-exit/><adit:adi id='d' type='dsa'><adit:wq/></adit:adi>"));
	assert_true(config.debug_exit && config.n_adis == 1);
	config_free(&config);
	unsupported(DOMAIN("<metadata><a:machine xmlns:a='" DEFINITION_NS "'/></metadata>"
			   "<a:machine xmlns:a='" DEFINITION_NS "'/>"),
		    "/domain/adit:machine: is there twice");
}

static void current_memory_is_the_balloons(void **state)
{
	struct config config;

	load(&config, DOMAIN("<currentMemory>65536</currentMemory>"
			     "<devices><memballoon model='virtio' autodeflate='on'/></devices>"));
	assert_true(config.balloon.present && config.balloon.deflate_on_oom);
	assert_true(config.balloon.size == 64ull << 20);
	config_free(&config);
	unsupported(DOMAIN("<currentMemory>65536</currentMemory>"), "/domain/currentMemory: ");
}

static void units_are_libvirts(void **state)
{
	static const struct {
		const char *unit;
		uint64_t kib;
	} units[] = {
		{ "KiB", 4096000 },	 { "k", 4096000 },
		{ "KB", 4000000 },	 { "M", 4096000ull << 10 },
		{ "b", 4000 },		 { "bytes", 4000 },
		{ "MB", 4000000000ull }, { "mib", 4096000ull << 10 },
	};
	char xml[512];

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		struct definition *definition;

		snprintf(xml, sizeof(xml),
			 "<domain type='kvm'><name>u</name><memory unit='%s'>4096000</memory>"
			 "<os><type>hvm</type><kernel>/k</kernel></os></domain>",
			 units[i].unit);
		definition = parse(xml);
		assert_true(definition->memory_kib == units[i].kib);
		definition_free(definition);
	}
}

static void what_adit_cannot_do_is_refused_by_its_path(void **state)
{
	unsupported(DOMAIN("<sysinfo/>"), "/domain/sysinfo: is not supported");
	unsupported(DOMAIN("<o:x xmlns:o='urn:o'/>"), "/domain/x: is not supported");
	unsupported(DEVICES("<video/>"), "/domain/devices/video: ");
	unsupported(DEVICES("<rng model='virtio'><backend model='egd'/></rng>"),
		    "/domain/devices/rng/backend/@model: \"egd\" is not supported, it must be "
		    "random");
	unsupported(DEVICES("<disk type='network'/>"), "/domain/devices/disk/@type: ");
	unsupported(DEVICES("<disk type='file'><driver type='raw'/><source file='/a'/>"
			    "<target dev='a' bus='virtio'/></disk>"
			    "<disk type='file'><driver type='qcow2'/></disk>"),
		    "/domain/devices/disk[2]/driver/@type: \"qcow2\"");
	unsupported(DEVICES("<disk type='file'><source file='/a'/></disk>"),
		    "/domain/devices/disk: <driver type='raw'/> is missing");
	unsupported(DEVICES("<disk type='file'><source file='a'/></disk>"),
		    "/domain/devices/disk/source/@file: must be an absolute path");
	unsupported(DEVICES("<emulator>/bin/sh</emulator>"), "/domain/devices/emulator: only ");
	unsupported(DEVICES("<interface type='network'/>"), "/domain/devices/interface/@type: ");
	unsupported(DEVICES("<vsock><cid auto='yes'/></vsock>"),
		    "/domain/devices/vsock/cid/@auto: ");
	unsupported(DEVICES("<hostdev mode='subsystem' type='usb'/>"),
		    "/domain/devices/hostdev/@type: ");
	unsupported(DEVICES("<hostdev mode='subsystem' type='pci'><source><address bus='256' "
			    "slot='0' function='0'/></source></hostdev>"),
		    "/domain/devices/hostdev/source/address/@bus: ");
	unsupported(DOMAIN("<vcpu>256</vcpu>"), "/domain/vcpu: ");
	unsupported(DOMAIN("<vcpu cpuset='0'>1</vcpu>"), "/domain/vcpu/@cpuset: ");
	unsupported(DOMAIN("<name>two</name>"), "/domain/name[2]: is there twice");
	unsupported(DOMAIN("<features>text</features>"), "/domain/features: ");
	unsupported(DOMAIN("<title><b/></title>"), "/domain/title: must hold text only");
	unsupported(ADIT("<adit:adi id='a'/>"), "/domain/adit:machine/adit:adi/@type: is missing");
	unsupported(ADIT("<adit:gpu/>"), "/domain/adit:machine/adit:gpu: ");
	unsupported(ADIT("<adit:hostdev alias='ua-no'/>"), "adit:machine/adit:hostdev[1]/@alias: ");
	unsupported("<domain type='qemu'/>", "/domain/@type: ");
}

static void a_bridge_has_a_tap_of_the_daemons(void **state)
{
	struct definition *definition = parse(DEVICES(
		"<interface type='bridge'><mac address='52:54:00:00:00:0B'/><source bridge='br0'/>"
		"</interface>"));
	struct config config;
	struct err err;

	assert_non_null(strstr(definition->xml, "<target dev=\"at52540000000b\"/>"));
	assert_non_null(strstr(definition->bridges, "br0"));
	assert_ok(config_parse(&config, definition->config, strlen(definition->config), &err),
		  &err);
	assert_string_equal(config.net[0].tap, "at52540000000b");
	config_free(&config);
	definition_free(definition);
	unsupported(DEVICES("<interface type='bridge'/>"), "/domain/devices/interface: <source ");
	unsupported(DEVICES("<interface type='bridge'><source bridge='a/b'/></interface>"),
		    "/domain/devices/interface: <source ");
	unsupported(DEVICES("<interface type='bridge'><source bridge='br0'/><target dev='tap0'/>"
			    "</interface>"),
		    "/domain/devices/interface: <target> must be at5254");
	unsupported(DEVICES("<interface type='ethernet'><target dev='tap0'/></interface>"),
		    "/domain/devices/interface: <target dev='TAP' managed='no'/> is missing");
	unsupported(DEVICES("<interface type='ethernet'><source bridge='br0'/>"
			    "<target dev='tap0' managed='no'/></interface>"),
		    "/domain/devices/interface: <source> goes with type bridge");
}

static void names_are_no_paths(void **state)
{
	unsupported("<domain type='kvm'><name>a/b</name></domain>", "/domain/name: ");
	unsupported("<domain type='kvm'><name></name></domain>", "/domain/name: ");
	unsupported("<domain type='kvm'><name>a\nb</name></domain>", "/domain/name: ");
	unsupported("<domain type='kvm'><uuid>../../../../../../../etc</uuid></domain>",
		    "/domain/uuid: ");
}

static void xml_that_is_none_is_an_xml_error(void **state)
{
	refused("", FAULT_XML, "(domain_definition)");
	refused("<domain", FAULT_XML, "(domain_definition):1: ");
	refused("<network/>", FAULT_XML, "the root element");
	refused("<domain type='kvm'/>", FAULT_XML, "/domain/name: is missing");
}

static void document_types_and_entities_are_refused(void **state)
{
	refused("<!DOCTYPE domain><domain type='kvm'/>", FAULT_XML,
		"(domain_definition): a document type");
	refused("<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain>&a;</domain>",
		FAULT_XML, "(domain_definition): a document type");
	refused(DOMAIN("<title>&unknown;</title>"), FAULT_XML, "(domain_definition):");
}

static void depth_and_length_are_bounded(void **state)
{
	char *xml = malloc(DEFINITION_MAX_XML + 2), deep[1024] = "";
	struct refusal refusal = { 0 };

	for (unsigned int i = 0; i < 40; i++)
		strcat(deep, "<a>");
	for (unsigned int i = 0; i < 40; i++)
		strcat(deep, "</a>");
	refused(deep, FAULT_XML, "elements are nested");
	assert_non_null(xml);
	memset(xml, ' ', DEFINITION_MAX_XML + 1);
	xml[DEFINITION_MAX_XML + 1] = 0;
	assert_null(definition_parse(xml, DEFINITION_MAX_XML + 1, &host, &refusal));
	assert_int_equal(refusal.fault, FAULT_XML);
	free(xml);
}

#define AT(slot) "<address type='pci' slot='" slot "'/>"
#define PCI(slot) \
	"<address type=\"pci\" domain=\"0x0000\" bus=\"0x00\" slot=\"" slot "\" function=\"0x0\"/>"
#define DISK(dev, more)                                                                    \
	"<disk type='file'><driver type='raw'/><source file='/" dev "'/><target dev='" dev \
	"'/>" more "</disk>"

/* Where adit would have put them by itself. */
static void places_that_nobody_gives_are_adits_own(void **state)
{
	struct definition *one = parse(DOMAIN("<devices>" DISK("vda", "") DISK(
		"vdb",
		"") "<rng model='virtio'><backend "
		    "model='random'/></rng><console type='pty'><target type='virtio'/></console>"
		    "<hostdev mode='subsystem' type='pci'><source><address bus='3' slot='0' "
		    "function='0'/></source></hostdev></devices><adit:machine xmlns:adit='" DEFINITION_NS
		    "'><adit:adi id='d' type='dsa'><adit:wq size='8'/></adit:adi></adit:machine>"));
	struct definition *again = parse(one->xml);
	struct config config;
	struct err err;

	assert_string_equal(one->xml, again->xml);
	assert_string_equal(one->config, again->config);
	assert_ok(config_parse(&config, one->config, strlen(one->config), &err), &err);
	assert_int_equal(config.adis[0].slot, 1);
	assert_int_equal(config.devices[0].slot, 2);
	assert_int_equal(config.disks[0].slot, 3);
	assert_int_equal(config.disks[1].slot, 4);
	assert_int_equal(config.rng.slot, 5);
	assert_int_equal(config.console.slot, 6);
	assert_non_null(strstr(one->xml, "<controller type=\"virtio-serial\" index=\"0\">"));
	config_free(&config);
	definition_free(one);
	definition_free(again);
}

static void places_that_are_given_are_kept(void **state)
{
	struct definition *one = parse(DEVICES(DISK("vda", "") DISK("vdb", AT("1"))
						       DISK("vdc", "<address type='pci'/>")
							       DISK("vdd", AT("0x1f"))));
	struct config config;
	struct err err;

	assert_ok(config_parse(&config, one->config, strlen(one->config), &err), &err);
	assert_int_equal(config.disks[0].slot, 2);
	assert_int_equal(config.disks[1].slot, 1);
	assert_int_equal(config.disks[2].slot, 3);
	assert_int_equal(config.disks[3].slot, 31);
	assert_non_null(strstr(one->xml, PCI("0x1f")));
	config_free(&config);
	definition_free(one);
}

static void places_that_are_none_are_refused(void **state)
{
	unsupported(DEVICES(DISK("vda", AT("0"))), "/domain/devices/disk/address/@slot: must be 1");
	unsupported(DEVICES(DISK("vda", AT("32"))), "/domain/devices/disk/address/@slot: ");
	unsupported(DEVICES(DISK("vda", "<address type='pci' bus='1' slot='1'/>")),
		    "/domain/devices/disk/address/@bus: must be 0, for a guest has one bus");
	unsupported(DEVICES(DISK("vda", "<address type='pci' slot='1' function='2'/>")),
		    "/domain/devices/disk/address/@function: must be 0");
	unsupported(DEVICES(DISK("vda", "<address type='drive'/>")),
		    "/domain/devices/disk/address/@type: ");
	unsupported(DEVICES(DISK("vda", AT("3")) DISK("vdb", AT("3"))),
		    "/domain/devices: slot 3 of the bus is given to a second device, <disk>");
	unsupported(ADIT("<adit:adi id='d' type='dsa' slot='0'/>"),
		    "adit:machine/adit:adi/@slot: ");
	unsupported(DEVICES("<controller type='pci' model='pcie-root'>" AT("1") "</controller>"),
		    "/domain/devices/controller/address: is not supported");
	unsupported(DEVICES("<controller type='virtio-serial'/><controller type='virtio-serial'/>"),
		    "/domain/devices/controller[2]: is there twice");
}

static void there_are_31_places(void **state)
{
	char xml[8192] = "", *at = xml;

	for (unsigned int i = 0; i < 32; i++)
		at += sprintf(at,
			      "<hostdev mode='subsystem' type='pci'><source><address bus='%u' "
			      "slot='0' function='0'/></source></hostdev>",
			      i);
	at = NULL;
	assert_true(asprintf(&at, DEVICES("%s"), xml) > 0);
	unsupported(at, "/domain/devices/hostdev[32]: is one more than the 31 devices");
	free(at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_small_domain_is_a_small_configuration),
		cmocka_unit_test(everything_becomes_configuration),
		cmocka_unit_test(what_is_dumped_defines_the_same_byte_for_byte),
		cmocka_unit_test(ours_may_stand_at_the_end_of_the_domain),
		cmocka_unit_test(current_memory_is_the_balloons),
		cmocka_unit_test(units_are_libvirts),
		cmocka_unit_test(what_adit_cannot_do_is_refused_by_its_path),
		cmocka_unit_test(a_bridge_has_a_tap_of_the_daemons),
		cmocka_unit_test(names_are_no_paths),
		cmocka_unit_test(xml_that_is_none_is_an_xml_error),
		cmocka_unit_test(document_types_and_entities_are_refused),
		cmocka_unit_test(depth_and_length_are_bounded),
		cmocka_unit_test(places_that_nobody_gives_are_adits_own),
		cmocka_unit_test(places_that_are_given_are_kept),
		cmocka_unit_test(places_that_are_none_are_refused),
		cmocka_unit_test(there_are_31_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
