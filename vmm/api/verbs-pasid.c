/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs of PASIDs: vm.pasid-bind and vm.pasid-unbind are about the machine that runs alone,
 * vm.add-pasid and vm.remove-pasid about the configuration too.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>

#include "ioasid-client/pasid-table.h"
#include "passthrough/adi/dsa.h"
#include "util/bits.h"
#include "vmm/api/verbs-internal.h"
#include "vmm/config-schema.h"
#include "vmm/config.h"
#include "vmm/life.h"

/* What takes a binding back has the first two. */
static const struct schema_key bind_keys[] = {
	{
		.path = "/adi",
		.type = SCHEMA_NAME,
		.required = true,
		.min = 1,
		.max = CONFIG_ID_MAX,
		.doc = "the ADI's id",
		.field = SCHEMA_FIELD(struct config_pasid, adi),
	},
	{
		.path = "/guest",
		.type = SCHEMA_INT,
		.required = true,
		.min = 1,
		.max = PASID_TABLE_SIZE - 1,
		.doc = "the number that the guest uses",
		.field = SCHEMA_FIELD(struct config_pasid, guest),
	},
	{
		.path = "/space",
		.type = SCHEMA_NAME,
		.min = 1,
		.max = CONFIG_ID_MAX,
		.doc = "what it shall reach; absent: all guest memory",
		.field = SCHEMA_FIELD(struct config_pasid, space),
	},
	{
		.path = "/host",
		.type = SCHEMA_INT,
		.max = PASID_TABLE_SIZE - 1,
		.doc = "the number that DMA shall carry; absent or 0: any",
		.field = SCHEMA_FIELD(struct config_pasid, host),
	},
};
static const struct schema bind_schema = { bind_keys, ARRAY_SIZE(bind_keys) };
static const struct schema unbind_schema = { bind_keys, 2 };

struct asking {
	struct config_pasid pasid;
	bool unbinds;
	struct json_object *tables;
	struct err *err;
};

static int look_bind(void *arg, const struct life_view *view)
{
	struct asking *asking = arg;

	/* What rests in a paused engine would never end. */
	if (view->state != LIFE_RUNNING)
		return verbs_not_running(view, asking->err);
	if (asking->unbinds)
		return machine_unbind_pasid(view->machine, asking->pasid.adi, asking->pasid.guest,
					    asking->err);
	return machine_bind_pasid(view->machine, &asking->pasid, asking->err);
}

static int bind_or_unbind(struct call *call, const struct schema *schema, bool unbinds,
			  struct err *err)
{
	struct asking asking = { .err = err, .unbinds = unbinds };
	int ret = verbs_read_body(call, schema, &asking.pasid, err);

	if (!ret)
		ret = life_look(call->life, look_bind, &asking);
	free(asking.pasid.adi);
	free(asking.pasid.space);
	return ret;
}

int vm_pasid_bind(struct call *call, struct err *err)
{
	return bind_or_unbind(call, &bind_schema, false, err);
}

int vm_pasid_unbind(struct call *call, struct err *err)
{
	return bind_or_unbind(call, &unbind_schema, true, err);
}

static int look_pasids(void *arg, const struct life_view *view)
{
	struct asking *asking = arg;

	if (!view->machine)
		return verbs_not_running(view, asking->err);
	for (size_t i = 0; i < view->config->n_adis; i++) {
		const char *id = view->config->adis[i].id;
		struct dsa *dsa = machine_dsa(view->machine, id);
		struct pasid_table *table = dsa ? dsa_pasid_table(dsa) : NULL;

		if (table)
			json_object_object_add(asking->tables, id, pasid_table_json(table));
	}
	return 0;
}

int vm_pasids(struct call *call, struct err *err)
{
	struct asking asking = { .tables = json_object_new_object(), .err = err };
	int ret = life_look(call->life, look_pasids, &asking);

	if (ret)
		json_object_put(asking.tables);
	else
		verbs_answer(call->reply, 200, asking.tables);
	return ret;
}

/* An entry of /pasids, which may be a default binding: its checks are the configuration's. */
int vm_add_pasid(struct call *call, struct err *err)
{
	return verbs_add(call, CONFIG_PASIDS, err);
}

int vm_remove_pasid(struct call *call, struct err *err)
{
	struct config_pasid pasid = { 0 };
	uint64_t ticket = 0;
	int ret = verbs_read_body(call, &unbind_schema, &pasid, err);

	if (!ret)
		ret = life_remove_pasid(call->life, pasid.adi, pasid.guest, &ticket, err);
	free(pasid.adi);
	return verbs_later(call, ret, ticket);
}
