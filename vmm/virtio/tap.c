/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TUN_NODE "/dev/net/tun"

/* Linux 6.2; older headers lack them. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int open_named(struct tap *tap, const char *name, bool multi, struct err *err)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd;

	if (multi)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(request.ifr_name, name, strnlen(name, sizeof(request.ifr_name) - 1));
	fd = open(TUN_NODE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, errno, "%s: %s%s", TUN_NODE, strerror(errno),
			       errno == ENOENT ? ": load the module tun" : "");
	tap->fd[tap->n++] = fd;
	if (!ioctl(fd, TUNSETIFF, &request))
		return 0;
	if (errno == EPERM)
		return err_set(
			err, EPERM,
			"tap %s: may not be used: make it yours with \"ip tuntap add %s mode "
			"tap%s user $USER\"",
			name, name, multi ? " multi_queue" : "");
	if (errno == EBUSY)
		return err_set(err, EBUSY, "tap %s: another process has it", name);
	if (errno == EINVAL)
		return err_set(err, EINVAL,
			       "tap %s: is no tap, or %s queue pairs do not fit how it was made: "
			       "\"ip tuntap add %s mode tap%s\"",
			       name, multi ? "several" : "single", name,
			       multi ? " multi_queue" : "");
	return err_set(err, errno, "tap %s: %s", name, strerror(errno));
}

static int adopt(struct tap *tap, int fd, unsigned int pairs, struct err *err)
{
	struct ifreq request = { 0 };
	int own;

	if (pairs != 1)
		return err_set(err, EINVAL,
			       "descriptor %d: one descriptor serves one queue pair, not %u", fd,
			       pairs);
	if (ioctl(fd, TUNGETIFF, &request))
		return err_set(err, EINVAL, "descriptor %d: is no tap: %s", fd, strerror(errno));
	if ((request.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)) !=
	    (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
		return err_set(err, EINVAL,
			       "descriptor %d: its tap must be made with IFF_TAP, IFF_NO_PI and "
			       "IFF_VNET_HDR; its flags are %#x",
			       fd, (unsigned int)request.ifr_flags & 0xffff);
	own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0)
		return err_set(err, errno, "descriptor %d: %s", fd, strerror(errno));
	tap->fd[tap->n++] = own;
	if (fcntl(own, F_SETFL, fcntl(own, F_GETFL) | O_NONBLOCK))
		return err_set(err, errno, "descriptor %d: %s", fd, strerror(errno));
	return 0;
}

int tap_open(struct tap *tap, const char *name, int fd, unsigned int pairs, struct err *err)
{
	int header = TAP_HEADER_BYTES, ret = 0;

	*tap = (struct tap){ 0 };
	if (fd >= 0)
		ret = adopt(tap, fd, pairs, err);
	for (unsigned int i = 0; fd < 0 && i < pairs && !ret; i++)
		ret = open_named(tap, name, pairs > 1, err);
	for (unsigned int i = 0; i < tap->n && !ret; i++) {
		if (ioctl(tap->fd[i], TUNSETVNETHDRSZ, &header))
			ret = err_set(err, errno, "tap: headers of %d bytes: %s", header,
				      strerror(errno));
	}
	if (ret) {
		tap_close(tap);
		return ret;
	}
	tap->uso = !tap_offload(tap, TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6);
	(void)tap_offload(tap, 0);
	return 0;
}

void tap_close(struct tap *tap)
{
	while (tap->n)
		close(tap->fd[--tap->n]);
}

int tap_offload(const struct tap *tap, unsigned int flags)
{
	for (unsigned int i = 0; i < tap->n; i++) {
		if (ioctl(tap->fd[i], TUNSETOFFLOAD, (unsigned long)flags))
			return -errno;
	}
	return 0;
}

int tap_use(const struct tap *tap, unsigned int pairs)
{
	for (unsigned int i = 0; tap->n > 1 && i < tap->n; i++) {
		struct ifreq request = { .ifr_flags =
						 i < pairs ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

		/* EINVAL: it is in that state already. */
		if (ioctl(tap->fd[i], TUNSETQUEUE, &request) && errno != EINVAL)
			return -errno;
	}
	return 0;
}
