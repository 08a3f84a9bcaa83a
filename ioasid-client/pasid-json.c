/* SPDX-License-Identifier: Apache-2.0 */
/* A PASID table as JSON, for the API and for people: a file of its own, for it alone needs json-c.
 */
#include <json-c/json.h>

#include "ioasid-client/ioasid.h"
#include "ioasid-client/pasid-table.h"

struct snapshot {
	const struct pasid_table *table;
	struct json_object *entries;
	bool failed;
};

/* Takes the value over; false: no memory. */
static bool put(struct json_object *object, const char *key, struct json_object *value)
{
	if (value && !json_object_object_add(object, key, value))
		return true;
	json_object_put(value);
	return false;
}

static bool put_string(struct json_object *object, const char *key, const char *text)
{
	return put(object, key, json_object_new_string(text));
}

static struct json_object *entry_json(uint32_t guest, const struct ioasid_pasid_info *info,
				      uint64_t uses)
{
	struct json_object *entry = json_object_new_object();

	if (entry && put(entry, "guest", json_object_new_int64(guest)) &&
	    put(entry, "host", json_object_new_int64(info->number)) &&
	    put_string(entry, "state", ioasid_pasid_state_name(info->state)) &&
	    (!*info->device || put_string(entry, "device", info->device)) &&
	    (!*info->space || put_string(entry, "space", info->space)) &&
	    put(entry, "descriptors", json_object_new_uint64(uses)))
		return entry;
	json_object_put(entry);
	return NULL;
}

static void add_entry(void *arg, uint32_t guest, struct ioasid_pasid *host)
{
	struct snapshot *snapshot = arg;
	struct ioasid_pasid_info info;
	struct json_object *entry;

	ioasid_pasid_info(host, &info);
	entry = entry_json(guest, &info, pasid_table_uses(snapshot->table, guest));
	if (!entry || json_object_array_add(snapshot->entries, entry)) {
		json_object_put(entry);
		snapshot->failed = true;
	}
}

struct json_object *pasid_table_json(struct pasid_table *table)
{
	struct snapshot snapshot = { .table = table, .entries = json_object_new_array() };
	struct json_object *json = json_object_new_object();
	size_t count;

	if (!json || !snapshot.entries) {
		json_object_put(snapshot.entries);
		goto fail;
	}
	pasid_table_walk(table, add_entry, &snapshot);
	count = json_object_array_length(snapshot.entries);
	if (!put(json, "entries", snapshot.entries) || snapshot.failed ||
	    !put(json, "count", json_object_new_int64((int64_t)count)))
		goto fail;
	return json;
fail:
	json_object_put(json);
	return NULL;
}
