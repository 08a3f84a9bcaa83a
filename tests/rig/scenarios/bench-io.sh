# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# adit bench io: the same guests with a disk and with a network interface under adit and under QEMU
# microvm, in one interleaved run, and the host without a guest. The figures are in the report; whether
# they are good is for `make bench`, not for a test.
# shellcheck disable=SC2034,SC2154 # settings of tests/rig/run, and from it
TITLE='what a disk and a network interface cost, beside QEMU microvm'
SMOKE=
IOMMU=none
NEED='adit bench qemu'
LIMIT=900

rows() { grep -c " $1 .*\[" /out/bench.txt; } # rows PARTY: how many are against it

l1() {
	modprobe tun
	modprobe vhost_net
	/adit/build/adit bench io --rounds "$rig_rounds" --directory /tmp --json /out/bench.json >/out/bench.txt 2>&1
	status=$?
	cat /out/bench.txt
	check 'it ends well' test $status = 0
	# Of those by vhost-net it has its own view: its guests there do not always get on.
	check 'QEMU has all rows' is "$(grep -v '^vhost: ' /out/bench.txt | grep -c ' qemu-microvm .*\[')" 28
	check 'io_uring has those of the disk' is "$(rows io_uring)" 18
	check 'and the tap those of the network' is "$(rows tap)" 10
	check 'and by vhost-net there are as many' is "$(rows 'without vhost')" 10
	end
}
