/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes to a VM and leaves it: errands, which any thread asks for and the life's thread runs,
 * one after the other. The configuration and its text follow what is there: an entry is in them
 * from the moment its device is, and until it has gone, so that the next machine has the same.
 *
 * An entry is added without the life's lock, for opening things takes time; nobody else changes
 * what is there. It is taken away under it, so that who looks at a machine finds what it looks at.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config-edit.h"
#include "vmm/hotplug.h"
#include "vmm/life-internal.h"
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
	bool adds;
	enum config_list list;
	char *entry;
	size_t len;
	bool force;
	uint64_t deadline; /* of the guest, on hotplug_now's clock; 0: none */
	struct life_done done;
};

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
	free(errand->entry);
	free(errand);
}

/* No machine: the entry is only written down. */
static int add_to_text(struct life *life, enum config_list list, const char *entry, size_t len,
		       struct err *err)
{
	struct config_edit edit;
	int ret = config_edit_add(&edit, &life->config, life->text, list, entry, len, err);

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

static int ask_add(struct life *life, enum config_list list, const char *entry, size_t len,
		   uint64_t *ticket, struct err *err)
{
	struct errand *errand;

	if (!may_change(life))
		return life_refuse_state(life, "Created, Running, Paused or Shutdown", err);
	if (!machine_runs(life))
		return add_to_text(life, list, entry, len, err);
	errand = new_errand(life, err);
	if (!errand)
		return -err->code;
	errand->adds = true;
	errand->list = list;
	errand->entry = strndup(entry, len);
	errand->len = len;
	if (!errand->entry) {
		free_errand(life, errand);
		return err_set(err, ENOMEM, "out of memory");
	}
	*ticket = errand->done.ticket;
	hotplug_wake(machine_hotplug(life->machine));
	return 0;
}

int life_add(struct life *life, enum config_list list, const char *entry, size_t len,
	     uint64_t *ticket, struct err *err)
{
	int ret;

	*ticket = 0;
	pthread_mutex_lock(&life->lock);
	ret = ask_add(life, list, entry, len, ticket, err);
	pthread_mutex_unlock(&life->lock);
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
		return config_edit_remove(&life->config, &life->text, removal->id, err);
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

	if (config_edit_remove(&life->config, &life->text, id, &err))
		log_line(life->options.log, LOG_ERROR, "hotplug", "%s", err.text);
	life_tell(life, "device-removed", id);
	for (errand = life->errands; errand; errand = next) {
		next = errand->next;
		if (!errand->adds && errand->state != ERRAND_DONE && !strcmp(errand->done.id, id))
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

static void add(struct life *life, struct errand *errand, struct machine *machine)
{
	struct hotplug_part part;
	struct config_edit edit;
	struct err err;
	int ret = config_edit_add(&edit, &life->config, life->text, errand->list, errand->entry,
				  errand->len, &err);

	if (ret) {
		finish(life, errand, ret, &err);
		return;
	}
	part = part_of(&edit);
	snprintf(errand->done.id, sizeof(errand->done.id), "%s", config_edit_id(&edit));
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
	errand->done.slot = (unsigned int)ret;
	life_tell(life, "device-added", errand->done.id);
	finish(life, errand, 0, NULL);
}

static struct errand *next_asked(struct life *life)
{
	struct errand *errand = life->errands;

	while (errand && errand->state != ERRAND_ASKED)
		errand = errand->next;
	return errand;
}

uint64_t life_serve_errands(void *arg, struct machine *machine)
{
	struct life *life = arg;
	struct errand *errand;
	uint64_t when;

	pthread_mutex_lock(&life->lock);
	hotplug_let_go(machine_hotplug(machine));
	take_in_departed(life, machine);
	while ((errand = next_asked(life))) {
		if (errand->adds)
			add(life, errand, machine);
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
