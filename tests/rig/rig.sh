# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Shared by tests/rig/build, tests/rig/run and tests/clients/build: where what they build is cached,
# its lock, messages with seconds. Sourced with $here set to their directory and $cache to the name.

# shellcheck disable=SC2154 # set by the caller
rig=${XDG_CACHE_HOME:-$HOME/.cache}/adit/$cache
# shellcheck disable=SC2154 # set by the caller
PATH=$PATH:/usr/sbin:/sbin

now() { cut -d' ' -f1 /proc/uptime; }
began=$(now)
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }
say() { printf '%s: %6s s  %s\n' "$cache" "$(since "$began")" "$*"; }
die() {
	echo "$cache: $*" >&2
	exit 1
}

# rig_lock shared|exclusive: held until the process and all that inherit descriptor 9 are gone. Who
# waits stands at the gate (descriptor 6), so that runs which follow each other let a build in.
rig_lock() {
	if [ "$1" = shared ]; then
		# Who runs need not be who built.
		exec 9<"$rig/lock" 6<"$rig/gate" || die "the rig in $rig is not whole: build it with tests/rig/build"
		set -- -s
	else
		mkdir -p "$rig"
		exec 9>>"$rig/lock" 6>>"$rig/gate"
		set -- -x
	fi
	if ! flock -n 6 || ! flock -n "$1" 9; then
		say "another build or run holds $rig/lock: waiting for it"
		flock 6
		flock "$1" 9
	fi
	exec 6<&-
}
