# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# How a cache is built in steps, for tests/rig/build and tests/clients/build. Sourced after rig.sh.
#
# A step is a file in steps/ that fills $OUT. Its result is a directory that is renamed into place
# with its stamp inside when it is whole, so that a killed build leaves nothing that looks finished.
# The stamp is a hash of the step, of its input files and of the results it is made from. Every step
# has a mount and a PID namespace of its own: when it ends or is killed, its mounts and processes
# are gone.

in_namespace() {
	# The namespace's first process dies with this shell, and everything in it with that process.
	setpriv --pdeathsig KILL unshare -m -p -f --kill-child --propagation private "$@"
}

# The machine's own mirror, its proxies and its checks of dates: whatever apt here works with.
mirror=${ADIT_RIG_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' \
	'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null |
	grep -m1 -E '^(https?|file):')} ||
	die "apt here knows no Debian archive: set ADIT_RIG_MIRROR to one"
proxy() { apt-config dump "Acquire::$1::Proxy" --format '%v%n' 2>/dev/null | grep -v '^DIRECT' | head -1; }
for scheme in http https; do
	value=$(proxy "$scheme")
	[ -z "$value" ] || export "${scheme}_proxy=$value"
done
export rig here mirror LC_ALL=C DEBIAN_FRONTEND=noninteractive

# A result's identity: the stamp of what it was made from, and what it says of its versions.
identity() { cat "$rig/$1/.stamp" "$rig/$1/versions" 2>/dev/null | sha256sum | cut -d' ' -f1; }

# step NAME "EARLIER..." [FILE...]; of NAME@WORD the step is NAME, which is given @WORD.
step() {
	name=$1
	of=${name%@*}
	earlier=$2
	shift 2
	stamp=$({
		cat "$here/steps/$of" "$@"
		for e in $earlier; do identity "$e"; done
	} | sha256sum | cut -d' ' -f1)
	if [ "$(cat "$rig/$name/.stamp" 2>/dev/null)" = "$stamp" ]; then
		return 0
	fi
	built=yes
	start=$(now)
	rm -rf "${rig:?}/$name" "$rig/$name.new"
	mkdir -p "$rig/$name.new"
	# shellcheck disable=SC2086 # one word, or none
	if ! OUT=$rig/$name.new in_namespace sh -eu "$here/steps/$of" ${name#"$of"} \
		>"$rig/$name.log" 2>&1; then
		tail -n 30 "$rig/$name.log" >&2
		die "step $name failed after $(since "$start") s; all of its output: $rig/$name.log"
	fi
	echo "$stamp" >"$rig/$name.new/.stamp"
	mv -T "$rig/$name.new" "$rig/$name"
	say "$name: $(since "$start") s"
}

# newer_packages NAME: what the mirror offers is an input as well; asked once a day, without the
# network not at all. The step `NAME candidates` prints what it would get, as its file `versions` does.
newer_packages() {
	of=${1%@*}
	word=${1#"$of"}
	checked=$rig/checked$word
	[ -e "$rig/$1/.stamp" ] || return 1
	[ -z "$(find "$checked" -mmin -1440 2>/dev/null)" ] || return 1
	[ "${ADIT_RIG_OFFLINE:-}" ] && return 1
	touch "$checked"
	# shellcheck disable=SC2086 # one word, or none
	in_namespace sh -eu "$here/steps/$of" $word candidates >"$rig/candidates" 2>/dev/null || return 1
	! cmp -s "$rig/candidates" "$rig/$1/versions"
}
