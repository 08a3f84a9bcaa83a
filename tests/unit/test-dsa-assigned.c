/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The owner of a host's DSA function by VFIO. The kernel here is a model that has a function of
 * software behind its calls: what is shown is which calls are made, not what hardware does then.
 */
#include "tests/unit/check.h"
#include "tests/unit/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/adi/dsa-assigned.h"
#include "passthrough/adi/dsa-internal.h"
#include "passthrough/adi/dsa-local.h"
#include "passthrough/pci/pci.h"
#include "passthrough/vfio/vfio.h"
#include "util/bits.h"
#include "util/sandbox.h"

#define FD	     7
#define REGION_SHIFT 40
#define QUEUES	     4u
#define CONFINED     42

struct kernel {
	struct dsa_local *local;
	struct vfio_sys sys;
	uint16_t device;   /* id */
	bool mapped;	   /* the portals can be */
	int portals;	   /* what is then behind them */
	bool unresettable; /* a reset fails */
	unsigned int resets;
	struct ioasid_ctx *ctx;
	struct ioasid_device *bound;
	struct ioasid_space *space;
	struct dsa_assigned *assigned;
	struct dsa_owner *owner;
	struct dsa_tenant *tenant;
	unsigned int lost;
	const struct sandbox *sandbox; /* of the owner's threads */
	bool asks;		       /* the real kernel is asked the same, about no descriptor */
};

static struct pci_function *function(struct kernel *k)
{
	return dsa_function(dsa_local_dsa(k->local));
}

/* --- the kernel ------------------------------------------------------------------------------ */

static int give_region(struct kernel *k, struct vfio_region_info *info)
{
	info->offset = (uint64_t)info->index << REGION_SHIFT;
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	info->size = info->index < PCI_BARS ? pci_function_bar_size(function(k), info->index)
					    : PCI_CONFIG_SIZE;
	if (info->index == DSA_BAR_PORTALS && k->mapped)
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	return 0;
}

/* The function's interrupts go where VFIO was told. */
static int take_interrupt(const struct kernel *k, const struct vfio_irq_set *set)
{
	int fd;

	assert_int_equal(set->index, VFIO_PCI_MSIX_IRQ_INDEX);
	assert_int_equal(set->start, 0);
	assert_int_equal(set->count, 1);
	memcpy(&fd, set->data, sizeof(fd));
	if (k->asks) /* it is told so once more, by a thread that may not */
		return 0;
	return dup3(fd, dsa_local_access(k->local)->interrupt, O_CLOEXEC) < 0 ? -errno : 0;
}

static int kernel_ioctl(void *opaque, int fd, unsigned long request, void *arg)
{
	struct kernel *k = opaque;

	if (k->asks && syscall(SYS_ioctl, -1, request, NULL) != -1)
		return -EPROTO;
	assert_int_equal(fd, FD);
	switch (request) {
	case VFIO_DEVICE_GET_REGION_INFO:
		return give_region(k, arg);
	case VFIO_DEVICE_SET_IRQS:
		return take_interrupt(k, arg);
	case VFIO_DEVICE_RESET:
		k->resets++;
		if (__atomic_load_n(&k->unresettable, __ATOMIC_RELAXED))
			return -EIO;
		pci_export_reset(function(k));
		return 0;
	default:
		return -ENOTTY;
	}
}

static ssize_t kernel_pread(void *opaque, int fd, void *data, size_t size, uint64_t offset)
{
	struct kernel *k = opaque;
	uint32_t at = (uint32_t)offset;

	if (k->asks && pread(-1, data, size, 0) != -1)
		return -EPROTO;
	if (offset >> REGION_SHIFT == VFIO_PCI_CONFIG_REGION_INDEX) {
		pci_export_config_read(function(k), at, data, (uint32_t)size);
		if (!at && k->device)
			memcpy((char *)data + 2, &k->device, sizeof(k->device));
	} else {
		pci_export_bar_read(function(k), (unsigned int)(offset >> REGION_SHIFT), at, data,
				    (uint32_t)size);
	}
	return (ssize_t)size;
}

static ssize_t kernel_pwrite(void *opaque, int fd, const void *data, size_t size, uint64_t offset)
{
	struct kernel *k = opaque;
	uint32_t at = (uint32_t)offset;

	if (k->asks && pwrite(-1, data, size, 0) != -1)
		return -EPROTO;
	if (offset >> REGION_SHIFT == VFIO_PCI_CONFIG_REGION_INDEX)
		pci_export_config_write(function(k), at, data, (uint32_t)size);
	else
		pci_export_bar_write(function(k), (unsigned int)(offset >> REGION_SHIFT), at, data,
				     (uint32_t)size);
	return (ssize_t)size;
}

static int kernel_mmap(void *opaque, int fd, void *at, size_t size, bool write, uint64_t offset)
{
	const struct kernel *k = opaque;

	assert_int_equal(offset, (uint64_t)DSA_BAR_PORTALS << REGION_SHIFT);
	return mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, k->portals, 0) ==
			       MAP_FAILED
		       ? -errno
		       : 0;
}

static int kernel_store64(void *opaque, int fd, const void *data, uint64_t offset)
{
	const struct kernel *k = opaque;
	const struct dsa_access *access = dsa_local_access(k->local);

	access->store64(access->arg, (uint32_t)offset, data);
	return 0;
}

/* --- the owner ------------------------------------------------------------------------------- */

static int create(struct kernel *k, unsigned int pasid_width, struct err *err)
{
	const struct ioasid_source source = {
		.type = IOASID_SOURCE_SOFT, .soft = { .pasid_width = pasid_width, .addr_width = 48 }
	};
	const struct dsa_local_options model = {
		.name = "model", .queues = QUEUES, .engines = 1, .sandbox = k->sandbox
	};
	struct dsa_assigned_options options = { .name = "vfio7", .fd = FD, .sys = &k->sys };

	k->sys = (struct vfio_sys){ .ioctl = kernel_ioctl,
				    .pread = kernel_pread,
				    .pwrite = kernel_pwrite,
				    .mmap = kernel_mmap,
				    .opaque = k,
				    .store64 = kernel_store64 };
	assert_ok(dsa_local_create(&k->local, &model, err), err);
	assert_ok(ioasid_ctx_open(&k->ctx, IOASID_PROVIDER_SOFT, NULL, err), err);
	assert_ok(ioasid_bind(k->ctx, &source, "vfio7", &k->bound, err), err);
	options.device = k->bound;
	options.ctx = k->ctx;
	return dsa_assigned_create(&k->assigned, &options, err);
}

static struct ioasid_space *twin(void *arg, const struct ioasid_space *space)
{
	const struct kernel *k = arg;

	return k->space;
}

static void lost(void *arg)
{
	struct kernel *k = arg;

	__atomic_fetch_add(&k->lost, 1, __ATOMIC_RELEASE);
}

static void own(struct kernel *k)
{
	const struct ioasid_space_options plain = { .name = "a", .pasid_capable = true };
	const struct dsa_owner_options options = { .name = "vfio7", .sandbox = k->sandbox };
	const struct dsa_tenant_options tenant = {
		.name = "a", .twin = twin, .lost = lost, .arg = k
	};
	struct err err = { 0 };

	assert_ok(create(k, 20, &err), &err);
	assert_ok(dsa_owner_create(&k->owner, dsa_assigned_access(k->assigned), &options, &err),
		  &err);
	assert_ok(ioasid_alloc(k->ctx, &plain, &k->space, &err), &err);
	assert_ok(dsa_tenant_create(&k->tenant, k->owner, &tenant, &err), &err);
}

static void end(struct kernel *k)
{
	dsa_tenant_destroy(k->tenant);
	dsa_owner_destroy(k->owner);
	dsa_assigned_destroy(k->assigned);
	ioasid_ctx_close(k->ctx);
	dsa_local_destroy(k->local);
	if (k->portals)
		close(k->portals);
}

static void lend(struct kernel *k, uint32_t pasid, struct dsa_lane *lane)
{
	const struct dsa_piece piece = { .size = MIB, .fd = -1, .rights = IOASID_READ };
	const struct dsa_port *port = dsa_tenant_port(k->tenant);
	struct err err = { 0 };

	assert_ok(port->attach(port->arg, pasid, k->space, &piece, 1, lane, &err), &err);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void the_function_is_set_up(void **state)
{
	struct kernel k = { 0 };
	struct dsa *dsa;

	own(&k);
	dsa = dsa_local_dsa(k.local);
	assert_int_equal(k.resets, 1);
	assert_int_equal(dsa->state, DSA_STATE_ENABLED);
	assert_int_equal(dsa->config.group[0].wqs, (1 << QUEUES) - 1);
	assert_int_equal(dsa->config.group[0].engines, 1);
	assert_true(pci_function_bus_master(dsa_function(dsa)));
	assert_int_equal(dsa_owner_queues(k.owner), QUEUES);
	/* Without a PASID it reaches nothing. */
	assert_non_null(ioasid_device_space(k.bound));
	end(&k);
	assert_int_equal(k.resets, 2);
}

static void a_lent_queue_has_its_pasid_attached(void **state)
{
	struct kernel k = { 0 };
	const struct dsa_port *port;
	struct dsa_lane lane;
	struct dsa *dsa;
	uint32_t mode;

	own(&k);
	dsa = dsa_local_dsa(k.local);
	port = dsa_tenant_port(k.tenant);
	lend(&k, 4711, &lane);
	assert_int_equal(ioasid_pasid_state(k.ctx, 4711), IOASID_PASID_ACTIVE);
	mode = dsa->wq[lane.queue].config[DSA_WQCFG_MODE];
	assert_true(dsa->wq[lane.queue].enabled);
	assert_true(mode & DSA_WQCFG_DEDICATED && mode & DSA_WQCFG_PASID_ENABLE);
	assert_int_equal(mode >> DSA_WQCFG_PASID_SHIFT & DSA_DESCRIPTOR_PASID, 4711);
	/* Below the 48 bits that the IOMMU has here, and above all that a guest maps. */
	assert_true(lane.record_iova >= (1ULL << 47) - MIB && lane.record_iova < 1ULL << 47);
	port->detach(port->arg, &lane);
	assert_int_not_equal(ioasid_pasid_state(k.ctx, 4711), IOASID_PASID_ACTIVE);
	assert_false(dsa->wq[lane.queue].enabled);
	end(&k);
}

static void a_descriptor_is_one_store_to_the_portal(void **state)
{
	struct kernel k = { .mapped = true };
	struct dsa_descriptor d = { .flags = DSA_OP_FILL << DSA_OPCODE_SHIFT, .size = 4711 }, got;
	const struct dsa_port *port;
	struct dsa_lane first, second;

	k.portals = memfd_create("portals", MFD_CLOEXEC);
	assert_int_equal(ftruncate(k.portals, QUEUES * DSA_WQ_PORTALS), 0);
	own(&k);
	port = dsa_tenant_port(k.tenant);
	lend(&k, 1, &first);
	lend(&k, 2, &second);
	assert_int_not_equal(first.queue, second.queue);
	assert_int_equal(port->submit(port->arg, &second, 0, &d), 0);
	assert_int_equal(pread(k.portals, &got, sizeof(got),
			       second.queue * DSA_WQ_PORTALS + DSA_PORTAL_PAGE),
			 sizeof(got));
	assert_memory_equal(&got, &d, sizeof(d));
	/* One that does not know of a loss is not for the function as it is now. */
	assert_int_equal(port->submit(port->arg, &second, 1, &d), -EIO);
	port->detach(port->arg, &second);
	port->detach(port->arg, &first);
	end(&k);
}

static void a_halt_comes_as_an_interrupt_and_queues_come_back(void **state)
{
	struct kernel k = { 0 };
	const struct dsa_port *port;
	struct dsa_lane lane;
	struct dsa *dsa;

	own(&k);
	dsa = dsa_local_dsa(k.local);
	port = dsa_tenant_port(k.tenant);
	lend(&k, 4711, &lane);
	pthread_mutex_lock(&dsa->lock);
	dsa_halt(dsa);
	pthread_mutex_unlock(&dsa->lock);
	WAIT_FOR(__atomic_load_n(&k.lost, __ATOMIC_ACQUIRE));
	assert_int_equal(k.resets, 2);
	assert_int_equal(port->losses(port->arg), 1);
	assert_int_equal(dsa->state, DSA_STATE_ENABLED);
	assert_true(dsa->wq[lane.queue].enabled);
	assert_int_equal(ioasid_pasid_state(k.ctx, 4711), IOASID_PASID_ACTIVE);
	port->detach(port->arg, &lane);
	end(&k);
}

static void what_is_no_dsa_is_refused(void **state)
{
	struct kernel k = { .device = 0x1234 };
	struct err err = { 0 };

	assert_int_equal(create(&k, 20, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "8086:1234"));
	end(&k);
}

static void a_function_without_pasids_is_refused(void **state)
{
	struct kernel k = { 0 };
	struct err err = { 0 };

	assert_int_equal(create(&k, 0, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "no PASIDs"));
	end(&k);
}

static void a_function_that_cannot_be_reset_is_not_owned(void **state)
{
	struct kernel k = { .unresettable = true };
	const struct dsa_owner_options options = { .name = "vfio7" };
	struct err err = { 0 };

	assert_ok(create(&k, 20, &err), &err);
	assert_int_equal(dsa_owner_create(&k.owner, dsa_assigned_access(k.assigned), &options,
					  &err),
			 -EIO);
	assert_non_null(strstr(err.text, "cannot be reset"));
	k.owner = NULL;
	end(&k);
}

/* --- within the filters ---------------------------------------------------------------------- */

/* A client's reset, and the end of a queue that takes the function with it. */
static void *be_tenant(void *arg)
{
	struct kernel *k = arg;
	const struct dsa_port *port = dsa_tenant_port(k->tenant);
	struct dsa_descriptor d = { .flags = DSA_OP_NOOP << DSA_OPCODE_SHIFT };
	struct dsa_lane lane;

	lend(k, 2, &lane);
	sandbox_enter(k->sandbox, SANDBOX_TENANT);
	if (port->submit(port->arg, &lane, port->losses(port->arg), &d))
		_exit(2);
	port->abort(port->arg, &lane);
	port->detach(port->arg, &lane);
	return NULL;
}

/* What an engine does, which waits for a record in vain. */
static void *be_engine(void *arg)
{
	struct kernel *k = arg;
	const struct dsa_port *port = dsa_tenant_port(k->tenant);
	struct dsa_lane lane;

	lend(k, 3, &lane);
	sandbox_enter(k->sandbox, SANDBOX_FUNCTION);
	port->look(port->arg);
	port->abort(port->arg, &lane);
	port->detach(port->arg, &lane);
	return NULL;
}

/* In a process of its own. The watcher resets the function, its end gives it back. */
static int be_confined(void)
{
	const struct log log = { .fd = STDERR_FILENO, .level = LOG_INFO };
	const struct sandbox sandbox = { &log };
	struct kernel k = { .sandbox = &sandbox };
	pthread_t tenant, engine;
	struct dsa_lane lane;
	struct dsa *dsa;
	struct err err;

	if (sandbox_start(&sandbox, &err))
		return 3;
	own(&k);
	k.asks = true;
	dsa = dsa_local_dsa(k.local);
	lend(&k, 1, &lane);
	if (pthread_create(&tenant, NULL, be_tenant, &k) || pthread_join(tenant, NULL) ||
	    pthread_create(&engine, NULL, be_engine, &k) || pthread_join(engine, NULL))
		return 4;
	pthread_mutex_lock(&dsa->lock);
	dsa_halt(dsa);
	pthread_mutex_unlock(&dsa->lock);
	WAIT_FOR(__atomic_load_n(&k.lost, __ATOMIC_ACQUIRE));
	sandbox_enter(&sandbox, SANDBOX_OWNER);
	dsa_tenant_port(k.tenant)->detach(k.tenant, &lane);
	end(&k);
	return k.resets == 3 ? CONFINED : 5;
}

static void all_of_it_is_within_the_filters(void **state)
{
	struct err err;
	int status;
	pid_t pid;

	if (!sandbox_is_built())
		skip_because("a build with a sanitizer has no filters");
	if (sandbox_check(&err))
		skip_because("no seccomp here");
	pid = fork();
	if (!pid)
		_exit(be_confined());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), CONFINED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_function_is_set_up),
		cmocka_unit_test(a_lent_queue_has_its_pasid_attached),
		cmocka_unit_test(a_descriptor_is_one_store_to_the_portal),
		cmocka_unit_test(a_halt_comes_as_an_interrupt_and_queues_come_back),
		cmocka_unit_test(what_is_no_dsa_is_refused),
		cmocka_unit_test(a_function_without_pasids_is_refused),
		cmocka_unit_test(a_function_that_cannot_be_reset_is_not_owned),
		cmocka_unit_test(all_of_it_is_within_the_filters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
