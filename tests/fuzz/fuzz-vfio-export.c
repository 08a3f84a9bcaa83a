/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile client of a served DSA: registers, portals, memory and interrupts in any order, with
 * engines at work on what it maps, and an end at any point. What the server says is thrown away.
 */
#include <pthread.h>

#include "passthrough/adi/dsa.h"
#include "passthrough/pci/pci.h"
#include "passthrough/vfio-user/export.h"
#include "tests/fuzz/replay.h"
#include "tests/fuzz/vfio-user-pieces.h"

unsigned int replay_runs(void)
{
	return 5000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

static struct vfu_export *make_export(struct ioasid_ctx *ctx)
{
	const struct dsa_options options = {
		.id = "dsa0",
		.wqs = 2,
		.wq = { { .size = 16 }, { .size = 16, .shared = true } },
		.engines = 1,
		.pasid = { .allow = true, .width = 20 },
	};
	const struct pci_svm_options svm = { true, true, true, 20, true, true };
	const struct ioasid_range all = { 0, UINT64_MAX };
	struct ioasid_space *guest;
	struct vfu_export *export;
	struct dsa *dsa;

	must(vfu_export_create(&export, "dsa0", NULL, NULL));
	must(vfu_export_space(export, ctx, "guest", all, IOASID_READ | IOASID_WRITE, &guest, NULL));
	must(dsa_create_apart(&dsa, vfu_export_epoch(export), ctx, guest, &options, NULL));
	must(pci_function_svm(dsa_function(dsa), &svm, NULL));
	must(vfu_export_function(export, dsa_function(dsa), NULL));
	must(dsa_default_bind(dsa, DSA_ALL_WQS, guest, IOASID_PASID_NONE, NULL, NULL));
	must(dsa_pasid_bind(dsa, 5, guest, IOASID_PASID_NONE, NULL, NULL));
	return export;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfu_export *export;
	struct ioasid_ctx *ctx;
	struct err err;
	pthread_t thread;
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	must(ioasid_ctx_open(&ctx, IOASID_PROVIDER_SOFT, NULL, NULL));
	export = make_export(ctx);
	send_all(pair[0], data, MIN(size, PIECES_MAX));
	must(pthread_create(&thread, NULL, drain, &pair[0]));
	(void)vfu_export_serve(export, pair[1], &err);
	pthread_join(thread, NULL);
	close(pair[0]);
	vfu_export_destroy(export);
	ioasid_ctx_close(ctx);
	return 0;
}
