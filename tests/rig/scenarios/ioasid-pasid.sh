# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Host PASIDs of ioasid-client on a function that has the capability: what the library does is
# looked up in the IOMMU's PASID table.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='ioasid-client attaches, moves and parks PASIDs on iommufd'
SMOKE=intel
IOMMU=intel # QEMU has no snoop control beside a function of vfio-user
ENDPOINT='ats pri pasid exec priv width=20'
NEED='adit tests'
APPEND=iomem=relaxed # the IOMMU's registers say where its PASID tables are

l1() {
	cd /adit || return
	ADIT_TEST_PASID=$(pci_find 1234:ad17)
	check the_endpoint_goes_to_vfio_pci vfio_bind "$ADIT_TEST_PASID"
	end
	export ADIT_TEST_PASID ADIT_BUILD=/adit/build
	sh tests/run pasid /out/pasid build/tests/unit/test-ioasid-pasid
	return 0 # what they counted is the answer
}
