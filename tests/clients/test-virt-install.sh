#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# virt-install, virt-xml and virt-clone, unmodified: what they make of a domain is taken.
# shellcheck source=../cli/tap.sh
# shellcheck disable=SC2317 # what ok runs is called
. "$(dirname "$0")/../cli/tap.sh"
if ! command -v virt-install >/dev/null; then
	skip "everything here" "no virt-install (package virtinst)"
	done_testing
fi
need_kvm
"$build/virtaditd" --socket "$work/s" --socket-ro "$work/s-ro" --state-dir "$work/state" \
	--run-dir "$work/run" --adit "$adit" 2>"$work/log" &
daemon=$!
# A daemon that is gone leaves its domains.
finish() {
	kill "$daemon" 2>/dev/null && wait "$daemon"
	sed -n 's/.*started as pid //p' "$work/log" | xargs -r kill -9 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT
"$(dirname "$0")/../cli/until" "$work/log" serving
uri="adit:///system?socket=$work/s"
export XDG_CACHE_HOME="$work/cache" XDG_CONFIG_HOME="$work/config"
does() {
	run "$@"
	[ "$status" = 0 ] || sed 's/^/# /' "$work/err" "$work/out"
	[ "$status" = 0 ]
}
says() { # says TEXT COMMAND...
	text=$1
	shift
	does virsh -q -c "$uri" "$@" && has "$work/out" "$text"
}
ok "virt-install makes a domain and starts it" does virt-install --connect "$uri" --name one --memory 64 \
	--vcpus 1 --disk none --graphics none --video none --osinfo none --import --noautoconsole \
	--boot "kernel=$(realpath "$build")/guest/spin.elf" --rng none --memballoon none --controller none \
	--channel none --network none
ok "it runs" says "one *running" list
ok "it is defined too" says "Persistent: *yes" dominfo one
does virsh -q -c "$uri" destroy one
ok "virt-xml changes its memory" does virt-xml --connect "$uri" one --edit --memory 96
ok "and its CPUs" does virt-xml --connect "$uri" one --edit --vcpus 2
ok "and adds a device" does virt-xml --connect "$uri" one --add-device --rng /dev/urandom
ok "it has them" says '<backend model="random">/dev/urandom' dumpxml one
ok "all of them" sh -c 'grep -q "<memory unit=\"KiB\">98304" "$1" && grep -q "<vcpu>2" "$1"' -- "$work/out"
ok "virt-xml removes the device" does virt-xml --connect "$uri" one --remove-device --rng all
virsh -q -c "$uri" dumpxml one >"$work/out"
ok "it is gone" sh -c '! grep -q "<rng" "$1"' -- "$work/out"
ok "virt-clone makes another" does virt-clone --connect "$uri" --original one --name two --auto-clone
ok "which starts" does virsh -q -c "$uri" start two
does virsh -q -c "$uri" destroy two
ok "what adit cannot do is said" sh -c '! virt-xml --connect "$1" one --add-device --watchdog default >"$2" 2>&1 &&
	grep -q "/domain/devices/watchdog" "$2"' -- "$uri" "$work/out"
done_testing
