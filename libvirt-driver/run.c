/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one domain's process. What is true about it comes from two descriptors: its stream of
 * events says how the VM fares, its pidfd says that the process has ended.
 */
#include "libvirt-driver/run.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libvirt-driver/api.h"
#include "libvirt-driver/bridge.h"
#include "libvirt-driver/run-files.h"
#include "libvirt-driver/run-internal.h"
#include "libvirt-driver/run-taken.h"
#include "libvirt-driver/run-user.h"
#include "libvirt-driver/session.h"
#include "libvirt-driver/store.h"
#include "util/bits.h"

#define NS_PER_MS  1000000ull
#define CONNECT_NS (5 * NS_PER_MS) /* between two looks for a new process's socket */
#define DESTROY_NS (10000 * NS_PER_MS)

enum {
	STARTED_BOOTED = 0,
	STARTED_RESTORED = 2,
	SUSPENDED_PAUSED = 0,
	SUSPENDED_RESTORED = 4,
	RESUMED_UNPAUSED = 0,
	STOPPED_SHUTDOWN = 0,
	STOPPED_DESTROYED = 1,
	STOPPED_CRASHED = 2,
	STOPPED_SAVED = 4,
	STOPPED_FAILED = 5,
};

/* --- the end --------------------------------------------------------------------------------- */

static void drop_question(struct question *question)
{
	api_close(question->api);
	question->api = NULL;
	change_free(question->change, question->run ? question->run->domain : NULL);
	question->change = NULL;
}

void run_free(struct run *run)
{
	if (!run)
		return;
	loop_unwatch(run->watch);
	loop_timer_cancel(run->timer);
	api_close(run->events);
	api_close(run->info);
	for (size_t i = 0; i < QUESTIONS; i++)
		drop_question(&run->questions[i]);
	/* What is under way goes on; its record says whose it is. */
	change_free(run->taking.change, NULL);
	free(run->taking.request.body);
	saving_free(run->saving);
	if (run->pidfd >= 0)
		close(run->pidfd);
	free(run);
}

/* What is left of a process that is gone. */
static void clean(struct domain *domain)
{
	bridges_disconnect(domain->live, NULL);
	run_clean(domain->daemon, domain->live->uuid);
}

/* What libvirt's clients are told of an end. */
static void end_reason(const struct run *run, int32_t *reason, int32_t *detail)
{
	*reason = SHUTOFF_CRASHED;
	*detail = STOPPED_CRASHED;
	if (run->saved) {
		*reason = SHUTOFF_SAVED;
		*detail = STOPPED_SAVED;
	} else if (run->destroyed) {
		*reason = SHUTOFF_DESTROYED;
		*detail = STOPPED_DESTROYED;
	} else if (!run->seen || !strcmp(run->ended, "failed")) {
		*reason = SHUTOFF_FAILED;
		*detail = STOPPED_FAILED;
	} else if (*run->ended) {
		*reason = SHUTOFF_SHUTDOWN;
		*detail = STOPPED_SHUTDOWN;
	}
}

static void answer_end(struct run *run, bool started)
{
	struct daemon *daemon = daemon_of(run);
	struct refusal refusal = { 0 };

	for (size_t i = 0; i < WAITERS; i++)
		ticket_answer(daemon, &run->waiters[i], NULL, NULL);
	if (*run->failed)
		refuse(&refusal, FAULT_OPERATION_FAILED, "domain '%s' has not started: %s",
		       name_of(run), run->failed);
	else if (!run_last_words(daemon, domain_uuid(run->domain), &refusal.err))
		refusal.fault = FAULT_OPERATION_FAILED;
	else
		refuse(&refusal, FAULT_OPERATION_FAILED, "domain '%s' has ended", name_of(run));
	ticket_answer(daemon, &run->starter, NULL, &refusal);
	for (size_t i = 0; i < QUESTIONS; i++)
		ticket_answer(daemon, &run->questions[i].ticket, NULL, &refusal);
	ticket_answer(daemon, &run->taking.ticket, NULL, &refusal);
	run_save_over(run, &refusal);
	if (!started)
		log_line(daemon->log, LOG_WARN, "domain", "%s", refusal.err.text);
}

/* A start after the guest has switched itself off, as it was asked to. False: it has failed. */
static bool start_again(struct domain *domain)
{
	struct refusal refusal = { 0 };

	domain->run = NULL;
	if (run_start(domain, NULL, 0, &refusal) == CALL_REFUSED) {
		log_line(domain->daemon->log, LOG_ERROR, "domain", "%s: not started again: %s",
			 domain->kept ? domain->kept->name : "a transient domain",
			 refusal.err.text);
		return false;
	}
	/* To clients it is the same run: it has an id, and nobody waits for its start. */
	domain->run->seen = true;
	domain->state = DOMAIN_RUNNING;
	domain->reason = RUNNING_BOOTED;
	sessions_tell_reboot(domain->daemon, domain);
	return true;
}

/* The process is gone: nothing of it is left but what it has written to its log. */
static void over(struct run *run)
{
	struct domain *domain = run->domain;
	struct daemon *daemon = domain->daemon;
	int32_t reason, detail;
	bool started;

	api_drain(run->events);
	for (size_t i = 0; i < QUESTIONS; i++)
		api_drain(run->questions[i].api);
	started = run->seen;
	end_reason(run, &reason, &detail);
	/* Where it could not go on from a file, it is what it was. */
	if (run->restores && !started)
		reason = run->before;
	domain->state = DOMAIN_SHUTOFF;
	domain->reason = reason;
	log_line(daemon->log, LOG_INFO, "domain", "%s: ended: %s", name_of(run),
		 run->saved	  ? "saved"
		 : run->destroyed ? "destroyed"
		 : *run->ended	  ? run->ended
				  : "without a word");
	answer_end(run, started);
	clean(domain);
	if (run->cycles && reason == SHUTOFF_SHUTDOWN) {
		run_free(run);
		if (start_again(domain))
			return;
		run = NULL;
		detail = STOPPED_FAILED;
		domain->reason = SHUTOFF_FAILED;
	}
	domain->id = -1;
	domain->owner = 0;
	if (started && domain_definition(domain))
		sessions_tell_lifecycle(daemon, domain, LIFECYCLE_STOPPED, detail);
	domain->run = NULL;
	run_free(run);
	definition_free(domain->live);
	domain->live = NULL;
	domain_let_go(domain);
}

static void on_all_returned(void *arg, struct daemon *daemon, const struct node_task *task,
			    const struct refusal *failure)
{
	if (failure)
		log_line(daemon->log, LOG_ERROR, "domain", "%s", failure->err.text);
	over(arg);
}

void run_wind_up(struct run *run)
{
	const struct node_then then = { on_all_returned, run };

	/* Nobody will listen any more. */
	loop_timer_cancel(run->timer);
	run->timer = NULL;
	/* One that is being taken now is given back with the others. */
	if (!run->taking.change && !taken_return_all(run->domain, &then))
		over(run);
}

static void on_pidfd(void *arg, uint32_t ready)
{
	struct run *run = arg;

	loop_unwatch(run->watch);
	run->watch = NULL;
	if (run->child)
		waitpid(run->pid, NULL, 0);
	run_wind_up(run);
}

static int watch_process(struct run *run, pid_t pid)
{
	run->pid = pid;
	run->pidfd = pidfd_open(pid, 0);
	if (run->pidfd < 0)
		return -errno;
	return loop_watch(daemon_of(run)->loop, run->pidfd, POLLIN, on_pidfd, run, &run->watch,
			  NULL);
}

void run_set_live(struct domain *domain, struct definition *live)
{
	definition_free(domain->live);
	domain->live = live;
	if (run_keep_live(domain->daemon, live, domain->id))
		log_line(domain->daemon->log, LOG_ERROR, "domain",
			 "%s: live.xml cannot be written: the next daemon will not know of the "
			 "last change",
			 live->name);
}

/* --- events ---------------------------------------------------------------------------------- */

static void answer_start(struct run *run)
{
	struct xdr_out body = { .max = WIRE_MAX_STRING };

	if (run->with_domain)
		domain_put(&body, run->domain);
	ticket_answer(daemon_of(run), &run->starter, &body, NULL);
	free(body.bytes);
}

/* What it went on from is used up: from here on its disks are others. */
static void forget_saved(struct run *run)
{
	struct refusal refusal = { 0 };

	if (run->managed && store_remove_saved(daemon_of(run), domain_uuid(run->domain), &refusal))
		log_line(daemon_of(run)->log, LOG_ERROR, "domain",
			 "%s: runs, and its saved state must not be used again: %s", name_of(run),
			 refusal.err.text);
	run->managed = false;
}

static void set_state(struct run *run, int32_t state, int32_t reason)
{
	bool first = !run->seen;

	run->domain->state = state;
	run->domain->reason = reason;
	run->seen = true;
	forget_saved(run);
	if (!first)
		return;
	sessions_tell_lifecycle(daemon_of(run), run->domain, LIFECYCLE_STARTED,
				run->restores ? STARTED_RESTORED : STARTED_BOOTED);
	/* As it was asked to start. */
	if (state == DOMAIN_PAUSED)
		sessions_tell_lifecycle(daemon_of(run), run->domain, LIFECYCLE_SUSPENDED,
					run->held ? SUSPENDED_RESTORED : SUSPENDED_PAUSED);
	answer_start(run);
}

static void on_state(struct run *run, const char *state)
{
	if (!strcmp(state, "Running"))
		set_state(run, DOMAIN_RUNNING, run->restores ? RUNNING_RESTORED : RUNNING_BOOTED);
	else if (!strcmp(state, "Paused"))
		set_state(run, DOMAIN_PAUSED, PAUSED_USER);
}

/* bytes: of the guest's memory that its balloon has. */
static void on_balloon(const struct run *run, const char *bytes)
{
	uint64_t held = strtoull(bytes, NULL, 10) / KIB, all = run->domain->live->memory_kib;

	if (held <= all)
		sessions_tell_balloon(daemon_of(run), run->domain, all - held);
}

static void take_event(struct run *run, const char *event, const char *detail)
{
	if (!strcmp(event, "state")) {
		on_state(run, detail);
	} else if (!strcmp(event, "booted")) {
		/* After one that ended it boots; of the first "state" may have told already. */
		if (*run->ended && run->seen)
			run->restores = false;
		*run->ended = 0;
		run->cycles = false;
		on_state(run, strcmp(detail, "paused") != 0 ? "Running" : "Paused");
	} else if (!strcmp(event, "paused")) {
		set_state(run, DOMAIN_PAUSED, run->saving ? PAUSED_SAVE : PAUSED_USER);
		sessions_tell_lifecycle(daemon_of(run), run->domain, LIFECYCLE_SUSPENDED,
					SUSPENDED_PAUSED);
	} else if (!strcmp(event, "resumed")) {
		set_state(run, DOMAIN_RUNNING,
			  run->unsaved ? RUNNING_SAVE_CANCELED : RUNNING_UNPAUSED);
		run->unsaved = false;
		sessions_tell_lifecycle(daemon_of(run), run->domain, LIFECYCLE_RESUMED,
					RESUMED_UNPAUSED);
	} else if (!strcmp(event, "ended")) {
		snprintf(run->ended, sizeof(run->ended), "%s", detail);
		if (!strcmp(detail, "reset"))
			sessions_tell_reboot(daemon_of(run), run->domain);
	} else if (!strcmp(event, "balloon")) {
		on_balloon(run, detail);
	} else if (!strcmp(event, "device-removed")) {
		change_removed(run, detail);
	} else if (!strcmp(event, "failed")) {
		snprintf(run->failed, sizeof(run->failed), "%s", detail);
	}
}

/* A hostile guest may own the process by now: its words are data. */
static void on_line(void *arg, const char *line)
{
	struct json_object *object = json_tokener_parse(line), *event, *detail;
	struct run *run = arg;

	if (json_object_object_get_ex(object, "event", &event) &&
	    json_object_is_type(event, json_type_string)) {
		bool has = json_object_object_get_ex(object, "detail", &detail) &&
			   json_object_is_type(detail, json_type_string);

		take_event(run, json_object_get_string(event),
			   has ? json_object_get_string(detail) : "");
	}
	json_object_put(object);
}

static void on_connect(void *arg);

/* The pidfd tells the end; where the process goes on, so do we. */
static void on_events_over(void *arg, unsigned int status, const char *body)
{
	struct run *run = arg;

	api_close(run->events);
	run->events = NULL;
	if (!run->timer && run->watch)
		loop_timer(daemon_of(run)->loop, CONNECT_NS, on_connect, run, &run->timer, NULL);
}

static int connect_events(struct run *run)
{
	const struct api_request request = { .method = "GET",
					     .verb = "events",
					     .uid = run->domain->uid };
	const struct api_handler handler = { on_line, on_events_over, run };
	char socket[RUN_PATH];

	if (run_path(daemon_of(run), domain_uuid(run->domain), "vm/api", socket))
		return -ENAMETOOLONG;
	return api_ask(&run->events, daemon_of(run)->loop, socket, &request, &handler);
}

/* Until it listens, or has ended: no third thing happens to a process that was started. */
static void on_connect(void *arg)
{
	struct run *run = arg;

	loop_timer_cancel(run->timer);
	run->timer = NULL;
	if (connect_events(run))
		loop_timer(daemon_of(run)->loop, CONNECT_NS, on_connect, run, &run->timer, NULL);
}

/* --- starting -------------------------------------------------------------------------------- */

static struct run *make(struct domain *domain)
{
	struct run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->domain = domain;
	run->pidfd = -1;
	domain->run = run;
	return run;
}

int run_give_up(struct domain *domain, struct refusal *refusal)
{
	run_free(domain->run);
	domain->run = NULL;
	domain->id = -1;
	domain->owner = 0;
	definition_free(domain->live);
	domain->live = NULL;
	return CALL_REFUSED;
}

int run_begin(struct domain *domain, const struct saved *saved, const struct ticket *ticket,
	      unsigned int how, struct refusal *refusal)
{
	struct daemon *daemon = domain->daemon;
	struct given given;
	struct run *run;
	pid_t pid;
	int ret;

	if (!daemon->run_dir || !daemon->adit) {
		refuse(refusal, FAULT_OPERATION_FAILED, "this daemon runs no domains");
		return run_give_up(domain, refusal);
	}
	run = make(domain);
	if (!run) {
		refuse(refusal, FAULT_NO_MEMORY, "no memory to run a domain");
		return run_give_up(domain, refusal);
	}
	if (domain->id < 0)
		domain->id =
			daemon->last_id < INT32_MAX ? ++daemon->last_id : (daemon->last_id = 1);
	if (user_choose(domain, refusal) || bridges_connect(domain->live, NULL, refusal))
		return run_give_up(domain, refusal);
	if (ticket && how & RUN_AUTODESTROY)
		domain->owner = ticket->session;
	pid = -1;
	if (!run_prepare(domain, &given, refusal) &&
	    (!domain->owner || !run_mark(domain, RUN_AUTODESTROYED, refusal)) &&
	    (!saved || !given_take_saved(&given, saved->fd, refusal)))
		pid = run_spawn(domain, &given, how, refusal);
	given_close(&given);
	if (pid < 0) {
		clean(domain);
		return run_give_up(domain, refusal);
	}
	run->child = true;
	run->with_domain = how & RUN_WITH_DOMAIN;
	ret = watch_process(run, pid);
	if (!ret)
		ret = loop_timer(daemon->loop, CONNECT_NS, on_connect, run, &run->timer, NULL);
	if (ret) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		clean(domain);
		refuse(refusal, FAULT_OPERATION_FAILED, "the process cannot be watched: %s",
		       strerror(-ret));
		return run_give_up(domain, refusal);
	}
	if (ticket)
		run->starter = *ticket;
	log_line(daemon->log, LOG_INFO, "domain", "%s: started as pid %d", name_of(run), pid);
	return CALL_LATER;
}

int run_start(struct domain *domain, const struct ticket *ticket, unsigned int how,
	      struct refusal *refusal)
{
	return run_begin(domain, NULL, ticket, how, refusal);
}

/* --- questions ------------------------------------------------------------------------------- */

static void kill_it(void *arg)
{
	struct run *run = arg;

	loop_timer_cancel(run->timer);
	run->timer = NULL;
	if (run->pidfd >= 0)
		pidfd_send_signal(run->pidfd, SIGKILL, NULL, 0);
}

static bool is_done(unsigned int status)
{
	return status >= 200 && status <= 299;
}

/* As adit said it. */
static void refuse_as(struct refusal *refusal, unsigned int status, const char *body)
{
	struct json_object *object = json_tokener_parse(body), *text;

	refuse(refusal, status == 409 ? FAULT_OPERATION_INVALID : FAULT_OPERATION_FAILED, "%s",
	       json_object_object_get_ex(object, "error", &text) ? json_object_get_string(text)
								 : "adit has not answered");
	json_object_put(object);
}

static void answer_question(struct question *question, unsigned int status, const char *body)
{
	struct daemon *daemon = daemon_of(question->run);
	struct refusal refusal = { 0 };
	bool whole = is_done(status);

	if (!whole)
		refuse_as(&refusal, status, body);
	if (question->saves)
		run_save_step(question->run, whole ? NULL : &refusal);
	else if (whole && question->change)
		whole = change_commit(question, &refusal);
	ticket_answer(daemon, &question->ticket, NULL, whole ? NULL : &refusal);
}

static void on_answer(void *arg, unsigned int status, const char *body)
{
	struct question *question = arg;

	/* The end of the process answers who asked for it. */
	if (!question->destroys)
		answer_question(question, status, body);
	else if (!is_done(status))
		kill_it(question->run);
	/* The body goes with it. */
	drop_question(question);
}

struct question *run_ask_with(struct run *run, const char *verb, const char *body,
			      const struct given *given, struct refusal *refusal)
{
	const struct api_request request = {
		.method = "PUT",
		.verb = verb,
		.body = body,
		.fds = given->fds,
		.n_fds = given->n,
		.uid = run->domain->uid,
	};
	struct question *question = NULL;
	struct api_handler handler;
	char socket[RUN_PATH];
	int ret;

	for (size_t i = 0; !question && i < QUESTIONS; i++)
		question = run->questions[i].api ? NULL : &run->questions[i];
	if (!question) {
		refuse(refusal, FAULT_OPERATION_FAILED, "%u requests to the domain are under way",
		       QUESTIONS);
		return NULL;
	}
	*question = (struct question){ .run = run };
	handler = (struct api_handler){ NULL, on_answer, question };
	ret = run_path(daemon_of(run), domain_uuid(run->domain), "vm/api", socket);
	if (!ret)
		ret = api_ask(&question->api, daemon_of(run)->loop, socket, &request, &handler);
	if (!ret)
		return question;
	refuse(refusal, FAULT_OPERATION_FAILED, "adit does not answer: %s", strerror(-ret));
	return NULL;
}

static struct question *ask(struct run *run, const char *verb, struct refusal *refusal)
{
	return run_ask_with(run, verb, NULL, &(struct given){ .n = 0 }, refusal);
}

int run_refuse_inactive(const struct domain *domain, struct refusal *refusal)
{
	return refuse(refusal, FAULT_OPERATION_INVALID, "domain '%s' is not running",
		      domain_definition(domain)->name);
}

int run_ask(struct domain *domain, enum run_verb verb, const struct ticket *ticket,
	    struct refusal *refusal)
{
	static const char *const verbs[] = {
		[RUN_POWER_BUTTON] = "vm.power-button",
		[RUN_POWER_CYCLE] = "vm.power-button",
		[RUN_REBOOT] = "vm.reboot",
		[RUN_PAUSE] = "vm.pause",
		[RUN_RESUME] = "vm.resume",
	};
	struct question *question;

	if (!domain->run)
		return run_refuse_inactive(domain, refusal);
	if (domain->run->saving)
		return refuse(refusal, FAULT_OPERATION_INVALID, "domain '%s' is being saved",
			      name_of(domain->run));
	question = ask(domain->run, verbs[verb], refusal);
	if (!question)
		return CALL_REFUSED;
	question->ticket = *ticket;
	/* The last that was asked for holds. */
	if (verb == RUN_POWER_BUTTON || verb == RUN_POWER_CYCLE)
		domain->run->cycles = verb == RUN_POWER_CYCLE;
	return CALL_LATER;
}

void run_end(struct run *run)
{
	struct refusal refusal = { 0 };
	struct question *question;

	if (run->destroyed)
		return;
	run->destroyed = true;
	question = ask(run, "vmm.shutdown", &refusal);
	if (question)
		question->destroys = true;
	loop_timer_cancel(run->timer);
	run->timer = NULL;
	if (!question ||
	    loop_timer(daemon_of(run)->loop, DESTROY_NS, kill_it, run, &run->timer, NULL))
		kill_it(run);
}

int run_destroy(struct domain *domain, const struct ticket *ticket, struct refusal *refusal)
{
	struct run *run = domain->run;
	size_t i = 0;

	if (!run)
		return run_refuse_inactive(domain, refusal);
	while (i < WAITERS && run->waiters[i].session)
		i++;
	if (i == WAITERS)
		return refuse(refusal, FAULT_OPERATION_FAILED,
			      "%u clients wait for the end of the domain already", WAITERS);
	run->waiters[i] = *ticket;
	run_end(run);
	return CALL_LATER;
}

void run_autodestroy(struct daemon *daemon, uint64_t session)
{
	for (struct domain *domain = daemon->domains; domain; domain = domain->next) {
		if (domain->owner == session && domain->run)
			run_end(domain->run);
	}
}

void run_times(const struct domain *domain, struct run_times *times)
{
	pid_t pid;

	*times = (struct run_times){ 0 };
	if (!domain->run)
		return;
	/* Who listens is the machine; what was spawned may be its keeper. */
	pid = domain->run->events ? api_peer(domain->run->events) : -1;
	run_process_times(pid > 0 ? pid : domain->run->pid, times);
}

int run_get(const struct domain *domain, const char *verb, const struct api_handler *handler,
	    struct api **out)
{
	char socket[RUN_PATH];

	*out = NULL;
	if (!domain || !domain->run ||
	    run_path(domain->daemon, domain_uuid(domain), "vm/api", socket))
		return -ESRCH;
	return api_ask(out, domain->daemon->loop, socket,
		       &(struct api_request){ .method = "GET", .verb = verb, .uid = domain->uid },
		       handler);
}

/* --- finding again --------------------------------------------------------------------------- */

/* What the guest has let go of while nobody listened. */
static void on_info(void *arg, unsigned int status, const char *body)
{
	struct run *run = arg;
	struct json_object *info = status == 200 ? json_tokener_parse(body) : NULL, *config;
	char id[DEVICE_ID], last[DEVICE_ID] = "";

	while (json_object_object_get_ex(info, "config", &config) &&
	       device_is_gone(run->domain->live, config, id) && strcmp(id, last) != 0) {
		memcpy(last, id, sizeof(last));
		change_removed(run, id);
	}
	json_object_put(info);
	api_close(run->info);
	run->info = NULL;
}

/*
 * What was spawned leads the listener's session (the number of one with members is nobody else's),
 * and may be its keeper, which ends last: devices are given back by then.
 */
static int watch_spawned(struct run *run, pid_t listener)
{
	pid_t leader = getsid(listener);
	bool spawned = leader > 0 && leader != getsid(0);

	/* A leader that has ended leaves its number, and nothing to watch. */
	return watch_process(run, spawned && !kill(leader, 0) ? leader : listener);
}

/* 0 where it runs; the domain has live then. */
static int find_again(struct domain *domain)
{
	struct run *run = make(domain);
	pid_t pid;
	int ret;

	domain->uid = run_owner(domain->daemon, domain_uuid(domain));
	ret = run ? connect_events(run) : -ENOMEM;
	pid = ret ? -1 : api_peer(run->events);
	/* The pid cannot be another's: it was the listener's when we connected, and it still is. */
	if (!ret)
		ret = pid > 0 ? watch_spawned(run, pid) : -ESRCH;
	if (ret)
		return ret;
	/* Not a start: nobody is told, and nobody waits. */
	run->seen = true;
	domain->state = DOMAIN_RUNNING;
	domain->reason = RUNNING_UNKNOWN;
	run_get(domain, "vm.info", &(struct api_handler){ NULL, on_info, run }, &run->info);
	return 0;
}

/* What the daemon before this one has not come to. */
static void settle_found(struct run *run)
{
	struct domain *domain = run->domain;
	bool kept = store_has_saved(domain->daemon, domain_uuid(domain));

	run->saved = kept && run_is_marked(domain, RUN_SAVED);
	/* What it went on from, or was not saved to after all. */
	run->managed = kept && !run->saved;
	/* The connection that it was to end with is gone. */
	if (run->saved || run_is_marked(domain, RUN_AUTODESTROYED))
		run_end(run);
}

static void find_one(struct daemon *daemon, const uint8_t uuid[XDR_UUID])
{
	struct definition *live = run_read_live(daemon, uuid);
	struct refusal refusal = { 0 };
	struct domain *domain = live ? domain_for(daemon, live, &refusal) : NULL;

	if (!domain || domain->live) {
		definition_free(live);
		return;
	}
	domain->live = live;
	domain->id = live->id > 0 ? live->id : daemon->last_id + 1;
	daemon->last_id = MAX(daemon->last_id, domain->id);
	if (!find_again(domain)) {
		log_line(daemon->log, LOG_INFO, "domain", "%s: found running as pid %d", live->name,
			 domain->run->pid);
		settle_found(domain->run);
		return;
	}
	taken_return_all(domain, NULL);
	clean(domain);
	domain->reason = SHUTOFF_UNKNOWN;
	run_give_up(domain, &refusal);
	domain_let_go(domain);
}

int run_find_all(struct daemon *daemon, struct err *err)
{
	return run_each(daemon, find_one, err);
}
