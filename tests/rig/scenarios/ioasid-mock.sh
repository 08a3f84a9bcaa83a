# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# The iommufd provider on mock devices: what QEMU's IOMMUs and devices do not have.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='nesting, page requests, dirty logs and PASIDs of ioasid-client, on IOMMUFD_TEST'
SMOKE='' # its kernel takes minutes to build
IOMMU=none
KERNEL=mock
NEED='tests'
LIMIT=300

l1() {
	check mock_kernel_has_dev_iommu test -c /dev/iommu
	cd /adit || return
	export ADIT_BUILD=/adit/build
	sh tests/run ioasid-mock /out/mock build/tests/unit/test-ioasid-mock
	end
}
