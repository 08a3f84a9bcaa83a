/* SPDX-License-Identifier: Apache-2.0 */
/* Private to run*.c: the run directory, and the process that is started from it. */
#ifndef ADIT_LIBVIRT_DRIVER_RUN_FILES_H
#define ADIT_LIBVIRT_DRIVER_RUN_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "libvirt-driver/definition.h"
#include "libvirt-driver/run-given.h"
#include "libvirt-driver/run.h"

#define RUN_PATH 108u /* sun_path of a UNIX socket is the shortest of all */

/* RUN/UUID/NAME; -ENAMETOOLONG. */
int run_path(const struct daemon *daemon, const uint8_t uuid[XDR_UUID], const char *name,
	     char path[RUN_PATH]);
/* The domain's directory, made where asked; -errno. */
int run_open(const struct daemon *daemon, const uint8_t uuid[XDR_UUID], bool make);
/*
 * Makes RUN/UUID with all that a start of domain->live needs; *given is what goes to the process,
 * and is closed by the caller, also after a refusal.
 */
int run_prepare(const struct domain *domain, struct given *given, struct refusal *refusal);
/* As whom the process of a domain that runs was started. */
uint32_t run_owner(const struct daemon *daemon, const uint8_t uuid[XDR_UUID]);
/*
 * Whether a process that runs as another user has a node for I/O address spaces, or somebody who
 * opens one for it; and that it was given one since it started.
 */
bool run_has_iommu(const struct domain *domain);
int run_had_iommu(const struct domain *domain);
/* What the next daemon has to know of it, in a file each: set, whether it is, and not any more. */
#define RUN_AUTODESTROYED "autodestroy" /* it ends with its owner */
#define RUN_SAVED	  "saved"	/* the daemon keeps where it stood, and it is to end */
int run_mark(const struct domain *domain, const char *mark, struct refusal *refusal);
bool run_is_marked(const struct domain *domain, const char *mark);
void run_unmark(const struct domain *domain, const char *mark);
/* Its live.xml, written anew where it changed while it runs. */
int run_keep_live(struct daemon *daemon, const struct definition *live, int32_t id);
/*
 * The process, or -1: its input is empty, its output goes to the log, and it has what is given.
 * how: of enum run_how.
 */
pid_t run_spawn(const struct domain *domain, const struct given *given, unsigned int how,
		struct refusal *refusal);
/* The last line of its log into err. -errno where there is none. */
int run_last_words(struct daemon *daemon, const uint8_t uuid[XDR_UUID], struct err *err);
/* Removes what a run has left but its log. */
void run_clean(struct daemon *daemon, const uint8_t uuid[XDR_UUID]);
/* NULL where it is not there or cannot be read, which is logged. */
struct definition *run_read_live(struct daemon *daemon, const uint8_t uuid[XDR_UUID]);
/* fn for each RUN/UUID. */
int run_each(struct daemon *daemon, void (*fn)(struct daemon *, const uint8_t uuid[XDR_UUID]),
	     struct err *err);
/* True once in the life of the run directory, which a reboot of the host empties. */
bool run_first_time(struct daemon *daemon);
void run_process_times(pid_t pid, struct run_times *times);

#endif
