/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper with real processes on a made-up host: what it hands to its child, what it refuses,
 * and that everything is as before when the child, the keeper or both have ended in whatever way.
 * The child is this program itself: main() finds the scene that its arguments name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "fake-kernel.h"
#include "keeper/client.h"
#include "keeper/keeper.h"
#include "util/bits.h"
#include "util/unix-socket.h"

#define RUN_DIR "/run"

struct scene {
	struct fake_host fake;
	struct keeper_plan plan;
	char run_dir[128];
	int said[2]; /* a pipe on which children speak: inherited, not close-on-exec */
	char pipe_end[16];
};

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	fake_machine(&scene->fake);
	snprintf(scene->run_dir, sizeof(scene->run_dir), "%s" RUN_DIR, scene->fake.root);
	scene->plan.host = scene->fake.host;
	scene->plan.run_dir = scene->run_dir;
	assert_int_equal(pipe(scene->said), 0);
	fcntl(scene->said[0], F_SETFD, FD_CLOEXEC);
	snprintf(scene->pipe_end, sizeof(scene->pipe_end), "%d", scene->said[1]);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	close(scene->said[0]);
	close(scene->said[1]);
	fake_close(&scene->fake);
	free(scene);
	return 0;
}

static void plan_add(struct scene *scene, enum keeper_kind kind, const char *name, bool managed)
{
	struct keeper_device *device = &scene->plan.devices[scene->plan.n++];

	device->kind = kind;
	snprintf(device->name, sizeof(device->name), "%s", name);
	device->managed = managed;
	if (kind == KEEPER_NEW_MDEV) {
		snprintf(device->parent, sizeof(device->parent), "mtty");
		snprintf(device->type, sizeof(device->type), "mtty-2");
	}
}

/* A keeper with this program as its child, playing `part`. */
static pid_t start_logging(struct scene *scene, const char *part, int log_fd)
{
	char self[] = "/proc/self/exe", end[16], name[32];
	char *argv[] = { self, name, end, NULL };
	const struct log log = { .fd = log_fd, .level = LOG_DEBUG };
	pid_t pid;

	snprintf(name, sizeof(name), "%s", part);
	memcpy(end, scene->pipe_end, sizeof(end));
	pid = fork();
	if (!pid)
		_exit(keeper_run(&scene->plan, argv, &log));
	assert_true(pid > 0);
	return pid;
}

static pid_t start(struct scene *scene, const char *part)
{
	return start_logging(scene, part, -1);
}

static int status_of(pid_t keeper)
{
	int status;

	assert_int_equal(waitpid(keeper, &status, 0), keeper);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int run(struct scene *scene, const char *part)
{
	return status_of(start(scene, part));
}

/* Waits for a line that the child says; -1 at the end of all who could speak. */
static int hear(struct scene *scene)
{
	int word;

	return read(scene->said[0], &word, sizeof(word)) == sizeof(word) ? word : -1;
}

static void assert_driver(const struct scene *scene, const char *bdf, const char *driver)
{
	struct host_function function;

	assert_int_equal(host_function_read(&scene->fake.host, bdf, &function), 0);
	assert_string_equal(function.driver, driver);
	assert_string_equal(function.override, "");
}

static void assert_as_before(const struct scene *scene)
{
	struct host_mdev mdev;
	unsigned int stale;

	assert_driver(scene, NIC, "e1000e");
	assert_driver(scene, DISK, "nvme");
	assert_int_equal(host_mdev_read(&scene->fake.host, UUID, &mdev), -ENODEV);
	assert_int_equal(journal_count(scene->run_dir, &stale), 0);
}

/* --- the child's parts ----------------------------------------------------------------------- */

static void say(int pipe_end, int word)
{
	if (write(pipe_end, &word, sizeof(word)) != sizeof(word))
		_exit(99);
}

static unsigned int minor_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) || major(st.st_rdev) != 1 ? 0 : minor(st.st_rdev);
}

/* Opens device `index` after it was taken: 0, or the place where it went wrong. */
static int take_and_open(int keeper, unsigned int index, enum host_way way, unsigned int minor,
			 const char *name)
{
	struct host_found found;
	struct err err;

	int fd;

	if (keeper_take(keeper, index, &found, &err))
		return 10;
	if (strcmp(found.device.text, name) != 0)
		return 12;
	fd = keeper_open(keeper, index, way, &found, &err);
	if (minor_of(fd) != minor)
		return 11;
	if (strcmp(found.device.text, name) != 0)
		return 12;
	return found.by_group == (way == HOST_WAY_GROUP) ? 0 : 13;
}

static int part_takes_all(int keeper, int pipe_end)
{
	struct err err;
	int ret = take_and_open(keeper, 0, HOST_WAY_AUTO, 3, NIC);

	if (!ret)
		ret = take_and_open(keeper, 1, HOST_WAY_CDEV, 7, UUID);
	if (!ret && minor_of(keeper_open_iommu(keeper, false, &err)) != 8)
		ret = 14;
	return ret ? ret : 7;
}

static int part_takes_by_group(int keeper, int pipe_end)
{
	return take_and_open(keeper, 0, HOST_WAY_GROUP, 9, NIC);
}

static int part_takes_and_waits(int keeper, int pipe_end)
{
	struct host_found found;
	struct err err;

	if (keeper_take(keeper, 0, &found, &err) || keeper_take(keeper, 1, &found, &err))
		return 10;
	say(pipe_end, getpid());
	for (;;)
		pause();
}

static int part_releases(int keeper, int pipe_end)
{
	struct host_found found;
	struct err err;

	for (int i = 0; i < 3; i++) {
		if (keeper_take(keeper, 0, &found, &err) || keeper_take(keeper, 1, &found, &err))
			return 10;
		if (keeper_release(keeper, 0, &err) || keeper_release(keeper, 1, &err))
			return 11;
		/* Both are as before, so neither opens. */
		if (keeper_open(keeper, 0, HOST_WAY_AUTO, &found, &err) != -EBUSY)
			return 12;
		if (keeper_open(keeper, 1, HOST_WAY_AUTO, &found, &err) != -ENODEV)
			return 13;
	}
	return 0;
}

static int refused(int keeper, const void *bytes, size_t size)
{
	struct keeper_reply reply;

	if (send(keeper, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
		return 0;
	return recv(keeper, &reply, sizeof(reply), 0) == sizeof(reply) ? reply.code : 0;
}

static int part_lies(int keeper, int pipe_end)
{
	static const struct {
		struct keeper_request request;
		size_t size;
		int code;
	} rows[] = {
		{ { .op = KEEPER_OPS }, sizeof(struct keeper_request), -EPROTO },
		{ { .op = ~0u }, sizeof(struct keeper_request), -EPROTO },
		{ { .op = KEEPER_TAKE, .index = 2 }, sizeof(struct keeper_request), -EPERM },
		{ { .op = KEEPER_OPEN, .index = ~0u }, sizeof(struct keeper_request), -EPERM },
		{ { .op = KEEPER_RELEASE, .index = 31 }, sizeof(struct keeper_request), -EPERM },
		{ { .op = KEEPER_OPEN, .way = 3 }, sizeof(struct keeper_request), -EINVAL },
		{ { .op = KEEPER_IOMMU, .way = 2 }, sizeof(struct keeper_request), -EINVAL },
		{ { .op = KEEPER_IOMMU, .index = 1 }, sizeof(struct keeper_request), -EPERM },
		{ { .op = KEEPER_TAKE, .zero = 1 }, sizeof(struct keeper_request), -EPROTO },
		{ { .op = KEEPER_TAKE }, 1, -EPROTO },
		{ { .op = KEEPER_TAKE }, sizeof(struct keeper_request) - 1, -EPROTO },
	};
	char big[4096] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (refused(keeper, &rows[i].request, rows[i].size) != rows[i].code)
			return 10 + (int)i;
	}
	if (refused(keeper, big, sizeof(big)) != -EPROTO)
		return 50;
	return 0;
}

/* The first device is not managed, and the second has a file system mounted. */
static int part_takes_what_is_used(int keeper, int pipe_end)
{
	struct host_found found;
	struct err err;

	if (keeper_take(keeper, 0, &found, &err) != -EBUSY ||
	    keeper_open(keeper, 0, HOST_WAY_AUTO, &found, &err) != -EBUSY)
		return 10;
	if (!strstr(err.text, "on its host driver e1000e"))
		return 11;
	if (keeper_take(keeper, 1, &found, &err) != -EBUSY)
		return 12;
	return strstr(err.text, "(driver nvme): file system of nvme0n1 at /srv") ? 0 : 13;
}

static int part_is_refused_by_vfio(int keeper, int pipe_end)
{
	struct host_found found;
	struct err err;

	if (keeper_take(keeper, 0, &found, &err) != -EBUSY)
		return 10;
	return strstr(err.text, "did not go to vfio-pci") ? 0 : 11;
}

static volatile sig_atomic_t told;

static void on_term(int signal)
{
	told = signal;
}

static int part_waits_for_sigterm(int keeper, int pipe_end)
{
	sigset_t none, term;

	sigemptyset(&none);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	signal(SIGTERM, on_term);
	say(pipe_end, getpid());
	while (!told)
		sigsuspend(&none);
	return 9;
}

/* Gives a device back while it is still held: the keeper's worker waits for the kernel. */
static int part_releases_what_it_holds(int keeper, int pipe_end)
{
	struct host_found found;
	const struct keeper_request request = { .op = KEEPER_RELEASE };
	const char *held = getenv("ADIT_TEST_HELD");
	struct err err;
	int fd;

	if (keeper_take(keeper, 0, &found, &err) || !held || mkfifo(held, 0600))
		return 10;
	fd = open(held, O_RDWR | O_CLOEXEC);
	if (fd < 0 || send(keeper, &request, sizeof(request), 0) != sizeof(request))
		return 11;
	return part_waits_for_sigterm(keeper, pipe_end);
}

static int part_leaves_processes(int keeper, int pipe_end)
{
	int there[2], word;

	if (pipe(there))
		return 10;
	for (int i = 0; i < 3; i++) {
		if (fork())
			continue;
		/* One generation deeper, in a session of its own. */
		setsid();
		if (!fork()) {
			say(pipe_end, getpid());
			say(there[1], 0);
			for (;;)
				pause();
		}
		_exit(0);
	}
	for (int i = 0; i < 3; i++) {
		if (read(there[0], &word, sizeof(word)) != sizeof(word))
			return 11;
	}
	return 5;
}

static int part_floods(int keeper, int pipe_end)
{
	const struct keeper_request request = { .op = KEEPER_TAKE, .index = 1 };

	for (int i = 0; i < 100000; i++) {
		if (send(keeper, &request, sizeof(request), MSG_NOSIGNAL) < 0)
			return errno == EPIPE || errno == ECONNRESET ? 6 : 10;
	}
	return 11;
}

static int part_hangs_up(int keeper, int pipe_end)
{
	struct host_found found;
	struct err err;

	if (keeper_take(keeper, 0, &found, &err))
		return 10;
	close(keeper);
	return keeper_take(keeper, 0, &found, &err) == -EPIPE ? 8 : 11;
}

static int part_listens(int keeper, int pipe_end)
{
	if (unix_socket_listen(getenv("ADIT_TEST_SOCKET"), 0600, 1, 0, NULL) < 0)
		return 10;
	say(pipe_end, getpid());
	for (;;)
		pause();
}

static const struct {
	const char *name;
	int (*run)(int keeper, int pipe_end);
} parts[] = {
	{ "takes-all", part_takes_all },
	{ "takes-by-group", part_takes_by_group },
	{ "takes-and-waits", part_takes_and_waits },
	{ "releases", part_releases },
	{ "lies", part_lies },
	{ "takes-what-is-used", part_takes_what_is_used },
	{ "is-refused-by-vfio", part_is_refused_by_vfio },
	{ "waits-for-sigterm", part_waits_for_sigterm },
	{ "releases-what-it-holds", part_releases_what_it_holds },
	{ "leaves-processes", part_leaves_processes },
	{ "floods", part_floods },
	{ "hangs-up", part_hangs_up },
	{ "listens", part_listens },
};

static int play(char **argv)
{
	const char *option = "--keeper-fd=";

	if (strncmp(argv[3], option, strlen(option)) != 0)
		return 98;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!strcmp(argv[1], parts[i].name))
			return parts[i].run(atoi(argv[3] + strlen(option)), atoi(argv[2]));
	}
	return 97;
}

/* --- tests ----------------------------------------------------------------------------------- */

static void a_child_gets_what_the_plan_names_and_all_is_undone(void **state)
{
	struct scene *scene = *state;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	plan_add(scene, KEEPER_NEW_MDEV, UUID, false);
	assert_int_equal(run(scene, "takes-all"), 7);
	assert_as_before(scene);
}

static void a_group_is_handed_over_too(void **state)
{
	struct scene *scene = *state;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	assert_int_equal(run(scene, "takes-by-group"), 0);
	assert_as_before(scene);
}

static void devices_can_be_released_and_taken_again(void **state)
{
	struct scene *scene = *state;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	plan_add(scene, KEEPER_NEW_MDEV, UUID, false);
	assert_int_equal(run(scene, "releases"), 0);
	assert_as_before(scene);
}

static void requests_outside_the_plan_are_refused_and_change_nothing(void **state)
{
	struct scene *scene = *state;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	plan_add(scene, KEEPER_NEW_MDEV, UUID, false);
	assert_int_equal(run(scene, "lies"), 0);
	assert_as_before(scene);
}

static void what_is_not_managed_or_in_use_is_refused_by_name(void **state)
{
	struct scene *scene = *state;

	plan_add(scene, KEEPER_FUNCTION, NIC, false);
	plan_add(scene, KEEPER_FUNCTION, DISK, true);
	fake_file(&scene->fake, FAKE_MTTY "/x", "");
	fake_file(&scene->fake, "/sys/devices/pci0000:00/" DISK "/nvme/nvme0/nvme0n1/dev",
		  "259:0\n");
	fake_link(&scene->fake, "/sys/class/block/nvme0n1",
		  "/sys/devices/pci0000:00/" DISK "/nvme/nvme0/nvme0n1");
	fake_file(&scene->fake, "/proc/self/mountinfo",
		  "23 22 259:0 / /srv rw - ext4 /dev/nvme0n1 rw\n");
	assert_int_equal(run(scene, "takes-what-is-used"), 0);
	assert_as_before(scene);
}

static void a_function_that_vfio_refuses_goes_back_at_once(void **state)
{
	struct scene *scene = *state;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	fake_file(&scene->fake, "/refuse-vfio", "");
	assert_int_equal(run(scene, "is-refused-by-vfio"), 0);
	assert_as_before(scene);
}

static void a_function_that_was_on_vfio_before_stays_there(void **state)
{
	struct scene *scene = *state;
	struct host_function function;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	plan_add(scene, KEEPER_NEW_MDEV, UUID, false);
	fake_move(&scene->fake, NIC, "vfio-pci");
	assert_int_equal(run(scene, "takes-all"), 7);
	assert_int_equal(host_function_read(&scene->fake.host, NIC, &function), 0);
	assert_string_equal(function.driver, "vfio-pci");
}

static void an_mdev_that_was_there_before_is_not_ours(void **state)
{
	struct scene *scene = *state;
	struct host_mdev mdev;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	plan_add(scene, KEEPER_NEW_MDEV, UUID, false);
	assert_int_equal(fake_create(&scene->fake, "mtty-2", UUID), 0);
	assert_int_equal(run(scene, "takes-all"), 10);
	assert_int_equal(host_mdev_read(&scene->fake.host, UUID, &mdev), 0);
	assert_driver(scene, NIC, "e1000e");
}

static void a_killed_child_leaves_nothing(void **state)
{
	struct scene *scene = *state;
	pid_t keeper, child;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	plan_add(scene, KEEPER_NEW_MDEV, UUID, false);
	keeper = start(scene, "takes-and-waits");
	child = hear(scene);
	assert_true(child > 0);
	assert_driver(scene, DISK, "nvme");
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(status_of(keeper), 1);
	assert_as_before(scene);
}

static void a_log_that_nobody_reads_does_not_keep_it_from_cleaning_up(void **state)
{
	struct scene *scene = *state;
	pid_t keeper, child;
	int pipes[2];

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	plan_add(scene, KEEPER_NEW_MDEV, UUID, false);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	close(pipes[0]);
	/* The keeper keeps it only below 3: that is where logs are. */
	keeper = fork();
	if (!keeper) {
		dup2(pipes[1], STDERR_FILENO);
		_exit(status_of(start_logging(scene, "takes-and-waits", STDERR_FILENO)));
	}
	close(pipes[1]);
	child = hear(scene);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(status_of(keeper), 1);
	assert_as_before(scene);
}

/* The end of all who hold the pipe's other end: the child is gone. */
static void wait_for_silence(struct scene *scene)
{
	close(scene->said[1]);
	assert_int_equal(hear(scene), -1);
	assert_int_equal(pipe(scene->said), 0);
	fcntl(scene->said[0], F_SETFD, FD_CLOEXEC);
	snprintf(scene->pipe_end, sizeof(scene->pipe_end), "%d", scene->said[1]);
}

static void a_killed_keeper_takes_its_child_along_and_the_journal_is_cleaned(void **state)
{
	struct scene *scene = *state;
	struct host_function function;
	unsigned int done, failed, stale;
	struct err err;
	pid_t keeper;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	plan_add(scene, KEEPER_NEW_MDEV, UUID, false);
	keeper = start(scene, "takes-and-waits");
	assert_true(hear(scene) > 0);
	/* A living keeper's journal is left alone. */
	assert_int_equal(journal_clean(&scene->fake.host, scene->run_dir, NULL, &done, &failed,
				       &err),
			 0);
	assert_int_equal(done + failed, 0);
	assert_int_equal(kill(keeper, SIGKILL), 0);
	assert_int_equal(status_of(keeper), 1000 + SIGKILL);
	wait_for_silence(scene);
	assert_int_equal(host_function_read(&scene->fake.host, NIC, &function), 0);
	assert_string_equal(function.driver, "vfio-pci");
	assert_int_equal(journal_count(scene->run_dir, &stale), 1);
	assert_int_equal(stale, 1);
	assert_int_equal(journal_clean(&scene->fake.host, scene->run_dir, NULL, &done, &failed,
				       &err),
			 0);
	assert_int_equal(done, 1);
	assert_int_equal(failed, 0);
	assert_as_before(scene);
}

static void the_next_start_cleans_up_after_both_were_killed(void **state)
{
	struct scene *scene = *state;
	pid_t keeper, child;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	plan_add(scene, KEEPER_NEW_MDEV, UUID, false);
	keeper = start(scene, "takes-and-waits");
	child = hear(scene);
	assert_int_equal(kill(keeper, SIGSTOP), 0);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(kill(keeper, SIGKILL), 0);
	assert_int_equal(status_of(keeper), 1000 + SIGKILL);
	wait_for_silence(scene);
	/* Its mdev has the same UUID: it can only be made where the old one is gone. */
	assert_int_equal(run(scene, "takes-all"), 7);
	assert_as_before(scene);
}

static unsigned int clean(struct scene *scene, unsigned int *failed)
{
	unsigned int done;
	struct err err = { 0 };

	if (journal_clean(&scene->fake.host, scene->run_dir, NULL, &done, failed, &err))
		fail_msg("%s", err.text);
	return done;
}

/* In a folder of its own, with a name that a line of words could not hold. */
static const char *plan_socket(struct scene *scene, char path[SYSFS_PATH_MAX], const char *name)
{
	fake_dir(&scene->fake, "/a vm");
	snprintf(path, SYSFS_PATH_MAX, "%s/a vm/%s", scene->fake.root, name);
	scene->plan.sockets[scene->plan.n_sockets++] = path;
	return path;
}

static void a_socket_that_a_killed_child_left_is_removed(void **state)
{
	char path[SYSFS_PATH_MAX], other[SYSFS_PATH_MAX], file[SYSFS_PATH_MAX];
	struct scene *scene = *state;
	pid_t keeper, child;
	int served = unix_socket_listen(plan_socket(scene, other, "served"), 0600, 1, 0, NULL);

	assert_true(served >= 0);
	plan_socket(scene, file, "file");
	fake_file(&scene->fake, "/a vm/file", "");
	scene->plan.sockets[scene->plan.n_sockets++] = "/nonexistent/folder/api";
	setenv("ADIT_TEST_SOCKET", plan_socket(scene, path, "api"), 1);
	keeper = start(scene, "listens");
	child = hear(scene);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(status_of(keeper), 1);
	assert_int_equal(access(path, F_OK), -1);
	/* What somebody else listens on, and what is no socket, is not its child's. */
	assert_int_equal(access(other, F_OK), 0);
	assert_int_equal(access(file, F_OK), 0);
	assert_as_before(scene);
	close(served);
}

static void a_socket_is_removed_with_the_journal_where_its_folder_is_the_same(void **state)
{
	char path[SYSFS_PATH_MAX], folder[SYSFS_PATH_MAX], away[SYSFS_PATH_MAX];
	struct scene *scene = *state;
	unsigned int failed;

	fake_path(&scene->fake, folder, "/a vm");
	fake_path(&scene->fake, away, "/another");
	setenv("ADIT_TEST_SOCKET", plan_socket(scene, path, "api"), 1);
	for (int moved = 1; moved >= 0; moved--) {
		pid_t keeper = start(scene, "listens");

		assert_true(hear(scene) > 0);
		assert_int_equal(kill(keeper, SIGKILL), 0);
		assert_int_equal(status_of(keeper), 1000 + SIGKILL);
		wait_for_silence(scene);
		/* The VM's user may have made it a link to where root's sockets are. */
		assert_true(!moved || (!rename(folder, away) && !symlink(away, folder)));
		assert_int_equal(clean(scene, &failed), 1);
		assert_int_equal(access(path, F_OK), moved - 1);
		assert_true(!moved || (!unlink(folder) && !rename(away, folder)));
	}
	assert_as_before(scene);
}

static void a_signal_is_handed_on_and_the_status_comes_back(void **state)
{
	struct scene *scene = *state;
	pid_t keeper = start(scene, "waits-for-sigterm");

	assert_true(hear(scene) > 0);
	assert_int_equal(kill(keeper, SIGTERM), 0);
	assert_int_equal(status_of(keeper), 9);
	assert_as_before(scene);
}

static void a_child_that_holds_what_it_gives_back_cannot_block_a_signal(void **state)
{
	struct scene *scene = *state;
	char held[SYSFS_PATH_MAX];
	pid_t keeper;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	fake_path(&scene->fake, held, "/held");
	setenv("ADIT_TEST_HELD", held, 1);
	keeper = start(scene, "releases-what-it-holds");
	assert_true(hear(scene) > 0);
	assert_int_equal(kill(keeper, SIGTERM), 0);
	assert_int_equal(status_of(keeper), 9);
	unsetenv("ADIT_TEST_HELD");
	assert_as_before(scene);
}

static void processes_that_the_child_left_are_ended(void **state)
{
	struct scene *scene = *state;
	pid_t keeper = start(scene, "leaves-processes");

	for (int i = 0; i < 3; i++)
		assert_true(hear(scene) > 0);
	assert_int_equal(status_of(keeper), 5);
	wait_for_silence(scene);
	assert_as_before(scene);
}

static void a_child_that_asks_and_does_not_listen_is_cut_off(void **state)
{
	struct scene *scene = *state;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	plan_add(scene, KEEPER_NEW_MDEV, UUID, false);
	assert_int_equal(run(scene, "floods"), 6);
	assert_as_before(scene);
}

static void a_child_may_hang_up_and_is_still_cleaned_up_after(void **state)
{
	struct scene *scene = *state;

	plan_add(scene, KEEPER_FUNCTION, NIC, true);
	assert_int_equal(run(scene, "hangs-up"), 8);
	assert_as_before(scene);
}

static void a_command_that_is_not_there_is_a_failure(void **state)
{
	struct scene *scene = *state;
	char missing[] = "/nonexistent/adit";
	char *argv[] = { missing, NULL };
	const struct log log = { .fd = -1 };
	pid_t pid = fork();

	if (!pid)
		_exit(keeper_run(&scene->plan, argv, &log));
	assert_int_equal(status_of(pid), 1);
	assert_as_before(scene);
}

/* --- journals -------------------------------------------------------------------------------- */

#define JOURNAL RUN_DIR "/keeper-1-1.journal"

static void journal(struct scene *scene, const char *text, mode_t mode)
{
	char path[SYSFS_PATH_MAX];

	fake_file(&scene->fake, JOURNAL, text);
	fake_path(&scene->fake, path, JOURNAL);
	assert_int_equal(chmod(path, mode), 0);
}

static void a_journal_that_is_damaged_or_not_ours_is_not_believed(void **state)
{
	static const char *const damaged[] = {
		"adit-keeper 2\n",
		"adit-keeper 1\nrm -rf /\n",
		"adit-keeper 1\n+function ../../x e1000e -\n",
		"adit-keeper 1\n+function " NIC " ../x -\n",
		"adit-keeper 1\n+function " NIC " e1000e\n",
		"adit-keeper 1\n+function " NIC " e1000e - more\n",
		"adit-keeper 1\n+mdev " UUID " a/b mtty-2\n",
		"adit-keeper 1\n+mdev x mtty mtty-2\n",
		"adit-keeper 1\n*mdev " UUID " mtty mtty-2\n",
		"adit-keeper 1\nsocket api\n",
		"adit-keeper 1\nsocket /\n",
	};
	struct scene *scene = *state;
	unsigned int failed;

	assert_int_equal(fake_create(&scene->fake, "mtty-2", UUID), 0);
	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++) {
		journal(scene, damaged[i], 0600);
		assert_int_equal(clean(scene, &failed), 0);
		assert_int_equal(failed, 1);
	}
	journal(scene, "adit-keeper 1\n+mdev " UUID " mtty mtty-2\n", 0666);
	assert_int_equal(clean(scene, &failed), 0);
	assert_int_equal(failed, 1);
	journal(scene, "adit-keeper 1\n+mdev " UUID " mtty mtty-2\n", 0600);
	assert_int_equal(clean(scene, &failed), 1);
	assert_as_before(scene);
}

static void a_journal_that_was_cut_anywhere_is_cleaned(void **state)
{
	static const char whole[] = "adit-keeper 1\nchild 1 1\n+function " NIC " e1000e -\n";
	struct scene *scene = *state;
	char text[sizeof(whole)];
	unsigned int failed;

	for (size_t n = 0; n < sizeof(whole); n++) {
		memcpy(text, whole, n);
		text[n] = 0;
		/* The step is made only once its line is whole. */
		if (n + 1 == sizeof(whole)) {
			fake_write(&scene->fake, "/sys/bus/pci/devices/" NIC "/driver_override",
				   "vfio-pci");
			fake_move(&scene->fake, NIC, "vfio-pci");
		}
		journal(scene, text, 0600);
		assert_int_equal(clean(scene, &failed), 1);
		assert_int_equal(failed, 0);
		assert_as_before(scene);
	}
}

/* Wherever between its steps a take was cut off, going back leads to the start. */
static void a_take_that_was_cut_anywhere_is_undone(void **state)
{
	struct scene *scene = *state;
	const struct change_function before = { NIC, "e1000e", "" };
	struct err err;

	for (int steps = 0; steps <= 3; steps++) {
		if (steps > 0)
			fake_write(&scene->fake, "/sys/bus/pci/devices/" NIC "/driver_override",
				   "vfio-pci");
		if (steps > 1)
			fake_write(&scene->fake, "/sys/bus/pci/devices/" NIC "/driver/unbind", NIC);
		if (steps > 2)
			fake_write(&scene->fake, "/sys/bus/pci/drivers_probe", NIC);
		for (int again = 0; again < 2; again++) {
			assert_int_equal(change_function_return(&scene->fake.host, &before, &err),
					 0);
			assert_as_before(scene);
		}
	}
	/* What somebody else has given to another driver stays there. */
	fake_move(&scene->fake, NIC, "pci-stub");
	assert_int_equal(change_function_return(&scene->fake.host, &before, &err), 0);
	assert_driver(scene, NIC, "pci-stub");
}

static void a_run_directory_that_others_can_write_is_refused(void **state)
{
	struct scene *scene = *state;
	unsigned int done, failed;
	struct err err;

	fake_dir(&scene->fake, RUN_DIR);
	assert_int_equal(chmod(scene->run_dir, 0777), 0);
	assert_int_equal(journal_clean(&scene->fake.host, scene->run_dir, NULL, &done, &failed,
				       &err),
			 -EPERM);
	assert_non_null(strstr(err.text, "must belong to user"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_child_gets_what_the_plan_names_and_all_is_undone),
		TEST(a_group_is_handed_over_too),
		TEST(devices_can_be_released_and_taken_again),
		TEST(requests_outside_the_plan_are_refused_and_change_nothing),
		TEST(what_is_not_managed_or_in_use_is_refused_by_name),
		TEST(a_function_that_vfio_refuses_goes_back_at_once),
		TEST(a_function_that_was_on_vfio_before_stays_there),
		TEST(an_mdev_that_was_there_before_is_not_ours),
		TEST(a_killed_child_leaves_nothing),
		TEST(a_log_that_nobody_reads_does_not_keep_it_from_cleaning_up),
		TEST(a_killed_keeper_takes_its_child_along_and_the_journal_is_cleaned),
		TEST(the_next_start_cleans_up_after_both_were_killed),
		TEST(a_socket_that_a_killed_child_left_is_removed),
		TEST(a_socket_is_removed_with_the_journal_where_its_folder_is_the_same),
		TEST(a_signal_is_handed_on_and_the_status_comes_back),
		TEST(a_child_that_holds_what_it_gives_back_cannot_block_a_signal),
		TEST(processes_that_the_child_left_are_ended),
		TEST(a_child_that_asks_and_does_not_listen_is_cut_off),
		TEST(a_child_may_hang_up_and_is_still_cleaned_up_after),
		TEST(a_command_that_is_not_there_is_a_failure),
		TEST(a_journal_that_is_damaged_or_not_ours_is_not_believed),
		TEST(a_journal_that_was_cut_anywhere_is_cleaned),
		TEST(a_take_that_was_cut_anywhere_is_undone),
		TEST(a_run_directory_that_others_can_write_is_refused),
	};

	if (argc == 4)
		return play(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
