# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Network functions under unmodified drivers: an e1000e, a VF of an igb and a virtio-net whose DMA goes
# through the IOMMU have a link and send and receive packets, through QEMU's user network behind each;
# and all the while the vectors move from one CPU to the other, which masks and unmasks them.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='an e1000e, an igb VF and a virtio-net are assigned: link and packets'
SMOKE=''
IOMMU='intel amd'
NETS='n0 n1 n2'
DEVICES='e1000e,netdev=n0,mac=52:54:00:00:00:01
igb,netdev=n1,mac=52:54:00:00:00:02
pcie-root-port,id=rp,chassis=1,slot=1
virtio-net-pci,bus=rp,disable-legacy=on,iommu_platform=on,netdev=n2,mac=52:54:00:00:00:03'
NEED='adit tests generic'
LIMIT=1500

guest_work() {
	cat <<-'EOF'
		modprobe e1000e
		modprobe igbvf
		modprobe virtio_pci
		modprobe virtio_net
		n=0
		for i in /sys/class/net/eth*; do
			nic=${i##*/} n=$((n + 1))
			driver=$(basename "$(readlink "$i/device/driver")")
			ip addr add 10.0.2.1$n/24 dev "$nic"
			ip link set "$nic" up
			until [ "$(cat "$i/carrier")" = 1 ]; do sleep 1; done
			say "link_$driver" "$(cat "$i/carrier")"
			irqs=$(ls "$i/device/msi_irqs" 2>/dev/null || ls "$i/device/../msi_irqs")
			: >/tmp/moves
			while :; do
				for cpu in 1 2; do
					for irq in $irqs; do
						echo $cpu >"/proc/irq/$irq/smp_affinity" 2>/dev/null && echo moved >>/tmp/moves
					done
				done
			done &
			ping -c 200 -A -I "$nic" 10.0.2.2 >/tmp/ping
			kill $!
			wait $!
			say "moves_$driver" "$([ "$(wc -l </tmp/moves)" -ge 100 ] && echo many || wc -l </tmp/moves)"
			say "packets_$driver" "$(grep -q ' 0% packet loss' /tmp/ping && echo all || tail -n 2 /tmp/ping | words)"
			ip link set "$nic" down
			ip addr flush dev "$nic"
		done
	EOF
}

try() { # try WAY
	l2_config "$1" /kernels/generic/vmlinux "$(l2_image generic /tmp/work)" 2 512M quiet \
		"\"devices\": [{ \"id\": \"nic\", \"path\": \"$nic\", \"via\": \"$1\" },
		    { \"id\": \"vf\", \"path\": \"$vf\", \"via\": \"$1\" },
		    { \"id\": \"virtio\", \"path\": \"$virtio\", \"via\": \"$1\" }]"
	check "$1: guest boots and ends" l2_run "$1" 20000 # L1's clock runs fast on a busy machine
	check "$1: e1000e has a link" is "$(l2_said "$1" link_e1000e)" 1
	check "$1: e1000e's vectors move about" is "$(l2_said "$1" moves_e1000e)" many
	check "$1: e1000e loses no packet" is "$(l2_said "$1" packets_e1000e)" all
	check "$1: the VF has a link" is "$(l2_said "$1" link_igbvf)" 1
	check "$1: the VF's vectors move about" is "$(l2_said "$1" moves_igbvf)" many
	check "$1: the VF loses no packet" is "$(l2_said "$1" packets_igbvf)" all
	check "$1: virtio-net has a link" is "$(l2_said "$1" link_virtio_net)" 1
	check "$1: virtio-net's vectors move about" is "$(l2_said "$1" moves_virtio_net)" many
	check "$1: virtio-net loses no packet" is "$(l2_said "$1" packets_virtio_net)" all
}

# A VF whose PF is VFIO's as well is for who knows the token that the PF was opened with.
token=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
vf_under_vfio() {
	echo "$vf" >"/sys/bus/pci/devices/$vf/driver/unbind"
	echo 0 >"/sys/bus/pci/devices/$pf/sriov_numvfs"
	echo Y >/sys/module/vfio_pci/parameters/enable_sriov
	vfio_bind "$pf" && echo 1 >"/sys/bus/pci/devices/$pf/sriov_numvfs" && vfio_bind "$vf"
}
flat() { # flat NAME PAYLOAD DEVICE-JSON
	cat >"/out/$1.json" <<-END
		{ "payload": { "flat": "/adit/build/guest/$2.bin" }, "serial": { "mode": "File", "file": "/out/$1" },
		  "debug_exit": true, "devices": [$3] }
	END
}
with_token() { # with_token NAME [TOKEN]: does a VM with the VF run to its end?
	flat "$1" hello "{ \"path\": \"$vf\", \"via\": \"$way\"${2:+, \"vf_token\": \"$2\"} }"
	timeout 20000 /adit/build/adit run --no-reboot "/out/$1.json" >"/out/$1.log" 2>&1 && return
	cat "/out/$1.log"
	return 1
}
no_vf() { # no_vf NAME WORDS [TOKEN]
	! with_token "$1" ${3:+"$3"} >/dev/null && grep -q "$2" "/out/$1.log" && return
	cat "/out/$1.log"
	return 1
}
try_token() { # try_token WAY
	way=$1
	flat "pf-$way" spin "{ \"path\": \"$pf\", \"via\": \"$way\", \"vf_token\": \"$token\" }"
	/adit/build/adit run --no-reboot "/out/pf-$way.json" --event-monitor "path=/out/pf-$way.events" >"/out/pf-$way.log" 2>&1 &
	pid=$!
	until grep -q booted "/out/pf-$way.events" 2>/dev/null; do
		kill -0 $pid || break
		sleep 0.1
	done
	check "$way: a VF without its token is refused" no_vf "vf-none-$way" 'give the VF token'
	check "$way: one with another token is refused" no_vf "vf-other-$way" 'is not the' 83b8f4f2-509f-382f-3c1e-e6bfe0fa1002
	check "$way: one with its token is had" with_token "vf-$way" $token
	kill -KILL $pid
	wait $pid
}

l1() {
	nic=$(pci_find 8086:10d3)
	pf=$(pci_find 8086:10c9)
	check e1000e_goes_to_vfio_pci vfio_bind "$nic"
	modprobe igb
	check igb_makes_a_vf sh -c "echo 1 >/sys/bus/pci/devices/$pf/sriov_numvfs"
	ip link set "$(ls "/sys/bus/pci/devices/$pf/net")" up
	vf=$(basename "$(readlink "/sys/bus/pci/devices/$pf/virtfn0")")
	check the_vf_goes_to_vfio_pci vfio_bind "$vf"
	virtio=$(pci_find 1af4:1041)
	check virtio_net_goes_to_vfio_pci vfio_bind "$virtio"
	guest_work >/tmp/work
	try cdev
	try group
	check the_pf_goes_to_vfio_pci_with_a_vf vf_under_vfio
	try_token cdev
	try_token group
	end
}
