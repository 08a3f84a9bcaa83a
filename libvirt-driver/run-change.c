/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that come to a domain while it runs, and go. */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/bridge.h"
#include "libvirt-driver/definition-edit.h"
#include "libvirt-driver/json.h"
#include "libvirt-driver/run-files.h"
#include "libvirt-driver/run-internal.h"
#include "libvirt-driver/run-taken.h"
#include "libvirt-driver/session.h"
#include "util/bits.h"

void change_free(struct change *change, const struct domain *domain)
{
	if (!change)
		return;
	if (change->connected && change->live && domain)
		bridges_disconnect(change->live, domain->live);
	if (*change->taken && change->live && domain)
		taken_return(domain, change->taken);
	definition_free(change->live);
	definition_free(change->kept);
	free(change);
}

/* The function of that device, if one was taken for it, goes back. */
static void return_taken(const struct domain *domain, const char *id)
{
	struct json_object *config = json_tokener_parse(domain->live->config), *list;

	for (size_t i = 0; json_object_object_get_ex(config, "devices", &list) &&
			   i < json_object_array_length(list);
	     i++) {
		struct json_object *device = json_object_array_get_idx(list, i);

		if (!strcmp(json_word(device, "id", ""), id))
			taken_return(domain, json_word(device, "path", ""));
	}
	json_object_put(config);
}

void change_removed(struct run *run, const char *id)
{
	struct daemon *daemon = daemon_of(run);
	const struct definition_host host = { daemon->run_dir, daemon->adit };
	struct refusal refusal = { 0 };
	struct definition *live = definition_detach_alias(run->domain->live, id, &host, &refusal);

	if (!live) {
		log_line(daemon->log, LOG_WARN, "domain", "%s: %s is gone: %s", name_of(run), id,
			 refusal.err.text);
		return;
	}
	bridges_disconnect(run->domain->live, live);
	return_taken(run->domain, id);
	run_set_live(run->domain, live);
	/* What another change was made of had it still. */
	for (size_t i = 0; i <= QUESTIONS; i++) {
		struct change *change =
			i < QUESTIONS ? run->questions[i].change : run->taking.change;
		struct definition *less =
			change && change->kind != CHANGE_DETACH
				? definition_detach_alias(change->live, id, &host, &refusal)
				: NULL;

		if (!less)
			continue;
		definition_free(change->live);
		change->live = less;
	}
	sessions_tell_device(daemon, run->domain, id, false);
}

bool change_commit(struct question *question, struct refusal *refusal)
{
	struct domain *domain = question->run->domain;
	struct change *change = question->change;
	struct definition *kept = change->kept;

	/* One that goes is gone when the guest has let go of it. */
	if (change->kind != CHANGE_DETACH) {
		if (change->iommu && run_had_iommu(domain))
			log_line(domain->daemon->log, LOG_WARN, "domain",
				 "%s: it cannot be written down that it has a node for I/O address "
				 "spaces: the next device is refused",
				 domain->live->name);
		run_set_live(domain, change->live);
		change->live = NULL;
	}
	if (change->kind == CHANGE_ATTACH)
		sessions_tell_device(domain->daemon, domain, change->id, true);
	change->kept = NULL;
	if (!kept)
		return true;
	if (domain->kept == change->kept_from)
		return domain_define(domain->daemon, kept, refusal) != NULL;
	definition_free(kept);
	refuse(refusal, FAULT_OPERATION_FAILED,
	       "the definition was changed meanwhile: the running domain alone has the change");
	return false;
}

bool run_is_changing(const struct run *run)
{
	for (size_t i = 0; i < QUESTIONS; i++) {
		if (run->questions[i].change)
			return true;
	}
	return run->taking.change;
}

static bool connect_new(struct change *change, const struct domain *domain, struct refusal *refusal)
{
	bool attach = change->kind == CHANGE_ATTACH;

	change->connected = attach && !bridges_connect(change->live, domain->live, refusal);
	return change->connected || !attach;
}

/* Takes both definitions over, also where there is no memory for a change. */
static struct change *make_change(struct domain *domain, struct definition *live,
				  struct definition *kept, struct refusal *refusal)
{
	struct change *change = calloc(1, sizeof(*change));

	if (change) {
		*change = (struct change){ .live = live, .kept = kept, .kept_from = domain->kept };
		return change;
	}
	definition_free(live);
	definition_free(kept);
	refuse(refusal, FAULT_NO_MEMORY, "no memory for a change");
	return NULL;
}

/* False: it is not the time for one. Two that were made of one definition would undo each other. */
static bool may_change(const struct domain *domain, struct refusal *refusal)
{
	if (!domain->run)
		run_refuse_inactive(domain, refusal);
	else if (domain->run->saving)
		refuse(refusal, FAULT_OPERATION_INVALID, "the domain is being saved");
	else if (run_is_changing(domain->run))
		refuse(refusal, FAULT_OPERATION_INVALID, "the domain is being changed already");
	else
		return true;
	return false;
}

/* Takes the request's body over; the change where it was sent. */
static int send_change(struct run *run, struct change *change, struct device_request *request,
		       const struct ticket *ticket, struct refusal *refusal)
{
	struct given given = { .n = 0 };
	struct question *question = NULL;

	if (change->kind != CHANGE_ATTACH ||
	    !device_request_open(run->domain, change->live, request, &given, refusal))
		question = run_ask_with(run, request->verb, request->body, &given, refusal);
	/* Behind the device itself. */
	change->iommu = given.n > 1;
	given_close(&given);
	free(request->body);
	request->body = NULL;
	if (!question)
		return CALL_REFUSED;
	question->change = change;
	question->ticket = *ticket;
	return CALL_LATER;
}

static void on_taken(void *arg, struct daemon *daemon, const struct node_task *task,
		     const struct refusal *failure)
{
	struct run *run = arg;
	struct taking taking = run->taking;
	struct refusal refusal = { 0 };

	run->taking = (struct taking){ 0 };
	if (failure) {
		refusal = *failure;
		taken_forget(daemon, domain_uuid(run->domain), task->bdf);
		*taking.change->taken = 0;
	} else if (run->watch && send_change(run, taking.change, &taking.request, &taking.ticket,
					     &refusal) == CALL_LATER) {
		return;
	}
	if (*refusal.err.text)
		ticket_answer(daemon, &taking.ticket, NULL, &refusal);
	else
		run->taking.ticket = taking.ticket; /* the end of the process answers it */
	free(taking.request.body);
	change_free(taking.change, run->watch ? run->domain : NULL);
	if (!run->watch)
		run_wind_up(run);
}

/* Where a host driver has the device, it must let go before. */
static int begin_change(struct run *run, struct change *change, struct device_request *request,
			const struct ticket *ticket, struct refusal *refusal)
{
	const struct node_then then = { on_taken, run };
	struct json_object *config;
	int ret = 0;

	if (change->kind == CHANGE_ATTACH && device_request_takes(request, change->taken)) {
		config = json_tokener_parse(change->live->config);
		ret = taken_take(run->domain, change->taken, config, &then, refusal);
		json_object_put(config);
		if (ret != CALL_LATER)
			*change->taken = 0;
	}
	if (!ret)
		return send_change(run, change, request, ticket, refusal);
	if (ret == CALL_LATER)
		run->taking = (struct taking){ change, *ticket, *request };
	return ret;
}

int run_change_device(struct domain *domain, bool attach, struct definition *live,
		      struct definition *kept, const struct ticket *ticket, struct refusal *refusal)
{
	struct change *change = make_change(domain, live, kept, refusal);
	struct device_request request = { 0 };
	int ret = CALL_REFUSED;

	if (!change)
		return CALL_REFUSED;
	change->kind = attach ? CHANGE_ATTACH : CHANGE_DETACH;
	if (may_change(domain, refusal) &&
	    !device_request(domain->live, live, attach, &request, refusal) &&
	    connect_new(change, domain, refusal)) {
		memcpy(change->id, request.id, sizeof(change->id));
		ret = begin_change(domain->run, change, &request, ticket, refusal);
	}
	if (ret == CALL_REFUSED) {
		free(request.body);
		change_free(change, domain);
	}
	return ret;
}

int run_change_memory(struct domain *domain, struct definition *live, struct definition *kept,
		      const struct ticket *ticket, struct refusal *refusal)
{
	struct change *change = make_change(domain, live, kept, refusal);
	struct question *question = NULL;
	char body[64];

	if (!change)
		return CALL_REFUSED;
	change->kind = CHANGE_MEMORY;
	snprintf(body, sizeof(body), "{\"desired_balloon\": %" PRIu64 "}",
		 (uint64_t)((live->memory_kib - live->current_kib) * KIB));
	if (may_change(domain, refusal))
		question = run_ask_with(domain->run, "vm.resize", body, &(struct given){ .n = 0 },
					refusal);
	if (!question) {
		change_free(change, domain);
		return CALL_REFUSED;
	}
	question->change = change;
	question->ticket = *ticket;
	return CALL_LATER;
}

int run_change_words(struct domain *domain, struct definition *live, struct refusal *refusal)
{
	if (run_is_changing(domain->run)) {
		definition_free(live);
		return refuse(refusal, FAULT_OPERATION_INVALID,
			      "a device of the domain is being changed");
	}
	run_set_live(domain, live);
	return 0;
}
