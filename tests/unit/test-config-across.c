/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a configuration that must go together, in which words they are refused where they do not.
 */
#include "tests/unit/test-config.h"

/* --- across keys ----------------------------------------------------------------------------- */

static void keys_that_do_not_go_together_are_refused(void **state)
{
	static const struct refusal rows[] = {
		{ "{\"payload\": {\"kernel\": \"k\", \"flat\": \"f\"}}",
		  "/payload/flat: does not go with \"kernel\"; remove one of them" },
		{ "{\"payload\": {\"kernel\": \"k\", \"kernel_fd\": 4}}",
		  "/payload/kernel_fd: does not go with \"kernel\"; remove one of them" },
		{ "{\"payload\": {\"kernel_fd\": 3, \"flat_fd\": 4}}",
		  "/payload/flat: does not go with \"kernel\"; remove one of them" },
		{ "{\"payload\": {\"flat_fd\": 3, \"initramfs_fd\": 4}}",
		  "/payload/initramfs: goes only with \"kernel\"; remove it" },
		{ "{\"payload\": {\"kernel\": \"k\", \"address\": \"2M\"}}",
		  "/payload/address: goes only with \"flat\"; remove it" },
		{ "{\"payload\": {\"flat\": \"f\", \"initramfs\": \"i\"}}",
		  "/payload/initramfs: goes only with \"kernel\"; remove it" },
		{ "{\"payload\": {\"flat\": \"f\", \"address\": \"128M\"}}",
		  "/payload/address: 0x8000000 is past guest memory, which is 128M; lower it or "
		  "raise /memory/size" },
		{ "{\"payload\": {\"flat\": \"f\"}, \"memory\": {\"size\": \"1M\"}}",
		  "/payload/address: 0x200000 is past guest memory, which is 1M; lower it or raise "
		  "/memory/size" },
		{ "{" KERNEL ", \"memory\": {\"hugepage_size\": \"2M\"}}",
		  "/memory/hugepage_size: goes only with \"hugepages\": true; set that or remove "
		  "this" },
		{ "{" KERNEL ", \"memory\": {\"hugepages\": true, \"size\": \"129M\"}}",
		  "/memory/size: 129M is no multiple of the huge page size 2M" },
		{ "{" KERNEL ", \"memory\": {\"hugepages\": true, \"hugepage_size\": \"1G\"}}",
		  "/memory/size: 128M is no multiple of the huge page size 1G" },
		{ "{" KERNEL ", \"memory\": {\"hotplugged_size\": \"2M\"}}",
		  "/memory/hotplugged_size: goes only with \"hotplug_size\"; set that" },
		{ "{" KERNEL ", \"memory\": {\"hotplug_size\": \"1026M\"}}",
		  "/memory/hotplug_size: 1026 MiB are not whole blocks of 4 MiB, its size here" },
		{ "{" KERNEL
		  ", \"memory\": {\"hotplug_size\": \"2G\", \"hotplugged_size\": \"2M\"}}",
		  "/memory/hotplugged_size: 2 MiB are not whole blocks of 4 MiB up to "
		  "\"hotplug_size\"" },
		{ "{" KERNEL
		  ", \"memory\": {\"hotplug_size\": \"4M\", \"hotplugged_size\": \"6M\"}}",
		  "/memory/hotplugged_size: 6 MiB are not whole blocks of 2 MiB up to "
		  "\"hotplug_size\"" },
		{ "{" KERNEL ", \"memory\": {\"hotplug_size\": \"4M\"}, \"devices\": "
		  "[{\"id\": \"d\", \"socket\": \"s\"}]}",
		  "/memory/hotplug_size: does not go with \"socket\" in /devices: the server is "
		  "told of guest memory once, at its start" },
		{ "{" KERNEL ", \"memory\": {\"hotplug_size\": \"4M\"}, \"adis\": [{\"id\": "
		  "\"d\", \"type\": \"dsa\", \"backend\": \"idxd\", \"node\": "
		  "\"/dev/dsa/wq0.0\", \"wqs\": [{}]}]}",
		  "/memory/hotplug_size: does not go with /adis/0: its helper is given guest memory "
		  "once, at its start" },
		{ "{" KERNEL ", \"serial\": {\"file\": \"f\"}}",
		  "/serial/file: goes only with \"mode\": \"File\"; remove it or set that" },
		{ "{" KERNEL
		  ", \"serial\": {\"mode\": \"File\", \"file\": \"f\", \"link\": \"l\"}}",
		  "/serial/link: goes only with \"mode\": \"Pty\"; remove it or set that" },
		{ "{" KERNEL ", \"serial\": {\"mode\": \"Null\", \"socket\": \"s\"}}",
		  "/serial/socket: goes only with \"mode\": \"Socket\"; remove it or set that" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void adis_are_checked_as_a_whole(void **state)
{
	static const struct refusal rows[] = {
		{ "{" KERNEL ", \"adis\": [" DSA ", " DSA "]}",
		  "/adis/1/id: \"dsa0\" is the name of /adis/0 already; choose another" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"wqs\": [{\"size\": "
		  "128}, {\"size\": 1}]}]}",
		  "/adis/0/wqs: the sizes sum to 129; the queues of an ADI share 128 entries" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void windows_stay_inside_guest_memory(void **state)
{
	static const struct refusal rows[] = {
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": \"120M\", \"size\": "
		  "\"16M\"}]}",
		  "/spaces/0/size: the window 0x7800000 to 0x8800000 leaves guest memory, which "
		  "ends at 0x8000000" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": \"128M\", \"size\": "
		  "\"4K\"}]}",
		  "/spaces/0/offset: the window 0x8000000 to 0x8001000 leaves guest memory, which "
		  "ends at 0x8000000" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": \"16T\", \"size\": "
		  "\"16T\"}]}",
		  "/spaces/0/offset: the window 0x100000000000 to 0x200000000000 leaves guest "
		  "memory, which ends at 0x8000000" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": 1, \"size\": \"4K\"}]}",
		  "/spaces/0/offset: must be a size from 0 to 32T in steps of 4K, not 1" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": \"0xfffffffffffff000\", "
		  "\"size\": \"8K\"}]}",
		  "/spaces/0/offset: must be a size from 0 to 32T in steps of 4K, not "
		  "\"0xfffffffffffff000\"" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"guest\", \"offset\": 0, \"size\": "
		  "\"4K\"}]}",
		  "/spaces/0/id: \"guest\" means all guest memory; choose another" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": 0, \"size\": \"4K\"}, "
		  "{\"id\": \"w\", \"offset\": 0, \"size\": \"4K\"}]}",
		  "/spaces/1/id: \"w\" is the name of /spaces/0 already; choose another" },
	};
	struct config config;

	static const struct refusal holes[] = {
		{ "{" KERNEL ", \"memory\": {\"size\": \"4G\"}, \"spaces\": [{\"id\": \"w\", "
		  "\"offset\": \"3G\", \"size\": \"4K\"}]}",
		  "/spaces/0/offset: the window 0xc0000000 to 0xc0001000 overlaps 0xc0000000, where "
		  "the BARs of devices begin; guest memory goes on at 0x100000000" },
		{ "{" KERNEL ", \"memory\": {\"size\": \"4G\"}, \"spaces\": [{\"id\": \"w\", "
		  "\"offset\": 0, \"size\": \"5G\"}]}",
		  "/spaces/0/size: the window 0x0 to 0x140000000 overlaps 0xc0000000, where the "
		  "BARs of devices begin; guest memory goes on at 0x100000000" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
	assert_refused(holes, ARRAY_SIZE(holes));
	assert_taken(&config, "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": 0, "
			      "\"size\": \"128M\", \"rights\": \"r\"}]}");
	assert_false(config.spaces[0].write);
	config_free(&config);
	/* Memory past 3 GiB goes on at 4 GiB. */
	assert_taken(&config, "{" KERNEL ", \"memory\": {\"size\": \"4G\"}, \"spaces\": [{\"id\": "
			      "\"w\", \"offset\": \"4G\", \"size\": \"1G\"}]}");
	config_free(&config);
}

static void bindings_need_both_keys_and_what_they_name(void **state)
{
	static const struct refusal rows[] = {
		{ "{" KERNEL ", \"adis\": [{\"id\": \"d\", \"type\": \"dsa\", \"wqs\": [{}]}], "
		  "\"pasids\": [{\"guest\": 1, \"adi\": \"d\"}]}",
		  "/pasids/0/adi: \"d\" may not use PASIDs; a binding is the second key, the first "
		  "is /adis/0/pasid/allow: true" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 1, \"adi\": \"dsa1\"}]}",
		  "/pasids/0/adi: no ADI is called \"dsa1\"; the nearest is \"dsa0\"" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 1, \"adi\": \"engine\"}]}",
		  "/pasids/0/adi: no ADI is called \"engine\"; there is \"dsa0\"" },
		{ "{" KERNEL ", \"pasids\": [{\"guest\": 1, \"adi\": \"dsa0\"}]}",
		  "/pasids/0/adi: no ADI is called \"dsa0\"; there is none" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 1, \"adi\": \"dsa0\", \"space\": "
		  "\"guets\"}]}",
		  "/pasids/0/space: no space is called \"guets\"; the nearest is \"guest\"" },
		{ "{" ADIS ", \"spaces\": [{\"id\": \"window\", \"offset\": 0, \"size\": \"4K\"}], "
		  "\"pasids\": [{\"guest\": 1, \"adi\": \"dsa0\", \"space\": \"x\"}]}",
		  "/pasids/0/space: no space is called \"x\"; there is \"guest\", \"window\"" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void pasid_numbers_are_unique_and_within_the_width(void **state)
{
	static const struct refusal rows[] = {
		{ "{" ADIS ", \"pasids\": [{\"guest\": 5, \"adi\": \"dsa0\"}, {\"guest\": 5, "
		  "\"adi\": \"dsa0\"}]}",
		  "/pasids/1/guest: 5 is bound on \"dsa0\" by /pasids/0 already; remove one" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 5, \"host\": 9, \"adi\": \"dsa0\"}, "
		  "{\"guest\": 6, \"host\": 9, \"adi\": \"dsa0\"}]}",
		  "/pasids/1/host: 9 is given to /pasids/0 already; choose another, or leave it "
		  "out for any free one" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"d\", \"type\": \"dsa\", \"wqs\": [{}], "
		  "\"pasid\": {\"allow\": true, \"width\": 4}}], \"pasids\": [{\"guest\": 15, "
		  "\"adi\": \"d\"}, {\"guest\": 16, \"adi\": \"d\"}]}",
		  "/pasids/1/guest: 16 is past the 4 bits of \"d\", 1 to 15; choose a smaller one "
		  "or raise /adis/0/pasid/width" },
	};
	struct config config;

	assert_refused(rows, ARRAY_SIZE(rows));
	/* One guest number on two ADIs is two bindings. */
	assert_taken(&config, "{" KERNEL ", \"adis\": [" DSA ", {\"id\": \"b\", \"type\": \"dsa\", "
			      "\"wqs\": [{}], \"pasid\": {\"allow\": true}}], \"pasids\": "
			      "[{\"guest\": 5, \"adi\": \"dsa0\"}, {\"guest\": 5, \"adi\": "
			      "\"b\"}]}");
	assert_int_equal(config.n_pasids, 2);
	config_free(&config);
}

static void default_bindings_are_one_a_queue(void **state)
{
	static const struct refusal rows[] = {
		{ "{" ADIS ", \"pasids\": [{\"guest\": \"none\", \"wq\": 1, \"adi\": \"dsa0\"}]}",
		  "/pasids/0/wq: \"dsa0\" has no work queue 1; it has 0 to 0" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": \"none\", \"wq\": 16, \"adi\": \"dsa0\"}]}",
		  "/pasids/0/wq: must be an integer from 0 to 15 or \"all\", not 16" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 5, \"wq\": 0, \"adi\": \"dsa0\"}]}",
		  "/pasids/0/wq: goes only with \"guest\": \"none\"; a guest PASID is bound for all "
		  "queues of the ADI" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": \"none\", \"adi\": \"dsa0\"}, {\"guest\": "
		  "\"none\", \"wq\": \"all\", \"adi\": \"dsa0\"}]}",
		  "/pasids/1/wq: that of \"dsa0\" has a default binding by /pasids/0 already; "
		  "remove one" },
	};
	struct config config;

	assert_refused(rows, ARRAY_SIZE(rows));
	/* It needs no key; the queue's own and the one for all are two. */
	assert_taken(&config,
		     "{" KERNEL ", \"adis\": [{\"id\": \"d\", \"type\": \"dsa\", \"wqs\": "
		     "[{}]}], \"pasids\": [{\"guest\": \"none\", \"adi\": \"d\", \"wq\": 0}, "
		     "{\"guest\": \"none\", \"adi\": \"d\"}]}");
	assert_int_equal(config.pasids[0].guest, 0);
	assert_int_equal(config.pasids[0].wq, 0);
	assert_int_equal(config.pasids[1].wq, CONFIG_ALL_WQS);
	config_free(&config);
}

static void queues_are_checked_by_their_mode(void **state)
{
	static const struct refusal rows[] = {
		{ "{" KERNEL
		  ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"backend\": \"idxd\", "
		  "\"wqs\": [{}]}]}",
		  "/adis/0/node: is missing; \"backend\": \"idxd\" needs the host work queue, "
		  "/dev/dsa/wqN.M" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"node\": \"x\", "
		  "\"wqs\": [{}]}]}",
		  "/adis/0/node: goes only with \"backend\": \"idxd\"; remove it or set that" },
		{ "{" KERNEL ", \"memory\": {\"shared\": false}, \"adis\": [{\"id\": \"a\", "
		  "\"type\": \"dsa\", \"backend\": \"idxd\", \"node\": \"x\", \"wqs\": [{}]}]}",
		  "/memory/shared: must be true for \"backend\": \"idxd\" of /adis/0, whose helper "
		  "maps guest memory" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"wqs\": "
		  "[{\"threshold\": 4}]}]}",
		  "/adis/0/wqs/0/threshold: goes only with \"mode\": \"shared\"; remove it or set "
		  "that" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"wqs\": "
		  "[{\"mode\": \"shared\", \"size\": 8, \"threshold\": 9}]}]}",
		  "/adis/0/wqs/0/threshold: 9 is past the queue's 8 entries; lower it or raise "
		  "size" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"engines\": 2, "
		  "\"wqs\": [{\"group\": 1}]}]}",
		  "/adis/0/wqs/0/group: goes only with \"fixed\": true; elsewhere the guest makes "
		  "the groups" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"fixed\": true, "
		  "\"wqs\": [{\"group\": 1}]}]}",
		  "/adis/0/wqs/0/group: 1 needs an engine of its own; with 1 engines there are "
		  "groups 0 to 0" },
	};
	struct config config;

	assert_refused(rows, ARRAY_SIZE(rows));
	assert_taken(&config,
		     "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"fixed\": "
		     "true, \"engines\": 2, \"interrupt_handles\": true, \"event_log\": true, "
		     "\"wqs\": [{\"mode\": \"shared\", \"threshold\": 4, \"group\": 1}, {}]}]}");
	assert_true(config.adis[0].fixed);
	assert_true(config.adis[0].interrupt_handles);
	assert_true(config.adis[0].event_log);
	assert_true(config.adis[0].wqs[0].shared);
	assert_int_equal(config.adis[0].wqs[0].threshold, 4);
	assert_int_equal(config.adis[0].wqs[0].group, 1);
	assert_false(config.adis[0].wqs[1].shared);
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_that_do_not_go_together_are_refused),
		cmocka_unit_test(adis_are_checked_as_a_whole),
		cmocka_unit_test(windows_stay_inside_guest_memory),
		cmocka_unit_test(bindings_need_both_keys_and_what_they_name),
		cmocka_unit_test(pasid_numbers_are_unique_and_within_the_width),
		cmocka_unit_test(default_bindings_are_one_a_queue),
		cmocka_unit_test(queues_are_checked_by_their_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
