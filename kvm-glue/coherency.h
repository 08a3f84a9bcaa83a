/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coherency of assigned devices: whether a device may bypass the CPU caches (no-snoop DMA), whether
 * KVM is told of it, and what the guest's WBINVD and memory types then do. Two parts: a decision,
 * which is arithmetic on facts, and the calls that carry it out (the kvm-vfio device, a quirk).
 *
 * KVM decides by the capability of the IOMMU alone, at each change of the set of devices that it
 * was told of (until Linux 6.1 it asks a group's container, which by then has to be there, and
 * calls one of mdevs alone coherent): where one of them sits behind an IOMMU that does not enforce
 * snooping, WBINVD is carried out for the whole VM, otherwise it does nothing. User space can
 * choose what KVM is told of, and whether a device's No Snoop Enable bit (PCI Express Base 6.0
 * section 7.5.3.4) can be set.
 *
 * Source: Linux virt/kvm/vfio.c, arch/x86/kvm; Documentation/virt/kvm/devices/vfio.rst.
 */
#ifndef ADIT_KVM_GLUE_COHERENCY_H
#define ADIT_KVM_GLUE_COHERENCY_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

struct vm;

/* docs/passthrough.md, "Coherency", says what each means to a person. */
enum coherency_policy {
	COHERENCY_POLICY_AUTO,
	COHERENCY_POLICY_ENFORCE,
	COHERENCY_POLICY_ALLOW,
	COHERENCY_POLICY_DENY,
	COHERENCY_POLICY_GUEST_PAT
};
#define COHERENCY_POLICIES 5u

/* Does the device's IOMMU enforce snooping? An mdev has none of its own. */
enum coherency_iommu {
	COHERENCY_IOMMU_LAX,
	COHERENCY_IOMMU_ENFORCES,
	COHERENCY_IOMMU_NONE
};

const char *coherency_policy_name(enum coherency_policy policy);
const char *coherency_iommu_name(enum coherency_iommu iommu); /* "no", "yes", "none" */

struct coherency_device {
	const char *name; /* for the sentence */
	enum coherency_policy policy;
	bool unsafe_stale_reads;
	enum coherency_iommu iommu;
	int group; /* number of the IOMMU group by which it is opened; -1: by a node of its own */
};

/* What the host's KVM can do. */
struct coherency_host {
	bool kvm_vfio;	   /* the kvm-vfio device exists */
	bool pat_always;   /* AMD: the guest's memory types always count */
	bool pat_quirk;	   /* Intel: KVM_X86_QUIRK_IGNORE_GUEST_PAT can be switched off */
	bool by_container; /* coherency_by_container() */
};

struct coherency_choice {
	bool tell_kvm;
	bool no_snoop; /* the guest's No Snoop Enable reaches the device */
};

struct coherency_state {
	bool wbinvd;	     /* carried out; else it does nothing */
	bool guest_pat;	     /* the guest's memory types count */
	bool drop_pat_quirk; /* coherency_honour_pat is to be called */
};

/*
 * The choice for each of n devices, and what the VM comes to. -EOPNOTSUPP where the kernel cannot
 * carry a policy out; the sentence names the device (or the two that do not go together), the
 * policy, why, and what to do. Nothing of choices or *state is to be used then.
 */
int coherency_decide(const struct coherency_host *host, const struct coherency_device *devices,
		     size_t n, struct coherency_choice *choices, struct coherency_state *state,
		     struct err *err);

/* This kernel is older than Linux 6.2, and its KVM asks the containers of groups. */
bool coherency_by_container(void);
void coherency_host_probe(const struct vm *vm, struct coherency_host *host);

struct coherency;

/* The VM's one kvm-vfio device. -EBUSY: it has one; -ENOTSUP: this KVM has none. */
int coherency_open(struct coherency **out, struct vm *vm, struct err *err);
/* KVM forgets every device that it was told of. NULL is allowed. */
void coherency_close(struct coherency *coherency);
/*
 * fd: a VFIO cdev or group, borrowed for the call. Before its device is bound or opened: its driver
 * looks for KVM then. -EINVAL: it is not VFIO's; -EEXIST: KVM knows it; -ENOENT: it does not.
 */
int coherency_tell(struct coherency *coherency, int fd, struct err *err);
int coherency_forget(struct coherency *coherency, int fd, struct err *err);

/* The guest's memory types count from now on. Before vCPUs run. */
int coherency_honour_pat(struct vm *vm, struct err *err);

#endif
