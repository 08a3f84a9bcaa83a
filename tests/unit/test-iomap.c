/* SPDX-License-Identifier: Apache-2.0 */
/* The map that every exit is looked up in: overlaps, moves, splits, and lookups while it changes.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kvm-glue/iomap.h"
#include "util/bits.h"

struct device {
	uint64_t base; /* where it was put, for the racing test */
	uint64_t reads, writes;
	uint64_t last_offset, last_value;
	unsigned int last_size;
};

static uint64_t device_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct device *d = opaque;

	d->reads++;
	d->last_offset = offset;
	d->last_size = size;
	return 0x1122334455667788 >> (8 * (offset & 7));
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct device *d = opaque;

	d->writes++;
	d->last_offset = offset;
	d->last_size = size;
	d->last_value = value;
}

static const struct io_ops ops = { .read = device_read, .write = device_write };

struct fixture {
	struct epoch epoch;
	struct iomap map;
	struct device a, b;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	epoch_init(&f->epoch);
	*state = f;
	return iomap_init(&f->map, &f->epoch);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	iomap_destroy(&f->map);
	epoch_destroy(&f->epoch);
	free(f);
	return 0;
}

static int add(struct fixture *f, uint64_t base, uint64_t size, struct device *d)
{
	const struct io_region region = {
		.base = base,
		.size = size,
		.ops = &ops,
		.opaque = d,
		.name = "device",
	};

	return iomap_add(&f->map, &region);
}

static void overlap_is_refused_and_changes_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, 0x1000, 0x1000, &f->a), 0);
	assert_int_equal(add(f, 0x1fff, 1, &f->b), -EEXIST);
	assert_int_equal(add(f, 0x800, 0x801, &f->b), -EEXIST);
	assert_int_equal(add(f, 0, 0x4000, &f->b), -EEXIST);
	assert_ptr_equal(iomap_find(&f->map, 0x1fff)->opaque, &f->a);
	assert_int_equal(add(f, 0x2000, 1, &f->b), 0);
	assert_int_equal(add(f, 0xfff, 1, &f->b), 0);
}

static void empty_or_wrapping_region_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, 0x1000, 0, &f->a), -EINVAL);
	assert_int_equal(add(f, UINT64_MAX - 1, 3, &f->a), -EINVAL);
	assert_int_equal(add(f, UINT64_MAX - 1, 2, &f->a), 0);
	assert_ptr_equal(iomap_find(&f->map, UINT64_MAX)->opaque, &f->a);
}

static void move_takes_effect_or_changes_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, 0x1000, 0x1000, &f->a), 0);
	assert_int_equal(add(f, 0x4000, 0x1000, &f->b), 0);
	assert_int_equal(iomap_move(&f->map, 0x1000, &f->a, 0x3001), -EEXIST);
	assert_ptr_equal(iomap_find(&f->map, 0x1000)->opaque, &f->a);
	assert_int_equal(iomap_move(&f->map, 0x1000, &f->a, 0x1800), 0);
	assert_null(iomap_find(&f->map, 0x17ff));
	assert_ptr_equal(iomap_find(&f->map, 0x1800)->opaque, &f->a);
	assert_int_equal(iomap_move(&f->map, 0x1000, &f->a, 0x8000), -ENOENT);
	assert_int_equal(iomap_remove(&f->map, 0x1800, &f->b), -ENOENT);
	assert_int_equal(iomap_remove(&f->map, 0x1800, &f->a), 0);
	assert_null(iomap_find(&f->map, 0x1800));
}

static void access_reaches_the_handler_with_its_width(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, 0x1000, 0x100, &f->a), 0);
	for (unsigned int size = 1; size <= 8; size *= 2) {
		uint64_t value = 0;

		assert_true(iomap_read(&f->map, 0x1000, &value, size));
		assert_int_equal(value, 0x1122334455667788 & mask_bytes(size));
		assert_int_equal(f->a.last_size, size);
		assert_true(iomap_write(&f->map, 0x1003, &value, size));
		assert_int_equal(f->a.last_offset, 3);
		assert_int_equal(f->a.last_value, value);
	}
}

static void odd_width_is_split_into_bytes(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[8] = { 0 };

	assert_int_equal(add(f, 0x1000, 0x100, &f->a), 0);
	assert_true(iomap_read(&f->map, 0x1000, bytes, 3));
	assert_int_equal(f->a.reads, 3);
	assert_int_equal(bytes[2], 0x66);
}

static void hole_reads_as_ones_also_where_an_access_straddles_it(void **state)
{
	struct fixture *f = *state;
	uint32_t value = 0;

	assert_false(iomap_read(&f->map, 0x5000, &value, 4));
	assert_int_equal(value, 0xffffffff);
	assert_int_equal(add(f, 0x1000, 0x10, &f->a), 0);
	assert_false(iomap_read(&f->map, 0x100e, &value, 4));
	assert_int_equal(value >> 16, 0xffff);
	assert_int_equal(f->a.last_offset, 0xf);
	assert_false(iomap_write(&f->map, 0xffe, &value, 4));
	assert_int_equal(f->a.writes, 2);
}

/* A naive array of bytes-to-owner is the model; 10^4 random changes. */
static void random_changes_agree_with_a_naive_model(void **state)
{
	enum {
		SPACE = 256,
		DEVICES = 8
	};
	struct fixture *f = *state;
	struct device devices[DEVICES] = { { 0 } };
	int owner[SPACE];
	uint64_t base[DEVICES], size[DEVICES];
	unsigned int seed = 7;

	memset(owner, -1, sizeof(owner));
	memset(size, 0, sizeof(size));
	for (int round = 0; round < 10000; round++) {
		int d = rand_r(&seed) % DEVICES;
		uint64_t at = (unsigned int)rand_r(&seed) % SPACE;
		uint64_t n = 1 + (unsigned int)rand_r(&seed) % 32;
		bool free_room = true;

		if (size[d] && rand_r(&seed) % 2) {
			assert_int_equal(iomap_remove(&f->map, base[d], &devices[d]), 0);
			for (uint64_t i = 0; i < size[d]; i++)
				owner[base[d] + i] = -1;
			size[d] = 0;
			continue;
		}
		n = size[d] ? size[d] : n;
		if (at + n > SPACE)
			continue;
		for (uint64_t i = 0; i < n; i++)
			free_room &= owner[at + i] == -1 || owner[at + i] == d;
		if (size[d])
			assert_int_equal(iomap_move(&f->map, base[d], &devices[d], at),
					 free_room ? 0 : -EEXIST);
		else
			assert_int_equal(add(f, at, n, &devices[d]), free_room ? 0 : -EEXIST);
		if (free_room) {
			for (int i = 0; i < SPACE; i++)
				owner[i] = owner[i] == d ? -1 : owner[i];
			for (uint64_t i = 0; i < n; i++)
				owner[at + i] = d;
			base[d] = at;
			size[d] = n;
		}
		for (uint64_t i = 0; i < SPACE; i++) {
			const struct io_region *r = iomap_find(&f->map, i);

			assert_ptr_equal(r ? r->opaque : NULL,
					 owner[i] < 0 ? NULL : &devices[owner[i]]);
		}
	}
}

struct race {
	struct fixture *f;
	bool stop;
};

static void *look_up(void *arg)
{
	struct epoch_reader reader;
	struct race *race = arg;

	epoch_join(&race->f->epoch, &reader);
	while (!__atomic_load_n(&race->stop, __ATOMIC_ACQUIRE)) {
		const struct io_region *r;

		epoch_enter(&race->f->epoch, &reader);
		r = iomap_find(&race->f->map, 0x1000);
		if (!r || r->size != 0x100)
			abort();
		r = iomap_find(&race->f->map, 0x2080);
		if (r && r->base != 0x2000)
			abort();
		epoch_exit(&reader);
	}
	epoch_leave(&race->f->epoch, &reader);
	return NULL;
}

/* The fixed region is found at every moment, the moving one at one of its two places only. */
static void lookups_run_while_regions_move(void **state)
{
	struct fixture *f = *state;
	struct race race = { .f = f };
	pthread_t threads[2];

	assert_int_equal(add(f, 0x1000, 0x100, &f->a), 0);
	assert_int_equal(add(f, 0x2000, 0x100, &f->b), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look_up, &race), 0);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(iomap_move(&f->map, i & 1 ? 0x3000 : 0x2000, &f->b,
					    i & 1 ? 0x2000 : 0x3000),
				 0);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(overlap_is_refused_and_changes_nothing),
		T(empty_or_wrapping_region_is_refused),
		T(move_takes_effect_or_changes_nothing),
		T(access_reaches_the_handler_with_its_width),
		T(odd_width_is_split_into_bytes),
		T(hole_reads_as_ones_also_where_an_access_straddles_it),
		T(random_changes_agree_with_a_naive_model),
		T(lookups_run_while_regions_move),
	};

	return cmocka_run_group_tests_name("iomap", tests, NULL, NULL);
}
