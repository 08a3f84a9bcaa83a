# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# The monitor, its keeper or both are killed at random moments: while they start, while an assigned
# function does DMA, while devices come and go, while they end. Nothing of them may be left, and
# the host has its devices at once.
#
# The moments come from a generator whose seed is said first; ADIT_RIG_SEED repeats a run's choices.
# How long each phase takes was seen before, undisturbed, so that kills fall into all of it: times
# choose moments here, and nothing waits for them to be long enough.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='killed at random moments, nothing of a VM is left'
SMOKE=''
IOMMU='intel amd'
DEVICES='edu,dma_mask=0xffffffffffffffff
edu,dma_mask=0xffffffffffffffff
nvme,serial=x,drive=d0'
DISKS='d0=2M'
NEED='adit tests'
APPEND="adit.seed=${ADIT_RIG_SEED:-$(date +%s)}"
LIMIT=1200

adit=/adit/build/adit
keeper=/adit/build/adit-keeper
kills=100
uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
other=83b8f4f2-509f-382f-3c1e-e6bfe0fa1002

ctl() { "$adit" ctl /tmp/vm/api "$@"; }
now() { awk '{ print int($1 * 1000) }' /proc/uptime; } # milliseconds

# A number from 0 to N-1 (Numerical Recipes' generator; its low bits are poor).
random() { # random N
	seed=$(((seed * 1664525 + 1013904223) & 0xffffffff))
	chance=$(((seed >> 8) % $1))
}

driver_of() { readlink "/sys/bus/pci/devices/$1/driver" | sed 's|.*/||'; }
mdevs() { ls /sys/bus/mdev/devices; }
# Until the last of them is gone: what a killed process held is let go on its way out.
vms_end() {
	until=$(($(now) + 120000))
	while pidof adit adit-keeper; do
		[ "$(now)" -lt $until ] || return
		usleep 20000
	done
	return 0
}
reads() { dd if=/dev/nvme0n1 of=/dev/null bs=4k count=1 iflag=direct; }
# The host uses its drive as it did, and nothing lies about.
nothing_is_left() {
	is "$(driver_of "$nvme")" nvme && is "$(driver_of "$edu")" '' && is "$(driver_of "$edu2")" vfio-pci &&
		is "$(cat "/sys/bus/pci/devices/$edu/driver_override")" '(null)' && is "$(mdevs)" "$other" &&
		is "$(ls /run/adit)" '' && is "$(ls /tmp/vm)" '' && reads
}

# Everything that a VM can listen on, and everything of the host's that it is given.
config() {
	cat >/tmp/kills.json <<-JSON
		{ "payload": { "flat": "/adit/build/guest/edu.bin", "cmdline": "moves=0 msis=1 forever" },
		  "memory": { "size": "64M" }, "cpus": { "boot_vcpus": 2 }, "shutdown_timeout": 0,
		  "console": { "mode": "Socket", "socket": "/tmp/vm/console" }, "vsock": { "cid": 3, "socket": "/tmp/vm/vsock" },
		  "adis": [ { "id": "adi", "type": "dsa", "wqs": [ { "size": 16 } ] } ],
		  "devices": [
		    { "id": "edu", "path": "$edu", "managed": true, "allow_no_reset": true },
		    { "id": "nvme", "path": "$nvme", "managed": true },
		    { "id": "port", "mdev": { "type": "mtty-1", "parent": "mtty", "uuid": "$uuid" } } ] }
	JSON
}

# In namespaces or not, as root or not.
choose_options() {
	random 3
	case $chance in
	0) options= ;;
	1) options='--namespaces=mount,pid,net,ipc,uts --landlock-rules path=/tmp,access=rw' ;;
	2) options='--user 65534 --group 65533 --namespaces=mount,pid,net,ipc,uts --landlock-rules path=/tmp,access=rw' ;;
	esac
}

# The guest's console and the log are one stream, whose end is that of all who write to it.
begin() {
	began=$(now)
	wrong=
	# shellcheck disable=SC2086 # words
	"$adit" run /tmp/kills.json --api-socket /tmp/vm/api $options >/tmp/said 2>&1 &
	k=$!
	exec 3</tmp/said
}
hear() { # hear TEXT: until the VM has said it
	while read -r line <&3; do
		echo "$line" >>/out/said
		case $line in *'not ok'*) wrong=$line ;; esac
		case $line in *"$1"*) return ;; esac
	done
	return 1
}
# What the guest found: DMA and interrupts of the function are right.
usable() { is "$wrong" ''; }
# Each comes and goes, round and round, until nobody answers any more.
plug_once() {
	ctl add-disk /tmp/disk disk && ctl add-adi /tmp/adi.json || return
	case $options in
	*--user*) ;; # who may not open them; the keeper knows of none but those of the start
	*)
		ctl add-device "$other" second &&
			ctl add-device "{\"id\": \"edu2\", \"path\": \"$edu2\", \"allow_no_reset\": true}" &&
			ctl remove-device edu2 0 true && ctl remove-device second 0 true || return
		;;
	esac
	ctl remove-device dsa 0 true && ctl remove-device disk 0 true
}
plug() { while plug_once; do :; done >/tmp/plug 2>&1; }

# Undisturbed, for how long each takes.
rehearse() {
	begin
	hear 'goes on' && usable || return
	starting=$(($(now) - began))
	ctl metrics >/tmp/metrics
	grep -q '^adit_space_map_ns_total{id="guest",provider="iommufd"} [1-9]' /tmp/metrics &&
		grep -q '^adit_device_irqfds{id="edu"} ' /tmp/metrics || return
	at=$(now)
	plug_once || return
	plugging=$(($(now) - at))
	at=$(now)
	kill -TERM "$k"
	wait "$k"
	is $? 1 || return # there was no time for the guest
	ending=$(($(now) - at))
	exec 3<&-
	nothing_is_left
}

# Where that fails, nothing else can be told.
rehearsed() {
	check "$1" rehearse
	[ ! -e "/proc/$k" ] && return
	kill -9 "$k"
	end
	return 1
}

# Into `phase`, and until its moment has come.
get_into() {
	plugger=
	begin
	random 1000
	case $phase in
	start) moment=$((starting * chance / 1000)) ;;
	dma) moment=$((300 * chance / 1000)) ;;
	plug) moment=$((plugging * chance / 1000)) ;;
	end) moment=$((ending * chance / 1000)) ;;
	esac
	[ "$phase" = start ] || { hear 'goes on' && usable; } || return
	case $phase in
	plug)
		plug &
		plugger=$!
		;;
	end) kill -TERM "$k" ;;
	esac
	usleep $((moment * 1000))
}

# As near to at once as a shell can: who is dead already is no failure.
strike() {
	read -r child <"/proc/$k/task/$k/children"
	[ "$child" ] || victim=keeper # it had none yet, or none any more
	case $victim in
	child) kill -9 "$child" ;;
	keeper) kill -9 "$k" ;;
	both) kill -9 "$k" "$child" ;;
	esac
	wait "$k"
	[ -z "$plugger" ] || wait "$plugger"
	# The end of all who had it: nobody writes any more.
	while hear ''; do :; done
	exec 3<&-
	vms_end
}

# One that was not killed has cleaned up by its end; else the next start does, or who is told to.
clean_up() {
	[ -z "$(ls /run/adit 2>/dev/null)" ] && return
	random 2
	case $chance in
	0) cleaner='doctor --clean' && "$adit" doctor --clean ;;
	1) cleaner='the next start' && "$keeper" -- true ;;
	esac
}

kill_once() {
	choose_options
	random 4
	set -- start dma plug end
	shift "$chance"
	phase=$1
	random 10
	case $chance in [0-4]) victim=child ;; [56]) victim=keeper ;; *) victim=both ;; esac
	cleaner=
	echo "--- $n: $phase $victim $options" >>/out/said
	get_into && strike && clean_up && nothing_is_left
}

l1() {
	seed=$(sed -n 's/.*adit\.seed=\([0-9]*\).*/\1/p' /proc/cmdline)
	echo "# seed $seed: ADIT_RIG_SEED=$seed repeats it"
	modprobe -a nvme mtty
	mkdir /tmp/vm
	chmod 777 /tmp/vm
	chmod 666 /dev/kvm
	mkfifo /tmp/said
	truncate -s 2M /tmp/disk
	chmod 666 /tmp/disk
	echo '{"id": "dsa", "type": "dsa", "wqs": [{"size": 16}]}' >/tmp/adi.json
	edu=$(pci_find 1234:11e8 | head -n 1) edu2=$(pci_find 1234:11e8 | tail -n 1) nvme=$(pci_find 1b36:0010)
	echo $other >/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1/create
	check the_second_edu_is_given_to_vfio_pci vfio_bind "$edu2"
	config
	options=
	rehearsed it_starts_plugs_and_ends_undisturbed || return
	echo "# starting takes $starting ms, plugging $plugging ms, ending $ending ms"
	n=0
	while [ $n -lt $kills ]; do
		n=$((n + 1))
		kill_once >/tmp/kill 2>&1
		status=$?
		if [ $status = 0 ]; then
			tap ok "$n: $phase, after $moment ms, $victim killed${cleaner:+, $cleaner}: nothing is left"
		else
			tap 'not ok' "$n: $phase, after $moment ms, $victim killed${cleaner:+, $cleaner}"
			note </tmp/kill
		fi
	done
	rehearsed all_of_it_works_after_that || return
	end
}
