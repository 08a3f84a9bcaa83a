/* SPDX-License-Identifier: Apache-2.0 */
/* adit check: the plan of a configuration, before any of it happens. */
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>

#include "vmm/command.h"
#include "vmm/config.h"
#include "vmm/plan.h"

static int check(const char *path, bool as_json)
{
	struct json_object *plan, *problems;
	struct config config;
	struct err err;
	int status;

	if (config_load(&config, path, &err)) {
		fprintf(stderr, "adit check: %s\n", err.text);
		return EXIT_CONFIG;
	}
	if (plan_make(&plan, &config, &err)) {
		fprintf(stderr, "adit check: %s\n", err.text);
		config_free(&config);
		return EXIT_FAILED;
	}
	if (as_json)
		printf("%s\n", json_object_to_json_string_ext(plan, JSON_C_TO_STRING_PRETTY));
	else
		plan_print(plan, stdout);
	problems = json_object_object_get(plan, "problems");
	status = json_object_array_length(problems) ? EXIT_FAILED : EXIT_OK;
	for (size_t i = 0; i < json_object_array_length(problems); i++)
		fprintf(stderr, "adit check: %s\n",
			json_object_get_string(json_object_array_get_idx(problems, i)));
	json_object_put(plan);
	config_free(&config);
	return status;
}

static int usage(FILE *to)
{
	fprintf(to, "usage: adit check CONFIG [--json]\n");
	return to == stdout ? EXIT_OK : EXIT_CONFIG;
}

int cmd_check(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	bool json = false, bad = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h')
			return usage(stdout);
		json |= c == 'j';
		bad |= c != 'j';
	}
	if (bad || optind != argc - 1)
		return usage(stderr);
	return check(argv[optind], json);
}
