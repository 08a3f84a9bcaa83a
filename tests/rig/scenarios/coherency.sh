# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# What the guest's WBINVD does, by what KVM was told: the kernel's own functions are counted by
# kprobes and must agree with what adit reports. On IOMMUs that enforce snooping and one that does not.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='WBINVD and what KVM was told agree with the report, by policy'
SMOKE='intel'
IOMMU='intel intel-snoop intel-legacy amd'
DEVICES='nvme,serial=adit,drive=d0'
DISKS='d0=1M'
NEED='adit tests'
APPEND=
LIMIT=900

trace=/sys/kernel/tracing
probes() {
	mount -t tracefs tracefs $trace 2>/dev/null
	{
		echo 'p:adit/register kvm_arch_register_noncoherent_dma'
		echo 'p:adit/unregister kvm_arch_unregister_noncoherent_dma'
		echo 'p:adit/flush wbinvd_on_cpus_mask'
	} >$trace/kprobe_events && echo 1 >$trace/events/adit/enable
}
count() { grep -c " $1:" $trace/trace; } # count PROBE: calls since `run`

vm() { # vm NAME DEVICES-JSON [WORD]
	cat >"/out/$1.json" <<-EOF
		{ "payload": { "flat": "/adit/build/guest/wbinvd.bin", "cmdline": "times=8 ${3:-}" },
		  "serial": { "mode": "File", "file": "/out/$1" }, "debug_exit": true, "devices": [$2] }
	EOF
}
run() { # run NAME DEVICES-JSON
	vm "$@"
	echo >$trace/trace
	timeout 120 /adit/build/adit run --no-reboot "/out/$1.json" >"/out/$1.log" 2>&1
}
# What `adit check` says before is what comes.
runs() { # runs NAME DEVICES-JSON
	run "$@" && grep -q every_wbinvd_returned "/out/$1" || return
	/adit/build/adit check --json "/out/$1.json" >"/out/$1.check"
	is "$(sed -n 's/.*"wbinvd": *"\([a-z]*\)".*/\1/p' "/out/$1.check")" "$(said "$1" | grep . || echo nop)"
}
refused() { # refused NAME DEVICES-JSON WORDS
	run "$1" "$2"
	[ $? = 1 ] && grep -q "$3" "/out/$1.log"
}
said() { sed -n "s/.*coherency: VM: wbinvd \([a-z]*\),.*/\1/p" "/out/$1.log" | tail -n 1; }

# agrees NAME emulated|nop: the report, and what the kernel did
agrees() {
	is "$(said "$1")" "$2" || return
	if [ "$2" = emulated ]; then
		is "$(count register) $(count unregister)" '1 1' && [ "$(count flush)" -ge 1 ]
	else
		is "$(count register) $(count unregister) $(count flush)" '0 0 0'
	fi
}

# The guest goes on; waits until it has executed WBINVD in two whole rounds more.
two_rounds() {
	rounds=$(($(grep -c '^round' /out/leaves) + 3))
	until [ "$(grep -c '^round' /out/leaves)" -ge $rounds ]; do
		kill -0 "$pid" || return
		sleep 0.1
	done
}
from_disk() { echo "$nvme" >"/sys/bus/pci/devices/$nvme/driver/unbind"; } # the host asks for it
from_port() { /adit/build/adit ctl /tmp/leaves vm.remove-device port force=true; }
# Of the device, in the running VM: told_as POLICY ENFORCES BIT
told_as() {
	/adit/build/adit ctl /tmp/leaves vm.info | tr -d ' \n' |
		grep -q "\"policy\":\"$1\",\"iommu_enforces\":\"$2\",\"kvm\":\"told\",\"no_snoop_bit\":\"$3\""
}
ctl_says() { /adit/build/adit ctl /tmp/leaves vm.info | grep -q "\"wbinvd\": *\"$1\""; }
# The one device that makes WBINVD work leaves a guest that goes on executing it.
leaves() { # leaves DEVICE-JSON HOW ENFORCES
	vm leaves "$1" forever
	: >/out/leaves
	echo >$trace/trace
	/adit/build/adit run --no-reboot --api-socket /tmp/leaves /out/leaves.json >/out/leaves.log 2>&1 &
	pid=$!
	two_rounds && is "$(count register) $(count unregister)" '1 0' && [ "$(count flush)" -ge 8 ] &&
		ctl_says emulated && told_as auto "$3" guest || return
	"$2" || return
	until ctl_says nop; do
		kill -0 $pid || return
		sleep 0.1
	done
	is "$(count register) $(count unregister)" '1 1' && is "$(said leaves)" nop || return
	echo >$trace/trace
	two_rounds && is "$(count flush)" 0
}
leaves_and_ends() {
	leaves "$@"
	left=$?
	kill -KILL "$pid"
	wait "$pid"
	rm -f /tmp/leaves
	[ $left = 0 ] || tail -n 5 /out/leaves.log /out/leaves
	return $left
}

l1() {
	nvme=$(pci_find 1b36:0010)
	check nvme_goes_to_vfio_pci vfio_bind "$nvme"
	modprobe mtty
	uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
	echo $uuid >/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1/create
	check kprobes_are_there probes
	disk="{ \"id\": \"disk\", \"path\": \"$nvme\""
	port="{ \"id\": \"port\", \"path\": \"$uuid\""
	case $rig_iommu in
	intel-snoop | amd) enforces=yes expect=nop ;;
	*) enforces=no expect=emulated ;;
	esac

	check 'no device: the guest runs' runs none ''
	check 'no device: WBINVD does nothing' is "$(count register) $(count flush)" '0 0'
	check 'auto: the guest runs' runs auto "$disk }"
	check "auto: WBINVD is $expect, as reported" agrees auto $expect
	check 'auto, by group: the guest runs' runs group "$disk, \"via\": \"group\" }"
	check "auto, by group: WBINVD is $expect, as reported" agrees group $expect
	check 'an mdev: the guest runs' runs mdev "$port }"
	check 'an mdev: WBINVD is emulated, as reported' agrees mdev emulated
	check 'an mdev cannot be enforced' refused mdev-enforce "$port, \"coherency\": \"enforce\" }" 'an mdev has no IOMMU'
	check 'guest-pat: as this KVM can' runs pat "$disk, \"coherency\": \"guest-pat\" }"
	check 'guest-pat: memory types are honoured' grep -q 'guest_pat honoured' /out/pat.log
	if [ $enforces = yes ]; then
		check 'enforce: the guest runs' runs enforce "$disk, \"coherency\": \"enforce\" }"
		check 'enforce: WBINVD does nothing' agrees enforce nop
		check 'deny: the guest runs' runs deny "$disk, \"coherency\": \"deny\" }"
		check 'deny: WBINVD does nothing' agrees deny nop
		check 'allow is refused' refused allow "$disk, \"coherency\": \"allow\" }" 'no way to stop it'
		check 'enforce and an mdev are refused together' refused both \
			"$disk, \"coherency\": \"enforce\" }, $port }" 'port and disk'
	else
		check 'enforce is refused' refused enforce "$disk, \"coherency\": \"enforce\" }" 'does not enforce snooping'
		check 'allow: the guest runs' runs allow "$disk, \"coherency\": \"allow\" }"
		check 'allow: WBINVD is emulated' agrees allow emulated
		check 'deny is refused' refused deny "$disk, \"coherency\": \"deny\" }" 'unsafe_stale_reads'
		check 'deny with unsafe_stale_reads: the guest runs' runs unsafe \
			"$disk, \"coherency\": \"deny\", \"unsafe_stale_reads\": true }"
		check 'deny with unsafe_stale_reads: WBINVD does nothing' agrees unsafe nop
	fi
	check 'WBINVD ends with an mdev that is removed' leaves_and_ends "$port }" from_port none
	if [ $enforces = no ]; then
		check 'WBINVD ends with a function that its host asks for' leaves_and_ends "$disk }" from_disk no
		check nvme_goes_to_vfio_pci_again vfio_bind "$nvme"
	fi
	echo 1 >/sys/bus/mdev/devices/$uuid/remove
	end
}
