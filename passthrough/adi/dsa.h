/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual DSA function (8086:0b25) composed in user space: registers, commands, work queues and
 * portals toward the guest; a software engine behind them whose every access goes through
 * ioasid_translate.
 *
 * Keys. A descriptor with a PASID (WQCFG's on a dedicated queue, its own on a shared one) runs only
 * where the ADI may use PASIDs (dsa_options.pasid.allow) and the PASID is bound (dsa_pasid_bind).
 * One without a PASID runs under its queue's default binding (dsa_default_bind), inside that space.
 * Only an ADI without pasid.allow that never had a default binding sees all guest memory. What is
 * refused reaches nothing: it is reported in SWERR or the event log, logged and counted.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0); registers named as there.
 */
#ifndef ADIT_PASSTHROUGH_ADI_DSA_H
#define ADIT_PASSTHROUGH_ADI_DSA_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/log.h"
#include "util/state.h"

struct dsa;
struct dsa_descriptor;
struct dsa_record;
struct epoch;
struct idxd_spawner;
struct ioasid_ctx;
struct ioasid_space;
struct pci_function;
struct sandbox;
struct vm;

#define DSA_MAX_PIECES	32u /* of guest memory, that one space maps */
#define DSA_MAX_WQS	16u
#define DSA_MAX_WQ_SIZE 128u /* entries, over all queues of a function */
#define DSA_MAX_ENGINES 4u

enum dsa_backend {
	DSA_BACKEND_SOFT, /* a software engine here */
	DSA_BACKEND_IDXD, /* a host work queue, through a helper process for each PASID */
	DSA_BACKEND_VFIO, /* a whole DSA function that this process owns */
};
/* "soft", "idxd", "vfio". */
const char *dsa_backend_name(enum dsa_backend backend);
/* What stands between a descriptor's DMA and the rest of memory, as in ioasid-client. */
const char *dsa_backend_isolation(enum dsa_backend backend);

/* A part of guest memory: `size` bytes at iova are `fd` from fd_offset on. */
struct dsa_piece {
	uint64_t iova, size;
	int fd;
	uint64_t fd_offset;
	unsigned int rights; /* IOASID_READ, IOASID_WRITE */
};

/* A queue of the function that is lent to a host PASID. */
struct dsa_lane {
	unsigned int queue;
	struct dsa_record *record; /* the only one that its descriptors write... */
	uint64_t record_iova;	   /* ...here, outside of guest memory */
};

/* DSA_BACKEND_VFIO: the function, as its owner gives it (dsa-owner.h). */
struct dsa_port {
	/*
	 * Lends a queue whose descriptors run under that PASID, in what stands for the space in the
	 * device's IOMMU; pieces: what the space maps.
	 */
	int (*attach)(void *arg, uint32_t host, const struct ioasid_space *space,
		      const struct dsa_piece *pieces, unsigned int n, struct dsa_lane *lane,
		      struct err *err);
	/* Takes it back: nothing of it runs, and the space is out of reach, when it returns. */
	void (*detach)(void *arg, const struct dsa_lane *lane);
	/* 64 bytes to the queue: 0, or -errno where it was lost more often than `losses`. */
	int (*submit)(void *arg, const struct dsa_lane *lane, uint64_t losses,
		      const struct dsa_descriptor *descriptor);
	/* Ends what the queue runs, and no other queue's; nothing is written when it returns. */
	void (*abort)(void *arg, const struct dsa_lane *lane);
	/* How often the function was reset under everybody. Grows; what ran has ended by then. */
	uint64_t (*losses)(void *arg);
	/* Called by who waits for a record: looks whether the function still works. */
	void (*look)(void *arg);
	void *arg;
};

/* What the back ends on real devices need; all of it outlives the function. */
struct dsa_host {
	/* What a space maps, ascending: 0 or -errno with a sentence. */
	int (*reach)(void *arg, const struct ioasid_space *space, struct dsa_piece *pieces,
		     unsigned int *n, struct err *err);
	void *reach_arg;
	const char *node;	     /* DSA_BACKEND_IDXD: /dev/dsa/wqN.M */
	const struct dsa_port *port; /* DSA_BACKEND_VFIO */
};

struct dsa_options {
	const char *id; /* 1 to 63 characters; names the function and the ioasid device label */
	unsigned int wqs;
	struct {
		unsigned int size; /* entries */
		bool shared;
		unsigned int threshold; /* shared: entries that limited portals may fill; 0: all */
		unsigned int group;	/* fixed: below engines */
	} wq[DSA_MAX_WQS];
	/*
	 * On real devices descriptors without a PASID run under a default binding or not at all:
	 * such a function never sees all guest memory.
	 */
	enum dsa_backend backend;
	struct dsa_host host;
	unsigned int engines; /* 1 to DSA_MAX_ENGINES; fixed: engine e serves group e % groups */
	/* The guest finds queues and groups configured and cannot change them. */
	bool fixed;
	bool interrupt_handles; /* the guest asks for them (commands 13 and 14) */
	bool event_log;
	struct {
		bool allow;
		unsigned int width; /* bits, 1 to 20 */
	} pasid;
	const struct log *log;
	const struct sandbox *sandbox; /* for the engines' threads */
	/* Who starts the helpers of a host work queue; borrowed. NULL: they are this process's. */
	struct idxd_spawner *spawner;
};

/*
 * Makes the function and binds the device to ctx; default_space (all guest memory) is attached as
 * its RID space. The caller adds dsa_function() to a bus, which then owns the object: removing the
 * function from its bus frees it. vm is used for the submission epoch; MSIs are
 * the bus's.
 */
int dsa_create(struct dsa **out, struct vm *vm, struct ioasid_ctx *ctx,
	       struct ioasid_space *default_space, const struct dsa_options *options,
	       struct err *err);
/* The same without a VM: for a function that is exported (pci_function_export). */
int dsa_create_apart(struct dsa **out, struct epoch *epoch, struct ioasid_ctx *ctx,
		     struct ioasid_space *default_space, const struct dsa_options *options,
		     struct err *err);
struct pci_function *dsa_function(struct dsa *dsa);

/*
 * The second key: guest PASID -> a host PASID attached to `space`. want_host: IOASID_PASID_NONE
 * for any. *host receives the number, may be NULL. Refused where the ADI may not use PASIDs
 * (-EPERM), past its width (-ERANGE), or bound already (-EEXIST).
 */
int dsa_pasid_bind(struct dsa *dsa, uint32_t guest, struct ioasid_space *space, uint32_t want_host,
		   uint32_t *host, struct err *err);
/*
 * Running descriptors of the PASID have ended or failed when it returns: they take a page fault
 * where they are, within 1 MiB of work. Outside a section. -ENOENT.
 */
int dsa_pasid_unbind(struct dsa *dsa, uint32_t guest, struct err *err);

/*
 * Descriptors without a PASID on that queue, or on all that have no binding of their own
 * (DSA_ALL_WQS), run under a host PASID attached to `space` from now on. The first one closes the
 * ADI for good: without a binding a queue then reaches nothing, also after the last unbind.
 * -ERANGE: no such queue; -EEXIST.
 */
#define DSA_ALL_WQS DSA_MAX_WQS
int dsa_default_bind(struct dsa *dsa, unsigned int wq, struct ioasid_space *space,
		     uint32_t want_host, uint32_t *host, struct err *err);
/* As dsa_pasid_unbind. */
int dsa_default_unbind(struct dsa *dsa, unsigned int wq, struct err *err);
/* What is bound, to be walked and not changed; NULL where the ADI may not use PASIDs. */
struct pasid_table;
struct pasid_table *dsa_pasid_table(struct dsa *dsa);

/*
 * DSA_BACKEND_VFIO: the function behind it was reset under everybody (dsa_port.losses): this one
 * halts and says so to its guest, once for each time. Any thread, in no section.
 */
void dsa_lost(struct dsa *dsa);

/*
 * Stops and starts the engines (vm.pause). stop returns when they rest, within 1 MiB of work: a
 * descriptor or batch under way goes on after the start. Stops nest.
 */
void dsa_engines_stop(struct dsa *dsa);
void dsa_engines_start(struct dsa *dsa);

/*
 * The section "adi ID", while engines are stopped; DSA_BACKEND_SOFT. Ends what engines have begun:
 * -EBUSY where that does not end. Loaded into a function on its bus that no guest has seen, with
 * its bindings made and its engines stopped: -EPROTO where the state holds a PASID that they do not
 * grant, and for the reasons for which the device would refuse its guest.
 */
int dsa_save(struct dsa *dsa, struct state_out *out, struct err *err);
int dsa_load(struct dsa *dsa, struct state_in *in);

struct dsa_counters {
	uint64_t accepted, completed, failed;
	uint64_t aborted; /* by a command or a reset: neither completed nor failed */
	uint64_t refused_key, refused_width, refused_unbound;
	uint64_t faults;	/* descriptors that met memory which their PASID does not reach */
	uint64_t dropped;	/* portal writes that reached no enabled queue, or a full one */
	uint64_t retried;	/* ENQCMD and ENQCMDS that were told to try again */
	uint64_t bytes;		/* moved, also by descriptors that failed later */
	uint64_t without_pasid; /* of accepted: under a default binding, or in all guest memory */
	uint64_t interrupts;
	uint64_t queued, running; /* now: the depth of its queues, and what engines have */
};
void dsa_counters_read(struct dsa *dsa, struct dsa_counters *counters);

#endif
