# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# What comes to an unmodified Debian guest and leaves it while it works: it notices by itself, its
# own drivers take each and let go of each. Everything is asked over the API.
# shellcheck disable=SC1091,SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='disks, ADIs, functions and mdevs come and go under a Linux guest'
SMOKE=''
IOMMU='none amd intel'
FULL=intel
DEVICES='edu,dma_mask=0xffffffffffffffff
nvme,serial=x,drive=d0'
DISKS='d0=2M'
NEED='adit generic passthrough'
LIMIT=9000
CPUS=1 # two that are emulated side by side do not last for so long (docs/rig.md)

# The guest only looks and works: Linux finds, binds, and lets go by itself. Disks are read all the
# time, also while they leave.
guest_work() {
	cat <<-'EOF'
		modprobe -a virtio_blk idxd nvme 8250_pci
		seen() { # what is there with a driver, one word each
			for d in /sys/bus/pci/devices/*; do
				id=$(cat "$d/vendor" "$d/device" 2>/dev/null | sed s/0x// | words)
				driver=$(readlink "$d/driver")
				case $id in
				'1af4 1042' | '8086 0b25' | '1b36 0010' | '4348 3253') echo "$id:${driver##*/}" ;;
				'1234 11e8') echo "$id:none" ;;
				esac
			done | tr ' ' - | words
		}
		while :; do
			for b in /sys/block/vd* /sys/block/nvme*; do
				[ ! -e "$b" ] || dd if="/dev/${b##*/}" of=/dev/null bs=64k iflag=direct 2>/dev/null
			done
		done &
		echo "L2 works"
		while [ ! -e /tmp/over ]; do
			tell
			sleep 0.2
		done
	EOF
}

ctl() { /adit/build/adit ctl /tmp/api "$@"; }

# round N NAME SEEN COMMAND...: it is added by COMMAND and seen with its driver; asked to leave, it
# leaves in time and is seen no more.
round() {
	n=$1 name=$2 seen=$3
	shift 3
	ctl "$@" && l2_wait_for hot "L2 came=$seen" "$n" 600 &&
		ctl remove-device "$name" 600 && l2_wait_for hot "L2 left=$seen" "$n" 600
}
rounds() {
	name=$1
	i=0
	while [ $i -lt "$times" ]; do
		i=$((i + 1))
		round $i "$@" || return
	done
}

l1() {
	. /passthrough.sh
	[ "$rig_tier" = long ] && times=50 || times=3
	truncate -s 2M /tmp/disk
	echo '{"id": "dsa", "type": "dsa", "wqs": [{"size": 16}]}' >/tmp/adi.json
	{ l2_tell; guest_work; } >/tmp/work
	l2_config hot /kernels/generic/vmlinux "$(l2_image generic /tmp/work)" 2 256M 'quiet'
	l2_start hot --api-socket /tmp/api
	check the_guest_works l2_wait_for hot 'L2 works' 1 1500
	check "a disk comes and goes $times times" rounds disk 1af4-1042:virtio-pci add-disk /tmp/disk disk
	check "an ADI comes and goes $times times" rounds dsa 8086-0b25:idxd add-adi /tmp/adi.json
	modprobe mtty
	port=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
	echo $port >/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1/create
	check "an mdev comes and goes $times times" rounds port 4348-3253:serial add-device $port port
	if [ "$rig_iommu" != none ]; then
		edu=$(pci_find 1234:11e8) nvme=$(pci_find 1b36:0010)
		check "functions are given to vfio-pci" eval "vfio_bind $edu && vfio_bind $nvme"
		check "a function comes and goes $times times" rounds edu 1234-11e8:none add-device \
			"{\"id\": \"edu\", \"path\": \"$edu\", \"allow_no_reset\": true}"
		check "an NVMe disk comes and goes $times times" rounds nvme 1b36-0010:nvme add-device "$nvme" nvme
		check "together they come" eval "ctl add-device $port port && ctl add-device $nvme nvme &&
			l2_wait_for hot 'L2 came=1b36-0010:nvme' $((times + 1)) 600"
		check "and go" eval 'ctl remove-device port 600 && ctl remove-device nvme 600'
		check "nothing of the guest stays locked" is "$(ctl metrics |
			awk '/^adit_(locked|pinned)_memory_bytes/ { n += $2 } END { print n + 0 }')" 0
		check "the host has them again" eval "echo $nvme >/sys/bus/pci/drivers/vfio-pci/unbind"
	fi
	ctl vm.info >/out/info
	check nothing_of_it_is_left grep -Eq '"disks":\[\],"adis":\[\],"devices":\[\]' /out/info
	check the_monitor_stops_when_it_is_told ctl vmm.shutdown
	l2_end hot
	end
}
