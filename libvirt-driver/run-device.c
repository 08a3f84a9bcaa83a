/* SPDX-License-Identifier: Apache-2.0 */
/* What adit must be asked so that a running machine becomes what another definition says. */
#include "libvirt-driver/run-device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/definition-devices.h"
#include "libvirt-driver/json.h"
#include "libvirt-driver/run-files.h"
#include "libvirt-driver/run-user.h"
#include "util/bits.h"

static const struct {
	const char *array, *verb;
} kinds[] = {
	{ "disks", "vm.add-disk" },
	{ "net", "vm.add-net" },
	{ "devices", "vm.add-device" },
};

static bool holds(struct json_object *config, const char *array, const char *id)
{
	struct json_object *list;

	/* A running machine's own words. */
	if (!json_object_object_get_ex(config, array, &list) ||
	    !json_object_is_type(list, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		if (!strcmp(json_word(json_object_array_get_idx(list, i), "id", ""), id))
			return true;
	}
	return false;
}

/* The one device of `more` that `less` has not; NULL: there is none that could come or go. */
static struct json_object *find(struct json_object *more, struct json_object *less,
				const char **verb)
{
	struct json_object *list;

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		if (!json_object_object_get_ex(more, kinds[k].array, &list))
			continue;
		for (size_t i = 0; i < json_object_array_length(list); i++) {
			struct json_object *device = json_object_array_get_idx(list, i);

			if (holds(less, kinds[k].array, json_word(device, "id", "")))
				continue;
			*verb = kinds[k].verb;
			return device;
		}
	}
	return NULL;
}

static char *write_body(struct json_object *device, bool attach)
{
	struct json_object *object;
	char *body;

	if (attach)
		return strdup(json_object_to_json_string_ext(device, JSON_C_TO_STRING_PLAIN));
	object = json_object_new_object();
	reader_string(object, "id", json_word(device, "id", ""));
	body = strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	json_object_put(object);
	return body;
}

int device_request(const struct definition *before, const struct definition *after, bool attach,
		   struct device_request *request, struct refusal *refusal)
{
	struct json_object *less = json_tokener_parse((attach ? before : after)->config);
	struct json_object *more = json_tokener_parse((attach ? after : before)->config);
	const char *verb = NULL;
	struct json_object *device = find(more, less, &verb);
	int ret = 0;

	*request = (struct device_request){ .verb = attach ? verb : "vm.remove-device" };
	if (!device) {
		ret = refuse(refusal, FAULT_OPERATION_UNSUPPORTED,
			     "such a device stays as long as its machine; --config changes what "
			     "the next start finds");
	} else {
		snprintf(request->id, sizeof(request->id), "%s", json_word(device, "id", ""));
		request->body = write_body(device, attach);
		if (!request->body)
			ret = refuse(refusal, FAULT_NO_MEMORY, "no memory for a request");
	}
	json_object_put(less);
	json_object_put(more);
	return ret;
}

bool device_request_takes(const struct device_request *request, char bdf[HOST_NAME_CHARS + 1])
{
	struct json_object *device, *managed;
	bool is = false;

	*bdf = 0;
	if (strcmp(request->verb, "vm.add-device") != 0)
		return false;
	device = json_tokener_parse(request->body);
	if (json_object_object_get_ex(device, "managed", &managed) &&
	    json_object_get_boolean(managed))
		is = !host_bdf_parse(bdf, json_word(device, "path", ""));
	json_object_put(device);
	return is;
}

static int open_device(const struct domain *domain, const struct definition *after,
		       struct json_object *device, struct given *given, struct refusal *refusal)
{
	struct json_object *config;
	int ret;

	if (!user_is_own(domain->daemon))
		return 0;
	config = json_tokener_parse(after->config);
	ret = given_open_device(given, domain->daemon->host, device, config, !run_has_iommu(domain),
				refusal);
	json_object_put(config);
	return ret;
}

int device_request_open(const struct domain *domain, const struct definition *after,
			struct device_request *request, struct given *given,
			struct refusal *refusal)
{
	struct json_object *device = json_tokener_parse(request->body);
	bool own = user_is_own(domain->daemon);
	int ret = 0;

	if (!strcmp(request->verb, "vm.add-disk") && own)
		ret = given_open_disk(given, device, refusal);
	else if (!strcmp(request->verb, "vm.add-net") && own)
		ret = given_open_net(given, device, refusal);
	else if (!strcmp(request->verb, "vm.add-device"))
		ret = open_device(domain, after, device, given, refusal);
	json_object_object_del(device, "managed");
	if (!ret) {
		free(request->body);
		request->body = write_body(device, true);
		if (!request->body)
			ret = refuse(refusal, FAULT_NO_MEMORY, "no memory for a request");
	}
	json_object_put(device);
	return ret;
}

bool device_is_gone(const struct definition *live, struct json_object *config, char id[DEVICE_ID])
{
	struct json_object *known = json_tokener_parse(live->config), *device;
	const char *verb;

	device = find(known, config, &verb);
	if (device)
		snprintf(id, DEVICE_ID, "%s", json_word(device, "id", ""));
	json_object_put(known);
	return device;
}
