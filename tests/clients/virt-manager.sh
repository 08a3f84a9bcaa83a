#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# virt-manager, unmodified, on a screen in memory: it lists a domain, shows it, and follows what becomes
# of it. Its pictures stay with the logs of the run. For the long tier: nothing else needs a desktop.
# shellcheck source=../cli/tap.sh
# shellcheck disable=SC2317 # what ok runs is called
. "$(dirname "$0")/../cli/tap.sh"
here=$(dirname "$0")
for program in virsh virt-manager Xvfb dbus-daemon; do
	command -v "$program" >/dev/null && continue
	skip "everything here" "no $program (.ci/packages desktop)"
	done_testing
done
if ! /usr/bin/python3 -c 'import gi; gi.require_version("Atspi", "2.0")' 2>/dev/null; then
	skip "everything here" "no accessibility bindings (.ci/packages desktop)"
	done_testing
fi
need_kvm
pictures=$build/test-logs
mkdir -p "$pictures"
rm -f "$pictures"/virt-manager-*.png

started=
background() { # background COMMAND...: it ends with this test.
	"$@" >>"$work/said" 2>&1 &
	started="$! $started"
}
# A daemon that is gone leaves its domains.
finish() {
	for pid in $started; do
		kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	done
	sed -n 's/.*started as pid //p' "$work/log" | xargs -r kill -9 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT

"$build/virtaditd" --socket "$work/s" --socket-ro "$work/s-ro" --state-dir "$work/state" \
	--run-dir "$work/run" --adit "$adit" 2>"$work/log" &
started=$!
"$here/../cli/until" "$work/log" serving
uri="adit:///system?socket=$work/s"
# Nothing of the user's is read, and nothing is left with them.
mkdir -m 700 "$work/home" "$work/runtime"
export HOME="$work/home" XDG_CACHE_HOME="$work/home/cache" XDG_CONFIG_HOME="$work/home/config" \
	XDG_DATA_HOME="$work/home/data" XDG_RUNTIME_DIR="$work/runtime" GSETTINGS_BACKEND=memory
mkfifo "$work/screen" "$work/bus"
background sh -c 'exec Xvfb -displayfd 3 -screen 0 1024x768x24 -nolisten tcp 3>"$1"' -- "$work/screen"
read -r display <"$work/screen"
export DISPLAY=":$display"
background sh -c 'exec dbus-daemon --session --nofork --print-address=3 3>"$1"' -- "$work/bus"
read -r DBUS_SESSION_BUS_ADDRESS <"$work/bus"
export DBUS_SESSION_BUS_ADDRESS
# Asked for, it is started, and there when the answer is.
dbus-send --session --print-reply --dest=org.a11y.Bus /org/a11y/bus org.a11y.Bus.GetAddress >>"$work/said" 2>&1

v() { run virsh -q -c "$uri" "$@"; }
look() { # look PICTURE TEXT...
	picture=$pictures/virt-manager-$1.png
	shift
	timeout 120 /usr/bin/python3 "$here/look.py" "$picture" "$@"
}
is_picture() { # a window with letters and symbols, not a screen of one colour
	# shellcheck disable=SC2046 # three numbers
	set -- $("$here/../cli/png-colours.py" "$picture") 0 0 0
	[ "$1" = $((1024 * 768)) ] && [ "$2" -gt 0 ] && [ "$3" -gt 100 ]
}
cat >"$work/one.xml" <<END
<domain type='kvm'><name>tenant</name><title>A tenant</title><memory unit='MiB'>64</memory>
<os><type>hvm</type></os><devices><serial type='pty'/></devices>
<adit:machine xmlns:adit='urn:adit:domain:1'>
<adit:flat path='$(realpath "$build")/guest/powerbutton.bin'/></adit:machine></domain>
END
v define "$work/one.xml"
background virt-manager --no-fork --connect "$uri"
ok "virt-manager lists what is defined" look defined adit "A tenant" Shutoff
ok "and draws it" is_picture
v start tenant
ok "it hears of a start" look running "A tenant" Running
# The second one tells the first, which shows its window.
background virt-manager --no-fork --connect "$uri" --show-domain-editor tenant
ok "its details are shown" look details "Running (Booted)" "Serial 1" x86_64 \
	"$(virsh -q -c "$uri" domuuid tenant | head -1)"
ok "and drawn" is_picture
v destroy tenant
ok "it hears of the end" look ended "Shutoff (Destroyed)"
v undefine tenant
has "$work/said" Traceback && sed 's/^/# /' "$work/said"
done_testing
