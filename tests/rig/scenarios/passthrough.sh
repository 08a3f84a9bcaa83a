# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Assigned functions under unmodified drivers: edu's DMA, and an NVMe disk read, written and read
# again from outside; by cdev and iommufd, and by group and container.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='edu and NVMe are assigned, by cdev and by group'
SMOKE='intel'
IOMMU='intel intel-snoop intel-legacy amd'
DEVICES='edu,dma_mask=0xffffffffffffffff
nvme,serial=adit,drive=d0'
DISKS='d0=2M'
NEED='adit passthrough generic'
LIMIT=1500

guest_work() {
	cat <<-'EOF'
		for d in /sys/bus/pci/devices/*; do
			[ "$(cat "$d/vendor" "$d/device" | words)" = '0x1234 0x11e8' ] && edu=${d##*/}
		done
		edu "$edu" 0x10000000 0x10001000 0x1122334455667700
		before=$(sha256sum </dev/nvme0n1 | cut -d' ' -f1)
		say nvme_before "$before"
		# Not what an earlier guest wrote there.
		yes "$before" | dd of=/dev/nvme0n1 bs=64k count=16 seek=4 iflag=fullblock conv=fsync 2>/dev/null
		echo 3 >/proc/sys/vm/drop_caches
		say nvme_after "$(sha256sum </dev/nvme0n1 | cut -d' ' -f1)"
		# Its driver begins anew.
		echo 1 >/sys/class/nvme/nvme0/device/reset && say flr_done yes
		echo 3 >/proc/sys/vm/drop_caches
		say nvme_reset "$(sha256sum </dev/nvme0n1 | cut -d' ' -f1)"
		say nvme_irqs "$(awk '/nvme0q/ { n += $2 } END { print (n > 0 ? "some" : "none") }' /proc/interrupts)"
	EOF
}

digest() { sha256sum </out/disk-d0 | cut -d' ' -f1; }

try() { # try WAY
	l2_config "$1" /kernels/generic/vmlinux "$(l2_image generic /tmp/work)" 1 512M 'quiet mem=256M' \
		"\"devices\": [{ \"id\": \"edu\", \"path\": \"$edu\", \"via\": \"$1\", \"allow_no_reset\": true },
		    { \"id\": \"disk\", \"path\": \"$nvme\", \"via\": \"$1\" }]"
	before=$(digest)
	check "$1: guest boots and ends" l2_run "$1" 20000 # L1's clock runs fast on a busy machine: LIMIT is the guard
	check "$1: edu answers" is "$(tr -d '\r' <"/out/l2-$1" | sed -n 's/^L2 edu_id_[^=]*=//p')" 0x010000ED
	check "$1: edu's DMA is right" is "$(tr -d '\r' <"/out/l2-$1" | sed -n 's/^L2 edu_dma_[^=]*=//p')" yes
	check "$1: the whole disk reads as it is" is "$(l2_said "$1" nvme_before)" "$before"
	check "$1: what was written is on the disk" is "$(digest)" "$(l2_said "$1" nvme_after)"
	check "$1: and it is something else" test "$(l2_said "$1" nvme_after)" != "$before"
	check "$1: the guest resets it" is "$(l2_said "$1" flr_done)" yes
	check "$1: and it reads as before" is "$(l2_said "$1" nvme_reset)" "$(l2_said "$1" nvme_after)"
	check "$1: its interrupts arrive" is "$(l2_said "$1" nvme_irqs)" some
}

l1() {
	. /passthrough.sh
	edu=$(pci_find 1234:11e8)
	nvme=$(pci_find 1b36:0010)
	check edu_goes_to_vfio_pci vfio_bind "$edu"
	check nvme_goes_to_vfio_pci vfio_bind "$nvme"
	{ l2_edu; guest_work; } >/tmp/work
	try cdev
	[ "$rig_tier" = smoke ] || try group
	end
}
