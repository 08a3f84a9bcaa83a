/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole DSA function of software in this process, reached as its owner reaches a real one
 * (dsa-owner.h): the same virtual function that a guest gets, with a context of its own in place
 * of the IOMMU. For tenants who share one software engine, and for tests of what owns a function.
 */
#ifndef ADIT_PASSTHROUGH_ADI_DSA_LOCAL_H
#define ADIT_PASSTHROUGH_ADI_DSA_LOCAL_H

#include "passthrough/adi/dsa-owner.h"

struct dsa_local;

struct dsa_local_options {
	const char *name;	      /* copied */
	unsigned int queues, engines; /* 1 to DSA_MAX_WQS; 1 to DSA_MAX_ENGINES */
	const struct log *log;
	const struct sandbox *sandbox; /* for its engines; NULL: none */
};

int dsa_local_create(struct dsa_local **out, const struct dsa_local_options *options,
		     struct err *err);
/* Its owner is gone. */
void dsa_local_destroy(struct dsa_local *local);

const struct dsa_access *dsa_local_access(const struct dsa_local *local);
/* Where its spaces are made. */
struct ioasid_ctx *dsa_local_ctx(const struct dsa_local *local);
struct dsa *dsa_local_dsa(const struct dsa_local *local);

#endif
