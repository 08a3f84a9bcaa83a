/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/start-keeper.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/beside.h"
#include "vmm/config.h"
#include "vmm/paths.h"

#define NAME	    "adit-keeper"
#define OPTION_ROOM 256
#define SOCKETS_MAX (4 + CONFIG_MAX_PORTS) /* API, serial port, vsock, console */

struct command {
	const char **words;
	size_t n;
};

bool keeper_is_needed(const struct config *config)
{
	for (size_t i = 0; i < config->n_devices; i++) {
		if (config->devices[i].managed || config->devices[i].source == SOURCE_NEW_MDEV)
			return true;
	}
	return false;
}

static void add(struct command *command, const char *word)
{
	command->words[command->n++] = word;
}

/* Its order is the configuration's without handed-over descriptors (keeper_index). */
static void add_device(struct command *command, const struct config_device *device, char *room)
{
	switch (device->source) {
	case SOURCE_DESCRIPTOR:
		return;
	case SOURCE_FUNCTION:
		add(command, device->managed ? "--managed" : "--function");
		add(command, device->path);
		return;
	case SOURCE_MDEV:
		add(command, "--mdev");
		add(command, device->path);
		return;
	case SOURCE_CDEV:
		add(command, "--cdev");
		add(command, device->path);
		return;
	case SOURCE_NEW_MDEV:
		snprintf(room, OPTION_ROOM, "%s/%s%s%s", device->mdev.parent, device->mdev.type,
			 device->mdev.uuid ? "/" : "", device->mdev.uuid ? device->mdev.uuid : "");
		add(command, "--new-mdev");
		add(command, room);
		return;
	}
}

static void add_socket(void *arg, const char *path)
{
	add(arg, "--socket");
	add(arg, path);
}

int keeper_exec(const struct config *config, const char *run_dir, const char *api_socket,
		char **argv, struct err *err)
{
	char keeper[PATH_MAX], self[PATH_MAX], *rooms;
	struct command command = { 0 };
	size_t n = 0;

	if (program_beside(keeper, sizeof(keeper), NAME) || program_self(self, sizeof(self)))
		return err_set(err, ENOENT,
			       NAME " is neither beside adit nor in ../libexec/adit: build it with "
				    "'make' or install it with 'make install'");
	while (argv[n])
		n++;
	command.words =
		calloc(n + 2 * (config->n_devices + SOCKETS_MAX) + 8, sizeof(*command.words));
	rooms = calloc(config->n_devices + 1, OPTION_ROOM);
	if (!command.words || !rooms) {
		free(command.words);
		free(rooms);
		return err_set(err, ENOMEM, "out of memory");
	}
	add(&command, NAME);
	if (run_dir) {
		add(&command, "--run-dir");
		add(&command, run_dir);
	}
	if (config->iommu.node) {
		add(&command, "--iommu");
		add(&command, config->iommu.node);
	}
	for (size_t i = 0; i < config->n_devices; i++) {
		if (!config->devices[i].fd)
			add_device(&command, &config->devices[i], rooms + i * OPTION_ROOM);
	}
	paths_sockets(config, api_socket, add_socket, &command);
	add(&command, "--");
	add(&command, self);
	for (size_t i = 0; i < n; i++)
		add(&command, argv[i]);
	execv(keeper, (char **)command.words);
	err_set(err, errno, "%s: %s", keeper, strerror(errno));
	free(command.words);
	free(rooms);
	return -err->code;
}
