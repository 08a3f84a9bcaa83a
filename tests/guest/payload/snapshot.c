/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that is busy with everything that a snapshot has to carry, until its power button is
 * pressed: memory, registers, a timer, a disk, an ADI, other processors. It cannot know whether it
 * was saved and goes on somewhere else meanwhile; its checks hold in either case.
 */
#include "apic.h"
#include "dsa.h"
#include "kit.h"
#include "pci.h"
#include "virtio.h"

#define TIMER  0x50
#define DISK   0x61
#define SECTOR 512
#define WORDS  (MIB / 8)
/* Past the payload and its stacks. */
#define PATTERN ((volatile uint64_t *)(32 * MIB))

struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

static struct virtio disk;
static struct virtqueue queue;
static struct header header;
static uint8_t data[SECTOR] __attribute__((aligned(512)));
static uint8_t status;
static volatile uint64_t turns[256];
static volatile bool over;

static uint64_t pattern(uint64_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15UL;
}

static void fill(void)
{
	for (uint64_t i = 0; i < WORDS; i++)
		PATTERN[i] = pattern(i);
}

static uint64_t wrong_words(void)
{
	uint64_t wrong = 0;

	for (uint64_t i = 0; i < WORDS; i++)
		wrong += PATTERN[i] != pattern(i);
	return wrong;
}

static bool transfer(uint32_t type, uint64_t sector)
{
	const struct piece pieces[] = { { &header, sizeof(header), false },
					{ data, sizeof(data), type == 0 },
					{ &status, 1, true } };
	uint32_t written;

	header.type = type;
	header.sector = sector;
	status = 0xee;
	virtio_add(&queue, pieces, 3, NULL);
	virtio_kick(&queue);
	/* Where the TSC jumps while the guest is saved (PVM), patience ends at once: a second time.
	 */
	return (virtio_used(&disk, &queue, 3, &written) ||
		virtio_used(&disk, &queue, 3, &written)) &&
	       !status;
}

static bool start_disk(void)
{
	uint64_t features = VIRTIO_F_VERSION_1;

	if (!virtio_find(&disk, VIRTIO_BLK, 0))
		return false;
	if (command_word("packed", NULL))
		features |= VIRTIO_F_PACKED;
	if (command_word("event", NULL))
		features |= VIRTIO_F_EVENT_IDX;
	if (!virtio_agree(&disk, features))
		return false;
	virtio_queue(&disk, &queue, 0, features, DISK);
	virtio_ready(&disk);
	return true;
}

/* One sector of its own each turn: what was written before is read after. */
static bool disk_turn(uint64_t turn)
{
	uint64_t sector = turn % 64;
	uint8_t was = data[0];

	memset(data, (int)(turn % 251) + 1, sizeof(data));
	if (!transfer(1, sector))
		return false;
	memset(data, 0, sizeof(data));
	if (!transfer(0, sector) || data[0] != turn % 251 + 1 || data[SECTOR - 1] != data[0])
		return false;
	/* The one of the last turn is there too. */
	return !turn || (transfer(0, (turn - 1) % 64) && data[0] == (turn - 1) % 251 + 1 && was);
}

/* --- the ADI, under a PASID ------------------------------------------------------------------ */

#define MOVED	 4096u
#define ADI_FROM ((uint8_t *)(40 * MIB))
#define ADI_TO	 ((uint8_t *)(41 * MIB))
#define ADI_END	 ((struct dsa_completion *)(42 * MIB))

static struct dsa adi;

static bool start_adi(void)
{
	uint32_t pasid = (uint32_t)command_number("pasid", 0);

	return pasid && dsa_find(&adi, 1) && !dsa_start(&adi) && !dsa_queue_enable(&adi, pasid);
}

/* Begun in one turn, looked at in the next: one is always under way. */
static void begin_move(uint64_t turn)
{
	struct dsa_descriptor descriptor = {
		.flags = OP_MEMMOVE << 24 | FLAG_CRAV | FLAG_RCR,
		.completion = (uint64_t)ADI_END,
		.source = (uint64_t)ADI_FROM,
		.destination = (uint64_t)ADI_TO,
		.size = MOVED,
	};

	memset(ADI_FROM, (int)(turn % 250) + 1, MOVED);
	memset(ADI_TO, 0, MOVED);
	memset(ADI_END, 0, sizeof(*ADI_END));
	dsa_submit(&adi, &descriptor);
}

static bool moved(void)
{
	/* As above. */
	return (dsa_wait(ADI_END, 10 * CYCLES_SECOND) == STATUS_OK ||
		dsa_wait(ADI_END, 10 * CYCLES_SECOND) == STATUS_OK) &&
	       !memcmp(ADI_FROM, ADI_TO, MOVED);
}

static void other_cpu(unsigned int cpu)
{
	while (!over)
		turns[cpu]++;
}

static bool all_turn(unsigned int cpus)
{
	for (unsigned int i = 1; i < cpus; i++) {
		uint64_t then = turns[i], begin = rdtsc();

		while (turns[i] == then) {
			if (rdtsc() - begin > 10 * CYCLES_SECOND)
				return false;
		}
	}
	return true;
}

static bool button_pressed(void)
{
	return inl(PORT_GED_EVENTS) & GED_EVENT_POWER_BUTTON;
}

/* A register that nothing of the payload uses. */
static void set_xmm(uint64_t value)
{
	__asm__ volatile("movq %0, %%xmm11" : : "r"(value));
}

static uint64_t get_xmm(void)
{
	uint64_t value;

	__asm__ volatile("movq %%xmm11, %0" : "=r"(value));
	return value;
}

int payload_main(void)
{
	bool has_disk, has_adi, disk_ok = true, adi_ok = true, forward = true;
	unsigned int expected = 1, cpus = 1;
	uint64_t last = rdtsc(), now, turn = 0, ticks;

	lapic_enable();
	has_disk = pci_init() && start_disk();
	has_adi = start_adi();
	if (has_adi)
		begin_move(0);
	if (command_word("smp", NULL))
		cpus = smp_start(other_cpu, &expected);
	test_check("cpus", cpus == expected, "%u of %u", cpus, expected);
	fill();
	set_xmm(0x1122334455667788UL);
	outb(PORT_SERIAL + 7, 0xa5);
	lapic_timer(TIMER, LVT_PERIODIC, 1000000);
	kprintf("ready\n");
	for (; !button_pressed(); turn++) {
		if (has_disk)
			disk_ok &= disk_turn(turn);
		if (has_adi) {
			adi_ok &= moved();
			begin_move(turn);
		}
		now = rdtsc();
		forward &= now >= last;
		last = now;
		interrupts(true);
		cpu_relax();
		interrupts(false);
		if (turn == 3)
			kprintf("busy\n");
	}
	kprintf("turns %lu, timer %lu, disk %lu\n", turn, irq_count(TIMER), irq_count(DISK));
	test_check("memory", !wrong_words(), "%lu words are wrong", wrong_words());
	test_check("vector_registers", get_xmm() == 0x1122334455667788UL, "0x%lx", get_xmm());
	test_check("serial_registers", inb(PORT_SERIAL + 7) == 0xa5, "0x%x", inb(PORT_SERIAL + 7));
	test_check("tsc_goes_forward", forward, "it went back");
	ticks = irq_count(TIMER);
	test_check("timer_goes_on", wait_count(TIMER, ticks + 3, 10 * CYCLES_SECOND),
		   "%lu after %lu", irq_count(TIMER), ticks);
	test_check("processors_go_on", all_turn(cpus), "one stands");
	if (has_disk) {
		ticks = irq_count(DISK);
		test_check("disk", disk_ok && disk_turn(turn) && data[0], "status 0x%x",
			   virtio_status(&disk));
		test_check("disk_interrupts",
			   command_word("event", NULL) ||
				   wait_count(DISK, ticks + 1, 10 * CYCLES_SECOND),
			   "%lu after %lu", irq_count(DISK), ticks);
	}
	if (has_adi)
		test_check("adi", adi_ok && moved(), "status 0x%x", ADI_END->status);
	over = true;
	lapic_timer_stop();
	return (int)test_failures();
}
