/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm-glue/cpuid.h"
#include "kvm-glue/ioapic.h"
#include "kvm-glue/vm.h"
#include "passthrough/pci/pci.h"
#include "util/bits.h"
#include "util/loop.h"
#include "util/sandbox.h"
#include "vmm/acpi.h"
#include "vmm/adis.h"
#include "vmm/boot-load.h"
#include "vmm/boot.h"
#include "vmm/config-slots.h"
#include "vmm/config.h"
#include "vmm/devices.h"
#include "vmm/hot-ram.h"
#include "vmm/hotplug.h"
#include "vmm/layout.h"
#include "vmm/machine-state.h"
#include "vmm/payload.h"
#include "vmm/platform.h"
#include "vmm/power.h"
#include "vmm/processors.h"
#include "vmm/ram.h"
#include "vmm/rtc.h"
#include "vmm/serial.h"
#include "vmm/serial-sink.h"
#include "vmm/snapshot.h"
#include "vmm/user-devices.h"
#include "vmm/virtio/devices.h"

#define RUNNING (-1)

struct machine {
	const struct config *config;
	const struct log *log;
	void (*event)(void *arg, const char *event, const char *detail);
	void *event_arg;
	const struct sandbox *sandbox;

	struct vm *vm;
	struct cpuid *cpuid;
	struct layout layout;
	struct ram ram;
	struct hot_ram *hot; /* NULL: nothing can be plugged */
	struct ioapic *ioapic;
	struct processors *processors;

	struct loop *loop;
	struct serial_sink *sink;
	struct serial *serial;
	struct rtc *rtc;
	struct power *power;
	struct pci_bus *bus;
	struct adis *adis;
	struct virtio_devices *virtio;
	struct devices *devices;
	struct user_devices *user_devices;
	struct hotplug *hotplug;
	uint64_t (*errands)(void *arg, struct machine *machine);
	void *errands_arg;

	pthread_mutex_t gate;
	pthread_cond_t opened;
	unsigned int awaited; /* under gate: threads without their filter; no vCPU runs before */

	bool rests;  /* engines were stopped for a snapshot to be loaded */
	int end;     /* atomic: RUNNING, then one enum machine_end for good */
	bool ending; /* atomic: it is not RUNNING, for who knows no machine */
	uint32_t exit_value;
};

/* The first end counts; any thread. */
static void end_with(struct machine *machine, enum machine_end end)
{
	int running = RUNNING;

	if (!__atomic_compare_exchange_n(&machine->end, &running, (int)end, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return;
	__atomic_store_n(&machine->ending, true, __ATOMIC_SEQ_CST);
	if (machine->processors)
		processors_ask_stop(machine->processors);
	if (machine->devices)
		devices_give_up(machine->devices);
	if (machine->loop)
		loop_stop(machine->loop);
	hotplug_end(machine->hotplug);
}

/* The guest wrote a sleep, reset or debug-exit register; on its vCPU's thread. */
static void on_power(void *arg, enum power_reason reason, uint32_t value)
{
	struct machine *machine = arg;

	switch (reason) {
	case POWER_OFF:
		end_with(machine, MACHINE_OFF);
		break;
	case POWER_RESET:
		end_with(machine, MACHINE_RESET);
		break;
	case POWER_DEBUG_EXIT:
		__atomic_store_n(&machine->exit_value, value, __ATOMIC_RELAXED);
		if (value)
			log_line(machine->log, LOG_ERROR, "machine",
				 "the guest ended itself with debug-exit value %u", value);
		end_with(machine, value ? MACHINE_FAILED : MACHINE_OFF);
		break;
	}
}

static void log_report(struct machine *machine, struct vcpu *vcpu)
{
	char text[2048], *rest = text, *line;

	vcpu_report(vcpu, text, sizeof(text));
	while ((line = strsep(&rest, "\n"))) {
		if (*line)
			log_line(machine->log, LOG_ERROR, "vcpu", "%s", line);
	}
}

static void on_vcpu_ended(void *arg, struct vcpu *vcpu, enum vcpu_event event)
{
	struct machine *machine = arg;

	if (event == VCPU_RESET) {
		end_with(machine, MACHINE_RESET);
		return;
	}
	log_report(machine, vcpu);
	end_with(machine, MACHINE_FAILED);
}

/* With the gate held. */
static void arrive(struct machine *machine)
{
	if (machine->awaited && !--machine->awaited)
		pthread_cond_broadcast(&machine->opened);
}

static void on_vcpu_began(void *arg)
{
	struct machine *machine = arg;

	sandbox_enter(machine->sandbox, SANDBOX_VCPU);
	pthread_mutex_lock(&machine->gate);
	arrive(machine);
	while (machine->awaited)
		pthread_cond_wait(&machine->opened, &machine->gate);
	pthread_mutex_unlock(&machine->gate);
}

/* Ctrl-A x at the terminal. */
static void on_quit(void *arg)
{
	end_with(arg, MACHINE_STOPPED);
}

static void on_eject(void *arg, unsigned int slot)
{
	struct machine *machine = arg;

	hotplug_ejected(machine->hotplug, slot);
}

static const struct power_ops power_ops = { .stop = on_power, .eject = on_eject };
static const struct processors_ops processors_ops = { .began = on_vcpu_began,
						      .ended = on_vcpu_ended };

static int make_hot_memory(struct machine *machine, struct err *err)
{
	const struct config *config = machine->config;
	const struct hot_ram_options options = {
		.gpa = machine->layout.hot.base,
		.size = machine->layout.hot.size,
		.block_size = config->memory.block_size,
		.hugepage_size = config->memory.hugepage_size,
		.shared = config->memory.shared,
		.prefault = config->memory.prefault,
		.log = machine->log,
	};
	int ret = 0;

	if (options.size)
		ret = hot_ram_create(&machine->hot, &options, err);
	return ret ? ret : hot_ram_show(machine->hot, machine->vm, err);
}

/* Devices of a snapshot are at work already. */
static bool pins_late(const struct machine *machine, const struct snapshot *snapshot)
{
	return !snapshot && !machine->config->memory.prefault && devices_map_late(machine->devices);
}

/* Where it will be pinned for devices its pages are made while these are opened and reset. */
static int make_ram(struct machine *machine, const struct snapshot *snapshot, struct err *err)
{
	const struct config *config = machine->config;
	const struct ram_options options = {
		.size = config->memory.size,
		.hugepage_size = config->memory.hugepage_size,
		.shared = config->memory.shared,
		.prefault = config->memory.prefault,
		.file = snapshot ? &snapshot->memory : NULL,
		.sandbox = machine->sandbox,
		.stop = &machine->ending,
	};
	int ret = ram_create(&machine->ram, &options, err);

	if (!ret && devices_pin(machine->devices))
		ret = ram_populate(&machine->ram, pins_late(machine, snapshot), err);
	return ret;
}

/*
 * RAM comes before the irqchip: a slot set after it costs milliseconds on some hosts. The layout
 * needs CPUID's address width, so that comes first of all.
 */
static int place_memory(struct machine *machine, struct err *err)
{
	const struct config *config = machine->config;
	struct layout_request request = {
		.ram_size = config->memory.size,
		.aperture_last = UINT64_MAX,
		.hot_size = config->memory.hotplug_size,
		.hot_align = config->memory.block_size,
	};
	int ret = cpuid_create(&machine->cpuid, machine->vm, config->cpus.boot_vcpus, err);

	if (ret)
		return ret;
	request.phys_bits = cpuid_phys_bits(machine->cpuid);
	devices_limit(machine->devices, &request);
	ret = layout_plan(&machine->layout, &request, err);
	if (!ret)
		ret = ram_add_slots(&machine->ram, machine->vm, &machine->layout, err);
	if (!ret)
		ret = make_hot_memory(machine, err);
	return ret;
}

static int make_processors(struct machine *machine, struct err *err)
{
	int ret = vm_split_irqchip(machine->vm, IOAPIC_PINS, err);

	if (ret)
		return ret;
	/* Portals need the bytes of instructions that KVM cannot emulate; without, they fail. */
	if (!vm_has(machine->vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE) ||
	    vm_enable(machine->vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1))
		log_line(machine->log, LOG_WARN, "machine",
			 "this KVM does not say which instruction it cannot emulate: portals take "
			 "8-byte stores only");
	ret = ioapic_create(&machine->ioapic, machine->vm, err);
	if (ret)
		return ret;
	for (unsigned int i = 0; i < INTX_PINS; i++)
		ioapic_wire(machine->ioapic, PIN_INTX + i, true);
	return processors_create(&machine->processors, machine->vm, machine->ioapic, machine->cpuid,
				 machine->config->cpus.boot_vcpus, &processors_ops, machine, err);
}

/* Who looks on the only CPU keeps from it who could bring something. */
static bool can_poll(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) || CPU_COUNT(&cpus) > 1;
}

static int make_chipset(struct machine *machine, struct err *err)
{
	const struct config *config = machine->config;
	const struct layout *layout = &machine->layout;
	const struct pci_bus_options bus = {
		.mem32 = { layout->mmio32.base, layout->mmio32.size },
		.mem64 = { layout->mmio64.base, layout->mmio64.size },
		.io = { layout->io.base, layout->io.size },
		.ecam_base = layout->ecam.base,
		.ioapic = machine->ioapic,
		.intx_pin = PIN_INTX,
		.log = machine->log,
	};
	int ret = loop_create(&machine->loop, err);

	if (!ret)
		loop_poll_most(machine->loop, can_poll() ? config->poll_max_ns : 0);
	if (!ret)
		ret = serial_sink_open(&machine->sink, config->serial.mode, config->serial.path,
				       machine->loop, machine->log, err);
	if (!ret)
		ret = serial_create(&machine->serial, machine->vm, machine->ioapic, machine->loop,
				    machine->sink, machine->log, err);
	if (!ret)
		serial_sink_on_quit(machine->sink, on_quit, machine);
	if (!ret)
		ret = rtc_create(&machine->rtc, machine->vm, err);
	if (!ret)
		ret = power_create(&machine->power, machine->vm, machine->ioapic, &power_ops,
				   machine, config->debug_exit, machine->log, err);
	if (!ret)
		ret = pci_bus_create(&machine->bus, machine->vm, &bus, err);
	if (!ret)
		power_share_cf8(machine->power, &pci_bus_ports, machine->bus);
	return ret;
}

static int reserve_slots(struct machine *machine, struct err *err)
{
	struct config_slot all[CONFIG_MAX_SLOTTED];
	size_t n = config_slots(machine->config, all);
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++) {
		if (all[i].slot)
			ret = pci_bus_reserve(machine->bus, all[i].name, all[i].slot, err);
	}
	return ret;
}

/* Where functions were, or shall be: before there are any. */
static int plan_slots(struct machine *machine, const struct snapshot *snapshot, struct err *err)
{
	struct state_in in;
	int ret = snapshot ? state_open(&in, snapshot->state, snapshot->state_len, err) : 0;

	if (!ret && snapshot)
		ret = pci_bus_plan(machine->bus, &in);
	if (!ret)
		ret = reserve_slots(machine, err);
	return ret && snapshot ? err_prefix(err, "the snapshot") : ret;
}

static int make_virtio(struct machine *machine, struct err *err)
{
	const struct virtio_parts parts = {
		.config = machine->config,
		.log = machine->log,
		.vm = machine->vm,
		.bus = machine->bus,
		.loop = machine->loop,
		.ram = &machine->ram,
		.hot = machine->hot,
		.sandbox = machine->sandbox,
		.layout = &machine->layout,
		.quit = on_quit,
		.quit_arg = machine,
		.event = machine->event,
		.event_arg = machine->event_arg,
	};

	return virtio_devices_create(&machine->virtio, &parts, err);
}

static void wake(void *arg)
{
	hotplug_wake(arg);
}

static int make_devices(struct machine *machine, const struct snapshot *snapshot, struct err *err)
{
	const struct devices_place place = {
		.ending = &machine->ending,
		.bus = machine->bus,
		.loop = machine->loop,
		.ram = &machine->ram,
		.hot = machine->hot,
		.layout = &machine->layout,
		.event = machine->event,
		.event_arg = machine->event_arg,
		.sandbox = machine->sandbox,
		.wake = wake,
		.wake_arg = machine->hotplug,
	};

	int ret = devices_add(machine->devices, &place, err);

	if (!ret && !pins_late(machine, snapshot))
		ret = devices_map(machine->devices, err);
	if (ret)
		return ret;
	return user_devices_create(&machine->user_devices, machine->config, machine->vm, &place,
				   machine->log, err);
}

static int write_acpi(struct machine *machine, const struct boot_memory *memory, struct err *err)
{
	const struct layout *layout = &machine->layout;
	const struct acpi_request request = {
		.vcpus = machine->config->cpus.boot_vcpus,
		.mmio32 = { layout->mmio32.base, layout->mmio32.size },
		.mmio64 = { layout->mmio64.base, layout->mmio64.size },
		.io = { layout->io.base, layout->io.size },
		.ecam_base = layout->ecam.base,
	};
	size_t size = ACPI_TABLES_END - ACPI_TABLES, used;
	void *out = boot_memory_at(memory, ACPI_TABLES, size);

	if (!out)
		return err_set(err, ENOSPC, "RAM does not cover the ACPI tables at %#x",
			       ACPI_TABLES);
	return acpi_build(&request, out, ACPI_TABLES, size, &used, err);
}

static int load_payload(struct machine *machine, struct err *err)
{
	const struct config *config = machine->config;
	const struct boot_memory memory = { .layout = &machine->layout, .base = machine->ram.base };
	struct payload payload = { 0 };
	struct boot_state state;
	int ret = boot_load(&memory, config, &payload, err);

	if (!ret)
		ret = write_acpi(machine, &memory, err);
	if (!ret)
		ret = boot_prepare(&memory, &payload, config->payload.cmdline, ACPI_TABLES, &state,
				   err);
	if (!ret)
		ret = processors_boot(machine->processors, &state, err);
	return ret;
}

static struct machine_state_parts state_parts(struct machine *machine)
{
	return (struct machine_state_parts){
		.config = machine->config,
		.layout = &machine->layout,
		.cpuid = machine->cpuid,
		.vm = machine->vm,
		.processors = machine->processors,
		.ioapic = machine->ioapic,
		.serial = machine->serial,
		.rtc = machine->rtc,
		.power = machine->power,
		.bus = machine->bus,
		.virtio = machine->virtio,
		.adis = machine->adis,
		.devices = machine->devices,
	};
}

/* Before anything is made of it. */
static int check_snapshot(const struct machine *machine, const struct snapshot *snapshot,
			  struct err *err)
{
	const struct config *config = machine->config;
	int ret = snapshot ? machine_state_check(config, err) : 0;

	if (ret || !snapshot)
		return ret;
	if (config->memory.hugepage_size)
		return err_set(err, EINVAL,
			       "/memory/hugepage_size: the memory of a snapshot is mapped from its "
			       "file, which has no huge pages");
	if (config->memory.size != snapshot->memory_size)
		return err_set(err, EINVAL,
			       "/memory/size: is %llu, and the snapshot has %llu bytes of memory",
			       (unsigned long long)config->memory.size,
			       (unsigned long long)snapshot->memory_size);
	return 0;
}

static int load_snapshot(struct machine *machine, const struct snapshot *snapshot, struct err *err)
{
	const struct machine_state_parts parts = state_parts(machine);
	struct state_in in;
	int ret = state_open(&in, snapshot->state, snapshot->state_len, err);

	/* Until machine_run: descriptors that come with it wait for the guest. */
	adis_stop_engines(machine->adis);
	machine->rests = true;

	if (!ret)
		ret = machine_state_load(&parts, &in);
	return ret ? err_prefix(err, "the snapshot") : 0;
}

int machine_create(struct machine **out, const struct machine_options *options, struct err *err)
{
	const struct vm_options vm_options = { .kvm_fd = options->kvm_fd, .log = options->log };
	struct machine *machine = calloc(1, sizeof(*machine));
	int ret;

	if (!machine)
		return err_set(err, ENOMEM, "no memory for a machine");
	machine->config = options->config;
	machine->log = options->log;
	machine->event = options->event;
	machine->event_arg = options->event_arg;
	machine->sandbox = options->sandbox;
	machine->ram.fd = -1;
	machine->end = RUNNING;
	machine->errands = options->errands;
	machine->errands_arg = options->errands_arg;
	pthread_mutex_init(&machine->gate, NULL);
	pthread_cond_init(&machine->opened, NULL);
	ret = check_snapshot(machine, options->snapshot, err);
	if (!ret)
		ret = hotplug_create(&machine->hotplug, err);
	if (!ret)
		ret = vm_create(&machine->vm, &vm_options, err);
	if (!ret)
		ret = devices_open(&machine->devices, machine->config, options->keeper_fd,
				   options->one_life, machine->vm, machine->log, err);
	if (!ret)
		ret = devices_bind_start(machine->devices, err);
	if (!ret)
		ret = make_ram(machine, options->snapshot, err);
	if (!ret)
		ret = devices_bind(machine->devices, err);
	if (!ret)
		ret = place_memory(machine, err);
	if (!ret)
		ret = make_processors(machine, err);
	if (!ret)
		ret = make_chipset(machine, err);
	if (!ret)
		ret = plan_slots(machine, options->snapshot, err);
	if (!ret)
		ret = adis_create(&machine->adis, machine->config, machine->vm, machine->bus,
				  &machine->ram, machine->hot, &machine->layout, machine->log,
				  machine->sandbox, options->spawner, err);
	if (!ret)
		ret = make_devices(machine, options->snapshot, err);
	if (!ret)
		ret = make_virtio(machine, err);
	if (!ret)
		ret = options->snapshot ? load_snapshot(machine, options->snapshot, err)
					: load_payload(machine, err);
	if (!ret && machine->config->memory.prefault)
		ret = ram_populated(&machine->ram, machine->log, err);
	if (ret) {
		machine_destroy(machine);
		return ret;
	}
	hotplug_connect(machine->hotplug, &(struct hotplug_parts){
						  .log = machine->log,
						  .power = machine->power,
						  .bus = machine->bus,
						  .adis = machine->adis,
						  .virtio = machine->virtio,
						  .devices = machine->devices,
						  .user_devices = machine->user_devices,
					  });
	*out = machine;
	return 0;
}

void machine_destroy(struct machine *machine)
{
	if (!machine)
		return;
	processors_destroy(machine->processors);
	virtio_devices_destroy(machine->virtio);
	user_devices_destroy(machine->user_devices);
	devices_destroy(machine->devices);
	adis_destroy(machine->adis);
	if (machine->bus)
		pci_bus_destroy(machine->bus);
	power_destroy(machine->power);
	rtc_destroy(machine->rtc);
	serial_destroy(machine->serial);
	serial_sink_close(machine->sink);
	ioapic_destroy(machine->ioapic);
	if (machine->loop)
		loop_destroy(machine->loop);
	vm_destroy(machine->vm);
	cpuid_destroy(machine->cpuid);
	hot_ram_destroy(machine->hot);
	ram_destroy(&machine->ram);
	hotplug_destroy(machine->hotplug);
	pthread_cond_destroy(&machine->opened);
	pthread_mutex_destroy(&machine->gate);
	free(machine);
}

/* Devices and what they are told by the guest are served here. */
static void *serve_loop(void *arg)
{
	struct machine *machine = arg;
	int ret;

	pthread_setname_np(pthread_self(), "loop");
	sandbox_enter(machine->sandbox,
		      machine->config->vsock.present ? SANDBOX_VSOCK : SANDBOX_LOOP);
	pthread_mutex_lock(&machine->gate);
	arrive(machine);
	pthread_mutex_unlock(&machine->gate);
	ret = loop_run(machine->loop);
	if (ret) {
		log_line(machine->log, LOG_ERROR, "machine", "event loop: %s", strerror(-ret));
		end_with(machine, MACHINE_FAILED);
	}
	return NULL;
}

/*
 * The loop has a thread of its own: the caller's goes on to make the next machine, and must keep
 * the right to; whoever serves a guest must not have it.
 */
static int start_loop(struct machine *machine, pthread_t *thread, struct err *err)
{
	sigset_t block, old;
	int ret;

	sigfillset(&block);
	sigdelset(&block, SIGSYS); /* util/sandbox.h */
	pthread_sigmask(SIG_SETMASK, &block, &old);
	ret = pthread_create(thread, NULL, serve_loop, machine);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret ? err_set(err, ret, "starting the event loop's thread: %s", strerror(ret)) : 0;
}

static uint64_t serve_errands(void *arg)
{
	struct machine *machine = arg;
	char id[CONFIG_ID_MAX + 1];

	if (machine->errands)
		return machine->errands(machine->errands_arg, machine);
	hotplug_let_go(machine->hotplug);
	while (hotplug_departed(machine->hotplug, id))
		;
	return 0;
}

/* While the guest begins. */
static void map_devices(struct machine *machine)
{
	struct err err;
	int ret = devices_map(machine->devices, &err);

	if (!ret || ret == -ECANCELED)
		return;
	log_line(machine->log, LOG_ERROR, "machine", "%s", err.text);
	end_with(machine, MACHINE_FAILED);
}

enum machine_end machine_run(struct machine *machine, bool confine)
{
	bool looping;
	struct err err;
	pthread_t loop;
	int ret = 0;

	if (machine->rests) {
		adis_start_engines(machine->adis);
		ret = devices_start(machine->devices, &err);
	}
	machine->rests = false;
	machine->awaited = machine->config->cpus.boot_vcpus + 2; /* the loop's, and this one */
	if (!ret)
		ret = start_loop(machine, &loop, &err);
	looping = !ret;
	if (!ret)
		ret = processors_start(machine->processors, &err);
	if (confine)
		sandbox_enter(machine->sandbox, SANDBOX_LIFE);
	if (ret) {
		log_line(machine->log, LOG_ERROR, "machine", "%s", err.text);
		end_with(machine, MACHINE_FAILED);
	}
	pthread_mutex_lock(&machine->gate);
	if (ret)
		machine->awaited = 1; /* who was not started does not come */
	arrive(machine);
	pthread_mutex_unlock(&machine->gate);
	map_devices(machine);
	hotplug_wait(machine->hotplug, serve_errands, machine);
	if (looping)
		pthread_join(loop, NULL);
	processors_join(machine->processors);
	serial_flush(machine->serial);
	return (enum machine_end)__atomic_load_n(&machine->end, __ATOMIC_SEQ_CST);
}

void machine_stop(struct machine *machine)
{
	end_with(machine, MACHINE_STOPPED);
}

void machine_reset(struct machine *machine)
{
	end_with(machine, MACHINE_RESET);
}

void machine_power_button(struct machine *machine)
{
	power_button_press(machine->power);
}

void machine_pause(struct machine *machine)
{
	processors_pause(machine->processors);
	virtio_devices_pause(machine->virtio);
	adis_stop_engines(machine->adis);
}

void machine_resume(struct machine *machine)
{
	adis_start_engines(machine->adis);
	virtio_devices_resume(machine->virtio);
	processors_resume(machine->processors);
}

/* A device that did not go on is worse than what there was before, which may have led to it. */
static int add_reason(int ret, struct err *err, const struct err *why)
{
	struct err first;

	if (!ret)
		return err_set(err, why->code, "%s", why->text);
	first = *err;
	return err_set(err, why->code, "%s; %s", first.text, why->text);
}

/* fd: -1, or open already; path is its name then. */
static int save(struct machine *machine, int fd, const char *path, struct err *err)
{
	const struct machine_state_parts parts = state_parts(machine);
	int ret = machine_state_check(machine->config, err), again;
	struct state_out state = { 0 };
	struct err why;

	if (ret)
		return ret;
	machine_pause(machine);
	ret = devices_stop(machine->devices, err);
	if (!ret)
		ret = machine_state_save(&parts, &state, err);
	if (!ret)
		ret = fd < 0 ? snapshot_write(path, &state, &machine->ram, err)
			     : snapshot_write_fd(fd, path, &state, &machine->ram, err);
	again = devices_start(machine->devices, &why);
	if (again && !ret && fd < 0)
		unlink(path);
	if (again)
		ret = add_reason(ret, err, &why);
	machine_resume(machine);
	state_out_free(&state);
	return ret;
}

int machine_snapshot(struct machine *machine, const char *path, struct err *err)
{
	return save(machine, -1, path, err);
}

int machine_snapshot_fd(struct machine *machine, int fd, const char *name, struct err *err)
{
	return save(machine, fd, name, err);
}

void machine_coherency(struct machine *machine, struct devices_coherency *out)
{
	devices_coherency(machine->devices, out);
}

void machine_stats(struct machine *machine, struct vcpu_stats *sum)
{
	*sum = (struct vcpu_stats){ 0 };
	for (unsigned int i = 0; i < machine->config->cpus.boot_vcpus; i++) {
		struct vcpu_stats one;

		vcpu_stats_read(processors_vcpu(machine->processors, i), &one);
		sum->exits_pio += one.exits_pio;
		sum->exits_mmio += one.exits_mmio;
		sum->exits_eoi += one.exits_eoi;
		sum->exits_store64 += one.exits_store64;
		sum->exits_kick += one.exits_kick;
		sum->exits_other += one.exits_other;
	}
}

struct virtio_devices *machine_virtio(struct machine *machine)
{
	return machine->virtio;
}

struct loop *machine_loop(struct machine *machine)
{
	return machine->loop;
}

int machine_resize_disk(struct machine *machine, const char *id, struct err *err)
{
	return virtio_devices_resize_disk(machine->virtio, id, 0, err);
}

int machine_grow_disk(struct machine *machine, const char *id, uint64_t size, struct err *err)
{
	return virtio_devices_resize_disk(machine->virtio, id, size, err);
}

struct hotplug *machine_hotplug(struct machine *machine)
{
	return machine->hotplug;
}

int machine_bind_pasid(struct machine *machine, const struct config_pasid *pasid, struct err *err)
{
	return adis_bind(machine->adis, pasid, err);
}

int machine_unbind_pasid(struct machine *machine, const char *adi, uint32_t guest, struct err *err)
{
	return adis_unbind(machine->adis, adi, guest, err);
}

struct balloon *machine_balloon(struct machine *machine)
{
	return virtio_devices_balloon(machine->virtio);
}

struct mem *machine_mem(struct machine *machine)
{
	return virtio_devices_mem(machine->virtio);
}

struct vm *machine_vm(struct machine *machine)
{
	return machine->vm;
}

struct ioapic *machine_ioapic(struct machine *machine)
{
	return machine->ioapic;
}

struct dsa *machine_dsa(struct machine *machine, const char *id)
{
	return adis_find(machine->adis, id);
}

struct adis *machine_adis(struct machine *machine)
{
	return machine->adis;
}

struct devices *machine_devices(struct machine *machine)
{
	return machine->devices;
}

uint32_t machine_exit_value(const struct machine *machine)
{
	return __atomic_load_n(&machine->exit_value, __ATOMIC_RELAXED);
}
