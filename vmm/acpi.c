/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables. One file: every table is a header, some fields and a checksum, laid one after the
 * other. Structures are packed and filled on the stack, then copied: nothing in the guest's memory
 * is accessed unaligned.
 */
#include "vmm/acpi.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "dsdt.h"
#include "kvm-glue/ioapic.h"
#include "util/bits.h"
#include "vmm/platform.h"
#include "vmm/rtc.h"

#define TABLE_ALIGN 16
#define ECAM_SIZE   0x100000ULL /* bus 0 */
#define MAX_TABLES  4		/* that the XSDT lists */

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct header) == 36, "ACPI 6.4 table 5.4");

struct rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == 36, "ACPI 6.4 table 5.3");

struct address {
	uint8_t space, bits, offset, access;
	uint64_t address;
} __attribute__((packed));

struct fadt {
	struct header header;
	uint32_t facs, dsdt;
	uint8_t reserved0, profile;
	uint16_t sci;
	uint8_t fixed_hardware[60]; /* SMI_CMD to MON_ALRM: unused in reduced hardware */
	uint8_t century;
	uint16_t boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct address reset;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct address x_pm_blocks[8];
	struct address sleep_control, sleep_status;
	char hypervisor[8];
} __attribute__((packed));
_Static_assert(offsetof(struct fadt, century) == 108, "ACPI 6.4 table 5.9");
_Static_assert(sizeof(struct fadt) == 276, "ACPI 6.4 table 5.9");

#define SPACE_IO 1

#define BOOT_NO_VGA  0x04
#define BOOT_NO_ASPM 0x10

#define FADT_WBINVD	(1u << 0)
#define FADT_PROC_C1	(1u << 2)
#define FADT_PWR_BUTTON (1u << 4) /* a control method, not a fixed one */
#define FADT_SLP_BUTTON (1u << 5) /* no fixed one */
#define FADT_RESET_REG	(1u << 10)
#define FADT_HW_REDUCED (1u << 20)

struct madt {
	struct header header;
	uint32_t lapic_base, flags;
} __attribute__((packed));

#define MADT_LAPIC	0
#define MADT_IOAPIC	1
#define MADT_LAPIC_NMI	4
#define MADT_X2APIC	9
#define MADT_X2APIC_NMI 10
#define MADT_ENABLED	1u
#define LAPIC_ID_END	255u /* 8-bit ids; 255 is the broadcast */
#define NMI_LINT	1

struct madt_lapic {
	uint8_t type, length, uid, id;
	uint32_t flags;
} __attribute__((packed));

struct madt_x2apic {
	uint8_t type, length;
	uint16_t reserved;
	uint32_t id, flags, uid;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} __attribute__((packed));

struct madt_lapic_nmi {
	uint8_t type, length, uid;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

struct madt_x2apic_nmi {
	uint8_t type, length;
	uint16_t flags;
	uint32_t uid;
	uint8_t lint, reserved[3];
} __attribute__((packed));

struct mcfg {
	struct header header;
	uint64_t reserved;
	uint64_t base;
	uint16_t segment;
	uint8_t bus_start, bus_end;
	uint32_t reserved1;
} __attribute__((packed));
_Static_assert(sizeof(struct mcfg) == 60, "PCI Firmware 3.3 table 4-2");

/* --- laying tables out ----------------------------------------------------------------------- */

struct builder {
	uint8_t *out;
	uint64_t gpa;
	size_t size, at;
	size_t table; /* start of the one that is open */
	bool full;
	uint64_t tables[MAX_TABLES];
	unsigned int n_tables;
};

static void append(struct builder *b, const void *data, size_t len)
{
	if (b->full || len > b->size - b->at) {
		b->full = true;
		return;
	}
	memcpy(b->out + b->at, data, len);
	b->at += len;
}

static uint8_t checksum(const uint8_t *data, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum += *data++;
	return (uint8_t)-sum;
}

static void align_table(struct builder *b)
{
	static const uint8_t zero[TABLE_ALIGN];

	append(b, zero, (size_t)(align_up(b->at, TABLE_ALIGN) - b->at));
	b->table = b->at;
}

static struct header header(const char *signature, uint8_t revision)
{
	struct header h = {
		.revision = revision,
		.oem_revision = 1,
		.creator_revision = 1,
	};

	memcpy(h.signature, signature, 4);
	memcpy(h.oem_id, "ADIT  ", 6);
	memcpy(h.oem_table_id, "ADIT", 4);
	memcpy(h.oem_table_id + 4, signature, 4);
	memcpy(h.creator_id, "ADIT", 4);
	return h;
}

/* Returns the guest address of the table that was appended since align_table. */
static uint64_t finish_table(struct builder *b)
{
	uint32_t length = (uint32_t)(b->at - b->table);
	uint8_t *table = b->out + b->table;

	if (b->full)
		return 0;
	memcpy(table + offsetof(struct header, length), &length, sizeof(length));
	table[offsetof(struct header, checksum)] = 0;
	table[offsetof(struct header, checksum)] = checksum(table, length);
	return b->gpa + b->table;
}

static void finish_listed_table(struct builder *b)
{
	b->tables[b->n_tables++] = finish_table(b);
}

/* --- the tables ------------------------------------------------------------------------------ */

/* iasl's bytes, which carry their own header and checksum. */
static uint64_t put_dsdt(struct builder *b)
{
	align_table(b);
	append(b, dsdt_aml, sizeof(dsdt_aml));
	return b->gpa + b->table;
}

static struct address io_byte(uint64_t port)
{
	return (struct address){ .space = SPACE_IO, .bits = 8, .access = 1, .address = port };
}

static void put_fadt(struct builder *b, uint64_t dsdt)
{
	struct fadt fadt = {
		.header = header("FACP", 6),
		.dsdt = (uint32_t)dsdt,
		.century = RTC_CENTURY,
		.boot_arch = BOOT_NO_VGA | BOOT_NO_ASPM,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLP_BUTTON |
			 FADT_RESET_REG | FADT_HW_REDUCED,
		.reset = io_byte(PORT_RESET),
		.reset_value = RESET_VALUE,
		.minor = 4,
		.x_dsdt = dsdt,
		.sleep_control = io_byte(PORT_SLEEP_CONTROL),
		.sleep_status = io_byte(PORT_SLEEP_STATUS),
		.hypervisor = "ADIT",
	};

	align_table(b);
	append(b, &fadt, sizeof(fadt));
	finish_listed_table(b);
}

static void put_processor(struct builder *b, uint32_t id)
{
	const struct madt_lapic lapic = {
		.type = MADT_LAPIC,
		.length = sizeof(lapic),
		.uid = (uint8_t)id,
		.id = (uint8_t)id,
		.flags = MADT_ENABLED,
	};
	const struct madt_x2apic x2apic = {
		.type = MADT_X2APIC,
		.length = sizeof(x2apic),
		.id = id,
		.flags = MADT_ENABLED,
		.uid = id,
	};

	if (id < LAPIC_ID_END)
		append(b, &lapic, sizeof(lapic));
	else
		append(b, &x2apic, sizeof(x2apic));
}

/* LINT1 of every processor is its NMI, as on any PC. */
static void put_nmis(struct builder *b, bool x2)
{
	const struct madt_lapic_nmi nmi = {
		.type = MADT_LAPIC_NMI,
		.length = sizeof(nmi),
		.uid = 0xff,
		.lint = NMI_LINT,
	};
	const struct madt_x2apic_nmi x2_nmi = {
		.type = MADT_X2APIC_NMI,
		.length = sizeof(x2_nmi),
		.uid = 0xffffffff,
		.lint = NMI_LINT,
	};

	append(b, &nmi, sizeof(nmi));
	if (x2)
		append(b, &x2_nmi, sizeof(x2_nmi));
}

/* PCAT_COMPAT is clear: no 8259. GSIs are the I/O APIC's pins, without overrides. */
static void put_madt(struct builder *b, unsigned int vcpus)
{
	const struct madt madt = { .header = header("APIC", 5), .lapic_base = LAPIC_BASE };
	const struct madt_ioapic ioapic = {
		.type = MADT_IOAPIC,
		.length = sizeof(ioapic),
		.address = (uint32_t)IOAPIC_BASE,
	};

	align_table(b);
	append(b, &madt, sizeof(madt));
	for (unsigned int id = 0; id < vcpus; id++)
		put_processor(b, id);
	append(b, &ioapic, sizeof(ioapic));
	put_nmis(b, vcpus > LAPIC_ID_END);
	finish_listed_table(b);
}

static void put_mcfg(struct builder *b, uint64_t ecam_base)
{
	const struct mcfg mcfg = { .header = header("MCFG", 1), .base = ecam_base };

	align_table(b);
	append(b, &mcfg, sizeof(mcfg));
	finish_listed_table(b);
}

/* Name (\NAME, QWord): ACPI 6.4 sections 20.2.5.1 and 20.2.3. */
static void put_integer(struct builder *b, const char *name, uint64_t value)
{
	uint8_t aml[14] = { 0x08, [5] = 0x0e };

	memcpy(aml + 1, name, 4);
	memcpy(aml + 6, &value, sizeof(value));
	append(b, aml, sizeof(aml));
}

/* The integers that vmm/dsdt.asl declares External. */
static void put_ssdt(struct builder *b, const struct acpi_request *request)
{
	const struct header h = header("SSDT", 2);

	align_table(b);
	append(b, &h, sizeof(h));
	put_integer(b, "M32B", request->mmio32.base);
	put_integer(b, "M32S", request->mmio32.size);
	put_integer(b, "M64B", request->mmio64.base);
	put_integer(b, "M64S", request->mmio64.size);
	put_integer(b, "PIOB", request->io.base);
	put_integer(b, "PIOS", request->io.size);
	put_integer(b, "ECMB", request->ecam_base);
	put_integer(b, "ECMS", ECAM_SIZE);
	finish_listed_table(b);
}

static uint64_t put_xsdt(struct builder *b)
{
	const struct header h = header("XSDT", 1);

	align_table(b);
	append(b, &h, sizeof(h));
	append(b, b->tables, b->n_tables * sizeof(b->tables[0]));
	return finish_table(b);
}

/* No RSDT: revision 2 means that the XSDT is used. */
static void put_rsdp(uint8_t *out, uint64_t xsdt)
{
	struct rsdp rsdp = {
		.oem_id = { 'A', 'D', 'I', 'T', ' ', ' ' },
		.revision = 2,
		.length = sizeof(rsdp),
		.xsdt = xsdt,
	};

	memcpy(rsdp.signature, "RSD PTR ", 8);
	rsdp.checksum = checksum((const uint8_t *)&rsdp, 20);
	rsdp.extended_checksum = checksum((const uint8_t *)&rsdp, sizeof(rsdp));
	memcpy(out, &rsdp, sizeof(rsdp));
}

/* --- all of them ----------------------------------------------------------------------------- */

static int check_window(const char *name, const struct acpi_window *w, uint64_t limit,
			struct err *err)
{
	if (w->size && (range_wraps(w->base, w->size) || w->base + (w->size - 1) > limit))
		return err_set(err, EINVAL,
			       "ACPI: the %s at 0x%llx with 0x%llx bytes ends above 0x%llx", name,
			       (unsigned long long)w->base, (unsigned long long)w->size,
			       (unsigned long long)limit);
	return 0;
}

static int check_request(const struct acpi_request *request, uint64_t gpa, size_t size,
			 struct err *err)
{
	const struct acpi_window ecam = { request->ecam_base, ECAM_SIZE };
	int rc = 0;

	if (!is_aligned(gpa, TABLE_ALIGN) || gpa >= 4 * GIB || size > 4 * GIB - gpa)
		return err_set(err, EINVAL,
			       "ACPI: tables at 0x%llx: the address must be a multiple of %d and "
			       "all of them below 4 GiB",
			       (unsigned long long)gpa, TABLE_ALIGN);
	rc = check_window("32-bit PCI window", &request->mmio32, UINT32_MAX, err);
	if (!rc)
		rc = check_window("64-bit PCI window", &request->mmio64, UINT64_MAX, err);
	if (!rc)
		rc = check_window("I/O-port window", &request->io, UINT16_MAX, err);
	if (!rc)
		rc = check_window("ECAM", &ecam, UINT32_MAX, err);
	return rc;
}

int acpi_build(const struct acpi_request *request, void *out, uint64_t gpa, size_t size,
	       size_t *used, struct err *err)
{
	struct builder b = { .out = out, .gpa = gpa, .size = size, .at = sizeof(struct rsdp) };
	uint64_t xsdt;
	int rc = check_request(request, gpa, size, err);

	if (rc < 0)
		return rc;
	b.full = size < sizeof(struct rsdp);
	put_fadt(&b, put_dsdt(&b));
	put_madt(&b, request->vcpus);
	put_mcfg(&b, request->ecam_base);
	put_ssdt(&b, request);
	xsdt = put_xsdt(&b);
	if (b.full)
		return err_set(err, ENOSPC,
			       "ACPI: the tables for %u processors do not fit into %zu bytes",
			       request->vcpus, size);
	put_rsdp(out, xsdt);
	*used = b.at;
	return 0;
}
