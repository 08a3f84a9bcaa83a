/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the suites of ioasid.h on the soft provider start from: a context, memory, and the few calls
 * that every test makes. What a device reaches is asked of ioasid_translate, which stands for DMA.
 */
#ifndef ADIT_TESTS_UNIT_SOFT_BENCH_H
#define ADIT_TESTS_UNIT_SOFT_BENCH_H

#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ioasid-client/ioasid.h"

#define PAGE	    ((uint64_t)IOASID_PAGE_SIZE)
#define RW	    (IOASID_READ | IOASID_WRITE)
#define MEMORY_SIZE (64 * PAGE)

struct fixture {
	struct ioasid_ctx *ctx;
	struct ioasid_dma *dma;
	struct ioasid_device *device; /* of setup_guest and of a test's own setup */
	struct ioasid_space *space;
	char *memory; /* page aligned; nothing dereferences what lies past it */
	struct err err;
};

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->memory = aligned_alloc(PAGE, MEMORY_SIZE);
	memset(f->memory, 0, MEMORY_SIZE);
	assert_ok(ioasid_ctx_open(&f->ctx, IOASID_PROVIDER_SOFT, NULL, &f->err), &f->err);
	assert_ok(ioasid_dma_open(f->ctx, &f->dma, &f->err), &f->err);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	ioasid_ctx_close(f->ctx);
	ioasid_dma_close(f->dma);
	free(f->memory);
	free(f);
	return 0;
}

static inline struct ioasid_device *bind_model(struct fixture *f, const char *label,
					       struct ioasid_soft_device model)
{
	const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT, .soft = model };
	struct ioasid_device *device = NULL;

	assert_ok(ioasid_bind(f->ctx, &source, label, &device, &f->err), &f->err);
	return device;
}

static inline struct ioasid_device *bind_device(struct fixture *f, const char *label,
						unsigned int pasid_width)
{
	return bind_model(f, label,
			  (struct ioasid_soft_device){ .pasid_width = pasid_width,
						       .snoop_enforced = true });
}

static inline struct ioasid_space *alloc_with(struct fixture *f,
					      struct ioasid_space_options options)
{
	struct ioasid_space *space = NULL;

	if (!options.name)
		options.name = "space";
	assert_ok(ioasid_alloc(f->ctx, &options, &space, &f->err), &f->err);
	return space;
}

static inline struct ioasid_space *alloc_space(struct fixture *f, const char *name,
					       bool pasid_capable)
{
	return alloc_with(f, (struct ioasid_space_options){ .name = name,
							    .pasid_capable = pasid_capable });
}

/* One device with PASIDs, and a space that it is not attached to. */
static inline int setup_guest(void **state)
{
	struct fixture *f;

	setup(state);
	f = *state;
	f->device = bind_device(f, "dev0", 20);
	f->space = alloc_space(f, "guest", true);
	return 0;
}

static inline void map(struct fixture *f, struct ioasid_space *space, uint64_t iova, uint64_t size,
		       void *hva, unsigned int rights)
{
	assert_ok(ioasid_map_hva(space, iova, size, hva, rights, &f->err), &f->err);
}

static inline void attach_to(struct fixture *f, struct ioasid_device *device,
			     struct ioasid_space *space)
{
	assert_ok(ioasid_attach(device, space, &f->err), &f->err);
}

static inline void attach(struct fixture *f)
{
	attach_to(f, f->device, f->space);
}

static inline struct ioasid_pasid *pasid_attach(struct fixture *f, uint32_t want)
{
	struct ioasid_pasid *pasid = NULL;

	assert_ok(ioasid_pasid_attach(f->device, f->space, want, &pasid, &f->err), &f->err);
	return pasid;
}

/* Where the access lands, and how much of `len` is contiguous from there. */
static inline void *reach(struct fixture *f, const struct ioasid_device *device, uint32_t pasid,
			  uint64_t iova, uint64_t *len, unsigned int rights)
{
	void *p;

	ioasid_dma_begin(f->dma);
	p = ioasid_translate(f->dma, device, pasid, iova, len, rights);
	ioasid_dma_end(f->dma);
	return p;
}

static inline void *reach_byte(struct fixture *f, const struct ioasid_device *device,
			       uint32_t pasid, uint64_t iova, unsigned int rights)
{
	uint64_t one = 1;

	return reach(f, device, pasid, iova, &one, rights);
}

static inline void *reach1(struct fixture *f, uint32_t pasid, uint64_t iova)
{
	return reach_byte(f, f->device, pasid, iova, IOASID_READ);
}

static inline void refused(struct fixture *f, int r, int code, const char *names)
{
	assert_int_equal(r, -code);
	assert_int_equal(f->err.code, code);
	assert_non_null(strstr(f->err.text, names));
	memset(&f->err, 0, sizeof(f->err));
}

#endif
