# shellcheck shell=sh
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

pack_cpio() { # pack_cpio DIRECTORY ARCHIVE
	(cd "$1" && find . | cpio -o -H newc --quiet) >"$2"
}
