/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command register. A command that must wait for descriptors marks them and stays active in
 * CMDSTS; the engine that ends the last of them completes it, so no vCPU waits. While a command is
 * active, writes of another are ignored.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), sections 3.11 and 9.2; the error codes
 * as Linux's idxd driver names them. Which of the group codes 15h to 17h stands for which mistake,
 * and 11h for a queue without a group, is our choice.
 */
#include "passthrough/adi/dsa-internal.h"
#include "util/bits.h"

static bool any_job(const struct dsa_job *job, uint32_t arg)
{
	return true;
}

static bool job_of_queues(const struct dsa_job *job, uint32_t wqs)
{
	return wqs & 1u << job->wq;
}

static bool job_of_pasid(const struct dsa_job *job, uint32_t pasid)
{
	return job->guest_pasid && job->guest == pasid;
}

static void disable_queues(struct dsa *dsa, uint32_t wqs)
{
	for (unsigned int i = 0; i < dsa->wqs; i++) {
		if (wqs & 1u << i) {
			dsa->wq[i].enabled = false;
			dsa_gather_clear(&dsa->wq[i]);
		}
	}
}

/* --- the device ------------------------------------------------------------------------------ */

/* Nobody appears in two groups, or is none of ours. */
static bool add_members(uint64_t *seen, uint64_t members, unsigned int count)
{
	if (members & *seen || members & ~(BIT_U64(count) - 1))
		return false;
	*seen |= members;
	return true;
}

static enum dsa_cmd_error check_groups(const struct dsa *dsa)
{
	uint64_t wqs = 0, engines = 0;

	for (unsigned int i = 0; i < dsa->engines; i++) {
		if (!add_members(&wqs, dsa->config.group[i].wqs, dsa->wqs))
			return DSA_CMD_GROUP_WQ;
		if (!add_members(&engines, dsa->config.group[i].engines, dsa->engines))
			return DSA_CMD_GROUP_ENGINE;
		if (dsa->config.group[i].wqs && !dsa->config.group[i].engines)
			return DSA_CMD_GROUP_NO_ENGINE;
	}
	return DSA_CMD_OK;
}

static enum dsa_cmd_error check_sizes(const struct dsa *dsa)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < dsa->wqs; i++)
		sum += dsa->wq[i].config[DSA_WQCFG_ENTRIES];
	return sum > dsa->total_size ? DSA_CMD_WQ_SIZES : DSA_CMD_OK;
}

static void assign_engines(struct dsa *dsa)
{
	for (unsigned int e = 0; e < dsa->engines; e++) {
		dsa->engine_wqs[e] = 0;
		for (unsigned int g = 0; g < dsa->engines; g++) {
			if (dsa->config.group[g].engines & BIT_U64(e))
				dsa->engine_wqs[e] = (uint32_t)dsa->config.group[g].wqs;
		}
	}
}

static enum dsa_cmd_error enable_device(struct dsa *dsa, uint32_t operand)
{
	enum dsa_cmd_error error;

	if (dsa->state != DSA_STATE_DISABLED)
		return DSA_CMD_DEVICE_ENABLED;
	if (!pci_function_bus_master(dsa->function))
		return DSA_CMD_BUS_MASTER;
	error = check_sizes(dsa);
	if (!error)
		error = check_groups(dsa);
	if (!error)
		error = dsa_event_log_start(dsa);
	if (error)
		return error;
	assign_engines(dsa);
	dsa->state = DSA_STATE_ENABLED;
	return DSA_CMD_OK;
}

static enum dsa_cmd_error disable_device(struct dsa *dsa, uint32_t operand)
{
	if (dsa->state != DSA_STATE_ENABLED)
		return DSA_CMD_DISABLE_NOT_ENABLED;
	dsa->state = DSA_STATE_DRAINING;
	disable_queues(dsa, ~0u);
	dsa_jobs_wait(dsa, any_job, 0);
	return DSA_CMD_OK;
}

static enum dsa_cmd_error drain_all(struct dsa *dsa, uint32_t operand)
{
	dsa_jobs_wait(dsa, any_job, 0);
	return DSA_CMD_OK;
}

static enum dsa_cmd_error abort_all(struct dsa *dsa, uint32_t operand)
{
	dsa_jobs_abort(dsa, any_job, 0);
	return DSA_CMD_OK;
}

static enum dsa_cmd_error reset_device(struct dsa *dsa, uint32_t operand)
{
	if (dsa->state == DSA_STATE_HALTED)
		return DSA_CMD_HARDWARE;
	disable_queues(dsa, ~0u);
	dsa_jobs_abort(dsa, any_job, 0);
	return DSA_CMD_OK;
}

/* --- queues ---------------------------------------------------------------------------------- */

static bool has_group(const struct dsa *dsa, unsigned int wq)
{
	for (unsigned int i = 0; i < dsa->engines; i++) {
		if (dsa->config.group[i].wqs & BIT_U64(wq))
			return true;
	}
	return false;
}

static enum dsa_cmd_error check_queue(const struct dsa *dsa, unsigned int wq)
{
	const uint32_t *config = dsa->wq[wq].config;
	uint32_t mode = config[DSA_WQCFG_MODE], limits = config[DSA_WQCFG_LIMITS];

	if (!config[DSA_WQCFG_ENTRIES])
		return DSA_CMD_WQ_SIZE;
	if (!(mode >> DSA_WQCFG_PRIORITY_SHIFT & 0xf))
		return DSA_CMD_WQ_PRIORITY;
	if (!(mode & DSA_WQCFG_DEDICATED) &&
	    config[DSA_WQCFG_THRESHOLD] > config[DSA_WQCFG_ENTRIES])
		return DSA_CMD_WQ_SIZE;
	if (mode & DSA_WQCFG_BLOCK_ON_FAULT && !(dsa->gencap & DSA_GENCAP_BLOCK_ON_FAULT))
		return DSA_CMD_WQ_BLOCK_ON_FAULT;
	if (limits >> DSA_WQCFG_BATCH_SHIFT > dsa->max_batch_shift)
		return DSA_CMD_WQ_MAX_BATCH;
	if ((limits & 0x1f) > DSA_MAX_XFER_SHIFT)
		return DSA_CMD_WQ_MAX_XFER;
	return has_group(dsa, wq) ? DSA_CMD_OK : DSA_CMD_CONFIG;
}

static enum dsa_cmd_error enable_wq(struct dsa *dsa, uint32_t operand)
{
	enum dsa_cmd_error error;

	if (operand >= dsa->wqs)
		return DSA_CMD_WQ_INDEX;
	if (dsa->state != DSA_STATE_ENABLED)
		return DSA_CMD_DEVICE_NOT_ENABLED;
	if (dsa->wq[operand].enabled)
		return DSA_CMD_WQ_ENABLED;
	error = check_queue(dsa, operand);
	if (error)
		return error;
	if (dsa->backend->start(dsa))
		return DSA_CMD_HARDWARE;
	dsa->wq[operand].enabled = true;
	return DSA_CMD_OK;
}

enum dsa_cmd_error dsa_device_restore(struct dsa *dsa)
{
	enum dsa_cmd_error error = check_sizes(dsa);

	if (!error)
		error = check_groups(dsa);
	if (!error)
		error = dsa_event_log_start(dsa);
	if (!error)
		assign_engines(dsa);
	return error;
}

enum dsa_cmd_error dsa_wq_restore(struct dsa *dsa, unsigned int wq)
{
	enum dsa_cmd_error error = check_queue(dsa, wq);

	if (error)
		return error;
	if (dsa->backend->start(dsa))
		return DSA_CMD_HARDWARE;
	dsa->wq[wq].enabled = true;
	return DSA_CMD_OK;
}

/* A bit per queue in 15:0, and in 19:16 which sixteen queues these are. */
static enum dsa_cmd_error queues_named(const struct dsa *dsa, uint32_t operand, uint32_t *wqs)
{
	if (!operand || operand >> dsa->wqs)
		return DSA_CMD_WQ_INDEX;
	for (unsigned int i = 0; i < dsa->wqs; i++) {
		if (operand & 1u << i && !dsa->wq[i].enabled)
			return DSA_CMD_WQ_NOT_ENABLED;
	}
	*wqs = operand;
	return DSA_CMD_OK;
}

static enum dsa_cmd_error disable_wq(struct dsa *dsa, uint32_t operand)
{
	uint32_t wqs;
	enum dsa_cmd_error error = queues_named(dsa, operand, &wqs);

	if (error)
		return error;
	disable_queues(dsa, wqs);
	dsa_jobs_wait(dsa, job_of_queues, wqs);
	return DSA_CMD_OK;
}

static enum dsa_cmd_error drain_wq(struct dsa *dsa, uint32_t operand)
{
	uint32_t wqs;
	enum dsa_cmd_error error = queues_named(dsa, operand, &wqs);

	if (!error)
		dsa_jobs_wait(dsa, job_of_queues, wqs);
	return error;
}

static enum dsa_cmd_error abort_wq(struct dsa *dsa, uint32_t operand)
{
	uint32_t wqs;
	enum dsa_cmd_error error = queues_named(dsa, operand, &wqs);

	if (!error)
		dsa_jobs_abort(dsa, job_of_queues, wqs);
	return error;
}

static enum dsa_cmd_error reset_wq(struct dsa *dsa, uint32_t operand)
{
	enum dsa_cmd_error error = queues_named(dsa, operand, &dsa->command.wqs);

	if (error)
		return error;
	disable_queues(dsa, dsa->command.wqs);
	dsa_jobs_abort(dsa, job_of_queues, dsa->command.wqs);
	return DSA_CMD_OK;
}

/* --- PASIDs: the guest's numbers ------------------------------------------------------------- */

static enum dsa_cmd_error drain_pasid(struct dsa *dsa, uint32_t operand)
{
	dsa_jobs_wait(dsa, job_of_pasid, operand);
	return DSA_CMD_OK;
}

static enum dsa_cmd_error abort_pasid(struct dsa *dsa, uint32_t operand)
{
	dsa_jobs_abort(dsa, job_of_pasid, operand);
	return DSA_CMD_OK;
}

/* --- interrupt handles ----------------------------------------------------------------------- */

/* Handles are no indices, so that a guest that takes one for the other notices. */
#define FIRST_HANDLE 0x40u
#define OPERAND_IMS  (1u << 16)

unsigned int dsa_vector_of(const struct dsa *dsa, uint16_t interrupt)
{
	unsigned int vector = interrupt;

	if (dsa->interrupt_handles) {
		vector = interrupt - FIRST_HANDLE; /* what lies below wraps, and is past them all */
		if (vector > dsa->wqs ||
		    !(__atomic_load_n(&dsa->config.handles, __ATOMIC_RELAXED) & 1u << vector))
			return DSA_NO_VECTOR;
	}
	return vector <= dsa->wqs ? vector : DSA_NO_VECTOR;
}

static enum dsa_cmd_error request_handle(struct dsa *dsa, uint32_t operand)
{
	/* There is no interrupt message storage: IMS entries do not exist. */
	if (operand & OPERAND_IMS || operand > dsa->wqs)
		return DSA_CMD_INT_INDEX;
	__atomic_fetch_or(&dsa->config.handles, 1u << operand, __ATOMIC_RELAXED);
	dsa->command.result = FIRST_HANDLE + operand;
	return DSA_CMD_OK;
}

static enum dsa_cmd_error release_handle(struct dsa *dsa, uint32_t operand)
{
	unsigned int vector = DSA_NO_VECTOR;

	if (operand <= UINT16_MAX)
		vector = dsa_vector_of(dsa, (uint16_t)operand);
	if (vector == DSA_NO_VECTOR)
		return DSA_CMD_INT_INDEX;
	__atomic_fetch_and(&dsa->config.handles, ~(1u << vector), __ATOMIC_RELAXED);
	return DSA_CMD_OK;
}

/* --- the register ---------------------------------------------------------------------------- */

typedef enum dsa_cmd_error dsa_command_fn(struct dsa *dsa, uint32_t operand);

static dsa_command_fn *const commands[DSA_COMMANDS] = {
	[DSA_ENABLE_DEVICE] = enable_device,
	[DSA_DISABLE_DEVICE] = disable_device,
	[DSA_DRAIN_ALL] = drain_all,
	[DSA_ABORT_ALL] = abort_all,
	[DSA_RESET_DEVICE] = reset_device,
	[DSA_ENABLE_WQ] = enable_wq,
	[DSA_DISABLE_WQ] = disable_wq,
	[DSA_DRAIN_WQ] = drain_wq,
	[DSA_ABORT_WQ] = abort_wq,
	[DSA_RESET_WQ] = reset_wq,
	[DSA_DRAIN_PASID] = drain_pasid,
	[DSA_ABORT_PASID] = abort_pasid,
	[DSA_REQUEST_INT_HANDLE] = request_handle,
	[DSA_RELEASE_INT_HANDLE] = release_handle,
};

uint32_t dsa_commands_supported(const struct dsa *dsa)
{
	uint32_t bits = 0;

	for (unsigned int i = 0; i < DSA_COMMANDS; i++) {
		if (commands[i])
			bits |= 1u << i;
	}
	if (!dsa->interrupt_handles)
		bits &= ~(1u << DSA_REQUEST_INT_HANDLE | 1u << DSA_RELEASE_INT_HANDLE);
	return bits;
}

/* What becomes true only once the descriptors have ended. */
static void conclude(struct dsa *dsa)
{
	switch (dsa->command.code) {
	case DSA_DISABLE_DEVICE:
		if (dsa->state == DSA_STATE_DRAINING)
			dsa->state = DSA_STATE_DISABLED;
		break;
	case DSA_RESET_DEVICE:
		if (dsa->state != DSA_STATE_HALTED)
			dsa_registers_reset(dsa, DSA_RESET_SOFTWARE);
		break;
	case DSA_RESET_WQ:
		for (unsigned int i = 0; i < dsa->wqs; i++) {
			if (dsa->command.wqs & 1u << i)
				dsa_wq_reset(dsa, i);
		}
		break;
	default:
		break;
	}
}

static void finish(struct dsa *dsa, enum dsa_cmd_error error)
{
	if (!error)
		conclude(dsa);
	dsa->config.cmdsts = error ? error : dsa->command.result << DSA_CMDSTS_RESULT_SHIFT;
	if (dsa->command.int_req)
		dsa_interrupt(dsa, DSA_INTCAUSE_CMD);
}

void dsa_command_progress(struct dsa *dsa)
{
	if (dsa->config.cmdsts & DSA_CMDSTS_ACTIVE && !dsa->command.waited)
		finish(dsa, DSA_CMD_OK);
}

void dsa_command_write(struct dsa *dsa, uint32_t value)
{
	uint32_t code = value >> DSA_CMD_CODE_SHIFT & DSA_CMD_CODE_MASK;
	enum dsa_cmd_error error = DSA_CMD_INVALID;

	if (dsa->config.cmdsts & DSA_CMDSTS_ACTIVE || dsa->resetting)
		return;
	dsa->command.int_req = value & DSA_CMD_INT_REQ;
	dsa->command.code = (uint8_t)code;
	dsa->command.waited = 0;
	dsa->command.result = 0;
	if (dsa_commands_supported(dsa) & 1u << code)
		error = commands[code](dsa, value & DSA_CMD_OPERAND_MASK);
	dsa->config.cmdsts = DSA_CMDSTS_ACTIVE;
	if (error || !dsa->command.waited)
		finish(dsa, error);
}

void dsa_halt(struct dsa *dsa)
{
	if (dsa->state == DSA_STATE_HALTED)
		return;
	dsa->state = DSA_STATE_HALTED;
	dsa->reset_type = DSA_RESET_FLR;
	disable_queues(dsa, ~0u);
	dsa_jobs_abandon(dsa);
	if (dsa->config.genctrl & DSA_GENCTRL_HALT)
		dsa_interrupt(dsa, DSA_INTCAUSE_HALT);
	else
		dsa->config.intcause |= DSA_INTCAUSE_HALT;
}

/*
 * The command in progress is forgotten. The wait is short, for a running descriptor looks at what
 * was asked of it every DSA_SECTION_BYTES; nothing it did can land after the reset.
 */
void dsa_reset(struct dsa *dsa)
{
	pthread_mutex_lock(&dsa->lock);
	dsa->resetting = true;
	dsa->config.cmdsts = 0;
	disable_queues(dsa, ~0u);
	dsa_jobs_abort(dsa, any_job, 0);
	while (dsa->running || dsa->waiting)
		pthread_cond_wait(&dsa->rest, &dsa->lock);
	dsa_registers_reset(dsa, DSA_RESET_FLR);
	dsa->resetting = false;
	pthread_mutex_unlock(&dsa->lock);
}
