/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main job, seen from both sides: a guest drives its ADI through the trapped portal, and the
 * machine's counters must agree with what the guest saw. ENQCMD in hardware and a real DSA cannot
 * be shown here; MOVDIR64B is shown where the CPU has it, and ENQCMDS where it or KVM's emulation
 * traps. (Where not, a guest that tries gets #UD; under QEMU's emulated SVM the next MMIO exit then
 * looks like one during event delivery, and KVM gives up. So the tests do not try, or in a guest
 * that does nothing else.)
 */
#include "tests/guest/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm-glue/vcpu.h"
#include "passthrough/adi/dsa.h"

#define ADI                                                                              \
	", \"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", \"wqs\": [{\"size\": 16}], " \
	"\"pasid\": {\"allow\": true, \"width\": 20}}]"
#define WINDOW ", \"spaces\": [{\"id\": \"w\", \"offset\": \"32M\", \"size\": \"16M\"}]"
#define BOUND  ", \"pasids\": [{\"guest\": 5, \"adi\": \"dsa0\", \"space\": \"w\"}]"

/* Of the demo: submissions of kit/operations.c that end well or are meant to fail, and batches. */
#define OPERATIONS_RIGHT  25
#define OPERATIONS_FAILED 3
#define RATE_BATCHES	  4

/*
 * Four descriptors complete or fault in the demo's first part, one more with an interrupt. The
 * engines rest first: a record may be seen before its descriptor is accounted for.
 */
static void assert_counters(struct guest *guest)
{
	struct dsa_counters c;

	machine_pause(guest->machine);
	dsa_counters_read(machine_dsa(guest->machine, "dsa0"), &c);
	assert_int_equal(c.refused_unbound, 1);
	assert_int_equal(c.refused_key, 0);
	assert_int_equal(c.accepted, c.completed + c.failed);
	assert_int_equal(c.completed, 3 + OPERATIONS_RIGHT + RATE_BATCHES);
	assert_int_equal(c.failed, 2 + OPERATIONS_FAILED);
	assert_int_equal(c.dropped, 0);
	assert_true(c.bytes >= 0x10000);
}

static void bound_pasid_moves_memory_and_unbound_one_reaches_nothing(void **state)
{
	struct vcpu_stats stats;
	struct guest guest;

	if (!host_has_movdir64b())
		skip_because("this CPU has no MOVDIR64B");
	assert_ok(guest_create(&guest, "demo", "", ADI WINDOW BOUND), &guest.err);
	guest_run(&guest);
	guest_assert_passed(&guest, 16);
	assert_int_equal(guest.end, MACHINE_OFF);
	assert_counters(&guest);
	machine_stats(guest.machine, &stats);
	assert_int_equal(stats.exits_store64,
			 6 + OPERATIONS_RIGHT + OPERATIONS_FAILED + RATE_BATCHES);
	guest_destroy(&guest);
}

static void eight_byte_stores_do_the_same(void **state)
{
	struct vcpu_stats stats;
	struct guest guest;

	assert_ok(guest_create(&guest, "demo", "stores", ADI WINDOW BOUND), &guest.err);
	guest_run(&guest);
	guest_assert_passed(&guest, 16);
	assert_int_equal(guest.end, MACHINE_OFF);
	assert_counters(&guest);
	machine_stats(guest.machine, &stats);
	assert_int_equal(stats.exits_store64, 0);
	guest_destroy(&guest);
}

/* With the first key alone the same guest must fail: its PASID is bound to nothing. */
static void first_key_alone_opens_nothing(void **state)
{
	struct dsa_counters c;
	struct guest guest;
	char *output;

	assert_ok(guest_create(&guest, "demo", "stores wait_ms=50", ADI), &guest.err);
	assert_int_equal(guest_run(&guest), MACHINE_FAILED);
	output = guest_output(&guest);
	assert_non_null(strstr(output, "not ok demo_noop"));
	assert_null(strstr(output, "\nok demo_memmove_in_window"));
	free(output);
	dsa_counters_read(machine_dsa(guest.machine, "dsa0"), &c);
	assert_int_equal(c.accepted, 0);
	assert_int_equal(c.completed, 0);
	assert_int_equal(c.bytes, 0);
	assert_true(c.refused_unbound > 0);
	guest_destroy(&guest);
}

static void second_key_without_the_first_is_refused(void **state)
{
	static const char members[] = ", \"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", "
				      "\"wqs\": [{\"size\": 16}]}]";
	struct guest guest;
	struct dsa *dsa;

	assert_ok(guest_create(&guest, "hello", "", members), &guest.err);
	dsa = machine_dsa(guest.machine, "dsa0");
	assert_non_null(dsa);
	assert_int_equal(dsa_pasid_bind(dsa, 5, NULL, 0, NULL, &guest.err), -EPERM);
	guest_destroy(&guest);
}

static void guest_driver_path_by_pci_works_too(void **state)
{
	guest_passes("pci", "", ADI WINDOW BOUND, 10);
}

#define THREE_QUEUES                                                                         \
	", \"cpus\": {\"boot_vcpus\": 2}, \"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", " \
	"\"wqs\": [{}, {\"mode\": \"shared\", \"size\": 8, \"threshold\": 4}, {}], "         \
	"\"pasid\": {\"allow\": true, \"width\": 8}}, "                                      \
	"{\"id\": \"other\", \"type\": \"dsa\", \"wqs\": [{}], \"pasid\": {\"allow\": true}}]"
#define BINDINGS                                                               \
	", \"pasids\": [{\"guest\": 5, \"adi\": \"dsa0\", \"space\": \"w\"}, " \
	"{\"guest\": 6, \"adi\": \"other\"}, "                                 \
	"{\"guest\": \"none\", \"adi\": \"dsa0\", \"wq\": 2, \"space\": \"w\"}]"

static bool guest_can_enqueue(void)
{
	struct guest guest;
	bool can;

	assert_ok(guest_create(&guest, "portals", "probe", THREE_QUEUES WINDOW BINDINGS),
		  &guest.err);
	can = guest_run(&guest) == MACHINE_OFF;
	guest_destroy(&guest);
	return can;
}

static void every_way_into_the_portals(void **state)
{
	bool commands = guest_can_enqueue();
	struct dsa_counters c;
	struct guest guest;
	char words[32];

	snprintf(words, sizeof(words), "%s%s", host_has_movdir64b() ? "" : "stores",
		 commands ? "" : " nocommands");
	assert_ok(guest_create(&guest, "portals", words, THREE_QUEUES WINDOW BINDINGS), &guest.err);
	guest_run(&guest);
	guest_assert_passed(&guest, commands ? 24 : 9);
	assert_int_equal(guest.end, MACHINE_OFF);
	machine_pause(guest.machine);
	dsa_counters_read(machine_dsa(guest.machine, "dsa0"), &c);
	assert_int_equal(c.refused_unbound, commands ? 2 : 0);
	assert_int_equal(c.refused_width, commands ? 2 : 0);
	assert_int_equal(c.retried, commands ? 2 : 0);
	assert_int_equal(c.accepted, c.completed + c.failed);
	assert_int_equal(c.failed, commands ? 3 : 1);
	assert_int_equal(c.faults, c.failed);
	guest_destroy(&guest);
}

/* The engines rest until the guest has filled the queue, so what it is told is certain. */
static void full_shared_queue_tells_the_guest_to_retry(void **state)
{
	struct guest guest;
	struct dsa *dsa;

	if (!guest_can_enqueue())
		skip_because("this CPU and KVM do not trap ENQCMDS");
	assert_ok(guest_create(&guest, "portals", "full", THREE_QUEUES WINDOW BINDINGS),
		  &guest.err);
	dsa = machine_dsa(guest.machine, "dsa0");
	dsa_engines_stop(dsa);
	guest_start(&guest);
	guest_expect(&guest, "full");
	dsa_engines_start(dsa);
	guest_wait(&guest);
	guest_assert_passed(&guest, 5);
	guest_destroy(&guest);
}

static void racing_cpu_gets_no_further(void **state)
{
	struct dsa_counters c;
	struct guest guest;

	if (!guest_can_enqueue())
		skip_because("this CPU and KVM do not trap ENQCMDS");
	assert_ok(guest_create(&guest, "portals", "racing", THREE_QUEUES WINDOW BINDINGS),
		  &guest.err);
	guest_run(&guest);
	guest_assert_passed(&guest, 3);
	machine_pause(guest.machine);
	dsa_counters_read(machine_dsa(guest.machine, "dsa0"), &c);
	assert_int_equal(c.accepted, c.completed + c.failed);
	guest_destroy(&guest);
}

static void rewritten_code_is_decoded_from_one_copy(void **state)
{
	struct dsa_counters c;
	struct guest guest;

	if (!guest_can_enqueue())
		skip_because("this CPU and KVM do not trap ENQCMDS");
	assert_ok(guest_create(&guest, "portals", "rewriting", THREE_QUEUES WINDOW BINDINGS),
		  &guest.err);
	guest_run(&guest);
	guest_assert_passed(&guest, 4);
	machine_pause(guest.machine);
	dsa_counters_read(machine_dsa(guest.machine, "dsa0"), &c);
	assert_int_equal(c.accepted, c.completed + c.failed);
	assert_int_equal(c.failed, 0);
	guest_destroy(&guest);
}

/* All operations and their errors, compared in the guest with what it computes itself. */
static void every_operation_works_through_the_portal(void **state)
{
	guest_passes("operations", host_has_movdir64b() ? "" : "stores", ADI WINDOW BOUND, 45);
}

static void pauses_in_the_middle_of_submissions_change_nothing(void **state)
{
	struct guest guest;

	assert_ok(guest_create(&guest, "demo", host_has_movdir64b() ? "" : "stores",
			       ADI WINDOW BOUND),
		  &guest.err);
	guest_start(&guest);
	for (int i = 0; i < 30; i++) {
		machine_pause(guest.machine);
		machine_resume(guest.machine);
	}
	guest_wait(&guest);
	guest_assert_passed(&guest, 16);
	assert_int_equal(guest.end, MACHINE_OFF);
	assert_counters(&guest);
	guest_destroy(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bound_pasid_moves_memory_and_unbound_one_reaches_nothing),
		cmocka_unit_test(eight_byte_stores_do_the_same),
		cmocka_unit_test(first_key_alone_opens_nothing),
		cmocka_unit_test(second_key_without_the_first_is_refused),
		cmocka_unit_test(guest_driver_path_by_pci_works_too),
		cmocka_unit_test(every_way_into_the_portals),
		cmocka_unit_test(full_shared_queue_tells_the_guest_to_retry),
		cmocka_unit_test(racing_cpu_gets_no_further),
		cmocka_unit_test(rewritten_code_is_decoded_from_one_copy),
		cmocka_unit_test(every_operation_works_through_the_portal),
		cmocka_unit_test(pauses_in_the_middle_of_submissions_change_nothing),
	};

	return cmocka_run_group_tests_name("adi", tests, NULL, NULL);
}
