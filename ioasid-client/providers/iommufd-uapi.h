/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the iommufd and VFIO cdev interfaces that the iommufd provider uses: Debian 12's
 * headers have none of it, Debian 13's not all. Each says which kernel brought it; whether the
 * running one has it is found out by asking (ENOTTY, EOPNOTSUPP). Names are ours, so that this
 * stands beside any version of the kernel's headers.
 */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_IOMMUFD_UAPI_H
#define ADIT_IOASID_CLIENT_PROVIDERS_IOMMUFD_UAPI_H

#include <linux/ioctl.h>
#include <stdint.h>

/* iommufd and VFIO share the type; iommufd counts from 0x80, VFIO from 100. */
#define IFD_IO(nr)  _IO(';', 0x80 + (nr))
#define VFIO_IO(nr) _IO(';', 100 + (nr))

#define IFD_DESTROY	      IFD_IO(0x0) /* 6.2 */
#define IFD_IOAS_ALLOC	      IFD_IO(0x1) /* 6.2 */
#define IFD_IOAS_COPY	      IFD_IO(0x3) /* 6.2 */
#define IFD_IOAS_IOVA_RANGES  IFD_IO(0x4) /* 6.2 */
#define IFD_IOAS_MAP	      IFD_IO(0x5) /* 6.2 */
#define IFD_IOAS_UNMAP	      IFD_IO(0x6) /* 6.2 */
#define IFD_OPTION	      IFD_IO(0x7) /* 6.2 */
#define IFD_HWPT_ALLOC	      IFD_IO(0x9) /* 6.6 */
#define IFD_GET_HW_INFO	      IFD_IO(0xa) /* 6.6 */
#define IFD_HWPT_SET_DIRTY    IFD_IO(0xb) /* 6.7 */
#define IFD_HWPT_GET_DIRTY    IFD_IO(0xc) /* 6.7 */
#define IFD_HWPT_INVALIDATE   IFD_IO(0xd) /* 6.8 */
#define IFD_FAULT_QUEUE_ALLOC IFD_IO(0xe) /* 6.11 */
#define IFD_IOAS_MAP_FILE     IFD_IO(0xf) /* 6.13 */

#define VFIO_CDEV_BIND	 VFIO_IO(18) /* 6.6 */
#define VFIO_CDEV_ATTACH VFIO_IO(19) /* 6.6; with a PASID 6.15 */
#define VFIO_CDEV_DETACH VFIO_IO(20) /* 6.6; with a PASID 6.15 */

struct ifd_destroy {
	uint32_t size, id;
};

struct ifd_ioas_alloc {
	uint32_t size, flags, out_ioas_id;
};

struct ifd_iova_range {
	uint64_t start, last;
};

struct ifd_iova_ranges {
	uint32_t size, ioas_id, num_iovas, reserved;
	uint64_t allowed_iovas, out_iova_alignment;
};

#define IFD_MAP_FIXED_IOVA 1u
#define IFD_MAP_WRITEABLE  2u
#define IFD_MAP_READABLE   4u

struct ifd_ioas_map {
	uint32_t size, flags, ioas_id, reserved;
	uint64_t user_va, length, iova;
};

struct ifd_ioas_map_file {
	uint32_t size, flags, ioas_id;
	int32_t fd;
	uint64_t start, length, iova;
};

struct ifd_ioas_copy {
	uint32_t size, flags, dst_ioas_id, src_ioas_id;
	uint64_t length, dst_iova, src_iova;
};

struct ifd_ioas_unmap {
	uint32_t size, ioas_id;
	uint64_t iova, length;
};

#define IFD_OPTION_RLIMIT_MODE 0u /* 0: per user, 1: per mm */
#define IFD_OPTION_GET	       1u

struct ifd_option {
	uint32_t size, option_id;
	uint16_t op, reserved;
	uint32_t object_id;
	uint64_t val64;
};

#define IFD_HWPT_NEST_PARENT 1u /* 6.7 */
#define IFD_HWPT_DIRTY	     2u /* 6.7 */
#define IFD_HWPT_FAULT_ID    4u /* 6.11 */
#define IFD_HWPT_PASID	     8u /* 6.15 */

#define IFD_HWPT_DATA_NONE   0u
#define IFD_HWPT_DATA_VTD_S1 1u /* 6.8 */

struct ifd_vtd_s1 {
	uint64_t flags, pgtbl_addr;
	uint32_t addr_width, reserved;
};

struct ifd_hwpt_alloc {
	uint32_t size, flags, dev_id, pt_id, out_hwpt_id, reserved, data_type, data_len;
	uint64_t data_uptr;
	uint32_t fault_id, reserved2;
};

#define IFD_HW_NONE 0u
#define IFD_HW_VTD  1u
#define IFD_HW_AMD  4u /* 7.0 */

#define IFD_HW_CAP_DIRTY      1u
#define IFD_HW_CAP_PASID_EXEC 2u /* 6.15 */
#define IFD_HW_CAP_PASID_PRIV 4u /* 6.15 */

struct ifd_hw_info {
	uint32_t size, flags, dev_id, data_len;
	uint64_t data_uptr;
	uint32_t out_data_type;
	uint8_t out_max_pasid_log2; /* 6.15, and 6.12 stable */
	uint8_t reserved[3];
	uint64_t out_capabilities;
};

/* flags of its own, then VT-d spec 3.1 sections 11.4.2 and 11.4.3 */
struct ifd_hw_vtd {
	uint32_t flags, reserved;
	uint64_t cap_reg, ecap_reg;
};

struct ifd_hw_amd {
	uint64_t efr, efr2;
};

#define IFD_DIRTY_ENABLE   1u
#define IFD_DIRTY_NO_CLEAR 1u

struct ifd_set_dirty {
	uint32_t size, flags, hwpt_id, reserved;
};

struct ifd_get_dirty {
	uint32_t size, hwpt_id, flags, reserved;
	uint64_t iova, length, page_size, data;
};

#define IFD_INVALIDATE_VTD_S1 0u
#define IFD_VTD_S1_LEAF	      1u

struct ifd_vtd_s1_invalidate {
	uint64_t addr, npages;
	uint32_t flags, reserved;
};

struct ifd_invalidate {
	uint32_t size, hwpt_id;
	uint64_t data_uptr;
	uint32_t data_type, entry_len, entry_num, reserved;
};

struct ifd_fault_alloc {
	uint32_t size, flags, out_fault_id, out_fault_fd;
};

#define IFD_FAULT_PASID_VALID 1u
#define IFD_FAULT_LAST_PAGE   2u

/* What read() of a fault queue gives; perm: read 1, write 2, execute 4, privileged 8. */
struct ifd_pgfault {
	uint32_t flags, dev_id, pasid, grpid, perm, reserved;
	uint64_t addr;
	uint32_t length, cookie;
};

#define IFD_RESPONSE_SUCCESS 0u
#define IFD_RESPONSE_INVALID 1u

/* What write() to it takes. */
struct ifd_page_response {
	uint32_t cookie, code;
};

struct vfio_cdev_bind {
	uint32_t argsz, flags;
	int32_t iommufd;
	uint32_t out_devid;
	uint64_t token;
};

#define VFIO_CDEV_BIND_TOKEN 1u

#define VFIO_CDEV_PASID 1u

struct vfio_cdev_attach {
	uint32_t argsz, flags, pt_id, pasid;
};

struct vfio_cdev_detach {
	uint32_t argsz, flags, pasid;
};

#endif
