/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory in the I/O space of its devices, on the soft provider: all of it, at the guest's
 * addresses.
 */
#include "tests/unit/check.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "vmm/guest-space.h"
#include "vmm/layout.h"
#include "vmm/ram.h"

struct scene {
	struct ioasid_ctx *ctx;
	struct ioasid_device *device;
	struct ioasid_dma *dma;
	struct ioasid_space *space;
	struct err err;
};

static void scene_start(struct scene *s)
{
	const struct ioasid_space_options options = { .name = "guest" };
	const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT };

	*s = (struct scene){ 0 };
	assert_ok(ioasid_ctx_open(&s->ctx, IOASID_PROVIDER_SOFT, NULL, &s->err), &s->err);
	assert_ok(ioasid_dma_open(s->ctx, &s->dma, &s->err), &s->err);
	assert_ok(ioasid_bind(s->ctx, &source, "nic", &s->device, &s->err), &s->err);
	assert_ok(ioasid_alloc(s->ctx, &options, &s->space, &s->err), &s->err);
	assert_ok(ioasid_attach(s->device, s->space, &s->err), &s->err);
}

static void scene_end(struct scene *s)
{
	ioasid_ctx_close(s->ctx);
	ioasid_dma_close(s->dma);
}

static void *reach(struct scene *s, uint64_t iova)
{
	uint64_t len = 1;
	void *at;

	ioasid_dma_begin(s->dma);
	at = ioasid_translate(s->dma, s->device, 0, iova, &len, IOASID_READ | IOASID_WRITE);
	ioasid_dma_end(s->dma);
	return at;
}

/* A guest of that much, none of which is there: addresses are all that is looked at. */
static void plan(struct ram *ram, struct layout *layout, uint64_t size)
{
	const struct layout_range hole = { 80 * GIB, 1 * GIB };
	const struct layout_request request = { .ram_size = size,
						.phys_bits = 46,
						.aperture_last = UINT64_MAX,
						.reserved = &hole,
						.n_reserved = 1 };
	struct err err = { 0 };

	assert_ok(layout_plan(layout, &request, &err), &err);
	*ram = (struct ram){ .fd = -1, .size = size };
	ram->base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(ram->base != MAP_FAILED);
}

static void all_of_it_is_where_the_guest_has_it(void **state)
{
	const uint64_t size = 100 * GIB;
	struct layout layout;
	struct scene s;
	struct ram ram;

	scene_start(&s);
	plan(&ram, &layout, size);
	assert_true(layout.n_ram >= 3);
	assert_ok(guest_space_map(s.space, &ram, &layout, NULL, &s.err), &s.err);
	for (unsigned int i = 0; i < layout.n_ram; i++) {
		const struct layout_ram *r = &layout.ram[i];
		char *hva = (char *)ram.base + r->offset;

		assert_ptr_equal(reach(&s, r->gpa), hva);
		assert_ptr_equal(reach(&s, r->gpa + r->size / 2), hva + r->size / 2);
		assert_ptr_equal(reach(&s, r->gpa + r->size - 1), hva + r->size - 1);
		assert_null(reach(&s, r->gpa + r->size));
	}
	scene_end(&s);
	munmap(ram.base, size);
}

/* Lines of the log that say how far it is. */
static unsigned int progress_of(uint64_t size)
{
	char text[8192];
	struct layout layout;
	unsigned int lines = 0;
	struct scene s;
	struct ram ram;
	int fds[2];
	ssize_t n;

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	scene_start(&s);
	plan(&ram, &layout, size);
	assert_ok(guest_space_map(s.space, &ram, &layout,
				  &(struct log){ .fd = fds[1], .level = LOG_INFO }, &s.err),
		  &s.err);
	scene_end(&s);
	munmap(ram.base, size);
	close(fds[1]);
	n = read(fds[0], text, sizeof(text) - 1);
	close(fds[0]);
	text[n > 0 ? n : 0] = '\0';
	for (const char *at = text; (at = strstr(at, " GiB\n")); at++)
		lines++;
	return lines;
}

static void only_a_large_guest_says_how_far_it_is(void **state)
{
	assert_int_equal(progress_of(2 * GIB), 0);
	assert_true(progress_of(100 * GIB) >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_it_is_where_the_guest_has_it),
		cmocka_unit_test(only_a_large_guest_says_how_far_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
