/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The assigned devices of a machine that is saved or loaded, all together: none may reach into
 * another that stands still already, so they end that first, then they stop, and they go on in the
 * other order. They stand still until the guest's memory is in the file, too.
 */
#include <errno.h>

#include "passthrough/vfio/vfio.h"
#include "vmm/devices-internal.h"

/* Before any is disturbed. */
static int check(const struct devices *devices, struct err *err)
{
	for (size_t i = 0; i < devices->n; i++) {
		struct vfio_function *function = devices->device[i]->function;
		int ret = vfio_function_check_saved(function, err);

		if (ret)
			return ret;
		if (devices->n > 1 && vfio_function_has_peers(function) &&
		    !vfio_function_ends_peers(function))
			return err_set(err, EOPNOTSUPP,
				       "%s: a snapshot does not carry it beside other devices, "
				       "which reach its registers: its driver cannot end their DMA "
				       "by itself; remove it, or all others, first",
				       devices->device[i]->config.id);
	}
	return 0;
}

int devices_stop(struct devices *devices, struct err *err)
{
	int ret = check(devices, err);

	for (size_t i = 0; !ret && i < devices->n; i++)
		ret = vfio_function_quiet(devices->device[i]->function, err);
	for (size_t i = 0; !ret && i < devices->n; i++)
		ret = vfio_function_stop(devices->device[i]->function, err);
	return ret;
}

int devices_start(struct devices *devices, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < devices->n; i++)
		vfio_function_rouse(devices->device[i]->function);
	for (size_t i = 0; i < devices->n; i++) {
		struct err why = { 0 };

		if (!vfio_function_start(devices->device[i]->function, &why))
			continue;
		log_line(devices->log, LOG_ERROR, "vfio", "%s", why.text);
		if (!ret)
			ret = err_set(err, why.code, "%s", why.text);
	}
	return ret;
}

int devices_save(struct devices *devices, struct state_out *out, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < devices->n; i++)
		ret = vfio_function_save(devices->device[i]->function, out, err);
	return ret;
}

int devices_load(struct devices *devices, struct state_in *in)
{
	for (size_t i = 0; !in->ret && i < devices->n; i++)
		vfio_function_load(devices->device[i]->function, in);
	return in->ret;
}

int devices_loaded(struct devices *devices, struct state_in *in)
{
	for (size_t i = 0; !in->ret && i < devices->n; i++)
		in->ret = vfio_function_loaded(devices->device[i]->function, in->err);
	return in->ret;
}
