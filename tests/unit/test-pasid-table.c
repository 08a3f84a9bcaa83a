/* SPDX-License-Identifier: Apache-2.0 */
/* The guest PASID table: its contract one by one, then lookups while another thread rebinds. */
#include "tests/unit/check.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ioasid-client/ioasid.h"
#include "ioasid-client/pasid-table.h"
#include "util/bits.h"

struct fixture {
	struct ioasid_ctx *ctx;
	struct ioasid_device *device;
	struct ioasid_space *space;
	struct epoch epoch;
	struct epoch_reader reader;
	struct pasid_table *table;
	struct err err;
};

static int setup(void **state)
{
	const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT,
					      .soft = { .pasid_width = 20 } };
	const struct ioasid_space_options options = { .name = "guest", .pasid_capable = true };
	struct fixture *f = aligned_alloc(64, align_up(sizeof(*f), 64));

	memset(f, 0, sizeof(*f));
	epoch_init(&f->epoch);
	epoch_join(&f->epoch, &f->reader);
	assert_ok(ioasid_ctx_open(&f->ctx, IOASID_PROVIDER_SOFT, NULL, &f->err), &f->err);
	assert_ok(ioasid_bind(f->ctx, &source, "adi0", &f->device, &f->err), &f->err);
	assert_ok(ioasid_alloc(f->ctx, &options, &f->space, &f->err), &f->err);
	assert_ok(pasid_table_create(&f->table, &f->epoch, &f->err), &f->err);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pasid_table_destroy(f->table);
	ioasid_ctx_close(f->ctx);
	epoch_leave(&f->epoch, &f->reader);
	epoch_destroy(&f->epoch);
	free(f);
	return 0;
}

static struct ioasid_pasid *host_pasid(struct fixture *f, uint32_t number)
{
	struct ioasid_pasid *pasid = NULL;

	assert_ok(ioasid_pasid_attach(f->device, f->space, number, &pasid, &f->err), &f->err);
	return pasid;
}

static uint32_t lookup(struct fixture *f, uint32_t guest)
{
	uint32_t host;

	epoch_enter(&f->epoch, &f->reader);
	host = pasid_table_lookup(f->table, guest);
	epoch_exit(&f->reader);
	return host;
}

static void refused(struct fixture *f, int r, int code, const char *names)
{
	assert_int_equal(r, -code);
	assert_non_null(strstr(f->err.text, names));
}

static void new_table_is_empty(void **state)
{
	struct fixture *f = *state;

	for (uint32_t guest = 0; guest < PASID_TABLE_SIZE; guest += 511)
		assert_int_equal(lookup(f, guest), 0);
	assert_int_equal(pasid_table_count(f->table), 0);
}

static void bound_is_found_and_unbound_is_not(void **state)
{
	static const uint32_t guests[] = { 1, 2, 1023, 1024, 1025, 524288, PASID_TABLE_SIZE - 1 };
	struct fixture *f = *state;

	for (uint32_t i = 0; i < ARRAY_SIZE(guests); i++)
		assert_ok(pasid_table_bind(f->table, guests[i], host_pasid(f, 100 + i), &f->err),
			  &f->err);
	assert_int_equal(pasid_table_count(f->table), ARRAY_SIZE(guests));
	for (uint32_t i = 0; i < ARRAY_SIZE(guests); i++)
		assert_int_equal(lookup(f, guests[i]), 100 + i);
	assert_int_equal(lookup(f, 3), 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(guests); i++) {
		assert_ok(pasid_table_unbind(f->table, guests[i], &f->err), &f->err);
		assert_int_equal(lookup(f, guests[i]), 0);
	}
	assert_int_equal(pasid_table_count(f->table), 0);
}

static void guest_pasids_out_of_range_are_refused(void **state)
{
	struct fixture *f = *state;
	struct ioasid_pasid *host = host_pasid(f, 5);

	refused(f, pasid_table_bind(f->table, 0, host, &f->err), EINVAL, "0");
	refused(f, pasid_table_bind(f->table, PASID_TABLE_SIZE, host, &f->err), EINVAL, "1048576");
	refused(f, pasid_table_bind(f->table, UINT32_MAX, host, &f->err), EINVAL, "1048575");
	assert_int_equal(pasid_table_count(f->table), 0);
	assert_ok(pasid_table_bind(f->table, 1, host, &f->err), &f->err);
	assert_int_equal(lookup(f, PASID_TABLE_SIZE), 0);
	assert_int_equal(lookup(f, PASID_TABLE_SIZE + 1), 0);
	assert_int_equal(lookup(f, UINT32_MAX), 0);
	refused(f, pasid_table_unbind(f->table, PASID_TABLE_SIZE + 1, &f->err), ENOENT, "1048577");
	refused(f, pasid_table_unbind(f->table, 0, &f->err), ENOENT, "not bound");
}

static void second_binding_is_refused_and_names_the_first(void **state)
{
	struct fixture *f = *state;

	assert_ok(pasid_table_bind(f->table, 9, host_pasid(f, 77), &f->err), &f->err);
	refused(f, pasid_table_bind(f->table, 9, host_pasid(f, 78), &f->err), EEXIST,
		"host PASID 77");
	assert_int_equal(lookup(f, 9), 77);
	assert_int_equal(pasid_table_count(f->table), 1);
}

static void unbind_of_nothing_is_refused(void **state)
{
	struct fixture *f = *state;

	refused(f, pasid_table_unbind(f->table, 4, &f->err), ENOENT, "guest PASID 4");
	assert_ok(pasid_table_bind(f->table, 4, host_pasid(f, 1), &f->err), &f->err);
	assert_ok(pasid_table_unbind(f->table, 4, &f->err), &f->err);
	refused(f, pasid_table_unbind(f->table, 4, &f->err), ENOENT, "guest PASID 4");
}

static void entry_keeps_its_number_from_reuse(void **state)
{
	struct fixture *f = *state;
	struct ioasid_pasid *host = host_pasid(f, 50);

	assert_ok(pasid_table_bind(f->table, 1, host, &f->err), &f->err);
	assert_ok(pasid_table_bind(f->table, 2, host, &f->err), &f->err);
	ioasid_pasid_detach(host);
	assert_int_equal(ioasid_pasid_state(f->ctx, 50), IOASID_PASID_PARKED);
	assert_int_equal(lookup(f, 1), 50);
	assert_ok(pasid_table_unbind(f->table, 1, &f->err), &f->err);
	assert_int_equal(ioasid_pasid_state(f->ctx, 50), IOASID_PASID_PARKED);
	assert_ok(pasid_table_unbind(f->table, 2, &f->err), &f->err);
	assert_int_equal(ioasid_pasid_state(f->ctx, 50), IOASID_PASID_FREE);
}

static void destroy_lets_go_of_every_entry(void **state)
{
	struct fixture *f = *state;
	struct ioasid_pasid *host = host_pasid(f, 50);

	for (uint32_t guest = 1; guest < 5000; guest += 7)
		assert_ok(pasid_table_bind(f->table, guest, host, &f->err), &f->err);
	ioasid_pasid_detach(host);
	pasid_table_destroy(f->table);
	f->table = NULL;
	assert_int_equal(ioasid_pasid_state(f->ctx, 50), IOASID_PASID_FREE);
}

static void table_may_outlive_the_context(void **state)
{
	struct fixture *f = *state;

	assert_ok(pasid_table_bind(f->table, 1, host_pasid(f, 50), &f->err), &f->err);
	ioasid_ctx_close(f->ctx);
	f->ctx = NULL;
	assert_ok(pasid_table_unbind(f->table, 1, &f->err), &f->err);
}

struct walked {
	uint32_t guest[8], host[8];
	size_t n;
};

static void note(void *arg, uint32_t guest, struct ioasid_pasid *host)
{
	struct walked *walked = arg;

	assert_in_range(walked->n, 0, 7);
	walked->guest[walked->n] = guest;
	walked->host[walked->n++] = ioasid_pasid_number(host);
}

static void walk_is_in_ascending_order(void **state)
{
	static const uint32_t guests[] = { 1, 1023, 1024, 70000, PASID_TABLE_SIZE - 1 };
	struct fixture *f = *state;
	struct walked walked = { .n = 0 };

	pasid_table_walk(f->table, note, &walked);
	assert_int_equal(walked.n, 0);
	for (size_t i = ARRAY_SIZE(guests); i--;)
		assert_ok(pasid_table_bind(f->table, guests[i], host_pasid(f, (uint32_t)i + 1),
					   &f->err),
			  &f->err);
	pasid_table_walk(f->table, note, &walked);
	assert_int_equal(walked.n, ARRAY_SIZE(guests));
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		assert_int_equal(walked.guest[i], guests[i]);
		assert_int_equal(walked.host[i], i + 1);
	}
}

/* --- changes and snapshots ------------------------------------------------------------------- */

static bool events_wait(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) == 1;
}

static void changes_are_told_once_with_what_holds_now(void **state)
{
	struct fixture *f = *state;
	struct ioasid_pasid *host = host_pasid(f, 50);
	struct pasid_event event[8];
	uint64_t lost;
	int fd;

	assert_ok(pasid_table_bind(f->table, 1, host, &f->err), &f->err);
	assert_int_equal(pasid_table_events(f->table, event, 8, &lost), 0);
	assert_ok(pasid_table_watch(f->table, &fd, &f->err), &f->err);
	assert_false(events_wait(fd));
	assert_ok(pasid_table_bind(f->table, 7, host, &f->err), &f->err);
	assert_ok(pasid_table_unbind(f->table, 1, &f->err), &f->err);
	for (int i = 0; i < 1000; i++) {
		assert_ok(pasid_table_unbind(f->table, 7, &f->err), &f->err);
		assert_ok(pasid_table_bind(f->table, 7, host, &f->err), &f->err);
	}
	assert_true(events_wait(fd));
	assert_int_equal(pasid_table_events(f->table, event, 1, &lost), 1);
	assert_true(event[0].guest == 7 && event[0].host == 50);
	assert_true(events_wait(fd));
	assert_int_equal(pasid_table_events(f->table, event, 8, &lost), 1);
	assert_true(event[0].guest == 1 && event[0].host == 0);
	assert_int_equal(lost, 0);
	assert_false(events_wait(fd));
	assert_ok(pasid_table_unbind(f->table, 7, &f->err), &f->err);
	assert_true(events_wait(fd));
}

static void changes_without_room_are_counted(void **state)
{
	static struct pasid_event event[2 * PASID_EVENTS];
	struct fixture *f = *state;
	struct ioasid_pasid *host = host_pasid(f, 50);
	uint64_t lost;
	int fd;

	assert_ok(pasid_table_watch(f->table, &fd, &f->err), &f->err);
	for (uint32_t guest = 1; guest <= PASID_EVENTS + 10; guest++)
		assert_ok(pasid_table_bind(f->table, guest, host, &f->err), &f->err);
	assert_int_equal(pasid_table_events(f->table, event, ARRAY_SIZE(event), &lost),
			 PASID_EVENTS);
	assert_int_equal(lost, 10);
	assert_int_equal(event[PASID_EVENTS - 1].guest, PASID_EVENTS);
	assert_false(events_wait(fd));
	assert_ok(pasid_table_unbind(f->table, PASID_EVENTS + 5, &f->err), &f->err);
	assert_int_equal(pasid_table_events(f->table, event, ARRAY_SIZE(event), &lost), 1);
	assert_int_equal(lost, 0);
}

static void snapshot_names_what_is_bound(void **state)
{
	struct fixture *f = *state;
	struct ioasid_pasid *active = host_pasid(f, 50), *parked = host_pasid(f, 51);
	struct json_object *json;

	assert_ok(pasid_table_bind(f->table, 9, active, &f->err), &f->err);
	assert_ok(pasid_table_bind(f->table, 3, parked, &f->err), &f->err);
	ioasid_pasid_detach(parked);
	pasid_table_used(f->table, 9);
	pasid_table_used(f->table, 9);
	json = pasid_table_json(f->table);
	assert_non_null(json);
	assert_string_equal(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN),
			    "{\"entries\":[{\"guest\":3,\"host\":51,\"state\":\"parked\","
			    "\"descriptors\":0},"
			    "{\"guest\":9,\"host\":50,\"state\":\"active\",\"device\":\"adi0\","
			    "\"space\":\"guest\",\"descriptors\":2}],\"count\":2}");
	json_object_put(json);
}

static void uses_are_of_one_binding(void **state)
{
	struct fixture *f = *state;
	struct ioasid_pasid *host = host_pasid(f, 50);

	pasid_table_used(f->table, 9); /* nothing is there */
	pasid_table_used(f->table, PASID_TABLE_SIZE);
	assert_int_equal(pasid_table_uses(f->table, 9), 0);
	assert_ok(pasid_table_bind(f->table, 9, host, &f->err), &f->err);
	pasid_table_used(f->table, 9);
	assert_int_equal(pasid_table_uses(f->table, 9), 1);
	assert_int_equal(pasid_table_uses(f->table, 8), 0);
	assert_ok(pasid_table_unbind(f->table, 9, &f->err), &f->err);
	assert_ok(pasid_table_bind(f->table, 9, host, &f->err), &f->err);
	assert_int_equal(pasid_table_uses(f->table, 9), 0);
	assert_int_equal(pasid_table_uses(f->table, PASID_TABLE_SIZE), 0);
	ioasid_pasid_detach(host);
}

/* --- lookups race changes -------------------------------------------------------------------- */

#define GUESTS 8u
#define FIRST  1021u /* so that the guests lie in two leaves */

struct race {
	struct fixture *f;
	/* Atomic, by host number: set before bind, cleared after unbind returned. */
	bool valid[GUESTS * 2 + 1];
	uint64_t stale, found; /* atomic */
	bool stop;	       /* atomic */
};

static void *race_reader(void *arg)
{
	struct race *race = arg;
	struct fixture *f = race->f;
	struct epoch_reader reader;

	epoch_join(&f->epoch, &reader);
	for (uint32_t i = 0; !__atomic_load_n(&race->stop, __ATOMIC_ACQUIRE); i++) {
		uint32_t host;

		epoch_enter(&f->epoch, &reader);
		host = pasid_table_lookup(f->table, FIRST + i % GUESTS);
		if (host) {
			__atomic_fetch_add(&race->found, 1, __ATOMIC_RELAXED);
			if (!(i % 16))
				sched_yield();
			if (!__atomic_load_n(&race->valid[host], __ATOMIC_SEQ_CST))
				__atomic_fetch_add(&race->stale, 1, __ATOMIC_RELAXED);
		}
		epoch_exit(&reader);
	}
	epoch_leave(&f->epoch, &reader);
	return NULL;
}

static bool go_on(struct race *race, unsigned int i)
{
	return i < 500 || __atomic_load_n(&race->found, __ATOMIC_RELAXED) < 2000;
}

static uint32_t race_number(unsigned int i)
{
	return 1 + i % GUESTS * 2 + i / GUESTS % 2;
}

static void race_bind(struct race *race, unsigned int i)
{
	struct fixture *f = race->f;
	uint32_t number = race_number(i);
	struct ioasid_pasid *host = host_pasid(f, number);

	__atomic_store_n(&race->valid[number], true, __ATOMIC_SEQ_CST);
	assert_ok(pasid_table_bind(f->table, FIRST + i % GUESTS, host, &f->err), &f->err);
	ioasid_pasid_detach(host);
	assert_int_equal(ioasid_pasid_state(f->ctx, number), IOASID_PASID_PARKED);
}

static void race_unbind(struct race *race, unsigned int i)
{
	struct fixture *f = race->f;
	uint32_t number = race_number(i);

	assert_ok(pasid_table_unbind(f->table, FIRST + i % GUESTS, &f->err), &f->err);
	__atomic_store_n(&race->valid[number], false, __ATOMIC_SEQ_CST);
	assert_int_equal(ioasid_pasid_state(f->ctx, number), IOASID_PASID_FREE);
}

/* All guest PASIDs are bound, each in turn moves to its other host PASID, attached anew. */
static void no_lookup_uses_an_entry_after_its_unbind(void **state)
{
	struct race race = { .f = *state };
	pthread_t thread[2];
	unsigned int i;

	for (i = 0; i < GUESTS; i++)
		race_bind(&race, i);
	for (int t = 0; t < 2; t++)
		assert_int_equal(pthread_create(&thread[t], NULL, race_reader, &race), 0);
	for (; go_on(&race, i); i++) {
		race_unbind(&race, i - GUESTS);
		race_bind(&race, i);
	}
	__atomic_store_n(&race.stop, true, __ATOMIC_RELEASE);
	for (int t = 0; t < 2; t++)
		pthread_join(thread[t], NULL);
	assert_int_equal(race.stale, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(new_table_is_empty),
		TEST(bound_is_found_and_unbound_is_not),
		TEST(guest_pasids_out_of_range_are_refused),
		TEST(second_binding_is_refused_and_names_the_first),
		TEST(unbind_of_nothing_is_refused),
		TEST(entry_keeps_its_number_from_reuse),
		TEST(destroy_lets_go_of_every_entry),
		TEST(table_may_outlive_the_context),
		TEST(walk_is_in_ascending_order),
		TEST(changes_are_told_once_with_what_holds_now),
		TEST(changes_without_room_are_counted),
		TEST(snapshot_names_what_is_bound),
		TEST(uses_are_of_one_binding),
		TEST(no_lookup_uses_an_entry_after_its_unbind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
