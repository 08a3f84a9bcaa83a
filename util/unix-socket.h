/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets at paths of the file system (unix(7)); one that a process left that died is taken over.
 */
#ifndef ADIT_UTIL_UNIX_SOCKET_H
#define ADIT_UTIL_UNIX_SOCKET_H

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

/* Bytes that a path has at most, without the 0 at its end. */
#define UNIX_SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/*
 * A stream socket with `mode`, less the process's umask; flags: 0 or SOCK_NONBLOCK. A socket at the
 * path that nobody serves is replaced; of several who listen there at once, one does. For the
 * moment of it there is a file PATH.lock beside it. Returns the descriptor, which the caller
 * closes; *made (NULL: not wanted) is what the path is then. -EADDRINUSE: somebody serves it or is
 * about to, or it is no socket; -ENAMETOOLONG: the path is empty or too long. Changes nothing where
 * it fails.
 */
int unix_socket_listen(const char *path, mode_t mode, int backlog, int flags, struct stat *made);
/*
 * Removes a socket that nobody serves, as listening there would: for who will not see processes
 * then, and for who outlives them. Whatever else is there stays, and is an error, as nothing is.
 */
int unix_socket_clear(const char *path);
/* A stream socket that is connected, the caller's; flags: 0 or SOCK_NONBLOCK. -errno, as above. */
int unix_socket_connect(const char *path, int flags);
/* Removes the path if it is still what was made. */
void unix_socket_remove(const char *path, const struct stat *made);

#endif
