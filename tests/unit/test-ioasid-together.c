/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups that are bound together: which come into one container of type1 and which stay by
 * themselves, behind a seam that knows containers, who is in them, and what each group's IOMMU does
 * with snooping. That DMA then goes where it should is for the conformance suite in the rig.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ioasid-client/provider.h"
#include "tests/unit/fake-iommu.h"
#include "tests/unit/wait.h"
#include "util/bits.h"

#define GROUPS	3u
#define FDS	1024
#define PAGE	((uint64_t)IOASID_PAGE_SIZE)
#define NOWHERE (-1)

struct group {
	int fd, container;
	bool snoop, emulated;
	bool alone; /* the kernel takes it and others into no container */
};

struct host {
	struct ioasid_seam seam;
	char root[64];
	struct group group[GROUPS];
	unsigned int maps[FDS]; /* of each container */
	bool liar;		/* with two groups in it, a container enforces no snooping */
	int countdown;		/* which call of the kernel's fails; -1: none */
	bool failed;
	unsigned int opened; /* devices */
	/* While a device is opened, which takes its time: who else is bound meanwhile. */
	void (*opening)(struct host *h, struct group *group);
	unsigned int meeting; /* atomic: who is opening one */
	int joined;	      /* what the callback of a bind says */
	struct ioasid_ctx *ctx;
	struct ioasid_device *device[GROUPS];
	struct ioasid_space *space;
	unsigned char *memory;
	struct err err;
};

/* Nodes that every host has, as those of groups 7, 8 and 9. */
static const struct {
	const char *node, *name, *number;
} nodes[GROUPS] = {
	{ "/dev/null", "0000:00:07.0", "1:3" },
	{ "/dev/zero", "0000:00:08.0", "1:5" },
	{ "/dev/full", "0000:00:09.0", "1:7" },
};

static unsigned int inside(const struct host *h, int container)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < GROUPS; i++)
		n += h->group[i].container == container;
	return n;
}

static bool accepts(const struct host *h, const struct group *group, int container)
{
	for (unsigned int i = 0; i < GROUPS; i++) {
		if (h->group[i].container == container && (group->alone || h->group[i].alone))
			return false;
	}
	return true;
}

static bool enforces(const struct host *h, int container)
{
	for (unsigned int i = 0; i < GROUPS; i++) {
		const struct group *group = &h->group[i];

		if (group->container == container && !group->emulated && !group->snoop)
			return false;
	}
	return !h->liar || inside(h, container) < 2;
}

static int group_ioctl(struct host *h, struct group *group, unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)arg)->flags = VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		assert_int_equal(group->container, NOWHERE);
		if (!accepts(h, group, *(int *)arg))
			return -EINVAL;
		group->container = *(int *)arg;
		return 0;
	case VFIO_GROUP_UNSET_CONTAINER:
		assert_int_not_equal(group->container, NOWHERE);
		/* With the last group what it maps goes. */
		if (inside(h, group->container) == 1)
			h->maps[group->container] = 0;
		group->container = NOWHERE;
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		assert_int_not_equal(group->container, NOWHERE);
		if (h->opening)
			h->opening(h, group);
		__atomic_fetch_add(&h->opened, 1, __ATOMIC_RELAXED);
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	return -ENOTTY;
}

static int container_ioctl(struct host *h, int fd, unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return (uintptr_t)arg == VFIO_DMA_CC_IOMMU ? enforces(h, fd)
							   : (uintptr_t)arg == VFIO_TYPE1v2_IOMMU;
	case VFIO_SET_IOMMU:
		/* Once, by the first that is in it. */
		return inside(h, fd) == 1 ? 0 : -EINVAL;
	case VFIO_IOMMU_GET_INFO:
		((struct vfio_iommu_type1_info *)arg)->flags = 0;
		return 0;
	case VFIO_IOMMU_MAP_DMA:
		h->maps[fd]++;
		return 0;
	case VFIO_IOMMU_UNMAP_DMA:
		h->maps[fd] = 0;
		return 0;
	}
	return -ENOTTY;
}

/* What lets go does not fail, and what only asks neither. */
static bool fails(struct host *h, unsigned long request)
{
	if (request == VFIO_GROUP_UNSET_CONTAINER || request == VFIO_IOMMU_UNMAP_DMA ||
	    request == VFIO_CHECK_EXTENSION || h->countdown < 0)
		return false;
	h->failed |= !h->countdown;
	return !h->countdown--;
}

static int host_ioctl(const struct ioasid_seam *seam, int fd, unsigned long request, void *arg)
{
	struct host *h = seam->arg;

	assert_true(fd >= 0 && fd < FDS);
	if (fails(h, request))
		return -EIO;
	for (unsigned int i = 0; i < GROUPS; i++) {
		if (h->group[i].fd == fd)
			return group_ioctl(h, &h->group[i], request, arg);
	}
	return container_ioctl(h, fd, request, arg);
}

static void show(const struct host *h, const char *name, const char *target)
{
	struct fake at = { .device = -1 };

	memcpy(at.root, h->root, sizeof(at.root));
	fake_link(&at, name, target);
}

static void host_start_with(struct host *h, int container)
{
	const struct ioasid_target target = { .fd = container, .seam = &h->seam };
	const struct ioasid_space_options options = { .name = "guest" };
	char name[96], to[96];

	*h = (struct host){ .seam = { .ioctl = host_ioctl, .arg = h }, .countdown = -1 };
	strcpy(h->root, "/tmp/adit-host-XXXXXX");
	assert_non_null(mkdtemp(h->root));
	h->seam.root = h->root;
	show(h, "/dev/vfio/vfio", "/dev/null");
	for (unsigned int i = 0; i < GROUPS; i++) {
		h->group[i] = (struct group){ .fd = -1, .container = NOWHERE, .snoop = true };
		snprintf(name, sizeof(name), "/sys/dev/char/%s", nodes[i].number);
		snprintf(to, sizeof(to), "../../devices/virtual/vfio/%u", 7 + i);
		show(h, name, to);
		snprintf(name, sizeof(name), "/sys/bus/pci/devices/%s/iommu_group", nodes[i].name);
		snprintf(to, sizeof(to), "../../../../kernel/iommu_groups/%u", 7 + i);
		show(h, name, to);
	}
	h->memory = aligned_alloc(PAGE, PAGE);
	assert_ok(ioasid_ctx_open_target(&h->ctx, IOASID_PROVIDER_TYPE1, &target, &h->err),
		  &h->err);
	assert_ok(ioasid_alloc(h->ctx, &options, &h->space, &h->err), &h->err);
	assert_ok(ioasid_map_hva(h->space, 0, PAGE, h->memory, IOASID_READ | IOASID_WRITE, &h->err),
		  &h->err);
}

static void host_start(struct host *h)
{
	host_start_with(h, -1);
}

static void host_end(struct host *h)
{
	struct fake fake = { .device = -1 };

	ioasid_ctx_close(h->ctx);
	for (unsigned int i = 0; i < GROUPS; i++)
		assert_int_equal(h->group[i].container, NOWHERE);
	free(h->memory);
	memcpy(fake.root, h->root, sizeof(fake.root));
	fake_end(&fake);
}

/* Group i's is an mdev. */
static void make_mdev(struct host *h, unsigned int i)
{
	char name[96];

	h->group[i].emulated = true;
	snprintf(name, sizeof(name), "/sys/bus/pci/devices/%s/subsystem", nodes[i].name);
	show(h, name, "../../../mdev");
}

static int try_bind(struct host *h, unsigned int i, bool together)
{
	const struct ioasid_source source = {
		.type = IOASID_SOURCE_GROUP,
		.group = { .fd = open(nodes[i].node, O_RDWR | O_CLOEXEC),
			   .name = nodes[i].name,
			   .together = together },
	};
	int r;

	assert_true(source.group.fd >= 0);
	h->group[i].fd = source.group.fd;
	r = ioasid_bind(h->ctx, &source, nodes[i].name, &h->device[i], &h->err);
	if (r) {
		close(source.group.fd);
		h->group[i].fd = -1;
	}
	return r;
}

static void join(struct host *h, unsigned int i)
{
	assert_ok(try_bind(h, i, true), &h->err);
}

static void attach(struct host *h, unsigned int i)
{
	assert_ok(ioasid_attach(h->device[i], h->space, &h->err), &h->err);
}

static bool share(const struct host *h, unsigned int i, unsigned int k)
{
	return h->group[i].container == h->group[k].container;
}

static enum ioasid_snoop snoop(const struct host *h, unsigned int i)
{
	struct ioasid_device_info info;

	ioasid_device_info(h->device[i], &info);
	return info.snoop;
}

static uint64_t pinned(const struct host *h)
{
	struct ioasid_memory memory;

	ioasid_memory(h->ctx, &memory);
	return memory.pinned;
}

/* What is mapped for the group's DMA. */
static unsigned int reaches(const struct host *h, unsigned int i)
{
	return h->maps[h->group[i].container];
}

/* --- who shares ------------------------------------------------------------------------------ */

static void groups_that_are_alike_share(void **state)
{
	struct host h;

	host_start(&h);
	for (unsigned int i = 0; i < GROUPS; i++)
		join(&h, i);
	assert_true(share(&h, 0, 1) && share(&h, 0, 2));
	for (unsigned int i = 0; i < GROUPS; i++) {
		assert_int_equal(snoop(&h, i), IOASID_SNOOP_ENFORCED);
		attach(&h, i);
		assert_int_equal(reaches(&h, i), 1);
		assert_int_equal(pinned(&h), PAGE);
	}
	host_end(&h);
}

static void who_does_not_ask_stays_alone(void **state)
{
	struct host h;

	host_start(&h);
	assert_ok(try_bind(&h, 0, false), &h.err);
	join(&h, 1);
	assert_ok(try_bind(&h, 2, false), &h.err);
	assert_false(share(&h, 0, 1) || share(&h, 0, 2) || share(&h, 1, 2));
	attach(&h, 0);
	assert_int_equal(reaches(&h, 1), 0);
	attach(&h, 1);
	assert_int_equal(pinned(&h), 2 * PAGE);
	host_end(&h);
}

/* A container only says what is true of all in it: either would be told what is so of the other. */
static void one_that_does_otherwise_with_snooping_stays_alone(void **state)
{
	for (unsigned int lax = 0; lax < GROUPS; lax++) {
		struct host h;

		host_start(&h);
		h.group[lax].snoop = false;
		for (unsigned int i = 0; i < GROUPS; i++)
			join(&h, i);
		for (unsigned int i = 0; i < GROUPS; i++) {
			assert_int_equal(snoop(&h, i), i == lax ? IOASID_SNOOP_NOT_ENFORCED
								: IOASID_SNOOP_ENFORCED);
			assert_int_equal(inside(&h, h.group[i].container), i == lax ? 1 : 2);
			attach(&h, i);
		}
		assert_int_equal(pinned(&h), 2 * PAGE);
		host_end(&h);
	}
}

static void an_mdev_shares_with_any(void **state)
{
	for (unsigned int mdev = 0; mdev < GROUPS; mdev++) {
		struct host h;

		host_start(&h);
		make_mdev(&h, mdev);
		for (unsigned int i = 0; i < GROUPS; i++)
			h.group[i].snoop = i == mdev; /* it says nothing of the others */
		for (unsigned int i = 0; i < GROUPS; i++)
			join(&h, i);
		assert_true(share(&h, 0, 1) && share(&h, 0, 2));
		for (unsigned int i = 0; i < GROUPS; i++)
			assert_int_equal(snoop(&h, i),
					 i == mdev ? IOASID_SNOOP_NONE : IOASID_SNOOP_NOT_ENFORCED);
		host_end(&h);
	}
}

/* One that must not reach what is mapped there, or is of another kind of IOMMU. */
static void one_that_the_kernel_refuses_stays_alone(void **state)
{
	struct host h;

	host_start(&h);
	h.group[1].alone = true;
	join(&h, 0);
	attach(&h, 0);
	join(&h, 1);
	join(&h, 2);
	assert_true(share(&h, 0, 2));
	assert_false(share(&h, 0, 1));
	assert_int_equal(reaches(&h, 1), 0);
	attach(&h, 1);
	assert_int_equal(reaches(&h, 1), 1);
	assert_int_equal(pinned(&h), 2 * PAGE);
	host_end(&h);
}

static void one_that_changes_what_was_told_leaves_again(void **state)
{
	struct host h;

	host_start(&h);
	h.liar = true;
	join(&h, 0);
	join(&h, 1);
	assert_false(share(&h, 0, 1));
	assert_int_equal(snoop(&h, 1), IOASID_SNOOP_ENFORCED);
	host_end(&h);
}

/* --- coming and going ------------------------------------------------------------------------ */

static void one_that_comes_later_reaches_what_is_there_until_it_goes(void **state)
{
	struct host h;

	host_start(&h);
	join(&h, 0);
	attach(&h, 0);
	join(&h, 1);
	assert_true(share(&h, 0, 1));
	assert_int_equal(reaches(&h, 1), 1);
	attach(&h, 1);
	ioasid_unbind(h.device[0]);
	assert_int_equal(h.group[0].container, NOWHERE);
	assert_int_equal(reaches(&h, 1), 1);
	/* The first one's container went on without it, and takes it in again. */
	join(&h, 0);
	assert_true(share(&h, 0, 1));
	assert_ok(ioasid_detach(h.device[1], &h.err), &h.err);
	assert_int_equal(reaches(&h, 0), 0);
	assert_int_equal(pinned(&h), 0);
	host_end(&h);
}

/* Nothing of a bind that fails is left, in what the others share neither. */
static void a_bind_that_fails_leaves_the_others(void **state)
{
	unsigned int n;

	for (n = 0;; n++) {
		struct host h;
		int container, r;
		bool failed;

		host_start(&h);
		join(&h, 0);
		attach(&h, 0);
		container = h.group[0].container;
		h.countdown = (int)n;
		r = try_bind(&h, 1, true);
		failed = h.failed;
		h.countdown = -1;
		assert_int_equal(h.group[0].container, container);
		assert_int_equal(reaches(&h, 0), 1);
		/* Refused by the shared one it stays alone; anything else fails. */
		if (r) {
			assert_int_equal(h.group[1].container, NOWHERE);
			assert_int_equal(inside(&h, container), 1);
			join(&h, 1);
			assert_true(share(&h, 0, 1));
		}
		host_end(&h);
		if (!failed)
			break;
	}
	assert_true(n > 5);
}

/* --- when KVM is told ------------------------------------------------------------------------ */

/* A KVM that asks the container gets the answer that counts from then on. */
static int is_joined(void *opaque, struct err *err)
{
	struct host *h = opaque;

	assert_int_equal(h->opened, 1);
	assert_true(share(h, 0, 1));
	return h->joined ? err_set(err, EBUSY, "KVM is told of it already") : 0;
}

static void the_group_is_in_its_container_before_its_device_is_opened(void **state)
{
	struct ioasid_source source = {
		.type = IOASID_SOURCE_GROUP,
		.group = { .name = nodes[1].name, .together = true, .joined = is_joined },
	};
	struct host h;

	host_start(&h);
	join(&h, 0);
	source.group.opaque = &h;
	source.group.fd = open(nodes[1].node, O_RDWR | O_CLOEXEC);
	h.group[1].fd = source.group.fd;
	h.joined = -EBUSY;
	assert_int_equal(ioasid_bind(h.ctx, &source, "second", &h.device[1], &h.err), -EBUSY);
	assert_string_equal(h.err.text, "second: KVM is told of it already");
	assert_int_equal(h.group[1].container, NOWHERE);
	h.joined = 0;
	assert_ok(ioasid_bind(h.ctx, &source, "second", &h.device[1], &h.err), &h.err);
	assert_int_equal(h.opened, 2);
	host_end(&h);
}

/* --- where only one container can be had -------------------------------------------------------
 */

static int a_node_that_opens_once(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	close(pair[1]);
	return pair[0];
}

static void without_another_container_they_share_unasked(void **state)
{
	static const struct {
		bool first, second, joins;
		enum ioasid_snoop told;
	} cases[] = {
		{ true, true, true, IOASID_SNOOP_ENFORCED },
		{ false, false, true, IOASID_SNOOP_NOT_ENFORCED },
		/* Not asked alone, it is not known to be better. */
		{ false, true, true, IOASID_SNOOP_NOT_ENFORCED },
		{ true, false, false, IOASID_SNOOP_NONE },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct host h;
		int r;

		host_start_with(&h, a_node_that_opens_once());
		h.group[0].snoop = cases[i].first;
		h.group[1].snoop = cases[i].second;
		join(&h, 0);
		r = try_bind(&h, 1, true);
		if (cases[i].joins) {
			assert_ok(r, &h.err);
			assert_true(share(&h, 0, 1));
			assert_int_equal(snoop(&h, 1), cases[i].told);
		} else {
			assert_int_not_equal(r, 0);
			assert_non_null(strstr(h.err.text, "another VFIO container"));
			assert_int_equal(h.group[1].container, NOWHERE);
		}
		assert_int_equal(snoop(&h, 0), cases[i].first ? IOASID_SNOOP_ENFORCED
							      : IOASID_SNOOP_NOT_ENFORCED);
		host_end(&h);
	}
}

/* --- side by side ---------------------------------------------------------------------------- */

/* A thread that binds the first device of a group, or, of group 0, another of it. */
struct binder {
	struct host *h;
	pthread_t thread;
	unsigned int i;
	const char *name;
	struct ioasid_device *device;
	struct err err;
	int ret;
};

static void *bind_beside(void *arg)
{
	struct binder *b = arg;
	const struct ioasid_source source = {
		.type = IOASID_SOURCE_GROUP,
		.group = { .fd = b->h->group[b->i].fd, .name = b->name, .together = true },
	};

	b->ret = ioasid_bind(b->h->ctx, &source, b->name, &b->device, &b->err);
	return NULL;
}

static void binder_start(struct binder *b, struct host *h, unsigned int i, const char *name)
{
	*b = (struct binder){ .h = h, .i = i, .name = name };
	assert_int_equal(pthread_create(&b->thread, NULL, bind_beside, b), 0);
}

static void binder_end(struct binder *b)
{
	pthread_join(b->thread, NULL);
	assert_ok(b->ret, &b->err);
}

static void open_groups(struct host *h)
{
	for (unsigned int i = 0; i < GROUPS; i++) {
		h->group[i].fd = open(nodes[i].node, O_RDWR | O_CLOEXEC);
		assert_true(h->group[i].fd >= 0);
	}
}

/* None is opened before all are about to be: who held the lock meanwhile would wait for ever. */
static void meet(struct host *h, struct group *group)
{
	__atomic_fetch_add(&h->meeting, 1, __ATOMIC_SEQ_CST);
	WAIT_FOR(__atomic_load_n(&h->meeting, __ATOMIC_SEQ_CST) == GROUPS);
}

static void devices_of_several_groups_are_opened_side_by_side(void **state)
{
	struct binder binders[GROUPS];
	struct host h;

	host_start(&h);
	open_groups(&h);
	h.opening = meet;
	for (unsigned int i = 0; i < GROUPS; i++)
		binder_start(&binders[i], &h, i, nodes[i].name);
	for (unsigned int i = 0; i < GROUPS; i++)
		binder_end(&binders[i]);
	assert_int_equal(h.opened, GROUPS);
	assert_true(share(&h, 0, 1) && share(&h, 1, 2));
	host_end(&h);
}

static void be_alone(struct host *h, struct group *group)
{
	assert_int_equal(__atomic_fetch_add(&h->meeting, 1, __ATOMIC_SEQ_CST), 0);
	for (unsigned int i = 0; i < 2000; i++)
		sched_yield();
	__atomic_fetch_sub(&h->meeting, 1, __ATOMIC_SEQ_CST);
}

static void devices_of_one_group_are_opened_one_after_the_other(void **state)
{
	struct binder first, second;
	struct host h;

	host_start(&h);
	open_groups(&h);
	show(&h, "/sys/bus/pci/devices/0000:00:07.1/iommu_group",
	     "../../../../kernel/iommu_groups/7");
	h.opening = be_alone;
	binder_start(&first, &h, 0, nodes[0].name);
	binder_start(&second, &h, 0, "0000:00:07.1");
	binder_end(&first);
	binder_end(&second);
	assert_int_equal(h.opened, 2);
	/* The group stays as long as one of them does. */
	ioasid_unbind(first.device);
	assert_int_not_equal(h.group[0].container, NOWHERE);
	ioasid_unbind(second.device);
	assert_int_equal(h.group[0].container, NOWHERE);
	for (unsigned int i = 1; i < GROUPS; i++)
		close(h.group[i].fd);
	host_end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_that_are_alike_share),
		cmocka_unit_test(who_does_not_ask_stays_alone),
		cmocka_unit_test(one_that_does_otherwise_with_snooping_stays_alone),
		cmocka_unit_test(an_mdev_shares_with_any),
		cmocka_unit_test(one_that_the_kernel_refuses_stays_alone),
		cmocka_unit_test(one_that_changes_what_was_told_leaves_again),
		cmocka_unit_test(one_that_comes_later_reaches_what_is_there_until_it_goes),
		cmocka_unit_test(a_bind_that_fails_leaves_the_others),
		cmocka_unit_test(the_group_is_in_its_container_before_its_device_is_opened),
		cmocka_unit_test(without_another_container_they_share_unasked),
		cmocka_unit_test(devices_of_several_groups_are_opened_side_by_side),
		cmocka_unit_test(devices_of_one_group_are_opened_one_after_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
