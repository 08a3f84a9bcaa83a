/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that comes and goes under a payload, with and without an ADI that does DMA into it. */
#include "tests/guest/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/virtio/mem.h"

#define REGION (16 * MIB)
#define BLOCK  (2 * MIB)
#define FIRST  (2 * BLOCK)

/* The payload gets one block, and all of them when it asks for more. */
static void run(const char *words, const char *members, unsigned int least, bool pinned)
{
	struct mem_stats stats;
	struct guest guest;
	struct mem *mem;
	struct err err;

	assert_ok(guest_create(&guest, "hotmem", words, members), &guest.err);
	mem = machine_mem(guest.machine);
	assert_non_null(mem);
	guest_start(&guest);
	guest_expect(&guest, "more?");
	mem_read_stats(mem, &stats);
	assert_int_equal(stats.wanted, FIRST);
	assert_int_equal(stats.plugged, pinned ? BLOCK : 0);
	assert_int_equal(stats.most, REGION);
	assert_int_equal(mem_resize(mem, REGION + BLOCK, &err), -EINVAL);
	assert_int_equal(mem_resize(mem, BLOCK + 4096, &err), -EINVAL);
	assert_int_equal(mem_resize(mem, 0, &err), pinned ? -EBUSY : 0);
	if (pinned)
		assert_non_null(strstr(err.text, "mapped for DMA by ADIs"));
	assert_ok(mem_resize(mem, REGION, &err), &err);
	guest_wait(&guest);
	guest_assert_passed(&guest, least);
	assert_int_equal(guest.end, MACHINE_OFF);
	mem_read_stats(mem, &stats);
	assert_int_equal(stats.plugged, REGION);
	guest_destroy(&guest);
}

static void blocks_come_and_go_as_the_guest_asks(void **state)
{
	static const char *const memories[] = {
		"\"shared\": true",
		"\"shared\": false",
		"\"prefault\": true",
	};

	for (size_t i = 0; i < ARRAY_SIZE(memories); i++) {
		char members[200];

		snprintf(
			members, sizeof(members),
			", \"memory\": {\"hotplug_size\": \"16M\", \"hotplugged_size\": \"4M\", %s}",
			memories[i]);
		run("", members, 38, false);
	}
}

static void what_an_adi_can_reach_stays_plugged(void **state)
{
	run("pinned",
	    ", \"memory\": {\"hotplug_size\": \"16M\", \"hotplugged_size\": \"4M\"}, \"adis\": "
	    "[{\"id\": \"dsa0\", \"type\": \"dsa\", \"engines\": 1, \"wqs\": [{\"mode\": "
	    "\"dedicated\", \"size\": 16}]}]",
	    37, true);
}

static void a_machine_without_any_has_no_such_device(void **state)
{
	struct guest guest;

	assert_ok(guest_create(&guest, "hello", "", ""), &guest.err);
	assert_null(machine_mem(guest.machine));
	guest_destroy(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_come_and_go_as_the_guest_asks),
		cmocka_unit_test(what_an_adi_can_reach_stays_plugged),
		cmocka_unit_test(a_machine_without_any_has_no_such_device),
	};

	return cmocka_run_group_tests_name("hotmem", tests, NULL, NULL);
}
