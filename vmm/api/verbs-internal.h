/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of verbs share: verbs.c has the table and most of them, others have a subject. */
#ifndef ADIT_VMM_API_VERBS_INTERNAL_H
#define ADIT_VMM_API_VERBS_INTERNAL_H

#include "vmm/api/verbs.h"
#include "vmm/config-edit.h"

struct json_object;
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
/* An entry more of the list, which the body is. */
int verbs_add(struct call *call, enum config_list list, struct err *err);
/* The object is released. */
void verbs_answer(struct reply *reply, unsigned int status, struct json_object *object);
int verbs_no_vm(struct err *err);
/* There is no machine: why. */
int verbs_not_running(const struct life_view *view, struct err *err);

/* verbs-size.c */
int vm_resize(struct call *call, struct err *err);
int vm_resize_disk(struct call *call, struct err *err);
/* verbs-snapshot.c */
int vm_snapshot(struct call *call, struct err *err);
int vm_restore(struct call *call, struct err *err);
/* verbs-pasid.c */
int vm_pasids(struct call *call, struct err *err);
int vm_pasid_bind(struct call *call, struct err *err);
int vm_pasid_unbind(struct call *call, struct err *err);
int vm_add_pasid(struct call *call, struct err *err);
int vm_remove_pasid(struct call *call, struct err *err);

#endif
