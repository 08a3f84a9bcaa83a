#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the build gives: what adit links, what gets installed, and that the example runs as it is.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

case $(basename "$build") in
*address* | *thread*) skip "linked libraries" "a sanitizer build links its run time" ;;
*)
	readelf -d "$adit" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' >"$work/needed"
	sed '/^libc\.so\|^libjson-c\.so\|^liburing\.so\|^libseccomp\.so\|^ld-linux/d' \
		"$work/needed" >"$work/heavier"
	ok "adit links nothing heavier than libc, json-c, liburing and libseccomp" \
		[ ! -s "$work/heavier" ]
	# Static or not, it is position-independent: its addresses are random.
	ok "adit is position-independent" \
		sh -c 'readelf -h "$1" | grep -q "Type:.*DYN"' -- "$adit"
	ok "what every VM executes is in one piece of it" sh -c 'readelf -SW "$1" | grep -q "\.text\.first "' -- "$adit"
	# Compilers inline what others do not; a list that nobody wrote anew for long misses more.
	sed -n 's/.*(\.text\.\([a-z0-9_]*\) .*/\1/p' vmm/order/adit.ld | sort -u >"$work/named"
	nm "$adit" | sed 's/.* //; s/\..*//' | sort -u | comm -12 - "$work/named" >"$work/there"
	ok "and of the functions named for it in vmm/order/adit.ld nine of ten are there (else: make order)" \
		[ $(($(wc -l <"$work/there") * 10)) -ge $(($(wc -l <"$work/named") * 9)) ]
	;;
esac

make -s --no-print-directory O="$build" install DESTDIR="$work/root" PREFIX=/usr >"$work/out" 2>&1
ok "make install DESTDIR= PREFIX= succeeds" is $? 0
for file in bin/adit libexec/adit/adit-bench libexec/adit/virtaditd lib/systemd/system/virtaditd.service \
	lib/systemd/system/virtaditd.socket lib/systemd/system/adit@.service lib/systemd/system/adit-devices@.service \
	lib/sysusers.d/adit.conf share/man/man8/virtaditd.8 share/man/man1/adit.1 share/man/man1/adit-run.1 \
	share/man/man5/adit-config.5 share/bash-completion/completions/adit \
	share/doc/adit/config.example.json; do
	ok "it installs $file" [ -s "$work/root/usr/$file" ]
done
grep -oh 'guest/[a-z]*\.bin' bench/*.c | sort -u >"$work/guests"
while read -r guest; do
	ok "it installs the bench's $guest" [ -s "$work/root/usr/libexec/adit/$guest" ]
done <"$work/guests"
units=$work/root/usr/lib/systemd/system
ok "units name the installed adit" is "$(cat "$units"/adit*.service | grep -c '^ExecStart=!*/usr/bin/adit run ')" 2
exposed() { ! systemd-analyze security --offline=yes --threshold="$1" "$units/$2" >"$work/out" 2>&1; }
if ! exposed 100 adit@.service; then
	ok "systemd counts the VM's unit as exposed by 1.5 of 10 at most" is "$(exposed 15 adit@.service && echo more)" ''
	ok "the one with devices by 4" is "$(exposed 40 adit-devices@.service && echo more)" ''
	ok "and the daemon's by 5" is "$(exposed 50 virtaditd.service && echo more)" ''
	ok "it knows every word in them" sh -c '! systemd-analyze security --offline=yes "$@" 2>&1 |
		grep -i "unknown\|invalid\|failed to parse"' -- "$units/adit@.service" "$units/adit-devices@.service" \
		"$units/virtaditd.service"
	# Where they will be installed there is nothing yet; systemd looks for the programs that they start.
	mkdir "$work/units"
	for unit in "$units"/*; do
		sed "s|\(=!*\)/usr/|\1$work/root/usr/|" "$unit" >"$work/units/$(basename "$unit" | sed 's/@/@one/')"
	done
	ok "systemd would start all of them" is "$(SYSTEMD_UNIT_PATH=$work/units: systemd-analyze verify --man=no \
		"$work"/units/* 2>&1 | grep 'adit')" ''
else
	skip "exposure of the units" "systemd-analyze is not here, or knows no --offline"
fi
ok "the installed adit runs" "$work/root/usr/bin/adit" --version
ok "the installed adit finds its bench" sh -c '"$1" bench 2>&1 | grep -q "usage: adit bench"' -- \
	"$work/root/usr/bin/adit"
if [ -w /dev/kvm ]; then
	run "$work/root/usr/bin/adit" bench boot --rounds 1 --warm-up 0
	ok "and its bench finds what it starts" has "$work/out" "^exec to first output "
else
	skip "and its bench finds what it starts" "no /dev/kvm"
fi
make -s --no-print-directory O="$build" uninstall DESTDIR="$work/root" PREFIX=/usr >"$work/out" 2>&1
ok "make uninstall leaves no file" is "$(find "$work/root" -type f | wc -l)" 0

"$build/openapi-generate" docs/openapi.json >"$work/openapi.json"
ok "docs/openapi.json has the keys of the configuration as their table has them" cmp "$work/openapi.json" docs/openapi.json

ok "the completion knows every command" sh -c 'for c in run check doctor bench; do
	grep -qw "$c" docs/adit.bash-completion || exit 1; done'

if command -v man >/dev/null; then
	for page in docs/man/*; do
		ok "$(basename "$page") formats without a warning" \
			sh -c '[ -z "$(man --warnings -l "$1" 2>&1 >/dev/null)" ]' -- "$page"
	done
else
	skip "man pages format" "man is not installed"
fi
done_testing
