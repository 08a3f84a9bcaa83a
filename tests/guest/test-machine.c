/* SPDX-License-Identifier: Apache-2.0 */
/* Whole machines with flat payloads: what the guest finds, and how machines end. */
#include "tests/guest/harness.h"

#include <stdlib.h>
#include <string.h>

#include "kvm-glue/vcpu.h"
#include "util/bits.h"

static void the_guest_finds_the_machine_that_was_promised(void **state)
{
	guest_passes("machine", "",
		     ", \"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", "
		     "\"wqs\": [{\"size\": 16}]}]",
		     20);
}

static void the_guest_finds_ram_above_four_gib(void **state)
{
	guest_passes("machine", "", ", \"memory\": {\"size\": \"6G\"}", 20);
}

static void four_vcpus_start_and_interrupt_each_other(void **state)
{
	guest_passes("smp", "", ", \"cpus\": {\"boot_vcpus\": 4}", 3);
}

/* The same payload as an ELF64 image: no PVH note, so it is entered in long mode. */
static void elf64_payload_starts_like_a_flat_one(void **state)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/guest/smp.elf", build_directory());
	guest_passes(path, "", ", \"cpus\": {\"boot_vcpus\": 2}", 3);
}

static void guest_powers_off(void **state)
{
	struct guest guest;

	assert_ok(guest_create(&guest, "poweroff", "", NULL), &guest.err);
	assert_int_equal(guest_run(&guest), MACHINE_OFF);
	guest_destroy(&guest);
}

static void guest_resets(void **state)
{
	struct guest guest;

	assert_ok(guest_create(&guest, "reset", "", NULL), &guest.err);
	assert_int_equal(guest_run(&guest), MACHINE_RESET);
	guest_destroy(&guest);
}

static void power_button_reaches_the_guest(void **state)
{
	struct guest guest;

	assert_ok(guest_create(&guest, "powerbutton", "", NULL), &guest.err);
	guest_start(&guest);
	guest_expect(&guest, "ready");
	machine_power_button(guest.machine);
	guest_wait(&guest);
	guest_assert_passed(&guest, 2);
	assert_int_equal(guest.end, MACHINE_OFF);
	guest_destroy(&guest);
}

static void assert_report(const struct guest *guest, const char *const *words, size_t count)
{
	char *log = guest_log(guest);

	for (size_t i = 0; i < count; i++) {
		if (!strstr(log, words[i]))
			fail_msg("'%s' is not in the report:\n%s", words[i], log);
	}
	free(log);
}

static void triple_fault_ends_with_a_report(void **state)
{
	static const char *const words[] = { "triple fault", "vCPU 0", "rip 0x", "last exits" };
	struct guest guest;

	assert_ok(guest_create(&guest, "triple", "", NULL), &guest.err);
	assert_int_equal(guest_run(&guest), MACHINE_FAILED);
	assert_report(&guest, words, ARRAY_SIZE(words));
	guest_destroy(&guest);
}

static void instruction_that_kvm_cannot_emulate_ends_with_its_bytes(void **state)
{
	static const char *const words[] = { "KVM_EXIT_INTERNAL_ERROR", "rip 0x",
					     "instruction bytes: " };
	struct guest guest;

	assert_ok(guest_create(&guest, "badinsn", "", NULL), &guest.err);
	assert_int_equal(guest_run(&guest), MACHINE_FAILED);
	assert_report(&guest, words, ARRAY_SIZE(words));
	guest_destroy(&guest);
}

static void spinning_guest_stops_when_told_to(void **state)
{
	struct guest guest;

	assert_ok(guest_create(&guest, "spin", "", ", \"cpus\": {\"boot_vcpus\": 2}"), &guest.err);
	guest_start(&guest);
	guest_expect(&guest, "ready");
	machine_stop(guest.machine);
	assert_int_equal(guest_wait(&guest), MACHINE_STOPPED);
	guest_destroy(&guest);
}

static void machine_that_was_stopped_before_it_ran_does_not_run(void **state)
{
	struct guest guest;
	char *output;

	assert_ok(guest_create(&guest, "hello", "", NULL), &guest.err);
	machine_stop(guest.machine);
	assert_int_equal(guest_run(&guest), MACHINE_STOPPED);
	output = guest_output(&guest);
	assert_string_equal(output, "");
	free(output);
	guest_destroy(&guest);
}

/* A paused guest makes no progress: its output stands still however long the pause is. */
static void paused_guest_stands_still_and_goes_on(void **state)
{
	struct guest guest;
	struct vcpu_stats before, after;

	assert_ok(guest_create(&guest, "smp", "ipis=2000", ", \"cpus\": {\"boot_vcpus\": 4}"),
		  &guest.err);
	guest_start(&guest);
	for (int i = 0; i < 20; i++) {
		machine_pause(guest.machine);
		machine_stats(guest.machine, &before);
		machine_stats(guest.machine, &after);
		assert_memory_equal(&before, &after, sizeof(before));
		machine_resume(guest.machine);
	}
	guest_wait(&guest);
	guest_assert_passed(&guest, 3);
	assert_int_equal(guest.end, MACHINE_OFF);
	guest_destroy(&guest);
}

static void two_machines_run_in_one_process(void **state)
{
	struct guest a, b;

	assert_ok(guest_create(&a, "spin", "", NULL), &a.err);
	assert_ok(guest_create(&b, "poweroff", "", NULL), &b.err);
	guest_start(&a);
	guest_start(&b);
	guest_expect(&a, "ready");
	assert_int_equal(guest_wait(&b), MACHINE_OFF);
	machine_stop(a.machine);
	assert_int_equal(guest_wait(&a), MACHINE_STOPPED);
	guest_destroy(&b);
	guest_destroy(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_guest_finds_the_machine_that_was_promised),
		cmocka_unit_test(the_guest_finds_ram_above_four_gib),
		cmocka_unit_test(four_vcpus_start_and_interrupt_each_other),
		cmocka_unit_test(elf64_payload_starts_like_a_flat_one),
		cmocka_unit_test(guest_powers_off),
		cmocka_unit_test(guest_resets),
		cmocka_unit_test(power_button_reaches_the_guest),
		cmocka_unit_test(triple_fault_ends_with_a_report),
		cmocka_unit_test(instruction_that_kvm_cannot_emulate_ends_with_its_bytes),
		cmocka_unit_test(spinning_guest_stops_when_told_to),
		cmocka_unit_test(machine_that_was_stopped_before_it_ran_does_not_run),
		cmocka_unit_test(paused_guest_stands_still_and_goes_on),
		cmocka_unit_test(two_machines_run_in_one_process),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
