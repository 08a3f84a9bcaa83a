/* SPDX-License-Identifier: Apache-2.0 */
/* What is decided of no-snoop DMA in a machine, as vm.info shows it. */
#ifndef ADIT_VMM_API_COHERENCY_H
#define ADIT_VMM_API_COHERENCY_H

struct json_object;
struct machine;

/* As the schema Coherency of docs/openapi.json says; the caller's. */
struct json_object *coherency_json(struct machine *machine);

#endif
