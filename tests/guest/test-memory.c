/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory as a running guest meets it: dirty logs, read-only slots, huge pages, prefault. */
#include "tests/guest/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm-glue/memory.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"

#define PAGE 4096u

static bool dirty(const uint64_t *bitmap, uint64_t gpa)
{
	return bitmap[gpa / PAGE / 64] >> gpa / PAGE % 64 & 1;
}

static void dirty_log_shows_the_pages_that_the_guest_wrote(void **state)
{
	const uint64_t target = 48 * MIB;
	uint64_t bitmap[128 * MIB / PAGE / 64];
	struct guest guest;

	assert_ok(guest_create(&guest, "doorbell", "address=0x3000000 size=8 count=10", NULL),
		  &guest.err);
	assert_ok(vm_memory_log(machine_vm(guest.machine), 0, true, &guest.err), &guest.err);
	assert_int_equal(guest_run(&guest), MACHINE_OFF);
	guest_assert_passed(&guest, 1);
	assert_int_equal(vm_memory_dirty(machine_vm(guest.machine), 0, bitmap, sizeof(bitmap)), 0);
	assert_true(dirty(bitmap, target));
	assert_false(dirty(bitmap, target + PAGE));
	assert_false(dirty(bitmap, target - PAGE));
	/* Reading it cleared it. */
	assert_int_equal(vm_memory_dirty(machine_vm(guest.machine), 0, bitmap, sizeof(bitmap)), 0);
	assert_false(dirty(bitmap, target));
	guest_destroy(&guest);
}

struct writes {
	unsigned int count;
	uint64_t last;
};

static void on_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct writes *writes = opaque;

	writes->count++;
	writes->last = value;
}

/* A write to a read-only slot is an MMIO write: user space hears it, memory keeps its contents. */
static void writes_to_a_readonly_slot_exit_and_change_nothing(void **state)
{
	static const struct io_ops ops = { .write = on_write };
	struct writes writes = { 0 };
	uint64_t *page =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct vm_memory memory = {
		.gpa = 0xd0000000,
		.size = PAGE,
		.hva = page,
		.readonly = true,
	};
	const struct io_region region = {
		.base = memory.gpa,
		.size = PAGE,
		.ops = &ops,
		.opaque = &writes,
		.name = "readonly",
	};
	struct guest guest;
	unsigned int slot;

	assert_ptr_not_equal(page, MAP_FAILED);
	*page = 0x5a5a;
	assert_ok(guest_create(&guest, "doorbell", "address=0xd0000000 size=4 count=50 data=3",
			       NULL),
		  &guest.err);
	assert_ok(vm_memory_add(machine_vm(guest.machine), &memory, &slot, &guest.err), &guest.err);
	assert_int_equal(iomap_add(vm_mmio(machine_vm(guest.machine)), &region), 0);
	assert_int_equal(guest_run(&guest), MACHINE_OFF);
	guest_assert_passed(&guest, 1);
	assert_int_equal(writes.count, 50);
	assert_int_equal(writes.last, 3);
	assert_int_equal(*page, 0x5a5a);
	guest_destroy(&guest);
	munmap(page, PAGE);
}

#define RESERVE "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static long read_reserve(void)
{
	char text[32] = "";
	int fd = open(RESERVE, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return strtol(text, NULL, 10);
}

static void write_reserve(long pages)
{
	char text[32];
	int fd = open(RESERVE, O_WRONLY | O_CLOEXEC);

	snprintf(text, sizeof(text), "%ld", pages);
	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		print_message("no huge pages can be reserved\n");
	if (fd >= 0)
		close(fd);
}

static void guest_runs_on_huge_pages(void **state)
{
	static const char members[] = ", \"memory\": {\"size\": \"64M\", \"hugepages\": true, "
				      "\"prefault\": true}";
	long before = read_reserve();

	if (before < 32)
		write_reserve(32);
	if (read_reserve() < 32) {
		write_reserve(before);
		skip_because("32 huge pages of 2 MiB cannot be reserved here");
	}
	guest_passes("hello", "", members, 1);
	write_reserve(before);
}

static void huge_pages_that_are_missing_are_refused_with_the_mend(void **state)
{
	struct guest guest;

	assert_int_not_equal(guest_create(&guest, "hello", "",
					  ", \"memory\": {\"size\": \"512G\", \"hugepages\": true, "
					  "\"hugepage_size\": \"1G\"}"),
			     0);
	assert_non_null(strstr(guest.err.text, "huge pages of 1024 MiB"));
	assert_non_null(strstr(guest.err.text, "nr_hugepages"));
	guest_destroy(&guest);
}

static uint64_t resident_of(const char *mapping)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	unsigned long long start, end, kib;
	uint64_t total = 0;
	bool ours = false;
	char line[512];

	assert_non_null(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			ours = strstr(line, mapping) != NULL;
		else if (ours && sscanf(line, "Rss: %llu kB", &kib) == 1)
			total += kib * KIB;
	}
	fclose(smaps);
	return total;
}

static void prefault_touches_all_memory_and_nothing_is_touched_without(void **state)
{
	struct guest guest;

	assert_ok(guest_create(&guest, "hello", "", ", \"memory\": {\"size\": \"64M\"}"),
		  &guest.err);
	assert_true(resident_of("adit-ram") < MIB);
	guest_destroy(&guest);
	assert_ok(guest_create(&guest, "hello", "",
			       ", \"memory\": {\"size\": \"64M\", \"prefault\": true}"),
		  &guest.err);
	assert_int_equal(resident_of("adit-ram"), 64 * MIB);
	guest_destroy(&guest);
}

static void private_memory_is_no_memfd(void **state)
{
	struct guest guest;

	assert_ok(guest_create(&guest, "hello", "",
			       ", \"memory\": {\"size\": \"64M\", \"shared\": false}"),
		  &guest.err);
	assert_int_equal(resident_of("adit-ram"), 0);
	assert_int_equal(guest_run(&guest), MACHINE_OFF);
	guest_destroy(&guest);
}

/* Terabytes are planned and mapped without being touched. */
static void a_terabyte_guest_starts_where_the_host_lets_it(void **state)
{
	struct guest guest;
	int ret = guest_create(&guest, "hello", "", ", \"memory\": {\"size\": \"1T\"}");

	if (ret == -ENOMEM || ret == -ENOSPC) {
		print_message("%s\n", guest.err.text);
		guest_destroy(&guest);
		skip_because("this host cannot map 1 TiB");
	}
	assert_ok(ret, &guest.err);
	assert_int_equal(guest_run(&guest), MACHINE_OFF);
	guest_assert_passed(&guest, 1);
	guest_destroy(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dirty_log_shows_the_pages_that_the_guest_wrote),
		cmocka_unit_test(writes_to_a_readonly_slot_exit_and_change_nothing),
		cmocka_unit_test(guest_runs_on_huge_pages),
		cmocka_unit_test(huge_pages_that_are_missing_are_refused_with_the_mend),
		cmocka_unit_test(prefault_touches_all_memory_and_nothing_is_touched_without),
		cmocka_unit_test(private_memory_is_no_memfd),
		cmocka_unit_test(a_terabyte_guest_starts_where_the_host_lets_it),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
