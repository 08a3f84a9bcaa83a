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
#include "vmm/config-draft.h"
#include "vmm/config-schema.h"
#include "vmm/json-strict.h"
#include "vmm/layout.h"

#define FLAT_DEFAULT (2 * MIB)

/* --- checks across keys ----------------------------------------------------------------------- */

static int settle_payload(struct config_draft *draft, struct err *err)
{
	struct config *config = &draft->config;
	char size[24];

	if (!config->payload.kernel && !draft->flat)
		return err_set(err, EINVAL, "/payload: needs \"kernel\" or \"flat\"");
	if (config->payload.kernel && draft->flat)
		return err_set(err, EINVAL,
			       "/payload/flat: does not go with \"kernel\"; remove one of them");
	if (config->payload.kernel) {
		config->payload.type = PAYLOAD_KERNEL;
		if (config->payload.address)
			return err_set(err, EINVAL,
				       "/payload/address: goes only with \"flat\"; remove it");
		return 0;
	}
	if (config->payload.initramfs)
		return err_set(err, EINVAL,
			       "/payload/initramfs: goes only with \"kernel\"; remove it");
	config->payload.type = PAYLOAD_FLAT;
	config->payload.kernel = draft->flat;
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

static int check_adis(const struct config *config, struct err *err)
{
	for (size_t i = 0; i < config->n_adis; i++) {
		const struct config_adi *adi = &config->adis[i];
		uint32_t sum = 0;

		for (size_t j = 0; j < i; j++) {
			if (!strcmp(adi->id, config->adis[j].id))
				return err_set(err, EINVAL,
					       "/adis/%zu/id: \"%s\" is the name of /adis/%zu "
					       "already; choose another",
					       i, adi->id, j);
		}
		for (uint32_t j = 0; j < adi->n_wqs; j++)
			sum += adi->wqs[j].size;
		if (sum > DSA_MAX_WQ_SIZE)
			return err_set(err, EINVAL,
				       "/adis/%zu/wqs: the sizes sum to %u; the queues of an ADI "
				       "share %u entries",
				       i, sum, DSA_MAX_WQ_SIZE);
	}
	return 0;
}

/* Where guest memory ends; reserved ranges of a host can move it, which the machine knows. */
static uint64_t memory_end(const struct config *config)
{
	const struct layout_request request = {
		.ram_size = config->memory.size,
		.phys_bits = LAYOUT_PHYS_BITS_MAX,
		.aperture_last = UINT64_MAX,
	};
	struct layout layout;

	if (layout_plan(&layout, &request, NULL) != 0)
		return 0;
	return layout.ram[layout.n_ram - 1].gpa + layout.ram[layout.n_ram - 1].size;
}

static int check_spaces(const struct config *config, struct err *err)
{
	uint64_t end = config->n_spaces ? memory_end(config) : 0;

	for (size_t i = 0; i < config->n_spaces; i++) {
		const struct config_space *space = &config->spaces[i];
		/* Both are bounded by the table: the sum cannot wrap. */
		unsigned long long first = space->offset, past = first + space->size;

		if (!strcmp(space->id, CONFIG_ALL_MEMORY))
			return err_set(err, EINVAL,
				       "/spaces/%zu/id: \"%s\" means all guest memory; choose "
				       "another",
				       i, CONFIG_ALL_MEMORY);
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(space->id, config->spaces[j].id))
				return err_set(err, EINVAL,
					       "/spaces/%zu/id: \"%s\" is the name of /spaces/%zu "
					       "already; choose another",
					       i, space->id, j);
		}
		if (!range_inside(space->offset, space->size, 0, end))
			return err_set(err, EINVAL,
				       "/spaces/%zu/%s: the window 0x%llx to 0x%llx leaves guest "
				       "memory, which ends at 0x%llx",
				       i, space->offset >= end ? "offset" : "size", first, past,
				       (unsigned long long)end);
	}
	return 0;
}

/* A reference that leads nowhere: names the nearest id, else all that fit into the message. */
static int refuse_reference(struct err *err, size_t binding, const char *key, const char *what,
			    const char *id, const char *const *ids, size_t n)
{
	const char *nearest = schema_nearest(id, ids, n);
	char list[160] = "there is none";
	size_t len = 0;

	if (nearest)
		return err_set(err, EINVAL,
			       "/pasids/%zu/%s: no %s is called \"%s\"; the nearest is \"%s\"",
			       binding, key, what, id, nearest);
	for (size_t i = 0; i < n && len < sizeof(list); i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s\"%s\"",
					i ? ", " : "there is ", ids[i]);
	return err_set(err, EINVAL, "/pasids/%zu/%s: no %s is called \"%s\"; %s", binding, key,
		       what, id, list);
}

/* NULL, and the sentence, where there is none. */
static const struct config_adi *find_adi(const struct config *config, size_t binding,
					 struct err *err)
{
	const char *ids[CONFIG_MAX_ADIS];

	for (size_t i = 0; i < config->n_adis; i++) {
		ids[i] = config->adis[i].id;
		if (!strcmp(ids[i], config->pasids[binding].adi))
			return &config->adis[i];
	}
	refuse_reference(err, binding, "adi", "ADI", config->pasids[binding].adi, ids,
			 config->n_adis);
	return NULL;
}

static int check_space_reference(struct config *config, size_t binding, struct err *err)
{
	const char *ids[CONFIG_MAX_SPACES + 1];
	struct config_pasid *pasid = &config->pasids[binding];

	if (!strcmp(pasid->space, CONFIG_ALL_MEMORY)) {
		free(pasid->space);
		pasid->space = NULL;
		return 0;
	}
	ids[0] = CONFIG_ALL_MEMORY;
	for (size_t i = 0; i < config->n_spaces; i++) {
		ids[i + 1] = config->spaces[i].id;
		if (!strcmp(ids[i + 1], pasid->space))
			return 0;
	}
	return refuse_reference(err, binding, "space", "space", pasid->space, ids,
				config->n_spaces + 1);
}

static int check_pasid_numbers(const struct config *config, size_t i, struct err *err)
{
	const struct config_pasid *pasid = &config->pasids[i];

	for (size_t j = 0; j < i; j++) {
		const struct config_pasid *other = &config->pasids[j];

		if (pasid->guest == other->guest && !strcmp(pasid->adi, other->adi))
			return err_set(err, EINVAL,
				       "/pasids/%zu/guest: %u is bound on \"%s\" by /pasids/%zu "
				       "already; remove one",
				       i, pasid->guest, pasid->adi, j);
		if (pasid->host && pasid->host == other->host)
			return err_set(err, EINVAL,
				       "/pasids/%zu/host: %u is given to /pasids/%zu already; "
				       "choose another, or leave it out for any free one",
				       i, pasid->host, j);
	}
	return 0;
}

static int check_pasids(struct config *config, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < config->n_pasids && !ret; i++) {
		const struct config_pasid *pasid = &config->pasids[i];
		const struct config_adi *adi = find_adi(config, i, err);
		size_t index;

		if (!adi)
			return -EINVAL;
		index = (size_t)(adi - config->adis);
		if (!adi->pasid_allow)
			return err_set(err, EINVAL,
				       "/pasids/%zu/adi: \"%s\" may not use PASIDs; a binding is "
				       "the second key, the first is /adis/%zu/pasid/allow: true",
				       i, adi->id, index);
		if (pasid->guest >> adi->pasid_width)
			return err_set(err, EINVAL,
				       "/pasids/%zu/guest: %u is past the %u bits of \"%s\", 1 to "
				       "%u; choose a smaller one or raise /adis/%zu/pasid/width",
				       i, pasid->guest, adi->pasid_width, adi->id,
				       (1u << adi->pasid_width) - 1, index);
		ret = check_pasid_numbers(config, i, err);
		if (!ret)
			ret = check_space_reference(config, i, err);
	}
	return ret;
}

static int settle(struct config_draft *draft, struct err *err)
{
	int ret = settle_memory(draft, err);

	if (!ret)
		ret = settle_payload(draft, err);
	if (!ret)
		ret = settle_serial(draft, err);
	if (!ret)
		ret = check_adis(&draft->config, err);
	if (!ret)
		ret = check_spaces(&draft->config, err);
	if (!ret)
		ret = check_pasids(&draft->config, err);
	if (!ret)
		ret = config_settle_devices(&draft->config, err);
	return ret;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void free_device(struct config_device *device)
{
	free(device->id);
	free(device->path);
	free(device->vf_token);
	free(device->mdev.type);
	free(device->mdev.parent);
	free(device->mdev.uuid);
}

void config_free(struct config *config)
{
	free(config->payload.kernel);
	free(config->payload.initramfs);
	free(config->payload.cmdline);
	free(config->serial.path);
	for (size_t i = 0; i < config->n_adis; i++)
		free(config->adis[i].id);
	for (size_t i = 0; i < config->n_spaces; i++)
		free(config->spaces[i].id);
	for (size_t i = 0; i < config->n_pasids; i++) {
		free(config->pasids[i].adi);
		free(config->pasids[i].space);
	}
	free(config->adis);
	free(config->spaces);
	free(config->pasids);
	for (size_t i = 0; i < config->n_devices; i++)
		free_device(&config->devices[i]);
	free(config->devices);
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

/* One byte past the limit tells a text that is too long from one that just fits. */
static int read_all(int fd, char *text, size_t size, size_t *len)
{
	ssize_t n;

	for (*len = 0; *len < size; *len += (size_t)n) {
		n = read(fd, text + *len, size - *len);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return -errno;
		else if (!n)
			break;
	}
	return 0;
}

int config_load(struct config *config, const char *path, struct err *err)
{
	const size_t size = CONFIG_MAX_BYTES + 1;
	char *text = NULL, name[128];
	size_t len = 0;
	int fd, ret;

	memset(config, 0, sizeof(*config));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ret = fd < 0 ? -errno : 0;
	if (!ret) {
		text = malloc(size);
		ret = text ? read_all(fd, text, size, &len) : -ENOMEM;
	}
	if (ret) {
		errno = -ret;
		err_set(err, -ret, "cannot be read: %m");
	} else {
		ret = config_parse(config, text, len, err);
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
