/* SPDX-License-Identifier: Apache-2.0 */
/* The second key: which guest PASIDs stand for a host PASID and its space, and how one ends. */
#include <errno.h>
#include <stdlib.h>

#include "ioasid-client/pasid-table.h"
#include "passthrough/adi/dsa-internal.h"

static struct dsa_binding *find(struct dsa *dsa, uint32_t guest)
{
	struct dsa_binding *binding = SLIST_FIRST(&dsa->bindings);

	while (binding && binding->guest != guest)
		binding = SLIST_NEXT(binding, link);
	return binding;
}

/* With the keys' lock held. */
static int check(struct dsa *dsa, uint32_t guest, struct err *err)
{
	const struct dsa_binding *binding;

	if (!dsa->gate.allow)
		return err_set(err, EPERM,
			       "%s may not use PASIDs; set pasid.allow for it to bind guest PASID "
			       "%u",
			       dsa->id, guest);
	if (!guest || guest >> dsa->gate.width)
		return err_set(err, ERANGE,
			       "guest PASID %u is not in %s's range of 1 to %u (width %u)", guest,
			       dsa->id, (1u << dsa->gate.width) - 1, dsa->gate.width);
	binding = find(dsa, guest);
	if (binding)
		return err_set(err, EEXIST,
			       "guest PASID %u of %s is bound to host PASID %u already; unbind it "
			       "first",
			       guest, dsa->id, ioasid_pasid_number(binding->host));
	return 0;
}

/* With the keys' lock held. */
static int bind(struct dsa *dsa, uint32_t guest, struct ioasid_space *space, uint32_t want_host,
		uint32_t *host, struct err *err)
{
	struct dsa_binding *binding;
	int ret = check(dsa, guest, err);

	if (ret)
		return ret;
	binding = calloc(1, sizeof(*binding));
	if (!binding)
		return err_set(err, ENOMEM, "no memory to bind guest PASID %u", guest);
	binding->guest = guest;
	ret = ioasid_pasid_attach(dsa->device, space, want_host, &binding->host, err);
	if (ret)
		goto free_binding;
	ret = pasid_table_bind(dsa->table, guest, binding->host, err);
	if (ret)
		goto detach;
	SLIST_INSERT_HEAD(&dsa->bindings, binding, link);
	if (host)
		*host = ioasid_pasid_number(binding->host);
	return 0;
detach:
	ioasid_pasid_detach(binding->host);
free_binding:
	free(binding);
	return ret;
}

int dsa_pasid_bind(struct dsa *dsa, uint32_t guest, struct ioasid_space *space, uint32_t want_host,
		   uint32_t *host, struct err *err)
{
	int ret;

	pthread_mutex_lock(&dsa->keys);
	ret = bind(dsa, guest, space, want_host, host, err);
	pthread_mutex_unlock(&dsa->keys);
	return ret;
}

/*
 * The order matters: no descriptor can be given the number once it is out of the table; those that
 * were end, and may still write their records; then the number's DMA is blocked, and it parks.
 */
int dsa_pasid_unbind(struct dsa *dsa, uint32_t guest, struct err *err)
{
	struct dsa_binding *binding;
	int ret;

	pthread_mutex_lock(&dsa->keys);
	binding = find(dsa, guest);
	if (!binding) {
		ret = err_set(err, ENOENT, "guest PASID %u of %s is not bound", guest, dsa->id);
		goto unlock;
	}
	ret = pasid_table_unbind(dsa->table, guest, err);
	if (ret)
		goto unlock;
	dsa_jobs_revoke(dsa, ioasid_pasid_number(binding->host));
	ioasid_pasid_detach(binding->host);
	SLIST_REMOVE(&dsa->bindings, binding, dsa_binding, link);
	free(binding);
unlock:
	pthread_mutex_unlock(&dsa->keys);
	return ret;
}

/* The engines are gone. */
void dsa_pasids_destroy(struct dsa *dsa)
{
	struct dsa_binding *binding;

	pasid_table_destroy(dsa->table);
	while ((binding = SLIST_FIRST(&dsa->bindings))) {
		SLIST_REMOVE_HEAD(&dsa->bindings, link);
		ioasid_pasid_detach(binding->host);
		free(binding);
	}
}
