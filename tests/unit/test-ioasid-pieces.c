/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large mappings of the iommufd provider, on the fake of its kernel: pieces that several threads
 * map at once are one mapping to whoever asked for it, whatever becomes of them.
 */
#include "tests/unit/ioasid-rows.h"

#include <pthread.h>

#define AT   (0x100000000ULL + 256 * MIB) /* not on a border of the pieces */
#define SIZE (5 * GIB)
/* To the first border, four whole ones, and the rest. */
#define CALLS 6u

struct scene {
	struct bench b;
	struct ioasid_seam seam;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int maps, inside; /* calls so far; those that have not returned */
	bool met;		   /* two were inside at once */
	bool alone;		   /* they need not be */
	unsigned int fails;	   /* the call that does, from 1 on */
	bool keeps;		   /* an unmap fails */
	unsigned char *memory;
	struct ioasid_space *space;
};

/* From the second call on nobody gets through before there were two at once. */
static void meet(struct scene *s)
{
	s->inside++;
	s->met |= s->inside > 1;
	pthread_cond_broadcast(&s->changed);
	while (s->maps > 1 && !s->met && !s->alone)
		pthread_cond_wait(&s->changed, &s->lock);
	s->inside--;
}

static int scene_ioctl(const struct ioasid_seam *seam, int fd, unsigned long request, void *arg)
{
	struct scene *s = seam->arg;
	const struct ioasid_seam *below = &s->b.fake->seam;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	if (request == IFD_IOAS_UNMAP && s->keeps)
		r = -EBUSY;
	if (request == IFD_IOAS_MAP && ((struct ifd_ioas_map *)arg)->iova >= AT) {
		r = ++s->maps == s->fails ? -ENOMEM : 0;
		meet(s);
	}
	if (!r)
		r = below->ioctl(below, fd, request, arg);
	pthread_mutex_unlock(&s->lock);
	return r;
}

static void scene_start(struct scene *s)
{
	static const struct row row = { "fake iommufd", IOASID_PROVIDER_IOMMUFD, true, true };

	*s = (struct scene){ .lock = PTHREAD_MUTEX_INITIALIZER,
			     .changed = PTHREAD_COND_INITIALIZER };
	s->b.fake = malloc(sizeof(*s->b.fake));
	fake_start(s->b.fake, false);
	s->seam = (struct ioasid_seam){ .ioctl = scene_ioctl, .root = s->b.fake->root, .arg = s };
	bench_start(&s->b, &row, &s->seam);
	s->space = space_of(&s->b, "guest");
	attach(&s->b, s->space);
	s->memory = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true((void *)s->memory != MAP_FAILED);
}

static void scene_end(struct scene *s)
{
	bench_end(&s->b);
	munmap(s->memory, SIZE);
}

static int map_all(struct scene *s)
{
	s->maps = 0;
	return ioasid_map_hva(s->space, AT, SIZE, s->memory, RW, &s->b.err);
}

/* Does the device reach what lies there, and nothing beside it? */
static bool reached(struct scene *s)
{
	bool all = !fake_reach(s->b.fake, AT - 1, true) && !fake_reach(s->b.fake, AT + SIZE, true);

	for (uint64_t at = 0; at < SIZE; at += 64 * MIB)
		all = all && fake_reach(s->b.fake, AT + at, true) == s->memory + at;
	return all && fake_reach(s->b.fake, AT + SIZE - 1, true) == s->memory + SIZE - 1;
}

static bool nothing_reached(struct scene *s)
{
	for (uint64_t at = 0; at < SIZE; at += 64 * MIB) {
		if (fake_reach(s->b.fake, AT + at, true))
			return false;
	}
	return true;
}

static void a_large_mapping_goes_by_pieces_side_by_side(void **state)
{
	struct scene s;

	scene_start(&s);
	assert_ok(map_all(&s), &s.b.err);
	assert_int_equal(s.maps, CALLS);
	assert_true(s.met);
	assert_true(reached(&s));
	/* It is one: half of it cannot be had, and the whole goes in one call. */
	refused(&s.b, ioasid_unmap(s.space, AT, 2 * GIB, &s.b.err), EINVAL, "guest");
	assert_ok(ioasid_unmap(s.space, AT, SIZE, &s.b.err), &s.b.err);
	assert_true(nothing_reached(&s));
	scene_end(&s);
}

static void a_piece_that_fails_takes_all_back(void **state)
{
	struct scene s;

	scene_start(&s);
	s.alone = true;
	for (s.fails = 1; s.fails <= CALLS; s.fails++) {
		assert_int_equal(map_all(&s), -ENOMEM);
		assert_true(nothing_reached(&s));
	}
	s.fails = 0;
	assert_ok(map_all(&s), &s.b.err);
	assert_true(reached(&s));
	scene_end(&s);
}

static void pieces_that_stay_block_the_space(void **state)
{
	struct scene s;

	scene_start(&s);
	s.alone = s.keeps = true;
	s.fails = 3;
	refused(&s.b, map_all(&s), EIO, "the space is blocked");
	assert_true(nothing_reached(&s));
	assert_null(ioasid_device_space(s.b.device));
	refused(&s.b, map_all(&s), EIO, "destroy it");
	s.keeps = false;
	assert_ok(ioasid_unmap(s.space, AT, SIZE, &s.b.err), &s.b.err);
	scene_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_large_mapping_goes_by_pieces_side_by_side),
		cmocka_unit_test(a_piece_that_fails_takes_all_back),
		cmocka_unit_test(pieces_that_stay_block_the_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
