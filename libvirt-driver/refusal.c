/* SPDX-License-Identifier: Apache-2.0 */
/* How everything here says no: libvirt's number beside the sentence. */
#include <errno.h>
#include <stdarg.h>

#include "libvirt-driver/call.h"

int refuse(struct refusal *refusal, enum fault fault, const char *fmt, ...)
{
	va_list ap;

	refusal->fault = fault;
	va_start(ap, fmt);
	err_setv(&refusal->err, EINVAL, fmt, ap);
	va_end(ap);
	return CALL_REFUSED;
}
