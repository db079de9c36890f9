#!/bin/sh
# mkdisk.sh [-e] OUT DIR [SIZE] - a disk image that firmware boots: GRUB and one
# partition, which holds the files of DIR; GRUB reads boot/grub/grub.cfg there.
# For a BIOS: GRUB before the partition, which is ext2.  -e: for UEFI, GRUB as
# EFI/BOOT/BOOTX64.EFI in a FAT partition.  SIZE is in MiB (64).  Needs no root.
set -eu
efi=
if [ "${1:-}" = -e ]; then
	efi=1
	shift
fi
[ $# -ge 2 ] || {
	sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
	exit 2
}
out=$1
dir=$2
size=${3:-64}
modules="part_msdos normal configfile linux boot echo test serial terminal halt
	reboot"
prefix='(hd0,msdos1)/boot/grub'
# Where the partition starts and how long it is, in sectors.
start=2048
length=$((size * 2048 - start))

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# le32 N - four bytes, the lowest first, as printf wants them
le32() {
	printf '\\%03o\\%03o\\%03o\\%03o' $(($1 & 255)) $(($1 >> 8 & 255)) \
		$(($1 >> 16 & 255)) $(($1 >> 24 & 255))
}
put() { dd of="$out" bs="$1" seek="$2" conv=notrunc status=none; }

# partition TYPE - one, active, with the type as an octal number
partition() {
	# shellcheck disable=SC2059
	printf "\\200\\376\\377\\377\\$1\\376\\377\\377$(le32 $start)$(le32 $length)" |
		put 1 446
	printf '\125\252' | put 1 510
}

make_bios() {
	local grub=/usr/lib/grub/i386-pc

	# shellcheck disable=SC2086
	grub-mkimage -d $grub -O i386-pc -p "$prefix" -o "$tmp/core" biosdisk \
		ext2 linux16 chain $modules
	[ "$(wc -c <"$tmp/core")" -lt $(((start - 1) * 512)) ] || {
		echo "mkdisk.sh: GRUB does not fit before the partition" >&2
		exit 1
	}
	head -c 440 $grub/boot.img | put 1 0
	partition 203
	put 512 1 <"$tmp/core"
	mke2fs -q -t ext2 -d "$dir" -E "offset=$((start * 512)),root_owner=0:0" \
		"$out" "$((length / 2))k"
}

make_efi() {
	mkdir -p "$tmp/EFI/BOOT"
	# shellcheck disable=SC2086
	grub-mkimage -d /usr/lib/grub/x86_64-efi -O x86_64-efi -p "$prefix" \
		-o "$tmp/EFI/BOOT/BOOTX64.EFI" fat $modules
	partition 357
	truncate -s $((length * 512)) "$tmp/fat"
	mkfs.fat -F 32 "$tmp/fat" >/dev/null
	MTOOLS_SKIP_CHECK=1 mcopy -s -i "$tmp/fat" "$dir"/* "$tmp/EFI" ::
	put 1M 1 <"$tmp/fat"
}

rm -f "$out"
truncate -s "${size}M" "$out"
if [ -n "$efi" ]; then make_efi; else make_bios; fi
echo "$out"
