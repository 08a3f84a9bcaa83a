/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the DSA register file, of descriptors and of completion records, and where this
 * function puts its tables. Offsets are bytes into BAR0.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), chapters 5, 8 and 9; the layout of
 * version 1.0 devices.
 */
#ifndef ADIT_PASSTHROUGH_ADI_DSA_REGS_H
#define ADIT_PASSTHROUGH_ADI_DSA_REGS_H

#include <stdint.h>

#define DSA_VENDOR_ID  0x8086
#define DSA_DEVICE_ID  0x0b25
#define DSA_CLASS_CODE 0x088000

#define DSA_BAR_REGISTERS  0u
#define DSA_BAR_PORTALS	   2u
#define DSA_REGISTERS_SIZE 0x10000u
#define DSA_WQ_PORTALS	   0x4000u /* unlimited and limited, each once more for IMS */
#define DSA_PORTAL_PAGE	   0x1000u

#define DSA_VERSION   0x00
#define DSA_VERSION_1 0x100

#define DSA_GENCAP		   0x10
#define DSA_GENCAP_OVERLAP	   (1ULL << 1)
#define DSA_GENCAP_CACHE_MEMORY	   (1ULL << 2)
#define DSA_GENCAP_CACHE_CACHE	   (1ULL << 3)
#define DSA_GENCAP_CMDCAP	   (1ULL << 4)
#define DSA_GENCAP_MAX_XFER_SHIFT  16
#define DSA_GENCAP_MAX_BATCH_SHIFT 21
#define DSA_GENCAP_CONFIG	   (1ULL << 31)

#define DSA_WQCAP	      0x20
#define DSA_WQCAP_WQS_SHIFT   16
#define DSA_WQCAP_WQCFG_SHIFT 24 /* log2(bytes of a WQCFG) - 5 */
#define DSA_WQCAP_DEDICATED   (1ULL << 49)
#define DSA_WQCAP_PRIORITY    (1ULL << 51)
#define DSA_WQCAP_OCCUPANCY   (1ULL << 52)

#define DSA_GRPCAP		0x30
#define DSA_GRPCAP_RDBUFS_SHIFT 8
#define DSA_ENGCAP		0x38
#define DSA_OPCAP		0x40 /* 256 bits */
#define DSA_OFFSETS		0x60 /* u16 each, times 0x100: GRPCFG, WQCFG, MSIXPERM, IMS */
#define DSA_OFFSET_UNIT		0x100u

#define DSA_GENCFG	    0x80
#define DSA_GENCFG_WRITABLE 0x10ffu /* read buffer limit, user interrupts */
#define DSA_GENCTRL	    0x88
#define DSA_GENCTRL_SOFTERR (1u << 0)
#define DSA_GENCTRL_HALT    (1u << 1)
#define DSA_GENSTS	    0x90

#define DSA_INTCAUSE	   0x98
#define DSA_INTCAUSE_ERROR (1u << 0)
#define DSA_INTCAUSE_CMD   (1u << 1)

#define DSA_CMD		     0xa0
#define DSA_CMD_OPERAND_MASK 0xfffffu
#define DSA_CMD_CODE_SHIFT   20
#define DSA_CMD_CODE_MASK    0x1fu
#define DSA_CMD_INT_REQ	     (1u << 31)
#define DSA_CMDSTS	     0xa8
#define DSA_CMDSTS_ACTIVE    (1u << 31)
#define DSA_CMDCAP	     0xb0

#define DSA_SWERR	      0xc0 /* 32 bytes */
#define DSA_SWERR_VALID	      (1ULL << 0)
#define DSA_SWERR_OVERFLOW    (1ULL << 1)
#define DSA_SWERR_DESC_VALID  (1ULL << 2)
#define DSA_SWERR_WQ_VALID    (1ULL << 3)
#define DSA_SWERR_WRITE	      (1ULL << 5)
#define DSA_SWERR_CODE_SHIFT  8
#define DSA_SWERR_WQ_SHIFT    16
#define DSA_SWERR_OP_SHIFT    32
#define DSA_SWERR_PASID_SHIFT 40
#define DSA_SWERR_FLAGS_SHIFT 32 /* in the second quadword */

/* Tables: the places are ours, the guest finds them through OFFSETS and the MSI-X capability. */
#define DSA_MSIXPERM	    0x300
#define DSA_MSIXPERM_SIZE   8u
#define DSA_MSIXPERM_IGNORE (1u << 2)
#define DSA_MSIXPERM_PASID  (1u << 3)
#define DSA_MSIXPERM_MASK   0xfffff00cu
#define DSA_MSIXPERM_SHIFT  12
#define DSA_GRPCFG	    0x400
#define DSA_GRPCFG_SIZE	    64u
#define DSA_GRPCFG_ENGINES  32u /* within an entry */
#define DSA_GRPCFG_FLAGS    40u
#define DSA_WQCFG	    0x800
#define DSA_WQCFG_SIZE	    32u
#define DSA_MSIX_TABLE	    0x2000
#define DSA_MSIX_PBA	    0x3000

/* WQCFG by its 32-bit words. */
#define DSA_WQCFG_WORDS		 (DSA_WQCFG_SIZE / 4)
#define DSA_WQCFG_ENTRIES	 0 /* size, bits 15:0 */
#define DSA_WQCFG_MODE		 2
#define DSA_WQCFG_DEDICATED	 (1u << 0)
#define DSA_WQCFG_BLOCK_ON_FAULT (1u << 1)
#define DSA_WQCFG_PRIORITY_SHIFT 4
#define DSA_WQCFG_PASID_SHIFT	 8
#define DSA_WQCFG_PASID_ENABLE	 (1u << 28)
#define DSA_WQCFG_LIMITS	 3
#define DSA_WQCFG_BATCH_SHIFT	 5
#define DSA_WQCFG_STATE		 6 /* read-only: occupancy 15:0, state 31:30 */
#define DSA_WQCFG_ENABLED	 (1u << 30)

enum dsa_device_state {
	DSA_STATE_DISABLED,
	DSA_STATE_ENABLED,
	DSA_STATE_DRAINING,
};

enum dsa_reset_type {
	DSA_RESET_SOFTWARE,
	DSA_RESET_FLR,
	DSA_RESET_WARM,
	DSA_RESET_COLD,
};
#define DSA_GENSTS_RESET_SHIFT 2

enum dsa_command {
	DSA_ENABLE_DEVICE = 1,
	DSA_DISABLE_DEVICE,
	DSA_DRAIN_ALL,
	DSA_ABORT_ALL,
	DSA_RESET_DEVICE,
	DSA_ENABLE_WQ,
	DSA_DISABLE_WQ,
	DSA_DRAIN_WQ,
	DSA_ABORT_WQ,
	DSA_RESET_WQ,
	DSA_DRAIN_PASID,
	DSA_ABORT_PASID,
	DSA_COMMANDS
};

/* CMDSTS error codes. */
enum dsa_cmd_error {
	DSA_CMD_OK = 0,
	DSA_CMD_INVALID = 0x01,
	DSA_CMD_WQ_INDEX = 0x02,
	DSA_CMD_HARDWARE = 0x03,
	DSA_CMD_DEVICE_ENABLED = 0x10,
	DSA_CMD_CONFIG = 0x11,
	DSA_CMD_BUS_MASTER = 0x12,
	DSA_CMD_WQ_SIZES = 0x14,
	DSA_CMD_GROUP_WQ = 0x15,	/* a queue in two groups, or one that does not exist */
	DSA_CMD_GROUP_ENGINE = 0x16,	/* an engine in two groups, or one that does not exist */
	DSA_CMD_GROUP_NO_ENGINE = 0x17, /* a group with queues and no engine */
	DSA_CMD_DEVICE_NOT_ENABLED = 0x20,
	DSA_CMD_WQ_ENABLED = 0x21,
	DSA_CMD_WQ_SIZE = 0x22,
	DSA_CMD_WQ_PRIORITY = 0x23,
	DSA_CMD_WQ_MODE = 0x24,
	DSA_CMD_WQ_BLOCK_ON_FAULT = 0x25,
	DSA_CMD_WQ_MAX_BATCH = 0x27,
	DSA_CMD_WQ_MAX_XFER = 0x28,
	DSA_CMD_DISABLE_NOT_ENABLED = 0x31,
	DSA_CMD_WQ_NOT_ENABLED = 0x32,
};

enum dsa_opcode {
	DSA_OP_NOOP = 0x00,
	DSA_OP_MEMMOVE = 0x03,
};

#define DSA_FLAG_FENCE	       0x0001u
#define DSA_FLAG_RECORD_VALID  0x0004u /* completion record address valid */
#define DSA_FLAG_RECORD	       0x0008u /* request completion record */
#define DSA_FLAG_INTERRUPT     0x0010u /* request completion interrupt */
#define DSA_FLAG_CACHE	       0x0100u
#define DSA_FLAG_TRAFFIC_CLASS 0x1e00u /* selectors: three addresses and the record */
#define DSA_FLAG_STRICT_ORDER  0x2000u
#define DSA_FLAGS_MASK	       0xffffffu
#define DSA_OPCODE_SHIFT       24

struct dsa_descriptor {
	uint32_t pasid; /* shared queues only */
	uint32_t flags; /* opcode << 24 | flags */
	uint64_t record;
	uint64_t source;
	uint64_t destination;
	uint32_t size; /* bytes */
	uint16_t interrupt;
	uint8_t reserved[26]; /* by the operations here */
};
_Static_assert(sizeof(struct dsa_descriptor) == 64, "a descriptor is 64 bytes");

struct dsa_record {
	uint8_t status;
	uint8_t result;
	uint16_t fault_info;
	uint32_t bytes;
	uint64_t fault;
	uint32_t invalid_flags;
	uint32_t reserved[3];
};
_Static_assert(sizeof(struct dsa_record) == 32, "a completion record is 32 bytes");
#define DSA_RECORD_ALIGN 32u

/* Completion status; SWERR reports with the same codes. */
enum dsa_status {
	DSA_STATUS_OK = 0x01,
	DSA_STATUS_PAGE_FAULT = 0x03,
	DSA_STATUS_OPCODE = 0x10,
	DSA_STATUS_FLAGS = 0x11,
	DSA_STATUS_RESERVED = 0x12,
	DSA_STATUS_SIZE = 0x13,
	DSA_STATUS_INTERRUPT = 0x19,
	DSA_STATUS_RECORD_FAULT = 0x1a,
	DSA_STATUS_RECORD_ALIGN = 0x1b,
	DSA_STATUS_HARDWARE = 0x20,
};
#define DSA_STATUS_WRITE 0x80u /* the access that faulted was a write */

#endif
