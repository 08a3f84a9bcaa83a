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

#define CONFIG_MAX_BYTES  (1u << 20)
#define CONFIG_MAX_VCPUS  255u
#define CONFIG_MAX_ADIS	  31u
#define CONFIG_MAX_WQS	  16u
#define CONFIG_MAX_PASIDS 4096u
#define CONFIG_MAX_SPACES 64u
#define CONFIG_ID_MAX	  63u /* characters of an id */

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
};

struct config_adi {
	char *id;
	uint32_t engines; /* 1 to 4 */
	uint32_t n_wqs;	  /* 1 to CONFIG_MAX_WQS */
	struct config_wq wqs[CONFIG_MAX_WQS];
	bool pasid_allow;
	uint32_t pasid_width; /* bits, 1 to 20 */
};

/* A window of guest memory that a PASID may reach. */
struct config_space {
	char *id;
	uint64_t offset, size; /* bytes, page aligned, guest-physical */
	bool write;	       /* false: read only */
};

struct config_pasid {
	uint32_t guest; /* 1 to 2^20 - 1 */
	uint32_t host;	/* 0: any free one */
	char *adi;	/* id of a config_adi */
	char *space;	/* id of a config_space; NULL: all guest memory */
};

struct config {
	struct {
		enum config_payload type;
		char *kernel;	  /* path, for PAYLOAD_KERNEL and PAYLOAD_FLAT */
		uint64_t address; /* PAYLOAD_FLAT: load and entry address, page aligned */
		char *initramfs;  /* path or NULL */
		char *cmdline;	  /* never NULL */
	} payload;
	struct {
		uint32_t boot_vcpus;
	} cpus;
	struct {
		uint64_t size;		/* bytes, multiple of 4 KiB, 1 MiB to 16 TiB */
		uint64_t hugepage_size; /* 0: none; 2 MiB; 1 GiB */
		bool prefault;
		bool shared;
	} memory;
	struct {
		enum config_serial mode;
		char *path; /* file: written to; pty: a link to it, may be NULL; socket: listened on
			     */
	} serial;
	bool debug_exit;
	uint32_t shutdown_timeout_ms; /* grace after the power button; default 10000 */

	struct config_adi *adis;
	size_t n_adis;
	struct config_space *spaces;
	size_t n_spaces;
	struct config_pasid *pasids;
	size_t n_pasids;
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
