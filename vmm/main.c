/* SPDX-License-Identifier: Apache-2.0 */
/* The adit command: finds the subcommand and hands over. */
#include <stdio.h>
#include <string.h>

#include "passthrough/adi/idxd-helper.h"
#include "util/bits.h"
#include "vmm/command.h"

static const struct command commands[] = {
	{ "run", cmd_run,
	  "[CONFIG] [--api-socket PATH] [--no-reboot] [--log-json] [--log-level LEVEL]",
	  "run one VM in the foreground" },
	{ "ctl", cmd_ctl, "SOCKET VERB [VALUE...]", "ask a running VM; without VERB: list them" },
	{ "check", cmd_check, "CONFIG [--json]", "show the plan before any of it happens" },
	{ "devices", cmd_devices, "[--json]", "show what this host could assign to a VM" },
	{ "doctor", cmd_doctor, "[--json] [--clean]",
	  "show what this host can do, and what mends the rest" },
	{ "adi-serve", cmd_adi_serve, "SOCKET... CONFIG [--log-json] [--log-level LEVEL]",
	  "offer a composed ADI to another VMM over vfio-user" },
	{ "bench", cmd_bench, "NAME [--json FILE]",
	  "measure what starting, DMA, memory and disks cost; bench alone lists all" },
};

static void usage(FILE *to)
{
	fprintf(to, "usage: adit COMMAND [ARGUMENTS]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(to, "  adit %-9s %s\n              %s\n", commands[i].name,
			commands[i].arguments, commands[i].summary);
	fprintf(to, "\n  adit --version\n  adit --help\n\n"
		    "exit status of run: 0 the guest powered off, 1 failure, 2 bad configuration\n"
		    "manual: man adit, man adit-config\n");
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		usage(stdout);
		return EXIT_OK;
	}
	if (!strcmp(name, "--version") || !strcmp(name, "version")) {
		printf("adit %s\n", ADIT_VERSION);
		return EXIT_OK;
	}
	/* Not a person's command: a VM's way to a host work queue. */
	if (!strcmp(name, IDXD_HELPER_WORD))
		return idxd_helper_main(IDXD_HELPER_FD, argc > 2 ? argv[2] : "", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(name, commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	}
	if (*name)
		fprintf(stderr, "adit: there is no command '%s'\n", name);
	usage(stderr);
	return EXIT_CONFIG;
}
