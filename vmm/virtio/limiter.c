/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/limiter.h"

#include "util/bits.h"
#include "util/clock.h"

#define NS_PER_MS 1000000.0

void limiter_init(struct limiter *limiter, const struct bucket *bytes, const struct bucket *ops,
		  uint64_t now_ns)
{
	*limiter = (struct limiter){
		.bytes = *bytes,
		.ops = *ops,
		.left_bytes = (double)bytes->size,
		.left_ops = (double)ops->size,
		.burst_bytes = (double)bytes->burst,
		.burst_ops = (double)ops->burst,
		.last_ns = now_ns,
	};
}

static void refill(const struct bucket *bucket, double *left, uint64_t ns)
{
	if (bucket->size)
		*left = MIN((double)bucket->size, *left + (double)bucket->size *
								  ((double)ns / NS_PER_MS) /
								  bucket->refill_ms);
}

static uint64_t wait_of(const struct bucket *bucket, double left)
{
	if (!bucket->size || left > 0)
		return 0;
	return (uint64_t)(-left * bucket->refill_ms * NS_PER_MS / (double)bucket->size) + 1;
}

uint64_t limiter_wait(struct limiter *limiter, uint64_t now_ns)
{
	uint64_t ns = now_ns - limiter->last_ns, a, b;

	if (!limiter->bytes.size && !limiter->ops.size)
		return 0;
	limiter->last_ns = now_ns;
	refill(&limiter->bytes, &limiter->left_bytes, ns);
	refill(&limiter->ops, &limiter->left_ops, ns);
	a = wait_of(&limiter->bytes, limiter->left_bytes);
	b = wait_of(&limiter->ops, limiter->left_ops);
	return MAX(a, b);
}

static void take(double *burst, double *left, double cost)
{
	double from_burst = MIN(*burst, cost);

	*burst -= from_burst;
	*left -= cost - from_burst;
}

void limiter_take(struct limiter *limiter, uint64_t bytes)
{
	if (limiter->bytes.size)
		take(&limiter->burst_bytes, &limiter->left_bytes, (double)bytes);
	if (limiter->ops.size)
		take(&limiter->burst_ops, &limiter->left_ops, 1);
}
