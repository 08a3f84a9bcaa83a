/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/serve-function.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/adi/dsa-assigned.h"
#include "passthrough/adi/dsa-local.h"
#include "passthrough/adi/dsa-owner.h"
#include "vmm/serve-config.h"

struct serve_function {
	struct dsa_local *local;       /* of software, with a context of its own */
	struct dsa_assigned *assigned; /* of the host... */
	struct ioasid_ctx *iommu;      /* ...in this context */
	const struct dsa_access *access;
	struct ioasid_ctx *ctx;
	struct dsa_owner *owner;
};

static int make_soft(struct serve_function *function, const struct serve_config *config,
		     const struct log *log, const struct sandbox *sandbox, struct err *err)
{
	const struct dsa_local_options options = {
		.name = "function",
		.queues = config->function.queues,
		.engines = config->function.engines,
		.log = log,
		.sandbox = sandbox,
	};
	int ret = dsa_local_create(&function->local, &options, err);

	if (ret)
		return ret;
	function->access = dsa_local_access(function->local);
	function->ctx = dsa_local_ctx(function->local);
	return 0;
}

/* The node's owner is who bound the function to vfio-pci; what it is the kernel says. */
static int make_vfio(struct serve_function *function, const struct serve_config *config,
		     struct err *err)
{
	const char *path = config->function.path;
	struct ioasid_source source = { .type = IOASID_SOURCE_CDEV };
	struct dsa_assigned_options options = { .name = path };
	int ret = ioasid_ctx_open(&function->iommu, IOASID_PROVIDER_IOMMUFD, NULL, err);

	if (ret)
		return ret;
	source.cdev.fd = open(path, O_RDWR | O_CLOEXEC);
	if (source.cdev.fd < 0)
		return err_set(err, errno, "/function/path: %s: %s", path, strerror(errno));
	ret = ioasid_bind(function->iommu, &source, "function", &options.device, err);
	if (ret) {
		close(source.cdev.fd);
		return ret;
	}
	options.ctx = function->ctx = function->iommu;
	options.fd = ioasid_device_fd(options.device);
	ret = dsa_assigned_create(&function->assigned, &options, err);
	if (!ret)
		function->access = dsa_assigned_access(function->assigned);
	return ret;
}

int serve_function_create(struct serve_function **out, const struct serve_config *config,
			  const struct log *log, const struct sandbox *sandbox, struct err *err)
{
	const struct dsa_owner_options options = {
		.name = "function",
		.log = log,
		.sandbox = sandbox,
	};
	struct serve_function *function;
	int ret;

	*out = NULL;
	if (!config->function.present)
		return 0;
	function = calloc(1, sizeof(*function));
	if (!function)
		return err_set(err, ENOMEM, "no memory for a function");
	if (config->function.type == SERVE_FUNCTION_VFIO)
		ret = make_vfio(function, config, err);
	else
		ret = make_soft(function, config, log, sandbox, err);
	if (!ret)
		ret = dsa_owner_create(&function->owner, function->access, &options, err);
	if (ret) {
		serve_function_destroy(function);
		return ret;
	}
	*out = function;
	return 0;
}

void serve_function_destroy(struct serve_function *function)
{
	if (!function)
		return;
	dsa_owner_destroy(function->owner);
	dsa_local_destroy(function->local);
	dsa_assigned_destroy(function->assigned);
	if (function->iommu)
		ioasid_ctx_close(function->iommu);
	free(function);
}

struct dsa_owner *serve_function_owner(const struct serve_function *function)
{
	return function->owner;
}

struct ioasid_ctx *serve_function_ctx(const struct serve_function *function)
{
	return function->ctx;
}

uint64_t serve_function_last(const struct serve_function *function)
{
	return function->access->record_iova - 1;
}
