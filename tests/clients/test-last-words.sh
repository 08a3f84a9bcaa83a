#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A domain's process answers, tells of its end and is gone before virtaditd looks: all of it counts.
# shellcheck source=../cli/tap.sh
# shellcheck disable=SC2317 # what ok runs is called
. "$(dirname "$0")/../cli/tap.sh"
if ! command -v virsh >/dev/null; then
	skip "everything here" "no virsh (package libvirt-clients)"
	done_testing
fi
here=$(dirname "$0")
"$build/virtaditd" --socket "$work/s" --socket-ro "$work/s-ro" --state-dir "$work/state" \
	--run-dir "$work/run" --adit "$(realpath "$here")/last-words" 2>"$work/log" &
daemon=$!
finish() {
	kill -CONT "$daemon" 2>/dev/null
	kill "$daemon" 2>/dev/null && wait "$daemon"
	sed -n 's/.*started as pid //p' "$work/log" | xargs -r kill -9 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT
"$here/../cli/until" "$work/log" serving
v() {
	run virsh -q -c "adit:///system?socket=$work/s" "$@"
	[ "$status" = 0 ] || sed 's/^/# /' "$work/err"
	[ "$status" = 0 ]
}
cat >"$work/one.xml" <<'END'
<domain type='kvm'><name>one</name><memory unit='MiB'>64</memory>
<os><type>hvm</type><kernel>/boot/vmlinuz</kernel></os></domain>
END
v define "$work/one.xml"
for turn in 1 2 3 4 5 6; do
	v start one
	ok "what it was asked is done, turn $turn" v shutdown one
	ok "and it has switched itself off" v domstate --reason one
	ok "as it said" has "$work/out" "shut off (shutdown)"
done
done_testing
