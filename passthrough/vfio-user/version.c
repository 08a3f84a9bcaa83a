/* SPDX-License-Identifier: Apache-2.0 */
#include "passthrough/vfio-user/version.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "util/bits.h"

#define JSON_MAX   4096u
#define JSON_DEPTH 8

/* A capability that is a number of [1, max]; absent: *value stays. */
static int number(struct json_object *capabilities, const char *name, uint64_t max, uint64_t *value,
		  struct err *err)
{
	struct json_object *member;
	int64_t got;

	if (!json_object_object_get_ex(capabilities, name, &member))
		return 0;
	got = json_object_is_type(member, json_type_int) ? json_object_get_int64(member) : 0;
	if (got <= 0)
		return err_set(err, EPROTO, "the peer's capability %s is not a positive number",
			       name);
	*value = MIN((uint64_t)got, max);
	return 0;
}

static int read_capabilities(struct json_object *document, struct vfu_limits *peer, struct err *err)
{
	uint64_t fds = peer->max_fds, xfer = peer->max_xfer, maps = peer->max_maps;
	struct json_object *capabilities;
	int ret;

	if (!json_object_is_type(document, json_type_object))
		return err_set(err, EPROTO, "the peer's version data is not a JSON object");
	if (!json_object_object_get_ex(document, "capabilities", &capabilities))
		return 0;
	if (!json_object_is_type(capabilities, json_type_object))
		return err_set(err, EPROTO, "the peer's capabilities are not a JSON object");
	ret = number(capabilities, "max_msg_fds", UINT32_MAX, &fds, err);
	if (!ret)
		ret = number(capabilities, "max_data_xfer_size", VFU_XFER_MAX, &xfer, err);
	if (!ret)
		ret = number(capabilities, "max_dma_maps", UINT32_MAX, &maps, err);
	if (!ret)
		ret = number(capabilities, "pgsizes", INT64_MAX, &peer->page_sizes, err);
	peer->max_fds = (uint32_t)fds;
	peer->max_xfer = (uint32_t)xfer;
	peer->max_maps = (uint32_t)maps;
	return ret;
}

static int read_json(const char *text, size_t size, struct vfu_limits *peer, struct err *err)
{
	struct json_object *document;
	struct json_tokener *tokener;
	int ret;

	if (size > JSON_MAX || text[size - 1] || strlen(text) != size - 1)
		return err_set(err, EPROTO,
			       "the peer's version data is %zu bytes: at most %u, with one NUL at "
			       "the end",
			       size, JSON_MAX);
	tokener = json_tokener_new_ex(JSON_DEPTH);
	if (!tokener)
		return err_set(err, ENOMEM, "no memory for the peer's version data");
	document = json_tokener_parse_ex(tokener, text, (int)size);
	if (json_tokener_get_error(tokener) == json_tokener_success)
		ret = read_capabilities(document, peer, err);
	else
		ret = err_set(err, EPROTO, "the peer's version data is not JSON: %s",
			      json_tokener_error_desc(json_tokener_get_error(tokener)));
	json_object_put(document);
	json_tokener_free(tokener);
	return ret;
}

int vfu_version_read(const struct vfu_message *message, struct vfu_limits *peer, struct err *err)
{
	const struct vfu_version *version = vfu_message_body(message, sizeof(*version));

	if (!version)
		return err_set(err, EPROTO, "a version message of %u bytes is too short",
			       message->size);
	if (version->major != VFU_MAJOR)
		return err_set(err, EPROTO, "the peer speaks vfio-user %u.%u and this is %u.%u",
			       version->major, version->minor, VFU_MAJOR, VFU_MINOR);
	*peer = (struct vfu_limits){ .minor = version->minor,
				     .max_fds = 1,
				     .max_xfer = VFU_XFER_MAX,
				     .max_maps = 65535,
				     .page_sizes = VFU_PAGE };
	if (message->size == sizeof(*version))
		return 0;
	return read_json((const char *)(version + 1), message->size - sizeof(*version), peer, err);
}

int vfu_version_write(struct vfu_message *message, uint16_t minor, uint32_t max_maps)
{
	const struct vfu_version version = { VFU_MAJOR, minor };
	char text[256];
	int len = snprintf(text, sizeof(text),
			   "{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u,"
			   "\"max_dma_maps\":%u,\"pgsizes\":%u}}",
			   VFU_MAX_FDS, VFU_XFER_MAX, max_maps, VFU_PAGE);
	int ret = vfu_message_resize(message, (uint32_t)(sizeof(version) + (size_t)len + 1));

	if (ret)
		return ret;
	memcpy(message->body, &version, sizeof(version));
	memcpy(message->body + sizeof(version), text, (size_t)len + 1);
	return 0;
}
