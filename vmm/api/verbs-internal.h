/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of verbs share: verbs.c has the table and most of them, others have a subject. */
#ifndef ADIT_VMM_API_VERBS_INTERNAL_H
#define ADIT_VMM_API_VERBS_INTERNAL_H

#include "vmm/api/verbs.h"

struct life;
struct life_view;
struct schema;

struct call {
	struct life *life;
	struct request *request;
	struct reply *reply;
};

/* -EINVAL, -ERANGE with a sentence; what was read is to be freed in any case. */
int verbs_read_body(struct call *call, const struct schema *schema, void *out, struct err *err);
/* The answer comes later where there is a ticket. Returns ret. */
int verbs_later(struct call *call, int ret, uint64_t ticket);
int verbs_no_vm(struct err *err);
/* There is no machine: why. */
int verbs_not_running(const struct life_view *view, struct err *err);

/* verbs-size.c */
int vm_resize(struct call *call, struct err *err);
int vm_resize_disk(struct call *call, struct err *err);
/* verbs-snapshot.c */
int vm_snapshot(struct call *call, struct err *err);
int vm_restore(struct call *call, struct err *err);

#endif
