/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm-glue/vcpu.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm-glue/ioapic.h"
#include "kvm-glue/vcpu-internal.h"
#include "util/bits.h"

#define KICK_SIGNAL SIGRTMIN

static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

int vcpu_create(struct vcpu **out, struct vm *vm, unsigned int id, struct ioapic *ioapic,
		struct err *err)
{
	struct vcpu *vcpu = aligned_alloc(_Alignof(struct vcpu), sizeof(*vcpu));
	int ret;

	if (!vcpu)
		return err_set(err, ENOMEM, "no memory for vCPU %u", id);
	*vcpu = (struct vcpu){ .vm = vm, .id = id, .ioapic = ioapic, .maxphyaddr = 52 };
	vcpu->fd = kvm_ioctl_value(vm->fd, KVM_CREATE_VCPU, id);
	if (vcpu->fd < 0) {
		ret = vcpu->fd;
		free(vcpu);
		return err_set(err, -ret, "KVM_CREATE_VCPU %u: %s", id, strerror(-ret));
	}
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		ret = -errno;
		close(vcpu->fd);
		free(vcpu);
		return err_set(err, -ret, "mapping the state of vCPU %u: %s", id, strerror(-ret));
	}
	vcpu->can_sync = (vm_has(vm, KVM_CAP_SYNC_REGS) & VCPU_SYNCED) == VCPU_SYNCED;
	epoch_join(&vm->epoch, &vcpu->reader);
	*out = vcpu;
	return 0;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (!vcpu)
		return;
	epoch_leave(&vcpu->vm->epoch, &vcpu->reader);
	munmap(vcpu->run, vcpu->vm->run_size);
	close(vcpu->fd);
	free(vcpu);
}

static void on_kick(int sig)
{
	/* Only there to interrupt KVM_RUN. */
}

void vcpu_bind_thread(struct vcpu *vcpu)
{
	struct sigaction action = { .sa_handler = on_kick };
	sigset_t set;

	sigaction(KICK_SIGNAL, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	vcpu->thread = pthread_self();
	__atomic_store_n(&vcpu->bound, true, __ATOMIC_SEQ_CST);
}

/*
 * The flag comes first: whichever of "not yet looked", "looked but not yet in KVM_RUN" and "in
 * KVM_RUN" the thread is at, one of flag, immediate_exit and signal gets it.
 */
void vcpu_kick(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->kicked, true, __ATOMIC_SEQ_CST);
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vcpu->bound, __ATOMIC_SEQ_CST) &&
	    !pthread_equal(vcpu->thread, pthread_self()))
		pthread_kill(vcpu->thread, KICK_SIGNAL);
}

static void keep_exit(struct vcpu *vcpu, uint32_t reason, uint64_t where, uint32_t len, bool write)
{
	vcpu->kept[vcpu->exits++ % KEPT_EXITS] = (struct kept_exit){
		.where = where,
		.reason = reason,
		.len = (uint16_t)len,
		.write = write,
	};
}

/* What is kept and counted comes behind the barrier of epoch_enter, which would wait for it. */
static inline void exit_pio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	bool out = run->io.direction == KVM_EXIT_IO_OUT;

	vcpu_unsync(vcpu);
	epoch_enter(&vcpu->vm->epoch, &vcpu->reader);
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (out)
			iomap_write_cached(&vcpu->vm->pio, &vcpu->pio_cache, run->io.port, data,
					   run->io.size);
		else
			iomap_read_cached(&vcpu->vm->pio, &vcpu->pio_cache, run->io.port, data,
					  run->io.size);
	}
	epoch_exit(&vcpu->reader);
	keep_exit(vcpu, KVM_EXIT_IO, run->io.port, run->io.size, out);
	count(&vcpu->stats.exits_pio);
}

static inline void exit_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint32_t len = MIN(run->mmio.len, (uint32_t)sizeof(run->mmio.data));

	vcpu_unsync(vcpu);
	epoch_enter(&vcpu->vm->epoch, &vcpu->reader);
	if (run->mmio.is_write)
		iomap_write_cached(&vcpu->vm->mmio, &vcpu->mmio_cache, run->mmio.phys_addr,
				   run->mmio.data, len);
	else
		iomap_read_cached(&vcpu->vm->mmio, &vcpu->mmio_cache, run->mmio.phys_addr,
				  run->mmio.data, len);
	epoch_exit(&vcpu->reader);
	keep_exit(vcpu, KVM_EXIT_MMIO, run->mmio.phys_addr, len, run->mmio.is_write);
	count(&vcpu->stats.exits_mmio);
}

/* KVM could not emulate an instruction: ours where it is a 64-byte store to a portal. */
static bool exit_emulation(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	const uint8_t *insn = run->emulation_failure.insn_bytes;
	unsigned int len = run->emulation_failure.insn_size;
	bool ours;

	if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION ||
	    run->emulation_failure.ndata < 3 ||
	    !(run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) ||
	    len > INSN_BYTES)
		return false;
	epoch_enter(&vcpu->vm->epoch, &vcpu->reader);
	ours = vcpu_store64(vcpu, insn, len);
	epoch_exit(&vcpu->reader);
	if (ours) {
		keep_exit(vcpu, KVM_EXIT_INTERNAL_ERROR, 0, 64, true);
		count(&vcpu->stats.exits_store64);
	}
	return ours;
}

static bool delivers_event(const struct vcpu *vcpu)
{
	struct kvm_vcpu_events events = { 0 };

	return kvm_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) || events.exception.injected ||
	       events.interrupt.injected || events.nmi.injected;
}

/*
 * KVM found MMIO where it was delivering an event to the guest, which it has no way to go on from.
 * The event is to be injected anew then. Where none is, KVM was misled, and nothing has happened:
 * the guest goes on. On AMD any type in EXITINTINFO counts as an event, whether its valid bit is
 * set or not (svm_check_emulate_instruction, Linux 7.2), and QEMU's TCG leaves the type of the last
 * one there. The same again, at the same place with no other exit between, is a failure after all.
 */
static bool exit_delivery(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	if (vcpu->run->internal.suberror != KVM_INTERNAL_ERROR_DELIVERY_EV ||
	    delivers_event(vcpu) || vcpu_get_regs(vcpu, &regs))
		return false;
	if (vcpu->resumed.exits && vcpu->resumed.exits == vcpu->exits &&
	    vcpu->resumed.rip == regs.rip)
		return false;
	keep_exit(vcpu, KVM_EXIT_INTERNAL_ERROR, 0, 0, false);
	count(&vcpu->stats.exits_other);
	vcpu->resumed.exits = vcpu->exits;
	vcpu->resumed.rip = regs.rip;
	return true;
}

/* The guest has pushed these out of the caches, and each is asked for only after the one before. */
static inline void prefetch_state(const struct vcpu *vcpu)
{
	__builtin_prefetch(&vcpu->pio_cache);
	__builtin_prefetch(&vcpu->mmio_cache);
	__builtin_prefetch(&vcpu->vm->pio.generation);
	__builtin_prefetch(&vcpu->vm->epoch.current);
	__builtin_prefetch(&vcpu->stats, 1);
	__builtin_prefetch(&vcpu->kept[vcpu->exits % KEPT_EXITS], 1);
}

/* All exits but the two below. */
__attribute__((noinline)) static bool exit_other(struct vcpu *vcpu, enum vcpu_event *event)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IOAPIC_EOI:
		keep_exit(vcpu, KVM_EXIT_IOAPIC_EOI, run->eoi.vector, 0, false);
		count(&vcpu->stats.exits_eoi);
		if (vcpu->ioapic)
			ioapic_eoi(vcpu->ioapic, run->eoi.vector);
		return false;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		count(&vcpu->stats.exits_other);
		return false;
	case KVM_EXIT_SHUTDOWN:
		*event = VCPU_SHUTDOWN;
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		*event = VCPU_RESET;
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		if (exit_emulation(vcpu) || exit_delivery(vcpu))
			return false;
		*event = VCPU_FAILED;
		break;
	default:
		*event = VCPU_FAILED;
		break;
	}
	keep_exit(vcpu, run->exit_reason, 0, 0, false);
	count(&vcpu->stats.exits_other);
	return true;
}

/*
 * Handles one exit; returns true where the caller must hear *event. Part of vcpu_run whoever else
 * calls it: as a function it would lie on a page of its own, which each exit then waits for.
 */
__attribute__((always_inline)) static inline bool handle_exit(struct vcpu *vcpu,
							      enum vcpu_event *event)
{
	prefetch_state(vcpu);
	/* The two that matter for speed come before the table of the others. */
	if (vcpu->run->exit_reason == KVM_EXIT_IO) {
		exit_pio(vcpu);
		return false;
	}
	if (vcpu->run->exit_reason == KVM_EXIT_MMIO) {
		exit_mmio(vcpu);
		return false;
	}
	return exit_other(vcpu, event);
}

/*
 * What was read for the guest at an exit is in its registers only after the next KVM_RUN: one that
 * does not enter the guest, so that who was kicked rests between two instructions. An instruction
 * may have more to read. True where the caller must hear *event.
 */
COLD static bool complete_exit(struct vcpu *vcpu, enum vcpu_event *event)
{
	struct kvm_run *run = vcpu->run;

	while (run->exit_reason == KVM_EXIT_IO || run->exit_reason == KVM_EXIT_MMIO) {
		__atomic_store_n(&run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		if (ioctl(vcpu->fd, KVM_RUN, 0)) {
			/* EINTR, as asked; what else it is, the next run will meet. */
			__atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
			run->exit_reason = KVM_EXIT_INTR;
		} else if (handle_exit(vcpu, event)) {
			return true;
		}
	}
	return false;
}

HOT enum vcpu_event vcpu_run(struct vcpu *vcpu)
{
	enum vcpu_event event;

	for (;;) {
		int ret;

		if (__atomic_load_n(&vcpu->kicked, __ATOMIC_SEQ_CST)) {
			if (complete_exit(vcpu, &event))
				return event;
			__atomic_store_n(&vcpu->kicked, false, __ATOMIC_SEQ_CST);
			count(&vcpu->stats.exits_kick);
			vcpu_settle(vcpu);
			return VCPU_KICKED;
		}
		ret = ioctl(vcpu->fd, KVM_RUN, 0);
		if (!ret) {
			if (handle_exit(vcpu, &event))
				return event;
		} else if (errno == EINTR || errno == EAGAIN) {
			/* Before the flag is looked at: a kick after this raises it again. */
			__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		} else {
			vcpu->run_errno = errno;
			return VCPU_FAILED;
		}
	}
}

unsigned int vcpu_id(const struct vcpu *vcpu)
{
	return vcpu->id;
}

struct vm *vcpu_vm(const struct vcpu *vcpu)
{
	return vcpu->vm;
}

int vcpu_fd(const struct vcpu *vcpu)
{
	return vcpu->fd;
}

void vcpu_stats_read(const struct vcpu *vcpu, struct vcpu_stats *stats)
{
	const uint64_t *from = (const uint64_t *)&vcpu->stats;
	uint64_t *to = (uint64_t *)stats;

	for (size_t i = 0; i < sizeof(*stats) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

int vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs)
{
	return kvm_ioctl(vcpu->fd, KVM_GET_REGS, regs);
}

int vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	return kvm_ioctl(vcpu->fd, KVM_SET_REGS, (void *)regs);
}

int vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs)
{
	return kvm_ioctl(vcpu->fd, KVM_GET_SREGS, sregs);
}

int vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs)
{
	return kvm_ioctl(vcpu->fd, KVM_SET_SREGS, (void *)sregs);
}

/* Room for the header and one entry behind it. */
#define ONE_MSR_BYTES (sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry))

int vcpu_get_msr(struct vcpu *vcpu, uint32_t index, uint64_t *value)
{
	_Alignas(struct kvm_msrs) uint8_t bytes[ONE_MSR_BYTES] = { 0 };
	struct kvm_msrs *msrs = (struct kvm_msrs *)bytes;
	int ret;

	msrs->nmsrs = 1;
	msrs->entries[0].index = index;
	ret = kvm_ioctl(vcpu->fd, KVM_GET_MSRS, msrs);
	if (ret < 0)
		return ret;
	if (!ret)
		return -EINVAL;
	*value = msrs->entries[0].data;
	return 0;
}

int vcpu_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	_Alignas(struct kvm_msrs) uint8_t bytes[ONE_MSR_BYTES] = { 0 };
	struct kvm_msrs *msrs = (struct kvm_msrs *)bytes;
	int ret;

	msrs->nmsrs = 1;
	msrs->entries[0] = (struct kvm_msr_entry){ .index = index, .data = value };
	ret = kvm_ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
	if (ret < 0)
		return ret;
	return ret ? 0 : -EINVAL;
}

int vcpu_set_mp_state(struct vcpu *vcpu, uint32_t state)
{
	struct kvm_mp_state mp = { .mp_state = state };

	return kvm_ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp);
}
