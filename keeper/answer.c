/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper does for its child: the fixed list of operations, each checked against the plan.
 */
#include <errno.h>
#include <string.h>

#include "keeper/keeper.h"
#include "keeper/node.h"
#include "util/bits.h"

struct answer {
	const struct keeper_plan *plan;
	struct keeper_state *state;
	struct keeper_request request; /* a copy: checked, then used */
	struct keeper_reply *reply;
	const char *with[KEEPER_MAX_DEVICES];
	int fd;
};

static const struct keeper_device *device_of(const struct answer *answer)
{
	return &answer->plan->devices[answer->request.index];
}

static struct change_mdev mdev_of(const struct keeper_device *device)
{
	struct change_mdev mdev = { 0 };

	memcpy(mdev.uuid, device->name, HOST_UUID_CHARS);
	memcpy(mdev.parent, device->parent, sizeof(mdev.parent));
	memcpy(mdev.type, device->type, sizeof(mdev.type));
	return mdev;
}

/* --- steps, written down before they are made ------------------------------------------------ */

static int note_function(struct keeper_state *state, const struct change_function *before,
			 bool taken, struct err *err)
{
	return state->journal ? journal_function(state->journal, before, taken, err) : 0;
}

static int note_mdev(struct keeper_state *state, const struct change_mdev *mdev, bool made,
		     struct err *err)
{
	return state->journal ? journal_mdev(state->journal, mdev, made, err) : 0;
}

static int take_function(struct answer *answer, struct err *err)
{
	struct keeper_state *state = answer->state;
	struct change_function *before = &state->before[answer->request.index];
	bool needed = false;
	int ret = change_function_plan(&answer->plan->host, device_of(answer)->name, answer->with,
				       answer->plan->n, before, &needed, err);

	if (ret || !needed)
		return ret;
	ret = note_function(state, before, true, err);
	if (ret)
		return ret;
	state->taken[answer->request.index] = true;
	ret = change_function_take(&answer->plan->host, before, err);
	/* What could not be stepped back from stays to be undone at the end. */
	if (ret && !change_function_return(&answer->plan->host, before, NULL)) {
		state->taken[answer->request.index] = false;
		note_function(state, before, false, NULL);
	}
	return ret;
}

static int make_mdev(struct answer *answer, struct err *err)
{
	const struct change_mdev mdev = mdev_of(device_of(answer));
	struct keeper_state *state = answer->state;
	int ret = change_mdev_plan(&answer->plan->host, &mdev, err);

	if (!ret)
		ret = note_mdev(state, &mdev, true, err);
	if (ret)
		return ret;
	state->taken[answer->request.index] = true;
	ret = change_mdev_create(&answer->plan->host, &mdev, err);
	if (ret) {
		state->taken[answer->request.index] = false;
		note_mdev(state, &mdev, false, NULL);
	}
	return ret;
}

static int undo_one(const struct keeper_plan *plan, struct keeper_state *state, unsigned int index,
		    struct err *err)
{
	const struct keeper_device *device = &plan->devices[index];
	struct change_mdev mdev;
	int ret;

	if (!state->taken[index])
		return 0;
	if (device->kind == KEEPER_NEW_MDEV) {
		mdev = mdev_of(device);
		ret = change_mdev_remove(&plan->host, &mdev, err);
		if (!ret)
			note_mdev(state, &mdev, false, NULL);
	} else {
		ret = change_function_return(&plan->host, &state->before[index], err);
		if (!ret)
			note_function(state, &state->before[index], false, NULL);
	}
	if (!ret)
		state->taken[index] = false;
	return ret;
}

/* --- operations ------------------------------------------------------------------------------ */

static int find(struct answer *answer, enum host_way way, struct host_found *found, struct err *err)
{
	static const enum host_kind kinds[] = {
		[KEEPER_FUNCTION] = HOST_FUNCTION,
		[KEEPER_MDEV] = HOST_MDEV,
		[KEEPER_CDEV] = HOST_CDEV,
		[KEEPER_NEW_MDEV] = HOST_MDEV,
	};
	const struct keeper_device *device = device_of(answer);
	struct keeper_reply *reply = answer->reply;
	struct host_name name = { .kind = kinds[device->kind] };
	int ret;

	memcpy(name.text, device->name, sizeof(name.text));
	ret = host_find_device(&answer->plan->host, &name, way, answer->with, answer->plan->n,
			       found, err);
	if (ret)
		return ret;
	reply->by_group = found->by_group;
	reply->group = found->group;
	reply->kind = found->device.kind;
	memcpy(reply->name, found->device.text, sizeof(reply->name));
	return 0;
}

static int on_take(struct answer *answer, struct err *err)
{
	const struct keeper_device *device = device_of(answer);
	struct host_found found;
	int ret = 0;

	if (answer->state->taken[answer->request.index])
		ret = 0;
	else if (device->kind == KEEPER_NEW_MDEV)
		ret = make_mdev(answer, err);
	else if (device->kind == KEEPER_FUNCTION && device->managed)
		ret = take_function(answer, err);
	return ret ? ret : find(answer, HOST_WAY_AUTO, &found, err);
}

static int on_release(struct answer *answer, struct err *err)
{
	return undo_one(answer->plan, answer->state, answer->request.index, err);
}

static int on_open(struct answer *answer, struct err *err)
{
	const struct keeper_device *device = device_of(answer);
	struct host_found found;
	int ret;

	if (answer->request.way > HOST_WAY_GROUP)
		return err_set(err, EINVAL, "%s: way %u is unknown", device->name,
			       answer->request.way);
	/* An mdev of this UUID that was there before is somebody else's. */
	if (device->kind == KEEPER_NEW_MDEV && !answer->state->taken[answer->request.index])
		return err_set(err, ENODEV, "mdev %s: is not made yet", device->name);
	ret = find(answer, (enum host_way)answer->request.way, &found, err);
	if (ret)
		return ret;
	answer->fd = host_open_found(&answer->plan->host, &found, err);
	return answer->fd < 0 ? answer->fd : 0;
}

static int on_iommu(struct answer *answer, struct err *err)
{
	int fd;

	if (answer->request.way > 1)
		return err_set(err, EINVAL, "I/O address spaces: way %u is unknown",
			       answer->request.way);
	fd = host_open_iommu(&answer->plan->host, answer->request.way ? NULL : answer->plan->iommu,
			     answer->request.way == 1, err);
	answer->fd = fd < 0 ? -1 : fd;
	return fd < 0 ? fd : 0;
}

static const struct {
	int (*run)(struct answer *answer, struct err *err);
	bool has_device, may_wait;
} operations[KEEPER_OPS] = {
	[KEEPER_TAKE] = { on_take, true, true },
	[KEEPER_OPEN] = { on_open, true, false },
	[KEEPER_RELEASE] = { on_release, true, true },
	[KEEPER_IOMMU] = { on_iommu, false, false },
};

static int run(struct answer *answer, const void *message, size_t size, struct err *err)
{
	struct keeper_request *request = &answer->request;

	if (size != sizeof(*request))
		return err_set(err, EPROTO, "a request of %zu bytes is none", size);
	memcpy(request, message, sizeof(*request));
	if (request->op >= KEEPER_OPS || request->zero)
		return err_set(err, EPROTO, "operation %u is unknown", request->op);
	if (operations[request->op].has_device ? request->index >= answer->plan->n : request->index)
		return err_set(err, EPERM,
			       "device %u is none of the %u that this VM was started with",
			       request->index, answer->plan->n);
	return operations[request->op].run(answer, err);
}

void keeper_answer(const struct keeper_plan *plan, struct keeper_state *state, const void *message,
		   size_t size, struct keeper_reply *reply, int *fd)
{
	struct answer answer = { .plan = plan, .state = state, .reply = reply, .fd = -1 };
	struct err err = { 0 };

	*reply = (struct keeper_reply){ .group = HOST_NO_GROUP };
	for (unsigned int i = 0; i < plan->n; i++)
		answer.with[i] = plan->devices[i].name;
	reply->code = run(&answer, message, size, &err);
	if (reply->code)
		memcpy(reply->text, err.text, MIN(sizeof(reply->text), sizeof(err.text)));
	*fd = answer.fd < 0 ? -1 : answer.fd;
}

bool keeper_may_wait(const void *message, size_t size)
{
	struct keeper_request request;

	if (size != sizeof(request))
		return false;
	memcpy(&request, message, sizeof(request));
	return request.op < KEEPER_OPS && operations[request.op].may_wait;
}

unsigned int keeper_undo(const struct keeper_plan *plan, struct keeper_state *state,
			 const struct log *log)
{
	unsigned int failed = 0;

	for (unsigned int i = plan->n; i--;) {
		struct err err = { 0 };

		if (!undo_one(plan, state, i, &err))
			continue;
		log_line(log, LOG_ERROR, "keeper", "%s", err.text);
		failed++;
	}
	return failed;
}
