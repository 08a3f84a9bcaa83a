# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# adit adi-serve in L1 owns a whole DSA function by VFIO: bound to iommufd, reset, set up, its queues
# lent under PASIDs that VT-d takes. The function is one that adit serves beside QEMU, so DMA is not
# shown: QEMU's messages carry no PASID, and without one the function reaches nothing here. Before that
# the kernel's own interfaces say what that served function is: its PASID width, and what is past it.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='the owner of a DSA function, by VFIO and iommufd'
IOMMU=intel
ADI='{ "adis": [{ "id": "dsa0", "type": "dsa", "wqs": [{ "size": 16 }, { "size": 16 }], "engines": 2,
	"pasid": { "allow": true, "width": 17 } }],
	"capabilities": { "ats": true, "pri": true, "pasid": true, "pasid_exec": true } }'
NEED='adit rig'
APPEND=iomem=relaxed # the IOMMU's registers say where its PASID tables are

own() { # own NAME: until it serves or has ended
	/adit/build/adit adi-serve /tmp/a /tmp/b /tmp/owner.json >/tmp/ready 2>"/out/$1.log" &
	owner=$!
	until grep -q ready /tmp/ready || ! kill -0 "$owner" 2>/dev/null; do sleep 0.2; done
	grep -q ready /tmp/ready
}
let_go() {
	kill -TERM "$owner"
	wait "$owner"
}

l1() {
	dsa=$(pci_find 8086:0b25)
	check the_function_is_there test -n "$dsa"
	# Not by itself: the kernel's vfio-pci keeps DSAs of this kind on a list of refused devices.
	modprobe -r vfio-pci
	modprobe vfio-pci disable_denylist=1
	check it_goes_to_vfio_pci vfio_bind "$dsa"
	# TAP lines of its own; a missing or failed program is one more check that fails.
	/adit/build/tests/rig/pasid-attach "$(vfio_cdev "$dsa")" "$dsa" 17 1 0
	check pasids_of_the_width_configured_and_no_others is $? 0
	echo '{ "adis": [{ "id": "a", "type": "dsa", "wqs": [{ "size": 16 }] }, { "id": "b", "type": "dsa", "wqs": [{ "size": 16 }] }],
		"pasids": [{ "adi": "a", "guest": "none" }, { "adi": "b", "guest": "none", "host": 4711 }],
		"function": { "type": "vfio", "path": "'"$(vfio_cdev "$dsa")"'" } }' >/tmp/owner.json
	check it_is_owned_and_two_queues_are_lent own first
	check one_under_a_pasid_that_was_chosen grep -q 'b: .* host PASID 4711' /out/first.log
	check clients_can_come test -S /tmp/a -a -S /tmp/b
	check nobody_else_can_have_it sh -c '! /adit/build/adit adi-serve /tmp/c /tmp/d /tmp/owner.json 2>/out/second.log'
	check it_is_let_go let_go
	check and_can_be_had_again own third
	check and_let_go_again let_go
	sed -i 's/"host": 4711 }/"host": 4711 }, { "adi": "b", "wq": 0, "guest": "none" }/' /tmp/owner.json
	check a_third_binding_finds_no_queue sh -c '! /adit/build/adit adi-serve /tmp/a /tmp/b /tmp/owner.json 2>/out/fourth.log'
	check and_the_reason_is_named grep -q '2 queues are lent' /out/fourth.log
	end
}
