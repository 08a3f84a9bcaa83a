/* SPDX-License-Identifier: Apache-2.0 */
#include "libvirt-driver/run-user.h"

#include <unistd.h>

static bool is_used(const struct daemon *daemon, uint32_t uid)
{
	for (const struct domain *domain = daemon->domains; domain; domain = domain->next) {
		if (domain->run && domain->uid == uid)
			return true;
	}
	return false;
}

/* The longest unused comes first: what one left behind is not at once another's. */
int user_choose(struct domain *domain, struct refusal *refusal)
{
	struct daemon *daemon = domain->daemon;
	uint32_t n = daemon->uid_last - daemon->uid_first + 1;

	domain->uid = geteuid();
	if (!user_is_own(daemon))
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t last = daemon->last_uid;

		daemon->last_uid = last < daemon->uid_first || last >= daemon->uid_last
					   ? daemon->uid_first
					   : last + 1;
		if (!is_used(daemon, daemon->last_uid)) {
			domain->uid = daemon->last_uid;
			return 0;
		}
	}
	return refuse(refusal, FAULT_OPERATION_FAILED,
		      "each of the %u users of --uids runs a domain: stop one, or give more", n);
}
