/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block requests as io_uring operations on the image: one ring a device, its file registered, all
 * requests of a turn submitted in one call. The ring's descriptor is watched by the loop.
 *
 * Short transfers go on where they stopped; one that makes no progress is the end of the file, and
 * an error to the guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "util/bits.h"
#include "util/ring.h"
#include "vmm/virtio/blk-internal.h"

/* --- requests -------------------------------------------------------------------------------- */

struct blk_request *blk_request_get(struct blk *blk)
{
	struct blk_request *r = blk->free;

	if (r) {
		blk->free = r->next;
		return r;
	}
	if (blk->made == BLK_DEPTH)
		return NULL;
	r = calloc(1, sizeof(*r));
	blk->made += !!r;
	return r;
}

void blk_request_put(struct blk *blk, struct blk_request *r)
{
	free(r->bounce);
	r->bounce = NULL;
	blk->bounced -= r->bounced;
	r->bounced = 0;
	free(r->guest);
	r->guest = NULL;
	if (r->room > BLK_KEPT_PIECES) {
		free(r->iov);
		r->iov = NULL;
		r->room = 0;
	}
	r->next = blk->free;
	blk->free = r;
}

int blk_request_room(struct blk_request *r, unsigned int n)
{
	struct iovec *iov;

	if (n <= r->room)
		return 0;
	iov = realloc(r->iov, n * sizeof(*iov));
	if (!iov)
		return -ENOMEM;
	r->iov = iov;
	r->room = n;
	return 0;
}

/* --- bounce buffers -------------------------------------------------------------------------- */

static bool aligned(const struct blk *blk, const struct blk_request *r)
{
	for (unsigned int i = 0; i < r->n_iov; i++) {
		if (((uintptr_t)r->iov[i].iov_base | r->iov[i].iov_len) &
		    (blk->image.memory_align - 1))
			return false;
	}
	return true;
}

static int bounce(struct blk *blk, struct blk_request *r)
{
	if (r->bytes > BLK_BOUNCE_MAX)
		return -EFBIG;
	r->guest = malloc(r->n_iov * sizeof(*r->guest));
	if (!r->guest ||
	    posix_memalign(&r->bounce, MAX(blk->image.memory_align, 4096), (size_t)r->bytes))
		return -ENOMEM;
	r->bounced = r->bytes;
	blk->bounced += r->bounced;
	memcpy(r->guest, r->iov, r->n_iov * sizeof(*r->guest));
	r->n_guest = r->n_iov;
	if (r->op == BLK_WRITE)
		iov_read(r->guest, r->n_guest, 0, r->bounce, (size_t)r->bytes);
	r->iov[0] = (struct iovec){ .iov_base = r->bounce, .iov_len = (size_t)r->bytes };
	r->n_iov = 1;
	return 0;
}

/* --- submission ------------------------------------------------------------------------------ */

void blk_submit(struct blk *blk)
{
	if (!blk->dirty_sq)
		return;
	/* EAGAIN, EBUSY: what is complete has to be taken first; it stays prepared. */
	if (io_uring_submit(&blk->ring) >= 0)
		blk->dirty_sq = io_uring_sq_ready(&blk->ring);
}

static struct io_uring_sqe *get_sqe(struct blk *blk)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&blk->ring);

	if (!sqe) {
		io_uring_submit(&blk->ring);
		sqe = io_uring_get_sqe(&blk->ring);
	}
	return sqe;
}

static bool write_through(const struct blk *blk)
{
	return !virtio_has(blk->device, VIRTIO_BLK_F_FLUSH) || !blk->config.wce;
}

/* The registered buffer that holds the piece, or -1. */
static int fixed_index(const struct blk *blk, const struct iovec *piece)
{
	for (unsigned int i = 0; i < blk->n_fixed; i++) {
		if (range_inside((uintptr_t)piece->iov_base, piece->iov_len,
				 (uintptr_t)blk->fixed[i].iov_base, blk->fixed[i].iov_len))
			return (int)i;
	}
	return -1;
}

/*
 * Direct transfers are the device's work, all at once. Others are copies: of one operation so many
 * pieces as are few enough, or a part of one that is too large; what is left goes on afterwards.
 */
static unsigned int pieces_at_once(const struct blk *blk, const struct blk_request *r)
{
	const struct iovec *iov = r->iov + r->first_iov;
	unsigned int left = r->n_iov - r->first_iov, n = 1;
	uint64_t bytes = iov->iov_len;

	if (blk->direct || r->bytes <= BLK_COPY_MAX)
		return left;
	for (; n < left && bytes + iov[n].iov_len <= BLK_COPY_MAX; n++)
		bytes += iov[n].iov_len;
	return n;
}

static void prepare_transfer(struct blk *blk, struct blk_request *r, struct io_uring_sqe *sqe)
{
	const struct iovec *iov = r->iov + r->first_iov;
	unsigned int n = pieces_at_once(blk, r);
	unsigned int len =
		(unsigned int)MIN(iov->iov_len, blk->direct ? BLK_FIXED_BYTES : BLK_COPY_MAX);
	int fixed = n == 1 ? fixed_index(blk, iov) : -1;

	if (n > 1 && r->op == BLK_READ)
		io_uring_prep_readv(sqe, 0, iov, n, r->offset);
	else if (n > 1)
		io_uring_prep_writev(sqe, 0, iov, n, r->offset);
	else if (r->op == BLK_READ && fixed >= 0)
		io_uring_prep_read_fixed(sqe, 0, iov->iov_base, len, r->offset, fixed);
	else if (r->op == BLK_READ)
		io_uring_prep_read(sqe, 0, iov->iov_base, len, r->offset);
	else if (fixed >= 0)
		io_uring_prep_write_fixed(sqe, 0, iov->iov_base, len, r->offset, fixed);
	else
		io_uring_prep_write(sqe, 0, iov->iov_base, len, r->offset);
	if (r->op == BLK_WRITE && write_through(blk))
		sqe->rw_flags = RWF_DSYNC;
	/* Else the copy is made here and now, on the loop's thread. */
	if (!blk->direct && r->bytes > BLK_INLINE_MAX)
		sqe->flags |= IOSQE_ASYNC;
}

static void prepare(struct blk *blk, struct blk_request *r, struct io_uring_sqe *sqe)
{
	int mode = FALLOC_FL_KEEP_SIZE;

	switch (r->op) {
	case BLK_READ:
	case BLK_WRITE:
		prepare_transfer(blk, r, sqe);
		break;
	case BLK_FLUSH:
		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
		break;
	case BLK_DISCARD:
		io_uring_prep_fallocate(sqe, 0, mode | FALLOC_FL_PUNCH_HOLE, (off_t)r->offset,
					(off_t)r->bytes);
		break;
	case BLK_ZERO:
		mode |= r->unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
		io_uring_prep_fallocate(sqe, 0, mode, (off_t)r->offset, (off_t)r->bytes);
		break;
	}
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, r);
}

/* Zeros by writing them: every piece is the same page of zeros. */
static int write_zeros(struct blk *blk, struct blk_request *r)
{
	unsigned int n = (unsigned int)((r->bytes + BLK_ZERO_BYTES - 1) / BLK_ZERO_BYTES);

	if (!n)
		return -EINVAL;
	if (!blk->zeros) {
		void *zeros =
			mmap(NULL, BLK_ZERO_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (zeros == MAP_FAILED)
			return -ENOMEM;
		blk->zeros = zeros;
	}
	if (blk_request_room(r, n))
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++)
		r->iov[i] = (struct iovec){ .iov_base = blk->zeros, .iov_len = BLK_ZERO_BYTES };
	r->iov[n - 1].iov_len = (size_t)(r->bytes - (uint64_t)(n - 1) * BLK_ZERO_BYTES);
	r->n_iov = n;
	r->op = BLK_WRITE;
	return 0;
}

/* How zeros come about, by what was found out so far: a hole, the host's own way, or writes. */
static int choose_zeros(struct blk *blk, struct blk_request *r)
{
	r->unmap &= !blk->no_unmap;
	return !r->unmap && blk->no_zero_range ? write_zeros(blk, r) : 0;
}

static void landed(struct blk *blk, const struct blk_request *r)
{
	blk->in_flight--;
	blk->queue_in_flight[r->queue]--;
}

static void issue(struct blk *blk, struct blk_request *r)
{
	struct io_uring_sqe *sqe = get_sqe(blk);

	if (!sqe) {
		landed(blk, r);
		blk_done(blk, r, -EAGAIN);
		return;
	}
	prepare(blk, r, sqe);
	blk->dirty_sq = true;
}

void blk_start(struct blk *blk, struct blk_request *r)
{
	int ret = 0;

	r->first_iov = 0;
	if (r->op == BLK_ZERO)
		ret = choose_zeros(blk, r);
	else if (blk->direct && (r->op == BLK_READ || r->op == BLK_WRITE) && !aligned(blk, r))
		ret = bounce(blk, r);
	if (ret) {
		blk_done(blk, r, ret);
		return;
	}
	blk->in_flight++;
	blk->queue_in_flight[r->queue]++;
	issue(blk, r);
}

/* --- completion ------------------------------------------------------------------------------ */

/* `n` bytes were transferred. True: there is more to do. */
static bool advance(struct blk_request *r, uint64_t n)
{
	r->offset += n;
	r->bytes -= n;
	while (n && r->first_iov < r->n_iov) {
		struct iovec *v = &r->iov[r->first_iov];
		size_t part = MIN(v->iov_len, (size_t)n);

		v->iov_base = (char *)v->iov_base + part;
		v->iov_len -= part;
		n -= part;
		r->first_iov += !v->iov_len;
	}
	return r->bytes;
}

static void end(struct blk *blk, struct blk_request *r, int error)
{
	uint64_t total = 0;

	if (!error && r->bounce && r->op == BLK_READ && !blk->device->stopping) {
		for (unsigned int i = 0; i < r->n_guest; i++)
			total += r->guest[i].iov_len;
		iov_write(r->guest, r->n_guest, 0, r->bounce, (size_t)total);
	}
	landed(blk, r);
	blk_done(blk, r, error);
}

/* An operation that ended without a transfer: once more, another way, or the end of the request. */
static void complete_error(struct blk *blk, struct blk_request *r, int res)
{
	bool again = res == -EINTR || res == -EAGAIN;

	if (res == -EOPNOTSUPP && r->op == BLK_ZERO) {
		*(r->unmap ? &blk->no_unmap : &blk->no_zero_range) = true;
		res = choose_zeros(blk, r);
		again = !res;
	}
	if (again)
		issue(blk, r);
	else
		end(blk, r, res);
}

/* Zeros are a write as well; how the host came by them knows no RWF_DSYNC. */
static void settle(struct blk *blk, struct blk_request *r)
{
	r->op = BLK_FLUSH;
	issue(blk, r);
}

static void complete(struct blk *blk, struct blk_request *r, int res)
{
	bool transfer = r->op == BLK_READ || r->op == BLK_WRITE;

	if (res < 0)
		complete_error(blk, r, res);
	else if (transfer && !res && r->bytes)
		end(blk, r, -ENODATA); /* past the end: the file was truncated */
	else if (transfer && advance(r, MIN((uint64_t)res, r->bytes)) && !blk->device->stopping)
		issue(blk, r);
	else if (r->op == BLK_ZERO && write_through(blk) && !blk->device->stopping)
		settle(blk, r);
	else
		end(blk, r, 0); /* or nobody waits for the rest */
}

void blk_reap(struct blk *blk)
{
	struct io_uring_cqe *cqe;

	if (!io_uring_peek_cqe(&blk->ring, &cqe))
		loop_poll_came(blk->host.loop, &blk->poller);
	while (!io_uring_peek_cqe(&blk->ring, &cqe)) {
		struct blk_request *r = io_uring_cqe_get_data(cqe);
		int res = cqe->res;

		io_uring_cqe_seen(&blk->ring, cqe);
		complete(blk, r, res);
	}
	blk_submit(blk);
	blk->behind = MAX(blk->behind, blk->in_flight);
	/* What is looked for, or cannot come, need not be told of. */
	loop_watch_hold(blk->watch, !blk->in_flight || (blk->behind <= BLK_POLL_DEPTH &&
							loop_poll(blk->host.loop, &blk->poller)));
}

static bool on_look(void *arg)
{
	struct blk *blk = arg;

	if (!io_uring_cq_ready(&blk->ring))
		return false;
	virtio_lock(blk->device);
	blk_reap(blk);
	blk_answer(blk);
	virtio_unlock(blk->device);
	return true;
}

static bool on_rest(void *arg)
{
	struct blk *blk = arg;

	loop_watch_hold(blk->watch, false);
	return false;
}

static void on_ring(void *arg, uint32_t ready)
{
	struct blk *blk = arg;

	virtio_lock(blk->device);
	blk_reap(blk);
	blk_answer(blk);
	virtio_unlock(blk->device);
}

/* Where it cannot be (too little memory may be locked, say), transfers pin their pages one by one.
 */
static void register_memory(struct blk *blk)
{
	const struct virtio_memory *memory = blk->host.memory;
	unsigned int n = 0;
	int ret = -ENOMEM;

	blk->fixed = calloc(BLK_FIXED_MAX, sizeof(*blk->fixed));
	for (unsigned int i = 0; blk->fixed && i < memory->n; i++) {
		const struct virtio_range *r = &memory->range[i];

		for (uint64_t at = 0; at < r->size && n < BLK_FIXED_MAX; at += BLK_FIXED_BYTES)
			blk->fixed[n++] = (struct iovec){
				.iov_base = r->hva + at,
				.iov_len = (size_t)MIN(BLK_FIXED_BYTES, r->size - at),
			};
	}
	if (blk->fixed)
		ret = io_uring_register_buffers(&blk->ring, blk->fixed, n);
	if (!ret)
		blk->n_fixed = n;
	else
		log_line(blk->host.log, LOG_INFO, "blk",
			 "%s: guest memory is not registered with io_uring: %s", blk->id,
			 strerror(-ret));
}

/* The ring's requests name a registered file, and there is one: the image. */
static int confine(struct blk *blk)
{
	static const uint8_t ops[] = { IORING_OP_READV, IORING_OP_WRITEV,     IORING_OP_READ,
				       IORING_OP_WRITE, IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,
				       IORING_OP_FSYNC, IORING_OP_FALLOCATE };
	const struct ring_limits limits = {
		.ops = ops,
		.n_ops = ARRAY_SIZE(ops),
		.sqe_flags = IOSQE_FIXED_FILE,
		.may_flags = IOSQE_ASYNC,
	};

	return ring_confine(&blk->ring, &limits);
}

int blk_io_open(struct blk *blk, struct err *err)
{
	int ret = ring_open(&blk->ring, BLK_RING, 0);

	blk->poller = (struct loop_poller){ .look = on_look, .rest = on_rest, .arg = blk };
	if (ret)
		return err_set(err, -ret, "%s: io_uring with %u entries: %s", blk->id, BLK_RING,
			       strerror(-ret));
	blk->ring_open = true;
	ret = io_uring_register_files(&blk->ring, &blk->image.fd, 1);
	if (ret)
		return err_set(err, -ret, "%s: io_uring does not take the image: %s", blk->id,
			       strerror(-ret));
	if (blk->pinned)
		register_memory(blk);
	ret = confine(blk);
	if (ret)
		return err_set(err, -ret, "%s: io_uring does not take its limits: %s", blk->id,
			       strerror(-ret));
	return loop_watch(blk->host.loop, blk->ring.ring_fd, POLLIN, on_ring, blk, &blk->watch,
			  err);
}

void blk_io_close(struct blk *blk)
{
	struct io_uring_cqe *cqe;
	struct blk_request *r;

	loop_unwatch(blk->watch);
	loop_poll_end(blk->host.loop, &blk->poller);
	/* The kernel may still read and write guest memory, which is unmapped next. */
	blk_submit(blk);
	while (blk->ring_open && blk->in_flight && !io_uring_wait_cqe(&blk->ring, &cqe)) {
		r = io_uring_cqe_get_data(cqe);
		io_uring_cqe_seen(&blk->ring, cqe);
		landed(blk, r);
		blk_request_put(blk, r);
	}
	if (blk->ring_open)
		io_uring_queue_exit(&blk->ring);
	while ((r = blk->free)) {
		blk->free = r->next;
		free(r->iov);
		free(r);
	}
	free(blk->fixed);
	if (blk->zeros)
		munmap(blk->zeros, BLK_ZERO_BYTES);
}
