/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which host PASID a guest PASID stands for on one ADI: 2^20 entries, sparse, looked up without a
 * lock on the submission path (inside an epoch section) while others change it. An entry holds a
 * reference on its host PASID (ioasid_pasid_hold), so the number cannot be reused under it.
 */
#ifndef ADIT_IOASID_CLIENT_PASID_TABLE_H
#define ADIT_IOASID_CLIENT_PASID_TABLE_H

#include <stdint.h>

#include "util/epoch.h"
#include "util/err.h"

struct ioasid_pasid;
struct pasid_table;

#define PASID_TABLE_SIZE (1u << 20)

/* epoch: borrowed; lookups run under it. */
int pasid_table_create(struct pasid_table **out, struct epoch *epoch, struct err *err);
/* Unbinds all. Outside any section. */
void pasid_table_destroy(struct pasid_table *table);

/* -EINVAL: guest is 0 or past 20 bits. -EEXIST: bound already; the sentence names to what. */
int pasid_table_bind(struct pasid_table *table, uint32_t guest, struct ioasid_pasid *host,
		     struct err *err);
/*
 * Outside any section. When it returns no lookup that found the entry is still in its section, and
 * the entry's hold is released. -ENOENT.
 */
int pasid_table_unbind(struct pasid_table *table, uint32_t guest, struct err *err);

/* Inside a section: the host PASID's number, or 0. Numbers past 20 bits give 0. */
uint32_t pasid_table_lookup(const struct pasid_table *table, uint32_t guest);

/*
 * Any thread, which need not be in a section: something was admitted under it. How often that was
 * since it was bound; 0 for what is not.
 */
void pasid_table_used(struct pasid_table *table, uint32_t guest);
uint64_t pasid_table_uses(const struct pasid_table *table, uint32_t guest);

/* Calls fn for each entry in ascending order under the table's lock; fn must not change it. */
void pasid_table_walk(struct pasid_table *table,
		      void (*fn)(void *arg, uint32_t guest, struct ioasid_pasid *host), void *arg);
unsigned int pasid_table_count(struct pasid_table *table);

/* --- changes ------------------------------------------------------------------------------------
 *
 * Once it is watched, a table notes which guest PASIDs changed, each once however often it changes
 * before it is read: what is read is the binding at that time. At most PASID_EVENTS wait; those
 * that find no room are counted, and who lost some walks the table instead. One reader a table.
 */

#define PASID_EVENTS 1024u

struct pasid_event {
	uint32_t guest;
	uint32_t host; /* 0: unbound */
};

/* Watches from now on; *fd becomes readable when there are events and stays the table's. */
int pasid_table_watch(struct pasid_table *table, int *fd, struct err *err);
/*
 * Takes up to n events, in the order in which the guest PASIDs first changed; never waits. *lost:
 * how many changes were lost since the last call.
 */
size_t pasid_table_events(struct pasid_table *table, struct pasid_event *events, size_t n,
			  uint64_t *lost);

/*
 * The table as JSON: {"count": 1, "entries": [{"guest": 5, "host": 77, "state": "active", "device":
 * "dsa0", "space": "window", "descriptors": 12}]}, ascending; "device" and "space" only while the
 * host PASID is active. NULL: no memory. The caller's to put.
 */
struct json_object;
struct json_object *pasid_table_json(struct pasid_table *table);

#endif
