/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of a DSA function as its driver uses them: what it is, how it is set up, and the
 * commands by which queues come and go.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), chapters 3 and 9; the order of Linux's
 * drivers/dma/idxd/device.c.
 */
#include <errno.h>
#include <time.h>

#include "passthrough/adi/dsa-owner-internal.h"
#include "util/bits.h"
#include "util/log.h"

static uint64_t read_at(const struct dsa_owner *owner, uint64_t offset, unsigned int size)
{
	return owner->access.read(owner->access.arg, offset, size);
}

static void write_at(const struct dsa_owner *owner, uint64_t offset, uint64_t value,
		     unsigned int size)
{
	owner->access.write(owner->access.arg, offset, value, size);
}

bool owner_halted(const struct dsa_owner *owner)
{
	return (read_at(owner, DSA_GENSTS, 4) & 3) == DSA_STATE_HALTED;
}

/* --- commands -------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* 0, or what CMDSTS says, or -ETIMEDOUT. */
static int command(const struct dsa_owner *owner, enum dsa_command code, uint32_t operand)
{
	const struct timespec nap = { .tv_nsec = 10000 };
	uint64_t start = now_ms();

	write_at(owner, DSA_CMD, (uint32_t)code << DSA_CMD_CODE_SHIFT | operand, 4);
	for (;;) {
		uint32_t status = (uint32_t)read_at(owner, DSA_CMDSTS, 4);

		if (!(status & DSA_CMDSTS_ACTIVE))
			return (int)(status & 0xff);
		if (now_ms() - start >= owner->command_ms)
			return -ETIMEDOUT;
		nanosleep(&nap, NULL);
	}
}

/* Commands of queues name sixteen at a time. */
static int queue_command(const struct dsa_owner *owner, enum dsa_command code, unsigned int queue)
{
	int ret = command(owner, code, 1u << queue % 16 | queue / 16 << 16);

	return ret > 0 ? -EIO : ret;
}

static int refuse(const struct dsa_owner *owner, const char *what, int ret, struct err *err)
{
	if (ret == -ETIMEDOUT)
		return err_set(err, ETIMEDOUT, "%s: %s takes longer than %u ms", owner->name, what,
			       owner->command_ms);
	return err_set(err, EIO, "%s: %s ends with status %#x", owner->name, what,
		       (unsigned int)ret);
}

/* --- what it is ------------------------------------------------------------------------------ */

int owner_read_shape(struct dsa_owner *owner, struct err *err)
{
	struct owner_shape *shape = &owner->shape;
	uint64_t gencap = read_at(owner, DSA_GENCAP, 8), wqcap = read_at(owner, DSA_WQCAP, 8);
	uint64_t offsets = read_at(owner, DSA_OFFSETS, 8), grpcap = read_at(owner, DSA_GRPCAP, 8);
	unsigned int total = (unsigned int)(wqcap & 0xffff);

	*shape = (struct owner_shape){
		.queues = (unsigned int)(wqcap >> DSA_WQCAP_WQS_SHIFT & 0xff),
		.engines = (unsigned int)(read_at(owner, DSA_ENGCAP, 8) & 0xff),
		.grpcfg = (offsets & 0xffff) * DSA_OFFSET_UNIT,
		.wqcfg = (offsets >> 16 & 0xffff) * DSA_OFFSET_UNIT,
		.wqcfg_size = 32u << (wqcap >> DSA_WQCAP_WQCFG_SHIFT & 0xf),
		.max_xfer_shift = (unsigned int)(gencap >> DSA_GENCAP_MAX_XFER_SHIFT & 0x1f),
		.rdbufs = (unsigned int)(grpcap >> DSA_GRPCAP_RDBUFS_SHIFT & 0xff),
		.operations = wqcap & DSA_WQCAP_OPERATIONS,
	};
	shape->queues = MIN(shape->queues, DSA_OWNER_QUEUES);
	shape->entries = shape->queues ? total / shape->queues : 0;
	if (!(gencap & DSA_GENCAP_CONFIG) || !(wqcap & DSA_WQCAP_DEDICATED))
		return err_set(err, ENOTSUP,
			       "%s: its queues cannot be configured as dedicated ones; give a "
			       "function to adit whose GENCAP and WQCAP allow it",
			       owner->name);
	if (!shape->entries || !shape->engines)
		return err_set(err, ENOTSUP,
			       "%s: has %u queues, %u entries and %u engines: none "
			       "can be lent",
			       owner->name, shape->queues, total, shape->engines);
	return 0;
}

/* --- setting up ------------------------------------------------------------------------------ */

static void write_wqcfg(const struct dsa_owner *owner, unsigned int queue, uint64_t word,
			uint32_t value)
{
	const struct owner_shape *shape = &owner->shape;

	write_at(owner, shape->wqcfg + (uint64_t)queue * shape->wqcfg_size + word * 4, value, 4);
}

/* A disabled queue; its size is what it was set up with. */
static void write_queue(const struct dsa_owner *owner, unsigned int queue, uint32_t pasid)
{
	const struct owner_shape *shape = &owner->shape;

	write_wqcfg(owner, queue, DSA_WQCFG_THRESHOLD, 0);
	write_wqcfg(owner, queue, DSA_WQCFG_MODE,
		    DSA_WQCFG_DEDICATED | 1u << DSA_WQCFG_PRIORITY_SHIFT | DSA_WQCFG_PASID_ENABLE |
			    pasid << DSA_WQCFG_PASID_SHIFT);
	write_wqcfg(owner, queue, DSA_WQCFG_LIMITS, shape->max_xfer_shift);
	for (uint64_t i = 0; i < 8 && shape->operations; i++)
		write_wqcfg(owner, queue, DSA_WQCFG_OPERATIONS + i,
			    (uint32_t)read_at(owner, DSA_OPCAP + i * 4, 4));
}

int owner_enable_queue(struct dsa_owner *owner, unsigned int queue, uint32_t pasid, struct err *err)
{
	int ret;

	write_queue(owner, queue, pasid);
	ret = command(owner, DSA_ENABLE_WQ, queue);
	return ret ? refuse(owner, "enabling a queue", ret, err) : 0;
}

int owner_abort_queue(struct dsa_owner *owner, unsigned int queue)
{
	return queue_command(owner, DSA_ABORT_WQ, queue);
}

int owner_reset_queue(struct dsa_owner *owner, unsigned int queue)
{
	return queue_command(owner, DSA_RESET_WQ, queue);
}

/* Every queue and every engine in the first group: engines are for who has work. */
static void write_group(const struct dsa_owner *owner)
{
	const struct owner_shape *shape = &owner->shape;
	uint64_t queues = shape->queues < 64 ? BIT_U64(shape->queues) - 1 : UINT64_MAX;

	write_at(owner, shape->grpcfg, queues, 8);
	write_at(owner, shape->grpcfg + DSA_GRPCFG_ENGINES,
		 shape->engines < 64 ? BIT_U64(shape->engines) - 1 : UINT64_MAX, 8);
	write_at(owner, shape->grpcfg + DSA_GRPCFG_FLAGS,
		 DSA_GROUP_CLASSES | shape->rdbufs << DSA_GROUP_RDBUFS, 4);
}

int owner_set_up(struct dsa_owner *owner, struct err *err)
{
	const struct owner_shape *shape = &owner->shape;
	int ret = owner->access.reset(owner->access.arg);

	if (ret)
		return err_set(err, -ret, "%s: cannot be reset", owner->name);
	ret = command(owner, DSA_RESET_DEVICE, 0);
	if (ret)
		return refuse(owner, "its reset", ret, err);
	if (!shape->queues) {
		ret = owner_read_shape(owner, err);
		if (ret)
			return ret;
	}
	for (unsigned int i = 0; i < shape->queues; i++)
		write_wqcfg(owner, i, DSA_WQCFG_ENTRIES, shape->entries);
	write_group(owner);
	write_at(owner, DSA_GENCTRL, DSA_GENCTRL_SOFTERR | DSA_GENCTRL_HALT, 4);
	ret = command(owner, DSA_ENABLE_DEVICE, 0);
	if (ret)
		return refuse(owner, "enabling it", ret, err);
	for (unsigned int i = 0; i < shape->queues && !ret; i++) {
		if (owner->queue[i].tenant)
			ret = owner_enable_queue(owner, i, owner->queue[i].pasid, err);
	}
	return ret;
}

/* --- interrupts ------------------------------------------------------------------------------ */

/* Descriptors are ours and name a record: an error that has none is worth a line. */
static void read_error(const struct dsa_owner *owner)
{
	uint64_t error = read_at(owner, DSA_SWERR, 8);

	if (!(error & DSA_SWERR_VALID))
		return;
	log_line(owner->log, LOG_WARN, "dsa", "%s: SWERR %#llx, address %#llx", owner->name,
		 (unsigned long long)error, (unsigned long long)read_at(owner, DSA_SWERR + 16, 8));
	write_at(owner, DSA_SWERR, DSA_SWERR_VALID | DSA_SWERR_OVERFLOW, 8);
}

bool owner_read_interrupt(struct dsa_owner *owner)
{
	uint32_t cause = (uint32_t)read_at(owner, DSA_INTCAUSE, 4);

	write_at(owner, DSA_INTCAUSE, cause, 4);
	if (cause & DSA_INTCAUSE_ERROR)
		read_error(owner);
	return owner_halted(owner);
}
