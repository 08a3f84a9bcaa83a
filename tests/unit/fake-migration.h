/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The migration that a VFIO driver in memory offers: its states and the ways between them as
 * linux/vfio.h has them, and some bytes that are all the device knows, which come and go by memfds.
 * Any step can be made to fail. A file of its own, for devices of any shape have it.
 */
#ifndef ADIT_TESTS_UNIT_FAKE_MIGRATION_H
#define ADIT_TESTS_UNIT_FAKE_MIGRATION_H

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FAKE_KNOWN 16u
#define FAKE_PATH  32u

struct fake_migration {
	uint64_t flags; /* VFIO_MIGRATION_*; 0: none is offered */
	uint32_t state; /* enum vfio_device_mig_state */
	char known[FAKE_KNOWN];
	uint64_t padding;	  /* so many more bytes are given */
	int gives;		  /* a descriptor instead of the state's; 0: none */
	bool silent;		  /* none at all */
	unsigned int sets;	  /* steps asked for */
	unsigned int refused;	  /* this one fails; 0: none does */
	bool breaks;		  /* and leaves it in ERROR */
	bool stays;		  /* a reset does not mend that */
	int resuming;		  /* what is written to it; 0: none */
	uint32_t path[FAKE_PATH]; /* the states that it came to */
	unsigned int n_path;
	unsigned int *clock; /* of several devices: counts what any does; NULL: none */
	unsigned int when[FAKE_PATH];
};

static inline int fake_migration_take(struct fake_migration *m)
{
	char bytes[FAKE_KNOWN + 1];
	ssize_t n = pread(m->resuming, bytes, sizeof(bytes), 0);

	close(m->resuming);
	m->resuming = 0;
	if (n != FAKE_KNOWN || bytes[0] != 'K')
		return -EINVAL;
	memcpy(m->known, bytes, FAKE_KNOWN);
	return 0;
}

static inline int fake_migration_give(struct fake_migration *m)
{
	int fd = memfd_create("fake-state", MFD_CLOEXEC);

	if (pwrite(fd, m->known, FAKE_KNOWN, 0) != FAKE_KNOWN ||
	    ftruncate(fd, (off_t)(FAKE_KNOWN + m->padding)))
		return -EIO;
	return fd;
}

/* One arc; *fd: of a session that begins with it. */
static inline int fake_migration_step(struct fake_migration *m, uint32_t to, int *fd)
{
	if (m->state == VFIO_DEVICE_STATE_RESUMING && fake_migration_take(m))
		return -EINVAL;
	if (to == VFIO_DEVICE_STATE_STOP_COPY)
		*fd = fake_migration_give(m);
	if (to == VFIO_DEVICE_STATE_RESUMING) {
		*fd = memfd_create("fake-state", MFD_CLOEXEC);
		m->resuming = dup(*fd);
	}
	m->state = to;
	if (m->n_path == FAKE_PATH)
		return 0;
	m->when[m->n_path] = m->clock ? ++*m->clock : 0;
	m->path[m->n_path++] = to;
	return 0;
}

static inline int fake_migration_set(struct fake_migration *m,
				     struct vfio_device_feature_mig_state *state)
{
	uint32_t to = state->device_state;
	int fd = -1, ret = 0;

	if (++m->sets == m->refused) {
		if (m->breaks)
			m->state = VFIO_DEVICE_STATE_ERROR;
		return -EIO;
	}
	if (m->state == VFIO_DEVICE_STATE_ERROR || !to || to > VFIO_DEVICE_STATE_RUNNING_P2P ||
	    (to == VFIO_DEVICE_STATE_RUNNING_P2P && !(m->flags & VFIO_MIGRATION_P2P)))
		return -EINVAL;
	if (to == m->state)
		return 0;
	/* Between running and data lies the stop. */
	if (to != VFIO_DEVICE_STATE_STOP && m->state != VFIO_DEVICE_STATE_STOP &&
	    m->state != VFIO_DEVICE_STATE_RUNNING && m->state != VFIO_DEVICE_STATE_RUNNING_P2P)
		ret = fake_migration_step(m, VFIO_DEVICE_STATE_STOP, &fd);
	if (!ret)
		ret = fake_migration_step(m, to, &fd);
	if (fd >= 0 && (m->gives || m->silent)) {
		close(fd);
		fd = m->silent ? -1 : dup(m->gives);
	}
	state->data_fd = fd;
	return ret;
}

static inline bool fake_migration_asked(const struct vfio_device_feature *feature)
{
	uint32_t which = feature->flags & VFIO_DEVICE_FEATURE_MASK;

	return which == VFIO_DEVICE_FEATURE_MIGRATION ||
	       which == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
}

static inline int fake_migration_feature(struct fake_migration *m,
					 struct vfio_device_feature *feature)
{
	struct vfio_device_feature_migration *migration = (void *)feature->data;
	struct vfio_device_feature_mig_state *state = (void *)feature->data;
	bool set = feature->flags & VFIO_DEVICE_FEATURE_SET;

	if (!m->flags)
		return -ENOTTY;
	if ((feature->flags & VFIO_DEVICE_FEATURE_MASK) == VFIO_DEVICE_FEATURE_MIGRATION) {
		if (set || feature->argsz != sizeof(*feature) + sizeof(*migration))
			return -EINVAL;
		migration->flags = m->flags;
		return 0;
	}
	if (feature->argsz != sizeof(*feature) + sizeof(*state))
		return -EINVAL;
	if (set)
		return fake_migration_set(m, state);
	*state = (struct vfio_device_feature_mig_state){ m->state, -1 };
	return 0;
}

static inline void fake_migration_reset(struct fake_migration *m)
{
	if (m->stays)
		return;
	m->state = VFIO_DEVICE_STATE_RUNNING;
	memset(m->known, 0, sizeof(m->known));
}

static inline void fake_migration_close(struct fake_migration *m)
{
	if (m->resuming)
		close(m->resuming);
}

#endif
