#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# adit run as a user meets it: output, exit status, signals, reports.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
need_kvm

run "$adit" run "$(config hello)"
ok "guest output goes to stdout" has "$work/out" '^ok hello'
ok "debug-exit 0 gives status 0" is "$status" 0

run "$adit" run "$(config poweroff)"
ok "power-off gives status 0" is "$status" 0

run "$adit" run "$(config reset)" --no-reboot
ok "a reset with --no-reboot gives status 0" is "$status" 0

run "$adit" run "$(config triple)"
ok "a triple fault gives status 1" is "$status" 1
ok "its report names it" has "$work/err" 'triple fault'
ok "its report has RIP and bytes" has "$work/err" 'rip 0x[0-9a-f]* .*instruction bytes:'
ok "its report has the last exits" has "$work/err" 'last exits, newest first: .*IO'

run "$adit" run "$(config badinsn)"
ok "an instruction that cannot be emulated gives status 1" is "$status" 1
ok "its report says so" has "$work/err" 'KVM_EXIT_INTERNAL_ERROR'

run "$adit" run "$(config hello '"cpus": {"boot_vcpu": 1}')"
ok "an unknown key gives status 2" is "$status" 2
ok "its pointer is named" has "$work/err" '/cpus/boot_vcpu: unknown key'
ok "the nearest key is named" has "$work/err" 'boot_vcpus'
ok "nothing was started" is "$(cat "$work/out")" ''

run "$adit" run "$work/absent.json"
ok "a configuration that is not there gives status 2" is "$status" 2
run "$adit" run
ok "no configuration gives status 2" is "$status" 2
run "$adit" no-such-command
ok "an unknown command gives status 2" is "$status" 2

printf '{"payload": {"flat": "%s/absent.bin"}}' "$work" >"$work/no-payload.json"
run "$adit" run "$work/no-payload.json"
ok "a payload that is not there gives status 1" is "$status" 1
ok "its path is named" has "$work/err" 'absent.bin: No such file'

run "$adit" run "$(config hello '"devices": [{"id": "nic", "path": "ffff:ff:1f.7"}]')"
ok "a host device that cannot be assigned gives status 1" is "$status" 1
ok "its refusal names the device" has "$work/err" 'nic: ffff:ff:1f.7: there is no such PCI function'
run "$adit" run "$(config hello '"devices": [{"id": "nic", "fd": 3}]')" 3</dev/null
ok "a descriptor that is no device gives status 1" is "$status" 1
ok "its refusal says what it is not" has "$work/err" 'nic: descriptor 3 is neither a VFIO cdev nor a group'
run "$adit" run "$(config hello '"devices": [{"id": "nic", "fd": 3}]')" 3<README.md
ok "nor is a file one" has "$work/err" 'descriptor 3 is no character device'
run "$adit" run "$(config hello)" --keeper-fd=999
ok "a keeper's descriptor that is not there gives status 2" is "$status" 2
if [ "$(id -u)" = 0 ]; then
	run "$adit" run "$(config hello '"devices": [{"id": "nic", "path": "ffff:ff:1f.7", "managed": true}]')" --run-dir "$work/run"
	ok "a device that has to be taken is refused by the keeper" has "$work/err" 'nic: ffff:ff:1f.7: there is no such PCI function'
	ok "the VM's status comes through it" is "$status" 1
	ok "no journal is left" is "$(ls "$work/run")" ''
else
	run "$adit" run "$(config hello '"devices": [{"id": "nic", "path": "ffff:ff:1f.7", "managed": true}]')"
	ok "what needs the keeper is refused without root" has "$work/err" 'only adit-keeper can take a function'
fi

run "$adit" run "$(config triple)" --log-json
ok "--log-json gives one JSON object a line" python3 -c '
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
assert any("triple fault" in l["message"] for l in lines), lines
assert all({"time", "level", "area", "message"} <= set(l) for l in lines)
' "$work/err"
run "$adit" run "$(config hello)" --log-level loud
ok "an unknown log level gives status 2" is "$status" 2

# begin CONFIG: starts adit in the background with its output in $work/out.
begin() {
	: >"$work/out"
	"$adit" run "$@" >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
}
end() {
	wait "$pid"
	status=$?
}

begin "$(config powerbutton)"
until_says "$work/out" ready
kill -TERM "$pid"
end
ok "SIGTERM presses the power button and the guest powers off" is "$status" 0

begin "$(config spin '"shutdown_timeout": 0.1')"
until_says "$work/out" ready
kill -TERM "$pid"
end
ok "a guest that ignores it is stopped after the grace period with status 1" is "$status" 1
ok "and that is said" has "$work/err" 'did not power off within 100 ms'

begin "$(config spin '"shutdown_timeout": 3600')"
until_says "$work/out" ready
kill -INT "$pid"
until_says "$work/err" 'power button'
kill -INT "$pid"
end
ok "the second signal stops it at once" is "$status" 1

begin "$(config reset '"serial": {"mode": "File", "file": "'"$work"'/boots"}')"
until_says "$work/boots" reset_reached 3
kill -TERM "$pid"
end
ok "a reset starts the machine anew" [ "$(grep -c reset_reached "$work/boots")" -ge 3 ]

# What was killed lets go of its image when its io_uring is down, and that is a little later.
truncate -s 1M "$work/image"
disk='"disks": [{"path": "'"$work"'/image"}], "shutdown_timeout": 0'
for i in 1 2 3 4 5 6 7 8 9 10; do
	begin "$(config spin "$disk")"
	until_says "$work/out" ready || break
	kill -KILL "$pid"
	end
done
ok "a VM that was killed can be started again at once" is "$i $status" '10 137'

# A payload that only who starts adit can open, over resets of the guest.
echo '{"payload": {"flat_fd": 7}, "serial": {"mode": "File", "file": "'"$work"'/given"}}' >"$work/given.json"
exec 7<"$build/guest/reset.bin"
begin "$work/given.json"
until_says "$work/given" reset_reached 3
kill -TERM "$pid"
end
ok "a payload can be handed over" [ "$(grep -c reset_reached "$work/given")" -ge 3 ]
exec 7<"$work"
run "$adit" run "$work/given.json"
ok "one that is no file is refused" is "$status" 1
ok "by its number" has "$work/err" 'descriptor 7: not a regular file'
exec 7<&-
run "$adit" run "$work/given.json"
ok "one that is not there as well" has "$work/err" 'descriptor 7: nobody has handed it over'

# A start that waits.
run "$adit" run "$(config hello)" --paused
ok "--paused with nobody who could resume it is refused" is "$status" 2
ok "and the sentence says what is missing" has "$work/err" 'only with CONFIG and --api-socket'
"$adit" run "$(config hello)" --paused --api-socket "$work/api" >"$work/out" 2>"$work/err" </dev/null &
pid=$!
until "$adit" ctl "$work/api" info 2>"$work/ignored" | grep -q '"state": *"Paused"' || ! kill -0 "$pid"; do :; done
"$adit" ctl "$work/api" counters >"$work/counters"
ok "a VM that starts paused has not run an instruction" python3 -c '
import json, sys
exits = json.load(open(sys.argv[1]))["vcpus"]
assert exits and not any(exits.values()), exits' "$work/counters"
"$adit" ctl "$work/api" resume
end
ok "until it is resumed" has "$work/out" '^ok hello'
ok "then it ends well" is "$status" 0
"$adit" run "$(config powerbutton)" --paused --api-socket "$work/api" >"$work/out" 2>"$work/err" </dev/null &
pid=$!
until "$adit" ctl "$work/api" info 2>"$work/ignored" | grep -q '"state": *"Paused"' || ! kill -0 "$pid"; do :; done
"$adit" ctl "$work/api" reboot
run "$adit" ctl "$work/api" info
ok "the machine that is made of one that waits, waits" has "$work/out" '"state": *"Paused"'
"$adit" ctl "$work/api" resume
"$adit" ctl "$work/api" reboot
run "$adit" ctl "$work/api" info
ok "and of one that runs, does not" has "$work/out" '"state": *"Running"'
kill -TERM "$pid"
end
ok "and ends well" is "$status" 0

# Events as lines, for who starts VMs and has no API.
words() { python3 -c 'import json, sys
for event in map(json.loads, open(sys.argv[1])): print(event["event"], event.get("detail", "-"), end=";")' "$1"; }
run "$adit" run "$(config hello)" --event-monitor "path=$work/events"
ok "events go to a file" is "$(words "$work/events")" 'state Created;booted -;ended off;'
ok "which is its owner's" is "$(stat -c %a "$work/events")" 600
run "$adit" run "$(config hello)" --event-monitor fd=9 9>>"$work/events"
ok "or to a descriptor, and are added there" is "$(words "$work/events")" \
	'state Created;booted -;ended off;state Created;booted -;ended off;'
: >"$work/events"
run "$adit" run "$(config hello '"disks": [{"path": "'"$work"'/absent"}]')" --event-monitor "path=$work/events"
ok "a machine that could not be made is one" has "$work/events" '"failed","detail":".*absent'
for target in fd=0 fd=x fd= path= 3 fd=4294967299; do
	run "$adit" run "$(config hello)" --event-monitor "$target"
	ok "--event-monitor $target is refused" is "$status" 2
	ok "and the sentence has it" has "$work/err" "event-monitor $target: fd=N"
done
run "$adit" run "$(config hello)" --event-monitor fd=77
ok "a descriptor that is not open is refused" is "$status" 2
ok "and the sentence has its number" has "$work/err" 'event-monitor fd=77: no descriptor past 0 that is open'
# With a pipe for its lines the log has the first that is free.
"$adit" run "$(config hello)" --event-monitor fd=3 2>&1 3>&- >"$work/out" | cat >"$work/err"
ok "the log's own is nobody's" has "$work/err" 'event-monitor fd=3: no descriptor past 0 that is open'
ok "and nothing is started" is "$(cat "$work/out")" ''
run "$adit" run "$(config hello)" --event-monitor fd=9 --restore-fd 9 9<>"$work/events"
ok "what a snapshot is read from is refused" is "$status" 2
ok "and the sentence says so" has "$work/err" "event-monitor fd=9: that descriptor is --restore-fd's"
run "$adit" run "$(config hello)" --keeper-fd=9 --event-monitor fd=9 9<>"$work/events"
ok "as the keeper's is" has "$work/err" "event-monitor fd=9: that descriptor is the keeper's"
run "$adit" run "$(config hello)" --event-monitor fd=9 9<"$work/events"
ok "one that is for reading as well" has "$work/err" 'descriptor 9: it is open for reading only'
mkfifo "$work/fifo"
run "$adit" run "$(config hello)" --event-monitor "path=$work/fifo"
ok "a FIFO that nobody reads is refused" is "$status" 1
ok "and the sentence says what to do" has "$work/err" 'fifo: nobody reads it: start who does before'

# As root the node can be hidden in a mount namespace of its own.
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
	run unshare -m sh -c 'mount -t tmpfs none /dev && exec "$@"' -- "$adit" run "$(config hello)"
	ok "without /dev/kvm the status is 1" is "$status" 1
	ok "and one sentence says what to do" has "$work/err" "there is no /dev/kvm: load it with 'modprobe"
	ok "in one line" is "$(wc -l <"$work/err")" 1
else
	skip "without /dev/kvm" "needs root and unshare"
fi

"$adit" --help >"$work/out"
ok "--help names every command" sh -c 'for c in run ctl check doctor bench; do
	grep -q "adit $c" "$1" || exit 1; done' -- "$work/out"
for c in run ctl check devices doctor adi-serve bench; do
	run "$adit" "$c" --help
	ok "adit $c --help ends well" is "$status" 0
	ok "and says how it is used" has "$work/out" "^usage: adit $c "
done
run "$adit" run --bogus
ok "an option that is none is status 2" is "$status" 2
ok "with the usage" has "$work/err" '^usage: adit run '
ok "--version says the version" is "$("$adit" --version)" "adit $(cat VERSION)"

# Nobody reads its log.
config spin >/dev/null
ok "a VM with a full log pipe goes on, and loses whole lines" python3 "$(dirname "$0")/log-pipe.py" \
	"$adit" "$work/spin.json" "$work/api"
done_testing
