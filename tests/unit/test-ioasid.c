/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite of ioasid.h: every test runs once per row of the provider table. What a
 * device reaches is asked of ioasid_translate, which stands for DMA on the soft provider.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "ioasid-client/providers/soft.h"
#include "util/bits.h"

#define PAGE ((uint64_t)IOASID_PAGE_SIZE)
#define RW   (IOASID_READ | IOASID_WRITE)

/* A row is a provider and how to make a device with so many PASID bits. */
struct row {
	const char *name;
	enum ioasid_provider_id provider;
	void (*source)(struct ioasid_source *source, unsigned int pasid_width);
};

static void soft_source(struct ioasid_source *source, unsigned int pasid_width)
{
	*source = (struct ioasid_source){
		.type = IOASID_SOURCE_SOFT,
		.soft = { .pasid_width = pasid_width, .snoop_enforced = true },
	};
}

static const struct row rows[] = {
	{ "soft", IOASID_PROVIDER_SOFT, soft_source },
};

struct fixture {
	const struct row *row;
	struct ioasid_ctx *ctx;
	struct ioasid_device *device;
	struct ioasid_space *space;
	struct ioasid_dma *dma;
	char *memory; /* page aligned; nothing dereferences what lies past it */
	struct err err;
};

#define MEMORY_SIZE (16 * PAGE)

static struct ioasid_device *bind_device(struct fixture *f, const char *label, unsigned int width)
{
	struct ioasid_device *device = NULL;
	struct ioasid_source source;

	f->row->source(&source, width);
	assert_ok(ioasid_bind(f->ctx, &source, label, &device, &f->err), &f->err);
	return device;
}

static struct ioasid_space *alloc_space(struct fixture *f, const char *name, bool pasid_capable)
{
	const struct ioasid_space_options options = { .name = name,
						      .pasid_capable = pasid_capable };
	struct ioasid_space *space = NULL;

	assert_ok(ioasid_alloc(f->ctx, &options, &space, &f->err), &f->err);
	return space;
}

static int setup(void **state)
{
	const struct row *row = *state;
	struct fixture *f = calloc(1, sizeof(*f));

	f->row = row;
	f->memory = aligned_alloc(PAGE, MEMORY_SIZE);
	*state = f;
	if (ioasid_ctx_open(&f->ctx, row->provider, NULL, &f->err))
		return 0;
	assert_ok(ioasid_dma_open(f->ctx, &f->dma, &f->err), &f->err);
	f->device = bind_device(f, "dev0", 20);
	f->space = alloc_space(f, "guest", true);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ioasid_ctx_close(f->ctx);
	ioasid_dma_close(f->dma);
	free(f->memory);
	free(f);
	return 0;
}

static struct fixture *fixture(void **state)
{
	struct fixture *f = *state;

	if (!f->ctx)
		skip_because("provider %s: %s", f->row->name, f->err.text);
	return f;
}

/* Where the access lands, and how much of `len` is contiguous from there. */
static void *reach(struct fixture *f, const struct ioasid_device *device, uint32_t pasid,
		   uint64_t iova, uint64_t *len, unsigned int rights)
{
	void *p;

	ioasid_dma_begin(f->dma);
	p = ioasid_translate(f->dma, device, pasid, iova, len, rights);
	ioasid_dma_end(f->dma);
	return p;
}

static void *reach1(struct fixture *f, uint32_t pasid, uint64_t iova)
{
	uint64_t one = 1;

	return reach(f, f->device, pasid, iova, &one, IOASID_READ);
}

static void map(struct fixture *f, struct ioasid_space *space, uint64_t iova, uint64_t size,
		void *hva, unsigned int rights)
{
	assert_ok(ioasid_map_hva(space, iova, size, hva, rights, &f->err), &f->err);
}

static void attach(struct fixture *f)
{
	assert_ok(ioasid_attach(f->device, f->space, &f->err), &f->err);
}

static struct ioasid_pasid *pasid_attach(struct fixture *f, uint32_t want)
{
	struct ioasid_pasid *pasid = NULL;

	assert_ok(ioasid_pasid_attach(f->device, f->space, want, &pasid, &f->err), &f->err);
	return pasid;
}

static void refused(struct fixture *f, int r, int code, const char *names)
{
	assert_int_equal(r, -code);
	assert_int_equal(f->err.code, code);
	assert_non_null(strstr(f->err.text, names));
	memset(&f->err, 0, sizeof(f->err));
}

/* --- contexts -------------------------------------------------------------------------------- */

static void context_names_its_provider(void **state)
{
	struct fixture *f = fixture(state);

	assert_string_equal(ioasid_ctx_provider(f->ctx), f->row->name);
	assert_string_equal(ioasid_ctx_reason(f->ctx), "");
}

static void kernel_providers_say_why_they_do_not_answer(void **state)
{
	static const enum ioasid_provider_id ids[] = { IOASID_PROVIDER_IOMMUFD,
						       IOASID_PROVIDER_TYPE1 };
	struct fixture *f = fixture(state);
	struct ioasid_ctx *ctx = NULL;

	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		refused(f, ioasid_ctx_open(&ctx, ids[i], "/nonexistent/node", &f->err), ENOTSUP,
			"there is no /nonexistent/node; load");
		refused(f, ioasid_ctx_open(&ctx, ids[i], "/dev/null", &f->err), ENOTSUP,
			"/dev/null does not answer as");
	}
	assert_null(ctx);
}

static void what_is_handed_over_stays_the_callers_when_refused(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_ctx *ctx = NULL;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	refused(f, ioasid_ctx_open_fd(&ctx, IOASID_PROVIDER_IOMMUFD, fd, &f->err), ENOTSUP,
		"does not answer");
	refused(f, ioasid_ctx_open_fd(&ctx, IOASID_PROVIDER_TYPE1, fd, &f->err), ENOTSUP,
		"does not answer");
	refused(f, ioasid_ctx_open_fd(&ctx, IOASID_PROVIDER_SOFT, fd, &f->err), EINVAL,
		"needs no descriptor");
	refused(f, ioasid_ctx_open_fd(&ctx, IOASID_PROVIDER_AUTO, fd, &f->err), ENOTSUP,
		"no provider answers");
	refused(f, ioasid_ctx_open_fd(&ctx, IOASID_PROVIDER_AUTO, -1, &f->err), EBADF, "none");
	assert_int_equal(close(fd), 0);
}

static void auto_takes_what_answers_and_keeps_why(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_ctx *ctx = NULL;

	assert_ok(ioasid_ctx_open(&ctx, IOASID_PROVIDER_AUTO, "/nonexistent/iommu", &f->err),
		  &f->err);
	assert_string_equal(ioasid_ctx_provider(ctx), "soft");
	assert_non_null(strstr(ioasid_ctx_reason(ctx), "iommufd"));
	assert_non_null(strstr(ioasid_ctx_reason(ctx), "type1"));
	ioasid_ctx_close(ctx);
}

static void soft_refuses_a_node(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_ctx *ctx = NULL;

	refused(f, ioasid_ctx_open(&ctx, IOASID_PROVIDER_SOFT, "/dev/iommu", &f->err), EINVAL,
		"/dev/iommu");
	refused(f, ioasid_ctx_open(&ctx, (enum ioasid_provider_id)77, NULL, &f->err), EINVAL, "77");
}

static void isolation_is_named(void **state)
{
	assert_string_equal(ioasid_isolation_name(IOASID_ISOLATION_SOFTWARE), "software-checked");
	assert_string_equal(ioasid_isolation_name(IOASID_ISOLATION_RID), "iommu-rid");
	assert_string_equal(ioasid_isolation_name(IOASID_ISOLATION_PASID), "iommu-pasid");
	assert_string_equal(ioasid_isolation_name(IOASID_ISOLATION_VENDOR), "vendor-mdev");
}

static void close_frees_all_and_ends_reach(void **state)
{
	struct fixture *f = fixture(state);
	uint64_t one = 1;

	map(f, f->space, 0, PAGE, f->memory, RW);
	attach(f);
	pasid_attach(f, 7);
	alloc_space(f, "other", false);
	bind_device(f, "dev1", 0);
	assert_ptr_equal(reach1(f, 7, 0), f->memory);
	ioasid_ctx_close(f->ctx);
	f->ctx = NULL;
	assert_null(reach(f, f->device, IOASID_PASID_NONE, 0, &one, IOASID_READ));
	assert_null(reach(f, f->device, 7, 0, &one, IOASID_READ));
}

static void held_pasid_outlives_its_context(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_pasid *pasid = pasid_attach(f, 9);

	ioasid_pasid_hold(pasid);
	ioasid_ctx_close(f->ctx);
	f->ctx = NULL;
	assert_int_equal(ioasid_pasid_number(pasid), 9);
	ioasid_pasid_release(pasid);
}

/* --- devices --------------------------------------------------------------------------------- */

static void bind_refuses_bad_labels(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_device *device = NULL;
	struct ioasid_source source;
	char text[65];

	f->row->source(&source, 20);
	memset(text, 'x', sizeof(text));
	text[64] = '\0';
	refused(f, ioasid_bind(f->ctx, &source, text, &device, &f->err), EINVAL, "63");
	refused(f, ioasid_bind(f->ctx, &source, "", &device, &f->err), EINVAL, "63");
	refused(f, ioasid_bind(f->ctx, &source, "a\nb", &device, &f->err), EINVAL, "printable");
	refused(f, ioasid_bind(f->ctx, &source, NULL, &device, &f->err), EINVAL, "label");
	refused(f, ioasid_bind(f->ctx, &source, "dev0", &device, &f->err), EEXIST, "dev0");
	assert_null(device);
	text[63] = '\0';
	device = bind_device(f, text, 20);
	ioasid_unbind(device);
}

static void bind_refuses_sources_of_other_providers(void **state)
{
	struct fixture *f = fixture(state);
	const struct ioasid_source cdev = { .type = IOASID_SOURCE_CDEV, .cdev = { .fd = -1 } };
	const struct ioasid_source wide = { .type = IOASID_SOURCE_SOFT,
					    .soft = { .pasid_width = 21 } };
	struct ioasid_device *device = NULL;

	if (f->row->provider != IOASID_PROVIDER_SOFT)
		skip_because("%s takes no model devices by design", f->row->name);
	refused(f, ioasid_bind(f->ctx, &cdev, "dev1", &device, &f->err), ENOTSUP, "dev1");
	refused(f, ioasid_bind(f->ctx, &wide, "dev1", &device, &f->err), EINVAL, "21");
}

static void label_is_free_again_after_unbind(void **state)
{
	struct fixture *f = fixture(state);

	ioasid_unbind(f->device);
	f->device = bind_device(f, "dev0", 20);
}

static void device_info_says_what_it_is(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_device_info info;

	ioasid_device_info(f->device, &info);
	assert_string_equal(info.label, "dev0");
	assert_int_equal(info.pasid_width, 20);
	assert_true(info.page_sizes & PAGE);
	assert_true(info.iova_first < info.iova_last);
	if (f->row->provider == IOASID_PROVIDER_SOFT) {
		assert_int_equal(info.isolation, IOASID_ISOLATION_SOFTWARE);
		assert_int_equal(info.snoop, IOASID_SNOOP_ENFORCED);
	}
}

static void device_reaches_nothing_before_attach(void **state)
{
	struct fixture *f = fixture(state);

	map(f, f->space, 0, PAGE, f->memory, RW);
	assert_null(reach1(f, IOASID_PASID_NONE, 0));
	assert_null(reach1(f, 1, 0));
}

static void attach_opens_and_detach_blocks(void **state)
{
	struct fixture *f = fixture(state);

	map(f, f->space, 0, PAGE, f->memory, RW);
	attach(f);
	assert_ptr_equal(reach1(f, IOASID_PASID_NONE, 5), f->memory + 5);
	ioasid_detach(f->device, NULL);
	assert_null(reach1(f, IOASID_PASID_NONE, 5));
	ioasid_detach(f->device, NULL);
	attach(f);
	assert_ptr_equal(reach1(f, IOASID_PASID_NONE, 5), f->memory + 5);
}

static void attach_replaces_the_space(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_space *other = alloc_space(f, "other", false);

	map(f, f->space, 0, PAGE, f->memory, RW);
	map(f, other, 0, PAGE, f->memory + PAGE, RW);
	attach(f);
	assert_ptr_equal(reach1(f, IOASID_PASID_NONE, 0), f->memory);
	assert_ok(ioasid_attach(f->device, other, &f->err), &f->err);
	assert_ptr_equal(reach1(f, IOASID_PASID_NONE, 0), f->memory + PAGE);
	ioasid_destroy(f->space);
	assert_ptr_equal(reach1(f, IOASID_PASID_NONE, 0), f->memory + PAGE);
}

static void attach_refuses_a_space_of_another_context(void **state)
{
	struct fixture *f = fixture(state);
	struct fixture other = { .row = f->row };
	struct ioasid_space *space;
	struct ioasid_pasid *pasid = NULL;

	assert_ok(ioasid_ctx_open(&other.ctx, f->row->provider, NULL, &other.err), &other.err);
	space = alloc_space(&other, "elsewhere", true);
	refused(f, ioasid_attach(f->device, space, &f->err), EINVAL, "elsewhere");
	refused(f, ioasid_pasid_attach(f->device, space, 1, &pasid, &f->err), EINVAL, "elsewhere");
	ioasid_ctx_close(other.ctx);
}

static void unbind_blocks_and_parks(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_pasid *pasid = pasid_attach(f, 3);

	map(f, f->space, 0, PAGE, f->memory, RW);
	assert_ptr_equal(reach1(f, 3, 0), f->memory);
	ioasid_unbind(f->device);
	assert_int_equal(ioasid_pasid_state(f->ctx, 3), IOASID_PASID_PARKED);
	ioasid_pasid_detach(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 3), IOASID_PASID_FREE);
}

/* --- spaces ---------------------------------------------------------------------------------- */

static void space_has_its_name(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_space_options options = { .name = "" };
	struct ioasid_space *space = NULL;

	assert_string_equal(ioasid_space_name(f->space), "guest");
	refused(f, ioasid_alloc(f->ctx, &options, &space, &f->err), EINVAL, "63");
}

static void map_checks_its_arguments(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_space *s = f->space;
	char *m = f->memory;
	const struct {
		uint64_t iova, size;
		void *hva;
		unsigned int rights;
		const char *names;
	} bad[] = {
		{ 1, PAGE, m, RW, "0x1" },
		{ 0, PAGE + 1, m, RW, "0x1001" },
		{ 0, PAGE, m + 8, RW, "multiples of 4096" },
		{ 0, 0, m, RW, "empty" },
		{ 0 - PAGE, 2 * PAGE, m, RW, "64 bits" },
		{ 0, PAGE * 2, (void *)(0 - PAGE), RW, "64 bits" },
		{ 0, PAGE, NULL, RW, "NULL" },
		{ 0, PAGE, m, 0, "rights" },
		{ 0, PAGE, m, 4 | IOASID_READ, "rights" },
	};

	attach(f);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		refused(f,
			ioasid_map_hva(s, bad[i].iova, bad[i].size, bad[i].hva, bad[i].rights,
				       &f->err),
			EINVAL, bad[i].names);
	assert_null(reach1(f, IOASID_PASID_NONE, 0));
	refused(f, ioasid_unmap(s, 1, PAGE, &f->err), EINVAL, "0x1");
	refused(f, ioasid_unmap(s, 0, 0, &f->err), EINVAL, "empty");
	refused(f, ioasid_unmap(s, 0 - PAGE, 2 * PAGE, &f->err), EINVAL, "64 bits");
}

static void map_refuses_any_overlap(void **state)
{
	struct fixture *f = fixture(state);

	map(f, f->space, 4 * PAGE, 4 * PAGE, f->memory, RW);
	refused(f, ioasid_map_hva(f->space, 7 * PAGE, PAGE, f->memory, RW, &f->err), EEXIST,
		"0x7000");
	refused(f, ioasid_map_hva(f->space, 0, 5 * PAGE, f->memory, RW, &f->err), EEXIST, "0x4000");
	refused(f, ioasid_map_hva(f->space, 0, 1 * TIB, f->memory, RW, &f->err), EEXIST, "0x4000");
	map(f, f->space, 3 * PAGE, PAGE, f->memory, RW);
	map(f, f->space, 8 * PAGE, PAGE, f->memory, RW);
	attach(f);
	assert_null(reach1(f, IOASID_PASID_NONE, 2 * PAGE));
	assert_null(reach1(f, IOASID_PASID_NONE, 9 * PAGE));
}

static void rights_are_kept(void **state)
{
	struct fixture *f = fixture(state);
	static const struct {
		unsigned int have, want;
		bool may;
	} cases[] = {
		{ IOASID_READ, IOASID_READ, true },
		{ IOASID_READ, IOASID_WRITE, false },
		{ IOASID_READ, RW, false },
		{ IOASID_WRITE, IOASID_WRITE, true },
		{ IOASID_WRITE, IOASID_READ, false },
		{ RW, RW, true },
		{ RW, IOASID_READ, true },
		{ RW, IOASID_WRITE, true },
		{ RW, 0, false },
		{ RW, 4 | IOASID_READ, false },
	};

	attach(f);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* One page and several are kept differently. */
		for (uint64_t size = PAGE; size <= 2 * PAGE; size += PAGE) {
			uint64_t len = 16;

			map(f, f->space, PAGE, size, f->memory, cases[i].have);
			/* Twice: the second is answered by an IOTLB. */
			for (int again = 0; again < 2; again++) {
				void *p = reach(f, f->device, IOASID_PASID_NONE, PAGE, &len,
						cases[i].want);

				assert_ptr_equal(p, cases[i].may ? f->memory : NULL);
				assert_int_equal(len, cases[i].may ? 16 : 0);
				len = 16;
			}
			assert_ok(ioasid_unmap(f->space, PAGE, size, &f->err), &f->err);
		}
	}
}

static void length_is_what_is_contiguous(void **state)
{
	struct fixture *f = fixture(state);
	char *m = f->memory;
	uint64_t len;

	attach(f);
	map(f, f->space, 0, PAGE, m, RW);
	map(f, f->space, PAGE, 2 * PAGE, m + PAGE, RW);
	map(f, f->space, 3 * PAGE, PAGE, m + 3 * PAGE, IOASID_READ);
	map(f, f->space, 4 * PAGE, PAGE, m + 8 * PAGE, RW);

	len = 8;
	assert_ptr_equal(reach(f, f->device, 0, 16, &len, RW), m + 16);
	assert_int_equal(len, 8);
	len = UINT64_MAX;
	assert_ptr_equal(reach(f, f->device, 0, 16, &len, RW), m + 16);
	assert_int_equal(len, 3 * PAGE - 16);
	len = UINT64_MAX;
	assert_ptr_equal(reach(f, f->device, 0, 16, &len, IOASID_READ), m + 16);
	assert_int_equal(len, 4 * PAGE - 16);
	len = PAGE + 1;
	assert_non_null(reach(f, f->device, 0, 2 * PAGE - 1, &len, RW));
	assert_int_equal(len, PAGE + 1);
	len = 0;
	assert_non_null(reach(f, f->device, 0, 0, &len, RW));
	assert_int_equal(len, 0);
	len = 8;
	assert_null(reach(f, f->device, 0, 5 * PAGE, &len, RW));
	assert_int_equal(len, 0);
}

static void terabytes_are_mapped_at_any_address(void **state)
{
	struct fixture *f = fixture(state);
	char *m = (char *)0x100000000000;
	const uint64_t start = 5 * PAGE, size = 4 * TIB + 3 * PAGE;
	uint64_t len;

	attach(f);
	map(f, f->space, start, size, m, RW);
	map(f, f->space, 0 - 2 * PAGE, 2 * PAGE, m, RW);
	map(f, f->space, 1ULL << 63, PAGE, m, RW);
	assert_ptr_equal(reach1(f, 0, start), m);
	assert_ptr_equal(reach1(f, 0, start + size - 1), m + size - 1);
	assert_null(reach1(f, 0, start - 1));
	assert_null(reach1(f, 0, start + size));
	len = UINT64_MAX;
	assert_ptr_equal(reach(f, f->device, 0, GIB, &len, RW), m + GIB - start);
	assert_int_equal(len, start + size - GIB);
	len = UINT64_MAX;
	assert_ptr_equal(reach(f, f->device, 0, UINT64_MAX, &len, RW), m + 2 * PAGE - 1);
	assert_int_equal(len, 1);
	assert_ok(ioasid_unmap(f->space, 0, 1ULL << 63, &f->err), &f->err);
	assert_null(reach1(f, 0, start));
	assert_ptr_equal(reach1(f, 0, 1ULL << 63), m);
	assert_ptr_equal(reach1(f, 0, 0 - 2 * PAGE), m);
	assert_ok(ioasid_unmap(f->space, 1ULL << 63, 1ULL << 63, &f->err), &f->err);
	assert_null(reach1(f, 0, 1ULL << 63));
}

static void unmap_takes_whole_mappings_only(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_space *s = f->space;

	attach(f);
	map(f, s, 2 * PAGE, 2 * PAGE, f->memory, RW);
	map(f, s, 6 * PAGE, 2 * PAGE, f->memory, RW);
	refused(f, ioasid_unmap(s, 0, 2 * PAGE, &f->err), ENOENT, "0x1fff");
	refused(f, ioasid_unmap(s, 3 * PAGE, 5 * PAGE, &f->err), EINVAL, "straddles");
	refused(f, ioasid_unmap(s, 0, 7 * PAGE, &f->err), EINVAL, "straddles");
	refused(f, ioasid_unmap(s, 2 * PAGE, PAGE, &f->err), EINVAL, "straddles");
	assert_non_null(reach1(f, 0, 2 * PAGE));
	assert_non_null(reach1(f, 0, 7 * PAGE));
	assert_ok(ioasid_unmap(s, 0, 9 * PAGE, &f->err), &f->err);
	assert_null(reach1(f, 0, 2 * PAGE));
	assert_null(reach1(f, 0, 7 * PAGE));
	refused(f, ioasid_unmap(s, 0, 9 * PAGE, &f->err), ENOENT, "nothing is mapped");
}

static void unmapped_address_takes_a_new_mapping(void **state)
{
	struct fixture *f = fixture(state);

	attach(f);
	for (int i = 0; i < 16; i++) {
		map(f, f->space, 0, PAGE, f->memory + i * PAGE, RW);
		assert_ptr_equal(reach1(f, 0, 0), f->memory + i * PAGE);
		assert_ok(ioasid_unmap(f->space, 0, PAGE, &f->err), &f->err);
		assert_null(reach1(f, 0, 0));
	}
}

/* The soft provider's tree, looked at from inside: what mappings cost, and that it comes back. */
static unsigned int nodes_below(const struct soft_node *node)
{
	unsigned int n = 1;

	if (!node)
		return 0;
	for (unsigned int i = 0; i < SOFT_SLOTS; i++) {
		if (node->slot[i] && !(soft_slot_bits(node->slot[i]) & SOFT_TAGS))
			n += nodes_below((const struct soft_node *)node->slot[i]);
	}
	return n;
}

static unsigned int nodes(struct fixture *f)
{
	const struct soft_space *soft = f->space->priv;

	return nodes_below(soft->map.root);
}

static void terabytes_cost_few_tables(void **state)
{
	struct fixture *f = fixture(state);

	if (f->row->provider != IOASID_PROVIDER_SOFT)
		skip_because("%s keeps its tables in the kernel", f->row->name);
	map(f, f->space, 3 * PAGE, 16 * TIB + 3 * PAGE, (char *)0x100000000000, RW);
	assert_in_range(nodes(f), 1, 2 * 9);
}

static void unmap_frees_empty_tables(void **state)
{
	struct fixture *f = fixture(state);
	unsigned int before;

	if (f->row->provider != IOASID_PROVIDER_SOFT)
		skip_because("%s keeps its tables in the kernel", f->row->name);
	map(f, f->space, 0, PAGE, f->memory, RW);
	map(f, f->space, 65 * PAGE, PAGE, f->memory, RW);
	before = nodes(f);
	for (unsigned int shift = 19; shift < 64; shift++)
		map(f, f->space, 1ULL << shift, PAGE, f->memory, RW);
	assert_true(nodes(f) > before);
	for (unsigned int shift = 19; shift < 64; shift++)
		assert_ok(ioasid_unmap(f->space, 1ULL << shift, PAGE, &f->err), &f->err);
	assert_int_equal(nodes(f), before);
	assert_ok(ioasid_unmap(f->space, 0, TIB, &f->err), &f->err);
	assert_int_equal(nodes(f), 0);
}

static void pages_in_a_row_share_a_table(void **state)
{
	struct fixture *f = fixture(state);

	if (f->row->provider != IOASID_PROVIDER_SOFT)
		skip_because("%s keeps its tables in the kernel", f->row->name);
	for (uint64_t i = 0; i < 4096; i++)
		map(f, f->space, i * PAGE, PAGE, (char *)0x100000000000 + i * PAGE, RW);
	assert_int_equal(nodes(f), 1);
	attach(f);
	for (uint64_t i = 0; i < 4096; i++)
		assert_ptr_equal(reach1(f, 0, i * PAGE), (char *)0x100000000000 + i * PAGE);
	for (uint64_t i = 0; i < 4096; i++)
		assert_ok(ioasid_unmap(f->space, i * PAGE, PAGE, &f->err), &f->err);
	assert_int_equal(nodes(f), 0);
}

static void page_out_of_the_row_is_mapped_as_well(void **state)
{
	struct fixture *f = fixture(state);
	uint64_t one = 1;

	attach(f);
	for (uint64_t i = 0; i < 12; i++)
		map(f, f->space, i * PAGE, PAGE, f->memory + i * PAGE, RW);
	/* Other memory, other rights, a mapping of two pages: each in the middle of the row. */
	assert_ok(ioasid_unmap(f->space, 3 * PAGE, 6 * PAGE, &f->err), &f->err);
	map(f, f->space, 3 * PAGE, PAGE, f->memory, RW);
	map(f, f->space, 5 * PAGE, PAGE, f->memory + 5 * PAGE, IOASID_READ);
	map(f, f->space, 6 * PAGE, 2 * PAGE, f->memory + 6 * PAGE, RW);
	for (uint64_t i = 0; i < 12; i++)
		assert_ptr_equal(reach1(f, 0, i * PAGE), i == 3		    ? f->memory
							 : i == 4 || i == 8 ? NULL
									    : f->memory + i * PAGE);
	assert_null(reach(f, f->device, 0, 5 * PAGE, &one, IOASID_WRITE));
	refused(f, ioasid_unmap(f->space, 7 * PAGE, PAGE, &f->err), EINVAL, "straddles");
}

static void destroy_blocks_its_users_and_parks(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_pasid *pasid = pasid_attach(f, 4);

	map(f, f->space, 0, PAGE, f->memory, RW);
	attach(f);
	assert_non_null(reach1(f, 0, 0));
	assert_non_null(reach1(f, 4, 0));
	ioasid_destroy(f->space);
	assert_null(reach1(f, 0, 0));
	assert_null(reach1(f, 4, 0));
	assert_int_equal(ioasid_pasid_state(f->ctx, 4), IOASID_PASID_PARKED);
	f->space = alloc_space(f, "guest", true);
	map(f, f->space, 0, PAGE, f->memory, RW);
	assert_null(reach1(f, 0, 0));
	assert_null(reach1(f, 4, 0));
	ioasid_pasid_detach(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 4), IOASID_PASID_FREE);
}

/* --- host PASIDs ----------------------------------------------------------------------------- */

static void pasid_reaches_its_space_for_its_device_only(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_device *other = bind_device(f, "dev1", 20);
	uint64_t one = 1;

	map(f, f->space, 0, PAGE, f->memory, RW);
	pasid_attach(f, 5);
	assert_ptr_equal(reach1(f, 5, 0), f->memory);
	assert_null(reach1(f, 4, 0));
	assert_null(reach1(f, IOASID_PASID_NONE, 0));
	assert_null(reach1(f, IOASID_PASID_MAX + 1, 0));
	assert_null(reach1(f, (1u << 20) + 5, 0));
	assert_null(reach1(f, UINT32_MAX, 0));
	assert_null(reach(f, other, 5, 0, &one, IOASID_READ));
}

static void pasid_spaces_are_apart(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_space *other = alloc_space(f, "other", true);
	struct ioasid_pasid *pasid;

	map(f, f->space, 0, PAGE, f->memory, RW);
	map(f, other, 0, PAGE, f->memory + PAGE, RW);
	pasid_attach(f, 1);
	assert_ok(ioasid_pasid_attach(f->device, other, 2, &pasid, &f->err), &f->err);
	attach(f);
	assert_ptr_equal(reach1(f, 1, 0), f->memory);
	assert_ptr_equal(reach1(f, 2, 0), f->memory + PAGE);
	assert_ptr_equal(reach1(f, 0, 0), f->memory);
	ioasid_pasid_detach(pasid);
	assert_null(reach1(f, 2, 0));
	assert_ptr_equal(reach1(f, 1, 0), f->memory);
}

static void pasid_attach_checks_its_arguments(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_device *narrow = bind_device(f, "narrow", 4);
	struct ioasid_device *none = bind_device(f, "none", 0);
	struct ioasid_space *plain = alloc_space(f, "plain", false);
	struct ioasid_pasid *pasid = NULL;

	refused(f, ioasid_pasid_attach(narrow, f->space, 16, &pasid, &f->err), ERANGE, "1 to 15");
	refused(f, ioasid_pasid_attach(f->device, f->space, 1u << 20, &pasid, &f->err), ERANGE,
		"1048576");
	refused(f, ioasid_pasid_attach(none, f->space, 1, &pasid, &f->err), EOPNOTSUPP, "none");
	refused(f, ioasid_pasid_attach(f->device, plain, 1, &pasid, &f->err), EINVAL, "plain");
	assert_null(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 1), IOASID_PASID_FREE);
	assert_ok(ioasid_pasid_attach(narrow, f->space, 15, &pasid, &f->err), &f->err);
	pasid_attach(f, IOASID_PASID_MAX);
}

static void pasid_number_is_refused_while_active_or_parked(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_pasid *pasid = pasid_attach(f, 8), *again = NULL;

	refused(f, ioasid_pasid_attach(f->device, f->space, 8, &again, &f->err), EBUSY, "active");
	assert_int_equal(ioasid_pasid_state(f->ctx, 8), IOASID_PASID_ACTIVE);
	ioasid_pasid_hold(pasid);
	ioasid_pasid_hold(pasid);
	ioasid_pasid_detach(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 8), IOASID_PASID_PARKED);
	refused(f, ioasid_pasid_attach(f->device, f->space, 8, &again, &f->err), EBUSY, "parked");
	ioasid_pasid_release(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 8), IOASID_PASID_PARKED);
	assert_int_equal(ioasid_pasid_number(pasid), 8);
	ioasid_pasid_release(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 8), IOASID_PASID_FREE);
	pasid_attach(f, 8);
}

static void any_pasid_is_never_a_parked_one(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_device *narrow = bind_device(f, "narrow", 2);
	struct ioasid_pasid *pasid[4] = { 0 };

	for (int i = 0; i < 3; i++) {
		assert_ok(ioasid_pasid_attach(narrow, f->space, IOASID_PASID_NONE, &pasid[i],
					      &f->err),
			  &f->err);
		assert_in_range(ioasid_pasid_number(pasid[i]), 1, 3);
	}
	ioasid_pasid_hold(pasid[1]);
	ioasid_pasid_detach(pasid[1]);
	refused(f, ioasid_pasid_attach(narrow, f->space, IOASID_PASID_NONE, &pasid[3], &f->err),
		ENOSPC, "1 to 3");
	ioasid_pasid_release(pasid[1]);
	assert_ok(ioasid_pasid_attach(narrow, f->space, IOASID_PASID_NONE, &pasid[3], &f->err),
		  &f->err);
}

static void numbers_that_are_no_pasid_are_free(void **state)
{
	struct fixture *f = fixture(state);

	assert_int_equal(ioasid_pasid_state(f->ctx, IOASID_PASID_NONE), IOASID_PASID_FREE);
	assert_int_equal(ioasid_pasid_state(f->ctx, IOASID_PASID_MAX + 1), IOASID_PASID_FREE);
	assert_int_equal(ioasid_pasid_state(f->ctx, UINT32_MAX), IOASID_PASID_FREE);
}

static void holding_does_not_keep_dma_open(void **state)
{
	struct fixture *f = fixture(state);
	struct ioasid_pasid *pasid = pasid_attach(f, 6);

	map(f, f->space, 0, PAGE, f->memory, RW);
	ioasid_pasid_hold(pasid);
	assert_non_null(reach1(f, 6, 0));
	ioasid_pasid_detach(pasid);
	assert_null(reach1(f, 6, 0));
	ioasid_pasid_release(pasid);
}

/* --- in every order of closing: nothing stays reachable, nothing leaks (ASan) ---------------- */

enum step {
	STEP_DETACH,
	STEP_PASID,
	STEP_RELEASE,
	STEP_UNBIND,
	STEP_DESTROY,
	STEP_UNMAP,
	STEPS
};

static void take_step(struct fixture *f, enum step step, const bool *done,
		      struct ioasid_pasid *pasid)
{
	switch (step) {
	case STEP_DETACH:
		if (!done[STEP_UNBIND])
			ioasid_detach(f->device, NULL);
		break;
	case STEP_PASID:
		ioasid_pasid_detach(pasid);
		break;
	case STEP_RELEASE:
		ioasid_pasid_release(pasid);
		break;
	case STEP_UNBIND:
		ioasid_unbind(f->device);
		break;
	case STEP_DESTROY:
		ioasid_destroy(f->space);
		break;
	default:
		if (!done[STEP_DESTROY])
			assert_ok(ioasid_unmap(f->space, 0, PAGE, &f->err), &f->err);
		break;
	}
}

static void close_in_order(struct fixture *f, unsigned int order)
{
	struct ioasid_pasid *pasid = pasid_attach(f, 11);
	bool done[STEPS] = { false };

	ioasid_pasid_hold(pasid);
	map(f, f->space, 0, PAGE, f->memory, RW);
	attach(f);
	assert_non_null(reach1(f, 0, 0));
	assert_non_null(reach1(f, 11, 0));
	for (unsigned int left = STEPS; left; left--) {
		unsigned int skipped = order % left;
		unsigned int step = 0;

		order /= left;
		while (done[step] || skipped--)
			step++;
		take_step(f, (enum step)step, done, pasid);
		done[step] = true;
		if (!done[STEP_UNBIND]) {
			bool gone = done[STEP_UNMAP] || done[STEP_DESTROY];

			assert_true(!reach1(f, 11, 0) == (gone || done[STEP_PASID]));
			assert_true(!reach1(f, 0, 0) == (gone || done[STEP_DETACH]));
		}
		assert_true((ioasid_pasid_state(f->ctx, 11) == IOASID_PASID_FREE) ==
			    (done[STEP_PASID] && done[STEP_RELEASE]));
	}
}

static void any_order_of_closing_leaves_nothing_open(void **state)
{
	struct fixture *f = fixture(state);

	for (unsigned int order = 0; order < 720; order++) {
		close_in_order(f, order);
		f->device = bind_device(f, "dev0", 20);
		f->space = alloc_space(f, "guest", true);
	}
}

/* --- sections: the calls that block DMA wait for the engine ---------------------------------- */

struct blocker {
	struct fixture *f;
	struct ioasid_pasid *pasid;
	void (*call)(struct blocker *blocker);
	bool returned; /* atomic */
};

static void call_unmap(struct blocker *b)
{
	ioasid_unmap(b->f->space, 0, PAGE, NULL);
}

static void call_detach(struct blocker *b)
{
	ioasid_detach(b->f->device, NULL);
}

static void call_pasid_detach(struct blocker *b)
{
	ioasid_pasid_detach(b->pasid);
}

static void call_destroy(struct blocker *b)
{
	ioasid_destroy(b->f->space);
}

static void call_unbind(struct blocker *b)
{
	ioasid_unbind(b->f->device);
}

static void call_close(struct blocker *b)
{
	ioasid_ctx_close(b->f->ctx);
	b->f->ctx = NULL;
}

static void *blocker_thread(void *arg)
{
	struct blocker *b = arg;

	b->call(b);
	__atomic_store_n(&b->returned, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/*
 * The section stays open until the blocked state is seen from inside it: from then on the call is
 * past its unlinking, and must not have returned.
 */
static void wait_for_section(struct fixture *f, void (*call)(struct blocker *), uint32_t pasid)
{
	struct blocker b = { .f = f, .call = call };
	unsigned int tries = 0;
	bool blocked, early;
	volatile char *p;
	pthread_t thread;
	uint64_t one = 1;

	map(f, f->space, 0, PAGE, f->memory, RW);
	attach(f);
	b.pasid = pasid_attach(f, 1);
	ioasid_dma_begin(f->dma);
	p = ioasid_translate(f->dma, f->device, pasid, 0, &one, RW);
	assert_ptr_equal(p, f->memory);
	assert_int_equal(pthread_create(&thread, NULL, blocker_thread, &b), 0);
	for (blocked = false; !blocked && tries < 1000000; tries++) {
		one = 1;
		sched_yield();
		blocked = !ioasid_translate(f->dma, f->device, pasid, 0, &one, RW);
	}
	for (int i = 0; i < 100; i++)
		sched_yield();
	early = __atomic_load_n(&b.returned, __ATOMIC_SEQ_CST);
	*p = 1;
	/* Before any assertion: a section left open would hang the teardown. */
	ioasid_dma_end(f->dma);
	pthread_join(thread, NULL);
	assert_true(blocked);
	assert_false(early);
}

static void unmap_waits_for_open_sections(void **state)
{
	wait_for_section(fixture(state), call_unmap, 1);
}

static void detach_waits_for_open_sections(void **state)
{
	wait_for_section(fixture(state), call_detach, IOASID_PASID_NONE);
}

static void pasid_detach_waits_for_open_sections(void **state)
{
	wait_for_section(fixture(state), call_pasid_detach, 1);
}

static void destroy_waits_for_open_sections(void **state)
{
	wait_for_section(fixture(state), call_destroy, IOASID_PASID_NONE);
}

static void unbind_waits_for_open_sections(void **state)
{
	wait_for_section(fixture(state), call_unbind, IOASID_PASID_NONE);
}

static void close_waits_for_open_sections(void **state)
{
	wait_for_section(fixture(state), call_close, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(context_names_its_provider),
	TEST(kernel_providers_say_why_they_do_not_answer),
	TEST(what_is_handed_over_stays_the_callers_when_refused),
	TEST(auto_takes_what_answers_and_keeps_why),
	TEST(soft_refuses_a_node),
	TEST(isolation_is_named),
	TEST(close_frees_all_and_ends_reach),
	TEST(held_pasid_outlives_its_context),
	TEST(bind_refuses_bad_labels),
	TEST(bind_refuses_sources_of_other_providers),
	TEST(label_is_free_again_after_unbind),
	TEST(device_info_says_what_it_is),
	TEST(device_reaches_nothing_before_attach),
	TEST(attach_opens_and_detach_blocks),
	TEST(attach_replaces_the_space),
	TEST(attach_refuses_a_space_of_another_context),
	TEST(unbind_blocks_and_parks),
	TEST(space_has_its_name),
	TEST(map_checks_its_arguments),
	TEST(map_refuses_any_overlap),
	TEST(rights_are_kept),
	TEST(length_is_what_is_contiguous),
	TEST(terabytes_are_mapped_at_any_address),
	TEST(unmap_takes_whole_mappings_only),
	TEST(unmapped_address_takes_a_new_mapping),
	TEST(terabytes_cost_few_tables),
	TEST(unmap_frees_empty_tables),
	TEST(pages_in_a_row_share_a_table),
	TEST(page_out_of_the_row_is_mapped_as_well),
	TEST(destroy_blocks_its_users_and_parks),
	TEST(pasid_reaches_its_space_for_its_device_only),
	TEST(pasid_spaces_are_apart),
	TEST(pasid_attach_checks_its_arguments),
	TEST(pasid_number_is_refused_while_active_or_parked),
	TEST(any_pasid_is_never_a_parked_one),
	TEST(numbers_that_are_no_pasid_are_free),
	TEST(holding_does_not_keep_dma_open),
	TEST(any_order_of_closing_leaves_nothing_open),
	TEST(unmap_waits_for_open_sections),
	TEST(detach_waits_for_open_sections),
	TEST(pasid_detach_waits_for_open_sections),
	TEST(destroy_waits_for_open_sections),
	TEST(unbind_waits_for_open_sections),
	TEST(close_waits_for_open_sections),
};

int main(void)
{
	int failed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct CMUnitTest of_row[ARRAY_SIZE(tests)];

		memcpy(of_row, tests, sizeof(tests));
		for (size_t j = 0; j < ARRAY_SIZE(tests); j++)
			of_row[j].initial_state = (void *)&rows[i];
		failed += cmocka_run_group_tests_name(rows[i].name, of_row, NULL, NULL);
	}
	return failed;
}
