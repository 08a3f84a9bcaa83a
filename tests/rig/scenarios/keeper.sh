# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# The keeper on the real kernel: functions and mdevs are taken, made, handed over and given back,
# whoever is killed; adit devices and adit check say what is there.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='the keeper takes, makes, hands over and gives back'
SMOKE='intel'
IOMMU='intel intel-snoop intel-legacy amd'
DEVICES='edu,dma_mask=0xffffffffffffffff
e1000e
bochs-display'
NEED='adit tests'
LIMIT=300

adit=/adit/build/adit
keeper=/adit/build/adit-keeper

driver_of() { readlink "/sys/bus/pci/devices/$1/driver" | sed 's|.*/||'; }
override_of() { cat "/sys/bus/pci/devices/$1/driver_override"; }
mdevs() { find /sys/bus/mdev/devices -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }
journals() { find /run/adit -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }
as_before() {
	is "$(driver_of "$nic")" "$nic_driver" && is "$(override_of "$nic")" '(null)' &&
		is "$(driver_of "$edu")" '' && is "$(override_of "$edu")" '(null)' &&
		is "$(mdevs)" 0 && is "$(journals)" 0
}
# state_of BDF: its state in the table of adit devices.
state_of() { $adit devices | awk -v f="$1" '$1 == f { print $6 }'; }
# The first line that a background child says means that it is there.
hear() { read -r heard <"$1" && echo "$heard"; }
# Waits for the end of a process that somebody else may have to reap.
gone() { while grep -q '^State:.[^ZX]' "/proc/$1/status" 2>/dev/null; do usleep 20000; done; }

# A VM of adit's, whose log is shown where it fails: vm DEVICES [ARGS...]
vm() {
	printf '{"payload": {"kernel": "/nonexistent"}, "devices": [%s]}' "$1" >/tmp/vm.json
	shift
	$adit run /tmp/vm.json --event-monitor fd=9 "$@" >/tmp/vm.out 2>&1 9>/tmp/vm.events
	echo $? >/tmp/vm.status
	cat /tmp/vm.out
}

l1() {
	modprobe vfio-pci
	modprobe e1000e
	modprobe mtty
	edu=$(pci_find 1234:11e8)
	nic=$(pci_find 8086:10d3)
	nic_driver=$(driver_of "$nic")
	uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001

	$adit devices >/out/devices
	$adit devices --json >/out/devices.json
	check devices_shows_a_function_on_its_host_driver is "$(state_of "$nic")" managed
	check devices_names_that_driver grep -q "^$nic .*is on its host driver $nic_driver" /out/devices
	check devices_shows_a_function_without_driver is "$(state_of "$edu")" managed
	check devices_shows_mdev_types grep -q '^mtty-2 *mtty *[0-9]* *Dual port serial' /out/devices
	check doctor_advises_on_a_display sh -c "$adit doctor | grep -q '^note *$(pci_find 1234:1111) *a display, .*no-snoop'"
	check doctor_knows_of_no_keeper sh -c "$adit doctor | grep -q '^ok *keepers *0 running'"

	mkfifo /tmp/said
	# Both stay taken for as long as the child sleeps: takes come from adit run below; here the
	# keeper alone is looked at, with a child that asks for nothing.
	$keeper --managed "$nic" --new-mdev "mtty/mtty-2/$uuid" -- sh -c 'echo $$ >/tmp/said; sleep 600' &
	k=$!
	child=$(hear /tmp/said)
	check a_keeper_has_its_journal is "$(journals)" 1
	check nothing_is_taken_before_it_is_asked_for is "$(driver_of "$nic") $(mdevs)" "$nic_driver 0"
	kill -9 "$child"
	wait "$k"
	check a_killed_child_is_status_1 is "$?" 1
	check nothing_is_left_of_it as_before

	# The VM itself cannot start (its kernel is not there), but its devices come before that.
	check a_function_on_its_host_driver_is_refused sh -c \
		"echo '{\"payload\": {\"kernel\": \"/k\"}, \"devices\": [{\"path\": \"$nic\"}]}' >/tmp/n.json
		! $adit run /tmp/n.json 2>/tmp/n.err && grep -q 'is on its host driver $nic_driver' /tmp/n.err"
	vm "{\"id\": \"nic\", \"path\": \"$nic\", \"managed\": true}, {\"id\": \"port\", \"mdev\": {\"type\": \"mtty-2\", \"parent\": \"mtty\"}}" | note
	check the_keeper_took_both_and_the_kernel_gave_them_to_the_vm grep -q '/nonexistent' /tmp/vm.out
	check its_events_go_past_the_keeper grep -q '"failed",.*nonexistent' /tmp/vm.events
	check both_are_back as_before
	vm "{\"id\": \"nic\", \"path\": \"$nic\", \"managed\": true, \"via\": \"group\"}" | note
	check the_group_was_handed_over grep -q '/nonexistent' /tmp/vm.out
	check the_function_is_back as_before

	# A guest that waits for ever at its serial port keeps its devices until somebody is killed.
	# One of them is another user's: its devices come from the keeper all the same.
	chmod 666 /dev/kvm
	for victim in child keeper both; do
		as=''
		[ $victim != keeper ] || as='--user 65534 --group 65533'
		printf '{"payload": {"flat": "/adit/build/guest/spin.bin"}, "serial": {"mode": "Null"}, "devices": [
			{"id": "edu", "path": "%s", "managed": true, "allow_no_reset": true},
			{"id": "nic", "path": "%s", "managed": true},
			{"id": "port", "mdev": {"type": "mtty-1", "parent": "mtty", "uuid": "%s"}}]}' \
			"$edu" "$nic" "$uuid" >/tmp/spin.json
		rm -f /tmp/log && mkfifo /tmp/log
		# shellcheck disable=SC2086
		$adit run /tmp/spin.json $as 2>/tmp/log &
		k=$!
		# The log says when the last device is on the guest's bus.
		while read -r line; do
			echo "$line" | note
			case $line in *'port is in slot'*) break ;; esac
		done </tmp/log
		child=$(cat "/proc/$k/task/$k/children")
		child=${child% }
		check "${victim}_all_three_are_the_vms" is \
			"$(driver_of "$edu") $(driver_of "$nic") $(mdevs) $(journals)" 'vfio-pci vfio-pci 1 1'
		[ -z "$as" ] || check the_vm_is_another_users grep -q '^Uid:.65534.65534.65534' "/proc/$child/status"
		case $victim in
		child) kill -9 "$child" ;;
		keeper) kill -9 "$k" ;;
		both) kill -9 "$k" "$child" ;;
		esac
		wait "$k" 2>/dev/null
		gone "$child"
		if [ $victim != child ]; then
			check "${victim}_doctor_says_what_is_left" sh -c "$adit doctor | grep -q '^note *keepers *1 of 1'"
			$adit doctor --clean 2>&1 | note
		fi
		check "${victim}_killed_leaves_nothing" as_before
	done

	printf '{"payload": {"flat": "/adit/build/guest/spin.bin"}, "devices": [{"id": "nic", "path": "%s", "managed": true}]}' \
		"$nic" >/tmp/check.json
	$adit check /tmp/check.json >/out/check 2>&1
	note </out/check
	check check_predicts_coherency grep -q 'predicted' /out/check
	check check_changes_nothing as_before
	end
}
