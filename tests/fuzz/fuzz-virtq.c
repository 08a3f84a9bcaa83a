/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile ring: the input is guest memory with the rings in it, written anew between looks, and
 * the device takes, answers, rearms and notifies. What must hold: pieces lie inside memory, no more
 * is in flight than the queue has entries, and nothing takes long.
 *
 * Input: one byte of mode, one of size, then steps of an operation byte; a write has an offset (2
 * bytes), a length (1) and its bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/virtio/queue.h"

#define BASE  0x1000ULL
#define BYTES 0x8000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct held {
	uint16_t id, slots;
};

struct run {
	uint8_t *memory;
	struct virtio_memory table;
	struct virtq q;
	struct virtq_chain chain;
	struct held held[VIRTQ_SIZE_MAX];
	unsigned int n;
};

static void check_chain(struct run *run)
{
	uint64_t out = 0, in = 0;

	for (unsigned int i = 0; i < run->chain.n_out + run->chain.n_in; i++) {
		const struct iovec *v = &run->chain.iov[i];
		uint64_t at = (uint64_t)((uint8_t *)v->iov_base - run->memory);

		if (!v->iov_len || !range_inside(at, v->iov_len, 0, BYTES))
			abort();
		*(i < run->chain.n_out ? &out : &in) += v->iov_len;
	}
	if (out != run->chain.out_bytes || in != run->chain.in_bytes || !run->chain.slots ||
	    run->chain.slots > run->q.size)
		abort();
}

static bool step(struct run *run, uint8_t op)
{
	struct err err = { 0 };
	uint8_t bytes[32];
	int ret;

	switch (op % 8) {
	case 0:
	case 1:
		ret = virtq_pop(&run->q, &run->chain, &err);
		if (ret < 0)
			return err.text[0] ? false : (abort(), false);
		if (!ret)
			return true;
		if (run->n == run->q.size)
			abort();
		check_chain(run);
		run->held[run->n++] = (struct held){ run->chain.id, run->chain.slots };
		memset(bytes, op, sizeof(bytes));
		(void)virtq_read(&run->chain, op, bytes, sizeof(bytes));
		(void)virtq_write(&run->chain, op, bytes, sizeof(bytes));
		return true;
	case 2:
	case 3:
		if (run->n) {
			unsigned int at = op / 8 % run->n;
			struct held h = run->held[at];

			run->n--;
			run->held[at] = run->held[run->n];
			virtq_push(&run->q, h.id, h.slots, op);
		}
		return true;
	case 4:
		(void)virtq_publish(&run->q);
		return true;
	case 5:
		(void)virtq_publish(&run->q);
		(void)virtq_should_notify(&run->q);
		return true;
	case 6:
		virtq_kicks_off(&run->q);
		return true;
	default:
		(void)virtq_kicks_on(&run->q);
		return true;
	}
}

static void steps(struct run *run, const uint8_t *data, size_t size)
{
	while (size) {
		uint8_t op = *data++;

		size--;
		if (op < 0x80) {
			if (!step(run, op))
				return;
		} else if (size >= 3) {
			uint64_t at = load_le(data, 2) % BYTES;
			size_t len = MIN(MIN(data[2], size - 3), BYTES - at);

			memcpy(run->memory + at, data + 3, len);
			data += 3 + len;
			size -= 3 + len;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run *run;
	struct err err;

	if (size < 2)
		return 0;
	run = calloc(1, sizeof(*run));
	/* An allocation of exactly the memory: a byte past it is found. */
	run->memory = calloc(1, BYTES);
	run->table = (struct virtio_memory){ .n = 1, .range[0] = { BASE, BYTES, run->memory } };
	run->q = (struct virtq){ .size = data[1] % 64,
				 .desc = BASE,
				 .driver = BASE + 0x400,
				 .device = BASE + 0x800,
				 .packed = data[0] & 1,
				 .event_idx = data[0] & 2,
				 .indirect = data[0] & 4 };
	if (!virtq_start(&run->q, &run->table, &err))
		steps(run, data + 2, size - 2);
	free(run->memory);
	free(run);
	return 0;
}
