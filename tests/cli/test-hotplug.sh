#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Hot plug as clients of the API meet it: what comes and goes, in every state, what the guest keeps,
# and what is refused. The guest says what it sees.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
need_kvm
sock=$work/api
out=$work/out

serve() { # serve [WORDS [MEMBERS]]
	rm -f "$sock"
	words=$1
	"$adit" run --api-socket "$sock" "$(config hotplug "${2:-}")" >"$out" 2>"$work/err" </dev/null &
	pid=$!
	until_says "$out" ready
}
end() {
	"$adit" ctl "$sock" vmm.shutdown >"$work/answer" 2>&1
	wait "$pid"
}
ctl() { "$adit" ctl "$sock" "$@" >"$work/answer" 2>"$work/refusal"; }
http() { # http METHOD VERB [CURL OPTIONS]: prints the status; the body is in $work/body
	method=$1 verb=$2
	shift 2
	curl -s -o "$work/body" -w '%{http_code}' --unix-socket "$sock" -X "$method" "$@" \
		"http://x/api/v1/$verb"
}
# info EXPRESSION: of vm.info, as Python.
info() { "$adit" ctl "$sock" info | python3 -c "import json, sys; v = json.load(sys.stdin); print($1)"; }
# shellcheck disable=SC2317 # ok calls it
removed() { until_says "$work/events" "\"device-removed\",\"detail\":\"$1\"" "${2:-1}"; }

truncate -s 1M "$work/one" "$work/two" "$work/three"
adi='{"id": "dsa", "type": "dsa", "wqs": [{"size": 8}]}'
echo "$adi" >"$work/adi.json"

# --- come, used, asked, gone
serve stores '"disks": [{"path": "'"$work/one"'", "image_type": "Raw"}]'
"$adit" ctl "$sock" events >"$work/events" 2>"$work/events.err" &
events=$!
until_says "$work/events" '"state"'
ok "a disk is added" is "$(http PUT vm.add-disk -d '{"path": "'"$work/two"'", "image_type": "Raw"}')" 200
ok "its id and its place are told" has "$work/body" '"id":"disk1","bdf":"0000:00:02.0"'
ok "the guest reads from it" until_says "$out" 'disk 2 says 0'
ok "an event tells of it" until_says "$work/events" '"device-added","detail":"disk1"'
ok "adit ctl adds an ADI" ctl add-adi "$work/adi.json"
ok "the guest finds it" until_says "$out" 'up 3 id 0b258086'
ok "vm.info has both" is "$(info '[len(v["config"]["disks"]), v["config"]["adis"][0]["id"]]')" "[2, 'dsa']"
ok "its counters are there" ctl counters
ok "under its name" has "$work/answer" '"dsa":'
ok "the answer waits for the guest to let go" is \
	"$(http PUT vm.remove-device -d '{"id": "disk0", "timeout": 60}')" 204
ok "which it has" has "$out" 'ejected 1'
ok "without a time it is only asked" is "$(http PUT vm.remove-device -d '{"id": "dsa"}')" 204
ok "and an event tells when it is gone" removed dsa
ok "what has left can come again, in its slot" is "$(http PUT vm.add-disk \
	-d '{"id": "disk0", "path": "'"$work/one"'", "image_type": "Raw"}')" 200
ok "the first slot is free again" has "$work/body" '"bdf":"0000:00:01.0"'
ok "a slot may be asked for" is "$(http PUT vm.add-disk \
	-d '{"id": "far", "slot": 9, "path": "'"$work/three"'", "image_type": "Raw"}')" 200
ok "and is given" has "$work/body" '"bdf":"0000:00:09.0"'
ok "one that is taken is refused, and by whom" is "$(http PUT vm.add-disk \
	-d '{"id": "near", "slot": 9, "path": "'"$work/three"'", "image_type": "Raw"}')" 400
ok "is said" has "$work/body" 'slot: 9 is that of .*far'
ok "it goes again" is "$(http PUT vm.remove-device -d '{"id": "far", "timeout": 60}')" 204
ok "vm.info has what is there" is \
	"$(info '[[d["id"] for d in v["config"]["disks"]], v["config"]["adis"]]')" "[['disk1', 'disk0'], []]"

# --- refused
ok "an id that is there is 409" is "$(http PUT vm.add-disk -d '{"id": "disk1", "path": "x"}')" 409
ok "a wrong key is 400" is "$(http PUT vm.add-disk -d '{"pfad": "x"}')" 400
ok "with the pointer of the body" has "$work/body" 'pfad: unknown key'
ok "an image that is not there is 500" is "$(http PUT vm.add-disk -d '{"path": "/no/such"}')" 500
ok "an image in use is refused" is "$(http PUT vm.add-disk \
	-d '{"id": "twice", "path": "'"$work/two"'", "image_type": "Raw"}')" 500
ok "a descriptor's number is 400" is "$(http PUT vm.add-net -d '{"fd": 5}')" 400
ok "an interface that cannot be had is 500" is "$(http PUT vm.add-net -d '{"tap": "lo"}')" 500
ok "removing what is not there is 404" is "$(http PUT vm.remove-device -d '{"id": "nobody"}')" 404
ok "a time that is none is 400" is "$(http PUT vm.remove-device -d '{"id": "disk1", "timeout": -1}')" 400
ok "nothing of these is there" is "$(info 'len(v["config"]["disks"])')" 2
ok "the log names what was done, and who asked" has "$work/err" \
	"vm.add-disk: begun as errand 1, asked by uid $(id -u) pid"

# --- what a server gives
echo '{"adis": ['"$adi"']}' >"$work/served.json"
serve_adi() {
	"$adit" adi-serve "$work/socket" "$work/served.json" >"$work/served" 2>"$work/served.err" &
	server=$!
	until_says "$work/served" ready
}
serve_adi
ok "a served device is added" is "$(http PUT vm.add-user-device -d '{"socket": "'"$work/socket"'", "id": "served"}')" 200
ok "the guest uses it" until_says "$out" 'dsa 3 moved 3'
ok "memory is given to nobody who was not named" has "$work/err" 'served: .* guest memory shared by messages'
ok "and lets go of it" is "$(http PUT vm.remove-device -d '{"id": "served", "timeout": 60}')" 204
ok "its server can be had again" is "$(http PUT vm.add-device -d '{"socket": "'"$work/socket"'", "id": "served", "share": "memory"}')" 200
ok "and be given memory" has "$work/err" 'served: .* guest memory shared as descriptors'
kill -KILL "$server"
wait "$server" 2>/dev/null
ok "one whose server dies has left" removed served 2
ok "and is nowhere" is "$(info 'len(v["config"]["devices"])')" 0
rm -f "$work/socket"
ok "without a server it is 500" is "$(http PUT vm.add-user-device -d '{"socket": "'"$work/socket"'"}')" 500
ok "a device of the host that is not there is 500" is "$(http PUT vm.add-device -d '{"path": "ffff:1f:1f.7"}')" 500
ok "what a keeper would have to make is 500" is \
	"$(http PUT vm.add-device -d '{"mdev": {"type": "t", "parent": "p"}}')" 500
ok "nothing of these is there" is "$(info '[len(v["config"]["devices"]), len(v["config"]["disks"])]')" '[0, 2]'

# --- descriptors
# Without sockets: a connection's end is seen a little later than its client's.
opened() { find "/proc/$pid/fd" -mindepth 1 ! -lname 'socket:*' | wc -l; }
before=$(opened)
cp "$work/two" "$work/three"
printf '\052' | dd of="$work/three" conv=notrunc 2>/dev/null
ok "a disk comes as a descriptor" ctl add-disk fd:7 given 7<>"$work/three"
ok "the guest reads from it" until_says "$out" 'disk 3 says 42'
ok "it is known by a number of its own" is "$(info 'sorted(v["config"]["disks"][2])')" "['fd', 'id']"
ok "the image is locked as any" is "$(http PUT vm.add-disk \
	-d '{"id": "twice", "path": "'"$work/three"'", "image_type": "Raw"}')" 500
ok "it leaves" ctl remove-device given 60
ok "and nothing stays open" is "$(opened)" "$before"
ok "one for reading only is refused" sh -c '! "$1" ctl "$2" add-disk fd:7 given 7<"$3" 2>"$4"' -- \
	"$adit" "$sock" "$work/three" "$work/refusal"
ok "and the sentence says what helps" has "$work/refusal" 'set "readonly"'
ok "but for a disk that is" ctl add-disk fd:7 given true 7<"$work/three"
ok "which leaves" ctl remove-device given 60
ok "a directory is no disk" sh -c '! "$1" ctl "$2" add-disk fd:7 given 7<"$3" 2>"$4"' -- \
	"$adit" "$sock" "$work" "$work/refusal"
ok "a file is no tap" sh -c '! "$1" ctl "$2" add-net fd:7 7<>"$3" 2>"$4"' -- \
	"$adit" "$sock" "$work/three" "$work/refusal"
ok "a file is no device" sh -c '! "$1" ctl "$2" add-device fd:7 7<>"$3" 2>"$4"' -- \
	"$adit" "$sock" "$work/three" "$work/refusal"
ok "what came of none of these is open" is "$(opened)" "$before"
ok "what nobody wants is closed" python3 "$(dirname "$0")/api-descriptors.py" "$sock" "$pid" "$work/three"
tap=$work/tap.py
cat >"$tap" <<'END'
import fcntl, os, struct, subprocess, sys
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"adittest%d", 0x5002))
os.set_inheritable(fd, True)
sys.exit(subprocess.call([*sys.argv[1:], f"fd:{fd}", "given"], pass_fds=[fd]))
END
if python3 "$tap" true 2>/dev/null; then
	ok "a tap comes as a descriptor" python3 "$tap" "$adit" ctl "$sock" add-net
	ok "the guest sees the interface" until_says "$out" 'id 10411af4'
	ok "and leaves" ctl remove-device given 60
else
	skip "a tap comes as a descriptor" "no tap can be made here"
fi
ok "nothing of these is open" is "$(opened)" "$before"

# --- a block device of the host, past its cache: what it is like is asked within the life's filter
truncate -s 2M "$work/behind"
printf '\115' | dd of="$work/behind" conv=notrunc 2>/dev/null
loop=$(losetup --find --show "$work/behind" 2>/dev/null)
if [ "$loop" ]; then
	ok "a block device comes" is "$(http PUT vm.add-disk -d \
		'{"id": "block", "path": "'"$loop"'", "direct": true, "image_type": "Raw"}')" 200
	ok "the guest reads from it" until_says "$out" 'says 77'
	truncate -s 4M "$work/behind"
	losetup --set-capacity "$loop"
	ok "it is larger now" is "$(http PUT vm.resize-disk -d '{"id": "block"}')" 204
	ok "and the guest is told" has "$work/err" 'block: has 4194304 bytes now'
	ok "another size it cannot have" is \
		"$(http PUT vm.resize-disk -d '{"id": "block", "desired_size": "8M"}')" 400
	ok "and it leaves" ctl remove-device block 60
	losetup --detach "$loop"
else
	skip "a block device comes" "no loop device can be had"
fi

# --- many, one after another, from several clients at once
ok "32 of each, from four clients" python3 "$(dirname "$0")/hotplug-load.py" "$sock" "$work" 8
ok "nothing of them is left" is "$(info 'len(v["config"]["disks"]) + len(v["config"]["adis"])')" 2

# --- the next machine has what this one had
ctl add-adi "$work/adi.json"
ctl add-disk fd:7 given 7<>"$work/three"
rm "$work/three"
: >"$work/answer"
ok "the VM is rebooted" ctl reboot
ok "and its guest begins" until_says "$out" ready 2
ok "what came is there" is "$(info '[len(v["config"]["disks"]), len(v["config"]["adis"])]')" '[3, 1]'
ok "also what came as a descriptor" ctl remove-device given 60
ok "and goes" ctl remove-device dsa 60
ok "while it is paused things come" ctl pause
ok "a disk" is "$(http PUT vm.remove-device -d '{"id": "disk1", "force": true}')" 204
ok "goes" removed disk1
printf '\011' | dd of="$work/two" conv=notrunc 2>/dev/null
ok "and comes" is "$(http PUT vm.add-disk -d '{"id": "late", "path": "'"$work/two"'", "image_type": "Raw"}')" 200
ok "and then" ctl resume
ok "the guest sees it" until_says "$out" 'disk 1 says 9'
ok "a VM that is not running" ctl shutdown
ok "has its configuration changed" is "$(http PUT vm.add-adi -d "$adi")" 204
ok "and changed" is "$(http PUT vm.remove-device -d '{"id": "late"}')" 204
ok "and says so" is "$(info '[[d["id"] for d in v["config"]["disks"]], len(v["config"]["adis"])]')" "[['disk0'], 1]"
ok "it starts with that" ctl boot
kill "$events"
end

# --- a guest that keeps what it has
serve 'stubborn stores' '"disks": [{"path": "'"$work/one"'", "image_type": "Raw"}]'
"$adit" ctl "$sock" events >"$work/events" 2>"$work/events.err" &
events=$!
until_says "$work/events" '"state"'
ok "its time runs out: 409" is "$(http PUT vm.remove-device -d '{"id": "disk0", "timeout": 0.2}')" 409
ok "the sentence says what helps" has "$work/body" 'force'
ok "it was asked" has "$out" 'down 1'
ok "the disk is still there" is "$(info 'len(v["config"]["disks"])')" 1
ok "with force it leaves after its time" is \
	"$(http PUT vm.remove-device -d '{"id": "disk0", "timeout": 0.2, "force": true}')" 204
ok "and is gone" is "$(info 'len(v["config"]["disks"])')" 0
ctl add-disk "$work/two" again
ok "or at once" is "$(http PUT vm.remove-device -d '{"id": "again", "force": true}')" 204
ctl add-disk "$work/two" again
# The machine ends while somebody waits.
curl -s -o "$work/waiting" --unix-socket "$sock" -X PUT -d '{"id": "again", "timeout": 600}' \
	http://x/api/v1/vm.remove-device &
waiting=$!
until_says "$out" 'down 1' 3
ctl shutdown
wait "$waiting"
ok "who waits hears of the machine's end" has "$work/waiting" 'the machine ended first'
kill "$events"
end
done_testing
