/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a VM through adit-keeper: the configuration's devices become its list, and adit itself,
 * with the arguments that it has, the command that it runs.
 */
#ifndef ADIT_VMM_START_KEEPER_H
#define ADIT_VMM_START_KEEPER_H

#include <stdbool.h>

#include "util/err.h"

struct config;

/* A device has to be taken from its host driver, or made. */
bool keeper_is_needed(const struct config *config);

/*
 * Becomes adit-keeper, which starts this program again with argv (from "run" on) and a descriptor
 * for it. Returns only where that fails. run_dir and api_socket may be NULL.
 */
int keeper_exec(const struct config *config, const char *run_dir, const char *api_socket,
		char **argv, struct err *err);

#endif
