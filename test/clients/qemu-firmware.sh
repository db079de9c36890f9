# qemu-firmware.sh - sourced by qemu-cases.sh: boots that begin in firmware.
# shellcheck shell=bash

# octets VALUE... - little-endian bytes by escapes of printf
octets() { printf '\\%03o' "$@"; }

# grub_disk OUT KERNEL INITRD - a disk with GRUB in its first sectors and a FAT
# partition, made by GRUB's image tool and mtools alone.
grub_disk() {
	local image=$1 sectors=129024 first=2048

	cat >"$image.cfg" <<END
serial --unit=0 --speed=115200
terminal_output serial
echo grub: here
linux (hd0,msdos1)/vmlinuz $append
initrd (hd0,msdos1)/initrd
boot
END
	grub-mkimage -O i386-pc -o "$image.core" -c "$image.cfg" -p / \
		biosdisk part_msdos fat linux serial echo terminal normal ||
		return 1
	rm -f "$image"
	truncate -s $(((first + sectors) * 512)) "$image"
	dd if=/usr/lib/grub/i386-pc/boot.img of="$image" bs=440 count=1 \
		conv=notrunc status=none
	dd if="$image.core" of="$image" bs=512 seek=1 conv=notrunc status=none
	# An active FAT partition, and the boot sector's mark.
	# shellcheck disable=SC2059
	printf "$(octets 128 0 0 0 12 0 0 0 0 8 0 0 0 248 1 0)" |
		dd of="$image" bs=1 seek=446 conv=notrunc status=none
	printf '\125\252' | dd of="$image" bs=1 seek=510 conv=notrunc status=none
	mformat -i "$image@@1M" -F -T $sectors :: &&
		mcopy -i "$image@@1M" "$2" ::vmlinuz &&
		mcopy -i "$image@@1M" "$3" ::initrd
}

# case_grub MACHINE - SeaBIOS, GRUB from a disk, Linux.
case_grub() {
	local kernel initrd

	command -v grub-mkimage mformat >/dev/null &&
		[ -f /usr/lib/grub/i386-pc/boot.img ] ||
		{ echo "skip:no grub-pc-bin or mtools"; return 0; }
	kernel=$(scripts/fetch-kernel.sh) || return 1
	initrd=$(initrd grub <<'END'
echo "guest: ok"
poweroff -f
END
	) || return 1
	grub_disk "$out/grub.img" "$kernel" "$initrd" || return 1
	qemu -M "$1" -cpu max -smp 2 -m 512M \
		-drive file="$out/grub.img",format=raw,if=virtio
	ended $? && grep -aq "grub: here" "$log"
}

# case_ovmf shell|linux|wide - UEFI firmware to its shell, or to a kernel.
# Firmware of this age makes page tables for all physical addresses, 48 bits of
# them if it may: a gigabyte, which is what "wide" looks at.
case_ovmf() {
	local code=/usr/share/OVMF/OVMF_CODE_4M.fd vars=$out/vars.fd more=()
	local kernel initrd cpu=max,host-phys-bits-limit=40 memory=512M

	[ -f $code ] || { echo "skip:no ovmf"; return 0; }
	cp /usr/share/OVMF/OVMF_VARS_4M.fd "$vars" || return 1
	[ "$1" != wide ] || { cpu=max; memory=2G; }
	if [ "$1" != shell ]; then
		kernel=$(scripts/fetch-kernel.sh) || return 1
		initrd=$(initrd ovmf <<'END'
dmesg | grep -q "efi: EFI v2" && echo "guest: ok"
poweroff -f
END
		) || return 1
		more=(-kernel "$kernel" -initrd "$initrd" -append "$append")
	else
		# A start-up script of the shell's, on a disk, ends it.
		mkdir -p "$out/esp"
		printf 'echo guest: ok\r\nreset -s\r\n' >"$out/esp/startup.nsh"
		more=(-drive "file=fat:rw:$out/esp,format=raw,if=virtio")
	fi
	qemu -M q35 -cpu $cpu -smp 2 -m $memory \
		-drive if=pflash,format=raw,unit=0,readonly=on,file=$code \
		-drive if=pflash,format=raw,unit=1,file="$vars" "${more[@]}"
	sed -i 's/\r//g; s/\x1b\[[0-9;]*[A-Za-z]//g' "$log"
	ended $?
}
