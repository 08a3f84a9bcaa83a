/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/plan-devices.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keeper/change.h"
#include "kvm-glue/caps.h"
#include "kvm-glue/coherency.h"
#include "util/bits.h"
#include "vmm/config.h"
#include "vmm/map-estimate.h"

typedef struct json_object json;

#define QUIRK_PAT   (1 << 9) /* KVM_X86_QUIRK_IGNORE_GUEST_PAT, Linux 6.16 */
#define CAP_QUIRKS2 213	     /* KVM_CAP_DISABLE_QUIRKS2 */
#define MEMBERS	    64

static const struct host here = { .root = "" };

static void put(json *object, const char *key, const char *value)
{
	json_object_object_add(object, key, value && *value ? json_object_new_string(value) : NULL);
}

static void put_int(json *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static const char *text_of(json *object, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(object, key));

	return text ? text : "-";
}

struct planner {
	const struct host *host;
	const struct config *config;
	json *problems, *groups;
	const char *with[CONFIG_MAX_DEVICES];
	struct host_name names[CONFIG_MAX_DEVICES]; /* what each is; "": that does not show */
	struct coherency_device facts[CONFIG_MAX_DEVICES];
	bool pins; /* some device has all guest memory pinned */
	unsigned int n_functions;
	bool by_group; /* one of them, and so all */
};

static void problem(struct planner *planner, const struct config_device *device,
		    const struct err *err)
{
	char text[600];

	snprintf(text, sizeof(text), "%s: %s", device->id, err->text);
	json_object_array_add(planner->problems, json_object_new_string(text));
}

/* --- devices --------------------------------------------------------------------------------- */

static void add_group(struct planner *planner, int group)
{
	struct host_member members[MEMBERS];
	json *object, *list;
	size_t n = 0;

	for (size_t i = 0; i < json_object_array_length(planner->groups); i++) {
		object = json_object_array_get_idx(planner->groups, i);
		if (json_object_get_int(json_object_object_get(object, "group")) == group)
			return;
	}
	if (group == HOST_NO_GROUP ||
	    host_group_members(planner->host, group, members, MEMBERS, &n))
		return;
	object = json_object_new_object();
	list = json_object_new_array();
	put_int(object, "group", (uint64_t)group);
	for (size_t i = 0; i < MIN(n, MEMBERS); i++) {
		json *member = json_object_new_object();

		put(member, "path", members[i].name);
		put(member, "driver", members[i].driver);
		json_object_array_add(list, member);
	}
	json_object_object_add(object, "members", list);
	json_object_array_add(planner->groups, object);
}

static bool is_ours(const struct planner *planner, const char *bdf)
{
	for (size_t i = 0; i < planner->config->n_devices; i++) {
		if (!strcmp(planner->names[i].text, bdf))
			return true;
	}
	return false;
}

/* In a group that one of ours is in: the kernel lets nobody else open it. */
static bool goes_with_ours(const struct planner *planner, int group)
{
	for (size_t i = 0; i < planner->config->n_devices; i++) {
		struct host_function ours;

		if (!host_function_read(planner->host, planner->names[i].text, &ours) &&
		    ours.group == group)
			return true;
	}
	return false;
}

/*
 * By its bus, as the kernel does it for who has all that is on that bus: the names of the others,
 * or NULL.
 */
static json *reset_with(const struct planner *planner, const char *bdf)
{
	struct host_member members[MEMBERS];
	json *others;
	size_t n;

	if (host_bus_members(planner->host, bdf, members, MEMBERS, &n) || !n || n > MEMBERS)
		return NULL;
	others = json_object_new_array();
	for (size_t i = 0; i < n; i++) {
		struct host_function other;

		if (!strcmp(members[i].name, bdf))
			continue;
		json_object_array_add(others, json_object_new_string(members[i].name));
		if (is_ours(planner, members[i].name))
			continue;
		if (host_function_read(planner->host, members[i].name, &other) || !other.vfio ||
		    other.group == HOST_NO_GROUP || !goes_with_ours(planner, other.group)) {
			json_object_put(others);
			return NULL;
		}
	}
	return others;
}

static int plan_reset(struct planner *planner, const struct config_device *device,
		      const struct host_function *function, json *object)
{
	json *others = *function->resets ? NULL : reset_with(planner, function->bdf);
	struct err err;

	put(object, "reset", others ? "bus" : function->resets);
	if (others)
		json_object_object_add(object, "reset_with", others);
	if (*function->resets || others || device->allow_no_reset)
		return 0;
	err_set(&err, EOPNOTSUPP,
		"%s cannot be reset; \"allow_no_reset\": true takes it all the same",
		function->bdf);
	problem(planner, device, &err);
	return -EOPNOTSUPP;
}

static void plan_function(struct planner *planner, size_t i, const char *bdf, json *object)
{
	const struct config_device *device = &planner->config->devices[i];
	struct coherency_device *facts = &planner->facts[i];
	struct host_function function;
	struct err err;
	int ret = host_function_read(planner->host, bdf, &function);

	if (ret) {
		err_set(&err, ENODEV, "there is no PCI function %s on this host", bdf);
		problem(planner, device, &err);
		return;
	}
	ret = host_function_check(planner->host, &function, device->managed, planner->with,
				  planner->config->n_devices, &err);
	if (ret)
		problem(planner, device, &err);
	if (plan_reset(planner, device, &function, object))
		ret = -EOPNOTSUPP;
	put(object, "driver", function.driver);
	put(object, "state", ret ? "refused" : function.vfio ? "ready" : "taken at start");
	put(object, "iommu_enforces", host_snoop_word(function.snoop));
	put(object, "isolation", "iommu-rid");
	put_int(object, "bar_bytes", function.bar_bytes);
	facts->iommu =
		function.snoop == HOST_SNOOP_YES ? COHERENCY_IOMMU_ENFORCES : COHERENCY_IOMMU_LAX;
	facts->group = device->via == VIA_GROUP || !*function.cdev ? function.group : -1;
	planner->pins = true;
	planner->n_functions++;
	planner->by_group |= facts->group >= 0;
	add_group(planner, function.group);
	put_int(object, "group", (uint64_t)function.group);
}

static void plan_mdev(struct planner *planner, size_t i, const char *uuid, json *object)
{
	const struct config_device *device = &planner->config->devices[i];
	struct change_mdev made = { 0 };
	struct host_mdev mdev;
	struct err err;

	put(object, "iommu_enforces", host_snoop_word(HOST_SNOOP_NONE));
	put(object, "isolation", "vendor-mdev");
	planner->facts[i].iommu = COHERENCY_IOMMU_NONE;
	planner->facts[i].group = -1;
	if (device->source != SOURCE_NEW_MDEV) {
		if (!host_mdev_read(planner->host, uuid, &mdev)) {
			put(object, "state", "ready");
			add_group(planner, mdev.group);
			return;
		}
		err_set(&err, ENODEV, "there is no mdev %s on this host", uuid);
		problem(planner, device, &err);
		put(object, "state", "refused");
		return;
	}
	/* Any UUID will do for the question whether one can be made. */
	snprintf(made.parent, sizeof(made.parent), "%s", device->mdev.parent);
	snprintf(made.type, sizeof(made.type), "%s", device->mdev.type);
	if (uuid)
		memcpy(made.uuid, uuid, sizeof(made.uuid));
	else if (change_uuid(made.uuid, &err))
		return;
	put(object, "state", "made at start");
	put(object, "parent", made.parent);
	put(object, "type", made.type);
	if (change_mdev_plan(planner->host, &made, &err)) {
		problem(planner, device, &err);
		put(object, "state", "refused");
	}
}

/* A cdev's path and a descriptor: which device they are, as far as it shows. */
static int name_device(const struct host *host, const struct config_device *device,
		       struct host_name *name, struct err *err)
{
	struct host_identity identity;
	unsigned int major, minor;
	char number[32];
	int ret;

	if (device->source == SOURCE_CDEV) {
		if (sysfs_read(host, number, sizeof(number), "/sys/class/vfio-dev/%s/dev",
			       strrchr(device->path, '/') + 1) ||
		    sscanf(number, "%u:%u", &major, &minor) != 2)
			return err_set(err, ENODEV, "%s is no VFIO device of this host",
				       device->path);
		ret = host_identify_number(host, major, minor, &identity, err);
	} else {
		ret = host_identify(host, (int)device->fd, &identity, err);
	}
	if (!ret && identity.node != HOST_NODE_CDEV)
		ret = err_set(err, EINVAL,
			      "descriptor %u is no VFIO cdev; a group's needs \"path\"",
			      device->fd);
	if (!ret)
		*name = identity.device;
	return ret;
}

static json *plan_device(struct planner *planner, size_t i)
{
	const struct config_device *device = &planner->config->devices[i];
	static const enum coherency_policy policies[] = {
		[COHERENCY_AUTO] = COHERENCY_POLICY_AUTO,
		[COHERENCY_ENFORCE] = COHERENCY_POLICY_ENFORCE,
		[COHERENCY_ALLOW] = COHERENCY_POLICY_ALLOW,
		[COHERENCY_DENY] = COHERENCY_POLICY_DENY,
		[COHERENCY_GUEST_PAT] = COHERENCY_POLICY_GUEST_PAT,
	};
	const char *path = device->source == SOURCE_NEW_MDEV ? device->mdev.uuid : device->path;
	json *object = json_object_new_object();
	struct host_name name = { .kind = HOST_FUNCTION };
	struct err err;

	planner->facts[i] = (struct coherency_device){
		.name = device->id,
		.policy = policies[device->coherency],
		.unsafe_stale_reads = device->unsafe_stale_reads,
		.group = -1,
	};
	put(object, "id", device->id);
	put(object, "coherency", coherency_policy_name(policies[device->coherency]));
	if (device->source == SOURCE_CDEV || device->source == SOURCE_DESCRIPTOR) {
		if (name_device(planner->host, device, &name, &err)) {
			problem(planner, device, &err);
			put(object, "state", "refused");
			return object;
		}
		path = name.text;
	} else if (device->source != SOURCE_FUNCTION) {
		name.kind = HOST_MDEV;
	}
	put(object, "path", path ? path : "a random UUID");
	if (name.kind == HOST_FUNCTION)
		plan_function(planner, i, path, object);
	else
		plan_mdev(planner, i, path, object);
	return object;
}

/* --- coherency ------------------------------------------------------------------------------- */

static json *plan_coherency(struct planner *planner, json *devices)
{
	struct coherency_host host = { .kvm_vfio = true, .by_container = coherency_by_container() };
	struct coherency_choice choices[CONFIG_MAX_DEVICES];
	struct coherency_state state = { 0 };
	json *object = json_object_new_object();
	size_t n = planner->config->n_devices;
	struct err err;
	int fd;

	if (!n) {
		put(object, "wbinvd", "nop");
		put(object, "why", "no assigned device may do no-snoop DMA");
		return object;
	}
	host.pat_always = sysfs_exists(planner->host, "/sys/module/kvm_amd");
	fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		host.pat_quirk = kvm_cap_value(fd, CAP_QUIRKS2) & QUIRK_PAT;
		close(fd);
	}
	if (coherency_decide(&host, planner->facts, n, choices, &state, &err)) {
		json_object_array_add(planner->problems, json_object_new_string(err.text));
		put(object, "wbinvd", "refused");
		put(object, "why", "the policies do not go together here");
		return object;
	}
	put(object, "wbinvd", state.wbinvd ? "emulated" : "nop");
	put(object, "guest_pat", state.guest_pat ? "honoured" : "ignored");
	put(object, "why", "from the IOMMU's registers in sysfs; the running VM reports what is");
	for (size_t i = 0; i < n; i++) {
		json *device = json_object_array_get_idx(devices, i);

		put(device, "kvm", choices[i].tell_kvm ? "told" : "not told");
		put(device, "no_snoop_bit", choices[i].no_snoop ? "guest" : "off");
	}
	return object;
}

/* --- budget ---------------------------------------------------------------------------------- */

static bool may_lock_all(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	return !syscall(SYS_capget, &header, data) &&
	       data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK);
}

static void check_huge_pages(struct planner *planner, uint64_t size, uint64_t page)
{
	uint64_t free_pages =
		sysfs_number(planner->host,
			     "/sys/kernel/mm/hugepages/hugepages-%llukB/free_hugepages",
			     (unsigned long long)(page / KIB));
	char text[160];

	if (size / page <= free_pages)
		return;
	snprintf(text, sizeof(text),
		 "/memory/hugepages: %llu huge pages are needed and %llu are free; raise "
		 "vm.nr_hugepages",
		 (unsigned long long)(size / page), (unsigned long long)free_pages);
	json_object_array_add(planner->problems, json_object_new_string(text));
}

static json *plan_budget(struct planner *planner)
{
	const struct config *config = planner->config;
	uint64_t size = config->memory.size, huge = config->memory.hugepage_size;
	/* BARs that other devices reach are not counted (Linux drivers/iommu/iommufd/pages.c). */
	uint64_t all = size + config->memory.hotplugged_size;
	uint64_t needed = planner->pins ? all : 0;
	const struct map_estimate memory = { .size = size,
					     .hugepage = huge,
					     .shared = config->memory.shared,
					     .by_group = planner->by_group };
	struct rlimit limit = { 0 };
	json *object = json_object_new_object();
	char text[200];

	getrlimit(RLIMIT_MEMLOCK, &limit);
	put_int(object, "locked_memory", needed);
	if (may_lock_all() || limit.rlim_cur == RLIM_INFINITY)
		put(object, "allowed", "unlimited");
	else
		put_int(object, "allowed", limit.rlim_cur);
	put_int(object, "huge_page_percent", huge ? 100 : 0);
	put_int(object, "map_ms", needed ? map_estimate_ns(&memory) / 1000000 : 0);
	put(object, "why",
	    needed ? "guest memory is pinned and counted, what is plugged as it comes; the time is an "
		     "estimate"
	    : config->n_devices ? "an mdev's driver pins what it works on"
				: "composed ADIs reach memory through the monitor's own mapping");
	if (huge)
		check_huge_pages(planner, all, huge);
	if (needed && !may_lock_all() && limit.rlim_cur != RLIM_INFINITY &&
	    needed > limit.rlim_cur) {
		snprintf(text, sizeof(text),
			 "locked memory: %llu bytes are needed and %llu allowed; raise it by %llu "
			 "('ulimit -l', or LimitMEMLOCK= of the service)",
			 (unsigned long long)needed, (unsigned long long)limit.rlim_cur,
			 (unsigned long long)(needed - limit.rlim_cur));
		json_object_array_add(planner->problems, json_object_new_string(text));
	}
	return object;
}

/* Whether the kernel gives dma-bufs of BARs shows when a device is open: the running VM says it. */
static json *plan_peers(const struct planner *planner)
{
	json *object = json_object_new_object();
	const char *why = NULL;

	if (planner->n_functions < 2)
		why = "it takes two functions with registers in memory";
	else if (planner->by_group)
		why = "a container's entries would outlive a reset of the device that they lead to: "
		      "a device that is told to reach another one is stopped by the IOMMU";
	put(object, "state", why ? "off" : "on");
	put(object, "why",
	    why ? why
		: "where the kernel gives BARs as dma-bufs: Linux does from 6.19 on, with "
		  "CONFIG_VFIO_PCI_DMABUF");
	return object;
}

/* Before any is looked at: they are asked about each other. */
static void name_all(struct planner *planner)
{
	for (size_t i = 0; i < planner->config->n_devices; i++) {
		const struct config_device *device = &planner->config->devices[i];
		struct host_name *name = &planner->names[i];
		struct err err;

		planner->with[i] = device->path;
		if (device->source == SOURCE_FUNCTION)
			host_name_parse(name, device->path);
		else if (device->source == SOURCE_CDEV || device->source == SOURCE_DESCRIPTOR)
			name_device(planner->host, device, name, &err);
	}
}

void plan_devices(json *plan, const struct config *config, const struct host *host)
{
	struct planner planner = {
		.host = host ? host : &here,
		.config = config,
		.problems = json_object_new_array(),
		.groups = json_object_new_array(),
	};
	json *devices = json_object_new_array();

	name_all(&planner);
	for (size_t i = 0; i < config->n_devices; i++)
		json_object_array_add(devices, plan_device(&planner, i));
	json_object_object_add(plan, "devices", devices);
	json_object_object_add(plan, "groups", planner.groups);
	json_object_object_add(plan, "coherency", plan_coherency(&planner, devices));
	json_object_object_add(plan, "peer_to_peer", plan_peers(&planner));
	json_object_object_add(plan, "budget", plan_budget(&planner));
	json_object_object_add(plan, "problems", planner.problems);
}

static void list_names(json *list, char *out, size_t size)
{
	size_t n = 0;

	*out = 0;
	for (size_t i = 0; list && i < json_object_array_length(list) && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s", i ? " " : "",
				      json_object_get_string(json_object_array_get_idx(list, i)));
}

void plan_devices_print(json *plan, FILE *to)
{
	json *devices = json_object_object_get(plan, "devices");
	json *groups = json_object_object_get(plan, "groups");
	json *coherency = json_object_object_get(plan, "coherency");
	json *budget = json_object_object_get(plan, "budget");
	json *peers = json_object_object_get(plan, "peer_to_peer");

	for (size_t i = 0; i < json_object_array_length(devices); i++) {
		json *d = json_object_array_get_idx(devices, i);
		char with[1200];

		list_names(json_object_object_get(d, "reset_with"), with, sizeof(with));
		fprintf(to,
			"device %s: %s, %s, driver %s; reset: %s%s%s; isolation %s; coherency %s "
			"(predicted: IOMMU enforces snooping: %s, KVM %s, No Snoop Enable %s)\n",
			text_of(d, "id"), text_of(d, "path"), text_of(d, "state"),
			text_of(d, "driver"), text_of(d, "reset"), *with ? ", with " : "", with,
			text_of(d, "isolation"), text_of(d, "coherency"),
			text_of(d, "iommu_enforces"), text_of(d, "kvm"),
			text_of(d, "no_snoop_bit"));
	}
	for (size_t i = 0; i < json_object_array_length(groups); i++) {
		json *group = json_object_array_get_idx(groups, i);
		json *members = json_object_object_get(group, "members");

		fprintf(to, "group %s:", text_of(group, "group"));
		for (size_t j = 0; j < json_object_array_length(members); j++) {
			json *member = json_object_array_get_idx(members, j);

			fprintf(to, " %s (%s)", text_of(member, "path"), text_of(member, "driver"));
		}
		fprintf(to, "\n");
	}
	fprintf(to, "coherency: wbinvd %s (predicted: %s)\n", text_of(coherency, "wbinvd"),
		text_of(coherency, "why"));
	if (json_object_array_length(devices) > 1)
		fprintf(to, "peer-to-peer: %s (%s)\n", text_of(peers, "state"),
			text_of(peers, "why"));
	fprintf(to,
		"locked memory: %s bytes, allowed %s; %s%% in huge pages; mapped in about %s ms "
		"(%s)\n",
		text_of(budget, "locked_memory"), text_of(budget, "allowed"),
		text_of(budget, "huge_page_percent"), text_of(budget, "map_ms"),
		text_of(budget, "why"));
}
