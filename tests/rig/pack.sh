# shellcheck shell=sh disable=SC2154
# SPDX-License-Identifier: Apache-2.0
# For the steps that make initramfs images: kernel modules with what they need, and the archive.

# pack_modules TREE RELEASE ROOT MODULE...: uncompressed into ROOT/lib/modules/RELEASE. A module that
# the kernel has built in, or does not have, is left out. depmod was run in TREE.
pack_modules() {
	from=$1
	release=$2
	to=$3/lib/modules/$2
	shift 3
	mkdir -p "$to"
	for m in "$@"; do
		modprobe -d "$from" -S "$release" --show-depends "$m" 2>/dev/null |
			awk '$1 == "insmod" { print $2 }'
	done | sort -u | while read -r file; do
		name=$(basename "$file")
		case $name in
		*.xz) xz -dc "$file" >"$to/${name%.xz}" ;;
		*.zst) zstd -dcq "$file" >"$to/${name%.zst}" ;;
		*) cp "$file" "$to/" ;;
		esac
	done
	for list in "$from/lib/modules/$release"/modules.builtin* \
		"$from/lib/modules/$release/modules.order"; do
		[ ! -e "$list" ] || cp "$list" "$to/"
	done
	depmod -b "${to%/lib/modules/*}" "$release"
}

# with_built WORK: mounts at WORK/all the generic kernel's tree with the modules of steps/modules
# over its own, which stay as they are. WORK is made to be a tmpfs; the mounts end with the step.
with_built() {
	built_release=$(cat "$rig/kernels/generic/release")
	mkdir -p "$1"
	mount -t tmpfs tmpfs "$1"
	mkdir "$1/all" "$1/upper" "$1/tmp" "$1/root"
	mount -t overlay overlay -o \
		"lowerdir=$rig/kernels/generic,upperdir=$1/upper,workdir=$1/tmp" "$1/all"
	mkdir "$1/all/lib/modules/$built_release/updates"
	cp "$rig"/modules/*.ko "$1/all/lib/modules/$built_release/updates/"
	depmod -b "$1/all" "$built_release"
}

# pack_l1 ROOT: what every L1 has, whatever its kernel: busybox, /init and the libraries of l1/.
pack_l1() {
	for d in bin sbin proc sys dev tmp run out etc root; do mkdir -p "$1/$d"; done
	cp "$rig/tree/usr/bin/busybox" "$1/bin/busybox"
	ln -s busybox "$1/bin/sh"
	cp "$here/l1/lib.sh" "$here/l1/l2.sh" "$1/"
	cp "$here/l1/init" "$1/init"
	chmod 755 "$1/init"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
	echo 'root:x:0:' >"$1/etc/group"
}

pack_cpio() { # pack_cpio DIRECTORY ARCHIVE
	(cd "$1" && find . | cpio -o -H newc --quiet) >"$2"
}
