/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the soft provider share: soft.c (management), soft-dma.c (what engines call),
 * soft-walk.c (tables of guests), soft-fault.c (records and page requests), soft-dirty.c (logs),
 * soft-remote.c (memory that is reached by calls).
 */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_SOFT_H
#define ADIT_IOASID_CLIENT_PROVIDERS_SOFT_H

#include "ioasid-client/provider.h"
#include "ioasid-client/providers/soft-map.h"
#include "util/epoch.h"

#define SOFT_PAGE_SHIFT 12

struct soft_dirty;
struct soft_faults;

/*
 * Generations make IOTLB entries stale. They grow after something was unlinked and before the
 * wait for open sections; an entry keeps the generations that were read before its walk. So an
 * entry filled from what is gone never matches again once the wait is over.
 */
struct soft_ctx {
	struct epoch epoch;
	struct soft_faults *faults;
	/* Atomic, on a line of their own: every translation reads them. */
	_Alignas(64) uint64_t generation; /* of who is attached where */
	bool blocked;
};

struct soft_device {
	struct ioasid_range iova, reserved;
	/* Atomic: where DMA without a PASID goes: the space of the device or of its group. */
	const struct ioasid_space *reach;
};

struct soft_space {
	struct soft_map map;
	uint64_t generation;	   /* atomic; of what is mapped, in its parent as well */
	struct soft_space *parent; /* of a nested space */
	struct ioasid_nesting nesting;
	struct soft_dirty *dirty;	    /* NULL: it has no log */
	bool tracking;			    /* atomic */
	bool faults;			    /* its page requests are reported */
	const struct ioasid_remote *remote; /* NULL: what is not mapped is not there */
};

/* Host memory behind an address, in bytes. */
struct soft_found {
	uint64_t first, last;	/* IOVAs, inclusive */
	char *hva;		/* of first */
	unsigned int rights;	/* what may be done there */
	unsigned int cached;	/* of these, what an IOTLB may allow without another look */
	struct soft_dirty *log; /* writes go into it */
	uint64_t log_first;	/* what first is there */
};

static inline uint64_t soft_extent_iova(const struct soft_extent *extent)
{
	return extent->first << SOFT_PAGE_SHIFT;
}

static inline uint64_t soft_extent_end(const struct soft_extent *extent)
{
	return extent->last << SOFT_PAGE_SHIFT | (IOASID_PAGE_SIZE - 1);
}

/* --- soft-walk.c: inside a section ----------------------------------------------------------- */

/*
 * What is found at the address in a nested space for an access with these rights; sets accessed
 * and dirty bits as the hardware does. False: nothing, or not with these rights.
 */
bool soft_walk(const struct soft_space *space, uint64_t iova, unsigned int rights,
	       struct soft_found *found);
/* The same in a space that maps memory itself; what is found may lack rights. */
bool soft_look(const struct soft_space *space, uint64_t iova, struct soft_found *found);

/* --- soft-dirty.c: no locks ------------------------------------------------------------------ */

struct soft_dirty *soft_dirty_new(void); /* NULL: no memory */
void soft_dirty_free(struct soft_dirty *dirty);
void soft_dirty_mark(struct soft_dirty *dirty, uint64_t iova, uint64_t len);
void soft_dirty_read(struct soft_dirty *dirty, const struct ioasid_dirty *out);
void soft_dirty_clear(struct soft_dirty *dirty);

/* --- soft-fault.c ---------------------------------------------------------------------------- */

struct soft_access {
	struct ioasid_dma *dma;
	const struct ioasid_device *device;
	const struct ioasid_space *space; /* NULL: blocked */
	uint32_t pasid;
	uint64_t iova, len;
	unsigned int rights;
};

int soft_faults_new(struct soft_faults **out);
void soft_faults_free(struct soft_faults *faults);
/* Of a blocked access, inside its section. The cookie to wait for, or 0. */
uint64_t soft_fault_report(struct soft_faults *faults, const struct soft_access *access);
/* Whom an answer is told to. Nobody is told while it is set. */
struct soft_hook {
	void (*fn)(void *arg);
	void *arg;
};
void soft_faults_hook(struct soft_faults *faults, struct soft_hook *hook, struct soft_hook value);
void soft_fault_drop(struct soft_faults *faults, uint64_t cookie);
/* Answers INVALID to what waits: of the device under the PASID; of the handle. */
void soft_faults_cancel(struct soft_faults *faults, const struct ioasid_device *device,
			uint32_t pasid);
void soft_faults_refuse(struct soft_faults *faults, const struct ioasid_dma *dma);
/* 0: retry. -EFAULT: invalid, or no such request. -EAGAIN: it still waits. Forgets it otherwise. */
int soft_fault_answer(struct soft_faults *faults, uint64_t cookie, bool wait);
/* The handle goes, and its requests with it. */
void soft_faults_close(struct soft_faults *faults, const struct ioasid_dma *dma);

int soft_faults_fd(struct ioasid_ctx *ctx, int *fd, struct err *err);
int soft_faults_read(struct ioasid_ctx *ctx, struct ioasid_fault *faults, size_t n, size_t *got,
		     uint64_t *lost, struct err *err);
void soft_fault_note(const struct ioasid_device *device, uint32_t guest_pasid, uint64_t iova,
		     unsigned int rights);
int soft_fault_respond(struct ioasid_ctx *ctx, uint64_t cookie, enum ioasid_response response,
		       struct err *err);

/* --- soft-remote.c --------------------------------------------------------------------------- */

/* Copies of remote memory that a section works on. */
struct soft_copies {
	struct soft_copy *first, **last;
	uint64_t failed; /* where the last section's writing back ended */
};
void soft_copies_init(struct soft_copies *copies);
/* As ioasid_translate, for an address of a remote space where nothing is mapped. */
void *soft_copy_in(struct soft_copies *copies, const struct soft_space *space, uint64_t iova,
		   uint64_t *len, unsigned int rights);
/* Writes back what was changed, and forgets all copies. 0 or -EFAULT. */
int soft_copies_out(struct soft_copies *copies);

/* --- soft-dma.c ------------------------------------------------------------------------------ */

/* Which space the device reaches under the PASID now; NULL: blocked. Inside a section. */
const struct ioasid_space *soft_space_of(struct ioasid_ctx *ctx, const struct ioasid_device *device,
					 uint32_t pasid);
/* With the lock of faults. */
struct soft_hook soft_dma_hook(const struct ioasid_dma *dma);
/* Its page requests are answered at once: ioasid_dma_refuse. */
bool soft_dma_refuses(const struct ioasid_dma *dma);

#endif
