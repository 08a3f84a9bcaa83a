# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# `adit adi-serve` beside QEMU, whose vfio-user-pci shows the virtual DSA to L1: Linux's own idxd
# driver (without MOVDIR64B: modules/idxd-shim.h) and dmatest there. What QEMU sends differs: without
# an IOMMU it shares all of L1's memory, with legacy VT-d each page that L1 maps for the device, with
# first-stage tables nothing, so that all DMA is messages.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='a served virtual DSA under QEMU: idxd and dmatest'
SMOKE='none intel'
IOMMU='none intel-legacy intel'
ADI='{ "adis": [{ "id": "dsa0", "type": "dsa", "wqs": [{ "mode": "dedicated", "size": 16 }] }] }'

put() { echo "$1" >"$2" && return; echo "refused: $2 $1 $(cat dsa0/cmd_status)"; return 1; }
configure() {
	put 0 engine0.0/group_id && put 0 wq0.0/group_id && put dedicated wq0.0/mode &&
		put 16 wq0.0/size && put 10 wq0.0/priority && put 1 wq0.0/max_batch_size &&
		put kernel wq0.0/type && put copies wq0.0/name && put dmaengine wq0.0/driver_name
}
bind() { put dsa0 /sys/bus/dsa/drivers/idxd/bind && put wq0.0 /sys/bus/dsa/drivers/dmaengine/bind; }
unbind() {
	put wq0.0 /sys/bus/dsa/drivers/dmaengine/unbind && put dsa0 /sys/bus/dsa/drivers/idxd/unbind
}
dmatest() {
	modprobe dmatest timeout=60000 iterations=50 threads_per_chan=2 max_channels=1
	echo dma0chan0 >/sys/module/dmatest/parameters/channel
	echo 1 >/sys/module/dmatest/parameters/run
	cat /sys/module/dmatest/parameters/wait >/dev/null # returns when all is done
	dmesg | grep 'dmatest: dma0chan0-.*: summary'
	modprobe -r dmatest # lets go of the channel
}

l1() {
	check the_function_is_there test -n "$(pci_find 8086:0b25)"
	check idxd_loads modprobe idxd
	cd /sys/bus/dsa/devices || return
	check idxd_takes_it test -e dsa0
	check it_is_configured configure
	check device_and_queue_are_enabled bind
	check they_say_so is "$(cat dsa0/state wq0.0/state | tr '\n' ' ')" 'enabled enabled '
	dmatest >/tmp/dmatest
	note </tmp/dmatest
	check copies_are_right_on_two_threads is "$(grep -c ' 50 tests, 0 failures' /tmp/dmatest)" 2
	check the_device_reports_no_error is "$(tr -d '0,' <dsa0/errors)" ''
	check device_and_queue_are_let_go unbind
	end
}
