/* SPDX-License-Identifier: Apache-2.0 */
/* mdevctl's files. */
#include "libvirt-driver/node-defined.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libvirt-driver/definition-reader.h"
#include "libvirt-driver/json.h"
#include "libvirt-driver/store.h"
#include "util/json-strict.h"

#define FILE_MAX (64u << 10)
#define LIST_MAX 4096u /* more than any host has; a folder of rubbish does not grow us */

/* --- reading --------------------------------------------------------------------------------- */

/* Objects of one string each, whose names can stand in a path. */
static bool is_attributes(struct json_object *list)
{
	if (!json_object_is_type(list, json_type_array) ||
	    json_object_array_length(list) > NODE_ATTRIBUTES_MAX)
		return false;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *one = json_object_array_get_idx(list, i);

		if (!json_object_is_type(one, json_type_object) ||
		    json_object_object_length(one) != 1)
			return false;
		json_object_object_foreach(one, name, value)
		{
			if (!host_part_is_sane(name) ||
			    !json_object_is_type(value, json_type_string) ||
			    !text_is_writable(json_object_get_string(value)))
				return false;
		}
	}
	return true;
}

static bool take(struct node_defined *out, struct json_object *object)
{
	const char *type = json_word(object, "mdev_type", "");
	struct json_object *attributes = NULL;

	if (!host_part_is_sane(type))
		return false;
	if (json_object_object_get_ex(object, "attrs", &attributes) && !is_attributes(attributes))
		return false;
	memcpy(out->mdev.type, type, strlen(type) + 1);
	out->autostart = !strcmp(json_word(object, "start", "manual"), "auto");
	if (attributes && json_object_array_length(attributes))
		out->attributes = json_object_get(attributes);
	return true;
}

bool node_defined_parse(struct node_defined *out, const char *text, size_t len)
{
	struct json_object *object = NULL;
	struct err err;
	bool is;

	if (json_strict_parse(&object, text, len, &err))
		return false;
	is = json_object_is_type(object, json_type_object) && take(out, object);
	json_object_put(object);
	return is;
}

static bool read_one(struct node_defined *out, const struct host *host, const char *parent,
		     const char *name)
{
	char path[SYSFS_PATH_MAX], *text = NULL;
	bool is = false;
	size_t len;
	int dir;

	*out = (struct node_defined){ 0 };
	if (!host_part_is_sane(parent) || host_uuid_parse(out->mdev.uuid, name) ||
	    strcmp(out->mdev.uuid, name) != 0 ||
	    sysfs_path(host, path, NODE_DEFINED_DIR "/%s", parent))
		return false;
	memcpy(out->mdev.parent, parent, strlen(parent) + 1);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir >= 0) {
		text = store_read(dir, name, FILE_MAX, &len);
		close(dir);
	}
	if (text)
		is = node_defined_parse(out, text, len);
	free(text);
	return is;
}

static int read_parent(struct node_defined_list *list, const struct host *host, const char *parent)
{
	struct sysfs_names names;
	struct node_defined *more;
	int ret = sysfs_list(host, &names, NODE_DEFINED_DIR "/%s", parent);

	if (!ret && names.n) {
		more = realloc(list->item, (list->n + names.n) * sizeof(*more));
		ret = more ? 0 : -ENOMEM;
		list->item = more ? more : list->item;
	}
	for (size_t i = 0; !ret && i < names.n && list->n < LIST_MAX; i++) {
		if (read_one(&list->item[list->n], host, parent, names.name[i]))
			list->n++;
	}
	sysfs_names_free(&names);
	return ret;
}

int node_defined_read(struct node_defined_list *list, const struct host *host)
{
	struct sysfs_names parents;
	int ret;

	*list = (struct node_defined_list){ 0 };
	ret = sysfs_list(host, &parents, NODE_DEFINED_DIR);
	for (size_t i = 0; !ret && i < parents.n && list->n < LIST_MAX; i++)
		ret = read_parent(list, host, parents.name[i]);
	sysfs_names_free(&parents);
	if (ret)
		node_defined_free(list);
	return ret;
}

void node_defined_free(struct node_defined_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		json_object_put(list->item[i].attributes);
	free(list->item);
	*list = (struct node_defined_list){ 0 };
}

/* --- changing -------------------------------------------------------------------------------- */

/* Readable by all, as mdevctl has them: what is in them is in sysfs as well. */
static int open_directory(const struct host *host, const char *parent, struct err *err)
{
	char path[SYSFS_PATH_MAX];
	int ret = sysfs_path(host, path, NODE_DEFINED_DIR);

	if (!ret)
		ret = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
	if (!ret)
		ret = sysfs_path(host, path, NODE_DEFINED_DIR "/%s", parent);
	if (!ret)
		ret = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
	return ret ? err_set(err, -ret, "%s: cannot be made: %s", path, strerror(-ret))
		   : store_open_dir(path, err);
}

struct json_object *node_defined_describe(const struct node_defined *defined)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "mdev_type", json_object_new_string(defined->mdev.type));
	json_object_object_add(object, "start",
			       json_object_new_string(defined->autostart ? "auto" : "manual"));
	json_object_object_add(object, "attrs",
			       defined->attributes ? json_object_get(defined->attributes)
						   : json_object_new_array());
	return object;
}

int node_defined_write(const struct node_defined *defined, const struct host *host, struct err *err)
{
	const char *uuid = defined->mdev.uuid;
	struct json_object *object;
	int dir = open_directory(host, defined->mdev.parent, err), ret;

	if (dir < 0)
		return dir;
	object = node_defined_describe(defined);
	ret = store_write(dir, uuid,
			  json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY), true);
	json_object_put(object);
	if (!ret)
		fchmodat(dir, uuid, 0644, 0);
	close(dir);
	return ret ? err_set(err, -ret, NODE_DEFINED_DIR "/%s/%s: cannot be written: %s",
			     defined->mdev.parent, uuid, strerror(-ret))
		   : 0;
}

int node_defined_remove(const struct change_mdev *mdev, const struct host *host, struct err *err)
{
	int dir = open_directory(host, mdev->parent, err), ret;

	if (dir < 0)
		return dir;
	ret = unlinkat(dir, mdev->uuid, 0) < 0 ? -errno : 0;
	if (!ret && fsync(dir) < 0)
		ret = -errno;
	close(dir);
	return ret ? err_set(err, -ret, NODE_DEFINED_DIR "/%s/%s: cannot be removed: %s",
			     mdev->parent, mdev->uuid, strerror(-ret))
		   : 0;
}

static int write_attribute(const struct node_defined *defined, const struct host *host,
			   const char *name, const char *value, struct err *err)
{
	int ret = sysfs_write(host, value, "/sys/bus/mdev/devices/%s/%s", defined->mdev.uuid, name);

	return ret ? err_set(err, -ret, "mdev %s: attribute %s does not take \"%.64s\": %s",
			     defined->mdev.uuid, name, value, strerror(-ret))
		   : 0;
}

int node_defined_make(const struct node_defined *defined, const struct host *host, struct err *err)
{
	struct json_object *list = defined->attributes;
	int ret = change_mdev_plan(host, &defined->mdev, err);

	if (!ret)
		ret = change_mdev_create(host, &defined->mdev, err);
	if (ret)
		return ret;
	for (size_t i = 0; list && !ret && i < json_object_array_length(list); i++) {
		json_object_object_foreach(json_object_array_get_idx(list, i), name, value)
		{
			ret = write_attribute(defined, host, name, json_object_get_string(value),
					      err);
		}
	}
	/* Half of one would be what nobody has asked for. */
	if (ret)
		change_mdev_remove(host, &defined->mdev, NULL);
	return ret;
}
