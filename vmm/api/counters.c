/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/api/counters.h"

#include <stddef.h>

#include "kvm-glue/vcpu.h"
#include "passthrough/adi/dsa.h"
#include "util/bits.h"
#include "vmm/config.h"
#include "vmm/machine.h"
#include "vmm/virtio/balloon.h"

struct row {
	const char *name;
	size_t offset;
};

#define VCPU(member)                                         \
	{                                                    \
#member, offsetof(struct vcpu_stats, member) \
	}
#define ADI(member)                                            \
	{                                                      \
#member, offsetof(struct dsa_counters, member) \
	}
#define BALLOON(name, member)                                 \
	{                                                     \
#name, offsetof(struct balloon_stats, member) \
	}

static const struct row vcpu_rows[] = {
	VCPU(exits_pio),     VCPU(exits_mmio), VCPU(exits_eoi),
	VCPU(exits_store64), VCPU(exits_kick), VCPU(exits_other),
};
static const struct row adi_rows[] = {
	ADI(accepted),	  ADI(completed),     ADI(failed),	    ADI(aborted),
	ADI(refused_key), ADI(refused_width), ADI(refused_unbound), ADI(faults),
	ADI(dropped),	  ADI(retried),	      ADI(bytes),
};
static const struct row balloon_rows[] = {
	BALLOON(wanted_bytes, wanted),
	BALLOON(actual_bytes, actual),
	BALLOON(reported_bytes, reported),
};

struct walk {
	void (*emit)(void *arg, const char *device, const char *name, uint64_t value);
	void *arg;
};

static void emit_rows(const struct walk *walk, const char *device, const struct row *rows, size_t n,
		      const void *values)
{
	for (size_t i = 0; i < n; i++)
		walk->emit(walk->arg, device, rows[i].name,
			   *(const uint64_t *)((const char *)values + rows[i].offset));
}

void counters_read(struct machine *machine, const struct config *config,
		   void (*emit)(void *arg, const char *device, const char *name, uint64_t value),
		   void *arg)
{
	const struct walk walk = { emit, arg };
	struct balloon *balloon = machine_balloon(machine);
	struct vcpu_stats vcpus;

	machine_stats(machine, &vcpus);
	emit_rows(&walk, "vcpus", vcpu_rows, ARRAY_SIZE(vcpu_rows), &vcpus);
	for (size_t i = 0; i < config->n_adis; i++) {
		struct dsa *dsa = machine_dsa(machine, config->adis[i].id);
		struct dsa_counters counters;

		if (!dsa)
			continue;
		dsa_counters_read(dsa, &counters);
		emit_rows(&walk, config->adis[i].id, adi_rows, ARRAY_SIZE(adi_rows), &counters);
	}
	if (balloon) {
		struct balloon_stats stats;

		balloon_read_stats(balloon, &stats);
		emit_rows(&walk, "balloon", balloon_rows, ARRAY_SIZE(balloon_rows), &stats);
	}
}
