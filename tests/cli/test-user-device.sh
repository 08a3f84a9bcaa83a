#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# adit as a client of adit adi-serve: the example's guest on a served DSA, with memory given away
# and by messages, and servers that are not there or go away.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
need_kvm

# The example cut in two: the machine, and what is served to it.
cut() { # cut SHARE
	python3 - "$build" "$work" "$1" <<'END'
import json, sys
build, work, share = sys.argv[1:]
vm = json.load(open("config.example.json"))
vm["payload"]["flat"] = build + "/guest/demo.bin"
vm["payload"]["cmdline"] = "wait_ms=30000" # for what must come: messages take their time
served = {key: vm.pop(key) for key in ("adis", "spaces", "pasids")}
vm["devices"] = [{"id": "served", "socket": work + "/socket", "share": share}]
json.dump(vm, open(work + "/vm.json", "w"))
json.dump(served, open(work + "/served.json", "w"))
END
}
server=
trap 'kill -KILL $server 2>/dev/null; rm -rf "$work"' EXIT
serve() {
	"$adit" adi-serve "$work/socket" "$work/served.json" >"$work/served" 2>"$work/served.err" &
	server=$!
	until_says "$work/served" ready
}
end_server() { # end_server SIGNAL; keeps $status
	kill -"$1" "$server"
	wait "$server"
	status=$?
}

for share in memory messages; do
	cut $share
	ok "a server listens ($share)" serve
	run "$adit" run "$work/vm.json"
	ok "the example ends with status 0 ($share)" is "$status" 0
	ok "the guest finds the ADI ($share)" has "$work/out" '8086:0b25'
	ok "memory is moved under the PASID ($share)" has "$work/out" '^ok demo_memmove_in_window'
	ok "outside of its window it faults ($share)" has "$work/out" '^ok demo_write_outside_faults'
	ok "the unbound PASID reaches nothing ($share)" has "$work/out" '^ok demo_unbound_reaches_nothing'
	ok "no check failed ($share)" sh -c '! grep -q "^not ok" "$1"' -- "$work/out"
	ok "how memory is shared is logged ($share)" has "$work/err" 'guest memory shared'
	case $(basename "$build") in
	*address* | *thread*) skip "filters of the server ($share)" "a build with a sanitizer has none" ;;
	*)
		ok "each thread of the server has its filter ($share)" is \
			"$(cat /proc/"$server"/task/*/status | grep -c '^Seccomp:.2')" \
			"$(find /proc/"$server"/task -mindepth 1 -maxdepth 1 | wc -l)"
		;;
	esac
	run "$adit" run "$work/vm.json"
	ok "the next machine finds the same ($share)" has "$work/out" '^adit demo: all checks passed'
	end_server TERM
	ok "a signal ends the server with status 0 ($share)" is "$status" 0
	ok "its socket is gone ($share)" test ! -e "$work/socket"
done

run "$adit" run "$work/vm.json"
ok "without a server the machine does not start" is "$status" 1
ok "which is said with the device's name" has "$work/err" 'served: cannot connect to'

# A server that dies under a running guest: it spins on, and ends when it is told to.
cut memory
serve
sed "s|demo.bin|spin.bin|" "$work/vm.json" >"$work/spin.json"
"$adit" run "$work/spin.json" >"$work/out" 2>"$work/err" &
machine=$!
until_says "$work/err" 'guest memory shared'
end_server KILL
ok "a server that dies is a removed device" until_says "$work/err" 'its server is gone'
ok "and the machine goes on" kill -0 "$machine"
kill -TERM "$machine"
kill -TERM "$machine"
wait "$machine"
ok "until it is told to end" is "$?" 1

# Two machines at once, each with an ADI of its own, whose work one function does for both.
python3 - "$work" <<'END'
import copy, json, sys
work = sys.argv[1]
served = json.load(open(work + "/served.json"))
served["function"] = {"queues": 3, "engines": 2}
for key, name in (("adis", "id"), ("pasids", "adi")):
    for entry in list(served[key]):
        entry = copy.deepcopy(entry)
        entry[name] = "dsa1"
        served[key].append(entry)
json.dump(served, open(work + "/two.json", "w"))
served["function"]["queues"] = 1
json.dump(served, open(work + "/few.json", "w"))
served["function"] = {"type": "vfio"}
json.dump(served, open(work + "/nowhere.json", "w"))
served["function"]["path"] = work + "/no-such-node"
json.dump(served, open(work + "/absent.json", "w"))
served["pasids"].pop()
json.dump(served, open(work + "/unbound.json", "w"))
vm = json.load(open(work + "/vm.json"))
for n in ("0", "1"):
    vm["devices"][0]["socket"] = work + "/socket" + n
    json.dump(vm, open(work + "/vm" + n + ".json", "w"))
END
"$adit" adi-serve "$work/socket0" "$work/socket1" "$work/two.json" >"$work/served" 2>"$work/served.err" &
server=$!
ok "a function for two machines is served" until_says "$work/served" ready
"$adit" run "$work/vm0.json" >"$work/out0" 2>"$work/err0" &
other=$!
run "$adit" run "$work/vm1.json"
wait "$other"
ok "one machine ends with status 0" is "$?" 0
ok "and so does the other" is "$status" 0
ok "one guest's checks pass" has "$work/out0" '^adit demo: all checks passed'
ok "and so do the other's" has "$work/out" '^adit demo: all checks passed'
ok "each had an ADI of its own" has "$work/served.err" 'dsa1: client left'
case $(basename "$build") in
*address* | *thread*) skip "filters of its threads" "a build with a sanitizer has none" ;;
*)
	ok "each of its threads has a filter" is \
		"$(cat /proc/"$server"/task/*/status | grep -c '^Seccomp:.2')" \
		"$(cat /proc/"$server"/task/*/comm | grep -c .)"
	ok "these are two at rest, two of sockets, two of tenants, the owner's, and the function's and the ADIs' engines" is \
		"$(cat /proc/"$server"/task/*/comm | sort | uniq -c | awk '{ printf "%s %s, ", $2, $1 }')" \
		'adit 2, dsa-engine 4, dsa-owner 1, dsa-tenant 2, seat 2, '
	;;
esac
# One is killed; the other machine does not notice.
sed "s|demo.bin|spin.bin|" "$work/vm0.json" >"$work/spin.json"
"$adit" run "$work/spin.json" >"$work/out0" 2>"$work/err0" &
other=$!
until_says "$work/err0" 'guest memory shared'
kill -KILL "$other"
wait "$other"
run "$adit" run "$work/vm1.json"
ok "a machine that is killed does not hurt the other" has "$work/out" '^adit demo: all checks passed'
end_server TERM
ok "a signal ends the server of two with status 0" is "$status" 0
ok "no thread left its filter" sh -c '! grep "sandbox: " "$1"' -- "$work/served.err"
ok "both sockets are gone" sh -c 'test ! -e "$1/socket0" && test ! -e "$1/socket1"' -- "$work"
# The page's own example.
sed -n "/^echo .*\"b\"/,/>two.json/p" docs/vfio-user.md | sed '$s/>two.json//; 1s/^echo //' >"$work/page"
(echo "cat <<'END'" && tr -d "'" <"$work/page" && echo END) | sh >"$work/page.json"
"$adit" adi-serve "$work/socket0" "$work/socket1" "$work/page.json" >"$work/served" 2>"$work/served.err" &
server=$!
ok "the page's two ADIs are served" until_says "$work/served" ready
end_server TERM
run "$adit" adi-serve "$work/socket0" "$work/two.json"
ok "a socket too few is refused with status 2" is "$status" 2
ok "and the numbers are named" has "$work/err" 'has 2 entries, and there are 1 sockets'
run "$adit" adi-serve "$work/socket0" "$work/socket1" "$work/few.json"
ok "more bindings than queues are refused with status 2" is "$status" 2
run "$adit" adi-serve "$work/socket0" "$work/socket1" "$work/unbound.json"
ok "an ADI that nothing is bound to is refused with status 2" is "$status" 2
ok "and it is named" has "$work/err" 'no entry for "dsa1"'
run "$adit" adi-serve "$work/socket0" "$work/socket1" "$work/nowhere.json"
ok "a host's function without its node is refused with status 2" is "$status" 2
run "$adit" adi-serve "$work/socket0" "$work/socket1" "$work/absent.json"
ok "one that cannot be opened is refused with status 1" is "$status" 1

# What cannot be served, or be a device.
sed 's/"id": "dsa0"/"id": "dsa0", "event_log": true/' "$work/served.json" >"$work/bad.json"
run "$adit" adi-serve "$work/socket" "$work/bad.json"
ok "an event log is refused with status 2" is "$status" 2
ok "its pointer is named" has "$work/err" '/adis/0/event_log'
printf '{"adis": []}' >"$work/bad.json"
run "$adit" adi-serve "$work/socket" "$work/bad.json"
ok "no ADI is refused with status 2" is "$status" 2
printf '{"payload": {"flat": "x"}, "devices": [{"socket": "a", "managed": true}]}' >"$work/bad.json"
run "$adit" run "$work/bad.json"
ok "a socket with a host device's key is refused with status 2" is "$status" 2
ok "its pointer is named as well" has "$work/err" '/devices/0/socket'
done_testing
