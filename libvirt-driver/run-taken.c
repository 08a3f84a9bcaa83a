/* SPDX-License-Identifier: Apache-2.0 */
/* The record, and the changes that it is about. */
#include "libvirt-driver/run-taken.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvirt-driver/json.h"
#include "libvirt-driver/run-files.h"
#include "libvirt-driver/store.h"
#include "util/bits.h"

#define RECORD	   "taken.json"
#define RECORD_MAX (64u << 10)
#define DEVICES	   64u /* more than a VM has */

size_t taken_names(struct json_object *config, const char **names, size_t max)
{
	struct json_object *list;
	size_t n = 0;

	if (!json_object_object_get_ex(config, "devices", &list))
		return 0;
	for (size_t i = 0; i < json_object_array_length(list) && n < max; i++) {
		const char *path = json_word(json_object_array_get_idx(list, i), "path", NULL);

		if (path)
			names[n++] = path;
	}
	return n;
}

/* --- the record ------------------------------------------------------------------------------ */

/* An array, also where there is none yet. */
static struct json_object *read_record(const struct daemon *daemon, const uint8_t uuid[XDR_UUID])
{
	int dir = run_open(daemon, uuid, false);
	struct json_object *record = NULL;
	size_t len;
	char *text;

	if (dir >= 0) {
		text = store_read(dir, RECORD, RECORD_MAX, &len);
		record = text ? json_tokener_parse(text) : NULL;
		free(text);
		close(dir);
	}
	if (json_object_is_type(record, json_type_array))
		return record;
	json_object_put(record);
	return json_object_new_array();
}

static int write_record(const struct daemon *daemon, const uint8_t uuid[XDR_UUID],
			struct json_object *record)
{
	int dir = run_open(daemon, uuid, false), ret = dir;

	if (dir < 0)
		return ret;
	ret = store_write(dir, RECORD,
			  json_object_to_json_string_ext(record, JSON_C_TO_STRING_PLAIN), false);
	close(dir);
	return ret;
}

static void add_to_record(struct json_object *record, const struct change_function *before)
{
	struct json_object *one = json_object_new_object();

	json_object_object_add(one, "function", json_object_new_string(before->bdf));
	json_object_object_add(one, "driver", json_object_new_string(before->driver));
	json_object_object_add(one, "override", json_object_new_string(before->override));
	json_object_array_add(record, one);
}

/* The daemon's own words; a file that was changed by hand leads nowhere. */
static bool read_before(struct change_function *before, struct json_object *one)
{
	const char *bdf = json_word(one, "function", ""), *driver = json_word(one, "driver", "");
	const char *override = json_word(one, "override", "");

	*before = (struct change_function){ 0 };
	if (host_bdf_parse(before->bdf, bdf) || (*driver && !host_part_is_sane(driver)) ||
	    (*override && !host_part_is_sane(override)))
		return false;
	memcpy(before->driver, driver, strlen(driver) + 1);
	memcpy(before->override, override, strlen(override) + 1);
	return true;
}

/* Fills `before` with what the record has, or with its entry for bdf alone. */
static size_t list_taken(const struct daemon *daemon, const uint8_t uuid[XDR_UUID], const char *bdf,
			 struct change_function before[DEVICES])
{
	struct json_object *record = read_record(daemon, uuid);
	size_t n = 0;

	for (size_t i = 0; i < json_object_array_length(record) && n < DEVICES; i++) {
		if (read_before(&before[n], json_object_array_get_idx(record, i)) &&
		    (!bdf || !strcmp(before[n].bdf, bdf)))
			n++;
	}
	json_object_put(record);
	return n;
}

void taken_forget(struct daemon *daemon, const uint8_t uuid[XDR_UUID], const char *bdf)
{
	struct json_object *record = read_record(daemon, uuid);
	size_t n = json_object_array_length(record);

	for (size_t i = n; i--;) {
		if (!strcmp(json_word(json_object_array_get_idx(record, i), "function", ""), bdf))
			json_object_array_del_idx(record, i, 1);
	}
	/* The domain may have ended meanwhile, and its record with it. */
	if (json_object_array_length(record) != n && write_record(daemon, uuid, record))
		log_line(daemon->log, LOG_WARN, "domain",
			 "%s: cannot be forgotten: it is given back once more later", bdf);
	json_object_put(record);
}

/* --- changes --------------------------------------------------------------------------------- */

int taken_take(const struct domain *domain, const char *bdf, struct json_object *config,
	       const struct node_then *then, struct refusal *refusal)
{
	struct daemon *daemon = domain->daemon;
	struct node_task task = { .verb = NODE_TAKE };
	struct change_function before;
	struct json_object *record;
	const char *with[DEVICES];
	size_t n = taken_names(config, with, ARRAY_SIZE(with));
	bool needed;
	int ret;

	if (change_function_plan(daemon->host, bdf, with, n, &before, &needed, &refusal->err)) {
		refusal->fault = FAULT_OPERATION_FAILED;
		return CALL_REFUSED;
	}
	if (!needed)
		return 0;
	record = read_record(daemon, domain_uuid(domain));
	add_to_record(record, &before);
	memcpy(task.bdf, before.bdf, sizeof(task.bdf));
	task.functions = &before;
	task.n_functions = 1;
	ret = write_record(daemon, domain_uuid(domain), record);
	if (ret) {
		ret = refuse(refusal, FAULT_OPERATION_FAILED,
			     "%s: what it is now cannot be written down: %s", bdf, strerror(-ret));
	} else if (!node_change_then(daemon, &task, then, refusal)) {
		ret = CALL_LATER;
	} else {
		/* What was written down before stays. */
		ret = CALL_REFUSED;
		json_object_array_del_idx(record, json_object_array_length(record) - 1, 1);
		write_record(daemon, domain_uuid(domain), record);
	}
	json_object_put(record);
	return ret;
}

static void on_returned(void *arg, struct daemon *daemon, const struct node_task *task,
			const struct refusal *failure)
{
	/* One that could not be is tried again at the domain's end. */
	if (failure)
		log_line(daemon->log, LOG_ERROR, "domain", "%s", failure->err.text);
	else
		taken_forget(daemon, task->uuid, task->bdf);
}

void taken_return(const struct domain *domain, const char *bdf)
{
	const struct node_then then = { on_returned, NULL };
	struct daemon *daemon = domain->daemon;
	struct change_function before[DEVICES];
	struct node_task task = {
		.verb = NODE_RETURN,
		.functions = before,
		.n_functions = list_taken(daemon, domain_uuid(domain), bdf, before),
	};
	struct refusal refusal = { 0 };

	if (!task.n_functions)
		return;
	memcpy(task.bdf, before[0].bdf, sizeof(task.bdf));
	memcpy(task.uuid, domain_uuid(domain), sizeof(task.uuid));
	if (node_change_then(daemon, &task, &then, &refusal))
		log_line(daemon->log, LOG_ERROR, "domain", "%s: not given back: %s", bdf,
			 refusal.err.text);
}

bool taken_return_all(const struct domain *domain, const struct node_then *then)
{
	const struct node_then nobody = { NULL, NULL };
	struct daemon *daemon = domain->daemon;
	struct change_function before[DEVICES];
	struct node_task task = {
		.verb = NODE_RETURN,
		.functions = before,
		.n_functions = list_taken(daemon, domain_uuid(domain), NULL, before),
	};
	struct refusal refusal = { 0 };

	if (!task.n_functions)
		return false;
	if (!node_change_then(daemon, &task, then ? then : &nobody, &refusal))
		return true;
	log_line(daemon->log, LOG_ERROR, "domain", "%zu functions are not given back: %s",
		 task.n_functions, refusal.err.text);
	return false;
}
