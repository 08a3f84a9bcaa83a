/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes to a VM and leaves it, and what is made of it: errands, which any thread asks for and
 * the life's thread runs, one after the other. The configuration and its text follow what is there:
 * an entry is in them from the moment its device is, and until it has gone, so that the next
 * machine has the same.
 *
 * An entry is added without the life's lock, for opening things takes time; nobody else changes
 * what is there. It is taken away under it, so that who looks at a machine finds what it looks at.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keeper/host.h"
#include "vmm/config-edit.h"
#include "vmm/hotplug.h"
#include "vmm/life-internal.h"
#include "vmm/namespaces.h"
#include "vmm/start-keeper.h"

#define ERRANDS_MAX 64u /* that are not collected */
#define NS_PER_MS   1000000ull

enum errand_state {
	ERRAND_ASKED,	/* waits for the life's thread */
	ERRAND_RUNS,	/* is its turn */
	ERRAND_LEAVING, /* a removal: the guest, or what is under way, has to let go */
	ERRAND_DONE,
};

struct errand {
	struct errand *next;
	enum errand_state state;
	char *snapshot; /* the file's name; NULL: something comes or goes */
	bool adds;
	enum config_list list;
	char *entry;
	size_t len;
	uint32_t guest; /* of CONFIG_PASIDS, which goes; done.id is its ADI's */
	int fds[LIFE_FDS];
	unsigned int n_fds;
	bool force;
	uint64_t deadline; /* of the guest, on hotplug_now's clock; 0: none */
	struct life_done done;
};

/* --- descriptors ----------------------------------------------------------------------------- */

/* Those that the configuration does not name any more. */
static void close_others(const uint32_t *had, size_t n, const struct config *now)
{
	uint32_t has[CONFIG_MAX_DESCRIPTORS];
	size_t n_has = config_descriptors(now, has);

	for (size_t i = 0; i < n; i++) {
		bool kept = false;

		for (size_t j = 0; j < n_has && !kept; j++)
			kept = has[j] == had[i];
		if (!kept)
			close((int)had[i]);
	}
}

void life_close_given(const struct config *config)
{
	uint32_t had[CONFIG_MAX_DESCRIPTORS];

	close_others(had, config_descriptors(config, had), &(struct config){ 0 });
}

int life_look_given(const struct config *config, struct err *err)
{
	uint32_t has[CONFIG_MAX_DESCRIPTORS];
	size_t n = config_descriptors(config, has);

	for (size_t i = 0; i < n; i++) {
		if (fcntl((int)has[i], F_GETFD) < 0)
			return err_set(err, EBADF, "descriptor %u: nobody has handed it over",
				       has[i]);
	}
	return 0;
}

static void close_all(const int *fds, unsigned int n)
{
	while (n)
		close(fds[--n]);
}

/* Of a device, and of the context that it goes into, in any order. */
static int sort_device(const int *fds, unsigned int n, struct config_given *given, struct err *err)
{
	static const struct host here = { .root = "" };

	for (unsigned int i = 0; i < n; i++) {
		struct host_identity identity;
		int ret = host_identify(&here, fds[i], &identity, err);
		bool context =
			identity.node == HOST_NODE_IOMMU || identity.node == HOST_NODE_CONTAINER;
		uint32_t *place = context ? &given->iommu : &given->fd;

		if (ret)
			return err_prefix(err, "descriptor %u of the request", i);
		if (*place || (!context && identity.node != HOST_NODE_CDEV &&
			       identity.node != HOST_NODE_GROUP))
			return err_set(
				err, EINVAL,
				"descriptor %u of the request: is %s; one VFIO cdev or group "
				"can be sent, and one node for I/O address spaces",
				i, *place ? "a second one of its kind" : "neither of those");
		*place = (uint32_t)fds[i];
	}
	return given->fd ? 0
			 : err_set(err, EINVAL,
				   "the request came with a node for I/O address spaces and no "
				   "device");
}

static int sort_given(enum config_list list, const int *fds, unsigned int n,
		      struct config_given *given, struct err *err)
{
	*given = (struct config_given){ 0 };
	if (!n)
		return 0;
	if (list == CONFIG_DEVICES)
		return sort_device(fds, n, given, err);
	if (n > 1 || list == CONFIG_ADIS || list == CONFIG_PASIDS)
		return err_set(err, EINVAL, "%u descriptors came with the request: %s takes %s", n,
			       list == CONFIG_ADIS     ? "an ADI"
			       : list == CONFIG_PASIDS ? "a binding"
			       : list == CONFIG_NET    ? "an interface"
						       : "a disk",
			       list == CONFIG_ADIS || list == CONFIG_PASIDS ? "none" : "one");
	given->fd = (uint32_t)fds[0];
	return 0;
}

/* --- asking, with the lock held -------------------------------------------------------------- */

static struct errand *new_errand(struct life *life, struct err *err)
{
	struct errand *errand, **at;
	unsigned int n = 0;

	for (at = &life->errands; *at; at = &(*at)->next)
		n++;
	errand = n < ERRANDS_MAX ? calloc(1, sizeof(*errand)) : NULL;
	if (!errand) {
		err_set(err, n < ERRANDS_MAX ? ENOMEM : EBUSY,
			"%u devices are being added and removed: ask again later", n);
		return NULL;
	}
	errand->done.ticket = ++life->tickets;
	*at = errand;
	return errand;
}

static void free_errand(struct life *life, struct errand *errand)
{
	struct errand **at = &life->errands;

	while (*at != errand)
		at = &(*at)->next;
	*at = errand->next;
	close_all(errand->fds, errand->n_fds);
	free(errand->entry);
	free(errand->snapshot);
	free(errand);
}

/* The configuration with one entry more, and what came with its request. */
static int read_entry(struct life *life, struct config_edit *edit,
		      const struct life_addition *addition, struct err *err)
{
	struct config_given given;
	int ret = sort_given(addition->list, addition->fds, addition->n_fds, &given, err);

	if (!ret)
		ret = config_edit_add(edit, &life->config, life->text, addition->list,
				      addition->entry, addition->len, &given, err);
	if (ret || addition->list != CONFIG_NET)
		return ret;
	ret = namespaces_check_net(life->namespaces, &edit->config.net[edit->config.n_net - 1],
				   err);
	if (ret)
		config_edit_cancel(edit);
	return ret;
}

/* No machine: the entry is only written down. */
static int add_to_text(struct life *life, const struct life_addition *addition, struct err *err)
{
	struct config_edit edit;
	int ret;

	/* What a device is would have to be looked up in files, which who asks may not open. */
	if (addition->n_fds && addition->list == CONFIG_DEVICES)
		return err_set(err, EPERM,
			       "a device's descriptor is taken while the VM runs: start it first");
	ret = read_entry(life, &edit, addition, err);
	if (!ret)
		config_edit_commit(&edit, &life->config, &life->text);
	return ret;
}

static bool machine_runs(const struct life *life)
{
	return life->state == LIFE_RUNNING || life->state == LIFE_PAUSED;
}

static bool may_change(const struct life *life)
{
	return machine_runs(life) || life->state == LIFE_CREATED || life->state == LIFE_SHUTDOWN;
}

/* What rests in a paused engine would never end. */
static int refuse_paused(const struct life *life, struct err *err)
{
	return life->state == LIFE_PAUSED
		       ? life_refuse_state(life, "Created, Running or Shutdown", err)
		       : 0;
}

/* True where the descriptors have a new owner; that is so after every success. */
static bool ask_add(struct life *life, const struct life_addition *addition, uint64_t *ticket,
		    struct err *err)
{
	struct errand *errand;

	if (!may_change(life)) {
		life_refuse_state(life, "Created, Running, Paused or Shutdown", err);
		return false;
	}
	if (addition->list == CONFIG_PASIDS && refuse_paused(life, err))
		return false;
	if (!machine_runs(life))
		return !add_to_text(life, addition, err);
	errand = new_errand(life, err);
	if (!errand)
		return false;
	errand->adds = true;
	errand->list = addition->list;
	errand->entry = strndup(addition->entry, addition->len);
	errand->len = addition->len;
	if (!errand->entry) {
		free_errand(life, errand);
		err_set(err, ENOMEM, "out of memory");
		return false;
	}
	memcpy(errand->fds, addition->fds, addition->n_fds * sizeof(errand->fds[0]));
	errand->n_fds = addition->n_fds;
	*ticket = errand->done.ticket;
	hotplug_wake(machine_hotplug(life->machine));
	return true;
}

int life_add(struct life *life, const struct life_addition *addition, uint64_t *ticket,
	     struct err *err)
{
	bool taken = false;

	*ticket = 0;
	if (addition->n_fds > LIFE_FDS) {
		err_set(err, EINVAL, "%u descriptors came with the request: at most %u are of use",
			addition->n_fds, LIFE_FDS);
	} else {
		pthread_mutex_lock(&life->lock);
		taken = ask_add(life, addition, ticket, err);
		pthread_mutex_unlock(&life->lock);
	}
	if (!taken)
		close_all(addition->fds, addition->n_fds);
	return taken ? 0 : -err->code;
}

static int remove_entry(struct life *life, const char *id, struct err *err)
{
	uint32_t had[CONFIG_MAX_DESCRIPTORS];
	size_t n = config_descriptors(&life->config, had);
	int ret = config_edit_remove(&life->config, &life->text, id, err);

	close_others(had, n, &life->config);
	return ret;
}

static int ask_remove(struct life *life, const struct life_removal *removal, uint64_t *ticket,
		      struct err *err)
{
	struct hotplug *hotplug;
	struct errand *errand;
	bool asks = !removal->force || removal->timeout_ms;

	if (!may_change(life))
		return life_refuse_state(life, "Created, Running, Paused or Shutdown", err);
	if (!machine_runs(life))
		return remove_entry(life, removal->id, err);
	hotplug = machine_hotplug(life->machine);
	/* Its errand may find it gone; it is there now. */
	if (!hotplug_slot(hotplug, removal->id))
		return hotplug_ask(hotplug, removal->id, err);
	if (asks && !removal->timeout_ms)
		return hotplug_ask(hotplug, removal->id, err);
	errand = new_errand(life, err);
	if (!errand)
		return -err->code;
	errand->force = removal->force;
	memcpy(errand->done.id, removal->id, strnlen(removal->id, CONFIG_ID_MAX));
	if (asks) {
		errand->deadline = hotplug_now() + removal->timeout_ms * NS_PER_MS;
		errand->state = ERRAND_LEAVING;
		hotplug_ask(hotplug, removal->id, err);
	}
	*ticket = errand->done.ticket;
	hotplug_wake(hotplug);
	return 0;
}

int life_remove(struct life *life, const struct life_removal *removal, uint64_t *ticket,
		struct err *err)
{
	int ret;

	*ticket = 0;
	pthread_mutex_lock(&life->lock);
	ret = ask_remove(life, removal, ticket, err);
	pthread_mutex_unlock(&life->lock);
	return ret;
}

static int ask_remove_pasid(struct life *life, const char *adi, uint32_t guest, uint64_t *ticket,
			    struct err *err)
{
	struct errand *errand;

	if (!may_change(life))
		return life_refuse_state(life, "Created, Running or Shutdown", err);
	if (refuse_paused(life, err))
		return -err->code;
	if (!machine_runs(life))
		return config_edit_remove_pasid(&life->config, &life->text, adi, guest, err);
	errand = new_errand(life, err);
	if (!errand)
		return -err->code;
	errand->list = CONFIG_PASIDS;
	errand->guest = guest;
	memcpy(errand->done.id, adi, strnlen(adi, CONFIG_ID_MAX));
	*ticket = errand->done.ticket;
	hotplug_wake(machine_hotplug(life->machine));
	return 0;
}

int life_remove_pasid(struct life *life, const char *adi, uint32_t guest, uint64_t *ticket,
		      struct err *err)
{
	int ret;

	*ticket = 0;
	pthread_mutex_lock(&life->lock);
	ret = ask_remove_pasid(life, adi, guest, ticket, err);
	pthread_mutex_unlock(&life->lock);
	return ret;
}

static int ask_snapshot(struct life *life, const char *path, int fd, uint64_t *ticket,
			struct err *err)
{
	struct errand *errand;

	if (life->state != LIFE_PAUSED)
		return life_refuse_state(life, "Paused", err);
	errand = new_errand(life, err);
	if (!errand)
		return -err->code;
	errand->snapshot = strdup(path);
	snprintf(errand->done.id, sizeof(errand->done.id), "snapshot"); /* for the log */
	if (!errand->snapshot) {
		free_errand(life, errand);
		return err_set(err, ENOMEM, "out of memory");
	}
	if (fd >= 0)
		errand->fds[errand->n_fds++] = fd;
	*ticket = errand->done.ticket;
	hotplug_wake(machine_hotplug(life->machine));
	return 0;
}

int life_snapshot(struct life *life, const char *path, int fd, uint64_t *ticket, struct err *err)
{
	int ret;

	*ticket = 0;
	pthread_mutex_lock(&life->lock);
	ret = ask_snapshot(life, path, fd, ticket, err);
	pthread_mutex_unlock(&life->lock);
	if (ret && fd >= 0)
		close(fd);
	return ret;
}

bool life_collect_errand(struct life *life, struct life_done *done)
{
	struct errand *errand;

	pthread_mutex_lock(&life->lock);
	for (errand = life->errands; errand && errand->state != ERRAND_DONE; errand = errand->next)
		;
	if (errand) {
		*done = errand->done;
		free_errand(life, errand);
	}
	pthread_mutex_unlock(&life->lock);
	return errand;
}

/* --- the life's thread, with the lock held --------------------------------------------------- */

static void finish(struct life *life, struct errand *errand, int ret, const struct err *err)
{
	errand->state = ERRAND_DONE;
	errand->done.ret = ret;
	if (ret)
		errand->done.err = *err;
	if (life->listener.finished)
		life->listener.finished(life->listener.arg);
	else
		free_errand(life, errand);
}

static void take_in(struct life *life, const char *id)
{
	struct errand *errand, *next;
	struct err err;

	if (remove_entry(life, id, &err))
		log_line(life->options.log, LOG_ERROR, "hotplug", "%s", err.text);
	life_tell(life, "device-removed", id);
	for (errand = life->errands; errand; errand = next) {
		next = errand->next;
		if (!errand->adds && !errand->snapshot && errand->list != CONFIG_PASIDS &&
		    errand->state != ERRAND_DONE && !strcmp(errand->done.id, id))
			finish(life, errand, 0, NULL);
	}
}

static void take_in_departed(struct life *life, struct machine *machine)
{
	char id[CONFIG_ID_MAX + 1];

	while (hotplug_departed(machine_hotplug(machine), id))
		take_in(life, id);
}

/* Now; what it has under way ends by itself, and then it departs. */
static void take_away(struct life *life, struct errand *errand, struct machine *machine)
{
	struct err err;
	int ret;

	errand->deadline = 0;
	errand->state = ERRAND_LEAVING;
	ret = hotplug_remove(machine_hotplug(machine), errand->done.id, &err);
	if (ret)
		finish(life, errand, ret, &err);
}

/* The guest has not let go in time. Returns when to look again; 0: not for this. */
static uint64_t look_at_time(struct life *life, struct machine *machine)
{
	uint64_t now = hotplug_now(), when = 0;
	struct errand *errand, *next;
	struct err err;

	for (errand = life->errands; errand; errand = next) {
		next = errand->next;
		if (errand->state != ERRAND_LEAVING || !errand->deadline)
			continue;
		if (errand->deadline > now) {
			when = when && when < errand->deadline ? when : errand->deadline;
		} else if (errand->force) {
			take_away(life, errand, machine);
		} else {
			err_set(&err, ETIMEDOUT,
				"the guest has not let go of \"%s\" in time; it may still do so, "
				"and \"force\": true takes it away",
				errand->done.id);
			finish(life, errand, -ETIMEDOUT, &err);
		}
	}
	return when;
}

/* Which of a configuration's entries the edit added. */
static struct hotplug_part part_of(const struct config_edit *edit)
{
	const struct config *config = &edit->config;
	struct hotplug_part part = { .config = config };

	switch (edit->list) {
	case CONFIG_DISKS:
		part.disk = &config->disks[config->n_disks - 1];
		break;
	case CONFIG_NET:
		part.net = &config->net[config->n_net - 1];
		break;
	case CONFIG_ADIS:
		part.adi = &config->adis[config->n_adis - 1];
		break;
	case CONFIG_DEVICES:
		part.device = &config->devices[config->n_devices - 1];
		break;
	default:
		part.user_device = &config->user_devices[config->n_user_devices - 1];
		break;
	}
	return part;
}

/* "dsa0 5" */
static void tell_pasid(struct life *life, const char *event, const char *adi, uint32_t guest)
{
	char detail[CONFIG_ID_MAX + 16];

	snprintf(detail, sizeof(detail), guest ? "%s %u" : "%s none", adi, guest);
	life_tell(life, event, detail);
}

/* Under the lock all the time, as vm.pasid-bind is: nothing of it waits for a guest. */
static void bind(struct life *life, struct errand *errand, struct machine *machine,
		 struct config_edit *edit)
{
	const struct config_pasid *pasid = &edit->config.pasids[edit->config.n_pasids - 1];
	struct err err;
	int ret = refuse_paused(life, &err);

	if (!ret)
		ret = machine_bind_pasid(machine, pasid, &err);
	if (ret) {
		config_edit_cancel(edit);
		finish(life, errand, ret, &err);
		return;
	}
	tell_pasid(life, "pasid-added", pasid->adi, pasid->guest);
	config_edit_commit(edit, &life->config, &life->text);
	finish(life, errand, 0, NULL);
}

/* What a client has unbound already is only written down. */
static void unbind(struct life *life, struct errand *errand, struct machine *machine)
{
	const char *adi = errand->done.id;
	struct err err;
	int ret = refuse_paused(life, &err);

	if (!ret)
		ret = config_edit_remove_pasid(&life->config, &life->text, adi, errand->guest,
					       &err);
	if (ret) {
		finish(life, errand, ret, &err);
		return;
	}
	ret = machine_unbind_pasid(machine, adi, errand->guest, &err);
	tell_pasid(life, "pasid-removed", adi, errand->guest);
	finish(life, errand, ret == -ENOENT ? 0 : ret, &err);
}

static void add(struct life *life, struct errand *errand, struct machine *machine)
{
	const struct life_addition addition = {
		.list = errand->list,
		.entry = errand->entry,
		.len = errand->len,
		.fds = errand->fds,
		.n_fds = errand->n_fds,
	};
	struct hotplug_part part;
	struct config_edit edit;
	struct err err;
	int ret = read_entry(life, &edit, &addition, &err);

	if (ret) {
		finish(life, errand, ret, &err);
		return;
	}
	snprintf(errand->done.id, sizeof(errand->done.id), "%s", config_edit_id(&edit));
	if (edit.list == CONFIG_PASIDS) {
		bind(life, errand, machine, &edit);
		return;
	}
	part = part_of(&edit);
	errand->state = ERRAND_RUNS;
	pthread_mutex_unlock(&life->lock);
	ret = hotplug_add(machine_hotplug(machine), &part, &err);
	pthread_mutex_lock(&life->lock);
	if (ret < 0) {
		/* Whatever it was, it was not the request's form. */
		errand->done.met = true;
		config_edit_cancel(&edit);
		finish(life, errand, ret, &err);
		return;
	}
	config_edit_commit(&edit, &life->config, &life->text);
	errand->n_fds = 0; /* the configuration's */
	errand->done.slot = (unsigned int)ret;
	life_tell(life, "device-added", errand->done.id);
	finish(life, errand, 0, NULL);
}

/* The machine pauses once more for it: who resumes the VM meanwhile does not disturb. */
static void snapshot(struct life *life, struct errand *errand, struct machine *machine)
{
	struct err err;
	int ret;

	errand->state = ERRAND_RUNS;
	pthread_mutex_unlock(&life->lock);
	ret = errand->n_fds ? machine_snapshot_fd(machine, errand->fds[0], errand->snapshot, &err)
			    : machine_snapshot(machine, errand->snapshot, &err);
	pthread_mutex_lock(&life->lock);
	if (!ret)
		life_tell(life, "snapshotted", errand->snapshot);
	finish(life, errand, ret, &err);
}

static struct errand *next_asked(struct life *life)
{
	struct errand *errand = life->errands;

	while (errand && errand->state != ERRAND_ASKED)
		errand = errand->next;
	return errand;
}

/*
 * Without a listener nobody looks, and signals are served by the machine's own loop. That takes the
 * lock for them, and to take a function apart is to wait for that loop.
 */
static void let_go(struct life *life, struct machine *machine)
{
	bool looked_at = life->listener.finished;

	if (!looked_at)
		pthread_mutex_unlock(&life->lock);
	hotplug_let_go(machine_hotplug(machine));
	if (!looked_at)
		pthread_mutex_lock(&life->lock);
}

uint64_t life_serve_errands(void *arg, struct machine *machine)
{
	struct life *life = arg;
	struct errand *errand;
	uint64_t when;

	pthread_mutex_lock(&life->lock);
	let_go(life, machine);
	take_in_departed(life, machine);
	while ((errand = next_asked(life))) {
		if (errand->snapshot)
			snapshot(life, errand, machine);
		else if (errand->adds)
			add(life, errand, machine);
		else if (errand->list == CONFIG_PASIDS)
			unbind(life, errand, machine);
		else
			take_away(life, errand, machine);
	}
	when = look_at_time(life, machine);
	pthread_mutex_unlock(&life->lock);
	return when;
}

void life_end_errands(struct life *life, struct machine *machine)
{
	struct errand *errand, *next;
	struct err err;

	take_in_departed(life, machine);
	err_set(&err, ECANCELED, "the machine ended first (%s)", machine_end_name(life->last_end));
	for (errand = life->errands; errand; errand = next) {
		next = errand->next;
		if (errand->state != ERRAND_DONE)
			finish(life, errand, -ECANCELED, &err);
	}
}

void life_forget_errands(struct life *life)
{
	while (life->errands)
		free_errand(life, life->errands);
}
