/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ADIT_VMM_CTL_TOP_H
#define ADIT_VMM_CTL_TOP_H

/*
 * adit ctl SOCKET top: what the VM does, once a second, until it is gone or COUNT tables were
 * shown. argv[0] is "top". Returns the process's exit status.
 */
int ctl_top(const char *socket, int argc, char **argv);

#endif
