# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# An assigned device and guests that ask for much: BARs moved about, MSIs counted, both functions of a
# group; DMA from one to the other; a guest that resets itself 100 times; vectors that are masked and moved under commands; a
# monitor that is killed in the middle of DMA, and the device in the hands of the next; a host that
# takes it back.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='edu under a payload that moves its BAR, groups, and a monitor that is killed'
SMOKE=''
IOMMU='intel intel-snoop intel-legacy amd'
FULL=intel
DEVICES='edu,dma_mask=0xffffffffffffffff
edu,dma_mask=0xffffffffffffffff,multifunction=on,addr=0x8.0
edu,dma_mask=0xffffffffffffffff,addr=0x8.1
nvme,serial=adit,drive=d0'
DISKS='d0=1M'
NEED='adit tests'
LIMIT=1500

config() { # config NAME CMDLINE DEVICES-JSON [PAYLOAD]
	cat >"/out/$1.json" <<-EOF
		{ "payload": { "flat": "/adit/build/guest/${4:-edu}.bin", "cmdline": "$2" }, "memory": { "size": "64M" },
		  "serial": { "mode": "File", "file": "/out/$1" }, "debug_exit": true, "devices": [$3] }
	EOF
}
edu() { echo "{ \"path\": \"$1\", \"via\": \"$way\", \"allow_no_reset\": true }"; }
run() { # run NAME CMDLINE DEVICES-JSON [PAYLOAD CHECKS]: does every check of the payload pass?
	config "$@"
	timeout 20000 /adit/build/adit run --no-reboot "/out/$1.json" >"/out/$1.log" 2>&1
	status=$?
	[ $status = 0 ] && [ "$(grep -c '^ok' "/out/$1")" = "${5:-5}" ] && return
	echo "status $status"
	cat "/out/$1.log" "/out/$1"
	return 1
}
# A guest that resets itself: descriptors are counted meanwhile, one that each life left behind would
# be as many more.
resets() { # resets NAME DEVICES-JSON
	config "$1" "resets=$times moves=1 msis=1" "$2"
	/adit/build/adit run "/out/$1.json" >"/out/$1.log" 2>&1 &
	pid=$! most=0
	while kill -0 $pid 2>/dev/null; do
		# shellcheck disable=SC2012,SC2046 # their number alone
		fds=$(ls "/proc/$(pidof adit)/fd" 2>/dev/null | wc -l)
		[ "$fds" -le "$most" ] || most=$fds
		sleep 1
	done
	wait $pid
	status=$?
	[ $status = 0 ] && grep -q '^ok resets' "/out/$1" && [ "$most" -gt 0 ] && [ "$most" -lt 100 ] && return
	echo "status $status, $most descriptors"
	tail -n 20 "/out/$1.log" "/out/$1"
	return 1
}
given() {
	node=/dev/vfio/$(group "$one")
	[ "$way" = group ] || node=$(vfio_cdev "$one")
	# In a subshell, with which the descriptor goes: a group opens once. And without timeout, whose
	# watcher has it for a second more.
	(resets "$way-given" "{ \"fd\": 5, \"path\": \"$one\", \"allow_no_reset\": true }") 5<>"$node"
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
# The host unbinds the device from vfio-pci under the guest, which waits until it was let go of.
taken_back() {
	config back forever "$(edu "$one")"
	: >/out/back
	: >/out/back.events # the round before this one has left its own
	/adit/build/adit run --no-reboot --api-socket /tmp/back.sock /out/back.json >/out/back.log 2>&1 &
	pid=$!
	until grep -q 'goes on' /out/back; do
		kill -0 $pid || return
		sleep 0.1
	done
	/adit/build/adit ctl /tmp/back.sock events >/out/back.events 2>&1 &
	until grep -q Running /out/back.events; do sleep 0.1; done
	echo "$one" >"/sys/bus/pci/devices/$one/driver/unbind"
	until grep -q device-returned /out/back.events; do
		kill -0 $pid || return
		sleep 0.1
	done
	/adit/build/adit ctl /tmp/back.sock vmm.shutdown
	wait $pid
	[ ! -e "/sys/bus/pci/devices/$one/driver" ] && grep -q 'back to the host, which asked for it' /out/back.log &&
		grep -q '"event":"device-returned","detail":"[^"]* back to the host' /out/back.events && return
	cat /out/back.log /out/back.events
	return 1
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
	[ "$rig_tier" = long ] && times=100 || times=10
	for way in cdev group; do
		check "$way: a guest resets itself $times times" resets "$way-resets" "$(edu "$one")"
		check "$way: DMA, $times moves of the BAR, $times MSIs" run "$way-moves" "moves=$times msis=$times" "$(edu "$one")"
		check "$way: DMA of both of a group, and two more" run "$way-four" all \
			"$(edu "$one"), $(edu "$two"), $(edu "$three"), { \"path\": \"$nvme\", \"via\": \"$way\" }" edu 6
		check "$way: a descriptor that is handed over, $times resets" given
		check "$way: DMA reaches another device's registers, by cdev alone" run "$way-peer" \
			"peer=$([ "$way" = cdev ] && echo 1 || echo 0)" "$(edu "$one"), $(edu "$two"), $(edu "$three")" edu 6
		check "$way: vectors are masked and moved under $((10 * times)) commands" run "$way-vectors" "rounds=$((10 * times))" \
			"{ \"path\": \"$nvme\", \"via\": \"$way\" }" nvme 3
		check "$way: a monitor is killed in the middle of DMA" killed
		check "$way: the device goes to the next at once" run "$way-next" '' "$(edu "$one")"
		check "$way: the host takes the device back from a guest that works with it" taken_back
		check "$way: it goes to vfio-pci again" vfio_bind "$one"
		check "$way: and to the next guest" run "$way-again" '' "$(edu "$one")"
	done
	way=cdev
	check 'a device that cannot be reset is refused' refused reset "{ \"path\": \"$one\" }" allow_no_reset
	check 'a device that is named twice is refused' refused twice "$(edu "$one"), $(edu "$one")" "$one"
	echo "$nvme" >"/sys/bus/pci/devices/$nvme/driver/unbind"
	check 'a device on no driver is refused by name' refused idle "{ \"path\": \"$nvme\" }" "$nvme"
	end
}
