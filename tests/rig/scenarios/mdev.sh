# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Mediated devices under unmodified drivers: mtty's port sends to itself over INTA#, and mdpy's frame
# buffer keeps what is written to it. They need no IOMMU.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='mtty and mdpy mdevs are assigned, by cdev and by group'
SMOKE=''
IOMMU='none intel amd'
NEED='adit generic'
LIMIT=1500

guest_work() {
	cat <<-'EOF'
		for d in /sys/bus/pci/devices/*; do
			case $(cat "$d/vendor" "$d/device" | words) in
			'0x4348 0x3253') mtty=$d ;;
			'0x1b36 0x000f') mdpy=$d ;;
			esac
		done
		for t in /sys/class/tty/ttyS*; do
			case $(readlink -f "$t") in
			"$(readlink -f "$mtty")"/*) port=/dev/${t##*/} ;;
			esac
		done
		say port "$port"
		# Open from before the first byte until after the last: a closed port forgets what it has.
		exec 3<>"$port"
		stty raw -echo 115200 <&3
		printf 'hello mtty!\n' >&3
		timeout 600 head -c 12 <&3 >/tmp/heard # a guard: it hears in no time, or never
		say loopback "$(cat /tmp/heard)"
		exec 3>&-
		irq=$(cat "$mtty/irq")
		say irqs "$(awk -v irq="$irq:" '$1 == irq { print ($2 > 0 ? "some" : "none") }' /proc/interrupts)"
		echo 1 >"$mdpy/enable"
		fb=$(awk 'NR == 1 { print $1 }' "$mdpy/resource")
		same=yes i=0
		while [ $i -lt 64 ]; do
			devmem $((fb + i * 4096)) 32 $((0xabcd0000 + i))
			i=$((i + 8))
		done
		i=0
		while [ $i -lt 64 ]; do
			[ $(($(devmem $((fb + i * 4096)) 32))) = $((0xabcd0000 + i)) ] || same="no: $i"
			i=$((i + 8))
		done
		say framebuffer "$same"
	EOF
}

try() { # try WAY
	l2_config "$1" /kernels/generic/vmlinux "$(l2_image generic /tmp/work)" 1 256M quiet \
		"\"devices\": [{ \"id\": \"port\", \"path\": \"$port\", \"via\": \"$1\" },
		    { \"id\": \"screen\", \"path\": \"$screen\", \"via\": \"$1\" }]"
	check "$1: guest boots and ends" l2_run "$1" 20000 # L1's clock runs fast on a busy machine: LIMIT is the guard
	check "$1: what the port sends it receives" is "$(l2_said "$1" loopback)" 'hello mtty!'
	check "$1: by interrupts of its line" is "$(l2_said "$1" irqs)" some
	check "$1: the frame buffer keeps its pixels" is "$(l2_said "$1" framebuffer)" yes
}

l1() {
	modprobe mtty
	modprobe mdpy
	port=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
	screen=83b8f4f2-509f-382f-3c1e-e6bfe0fa1002
	echo $port >/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1/create
	echo $screen >/sys/devices/virtual/mdpy/mdpy/mdev_supported_types/mdpy-vga/create
	check both_are_there test -e "/sys/bus/mdev/devices/$port" -a -e "/sys/bus/mdev/devices/$screen"
	guest_work >/tmp/work
	try cdev
	try group
	end
}
