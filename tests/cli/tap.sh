# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034 # its variables are for who sources it
# What the command-line tests share: TAP lines, a work folder, configurations. Source it first.
set -u

build=${ADIT_BUILD:-build}
adit=$build/adit
work=$(mktemp -d)
number=0
failures=0
trap 'rm -rf "$work"' EXIT

# ok DESCRIPTION TEST...: the command's status decides.
ok() {
	number=$((number + 1))
	description=$1
	shift
	if "$@"; then
		echo "ok $number - $description"
	else
		echo "not ok $number - $description"
		echo "# failed: $*"
		failures=$((failures + 1))
	fi
}

skip() { # skip DESCRIPTION REASON
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}

done_testing() {
	echo "1..$number"
	exit "$((failures > 0))"
}

# config PAYLOAD [MEMBERS]: writes $work/PAYLOAD.json around build/guest/PAYLOAD.bin; prints its path.
config() {
	printf '{"payload": {"flat": "%s/guest/%s.bin", "address": "2M", "cmdline": "%s"}, "debug_exit": true%s}\n' \
		"$build" "$1" "${words:-}" "${2:+, $2}" >"$work/$1.json"
	echo "$work/$1.json"
}

# run COMMAND...: keeps $status, $work/out and $work/err.
run() {
	timeout -k 5 60 "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
}

has() { grep -q -e "$2" "$1"; }
is() { [ "$1" = "$2" ]; }

# until_says FILE TEXT [COUNT]: waits for an event (the file's growth), not for a clock.
until_says() { "$(dirname "$0")/until" "$@"; }

need_kvm() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] && return
	skip "everything here" "no /dev/kvm"
	done_testing
}

open_to_others() { # open_to_others NODE: to everybody, or to a group
	case $(stat -c %g/%a "$1") in
	*[67] | [1-9]*/*[67]?) return 0 ;;
	esac
	return 1
}

# For tests of other users than root, as root. Where no udev has let others open /dev/kvm and
# /dev/net/tun the test goes on in a mount namespace that has such nodes. Call it first.
need_kvm_for_users() { # need_kvm_for_users "$@"
	need_kvm
	open_to_others /dev/kvm && { [ ! -e /dev/net/tun ] || open_to_others /dev/net/tun; } && return
	rm -rf "$work" # it gets another
	# shellcheck disable=SC2016 # of the shell in the namespace
	exec unshare --mount sh -euc 'mount -t tmpfs tmpfs /mnt
		mknod -m 666 /mnt/kvm c 10 232
		mknod -m 666 /mnt/tun c 10 200
		mount --bind /mnt/kvm /dev/kvm
		[ ! -e /dev/net/tun ] || mount --bind /mnt/tun /dev/net/tun
		exec "$@"' - "$0" "$@"
}
