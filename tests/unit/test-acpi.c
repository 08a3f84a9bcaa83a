/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables: found from the RSDP, right sums and lengths, and what iasl makes of them. */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "kvm-glue/ioapic.h"
#include "util/bits.h"
#include "vmm/acpi.h"
#include "vmm/platform.h"

#define TABLES_SIZE (ACPI_TABLES_END - ACPI_TABLES)

static const struct acpi_request machine = {
	.vcpus = 4,
	.mmio32 = { MMIO32_BASE, MMIO32_END - MMIO32_BASE },
	.mmio64 = { 0x4000000000, 0x1000000000 },
	.io = { IO_WINDOW_BASE, IO_WINDOW_END - IO_WINDOW_BASE },
	.ecam_base = ECAM_BASE,
};

struct tables {
	uint8_t *bytes;
	size_t used;
};

static int setup(void **state)
{
	struct tables *t = calloc(1, sizeof(*t));

	t->bytes = malloc(TABLES_SIZE);
	memset(t->bytes, 0xcc, TABLES_SIZE);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct tables *t = *state;

	free(t->bytes);
	free(t);
	return 0;
}

static void build(struct tables *t, const struct acpi_request *request)
{
	struct err err = { 0 };

	assert_ok(acpi_build(request, t->bytes, ACPI_TABLES, TABLES_SIZE, &t->used, &err), &err);
	assert_true(t->used <= TABLES_SIZE);
}

static uint8_t sum(const uint8_t *data, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s += *data++;
	return s;
}

/* The table at a guest address; its length and sum are right. */
static const uint8_t *table_at(struct tables *t, uint64_t gpa, uint32_t *len)
{
	const uint8_t *table;

	assert_true(gpa % 16 == 0);
	assert_in_range(gpa, ACPI_TABLES, ACPI_TABLES + t->used - 36);
	table = t->bytes + (gpa - ACPI_TABLES);
	*len = (uint32_t)load_le(table + 4, 4);
	assert_true(range_inside(gpa, *len, ACPI_TABLES, t->used));
	assert_int_equal(sum(table, *len), 0);
	return table;
}

static const uint8_t *find(struct tables *t, const char *signature, uint32_t *len)
{
	const uint8_t *found = NULL, *xsdt, *table;
	uint32_t xsdt_len;

	assert_memory_equal(t->bytes, "RSD PTR ", 8);
	assert_int_equal(sum(t->bytes, 20), 0);
	assert_int_equal(sum(t->bytes, 36), 0);
	assert_int_equal(t->bytes[15], 2);
	xsdt = table_at(t, load_le(t->bytes + 24, 8), &xsdt_len);
	assert_memory_equal(xsdt, "XSDT", 4);
	for (uint32_t at = 36; at < xsdt_len; at += 8) {
		table = table_at(t, load_le(xsdt + at, 8), len);
		if (!memcmp(table, signature, 4)) {
			assert_null(found);
			found = table;
		}
	}
	if (!found) {
		fail_msg("no table %s", signature);
		abort(); /* fail_msg does not return; analysers do not know */
	}
	*len = (uint32_t)load_le(found + 4, 4);
	return found;
}

static void fadt_is_hardware_reduced(void **state)
{
	struct tables *t = *state;
	const uint8_t *fadt, *dsdt;
	uint32_t len, flags;

	build(t, &machine);
	fadt = find(t, "FACP", &len);
	assert_int_equal(len, 276);
	assert_int_equal(fadt[8], 6);
	flags = (uint32_t)load_le(fadt + 112, 4);
	assert_true(flags & 1u << 20);			       /* HW_REDUCED_ACPI */
	assert_true(flags & 1u << 10);			       /* RESET_REG_SUP */
	assert_true(flags & 1u << 4);			       /* PWR_BUTTON: a control method */
	assert_int_equal(load_le(fadt + 109, 2) & 0x0f, 0x04); /* no VGA, no 8042, MSI allowed */
	assert_int_equal(fadt[108], 0x32);
	assert_int_equal(fadt[116], 1); /* system I/O */
	assert_int_equal(load_le(fadt + 120, 8), PORT_RESET);
	assert_int_equal(fadt[128], RESET_VALUE);
	assert_int_equal(load_le(fadt + 248, 8), PORT_SLEEP_CONTROL);
	assert_int_equal(load_le(fadt + 260, 8), PORT_SLEEP_STATUS);
	dsdt = table_at(t, load_le(fadt + 140, 8), &len);
	assert_memory_equal(dsdt, "DSDT", 4);
	assert_true(dsdt[8] >= 2); /* 64-bit integers */
}

struct madt_count {
	unsigned int lapic, x2apic, ioapic, nmi, x2nmi, other;
};

static struct madt_count count_madt(struct tables *t)
{
	struct madt_count n = { 0 };
	uint32_t len, at, ids = 0;
	const uint8_t *madt = find(t, "APIC", &len);

	assert_int_equal(load_le(madt + 36, 4), LAPIC_BASE);
	assert_int_equal(load_le(madt + 40, 4), 0); /* no 8259 */
	for (at = 44; at < len; at += madt[at + 1]) {
		const uint8_t *e = madt + at;

		assert_true(e[1] >= 2 && at + e[1] <= len);
		switch (e[0]) {
		case 0:
			assert_int_equal(e[3], ids++);
			assert_int_equal(e[4], 1);
			n.lapic++;
			break;
		case 1:
			assert_int_equal(load_le(e + 4, 4), IOAPIC_BASE);
			n.ioapic++;
			break;
		case 4:
			n.nmi++;
			break;
		case 9:
			assert_int_equal(load_le(e + 4, 4), ids++);
			n.x2apic++;
			break;
		case 10:
			n.x2nmi++;
			break;
		default:
			n.other++;
		}
	}
	assert_int_equal(at, len);
	return n;
}

static void madt_lists_every_processor(void **state)
{
	struct tables *t = *state;
	struct acpi_request request = machine;
	struct madt_count n;

	for (request.vcpus = 1; request.vcpus <= 255; request.vcpus++) {
		build(t, &request);
		n = count_madt(t);
		assert_int_equal(n.lapic, request.vcpus);
		assert_int_equal(n.ioapic, 1);
		assert_int_equal(n.nmi, 1);
		assert_int_equal(n.x2apic + n.x2nmi + n.other, 0);
	}
	request.vcpus = 300;
	build(t, &request);
	n = count_madt(t);
	assert_int_equal(n.lapic, 255);
	assert_int_equal(n.x2apic, 45);
	assert_int_equal(n.x2nmi, 1);
}

static void mcfg_covers_bus_0(void **state)
{
	struct tables *t = *state;
	const uint8_t *mcfg;
	uint32_t len;

	build(t, &machine);
	mcfg = find(t, "MCFG", &len);
	assert_int_equal(len, 60);
	assert_int_equal(load_le(mcfg + 44, 8), ECAM_BASE);
	assert_int_equal(load_le(mcfg + 52, 4), 0);
}

static void ssdt_carries_the_windows(void **state)
{
	struct tables *t = *state;
	const uint64_t want[] = { machine.mmio32.base, machine.mmio32.size,
				  machine.mmio64.base, machine.mmio64.size,
				  machine.io.base,     machine.io.size,
				  machine.ecam_base,   0x100000 };
	const uint8_t *ssdt;
	uint32_t len;

	build(t, &machine);
	ssdt = find(t, "SSDT", &len);
	assert_int_equal(len, 36 + 14 * ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(load_le(ssdt + 36 + 14 * i + 6, 8), want[i]);
}

static void small_memory_is_refused_without_overrun(void **state)
{
	struct tables *t = *state;
	size_t used;

	build(t, &machine);
	for (size_t size = 0; size < t->used; size += size % 61 + 1) {
		uint8_t *exact = malloc(size ? size : 1); /* the sanitizer sees its end */
		struct err err = { 0 };

		assert_int_equal(acpi_build(&machine, exact, ACPI_TABLES, size, &used, &err),
				 -ENOSPC);
		free(exact);
	}
}

static void impossible_requests_are_refused(void **state)
{
	struct tables *t = *state;
	struct acpi_request request = machine;
	struct err err = { 0 };
	size_t used;

	assert_int_equal(acpi_build(&request, t->bytes, ACPI_TABLES + 8, TABLES_SIZE, &used, &err),
			 -EINVAL);
	assert_int_equal(acpi_build(&request, t->bytes, 4 * GIB, TABLES_SIZE, &used, &err),
			 -EINVAL);
	request.ecam_base = 4 * GIB;
	assert_int_equal(acpi_build(&request, t->bytes, ACPI_TABLES, TABLES_SIZE, &used, &err),
			 -EINVAL);
	request = machine;
	request.io.size = 0x10000;
	assert_int_equal(acpi_build(&request, t->bytes, ACPI_TABLES, TABLES_SIZE, &used, &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "I/O-port window"));
	request = machine;
	request.mmio64.base = ~0ULL;
	assert_int_equal(acpi_build(&request, t->bytes, ACPI_TABLES, TABLES_SIZE, &used, &err),
			 -EINVAL);
}

/* --- ACPICA's tools -------------------------------------------------------------------------- */

static bool have(const char *tool)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s > /dev/null 2>&1", tool);
	return !system(command);
}

static void write_table(struct tables *t, const char *dir, const uint8_t *table)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%.4s.aml", dir, (const char *)table);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(table, load_le(table + 4, 4), 1, f), 1);
	fclose(f);
}

static void write_tables(struct tables *t, const char *dir)
{
	static const char *const listed[] = { "FACP", "APIC", "MCFG", "SSDT" };
	const uint8_t *fadt;
	uint32_t len;

	for (size_t i = 0; i < ARRAY_SIZE(listed); i++)
		write_table(t, dir, find(t, listed[i], &len));
	fadt = find(t, "FACP", &len);
	write_table(t, dir, table_at(t, load_le(fadt + 140, 8), &len));
}

static int in_dir(const char *dir, const char *command)
{
	char line[512];

	snprintf(line, sizeof(line), "cd %s && %s", dir, command);
	return system(line);
}

static void iasl_disassembles_and_compiles_every_table(void **state)
{
	struct tables *t = *state;
	char dir[] = "/tmp/adit-acpi-XXXXXX";
	int rc;

	if (!have("iasl"))
		skip_because("iasl (package acpica-tools) is not installed");
	assert_non_null(mkdtemp(dir));
	build(t, &machine);
	write_tables(t, dir);
	rc = in_dir(dir,
		    "for f in FACP APIC MCFG SSDT; do iasl -d $f.aml || exit 1; done > log 2>&1 "
		    "&& iasl -e SSDT.aml -d DSDT.aml >> log 2>&1 "
		    "&& ! grep -i -e '\\*\\*\\*' -e 'error' -e 'invalid' log");
	if (rc)
		in_dir(dir, "cat log");
	assert_int_equal(rc, 0);
	/* What was taken apart can be put together again. */
	rc = in_dir(dir, "for f in FACP APIC MCFG SSDT DSDT; do iasl -p back-$f $f.dsl || exit 1; "
			 "done > log 2>&1 && ! grep -e 'Error *[0-9]' -e 'Warning *[0-9]' log");
	if (rc)
		in_dir(dir, "cat log");
	assert_int_equal(rc, 0);
	assert_int_equal(in_dir(dir, "rm -f -- * && rmdir $PWD"), 0);
}

/* Evaluates one object with ACPICA's interpreter; true where the output has the text. */
static bool evaluates(const char *dir, const char *object, const char *text)
{
	char command[256];
	int rc;

	snprintf(command, sizeof(command),
		 "acpiexec -b 'evaluate %s' DSDT.aml SSDT.aml > log 2>&1; grep -q -F '%s' log",
		 object, text);
	rc = in_dir(dir, command);
	if (rc)
		in_dir(dir, "tail -40 log");
	return !rc;
}

static void interpreter_sees_windows_and_routes(void **state)
{
	struct tables *t = *state;
	struct acpi_request request = machine;
	char dir[] = "/tmp/adit-acpi-XXXXXX";

	if (!have("acpiexec"))
		skip_because("acpiexec (package acpica-tools) is not installed");
	assert_non_null(mkdtemp(dir));
	build(t, &request);
	write_tables(t, dir);
	/* The 64-bit window's minimum and maximum, in the last of four descriptors. */
	assert_true(evaluates(dir, "\\_SB.PCI0._CRS", "00 00 40 00 00 00 FF FF"));
	assert_true(evaluates(dir, "\\_SB.PCI0._CRS", "Length 88"));
	request.mmio64.size = 0;
	build(t, &request);
	write_tables(t, dir);
	assert_true(evaluates(dir, "\\_SB.PCI0._CRS", "Length 5A"));
	assert_true(evaluates(dir, "\\_SB.PCI0._PRT", "Contains 128 Elements"));
	/* The ECAM: 0xe0000000, 1 MiB. */
	assert_true(evaluates(dir, "\\_SB.MBRD._CRS", "00 00 00 E0 00 00 10 00"));
	assert_true(evaluates(dir, "\\_S5", "Contains 4 Elements"));
	assert_int_equal(in_dir(dir, "rm -f -- * && rmdir $PWD"), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(fadt_is_hardware_reduced),
		T(madt_lists_every_processor),
		T(mcfg_covers_bus_0),
		T(ssdt_carries_the_windows),
		T(small_memory_is_refused_without_overrun),
		T(impossible_requests_are_refused),
		T(iasl_disassembles_and_compiles_every_table),
		T(interpreter_sees_windows_and_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
