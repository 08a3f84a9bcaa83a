/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config-edit.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "util/json-strict.h"
#include "vmm/config-draft.h"

typedef struct json_object json;

struct list {
	const char *key;    /* in the text */
	const char *prefix; /* of ids that nobody chose */
	size_t items, count, size;
	void (*free)(void *item);
};

static void free_disk(void *item)
{
	config_free_disk(item);
}

static void free_net(void *item)
{
	config_free_net(item);
}

static void free_adi(void *item)
{
	config_free_adi(item);
}

static void free_device(void *item)
{
	config_free_device(item);
}

static void free_user_device(void *item)
{
	config_free_user_device(item);
}

static void free_pasid(void *item)
{
	config_free_pasid(item);
}

#define LIST(key_, prefix_, member, type, free_)                                              \
	{                                                                                     \
		.key = (key_), .prefix = (prefix_), .items = offsetof(struct config, member), \
		.count = offsetof(struct config, n_##member), .size = sizeof(struct type),    \
		.free = (free_)                                                               \
	}

static const struct list lists[] = {
	[CONFIG_DISKS] = LIST("disks", "disk", disks, config_disk, free_disk),
	[CONFIG_NET] = LIST("net", "net", net, config_net, free_net),
	[CONFIG_ADIS] = LIST("adis", "adi", adis, config_adi, free_adi),
	[CONFIG_DEVICES] = LIST("devices", "device", devices, config_device, free_device),
	[CONFIG_USER_DEVICES] =
		LIST("devices", "device", user_devices, config_user_device, free_user_device),
	[CONFIG_PASIDS] = LIST("pasids", "", pasids, config_pasid, free_pasid),
};

/* Every entry but a binding begins with its id. */
_Static_assert(!offsetof(struct config_disk, id) && !offsetof(struct config_net, id) &&
		       !offsetof(struct config_adi, id) && !offsetof(struct config_device, id) &&
		       !offsetof(struct config_user_device, id),
	       "an entry is told by its first member");

static size_t *count_of(const struct list *list, const struct config *config)
{
	return (size_t *)((char *)config + list->count);
}

static char *items_of(const struct list *list, const struct config *config)
{
	char *items;

	memcpy(&items, (const char *)config + list->items, sizeof(items));
	return items;
}

static const char *id_at(const struct list *list, const struct config *config, size_t index)
{
	const char *id;

	memcpy(&id, items_of(list, config) + index * list->size, sizeof(id));
	return id;
}

/* Where an entry is: false where there is none. */
static bool find(const struct config *config, const char *id, enum config_list *list, size_t *index)
{
	for (unsigned int l = 0; l < CONFIG_LISTS; l++) {
		for (size_t i = 0; i < *count_of(&lists[l], config); i++) {
			if (strcmp(id_at(&lists[l], config, i), id) != 0)
				continue;
			*list = l;
			*index = i;
			return true;
		}
	}
	return false;
}

bool config_has_id(const struct config *config, const char *id)
{
	enum config_list list;
	size_t index;

	return find(config, id, &list, &index);
}

/* --- the text -------------------------------------------------------------------------------- */

/* An index must not decide what an entry is called, once entries come and go. */
static void name_entries(json *document, const struct config *config, const char *key,
			 const struct list *plain, const struct list *served)
{
	size_t n_plain = 0, n_served = 0;
	json *array, *id, *socket;

	if (!json_object_object_get_ex(document, key, &array))
		return;
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		json *entry = json_object_array_get_idx(array, i);
		bool is_served = served && json_object_object_get_ex(entry, "socket", &socket);
		size_t *at = is_served ? &n_served : &n_plain;
		const struct list *list = is_served ? served : plain;

		if (!json_object_object_get_ex(entry, "id", &id))
			json_object_object_add(entry, "id",
					       json_object_new_string(id_at(list, config, *at)));
		(*at)++;
	}
}

static int parse_text(json **out, const struct config *config, const char *text, struct err *err)
{
	int ret = json_strict_parse(out, text, strlen(text), err);

	if (ret)
		return ret;
	name_entries(*out, config, "disks", &lists[CONFIG_DISKS], NULL);
	name_entries(*out, config, "net", &lists[CONFIG_NET], NULL);
	name_entries(*out, config, "devices", &lists[CONFIG_DEVICES], &lists[CONFIG_USER_DEVICES]);
	return 0;
}

static char *print_text(json *document)
{
	const char *text =
		json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN |
								 JSON_C_TO_STRING_NOSLASHESCAPE);

	return text ? strdup(text) : NULL;
}

/* The array under that key, which is made where there is none. */
static json *array_of(json *document, const char *key)
{
	json *array;

	if (json_object_object_get_ex(document, key, &array))
		return array;
	array = json_object_new_array();
	if (array)
		json_object_object_add(document, key, array);
	return array;
}

/* --- adding ---------------------------------------------------------------------------------- */

static int name_entry(json *entry, const struct config *now, enum config_list list, struct err *err)
{
	char fresh[CONFIG_ID_MAX + 1];
	json *id;

	if (json_object_object_get_ex(entry, "id", &id)) {
		if (!json_object_is_type(id, json_type_string) ||
		    !config_has_id(now, json_object_get_string(id)))
			return 0;
		json_printable(fresh, sizeof(fresh), json_object_get_string(id));
		return err_set(err, EEXIST, "/id: \"%s\" is there already; choose another", fresh);
	}
	for (size_t i = *count_of(&lists[list], now);; i++) {
		snprintf(fresh, sizeof(fresh), "%s%zu", lists[list].prefix, i);
		if (!config_has_id(now, fresh))
			break;
	}
	json_object_object_add(entry, "id", json_object_new_string(fresh));
	return 0;
}

/* What an ADI's PASIDs may reach can come with it: then it is so before a guest sees it. */
static int part_pasids(json *document, json *entry, struct err *err)
{
	json *bindings, *id, *array;

	if (!json_object_object_get_ex(entry, "pasids", &bindings))
		return 0;
	json_object_object_get_ex(entry, "id", &id);
	array = array_of(document, "pasids");
	if (!array || !json_object_is_type(bindings, json_type_array))
		return err_set(err, EINVAL,
			       "/pasids: must be an array of bindings without \"adi\"");
	for (size_t i = 0; i < json_object_array_length(bindings); i++) {
		json *binding = json_object_array_get_idx(bindings, i), *adi;

		if (!json_object_is_type(binding, json_type_object) ||
		    json_object_object_get_ex(binding, "adi", &adi))
			return err_set(err, EINVAL,
				       "/pasids/%zu: must be a binding without \"adi\", which is "
				       "the one that comes",
				       i);
		json_object_object_add(binding, "adi", json_object_get(id));
		json_object_array_add(array, json_object_get(binding));
	}
	json_object_object_del(entry, "pasids");
	return 0;
}

static int parse_entry(json **out, const char *entry, size_t len, const struct config_given *given,
		       struct err *err)
{
	json *fd;
	int ret = json_strict_parse(out, entry, len, err);

	if (ret)
		return ret;
	if (!json_object_is_type(*out, json_type_object))
		return err_set(err, EINVAL, "(document): must be an object");
	if (json_object_object_get_ex(*out, "fd", &fd))
		return err_set(err, EINVAL,
			       "/fd: a number would name what this process has open; send the "
			       "descriptor itself with the request");
	if (given && given->fd)
		json_object_object_add(*out, "fd", json_object_new_int64(given->fd));
	return 0;
}

/* The context of a VM is one for all its devices. */
static int give_iommu(json *document, const struct config *now, uint32_t fd, struct err *err)
{
	json *iommu;

	if (now->iommu.fd || now->iommu.node)
		return err_set(err, EEXIST,
			       "/iommu: the VM has a node for I/O address spaces already; send the "
			       "device alone");
	if (!json_object_object_get_ex(document, "iommu", &iommu)) {
		iommu = json_object_new_object();
		json_object_object_add(document, "iommu", iommu);
	}
	json_object_object_add(iommu, "fd", json_object_new_int64(fd));
	return 0;
}

/* "/disks/3/path: ..." is "/path: ..." for who sent the entry alone. */
static void shorten_pointer(struct err *err, const char *key, size_t index)
{
	char prefix[64];
	size_t n = (size_t)snprintf(prefix, sizeof(prefix), "/%s/%zu", key, index);
	const char *rest = err->text + n;
	struct err said = *err;

	if (strncmp(err->text, prefix, n) != 0 || (*rest != '/' && *rest != ':'))
		return;
	snprintf(err->text, sizeof(err->text), "%s%s", *rest == ':' ? "(document)" : "",
		 said.text + n);
}

/* Room for n more, so that taking them over cannot fail. */
static int make_room(struct config *now, const struct list *list, size_t n, struct err *err)
{
	char *items = realloc(items_of(list, now), (*count_of(list, now) + n) * list->size);

	if (!items)
		return err_set(err, ENOMEM, "out of memory");
	memcpy((char *)now + list->items, &items, sizeof(items));
	/* cppcheck-suppress memleak ; now has it */
	return 0;
}

/* Reads what the document is with the entry in it. */
static int read_anew(struct config_edit *edit, struct config *now, json *document, size_t index,
		     struct err *err)
{
	const char *key = lists[edit->list].key;
	struct config *config = &edit->config;
	int ret;

	edit->text = print_text(document);
	if (!edit->text)
		return err_set(err, ENOMEM, "out of memory");
	ret = config_parse(config, edit->text, strlen(edit->text), err);
	if (ret) {
		shorten_pointer(err, key, index);
		return ret;
	}
	if (edit->list == CONFIG_DEVICES && config->n_user_devices > now->n_user_devices)
		edit->list = CONFIG_USER_DEVICES;
	if (edit->list == CONFIG_DEVICES)
		config->devices[config->n_devices - 1].keeper_index = CONFIG_NOT_KEPT;
	ret = make_room(now, &lists[edit->list], 1, err);
	if (!ret && edit->list == CONFIG_ADIS && config->n_pasids > now->n_pasids)
		ret = make_room(now, &lists[CONFIG_PASIDS], config->n_pasids - now->n_pasids, err);
	return ret;
}

int config_edit_add(struct config_edit *edit, struct config *now, const char *text,
		    enum config_list list, const char *entry, size_t len,
		    const struct config_given *given, struct err *err)
{
	json *document = NULL, *item = NULL, *array;
	int ret;

	*edit = (struct config_edit){ .list = list };
	ret = parse_entry(&item, entry, len, given, err);
	if (!ret)
		ret = parse_text(&document, now, text, err);
	if (!ret && list != CONFIG_PASIDS)
		ret = name_entry(item, now, list, err);
	if (!ret && list == CONFIG_ADIS)
		ret = part_pasids(document, item, err);
	if (!ret && given && given->iommu)
		ret = give_iommu(document, now, given->iommu, err);
	array = ret ? NULL : array_of(document, lists[list].key);
	if (!ret && (!array || json_object_array_add(array, json_object_get(item))))
		ret = err_set(err, ENOMEM, "out of memory");
	if (!ret)
		ret = read_anew(edit, now, document, json_object_array_length(array) - 1, err);
	json_object_put(item);
	json_object_put(document);
	if (ret)
		config_edit_cancel(edit);
	return ret;
}

const char *config_edit_id(const struct config_edit *edit)
{
	const struct list *list = &lists[edit->list];

	if (edit->list == CONFIG_PASIDS)
		return edit->config.pasids[edit->config.n_pasids - 1].adi;
	return id_at(list, &edit->config, *count_of(list, &edit->config) - 1);
}

/* The last n of `from`, which has them no more. */
static void move_last(struct config *to, struct config *from, const struct list *list, size_t n)
{
	size_t *count = count_of(list, to), *left = count_of(list, from);

	*left -= n;
	if (!n)
		return;
	memcpy(items_of(list, to) + *count * list->size, items_of(list, from) + *left * list->size,
	       n * list->size);
	*count += n;
}

void config_edit_commit(struct config_edit *edit, struct config *now, char **text)
{
	move_last(now, &edit->config, &lists[edit->list], 1);
	if (edit->list == CONFIG_ADIS)
		move_last(now, &edit->config, &lists[CONFIG_PASIDS],
			  edit->config.n_pasids - now->n_pasids);
	now->iommu.fd = edit->config.iommu.fd;
	free(*text);
	*text = edit->text;
	edit->text = NULL;
	config_edit_cancel(edit);
}

void config_edit_cancel(struct config_edit *edit)
{
	config_free(&edit->config);
	free(edit->text);
	*edit = (struct config_edit){ 0 };
}

/* --- descriptors ----------------------------------------------------------------------------- */

static size_t note(uint32_t *out, size_t n, uint32_t fd)
{
	for (size_t i = 0; i < n; i++) {
		if (out[i] == fd)
			return n;
	}
	if (fd)
		out[n++] = fd;
	return n;
}

size_t config_descriptors(const struct config *config, uint32_t out[CONFIG_MAX_DESCRIPTORS])
{
	size_t n = note(out, 0, config->iommu.fd);

	n = note(out, n, config->payload.kernel_fd);
	n = note(out, n, config->payload.initramfs_fd);
	for (size_t i = 0; i < config->n_disks; i++)
		n = note(out, n, config->disks[i].fd);
	for (size_t i = 0; i < config->n_net; i++)
		n = note(out, n, config->net[i].fd);
	for (size_t i = 0; i < config->n_devices; i++)
		n = note(out, n, config->devices[i].fd);
	return n;
}

/* --- removing -------------------------------------------------------------------------------- */

/* Entries of an array whose `key` is that word. */
static void drop_entries(json *document, const char *list, const char *key, const char *word)
{
	json *array, *value;

	if (!json_object_object_get_ex(document, list, &array))
		return;
	for (size_t i = json_object_array_length(array); i-- > 0;) {
		if (json_object_object_get_ex(json_object_array_get_idx(array, i), key, &value) &&
		    !strcmp(json_object_get_string(value), word))
			json_object_array_del_idx(array, i, 1);
	}
}

static int drop_from_text(const struct config *now, char **text, enum config_list list,
			  const char *id, struct err *err)
{
	json *document;
	char *without;
	int ret = parse_text(&document, now, *text, err);

	if (ret)
		return ret;
	drop_entries(document, lists[list].key, "id", id);
	if (list == CONFIG_ADIS)
		drop_entries(document, "pasids", "adi", id);
	without = print_text(document);
	json_object_put(document);
	if (!without)
		return err_set(err, ENOMEM, "out of memory");
	free(*text);
	*text = without;
	return 0;
}

static void drop_item(struct config *now, const struct list *list, size_t index)
{
	size_t *count = count_of(list, now);
	char *at = items_of(list, now) + index * list->size;

	list->free(at);
	(*count)--;
	memmove(at, at + list->size, (*count - index) * list->size);
}

int config_edit_remove(struct config *now, char **text, const char *id, struct err *err)
{
	enum config_list list;
	size_t index;
	int ret = 0;

	if (!find(now, id, &list, &index))
		return err_set(err, ENOENT, "nothing is called \"%s\"", id);
	if (*text)
		ret = drop_from_text(now, text, list, id, err);
	for (size_t i = now->n_pasids; list == CONFIG_ADIS && i-- > 0;) {
		if (!strcmp(now->pasids[i].adi, id))
			drop_item(now, &lists[CONFIG_PASIDS], i);
	}
	drop_item(now, &lists[list], index);
	return ret;
}

static int drop_pasid_from_text(const struct config *now, char **text, size_t index,
				struct err *err)
{
	json *document, *array;
	char *without;
	int ret = parse_text(&document, now, *text, err);

	if (ret)
		return ret;
	/* In the order in which they are in the text, and were read. */
	if (json_object_object_get_ex(document, lists[CONFIG_PASIDS].key, &array))
		json_object_array_del_idx(array, index, 1);
	without = print_text(document);
	json_object_put(document);
	if (!without)
		return err_set(err, ENOMEM, "out of memory");
	free(*text);
	*text = without;
	return 0;
}

int config_edit_remove_pasid(struct config *now, char **text, const char *adi, uint32_t guest,
			     struct err *err)
{
	size_t i = 0;
	int ret = 0;

	while (i < now->n_pasids &&
	       (now->pasids[i].guest != guest || strcmp(now->pasids[i].adi, adi) != 0))
		i++;
	if (i == now->n_pasids)
		return err_set(err, ENOENT,
			       "the configuration binds no guest PASID %u of \"%s\"; what "
			       "vm.pasid-bind gave, vm.pasid-unbind takes back",
			       guest, adi);
	if (*text)
		ret = drop_pasid_from_text(now, text, i, err);
	if (!ret)
		drop_item(now, &lists[CONFIG_PASIDS], i);
	return ret;
}
