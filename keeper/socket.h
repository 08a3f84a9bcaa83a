/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets that a VM listens on. It removes them itself; one that was killed cannot, so its keeper
 * does, and where that was killed as well, whoever cleans its journal. What somebody serves stays.
 */
#ifndef ADIT_KEEPER_SOCKET_H
#define ADIT_KEEPER_SOCKET_H

#include <stdbool.h>

#define KEEPER_SOCKET_ROOM 480 /* a line of a journal holds it */
#define KEEPER_MAX_SOCKETS 32u /* a VM has at most 19: its API, vsock, serial port, 16 consoles */

struct keeper_socket {
	int folder; /* the caller's, to be closed; -1 where the following calls failed */
	char path[KEEPER_SOCKET_ROOM]; /* without symbolic links up to its last part */
	const char *name;	       /* its last part */
};

/*
 * Finds the folder of `path`, which the path's later meaning does not change: the child may be able
 * to write there. The socket need not be there. -EINVAL: a name that no journal can hold.
 */
int keeper_socket_find(struct keeper_socket *out, const char *path);
/* From a path that keeper_socket_find made: a symbolic link on the way is refused (-ELOOP). */
int keeper_socket_again(struct keeper_socket *out, const char *path);
/* Whether there was one that nobody serves, which is gone now. */
bool keeper_socket_clear(const struct keeper_socket *socket);

#endif
