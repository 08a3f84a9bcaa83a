/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operations do to bytes of guest memory. vCPUs and other engines write the same bytes at
 * the same time, and that is the guest's own affair: these functions may return any mixture of old
 * and new bytes, but they read no byte twice to decide, and the thread sanitizer is told of them,
 * so that what it reports elsewhere is meant.
 */
#ifndef ADIT_PASSTHROUGH_ADI_DSA_MEMORY_H
#define ADIT_PASSTHROUGH_ADI_DSA_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As memmove. */
void dsa_copy(void *to, const void *from, size_t n);
/* As memcpy past the caches, complete for every reader when it returns. */
void dsa_copy_stream(void *to, const void *from, size_t n);
/*
 * From how many bytes on a descriptor that does not ask for the caches is better copied past them;
 * SIZE_MAX: never. It may ask the CPU, which takes microseconds in a VM.
 */
size_t dsa_stream_from(void);

/* The pattern's byte `phase` comes first. */
void dsa_fill(void *to, uint64_t pattern, unsigned int phase, size_t n);
/* How many bytes are equal from the start. */
size_t dsa_equal(const void *a, const void *b, size_t n);
size_t dsa_equal_pattern(const void *a, uint64_t pattern, unsigned int phase, size_t n);
uint64_t dsa_load64(const void *from); /* aligned */

enum dsa_flush_way {
	DSA_FLUSH_CLFLUSH,
	DSA_FLUSH_CLFLUSHOPT,
	DSA_FLUSH_CLWB, /* lines stay in the caches */
};

/* What the CPU offers. It asks the CPU, which takes microseconds in a VM. */
enum dsa_flush_way dsa_flush_way(bool evict);
/* Writes lines back to memory; complete when it returns. */
void dsa_flush(void *at, size_t n, enum dsa_flush_way way);

/* CRC-32C with its bits in reflected order, without inversion. Of private memory. */
uint32_t dsa_crc32c(uint32_t crc, const void *from, size_t n);
/* T10 DIF's, most significant bit first. Of private memory. */
uint16_t dsa_crc16_t10(uint16_t crc, const void *from, size_t n);

#endif
