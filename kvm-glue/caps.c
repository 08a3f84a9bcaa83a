/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm-glue/caps.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "kvm-glue/internal.h"
#include "util/bits.h"

#define ROW(cap, required, use)                    \
	{                                          \
		KVM_CAP_##cap, #cap, required, use \
	}

static const struct kvm_cap_row rows[] = {
	ROW(USER_MEMORY, true, "guest memory"),
	ROW(READONLY_MEM, true, "read-only guest memory"),
	ROW(IMMEDIATE_EXIT, true, "getting a vCPU out of KVM_RUN without a race"),
	ROW(SPLIT_IRQCHIP, true, "local APICs in the kernel, I/O APIC here"),
	ROW(SIGNAL_MSI, true, "message-signalled interrupts"),
	ROW(IRQ_ROUTING, true, "interrupt routes"),
	ROW(IRQFD, true, "interrupts by eventfd"),
	ROW(IOEVENTFD, true, "doorbells by eventfd"),
	ROW(MP_STATE, true, "starting secondary vCPUs"),
	ROW(EXT_CPUID, true, "the guest's CPUID"),
	ROW(EXIT_ON_EMULATION_FAILURE, false,
	    "portals: MOVDIR64B and ENQCMD are decoded from the exit"),
	ROW(TSC_DEADLINE_TIMER, false, "the guest's precise local timer"),
	ROW(IOEVENTFD_ANY_LENGTH, false, "doorbells of any width"),
	ROW(X2APIC_API, false, "APIC ids above 254"),
	ROW(ADJUST_CLOCK, false, "kvmclock across pause"),
	ROW(DISABLE_QUIRKS2, false, "coherency policy guest-pat"),
	ROW(X86_USER_SPACE_MSR, false, "deciding unknown MSRs here"),
	ROW(MANUAL_DIRTY_LOG_PROTECT2, false, "cheap dirty logs"),
	ROW(DEVICE_CTRL, false, "the kvm-vfio device (coherency)"),
};

const struct kvm_cap_row *kvm_caps(size_t *count)
{
	*count = ARRAY_SIZE(rows);
	return rows;
}

int kvm_cap_value(int kvm_fd, unsigned int number)
{
	int ret = kvm_ioctl_value(kvm_fd, KVM_CHECK_EXTENSION, number);

	return ret > 0 ? ret : 0;
}

int kvm_check_required(int kvm_fd, struct err *err)
{
	int version = kvm_ioctl_value(kvm_fd, KVM_GET_API_VERSION, 0);

	if (version != KVM_API_VERSION)
		return err_set(
			err, ENOTSUP,
			"the KVM node answers API version %d where %d is needed: is it /dev/kvm?",
			version, KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].required && !kvm_cap_value(kvm_fd, rows[i].number))
			return err_set(
				err, ENOTSUP,
				"this host's KVM lacks KVM_CAP_%s (%s): a newer kernel has it",
				rows[i].name, rows[i].use);
	}
	return 0;
}

int kvm_node_error(int code, struct err *err)
{
	switch (code) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return err_set(
			err, code,
			"there is no /dev/kvm: load it with 'modprobe kvm_intel' or 'modprobe "
			"kvm_amd', and switch virtualisation on in the firmware (or nesting on "
			"in the host)");
	case EACCES:
	case EPERM:
		return err_set(err, code,
			       "/dev/kvm may not be opened: add the user to the group kvm "
			       "('usermod -aG kvm USER') and log in again");
	default:
		return err_set(err, code, "/dev/kvm: %s", strerror(code));
	}
}
