# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# L1 itself: KVM by SVM, and the kernel's device interfaces on every IOMMU.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='L1 has KVM, iommufd and VFIO'
SMOKE='intel intel-legacy amd none'
IOMMU='intel intel-snoop intel-legacy amd none'
DEVICES='edu,dma_mask=0xffffffffffffffff'

l1() {
	check kvm_amd_gives_dev_kvm test -c /dev/kvm
	check nested_paging_is_on is "$(cat /sys/module/kvm_amd/parameters/npt)" Y
	check iommufd_gives_dev_iommu test -c /dev/iommu
	edu=$(pci_find 1234:11e8)
	check edu_is_there test -n "$edu"
	if [ "$rig_iommu" = none ]; then
		check without_an_iommu_there_are_no_groups is "$(ls /sys/kernel/iommu_groups)" ''
	else
		group=$(basename "$(readlink "/sys/bus/pci/devices/$edu/iommu_group")")
		check edu_has_a_group_of_its_own is \
			"$(ls "/sys/kernel/iommu_groups/$group/devices")" "$edu"
		check edu_goes_to_vfio_pci vfio_bind "$edu"
		check vfio_has_its_group_node test -c "/dev/vfio/$group"
		check vfio_has_its_cdev test -c "$(vfio_cdev "$edu")"
	fi
	for m in mtty mdpy; do
		check "${m}_offers_mdev_types" sh -c "modprobe $m && ls /sys/class/mdev_bus | grep $m"
	done
	check idxd_loads_without_movdir64b modprobe idxd
	end
}
