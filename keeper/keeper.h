/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: the small privileged parent of one VM. It is started with the list of devices that
 * the VM's configuration names and with the command to run as its child; it takes, makes and opens
 * what is in that list when the child asks, and takes everything back when the child has ended,
 * however it ended. A child that lies or sends rubbish gets errors, and nothing outside the list.
 */
#ifndef ADIT_KEEPER_KEEPER_H
#define ADIT_KEEPER_KEEPER_H

#include "keeper/change.h"
#include "keeper/journal.h"
#include "keeper/protocol.h"
#include "keeper/socket.h"
#include "util/log.h"

enum keeper_kind {
	KEEPER_FUNCTION,
	KEEPER_MDEV,
	KEEPER_CDEV,
	KEEPER_NEW_MDEV,
};

struct keeper_device {
	enum keeper_kind kind;
	char name[HOST_NAME_CHARS + 1]; /* KEEPER_NEW_MDEV: the UUID that it gets */
	bool managed;			/* KEEPER_FUNCTION: may be taken from its host driver */
	char parent[HOST_TEXT], type[HOST_TEXT]; /* KEEPER_NEW_MDEV */
};

struct keeper_plan {
	struct host host;
	const char *run_dir;
	const char *iommu; /* node; NULL: the usual ones */
	struct keeper_device devices[KEEPER_MAX_DEVICES];
	unsigned int n;
	const char *sockets[KEEPER_MAX_SOCKETS]; /* paths that the child may leave behind */
	unsigned int n_sockets;
};

/* --- answering requests (answer.c) ----------------------------------------------------------- */

/* What was changed for a device, so that it is undone once and once only. */
struct keeper_state {
	bool taken[KEEPER_MAX_DEVICES];
	struct change_function before[KEEPER_MAX_DEVICES];
	struct journal *journal; /* may be NULL: nothing is written down */
};

/*
 * Answers one message of the child's, whatever bytes it is. *fd is a descriptor to send along and
 * then to close, or -1. TAKE and RELEASE may wait for the kernel for as long as the child holds a
 * device open; keeper_may_wait says so beforehand.
 */
void keeper_answer(const struct keeper_plan *plan, struct keeper_state *state, const void *message,
		   size_t size, struct keeper_reply *reply, int *fd);
bool keeper_may_wait(const void *message, size_t size);

/* Takes all back, the last first. Returns how many could not be, each said in the log. */
unsigned int keeper_undo(const struct keeper_plan *plan, struct keeper_state *state,
			 const struct log *log);

/* --- the process (run.c) --------------------------------------------------------------------- */

/*
 * Runs argv with "--keeper-fd=N" after its arguments, serves it, and returns its exit status; 1
 * where it was killed or never ran. Signals that ask to end are handed on. Before anything else,
 * what dead keepers left in the run directory is taken back.
 */
int keeper_run(const struct keeper_plan *plan, char *const *argv, const struct log *log);

#endif
