# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Guests of a user without privilege, who may lock only so much: what his limit alone forbids is
# refused before anything is made; what only the kernel can know, since two guests need more than it
# together, ends the second one, whose device has reached nothing, and leaves the first one alone.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='a user with a limit on locked memory'
SMOKE=amd
IOMMU='intel amd'
DEVICES='edu,dma_mask=0xffffffffffffffff
nvme,serial=x,drive=d0'
DISKS='d0=1M'
NEED='adit tests'
LIMIT=120

# vm NAME LIMIT-IN-MIB BDF [COMMAND-BEFORE...]: a guest of 256 MiB that does nothing, for ever; in
# place of this shell.
vm() {
	name=$1
	cat >"/tmp/$1.json" <<-JSON
		{ "payload": { "flat": "/adit/build/guest/spin.bin" }, "memory": { "size": "256M" },
		  "serial": { "mode": "Null" },
		  "devices": [{ "path": "$(vfio_cdev "$3")", "allow_no_reset": true }] }
	JSON
	# shellcheck disable=SC3045 # busybox has it
	ulimit -l $(($2 * 1024))
	shift 3
	exec su -s /bin/sh -c "exec $* /adit/build/adit run /tmp/$name.json --event-monitor fd=9" tenant \
		9>"/out/$name.events" >"/out/$name.log" 2>&1
}
refused() { # refused NAME TEXT ARGS-OF-VM...: with that in its sentence, before a machine is made
	name=$1 text=$2
	shift 2
	! (vm "$name" "$@") && said "$name" "$text" && ! began "$name"
}
said() {
	grep -q "$2" "/out/$1.log" && return
	cat "/out/$1.log"
	return 1
}
began() { grep -q '"booted"' "/out/$1.events"; }

pinned() { awk '/^VmPin/ { n = $2 } END { print n + 0 }' "/proc/$1/status" 2>/dev/null; } # KiB
until_pinned() { # until_pinned PID: all memory of its guest
	until [ "$(pinned "$1")" -ge 262144 ] 2>/dev/null; do
		kill -0 "$1" 2>/dev/null || return 1
		usleep 20000
	done
}
is_ended() { # is_ended PID STATUS
	wait "$1"
	is $? "$2"
}

l1() {
	modprobe vfio-pci
	edu=$(pci_find 1234:11e8)
	nvme=$(pci_find 1b36:0010)
	check edu_goes_to_vfio_pci vfio_bind "$edu"
	check nvme_goes_to_vfio_pci vfio_bind "$nvme"
	echo 'tenant:x:1000:1000::/tmp:/bin/sh' >>/etc/passwd
	chmod 666 /dev/kvm /dev/iommu "$(vfio_cdev "$edu")" "$(vfio_cdev "$nvme")"
	chmod 755 /dev/vfio /dev/vfio/devices

	check a_limit_below_one_guest_is_refused refused less ' are missing of the limit of 104857600' 100 "$edu"
	# Root of a user namespace has the capability that lifts the limit, and the kernel does not count it.
	check and_to_root_of_a_user_namespace refused mapped ' are missing of the limit of 104857600' 100 "$edu" unshare -r

	vm first 400 "$edu" &
	first=$!
	check a_guest_within_it_has_all_its_memory until_pinned $first
	vm second 400 "$nvme" &
	second=$!
	check a_second_one_of_the_user_ends is_ended $second 1
	check it_is_said_that_others_count said second "user's other processes count too"
	check it_had_begun began second
	check the_first_one_keeps_its_memory until_pinned $first
	kill -KILL $first
	is_ended $first 137
	# What was locked of it is given back.
	vm third 400 "$nvme" &
	third=$!
	check alone_the_second_one_has_its_memory until_pinned $third
	kill -KILL $third
	end
}
