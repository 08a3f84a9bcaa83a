# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# A guest's disk on a block device of the host, an NVMe drive: its size, its blocks, its discards; and
# then the drive is pulled while the guest reads and writes. The guest sees errors and goes on.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='a disk on an NVMe drive, which is pulled under the guest'
SMOKE=''
IOMMU=none
DEVICES='nvme,serial=x,drive=d0,logical_block_size=4096,physical_block_size=4096'
DISKS='d0=8M'
NEED='adit cloud'
LIMIT=900

guest_work() {
	cat <<-'EOF'
		q=/sys/block/vda/queue
		say size "$(blockdev --getsize64 /dev/vda)"
		say blocks "$(cat $q/logical_block_size $q/physical_block_size | words)"
		say discards "$([ "$(cat $q/discard_max_bytes)" -gt 0 ] && echo yes)"
		say before "$(sha256sum </dev/vda | cut -d' ' -f1)"
		head -c 1048576 /dev/urandom >/tmp/noise
		dd if=/tmp/noise of=/dev/vda bs=64k seek=32 oflag=direct conv=fsync 2>/dev/null
		echo 3 >/proc/sys/vm/drop_caches
		dd if=/dev/vda bs=64k skip=32 count=16 iflag=direct 2>/dev/null | cmp - /tmp/noise && say noise same
		blkdiscard -o 2097152 -l 1048576 /dev/vda && say discard yes
		say zeros "$(dd if=/dev/vda bs=64k skip=32 count=16 iflag=direct 2>/dev/null | tr -d '\000' | wc -c)"
		turns() { # turns NAME DD-ARGUMENT...: until it fails, and how
			name=$1 n=0
			shift
			while dd "$@" bs=64k count=16 2>/tmp/err.$name; do
				n=$((n + 1))
				[ $n != 3 ] || say "turns_$name" many
			done
			say "end_$name" "$(grep -o 'Input/output error' /tmp/err.$name | head -n 1)"
		}
		turns write if=/dev/zero of=/dev/vda oflag=direct &
		turns read if=/dev/vda of=/dev/null iflag=direct
		wait
		dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync 2>/dev/null || say flush error
		say alive yes
	EOF
}

l1() {
	nvme=$(pci_find 1b36:0010)
	modprobe nvme
	until [ -b /dev/nvme0n1 ]; do sleep 0.2; done
	before=$(sha256sum </dev/nvme0n1 | cut -d' ' -f1)
	guest_work >/tmp/work
	l2_config drive /kernels/cloud/vmlinux "$(l2_image cloud /tmp/work)" 2 256M quiet \
		'"disks": [ { "path": "/dev/nvme0n1", "direct": true, "num_queues": 2 } ]'
	l2_start drive --no-reboot --api-socket /tmp/api
	check 'it is read and written' l2_wait_for drive 'L2 turns_[rw][a-z]*=many' 2 600
	check 'the drive is pulled' eval "echo 1 >/sys/bus/pci/devices/$nvme/remove"
	check 'the guest ends by itself' l2_end drive 600
	said() { check "$1" is "$(l2_said drive "$2")" "$3"; }
	said 'its size is the device'"'"'s' size 8388608
	said 'so are its blocks' blocks '4096 4096'
	said 'it can discard' discards yes
	said 'what it reads is what is there' before "$before"
	said 'what it wrote is read again' noise same
	said 'a discard is carried out' discard yes
	said 'and leaves zeros' zeros 0
	said 'without the drive reads fail' end_read 'Input/output error'
	said 'writes fail' end_write 'Input/output error'
	said 'and so do flushes' flush error
	said 'nothing else does' alive yes
	check 'the log says what happened' grep -q 'blk: warning: disk0: .*: the device is gone' /out/l2-drive.log
	end
}
