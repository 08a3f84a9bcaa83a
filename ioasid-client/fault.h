/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of devices: one descriptor of the context to poll, decoded records, and answers where the
 * hardware waits for one. ioasid_ctx_caps says which faults a provider can report at all: no Linux
 * interface reports blocked DMA other than page requests.
 */
#ifndef ADIT_IOASID_CLIENT_FAULT_H
#define ADIT_IOASID_CLIENT_FAULT_H

#include "ioasid-client/types.h"

struct ioasid_fault {
	char label[64];	      /* of the device */
	uint32_t host_pasid;  /* or IOASID_PASID_NONE */
	uint32_t guest_pasid; /* what is bound to it, or IOASID_PASID_NONE where unknown */
	uint64_t iova;
	uint64_t length;     /* 0: unknown */
	unsigned int rights; /* that were asked for: IOASID_READ, _WRITE, _EXEC, _PRIVILEGED */
	/*
	 * A page request: the device waits for ioasid_fault_respond with this cookie. Requests of
	 * one group have one cookie and are answered once.
	 */
	bool waits;
	bool last; /* the last of its group */
	uint32_t page_group;
	uint64_t cookie;
};

enum ioasid_response {
	IOASID_RESPONSE_RETRY,	/* the page is there now: the device tries again */
	IOASID_RESPONSE_INVALID /* it is not, and the access fails */
};

/* Becomes readable when there are faults. -EOPNOTSUPP. Stays the context's. */
int ioasid_faults_fd(struct ioasid_ctx *ctx, int *fd, struct err *err);
/*
 * Takes up to n faults, never waits; *got is 0 where there are none. *lost (may be NULL) receives
 * how many were lost since the last call because nobody read.
 */
int ioasid_faults_read(struct ioasid_ctx *ctx, struct ioasid_fault *faults, size_t n, size_t *got,
		       uint64_t *lost, struct err *err);
/*
 * Records what a device was refused before it became an access, so that whoever reads faults sees
 * it: a submission under a guest PASID that stands for nothing. Nothing happens where the provider
 * makes no records of its own.
 */
void ioasid_fault_note(const struct ioasid_device *device, uint32_t guest_pasid, uint64_t iova,
		       unsigned int rights);
/*
 * -ENOENT: nobody waits for that cookie: answered already, or the space was detached, replaced or
 * destroyed, which answers INVALID.
 */
int ioasid_fault_respond(struct ioasid_ctx *ctx, uint64_t cookie, enum ioasid_response response,
			 struct err *err);

#endif
