# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Two ADIs of one `adit adi-serve`, whose work one DSA function does, as two functions of L1: Linux's
# idxd driver on both, and dmatest's threads on both at once; then one is let go while the other works,
# and comes back. Without an IOMMU each has all of L1's memory, with legacy VT-d the pages that L1
# maps for it.
#
# A queue is bound anew before each dmatest: when dmatest lets go of a channel, the driver forgets the
# queue's interrupt handle (idxd_wq_flush_descs, Linux 7.2), and sets it when the queue is bound only.
# What is submitted in between names handle ffff, which the function refuses with status 19h in a
# record that nobody reads, for want of an interrupt.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='two served DSA functions on one, under QEMU: idxd and dmatest on both'
IOMMU='none intel-legacy'
ADI='{ "adis": [{ "id": "a", "type": "dsa", "wqs": [{ "size": 16 }] }, { "id": "b", "type": "dsa", "wqs": [{ "size": 16 }] }],
	"pasids": [{ "adi": "a", "guest": "none" }, { "adi": "b", "guest": "none" }], "function": { "queues": 2, "engines": 2 } }'
ADIS=2

put() { echo "$1" >"$2" && return; echo "refused: $2 $1"; return 1; }
configure() { # configure N
	put 0 "engine$1.0/group_id" && put 0 "wq$1.0/group_id" && put dedicated "wq$1.0/mode" &&
		put 16 "wq$1.0/size" && put 10 "wq$1.0/priority" && put 1 "wq$1.0/max_batch_size" &&
		put kernel "wq$1.0/type" && put copies "wq$1.0/name" && put dmaengine "wq$1.0/driver_name"
}
bind() {
	put "dsa$1" /sys/bus/dsa/drivers/idxd/bind && put "wq$1.0" /sys/bus/dsa/drivers/dmaengine/bind
}
unbind() {
	put "wq$1.0" /sys/bus/dsa/drivers/dmaengine/unbind && put "dsa$1" /sys/bus/dsa/drivers/idxd/unbind
}
anew() { # anew N...
	for n in "$@"; do
		unbind "$n" && configure "$n" && bind "$n" || return
	done
}
channel() { ls "$(readlink -f "dsa$1")/../dma"; } # channel N
start() { # start ITERATIONS N...: dmatest on these, two threads each
	modprobe dmatest timeout=60000 iterations="$1" threads_per_chan=2 max_channels=2
	shift
	for n in "$@"; do
		channel "$n" >/sys/module/dmatest/parameters/channel
	done
	dmesg -c >/tmp/dmesg
	echo 1 >/sys/module/dmatest/parameters/run
}
works() { [ "$(cat /sys/module/dmatest/parameters/run)" = Y ]; }
goes_on() { # interrupts of queues still come, but for those of one let go; or all is done by now
	n=$(interrupts)
	while works && [ "$(interrupts)" -le "$n" ]; do sleep 0.1; done
}
interrupts() { awk '/idxd-portal/ { n += $2 + $3 } END { print n + 0 }' /proc/interrupts; }
finish() { # finish FILE: what dmatest says when all is done
	cat /sys/module/dmatest/parameters/wait >/dev/null # returns then
	dmesg | grep 'dmatest: dma.*: [rs]' >"$1" # summaries, and results that are wrong
	modprobe -r dmatest # lets go of the channels
	note <"$1"
}
right() { is "$(grep -c " $1 tests, 0 failures" "$2")" "$3"; } # right TESTS FILE THREADS

l1() {
	check idxd_loads modprobe idxd
	cd /sys/bus/dsa/devices || return
	check idxd_takes_both test -e dsa0 -a -e dsa1
	check one_is_configured configure 0
	check and_the_other configure 1
	check one_is_enabled bind 0
	check the_other_is_enabled bind 1
	start 50 0 1
	finish /tmp/both
	check copies_of_both_are_right right 50 /tmp/both 4
	check the_other_is_bound_anew anew 1
	start 500 1 # stopped before its end, dmatest would count a failure
	check it_works goes_on
	check one_is_let_go_meanwhile unbind 0
	check the_other_goes_on goes_on
	finish /tmp/other
	check copies_of_the_other_are_right right 500 /tmp/other 2
	check one_comes_back configure 0
	check and_is_enabled bind 0
	check the_other_is_bound_anew_again anew 1
	start 50 0 1
	finish /tmp/again
	check copies_of_both_are_right_again right 50 /tmp/again 4
	check neither_reports_an_error is "$(cat dsa0/errors dsa1/errors | tr -d '0,\n')" ''
	check one_is_let_go unbind 0
	check so_is_the_other unbind 1
	end
}
