/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A root directory in which a VM finds the files that its configuration names, at the paths by
 * which it names them, and nothing else (vmm/paths.h): what it only reads cannot be written.
 */
#ifndef ADIT_VMM_NEW_ROOT_H
#define ADIT_VMM_NEW_ROOT_H

#include <stdbool.h>

#include "util/err.h"

struct namespaces_options;

/* In a mount namespace of its own. own_proc: /proc is made anew, for the new process namespace. */
int new_root_enter(const struct namespaces_options *options, bool own_proc, struct err *err);

#endif
