/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/change.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define PCI    "/sys/bus/pci/devices/%s"
#define VFIO   "vfio-pci"
#define CREATE "/sys/class/mdev_bus/%s/mdev_supported_types/%s/create"

/* --- functions ------------------------------------------------------------------------------- */

int change_function_plan(const struct host *host, const char *bdf, const char *const *with,
			 size_t n_with, struct change_function *before, bool *needed,
			 struct err *err)
{
	struct host_function function;
	int ret = host_function_read(host, bdf, &function);

	if (ret)
		return err_set(err, -ret, "%s: there is no such PCI function on this host", bdf);
	ret = host_function_check(host, &function, true, with, n_with, err);
	if (ret)
		return ret;
	*needed = !function.vfio;
	if (*needed && ((*function.driver && !host_part_is_sane(function.driver)) ||
			(*function.override && !host_part_is_sane(function.override))))
		return err_set(
			err, EINVAL,
			"%s: its driver has a name that cannot be written down; take it from "
			"there yourself",
			bdf);
	if (*needed && !sysfs_exists(host, "/sys/bus/pci/drivers/" VFIO))
		return err_set(err, ENODEV,
			       "%s: cannot be given to " VFIO
			       ", which is not loaded; 'modprobe " VFIO "'",
			       bdf);
	*before = (struct change_function){ 0 };
	memcpy(before->bdf, function.bdf, sizeof(before->bdf));
	memcpy(before->driver, function.driver, sizeof(before->driver));
	memcpy(before->override, function.override, sizeof(before->override));
	return 0;
}

static int failed(struct err *err, int error, const char *bdf, const char *what)
{
	errno = error;
	return err_set(err, error, "%s: %s: %m", bdf, what);
}

static int take(const struct host *host, const struct change_function *before, struct err *err)
{
	const char *bdf = before->bdf;
	char driver[HOST_TEXT];
	int ret = sysfs_write(host, VFIO, PCI "/driver_override", bdf);

	if (ret)
		return failed(err, -ret, bdf, "driver_override cannot be set");
	if (*before->driver) {
		ret = sysfs_write(host, bdf, PCI "/driver/unbind", bdf);
		if (ret)
			return failed(err, -ret, bdf, "its host driver does not let it go");
	}
	ret = sysfs_write(host, bdf, "/sys/bus/pci/drivers_probe");
	if (ret)
		return failed(err, -ret, bdf, VFIO " does not take it");
	sysfs_link(host, driver, sizeof(driver), PCI "/driver", bdf);
	if (strcmp(driver, VFIO) != 0)
		return err_set(err, EBUSY,
			       "%s: did not go to " VFIO
			       " but to %s; the kernel's messages say why",
			       bdf, *driver ? driver : "no driver");
	return 0;
}

int change_function_take(const struct host *host, const struct change_function *before,
			 struct err *err)
{
	int ret = take(host, before, err);

	if (ret)
		change_function_return(host, before, NULL);
	return ret;
}

int change_function_return(const struct host *host, const struct change_function *before,
			   struct err *err)
{
	const char *bdf = before->bdf;
	struct host_function now;
	bool ours;
	int ret;

	if (host_function_read(host, bdf, &now))
		return 0; /* it was pulled out */
	/* We set the override before all else and reset it after: without it, it is not our doing.
	 */
	ours = !strcmp(now.override, VFIO);
	ret = ours && !strcmp(now.driver, VFIO) ? sysfs_write(host, bdf, PCI "/driver/unbind", bdf)
						: 0;
	if (ret)
		return failed(err, -ret, bdf, VFIO " does not let it go");
	if (ours && strcmp(before->override, VFIO) != 0) {
		/* An empty line takes the override away. */
		ret = sysfs_write(host, *before->override ? before->override : "\n",
				  PCI "/driver_override", bdf);
		if (ret)
			return failed(err, -ret, bdf, "driver_override cannot be reset");
	}
	if (!*before->driver || host_function_read(host, bdf, &now) || *now.driver)
		return 0;
	ret = sysfs_write(host, bdf, "/sys/bus/pci/drivers/%s/bind", before->driver);
	/* Its module may have been unloaded meanwhile: whoever wants it now may have it. */
	if (ret)
		ret = sysfs_write(host, bdf, "/sys/bus/pci/drivers_probe");
	if (ret)
		return failed(err, -ret, bdf, "its host driver does not take it back");
	return 0;
}

/* --- mdevs ----------------------------------------------------------------------------------- */

int change_uuid(char *out, struct err *err)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return err_set(err, EAGAIN, "no random numbers for a UUID");
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	for (unsigned int i = 0; i < sizeof(b); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = hex[b[i] >> 4];
		*out++ = hex[b[i] & 0xf];
	}
	*out = 0;
	return 0;
}

int change_mdev_plan(const struct host *host, const struct change_mdev *mdev, struct err *err)
{
	struct host_mdev_type type;
	struct host_mdev there;
	int ret = host_mdev_type_read(host, mdev->parent, mdev->type, &type);

	if (ret)
		return err_set(err, -ret,
			       "mdev %s: parent %s has no type %s; 'adit devices' shows all that "
			       "there are",
			       mdev->uuid, mdev->parent, mdev->type);
	if (!type.available)
		return err_set(err, EUSERS,
			       "mdev %s: parent %s has no %s left; remove one, or choose another "
			       "type",
			       mdev->uuid, mdev->parent, mdev->type);
	if (!host_mdev_read(host, mdev->uuid, &there))
		return err_set(err, EEXIST,
			       "mdev %s: is there already, of type %s; name it by \"path\", or "
			       "choose another \"uuid\"",
			       mdev->uuid, *there.type ? there.type : "unknown");
	return 0;
}

int change_mdev_create(const struct host *host, const struct change_mdev *mdev, struct err *err)
{
	struct host_mdev there;
	int ret = sysfs_write(host, mdev->uuid, CREATE, mdev->parent, mdev->type);

	if (ret) {
		errno = -ret;
		return err_set(err, -ret, "mdev %s: parent %s does not make a %s: %m", mdev->uuid,
			       mdev->parent, mdev->type);
	}
	if (host_mdev_read(host, mdev->uuid, &there))
		return err_set(err, ENODEV, "mdev %s: was made and is not there", mdev->uuid);
	return 0;
}

int change_mdev_remove(const struct host *host, const struct change_mdev *mdev, struct err *err)
{
	struct host_mdev there;
	int ret;

	if (host_mdev_read(host, mdev->uuid, &there) || strcmp(there.parent, mdev->parent) != 0 ||
	    strcmp(there.type, mdev->type) != 0)
		return 0;
	ret = sysfs_write(host, "1", "/sys/bus/mdev/devices/%s/remove", mdev->uuid);
	if (ret && ret != -ENODEV && ret != -ENOENT) {
		errno = -ret;
		return err_set(err, -ret, "mdev %s: cannot be removed: %m", mdev->uuid);
	}
	return 0;
}
