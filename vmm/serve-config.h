/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of adit adi-serve: ADIs with their windows and PASIDs, by the same keys as a
 * VM's (vmm/config-keys.c), which PCI capabilities the functions present, and the DSA function that
 * does their work where it is one for all.
 */
#ifndef ADIT_VMM_SERVE_CONFIG_H
#define ADIT_VMM_SERVE_CONFIG_H

#include "passthrough/pci/pci.h"
#include "vmm/config.h"

enum serve_function_type {
	SERVE_FUNCTION_SOFT,
	SERVE_FUNCTION_VFIO,
};

struct serve_config {
	struct config config; /* adis, spaces and pasids only */
	struct pci_svm_options svm;
	struct {
		bool present;
		uint8_t type;
		char *path;		  /* vfio: its cdev */
		uint32_t queues, engines; /* soft; 0: 8 and 4 */
	} function;
};

/* As config_load. */
int serve_config_load(struct serve_config *serve, const char *path, struct err *err);
void serve_config_free(struct serve_config *serve);

#endif
