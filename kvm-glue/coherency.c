/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm-glue/coherency.h"

#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kvm-glue/internal.h"
#include "util/bits.h"

/* Linux 6.6's names for what older headers call GROUP; the numbers are the same. */
#ifndef KVM_DEV_VFIO_FILE
#define KVM_DEV_VFIO_FILE     KVM_DEV_VFIO_GROUP
#define KVM_DEV_VFIO_FILE_ADD KVM_DEV_VFIO_GROUP_ADD
#define KVM_DEV_VFIO_FILE_DEL KVM_DEV_VFIO_GROUP_DEL
#endif
#ifndef KVM_CAP_DISABLE_QUIRKS2
#define KVM_CAP_DISABLE_QUIRKS2 213 /* Linux 5.18 */
#endif
#ifndef KVM_X86_QUIRK_IGNORE_GUEST_PAT
#define KVM_X86_QUIRK_IGNORE_GUEST_PAT (1 << 9) /* Linux 6.16 */
#endif

const char *coherency_policy_name(enum coherency_policy policy)
{
	static const char *const names[COHERENCY_POLICIES] = {
		[COHERENCY_POLICY_AUTO] = "auto",	    [COHERENCY_POLICY_ENFORCE] = "enforce",
		[COHERENCY_POLICY_ALLOW] = "allow",	    [COHERENCY_POLICY_DENY] = "deny",
		[COHERENCY_POLICY_GUEST_PAT] = "guest-pat",
	};

	return (unsigned int)policy < COHERENCY_POLICIES ? names[policy] : "unknown";
}

const char *coherency_iommu_name(enum coherency_iommu iommu)
{
	switch (iommu) {
	case COHERENCY_IOMMU_ENFORCES:
		return "yes";
	case COHERENCY_IOMMU_NONE:
		return "none";
	default:
		return "no";
	}
}

/* --- the decision ---------------------------------------------------------------------------- */

static int refuse(const struct coherency_device *device, const char *why, struct err *err)
{
	return err_set(err, EOPNOTSUPP, "%s: coherency '%s': %s", device->name,
		       coherency_policy_name(device->policy), why);
}

/* What its policy asks of the device's own IOMMU and of this KVM. */
static int check_alone(const struct coherency_host *host, const struct coherency_device *device,
		       struct err *err)
{
	switch (device->policy) {
	case COHERENCY_POLICY_ENFORCE:
		if (device->iommu == COHERENCY_IOMMU_NONE)
			return refuse(device,
				      "an mdev has no IOMMU that could enforce snooping; "
				      "use 'auto'",
				      err);
		if (device->iommu == COHERENCY_IOMMU_LAX)
			return refuse(device,
				      "its IOMMU does not enforce snooping; use 'auto' or "
				      "'allow'",
				      err);
		return 0;
	case COHERENCY_POLICY_ALLOW:
		if (device->iommu == COHERENCY_IOMMU_ENFORCES)
			return refuse(device,
				      "its IOMMU enforces snooping and the kernel offers no "
				      "way to stop it; use 'auto' or 'enforce'",
				      err);
		return 0;
	case COHERENCY_POLICY_DENY:
		if (device->iommu != COHERENCY_IOMMU_ENFORCES && !device->unsafe_stale_reads)
			return refuse(device,
				      "no IOMMU enforces snooping for it, so the device may "
				      "read stale memory; use 'auto', or accept that with "
				      "\"unsafe_stale_reads\": true",
				      err);
		return 0;
	case COHERENCY_POLICY_GUEST_PAT:
		if (!host->pat_always && !host->pat_quirk)
			return refuse(device,
				      "this KVM always ignores the guest's memory types "
				      "(Linux 6.16 on a CPU with self-snoop can honour "
				      "them); use 'auto'",
				      err);
		return 0;
	case COHERENCY_POLICY_AUTO:
		return 0;
	}
	return refuse(device, "no such policy", err);
}

static bool told(const struct coherency_device *device)
{
	return device->policy != COHERENCY_POLICY_DENY;
}

/* The device makes KVM carry out WBINVD. */
static bool incoherent(const struct coherency_host *host, const struct coherency_device *device)
{
	if (device->iommu == COHERENCY_IOMMU_NONE && device->group >= 0 && host->by_container)
		return false;
	return told(device) && device->iommu != COHERENCY_IOMMU_ENFORCES;
}

/* KVM is told of groups whole, and answers for the VM whole: what does not go together. */
static int check_pair(const struct coherency_host *host, const struct coherency_device *a,
		      const struct coherency_device *b, struct err *err)
{
	if (a->group >= 0 && a->group == b->group && a->policy != b->policy)
		return err_set(err, EOPNOTSUPP,
			       "%s and %s: members of group %d, opened by the group, share one "
			       "coherency policy, and '%s' is not '%s'; open them by their cdevs",
			       a->name, b->name, a->group, coherency_policy_name(a->policy),
			       coherency_policy_name(b->policy));
	if (incoherent(host, a) &&
	    (b->policy == COHERENCY_POLICY_ENFORCE || b->policy == COHERENCY_POLICY_DENY))
		return err_set(err, EOPNOTSUPP,
			       "%s and %s: '%s' for the first makes WBINVD work in the whole VM, "
			       "which '%s' for the second rules out; put them into two VMs or "
			       "change one",
			       a->name, b->name, coherency_policy_name(a->policy),
			       coherency_policy_name(b->policy));
	return 0;
}

int coherency_decide(const struct coherency_host *host, const struct coherency_device *devices,
		     size_t n, struct coherency_choice *choices, struct coherency_state *state,
		     struct err *err)
{
	*state = (struct coherency_state){ .guest_pat = host->pat_always };
	for (size_t i = 0; i < n; i++) {
		const struct coherency_device *d = &devices[i];
		int ret = check_alone(host, d, err);

		if (!ret && told(d) && !host->kvm_vfio)
			ret = refuse(d,
				     "this KVM has no kvm-vfio device to tell it by; load kvm "
				     "with CONFIG_KVM_VFIO or use 'deny'",
				     err);
		for (size_t j = 0; !ret && j < n; j++)
			ret = j == i ? 0 : check_pair(host, d, &devices[j], err);
		if (ret)
			return ret;
		choices[i] = (struct coherency_choice){
			.tell_kvm = told(d),
			.no_snoop = told(d) && d->policy != COHERENCY_POLICY_ENFORCE,
		};
		state->wbinvd |= incoherent(host, d);
		state->drop_pat_quirk |=
			d->policy == COHERENCY_POLICY_GUEST_PAT && !host->pat_always;
	}
	/* Where WBINVD works, KVM leaves memory types to the guest as well (vmx_get_mt_mask). */
	state->guest_pat |= state->wbinvd || state->drop_pat_quirk;
	return 0;
}

/* --- the host -------------------------------------------------------------------------------- */

/* With AMD's SVM there is no way to ignore the guest's memory types, nor with Hygon's. */
static bool cpu_is_amd(void)
{
	uint32_t leaf, name[3];

	if (!__get_cpuid(0, &leaf, &name[0], &name[2], &name[1]))
		return false;
	return !memcmp(name, "AuthenticAMD", 12) || !memcmp(name, "HygonGenuine", 12);
}

static int create_device(const struct vm *vm, uint32_t flags, int *fd)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO, .flags = flags };
	int ret = kvm_ioctl(vm->fd, KVM_CREATE_DEVICE, &create);

	*fd = (int)create.fd;
	return ret;
}

bool coherency_by_container(void)
{
	unsigned int major, minor;
	struct utsname name;

	return !uname(&name) && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major < 6 || (major == 6 && minor < 2));
}

void coherency_host_probe(const struct vm *vm, struct coherency_host *host)
{
	int quirks = vm_has(vm, KVM_CAP_DISABLE_QUIRKS2), fd;

	*host = (struct coherency_host){
		.kvm_vfio = !create_device(vm, KVM_CREATE_DEVICE_TEST, &fd),
		.pat_always = cpu_is_amd(),
		.pat_quirk = quirks & KVM_X86_QUIRK_IGNORE_GUEST_PAT,
		.by_container = coherency_by_container(),
	};
}

int coherency_honour_pat(struct vm *vm, struct err *err)
{
	int ret = vm_enable(vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_IGNORE_GUEST_PAT);

	if (ret)
		return err_set(err, -ret,
			       "KVM does not honour the guest's memory types "
			       "(KVM_X86_QUIRK_IGNORE_GUEST_PAT: %s)",
			       strerror(-ret));
	return 0;
}

/* --- kvm-vfio -------------------------------------------------------------------------------- */

struct coherency {
	int fd;
};

int coherency_open(struct coherency **out, struct vm *vm, struct err *err)
{
	struct coherency *coherency = calloc(1, sizeof(*coherency));
	int ret;

	if (!coherency)
		return err_set(err, ENOMEM, "no memory for the kvm-vfio device");
	ret = create_device(vm, 0, &coherency->fd);
	if (ret) {
		free(coherency);
		if (ret == -ENODEV)
			return err_set(err, ENOTSUP,
				       "this KVM has no kvm-vfio device "
				       "(CONFIG_KVM_VFIO)");
		return err_set(err, -ret, "kvm-vfio device: %s",
			       ret == -EBUSY ? "this VM has one" : strerror(-ret));
	}
	*out = coherency;
	return 0;
}

void coherency_close(struct coherency *coherency)
{
	if (!coherency)
		return;
	close(coherency->fd);
	free(coherency);
}

static int change(struct coherency *coherency, uint64_t what, int fd)
{
	int32_t file = fd;
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_FILE,
		.attr = what,
		.addr = (uintptr_t)&file,
	};

	return kvm_ioctl(coherency->fd, KVM_SET_DEVICE_ATTR, &attr);
}

int coherency_tell(struct coherency *coherency, int fd, struct err *err)
{
	int ret = change(coherency, KVM_DEV_VFIO_FILE_ADD, fd);

	if (ret)
		return err_set(err, -ret, "telling KVM of descriptor %d: %s", fd,
			       ret == -EINVAL	? "it is no VFIO device or group"
			       : ret == -EEXIST ? "KVM knows it already"
						: strerror(-ret));
	return 0;
}

int coherency_forget(struct coherency *coherency, int fd, struct err *err)
{
	int ret = change(coherency, KVM_DEV_VFIO_FILE_DEL, fd);

	if (ret)
		return err_set(err, -ret, "having KVM forget descriptor %d: %s", fd,
			       ret == -ENOENT ? "KVM does not know it" : strerror(-ret));
	return 0;
}
