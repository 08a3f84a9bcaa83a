/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/api/coherency.h"

#include <json-c/json.h>

#include "vmm/devices.h"

static void put_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

struct json_object *coherency_json(const struct devices_coherency *state)
{
	struct json_object *object = json_object_new_object(), *list = json_object_new_array();

	put_text(object, "wbinvd", state->wbinvd ? "emulated" : "nop");
	put_text(object, "guest_pat", state->guest_pat ? "honoured" : "ignored");
	for (size_t i = 0; i < state->n; i++) {
		struct json_object *device = json_object_new_object();

		put_text(device, "id", state->device[i].id);
		put_text(device, "policy", state->device[i].policy);
		put_text(device, "iommu_enforces", state->device[i].iommu_enforces);
		put_text(device, "kvm", state->device[i].told ? "told" : "not told");
		put_text(device, "no_snoop_bit", state->device[i].no_snoop ? "guest" : "off");
		put_text(device, "isolation", state->device[i].isolation);
		json_object_array_add(list, device);
	}
	json_object_object_add(object, "devices", list);
	return object;
}
