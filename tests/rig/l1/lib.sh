# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# For what runs in L1 (busybox sh): results as TAP lines, and the few device operations that several
# scenarios need. Output of a failing check is shown below its line as comments.

tap_n=0
tap() { # tap ok|"not ok" NAME [REASON]
	tap_n=$((tap_n + 1))
	echo "$1 $tap_n - $2${3:+ # SKIP $3}"
}
check() { # check NAME COMMAND...: passes when the command does
	check_name=$1
	shift
	if "$@" >/tmp/check 2>&1; then
		tap ok "$check_name"
	else
		tap "not ok" "$check_name"
		sed 's/^/# /' /tmp/check
	fi
}
skip() { tap ok "$1" "$2"; } # skip NAME REASON
note() { sed 's/^/# /'; }
end() { echo "1..$tap_n"; }

# is WHAT EXPECTED: the check of a value that shows both when they differ.
is() {
	[ "$1" = "$2" ] && return
	echo "is '$1', expected '$2'"
	return 1
}

# PCI functions by vendor:device, one BDF a line.
pci_find() {
	for d in /sys/bus/pci/devices/*; do
		[ "$(cat "$d/vendor" "$d/device" | tr '\n' :)" = "0x${1%:*}:0x${1#*:}:" ] && basename "$d"
	done
}
# Gives a function to vfio-pci.
vfio_bind() {
	d=/sys/bus/pci/devices/$1
	[ ! -e "$d/driver" ] || echo "$1" >"$d/driver/unbind"
	echo vfio-pci >"$d/driver_override" && echo "$1" >/sys/bus/pci/drivers_probe &&
		[ "$(basename "$(readlink "$d/driver")")" = vfio-pci ]
}
# Its character device, /dev/vfio/devices/vfioN.
vfio_cdev() {
	find "/sys/bus/pci/devices/$1/vfio-dev" -mindepth 1 -maxdepth 1 |
		sed 's|.*/|/dev/vfio/devices/|'
}
