/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What adit adi-serve asks of iommufd for a function that it lends, within the filters of the
 * threads that ask: the fake's kernel is told first, by the same call on no descriptor, so that a
 * call which is in no filter ends the process as it would with a real one.
 */
#include "tests/unit/ioasid-rows.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "util/sandbox.h"

#define AT	 (0x100000000ULL + 256 * MIB) /* not on a border of the pieces */
#define SIZE	 (3 * GIB)
#define SURVIVED 42

struct scene {
	struct bench b;
	struct ioasid_seam seam;
	pthread_mutex_t lock;
	bool asks;	     /* the real kernel, too */
	unsigned long fails; /* a request that does */
	int error;
	void *memory;
	struct ioasid_space *space[2];
	struct ioasid_pasid *pasid[2];
};

static int scene_ioctl(const struct ioasid_seam *seam, int fd, unsigned long request, void *arg)
{
	struct scene *s = seam->arg;
	const struct ioasid_seam *below = &s->b.fake->seam;
	int r = -s->error;

	if (s->asks && (syscall(SYS_ioctl, -1, request, NULL) != -1 || errno != EBADF))
		return -EPROTO;
	pthread_mutex_lock(&s->lock);
	if (request != s->fails)
		r = below->ioctl(below, fd, request, arg);
	if (request == IFD_GET_HW_INFO)
		((struct ifd_hw_info *)arg)->out_max_pasid_log2 = 20;
	pthread_mutex_unlock(&s->lock);
	return r;
}

static void scene_start(struct scene *s)
{
	static const struct row row = { "fake iommufd", IOASID_PROVIDER_IOMMUFD, true, true };

	*s = (struct scene){ .lock = PTHREAD_MUTEX_INITIALIZER };
	s->b.fake = malloc(sizeof(*s->b.fake));
	fake_start(s->b.fake, false);
	s->seam = (struct ioasid_seam){ .ioctl = scene_ioctl, .root = s->b.fake->root, .arg = s };
	bench_start(&s->b, &row, &s->seam);
	attach(&s->b, space_of(&s->b, "nothing"));
	for (unsigned int i = 0; i < ARRAY_SIZE(s->space); i++) {
		const struct ioasid_space_options options = { .name = i ? "b" : "a",
							      .pasid_capable = true };

		assert_ok(ioasid_alloc(s->b.ctx, &options, &s->space[i], &s->b.err), &s->b.err);
		assert_ok(ioasid_pasid_attach(s->b.device, s->space[i], i + 1, &s->pasid[i],
					      &s->b.err),
			  &s->b.err);
	}
	s->memory = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(s->memory != MAP_FAILED);
}

static void scene_end(struct scene *s)
{
	bench_end(&s->b);
	munmap(s->memory, SIZE);
}

/* Memory of a client comes, goes, is refused; and a kernel that does not unmap has it blocked. */
static int serve(struct scene *s)
{
	struct ioasid_space *space = s->space[0];

	if (ioasid_map_hva(space, AT, SIZE, s->memory, RW, NULL) ||
	    ioasid_unmap(space, AT, SIZE, NULL))
		return 2;
	s->fails = IFD_IOAS_MAP;
	s->error = ENOMEM;
	if (ioasid_map_hva(space, AT, PAGE, s->memory, RW, &s->b.err) != -ENOMEM)
		return 3;
	s->fails = 0;
	if (ioasid_map_hva(space, AT, PAGE, s->memory, RW, NULL))
		return 4;
	s->fails = IFD_IOAS_UNMAP;
	s->error = EBUSY;
	if (ioasid_unmap(space, AT, PAGE, NULL) != -EIO)
		return 5;
	s->fails = 0;
	return ioasid_pasid_state(s->b.ctx, 1) == IOASID_PASID_ACTIVE ? 6 : SURVIVED;
}

/* A PASID that the kernel does not detach goes to the empty space; then all is given back. */
static int give_back(struct scene *s)
{
	s->fails = VFIO_CDEV_DETACH;
	s->error = EBUSY;
	ioasid_pasid_detach(s->pasid[1]);
	s->fails = 0;
	if (ioasid_pasid_state(s->b.ctx, 2) == IOASID_PASID_ACTIVE)
		return 7;
	ioasid_pasid_detach(s->pasid[0]);
	ioasid_destroy(s->space[1]);
	ioasid_destroy(s->space[0]);
	ioasid_ctx_close(s->b.ctx);
	return SURVIVED;
}

struct part {
	struct scene *s;
	const struct sandbox *sandbox;
	enum sandbox_role role;
	int (*play)(struct scene *s);
	int status;
};

static void *play(void *arg)
{
	struct part *part = arg;

	sandbox_enter(part->sandbox, part->role);
	part->status = part->play(part->s);
	return NULL;
}

/* In a process of its own, by threads of those roles one after the other. */
static int run(struct scene *s)
{
	const struct log log = { .fd = STDERR_FILENO, .level = LOG_INFO };
	const struct sandbox sandbox = { &log };
	struct part parts[] = { { s, &sandbox, SANDBOX_TENANT, serve, 1 },
				{ s, &sandbox, SANDBOX_OWNER, give_back, 1 } };
	struct err err;

	if (sandbox_start(&sandbox, &err))
		return 1;
	s->asks = true;
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, play, &parts[i]) || pthread_join(thread, NULL) ||
		    parts[i].status != SURVIVED)
			return parts[i].status;
	}
	return SURVIVED;
}

static void the_function_s_iommu_is_asked_within_the_filters(void **state)
{
	struct scene s;
	struct err err;
	int status;
	pid_t pid;

	if (!sandbox_is_built())
		skip_because("a build with a sanitizer has no filters");
	if (sandbox_check(&err))
		skip_because("no seccomp here");
	scene_start(&s);
	pid = fork();
	if (!pid)
		_exit(run(&s));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	scene_end(&s);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), SURVIVED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_function_s_iommu_is_asked_within_the_filters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
