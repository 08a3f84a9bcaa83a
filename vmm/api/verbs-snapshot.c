/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that save a VM to a file, and start it from one. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "util/bits.h"
#include "vmm/api/verbs-internal.h"
#include "vmm/config-schema.h"
#include "vmm/life.h"
#include "vmm/snapshot.h"

struct place {
	char *url; /* NULL: what came with the request */
	bool resume;
};

#define URL_MAX (PATH_MAX + 7u)

static const struct schema_key snapshot_keys[] = {
	{
		.path = "/destination_url",
		.type = SCHEMA_TEXT,
		.min = 1,
		.max = URL_MAX,
		.doc = "the file that is made: file:// and an absolute path, or the path alone; "
		       "left out where an empty file came with the request (SCM_RIGHTS)",
		.field = SCHEMA_FIELD(struct place, url),
	},
};
static const struct schema snapshot_schema = { snapshot_keys, ARRAY_SIZE(snapshot_keys) };

static const struct schema_key restore_keys[] = {
	{
		.path = "/source_url",
		.type = SCHEMA_TEXT,
		.required = true,
		.min = 1,
		.max = URL_MAX,
		.doc = "the file: file:// and an absolute path, or the path alone",
		.field = SCHEMA_FIELD(struct place, url),
	},
	{
		.path = "/resume",
		.type = SCHEMA_BOOL,
		.fallback = "false",
		.doc = "the guest goes on at once, instead of with vm.resume",
		.field = SCHEMA_FIELD(struct place, resume),
	},
};
static const struct schema restore_schema = { restore_keys, ARRAY_SIZE(restore_keys) };

/* Where it goes: a file that is named, or one that came along. */
static int begin_snapshot(struct call *call, const char *url, uint64_t *ticket, struct err *err)
{
	struct request *request = call->request;
	const char *path;

	if (request->n_fds > 1 || (url != NULL) == (request->n_fds == 1))
		return err_set(err, EINVAL,
			       "/destination_url: %u files came with the request; there must be "
			       "either this or one of them",
			       request->n_fds);
	if (!url) {
		request->n_fds = 0;
		return life_snapshot(call->life, "the file of the request", request->fds[0], ticket,
				     err);
	}
	path = snapshot_path(url, err);
	return path ? life_snapshot(call->life, path, -1, ticket, err) : -err->code;
}

int vm_snapshot(struct call *call, struct err *err)
{
	struct place place = { 0 };
	uint64_t ticket = 0;
	int ret = verbs_read_body(call, &snapshot_schema, &place, err);

	if (!ret)
		ret = begin_snapshot(call, place.url, &ticket, err);
	free(place.url);
	return verbs_later(call, ret, ticket);
}

int vm_restore(struct call *call, struct err *err)
{
	struct place place = { 0 };
	const char *path;
	int ret = verbs_read_body(call, &restore_schema, &place, err);

	if (!ret) {
		path = snapshot_path(place.url, err);
		ret = path ? life_restore(call->life, path, place.resume, err) : -err->code;
	}
	if (!ret)
		call->reply->kind = REPLY_LATER;
	free(place.url);
	return ret;
}
