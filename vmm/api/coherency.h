/* SPDX-License-Identifier: Apache-2.0 */
/* What is decided of no-snoop DMA in a machine, as vm.info shows it. */
#ifndef ADIT_VMM_API_COHERENCY_H
#define ADIT_VMM_API_COHERENCY_H

struct devices_coherency;
struct json_object;

/* As the schema Coherency of docs/openapi.json says; the caller's. */
struct json_object *coherency_json(const struct devices_coherency *state);

#endif
