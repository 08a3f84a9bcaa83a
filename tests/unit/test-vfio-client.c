/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of vfio-user against our own server with a device of this test's, and against
 * servers that say too little or nothing: what is mapped of what is offered, which memory is
 * given, and that a server which is gone is a device whose calls fail.
 */
#include "tests/unit/test-vfio-user.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "passthrough/vfio-user/client.h"
#include "passthrough/vfio-user/server.h"
#include "passthrough/vfio/vfio.h"
#include "util/bits.h"

#define PAGE	4096u
#define BAR	(4 * PAGE)
#define VECTORS 40u /* more than go into one message */
#define RAM	(64 * KIB)
#define RAM_AT	0x100000u

enum {
	PLAIN,
	SEALED,	  /* to be mapped whole */
	SPARSE,	  /* to be mapped in parts */
	SHRINKS,  /* offered, but it could be cut under the guest */
	TOO_LONG, /* offered, but its file is shorter */
};

struct fixture {
	struct vfu_server *server;
	struct vfu_client *client;
	const struct vfio_sys *sys;
	pthread_t thread;
	bool serving;
	int socket; /* the server's end where there is no server */
	int fds[5];
	uint8_t bar[BAR];
	int ram_fd;
	uint8_t *ram;
	unsigned int maps, with_fd, gone;
	struct vfu_area areas[2];
};

/* --- the device ------------------------------------------------------------------------------ */

static int device_read(void *opaque, unsigned int region, uint64_t offset, void *data,
		       uint32_t count)
{
	struct fixture *f = opaque;

	memcpy(data, f->bar + offset, count);
	return 0;
}

static int device_write(void *opaque, unsigned int region, uint64_t offset, const void *data,
			uint32_t count)
{
	struct fixture *f = opaque;

	memcpy(f->bar + offset, data, count);
	return 0;
}

static int device_map(void *opaque, const struct vfu_range *range)
{
	struct fixture *f = opaque;

	f->maps++;
	f->with_fd += range->fd >= 0;
	return 0;
}

static int device_reset(void *opaque)
{
	struct fixture *f = opaque;

	memset(f->bar, 0, sizeof(f->bar));
	return 0;
}

static const struct vfu_device_ops ops = {
	.read = device_read, .write = device_write, .map = device_map, .reset = device_reset
};

static int make_memfd(size_t size, bool sealed)
{
	int fd = memfd_create("bar", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (sealed)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

static void describe(struct fixture *f, struct vfu_device *device)
{
	*device = (struct vfu_device){
		.ops = &ops, .opaque = f, .vectors = VECTORS, .max_maps = 64, .name = "test"
	};
	f->areas[0] = (struct vfu_area){ 0, PAGE };
	f->areas[1] = (struct vfu_area){ 2 * PAGE, 2 * PAGE };
	for (unsigned int i = 0; i < ARRAY_SIZE(f->fds); i++) {
		f->fds[i] = make_memfd(i == TOO_LONG ? PAGE : BAR, i != SHRINKS);
		device->regions[i] = (struct vfu_region){
			.size = BAR,
			.read = true,
			.write = true,
			.mappable = i != PLAIN,
			.fd = f->fds[i],
			.areas = i == SPARSE ? f->areas : NULL,
			.n_areas = i == SPARSE ? 2 : 0,
		};
	}
}

static void *serve(void *arg)
{
	struct fixture *f = arg;
	struct err err;

	vfu_serve(f->server, &err);
	return NULL;
}

static void on_gone(void *opaque)
{
	struct fixture *f = opaque;

	__atomic_fetch_add(&f->gone, 1, __ATOMIC_RELEASE);
}

static int connect_client(struct fixture *f, int socket, bool messages, unsigned int timeout_ms,
			  struct err *err)
{
	const struct vfu_client_options options = {
		.name = "served",
		.fd = socket,
		.messages = messages,
		.shared = { { .iova = RAM_AT, .size = RAM, .hva = f->ram, .fd = f->ram_fd } },
		.n_shared = 1,
		.timeout_ms = timeout_ms,
		.gone = on_gone,
		.opaque = f,
	};
	int ret = vfu_client_create(&f->client, &options, err);

	if (!ret)
		f->sys = vfu_client_sys(f->client);
	return ret;
}

static struct fixture *make(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->socket = -1;
	f->ram_fd = make_memfd(RAM, true);
	f->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, f->ram_fd, 0);
	assert_ptr_not_equal(f->ram, MAP_FAILED);
	for (unsigned int i = 0; i < ARRAY_SIZE(f->fds); i++)
		f->fds[i] = -1;
	return f;
}

static void start(struct fixture *f, bool messages)
{
	struct vfu_device device;
	struct err err = { 0 };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	describe(f, &device);
	assert_ok(vfu_server_create(&f->server, pair[1], &device, &err), &err);
	assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
	f->serving = true;
	assert_ok(connect_client(f, pair[0], messages, 0, &err), &err);
}

static int setup(void **state)
{
	struct fixture *f = make();

	start(f, false);
	*state = f;
	return 0;
}

static int setup_messages(void **state)
{
	struct fixture *f = make();

	start(f, true);
	*state = f;
	return 0;
}

/* A socket whose other end says what the test says, which is nothing at first. */
static int setup_silent(void **state)
{
	*state = make();
	return 0;
}

static void end_server(struct fixture *f)
{
	if (!f->serving)
		return;
	vfu_stop(f->server);
	pthread_join(f->thread, NULL);
	vfu_server_destroy(f->server);
	f->serving = false;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vfu_client_destroy(f->client);
	end_server(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(f->fds); i++) {
		if (f->fds[i] >= 0)
			close(f->fds[i]);
	}
	if (f->socket >= 0)
		close(f->socket);
	munmap(f->ram, RAM);
	close(f->ram_fd);
	free(f);
	return 0;
}

/* --- calls as passthrough/vfio makes them ---------------------------------------------------- */

struct region {
	struct vfio_region_info info;
	uint8_t caps[256];
};

static int get_region(struct fixture *f, unsigned int index, struct region *region)
{
	*region = (struct region){ .info = { .argsz = sizeof(*region), .index = index } };
	return f->sys->ioctl(f->sys->opaque, -1, VFIO_DEVICE_GET_REGION_INFO, &region->info);
}

static uint32_t flags_of(struct fixture *f, unsigned int index)
{
	struct region region;

	assert_int_equal(get_region(f, index, &region), 0);
	assert_int_equal(region.info.size, BAR);
	return region.info.flags;
}

static int map(struct fixture *f, unsigned int index, uint64_t at, size_t size, uint8_t **out)
{
	struct region region;
	int ret;

	assert_int_equal(get_region(f, index, &region), 0);
	*out = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(*out, MAP_FAILED);
	ret = f->sys->mmap(f->sys->opaque, -1, *out, size, true, region.info.offset + at);
	if (ret)
		munmap(*out, size);
	return ret;
}

static int read_bar(struct fixture *f, void *data, size_t size)
{
	struct region region;
	int ret = get_region(f, PLAIN, &region);

	if (ret)
		return ret;
	return (int)f->sys->pread(f->sys->opaque, -1, data, size, region.info.offset);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void registers_are_read_and_written(void **state)
{
	struct fixture *f = *state;
	const uint32_t value = 0x12345678;
	struct region region;
	uint32_t got = 0;

	assert_int_equal(get_region(f, PLAIN, &region), 0);
	assert_int_equal(f->sys->pwrite(f->sys->opaque, -1, &value, 4, region.info.offset), 4);
	assert_int_equal(read_bar(f, &got, 4), 4); /* it comes behind the posted write */
	assert_int_equal(got, value);
	assert_int_equal(f->sys->ioctl(f->sys->opaque, -1, VFIO_DEVICE_RESET, NULL), 0);
	assert_int_equal(read_bar(f, &got, 4), 4);
	assert_int_equal(got, 0);
}

static void a_bar_is_mapped_where_that_is_offered(void **state)
{
	struct fixture *f = *state;
	uint8_t *bar, byte = 0;

	assert_false(flags_of(f, PLAIN) & VFIO_REGION_INFO_FLAG_MMAP);
	assert_int_equal(map(f, PLAIN, 0, PAGE, &bar), -EINVAL);
	assert_true(flags_of(f, SEALED) & VFIO_REGION_INFO_FLAG_MMAP);
	assert_int_equal(map(f, SEALED, 0, BAR, &bar), 0);
	bar[3 * PAGE + 5] = 0x77;
	assert_int_equal(pread(f->fds[SEALED], &byte, 1, 3 * PAGE + 5), 1);
	assert_int_equal(byte, 0x77);
	munmap(bar, BAR);
	assert_int_equal(map(f, SEALED, PAGE, BAR, &bar), -EINVAL);
}

static void parts_that_may_be_mapped_are_named(void **state)
{
	struct fixture *f = *state;
	const struct vfio_region_info_cap_sparse_mmap *sparse;
	struct region region;

	assert_int_equal(get_region(f, SPARSE, &region), 0);
	assert_true(region.info.flags & VFIO_REGION_INFO_FLAG_CAPS);
	sparse = (const void *)((const char *)&region + region.info.cap_offset);
	assert_int_equal(sparse->header.id, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
	assert_int_equal(sparse->nr_areas, 2);
	assert_int_equal(sparse->areas[1].offset, 2 * PAGE);
	assert_int_equal(sparse->areas[1].size, 2 * PAGE);
}

static void what_could_end_under_the_guest_is_not_mapped(void **state)
{
	struct fixture *f = *state;

	assert_false(flags_of(f, SHRINKS) & VFIO_REGION_INFO_FLAG_MMAP);
	assert_false(flags_of(f, TOO_LONG) & VFIO_REGION_INFO_FLAG_MMAP);
}

static void interrupts_of_many_vectors_go_in_several_messages(void **state)
{
	struct fixture *f = *state;
	_Alignas(struct vfio_irq_set)
		uint8_t bytes[sizeof(struct vfio_irq_set) + VECTORS * sizeof(int)];
	struct vfio_irq_set *set = (struct vfio_irq_set *)bytes;
	int fds[VECTORS];
	uint64_t n;

	*set = (struct vfio_irq_set){ .argsz = sizeof(bytes),
				      .flags = VFIO_IRQ_SET_DATA_EVENTFD |
					       VFIO_IRQ_SET_ACTION_TRIGGER,
				      .index = VFIO_PCI_MSIX_IRQ_INDEX,
				      .count = VECTORS };
	for (unsigned int i = 0; i < VECTORS; i++)
		fds[i] = i == 20 ? -1 : eventfd(0, 0);
	memcpy(set->data, fds, sizeof(fds));
	assert_int_equal(f->sys->ioctl(f->sys->opaque, -1, VFIO_DEVICE_SET_IRQS, set), 0);
	for (unsigned int i = 0; i < VECTORS; i++) {
		vfu_fire(f->server, i);
		if (i == 20)
			continue;
		assert_int_equal(read(fds[i], &n, sizeof(n)), sizeof(n));
		assert_int_equal(n, 1);
		close(fds[i]);
	}
}

static void memory_is_given_as_descriptors_where_that_was_chosen(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->maps, 1);
	assert_int_equal(f->with_fd, 1);
}

static void by_messages_no_descriptor_is_given(void **state)
{
	struct fixture *f = *state;
	uint8_t data[300];

	assert_int_equal(f->maps, 1);
	assert_int_equal(f->with_fd, 0);
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	assert_int_equal(vfu_dma_write(f->server, RAM_AT + 100, data, sizeof(data)), 0);
	assert_memory_equal(f->ram + 100, data, sizeof(data));
	memset(data, 0, sizeof(data));
	assert_int_equal(vfu_dma_read(f->server, RAM_AT + 100, data, sizeof(data)), 0);
	assert_memory_equal(f->ram + 100, data, sizeof(data));
}

static void a_server_reads_and_writes_nothing_else(void **state)
{
	struct fixture *f = *state;
	uint8_t data[16] = { 0 };

	assert_int_equal(vfu_dma_read(f->server, RAM_AT - 8, data, 16), -EFAULT);
	assert_int_equal(vfu_dma_read(f->server, RAM_AT + RAM - 8, data, 16), -EFAULT);
	assert_int_equal(vfu_dma_write(f->server, RAM_AT + RAM, data, 16), -EFAULT);
	assert_int_equal(vfu_dma_write(f->server, UINT64_MAX - 7, data, 8), -EFAULT);
	assert_int_equal(vfu_dma_read(f->server, 0, data, 16), -EFAULT);
	assert_int_equal(vfu_dma_read(f->server, RAM_AT, data, 16), 0); /* and it goes on */
}

static void a_server_that_ends_is_told_once_and_calls_fail(void **state)
{
	struct fixture *f = *state;
	uint32_t got;

	end_server(f);
	while (!__atomic_load_n(&f->gone, __ATOMIC_ACQUIRE))
		;
	assert_true(read_bar(f, &got, 4) < 0);
	assert_true(f->sys->ioctl(f->sys->opaque, -1, VFIO_DEVICE_RESET, NULL) < 0);
	assert_int_equal(f->gone, 1);
}

static void a_server_that_says_nothing_is_given_up(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->socket = pair[1];
	assert_true(connect_client(f, pair[0], false, 50, &err) < 0);
	assert_non_null(strstr(err.text, "does not negotiate"));
	f->client = NULL;
}

struct mute {
	int socket;
	unsigned int answers; /* then it says no more */
};

/* Answers what sets a client up: its version and its memory. */
static void *answer(void *arg)
{
	const struct mute *mute = arg;
	struct vfu_message message = { 0 };

	for (unsigned int i = 0; vfu_receive(mute->socket, &message) > 0; i++) {
		struct vfu_header header = message.header;

		if (i >= mute->answers || header.flags & VFU_NO_REPLY)
			continue;
		header.flags = VFU_TYPE_REPLY;
		vfu_send_parts(mute->socket, &header, message.body, message.size, NULL, 0, NULL, 0);
	}
	vfu_message_free(&message);
	return NULL;
}

static void a_server_that_falls_silent_is_gone(void **state)
{
	struct fixture *f = *state;
	struct mute mute = { .answers = 2 };
	struct err err = { 0 };
	pthread_t thread;
	uint32_t got;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	mute.socket = f->socket = pair[1];
	assert_int_equal(pthread_create(&thread, NULL, answer, &mute), 0);
	assert_ok(connect_client(f, pair[0], false, 200, &err), &err);
	assert_true(read_bar(f, &got, 4) < 0);
	assert_int_equal(__atomic_load_n(&f->gone, __ATOMIC_ACQUIRE), 1);
	pthread_join(thread, NULL);
}

#define TEST(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define MESSAGES(name) cmocka_unit_test_setup_teardown(name, setup_messages, teardown)
#define SILENT(name)   cmocka_unit_test_setup_teardown(name, setup_silent, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers_are_read_and_written),
		TEST(a_bar_is_mapped_where_that_is_offered),
		TEST(parts_that_may_be_mapped_are_named),
		TEST(what_could_end_under_the_guest_is_not_mapped),
		TEST(interrupts_of_many_vectors_go_in_several_messages),
		TEST(memory_is_given_as_descriptors_where_that_was_chosen),
		MESSAGES(by_messages_no_descriptor_is_given),
		MESSAGES(a_server_reads_and_writes_nothing_else),
		TEST(a_server_that_ends_is_told_once_and_calls_fail),
		SILENT(a_server_that_says_nothing_is_given_up),
		SILENT(a_server_that_falls_silent_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
