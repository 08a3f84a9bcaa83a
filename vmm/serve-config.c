/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/serve-config.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/adi/dsa.h"
#include "util/bits.h"
#include "util/json-strict.h"
#include "vmm/config-draft.h"
#include "vmm/config-schema.h"
#include "vmm/layout.h"

/* The rows of a VM's keys store into its draft: that must come first. */
struct serve_draft {
	struct config_draft vm;
	struct serve_config serve; /* but for its config */
};

#define SVM(member)	 .field = SCHEMA_FIELD(struct serve_draft, serve.svm.member)
#define FUNCTION(member) .field = SCHEMA_FIELD(struct serve_draft, serve.function.member)

#define QUEUES	8u
#define ENGINES 4u

static const struct schema_word function_types[] = {
	{ "soft", SERVE_FUNCTION_SOFT },
	{ "vfio", SERVE_FUNCTION_VFIO },
	{ NULL },
};

static const struct schema_key own_keys[] = {
	{ .path = "/capabilities",
	  .type = SCHEMA_OBJECT,
	  .doc = "PCI capabilities that the function presents." },
	{ .path = "/capabilities/ats",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  SVM(ats),
	  .doc = "Address translation services." },
	{ .path = "/capabilities/pri",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  SVM(pri),
	  .doc = "Page requests." },
	{ .path = "/capabilities/pasid",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  SVM(pasid),
	  .doc = "PASIDs, of the ADI's `pasid.width`." },
	{ .path = "/capabilities/pasid_exec",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  SVM(pasid_exec),
	  .doc = "Execute permission with them." },
	{ .path = "/capabilities/pasid_priv",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  SVM(pasid_priv),
	  .doc = "Privileged mode with them." },
	{ .path = "/function",
	  .type = SCHEMA_OBJECT,
	  FUNCTION(present),
	  .doc = "One DSA function whose queues do the work of all ADIs." },
	{ .path = "/function/type",
	  .type = SCHEMA_WORD,
	  .words = function_types,
	  .fallback = "\"soft\"",
	  FUNCTION(type),
	  .doc = "What it is: `soft` is made of software, `vfio` one of the host." },
	{ .path = "/function/path",
	  .type = SCHEMA_TEXT,
	  .min = 1,
	  .max = 255,
	  FUNCTION(path),
	  .doc = "Its cdev, `/dev/vfio/devices/vfioN`; required by `vfio`, only there." },
	{ .path = "/function/queues",
	  .type = SCHEMA_INT,
	  .min = 1,
	  .max = DSA_MAX_WQS,
	  FUNCTION(queues),
	  .doc = "How many work queues it has; only with `soft`." },
	{ .path = "/function/engines",
	  .type = SCHEMA_INT,
	  .min = 1,
	  .max = DSA_MAX_ENGINES,
	  FUNCTION(engines),
	  .doc = "How many engines work at them; only with `soft`." },
};

static bool shared_with_vm(const char *path)
{
	static const char *const roots[] = { "/adis", "/spaces", "/pasids" };

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		size_t len = strlen(roots[i]);

		if (!strncmp(path, roots[i], len) && (!path[len] || path[len] == '/'))
			return true;
	}
	return false;
}

/* keys: room for those of the VM and ours. */
static size_t collect_keys(struct schema_key *keys)
{
	const struct schema *vm = config_schema();
	size_t n = 0;

	for (size_t i = 0; i < vm->n; i++) {
		if (shared_with_vm(vm->keys[i].path))
			keys[n++] = vm->keys[i];
	}
	for (size_t i = 0; i < ARRAY_SIZE(own_keys); i++)
		keys[n++] = own_keys[i];
	return n;
}

static int check_adi(const struct config *config, size_t i, struct err *err)
{
	if (config->adis[i].backend != DSA_BACKEND_SOFT)
		return err_set(err, EINVAL,
			       "/adis/%zu/backend: only \"soft\" can be served over vfio-user", i);
	/* It is written under the function's lock, which must not wait for a client's answer. */
	if (config->adis[i].event_log)
		return err_set(err, EINVAL,
			       "/adis/%zu/event_log: cannot be served over vfio-user; remove it",
			       i);
	return 0;
}

static int settle_function(struct serve_config *serve, struct err *err)
{
	bool vfio = serve->function.type == SERVE_FUNCTION_VFIO;

	if (vfio && !serve->function.path)
		return err_set(
			err, EINVAL,
			"/function/path: is missing; \"type\": \"vfio\" needs the function's "
			"cdev, /dev/vfio/devices/vfioN");
	if (!vfio && serve->function.path)
		return err_set(err, EINVAL, "/function/path: goes only with \"type\": \"vfio\"");
	if (vfio && (serve->function.queues || serve->function.engines))
		return err_set(err, EINVAL,
			       "/function/%s: goes only with \"type\": \"soft\"; a function of the "
			       "host has what it has",
			       serve->function.queues ? "queues" : "engines");
	if (!serve->function.queues)
		serve->function.queues = QUEUES;
	if (!serve->function.engines)
		serve->function.engines = ENGINES;
	return 0;
}

/* Without a binding an ADI would reach nothing, and each takes a queue of the function. */
static int check_function(struct serve_config *serve, const struct config *config, struct err *err)
{
	int ret = serve->function.present ? settle_function(serve, err) : 0;

	if (ret || !serve->function.present)
		return ret;
	for (size_t i = 0; i < config->n_adis; i++) {
		bool bound = false;

		for (size_t j = 0; j < config->n_pasids; j++)
			bound |= !strcmp(config->pasids[j].adi, config->adis[i].id);
		if (!bound)
			return err_set(err, EINVAL,
				       "/pasids: has no entry for \"%s\", which reaches nothing of "
				       "its client's memory then; { \"adi\": \"%s\", \"guest\": "
				       "\"none\" } gives it all",
				       config->adis[i].id, config->adis[i].id);
	}
	/* How many a function of the host has shows when it is opened. */
	if (serve->function.type == SERVE_FUNCTION_SOFT &&
	    config->n_pasids > serve->function.queues)
		return err_set(err, EINVAL,
			       "/pasids: has %zu entries; each takes a queue, and "
			       "/function/queues is %u",
			       config->n_pasids, serve->function.queues);
	return 0;
}

static int settle(struct serve_draft *draft, struct err *err)
{
	struct config *config = &draft->vm.config;
	int ret = 0;

	if (!config->n_adis)
		return err_set(err, EINVAL, "/adis: has no entry, so there is nothing to serve");
	for (size_t i = 0; i < config->n_adis && !ret; i++)
		ret = check_adi(config, i, err);
	if (ret)
		return ret;
	/* Where the client's memory is, it says itself: a window may lie anywhere a guest's can. */
	config->memory.size = LAYOUT_RAM_SIZE_MAX;
	ret = config_settle_adis(config, err);
	return ret ? ret : check_function(&draft->serve, config, err);
}

static int read_document(struct serve_draft *draft, struct json_object *document, struct err *err)
{
	struct schema_key *keys = calloc(config_schema()->n + ARRAY_SIZE(own_keys), sizeof(*keys));
	struct schema schema = { .keys = keys };
	int ret;

	if (!keys)
		return err_set(err, ENOMEM, "no memory for the configuration");
	schema.n = collect_keys(keys);
	ret = schema_read(&schema, document, draft, err);
	free(keys);
	return ret ? ret : settle(draft, err);
}

static int parse(void *out, const char *text, size_t len, struct err *err)
{
	struct serve_config *serve = out;
	struct serve_draft draft = { 0 };
	struct json_object *document = NULL;
	int ret = json_strict_parse(&document, text, len, err);

	if (!ret)
		ret = read_document(&draft, document, err);
	json_object_put(document);
	if (ret) {
		config_free(&draft.vm.config);
		free(draft.serve.function.path);
		return ret;
	}
	*serve = draft.serve;
	serve->config = draft.vm.config;
	return 0;
}

int serve_config_load(struct serve_config *serve, const char *path, struct err *err)
{
	memset(serve, 0, sizeof(*serve));
	return config_load_with(path, parse, serve, err);
}

void serve_config_free(struct serve_config *serve)
{
	config_free(&serve->config);
	free(serve->function.path);
}
