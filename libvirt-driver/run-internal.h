/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to run.c, run-change.c and run-save.c: one domain's process (run.c), what it was asked
 * and has not answered yet, and what holds once it has (run-change.c, run-save.c).
 */
#ifndef ADIT_LIBVIRT_DRIVER_RUN_INTERNAL_H
#define ADIT_LIBVIRT_DRIVER_RUN_INTERNAL_H

#include "libvirt-driver/run-device.h"
#include "libvirt-driver/run-given.h"
#include "libvirt-driver/run.h"

#define WAITERS	     16u /* clients that wait for one domain's end */
#define QUESTIONS    16u /* requests under way to one domain */
#define DETAIL_BYTES 256u

/* What holds once adit has done what it was asked. */
struct change {
	enum {
		CHANGE_ATTACH,
		CHANGE_DETACH,
		CHANGE_MEMORY,
	} kind;
	bool connected; /* taps were made for it */
	bool iommu;	/* a node for I/O address spaces goes with it */
	char id[DEVICE_ID];
	char taken[HOST_NAME_CHARS + 1]; /* a function, for it; "": none */
	struct definition *live, *kept;
	const struct definition *kept_from; /* what the new one was made of */
};

/* A change that waits until a host driver has let go. */
struct taking {
	struct change *change; /* NULL: there is none */
	struct ticket ticket;
	struct device_request request;
};

struct question {
	struct run *run;
	struct api *api; /* NULL: free */
	struct ticket ticket;
	bool destroys;
	bool saves;	       /* a step of run->saving */
	struct change *change; /* NULL: it is about no device */
};

struct saving;

struct run {
	struct domain *domain;
	pid_t pid;
	int pidfd; /* -1: none yet */
	bool child;
	bool seen;	/* its state is known */
	bool destroyed; /* a client asked for the end */
	bool saved;	/* and this is why */
	bool unsaved;	/* it could not be saved, and goes on */
	bool restores;	/* it goes on from a file */
	bool managed;	/* the one that the daemon keeps */
	bool held;	/* it waits there as it was saved */
	int32_t before; /* the reason of its last end */
	bool cycles;	/* it starts again when the guest has switched itself off */
	char ended[16]; /* the last "ended" event's detail */
	char failed[DETAIL_BYTES];
	struct loop_watch *watch;
	struct loop_timer *timer; /* to connect; then to kill */
	struct api *events;
	struct api *info; /* what its machine has, asked when it was found again */
	bool with_domain;
	struct ticket starter;
	struct ticket waiters[WAITERS];
	struct question questions[QUESTIONS];
	struct taking taking;
	struct saving *saving; /* NULL: it is not being saved */
};

static inline struct daemon *daemon_of(const struct run *run)
{
	return run->domain->daemon;
}

static inline const char *name_of(const struct run *run)
{
	return domain_definition(run->domain)->name;
}

/* --- run.c ----------------------------------------------------------------------------------- */

/* What the domain is from now on, also for the next daemon. */
void run_set_live(struct domain *domain, struct definition *live);
/* A start; saved: the file that it goes on from, or NULL. As run_start. */
int run_begin(struct domain *domain, const struct saved *saved, const struct ticket *ticket,
	      unsigned int how, struct refusal *refusal);
/* It does not start: CALL_REFUSED. */
int run_give_up(struct domain *domain, struct refusal *refusal);
/* NULL: refused. */
struct question *run_ask_with(struct run *run, const char *verb, const char *body,
			      const struct given *given, struct refusal *refusal);
/* Asks the process to end, and ends it where it does not; what follows is as for any other end. */
void run_end(struct run *run);
/*
 * The process has ended: host drivers get their functions back, and then everybody is told that it
 * is over. The run is gone at some time after it.
 */
void run_wind_up(struct run *run);

/* --- run-change.c ---------------------------------------------------------------------------- */

/* One that was not carried out leaves no tap, and no function without its driver. */
void change_free(struct change *change, const struct domain *domain);
/* adit has done it: what is known of the domain follows. False: its definition could not. */
bool change_commit(struct question *question, struct refusal *refusal);
/* The guest has let go of a device, asked or not. */
void change_removed(struct run *run, const char *id);
/* Something that was asked for is under way. */
bool run_is_changing(const struct run *run);

/* --- run-save.c ------------------------------------------------------------------------------ */

/* adit has done what it was asked for it, or has not: failure. */
void run_save_step(struct run *run, const struct refusal *failure);
/* The process has ended; refusal: what is told where that was not because it is saved. */
void run_save_over(struct run *run, const struct refusal *refusal);
/* A file that is not whole is removed. NULL is allowed. */
void saving_free(struct saving *saving);

#endif
