/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that virtaditd takes for a domain that runs, on a made-up host: what they were is
 * written down before, and they go back to it, also by a daemon that knows of them from the record
 * alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <json-c/json.h>

#include "fake-kernel.h"
#include "libvirt-driver/run-files.h"
#include "libvirt-driver/run-taken.h"

#define CONFIG "{\"devices\": [{\"path\": \"" NIC "\"}, {\"path\": \"" DISK "\"}]}"

struct scene {
	struct fake_host fake;
	struct log log;
	struct daemon daemon;
	struct definition live;
	struct domain domain;
	char run_dir[128];
	struct json_object *config;
	bool ended, failed;
};

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	struct err err;
	int dir;

	assert_non_null(scene);
	fake_machine(&scene->fake);
	snprintf(scene->run_dir, sizeof(scene->run_dir), "%s/run", scene->fake.root);
	scene->log = (struct log){ .fd = STDERR_FILENO, .level = LOG_ERROR };
	scene->daemon = (struct daemon){
		.log = &scene->log,
		.host = &scene->fake.host,
		.run_dir = scene->run_dir,
	};
	scene->live = (struct definition){ .uuid = { 1, 2, 3 } };
	scene->domain = (struct domain){ .daemon = &scene->daemon, .live = &scene->live };
	scene->config = json_tokener_parse(CONFIG);
	assert_int_equal(loop_create(&scene->daemon.loop, &err), 0);
	dir = run_open(&scene->daemon, scene->live.uuid, true);
	assert_true(dir >= 0);
	close(dir);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	node_changes_forget(&scene->daemon);
	loop_destroy(scene->daemon.loop);
	json_object_put(scene->config);
	fake_close(&scene->fake);
	free(scene);
	return 0;
}

static void on_end(void *arg, struct daemon *daemon, const struct node_task *task,
		   const struct refusal *failure)
{
	struct scene *scene = arg;

	scene->ended = true;
	scene->failed = failure;
	loop_stop(daemon->loop);
}

static int take(struct scene *scene, const char *bdf)
{
	const struct node_then then = { on_end, scene };
	struct refusal refusal = { 0 };
	int ret = taken_take(&scene->domain, bdf, scene->config, &then, &refusal);

	if (ret == CALL_LATER)
		loop_run(scene->daemon.loop);
	return ret;
}

static bool return_all(struct scene *scene)
{
	const struct node_then then = { on_end, scene };
	bool any = taken_return_all(&scene->domain, &then);

	if (any)
		loop_run(scene->daemon.loop);
	return any;
}

static void is_on(const struct scene *scene, const char *bdf, const char *driver)
{
	struct host_function function;

	assert_int_equal(host_function_read(&scene->fake.host, bdf, &function), 0);
	assert_string_equal(function.driver, driver);
}

static void record_path(const struct scene *scene, char path[RUN_PATH])
{
	assert_int_equal(run_path(&scene->daemon, scene->live.uuid, "taken.json", path), 0);
}

static void what_was_taken_is_given_back_by_who_reads_the_record(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(take(scene, NIC), CALL_LATER);
	assert_int_equal(take(scene, DISK), CALL_LATER);
	assert_false(scene->failed);
	is_on(scene, NIC, "vfio-pci");
	is_on(scene, DISK, "vfio-pci");
	/* Nothing is in memory of it: another daemon would do the same. */
	assert_true(return_all(scene));
	assert_false(scene->failed);
	is_on(scene, NIC, "e1000e");
	is_on(scene, DISK, "nvme");
}

static void one_goes_back_alone(void **state)
{
	struct scene *scene = *state;

	take(scene, NIC);
	take(scene, DISK);
	taken_return(&scene->domain, NIC);
	/* The end of that is nobody's: what is under way is seen to its end by a change behind it.
	 */
	while (scene->daemon.changes) {
		const struct node_then then = { on_end, scene };
		const struct node_task task = { .verb = NODE_RETURN };
		struct refusal refusal = { 0 };

		assert_int_equal(node_change_then(&scene->daemon, &task, &then, &refusal), 0);
		loop_run(scene->daemon.loop);
	}
	is_on(scene, NIC, "e1000e");
	is_on(scene, DISK, "vfio-pci");
	/* Taken by somebody else by now, who keeps it. */
	fake_move(&scene->fake, NIC, "vfio-pci");
	assert_true(return_all(scene));
	is_on(scene, NIC, "vfio-pci");
	is_on(scene, DISK, "nvme");
}

static void one_on_vfio_already_is_not_taken(void **state)
{
	struct scene *scene = *state;

	fake_move(&scene->fake, NIC, "vfio-pci");
	assert_int_equal(take(scene, NIC), 0);
	assert_false(return_all(scene));
	is_on(scene, NIC, "vfio-pci");
}

static void one_that_cannot_be_taken_is_where_it_was(void **state)
{
	struct scene *scene = *state;

	fake_file(&scene->fake, "/refuse-vfio", "");
	assert_int_equal(take(scene, NIC), CALL_LATER);
	assert_true(scene->failed);
	is_on(scene, NIC, "e1000e");
	taken_forget(&scene->daemon, scene->live.uuid, NIC);
	assert_false(return_all(scene));
}

static void two_changes_of_one_function_are_refused(void **state)
{
	struct scene *scene = *state;
	const struct node_then then = { on_end, scene };
	struct refusal refusal = { 0 };
	char path[SYSFS_PATH_MAX];
	int held;

	/* The driver does not let go as long as this is open. */
	fake_path(&scene->fake, path, "/held");
	assert_int_equal(mkfifo(path, 0600), 0);
	held = open(path, O_RDWR | O_CLOEXEC);
	assert_true(held >= 0);
	assert_int_equal(taken_take(&scene->domain, NIC, scene->config, &then, &refusal),
			 CALL_LATER);
	assert_int_equal(taken_take(&scene->domain, NIC, scene->config, &then, &refusal),
			 CALL_REFUSED);
	assert_non_null(strstr(refusal.err.text, "is being changed already"));
	close(held);
	loop_run(scene->daemon.loop);
	is_on(scene, NIC, "vfio-pci");
	assert_true(return_all(scene));
	is_on(scene, NIC, "e1000e");
}

static void a_record_that_was_tampered_with_leads_nowhere(void **state)
{
	static const char driver[] = "[{\"function\": \"" NIC "\", \"driver\": \"../e1000e\"}]";
	static const char function[] = "[{\"function\": \"../../x\", \"driver\": \"e1000e\"}]";
	static const char *const texts[] = { "", "{}", "[7]", function, driver };
	struct scene *scene = *state;
	char path[RUN_PATH];

	record_path(scene, path);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		FILE *file = fopen(path, "we");

		assert_non_null(file);
		fputs(texts[i], file);
		fclose(file);
		assert_false(return_all(scene));
	}
	is_on(scene, NIC, "e1000e");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		CASE(what_was_taken_is_given_back_by_who_reads_the_record),
		CASE(one_goes_back_alone),
		CASE(one_on_vfio_already_is_not_taken),
		CASE(one_that_cannot_be_taken_is_where_it_was),
		CASE(two_changes_of_one_function_are_refused),
		CASE(a_record_that_was_tampered_with_leads_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
