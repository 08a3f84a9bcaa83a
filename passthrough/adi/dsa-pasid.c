/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second key: which guest PASIDs, and which queues' descriptors without one, stand for a host
 * PASID and its space, and how such a binding ends.
 */
#include <errno.h>
#include <stdlib.h>

#include "ioasid-client/pasid-table.h"
#include "passthrough/adi/dsa-internal.h"

static struct dsa_binding *find(struct dsa *dsa, uint32_t guest, unsigned int wq)
{
	struct dsa_binding *binding = SLIST_FIRST(&dsa->bindings);

	while (binding && (binding->guest != guest || binding->wq != wq))
		binding = SLIST_NEXT(binding, link);
	return binding;
}

/* A host PASID for the space, with all that the back end needs for it. */
static int attach(struct dsa *dsa, struct dsa_binding *binding, struct ioasid_space *space,
		  uint32_t want_host, struct err *err)
{
	int ret = ioasid_pasid_attach(dsa->device, space, want_host, &binding->host, err);

	if (ret || !dsa->backend->bind)
		return ret;
	ret = dsa->backend->bind(dsa, ioasid_pasid_number(binding->host), space, err);
	if (ret)
		ioasid_pasid_detach(binding->host);
	return ret;
}

/*
 * No descriptor can be given the number any more. Those that were end, and may still write their
 * records; then the number's DMA is blocked, and it parks.
 */
static void detach(struct dsa *dsa, struct dsa_binding *binding)
{
	uint32_t host = ioasid_pasid_number(binding->host);

	dsa_jobs_mark(dsa, host);
	if (dsa->backend->block)
		dsa->backend->block(dsa, host);
	dsa_jobs_revoke(dsa, host);
	if (dsa->backend->unbind)
		dsa->backend->unbind(dsa, host);
	ioasid_pasid_detach(binding->host);
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
	binding = find(dsa, guest, DSA_ALL_WQS);
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
	binding->wq = DSA_ALL_WQS;
	ret = attach(dsa, binding, space, want_host, err);
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
	detach(dsa, binding);
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

int dsa_pasid_unbind(struct dsa *dsa, uint32_t guest, struct err *err)
{
	struct dsa_binding *binding;
	int ret;

	pthread_mutex_lock(&dsa->keys);
	binding = find(dsa, guest, DSA_ALL_WQS);
	if (!binding) {
		ret = err_set(err, ENOENT, "guest PASID %u of %s is not bound", guest, dsa->id);
		goto unlock;
	}
	ret = pasid_table_unbind(dsa->table, guest, err);
	if (ret)
		goto unlock;
	detach(dsa, binding);
	SLIST_REMOVE(&dsa->bindings, binding, dsa_binding, link);
	free(binding);
unlock:
	pthread_mutex_unlock(&dsa->keys);
	return ret;
}

/* --- descriptors without a PASID ------------------------------------------------------------- */

static int check_default(struct dsa *dsa, unsigned int wq, struct err *err)
{
	if (wq != DSA_ALL_WQS && wq >= dsa->wqs)
		return err_set(err, ERANGE, "%s has no work queue %u; it has 0 to %u", dsa->id, wq,
			       dsa->wqs - 1);
	if (find(dsa, 0, wq))
		return err_set(err, EEXIST,
			       "%s has a default binding for that work queue already; unbind it "
			       "first",
			       dsa->id);
	return 0;
}

/*
 * From here on the queue's descriptors run under `host`, 0 to refuse them. What may still run
 * without a PASID, from the time when all guest memory was open to it, ends before it returns.
 */
static void set_fallback(struct dsa *dsa, unsigned int wq, uint32_t host)
{
	bool was_open;

	pthread_mutex_lock(&dsa->lock);
	was_open = dsa->open;
	dsa->open = false;
	dsa->fallback[wq] = host;
	pthread_mutex_unlock(&dsa->lock);
	if (!was_open)
		return;
	dsa_jobs_revoke(dsa, IOASID_PASID_NONE);
	ioasid_detach(dsa->device, NULL);
}

/* With the keys' lock held. */
static int bind_default(struct dsa *dsa, unsigned int wq, struct ioasid_space *space,
			uint32_t want_host, uint32_t *host, struct err *err)
{
	struct dsa_binding *binding;
	int ret = check_default(dsa, wq, err);

	if (ret)
		return ret;
	binding = calloc(1, sizeof(*binding));
	if (!binding)
		return err_set(err, ENOMEM, "no memory for a default binding");
	binding->wq = wq;
	ret = attach(dsa, binding, space, want_host, err);
	if (ret) {
		free(binding);
		return ret;
	}
	set_fallback(dsa, wq, ioasid_pasid_number(binding->host));
	SLIST_INSERT_HEAD(&dsa->bindings, binding, link);
	if (host)
		*host = ioasid_pasid_number(binding->host);
	return 0;
}

int dsa_default_bind(struct dsa *dsa, unsigned int wq, struct ioasid_space *space,
		     uint32_t want_host, uint32_t *host, struct err *err)
{
	int ret;

	pthread_mutex_lock(&dsa->keys);
	ret = bind_default(dsa, wq, space, want_host, host, err);
	pthread_mutex_unlock(&dsa->keys);
	return ret;
}

/* In the order of dsa_pasid_unbind. */
int dsa_default_unbind(struct dsa *dsa, unsigned int wq, struct err *err)
{
	struct dsa_binding *binding;
	int ret = 0;

	pthread_mutex_lock(&dsa->keys);
	binding = find(dsa, 0, wq);
	if (binding) {
		set_fallback(dsa, wq, IOASID_PASID_NONE);
		detach(dsa, binding);
		SLIST_REMOVE(&dsa->bindings, binding, dsa_binding, link);
		free(binding);
	} else {
		ret = err_set(err, ENOENT, "%s has no default binding for that work queue",
			      dsa->id);
	}
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
		detach(dsa, binding);
		free(binding);
	}
}

struct pasid_table *dsa_pasid_table(struct dsa *dsa)
{
	return dsa->table;
}
