/* SPDX-License-Identifier: Apache-2.0 */
#include "libvirt-driver/run-given.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "keeper/node.h"
#include "libvirt-driver/bridge.h"
#include "libvirt-driver/json.h"
#include "libvirt-driver/run-taken.h"
#include "util/bits.h"

#define CONFIG_DEVICES 64u /* more than a VM has */

static bool is_set(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) && json_object_get_boolean(value);
}

/* O_NONBLOCK: a FIFO is refused by adit, not waited for. */
static int open_image(struct json_object *disk, const char *path)
{
	int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	flags |= is_set(disk, "readonly") ? O_RDONLY : O_RDWR;
	if (is_set(disk, "direct"))
		flags |= O_DIRECT;
	return open(path, flags);
}

static int open_payload(struct json_object *payload, const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static int open_tap(struct json_object *net, const char *tap)
{
	int fd = bridge_open_tap(tap);

	if (fd >= 0)
		return fd;
	errno = -fd;
	return -1;
}

/* key is a path or a name; the descriptor's number takes its place under fd_key, if there is one.
 */
static int give(struct given *given, struct json_object *object, const char *key,
		const char *fd_key, int (*open_it)(struct json_object *, const char *),
		struct refusal *refusal)
{
	const char *word = json_word(object, key, NULL);
	int fd;

	if (!word)
		return 0;
	if (given->n == GIVEN_MAX)
		return refuse(refusal, FAULT_CONFIG_UNSUPPORTED,
			      "a domain has at most %u files and taps", GIVEN_MAX);
	fd = open_it(object, word);
	if (fd < 0)
		return refuse(refusal, FAULT_OPERATION_FAILED, "%s cannot be opened: %s", word,
			      strerror(errno));
	given->fds[given->n++] = fd;
	if (fd_key)
		json_object_object_add(object, fd_key, json_object_new_int(fd));
	json_object_object_del(object, key);
	return 0;
}

static int give_each(struct given *given, struct json_object *config, const char *list,
		     const char *key, int (*open_it)(struct json_object *, const char *),
		     struct refusal *refusal)
{
	struct json_object *array;
	int ret = 0;

	if (!json_object_object_get_ex(config, list, &array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(array) && !ret; i++)
		ret = give(given, json_object_array_get_idx(array, i), key, "fd", open_it, refusal);
	return ret;
}

int given_open(struct given *given, struct json_object *config, struct refusal *refusal)
{
	static const char *const payloads[][2] = { { "kernel", "kernel_fd" },
						   { "initramfs", "initramfs_fd" },
						   { "flat", "flat_fd" } };
	struct json_object *payload;
	int ret = 0;

	given->n = 0;
	if (json_object_object_get_ex(config, "payload", &payload)) {
		for (size_t i = 0; i < ARRAY_SIZE(payloads) && !ret; i++)
			ret = give(given, payload, payloads[i][0], payloads[i][1], open_payload,
				   refusal);
	}
	if (!ret)
		ret = give_each(given, config, "disks", "path", open_image, refusal);
	if (!ret)
		ret = give_each(given, config, "net", "tap", open_tap, refusal);
	return ret;
}

int given_open_disk(struct given *given, struct json_object *disk, struct refusal *refusal)
{
	given->n = 0;
	return give(given, disk, "path", NULL, open_image, refusal);
}

int given_open_net(struct given *given, struct json_object *net, struct refusal *refusal)
{
	given->n = 0;
	return give(given, net, "tap", NULL, open_tap, refusal);
}

/* As adit would have it: type1 knows groups alone. */
static enum host_way way_of(struct json_object *device, struct json_object *config)
{
	const char *via = json_word(device, "via", "auto"), *provider = "auto";
	struct json_object *iommu;

	if (json_object_object_get_ex(config, "iommu", &iommu))
		provider = json_word(iommu, "provider", "auto");
	if (!strcmp(via, "cdev"))
		return HOST_WAY_CDEV;
	return !strcmp(via, "group") || !strcmp(provider, "type1") ? HOST_WAY_GROUP : HOST_WAY_AUTO;
}

int given_open_device(struct given *given, const struct host *host, struct json_object *device,
		      struct json_object *config, bool with_iommu, struct refusal *refusal)
{
	const char *with[CONFIG_DEVICES], *path = json_word(device, "path", "");
	size_t n = taken_names(config, with, ARRAY_SIZE(with));
	struct host_found found;
	struct host_name name;
	int fd;

	given->n = 0;
	refusal->fault = FAULT_OPERATION_FAILED;
	if (host_name_parse(&name, path))
		return refuse(refusal, FAULT_OPERATION_FAILED, "%s names no device", path);
	if (host_find_device(host, &name, way_of(device, config), with, n, &found, &refusal->err))
		return CALL_REFUSED;
	fd = host_open_found(host, &found, &refusal->err);
	if (fd < 0)
		return CALL_REFUSED;
	given->fds[given->n++] = fd;
	fd = with_iommu ? host_open_iommu(host, NULL, found.by_group, &refusal->err) : -1;
	if (fd >= 0)
		given->fds[given->n++] = fd;
	return with_iommu && fd < 0 ? CALL_REFUSED : 0;
}

int given_take(struct given *given, int fd, struct refusal *refusal)
{
	/* From 3: the first three are the process's own. */
	int copy = given->n < GIVEN_MAX ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;

	if (copy < 0)
		return refuse(refusal, FAULT_OPERATION_FAILED,
			      "a descriptor cannot be handed over: %s",
			      given->n < GIVEN_MAX ? strerror(errno) : "too many");
	given->fds[given->n++] = copy;
	return 0;
}

int given_take_saved(struct given *given, int fd, struct refusal *refusal)
{
	if (given_take(given, fd, refusal))
		return CALL_REFUSED;
	given->saved = given->fds[given->n - 1];
	return 0;
}

void given_close(struct given *given)
{
	while (given->n)
		close(given->fds[--given->n]);
}
