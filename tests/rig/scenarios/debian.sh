# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# A Debian as people have it: its own init starts from a root file system on virtio-blk and comes to
# the login prompt and answers over vsock; fio writes and verifies, on the file system and beside it; it
# powers off by itself, and the next guest finds the file system clean without a journal to replay, fetches a file through
# vhost-net, and gets and gives back memory by virtio-mem.
# shellcheck disable=SC1091,SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='Debian boots to a login, fio verifies what it wrote, the file system is clean'
SMOKE=''
IOMMU=none
NEED='adit cloud image network rig'
LIMIT=2400

image=/tmp/root.ext4 # in memory: a directory of the host is slow

# What the init of the image starts beside all that it starts anyway.
work() {
	cat <<-'EOF'
		mkdir /new
		mount -t ext4 /dev/vda /new || poweroff -f
		cat >/new/etc/systemd/system/rig.service <<-'END'
			[Unit]
			After=serial-getty@ttyS0.service
			[Service]
			Type=oneshot
			ExecStart=/root/work
			ExecStartPost=/usr/bin/systemctl --no-block poweroff
		END
		# An emulated machine on a busy one: nothing is late here.
		mkdir -p /new/etc/systemd/system/service.d
		printf '[Service]\nWatchdogSec=0\nTimeoutStartSec=1200\n' >/new/etc/systemd/system/service.d/rig.conf
		cat >/new/root/jobs <<-'END'
			[global]
			size=16M
			verify=crc32c
			verify_fatal=1
			do_verify=1
			direct=1
			[random]
			filename=/root/fio.random
			ioengine=libaio
			rw=randwrite
			bsrange=4k-64k
			iodepth=16
			[straight]
			stonewall
			filename=/root/fio.straight
			ioengine=io_uring
			rw=write
			bs=256k
			iodepth=8
			[mixed]
			stonewall
			filename=/dev/vdb
			ioengine=libaio
			rw=randrw
			bsrange=512-32k
			blockalign=512
			iodepth=32
			[trimmed]
			stonewall
			filename=/dev/vdb
			ioengine=psync
			rw=randwrite
			trim_percentage=20
			trim_backlog=16
			bs=4k
		END
		cat >/new/root/work <<-'END'
			#!/bin/bash
			say() { echo "L2 $1=$2" >/dev/virtio-ports/work; }
			# udev takes its time here.
			until [ -c /dev/virtio-ports/work ]; do sleep 1; done
			say init "$(cat /proc/1/comm)"
			say root "$(findmnt -n -o SOURCE,FSTYPE /)"
			say failed "$(systemctl --failed --plain --no-legend | tr '\n' ' ')"
			perl -e 'socket(S, 40, 1, 0) && bind(S, pack("SSLLx4", 40, 0, 1234, 0xffffffff)) &&
				listen(S, 5) or die $!;
				while (accept(C, S)) { $line = <C>; syswrite(C, "heard $line"); close(C) }' &
			for job in random straight mixed trimmed; do
				fio --section=$job /root/jobs >/tmp/fio 2>&1 && say "fio_$job" verified ||
					{ say "fio_$job" failed; cat /tmp/fio >/dev/virtio-ports/work; }
			done
			sync
			say done yes
		END
		chmod 755 /new/root/work
		umount /proc /sys /tmp
		mount --move /dev /new/dev
		exec switch_root /new /sbin/init
	EOF
}

has_plugged() { # has_plugged BYTES
	/adit/build/adit ctl /tmp/api counters | grep -q "\"plugged_bytes\":$1,"
}

# The next guest looks at the file system; its network is vhost-net's, and memory comes and goes.
after() {
	cat >/tmp/after <<-'EOF'
		mkdir /new
		mount -t ext4 -o ro,noload /dev/vda /new && say mounted yes
		dmesg | grep -q 'recovery' && say recovery yes
		mount --bind /dev /new/dev
		chroot /new /usr/sbin/e2fsck -fn /dev/vda && say fsck clean
		umount /new/dev /new
		ip addr add 10.1.1.2/24 dev eth0
		ip link set eth0 up
		say packed "$(cut -c35 /sys/bus/virtio/drivers/virtio_net/virtio*/features)"
		say fetched "$(wget -q -O - http://10.1.1.1/file | sha256sum)"
		say sent "$(ping -c 10 -A -q 10.1.1.1 | grep -c ' 0% packet loss')"
		total() { awk '/^MemTotal/ { print $2 }' /proc/meminfo; }
		until [ "$(total)" -gt 300000 ]; do sleep 1; done
		say plugged first
		until [ "$(total)" -gt 430000 ]; do sleep 1; done
		mount -o remount,size=400M /tmp
		head -c 200000000 /dev/zero >/tmp/zeros && say used "$(wc -c </tmp/zeros)"
		say again "$(wget -q -O - http://10.1.1.1/file | sha256sum)"
		rm /tmp/zeros
		echo 3 >/proc/sys/vm/drop_caches
		say plugged more
		until [ "$(total)" -lt 260000 ]; do sleep 1; done
		say plugged none
	EOF
	l2_config after /kernels/cloud/vmlinux "$(l2_image cloud /tmp/after)" 1 \
		'256M", "hotplug_size": "512M", "hotplugged_size": "128M' \
		'quiet memhp_default_state=online_movable' \
		'"disks": [ { "path": "'$image'", "readonly": true } ],
		"net": [ { "tap": "tap0", "vhost": true } ]'
	network_server
	l2_start after --no-reboot --api-socket /tmp/api
	network_plug
	check 'memory: some is there from the start' l2_wait_for after 'L2 plugged=first' 1 800
	check 'memory: more is wanted' /adit/build/adit ctl /tmp/api resize desired_ram=512M
	check 'memory: and comes' l2_wait_for after 'L2 plugged=more' 1 800
	check 'memory: the monitor counts it' has_plugged 268435456
	check 'memory: none is wanted' /adit/build/adit ctl /tmp/api resize desired_ram=256M
	check 'memory: it goes' l2_wait_for after 'L2 plugged=none' 1 800
	check 'after: the guest ends' l2_end after 800
	check 'after: the file system mounts without its journal' is "$(l2_said after mounted)" yes
	check 'after: nothing was left to replay' is "$(l2_said after recovery)" ''
	check 'after: the check finds nothing' is "$(l2_said after fsck)" clean
	check 'vhost: its rings are split ones' is "$(l2_said after packed)" 0
	check 'vhost: a file comes whole' is "$(l2_said after fetched)" "$(sha256sum </tmp/www/file)"
	check 'vhost: no packet is lost' is "$(l2_said after sent)" 1
	check 'memory: what was plugged can be used' is "$(l2_said after used)" 200000000
	check 'vhost: and frames land in it' is "$(l2_said after again)" "$(sha256sum </tmp/www/file)"
	check 'after: nothing was logged' is "$(grep -c -E 'warn|error' /out/l2-after.log)" 0
}

# Who connects to the port in the guest, once somebody listens there.
vsock_answer() {
	until ! kill -0 "$l2_pid" || /adit/build/tests/rig/vsock-connect /tmp/vs 1234 "$1"; do
		sleep 1
	done 2>/dev/null
}

l1() {
	. /network.sh
	modprobe tun
	modprobe vhost_net
	cp /out/root.ext4 $image
	rm -f /out/root.ext4
	truncate -s 64M /tmp/second
	work >/tmp/login
	l2_config login /kernels/cloud/vmlinux "$(l2_image cloud /tmp/login)" 1 512M \
		'quiet systemd.wants=rig.service systemd.default_device_timeout_sec=1200 systemd.mask=serial-getty@hvc0.service' \
		'"disks": [ { "path": "'$image'", "serial": "rootdisk", "num_queues": 2 },
			{ "path": "/tmp/second", "packed": false } ], "rng": {},
		"vsock": { "cid": 5, "socket": "/tmp/vs" },
		"console": { "mode": "Null", "ports": [
			{ "name": "work", "mode": "File", "file": "/out/l2-login-work" } ] }'
	l2_start login --no-reboot
	check 'login: the prompt is there' l2_wait_for login ' login: ' 1 1500
	check 'login: it answers over vsock' is "$(vsock_answer hello)" 'heard hello'
	check 'login: the guest powers off by itself' l2_end login 1500
	said() { check "login: $1" is "$(l2_said login-work "$2")" "$3"; }
	said "Debian's own init runs" init systemd
	said 'the root is the disk' root '/dev/vda ext4'
	said 'no unit failed' failed ''
	for job in random straight mixed trimmed; do
		said "fio's $job verifies" fio_$job verified
	done
	check 'login: nothing was logged' is "$(grep -c -E 'warn|error' /out/l2-login.log)" 0

	after
	end
}
