/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/bits.h"
#include "vmm/hot-ram.h"
#include "vmm/virtio/internal.h"
#include "vmm/virtio/queue.h"
#include "vmm/virtio/tap.h"

#define VHOST_NODE  "/dev/vhost-net"
#define REGIONS_MAX 64u /* the kernel's own default */

/* What the kernel has to do of what a driver accepts; the rest is the tap's or ours. */
#define RING_FEATURES                                                                \
	(VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_FEATURE(FEATURE_INDIRECT) | \
	 VIRTIO_FEATURE(FEATURE_EVENT_IDX) | VIRTIO_FEATURE(FEATURE_VERSION_1))

struct vhost {
	struct vhost_sys sys;
	const struct virtio_memory *memory;
	struct hot_ram *hot;
	unsigned int n;
	int fd[TAP_PAIRS_MAX];
	/* Blocks come and go on a thread of their own. */
	pthread_mutex_t lock;
	bool plugged[HOT_RAM_BLOCKS_MAX];
};

/* --- calls ----------------------------------------------------------------------------------- */

static int open_node(void *arg)
{
	int fd = open(VHOST_NODE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int call_node(void *arg, int fd, unsigned long request, void *data)
{
	int ret = ioctl(fd, request, data);

	return ret < 0 ? -errno : ret;
}

static const struct vhost_sys host_sys = { .open = open_node, .ioctl = call_node };

static int call(const struct vhost *vhost, unsigned int pair, unsigned long request, void *data)
{
	return vhost->sys.ioctl(vhost->sys.arg, vhost->fd[pair], request, data);
}

static int failed(struct err *err, int ret, const char *what)
{
	return err_set(err, -ret, "vhost-net: %s: %s", what, strerror(-ret));
}

/* --- guest memory ---------------------------------------------------------------------------- */

#define TABLE_BYTES (sizeof(struct vhost_memory) + REGIONS_MAX * sizeof(struct vhost_memory_region))

static int add_region(struct vhost_memory *table, uint64_t gpa, uint64_t size, const void *hva)
{
	if (table->nregions == REGIONS_MAX)
		return -E2BIG;
	table->regions[table->nregions++] = (struct vhost_memory_region){
		.guest_phys_addr = gpa, .memory_size = size, .userspace_addr = (uintptr_t)hva
	};
	return 0;
}

/* What is plugged side by side is one region. */
static int fill_table(const struct vhost *vhost, struct vhost_memory *table)
{
	const struct hot_ram_options *o = vhost->hot ? hot_ram_options(vhost->hot) : NULL;
	unsigned int blocks = o ? (unsigned int)(o->size / o->block_size) : 0;
	int ret = 0;

	memset(table, 0, TABLE_BYTES);
	for (unsigned int i = 0; !ret && i < vhost->memory->n; i++) {
		const struct virtio_range *r = &vhost->memory->range[i];

		ret = add_region(table, r->gpa, r->size, r->hva);
	}
	for (unsigned int i = 0; !ret && i < blocks; i++) {
		unsigned int first = i;

		while (i < blocks && vhost->plugged[i])
			i++;
		if (i > first)
			ret = add_region(table, o->gpa + first * o->block_size,
					 (i - first) * o->block_size,
					 hot_ram_base(vhost->hot) + first * o->block_size);
	}
	return ret;
}

/* With the lock held. */
static int tell(const struct vhost *vhost, struct err *err)
{
	_Alignas(struct vhost_memory) uint8_t table[TABLE_BYTES];
	int ret = fill_table(vhost, (struct vhost_memory *)table);

	if (ret)
		return err_set(err, -ret,
			       "vhost-net: guest memory would be in more than %u pieces: plug and "
			       "unplug in larger ones",
			       REGIONS_MAX);
	for (unsigned int i = 0; i < vhost->n; i++) {
		ret = call(vhost, i, VHOST_SET_MEM_TABLE, table);
		if (ret)
			return failed(err, ret, "the table of guest memory");
	}
	return 0;
}

static int set_block(struct vhost *vhost, const struct hot_ram_block *block, bool on,
		     struct err *err)
{
	const struct hot_ram_options *o = hot_ram_options(vhost->hot);
	bool *plugged = &vhost->plugged[(block->gpa - o->gpa) / o->block_size];
	struct err again;
	int ret;

	pthread_mutex_lock(&vhost->lock);
	*plugged = on;
	ret = tell(vhost, err);
	if (ret) {
		*plugged = !on;
		(void)tell(vhost, &again);
	}
	pthread_mutex_unlock(&vhost->lock);
	return ret;
}

static int add_block(void *arg, const struct hot_ram_block *block, struct err *err)
{
	return set_block(arg, block, true, err);
}

static int remove_block(void *arg, const struct hot_ram_block *block, struct err *err)
{
	return set_block(arg, block, false, err);
}

/* --- rings ----------------------------------------------------------------------------------- */

int vhost_start(struct vhost *vhost, uint64_t features, struct err *err)
{
	uint64_t ring = features & RING_FEATURES;

	for (unsigned int i = 0; i < vhost->n; i++) {
		int ret = call(vhost, i, VHOST_SET_FEATURES, &ring);

		if (ret)
			return failed(err, ret, "features");
	}
	return 0;
}

static int set_file(const struct vhost *vhost, unsigned int queue, unsigned long request, int fd)
{
	struct vhost_vring_file file = { .index = queue % 2, .fd = fd };

	return call(vhost, queue / 2, request, &file);
}

int vhost_ring_start(struct vhost *vhost, unsigned int queue, const struct vhost_ring *ring,
		     struct err *err)
{
	const struct virtq *vq = ring->vq;
	struct vhost_vring_state size = { .index = queue % 2, .num = vq->size };
	struct vhost_vring_state base = { .index = queue % 2, .num = vq->next_avail };
	struct vhost_vring_addr place = {
		.index = queue % 2,
		.desc_user_addr = (uintptr_t)vq->desc_ring,
		.avail_user_addr = (uintptr_t)vq->driver_area,
		.used_user_addr = (uintptr_t)vq->device_area,
	};
	int ret = call(vhost, queue / 2, VHOST_SET_VRING_NUM, &size);

	if (!ret)
		ret = call(vhost, queue / 2, VHOST_SET_VRING_BASE, &base);
	if (!ret)
		ret = call(vhost, queue / 2, VHOST_SET_VRING_ADDR, &place);
	if (!ret)
		ret = set_file(vhost, queue, VHOST_SET_VRING_CALL, ring->call);
	if (!ret)
		ret = set_file(vhost, queue, VHOST_SET_VRING_ERR, ring->broken);
	if (!ret)
		ret = set_file(vhost, queue, VHOST_SET_VRING_KICK, ring->kick);
	if (!ret)
		ret = set_file(vhost, queue, VHOST_NET_SET_BACKEND, ring->tap);
	return ret ? failed(err, ret, queue & 1 ? "a sending queue" : "a receiving queue") : 0;
}

/* Without a backend the kernel's worker has left the ring when the call returns. */
void vhost_ring_stop(struct vhost *vhost, unsigned int queue, struct virtq *vq)
{
	struct vhost_vring_state base = { .index = queue % 2 };

	(void)set_file(vhost, queue, VHOST_NET_SET_BACKEND, -1);
	(void)set_file(vhost, queue, VHOST_SET_VRING_KICK, -1);
	if (!call(vhost, queue / 2, VHOST_GET_VRING_BASE, &base))
		vq->next_avail = (uint16_t)base.num;
}

/* --- life ------------------------------------------------------------------------------------ */

static int explain_open(int ret, struct err *err)
{
	const char *mend = ret == -ENOENT   ? ": load the module vhost_net, or leave \"vhost\" out"
			   : ret == -EACCES ? ": may not be opened; add yourself to its group"
					    : "";

	return err_set(err, -ret, VHOST_NODE ": %s%s", strerror(-ret), mend);
}

static int open_pair(struct vhost *vhost, struct err *err)
{
	uint64_t features = 0;
	int fd = vhost->sys.open(vhost->sys.arg), ret;

	if (fd < 0)
		return explain_open(fd, err);
	vhost->fd[vhost->n++] = fd;
	ret = call(vhost, vhost->n - 1, VHOST_SET_OWNER, NULL);
	if (!ret)
		ret = call(vhost, vhost->n - 1, VHOST_GET_FEATURES, &features);
	if (ret)
		return failed(err, ret, "a new device");
	if ((features & RING_FEATURES) == RING_FEATURES)
		return 0;
	return err_set(err, EOPNOTSUPP,
		       "vhost-net of this kernel lacks features: %#llx of %#llx are there; leave "
		       "\"vhost\" out",
		       (unsigned long long)(features & RING_FEATURES),
		       (unsigned long long)RING_FEATURES);
}

int vhost_create(struct vhost **out, const struct vhost_options *options, struct err *err)
{
	struct vhost *vhost = calloc(1, sizeof(*vhost));
	const struct hot_ram_user user = {
		.name = "vhost-net", .add = add_block, .remove = remove_block, .arg = vhost
	};
	int ret = 0;

	if (!vhost)
		return err_set(err, ENOMEM, "no memory for vhost-net");
	vhost->sys = options->sys ? *options->sys : host_sys;
	vhost->memory = options->memory;
	pthread_mutex_init(&vhost->lock, NULL);
	for (unsigned int i = 0; !ret && i < options->pairs; i++)
		ret = open_pair(vhost, err);
	if (!ret)
		ret = tell(vhost, err);
	/* From here on it is told. */
	vhost->hot = ret ? NULL : options->hot;
	if (!ret && hot_ram_join(vhost->hot, &user, err)) {
		ret = -err->code;
		vhost->hot = NULL;
	}
	if (ret) {
		vhost_destroy(vhost);
		return ret;
	}
	*out = vhost;
	return 0;
}

void vhost_destroy(struct vhost *vhost)
{
	if (!vhost)
		return;
	hot_ram_leave(vhost->hot, vhost);
	while (vhost->n)
		close(vhost->fd[--vhost->n]);
	pthread_mutex_destroy(&vhost->lock);
	free(vhost);
}
