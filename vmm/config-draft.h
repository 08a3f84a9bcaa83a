/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the table of keys and the checks across them: the configuration together with those keys
 * that are several ways to say one thing, before they have been settled into it.
 */
#ifndef ADIT_VMM_CONFIG_DRAFT_H
#define ADIT_VMM_CONFIG_DRAFT_H

#include "vmm/config.h"

#define CONFIG_ALL_MEMORY "guest" /* the name of the space that is all guest memory */

struct config_draft {
	struct config config;
	char *flat;
	uint32_t flat_fd;
	char *serial_file, *serial_socket, *serial_link;
	bool hugepages;
	uint64_t hugepage_size;
};

/* vmm/config-devices.c: brings names to one spelling, and checks /iommu and /devices across keys.
 */
int config_settle_devices(struct config *config, struct err *err);

/* vmm/config.c: reads the file and has it parsed; the sentence starts with the path. */
int config_load_with(const char *path,
		     int (*parse)(void *out, const char *text, size_t len, struct err *err),
		     void *out, struct err *err);

/* vmm/config-adis.c: checks /adis, /spaces and /pasids across keys. */
int config_settle_adis(struct config *config, struct err *err);

/* vmm/config-virtio.c: what no single key of the virtio devices can know; and their strings. */
int config_settle_virtio(struct config *config, struct err *err);
void config_free_virtio(struct config *config);

/* What hangs off one of them. */
void config_free_disk(struct config_disk *disk);
void config_free_net(struct config_net *net);
void config_free_adi(struct config_adi *adi);
void config_free_pasid(struct config_pasid *pasid);
void config_free_device(struct config_device *device);
void config_free_user_device(struct config_user_device *device);

#endif
