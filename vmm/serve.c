/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/adi/dsa.h"
#include "passthrough/pci/pci.h"
#include "passthrough/vfio-user/export.h"
#include "vmm/adis.h"
#include "vmm/config.h"
#include "vmm/serve-config.h"

struct serve {
	struct sockaddr_un address;
	int fd;	      /* listens */
	bool bound;   /* the socket's file is ours to remove */
	bool stopped; /* atomic */
	const struct config *config;
	const struct log *log;
	struct ioasid_ctx *ctx;
	struct ioasid_space *guest;   /* all that the client shares */
	struct ioasid_space **spaces; /* as config->spaces */
	struct vfu_export *export;
};

/* --- the function ---------------------------------------------------------------------------- */

static int make_spaces(struct serve *serve, struct err *err)
{
	const struct config *config = serve->config;
	const struct ioasid_range all = { 0, UINT64_MAX };
	int ret = vfu_export_space(serve->export, serve->ctx, "guest", all,
				   IOASID_READ | IOASID_WRITE, &serve->guest, err);

	for (size_t i = 0; i < config->n_spaces && !ret; i++) {
		const struct config_space *space = &config->spaces[i];
		const struct ioasid_range window = { space->offset,
						     space->offset + (space->size - 1) };

		ret = vfu_export_space(serve->export, serve->ctx, space->id, window,
				       IOASID_READ | (space->write ? IOASID_WRITE : 0),
				       &serve->spaces[i], err);
	}
	return ret;
}

static struct ioasid_space *space_of(const struct serve *serve, const char *id)
{
	for (size_t i = 0; id && i < serve->config->n_spaces; i++) {
		if (!strcmp(serve->config->spaces[i].id, id))
			return serve->spaces[i];
	}
	return serve->guest;
}

static int make_function(struct serve *serve, const struct pci_svm_options *svm, struct err *err)
{
	const struct config *config = serve->config;
	struct dsa_options options;
	struct dsa *dsa;
	int ret;

	adi_options(&options, &config->adis[0], serve->log);
	ret = dsa_create_apart(&dsa, vfu_export_epoch(serve->export), serve->ctx, serve->guest,
			       &options, err);
	if (ret)
		return ret;
	ret = pci_function_svm(dsa_function(dsa), svm, err);
	if (ret) {
		pci_function_destroy(dsa_function(dsa));
		return ret;
	}
	ret = vfu_export_function(serve->export, dsa_function(dsa), err);
	for (size_t i = 0; i < config->n_pasids && !ret; i++) {
		const struct config_pasid *pasid = &config->pasids[i];

		ret = adi_bind(dsa, pasid, space_of(serve, pasid->space), serve->log, err);
		if (ret)
			err_prefix(err, "/pasids/%zu", i);
	}
	return ret;
}

/* --- the socket ------------------------------------------------------------------------------ */

/* A server that died has left its socket behind: nobody answers there. */
static bool is_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
		     errno == ECONNREFUSED;
	struct stat st;

	if (fd >= 0)
		close(fd);
	return stale && !lstat(address->sun_path, &st) && S_ISSOCK(st.st_mode);
}

/* For this user only: who may connect may have the function's memory traffic. */
static int bind_privately(int fd, const struct sockaddr_un *address)
{
	mode_t before = umask(0177);
	int ret = bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;

	umask(before);
	return ret;
}

static int listen_at(struct serve *serve, const char *path, struct err *err)
{
	size_t len = strlen(path);
	int ret;

	if (!len || len >= sizeof(serve->address.sun_path))
		return err_set(err, EINVAL, "the socket's path has %zu characters: 1 to %zu fit",
			       len, sizeof(serve->address.sun_path) - 1);
	serve->address.sun_family = AF_UNIX;
	memcpy(serve->address.sun_path, path, len);
	serve->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (serve->fd < 0)
		return err_set(err, errno, "no socket: %s", strerror(errno));
	ret = bind_privately(serve->fd, &serve->address);
	if (ret == -EADDRINUSE && is_stale(&serve->address) && !unlink(path))
		ret = bind_privately(serve->fd, &serve->address);
	serve->bound = !ret;
	if (!ret && listen(serve->fd, 1))
		ret = -errno;
	return ret ? err_set(err, -ret, "%s: cannot listen there: %s", path, strerror(-ret)) : 0;
}

/* --- clients --------------------------------------------------------------------------------- */

static void serve_client(struct serve *serve, int connection)
{
	struct ucred peer = { .pid = -1, .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);
	struct err err = { 0 };

	(void)getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	log_line(serve->log, LOG_INFO, "adi-serve", "client: process %d of user %d", peer.pid,
		 (int)peer.uid);
	if (vfu_export_serve(serve->export, connection, &err))
		log_line(serve->log, LOG_WARN, "adi-serve", "client left: %s", err.text);
	else
		log_line(serve->log, LOG_INFO, "adi-serve", "client left");
}

static bool stopped(const struct serve *serve)
{
	return __atomic_load_n(&serve->stopped, __ATOMIC_ACQUIRE);
}

int serve_run(struct serve *serve, struct err *err)
{
	while (!stopped(serve)) {
		int connection = accept4(serve->fd, NULL, NULL, SOCK_CLOEXEC);

		if (connection >= 0)
			serve_client(serve, connection);
		else if (!stopped(serve) && errno != EINTR && errno != ECONNABORTED)
			return err_set(err, errno, "%s: no more clients can be taken: %s",
				       serve->address.sun_path, strerror(errno));
	}
	return 0;
}

void serve_stop(struct serve *serve)
{
	__atomic_store_n(&serve->stopped, true, __ATOMIC_RELEASE);
	shutdown(serve->fd, SHUT_RDWR);
	vfu_export_stop(serve->export);
}

/* --- life ------------------------------------------------------------------------------------ */

int serve_create(struct serve **out, const char *path, const struct serve_config *config,
		 const struct log *log, struct err *err)
{
	struct serve *serve = calloc(1, sizeof(*serve));
	int ret;

	if (!serve)
		return err_set(err, ENOMEM, "no memory for a server");
	*serve = (struct serve){ .fd = -1, .config = &config->config, .log = log };
	serve->spaces = calloc(config->config.n_spaces + 1, sizeof(struct ioasid_space *));
	ret = serve->spaces ? 0 : err_set(err, ENOMEM, "no memory for the spaces");
	if (!ret)
		ret = ioasid_ctx_open(&serve->ctx, IOASID_PROVIDER_SOFT, NULL, err);
	if (!ret)
		ret = vfu_export_create(&serve->export, config->config.adis[0].id, log, err);
	if (!ret)
		ret = make_spaces(serve, err);
	if (!ret)
		ret = make_function(serve, &config->svm, err);
	if (!ret)
		ret = listen_at(serve, path, err);
	if (ret) {
		serve_destroy(serve);
		return ret;
	}
	*out = serve;
	return 0;
}

void serve_destroy(struct serve *serve)
{
	if (!serve)
		return;
	if (serve->fd >= 0)
		close(serve->fd);
	if (serve->bound)
		unlink(serve->address.sun_path);
	vfu_export_destroy(serve->export);
	if (serve->ctx)
		ioasid_ctx_close(serve->ctx);
	free(serve->spaces);
	free(serve);
}
