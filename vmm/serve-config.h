/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of adit adi-serve: one ADI with its windows and PASIDs, by the same keys as a
 * VM's (vmm/config-keys.c), and which PCI capabilities the function presents.
 */
#ifndef ADIT_VMM_SERVE_CONFIG_H
#define ADIT_VMM_SERVE_CONFIG_H

#include "passthrough/pci/pci.h"
#include "vmm/config.h"

struct serve_config {
	struct config config; /* adis (one), spaces and pasids only */
	struct pci_svm_options svm;
};

/* As config_load. */
int serve_config_load(struct serve_config *serve, const char *path, struct err *err);
void serve_config_free(struct serve_config *serve);

#endif
