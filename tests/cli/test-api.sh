#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The API as its clients meet it: curl and adit ctl against a server, hostile and slow peers, the
# document against the running server.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
need_kvm
here=$(dirname "$0")
sock=$work/api

# serve ARGUMENTS...: starts adit with an API socket and waits until it answers.
serve() {
	rm -f "$sock"
	"$adit" run --api-socket "$sock" --log-json "$@" >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	until curl -s --unix-socket "$sock" http://x/api/v1/vmm.ping >"$work/ping"; do
		kill -0 "$pid" 2>/dev/null && continue
		sed 's/^/# /' "$work/err"
		ok "adit run --api-socket $*" false
		done_testing
	done
}
end() {
	wait "$pid"
	status=$?
}
ctl() { "$adit" ctl "$sock" "$@" >"$work/answer" 2>"$work/refusal"; }
# http METHOD VERB [CURL OPTIONS]: prints the status; the body is in $work/body.
http() {
	method=$1 verb=$2
	shift 2
	curl -s -o "$work/body" -w '%{http_code}' --unix-socket "$sock" -X "$method" "$@" \
		"http://x/api/v1/$verb"
}
state() { "$adit" ctl "$sock" info | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])'; }

# --- a VM from nothing
serve
ok "the socket is 0600" is "$(stat -c %a "$sock")" 600
ok "vmm.ping says the version" has "$work/ping" "\"build_version\":\"$(cat VERSION)\""
ok "vm.info without a VM is 404" is "$(http GET vm.info)" 404
ok "vm.boot without a VM is 404" is "$(http PUT vm.boot)" 404
ok "its sentence says what makes one" has "$work/body" 'vm.create'

# What is refused changes nothing.
for body in '{"payload": {}}' '{"payload": {"flat": "a", "flat": "b"}}' '{"payload": {"flat": "a\u0000b"}}' \
	'[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]' '{"cpu": 1' ''; do
	ok "a body that is wrong is 400" is "$(http PUT vm.create -d "$body")" 400
	ok "and says so in JSON" python3 -c 'import json, sys; json.load(open(sys.argv[1]))["error"]' "$work/body"
done
ok "a descriptor's number is refused" is \
	"$(http PUT vm.create -d '{"payload": {"flat": "a"}, "net": [{"id": "n", "fd": 5}]}')" 400
ok "that of a payload too" is "$(http PUT vm.create -d '{"payload": {"flat_fd": 5}}')" 400
head -c 1100000 /dev/zero | tr '\0' ' ' >"$work/long"
ok "a body that is too long is 413" is "$(http PUT vm.create --data-binary @"$work/long")" 413
ok "nothing was created" is "$(http GET vm.info)" 404
ok "an unknown endpoint is 404" is "$(http GET vm.no-such)" 404
ok "the wrong method is 405" is "$(http GET vm.boot)" 405
ok "a body where none belongs is 400" is "$(http PUT vm.boot -d '{}')" 400

"$adit" ctl "$sock" events >"$work/events" 2>"$work/events.err" &
events=$!
until_says "$work/events" '"state"'
truncate -s 1M "$work/disk"
ok "vm.create takes a configuration" ctl create "$(config spin '"balloon": {"size": "4K"},
	"memory": {"size": "128M", "hotplug_size": "32M"},
	"disks": [{"id": "disk", "path": "'"$work/disk"'", "image_type": "Raw"}]')"
ok "a second one is 409" is "$(http PUT vm.create --data-binary @"$work/spin.json")" 409
ok "it is Created" is "$(state)" Created
ok "pausing what does not run is 409" is "$(http PUT vm.pause)" 409
ok "vm.boot starts it" ctl boot
ok "it is Running" is "$(state)" Running
ok "a second boot is 409" is "$(http PUT vm.boot)" 409
ok "vm.pause pauses it" ctl pause
ok "it is Paused" is "$(state)" Paused
ok "pausing twice is 409" is "$(http PUT vm.pause)" 409
ok "counters are there while it is" ctl counters
ok "and count exits" has "$work/answer" '"exits_pio":'
ok "vm.resume resumes it" ctl resume
ok "the balloon is resized" ctl resize 8192
ok "past the guest's memory it is refused" is "$(http PUT vm.resize -d '{"desired_balloon": "1T"}')" 400
ok "an unknown key is refused" is "$(http PUT vm.resize -d '{"desired_rom": 1}')" 400
ok "none at all too" is "$(http PUT vm.resize -d '{}')" 400
ok "memory is wanted" ctl resize desired_ram=136M
ok "the guest has not asked for it yet" is "$(ctl counters && grep -o '"plugged_bytes":[0-9]*' "$work/answer")" \
	'"plugged_bytes":0'
ok "less than it was started with is refused" is "$(http PUT vm.resize -d '{"desired_ram": "64M"}')" 400
ok "no whole block is refused" is "$(http PUT vm.resize -d '{"desired_ram": "129M"}')" 400
ok "more than there is is refused" is "$(http PUT vm.resize -d '{"desired_ram": "200M"}')" 400
ok "the balloon with it too" is \
	"$(http PUT vm.resize -d '{"desired_balloon": 4096, "desired_ram": "200M"}')" 400
ok "and nothing was changed" is \
	"$(ctl counters && grep -o '"wanted_bytes":[0-9]*' "$work/answer" | tr '\n' ' ')" \
	'"wanted_bytes":8192 "wanted_bytes":8388608 '
ok "a disk grows" ctl resize-disk disk 2M
ok "so does its image" is "$(stat -c %s "$work/disk")" 2097152
ok "it does not shrink" is "$(http PUT vm.resize-disk -d '{"id": "disk", "desired_size": "1M"}')" 400
truncate -s 3M "$work/disk"
ok "an image that grew by itself is looked at" ctl resize-disk disk
ok "a disk that is not there is 404" is "$(http PUT vm.resize-disk -d '{"id": "none"}')" 404
ok "vm.reboot makes a new machine" ctl reboot
ok "vm.pause, then vm.reboot" ctl pause
ok "makes one that waits" ctl reboot
ok "as the last did" is "$(state)" Paused
ok "until vm.resume" ctl resume
ok "the next does not" ctl reboot
ok "for it ran" is "$(state)" Running
ok "vm.pause, then vm.shutdown" ctl pause
ok "vm.shutdown stops a paused one too" ctl shutdown
ok "it is Shutdown" is "$(state)" Shutdown
ctl info
ok "vm.info says how it ended" has "$work/answer" '"last_end":"stopped"'
ok "it boots again" ctl boot
ok "vm.delete stops and forgets it" ctl delete
ok "nothing is left" is "$(http GET vm.info)" 404
ok "vm.create works again" ctl create "$(config hello)"
ok "vm.boot works again" ctl boot
printf '{"payload": {"flat": "%s/absent.bin"}}' "$work" >"$work/absent.json"
until [ "$(state)" = Shutdown ]; do :; done
ok "the guest's end is seen" has "$work/out" '^ok hello'
ok "it can be deleted" ctl delete
ok "a payload that is not there" ctl create "$work/absent.json"
ok "fails the boot" is "$(http PUT vm.boot)" 500
ok "with its sentence" has "$work/body" 'absent.bin: No such file'
ok "vmm.shutdown ends the process" ctl vmm.shutdown
end
ok "with status 0" is "$status" 0
wait "$events"
ok "and removes the socket" [ ! -e "$sock" ]
ok "events came, in order" python3 -c '
import json, sys
words = [json.loads(l)["event"] for l in open(sys.argv[1])]
due = ("state created booted paused resumed ended booted paused ended booted resumed ended booted "
       "paused ended booted ended deleted "
       "created booted ended deleted created failed").split()
assert words == due, words
' "$work/events"
ok "who asked is in the log" has "$work/err" "vm.boot: begun, asked by uid $(id -u) pid [1-9]"

# --- a server that does not let the client have events
python3 - "$work/refuser" >"$work/refuser.says" <<'EOF' &
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(1)
print("ready", flush=True)
c = s.accept()[0]
c.recv(65536)
for part in b"HTTP/1.1 403 Forb", b"idden\r\nContent-Length: 21\r\n\r\n{\"error\":", b"\"not today\"}":
    c.sendall(part)
EOF
refuser=$!
until_says "$work/refuser.says" ready
"$adit" ctl "$work/refuser" events >"$work/answer" 2>"$work/refusal"
ok "events that are refused end with status 1" is $? 1
ok "with the sentence" is "$(cat "$work/refusal")" 'adit ctl: events: not today'
ok "and print nothing" [ ! -s "$work/answer" ]
wait "$refuser"

# --- with a configuration
serve "$(config powerbutton)"
until_says "$work/out" ready
ok "with a file the VM runs at once" is "$(state)" Running
"$adit" run --api-socket "$sock" 2>"$work/second" && false
ok "a second monitor on the same socket is refused" has "$work/second" 'in use by another process'
ok "power-button" ctl power-button
end
ok "its power-off ends the process with status 0" is "$status" 0

serve "$(config spin '"shutdown_timeout": 3600')"
until_says "$work/out" ready
ctl pause
kill -TERM "$pid"
until_says "$work/err" 'power button'
kill -TERM "$pid"
end
ok "signals work beside the API, also on a paused VM" is "$status" 1

serve
kill -TERM "$pid"
end
ok "without a VM the first signal ends it with status 0" is "$status" 0

serve "$(config spin)"
kill -KILL "$pid"
wait "$pid" 2>/dev/null
ok "a socket that nobody serves stays" [ -S "$sock" ]
"$adit" run --api-socket "$sock" 2>"$work/err" &
pid=$!
until ctl vmm.ping; do kill -0 "$pid" 2>/dev/null || break; done
ok "and is taken over by the next" ctl vmm.shutdown
end
config spin '"serial": {"mode": "Socket", "socket": "'"$work/serial"'"}, "vsock": {"cid": 3, "socket": "'"$work/vsock"'"},
	"console": {"mode": "Pty", "link": "'"$work/link"'", "ports": [{"name": "a", "mode": "Socket", "socket": "'"$work/port"'"}]}' >/dev/null
left() { find "$sock" "$work/serial" "$work/vsock" "$work/link" "$work/port" -maxdepth 0 2>/dev/null | wc -l; }
serve "$work/spin.json"
until [ "$(left)" = 5 ]; do kill -0 "$pid" 2>/dev/null || break; done
kill -KILL "$pid"
wait "$pid" 2>/dev/null
ok "so do the others, and a terminal's link" is "$(left)" 5
"$adit" run "$work/spin.json" --api-socket "$sock" >"$work/out" 2>"$work/err" </dev/null &
pid=$!
until ctl vm.info && [ "$(state)" = Running ]; do kill -0 "$pid" 2>/dev/null || break; done
ok "which the same VM takes over as well" ctl vm.shutdown
ctl vmm.shutdown
end
ok "and removes at its end" is "$(left)" 0

# --- hostile and many
serve "$(config spin '"spaces": [{"id": "window", "offset": "16M", "size": "4K"}],
	"adis": [{"id": "one", "type": "dsa", "pasid": {"allow": true}, "wqs": [{"mode": "dedicated", "size": 4}]}, {"id": "two", "type": "dsa", "wqs": [{"mode": "dedicated", "size": 4}]}]')"
until_says "$work/out" ready
if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 true 2>/dev/null; then
	chmod 755 "$work"
	chmod 666 "$sock"
	setpriv --reuid=65534 --clear-groups curl -s --unix-socket "$sock" http://x/api/v1/vmm.ping >"$work/foreign"
	ok "another uid is refused whatever the socket's mode" [ ! -s "$work/foreign" ]
	ok "and that is logged" has "$work/err" 'uid 65534 pid [0-9]* is refused'
else
	skip "another uid" "needs root and setpriv"
fi
ok "slow and silent clients, and ten thousand, harm nobody" python3 "$here/api-hostile.py" "$sock" "$pid"
if [ -n "${ADIT_TEST_LONG:-}" ]; then each=1000; else each=50; fi
ok "64 clients with $each requests each, 1 % malformed: none lost, memory flat" \
	python3 "$here/api-load.py" "$sock" "$pid" 64 "$each"
ok "a PASID is bound to a window" ctl pasid-bind one 5 window 77
ok "a second time it is 409" is "$(http PUT vm.pasid-bind -d '{"adi": "one", "guest": 5}')" 409
ok "the ADI must allow PASIDs" is "$(http PUT vm.pasid-bind -d '{"adi": "two", "guest": 5}')" 409
ok "an ADI that is not there is 404" is "$(http PUT vm.pasid-bind -d '{"adi": "three", "guest": 5}')" 404
ok "a space that is not there is 404" is "$(http PUT vm.pasid-bind -d '{"adi": "one", "guest": 6, "space": "no"}')" 404
ok "PASID 0 is none" is "$(http PUT vm.pasid-bind -d '{"adi": "one", "guest": 0}')" 400
ctl pasids
ok "what is bound is shown, and only that" python3 -c '
import json, sys
tables = json.load(open(sys.argv[1]))
assert tables["one"] == {"count": 1, "entries": [
    {"guest": 5, "host": 77, "state": "active", "device": "one", "space": "window",
     "descriptors": 0}]}, tables
' "$work/answer"
ctl pause
ok "not while it is paused" is "$(http PUT vm.pasid-unbind -d '{"adi": "one", "guest": 5}')" 409
ctl resume
ok "it is unbound" ctl pasid-unbind one 5
ok "a second time it is 404" is "$(http PUT vm.pasid-unbind -d '{"adi": "one", "guest": 5}')" 404
ok "both are in the log" has "$work/err" 'one: guest PASID 5 unbound'
ok "with who asked" has "$work/err" "vm.pasid-unbind: done, asked by uid $(id -u) pid [1-9]"
bound() { ctl pasids && grep -c '"guest":5,"host":77' "$work/answer"; }
written() { ctl info && grep -c '"guest":5,"space":"window","host":77' "$work/answer"; }
ok "a PASID is added" ctl add-pasid one 5 window 77
ok "it is bound, and in the configuration" is "$(bound) $(written)" '1 1'
ok "a second time it is wrong" is "$(http PUT vm.add-pasid -d '{"adi": "one", "guest": 5}')" 400
ok "so is a space that is not there" is "$(http PUT vm.add-pasid -d '{"adi": "one", "guest": 6, "space": "no"}')" 400
ok "its pointer is into what was sent" has "$work/body" '"error": *"[^a-z]*/space: no space is called'
ok "and an ADI that may not use PASIDs" is "$(http PUT vm.add-pasid -d '{"adi": "two", "guest": 6}')" 400
ok "who asked is in the log" has "$work/err" "vm.add-pasid: begun as errand [0-9]*, asked by uid $(id -u) pid [1-9]"
ctl reboot
ok "the next machine has it as well" is "$(bound) $(written)" '1 1'
ctl pause
ok "it stays while it is paused" is "$(http PUT vm.remove-pasid -d '{"adi": "one", "guest": 5}')" 409
ok "and none comes" is "$(http PUT vm.add-pasid -d '{"adi": "one", "guest": 6}')" 409
ctl resume
ok "it is removed" ctl remove-pasid one 5
ok "from both" is "$(bound) $(written)" '0 0'
ok "a second time it is 404" is "$(http PUT vm.remove-pasid -d '{"adi": "one", "guest": 5}')" 404
ctl pasid-bind one 6 window
ok "what was bound for this machine alone is not removed" is "$(http PUT vm.remove-pasid -d '{"adi": "one", "guest": 6}')" 404
ctl pasid-unbind one 6
ok "too few values give the usage" sh -c '"$1" ctl "$2" pasid-bind one 2>&1 | grep -q "adi guest \[space\] \[host\]"' -- "$adit" "$sock"
curl -s --unix-socket "$sock" http://x/metrics >"$work/metrics"
ok "/metrics is Prometheus text" python3 -c '
import re, sys
kind, told, seen, values = None, None, set(), {}
for line in open(sys.argv[1]):
    if line.startswith("# HELP "):
        told = line.split()[2]
        assert len(line.split()) > 3, line
    elif line.startswith("# TYPE "):
        name, kind = line.split()[2:]
        assert told == name, line
        assert kind in ("gauge", "counter") and name not in seen, line
        assert name.endswith("_total") == (kind == "counter"), line
        seen.add(name)
    else:
        m = re.fullmatch(r"(%s)(\{(?:,?[a-z]+=\"[A-Za-z0-9_.-]+\")+\})? ([0-9]+)\n" % name, line)
        assert m, line
        values[m[1] + (m[2] or "")] = int(m[3])
assert values["adit_vm_state{state=\"Running\"}"] == 1
assert values["adit_exits_total{reason=\"pio\"}"] > 0
assert values["adit_adi_accepted_total{id=\"one\"}"] == values["adit_adi_accepted_total{id=\"two\"}"] == 0
assert values["process_resident_memory_bytes"] > 0 and "adit_locked_memory_bytes" in values
' "$work/metrics"
ok "docs/openapi.json is what the server does" python3 "$here/api-document.py" "$sock" "$adit"
ctl vmm.shutdown
end
ok "and it ends as it should" is "$status" 0
done_testing
