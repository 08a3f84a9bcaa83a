/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on sizes, addresses and little-endian bytes that every room needs. */
#ifndef ADIT_UTIL_BITS_H
#define ADIT_UTIL_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KIB (1ULL << 10)
#define MIB (1ULL << 20)
#define GIB (1ULL << 30)
#define TIB (1ULL << 40)

#define BIT_U64(n)	      (1ULL << (n))
#define ARRAY_SIZE(a)	      (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)	      ((a) < (b) ? (a) : (b))
#define MAX(a, b)	      ((a) > (b) ? (a) : (b))
#define container_of(p, t, m) ((t *)((char *)(p)-offsetof(t, m)))

/* What each exit runs: such functions lie side by side, on few pages. */
#define HOT __attribute__((hot))
/* What they seldom come to, which would make them long. */
#define COLD __attribute__((noinline, cold))

static inline bool is_pow2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* align: a power of two. align_up wraps to 0 past the last multiple: check the sum before. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	return align_down(v + align - 1, align);
}

static inline bool is_aligned(uint64_t v, uint64_t align)
{
	return !(v & (align - 1));
}

/* True where [start, start + len) leaves 64 bits; len 0 never does. */
static inline bool range_wraps(uint64_t start, uint64_t len)
{
	return len && start + (len - 1) < start;
}

/* Both ranges must not wrap. An empty range overlaps nothing. */
static inline bool range_overlaps(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return alen && blen && a <= b + (blen - 1) && b <= a + (alen - 1);
}

/* True where [start, start + len) lies inside [outer, outer + outer_len), without wrapping. */
static inline bool range_inside(uint64_t start, uint64_t len, uint64_t outer, uint64_t outer_len)
{
	return start >= outer && start - outer <= outer_len && len <= outer_len - (start - outer);
}

/*
 * 1 to 8 bytes, little-endian (x86 only: the host is little-endian too). The usual widths are one
 * instruction each and not a call: this is on the path of every exit.
 */
static inline uint64_t load_le(const void *p, unsigned int bytes)
{
	uint64_t v = 0;

	switch (bytes) {
	case 1:
		return *(const uint8_t *)p;
	case 4:
		memcpy(&v, p, 4);
		return v;
	case 2:
		memcpy(&v, p, 2);
		return v;
	default:
		memcpy(&v, p, bytes);
		return v;
	}
}

static inline void store_le(void *p, uint64_t v, unsigned int bytes)
{
	switch (bytes) {
	case 1:
		memcpy(p, &v, 1);
		break;
	case 4:
		memcpy(p, &v, 4);
		break;
	case 2:
		memcpy(p, &v, 2);
		break;
	default:
		memcpy(p, &v, bytes);
		break;
	}
}

static inline uint64_t mask_bytes(unsigned int bytes)
{
	return bytes >= 8 ? ~0ULL : (1ULL << (bytes * 8)) - 1;
}

#endif
