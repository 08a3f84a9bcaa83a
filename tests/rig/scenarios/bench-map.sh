# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# adit bench map on a function of vfio-pci: ioasid-client beside the bare ioctls of iommufd and type1
# in one interleaved run.
# The figures are in the report; whether they are good is for `make bench`, not for a test.
# shellcheck disable=SC2034,SC2154 # settings of tests/rig/run, and from it
TITLE='what mapping memory for a device costs, beside the bare ioctls'
SMOKE=''
IOMMU='intel intel-legacy amd'
DEVICES='edu,dma_mask=0xffffffffffffffff'
NEED='adit bench'
APPEND='hugepages=140'
MEMORY=2G
LIMIT=900

l1() {
	edu=$(pci_find 1234:11e8)
	check edu_goes_to_vfio_pci vfio_bind "$edu"
	/adit/build/adit bench map --cdev "$(vfio_cdev "$edu")" --device "$edu" \
		--group "/dev/vfio/$(basename "$(readlink "/sys/bus/pci/devices/$edu/iommu_group")")" \
		--rounds "$rig_rounds" --warm-up 0 --json /out/bench.json >/out/bench.txt 2>&1
	status=$?
	note </out/bench.txt
	check bench_runs_to_its_end test $status = 0
	check map_by_address_is_measured grep -q '"iommufd, 256 MiB in 4K pages: attach"' /out/bench.json
	check type1_is_measured grep -q '"type1, 256 MiB in 4K pages: unmap"' /out/bench.json
	check populating_is_measured grep -q '"memory, 16 MiB in 4K pages: populate"' /out/bench.json
	check teardown_is_measured grep -q '"type1, 16 MiB in 4K pages: teardown"' /out/bench.json
	check the_budget_is_compared grep -q '"iommufd, 4K pages: budget: locked memory"' /out/bench.json
	check the_error_of_locked_memory_is_a_row grep -q '^iommufd, 4K pages: budget: locked memory, error .*  *[0-9].* limit .* <= 1 ' /out/bench.txt
	check the_error_of_the_time_is_a_row grep -q '"type1, 4K pages: budget: time to map, error"' /out/bench.json
	check the_budget_in_huge_pages_is_compared grep -q '"type1, 2M pages: budget: time to map"' /out/bench.json
	check map_by_file_is_measured grep -q '"iommufd by file, 256 MiB in 2M pages: map"' /out/bench.json
	end
}
