/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's RPC as a hostile client speaks it: any bytes in any pieces. What comes back is whole
 * frames, one answer for each call at most, and a read-only client has changed nothing. Nothing is
 * kept and nothing can be run, so an input depends on itself alone. Anything else aborts.
 *
 * The first byte: bit 0 read-only, the rest the size of a piece less one. An input that ends in
 * 0xfd has three descriptors on their way before it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvirt-driver/daemon.h"
#include "libvirt-driver/domain.h"
#include "libvirt-driver/session.h"
#include "libvirt-driver/wire.h"
#include "util/bits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int true_now)
{
	if (!true_now)
		abort();
}

/* All that waits, frame by frame. Returns how many replies there were. */
static size_t check_frames(struct session *session)
{
	size_t left, replies = 0;
	const uint8_t *at = session_pending(session, &left);

	while (left) {
		uint32_t len = left < 4 ? 0 : wire_length(at, WIRE_MAX_MESSAGE);
		struct wire_header header;
		struct xdr_in in;

		must(len && len <= left);
		xdr_in_begin(&in, at + 4, len - 4);
		wire_get_header(&in, &header);
		must(!in.bad);
		must(header.type == WIRE_REPLY || header.type == WIRE_MESSAGE);
		must(header.status == WIRE_OK || header.status == WIRE_ERROR);
		replies += header.type == WIRE_REPLY;
		at += len;
		left -= len;
	}
	return replies;
}

static size_t run(const uint8_t *bytes, size_t n, size_t piece, bool readonly)
{
	struct daemon daemon = { 0 };
	const struct session_options options = { .readonly = readonly };
	struct session *session;
	size_t replies;

	must(!session_create(&session, &daemon, &options));
	for (int i = 0; n && bytes[n - 1] == 0xfd && i < 3; i++)
		must(!session_give(session, dup(STDERR_FILENO)) == !readonly);
	for (size_t at = 0; at < n && !session_is_over(session); at += piece)
		session_feed(session, bytes + at, MIN(piece, n - at));
	replies = check_frames(session);
	/* The shortest call is a header. */
	must(replies <= n / WIRE_HEADER);
	must(!readonly || !daemon.n_domains);
	for (struct domain *domain = daemon.domains; domain; domain = domain->next)
		must(domain->kept && !domain->live && !domain->run);
	session_destroy(session);
	domains_free(&daemon);
	must(!daemon.sessions && !daemon.n_domains && !daemon.associations);
	return replies;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool readonly;

	if (size < 2)
		return 0;
	readonly = data[0] & 1;
	must(run(data + 1, size - 1, size, readonly) ==
	     run(data + 1, size - 1, 1u + (data[0] >> 1), readonly));
	return 0;
}
