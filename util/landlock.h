/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Landlock domain (Linux 5.13): from when it is entered on, this thread and those it starts reach
 * the files that were allowed and no others, whatever their user may; TCP and abstract sockets
 * and signals to processes outside are refused too where the kernel can. There is no way out of
 * it, and a descriptor that is open stays so.
 */
#ifndef ADIT_UTIL_LANDLOCK_H
#define ADIT_UTIL_LANDLOCK_H

#include <stdint.h>

#include "util/err.h"

enum landlock_what {
	LANDLOCK_READ = 1,   /* files, and lists of folders */
	LANDLOCK_WRITE = 2,  /* files that are there */
	LANDLOCK_SOCKET = 4, /* sockets are made in the folder, and anything in it removed */
	LANDLOCK_LINK = 8,   /* the same of symbolic links */
	LANDLOCK_MAKE = 16,  /* the same of files */
};

struct landlock {
	int fd; /* of the rules; -1: none */
	uint64_t handled;
};

/* What the kernel has: 1 and up; 0: none, and *err says the mend. err may be NULL. */
unsigned int landlock_abi(struct err *err);

/* -EOPNOTSUPP with the mend where there is none. Ends with landlock_enter or landlock_drop. */
int landlock_begin(struct landlock *landlock, struct err *err);
/* what: of enum landlock_what. A path that is not there is passed over. */
int landlock_allow(struct landlock *landlock, const char *path, unsigned int what, struct err *err);
/* The thread gains no privileges by programs any more, either. */
int landlock_enter(struct landlock *landlock, struct err *err);
void landlock_drop(struct landlock *landlock);

#endif
