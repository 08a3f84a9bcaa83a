# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# A busy Linux is saved and its process killed; two others go on from the one file at once, each on
# a copy of the disk, and neither their memory nor their clocks nor their devices have suffered.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='a busy Linux guest is saved, and two go on where it stood'
SMOKE=none
IOMMU=none
NEED='adit cloud'
LIMIT=900

adit=/adit/build/adit
file=/tmp/vm.snapshot

# The checks come after the power button, so wherever the guest is by then.
guest() {
	cat <<-'EOF'
		modprobe virtio_blk
		dd if=/dev/urandom of=/tmp/file bs=64k count=64 2>/dev/null
		sum=$(md5sum </tmp/file)
		disk=$(md5sum </dev/vda)
		(while :; do dd if=/dev/vda of=/dev/null bs=64k iflag=direct 2>/dev/null || dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null; done) &
		(while :; do :; done) &
		exec 3</dev/input/event0
		(i=0; while :; do i=$((i + 1)); echo "L2 tick $i"; sleep 0.1; done) &
		dd bs=24 count=1 <&3 of=/dev/null
		[ "$(md5sum </tmp/file)" = "$sum" ] && say memory same
		[ "$(md5sum </dev/vda)" = "$disk" ] && say disk same
		say source "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
		a=$(cut -d. -f1 /proc/uptime); sleep 2; b=$(cut -d. -f1 /proc/uptime)
		say slept $((b - a))
		say stalls "$(dmesg | grep -c -i 'soft lockup\|rcu.*stall\|Call Trace\|BUG:')"
	EOF
}

vm() { # vm NAME: around its own copy of the disk
	guest >"/tmp/snapshot"
	l2_config "$1" /kernels/cloud/vmlinuz "$(l2_image cloud /tmp/snapshot)" 2 256M quiet \
		'"rng": {}, "disks": [{"id": "d", "path": "/tmp/disk-'"$1"'", "image_type": "Raw"}], "shutdown_timeout": 300'
}

is_saved() {
	dd if=/dev/urandom of=/tmp/disk-saved bs=64k count=64 2>/dev/null
	vm saved
	l2_start saved --api-socket /tmp/api
	l2_wait_for saved 'L2 tick' 20 || return
	"$adit" ctl /tmp/api pause && "$adit" ctl /tmp/api snapshot "$file" || return
	cp /tmp/disk-saved /tmp/disk-one
	cp /tmp/disk-saved /tmp/disk-two
	l2_signal KILL
	wait "$l2_pid"
	last=$(grep -c 'L2 tick' /out/l2-saved)
	du -k "$file"
}

# Its ticks go on where those of the saved one ended.
goes_on() { # goes_on NAME
	l2_wait_for "$1" 'L2 tick' 20 || return
	first=$(tr -d '\r' <"/out/l2-$1" | sed -n 's/^L2 tick //p' | head -n 1)
	[ "$first" -ge "$last" ] && [ "$first" -le $((last + 2)) ]
}
ends_well() { # ends_well NAME
	l2_signal TERM && l2_end "$1" || return
	is "$(l2_said "$1" memory)" same && is "$(l2_said "$1" disk)" same &&
		is "$(l2_said "$1" source)" kvm-clock && is "$(l2_said "$1" stalls)" 0 &&
		[ "$(l2_said "$1" slept)" -ge 1 ] && [ "$(l2_said "$1" slept)" -le 60 ]
}

l1() {
	check a_busy_guest_is_saved is_saved
	vm one
	l2_start one --restore "$file"
	one=$l2_pid
	vm two
	l2_start two --restore "$file"
	two=$l2_pid
	check the_second_goes_on goes_on two
	l2_pid=$one
	check the_first_goes_on goes_on one
	check the_first_ends_well ends_well one
	l2_pid=$two
	check the_second_ends_well ends_well two
	end
}
