/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts into a running guest and doorbells out of it, each counted on both sides. */
#include "tests/guest/harness.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kvm-glue/ioapic.h"
#include "kvm-glue/irq.h"
#include "kvm-glue/vcpu.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"

#define VECTOR 0x60u
#define COUNT  100u

static const struct msi_message message = { .address = 0xfee00000, .data = VECTOR };

/* The guest says '.' after each: only then is the next sent, since pending ones merge. */
static void expect_dots(struct guest *guest, unsigned int count)
{
	char dots[COUNT + 8] = "ready";
	size_t n = strlen(dots);

	dots[n++] = '\n';
	memset(dots + n, '.', count);
	guest_expect(guest, dots);
}

static void msis_all_arrive(void **state)
{
	struct guest guest;

	assert_ok(guest_create(&guest, "irq", "vector=0x60 count=100 echo halt", NULL), &guest.err);
	guest_start(&guest);
	for (unsigned int i = 0; i < COUNT; i++) {
		expect_dots(&guest, i);
		assert_int_equal(msi_send(machine_vm(guest.machine), &message), 1);
	}
	guest_wait(&guest);
	guest_assert_passed(&guest, 1);
	assert_int_equal(guest.end, MACHINE_OFF);
	guest_destroy(&guest);
}

static void irqfd_raises_its_route_and_nothing_without_one(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t one = 1;
	struct guest guest;
	uint32_t gsi;
	struct vm *vm;

	assert_ok(guest_create(&guest, "irq", "vector=0x60 count=100 echo", NULL), &guest.err);
	vm = machine_vm(guest.machine);
	assert_ok(gsi_alloc(vm, &gsi, &guest.err), &guest.err);
	assert_ok(irqfd_add(vm, gsi, fd, &guest.err), &guest.err);
	guest_start(&guest);
	guest_expect(&guest, "ready\n");
	/* No route yet: this one must get lost, or the count would be off by one. */
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	gsi_set_msi(vm, gsi, &message);
	assert_ok(gsi_commit(vm, &guest.err), &guest.err);
	for (unsigned int i = 0; i < COUNT; i++) {
		expect_dots(&guest, i);
		assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	}
	guest_wait(&guest);
	guest_assert_passed(&guest, 1);
	assert_int_equal(guest.end, MACHINE_OFF);
	assert_int_equal(irqfd_remove(vm, gsi, fd), 0);
	gsi_free(vm, gsi);
	assert_ok(gsi_commit(vm, &guest.err), &guest.err);
	guest_destroy(&guest);
	close(fd);
}

#define MASK_WHEN_TAKEN 4u

/*
 * Two sources on one pin: the payload asserts and takes them back through a port. With
 * MASK_WHEN_TAKEN the next take masks the pin first, as another CPU might.
 */
struct sources {
	struct irq_line *line[2];
	const struct iomap *mmio;
	uint32_t asserted;
	bool mask;
	unsigned int unmasks;
};

static void mask_pin(const struct sources *s, unsigned int pin)
{
	uint32_t index = 0x10 + 2 * pin, entry;

	assert_true(iomap_write(s->mmio, IOAPIC_BASE, &index, 4));
	assert_true(iomap_read(s->mmio, IOAPIC_BASE + 0x10, &entry, 4));
	entry |= 1u << 16;
	assert_true(iomap_write(s->mmio, IOAPIC_BASE + 0x10, &entry, 4));
}

static uint64_t sources_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct sources *s = opaque;
	uint32_t was = s->asserted;

	if (s->mask)
		mask_pin(s, 20);
	s->mask = false;
	for (unsigned int i = 0; i < 2; i++) {
		if (!(was >> i & 1))
			continue;
		s->asserted &= ~(1u << i);
		irq_line_set(s->line[i], false);
		break;
	}
	return was;
}

static void sources_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct sources *s = opaque;

	s->asserted |= value & 3;
	s->mask = value & MASK_WHEN_TAKEN;
	for (unsigned int i = 0; i < 2; i++) {
		if (value >> i & 1)
			irq_line_set(s->line[i], true);
	}
}

static void on_unmask(void *opaque)
{
	struct sources *s = opaque;

	s->unmasks++;
}

/* One vCPU, so everything above runs on its thread. The EOIs come as KVM_EXIT_IOAPIC_EOI. */
static void shared_level_line_is_delivered_for_each_source(void **state)
{
	static const struct io_ops ops = { .read = sources_read, .write = sources_write };
	struct sources sources = { .asserted = 0 };
	const struct io_region region = {
		.base = 0x2000,
		.size = 4,
		.ops = &ops,
		.opaque = &sources,
		.name = "sources",
	};
	struct vcpu_stats stats;
	struct guest guest;

	assert_ok(guest_create(&guest, "level", "pin=20 port=0x2000 rounds=10", NULL), &guest.err);
	ioapic_wire(machine_ioapic(guest.machine), 20, true);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(irq_line_open(&sources.line[i], machine_ioapic(guest.machine), 20,
					       i ? NULL : on_unmask, &sources),
				 0);
	sources.mmio = vm_mmio(machine_vm(guest.machine));
	assert_int_equal(iomap_add(vm_pio(machine_vm(guest.machine)), &region), 0);
	assert_int_equal(guest_run(&guest), MACHINE_OFF);
	guest_assert_passed(&guest, 5);
	machine_stats(guest.machine, &stats);
	assert_int_equal(stats.exits_eoi, 23);
	assert_int_equal(sources.unmasks, 23);
	assert_int_equal(iomap_remove(vm_pio(machine_vm(guest.machine)), 0x2000, &sources), 0);
	for (unsigned int i = 0; i < 2; i++)
		irq_line_close(sources.line[i]);
	guest_destroy(&guest);
}

static uint64_t count_of(int fd)
{
	uint64_t n = 0;

	if (read(fd, &n, sizeof(n)) != sizeof(n))
		return 0;
	return n;
}

static void ring(const struct ioevent *event, const char *words, uint64_t expected)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct guest guest;

	assert_ok(guest_create(&guest, "doorbell", words, NULL), &guest.err);
	assert_ok(ioevent_add(machine_vm(guest.machine), event, fd, &guest.err), &guest.err);
	assert_int_equal(guest_run(&guest), MACHINE_OFF);
	guest_assert_passed(&guest, 1);
	assert_int_equal(count_of(fd), expected);
	assert_int_equal(ioevent_remove(machine_vm(guest.machine), event, fd), 0);
	guest_destroy(&guest);
	close(fd);
}

static void port_doorbell_counts_exactly(void **state)
{
	ring(&(struct ioevent){ .address = 0x1234, .size = 4, .pio = true },
	     "port=0x1234 size=4 count=1000", 1000);
}

static void memory_doorbell_counts_exactly(void **state)
{
	ring(&(struct ioevent){ .address = 0xd0000000, .size = 4 },
	     "address=0xd0000000 size=4 count=1000", 1000);
}

static void doorbell_with_data_match_counts_only_its_value(void **state)
{
	ring(
		&(struct ioevent){
			.address = 0x1234, .size = 4, .pio = true, .match = true, .data = 7 },
		"port=0x1234 size=4 count=100 data=0 step=1", 1);
	ring(&(struct ioevent){ .address = 0xd0000000, .size = 8, .match = true, .data = 99 },
	     "address=0xd0000000 size=8 count=100 data=0 step=1", 1);
}

static void doorbell_of_another_width_is_not_rung(void **state)
{
	ring(&(struct ioevent){ .address = 0x1234, .size = 2, .pio = true },
	     "port=0x1234 size=4 count=100", 0);
}

static void doorbell_that_is_taken_is_refused(void **state)
{
	const struct ioevent event = { .address = 0x1234, .size = 4, .pio = true };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct guest guest;
	struct vm *vm;

	assert_ok(guest_create(&guest, "hello", "", NULL), &guest.err);
	vm = machine_vm(guest.machine);
	assert_ok(ioevent_add(vm, &event, fd, &guest.err), &guest.err);
	assert_int_equal(ioevent_add(vm, &event, fd, &guest.err), -EEXIST);
	assert_non_null(strstr(guest.err.text, "port 0x1234"));
	guest_destroy(&guest);
	close(fd);
}

static void routes_are_shared_and_given_back(void **state)
{
	struct guest guest;
	uint32_t first, gsi, gsis[64];
	struct vm *vm;

	assert_ok(guest_create(&guest, "hello", "", NULL), &guest.err);
	vm = machine_vm(guest.machine);
	assert_ok(gsi_alloc(vm, &first, &guest.err), &guest.err);
	assert_true(first >= 24);
	for (unsigned int i = 0; i < ARRAY_SIZE(gsis); i++) {
		assert_ok(gsi_alloc(vm, &gsis[i], &guest.err), &guest.err);
		gsi_set_msi(vm, gsis[i], &message);
	}
	assert_ok(gsi_commit(vm, &guest.err), &guest.err);
	for (unsigned int i = 0; i < ARRAY_SIZE(gsis); i++)
		gsi_free(vm, gsis[i]);
	assert_ok(gsi_commit(vm, &guest.err), &guest.err);
	assert_ok(gsi_alloc(vm, &gsi, &guest.err), &guest.err);
	assert_int_equal(gsi, gsis[0]);
	guest_destroy(&guest);
}

static void running_out_of_routes_is_refused_with_the_limit(void **state)
{
	struct guest guest;
	uint32_t gsi;
	int ret = 0;

	assert_ok(guest_create(&guest, "hello", "", NULL), &guest.err);
	for (int i = 0; i < 10000 && !ret; i++)
		ret = gsi_alloc(machine_vm(guest.machine), &gsi, &guest.err);
	assert_int_equal(ret, -ENOSPC);
	assert_non_null(strstr(guest.err.text, "interrupt routes"));
	guest_destroy(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(msis_all_arrive),
		cmocka_unit_test(irqfd_raises_its_route_and_nothing_without_one),
		cmocka_unit_test(shared_level_line_is_delivered_for_each_source),
		cmocka_unit_test(port_doorbell_counts_exactly),
		cmocka_unit_test(memory_doorbell_counts_exactly),
		cmocka_unit_test(doorbell_with_data_match_counts_only_its_value),
		cmocka_unit_test(doorbell_of_another_width_is_not_rung),
		cmocka_unit_test(doorbell_that_is_taken_is_refused),
		cmocka_unit_test(routes_are_shared_and_given_back),
		cmocka_unit_test(running_out_of_routes_is_refused_with_the_limit),
	};

	return cmocka_run_group_tests_name("interrupts", tests, NULL, NULL);
}
