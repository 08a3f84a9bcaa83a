# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Unmodified Debian kernels under adit: from bzImage and from the PVH vmlinux inside it, to user
# space, with all that a microVM has, and off by themselves.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='Debian kernels boot to user space under adit'
SMOKE=none
IOMMU='none amd'
FULL=none # what no device is behind changes little
NEED='adit cloud debian12'
LIMIT=1800

# Messages at warning level that remain, with their reasons.
known() {
	sed 's/ *#.*//' <<-'EOF'
		hrtimer: interrupt took [0-9]+ ns # the emulated machine was kept from its processor
		PCI: Fatal: No config space access function found # no type 1 access; QEMU microvm too
	EOF
}

# boot KERNEL FILE VCPUS MEMORY LEAST-MIB
boot() {
	name=$1-$2-$3-$4
	l2_config "$name" "/kernels/$1/$2" "$(l2_image "$1")" "$3" "$4" quiet
	start=$(cut -d' ' -f1 /proc/uptime)
	before=$(date +%s)
	check "$name: boots and powers off by itself" l2_run "$name"
	after=$(date +%s)
	echo "# $name: $(awk -v a="$start" '{ printf "%.1f", $1 - a }' /proc/uptime) s"
	check "$name: user space is reached" is "$(l2_said "$name" end)" yes
	check "$name: it is that kernel" is "$(l2_said "$name" release)" "$(cat "/kernels/$1/release")"
	check "$name: all vCPUs run" is "$(l2_said "$name" vcpus)" "$3"
	check "$name: memory is all there" test "$(l2_said "$name" memory_kib)" -ge $(($5 * 1024))
	check "$name: the clock is kvm-clock" is "$(l2_said "$name" clocksource)" kvm-clock
	epoch=$(l2_said "$name" epoch)
	check "$name: the date is L1's" test "$epoch" -ge "$before" -a "$epoch" -le "$after"
	check "$name: ACPI tables are seen" is "$(l2_said "$name" tables)" 'APIC DSDT FACP MCFG SSDT'
	check "$name: one PCIe root" is "$(l2_said "$name" roots)" /sys/devices/pci0000:00
	check "$name: its bridge answers" is "$(l2_said "$name" pci)" 0000:00:00.0=1b36:0008
	check "$name: the console is ttyS0" is "$(l2_said "$name" console)" ttyS0
	check "$name: the UART is a 16550A" is "$(l2_said "$name" uart)" 4 # PORT_16550A
	check "$name: there is a power button" is "$(l2_said "$name" inputs)" 'Power Button'
	rtc=$(l2_said "$name" rtc)
	check "$name: there is a clock chip" is "${rtc%% *}" rtc_cmos
	check "$name: no unknown warnings" is "$(l2_warnings "$name" /tmp/known)" ''
}

l1() {
	known >/tmp/known
	if [ "$rig_tier" = smoke ]; then
		boot cloud vmlinux 4 6G 5800
		boot debian12 vmlinuz 1 256M 190
	else
		for kernel in cloud debian12; do
			for file in vmlinuz vmlinux; do
				for vcpus in 1 4; do
					boot $kernel $file $vcpus 256M 190
					boot $kernel $file $vcpus 6G 5800
				done
			done
		done
	fi
	end
}
