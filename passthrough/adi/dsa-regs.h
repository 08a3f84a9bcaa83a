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
#define DSA_GENCAP_BLOCK_ON_FAULT  (1ULL << 0)
#define DSA_GENCAP_OVERLAP	   (1ULL << 1)
#define DSA_GENCAP_CACHE_MEMORY	   (1ULL << 2)
#define DSA_GENCAP_CACHE_CACHE	   (1ULL << 3)
#define DSA_GENCAP_CMDCAP	   (1ULL << 4)
#define DSA_GENCAP_EVENT_LOG	   (1ULL << 13) /* 14:13; 1: entries of 64 bytes */
#define DSA_GENCAP_MAX_XFER_SHIFT  16
#define DSA_GENCAP_MAX_BATCH_SHIFT 21
#define DSA_GENCAP_CONFIG	   (1ULL << 31)

#define DSA_WQCAP	      0x20
#define DSA_WQCAP_WQS_SHIFT   16
#define DSA_WQCAP_WQCFG_SHIFT 24 /* log2(bytes of a WQCFG) - 5 */
#define DSA_WQCAP_SHARED      (1ULL << 48)
#define DSA_WQCAP_DEDICATED   (1ULL << 49)
#define DSA_WQCAP_PRIORITY    (1ULL << 51)
#define DSA_WQCAP_OCCUPANCY   (1ULL << 52)
#define DSA_WQCAP_OPERATIONS  (1ULL << 54) /* a WQCFG says which its queue takes */

#define DSA_GRPCAP		0x30
#define DSA_GRPCAP_RDBUFS_SHIFT 8
#define DSA_ENGCAP		0x38
#define DSA_OPCAP		0x40 /* 256 bits */
#define DSA_OFFSETS		0x60 /* u16 each, times 0x100: GRPCFG, WQCFG, MSIXPERM, IMS */
#define DSA_OFFSET_UNIT		0x100u

#define DSA_GENCFG	      0x80
#define DSA_GENCFG_WRITABLE   0x10ffu /* read buffer limit, user interrupts */
#define DSA_GENCFG_EVENT_LOG  (1u << 13)
#define DSA_GENCTRL	      0x88
#define DSA_GENCTRL_SOFTERR   (1u << 0)
#define DSA_GENCTRL_HALT      (1u << 1)
#define DSA_GENCTRL_EVENT_LOG (1u << 2)
#define DSA_GENSTS	      0x90

#define DSA_INTCAUSE	       0x98
#define DSA_INTCAUSE_ERROR     (1u << 0)
#define DSA_INTCAUSE_CMD       (1u << 1)
#define DSA_INTCAUSE_HALT      (1u << 4)
#define DSA_INTCAUSE_EVENT_LOG (1u << 5)

#define DSA_CMD			0xa0
#define DSA_CMD_OPERAND_MASK	0xfffffu
#define DSA_CMD_CODE_SHIFT	20
#define DSA_CMD_CODE_MASK	0x1fu
#define DSA_CMD_INT_REQ		(1u << 31)
#define DSA_CMDSTS		0xa8
#define DSA_CMDSTS_ACTIVE	(1u << 31)
#define DSA_CMDSTS_RESULT_SHIFT 8
#define DSA_CMDCAP		0xb0

#define DSA_SWERR	      0xc0 /* 32 bytes */
#define DSA_SWERR_VALID	      (1ULL << 0)
#define DSA_SWERR_OVERFLOW    (1ULL << 1)
#define DSA_SWERR_DESC_VALID  (1ULL << 2)
#define DSA_SWERR_WQ_VALID    (1ULL << 3)
#define DSA_SWERR_BATCH	      (1ULL << 4)
#define DSA_SWERR_WRITE	      (1ULL << 5)
#define DSA_SWERR_CODE_SHIFT  8
#define DSA_SWERR_WQ_SHIFT    16
#define DSA_SWERR_OP_SHIFT    32
#define DSA_SWERR_PASID_SHIFT 40
#define DSA_SWERR_FLAGS_SHIFT 32 /* in the second quadword */

#define DSA_EVLCFG		 0xe0 /* 16 bytes */
#define DSA_EVLCFG_PASID	 (1ULL << 0)
#define DSA_EVLCFG_BASE		 0xfffffffffffff000ULL
#define DSA_EVLCFG_SIZE		 0xffffULL /* entries; in the second quadword, as the PASID */
#define DSA_EVLCFG_PASID_SHIFT	 16
#define DSA_EVLSTATUS		 0xf0
#define DSA_EVLSTATUS_HEAD	 0xffffULL
#define DSA_EVLSTATUS_TAIL_SHIFT 32
#define DSA_EVLSTATUS_PENDING	 (1ULL << 62)
#define DSA_EVENT_LOG_MIN	 64u /* entries */

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
#define DSA_GROUP_CLASSES   (1u | 1u << 3) /* traffic classes, as of version 1 */
#define DSA_GROUP_RDBUFS    20		   /* shift: how many read buffers it may use */
#define DSA_WQCFG	    0x800
#define DSA_WQCFG_SIZE	    32u
#define DSA_MSIX_TABLE	    0x2000
#define DSA_MSIX_PBA	    0x3000

/* WQCFG by its 32-bit words. */
#define DSA_WQCFG_WORDS		 (DSA_WQCFG_SIZE / 4)
#define DSA_WQCFG_ENTRIES	 0 /* size, bits 15:0 */
#define DSA_WQCFG_THRESHOLD	 1 /* bits 15:0: how much of it limited portals may fill */
#define DSA_WQCFG_MODE		 2
#define DSA_WQCFG_DEDICATED	 (1u << 0)
#define DSA_WQCFG_BLOCK_ON_FAULT (1u << 1)
#define DSA_WQCFG_PRIORITY_SHIFT 4
#define DSA_WQCFG_PASID_SHIFT	 8
#define DSA_WQCFG_PASID_ENABLE	 (1u << 28)
#define DSA_WQCFG_LIMITS	 3
#define DSA_WQCFG_BATCH_SHIFT	 5
#define DSA_WQCFG_OPERATIONS	 8 /* of devices whose WQCAP says so; as OPCAP */
#define DSA_WQCFG_STATE		 6 /* read-only: occupancy 15:0, mode support 29, state 31:30 */
#define DSA_WQCFG_MODE_SUPPORT	 (1u << 29)
#define DSA_WQCFG_ENABLED	 (1u << 30)

enum dsa_device_state {
	DSA_STATE_DISABLED,
	DSA_STATE_ENABLED,
	DSA_STATE_DRAINING,
	DSA_STATE_HALTED,
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
	DSA_REQUEST_INT_HANDLE,
	DSA_RELEASE_INT_HANDLE,
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
	DSA_CMD_PASID = 0x13, /* of the event log */
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
	DSA_CMD_INT_INDEX = 0x41,
};

/* --- descriptors ----------------------------------------------------------------------------- */

enum dsa_opcode {
	DSA_OP_NOOP = 0x00,
	DSA_OP_BATCH = 0x01,
	DSA_OP_DRAIN = 0x02,
	DSA_OP_MEMMOVE = 0x03,
	DSA_OP_FILL = 0x04,
	DSA_OP_COMPARE = 0x05,
	DSA_OP_COMPARE_PATTERN = 0x06,
	DSA_OP_DELTA_CREATE = 0x07,
	DSA_OP_DELTA_APPLY = 0x08,
	DSA_OP_DUALCAST = 0x09,
	DSA_OP_CRC = 0x10,
	DSA_OP_COPY_CRC = 0x11,
	DSA_OP_DIF_CHECK = 0x12,
	DSA_OP_DIF_INSERT = 0x13,
	DSA_OP_DIF_STRIP = 0x14,
	DSA_OP_DIF_UPDATE = 0x15,
	DSA_OP_CACHE_FLUSH = 0x20,
	DSA_OPS
};

#define DSA_FLAG_FENCE		0x0001u
#define DSA_FLAG_BLOCK_ON_FAULT 0x0002u
#define DSA_FLAG_RECORD_VALID	0x0004u /* completion record address valid */
#define DSA_FLAG_RECORD		0x0008u /* request completion record */
#define DSA_FLAG_INTERRUPT	0x0010u /* request completion interrupt */
#define DSA_FLAG_RECORD_STEER	0x0020u /* steering tag selectors: hints */
#define DSA_FLAG_CHECK_RESULT	0x0080u
#define DSA_FLAG_CACHE		0x0100u
#define DSA_FLAG_TRAFFIC_CLASS	0x1e00u /* selectors: three addresses and the record */
#define DSA_FLAG_STRICT_ORDER	0x2000u
#define DSA_FLAG_READ_BACK	0x4000u
#define DSA_FLAG_STEER		0x8000u
#define DSA_FLAGS_MASK		0xffffffu
#define DSA_OPCODE_SHIFT	24

/* Flags whose meaning is the operation's own, bits 23:16. */
#define DSA_DRAIN_NO_READ_BACK 0x0c0000u /* no implicit one for traffic class A, B */
#define DSA_DUALCAST_STEER     0x010000u
#define DSA_CRC_READ_SEED      0x010000u /* the seed is in memory */
#define DSA_CRC_BYPASS_INVERT  0x020000u /* neither inversion nor bit order of seed and result */
#define DSA_CRC_BYPASS_REFLECT 0x040000u /* bit 7 of a byte is its most significant */

/* Of DIF operations, in the descriptor's own bytes. */
#define DSA_DIF_BLOCK		 0x03u /* 512, 520, 4096, 4104 bytes */
#define DSA_DIF_INVERT_SEED	 0x04u
#define DSA_DIF_INVERT_RESULT	 0x08u
#define DSA_DIF_SRC_F_ERROR	 0x01u /* all bits set: an error, where detected */
#define DSA_DIF_SRC_F_ALL	 0x02u /* all bits set: unchecked */
#define DSA_DIF_SRC_F_APP	 0x04u /* the application tag's are: unchecked */
#define DSA_DIF_SRC_F_TAGS	 0x08u /* both tags' are: unchecked */
#define DSA_DIF_SRC_APP_COUNTS	 0x10u
#define DSA_DIF_SRC_NO_GUARD	 0x20u
#define DSA_DIF_SRC_NO_REF	 0x40u
#define DSA_DIF_SRC_REF_FIXED	 0x80u
#define DSA_DIF_DST_APP_PASSES	 0x08u
#define DSA_DIF_DST_APP_COUNTS	 0x10u
#define DSA_DIF_DST_GUARD_PASSES 0x20u
#define DSA_DIF_DST_REF_PASSES	 0x40u
#define DSA_DIF_DST_REF_FIXED	 0x80u
#define DSA_DIF_DST_RESERVED	 0x07u

/* What is wrong with a block: the result of a DIF operation. */
#define DSA_DIF_BAD_GUARD 0x01u
#define DSA_DIF_BAD_APP	  0x02u
#define DSA_DIF_BAD_REF	  0x04u
#define DSA_DIF_ALL_F	  0x08u

struct dsa_dif_tags {
	uint32_t ref;
	uint16_t app_mask; /* bits that are left alone */
	uint16_t app;
};

#define DSA_DESCRIPTOR_PASID 0xfffffu /* of its first word; bit 31 is privilege */

struct dsa_descriptor {
	uint32_t pasid; /* shared queues only */
	uint32_t flags; /* opcode << 24 | flags */
	uint64_t record;
	union {
		uint64_t source;
		uint64_t pattern; /* fill */
	};
	union {
		uint64_t destination;
		uint64_t source2;	  /* compare, delta create */
		uint64_t compare_pattern; /* compare pattern */
	};
	uint32_t size; /* bytes; batch: descriptors */
	uint16_t interrupt;
	uint8_t reserved_word[2];
	union {
		uint8_t reserved[24]; /* what an operation does not use of it */
		uint8_t expected;     /* compare: 0 equal, 1 not */
		uint64_t destination2;
		struct {
			uint64_t address;
			uint32_t max_size;
			uint32_t reserved_word;
			uint8_t expected; /* one bit a result */
		} delta;
		uint32_t delta_size; /* delta apply */
		struct {
			uint32_t seed;
			uint32_t reserved_word;
			uint64_t seed_address;
		} crc;
		struct {
			uint8_t source_flags;
			uint8_t destination_flags;
			uint8_t flags;
			uint8_t reserved_bytes[5];
			struct dsa_dif_tags source, destination;
		} dif;
	};
};
_Static_assert(sizeof(struct dsa_descriptor) == 64, "a descriptor is 64 bytes");

#define DSA_BATCH_ALIGN	 64u
#define DSA_DELTA_ENTRY	 10u /* bytes: a 16-bit index of 8-byte words, and the word */
#define DSA_DELTA_MIN	 80u
#define DSA_DELTA_SOURCE (8u << 16)

/* What compare, compare pattern and delta create find. */
#define DSA_RESULT_EQUAL     0u
#define DSA_RESULT_DIFFERENT 1u
#define DSA_RESULT_OVERFLOW  2u /* a delta record that would be larger than was allowed */

struct dsa_record {
	uint8_t status;
	uint8_t result;
	uint16_t fault_info;
	uint32_t bytes; /* batch: descriptors */
	uint64_t fault;
	union {
		uint32_t words[4];
		uint32_t invalid_flags;
		uint32_t delta_size;
		uint64_t crc;
		struct dsa_dif_tags dif[2]; /* source, destination */
	};
};
_Static_assert(sizeof(struct dsa_record) == 32, "a completion record is 32 bytes");
#define DSA_RECORD_ALIGN 32u

/* Completion status; SWERR reports with the same codes. */
enum dsa_status {
	DSA_STATUS_OK = 0x01,
	DSA_STATUS_FALSE = 0x02, /* done, but the result is not the expected one */
	DSA_STATUS_PAGE_FAULT = 0x03,
	DSA_STATUS_PAGE_REFUSED = 0x04, /* block on fault: the page will not come */
	DSA_STATUS_BATCH_FAILED =
		0x05, /* one of its descriptors ended with another status than OK */
	DSA_STATUS_BATCH_FAULT = 0x06, /* reading the list */
	DSA_STATUS_DELTA_ORDER = 0x07,
	DSA_STATUS_DELTA_OFFSET = 0x08,
	DSA_STATUS_DIF = 0x09,
	DSA_STATUS_OPCODE = 0x10,
	DSA_STATUS_FLAGS = 0x11,
	DSA_STATUS_RESERVED = 0x12,
	DSA_STATUS_SIZE = 0x13,
	DSA_STATUS_BATCH_SIZE = 0x14,
	DSA_STATUS_DELTA_SIZE = 0x15,
	DSA_STATUS_OVERLAP = 0x16,
	DSA_STATUS_DUALCAST = 0x17, /* bits 11:0 of its destinations differ */
	DSA_STATUS_BATCH_ALIGN = 0x18,
	DSA_STATUS_INTERRUPT = 0x19,
	DSA_STATUS_RECORD_FAULT = 0x1a,
	DSA_STATUS_RECORD_ALIGN = 0x1b,
	DSA_STATUS_ALIGN = 0x1c,
	DSA_STATUS_HARDWARE = 0x20,
	DSA_STATUS_TRANSLATION = 0x22, /* memory that was promised is not there */
};
#define DSA_STATUS_WRITE 0x80u /* the access that faulted was a write */

#endif
