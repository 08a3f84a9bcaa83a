/* SPDX-License-Identifier: Apache-2.0 */
/* Memory goes back to the host, then an ADI comes that does DMA: who has what, and who is refused.
 */
#include "tests/guest/harness.h"

#include <errno.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/api/counters.h"
#include "vmm/hotplug.h"
#include "vmm/virtio/balloon.h"
#include "vmm/virtio/mem.h"

#define BLOCK	(2 * MIB)
#define PAGES	16
#define BALLOON (PAGES * 4096)

struct coming {
	struct config config;
	int ret; /* its slot, or -errno */
	struct err err;
};

static void come(struct guest *guest, void *arg)
{
	struct coming *coming = arg;
	const struct hotplug_part part = { .config = &coming->config, .adi = coming->config.adis };

	coming->ret = hotplug_add(machine_hotplug(guest->machine), &part, &coming->err);
}

static void leave(struct guest *guest, void *arg)
{
	struct err err;

	assert_ok(hotplug_ask(machine_hotplug(guest->machine), "dsa0", &err), &err);
}

/* The guest's free memory and one of the newest kind, and nothing that it did not tell. */
static void note_counter(void *arg, const struct counter *counter)
{
	unsigned int *seen = arg;

	if (strncmp(counter->name, "guest_", 6) != 0)
		return;
	assert_string_equal(counter->kind, "balloon");
	if (!strcmp(counter->name, "guest_free_bytes"))
		assert_int_equal(counter->value, 12345);
	else
		assert_string_equal(counter->name, "guest_direct_reclaimed_pages");
	(*seen)++;
}

static void make_adi(struct coming *coming)
{
	static const char text[] = "{\"payload\": {\"flat\": \"x\"}, \"adis\": [{\"id\": \"dsa0\", "
				   "\"type\": \"dsa\", \"wqs\": [{\"size\": 16}]}]}";

	assert_ok(config_parse(&coming->config, text, strlen(text), &coming->err), &coming->err);
}

static void start(struct guest *guest, const char *word, const char *members)
{
	char words[40];

	snprintf(words, sizeof(words), "%s%s", word, host_has_movdir64b() ? "" : " stores");
	assert_ok(guest_create(guest, "hotdma", words, members), &guest->err);
	guest_start(guest);
}

static void an_adi_that_comes_late_has_the_blocks_that_are_plugged(void **state)
{
	struct coming adi;
	struct mem_stats stats;
	struct guest guest;
	struct err err;
	struct mem *mem;

	(void)state;
	make_adi(&adi);
	start(&guest, "plugged",
	      ", \"memory\": {\"hotplug_size\": \"16M\", \"hotplugged_size\": \"4M\"}");
	mem = machine_mem(guest.machine);
	guest_expect(&guest, "less is there");
	mem_read_stats(mem, &stats);
	assert_int_equal(stats.plugged, BLOCK);
	guest_do(&guest, come, &adi);
	assert_in_range(adi.ret, 1, 31);
	guest_expect(&guest, "nothing goes");
	assert_int_equal(mem_resize(mem, 0, &err), -EBUSY);
	assert_non_null(strstr(err.text, "mapped for DMA by ADIs"));
	guest_do(&guest, leave, NULL);
	guest_await_departed(&guest, 1);
	assert_ok(mem_resize(mem, 0, &err), &err);
	assert_int_equal(guest_wait(&guest), MACHINE_OFF);
	guest_assert_passed(&guest, 13);
	mem_read_stats(mem, &stats);
	assert_int_equal(stats.plugged, 0);
	guest_destroy(&guest);
	config_free(&adi.config);
}

static void an_adi_does_not_come_to_a_balloon_that_has_memory(void **state)
{
	struct coming adi;
	struct balloon *balloon;
	unsigned int seen = 0;
	struct guest guest;
	struct err err;

	(void)state;
	make_adi(&adi);
	start(&guest, "balloon", ", \"balloon\": {\"statistics_interval\": 0.05}");
	balloon = machine_balloon(guest.machine);
	guest_expect(&guest, "empty");
	counters_read(guest.machine, &guest.config, note_counter, &seen);
	assert_int_equal(seen, 2);
	assert_ok(balloon_resize(balloon, BALLOON, &err), &err);
	guest_expect(&guest, "less is there");
	guest_do(&guest, come, &adi);
	assert_int_equal(adi.ret, -EBUSY);
	assert_non_null(strstr(adi.err.text, "dsa0: does DMA to guest memory, of which the balloon "
					     "has 65536 bytes and shall have 65536"));
	assert_int_equal(hotplug_slot(machine_hotplug(guest.machine), "dsa0"), 0);
	assert_ok(balloon_resize(balloon, 0, &err), &err);
	guest_expect(&guest, "all is back");
	guest_do(&guest, come, &adi);
	assert_in_range(adi.ret, 1, 31);
	guest_expect(&guest, "nothing goes");
	assert_int_equal(balloon_resize(balloon, BALLOON, &err), -EBUSY);
	guest_do(&guest, leave, NULL);
	guest_await_departed(&guest, 1);
	assert_ok(balloon_resize(balloon, BALLOON, &err), &err);
	assert_int_equal(guest_wait(&guest), MACHINE_OFF);
	guest_assert_passed(&guest, 10);
	guest_destroy(&guest);
	config_free(&adi.config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_adi_that_comes_late_has_the_blocks_that_are_plugged),
		cmocka_unit_test(an_adi_does_not_come_to_a_balloon_that_has_memory),
	};

	return cmocka_run_group_tests_name("hotdma", tests, NULL, NULL);
}
