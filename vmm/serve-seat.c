/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/serve-seat.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/adi/dsa-owner.h"
#include "passthrough/adi/dsa.h"
#include "passthrough/pci/pci.h"
#include "passthrough/vfio-user/export.h"
#include "util/bits.h"
#include "util/sandbox.h"
#include "util/unix-socket.h"
#include "vmm/adis.h"
#include "vmm/config.h"
#include "vmm/serve-config.h"
#include "vmm/serve-function.h"

/* A window of the client's memory: our own view of it, and the function's where that is another's.
 */
struct seat_space {
	const struct config_space *config; /* NULL: all of it */
	struct ioasid_space *space;
	struct ioasid_space *twin; /* NULL: the work is done here */
	struct dsa_piece piece;
};

struct serve_seat {
	char path[UNIX_SOCKET_PATH_MAX + 1];
	struct stat made; /* what the path was when we made it */
	int fd;		  /* listens */
	bool stopped;	  /* atomic */
	const struct serve_config *config;
	const struct config_adi *adi;
	const struct log *log;
	const struct sandbox *sandbox; /* NULL: none */
	/* Its own: unmapping waits for all accesses in a context, and those for the client. */
	struct ioasid_ctx *ctx;
	struct serve_function *function; /* NULL: none */
	size_t n_spaces;
	struct seat_space *spaces; /* all of it, then as config.spaces */
	struct vfu_export *export;
	struct dsa *dsa; /* atomic: its tenant's thread may look */
	struct dsa_tenant *tenant;
};

/* --- windows --------------------------------------------------------------------------------- */

/* The same window in the function's IOMMU; records of its queues lie above. */
static int make_twin(struct serve_seat *seat, struct seat_space *space, struct ioasid_range window,
		     unsigned int rights, struct err *err)
{
	const struct ioasid_space_options options = {
		.name = ioasid_space_name(space->space),
		.pasid_capable = true,
	};
	uint64_t last = serve_function_last(seat->function);
	int ret;

	if (window.first > last)
		return err_set(err, EINVAL,
			       "space %s: lies past %#llx, the last address of memory that the "
			       "function reaches",
			       options.name, (unsigned long long)last);
	window.last = MIN(window.last, last);
	space->piece = (struct dsa_piece){ .iova = window.first,
					   .size = window.last - window.first + 1,
					   .fd = -1,
					   .rights = rights };
	ret = ioasid_alloc(serve_function_ctx(seat->function), &options, &space->twin, err);
	if (ret)
		return ret;
	return vfu_export_show(seat->export, space->twin, window, rights, err);
}

static int make_space(struct serve_seat *seat, struct seat_space *space, struct err *err)
{
	const struct config_space *config = space->config;
	struct ioasid_range window = { 0, UINT64_MAX };
	unsigned int rights = IOASID_READ | IOASID_WRITE;
	int ret;

	if (config) {
		window = (struct ioasid_range){ config->offset,
						config->offset + (config->size - 1) };
		rights = IOASID_READ | (config->write ? IOASID_WRITE : 0);
	}
	ret = vfu_export_space(seat->export, seat->ctx, config ? config->id : "guest", window,
			       rights, &space->space, err);
	return ret || !seat->function ? ret : make_twin(seat, space, window, rights, err);
}

static int make_spaces(struct serve_seat *seat, struct err *err)
{
	const struct config *config = &seat->config->config;
	int ret = 0;

	seat->n_spaces = config->n_spaces + 1;
	seat->spaces = calloc(seat->n_spaces, sizeof(*seat->spaces));
	if (!seat->spaces)
		return err_set(err, ENOMEM, "no memory for the spaces");
	for (size_t i = 0; i < seat->n_spaces && !ret; i++) {
		seat->spaces[i].config = i ? &config->spaces[i - 1] : NULL;
		ret = make_space(seat, &seat->spaces[i], err);
	}
	return ret;
}

static struct seat_space *named(const struct serve_seat *seat, const char *id)
{
	for (size_t i = 1; id && i < seat->n_spaces; i++) {
		if (!strcmp(seat->spaces[i].config->id, id))
			return &seat->spaces[i];
	}
	return &seat->spaces[0];
}

static const struct seat_space *find(const struct serve_seat *seat,
				     const struct ioasid_space *space)
{
	for (size_t i = 0; i < seat->n_spaces; i++) {
		if (seat->spaces[i].space == space)
			return &seat->spaces[i];
	}
	return NULL;
}

/* --- a tenant of the function ---------------------------------------------------------------- */

static struct ioasid_space *twin_of(void *arg, const struct ioasid_space *space)
{
	const struct seat_space *found = find(arg, space);

	return found ? found->twin : NULL;
}

/* What of the window is memory, its client says later: the function's IOMMU has only that. */
static int reach(void *arg, const struct ioasid_space *space, struct dsa_piece *pieces,
		 unsigned int *n, struct err *err)
{
	const struct seat_space *found = find(arg, space);

	if (!found)
		return err_set(err, ENOENT, "space %s is another ADI's", ioasid_space_name(space));
	pieces[0] = found->piece;
	*n = 1;
	return 0;
}

static void lost(void *arg)
{
	const struct serve_seat *seat = arg;
	struct dsa *dsa = __atomic_load_n(&seat->dsa, __ATOMIC_ACQUIRE);

	if (!dsa)
		return;
	log_line(seat->log, LOG_WARN, "adi-serve",
		 "%s: the function was reset under it: its guest is told", seat->adi->id);
	dsa_lost(dsa);
}

static int become_tenant(struct serve_seat *seat, struct dsa_options *options, struct err *err)
{
	const struct dsa_tenant_options tenant = {
		.name = seat->adi->id,
		.twin = twin_of,
		.lost = lost,
		.arg = seat,
	};
	int ret;

	if (!seat->function)
		return 0;
	ret = dsa_tenant_create(&seat->tenant, serve_function_owner(seat->function), &tenant, err);
	if (ret)
		return ret;
	options->backend = DSA_BACKEND_VFIO;
	options->host = (struct dsa_host){
		.reach = reach,
		.reach_arg = seat,
		.port = dsa_tenant_port(seat->tenant),
	};
	return 0;
}

/* --- the function ---------------------------------------------------------------------------- */

static bool is_named(const struct config *config, uint32_t host)
{
	for (size_t i = 0; i < config->n_pasids; i++) {
		if (config->pasids[i].host == host)
			return true;
	}
	return false;
}

/*
 * The host PASID of a binding. Each seat's context would choose from 1 on, and in the function's
 * they meet: bindings that name none have the numbers that no other has, in their order.
 */
static uint32_t host_of(const struct config *config, size_t index)
{
	uint32_t host = 0;

	if (config->pasids[index].host)
		return config->pasids[index].host;
	for (size_t i = 0; i <= index; i++) {
		if (config->pasids[i].host)
			continue;
		do
			host++;
		while (is_named(config, host));
	}
	return host;
}

static int bind_pasids(struct serve_seat *seat, struct dsa *dsa, struct err *err)
{
	const struct config *config = &seat->config->config;

	for (size_t i = 0; i < config->n_pasids; i++) {
		struct config_pasid pasid = config->pasids[i];
		int ret;

		if (strcmp(pasid.adi, seat->adi->id) != 0)
			continue;
		if (seat->function)
			pasid.host = host_of(config, i);
		ret = adi_bind(dsa, &pasid, named(seat, pasid.space)->space, seat->log, err);
		if (ret)
			return err_prefix(err, "/pasids/%zu", i);
	}
	return 0;
}

static int make_function(struct serve_seat *seat, struct err *err)
{
	struct pci_svm_options svm = seat->config->svm;
	struct dsa_options options;
	struct dsa *dsa;
	int ret;

	adi_options(&options, seat->adi, seat->log);
	options.sandbox = seat->sandbox;
	ret = become_tenant(seat, &options, err);
	if (!ret)
		ret = dsa_create_apart(&dsa, vfu_export_epoch(seat->export), seat->ctx,
				       seat->spaces[0].space, &options, err);
	if (ret)
		return ret;
	svm.pasid_width = seat->adi->pasid_width;
	ret = pci_function_svm(dsa_function(dsa), &svm, err);
	if (ret) {
		pci_function_destroy(dsa_function(dsa));
		return ret;
	}
	ret = vfu_export_function(seat->export, dsa_function(dsa), err);
	if (ret)
		return ret;
	__atomic_store_n(&seat->dsa, dsa, __ATOMIC_RELEASE);
	return bind_pasids(seat, dsa, err);
}

/* --- the socket ------------------------------------------------------------------------------ */

static int listen_at(struct serve_seat *seat, const char *path, struct err *err)
{
	/* For this user only: who may connect may have the function's memory traffic. */
	seat->fd = unix_socket_listen(path, 0600, 1, 0, &seat->made);
	if (seat->fd == -ENAMETOOLONG)
		return err_set(err, EINVAL, "the socket's path has %zu characters: 1 to %zu fit",
			       strlen(path), UNIX_SOCKET_PATH_MAX);
	if (seat->fd < 0)
		return err_set(err, -seat->fd, "%s: cannot listen there: %s", path,
			       strerror(-seat->fd));
	memcpy(seat->path, path, strlen(path));
	return 0;
}

/* --- clients --------------------------------------------------------------------------------- */

/* What the client's guest did, by what was counted before it came. */
static void say_counters(const struct serve_seat *seat, const struct dsa_counters *before)
{
	struct dsa_counters now;

	dsa_counters_read(seat->dsa, &now);
	log_line(seat->log, LOG_INFO, "adi-serve",
		 "%s: descriptors: %llu accepted, %llu completed, %llu failed, %llu aborted; %llu "
		 "refused, %llu dropped, %llu to try again; %llu bytes",
		 seat->adi->id, (unsigned long long)(now.accepted - before->accepted),
		 (unsigned long long)(now.completed - before->completed),
		 (unsigned long long)(now.failed - before->failed),
		 (unsigned long long)(now.aborted - before->aborted),
		 (unsigned long long)(now.refused_key + now.refused_width + now.refused_unbound -
				      before->refused_key - before->refused_width -
				      before->refused_unbound),
		 (unsigned long long)(now.dropped - before->dropped),
		 (unsigned long long)(now.retried - before->retried),
		 (unsigned long long)(now.bytes - before->bytes));
}

static void serve_client(struct serve_seat *seat, int connection)
{
	struct ucred peer = { .pid = -1, .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);
	struct dsa_counters before;
	struct err err = { 0 };

	(void)getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	log_line(seat->log, LOG_INFO, "adi-serve", "%s: client: process %d of user %d",
		 seat->adi->id, peer.pid, (int)peer.uid);
	dsa_counters_read(seat->dsa, &before);
	if (vfu_export_serve(seat->export, connection, &err))
		log_line(seat->log, LOG_WARN, "adi-serve", "%s: client left: %s", seat->adi->id,
			 err.text);
	else
		log_line(seat->log, LOG_INFO, "adi-serve", "%s: client left", seat->adi->id);
	say_counters(seat, &before);
}

static bool stopped(const struct serve_seat *seat)
{
	return __atomic_load_n(&seat->stopped, __ATOMIC_ACQUIRE);
}

int serve_seat_run(struct serve_seat *seat, struct err *err)
{
	pthread_setname_np(pthread_self(), "seat");
	sandbox_enter(seat->sandbox, seat->function ? SANDBOX_TENANT : SANDBOX_SEAT);
	while (!stopped(seat)) {
		int connection = accept4(seat->fd, NULL, NULL, SOCK_CLOEXEC);

		if (connection >= 0)
			serve_client(seat, connection);
		else if (!stopped(seat) && errno != EINTR && errno != ECONNABORTED)
			return err_set(err, errno, "%s: no more clients can be taken: %s",
				       seat->path, strerror(errno));
	}
	return 0;
}

void serve_seat_stop(struct serve_seat *seat)
{
	__atomic_store_n(&seat->stopped, true, __ATOMIC_RELEASE);
	shutdown(seat->fd, SHUT_RDWR);
	vfu_export_stop(seat->export);
}

/* --- life ------------------------------------------------------------------------------------ */

int serve_seat_create(struct serve_seat **out, const struct serve_config *config, size_t index,
		      const char *path, struct serve_function *function, const struct log *log,
		      const struct sandbox *sandbox, struct err *err)
{
	struct serve_seat *seat = calloc(1, sizeof(*seat));
	int ret;

	if (!seat)
		return err_set(err, ENOMEM, "no memory for a server");
	*seat = (struct serve_seat){
		.fd = -1,
		.config = config,
		.adi = &config->config.adis[index],
		.log = log,
		.sandbox = sandbox,
		.function = function,
	};
	ret = ioasid_ctx_open(&seat->ctx, IOASID_PROVIDER_SOFT, NULL, err);
	if (!ret)
		ret = vfu_export_create(&seat->export, seat->adi->id, log, err);
	if (!ret)
		ret = make_spaces(seat, err);
	if (!ret)
		ret = make_function(seat, err);
	if (!ret)
		ret = listen_at(seat, path, err);
	if (ret) {
		serve_seat_destroy(seat);
		return ret;
	}
	*out = seat;
	return 0;
}

/* The queues of the function go back with the PASIDs, so with the export. */
void serve_seat_destroy(struct serve_seat *seat)
{
	if (!seat)
		return;
	if (seat->fd >= 0) {
		unix_socket_remove(seat->path, &seat->made);
		close(seat->fd);
	}
	dsa_tenant_hush(seat->tenant);
	vfu_export_destroy(seat->export);
	dsa_tenant_destroy(seat->tenant);
	for (size_t i = 0; i < seat->n_spaces; i++) {
		if (seat->spaces[i].twin)
			ioasid_destroy(seat->spaces[i].twin);
	}
	if (seat->ctx)
		ioasid_ctx_close(seat->ctx);
	free(seat->spaces);
	free(seat);
}
