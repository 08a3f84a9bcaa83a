/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of `make run`: reports what it found, drives the ADI that the example assigns, and
 * checks what its DMA could and could not do.
 *
 * Words: pasid=5 (bound by the configuration to the window) unbound=6 (bound to nothing)
 * window=0x2000000 size=0x1000000; wait_ms=2000 (for what must come); stores (eight 8-byte stores
 * instead of MOVDIR64B); noadi (no function is expected).
 */
#include "acpi.h"
#include "apic.h"
#include "dsa.h"
#include "kit.h"
#include "operations.h"

#define RATE_BATCHES  4u
#define RATE_MOVES    16u /* of 1 MiB each, in a batch */
#define TIMER_TICK_NS 16u /* KVM's APIC bus runs at 1 GHz, and the kit divides by 16 */
#define MOVE_SIZE     0x10000u
#define UNTOUCHED     0xc7
#define OUTSIDE_GAP   (16 * MIB) /* behind the window */

#define VECTOR_DONE 0x60

struct plan {
	uint32_t pasid, unbound;
	uint64_t wait; /* cycles, for what must come */
	uint64_t window, size;
	struct dsa dsa;
	struct msix msix;
	bool has_msix;
	/* in the window */
	volatile struct dsa_completion *completion;
	uint8_t *source, *destination;
	uint8_t *outside;
};

static uint32_t started;

static void worker(unsigned int cpu)
{
	__atomic_add_fetch(&started, 1, __ATOMIC_RELAXED);
}

/* --- what is there --------------------------------------------------------------------------- */

static void report_cpu(void)
{
	struct cpuid id = cpuid(0, 0);
	unsigned int expected, cpus = smp_start(worker, &expected);
	uint32_t name[4] = { id.ebx, id.edx, id.ecx, 0 };

	kprintf("vCPUs   %u of %u run (%s, %s)\n", cpus, expected, (const char *)name,
		lapic_is_x2apic() ? "x2APIC" : "xAPIC");
	test_check("demo_vcpus", cpus == expected, "CPU %u does not start", cpus);
}

static void report_bars(unsigned int slot)
{
	for (unsigned int i = 0; i < 6; i++) {
		struct pci_bar bar = pci_bar(slot, i);

		if (bar.size)
			kprintf("          BAR%u %s 0x%lx, 0x%lx bytes\n", i,
				bar.io	   ? "I/O ports"
				: bar.is64 ? "64-bit memory"
					   : "32-bit memory",
				bar.address, bar.size);
		i += bar.is64;
	}
}

static void report_pci(void)
{
	unsigned int found = 0, at;

	if (!pci_init()) {
		test_fail("demo_pci", "no configuration space at 0x%x", ECAM_BASE);
		return;
	}
	for (unsigned int slot = 0; slot < PCI_SLOTS; slot++) {
		uint32_t id = pci_id(slot);

		if (id == 0xffffffff)
			continue;
		found++;
		kprintf("PCI     00:%02x.0 %04x:%04x class %06x\n", slot, id & 0xffff, id >> 16,
			(uint32_t)pci_read(slot, PCI_CLASS, 4) >> 8);
		report_bars(slot);
		at = pci_capability(slot, PCI_CAPABILITY_MSIX);
		if (at)
			kprintf("          MSI-X with %u vectors\n",
				((uint32_t)pci_read(slot, at + 2, 2) & 0x7ff) + 1);
	}
	test_check("demo_pci", found, "no function answers");
}

static void report_dsa(const struct dsa *dsa)
{
	uint32_t version = read32(dsa->registers + DSA_VERSION);

	kprintf("ADI     00:%02x.0 DSA %u.%u: %u work queues, %u entries, %u engines, %s\n",
		dsa->slot, version >> 8, version & 0xff, dsa->wqs, dsa->wq_size, dsa->engines,
		read64(dsa->registers + DSA_GENCAP) & GENCAP_CONFIG ? "configurable" : "fixed");
}

/* --- what the DMA does ----------------------------------------------------------------------- */

static void fill(uint8_t *at, uint32_t seed)
{
	for (unsigned int i = 0; i < MOVE_SIZE; i++)
		at[i] = (uint8_t)(i * 13 + (i >> 8) * 7 + seed);
}

static bool is_filled(const uint8_t *at, uint8_t byte)
{
	for (unsigned int i = 0; i < MOVE_SIZE; i++) {
		if (at[i] != byte)
			return false;
	}
	return true;
}

/* Submits and waits; the status, 0 where none came. */
static uint8_t run(struct plan *plan, uint32_t opcode, const void *source, void *destination,
		   uint32_t more_flags, uint64_t wait)
{
	struct dsa_descriptor descriptor = {
		.flags = opcode << 24 | FLAG_CRAV | FLAG_RCR | more_flags,
		.completion = (uint64_t)plan->completion,
		.source = (uint64_t)source,
		.destination = (uint64_t)destination,
		.size = opcode == OP_NOOP ? 0 : MOVE_SIZE,
		.interrupt = more_flags & FLAG_RCI ? 1 : 0,
	};

	memset((void *)plan->completion, 0, sizeof(*plan->completion));
	dsa_submit(&plan->dsa, &descriptor);
	return dsa_wait((const struct dsa_completion *)plan->completion, wait);
}

static void demo_inside(struct plan *plan)
{
	uint8_t status = run(plan, OP_NOOP, NULL, NULL, 0, plan->wait);

	test_check("demo_noop", status == STATUS_OK, "status 0x%x", status);
	kprintf("        submissions by %s\n",
		plan->dsa.movdir64b_missing ? "eight 8-byte stores" : "MOVDIR64B");
	fill(plan->source, 1);
	memset(plan->destination - 64, UNTOUCHED, MOVE_SIZE + 128);
	status = run(plan, OP_MEMMOVE, plan->source, plan->destination, 0, plan->wait);
	test_check("demo_memmove_in_window",
		   status == STATUS_OK && !memcmp(plan->source, plan->destination, MOVE_SIZE) &&
			   plan->destination[-1] == UNTOUCHED &&
			   plan->destination[MOVE_SIZE] == UNTOUCHED,
		   "status 0x%x, bytes %s", status,
		   memcmp(plan->source, plan->destination, MOVE_SIZE) ? "differ" : "right");
}

static void demo_outside(struct plan *plan)
{
	uint64_t fault;
	uint8_t status;

	memset(plan->outside, UNTOUCHED, MOVE_SIZE);
	status = run(plan, OP_MEMMOVE, plan->source, plan->outside, 0, plan->wait);
	fault = plan->completion->fault_address;
	test_check("demo_write_outside_faults",
		   status == (STATUS_PAGE_FAULT | STATUS_WRITE) || status == STATUS_PAGE_FAULT,
		   "status 0x%x", status);
	test_check("demo_fault_address", (fault & -4096UL) == (uint64_t)plan->outside, "0x%lx",
		   fault);
	test_check("demo_outside_untouched", is_filled(plan->outside, UNTOUCHED), "bytes changed");
	kprintf("        PASID %u stopped at 0x%lx, outside of 0x%lx-0x%lx\n", plan->pasid, fault,
		plan->window, plan->window + plan->size - 1);

	memset(plan->destination, UNTOUCHED, MOVE_SIZE);
	fill(plan->outside, 2);
	status = run(plan, OP_MEMMOVE, plan->outside, plan->destination, 0, plan->wait);
	test_check("demo_read_outside_faults", (status & 0x7f) == STATUS_PAGE_FAULT, "status 0x%x",
		   status);
	test_check("demo_outside_unread", is_filled(plan->destination, UNTOUCHED), "bytes leaked");
}

static void demo_operations(struct plan *plan)
{
	struct operations ops = { .dsa = &plan->dsa,
				  .area = (uint8_t *)plan->window,
				  .wait = plan->wait };
	unsigned int all = 0, right = 0;

	for (const struct operation_check *check = operation_checks; check->name; check++, all++) {
		bool ok = check->run(&ops);

		right += ok;
		if (!ok)
			kprintf("        %s: status 0x%x where 0x%x was expected\n", check->name,
				ops.status, ops.expected);
	}
	test_check("demo_operations", right == all, "%u of %u are wrong", all - right, all);
	kprintf("        operations verified: %u of %u\n", right, all);
}

/* One batch: 1 MiB from the source to the destination, again and again. */
static uint8_t rate_batch(struct plan *plan)
{
	struct dsa_descriptor *list = (struct dsa_descriptor *)(plan->window + 4096);
	struct dsa_descriptor batch = {
		.flags = 1u << 24 | FLAG_CRAV | FLAG_RCR,
		.completion = (uint64_t)plan->completion,
		.source = (uint64_t)list,
		.size = RATE_MOVES,
	};

	for (unsigned int i = 0; i < RATE_MOVES; i++)
		list[i] = (struct dsa_descriptor){
			.flags = OP_MEMMOVE << 24,
			.source = (uint64_t)plan->source,
			.destination = (uint64_t)plan->destination,
			.size = MIB,
		};
	memset((void *)plan->completion, 0, sizeof(*plan->completion));
	dsa_submit(&plan->dsa, &batch);
	return dsa_wait((const struct dsa_completion *)plan->completion, 5 * plan->wait);
}

static void demo_rate(struct plan *plan)
{
	uint8_t status = STATUS_OK;
	uint64_t ns, tenths;
	uint32_t begin;

	lapic_enable();
	lapic_timer(VECTOR_DONE, LVT_MASKED, UINT32_MAX);
	begin = lapic_read(LAPIC_TIMER_CURRENT);
	for (unsigned int i = 0; i < RATE_BATCHES && status == STATUS_OK; i++)
		status = rate_batch(plan);
	ns = (uint64_t)(begin - lapic_read(LAPIC_TIMER_CURRENT)) * TIMER_TICK_NS;
	lapic_timer_stop();
	if (!test_check("demo_batches", status == STATUS_OK, "status 0x%x", status))
		return;
	tenths = RATE_BATCHES * RATE_MOVES * MIB * 10 / (ns ? ns : 1);
	kprintf("        %u MiB moved in batches of %u: %lu.%lu GB/s\n", RATE_BATCHES * RATE_MOVES,
		RATE_MOVES, tenths / 10, tenths % 10);
}

static void demo_interrupt(struct plan *plan)
{
	uint8_t status;

	if (!plan->has_msix || plan->msix.vectors < 2) {
		test_fail("demo_interrupt", "no MSI-X vector for a work queue");
		return;
	}
	/* The queue uses a PASID, so MSIXPERM must allow the vector to it. */
	write64(plan->dsa.msixperm + 8, 1 << 3 | plan->pasid << 12);
	msix_set(&plan->msix, 1, VECTOR_DONE, lapic_id(), false);
	msix_enable(plan->dsa.slot, &plan->msix, true);
	status = run(plan, OP_NOOP, NULL, NULL, FLAG_RCI, plan->wait);
	test_check("demo_interrupt", status == STATUS_OK && wait_count(VECTOR_DONE, 1, plan->wait),
		   "status 0x%x, %lu interrupts", status, irq_count(VECTOR_DONE));
	msix_enable(plan->dsa.slot, &plan->msix, false);
}

static void demo_unbound(struct plan *plan)
{
	uint64_t registers = plan->dsa.registers, error = 0, end;
	uint8_t status;
	int rc;

	rc = dsa_queue_disable(&plan->dsa);
	test_check("demo_queue_disable", !rc, "CMDSTS 0x%x", (uint32_t)rc);
	write64(registers + DSA_SWERR, SWERR_VALID | SWERR_OVERFLOW);
	rc = dsa_queue_enable(&plan->dsa, plan->unbound);
	if (!test_check("demo_queue_reenable", !rc, "CMDSTS 0x%x", (uint32_t)rc))
		return;
	memset(plan->destination, UNTOUCHED, MOVE_SIZE);
	/* No record may come: the wait is for SWERR instead. */
	status = run(plan, OP_MEMMOVE, plan->source, plan->destination, 0, 0);
	end = rdtsc() + plan->wait;
	while (!((error = read64(registers + DSA_SWERR)) & SWERR_VALID) && rdtsc() < end)
		cpu_relax();
	test_check("demo_unbound_reported",
		   error & SWERR_VALID && (error >> 40 & 0xfffff) == plan->unbound, "SWERR 0x%lx",
		   error);
	status = status ? status : plan->completion->status;
	test_check("demo_unbound_reaches_nothing",
		   !status && is_filled(plan->destination, UNTOUCHED), "status 0x%x", status);
	kprintf("        PASID %u is bound to nothing: refused, SWERR error 0x%x\n", plan->unbound,
		(uint32_t)(error >> 8) & 0xff);
	dsa_queue_disable(&plan->dsa);
}

static void demo_dsa(struct plan *plan)
{
	int rc;

	if (memory_total() < plan->window + plan->size + OUTSIDE_GAP + MOVE_SIZE) {
		test_fail("demo_memory", "%lu MiB are too few for the window at 0x%lx",
			  memory_total() / MIB, plan->window);
		return;
	}
	plan->completion = (void *)plan->window;
	plan->source = (void *)(plan->window + plan->size / 4);
	plan->destination = (void *)(plan->window + plan->size / 2);
	plan->outside = (void *)(plan->window + plan->size + OUTSIDE_GAP);
	plan->has_msix = msix_find(plan->dsa.slot, &plan->msix);
	plan->dsa.movdir64b_missing = command_word("stores", NULL);
	report_dsa(&plan->dsa);
	rc = dsa_start(&plan->dsa);
	if (!rc)
		rc = dsa_queue_enable(&plan->dsa, plan->pasid);
	if (!test_check("demo_queue_enable", !rc, "CMDSTS 0x%x", (uint32_t)rc))
		return;
	demo_inside(plan);
	demo_outside(plan);
	demo_operations(plan);
	demo_rate(plan);
	demo_interrupt(plan);
	demo_unbound(plan);
}

int payload_main(void)
{
	static struct plan plan;

	plan.pasid = (uint32_t)command_number("pasid", 5);
	plan.unbound = (uint32_t)command_number("unbound", 6);
	plan.window = command_number("window", 32 * MIB);
	plan.size = command_number("size", 16 * MIB);
	plan.wait = command_number("wait_ms", 2000) * (CYCLES_SECOND / 1000);

	kprintf("adit demo\nmemory  %lu MiB\n", memory_total() / MIB);
	memory_print();
	report_cpu();
	report_pci();
	if (command_word("noadi", NULL))
		test_skip("demo_adi", "the command line says noadi");
	else if (!dsa_find(&plan.dsa, 0))
		test_fail("demo_adi", "no function 8086:0b25 with both BARs");
	else
		demo_dsa(&plan);
	if (test_failures()) {
		kprintf("adit demo: %u checks failed\n", test_failures());
		return 1;
	}
	kprintf("adit demo: all checks passed\n");
	return 0;
}
