/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm-glue/cpuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm-glue/vcpu-internal.h"
#include "util/bits.h"

#define FIRST_TRY_ENTRIES 256u /* a refused try costs as much as one that fits */
#define MAX_ENTRIES	  1024u
#define SPARE_ENTRIES	  3u /* leaf 6, and two of leaf 0xb, where KVM reports none */

#define DEFAULT_PHYS_BITS 36u

#define LEAF1_ECX_VMX	       BIT_U64(5)
#define LEAF1_ECX_TSC_DEADLINE BIT_U64(24)
#define LEAF1_ECX_HYPERVISOR   BIT_U64(31)
#define LEAF1_EDX_HTT	       BIT_U64(28)
#define LEAF6_EAX_ARAT	       BIT_U64(2)
#define LEAF7_ECX_ENQCMD       BIT_U64(29)
/* Change what a linear address means: the portals' own page walk does not know them. */
#define LEAF7_1_EAX_LASS    BIT_U64(6)
#define LEAF7_1_EAX_LAM	    BIT_U64(26)
#define LEAF7_1_EDX_APX	    BIT_U64(21)
#define EXT1_ECX_CMP_LEGACY BIT_U64(1)
#define EXT1_ECX_SVM	    BIT_U64(2)

#define TOPOLOGY_SMT  1u
#define TOPOLOGY_CORE 2u

struct cpuid {
	unsigned int vcpus;
	struct kvm_cpuid2 *table;
};

static int read_supported(int kvm_fd, struct kvm_cpuid2 **out)
{
	for (uint32_t n = FIRST_TRY_ENTRIES; n <= MAX_ENTRIES; n *= 2) {
		struct kvm_cpuid2 *table =
			calloc(1, sizeof(*table) + (n + SPARE_ENTRIES) * sizeof(table->entries[0]));
		int ret;

		if (!table)
			return -ENOMEM;
		table->nent = n;
		ret = kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, table);
		if (!ret) {
			*out = table;
			return 0;
		}
		free(table);
		if (ret != -E2BIG)
			return ret;
	}
	return -E2BIG;
}

static struct kvm_cpuid_entry2 *find(const struct cpuid *cpuid, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < cpuid->table->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->table->entries[i];

		if (e->function == leaf &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf))
			return e;
	}
	return NULL;
}

/* Finds or appends; at most SPARE_ENTRIES are appended. */
static struct kvm_cpuid_entry2 *need(struct cpuid *cpuid, uint32_t leaf, uint32_t subleaf,
				     uint32_t flags)
{
	struct kvm_cpuid_entry2 *e = find(cpuid, leaf, subleaf);

	if (!e) {
		e = &cpuid->table->entries[cpuid->table->nent++];
		*e = (struct kvm_cpuid_entry2){
			.function = leaf,
			.index = subleaf,
			.flags = flags,
		};
	}
	return e;
}

static unsigned int bits_for(unsigned int count)
{
	unsigned int bits = 0;

	while (1u << bits < count)
		bits++;
	return bits;
}

/* One package of single-threaded cores, told in each of the ways that guests look for it. */
static void set_topology(struct cpuid *cpuid)
{
	struct kvm_cpuid_entry2 *e;
	unsigned int n = cpuid->vcpus;

	e = find(cpuid, 1, 0);
	if (e) {
		e->ebx = (e->ebx & 0x0000ffff) | MIN(n, 255u) << 16;
		e->edx = n > 1 ? e->edx | LEAF1_EDX_HTT : e->edx & ~LEAF1_EDX_HTT;
	}
	for (uint32_t i = 0; (e = find(cpuid, 4, i)) && e->index == i && e->eax & 0x1f; i++)
		e->eax = (e->eax & 0x3fff) | (((1u << bits_for(n)) - 1) & 0x3f) << 26;

	e = find(cpuid, 0, 0);
	if (e && e->eax >= 0xb) {
		e = need(cpuid, 0xb, 0, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
		e->eax = 0;
		e->ebx = 1;
		e->ecx = TOPOLOGY_SMT << 8;
		e = need(cpuid, 0xb, 1, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
		e->eax = bits_for(n);
		e->ebx = n;
		e->ecx = TOPOLOGY_CORE << 8 | 1;
	}
	e = find(cpuid, 0x1f, 0);
	if (e)
		e->eax = e->ebx = e->ecx = e->edx = 0;

	e = find(cpuid, 0x80000001, 0);
	if (e)
		e->ecx = n > 1 ? e->ecx | EXT1_ECX_CMP_LEGACY : e->ecx & ~EXT1_ECX_CMP_LEGACY;
	e = find(cpuid, 0x80000008, 0);
	if (e)
		e->ecx = bits_for(n) << 12 | (MIN(n, 256u) - 1);
}

static void set_policy(struct cpuid *cpuid, bool tsc_deadline)
{
	struct kvm_cpuid_entry2 *e = find(cpuid, 1, 0);

	if (e) {
		e->ecx |= LEAF1_ECX_HYPERVISOR;
		e->ecx &= ~LEAF1_ECX_VMX;
		if (tsc_deadline)
			e->ecx |= LEAF1_ECX_TSC_DEADLINE;
	}
	e = find(cpuid, 7, 0);
	if (e)
		e->ecx &= ~LEAF7_ECX_ENQCMD;
	e = find(cpuid, 7, 1);
	if (e && e->index == 1) {
		e->eax &= ~(LEAF7_1_EAX_LASS | LEAF7_1_EAX_LAM);
		e->edx &= ~LEAF7_1_EDX_APX;
	}
	e = find(cpuid, 0x80000001, 0);
	if (e)
		e->ecx &= ~EXT1_ECX_SVM;
	e = find(cpuid, 0, 0);
	if (e && e->eax >= 6)
		need(cpuid, 6, 0, 0)->eax |= LEAF6_EAX_ARAT;
}

int cpuid_create(struct cpuid **out, struct vm *vm, unsigned int vcpus, struct err *err)
{
	struct cpuid *cpuid = calloc(1, sizeof(*cpuid));
	int ret = -ENOMEM;

	if (cpuid) {
		cpuid->vcpus = vcpus;
		ret = read_supported(vm_kvm_fd(vm), &cpuid->table);
	}
	if (ret) {
		free(cpuid);
		return err_set(err, -ret, "KVM_GET_SUPPORTED_CPUID: %s", strerror(-ret));
	}
	set_policy(cpuid, vm_has(vm, KVM_CAP_TSC_DEADLINE_TIMER));
	set_topology(cpuid);
	*out = cpuid;
	return 0;
}

void cpuid_destroy(struct cpuid *cpuid)
{
	if (!cpuid)
		return;
	free(cpuid->table);
	free(cpuid);
}

unsigned int cpuid_phys_bits(const struct cpuid *cpuid)
{
	const struct kvm_cpuid_entry2 *e = find(cpuid, 0x80000008, 0);

	return e && (e->eax & 0xff) >= 32 ? e->eax & 0xff : DEFAULT_PHYS_BITS;
}

const struct kvm_cpuid_entry2 *cpuid_entry(const struct cpuid *cpuid, uint32_t leaf,
					   uint32_t subleaf)
{
	return find(cpuid, leaf, subleaf);
}

int cpuid_apply(const struct cpuid *cpuid, struct vcpu *vcpu, struct err *err)
{
	uint32_t n = cpuid->table->nent, id = vcpu_id(vcpu);
	size_t bytes = sizeof(*cpuid->table) + n * sizeof(cpuid->table->entries[0]);
	struct kvm_cpuid2 *own = malloc(bytes);
	int ret;

	if (!own)
		return err_set(err, ENOMEM, "no memory for CPUID");
	memcpy(own, cpuid->table, bytes);
	for (uint32_t i = 0; i < n; i++) {
		struct kvm_cpuid_entry2 *e = &own->entries[i];

		if (e->function == 1)
			e->ebx = (e->ebx & 0x00ffffff) | (id & 0xff) << 24;
		else if (e->function == 0xb)
			e->edx = id;
		else if (e->function == 0x8000001e)
			e->eax = e->ebx = id; /* extended APIC id, core id; one thread a core */
	}
	ret = kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, own);
	free(own);
	vcpu->maxphyaddr = cpuid_phys_bits(cpuid);
	if (ret)
		return err_set(err, -ret, "KVM_SET_CPUID2 with %u entries: %s", n, strerror(-ret));
	return 0;
}

/* --- saved guests ---------------------------------------------------------------------------- */

/* Of KVM's table they are the processor's on which it was asked; each vCPU gets its own. */
static struct kvm_cpuid_entry2 without_ids(const struct kvm_cpuid_entry2 *from)
{
	struct kvm_cpuid_entry2 e = *from;

	if (e.function == 1)
		e.ebx &= 0x00ffffff;
	else if (e.function == 0xb || e.function == 0x1f)
		e.edx = 0;
	else if (e.function == 0x8000001e)
		e.eax = e.ebx = 0;
	memset(e.padding, 0, sizeof(e.padding));
	return e;
}

void cpuid_save(const struct cpuid *cpuid, struct state_out *out)
{
	state_begin(out, 1, "cpuid");
	state_put(out, cpuid->table->nent);
	for (uint32_t i = 0; i < cpuid->table->nent; i++) {
		const struct kvm_cpuid_entry2 e = without_ids(&cpuid->table->entries[i]);

		state_put_bytes(out, &e, sizeof(e));
	}
	state_end(out);
}

int cpuid_check(const struct cpuid *cpuid, struct state_in *in)
{
	uint64_t n;

	state_enter(in, 1, "cpuid");
	n = state_take(in, MAX_ENTRIES + SPARE_ENTRIES);
	if (n != cpuid->table->nent)
		state_refuse(
			in,
			"the guest's processors have %llu leaves and this host's %u: it goes on "
			"on a host with the same processors and KVM",
			(unsigned long long)n, cpuid->table->nent);
	for (uint32_t i = 0; i < cpuid->table->nent && !in->ret; i++) {
		const struct kvm_cpuid_entry2 here = without_ids(&cpuid->table->entries[i]);
		struct kvm_cpuid_entry2 there;

		state_take_bytes(in, &there, sizeof(there));
		if (!in->ret && memcmp(&here, &there, sizeof(here)) != 0)
			state_refuse(
				in,
				"the guest's processors differ from this host's in leaf %#x.%u: "
				"it goes on on a host with the same processors and KVM",
				here.function, here.index);
	}
	return state_leave(in);
}
