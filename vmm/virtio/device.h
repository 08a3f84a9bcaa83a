/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device between its transport (vmm/virtio/pci.c) and what it does (blk, net, ...):
 * status, features, queues and interrupts.
 *
 * Threads. The driver's registers are written by vCPUs; everything that a device does happens on
 * the thread of its loop. One mutex a device makes them exclude each other: all operations below
 * are called with it held, and device code calls virtio_* with it held. What runs on the loop from
 * elsewhere (a timer, a descriptor that became ready) takes it with virtio_lock.
 *
 * Reset. The driver may reset at any moment: queues are dead at once, then stop() is called on the
 * loop, and the status reads 0 only when nothing of the old life can touch memory any more. The
 * same for one queue (VIRTIO_F_RING_RESET): it is dead at once, then stop_queue() is called, and
 * queue_reset reads 0 when none of its buffers can be touched any more.
 *
 * A device that its driver breaks is marked NEEDS_RESET, says so in one line of the log, and does
 * nothing until it is reset.
 *
 * Devices leave with their machine, while the loop does not run, or before, by virtio_unplug.
 *
 * Source: OASIS virtio 1.2, sections 2.1 to 2.6.1 and 3.
 */
#ifndef ADIT_VMM_VIRTIO_DEVICE_H
#define ADIT_VMM_VIRTIO_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/log.h"
#include "util/loop.h"
#include "util/state.h"
#include "vmm/virtio/queue.h"

#define VIRTIO_QUEUES_MAX   129u
#define VIRTIO_NO_VECTOR    0xffffu
#define VIRTIO_FEATURE(bit) (1ULL << (bit))

struct vm;
struct pci_function;
struct virtio_device;

/* What devices of one machine share. Borrowed, for the machine's life. */
struct virtio_host {
	struct loop *loop;
	const struct virtio_memory *memory;
	struct vm *vm; /* NULL: kicks come by accesses only, without ioeventfds */
	const struct log *log;
};

struct virtio_ops {
	/* A reason why these features do not go together, or NULL. On a vCPU's thread. */
	const char *(*refuse)(void *opaque, uint64_t features);
	/* Device configuration, inside its size; on a vCPU's thread. write may be NULL. */
	void (*config_read)(void *opaque, uint32_t offset, void *data, unsigned int size);
	void (*config_write)(void *opaque, uint32_t offset, const void *data, unsigned int size);

	/* On the loop's thread. May be NULL: nothing to do. */
	void (*start)(void *opaque);
	/* The driver may have made buffers available. Not more than a queue's worth at once. */
	void (*kick)(void *opaque, unsigned int queue);
	/* False: something is in flight, and virtio_stopped() will be called. */
	bool (*stop)(void *opaque);
	/*
	 * The driver resets this queue alone: buffers of it that are kept are forgotten. False:
	 * some are in flight, and virtio_queue_stopped() will be called, or stop() comes before.
	 * NULL: no buffer is kept beyond kick().
	 */
	bool (*stop_queue)(void *opaque, unsigned int queue);
	/*
	 * Any thread: from here on no queue is looked at, by others who were handed some neither;
	 * kick() comes for each when that is over. NULL: nothing to do.
	 */
	void (*pause)(void *opaque);
	/*
	 * While paused: the device's own fields, into and from the section of its registers. NULL:
	 * the device is not carried by snapshots. load comes before start, and refuses what cannot
	 * be (state_refuse).
	 */
	void (*save)(void *opaque, struct state_out *out);
	void (*load)(void *opaque, struct state_in *in);
	/*
	 * Buffers are under way that end by themselves, in any order; virtio_settled() says when
	 * none is any more. What else is kept of a queue is what was taken from it last. NULL:
	 * none.
	 */
	bool (*busy)(void *opaque);
	void (*free)(void *opaque);
};

struct virtio_options {
	const char *name; /* for logs; copied */
	uint16_t type;	  /* virtio 1.2 section 5 */
	uint32_t class_code;
	uint64_t features; /* the device's own; the transport's and rings' are added */
	bool packed;	   /* offer the packed layout */
	unsigned int queues;
	uint16_t queue_size; /* a power of two up to VIRTQ_SIZE_MAX */
	uint32_t config_size;
	const struct virtio_ops *ops;
	void *opaque;
};

struct virtio_queue {
	struct virtq vq;
	bool enabled;
	bool reset_asked, resetting; /* by the driver, of this queue; until stop_queue() is done */
	uint16_t vector;
	int kick_fd;
	struct loop_watch *watch;
	struct loop_poller poller; /* while it is on, the driver need not kick */
	struct virtio_device *device;
};

/*
 * What passed through this process since the machine was made; not what queues did that are the
 * kernel's (vhost-net), but for their interrupts and doorbells, which are nobody's here either.
 */
struct virtio_counters {
	uint64_t doorbells; /* its own among them, where it leaves a queue to others for a while */
	uint64_t interrupts;
	uint64_t buffers;	/* of the driver, taken */
	uint64_t read_bytes;	/* by the device, from them */
	uint64_t written_bytes; /* to them */
	uint64_t in_flight;	/* taken and not given back, now: the depth of its queues */
};

struct virtio_device {
	char name[64];
	struct virtio_options options;
	struct virtio_host host;
	pthread_mutex_t lock;
	pthread_cond_t settled;
	struct pci_function *function;
	bool owned; /* by the function: it is whole */
	/* Called with the lock held; VIRTIO_NO_VECTOR is not. */
	void (*interrupt)(void *arg, uint16_t vector);
	void *interrupt_arg;

	uint64_t offered, accepted;
	uint32_t offered_select, accepted_select;
	uint16_t queue_select, config_vector;
	uint8_t status, generation, isr;
	bool running;  /* start() was called and stop() has not finished */
	bool stopping; /* the driver asked for a reset, or it is leaving: nothing is begun */
	bool leaving, leave_begun;
	void (*gone)(void *arg);
	void *gone_arg;
	unsigned int pauses;
	bool kick_all;	/* every queue is to be looked at */
	bool no_master; /* a kick was refused for want of bus mastering */
	struct loop_work work;
	struct log_limit limit;

	struct virtio_counters counters; /* but for what is read from elsewhere */
	unsigned int n_queues;
	struct virtio_queue *queues;
	struct virtq_chain chain; /* scratch of the device's loop */
	uint64_t ioevents_at;	  /* guest address of the registered doorbells, 0: none */
	uint32_t pci_cfg;	  /* offset of the configuration access capability */
};

/*
 * Makes the device and its PCI function (device->function, to be added to a bus), or with a
 * sentence nothing. From then on the function owns it: ops->free is called when it goes, also by
 * pci_function_destroy. On failure opaque stays the caller's.
 */
int virtio_device_create(struct virtio_device **out, const struct virtio_host *host,
			 const struct virtio_options *options, struct err *err);

/* --- for the device's code, with the lock held ----------------------------------------------- */

static inline void virtio_lock(struct virtio_device *device)
{
	pthread_mutex_lock(&device->lock);
}

static inline void virtio_unlock(struct virtio_device *device)
{
	pthread_mutex_unlock(&device->lock);
}

static inline bool virtio_has(const struct virtio_device *device, unsigned int feature)
{
	return device->accepted & VIRTIO_FEATURE(feature);
}

/* Whether this queue may be used now: running, enabled, not broken, bus master. */
bool virtio_live(struct virtio_device *device, unsigned int queue);
/* The next buffer into device->chain; false: none, or the driver broke the ring. */
bool virtio_pop(struct virtio_device *device, unsigned int queue);
/* Nothing happens on a queue that is not live any more. */
void virtio_push(struct virtio_device *device, unsigned int queue, uint16_t id, uint16_t slots,
		 uint32_t written);
/* What was pushed becomes visible, with an interrupt where the driver wants one. */
void virtio_flush(struct virtio_device *device, unsigned int queue);
void virtio_kicks_off(struct virtio_device *device, unsigned int queue);
/* Kicks are wanted again. True: there is more already. */
bool virtio_kicks_on(struct virtio_device *device, unsigned int queue);
/*
 * The driver has got something back and may bring more soon: the loop looks for it for a while,
 * where that pays (loop_poll), and no kick is wanted meanwhile. For queues that kick() drains.
 */
void virtio_expect(struct virtio_device *device, unsigned int queue);
/* Has kick() called for the queue once more, after others had their turn. */
void virtio_again(struct virtio_device *device, unsigned int queue);
/* Kicks of this queue are another's, who has its eventfd; or the loop's again, as at first. */
void virtio_hand_over(struct virtio_device *device, unsigned int queue, bool handed);
/* The driver broke a rule. */
void virtio_break(struct virtio_device *device, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* stop() returned false; now nothing is in flight. */
void virtio_stopped(struct virtio_device *device);
/* stop_queue() returned false; now nothing of the queue is in flight. */
void virtio_queue_stopped(struct virtio_device *device, unsigned int queue);
/* What ops->busy told of may have ended. */
void virtio_settled(struct virtio_device *device);
/* The configuration that the driver reads is another now. */
void virtio_config_changed(struct virtio_device *device);

/*
 * The usual kick(): calls one(opaque, queue) for each buffer, which is in device->chain and is
 * pushed by it at once or later, until there is none or it returns false (no resources now).
 * What was pushed becomes visible now and then, so that the driver works beside.
 */
void virtio_drain(struct virtio_device *device, unsigned int queue,
		  bool (*one)(void *opaque, unsigned int queue));

/* Any thread, without the lock. */
void virtio_read_counters(struct virtio_device *device, struct virtio_counters *counters);

/* --- for the machine ------------------------------------------------------------------------- */

/*
 * After it returned, no queue is looked at until as many virtio_resume. What is in flight
 * completes.
 */
void virtio_pause(struct virtio_device *device);
void virtio_resume(struct virtio_device *device);

/*
 * The section "virtio NAME", while paused and its loop runs: waits for what is under way. -EBUSY,
 * -EOPNOTSUPP with a sentence.
 */
int virtio_device_save(struct virtio_device *device, struct state_out *out, struct err *err);
/* Into a device that no guest has seen, whose function has been loaded. */
int virtio_device_load(struct virtio_device *device, struct state_in *in);

/*
 * Takes the device out of a machine that runs, any thread, once; what the guest is doing with it
 * does not matter. Queues are dead when this returns, registers keep what they hold, what is in
 * flight ends and is answered to nobody. When nothing can touch guest memory any more, gone(arg)
 * is called on the loop, without the lock: there the function is taken off its bus and freed,
 * the device with it. Not after the loop has stopped: then the function is simply removed.
 */
void virtio_unplug(struct virtio_device *device, void (*gone)(void *arg), void *arg);

#endif
