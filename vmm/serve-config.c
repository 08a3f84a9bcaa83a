/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/serve-config.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/adi/dsa.h"
#include "util/bits.h"
#include "vmm/config-draft.h"
#include "vmm/config-schema.h"
#include "vmm/json-strict.h"
#include "vmm/layout.h"

/* The rows of a VM's keys store into its draft: that must come first. */
struct serve_draft {
	struct config_draft vm;
	struct pci_svm_options svm;
};

#define SVM(member) .field = SCHEMA_FIELD(struct serve_draft, svm.member)

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

static int settle(struct serve_draft *draft, struct err *err)
{
	struct config *config = &draft->vm.config;
	int ret;

	if (config->n_adis != 1)
		return err_set(err, EINVAL, "/adis: has %zu entries; one socket serves one ADI",
			       config->n_adis);
	if (config->adis[0].backend != DSA_BACKEND_SOFT)
		return err_set(err, EINVAL,
			       "/adis/0/backend: only \"soft\" can be served over vfio-user");
	/* It is written under the function's lock, which must not wait for a client's answer. */
	if (config->adis[0].event_log)
		return err_set(err, EINVAL,
			       "/adis/0/event_log: cannot be served over vfio-user; remove it");
	/* Where the client's memory is, it says itself: a window may lie anywhere a guest's can. */
	config->memory.size = LAYOUT_RAM_SIZE_MAX;
	ret = config_settle_adis(config, err);
	if (ret)
		return ret;
	draft->svm.pasid_width = config->adis[0].pasid_width;
	return 0;
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
	if (ret)
		config_free(&draft.vm.config);
	else
		*serve = (struct serve_config){ .config = draft.vm.config, .svm = draft.svm };
	return ret;
}

int serve_config_load(struct serve_config *serve, const char *path, struct err *err)
{
	memset(serve, 0, sizeof(*serve));
	return config_load_with(path, parse, serve, err);
}

void serve_config_free(struct serve_config *serve)
{
	config_free(&serve->config);
}
