/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying, filling, comparing and flushing guest memory.
 *
 * Which copy wins was measured (docs/benchmarks.md): the C library's for what is small beside the
 * second-level cache, since it knows the CPU; beyond that stores that go past the caches, for the
 * lines that the others fetch first are a third of the traffic. The C library does so too, but only
 * from some MiB on, and an engine hands it one descriptor or section at a time.
 */
#include "passthrough/adi/dsa-memory.h"

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

/* Not instrumented: the races are the guest's own. */
#define GUEST_MEMORY __attribute__((no_sanitize("thread")))

#define LINE	   ((size_t)64)
#define L2_UNKNOWN ((size_t)512 * 1024)

#ifdef UNDER_TSAN
/* The sanitizer would look into a library call; it does not look into these instructions. */
void dsa_copy(void *to, const void *from, size_t n)
{
	char *t = to;
	const char *f = from;

	if (t <= f || t >= f + n) {
		__asm__ volatile("rep movsb" : "+D"(t), "+S"(f), "+c"(n) : : "memory");
		return;
	}
	t += n - 1;
	f += n - 1;
	__asm__ volatile("std; rep movsb; cld" : "+D"(t), "+S"(f), "+c"(n) : : "memory");
}
#else
void dsa_copy(void *to, const void *from, size_t n)
{
	memmove(to, from, n);
}
#endif

__attribute__((target("avx2"))) GUEST_MEMORY static void stream_avx2(char *to, const char *from,
								     size_t n)
{
	for (; n >= 2 * LINE; n -= 2 * LINE, to += 2 * LINE, from += 2 * LINE) {
		__m256i a = _mm256_loadu_si256((const __m256i_u *)from);
		__m256i b = _mm256_loadu_si256((const __m256i_u *)(from + 32));
		__m256i c = _mm256_loadu_si256((const __m256i_u *)(from + 64));
		__m256i d = _mm256_loadu_si256((const __m256i_u *)(from + 96));

		_mm_prefetch(from + 1024, _MM_HINT_NTA);
		_mm_prefetch(from + 1024 + LINE, _MM_HINT_NTA);
		_mm256_stream_si256((__m256i *)to, a);
		_mm256_stream_si256((__m256i *)(to + 32), b);
		_mm256_stream_si256((__m256i *)(to + 64), c);
		_mm256_stream_si256((__m256i *)(to + 96), d);
	}
	_mm_sfence();
	dsa_copy(to, from, n);
}

void dsa_copy_stream(void *to, const void *from, size_t n)
{
	size_t head = MIN(n, (size_t)(-(uintptr_t)to & 31));

	dsa_copy(to, from, head);
	stream_avx2((char *)to + head, (const char *)from + head, n - head);
}

size_t dsa_stream_from(void)
{
	long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);

	if (!__builtin_cpu_supports("avx2"))
		return SIZE_MAX;
	return MAX((size_t)64 * KIB, (l2 > 0 ? (size_t)l2 : L2_UNKNOWN) / 8);
}

/* --- patterns: the byte at offset i of a buffer is byte (phase + i) % 8 ---------------------- */

static uint64_t rotated(uint64_t pattern, unsigned int phase)
{
	phase = phase % 8 * 8;
	return phase ? pattern >> phase | pattern << (64 - phase) : pattern;
}

GUEST_MEMORY void dsa_fill(void *to, uint64_t pattern, unsigned int phase, size_t n)
{
	uint64_t word = rotated(pattern, phase), words = n / 8;
	char *at = to;

	__asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(word) : "memory");
	for (n %= 8; n; n--, word >>= 8)
		*(volatile char *)at++ = (char)word;
}

/* --- comparing ------------------------------------------------------------------------------- */

typedef uint64_t word_u __attribute__((aligned(1), may_alias));
typedef uint64_t lane_u __attribute__((vector_size(32), aligned(1), may_alias));

static size_t first_difference(uint64_t a, uint64_t b)
{
	return (size_t)__builtin_ctzll(a ^ b) / 8;
}

/* Whole lines that are equal. What is read again after one that is not may be equal by then. */
GUEST_MEMORY static size_t equal_lines(const char *a, const char *b, size_t n)
{
	size_t at = 0;

	for (; n - at >= LINE; at += LINE) {
		lane_u x = *(const lane_u *)(a + at) ^ *(const lane_u *)(b + at);
		lane_u y = *(const lane_u *)(a + at + 32) ^ *(const lane_u *)(b + at + 32);

		x |= y;
		if (x[0] | x[1] | x[2] | x[3])
			break;
	}
	return at;
}

GUEST_MEMORY size_t dsa_equal(const void *a, const void *b, size_t n)
{
	const char *x = a, *y = b;
	size_t at = equal_lines(x, y, n);

	for (; n - at >= 8; at += 8) {
		uint64_t p = *(const volatile word_u *)(x + at);
		uint64_t q = *(const volatile word_u *)(y + at);

		if (p != q)
			return at + first_difference(p, q);
	}
	while (at < n && *(const volatile char *)(x + at) == *(const volatile char *)(y + at))
		at++;
	return at;
}

GUEST_MEMORY size_t dsa_equal_pattern(const void *a, uint64_t pattern, unsigned int phase, size_t n)
{
	uint64_t word = rotated(pattern, phase);
	const char *x = a;
	size_t at = 0;

	for (; n - at >= 8; at += 8) {
		uint64_t p = *(const volatile word_u *)(x + at);

		if (p != word)
			return at + first_difference(p, word);
	}
	for (; at < n && *(const volatile char *)(x + at) == (char)word; at++)
		word >>= 8;
	return at;
}

GUEST_MEMORY uint64_t dsa_load64(const void *from)
{
	return *(const volatile uint64_t *)from;
}

/* --- caches ---------------------------------------------------------------------------------- */

__attribute__((target("clflushopt"))) static void evict_lines(char *at, const char *end)
{
	for (; at < end; at += LINE)
		_mm_clflushopt(at);
}

__attribute__((target("clwb"))) static void write_lines(char *at, const char *end)
{
	for (; at < end; at += LINE)
		_mm_clwb(at);
}

static void flush_lines(const char *at, const char *end)
{
	for (; at < end; at += LINE)
		_mm_clflush(at);
}

enum dsa_flush_way dsa_flush_way(bool evict)
{
	unsigned int a, b = 0, c, d;

	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
		b = 0;
	if (!evict && b & bit_CLWB)
		return DSA_FLUSH_CLWB;
	return b & bit_CLFLUSHOPT ? DSA_FLUSH_CLFLUSHOPT : DSA_FLUSH_CLFLUSH;
}

void dsa_flush(void *at, size_t n, enum dsa_flush_way way)
{
	char *line = (char *)at - ((uintptr_t)at % LINE);
	const char *end = (const char *)at + n;

	if (way == DSA_FLUSH_CLWB)
		write_lines(line, end);
	else if (way == DSA_FLUSH_CLFLUSHOPT)
		evict_lines(line, end);
	else
		flush_lines(line, end);
	_mm_sfence();
}
