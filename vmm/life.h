/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of the VM that a process serves, from its configuration over any number of machines to
 * its end. One thread runs it (life_run: machines are made, run and destroyed there alone); others
 * ask: the API's, or who handles signals. Every machine that is seen from outside is seen under the
 * life's lock, so that it cannot go away meanwhile.
 */
#ifndef ADIT_VMM_LIFE_H
#define ADIT_VMM_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/log.h"
#include "vmm/config-edit.h"
#include "vmm/machine.h"

struct idxd_spawner;
struct life;

enum life_state {
	LIFE_EMPTY,    /* no VM */
	LIFE_CREATED,  /* it has a configuration and was never started */
	LIFE_STARTING, /* its machine is being made */
	LIFE_RUNNING,
	LIFE_PAUSED,
	LIFE_SHUTDOWN, /* its last machine has ended; it can be started again */
};

/* What takes time and is done by life_run; one at a time. */
enum life_op {
	LIFE_NOTHING,
	LIFE_BOOT,
	LIFE_REBOOT, /* a new machine at once, whatever the guest does; paused where the last was */
	LIFE_STOP,
	LIFE_DELETE, /* stopped, and its configuration is forgotten */
};

struct life_options {
	const struct log *log;	       /* borrowed */
	int keeper;		       /* the keeper that started us; 0: none */
	bool no_reboot;		       /* a reset by the guest ends the machine */
	const struct sandbox *sandbox; /* which life_run enters before a guest runs; NULL: none */
	bool stay;		       /* the end of a machine is not the end of life_run */
	const char *restore; /* a snapshot, which the first machine goes on from; NULL: none */
	int restore_fd;	     /* one that is open: the life's from here on; 0: none */
	bool paused;	     /* the first machine waits for life_resume: nothing has run by then */
	/*
	 * On the thread of life_run, around each machine's run: what its loop shall watch beside.
	 * May be NULL. A failure of `begun` is one of the machine.
	 */
	int (*begun)(void *arg, struct machine *machine, struct err *err);
	void (*ended)(void *arg);
	void *arg;
};

/*
 * Told from any thread, with no lock held that the callee could need: both must only note it.
 * finished: an operation is over, or errands: life_collect and life_collect_errand have results.
 * event: a word; detail: a sentence, or NULL.
 */
typedef void (*life_finished_fn)(void *arg);
typedef void (*life_event_fn)(void *arg, const char *event, const char *detail);

int life_create(struct life **out, const struct life_options *options, struct err *err);
void life_destroy(struct life *life);
/*
 * Before life_run and before other threads; arg is borrowed. Who calls life_look, life_add or
 * life_remove while a machine runs is a listener's; a listener's thread is not that of the
 * machine's loop, which the life may wait for with its lock held.
 */
void life_listen(struct life *life, life_finished_fn finished, void *arg);
/* Who is told of events: before life_run and before other threads; LIFE_WATCHERS at most. */
#define LIFE_WATCHERS 2u
void life_watch(struct life *life, life_event_fn event, void *arg);

/*
 * Gives it its configuration. -EEXIST: it has one. -EINVAL: the text is none, or asks for what is
 * there from the start only (descriptors, the keeper). A failure has changed nothing.
 */
int life_define(struct life *life, const char *text, size_t len, struct err *err);
/* From a file; kept: the text is kept for who looks. -EINVAL, -E2BIG or what reading gave. */
int life_load(struct life *life, const char *path, bool kept, struct err *err);
/* After life_load, before life_run. */
const struct config *life_config(const struct life *life);
/* Which namespaces the process has of its own (vmm/namespaces.h); before life_run. */
void life_in_namespaces(struct life *life, unsigned int which);
/* Who starts the helpers of host work queues for its machines; borrowed, before life_run. */
void life_has_spawner(struct life *life, struct idxd_spawner *spawner);

/*
 * Serves operations until life_quit. boot: begins with a machine, and without `stay` returns when
 * that has ended, unless an operation has stopped or deleted the VM by then. The last machine's end
 * is in *end, which is MACHINE_OFF where there was none. On failure to make it: -errno, logged.
 */
int life_run(struct life *life, bool boot, enum machine_end *end);

/* From here on any thread. Sentences say what would have to be otherwise. */

/* 0: it is under way. -EBUSY: another is. -ENOENT: no VM. -EPERM: not in this state. */
int life_begin(struct life *life, enum life_op op, struct err *err);
/* True: the operation is over, with *ret and *err; the next may begin. */
bool life_collect(struct life *life, int *ret, struct err *err);

/*
 * As LIFE_BOOT, from a snapshot instead of the payload: the machine is paused until life_resume, or
 * goes on at once. The next one boots.
 */
int life_restore(struct life *life, const char *path, bool resume, struct err *err);
/*
 * The machine, which must be paused, into a file that is made, or the empty one that fd is where
 * that is not -1 (then it is taken over, and path is its name in sentences): life_collect_errand
 * has the answer. -EBUSY: too much is asked already; else as life_pause.
 */
int life_snapshot(struct life *life, const char *path, int fd, uint64_t *ticket, struct err *err);

/* -ENOENT, -EPERM as above. */
int life_pause(struct life *life, struct err *err);
int life_resume(struct life *life, struct err *err);
int life_power_button(struct life *life, struct err *err);

/* What shall come: an entry of a list of the configuration (vmm/config-edit.h). */
struct life_addition {
	enum config_list list;
	const char *entry; /* JSON */
	size_t len;
	/* What came with it; ours from here on. What they are is read from them. */
	const int *fds;
	unsigned int n_fds;
};
#define LIFE_FDS 2u /* that one entry can take */
/*
 * Where a machine runs, it gets the device and *ticket is not 0: life_collect_errand has the
 * answer; elsewhere the entry is written down only. As life_begin, and what config_edit_add
 * returns.
 */
int life_add(struct life *life, const struct life_addition *addition, uint64_t *ticket,
	     struct err *err);
struct life_removal {
	const char *id;
	uint32_t timeout_ms; /* that the guest has; 0: nobody waits for it */
	bool force;	     /* afterwards, or at once, it is taken away */
};
/*
 * An entry less. With neither of the two, and a machine that runs, the guest has been asked when
 * this returns, and *ticket is 0: an event tells when it has let go.
 */
int life_remove(struct life *life, const struct life_removal *removal, uint64_t *ticket,
		struct err *err);
struct life_done {
	uint64_t ticket;
	int ret;
	struct err err;
	bool met;	   /* ret is what the host or the guest answered, not the request's fault */
	unsigned int slot; /* of what was added; 0: it was a removal */
	char id[CONFIG_ID_MAX + 1];
};
/* One that is over; false: none is. */
bool life_collect_errand(struct life *life, struct life_done *done);

/*
 * The guest is asked to power off, and the life ends with its machine. False: there is no machine,
 * so that it ends at once.
 */
bool life_end_softly(struct life *life);
void life_quit(struct life *life);
/* How long a guest may take after its power button, in milliseconds. */
uint32_t life_grace_ms(struct life *life);

/*
 * So much of the memory that can be plugged is wanted (vmm/virtio/mem.h), in bytes, also after a
 * reboot. -ENOENT, -EPERM as above, or there is none; else as mem_resize.
 */
int life_resize_memory(struct life *life, uint64_t wanted, struct err *err);

/*
 * The binding of a guest PASID of that ADI, out of the configuration and of the machine that runs;
 * what runs under it has ended by then. As life_remove. -ENOENT: the configuration has none.
 */
int life_remove_pasid(struct life *life, const char *adi, uint32_t guest, uint64_t *ticket,
		      struct err *err);

struct life_view {
	enum life_state state;
	const char *text; /* the configuration as it was given; NULL: none, or not kept */
	const struct config *config; /* NULL: none */
	struct machine *machine;     /* NULL: none that runs */
	bool has_ended;		     /* there was a machine before */
	enum machine_end last_end;
	uint64_t boots;
	const struct sandbox *sandbox; /* NULL: none */
	unsigned int namespaces;       /* of its own, of vmm/namespaces.h */
	int status_fd;		       /* /proc/self/status; -1: not there */
};
/* Calls fn with what is; it must not call back here. Returns what fn returned. */
int life_look(struct life *life, int (*fn)(void *arg, const struct life_view *view), void *arg);

const char *life_state_name(enum life_state state);
const char *machine_end_name(enum machine_end end);

#endif
