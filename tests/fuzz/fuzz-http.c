/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a client of the API sends: the first byte says in which pieces they come, the
 * rest is one connection. However it is cut, the same requests come out, each within its limits and
 * each with an answer; what was refused has made no VM. Anything else aborts.
 */
#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/api/http.h"
#include "vmm/api/verbs.h"
#include "vmm/config.h"
#include "vmm/life.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BODY 4096u

static void must(int true_now)
{
	if (!true_now)
		abort();
}

/* What one way to cut the bytes gave: a digest over the requests, and how it ended. */
struct outcome {
	uint64_t digest;
	unsigned int requests, status;
	enum http_state state;
	bool defined;
};

static void add(struct outcome *outcome, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		outcome->digest = (outcome->digest ^ (uint8_t)bytes[i]) * 0x100000001b3;
}

static int look(void *arg, const struct life_view *view)
{
	bool *defined = arg;

	*defined = view->state != LIFE_EMPTY;
	must(!view->machine && *defined == (view->config && view->text));
	return 0;
}

static void serve(struct life *life, struct http *http, struct outcome *outcome)
{
	struct request request = { .method = http_method(http), .target = http_target(http) };
	bool before = outcome->defined;
	struct reply reply;

	request.body = http_body(http, &request.len);
	must(request.len <= MAX_BODY && strlen(request.target) <= HTTP_MAX_TARGET);
	must(!request.body[request.len]);
	add(outcome, request.method, strlen(request.method) + 1);
	add(outcome, request.target, strlen(request.target) + 1);
	add(outcome, request.body, request.len);
	verbs_serve(life, NULL, &request, &reply);
	life_look(life, look, &outcome->defined);
	must(reply.status >= 200 && reply.status < 600 && !reply.body == !reply.len);
	if (reply.status >= 400) {
		struct json_object *object = json_tokener_parse(reply.body);

		must(json_object_object_get_ex(object, "error", NULL));
		must(reply.kind == REPLY_NOW && outcome->defined == before);
		json_object_put(object);
	}
	free(reply.body);
	outcome->requests++;
}

static void run(struct outcome *outcome, const char *bytes, size_t n, size_t piece)
{
	const struct life_options options = { .stay = true };
	struct http *http;
	struct life *life;

	*outcome = (struct outcome){ .state = HTTP_MORE };
	must(!life_create(&life, &options, NULL));
	must(!http_create(&http, HTTP_REQUESTS, MAX_BODY));
	for (size_t at = 0, taken; at < n && outcome->state != HTTP_BAD; at += taken) {
		outcome->state = http_feed(http, bytes + at, MIN(piece, n - at), &taken);
		must(taken <= MIN(piece, n - at));
		must(taken || outcome->state != HTTP_MORE);
		if (outcome->state != HTTP_DONE)
			continue;
		serve(life, http, outcome);
		if (!http_keeps_open(http))
			break;
		http_next(http);
	}
	outcome->status = outcome->state == HTTP_BAD ? http_status(http) : 0;
	must(outcome->state != HTTP_BAD || (outcome->status >= 400 && outcome->status < 600));
	http_destroy(http);
	life_destroy(life);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, cut;

	if (size < 2)
		return 0;
	run(&whole, (const char *)data + 1, size - 1, size);
	run(&cut, (const char *)data + 1, size - 1, 1u + data[0]);
	must(whole.digest == cut.digest && whole.requests == cut.requests);
	must(whole.state == cut.state && whole.defined == cut.defined);
	return 0;
}
