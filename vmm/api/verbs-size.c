/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that change how much there is of something: memory, and disks. */
#include <errno.h>
#include <stdlib.h>

#include "util/bits.h"
#include "vmm/api/verbs-internal.h"
#include "vmm/config-schema.h"
#include "vmm/config.h"
#include "vmm/life.h"
#include "vmm/virtio/balloon.h"

/* What is looked at under the life's lock. */
struct looking {
	struct err *err;
	const char *id;
	uint64_t size;
	bool asks; /* only whether it can be done */
};

struct resize_disk {
	char *id;
	uint64_t size; /* 0: whatever its image has by now */
};

static const struct schema_key resize_disk_keys[] = {
	{
		.path = "/id",
		.type = SCHEMA_NAME,
		.required = true,
		.min = 1,
		.max = CONFIG_ID_MAX,
		.doc = "the disk's id",
		.field = SCHEMA_FIELD(struct resize_disk, id),
	},
	{
		.path = "/desired_size",
		.type = SCHEMA_SIZE,
		.min = 512,
		.max = 1024 * TIB,
		.align = 512,
		.doc = "what the image is made; absent: it was resized already",
		.field = SCHEMA_FIELD(struct resize_disk, size),
	},
};
static const struct schema resize_disk_schema = { resize_disk_keys, ARRAY_SIZE(resize_disk_keys) };

#define NOT_SAID UINT64_MAX

struct resize {
	uint64_t balloon, ram;
};

static const struct schema_key resize_keys[] = {
	{
		.path = "/desired_balloon",
		.type = SCHEMA_SIZE,
		.max = 16 * TIB,
		.align = 4 * KIB,
		.doc = "bytes that the guest shall give back",
		.field = SCHEMA_FIELD(struct resize, balloon),
	},
	{
		.path = "/desired_ram",
		.type = SCHEMA_SIZE,
		.max = 32 * TIB,
		.align = 4 * KIB,
		.doc = "bytes of memory that the guest shall have, what it was started with included",
		.field = SCHEMA_FIELD(struct resize, ram),
	},
};
static const struct schema resize_schema = { resize_keys, ARRAY_SIZE(resize_keys) };

static int look_resize_disk(void *arg, const struct life_view *view)
{
	struct looking *looking = arg;

	if (!view->machine)
		return verbs_not_running(view, looking->err);
	if (looking->size)
		return machine_grow_disk(view->machine, looking->id, looking->size, looking->err);
	return machine_resize_disk(view->machine, looking->id, looking->err);
}

int vm_resize_disk(struct call *call, struct err *err)
{
	struct resize_disk body = { 0 };
	struct looking looking = { .err = err };
	int ret = verbs_read_body(call, &resize_disk_schema, &body, err);

	looking.id = body.id;
	looking.size = body.size;
	if (!ret)
		ret = life_look(call->life, look_resize_disk, &looking);
	free(body.id);
	return ret;
}

static int look_balloon(void *arg, const struct life_view *view)
{
	struct looking *looking = arg;
	struct balloon *balloon;
	char size[24];

	if (!view->machine)
		return verbs_not_running(view, looking->err);
	balloon = machine_balloon(view->machine);
	if (!balloon)
		return err_set(looking->err, ENOENT,
			       "this VM has no balloon: add \"balloon\": {} to its configuration");
	schema_size_text(size, sizeof(size), view->config->memory.size);
	if (looking->size >= view->config->memory.size)
		return err_set(
			looking->err, EINVAL,
			"/desired_balloon: must be less than the guest's memory, which is %s",
			size);
	return looking->asks ? balloon_check(balloon, looking->size, looking->err)
			     : balloon_resize(balloon, looking->size, looking->err);
}

/* What is to be plugged is what is more than the guest was started with. */
static int look_ram(void *arg, const struct life_view *view)
{
	struct looking *looking = arg;
	char size[24];

	if (!view->machine)
		return verbs_not_running(view, looking->err);
	schema_size_text(size, sizeof(size), view->config->memory.size);
	if (looking->size < view->config->memory.size)
		return err_set(looking->err, EINVAL,
			       "/desired_ram: must be at least what the guest was started with, "
			       "which is %s",
			       size);
	looking->size -= view->config->memory.size;
	return 0;
}

/* Both or neither: what the balloon cannot do is found before anything is changed. */
static int resize(struct call *call, const struct resize *body, struct err *err)
{
	struct looking balloon = { .err = err, .size = body->balloon, .asks = true };
	struct looking ram = { .err = err, .size = body->ram };
	int ret = 0;

	if (body->balloon != NOT_SAID)
		ret = life_look(call->life, look_balloon, &balloon);
	if (!ret && body->ram != NOT_SAID) {
		ret = life_look(call->life, look_ram, &ram);
		if (!ret)
			ret = life_resize_memory(call->life, ram.size, err);
	}
	balloon.asks = false;
	if (!ret && body->balloon != NOT_SAID)
		ret = life_look(call->life, look_balloon, &balloon);
	return ret;
}

int vm_resize(struct call *call, struct err *err)
{
	struct resize body = { .balloon = NOT_SAID, .ram = NOT_SAID };
	int ret = verbs_read_body(call, &resize_schema, &body, err);

	if (ret)
		return ret;
	if (body.balloon == NOT_SAID && body.ram == NOT_SAID)
		return err_set(err, EINVAL,
			       "(document): needs \"desired_balloon\" or \"desired_ram\"");
	return resize(call, &body, err);
}
