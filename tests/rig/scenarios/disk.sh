# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# An unmodified Debian guest on an ext4 image: it runs from there, its data is what it wrote, and
# after a kill in the middle of writes the file system recovers and what was flushed is there.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='Debian runs from a virtio disk, and flushed data survives a kill'
SMOKE=none
IOMMU=none
NEED='adit cloud image'
LIMIT=1800

image=/out/root.ext4

# vm NAME GO [MORE-JSON]: GO runs in the initramfs with /dev/vda there.
vm() {
	cat >"/tmp/$1"
	l2_config "$1" /kernels/cloud/vmlinux "$(l2_image cloud "/tmp/$1")" 1 256M quiet \
		'"disks": [ { "path": "'$image'", "serial": "rootdisk", "num_queues": 2 }'"${2:+, $2}"' ],
		"rng": {}, "console": { "mode": "File", "file": "/out/l2-'"$1"'-hvc0" }'
}

# Runs from the image: everything below is Debian's own. Then files are written and flushed for ever.
debian() {
	truncate -s 64M /tmp/second
	vm debian '{ "path": "/tmp/second", "packed": false, "direct": false }' <<-'EOF'
		mkdir /new
		mount -t ext4 /dev/vda /new || poweroff -f
		for d in proc sys dev; do mount --bind /$d /new/$d; done
		cat >/new/root/work <<-'END'
			say() { echo "L2 $1=$2"; }
			export PATH=/usr/sbin:/usr/bin:/sbin:/bin
			cd /root
			say shell "$(readlink -f /proc/$$/exe)"
			say root "$(findmnt -n -o SOURCE,FSTYPE /)"
			say serial "$(cat /sys/block/vda/serial)"
			say rng "$(cat /sys/devices/virtual/misc/hw_random/rng_current)"
			say hwrng "$(head -c 32 /dev/hwrng | wc -c)"
			say packed "$(for d in /sys/bus/virtio/drivers/virtio_blk/virtio*; do cut -c35 $d/features; done | tr -d '\n')"
			head -c 8M /dev/urandom >data
			sum=$(sha256sum <data)
			sync
			echo 3 >/proc/sys/vm/drop_caches
			[ "$(sha256sum <data)" = "$sum" ] && say data same
			mke2fs -q -t ext4 /dev/vdb && mount /dev/vdb /mnt && cp data /mnt/ && umount /mnt &&
				e2fsck -fn /dev/vdb >/dev/null && mount /dev/vdb /mnt &&
				[ "$(sha256sum </mnt/data)" = "$sum" ] && say second same
			fstrim -v /mnt | grep -q trimmed && say trim yes
			echo 'hello from hvc0' >/dev/hvc0
			say checked yes
			i=0
			while :; do
				i=$((i + 1))
				head -c 100000 /dev/urandom >file$i
				sum=$(sha256sum <file$i)
				sync file$i
				sync .
				echo "L2 flushed $i $sum"
			done
		END
		exec chroot /new /bin/bash /root/work
	EOF
	l2_start debian
	l2_wait_for debian 'L2 flushed 4 ' 1 800
	l2_signal KILL
	wait "$l2_pid" 2>/dev/null
	said() { check "debian: $1" is "$(l2_said debian "$2")" "$3"; }
	said 'its own shell runs' shell /usr/bin/bash
	said 'the root is the disk' root '/dev/vda ext4'
	said 'the serial number is given' serial rootdisk
	said 'entropy comes from virtio' rng virtio_rng.0
	said 'entropy flows' hwrng 32
	said 'one disk is packed and one split' packed 10
	said 'what was written is read again' data same
	said 'a second disk holds a file system' second same
	said 'discard works' trim yes
	check 'debian: the console carries words' grep -q 'hello from hvc0' /out/l2-debian-hvc0
	check 'debian: nothing was logged' is "$(grep -c -E 'warn|error' /out/l2-debian.log)" 0
}

recovered() {
	tr -d '\r' <"/out/l2-debian" | sed -n 's/^L2 flushed \([0-9]*\) \([0-9a-f]*\) .*/\1 \2/p' >/tmp/sums
	{
		echo 'cat >/tmp/sums <<END'
		cat /tmp/sums
		echo END
		cat <<-'EOF'
			mkdir /new
			mount -t ext4 /dev/vda /new && say mounted yes
			n=0
			while read -r i sum; do
				[ "$(sha256sum </new/root/file$i | cut -d' ' -f1)" = "$sum" ] && n=$((n + 1))
			done </tmp/sums
			say flushed $n
			dmesg | grep -q 'recovery complete' && say recovery yes
			mount -o remount,ro /new
			mount --bind /dev /new/dev
			chroot /new /usr/sbin/e2fsck -fn /dev/vda && say fsck clean
		EOF
	} | vm recovered
	check 'recovered: the next guest starts' l2_run recovered 800
	check 'recovered: the file system mounts' is "$(l2_said recovered mounted)" yes
	check 'recovered: its journal was replayed' is "$(l2_said recovered recovery)" yes
	check 'recovered: all that was flushed is there' is "$(l2_said recovered flushed)" \
		"$(wc -l </tmp/sums)"
	check 'recovered: the check finds nothing' is "$(l2_said recovered fsck)" clean
}

l1() {
	debian
	recovered
	rm -f "$image"
	end
}
