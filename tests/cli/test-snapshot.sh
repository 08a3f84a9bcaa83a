#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A snapshot as an operator makes and uses it: from one process to others, with the sandbox on, and
# everything that is refused on the way.
# shellcheck disable=SC2317 # ok() calls functions
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
need_kvm
sock=$work/api
file=$work/vm.snapshot

# serve SAYS ARGUMENTS...: starts adit in the background, until its guest's console says that.
serve() {
	rm -f "$sock"
	says=$1
	shift
	: >"$work/console"
	"$adit" run --api-socket "$sock" "$@" >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	until "$adit" ctl "$sock" vmm.ping >"$work/ping" 2>&1; do
		kill -0 "$pid" 2>/dev/null && continue
		sed 's/^/# /' "$work/err"
		ok "adit run --api-socket $*" false
		done_testing
	done
	[ -z "$says" ] || until_says "$work/console" "$says"
}
end() {
	wait "$pid"
	status=$?
}
ctl() { "$adit" ctl "$sock" "$@" >"$work/answer" 2>"$work/refusal"; }
# refused WHY COMMAND...
refused() {
	why=$1
	shift
	! "$@" && has "$work/refusal" "$why"
}
state() { "$adit" ctl "$sock" info | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])'; }
await() { # await STATE: it comes, or the process ends
	until [ "$(state 2>"$work/ignored")" = "$1" ] || ! kill -0 "$pid" 2>"$work/ignored"; do :; done
}
passed() { # passed CHECKS
	! has "$work/console" '^not ok' && is "$(grep -c '^ok' "$work/console")" "$1" && return
	sed 's/^/# console: /' "$work/console"
	sed 's/^/# log: /' "$work/err"
	return 1
}

# Each VM has an image of its own: the kernel may hold one a little longer than its process.
images=0
image() { # image FROM: sets $members and $vm around a copy
	images=$((images + 1))
	cp "$1" "$work/disk$images"
	members='"memory": {"size": "64M"}, "serial": {"mode": "File", "file": "'$work'/console"},
		"rng": {}, "balloon": {},
		"disks": [{"id": "d", "path": "'$work/disk$images'", "image_type": "Raw"}]'
	vm=$(config snapshot "$members")
}
truncate -s 32K "$work/empty"
image "$work/empty"

# --- one that is saved
serve busy "$vm"
ok "a VM that runs is not saved" refused 'must be Paused' ctl snapshot "$file"
ok "it is paused" ctl pause
ok "a relative path is refused" refused 'absolute path' ctl snapshot vm.snapshot
ok "a folder that is not there is refused" refused 'No such file' ctl snapshot "$work/none/vm.snapshot"
ok "it is saved" ctl snapshot "file://$file"
ok "for its owner alone" is "$(stat -c %a "$file")" 600
ok "what holds nothing takes no room" [ "$(du -k "$file" | cut -f1)" -lt 16384 ]
ok "a file that is there is not written over" refused 'is there already' ctl snapshot "$file"
cp "$work/disk$images" "$work/disk.then"
kill -9 "$pid"
end

# --- another process
image "$work/disk.then"
serve '' "$vm" --restore "$file"
await Running
ok "it goes on in another process, with the sandbox on" is "$(state)" Running
ctl info
ok "which it is" has "$work/answer" '"sandbox":"seccomp"\|"sandbox":"off, a build'
ctl power-button
end
ok "and ends well" is "$status" 0
ok "nothing of it was lost" passed 8

image "$work/disk.then"
serve '' "$vm" --restore "$file" --landlock
await Running
ctl power-button
end
ok "with Landlock too" passed 8

image "$work/disk.then"
serve '' "$vm" --restore-fd 9 9<"$file"
await Running
ctl power-button
end
ok "and from a file that was opened before" passed 8
serve '' "$vm" --paused
ok "a file that comes with the request is written" python3 -c '
import array, os, socket, sys
file = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
for fds, status in ((0, b"400"), (2, b"400"), (1, b"204")):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(sys.argv[1])
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file] * fds))] if fds else []
    sock.sendmsg([b"PUT /api/v1/vm.snapshot HTTP/1.1\r\nHost: adit\r\nContent-Length: 2\r\n\r\n{}"], rights)
    answer = sock.recv(4096)
    assert answer.split()[1] == status, answer
' "$sock" "$work/given"
ctl vmm.shutdown
end
run "$adit" run "$vm" --restore-fd 9
ok "a descriptor that is not open is refused" is "$status" 2

# --- by the API: paused first
image "$work/disk.then"
serve ''
ok "without a configuration there is nothing to restore" refused 'vm.create' ctl restore "$file"
ctl create "$vm"
ok "a file that is not there is refused" refused 'No such file' ctl restore "$work/none"
ok "vm.restore" ctl restore "$file"
ok "leaves it paused" is "$(state)" Paused
ok "a second one is refused" refused 'must be Created or Shutdown' ctl restore "$file"
ok "a paused one is saved again" ctl snapshot "$work/second"
ok "vm.resume lets it go on" ctl resume
ctl power-button
await Shutdown
ok "it ends well" passed 8
cp "$work/disk.then" "$work/disk$images"
: >"$work/console"
ok "vm.restore and on at once, from the second file" ctl restore "$work/second" true
ctl power-button
await Shutdown
ok "it ends well too" passed 8
ctl vmm.shutdown
end

# --- what does not fit
not_restored() { # not_restored WHY CONFIG FILE
	run "$adit" run "$2" --restore "$3"
	[ "$status" != 0 ] && has "$work/err" "$1"
}
ok "another size of memory is refused" not_restored '/memory/size' \
	"$(config snapshot '"memory": {"size": "128M"}, "rng": {}')" "$file"
ok "huge pages are refused" not_restored 'hugepage_size' \
	"$(config snapshot '"memory": {"size": "64M", "hugepage_size": "2M"}')" "$file"
ok "other processors are refused" not_restored 'boot_vcpus' \
	"$(config snapshot "$members"', "cpus": {"boot_vcpus": 2}')" "$file"
ok "a device less is refused" not_restored 'for which there is nothing\|no section\|slot' \
	"$(config snapshot '"memory": {"size": "64M"}, "rng": {}')" "$file"
truncate -s 64K "$work/empty"
image "$work/empty"
ok "a disk of another size is refused" not_restored 'disk has 32768 bytes' "$(config snapshot "$members")" "$file"
head -c 100000 "$file" >"$work/short"
ok "a file that was cut is refused" not_restored 'not inside the file' "$(config snapshot "$members")" "$work/short"
echo '{"version": 1}' >"$work/other"
ok "another file is refused" not_restored 'is no snapshot' "$(config snapshot "$members")" "$work/other"
run "$adit" run --api-socket "$sock" --restore "$file"
ok "without a configuration it is refused" is "$status" 2

# --- what is not carried
serve busy "$(config snapshot '"memory": {"size": "64M", "hotplug_size": "128M"},
	"serial": {"mode": "File", "file": "'"$work"'/console"}')"
ctl pause
ok "memory that is plugged is refused by name" refused '/memory/hotplug_size' ctl snapshot "$work/third"
ok "and no file is left" [ ! -e "$work/third" ]
ctl resume
ctl power-button
end
ok "the VM goes on" passed 7
done_testing
