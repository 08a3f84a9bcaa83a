/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual DSA goes on in another one: registers, queues, descriptors, and no right but its own.
 */
#include "tests/unit/test-dsa.h"

#include "util/state.h"

#define FROM (WINDOW + 0x10000)
#define TO   (WINDOW + 0x20000)
#define SIZE 0x1000u
#define REC  (WINDOW + 0x30000)

static struct state_out save(struct dsa_rig *rig)
{
	struct state_out out = { 0 };

	assert_ok(dsa_save(rig->dsa, &out, &rig->err), &rig->err);
	assert_int_equal(out.ret, 0);
	return out;
}

/* With its memory, and engines stopped. */
static int load(struct dsa_rig *to, const struct dsa_rig *from, const struct state_out *out)
{
	struct state_in in;
	int ret = state_open(&in, out->data, out->len, &to->err);

	if (from)
		memcpy(to->memory, from->memory, MEMORY);
	dsa_engines_stop(to->dsa);
	if (!ret)
		ret = dsa_load(to->dsa, &in);
	return ret ? ret : state_close(&in);
}

static void bind_window(struct dsa_rig *rig, uint32_t guest)
{
	assert_ok(dsa_pasid_bind(rig->dsa, guest, rig->window, IOASID_PASID_NONE, NULL, &rig->err),
		  &rig->err);
}

/* A move that waits in queue 0, for the engines rest. */
static void submit_at_rest(struct dsa_rig *rig)
{
	const struct dsa_descriptor d = move_with_record(TO, FROM, SIZE, REC);

	memset(rig->memory + FROM, 0x5a, SIZE);
	memset(rig->memory + TO, 0, SIZE);
	memset(rig->memory + REC, 0, 32);
	dsa_engines_stop(rig->dsa);
	assert_int_equal(submit(rig, 0, &d), 0);
}

static void it_is_done(struct dsa_rig *rig)
{
	dsa_engines_start(rig->dsa);
	WAIT_FOR(status_at(rig, REC));
	assert_int_equal(status_at(rig, REC), DSA_STATUS_OK);
	assert_memory_equal(rig->memory + TO, rig->memory + FROM, SIZE);
}

static void a_descriptor_that_waits_is_carried_out_in_the_other(void **state)
{
	RIG(a, rig_options(false));
	RIG(b, rig_options(false));
	struct state_out out;

	device_enable(&a);
	wq_enable(&a, 0, 0);
	submit_at_rest(&a);
	out = save(&a);
	assert_ok(load(&b, &a, &out), &b.err);
	assert_int_equal(wqcfg_read(&b, 0, DSA_WQCFG_STATE), wqcfg_read(&a, 0, DSA_WQCFG_STATE));
	assert_int_equal(reg_read(&b, DSA_GENSTS, 4), reg_read(&a, DSA_GENSTS, 4));
	assert_int_equal(reg_read(&b, DSA_GRPCFG, 8), reg_read(&a, DSA_GRPCFG, 8));
	it_is_done(&b);
	/* And in the one that was saved. */
	it_is_done(&a);
	state_out_free(&out);
	rig_close(&a);
	rig_close(&b);
}

static bool is_begun(struct dsa_rig *rig)
{
	bool begun;

	pthread_mutex_lock(&rig->dsa->lock);
	begun = rig->dsa->running || status_at(rig, RECORD);
	pthread_mutex_unlock(&rig->dsa->lock);
	return begun;
}

static void a_descriptor_under_way_ends_before(void **state)
{
	RIG(a, rig_options(false));
	RIG(b, rig_options(false));
	struct dsa_descriptor d = long_move();
	struct state_out out;

	device_enable(&a);
	wq_enable(&a, 0, 0);
	memset(a.memory + RECORD, 0, 32);
	assert_int_equal(submit(&a, 0, &d), 0);
	WAIT_FOR(is_begun(&a));
	dsa_engines_stop(a.dsa);
	out = save(&a);
	assert_int_equal(status_at(&a, RECORD), DSA_STATUS_OK);
	assert_int_equal(a.dsa->waiting, 0);
	assert_quiet(&a);
	assert_ok(load(&b, &a, &out), &b.err);
	assert_int_equal(wqcfg_read(&b, 0, DSA_WQCFG_STATE) & 0xffff, 0);
	dsa_engines_start(a.dsa);
	dsa_engines_start(b.dsa);
	state_out_free(&out);
	rig_close(&a);
	rig_close(&b);
}

static void pasids_are_granted_by_who_goes_on(void **state)
{
	RIG(a, rig_options(true));
	RIG(b, rig_options(true));
	struct state_out out;

	bind_window(&a, 5);
	bind_window(&b, 9); /* another host PASID than a's */
	bind_window(&b, 5);
	device_enable(&a);
	wq_enable(&a, 0, 5);
	submit_at_rest(&a);
	out = save(&a);
	assert_ok(load(&b, &a, &out), &b.err);
	assert_int_equal(TAILQ_FIRST(&b.dsa->wq[0].jobs)->host,
			 ioasid_pasid_number(SLIST_FIRST(&b.dsa->bindings)->host));
	it_is_done(&b);
	dsa_engines_start(a.dsa);
	state_out_free(&out);
	rig_close(&a);
	rig_close(&b);
}

static void refuses_pasid(struct dsa_rig *b, const struct state_out *out, const char *why)
{
	assert_int_equal(load(b, NULL, out), -EPROTO);
	if (!strstr(b->err.text, why))
		fail_msg("%s", b->err.text);
}

static void what_is_not_granted_is_refused(void **state)
{
	RIG(a, rig_options(true));
	RIG(none, rig_options(true));
	RIG(other, rig_options(true));
	RIG(keyless, rig_options(false));
	struct state_out out;

	bind_window(&a, 5);
	assert_ok(dsa_pasid_bind(other.dsa, 5, other.guest, IOASID_PASID_NONE, NULL, &other.err),
		  &other.err);
	device_enable(&a);
	wq_enable(&a, 0, 5);
	submit_at_rest(&a);
	out = save(&a);
	refuses_pasid(&none, &out, "guest PASID 5 was bound to space \"window\"");
	refuses_pasid(&other, &out, "do not bind it so");
	refuses_pasid(&keyless, &out, "do not bind it so");
	assert_int_equal(counters(&none).accepted, 0);
	dsa_engines_start(a.dsa);
	state_out_free(&out);
	rig_close(&a);
	rig_close(&none);
	rig_close(&other);
	rig_close(&keyless);
}

/* A file that leaves its bindings out has no more rights: each descriptor is judged again. */
static void a_descriptor_whose_binding_was_left_out_is_refused(void **state)
{
	RIG(a, rig_options(true));
	RIG(b, rig_options(true));
	struct dsa_binding *binding;
	struct state_out out;

	bind_window(&a, 5);
	device_enable(&a);
	wq_enable(&a, 0, 5);
	submit_at_rest(&a);
	binding = SLIST_FIRST(&a.dsa->bindings);
	SLIST_INIT(&a.dsa->bindings);
	out = save(&a);
	SLIST_INSERT_HEAD(&a.dsa->bindings, binding, link);
	refuses_pasid(&b, &out, "holds a descriptor of guest PASID 5, which this configuration");
	dsa_engines_start(a.dsa);
	state_out_free(&out);
	rig_close(&a);
	rig_close(&b);
}

static void a_command_that_waits_ends_in_the_other(void **state)
{
	RIG(a, rig_options(false));
	RIG(b, rig_options(false));
	struct state_out out;

	device_enable(&a);
	wq_enable(&a, 0, 0);
	submit_at_rest(&a);
	command_start(&a, DSA_DISABLE_WQ, 1);
	assert_true(reg_read(&a, DSA_CMDSTS, 4) & DSA_CMDSTS_ACTIVE);
	out = save(&a);
	assert_ok(load(&b, &a, &out), &b.err);
	assert_true(reg_read(&b, DSA_CMDSTS, 4) & DSA_CMDSTS_ACTIVE);
	it_is_done(&b);
	assert_int_equal(command_end(&b), 0);
	it_is_done(&a);
	assert_int_equal(command_end(&a), 0);
	state_out_free(&out);
	rig_close(&a);
	rig_close(&b);
}

/* Stores of 8 bytes, some here and the last there. */
static void a_descriptor_that_is_half_written_is_written_to_its_end(void **state)
{
	const struct dsa_descriptor d = move_with_record(TO, FROM, SIZE, REC);
	RIG(a, rig_options(false));
	RIG(b, rig_options(false));
	struct state_out out;
	uint64_t words[8];

	memcpy(words, &d, sizeof(words));
	memset(a.memory + FROM, 0x77, SIZE);
	memset(a.memory + REC, 0, 32);
	device_enable(&a);
	wq_enable(&a, 0, 0);
	for (unsigned int i = 0; i < 7; i++)
		mmio_write(&a, portal_at(&a, 0, 0x40 + 8 * i), words[i], 8);
	dsa_engines_stop(a.dsa);
	out = save(&a);
	assert_ok(load(&b, &a, &out), &b.err);
	mmio_write(&b, portal_at(&b, 0, 0x78), words[7], 8);
	it_is_done(&b);
	dsa_engines_start(a.dsa);
	state_out_free(&out);
	rig_close(&a);
	rig_close(&b);
}

static void another_device_is_refused(void **state)
{
	struct dsa_options options = rig_options(false);
	RIG(a, options);
	struct state_out out;

	options.engines++;
	RIG(b, options);
	dsa_engines_stop(a.dsa);
	out = save(&a);
	refuses_pasid(&b, &out, "it has not");
	dsa_engines_start(a.dsa);
	state_out_free(&out);
	rig_close(&a);
	rig_close(&b);
}

/* Whatever byte is wrong: an answer, and a device that can be taken apart. */
static void damage_ends_in_an_answer(void **state)
{
	RIG(a, rig_options(true));
	unsigned int seed = 1, loaded = 0;
	struct state_out out;
	uint8_t *good;

	bind_window(&a, 5);
	device_enable(&a);
	wq_enable(&a, 0, 5);
	submit_at_rest(&a);
	command_start(&a, DSA_DRAIN_ALL, 0);
	out = save(&a);
	good = malloc(out.len);
	memcpy(good, out.data, out.len);
	for (unsigned int round = 0; round < 150; round++) {
		RIG(b, rig_options(true));

		bind_window(&b, 5);
		out.data[(unsigned int)rand_r(&seed) % out.len] = (uint8_t)rand_r(&seed);
		loaded += !load(&b, NULL, &out);
		dsa_engines_start(b.dsa);
		memcpy(out.data, good, out.len);
		rig_close(&b);
	}
	assert_in_range(loaded, 1, 149);
	dsa_engines_start(a.dsa);
	free(good);
	state_out_free(&out);
	rig_close(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_descriptor_that_waits_is_carried_out_in_the_other),
		cmocka_unit_test(a_descriptor_under_way_ends_before),
		cmocka_unit_test(pasids_are_granted_by_who_goes_on),
		cmocka_unit_test(what_is_not_granted_is_refused),
		cmocka_unit_test(a_descriptor_whose_binding_was_left_out_is_refused),
		cmocka_unit_test(a_command_that_waits_ends_in_the_other),
		cmocka_unit_test(a_descriptor_that_is_half_written_is_written_to_its_end),
		cmocka_unit_test(another_device_is_refused),
		cmocka_unit_test(damage_ends_in_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
