#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What adit bench writes and how it ends; whether its figures are good is for `make bench`.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

here=$(dirname "$0")
bench=$build/adit-bench
schema=$here/../../docs/bench.schema.json

# until_busy PID WHO: until it has used 100 ms of CPU time, while WHO is there.
until_busy() {
	while kill -0 "$2" 2>/dev/null; do
		# shellcheck disable=SC2046
		set -- "$1" "$2" $(cut -d ' ' -f 14,15 "/proc/$1/stat")
		[ "$(($3 + $4))" -lt 10 ] || return 0
		sleep 0.05
	done
}

# --- a floor that is itself: 20 runs, 99 % intervals ----------------------------------------------

files=
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	run "$adit" bench noise --rounds 12 --json "$work/noise-$i.json" --svg "$work/noise.svg"
	[ "$status" = 0 ] || break
	files="$files $work/noise-$i.json"
done
ok "adit bench noise runs 20 times" is "$i$status" 200
# Of 80 intervals that hold the truth 99 times of 100, six miss it once in some thousand tests.
# shellcheck disable=SC2086
misses=$("$here/bench-json.py" misses $files)
echo "# intervals without 1: $misses"
ok "equal parties are 1.00 within the interval" [ "${misses%% of 80}" -le 5 ]

# The same on work of a bench's own: a job that takes no time, in which one party does what both would.
echo '{"jobs": [{"name": "four", "bs": "4k", "iodepth_batch": 16, "iodepth": 2, "io_size": "64k", "size": "256k"}]}' \
	>"$work/small.json"
if [ -w /dev/kvm ]; then
	selves=
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		run "$bench" copy --job "$work/small.json" --floor-is-self --rounds 12 --json "$work/self-$i.json"
		[ "$status" = 0 ] || break
		selves="$selves $work/self-$i.json"
	done
	ok "copy with a floor that is itself runs 20 times" is "$i$status" 200
	# Of 60 intervals six miss once in some thousand tests.
	# shellcheck disable=SC2086
	misses=$("$here/bench-json.py" misses $selves)
	echo "# intervals without 1: $misses"
	ok "its ratios are 1.00 within the interval" [ "${misses%% of 60}" -le 5 ]
else
	skip "copy with a floor that is itself" "no /dev/kvm"
fi

# --- JSON -----------------------------------------------------------------------------------------

ok "its JSON is what the schema says" \
	"$here/bench-json.py" schema "$schema" "$work/noise-1.json"
ok "its JSON survives being read and written" "$here/bench-json.py" again "$work/noise-1.json"
run "$bench" noise --rounds 2 --cpus 0 --seed 7 --json "$work/pinned.json"
ok "the command line is in it as it was typed" is "$("$here/bench-json.py" value "$work/pinned.json" /run/argv)" \
	"[\"$bench\", \"noise\", \"--rounds\", \"2\", \"--cpus\", \"0\", \"--seed\", \"7\", \"--json\", \"$work/pinned.json\"]"
ok "and so are the rounds that were held, with those not kept" is \
	"$("$here/bench-json.py" value "$work/pinned.json" /run/contests)" \
	'[{"bench": "noise", "name": "noise", "parties": ["one", "the other"], "left": [], "warm_up": 2, "rounds": 2}]'
ok "--cpus is where it ran" \
	is "$("$here/bench-json.py" value "$work/pinned.json" /host/cpus_allowed)" '"0"'
ok "a seed is printed" has "$work/out" "--seed 7$"
ok "too few rounds for an interval are said to be" has "$work/out" "fewer than 8 rounds"

# --- plots ----------------------------------------------------------------------------------------

# drawn FILE.svg: rendered, most of it white, some of it not, in several colours.
# shellcheck disable=SC2317
drawn() {
	rsvg-convert -w 400 -o "$work/plot.png" "$1" || return 1
	# shellcheck disable=SC2046
	set -- $("$here/png-colours.py" "$work/plot.png")
	echo "# $1 pixels, $2 white, $3 other colours"
	[ "$2" -gt "$(($1 / 2))" ] && [ "$2" -lt "$(($1 * 99 / 100))" ] && [ "$3" -ge 10 ]
}
if command -v rsvg-convert >/dev/null; then
	ok "the plot of ratios shows something" drawn "$work/noise.svg"
	if [ -w /dev/kvm ]; then
		run "$bench" copy --rounds 1 --warm-up 0 --svg "$work/copy.svg"
		ok "copy's curves by size are drawn" is "$status$(grep -c '<polyline' "$work/copy.svg")" 03
		ok "and show something" drawn "$work/copy.svg"
	else
		skip "the curves of copy" "no /dev/kvm"
	fi
else
	skip "plots" "no rsvg-convert (librsvg2-bin)"
fi

# --- compare ---------------------------------------------------------------------------------------

# How much the machine had to do meanwhile is nothing that a test may depend on.
"$here/bench-json.py" calm "$work/noise-1.json" >"$work/calm.json"
"$here/bench-json.py" times 1.5 "$work/calm.json" >"$work/slow.json"
"$here/bench-json.py" times 1.01 "$work/calm.json" >"$work/near.json"
run "$adit" bench compare "$work/calm.json" "$work/calm.json"
ok "a run compared with itself changed nothing" is "$status" 0
run "$bench" compare "$work/calm.json" "$work/slow.json"
ok "a row that takes half as long again is worse" is "$status" 1
ok "and is named" has "$work/out" "^noise: multiplication and addition / the other .*WORSE"
ok "and is the only one" has "$work/out" "^0 better, 1 worse, 3 the same"
run "$bench" compare "$work/slow.json" "$work/calm.json"
ok "the other way it is better" is "$status" 3
run "$bench" compare "$work/calm.json" "$work/slow.json" --threshold 60
ok "below the threshold it is neither" is "$status" 0
run "$bench" compare "$work/calm.json" "$work/near.json"
ok "1 % is below the threshold that is there by itself" is "$status" 0
"$here/bench-json.py" without "$work/calm.json" "system call" >"$work/less.json"
run "$bench" compare "$work/calm.json" "$work/less.json"
ok "a row that is gone is a change" is "$status" 4
ok "and is named" has "$work/out" "^noise: system call / the other: in the first file only"
run "$bench" compare "$work/less.json" "$work/calm.json"
ok "a row that is new is none" is "$status" 0
ok "and is named too" has "$work/out" "^noise: system call / the other: in the second file only"
run "$bench" compare "$work/slow.json" "$work/less.json"
ok "a row that is gone hides none that is better" has "$work/out" "^1 better, 0 worse, 2 the same .* 1 gone, 0 new"

# set FILE POINTER VALUE...: in place.
set_there() {
	file=$1
	shift
	while [ $# -gt 0 ]; do
		"$here/bench-json.py" set "$file" "$1" "$2" >"$work/set.json" && mv "$work/set.json" "$file" || return
		shift 2
	done
}
cp "$work/calm.json" "$work/other.json"
set_there "$work/other.json" /run/brief true /run/direct true /run/adit '"0.0.1"' /host/iommu '["dmar0"]' /host/load '"9"' \
	/host/kernel_options '["iommu.strict=0"]' /host/huge_pages '{"2048 KiB": {"total": 7, "free": 1}}'
run "$bench" compare "$work/calm.json" "$work/other.json"
ok "runs that are not alike are compared" is "$status" 0
for line in 'run: brief differs: false and true' 'run: direct differs: false and true' 'run: adit differs: ".*" and "0.0.1"' \
	'host: iommu differs: .* and \["dmar0"\]' 'host: kernel_options differs: .* and \["iommu.strict=0"\]' \
	'host: huge_pages differs: .* and {"2048 KiB":{"total":7}}'; do
	ok "with ${line%% differs*} that differs" has "$work/out" "^note: $line"
done
ok "but not what is another every time" is "$(grep -c 'load\|seed\|started' "$work/out")" 0
set_there "$work/calm.json" /results/0/job '"a"' /run/jobs '[{"bench": "noise", "name": "a", "bs": 4096}]'
cp "$work/calm.json" "$work/other.json"
set_there "$work/other.json" /run/jobs '[{"bench": "noise", "name": "a", "bs": 8192}]'
run "$bench" compare "$work/calm.json" "$work/calm.json"
ok "rows of one job are compared" is "$status" 0
run "$bench" compare "$work/calm.json" "$work/other.json"
ok "those whose job asks for something else are not" is "$status" 4
ok "and are named" has "$work/out" "^noise: multiplication and addition / the other: of another job: not compared"
ok "as is the job" has "$work/out" '^note: noise: job: a differs: .*"bs":4096.* and .*"bs":8192'

# 10 pairs of runs of the same: all rows of a pair together are wrong 1 time of 100, so three pairs are once in some thousand tests.
wrong=0
for i in 1 3 5 7 9 11 13 15 17 19; do
	run "$bench" compare "$work/noise-$i.json" "$work/noise-$((i + 1)).json"
	[ "$status" = 0 ] || wrong=$((wrong + 1))
done
echo "# pairs said to differ: $wrong of 10"
ok "runs of the same are the same" [ "$wrong" -le 2 ]

run "$bench" compare "$work/pinned.json" "$work/pinned.json"
ok "runs of two rounds cannot be compared" is "$status" 2
echo '{"format": 3, "run": 4, "host": [], "results": [3, {"name": 4, "adit_spread": {"samples": "x"}}]}' >"$work/odd.json"
run "$bench" compare "$work/odd.json" "$work/noise-1.json"
ok "rows that are none are passed over" is "$status" 2
echo '{"format": 1, "results": []}' >"$work/odd.json"
run "$bench" compare "$work/noise-1.json" "$work/odd.json"
ok "another format is refused" has "$work/err" "not what adit bench --json writes in format 3"

# --- jobs ------------------------------------------------------------------------------------------

echo '{"jobs": [{"name": "a", "numjob": 3}]}' >"$work/job.json"
run "$bench" io --job "$work/job.json"
ok "a job's unknown key is refused" is "$status" 1
ok "by its JSON pointer" has "$work/err" "job.json: /jobs/0/numjob: unknown key; this bench knows rw, bs"
run "$bench" noise --job "$work/job.json"
ok "a bench without jobs says so" has "$work/err" "adit bench noise: it takes no --job"
if [ -w /dev/kvm ]; then
	cat >"$work/job.json" <<-'EOF'
		{"global": {"runtime": 0.01, "size": "1m"},
		 "jobs": [{"name": "in order", "rw": "read", "bs": "64k", "iodepth": 4},
		          {"name": "mixed", "rw": "randrw", "rwmixread": 70, "iodepth": 16}]}
	EOF
	run "$bench" io --job "$work/job.json" --rounds 2 --warm-up 0 --json "$work/io.json"
	ok "jobs are measured" is "$status" 0
	ok "and are rows of their names" has "$work/out" '^mixed  .* io_uring '
	if command -v qemu-system-x86_64 >/dev/null; then
		ok "beside QEMU's microvm" has "$work/out" '^mixed  .* qemu-microvm  *[0-9.]* .* >= 1 '
	else
		ok "without QEMU it says so" has "$work/out" 'no turn for qemu-microvm: there is no qemu-system-x86_64'
	fi
	ok "by the schema" "$here/bench-json.py" schema "$schema" "$work/io.json"
	ok "with what was asked for" is "$("$here/bench-json.py" value "$work/io.json" /run/jobs/1)" \
		'{"name": "mixed", "rw": "randrw", "bs": 4096, "iodepth": 16, "runtime": 0.01, "size": 1048576, "rwmixread": 70, "direct": false, "bench": "io"}'
	ok "and whose rows are whose" is "$("$here/bench-json.py" value "$work/io.json" /results/0/job)" '"in order"'
	# Alone, for what a QEMU takes to start is not in this.
	cat >"$work/long.json" <<-'EOF'
		{"global": {"runtime": 0.5}, "jobs": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}
	EOF
	mkdir "$work/empty"
	run env PATH="$work/empty" "$bench" io --job "$work/long.json" --rounds 1 --warm-up 0 --patience 1
	ok "what jobs ask for comes on top of the patience" is "$status" 0
	if [ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] && unshare -n true 2>/dev/null; then
		run "$bench" io --rounds 1 --warm-up 0 --json "$work/io.json"
		ok "a disk and a network interface are measured" is "$status" 0
		ok "with rows by the schema" "$here/bench-json.py" schema "$schema" "$work/io.json"
		ok "frames go out and come in beside the tap" is \
			"$(grep -c '^\(send\|receive\) .* tap ' "$work/out")" 10
		if [ -c /dev/vhost-net ]; then
			ok "and by vhost-net" is "$(grep -c '^vhost: .* without vhost ' "$work/out")" 10
		else
			ok "what keeps vhost-net out is said" has "$work/out" '^note: net: not by vhost-net: /dev/vhost-net: '
		fi
	else
		skip "a network interface that is measured" "needs root, /dev/net/tun and a namespace"
	fi
	echo '{"jobs": [{"name": "four", "bs": "4k", "iodepth_batch": 16, "iodepth": 2, "io_size": "64k"}]}' >"$work/job.json"
	run "$bench" copy --job "$work/job.json" --rounds 1
	ok "copy takes jobs" has "$work/out" "^engine: four "
	echo '{"jobs": [{"name": "deep", "iodepth_batch": 16, "iodepth": 5}]}' >"$work/job.json"
	run "$bench" copy --job "$work/job.json"
	ok "more than there is room for is refused" has "$work/err" "/jobs/0/iodepth: 5 is more than the 4 batches"
	run "$bench" fault --rounds 2 --json "$work/fault.json"
	ok "binding is measured under load, with its tail" is "$(grep -c '^PASID: bind under load\(: p99\)\? *[0-9].* idle ' "$work/out")" 2
	ok "faults are measured" "$here/bench-json.py" schema "$schema" "$work/fault.json"
	run "$bench" fleet --vms 4 --rounds 1 --warm-up 0 --json "$work/fleet.json"
	ok "four VMs at once are started, verified and stopped" is "$status" 0
	ok "with rows by the schema" "$here/bench-json.py" schema "$schema" "$work/fleet.json"
else
	skip "jobs that are run" "no /dev/kvm"
fi
if [ -w /dev/kvm ]; then
	cat >"$work/job.json" <<-'EOF'
		{"global": {"runtime": 0.01, "bs": "4k"},
		 "jobs": [{"name": "alone", "iodepth": 8}, {"name": "batches", "iodepth_batch": 8, "iodepth": 2},
		          {"name": "both ways", "rw": "randrw", "bs": 1000}]}
	EOF
	run "$bench" dma --job "$work/job.json" --rounds 1 --warm-up 0 --json "$work/dma.json"
	ok "without a device dma drives a function of adit's own" is "$status" 0
	ok "and proves its data by schema" "$here/bench-json.py" schema "$schema" "$work/dma.json"
	ok "alone, in batches and both ways, beside memcpy" is \
		"$(grep -c '^vfio-user, 4K pages: [a-z ]* *[0-9].* memcpy ' "$work/out")" 3
	ok "with how many operations latencies are of, in a guest too" is \
		"$(grep -c '^vfio-user, \(4K pages\|guest\): [a-z ]*: operations *[0-9].* ops ' "$work/out")" 6
	ok "and the longest" is "$(grep -c '^vfio-user, \(4K pages\|guest\): [a-z ]*: max *[0-9].* us ' "$work/out")" 6
	ok "and that a tail of few is none" has "$work/out" '^vfio-user, .*: p99, of few operations '
	ok "and in a guest, beside the host" is "$(grep -c '^vfio-user, guest: [a-z ]* *[0-9].* the host ' "$work/out")" 3
	echo '{"jobs": [{"name": "queues", "numjobs": 4, "iodepth": 2, "runtime": 0.01, "ramp_time": 0.01}]}' >"$work/queues.json"
	run "$bench" dma --job "$work/queues.json" --rounds 1 --warm-up 0
	ok "by several queues, here and in a guest" is "$(grep -c '^vfio-user, .*: queues *[0-9]' "$work/out")" 2
	echo '{"jobs": [{"name": "both", "numjobs": 2, "pasids": 2}]}' >"$work/both.json"
	run "$bench" dma --job "$work/both.json"
	ok "which PASIDs have already" has "$work/err" "/jobs/0/numjobs: each of the 2 PASIDs has a queue already"
	echo '{"jobs": [{"name": "many", "numjobs": 16, "iodepth": 5}]}' >"$work/both.json"
	run "$bench" dma --job "$work/both.json"
	ok "more under way in all than there are lanes is refused" has "$work/err" "depth 5 of 16 queues is more than the 64 in all"
	echo '{"jobs": [{"name": "spread", "pasids": 16, "pasid_run": 4, "iodepth": 4, "runtime": 0.01}]}' >"$work/pasids.json"
	run "$bench" dma --job "$work/pasids.json" --rounds 1 --warm-up 0
	ok "under PASIDs, beside queues without, here and in a guest" is \
		"$(grep -c '^\(vfio-user\|guest\), PASIDs: spread *[0-9].* no PASIDs ' "$work/out")" 2
	# A QEMU that says a word and never ends; one that has no such device; one whose guest gets wrong data.
	mkdir "$work/hung" "$work/old" "$work/wrong"
	help='case "$*" in *vfio-user-pci,help*) echo "vfio-user-pci options:"; exit;; esac'
	printf '#!/bin/sh\n%s\necho begin\nexec sleep 1000\n' "$help" >"$work/hung/qemu-system-x86_64"
	printf '#!/bin/sh\n' >"$work/old/qemu-system-x86_64"
	printf '#!/bin/sh\n%s\necho "not ok rowa: what arrived"\nexit 3\n' "$help" >"$work/wrong/qemu-system-x86_64"
	chmod +x "$work"/*/qemu-system-x86_64
	echo '{"jobs": [{"name": "short", "runtime": 0.01}]}' >"$work/short.json"
	run env PATH="$work/hung:$PATH" "$bench" dma --job "$work/short.json" --rounds 1 --warm-up 0 --patience 8 \
		--json "$work/hung.json"
	ok "a QEMU that hangs is a failure" is "$status" 1
	ok "which says what it was at" has "$work/out" \
		'^FAILED: vfio-user, guest, .*, qemu-microvm: it was ended, since .* within 8 s .* said last: begin'
	ok "and leaves the other rows" is "$(grep -c '^vfio-user, .*: short *[0-9]' "$work/out")" 2
	run env PATH="$work/old:$PATH" "$bench" dma --job "$work/short.json" --rounds 1 --warm-up 0
	ok "a QEMU without the device model is no failure" is "$status" 0
	ok "and a note says what it lacks" has "$work/out" '^note: .*no turn for qemu-microvm: this qemu-system-x86_64 has no vfio-user-pci'
	run env PATH="$work/wrong:$PATH" "$bench" dma --job "$work/short.json" --rounds 1 --warm-up 0
	ok "a QEMU whose guest fails is one" is "$status" 1
	ok "which says what the guest said" has "$work/out" \
		'^FAILED: vfio-user, guest, .*, qemu-microvm: the guest ended with status 0x300 .*: not ok rowa: what arrived'
	ok "and leaves the other rows too" is "$(grep -c '^vfio-user, .*: short *[0-9]' "$work/out")" 2
	ok "with failures by the schema" "$here/bench-json.py" schema "$schema" "$work/hung.json"
	# A build directory whose adit serves as it should, and whose guests hang.
	mkdir "$work/half"
	cp "$bench" "$work/half/adit-bench"
	ln -s "$(realpath "$build")/guest" "$work/half/guest"
	printf '#!/bin/sh\n[ "$1" = run ] || exec "%s" "$@"\necho begin\nexec sleep 1000\n' "$(realpath "$adit")" >"$work/half/adit"
	chmod +x "$work/half/adit"
	run "$work/half/adit-bench" dma --job "$work/short.json" --rounds 1 --warm-up 0 --patience 8 --json "$work/half.json"
	ok "a second contest that stalls ends the bench" is "$status" 1
	ok "and leaves the first one's rows in the table" has "$work/out" '^vfio-user, 4K pages: short '
	ok "and in the JSON, which is by the schema" "$here/bench-json.py" schema "$schema" "$work/half.json"
	ok "of that contest alone" is "$("$here/bench-json.py" value "$work/half.json" /run/contests | grep -o '"name"' | wc -l)" 1
	"$here/bench-json.py" value "$work/half.json" /failures >"$work/failures"
	ok "beside the failure" has "$work/failures" \
		'^\["no end within 8 s (--patience) beyond the 0.01 s that its jobs ask for: vfio-user, guest, round 1 of 1, adit: .* said last: begin"\]'
	echo '{"adis": [{"id": "dsa0", "type": "dsa", "fixed": true, "wqs": [{"size": 8}]}]}' >"$work/served.json"
	"$adit" adi-serve "$work/socket" "$work/served.json" >"$work/served" 2>&1 &
	server=$!
	until_says "$work/served" ready
	run "$bench" dma --device "vfio-user:$work/socket" --job "$work/job.json" --rounds 1 --warm-up 0
	ok "a function that is served elsewhere, and cannot be configured, is measured" is "$status" 0
	echo '{"jobs": [{"name": "deep", "iodepth": 9}]}' >"$work/job.json"
	run "$bench" dma --device "vfio-user:$work/socket" --job "$work/job.json"
	ok "more than its queue holds is refused" has "$work/err" "/jobs/0: depth 9 is more than its 8 of dsa"
	run "$bench" dma --device "vfio-user:$work/socket" --job "$work/pasids.json"
	ok "PASIDs on a function with too few queues are an error" has "$work/err" "too few for this"
	run "$bench" dma --device "vfio-user:$work/socket" --job "$work/queues.json"
	ok "and so are several queues" has "$work/err" "too few for this"
	echo '{"jobs": [{"name": "long", "runtime": 60}]}' >"$work/job.json"
	"$bench" dma --device "vfio-user:$work/socket" --job "$work/job.json" --json "$work/dead.json" >"$work/out" 2>"$work/err" &
	pid=$!
	# It is at work when its server has run for a while.
	until_busy "$server" "$pid"
	kill -KILL "$server"
	wait "$pid"
	ok "a server that dies ends the bench" is "$?" 1
	ok "with what the device was at" has "$work/err" "dsa: long: after [0-9]* operations one failed or stayed away: at a load; nobody answers, GENSTS 0xffffffff"
	"$here/bench-json.py" value "$work/dead.json" /failures >"$work/failures"
	ok "which is in the JSON too" has "$work/failures" 'dsa: long: after [0-9]* operations one failed or stayed away'
	"$adit" adi-serve "$work/socket" "$work/served.json" >"$work/served" 2>&1 &
	server=$!
	until_says "$work/served" ready
	"$bench" dma --device "vfio-user:$work/socket" --job "$work/short.json" --rounds 1000 --warm-up 0 --patience 2 --json "$work/stopped.json" \
		>"$work/out" 2>"$work/err" &
	pid=$!
	until_busy "$server" "$pid"
	kill -STOP "$server"
	wait "$pid"
	ok "a server that stops ends the bench" is "$?" 1
	kill -KILL "$server"
	ok "with what it was at" has "$work/err" \
		'no end within 2 s .*, round [0-9]* of 1000, adit: \(opening the device\|dsa: short\); it ends with status 1$'
	"$here/bench-json.py" value "$work/stopped.json" /failures >"$work/failures"
	ok "which is in the JSON" has "$work/failures" '^\["no end within 2 s .*, adit: .*"\]$'
	ok "and that is by the schema" "$here/bench-json.py" schema "$schema" "$work/stopped.json"
else
	run "$bench" dma
	ok "dma without a device or /dev/kvm says what it takes" has "$work/out" "note: nothing measured: "
	skip "DMA of a served function" "no /dev/kvm"
fi
run "$bench" dma --device vfio-user:"$work/none"
ok "a socket that is not there is named" has "$work/err" "cannot connect to $work/none"
run "$bench" dma --cdev "$work/none"
ok "and names a device that is not there" has "$work/err" "adit bench dma: "

# --- refusals -------------------------------------------------------------------------------------

run "$bench" noise --cpus 0-
ok "a list of CPUs that is none is refused" is "$status" 1
ok "and says what one is" has "$work/err" "--cpus 0-: not a list of CPUs"
run "$bench" noise --numa-node 1000
ok "a NUMA node that is not there is refused" has "$work/err" "--numa-node 1000: this host has no such node"
run "$bench" fleet --vms 0
ok "no VMs are a usage error" is "$status" 2
run "$bench" noise --devices 2
ok "functions for a bench that takes none are a usage error" is "$status" 2
run "$bench" noise --rounds 0
ok "no rounds are a usage error" is "$status" 2
ok "and the limits are named" has "$work/err" "--rounds 0: a number from 1 to 1001"
run "$bench" noise --json "$work/none/file.json"
ok "a JSON file that cannot be written is an error" is "$status" 1

# --- help ------------------------------------------------------------------------------------------

run "$bench" --help
benches=$(sed -n 's/^  \([a-z][a-z]*\)  *[a-zA-Z].*/\1/p' "$work/out")
ok "there are eleven benches, and each says what it takes" is "$(echo "$benches" | wc -l)" 11
for name in $benches compare; do
	run "$bench" "$name" --help
	ok "adit bench $name --help is on stdout" is "$status$(grep -c "^usage: adit bench $name " "$work/out")$(wc -c <"$work/err")" 010
	grep -o -e '^  --[a-z-]*' "$work/out" >>"$work/options"
	ok "and says what holds without each" is "$(sed -n '/^  --/,$p' "$work/out" | tr -d '\n' | sed 's/  --/\n&/g' | grep -v -e '--initramfs' -e '--marker' | grep -c -v -e '(' -e '^$')" 0
done
# Both ways: an option of the page's that no help has, and one that the page does not have.
grep -o -e '[FO][lp] Fl -[a-z-]*\|Fl -[a-z-]*' "$here/../../docs/man/adit-bench.1" | sed 's/.*Fl -/  --/' | grep -v -e '--help' |
	sort -u >"$work/page"
sort -u "$work/options" >"$work/said"
ok "the manual page has the same options" cmp "$work/page" "$work/said"
run "$bench" nothing --help
ok "a bench that is none has no help" is "$status" 2

# --- all --------------------------------------------------------------------------------------------

run "$adit" bench all --brief --rounds 1 --warm-up 0 --json "$work/all.json"
ok "all benches in one run end well" is "$status" 0
ok "and make one table by the schema" "$here/bench-json.py" schema "$schema" "$work/all.json"
[ ! -w /dev/kvm ] ||
	ok "with lines in pages of their own, beside packed ones" has "$work/out" '^vfio-user, 4K pages: 64 B, 4096 lines in 4096 pages .* packed '
[ ! -w /dev/kvm ] ||
	ok "with moves under 4096 PASIDs" has "$work/out" '^soft: .* 4096 PASIDs in turn: engine.* no PASIDs '

# --- ends -----------------------------------------------------------------------------------------

# A build directory whose floor never says anything.
mkdir "$work/stalled" "$work/stalled/bench" "$work/scratch"
cp "$bench" "$work/stalled/adit-bench"
ln -s "$(realpath "$build")/guest" "$work/stalled/guest"
printf '#!/bin/sh\necho $$ >"%s/floor-pid"\nexec sleep 1000\n' "$work" >"$work/stalled/bench/floor"
cp "$work/stalled/bench/floor" "$work/stalled/adit"
chmod +x "$work/stalled/bench/floor" "$work/stalled/adit"

run "$work/stalled/adit-bench" boot --patience 1 --json "$work/stalled.json"
ok "a party that stalls ends the bench" is "$status" 1
ok "and is named with its state" \
	has "$work/err" "no end within 1 s.*start, round 1 of 24, adit: waiting for output of .*/adit"
ok "and is gone" sh -c '! kill -0 "$(cat "$1")" 2>/dev/null' -- "$work/floor-pid"

ok "and is a failure in the JSON, of no row" is "$("$here/bench-json.py" value "$work/stalled.json" /results)" '[]'
ok "by the schema" "$here/bench-json.py" schema "$schema" "$work/stalled.json"

run "$work/stalled/adit-bench" boot --patience 1 --retries 2 --json "$work/again.json"
ok "one that stalls whenever it may try again does, too" is "$status" 1
"$here/bench-json.py" value "$work/again.json" /notes >"$work/notes"
ok "and every try is in the JSON" is "$(grep -o 'start, round 1 of 24, adit: taken again, since it had no end within 1 s' "$work/notes" | wc -l)" 2
ok "which is by the schema" "$here/bench-json.py" schema "$schema" "$work/again.json"

# Like it, but only once.
if [ -w /dev/kvm ]; then
	mkdir -p "$work/empty" "$work/once"
	cp "$bench" "$work/once/adit-bench"
	ln -s "$(realpath "$build")/guest" "$(realpath "$build")/bench" "$work/once/"
	printf '#!/bin/sh\n[ -e "%s/tried" ] && exec "%s" "$@"\n: >"%s/tried"\nexec /bin/sleep 1000\n' \
		"$work" "$(realpath "$adit")" "$work" >"$work/once/adit"
	chmod +x "$work/once/adit"
	run env PATH="$work/empty" "$work/once/adit-bench" boot --rounds 1 --warm-up 0 --patience 10 --retries 1
	ok "one that stalls once is measured" is "$status" 0
	ok "and it is said" has "$work/out" '^note: start, round 1 of 1, adit: taken again, since it had no end within 10 s'
fi

"$work/stalled/adit-bench" boot --json "$work/ended.json" >"$work/out" 2>"$work/err" &
pid=$!
rm -f "$work/floor-pid"
until_says "$work/floor-pid" '[0-9]'
kill -TERM "$pid"
wait "$pid"
ok "SIGTERM ends it" is "$?" 143
ok "which the JSON says" has "$work/ended.json" 'ended by Terminated during start, round 1 of 24, adit'
ok "and its children" sh -c '! kill -0 "$(cat "$1")" 2>/dev/null' -- "$work/floor-pid"

done_testing
