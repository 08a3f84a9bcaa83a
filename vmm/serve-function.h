/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole DSA function that a server owns, whose queues do the work of all ADIs that it serves:
 * what it is comes from /function of the configuration.
 */
#ifndef ADIT_VMM_SERVE_FUNCTION_H
#define ADIT_VMM_SERVE_FUNCTION_H

#include <stdint.h>

#include "util/err.h"
#include "util/log.h"

struct dsa_owner;
struct ioasid_ctx;
struct sandbox;
struct serve_config;
struct serve_function;

/* *out is NULL where the configuration has none. sandbox: for its threads; NULL: none. */
int serve_function_create(struct serve_function **out, const struct serve_config *config,
			  const struct log *log, const struct sandbox *sandbox, struct err *err);
/* Its tenants are gone. */
void serve_function_destroy(struct serve_function *function);

struct dsa_owner *serve_function_owner(const struct serve_function *function);
/* Of its IOMMU: spaces that its queues' PASIDs reach are made there. */
struct ioasid_ctx *serve_function_ctx(const struct serve_function *function);
/* The last address at which a client's memory can appear to it. */
uint64_t serve_function_last(const struct serve_function *function);

#endif
