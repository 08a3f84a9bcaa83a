/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resets. The kernel resets a function by itself when it is opened and when it is closed, where it
 * can be; what is left to do here is to know whether it can, to try its bus where the function
 * alone cannot, and to carry out the guest's function-level resets.
 *
 * Source: Linux drivers/vfio/pci/vfio_pci_core.c (vfio_pci_core_enable, _disable).
 */
#include <errno.h>
#include <string.h>

#include "passthrough/vfio/internal.h"

static int refuse(const struct vfio_function *f, const struct vfio_neighbour *in_use, int ret,
		  struct err *err)
{
	if (in_use)
		return err_set(
			err, EBUSY,
			"%s cannot be reset now (no function-level reset, and one of its bus "
			"resets %s too, which the guest has): have both in the configuration when "
			"the VM starts; \"allow_no_reset\": true takes it as its last user left it",
			f->name, in_use->name);
	return err_set(err, ENOTSUP,
		       "%s cannot be reset (no function-level reset; bus reset: %s): its "
		       "next user would find what the last one left; \"allow_no_reset\": true "
		       "accepts that",
		       f->name, strerror(-ret));
}

int vfio_reset_choose(struct vfio_function *f, const struct vfio_options *options, struct err *err)
{
	const struct vfio_neighbour *in_use;
	int ret;

	f->reset = VFIO_RESET_FUNCTION;
	/* Some mdev drivers can, but do not say so: trying costs nothing, the device was just
	 * opened. */
	if (f->info.flags & VFIO_DEVICE_FLAGS_RESET || !vfio_reset_function(f))
		return 0;
	f->reset = VFIO_RESET_BUS;
	ret = vfio_reset_bus(f, options, &in_use);
	if (!ret)
		return 0;
	f->reset = VFIO_RESET_NONE;
	if (!options->allow_no_reset)
		return refuse(f, in_use, ret, err);
	log_line(f->log, LOG_WARN, "vfio",
		 "%s cannot be reset: it starts as its last user left it, and so will its next",
		 f->name);
	return 0;
}

const char *vfio_function_reset_name(const struct vfio_function *function)
{
	switch (function->reset) {
	case VFIO_RESET_FUNCTION:
		return "function";
	case VFIO_RESET_BUS:
		return "bus";
	default:
		return "none";
	}
}

/*
 * The registers are at their power-on values and all vectors are closed. The bus is not reset for
 * one function's sake: others are on it.
 */
void vfio_reset_by_guest(void *opaque)
{
	struct vfio_function *f = opaque;
	int ret = 0;

	vfio_config_command(f, false);
	vfio_irqs_stop(f);
	if (f->reset == VFIO_RESET_FUNCTION)
		ret = vfio_reset_function(f);
	if (ret)
		log_limited(f->log, &f->limit, LOG_WARN, "vfio", "%s: reset by the guest: %s",
			    f->name, strerror(-ret));
	vfio_config_sync(f);
	vfio_irqs_start(f);
}
