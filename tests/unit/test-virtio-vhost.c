/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues in the kernel's hands, with a kernel of our own that writes down what it is told: where
 * rings and memory are, in which order, and that nothing is its when the guest, a pause or a reset
 * says so. The tap is a real one.
 */
#include "tests/unit/test-virtio-device.h"

#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_net.h>

#include "vmm/hot-ram.h"
#include "vmm/virtio/net.h"
#include "vmm/virtio/vhost.h"

#define HOT_BASE  (4 * GIB)
#define HOT_BLOCK (2 * MIB)
#define RINGS	  4u

struct ring {
	unsigned int size, base;
	struct vhost_vring_addr place;
	int kick, call, broken, backend; /* backend: -1: none */
};

/* One device a pair; its descriptor is what tells them apart. */
struct kernel {
	struct vhost_sys sys;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int open_error;
	unsigned long fail; /* this request is refused, by its number */
	unsigned int opened, owned;
	int fd[RINGS / 2];
	uint64_t offered, features;
	struct ring ring[RINGS];
	unsigned int n_regions;
	struct vhost_memory_region region[64];
};

static int on_open(void *arg)
{
	struct kernel *k = arg;

	if (k->open_error)
		return k->open_error;
	k->fd[k->opened] = eventfd(0, EFD_CLOEXEC);
	return k->fd[k->opened++];
}

static int carry_out(struct kernel *k, unsigned int pair, unsigned long request, void *data)
{
	const struct vhost_vring_file *file = data;
	struct vhost_vring_state *number = data;
	struct ring *r = &k->ring[2 * pair];

	switch (request) {
	case VHOST_SET_OWNER:
		k->owned++;
		return 0;
	case VHOST_GET_FEATURES:
		*(uint64_t *)data = k->offered;
		return 0;
	case VHOST_SET_FEATURES:
		k->features = *(uint64_t *)data;
		return 0;
	case VHOST_SET_MEM_TABLE:
		k->n_regions = ((struct vhost_memory *)data)->nregions;
		memcpy(k->region, ((struct vhost_memory *)data)->regions,
		       k->n_regions * sizeof(k->region[0]));
		return 0;
	case VHOST_SET_VRING_NUM:
		r[number->index].size = number->num;
		return r[number->index].backend >= 0 ? -EBUSY : 0;
	case VHOST_SET_VRING_BASE:
		r[number->index].base = number->num;
		return r[number->index].backend >= 0 ? -EBUSY : 0;
	case VHOST_GET_VRING_BASE:
		number->num = r[number->index].base;
		return 0;
	case VHOST_SET_VRING_ADDR:
		r[((struct vhost_vring_addr *)data)->index].place =
			*(struct vhost_vring_addr *)data;
		return 0;
	case VHOST_SET_VRING_KICK:
		r[file->index].kick = file->fd;
		return 0;
	case VHOST_SET_VRING_CALL:
		r[file->index].call = file->fd;
		return 0;
	case VHOST_SET_VRING_ERR:
		r[file->index].broken = file->fd;
		return 0;
	case VHOST_NET_SET_BACKEND:
		/* It is the last that a ring hears, and the first when it goes. */
		assert_true(file->fd < 0 || (r[file->index].kick >= 0 && r[file->index].size));
		r[file->index].backend = file->fd;
		return 0;
	default:
		return -ENOTTY;
	}
}

static int on_ioctl(void *arg, int fd, unsigned long request, void *data)
{
	struct kernel *k = arg;
	unsigned int pair = fd == k->fd[0] ? 0 : 1;
	int ret = -EIO;

	pthread_mutex_lock(&k->lock);
	if (request != k->fail)
		ret = carry_out(k, pair, request, data);
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&k->lock);
	return ret;
}

static void open_kernel(struct kernel *k)
{
	*k = (struct kernel){ .sys = { on_open, on_ioctl, k }, .offered = ~0ULL };
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->changed, NULL);
	for (unsigned int i = 0; i < RINGS; i++)
		k->ring[i].backend = -1;
}

/* Waits until a ring has a backend, or has none. */
static void wait_backend(struct kernel *k, unsigned int ring, bool has)
{
	pthread_mutex_lock(&k->lock);
	while ((k->ring[ring].backend >= 0) != has)
		pthread_cond_wait(&k->changed, &k->lock);
	pthread_mutex_unlock(&k->lock);
}

/* --- alone ----------------------------------------------------------------------------------- */

static const struct virtio_memory memory = { .n = 1,
					     .range[0] = { 0, 64 * MIB, (uint8_t *)0x7000000000 } };

static int make(struct kernel *k, struct vhost **vhost, struct hot_ram *hot, struct err *err)
{
	const struct vhost_options options = {
		.pairs = 1, .memory = &memory, .hot = hot, .sys = &k->sys
	};

	return vhost_create(vhost, &options, err);
}

static void what_is_missing_is_one_sentence(void **state)
{
	struct vhost *vhost;
	struct kernel k;
	struct err err;

	open_kernel(&k);
	k.open_error = -ENOENT;
	assert_int_equal(make(&k, &vhost, NULL, &err), -ENOENT);
	assert_string_equal(err.text, "/dev/vhost-net: No such file or directory: load the module "
				      "vhost_net, or leave \"vhost\" out");
	open_kernel(&k);
	k.offered = ~VIRTIO_FEATURE(FEATURE_EVENT_IDX);
	assert_int_equal(make(&k, &vhost, NULL, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "lacks features"));
	open_kernel(&k);
	k.fail = VHOST_SET_OWNER;
	assert_int_equal(make(&k, &vhost, NULL, &err), -EIO);
	open_kernel(&k);
	k.fail = VHOST_SET_MEM_TABLE;
	assert_int_equal(make(&k, &vhost, NULL, &err), -EIO);
	assert_non_null(strstr(err.text, "table of guest memory"));
}

static void a_ring_is_told_whole_and_its_place_comes_back(void **state)
{
	struct virtq vq = { .size = 64,
			    .next_avail = 7,
			    .desc_ring = (uint8_t *)0x1000,
			    .driver_area = (uint8_t *)0x2000,
			    .device_area = (uint8_t *)0x3000 };
	const struct vhost_ring ring = {
		.vq = &vq, .kick = 11, .call = 12, .broken = 13, .tap = 14
	};
	static const unsigned long requests[] = {
		VHOST_SET_VRING_NUM,  VHOST_SET_VRING_BASE, VHOST_SET_VRING_ADDR,
		VHOST_SET_VRING_CALL, VHOST_SET_VRING_ERR,  VHOST_SET_VRING_KICK,
	};
	struct vhost *vhost;
	struct kernel k;
	struct err err;

	open_kernel(&k);
	assert_ok(make(&k, &vhost, NULL, &err), &err);
	assert_int_equal(k.owned, 1);
	assert_int_equal(k.n_regions, 1);
	assert_int_equal(k.region[0].userspace_addr, 0x7000000000);
	assert_ok(vhost_start(vhost, ~0ULL, &err), &err);
	assert_int_equal(k.features, VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) |
					     VIRTIO_FEATURE(FEATURE_INDIRECT) |
					     VIRTIO_FEATURE(FEATURE_EVENT_IDX) |
					     VIRTIO_FEATURE(FEATURE_VERSION_1));
	assert_ok(vhost_ring_start(vhost, 1, &ring, &err), &err);
	assert_int_equal(k.ring[1].size, 64);
	assert_int_equal(k.ring[1].base, 7);
	assert_int_equal(k.ring[1].place.desc_user_addr, 0x1000);
	assert_int_equal(k.ring[1].place.avail_user_addr, 0x2000);
	assert_int_equal(k.ring[1].place.used_user_addr, 0x3000);
	assert_int_equal(k.ring[1].kick, 11);
	assert_int_equal(k.ring[1].call, 12);
	assert_int_equal(k.ring[1].broken, 13);
	assert_int_equal(k.ring[1].backend, 14);
	k.ring[1].base = 40;
	vhost_ring_stop(vhost, 1, &vq);
	assert_int_equal(k.ring[1].backend, -1);
	assert_int_equal(vq.next_avail, 40);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		k.fail = requests[i];
		assert_int_equal(vhost_ring_start(vhost, 1, &ring, &err), -EIO);
		assert_int_equal(k.ring[1].backend, -1);
	}
	vhost_destroy(vhost);
}

static void its_table_follows_what_is_plugged(void **state)
{
	const struct hot_ram_options options = {
		.gpa = HOT_BASE, .size = 160 * HOT_BLOCK, .block_size = HOT_BLOCK, .shared = true
	};
	struct hot_ram *hot;
	struct vhost *vhost;
	struct kernel k;
	struct err err;
	unsigned int i;

	open_kernel(&k);
	assert_ok(hot_ram_create(&hot, &options, &err), &err);
	assert_ok(hot_ram_plug(hot, 4, 2, &err), &err);
	assert_ok(make(&k, &vhost, hot, &err), &err);
	assert_int_equal(k.n_regions, 2);
	assert_int_equal(k.region[1].guest_phys_addr, HOT_BASE + 4 * HOT_BLOCK);
	assert_int_equal(k.region[1].memory_size, 2 * HOT_BLOCK);
	assert_int_equal(k.region[1].userspace_addr,
			 (uintptr_t)hot_ram_at(hot, HOT_BASE + 4 * HOT_BLOCK, 1));
	assert_ok(hot_ram_plug(hot, 6, 1, &err), &err);
	assert_int_equal(k.n_regions, 2);
	assert_int_equal(k.region[1].memory_size, 3 * HOT_BLOCK);
	assert_ok(hot_ram_unplug(hot, 5, 1, &err), &err);
	assert_int_equal(k.n_regions, 3);
	assert_null(hot_ram_pinned_by(hot));
	assert_ok(hot_ram_unplug_all(hot, &err), &err);
	assert_int_equal(k.n_regions, 1);
	/* More pieces than the kernel takes: refused, and nothing is different. */
	for (i = 0; i < 63; i++)
		assert_ok(hot_ram_plug(hot, 2 * i, 1, &err), &err);
	assert_int_equal(hot_ram_plug(hot, 2 * i, 1, &err), -E2BIG);
	assert_non_null(strstr(err.text, "more than 64 pieces"));
	assert_int_equal(k.n_regions, 64);
	assert_int_equal(hot_ram_plugged(hot), 63 * HOT_BLOCK);
	assert_ok(hot_ram_plug(hot, 1, 1, &err), &err);
	assert_int_equal(k.n_regions, 63);
	k.fail = VHOST_SET_MEM_TABLE;
	assert_int_equal(hot_ram_plug(hot, 3, 1, &err), -EIO);
	assert_int_equal(hot_ram_unplug(hot, 1, 1, &err), -EIO);
	assert_int_equal(hot_ram_plugged(hot), 64 * HOT_BLOCK);
	vhost_destroy(vhost);
	hot_ram_destroy(hot);
}

/* --- behind a device ------------------------------------------------------------------------- */

struct wire {
	struct bench b;
	struct kernel k;
};

static void open_wire(struct wire *w, unsigned int pairs)
{
	const struct net_options options = { .id = "net0",
					     .tap = "adit0",
					     .fd = -1,
					     .pairs = pairs,
					     .queue_size = 64,
					     .packed = true,
					     .csum = true,
					     .vhost = true,
					     .sys = &w->k.sys };
	struct virtio_device *device;
	struct err err;
	int ret;

	if (unshare(CLONE_NEWNET))
		skip_because("no network namespace: %s", strerror(errno));
	bench_open(&w->b);
	open_kernel(&w->k);
	ret = net_create(&device, &w->b.host, &options, &err);
	if (ret == -ENOENT || ret == -EPERM || ret == -EACCES) {
		bench_close(&w->b);
		skip_because("%s", err.text);
	}
	assert_ok(ret, &err);
	bench_run(&w->b, device);
}

static void frames_are_the_kernels_as_long_as_the_driver_runs(void **state)
{
	struct wire w;
	eventfd_t count;

	open_wire(&w, 1);
	assert_false(bench_offered(&w.b) & VIRTIO_FEATURE(FEATURE_PACKED));
	bench_start(&w.b, bench_layouts[1] | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF), 2);
	for (unsigned int i = 0; i < 2; i++) {
		const struct ring *r = &w.k.ring[i];

		wait_backend(&w.k, i, true);
		assert_int_equal(r->size, BENCH_QUEUE_SIZE);
		assert_ptr_equal((void *)(uintptr_t)r->place.desc_user_addr,
				 guest_at(&w.b.memory, w.b.q[i].base));
		assert_ptr_equal((void *)(uintptr_t)r->place.avail_user_addr,
				 guest_at(&w.b.memory, w.b.q[i].base + RING_DRIVER));
		assert_ptr_equal((void *)(uintptr_t)r->place.used_user_addr,
				 guest_at(&w.b.memory, w.b.q[i].base + RING_DEVICE));
		assert_true(r->call >= 0 && r->broken >= 0);
		/* Whoever kicks now reaches the kernel alone. */
		bench_kick(&w.b, i);
		assert_int_equal(eventfd_read(r->kick, &count), 0);
	}
	assert_int_equal(w.k.features, bench_layouts[1] | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF));
	bench_reset(&w.b);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(w.k.ring[i].backend, -1);
	bench_start(&w.b, bench_layouts[0], 2);
	wait_backend(&w.k, 1, true);
	assert_int_equal(w.k.features, BENCH_VERSION_1);
	bench_close(&w.b);
}

static void a_pause_takes_rings_and_gives_them_again_where_they_were(void **state)
{
	struct wire w;

	open_wire(&w, 1);
	bench_start(&w.b, bench_layouts[1], 2);
	wait_backend(&w.k, 0, true);
	wait_backend(&w.k, 1, true);
	w.k.ring[1].base = 1234; /* the kernel went on meanwhile */
	virtio_pause(w.b.device);
	assert_int_equal(w.k.ring[0].backend, -1);
	assert_int_equal(w.k.ring[1].backend, -1);
	virtio_pause(w.b.device);
	bench_kick(&w.b, 1);
	virtio_resume(w.b.device);
	assert_int_equal(w.k.ring[1].backend, -1);
	w.k.ring[1].base = 0;
	virtio_resume(w.b.device);
	wait_backend(&w.k, 0, true);
	wait_backend(&w.k, 1, true);
	assert_int_equal(w.k.ring[1].base, 1234);
	/* Paused and then reset: nothing is the kernel's. */
	virtio_pause(w.b.device);
	bench_reset(&w.b);
	virtio_resume(w.b.device);
	bench_start(&w.b, bench_layouts[1], 2);
	wait_backend(&w.k, 1, true);
	assert_int_equal(w.k.ring[1].base, 0);
	bench_close(&w.b);
}

static void one_queue_is_reset_alone(void **state)
{
	struct wire w;

	open_wire(&w, 1);
	bench_start(&w.b, bench_layouts[1] | BENCH_RING_RESET, 2);
	wait_backend(&w.k, 0, true);
	wait_backend(&w.k, 1, true);
	bench_queue_reset(&w.b, 0);
	assert_int_equal(w.k.ring[0].backend, -1);
	assert_true(w.k.ring[1].backend >= 0);
	bench_queue(&w.b, 0, bench_layouts[1]);
	wait_backend(&w.k, 0, true);
	bench_close(&w.b);
}

static void a_ring_that_the_kernel_gives_up_breaks_the_device(void **state)
{
	struct wire w;

	open_wire(&w, 1);
	bench_start(&w.b, bench_layouts[1], 2);
	wait_backend(&w.k, 0, true);
	wait_backend(&w.k, 1, true);
	assert_int_equal(eventfd_write(w.k.ring[1].broken, 1), 0);
	bench_wait(&w.b, 0);
	assert_true(reg(&w.b, REG_STATUS, 1) & STATUS_NEEDS_RESET);
	wait_backend(&w.k, 0, false);
	wait_backend(&w.k, 1, false);
	bench_start(&w.b, bench_layouts[1], 2);
	wait_backend(&w.k, 1, true);
	/* Nor does a kernel that refuses leave a device that looks whole. */
	bench_reset(&w.b);
	w.k.fail = VHOST_SET_VRING_ADDR;
	assert_true(bench_agree(&w.b, bench_layouts[1]));
	set(&w.b, REG_CONFIG_VECTOR, 0, 2);
	bench_queue(&w.b, 0, bench_layouts[1]);
	set(&w.b, REG_STATUS, 0x0f, 1);
	bench_wait(&w.b, 0);
	assert_true(reg(&w.b, REG_STATUS, 1) & STATUS_NEEDS_RESET);
	bench_close(&w.b);
}

static void it_leaves_with_rings_in_the_kernel(void **state)
{
	struct wire w;

	open_wire(&w, 2);
	bench_start(&w.b,
		    bench_layouts[1] | VIRTIO_FEATURE(VIRTIO_NET_F_MQ) |
			    VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ),
		    5);
	for (unsigned int i = 0; i < 4; i++)
		wait_backend(&w.k, i, true);
	assert_int_not_equal(w.k.ring[0].backend, w.k.ring[2].backend);
	bench_unplug(&w.b);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(w.k.ring[i].backend, -1);
	bench_close(&w.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_missing_is_one_sentence),
		cmocka_unit_test(a_ring_is_told_whole_and_its_place_comes_back),
		cmocka_unit_test(its_table_follows_what_is_plugged),
		cmocka_unit_test(frames_are_the_kernels_as_long_as_the_driver_runs),
		cmocka_unit_test(a_pause_takes_rings_and_gives_them_again_where_they_were),
		cmocka_unit_test(one_queue_is_reset_alone),
		cmocka_unit_test(a_ring_that_the_kernel_gives_up_breaks_the_device),
		cmocka_unit_test(it_leaves_with_rings_in_the_kernel),
	};

	return cmocka_run_group_tests_name("virtio-vhost", tests, NULL, NULL);
}
