# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Two ADIs of one `adit adi-serve`, whose work one DSA function does, as two functions of L1: Linux's
# idxd driver on both, and dmatest's threads on both at once. Without an IOMMU each has all of L1's
# memory, with legacy VT-d the pages that L1 maps for it.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='two served DSA functions on one, under QEMU: idxd and dmatest on both'
IOMMU='none intel-legacy'
ADI='{ "adis": [{ "id": "a", "type": "dsa", "wqs": [{ "size": 16 }] }, { "id": "b", "type": "dsa", "wqs": [{ "size": 16 }] }],
	"pasids": [{ "adi": "a", "guest": "none" }, { "adi": "b", "guest": "none" }], "function": { "queues": 2, "engines": 2 } }'
ADIS=2

put() { echo "$1" >"$2" && return; echo "refused: $2 $1"; return 1; }
configure() { # configure N
	put 0 "engine$1.0/group_id" && put 0 "wq$1.0/group_id" && put dedicated "wq$1.0/mode" &&
		put 16 "wq$1.0/size" && put 10 "wq$1.0/priority" && put 1 "wq$1.0/max_batch_size" &&
		put kernel "wq$1.0/type" && put copies "wq$1.0/name" && put dmaengine "wq$1.0/driver_name"
}
bind() {
	put "dsa$1" /sys/bus/dsa/drivers/idxd/bind && put "wq$1.0" /sys/bus/dsa/drivers/dmaengine/bind
}
unbind() {
	put "wq$1.0" /sys/bus/dsa/drivers/dmaengine/unbind && put "dsa$1" /sys/bus/dsa/drivers/idxd/unbind
}
dmatest() { # dmatest CHANNEL...
	modprobe dmatest timeout=60000 iterations=50 threads_per_chan=2 max_channels=2
	for channel in "$@"; do
		echo "$channel" >/sys/module/dmatest/parameters/channel
	done
	echo 1 >/sys/module/dmatest/parameters/run
	cat /sys/module/dmatest/parameters/wait >/dev/null # returns when all is done
	dmesg | grep 'dmatest: dma.chan0-.*: summary'
	modprobe -r dmatest # lets go of the channels
}

l1() {
	check idxd_loads modprobe idxd
	cd /sys/bus/dsa/devices || return
	check idxd_takes_both test -e dsa0 -a -e dsa1
	check one_is_configured configure 0
	check and_the_other configure 1
	check one_is_enabled bind 0
	check the_other_is_enabled bind 1
	dmatest dma0chan0 dma1chan0 >/tmp/dmatest
	note </tmp/dmatest
	check copies_of_both_are_right is "$(grep -c ' 50 tests, 0 failures' /tmp/dmatest)" 4
	check one_is_let_go unbind 0
	check so_is_the_other unbind 1
	end
}
