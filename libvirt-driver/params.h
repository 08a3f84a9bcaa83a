/* SPDX-License-Identifier: Apache-2.0 */
/* Typed parameters (virTypedParameter): an array of names with values, as it grows. */
#ifndef ADIT_LIBVIRT_DRIVER_PARAMS_H
#define ADIT_LIBVIRT_DRIVER_PARAMS_H

#include <stdint.h>

#include "libvirt-driver/xdr.h"

struct params {
	struct xdr_out *out;
	size_t at; /* where the count is */
	uint32_t n;
};

/* The count is written at the end. Names are printf's. */
void params_begin(struct params *params, struct xdr_out *out);
void params_end(const struct params *params);

void params_int(struct params *params, int32_t value, const char *name, ...)
	__attribute__((format(printf, 3, 4)));
void params_uint(struct params *params, uint32_t value, const char *name, ...)
	__attribute__((format(printf, 3, 4)));
void params_u64(struct params *params, uint64_t value, const char *name, ...)
	__attribute__((format(printf, 3, 4)));
void params_text(struct params *params, const char *value, const char *name, ...)
	__attribute__((format(printf, 3, 4)));

#endif
