# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# How a Linux guest's life ends or starts over: power button, reboot, panic, force.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='a Linux guest notices disks, obeys the power button, reboots, panics and is stopped'
SMOKE=none
IOMMU=none
NEED='adit cloud'
LIMIT=900

vm() { # vm NAME WHAT-THE-GUEST-DOES [MORE-JSON]
	echo "$2" >"/tmp/$1"
	l2_config "$1" /kernels/cloud/vmlinuz "$(l2_image cloud "/tmp/$1")" 1 256M quiet "${3:-}"
}

# The event device tells of the button and of disks that come and go; Linux does the rest by itself.
starts() {
	# A press goes to who has the device open then.
	vm button 'modprobe virtio_blk
		exec 3</dev/input/event0; echo "L2 waits"
		while [ ! -e /tmp/over ]; do
			until [ -e /sys/block/vda ]; do sleep 0.1; done
			dd if=/dev/vda of=/dev/null bs=64k count=4 2>/dev/null && echo "L2 disk came"
			while [ -e /sys/block/vda ]; do sleep 0.1; done
			echo "L2 disk left"
		done &
		dd bs=24 count=1 <&3 of=/dev/null
		say pressed yes' '"shutdown_timeout": 120'
	l2_start button --api-socket /tmp/api
	l2_wait_for button 'L2 waits'
}
comes_and_goes() {
	truncate -s 1M /tmp/disk
	for i in 1 2 3; do
		/adit/build/adit ctl /tmp/api add-disk /tmp/disk disk && l2_wait_for button 'L2 disk came' $i &&
			/adit/build/adit ctl /tmp/api remove-device disk 300 &&
			l2_wait_for button 'L2 disk left' $i || return
	done
}
power_button() {
	l2_signal TERM && l2_end button && is "$(l2_said button pressed)" yes
}
reboot_starts_over() {
	vm reboot 'reboot -f' '"shutdown_timeout": 1'
	l2_start reboot
	l2_wait_for reboot 'L2 user=yes' 2 && l2_signal TERM && l2_signal TERM
	l2_end reboot || [ "$status" != 137 ]
}
no_reboot_ends() {
	vm once 'reboot -f'
	l2_run once && is "$(grep -c 'L2 user=yes' /out/l2-once)" 1
}
panic_ends() {
	vm panic 'echo c >/proc/sysrq-trigger'
	l2_run panic && grep -q 'sysrq triggered crash' /out/l2-panic
}
stubborn_guest() {
	vm stubborn 'echo "L2 waits"; while :; do sleep 1; done' '"shutdown_timeout": 2'
	l2_start stubborn
	l2_wait_for stubborn 'L2 waits' && l2_signal TERM
	l2_end stubborn || [ "$status" != 137 ]
}

l1() {
	check a_guest_starts starts
	check a_disk_comes_and_goes_three_times comes_and_goes
	check a_signal_presses_the_power_button power_button
	check reboot_boots_again reboot_starts_over
	if [ "$rig_tier" != smoke ]; then
		check no_reboot_ends_at_a_reboot no_reboot_ends
		check a_panic_resets panic_ends
		check a_guest_that_ignores_the_button_is_stopped stubborn_guest
	fi
	end
}
