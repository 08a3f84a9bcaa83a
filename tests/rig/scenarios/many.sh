# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Eight functions in one guest under unmodified drivers: edus, two of them one group and two more
# behind a root port whose bus alone can be reset, and two NVMe disks, at work one after the other
# and at once. Then, in the long tier, what eight functions cost a guest on its way to user space,
# beside QEMU.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='eight functions in one guest, by cdev and by group, and what they cost'
SMOKE=amd
IOMMU='intel amd'
DEVICES='edu,dma_mask=0xffffffffffffffff
edu,dma_mask=0xffffffffffffffff
edu,dma_mask=0xffffffffffffffff,multifunction=on,addr=0x8.0
edu,dma_mask=0xffffffffffffffff,addr=0x8.1
pcie-root-port,id=rp,chassis=1,slot=1
edu,dma_mask=0xffffffffffffffff,bus=rp,multifunction=on,addr=0x0.0
edu,dma_mask=0xffffffffffffffff,bus=rp,addr=0x0.1
nvme,serial=first,drive=d0
nvme,serial=second,drive=d1'
DISKS='d0=2M d1=2M'
NEED='adit bench passthrough cloud generic qemu'
LIMIT=2400

guest_work() {
	cat <<-'EOF'
		n=0
		for d in /sys/bus/pci/devices/*; do
			[ "$(cat "$d/vendor" "$d/device" | words)" = '0x1234 0x11e8' ] || continue
			# The disks read meanwhile.
			for disk in /dev/nvme?n1; do
				dd if="$disk" of=/dev/null bs=64k iflag=direct 2>/dev/null &
			done
			edu "${d##*/}" $((0x10000000 + n * 0x2000)) $((0x10001000 + n * 0x2000)) $((0x1122334455667700 + n * 0x100))
			wait
			n=$((n + 1))
		done
		say edus $n
		say disks "$(ls /dev/nvme?n1 | words)"
		say sums "$(for disk in /dev/nvme?n1; do sha256sum <"$disk" | cut -d' ' -f1; done | sort | words)"
	EOF
}

edu() { echo "{ \"path\": \"$1\", \"via\": \"$way\", \"allow_no_reset\": true }, "; }
# Those that can be reset with their bus, and so need no leave.
reset() { echo "{ \"path\": \"$1\", \"via\": \"$way\" }, "; }

try() {
	devices=
	for d in $alone; do
		devices=$devices$(edu "$d")
	done
	for d in $behind $disks; do
		devices=$devices$(reset "$d")
	done
	l2_config "$way" /kernels/generic/vmlinux "$(l2_image generic /tmp/work)" 1 512M 'quiet mem=256M' \
		"\"devices\": [${devices%, }]"
	/adit/build/adit check "/out/l2-$way.json" >"/out/check-$way"
	# The kernel looked at the first of the two when it was the only one there.
	check "$way: it is said which are reset with their bus" is "$(grep -c 'reset: bus' "/out/check-$way")" 2
	check "$way: and with whom" grep -q 'reset: bus, with' "/out/check-$way"
	check "$way: guest boots and ends" l2_run "$way" 20000 # L1's clock runs fast on a busy machine: LIMIT is the guard
	check "$way: six edus are there" is "$(l2_said "$way" edus)" 6
	check "$way: DMA of each is right" is "$(grep -c '^L2 edu_dma_.*=yes' "/out/l2-$way")" 6
	check "$way: two disks are there" is "$(l2_said "$way" disks)" '/dev/nvme0n1 /dev/nvme1n1'
	check "$way: both read as they are" is "$(l2_said "$way" sums)" \
		"$(for d in d0 d1; do sha256sum <"/out/disk-$d" | cut -d' ' -f1; done | sort | tr '\n' ' ' | sed 's/ $//')"
	check "$way: two are reset with their bus" is "$(grep -c 'reset: bus' "/out/l2-$way.log")" 2
}

bench() {
	/adit/build/adit bench boot --kernel /kernels/cloud/vmlinuz --initramfs "$(l2_image cloud)" \
		--marker 'L2 init=yes' --rounds "$rig_rounds" --devices 8 --patience 60 --retries 4 --json /out/bench.json >/out/bench.txt 2>&1
	status=$?
	cat /out/bench.txt
	check 'bench boot measures eight functions' test $status = 0
	check 'and says what each costs' grep -q '"own time per device"' /out/bench.json
}

l1() {
	. /passthrough.sh
	alone="" behind=""
	for d in $(pci_find 1234:11e8); do
		case $d in
		0000:00:*) alone="$alone $d" ;;
		*) behind="$behind $d" ;;
		esac
	done
	disks=$(pci_find 1b36:0010)
	for d in $alone $behind $disks; do
		check "$d goes to vfio-pci" vfio_bind "$d"
	done
	{ l2_edu; guest_work; } >/tmp/work
	[ "$rig_tier" = smoke ] && ways=group || ways='cdev group'
	for way in $ways; do
		try
	done
	# Dozens of boots: on one IOMMU.
	[ "$rig_iommu $rig_tier" != 'amd long' ] || bench
	end
}
