/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second part of adit bench io: frames from a guest that polls, and to it (tests/guest/payload/
 * netload.c), through a tap: under `adit run`, under QEMU's microvm where that is installed, and by
 * a thread at the tap itself; and once more with vhost-net, where the host has it. In a network
 * namespace of its own, so that nothing of the host's network sees them: they are for nobody, and
 * the kernel drops them. Needs root.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/host.h"
#include "bench/io-guest.h"
#include "bench/io.h"
#include "bench/microvm-flat.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "bench/wire.h"
#include "util/bits.h"

#define ROW_SECONDS 0.06
#define DEPTH	    64u
#define MAC	    "02:00:00:00:00:02"

#define VHOST "/dev/vhost-net"

enum party {
	ADIT,
	QEMU,
	TAP /* of the contest with vhost-net: adit once more, without */
};

static const struct frames {
	const char *name;
	unsigned int bytes;
	bool receive, segments;
} frames[] = {
	{ "send 64 bytes", 64, false, false },
	{ "send 1514 bytes", 1514, false, false },
	{ "send 64 KB in segments", 65494, false, true },
	{ "receive 64 bytes", 64, true, false },
	{ "receive 1514 bytes", 1514, true, false },
};

struct net {
	const struct bench_options *options;
	struct wire wire;
	bool vhost; /* the contest with it */
	char work[PATH_MAX - 16], config[PATH_MAX], vhost_config[PATH_MAX], words[512];
	double cycles_second;
	int flooded; /* what became of the last flood */
};

static void put(struct turn *turn, unsigned int i, const struct io_result *result)
{
	double by = frames[i].bytes <= 64 ? 1e-3 : frames[i].bytes / 1e6;

	turn_put(turn, 2 * i, result->rate * by);
	turn_put(turn, 2 * i + 1, result->cpu_us);
}

static void during(struct turn *turn, unsigned int i, bool begins)
{
	struct net *net = turn->opaque;

	if (!frames[i].receive)
		return;
	if (begins)
		net->flooded = wire_flood(&net->wire, frames[i].bytes);
	else
		wire_quiet(&net->wire);
}

static int run_guest(struct turn *turn, char *const argv[], int good, struct err *err)
{
	struct net *net = turn->opaque;
	const struct io_guest guest = { .rows = ARRAY_SIZE(frames),
					.cycles_second = net->cycles_second,
					.put = put,
					.during = during };
	int ret;

	net->flooded = 0;
	ret = io_guest_run(turn, argv, good, &guest, err);
	/* Of a guest that ended in the middle. */
	wire_quiet(&net->wire);
	if (net->flooded)
		return err_set(err, -net->flooded, "no thread can be had that sends frames: %s",
			       strerror(-net->flooded));
	return ret;
}

static int run_adit(struct turn *turn, bool vhost, struct err *err)
{
	struct net *net = turn->opaque;
	char adit[PATH_MAX];
	char *argv[] = { adit, (char *)"run", vhost ? net->vhost_config : net->config, NULL };

	snprintf(adit, sizeof(adit), "%.4000s/adit", net->options->build);
	return run_guest(turn, argv, 0, err);
}

#define NETDEV "tap,id=n,ifname=" WIRE_TAP ",script=no,downscript=no,vnet_hdr=on"

static int run_qemu(struct turn *turn, struct err *err)
{
	static const char nic[] = "virtio-net-device,netdev=n,mac=" MAC;
	struct net *net = turn->opaque;
	char payload[PATH_MAX], words[sizeof(net->words) + 32];
	struct microvm_flat flat;
	int ret;

	if (!child_on_path(MICROVM_PROGRAM))
		return err_set(err, ENOTSUP, "there is no " MICROVM_PROGRAM);
	snprintf(payload, sizeof(payload), "%.4000s/guest/netload.bin", net->options->build);
	snprintf(words, sizeof(words), "%s mmio=%#x", net->words, MICROVM_MMIO_BASE);
	ret = microvm_flat(&flat, net->work, payload, words, "128M");
	if (ret)
		return err_set(err, -ret, "%s: %s", net->work, strerror(-ret));
	microvm_flat_add(&flat,
			 (const char *const[]){ "-netdev", net->vhost ? NETDEV ",vhost=on" : NETDEV,
						"-device", nic, NULL });
	ret = run_guest(turn, flat.argv, 1, err);
	/* Its microvm's transport and the kernel's rings do not always agree: that is no failure.
	 */
	return ret && net->vhost ? -ENOTSUP : ret;
}

/* As the payload fills its frames. */
static void fill_frame(uint8_t *at, const struct frames *row)
{
	static const uint8_t addresses[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5 };
	static const uint8_t header[] = { 1, 1, 54, 0, 1448 & 0xff, 1448 >> 8, 34, 0, 16, 0 };
	static const uint8_t segments[] = {
		0x08,
		0x00,
		0x45,
		0,
		(65494 - 14) >> 8,
		(65494 - 14) & 0xff,
		0,
		0,
		0,
		0,
		64,
		6,
		0,
		0,
		10,
		0,
		0,
		1,
		10,
		0,
		0,
		2,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0x50,
		0x10,
	};

	memcpy(at + WIRE_HEADER, addresses, sizeof(addresses));
	if (!row->segments)
		return;
	memcpy(at, header, sizeof(header));
	memcpy(at + WIRE_HEADER + 12, segments, sizeof(segments));
}

static int run_floor(struct turn *turn, struct err *err)
{
	static uint8_t frame[WIRE_HEADER + WIRE_MOST];
	struct net *net = turn->opaque;

	for (unsigned int i = 0; i < ARRAY_SIZE(frames); i++) {
		struct io_result result;
		int ret;

		turn_state(turn, "the tap, %s", frames[i].name);
		memset(frame, 0, WIRE_HEADER + 64);
		fill_frame(frame, &frames[i]);
		ret = wire_floor(&net->wire, frames[i].receive, frame, frames[i].bytes, ROW_SECONDS,
				 &result);
		if (ret)
			return err_set(err, -ret, "the tap, %s: %s", frames[i].name,
				       strerror(-ret));
		put(turn, i, &result);
	}
	return 0;
}

static int net_turn(struct turn *turn, struct err *err)
{
	const struct net *net = turn->opaque;

	switch (turn->party) {
	case ADIT:
		return run_adit(turn, net->vhost, err);
	case QEMU:
		return run_qemu(turn, err);
	default:
		return net->vhost ? run_adit(turn, false, err) : run_floor(turn, err);
	}
}

static int write_config(const struct net *net, const char *path, bool vhost, struct err *err)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return err_set(err, errno, "%s: %s", path, strerror(errno));
	fprintf(file,
		"{\"payload\": {\"flat\": \"%s/guest/netload.bin\", \"address\": \"2M\", "
		"\"cmdline\": \"%s\"}, \"memory\": {\"size\": \"128M\", \"shared\": false}, "
		"\"debug_exit\": true, \"serial\": {\"mode\": \"Tty\"}, \"net\": [{\"tap\": \"" WIRE_TAP
		"\", \"mac\": \"" MAC "\", \"vhost\": %s}]}",
		net->options->build, net->words, vhost ? "true" : "false");
	return fclose(file) ? err_set(err, EIO, "%s: it cannot be written", path) : 0;
}

static int prepare(struct net *net, struct bench_run *run, struct err *err)
{
	int ret = watch_scratch(run->watch, net->options->directory, net->work, sizeof(net->work),
				err);
	size_t n = 0;

	if (ret)
		return ret;
	snprintf(net->config, sizeof(net->config), "%s/config", net->work);
	snprintf(net->vhost_config, sizeof(net->vhost_config), "%s/vhost", net->work);
	for (unsigned int i = 0; i < ARRAY_SIZE(frames); i++)
		n += (size_t)snprintf(net->words + n, sizeof(net->words) - n, "row%c=%#llx ",
				      (char)('a' + i),
				      (unsigned long long)frames[i].receive << 63 |
					      (unsigned long long)frames[i].segments << 62 |
					      (unsigned long long)DEPTH << 32 | frames[i].bytes);
	snprintf(net->words + n, sizeof(net->words) - n, "cycles=%.0f",
		 net->cycles_second * ROW_SECONDS);
	ret = write_config(net, net->config, false, err);
	return ret ? ret : write_config(net, net->vhost_config, true, err);
}

static int measure(struct net *net, struct bench_run *run, struct err *err)
{
	struct contest_row rows[2 * ARRAY_SIZE(frames)] = { 0 };
	const char *before = net->vhost ? "vhost: " : "";
	char names[2 * ARRAY_SIZE(frames)][64];
	struct contest contest = {
		.name = net->vhost ? "vhost" : "net",
		.parties = { [ADIT] = "adit",
			     [QEMU] = "qemu-microvm",
			     [TAP] = net->vhost ? "without vhost" : "tap" },
		.peers = 1u << QEMU,
		.party_count = TAP + 1,
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.warm_up = 1,
		.turn = net_turn,
		.opaque = net,
	};

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		snprintf(names[2 * i], sizeof(names[0]), "%s%s", before, frames[i].name);
		snprintf(names[2 * i + 1], sizeof(names[0]), "%s%s: CPU of one", before,
			 frames[i].name);
		rows[2 * i] = (struct contest_row){ .name = names[2 * i],
						    .unit = frames[i].bytes <= 64 ? "k/s" : "MB/s",
						    .higher = true,
						    .target = 1.0 };
		rows[2 * i + 1] = (struct contest_row){ .name = names[2 * i + 1],
							.unit = "us",
							.target = 1.0 };
	}
	return contest_hold(&contest, run, err);
}

static int measure_both(struct net *net, struct bench_run *run, struct err *err)
{
	int ret = measure(net, run, err);

	if (ret)
		return ret;
	if (access(VHOST, R_OK | W_OK)) {
		results_note(run->results, "net: not by vhost-net: " VHOST ": %s", strerror(errno));
		return 0;
	}
	net->vhost = true;
	return measure(net, run, err);
}

int bench_io_net(struct bench_run *run, struct err *err)
{
	struct net net = { .options = run->options, .cycles_second = host_tsc_hertz() };
	int ret = wire_open(&net.wire, err);

	if (ret == -ENOTSUP) {
		results_note(run->results, "net: %s", err->text);
		*err = (struct err){ 0 };
		ret = 0;
	} else if (!ret) {
		ret = prepare(&net, run, err);
		if (!ret)
			ret = measure_both(&net, run, err);
	}
	wire_close(&net.wire);
	return ret;
}
