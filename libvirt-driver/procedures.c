/* SPDX-License-Identifier: Apache-2.0 */
/* The table of procedures: a kind of rows from each file, looked through in turn. */
#include "libvirt-driver/call.h"
#include "util/bits.h"

const struct procedure *procedure_find(int32_t number)
{
	const struct {
		const struct procedure *rows;
		size_t n;
	} tables[] = {
		{ associate_procedures, n_associate_procedures },
		{ connect_procedures, n_connect_procedures },
		{ domain_procedures, n_domain_procedures },
		{ edit_procedures, n_edit_procedures },
		{ event_procedures, n_event_procedures },
		{ life_procedures, n_life_procedures },
		{ mdev_procedures, n_mdev_procedures },
		{ node_procedures, n_node_procedures },
		{ save_procedures, n_save_procedures },
	};

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		for (size_t k = 0; k < tables[i].n; k++) {
			if (tables[i].rows[k].number == number)
				return &tables[i].rows[k];
		}
	}
	return NULL;
}
