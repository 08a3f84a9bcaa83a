/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs. One file, because the table is the API: docs/openapi.json and adit ctl follow from its
 * rows, and tests compare them. Names and fields are Cloud Hypervisor's where the concept is.
 */
#include "vmm/api/verbs.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/log.h"
#include "util/sandbox.h"
#include "vmm/api/coherency.h"
#include "vmm/api/counters.h"
#include "vmm/api/verbs-internal.h"
#include "vmm/config-schema.h"
#include "vmm/config.h"
#include "vmm/devices.h"
#include "vmm/event.h"
#include "vmm/life.h"
#include "vmm/machine.h"
#include "vmm/namespaces.h"
#include "vmm/virtio/balloon.h"
#include "vmm/virtio/mem.h"

struct verb {
	struct verb_info info;
	bool changes; /* logged, with who asked */
	int (*serve)(struct call *call, struct err *err);
};

/* --- answers --------------------------------------------------------------------------------- */

/* Takes the object over. */
void verbs_answer(struct reply *reply, unsigned int status, struct json_object *object)
{
	size_t len;
	const char *text = json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN, &len);

	reply->status = text ? status : 503;
	reply->type = "application/json";
	reply->body = text ? malloc(len + 2) : NULL;
	if (reply->body) {
		memcpy(reply->body, text, len);
		memcpy(reply->body + len, "\n", 2);
		reply->len = len + 1;
	}
	json_object_put(object);
}

void reply_refuse(struct reply *reply, unsigned int status, const char *fmt, ...)
{
	struct json_object *object = json_object_new_object();
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_object_object_add(object, "error", json_object_new_string(text));
	verbs_answer(reply, status, object);
}

static unsigned int status_of(int code)
{
	switch (code) {
	case EINVAL:
	case ERANGE:
		return 400;
	case ENOENT:
		return 404;
	case E2BIG:
		return 413;
	case EPERM:
	case EROFS:
	case EEXIST:
	case EBUSY:
	case ETIMEDOUT:
	case ECANCELED:
	case EOPNOTSUPP:
		return 409;
	case ENOMEM:
		return 503;
	default:
		return 500;
	}
}

/* Whatever an operation met is the host's or the configuration's, not the request's. */
void verbs_finished(struct reply *reply, int ret, const struct err *err)
{
	*reply = (struct reply){ .status = 204 };
	if (ret)
		reply_refuse(reply, ret == -ECANCELED ? 409 : 500, "%s", err->text);
}

/* With what the host answered, as with an operation; else the request was wrong. */
void verbs_done(struct reply *reply, const struct life_done *done)
{
	struct json_object *object;
	char bdf[24];

	*reply = (struct reply){ .status = 204 };
	if (done->ret) {
		reply_refuse(reply, done->met ? 500 : status_of(-done->ret), "%s", done->err.text);
		return;
	}
	if (!done->slot)
		return;
	snprintf(bdf, sizeof(bdf), "0000:00:%02x.0", done->slot);
	object = json_object_new_object();
	json_object_object_add(object, "id", json_object_new_string(done->id));
	json_object_object_add(object, "bdf", json_object_new_string(bdf));
	verbs_answer(reply, 200, object);
}

/* --- bodies ---------------------------------------------------------------------------------- */

int verbs_read_body(struct call *call, const struct schema *schema, void *out, struct err *err)
{
	struct json_object *document = NULL;
	int ret = json_strict_parse(&document, call->request->body, call->request->len, err);

	if (!ret)
		ret = schema_read(schema, document, out, err);
	json_object_put(document);
	return ret;
}

struct removal {
	char *id;
	uint32_t timeout_ms;
	bool force;
};

static const struct schema_key remove_keys[] = {
	{
		.path = "/id",
		.type = SCHEMA_NAME,
		.required = true,
		.min = 1,
		.max = CONFIG_ID_MAX,
		.doc = "what shall leave",
		.field = SCHEMA_FIELD(struct removal, id),
	},
	{
		.path = "/timeout",
		.type = SCHEMA_SECONDS,
		.max = 3600,
		.fallback = "0",
		.doc = "how long the answer waits for the guest, in seconds; 0: not",
		.field = SCHEMA_FIELD(struct removal, timeout_ms),
	},
	{
		.path = "/force",
		.type = SCHEMA_BOOL,
		.fallback = "false",
		.doc = "take it away afterwards, whether the guest has let go or not",
		.field = SCHEMA_FIELD(struct removal, force),
	},
};
static const struct schema remove_schema = { remove_keys, ARRAY_SIZE(remove_keys) };

/* --- verbs ----------------------------------------------------------------------------------- */

static int vmm_ping(struct call *call, struct err *err)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "build_version", json_object_new_string(ADIT_VERSION));
	json_object_object_add(object, "version", json_object_new_string(ADIT_VERSION));
	json_object_object_add(object, "pid", json_object_new_int64(getpid()));
	verbs_answer(call->reply, 200, object);
	return 0;
}

static int vmm_shutdown(struct call *call, struct err *err)
{
	call->reply->kind = REPLY_QUIT;
	return 0;
}

static int vm_create(struct call *call, struct err *err)
{
	return life_define(call->life, call->request->body, call->request->len, err);
}

static int begin(struct call *call, enum life_op op, struct err *err)
{
	int ret = life_begin(call->life, op, err);

	if (!ret)
		call->reply->kind = REPLY_LATER;
	return ret;
}

static int vm_boot(struct call *call, struct err *err)
{
	return begin(call, LIFE_BOOT, err);
}

static int vm_shutdown(struct call *call, struct err *err)
{
	return begin(call, LIFE_STOP, err);
}

static int vm_reboot(struct call *call, struct err *err)
{
	return begin(call, LIFE_REBOOT, err);
}

static int vm_delete(struct call *call, struct err *err)
{
	return begin(call, LIFE_DELETE, err);
}

static int vm_pause(struct call *call, struct err *err)
{
	return life_pause(call->life, err);
}

static int vm_resume(struct call *call, struct err *err)
{
	return life_resume(call->life, err);
}

static int vm_power_button(struct call *call, struct err *err)
{
	return life_power_button(call->life, err);
}

/* What is looked at under the life's lock. */
struct looking {
	struct json_object *object;
	struct err *err;
};

int verbs_no_vm(struct err *err)
{
	return err_set(err, ENOENT, "there is no VM: vm.create makes one");
}

int verbs_not_running(const struct life_view *view, struct err *err)
{
	if (view->state == LIFE_EMPTY)
		return verbs_no_vm(err);
	return err_set(err, EPERM, "the VM is %s; it must be Running or Paused for this",
		       life_state_name(view->state));
}

static struct json_object *namespaces_json(unsigned int which)
{
	struct json_object *list = json_object_new_array();
	const char *names[NAMESPACES_MAX];
	unsigned int n = namespaces_names(which, names);

	for (unsigned int i = 0; i < n; i++)
		json_object_array_add(list, json_object_new_string(names[i]));
	return list;
}

static int look_info(void *arg, const struct life_view *view)
{
	struct looking *looking = arg;
	struct json_object *config = NULL, *object = looking->object;
	uint64_t memory;
	int ret;

	if (view->state == LIFE_EMPTY)
		return verbs_no_vm(looking->err);
	ret = view->text ? json_strict_parse(&config, view->text, strlen(view->text), looking->err)
			 : 0;
	if (ret)
		return ret;
	memory = view->config->memory.size;
	if (view->machine && machine_mem(view->machine)) {
		struct mem_stats stats;

		mem_read_stats(machine_mem(view->machine), &stats);
		memory += stats.plugged;
	}
	if (view->machine && machine_balloon(view->machine)) {
		struct balloon_stats stats;

		balloon_read_stats(machine_balloon(view->machine), &stats);
		memory -= MIN(stats.actual, memory);
	}
	json_object_object_add(object, "config", config);
	json_object_object_add(object, "state",
			       json_object_new_string(life_state_name(view->state)));
	json_object_object_add(object, "memory_actual_size", json_object_new_uint64(memory));
	json_object_object_add(object, "boots", json_object_new_uint64(view->boots));
	json_object_object_add(object, "sandbox",
			       json_object_new_string(sandbox_state(view->sandbox)));
	json_object_object_add(object, "namespaces", namespaces_json(view->namespaces));
	if (view->machine) {
		struct devices_coherency coherency;

		machine_coherency(view->machine, &coherency);
		json_object_object_add(object, "coherency", coherency_json(&coherency));
	}
	if (view->has_ended)
		json_object_object_add(object, "last_end",
				       json_object_new_string(machine_end_name(view->last_end)));
	return 0;
}

static int vm_info(struct call *call, struct err *err)
{
	struct looking looking = { .object = json_object_new_object(), .err = err };
	int ret = life_look(call->life, look_info, &looking);

	if (ret)
		json_object_put(looking.object);
	else
		verbs_answer(call->reply, 200, looking.object);
	return ret;
}

static void add_counter(void *arg, const struct counter *counter)
{
	const char *device = counter->device ? counter->device : counter->kind;
	struct json_object *object = arg, *counters;
	char space[128];

	/* No id has a colon. */
	if (counter->provider) {
		snprintf(space, sizeof(space), "%s:%s", counter->provider, counter->device);
		device = space;
	}

	if (!json_object_object_get_ex(object, device, &counters)) {
		counters = json_object_new_object();
		json_object_object_add(object, device, counters);
	}
	json_object_object_add(counters, counter->name, json_object_new_uint64(counter->value));
}

static int look_counters(void *arg, const struct life_view *view)
{
	struct looking *looking = arg;

	if (!view->machine)
		return verbs_not_running(view, looking->err);
	counters_read(view->machine, view->config, add_counter, looking->object);
	return 0;
}

static int vm_counters(struct call *call, struct err *err)
{
	struct looking looking = { .object = json_object_new_object(), .err = err };
	int ret = life_look(call->life, look_counters, &looking);

	if (ret)
		json_object_put(looking.object);
	else
		verbs_answer(call->reply, 200, looking.object);
	return ret;
}

int verbs_later(struct call *call, int ret, uint64_t ticket)
{
	if (!ret && ticket) {
		call->reply->kind = REPLY_LATER;
		call->reply->ticket = ticket;
	}
	return ret;
}

int verbs_add(struct call *call, enum config_list list, struct err *err)
{
	struct request *request = call->request;
	const struct life_addition addition = {
		.list = list,
		.entry = request->body,
		.len = request->len,
		.fds = request->fds,
		.n_fds = request->n_fds,
	};
	uint64_t ticket;
	int ret;

	request->n_fds = 0;
	ret = life_add(call->life, &addition, &ticket, err);

	return verbs_later(call, ret, ticket);
}

static int vm_add_disk(struct call *call, struct err *err)
{
	return verbs_add(call, CONFIG_DISKS, err);
}

static int vm_add_net(struct call *call, struct err *err)
{
	return verbs_add(call, CONFIG_NET, err);
}

static int vm_add_adi(struct call *call, struct err *err)
{
	return verbs_add(call, CONFIG_ADIS, err);
}

static int vm_add_device(struct call *call, struct err *err)
{
	return verbs_add(call, CONFIG_DEVICES, err);
}

static int vm_remove_device(struct call *call, struct err *err)
{
	struct removal body = { 0 };
	uint64_t ticket = 0;
	int ret = verbs_read_body(call, &remove_schema, &body, err);

	if (!ret)
		ret = life_remove(call->life,
				  &(struct life_removal){ .id = body.id,
							  .timeout_ms = body.timeout_ms,
							  .force = body.force },
				  &ticket, err);
	free(body.id);
	return verbs_later(call, ret, ticket);
}

static int look_metrics(void *arg, const struct life_view *view)
{
	char **text = arg;

	*text = counters_metrics(view);
	return 0;
}

static int metrics(struct call *call, struct err *err)
{
	struct reply *reply = call->reply;

	life_look(call->life, look_metrics, &reply->body);
	if (!reply->body)
		return err_set(err, ENOMEM, "out of memory");
	reply->status = 200;
	reply->type = "text/plain; version=0.0.4";
	reply->len = strlen(reply->body);
	return 0;
}

static int look_state(void *arg, const struct life_view *view)
{
	struct looking *looking = arg;

	looking->object = event_object("state", life_state_name(view->state));
	return 0;
}

/* The first line says where things stand, and so that the others follow. */
static int events(struct call *call, struct err *err)
{
	struct looking looking = { .err = err };

	life_look(call->life, look_state, &looking);
	verbs_answer(call->reply, 200, looking.object);
	call->reply->kind = REPLY_EVENTS;
	call->reply->type = "application/x-ndjson";
	return 0;
}

static const struct verb verbs[] = {
	{ { "vmm.ping", "GET", "say that this is adit, and its version" }, false, vmm_ping },
	{ { "vmm.shutdown", "PUT", "stop the VM at once and end the process" },
	  true,
	  vmm_shutdown },
	{ { "vm.create", "PUT", "give the VM its configuration", { "FILE" }, 1, true },
	  true,
	  vm_create },
	{ { "vm.delete", "PUT", "stop the VM and forget its configuration" }, true, vm_delete },
	{ { "vm.boot", "PUT", "start the VM" }, true, vm_boot },
	{ { "vm.shutdown", "PUT", "stop the VM at once; it can be started again" },
	  true,
	  vm_shutdown },
	{ { "vm.reboot", "PUT", "start the VM anew, whatever the guest does" }, true, vm_reboot },
	{ { "vm.power-button", "PUT", "press the guest's power button" }, true, vm_power_button },
	{ { "vm.pause", "PUT", "pause vCPUs, engines and queues" }, true, vm_pause },
	{ { "vm.resume", "PUT", "go on after vm.pause" }, true, vm_resume },
	{ { "vm.snapshot",
	    "PUT",
	    "save a paused VM to a file, which is made",
	    { "destination_url" },
	    1 },
	  true,
	  vm_snapshot },
	{ { "vm.restore",
	    "PUT",
	    "start the VM where a snapshot stood, paused or at once",
	    { "source_url", "resume" },
	    1 },
	  true,
	  vm_restore },
	{ { "vm.info", "GET", "show the configuration and the state" }, false, vm_info },
	{ { "vm.counters", "GET", "show what has happened how often" }, false, vm_counters },
	{ { "vm.resize",
	    "PUT",
	    "resize the balloon, or the memory that is plugged",
	    { "desired_balloon", "desired_ram" } },
	  true,
	  vm_resize },
	{ { "vm.resize-disk",
	    "PUT",
	    "grow a disk, or tell the guest that its image has another size",
	    { "id", "desired_size" },
	    1 },
	  true,
	  vm_resize_disk },
	{ { "vm.add-disk",
	    "PUT",
	    "give the VM one disk more",
	    { "path", "id", "readonly", "direct" },
	    1 },
	  true,
	  vm_add_disk },
	{ { "vm.add-net", "PUT", "one network interface more", { "tap", "id", "mac" }, 1 },
	  true,
	  vm_add_net },
	{ { "vm.add-adi", "PUT", "one ADI more, which FILE describes", { "FILE" }, 1, true },
	  true,
	  vm_add_adi },
	{ { "vm.add-device",
	    "PUT",
	    "one device of the host more: a function, or an mdev",
	    { "path", "id", "via", "coherency" },
	    0 },
	  true,
	  vm_add_device },
	{ { "vm.add-user-device",
	    "PUT",
	    "one device more that a vfio-user server gives",
	    { "socket", "id", "share" },
	    1 },
	  true,
	  vm_add_device },
	{ { "vm.remove-device",
	    "PUT",
	    "have the guest let go of any of these, then take it away",
	    { "id", "timeout", "force" },
	    1 },
	  true,
	  vm_remove_device },
	{ { "vm.pasids", "GET", "show which guest PASIDs are bound" }, false, vm_pasids },
	{ { "vm.add-pasid",
	    "PUT",
	    "let a guest PASID of an ADI reach a space, also after a reboot",
	    { "adi", "guest", "space", "host" },
	    2 },
	  true,
	  vm_add_pasid },
	{ { "vm.remove-pasid", "PUT", "the reverse", { "adi", "guest" }, 2 },
	  true,
	  vm_remove_pasid },
	{ { "vm.pasid-bind",
	    "PUT",
	    "let a guest PASID of an ADI reach a space",
	    { "adi", "guest", "space", "host" },
	    2 },
	  true,
	  vm_pasid_bind },
	{ { "vm.pasid-unbind",
	    "PUT",
	    "end that: nothing is reached when it is answered",
	    { "adi", "guest" },
	    2 },
	  true,
	  vm_pasid_unbind },
	{ { "metrics", "GET", "the same and more for Prometheus, which asks for /metrics" },
	  false,
	  metrics },
	{ { "events", "GET", "follow what happens, as JSON lines" }, false, events },
};

bool verbs_info(size_t index, struct verb_info *info)
{
	if (index >= ARRAY_SIZE(verbs))
		return false;
	*info = verbs[index].info;
	return true;
}

static const struct verb *find(const char *target)
{
	size_t n = strlen(API_PREFIX);

	/* Where Prometheus looks without being told. */
	if (!strcmp(target, "/metrics"))
		target = API_PREFIX "metrics";
	if (strncmp(target, API_PREFIX, n) != 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (!strcmp(verbs[i].info.name, target + n))
			return &verbs[i];
	}
	return NULL;
}

static void serve_verb(struct call *call, const struct verb *verb)
{
	struct err err = { 0 };
	int ret;

	if (call->request->len && !verb->info.keys[0])
		ret = err_set(&err, EINVAL, "(document): %s takes no body", verb->info.name);
	else if (!call->request->len && verb->info.required)
		ret = err_set(&err, EINVAL, "(document): %s needs a body", verb->info.name);
	else
		ret = verb->serve(call, &err);
	if (ret) {
		call->reply->kind = REPLY_NOW;
		reply_refuse(call->reply, status_of(-ret), "%s", err.text);
	}
}

void verbs_serve(struct life *life, const struct log *log, struct request *request,
		 struct reply *reply)
{
	struct call call = { .life = life, .request = request, .reply = reply };
	const struct verb *verb = find(request->target);
	char ticket[32] = "";
	const char *done;

	*reply = (struct reply){ .status = 204 };
	if (!verb) {
		char target[64];

		json_printable(target, sizeof(target), request->target);
		reply_refuse(reply, 404, "%s: there is no such endpoint", target);
		return;
	}
	if (strcmp(request->method, verb->info.method) != 0) {
		reply->allow = verb->info.method;
		reply_refuse(reply, 405, "%s is asked with %s", verb->info.name, verb->info.method);
		return;
	}
	serve_verb(&call, verb);
	if (!verb->changes)
		return;
	done = reply->kind == REPLY_LATER ? "begun" : reply->status < 300 ? "done" : "refused";
	if (reply->ticket)
		snprintf(ticket, sizeof(ticket), " as errand %llu",
			 (unsigned long long)reply->ticket);
	log_line(log, LOG_INFO, "api", "%s: %s%s, asked by uid %u pid %d", verb->info.name, done,
		 ticket, request->uid, request->pid);
}
