#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# adit-keeper as a command: its own child, its command line, and what it links.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
keeper=$build/adit-keeper
chmod 700 "$work"

run "$keeper" --run-dir "$work/run" -- sh -c 'echo "$1"; exit 7' child
ok "the child's status comes back" is "$status" 7
ok "the child gets a descriptor's number" has "$work/out" '^--keeper-fd=[0-9][0-9]*$'
ok "no journal is left" is "$(ls "$work/run")" ''
umask 077
run "$keeper" --run-dir "$work/other" -- true
ok "its folder is no secret, whatever the umask is" is "$(stat -c %a "$work/other")" 755
run "$keeper" --run-dir "$work/run" -- sh -c 'kill -9 $$'
ok "a child that is killed is status 1" is "$status" 1
ok "its signal is said" has "$work/err" 'killed by signal 9'
run "$keeper" --run-dir "$work/run" -- /nonexistent/adit
ok "a command that is not there is status 1" is "$status" 1

for words in '' '--managed eth0 -- true' '--mdev 3b:00.0 -- true' '--new-mdev mtty -- true' \
	'--new-mdev a/b/c -- true' '--function 3b:00.0 --managed 0000:3b:00.0 -- true' '--clean -- true' \
	'--log-level loud -- true'; do
	# shellcheck disable=SC2086
	run "$keeper" $words
	ok "refused with status 2: '$words'" is "$status" 2
done
run "$keeper" --clean --run-dir "$work/run"
ok "--clean of nothing gives status 0" is "$status" 0
case $build in
*address* | *thread*) skip "it links libc alone" "a sanitizer is linked in" ;;
*) ok "it links libc alone" is "$(readelf -d "$keeper" | grep -c NEEDED)" 1 ;;
esac
done_testing
