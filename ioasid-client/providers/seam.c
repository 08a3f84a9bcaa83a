/* SPDX-License-Identifier: Apache-2.0 */
#include "ioasid-client/providers/seam.h"

#include <errno.h>
#include <sys/ioctl.h>

static int kernel_ioctl(const struct ioasid_seam *seam, int fd, unsigned long request, void *arg)
{
	int r;

	do
		r = ioctl(fd, request, arg);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

const struct ioasid_seam ioasid_seam_kernel = {
	.ioctl = kernel_ioctl,
	.root = "",
};
