/* SPDX-License-Identifier: Apache-2.0 */
#include "util/epoch.h"

#include <sched.h>
#include <stddef.h>

void epoch_init(struct epoch *epoch)
{
	*epoch = (struct epoch){ .current = 1 };
	pthread_mutex_init(&epoch->lock, NULL);
}

/* The oldest epoch that an open section may have entered in; caller holds the lock. */
static uint64_t oldest_open(struct epoch *epoch)
{
	uint64_t oldest = UINT64_MAX;

	for (struct epoch_reader *r = epoch->readers; r; r = r->next) {
		uint64_t seen = __atomic_load_n(&r->seen, __ATOMIC_SEQ_CST);

		if (seen && seen < oldest)
			oldest = seen;
	}
	return oldest;
}

/* Unlinks what no section can see any more; caller holds the lock and frees the result. */
static struct epoch_retired *take_free(struct epoch *epoch)
{
	struct epoch_retired *gone = NULL, **link = &epoch->retired;
	uint64_t oldest = oldest_open(epoch);

	while (*link) {
		struct epoch_retired *r = *link;

		if (r->epoch < oldest) {
			*link = r->next;
			r->next = gone;
			gone = r;
		} else {
			link = &r->next;
		}
	}
	return gone;
}

static void free_all(struct epoch_retired *list)
{
	while (list) {
		struct epoch_retired *next = list->next;

		list->free(list);
		list = next;
	}
}

void epoch_destroy(struct epoch *epoch)
{
	free_all(epoch->retired);
	epoch->retired = NULL;
	pthread_mutex_destroy(&epoch->lock);
}

void epoch_join(struct epoch *epoch, struct epoch_reader *reader)
{
	reader->seen = 0;
	pthread_mutex_lock(&epoch->lock);
	reader->next = epoch->readers;
	epoch->readers = reader;
	pthread_mutex_unlock(&epoch->lock);
}

void epoch_leave(struct epoch *epoch, struct epoch_reader *reader)
{
	pthread_mutex_lock(&epoch->lock);
	for (struct epoch_reader **link = &epoch->readers; *link; link = &(*link)->next) {
		if (*link == reader) {
			*link = reader->next;
			break;
		}
	}
	pthread_mutex_unlock(&epoch->lock);
}

/*
 * A section that entered in an epoch above `before` began after the caller's unlinking, for the
 * increment below comes after it.
 */
void epoch_wait(struct epoch *epoch)
{
	uint64_t before = __atomic_fetch_add(&epoch->current, 1, __ATOMIC_SEQ_CST);
	struct epoch_retired *gone;

	pthread_mutex_lock(&epoch->lock);
	while (oldest_open(epoch) <= before) {
		pthread_mutex_unlock(&epoch->lock);
		sched_yield();
		pthread_mutex_lock(&epoch->lock);
	}
	gone = take_free(epoch);
	pthread_mutex_unlock(&epoch->lock);
	free_all(gone);
}

void epoch_retire(struct epoch *epoch, struct epoch_retired *retired,
		  void (*free_fn)(struct epoch_retired *))
{
	struct epoch_retired *gone;

	retired->free = free_fn;
	pthread_mutex_lock(&epoch->lock);
	retired->epoch = __atomic_fetch_add(&epoch->current, 1, __ATOMIC_SEQ_CST);
	retired->next = epoch->retired;
	epoch->retired = retired;
	gone = take_free(epoch);
	pthread_mutex_unlock(&epoch->lock);
	free_all(gone);
}
