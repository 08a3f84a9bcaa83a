/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine without its PCI functions: ports and MMIO of every width, holes, memory, ACPI, RTC,
 * serial port, I/O APIC, local APIC timers, page rights. The word cpus=N says how many CPUs the
 * MADT must name.
 */
#include "acpi.h"
#include "apic.h"
#include "kit.h"

#define HOLE_PORT 0x300
#define HOLE	  0xfed00000UL /* no HPET here */

#define VECTOR_SERIAL	0x50
#define VECTOR_TIMER	0x51
#define VECTOR_DEADLINE 0x52

/* --- ports ----------------------------------------------------------------------------------- */

static void test_port_holes(void)
{
	uint32_t b = inb(HOLE_PORT), w = inw(HOLE_PORT), l = inl(HOLE_PORT);

	test_check("pio_hole_reads_ones", b == 0xff && w == 0xffff && l == 0xffffffff,
		   "0x%x 0x%x 0x%x", b, w, l);
	outb(HOLE_PORT, 0);
	outw(HOLE_PORT, 0);
	outl(HOLE_PORT, 0);
	test_ok("pio_hole_ignores_writes");
}

static void test_port_strings(void)
{
	static uint8_t in[16], out[5] = { 1, 2, 3, 4, 0x5a };
	void *to = in;
	const void *from = out;
	uint64_t n = sizeof(in);
	bool ones = true;

	__asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"(HOLE_PORT) : "memory");
	for (unsigned int i = 0; i < sizeof(in); i++)
		ones = ones && in[i] == 0xff;
	test_check("pio_rep_insb", ones && !n && to == in + sizeof(in), "%lu left", n);

	memset(in, 0, sizeof(in));
	to = in;
	n = 3;
	__asm__ volatile("rep insl" : "+D"(to), "+c"(n) : "d"(HOLE_PORT) : "memory");
	test_check("pio_rep_insl", !n && in[11] == 0xff && !in[12], "%lu left", n);

	n = sizeof(out);
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(PORT_SERIAL + 7) : "memory");
	test_check("pio_rep_outsb", !n && inb(PORT_SERIAL + 7) == 0x5a, "%lu left, last 0x%x", n,
		   inb(PORT_SERIAL + 7));
}

/* --- MMIO ------------------------------------------------------------------------------------ */

static void test_mmio_holes(void)
{
	static const uint8_t sizes[] = { 1, 2, 4, 8 };

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t ones = sizes[i] == 8 ? ~0UL : (1UL << 8 * sizes[i]) - 1;
		uint64_t got = 0;

		for (unsigned int at = 0; at < 8; at++) {
			mmio_write(HOLE + at, 0, sizes[i]);
			got = mmio_read(HOLE + at, sizes[i]);
			if (got != ones)
				break;
		}
		if (got != ones) {
			test_fail("mmio_hole_reads_ones", "0x%lx for %u bytes", got, sizes[i]);
			return;
		}
	}
	test_ok("mmio_hole_reads_ones");
	test_check("mmio_across_pages", read64(HOLE + 0xffc) == ~0UL, "0x%lx",
		   read64(HOLE + 0xffc));
}

/* --- memory ---------------------------------------------------------------------------------- */

static bool holds(uint64_t address)
{
	uint64_t old = read64(address), got;

	write64(address, 0x0123456789abcdef ^ address);
	got = read64(address);
	write64(address, old);
	return got == (0x0123456789abcdef ^ address);
}

/* Is the byte at `address` in any range of the map? */
static bool described(const struct memory_range *ranges, unsigned int n, uint64_t address)
{
	for (unsigned int i = 0; i < n; i++) {
		if (address >= ranges[i].start && address - ranges[i].start < ranges[i].size)
			return true;
	}
	return false;
}

static bool test_range(const struct memory_range *ranges, unsigned int n, unsigned int i)
{
	uint64_t start = ranges[i].start, end = start + ranges[i].size;

	if (!map_device(start, 8) || !map_device(end - 8, 16)) {
		test_fail("memory_borders", "0x%lx cannot be mapped", end);
		return false;
	}
	if (!holds(start ? start : 8) || !holds(end - 8)) {
		test_fail("memory_borders", "0x%lx-0x%lx does not hold its bytes", start, end);
		return false;
	}
	/* Below 1 MiB memory goes on unnamed; a BAR may begin where the 32-bit window does. */
	if (end > MIB && end != MMIO32_BASE && !described(ranges, n, end) && read64(end) != ~0UL) {
		test_fail("memory_borders", "0x%lx is no RAM but reads 0x%lx", end, read64(end));
		return false;
	}
	return true;
}

static void test_memory(void)
{
	const struct memory_range *ranges;
	unsigned int n = memory_map(&ranges), ram = 0;

	for (unsigned int i = 0; i < n; i++) {
		for (unsigned int j = 0; j < i; j++) {
			if (ranges[i].start < ranges[j].start + ranges[j].size &&
			    ranges[j].start < ranges[i].start + ranges[i].size)
				test_fail("memory_map", "ranges %u and %u overlap", j, i);
		}
		if (ranges[i].type != 1)
			continue;
		ram++;
		if (!test_range(ranges, n, i))
			return;
	}
	if (!ram)
		test_skip("memory_borders", "no memory map");
	else
		test_ok("memory_borders");
}

/* A page of its own 2 MiB page, so that no code lies in what is split. */
#define TEST_PAGE (24 * MIB)

static void test_pages(void)
{
	unsigned int vector;
	uint8_t byte;

	if (memory_total() && memory_total() < TEST_PAGE + 2 * MIB) {
		test_skip("page_rights", "%lu MiB of memory", memory_total() / MIB);
		return;
	}
	write8(TEST_PAGE, 0x5a);
	page_set(TEST_PAGE, PAGE_PRESENT | PAGE_USER);
	vector = try_write8(TEST_PAGE, 1);
	test_check("page_read_only", vector == 1 + 14 && fault_address() == TEST_PAGE,
		   "%u at 0x%lx", vector, fault_address());
	page_set(TEST_PAGE, 0);
	vector = try_read8(TEST_PAGE, &byte);
	test_check("page_not_present", vector == 1 + 14 && fault_address() == TEST_PAGE,
		   "%u at 0x%lx", vector, fault_address());
	page_set(TEST_PAGE, PAGE_PRESENT | PAGE_WRITE | PAGE_USER);
	vector = try_read8(TEST_PAGE, &byte);
	test_check("page_back", !vector && byte == 0x5a, "vector %u, byte 0x%x", vector, byte);
}

/* --- ACPI ------------------------------------------------------------------------------------ */

static void test_acpi_sums(void)
{
	const uint8_t *rsdp = acpi_rsdp(), *xsdt = acpi_xsdt(), *dsdt = acpi_table("DSDT");
	bool good;

	good = !acpi_sum(rsdp, 20) && !acpi_sum(rsdp, *(const uint32_t *)(rsdp + 20));
	good = good && !acpi_sum(xsdt, acpi_length(xsdt));
	for (unsigned int i = 0; i < acpi_tables() && good; i++) {
		good = !acpi_sum(acpi_nth(i), acpi_length(acpi_nth(i)));
		if (!good)
			test_fail("acpi_checksums", "table %u", i);
	}
	if (good && dsdt)
		good = !acpi_sum(dsdt, acpi_length(dsdt));
	test_check("acpi_checksums", good, "RSDP, XSDT or DSDT");
}

static void test_fadt(void)
{
	const uint8_t *fadt = acpi_table("FACP");
	uint64_t reset, sleep;
	uint32_t flags;

	if (!test_check("acpi_fadt", fadt && acpi_length(fadt) >= 268, "absent or short"))
		return;
	flags = *(const uint32_t *)(fadt + 112);
	test_check("acpi_hardware_reduced", flags & 1u << 20 && flags & 1u << 10, "flags 0x%x",
		   flags);
	reset = *(const uint64_t *)(fadt + 120);
	sleep = *(const uint64_t *)(fadt + 248);
	test_check("acpi_registers",
		   reset == PORT_RESET && fadt[128] == RESET_VALUE && sleep == PORT_SLEEP_CONTROL,
		   "reset 0x%lx, sleep 0x%lx", reset, sleep);
}

static void test_acpi(void)
{
	uint32_t ids[KIT_CPUS];
	unsigned int cpus, expected;
	const uint8_t *ioapic;

	if (!acpi_xsdt()) {
		test_skip("acpi", "no RSDP");
		return;
	}
	test_acpi_sums();
	test_fadt();
	cpus = madt_cpus(ids, KIT_CPUS);
	expected = (unsigned int)command_number("cpus", cpus ? cpus : 1);
	test_check("madt_cpus", cpus == expected, "%u, not %u", cpus, expected);
	ioapic = madt_next(NULL, MADT_IOAPIC);
	test_check("madt_ioapic", ioapic && *(const uint32_t *)(ioapic + 4) == IOAPIC_BASE,
		   "absent or elsewhere");
	test_check("mcfg", mcfg_base() == ECAM_BASE, "0x%lx", mcfg_base());
}

/* --- RTC and serial port --------------------------------------------------------------------- */

static uint8_t rtc(uint8_t reg)
{
	outb(PORT_RTC_INDEX, reg);
	return inb(PORT_RTC_DATA);
}

static unsigned int from_rtc(uint8_t value)
{
	return rtc(0x0b) & 4 ? value : (value >> 4) * 10u + (value & 15);
}

static void test_rtc(void)
{
	unsigned int seconds = from_rtc(rtc(0)), minutes = from_rtc(rtc(2));
	unsigned int day = from_rtc(rtc(7)), month = from_rtc(rtc(8)), year = from_rtc(rtc(9));

	if (rtc(0x0d) == 0xff) {
		test_skip("rtc", "no RTC");
		return;
	}
	test_check("rtc_valid", rtc(0x0d) & 0x80, "register D is 0x%x", rtc(0x0d));
	test_check("rtc_date",
		   seconds < 60 && minutes < 60 && day && day <= 31 && month && month <= 12 &&
			   year < 100,
		   "%u:%u %u.%u.%u", minutes, seconds, day, month, year);
}

static void test_serial(void)
{
	uint8_t first, second, iir;

	outb(PORT_SERIAL + 7, 0xa5);
	first = inb(PORT_SERIAL + 7);
	outb(PORT_SERIAL + 7, 0x5a);
	second = inb(PORT_SERIAL + 7);
	if (first == 0xff && second == 0xff) {
		test_skip("serial", "no 16550 behind the output port");
		return;
	}
	test_check("serial_scratch", first == 0xa5 && second == 0x5a, "0x%x 0x%x", first, second);
	test_check("serial_transmitter_ready", (inb(PORT_SERIAL + 5) & 0x60) == 0x60, "LSR 0x%x",
		   inb(PORT_SERIAL + 5));
	iir = inb(PORT_SERIAL + 2);
	test_check("serial_no_interrupt_pending", (iir & 0x0f) == 1, "IIR 0x%x", iir);
	outb(PORT_SERIAL + 2, 1);
	iir = inb(PORT_SERIAL + 2);
	test_check("serial_fifo", (iir & 0xc0) == 0xc0, "IIR 0x%x", iir);
	outb(PORT_SERIAL + 3, 0x83);
	outb(PORT_SERIAL, 12);
	outb(PORT_SERIAL + 1, 1);
	first = inb(PORT_SERIAL);
	second = inb(PORT_SERIAL + 1);
	outb(PORT_SERIAL, 1);
	outb(PORT_SERIAL + 1, 0);
	outb(PORT_SERIAL + 3, 0x03);
	test_check("serial_divisor", first == 12 && second == 1, "%u %u", first, second);
}

static void test_serial_interrupt(void)
{
	uint8_t iir, after;
	bool came;

	if (inb(PORT_SERIAL + 5) == 0xff) {
		test_skip("serial_interrupt", "no 16550");
		return;
	}
	ioapic_route(PIN_SERIAL, VECTOR_SERIAL, lapic_id(), 0);
	outb(PORT_SERIAL + 4, 0x0b);
	outb(PORT_SERIAL + 1, 2); /* transmitter empty: at once */
	came = wait_count(VECTOR_SERIAL, 1, CYCLES_SECOND);
	iir = inb(PORT_SERIAL + 2);
	after = inb(PORT_SERIAL + 2);
	outb(PORT_SERIAL + 1, 0);
	outb(PORT_SERIAL + 4, 3);
	ioapic_mask(PIN_SERIAL);
	test_check("serial_interrupt", came, "none on pin %u", PIN_SERIAL);
	test_check("serial_interrupt_cause", (iir & 0x0f) == 2 && (after & 0x0f) == 1,
		   "IIR 0x%x, then 0x%x", iir, after);
}

/* --- interrupt controllers ------------------------------------------------------------------- */

static void test_ioapic(void)
{
	uint32_t version = ioapic_read(IOAPIC_REG_VERSION), low, high;

	if (version == 0xffffffff) {
		test_skip("ioapic", "no I/O APIC");
		return;
	}
	test_check("ioapic_pins", (version >> 16 & 0xff) == 23, "version 0x%x", version);
	ioapic_write(0x10 + 2 * 20 + 1, 0x12000000);
	ioapic_write(0x10 + 2 * 20, IOAPIC_MASKED | IOAPIC_LEVEL | IOAPIC_LOW | 0x77);
	low = ioapic_read(0x10 + 2 * 20);
	high = ioapic_read(0x10 + 2 * 20 + 1);
	ioapic_mask(20);
	test_check("ioapic_entry",
		   low == (IOAPIC_MASKED | IOAPIC_LEVEL | IOAPIC_LOW | 0x77) && high == 0x12000000,
		   "0x%x 0x%x", high, low);
	ioapic_write(IOAPIC_REG_VERSION, 0);
	test_check("ioapic_version_read_only", ioapic_read(IOAPIC_REG_VERSION) == version, "0x%x",
		   ioapic_read(IOAPIC_REG_VERSION));
	test_serial_interrupt();
}

static void test_timers(void)
{
	uint64_t start;

	lapic_timer(VECTOR_TIMER, 0, 10000);
	test_check("timer_one_shot", wait_count(VECTOR_TIMER, 1, CYCLES_SECOND), "no interrupt");
	lapic_timer(VECTOR_TIMER, 0, 10000);
	halt_until(VECTOR_TIMER, 2);
	test_ok("timer_wakes_halt");
	lapic_timer(VECTOR_TIMER, LVT_PERIODIC, 100000);
	test_check("timer_periodic", wait_count(VECTOR_TIMER, 5, 4 * CYCLES_SECOND), "%lu of 3",
		   irq_count(VECTOR_TIMER) - 2);
	lapic_timer_stop();
	start = rdtsc();
	if (!lapic_deadline(VECTOR_DEADLINE, start + 1000000)) {
		test_skip("timer_deadline", "CPUID offers none");
		return;
	}
	test_check("timer_deadline", wait_count(VECTOR_DEADLINE, 1, CYCLES_SECOND), "no interrupt");
	test_check("timer_deadline_not_early", rdtsc() - start >= 1000000, "%lu cycles",
		   rdtsc() - start);
	lapic_timer_stop();
}

int payload_main(void)
{
	lapic_enable();
	test_port_holes();
	test_mmio_holes();
	test_memory();
	test_pages();
	test_acpi();
	test_rtc();
	test_serial();
	if (inb(PORT_SERIAL + 5) != 0xff)
		test_port_strings();
	test_ioapic();
	test_timers();
	return 0;
}
