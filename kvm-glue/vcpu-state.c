/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row a structure that KVM gives and takes, in the order in which it has to be taken: the local
 * APIC after the mode it is in (sregs), MSRs after the APIC, whose timer's mode decides what a
 * deadline means, the pending events after all that could be pending.
 *
 * Source: Linux Documentation/virt/kvm/api.rst; Intel SDM volume 4 (numbers of MSRs).
 */
#include "kvm-glue/vcpu-state.h"

#include <stdlib.h>
#include <string.h>

#include "kvm-glue/vcpu-internal.h"
#include "util/bits.h"

#define VERSION 1

#define MSR_TSC		 0x10u
#define MSR_TSC_DEADLINE 0x6e0u
#define MSRS_MAX	 1024u
#define FREQUENCY_PPM	 250u /* by which two processors of one kind are measured differently */

/* Not of this machine: no guest of it is offered Hyper-V's interface. */
#define HYPERV_FIRST 0x40000000u
#define HYPERV_LAST  0x400000ffu

/* What KVM keeps beside those that it lists: memory types, and banks of machine checks. */
static const struct {
	uint32_t first, last;
} unlisted[] = {
	{ 0x200, 0x20f },				      /* variable ranges */
	{ 0x250, 0x250 }, { 0x258, 0x259 }, { 0x268, 0x26f }, /* fixed ones */
	{ 0x277, 0x277 },				      /* PAT */
	{ 0x2ff, 0x2ff },				      /* default type */
	{ 0x400, 0x47f },				      /* banks */
};

struct state {
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	/* Its type ends in what it is for larger states. */
	_Alignas(struct kvm_xsave) uint8_t xsave[sizeof(struct kvm_xsave)];
	struct kvm_regs regs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
};

static const struct part {
	const char *name;
	unsigned long get, set;
	size_t at, size;
	bool after_msrs;
} parts[] = {
#define PART(get, set, member, after)                              \
	{                                                          \
#set, get, set, offsetof(struct state, member),    \
			sizeof(((struct state *)0)->member), after \
	}
	PART(KVM_GET_SREGS, KVM_SET_SREGS, sregs, false),
	PART(KVM_GET_XCRS, KVM_SET_XCRS, xcrs, false),
	PART(KVM_GET_XSAVE, KVM_SET_XSAVE, xsave, false),
	PART(KVM_GET_REGS, KVM_SET_REGS, regs, false),
	PART(KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, debugregs, false),
	PART(KVM_GET_LAPIC, KVM_SET_LAPIC, lapic, false),
	PART(KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, events, true),
	PART(KVM_GET_MP_STATE, KVM_SET_MP_STATE, mp, true),
#undef PART
};

/* --- MSRs ------------------------------------------------------------------------------------ */

struct msr_list {
	uint32_t n;
	uint32_t index[MSRS_MAX];
};

static bool has_msr(const struct msr_list *list, uint32_t index)
{
	for (uint32_t i = 0; i < list->n; i++) {
		if (list->index[i] == index)
			return true;
	}
	return false;
}

static void add_msr(struct msr_list *list, uint32_t index)
{
	if (list->n < MSRS_MAX && !(index >= HYPERV_FIRST && index <= HYPERV_LAST) &&
	    !has_msr(list, index))
		list->index[list->n++] = index;
}

static int list_msrs(const struct vm *vm, struct msr_list *list)
{
	struct kvm_msr_list *theirs =
		calloc(1, sizeof(*theirs) + MSRS_MAX * sizeof(theirs->indices[0]));
	int ret;

	list->n = 0;
	if (!theirs)
		return -ENOMEM;
	theirs->nmsrs = MSRS_MAX;
	ret = kvm_ioctl(vm->kvm_fd, KVM_GET_MSR_INDEX_LIST, theirs);
	for (uint32_t i = 0; !ret && i < MIN(theirs->nmsrs, MSRS_MAX); i++)
		add_msr(list, theirs->indices[i]);
	for (size_t i = 0; i < ARRAY_SIZE(unlisted); i++) {
		for (uint32_t at = unlisted[i].first; at <= unlisted[i].last; at++)
			add_msr(list, at);
	}
	free(theirs);
	return ret;
}

/* Of those that are not listed, what is 0 is as it was made. */
static void save_msrs(struct vcpu *vcpu, const struct msr_list *list, struct state_out *out)
{
	struct kvm_msr_entry *entries = calloc(list->n, sizeof(*entries));
	uint32_t n = 0;

	if (!entries) {
		out->ret = -ENOMEM;
		return;
	}
	for (uint32_t i = 0; i < list->n; i++) {
		uint64_t value;

		/* Listed are registers of the processor; the guest's CPUID may lack what they are
		 * of. */
		if (vcpu_get_msr(vcpu, list->index[i], &value))
			continue;
		entries[n++] = (struct kvm_msr_entry){ .index = list->index[i], .data = value };
	}
	state_put_bytes(out, entries, n * sizeof(*entries));
	free(entries);
}

/* What can only be read is right where it is the same. */
static bool load_msr(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	uint64_t now;

	if (!vcpu_set_msr(vcpu, index, value))
		return true;
	return !vcpu_get_msr(vcpu, index, &now) && now == value;
}

static int load_msrs(struct vcpu *vcpu, const struct msr_list *list, const uint8_t *bytes,
		     size_t len, struct state_in *in)
{
	/* Those of the timer last: what they start is the timer's mode's. */
	for (unsigned int pass = 0; pass < 2; pass++) {
		for (size_t at = 0; at < len; at += sizeof(struct kvm_msr_entry)) {
			struct kvm_msr_entry entry;

			memcpy(&entry, bytes + at, sizeof(entry));
			if ((entry.index == MSR_TSC_DEADLINE) != pass)
				continue;
			if (!has_msr(list, entry.index))
				return state_refuse(in, "MSR %#x is none that this host has",
						    entry.index);
			if (!load_msr(vcpu, entry.index, entry.data))
				return state_refuse(in, "KVM does not take %#llx for MSR %#x",
						    (unsigned long long)entry.data, entry.index);
		}
	}
	return 0;
}

/* --- the TSC's frequency --------------------------------------------------------------------- */

static int load_frequency(struct vcpu *vcpu, uint64_t khz, struct state_in *in)
{
	int here = kvm_ioctl_value(vcpu->fd, KVM_GET_TSC_KHZ, 0);
	uint64_t now = here > 0 ? (uint64_t)here : 0, off = now > khz ? now - khz : khz - now;

	if (off * 1000000 <= now * FREQUENCY_PPM)
		return 0;
	if (vm_has(vcpu->vm, KVM_CAP_TSC_CONTROL) &&
	    !kvm_ioctl_value(vcpu->fd, KVM_SET_TSC_KHZ, khz))
		return 0;
	return state_refuse(in,
			    "the guest's TSC runs at %llu kHz and this host's at %llu kHz, which "
			    "this KVM cannot scale",
			    (unsigned long long)khz, (unsigned long long)now);
}

/*
 * A KVM that cannot offset the TSC takes a value for it and gives the host's. Ahead of where it
 * stood that is a long time that passed; behind it, clocks of the guest would go backwards. Not so
 * where it is less than a second: KVM takes what was written for a try to write what the vCPU
 * before has (kvm_synchronize_tsc), which stood, when it was read, as long as this one.
 */
static int check_tsc(struct vcpu *vcpu, uint64_t khz, const uint8_t *msrs, size_t len,
		     struct state_in *in)
{
	for (size_t at = 0; at < len; at += sizeof(struct kvm_msr_entry)) {
		struct kvm_msr_entry entry;
		uint64_t now;

		memcpy(&entry, msrs + at, sizeof(entry));
		if (entry.index == MSR_TSC && !vcpu_get_msr(vcpu, MSR_TSC, &now) &&
		    now < entry.data && entry.data - now >= khz * 1000)
			return state_refuse(
				in,
				"the guest's TSC stood at %llu; this KVM cannot set it, "
				"and this host's is behind, at %llu",
				(unsigned long long)entry.data, (unsigned long long)now);
	}
	return 0;
}

/* --- a vCPU ---------------------------------------------------------------------------------- */

static bool extended_state_fits(const struct vcpu *vcpu)
{
	return vm_has(vcpu->vm, KVM_CAP_XSAVE2) <= (int)sizeof(struct kvm_xsave);
}

static int get_parts(struct vcpu *vcpu, struct state *state, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int ret = kvm_ioctl(vcpu->fd, parts[i].get, (char *)state + parts[i].at);

		if (ret)
			return err_set(err, -ret, "vCPU %u: KVM does not say what %s takes: %s",
				       vcpu->id, parts[i].name, strerror(-ret));
	}
	return 0;
}

int vcpu_save(struct vcpu *vcpu, struct state_out *out, struct err *err)
{
	struct msr_list *list = malloc(sizeof(*list));
	struct state *state = calloc(1, sizeof(*state));
	int khz = kvm_ioctl_value(vcpu->fd, KVM_GET_TSC_KHZ, 0), ret = -ENOMEM;

	if (list && state)
		ret = list_msrs(vcpu->vm, list);
	if (ret) {
		err_set(err, -ret, "vCPU %u: its MSRs: %s", vcpu->id, strerror(-ret));
		goto out;
	}
	if (!extended_state_fits(vcpu)) {
		ret = err_set(
			err, EOPNOTSUPP,
			"vCPU %u: extended state of %d bytes is not carried by a snapshot: %zu "
			"are",
			vcpu->id, vm_has(vcpu->vm, KVM_CAP_XSAVE2), sizeof(struct kvm_xsave));
		goto out;
	}
	ret = get_parts(vcpu, state, err);
	if (ret)
		goto out;
	state_begin(out, VERSION, "vcpu %u", vcpu->id);
	state_put(out, khz > 0 ? (uint64_t)khz : 0);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		state_put_bytes(out, (char *)state + parts[i].at, parts[i].size);
	save_msrs(vcpu, list, out);
	state_end(out);
out:
	free(state);
	free(list);
	return ret;
}

static int set_parts(struct vcpu *vcpu, const struct state *state, bool after_msrs,
		     struct state_in *in)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int ret;

		if (parts[i].after_msrs != after_msrs)
			continue;
		/* A processor without XSAVE has none, and KVM takes none for it. */
		if (parts[i].set == KVM_SET_XCRS && !state->xcrs.nr_xcrs)
			continue;
		ret = kvm_ioctl(vcpu->fd, parts[i].set, (char *)state + parts[i].at);
		if (ret)
			return state_refuse(in, "%s: %s", parts[i].name, strerror(-ret));
	}
	return 0;
}

static int load(struct vcpu *vcpu, struct state *state, const struct msr_list *list,
		struct state_in *in)
{
	uint64_t khz = state_take(in, UINT32_MAX);
	const uint8_t *msrs;
	size_t len;
	int ret;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		state_take_bytes(in, (char *)state + parts[i].at, parts[i].size);
	msrs = state_take_some(in, MSRS_MAX * sizeof(struct kvm_msr_entry), &len);
	if (msrs && len % sizeof(struct kvm_msr_entry))
		state_refuse(in, "%zu bytes of MSRs", len);
	ret = state_leave(in);
	if (!ret)
		ret = load_frequency(vcpu, khz, in);
	if (!ret)
		ret = set_parts(vcpu, state, false, in);
	if (!ret)
		ret = load_msrs(vcpu, list, msrs, len, in);
	if (!ret)
		ret = check_tsc(vcpu, khz, msrs, len, in);
	if (!ret)
		ret = set_parts(vcpu, state, true, in);
	/* A guest that looks for lost ticks is told that it did not run; others are not. */
	if (!ret)
		(void)kvm_ioctl_value(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
	return ret;
}

int vcpu_load(struct vcpu *vcpu, struct state_in *in)
{
	struct msr_list *list = malloc(sizeof(*list));
	struct state *state = calloc(1, sizeof(*state));
	int ret = state_enter(in, VERSION, "vcpu %u", vcpu->id);

	if (!ret && (!list || !state || list_msrs(vcpu->vm, list)))
		ret = state_refuse(in, "this host does not say which MSRs there are");
	if (!ret)
		ret = load(vcpu, state, list, in);
	free(state);
	free(list);
	return ret;
}

/* --- the VM's clock -------------------------------------------------------------------------- */

int vm_clock_save(struct vm *vm, struct state_out *out, struct err *err)
{
	struct kvm_clock_data data = { 0 };
	int ret = kvm_ioctl(vm->fd, KVM_GET_CLOCK, &data);

	if (ret)
		return err_set(err, -ret, "KVM_GET_CLOCK: %s", strerror(-ret));
	state_begin(out, VERSION, "clock");
	state_put(out, data.clock);
	state_end(out);
	return 0;
}

int vm_clock_load(struct vm *vm, struct state_in *in)
{
	struct kvm_clock_data data = { 0 };
	int ret;

	state_enter(in, VERSION, "clock");
	data.clock = state_take(in, INT64_MAX);
	ret = state_leave(in);
	if (!ret && kvm_ioctl(vm->fd, KVM_SET_CLOCK, &data))
		ret = state_refuse(in, "KVM does not take %llu ns for its clock",
				   (unsigned long long)data.clock);
	return ret;
}
