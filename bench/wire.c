/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/clock.h"
#include "util/bits.h"

#define NODE  "/dev/net/tun"
#define BURST 32u

/* --- the namespace and what is in it --------------------------------------------------------- */

/* Whoever had it before has ended: what the ring of such a process had open the kernel closes a
 * little later. The watch has the last word on how long that may take. */
static int take_over(int tap, struct ifreq *request)
{
	while (ioctl(tap, TUNSETIFF, request)) {
		if (errno != EBUSY)
			return -errno;
		poll(NULL, 0, 1);
	}
	return 0;
}

static int attach(int *tap)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int size = WIRE_HEADER, ret;

	strcpy(request.ifr_name, WIRE_TAP);
	*tap = open(NODE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (*tap < 0)
		return -errno;
	ret = take_over(*tap, &request);
	if (!ret && (ioctl(*tap, TUNSETVNETHDRSZ, &size) ||
		     ioctl(*tap, TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | TUN_F_TSO4))))
		ret = -errno;
	if (ret) {
		close(*tap);
		*tap = -1;
	}
	return ret;
}

/* It outlives its descriptors, until the namespace goes. */
static int make_tap(struct wire *wire)
{
	int ret = attach(&wire->tap);

	if (!ret && ioctl(wire->tap, TUNSETPERSIST, 1UL))
		ret = -errno;
	if (wire->tap >= 0)
		close(wire->tap);
	wire->tap = -1;
	return ret;
}

static int set_up(struct wire *wire)
{
	struct ifreq request = { .ifr_flags = 0 };
	struct sockaddr_ll here = { .sll_family = AF_PACKET };
	int on = 1;
	FILE *file = fopen("/proc/sys/net/ipv6/conf/" WIRE_TAP "/disable_ipv6", "we");

	/* Nobody shall say anything there by himself; without it there is a frame now and then. */
	if (file) {
		fputs("1", file);
		fclose(file);
	}
	wire->packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (wire->packet < 0)
		return -errno;
	strcpy(request.ifr_name, WIRE_TAP);
	if (ioctl(wire->packet, SIOCGIFFLAGS, &request))
		return -errno;
	request.ifr_flags |= IFF_UP;
	if (ioctl(wire->packet, SIOCSIFFLAGS, &request) ||
	    ioctl(wire->packet, SIOCGIFINDEX, &request))
		return -errno;
	wire->index = (unsigned int)request.ifr_ifindex;
	here.sll_ifindex = request.ifr_ifindex;
	if (bind(wire->packet, (const struct sockaddr *)&here, sizeof(here)) ||
	    setsockopt(wire->packet, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)))
		return -errno;
	return 0;
}

int wire_open(struct wire *wire, struct err *err)
{
	int ret = 0;

	*wire = (struct wire){ .before = -1, .tap = -1, .packet = -1 };
	wire->before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (wire->before < 0)
		return err_set(err, ENOTSUP, "/proc/thread-self/ns/net: %s", strerror(errno));
	if (unshare(CLONE_NEWNET)) {
		ret = errno;
		close(wire->before);
		wire->before = -1;
		return err_set(err, ENOTSUP, "no network namespace can be had: %s%s", strerror(ret),
			       ret == EPERM ? "; it needs root" : "");
	}
	ret = make_tap(wire);
	if (!ret)
		ret = set_up(wire);
	return ret ? err_set(err, ENOTSUP, "no tap can be had: %s", strerror(-ret)) : 0;
}

void wire_close(struct wire *wire)
{
	wire_quiet(wire);
	if (wire->packet >= 0)
		close(wire->packet);
	if (wire->tap >= 0)
		close(wire->tap);
	if (wire->before >= 0) {
		(void)setns(wire->before, CLONE_NEWNET);
		close(wire->before);
	}
	wire->before = wire->tap = wire->packet = -1;
}

/* --- the flood ------------------------------------------------------------------------------- */

static void *flood(void *arg)
{
	static const uint8_t addresses[] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
	struct wire *wire = arg;
	uint8_t frame[2048] = { 0 };
	struct iovec piece = { frame, wire->bytes };
	struct mmsghdr burst[BURST] = { 0 };

	memcpy(frame, addresses, sizeof(addresses));
	for (unsigned int i = 0; i < BURST; i++)
		burst[i].msg_hdr = (struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1 };
	/* ENOBUFS: there is no more room; whoever makes room shall run. */
	while (!__atomic_load_n(&wire->stop, __ATOMIC_ACQUIRE)) {
		if (sendmmsg(wire->packet, burst, BURST, 0) < (int)BURST)
			sched_yield();
	}
	return NULL;
}

int wire_flood(struct wire *wire, unsigned int bytes)
{
	int ret;

	if (wire->floods || bytes > 2048)
		return -EINVAL;
	wire->bytes = bytes;
	wire->stop = false;
	ret = pthread_create(&wire->thread, NULL, flood, wire);
	wire->floods = !ret;
	return -ret;
}

void wire_quiet(struct wire *wire)
{
	if (!wire->floods)
		return;
	__atomic_store_n(&wire->stop, true, __ATOMIC_RELEASE);
	pthread_join(wire->thread, NULL);
	wire->floods = false;
}

/* --- the floor ------------------------------------------------------------------------------- */

static int wait_for_frames(int tap)
{
	struct pollfd poll_fd = { .fd = tap, .events = POLLIN };

	return poll(&poll_fd, 1, 10) < 0 && errno != EINTR ? -errno : 0;
}

static int one(const struct wire *wire, bool receive, const void *frame, unsigned int bytes,
	       uint64_t *done)
{
	const size_t size = (size_t)bytes + WIRE_HEADER;
	uint8_t buffer[2048 + WIRE_HEADER];
	ssize_t n =
		receive ? read(wire->tap, buffer, sizeof(buffer)) : write(wire->tap, frame, size);

	if (n < 0 && errno == EAGAIN && receive)
		return wait_for_frames(wire->tap);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	*done += n == (ssize_t)size;
	return 0;
}

int wire_floor(struct wire *wire, bool receive, const void *frame, unsigned int bytes,
	       double seconds, struct io_result *result)
{
	double start, cpu, end;
	uint64_t done = 0;
	int ret = attach(&wire->tap);

	if (!ret && receive)
		ret = wire_flood(wire, bytes);
	start = end = clock_ns(CLOCK_MONOTONIC);
	cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	while (!ret && (end - start) / 1e9 < seconds) {
		for (unsigned int i = 0; !ret && i < BURST; i++)
			ret = one(wire, receive, frame, bytes, &done);
		end = clock_ns(CLOCK_MONOTONIC);
	}
	cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	wire_quiet(wire);
	if (wire->tap >= 0)
		close(wire->tap);
	wire->tap = -1;
	*result = (struct io_result){ .rate = (double)done / (end - start) * 1e9,
				      .cpu_us = cpu / 1e3 / (double)done };
	return ret || done ? ret : -ENODATA;
}
