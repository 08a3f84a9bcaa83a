/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binding, unbinding, pausing, moving spaces away and removing the function in any order, while
 * guests submit to a shared and a dedicated queue without a pause. Every PASID has a window of its
 * own. A window whose binding is gone is painted, and is looked at byte by byte when it is bound
 * again: nothing may have been written after the call returned. Memory that no window covers is
 * painted once and looked at all along.
 */
#include "tests/unit/test-dsa.h"

#define PASIDS	    4u
#define FIRST_PASID 5u
#define DEFAULTS    2u /* of the dedicated queue, and of all queues */
#define BINDINGS    (PASIDS + DEFAULTS)
#define PANE	    (32 * KIB) /* a window, and as much that is none behind it */
#define PANE_SIZE   (16 * KIB)
#define PANES	    (1 * MIB) /* where the first one lies */
#define PAINT	    0xc7
#define GUESTS	    3u

struct chaos {
	struct dsa_rig rig;
	struct ioasid_space *space[BINDINGS];
	bool bound[BINDINGS];
	uint64_t portals;
	unsigned int pauses;
	uint64_t seed, binds, unbinds, removals;
};

struct guest {
	pthread_t thread; /* of the last: it is the operator's own */
	struct chaos *chaos;
	struct epoch_reader reader;
	uint64_t seed, sent;
	bool stop; /* atomic */
};

static uint8_t *pane(struct chaos *chaos, unsigned int i)
{
	return chaos->rig.memory + PANES + (uint64_t)i * PANE;
}

static void assert_painted(struct chaos *chaos, uint64_t from, uint64_t to)
{
	static const uint8_t paint[PANE_SIZE] = { [0 ... PANE_SIZE - 1] = PAINT };

	for (; from < to; from += PANE_SIZE) {
		size_t n = MIN(PANE_SIZE, to - from);

		if (memcmp(chaos->rig.memory + from, paint, n) != 0)
			fail_msg("memory at %#llx was written", (unsigned long long)from);
	}
}

static void assert_nothing_else_written(struct chaos *chaos)
{
	assert_painted(chaos, 0, PANES);
	for (unsigned int i = 0; i < BINDINGS; i++)
		assert_painted(chaos, PANES + (uint64_t)i * PANE + PANE_SIZE,
			       PANES + (uint64_t)(i + 1) * PANE);
	assert_painted(chaos, PANES + (uint64_t)BINDINGS * PANE, MEMORY);
}

/* --- the guests ------------------------------------------------------------------------------ */

/* Mostly inside one of the windows, at times anywhere. */
static uint64_t address(struct guest *guest)
{
	uint32_t r = random_next(&guest->seed);

	if (r % 16 == 0)
		return random_next(&guest->seed) % MEMORY;
	return PANES + (uint64_t)(r % BINDINGS) * PANE + random_next(&guest->seed) % PANE_SIZE;
}

static void send(struct guest *guest)
{
	struct chaos *chaos = guest->chaos;
	bool shared = random_next(&guest->seed) & 1;
	struct dsa_descriptor d =
		move(address(guest), address(guest), 1 + random_next(&guest->seed) % PANE_SIZE);

	d.pasid = FIRST_PASID + random_next(&guest->seed) % (PASIDS + 1);
	d.record = address(guest) & ~31ULL;
	if (shared)
		portal_store(&chaos->rig, &guest->reader, chaos->portals, STORE64_ENQCMDS, &d);
	else
		portal_store(&chaos->rig, &guest->reader, chaos->portals + DSA_WQ_PORTALS,
			     STORE64_MOVDIR64B, &d);
	guest->sent++;
}

static void *guest_main(void *arg)
{
	struct guest *guest = arg;

	while (!__atomic_load_n(&guest->stop, __ATOMIC_RELAXED)) {
		send(guest);
		sched_yield();
	}
	return NULL;
}

/* --- the operator ---------------------------------------------------------------------------- */

static void make_space(struct chaos *chaos, unsigned int i)
{
	chaos->space[i] = rig_space(&chaos->rig, "pane", PANES + (uint64_t)i * PANE, PANE_SIZE,
				    IOASID_READ | IOASID_WRITE);
}

static void bind(struct chaos *chaos, unsigned int i)
{
	struct dsa *dsa = chaos->rig.dsa;
	struct err *err = &chaos->rig.err;
	uint64_t at = PANES + (uint64_t)i * PANE;

	assert_painted(chaos, at, at + PANE_SIZE);
	if (i < PASIDS)
		assert_ok(dsa_pasid_bind(dsa, FIRST_PASID + i, chaos->space[i], 0, NULL, err), err);
	else
		assert_ok(dsa_default_bind(dsa, i == PASIDS ? 1 : DSA_ALL_WQS, chaos->space[i], 0,
					   NULL, err),
			  err);
	chaos->bound[i] = true;
	chaos->binds++;
}

static void paint(struct chaos *chaos, unsigned int i)
{
	memset(pane(chaos, i), PAINT, PANE_SIZE);
	chaos->bound[i] = false;
}

static void unbind(struct chaos *chaos, unsigned int i)
{
	struct dsa *dsa = chaos->rig.dsa;
	struct err *err = &chaos->rig.err;

	if (i < PASIDS)
		assert_ok(dsa_pasid_unbind(dsa, FIRST_PASID + i, err), err);
	else
		assert_ok(dsa_default_unbind(dsa, i == PASIDS ? 1 : DSA_ALL_WQS, err), err);
	paint(chaos, i);
	chaos->unbinds++;
}

/* Under a binding that stays: it reaches nothing from here on, until it is bound to another. */
static void destroy_space(struct chaos *chaos, unsigned int i)
{
	ioasid_destroy(chaos->space[i]);
	memset(pane(chaos, i), PAINT, PANE_SIZE);
	if (chaos->bound[i])
		unbind(chaos, i);
	make_space(chaos, i);
}

static void enable(struct chaos *chaos)
{
	struct dsa_rig *rig = &chaos->rig;

	chaos->pauses = 0;
	device_enable(rig);
	assert_int_equal(command(rig, DSA_ENABLE_WQ, 0), 0);
	assert_int_equal(command(rig, DSA_ENABLE_WQ, 1), 0);
}

static struct dsa_options shape(void)
{
	struct dsa_options options = rig_options(true);

	options.wq[0].shared = true;
	return options;
}

static void remove_function(struct chaos *chaos)
{
	const struct dsa_options options = shape();

	pci_bus_remove(chaos->rig.bus, dsa_function(chaos->rig.dsa));
	for (unsigned int i = 0; i < BINDINGS; i++)
		paint(chaos, i);
	rig_add(&chaos->rig, &options);
	assert_int_equal(portal_at(&chaos->rig, 0, 0), chaos->portals);
	enable(chaos);
	chaos->removals++;
}

static void reset(struct chaos *chaos)
{
	/* Engines at rest would not end what runs: nothing does, but the command must not wait. */
	while (chaos->pauses) {
		dsa_engines_start(chaos->rig.dsa);
		chaos->pauses--;
	}
	assert_int_equal(command(&chaos->rig, DSA_RESET_DEVICE, 0), 0);
	enable(chaos);
}

static void one_round(struct chaos *chaos, struct guest *self)
{
	uint32_t r = random_next(&chaos->seed);
	unsigned int i = random_next(&chaos->seed) % BINDINGS;

	for (unsigned int n = r % 3; n; n--)
		send(self);
	if (r % 2048 == 0) {
		remove_function(chaos);
	} else if (r % 512 == 1) {
		reset(chaos);
	} else if (r % 64 == 2) {
		destroy_space(chaos, i);
	} else if (r % 32 == 3 && chaos->pauses < 2) {
		dsa_engines_stop(chaos->rig.dsa);
		chaos->pauses++;
	} else if (r % 16 == 3 && chaos->pauses) {
		dsa_engines_start(chaos->rig.dsa);
		chaos->pauses--;
	} else if (chaos->bound[i]) {
		unbind(chaos, i);
	} else {
		bind(chaos, i);
	}
	if (r % 4096 == 4)
		assert_nothing_else_written(chaos);
}

static void begin(struct chaos *chaos, struct guest *guests)
{
	struct dsa_rig *rig = &chaos->rig;

	memset(rig->memory, PAINT, MEMORY);
	for (unsigned int i = 0; i < BINDINGS; i++)
		make_space(chaos, i);
	enable(chaos);
	chaos->portals = portal_at(rig, 0, 0);
	for (unsigned int i = 0; i < GUESTS; i++) {
		guests[i] = (struct guest){ .chaos = chaos, .seed = i + 1 };
		epoch_join(vm_epoch(rig->vm), &guests[i].reader);
		if (i < GUESTS - 1)
			pthread_create(&guests[i].thread, NULL, guest_main, &guests[i]);
	}
}

static void end(struct chaos *chaos, struct guest *guests)
{
	for (unsigned int i = 0; i < GUESTS; i++) {
		__atomic_store_n(&guests[i].stop, true, __ATOMIC_RELAXED);
		if (i < GUESTS - 1)
			pthread_join(guests[i].thread, NULL);
		epoch_leave(vm_epoch(chaos->rig.vm), &guests[i].reader);
	}
	reset(chaos);
	for (unsigned int i = 0; i < BINDINGS; i++) {
		if (chaos->bound[i])
			unbind(chaos, i);
	}
	assert_painted(chaos, 0, MEMORY);
}

/* The long tier gives another number. */
static unsigned long rounds(void)
{
	const char *ops = getenv("ADIT_TEST_OPS");

	return ops ? strtoul(ops, NULL, 0) : 100000;
}

static void nothing_is_written_after_the_call_returned(void **state)
{
	const struct dsa_options options = shape();
	struct chaos chaos = { .seed = 1 };
	struct guest guests[GUESTS];
	struct dsa_counters c;

	if (!rig_open(&chaos.rig, &options))
		skip_because("no VM: %s", chaos.rig.err.text);
	begin(&chaos, guests);
	for (unsigned long round = rounds(); round; round--)
		one_round(&chaos, &guests[GUESTS - 1]);
	end(&chaos, guests);
	c = counters(&chaos.rig);
	assert_int_equal(c.accepted, c.completed + c.failed + c.aborted);
	print_message("%llu binds, %llu unbinds, %llu removals, %llu submissions\n",
		      (unsigned long long)chaos.binds, (unsigned long long)chaos.unbinds,
		      (unsigned long long)chaos.removals,
		      (unsigned long long)(guests[0].sent + guests[1].sent + guests[2].sent));
	rig_close(&chaos.rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_written_after_the_call_returned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
