# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# A host with Debian 12's own kernel, which has groups and containers and nothing else: what
# ioasid-client promises of them, three groups in one guest that share a container, and what KVM
# makes of snooping, which it asks the container there.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='the kernel of Debian 12: groups share a container, and KVM asks that about snooping'
SMOKE=''
# Not amd: all passes there, and at L1's end its driver reads QEMU's event log for ever.
IOMMU='intel intel-snoop'
DEVICES='edu,dma_mask=0xffffffffffffffff
edu,dma_mask=0xffffffffffffffff
nvme,serial=adit,drive=d0'
DISKS='d0=2M'
NEED='adit tests passthrough generic'
KERNEL=debian12
LIMIT=1500

guest_work() {
	cat <<-'EOF'
		n=0
		for d in /sys/bus/pci/devices/*; do
			[ "$(cat "$d/vendor" "$d/device" | words)" = '0x1234 0x11e8' ] || continue
			edu "${d##*/}" $((0x10000000 + n * 0x2000)) $((0x10001000 + n * 0x2000)) $((0x1122334455667700 + n * 0x100))
			n=$((n + 1))
		done
		say nvme "$(sha256sum </dev/nvme0n1 | cut -d' ' -f1)"
		say all yes
		read -r _ </dev/ttyS0
	EOF
}

# Three groups, and guest memory is pinned and counted once.
locked_mib() { awk '/^VmLck:/ { print int($2 / 1024) }' "/proc/$l2_pid/status"; }
locked_once() {
	l2_wait_for three 'L2 all=yes' 1 20000 || return # L1's clock runs fast on a busy machine
	mib=$(locked_mib)
	echo "$mib MiB are locked"
	[ "$mib" -ge 512 ] && [ "$mib" -lt 640 ]
}
three() {
	l2_config three /kernels/generic/vmlinux "$(l2_image generic /tmp/work)" 1 512M 'quiet mem=256M' \
		"\"devices\": [{ \"path\": \"$1\", \"allow_no_reset\": true }, { \"path\": \"$2\", \"allow_no_reset\": true },
		    { \"path\": \"$nvme\" }]"
	l2_start three --no-reboot
	check 'three groups: memory is locked once' locked_once
	l2_signal KILL
	wait "$l2_pid"
	check 'three groups: DMA of both edus is right' is "$(grep -c '^L2 edu_dma_.*=yes' /out/l2-three)" 2
	check 'three groups: the disk reads as it is' is "$(l2_said three nvme)" "$(sha256sum </out/disk-d0 | cut -d' ' -f1)"
}

trace=/sys/kernel/tracing
probes() {
	mount -t tracefs tracefs $trace 2>/dev/null
	{
		echo 'p:adit/register kvm_arch_register_noncoherent_dma'
		echo 'p:adit/unregister kvm_arch_unregister_noncoherent_dma'
	} >$trace/kprobe_events && echo 1 >$trace/events/adit/enable
}
count() { grep -c " $1:" $trace/trace; }
wbinvd() { # wbinvd NAME emulated|nop DEVICES-JSON: as reported, and as KVM was told
	cat >"/out/$1.json" <<-EOF
		{ "payload": { "flat": "/adit/build/guest/wbinvd.bin", "cmdline": "times=8" }, "devices": [$3],
		  "serial": { "mode": "File", "file": "/out/$1" }, "debug_exit": true }
	EOF
	echo >$trace/trace
	timeout 120 /adit/build/adit run --no-reboot "/out/$1.json" >"/out/$1.log" 2>&1
	grep -q every_wbinvd_returned "/out/$1" || { tail -n 5 "/out/$1.log"; return 1; }
	is "$(sed -n 's/.*coherency: VM: wbinvd \([a-z]*\),.*/\1/p' "/out/$1.log")" "$2" || return
	if [ "$2" = emulated ]; then
		is "$(count register) $(count unregister)" '1 1'
	else
		is "$(count register) $(count unregister)" '0 0'
	fi
}

conformance() {
	cd /adit || return
	export ADIT_TEST_EDU="$1" ADIT_TEST_EDU2="$2" ADIT_BUILD=/adit/build ADIT_TEST_TIMEOUT=500
	sh tests/run conformance /out/conformance build/tests/unit/test-conformance \
		build/tests/unit/test-ioasid-inject
}

l1() {
	. /passthrough.sh
	edus=$(pci_find 1234:11e8)
	nvme=$(pci_find 1b36:0010)
	for f in $edus $nvme; do
		check "$f goes to vfio-pci" vfio_bind "$f"
	done
	/adit/build/adit doctor >/out/doctor
	check 'doctor finds type1' grep '^ok .*provider type1' /out/doctor
	check 'and no iommufd' grep 'provider iommufd .*CONFIG_IOMMUFD' /out/doctor
	{ l2_edu; guest_work; } >/tmp/work
	# shellcheck disable=SC2086 # two words
	three $edus

	check 'kprobes are there' probes
	disk="{ \"id\": \"disk\", \"path\": \"$nvme\""
	edu="{ \"id\": \"edu\", \"path\": \"${edus%%[!0-9a-f:.]*}\", \"allow_no_reset\": true"
	[ "$rig_iommu" = intel ] && expect=emulated || expect=nop
	check "auto: WBINVD is $expect" wbinvd auto "$expect" "$disk }"
	check "auto, two groups: WBINVD is $expect" wbinvd two "$expect" "$disk }, $edu }"
	if [ "$expect" = nop ]; then
		check 'enforce: WBINVD does nothing' wbinvd enforce nop "$disk, \"coherency\": \"enforce\" }"
		check 'deny: WBINVD does nothing' wbinvd deny nop "$disk, \"coherency\": \"deny\" }"
	else
		check 'allow: WBINVD is emulated' wbinvd allow emulated "$disk, \"coherency\": \"allow\" }"
		check 'deny with unsafe_stale_reads: WBINVD does nothing' wbinvd unsafe nop \
			"$disk, \"coherency\": \"deny\", \"unsafe_stale_reads\": true }"
	fi
	end
	# shellcheck disable=SC2086 # two words
	conformance $edus
	return 0 # what it counted is the answer
}
