#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# virtaditd as programs with libvirt's bindings meet it: bindings.py, on the distribution's Python.
# shellcheck source=../cli/tap.sh
# shellcheck disable=SC2317 # what the trap calls
. "$(dirname "$0")/../cli/tap.sh"
python=${ADIT_PYTHON:-/usr/bin/python3}
if ! "$python" -c 'import libvirt' 2>/dev/null; then
	skip "everything here" "no bindings (package python3-libvirt)"
	done_testing
fi
need_kvm
# adit, which first notes the descriptor that its configuration names.
cat >"$work/adit" <<END
#!/bin/sh
fd=\$(sed -n 's/.*"iommu":{[^}]*"fd":\([0-9]*\).*/\1/p' "\$2")
[ -z "\$fd" ] || readlink "/proc/self/fd/\$fd" >"$work/given"
exec "$(realpath "$adit")" "\$@"
END
chmod +x "$work/adit"
"$build/virtaditd" --socket "$work/s" --socket-ro "$work/s-ro" --state-dir "$work/state" \
	--run-dir "$work/run" --adit "$work/adit" 2>"$work/log" &
daemon=$!
# A daemon that is gone leaves its domains.
finish() {
	sed -n 's/.*started as pid //p' "$work/log" | xargs -r kill -9 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT
"$(dirname "$0")/../cli/until" "$work/log" serving
timeout 120 "$python" "$(dirname "$0")/bindings.py" "$work/s" "$work/s-ro" "$(realpath "$build")/guest" \
	"$work/given"
status=$?
kill $daemon
wait $daemon || status=1
exit $status
