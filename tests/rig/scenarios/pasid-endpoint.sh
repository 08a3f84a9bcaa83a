# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# A function with a PASID capability, served by tests/rig/endpoint.c over vfio-user: the kernel tells
# its width and rights, and attaches, replaces and detaches PASIDs, none past the width.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='PASIDs of a function that has the capability'
SMOKE=intel
IOMMU=intel
ENDPOINT='ats pri pasid exec priv width=20'
NEED=rig
APPEND=iomem=relaxed # the IOMMU's registers say where its PASID tables are

l1() {
	endpoint=$(pci_find 1234:ad17)
	check the_endpoint_is_there test -n "$endpoint"
	check it_goes_to_vfio_pci vfio_bind "$endpoint"
	check it_has_a_cdev test -c "$(vfio_cdev "$endpoint")"
	# TAP lines of its own; a missing or failed program is one more check that fails.
	/adit/build/tests/rig/pasid-attach "$(vfio_cdev "$endpoint")" "$endpoint" 20 1 1
	check all_of_it_ran is $? 0
}
