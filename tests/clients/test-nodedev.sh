#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Devices of the host as virsh sees them, on a sysfs of files: what is there, how it is told, and what
# is written where it shall change. That kernels act on it is the rig's to show.
# shellcheck source=../cli/tap.sh
# shellcheck disable=SC2317 # what ok runs is called
. "$(dirname "$0")/../cli/tap.sh"
if ! command -v virsh >/dev/null; then
	skip "everything here" "no virsh (package libvirt-clients)"
	done_testing
fi
host=$work/host
uuid=c2177883-f1bb-47f0-914d-32a22e3a8804
mdev=mdev_c2177883_f1bb_47f0_914d_32a22e3a8804_mtty
function=$host/sys/devices/pci0000:3a/0000:3b:00.0
mtty=$host/sys/devices/virtual/mtty/mtty
mkdir -p "$function" "$host/sys/bus/pci/devices" "$host/sys/bus/pci/drivers/nvme" \
	"$host/sys/kernel/iommu_groups/7/devices" "$mtty/mdev_supported_types/mtty-2" "$mtty/$uuid" \
	"$host/sys/class/mdev_bus" "$host/sys/bus/mdev/devices"
echo 0x8086 >"$function/vendor"
echo 0x5845 >"$function/device"
echo 0x010802 >"$function/class"
echo 1 >"$function/numa_node"
echo "(null)" >"$function/driver_override"
touch "$function/reset"
ln -s ../../../bus/pci/drivers/nvme "$function/driver"
ln -s ../../../kernel/iommu_groups/7 "$function/iommu_group"
ln -s ../../../devices/pci0000:3a/0000:3b:00.0 "$host/sys/bus/pci/devices/"
ln -s ../../../../devices/pci0000:3a/0000:3b:00.0 "$host/sys/kernel/iommu_groups/7/devices/"
types=$mtty/mdev_supported_types/mtty-2
echo 5 >"$types/available_instances"
echo vfio-pci >"$types/device_api"
echo "Two <ports>" >"$types/name"
touch "$types/create" "$mtty/$uuid/remove"
ln -s ../mdev_supported_types/mtty-2 "$mtty/$uuid/mdev_type"
ln -s ../../devices/virtual/mtty/mtty "$host/sys/class/mdev_bus/"
ln -s ../../../devices/virtual/mtty/mtty/$uuid "$host/sys/bus/mdev/devices/"

mkdir -p "$host/sys/class/dmi/id"
echo 4C4C4544-0042-3510-8052-B4C04F564D31 >"$host/sys/class/dmi/id/product_uuid"
printf 'Makers & S\377ns\n' >"$host/sys/class/dmi/id/sys_vendor"

"$build/virtaditd" --host-root "$host" --socket "$work/s" --socket-ro "$work/s-ro" \
	--state-dir "$work/state" --run-dir "$work/run" --adit "$adit" 2>"$work/log" &
daemon=$!
"$(dirname "$0")/../cli/until" "$work/log" serving
v() { run virsh -q -c "adit:///system?socket=$work/s" "$@"; }
does() {
	"$@"
	[ "$status" = 0 ]
}
says() { # says TEXT COMMAND...
	text=$1
	shift
	"$@"
	[ "$status" = 0 ] && has "$work/out" "$text"
}
fails() { # fails TEXT COMMAND...
	text=$1
	shift
	"$@"
	[ "$status" != 0 ] && has "$work/err" "$text"
}
v nodedev-list
ok "all are listed" is "$(sort "$work/out" | tr -s '\n ' ' ')" "computer $mdev mtty pci_0000_3b_00_0 "
v nodedev-list --cap mdev_types
ok "those that make mdevs" is "$(tr -d '\n' <"$work/out")" mtty
v nodedev-list --cap mdev
ok "mdevs" is "$(tr -d '\n' <"$work/out")" "$mdev"
v nodedev-list --cap net
ok "what is not told of is not there" is "$(tr -d '\n' <"$work/out")" ""
v nodedev-dumpxml computer
ok "the computer says what it is" has "$work/out" "<uuid>4c4c4544-0042-3510-8052-b4c04f564d31</uuid>"
ok "in letters that are ones" has "$work/out" "<vendor>Makers &amp; S?ns</vendor>"
ok "the tree" says "| *+- $mdev" v nodedev-list --tree
ok "a function's driver" says "<name>nvme</name>" v nodedev-dumpxml pci_0000_3b_00_0
ok "and its bus" has "$work/out" "<bus>59</bus>"
ok "and its group, with who is in it" has "$work/out" '<address domain="0x0000" bus="0x3b" slot="0x00" function="0x0"/>'
ok "what a parent makes, escaped" says "<name>Two &lt;ports&gt;</name>" v nodedev-dumpxml mtty
ok "and how many" has "$work/out" "<availableInstances>5</availableInstances>"
ok "an mdev's type" says '<type id="mtty-2"/>' v nodedev-dumpxml $mdev
ok "and its parent" has "$work/out" "<parent>mtty</parent>"
ok "nodedev-info" says "Active: *yes" v nodedev-info $mdev
schema=${ADIT_SCHEMAS:-/usr/share/libvirt/schemas}/nodedev.rng
if command -v xmllint >/dev/null && [ -e "$schema" ]; then
	# A parent of mdevs that is no function of PCI, as the sample mtty, is beyond the schema.
	mkdir "$function/mdev_supported_types"
	cp -r "$types" "$function/mdev_supported_types/"
	ln -s ../../devices/pci0000:3a/0000:3b:00.0 "$host/sys/class/mdev_bus/"
	v nodedev-list --cap mdev_types
	ok "a function can make mdevs" has "$work/out" pci_0000_3b_00_0
	for device in computer "$mdev" pci_0000_3b_00_0; do
		v nodedev-dumpxml "$device"
		cp "$work/out" "$work/device.xml"
		ok "$device is valid by libvirt's schema" \
			sh -c 'xmllint --noout --relaxng "$1" "$2" 2>/dev/null' -- "$schema" "$work/device.xml"
	done
	rm -r "$function/mdev_supported_types" "$host/sys/class/mdev_bus/0000:3b:00.0"
else
	skip "validity by libvirt's schema" "no xmllint, or no $schema"
fi
ok "one that is not there" fails "matching name" v nodedev-dumpxml pci_0000_00_00_7

cat >"$work/new.xml" <<'END'
<device><parent>mtty</parent><capability type='mdev'>
<type id='mtty-2'/><uuid>c2177883-f1bb-47f0-914d-32a22e3a8805</uuid></capability></device>
END
# Nobody makes it here, and that is noticed.
ok "an mdev that the kernel does not make is told" fails "was made and is not there" v nodedev-create "$work/new.xml"
ok "its UUID was written" is "$(cat "$types/create")" \
	c2177883-f1bb-47f0-914d-32a22e3a8805
sed -i 's/mtty-2/..\/x/' "$work/new.xml"
ok "a type that is a path is refused" fails "is no type" v nodedev-create "$work/new.xml"
sed -i 's/<parent>mtty/<parent>computer/' "$work/new.xml"
ok "a parent that makes none is refused" fails "no device that makes mdevs" v nodedev-create "$work/new.xml"
# Those that are defined are mdevctl's files.
kept=mdev_c2177883_f1bb_47f0_914d_32a22e3a8806_mtty
file=$host/etc/mdevctl.d/mtty/c2177883-f1bb-47f0-914d-32a22e3a8806
mkdir -p "$host/etc"
cat >"$work/kept.xml" <<'END'
<device><parent>mtty</parent><capability type='mdev'><type id='mtty-2'/>
<uuid>c2177883-f1bb-47f0-914d-32a22e3a8806</uuid><attr name='speed' value='96 &lt;'/></capability></device>
END
# Who wants to know of changes, from before them: until it is heard, another is defined and undefined.
until=$(dirname "$0")/../cli/until
virsh -q -c "adit:///system?socket=$work/s" nodedev-event --event lifecycle --loop >"$work/events" 2>&1 &
events=$!
sed 's/8806/8809/' "$work/kept.xml" >"$work/heard.xml"
heard=mdev_c2177883_f1bb_47f0_914d_32a22e3a8809_mtty
until grep -q "$heard: Undefined" "$work/events"; do
	v nodedev-define "$work/heard.xml"
	v nodedev-undefine $heard
done
ok "an mdev is defined" does v nodedev-define "$work/kept.xml"
ok "in mdevctl's words" is "$(tr -d '\n ' <"$file")" '{"mdev_type":"mtty-2","start":"manual","attrs":[{"speed":"96<"}]}'
ok "and told among what is not there" says "^$kept" v nodedev-list --inactive
ok "alone" is "$(wc -l <"$work/out")" 1
v nodedev-list
ok "and not among what is" sh -c '! grep -q "$1" "$2"' -- "$kept" "$work/out"
ok "what it says of itself defines it" says '<attr name="speed" value="96 &lt;"/>' v nodedev-dumpxml $kept
cp "$work/out" "$work/kept.xml"
ok "twice is once too often" fails "is defined already" v nodedev-define "$work/kept.xml"
ok "it is there after a boot" says "^Persistent: *yes" v nodedev-info $kept
ok "and not started then" has "$work/out" "^Autostart: *no"
ok "that can be had" does v nodedev-autostart $kept
ok "in mdevctl's words too" has "$file" '"start": *"auto"'
ok "with all else as it was" has "$file" '"speed": *"96 <"'
# Its own listener may come late: what it waits for is done again, and again.
virsh -q -c "adit:///system?socket=$work/s" nodedev-event --event update --device $kept --loop >"$work/updates" 2>&1 &
updates=$!
until grep -q "update" "$work/updates"; do
	v nodedev-autostart $kept --disable
	v nodedev-autostart $kept
done
ok "its listener hears of it alone" sh -c '! grep -v "update.*$1" "$2"' -- $kept "$work/updates"
ok "it is told" says "^Autostart: *yes" v nodedev-info $kept
ok "and taken back" does v nodedev-autostart $kept --disable
v nodedev-dumpxml $mdev
cp "$work/out" "$work/mdev-now.xml"
if virsh help nodedev-update >/dev/null 2>&1; then
	sed 's/96 &lt;/115200/' "$work/kept.xml" >"$work/faster.xml"
	ok "nodedev-update" does v nodedev-update $kept "$work/faster.xml"
	ok "changes an attribute" says '<attr name="speed" value="115200"/>' v nodedev-dumpxml $kept
	ok "and no mark" says "^Autostart: *no" v nodedev-info $kept
	ok "--config does so as well" does v nodedev-update $kept "$work/kept.xml" --config
	# Three events of the marks may still be on their way.
	heard=$(grep -c update "$work/updates")
	for xml in faster kept faster kept; do
		v nodedev-update $kept "$work/$xml.xml"
	done
	ok "which is told of" "$until" "$work/updates" update $((heard + 4))
	sed 's/mtty-2/mtty-1/' "$work/kept.xml" >"$work/faster.xml"
	ok "another type is refused by its path" fails "/device/capability/type/@id: is mtty-2" \
		v nodedev-update $kept "$work/faster.xml"
	ok "what is there is not updated" fails "start it anew" v nodedev-update $kept "$work/kept.xml" --live
	ok "nor what is not defined" fails "is not defined" v nodedev-update $mdev "$work/mdev-now.xml" --config
else
	skip "nodedev-update" "this virsh is older than it (10.1)"
fi
ok "one that is not there cannot be destroyed" fails "is not active" v nodedev-destroy $kept
ok "a start makes it" fails "was made and is not there" v nodedev-start $kept
ok "by its UUID" is "$(cat "$types/create")" c2177883-f1bb-47f0-914d-32a22e3a8806
ok "one that is there is not started" fails "is active already" v nodedev-start $mdev
ok "nor marked where it is not defined" fails "is not defined" v nodedev-autostart $mdev
ok "nor undefined" fails "is not defined" v nodedev-undefine $mdev
ok "a function is no mdev" fails "is no mdev" v nodedev-undefine pci_0000_3b_00_0
ok "but there after a boot" says "^Persistent: *yes" v nodedev-info pci_0000_3b_00_0
v nodedev-dumpxml $mdev
cp "$work/out" "$work/mdev.xml"
ok "one that is there can be defined" does v nodedev-define "$work/mdev.xml"
ok "and is not among what is not" sh -c '[ "$(virsh -q -c "adit:///system?socket=$1" nodedev-list --inactive)" = "$2" ]' \
	-- "$work/s" $kept
ok "undefined, it stays" does v nodedev-undefine $mdev
ok "as it was" says "^Persistent: *no" v nodedev-info $mdev
sed -i -e 's/mtty-2/mtty-3/; s/8806/8807/' "$work/kept.xml"
ok "a type that nobody makes is refused" fails "makes no mtty-3" v nodedev-define "$work/kept.xml"
ok "undefined it is gone" does v nodedev-undefine $kept
ok "with its file" test ! -e "$file"
ok "and its name" fails "matching name" v nodedev-info $kept
ok "all of that was told" "$until" "$work/events" "$kept: Undefined"
ok "in its order" is "$(sed -n "s/.*\($kept\|$mdev\): //p" "$work/events" | tr '\n' ' ')" \
	"Defined Defined Undefined Undefined "
v nodedev-destroy $mdev
ok "an mdev is removed by what it says" is "$(cat "$mtty/$uuid/remove")" 1
ok "a function is reset" v nodedev-reset pci_0000_3b_00_0
ok "by its attribute" is "$(cat "$function/reset")" 1
ok "an mdev is no function" fails "no PCI function" v nodedev-reset $mdev
ok "another driver than vfio is refused" fails "go to vfio" v nodedev-detach pci_0000_3b_00_0 --driver kvm
ok "without vfio-pci nothing is detached" fails "modprobe vfio-pci" v nodedev-detach pci_0000_3b_00_0
ok "and nothing was written" is "$(cat "$function/driver_override")" "(null)"
ok "a read-only client looks" sh -c 'virsh -q -r -c "adit:///system?socket=$1" nodedev-list >/dev/null' -- "$work/s-ro"
ok "and changes nothing" sh -c '! virsh -q -r -c "adit:///system?socket=$1" nodedev-reset pci_0000_3b_00_0 2>/dev/null' \
	-- "$work/s-ro"
# Somebody else's, as mdevctl would write it, and forget it.
other=mdev_c2177883_f1bb_47f0_914d_32a22e3a8808_mtty
echo '{"mdev_type": "mtty-2"}' >"${file%6}8"
ok "what somebody else defines is told" "$until" "$work/events" "$other: Defined"
rm -r "${file%/*}"
ok "and what they undefine, with its folder" "$until" "$work/events" "$other: Undefined"
mkdir "${file%/*}"
echo '{"mdev_type": "mtty-2"}' >"${file%6}8"
ok "and one in a new folder" "$until" "$work/events" "$other: Defined" 2
rm -r "${file%/*}"
# The kernel's part: it is gone, which the next change brings to light.
rm "$host/sys/bus/mdev/devices/$uuid"
v nodedev-reset pci_0000_3b_00_0
ok "that it is gone was told" "$until" "$work/events" "$mdev: Deleted"
kill $events $updates
wait $events $updates 2>/dev/null
kill $daemon
wait $daemon
ok "the daemon ends well" is $? 0

# The first daemon after a boot, which finds no run directory.
mkdir -p "${file%/*}"
echo '{"mdev_type": "mtty-2", "start": "auto"}' >"$file"
: >"$types/create"
"$build/virtaditd" --host-root "$host" --socket "$work/s" --socket-ro "$work/s-ro" \
	--state-dir "$work/state" --run-dir "$work/booted" --adit "$adit" 2>"$work/log" &
daemon=$!
"$(dirname "$0")/../cli/until" "$work/log" "was made and is not there"
ok "one that is marked for it is made after a boot" is "$(cat "$types/create")" "${file##*/}"
kill $daemon
wait $daemon
done_testing
