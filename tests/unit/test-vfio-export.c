/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual DSA served over vfio-user, from the client's side: it is configured by messages, moves
 * the client's memory by memfd and by messages, and nothing that a client does or leaves undone
 * keeps the server from going on.
 */
#include "tests/unit/test-vfio-dsa.h"
#include "tests/unit/test-vfio-script.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "passthrough/adi/dsa.h"
#include "passthrough/pci/pci.h"
#include "passthrough/vfio-user/export.h"
#include "util/bits.h"

#define RAM	   (1 * MIB)
#define RAM_AT	   0x40000000ULL
#define PAGE	   4096u
#define SOURCE	   (RAM_AT + 0x10000)
#define TARGET	   (RAM_AT + 0x20000)
#define RECORD	   (RAM_AT + 0x30000)
#define OTHER_AT   0x80000000ULL
#define ALL_RIGHTS (VFU_DMA_READABLE | VFU_DMA_WRITABLE)

struct fixture {
	struct ioasid_ctx *ctx;
	struct vfu_export *export;
	struct ioasid_space *guest;
	struct dsa *dsa;
	struct peer peer;
	int served; /* the server's end, until it is handed over */
	pthread_t thread;
	bool running;
	int fd, interrupt;
	uint8_t *ram;		    /* the client's */
	uint64_t read_only, silent; /* addresses from which on writes fail; that are not answered */
	uint64_t answered_again;    /* and from which on they are */
	unsigned int answers, unanswered;
	bool other; /* a page at OTHER_AT is answered too, with that of RAM_AT */
};

static void answer_dma(void *arg);

/* --- server ---------------------------------------------------------------------------------- */

static void *serve(void *arg)
{
	struct fixture *f = arg;
	struct err err;

	vfu_export_serve(f->export, f->served, &err);
	return NULL;
}

static void connect_peer(struct fixture *f)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->peer = (struct peer){ .socket = pair[0], .asked = answer_dma, .arg = f };
	f->served = pair[1];
	assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
	f->running = true;
	assert_int_equal(peer_version(&f->peer, NULL), 0);
}

/* Also where the server waits for us: it must come back by itself. */
static void disconnect(struct fixture *f)
{
	peer_close(&f->peer);
	pthread_join(f->thread, NULL);
	f->running = false;
}

static int make_memfd(unsigned int seals)
{
	int fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, RAM), 0);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct dsa_options options = {
		.id = "dsa0", .wqs = 1, .wq = { { .size = 16 } }, .engines = 1
	};
	const struct ioasid_range all = { 0, UINT64_MAX };
	const struct pci_svm_options svm = { .ats = true, .pasid = true, .pasid_width = 9 };
	struct err err = { 0 };

	f->read_only = f->silent = f->answered_again = UINT64_MAX;
	f->interrupt = eventfd(0, 0);
	f->fd = make_memfd(F_SEAL_SHRINK);
	f->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	assert_ptr_not_equal(f->ram, MAP_FAILED);
	assert_ok(ioasid_ctx_open(&f->ctx, IOASID_PROVIDER_SOFT, NULL, &err), &err);
	assert_ok(vfu_export_create(&f->export, "dsa0", NULL, &err), &err);
	assert_ok(vfu_export_space(f->export, f->ctx, "guest", all, IOASID_READ | IOASID_WRITE,
				   &f->guest, &err),
		  &err);
	assert_ok(dsa_create_apart(&f->dsa, vfu_export_epoch(f->export), f->ctx, f->guest, &options,
				   &err),
		  &err);
	assert_ok(pci_function_svm(dsa_function(f->dsa), &svm, &err), &err);
	assert_ok(vfu_export_function(f->export, dsa_function(f->dsa), &err), &err);
	connect_peer(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->running)
		disconnect(f);
	vfu_export_destroy(f->export);
	ioasid_ctx_close(f->ctx);
	munmap(f->ram, RAM);
	close(f->fd);
	close(f->interrupt);
	free(f);
	return 0;
}

/* --- a driver by messages -------------------------------------------------------------------- */

static void submit(struct fixture *f, uint64_t from, uint64_t to, uint32_t size)
{
	memset(f->ram + (RECORD - RAM_AT), 0, sizeof(struct dsa_record));
	peer_move(&f->peer, from, to, size, RECORD);
}

/* --- the client's side of DMA by messages ---------------------------------------------------- */

static void answer_dma(void *arg)
{
	struct fixture *f = arg;
	struct vfu_header header = f->peer.reply.header;
	struct vfu_dma_access access;
	uint8_t *at;

	assert_true(f->peer.reply.size >= sizeof(access));
	memcpy(&access, f->peer.reply.body, sizeof(access));
	if (access.address >= f->silent && access.address < f->answered_again) {
		f->unanswered++;
		return;
	}
	header.flags = VFU_TYPE_REPLY;
	f->answers++;
	if (f->other && range_inside(access.address, access.count, OTHER_AT, PAGE)) {
		assert_int_equal(vfu_send_parts(f->peer.socket, &header, &access, sizeof(access),
						f->ram, access.count, NULL, 0),
				 0);
		return;
	}
	if (!range_inside(access.address, access.count, RAM_AT, RAM) ||
	    (header.command == VFU_DMA_WRITE && access.address >= f->read_only)) {
		header.flags |= VFU_ERROR;
		header.error = EFAULT;
		assert_int_equal(vfu_send_parts(f->peer.socket, &header, NULL, 0, NULL, 0, NULL, 0),
				 0);
		return;
	}
	at = f->ram + (access.address - RAM_AT);
	if (header.command == VFU_DMA_WRITE)
		memcpy(at, f->peer.reply.body + sizeof(access), access.count);
	assert_int_equal(vfu_send_parts(f->peer.socket, &header, &access, sizeof(access), at,
					header.command == VFU_DMA_READ ? access.count : 0, NULL, 0),
			 0);
}

/* Until the interrupt; DMA requests are answered meanwhile. */
static uint8_t finish(struct fixture *f)
{
	struct pollfd fds[] = { { f->peer.socket, POLLIN, 0 }, { f->interrupt, POLLIN, 0 } };
	uint64_t n;

	for (;;) {
		assert_true(poll(fds, ARRAY_SIZE(fds), -1) > 0);
		if (fds[1].revents)
			break;
		assert_int_equal(vfu_receive(f->peer.socket, &f->peer.reply), 1);
		answer_dma(f);
	}
	assert_int_equal(read(f->interrupt, &n, sizeof(n)), sizeof(n));
	return f->ram[RECORD - RAM_AT];
}

/* Until the engine has asked for something that is not answered. */
static void wait_for_silence(struct fixture *f)
{
	while (!f->unanswered) {
		assert_int_equal(vfu_receive(f->peer.socket, &f->peer.reply), 1);
		answer_dma(f);
	}
	f->unanswered = 0;
}

static void fill_source(struct fixture *f, size_t size)
{
	for (size_t i = 0; i < size; i++)
		f->ram[SOURCE - RAM_AT + i] = (uint8_t)(i * 11 + 3);
}

static bool moved(struct fixture *f, size_t size)
{
	return !memcmp(f->ram + (SOURCE - RAM_AT), f->ram + (TARGET - RAM_AT), size);
}

static void move_and_check(struct fixture *f, uint32_t size)
{
	fill_source(f, size);
	submit(f, SOURCE, TARGET, size);
	assert_int_equal(finish(f), DSA_STATUS_OK);
	assert_true(moved(f, size));
}

/* --- tests ----------------------------------------------------------------------------------- */

static void the_function_is_a_dsa_with_the_capabilities_asked_for(void **state)
{
	struct fixture *f = *state;
	const uint8_t *config;
	uint32_t at = 0x100;
	bool pasid = false, ats = false;

	assert_int_equal(peer_read(&f->peer, VFU_REGION_CONFIG, 0, 4096), 0);
	config = peer_data(&f->peer);
	assert_int_equal(load_le(config, 4), 0x0b258086);
	while (at) {
		uint32_t head = (uint32_t)load_le(config + at, 4);

		ats |= (head & 0xffff) == PCI_EXT_CAP_ID_ATS;
		if ((head & 0xffff) == PCI_EXT_CAP_ID_PASID) {
			assert_int_equal(load_le(config + at + 4, 2) >> 8, 9);
			pasid = true;
		}
		assert_int_not_equal(head & 0xffff, PCI_EXT_CAP_ID_PRI);
		at = head >> 20;
	}
	assert_true(ats && pasid);
}

static void memory_is_moved_through_a_memfd(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(peer_map(&f->peer, RAM_AT, RAM, ALL_RIGHTS, f->fd, 0), 0);
	peer_enable(&f->peer, f->interrupt);
	move_and_check(f, 10000);
	assert_int_equal(f->answers, 0);
}

static void memory_is_moved_by_messages(void **state)
{
	struct fixture *f = *state;

	peer_enable(&f->peer, f->interrupt);
	move_and_check(f, 10000);
	assert_true(f->answers >= 3);
}

/* As Cloud Hypervisor's: a memfd without seals. Its end is that of the descriptor that met it. */
static void memory_that_shrinks_fails_who_touches_it(void **state)
{
	struct fixture *f = *state;
	int fd = make_memfd(0);

	assert_int_equal(peer_map(&f->peer, RAM_AT, RAM, ALL_RIGHTS, f->fd, 0), 0);
	assert_int_equal(peer_map(&f->peer, OTHER_AT, RAM, ALL_RIGHTS, fd, 0), 0);
	peer_enable(&f->peer, f->interrupt);
	submit(f, OTHER_AT, TARGET, 10000);
	assert_int_equal(finish(f), DSA_STATUS_OK);
	assert_int_equal(ftruncate(fd, 0), 0);
	submit(f, OTHER_AT, TARGET, 10000);
	assert_int_equal(finish(f), DSA_STATUS_TRANSLATION);
	submit(f, SOURCE, OTHER_AT, 10000);
	assert_int_equal(finish(f), DSA_STATUS_TRANSLATION | DSA_STATUS_WRITE);
	move_and_check(f, 10000);
	assert_int_equal(f->answers, 0);
	close(fd);
}

/* A file system could hold its pages back for as long as it likes. */
static void what_is_no_memory_is_moved_by_messages(void **state)
{
	struct fixture *f = *state;
	char path[] = "test-vfio-export.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	if (fcntl(fd, F_GET_SEALS) >= 0) {
		close(fd);
		skip_because("the work folder is in memory");
	}
	assert_int_equal(ftruncate(fd, RAM), 0);
	assert_int_equal(peer_map(&f->peer, RAM_AT, RAM, ALL_RIGHTS, fd, 0), 0);
	peer_enable(&f->peer, f->interrupt);
	move_and_check(f, 10000);
	assert_true(f->answers >= 3);
	close(fd);
}

/* Some clients take a question for an answer: it is asked only where it must be. */
static void who_shares_memory_is_asked_for_no_other(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(peer_map(&f->peer, RAM_AT, RAM, ALL_RIGHTS, f->fd, 0), 0);
	assert_int_equal(peer_map(&f->peer, OTHER_AT, PAGE, ALL_RIGHTS, -1, 0), 0);
	peer_enable(&f->peer, f->interrupt);
	submit(f, RAM_AT + RAM, TARGET, 64);
	assert_int_equal(finish(f), DSA_STATUS_PAGE_FAULT);
	assert_int_equal(f->answers, 0);
	submit(f, OTHER_AT + PAGE - 32, TARGET, 64);
	assert_int_equal(finish(f), DSA_STATUS_PAGE_FAULT);
	f->other = true;
	submit(f, OTHER_AT, TARGET, 64);
	assert_int_equal(finish(f), DSA_STATUS_OK);
	assert_true(f->answers > 0);
}

/* As QEMU does it for a virtual IOMMU with second-stage tables: each page is a range. */
static void transfers_span_ranges_of_single_pages(void **state)
{
	struct fixture *f = *state;

	peer_enable(&f->peer, f->interrupt);
	for (uint64_t at = 0; at < RAM; at += PAGE) {
		bool source = at >= SOURCE - RAM_AT && at < TARGET - RAM_AT;

		/* Pages lie in the file in reverse order. */
		assert_int_equal(peer_map(&f->peer, RAM_AT + at, PAGE,
					  source ? VFU_DMA_READABLE : ALL_RIGHTS, f->fd,
					  RAM - PAGE - at),
				 0);
	}
	for (uint64_t i = 0; i < 10000; i++)
		f->ram[RAM - PAGE - align_down(SOURCE - RAM_AT + i, PAGE) + i % PAGE] = (uint8_t)i;
	submit(f, SOURCE, TARGET, 10000);
	finish(f); /* its record lies elsewhere in the file: the bytes tell */
	for (uint64_t i = 0; i < 10000; i++)
		assert_int_equal(
			f->ram[RAM - PAGE - align_down(TARGET - RAM_AT + i, PAGE) + i % PAGE],
			(uint8_t)i);
	for (uint64_t at = 0; at < RAM; at += PAGE)
		assert_int_equal(peer_unmap(&f->peer, RAM_AT + at, PAGE), 0);
}

static void what_is_read_only_is_not_written(void **state)
{
	struct fixture *f = *state;
	const uint64_t half = TARGET - RAM_AT;

	assert_int_equal(peer_map(&f->peer, RAM_AT, half, ALL_RIGHTS, f->fd, 0), 0);
	assert_int_equal(peer_map(&f->peer, TARGET, PAGE, VFU_DMA_READABLE, f->fd, half), 0);
	assert_int_equal(peer_map(&f->peer, RECORD, PAGE, ALL_RIGHTS, f->fd, RECORD - RAM_AT), 0);
	peer_enable(&f->peer, f->interrupt);
	fill_source(f, 100);
	submit(f, SOURCE, TARGET, 100);
	assert_int_equal(finish(f), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	assert_false(moved(f, 100));
}

static void ranges_do_not_overlap_and_are_unmapped_whole(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(peer_map(&f->peer, RAM_AT, 4 * PAGE, ALL_RIGHTS, f->fd, 0), 0);
	assert_int_equal(peer_map(&f->peer, RAM_AT + PAGE, PAGE, ALL_RIGHTS, f->fd, 0), EEXIST);
	assert_int_equal(peer_map(&f->peer, RAM_AT + PAGE, PAGE, ALL_RIGHTS, -1, 0), EEXIST);
	assert_int_equal(peer_unmap(&f->peer, RAM_AT, PAGE), ENOENT);
	assert_int_equal(peer_unmap(&f->peer, RAM_AT - PAGE, PAGE), ENOENT);
	assert_int_equal(peer_unmap(&f->peer, RAM_AT, 4 * PAGE), 0);
	assert_int_equal(peer_unmap(&f->peer, RAM_AT, 4 * PAGE), ENOENT);
	assert_int_equal(peer_map(&f->peer, RAM_AT + PAGE, PAGE, ALL_RIGHTS, -1, 0), 0);
	assert_int_equal(peer_map(&f->peer, RAM_AT, 4 * PAGE, ALL_RIGHTS, f->fd, 0), EEXIST);
}

static void descriptors_that_do_not_fit_are_refused(void **state)
{
	struct fixture *f = *state;
	char path[32];
	int fd;

	assert_int_equal(peer_map(&f->peer, RAM_AT, RAM, ALL_RIGHTS, f->fd, PAGE), EINVAL);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(peer_map(&f->peer, RAM_AT, RAM, ALL_RIGHTS, fd, 0), EACCES);
	assert_int_equal(peer_map(&f->peer, RAM_AT, RAM, VFU_DMA_READABLE, fd, 0), 0);
	close(fd);
}

static void unmapped_memory_is_not_reached(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(peer_map(&f->peer, RAM_AT, RAM, ALL_RIGHTS, f->fd, 0), 0);
	peer_enable(&f->peer, f->interrupt);
	move_and_check(f, 100);
	assert_int_equal(peer_unmap(&f->peer, RAM_AT, RAM), 0);
	memset(f->ram + (TARGET - RAM_AT), 0, 100);
	f->silent = 0;
	submit(f, SOURCE, TARGET, 100);
	wait_for_silence(f); /* it asks by message, and gets no answer */
	assert_false(moved(f, 100));
}

static void forget_interrupts(struct fixture *f)
{
	struct pollfd fd = { f->interrupt, POLLIN, 0 };
	uint64_t n;

	if (poll(&fd, 1, 0) == 1)
		assert_int_equal(read(f->interrupt, &n, sizeof(n)), sizeof(n));
}

static void an_unmap_ends_a_wait_for_the_client(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(peer_map(&f->peer, RAM_AT, RAM, ALL_RIGHTS, -1, 0), 0);
	peer_enable(&f->peer, f->interrupt);
	f->silent = SOURCE;
	f->answered_again = TARGET; /* the record is asked for before the unmap is answered */
	submit(f, SOURCE, TARGET, 100);
	wait_for_silence(f);
	assert_int_equal(peer_unmap(&f->peer, RAM_AT, RAM), 0);
	f->silent = UINT64_MAX;
	/* The descriptor failed; its record may have come before the end of the unmap, or after. */
	while (!(peer_register(&f->peer, DSA_SWERR, 8) & DSA_SWERR_VALID) &&
	       !__atomic_load_n(&f->ram[RECORD - RAM_AT], __ATOMIC_ACQUIRE))
		;
	assert_int_equal(peer_command(&f->peer, DSA_RESET_DEVICE), 0);
	forget_interrupts(f);
	peer_enable(&f->peer, f->interrupt);
	move_and_check(f, 100);
}

static void a_reset_ends_a_wait_for_the_client(void **state)
{
	struct fixture *f = *state;

	peer_enable(&f->peer, f->interrupt);
	f->silent = SOURCE;
	submit(f, SOURCE, TARGET, 100);
	wait_for_silence(f);
	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_RESET, NULL, 0), 0);
	assert_int_equal(peer_register(&f->peer, DSA_GENSTS, 4) & 3, DSA_STATE_DISABLED);
	f->silent = UINT64_MAX;
	peer_enable(&f->peer, f->interrupt);
	move_and_check(f, 100);
}

static void a_write_that_the_client_refuses_is_a_fault(void **state)
{
	struct fixture *f = *state;

	peer_enable(&f->peer, f->interrupt);
	fill_source(f, 100);
	f->read_only = TARGET;
	submit(f, SOURCE, TARGET, 100);
	/* Not even the record can be written there: the device says so in a register. */
	while (!(peer_register(&f->peer, DSA_SWERR, 8) & DSA_SWERR_VALID))
		;
	assert_false(moved(f, 100));
}

static void a_client_that_leaves_in_the_middle_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	peer_enable(&f->peer, f->interrupt);
	f->silent = SOURCE;
	submit(f, SOURCE, TARGET, 100);
	wait_for_silence(f);
	disconnect(f);

	f->silent = UINT64_MAX;
	connect_peer(f);
	assert_int_equal(peer_register(&f->peer, DSA_GENSTS, 4) & 3, DSA_STATE_DISABLED);
	assert_int_equal(peer_read(&f->peer, VFU_REGION_CONFIG, PCI_COMMAND, 2), 0);
	assert_int_equal(load_le(peer_data(&f->peer), 2), 0);
	peer_enable(&f->peer, f->interrupt);
	move_and_check(f, 100);
}

static void a_client_that_reads_nothing_is_left(void **state)
{
	struct fixture *f = *state;
	const struct vfu_region_access access = { 0, VFU_REGION_CONFIG, 4096 };
	struct vfu_header header = { .command = VFU_REGION_READ };
	int ret = 0;

	assert_int_equal(fcntl(f->peer.socket, F_SETFL, O_NONBLOCK), 0);
	while (!ret)
		ret = vfu_send_parts(f->peer.socket, &header, &access, sizeof(access), NULL, 0,
				     NULL, 0);
	assert_int_equal(ret, -EAGAIN);
	vfu_export_stop(f->export);
	pthread_join(f->thread, NULL);
	f->running = false;
	peer_close(&f->peer);
}

/* An eventfd that nobody empties and that a write would wait for: nobody does. */
static void a_full_eventfd_stops_nobody(void **state)
{
	struct fixture *f = *state;
	const uint64_t full = UINT64_MAX - 1;
	const struct dsa_record *record = (const void *)(f->ram + (RECORD - RAM_AT));

	assert_int_equal(peer_map(&f->peer, RAM_AT, RAM, ALL_RIGHTS, f->fd, 0), 0);
	peer_enable(&f->peer, f->interrupt);
	assert_int_equal(fcntl(f->interrupt, F_SETFL, 0), 0);
	assert_int_equal(write(f->interrupt, &full, sizeof(full)), sizeof(full));
	for (unsigned int i = 0; i < 3; i++) {
		submit(f, SOURCE, TARGET, 100);
		while (!__atomic_load_n(&record->status, __ATOMIC_ACQUIRE))
			;
	}
	assert_int_equal(peer_command(&f->peer, DSA_DRAIN_ALL), 0);
	disconnect(f);
	connect_peer(f);
	assert_int_equal(peer_register(&f->peer, DSA_GENSTS, 4) & 3, DSA_STATE_DISABLED);
}

static void a_configuration_reset_is_a_function_level_reset(void **state)
{
	struct fixture *f = *state;
	const uint16_t flr = PCI_EXP_DEVCTL_BCR_FLR;
	uint32_t at;

	peer_enable(&f->peer, f->interrupt);
	assert_int_equal(peer_read(&f->peer, VFU_REGION_CONFIG, 0, 256), 0);
	at = ((const uint8_t *)peer_data(&f->peer))[PCI_CAPABILITY_LIST];
	while (((const uint8_t *)peer_data(&f->peer))[at] != PCI_CAP_ID_EXP)
		at = ((const uint8_t *)peer_data(&f->peer))[at + 1];
	f->silent = SOURCE;
	submit(f, SOURCE, TARGET, 100);
	wait_for_silence(f);
	assert_int_equal(peer_write(&f->peer, VFU_REGION_CONFIG, at + PCI_EXP_DEVCTL, &flr, 2), 0);
	assert_int_equal(peer_register(&f->peer, DSA_GENSTS, 4) & 3, DSA_STATE_DISABLED);
}

/* --- a connection that ends anywhere --------------------------------------------------------- */

static unsigned int open_descriptors(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* At every byte, with and without somebody who still reads; the next client finds it all well. */
static void a_connection_that_ends_at_any_byte_hurts_nobody(void **state)
{
	struct fixture *f = *state;
	const struct script_memory memory = { RAM_AT, RAM,   SOURCE,	  TARGET,
					      RECORD, f->fd, f->interrupt };
	struct dsa_counters counters;
	unsigned int before;
	struct script s;

	disconnect(f);
	script_make(&s, &memory);
	before = open_descriptors();
	for (size_t cut = 0; cut <= s.size; cut++) {
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		f->served = pair[1];
		assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
		script_cut(pair[0], &s, cut);
		pthread_join(f->thread, NULL);
		if (!(cut % 2))
			close(pair[0]);
		assert_int_equal(open_descriptors(), before);
	}
	dsa_counters_read(f->dsa, &counters);
	assert_true(counters.accepted); /* it did come so far */
	connect_peer(f);
	assert_int_equal(peer_register(&f->peer, DSA_GENSTS, 4) & 3, DSA_STATE_DISABLED);
	assert_int_equal(peer_map(&f->peer, RAM_AT, RAM, ALL_RIGHTS, f->fd, 0), 0);
	forget_interrupts(f);
	peer_enable(&f->peer, f->interrupt);
	move_and_check(f, 10000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_function_is_a_dsa_with_the_capabilities_asked_for),
		TEST(memory_is_moved_through_a_memfd),
		TEST(memory_is_moved_by_messages),
		TEST(memory_that_shrinks_fails_who_touches_it),
		TEST(what_is_no_memory_is_moved_by_messages),
		TEST(who_shares_memory_is_asked_for_no_other),
		TEST(transfers_span_ranges_of_single_pages),
		TEST(what_is_read_only_is_not_written),
		TEST(ranges_do_not_overlap_and_are_unmapped_whole),
		TEST(descriptors_that_do_not_fit_are_refused),
		TEST(unmapped_memory_is_not_reached),
		TEST(an_unmap_ends_a_wait_for_the_client),
		TEST(a_reset_ends_a_wait_for_the_client),
		TEST(a_write_that_the_client_refuses_is_a_fault),
		TEST(a_client_that_leaves_in_the_middle_leaves_nothing),
		TEST(a_client_that_reads_nothing_is_left),
		TEST(a_full_eventfd_stops_nobody),
		TEST(a_configuration_reset_is_a_function_level_reset),
		TEST(a_connection_that_ends_at_any_byte_hurts_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
