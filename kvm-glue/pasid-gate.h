/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate that a submission with a PASID passes between the trapped portal and an ADI. Two keys
 * open it, and neither implies the other: the ADI was allowed to use PASIDs, and the guest PASID
 * is bound to a host PASID. The table lives elsewhere (ioasid-client/pasid-table.h); what it says
 * is brought here as a plain value, as KVM_MAP_PASID would have brought it to the kernel.
 */
#ifndef ADIT_KVM_GLUE_PASID_GATE_H
#define ADIT_KVM_GLUE_PASID_GATE_H

#include <stdbool.h>
#include <stdint.h>

#define PASID_MAX_WIDTH 20 /* PCIe 6.0 section 10.5.1.2: 20-bit field */

enum pasid_verdict {
	PASID_ADMIT,
	PASID_REFUSE_KEY,     /* the ADI was not allowed to use PASIDs */
	PASID_REFUSE_WIDTH,   /* 0, or past the ADI's width */
	PASID_REFUSE_UNBOUND, /* no host PASID is bound to it */
	PASID_VERDICTS
};

/* One per ADI. Zero-initialised: closed. */
struct pasid_gate {
	bool allow;    /* the first key; set before the ADI is visible to the guest */
	uint8_t width; /* bits of a guest PASID, 1 to PASID_MAX_WIDTH */
	uint64_t count[PASID_VERDICTS]; /* atomic, for metrics */
};

/* host: what the table binds to `guest`, 0 for nothing (0 is never a host PASID here). */
static inline enum pasid_verdict pasid_gate_pass(struct pasid_gate *gate, uint32_t guest,
						 uint32_t host)
{
	enum pasid_verdict verdict = PASID_ADMIT;

	if (!gate->allow)
		verdict = PASID_REFUSE_KEY;
	else if (!guest || guest >> gate->width)
		verdict = PASID_REFUSE_WIDTH;
	else if (!host)
		verdict = PASID_REFUSE_UNBOUND;
	__atomic_fetch_add(&gate->count[verdict], 1, __ATOMIC_RELAXED);
	return verdict;
}

#endif
