/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host PASIDs on the iommufd provider, behind a VT-d, of a function that has the capability
 * (ADIT_TEST_PASID names it; the rig's endpoint is one). Nothing here issues DMA under a PASID:
 * what is looked at is the IOMMU's own PASID table.
 */
#include "tests/unit/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "ioasid-client/provider.h"
#include "ioasid-client/providers/seam.h"
#include "tests/rig/vtd.h"

#define WIDTH 20u
#define LAST  ((1u << WIDTH) - 1)
#define PAGE  ((uint64_t)IOASID_PAGE_SIZE)
#define A     0x200000u

struct scene {
	const char *bdf;
	struct ioasid_seam seam;
	int left; /* ioctls that go through before one fails; negative: none */
	bool all; /* those after it too */
	bool failed;
	struct ioasid_ctx *ctx;
	struct ioasid_device *device;
	struct ioasid_space *one, *two, *plain;
	char *memory;
	struct err err;
};

static int failing_ioctl(const struct ioasid_seam *seam, int fd, unsigned long request, void *arg)
{
	struct scene *s = seam->arg;

	if (!s->left) {
		s->failed = true;
		s->left = s->all ? 0 : -1;
		return -EINVAL;
	}
	if (s->left > 0)
		s->left--;
	return ioasid_seam_kernel.ioctl(seam, fd, request, arg);
}

static void arm(struct scene *s, int left, bool all)
{
	s->left = left;
	s->all = all;
	s->failed = false;
}

static int open_cdev(const char *bdf)
{
	const struct dirent *entry = NULL;
	char path[320];
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)) && entry->d_name[0] == '.')
		;
	if (entry)
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
	if (dir)
		closedir(dir);
	return entry ? open(path, O_RDWR | O_CLOEXEC) : -1;
}

static bool entry(const struct scene *s, uint32_t pasid)
{
	unsigned int bus, device, function;

	assert_int_equal(sscanf(s->bdf, "%*x:%x:%x.%x", &bus, &device, &function), 3);
	return vtd_pasid_entry(bus, device << 3 | function, pasid) & VTD_PRESENT;
}

static struct ioasid_space *make_space(struct scene *s, const char *name, bool pasids, char *page)
{
	const struct ioasid_space_options options = { .name = name, .pasid_capable = pasids };
	struct ioasid_space *space = NULL;

	assert_ok(ioasid_alloc(s->ctx, &options, &space, &s->err), &s->err);
	assert_ok(ioasid_map_hva(space, A, PAGE, page, IOASID_READ | IOASID_WRITE, &s->err),
		  &s->err);
	return space;
}

static void bind_device(struct scene *s)
{
	struct ioasid_source source = { .type = IOASID_SOURCE_CDEV };

	source.cdev.fd = open_cdev(s->bdf);
	assert_ok(ioasid_bind(s->ctx, &source, "endpoint", &s->device, &s->err), &s->err);
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct ioasid_target target = { .fd = -1, .seam = &s->seam };

	*state = s;
	s->bdf = getenv("ADIT_TEST_PASID");
	if (!s->bdf)
		return 0;
	s->seam = (struct ioasid_seam){ .ioctl = failing_ioctl, .root = "", .arg = s };
	s->left = -1;
	s->memory = aligned_alloc(PAGE, 3 * PAGE);
	memset(s->memory, 0, 3 * PAGE);
	assert_ok(ioasid_ctx_open_target(&s->ctx, IOASID_PROVIDER_IOMMUFD, &target, &s->err),
		  &s->err);
	bind_device(s);
	s->one = make_space(s, "one", true, s->memory);
	s->two = make_space(s, "two", true, s->memory + PAGE);
	s->plain = make_space(s, "plain", false, s->memory + 2 * PAGE);
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;

	ioasid_ctx_close(s->ctx);
	free(s->memory);
	free(s);
	return 0;
}

static struct scene *scene(void **state)
{
	struct scene *s = *state;

	if (!s->bdf)
		skip_because("ADIT_TEST_PASID names no function with PASIDs (the rig has one)");
	return s;
}

static void refused(struct scene *s, int r, int code, const char *names)
{
	if (r != -code || !strstr(s->err.text, names))
		fail_msg("%d '%s', expected %d and '%s'", r, s->err.text, -code, names);
}

static struct ioasid_pasid *under(struct scene *s, struct ioasid_space *space, uint32_t number)
{
	struct ioasid_pasid *pasid = NULL;

	assert_ok(ioasid_pasid_attach(s->device, space, number, &pasid, &s->err), &s->err);
	return pasid;
}

static void width_and_rights_are_the_functions(void **state)
{
	struct scene *s = scene(state);
	struct ioasid_device_info info;

	ioasid_device_info(s->device, &info);
	assert_int_equal(info.pasid_width, WIDTH);
	assert_int_equal(info.pasid_rights, IOASID_EXEC | IOASID_PRIVILEGED);
	assert_int_equal(info.isolation, IOASID_ISOLATION_PASID);
	assert_string_equal(info.hw, "intel-vtd");
}

static void a_pasid_is_attached_replaced_and_detached(void **state)
{
	struct scene *s = scene(state);
	struct ioasid_pasid *pasid, *last;

	assert_ok(ioasid_attach(s->device, s->plain, &s->err), &s->err);
	pasid = under(s, s->one, 42);
	last = under(s, s->two, LAST);
	assert_true(entry(s, 42) && entry(s, LAST));
	assert_ok(ioasid_pasid_replace(pasid, s->two, &s->err), &s->err);
	assert_true(entry(s, 42));
	ioasid_pasid_hold(pasid);
	ioasid_pasid_detach(pasid);
	assert_true(!entry(s, 42) && entry(s, LAST));
	refused(s, ioasid_pasid_attach(s->device, s->one, 42, &last, &s->err), EBUSY, "parked");
	ioasid_pasid_release(pasid);
	pasid = under(s, s->one, 42);
	assert_true(entry(s, 42));
	ioasid_pasid_detach(pasid);
	ioasid_pasid_detach(last);
	assert_true(!entry(s, 42) && !entry(s, LAST));
}

static void a_number_past_the_width_is_refused(void **state)
{
	struct scene *s = scene(state);
	struct ioasid_pasid *pasid;

	refused(s, ioasid_pasid_attach(s->device, s->one, LAST + 1, &pasid, &s->err), ERANGE,
		"20 bits");
	refused(s, ioasid_pasid_attach(s->device, s->plain, 5, &pasid, &s->err), EINVAL,
		"was not made for PASIDs");
}

static void a_pasid_needs_no_rid_and_outlives_its_moves(void **state)
{
	struct scene *s = scene(state);
	struct ioasid_pasid *pasid = under(s, s->one, 7);

	assert_true(entry(s, 7));
	assert_ok(ioasid_attach(s->device, s->plain, &s->err), &s->err);
	assert_ok(ioasid_attach(s->device, s->two, &s->err), &s->err);
	assert_true(entry(s, 7));
	assert_ok(ioasid_detach(s->device, &s->err), &s->err);
	assert_true(entry(s, 7));
	ioasid_pasid_detach(pasid);
	assert_false(entry(s, 7));
}

static void destroying_its_space_blocks_and_parks_it(void **state)
{
	struct scene *s = scene(state);
	struct ioasid_pasid *pasid = under(s, s->one, 9);

	ioasid_destroy(s->one);
	assert_false(entry(s, 9));
	assert_int_equal(ioasid_pasid_state(s->ctx, 9), IOASID_PASID_PARKED);
	ioasid_pasid_detach(pasid);
	assert_int_equal(ioasid_pasid_state(s->ctx, 9), IOASID_PASID_FREE);
}

static void unbinding_takes_all_entries_away(void **state)
{
	struct scene *s = scene(state);
	struct ioasid_pasid *pasid[3];

	assert_ok(ioasid_attach(s->device, s->plain, &s->err), &s->err);
	for (unsigned int i = 0; i < 3; i++)
		pasid[i] = under(s, s->one, 100 + i);
	ioasid_unbind(s->device);
	for (unsigned int i = 0; i < 3; i++) {
		assert_false(entry(s, 100 + i));
		assert_int_equal(ioasid_pasid_state(s->ctx, 100 + i), IOASID_PASID_PARKED);
		ioasid_pasid_detach(pasid[i]);
	}
	bind_device(s);
	pasid[0] = under(s, s->one, 100);
	assert_true(entry(s, 100));
	/* And so does closing the context. */
	ioasid_ctx_close(s->ctx);
	s->ctx = NULL;
	assert_false(entry(s, 100));
}

static void attach_and_replace_fail_cleanly(void **state)
{
	struct scene *s = scene(state);
	struct ioasid_pasid *pasid;
	unsigned int failures = 0;
	int r;

	for (int n = 0;; n++) {
		arm(s, n, false);
		r = ioasid_pasid_attach(s->device, s->one, 11, &pasid, &s->err);
		s->left = -1;
		if (!r && !s->failed)
			break;
		if (!r) {
			ioasid_pasid_detach(pasid);
			continue;
		}
		failures++;
		assert_false(entry(s, 11));
		assert_int_equal(ioasid_pasid_state(s->ctx, 11), IOASID_PASID_FREE);
	}
	assert_int_equal(failures, 2); /* making a page table, attaching it */
	arm(s, 0, true);
	assert_int_equal(ioasid_pasid_replace(pasid, s->two, &s->err), -EINVAL);
	s->left = -1;
	assert_true(entry(s, 11));
	/* It is where it was: that one may not be destroyed under it, the other may. */
	ioasid_destroy(s->two);
	assert_true(entry(s, 11));
	ioasid_destroy(s->one);
	assert_false(entry(s, 11));
	ioasid_pasid_detach(pasid);
}

static void a_detach_that_fails_ends_in_an_empty_space(void **state)
{
	struct scene *s = scene(state);
	struct ioasid_pasid *pasid = under(s, s->one, 12);

	arm(s, 0, false);
	ioasid_pasid_detach(pasid);
	assert_true(s->failed);
	assert_int_equal(ioasid_pasid_state(s->ctx, 12), IOASID_PASID_FREE);
	pasid = under(s, s->two, 12);
	ioasid_pasid_detach(pasid);
	assert_false(entry(s, 12));
}

static void what_cannot_be_blocked_keeps_its_number_for_good(void **state)
{
	struct scene *s = scene(state);
	struct ioasid_pasid *pasid = under(s, s->one, 13), *again;

	arm(s, 0, true);
	ioasid_pasid_detach(pasid);
	s->left = -1;
	assert_true(entry(s, 13));
	assert_int_equal(ioasid_pasid_state(s->ctx, 13), IOASID_PASID_PARKED);
	refused(s, ioasid_pasid_attach(s->device, s->two, 13, &again, &s->err), EBUSY, "parked");
	ioasid_unbind(s->device);
	assert_false(entry(s, 13));
	bind_device(s);
	refused(s, ioasid_pasid_attach(s->device, s->two, 13, &again, &s->err), EBUSY, "parked");
}

/* Whether the emulated IOMMU serves it is for the kernel to say; both answers are whole. */
static void a_fault_queue_is_served_or_refused(void **state)
{
	const struct ioasid_space_options options = { .name = "faults",
						      .faults = true,
						      .pasid_capable = true };
	struct scene *s = scene(state);
	struct ioasid_space *faults;
	struct ioasid_fault fault;
	struct pollfd poll_fd = { .events = POLLIN };
	size_t got;
	int r;

	assert_ok(ioasid_alloc(s->ctx, &options, &faults, &s->err), &s->err);
	assert_ok(ioasid_faults_fd(s->ctx, &poll_fd.fd, &s->err), &s->err);
	assert_int_equal(poll(&poll_fd, 1, 0), 0);
	assert_ok(ioasid_faults_read(s->ctx, &fault, 1, &got, NULL, &s->err), &s->err);
	assert_int_equal(got, 0);
	refused(s, ioasid_fault_respond(s->ctx, 77, IOASID_RESPONSE_RETRY, &s->err), ENOENT, "77");
	r = ioasid_attach(s->device, faults, &s->err);
	print_message("attaching a space with a fault queue: %s\n", r ? s->err.text : "served");
	if (r)
		refused(s, r, -r, "endpoint");
	assert_true((ioasid_device_space(s->device) == faults) == !r);
	ioasid_destroy(faults);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		TEST(width_and_rights_are_the_functions),
		TEST(a_pasid_is_attached_replaced_and_detached),
		TEST(a_number_past_the_width_is_refused),
		TEST(a_pasid_needs_no_rid_and_outlives_its_moves),
		TEST(destroying_its_space_blocks_and_parks_it),
		TEST(unbinding_takes_all_entries_away),
		TEST(attach_and_replace_fail_cleanly),
		TEST(a_detach_that_fails_ends_in_an_empty_space),
		TEST(what_cannot_be_blocked_keeps_its_number_for_good),
		TEST(a_fault_queue_is_served_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
