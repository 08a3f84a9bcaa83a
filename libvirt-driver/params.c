/* SPDX-License-Identifier: Apache-2.0 */
/* Names are short: a client takes none of more than 80 bytes (VIR_TYPED_PARAM_FIELD_LENGTH). */
#include "libvirt-driver/params.h"

#include <stdarg.h>
#include <stdio.h>

#define NAME_BYTES 80u

enum type {
	TYPE_INT = 1,
	TYPE_UINT = 2,
	TYPE_U64 = 4,
	TYPE_TEXT = 7,
};

void params_begin(struct params *params, struct xdr_out *out)
{
	*params = (struct params){ .out = out, .at = out->len };
	xdr_put_u32(out, 0);
}

void params_end(const struct params *params)
{
	xdr_patch_u32(params->out, params->at, params->n);
}

static void begin(struct params *params, enum type type, const char *name, va_list ap)
{
	char text[NAME_BYTES];

	vsnprintf(text, sizeof(text), name, ap);
	xdr_put_string(params->out, text);
	xdr_put_i32(params->out, (int32_t)type);
	params->n++;
}

void params_int(struct params *params, int32_t value, const char *name, ...)
{
	va_list ap;

	va_start(ap, name);
	begin(params, TYPE_INT, name, ap);
	va_end(ap);
	xdr_put_i32(params->out, value);
}

void params_uint(struct params *params, uint32_t value, const char *name, ...)
{
	va_list ap;

	va_start(ap, name);
	begin(params, TYPE_UINT, name, ap);
	va_end(ap);
	xdr_put_u32(params->out, value);
}

void params_u64(struct params *params, uint64_t value, const char *name, ...)
{
	va_list ap;

	va_start(ap, name);
	begin(params, TYPE_U64, name, ap);
	va_end(ap);
	xdr_put_u64(params->out, value);
}

void params_text(struct params *params, const char *value, const char *name, ...)
{
	va_list ap;

	va_start(ap, name);
	begin(params, TYPE_TEXT, name, ap);
	va_end(ap);
	xdr_put_string(params->out, value);
}
