# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# An unmodified Debian guest on an ext4 image: it runs from there, its data is what it wrote, it
# fetches a file over a tap from a server in a network namespace, and talks over vsock to a port of its
# own console. After a kill in the middle of writes the file system recovers, and what was flushed is
# there.
# shellcheck disable=SC1091,SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='Debian on virtio: disks, network, vsock, console, entropy, balloon; a kill in the middle'
SMOKE=none
IOMMU=none
NEED='adit cloud image network'
LIMIT=1800

image=/tmp/root.ext4 # in memory: a directory of the host is slow

# vm NAME DISKS DEVICES: what the guest does, in its initramfs, comes from standard input.
vm() {
	cat >"/tmp/$1"
	l2_config "$1" /kernels/cloud/vmlinux "$(l2_image cloud "/tmp/$1")" 1 256M quiet \
		'"disks": [ { "path": "'$image'", "serial": "rootdisk" }'"$2"' ], "rng": {}'"$3"
}

# Runs from the image: everything below is Debian's own. Then files are written and flushed for ever.
debian() {
	truncate -s 64M /tmp/second
	vm debian ', { "path": "/tmp/second", "packed": false, "direct": false }' \
		', "console": { "mode": "File", "file": "/out/l2-debian-hvc0", "ports":
			[ { "name": "agent", "mode": "Socket", "socket": "/tmp/vs_77" } ] },
		"net": [ { "tap": "tap0", "mac": "52:54:00:12:34:56" } ],
		"vsock": { "cid": 5, "socket": "/tmp/vs" },
		"balloon": { "free_page_reporting": true, "statistics_interval": 1 }' <<-'EOF'
		ip addr add 10.1.1.2/24 dev eth0
		ip link set eth0 up
		say mac "$(cat /sys/class/net/eth0/address)"
		say fetched "$(wget -q -O - http://10.1.1.1/file | sha256sum)"
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
			cat /dev/vport*p1 >heard &
			until grep -q vsock heard; do
				perl -e 'socket(S, 40, 1, 0) or die; connect(S, pack("SSLLx4", 40, 0, 77, 2)) or die $!;
					syswrite(S, "hello over vsock\n"); sleep 1' || break
			done && say vsock connected
			say heard "$(head -n 1 heard)"
			say reporting "$(cut -c6 /sys/bus/virtio/drivers/virtio_balloon/virtio*/features)"
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
	network_server
	l2_start debian
	network_plug
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
	said 'the address of its network interface is the one given' mac 52:54:00:12:34:56
	said 'a file comes whole from a server in a namespace' fetched "$(sha256sum </tmp/www/file)"
	said 'vsock connects to a socket of the host' vsock connected
	said 'what went over vsock comes back on a console port' heard 'hello over vsock'
	said 'free pages are reported' reporting 1
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
	} | vm recovered '' ''
	check 'recovered: the next guest starts' l2_run recovered 800
	check 'recovered: the file system mounts' is "$(l2_said recovered mounted)" yes
	check 'recovered: its journal was replayed' is "$(l2_said recovered recovery)" yes
	check 'recovered: all that was flushed is there' is "$(l2_said recovered flushed)" \
		"$(wc -l </tmp/sums)"
	check 'recovered: the check finds nothing' is "$(l2_said recovered fsck)" clean
}

l1() {
	. /network.sh
	modprobe tun
	cp /out/root.ext4 $image
	rm -f /out/root.ext4
	debian
	recovered
	end
}
