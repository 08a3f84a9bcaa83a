#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# virtaditd of a user who is not root: where virsh finds it, and that virsh starts it by itself.
# shellcheck source=../cli/tap.sh
# shellcheck disable=SC2317 # what ok runs is called
. "$(dirname "$0")/../cli/tap.sh"
if ! command -v virsh >/dev/null; then
	skip "everything here" "no virsh (package libvirt-clients)"
	done_testing
fi
nobody=65534
mkdir "$work/home" "$work/run"
cp "$build/virtaditd" "$build/adit" "$work/"
chmod 755 "$work" "$work/virtaditd" "$work/adit"
chmod 700 "$work/home" "$work/run"
as_user() {
	if [ "$(id -u)" != 0 ]; then
		run "$@"
	else
		run setpriv --reuid=$nobody --regid=$nobody --clear-groups "$@"
	fi
}
[ "$(id -u)" != 0 ] || chown $nobody:$nobody "$work/home" "$work/run"
v() {
	as_user env -i PATH="$PATH" HOME="$work/home" XDG_RUNTIME_DIR="$work/run" VIRTD_PATH="$work" \
		ASAN_OPTIONS=detect_leaks=0 virsh -q -c "adit:///session?mode=direct" "$@"
}
does() {
	"$@"
	[ "$status" = 0 ]
}
pid_of() { pgrep -f "^$work/virtaditd"; }
finish() {
	kill "$(pid_of)" 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT
cat >"$work/one.xml" <<'END'
<domain type='kvm'><name>one</name><memory unit='MiB'>64</memory>
<os><type>hvm</type><kernel>/boot/vmlinuz</kernel></os></domain>
END
chmod 644 "$work/one.xml"

ok "virsh starts the daemon of its user" does v define "$work/one.xml"
ok "it serves the user's socket" [ -S "$work/run/libvirt/virtaditd-sock" ]
ok "of mode 0600" is "$(stat -c %a "$work/run/libvirt/virtaditd-sock")" 600
v uri
ok "it is a session" has "$work/out" "adit:///session"
ok "definitions are the user's" sh -c '[ -s "$1"/.config/adit/libvirt/*.xml ]' -- "$work/home"
v list --all
ok "the next client finds it" has "$work/out" "one *shut off"
ok "there is one daemon for both" is "$(pid_of | wc -l)" 1
# The last client is gone.
"$work/virtaditd" --timeout 1 --socket "$work/s" --socket-ro "$work/s-ro" --state-dir "$work/state" \
	--run-dir "$work/domains" 2>/dev/null
ok "a daemon that nobody comes to ends after its timeout" is $? 0
done_testing
