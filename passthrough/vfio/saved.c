/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An assigned function, saved and loaded: what its driver gives of the device, which nobody here
 * understands, and what adit has of it beside the registers that the bus saves. Which device it is
 * loaded into is the configuration's choice; it has to be one of the same kind, for its driver's
 * own checks are the driver's business.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>

#include "passthrough/vfio/internal.h"

#define VERSION 1

/* What must be the same, in the order of the section. */
#define FACTS (4u + PCI_BARS + 3u)
struct fact {
	const char *name;
	uint64_t value;
};

static void gather(struct vfio_function *f, struct fact *facts)
{
	static const char *const bars[PCI_BARS] = { "BAR 0", "BAR 1", "BAR 2",
						    "BAR 3", "BAR 4", "BAR 5" };
	const uint8_t *c = f->config.bytes;
	unsigned int n = 0;

	facts[n++] = (struct fact){ "vendor id", load_le(c + PCI_VENDOR_ID, 2) };
	facts[n++] = (struct fact){ "device id", load_le(c + PCI_DEVICE_ID, 2) };
	facts[n++] =
		(struct fact){ "subsystem vendor id", load_le(c + PCI_SUBSYSTEM_VENDOR_ID, 2) };
	facts[n++] = (struct fact){ "subsystem id", load_le(c + PCI_SUBSYSTEM_ID, 2) };
	for (unsigned int i = 0; i < PCI_BARS; i++)
		facts[n++] = (struct fact){ bars[i], f->bars[i].size };
	facts[n++] = (struct fact){ "ROM", f->rom.size };
	facts[n++] = (struct fact){ "configuration space", f->config.size };
	facts[n++] = (struct fact){ "kind of migration", vfio_get_migration(f) };
}

int vfio_function_save(struct vfio_function *f, struct state_out *out, struct err *err)
{
	struct fact facts[FACTS];
	struct vfio_blob blob = { 0 };
	int ret = vfio_blob_read(f, &blob, err);

	if (!ret) {
		gather(f, facts);
		state_begin(out, VERSION, "vfio %s", f->name);
		for (unsigned int i = 0; i < FACTS; i++)
			state_put(out, facts[i].value);
		state_put(out, vfio_intx_asserted(f));
		state_put_bytes(out, blob.data, blob.len);
		state_end(out);
	}
	free(blob.data);
	return ret;
}

static void check_facts(struct vfio_function *f, struct state_in *in)
{
	struct fact facts[FACTS];

	gather(f, facts);
	for (unsigned int i = 0; i < FACTS && !in->ret; i++) {
		uint64_t was = state_take(in, UINT64_MAX);

		if (!in->ret && was != facts[i].value)
			state_refuse(in,
				     "its %s was %#llx, and this device's is %#llx: it is "
				     "another device",
				     facts[i].name, (unsigned long long)was,
				     (unsigned long long)facts[i].value);
	}
}

int vfio_function_load(struct vfio_function *f, struct state_in *in)
{
	struct err err = { 0 };
	const uint8_t *data;
	size_t len = 0;

	state_enter(in, VERSION, "vfio %s", f->name);
	if (!in->ret && vfio_migration_check(f, &err))
		state_refuse(in, "%s", err.text);
	check_facts(f, in);
	f->line_asserted = state_take_bool(in);
	data = state_take_some(in, VFIO_BLOB_MAX, &len);
	if (state_leave(in))
		return in->ret;
	if (!vfio_function_stop(f, &err) && !vfio_blob_write(f, data, len, &err))
		return 0;
	/* Who holds the device after this process finds nothing that was half taken in. */
	vfio_migration_abort(f);
	return state_refuse(in, "%s", err.text);
}

int vfio_function_loaded(struct vfio_function *f, struct err *err)
{
	vfio_config_sync(f);
	if (vfio_intx_restore(f, f->line_asserted))
		return 0;
	return err_set(err, EPROTO,
		       "section \"vfio %s\": its interrupt line is asserted, while its guest has "
		       "messages enabled",
		       f->name);
}
