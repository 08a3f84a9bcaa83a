# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# adit bench map: what functions cost that share a space of iommufd, and PASIDs of one that has them,
# beside the bare ioctls.
# The figures are in the report; whether they are good is for `make bench`, not for a test.
# shellcheck disable=SC2034,SC2154 # settings of tests/rig/run, and from it
TITLE='what a space costs that functions share, and PASIDs, beside the bare ioctls'
SMOKE=''
IOMMU=intel
DEVICES='edu,dma_mask=0xffffffffffffffff
edu,dma_mask=0xffffffffffffffff
pci-testdev'
ENDPOINT='ats pri pasid exec priv width=20'
NEED='adit bench'
MEMORY=2G
LIMIT=900

l1() {
	endpoint=$(pci_find 1234:ad17)
	for f in $(pci_find 1234:11e8) $(pci_find 1b36:0005) "$endpoint"; do
		check "$f goes to vfio-pci" vfio_bind "$f"
	done
	/adit/build/adit bench map --devices 3 --rounds "$rig_rounds" --warm-up 0 --json /out/bench.json >/out/bench.txt 2>&1
	status=$?
	note </out/bench.txt
	check 'it ends well' test $status = 0
	check 'three functions share a space' grep -q '"iommufd, 64 MiB in 4K pages, 3 devices: attach of the last"' /out/bench.json
	check 'three groups do' grep -q '"type1, 64 MiB in 4K pages, 3 groups: bind and attach of the last"' /out/bench.json
	check 'a PASID comes beside others' grep -q '"iommufd: PASID attach, 255 others"' /out/bench.json
	end
}
