/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While the kernel opens a device, which may take it a tenth of a second: other threads use the
 * context, and the label that the device will have is taken. On the fake of iommufd's kernel;
 * type1's groups are in test-ioasid-together.c.
 */
#include "tests/unit/ioasid-rows.h"

#include <pthread.h>

struct scene {
	struct bench b;
	struct ioasid_seam seam;
	bool asks;  /* somebody does, during the next bind */
	bool fails; /* the bind does, after that */
	int taken;  /* what a bind under the same label said meanwhile */
	struct err err;
};

static void *ask(void *arg)
{
	struct scene *s = arg;
	struct ioasid_source source = row_source(s->b.row, FAKE_BDF);
	struct ioasid_device *device;
	struct ioasid_caps caps;

	ioasid_ctx_caps(s->b.ctx, &caps);
	s->taken = ioasid_bind(s->b.ctx, &source, "edu", &device, &s->err);
	source_close(&source);
	return NULL;
}

/* Who held the context's lock over the kernel's call would wait for ever. */
static int scene_ioctl(const struct ioasid_seam *seam, int fd, unsigned long request, void *arg)
{
	struct scene *s = seam->arg;
	const struct ioasid_seam *below = &s->b.fake->seam;
	pthread_t thread;

	if (request == VFIO_CDEV_BIND && s->asks) {
		s->asks = false;
		assert_int_equal(pthread_create(&thread, NULL, ask, s), 0);
		pthread_join(thread, NULL);
		if (s->fails)
			return -EIO;
	}
	return below->ioctl(below, fd, request, arg);
}

static void scene_start(struct scene *s)
{
	static const struct row row = { "fake iommufd", IOASID_PROVIDER_IOMMUFD, true, true };

	*s = (struct scene){ .b.row = &row };
	s->b.fake = malloc(sizeof(*s->b.fake));
	fake_start(s->b.fake, false);
	s->seam = (struct ioasid_seam){ .ioctl = scene_ioctl, .root = s->b.fake->root, .arg = s };
	bench_start(&s->b, &row, &s->seam);
	ioasid_unbind(s->b.device);
	s->asks = true;
}

static void the_context_is_used_while_a_device_is_opened(void **state)
{
	struct scene s;

	scene_start(&s);
	assert_ok(bench_bind(&s.b), &s.b.err);
	assert_int_equal(s.taken, -EEXIST);
	assert_non_null(strstr(s.err.text, "label edu is taken"));
	bench_end(&s.b);
}

static void a_bind_that_fails_gives_its_label_back(void **state)
{
	struct scene s;

	scene_start(&s);
	s.fails = true;
	assert_int_equal(bench_bind(&s.b), -EIO);
	assert_int_equal(s.taken, -EEXIST);
	assert_ok(bench_bind(&s.b), &s.b.err);
	bench_end(&s.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_context_is_used_while_a_device_is_opened),
		cmocka_unit_test(a_bind_that_fails_gives_its_label_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
