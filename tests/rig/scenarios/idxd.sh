# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# The virtual DSA under Linux's own idxd driver (without MOVDIR64B: modules/idxd-shim.h), in both
# configuration modes and inside a default-bound window; and the driver as Debian signed it, as far
# as its control path goes. The driver's own traps are stepped around: a queue is bound anew before
# each dmatest, and what it forgets at an unbind is set again.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='idxd and dmatest work on the virtual DSA'
SMOKE=none
IOMMU=none
NEED='adit generic stock'
LIMIT=1200

# Shell functions for the guest: the driver's files, and one dmatest.
guest_functions() {
	cat <<-'EOF'
		cd /sys/bus/dsa/devices
		put() { echo "$1" >"$2" && return; echo "L2 refused=$2 $1 $(cat dsa0/cmd_status)"; }
		mode() { # mode WQ: what only a configurable function lets one set
			put 0 "engine0.$1/group_id"
			put 0 "wq0.$1/group_id"
			put dedicated "wq0.$1/mode"
			put 16 "wq0.$1/size"
			put 10 "wq0.$1/priority"
		}
		name() { # name WQ
			put kernel "wq0.$1/type"
			put "copies$1" "wq0.$1/name"
			put dmaengine "wq0.$1/driver_name"
		}
		bind() { put "$1" "/sys/bus/dsa/drivers/$2/bind"; }
		unbind() { put "$1" "/sys/bus/dsa/drivers/$2/unbind"; }
		open() { # open WQ...: a configurable function
			for q in "$@"; do mode "$q"; name "$q"; done
			bind dsa0 idxd
			for q in "$@"; do bind "wq0.$q" dmaengine; done
		}
		shut() { # shut WQ...
			for q in "$@"; do unbind "wq0.$q" dmaengine; done
			unbind dsa0 idxd
		}
		copies() { # copies NAME DMATEST-PARAMETER...: on all channels, two threads each
			test=$1
			shift
			modprobe dmatest timeout=30000 threads_per_chan=2 "$@"
			for c in /sys/class/dma/dma*chan*; do
				echo "${c##*/}" >/sys/module/dmatest/parameters/channel
			done
			echo 1 >/sys/module/dmatest/parameters/run
			cat /sys/module/dmatest/parameters/wait >/dev/null # returns when all is done
			dmesg -c | sed -n "s/.*dmatest: \\(dma.*: summary\\)/L2 $test=\\1/p"
			modprobe -r dmatest # lets go of the channels
		}
		function=$(grep -l 0x0b25 /sys/bus/pci/devices/*/device)
		function=$(basename "$(dirname "$function")")
		again() { # the driver lets go of the function and takes it again
			echo "$function" >/sys/bus/pci/drivers/idxd/unbind
			echo "$function" >/sys/bus/pci/drivers/idxd/bind
		}
	EOF
}

# The guest configures: two channels, three sizes, reset, and twenty times anew.
configurable() {
	guest_functions
	cat <<-'EOF'
		open 0 1
		say batch "$(cat wq0.0/max_batch_size)"
		say state "$(cat dsa0/state wq0.0/state wq0.1/state | words)"
		copies copies_16k iterations=50
		shut 0 1
		open 0 1
		copies copies_1m iterations=5 test_buf_size=1048576
		shut 0 1
		again
		open 0
		copies copies_64 iterations=50 test_buf_size=256 transfer_size=64
		shut 0
		n=0
		for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
			open 0
			[ "$(cat dsa0/state wq0.0/state | words)" = "enabled enabled" ] && n=$((n + 1))
			shut 0
		done
		say rebinds "$n"
		open 0
		copies copies_after iterations=20
		say errors "$(tr -d '0,' <dsa0/errors)"
		shut 0
	EOF
}

# The function comes configured: the driver enables it by itself when it finds it.
fixed() {
	guest_functions
	cat <<-'EOF'
		name 0
		name 1
		bind wq0.0 dmaengine
		bind wq0.1 dmaengine
		say state "$(cat dsa0/state wq0.0/state wq0.1/state | words)"
		say size "$(cat wq0.0/size wq0.1/size wq0.1/group_id | words)"
		copies copies_16k iterations=50
		unbind wq0.0 dmaengine
		unbind wq0.1 dmaengine
		unbind dsa0 idxd
		n=0
		for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
			again
			name 0
			bind wq0.0 dmaengine
			[ "$(cat dsa0/state wq0.0/state | words)" = "enabled enabled" ] && n=$((n + 1))
			unbind wq0.0 dmaengine
			unbind dsa0 idxd
		done
		say rebinds "$n"
		again
		name 0
		bind wq0.0 dmaengine
		copies copies_after iterations=20
		say errors "$(tr -d '0,' <dsa0/errors)"
		unbind wq0.0 dmaengine
		unbind dsa0 idxd
	EOF
}

# mem= keeps the kernel inside of the window; then one copy is asked for that leaves it.
confined() {
	guest_functions
	cat <<-'EOF'
		open 0
		copies copies_inside iterations=50
		shut 0
		open 0
		modprobe reach to=0x19000000 # 400 MiB: memory, but not the window's
		dmesg | sed -n 's/.*reach: /L2 reach=/p'
		modprobe -r reach
		shut 0
	EOF
}

# Debian's module on a CPU that is said to have MOVDIR64B: all but a submission.
stock() {
	guest_functions
	cat <<-'EOF'
		say signed "$(grep -c '^idxd ' /proc/modules) $(grep -w -c 'out-of-tree\|tainted' /proc/modules)"
		say taint "$(cat /proc/sys/kernel/tainted)"
		for i in 1 2 3; do
			open 0 1
			say "state$i" "$(cat dsa0/state wq0.0/state wq0.1/state | words)"
			shut 0 1
			again
		done
	EOF
}

guest() { # guest NAME IMAGE CMDLINE JSON
	"$1" >"/tmp/$1"
	l2_config "$1" /kernels/generic/vmlinuz "$(l2_image "$2" "/tmp/$1")" 2 512M "quiet $3" "$4"
}
# summaries NAME KEY: how many threads of that dmatest ran without a failure.
summaries() { tr -d '\r' <"/out/l2-$1" | grep -c "^L2 $2=.* 0 failures"; }

adi='"id": "dsa0", "type": "dsa", "engines": 2, "wqs": [{ "size": 16 }, { "size": 16'

fixed_and_confined() {
	guest fixed generic '' "\"adis\": [{ $adi, \"group\": 1 }], \"fixed\": true }]"
	check fixed_guest_boots_and_ends l2_run fixed 300
	check names_of_fixed_queues_are_taken is "$(l2_said fixed refused)" ''
	check fixed_device_and_queues_are_enabled is "$(l2_said fixed state)" 'enabled enabled enabled'
	check fixed_shape_is_seen is "$(l2_said fixed size)" '16 16 1'
	check fixed_queues_copy is "$(summaries fixed copies_16k)" 4
	check twenty_probes_work is "$(l2_said fixed rebinds)" 20
	check fixed_queues_copy_after_them is "$(summaries fixed copies_after)" 2
	check the_fixed_device_reports_no_error is "$(l2_said fixed errors)" ''

	guest confined generic 'mem=384M' "\"adis\": [{ $adi }] }],
		\"spaces\": [{ \"id\": \"window\", \"offset\": 0, \"size\": \"384M\" }],
		\"pasids\": [{ \"guest\": \"none\", \"adi\": \"dsa0\", \"space\": \"window\" }]"
	check confined_guest_boots_and_ends l2_run confined 300
	check copies_inside_the_window_are_right is "$(summaries confined copies_inside)" 2
	check a_copy_that_leaves_it_changes_nothing is "$(l2_said confined reach)" \
		'inside ended 0, bytes right; outside ended 0, 0 bytes changed'
	check and_is_a_fault_at_that_address grep -q 'fault.*0x19000000' /out/l2-confined.log
}

l1() {
	guest configurable generic '' "\"adis\": [{ $adi }],
		\"event_log\": true, \"interrupt_handles\": true }]"
	check configurable_guest_boots_and_ends l2_run configurable 300
	check all_settings_are_taken is "$(l2_said configurable refused)" ''
	check device_and_queues_are_enabled is "$(l2_said configurable state)" 'enabled enabled enabled'
	check two_channels_of_two_threads_copy is "$(summaries configurable copies_16k)" 4
	check long_copies_are_right is "$(summaries configurable copies_1m)" 4
	check short_copies_are_right_after_a_new_probe is "$(summaries configurable copies_64)" 2
	check twenty_rebinds_work is "$(l2_said configurable rebinds)" 20
	check copies_are_right_after_them is "$(summaries configurable copies_after)" 2
	check the_device_reports_no_error is "$(l2_said configurable errors)" ''
	echo "# default batch size: $(l2_said configurable batch)"

	[ "$rig_tier" = smoke ] || fixed_and_confined

	guest stock stock 'setcpuid=movdir64b' "\"adis\": [{ $adi }] }]"
	check stock_guest_boots_and_ends l2_run stock 300
	check the_signed_module_is_untouched is "$(l2_said stock signed)" '1 0'
	check its_control_path_works is "$(l2_said stock state3)" 'enabled enabled enabled'
	check its_settings_are_taken is "$(l2_said stock refused)" ''
	end
}
