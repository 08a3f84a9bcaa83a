/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host's KVM can do, as one table: what adit cannot run without, what it uses where it is
 * there, and what each is for. `adit doctor` prints it, vm_create checks the required rows.
 */
#ifndef ADIT_KVM_GLUE_CAPS_H
#define ADIT_KVM_GLUE_CAPS_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

struct kvm_cap_row {
	unsigned int number;
	const char *name; /* without KVM_CAP_ */
	bool required;
	const char *use; /* what adit does with it */
};

/* The table; *count receives its length. */
const struct kvm_cap_row *kvm_caps(size_t *count);

/* KVM_CHECK_EXTENSION on /dev/kvm. 0: absent. */
int kvm_cap_value(int kvm_fd, unsigned int number);

/* -ENOTSUP and a sentence that names the first required capability which is absent. */
int kvm_check_required(int kvm_fd, struct err *err);

/*
 * Turns the errno of opening /dev/kvm into the sentence that says what to do. Returns -code.
 */
int kvm_node_error(int code, struct err *err);

#endif
