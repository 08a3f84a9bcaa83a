# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# adit bench dma: edu and an NVMe controller driven from user space by cdev and by group, and from
# within a guest of adit's and of QEMU's, beside the bare ioctls; and a DSA that adit serves, by both as
# vfio-user's clients. The devices are emulated: that everything arrives is tested here, the figures are
# in the report.
# shellcheck disable=SC2034,SC2154 # settings of tests/rig/run, and from it
TITLE='DMA of devices, from the host and from guests of adit and of QEMU, beside the bare ioctls'
SMOKE=''
IOMMU='intel intel-legacy amd'
DEVICES='edu,dma_mask=0xffffffffffffffff
nvme,serial=adit,drive=d0'
DISKS='d0=16M'
NEED='adit bench qemu'
APPEND='hugepages=280'
MEMORY=2G
LIMIT=1800

measure() { # measure NAME BDF
	/adit/build/adit bench dma --cdev "$(vfio_cdev "$2")" --device "$2" \
		--group "/dev/vfio/$(basename "$(readlink "/sys/bus/pci/devices/$2/iommu_group")")" \
		--rounds "$rig_rounds" --warm-up 0 --json "/out/$1.json" >"/out/$1.txt" 2>&1
	status=$?
	note <"/out/$1.txt"
	check "dma_of_${1}_runs_to_its_end" test $status = 0
	check "dma_of_${1}_by_cdev" grep -q '"iommufd, 4K pages: read 4 KiB, depth 1"' "/out/$1.json"
	check "dma_of_${1}_by_group" grep -q '"type1, 4K pages: read 4 KiB, depth 1"' "/out/$1.json"
	check "dma_of_${1}_in_a_guest" grep -q '"iommufd, guest: read 4 KiB, depth 1"' "/out/$1.json"
	check "dma_of_${1}_in_a_guest_of_huge_pages" grep -q '"type1, guest, 2M pages: read 4 KiB, depth 1"' "/out/$1.json"
	check "dma_of_${1}_beside_qemu_by_cdev" grep -q '^iommufd, guest: read 4 KiB, depth 1 .* qemu-microvm' "/out/$1.txt"
	check "dma_of_${1}_beside_qemu_by_group" grep -q '^type1, guest: read 4 KiB, depth 1 .* qemu-microvm' "/out/$1.txt"
}

queues() { # queues BDF
	echo '{"jobs": [{"name": "queues", "rw": "randread", "numjobs": 4, "iodepth": 4, "ramp_time": 0.1}]}' >/out/queues.job
	/adit/build/adit bench dma --cdev "$(vfio_cdev "$1")" --device "$1" --job /out/queues.job \
		--rounds 1 --warm-up 0 >/out/queues.txt 2>&1
	status=$?
	note </out/queues.txt
	check dma_of_nvme_by_four_queues test $status = 0
	check dma_of_nvme_by_four_queues_in_a_guest grep -q '^iommufd, guest: queues ' /out/queues.txt
}

served() {
	/adit/build/adit bench dma --brief --rounds "$rig_rounds" --warm-up 0 --json /out/served.json >/out/served.txt 2>&1
	status=$?
	note </out/served.txt
	check dma_of_a_served_function_runs_to_its_end test $status = 0
	check dma_of_a_served_function_beside_qemu grep -q '^vfio-user, guest: read 4 KiB, depth 1 .* qemu-microvm' /out/served.txt
}

l1() {
	edu=$(pci_find 1234:11e8)
	nvme=$(pci_find 1b36:0010)
	check edu_goes_to_vfio_pci vfio_bind "$edu"
	check nvme_goes_to_vfio_pci vfio_bind "$nvme"
	measure nvme "$nvme"
	check dma_of_spread_lines_beside_packed_ones grep -q ' lines in [0-9]* pages .* packed ' /out/nvme.txt
	queues "$nvme"
	measure edu "$edu"
	served
	end
}
