#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Domains that are saved and go on, as an unmodified virsh asks for it: to files and as the daemon keeps
# them, what is refused, and that whatever fails leaves a domain as it was.
# shellcheck source=../cli/tap.sh
# shellcheck disable=SC2317 # what ok runs is called
. "$(dirname "$0")/../cli/tap.sh"
if ! command -v virsh >/dev/null; then
	skip "everything here" "no virsh (package libvirt-clients)"
	done_testing
fi
need_kvm_for_users "$@"
until=$(dirname "$0")/../cli/until
sock=$work/s
file=$work/busy.save
uri="adit:///system?socket=$sock"
daemon=
events=
finish() {
	[ -z "$events" ] || kill "$events" 2>/dev/null
	[ -z "$daemon" ] || { kill "$daemon" 2>/dev/null && wait "$daemon"; }
	# A daemon that is gone leaves its domains.
	sed -n 's/.*started as pid //p' "$work/log" | xargs -r kill -9 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT
# up [COMMAND...]: the daemon, as what COMMAND starts; --uids with $uids.
up() {
	: >"$work/serving"
	# shellcheck disable=SC2086 # words
	"$@" "$build/virtaditd" --socket "$sock" --socket-ro "$sock-ro" --state-dir "$work/state" \
		--run-dir "$work/run" --adit "$adit" ${uids:+--uids $uids} 2>"$work/serving" &
	daemon=$!
	"$until" "$work/serving" serving
}
down() {
	kill "$daemon"
	wait "$daemon"
	cat "$work/serving" >>"$work/log"
	daemon=
}
v() { run virsh -q -c "$uri" "$@"; }
says() { # says TEXT COMMAND...
	text=$1
	shift
	"$@"
	[ "$status" = 0 ] && has "$work/out" "$text"
}
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
state() { virsh -q -c "$uri" domstate --reason "$1" | tr -d '\n'; }

domain() { # domain NAME PAYLOAD DEVICES [ADIT]: writes $work/NAME.xml.
	cat >"$work/$1.xml" <<-END
		<domain type='kvm'><name>$1</name>
		<memory unit='MiB'>64</memory>
		<os><type>hvm</type></os>
		<devices>$3</devices>
		<adit:machine xmlns:adit='urn:adit:domain:1'>
		<adit:flat path='$(realpath "$build")/guest/$2.bin'/>${4:-}
		</adit:machine></domain>
	END
}

: >"$work/log"
up
truncate -s 32K "$work/disk"
domain busy snapshot "<serial type='file'><source path='$work/console'/></serial>
	<disk type='file'><driver name='qemu' type='raw'/><source file='$work/disk'/><target dev='vda' bus='virtio'/></disk>
	<rng model='virtio'><backend model='random'/></rng><memballoon model='virtio'/>" \
	"<adit:adi id='dsa0' type='dsa'><adit:wq size='16'/><adit:pasid allow='yes'/></adit:adi>
	<adit:space id='w' offset='32M' size='16M'/><adit:pasid guest='5' adi='dsa0' space='w'/>"
v define "$work/busy.xml"
ok "what does not run is not saved" fails "not running" v save busy "$file"
virsh -q -c "$uri" event --event lifecycle --loop >"$work/events" 2>&1 &
events=$!
domain heard spin ""
until grep -q "heard.: Defined Added" "$work/events"; do
	v define "$work/heard.xml"
	v undefine heard
done

# --- to a file
v start busy
"$until" "$work/console" "busy"
ok "a folder that is not there is refused" fails "$work/none: No such file" v save busy "$work/none/file"
ok "and what is no regular file" fails "no regular file" v save busy "$work/state"
ok "the cache cannot be bypassed, which is said" fails "cannot be bypassed" v save busy "$file" --bypass-cache
ok "it runs on" is "$(state busy)" "running (booted)"
ok "save" does v save busy "$file"
ok "it is shut off, and why" is "$(state busy)" "shut off (saved)"
ok "the file is its owner's alone" is "$(stat -c %a "$file")" 600
ok "and nothing is beside it" is "$(find "$work" -maxdepth 1 -name '.*new')" ""
cp "$work/disk" "$work/disk.then"
ok "save-image-dumpxml" says '<adit:pasid guest="5"' v save-image-dumpxml "$file"
v dumpxml busy
cp "$work/out" "$work/defined.xml"
v save-image-dumpxml "$file"
ok "has the domain as it ran" cmp "$work/out" "$work/defined.xml"
ok "restore" does v restore "$file"
ok "it runs, and why" is "$(state busy)" "running (restored)"
ok "twice is refused" fails "already running" v restore "$file"
ok "its PASID is granted" sh -c '"$1" ctl "$2"/*/vm/api pasids | grep -q "\"guest\": *5"' -- "$adit" "$work/run"
v suspend busy
ok "one that is paused is saved, to the file that it runs from" does v save busy "$file"
v restore "$file"
ok "and goes on paused" is "$(state busy)" "paused (user)"
v resume busy
v shutdown busy
"$until" "$work/events" "'busy': Stopped Shutdown"
ok "its guest has lost nothing" sh -c '! grep "^not ok" "$1" && [ "$(grep -c "^ok" "$1")" = 9 ]' -- "$work/console"
ok "restore --running of it" does v restore "$file" --running
ok "runs" is "$(state busy)" "running (restored)"
ok "save --paused" does v save busy "$work/second" --paused
v restore "$work/second"
ok "waits when it goes on" is "$(state busy)" "paused (user)"
v destroy busy
v dumpxml busy
sed "s,</uuid>,&<title>Saved</title>," "$work/out" >"$work/titled.xml"
ok "save-image-define --running" does v save-image-define "$work/second" "$work/titled.xml" --running
ok "changes what the file says" says "<title>Saved</title>" v save-image-dumpxml "$work/second"
ok "another domain's XML is refused" fails "keeps its name and its UUID" \
	v save-image-define "$work/second" "$work/heard.xml"
v restore "$work/second"
ok "and how it goes on" is "$(state busy)" "running (restored)"
ok "and as what" says "<title>Saved</title>" v dumpxml busy
v destroy busy
v undefine busy
ok "a domain that is not defined comes from a file" does v restore "$file" --running
ok "for as long as it runs" says "Persistent: *no" v dominfo busy
ok "which is not the daemon's to keep" fails "transient" v managedsave busy
v destroy busy
v define "$work/defined.xml"

# --- what cannot go on leaves it as it was
before=$(state busy)
as_it_was() { [ "$(state busy)" = "$before" ] && v dumpxml busy && cmp "$work/out" "$work/defined.xml"; }
ok "a file that is not there is refused" fails "No such file" v restore "$work/none"
ok "and one that is no saved domain" fails "holds no saved domain" v restore "$work/busy.xml"
head -c -1 "$file" >"$work/short"
ok "and one that is cut short" fails "not written to its end" v restore "$work/short"
cp "$file" "$work/bad"
printf 'X' | dd of="$work/bad" bs=1 seek=0 conv=notrunc 2>/dev/null
ok "one whose snapshot is broken is, in adit's words" fails "is no snapshot of adit" v restore "$work/bad"
ok "the domain is what it was" as_it_was
sed '/adit:pasid guest/d' "$work/defined.xml" >"$work/less.xml"
ok "a PASID that its XML does not grant is refused" fails "pasid\|PASID" v restore "$file" --xml "$work/less.xml"
mdev="<hostdev mode='subsystem' type='mdev' model='vfio-pci'>"
mdev="$mdev<source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>"
sed "s,</devices>,$mdev&," "$work/defined.xml" >"$work/more.xml"
ok "a device of the host is adit's to refuse, here for it is not there" fails "c2177883" v restore "$file" --xml "$work/more.xml"
ok "and another domain's XML" fails "keeps its name and its UUID" v restore "$file" --xml "$work/heard.xml"
ok "it still is" as_it_was
domain huge spin ""
sed -i "s,<os>,<memoryBacking><hugepages/></memoryBacking>&," "$work/huge.xml"
if v create "$work/huge.xml" && [ "$status" = 0 ]; then
	ok "huge pages are refused by their path" fails "/domain/memoryBacking/hugepages" v save huge "$work/huge"
	v destroy huge
else
	skip "huge pages are refused by their path" "the host has none to give"
fi

# --- as the daemon keeps it
cp "$work/disk.then" "$work/disk"
v start busy
ok "managedsave" does v managedsave busy
ok "dominfo tells of it" says "Managed save: *yes" v dominfo busy
ok "and the list" says "busy *saved" v list --all --managed-save
ok "by which domains are chosen" says busy v list --all --with-managed-save
v list --all --without-managed-save
ok "or left out" is "$(tr -d '\n' <"$work/out")" ""
ok "restore of another file is refused" fails "managed save image" v restore "$file"
ok "and so is other XML" fails "managed save image" v create "$work/defined.xml"
ok "it is not undefined alone" fails "managed save" v undefine busy
down
up
ok "the next daemon knows of it" says "Managed save: *yes" v dominfo busy
ok "managedsave-dumpxml" says '<adit:pasid guest="5"' v managedsave-dumpxml busy
ok "managedsave-define" does v managedsave-define busy "$work/titled.xml" --paused
ok "start goes on from there" does v start busy
ok "as it says" is "$(state busy)" "paused (user)"
ok "and as what it says" says "<title>Saved</title>" v dumpxml busy
v destroy busy
cp "$work/disk.then" "$work/disk"
v start busy
v managedsave busy
ok "start goes on as it was, where nothing was said" does v start busy
ok "as is told" is "$(state busy)" "running (restored)"
ok "which uses it up" says "Managed save: *no" v dominfo busy
v managedsave busy
# A daemon that was killed before it had done away with what the domain goes on from.
cp "$work"/state/*.save "$work/stale"
save=$(echo "$work"/state/*.save)
v start busy
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
cp "$work/stale" "$save"
cat "$work/serving" >>"$work/log"
up
timeout 60 sh -c 'while [ -e "$1" ]; do sleep 0.1; done' -- "$save"
ok "what runs is not started from there again" [ ! -e "$save" ]
ok "it runs on" says "busy *running" v list
# And one that was killed when it had just saved it.
uuid=$(virsh -q -c "$uri" domuuid busy | tr -d '\n')
v suspend busy
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
cp "$work/stale" "$save"
: >"$work/run/$uuid/saved"
cat "$work/serving" >>"$work/log"
up
"$until" "$work/serving" "busy: ended: saved"
ok "what was saved ends" is "$(state busy)" "shut off (saved)"
ok "and goes on from there" does v start busy
v managedsave busy
ok "start --force-boot" does v start busy --force-boot
ok "boots it" is "$(state busy)" "running (booted)"
ok "and the saved one is gone" says "Managed save: *no" v dominfo busy
v managedsave busy
printf 'X' | dd of="$save" bs=1 seek=0 conv=notrunc 2>/dev/null
ok "one that is broken does not start" fails "is no snapshot of adit" v start busy
ok "and is still there" [ -f "$save" ]
ok "managedsave-remove" does v managedsave-remove busy
ok "lets it boot" does v start busy
v managedsave busy
ok "undefine --managed-save" does v undefine busy --managed-save
ok "leaves nothing" is "$(ls "$work/state")" ""
ok "events told of it" sh -c 'for w in "Stopped Saved" "Started Restored" "Suspended Restored"; do
	grep -q "domain .busy.: $w" "$1" || { echo "# $w"; exit 1; }; done' -- "$work/events"

# --- what the monitor says twice is told once
v define "$work/busy.xml"
v start busy
v managedsave busy
down
adit=$(realpath "$(dirname "$0")")/first-words
up
ok "goes on, and hears of it twice" does v start busy
ok "it goes on all the same" is "$(state busy)" "running (restored)"
ok "reset" does v reset busy
ok "boots" is "$(state busy)" "running (booted)"
v destroy busy
v undefine busy
down
adit=$build/adit

# --- as root, on a file system that is full, and with users of their own
if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then
	skip "a file system that is full, and users of their own" "root alone can"
	done_testing
fi
mkdir "$work/small"
chmod 711 "$work"
uids=70001-70002
up unshare -m sh -c 'mount -t tmpfs -o size=16k,mode=700 none "$0/small" && exec "$@"' "$work"
domain full spin ""
v define "$work/full.xml"
v start full
ok "what does not fit is refused" fails "No space left" v save full "$work/small/file"
ok "and runs on" is "$(state full)" "running (save canceled)"
v suspend full
ok "one that is paused stays so" fails "No space left" v save full "$work/small/file"
ok "as is told" is "$(state full)" "paused (user)"
v resume full
ok "a domain of another user is saved to a file of root's" does v save full "$work/full.save"
ok "which it stays" is "$(stat -c '%u %a' "$work/full.save")" "0 600"
ok "and goes on from it" does v restore "$work/full.save"
ok "it runs" is "$(state full)" "running (restored)"
v destroy full
v undefine full
down
done_testing
