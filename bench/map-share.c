/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a space costs that many share, in adit bench map: a device that comes to 15 others in a
 * space of 65536 mappings, beside one that comes alone; a host PASID beside a thousand others. Of
 * the soft provider, in CPU time of the thread; detaching is in it, for each comes to what it was.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench/clock.h"
#include "bench/map.h"
#include "util/bits.h"

#define OTHERS	 15u
#define PASIDS	 1000u
#define MAPPINGS 65536u
#define PAIRS	 1000u

enum row {
	DEVICE,
	PASID,
	ROWS
};

enum company {
	SHARED,
	ALONE,
	COMPANIES
};

struct share {
	struct ioasid_ctx *ctx;
	struct ioasid_space *space[COMPANIES];
	struct ioasid_device *guest[COMPANIES]; /* which comes and goes */
};

static int bind(struct share *share, const char *label, struct ioasid_device **device,
		struct err *err)
{
	const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT,
					      .soft = { .pasid_width = 20 } };

	return ioasid_bind(share->ctx, &source, label, device, err);
}

static int make_space(struct share *share, enum company company, struct err *err)
{
	const struct ioasid_space_options options = { .name = company ? "alone" : "shared",
						      .pasid_capable = true };
	int r = ioasid_alloc(share->ctx, &options, &share->space[company], err);

	for (uint64_t i = 0; !r && i < MAPPINGS; i++)
		r = ioasid_map_hva(share->space[company], i * 8192, 4096,
				   (char *)0x100000000000 + i * 8192, IOASID_READ, err);
	if (!r)
		r = bind(share, company ? "one" : "another", &share->guest[company], err);
	return r;
}

static int add_others(struct share *share, struct err *err)
{
	struct ioasid_device *device = NULL;
	struct ioasid_pasid *pasid;
	char label[16];
	int r = 0;

	for (unsigned int i = 0; !r && i < OTHERS; i++) {
		snprintf(label, sizeof(label), "other %u", i);
		r = bind(share, label, &device, err);
		if (!r)
			r = ioasid_attach(device, share->space[SHARED], err);
	}
	for (unsigned int i = 0; !r && i < PASIDS; i++)
		r = ioasid_pasid_attach(device, share->space[SHARED], IOASID_PASID_NONE, &pasid,
					err);
	return r;
}

static int share_turn(struct turn *turn, struct err *err)
{
	struct share *share = turn->opaque;
	struct ioasid_space *space = share->space[turn->party];
	struct ioasid_device *device = share->guest[turn->party];
	struct ioasid_pasid *pasid;
	double start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	int r = 0;

	for (unsigned int i = 0; !r && i < PAIRS; i++) {
		r = ioasid_attach(device, space, err);
		if (!r)
			r = ioasid_detach(device, err);
	}
	turn_put(turn, DEVICE, (clock_ns(CLOCK_THREAD_CPUTIME_ID) - start) / 1e3 / PAIRS);
	start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	for (unsigned int i = 0; !r && i < PAIRS; i++) {
		r = ioasid_pasid_attach(device, space, IOASID_PASID_NONE, &pasid, err);
		if (!r)
			ioasid_pasid_detach(pasid);
	}
	turn_put(turn, PASID, (clock_ns(CLOCK_THREAD_CPUTIME_ID) - start) / 1e3 / PAIRS);
	return r;
}

int bench_map_share(struct bench_run *run, struct err *err)
{
	static const struct contest_row rows[ROWS] = {
		[DEVICE] = { .name = "soft: attach + detach, 15 other devices", .unit = "us" },
		[PASID] = { .name = "soft: PASID attach + detach, 1000 others", .unit = "us" },
	};
	struct share share = { 0 };
	struct contest contest = {
		.name = "sharing",
		.parties = { "adit", "alone" },
		.party_count = COMPANIES,
		.rows = rows,
		.row_count = ROWS,
		.warm_up = 1,
		.turn = share_turn,
		.opaque = &share,
	};
	int r = ioasid_ctx_open(&share.ctx, IOASID_PROVIDER_SOFT, NULL, err);

	if (r)
		return r;
	for (int company = 0; !r && company < COMPANIES; company++)
		r = make_space(&share, company, err);
	if (!r)
		r = add_others(&share, err);
	if (!r)
		r = contest_hold(&contest, run, err);
	ioasid_ctx_close(share.ctx);
	return r;
}
