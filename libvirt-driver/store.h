/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept of domains, in files whose names are made of a UUID and nothing that a client chose:
 *
 *   STATE/UUID.xml        the definition
 *   STATE/UUID.autostart  there: started with the host
 *   STATE/UUID.once       there: started with the host the next time
 *   STATE/UUID.save       where it goes on at its next start (saved.h)
 *
 * Links are never followed. A definition is there whole or not at all.
 */
#ifndef ADIT_LIBVIRT_DRIVER_STORE_H
#define ADIT_LIBVIRT_DRIVER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libvirt-driver/call.h"
#include "libvirt-driver/definition.h"
#include "libvirt-driver/saved.h"

/* Makes the directory (0700) where it is missing. */
int store_open_dir(const char *path, struct err *err);
/* A file of at most max bytes, whole, with a NUL behind it; the caller frees. NULL and errno. */
char *store_read(int dir, const char *name, size_t max, size_t *len);
/* All of it. 0 or -errno. */
int store_write_all(int fd, const char *bytes, size_t len);
/* Atomically, and on stable storage where `sync`. 0 or -errno. */
int store_write(int dir, const char *name, const char *text, bool sync);

int store_save(struct daemon *daemon, const struct definition *definition, struct refusal *refusal);
int store_remove(struct daemon *daemon, const uint8_t uuid[XDR_UUID], struct refusal *refusal);
/* The marks that start a domain with the host; `once` says which. */
int store_autostart(struct daemon *daemon, const uint8_t uuid[XDR_UUID], bool once, bool on,
		    struct refusal *refusal);
/*
 * The state that a domain goes on from. Whether it has one; one that is to be made; the one that
 * is there; and none any more.
 */
bool store_has_saved(struct daemon *daemon, const uint8_t uuid[XDR_UUID]);
int store_begin_saved(struct daemon *daemon, const uint8_t uuid[XDR_UUID],
		      struct saved_target *target, struct refusal *refusal);
/* change: saved_change may follow. */
int store_open_saved(struct daemon *daemon, const uint8_t uuid[XDR_UUID], struct saved *saved,
		     bool change, struct refusal *refusal);
int store_remove_saved(struct daemon *daemon, const uint8_t uuid[XDR_UUID],
		       struct refusal *refusal);
/* All of them into the daemon's list. What cannot be read is logged, and left where it is. */
int store_load(struct daemon *daemon, struct err *err);

#endif
