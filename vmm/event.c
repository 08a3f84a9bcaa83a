/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/event.h"

#include <time.h>

struct json_object *event_object(const char *word, const char *detail)
{
	struct json_object *object = json_object_new_object();
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	json_object_object_add(object, "time_ns",
			       json_object_new_int64(now.tv_sec * 1000000000ll + now.tv_nsec));
	json_object_object_add(object, "event", json_object_new_string(word));
	if (detail)
		json_object_object_add(object, "detail", json_object_new_string(detail));
	return object;
}
