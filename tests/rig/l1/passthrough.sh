# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# For scenarios that assign devices: what a guest does with each of them, as text for /go. Each says
# what it found as "L2 name=value" lines; the scenario judges.

# edu (1234:11e8): bytes go from guest memory into the device and back to another place. The guest is
# booted with mem=256M and has more: what lies above is ours, and /dev/mem reaches it.
l2_edu() {
	cat <<-'EOF'
		edu() { # edu BDF FROM TO VALUE
			d=/sys/bus/pci/devices/$1
			echo 1 >"$d/enable"
			printf '\006\000' | dd of="$d/config" bs=1 seek=4 conv=notrunc 2>/dev/null
			bar=$(awk 'NR == 1 { print $1 }' "$d/resource")
			say "edu_id_$1" "$(devmem $((bar)) 32)"
			i=0
			while [ $i -lt 64 ]; do
				devmem $(($2 + i)) 64 $(($4 + i))
				devmem $(($3 + i)) 64 0
				i=$((i + 8))
			done
			edu_dma $(($2)) $((0x40000)) 1
			edu_dma $((0x40000)) $(($3)) 3
			same=yes i=0
			while [ $i -lt 64 ]; do
				[ $(($(devmem $(($3 + i)) 64))) = $(($4 + i)) ] || same="no: $i $(devmem $(($3 + i)) 64)"
				i=$((i + 8))
			done
			say "edu_dma_$1" "$same"
		}
		edu_dma() { # edu_dma SOURCE DESTINATION COMMAND
			devmem $((bar + 0x80)) 64 "$1"
			devmem $((bar + 0x88)) 64 "$2"
			devmem $((bar + 0x90)) 64 64
			devmem $((bar + 0x98)) 64 "$3"
			while [ $(($(devmem $((bar + 0x98)) 64) & 1)) = 1 ]; do :; done
		}
	EOF
}

# For a guest whose function `seen` prints a word for each thing that is there: which have come and
# which have left since the last time.
l2_tell() {
	cat <<-'EOF'
		old=start
		tell() {
			new=$(seen)
			for w in $new; do
				case " $old " in *" $w "*) ;; *) echo "L2 came=$w" ;; esac
			done
			for w in $old; do
				case " $new " in *" $w "*) ;; *) echo "L2 left=$w" ;; esac
			done
			old=$new
		}
	EOF
}
