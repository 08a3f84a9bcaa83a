/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit-keeper: reads the list of devices from its own command line, which whoever started it with
 * privilege wrote, and runs the command as its child. `adit run` writes both.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "keeper/keeper.h"
#include "util/bits.h"

#define BAD 2 /* a bad command line; nothing was started */

struct arguments {
	struct keeper_plan plan;
	struct log log;
	bool clean;
};

static int usage(void)
{
	fprintf(stderr,
		"usage: adit-keeper [OPTIONS] [DEVICES] -- COMMAND [ARGUMENTS]\n"
		"       adit-keeper --clean [--run-dir DIR]\n\n"
		"  --function BDF           a function that is on vfio-pci already\n"
		"  --managed BDF            a function that is taken from its host driver\n"
		"  --mdev UUID              an mdev that is there\n"
		"  --new-mdev PARENT/TYPE[/UUID]  an mdev that is made, and removed at the end\n"
		"  --cdev /dev/vfio/devices/vfioN\n"
		"  --socket PATH            that COMMAND listens on: removed if it is left behind\n"
		"  --iommu NODE             instead of /dev/ioasid or /dev/iommu\n"
		"  --run-dir DIR            instead of " JOURNAL_DIR "\n"
		"  --log-json, --log-level error|warn|info|debug\n\n"
		"COMMAND gets --keeper-fd=N after its arguments. manual: man adit-keeper\n");
	return BAD;
}

static int refuse(const char *option, const char *value, const char *why)
{
	fprintf(stderr, "adit-keeper: --%s %s: %s\n", option, value, why);
	return -EINVAL;
}

static struct keeper_device *add(struct arguments *arguments, enum keeper_kind kind)
{
	struct keeper_plan *plan = &arguments->plan;

	if (plan->n == KEEPER_MAX_DEVICES)
		return NULL;
	plan->devices[plan->n].kind = kind;
	return &plan->devices[plan->n++];
}

static int add_named(struct arguments *arguments, enum keeper_kind kind, const char *option,
		     const char *value)
{
	static const enum host_kind kinds[] = {
		[KEEPER_FUNCTION] = HOST_FUNCTION,
		[KEEPER_MDEV] = HOST_MDEV,
		[KEEPER_CDEV] = HOST_CDEV,
	};
	struct keeper_device *device = add(arguments, kind);
	struct host_name name;

	if (!device)
		return refuse(option, value, "a VM has at most 31 devices");
	if (host_name_parse(&name, value) || name.kind != kinds[kind])
		return refuse(option, value, "names no such device");
	memcpy(device->name, name.text, sizeof(device->name));
	return 0;
}

/* PARENT/TYPE or PARENT/TYPE/UUID */
static int add_new_mdev(struct arguments *arguments, const char *value)
{
	struct keeper_device *device = add(arguments, KEEPER_NEW_MDEV);
	char copy[256], *rest = copy, *parent, *type;
	struct err err;

	if (!device)
		return refuse("new-mdev", value, "a VM has at most 31 devices");
	if (strlen(value) >= sizeof(copy))
		return refuse("new-mdev", value, "is too long");
	memcpy(copy, value, strlen(value) + 1);
	parent = strsep(&rest, "/");
	type = strsep(&rest, "/");
	if (!type || !host_part_is_sane(parent) || !host_part_is_sane(type))
		return refuse("new-mdev", value, "must be PARENT/TYPE or PARENT/TYPE/UUID");
	if (rest ? host_uuid_parse(device->name, rest) : change_uuid(device->name, &err))
		return refuse("new-mdev", value, rest ? "ends in no UUID" : err.text);
	memcpy(device->parent, parent, strlen(parent) + 1);
	memcpy(device->type, type, strlen(type) + 1);
	return 0;
}

static int check_once(const struct keeper_plan *plan)
{
	for (unsigned int i = 0; i < plan->n; i++) {
		for (unsigned int j = 0; j < i; j++) {
			if (!strcmp(plan->devices[i].name, plan->devices[j].name)) {
				fprintf(stderr, "adit-keeper: %s is there twice\n",
					plan->devices[i].name);
				return -EINVAL;
			}
		}
	}
	return 0;
}

static int add_socket(struct keeper_plan *plan, const char *path)
{
	if (plan->n_sockets == ARRAY_SIZE(plan->sockets))
		return refuse("socket", path, "a VM has at most 32 of them");
	plan->sockets[plan->n_sockets++] = path;
	return 0;
}

static int take_option(struct arguments *arguments, int c)
{
	int ret;

	switch (c) {
	case 'f':
		return add_named(arguments, KEEPER_FUNCTION, "function", optarg);
	case 'm':
		ret = add_named(arguments, KEEPER_FUNCTION, "managed", optarg);
		if (!ret)
			arguments->plan.devices[arguments->plan.n - 1].managed = true;
		return ret;
	case 'd':
		return add_named(arguments, KEEPER_MDEV, "mdev", optarg);
	case 'c':
		return add_named(arguments, KEEPER_CDEV, "cdev", optarg);
	case 'n':
		return add_new_mdev(arguments, optarg);
	case 's':
		return add_socket(&arguments->plan, optarg);
	case 'i':
		arguments->plan.iommu = optarg;
		return 0;
	case 'r':
		arguments->plan.run_dir = optarg;
		return 0;
	case 'C':
		arguments->clean = true;
		return 0;
	case 'j':
		arguments->log.json = true;
		return 0;
	case 'l':
		return log_level_parse(optarg, &arguments->log.level);
	default:
		return -EINVAL;
	}
}

static int clean(const struct keeper_plan *plan)
{
	unsigned int done, failed;
	struct err err;

	if (journal_clean(&plan->host, plan->run_dir, stdout, &done, &failed, &err)) {
		fprintf(stderr, "adit-keeper: %s\n", err.text);
		return 1;
	}
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "function", required_argument, NULL, 'f' },
		{ "managed", required_argument, NULL, 'm' },
		{ "mdev", required_argument, NULL, 'd' },
		{ "cdev", required_argument, NULL, 'c' },
		{ "new-mdev", required_argument, NULL, 'n' },
		{ "socket", required_argument, NULL, 's' },
		{ "iommu", required_argument, NULL, 'i' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "clean", no_argument, NULL, 'C' },
		{ "log-json", no_argument, NULL, 'j' },
		{ "log-level", required_argument, NULL, 'l' },
		{ 0 },
	};
	struct arguments arguments = {
		.plan = { .host = { .root = "" }, .run_dir = JOURNAL_DIR },
		.log = { .fd = STDERR_FILENO, .level = LOG_INFO },
	};
	int c;

	/* Whoever runs it writes its list: with more rights than theirs, that would be anyone's. */
	if (getauxval(AT_SECURE)) {
		fprintf(stderr, "adit-keeper: must not be set-user-ID or have file capabilities\n");
		return BAD;
	}
	/* "+": the command's options are its own. */
	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (take_option(&arguments, c))
			return usage();
	}
	if (arguments.clean == (optind < argc) || check_once(&arguments.plan))
		return usage();
	return arguments.clean ? clean(&arguments.plan)
			       : keeper_run(&arguments.plan, argv + optind, &arguments.log);
}
