/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands of adit: each is one short file, cmd-NAME.c, and a row in main.c. argv[0] is the
 * subcommand's name. They return the process's exit status.
 */
#ifndef ADIT_VMM_COMMAND_H
#define ADIT_VMM_COMMAND_H

#define EXIT_OK	    0
#define EXIT_FAILED 1
#define EXIT_CONFIG 2 /* a bad configuration or command line; nothing was started */

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *arguments, *summary;
};

int cmd_run(int argc, char **argv);
int cmd_ctl(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_devices(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_adi_serve(int argc, char **argv);
int cmd_bench(int argc, char **argv);

#endif
