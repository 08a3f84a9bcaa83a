/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio devices of a plan: what stands behind each, as far as looking changes nothing. */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/config.h"
#include "vmm/plan.h"
#include "vmm/virtio/image.h"

typedef struct json_object json;

static json *add_device(json *list, const char *kind, const char *id)
{
	json *device = json_object_new_object();

	json_object_object_add(device, "kind", json_object_new_string(kind));
	json_object_object_add(device, "id", json_object_new_string(id));
	json_object_array_add(list, device);
	return device;
}

static void put(json *device, const char *key, const char *value)
{
	if (value)
		json_object_object_add(device, key, json_object_new_string(value));
}

static const char *sink_name(const struct config_sink *sink)
{
	static const char *const names[] = { [SERIAL_TTY] = "terminal",
					     [SERIAL_FILE] = "file",
					     [SERIAL_PTY] = "pty",
					     [SERIAL_SOCKET] = "socket",
					     [SERIAL_NULL] = "nothing" };

	return sink->path ? sink->path : names[sink->mode];
}

static int add_disk(json *list, const struct config_disk *disk, size_t index, struct err *err)
{
	/* For reading: a writer's lock would be taken from a VM that starts meanwhile. */
	const struct image_options options = { .path = disk->path,
					       .readonly = true,
					       .direct = disk->direct,
					       .raw = disk->raw,
					       .unlocked = true };
	struct image image;
	json *device;
	int ret;

	/* Whoever starts it hands that over. */
	if (disk->fd) {
		device = add_device(list, "disk", disk->id);
		put(device, "behind", "descriptor");
		return 0;
	}
	ret = image_open(&image, &options, err);
	if (ret)
		return err_prefix(err, "/disks/%zu", index);
	device = add_device(list, "disk", disk->id);
	put(device, "behind", disk->path);
	json_object_object_add(device, "size", json_object_new_int64((int64_t)image.size));
	json_object_object_add(device, "readonly", json_object_new_boolean(disk->readonly));
	json_object_object_add(device, "direct", json_object_new_boolean(disk->direct));
	image_close(&image);
	return 0;
}

int plan_virtio(json **out, const struct config *config, struct err *err)
{
	json *list = json_object_new_array();
	int ret = 0;

	for (size_t i = 0; i < config->n_disks && !ret; i++)
		ret = add_disk(list, &config->disks[i], i, err);
	if (ret) {
		json_object_put(list);
		return ret;
	}
	for (size_t i = 0; i < config->n_net; i++)
		put(add_device(list, "net", config->net[i].id), "behind",
		    config->net[i].tap ? config->net[i].tap : "descriptor");
	if (config->rng.present)
		put(add_device(list, "rng", "rng"), "behind",
		    config->rng.src ? config->rng.src : "getrandom");
	if (config->console.present)
		put(add_device(list, "console", "console"), "behind",
		    sink_name(&config->console.sink));
	for (size_t i = 0; i < config->console.n_ports; i++)
		put(add_device(list, "port", config->console.ports[i].name), "behind",
		    sink_name(&config->console.ports[i].sink));
	if (config->vsock.present)
		put(add_device(list, "vsock", "vsock"), "behind", config->vsock.socket);
	if (config->balloon.present)
		json_object_object_add(add_device(list, "balloon", "balloon"), "size",
				       json_object_new_int64((int64_t)config->balloon.size));
	*out = list;
	return 0;
}

static const char *text_of(json *device, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(device, key));

	return text ? text : "";
}

static bool is_set(json *device, const char *key)
{
	return json_object_get_boolean(json_object_object_get(device, key));
}

void plan_virtio_print(json *list, FILE *to)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json *device = json_object_array_get_idx(list, i), *size;

		fprintf(to, "virtio %s %s: %s", text_of(device, "kind"), text_of(device, "id"),
			text_of(device, "behind"));
		if (json_object_object_get_ex(device, "size", &size))
			fprintf(to, " %lld bytes", (long long)json_object_get_int64(size));
		fprintf(to, "%s%s\n", is_set(device, "readonly") ? ", read-only" : "",
			is_set(device, "direct") ? ", direct" : "");
	}
}
