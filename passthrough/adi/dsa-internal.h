/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the virtual DSA know of each other's state; beside them only their tests
 * include this.
 *
 * A descriptor's way: a portal store is gathered (dsa-portal.c), judged by the two keys and made a
 * job (dsa-queue.c), taken by a back end (dsa-engine.c), carried out (dsa-ops.c), reported to the
 * guest (dsa-complete.c) and accounted for (dsa-queue.c again).
 *
 * Locks. `lock` covers registers, queues, jobs and gathered stores; it is held for short and
 * bounded work only. `keys` covers the list of bindings and is held by management threads while
 * they wait; it is taken before `lock`, and never by vCPU or engine threads. The PCI core takes its
 * bus's lock before ours, and its MSI-X lock after it. A job that is running is its engine's, but
 * for the flags marked atomic.
 */
#ifndef ADIT_PASSTHROUGH_ADI_DSA_INTERNAL_H
#define ADIT_PASSTHROUGH_ADI_DSA_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "ioasid-client/ioasid.h"
#include "kvm-glue/iomap.h"
#include "kvm-glue/pasid-gate.h"
#include "passthrough/adi/dsa-regs.h"
#include "passthrough/adi/dsa.h"
#include "passthrough/pci/pci.h"
#include "util/log.h"

struct dsa_channel;
struct dsa_channel_ops;
struct dsa_gather;
struct pasid_table;

#define DSA_MAX_XFER_SHIFT 28u	      /* 256 MiB: bounds how long a pause or a drain waits */
#define DSA_SECTION_BYTES  (1u << 20) /* of work between two looks at what was revoked */
#define DSA_READ_BUFFERS   8u	      /* per engine; the number means nothing here */

enum dsa_job_state {
	DSA_JOB_FREE,
	DSA_JOB_QUEUED,
	DSA_JOB_RUNNING,
	DSA_JOB_WAITING, /* begun; an engine holds it until its page is there, or those before it
			    end */
};

/* One accepted descriptor, with what of its queue's configuration it was accepted under. */
struct dsa_job {
	struct dsa_descriptor descriptor; /* private copy; nothing reads the guest's again */
	uint32_t host; /* PASID it runs under; IOASID_PASID_NONE: the RID space */
	uint32_t guest;
	bool guest_pasid; /* guest is one */
	uint8_t wq;
	uint8_t max_xfer_shift;
	uint8_t max_batch_shift; /* 0: no batches */
	bool block_on_fault;	 /* the queue lets descriptors wait for a page */
	uint8_t state;		 /* enum dsa_job_state */
	bool waited;		 /* the command in progress ends when this job has */
	bool abandon;		 /* atomic: stop soon and report nothing to the guest */
	bool revoked;	   /* atomic: the PASID goes away; only its record may still be written */
	bool forgotten;	   /* atomic: the PASID is gone; nothing may be reached */
	uint64_t sequence; /* grows with every job */
	/* A descriptor of a batch is carried out as a job of its own, a copy of its batch's. */
	const struct dsa_job *batch;
	uint16_t batch_index;
	TAILQ_ENTRY(dsa_job) link;
};
TAILQ_HEAD(dsa_jobs, dsa_job);

/* How a job ended. */
struct dsa_outcome {
	uint8_t status; /* enum dsa_status, with DSA_STATUS_WRITE; 0: abandoned */
	uint8_t result; /* memory move: 1 where it went from the end to the start */
	uint32_t bytes; /* batch: descriptors */
	uint64_t moved; /* bytes, of all its descriptors */
	uint64_t fault;
	union {
		uint32_t words[4]; /* as in the record */
		uint32_t invalid_flags;
		uint32_t delta_size;
		uint64_t crc;
		struct dsa_dif_tags dif[2];
	};
	uint32_t vectors; /* of a batch's descriptors, to be fired */
	bool blocked;	  /* the bus: not even a record can be written */
};

struct dsa_wq {
	uint32_t config[DSA_WQCFG_WORDS];
	bool enabled;
	unsigned int queued;
	struct dsa_jobs jobs;
	struct dsa_gather *gather; /* made by the first partial store */
};

/*
 * What carries jobs out. A back end pulls: it takes jobs (dsa_job_take), and gives every one back
 * (dsa_job_done) after it has reported its end to the guest (dsa_report_end).
 */
struct dsa_backend_ops {
	const char *name;
	/* What it can do: copied when the function is made. */
	uint64_t gencap; /* of DSA_GENCAP_BLOCK_ON_FAULT to DSA_GENCAP_CACHE_CACHE */
	unsigned int max_batch_shift;
	uint64_t (*opcap)(unsigned int word);
	/* With the lock held, on a vCPU's thread, before the first queue is enabled: 0 or -errno.
	 */
	int (*start)(struct dsa *dsa);
	/* With the lock held: there may be a job to take. */
	void (*kick)(struct dsa *dsa);
	/* Without the lock; every job was told to stop. No job is running when it returns. */
	void (*stop)(struct dsa *dsa);
	/*
	 * A host PASID comes and goes, with the keys' lock held; NULL where nothing is to be done.
	 * block: what runs under it ends soon, and nothing is written when it has returned but
	 * records; unbind: no job of it is left.
	 */
	int (*bind)(struct dsa *dsa, uint32_t host, const struct ioasid_space *space,
		    struct err *err);
	void (*block)(struct dsa *dsa, uint32_t host);
	void (*unbind)(struct dsa *dsa, uint32_t host);
	const struct dsa_channel_ops *channel; /* of back ends on real devices */
};
extern const struct dsa_backend_ops dsa_soft_backend, dsa_idxd_backend, dsa_vfio_backend;

struct dsa_binding {
	uint32_t guest;		   /* 0: a default binding */
	unsigned int wq;	   /* of which queue, DSA_ALL_WQS for all */
	struct ioasid_pasid *host; /* our attachment */
	SLIST_ENTRY(dsa_binding) link;
};
SLIST_HEAD(dsa_bindings, dsa_binding);

struct dsa_config {
	uint32_t gencfg, genctrl, intcause, cmdsts;
	uint32_t handles; /* atomic: a bit for each vector that the guest holds a handle for */
	uint64_t swerr[4];
	uint64_t evlcfg[2];
	struct {
		uint16_t head, tail;
		bool pending;
	} evl;
	uint32_t msixperm[1 + DSA_MAX_WQS];
	struct {
		uint64_t wqs, engines, flags;
	} group[DSA_MAX_ENGINES];
};

struct dsa {
	char id[64];
	const struct log *log;
	const struct sandbox *sandbox;
	struct idxd_spawner *spawner;
	struct log_limit limit;
	struct pci_function *function;
	struct ioasid_ctx *ctx;
	struct ioasid_device *device;
	struct pasid_table *table;
	struct pasid_gate gate;
	unsigned int wqs, engines, total_size;
	bool fixed, interrupt_handles, event_log;
	struct {
		unsigned int size, threshold, group;
		bool shared;
	} shape[DSA_MAX_WQS]; /* at reset */
	/* What the back end can do. */
	uint64_t gencap, opcap[4];
	unsigned int max_batch_shift;
	size_t stream_from; /* dsa_stream_from() */

	pthread_mutex_t keys;
	struct dsa_bindings bindings;

	pthread_mutex_t lock;
	pthread_cond_t rest;		    /* a job ended, or resting changed */
	bool open;			    /* descriptors without a PASID see all guest memory */
	uint32_t fallback[DSA_ALL_WQS + 1]; /* default bindings: host PASIDs, 0 for none */
	struct dsa_config config;
	struct dsa_wq wq[DSA_MAX_WQS];
	enum dsa_device_state state;
	enum dsa_reset_type reset_type;
	bool resetting;			      /* function-level reset waits: commands are ignored */
	uint32_t engine_wqs[DSA_MAX_ENGINES]; /* queues that each serves; set at ENABLE_DEVICE */
	uint32_t engine_next[DSA_MAX_ENGINES]; /* whose turn it is */

	struct {
		bool int_req;
		uint8_t code;
		uint32_t wqs;	     /* RESET_WQ */
		uint32_t result;     /* REQUEST_INT_HANDLE */
		unsigned int waited; /* jobs that it still waits for */
	} command;

	struct dsa_job *job; /* n_jobs of them */
	unsigned int n_jobs;
	struct dsa_jobs free_jobs;
	unsigned int running;
	unsigned int waiting; /* jobs that an engine holds without working at them */
	uint64_t sequence;
	unsigned int resting; /* dsa_engines_stop calls not yet undone */
	bool finishing;	      /* while resting: engines end what they hold, and take nothing */

	const struct dsa_backend_ops *backend;
	void *backend_state; /* NULL: not started */
	struct dsa_host host;
	struct dsa_channel *channels; /* of back ends on real devices */
	uint64_t losses;	      /* of host.port that the guest knows of */
	struct ioasid_dma *log_dma;   /* with the lock; NULL: no event log */

	struct dsa_counters counters; /* atomic */
};

static inline void dsa_count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline uint32_t dsa_opcode(const struct dsa_descriptor *descriptor)
{
	return descriptor->flags >> DSA_OPCODE_SHIFT;
}

/* dsa-registers.c */
extern const struct io_ops dsa_register_ops;
/* The next three with the lock held. Back to what a device reset leaves. */
void dsa_registers_reset(struct dsa *dsa, enum dsa_reset_type type);
void dsa_wq_reset(struct dsa *dsa, unsigned int wq);
bool dsa_wq_shared(const struct dsa *dsa, unsigned int wq);
/* From a section that is entered, into a device after reset: as the guest that is in it would. */
void dsa_registers_load(struct dsa *dsa, struct state_in *in);
/* Sets INTCAUSE bits and sends the device's own interrupt. */
void dsa_interrupt(struct dsa *dsa, uint32_t cause);

/* dsa-commands.c: with the lock held. */
uint32_t dsa_commands_supported(const struct dsa *dsa);
void dsa_command_write(struct dsa *dsa, uint32_t value);
/* What ENABLE_DEVICE and ENABLE_WQ check and do, but for bus mastering, which may have gone since.
 */
enum dsa_cmd_error dsa_device_restore(struct dsa *dsa);
enum dsa_cmd_error dsa_wq_restore(struct dsa *dsa, unsigned int wq);
/* A job that the command in progress waited for has ended. */
void dsa_command_progress(struct dsa *dsa);
/* The back end is lost: queues close, what runs is abandoned, and only an FLR leads on. */
void dsa_halt(struct dsa *dsa);
/* Function-level reset. Without the lock; running jobs have ended when it returns. */
void dsa_reset(struct dsa *dsa);
/*
 * Without the lock: the vector that a descriptor's interrupt field names, a handle where the guest
 * asks for these. DSA_NO_VECTOR: none.
 */
#define DSA_NO_VECTOR UINT32_MAX
unsigned int dsa_vector_of(const struct dsa *dsa, uint16_t interrupt);

/* dsa-eventlog.c: with the lock held. True where the event is in the guest's log. */
bool dsa_event_log(struct dsa *dsa, const struct dsa_job *job, uint8_t code, uint64_t address,
		   uint32_t invalid_flags);
/* Before the device is enabled: is the log that the guest set up one? */
enum dsa_cmd_error dsa_event_log_start(struct dsa *dsa);
uint64_t dsa_event_log_status(const struct dsa *dsa);
void dsa_event_log_written(struct dsa *dsa, bool high, uint32_t value);

/* dsa-portal.c */
extern const struct io_ops dsa_portal_ops;
/* With the lock held: forgets half-written slots. */
void dsa_gather_clear(struct dsa_wq *wq);
void dsa_gather_free(struct dsa_wq *wq);
/* With the lock held: half-written slots, into and from a section. */
void dsa_gather_save(const struct dsa_wq *wq, struct state_out *out);
void dsa_gather_load(struct dsa_wq *wq, struct state_in *in);

/* dsa-queue.c */
int dsa_jobs_create(struct dsa *dsa, struct err *err);
void dsa_jobs_destroy(struct dsa *dsa);
/* How a descriptor came; what a shared queue takes depends on it (section 3.3). */
enum dsa_way {
	DSA_POSTED,    /* for dedicated queues */
	DSA_LIMITED,   /* the others are for shared ones; up to their threshold */
	DSA_UNLIMITED, /* up to their size */
};
/*
 * A whole descriptor for an existing queue. Without the lock, inside an epoch section of the VM.
 * -EAGAIN: the queue takes none now, or none of this kind. -EACCES: it was taken and refused, which
 * is reported.
 */
int dsa_submit(struct dsa *dsa, unsigned int wq, enum dsa_way way, const void *bytes);
/*
 * With the lock held, before engines look: into its queue, with the host PASID that its PASID
 * stands for here. False: it stands for none, or there is no room.
 */
bool dsa_job_restore(struct dsa *dsa, const struct dsa_job *job);
/* With the lock held: the next job for this engine, or of that queue; or NULL. */
struct dsa_job *dsa_job_take(struct dsa *dsa, unsigned int engine);
struct dsa_job *dsa_job_take_from(struct dsa *dsa, unsigned int wq);
/* With the lock held: what an engine has begun is laid aside, and taken up again if it may be. */
void dsa_job_wait(struct dsa *dsa, struct dsa_job *job);
bool dsa_job_resume(struct dsa *dsa, struct dsa_job *job);
/* With the lock held: none that was accepted before it by the same queue has yet to end. */
bool dsa_job_is_oldest(const struct dsa *dsa, const struct dsa_job *job);
void dsa_job_done(struct dsa *dsa, struct dsa_job *job, const struct dsa_outcome *outcome);
/* Without the lock: counts and logs where the descriptor went that it may not, if that is its end.
 */
void dsa_note_fault(struct dsa *dsa, const struct dsa_job *job, const struct dsa_outcome *outcome);
/* With the lock held: which jobs a call is about. */
typedef bool dsa_job_match(const struct dsa_job *job, uint32_t arg);
void dsa_jobs_wait(struct dsa *dsa, dsa_job_match *match, uint32_t arg);
/* Queued jobs are dropped, running ones told to stop; those that run are waited for too. */
void dsa_jobs_abort(struct dsa *dsa, dsa_job_match *match, uint32_t arg);
/* As before, but the command in progress waits for none of them. */
void dsa_jobs_abandon(struct dsa *dsa);
/* Without the lock: no job of that host PASID is left, or can reach anything, when it returns. */
void dsa_jobs_revoke(struct dsa *dsa, uint32_t host);
/* They are told so, and nobody waits for them yet. */
void dsa_jobs_mark(struct dsa *dsa, uint32_t host);

/* dsa-ops.c: runs a job, except for its report. */
void dsa_execute(struct dsa *dsa, struct ioasid_dma *dma, const struct dsa_job *job,
		 struct dsa_outcome *outcome);
/* One bit an opcode. */
uint64_t dsa_opcap(unsigned int word);

/*
 * dsa-complete.c: the record or SWERR; which vector is then to be fired is added to *vectors.
 * Without the lock, in no section.
 */
void dsa_report(struct dsa *dsa, struct ioasid_dma *dma, const struct dsa_job *job,
		struct dsa_outcome *outcome, uint32_t *vectors);
void dsa_fire(struct dsa *dsa, uint32_t vectors);
/* Both. */
void dsa_report_end(struct dsa *dsa, struct ioasid_dma *dma, const struct dsa_job *job,
		    struct dsa_outcome *outcome);
/* Inside a section: the completion record at a host address. */
void dsa_record_store(void *at, const struct dsa_outcome *outcome);
/* With the lock held. */
void dsa_swerr(struct dsa *dsa, const struct dsa_job *job, uint8_t code, uint64_t address,
	       uint32_t invalid_flags);
/* What SWERR and an entry of the event log begin with. */
void dsa_error_words(const struct dsa_job *job, uint8_t code, uint32_t invalid_flags,
		     uint64_t words[2]);
/* May the interrupt be raised that the descriptor names? */
bool dsa_vector_allowed(struct dsa *dsa, const struct dsa_job *job);

/* dsa-pasid.c */
void dsa_pasids_destroy(struct dsa *dsa);

#endif
