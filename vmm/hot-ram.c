/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks and who knows of them. One file, because the order is the point: users in the order in
 * which they joined, the guest last, and all of it backwards where a block goes or a step fails.
 */
#include "vmm/hot-ram.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm-glue/memory.h"
#include "util/bits.h"
#include "util/populate.h"
#include "vmm/ram.h"

#define WORD_BITS 64u

struct member {
	struct hot_ram_user user;
	struct member *prev, *next;
};

struct hot_ram {
	struct hot_ram_options options;
	struct ram ram;
	unsigned int n; /* blocks */
	pthread_mutex_t lock;
	struct member *first, *last; /* the guest is last */
	/* Written with the lock, read without. */
	uint64_t plugged[HOT_RAM_BLOCKS_MAX / WORD_BITS];
	unsigned int n_plugged;
	uint64_t was_plugged[HOT_RAM_BLOCKS_MAX / WORD_BITS]; /* ever; under lock */
	const char *pinned_by;
	/* Of KVM, once the guest has joined. */
	struct vm *vm;
	unsigned int slot[HOT_RAM_BLOCKS_MAX];
};

int hot_ram_block_size(uint64_t size, uint64_t hugepage_size, uint64_t *block_size, struct err *err)
{
	uint64_t block = MAX(HOT_RAM_BLOCK_MIN, hugepage_size);

	while (size / block > HOT_RAM_BLOCKS_MAX)
		block *= 2;
	*block_size = block;
	if (size && is_aligned(size, block))
		return 0;
	return err_set(err, EINVAL, "%llu MiB are not whole blocks of %llu MiB, its size here",
		       (unsigned long long)(size / MIB), (unsigned long long)(block / MIB));
}

int hot_ram_create(struct hot_ram **out, const struct hot_ram_options *options, struct err *err)
{
	const struct ram_options ram = { .size = options->size,
					 .hugepage_size = options->hugepage_size,
					 .shared = options->shared,
					 .on_demand = true };
	struct hot_ram *hot = calloc(1, sizeof(*hot));
	int ret;

	if (!hot)
		return err_set(err, ENOMEM, "no memory for the region of memory to be plugged");
	hot->options = *options;
	hot->n = (unsigned int)(options->size / options->block_size);
	ret = ram_create(&hot->ram, &ram, err);
	if (ret) {
		free(hot);
		return ret;
	}
	pthread_mutex_init(&hot->lock, NULL);
	*out = hot;
	return 0;
}

void hot_ram_destroy(struct hot_ram *hot)
{
	struct member *member;

	if (!hot)
		return;
	while ((member = hot->first)) {
		hot->first = member->next;
		free(member);
	}
	ram_destroy(&hot->ram);
	pthread_mutex_destroy(&hot->lock);
	free(hot);
}

const struct hot_ram_options *hot_ram_options(const struct hot_ram *hot)
{
	return &hot->options;
}

/* --- which are plugged ----------------------------------------------------------------------- */

static bool is_plugged(const struct hot_ram *hot, unsigned int block)
{
	return __atomic_load_n(&hot->plugged[block / WORD_BITS], __ATOMIC_ACQUIRE) >>
		       (block % WORD_BITS) &
	       1;
}

static void set_plugged(struct hot_ram *hot, unsigned int block, bool on)
{
	uint64_t bit = BIT_U64(block % WORD_BITS), *word = &hot->plugged[block / WORD_BITS];

	if (on) {
		hot->was_plugged[block / WORD_BITS] |= bit;
		__atomic_or_fetch(word, bit, __ATOMIC_SEQ_CST);
	} else {
		__atomic_and_fetch(word, ~bit, __ATOMIC_SEQ_CST);
	}
	__atomic_add_fetch(&hot->n_plugged, on ? 1 : -1u, __ATOMIC_SEQ_CST);
}

static bool was_unplugged(const struct hot_ram *hot, unsigned int block)
{
	return !is_plugged(hot, block) &&
	       hot->was_plugged[block / WORD_BITS] & BIT_U64(block % WORD_BITS);
}

enum hot_ram_state hot_ram_state(const struct hot_ram *hot, unsigned int first, unsigned int n)
{
	unsigned int on = 0;

	for (unsigned int i = first; i < first + n; i++)
		on += is_plugged(hot, i);
	return !on ? HOT_RAM_UNPLUGGED : on == n ? HOT_RAM_PLUGGED : HOT_RAM_MIXED;
}

uint64_t hot_ram_plugged(const struct hot_ram *hot)
{
	return __atomic_load_n(&hot->n_plugged, __ATOMIC_SEQ_CST) * hot->options.block_size;
}

uint8_t *hot_ram_base(const struct hot_ram *hot)
{
	return hot->ram.base;
}

uint8_t *hot_ram_at(const struct hot_ram *hot, uint64_t gpa, uint64_t len)
{
	const struct hot_ram_options *o = &hot->options;

	if (!range_inside(gpa, len, o->gpa, o->size))
		return NULL;
	for (uint64_t i = (gpa - o->gpa) / o->block_size;
	     i <= (gpa - o->gpa + len - 1) / o->block_size; i++) {
		if (!is_plugged(hot, (unsigned int)i))
			return NULL;
	}
	return (uint8_t *)hot->ram.base + (gpa - o->gpa);
}

/* --- users ----------------------------------------------------------------------------------- */

static struct hot_ram_block block_at(const struct hot_ram *hot, unsigned int index)
{
	uint64_t offset = index * hot->options.block_size;

	return (struct hot_ram_block){
		.gpa = hot->options.gpa + offset,
		.size = hot->options.block_size,
		.hva = (char *)hot->ram.base + offset,
		.fd = hot->ram.fd,
		.fd_offset = offset,
	};
}

/* What cannot be undone stays with that user, who then refuses the block for good. */
static void take_back(const struct hot_ram *hot, const struct hot_ram_user *user,
		      const struct hot_ram_block *block)
{
	struct err err;

	if (user->remove(user->arg, block, &err))
		log_line(hot->options.log, LOG_ERROR, "memory",
			 "block %#llx stays with %s, and so is out of use: %s",
			 (unsigned long long)block->gpa, user->name, err.text);
}

static void look_who_pins(struct hot_ram *hot)
{
	const char *name = NULL;

	for (const struct member *member = hot->first; member; member = member->next) {
		if (member->user.dma)
			name = member->user.name;
	}
	__atomic_store_n(&hot->pinned_by, name, __ATOMIC_SEQ_CST);
}

static void link_member(struct hot_ram *hot, struct member *member)
{
	struct member *after = hot->last;

	if (after && after->user.guest)
		after = after->prev;
	member->prev = after;
	member->next = after ? after->next : hot->first;
	*(member->next ? &member->next->prev : &hot->last) = member;
	*(after ? &after->next : &hot->first) = member;
	look_who_pins(hot);
}

int hot_ram_join(struct hot_ram *hot, const struct hot_ram_user *user, struct err *err)
{
	struct member *member;
	unsigned int i;
	int ret = 0;

	if (!hot)
		return 0;
	member = calloc(1, sizeof(*member));
	if (!member)
		return err_set(err, ENOMEM, "no memory to show plugged memory to %s", user->name);
	member->user = *user;
	pthread_mutex_lock(&hot->lock);
	for (i = 0; i < hot->n && !ret; i++) {
		const struct hot_ram_block block = block_at(hot, i);

		if (is_plugged(hot, i))
			ret = user->add(user->arg, &block, err);
	}
	if (ret)
		i--;
	while (ret && i--) {
		const struct hot_ram_block block = block_at(hot, i);

		if (is_plugged(hot, i))
			take_back(hot, user, &block);
	}
	if (ret)
		free(member);
	else
		link_member(hot, member);
	pthread_mutex_unlock(&hot->lock);
	return ret;
}

void hot_ram_leave(struct hot_ram *hot, const void *arg)
{
	struct member *member;

	if (!hot)
		return;
	pthread_mutex_lock(&hot->lock);
	for (member = hot->first; member && member->user.arg != arg; member = member->next)
		;
	if (member) {
		*(member->prev ? &member->prev->next : &hot->first) = member->next;
		*(member->next ? &member->next->prev : &hot->last) = member->prev;
		free(member);
		look_who_pins(hot);
	}
	pthread_mutex_unlock(&hot->lock);
}

const char *hot_ram_pinned_by(const struct hot_ram *hot)
{
	return __atomic_load_n(&hot->pinned_by, __ATOMIC_SEQ_CST);
}

/* --- the guest ------------------------------------------------------------------------------- */

static unsigned int index_of(const struct hot_ram *hot, const struct hot_ram_block *block)
{
	return (unsigned int)((block->gpa - hot->options.gpa) / block->size);
}

static int add_slot(void *arg, const struct hot_ram_block *block, struct err *err)
{
	struct hot_ram *hot = arg;
	const struct vm_memory memory = { .gpa = block->gpa,
					  .size = block->size,
					  .hva = block->hva };

	return vm_memory_add(hot->vm, &memory, &hot->slot[index_of(hot, block)], err);
}

static int remove_slot(void *arg, const struct hot_ram_block *block, struct err *err)
{
	struct hot_ram *hot = arg;

	return vm_memory_remove(hot->vm, hot->slot[index_of(hot, block)], err);
}

int hot_ram_show(struct hot_ram *hot, struct vm *vm, struct err *err)
{
	const struct hot_ram_user guest = { .name = "the guest",
					    .guest = true,
					    .add = add_slot,
					    .remove = remove_slot,
					    .arg = hot };

	if (hot)
		hot->vm = vm;
	return hot_ram_join(hot, &guest, err);
}

/* --- plugging -------------------------------------------------------------------------------- */

/* Reserved pages are taken now: running out of them later would be SIGBUS in the guest. */
static int populate(const struct hot_ram *hot, const struct hot_ram_block *block, struct err *err)
{
	if (!hot->options.hugepage_size && !hot->options.prefault)
		return 0;
	if (!madvise(block->hva, block->size, MADV_POPULATE_WRITE))
		return 0;
	return err_set(err, errno, "%llu MiB more for the guest: %s",
		       (unsigned long long)(block->size / MIB),
		       hot->options.hugepage_size ? "the host has too few free huge pages"
						  : strerror(errno));
}

static int discard(const struct hot_ram *hot, const struct hot_ram_block *blocks)
{
	return madvise(blocks->hva, blocks->size,
		       hot->options.shared ? MADV_REMOVE : MADV_DONTNEED);
}

static void give_back(const struct hot_ram *hot, const struct hot_ram_block *block)
{
	if (discard(hot, block))
		log_line(hot->options.log, LOG_WARN, "memory",
			 "%llu MiB that were unplugged do not come free: %s",
			 (unsigned long long)(block->size / MIB), strerror(errno));
}

/*
 * Buffers that devices still had of a block when it was unplugged may have filled it again. That
 * goes back before the guest gets more, so that what it has beyond its blocks is never more than
 * what is under way. What does not come free was said when it was unplugged.
 */
static void give_back_again(const struct hot_ram *hot)
{
	for (unsigned int first = 0, n; first < hot->n; first += n + 1) {
		struct hot_ram_block run = block_at(hot, first);

		for (n = 0; first + n < hot->n && was_unplugged(hot, first + n); n++)
			;
		run.size = n * hot->options.block_size;
		if (n)
			(void)discard(hot, &run);
	}
}

/* All users, the guest last; a failure takes it from those that had it. */
static int show_block(struct hot_ram *hot, const struct hot_ram_block *block, struct err *err)
{
	struct member *member;
	int ret = 0;

	for (member = hot->first; member; member = member->next) {
		ret = member->user.add(member->user.arg, block, err);
		if (ret)
			break;
	}
	if (!ret) {
		set_plugged(hot, index_of(hot, block), true);
		return 0;
	}
	while ((member = member->prev))
		take_back(hot, &member->user, block);
	return ret;
}

/* The guest first; a failure gives it again to those that had lost it. */
static int hide_block(struct hot_ram *hot, const struct hot_ram_block *block, struct err *err)
{
	struct member *member;
	struct err again;
	int ret = 0;

	set_plugged(hot, index_of(hot, block), false);
	for (member = hot->last; member; member = member->prev) {
		ret = member->user.remove(member->user.arg, block, err);
		if (ret)
			break;
	}
	if (!ret)
		return 0;
	while ((member = member->next)) {
		if (member->user.add(member->user.arg, block, &again))
			log_line(hot->options.log, LOG_ERROR, "memory",
				 "block %#llx is lost to %s: %s", (unsigned long long)block->gpa,
				 member->user.name, again.text);
	}
	set_plugged(hot, index_of(hot, block), true);
	return ret;
}

static int plug_block(struct hot_ram *hot, unsigned int index, struct err *err)
{
	const struct hot_ram_block block = block_at(hot, index);
	int ret = populate(hot, &block, err);

	if (!ret)
		ret = show_block(hot, &block, err);
	if (ret)
		give_back(hot, &block);
	return ret;
}

static int check_range(const struct hot_ram *hot, unsigned int first, unsigned int n,
		       struct err *err)
{
	if (n && first < hot->n && n <= hot->n - first)
		return 0;
	return err_set(err, ERANGE, "blocks %u + %u of a region that has %u", first, n, hot->n);
}

int hot_ram_plug(struct hot_ram *hot, unsigned int first, unsigned int n, struct err *err)
{
	unsigned int i = 0;
	struct err undo;
	int ret = check_range(hot, first, n, err);

	if (ret)
		return ret;
	pthread_mutex_lock(&hot->lock);
	if (hot_ram_state(hot, first, n) != HOT_RAM_UNPLUGGED)
		ret = err_set(err, EEXIST, "of blocks %u + %u some are plugged", first, n);
	if (!ret)
		give_back_again(hot);
	for (; !ret && i < n; i++)
		ret = plug_block(hot, first + i, err);
	if (ret && i)
		i--;
	while (ret && i--) {
		const struct hot_ram_block block = block_at(hot, first + i);

		if (hide_block(hot, &block, &undo))
			log_line(hot->options.log, LOG_ERROR, "memory", "block %#llx stays: %s",
				 (unsigned long long)block.gpa, undo.text);
		else
			give_back(hot, &block);
	}
	pthread_mutex_unlock(&hot->lock);
	return ret;
}

/* With the lock held, all of it plugged. Pages go back when nobody can ask for the others again. */
static int unplug(struct hot_ram *hot, unsigned int first, unsigned int n, struct err *err)
{
	unsigned int i;
	struct err undo;
	int ret = 0;

	for (i = 0; !ret && i < n; i++) {
		const struct hot_ram_block block = block_at(hot, first + i);

		ret = hide_block(hot, &block, err);
	}
	if (ret)
		i--;
	while (i--) {
		const struct hot_ram_block block = block_at(hot, first + i);

		if (!ret)
			give_back(hot, &block);
		else if (show_block(hot, &block, &undo))
			log_line(hot->options.log, LOG_ERROR, "memory", "block %#llx is lost: %s",
				 (unsigned long long)block.gpa, undo.text);
	}
	return ret;
}

static int refuse_pinned(const struct hot_ram *hot, struct err *err)
{
	const char *name = hot_ram_pinned_by(hot);

	if (!name)
		return 0;
	return err_set(
		err, EBUSY,
		"memory that is mapped for DMA by %s stays plugged: its pages are pinned and in "
		"the reach of devices",
		name);
}

int hot_ram_unplug(struct hot_ram *hot, unsigned int first, unsigned int n, struct err *err)
{
	int ret = check_range(hot, first, n, err);

	if (ret)
		return ret;
	pthread_mutex_lock(&hot->lock);
	if (hot_ram_state(hot, first, n) != HOT_RAM_PLUGGED)
		ret = err_set(err, ENOENT, "of blocks %u + %u some are not plugged", first, n);
	if (!ret)
		ret = refuse_pinned(hot, err);
	if (!ret)
		ret = unplug(hot, first, n, err);
	pthread_mutex_unlock(&hot->lock);
	return ret;
}

int hot_ram_unplug_all(struct hot_ram *hot, struct err *err)
{
	int ret = 0;

	pthread_mutex_lock(&hot->lock);
	if (hot->n_plugged)
		ret = refuse_pinned(hot, err);
	for (unsigned int i = 0; !ret && i < hot->n; i++) {
		if (is_plugged(hot, i))
			ret = unplug(hot, i, 1, err);
	}
	pthread_mutex_unlock(&hot->lock);
	return ret;
}
