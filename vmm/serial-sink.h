/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the guest's console goes: the terminal, a file, a pseudo-terminal, a UNIX socket, or
 * nowhere. Everything happens on the loop's thread, and nothing here waits for a peer.
 *
 * At a terminal, Ctrl-A x ends the VM (the terminal is raw, so Ctrl-C goes to the guest), and
 * Ctrl-A Ctrl-A sends one Ctrl-A; before any other key Ctrl-A is swallowed. Stdin and stdout keep
 * their flags, which they share with the shell; so a terminal is opened anew, without blocking.
 *
 * A pseudo-terminal that nobody has open and a socket without a client lose what is written. A
 * write that fails loses its bytes and is logged once, until one succeeds again. The caller
 * ignores SIGPIPE.
 */
#ifndef ADIT_VMM_SERIAL_SINK_H
#define ADIT_VMM_SERIAL_SINK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/err.h"
#include "util/log.h"
#include "util/loop.h"
#include "vmm/config.h"

struct serial_sink;

/*
 * path: as in struct config; SERIAL_TTY is standard input and output. A socket's path is taken
 * over where nobody listens on it (-EADDRINUSE else), a pty's link where it is a symbolic link
 * (-EEXIST else). Files are created with mode 0600 and appended to. log is borrowed, may be NULL.
 */
int serial_sink_open(struct serial_sink **out, enum config_serial mode, const char *path,
		     struct loop *loop, const struct log *log, struct err *err);
/* SERIAL_TTY on other descriptors, borrowed; -1: none. */
int serial_sink_open_streams(struct serial_sink **out, int in_fd, int out_fd, struct loop *loop,
			     const struct log *log, struct err *err);
/* What Ctrl-A x does; nothing at first. */
void serial_sink_on_quit(struct serial_sink *sink, void (*quit)(void *arg), void *arg);
/* Restores the terminal and removes the socket or the link, if it is still ours. NULL: nothing. */
void serial_sink_close(struct serial_sink *sink);

/* Gives the terminal its settings back. Async-signal-safe and repeatable: for fatal handlers. */
void serial_sink_restore(struct serial_sink *sink);

/* What a person connects to: "/dev/pts/3", the path of the socket or file; NULL for others. */
const char *serial_sink_name(const struct serial_sink *sink);

/* What the UART does for the sink. */
struct serial_sink_ops {
	/* Bytes that input() takes now. 0: input stops until serial_sink_resume. */
	size_t (*room)(void *arg);
	void (*input)(void *arg, const uint8_t *data, size_t len);
	/* After serial_sink_write returned 0: it may take something again. */
	void (*writable)(void *arg);
};

/* ops NULL: unbound, as in the beginning; nothing is called or read. */
void serial_sink_bind(struct serial_sink *sink, const struct serial_sink_ops *ops, void *arg);

/* Bytes written or lost, at least 1 of `len`; 0: it would block, writable() will be called. */
size_t serial_sink_write(struct serial_sink *sink, const void *data, size_t len);
/* There is room for input again. */
void serial_sink_resume(struct serial_sink *sink);
/* Waits up to timeout_ms until a write may succeed; for the last words of a VM only. */
void serial_sink_wait(struct serial_sink *sink, int timeout_ms);

#endif
