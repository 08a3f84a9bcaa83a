/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory that comes into reach of the devices while the guest runs, on the soft provider: who
 * lets a device do DMA waits for it, or for the machine's end.
 */
#include "tests/unit/soft-bench.h"
#include "tests/unit/wait.h"

#include <pthread.h>
#include <unistd.h>

#include "util/bits.h"
#include "vmm/devices-internal.h"
#include "vmm/layout.h"
#include "vmm/ram.h"

#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define SIZE (16 * MIB)

struct machine {
	struct fixture *f;
	bool ending;
	struct ram ram;
	struct layout layout;
	struct device disk;
	struct devices devices;
};

static void begin(struct machine *m, struct fixture *f)
{
	const struct layout_request request = { .ram_size = SIZE,
						.phys_bits = 46,
						.aperture_last = UINT64_MAX };
	const struct ram_options options = { .size = SIZE, .stop = &m->ending };

	*m = (struct machine){
		.f = f,
		.disk = { .all = &m->devices, .node = { .name = "0000:04:00.0" } },
		.devices = { .ctx = f->ctx,
			     .guest = f->space,
			     .n = 1,
			     .device = { &m->disk },
			     .place = { .ending = &m->ending,
					.ram = &m->ram,
					.layout = &m->layout },
			     .gate = PTHREAD_MUTEX_INITIALIZER,
			     .opened = PTHREAD_COND_INITIALIZER },
	};
	attach(f);
	assert_ok(layout_plan(&m->layout, &request, &f->err), &f->err);
	assert_ok(ram_create(&m->ram, &options, &f->err), &f->err);
}

/* A vCPU whose guest sets Bus Master Enable. */
struct guest {
	struct machine *m;
	pthread_t thread;
	pid_t tid; /* atomic; 0: not yet */
	bool let;
	const void *reached; /* when it went on */
};

static void *set_bus_master(void *arg)
{
	struct guest *guest = arg;

	__atomic_store_n(&guest->tid, gettid(), __ATOMIC_SEQ_CST);
	guest->let = device_dma(&guest->m->disk);
	guest->reached = reach1(guest->m->f, 0, 0);
	return NULL;
}

static char state_of(pid_t tid)
{
	char path[64], state = '?';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "re");
	if (!file)
		return 'Z';
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	fclose(file);
	return state;
}

/* Returns when it waits, or has ended. */
static void start(struct guest *guest, struct machine *m)
{
	char state;

	*guest = (struct guest){ .m = m };
	assert_int_equal(pthread_create(&guest->thread, NULL, set_bus_master, guest), 0);
	WAIT_FOR(__atomic_load_n(&guest->tid, __ATOMIC_SEQ_CST) &&
		 ((state = state_of(guest->tid)) == 'S' || state == 'Z'));
}

static void a_guest_that_is_faster_waits_for_its_memory(void **state)
{
	struct guest guest;
	struct machine m;

	begin(&m, *state);
	start(&guest, &m);
	assert_ok(devices_map(&m.devices, &m.f->err), &m.f->err);
	pthread_join(guest.thread, NULL);
	assert_true(guest.let);
	assert_ptr_equal(guest.reached, m.ram.base);
	/* And from then on nobody does; nor is it mapped once more. */
	assert_true(device_dma(&m.disk));
	assert_ok(devices_map(&m.devices, &m.f->err), &m.f->err);
	ram_destroy(&m.ram);
}

/* The last device has left with its space; the next is not let before it has one. */
static void a_new_space_is_waited_for_as_the_first(void **state)
{
	struct guest guest;
	struct machine m;

	begin(&m, *state);
	assert_ok(devices_map(&m.devices, &m.f->err), &m.f->err);
	devices_unmapped(&m.devices);
	ioasid_detach(m.f->device, NULL);
	m.devices.guest = m.f->space = alloc_space(m.f, "next", false);
	attach(m.f);
	start(&guest, &m);
	assert_ok(devices_map(&m.devices, &m.f->err), &m.f->err);
	pthread_join(guest.thread, NULL);
	assert_true(guest.let);
	assert_ptr_equal(guest.reached, m.ram.base);
	ram_destroy(&m.ram);
}

static void a_machine_that_ends_lets_nobody_wait_and_no_device_do_dma(void **state)
{
	struct guest guest;
	struct machine m;

	begin(&m, *state);
	start(&guest, &m);
	__atomic_store_n(&m.ending, true, __ATOMIC_SEQ_CST);
	devices_give_up(&m.devices);
	pthread_join(guest.thread, NULL);
	assert_false(guest.let);
	assert_null(guest.reached);
	assert_int_equal(devices_map(&m.devices, &m.f->err), -ECANCELED);
	assert_null(reach1(m.f, 0, 0));
	assert_false(device_dma(&m.disk));
	ram_destroy(&m.ram);
}

static void what_cannot_be_mapped_lets_no_device_do_dma(void **state)
{
	struct fixture *f = *state;
	struct machine m;

	begin(&m, f);
	map(f, f->space, SIZE / 2, PAGE, f->memory, RW);
	assert_true(devices_map(&m.devices, &f->err) < 0);
	m.ending = true; /* what a machine does then */
	assert_false(device_dma(&m.disk));
	ram_destroy(&m.ram);
}

static void an_mdevs_driver_is_not_kept_waiting(void **state)
{
	struct device port = { .node = { .name = UUID } };
	struct device disk = { .node = { .name = "0000:04:00.0" } };
	const struct config config = { .memory = { .size = SIZE } };
	struct devices devices = { .config = &config, .device = { &disk, &port } };

	assert_true(devices_map_late(&devices));
	devices.n = 1;
	assert_true(devices_map_late(&devices));
	devices.n = 2;
	assert_false(devices_map_late(&devices));
}

static void a_large_guest_waits_before_it_begins(void **state)
{
	struct device disk = { .node = { .name = "0000:04:00.0" } };
	struct config config = { .memory = { .size = 16 * GIB } };
	const struct devices devices = { .config = &config, .n = 1, .device = { &disk } };

	assert_true(devices_map_late(&devices));
	config.memory.size += 2 * MIB;
	assert_false(devices_map_late(&devices));
}

static void memory_is_pinned_for_functions_and_not_for_mdevs(void **state)
{
	struct device port = { .node = { .name = UUID } };
	struct device disk = { .node = { .name = "0000:04:00.0" } };
	struct devices devices = { .device = { &port, &disk } };

	assert_false(devices_pin(&devices));
	devices.n = 1;
	assert_false(devices_pin(&devices));
	devices.n = 2;
	assert_true(devices_pin(&devices));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_guest, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_guest_that_is_faster_waits_for_its_memory),
		TEST(a_new_space_is_waited_for_as_the_first),
		TEST(a_machine_that_ends_lets_nobody_wait_and_no_device_do_dma),
		TEST(what_cannot_be_mapped_lets_no_device_do_dma),
		cmocka_unit_test(an_mdevs_driver_is_not_kept_waiting),
		cmocka_unit_test(a_large_guest_waits_before_it_begins),
		cmocka_unit_test(memory_is_pinned_for_functions_and_not_for_mdevs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
