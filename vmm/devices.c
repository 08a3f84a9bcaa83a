/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "keeper/client.h"
#include "kvm-glue/coherency.h"
#include "passthrough/pci/pci.h"
#include "passthrough/vfio/vfio.h"
#include "util/bits.h"
#include "util/loop.h"
#include "vmm/config.h"
#include "vmm/device-node.h"
#include "vmm/guest-space.h"
#include "vmm/hot-ram.h"
#include "vmm/layout.h"

/* --- opening --------------------------------------------------------------------------------- */

static enum ioasid_provider_id provider_of(const struct devices *devices)
{
	switch (devices->config->iommu.provider) {
	case PROVIDER_IOMMUFD:
		return IOASID_PROVIDER_IOMMUFD;
	case PROVIDER_TYPE1:
		return IOASID_PROVIDER_TYPE1;
	case PROVIDER_SOFT:
		return IOASID_PROVIDER_SOFT;
	case PROVIDER_AUTO:
		break;
	}
	/* What the nodes are decides: a group's is of no use to iommufd, nor a cdev to type1. */
	return devices->device[0]->node.group ? IOASID_PROVIDER_TYPE1 : IOASID_PROVIDER_IOMMUFD;
}

/* config: what holds from now on, which what comes late may have brought a descriptor to. */
static int open_ctx(struct devices *devices, const struct config *config, struct err *err)
{
	enum ioasid_provider_id provider = provider_of(devices);
	int fd, ret;

	if (provider == IOASID_PROVIDER_SOFT)
		return err_set(err, EINVAL,
			       "/iommu/provider: \"soft\" is a model for ADIs of software; "
			       "\"%s\" is a device of the host",
			       devices->device[0]->config.id);
	if (!config->iommu.fd && !devices->keeper)
		return ioasid_ctx_open(&devices->ctx, provider, config->iommu.node, err);
	/* The context closes it; the next life of the machine needs it again. */
	if (config->iommu.fd)
		fd = fcntl((int)config->iommu.fd, F_DUPFD_CLOEXEC, 3);
	else
		fd = keeper_open_iommu(devices->keeper, provider == IOASID_PROVIDER_TYPE1, err);
	if (fd < 0)
		return config->iommu.fd ? err_set(err, errno, "/iommu/fd: descriptor %u: %s",
						  config->iommu.fd, strerror(errno))
					: fd;
	ret = ioasid_ctx_open_fd(&devices->ctx, provider, fd, err);
	if (ret)
		close(fd);
	return ret;
}

/* A cdev's path and a descriptor show only now whose they are. */
static int check_once(const struct devices *devices, size_t i, struct err *err)
{
	const struct device *device = devices->device[i];

	for (size_t j = 0; j < i; j++) {
		if (!strcmp(devices->device[j]->node.name, device->node.name))
			return err_set(err, EINVAL, "%s and %s are both %s; remove one",
				       devices->device[j]->config.id, device->config.id,
				       device->node.name);
	}
	return 0;
}

/* The last of them, which is device i of that configuration. */
static int open_node(struct devices *devices, const struct config *config, size_t i, bool late,
		     struct err *err)
{
	struct device *device = devices->device[devices->n - 1];
	const struct device *first = devices->device[0];
	const struct device_node_from from = {
		.keeper = devices->keeper,
		.one_life = devices->one_life || late,
	};
	int ret = device_node_find(&device->node, config, i, &from, err);

	if (!ret)
		ret = check_once(devices, devices->n - 1, err);
	if (!ret)
		ret = device_node_open(&device->node, devices_same_group(devices, devices->n - 1),
				       device->config.id, err);
	if (ret || device->node.group == first->node.group)
		return ret;
	return err_set(err, EINVAL,
		       "%s is opened by its %s and %s by its %s: all devices of a VM are opened "
		       "the same way; set \"via\"",
		       first->config.id, first->node.group ? "group" : "cdev", device->config.id,
		       device->node.group ? "group" : "cdev");
}

static struct device *append(struct devices *devices, const struct config_device *config,
			     struct err *err)
{
	struct device *device = NULL;

	if (devices->n == CONFIG_MAX_DEVICES) {
		err_set(err, ENOSPC, "%s: a VM has at most %u devices of the host", config->id,
			CONFIG_MAX_DEVICES);
		return NULL;
	}
	device = calloc(1, sizeof(*device));
	if (!device) {
		err_set(err, ENOMEM, "%s: no memory for a device", config->id);
		return NULL;
	}
	device->all = devices;
	device->config = *config;
	device->node.fd = -1;
	pthread_mutex_lock(&devices->lock);
	devices->device[devices->n++] = device;
	pthread_mutex_unlock(&devices->lock);
	return device;
}

static int open_nodes(struct devices *devices, const struct config *config, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < config->n_devices && !ret; i++)
		ret = append(devices, &config->devices[i], err)
			      ? open_node(devices, config, i, false, err)
			      : -err->code;
	return ret;
}

/* --- policies -------------------------------------------------------------------------------- */

static enum coherency_policy policy_of(enum config_coherency coherency)
{
	switch (coherency) {
	case COHERENCY_ENFORCE:
		return COHERENCY_POLICY_ENFORCE;
	case COHERENCY_ALLOW:
		return COHERENCY_POLICY_ALLOW;
	case COHERENCY_DENY:
		return COHERENCY_POLICY_DENY;
	case COHERENCY_GUEST_PAT:
		return COHERENCY_POLICY_GUEST_PAT;
	case COHERENCY_AUTO:
		break;
	}
	return COHERENCY_POLICY_AUTO;
}

static enum coherency_iommu iommu_of(enum ioasid_snoop snoop)
{
	switch (snoop) {
	case IOASID_SNOOP_ENFORCED:
		return COHERENCY_IOMMU_ENFORCES;
	case IOASID_SNOOP_NONE:
		return COHERENCY_IOMMU_NONE;
	case IOASID_SNOOP_NOT_ENFORCED:
		break;
	}
	return COHERENCY_IOMMU_LAX;
}

static void report_vm(const struct devices *devices, const struct coherency_state *state)
{
	log_line(devices->log, LOG_INFO, "coherency", "VM: wbinvd %s, guest_pat %s",
		 state->wbinvd ? "emulated" : "nop", state->guest_pat ? "honoured" : "ignored");
}

static void report(const struct devices *devices, const struct coherency_device *facts,
		   const struct coherency_state *state)
{
	for (size_t i = 0; i < devices->n; i++) {
		const struct device *device = devices->device[i];
		struct ioasid_device_info info;

		ioasid_device_info(device->bound, &info);
		log_line(devices->log, LOG_INFO, "coherency",
			 "%s: policy %s, iommu_enforces %s, no_snoop_bit %s, KVM %s; isolation %s",
			 device->config.id, coherency_policy_name(facts[i].policy),
			 coherency_iommu_name(facts[i].iommu),
			 device->choice.no_snoop ? "guest" : "off",
			 device->choice.tell_kvm ? "told" : "not told",
			 ioasid_isolation_name(info.isolation));
	}
	report_vm(devices, state);
}

/* What was decided for the others holds as long as they are there. */
static int check_others(const struct devices *devices, const struct coherency_choice *choices,
			const struct coherency_state *state, struct err *err)
{
	const char *comes = devices->device[devices->n - 1]->config.id;

	if (state->drop_pat_quirk && !devices->pat_honoured)
		return err_set(err, EOPNOTSUPP,
			       "%s: \"guest-pat\" is decided before a guest runs: have it in the "
			       "configuration when the VM starts",
			       comes);
	for (size_t i = 0; i + 1 < devices->n; i++) {
		const struct coherency_choice *held = &devices->device[i]->choice;

		if (held->tell_kvm != choices[i].tell_kvm || held->no_snoop != choices[i].no_snoop)
			return err_set(err, EOPNOTSUPP,
				       "with %s, %s would have to be told otherwise of snooping "
				       "while the guest runs: have both in the configuration when "
				       "the VM starts",
				       comes, devices->device[i]->config.id);
	}
	return 0;
}

/* late: of one that comes while the guest runs. */
static int decide(struct devices *devices, bool late, struct err *err)
{
	struct coherency_device facts[CONFIG_MAX_DEVICES];
	struct coherency_choice choices[CONFIG_MAX_DEVICES];
	struct coherency_state state;
	struct coherency_host host;
	int ret;

	for (size_t i = 0; i < devices->n; i++) {
		struct device *device = devices->device[i];
		struct ioasid_device_info info;

		ioasid_device_info(device->bound, &info);
		facts[i] = (struct coherency_device){
			.name = device->config.id,
			.policy = policy_of(device->config.coherency),
			.unsafe_stale_reads = device->config.unsafe_stale_reads,
			.iommu = iommu_of(info.snoop),
			.group = device->node.group ? info.group : -1,
		};
		/* Nobody looks at one that is not decided. */
		if (!device->decided)
			device->isolation = info.isolation;
	}
	coherency_host_probe(devices->vm, &host);
	ret = coherency_decide(&host, facts, devices->n, choices, &state, err);
	if (!ret && late)
		ret = check_others(devices, choices, &state, err);
	else if (!ret && state.drop_pat_quirk)
		ret = coherency_honour_pat(devices->vm, err);
	if (ret)
		return ret;
	devices->pat_honoured = devices->pat_honoured || state.drop_pat_quirk;
	pthread_mutex_lock(&devices->lock);
	for (size_t i = 0; i < devices->n; i++) {
		devices->device[i]->choice = choices[i];
		devices->device[i]->facts = facts[i];
		devices->device[i]->decided = true;
	}
	devices->state = state;
	pthread_mutex_unlock(&devices->lock);
	report(devices, facts, &state);
	return 0;
}

/* After one has left: what the others were told stays, and what comes of it may be something else.
 */
static void restate(struct devices *devices)
{
	struct coherency_device facts[CONFIG_MAX_DEVICES];
	struct coherency_choice choices[CONFIG_MAX_DEVICES];
	struct coherency_state state;
	struct coherency_host host;
	struct err err;

	for (size_t i = 0; i < devices->n; i++)
		facts[i] = devices->device[i]->facts;
	coherency_host_probe(devices->vm, &host);
	if (coherency_decide(&host, facts, devices->n, choices, &state, &err))
		return;
	state.guest_pat = state.guest_pat || devices->pat_honoured;
	pthread_mutex_lock(&devices->lock);
	devices->state = state;
	pthread_mutex_unlock(&devices->lock);
	report_vm(devices, &state);
}

/* --- what memory may be where ---------------------------------------------------------------- */

static int gather_limits(struct devices *devices, struct err *err)
{
	size_t count = 0, at = 0;

	devices->aperture_last = UINT64_MAX;
	for (size_t i = 0; i < devices->n; i++) {
		struct ioasid_device_info info;

		ioasid_device_info(devices->device[i]->bound, &info);
		count += info.n_reserved;
		devices->aperture_last = MIN(devices->aperture_last, info.iova_last);
	}
	devices->reserved = calloc(count + 1, sizeof(devices->reserved[0]));
	if (!devices->reserved)
		return err_set(err, ENOMEM, "no memory for %zu reserved ranges", count);
	for (size_t i = 0; i < devices->n; i++) {
		struct ioasid_device_info info;

		ioasid_device_info(devices->device[i]->bound, &info);
		for (size_t r = 0; r < info.n_reserved; r++)
			devices->reserved[at++] = (struct layout_range){
				.base = info.reserved[r].first,
				.size = info.reserved[r].last - info.reserved[r].first + 1,
			};
	}
	devices->n_reserved = (unsigned int)at;
	return 0;
}

void devices_limit(const struct devices *devices, struct layout_request *request)
{
	if (!devices)
		return;
	request->aperture_last = devices->aperture_last;
	request->reserved = devices->reserved;
	request->n_reserved = devices->n_reserved;
}

int devices_open(struct devices **out, const struct config *config, int keeper, bool one_life,
		 struct vm *vm, const struct log *log, struct err *err)
{
	struct devices *devices = calloc(1, sizeof(*devices));
	int ret;

	*out = NULL;
	if (!devices)
		return err_set(err, ENOMEM, "no memory for the devices");
	*devices = (struct devices){
		.config = config,
		.keeper = keeper,
		.one_life = one_life,
		.vm = vm,
		.log = log,
		.aperture_last = UINT64_MAX,
	};
	pthread_mutex_init(&devices->lock, NULL);
	pthread_mutex_init(&devices->telling, NULL);
	pthread_mutex_init(&devices->gate, NULL);
	pthread_cond_init(&devices->opened, NULL);
	ret = open_nodes(devices, config, err);
	if (!ret && devices->n)
		ret = open_ctx(devices, config, err);
	if (!ret && devices->n)
		ret = devices_check_limit(devices, err);
	if (ret) {
		devices_destroy(devices);
		return ret;
	}
	*out = devices;
	return 0;
}

int devices_bind(struct devices *devices, struct err *err)
{
	int ret;

	if (!devices->n)
		return 0;
	ret = devices_bind_end(devices, err);
	if (!ret)
		ret = decide(devices, false, err);
	return ret ? ret : gather_limits(devices, err);
}

/* --- on the bus ------------------------------------------------------------------------------ */

/* Off the bus first, so that nothing of the guest reaches it; then its DMA; then KVM and the host.
 */
static void drop(struct device *device)
{
	struct devices *all = device->all;
	struct err err = { 0 };

	if (device->on_bus)
		pci_bus_remove(all->place.bus, vfio_function_pci(device->function));
	else if (device->function)
		pci_function_destroy(vfio_function_pci(device->function));
	device->function = NULL;
	device->on_bus = false;
	if (device->bound && ioasid_detach(device->bound, &err))
		log_line(all->log, LOG_ERROR, "vfio", "%s: %s", device->config.id, err.text);
	device_forget(device);
	if (device->bound)
		ioasid_unbind(device->bound);
	device->bound = NULL;
	device_node_close(&device->node);
}

/* To the log, and to who follows the machine's events. */
static void announce(const struct device *device, enum log_level level, const char *event,
		     const char *what)
{
	const struct devices *all = device->all;
	char text[200];

	snprintf(text, sizeof(text), "%s %s", device->config.id, what);
	log_line(all->log, level, "vfio", "%s", text);
	if (all->place.event)
		all->place.event(all->place.event_arg, event, text);
}

/* On the loop's thread, which may not close it. */
static void on_event(void *opaque, enum vfio_event event)
{
	struct device *device = opaque;

	if (event == VFIO_EVENT_ERROR) {
		announce(device, LOG_ERROR, "device-error",
			 "reported an uncorrectable error: its guest should reset it");
		return;
	}
	__atomic_store_n(&device->wanted, true, __ATOMIC_SEQ_CST);
	device->all->place.wake(device->all->place.wake_arg);
}

/* One a descriptor, though members of a group have it in common. Returns their number. */
static unsigned int held_groups(const struct devices *devices, struct vfio_group *groups)
{
	unsigned int n = 0;

	for (size_t i = 0; i < devices->n; i++) {
		const struct device_node *node = &devices->device[i]->node;

		if (node->group && !devices_same_group(devices, i))
			groups[n++] = (struct vfio_group){ node->number, node->fd };
	}
	return n;
}

/* Those that the guest has by now: none before it runs. Returns their number. */
static unsigned int neighbours(const struct devices *devices, struct vfio_neighbour *out)
{
	unsigned int n = 0;

	for (size_t i = 0; i < devices->n; i++) {
		const struct device *device = devices->device[i];

		if (device->on_bus)
			out[n++] = (struct vfio_neighbour){ device->node.name, device->config.id };
	}
	return n;
}

/*
 * Where BARs of the devices go for each other's DMA. Not with a container: its entries would
 * outlive a reset of the device that they lead to.
 */
static struct ioasid_space *peers(const struct devices *devices)
{
	struct ioasid_caps caps;

	ioasid_ctx_caps(devices->ctx, &caps);
	return caps.map_file ? devices->guest : NULL;
}

void devices_making(struct device *device, struct devices_making *out)
{
	struct devices *all = device->all;

	out->options = (struct vfio_options){
		.name = device->config.id,
		.allow_no_reset = device->config.allow_no_reset,
		.rom = device->config.rom,
		.no_snoop = device->choice.no_snoop,
		.groups = out->groups,
		.n_groups = held_groups(all, out->groups),
		.neighbours = out->neighbours,
		.n_neighbours = neighbours(all, out->neighbours),
		.loop = all->place.loop,
		.log = all->log,
		.event = on_event,
		.dma = device_dma,
		.opaque = device,
	};
}

/*
 * Made, and its DMA let into the space of guest memory; nobody can ask it for any yet. fresh: as in
 * struct vfio_options.
 */
static int make_device(struct device *device, struct vfio_fresh *fresh, struct err *err)
{
	struct devices *all = device->all;
	struct devices_making making;
	int ret;

	devices_making(device, &making);
	making.options.fd = ioasid_device_fd(device->bound);
	making.options.peers = peers(all);
	making.options.fresh = fresh;
	ret = vfio_function_create(&device->function, all->vm, &making.options, err);
	if (!ret)
		ret = ioasid_attach(device->bound, all->guest, err);
	return ret;
}

static int show_device(struct device *device, struct err *err)
{
	struct devices *all = device->all;
	struct pci_function *pci = vfio_function_pci(device->function);
	int ret = pci_bus_add(all->place.bus, pci, -1, err);

	if (ret)
		return ret;
	pthread_mutex_lock(&all->lock);
	device->on_bus = true;
	pthread_mutex_unlock(&all->lock);
	log_line(all->log, LOG_INFO, "vfio", "%s is in slot %u; reset: %s; %s", device->config.id,
		 pci_function_slot(pci), vfio_function_reset_name(device->function),
		 vfio_function_has_peers(device->function) ? "other devices reach its registers"
							   : "no other device reaches it");
	return 0;
}

static int make_space(struct devices *devices, struct err *err)
{
	const struct ioasid_space_options options = { .name = "guest" };
	struct ioasid_space *guest;
	int ret = ioasid_alloc(devices->ctx, &options, &guest, err);

	if (ret)
		return ret;
	pthread_mutex_lock(&devices->lock);
	devices->guest = guest;
	pthread_mutex_unlock(&devices->lock);
	return 0;
}

int devices_add(struct devices *devices, const struct devices_place *place, struct err *err)
{
	struct vfio_fresh fresh = { .n = 0 };
	int ret;

	devices->place = *place;
	if (!devices->n)
		return 0;
	ret = make_space(devices, err);
	/* All are attached before the first is seen: members of a group are closed together. */
	for (size_t i = 0; !ret && i < devices->n; i++)
		ret = make_device(devices->device[i], &fresh, err);
	if (!ret)
		ret = guest_space_follow(devices->guest, place->hot, "assigned devices", err);
	for (size_t i = 0; !ret && i < devices->n; i++)
		ret = show_device(devices->device[i], err);
	return ret;
}

/* --- while the guest runs -------------------------------------------------------------------- */

/* Guest memory lies where it lies: what this one cannot reach, or must not, was not left out. */
static int check_range(const struct device *device, uint64_t first, uint64_t size, struct err *err)
{
	uint64_t last = first + size - 1;
	struct ioasid_device_info info;

	ioasid_device_info(device->bound, &info);
	if (last > info.iova_last)
		return err_set(err, ENOSPC,
			       "%s reaches memory up to %#llx, and the guest's goes up to %#llx: "
			       "have it in the configuration when the VM starts",
			       device->config.id, (unsigned long long)info.iova_last,
			       (unsigned long long)last);
	for (size_t r = 0; r < info.n_reserved; r++) {
		if (first <= info.reserved[r].last && info.reserved[r].first <= last)
			return err_set(err, ENOSPC,
				       "%s must not reach %#llx to %#llx, where guest memory is: "
				       "have it in the configuration when the VM starts",
				       device->config.id,
				       (unsigned long long)info.reserved[r].first,
				       (unsigned long long)info.reserved[r].last);
	}
	return 0;
}

static int check_memory(const struct device *device, struct err *err)
{
	const struct layout *layout = device->all->place.layout;
	int ret =
		layout->hot.size ? check_range(device, layout->hot.base, layout->hot.size, err) : 0;

	for (unsigned int i = 0; i < layout->n_ram && !ret; i++)
		ret = check_range(device, layout->ram[i].gpa, layout->ram[i].size, err);
	return ret;
}

/* Without the last device nothing of the guest's memory stays pinned. */
static void close_ctx(struct devices *devices)
{
	if (devices->guest && devices->place.hot)
		hot_ram_leave(devices->place.hot, devices->guest);
	/* Who looks does not find it from here on. */
	pthread_mutex_lock(&devices->lock);
	devices->guest = NULL;
	pthread_mutex_unlock(&devices->lock);
	devices_unmapped(devices);
	if (devices->ctx)
		ioasid_ctx_close(devices->ctx);
	devices->ctx = NULL;
}

static void leave(struct devices *devices, struct device *device)
{
	unsigned int keeper_index = device->node.index;
	bool kept = device->node.keeper;
	struct err err = { 0 };
	size_t i = 0;

	/* Who looks does not find it from here on. */
	pthread_mutex_lock(&devices->lock);
	while (devices->device[i] != device)
		i++;
	for (devices->n--; i < devices->n; i++)
		devices->device[i] = devices->device[i + 1];
	pthread_mutex_unlock(&devices->lock);
	drop(device);
	if (!devices->n)
		close_ctx(devices);
	restate(devices);
	if (kept && keeper_release(devices->keeper, keeper_index, &err))
		log_line(devices->log, LOG_WARN, "vfio", "%s: %s", device->config.id, err.text);
	free(device);
}

static int enter(struct devices *devices, struct device *device, const struct config *config,
		 size_t i, struct err *err)
{
	bool first = !devices->ctx;
	int ret = open_node(devices, config, i, true, err);

	/* Who handed it over can take it back before the guest resets, so it is not refused. */
	if (!ret && device->node.once && !devices->one_life)
		log_line(devices->log, LOG_WARN, "vfio",
			 "%s: the guest has it until its first reset, at which the VM ends: this "
			 "user may not open its node anew",
			 device->config.id);
	if (!ret && first)
		ret = open_ctx(devices, config, err);
	if (!ret && first)
		ret = devices_check_limit(devices, err);
	if (!ret)
		ret = device_bind(device, err);
	if (!ret)
		ret = decide(devices, true, err);
	if (!ret)
		ret = check_memory(device, err);
	if (!ret && first)
		ret = make_space(devices, err);
	if (!ret)
		ret = make_device(device, NULL, err);
	if (!ret && first)
		ret = guest_space_follow(devices->guest, devices->place.hot, "assigned devices",
					 err);
	if (!ret)
		ret = devices_map(devices, err);
	return ret ? ret : show_device(device, err);
}

int devices_plug(struct devices *devices, const struct config *config, size_t i, struct err *err)
{
	const struct config_device *which = &config->devices[i];
	struct device *device;
	int ret;

	if (which->managed || which->source == SOURCE_NEW_MDEV)
		return err_set(err, EPERM,
			       "%s: adit-keeper takes and makes only what it was told of when the "
			       "VM's process started; prepare the device and name it by \"path\"",
			       which->id);
	device = append(devices, which, err);
	if (!device)
		return -err->code;
	ret = enter(devices, device, config, i, err);
	if (ret)
		leave(devices, device);
	return ret;
}

bool devices_remove(struct devices *devices, const char *id)
{
	struct device *device = devices_find(devices, id);

	if (!device)
		return false;
	if (device->wanted)
		announce(device, LOG_WARN, "device-returned",
			 "goes back to the host, which asked for it");
	leave(devices, device);
	return true;
}

void devices_destroy(struct devices *devices)
{
	struct err err;

	if (!devices)
		return;
	devices_bind_end(devices, &err);
	for (size_t i = devices->n; i-- > 0;) {
		drop(devices->device[i]);
		free(devices->device[i]);
	}
	close_ctx(devices);
	coherency_close(devices->coherency);
	free(devices->reserved);
	pthread_cond_destroy(&devices->opened);
	pthread_mutex_destroy(&devices->gate);
	pthread_mutex_destroy(&devices->telling);
	pthread_mutex_destroy(&devices->lock);
	free(devices);
}
