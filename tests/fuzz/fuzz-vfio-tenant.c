/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile client of one of two ADIs whose work one DSA function does: it sends what
 * fuzz-vfio-export's does, and then its neighbour's descriptor must still be carried out, in the
 * neighbour's memory.
 */
#include <pthread.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/adi/dsa-local.h"
#include "passthrough/adi/dsa-regs.h"
#include "passthrough/adi/dsa.h"
#include "passthrough/pci/pci.h"
#include "passthrough/vfio-user/export.h"
#include "tests/fuzz/replay.h"
#include "tests/fuzz/vfio-user-pieces.h"

#define RIGHTS (IOASID_READ | IOASID_WRITE)
#define MOVED  4096u

unsigned int replay_runs(void)
{
	return 5000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct tenant {
	struct dsa_local *local;
	struct ioasid_space *guest, *twin;
	struct dsa_tenant *tenant;
	struct dsa *dsa;
};

static void must(int ret)
{
	if (ret)
		abort();
}

static void *drain(void *arg)
{
	char bytes[4096];

	while (recv(*(int *)arg, bytes, sizeof(bytes), 0) > 0)
		;
	return NULL;
}

static struct ioasid_space *twin(void *arg, const struct ioasid_space *space)
{
	const struct tenant *t = arg;

	return t->twin;
}

static int reach(void *arg, const struct ioasid_space *space, struct dsa_piece *pieces,
		 unsigned int *n, struct err *err)
{
	const struct tenant *t = arg;

	pieces[0] = (struct dsa_piece){ .size = dsa_local_access(t->local)->record_iova,
					.fd = -1,
					.rights = RIGHTS };
	*n = 1;
	return 0;
}

static void lost(void *arg)
{
	const struct tenant *t = arg;
	struct dsa *dsa = __atomic_load_n(&t->dsa, __ATOMIC_ACQUIRE);

	if (dsa)
		dsa_lost(dsa);
}

static void make_dsa(struct tenant *t, const char *id, struct epoch *epoch, struct ioasid_ctx *ctx)
{
	struct dsa_options options = {
		.id = id,
		.backend = DSA_BACKEND_VFIO,
		.wqs = 2,
		.wq = { { .size = 16 }, { .size = 16, .shared = true } },
		.engines = 1,
		.pasid = { .allow = true, .width = 20 },
		.host = { .reach = reach, .reach_arg = t, .port = dsa_tenant_port(t->tenant) },
	};
	struct dsa *dsa;

	must(dsa_create_apart(&dsa, epoch, ctx, t->guest, &options, NULL));
	__atomic_store_n(&t->dsa, dsa, __ATOMIC_RELEASE);
	must(dsa_default_bind(dsa, DSA_ALL_WQS, t->guest, IOASID_PASID_NONE, NULL, NULL));
	must(dsa_pasid_bind(dsa, 5, t->guest, IOASID_PASID_NONE, NULL, NULL));
}

static struct vfu_export *make_hostile(struct tenant *t, struct dsa_owner *owner,
				       struct ioasid_ctx *ctx)
{
	const struct dsa_tenant_options options = {
		.name = "a", .twin = twin, .lost = lost, .arg = t
	};
	const struct ioasid_space_options plain = { .name = "a", .pasid_capable = true };
	const struct ioasid_range all = { 0, UINT64_MAX };
	const struct ioasid_range below = { 0, dsa_local_access(t->local)->record_iova - 1 };
	struct vfu_export *export;

	must(vfu_export_create(&export, "a", NULL, NULL));
	must(vfu_export_space(export, ctx, "a", all, RIGHTS, &t->guest, NULL));
	must(ioasid_alloc(dsa_local_ctx(t->local), &plain, &t->twin, NULL));
	must(vfu_export_show(export, t->twin, below, RIGHTS, NULL));
	must(dsa_tenant_create(&t->tenant, owner, &options, NULL));
	make_dsa(t, "a", vfu_export_epoch(export), ctx);
	must(vfu_export_function(export, dsa_function(t->dsa), NULL));
	return export;
}

/* A queue of the function's own, as a neighbour's function uses it. */
static void neighbour_moves(struct tenant *t)
{
	static uint8_t memory[2 * MOVED] __attribute__((aligned(MOVED)));
	const struct dsa_port *port = dsa_tenant_port(t->tenant);
	const struct dsa_piece piece = { .size = sizeof(memory), .fd = -1, .rights = RIGHTS };
	const struct dsa_descriptor d = {
		.flags = DSA_OP_MEMMOVE << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID |
			 DSA_FLAG_RECORD,
		.destination = MOVED,
		.size = MOVED,
	};
	struct dsa_descriptor with_record = d;
	struct dsa_lane lane;

	memset(memory, 0x5a, MOVED);
	memset(memory + MOVED, 0, MOVED);
	must(ioasid_map_hva(t->twin, 0, sizeof(memory), memory, RIGHTS, NULL));
	must(port->attach(port->arg, 77777, t->twin, &piece, 1, &lane, NULL));
	memset(lane.record, 0, sizeof(*lane.record));
	with_record.record = lane.record_iova;
	must(port->submit(port->arg, &lane, port->losses(port->arg), &with_record));
	while (!__atomic_load_n(&lane.record->status, __ATOMIC_ACQUIRE))
		;
	if (lane.record->status != DSA_STATUS_OK || memcmp(memory, memory + MOVED, MOVED) != 0)
		abort();
	port->detach(port->arg, &lane);
	must(ioasid_unmap(t->twin, 0, sizeof(memory), NULL));
}

static void make_neighbour(struct tenant *t, struct dsa_owner *owner)
{
	const struct dsa_tenant_options options = {
		.name = "b", .twin = twin, .lost = lost, .arg = t
	};
	const struct ioasid_space_options plain = { .name = "b", .pasid_capable = true };

	must(ioasid_alloc(dsa_local_ctx(t->local), &plain, &t->twin, NULL));
	must(dsa_tenant_create(&t->tenant, owner, &options, NULL));
}

static void serve(struct vfu_export *export, const uint8_t *data, size_t size)
{
	struct err err;
	pthread_t thread;
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	send_all(pair[0], data, MIN(size, PIECES_MAX));
	must(pthread_create(&thread, NULL, drain, &pair[0]));
	(void)vfu_export_serve(export, pair[1], &err);
	pthread_join(thread, NULL);
	close(pair[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct dsa_owner_options options = { .name = "function" };
	const struct dsa_local_options model = { .name = "function", .queues = 4, .engines = 2 };
	struct tenant hostile = { 0 }, neighbour = { 0 };
	struct vfu_export *export;
	struct dsa_local *local;
	struct dsa_owner *owner;
	struct ioasid_ctx *ctx;

	must(dsa_local_create(&local, &model, NULL));
	must(dsa_owner_create(&owner, dsa_local_access(local), &options, NULL));
	must(ioasid_ctx_open(&ctx, IOASID_PROVIDER_SOFT, NULL, NULL));
	hostile.local = neighbour.local = local;
	export = make_hostile(&hostile, owner, ctx);
	make_neighbour(&neighbour, owner);
	serve(export, data, size);
	neighbour_moves(&neighbour);
	dsa_tenant_hush(hostile.tenant);
	vfu_export_destroy(export);
	dsa_tenant_destroy(hostile.tenant);
	dsa_tenant_destroy(neighbour.tenant);
	dsa_owner_destroy(owner);
	dsa_local_destroy(local);
	ioasid_ctx_close(ctx);
	return 0;
}
