#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ADIs on host work queues under the sandbox: bound, added and reset once a guest has run, by helpers
# that another process starts. A FIFO stands in for the queue, which is opened and never written to.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
need_kvm
mkfifo "$work/wq0.0" "$work/wq0.1"
adis='"adis": [{"id": "dsa", "type": "dsa", "backend": "idxd", "node": "'$work/wq0.0'", "pasid": {"allow": true}, "wqs": [{"size": 16}]}],
	"spaces": [{"id": "window", "offset": "8M", "size": "8M"}], "memory": {"size": "64M"},
	"pasids": [{"adi": "dsa", "guest": 1, "space": "window"}]'
serial='"serial": {"mode": "File", "file": "'$work/serial'"}'
config spin "$adis" >/dev/null
# shellcheck disable=SC2317 # ok calls it
api() { "$adit" ctl "$work/api" "$@" 2>"$work/refused"; }
# Processes that have the FIFO open are its helpers.
helpers() { find /proc/[0-9]*/fd -lname "$work/wq0.0" 2>/dev/null | wc -l; }
runs() { api info | grep -q '"Running"'; }
begin() { # begin OPTIONS...
	"$adit" run "$work/spin.json" --api-socket "$work/api" "$@" >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	until runs; do kill -0 "$pid" || return; done
}
# shellcheck disable=SC2317 # ok calls it
none_is_left() { while [ "$(helpers)" != 0 ] || grep -qs "$work/[s]pin.json" /proc/[0-9]*/cmdline; do :; done; }
late() { # late NODE: an ADI that comes later
	printf '{"id": "late", "type": "dsa", "backend": "idxd", "node": "%s", "pasid": {"allow": true},
		"wqs": [{"size": 4}], "pasids": [{"guest": 3, "space": "window"}]}' "$1" >"$work/late.json"
	echo "$work/late.json"
}

begin
ok "a queue has a helper for each PASID that is bound" is "$(helpers)" 1
ok "another is bound while the guest runs" api pasid-bind dsa 7 window
ok "and has its helper" is "$(helpers)" 2
ok "it is unbound" api pasid-unbind dsa 7
ok "and its helper is gone" is "$(helpers)" 1
ok "an ADI comes later" sh -c '"$1" ctl "$2" add-adi "$3" >/dev/null' -- "$adit" "$work/api" "$(late "$work/wq0.0")"
ok "with its helper" is "$(helpers)" 2
ok "it goes" api remove-device late 0 true
ok "with it" is "$(helpers)" 1
ok "what is no queue and was not named is refused" sh -c '! "$1" ctl "$2" add-adi "$3" 2>"$4"' -- \
	"$adit" "$work/api" "$(late /etc/passwd)" "$work/refused"
ok "by name" has "$work/refused" '/etc/passwd: .*only /dev/dsa/wqN.M'
ok "also where it looks like one" sh -c '! "$1" ctl "$2" add-adi "$3" 2>"$4"' -- \
	"$adit" "$work/api" "$(late /dev/dsa/../../etc/wq0.0)" "$work/refused"
ok "by name, too" has "$work/refused" 'only /dev/dsa/wqN.M'
ok "a queue that is not there is said by its helper" sh -c '! "$1" ctl "$2" add-adi "$3" 2>"$4"' -- \
	"$adit" "$work/api" "$(late /dev/dsa/wq77.77)" "$work/refused"
ok "at the step that failed" has "$work/refused" 'failed at opening the queue: No such file'
spawner=$(tr ' ' '\n' <"/proc/$pid/task/$pid/children" | head -n 1)
ok "who starts them can gain no privilege" has "/proc/$spawner/status" '^NoNewPrivs:.*1'
case $build in
*address* | *thread*) skip "and has a filter" "a build with a sanitizer has none" ;;
*)
	ok "and has a filter" has "/proc/$spawner/status" '^Seccomp_filters:.1$'
	helper=$(find /proc/[0-9]*/fd -lname "$work/wq0.0" 2>/dev/null | head -n 1 | cut -d/ -f3)
	ok "within which a helper has one of its own" has "/proc/$helper/status" '^Seccomp_filters:.2$'
	;;
esac
ok "and holds a socket and the log alone" is \
	"$(find "/proc/$spawner/fd" -lname '/*' ! -lname '/dev/null' ! -lname "$work/err" ! -lname "$work/out" | wc -l)" 0
ok "a reboot makes them anew" api vm.reboot
until runs; do kill -0 "$pid" || break; done
ok "as many" is "$(helpers)" 1
kill -KILL "$spawner"
ok "without who starts them, binding is refused" sh -c '! "$1" ctl "$2" pasid-bind dsa 8 window 2>"$3"' -- \
	"$adit" "$work/api" "$work/refused"
ok "and the VM goes on" is "$(helpers)" 1
api vmm.shutdown
wait "$pid"
ok "it ends as it should" is "$?" 0
ok "and leaves no process" none_is_left
begin
kill -KILL "$pid"
wait "$pid" 2>/dev/null
ok "a VM that is killed leaves no process" none_is_left
begin --namespaces=mount,pid,net,ipc,uts
ok "in namespaces a PASID is bound as well" api pasid-bind dsa 7 window
api vmm.shutdown
wait "$pid"
ok "and it ends as it should" is "$?" 0
run "$adit" doctor
if grep -q '^ok  *landlock' "$work/out"; then
	begin --landlock
	ok "kept to its files, too" api pasid-bind dsa 7 window
	api vmm.shutdown
	wait "$pid"
	ok "and it ends as it should" is "$?" 0
else
	skip "kept to its files, too" "no Landlock"
fi
begin --sandbox=off
ok "without a sandbox, too" api pasid-bind dsa 7 window
api vmm.shutdown
wait "$pid"
ok "and it ends as it should" is "$?" 0
config reset "$serial, $adis" >/dev/null
rm -f "$work/serial"
"$adit" run "$work/reset.json" 2>"$work/err" </dev/null &
pid=$!
until_says "$work/serial" reset_reached 4
kill -TERM "$pid"
wait "$pid"
ok "a guest with one resets itself" is "$?" 0
done_testing
