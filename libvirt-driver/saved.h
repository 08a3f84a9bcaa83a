/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a domain that was saved: a snapshot of adit (docs/snapshot.md), which is not looked
 * into here, and behind it the domain's XML and a trailer that says so:
 *
 *   ... | XML | "ADITSAVE", u32 version, u32 flags, u32 length of the XML, u32 its CRC-32 |
 *
 * Numbers are little-endian. A file that is read is hostile: whoever wrote it may be anybody.
 */
#ifndef ADIT_LIBVIRT_DRIVER_SAVED_H
#define ADIT_LIBVIRT_DRIVER_SAVED_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "libvirt-driver/call.h"
#include "libvirt-driver/definition.h"

/* --- one that is there ----------------------------------------------------------------------- */

struct saved {
	int fd;	     /* of the file, for the process that goes on from it; -1: closed */
	bool paused; /* as the domain was */
	char *xml;
	size_t len;
};

/* Takes fd over in any case. name: for sentences. */
int saved_read(struct saved *saved, int fd, const char *name, struct refusal *refusal);
/* A path that a client gave; change: saved_change may follow. */
int saved_open(struct saved *saved, const char *path, bool change, struct refusal *refusal);
/*
 * Other XML and another way to go on, from now on: behind what is there, which a process may be
 * running from. It is on stable storage when this returns; a failure leaves the file as it was.
 */
int saved_change(struct saved *saved, const char *xml, bool paused, const char *name,
		 struct refusal *refusal);
void saved_close(struct saved *saved);

/* --- one that is made ------------------------------------------------------------------------ */

/*
 * It has its name when it is whole: what has that name stays until then, also for domains that run
 * from it.
 */
struct saved_target {
	int dir, fd; /* fd: empty, for the snapshot; -1: there is no target */
	char name[NAME_MAX + 1], fresh[NAME_MAX + 1];
};

/* The directory is taken over in any case. uuid: of the domain, which is saved once at a time. */
int saved_begin_at(struct saved_target *target, int dir, const char *name,
		   const uint8_t uuid[XDR_UUID], struct refusal *refusal);
int saved_begin(struct saved_target *target, const char *path, const uint8_t uuid[XDR_UUID],
		struct refusal *refusal);
/* After the snapshot: the rest, onto stable storage, and the name. The target is gone then. */
int saved_finish(struct saved_target *target, const char *xml, bool paused,
		 struct refusal *refusal);
/* Nothing is left of it. Also where there is none. */
void saved_drop(struct saved_target *target);

/* Refused, by its path, where the domain has what no snapshot carries or can be mapped from. */
int saved_check(const struct definition *definition, struct refusal *refusal);

#endif
