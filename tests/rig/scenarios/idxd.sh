# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# The virtual DSA under Linux's own idxd driver (without MOVDIR64B: modules/idxd-shim.h): it binds,
# enables a kernel work queue, and dmatest's copies are right.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='idxd and dmatest work on the virtual DSA'
SMOKE=none
IOMMU=none
NEED='adit generic'

guest_work() {
	cat <<-'EOF'
		cd /sys/bus/dsa/devices
		put() { echo "$1" >"$2" && return; echo "L2 refused=$2 $1 $(cat dsa0/cmd_status)"; }
		put 0 engine0.0/group_id
		put 0 wq0.0/group_id
		put dedicated wq0.0/mode
		put 16 wq0.0/size
		put 10 wq0.0/priority
		put 1 wq0.0/max_batch_size
		put kernel wq0.0/type
		put copies wq0.0/name
		put dmaengine wq0.0/driver_name
		put dsa0 /sys/bus/dsa/drivers/idxd/bind
		put wq0.0 /sys/bus/dsa/drivers/dmaengine/bind
		say state "$(cat dsa0/state wq0.0/state | words)"
		modprobe dmatest timeout=20000 iterations=100 threads_per_chan=2 max_channels=1
		echo dma0chan0 >/sys/module/dmatest/parameters/channel
		echo 1 >/sys/module/dmatest/parameters/run
		cat /sys/module/dmatest/parameters/wait >/dev/null # returns when all is done
		dmesg | sed -n 's/.*dmatest: \(dma0chan0-.*: summary\)/L2 dmatest=\1/p'
		say errors "$(tr -d '0,' <dsa0/errors)"
		modprobe -r dmatest # lets go of the channel
		put wq0.0 /sys/bus/dsa/drivers/dmaengine/unbind
		put dsa0 /sys/bus/dsa/drivers/idxd/unbind
	EOF
}

l1() {
	guest_work >/tmp/work
	l2_config dsa /kernels/generic/vmlinuz "$(l2_image generic /tmp/work)" 2 512M quiet \
		'"adis": [{ "id": "dsa0", "type": "dsa", "backend": "soft", "engines": 1,
		    "wqs": [{ "mode": "dedicated", "size": 16 }] }]'
	check guest_boots_and_ends l2_run dsa
	check all_settings_are_taken is "$(l2_said dsa refused)" ''
	check device_and_queue_are_enabled is "$(l2_said dsa state)" 'enabled enabled'
	check dmatest_ran_on_two_threads is "$(grep -c 'L2 dmatest=.*100 tests, 0 failures' /out/l2-dsa)" 2
	check the_device_reports_no_error is "$(l2_said dsa errors)" ''
	end
}
