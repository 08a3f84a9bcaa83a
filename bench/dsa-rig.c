/* SPDX-License-Identifier: Apache-2.0 */
/* Building the virtual DSA that the benches drive, and the little of a driver that they need. */
#include "bench/dsa-rig.h"

#include <dirent.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm-glue/vm.h"
#include "passthrough/adi/dsa.h"
#include "passthrough/pci/pci.h"
#include "util/bits.h"

#define ECAM 0xe0000000ULL

static void mmio_write(struct dsa_rig *rig, uint64_t address, uint64_t value, unsigned int size)
{
	epoch_enter(vm_epoch(rig->vm), &rig->reader);
	iomap_write(vm_mmio(rig->vm), address, &value, size);
	epoch_exit(&rig->reader);
}

static uint32_t mmio_read(struct dsa_rig *rig, uint64_t address)
{
	uint32_t value = 0;

	epoch_enter(vm_epoch(rig->vm), &rig->reader);
	iomap_read(vm_mmio(rig->vm), address, &value, sizeof(value));
	epoch_exit(&rig->reader);
	return value;
}

static uint64_t bar(const struct dsa_rig *rig, unsigned int index)
{
	return pci_function_bar_address(dsa_function(rig->dsa), index);
}

static int command(struct dsa_rig *rig, uint32_t code, uint32_t operand, struct err *err)
{
	uint64_t registers = bar(rig, DSA_BAR_REGISTERS);
	uint32_t status;

	mmio_write(rig, registers + DSA_CMD, code << DSA_CMD_CODE_SHIFT | operand, 4);
	do
		status = mmio_read(rig, registers + DSA_CMDSTS);
	while (status & DSA_CMDSTS_ACTIVE);
	return status ? err_set(err, EIO, "DSA command %u: CMDSTS 0x%x", code, status) : 0;
}

/* Linux, include/linux/posix-timers_types.h: the CPU-time clock of a thread by its number. */
static clockid_t thread_clock(pid_t tid)
{
	return (clockid_t)(~(unsigned int)tid << 3 | 4 | 2);
}

/* The youngest thread that has an engine's name: this one's, or the last of its. */
static int find_engine(struct dsa_rig *rig, struct err *err)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int youngest = 0;

	while (dir && (entry = readdir(dir))) {
		char path[64], name[32] = "";
		int tid = atoi(entry->d_name);
		FILE *comm;

		snprintf(path, sizeof(path), "/proc/self/task/%d/comm", tid);
		comm = tid > youngest ? fopen(path, "re") : NULL;
		if (!comm)
			continue;
		if (fgets(name, sizeof(name), comm) && !strcmp(name, "dsa-engine\n"))
			youngest = tid;
		fclose(comm);
	}
	if (dir)
		closedir(dir);
	rig->engine_clock = thread_clock(youngest);
	return youngest ? 0 : err_set(err, ESRCH, "no engine's thread is to be found");
}

/* What of a function's tables a driver fills, and its queue at work. */
static int start(struct dsa_rig *rig, const struct dsa_options *options, struct err *err)
{
	uint64_t registers = bar(rig, DSA_BAR_REGISTERS);
	bool shared = options->wq[0].shared;
	uint32_t mode = 1u << DSA_WQCFG_PRIORITY_SHIFT;
	int ret;

	if (!shared)
		mode |= DSA_WQCFG_DEDICATED;
	if (rig->paged)
		mode |= DSA_WQCFG_BLOCK_ON_FAULT;
	if (options->pasid.allow)
		mode |= DSA_WQCFG_PASID_ENABLE | DSA_RIG_PASID << DSA_WQCFG_PASID_SHIFT;
	mmio_write(rig, registers + DSA_GRPCFG, 1, 8);
	mmio_write(rig, registers + DSA_GRPCFG + DSA_GRPCFG_ENGINES, BIT_U64(options->engines) - 1,
		   8);
	mmio_write(rig, registers + DSA_WQCFG + DSA_WQCFG_MODE * 4ULL, mode, 4);
	if (shared)
		mmio_write(rig, registers + DSA_WQCFG + DSA_WQCFG_THRESHOLD * 4ULL, DSA_RIG_QUEUE,
			   4);
	ret = command(rig, DSA_ENABLE_DEVICE, 0, err);
	if (!ret)
		ret = command(rig, DSA_ENABLE_WQ, 0, err);
	if (ret)
		return ret;
	/* Its first descriptor is done: it runs, and has its name. */
	(shared ? dsa_rig_enqueue : dsa_rig_submit)(
		rig, &(struct dsa_descriptor){
			     .pasid = shared && options->pasid.allow ? DSA_RIG_PASID : 0,
			     .flags = DSA_FLAG_RECORD_VALID | DSA_FLAG_RECORD,
		     });
	dsa_rig_wait(rig, 0);
	return find_engine(rig, err);
}

static int make_memory(struct dsa_rig *rig, struct err *err)
{
	const struct ioasid_space_options options = {
		.name = "memory",
		.pasid_capable = true,
		.faults = rig->paged,
	};
	int ret;

	rig->memory = mmap(NULL, rig->size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (rig->memory == MAP_FAILED) {
		ret = errno;
		rig->memory = NULL;
		return err_set(err, ret, "%lu bytes of memory: %s", rig->size, strerror(ret));
	}
	ret = ioasid_ctx_open(&rig->ctx, IOASID_PROVIDER_SOFT, NULL, err);
	if (!ret)
		ret = ioasid_alloc(rig->ctx, &options, &rig->space, err);
	if (!ret)
		ret = ioasid_map_hva(rig->space, 0, rig->size, rig->memory,
				     IOASID_READ | IOASID_WRITE, err);
	return ret;
}

/* On its bus, where it answers. */
static int make_dsa(struct dsa_rig *rig, const struct dsa_options *options, struct err *err)
{
	int ret = dsa_create(&rig->dsa, rig->vm, rig->ctx, rig->space, options, err);
	uint64_t slot;

	if (!ret)
		ret = pci_bus_add(rig->bus, dsa_function(rig->dsa), -1, err);
	if (ret)
		return ret;
	slot = pci_function_slot(dsa_function(rig->dsa));
	mmio_write(rig, ECAM + (slot << 15) + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
		   2);
	rig->portal = iomap_find(vm_mmio(rig->vm), bar(rig, DSA_BAR_PORTALS));
	return 0;
}

static int open_as(struct dsa_rig *rig, uint64_t size, const struct dsa_options *options,
		   bool paged, struct err *err)
{
	static const struct pci_bus_options windows = {
		.mem32 = { 0xc0000000, 0x20000000 },
		.mem64 = { 32 * GIB, 4 * GIB },
		.ecam_base = ECAM,
	};
	const struct vm_options vm = { .kvm_fd = -1 };
	int ret;

	*rig = (struct dsa_rig){ .size = size, .paged = paged };
	ret = vm_create(&rig->vm, &vm, err);
	if (ret)
		return ret;
	epoch_join(vm_epoch(rig->vm), &rig->reader);
	ret = pci_bus_create(&rig->bus, rig->vm, &windows, err);
	if (!ret)
		ret = make_memory(rig, err);
	if (!ret)
		ret = make_dsa(rig, options, err);
	if (ret)
		dsa_rig_close(rig);
	return ret;
}

static int open_started(struct dsa_rig *rig, uint64_t size, const struct dsa_options *options,
			bool paged, struct err *err)
{
	int ret = open_as(rig, size, options, paged, err);

	if (ret)
		return ret;
	if (options->pasid.allow)
		ret = dsa_pasid_bind(rig->dsa, DSA_RIG_PASID, rig->space, IOASID_PASID_NONE, NULL,
				     err);
	if (!ret)
		ret = start(rig, options, err);
	if (ret)
		dsa_rig_close(rig);
	return ret;
}

int dsa_rig_open(struct dsa_rig *rig, uint64_t size, unsigned int engines, bool pasids,
		 struct err *err)
{
	const struct dsa_options options = {
		.id = "bench",
		.wqs = 1,
		.wq = { { .size = DSA_RIG_QUEUE } },
		.engines = engines,
		.pasid = { .allow = pasids, .width = 20 },
	};

	return open_started(rig, size, &options, false, err);
}

int dsa_rig_open_paged(struct dsa_rig *rig, uint64_t size, struct err *err)
{
	const struct dsa_options options = {
		.id = "bench",
		.wqs = 1,
		.wq = { { .size = DSA_RIG_QUEUE } },
		.engines = 1,
	};

	return open_started(rig, size, &options, true, err);
}

int dsa_rig_open_shared(struct dsa_rig *rig, uint64_t size, bool pasids, struct err *err)
{
	const struct dsa_options options = {
		.id = "bench",
		.wqs = 1,
		.wq = { { .size = DSA_RIG_QUEUE, .shared = true } },
		.engines = 1,
		.pasid = { .allow = pasids, .width = 20 },
	};

	return open_started(rig, size, &options, false, err);
}

int dsa_rig_open_queues(struct dsa_rig *rig, uint64_t size, uint32_t unbound, struct err *err)
{
	struct dsa_options options = {
		.id = "bench",
		.wqs = DSA_RIG_QUEUES,
		.engines = 1,
		.pasid = { .allow = true, .width = 20 },
	};
	int ret;

	for (unsigned int i = 0; i < DSA_RIG_QUEUES; i++)
		options.wq[i].size = DSA_MAX_WQ_SIZE / DSA_RIG_QUEUES;
	ret = open_as(rig, size, &options, false, err);
	if (ret)
		return ret;
	ret = dsa_default_bind(rig->dsa, DSA_ALL_WQS, rig->space, IOASID_PASID_NONE, NULL, err);
	for (uint32_t pasid = 1; !ret && pasid <= DSA_RIG_QUEUES; pasid++) {
		if (pasid != unbound)
			ret = dsa_pasid_bind(rig->dsa, pasid, rig->space, IOASID_PASID_NONE, NULL,
					     err);
	}
	if (ret)
		dsa_rig_close(rig);
	return ret;
}

void dsa_rig_close(struct dsa_rig *rig)
{
	if (rig->bus)
		pci_bus_destroy(rig->bus);
	if (rig->ctx)
		ioasid_ctx_close(rig->ctx);
	if (rig->memory)
		munmap(rig->memory, rig->size);
	epoch_leave(vm_epoch(rig->vm), &rig->reader);
	vm_destroy(rig->vm);
}

static void store64(struct dsa_rig *rig, enum store64_kind kind,
		    const struct dsa_descriptor *descriptor)
{
	epoch_enter(vm_epoch(rig->vm), &rig->reader);
	rig->portal->ops->store64(rig->portal->opaque, DSA_PORTAL_PAGE, kind, descriptor);
	epoch_exit(&rig->reader);
}

void dsa_rig_submit(struct dsa_rig *rig, const struct dsa_descriptor *descriptor)
{
	store64(rig, STORE64_MOVDIR64B, descriptor);
}

void dsa_rig_enqueue(struct dsa_rig *rig, const struct dsa_descriptor *descriptor)
{
	store64(rig, STORE64_ENQCMDS, descriptor);
}

uint8_t dsa_rig_wait(struct dsa_rig *rig, uint64_t record)
{
	uint64_t word;

	unsigned int spins = 0;

	/* Now and then the CPU is left to the engine, in case there is but one. */
	while (!(word = __atomic_load_n((uint64_t *)(rig->memory + record), __ATOMIC_ACQUIRE))) {
		__builtin_ia32_pause();
		if (!(++spins % 256))
			sched_yield();
	}
	return (uint8_t)word;
}
