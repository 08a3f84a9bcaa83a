/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table in leaves of 1024 entries, made when first needed and kept until the table goes: 20 MiB
 * at the most. A lookup reads a leaf's numbers and nothing else of it.
 */
#include "ioasid-client/pasid-table.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "ioasid-client/pasid-events.h"
#include "ioasid-client/provider.h"

#define LEAF_BITS    10u
#define LEAF_ENTRIES (1u << LEAF_BITS)
#define LEAVES	     (PASID_TABLE_SIZE / LEAF_ENTRIES)

struct leaf {
	uint32_t number[LEAF_ENTRIES];		 /* atomic; 0: unbound */
	struct ioasid_pasid *host[LEAF_ENTRIES]; /* under the lock */
	uint64_t uses[LEAF_ENTRIES];		 /* atomic */
};

struct pasid_table {
	struct leaf *leaf[LEAVES]; /* atomic */
	struct epoch *epoch;
	pthread_mutex_t lock;
	unsigned int count;
	struct pasid_events *events; /* NULL: nobody watches */
};

int pasid_table_create(struct pasid_table **out, struct epoch *epoch, struct err *err)
{
	struct pasid_table *table = calloc(1, sizeof(*table));

	if (!table)
		return err_set(err, ENOMEM, "no memory for a PASID table");
	table->epoch = epoch;
	pthread_mutex_init(&table->lock, NULL);
	*out = table;
	return 0;
}

static void release(void *arg, uint32_t guest, struct ioasid_pasid *host)
{
	ioasid_pasid_release(host);
}

static void unlink_all(struct pasid_table *table)
{
	for (unsigned int i = 0; i < LEAVES; i++) {
		struct leaf *leaf = table->leaf[i];

		for (unsigned int j = 0; leaf && j < LEAF_ENTRIES; j++)
			__atomic_store_n(&leaf->number[j], 0, __ATOMIC_RELEASE);
	}
}

void pasid_table_destroy(struct pasid_table *table)
{
	if (!table)
		return;
	pthread_mutex_lock(&table->lock);
	unlink_all(table);
	pthread_mutex_unlock(&table->lock);
	epoch_wait(table->epoch);
	pasid_table_walk(table, release, NULL);
	for (unsigned int i = 0; i < LEAVES; i++)
		free(table->leaf[i]);
	pasid_events_free(table->events);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

/* What fault records name as the guest's: the latest that was bound to the host PASID. */
static void name_guest(struct ioasid_pasid *host, uint32_t guest)
{
	__atomic_store_n(&host->guest, guest, __ATOMIC_RELAXED);
}

static void forget_guest(struct ioasid_pasid *host, uint32_t guest)
{
	__atomic_compare_exchange_n(&host->guest, &guest, IOASID_PASID_NONE, false,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* The leaf of a guest PASID, made where `make` says so. Needs the lock. */
static struct leaf *leaf_of(struct pasid_table *table, uint32_t guest, bool make)
{
	struct leaf **slot = &table->leaf[guest >> LEAF_BITS];

	if (!*slot && make) {
		struct leaf *fresh = calloc(1, sizeof(*fresh));

		__atomic_store_n(slot, fresh, __ATOMIC_RELEASE);
	}
	return *slot;
}

int pasid_table_bind(struct pasid_table *table, uint32_t guest, struct ioasid_pasid *host,
		     struct err *err)
{
	unsigned int i = guest & (LEAF_ENTRIES - 1);
	struct leaf *leaf;
	int r = 0;

	if (!guest || guest >= PASID_TABLE_SIZE)
		return err_set(err, EINVAL, "guest PASID %u is not in 1 to %u", guest,
			       PASID_TABLE_SIZE - 1);
	pthread_mutex_lock(&table->lock);
	leaf = leaf_of(table, guest, true);
	if (!leaf) {
		r = err_set(err, ENOMEM, "no memory to bind guest PASID %u", guest);
	} else if (leaf->host[i]) {
		r = err_set(err, EEXIST,
			    "guest PASID %u is bound to host PASID %u already; unbind it first",
			    guest, ioasid_pasid_number(leaf->host[i]));
	} else {
		ioasid_pasid_hold(host);
		name_guest(host, guest);
		leaf->host[i] = host;
		__atomic_store_n(&leaf->uses[i], 0, __ATOMIC_RELAXED);
		__atomic_store_n(&leaf->number[i], ioasid_pasid_number(host), __ATOMIC_RELEASE);
		table->count++;
		if (table->events)
			pasid_events_add(table->events, guest);
	}
	pthread_mutex_unlock(&table->lock);
	return r;
}

int pasid_table_unbind(struct pasid_table *table, uint32_t guest, struct err *err)
{
	unsigned int i = guest & (LEAF_ENTRIES - 1);
	struct ioasid_pasid *host = NULL;
	struct leaf *leaf = NULL;

	pthread_mutex_lock(&table->lock);
	if (guest < PASID_TABLE_SIZE)
		leaf = leaf_of(table, guest, false);
	if (leaf && leaf->host[i]) {
		host = leaf->host[i];
		leaf->host[i] = NULL;
		__atomic_store_n(&leaf->number[i], 0, __ATOMIC_RELEASE);
		table->count--;
		if (table->events)
			pasid_events_add(table->events, guest);
	}
	pthread_mutex_unlock(&table->lock);
	/* Also where another thread unbound it: that one may still be waiting. */
	epoch_wait(table->epoch);
	if (!host)
		return err_set(err, ENOENT, "guest PASID %u is not bound", guest);
	forget_guest(host, guest);
	ioasid_pasid_release(host);
	return 0;
}

/* Leaves stay as long as the table. */
static struct leaf *leaf_there(const struct pasid_table *table, uint32_t guest)
{
	if (guest >= PASID_TABLE_SIZE)
		return NULL;
	return __atomic_load_n(&table->leaf[guest >> LEAF_BITS], __ATOMIC_ACQUIRE);
}

uint32_t pasid_table_lookup(const struct pasid_table *table, uint32_t guest)
{
	const struct leaf *leaf = leaf_there(table, guest);

	return leaf ? __atomic_load_n(&leaf->number[guest & (LEAF_ENTRIES - 1)], __ATOMIC_ACQUIRE)
		    : 0;
}

void pasid_table_used(struct pasid_table *table, uint32_t guest)
{
	struct leaf *leaf = leaf_there(table, guest);

	if (leaf)
		__atomic_fetch_add(&leaf->uses[guest & (LEAF_ENTRIES - 1)], 1, __ATOMIC_RELAXED);
}

uint64_t pasid_table_uses(const struct pasid_table *table, uint32_t guest)
{
	const struct leaf *leaf = leaf_there(table, guest);

	return leaf ? __atomic_load_n(&leaf->uses[guest & (LEAF_ENTRIES - 1)], __ATOMIC_RELAXED)
		    : 0;
}

void pasid_table_walk(struct pasid_table *table,
		      void (*fn)(void *arg, uint32_t guest, struct ioasid_pasid *host), void *arg)
{
	pthread_mutex_lock(&table->lock);
	for (uint32_t guest = 1; guest < PASID_TABLE_SIZE; guest++) {
		const struct leaf *leaf = table->leaf[guest >> LEAF_BITS];

		if (!leaf)
			guest |= LEAF_ENTRIES - 1;
		else if (leaf->host[guest & (LEAF_ENTRIES - 1)])
			fn(arg, guest, leaf->host[guest & (LEAF_ENTRIES - 1)]);
	}
	pthread_mutex_unlock(&table->lock);
}

unsigned int pasid_table_count(struct pasid_table *table)
{
	unsigned int count;

	pthread_mutex_lock(&table->lock);
	count = table->count;
	pthread_mutex_unlock(&table->lock);
	return count;
}

int pasid_table_watch(struct pasid_table *table, int *fd, struct err *err)
{
	int r = 0;

	pthread_mutex_lock(&table->lock);
	if (!table->events)
		r = pasid_events_new(&table->events, err);
	if (!r)
		*fd = pasid_events_fd(table->events);
	pthread_mutex_unlock(&table->lock);
	return r;
}

size_t pasid_table_events(struct pasid_table *table, struct pasid_event *events, size_t n,
			  uint64_t *lost)
{
	size_t got = 0;

	*lost = 0;
	pthread_mutex_lock(&table->lock);
	while (table->events && got < n && pasid_events_take(table->events, &events[got].guest)) {
		events[got].host = pasid_table_lookup(table, events[got].guest);
		got++;
	}
	if (table->events)
		*lost = pasid_events_lost(table->events);
	pthread_mutex_unlock(&table->lock);
	return got;
}
