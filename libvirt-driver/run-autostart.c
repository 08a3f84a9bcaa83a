/* SPDX-License-Identifier: Apache-2.0 */
/* Domains that start with the host: those that are marked, always or once. */
#include "libvirt-driver/run.h"

#include "libvirt-driver/daemon.h"
#include "libvirt-driver/node-change.h"
#include "libvirt-driver/run-files.h"

/* Once is over with the start, whatever comes of it. */
static bool should_start(struct domain *domain)
{
	bool once = domain->autostart_once;
	struct refusal refusal = { 0 };

	if (once && domain_set_autostart(domain, true, false, &refusal))
		log_line(domain->daemon->log, LOG_ERROR, "domain",
			 "%s: started again next time: %s", domain_definition(domain)->name,
			 refusal.err.text);
	return once || domain->autostart;
}

static void start_marked(struct daemon *daemon)
{
	for (struct domain *domain = daemon->domains; domain; domain = domain->next) {
		struct refusal refusal = { 0 };

		if (domain->live || !domain->kept || !should_start(domain))
			continue;
		domain->live = definition_copy(domain->kept);
		if (!domain->live)
			continue;
		if (run_start_or_restore(domain, NULL, 0, &refusal) == CALL_REFUSED)
			log_line(daemon->log, LOG_ERROR, "domain", "%s: not started: %s",
				 domain_definition(domain)->name, refusal.err.text);
	}
}

static void on_mdevs(void *arg, struct daemon *daemon, const struct node_task *task,
		     const struct refusal *failure)
{
	if (failure)
		log_line(daemon->log, LOG_ERROR, "node", "%s", failure->err.text);
	start_marked(daemon);
}

void run_autostart(struct daemon *daemon)
{
	/* Mdevs first: a domain may be marked that has one. */
	if (run_first_time(daemon) &&
	    !node_autostart(daemon, &(struct node_then){ on_mdevs, NULL }))
		start_marked(daemon);
}
