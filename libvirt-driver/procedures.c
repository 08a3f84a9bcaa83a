/* SPDX-License-Identifier: Apache-2.0 */
/* The table of procedures: three kinds of rows, looked through in turn. */
#include "libvirt-driver/call.h"

static const struct procedure *look(const struct procedure *rows, size_t n, int32_t number)
{
	for (size_t i = 0; i < n; i++) {
		if (rows[i].number == number)
			return &rows[i];
	}
	return NULL;
}

const struct procedure *procedure_find(int32_t number)
{
	const struct procedure *found = look(connect_procedures, n_connect_procedures, number);

	if (!found)
		found = look(domain_procedures, n_domain_procedures, number);
	return found ? found : look(life_procedures, n_life_procedures, number);
}
