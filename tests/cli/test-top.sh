#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# adit ctl SOCKET top, and the counters that it shows: of a guest that keeps its disk busy.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

run "$adit" ctl "$work/api" top -n
ok "a count that is missing gives status 2" is "$status" 2
run "$adit" ctl "$work/api" top -n 0
ok "so does none" is "$status" 2
run "$adit" ctl "$work/api" top -n 1
ok "where nobody serves it ends with status 1" is "$status" 1
ok "and says so" has "$work/err" 'top: .*No such file'
# Who serves the socket may be anybody: rogue BODY answers every request with it, until it is killed.
rogue() {
	rm -f "$work/rogue"
	python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1] + ".new")
s.listen()
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    c, _ = s.accept()
    c.recv(4096)
    c.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + sys.argv[2].encode())
    c.close()
' "$work/rogue" "$1" 2>/dev/null &
	server=$!
	until [ -S "$work/rogue" ]; do :; done
	run "$adit" ctl "$work/rogue" top -n 1
	kill "$server"
	wait "$server" 2>/dev/null
}
rogue '["\u001b"]'
ok "an answer of another kind ends it with status 1" is "$status" 1
rogue '{"state": "\u001b[31m", "\u001b[31m": {"doorbells": "\u001b"}, "entries": 5, "a": {"entries": {}},
	"b": {"entries": [1, {"guest": {}, "space": "\u001b"}]}}'
ok "what it says is shown" is "$status" 0
ok "but not to the terminal's harm" sh -c '! grep -q "$(printf "\033")" "$1"' -- "$work/out"
need_kvm

# Four reads of 4 KiB under way, for longer than this test takes; it is stopped.
truncate -s 16M "$work/disk"
words="rowa=$((4 << 32 | 4096)) sizea=16777216 cyclesa=1000000000000"
config diskload "\"memory\": {\"size\": \"128M\"}, \"disks\": [{\"path\": \"$work/disk\"}], \"rng\": {},
	\"serial\": {\"mode\": \"File\", \"file\": \"$work/serial\"},
	\"spaces\": [{\"id\": \"window\", \"offset\": \"8M\", \"size\": \"8M\"}],
	\"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", \"pasid\": {\"allow\": true}, \"wqs\": [{\"size\": 16}]}],
	\"pasids\": [{\"adi\": \"dsa0\", \"guest\": 5, \"space\": \"window\"}]" >/dev/null
: >"$work/serial"
"$adit" run "$work/diskload.json" --api-socket "$work/api" >"$work/log" 2>&1 </dev/null &
pid=$!
until_says "$work/serial" 'begin a'
run "$adit" ctl "$work/api" top -n 2
ok "two tables are shown" is "$status $(grep -c "^$work/api: Running, memory 128.0M" "$work/out")" '0 2'
ok "not for a terminal" sh -c '! grep -q "$(printf "\033")" "$1"' -- "$work/out"
for section in exits loop virtio space adi pasid; do
	ok "each has $section" is "$(grep -c "^$section .*\/s" "$work/out")" 2
done
# column N NAME: of the row of that name, in the last table.
column() { awk -v name="$2" -v n="$1" '$1 == name { v = $n } END { print v }' "$work/out"; }
ok "doorbells of the busy disk are counted" [ "$(column 2 disk0)" -gt 0 ]
ok "so are its buffers" [ "$(column 4 disk0)" -gt 0 ]
ok "and what it wrote to the guest, in bytes" has "$work/out" '^disk0 .*[0-9][KMG] '
ok "a device that rests has none" is "$(column 2 rng)" 0
ok "the loop's turns are counted" [ "$(awk '/^loop  *[0-9]/ { print $2 }' "$work/out" | tail -1)" -gt 0 ]
ok "a binding that nobody uses has no descriptors" is "$(column 4 dsa0:5)" 0
"$adit" ctl "$work/api" counters >"$work/counters"
ok "what is shown is what vm.counters has" python3 -c '
import json, sys
c = json.load(open(sys.argv[1]))
d = c["disk0"]
assert d["doorbells"] and d["buffers"] and d["written_bytes"] > d["read_bytes"], d
assert 0 <= d["in_flight"] <= 4, d
assert c["loop"]["turns"] and c["loop"]["busy_ns"] >= c["loop"]["longest_ns"] > 0, c["loop"]
for name in "soft:guest", "soft:window":
    s = c[name]
    assert s["maps"] == 1 and s["map_ns"] == s["map_longest_ns"] > 0 and not s["unmaps"], s
assert c["soft:guest"]["map_bytes"] == 128 << 20 and c["soft:window"]["map_bytes"] == 8 << 20, c
assert c["vcpus"]["exits_mmio"] and not c["rng"]["buffers"], c
' "$work/counters"
"$adit" ctl "$work/api" metrics >"$work/metrics"
for name in 'virtio_written_bytes_total{id="disk0"} [1-9]' 'virtio_in_flight{id="disk0"} ' \
	'space_maps_total{id="window",provider="soft"} 1' 'space_map_bytes_total{id="guest",provider="soft"} 134217728' \
	'space_map_ns_total{id="guest",provider="soft"} [1-9]' \
	'loop_turns_total [1-9]' 'adi_queued{id="dsa0"} 0' 'pasid_descriptors_total{id="dsa0",pasid="5"} 0'; do
	ok "/metrics has adit_$name" has "$work/metrics" "^adit_$name"
done
"$adit" ctl "$work/api" top >"$work/out" 2>"$work/err" </dev/null &
viewer=$!
until_says "$work/out" 'virtio '
"$adit" ctl "$work/api" pause
"$adit" ctl "$work/api" vmm.shutdown
wait "$pid"
wait "$viewer"
ok "a view ends with the VM it shows, well" is "$?" 0
done_testing
