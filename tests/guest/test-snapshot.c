/* SPDX-License-Identifier: Apache-2.0 */
/* A guest is saved while it is busy, and goes on in other machines. */
#include "tests/guest/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/hotplug.h"
#include "vmm/snapshot.h"

#define MEMORY ", \"memory\": {\"size\": \"64M\"}"

struct saving {
	char path[64];
	int ret;
	struct err err;
};

static void make_path(char *path, size_t size, const char *what)
{
	int fd;

	snprintf(path, size, "/tmp/adit-test-%s-XXXXXX", what);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
}

static void save(struct guest *guest, void *arg)
{
	struct saving *saving = arg;

	saving->ret = machine_snapshot(guest->machine, saving->path, &saving->err);
}

/* As a VM is saved: paused, on the thread that waits for the machine. */
static void snapshot(struct guest *guest, struct saving *saving)
{
	make_path(saving->path, sizeof(saving->path), "snapshot");
	unlink(saving->path);
	machine_pause(guest->machine);
	guest_do(guest, save, saving);
	machine_resume(guest->machine);
}

static void ends_well(struct guest *guest, unsigned int least)
{
	machine_power_button(guest->machine);
	assert_int_equal(guest_wait(guest), MACHINE_OFF);
	guest_assert_passed(guest, least);
}

/* Saved when it says `word`; the one that was saved goes on too, and is no different. */
static void saved_and_goes_on(const char *words, const char *members, const char *there,
			      unsigned int least)
{
	struct saving saving;
	struct guest guest;

	assert_ok(guest_create(&guest, "snapshot", words, members), &guest.err);
	guest_start(&guest);
	guest_expect(&guest, "busy");
	snapshot(&guest, &saving);
	assert_ok(saving.ret, &saving.err);
	ends_well(&guest, least);
	guest_destroy(&guest);

	for (int i = 0; i < 2; i++) {
		assert_ok(guest_restore(&guest, saving.path, there), &guest.err);
		guest_start(&guest);
		ends_well(&guest, least - 1); /* it has said the first one before */
		guest_destroy(&guest);
	}
	unlink(saving.path);
}

static void a_guest_goes_on_where_it_stood(void **state)
{
	saved_and_goes_on("", MEMORY, MEMORY, 7);
}

static void processors_go_on_where_they_stood(void **state)
{
	static const char members[] = MEMORY ", \"cpus\": {\"boot_vcpus\": 3}";

	saved_and_goes_on("smp", members, members, 7);
}

#define IMAGE_BYTES (64 * 512)

static void copy_image(const char *from, const char *to)
{
	char bytes[IMAGE_BYTES];
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CLOEXEC);

	assert_true(in >= 0 && out >= 0);
	assert_int_equal(read(in, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(write(out, bytes, sizeof(bytes)), sizeof(bytes));
	close(in);
	close(out);
}

struct disks {
	char path[3][64]; /* the saved machine's, and those of the two that go on */
	char members[3][192];
};

static void make_disks(struct disks *disks)
{
	for (int i = 0; i < 3; i++) {
		make_path(disks->path[i], sizeof(disks->path[i]), "disk");
		assert_int_equal(truncate(disks->path[i], IMAGE_BYTES), 0);
		snprintf(disks->members[i], sizeof(disks->members[i]),
			 MEMORY ", \"rng\": {}, \"disks\": [{\"id\": \"d\", \"path\": \"%s\"}]",
			 disks->path[i]);
	}
}

/* In the middle of a transfer or not: each of the two has the image as it was then. */
static void disk_goes_on(const char *words)
{
	struct guest guest, then[2];
	struct saving saving;
	struct disks disks;

	make_disks(&disks);
	assert_ok(guest_create(&guest, "snapshot", words, disks.members[0]), &guest.err);
	guest_start(&guest);
	guest_expect(&guest, "busy");
	machine_pause(guest.machine);
	snapshot(&guest, &saving);
	assert_ok(saving.ret, &saving.err);
	for (int i = 1; i < 3; i++)
		copy_image(disks.path[0], disks.path[i]);
	machine_resume(guest.machine);
	ends_well(&guest, 9);
	guest_destroy(&guest);

	/* At once, from one file. */
	for (int i = 0; i < 2; i++) {
		assert_ok(guest_restore(&then[i], saving.path, disks.members[i + 1]), &then[i].err);
		guest_start(&then[i]);
	}
	for (int i = 0; i < 2; i++) {
		ends_well(&then[i], 8);
		guest_destroy(&then[i]);
	}
	for (int i = 0; i < 3; i++)
		unlink(disks.path[i]);
	unlink(saving.path);
}

static void add_disk(struct guest *guest, void *arg)
{
	const struct hotplug_part part = { .config = arg,
					   .disk = ((const struct config *)arg)->disks + 1 };
	struct err err;
	int slot = hotplug_add(machine_hotplug(guest->machine), &part, &err);

	assert_in_range(slot, 3, 31);
}

/* Beside the others in the configuration it would be made before some of them. */
static void what_came_while_it_ran_stays_in_its_slot(void **state)
{
	char members[512], path[2][64], text[768];
	struct saving saving;
	struct config config;
	struct guest guest;

	for (int i = 0; i < 2; i++) {
		make_path(path[i], sizeof(path[i]), "disk");
		assert_int_equal(truncate(path[i], IMAGE_BYTES), 0);
	}
	snprintf(members, sizeof(members),
		 MEMORY ", \"rng\": {}, \"disks\": [{\"id\": \"d\", \"path\": \"%s\"}]", path[0]);
	assert_ok(guest_create(&guest, "snapshot", "", members), &guest.err);
	snprintf(members, sizeof(members),
		 MEMORY ", \"rng\": {}, \"disks\": [{\"id\": \"d\", \"path\": \"%s\"}, "
			"{\"id\": \"e\", \"path\": \"%s\"}]",
		 path[0], path[1]);
	snprintf(text, sizeof(text), "{\"payload\": {\"kernel\": \"none\"}%s}", members);
	assert_ok(config_parse(&config, text, strlen(text), &guest.err), &guest.err);
	guest_start(&guest);
	guest_expect(&guest, "busy");
	guest_do(&guest, add_disk, &config);
	snapshot(&guest, &saving);
	assert_ok(saving.ret, &saving.err);
	ends_well(&guest, 9);
	guest_destroy(&guest);
	assert_ok(guest_restore(&guest, saving.path, members), &guest.err);
	assert_int_equal(hotplug_slot(machine_hotplug(guest.machine), "e"), 3);
	guest_destroy(&guest);
	config_free(&config);
	unlink(saving.path);
	unlink(path[0]);
	unlink(path[1]);
}

static void a_disk_goes_on_with_every_layout(void **state)
{
	disk_goes_on("");
	disk_goes_on("event");
	disk_goes_on("packed");
	disk_goes_on("packed event");
}

#define ADI(space)                                                                             \
	MEMORY ", \"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", \"wqs\": [{\"size\": 8}], " \
	       "\"pasid\": {\"allow\": true}}], "                                              \
	       "\"spaces\": [{\"id\": \"window\", \"offset\": \"32M\", \"size\": \"16M\"}, "   \
	       "{\"id\": \"else\", \"offset\": \"32M\", \"size\": \"16M\"}], "                 \
	       "\"pasids\": [{\"adi\": \"dsa0\", \"guest\": 5, \"space\": \"" space "\"}]"

/* A descriptor is under way at any moment. */
static void an_adi_goes_on_under_its_pasid(void **state)
{
	saved_and_goes_on("pasid=5", ADI("window"), ADI("window"), 8);
}

static void pasids_that_the_configuration_does_not_grant_are_refused(void **state)
{
	struct saving saving;
	struct guest guest;

	assert_ok(guest_create(&guest, "snapshot", "pasid=5", ADI("window")), &guest.err);
	guest_start(&guest);
	guest_expect(&guest, "busy");
	snapshot(&guest, &saving);
	assert_ok(saving.ret, &saving.err);
	guest_destroy(&guest);
	assert_int_equal(guest_restore(&guest, saving.path, ADI("else")), -EPROTO);
	assert_non_null(strstr(guest.err.text, "guest PASID 5 was bound to space \"window\""));
	guest.machine = NULL;
	guest_destroy(&guest);
	unlink(saving.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_goes_on_where_it_stood),
		cmocka_unit_test(processors_go_on_where_they_stood),
		cmocka_unit_test(a_disk_goes_on_with_every_layout),
		cmocka_unit_test(what_came_while_it_ran_stays_in_its_slot),
		cmocka_unit_test(an_adi_goes_on_under_its_pasid),
		cmocka_unit_test(pasids_that_the_configuration_does_not_grant_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
