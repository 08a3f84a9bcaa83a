/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/boot-load.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/boot.h"
#include "vmm/config.h"
#include "vmm/payload.h"

static int load_file(const char *path, uint32_t fd, const struct boot_memory *memory,
		     struct payload *payload,
		     int (*load)(const struct boot_memory *, const struct payload_source *,
				 struct payload *, struct err *),
		     struct err *err)
{
	struct payload_source source = { .fd = -1 };
	int ret = payload_open_given(&source, path, fd, err);

	if (!ret) {
		ret = load(memory, &source, payload, err);
		if (ret && path)
			err_prefix(err, "%s", path);
		else if (ret)
			err_prefix(err, "descriptor %u", fd);
	}
	payload_close(&source);
	return ret;
}

static int load_flat(const struct boot_memory *memory, const struct config *config,
		     struct payload *payload, struct err *err)
{
	struct payload_source source = { .fd = -1 };
	int ret =
		payload_open_given(&source, config->payload.kernel, config->payload.kernel_fd, err);

	if (!ret)
		ret = payload_load_flat(memory, &source, config->payload.address, payload, err);
	payload_close(&source);
	return ret;
}

int boot_load(const struct boot_memory *memory, const struct config *config,
	      struct payload *payload, struct err *err)
{
	int ret;

	if (config->payload.type == PAYLOAD_FLAT)
		ret = load_flat(memory, config, payload, err);
	else
		ret = load_file(config->payload.kernel, config->payload.kernel_fd, memory, payload,
				payload_load_kernel, err);
	if (!ret && (config->payload.initramfs || config->payload.initramfs_fd))
		ret = load_file(config->payload.initramfs, config->payload.initramfs_fd, memory,
				payload, payload_load_initramfs, err);
	return ret;
}

int boot_try(const struct config *config, const struct layout *layout, struct err *err)
{
	struct boot_memory memory = { .layout = layout };
	struct payload payload = { 0 };
	struct boot_state state;
	int ret;

	memory.base = mmap(NULL, config->memory.size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory.base == MAP_FAILED)
		return err_set(err, ENOMEM, "no memory to try the payload in: %s", strerror(errno));
	ret = boot_load(&memory, config, &payload, err);
	if (!ret)
		ret = boot_prepare(&memory, &payload, config->payload.cmdline, ACPI_TABLES, &state,
				   err);
	munmap(memory.base, config->memory.size);
	return ret;
}
