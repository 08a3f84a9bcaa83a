#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The sandbox as an operator meets it: which threads have a filter, what a guest that resets itself
# still gets, how it is turned off, and that the document says what the filters say.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

sed -n '/^### every thread/,$p' docs/sandbox.md >"$work/list"
"$build/sandbox-generate" document >"$work/made"
ok "docs/sandbox.md lists what the filters are made from" cmp -s "$work/list" "$work/made"
ok "the list is not empty" [ "$(wc -l <"$work/made")" -gt 100 ]

# Whatever the sources name of the kernel's requests is in the table: a row is not forgotten.
printf '#include <%s>\n' linux/kvm.h linux/vfio.h linux/if_tun.h linux/fs.h sys/ioctl.h |
	"${CC:-cc}" -E -dM -I. -include ioasid-client/providers/iommufd-uapi.h - |
	awk '$3 ~ /^(_IO[RW]*|IFD_IO|VFIO_IO)\(/ && $2 !~ /\(/ { print $2 }' | sort -u >"$work/requests"
cat vmm/*.c vmm/*/*.c kvm-glue/*.c ioasid-client/*.c ioasid-client/*/*.c passthrough/*/*.c util/*.c |
	tr -cs 'A-Z0-9_' '\n' | sort -u | comm -12 - "$work/requests" >"$work/used"
grep -o '[A-Z0-9_]*' vmm/sandbox/table.h | sort -u >"$work/rows"
ok "every ioctl that the sources name has a row" is "$(comm -23 "$work/used" "$work/rows")" ''
ok "they name some" [ "$(wc -l <"$work/used")" -gt 50 ]

config hello >/dev/null
run "$adit" check "$work/hello.json"
ok "adit check says whether there is one" has "$work/out" '^sandbox: [sn]'
run "$adit" doctor
ok "adit doctor says whether this host can" has "$work/out" '^[a-z]*  *seccomp  '
need_kvm

run "$adit" run "$work/hello.json" --sandbox=loose
ok "another word than on and off gives status 2" is "$status" 2
run "$adit" run "$work/hello.json" --sandbox=off
ok "without the sandbox a guest runs" is "$status" 0
ok "and a warning says so" has "$work/err" 'warning: off, as --sandbox=off says'

# --user: a node that others may open stands in for a group kvm.
run "$adit" run "$work/hello.json" --user nobody-here
ok "a user that is not there gives status 1" is "$status" 1
ok "and is named" has "$work/err" 'user nobody-here: is not in /etc/passwd'
run "$adit" run "$work/hello.json" --group 5
ok "a group without a user gives status 2" is "$status" 2
if [ "$(id -u)" != 0 ]; then
	run "$adit" run "$work/hello.json" --user 65534 --group 65534
	ok "who is not root becomes nobody else" has "$work/err" 'only root can'
elif unshare -m sh -c "mount --bind /dev/null /dev/kvm" 2>/dev/null; then
	mknod -m 666 "$work/kvm" c 10 232
	config powerbutton '"serial": {"mode": "Null"}' >/dev/null
	cp "$build/guest/powerbutton.bin" "$work" # the build may lie where root alone may go
	sed -i "s|$build/guest|$work|" "$work/powerbutton.json"
	chmod 777 "$work"
	unshare -m sh -c 'mount --bind "$0" /dev/kvm && exec "$@"' "$work/kvm" \
		"$adit" run "$work/powerbutton.json" --user 65534 --group 65533 --api-socket "$work/api" \
		>"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	until [ -S "$work/api" ] && "$adit" ctl "$work/api" info >"$work/info" 2>/dev/null; do
		kill -0 "$pid" || break
	done
	ok "a VM is another user's" is "$(grep '^[UG]id' /proc/"$pid"/status | tr -s '\n\t' ' ')" \
		'Uid: 65534 65534 65534 65534 Gid: 65533 65533 65533 65533 '
	ok "without capabilities" is "$(grep -c '^Cap[PEIA].*:.0*$' /proc/"$pid"/status)" 4
	ok "so is its socket" is "$(stat -c '%u %a' "$work/api")" '65534 600'
	ok "root is welcome there" has "$work/info" '"state"'
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	rm -f "$work/api" "$work/kvm"
	chmod 700 "$work"
else
	skip "a VM is another user's" "no mount namespace can be had"
fi

# begin CONFIG [OPTIONS]: starts it with an API, waits until the guest is ready.
begin() {
	: >"$work/serial"
	"$adit" run "$@" --api-socket "$work/api" >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	until_says "$work/serial" "$ready" "${times:-1}"
}
end() {
	kill -TERM "$pid"
	wait "$pid"
	status=$?
}
state() { "$adit" ctl "$work/api" info | python3 -c 'import json, sys; print(json.load(sys.stdin)["sandbox"])'; }

serial='"serial": {"mode": "File", "file": "'"$work"'/serial"}'
ready=ready
config powerbutton "$serial, \"cpus\": {\"boot_vcpus\": 2}" >/dev/null

begin "$work/powerbutton.json" --sandbox=off
state >"$work/off"
end

case $(basename "$build") in
*address* | *thread*)
	skip "filters of threads" "a build with a sanitizer has none"
	ok "vm.info says that there are none" is "$(cat "$work/off")" none
	done_testing
	;;
esac
ok "vm.info says off" is "$(cat "$work/off")" off

begin "$work/powerbutton.json"
ok "vm.info says seccomp" is "$(state)" seccomp
for task in /proc/"$pid"/task/*; do
	ok "the thread $(cat "$task/comm") has a filter and gets no privileges" \
		sh -c 'grep -q "^Seccomp:.2" "$1" && grep -q "^NoNewPrivs:.1" "$1"' -- "$task/status"
done
ok "these are the life, the API, the loop and two vCPUs" is \
	"$(cat /proc/"$pid"/task/*/comm | grep -cx 'adit\|api\|loop\|vcpu[01]')" 5
ok "no core would be written" grep -q '^Max core file size  *0  *0 ' /proc/"$pid"/limits
end
ok "the guest ends well in it" is "$status" 0

# Everything that a machine is made of, made again within the life's filter.
truncate -s 16M "$work/disk" "$work/disk2"
direct=false # a file system of memory may have none
dd if="$work/disk" of=/dev/null iflag=direct count=8 2>/dev/null && direct=true
ready=reset_reached
times=4
config reset "$serial, \"cpus\": {\"boot_vcpus\": 2},
	\"memory\": {\"size\": \"64M\", \"prefault\": true, \"hotplug_size\": \"16M\"},
	\"disks\": [{\"path\": \"$work/disk\", \"direct\": $direct}, {\"path\": \"$work/disk2\", \"readonly\": true}],
	\"rng\": {\"src\": \"/dev/urandom\"}, \"balloon\": {\"statistics_interval\": 1},
	\"console\": {\"mode\": \"Pty\", \"link\": \"$work/pty\",
	              \"ports\": [{\"name\": \"port\", \"mode\": \"Socket\", \"socket\": \"$work/port\"}]},
	\"vsock\": {\"cid\": 3, \"socket\": \"$work/vsock\"},
	\"spaces\": [{\"id\": \"w\", \"offset\": \"8M\", \"size\": \"8M\"}],
	\"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", \"pasid\": {\"allow\": true}, \"wqs\": [{\"size\": 16}]}],
	\"pasids\": [{\"adi\": \"dsa0\", \"guest\": 5, \"space\": \"w\"}]" >/dev/null
begin "$work/reset.json"
end
ok "a guest with every device resets itself within the filters" is "$status" 0
[ "$status" = 0 ] || sed 's/^/# /' "$work/err"
ok "no thread left its filter" sh -c '! grep "sandbox: error" "$1"' -- "$work/err"
run "$adit" doctor
if has "$work/out" '^ok *landlock'; then
	begin "$work/reset.json" --landlock
	end
	ok "so does it where it is kept to its files" is "$status" 0
	[ "$status" = 0 ] || sed 's/^/# /' "$work/err"
	ok "the log says that it is" has "$work/err" 'Landlock: the files of the configuration, 0 rules'
else
	run "$adit" run "$work/reset.json" --landlock
	ok "without Landlock in the kernel it is refused" is "$status" 1
	ok "with the mend" has "$work/err" 'CONFIG_SECURITY_LANDLOCK'
fi
run "$adit" run --landlock --api-socket "$work/api"
ok "without a configuration nobody knows the files: status 2" is "$status" 2
run "$adit" run "$work/hello.json" --landlock --landlock-rules path=/srv
ok "a rule without rights gives status 2" is "$status" 2

if [ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] && unshare -n true 2>/dev/null; then
	config reset "$serial, \"net\": [{\"tap\": \"tap0\", \"num_queues\": 4}]" >/dev/null
	unshare -n sh -c 'ip tuntap add tap0 mode tap multi_queue vnet_hdr && exec "$@"' -- \
		"$adit" run "$work/reset.json" >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	: >"$work/serial"
	until_says "$work/serial" "$ready" "$times"
	end
	ok "so does one with a tap" is "$status" 0
else
	skip "a reset with a tap" "needs root, /dev/net/tun and unshare"
fi
done_testing
