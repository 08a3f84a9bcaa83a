# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# virtaditd on the real kernel, asked by virsh: a domain with two functions and an mdev, others that
# come and go, a daemon that is killed meanwhile, and the host's own drivers afterwards. And an iommufd
# that its client has opened, in which a device does DMA. Domains are of users of their own.
# shellcheck disable=SC1091,SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='virsh gives a domain devices of the host, and the host has them back'
SMOKE=''
IOMMU='intel amd'
DEVICES='edu,dma_mask=0xffffffffffffffff
nvme,serial=adit,drive=d0
e1000e'
DISKS='d0=2M'
NEED='adit virsh generic passthrough'
LIMIT=3000

# The guest only looks: Linux finds, binds, and lets go by itself.
guest_work() {
	cat <<-'EOF'
		modprobe -a nvme e1000e 8250_pci
		seen() { # what is there with a driver, and where, one word each
			for d in /sys/bus/pci/devices/*; do
				id=$(cat "$d/vendor" "$d/device" 2>/dev/null | sed s/0x// | words)
				driver=$(readlink "$d/driver")
				case $id in
				'1b36 0010' | '4348 3253' | '8086 10d3') echo "$id:${driver##*/}@${d##*:}" ;;
				'1234 11e8') echo "$id:none@${d##*:}" ;;
				esac
			done | tr ' ' - | words
		}
		until [ -b /dev/nvme0n1 ]; do sleep 0.1; done
		say sum "$(md5sum </dev/nvme0n1 | cut -d' ' -f1)"
		while :; do
			tell
			sleep 0.2
		done
	EOF
}

driver_of() { readlink "/sys/bus/pci/devices/$1/driver" | sed 's|.*/||'; }
name_of() { echo "pci_$1" | tr ':.' '__'; }
on_drivers() { is "$(driver_of "$edu") $(driver_of "$nvme") $(driver_of "$nic")" "$1"; }

refused() { # refused TEXT COMMAND...
	refusal=$1
	shift
	! "$@" 2>/tmp/refusal && grep -q "$refusal" /tmp/refusal && return
	cat /tmp/refusal
	return 1
}
v() { virsh -q -c adit:///system "$@"; }
up() { # the daemon, each of whose domains is of a user of its own; it returns when it serves
	rm -f /tmp/said && mkfifo /tmp/said
	/adit/build/virtaditd --uids 70001-70009 2>/tmp/said &
	daemon=$!
	while read -r line; do
		echo "$line" >>/out/daemon
		case $line in *serving*) break ;; esac
	done </tmp/said
	# Its log goes on into a file; the reader ends with it.
	cat /tmp/said >>/out/daemon &
}
killed() {
	kill -KILL "$daemon"
	wait "$daemon"
	up
}
told() { # told TEXT: until a listener was
	until grep -q "$1" /out/events; do
		kill -0 "$daemon" || return
		sleep 0.2
	done
}
without() { # without TEXT: until the domain's XML is
	while v dumpxml vm | grep -q "$1"; do sleep 0.2; done
	v domstate vm | grep -q running
}
back() { # back BDF DRIVER: until it is there
	while v domstate vm | grep -q running && [ "$(driver_of "$1")" != "$2" ]; do sleep 0.2; done
	is "$(driver_of "$1")" "$2"
}
# Until the guest has said it so often; it fails when the domain ends or SECONDS pass before.
heard() { # heard TEXT [N] [SECONDS]
	until=$(($(cut -d. -f1 /proc/uptime) + ${3:-300}))
	while [ "$(grep -c "$1" "$console")" -lt "${2:-1}" ]; do
		[ "$(cut -d. -f1 /proc/uptime)" -lt $until ] && v domstate vm | grep -q running && {
			sleep 0.5
			continue
		}
		echo "'$1' was not seen ${2:-1} times"
		tail -n 20 "$console" /run/adit/libvirt/*/log; v dumpxml vm; cat /run/adit/libvirt/*/taken.json
		return 1
	done
}

address() { # address BDF: of a <hostdev>, as XML has it
	echo "$1" | sed 's|\(.*\):\(.*\):\(.*\)\.\(.*\)|<address domain="0x\1" bus="0x\2" slot="0x\3" function="0x\4"/>|'
}
function_xml() { # function_xml BDF MANAGED [MORE]
	echo "<hostdev mode='subsystem' type='pci' managed='$2'><source>$(address "$1")</source>${3:-}</hostdev>"
}
mdev_xml() { echo "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='$1'/></source></hostdev>"; }
mdev_node() { echo "<device><parent>mtty</parent><capability type='mdev'><type id='mtty-1'/><uuid>$1</uuid></capability></device>"; }
node_of() { echo "mdev_${1}_mtty" | tr - _; } # node_of UUID
mdev_is() { [ -e "/sys/bus/mdev/devices/$1" ]; }

domain_xml() {
	cat <<-EOF
		<domain type='kvm'><name>vm</name><memory unit='MiB'>256</memory><vcpu>2</vcpu>
		<os><type>hvm</type><kernel>/kernels/generic/vmlinux</kernel><initrd>$image</initrd>
		<cmdline>console=ttyS0 panic=-1 quiet</cmdline></os>
		<devices><serial type='file'><source path='$console'/></serial>
		$(function_xml "$edu" yes "<alias name='ua-edu'/>")$(function_xml "$nvme" yes)$(mdev_xml "$port")
		</devices>
		<adit:machine xmlns:adit='urn:adit:domain:1'><adit:hostdev alias='ua-edu' allow_no_reset='yes'/></adit:machine>
		</domain>
	EOF
}

# A payload that does DMA in the edu, whose I/O address space is of an iommufd that this client opened.
associated() {
	cat >/tmp/own.xml <<-EOF
		<domain type='kvm'><name>own</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>
		<iommufd enabled='yes' fdgroup='mine'/>
		<devices><serial type='file'><source path='/out/own'/></serial>
		$(function_xml "$edu" yes "<alias name='ua-edu'/>")</devices>
		<adit:machine xmlns:adit='urn:adit:domain:1'><adit:flat path='/adit/build/guest/edu.bin'/>
		<adit:debug-exit/><adit:hostdev alias='ua-edu' allow_no_reset='yes'/></adit:machine></domain>
	EOF
	cat >/tmp/own.py <<-'EOF'
		import libvirt, os
		own = libvirt.open("adit:///system").defineXML(open("/tmp/own.xml").read())
		own.FDAssociate("mine", [os.open("/dev/iommu", os.O_RDWR)])
		own.create()
		print("running")
	EOF
	/usr/bin/python3 -I /tmp/own.py || return
	until v domstate own | grep -q 'shut off'; do sleep 0.5; done
	is "$(grep -c '^ok' /out/own) $(grep -c '^not ok' /out/own)" '5 0' && return
	cat /out/own /run/adit/libvirt/*/log
	return 1
}

l1() {
	. /passthrough.sh
	# Where libvirt's clients look, as distributions have it.
	mkdir -p /var && ln -s /run /var/run
	modprobe -a nvme e1000e mtty
	edu=$(pci_find 1234:11e8) nvme=$(pci_find 1b36:0010) nic=$(pci_find 8086:10d3)
	port=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
	{ l2_tell; guest_work; } >/tmp/work
	image=$(l2_image generic /tmp/work) console=/out/l2-vm
	# What a domain's user writes to.
	: >$console
	: >/out/own
	chmod 666 $console /out/own /dev/kvm
	check 'the host has its drivers' on_drivers ' nvme e1000e'
	up
	check 'devices are listed' eval 'v nodedev-list --cap pci | grep -q "^$(name_of "$nvme")"'
	# What comes by itself is told of. Until both listeners are there, that is done which they hear.
	v nodedev-event --event lifecycle --loop >/out/events &
	v nodedev-event --event update --loop >/out/updates &
	other=83b8f4f2-509f-382f-3c1e-e6bfe0fa1003
	mdev_node $other >/tmp/other.xml
	until [ -s /out/updates ] && [ -s /out/events ]; do
		v nodedev-detach "$(name_of "$nic")"
		v nodedev-reattach "$(name_of "$nic")"
		v nodedev-define /tmp/other.xml
		v nodedev-undefine "$(node_of $other)"
	done | note
	echo $other >/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/create
	check 'an mdev that somebody else has made is told of' told "$(node_of $other): Created"
	echo 1 >/sys/bus/mdev/devices/$other/remove
	check 'and that it is gone' told "$(node_of $other): Deleted"

	mdev_node $port >/tmp/port.xml
	check 'an mdev is made' eval "v nodedev-create /tmp/port.xml && mdev_is $port"

	domain_xml >/tmp/vm.xml
	check 'a domain is defined' v define /tmp/vm.xml
	check 'it starts' v start vm
	check 'its functions were taken from their drivers' on_drivers 'vfio-pci vfio-pci e1000e'
	check 'the guest has the drive' heard 'L2 came=1b36-0010:nvme'
	check 'and what is on it' is "$(l2_said vm sum)" "$(md5sum </out/disk-d0 | cut -d' ' -f1)"
	check 'the edu' heard 'L2 came=1234-11e8:none'
	check 'and the port' heard 'L2 came=4348-3253:serial'
	check 'a function in use is not taken away' refused 'in use by domain' v nodedev-reattach "$(name_of "$nvme")"
	check 'nor the mdev' refused 'in use by domain' v nodedev-destroy "$(node_of $port)"

	check 'a killed daemon leaves the domain, and the next one finds it' eval 'killed && v domstate vm | grep -q running'
	check 'a function is detached from its driver' eval 'v nodedev-detach "$(name_of "$nic")" && on_drivers "vfio-pci vfio-pci vfio-pci"'
	function_xml "$nic" no >/tmp/nic.xml
	check 'it is attached while the domain runs' v attach-device vm /tmp/nic.xml --live
	check 'the guest has it' heard 'L2 came=8086-10d3:e1000e'
	check 'and loses it' eval 'v detach-device vm /tmp/nic.xml --live && heard L2\ left=8086-10d3'
	check 'then the XML is without it' without "$(address "$nic")"
	check 'its driver has it again' eval 'v nodedev-reattach "$(name_of "$nic")" && on_drivers "vfio-pci vfio-pci e1000e"'

	late=83b8f4f2-509f-382f-3c1e-e6bfe0fa1002
	mdev_node $late >/tmp/late-node.xml
	mdev_xml $late >/tmp/late.xml
	check 'an mdev is defined' eval 'v nodedev-define /tmp/late-node.xml && v nodedev-list --inactive | grep -q "^$(node_of $late)" && ! mdev_is $late'
	check 'it is started' eval 'v nodedev-start "$(node_of $late)" && mdev_is $late'
	check 'and attached' eval 'v attach-device vm /tmp/late.xml --live && heard L2\ came=4348-3253:serial 2'
	check 'it is detached' eval 'v detach-device vm /tmp/late.xml --live && heard L2\ left=4348-3253 && without $late'
	check 'destroyed, it is defined' eval 'v nodedev-destroy "$(node_of $late)" && ! mdev_is $late && v nodedev-list --inactive | grep -q "^$(node_of $late)"'
	check 'undefined, it is gone' eval 'v nodedev-undefine "$(node_of $late)" && ! v nodedev-info "$(node_of $late)"'

	function_xml "$nic" yes >/tmp/nic.xml
	check 'a function is taken from its driver for a domain that runs' eval 'v attach-device vm /tmp/nic.xml --live && on_drivers "vfio-pci vfio-pci vfio-pci"'
	check 'the guest has it too' heard 'L2 came=8086-10d3:e1000e' 2
	check 'the next daemon' killed
	check 'gives it back when the guest has let go' eval 'v detach-device vm /tmp/nic.xml --live && heard L2\ left=8086-10d3 2 && without "$(address "$nic")" && back "$nic" e1000e'
	check 'it is taken once more' eval 'v attach-device vm /tmp/nic.xml --live && heard L2\ came=8086-10d3:e1000e 3'

	check 'the daemon is killed a third time' killed
	check 'the domain is destroyed' v destroy vm
	check 'its drivers have the functions again' on_drivers ' nvme e1000e'
	check 'the drive is as it was' eval 'until [ -b /dev/nvme0n1 ]; do sleep 0.1; done
		cmp /dev/nvme0n1 /out/disk-d0'
	check 'the mdev is there until it is destroyed' eval 'mdev_is $port && v nodedev-destroy "$(node_of $port)" && ! mdev_is $port'

	cat >/tmp/bare.xml <<-EOF
		<domain type='kvm'><name>bare</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>
		<adit:machine xmlns:adit='urn:adit:domain:1'><adit:flat path='/adit/build/guest/spin.bin'/></adit:machine></domain>
	EOF
	check 'a domain without devices runs' v create /tmp/bare.xml
	check 'and gets its first' eval 'v attach-device bare /tmp/nic.xml --live && on_drivers " nvme vfio-pci"'
	check 'destroyed, it has none' eval 'v destroy bare && on_drivers " nvme e1000e"'

	if [ -e /usr/bin/python3 ]; then
		check 'a device does DMA in an iommufd that its client has opened' associated
		check 'and is without a driver again' on_drivers ' nvme e1000e'
	else
		skip 'an iommufd of the client' 'no python3-libvirt on the host'
	fi
	kill "$daemon"
	wait "$daemon"
	check 'the daemon ends well' is $? 0
	end
}
