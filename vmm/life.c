/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's life. One file, because it is one lock and one rule: only the thread in life_run moves
 * between the states that make and destroy machines, and it gives the lock up while it does.
 */
#include "vmm/life-internal.h"
#include "vmm/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/config-draft.h"
#include "vmm/config.h"
#include "vmm/snapshot.h"
#include "vmm/start-keeper.h"
#include "vmm/virtio/mem.h"

const char *life_state_name(enum life_state state)
{
	static const char *const names[] = {
		[LIFE_EMPTY] = "Empty",	      [LIFE_CREATED] = "Created",
		[LIFE_STARTING] = "Starting", [LIFE_RUNNING] = "Running",
		[LIFE_PAUSED] = "Paused",     [LIFE_SHUTDOWN] = "Shutdown",
	};

	return names[state];
}

const char *machine_end_name(enum machine_end end)
{
	static const char *const names[] = {
		[MACHINE_OFF] = "off",
		[MACHINE_RESET] = "reset",
		[MACHINE_STOPPED] = "stopped",
		[MACHINE_FAILED] = "failed",
	};

	return names[end];
}

int life_create(struct life **out, const struct life_options *options, struct err *err)
{
	struct life *life = calloc(1, sizeof(*life));

	*out = life;
	if (!life)
		return err_set(err, ENOMEM, "no memory for a VM's life");
	life->options = *options;
	life->status_fd = -1;
	life->restore = options->restore ? strdup(options->restore) : NULL;
	life->resume = !options->paused;
	if (options->restore && !life->restore) {
		free(life);
		*out = NULL;
		return err_set(err, ENOMEM, "no memory for a VM's life");
	}
	life->restore_fd = options->restore_fd ? options->restore_fd : -1;
	pthread_mutex_init(&life->lock, NULL);
	pthread_cond_init(&life->changed, NULL);
	return 0;
}

void life_destroy(struct life *life)
{
	if (!life)
		return;
	if (life->status_fd >= 0)
		close(life->status_fd);
	life_forget_errands(life);
	life_close_given(&life->config);
	config_free(&life->config);
	free(life->text);
	free(life->restore);
	if (life->restore_fd >= 0)
		close(life->restore_fd);
	pthread_cond_destroy(&life->changed);
	pthread_mutex_destroy(&life->lock);
	free(life);
}

void life_listen(struct life *life, life_finished_fn finished, void *arg)
{
	life->listener.finished = finished;
	life->listener.arg = arg;
	if (life->status_fd < 0)
		life->status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
}

void life_watch(struct life *life, life_event_fn event, void *arg)
{
	life->watchers[life->n_watchers].event = event;
	life->watchers[life->n_watchers++].arg = arg;
}

void life_tell(struct life *life, const char *event, const char *detail)
{
	for (unsigned int i = 0; i < life->n_watchers; i++)
		life->watchers[i].event(life->watchers[i].arg, event, detail);
}

/* --- the configuration ----------------------------------------------------------------------- */

/* Takes over what both hold, on success only. */
static int define(struct life *life, struct config *config, char **text, struct err *err)
{
	int ret = 0;

	pthread_mutex_lock(&life->lock);
	if (life->state != LIFE_EMPTY) {
		ret = err_set(err, EEXIST, "there is a VM already: vm.delete it first");
	} else {
		life->config = *config;
		memset(config, 0, sizeof(*config));
		life->text = *text;
		*text = NULL;
		life->state = LIFE_CREATED;
		life_tell(life, "created", NULL);
	}
	pthread_mutex_unlock(&life->lock);
	return ret;
}

static char *copy_text(const char *text, size_t len, struct err *err)
{
	char *copy = strndup(text, len);

	if (!copy)
		err_set(err, ENOMEM, "out of memory");
	return copy;
}

/*
 * A number that a client sends would name whatever this process has open by it; and the keeper has
 * to be there before the VM's process is.
 */
static int refuse_what_comes_at_start(const struct config *config, struct err *err)
{
	if (config->payload.kernel_fd || config->payload.initramfs_fd)
		return err_set(err, EINVAL,
			       "/payload: descriptors are handed over at start only; give paths");
	if (config->iommu.fd)
		return err_set(err, EINVAL, "/iommu/fd: descriptors are handed over at start only");
	for (size_t i = 0; i < config->n_devices; i++) {
		if (config->devices[i].fd)
			return err_set(err, EINVAL,
				       "/devices/%zu/fd: descriptors are handed over at start only",
				       i);
	}
	for (size_t i = 0; i < config->n_disks; i++) {
		if (config->disks[i].fd)
			return err_set(err, EINVAL,
				       "/disks/%zu/fd: descriptors are handed over at start, or "
				       "sent with vm.add-disk",
				       i);
	}
	for (size_t i = 0; i < config->n_net; i++) {
		if (config->net[i].fd)
			return err_set(err, EINVAL,
				       "/net/%zu/fd: descriptors are handed over at start only", i);
	}
	if (keeper_is_needed(config))
		return err_set(err, EINVAL,
			       "/devices: \"managed\" and \"mdev\" need adit-keeper, which is "
			       "there from the start only: give this configuration to adit run");
	return 0;
}

int life_define(struct life *life, const char *text, size_t len, struct err *err)
{
	struct config config;
	char *copy;
	int ret = config_parse(&config, text, len, err);

	if (ret)
		return ret;
	ret = refuse_what_comes_at_start(&config, err);
	if (!ret)
		ret = namespaces_check(life->namespaces, &config, err);
	copy = ret ? NULL : copy_text(text, len, err);
	ret = copy ? define(life, &config, &copy, err) : -err->code;
	config_free(&config);
	free(copy);
	return ret;
}

struct loading {
	struct config config;
	char *text;
	bool kept;
};

static int parse_file(void *out, const char *text, size_t len, struct err *err)
{
	struct loading *loading = out;
	int ret = config_parse(&loading->config, text, len, err);

	if (ret || !loading->kept)
		return ret;
	loading->text = copy_text(text, len, err);
	return loading->text ? 0 : -ENOMEM;
}

int life_load(struct life *life, const char *path, bool kept, struct err *err)
{
	struct loading loading = { .kept = kept };
	int ret = config_load_with(path, parse_file, &loading, err);

	/* Before it could be mistaken for something that is opened here. */
	if (!ret)
		ret = life_look_given(&loading.config, err);
	if (!ret)
		ret = define(life, &loading.config, &loading.text, err);
	config_free(&loading.config);
	free(loading.text);
	return ret;
}

void life_in_namespaces(struct life *life, unsigned int which)
{
	life->namespaces = which;
}

void life_has_spawner(struct life *life, struct idxd_spawner *spawner)
{
	life->spawner = spawner;
}

const struct config *life_config(const struct life *life)
{
	return &life->config;
}

/* --- the thread of life_run: called with the lock held --------------------------------------- */

static void finish(struct life *life, int ret, const struct err *why)
{
	life->op_ret = ret;
	life->op_err = *why;
	life->op_done = true;
	if (life->listener.finished)
		life->listener.finished(life->listener.arg);
	else
		life->op = LIFE_NOTHING;
}

static void finish_well(struct life *life)
{
	finish(life, 0, &(struct err){ 0 });
}

static bool is_doing(const struct life *life, enum life_op op)
{
	return life->op == op && !life->op_done;
}

static void forget(struct life *life)
{
	life_close_given(&life->config);
	config_free(&life->config);
	free(life->text);
	life->text = NULL;
	life->state = LIFE_EMPTY;
	life_tell(life, "deleted", NULL);
}

/* Watchers take it from any thread; who they are does not change while a machine is there. */
static void on_machine_event(void *arg, const char *event, const char *detail)
{
	life_tell(arg, event, detail);
}

/*
 * A machine of the configuration, from a snapshot: fd where that is not -1, or the one at `path`
 * where that is not NULL.
 */
static int create_machine(struct life *life, const char *path, int fd, struct machine **machine,
			  struct err *err)
{
	struct snapshot snapshot = { .fd = -1 };
	struct machine_options options = {
		.config = &life->config,
		.log = life->options.log,
		.kvm_fd = -1,
		.keeper_fd = life->options.keeper,
		.one_life = life->options.no_reboot,
		.event = on_machine_event,
		.event_arg = life,
		.sandbox = life->options.sandbox,
		.spawner = life->spawner,
		.errands = life_serve_errands,
		.errands_arg = life,
	};
	int ret = 0;

	if (fd >= 0)
		ret = snapshot_open_fd(&snapshot, fd, "--restore-fd", err);
	else if (path)
		ret = snapshot_open(&snapshot, path, err);
	if (fd >= 0 || path)
		options.snapshot = &snapshot;
	if (!ret)
		ret = machine_create(machine, &options, err);
	snapshot_close(&snapshot);
	return ret;
}

/* *waits: it is paused, before its first instruction, until somebody resumes it. */
static int make_machine(struct life *life, struct machine **machine, bool *waits, struct err *err)
{
	char *path = life->restore;
	int fd = life->restore_fd, ret;

	*waits = !life->resume;
	life->restore = NULL;
	life->restore_fd = -1;
	life->resume = true;
	life->state = LIFE_STARTING;
	pthread_mutex_unlock(&life->lock);
	ret = create_machine(life, path, fd, machine, err);
	free(path);
	if (!ret && life->options.begun)
		ret = life->options.begun(life->options.arg, *machine, err);
	if (ret) {
		log_line(life->options.log, LOG_ERROR, "run", "%s", err->text);
		if (*machine && life->options.ended)
			life->options.ended(life->options.arg);
		machine_destroy(*machine);
	} else if (*waits) {
		machine_pause(*machine);
	}
	pthread_mutex_lock(&life->lock);
	return ret;
}

/* A paused guest could not answer. */
static void end_softly(struct life *life)
{
	if (life->state == LIFE_PAUSED) {
		machine_resume(life->machine);
		life->state = LIFE_RUNNING;
	}
	if (life->machine)
		machine_power_button(life->machine);
}

static enum machine_end run_machine(struct life *life, struct machine *machine, bool waits)
{
	enum machine_end end;

	life->machine = machine;
	life->state = waits ? LIFE_PAUSED : LIFE_RUNNING;
	life->boots++;
	life_tell(life, "booted", waits ? "paused" : NULL);
	if (life->quit)
		machine_stop(machine);
	else if (life->soft)
		end_softly(life);
	if (is_doing(life, LIFE_BOOT) || is_doing(life, LIFE_REBOOT))
		finish_well(life);
	pthread_mutex_unlock(&life->lock);
	end = machine_run(machine, !life->confined);
	life->confined = true;
	pthread_mutex_lock(&life->lock);
	life->machine = NULL;
	life->state = LIFE_SHUTDOWN;
	life->has_ended = true;
	life->last_end = end;
	life_tell(life, "ended", machine_end_name(end));
	life_end_errands(life, machine);
	pthread_mutex_unlock(&life->lock);
	if (life->options.ended)
		life->options.ended(life->options.arg);
	machine_destroy(machine);
	pthread_mutex_lock(&life->lock);
	return end;
}

static bool goes_on(const struct life *life, enum machine_end end)
{
	if (life->quit || life->soft || end != MACHINE_RESET)
		return false;
	if (is_doing(life, LIFE_REBOOT))
		return true;
	return !life->options.no_reboot && !is_doing(life, LIFE_STOP) &&
	       !is_doing(life, LIFE_DELETE);
}

/* Machine after machine, until one ends for good. */
static int run_machines(struct life *life, enum machine_end *end)
{
	struct machine *machine = NULL;
	struct err err = { 0 };
	bool waits;
	int ret;

	do {
		machine = NULL;
		ret = make_machine(life, &machine, &waits, &err);
		if (ret) {
			life->state = LIFE_SHUTDOWN;
			life->has_ended = true;
			life->last_end = MACHINE_FAILED;
			life_tell(life, "failed", err.text);
			break;
		}
		*end = run_machine(life, machine, waits);
	} while (goes_on(life, *end));
	if (life->op_done || life->op == LIFE_NOTHING)
		return ret;
	life->resume = true;
	if (is_doing(life, LIFE_STOP)) {
		finish_well(life);
	} else if (is_doing(life, LIFE_DELETE)) {
		forget(life);
		finish_well(life);
	} else {
		if (!ret)
			err_set(&err, ECANCELED, "the machine ended first (%s)",
				machine_end_name(*end));
		finish(life, -err.code, &err);
	}
	return ret;
}

/* An operation without a machine that runs. */
static int serve_op(struct life *life, enum machine_end *end)
{
	if (life->op == LIFE_BOOT || life->op == LIFE_REBOOT)
		return run_machines(life, end);
	if (life->op == LIFE_DELETE)
		forget(life);
	finish_well(life);
	return 0;
}

int life_run(struct life *life, bool boot, enum machine_end *end)
{
	int ret = 0;

	*end = MACHINE_OFF;
	pthread_mutex_lock(&life->lock);
	if (boot)
		ret = run_machines(life, end);
	while ((!boot || life->options.stay || life->held) && !life->quit && !life->soft) {
		if (life->op != LIFE_NOTHING && !life->op_done)
			ret = serve_op(life, end);
		else
			pthread_cond_wait(&life->changed, &life->lock);
	}
	pthread_mutex_unlock(&life->lock);
	return ret;
}

/* --- any thread ------------------------------------------------------------------------------ */

/* Which states an operation may begin in. */
static bool fits(enum life_op op, enum life_state state)
{
	switch (op) {
	case LIFE_BOOT:
		return state == LIFE_CREATED || state == LIFE_SHUTDOWN;
	case LIFE_REBOOT:
	case LIFE_STOP:
		return state == LIFE_RUNNING || state == LIFE_PAUSED;
	default:
		return true;
	}
}

int life_refuse_state(const struct life *life, const char *due, struct err *err)
{
	if (life->state == LIFE_EMPTY)
		return err_set(err, ENOENT, "there is no VM: vm.create makes one");
	return err_set(err, EPERM, "the VM is %s; it must be %s for this",
		       life_state_name(life->state), due);
}

/* With the lock held. */
static int begin(struct life *life, enum life_op op, struct err *err)
{
	int ret = 0;

	if (life->op != LIFE_NOTHING || life->state == LIFE_STARTING) {
		ret = err_set(err, EBUSY,
			      "the VM is being started, stopped or deleted: ask again later");
	} else if (life->state == LIFE_EMPTY || !fits(op, life->state)) {
		ret = life_refuse_state(life,
					op == LIFE_BOOT ? "Created or Shutdown"
							: "Running or Paused",
					err);
	} else {
		life->op = op;
		life->op_done = false;
		life->held = life->held || op == LIFE_STOP || op == LIFE_DELETE;
		/* What was paused waits before its first instruction. */
		if (op == LIFE_REBOOT && life->state == LIFE_PAUSED)
			life->resume = false;
		if (life->machine && op == LIFE_REBOOT)
			machine_reset(life->machine);
		else if (life->machine)
			machine_stop(life->machine);
		pthread_cond_broadcast(&life->changed);
	}
	return ret;
}

int life_begin(struct life *life, enum life_op op, struct err *err)
{
	int ret;

	pthread_mutex_lock(&life->lock);
	ret = begin(life, op, err);
	pthread_mutex_unlock(&life->lock);
	return ret;
}

int life_restore(struct life *life, const char *path, bool resume, struct err *err)
{
	char *copy = strdup(path);
	int ret;

	if (!copy)
		return err_set(err, ENOMEM, "out of memory");
	pthread_mutex_lock(&life->lock);
	ret = begin(life, LIFE_BOOT, err);
	if (!ret) {
		free(life->restore);
		life->restore = copy;
		life->resume = resume;
		copy = NULL;
	}
	pthread_mutex_unlock(&life->lock);
	free(copy);
	return ret;
}

bool life_collect(struct life *life, int *ret, struct err *err)
{
	bool done;

	pthread_mutex_lock(&life->lock);
	done = life->op_done;
	if (done) {
		*ret = life->op_ret;
		*err = life->op_err;
		life->op = LIFE_NOTHING;
		life->op_done = false;
	}
	pthread_mutex_unlock(&life->lock);
	return done;
}

static int pause_or_resume(struct life *life, enum life_state from, enum life_state to,
			   struct err *err)
{
	int ret = 0;

	pthread_mutex_lock(&life->lock);
	if (life->state != from) {
		ret = life_refuse_state(life, life_state_name(from), err);
	} else {
		if (to == LIFE_PAUSED)
			machine_pause(life->machine);
		else
			machine_resume(life->machine);
		life->state = to;
		life_tell(life, to == LIFE_PAUSED ? "paused" : "resumed", NULL);
	}
	pthread_mutex_unlock(&life->lock);
	return ret;
}

int life_pause(struct life *life, struct err *err)
{
	return pause_or_resume(life, LIFE_RUNNING, LIFE_PAUSED, err);
}

int life_resume(struct life *life, struct err *err)
{
	return pause_or_resume(life, LIFE_PAUSED, LIFE_RUNNING, err);
}

int life_power_button(struct life *life, struct err *err)
{
	int ret = 0;

	pthread_mutex_lock(&life->lock);
	if (life->machine) {
		machine_power_button(life->machine);
		life_tell(life, "power-button", NULL);
	} else {
		ret = life_refuse_state(life, "Running", err);
	}
	pthread_mutex_unlock(&life->lock);
	return ret;
}

int life_resize_memory(struct life *life, uint64_t wanted, struct err *err)
{
	int ret = 0;

	pthread_mutex_lock(&life->lock);
	if (!life->machine)
		ret = life_refuse_state(life, "Running or Paused", err);
	else if (!machine_mem(life->machine))
		ret = err_set(err, ENOENT,
			      "this VM has no memory to be plugged: its configuration needs "
			      "\"hotplug_size\" in /memory");
	if (!ret)
		ret = mem_resize(machine_mem(life->machine), wanted, err);
	/* What a machine has read of it by now, it does not read again. */
	if (!ret)
		life->config.memory.hotplugged_size = wanted;
	pthread_mutex_unlock(&life->lock);
	return ret;
}

bool life_end_softly(struct life *life)
{
	bool waits;

	pthread_mutex_lock(&life->lock);
	life->soft = true;
	end_softly(life);
	waits = life->machine || life->state == LIFE_STARTING;
	pthread_cond_broadcast(&life->changed);
	pthread_mutex_unlock(&life->lock);
	return waits;
}

void life_quit(struct life *life)
{
	pthread_mutex_lock(&life->lock);
	life->quit = true;
	if (life->machine)
		machine_stop(life->machine);
	pthread_cond_broadcast(&life->changed);
	pthread_mutex_unlock(&life->lock);
}

uint32_t life_grace_ms(struct life *life)
{
	uint32_t ms;

	pthread_mutex_lock(&life->lock);
	ms = life->config.shutdown_timeout_ms;
	pthread_mutex_unlock(&life->lock);
	return ms;
}

int life_look(struct life *life, int (*fn)(void *arg, const struct life_view *view), void *arg)
{
	struct life_view view;
	int ret;

	pthread_mutex_lock(&life->lock);
	view = (struct life_view){
		.state = life->state,
		.text = life->text,
		.config = life->state == LIFE_EMPTY ? NULL : &life->config,
		.machine = life->machine,
		.has_ended = life->has_ended,
		.last_end = life->last_end,
		.boots = life->boots,
		.sandbox = life->options.sandbox,
		.namespaces = life->namespaces,
		.status_fd = life->status_fd,
	};
	ret = fn(arg, &view);
	pthread_mutex_unlock(&life->lock);
	return ret;
}
