/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of one VM, as read from JSON: one schema for the file, the API and virtaditd.
 * Parsing checks every value against its limits but touches nothing outside the text (no file is
 * opened). docs/configuration.md documents every key.
 */
#ifndef ADIT_VMM_CONFIG_H
#define ADIT_VMM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define CONFIG_MAX_BYTES   (1u << 20)
#define CONFIG_MAX_VCPUS   255u
#define CONFIG_MAX_ADIS	   31u
#define CONFIG_MAX_WQS	   16u
#define CONFIG_MAX_PASIDS  4096u
#define CONFIG_MAX_SPACES  64u
#define CONFIG_MAX_DEVICES 31u
#define CONFIG_ID_MAX	   63u /* characters of an id */
#define CONFIG_MAX_DISKS   16u
#define CONFIG_MAX_NET	   8u
#define CONFIG_MAX_PORTS   15u /* of the console, beside the first */

enum config_payload {
	PAYLOAD_KERNEL, /* by its contents: PVH ELF, ELF64 or bzImage */
	PAYLOAD_FLAT,	/* raw bytes at an address */
};

enum config_serial {
	SERIAL_TTY,
	SERIAL_FILE,
	SERIAL_PTY,
	SERIAL_SOCKET,
	SERIAL_NULL
};

struct config_wq {
	uint32_t size; /* entries, 1 to 128 over all queues of the ADI */
	bool shared;
	uint32_t threshold; /* shared: entries that limited portals may fill; 0: all */
	uint32_t group;	    /* of a fixed ADI */
};

struct config_adi {
	char *id;
	uint8_t backend;  /* enum dsa_backend */
	char *node;	  /* of a host work queue; NULL: none */
	uint32_t engines; /* 1 to 4 */
	uint32_t n_wqs;	  /* 1 to CONFIG_MAX_WQS */
	struct config_wq wqs[CONFIG_MAX_WQS];
	bool fixed; /* the guest cannot configure queues and groups */
	bool interrupt_handles;
	bool event_log;
	bool pasid_allow;
	uint32_t pasid_width; /* bits, 1 to 20 */
	uint32_t slot;	      /* on the bus, 1 to 31; 0: any. Of each device below, too */
};

/* A window of guest memory that a PASID may reach. */
struct config_space {
	char *id;
	uint64_t offset, size; /* bytes, page aligned, guest-physical */
	bool write;	       /* false: read only */
};

#define CONFIG_ALL_WQS CONFIG_MAX_WQS

struct config_pasid {
	uint32_t guest; /* 1 to 2^20 - 1; 0: descriptors without a PASID, of wq */
	uint32_t wq;	/* CONFIG_ALL_WQS: all that have no binding of their own */
	uint32_t host;	/* 0: any free one */
	char *adi;	/* id of a config_adi */
	char *space;	/* id of a config_space; NULL: all guest memory */
};

enum config_provider {
	PROVIDER_AUTO,
	PROVIDER_IOMMUFD,
	PROVIDER_TYPE1,
	PROVIDER_SOFT
};

/* How a host device is told from others; `path` holds the name in its one spelling. */
enum config_source {
	SOURCE_FUNCTION,   /* a PCI function: "0000:3b:00.0" */
	SOURCE_MDEV,	   /* an mdev: its UUID */
	SOURCE_CDEV,	   /* a VFIO cdev node: "/dev/vfio/devices/vfio3" */
	SOURCE_NEW_MDEV,   /* an mdev that is made at start and removed at the end */
	SOURCE_DESCRIPTOR, /* what `fd` is: its identity is read from it */
};

enum config_via {
	VIA_AUTO,
	VIA_CDEV,
	VIA_GROUP
};

enum config_coherency {
	COHERENCY_AUTO,
	COHERENCY_ENFORCE,
	COHERENCY_ALLOW,
	COHERENCY_DENY,
	COHERENCY_GUEST_PAT
};

#define CONFIG_NOT_KEPT UINT32_MAX

/* A host device that the guest gets as a PCI function. */
struct config_device {
	char *id; /* never NULL */
	enum config_source source;
	char *path;	       /* NULL for SOURCE_NEW_MDEV and SOURCE_DESCRIPTOR */
	uint32_t fd;	       /* 0: none; else a descriptor handed over, `path` its claimed name */
	uint32_t keeper_index; /* in the list that a keeper was started with, or CONFIG_NOT_KEPT */
	enum config_via via;
	enum config_coherency coherency;
	bool managed;		 /* taken from its host driver, and given back at the end */
	bool unsafe_stale_reads; /* only with COHERENCY_DENY */
	bool allow_no_reset;
	bool rom;
	bool behind_iommu; /* always false once it is parsed */
	char *vf_token;	   /* UUID or NULL */
	char *socket;	   /* always NULL once it is parsed: see config_user_device */
	uint32_t share;	   /* likewise */
	uint32_t slot;
	struct {
		char *type, *parent; /* "mtty-2", "mtty" */
		char *uuid;	     /* NULL: a random one */
	} mdev;			     /* SOURCE_NEW_MDEV */
};

/* Token buckets: `size` in `refill_ms`, and `burst` more once. size 0: no limit. */
struct config_limits {
	struct {
		uint64_t size, burst;
		uint32_t refill_ms;
	} bytes;
	struct {
		uint32_t size, burst, refill_ms;
	} ops;
};

struct config_disk {
	char *id;     /* never NULL after parsing */
	char *path;   /* NULL with fd */
	uint32_t fd;  /* 0: none; else the open image, handed over */
	char *serial; /* or NULL */
	bool readonly, direct;
	bool raw;    /* stated: do not look for image formats */
	bool packed; /* offer packed queues */
	uint32_t queues, queue_size;
	uint32_t slot;
	struct config_limits limits;
};

/* Where a console leads: as for the serial port. */
struct config_sink {
	enum config_serial mode;
	char *path;
	char *file, *socket, *link; /* as written; NULL after parsing */
};

struct config_port {
	char *name;
	struct config_sink sink;
};

struct config_console {
	bool present;
	struct config_sink sink;
	struct config_port *ports;
	size_t n_ports;
	uint32_t slot;
};

struct config_net {
	char *id;	/* never NULL after parsing */
	char *tap;	/* name of an interface, or NULL with fd */
	uint32_t fd;	/* 0: none */
	char *mac_text; /* as written; NULL after parsing */
	bool has_mac;
	uint8_t mac[6];
	uint32_t mtu;			 /* 0: none is told */
	uint32_t num_queues, queue_size; /* num_queues: two for each pair */
	bool csum, tso, uso, packed;
	bool vhost; /* frames are moved by the kernel */
	uint32_t slot;
	struct config_limits limits;
};

struct config_vsock {
	bool present;
	uint32_t cid; /* 0: absent, only before parsing is over */
	char *socket;
	uint32_t slot;
};

struct config_balloon {
	bool present, deflate_on_oom, reporting;
	uint64_t size; /* bytes, below the guest's memory */
	uint32_t stats_ms;
	uint32_t slot;
};

struct config_rng {
	bool present;
	char *src; /* a file to read from; NULL: getrandom(2) */
	uint32_t slot;
};

enum config_share {
	SHARE_MESSAGES,
	SHARE_MEMORY
};

/* A device that a server gives over vfio-user: an entry of /devices with a socket. */
struct config_user_device {
	char *id;
	char *socket;
	enum config_share share;
	uint32_t slot;
};

struct config {
	struct {
		enum config_payload type;
		char *kernel;	    /* path, for PAYLOAD_KERNEL and PAYLOAD_FLAT; NULL with an fd */
		uint32_t kernel_fd; /* 0: none; else the open file, handed over at start */
		uint64_t address;   /* PAYLOAD_FLAT: load and entry address, page aligned */
		char *initramfs;    /* path or NULL */
		uint32_t initramfs_fd; /* as kernel_fd; 0 with a path */
		char *cmdline;	       /* never NULL */
	} payload;
	struct {
		uint32_t boot_vcpus;
	} cpus;
	struct {
		uint64_t size;		/* bytes, multiple of 4 KiB, 1 MiB to 16 TiB */
		uint64_t hugepage_size; /* 0: none; 2 MiB; 1 GiB */
		bool prefault;
		bool shared;
		uint64_t hotplug_size;	  /* that may be plugged beside; whole blocks; 0: none */
		uint64_t hotplugged_size; /* of it that is wanted at first */
		uint64_t block_size;	  /* of what is plugged */
	} memory;
	struct {
		enum config_serial mode;
		char *path; /* file: written to; pty: a link to it, may be NULL; socket: listened on
			     */
	} serial;
	struct config_disk *disks;
	size_t n_disks;
	struct config_net *net;
	size_t n_net;
	struct config_rng rng;
	struct config_console console;
	struct config_vsock vsock;
	struct config_balloon balloon;
	bool debug_exit;
	uint32_t shutdown_timeout_ms; /* grace after the power button; default 10000 */
	uint32_t poll_max_ns;	      /* of the machine's loop (util/loop.h) */

	struct config_adi *adis;
	size_t n_adis;
	struct config_space *spaces;
	size_t n_spaces;
	struct config_pasid *pasids;
	size_t n_pasids;

	struct {
		enum config_provider provider;
		char *node;  /* NULL: the provider's own */
		uint32_t fd; /* 0: none; else the open node, handed over at start */
	} iommu;
	struct config_device *devices;
	size_t n_devices;
	struct config_user_device *user_devices;
	size_t n_user_devices;
};

/*
 * Parses and checks. On failure nothing is left in *config and err holds one sentence that starts
 * with the JSON pointer of the value ("/memory/size: ..."), names the limit, and for an unknown
 * key the nearest known one. -EINVAL, -E2BIG (text too long), -ENOMEM.
 */
int config_parse(struct config *config, const char *text, size_t len, struct err *err);
/* Reads the file (at most CONFIG_MAX_BYTES) and parses it; the sentence starts with the path. */
int config_load(struct config *config, const char *path, struct err *err);
void config_free(struct config *config);

#endif
