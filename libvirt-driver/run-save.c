/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving a domain that runs: it is paused, adit writes its snapshot, the rest of the file follows,
 * and then the process ends. Whatever fails before that leaves the domain as it was. And a start
 * from such a file.
 */
#include "libvirt-driver/run-internal.h"

#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/run-files.h"
#include "libvirt-driver/store.h"

struct saving {
	struct saved_target target;
	struct ticket ticket;
	char *xml;
	bool paused; /* as the file says */
	bool ran;    /* it goes on where it cannot be saved */
	bool managed;
	enum {
		SAVING_PAUSES,
		SAVING_WRITES,
		SAVING_RESUMES,
	} step;
	struct refusal why; /* it goes on */
};

void saving_free(struct saving *saving)
{
	if (!saving)
		return;
	saved_drop(&saving->target);
	free(saving->xml);
	free(saving);
}

/* Takes the target over in any case. */
static struct saving *make(struct saved_target *target, const char *xml,
			   const struct ticket *ticket)
{
	struct saving *saving = calloc(1, sizeof(*saving));
	char *copy = strdup(xml);

	if (saving && copy) {
		*saving = (struct saving){ .target = *target, .ticket = *ticket, .xml = copy };
		return saving;
	}
	free(saving);
	free(copy);
	saved_drop(target);
	return NULL;
}

/* The next step, whose answer is run_save_step's. */
static int ask_step(struct run *run, int step, const char *verb, const struct given *given,
		    struct refusal *refusal)
{
	struct question *question = run_ask_with(run, verb, given->n ? "{}" : NULL, given, refusal);

	if (!question)
		return CALL_REFUSED;
	question->saves = true;
	run->saving->step = step;
	return CALL_LATER;
}

static int ask_snapshot(struct run *run, struct refusal *refusal)
{
	struct given given = { .n = 0 };
	int ret = given_take(&given, run->saving->target.fd, refusal);

	if (!ret)
		ret = ask_step(run, SAVING_WRITES, "vm.snapshot", &given, refusal);
	given_close(&given);
	return ret;
}

static bool may_save(const struct domain *domain, struct refusal *refusal)
{
	if (!domain->run)
		run_refuse_inactive(domain, refusal);
	else if (domain->run->saving || domain->run->destroyed)
		refuse(refusal, FAULT_OPERATION_INVALID, "domain '%s' is being %s already",
		       name_of(domain->run), domain->run->saving ? "saved" : "destroyed");
	else if (run_is_changing(domain->run))
		refuse(refusal, FAULT_OPERATION_INVALID, "a device of domain '%s' is being changed",
		       name_of(domain->run));
	else
		return !saved_check(domain->live, refusal);
	return false;
}

int run_save(struct domain *domain, struct saved_target *target, const struct run_save_how *how,
	     const struct ticket *ticket, struct refusal *refusal)
{
	struct run *run = domain->run;
	int ret;

	if (!may_save(domain, refusal)) {
		saved_drop(target);
		return CALL_REFUSED;
	}
	run->saving = make(target, how->xml ? how->xml : domain->live->xml, ticket);
	if (!run->saving)
		return refuse(refusal, FAULT_NO_MEMORY, "no memory to save a domain");
	run->saving->managed = how->managed;
	run->saving->ran = domain->state != DOMAIN_PAUSED;
	run->saving->paused = how->paused || (!how->running && !run->saving->ran);
	ret = run->saving->ran
		      ? ask_step(run, SAVING_PAUSES, "vm.pause", &(struct given){ .n = 0 }, refusal)
		      : ask_snapshot(run, refusal);
	if (ret == CALL_REFUSED) {
		saving_free(run->saving);
		run->saving = NULL;
	}
	return ret;
}

/* Who wanted it saved hears why it is not. */
static void give_up_saving(struct run *run)
{
	struct saving *saving = run->saving;

	run->saving = NULL;
	ticket_answer(daemon_of(run), &saving->ticket, NULL, &saving->why);
	saving_free(saving);
}

/* The domain is to be as it was. paused: it was paused for this. */
static void cancel(struct run *run, bool paused)
{
	struct refusal refusal = { 0 };

	saved_drop(&run->saving->target);
	run->unsaved = paused && run->saving->ran && !run->destroyed;
	if (run->unsaved && ask_step(run, SAVING_RESUMES, "vm.resume", &(struct given){ .n = 0 },
				     &refusal) == CALL_LATER)
		return;
	if (run->unsaved)
		log_line(daemon_of(run)->log, LOG_ERROR, "domain",
			 "%s: paused, as it could not be saved, and not resumed: %s", name_of(run),
			 refusal.err.text);
	give_up_saving(run);
}

/*
 * The snapshot is there, and the rest makes it a saved domain. From its name on it is what the
 * domain goes on from, so a daemon that finds the process still there must know that it is to end.
 */
static int finish(struct run *run, struct refusal *refusal)
{
	struct saving *saving = run->saving;
	int ret = 0;

	if (saving->managed && !run->domain->kept)
		return refuse(refusal, FAULT_OPERATION_INVALID,
			      "domain '%s' was undefined meanwhile: nothing would start it from "
			      "there",
			      name_of(run));
	if (saving->managed)
		ret = run_mark(run->domain, RUN_SAVED, refusal);
	if (!ret)
		ret = saved_finish(&saving->target, saving->xml, saving->paused, refusal);
	if (ret)
		run_unmark(run->domain, RUN_SAVED);
	return ret;
}

void run_save_step(struct run *run, const struct refusal *failure)
{
	struct saving *saving = run->saving;
	bool paused = saving->step != SAVING_PAUSES || !failure;

	if (saving->step == SAVING_RESUMES) {
		run->unsaved &= !failure;
		give_up_saving(run);
		return;
	}
	if (failure)
		saving->why = *failure;
	else if (run->destroyed)
		refuse(&saving->why, FAULT_OPERATION_FAILED, "domain '%s' was destroyed",
		       name_of(run));
	else if (saving->step == SAVING_PAUSES && ask_snapshot(run, &saving->why) == CALL_LATER)
		return;
	else if (saving->step == SAVING_WRITES && !finish(run, &saving->why)) {
		run->saved = true;
		run_end(run);
		return;
	}
	cancel(run, paused);
}

void run_save_over(struct run *run, const struct refusal *refusal)
{
	if (run->saving)
		ticket_answer(daemon_of(run), &run->saving->ticket, NULL,
			      run->saved ? NULL : refusal);
}

/* --- going on --------------------------------------------------------------------------------- */

int run_restore(struct domain *domain, struct saved *saved, bool managed,
		const struct ticket *ticket, unsigned int how, struct refusal *refusal)
{
	bool held = saved->paused && !(how & (RUN_RUNNING | RUN_PAUSED));
	int32_t before = domain->reason;
	int ret;

	if (saved_check(domain->live, refusal))
		ret = run_give_up(domain, refusal);
	else
		ret = run_begin(domain, saved, ticket, how | (held ? RUN_PAUSED : 0), refusal);
	saved_close(saved);
	if (ret != CALL_LATER)
		return ret;
	domain->run->restores = true;
	domain->run->managed = managed;
	domain->run->held = held;
	domain->run->before = before;
	return ret;
}

int run_start_or_restore(struct domain *domain, const struct ticket *ticket, unsigned int how,
			 struct refusal *refusal)
{
	struct daemon *daemon = domain->daemon;
	const struct definition_host host = { daemon->run_dir, daemon->adit };
	struct definition *definition;
	struct saved saved;

	if (!store_has_saved(daemon, domain_uuid(domain)))
		return run_start(domain, ticket, how, refusal);
	if (store_open_saved(daemon, domain_uuid(domain), &saved, false, refusal))
		return run_give_up(domain, refusal);
	/* What it was when it was saved: the definition may have changed since. */
	definition = definition_parse(saved.xml, saved.len, &host, refusal);
	if (definition && memcmp(definition->uuid, domain_uuid(domain), XDR_UUID) != 0) {
		refuse(refusal, FAULT_OPERATION_FAILED, "the saved state is of another domain");
		definition_free(definition);
		definition = NULL;
	}
	if (!definition) {
		saved_close(&saved);
		return run_give_up(domain, refusal);
	}
	definition_free(domain->live);
	domain->live = definition;
	return run_restore(domain, &saved, true, ticket, how, refusal);
}
