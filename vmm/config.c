/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What no single key of a configuration can know: which go together, references between them,
 * sums and windows. The keys themselves, each with its limits, are in vmm/config-keys.c.
 */
#include "vmm/config.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "passthrough/adi/dsa.h"
#include "util/bits.h"
#include "util/json-strict.h"
#include "vmm/config-draft.h"
#include "vmm/config-schema.h"
#include "vmm/config-slots.h"
#include "vmm/hot-ram.h"
#include "vmm/layout.h"

#define FLAT_DEFAULT (2 * MIB)

/* --- checks across keys ---------------------------------------------------------------------- */

static int only_one(const char *key, const char *path, uint32_t fd, struct err *err)
{
	return path && fd ? err_set(err, EINVAL,
				    "/payload/%s_fd: does not go with \"%s\"; remove one of them",
				    key, key)
			  : 0;
}

static int settle_payload(struct config_draft *draft, struct err *err)
{
	struct config *config = &draft->config;
	bool kernel = config->payload.kernel || config->payload.kernel_fd;
	bool flat = draft->flat || draft->flat_fd;
	char size[24];

	if (only_one("kernel", config->payload.kernel, config->payload.kernel_fd, err) ||
	    only_one("initramfs", config->payload.initramfs, config->payload.initramfs_fd, err) ||
	    only_one("flat", draft->flat, draft->flat_fd, err))
		return -EINVAL;
	if (!kernel && !flat)
		return err_set(err, EINVAL, "/payload: needs \"kernel\" or \"flat\"");
	if (kernel && flat)
		return err_set(err, EINVAL,
			       "/payload/flat: does not go with \"kernel\"; remove one of them");
	if (kernel) {
		config->payload.type = PAYLOAD_KERNEL;
		if (config->payload.address)
			return err_set(err, EINVAL,
				       "/payload/address: goes only with \"flat\"; remove it");
		return 0;
	}
	if (config->payload.initramfs || config->payload.initramfs_fd)
		return err_set(err, EINVAL,
			       "/payload/initramfs: goes only with \"kernel\"; remove it");
	config->payload.type = PAYLOAD_FLAT;
	config->payload.kernel = draft->flat;
	config->payload.kernel_fd = draft->flat_fd;
	draft->flat = NULL;
	if (!config->payload.address)
		config->payload.address = FLAT_DEFAULT;
	if (config->payload.address < config->memory.size)
		return 0;
	schema_size_text(size, sizeof(size), config->memory.size);
	return err_set(err, EINVAL,
		       "/payload/address: 0x%llx is past guest memory, which is %s; lower it or "
		       "raise /memory/size",
		       (unsigned long long)config->payload.address, size);
}

/* Blocks, and who could not follow when one comes. */
static int settle_hotplug(struct config *config, struct err *err)
{
	int ret;

	if (!config->memory.hotplug_size && config->memory.hotplugged_size)
		return err_set(
			err, EINVAL,
			"/memory/hotplugged_size: goes only with \"hotplug_size\"; set that");
	if (!config->memory.hotplug_size)
		return 0;
	ret = hot_ram_block_size(config->memory.hotplug_size, config->memory.hugepage_size,
				 &config->memory.block_size, err);
	if (ret)
		return err_prefix(err, "/memory/hotplug_size");
	if (config->memory.hotplugged_size > config->memory.hotplug_size ||
	    !is_aligned(config->memory.hotplugged_size, config->memory.block_size))
		return err_set(
			err, EINVAL,
			"/memory/hotplugged_size: %llu MiB are not whole blocks of %llu MiB up "
			"to \"hotplug_size\"",
			(unsigned long long)(config->memory.hotplugged_size / MIB),
			(unsigned long long)(config->memory.block_size / MIB));
	for (size_t i = 0; i < config->n_adis; i++) {
		if (config->adis[i].backend != DSA_BACKEND_SOFT)
			return err_set(
				err, EINVAL,
				"/memory/hotplug_size: does not go with /adis/%zu: its helper "
				"is given guest memory once, at its start",
				i);
	}
	if (config->n_user_devices)
		return err_set(err, EINVAL,
			       "/memory/hotplug_size: does not go with \"socket\" in /devices: the "
			       "server is told of guest memory once, at its start");
	return 0;
}

static int settle_memory(struct config_draft *draft, struct err *err)
{
	struct config *config = &draft->config;
	char size[24], page[24];

	if (!draft->hugepages && draft->hugepage_size)
		return err_set(
			err, EINVAL,
			"/memory/hugepage_size: goes only with \"hugepages\": true; set that "
			"or remove this");
	if (!draft->hugepages)
		return 0;
	config->memory.hugepage_size = draft->hugepage_size ? draft->hugepage_size : 2 * MIB;
	if (is_aligned(config->memory.size, config->memory.hugepage_size))
		return 0;
	schema_size_text(size, sizeof(size), config->memory.size);
	schema_size_text(page, sizeof(page), config->memory.hugepage_size);
	return err_set(err, EINVAL, "/memory/size: %s is no multiple of the huge page size %s",
		       size, page);
}

/* Each path key belongs to one mode; what is left over is refused, not ignored. */
static int settle_serial(struct config_draft *draft, struct err *err)
{
	const struct {
		const char *key, *mode_name;
		enum config_serial mode;
		bool required;
		char **path;
	} rows[] = {
		{ "file", "File", SERIAL_FILE, true, &draft->serial_file },
		{ "socket", "Socket", SERIAL_SOCKET, true, &draft->serial_socket },
		{ "link", "Pty", SERIAL_PTY, false, &draft->serial_link },
	};
	struct config *config = &draft->config;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool mine = config->serial.mode == rows[i].mode;

		if (*rows[i].path && !mine)
			return err_set(err, EINVAL,
				       "/serial/%s: goes only with \"mode\": \"%s\"; remove it or "
				       "set that",
				       rows[i].key, rows[i].mode_name);
		if (mine && rows[i].required && !*rows[i].path)
			return err_set(err, EINVAL,
				       "/serial/%s: is missing; \"mode\": \"%s\" needs this path",
				       rows[i].key, rows[i].mode_name);
		if (mine) {
			config->serial.path = *rows[i].path;
			*rows[i].path = NULL;
		}
	}
	return 0;
}

static int settle(struct config_draft *draft, struct err *err)
{
	int ret = settle_memory(draft, err);

	if (!ret)
		ret = settle_payload(draft, err);
	if (!ret)
		ret = settle_serial(draft, err);
	if (!ret)
		ret = config_settle_virtio(&draft->config, err);
	if (!ret)
		ret = config_settle_adis(&draft->config, err);
	if (!ret)
		ret = config_settle_devices(&draft->config, err);
	if (!ret)
		ret = config_settle_slots(&draft->config, err);
	if (!ret)
		ret = settle_hotplug(&draft->config, err);
	return ret;
}

/* --- reading --------------------------------------------------------------------------------- */

void config_free_device(struct config_device *device)
{
	free(device->id);
	free(device->path);
	free(device->vf_token);
	free(device->socket);
	free(device->mdev.type);
	free(device->mdev.parent);
	free(device->mdev.uuid);
}

void config_free_user_device(struct config_user_device *device)
{
	free(device->id);
	free(device->socket);
}

void config_free_adi(struct config_adi *adi)
{
	free(adi->id);
	free(adi->node);
}

void config_free_pasid(struct config_pasid *pasid)
{
	free(pasid->adi);
	free(pasid->space);
}

void config_free(struct config *config)
{
	free(config->payload.kernel);
	free(config->payload.initramfs);
	free(config->payload.cmdline);
	free(config->serial.path);
	config_free_virtio(config);
	for (size_t i = 0; i < config->n_adis; i++)
		config_free_adi(&config->adis[i]);
	for (size_t i = 0; i < config->n_spaces; i++)
		free(config->spaces[i].id);
	for (size_t i = 0; i < config->n_pasids; i++)
		config_free_pasid(&config->pasids[i]);
	free(config->adis);
	free(config->spaces);
	free(config->pasids);
	for (size_t i = 0; i < config->n_devices; i++)
		config_free_device(&config->devices[i]);
	free(config->devices);
	for (size_t i = 0; i < config->n_user_devices; i++)
		config_free_user_device(&config->user_devices[i]);
	free(config->user_devices);
	free(config->iommu.node);
	memset(config, 0, sizeof(*config));
}

int config_parse(struct config *config, const char *text, size_t len, struct err *err)
{
	struct config_draft draft = { 0 };
	struct json_object *document = NULL;
	int ret;

	memset(config, 0, sizeof(*config));
	if (len > CONFIG_MAX_BYTES)
		return err_set(err, E2BIG, "(document): is longer than %u bytes", CONFIG_MAX_BYTES);
	ret = json_strict_parse(&document, text, len, err);
	if (!ret)
		ret = schema_read(config_schema(), document, &draft, err);
	if (!ret)
		ret = settle(&draft, err);
	json_object_put(document);
	free(draft.flat);
	free(draft.serial_file);
	free(draft.serial_socket);
	free(draft.serial_link);
	if (ret)
		config_free(&draft.config);
	else
		*config = draft.config;
	return ret;
}

#define FIRST_BYTES ((size_t)8 * 1024)

/*
 * One byte past the limit tells a text that is too long from one that just fits. The buffer grows:
 * freeing a large one would make the allocator keep other large blocks, which are mostly untouched,
 * among the small ones. *text is the caller's to free, also after an error.
 */
static int read_all(int fd, char **text, size_t *len)
{
	const size_t most = CONFIG_MAX_BYTES + 1;
	size_t size = 0;
	ssize_t n = 1;

	for (*len = 0; n && *len < most; *len += (size_t)n) {
		if (*len == size) {
			char *more;

			size = MIN(size ? 2 * size : FIRST_BYTES, most);
			more = realloc(*text, size);
			if (!more)
				return -ENOMEM;
			*text = more;
		}
		do
			n = read(fd, *text + *len, size - *len);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return -errno;
	}
	return 0;
}

int config_load_with(const char *path,
		     int (*parse)(void *out, const char *text, size_t len, struct err *err),
		     void *out, struct err *err)
{
	char *text = NULL, name[128];
	size_t len = 0;
	int fd, ret;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	ret = fd < 0 ? -errno : 0;
	if (!ret)
		ret = read_all(fd, &text, &len);
	if (ret) {
		errno = -ret;
		err_set(err, -ret, "cannot be read: %m");
	} else if (len > CONFIG_MAX_BYTES) {
		ret = err_set(err, E2BIG, "(document): is longer than %u bytes", CONFIG_MAX_BYTES);
	} else {
		ret = parse(out, text, len, err);
	}
	if (ret) {
		json_printable(name, sizeof(name), path);
		err_prefix(err, "%s", name);
	}
	free(text);
	if (fd >= 0)
		close(fd);
	return ret;
}

static int parse_vm(void *out, const char *text, size_t len, struct err *err)
{
	return config_parse(out, text, len, err);
}

int config_load(struct config *config, const char *path, struct err *err)
{
	memset(config, 0, sizeof(*config));
	return config_load_with(path, parse_vm, config, err);
}
