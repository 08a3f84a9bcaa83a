#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# adit check and adit doctor: the plan and the host, for people and for machines.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

sed "s|\"build/|\"$build/|" config.example.json >"$work/example.json"
run "$adit" check "$work/example.json"
ok "check of the example gives status 0" is "$status" 0
ok "it shows the memory" has "$work/out" '^memory: 128 MiB'
ok "it shows the ADI and its isolation" has "$work/out" '^adi dsa0: dsa, back end soft, .*software-checked'
ok "it shows what happens without a PASID" has "$work/out" 'without a PASID: refused'
ok "it shows the PASID table" has "$work/out" '^dsa0  *5  *-  *any  *window0'
ok "it shows the coherency" has "$work/out" '^coherency: wbinvd nop'

run "$adit" check "$work/example.json" --json
ok "check --json is one JSON object that says the same" python3 -c '
import json, sys
plan = json.load(open(sys.argv[1]))
assert plan["vcpus"] == 2
assert plan["memory"]["size"] == 128 << 20
assert plan["adis"][0]["id"] == "dsa0" and plan["adis"][0]["isolation"] == "software-checked"
assert plan["pasids"] == [{"adi": "dsa0", "guest": 5, "host": "any", "space": "window0"}], plan["pasids"]
assert {"id": "window0", "rights": "rw", "base": 32 << 20, "size": 16 << 20} in plan["spaces"]
' "$work/out"

head -c 4096 /dev/zero >"$work/zeroes"
echo "{ \"payload\": { \"kernel\": \"$work/zeroes\" } }" >"$work/none.json"
run "$adit" check "$work/none.json"
ok "check of a kernel that is none gives status 1" is "$status" 1
ok "it says what the file lacks, as run does" has "$work/err" 'zeroes: neither an ELF file nor a bzImage'
ok "and shows the plan all the same" has "$work/out" '^payload: .*zeroes, 1 vCPU$'
echo "{ \"payload\": { \"kernel\": \"$build/guest/demo.elf\", \"initramfs\": \"$work/nowhere\" } }" >"$work/none.json"
run "$adit" check "$work/none.json"
ok "an initramfs that is not there is named" has "$work/err" 'nowhere: No such file'

cat >"$work/queues.json" <<-EOF
	{ "payload": { "flat": "$build/guest/demo.bin" },
	  "adis": [{ "id": "dsa0", "type": "dsa", "fixed": true, "engines": 2,
	             "wqs": [{ "mode": "shared", "size": 8, "threshold": 6 }, { "group": 1 }] },
	           { "id": "dsa1", "type": "dsa", "backend": "idxd", "node": "/dev/dsa/wq0.0", "wqs": [{}] }],
	  "spaces": [{ "id": "w", "offset": "32M", "size": "16M" }],
	  "pasids": [{ "guest": "none", "adi": "dsa0", "wq": 1, "space": "w" }] }
EOF
run "$adit" check "$work/queues.json"
ok "check of several kinds of queues gives status 0" is "$status" 0
ok "it shows a shared queue and its threshold" has "$work/out" 'wq 0: shared, 8 entries (6 for limited portals), group 0; without a PASID: refused'
ok "it shows where a default binding leads" has "$work/out" 'wq 1: dedicated, 16 entries, group 1; without a PASID: w'
ok "it shows the binding" has "$work/out" '^dsa0  *none  *1  *any  *w'
ok "it shows a host work queue, which never sees all memory" has "$work/out" '^adi dsa1: dsa, back end idxd, .*iommu-pasid'
run "$adit" check "$work/queues.json" --json
ok "check --json shows the queues" python3 -c '
import json, sys
plan = json.load(open(sys.argv[1]))
assert plan["adis"][0]["wqs"][0] == {"mode": "shared", "size": 8, "threshold": 6, "group": 0, "without_pasid": "refused"}
assert plan["adis"][0]["wqs"][1]["without_pasid"] == "w"
assert plan["adis"][1]["wqs"][0]["without_pasid"] == "refused" and plan["adis"][1]["node"] == "/dev/dsa/wq0.0"
assert plan["pasids"] == [{"adi": "dsa0", "guest": "none", "wq": 1, "host": "any", "space": "w"}], plan["pasids"]
' "$work/out"

printf '{"payload": {"flat": "x"}, "pasids": [{"guest": 5, "adi": "dsa1"}]}' >"$work/bad.json"
run "$adit" check "$work/bad.json"
ok "a PASID for an ADI that is not there gives status 2" is "$status" 2
ok "its pointer is named" has "$work/err" '/pasids/0/adi'
cat >"$work/device.json" <<END
{"payload": {"flat": "$build/guest/hello.bin"}, "devices": [
	{"id": "nic", "path": "ffff:ff:1f.7", "managed": true},
	{"id": "port", "mdev": {"type": "no-such-type", "parent": "no-such-parent"}}]}
END
run "$adit" check "$work/device.json"
ok "devices that are not there give status 1" is "$status" 1
ok "each is named with its reason" has "$work/err" 'nic: there is no PCI function ffff:ff:1f.7'
ok "so is an mdev that cannot be made" has "$work/err" 'port: .*parent no-such-parent has no type no-such-type'
ok "the plan is printed all the same" has "$work/out" '^device nic: '
ok "its coherency is said to be predicted" has "$work/out" '^coherency: .*predicted'
ok "the budget says what is allowed" has "$work/out" '^locked memory: [0-9]* bytes, allowed '
run "$adit" check "$work/device.json" --json
ok "check --json has devices, groups, budget and problems" python3 -c '
import json, sys
plan = json.load(open(sys.argv[1]))
assert [d["id"] for d in plan["devices"]] == ["nic", "port"]
assert len(plan["problems"]) >= 2 and plan["groups"] == []
assert plan["peer_to_peer"]["state"] == "off" and plan["peer_to_peer"]["why"]
budget = plan["budget"]
assert {"locked_memory", "allowed", "huge_page_percent", "map_ms", "why"} == set(budget)
# Neither is there: nothing is pinned.
assert (budget["locked_memory"], budget["huge_page_percent"], budget["map_ms"]) == (0, 0, 0), budget
assert budget["why"] == "an mdev\047s driver pins what it works on", budget
assert budget["allowed"] == "unlimited" or budget["allowed"] > 0
' "$work/out"
# shellcheck disable=SC2012 # names of functions
function=$(ls /sys/bus/pci/devices 2>/dev/null | head -n 1)
if [ "$function" ]; then
	cat >"$work/function.json" <<-END
		{"payload": {"flat": "$build/guest/hello.bin"}, "memory": {"size": "256M", "hotplug_size": "2G", "hotplugged_size": "512M"},
		 "devices": [{"id": "nic", "path": "$function"}]}
	END
	run "$adit" check "$work/function.json" --json
	ok "what is locked is guest memory with what is plugged at first, and nothing else" python3 -c '
import json, sys
budget = json.load(open(sys.argv[1]))["budget"]
assert budget["locked_memory"] == (256 + 512) << 20, budget
assert budget["huge_page_percent"] == 0, budget
' "$work/out"
else
	skip "what is locked is guest memory and nothing else" "no PCI function here"
fi

run "$adit" check
ok "no configuration gives status 2" is "$status" 2

run "$adit" doctor
if [ -w /dev/kvm ]; then
	ok "doctor gives status 0 where VMs can run" is "$status" 0
	ok "doctor names capabilities and their use" has "$work/out" '^ok .*KVM_CAP_SPLIT_IRQCHIP .*I/O APIC'
else
	ok "doctor gives status 1 where they cannot" is "$status" 1
fi
ok "doctor names each provider of I/O address spaces" sh -c '
	for p in iommufd type1 soft; do grep -q "provider $p " "$1" || exit 1; done' - "$work/out"
ok "doctor says what mends a provider that does not answer" sh -c '
	! grep "^note .*provider" "$1" | grep -v "load\|handed over\|use provider"' - "$work/out"
run "$adit" doctor --json
ok "doctor --json is a list of findings" python3 -c '
import json, sys
items = json.load(open(sys.argv[1]))
assert all(set(i) == {"name", "verdict", "text"} for i in items)
assert any(i["name"] == "/dev/kvm" for i in items)
' "$work/out"
run "$adit" doctor --clean --run-dir "$work/nothing"
ok "doctor --clean finds nothing where nothing is" is "$status" 0
printf 'rubbish\n' >"$work/keeper-1-1.journal"
chmod 700 "$work" && run "$adit" doctor --clean --run-dir "$work"
ok "doctor --clean says which journal it does not believe" has "$work/out" 'keeper-1-1.journal: is damaged'
ok "that is status 1" is "$status" 1
run "$adit" doctor --bad --json
ok "doctor refuses an unknown option with status 2" is "$status" 2
done_testing
