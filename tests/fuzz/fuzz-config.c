/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a configuration: taken with every value inside its limits, or refused with a
 * sentence that starts with a pointer and an empty configuration. Anything else aborts.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/name.h"
#include "util/bits.h"
#include "vmm/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int true_now)
{
	if (!true_now)
		abort();
}

static void check_taken(const struct config *config)
{
	must(config->payload.kernel && *config->payload.kernel && config->payload.cmdline);
	must(config->cpus.boot_vcpus >= 1 && config->cpus.boot_vcpus <= CONFIG_MAX_VCPUS);
	must(config->memory.size >= MIB && config->memory.size <= 16 * TIB);
	must(is_aligned(config->memory.size, 4 * KIB));
	must(config->n_adis <= CONFIG_MAX_ADIS && config->n_spaces <= CONFIG_MAX_SPACES);
	must(config->n_pasids <= CONFIG_MAX_PASIDS);
	for (size_t i = 0; i < config->n_adis; i++) {
		const struct config_adi *adi = &config->adis[i];

		must(adi->id && adi->n_wqs >= 1 && adi->n_wqs <= CONFIG_MAX_WQS);
		must(adi->engines >= 1 && adi->engines <= 4);
		must(adi->pasid_width >= 1 && adi->pasid_width <= 20);
	}
	for (size_t i = 0; i < config->n_spaces; i++) {
		const struct config_space *space = &config->spaces[i];

		must(space->id && space->size && is_aligned(space->offset | space->size, 4 * KIB));
		must(!range_wraps(space->offset, space->size));
	}
	for (size_t i = 0; i < config->n_pasids; i++)
		must(config->pasids[i].adi && config->pasids[i].guest &&
		     config->pasids[i].guest < 1u << 20 && config->pasids[i].host < 1u << 20);
}

static void check_devices(const struct config *config)
{
	struct host_name name;

	must(config->n_devices <= CONFIG_MAX_DEVICES);
	for (size_t i = 0; i < config->n_devices; i++) {
		const struct config_device *device = &config->devices[i];
		const char *parent = device->mdev.parent;

		must(device->id && !device->behind_iommu);
		must(!device->path ==
		     (device->source == SOURCE_NEW_MDEV || device->source == SOURCE_DESCRIPTOR));
		/* A name that is in its one spelling stays as it is. */
		if (device->path)
			must(!host_name_parse(&name, device->path) &&
			     !strcmp(name.text, device->path));
		if (device->source == SOURCE_NEW_MDEV)
			must(device->mdev.type && parent && !strchr(parent, '/'));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config;
	struct err err = { 0 };

	if (config_parse(&config, (const char *)data, size, &err) == 0) {
		check_taken(&config);
		check_devices(&config);
	} else {
		must(err.text[0] == '/' || !strncmp(err.text, "(document): ", 12));
		must(!config.payload.kernel && !config.payload.cmdline && !config.serial.path);
		must(!config.n_adis && !config.n_spaces && !config.n_pasids && !config.n_devices);
	}
	config_free(&config);
	return 0;
}
