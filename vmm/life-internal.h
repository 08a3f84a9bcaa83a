/* SPDX-License-Identifier: Apache-2.0 */
/* What the life's two files share: life.c has the states, life-plug.c what comes and goes in them.
 */
#ifndef ADIT_VMM_LIFE_INTERNAL_H
#define ADIT_VMM_LIFE_INTERNAL_H

#include <pthread.h>

#include "vmm/config.h"
#include "vmm/life.h"

struct errand;

struct life {
	struct life_options options;
	struct {
		life_finished_fn finished; /* NULL: nobody listens */
		void *arg;
	} listener;
	struct {
		life_event_fn event;
		void *arg;
	} watchers[LIFE_WATCHERS];
	unsigned int n_watchers;
	int status_fd;		 /* for who listens, who may not open it (vmm/sandbox/table.h) */
	unsigned int namespaces; /* of vmm/namespaces.h */
	struct idxd_spawner *spawner; /* NULL: none */
	bool confined;		      /* by the thread of life_run, in its filter */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under lock. */
	enum life_state state;
	struct config config;
	char *text;
	struct machine *machine;
	enum life_op op; /* being done, or done and not collected */
	bool op_done;
	int op_ret;
	struct err op_err;
	bool quit, soft; /* soft: no machine follows the one that runs */
	char *restore;	 /* where the next machine goes on from; NULL: it boots */
	int restore_fd;	 /* the same, open; -1: none */
	bool resume;	 /* and it runs at once */
	bool held;	 /* somebody stopped the VM by request: the end of a machine is no end */
	bool has_ended;
	enum machine_end last_end;
	uint64_t boots;
	struct errand *errands; /* in the order in which they were asked */
	uint64_t tickets;
};

/* -EBADF: it names a descriptor that is not open. */
int life_look_given(const struct config *config, struct err *err);
/* Closes what was handed over for it. */
void life_close_given(const struct config *config);

/* With the lock held. */
void life_tell(struct life *life, const char *event, const char *detail);
int life_refuse_state(const struct life *life, const char *due, struct err *err);
/* The machine has ended: what it was asked and has not done, it will not do. */
void life_end_errands(struct life *life, struct machine *machine);

/* On the thread of life_run: machine_options' errands. */
uint64_t life_serve_errands(void *arg, struct machine *machine);
void life_forget_errands(struct life *life);

#endif
