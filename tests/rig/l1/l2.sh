# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# For scenarios that run guests (L2) under adit in L1: the guest's image, its run, what it said.
# All of a guest called NAME is in /out/l2-NAME* on the host: console, adit's log, configuration.

# l2_image KERNEL [GO]: prints the path of an initramfs for that kernel; GO is run in the guest.
l2_image() {
	image=/tmp/image-$1
	cat /kernels/initrd.cpio "/kernels/$1.cpio" >"$image"
	if [ "${2:-}" ]; then
		mkdir -p /tmp/go
		cp "$2" /tmp/go/go
		image=$image-$(basename "$2")
		{ cat "/tmp/image-$1"; (cd /tmp/go && echo go | cpio -o -H newc 2>/dev/null); } >"$image"
	fi
	echo "$image"
}

# l2_config NAME KERNEL-FILE IMAGE VCPUS MEMORY CMDLINE [MORE-JSON]
l2_config() {
	l2=/out/l2-$1
	cat >"$l2.json" <<-EOF
		{ "payload": { "kernel": "$2", "initramfs": "$3", "cmdline": "console=ttyS0 panic=-1 $6" },
		  "cpus": { "boot_vcpus": $4 }, "memory": { "size": "$5" },
		  "serial": { "mode": "File", "file": "$l2" }${7:+, $7} }
	EOF
}

# l2_run NAME [SECONDS]: in the foreground, SECONDS being the guard against a hang. Its status is
# adit's, 124 or 137 for a hang; a failed run shows the ends of both logs.
l2_run() {
	l2=/out/l2-$1
	timeout -k 5 "${2:-300}" /adit/build/adit run --no-reboot "$l2.json" >"$l2.log" 2>&1
	status=$?
	[ "$status" = 0 ] && return
	case $status in
	124 | 137 | 143) echo "$1: no end within ${2:-300} s" ;;
	*) echo "$1: adit ended with status $status" ;;
	esac
	l2_tail "$1"
	return "$status"
}
# In the background: l2_start, then l2_wait_for and l2_signal as often as needed, then l2_end.
l2_start() { # l2_start NAME [ADIT-RUN-OPTION...]
	l2=/out/l2-$1
	shift
	: >"$l2"
	/adit/build/adit run "$@" "$l2.json" >"$l2.log" 2>&1 &
	l2_pid=$!
}
# Until the console holds TEXT at least N times; fails when adit ends or SECONDS pass before.
l2_wait_for() { # l2_wait_for NAME TEXT [N] [SECONDS]
	l2_until=$(($(cut -d. -f1 /proc/uptime) + ${4:-300}))
	while [ "$(grep -c "$2" "/out/l2-$1")" -lt "${3:-1}" ]; do
		if ! kill -0 "$l2_pid" 2>/dev/null || [ "$(cut -d. -f1 /proc/uptime)" -ge "$l2_until" ]; then
			echo "'$2' was not seen ${3:-1} times"
			l2_tail "$1"
			return 1
		fi
		sleep 0.1
	done
}
l2_signal() { kill -"$1" "$l2_pid"; } # l2_signal TERM
# Waits for adit's end and returns its status.
l2_end() { # l2_end NAME [SECONDS]
	(sleep "${2:-300}" && kill -KILL "$l2_pid") 2>/dev/null &
	l2_guard=$!
	wait "$l2_pid"
	status=$?
	kill "$l2_guard" 2>/dev/null
	[ $status = 0 ] && return
	echo "$1: adit ended with status $status"
	l2_tail "$1"
	return $status
}

l2_tail() { # l2_tail NAME
	echo "--- adit's log"
	tail -n 20 "/out/l2-$1.log"
	echo "--- the guest's console"
	tail -n 25 "/out/l2-$1" | tr -d '\r'
}

l2_said() { tr -d '\r' <"/out/l2-$1" | sed -n "s/^L2 $2=//p" | head -n 1; } # l2_said NAME KEY
# Kernel messages at warning level and above, without those that match a line (an extended regular
# expression) of the file of known ones.
l2_warnings() { # l2_warnings NAME KNOWN
	tr -d '\r' <"/out/l2-$1" | sed -n 's/^L2 dmesg . //p' | grep -v -x -E -f "$2"
}
