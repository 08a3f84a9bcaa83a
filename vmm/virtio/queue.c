/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both queue layouts have in common: where the rings lie, the checks on the pieces of a
 * buffer, and copying in and out of them.
 */
#include "vmm/virtio/queue.h"

#include <errno.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/virtio/queue-internal.h"

struct area {
	const char *name;
	uint64_t address, bytes;
	unsigned int align; /* virtio 1.2 sections 2.7 and 2.8.10.1 */
	uint8_t **host;
};

int virtq_start(struct virtq *q, const struct virtio_memory *memory, struct err *err)
{
	const uint64_t n = q->size;
	const struct area areas[] = {
		{ "descriptor area", q->desc, DESC_SIZE * n, 16, &q->desc_ring },
		{ "driver area", q->driver, q->packed ? 4 : 6 + 2 * n, q->packed ? 4 : 2,
		  &q->driver_area },
		{ "device area", q->device, q->packed ? 4 : 6 + 8 * n, 4, &q->device_area },
	};

	if (!n || n > VIRTQ_SIZE_MAX || (!q->packed && !is_pow2(n)))
		return err_set(err, EINVAL, "a %s queue cannot have %u entries",
			       q->packed ? "packed" : "split", q->size);
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		const struct area *a = &areas[i];

		*a->host = is_aligned(a->address, a->align)
				   ? virtio_memory_at(memory, a->address, a->bytes)
				   : NULL;
		if (!*a->host)
			return err_set(err, EINVAL,
				       "the %s at %#llx (%llu bytes) is not aligned to %u or not "
				       "in guest memory",
				       a->name, (unsigned long long)a->address,
				       (unsigned long long)a->bytes, a->align);
	}
	q->memory = memory;
	q->next_avail = q->next_used = q->in_flight = q->staged = q->signalled = 0;
	q->avail_wrap = q->used_wrap = true;
	q->signalled_valid = false;
	return 0;
}

int virtq_chain_add(const struct virtq *q, struct virtq_chain *chain, uint64_t address,
		    uint32_t len, bool write, struct err *err)
{
	unsigned int n = chain->n_out + chain->n_in;
	uint8_t *hva;

	if (!write && chain->n_in)
		return err_set(err, EPROTO,
			       "a device-readable descriptor follows a device-writable one");
	if (!len)
		return 0;
	if (n == VIRTQ_SIZE_MAX)
		return err_set(err, EPROTO, "a buffer has more than %u pieces", VIRTQ_SIZE_MAX);
	hva = virtio_memory_at(q->memory, address, len);
	if (!hva)
		return err_set(err, EPROTO, "%#llx + %#x is not guest memory",
			       (unsigned long long)address, len);
	chain->iov[n] = (struct iovec){ .iov_base = hva, .iov_len = len };
	if (write) {
		chain->n_in++;
		chain->in_bytes += len;
	} else {
		chain->n_out++;
		chain->out_bytes += len;
	}
	return 0;
}

const uint8_t *virtq_indirect_table(const struct virtq *q, uint64_t address, uint32_t len,
				    unsigned int *entries, struct err *err)
{
	const uint8_t *table;

	if (!q->indirect) {
		err_set(err, EPROTO, "an indirect descriptor, which was not negotiated");
		return NULL;
	}
	if (!len || len % DESC_SIZE || len / DESC_SIZE > VIRTQ_SIZE_MAX) {
		err_set(err, EPROTO, "an indirect table of %u bytes: 1 to %u entries of %u fit",
			len, VIRTQ_SIZE_MAX, DESC_SIZE);
		return NULL;
	}
	table = virtio_memory_at(q->memory, address, len);
	if (!table)
		err_set(err, EPROTO, "an indirect table at %#llx, which is not guest memory",
			(unsigned long long)address);
	*entries = len / DESC_SIZE;
	return table;
}

bool virtq_ready(const struct virtq *q)
{
	return q->packed ? packed_ready(q) : split_ready(q);
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain, struct err *err)
{
	chain->n_out = chain->n_in = 0;
	chain->out_bytes = chain->in_bytes = 0;
	chain->slots = 1;
	return q->packed ? packed_pop(q, chain, err) : split_pop(q, chain, err);
}

void virtq_push(struct virtq *q, uint16_t id, uint16_t slots, uint32_t written)
{
	if (q->packed)
		packed_push(q, id, slots, written);
	else
		split_push(q, id, written);
}

bool virtq_publish(struct virtq *q)
{
	if (!q->staged)
		return false;
	if (q->packed)
		packed_publish(q);
	else
		split_publish(q);
	q->in_flight = (uint16_t)(q->in_flight - q->staged);
	q->staged = 0;
	return true;
}

bool virtq_should_notify(struct virtq *q)
{
	/* What was published must be visible before the driver's wish is read, as it is there. */
	__sync_synchronize();
	return q->packed ? packed_should_notify(q) : split_should_notify(q);
}

void virtq_kicks_off(struct virtq *q)
{
	if (q->packed)
		packed_kicks_off(q);
	else
		split_kicks_off(q);
}

bool virtq_kicks_on(struct virtq *q)
{
	return q->packed ? packed_kicks_on(q) : split_kicks_on(q);
}

/* --- pieces ---------------------------------------------------------------------------------- */

size_t iov_read(const struct iovec *iov, unsigned int n, uint64_t skip, void *data, size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n && done < len; i++) {
		size_t part = iov[i].iov_len;

		if (skip >= part) {
			skip -= part;
			continue;
		}
		part = MIN(part - (size_t)skip, len - done);
		memcpy((char *)data + done, (const char *)iov[i].iov_base + skip, part);
		done += part;
		skip = 0;
	}
	return done;
}

size_t iov_write(const struct iovec *iov, unsigned int n, uint64_t skip, const void *data,
		 size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n && done < len; i++) {
		size_t part = iov[i].iov_len;

		if (skip >= part) {
			skip -= part;
			continue;
		}
		part = MIN(part - (size_t)skip, len - done);
		memcpy((char *)iov[i].iov_base + skip, (const char *)data + done, part);
		done += part;
		skip = 0;
	}
	return done;
}

size_t virtq_read(const struct virtq_chain *chain, uint64_t skip, void *data, size_t len)
{
	return iov_read(chain->iov, chain->n_out, skip, data, len);
}

size_t virtq_write(const struct virtq_chain *chain, uint64_t skip, const void *data, size_t len)
{
	return iov_write(chain->iov + chain->n_out, chain->n_in, skip, data, len);
}
