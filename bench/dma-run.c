/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping a device at work for a while, whatever it is, and how long each operation took. */
#include "bench/dma-device.h"

static bool is_one_of(const struct dma_driver *driver, uint16_t vendor, uint16_t device)
{
	if (driver->vendor != vendor)
		return false;
	for (unsigned int i = 0; i < DMA_IDS && driver->devices[i]; i++) {
		if (driver->devices[i] == device)
			return true;
	}
	return false;
}

const struct dma_driver *dma_find(uint16_t vendor, uint16_t device, uint32_t class_code)
{
	static const struct dma_driver *const drivers[] = { &dma_edu, &dma_nvme_driver,
							    &dma_dsa_driver, &dma_ioat_driver };

	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		const struct dma_driver *driver = drivers[i];

		if (driver->class_code ? driver->class_code == class_code
				       : is_one_of(driver, vendor, device))
			return driver;
	}
	return NULL;
}

/* --- latencies ------------------------------------------------------------------------------- */

unsigned int dma_bucket(uint64_t ticks)
{
	unsigned int top = ticks < 32 ? 5 : 63 - (unsigned int)__builtin_clzll(ticks);

	return (top - 5) * 32 + (unsigned int)(ticks >> (top - 5)) % 32 + (ticks < 32 ? 0 : 32);
}

/* The middle of a bucket. */
static uint64_t ticks_of(unsigned int bucket)
{
	unsigned int shift = bucket < 64 ? 0 : bucket / 32 - 1;
	uint64_t base = bucket < 32 ? bucket : 32 + bucket % 32;

	return (base << shift) + ((1ULL << shift) >> 1);
}

/* The middle of the last bucket may be beyond all that is in it. */
static uint64_t no_longer(const struct dma_result *result, uint64_t ticks)
{
	return result->longest && result->longest < ticks ? result->longest : ticks;
}

uint64_t dma_latency(const struct dma_result *result, unsigned int of_1000)
{
	uint64_t seen = 0, all = 0;

	for (unsigned int i = 0; i < DMA_BUCKETS; i++)
		all += result->latency[i];
	for (unsigned int i = 0; i < DMA_BUCKETS; i++) {
		seen += result->latency[i];
		if (seen && seen * 1000 >= all * of_1000)
			return no_longer(result, ticks_of(i));
	}
	return 0;
}

/* --- what both loops need --------------------------------------------------------------------- */

/* Of moves one behind the other, as the proof has them. */
static uint64_t size_of(const struct dma_load *load)
{
	return (uint64_t)load->bytes * load->batch;
}

static uint64_t stride_of(const struct dma_load *load)
{
	return load->stride ? load->stride : load->bytes;
}

static void take_load(struct dma_device *d, const struct dma_load *load, const char *at)
{
	d->bytes = load->bytes;
	d->batch = load->batch;
	d->stride = stride_of(load);
	d->queues = load->queues ? load->queues : 1;
	d->in_row = load->in_row ? load->in_row : 1;
	d->own_lanes = load->own_lanes;
	d->random = load->random;
	d->sent = 0;
	d->at = at;
	d->failed = 0;
}

static bool may_wait(struct dma_device *d, uint64_t now, uint64_t last)
{
	return now - last < d->patience && !__atomic_load_n(&d->lost, __ATOMIC_RELAXED);
}

/* --- the proof ---------------------------------------------------------------------------------
 */

/* No two of its words are the same, so what comes from another place is seen. */
void dma_fill_source(struct dma_device *d)
{
	uint64_t *word = (uint64_t *)(d->memory + DMA_SOURCE);

	for (uint64_t i = 0; i < DMA_SOURCE_BYTES / 8; i++)
		word[i] = (i + 1) * 0x9e3779b97f4a7c15u;
}

static bool once(struct dma_device *d, const struct dma_load *load, unsigned int lanes, int wiped)
{
	uint64_t size = size_of(load), busy = 0, last = dma_ticks();

	__builtin_memset(d->memory + DMA_OWN, wiped, lanes * size);
	if (d->driver->rewind)
		d->driver->rewind(d);
	for (unsigned int lane = 0; lane < lanes; lane++) {
		busy |= 1ULL << lane;
		d->driver->submit(d, lane, d->address + DMA_OWN + lane * size, true);
	}
	while (busy && !d->failed) {
		uint64_t done = d->driver->reap(d), now = dma_ticks();

		if (done)
			last = now;
		else if (!may_wait(d, now, last))
			return false;
		busy &= ~done;
	}
	return !d->failed;
}

/* Of bytes in their order. */
static uint64_t digest(const uint8_t *at, uint64_t size)
{
	uint64_t sum = size, word;

	for (; size >= 8; size -= 8, at += 8) {
		__builtin_memcpy(&word, at, 8);
		sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
		sum ^= sum >> 29;
	}
	for (; size; size--, at++)
		sum = (sum ^ *at) * 0x9e3779b97f4a7c15u;
	return sum;
}

static bool is_right(struct dma_device *d, const struct dma_load *load, unsigned int lanes)
{
	const uint8_t *is = d->memory + DMA_OWN;

	for (unsigned int i = 0; d->driver->brings && i < lanes * load->batch; i++) {
		if (__builtin_memcmp(is + (uint64_t)i * load->bytes, d->driver->brings(d),
				     load->bytes) != 0)
			return false;
	}
	return true;
}

/* Of as many lanes as the load has. */
static bool prove_lanes(struct dma_device *d, const struct dma_load *load, unsigned int lanes)
{
	uint64_t first;

	d->at = "the first operations of a load";
	if (!once(d, load, lanes, 0x5a))
		return false;
	first = digest(d->memory + DMA_OWN, lanes * size_of(load));
	if (!once(d, load, lanes, 0xa5))
		return false;
	d->at = "what arrived, which is not what was sent";
	if (digest(d->memory + DMA_OWN, lanes * size_of(load)) != first)
		return false;
	return is_right(d, load, lanes);
}

bool dma_prove(struct dma_device *d, const struct dma_load *load)
{
	uint64_t places = load->size / size_of(load);
	unsigned int lanes = places < load->depth ? (unsigned int)places : load->depth;

	take_load(d, load, "the first operations of a load");
	d->stride = load->bytes;
	d->in_row = 1;
	d->random = false;
	for (unsigned int queue = 0; queue < d->queues; queue += lanes) {
		if (!prove_lanes(d, load, lanes))
			return false;
	}
	return true;
}

/* --- the loop -------------------------------------------------------------------------------- */

struct lanes {
	uint64_t begun[DMA_LANES];
	uint64_t busy; /* bits */
	uint64_t random, place, places;
	uint64_t span; /* of an operation, with the gaps behind its moves */
};

static void begin(struct dma_device *d, const struct dma_load *load, struct lanes *lanes,
		  unsigned int lane)
{
	bool to_memory;

	lanes->random = lanes->random * 6364136223846793005u + 1442695040888963407u;
	to_memory = (lanes->random >> 40) % 100 >= load->writes;
	if (load->random)
		lanes->place = (lanes->random >> 33) % lanes->places;
	lanes->busy |= 1ULL << lane;
	lanes->begun[lane] = dma_ticks();
	d->driver->submit(d, lane, d->address + DMA_OWN + lanes->place * lanes->span, to_memory);
	lanes->place = lanes->place + 1 < lanes->places ? lanes->place + 1 : 0;
}

/* What is done, and as many again where `more`. False: something failed, or is not waited for. */
static bool take(struct dma_device *d, const struct dma_load *load, struct lanes *lanes,
		 struct dma_result *result, bool more, uint64_t *last)
{
	uint64_t done = d->driver->reap(d), now = dma_ticks();

	if (!done)
		return !d->failed && may_wait(d, now, *last);
	*last = now;
	done &= lanes->busy;
	lanes->busy &= ~done;
	while (done) {
		unsigned int lane = (unsigned int)__builtin_ctzll(done);
		uint64_t latency = now - lanes->begun[lane];

		done &= done - 1;
		result->done++;
		result->latency[dma_bucket(latency)]++;
		if (latency > result->longest)
			result->longest = latency;
		if (more)
			begin(d, load, lanes, lane);
	}
	return !d->failed;
}

bool dma_run(struct dma_device *d, const struct dma_load *load, struct dma_result *result)
{
	uint64_t span = load->batch * stride_of(load);
	struct lanes lanes = { .random = 1, .places = load->size / span, .span = span };
	uint64_t start = dma_ticks(), last = start;
	bool good = true;

	*result = (struct dma_result){ 0 };
	take_load(d, load, "a load");
	for (unsigned int lane = 0; lane < load->depth; lane++)
		begin(d, load, &lanes, lane);
	while (good && dma_ticks() - start < load->ramp)
		good = take(d, load, &lanes, result, true, &last);
	if (good && load->ramp) {
		*result = (struct dma_result){ 0 };
		start = dma_ticks();
	}
	while (good && (dma_ticks() - start < load->ticks || result->done < load->least))
		good = take(d, load, &lanes, result, true, &last);
	while (good && lanes.busy)
		good = take(d, load, &lanes, result, false, &last);
	result->ticks = dma_ticks() - start;
	return good;
}
