# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# A serial port that is an mdev, under an unmodified driver which has it open: the VM is saved and
# goes on, and another goes on from the file, in another process and on another mdev of that kind.
# mtty offers migration; mdpy does not, and with it the VM is not saved.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='a guest that uses an mtty mdev is saved, and goes on on another one'
SMOKE=''
IOMMU=none
NEED='adit generic'
LIMIT=1500

rounds=40
file=/tmp/port.snapshot
ctl() { /adit/build/adit ctl /tmp/api "$@"; }

guest_work() {
	echo "rounds=$rounds"
	cat <<-'EOF'
		for d in /sys/bus/pci/devices/*; do
			case $(cat "$d/vendor" "$d/device" | words) in
			'0x4348 0x3253') mtty=$d ;;
			esac
		done
		for t in /sys/class/tty/ttyS*; do
			case $(readlink -f "$t") in
			"$(readlink -f "$mtty")"/*) port=/dev/${t##*/} ;;
			esac
		done
		scratch=$(($(awk 'NR == 1 { print $1 }' "$mtty/resource") + 7))
		# Open all the time: a closed port forgets what it has.
		exec 3<>"$port"
		stty raw -echo 115200 <&3
		# The driver leaves this register alone: what it holds is the device's own.
		printf Z | dd of=/dev/port bs=1 seek=$scratch conv=notrunc 2>/dev/null
		i=0 good=0
		while [ $i -lt $rounds ]; do
			i=$((i + 1))
			sent=$(printf 'round %04d' $i)
			printf '%s' "$sent" >&3
			# A guard: it hears in no time, or never.
			[ "$(timeout 300 head -c 10 <&3)" = "$sent" ] && good=$((good + 1))
			echo "L2 round $i"
			sleep 0.5
		done
		say good $good
		say scratch "$(dd if=/dev/port bs=1 skip=$scratch count=1 2>/dev/null)"
		irq=$(cat "$mtty/irq")
		say irqs "$(awk -v irq="$irq:" -v n=$rounds '$1 == irq { print ($2 >= n ? "enough" : $2) }' /proc/interrupts)"
	EOF
}

vm() { # vm NAME UUID WAY
	l2_config "$1" /kernels/generic/vmlinux "$(l2_image generic /tmp/work)" 1 256M quiet \
		"\"devices\": [{ \"id\": \"port\", \"path\": \"$2\", \"via\": \"$3\" }]"
}

is_saved() {
	vm saved "$port" cdev
	l2_start saved --api-socket /tmp/api
	l2_wait_for saved 'L2 round' 5 || return
	ctl pause && ctl snapshot "$file" || return
	last=$(grep -c 'L2 round' /out/l2-saved)
	ctl resume
}
is_refused() { # with a device whose driver offers no migration
	ctl add-device "$screen" screen && ctl pause || return
	ctl snapshot "$file.none" 2>/tmp/said && return 1
	cat /tmp/said
	grep -q 'screen: a snapshot does not carry a device whose driver offers no migration' /tmp/said &&
		[ ! -e "$file.none" ] && ctl resume
}
ends_well() { # ends_well NAME
	l2_end "$1" 600 || return
	is "$(l2_said "$1" good)" $rounds && is "$(l2_said "$1" scratch)" Z && is "$(l2_said "$1" irqs)" enough
}
# Its rounds go on where those of the saved one were.
goes_on() {
	vm on "$other" "$1"
	l2_start on --restore "$file"
	l2_wait_for on 'L2 round' 2 || return
	first=$(tr -d '\r' </out/l2-on | sed -n 's/^L2 round //p' | head -n 1)
	[ "$first" -ge "$last" ] && [ "$first" -le $((last + 2)) ]
}

l1() {
	modprobe mtty
	modprobe mdpy
	port=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
	other=83b8f4f2-509f-382f-3c1e-e6bfe0fa1002
	screen=83b8f4f2-509f-382f-3c1e-e6bfe0fa1003
	for uuid in $port $other; do
		echo "$uuid" >/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1/create
	done
	echo $screen >/sys/devices/virtual/mdpy/mdpy/mdev_supported_types/mdpy-vga/create
	guest_work >/tmp/work
	check a_guest_with_an_open_port_is_saved is_saved
	check beside_a_device_without_migration_it_is_not is_refused
	check the_saved_one_goes_on ends_well saved
	for way in cdev group; do
		check "$way: another goes on with another port" goes_on $way
		check "$way: and ends well" ends_well on
	done
	end
}
