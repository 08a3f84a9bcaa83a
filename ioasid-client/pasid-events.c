/* SPDX-License-Identifier: Apache-2.0 */
#include "ioasid-client/pasid-events.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ioasid-client/pasid-table.h"
#include "util/bits.h"

struct pasid_events {
	int fd; /* readable while the ring is not empty or something was lost */
	unsigned int first, count;
	uint64_t lost;
	uint32_t guest[PASID_EVENTS];
	uint64_t waits[PASID_TABLE_SIZE / 64]; /* one bit a guest PASID: it is in the ring */
};

int pasid_events_new(struct pasid_events **out, struct err *err)
{
	struct pasid_events *events = calloc(1, sizeof(*events));

	if (!events)
		return err_set(err, ENOMEM, "no memory to watch a PASID table");
	events->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (events->fd < 0) {
		int r = err_set(err, errno, "no descriptor to watch a PASID table: %m");

		free(events);
		return r;
	}
	*out = events;
	return 0;
}

void pasid_events_free(struct pasid_events *events)
{
	if (events)
		close(events->fd);
	free(events);
}

int pasid_events_fd(const struct pasid_events *events)
{
	return events->fd;
}

/* Failing means that it is readable, or not, already. */
static void set_readable(const struct pasid_events *events, bool readable)
{
	eventfd_t value;
	int r = readable ? eventfd_write(events->fd, 1) : eventfd_read(events->fd, &value);

	(void)r;
}

void pasid_events_add(struct pasid_events *events, uint32_t guest)
{
	uint64_t *word = &events->waits[guest / 64], bit = BIT_U64(guest % 64);

	if (*word & bit)
		return;
	if (!events->count && !events->lost)
		set_readable(events, true);
	if (events->count == PASID_EVENTS) {
		events->lost++;
		return;
	}
	*word |= bit;
	events->guest[(events->first + events->count++) % PASID_EVENTS] = guest;
}

bool pasid_events_take(struct pasid_events *events, uint32_t *guest)
{
	if (!events->count)
		return false;
	*guest = events->guest[events->first];
	events->first = (events->first + 1) % PASID_EVENTS;
	events->count--;
	events->waits[*guest / 64] &= ~BIT_U64(*guest % 64);
	return true;
}

uint64_t pasid_events_lost(struct pasid_events *events)
{
	uint64_t lost = events->lost;

	events->lost = 0;
	if (!events->count)
		set_readable(events, false);
	return lost;
}
