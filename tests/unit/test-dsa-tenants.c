/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One DSA function behind several vfio-user clients: each moves its own memory, through queues and
 * PASIDs of its own, and what one of them does, or suffers, is not felt by the other; except for a
 * reset of the function, which is told to all. The function is one of software.
 */
#include "tests/unit/test-vfio-dsa.h"
#include "tests/unit/test-vfio-script.h"
#include "tests/unit/wait.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/adi/dsa-internal.h"
#include "passthrough/adi/dsa-local.h"
#include "passthrough/adi/dsa-owner-internal.h"
#include "passthrough/pci/pci.h"
#include "passthrough/vfio-user/export.h"
#include "util/sigbus.h"

#define QUEUES	   4u
#define TENANTS	   2u
#define RAM	   (1 * MIB)
#define RAM_AT	   0x40000000ULL
#define SOURCE	   (RAM_AT + 0x10000)
#define TARGET	   (RAM_AT + 0x20000)
#define RECORD	   (RAM_AT + 0x30000)
#define LONG_AT	   (4 * GIB) /* the same MiB, 256 times: descriptors that take a while */
#define LONG_SIZE  (256 * MIB)
#define MOVES	   2000u
#define PATIENCE   60000u /* ms, of the owner with its function */
#define ALL_RIGHTS (VFU_DMA_READABLE | VFU_DMA_WRITABLE)

struct tenant {
	struct rig *rig;
	struct ioasid_space *guest, *twin;
	struct vfu_export *export;
	struct dsa_tenant *tenant;
	struct dsa *dsa;
	struct peer peer;
	pthread_t thread;
	bool running;
	int served, fd, interrupt;
	uint8_t *ram;
};

struct rig {
	struct dsa_local *local;
	struct dsa_access access; /* the function's, as the tests let it be seen */
	struct dsa_owner *owner;
	struct ioasid_ctx *ctx;
	struct tenant tenant[TENANTS];
	bool stuck;	  /* atomic: a command on a queue never ends */
	bool ignores;	  /* atomic: one is under way */
	bool unresetting; /* atomic: a reset of the function fails */
	unsigned int resets;
};

/* --- a function that can misbehave ----------------------------------------------------------- */

static const struct dsa_access *local(struct rig *rig)
{
	return dsa_local_access(rig->local);
}

static uint64_t access_read(void *arg, uint64_t offset, unsigned int size)
{
	struct rig *rig = arg;

	if (offset == DSA_CMDSTS && __atomic_load_n(&rig->ignores, __ATOMIC_RELAXED))
		return DSA_CMDSTS_ACTIVE;
	return local(rig)->read(local(rig)->arg, offset, size);
}

static void access_write(void *arg, uint64_t offset, uint64_t value, unsigned int size)
{
	struct rig *rig = arg;
	uint32_t code = (uint32_t)value >> DSA_CMD_CODE_SHIFT & DSA_CMD_CODE_MASK;

	if (offset == DSA_CMD && __atomic_load_n(&rig->stuck, __ATOMIC_RELAXED) &&
	    (code == DSA_RESET_WQ || code == DSA_ABORT_WQ)) {
		__atomic_store_n(&rig->ignores, true, __ATOMIC_RELAXED);
		return;
	}
	local(rig)->write(local(rig)->arg, offset, value, size);
}

static void access_store64(void *arg, uint64_t offset, const void *bytes)
{
	struct rig *rig = arg;

	local(rig)->store64(local(rig)->arg, offset, bytes);
}

static int access_reset(void *arg)
{
	struct rig *rig = arg;

	__atomic_store_n(&rig->ignores, false, __ATOMIC_RELAXED);
	if (rig->owner)
		rig->owner->command_ms = PATIENCE;
	if (__atomic_load_n(&rig->unresetting, __ATOMIC_RELAXED))
		return -EIO;
	rig->resets++;
	return local(rig)->reset(local(rig)->arg);
}

static int access_attach(void *arg, uint32_t pasid, struct ioasid_space *space, struct err *err)
{
	struct rig *rig = arg;

	return local(rig)->attach(local(rig)->arg, pasid, space, err);
}

static void access_detach(void *arg, uint32_t pasid)
{
	struct rig *rig = arg;

	local(rig)->detach(local(rig)->arg, pasid);
}

/* --- tenants --------------------------------------------------------------------------------- */

static struct ioasid_space *twin(void *arg, const struct ioasid_space *space)
{
	const struct tenant *t = arg;

	return space == t->guest ? t->twin : NULL;
}

static int reach(void *arg, const struct ioasid_space *space, struct dsa_piece *pieces,
		 unsigned int *n, struct err *err)
{
	const struct tenant *t = arg;

	pieces[0] = (struct dsa_piece){ .size = t->rig->access.record_iova,
					.fd = -1,
					.rights = IOASID_READ | IOASID_WRITE };
	*n = 1;
	return 0;
}

static void lost(void *arg)
{
	struct tenant *t = arg;

	dsa_lost(__atomic_load_n(&t->dsa, __ATOMIC_ACQUIRE));
}

static void *serve(void *arg)
{
	struct tenant *t = arg;
	struct err err;

	vfu_export_serve(t->export, t->served, &err);
	return NULL;
}

static void share(struct tenant *t)
{
	assert_int_equal(peer_map(&t->peer, RAM_AT, RAM, ALL_RIGHTS, t->fd, 0), 0);
	for (uint64_t at = 0; at < LONG_SIZE; at += RAM)
		assert_int_equal(peer_map(&t->peer, LONG_AT + at, RAM, ALL_RIGHTS, t->fd, 0), 0);
}

/* The server sets O_NONBLOCK on what it is given, and reads here are to wait. */
static void enable(struct tenant *t)
{
	struct pollfd fd = { t->interrupt, POLLIN, 0 };
	uint64_t n;

	if (poll(&fd, 1, 0) == 1)
		assert_int_equal(read(t->interrupt, &n, sizeof(n)), sizeof(n));
	peer_enable(&t->peer, t->interrupt);
	assert_int_equal(fcntl(t->interrupt, F_SETFL, 0), 0);
	peer_register_write(&t->peer, DSA_GENCTRL, DSA_GENCTRL_HALT, 4);
}

static void connect_tenant(struct tenant *t)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	t->peer = (struct peer){ .socket = pair[0] };
	t->served = pair[1];
	assert_int_equal(pthread_create(&t->thread, NULL, serve, t), 0);
	t->running = true;
	assert_int_equal(peer_version(&t->peer, NULL), 0);
	share(t);
	enable(t);
}

static void disconnect(struct tenant *t)
{
	peer_close(&t->peer);
	pthread_join(t->thread, NULL);
	t->running = false;
}

static void make_function(struct tenant *t, const char *id, struct err *err)
{
	struct dsa_options options = { .id = id,
				       .wqs = 1,
				       .wq = { { .size = 16 } },
				       .engines = 1,
				       .backend = DSA_BACKEND_VFIO,
				       .pasid = { .allow = true, .width = 20 } };
	struct dsa *dsa;

	options.host = (struct dsa_host){ .reach = reach,
					  .reach_arg = t,
					  .port = dsa_tenant_port(t->tenant) };
	assert_ok(dsa_create_apart(&dsa, vfu_export_epoch(t->export), t->rig->ctx, t->guest,
				   &options, err),
		  err);
	__atomic_store_n(&t->dsa, dsa, __ATOMIC_RELEASE);
	assert_ok(vfu_export_function(t->export, dsa_function(dsa), err), err);
	assert_ok(dsa_default_bind(dsa, DSA_ALL_WQS, t->guest, IOASID_PASID_NONE, NULL, err), err);
}

static void make_tenant(struct rig *rig, struct tenant *t, const char *id)
{
	const struct ioasid_space_options plain = { .name = id, .pasid_capable = true };
	const struct ioasid_range all = { 0, UINT64_MAX },
				  below = { 0, rig->access.record_iova - 1 };
	const struct dsa_tenant_options options = {
		.name = id, .twin = twin, .lost = lost, .arg = t
	};
	const unsigned int rights = IOASID_READ | IOASID_WRITE;
	struct err err = { 0 };

	t->rig = rig;
	t->interrupt = eventfd(0, 0);
	t->fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(t->fd, RAM), 0);
	assert_int_equal(fcntl(t->fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	t->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	assert_ptr_not_equal(t->ram, MAP_FAILED);
	assert_ok(vfu_export_create(&t->export, id, NULL, &err), &err);
	assert_ok(vfu_export_space(t->export, rig->ctx, id, all, rights, &t->guest, &err), &err);
	assert_ok(ioasid_alloc(dsa_local_ctx(rig->local), &plain, &t->twin, &err), &err);
	assert_ok(vfu_export_show(t->export, t->twin, below, rights, &err), &err);
	assert_ok(dsa_tenant_create(&t->tenant, rig->owner, &options, &err), &err);
	make_function(t, id, &err);
	connect_tenant(t);
}

static void end_tenant(struct tenant *t)
{
	if (t->running)
		disconnect(t);
	dsa_tenant_hush(t->tenant);
	vfu_export_destroy(t->export);
	dsa_tenant_destroy(t->tenant);
	munmap(t->ram, RAM);
	close(t->fd);
	close(t->interrupt);
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	const struct dsa_owner_options options = { .name = "function", .command_ms = PATIENCE };
	const struct dsa_local_options model = {
		.name = "function",
		.queues = QUEUES,
		.engines = 2,
	};
	struct err err = { 0 };

	assert_ok(dsa_local_create(&rig->local, &model, &err), &err);
	rig->access = (struct dsa_access){
		.read = access_read,
		.write = access_write,
		.store64 = access_store64,
		.reset = access_reset,
		.attach = access_attach,
		.detach = access_detach,
		.interrupt = local(rig)->interrupt,
		.record_iova = local(rig)->record_iova,
		.arg = rig,
	};
	assert_ok(dsa_owner_create(&rig->owner, &rig->access, &options, &err), &err);
	assert_int_equal(dsa_owner_queues(rig->owner), QUEUES);
	assert_ok(ioasid_ctx_open(&rig->ctx, IOASID_PROVIDER_SOFT, NULL, &err), &err);
	make_tenant(rig, &rig->tenant[0], "a");
	make_tenant(rig, &rig->tenant[1], "b");
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	for (unsigned int i = 0; i < TENANTS; i++)
		end_tenant(&rig->tenant[i]);
	dsa_owner_destroy(rig->owner);
	dsa_local_destroy(rig->local);
	ioasid_ctx_close(rig->ctx);
	free(rig);
	return 0;
}

/* --- work ------------------------------------------------------------------------------------ */

static void start_move(struct tenant *t, uint64_t from, uint64_t to, uint32_t size)
{
	memset(t->ram + (RECORD - RAM_AT), 0, sizeof(struct dsa_record));
	peer_move(&t->peer, from, to, size, RECORD);
}

static uint8_t finish(struct tenant *t)
{
	uint64_t n;

	assert_int_equal(read(t->interrupt, &n, sizeof(n)), sizeof(n));
	return t->ram[RECORD - RAM_AT];
}

static void move_and_check(struct tenant *t, uint8_t seed)
{
	uint8_t *from = t->ram + (SOURCE - RAM_AT), *to = t->ram + (TARGET - RAM_AT);

	for (unsigned int i = 0; i < 10000; i++)
		from[i] = (uint8_t)(i * 7 + seed);
	memset(to, 0, 10000);
	start_move(t, SOURCE, TARGET, 10000);
	assert_int_equal(finish(t), DSA_STATUS_OK);
	assert_memory_equal(from, to, 10000);
}

static uint64_t accepted(const struct tenant *t)
{
	struct dsa_counters counters;

	dsa_counters_read(dsa_local_dsa(t->rig->local), &counters);
	return counters.accepted;
}

/* A move of 256 MiB, which the function has taken. */
static void start_long(struct tenant *t)
{
	uint64_t before = accepted(t);

	start_move(t, LONG_AT, LONG_AT + RAM / 2, (uint32_t)(LONG_SIZE - RAM));
	WAIT_FOR(accepted(t) > before);
}

static unsigned int state_of(struct tenant *t)
{
	return peer_register(&t->peer, DSA_GENSTS, 4) & 3;
}

static void recover(struct tenant *t)
{
	assert_int_equal(peer_call(&t->peer, VFU_DEVICE_RESET, NULL, 0), 0);
	assert_int_equal(state_of(t), DSA_STATE_DISABLED);
	enable(t);
}

static void halt_function(struct rig *rig)
{
	struct dsa *function = dsa_local_dsa(rig->local);

	pthread_mutex_lock(&function->lock);
	dsa_halt(function);
	pthread_mutex_unlock(&function->lock);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void each_client_s_own_memory_is_moved(void **state)
{
	struct rig *rig = *state;
	struct tenant *a = &rig->tenant[0], *b = &rig->tenant[1];
	uint8_t before[64];

	move_and_check(b, 200);
	memcpy(before, b->ram + (TARGET - RAM_AT), sizeof(before));
	move_and_check(a, 1);
	assert_memory_equal(before, b->ram + (TARGET - RAM_AT), sizeof(before));
	move_and_check(b, 3);
	assert_int_equal(rig->resets, 1); /* at the beginning */
}

/* As QEMU sends a guest's words: nobody answers them. False where the socket does not take it. */
static bool post_words(struct peer *peer, const struct dsa_descriptor *d)
{
	for (uint32_t i = 0; i < sizeof(*d); i += 8) {
		const struct vfu_region_access access = { DSA_PORTAL_PAGE + i, DSA_BAR_PORTALS, 8 };
		struct vfu_header header = { .command = VFU_REGION_WRITE, .flags = VFU_NO_REPLY };

		if (vfu_send_parts(peer->socket, &header, &access, sizeof(access),
				   (const char *)d + i, 8, NULL, 0))
			return false;
	}
	return true;
}

struct worker {
	struct tenant *tenant;
	unsigned int done; /* moves that were right */
};

/* No assertions: they are for the test's own thread. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	struct tenant *t = worker->tenant;
	uint8_t *from = t->ram + (SOURCE - RAM_AT), *to = t->ram + (TARGET - RAM_AT);
	struct dsa_record *record = (struct dsa_record *)(t->ram + (RECORD - RAM_AT));
	const struct dsa_descriptor d = {
		.flags = DSA_OP_MEMMOVE << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID |
			 DSA_FLAG_RECORD | DSA_FLAG_INTERRUPT,
		.record = RECORD,
		.source = SOURCE,
		.destination = TARGET,
		.size = 4096,
		.interrupt = 1,
	};
	uint64_t n;

	for (unsigned int i = 0; i < MOVES; i++) {
		memset(from, (int)i, 4096);
		__atomic_store_n(&record->status, 0, __ATOMIC_RELEASE);
		if (!post_words(&t->peer, &d) || read(t->interrupt, &n, sizeof(n)) != sizeof(n))
			return NULL;
		/* The record comes before its interrupt. */
		if (__atomic_load_n(&record->status, __ATOMIC_ACQUIRE) != DSA_STATUS_OK ||
		    memcmp(from, to, 4096) != 0)
			return NULL;
		worker->done++;
	}
	return NULL;
}

static void clients_work_at_once(void **state)
{
	struct rig *rig = *state;
	struct worker worker[TENANTS] = { { .tenant = &rig->tenant[0] },
					  { .tenant = &rig->tenant[1] } };
	pthread_t thread[TENANTS];

	for (unsigned int i = 0; i < TENANTS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
	for (unsigned int i = 0; i < TENANTS; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(worker[i].done, MOVES);
	}
	/* One driver lets go of its device; the other goes on. */
	assert_int_equal(peer_command(&rig->tenant[0].peer, DSA_DISABLE_DEVICE), 0);
	assert_int_equal(peer_command(&rig->tenant[0].peer, DSA_RESET_DEVICE), 0);
	assert_int_equal(peer_irqs(&rig->tenant[0].peer, VFU_IRQ_DATA_NONE | VFU_IRQ_ACTION_TRIGGER,
				   0, 0, NULL, 0),
			 0);
	worker[1].done = 0;
	work(&worker[1]);
	assert_int_equal(worker[1].done, MOVES);
}

static void what_a_client_did_not_map_is_its_own_fault(void **state)
{
	struct rig *rig = *state;
	struct tenant *a = &rig->tenant[0], *b = &rig->tenant[1];

	start_move(a, SOURCE, RAM_AT + RAM, 4096);
	assert_int_equal(finish(a), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	/* Not even the page where records of the function lie. */
	start_move(a, SOURCE, rig->access.record_iova, 4096);
	assert_int_equal(finish(a), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	assert_int_equal(peer_unmap(&a->peer, RAM_AT + 0, RAM), 0);
	assert_int_equal(state_of(a), DSA_STATE_ENABLED);
	move_and_check(b, 5);
}

static void memory_that_shrinks_fails_who_touches_it(void **state)
{
	struct rig *rig = *state;
	struct tenant *a = &rig->tenant[0], *b = &rig->tenant[1];
	int fd = memfd_create("shrinks", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	sigbus_install(); /* cmocka took it over for this test */
	assert_int_equal(ftruncate(fd, 65536), 0);
	assert_int_equal(peer_map(&a->peer, GIB * 2, 65536, ALL_RIGHTS, fd, 0), 0);
	start_long(b);
	assert_int_equal(ftruncate(fd, 0), 0);
	start_move(a, GIB * 2, TARGET, 4096);
	assert_int_equal(finish(a), DSA_STATUS_TRANSLATION);
	assert_int_equal(finish(b), DSA_STATUS_OK);
	move_and_check(a, 9);
	move_and_check(b, 7);
	close(fd);
}

static void a_reset_of_one_is_not_felt_by_the_other(void **state)
{
	struct rig *rig = *state;
	struct tenant *a = &rig->tenant[0], *b = &rig->tenant[1];

	start_long(b);
	start_long(a);
	assert_int_equal(peer_call(&a->peer, VFU_DEVICE_RESET, NULL, 0), 0);
	assert_int_equal(state_of(a), DSA_STATE_DISABLED);
	assert_int_equal(finish(b), DSA_STATUS_OK);
	assert_int_equal(state_of(b), DSA_STATE_ENABLED);
	recover(a);
	move_and_check(a, 2);
	move_and_check(b, 3);
	assert_int_equal(rig->resets, 1);
}

static void an_abort_of_one_is_not_felt_by_the_other(void **state)
{
	struct rig *rig = *state;
	struct tenant *a = &rig->tenant[0], *b = &rig->tenant[1];

	start_long(b);
	start_long(a);
	assert_int_equal(peer_command(&a->peer, DSA_ABORT_ALL), 0);
	assert_int_equal(finish(b), DSA_STATUS_OK);
	move_and_check(b, 3);
	assert_int_equal(rig->resets, 1);
}

static void the_end_of_one_is_not_felt_by_the_other(void **state)
{
	struct rig *rig = *state;
	struct tenant *a = &rig->tenant[0], *b = &rig->tenant[1];

	start_long(b);
	start_long(a);
	disconnect(a);
	assert_int_equal(finish(b), DSA_STATUS_OK);
	move_and_check(b, 3);
	connect_tenant(a);
	move_and_check(a, 4);
	assert_int_equal(rig->resets, 1);
}

static void nonsense_from_one_is_not_felt_by_the_other(void **state)
{
	struct rig *rig = *state;
	struct tenant *a = &rig->tenant[0], *b = &rig->tenant[1];
	uint8_t noise[4096];

	start_long(b);
	for (unsigned int i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 37 + i / 256);
	assert_int_equal(send(a->peer.socket, noise, sizeof(noise), MSG_NOSIGNAL), sizeof(noise));
	pthread_join(a->thread, NULL);
	a->running = false;
	peer_close(&a->peer);
	assert_int_equal(finish(b), DSA_STATUS_OK);
	move_and_check(b, 1);
}

/* A client's life up to a byte of it, with the neighbour at work, which moves once. */
static void live_and_end(struct tenant *a, struct tenant *b, const struct script *s, size_t cut)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	a->served = pair[1];
	start_move(b, SOURCE, TARGET, 0x10000);
	assert_int_equal(pthread_create(&a->thread, NULL, serve, a), 0);
	script_cut(pair[0], s, cut);
	assert_int_equal(finish(b), DSA_STATUS_OK);
	pthread_join(a->thread, NULL);
	if (!(cut % 2))
		close(pair[0]);
}

static void a_connection_that_ends_at_any_byte_is_not_felt_by_the_other(void **state)
{
	struct rig *rig = *state;
	struct tenant *a = &rig->tenant[0], *b = &rig->tenant[1];
	const struct script_memory memory = { RAM_AT, RAM,   SOURCE,	  TARGET,
					      RECORD, a->fd, a->interrupt };
	struct script s;
	uint64_t neighbours = accepted(a);

	disconnect(a);
	script_make(&s, &memory);
	for (size_t cut = 0; cut <= s.size; cut++, neighbours++)
		live_and_end(a, b, &s, cut);
	/* Its commands take their time: on a busy machine it may have submitted too early each
	 * time. */
	for (int more = 50; more && accepted(a) == neighbours; more--, neighbours++)
		live_and_end(a, b, &s, s.size);
	if (accepted(a) == neighbours)
		print_message("SKIPPED: no client lived until a descriptor was taken\n");
	assert_int_equal(rig->resets, 1);
	connect_tenant(a);
	move_and_check(a, 4);
	move_and_check(b, 5);
}

static void a_halt_of_the_function_is_told_to_all(void **state)
{
	struct rig *rig = *state;
	struct tenant *a = &rig->tenant[0], *b = &rig->tenant[1];
	uint64_t n;

	start_long(a);
	halt_function(rig);
	for (unsigned int i = 0; i < TENANTS; i++) {
		struct tenant *t = &rig->tenant[i];

		WAIT_FOR(state_of(t) == DSA_STATE_HALTED);
		assert_true(peer_register(&t->peer, DSA_INTCAUSE, 4) & DSA_INTCAUSE_HALT);
	}
	assert_int_equal(read(b->interrupt, &n, sizeof(n)), sizeof(n));
	recover(a);
	recover(b);
	move_and_check(a, 1);
	move_and_check(b, 2);
	assert_int_equal(rig->resets, 2);
}

static void a_queue_that_does_not_stop_takes_the_function(void **state)
{
	struct rig *rig = *state;
	struct tenant *a = &rig->tenant[0], *b = &rig->tenant[1];
	struct err err = { 0 };

	rig->owner->command_ms = 200; /* nobody else commands, and until its reset */
	__atomic_store_n(&rig->stuck, true, __ATOMIC_RELAXED);
	assert_ok(dsa_default_unbind(a->dsa, DSA_ALL_WQS, &err), &err);
	__atomic_store_n(&rig->stuck, false, __ATOMIC_RELAXED);
	assert_int_equal(rig->resets, 2);
	WAIT_FOR(state_of(b) == DSA_STATE_HALTED);
	recover(b);
	move_and_check(b, 2);
}

static void a_function_that_does_not_come_back_serves_nobody(void **state)
{
	struct rig *rig = *state;
	struct tenant *b = &rig->tenant[1];
	struct err err = { 0 };

	__atomic_store_n(&rig->unresetting, true, __ATOMIC_RELAXED);
	halt_function(rig);
	WAIT_FOR(state_of(b) == DSA_STATE_HALTED);
	recover(b);
	/* Its guest may try again, and finds it halted each time. */
	start_move(b, SOURCE, TARGET, 64);
	WAIT_FOR(state_of(b) == DSA_STATE_HALTED);
	assert_int_equal(dsa_pasid_bind(b->dsa, 5, b->guest, IOASID_PASID_NONE, NULL, &err), -EIO);
	assert_non_null(strstr(err.text, "lost"));
}

static void bindings_take_queues_and_give_them_back(void **state)
{
	struct rig *rig = *state;
	struct dsa *a = rig->tenant[0].dsa, *b = rig->tenant[1].dsa;
	struct err err = { 0 };

	assert_ok(dsa_pasid_bind(a, 5, rig->tenant[0].guest, IOASID_PASID_NONE, NULL, &err), &err);
	assert_ok(dsa_pasid_bind(b, 5, rig->tenant[1].guest, IOASID_PASID_NONE, NULL, &err), &err);
	assert_int_equal(dsa_pasid_bind(a, 6, rig->tenant[0].guest, IOASID_PASID_NONE, NULL, &err),
			 -ENOSPC);
	assert_non_null(strstr(err.text, "4 queues are lent"));
	assert_ok(dsa_pasid_unbind(b, 5, &err), &err);
	assert_ok(dsa_pasid_bind(a, 6, rig->tenant[0].guest, IOASID_PASID_NONE, NULL, &err), &err);
}

static void a_space_of_another_tenant_is_refused(void **state)
{
	struct rig *rig = *state;
	struct err err = { 0 };

	assert_int_equal(dsa_pasid_bind(rig->tenant[0].dsa, 5, rig->tenant[1].guest,
					IOASID_PASID_NONE, NULL, &err),
			 -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_client_s_own_memory_is_moved),
		TEST(clients_work_at_once),
		TEST(what_a_client_did_not_map_is_its_own_fault),
		TEST(memory_that_shrinks_fails_who_touches_it),
		TEST(a_reset_of_one_is_not_felt_by_the_other),
		TEST(an_abort_of_one_is_not_felt_by_the_other),
		TEST(the_end_of_one_is_not_felt_by_the_other),
		TEST(nonsense_from_one_is_not_felt_by_the_other),
		TEST(a_connection_that_ends_at_any_byte_is_not_felt_by_the_other),
		TEST(a_halt_of_the_function_is_told_to_all),
		TEST(a_queue_that_does_not_stop_takes_the_function),
		TEST(a_function_that_does_not_come_back_serves_nobody),
		TEST(bindings_take_queues_and_give_them_back),
		TEST(a_space_of_another_tenant_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
