/* SPDX-License-Identifier: Apache-2.0 */
/* Entries that come to a configuration and leave it: its text and what was read stay one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/check.h"
#include "util/bits.h"
#include "vmm/config-edit.h"

struct both {
	struct config config;
	char *text;
};

static void begin(struct both *both, const char *members)
{
	char text[1024];
	struct err err;

	snprintf(text, sizeof(text), "{\"payload\":{\"kernel\":\"k\"}%s}", members);
	both->text = strdup(text);
	assert_ok(config_parse(&both->config, text, strlen(text), &err), &err);
}

static void end(struct both *both)
{
	config_free(&both->config);
	free(both->text);
}

/* What the text says by itself is what there is. */
static void assert_one(const struct both *both)
{
	const struct config *now = &both->config;
	struct config anew;
	struct err err;

	assert_ok(config_parse(&anew, both->text, strlen(both->text), &err), &err);
	assert_int_equal(anew.n_disks, now->n_disks);
	for (size_t i = 0; i < anew.n_disks; i++) {
		assert_string_equal(anew.disks[i].id, now->disks[i].id);
		assert_string_equal(anew.disks[i].path, now->disks[i].path);
	}
	assert_int_equal(anew.n_net, now->n_net);
	for (size_t i = 0; i < anew.n_net; i++)
		assert_string_equal(anew.net[i].id, now->net[i].id);
	assert_int_equal(anew.n_adis, now->n_adis);
	for (size_t i = 0; i < anew.n_adis; i++)
		assert_string_equal(anew.adis[i].id, now->adis[i].id);
	assert_int_equal(anew.n_pasids, now->n_pasids);
	for (size_t i = 0; i < anew.n_pasids; i++) {
		assert_string_equal(anew.pasids[i].adi, now->pasids[i].adi);
		assert_int_equal(anew.pasids[i].guest, now->pasids[i].guest);
	}
	assert_int_equal(anew.n_devices, now->n_devices);
	for (size_t i = 0; i < anew.n_devices; i++)
		assert_string_equal(anew.devices[i].id, now->devices[i].id);
	assert_int_equal(anew.n_user_devices, now->n_user_devices);
	for (size_t i = 0; i < anew.n_user_devices; i++)
		assert_string_equal(anew.user_devices[i].id, now->user_devices[i].id);
	config_free(&anew);
}

/* Returns its id, which stays where it is until it is removed. */
static const char *take(struct both *both, enum config_list list, const char *entry)
{
	struct config_edit edit;
	const char *id;
	struct err err;

	assert_ok(config_edit_add(&edit, &both->config, both->text, list, entry, strlen(entry),
				  NULL, &err),
		  &err);
	id = config_edit_id(&edit);
	config_edit_commit(&edit, &both->config, &both->text);
	assert_true(config_has_id(&both->config, id));
	assert_one(both);
	return id;
}

static void drop(struct both *both, const char *name)
{
	char id[CONFIG_ID_MAX + 1];
	struct err err;

	snprintf(id, sizeof(id), "%s", name);
	assert_ok(config_edit_remove(&both->config, &both->text, id, &err), &err);
	assert_false(config_has_id(&both->config, id));
	assert_one(both);
	assert_int_equal(config_edit_remove(&both->config, &both->text, id, &err), -ENOENT);
}

#define DSA "\"type\": \"dsa\", \"wqs\": [{\"size\": 8}]"

static void entries_of_every_list_come_and_go(void **state)
{
	static const struct {
		enum config_list list;
		const char *entry, *id;
	} rows[] = {
		{ CONFIG_DISKS, "{\"path\": \"a\"}", "disk0" },
		{ CONFIG_DISKS, "{\"path\": \"b\", \"id\": \"b\"}", "b" },
		{ CONFIG_NET, "{\"tap\": \"t\"}", "net0" },
		{ CONFIG_ADIS, "{" DSA "}", "adi0" },
		{ CONFIG_ADIS, "{\"id\": \"d\", " DSA "}", "d" },
		{ CONFIG_DEVICES, "{\"path\": \"0000:01:00.0\"}", "device0" },
		{ CONFIG_DEVICES, "{\"socket\": \"/s\", \"id\": \"u\"}", "u" },
		{ CONFIG_DEVICES, "{\"path\": \"0000:02:00.0\"}", "device1" },
	};
	struct both both;

	begin(&both, "");
	for (unsigned int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
			assert_string_equal(take(&both, rows[i].list, rows[i].entry), rows[i].id);
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
			drop(&both, rows[(i * 3 + round) % ARRAY_SIZE(rows)].id);
	}
	end(&both);
}

/* An index would call the second one "disk0" once the first has left. */
static void names_that_nobody_chose_stay_what_they_were(void **state)
{
	struct both both;

	begin(&both, ",\"disks\":[{\"path\":\"a\"},{\"path\":\"b\"}],"
		     "\"devices\":[{\"path\":\"0000:01:00.0\"},{\"socket\":\"/s\"},"
		     "{\"path\":\"0000:02:00.0\"}]");
	drop(&both, "disk0");
	assert_string_equal(both.config.disks[0].id, "disk1");
	assert_string_equal(take(&both, CONFIG_DISKS, "{\"path\": \"c\"}"), "disk2");
	assert_string_equal(take(&both, CONFIG_DISKS, "{\"path\": \"d\"}"), "disk3");
	drop(&both, "device0");
	drop(&both, "device1");
	assert_string_equal(both.config.devices[0].id, "device2");
	end(&both);
}

static void bindings_come_and_go_with_their_adi(void **state)
{
	struct both both;
	struct err err;
	struct config_edit edit;
	static const char with[] =
		"{\"id\": \"n\", " DSA ", \"pasids\": [{\"guest\": \"none\", \"space\": \"w\"}]}";
	static const char wrong[] =
		"{\"id\": \"o\", " DSA ", \"pasids\": [{\"guest\": \"none\", \"adi\": \"n\"}]}";

	begin(&both, ",\"spaces\":[{\"id\":\"w\",\"offset\":\"1M\",\"size\":\"1M\"}],"
		     "\"adis\":[{\"id\":\"a\",\"pasid\":{\"allow\":true}," DSA "}],"
		     "\"pasids\":[{\"guest\":5,\"adi\":\"a\"}]");
	take(&both, CONFIG_ADIS, with);
	assert_int_equal(both.config.n_pasids, 2);
	assert_string_equal(both.config.pasids[1].adi, "n");
	assert_string_equal(both.config.pasids[1].space, "w");
	assert_int_equal(config_edit_add(&edit, &both.config, both.text, CONFIG_ADIS, wrong,
					 strlen(wrong), NULL, &err),
			 -EINVAL);
	drop(&both, "a");
	assert_int_equal(both.config.n_pasids, 1);
	drop(&both, "n");
	assert_int_equal(both.config.n_pasids, 0);
	end(&both);
}

static void bindings_come_and_go_by_themselves(void **state)
{
	struct both both;
	struct err err;

	begin(&both, ",\"spaces\":[{\"id\":\"w\",\"offset\":\"1M\",\"size\":\"1M\"}],"
		     "\"adis\":[{\"id\":\"a\",\"pasid\":{\"allow\":true}," DSA "}]");
	take(&both, CONFIG_PASIDS, "{\"adi\": \"a\", \"guest\": 5, \"space\": \"w\"}");
	take(&both, CONFIG_PASIDS, "{\"adi\": \"a\", \"guest\": 6}");
	take(&both, CONFIG_PASIDS, "{\"adi\": \"a\", \"guest\": \"none\", \"space\": \"w\"}");
	assert_int_equal(both.config.n_pasids, 3);
	assert_string_equal(both.config.pasids[0].space, "w");
	assert_int_equal(config_edit_remove_pasid(&both.config, &both.text, "a", 7, &err), -ENOENT);
	assert_non_null(strstr(err.text, "no guest PASID 7 of \"a\""));
	assert_int_equal(config_edit_remove_pasid(&both.config, &both.text, "b", 5, &err), -ENOENT);
	assert_ok(config_edit_remove_pasid(&both.config, &both.text, "a", 5, &err), &err);
	assert_one(&both);
	assert_int_equal(both.config.n_pasids, 2);
	assert_int_equal(both.config.pasids[0].guest, 6);
	assert_int_equal(both.config.pasids[1].guest, 0);
	drop(&both, "a");
	assert_int_equal(both.config.n_pasids, 0);
	end(&both);
}

/* A pointer is into what was sent; nothing has changed. */
static void what_is_wrong_changes_nothing(void **state)
{
	static const struct {
		enum config_list list;
		const char *entry, *sentence;
		int code;
	} rows[] = {
		{ CONFIG_DISKS, "", "(document)", EINVAL },
		{ CONFIG_DISKS, "[]", "(document): must be an object", EINVAL },
		{ CONFIG_DISKS, "{}", "(document): needs \"path\" or \"fd\"", EINVAL },
		{ CONFIG_DISKS, "{\"path\": \"a\", \"queue_size\": 100}",
		  "/queue_size: 100 is no power of two", EINVAL },
		{ CONFIG_DISKS, "{\"path\": \"a\", \"pat\": 1}", "/pat: unknown key", EINVAL },
		{ CONFIG_DISKS, "{\"path\": \"a\", \"path\": \"b\"}", "path", EINVAL },
		{ CONFIG_DISKS, "{\"path\": \"a\", \"id\": \"n\"}", "/id: \"n\" is there already",
		  EEXIST },
		{ CONFIG_DISKS, "{\"path\": \"a\", \"id\": 5}", "/id: must be", EINVAL },
		{ CONFIG_PASIDS, "{\"adi\": \"nobody\", \"guest\": 1}", "/adi: no ADI is called",
		  EINVAL },
		{ CONFIG_PASIDS, "{\"guest\": 1}", "/adi", EINVAL },
		{ CONFIG_PASIDS, "{\"adi\": \"nobody\", \"guest\": 1, \"id\": \"x\"}",
		  "/id: unknown key", EINVAL },
		{ CONFIG_NET, "{\"fd\": 5}", "/fd: a number", EINVAL },
		{ CONFIG_NET, "{}", "(document): needs \"tap\" or \"fd\"", EINVAL },
		{ CONFIG_ADIS, "{\"type\": \"dsa\", \"wqs\": [{\"size\": 200}]}", "/wqs/0/size",
		  EINVAL },
		{ CONFIG_ADIS, "{" DSA ", \"pasids\": 1}", "/pasids: must be an array", EINVAL },
		{ CONFIG_DEVICES, "{\"path\": \"nonsense\"}", "/path: \"nonsense\"", EINVAL },
	};
	struct both both;
	char *before;

	begin(&both, ",\"net\":[{\"id\":\"n\",\"tap\":\"t\"}]");
	before = strdup(both.text);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *entry = rows[i].entry;
		struct config_edit edit;
		struct err err;

		assert_int_equal(config_edit_add(&edit, &both.config, both.text, rows[i].list,
						 entry, strlen(entry), NULL, &err),
				 -rows[i].code);
		if (strncmp(err.text, rows[i].sentence, strlen(rows[i].sentence)) != 0 &&
		    !strstr(err.text, "line"))
			fail_msg("'%s' does not begin with '%s'", err.text, rows[i].sentence);
		assert_string_equal(both.text, before);
		assert_one(&both);
	}
	free(before);
	end(&both);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_of_every_list_come_and_go),
		cmocka_unit_test(names_that_nobody_chose_stay_what_they_were),
		cmocka_unit_test(bindings_come_and_go_with_their_adi),
		cmocka_unit_test(bindings_come_and_go_by_themselves),
		cmocka_unit_test(what_is_wrong_changes_nothing),
	};

	return cmocka_run_group_tests_name("config-edit", tests, NULL, NULL);
}
