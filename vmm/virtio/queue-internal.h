/* SPDX-License-Identifier: Apache-2.0 */
/* What queue.c, split.c and packed.c share: the descriptor, the chain under construction. */
#ifndef ADIT_VMM_VIRTIO_QUEUE_INTERNAL_H
#define ADIT_VMM_VIRTIO_QUEUE_INTERNAL_H

#include "vmm/virtio/queue.h"

#define DESC_NEXT     0x1u /* VIRTQ_DESC_F_* */
#define DESC_WRITE    0x2u
#define DESC_INDIRECT 0x4u

#define DESC_SIZE 16u /* of both layouts */

/* One piece of a buffer, from a private copy of its descriptor. -EPROTO. */
int virtq_chain_add(const struct virtq *q, struct virtq_chain *chain, uint64_t address,
		    uint32_t len, bool write, struct err *err);
/* The table of an indirect descriptor; *entries receives its length. NULL with a sentence. */
const uint8_t *virtq_indirect_table(const struct virtq *q, uint64_t address, uint32_t len,
				    unsigned int *entries, struct err *err);

/* Virtio 1.2 section 2.7.10: does the step from `old` to `now` pass `event`? */
static inline bool virtq_passes(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static inline uint16_t ring_load16(const uint8_t *at)
{
	return __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_ACQUIRE);
}

static inline void ring_store16(uint8_t *at, uint16_t value)
{
	__atomic_store_n((uint16_t *)(void *)at, value, __ATOMIC_RELEASE);
}

bool split_ready(const struct virtq *q);
int split_pop(struct virtq *q, struct virtq_chain *chain, struct err *err);
void split_push(struct virtq *q, uint16_t id, uint32_t written);
void split_publish(struct virtq *q);
bool split_should_notify(struct virtq *q);
void split_kicks_off(struct virtq *q);
bool split_kicks_on(struct virtq *q);

bool packed_ready(const struct virtq *q);
int packed_pop(struct virtq *q, struct virtq_chain *chain, struct err *err);
void packed_push(struct virtq *q, uint16_t id, uint16_t slots, uint32_t written);
void packed_publish(struct virtq *q);
bool packed_should_notify(struct virtq *q);
void packed_kicks_off(struct virtq *q);
bool packed_kicks_on(struct virtq *q);

#endif
