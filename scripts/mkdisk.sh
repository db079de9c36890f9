#!/bin/sh
# mkdisk.sh OUT DIR [SIZE] - a disk image that a BIOS boots: GRUB before one
# partition with an ext2 file system, which holds the files of DIR.  GRUB
# reads /boot/grub/grub.cfg there.  SIZE is in MiB (64).  Needs no root.
set -eu
[ $# -ge 2 ] || {
	sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
	exit 2
}
out=$1
dir=$2
size=${3:-64}
grub=${GRUB_DIR:-/usr/lib/grub/i386-pc}
modules="biosdisk part_msdos ext2 normal configfile linux linux16 chain boot
	echo test serial terminal halt reboot"
# Where the partition starts and how long it is, in sectors.
start=2048
length=$((size * 2048 - start))

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# shellcheck disable=SC2086
grub-mkimage -d "$grub" -O i386-pc -p '(hd0,msdos1)/boot/grub' -o "$tmp/core" \
	$modules
[ "$(wc -c <"$tmp/core")" -lt $(((start - 1) * 512)) ] || {
	echo "mkdisk.sh: GRUB does not fit before the partition" >&2
	exit 1
}

# le32 N - four bytes, the lowest first, as printf wants them
le32() {
	printf '\\%03o\\%03o\\%03o\\%03o' $(($1 & 255)) $(($1 >> 8 & 255)) \
		$(($1 >> 16 & 255)) $(($1 >> 24 & 255))
}
rm -f "$out"
truncate -s "${size}M" "$out"
put() { dd of="$out" bs="$1" seek="$2" conv=notrunc status=none; }
# The boot sector's code, one active partition of type 83h, the signature.
head -c 440 "$grub/boot.img" | put 1 0
# shellcheck disable=SC2059
printf "\\200\\376\\377\\377\\203\\376\\377\\377$(le32 $start)$(le32 $length)" |
	put 1 446
printf '\125\252' | put 1 510
put 512 1 <"$tmp/core"
mke2fs -q -t ext2 -d "$dir" -E "offset=$((start * 512)),root_owner=0:0" \
	"$out" "$((length / 2))k"
echo "$out"
