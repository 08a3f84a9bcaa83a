#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# virtaditd as an unmodified virsh meets it: definitions, domains that run, events, and a daemon that
# comes and goes while they do.
# shellcheck source=../cli/tap.sh
# shellcheck disable=SC2317 # what ok runs is called
. "$(dirname "$0")/../cli/tap.sh"
if ! command -v virsh >/dev/null; then
	skip "everything here" "no virsh (package libvirt-clients)"
	done_testing
fi
until=$(dirname "$0")/../cli/until
sock=$work/s
daemon=
domain_pid=
# A daemon that is gone leaves its domains: end what this test has started.
finish() {
	[ -n "$daemon" ] && kill "$daemon" 2>/dev/null && wait "$daemon"
	ip link del "${bridge:-}" 2>/dev/null
	[ -n "$domain_pid" ] && kill -9 "$domain_pid" 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT

up() { # starts the daemon and waits until it serves.
	: >"$work/log"
	"$build/virtaditd" --socket "$sock" --socket-ro "$sock-ro" --state-dir "$work/state" \
		--run-dir "$work/run" --adit "$adit" 2>>"$work/log" &
	daemon=$!
	"$until" "$work/log" serving
}
down() {
	kill "$daemon"
	wait "$daemon"
	down=$?
	daemon=
}
v() { run virsh -q -c "adit:///system?socket=$sock" "$@"; }
ro() { run virsh -q -r -c "adit:///system?socket=$sock-ro" "$@"; }
says() { # says TEXT COMMAND...: it succeeds and says it.
	text=$1
	shift
	"$@"
	[ "$status" = 0 ] && has "$work/out" "$text"
}
does() { # does COMMAND...: it succeeds.
	"$@"
	[ "$status" = 0 ]
}
fails() { # fails TEXT COMMAND...
	text=$1
	shift
	"$@"
	[ "$status" != 0 ] && has "$work/err" "$text"
}

# domain NAME PAYLOAD [DEVICES [ADIT]]: writes $work/NAME.xml.
domain() {
	cat >"$work/$1.xml" <<-END
		<domain type='kvm'>
		<name>$1</name><title>Title of $1</title>
		<memory unit='MiB'>64</memory><vcpu>1</vcpu>
		<os><type arch='x86_64' machine='adit'>hvm</type></os>
		<devices>${3:-}</devices>
		<adit:machine xmlns:adit='urn:adit:domain:1'>
		<adit:flat path='$(realpath "$build")/guest/$2.bin'/>${4:-}
		</adit:machine>
		</domain>
	END
}

up
ok "the socket is 0600" is "$(stat -c %a "$sock")" 600
ok "and so is the one for looking" is "$(stat -c %a "$sock-ro")" 600
ok "uri" says "adit:///system" v uri
ok "version" says "adit $(cat VERSION)" v version
ok "hostname" says . v hostname
ok "nodeinfo" says "Memory size" v nodeinfo
ok "capabilities" says "<os_type>hvm</os_type>" v capabilities
ok "domcapabilities" says "<value>mdev</value>" v domcapabilities
ok "domcapabilities of another architecture are refused" fails "x86_64 and nothing else" \
	v domcapabilities --arch aarch64
v list --all
ok "no domain is there" is "$(tr -d '\n' <"$work/out")" ""

# --- definitions
domain one spin "<serial type='pty'/><console type='pty'/>" \
	"<adit:adi id='dsa0' type='dsa'><adit:wq size='16'/><adit:pasid allow='yes'/></adit:adi>
	<adit:space id='w' offset='32M' size='16M'/><adit:pasid guest='5' adi='dsa0' space='w'/>"
ok "define" does v define "$work/one.xml"
ok "list --all shows it" says "one *shut off" v list --all
ok "list --title shows its title" says "Title of one" v list --all --title
v dumpxml one
cp "$work/out" "$work/dump1"
ok "what is dumped defines it again" does v define "$work/dump1"
v dumpxml one
ok "byte for byte" cmp "$work/out" "$work/dump1"
ok "it is kept as it is dumped" sh -c 'cat "$1"/*.xml | diff -B - "$2"' -- "$work/state" "$work/dump1"
ok "its file is 0600" is "$(stat -c %a "$work"/state/*.xml)" 600
ok "dominfo" says "Max memory: *65536 KiB" v dominfo one
ok "domuuid and domname agree" says '^one$' v domname "$(virsh -q -c "adit:///system?socket=$sock" domuuid one)"
ok "vcpucount" says "maximum *config *1" v vcpucount one
ok "domstate" says "shut off" v domstate one
ok "domxml-to-native shows what adit is given" says '"boot_vcpus":1\|"boot_vcpus": 1' v domxml-to-native adit-json --domain one
ok "which adit takes" "$adit" check "$work/out"
cp "$work/out" "$work/native1"
ok "domxml-from-native makes a domain of it" says '<adit:pasid guest="5"' v domxml-from-native adit-json "$work/native1"
cp "$work/out" "$work/from.xml"
ok "of the same name" has "$work/from.xml" "<name>one</name>"
ok "and UUID" has "$work/from.xml" "$(sed -n 's/.*<uuid>\(.*\)<.uuid>.*/\1/p' "$work/dump1")"
v domxml-to-native adit-json --xml "$work/from.xml"
ok "which is the same configuration" cmp "$work/out" "$work/native1"
echo '{"payload": {"kernel": "/k"}, "memory": {"size": "64M"}, "cpu": {}}' >"$work/strange.json"
ok "what domain XML has no words for is refused by its pointer" fails "/cpu: domain XML has no words" \
	v domxml-from-native adit-json "$work/strange.json"
echo '{"payload": {"kernel": "/k"}, "payload": {"kernel": "/other"}}' >"$work/strange.json"
ok "and what is said twice" fails "/payload: this key is there twice" v domxml-from-native adit-json "$work/strange.json"
ok "and so is what is no JSON" fails "(document)" v domxml-from-native adit-json "$work/one.xml"
ok "and another format" fails "the native format is adit-json" v domxml-from-native qemu-argv "$work/native1"
sed 's/one/two/' "$work/dump1" >"$work/two.xml"
ok "another name for its UUID is refused" fails "already with UUID" v define "$work/two.xml"
sed 's/<uuid>.*<.uuid>//' "$work/dump1" >"$work/two.xml"
ok "another UUID for its name is refused" fails "already with UUID" v define "$work/two.xml"
domain bad spin "<video/>"
ok "what adit cannot do is refused by its path" fails "/domain/devices/video" v define "$work/bad.xml"
echo "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain>&a;</domain>" >"$work/bad.xml"
ok "a document type is refused" fails "document type" v define "$work/bad.xml"
ok "what is not served is said so" fails "not served by virtaditd" v domtime one
ok "an unknown domain is" fails "failed to get domain" v dominfo nobody
ok "autostart" does v autostart one
ok "and it is kept" sh -c 'ls "$1"/*.autostart' -- "$work/state"
ok "autostart --disable" does v autostart --disable one

# --- one device, one number, one line of a definition
truncate -s 1M "$work/disk.img" "$work/other.img" "$work/third.img"
ok "attach-disk --config" does v attach-disk one "$work/disk.img" vdb --subdriver raw --config
ok "domblklist shows it" says "vdb *$work/disk.img" v domblklist one
ok "the same target twice is refused" fails "has this disk already" \
	v attach-disk one "$work/disk.img" vdb --subdriver raw --config
ok "a disk whose format is not told is refused" fails "<driver type='raw'/> is missing" \
	v attach-disk one "$work/disk.img" vdc --config
ok "without --config it is for what runs" fails "not running" \
	v attach-device one "$work/one.xml"
cat >"$work/nic.xml" <<'END'
<interface type='ethernet'><mac address='52:54:00:00:00:0a'/><target dev='tap9' managed='no'/>
<model type='virtio'/><alias name='ua-nic'/></interface>
END
ok "attach-device --config of an interface" does v attach-device one "$work/nic.xml" --config
ok "domiflist shows it" says "tap9 *ethernet .*52:54:00:00:00:0a" v domiflist one
sed -i 's/<model/<mtu size="1400"\/>&/' "$work/nic.xml"
ok "update-device --config" does v update-device one "$work/nic.xml" --config
ok "it is another now" says "<mtu size=\"1400\"/>" v dumpxml one
ok "detach-device-alias --config" does v detach-device-alias one ua-nic --config
v dumpxml one
ok "it is gone" sh -c '! grep -q interface "$1"' -- "$work/out"
cat >"$work/mdev.xml" <<'END'
<hostdev mode='subsystem' type='mdev' model='vfio-pci'>
<source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>
END
ok "attach-device --config of an mdev" does v attach-device one "$work/mdev.xml" --config
ok "detach-device --config" does v detach-device one "$work/mdev.xml" --config
ok "detaching it twice is refused" fails "no such hostdev" v detach-device one "$work/mdev.xml" --config
echo "<video/>" >"$work/video.xml"
ok "a device that adit has not is refused" fails "/video" v attach-device one "$work/video.xml" --config
echo "<disk><x/></disk>" >"$work/video.xml"
ok "a device that does not say which it is is refused" fails "/disk/target: is missing" \
	v attach-device one "$work/video.xml" --config
v dumpxml one
cp "$work/out" "$work/with-disk.xml"
ok "a device has an address" has "$work/out" '<address type="pci" domain="0x0000" bus="0x00" slot="0x02" function="0x0"/>'
sed 's/slot="0x02"/slot="0x1e"/' "$work/with-disk.xml" >"$work/moved.xml"
ok "another one" does v define "$work/moved.xml"
sed "s/vdb/vdc/; /<address/d; s,disk.img,other.img," "$work/with-disk.xml" | sed -n '/<disk/,/<.disk>/p' >"$work/second.xml"
ok "a second device" does v attach-device one "$work/second.xml" --config
v dumpxml one
ok "does not move it" has "$work/out" 'slot="0x1e"'
ok "and is where there is room" has "$work/out" 'slot="0x02"'
v detach-disk one vdc --config
v define "$work/with-disk.xml"
ok "detach-disk --config" does v detach-disk one vdb --config
v dumpxml one
ok "the definition is what it was" cmp "$work/out" "$work/dump1"
ok "setvcpus --config" does v setvcpus one 2 --config
ok "setmaxmem --config" does v setmaxmem one 96M --config
ok "setmem --config without a balloon is refused" fails "needs" v setmem one 32M --config
ok "setmem --config" does v setmem one 96M --config
ok "dominfo has the numbers" says "Used memory: *98304 KiB" v dominfo one
ok "setmaxmem --config below what it has takes that along" does v setmaxmem one 80M --config
ok "as dominfo tells" says "Used memory: *81920 KiB" v dominfo one
ok "more than the maximum is refused" fails "more than the domain's maximum memory" v setmem one 1G --config
ok "the old forms are for what runs" fails "not running" v setvcpus one 2
ok "but for the maximum" does v setmaxmem one 96M
ok "desc --title" does v desc one --title "Another title"
ok "it is told" says "Another title" v list --all --title
ok "desc" does v desc one "What it is <for>"
ok "that is told too" says "What it is <for>" v desc one
v define "$work/dump1"

# --- looking only
ok "a read-only client lists" says one ro list --all
ok "and dumps" says "<name>one" ro dumpxml one
ok "secure XML is not for it" fails . ro dumpxml --security-info one
ok "it cannot undefine" fails . ro undefine one

down
ok "the daemon ends well" is "$down" 0
ok "and takes its socket away" [ ! -e "$sock" ]
up
ok "definitions are there after a restart" says "one *shut off" v list --all
v dumpxml one
ok "as they were" cmp "$work/out" "$work/dump1"
ok "a second daemon on the socket is refused" sh -c '! "$1" --socket "$2" --socket-ro "$2-ro" \
	--state-dir "$3/state" --run-dir "$3/run2" 2>"$3/err" && grep -q "somebody serves it" "$3/err"' \
	-- "$build/virtaditd" "$sock" "$work"

# --- sockets that systemd hands over (sd_listen_fds(3)); the path tells which is for looking
down
cat >"$work/activate" <<'END'
import os, socket, sys
for fd, path in ((3, sys.argv[1] + "-ro"), (4, sys.argv[1])):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    os.dup2(listener.detach(), fd + 20)
for fd in (3, 4):
    os.dup2(fd + 20, fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
os.execv(sys.argv[2], sys.argv[2:])
END
: >"$work/log"
python3 "$work/activate" "$sock" "$build/virtaditd" --state-dir "$work/state" --run-dir "$work/run" \
	--adit "$adit" 2>>"$work/log" &
daemon=$!
"$until" "$work/log" serving
ok "inherited sockets are served" says "one *shut off" v list --all
ok "the one that ends in -ro by its name" sh -c 'virsh -q -c "adit:///system?socket=$1-ro" undefine one 2>&1 |
	grep -q "read-only"' -- "$sock"
down
ok "they are not the daemon's to remove" [ -S "$sock" ]
rm -f "$sock" "$sock-ro"
up

# --- domains that run
if [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
	skip "domains that run" "no /dev/kvm"
	v undefine one
	down
	done_testing
fi
# A boot of the host, which empties the run directory.
boot() {
	down
	rm -f "$work/run/autostarted"
	up
}
domain booted powerbutton
v define "$work/booted.xml"
v autostart booted
boot
"$until" "$work/log" "booted: started"
ok "autostart starts it with the host" does v destroy booted
v autostart --disable booted
if virsh help autostart | grep -q -e --once; then
	ok "autostart --once" does v autostart --once booted
	ok "is told by dominfo" says "Autostart Once: *enable" v dominfo booted
	boot
	"$until" "$work/log" "booted: started"
	ok "it is started the next time" does v destroy booted
	ok "and not after that" says "Autostart Once: *disable" v dominfo booted
	boot
	ok "as is seen" sh -c '! grep -q "booted: started" "$1"' -- "$work/log"
else
	skip "autostart --once" "this virsh is older than it (11.2)"
fi
v undefine booted
boot # ids begin anew
virsh -q -c "adit:///system?socket=$sock" event --event lifecycle --loop >"$work/events" 2>&1 &
events=$!
# Its registration is under way: define until it has heard of it.
domain heard spin
until grep -q "heard.: Defined Added" "$work/events"; do
	v define "$work/heard.xml"
	v undefine heard
done
ok "start" does v start one
ok "it runs" says "running (booted)" v domstate --reason one
ok "starting it twice is refused" fails "already active" v start one
ok "list shows its id" says "^ 1 *one *running" v list
ok "domid" says '^1$' v domid one
ok "the XML of what runs has the id" says 'id="1"' v dumpxml one
v dumpxml --inactive one
ok "that of the definition has none" cmp "$work/out" "$work/dump1"
ok "dominfo tells its CPU time" says "CPU time" v dominfo one
uuid=$(virsh -q -c "adit:///system?socket=$sock" domuuid one)
ok "its terminal has a name" [ -c "$work/run/$uuid/vm/serial" ]
ok "its PASID is bound" sh -c '"$1" ctl "$2" pasids | grep -q "\"guest\": *5"' -- "$adit" \
	"$work/run/$uuid/vm/api"
ok "domstats tells its state and CPU time" says "state.state=1" v domstats one --state --cpu-total
ok "and nothing that was not asked for" sh -c 'grep -q cpu.time "$1" && ! grep -q vcpu "$1"' -- "$work/out"
ok "domstats of all tells what its ADI did" says "adit.dsa0.accepted=0" v domstats
ok "domstats --list-inactive is without it" sh -c 'out=$(virsh -q -c "adit:///system?socket=$1" \
	domstats --list-inactive --state) && ! echo "$out" | grep -q one' -- "$sock"
ok "suspend" does v suspend one
ok "it is paused" says "paused (user)" v domstate --reason one
ok "suspending it twice is refused" fails . v suspend one
ok "resume" does v resume one
ok "it runs on" says "running (unpaused)" v domstate --reason one
v suspend one
ok "reset" does v reset one
ok "one that is paused stays so" is "$(virsh -q -c "adit:///system?socket=$sock" domstate --reason one)" "paused (user)"
v resume one
domain_pid=$(sed -n 's/.*started as pid //p' "$work/log" | tail -1)

# --- the daemon goes and comes
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
wait "$events"
ok "a killed daemon leaves the domain alone" kill -0 "$domain_pid"
up
ok "the next one takes the socket over and finds it" says "^ 1 *one *running" v list
ok "destroy" does v destroy one
# Whoever adopted it may not have reaped it yet.
ok "its process is gone" sh -c '! grep -v "^State:[[:space:]]*[ZX]" "/proc/$1/status" 2>/dev/null |
	grep -q ^State' -- "$domain_pid"
domain_pid=
ok "it is shut off" says "shut off (destroyed)" v domstate --reason one
ok "nothing of the run is left but its log" is "$(ls "$work/run/$uuid")" log
ok "undefine" does v undefine one
ok "and nothing of the definition" is "$(ls "$work/state")" ""

ok "events told its life" sh -c 'for w in "Defined Added" "Started Booted" "Suspended Paused" \
	"Resumed Unpaused"; do grep -q "domain .one.: $w\|domain .heard.: $w" "$1" || { echo "# $w"; exit 1; }; done' \
	-- "$work/events"

# --- with the connection that started it
domain owned spin
v define "$work/owned.xml"
ok "start --autodestroy" says "owned *running" v "start owned --autodestroy; list"
ok "it ends with that virsh" "$until" "$work/log" "owned: ended: destroyed"
ok "as is told" says "shut off (destroyed)" v domstate --reason owned
mkfifo "$work/held"
virsh -q -c "adit:///system?socket=$sock" <"$work/held" >"$work/holder" 2>&1 &
holder=$!
exec 9>"$work/held"
echo "start owned --autodestroy" >&9
"$until" "$work/log" "owned: started" 2
until virsh -q -c "adit:///system?socket=$sock" domstate owned | grep -q running; do :; done
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
exec 9>&-
wait "$holder" 2>/dev/null
up
ok "a daemon that comes after ends it" "$until" "$work/log" "owned: ended: destroyed"
v undefine owned

# --- its console
talk() { # talk LINES COMMAND...: as virsh, on a terminal.
	lines=$1
	shift
	# shellcheck disable=SC2059 # the lines are made here
	printf "$lines" | timeout 60 "$(dirname "$0")/console" virsh -c "adit:///system?socket=$sock" "$@"
}
domain talker echo "<serial type='pty'/>"
v create "$work/talker.xml"
ok "a console brings what is typed, and Ctrl-] leaves it" \
	talk 'send hello\nexpect hello\nsend \\x1d\n' console talker
talk 'send hello\nexpect hello\nexpect taken the console over\n' console talker >"$work/first" 2>&1 &
first=$!
"$until" "$work/first" "expect hello"
ok "another is refused while it is used" talk 'expect somebody uses this console\nfails\n' console talker
ok "--force takes it over" talk 'send again\nexpect again\nsend \\x1d\n' console talker --force
wait "$first"
ok "and the first is told so" has "$work/first" "expect taken the console over"
ok "a name of no console is refused" talk 'expect has no tty1\nfails\n' console talker --devname tty1
ok "a guest that ends ends the console" talk 'send .\n' console talker
"$until" "$work/log" "talker: ended: off"
ok "a domain that does not run has none" talk 'expect failed to get domain\nfails\n' console talker

# --- devices that come and go while it runs
# Until the listener hears of a device that came: virsh registers that event behind the others here.
hear() {
	until grep -q "'device-added' for domain 'plugged': vdz" "$work/plug-events"; do
		v attach-disk plugged "$work/third.img" vdz --subdriver raw --live
		v detach-disk plugged vdz --live
	done
	timeout 60 sh -c 'while virsh -q -c "adit:///system?socket=$1" domblklist plugged | grep -q vdz; do :; done' -- "$sock"
}
if [ -e "$build/guest/hotplug.bin" ]; then
	domain plugged hotplug "<serial type='file'><source path='$work/plugged.out'/></serial>"
	v define "$work/plugged.xml"
	v start plugged
	virsh -q -c "adit:///system?socket=$sock" event plugged --all --loop >"$work/plug-events" 2>&1 &
	listener=$!
	hear
	api=$work/run/$(virsh -q -c "adit:///system?socket=$sock" domuuid plugged)/vm/api
	ok "attach-disk while it runs" does v attach-disk plugged "$work/disk.img" vdb --subdriver raw --live --config
	ok "adit has it" sh -c '"$1" ctl "$2" info | grep -q vdb' -- "$adit" "$api"
	ok "domblklist has it" says "vdb *$work/disk.img" v domblklist plugged
	ok "and so has the definition" says "vdb *$work/disk.img" v domblklist plugged --inactive
	ok "an event tells it" "$until" "$work/plug-events" "'device-added' for domain 'plugged': vdb"
	v dumpxml plugged
	sed -n '/<disk/,/<.disk>/p' "$work/out" >"$work/same.xml"
	ok "update-device of what is as it was" does v update-device plugged "$work/same.xml" --live
	sed 's/disk.img/other.img/' "$work/same.xml" >"$work/changed.xml"
	ok "another source is refused by its path" fails "/domain/devices/disk/source/@file: stays as it is" \
		v update-device plugged "$work/changed.xml" --live
	sed 's,<target,<readonly/>&,' "$work/same.xml" >"$work/changed.xml"
	ok "so is an element more" fails "/domain/devices/disk/readonly: stays as it is" \
		v update-device plugged "$work/changed.xml" --live --config
	v dumpxml plugged --inactive
	ok "which leaves the definition alone as well" sh -c '! grep -q readonly "$1"' -- "$work/out"
	ok "the definition alone may change" does v update-device plugged "$work/changed.xml" --config
	ok "for the next start" says "readonly" v dumpxml plugged --inactive
	ok "and back" does v update-device plugged "$work/same.xml" --live --config
	v dumpxml plugged --inactive
	ok "in the definition" sh -c '! grep -q readonly "$1"' -- "$work/out"
	echo "<disk type='file'><driver type='raw'/><source file='/x'/><target dev='vdy'/></disk>" >"$work/changed.xml"
	ok "one that is not there is refused" fails "no such disk" v update-device plugged "$work/changed.xml" --live
	ok "the same disk again is refused" fails "has this disk already" \
		v attach-disk plugged "$work/disk.img" vdb --subdriver raw
	ok "what adit refuses is refused with its sentence, and leaves no trace" fails "no-such" \
		v attach-disk plugged "$work/no-such" vdc --subdriver raw --live --config
	v dumpxml plugged --inactive
	ok "neither in the definition" sh -c '! grep -q no-such "$1"' -- "$work/out"
	v dumpxml plugged
	ok "nor in what runs" sh -c '! grep -q no-such "$1"' -- "$work/out"
	cat >"$work/placed.xml" <<-END
		<disk type='file'><driver type='raw'/><source file='$work/third.img'/><target dev='vdp' bus='virtio'/>
		<address type='pci' domain='0' bus='0' slot='0x0a' function='0'/></disk>
	END
	ok "a disk for a slot" does v attach-device plugged "$work/placed.xml" --live
	ok "is there to the guest" "$until" "$work/plugged.out" "up 10 id"
	ok "and in its XML" says 'slot="0x0a"' v dumpxml plugged
	sed -i 's/vdp/vdq/; s/third/other/' "$work/placed.xml"
	ok "another for that slot is refused" fails "slot 10 of the bus is given to a second device" \
		v attach-device plugged "$work/placed.xml" --live
	sed -i 's/0x0a/0x0b/; s/function=.0./function="1"/' "$work/placed.xml"
	ok "a function that is not 0 is refused" fails "@function: must be 0" v attach-device plugged "$work/placed.xml" --live
	v detach-disk plugged vdp --live
	echo "<rng model='virtio'><backend model='random'/></rng>" >"$work/rng.xml"
	ok "what stays with its machine is refused" fails "stays as long as its machine" \
		v attach-device plugged "$work/rng.xml" --live
	v attach-disk plugged "$work/other.img" vdc --subdriver raw --live
	kill -9 "$daemon"
	wait "$daemon" 2>/dev/null
	wait "$listener"
	"$adit" ctl "$api" remove-device vdc 30 >/dev/null
	up
	ok "the next daemon hears of what went meanwhile" timeout 60 sh -c 'while virsh -q -c "adit:///system?socket=$1" \
		domblklist plugged | grep -q vdc; do :; done' -- "$sock"
	ok "the next daemon knows of it" says "vdb *$work/disk.img" v domblklist plugged
	virsh -q -c "adit:///system?socket=$sock" event plugged --all --loop >"$work/plug-events" 2>&1 &
	listener=$!
	hear
	ok "detach-disk while it runs" does v detach-disk plugged vdb --live
	ok "an event tells that the guest has let go" "$until" "$work/plug-events" "'device-removed' for domain 'plugged': vdb"
	v domblklist plugged
	ok "it is gone" sh -c '! grep -q vdb "$1"' -- "$work/out"
	ok "detaching it twice is refused" fails "no device has the alias" v detach-device-alias plugged vdb --live
	ok "a reset is an event" sh -c 'timeout 20 virsh -q -c "adit:///system?socket=$1" reset plugged' -- "$sock"
	ok "that clients are told" "$until" "$work/plug-events" "'reboot' for domain 'plugged'"
	kill "$listener"
	wait "$listener" 2>/dev/null
	v destroy plugged
	v undefine plugged
fi

# --- interfaces on a bridge, whose taps are the daemon's
bridge=adbr$$
if [ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] && ip link add "$bridge" type bridge 2>/dev/null; then
	ports=/sys/class/net/$bridge/brif
	domain bridged hotplug "<interface type='bridge'><mac address='52:54:00:00:00:0B'/>
		<source bridge='$bridge'/><model type='virtio'/></interface>"
	v define "$work/bridged.xml"
	ok "an interface on a bridge has a tap's name" says "at52540000000b *bridge *$bridge *virtio" v domiflist bridged
	v dumpxml bridged
	cp "$work/out" "$work/bridged.xml"
	ok "and defines itself again" does v define "$work/bridged.xml"
	ok "start" does v start bridged
	ok "its tap is on the bridge" [ -e "$ports/at52540000000b" ]
	ok "domstats counts its packets" says "net.0.tx.pkts=" v domstats bridged --interface
	sed 's/bridged/other/; s/<uuid>.*<.uuid>//' "$work/bridged.xml" >"$work/other.xml"
	v define "$work/other.xml"
	ok "another domain with its MAC address is refused" fails "another domain has this MAC" v start other
	ok "and does no harm to it" [ -e "$ports/at52540000000b" ]
	v undefine other
	ok "attach-interface while it runs" does v attach-interface bridged bridge "$bridge" \
		--mac 52:54:00:00:00:0c --model virtio --live
	ok "its tap is there too" [ -e "$ports/at52540000000c" ]
	ok "one on a bridge that is not there is refused" fails "cannot be added to bridge" \
		v attach-interface bridged bridge no-bridge --mac 52:54:00:00:00:0d --model virtio --live
	ok "and leaves no tap" [ ! -e /sys/class/net/at52540000000d ]
	ok "detach-interface" does v detach-interface bridged bridge --mac 52:54:00:00:00:0c --live
	ok "its tap goes when the guest has let go" timeout 60 sh -c 'while [ -e "$1" ]; do sleep 0.1; done' -- "$ports/at52540000000c"
	v destroy bridged
	ok "at the end none is left" is "$(ls "$ports")" ""
	v undefine bridged
	ip link del "$bridge"
else
	skip "interfaces on a bridge" "not root, or no bridges here"
fi

# --- how much memory and how many CPUs it has while it runs
domain sized hotdma "<serial type='file'><source path='$work/sized.out'/></serial>
	<memballoon model='virtio'><stats period='1'/></memballoon>"
sed -i 's,<os>,<os><cmdline>balloon</cmdline>,' "$work/sized.xml"
v define "$work/sized.xml"
v start sized
"$until" "$work/sized.out" empty
ok "setmem while it runs" does v setmem sized 65472
ok "the guest gives the rest back" "$until" "$work/sized.out" "less is there"
ok "dominfo tells it" says "Used memory: *65472 KiB" v dominfo sized
ok "of what runs alone" says "<currentMemory unit=\"KiB\">65472" v dumpxml sized
v dumpxml sized --inactive
ok "the definition is as it was" sh -c '! grep -q currentMemory "$1"' -- "$work/out"
ok "more than there is is refused" fails "more than the domain's maximum memory" v setmem sized 65M --live
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
up
timeout 60 sh -c 'until virsh -q -c "adit:///system?socket=$1" list | grep -q sized; do :; done' -- "$sock"
ok "the next daemon knows it" says "Used memory: *65472 KiB" v dominfo sized
ok "setmem --live" does v setmem sized 64M --live
ok "the guest has it all back" "$until" "$work/sized.out" "all is back"
ok "setmem --config" does v setmem sized 60M --config
ok "is for the next start" says "<currentMemory unit=\"KiB\">61440" v dumpxml sized --inactive
ok "and leaves what runs alone" says "Used memory: *65536 KiB" v dominfo sized
ok "both, where both are asked for" does v setmem sized 65500 --live --config
ok "as the definition says" says "<currentMemory unit=\"KiB\">65500" v dumpxml sized --inactive
ok "setmaxmem is not for what runs" fails "maximum memory of a running domain" v setmaxmem sized 96M
ok "setvcpus to what there is" does v setvcpus sized 1
ok "another number is refused while it runs" fails "adit plugs none" v setvcpus sized 2
ok "and is for the next start" does v setvcpus sized 2 --config
v destroy sized
v undefine sized
domain busy spin "<memballoon model='virtio'/>" "<adit:adi id='dsa0' type='dsa'><adit:wq size='16'/></adit:adi>"
v create "$work/busy.xml"
ok "memory that an ADI reaches stays, as adit says" fails "dsa0: does DMA\|DMA to guest memory" v setmem busy 32M
ok "and what it has is told as it is" says "Used memory: *65536 KiB" v dominfo busy
v destroy busy
domain busy spin
v create "$work/busy.xml"
ok "without a balloon it is refused" fails "needs <memballoon" v setmem busy 32M
v destroy busy

# --- one that waits for its first instruction
domain waiter echo "<serial type='file'><source path='$work/waiter.out'/></serial>"
v define "$work/waiter.xml"
virsh -q -c "adit:///system?socket=$sock" event --event lifecycle --loop >"$work/wait-events" 2>&1 &
listener=$!
until grep -q "heard.: Defined Added" "$work/wait-events"; do
	v define "$work/heard.xml"
	v undefine heard
done
exits() { # that its vCPUs have taken
	virsh -q -c "adit:///system?socket=$sock" domstats waiter |
		awk -F= '/adit.vcpus.exits_/ { sum += $2; n++ } END { print n ? sum : "none told" }'
}
ok "start --paused" does v start waiter --paused
ok "it is paused" says "paused (user)" v domstate --reason waiter
ok "list shows it" says "waiter *paused" v list
ok "nothing of the guest has run" is "$(exits)" 0
ok "it was started and suspended" "$until" "$work/wait-events" "'waiter': Suspended Paused"
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
wait "$listener"
up
timeout 60 sh -c 'until virsh -q -c "adit:///system?socket=$1" domstate waiter | grep -q paused; do :; done' -- "$sock"
ok "the next daemon finds it as it is" says "paused" v domstate waiter
ok "and nothing has run" is "$(exits)" 0
ok "resume" does v resume waiter
ok "it runs" says "running (unpaused)" v domstate --reason waiter
ok "the guest does what it does" "$until" "$work/waiter.out" listening
v destroy waiter
v undefine waiter
ok "create --paused" does v create "$work/waiter.xml" --paused
ok "it is paused too" says "paused (user)" v domstate --reason waiter
ok "nothing of it has run" is "$(exits)" 0
ok "it ends without having run" does v destroy waiter

# A transient domain is gone with its end; a guest that powers off ends it.
domain away spin
ok "create" does v create "$work/away.xml"
ok "it is not persistent" says "Persistent: *no" v dominfo away
ok "destroy it" does v destroy away
ok "it is gone" fails "failed to get domain" v domstate away
domain button powerbutton
ok "define one with a power button" does v define "$work/button.xml"
ok "start it" does v start button
ok "reboot presses the button, and starts it again" does v reboot button
"$until" "$work/log" "button: started" 2
ok "under the same id" says "button *running" v list
# Its new process listens in a moment.
ok "shutdown" timeout 60 sh -c 'until virsh -q -c "adit:///system?socket=$1" shutdown button 2>/dev/null; do :; done' \
	-- "$sock"
"$until" "$work/log" "button: ended"
ok "it has shut itself down" says "shut off (shutdown)" v domstate --reason button
ok "a domain that runs is undefined and runs on" does v start button
ok "undefine it" does v undefine button
ok "it is transient now" says "Persistent: *no" v dominfo button
ok "and gone with its end" does v destroy button
domain broken no-such-payload
v define "$work/broken.xml"
ok "a start that fails says why" fails "no-such-payload" v start broken
ok "and leaves it as it was" says "shut off (failed)" v domstate --reason broken
v undefine broken
down
done_testing
