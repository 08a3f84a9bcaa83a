/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio devices in the configuration: what goes together, names, and what arrives. */
#include <errno.h>
#include <string.h>

#include "tests/unit/check.h"
#include "util/bits.h"
#include "vmm/config.h"

#define KERNEL "\"payload\": {\"kernel\": \"k\"}, "

static void assert_refused(const char *members, const char *sentence)
{
	struct config config;
	struct err err = { 0 };
	char text[1024];

	snprintf(text, sizeof(text), "{" KERNEL "%s}", members);
	assert_int_equal(config_parse(&config, text, strlen(text), &err), -EINVAL);
	if (!strstr(err.text, sentence))
		fail_msg("'%s' is not in '%s'", sentence, err.text);
}

static void take(struct config *config, const char *members)
{
	struct err err = { 0 };
	char text[1024];

	snprintf(text, sizeof(text), "{" KERNEL "%s}", members);
	assert_ok(config_parse(config, text, strlen(text), &err), &err);
}

static void what_does_not_go_together_is_refused(void **state)
{
	static const struct {
		const char *members, *sentence;
	} rows[] = {
		{ "\"disks\": [{}]", "/disks/0: needs \"path\" or \"fd\"" },
		{ "\"disks\": [{\"path\": \"a\", \"fd\": 3}]",
		  "/disks/0: needs \"path\" or \"fd\"" },
		{ "\"disks\": [{\"path\": \"a\", \"queue_size\": 100}]",
		  "/disks/0/queue_size: 100 is no power of two" },
		{ "\"disks\": [{\"path\": \"a\", \"image_type\": \"qcow2\"}]",
		  "/disks/0/image_type: \"qcow2\" is not in this version" },
		{ "\"disks\": [{\"path\": \"a\"}, {\"path\": \"b\", \"id\": \"disk0\"}]",
		  "/disks/1/id: \"disk0\" is the name of /disks/0 already" },
		{ "\"disks\": [{\"path\": \"a\", \"id\": \"x\"}], \"net\": [{\"tap\": \"t\", "
		  "\"id\": \"x\"}]",
		  "/net/0/id: \"x\" is the name of /disks/0 already" },
		{ "\"disks\": [{\"path\": \"a\", \"slot\": 0}]", "/disks/0/slot: " },
		{ "\"disks\": [{\"path\": \"a\", \"slot\": 32}]", "/disks/0/slot: " },
		{ "\"disks\": [{\"path\": \"a\", \"slot\": 3}], \"net\": [{\"tap\": \"t\", "
		  "\"slot\": 3}]",
		  "/net/0/slot: 3 is that of /disks/0 (\"disk0\")" },
		{ "\"rng\": {\"slot\": 3}, \"balloon\": {\"slot\": 3}",
		  "/balloon/slot: 3 is that of /rng" },
		{ "\"disks\": [{\"path\": \"a\", \"id\": \"rng\", \"slot\": 3}], \"rng\": {}",
		  "/disks/0/slot: needs a name of its own, and \"rng\" is that of /rng" },
		{ "\"net\": [{}]", "/net/0: needs \"tap\" or \"fd\"" },
		{ "\"net\": [{\"tap\": \"t\", \"fd\": 3}]", "/net/0: needs \"tap\" or \"fd\"" },
		{ "\"net\": [{\"tap\": \"t\", \"num_queues\": 3}]", "/net/0/num_queues: 3" },
		{ "\"net\": [{\"fd\": 3, \"num_queues\": 4}]", "/net/0/num_queues: 4" },
		{ "\"net\": [{\"tap\": \"t\", \"vhost\": true, \"rate_limiter_config\": {\"ops\": "
		  "{\"size\": 1}}}]",
		  "/net/0/vhost: does not go with \"rate_limiter_config\"" },
		{ "\"net\": [{\"tap\": \"t\", \"mac\": \"53:54:00:00:00:01\"}]", "/net/0/mac: " },
		{ "\"net\": [{\"tap\": \"t\", \"mac\": \"52-54-00-00-00-01\"}]", "/net/0/mac: " },
		{ "\"net\": [{\"tap\": \"t\", \"mac\": \"52:54:00:00:00:0g\"}]", "/net/0/mac: " },
		{ "\"console\": {\"mode\": \"Tty\"}",
		  "/console/mode: the serial port has the terminal already" },
		{ "\"console\": {\"mode\": \"File\"}", "/console/file: is missing" },
		{ "\"console\": {\"file\": \"x\"}", "/console/file: goes only with" },
		{ "\"console\": {\"ports\": [{\"name\": \"a\"}, {\"name\": \"a\"}]}",
		  "/console/ports/1/name: \"a\" is the name of /console/ports/0 already" },
		{ "\"console\": {\"ports\": [{\"name\": \"a\", \"mode\": \"Socket\"}]}",
		  "/console/ports/0/socket: is missing" },
		{ "\"console\": {\"ports\": [{\"name\": \"a\", \"mode\": \"Tty\"}]}",
		  "/console/ports/0/mode: " },
		{ "\"vsock\": {\"cid\": 3}", "/vsock/socket: is missing" },
		{ "\"vsock\": {\"socket\": \"s\"}", "/vsock/cid: is missing" },
		{ "\"vsock\": {\"cid\": 2, \"socket\": \"s\"}", "/vsock/cid: must be" },
		{ "\"balloon\": {\"size\": \"128M\"}", "/balloon/size: " },
		{ "\"balloon\": {\"size\": \"4M\"}, \"devices\": [{\"path\": \"0000:00:01.0\"}]",
		  "/balloon/size: does not go with /devices" },
		{ "\"balloon\": {\"free_page_reporting\": true}, \"devices\": [{\"socket\": \"/s\"}]",
		  "/balloon/free_page_reporting: does not go with /devices" },
		{ "\"balloon\": {\"size\": \"4M\"}, \"adis\": [{\"id\": \"d\", \"type\": \"dsa\", "
		  "\"wqs\": [{\"size\": 8}]}]",
		  "/balloon/size: does not go with /adis" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_refused(rows[i].members, rows[i].sentence);
}

static void absent_devices_are_absent(void **state)
{
	struct config config;

	take(&config, "\"cpus\": {}");
	assert_int_equal(config.n_disks + config.n_net, 0);
	assert_false(config.rng.present || config.console.present || config.vsock.present ||
		     config.balloon.present);
	config_free(&config);
}

static void what_is_written_arrives(void **state)
{
	static const uint8_t mac[] = { 0x52, 0x54, 0xab, 0xcd, 0xef, 0x01 };
	struct config config;

	take(&config,
	     "\"disks\": [{\"path\": \"a\"}, {\"path\": \"b\", \"readonly\": true, \"direct\": true, "
	     "\"image_type\": \"raw\", \"serial\": \"s\", \"num_queues\": 4, \"queue_size\": 64, "
	     "\"packed\": false, \"rate_limiter_config\": {\"bandwidth\": {\"size\": \"1M\", "
	     "\"refill_time\": 100}, \"ops\": {\"size\": 7, \"one_time_burst\": 9}}}], "
	     "\"net\": [{\"tap\": \"tap0\", \"mac\": \"52:54:AB:cd:eF:01\", \"mtu\": 9000, "
	     "\"num_queues\": 4, \"offload_tso\": false}], \"rng\": {}, "
	     "\"console\": {\"mode\": \"socket\", \"socket\": \"c\", \"ports\": [{\"name\": \"p\", "
	     "\"mode\": \"pty\", \"link\": \"l\"}]}, "
	     "\"vsock\": {\"cid\": 5, \"socket\": \"v\"}, "
	     "\"balloon\": {\"size\": \"4M\", \"free_page_reporting\": true}");
	assert_string_equal(config.disks[0].id, "disk0");
	assert_false(config.disks[0].readonly || config.disks[0].direct || config.disks[0].raw);
	assert_true(config.disks[0].packed);
	assert_int_equal(config.disks[0].limits.bytes.size, 0);
	assert_true(config.disks[1].readonly && config.disks[1].direct && config.disks[1].raw);
	assert_int_equal(config.disks[1].queues, 4);
	assert_int_equal(config.disks[1].limits.bytes.size, 1 << 20);
	assert_int_equal(config.disks[1].limits.bytes.refill_ms, 100);
	assert_int_equal(config.disks[1].limits.ops.size, 7);
	assert_int_equal(config.disks[1].limits.ops.burst, 9);
	assert_int_equal(config.disks[1].limits.ops.refill_ms, 1000);
	assert_string_equal(config.net[0].id, "net0");
	assert_memory_equal(config.net[0].mac, mac, 6);
	assert_true(config.net[0].has_mac && config.net[0].csum && !config.net[0].tso);
	assert_int_equal(config.net[0].mtu, 9000);
	assert_true(config.rng.present && !config.rng.src);
	assert_string_equal(config.console.sink.path, "c");
	assert_string_equal(config.console.ports[0].sink.path, "l");
	assert_int_equal(config.vsock.cid, 5);
	assert_int_equal(config.balloon.size, 4 << 20);
	assert_true(config.balloon.reporting && !config.balloon.deflate_on_oom);
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_go_together_is_refused),
		cmocka_unit_test(absent_devices_are_absent),
		cmocka_unit_test(what_is_written_arrives),
	};

	return cmocka_run_group_tests_name("config-virtio", tests, NULL, NULL);
}
