# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# The conformance suite of ioasid-client on the kernel's providers: edu's DMA behind each IOMMU, an
# mdev, and a group of which a host driver holds a member.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='iommufd and type1 do what ioasid-client promises'
SMOKE=intel
IOMMU='intel intel-snoop intel-legacy amd'
# What is behind one conventional bridge shares a group.
DEVICES='edu,dma_mask=0xffffffffffffffff
edu,dma_mask=0xffffffffffffffff
pcie-pci-bridge,id=held
pci-testdev,bus=held,addr=1
virtio-rng-pci,bus=held,addr=2,disable-legacy=on
pcie-pci-bridge,id=free
pci-testdev,bus=free,addr=1
pci-testdev,bus=free,addr=2'
NEED='adit tests'
LIMIT=600

drivers_of_group() { # drivers_of_group BDF
	for d in /sys/bus/pci/devices/"$1"/iommu_group/devices/*/driver; do
		basename "$(readlink "$d")"
	done
}
# Of the test functions, one has a neighbour that virtio-pci holds; the other two are a group.
share_groups() {
	held='' free=''
	for bdf in $(pci_find 1b36:0005); do
		vfio_bind "$bdf" || return
		if drivers_of_group "$bdf" | grep -q virtio-pci; then
			held=$bdf
		else
			free="$free $bdf"
		fi
	done
	echo "held '$held' free '$free'"
	# shellcheck disable=SC2086 # two words
	[ -n "$held" ] && set -- $free && [ $# = 2 ]
}

make_mdev() {
	uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
	modprobe mtty && echo $uuid >/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create &&
		test -e /sys/bus/mdev/devices/$uuid
}

l1() {
	cd /adit || return
	# shellcheck disable=SC2046 # two words
	set -- $(pci_find 1234:11e8)
	ADIT_TEST_EDU=$1 ADIT_TEST_EDU2=$2
	check edu_goes_to_vfio_pci vfio_bind "$ADIT_TEST_EDU"
	check a_second_edu_goes_there_too vfio_bind "$ADIT_TEST_EDU2"
	check groups_are_shared share_groups
	check an_mdev_is_made make_mdev
	export ADIT_TEST_EDU ADIT_TEST_EDU2 ADIT_TEST_SHARED="$held" ADIT_TEST_GROUP="$free" ADIT_TEST_MDEV="$uuid"
	export ADIT_BUILD=/adit/build ADIT_TEST_TIMEOUT=500
	/adit/build/adit doctor >/out/doctor
	for p in iommufd type1 soft; do
		check "doctor_finds_$p" grep "^ok .*provider $p" /out/doctor
	done
	check doctor_finds_the_iommu grep '^ok .*IOMMU  .*in use' /out/doctor
	end
	sh tests/run conformance /out/conformance build/tests/unit/test-conformance \
		build/tests/unit/test-ioasid-inject
	return 0 # what they counted is the answer
}
