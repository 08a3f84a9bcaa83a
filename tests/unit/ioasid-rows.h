/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of the conformance suites: a provider, and a device whose DMA can be seen. On soft the
 * device is a model and DMA is ioasid_translate. On the kernel's providers it is QEMU's edu
 * function (docs: QEMU's specs/edu), behind a real IOMMU driver: ADIT_TEST_EDU names it, the rig
 * has one.
 *
 * edu copies between a buffer of its own and bus addresses. The buffer holds a known pattern from
 * the start; "the device writes" means that the pattern appears in memory.
 */
#ifndef ADIT_TESTS_UNIT_IOASID_ROWS_H
#define ADIT_TESTS_UNIT_IOASID_ROWS_H

#include "tests/unit/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ioasid-client/provider.h"
#include "ioasid-client/providers/seam.h"
#include "tests/unit/fake-iommu.h"
#include "util/bits.h"

#define PAGE	((uint64_t)IOASID_PAGE_SIZE)
#define RW	(IOASID_READ | IOASID_WRITE)
#define PAGES	16u
#define PATTERN 0x5a

struct row {
	const char *name;
	enum ioasid_provider_id provider;
	bool kernel; /* one of the kernel's providers */
	bool fake;   /* on the fake of its kernel */
};

/* One context with one device in it. */
struct bench {
	const struct row *row;
	const struct ioasid_seam *seam;
	struct ioasid_ctx *ctx;
	struct ioasid_device *device;
	struct ioasid_dma *dma;	     /* soft */
	struct fake *fake;	     /* rows that are fake */
	volatile unsigned char *bar; /* edu's; kept mapped across unbind on purpose */
	unsigned char *memory;	     /* PAGES pages of a memfd */
	int memfd;
	struct err err;
};

#define EDU_BAR_SIZE 0x100000u
#define EDU_FROM     0x80
#define EDU_TO	     0x88
#define EDU_COUNT    0x90
#define EDU_COMMAND  0x98
#define EDU_BUFFER   0x40000u
#define EDU_START    1u
#define EDU_OUT	     2u /* from the buffer to memory */

static inline const char *edu_bdf(void)
{
	return getenv("ADIT_TEST_EDU");
}

static inline const char *row_bdf(const struct row *row)
{
	return row->fake ? FAKE_BDF : edu_bdf();
}

/* The device's node: /dev/vfio/devices/vfioN, or /dev/vfio/N. */
static inline int open_vfio(const char *bdf, bool group)
{
	char path[PATH_MAX], node[PATH_MAX + 64], text[PATH_MAX];

	/* A UUID is longer than a BDF. */
	snprintf(path, sizeof(path), "/sys/bus/%s/devices/%s/%s", strlen(bdf) > 20 ? "mdev" : "pci",
		 bdf, group ? "iommu_group" : "vfio-dev");
	if (group) {
		ssize_t n = readlink(path, text, sizeof(text) - 1);

		if (n < 0)
			return -1;
		text[n] = '\0';
		snprintf(node, sizeof(node), "/dev/vfio/%s", strrchr(text, '/') + 1);
	} else {
		DIR *dir = opendir(path);
		const struct dirent *entry = NULL;

		while (dir && (entry = readdir(dir)) && entry->d_name[0] == '.')
			;
		if (entry)
			snprintf(node, sizeof(node), "/dev/vfio/devices/%s", entry->d_name);
		if (dir)
			closedir(dir);
		if (!entry)
			return -1;
	}
	return open(node, O_RDWR | O_CLOEXEC);
}

static inline struct ioasid_source row_source(const struct row *row, const char *bdf)
{
	struct ioasid_source source = { .type = IOASID_SOURCE_SOFT, .soft = { .pasid_width = 20 } };

	if (!row->kernel)
		return source;
	if (row->fake) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		source.type = row->provider == IOASID_PROVIDER_TYPE1 ? IOASID_SOURCE_GROUP
								     : IOASID_SOURCE_CDEV;
		source.group.fd = fd; /* where cdev.fd is */
		source.group.name = bdf;
		return source;
	}
	if (row->provider == IOASID_PROVIDER_TYPE1)
		return (struct ioasid_source){
			.type = IOASID_SOURCE_GROUP,
			.group = { .fd = open_vfio(bdf, true), .name = bdf },
		};
	return (struct ioasid_source){
		.type = IOASID_SOURCE_CDEV,
		.cdev = { .fd = open_vfio(bdf, false) },
	};
}

/* On failure the source's descriptor is the caller's again. */
static inline void source_close(const struct ioasid_source *source)
{
	if (source->type == IOASID_SOURCE_CDEV)
		close(source->cdev.fd);
	if (source->type == IOASID_SOURCE_GROUP)
		close(source->group.fd);
}

static inline int bench_open(struct bench *b)
{
	const struct ioasid_target target = { .fd = -1, .seam = b->seam };

	return ioasid_ctx_open_target(&b->ctx, b->row->provider, &target, &b->err);
}

static inline int bench_bind(struct bench *b)
{
	struct ioasid_source source = row_source(b->row, row_bdf(b->row));
	int r = ioasid_bind(b->ctx, &source, "edu", &b->device, &b->err);

	if (r)
		source_close(&source);
	return r;
}

/* Memory decoding and bus mastering on, BAR 0 mapped. */
static inline void edu_open(struct bench *b)
{
	struct vfio_region_info config = { .argsz = sizeof(config),
					   .index = VFIO_PCI_CONFIG_REGION_INDEX };
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = 0 };
	int fd = ioasid_device_fd(b->device);
	uint16_t command = 0x6;

	assert_int_equal(ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &config), 0);
	assert_int_equal(pwrite(fd, &command, 2, (off_t)config.offset + 4), 2);
	assert_int_equal(ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &bar), 0);
	b->bar =
		mmap(NULL, EDU_BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)bar.offset);
	assert_true((void *)b->bar != MAP_FAILED);
}

static inline void edu_close(struct bench *b)
{
	if (b->bar)
		munmap((void *)b->bar, EDU_BAR_SIZE);
	b->bar = NULL;
}

static inline void edu_set(const struct bench *b, unsigned int at, uint64_t value)
{
	*(volatile uint64_t *)(b->bar + at) = value;
}

/* One transfer; waits for the device to say that it is done. */
static inline void edu_move(const struct bench *b, uint64_t iova, uint64_t size, bool out)
{
	edu_set(b, EDU_FROM, out ? EDU_BUFFER : iova);
	edu_set(b, EDU_TO, out ? iova : EDU_BUFFER);
	edu_set(b, EDU_COUNT, size);
	edu_set(b, EDU_COMMAND, EDU_START | (out ? EDU_OUT : 0));
	while (*(volatile uint64_t *)(b->bar + EDU_COMMAND) & EDU_START)
		usleep(2000);
}

static inline unsigned char *page(const struct bench *b, unsigned int n)
{
	return b->memory + n * PAGE;
}

/* soft: the access goes where translate says, or nowhere. */
static inline unsigned char *soft_reach(const struct bench *b, uint32_t pasid, uint64_t iova,
					unsigned int rights)
{
	uint64_t len = 16;
	unsigned char *at;

	ioasid_dma_begin(b->dma);
	at = ioasid_translate(b->dma, b->device, pasid, iova, &len, rights);
	ioasid_dma_end(b->dma);
	return at;
}

/* Whether what the device writes at iova appears at the page, which it must leave alone else. */
static inline bool writes(const struct bench *b, uint64_t iova, unsigned char *at)
{
	unsigned char *target;

	memset(at, 0, 16);
	if (b->row->kernel && !b->row->fake) {
		edu_move(b, iova, 16, true);
	} else {
		target = b->row->fake ? fake_reach(b->fake, iova, true)
				      : soft_reach(b, 0, iova, IOASID_WRITE);
		if (target)
			memset(target, PATTERN, 16);
	}
	for (unsigned int i = 1; i < 16; i++)
		assert_int_equal(at[i], at[0]);
	assert_true(at[0] == 0 || at[0] == PATTERN);
	return at[0] == PATTERN;
}

/*
 * Whether the device reads at iova what is at the page: it then writes that at scratch, which is
 * mapped at scratch_iova. Its buffer has the pattern again afterwards.
 */
static inline bool reads(const struct bench *b, uint64_t iova, unsigned char *at,
			 uint64_t scratch_iova, unsigned char *scratch)
{
	bool same;

	memset(at, 0x33, 16);
	memset(scratch, 0, 16);
	if (b->row->fake) {
		const unsigned char *source = fake_reach(b->fake, iova, false);

		return source && !memcmp(source, at, 16);
	}
	if (!b->row->kernel) {
		const unsigned char *source = soft_reach(b, 0, iova, IOASID_READ);

		return source && !memcmp(source, at, 16) && soft_reach(b, 0, scratch_iova, RW);
	}
	edu_move(b, iova, 16, false);
	edu_move(b, scratch_iova, 16, true);
	same = !memcmp(scratch, at, 16);
	memset(scratch, PATTERN, 16);
	edu_move(b, scratch_iova, 16, false);
	return same;
}

/* A device that is bound gets its pattern, by way of a space of its own. */
static inline void edu_arm(struct bench *b)
{
	const struct ioasid_space_options options = { .name = "arming" };
	struct ioasid_space *space;

	if (!b->row->kernel || b->row->fake)
		return;
	edu_open(b);
	assert_ok(ioasid_alloc(b->ctx, &options, &space, &b->err), &b->err);
	assert_ok(ioasid_map_hva(space, 0x100000, PAGE, page(b, 0), RW, &b->err), &b->err);
	assert_ok(ioasid_attach(b->device, space, &b->err), &b->err);
	memset(page(b, 0), PATTERN, 16);
	edu_move(b, 0x100000, 16, false);
	ioasid_destroy(space);
}

static inline void bench_memory(struct bench *b)
{
	b->memfd = memfd_create("conformance", MFD_CLOEXEC);
	assert_int_equal(ftruncate(b->memfd, (off_t)(PAGES * PAGE)), 0);
	b->memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, b->memfd, 0);
	assert_true((void *)b->memory != MAP_FAILED);
}

/* b->fake: one that the caller has started, or NULL. */
static inline void bench_start(struct bench *b, const struct row *row,
			       const struct ioasid_seam *seam)
{
	struct fake *fake = b->fake;

	*b = (struct bench){ .row = row, .seam = seam, .fake = fake };
	if (row->fake && !fake) {
		b->fake = malloc(sizeof(*b->fake));
		fake_start(b->fake, row->provider == IOASID_PROVIDER_TYPE1);
		b->seam = &b->fake->seam;
	}
	bench_memory(b);
	assert_ok(bench_open(b), &b->err);
	if (!row->kernel)
		assert_ok(ioasid_dma_open(b->ctx, &b->dma, &b->err), &b->err);
	assert_ok(bench_bind(b), &b->err);
	edu_arm(b);
}

static inline void bench_end(struct bench *b)
{
	edu_close(b);
	ioasid_ctx_close(b->ctx);
	ioasid_dma_close(b->dma);
	munmap(b->memory, PAGES * PAGE);
	close(b->memfd);
	if (b->fake)
		fake_end(b->fake);
	free(b->fake);
	b->fake = NULL;
}

static inline struct ioasid_space *space_of(struct bench *b, const char *name)
{
	const struct ioasid_space_options options = { .name = name };
	struct ioasid_space *space = NULL;

	assert_ok(ioasid_alloc(b->ctx, &options, &space, &b->err), &b->err);
	return space;
}

static inline void map_page(struct bench *b, struct ioasid_space *space, uint64_t iova,
			    unsigned int n, unsigned int rights)
{
	const struct ioasid_mapping mapping = {
		.iova = iova,
		.size = PAGE,
		.hva = page(b, n),
		.rights = rights,
		.fd = b->memfd,
		.fd_offset = n * PAGE,
	};

	assert_ok(ioasid_map(space, &mapping, &b->err), &b->err);
}

static inline void attach(struct bench *b, struct ioasid_space *space)
{
	assert_ok(ioasid_attach(b->device, space, &b->err), &b->err);
}

#define refused(b, ret, wanted, names)                                                \
	do {                                                                          \
		int refused_ = (ret);                                                 \
		if (refused_ != -(wanted) || !strstr((b)->err.text, names))           \
			fail_msg("%s: %d '%s', expected %d and '%s'", #ret, refused_, \
				 (b)->err.text, -(wanted), names);                    \
	} while (0)

/* Rows whose device is not here are skipped, and say so. */
static inline void need_row(const struct row *row)
{
	if (row->kernel && !row->fake && !edu_bdf())
		skip_because("provider %s: ADIT_TEST_EDU names no edu function (the rig has one)",
			     row->name);
	/* Older kernels have groups alone; that the others do have both is the scenario's to see.
	 */
	if (row->provider == IOASID_PROVIDER_IOMMUFD && !row->fake && access("/dev/iommu", F_OK))
		skip_because("provider %s: this kernel has no /dev/iommu", row->name);
}

/* Runs the suite once for each row, with the row as its state. */
static inline int run_rows(const struct row *rows, size_t n_rows, const struct CMUnitTest *suite,
			   size_t n)
{
	static struct CMUnitTest tests[160];
	static char names[160][96];

	assert_true(n_rows * n <= 160);
	for (size_t i = 0; i < n_rows * n; i++) {
		const struct row *row = &rows[i / n];

		snprintf(names[i], sizeof(names[i]), "%s: %s", row->name, suite[i % n].name);
		tests[i] = suite[i % n];
		tests[i].name = names[i];
		tests[i].initial_state = (void *)row;
	}
	/* Those that are not filled in are no tests. */
	return _cmocka_run_group_tests("ioasid", tests, n_rows * n, NULL, NULL);
}

#endif
