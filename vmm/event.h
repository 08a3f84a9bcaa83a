/* SPDX-License-Identifier: Apache-2.0 */
/* What happened to a VM, in words: the API's clients and an event monitor are told the same. */
#ifndef ADIT_VMM_EVENT_H
#define ADIT_VMM_EVENT_H

#include <json-c/json.h>

/*
 * {"time_ns": since 1970 (CLOCK_REALTIME), "event": word, "detail": detail}, to be released by the
 * caller; detail: NULL: none. The words are in docs/api.md.
 */
struct json_object *event_object(const char *word, const char *detail);

#endif
