/* SPDX-License-Identifier: Apache-2.0 */
#include "libvirt-driver/associate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvirt-driver/procedures.h"
#include "libvirt-driver/session.h"
#include "util/bits.h"

#define HELD	       256u /* descriptors of all clients: the daemon needs some of its own */
#define NAME_BYTES_MAX 255u

struct association {
	struct association *next;
	uint64_t session;
	uint8_t uuid[XDR_UUID];
	char *name;
	size_t n;
	int fds[WIRE_MAX_FDS];
};

static void free_association(struct association *association)
{
	for (size_t i = 0; i < association->n; i++)
		close(association->fds[i]);
	free(association->name);
	free(association);
}

static struct association *make(uint64_t session, const uint8_t uuid[XDR_UUID], const char *name,
				const int *fds, size_t n)
{
	struct association *association = calloc(1, sizeof(*association));

	if (!association)
		return NULL;
	association->session = session;
	memcpy(association->uuid, uuid, XDR_UUID);
	association->name = strdup(name);
	while (association->name && association->n < n) {
		int fd = fcntl(fds[association->n], F_DUPFD_CLOEXEC, 3);

		if (fd < 0)
			break;
		association->fds[association->n++] = fd;
	}
	if (association->n == n)
		return association;
	free_association(association);
	return NULL;
}

static bool is_named(const struct association *association, const uint8_t uuid[XDR_UUID],
		     const char *name)
{
	return !memcmp(association->uuid, uuid, XDR_UUID) && !strcmp(association->name, name);
}

static void drop(struct association **at)
{
	struct association *association = *at;

	*at = association->next;
	free_association(association);
}

int associate(struct daemon *daemon, uint64_t session, const uint8_t uuid[XDR_UUID],
	      const char *name, const int *fds, size_t n, struct refusal *refusal)
{
	struct association **at = &daemon->associations, *new;
	size_t held = n;

	if (!n || n > WIRE_MAX_FDS || !*name || strlen(name) > NAME_BYTES_MAX)
		return refuse(refusal, FAULT_INVALID_ARG,
			      "1 to %u descriptors go under a name of 1 to %u bytes", WIRE_MAX_FDS,
			      NAME_BYTES_MAX);
	for (const struct association *one = daemon->associations; one; one = one->next)
		held += is_named(one, uuid, name) ? 0 : one->n;
	if (held > HELD)
		return refuse(refusal, FAULT_OPERATION_FAILED,
			      "at most %u descriptors of clients are held, and %zu are", HELD,
			      held - n);
	new = make(session, uuid, name, fds, n);
	if (!new)
		return refuse(refusal, FAULT_NO_MEMORY, "no room for %zu descriptors", n);
	while (*at && !is_named(*at, uuid, name))
		at = &(*at)->next;
	if (*at)
		drop(at);
	new->next = daemon->associations;
	daemon->associations = new;
	return 0;
}

int association_find(const struct daemon *daemon, const struct definition *definition,
		     struct refusal *refusal)
{
	const char *name = definition->iommu_group;
	const struct association *one = daemon->associations;

	while (one && !is_named(one, definition->uuid, name))
		one = one->next;
	if (!one)
		return refuse(
			refusal, FAULT_OPERATION_INVALID,
			"no descriptor is associated with domain '%s' as fdgroup '%.64s': the "
			"client that starts it opens /dev/iommu and calls virDomainFDAssociate",
			definition->name, name);
	if (one->n != 1)
		return refuse(refusal, FAULT_OPERATION_INVALID,
			      "fdgroup '%.64s' has %zu descriptors, and an iommufd is one", name,
			      one->n);
	return one->fds[0];
}

void associations_end(struct daemon *daemon, uint64_t session)
{
	struct association **at = &daemon->associations;

	while (*at) {
		if ((*at)->session == session)
			drop(at);
		else
			at = &(*at)->next;
	}
}

static int fd_associate(struct call *call)
{
	enum {
		SECLABEL_RESTORE = 1, /* nothing is labelled */
		SECLABEL_WRITABLE = 2
	};
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	const char *group = xdr_string(&call->in, NAME_BYTES);
	uint32_t flags = xdr_u32(&call->in);

	if (!call_arguments(call) ||
	    refuse_flags(call, flags, SECLABEL_RESTORE | SECLABEL_WRITABLE))
		return CALL_REFUSED;
	if (!domain)
		return refuse_unknown(call, &name);
	return associate(call->daemon, session_id(call->session), domain_uuid(domain), group,
			 call->fds, call->n_fds, &call->refusal);
}

const struct procedure associate_procedures[] = {
	{ PROCEDURE_FD_ASSOCIATE, false, fd_associate },
};
const size_t n_associate_procedures = ARRAY_SIZE(associate_procedures);
