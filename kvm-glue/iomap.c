/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm-glue/iomap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"

/*
 * Immutable once published; sorted by base, without overlaps. The search reads nothing but `last`,
 * a few words side by side, since after a guest ran little of it is in the cache.
 */
struct io_table {
	uint64_t *last; /* last address of each region; behind the regions */
	unsigned int count;
	struct epoch_retired retired;
	struct io_region regions[];
};

static struct io_table *table_new(unsigned int count)
{
	struct io_table *table = malloc(
		sizeof(*table) + count * (sizeof(table->regions[0]) + sizeof(table->last[0])));

	if (table) {
		table->count = count;
		table->last = (uint64_t *)&table->regions[count];
	}
	return table;
}

static void table_free(struct epoch_retired *retired)
{
	free(container_of(retired, struct io_table, retired));
}

int iomap_init(struct iomap *map, struct epoch *epoch)
{
	*map = (struct iomap){ .table = table_new(0), .generation = 1, .epoch = epoch };
	if (!map->table)
		return -ENOMEM;
	pthread_mutex_init(&map->lock, NULL);
	return 0;
}

void iomap_destroy(struct iomap *map)
{
	free(map->table);
	pthread_mutex_destroy(&map->lock);
}

static void publish(struct iomap *map, struct io_table *fresh)
{
	struct io_table *old = map->table;

	for (unsigned int i = 0; i < fresh->count; i++)
		fresh->last[i] = fresh->regions[i].base + (fresh->regions[i].size - 1);

	__atomic_store_n(&map->table, fresh, __ATOMIC_RELEASE);
	/* Before the old table is retired: who enters a section later must not trust its cache. */
	__atomic_store_n(&map->generation, map->generation + 1, __ATOMIC_RELEASE);
	epoch_retire(map->epoch, &old->retired, table_free);
}

/*
 * First region that ends at or above addr; table->count where there is none. The steps do not
 * depend on the outcomes, so that there is nothing to mispredict.
 */
static unsigned int first_not_below(const struct io_table *table, uint64_t addr)
{
	const uint64_t *low = table->last;
	unsigned int n = table->count;

	while (n > 1) {
		unsigned int half = n / 2;

		low += low[half - 1] < addr ? half : 0;
		n -= half;
	}
	return (unsigned int)(low - table->last) + (n && *low < addr);
}

static int index_of(const struct io_table *table, uint64_t base, const void *opaque)
{
	unsigned int i = first_not_below(table, base);

	if (i < table->count && table->regions[i].base == base &&
	    table->regions[i].opaque == opaque)
		return (int)i;
	return -ENOENT;
}

/* The table without entry `skip` (-1: with all) and with `region` put in its place. */
static int table_with(const struct io_table *old, int skip, const struct io_region *region,
		      struct io_table **out)
{
	struct io_table *fresh = table_new(old->count + 1 - (skip >= 0));
	unsigned int n = 0;
	bool placed = false;

	if (!fresh)
		return -ENOMEM;
	for (unsigned int i = 0; i < old->count; i++) {
		const struct io_region *r = &old->regions[i];

		if ((int)i == skip)
			continue;
		if (range_overlaps(r->base, r->size, region->base, region->size)) {
			free(fresh);
			return -EEXIST;
		}
		if (!placed && r->base > region->base) {
			fresh->regions[n++] = *region;
			placed = true;
		}
		fresh->regions[n++] = *r;
	}
	if (!placed)
		fresh->regions[n] = *region;
	*out = fresh;
	return 0;
}

int iomap_add(struct iomap *map, const struct io_region *region)
{
	struct io_table *fresh;
	int ret;

	if (!region->size || range_wraps(region->base, region->size))
		return -EINVAL;
	pthread_mutex_lock(&map->lock);
	ret = table_with(map->table, -1, region, &fresh);
	if (!ret)
		publish(map, fresh);
	pthread_mutex_unlock(&map->lock);
	return ret;
}

int iomap_remove(struct iomap *map, uint64_t base, const void *opaque)
{
	struct io_table *fresh;
	int index, ret = 0;

	pthread_mutex_lock(&map->lock);
	index = index_of(map->table, base, opaque);
	if (index < 0) {
		ret = index;
		goto out;
	}
	fresh = table_new(map->table->count - 1);
	if (!fresh) {
		ret = -ENOMEM;
		goto out;
	}
	memcpy(fresh->regions, map->table->regions,
	       (unsigned int)index * sizeof(fresh->regions[0]));
	memcpy(fresh->regions + index, map->table->regions + index + 1,
	       (fresh->count - (unsigned int)index) * sizeof(fresh->regions[0]));
	publish(map, fresh);
out:
	pthread_mutex_unlock(&map->lock);
	return ret;
}

int iomap_move(struct iomap *map, uint64_t base, const void *opaque, uint64_t new_base)
{
	struct io_region region;
	struct io_table *fresh;
	int index, ret;

	pthread_mutex_lock(&map->lock);
	index = index_of(map->table, base, opaque);
	ret = index;
	if (index < 0)
		goto out;
	region = map->table->regions[index];
	region.base = new_base;
	ret = -EINVAL;
	if (range_wraps(new_base, region.size))
		goto out;
	ret = table_with(map->table, index, &region, &fresh);
	if (!ret)
		publish(map, fresh);
out:
	pthread_mutex_unlock(&map->lock);
	return ret;
}

const struct io_region *iomap_find(const struct iomap *map, uint64_t addr)
{
	const struct io_table *table = __atomic_load_n(&map->table, __ATOMIC_ACQUIRE);
	unsigned int i = first_not_below(table, addr);

	if (i < table->count && table->regions[i].base <= addr)
		return &table->regions[i];
	return NULL;
}

static bool one_access(const struct io_region *r, uint64_t addr, unsigned int len)
{
	return is_pow2(len) && range_inside(addr, len, r->base, r->size);
}

static uint64_t region_read(const struct io_region *r, uint64_t addr, unsigned int len)
{
	return r->ops->read ? r->ops->read(r->opaque, addr - r->base, len) : ~0ULL;
}

static void region_write(const struct io_region *r, uint64_t addr, uint64_t value, unsigned int len)
{
	if (r->ops->write)
		r->ops->write(r->opaque, addr - r->base, value, len);
}

COLD bool iomap_read(const struct iomap *map, uint64_t addr, void *data, unsigned int len)
{
	const struct io_region *r = iomap_find(map, addr);
	uint8_t *bytes = data;
	bool whole = true;

	if (r && one_access(r, addr, len)) {
		store_le(data, region_read(r, addr, len), len);
		return true;
	}
	for (unsigned int i = 0; i < len; i++) {
		r = iomap_find(map, addr + i);
		bytes[i] = r ? (uint8_t)region_read(r, addr + i, 1) : 0xff;
		whole &= r != NULL;
	}
	return whole;
}

COLD bool iomap_write(const struct iomap *map, uint64_t addr, const void *data, unsigned int len)
{
	const struct io_region *r = iomap_find(map, addr);
	const uint8_t *bytes = data;
	bool whole = true;

	if (r && one_access(r, addr, len)) {
		region_write(r, addr, load_le(data, len), len);
		return true;
	}
	for (unsigned int i = 0; i < len; i++) {
		r = iomap_find(map, addr + i);
		if (r)
			region_write(r, addr + i, bytes[i], 1);
		whole &= r != NULL;
	}
	return whole;
}

/* False: no access to one region. */
COLD static bool fill(const struct iomap *map, struct iomap_cache *cache, uint64_t generation,
		      uint64_t addr, unsigned int len)
{
	const struct io_region *r = iomap_find(map, addr);

	if (!r || !one_access(r, addr, len))
		return false;
	*cache = (struct iomap_cache){
		.generation = generation,
		.base = r->base,
		.size = r->size,
		.opaque = r->opaque,
		.read = r->ops->read,
		.write = r->ops->write,
	};
	return true;
}

/* Whether the cache answers this access; it is filled where it can. */
static inline bool cached(const struct iomap *map, struct iomap_cache *cache, uint64_t addr,
			  unsigned int len)
{
	/* Before the table is looked at: what is kept of an older one is not believed. */
	uint64_t generation = __atomic_load_n(&map->generation, __ATOMIC_ACQUIRE);

	if (cache->generation == generation && is_pow2(len) &&
	    range_inside(addr, len, cache->base, cache->size))
		return true;
	return fill(map, cache, generation, addr, len);
}

HOT bool iomap_read_cached(const struct iomap *map, struct iomap_cache *cache, uint64_t addr,
			   void *data, unsigned int len)
{
	uint64_t value = ~0ULL;

	if (!cached(map, cache, addr, len))
		return iomap_read(map, addr, data, len);
	if (cache->read)
		value = cache->read(cache->opaque, addr - cache->base, len);
	store_le(data, value, len);
	return true;
}

HOT bool iomap_write_cached(const struct iomap *map, struct iomap_cache *cache, uint64_t addr,
			    const void *data, unsigned int len)
{
	if (!cached(map, cache, addr, len))
		return iomap_write(map, addr, data, len);
	if (cache->write)
		cache->write(cache->opaque, addr - cache->base, load_le(data, len), len);
	return true;
}
