# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# adit bench boot --kernel: the same Linux under adit and under QEMU microvm, in one interleaved run.
# The bzImage: QEMU microvm hands a PVH kernel no ACPI tables. The figures are in the report; whether they are good is for `make bench`, not for a test.
# shellcheck disable=SC2034,SC2154 # settings of tests/rig/run, and from it
TITLE='what booting Linux costs, beside QEMU microvm'
SMOKE=
IOMMU=none
NEED='adit bench cloud qemu'
LIMIT=600

l1() {
	/adit/build/adit bench boot --kernel /kernels/cloud/vmlinuz --initramfs "$(l2_image cloud)" \
		--marker 'L2 init=yes' --rounds "$rig_rounds" --json /out/bench.json >/out/bench.txt 2>&1
	status=$?
	cat /out/bench.txt
	check 'both boot to user space, as often as asked' test $status = 0
	check 'the results are there' grep -q '"exec to user space"' /out/bench.json
	end
}
