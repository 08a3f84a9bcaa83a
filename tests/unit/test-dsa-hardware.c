/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back ends on real devices, without one: the descriptors that would reach the device byte by byte,
 * hostile ones among them, and the whole path to a host work queue with a stand-in for the queue: a
 * FIFO whose reader does what a device would, in the helper's address space and nowhere else.
 * Nothing here shows that a device agrees.
 */
#include "tests/unit/test-dsa.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "passthrough/adi/dsa-hardware.h"
#include "passthrough/adi/idxd-helper.h"
#include "passthrough/adi/idxd-spawner.h"
#include "util/sandbox.h"

#define IN     (WINDOW + 0x10000)
#define OUT    (2 * MIB)
#define DEVICE 0x7f0000000000ULL /* where the window is for the device */

/* --- descriptors ----------------------------------------------------------------------------- */

/* The window in two pieces that follow each other, then one that does not, read-only. */
static const struct dsa_reach reach = {
	.n = 3,
	.piece = {
		{ WINDOW, 2 * MIB, DEVICE, IOASID_READ | IOASID_WRITE },
		{ WINDOW + 2 * MIB, 2 * MIB, DEVICE + 2 * MIB, IOASID_READ | IOASID_WRITE },
		{ WINDOW + 4 * MIB, MIB, DEVICE + 8 * MIB, IOASID_READ },
	},
};

/* What the checks and dsa_private_make say of a descriptor; *out is what the device would get. */
static uint8_t make(struct dsa_rig *rig, const struct dsa_descriptor *d, struct dsa_descriptor *out,
		    uint64_t *fault)
{
	struct dsa_job job = { .descriptor = *d, .max_xfer_shift = 28, .max_batch_shift = 10 };
	static struct dsa_batch batch;
	struct dsa_outcome outcome;
	struct dsa_work work;

	*fault = 0;
	memset(out, 0xee, sizeof(*out));
	dsa_work_begin(&work, rig->dsa, NULL, &job, &outcome, &batch);
	if (!work.operation)
		return outcome.status;
	return dsa_private_make(&reach, &work, 77, out, fault);
}

/* Little-endian quadwords: PASID and flags, record, source, destination, size, specific. */
static void expect(struct dsa_rig *rig, const struct dsa_descriptor *d, const uint64_t golden[8])
{
	struct dsa_descriptor out;
	uint64_t fault;

	assert_int_equal(make(rig, d, &out, &fault), DSA_STATUS_OK);
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t word = load_le((const char *)&out + i * 8UL, 8);

		if (word != golden[i])
			fail_msg("opcode %#x, quadword %u: %#llx, not %#llx", dsa_opcode(d), i,
				 (unsigned long long)word, (unsigned long long)golden[i]);
	}
}

#define HEAD(opcode, flags) ((uint64_t)((opcode) << 24 | (flags) | 0xc) << 32 | 77)

static void descriptors_are_made_anew_byte_by_byte(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = move_with_record(IN + 0x2000, IN, 0x1000, OUT);

	bus_master(&rig, true);
	/* A move: both addresses, no record of the guest's, its hints, its PASID or its interrupt.
	 */
	d.pasid = 5 | 1u << 31;
	d.flags |= DSA_FLAG_FENCE | DSA_FLAG_CACHE | DSA_FLAG_TRAFFIC_CLASS | DSA_FLAG_STEER |
		   DSA_FLAG_STRICT_ORDER | DSA_FLAG_RECORD_STEER | DSA_FLAG_INTERRUPT;
	d.interrupt = 1;
	expect(&rig, &d,
	       (uint64_t[8]){ HEAD(3, 0x2100), 0, DEVICE + 0x10000, DEVICE + 0x12000, 0x1000 });
	d = (struct dsa_descriptor){ .flags = DSA_OP_FILL << 24,
				     .source = 0x1122334455667788,
				     .destination = IN,
				     .size = 64 };
	expect(&rig, &d, (uint64_t[8]){ HEAD(4, 0), 0, 0x1122334455667788, DEVICE + 0x10000, 64 });
	d = (struct dsa_descriptor){ .flags = DSA_OP_COMPARE << 24 | DSA_FLAG_CHECK_RESULT,
				     .source = IN,
				     .source2 = WINDOW + 4 * MIB,
				     .size = 32,
				     .expected = 1 };
	expect(&rig, &d,
	       (uint64_t[8]){ HEAD(5, 0x80), 0, DEVICE + 0x10000, DEVICE + 8 * MIB, 32, 1 });
	d = (struct dsa_descriptor){ .flags = DSA_OP_COMPARE_PATTERN << 24,
				     .source = IN,
				     .destination = 0xaabb,
				     .size = 32 };
	expect(&rig, &d, (uint64_t[8]){ HEAD(6, 0), 0, DEVICE + 0x10000, 0xaabb, 32 });
	d = (struct dsa_descriptor){ .flags = DSA_OP_DUALCAST << 24,
				     .source = IN,
				     .destination = IN + 0x1000,
				     .size = 32,
				     .destination2 = IN + 0x3000 };
	expect(&rig, &d,
	       (uint64_t[8]){ HEAD(9, 0), 0, DEVICE + 0x10000, DEVICE + 0x11000, 32,
			      DEVICE + 0x13000 });
	d = (struct dsa_descriptor){ .flags = DSA_OP_DELTA_CREATE << 24,
				     .source = IN,
				     .source2 = IN + 0x1000,
				     .size = 64,
				     .delta = { .address = IN + 0x2000, .max_size = 80 } };
	expect(&rig, &d,
	       (uint64_t[8]){ HEAD(7, 0), 0, DEVICE + 0x10000, DEVICE + 0x11000, 64,
			      DEVICE + 0x12000, 80 });
	d = (struct dsa_descriptor){ .flags = DSA_OP_CRC << 24 | DSA_CRC_READ_SEED,
				     .source = IN,
				     .size = 64,
				     .crc = { .seed_address = IN + 0x40 } };
	expect(&rig, &d,
	       (uint64_t[8]){ HEAD(0x10, 0x10000), 0, DEVICE + 0x10000, 0, 64, 0,
			      DEVICE + 0x10040 });
	d = noop();
	expect(&rig, &d, (uint64_t[8]){ HEAD(0, 0) });
	rig_close(&rig);
}

/* Over the border of two pieces that follow each other there too, and of two that do not. */
static void operands_are_whole_or_refused(void **state)
{
	static const struct {
		uint64_t to, from;
		uint32_t size;
		uint8_t status;
		uint64_t fault;
	} rows[] = {
		{ WINDOW, WINDOW + 2 * MIB - 16, 32, DSA_STATUS_OK, 0 },
		{ WINDOW, WINDOW + 4 * MIB - 16, 32, DSA_STATUS_PAGE_FAULT, WINDOW + 4 * MIB },
		{ WINDOW, WINDOW - 1, 32, DSA_STATUS_PAGE_FAULT, WINDOW - 1 },
		{ WINDOW, OUT, 32, DSA_STATUS_PAGE_FAULT, OUT },
		{ OUT, WINDOW, 32, DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE, OUT },
		{ WINDOW + 4 * MIB, WINDOW, 32, DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE,
		  WINDOW + 4 * MIB },
		{ WINDOW, WINDOW + 5 * MIB - 1, 2, DSA_STATUS_PAGE_FAULT, WINDOW + 5 * MIB },
		{ WINDOW, DEVICE, 32, DSA_STATUS_PAGE_FAULT, DEVICE },
		{ WINDOW, ~0ULL - 15, 32, DSA_STATUS_PAGE_FAULT, ~0ULL - 15 },
	};
	RIG(rig, rig_options(true));

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		struct dsa_descriptor d = move(rows[i].to, rows[i].from, rows[i].size), out;
		uint64_t fault;

		if (make(&rig, &d, &out, &fault) != rows[i].status ||
		    (rows[i].fault && fault != rows[i].fault && rows[i].fault != ~0ULL - 15))
			fail_msg("row %u: fault at %#llx", i, (unsigned long long)fault);
	}
	rig_close(&rig);
}

/* Second addresses that no operand vouches for, lists, and what is no operation at all. */
static void hostile_descriptors_do_not_get_through(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor hostile[] = {
		{ .flags = DSA_OP_DUALCAST << 24,
		  .source = IN,
		  .destination = IN + 0x1000,
		  .size = 32,
		  .destination2 = OUT },
		{ .flags = DSA_OP_DELTA_CREATE << 24,
		  .source = IN,
		  .source2 = IN + 0x1000,
		  .size = 64,
		  .delta = { .address = OUT, .max_size = 80 } },
		{ .flags = DSA_OP_CRC << 24 | DSA_CRC_READ_SEED,
		  .source = IN,
		  .size = 64,
		  .crc = { .seed_address = OUT } },
		{ .flags = DSA_OP_BATCH << 24, .source = IN, .size = 2 },
		{ .flags = DSA_OP_DRAIN << 24 },
		{ .flags = 0x0bu << 24 },
		{ .flags = 0xffu << 24 },
		{ .flags = DSA_OP_MEMMOVE << 24 | DSA_FLAG_READ_BACK,
		  .source = IN,
		  .destination = IN + 64,
		  .size = 32 },
		{ .flags = DSA_OP_MEMMOVE << 24,
		  .source = IN,
		  .destination = IN + 64,
		  .size = 32,
		  .destination2 = OUT },
		{ .flags = DSA_OP_NOOP << 24, .source = OUT },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(hostile); i++) {
		struct dsa_descriptor out;
		uint64_t fault;

		if (make(&rig, &hostile[i], &out, &fault) == DSA_STATUS_OK)
			fail_msg("descriptor %u got through", i);
	}
	/* A seed address that is not used does not get through either. */
	{
		struct dsa_descriptor d = { .flags = DSA_OP_CRC << 24,
					    .source = IN,
					    .size = 64,
					    .crc = { .seed_address = OUT } };
		struct dsa_descriptor out;
		uint64_t fault;

		if (make(&rig, &d, &out, &fault) == DSA_STATUS_OK)
			assert_int_equal(out.crc.seed_address, 0);
	}
	rig_close(&rig);
}

/* Any bytes at all: whatever address is in what gets through lies inside. */
static void random_descriptors_stay_inside(void **state)
{
	RIG(rig, rig_options(true));
	uint64_t seed = 3;
	unsigned int through = 0;

	for (unsigned int round = 0; round < 200000; round++) {
		struct dsa_descriptor d, out;
		uint64_t fault, *words = (uint64_t *)&d;

		for (unsigned int i = 0; i < 8; i++)
			words[i] = random_next(&seed) % 4
					   ? 0
					   : WINDOW - 64 + random_next(&seed) % (6 * MIB);
		d.flags = random_next(&seed) % 0x21 << 24 | (random_next(&seed) & 0x2180);
		d.size = random_next(&seed) % 512;
		if (make(&rig, &d, &out, &fault) != DSA_STATUS_OK)
			continue;
		through++;
		if (dsa_opcode(&d) == DSA_OP_MEMMOVE) {
			assert_true(range_inside(out.source, d.size, DEVICE, 9 * MIB));
			assert_true(range_inside(out.destination, d.size, DEVICE, 4 * MIB));
		}
		assert_int_equal(out.pasid, 77);
		assert_int_equal(out.interrupt, 0);
		assert_int_equal(out.record, 0);
	}
	assert_true(through > 100);
	rig_close(&rig);
}

/* --- a host queue's stand-in ----------------------------------------------------------------- */

struct queue {
	struct dsa_rig rig;
	char directory[64], node[96];
	int fifo, memory;
	pthread_t device;
	bool device_quit;     /* atomic */
	uint64_t served;      /* atomic */
	uint64_t unreachable; /* atomic: accesses that the helper's address space refused */
	bool hold;	      /* atomic: take descriptors and never end them */
	struct dsa_descriptor last;
	struct idxd_spawner *spawner; /* NULL: none */
	pid_t starter;		      /* it; 0: none */
};

static pid_t child_of(pid_t pid)
{
	char path[64], line[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	return (pid_t)strtol(line, NULL, 10);
}

/* The helper is the only child of this process, or of who starts it, who is that then. */
static pid_t helper_of(void)
{
	pid_t child = child_of(getpid()), of_child = child ? child_of(child) : 0;

	return of_child ? of_child : child;
}

static bool helper_copy(struct queue *q, pid_t pid, uint64_t at, void *bytes, size_t n, bool write)
{
	struct iovec local = { bytes, n }, remote = { (void *)at, n };
	ssize_t done = write ? process_vm_writev(pid, &local, 1, &remote, 1, 0)
			     : process_vm_readv(pid, &local, 1, &remote, 1, 0);

	if (done == (ssize_t)n)
		return true;
	__atomic_fetch_add(&q->unreachable, 1, __ATOMIC_RELAXED);
	return false;
}

/* No-op and memory move, as a device whose DMA goes through the helper's address space. */
static void serve(struct queue *q, const struct dsa_descriptor *d)
{
	static uint8_t bytes[0x10000];
	struct dsa_record record = { .status = DSA_STATUS_OK };
	pid_t pid = helper_of();

	q->last = *d;
	if (dsa_opcode(d) == DSA_OP_MEMMOVE) {
		if (d->size > sizeof(bytes) ||
		    !helper_copy(q, pid, d->source, bytes, d->size, false)) {
			record.status = DSA_STATUS_PAGE_FAULT;
			record.fault = d->source;
		} else if (!helper_copy(q, pid, d->destination, bytes, d->size, true)) {
			record.status = DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE;
			record.fault = d->destination;
		}
	}
	/* The status last. */
	helper_copy(q, pid, d->record + 1, (char *)&record + 1, sizeof(record) - 1, true);
	helper_copy(q, pid, d->record, &record.status, 1, true);
	__atomic_fetch_add(&q->served, 1, __ATOMIC_RELEASE);
}

static void *device_main(void *arg)
{
	struct queue *q = arg;
	struct pollfd in = { .fd = q->fifo, .events = POLLIN };
	struct dsa_descriptor d;

	while (!__atomic_load_n(&q->device_quit, __ATOMIC_RELAXED)) {
		if (poll(&in, 1, 20) <= 0 || read(q->fifo, &d, sizeof(d)) != sizeof(d))
			continue;
		if (__atomic_load_n(&q->hold, __ATOMIC_RELAXED))
			__atomic_fetch_add(&q->served, 1, __ATOMIC_RELAXED);
		else
			serve(q, &d);
	}
	return NULL;
}

/* The window space maps the window, and that is all that the helper gets. */
static int what_a_space_maps(void *arg, const struct ioasid_space *space, struct dsa_piece *pieces,
			     unsigned int *n, struct err *err)
{
	struct queue *q = arg;
	bool window = space == q->rig.window;

	pieces[0] = (struct dsa_piece){
		.iova = window ? WINDOW : 0,
		.size = window ? WINDOW_SIZE : MEMORY,
		.fd = q->memory,
		.fd_offset = window ? WINDOW : 0,
		.rights = IOASID_READ | IOASID_WRITE,
	};
	*n = 1;
	return 0;
}

static void remove_node(struct queue *q)
{
	idxd_spawner_end(q->spawner);
	unlink(q->node);
	rmdir(q->directory);
}

/* With a sandbox, helpers are of somebody who was there before the guest's memory. */
static bool queue_open(struct queue *q, bool pasids, const struct sandbox *sandbox)
{
	struct dsa_options options = rig_options(pasids);
	const char *const nodes[] = { q->node };
	struct err err;

	memset(q, 0, sizeof(*q));
	q->fifo = -1;
	snprintf(q->directory, sizeof(q->directory), "/tmp/test-dsa-hardware.XXXXXX");
	assert_non_null(mkdtemp(q->directory));
	snprintf(q->node, sizeof(q->node), "%s/wq0.0", q->directory);
	assert_int_equal(mkfifo(q->node, 0600), 0);
	if (sandbox) {
		assert_ok(idxd_spawner_start(&q->spawner, nodes, 1, sandbox, &err), &err);
		q->starter = child_of(getpid());
	}
	if (!rig_open(&q->rig, NULL)) {
		remove_node(q);
		return false;
	}
	/* Guest memory as it is in a machine: one shared file. */
	q->memory = memfd_create("guest", MFD_CLOEXEC);
	assert_true(q->memory >= 0);
	assert_int_equal(ftruncate(q->memory, MEMORY), 0);
	assert_ptr_equal(mmap(q->rig.memory, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			      q->memory, 0),
			 q->rig.memory);
	q->fifo = open(q->node, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(q->fifo >= 0);
	options.backend = DSA_BACKEND_IDXD;
	options.spawner = q->spawner;
	options.host = (struct dsa_host){
		.reach = what_a_space_maps,
		.reach_arg = q,
		.node = q->node,
	};
	rig_add(&q->rig, &options);
	pthread_create(&q->device, NULL, device_main, q);
	return true;
}

static void queue_close(struct queue *q)
{
	rig_close(&q->rig);
	__atomic_store_n(&q->device_quit, true, __ATOMIC_RELAXED);
	pthread_join(q->device, NULL);
	assert_int_equal(helper_of(), q->starter);
	close(q->fifo);
	close(q->memory);
	remove_node(q);
}

#define QUEUE(q, pasids)                                           \
	struct queue q;                                            \
	do {                                                       \
		if (!queue_open(&(q), pasids, NULL))               \
			skip_because("no VM: %s", q.rig.err.text); \
	} while (0)

static uint64_t served(struct queue *q)
{
	return __atomic_load_n(&q->served, __ATOMIC_ACQUIRE);
}

static void bind_window(struct queue *q, uint32_t guest)
{
	struct dsa_rig *rig = &q->rig;

	assert_ok(dsa_pasid_bind(rig->dsa, guest, rig->window, 0, NULL, &rig->err), &rig->err);
}

static void a_descriptor_goes_through_the_helper_and_back(void **state)
{
	QUEUE(q, true);
	struct dsa_descriptor d = move_with_record(IN + 0x1000, IN, 0x1000, WINDOW);

	bind_window(&q, 5);
	assert_int_not_equal(helper_of(), 0);
	device_enable(&q.rig);
	wq_enable(&q.rig, 0, 5);
	memset(q.rig.memory + IN, 0x3c, 0x1000);
	msix_enable(&q.rig);
	/* The queue's PASID must be allowed the vector. */
	reg_write(&q.rig, DSA_MSIXPERM + 8, DSA_MSIXPERM_PASID | 5 << DSA_MSIXPERM_SHIFT, 4);
	d.flags |= DSA_FLAG_INTERRUPT;
	d.interrupt = 1;
	assert_int_equal(run(&q.rig, &d), DSA_STATUS_OK);
	assert_memory_equal(q.rig.memory + IN, q.rig.memory + IN + 0x1000, 0x1000);
	WAIT_FOR(fired(&q.rig, 1) == 1);
	WAIT_FOR(served(&q) == 1);
	/* What the queue got: no PASID (the kernel's business), no interrupt, its own record. */
	assert_int_equal(q.last.pasid, 0);
	assert_int_equal(q.last.flags, DSA_OP_MEMMOVE << 24 | 0xc);
	assert_int_equal(q.last.interrupt, 0);
	assert_int_equal(q.last.destination - q.last.source, 0x1000);
	assert_int_equal(q.unreachable, 0);
	assert_int_equal(counters(&q.rig).bytes, 0x1000);
	queue_close(&q);
}

/* From the queue that it opens to the record that it waits for, within its filters. */
static void filters_let_a_helper_work(void **state)
{
	struct dsa_descriptor d = move_with_record(IN + 0x1000, IN, 0x1000, WINDOW);
	const struct log log = { .fd = STDERR_FILENO, .level = LOG_INFO };
	const struct sandbox sandbox = { .log = &log };
	struct queue q;

	if (!queue_open(&q, true, &sandbox))
		skip_because("no VM: %s", q.rig.err.text);
	bind_window(&q, 5);
	assert_int_not_equal(child_of(q.starter), 0);
	device_enable(&q.rig);
	wq_enable(&q.rig, 0, 5);
	for (unsigned int i = 0; i < 3; i++) {
		memset(q.rig.memory + IN, 0x3c + (int)i, 0x1000);
		assert_int_equal(run(&q.rig, &d), DSA_STATUS_OK);
		assert_memory_equal(q.rig.memory + IN, q.rig.memory + IN + 0x1000, 0x1000);
	}
	assert_int_equal(q.unreachable, 0);
	assert_ok(dsa_pasid_unbind(q.rig.dsa, 5, &q.rig.err), &q.rig.err);
	WAIT_FOR(!child_of(q.starter));
	queue_close(&q);
}

static void what_leaves_the_window_is_never_submitted(void **state)
{
	QUEUE(q, false);
	struct dsa_rig *rig = &q.rig;
	struct dsa_descriptor d = move_with_record(OUT, IN, 64, WINDOW);

	assert_ok(dsa_default_bind(rig->dsa, DSA_ALL_WQS, rig->window, 0, NULL, &rig->err),
		  &rig->err);
	device_enable(rig);
	wq_enable(rig, 0, 0);
	assert_int_equal(run(rig, &d), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	assert_int_equal(record_at(rig, WINDOW)->fault, OUT);
	d = move_with_record(IN, OUT, 64, WINDOW);
	assert_int_equal(run(rig, &d), DSA_STATUS_PAGE_FAULT);
	assert_int_equal(served(&q), 0);
	assert_int_equal(counters(rig).faults, 2);
	queue_close(&q);
}

/* The soft engine lets an ADI without keys see all memory; a host queue never does. */
static void without_a_binding_nothing_is_submitted(void **state)
{
	QUEUE(q, false);
	struct dsa_descriptor d = noop();

	device_enable(&q.rig);
	wq_enable(&q.rig, 0, 0);
	assert_int_equal(submit(&q.rig, 0, &d), -EAGAIN);
	assert_int_equal(counters(&q.rig).refused_unbound, 1);
	assert_int_equal(helper_of(), 0);
	queue_close(&q);
}

/* The helper's own address space holds nothing of the guest but the window. */
static void helper_maps_nothing_else(void **state)
{
	QUEUE(q, true);
	char path[64], line[512];
	uint64_t memory = 0;
	FILE *maps;

	bind_window(&q, 5);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)helper_of());
	maps = fopen(path, "re");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long from, to;

		if (strstr(line, "memfd:guest") && sscanf(line, "%lx-%lx", &from, &to) == 2)
			memory += to - from;
	}
	fclose(maps);
	assert_int_equal(memory, WINDOW_SIZE);
	/* Nor a descriptor with which it could map more. */
	for (int fd = 0; fd < 64; fd++) {
		char link[128];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)helper_of(), fd);
		n = readlink(path, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = 0;
		assert_null(strstr(link, "memfd:guest"));
		assert_null(strstr(link, "kvm"));
	}
	queue_close(&q);
}

static void batches_are_unrolled_from_a_private_copy(void **state)
{
	QUEUE(q, true);
	struct dsa_rig *rig = &q.rig;
	struct dsa_descriptor *list = (struct dsa_descriptor *)(rig->memory + IN);
	struct dsa_descriptor d = {
		.flags = DSA_OP_BATCH << 24 | 0xc, .record = WINDOW, .source = IN, .size = 4
	};

	bind_window(&q, 5);
	device_enable(rig);
	wq_enable(rig, 0, 5);
	wqcfg_write(rig, 0, DSA_WQCFG_LIMITS, 0);
	memset(rig->memory + IN + 0x1000, 0x3c, 64);
	list[0] = move_with_record(IN + 0x2000, IN + 0x1000, 64, WINDOW + 0x100);
	list[1] = move_with_record(OUT, IN + 0x1000, 64, WINDOW + 0x120);
	list[2] = move_with_record(IN + 0x3000, IN + 0x1000, 64, WINDOW + 0x140);
	/* After one that failed, a fence ends it. */
	list[3] = move_with_record(IN + 0x4000, IN + 0x1000, 64, WINDOW + 0x160);
	list[3].flags |= DSA_FLAG_FENCE;
	memset(rig->memory + WINDOW + 0x100, 0, 0x80);
	assert_int_equal(run(rig, &d), DSA_STATUS_BATCH_FAILED);
	assert_int_equal(record_at(rig, WINDOW)->bytes, 3);
	assert_int_equal(status_at(rig, WINDOW + 0x100), DSA_STATUS_OK);
	assert_int_equal(status_at(rig, WINDOW + 0x120), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	assert_int_equal(status_at(rig, WINDOW + 0x140), DSA_STATUS_OK);
	assert_int_equal(status_at(rig, WINDOW + 0x160), 0);
	assert_int_equal(rig->memory[IN + 0x3000], 0x3c);
	assert_int_equal(rig->memory[IN + 0x4000], 0);
	WAIT_FOR(served(&q) == 2);
	queue_close(&q);
}

/* The device never ends it: the helper is killed, and the call returns. */
static void unbind_ends_what_the_device_holds(void **state)
{
	QUEUE(q, true);
	struct dsa_rig *rig = &q.rig;
	struct dsa_descriptor d = move_with_record(IN + 0x1000, IN, 64, WINDOW);

	bind_window(&q, 5);
	device_enable(rig);
	wq_enable(rig, 0, 5);
	__atomic_store_n(&q.hold, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(submit(rig, 0, &d), 0);
	WAIT_FOR(served(&q) > 0);
	assert_ok(dsa_pasid_unbind(rig->dsa, 5, &rig->err), &rig->err);
	assert_int_equal(helper_of(), 0);
	assert_int_equal(command(rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(counters(rig).failed, 3);
	assert_int_equal(submit(rig, 0, &d), -EAGAIN);
	/* The function did not halt: another binding works. */
	__atomic_store_n(&q.hold, false, __ATOMIC_RELAXED);
	bind_window(&q, 5);
	assert_int_equal(run(rig, &d), DSA_STATUS_OK);
	queue_close(&q);
}

static void a_lost_helper_halts_the_function(void **state)
{
	QUEUE(q, true);
	struct dsa_rig *rig = &q.rig;
	struct dsa_descriptor d = move_with_record(IN + 0x1000, IN, 64, WINDOW);

	bind_window(&q, 5);
	device_enable(rig);
	wq_enable(rig, 0, 5);
	kill(helper_of(), SIGKILL);
	assert_int_equal(submit(rig, 0, &d), 0);
	WAIT_FOR((reg_read(rig, DSA_GENSTS, 4) & 3) == DSA_STATE_HALTED);
	assert_int_equal(submit(rig, 0, &d), -EAGAIN);
	queue_close(&q);
}

static void a_queue_that_cannot_be_opened_is_named(void **state)
{
	QUEUE(q, true);
	struct dsa_rig *rig = &q.rig;

	unlink(q.node);
	assert_int_equal(dsa_pasid_bind(rig->dsa, 5, rig->window, 0, NULL, &rig->err), -ENOENT);
	assert_non_null(strstr(rig->err.text, q.node));
	assert_non_null(strstr(rig->err.text, "opening the queue"));
	assert_int_equal(helper_of(), 0);
	queue_close(&q);
}

/* --- a whole function's stand-in ------------------------------------------------------------- */

struct port {
	struct dsa_rig *rig;
	struct dsa_record record;
	struct dsa_descriptor last;
	uint32_t attached;
	unsigned int aborts, taken;
	uint64_t losses, record_iova;
	bool hold; /* nothing is done */
};

/* At guest addresses, as the PASID's space maps them. */
static int port_submit(void *arg, const struct dsa_lane *lane, uint64_t losses,
		       const struct dsa_descriptor *d)
{
	struct port *port = arg;

	if (losses != port->losses)
		return -EIO;
	port->last = *d;
	__atomic_fetch_add(&port->taken, 1, __ATOMIC_RELEASE);
	if (port->hold)
		return 0;
	if (dsa_opcode(d) == DSA_OP_MEMMOVE)
		memmove(port->rig->memory + d->destination, port->rig->memory + d->source, d->size);
	__atomic_store_n(&lane->record->status, DSA_STATUS_OK, __ATOMIC_RELEASE);
	return 0;
}

static int port_attach(void *arg, uint32_t host, const struct ioasid_space *space,
		       const struct dsa_piece *pieces, unsigned int n, struct dsa_lane *lane,
		       struct err *err)
{
	struct port *port = arg;

	if (space != port->rig->window || n != 1 || !pieces[0].size)
		return err_set(err, EINVAL, "%u pieces", n);
	port->attached = host;
	*lane = (struct dsa_lane){ .record = &port->record, .record_iova = port->record_iova };
	return 0;
}

static void port_detach(void *arg, const struct dsa_lane *lane)
{
	((struct port *)arg)->attached = 0;
}

static void port_abort(void *arg, const struct dsa_lane *lane)
{
	((struct port *)arg)->aborts++;
}

static uint64_t port_losses(void *arg)
{
	return __atomic_load_n(&((struct port *)arg)->losses, __ATOMIC_ACQUIRE);
}

static void port_look(void *arg)
{
}

static int all_of_the_window(void *arg, const struct ioasid_space *space, struct dsa_piece *pieces,
			     unsigned int *n, struct err *err)
{
	pieces[0] = (struct dsa_piece){
		.iova = WINDOW, .size = WINDOW_SIZE, .fd = -1, .rights = IOASID_READ | IOASID_WRITE
	};
	*n = 1;
	return 0;
}

/* A rig on a function's stand-in; guest PASID 5 is bound. */
static void port_open(struct dsa_rig *rig, struct port *stand_in, struct dsa_port *port)
{
	struct dsa_options options = rig_options(true);

	*stand_in = (struct port){ .rig = rig, .record_iova = 1ULL << 40 };
	*port = (struct dsa_port){
		.attach = port_attach,
		.detach = port_detach,
		.submit = port_submit,
		.abort = port_abort,
		.losses = port_losses,
		.look = port_look,
		.arg = stand_in,
	};
	if (!rig_open(rig, NULL))
		skip_because("no VM: %s", rig->err.text);
	options.backend = DSA_BACKEND_VFIO;
	options.host = (struct dsa_host){ .reach = all_of_the_window, .port = port };
	rig_add(rig, &options);
	assert_ok(dsa_pasid_bind(rig->dsa, 5, rig->window, 900, NULL, &rig->err), &rig->err);
	assert_int_equal(stand_in->attached, 900);
	device_enable(rig);
	wq_enable(rig, 0, 5);
}

static void a_whole_function_s_queue_has_the_host_pasid(void **state)
{
	struct dsa_descriptor d = move_with_record(IN + 0x1000, IN, 64, WINDOW);
	struct dsa_port port;
	struct port stand_in;
	struct dsa_rig rig;

	port_open(&rig, &stand_in, &port);
	rig.memory[IN] = 0x3c;
	d.pasid = 1u << 31 | 6;
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(rig.memory[IN + 0x1000], 0x3c);
	/* No PASID and no privilege in the descriptor; guest memory at its own addresses. */
	assert_int_equal(stand_in.last.pasid, 0);
	assert_int_equal(stand_in.last.source, IN);
	assert_int_equal(stand_in.last.record, 1ULL << 40);
	d = move_with_record(OUT, IN, 64, WINDOW);
	assert_int_equal(run(&rig, &d), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	assert_ok(dsa_pasid_unbind(rig.dsa, 5, &rig.err), &rig.err);
	assert_int_equal(stand_in.attached, 0);
	rig_close(&rig);
}

static void records_are_not_in_guest_memory(void **state)
{
	struct dsa_port port;
	struct port stand_in;
	struct dsa_rig rig;

	port_open(&rig, &stand_in, &port);
	stand_in.record_iova = WINDOW;
	assert_int_equal(dsa_pasid_bind(rig.dsa, 6, rig.window, 0, NULL, &rig.err), -EINVAL);
	assert_int_equal(stand_in.attached, 0);
	rig_close(&rig);
}

static void a_guest_s_reset_aborts_what_the_function_holds(void **state)
{
	struct dsa_descriptor d = move_with_record(IN + 0x1000, IN, 64, WINDOW);
	struct dsa_port port;
	struct port stand_in;
	struct dsa_rig rig;

	port_open(&rig, &stand_in, &port);
	stand_in.hold = true;
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(__atomic_load_n(&stand_in.taken, __ATOMIC_ACQUIRE));
	assert_int_equal(command(&rig, DSA_RESET_DEVICE, 0), 0);
	assert_int_equal(stand_in.aborts, 1);
	assert_int_equal(counters(&rig).aborted, 1);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4) & 3, DSA_STATE_DISABLED);
	stand_in.hold = false;
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	rig_close(&rig);
}

static void a_loss_halts_the_function_once(void **state)
{
	struct dsa_descriptor d = move_with_record(IN + 0x1000, IN, 64, WINDOW);
	struct dsa_port port;
	struct port stand_in;
	struct dsa_rig rig;

	port_open(&rig, &stand_in, &port);
	stand_in.hold = true;
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(__atomic_load_n(&stand_in.taken, __ATOMIC_ACQUIRE));
	__atomic_store_n(&stand_in.losses, 1, __ATOMIC_RELEASE);
	WAIT_FOR((reg_read(&rig, DSA_GENSTS, 4) & 3) == DSA_STATE_HALTED);
	assert_true(reg_read(&rig, DSA_INTCAUSE, 4) & DSA_INTCAUSE_HALT);
	dsa_reset(rig.dsa);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4) & 3, DSA_STATE_DISABLED);
	dsa_lost(rig.dsa);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4) & 3, DSA_STATE_DISABLED);
	/* One that nobody waited for is told by its owner. */
	stand_in.losses = 2;
	dsa_lost(rig.dsa);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4) & 3, DSA_STATE_HALTED);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_are_made_anew_byte_by_byte),
		cmocka_unit_test(operands_are_whole_or_refused),
		cmocka_unit_test(hostile_descriptors_do_not_get_through),
		cmocka_unit_test(random_descriptors_stay_inside),
		cmocka_unit_test(a_descriptor_goes_through_the_helper_and_back),
		cmocka_unit_test(filters_let_a_helper_work),
		cmocka_unit_test(what_leaves_the_window_is_never_submitted),
		cmocka_unit_test(without_a_binding_nothing_is_submitted),
		cmocka_unit_test(helper_maps_nothing_else),
		cmocka_unit_test(batches_are_unrolled_from_a_private_copy),
		cmocka_unit_test(unbind_ends_what_the_device_holds),
		cmocka_unit_test(a_lost_helper_halts_the_function),
		cmocka_unit_test(a_queue_that_cannot_be_opened_is_named),
		cmocka_unit_test(a_whole_function_s_queue_has_the_host_pasid),
		cmocka_unit_test(records_are_not_in_guest_memory),
		cmocka_unit_test(a_guest_s_reset_aborts_what_the_function_holds),
		cmocka_unit_test(a_loss_halts_the_function_once),
	};

	/* The back end starts this program again as its helper. */
	if (argc > 1 && !strcmp(argv[1], IDXD_HELPER_WORD))
		return idxd_helper_main(IDXD_HELPER_FD, argc > 2 ? argv[2] : "", NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
