#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What virtaditd takes and tells, by libvirt's own schemas: an example of each element that it supports is
# valid, is defined, and is valid as it is dumped. ADIT_SCHEMAS names schemas of another version.
# shellcheck source=../cli/tap.sh
# shellcheck disable=SC2317 # what ok runs is called
. "$(dirname "$0")/../cli/tap.sh"
schemas=${ADIT_SCHEMAS:-/usr/share/libvirt/schemas}
for program in virsh xmllint; do
	command -v $program >/dev/null && continue
	skip "everything here" "no $program (packages libvirt-clients, libxml2-utils)"
	done_testing
done
if [ ! -e "$schemas/domain.rng" ]; then
	skip "everything here" "no schemas in $schemas (package libvirt0)"
	done_testing
fi
"$build/virtaditd" --socket "$work/s" --socket-ro "$work/s-ro" --state-dir "$work/state" \
	--run-dir "$work/run" --adit "$adit" 2>"$work/log" &
daemon=$!
trap 'kill $daemon; wait $daemon; rm -rf "$work"' EXIT
"$(dirname "$0")/../cli/until" "$work/log" serving
v() { run virsh -q -c "adit:///system?socket=$work/s" "$@"; }
valid() { # valid SCHEMA FILE
	xmllint --noout --relaxng "$schemas/$1.rng" "$2" >"$work/why" 2>&1 && return
	sed 's/^/# /' "$work/why"
	return 1
}

# example NAME [ELEMENTS [DEVICES [ATTRIBUTES]]]: a domain with them.
example() {
	cat >"$work/one.xml" <<-END
		<domain type='kvm'><name>one</name><uuid>8b0d7a36-7d3a-4a0b-8f0c-0a9f2f1f5f10</uuid>
		<memory unit='MiB'>512</memory><os><type arch='x86_64' machine='adit'>hvm</type>
		<kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd.img</initrd><cmdline>console=ttyS0</cmdline></os>
		${2:-}<devices>${3:-}</devices></domain>
	END
	ok "$1: the example is valid" valid domain "$work/one.xml"
	v define "$work/one.xml"
	ok "$1: it is defined" is "$status" 0
	v dumpxml one
	cp "$work/out" "$work/dump.xml"
	ok "$1: so is what is dumped" valid domain "$work/dump.xml"
	v undefine one
}
example "a kernel"
example "title and description" "<title>One</title><description>What it is</description>"
example "current memory" "<currentMemory unit='MiB'>512</currentMemory>"
example "memory backing" "<memoryBacking><hugepages><page size='2' unit='M'/></hugepages><source type='memfd'/>
	<access mode='shared'/><allocation mode='immediate'/></memoryBacking>"
example "processors" "<vcpu placement='static'>3</vcpu>
	<cpu mode='host-passthrough' check='none' migratable='on'/>"
example "features and clock" "<features><acpi/><apic/></features><clock offset='utc'/>"
example "ends" "<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>"
example "controller" "" "<controller type='pci' index='0' model='pcie-root'/>"
example "a disk in a file" "" "<disk type='file' device='disk'><driver name='adit' type='raw' cache='none'/>
	<source file='/d/a.img'/><target dev='vda' bus='virtio'/><readonly/><serial>A1</serial>
	<alias name='ua-a'/></disk>"
example "a disk on a device" "" "<disk type='block'><driver type='raw'/><source dev='/dev/sdz'/>
	<target dev='vdb' bus='virtio'/></disk>"
example "a tap" "" "<interface type='ethernet'><mac address='52:54:00:00:00:0a'/>
	<target dev='tap0' managed='no'/><model type='virtio'/><mtu size='9000'/></interface>"
example "a bridge" "" "<interface type='bridge'><mac address='52:54:00:00:00:0b'/><source bridge='br0'/>
	<model type='virtio'/><alias name='ua-net'/></interface>"
example "a serial port" "" "<serial type='pty'><target type='isa-serial' port='0'><model name='isa-serial'/>
	</target></serial><console type='pty'><target type='serial' port='0'/></console>"
example "a serial port in a file" "" "<serial type='file'><source path='/d/log'/></serial>"
example "a virtio console" "" "<console type='pty'><target type='virtio' port='0'/></console>"
example "a channel" "" "<channel type='unix'><source mode='bind' path='/run/agent'/>
	<target type='virtio' name='org.agent'/></channel>"
example "vsock" "" "<vsock model='virtio'><cid auto='no' address='9'/></vsock>"
example "random numbers" "" "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
example "a balloon" "" "<memballoon model='virtio' autodeflate='on' freePageReporting='on'>
	<stats period='5'/></memballoon>"
example "no balloon" "" "<memballoon model='none'/>"
example "a function of the host" "" "<hostdev mode='subsystem' type='pci' managed='yes'><driver name='vfio'/>
	<source><address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/></source><rom bar='off'/>
	<alias name='ua-nic'/></hostdev>"
example "an mdev" "" "<hostdev mode='subsystem' type='mdev' model='vfio-pci'>
	<source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>"
example "what is adit's own, in the metadata" "<metadata><adit:machine xmlns:adit='urn:adit:domain:1'>
	<adit:adi id='dsa0' type='dsa'><adit:wq size='16'/><adit:pasid allow='yes'/></adit:adi>
	<adit:space id='w' offset='32M' size='16M'/><adit:pasid guest='5' adi='dsa0' space='w'/>
	</adit:machine></metadata>"
# Since 12.1 and 12.2.
if grep -q 'name="iommufd"' "$schemas/domaincommon.rng"; then
	example "iommufd of a function" "" "<hostdev mode='subsystem' type='pci' managed='no'>
		<driver name='vfio' iommufd='yes'/>
		<source><address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/></source></hostdev>"
	example "iommufd of the domain" "<iommufd enabled='yes' fdgroup='mine'/>"
else
	skip "iommufd" "these schemas are older than it (libvirt 12.2)"
fi
v capabilities
cp "$work/out" "$work/capabilities.xml"
ok "capabilities are valid" valid capability "$work/capabilities.xml"
v domcapabilities
cp "$work/out" "$work/domcapabilities.xml"
ok "so are those of domains" valid domaincaps "$work/domcapabilities.xml"
done_testing
