# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# An assigned device and guests that ask for much: BARs moved about, MSIs counted, both functions of a
# group; a monitor that is killed in the middle of DMA, and the device in the hands of the next.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='edu under a payload that moves its BAR, groups, and a monitor that is killed'
SMOKE=''
IOMMU='intel intel-snoop intel-legacy amd'
DEVICES='edu,dma_mask=0xffffffffffffffff
edu,dma_mask=0xffffffffffffffff,multifunction=on,addr=0x8.0
edu,dma_mask=0xffffffffffffffff,addr=0x8.1
nvme,serial=adit,drive=d0'
DISKS='d0=1M'
NEED='adit tests'
LIMIT=1500

config() { # config NAME CMDLINE DEVICES-JSON
	cat >"/out/$1.json" <<-EOF
		{ "payload": { "flat": "/adit/build/guest/edu.bin", "cmdline": "$2" }, "memory": { "size": "64M" },
		  "serial": { "mode": "File", "file": "/out/$1" }, "debug_exit": true, "devices": [$3] }
	EOF
}
edu() { echo "{ \"path\": \"$1\", \"via\": \"$way\", \"allow_no_reset\": true }"; }
run() { # run NAME CMDLINE DEVICES-JSON: does every check of the payload pass?
	config "$@"
	timeout 20000 /adit/build/adit run --no-reboot "/out/$1.json" >"/out/$1.log" 2>&1
	status=$?
	[ $status = 0 ] && [ "$(grep -c '^ok' "/out/$1")" = 5 ] && return
	echo "status $status"
	cat "/out/$1.log" "/out/$1"
	return 1
}
refused() { # refused NAME DEVICES-JSON WORDS
	config "$1" '' "$2"
	! /adit/build/adit run --no-reboot "/out/$1.json" >"/out/$1.log" 2>&1 && grep -q "$3" "/out/$1.log" && return
	cat "/out/$1.log"
	return 1
}
# A monitor is killed while its guest does DMA; nothing of it may be left that keeps the device.
killed() {
	config killed forever "$(edu "$one")"
	/adit/build/adit run --no-reboot "/out/killed.json" >/out/killed.log 2>&1 &
	pid=$!
	until grep -q 'goes on' /out/killed 2>/dev/null; do
		kill -0 $pid || return
		sleep 0.1
	done
	kill -KILL $pid
	wait $pid
	return 0
}

l1() {
	# shellcheck disable=SC2046 # a list of words
	set -- $(pci_find 1234:11e8)
	one=$1 two=$2 three=$3
	nvme=$(pci_find 1b36:0010)
	for d in "$@" "$nvme"; do
		check "$d goes to vfio-pci" vfio_bind "$d"
	done
	group() { basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"; }
	check two_functions_share_a_group is "$(group "$two")" "$(group "$three")"
	for way in cdev group; do
		check "$way: DMA, 100 moves of the BAR, 100 MSIs" run "$way-moves" 'moves=100 msis=100' "$(edu "$one")"
		check "$way: both of a group, and two more" run "$way-four" '' \
			"$(edu "$one"), $(edu "$two"), $(edu "$three"), { \"path\": \"$nvme\", \"via\": \"$way\" }"
		check "$way: a monitor is killed in the middle of DMA" killed
		check "$way: the device goes to the next at once" run "$way-next" '' "$(edu "$one")"
	done
	way=cdev
	check 'a device that cannot be reset is refused' refused reset "{ \"path\": \"$one\" }" allow_no_reset
	check 'a device that is named twice is refused' refused twice "$(edu "$one"), $(edu "$one")" "$one"
	echo "$nvme" >"/sys/bus/pci/devices/$nvme/driver/unbind"
	check 'a device on no driver is refused by name' refused idle "{ \"path\": \"$nvme\" }" "$nvme"
	end
}
