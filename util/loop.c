/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop on one small io_uring. One file, because what makes it safe is one rule: an
 * operation lives until the one completion of its request has been taken from the ring, so a
 * completion never names freed memory, whatever was cancelled in between.
 *
 * Only loop_run and loop_destroy touch the ring; every other call changes an operation's state
 * and queues it. So all requests belong to the thread that runs the loop (io_uring completes and
 * cancels requests in the context of the task that submitted them), changes of one turn go to the
 * kernel in the system call that waits, and the number of watches is not bound to the ring's size.
 *
 * Watches are one-shot polls armed again after their handler: arming looks at the descriptor
 * first, which makes them level-triggered.
 *
 * The kernel's polls also end with POLLRDHUP, which nobody asked for and which stays, so that a
 * poll armed again ends again at once. From then on the watch is armed for changes (multishot):
 * what changes without being asked for is passed over, what was asked for ends the request, and
 * the next one begins with a look as before.
 */
#include "util/loop.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/clock.h"
#include "util/ring.h"
#include "util/spin.h"

#define SQ_ENTRIES 16 /* one page of entries; more requests are submitted in several calls */
#define UNASKED	   ((uint32_t)(POLLERR | POLLHUP | POLLNVAL)) /* that poll(2) tells unasked */

struct loop_op {
	struct loop *loop;
	struct loop_op *prev, *next; /* all operations */
	struct loop_op *queue_next;  /* those that need a request */
	bool queued;
	bool armed; /* a request is in the kernel and its (last) completion was not taken yet */
	bool over;  /* that request goes on by itself and is to end: what it still tells is old */
	bool held;  /* a watch that is not to be armed */
	bool dead;  /* the caller has let go; freed when neither armed nor queued */
	bool is_timer;
};

struct loop_watch {
	struct loop_op op;
	int fd;
	uint32_t events;
	bool changes; /* it is armed for changes */
	void (*fn)(void *arg, uint32_t ready);
	void *arg;
};

struct loop_timer {
	struct loop_op op;
	struct __kernel_timespec when; /* absolute */
	bool fired;
	void (*fn)(void *arg);
	void *arg;
};

/* What another thread wants done on the loop's; on its stack while it waits. */
struct call {
	struct call *next;
	void (*fn)(void *arg);
	void *arg;
	bool done;
};

struct loop {
	struct io_uring ring;
	int wake_fd; /* written to wake, never read: the edge alone counts */
	bool wake_armed;
	int failed; /* -errno that ends loop_run: without the wake-up it could sleep for ever */
	struct loop_op *ops;
	struct loop_op *queue, **queue_tail;
	struct loop_work *todo; /* posted work in order, taken over by the loop's thread */

	struct loop_poller *pollers; /* newest first */
	struct loop_poller *behind;  /* the next that look() comes to, whatever ends meanwhile */
	uint64_t poll_most;

	/* Shared with other threads: atomics only. */
	struct loop_stats stats;  /* only written by the loop's */
	struct loop_work *posted; /* newest first */
	bool stop;
	bool sleeping; /* the loop may be waiting: who adds something has to wake it */

	pthread_mutex_t lock; /* held while `running` changes and while it must not */
	pthread_cond_t called;
	bool running; /* atomic, for who looks without the lock; `thread` holds while it is set */
	pthread_t thread;
	struct call *calls; /* under lock */
	struct loop_work calling;
};

static void op_queue(struct loop_op *op)
{
	struct loop *loop = op->loop;

	if (op->queued)
		return;
	op->queued = true;
	op->queue_next = NULL;
	*loop->queue_tail = op;
	loop->queue_tail = &op->queue_next;
}

static void op_init(struct loop_op *op, struct loop *loop, bool is_timer)
{
	op->loop = loop;
	op->is_timer = is_timer;
	op->next = loop->ops;
	if (op->next)
		op->next->prev = op;
	loop->ops = op;
	op_queue(op);
}

static void op_unlink(struct loop_op *op)
{
	if (op->prev)
		op->prev->next = op->next;
	else
		op->loop->ops = op->next;
	if (op->next)
		op->next->prev = op->prev;
}

static void op_free(struct loop_op *op)
{
	if (op->is_timer)
		free(container_of(op, struct loop_timer, op));
	else
		free(container_of(op, struct loop_watch, op));
}

static void op_arm(struct loop_op *op, struct io_uring_sqe *sqe)
{
	if (op->is_timer) {
		struct loop_timer *timer = container_of(op, struct loop_timer, op);

		io_uring_prep_timeout(sqe, &timer->when, 0, IORING_TIMEOUT_ABS);
	} else {
		struct loop_watch *watch = container_of(op, struct loop_watch, op);

		if (watch->changes)
			io_uring_prep_poll_multishot(sqe, watch->fd, watch->events);
		else
			io_uring_prep_poll_add(sqe, watch->fd, watch->events);
	}
	io_uring_sqe_set_data(sqe, op);
	op->armed = true;
}

/* NULL where the ring is full and the kernel takes nothing before completions are taken. */
static struct io_uring_sqe *get_sqe(struct loop *loop)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);

	if (!sqe) {
		io_uring_submit(&loop->ring);
		sqe = io_uring_get_sqe(&loop->ring);
	}
	return sqe;
}

/* Turns queued changes into requests. What finds no room stays queued for the next turn. */
static void flush_queue(struct loop *loop)
{
	while (loop->queue) {
		struct loop_op *op = loop->queue;
		bool cancel = op->armed && (op->dead || op->over);

		if (cancel || (!op->armed && !op->dead && !op->held)) {
			struct io_uring_sqe *sqe = get_sqe(loop);

			if (!sqe)
				return;
			if (cancel) {
				io_uring_prep_cancel(sqe, op, 0);
				io_uring_sqe_set_data(sqe, NULL);
			} else {
				op_arm(op, sqe);
			}
		}
		loop->queue = op->queue_next;
		if (!loop->queue)
			loop->queue_tail = &loop->queue;
		op->queued = false;
		if (op->dead && !op->armed) {
			op_unlink(op);
			op_free(op);
		}
	}
}

static void arm_wake(struct loop *loop)
{
	struct io_uring_sqe *sqe;

	if (loop->wake_armed)
		return;
	sqe = get_sqe(loop);
	if (!sqe)
		return;
	io_uring_prep_poll_multishot(sqe, loop->wake_fd, POLLIN);
	io_uring_sqe_set_data(sqe, loop);
	loop->wake_armed = true;
}

static void wake(struct loop *loop)
{
	if (__atomic_exchange_n(&loop->sleeping, false, __ATOMIC_SEQ_CST)) {
		int saved = errno; /* loop_stop may interrupt anything */

		/* Cannot fail: the counter would need 2^64 wake-ups to fill. */
		if (eventfd_write(loop->wake_fd, 1) < 0)
			abort();
		errno = saved;
	}
}

static int ring_error(struct err *err, int rc)
{
	switch (rc) {
	case -ENOSYS:
		return err_set(
			err, ENOSYS,
			"this kernel has no io_uring, which the event loop needs: use a kernel "
			"with CONFIG_IO_URING=y");
	case -EPERM:
	case -EACCES:
		return err_set(err, EPERM,
			       "the host forbids io_uring, which the event loop needs: set sysctl "
			       "kernel.io_uring_disabled=0, or allow io_uring_setup in the seccomp "
			       "profile of the container");
	case -EINVAL:
		return err_set(
			err, EINVAL,
			"this kernel's io_uring cannot be told what a ring may do: use Linux "
			"5.10 or later");
	default:
		return err_set(err, -rc, "io_uring with %d entries: %s", SQ_ENTRIES, strerror(-rc));
	}
}

/*
 * COOP_TASKRUN (Linux 5.19): completions do not interrupt the thread with an IPI; it is about to
 * enter the kernel anyway, or looks whether a flag in the ring says that it should. The ring waits
 * and cancels; it never reads, writes or opens.
 */
static int open_ring(struct io_uring *ring)
{
	static const uint8_t ops[] = { IORING_OP_POLL_ADD, IORING_OP_TIMEOUT,
				       IORING_OP_ASYNC_CANCEL };
	const struct ring_limits limits = { .ops = ops, .n_ops = ARRAY_SIZE(ops) };
	int rc = ring_open(ring, SQ_ENTRIES, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);

	if (rc < 0)
		return rc;
	rc = ring_confine(ring, &limits);
	if (rc < 0)
		io_uring_queue_exit(ring);
	return rc;
}

/* With the lock held. */
static void carry_out(struct loop *loop)
{
	struct call *call;

	while ((call = loop->calls)) {
		loop->calls = call->next;
		call->fn(call->arg);
		call->done = true;
	}
	pthread_cond_broadcast(&loop->called);
}

static void on_calls(void *arg)
{
	struct loop *loop = arg;

	pthread_mutex_lock(&loop->lock);
	carry_out(loop);
	pthread_mutex_unlock(&loop->lock);
}

/* Operations belong to the thread that runs the loop; while none does, to whoever has the lock. */
static void on_its_thread(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct call call = { .fn = fn, .arg = arg };

	if (__atomic_load_n(&loop->running, __ATOMIC_ACQUIRE) &&
	    pthread_equal(loop->thread, pthread_self())) {
		fn(arg);
		return;
	}
	pthread_mutex_lock(&loop->lock);
	if (!loop->running) {
		fn(arg);
	} else {
		call.next = loop->calls;
		/* cppcheck-suppress autoVariables ; taken off before it is done */
		loop->calls = &call;
		loop_post(loop, &loop->calling);
		while (!call.done)
			pthread_cond_wait(&loop->called, &loop->lock);
	}
	pthread_mutex_unlock(&loop->lock);
}

static void free_loop(struct loop *loop)
{
	pthread_cond_destroy(&loop->called);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

int loop_create(struct loop **out, struct err *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int rc;

	*out = NULL;
	if (!loop)
		return err_set(err, ENOMEM, "no memory for the event loop");
	loop->queue_tail = &loop->queue;
	loop->calling = (struct loop_work){ .fn = on_calls, .arg = loop };
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->called, NULL);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0) {
		rc = err_set(err, errno, "eventfd for the event loop: %s", strerror(errno));
		goto free_loop;
	}
	rc = open_ring(&loop->ring);
	if (rc < 0) {
		rc = ring_error(err, rc);
		goto close_wake;
	}
	*out = loop;
	return 0;

close_wake:
	close(loop->wake_fd);
free_loop:
	free_loop(loop);
	return rc;
}

void loop_destroy(struct loop *loop)
{
	struct loop_op *op, *next;

	if (!loop)
		return;
	/*
	 * Cancels what is left first, or the kernel would hold its references on the caller's
	 * descriptors until a work queue gets to the ring.
	 */
	if (loop->queue) {
		flush_queue(loop);
		io_uring_submit(&loop->ring);
	}
	io_uring_queue_exit(&loop->ring);
	for (op = loop->ops; op; op = next) {
		next = op->next;
		op_free(op);
	}
	close(loop->wake_fd);
	free_loop(loop);
}

static void complete_timer(struct loop_timer *timer)
{
	if (timer->fired)
		return;
	timer->fired = true;
	timer->fn(timer->arg);
}

static void complete_watch(struct loop_watch *watch, int res)
{
	uint32_t ready;

	/* A failure means that the descriptor cannot be polled: said once. */
	if (res < 0) {
		watch->fn(watch->arg, POLLNVAL);
		return;
	}
	ready = (uint32_t)res & (watch->events | UNASKED);
	if (ready) {
		watch->op.over = watch->op.armed;
		watch->fn(watch->arg, ready);
	} else if (!watch->op.armed) {
		watch->changes = true;
	} else {
		return;
	}
	op_queue(&watch->op);
}

/*
 * data: the operation, the loop itself for its wake-up, NULL for a cancellation. -ECANCELED on a
 * living operation: the thread that submitted it has ended, or it was over; it is armed again.
 */
static void complete(struct loop *loop, void *data, int res, uint32_t flags)
{
	struct loop_op *op = data;
	bool over;

	if (!data)
		return;
	if (data == loop) {
		if (!(flags & IORING_CQE_F_MORE))
			loop->wake_armed = false;
		if (res < 0 && res != -ECANCELED)
			loop->failed = res;
		return;
	}
	over = op->dead || op->over;
	op->armed = flags & IORING_CQE_F_MORE;
	if (op->armed && over)
		return;
	op->over = false;
	if (over || res == -ECANCELED)
		op_queue(op);
	else if (!op->is_timer)
		complete_watch(container_of(op, struct loop_watch, op), res);
	else
		complete_timer(container_of(op, struct loop_timer, op));
}

static bool stopped(struct loop *loop)
{
	return __atomic_load_n(&loop->stop, __ATOMIC_SEQ_CST);
}

static void run_completions(struct loop *loop)
{
	struct io_uring_cqe *cqe;

	while (!stopped(loop) && !io_uring_peek_cqe(&loop->ring, &cqe)) {
		void *data = io_uring_cqe_get_data(cqe);
		uint32_t flags = cqe->flags;
		int res = cqe->res;

		io_uring_cqe_seen(&loop->ring, cqe);
		complete(loop, data, res, flags);
	}
}

static void take_posted(struct loop *loop)
{
	struct loop_work *work = __atomic_exchange_n(&loop->posted, NULL, __ATOMIC_SEQ_CST);
	struct loop_work *oldest = NULL;

	while (work) {
		struct loop_work *next = work->next;

		work->next = oldest;
		oldest = work;
		work = next;
	}
	loop->todo = oldest;
}

static void run_posted(struct loop *loop)
{
	if (!loop->todo)
		take_posted(loop);
	while (loop->todo && !stopped(loop)) {
		struct loop_work *work = loop->todo;
		void (*fn)(void *arg) = work->fn;
		void *arg = work->arg;

		loop->todo = work->next;
		/* From here the owner may post it again; what fn finds was written before the post.
		 */
		__atomic_store_n(&work->pending, false, __ATOMIC_SEQ_CST);
		fn(arg);
	}
}

/* Nothing that was posted or stopped before can be slept over: see wake(). */
static bool may_sleep(struct loop *loop)
{
	__atomic_store_n(&loop->sleeping, true, __ATOMIC_SEQ_CST);
	return loop->wake_armed && !loop->queue && !loop->todo &&
	       !__atomic_load_n(&loop->posted, __ATOMIC_SEQ_CST) && !stopped(loop);
}

/* --- looking before sleeping ----------------------------------------------------------------- */

void loop_poll_most(struct loop *loop, uint64_t ns)
{
	loop->poll_most = ns;
}

static void unlink_poller(struct loop *loop, struct loop_poller *poller)
{
	if (!poller->on)
		return;
	poller->on = false;
	if (loop->behind == poller)
		loop->behind = poller->next;
	if (poller->prev)
		poller->prev->next = poller->next;
	else
		loop->pollers = poller->next;
	if (poller->next)
		poller->next->prev = poller->prev;
}

bool loop_poll(struct loop *loop, struct loop_poller *poller)
{
	poller->waiting = true;
	poller->since = clock_ns();
	if (poller->on || !poller->ns)
		return poller->on;
	poller->on = true;
	poller->prev = NULL;
	poller->next = loop->pollers;
	if (poller->next)
		poller->next->prev = poller;
	loop->pollers = poller;
	return true;
}

void loop_poll_came(struct loop *loop, struct loop_poller *poller)
{
	if (poller->waiting)
		poller->ns = spin_next(poller->ns, clock_ns() - poller->since, loop->poll_most);
	loop_poll_end(loop, poller);
}

void loop_poll_end(struct loop *loop, struct loop_poller *poller)
{
	unlink_poller(loop, poller);
	poller->waiting = false;
}

static bool is_asked(const struct loop *loop)
{
	return io_uring_cq_ready(&loop->ring) ||
	       IO_URING_READ_ONCE(*loop->ring.sq.kflags) &
		       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW) ||
	       __atomic_load_n(&loop->posted, __ATOMIC_ACQUIRE) ||
	       __atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE);
}

/* Each once: one that begins anew by what it does comes to the head of the list. */
static bool look(struct loop *loop, uint64_t now)
{
	struct loop_poller *poller = loop->pollers;
	bool found = false;

	for (; poller; poller = loop->behind) {
		loop->behind = poller->next;
		if (poller->look(poller->arg)) {
			found = true;
			/* A wait that began since `now` is a negative one. */
		} else if (poller->on && (int64_t)(now - poller->since) >= (int64_t)poller->ns) {
			unlink_poller(loop, poller);
			found |= poller->rest(poller->arg);
		}
	}
	return found;
}

/* False: nothing came for as long as it pays to look, and every poller has ended. */
static bool spin(struct loop *loop, uint64_t *since)
{
	while (loop->pollers) {
		*since = clock_ns();
		/* What a handler or a poller's rest has queued is armed by the turn that follows.
		 */
		if (look(loop, *since) || loop->queue || is_asked(loop))
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

/* --- turns ----------------------------------------------------------------------------------- */

/*
 * One turn: what changed goes to the kernel, then the wait for at least one completion, where
 * nothing is there yet.
 */
static int enter(struct loop *loop, bool found)
{
	int rc;

	arm_wake(loop);
	flush_queue(loop);
	if (!found && may_sleep(loop))
		rc = io_uring_submit_and_wait(&loop->ring, 1);
	else
		rc = io_uring_submit(&loop->ring);
	__atomic_store_n(&loop->sleeping, false, __ATOMIC_RELAXED);
	/* EBUSY, EAGAIN: the kernel wants completions taken before it accepts more. */
	if (rc == -EINTR || rc == -EBUSY || rc == -EAGAIN)
		rc = 0;
	return MIN(rc, 0);
}

static void begin(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->thread = pthread_self();
	__atomic_store_n(&loop->running, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&loop->lock);
}

/* Nobody waits for a loop that does not run. */
static void end(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	__atomic_store_n(&loop->running, false, __ATOMIC_RELEASE);
	carry_out(loop);
	pthread_mutex_unlock(&loop->lock);
}

static void count_turn(struct loop *loop, uint64_t since)
{
	struct loop_stats *stats = &loop->stats;
	uint64_t ns = clock_ns() - since;

	__atomic_store_n(&stats->turns, stats->turns + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&stats->busy_ns, stats->busy_ns + ns, __ATOMIC_RELAXED);
	if (ns > stats->longest_ns)
		__atomic_store_n(&stats->longest_ns, ns, __ATOMIC_RELAXED);
}

void loop_read_stats(const struct loop *loop, struct loop_stats *stats)
{
	*stats = (struct loop_stats){
		.turns = __atomic_load_n(&loop->stats.turns, __ATOMIC_RELAXED),
		.busy_ns = __atomic_load_n(&loop->stats.busy_ns, __ATOMIC_RELAXED),
		.longest_ns = __atomic_load_n(&loop->stats.longest_ns, __ATOMIC_RELAXED),
	};
}

int loop_run(struct loop *loop)
{
	int rc = 0;

	begin(loop);
	while (!stopped(loop)) {
		uint64_t since;
		bool found = spin(loop, &since);

		rc = enter(loop, found);
		if (rc < 0)
			break;
		if (!found)
			since = clock_ns();
		run_completions(loop);
		run_posted(loop);
		count_turn(loop, since);
		rc = loop->failed;
		if (rc < 0)
			break;
	}
	end(loop);
	__atomic_store_n(&loop->stop, false, __ATOMIC_SEQ_CST);
	return rc;
}

void loop_stop(struct loop *loop)
{
	__atomic_store_n(&loop->stop, true, __ATOMIC_SEQ_CST);
	wake(loop);
}

static void begin_watch(void *arg)
{
	struct loop_watch *watch = arg;

	op_init(&watch->op, watch->op.loop, false);
}

int loop_watch(struct loop *loop, int fd, uint32_t events, void (*fn)(void *arg, uint32_t ready),
	       void *arg, struct loop_watch **out, struct err *err)
{
	struct loop_watch *watch = calloc(1, sizeof(*watch));

	*out = NULL;
	if (!watch)
		return err_set(err, ENOMEM, "no memory to watch descriptor %d", fd);
	watch->fd = fd;
	watch->events = events;
	watch->fn = fn;
	watch->arg = arg;
	watch->op.loop = loop;
	*out = watch; /* before fn may be called */
	on_its_thread(loop, begin_watch, watch);
	return 0;
}

void loop_watch_hold(struct loop_watch *watch, bool hold)
{
	struct loop_op *op = &watch->op;

	if (op->held == hold)
		return;
	op->held = hold;
	if (!hold && !op->armed)
		op_queue(op);
}

static void op_release(void *arg)
{
	struct loop_op *op = arg;

	op->dead = true;
	op_queue(op);
}

void loop_unwatch(struct loop_watch *watch)
{
	if (watch)
		on_its_thread(watch->op.loop, op_release, &watch->op);
}

int loop_timer(struct loop *loop, uint64_t ns, void (*fn)(void *arg), void *arg,
	       struct loop_timer **out, struct err *err)
{
	struct loop_timer *timer = calloc(1, sizeof(*timer));
	struct timespec now;
	uint64_t nsec;

	*out = NULL;
	if (!timer)
		return err_set(err, ENOMEM, "no memory for a timer");
	clock_gettime(CLOCK_MONOTONIC, &now);
	nsec = (uint64_t)now.tv_nsec + ns % 1000000000;
	timer->when.tv_sec = now.tv_sec + (int64_t)(ns / 1000000000 + nsec / 1000000000);
	timer->when.tv_nsec = (long long)(nsec % 1000000000);
	timer->fn = fn;
	timer->arg = arg;
	op_init(&timer->op, loop, true);
	*out = timer;
	return 0;
}

void loop_timer_cancel(struct loop_timer *timer)
{
	if (timer)
		op_release(&timer->op);
}

bool loop_post(struct loop *loop, struct loop_work *work)
{
	struct loop_work *head;

	if (__atomic_exchange_n(&work->pending, true, __ATOMIC_SEQ_CST))
		return false;
	head = __atomic_load_n(&loop->posted, __ATOMIC_RELAXED);
	do {
		work->next = head;
	} while (!__atomic_compare_exchange_n(&loop->posted, &head, work, true, __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
	wake(loop);
	return true;
}
