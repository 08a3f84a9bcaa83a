/* SPDX-License-Identifier: Apache-2.0 */
/* Taps: tun(4)'s ioctls, and those of a bridge (netdevice(7), linux/sockios.h). */
#include "libvirt-driver/bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TUN "/dev/net/tun"

void bridge_tap_name(const char *mac, char tap[TAP_NAME])
{
	size_t n = (size_t)snprintf(tap, TAP_NAME, "at");

	for (; *mac && n < TAP_NAME - 1; mac++) {
		if (*mac != ':')
			tap[n++] = (char)(*mac >= 'A' && *mac <= 'F' ? *mac + 32 : *mac);
	}
	tap[n] = 0;
}

/* One queue pair, with virtio's header. It is made where it is not there. */
static int open_tap(const char *tap)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open(TUN, O_RDWR | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, tap, strnlen(tap, TAP_NAME - 1));
	if (!ioctl(fd, TUNSETIFF, &request))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

int bridge_open_tap(const char *tap)
{
	return if_nametoindex(tap) ? open_tap(tap) : -ENODEV;
}

static int set_persistent(const char *tap, bool on)
{
	int fd = open_tap(tap), ret = 0;

	if (fd < 0)
		return fd;
	if (ioctl(fd, TUNSETPERSIST, on) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static int plug(const char *tap, const char *bridge)
{
	struct ifreq port = { 0 }, up = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret = 0;

	if (fd < 0)
		return -errno;
	memcpy(port.ifr_name, bridge, strnlen(bridge, TAP_NAME - 1));
	memcpy(up.ifr_name, tap, strnlen(tap, TAP_NAME - 1));
	port.ifr_ifindex = (int)if_nametoindex(tap);
	if (ioctl(fd, SIOCBRADDIF, &port) < 0 || ioctl(fd, SIOCGIFFLAGS, &up) < 0)
		ret = -errno;
	up.ifr_flags |= IFF_UP;
	if (!ret && ioctl(fd, SIOCSIFFLAGS, &up) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static int connect_one(const char *tap, const char *bridge, struct refusal *refusal)
{
	int ret;

	if (if_nametoindex(tap))
		return refuse(refusal, FAULT_OPERATION_FAILED,
			      "tap %s is there already: another domain has this MAC address", tap);
	ret = set_persistent(tap, true);
	if (ret)
		return refuse(refusal, FAULT_OPERATION_FAILED, "tap %s cannot be made: %s", tap,
			      strerror(-ret));
	ret = plug(tap, bridge);
	if (!ret)
		return 0;
	set_persistent(tap, false);
	return refuse(refusal, FAULT_OPERATION_FAILED, "tap %s cannot be added to bridge %s: %s",
		      tap, bridge, strerror(-ret));
}

static struct json_object *bridges_of(const struct definition *definition)
{
	return definition && definition->bridges ? json_tokener_parse(definition->bridges) : NULL;
}

void bridges_disconnect(const struct definition *before, const struct definition *now)
{
	struct json_object *had = bridges_of(before), *has = bridges_of(now);

	if (had) {
		json_object_object_foreach(had, tap, bridge)
		{
			(void)bridge;
			if (!json_object_object_get_ex(has, tap, NULL) && if_nametoindex(tap))
				set_persistent(tap, false);
		}
	}
	json_object_put(had);
	json_object_put(has);
}

int bridges_connect(const struct definition *now, const struct definition *before,
		    struct refusal *refusal)
{
	struct json_object *had = bridges_of(before), *has = bridges_of(now), *made = NULL;
	int ret = 0;

	if (has) {
		made = json_object_new_object();
		json_object_object_foreach(has, tap, bridge)
		{
			if (ret || json_object_object_get_ex(had, tap, NULL))
				continue;
			ret = connect_one(tap, json_object_get_string(bridge), refusal);
			if (!ret)
				json_object_object_add(made, tap, NULL);
		}
	}
	if (ret) {
		json_object_object_foreach(made, tap, none)
		{
			(void)none;
			set_persistent(tap, false);
		}
	}
	json_object_put(made);
	json_object_put(had);
	json_object_put(has);
	return ret;
}
