/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running domains: one `adit run` process each, which is no part of the daemon's life. What is
 * needed to find it again is in RUN/UUID/:
 *
 *   live.xml     the domain as it was started, with its id
 *   config.json  what adit was given
 *   taken.json   what was taken from host drivers since
 *   iommu        there where it was given a node for I/O address spaces since
 *   autodestroy  there where it ends with the session that started it
 *   saved        there where the daemon keeps where it stood, and it is to end
 *   log          what adit said
 *   vm/api       its API socket: who answers there is the domain, if it is the directory's owner
 *   vm/          and what else it listens on or leads to; it is the process's
 */
#ifndef ADIT_LIBVIRT_DRIVER_RUN_H
#define ADIT_LIBVIRT_DRIVER_RUN_H

#include <stdint.h>

#include "libvirt-driver/api.h"
#include "libvirt-driver/call.h"
#include "libvirt-driver/domain.h"
#include "libvirt-driver/saved.h"

enum run_how {
	RUN_WITH_DOMAIN = 1, /* the ticket is answered with the domain */
	RUN_PAUSED = 2,	     /* nothing of the guest runs until it is resumed */
	RUN_RUNNING = 4,     /* also where it was saved paused */
	RUN_AUTODESTROY = 8, /* it ends with the session of the ticket */
};
/*
 * Starts what live defines; how: of enum run_how. CALL_LATER: the ticket is answered once it runs
 * (or does not). A ticket of no session, and NULL, is nobody's.
 */
int run_start(struct domain *domain, const struct ticket *ticket, unsigned int how,
	      struct refusal *refusal);

/*
 * The same from a file that is saved, which is closed in any case: the domain waits where it was
 * paused then, or how says so, and runs elsewhere or with RUN_RUNNING. managed: the file is the one
 * that the daemon keeps, and is removed once it runs.
 */
int run_restore(struct domain *domain, struct saved *saved, bool managed,
		const struct ticket *ticket, unsigned int how, struct refusal *refusal);
/* From the saved state of the domain where it has one, else as run_start. */
int run_start_or_restore(struct domain *domain, const struct ticket *ticket, unsigned int how,
			 struct refusal *refusal);

enum run_verb {
	RUN_POWER_BUTTON,
	RUN_POWER_CYCLE, /* the power button, and a start when the guest has switched itself off */
	RUN_REBOOT,
	RUN_PAUSE,
	RUN_RESUME,
};
int run_refuse_inactive(const struct domain *domain, struct refusal *refusal);
/* Asks the process; CALL_LATER: the ticket is answered with what it says. */
int run_ask(struct domain *domain, enum run_verb verb, const struct ticket *ticket,
	    struct refusal *refusal);
/* Ends it, with force where it does not end by itself; the ticket is answered when it has. */
int run_destroy(struct domain *domain, const struct ticket *ticket, struct refusal *refusal);

/*
 * Saves it to that file, which is taken over in any case, and ends it; the ticket is answered then,
 * or, where it could not be saved, once it goes on.
 */
struct run_save_how {
	bool running, paused; /* how it goes on; neither: as it is now */
	bool managed;	      /* the file is the one that the daemon keeps */
	const char *xml;      /* as what; NULL: as what it runs */
};
int run_save(struct domain *domain, struct saved_target *target, const struct run_save_how *how,
	     const struct ticket *ticket, struct refusal *refusal);

/*
 * A device comes or goes while the domain runs. live is the domain with it (or without it); kept is
 * the definition where that shall change as well, or NULL. Both are taken over in any case.
 * CALL_LATER: the ticket is answered when the device has come, or the guest was asked to let go.
 */
int run_change_device(struct domain *domain, bool attach, struct definition *live,
		      struct definition *kept, const struct ticket *ticket,
		      struct refusal *refusal);
/*
 * The running domain asks its guest, by the balloon, to have so much memory and no more. live is
 * the domain with that; kept as above, and both are taken over.
 */
int run_change_memory(struct domain *domain, struct definition *live, struct definition *kept,
		      const struct ticket *ticket, struct refusal *refusal);
/* What a running domain says of itself changes, and nothing of its machine. Takes live over. */
int run_change_words(struct domain *domain, struct definition *live, struct refusal *refusal);

/* What the process has used; 0 where it is not known, or there is none. */
struct run_times {
	uint64_t user_ns, system_ns, resident_kib;
};
void run_times(const struct domain *domain, struct run_times *times);
/* Asks its API for something that changes nothing. domain: NULL is allowed, as no process is. */
int run_get(const struct domain *domain, const char *verb, const struct api_handler *handler,
	    struct api **out);

/* All that run already, from the run directory. */
int run_find_all(struct daemon *daemon, struct err *err);
/* Ends what was started with RUN_AUTODESTROY by that session, which is over. */
void run_autodestroy(struct daemon *daemon, uint64_t session);
/* Starts what is marked for it; once in the life of the run directory. */
void run_autostart(struct daemon *daemon);

/* Lets go of the process without ending it. NULL is allowed. */
void run_free(struct run *run);

#endif
