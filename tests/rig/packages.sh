# shellcheck shell=sh disable=SC2154
# SPDX-License-Identifier: Apache-2.0
# Debian packages of any suite without their installation: apt with lists of its own, which needs no
# tree and no root. Sourced by steps, with $OUT and $mirror of steps.sh.

# apt_of SUITE: sets $apt, a directory, up for that suite; where nothing is installed yet, for the
# host's packages are of another one.
apt_of() {
	apt=$OUT/apt
	mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/etc/apt.conf.d"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" \
		>"$apt/sources.list"
	apt_get update
}
apt_get() {
	apt-get -q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferencesparts=/dev/null -o Dir::State::lists="$apt/lists" \
		-o Dir::State::status=/dev/null -o Dir::Cache="$apt" -o Debug::NoLocking=true \
		-o Acquire::Languages=none -o Acquire::Check-Valid-Until=false \
		-o APT::Install-Recommends=false -o APT::Sandbox::User=root "$@"
}
# packages_of PACKAGE...: they and all they need, as NAME=VERSION, one a line.
packages_of() {
	apt_get install -s "$@" | sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p' | sort
}
# unpack DIRECTORY NAME=VERSION...: their files, and nothing of their scripts, in DIRECTORY.
unpack() {
	into=$1
	shift
	mkdir "$apt/debs"
	(cd "$apt/debs" && apt_get download "$@")
	for deb in "$apt"/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x --no-same-owner -C "$into" || return 1
		rm "$deb"
	done
}
apt_done() { rm -rf "$apt"; }
