#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Namespaces of a VM's own: what it sees then, what it is refused, how it ends, as root and as a user.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

run "$adit" doctor
ok "adit doctor says whether this host can" has "$work/out" '^[a-z]*  *namespaces  '
can=$(grep -c '^ok  *namespaces' "$work/out")
config hello >/dev/null
run "$adit" run "$work/hello.json" --namespaces=pid,time
ok "another word gives status 2" is "$status" 2
ok "and is named" has "$work/err" '--namespaces=pid,time: "time" is none'
run "$adit" run --api-socket "$work/api" --namespaces=mount
ok "without a configuration nobody knows the files: status 2" is "$status" 2
need_kvm
if [ "$can" = 0 ]; then
	run "$adit" run "$work/hello.json" --namespaces=mount
	ok "where there can be none the VM does not start" is "$status" 1
	ok "and the mend is said" has "$work/err" 'unshare: .*('
	done_testing
fi

serial='"serial": {"mode": "File", "file": "'"$work"'/serial"}'
api() { "$adit" ctl "$work/api" "$@"; }
child_of() { tr -d ' ' <"/proc/$1/task/$1/children"; }
# begin OPTIONS...: the VM that waits for its power button. $pid: who was started; $vm: who has the guest.
begin() {
	: >"$work/serial"
	"$adit" run "$work/powerbutton.json" --api-socket "$work/api" "$@" \
		>"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	until_says "$work/serial" ready
	vm=$(child_of "$pid")
	vm=${vm:-$pid}
}
end() {
	kill -"$1" "$2"
	wait "$pid" 2>/dev/null
	status=$?
}
# shellcheck disable=SC2317 # ok calls it
# other KIND: is the VM's another than ours?
other() { ! is "$(readlink "/proc/$vm/ns/$1")" "$(readlink "/proc/self/ns/$1")"; }
names() { api info | python3 -c 'import json, sys; print(*json.load(sys.stdin)["namespaces"])'; }

truncate -s 1M "$work/disk"
echo elsewhere >"$work/elsewhere"
mkdir "$work/later"
truncate -s 1M "$work/later/disk"
config powerbutton "$serial, \"disks\": [{\"path\": \"$work/disk\", \"readonly\": true}]" >/dev/null
user=
[ "$(id -u)" = 0 ] || user='user '

begin
ok "without the option there are none" is "$(names)" ''
end TERM "$pid"

begin --namespaces=mount,pid,net,ipc,uts
ok "vm.info names them" is "$(names)" "${user}mount pid net ipc uts"
for kind in mnt pid net ipc uts; do
	ok "the VM has its own: $kind" other "$kind"
done
ok "it is the first of its processes" has "/proc/$vm/status" '^NSpid:.*[[:space:]]1$'
if [ -z "$user" ]; then
	ok "its root has the folder of its API socket" [ -S "/proc/$vm/root$work/api" ]
	ok "and nothing of /etc but the time zone" \
		is "$(cd "/proc/$vm/root/etc" 2>/dev/null && echo * | sed 's/^\*$//; s/localtime//')" ''
	ok "nor /home, /root, /usr/bin" sh -c '! ls -d "$1/home" "$1/root" "$1/usr/bin" 2>/dev/null' \
		-- "/proc/$vm/root"
	ok "what it has of /dev is what it needs" is "$(ls "/proc/$vm/root/dev")" kvm
	ok "its interfaces are lo" is "$(nsenter -t "$vm" -n cat /proc/net/dev | grep -c :)" 1
	ok "its root cannot be written" sh -c '! touch "$1/x" 2>/dev/null' -- "/proc/$vm/root"
fi
ok "a tap by its name is refused later, too" sh -c '! "$1" ctl "$2" add-net tap9 2>"$3"' -- \
	"$adit" "$work/api" "$work/refused"
ok "with the mend" has "$work/refused" 'tap9 is in the network namespace .* hand it over'
ok "what is not shown cannot be added" sh -c '! "$1" ctl "$2" add-disk /proc/version' -- \
	"$adit" "$work/api" 2>/dev/null
end TERM "$pid"
ok "a signal presses the power button inside" is "$status" 0

begin --namespaces=pid
end KILL "$pid"
ok "the VM ends with the process that waits for it" \
	sh -c 'while kill -0 "$1" 2>/dev/null && ! grep -q "^State:.Z" "/proc/$1/status" 2>/dev/null; do :; done' -- "$vm"
rm -f "$work/api" # its zombie is whose it is
begin --namespaces=pid
end KILL "$vm"
ok "a VM that is killed gives status 1" is "$status" 1
ok "and a line in the log" has "$work/err" 'the VM was killed by signal 9'
config triple >/dev/null
run "$adit" run "$work/triple.json" --namespaces=pid --no-reboot
ok "a guest's failure comes through" is "$status" \
	"$("$adit" run "$work/triple.json" --no-reboot >/dev/null 2>&1 </dev/null; echo $?)"

# Beside /tmp, so that the folder of the API's socket does not show it.
apart=$(mktemp -d /var/tmp/adit.XXXXXX)
trap 'rm -rf "$work" "$apart"' EXIT
truncate -s 1M "$apart/disk"
begin --namespaces=mount
ok "a disk that is not shown cannot be added" sh -c '! "$1" ctl "$2" add-disk "$3" 2>"$4"' -- \
	"$adit" "$work/api" "$apart/disk" "$work/refused"
ok "it is not there" has "$work/refused" 'No such file'
end TERM "$pid"
begin --namespaces=mount --landlock-rules "path=$apart,access=rw"
api add-disk "$apart/disk" >"$work/added"
ok "with a rule it can" has "$work/added" disk1
end TERM "$pid"

config hello '"net": [{"tap": "tap9"}]' >/dev/null
run "$adit" run "$work/hello.json" --namespaces=net
ok "a tap by its name is refused at start" is "$status" 1
ok "by its pointer" has "$work/err" '/net/0: "tap": tap9'

config hello '"serial": {"mode": "Pty"}' >/dev/null
run "$adit" run "$work/hello.json" --namespaces=mount
ok "a terminal is refused in a root of its own" has "$work/err" '/serial: "mode": "Pty" makes a terminal'

# Everything that a machine is made of, made again in them.
config reset "$serial, \"disks\": [{\"path\": \"$work/disk\"}],
	\"rng\": {\"src\": \"/dev/urandom\"}, \"balloon\": {},
	\"console\": {\"mode\": \"File\", \"file\": \"$work/console\",
	              \"ports\": [{\"name\": \"port\", \"mode\": \"Socket\", \"socket\": \"$work/port\"}]},
	\"vsock\": {\"cid\": 3, \"socket\": \"$work/vsock\"},
	\"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", \"wqs\": [{\"size\": 16}]}]" >/dev/null
: >"$work/serial"
"$adit" run "$work/reset.json" --namespaces=mount,pid,net,ipc,uts >"$work/out" 2>"$work/err" </dev/null &
pid=$!
until_says "$work/serial" reset_reached 4
end TERM "$pid"
ok "a guest with every device resets itself in all of them" is "$status" 0
[ "$status" = 0 ] || sed 's/^/# /' "$work/err"

# Under a keeper, which stays outside: it, the process that waits, or the VM is killed.
config powerbutton "$serial, \"vsock\": {\"cid\": 3, \"socket\": \"$work/vsock\"}" >/dev/null
keep() { # as begin: $pid is the keeper, $waits its child
	rm -f "$work/serial"
	"$build/adit-keeper" --run-dir "$work/run" --socket "$work/api" --socket "$work/vsock" -- \
		"$adit" run "$work/powerbutton.json" --api-socket "$work/api" \
		--namespaces=mount,pid,net,ipc,uts >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	until_says "$work/serial" ready
	waits=$(child_of "$pid")
	vm=$(child_of "$waits")
}
# All of its threads, of which the first may go before the others. What is left is a zombie at most.
# shellcheck disable=SC2317 # ok calls it
gone() {
	while state=$(awk '/^State|^Threads/ { print $2 }' "/proc/$1/status" 2>/dev/null | tr -d '\n') &&
		[ "$state" ] && [ "$state" != Z1 ] && [ "$state" != X1 ]; do :; done
}
left() { find "$work" -name '*.journal' -o -name 'api*' -o -name 'vsock*'; }
chmod 700 "$work"
keep
ok "under a keeper a VM has the same" is "$(names)" "${user}mount pid net ipc uts"
ok "the keeper is outside" is "$(readlink "/proc/$pid/ns/pid")" "$(readlink /proc/self/ns/pid)"
end TERM "$pid"
ok "a signal reaches the guest through both" is "$status $(left)" '0 '
keep
end KILL "$vm"
ok "a VM that is killed gives the keeper's status 1, and nothing is left" is "$status $(left)" '1 '
keep
end KILL "$waits"
ok "so does the process that waits for it" is "$status $(left)" '1 '
ok "and the VM is gone" gone "$vm"
keep
end KILL "$pid"
ok "the VM ends with its keeper" gone "$vm"
"$build/adit-keeper" --run-dir "$work/run" --clean >"$work/out"
ok "the next cleaner leaves nothing" is "$(left)" ''

# Who is not root. A node that others may open stands in for a group kvm.
if [ -z "$user" ] && unshare -m sh -c "mount --bind /dev/null /dev/kvm" 2>/dev/null &&
	setpriv --reuid 23456 --regid 23456 --clear-groups unshare -Um true 2>/dev/null; then
	cp "$build/adit" "$build/guest/powerbutton.bin" "$work" # the build may lie where root alone may go
	mknod -m 666 "$work/kvm" c 10 232
	config powerbutton '"serial": {"mode": "Null"}' >/dev/null
	sed -i "s|$build/guest|$work|" "$work/powerbutton.json"
	chmod 777 "$work"
	unshare -m sh -c 'mount --bind "$0" /dev/kvm && exec "$@"' "$work/kvm" \
		setpriv --reuid 23456 --regid 23456 --clear-groups --no-new-privs \
		"$work/adit" run "$work/powerbutton.json" --api-socket "$work/user" \
		--namespaces=mount,pid,net,ipc,uts >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	as_user() { setpriv --reuid 23456 --regid 23456 --clear-groups "$work/adit" ctl "$work/user" "$@"; }
	until as_user info >"$work/info" 2>/dev/null; do
		kill -0 "$pid" || break
	done
	vm=$(child_of "$pid")
	ok "a user has a user namespace with them" has "$work/info" '"user", *$\|"user",'
	ok "and is who it was" has "/proc/$vm/uid_map" '^ *23456 *23456 *1$'
	ok "without capabilities" is "$(grep -c '^Cap[PEIA].*:.0*$' "/proc/$vm/status")" 4
	for kind in user mnt pid net ipc uts; do
		ok "a user's VM has its own: $kind" other "$kind"
	done
	ok "a second VM on its socket is refused" sh -c '! timeout 20 "$@"' -- \
		setpriv --reuid 23456 --regid 23456 --clear-groups "$work/adit" run \
		"$work/powerbutton.json" --api-socket "$work/user" --namespaces=pid 2>"$work/refused"
	ok "for somebody serves it" has "$work/refused" 'in use'
	ok "root is a stranger to it" sh -c '! "$1" ctl "$2" info 2>/dev/null >&2' -- "$adit" "$work/user"
	as_user vmm.shutdown
	wait "$pid"
	ok "it ends well" is "$?" 0
	setpriv --reuid 65534 --regid 65534 --clear-groups "$work/adit" run "$work/powerbutton.json" \
		--namespaces=pid 2>"$work/refused"
	ok "a user who looks like all strangers is refused" has "$work/refused" 'uid 65534 is what everybody'
	chmod 700 "$work"
else
	skip "a user's VM" "needs root, setpriv and user namespaces"
fi
done_testing
