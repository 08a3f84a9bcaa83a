/* SPDX-License-Identifier: Apache-2.0 */
/* dsa-owner.c has queues, tenants and losses; dsa-owner-device.c knows the function's registers. */
#ifndef ADIT_PASSTHROUGH_ADI_DSA_OWNER_INTERNAL_H
#define ADIT_PASSTHROUGH_ADI_DSA_OWNER_INTERNAL_H

#include <pthread.h>
#include <sys/queue.h>

#include "passthrough/adi/dsa-owner.h"
#include "passthrough/adi/dsa-regs.h"

struct owner_queue {
	struct dsa_tenant *tenant; /* NULL: free */
	uint32_t pasid;
	struct ioasid_space *space; /* of the function's context */
};

/* What the function says of itself. */
struct owner_shape {
	unsigned int queues, engines, entries; /* entries: of each queue */
	uint64_t grpcfg, wqcfg;		       /* offsets */
	unsigned int wqcfg_size, max_xfer_shift, rdbufs;
	bool operations; /* WQCFG has them */
};

struct dsa_tenant {
	char name[64];
	struct dsa_owner *owner;
	struct dsa_tenant_options options;
	struct dsa_port port;
	pthread_t thread;
	uint64_t told; /* of losses; the thread's */
	bool hushed;   /* with the owner's news lock */
	bool running;
};

struct dsa_owner {
	char name[64];
	const struct log *log;
	const struct sandbox *sandbox;
	struct dsa_access access;
	unsigned int command_ms;
	struct owner_shape shape;
	char *records; /* one page a queue */
	pthread_t watcher;
	int stop; /* an eventfd: the watcher ends */

	pthread_mutex_t lend; /* queues and commands; held while a command is waited for */
	struct owner_queue queue[DSA_OWNER_QUEUES];
	bool dead; /* it could not be set up again */

	pthread_rwlock_t way; /* read by who submits, written by who resets the function */
	uint64_t losses;      /* atomic; changes with `way` written */

	pthread_mutex_t news; /* after lend */
	pthread_cond_t lost;
};

/* dsa-owner-device.c: with the lend lock held, or before anybody else knows the owner. */
int owner_read_shape(struct dsa_owner *owner, struct err *err);
/* From any state to enabled, with those queues that are lent. */
int owner_set_up(struct dsa_owner *owner, struct err *err);
/* A free queue is made that PASID's. */
int owner_enable_queue(struct dsa_owner *owner, unsigned int queue, uint32_t pasid,
		       struct err *err);
/* Ends what an enabled queue runs; and disables it. -errno: it did not in time. */
int owner_abort_queue(struct dsa_owner *owner, unsigned int queue);
int owner_reset_queue(struct dsa_owner *owner, unsigned int queue);
/* Its interrupt: true where it has halted. Errors of descriptors are logged. */
bool owner_read_interrupt(struct dsa_owner *owner);
bool owner_halted(const struct dsa_owner *owner);

#endif
