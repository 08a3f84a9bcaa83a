#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The main job: config.example.json as `make run` runs it.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
need_kvm

sed "s|\"build/|\"$build/|" config.example.json >"$work/example.json"
run "$adit" run "$work/example.json"
ok "the example ends with status 0" is "$status" 0
ok "the guest finds the ADI" has "$work/out" '8086:0b25'
ok "it moves memory with the PASID that was bound" has "$work/out" '^ok demo_memmove_in_window'
ok "outside of the PASID's window it faults" has "$work/out" '^ok demo_write_outside_faults'
ok "the PASID that was not bound is refused" has "$work/out" '^ok demo_unbound_reported'
ok "and reaches nothing" has "$work/out" '^ok demo_unbound_reaches_nothing'
ok "no check failed" sh -c '! grep -q "^not ok" "$1"' -- "$work/out"
ok "the guest says so" has "$work/out" '^adit demo: all checks passed'
ok "the binding is logged" has "$work/err" 'dsa0: guest PASID 5 -> host PASID [0-9]*, space window0'
ok "the refusal is logged with its number" has "$work/err" 'guest PASID 6 refused'

# The first key alone, and the second without the first.
sed 's/"allow": true, "width": 20/"allow": true, "width": 4/; s/"guest": 5/"guest": 16/' \
	"$work/example.json" >"$work/width.json"
run "$adit" run "$work/width.json"
ok "a PASID past the ADI's width gives status 2" is "$status" 2
sed 's/"allow": true/"allow": false/' "$work/example.json" >"$work/key.json"
run "$adit" run "$work/key.json"
ok "a binding for an ADI that may not use PASIDs gives status 2" is "$status" 2
ok "its pointer is named" has "$work/err" '/pasids/0'
done_testing
