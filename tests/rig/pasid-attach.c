/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For L1: what the kernel's own interfaces make of a function with a PASID capability. It binds a
 * VFIO cdev to an iommufd context, asks for the PASID width, and attaches, replaces and detaches
 * PASIDs by raw ioctls. TAP lines; what came of it is looked up in the IOMMU's own PASID table.
 *
 *   pasid-attach CDEV BDF WIDTH EXEC PRIV
 *
 * The structures are those of Linux 6.15, since the headers where this is built may be older.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/rig/vtd.h"

#define REQUEST(n) _IO(0x3b, n)

/* <linux/iommufd.h> */
struct ioas_alloc {
	uint32_t size, flags, out_ioas;
};
#define IOAS_ALLOC REQUEST(0x81)
struct hwpt_alloc {
	uint32_t size, flags, device, parent, out_hwpt, reserved, type, length;
	uint64_t data;
	uint32_t fault, reserved2;
};
#define HWPT_ALLOC	 REQUEST(0x89)
#define HWPT_ALLOC_PASID 8u
struct hw_info {
	uint32_t size, flags, device, data_length;
	uint64_t data;
	uint32_t out_type;
	uint8_t out_max_pasid_log2, reserved[3];
	uint64_t out_capabilities;
};
#define GET_HW_INFO    REQUEST(0x8a)
#define CAP_PASID_EXEC 2u
#define CAP_PASID_PRIV 4u

/* <linux/vfio.h> */
struct bind_iommufd {
	uint32_t size, flags;
	int32_t iommufd;
	uint32_t out_device;
};
#define BIND_IOMMUFD REQUEST(118)
struct attach {
	uint32_t size, flags, pt, pasid;
};
#define ATTACH REQUEST(119)
struct detach {
	uint32_t size, flags, pasid;
};
#define DETACH	   REQUEST(120)
#define WITH_PASID 1u

static unsigned int checks;

static bool check(const char *name, bool passed)
{
	printf("%s %u - %s\n", passed ? "ok" : "not ok", ++checks, name);
	fflush(stdout);
	return passed;
}

static void must(const char *name, int ret)
{
	if (check(name, ret >= 0))
		return;
	printf("# %s\n1..%u\n", strerror(errno), checks);
	exit(1);
}

static int attach(int device, uint32_t hwpt, uint32_t pasid)
{
	struct attach a = { sizeof(a), WITH_PASID, hwpt, pasid };

	return ioctl(device, ATTACH, &a) ? -errno : 0;
}

static int detach(int device, uint32_t pasid)
{
	struct detach d = { sizeof(d), WITH_PASID, pasid };

	return ioctl(device, DETACH, &d) ? -errno : 0;
}

static uint32_t make_hwpt(int iommu, uint32_t device, uint32_t ioas)
{
	struct hwpt_alloc h = {
		.size = sizeof(h), .flags = HWPT_ALLOC_PASID, .device = device, .parent = ioas
	};

	must("a_pasid_capable_page_table_is_made", ioctl(iommu, HWPT_ALLOC, &h));
	return h.out_hwpt;
}

static bool in_table(const char *bdf, uint32_t pasid)
{
	unsigned int bus, device, function;

	if (sscanf(bdf, "%*x:%x:%x.%x", &bus, &device, &function) != 3)
		return false;
	return vtd_pasid_entry(bus, device << 3 | function, pasid) & VTD_PRESENT;
}

static void check_info(int iommu, uint32_t device, char **argv)
{
	struct hw_info info = { .size = sizeof(info), .device = device };
	unsigned int width = (unsigned int)atoi(argv[3]);

	must("hardware_information_is_given", ioctl(iommu, GET_HW_INFO, &info));
	if (!check("the_pasid_width_is_the_endpoint_s", info.out_max_pasid_log2 == width))
		printf("# it is %u, expected %u\n", info.out_max_pasid_log2, width);
	if (!check("the_rights_are_the_endpoint_s",
		   !!(info.out_capabilities & CAP_PASID_EXEC) == !!atoi(argv[4]) &&
			   !!(info.out_capabilities & CAP_PASID_PRIV) == !!atoi(argv[5])))
		printf("# capabilities %#llx\n", (unsigned long long)info.out_capabilities);
}

static void check_pasids(int device, const uint32_t *hwpt, const char *bdf, uint32_t past)
{
	const uint32_t last = past - 1;

	check("a_pasid_is_attached", !attach(device, hwpt[0], 42));
	check("its_entry_is_in_the_pasid_table", in_table(bdf, 42));
	check("the_last_number_is_attached", !attach(device, hwpt[1], last));
	check("its_entry_is_in_the_pasid_table_too", in_table(bdf, last));
	check("a_number_past_the_width_is_refused", attach(device, hwpt[0], past) == -EINVAL);
	check("its_space_is_replaced", !attach(device, hwpt[1], 42));
	check("its_entry_is_still_there", in_table(bdf, 42));
	check("it_is_detached", !detach(device, 42));
	check("its_entry_is_gone", !in_table(bdf, 42));
	check("the_other_one_is_not", in_table(bdf, last));
	check("the_number_can_be_used_again", !attach(device, hwpt[0], 42));
	check("its_entry_is_back", in_table(bdf, 42));
}

int main(int argc, char **argv)
{
	struct bind_iommufd b = { .size = sizeof(b) };
	struct ioas_alloc ioas[2] = { { .size = sizeof(*ioas) }, { .size = sizeof(*ioas) } };
	uint32_t hwpt[2];
	int iommu, device;

	if (argc != 6) {
		fprintf(stderr, "usage: pasid-attach CDEV BDF WIDTH EXEC PRIV\n");
		return 2;
	}
	iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	must("the_context_is_opened", iommu);
	device = open(argv[1], O_RDWR | O_CLOEXEC);
	must("the_device_is_opened", device);
	b.iommufd = iommu;
	must("the_device_is_bound", ioctl(device, BIND_IOMMUFD, &b));
	check_info(iommu, b.out_device, argv);
	for (unsigned int i = 0; i < 2; i++) {
		must("a_space_is_made", ioctl(iommu, IOAS_ALLOC, &ioas[i]));
		hwpt[i] = make_hwpt(iommu, b.out_device, ioas[i].out_ioas);
	}
	{
		struct attach rid = { sizeof(rid), 0, hwpt[0], 0 };

		must("the_requester_id_is_attached_first", ioctl(device, ATTACH, &rid));
	}
	check_pasids(device, hwpt, argv[2], 1u << atoi(argv[3]));
	close(device);
	check("closing_the_device_takes_all_entries_away",
	      !in_table(argv[2], 42) && !in_table(argv[2], (1u << atoi(argv[3])) - 1));
	printf("1..%u\n", checks);
	return 0;
}
