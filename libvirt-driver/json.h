/* SPDX-License-Identifier: Apache-2.0 */
/* Reading json-c objects, of configurations and of what adit answers. */
#ifndef ADIT_LIBVIRT_DRIVER_JSON_H
#define ADIT_LIBVIRT_DRIVER_JSON_H

#include <json-c/json.h>

/*
 * A string of the object's, alive as long as that; fallback where there is none, or anything else:
 * what a domain's process answers may be of somebody who broke into it.
 */
static inline const char *json_word(struct json_object *object, const char *key,
				    const char *fallback)
{
	struct json_object *word;

	return json_object_object_get_ex(object, key, &word) &&
			       json_object_is_type(word, json_type_string)
		       ? json_object_get_string(word)
		       : fallback;
}

#endif
