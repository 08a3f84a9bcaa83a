# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Memory that is plugged and unplugged, with a real I/O address space of the kernel's: an NVMe drive
# comes to a guest that has given memory back and got some again, and does DMA into all that there is.
# None goes while it is there, more comes and is in its reach at once, and with it gone all goes.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='virtio-mem with an assigned NVMe drive that comes late'
SMOKE=''
IOMMU='intel amd'
DEVICES='nvme,serial=x,drive=d0'
DISKS='d0=96M'
NEED='adit generic'
LIMIT=1800

# What is read past the page cache lands in memory of the process that reads, which is movable and so
# comes from what was plugged first.
guest_work() {
	cat <<-'EOF'
		modprobe nvme
		total() { awk '/^MemTotal/ { print $2 }' /proc/meminfo; }
		until [ "$(total)" -gt 380000 ]; do sleep 1; done
		say plugged first
		until [ "$(total)" -lt 280000 ]; do sleep 1; done
		say plugged none
		until [ "$(total)" -gt 380000 ]; do sleep 1; done
		say plugged again
		until [ -b /dev/nvme0n1 ]; do sleep 1; done
		movable() { # pages of processes and of /tmp there
			awk '/^Node/ { zone = $4 } zone == "Movable" && /nr_zone_inactive_anon|nr_zone_active_anon/ { n += $2 }
				END { print (n > 12000 ? "yes" : "no: " n) }' /proc/zoneinfo
		}
		digest() {
			dd if=/dev/nvme0n1 of=/tmp/copy bs=32M iflag=direct 2>/dev/null
			sha256sum </tmp/copy | cut -d' ' -f1
		}
		say first "$(digest)"
		say landed "$(movable)"
		rm /tmp/copy
		until [ "$(total)" -gt 560000 ]; do sleep 1; done
		say plugged more
		mount -o remount,size=400M /tmp
		head -c 200000000 /dev/zero >/tmp/zeros
		say used "$(wc -c </tmp/zeros)"
		say second "$(digest)"
		say still "$(tr -d '\000' </tmp/zeros | wc -c)"
		rm /tmp/zeros /tmp/copy
		until [ ! -b /dev/nvme0n1 ]; do sleep 1; done
		echo 3 >/proc/sys/vm/drop_caches
		say left yes
		until [ "$(total)" -lt 280000 ]; do sleep 1; done
		say plugged over
	EOF
}

ctl() { /adit/build/adit ctl /tmp/api "$@"; }
refused() { # refused TEXT COMMAND...: with this in its sentence
	text=$1
	shift
	if ! ctl "$@" 2>/tmp/sentence && grep -q "$text" /tmp/sentence; then
		return
	fi
	cat /tmp/sentence
	return 1
}
balloon_empty() {
	until ctl counters | grep -q '"wanted_bytes":0,"actual_bytes":0'; do sleep 0.5; done
}
locked() { ctl metrics | awk '/^adit_(locked|pinned)_memory_bytes/ { n += $2 } END { print int(n / 1048576) }'; }

l1() {
	nvme=$(pci_find 1b36:0010)
	check 'the drive is given to vfio-pci' vfio_bind "$nvme"
	guest_work >/tmp/work
	l2_config hot /kernels/generic/vmlinux "$(l2_image generic /tmp/work)" 1 \
		'256M", "hotplug_size": "384M", "hotplugged_size": "192M' \
		'quiet memhp_default_state=online_movable' '"balloon": { "statistics_interval": 1 }'
	l2_start hot --no-reboot --api-socket /tmp/api
	check 'memory is there from the start' l2_wait_for hot 'L2 plugged=first' 1 600
	check 'none is wanted' ctl resize desired_ram=256M
	check 'it goes' l2_wait_for hot 'L2 plugged=none' 1 600
	check 'some is wanted again' ctl resize desired_ram=448M
	check 'it comes' l2_wait_for hot 'L2 plugged=again' 1 600
	check 'nothing is locked' is "$(locked)" 0
	check 'a balloon of some size' ctl resize desired_balloon=4M
	check 'keeps the drive away' refused 'does DMA to guest memory, of which the balloon' add-device "$nvme" nvme
	check 'it is given back' ctl resize desired_balloon=0
	check 'the guest has all of it' balloon_empty
	check 'it tells of its memory' eval 'ctl metrics | grep -q "^adit_balloon_guest_free_bytes [1-9]"'
	check 'the drive comes' ctl add-device "$nvme" nvme
	check 'the guest reads it' l2_wait_for hot 'L2 landed=' 1 600
	check 'as it is' is "$(l2_said hot first)" "$(sha256sum </out/disk-d0 | cut -d' ' -f1)"
	check 'into memory that was plugged' is "$(l2_said hot landed)" yes
	check 'less is refused' refused 'mapped for DMA by assigned devices' resize desired_ram=256M
	check 'so is a balloon' refused 'devices or ADIs do DMA' resize desired_balloon=4M
	before=$(locked)
	check 'more is wanted' ctl resize desired_ram=640M
	check 'it comes, too' l2_wait_for hot 'L2 plugged=more' 1 900
	check 'and is in reach of the drive' is $(($(locked) - before)) 192
	check 'the guest uses it' l2_wait_for hot 'L2 still=' 1 900
	check 'all of it' is "$(l2_said hot used)" 200000000
	check 'and reads the same' is "$(l2_said hot second)" "$(l2_said hot first)"
	check 'over nothing else' is "$(l2_said hot still)" 0
	check 'the drive leaves' ctl remove-device nvme 600
	check 'the guest sees it' l2_wait_for hot 'L2 left=yes' 1 600
	check 'none is wanted, once more' ctl resize desired_ram=256M
	check 'all goes' l2_wait_for hot 'L2 plugged=over' 1 900
	check 'nothing stays locked' is "$(locked)" 0
	check 'the guest ends' l2_end hot 300
	check 'nothing was logged' is "$(grep -c -E 'warn|error' /out/l2-hot.log)" 0
	end
}
