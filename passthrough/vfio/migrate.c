/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that is stopped, read out, filled and set going: one file, because of what must hold
 * however a step ends. A device that was stopped goes on, or is reset and that is said; a session
 * of data is over, and its descriptor closed, when the call that began it returns.
 *
 * Steps are asked for one by one, though the kernel knows shorter ways: what failed is named then.
 *
 * Source: Linux include/uapi/linux/vfio.h (enum vfio_device_mig_state).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "passthrough/vfio/internal.h"

#define CHUNK (64 * KIB)

static const char *name_of(int state)
{
	static const char *const names[] = {
		[VFIO_DEVICE_STATE_ERROR] = "ERROR",
		[VFIO_DEVICE_STATE_STOP] = "STOP",
		[VFIO_DEVICE_STATE_RUNNING] = "RUNNING",
		[VFIO_DEVICE_STATE_STOP_COPY] = "STOP_COPY",
		[VFIO_DEVICE_STATE_RESUMING] = "RESUMING",
		[VFIO_DEVICE_STATE_RUNNING_P2P] = "RUNNING_P2P",
	};

	if (state < 0 || state >= (int)ARRAY_SIZE(names))
		return "an unknown state";
	return names[state];
}

/* --- states ---------------------------------------------------------------------------------- */

/* data_fd NULL: the step has none. */
static int go(struct vfio_function *f, enum vfio_device_mig_state to, int *data_fd, struct err *err)
{
	int fd = -1, ret = vfio_set_state(f, to, &fd);

	if (!ret && data_fd && fd < 0)
		ret = -EBADF;
	if (!data_fd && fd >= 0)
		close(fd);
	if (data_fd)
		*data_fd = fd;
	if (!ret)
		return 0;
	return err_set(err, -ret, "%s: the device does not go to %s, and is in %s: %s", f->name,
		       name_of(to), name_of(vfio_get_state(f)), strerror(-ret));
}

int vfio_migration_check(struct vfio_function *f, struct err *err)
{
	if (vfio_get_migration(f) & VFIO_MIGRATION_STOP_COPY)
		return 0;
	return err_set(err, EOPNOTSUPP,
		       "%s: a snapshot does not carry a device whose driver offers no migration: "
		       "remove it first",
		       f->name);
}

int vfio_function_check_saved(struct vfio_function *f, struct err *err)
{
	return vfio_migration_check(f, err);
}

bool vfio_function_ends_peers(struct vfio_function *f)
{
	return vfio_get_migration(f) & VFIO_MIGRATION_P2P;
}

int vfio_function_quiet(struct vfio_function *f, struct err *err)
{
	if (!vfio_function_ends_peers(f))
		return 0;
	f->stopped = true;
	return go(f, VFIO_DEVICE_STATE_RUNNING_P2P, NULL, err);
}

int vfio_function_stop(struct vfio_function *f, struct err *err)
{
	int ret;

	f->stopped = true;
	ret = go(f, VFIO_DEVICE_STATE_STOP, NULL, err);
	if (!ret)
		vfio_intx_settle(f);
	return ret;
}

/* A reset is the way out of every state: the device runs then, and knows nothing of before. */
static int start_over(struct vfio_function *f, const char *why, struct err *err)
{
	int ret = f->reset == VFIO_RESET_FUNCTION ? vfio_reset_function(f) : -ENOTTY;

	if (!ret && vfio_get_state(f) != VFIO_DEVICE_STATE_RUNNING)
		ret = -EIO;
	if (ret)
		return err_set(err, EIO,
			       "%s; it cannot be reset either (%s): it stands still until the VM "
			       "starts again",
			       why, strerror(-ret));
	vfio_config_sync(f);
	return err_set(err, EIO, "%s; it was reset: its guest has to start it again", why);
}

void vfio_migration_abort(struct vfio_function *f)
{
	f->stopped = false;
	if (f->reset == VFIO_RESET_FUNCTION)
		(void)vfio_reset_function(f);
}

void vfio_function_rouse(struct vfio_function *f)
{
	struct err err;

	if (f->stopped)
		(void)vfio_function_quiet(f, &err);
}

int vfio_function_start(struct vfio_function *f, struct err *err)
{
	struct err why = { 0 };

	if (!f->stopped)
		return 0;
	f->stopped = false;
	return go(f, VFIO_DEVICE_STATE_RUNNING, NULL, &why) ? start_over(f, why.text, err) : 0;
}

/* --- data ------------------------------------------------------------------------------------ */

/* Room for what comes next; -EFBIG: the bound is passed. */
static int make_room(struct vfio_blob *blob)
{
	size_t room = blob->room ? 2 * blob->room : CHUNK;
	uint8_t *data;

	if (blob->len < blob->room)
		return 0;
	if (blob->len > VFIO_BLOB_MAX)
		return -EFBIG;
	/* A byte more than is taken shows that there is more. */
	room = MIN(room, VFIO_BLOB_MAX + 1);
	data = realloc(blob->data, room);
	if (!data)
		return -ENOMEM;
	blob->data = data;
	blob->room = room;
	return 0;
}

static int read_all(int fd, struct vfio_blob *blob)
{
	int ret = make_room(blob);

	while (!ret) {
		ssize_t n = read(fd, blob->data + blob->len, blob->room - blob->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : 0;
		blob->len += (size_t)n;
		ret = make_room(blob);
	}
	return ret;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int vfio_blob_read(struct vfio_function *f, struct vfio_blob *blob, struct err *err)
{
	int fd, ret = go(f, VFIO_DEVICE_STATE_STOP_COPY, &fd, err);

	if (ret)
		return ret;
	ret = read_all(fd, blob);
	close(fd);
	if (ret == -EFBIG)
		return err_set(err, EOPNOTSUPP,
			       "%s: the state of the device has more than %llu MiB, and a snapshot "
			       "carries no more of one: remove it first",
			       f->name, VFIO_BLOB_MAX / MIB);
	if (ret)
		return err_set(err, -ret, "%s: reading the state of the device: %s", f->name,
			       strerror(-ret));
	return go(f, VFIO_DEVICE_STATE_STOP, NULL, err);
}

int vfio_blob_write(struct vfio_function *f, const uint8_t *data, size_t len, struct err *err)
{
	int fd, ret = go(f, VFIO_DEVICE_STATE_RESUMING, &fd, err);

	if (ret)
		return ret;
	ret = write_all(fd, data, len);
	/* The step that follows takes in what was written: the kernel has the file until then. */
	close(fd);
	if (ret)
		return err_set(err, -ret,
			       "%s: the device does not take the state that was saved: %s", f->name,
			       strerror(-ret));
	return go(f, VFIO_DEVICE_STATE_STOP, NULL, err);
}
