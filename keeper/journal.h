/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a keeper has changed, one line a step in a file of its own under the run directory, written
 * before the step is made. The keeper holds the file's lock for as long as it lives; a file without
 * a living keeper and child is what both left behind, and journal_clean takes it back.
 */
#ifndef ADIT_KEEPER_JOURNAL_H
#define ADIT_KEEPER_JOURNAL_H

#include <stdio.h>
#include <sys/types.h>

#include "keeper/change.h"
#include "keeper/socket.h"

#define JOURNAL_DIR "/run/adit"

struct journal {
	int fd;
	char path[SYSFS_PATH_MAX];
};

/* Makes the directory (0755) and a file with the caller's own name in it. */
int journal_open(struct journal *out, const char *dir, struct err *err);
/* Removes the file: for when nothing is left to take back. */
void journal_close(struct journal *journal);
/* Lets go of it and leaves it for journal_clean. */
void journal_leave(struct journal *journal);

int journal_child(struct journal *journal, pid_t child, struct err *err);
int journal_function(struct journal *journal, const struct change_function *before, bool taken,
		     struct err *err);
int journal_mdev(struct journal *journal, const struct change_mdev *mdev, bool made,
		 struct err *err);
int journal_socket(struct journal *journal, const struct keeper_socket *socket, struct err *err);

/*
 * Takes back what journals in `dir` name whose keeper and child are both gone, saying on `to` (may
 * be NULL) what was done and what could not be. *done and *failed count files. Files that others
 * than the caller's user could have written are not believed.
 */
int journal_clean(const struct host *host, const char *dir, FILE *to, unsigned int *done,
		  unsigned int *failed, struct err *err);

/* Files that journal_clean would look at, whether or not their keepers are alive. */
unsigned int journal_count(const char *dir, unsigned int *stale);

#endif
