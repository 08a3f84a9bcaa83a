#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The installed units under a systemd (house): VMs that it starts, stops and loses, and a virtaditd that
# it starts when a client comes, and again while domains run.
# shellcheck source=../cli/tap.sh
# shellcheck disable=SC2317 # what ok runs is called
. "$(dirname "$0")/../cli/tap.sh"
here=$(dirname "$0")
nothing() {
	skip "units under systemd" "$1"
	done_testing
}
[ "$(id -u)" = 0 ] || nothing "root alone makes namespaces for it"
for program in /lib/systemd/systemd systemctl systemd-sysusers unshare nsenter virsh ip; do
	command -v "$program" >/dev/null || nothing "no $program"
done
case $build in
*address* | *thread*) nothing "a sanitizer's memory is more than the units allow" ;;
esac
grep -q ' cgroup2 ' /proc/mounts || nothing "no cgroup2 is mounted"
group=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)$(sed -n 's/^0:://p' /proc/self/cgroup)/try-$$
{ mkdir "$group" && rmdir "$group"; } 2>/dev/null || nothing "no cgroup can be made: $group"
unshare --mount --pid --ipc --uts --net --cgroup --fork true 2>/dev/null || nothing "no namespaces may be made"
need_kvm_for_users "$@"

house=
finish() {
	[ -z "$house" ] || { kill "$house" && wait "$house"; }
	rm -rf "$work"
}
trap finish EXIT

# --- what the house is furnished with: the units that are not ours are systemd's own few
mkdir -p "$work/root" "$work/log" "$work/etc/adit" "$work/etc/systemd/system/service.d"
make -s --no-print-directory O="$build" install DESTDIR="$work/dest" PREFIX=/usr/local >"$work/out" 2>&1
ok "it is installed" is $? 0
mv "$work/dest/usr/local" "$work/local"
own=$work/etc/systemd/system
for target in basic sysinit sockets multi-user shutdown local-fs network umount; do
	cp "/lib/systemd/system/$target.target" "$own"
done
ln -s multi-user.target "$own/default.target"
printf '[Service]\nStandardOutput=append:/run/log/%%n\nStandardError=inherit\n' >"$own/service.d/log.conf"
printf '[Unit]\nAfter=multi-user.target\n[Service]\nExecStart=echo furnished\n' >"$own/up.service"
mkdir "$own/multi-user.target.wants"
ln -s ../up.service "$own/multi-user.target.wants"
printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$work/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\nkvm:x:%s:\n' "$(stat -c %g /dev/kvm)" >"$work/etc/group"
printf 'passwd: files systemd\ngroup: files systemd\n' >"$work/etc/nsswitch.conf"
cp /etc/os-release /etc/ld.so.cache "$work/etc"
: >"$work/etc/machine-id"
cp "$build/guest/powerbutton.bin" "$build/guest/spin.bin" "$build/guest/demo.bin" "$work/etc/adit"
sed 's|build/guest|/etc/adit|' config.example.json >"$work/etc/adit/demo.json"
# vm NAME PAYLOAD [MEMBERS]: root's alone, as a configuration may be.
vm() {
	printf '{"payload": {"flat": "/etc/adit/%s.bin", "address": "2M"}, "debug_exit": true%s}\n' "$2" "${3:-}" \
		>"$work/etc/adit/$1.json"
	chmod 600 "$work/etc/adit/$1.json"
}
vm one powerbutton ', "disks": [{"path": "disk.img"}]'
vm two spin ', "net": [{"tap": "tap-two"}]'
# As docs/sandbox.md has it: the user is there before the VM, and its tap is nobody else's.
mkdir "$own/adit@two.service.d"
cat >"$own/adit@two.service.d/tap.conf" <<'END'
[Service]
ExecStartPre=+ip tuntap add tap-two mode tap user adit-%i
ExecStopPost=+ip link del tap-two
END
vm three powerbutton
vm four powerbutton ', "devices": [{"path": "ffff:1f:1f.7", "managed": true}]'
vm a-name-that-is-longer-than-a-user-may-have powerbutton
cat >"$work/etc/domain.xml" <<'END'
<domain type='kvm'><name>dom</name><memory unit='MiB'>64</memory>
<os><type>hvm</type></os>
<devices><serial type='pty'/>
<disk type='file'><driver name='adit' type='raw'/><source file='/srv/one.img'/><target dev='vda' bus='virtio'/></disk>
<interface type='bridge'><source bridge='br0'/></interface>
</devices>
<adit:machine xmlns:adit='urn:adit:domain:1'><adit:flat path='/etc/adit/powerbutton.bin'/></adit:machine>
</domain>
END
sed 's/dom</second</; /<disk/d; /br0/d; s/powerbutton/spin/' "$work/etc/domain.xml" >"$work/etc/second.xml"

"$here/house" "$work" >"$work/house" 2>&1 &
house=$!
"$here/../cli/until" "$work/log/up.service" furnished
ok "systemd is up" is $? 0
if [ "$failures" != 0 ]; then
	sed 's/^/# /' "$work/house"
	done_testing
fi
in_house() { timeout 60 nsenter -t "$(cat "$work/pid")" -m -p -n -i -u -C -r -w "$@"; }
unit() { in_house systemctl "$@"; }
property() { unit show -P "$2" "$1"; }
says() { # says TEXT COMMAND...: it succeeds and says it.
	text=$1
	shift
	"$@" >"$work/out" 2>&1 && has "$work/out" "$text"
}
fails() { ! "$@" >"$work/out" 2>&1; }
gone() { [ -z "$(in_house sh -c "ls -d $1 2>/dev/null")" ]; }
# Also from deactivating, at whose end its folders go.
ended() { until property "$1" ActiveState | grep -Eqx 'inactive|failed'; do :; done; }
ok "the installed users are made" in_house systemd-sysusers adit.conf 2>/dev/null

# --- adit@.service
ok "the demonstration is started" unit start adit@demo
ended adit@demo
ok "it ends well" is "$(property adit@demo Result)" success
ok "its guest has said so" has "$work/log/adit@demo.service" 'all checks passed'
in_house sh -c 'mkdir -p /var/lib/adit/one && truncate -s 1M /var/lib/adit/one/disk.img'
ok "two VMs are started, one with a disk that root put into its folder" unit start adit@one adit@two
ok "they are active" is "$(unit is-active adit@one adit@two | sort -u)" active
# Started is who was executed: the guest tells that it runs.
"$here/../cli/until" "$work/log/adit@one.service" ready
ok "the API answers root" says '"state":"Running"' in_house adit ctl /run/adit-vm/one/api info
ok "which says that there are filters" has "$work/out" '"sandbox":"seccomp"'
uid() { in_house stat -c %u "/proc/$(property "$1" MainPID)"; }
ok "the other's tap is its own" says "tap-two: tap.* user $(uid adit@two)" in_house ip tuntap
ok "neither is root" sh -c '[ "$1" -gt 0 ] && [ "$2" -gt 0 ]' -- "$(uid adit@one)" "$(uid adit@two)"
ok "each is a user of its own" [ "$(uid adit@one)" != "$(uid adit@two)" ]
ok "who owns its folder" is "$(in_house stat -L -c %u:%a /var/lib/adit/one /var/lib/adit/two)" \
	"$(uid adit@one):700
$(uid adit@two):700"
ok "systemctl stop ends one" unit stop adit@one
ok "by its power button" has "$work/log/adit@one.service" '^ok power_button_event'
ok "which is success" is "$(property adit@one Result)" success
ok "and leaves no socket" gone /run/adit-vm/one
unit kill --kill-whom=main --signal=KILL adit@two
ended adit@two
ok "one that is killed has failed" is "$(property adit@two Result)" signal
ok "and leaves no socket either" gone /run/adit-vm/two
ok "nor a tap" is "$(in_house ip tuntap)" ''
ok "nor a process" is "$(property adit@two TasksCurrent)" '[not set]'
ok "it is started again" unit start adit@two
ok "a name that cannot be a user's is refused" fails unit start adit@a-name-that-is-longer-than-a-user-may-have

# --- adit-devices@.service
ok "a VM beside a keeper is started" unit start adit-devices@three
ok "and is the user adit" is "$(uid adit-devices@three)" "$(in_house id -u adit)"
"$here/../cli/until" "$work/log/adit-devices@three.service" ready
ok "its API answers root" says '"state":"Running"' in_house adit ctl /run/adit-vm/three/api info
ok "systemctl stop ends it" unit stop adit-devices@three
ok "by its power button, too" has "$work/log/adit-devices@three.service" '^ok power_button_event'
ok "without a rest" gone /run/adit-vm/three
# Without such a device the keeper is as far as it gets: it has run, within the unit's bounds, and ended.
unit start adit-devices@four 2>/dev/null
ended adit-devices@four
ok "one whose device is not there says so" has "$work/log/adit-devices@four.service" 'ffff:1f:1f.7: there is no such'
ok "the keeper was there, whose folder is for others as well" is "$(in_house stat -c %U:%a /run/adit)" root:755
ok "and has left nothing" gone "/run/adit-vm/four /run/adit/*"

# --- virtaditd
v() { in_house virsh -q -c adit:///system "$@"; }
daemon() { property virtaditd MainPID; }
in_house ip link add br0 type bridge 2>/dev/null
ok "the sockets are made without the daemon" unit start virtaditd.socket virtaditd-ro.socket
ok "which is not there before somebody comes" is "$(unit is-active virtaditd)" inactive
ok "virsh is answered" v list --all
ok "by a daemon that systemd has started" is "$(unit is-active virtaditd)" active
ok "who only looks is answered" in_house virsh -q -r -c adit:///system list --all
ok "and no more than that" fails in_house virsh -q -r -c adit:///system define /etc/domain.xml
in_house sh -c 'mkdir -p /srv && umask 077 && truncate -s 1M /srv/one.img /srv/two.img'
v define /etc/domain.xml
if in_house ip link show br0 >/dev/null 2>&1; then
	ok "a domain on a bridge starts" v start dom
	ok "its tap is on it" says 'master br0' in_house ip -o link show type tun
else
	skip "a domain on a bridge" "this kernel has none"
	v detach-interface dom bridge --config
	v start dom
fi
pid=$(in_house pgrep -f 'run/adit/libvirt/[^ ]*/config.json')
ok "it is a user of its own" is "$(in_house stat -c %u "/proc/$pid")" 70000
ok "root's image is its disk" says /srv/one.img v domblklist dom
v define /etc/second.xml
v start second
ok "also one that comes later" v attach-disk second /srv/two.img vdb --subdriver raw
v destroy second
first=$(daemon)
ok "systemctl restart" unit restart virtaditd
ok "is another daemon" [ "$first" != "$(daemon)" ]
ok "which has the domain" says 'dom *running' v list
first=$(daemon)
unit kill --kill-whom=main --signal=KILL virtaditd
while [ "$(daemon)" = "$first" ]; do unit --quiet is-active virtaditd.socket || break; done
ok "one that is killed comes again, and has it, too" says 'dom *running' v list
unit stop virtaditd 2>/dev/null
ok "one that is stopped leaves it" in_house test -e "/proc/$pid"
ok "and is started when somebody comes" says 'dom *running' v list
ok "it is the same process" is "$(in_house pgrep -f 'run/adit/libvirt/[^ ]*/config.json')" "$pid"
v shutdown dom
while v list | grep -q dom; do :; done
ok "it shuts down" says 'dom *shut off' v list --all
v start dom
in_house pkill -9 -f 'run/adit/libvirt/[^ ]*/config.json'
while v list | grep -q dom; do :; done
ok "one that is killed is known to have crashed" says crashed v domstate --reason dom
ok "and leaves no tap" is "$(in_house ip -o link show type tun | grep -v tap-two)" ''
ok "the daemon had nothing to complain of" sh -c '! grep -i "not permitted\|denied" "$1"' -- "$work/log/virtaditd.service"
if [ "$failures" != 0 ]; then
	tail -n 20 "$work/house" "$work"/log/* | sed 's/^/# /'
fi
done_testing
