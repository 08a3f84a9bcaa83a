/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every key of the configuration: one row each with type, limits, default, place and the line that
 * documents it. A row added here is checked, reported and asked for in the documentation at once.
 */
#include "vmm/config.h"

#include "keeper/name.h"
#include "passthrough/adi/dsa.h"
#include "util/bits.h"
#include "vmm/config-draft.h"
#include "vmm/config-schema.h"
#include "vmm/layout.h"
#include "vmm/platform.h"

#define FLAT_MIN     (BOOT_CMDLINE + BOOT_CMDLINE_MAX) /* below: what boot itself puts there */
#define PATH_BYTES   4095
#define SOCKET_BYTES 107 /* sun_path without its NUL */
#define PASID_LAST   ((1u << 20) - 1)
#define FD_FIRST     3 /* 0 to 2 are the standard ones */
#define FD_LAST	     ((1u << 20) - 1)

static const struct schema_word serial_modes[] = {
	{ "Tty", SERIAL_TTY },
	{ "File", SERIAL_FILE },
	{ "Pty", SERIAL_PTY },
	{ "Socket", SERIAL_SOCKET },
	{ "Null", SERIAL_NULL },
	{ "Off", .later = true },
	{ NULL },
};
static const struct schema_word port_modes[] = {
	{ "File", SERIAL_FILE },
	{ "Pty", SERIAL_PTY },
	{ "Socket", SERIAL_SOCKET },
	{ "Null", SERIAL_NULL },
	{ NULL },
};
static const struct schema_word hugepage_sizes[] = {
	{ "2M", 2 * MIB },
	{ "1G", 1 * GIB },
	{ NULL },
};
static const struct schema_word adi_types[] = { { "dsa" }, { NULL } };
static const struct schema_word adi_backends[] = {
	{ "soft", DSA_BACKEND_SOFT },
	{ "idxd", DSA_BACKEND_IDXD },
	{ "vfio", .later = true },
	{ NULL },
};
static const struct schema_word wq_modes[] = {
	{ "dedicated" },
	{ "shared", true },
	{ NULL },
};
static const struct schema_word image_types[] = {
	{ "Raw", true },
	{ "Qcow2", .later = true },
	{ "Vhdx", .later = true },
	{ "FixedVhd", .later = true },
	{ NULL },
};
static const struct schema_word rights[] = { { "rw", true }, { "r", false }, { NULL } };
static const struct schema_word guest_pasids[] = { { "none", 0 }, { NULL } };
static const struct schema_word all_wqs[] = { { "all", CONFIG_ALL_WQS }, { NULL } };

static const struct schema_word providers[] = {
	{ "auto", PROVIDER_AUTO },
	{ "iommufd", PROVIDER_IOMMUFD },
	{ "type1", PROVIDER_TYPE1 },
	{ "soft", PROVIDER_SOFT },
	{ NULL },
};
static const struct schema_word vias[] = {
	{ "auto", VIA_AUTO },
	{ "cdev", VIA_CDEV },
	{ "group", VIA_GROUP },
	{ NULL },
};
static const struct schema_word coherencies[] = {
	{ "auto", COHERENCY_AUTO },	      { "enforce", COHERENCY_ENFORCE },
	{ "allow", COHERENCY_ALLOW },	      { "deny", COHERENCY_DENY },
	{ "guest-pat", COHERENCY_GUEST_PAT }, { NULL },
};

#define DRAFT(member)  .field = SCHEMA_FIELD(struct config_draft, member)
#define ADI(member)    .field = SCHEMA_FIELD(struct config_adi, member)
#define WQ(member)     .field = SCHEMA_FIELD(struct config_wq, member)
#define SPACE(member)  .field = SCHEMA_FIELD(struct config_space, member)
#define PASID(member)  .field = SCHEMA_FIELD(struct config_pasid, member)
#define DEVICE(member) .field = SCHEMA_FIELD(struct config_device, member)
#define DISK(member)   .field = SCHEMA_FIELD(struct config_disk, member)

/*
 * The rows of a device's limits, under PATH/rate_limiter_config. Arguments are pasted into literals
 * and field names.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define BUCKET_ROWS(path_, name, size_type, most, struct_, member, size_doc)                    \
	{ .path = path_ "/rate_limiter_config/" name, .type = SCHEMA_OBJECT, .doc = size_doc }, \
		{ .path = path_ "/rate_limiter_config/" name "/size",                           \
		  .type = size_type,                                                            \
		  .max = most,                                                                  \
		  .fallback = "0",                                                              \
		  .field = SCHEMA_FIELD(struct_, member.size),                                  \
		  .doc = "How much in `refill_time`; 0 is no limit." },                         \
		{ .path = path_ "/rate_limiter_config/" name "/one_time_burst",                 \
		  .type = size_type,                                                            \
		  .max = most,                                                                  \
		  .fallback = "0",                                                              \
		  .field = SCHEMA_FIELD(struct_, member.burst),                                 \
		  .doc = "How much more, once." },                                              \
	{                                                                                       \
		.path = path_ "/rate_limiter_config/" name "/refill_time", .type = SCHEMA_INT,  \
		.min = 1, .max = 3600000, .fallback = "1000",                                   \
		.field = SCHEMA_FIELD(struct_, member.refill_ms),                               \
		.doc = "Milliseconds in which an empty bucket is full again."                   \
	}

#define LIMIT_ROWS(path_, struct_)                                                           \
	{ .path = path_ "/rate_limiter_config",                                              \
	  .type = SCHEMA_OBJECT,                                                             \
	  .doc = "What it may do at most." },                                                \
		BUCKET_ROWS(path_, "bandwidth", SCHEMA_SIZE, 1 * TIB, struct_, limits.bytes, \
			    "Bytes."),                                                       \
		BUCKET_ROWS(path_, "ops", SCHEMA_INT, 1000000000, struct_, limits.ops,       \
			    "Operations.")
/* NOLINTEND(bugprone-macro-parentheses) */

/* A console's sink: where PATH leads, in the member `sink` of struct_ at `at`. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define SINK_ROWS(path_, words_, fallback_, struct_, at)                                              \
	{ .path = path_ "/mode",                                                                      \
	  .type = SCHEMA_WORD,                                                                        \
	  .words = words_,                                                                            \
	  .any_case = true,                                                                           \
	  .fallback = fallback_,                                                                      \
	  .field = SCHEMA_FIELD(struct_, at.mode),                                                    \
	  .doc = "Where it leads; upper and lower case are the same here." },                         \
		{ .path = path_ "/file",                                                              \
		  .type = SCHEMA_TEXT,                                                                \
		  .min = 1,                                                                           \
		  .max = PATH_BYTES,                                                                  \
		  .field = SCHEMA_FIELD(struct_, at.file),                                            \
		  .doc = "File that output is written to; required by mode `File`, only there." },    \
		{ .path = path_ "/socket",                                                            \
		  .type = SCHEMA_TEXT,                                                                \
		  .min = 1,                                                                           \
		  .max = SOCKET_BYTES,                                                                \
		  .field = SCHEMA_FIELD(struct_, at.socket),                                          \
		  .doc = "UNIX socket that is listened on; required by mode `Socket`, only there." }, \
	{                                                                                             \
		.path = path_ "/link", .type = SCHEMA_TEXT, .min = 1, .max = PATH_BYTES,              \
		.field = SCHEMA_FIELD(struct_, at.link),                                              \
		.doc = "Symbolic link to the terminal that mode `Pty` makes; only there."             \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

static const struct schema_key keys[] = {
	{ .path = "/payload",
	  .type = SCHEMA_OBJECT,
	  .required = true,
	  .doc = "What the guest starts: `kernel` or `flat`, one of the two." },
	{ .path = "/payload/kernel",
	  .type = SCHEMA_TEXT,
	  .min = 1,
	  .max = PATH_BYTES,
	  DRAFT(config.payload.kernel),
	  .doc = "Path of a PVH ELF, ELF64 or bzImage kernel." },
	{ .path = "/payload/initramfs",
	  .type = SCHEMA_TEXT,
	  .min = 1,
	  .max = PATH_BYTES,
	  DRAFT(config.payload.initramfs),
	  .doc = "Path of an initial file system; only with `kernel`." },
	{ .path = "/payload/cmdline",
	  .type = SCHEMA_TEXT,
	  .max = BOOT_CMDLINE_MAX - 1,
	  .fallback = "\"\"",
	  DRAFT(config.payload.cmdline),
	  .doc = "Command line for the payload." },
	{ .path = "/payload/flat",
	  .type = SCHEMA_TEXT,
	  .min = 1,
	  .max = PATH_BYTES,
	  DRAFT(flat),
	  .doc = "Path of a flat 64-bit binary, entered at its first byte." },
	{ .path = "/payload/address",
	  .type = SCHEMA_SIZE,
	  .min = FLAT_MIN,
	  .max = LOW_RAM_END - 4 * KIB,
	  .align = 4 * KIB,
	  DRAFT(config.payload.address),
	  .doc = "Where `flat` is loaded and entered; only with `flat`, there `\"2M\"` if absent." },
	{ .path = "/cpus", .type = SCHEMA_OBJECT, .doc = "Virtual CPUs." },
	{ .path = "/cpus/boot_vcpus",
	  .type = SCHEMA_INT,
	  .min = 1,
	  .max = CONFIG_MAX_VCPUS,
	  .fallback = "1",
	  DRAFT(config.cpus.boot_vcpus),
	  .doc = "How many the guest has." },
	{ .path = "/memory", .type = SCHEMA_OBJECT, .doc = "Guest memory." },
	{ .path = "/memory/size",
	  .type = SCHEMA_SIZE,
	  .min = LAYOUT_RAM_SIZE_MIN,
	  .max = LAYOUT_RAM_SIZE_MAX,
	  .align = 4 * KIB,
	  .fallback = "\"128M\"",
	  DRAFT(config.memory.size),
	  .doc = "How much; with huge pages a multiple of their size." },
	{ .path = "/memory/hugepages",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  DRAFT(hugepages),
	  .doc = "Take it from the host's reserved huge pages." },
	{ .path = "/memory/hugepage_size",
	  .type = SCHEMA_SIZE,
	  .words = hugepage_sizes,
	  DRAFT(hugepage_size),
	  .doc = "Which huge pages; only with `hugepages`, there `\"2M\"` if absent." },
	{ .path = "/memory/prefault",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  DRAFT(config.memory.prefault),
	  .doc = "Take all of it from the host before the guest starts." },
	{ .path = "/memory/shared",
	  .type = SCHEMA_BOOL,
	  .fallback = "true",
	  DRAFT(config.memory.shared),
	  .doc = "Map it shared, so that other processes can be given it." },
	{ .path = "/serial", .type = SCHEMA_OBJECT, .doc = "The serial port (16550 at 0x3f8)." },
	{ .path = "/serial/mode",
	  .type = SCHEMA_WORD,
	  .words = serial_modes,
	  .any_case = true,
	  .fallback = "\"Tty\"",
	  DRAFT(config.serial.mode),
	  .doc = "Where it leads; upper and lower case are the same here." },
	{ .path = "/serial/file",
	  .type = SCHEMA_TEXT,
	  .min = 1,
	  .max = PATH_BYTES,
	  DRAFT(serial_file),
	  .doc = "File that output is written to; required by mode `File`, only there." },
	{ .path = "/serial/socket",
	  .type = SCHEMA_TEXT,
	  .min = 1,
	  .max = SOCKET_BYTES,
	  DRAFT(serial_socket),
	  .doc = "UNIX socket that is listened on; required by mode `Socket`, only there." },
	{ .path = "/serial/link",
	  .type = SCHEMA_TEXT,
	  .min = 1,
	  .max = PATH_BYTES,
	  DRAFT(serial_link),
	  .doc = "Symbolic link to the terminal that mode `Pty` makes; only there." },
	{ .path = "/disks",
	  .type = SCHEMA_LIST,
	  .max = CONFIG_MAX_DISKS,
	  .field = SCHEMA_POINTER(struct config_draft, config.disks),
	  .list = { .count = SCHEMA_FIELD(struct config_draft, config.n_disks),
		    .item = sizeof(struct config_disk) },
	  .doc = "Disks: a virtio-blk function each." },
	{ .path = "/disks/*/id",
	  .type = SCHEMA_NAME,
	  .min = 1,
	  .max = CONFIG_ID_MAX,
	  DISK(id),
	  .doc = "Its name, once among all devices; `disk` and its index if absent." },
	{ .path = "/disks/*/path",
	  .type = SCHEMA_TEXT,
	  .required = true,
	  .min = 1,
	  .max = PATH_BYTES,
	  DISK(path),
	  .doc = "A raw image file or a block device." },
	{ .path = "/disks/*/readonly",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  DISK(readonly),
	  .doc = "The guest may not write; several VMs may share it then." },
	{ .path = "/disks/*/direct",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  DISK(direct),
	  .doc = "Go past the host's page cache (O_DIRECT)." },
	{ .path = "/disks/*/image_type",
	  .type = SCHEMA_WORD,
	  .words = image_types,
	  .any_case = true,
	  DISK(raw),
	  .doc = "`Raw`: the bytes are the guest's own; if absent, image formats are refused." },
	{ .path = "/disks/*/serial",
	  .type = SCHEMA_NAME,
	  .min = 1,
	  .max = 20,
	  DISK(serial),
	  .doc = "Serial number that the guest sees; the `id` if absent." },
	{ .path = "/disks/*/num_queues",
	  .type = SCHEMA_INT,
	  .min = 1,
	  .max = 32,
	  .fallback = "1",
	  DISK(queues),
	  .doc = "Request queues." },
	{ .path = "/disks/*/queue_size",
	  .type = SCHEMA_INT,
	  .min = 4,
	  .max = 1024,
	  .fallback = "256",
	  DISK(queue_size),
	  .doc = "Entries of each, a power of two." },
	{ .path = "/disks/*/packed",
	  .type = SCHEMA_BOOL,
	  .fallback = "true",
	  DISK(packed),
	  .doc = "Offer the packed queue layout beside the split one." },
	LIMIT_ROWS("/disks/*", struct config_disk),
	{ .path = "/rng",
	  .type = SCHEMA_OBJECT,
	  DRAFT(config.rng.present),
	  .doc = "A source of entropy (virtio-rng); there where the key is." },
	{ .path = "/rng/src",
	  .type = SCHEMA_TEXT,
	  .min = 1,
	  .max = PATH_BYTES,
	  DRAFT(config.rng.src),
	  .doc = "A file that it is read from; getrandom(2) if absent." },
	{ .path = "/console",
	  .type = SCHEMA_OBJECT,
	  DRAFT(config.console.present),
	  .doc = "A virtio console, `hvc0` to Linux; there where the key is." },
	SINK_ROWS("/console", serial_modes, "\"Null\"", struct config_draft, config.console.sink),
	{ .path = "/console/ports",
	  .type = SCHEMA_LIST,
	  .max = CONFIG_MAX_PORTS,
	  .field = SCHEMA_POINTER(struct config_draft, config.console.ports),
	  .list = { .count = SCHEMA_FIELD(struct config_draft, config.console.n_ports),
		    .item = sizeof(struct config_port) },
	  .doc = "More ports: named channels, `/dev/virtio-ports/NAME` to Linux." },
	{ .path = "/console/ports/*/name",
	  .type = SCHEMA_NAME,
	  .required = true,
	  .min = 1,
	  .max = CONFIG_ID_MAX,
	  .field = SCHEMA_FIELD(struct config_port, name),
	  .doc = "Its name, once among the ports." },
	SINK_ROWS("/console/ports/*", port_modes, "\"Null\"", struct config_port, sink),
	{ .path = "/debug_exit",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  DRAFT(config.debug_exit),
	  .doc = "A port (0xf4, 4 bytes) that ends the VM: 0 written is success." },
	{ .path = "/shutdown_timeout",
	  .type = SCHEMA_SECONDS,
	  .max = 3600,
	  .fallback = "10",
	  DRAFT(config.shutdown_timeout_ms),
	  .doc = "Grace between the power button and a forced stop; fractions are allowed." },
	{ .path = "/adis",
	  .type = SCHEMA_LIST,
	  .max = CONFIG_MAX_ADIS,
	  .field = SCHEMA_POINTER(struct config_draft, config.adis),
	  .list = { .count = SCHEMA_FIELD(struct config_draft, config.n_adis),
		    .item = sizeof(struct config_adi) },
	  .doc = "Assignable device interfaces: a PCI function of the guest each." },
	{ .path = "/adis/*/id",
	  .type = SCHEMA_NAME,
	  .required = true,
	  .min = 1,
	  .max = CONFIG_ID_MAX,
	  ADI(id),
	  .doc = "Its name, once among all ADIs." },
	{ .path = "/adis/*/type",
	  .type = SCHEMA_WORD,
	  .required = true,
	  .words = adi_types,
	  .doc = "Which device the guest sees: Intel DSA (8086:0b25)." },
	{ .path = "/adis/*/backend",
	  .type = SCHEMA_WORD,
	  .words = adi_backends,
	  .fallback = "\"soft\"",
	  ADI(backend),
	  .doc = "What does the work: `soft` is a software engine in adit, `idxd` a host work "
		 "queue." },
	{ .path = "/adis/*/node",
	  .type = SCHEMA_TEXT,
	  .min = 1,
	  .max = SOCKET_BYTES,
	  ADI(node),
	  .doc = "The host work queue, `/dev/dsa/wqN.M` of type user; required by `idxd`, only "
		 "there." },
	{ .path = "/adis/*/engines",
	  .type = SCHEMA_INT,
	  .min = 1,
	  .max = DSA_MAX_ENGINES,
	  .fallback = "1",
	  ADI(engines),
	  .doc = "How many engines work on its queues." },
	{ .path = "/adis/*/fixed",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  ADI(fixed),
	  .doc = "Queues and groups are as given here, and the guest cannot change them." },
	{ .path = "/adis/*/interrupt_handles",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  ADI(interrupt_handles),
	  .doc = "The guest asks for an interrupt's handle instead of using its index." },
	{ .path = "/adis/*/event_log",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  ADI(event_log),
	  .doc = "Errors that no completion record can tell may go to a log in guest memory." },
	{ .path = "/adis/*/wqs",
	  .type = SCHEMA_LIST,
	  .required = true,
	  .min = 1,
	  .max = CONFIG_MAX_WQS,
	  ADI(wqs),
	  .list = { .count = SCHEMA_FIELD(struct config_adi, n_wqs),
		    .item = sizeof(struct config_wq),
		    .inside = true },
	  .doc = "Its work queues; their sizes sum to at most 128." },
	{ .path = "/adis/*/wqs/*/mode",
	  .type = SCHEMA_WORD,
	  .words = wq_modes,
	  .fallback = "\"dedicated\"",
	  WQ(shared),
	  .doc = "`dedicated`: one owner, fed by MOVDIR64B. `shared`: fed by ENQCMDS, and each "
		 "descriptor names its PASID." },
	{ .path = "/adis/*/wqs/*/size",
	  .type = SCHEMA_INT,
	  .min = 1,
	  .max = DSA_MAX_WQ_SIZE,
	  .fallback = "16",
	  WQ(size),
	  .doc = "Entries of the queue." },
	{ .path = "/adis/*/wqs/*/threshold",
	  .type = SCHEMA_INT,
	  .min = 1,
	  .max = DSA_MAX_WQ_SIZE,
	  WQ(threshold),
	  .doc = "Entries that limited portals may fill, only of a `shared` queue; all if absent." },
	{ .path = "/adis/*/wqs/*/group",
	  .type = SCHEMA_INT,
	  .max = DSA_MAX_ENGINES - 1,
	  .fallback = "0",
	  WQ(group),
	  .doc = "Group of the queue, only of a `fixed` ADI; engines are dealt out to the groups "
		 "in turn." },
	{ .path = "/adis/*/pasid",
	  .type = SCHEMA_OBJECT,
	  .doc = "Whether and how the ADI may use PASIDs." },
	{ .path = "/adis/*/pasid/allow",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  ADI(pasid_allow),
	  .doc = "The first key: descriptors may carry a PASID." },
	{ .path = "/adis/*/pasid/width",
	  .type = SCHEMA_INT,
	  .min = 1,
	  .max = 20,
	  .fallback = "20",
	  ADI(pasid_width),
	  .doc = "Bits of a guest PASID." },
	{ .path = "/spaces",
	  .type = SCHEMA_LIST,
	  .max = CONFIG_MAX_SPACES,
	  .field = SCHEMA_POINTER(struct config_draft, config.spaces),
	  .list = { .count = SCHEMA_FIELD(struct config_draft, config.n_spaces),
		    .item = sizeof(struct config_space) },
	  .doc = "Windows of guest memory that a PASID can be confined to." },
	{ .path = "/spaces/*/id",
	  .type = SCHEMA_NAME,
	  .required = true,
	  .min = 1,
	  .max = CONFIG_ID_MAX,
	  SPACE(id),
	  .doc = "Its name, once among all spaces; not `guest`." },
	{ .path = "/spaces/*/offset",
	  .type = SCHEMA_SIZE,
	  .required = true,
	  .max = 2 * LAYOUT_RAM_SIZE_MAX,
	  .align = 4 * KIB,
	  SPACE(offset),
	  .doc = "Guest-physical address where the window starts." },
	{ .path = "/spaces/*/size",
	  .type = SCHEMA_SIZE,
	  .required = true,
	  .min = 4 * KIB,
	  .max = LAYOUT_RAM_SIZE_MAX,
	  .align = 4 * KIB,
	  SPACE(size),
	  .doc = "Its size; the window ends inside guest memory." },
	{ .path = "/spaces/*/rights",
	  .type = SCHEMA_WORD,
	  .words = rights,
	  .fallback = "\"rw\"",
	  SPACE(write),
	  .doc = "Read and write, or read only." },
	{ .path = "/pasids",
	  .type = SCHEMA_LIST,
	  .max = CONFIG_MAX_PASIDS,
	  .field = SCHEMA_POINTER(struct config_draft, config.pasids),
	  .list = { .count = SCHEMA_FIELD(struct config_draft, config.n_pasids),
		    .item = sizeof(struct config_pasid) },
	  .doc = "The second key: which guest PASID stands for what." },
	{ .path = "/pasids/*/guest",
	  .type = SCHEMA_INT,
	  .required = true,
	  .min = 1,
	  .max = PASID_LAST,
	  .words = guest_pasids,
	  PASID(guest),
	  .doc = "Number that the guest uses, within the ADI's width; `none`: descriptors without "
		 "one." },
	{ .path = "/pasids/*/wq",
	  .type = SCHEMA_INT,
	  .max = CONFIG_MAX_WQS - 1,
	  .words = all_wqs,
	  .fallback = "\"all\"",
	  PASID(wq),
	  .doc = "Which queue's descriptors without a PASID; `all`: those of queues without a "
		 "binding of their own, and the event log." },
	{ .path = "/pasids/*/host",
	  .type = SCHEMA_INT,
	  .min = 1,
	  .max = PASID_LAST,
	  PASID(host),
	  .doc = "Host PASID that it becomes, once among all; any free one if absent." },
	{ .path = "/pasids/*/adi",
	  .type = SCHEMA_NAME,
	  .required = true,
	  .min = 1,
	  .max = CONFIG_ID_MAX,
	  PASID(adi),
	  .doc = "`id` of the ADI that it is bound on." },
	{ .path = "/pasids/*/space",
	  .type = SCHEMA_NAME,
	  .min = 1,
	  .max = CONFIG_ID_MAX,
	  .fallback = "\"" CONFIG_ALL_MEMORY "\"",
	  PASID(space),
	  .doc = "What it reaches: all guest memory (`guest`) or the `id` of a space." },
	{ .path = "/iommu",
	  .type = SCHEMA_OBJECT,
	  .doc = "How the I/O address spaces of assigned devices are made." },
	{ .path = "/iommu/provider",
	  .type = SCHEMA_WORD,
	  .words = providers,
	  .fallback = "\"auto\"",
	  DRAFT(config.iommu.provider),
	  .doc = "Which interface makes them; `auto` takes the first that answers." },
	{ .path = "/iommu/node",
	  .type = SCHEMA_TEXT,
	  .min = 1,
	  .max = PATH_BYTES,
	  DRAFT(config.iommu.node),
	  .doc = "The node to open; the provider's own if absent (`/dev/ioasid` where it is, else "
		 "`/dev/iommu`)." },
	{ .path = "/iommu/fd",
	  .type = SCHEMA_INT,
	  .min = FD_FIRST,
	  .max = FD_LAST,
	  DRAFT(config.iommu.fd),
	  .doc = "The open node as a descriptor that adit inherits; not with `node`." },
	{ .path = "/devices",
	  .type = SCHEMA_LIST,
	  .max = CONFIG_MAX_DEVICES,
	  .field = SCHEMA_POINTER(struct config_draft, config.devices),
	  .list = { .count = SCHEMA_FIELD(struct config_draft, config.n_devices),
		    .item = sizeof(struct config_device) },
	  .doc = "Host devices that the guest gets: a PCI function each." },
	{ .path = "/devices/*/id",
	  .type = SCHEMA_NAME,
	  .min = 1,
	  .max = CONFIG_ID_MAX,
	  DEVICE(id),
	  .doc = "Its name, once among devices and ADIs; `deviceN` if absent, N its index." },
	{ .path = "/devices/*/path",
	  .type = SCHEMA_TEXT,
	  .min = 1,
	  .max = PATH_BYTES,
	  DEVICE(path),
	  .doc = "Which device: a BDF, an mdev's UUID, a path under `/sys` that ends in one of "
		 "them, or `/dev/vfio/devices/vfioN`." },
	{ .path = "/devices/*/fd",
	  .type = SCHEMA_INT,
	  .min = FD_FIRST,
	  .max = FD_LAST,
	  DEVICE(fd),
	  .doc = "Its open VFIO cdev, or its group's node, as a descriptor that adit inherits; what "
		 "it is gets read from it, and must be `path` where that is given." },
	{ .path = "/devices/*/via",
	  .type = SCHEMA_WORD,
	  .words = vias,
	  .fallback = "\"auto\"",
	  DEVICE(via),
	  .doc = "By its own VFIO cdev or by its IOMMU group; `auto`: the cdev where there is one." },
	{ .path = "/devices/*/managed",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  DEVICE(managed),
	  .doc = "Take the function from its host driver at start and give it back at the end." },
	{ .path = "/devices/*/coherency",
	  .type = SCHEMA_WORD,
	  .words = coherencies,
	  .fallback = "\"auto\"",
	  DEVICE(coherency),
	  .doc = "What the device may do past the CPU caches, and whether KVM is told of it." },
	{ .path = "/devices/*/unsafe_stale_reads",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  DEVICE(unsafe_stale_reads),
	  .doc = "Take `deny` also where the IOMMU does not enforce snooping; only with `deny`." },
	{ .path = "/devices/*/allow_no_reset",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  DEVICE(allow_no_reset),
	  .doc = "Take a device that cannot be reset: the next user finds what the last one left." },
	{ .path = "/devices/*/rom",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  DEVICE(rom),
	  .doc = "Show the guest its expansion ROM." },
	{ .path = "/devices/*/iommu",
	  .type = SCHEMA_BOOL,
	  .fallback = "false",
	  DEVICE(behind_iommu),
	  .doc = "Whether it sits behind a virtual IOMMU; adit has none, so only false." },
	{ .path = "/devices/*/vf_token",
	  .type = SCHEMA_TEXT,
	  .min = HOST_UUID_CHARS,
	  .max = HOST_UUID_CHARS,
	  DEVICE(vf_token),
	  .doc = "The UUID that a VF needs where VFIO holds its PF." },
	{ .path = "/devices/*/mdev",
	  .type = SCHEMA_OBJECT,
	  .doc = "Make an mdev at start and remove it at the end; instead of `path` and `fd`." },
	{ .path = "/devices/*/mdev/type",
	  .type = SCHEMA_NAME,
	  .min = 1,
	  .max = CONFIG_ID_MAX,
	  DEVICE(mdev.type),
	  .doc = "Its type, as under `mdev_supported_types`; required there." },
	{ .path = "/devices/*/mdev/parent",
	  .type = SCHEMA_TEXT,
	  .min = 1,
	  .max = PATH_BYTES,
	  DEVICE(mdev.parent),
	  .doc = "Its parent: a name under `/sys/class/mdev_bus`, or a path that ends in one; "
		 "required there." },
	{ .path = "/devices/*/mdev/uuid",
	  .type = SCHEMA_TEXT,
	  .min = HOST_UUID_CHARS,
	  .max = HOST_UUID_CHARS,
	  DEVICE(mdev.uuid),
	  .doc = "Its UUID; a random one if absent." },
};

static const struct schema schema = { .keys = keys, .n = ARRAY_SIZE(keys) };

const struct schema *config_schema(void)
{
	return &schema;
}
