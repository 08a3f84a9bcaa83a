#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Domains that run as users of their own: what the daemon opens for them, what they may, and that
# nothing one of them puts into its directory leads the daemon elsewhere.
# shellcheck source=../cli/tap.sh
# shellcheck disable=SC2317 # what ok runs is called
. "$(dirname "$0")/../cli/tap.sh"
if ! command -v virsh >/dev/null; then
	skip "everything here" "no virsh (package libvirt-clients)"
	done_testing
fi
if [ "$(id -u)" != 0 ]; then
	skip "everything here" "root alone has users to give"
	done_testing
fi
need_kvm_for_users "$@"
here=$(dirname "$0")
until=$here/../cli/until
sock=$work/s
daemon=
options="--socket $sock --socket-ro $sock-ro --state-dir $work/state --run-dir $work/run --adit $adit"
# shellcheck disable=SC2086 # words
serve() { timeout 60 "$build/virtaditd" $options "$@" 2>>"$work/log"; }
up() {
	: >"$work/log"
	# shellcheck disable=SC2086
	"$build/virtaditd" $options --uids 70001-70002 2>>"$work/log" &
	daemon=$!
	"$until" "$work/log" serving
}
finish() {
	[ -n "$daemon" ] && kill "$daemon" 2>/dev/null && wait "$daemon"
	pgrep -f "run $work/run/" | xargs -r kill -9
	rm -rf "$work"
}
trap finish EXIT
v() { run virsh -q -c "adit:///system?socket=$sock" "$@"; }
does() {
	"$@"
	[ "$status" = 0 ]
}
fails() { # fails TEXT COMMAND...
	text=$1
	shift
	"$@"
	[ "$status" != 0 ] && has "$work/err" "$text"
}
says() { # says TEXT COMMAND...
	text=$1
	shift
	"$@"
	[ "$status" = 0 ] && has "$work/out" "$text"
}
# domain NAME PAYLOAD DEVICES: of files that are root's alone.
domain() {
	cat >"$work/$1.xml" <<-END
		<domain type='kvm'><name>$1</name><memory unit='MiB'>64</memory>
		<os><type>hvm</type></os>
		<devices><serial type='pty'/>$3</devices>
		<adit:machine xmlns:adit='urn:adit:domain:1'>
		<adit:flat path='$work/private/$2.bin'/>
		</adit:machine></domain>
	END
	v define "$work/$1.xml"
}
dir_of() { echo "$work/run/$(virsh -q -c "adit:///system?socket=$sock" domuuid "$1" | tr -d '\n')"; }
pid_of() { pgrep -f "adit run $(dir_of "$1")/config.json"; }
of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$(pid_of "$1")/status" | tr '\t' ' '; } # of DOMAIN FIELD
disk() { echo "<disk type='file'><driver name='qemu' type='raw'/><source file='$1'/><target dev='$2' bus='virtio'/></disk>"; }

for uids in 0-5 5-3 5 x-9 1-4294967295 ''; do
	serve --uids "$uids"
	ok "--uids $uids is refused" is $? 2
done
mkdir -m 700 "$work/private"
cp "$build"/guest/echo.bin "$build"/guest/hotplug.bin "$work/private/"
truncate -s 1M "$work/private/disk.img" "$work/private/more.img"
chmod 600 "$work"/private/*
chmod 700 "$work"
: >"$work/log"
serve --uids 70001-70002
ok "a directory that they cannot pass is refused" is $? 1
ok "with the mend" has "$work/log" "chmod o+x $work"
chmod 711 "$work"

up
domain one echo "$(disk "$work/private/disk.img" vda)"
domain two hotplug ""
domain three echo ""
ok "a domain of root's files starts" does v start one
ok "and another" does v start two
ok "its process has a user of its own" is "$(of one Uid)" "70001 70001 70001 70001"
ok "the other has another" is "$(of two Uid)" "70002 70002 70002 70002"
ok "the group is that of /dev/kvm" is "$(of one Gid | cut -d' ' -f1)" "$(stat -c %g /dev/kvm | sed 's/^0$/70001/')"
ok "and there is no other" is "$(of one Groups | tr -d ' ')" ""
ok "it has no capabilities" is "$(of one CapEff)" 0000000000000000
ok "what it makes is in its own directory" is "$(stat -c '%u %a' "$(dir_of one)/vm")" "70001 700"
ok "what the daemon keeps is not" is "$(stat -c '%u %a' "$(dir_of one)" "$(dir_of one)"/*.* | sort -u | tr '\n' ,)" "0 600,0 711,"
ok "others see nothing in it" sh -c '! setpriv --reuid=70002 --regid=70002 --clear-groups ls "$1" 2>/dev/null' -- "$(dir_of one)/vm"
ok "the disk's owner is who it was" is "$(stat -c '%u %a' "$work/private/disk.img")" "0 600"
ok "a third is refused: all users are in use" fails "each of the 2 users of --uids" v start three
ok "its console speaks" sh -c 'printf "send hello\nexpect hello\nsend \\x1d\n" |
	timeout 60 "$1" virsh -c "adit:///system?socket=$2" console one >/dev/null' -- "$here/console" "$sock"
ok "a disk comes while it runs" does v attach-disk two "$work/private/more.img" vdb --subdriver raw --live
ok "and is there" says "vdb *$work/private/more.img" v domblklist two
ok "one that is not there is refused by name" fails "more/none cannot be opened: " \
	v attach-disk two "$work/more/none" vdc --subdriver raw --live
for managed in yes no; do
	echo "<hostdev mode='subsystem' type='pci' managed='$managed'><source>
		<address domain='0xffff' bus='0xff' slot='0x1f' function='0x7'/></source></hostdev>" >"$work/function.xml"
	ok "a function that is not there, managed $managed, is refused by name" \
		fails "ffff:ff:1f.7: there is no such PCI function" v attach-device two "$work/function.xml" --live
done
echo "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>
	<address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>" >"$work/mdev.xml"
ok "so is an mdev" fails "c2177883-f1bb-47f0-914d-32a22e3a8804: there is no such mdev" v attach-device two "$work/mdev.xml" --live
ok "the domain has none of them" sh -c '! virsh -q -c "adit:///system?socket=$1" dumpxml two | grep -q hostdev' -- "$sock"
ok "a reset starts it from the same descriptors" does v reset one
ok "it runs on" says running v domstate one

kill -9 "$daemon"
wait "$daemon" 2>/dev/null
up
ok "the next daemon finds them" is "$(virsh -q -c "adit:///system?socket=$sock" list --name | sort | xargs)" "one two"
ok "it knows whose users are in use" fails "each of the 2 users of --uids" v start three

# What a domain that was broken into could do in its directory.
mv "$(dir_of one)/vm/api" "$(dir_of one)/vm/away"
ln -s "$(dir_of two)/vm/api" "$(dir_of one)/vm/api"
ok "another's API socket in the place of its own is not asked" fails "Operation not permitted" v suspend one
ok "so the other runs" says running v domstate two
rm "$(dir_of one)/vm/api"
mv "$(dir_of one)/vm/away" "$(dir_of one)/vm/api"
ln -sf "$(readlink "$(dir_of two)/vm/serial")" "$(dir_of one)/vm/serial"
ok "another's terminal is not its console" sh -c 'printf "expect the console cannot be opened\nfails\n" |
	timeout 60 "$1" virsh -c "adit:///system?socket=$2" console one >/dev/null' -- "$here/console" "$sock"

ok "destroy" does v destroy one
ok "its user is free again" does v start three
ok "and another domain's" is "$(of three Uid | cut -d' ' -f1)" 70001
v destroy two
v destroy three
ok "nothing is left but logs" is "$(find "$work"/run -type f -o -type s -o -type l | sed 's|.*/||' | sort -u | xargs)" "autostarted log"
done_testing
