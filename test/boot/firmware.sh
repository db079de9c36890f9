#!/bin/bash
# firmware.sh - boots through firmware: SeaBIOS, GRUB and Debian's cloud kernel
# from a disk image, whose file system becomes the root, with 1 and 4 vCPUs and on
# an ATA disk; and OVMF, GRUB and the same kernel from a FAT partition.  BOOT=long: also Debian's
# 32-bit kernels, with and without PAE.
set -u
. "$(dirname "$0")/boot.sh"
dir=$out/firmware
rm -rf $dir
mkdir -p $dir

# The modules that reach a disk, in the order in which they load.
disk_modules="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev
	virtio_pci virtio_blk scsi_common scsi_mod libata ata_piix sd_mod"

# fetch_modules KERNEL-DIR - their files, fetched on the first call; a kernel may
# have some of them built in.
fetch_modules() {
	local m found

	ls "$1"/lib/modules/*/kernel/drivers/ata/libata.ko >/dev/null 2>&1 ||
		scripts/fetch-deb.sh "$(basename "$1" | sed s/^kernel/linux-image/)" \
			"$1" --wildcards './lib/modules/*/kernel/drivers/virtio' \
			'./lib/modules/*/kernel/drivers/block/virtio_blk.ko' \
			'./lib/modules/*/kernel/drivers/ata' \
			'./lib/modules/*/kernel/drivers/scsi' || return 1
	for m in $disk_modules; do
		found=$(echo "$1"/lib/modules/*/kernel/drivers/*/"$m.ko")
		[ ! -f "$found" ] || echo "$found"
	done
}

# disk_initrd KERNEL-DIR - an initramfs that goes on from the first disk
disk_initrd() {
	local modules

	modules=$(fetch_modules "$1") || return 1
	{
		echo "for m in" $disk_modules "; do"
		cat <<'END'
	[ ! -f /bin/$m.ko ] || insmod /bin/$m.ko
done
i=0
disk=
while [ -z "$disk" ] && [ $i -lt 100 ]; do
	for d in vda1 sda1; do [ ! -b /dev/$d ] || disk=/dev/$d; done
	sleep 0.1
	i=$((i + 1))
done
mkdir /disk
mount -t ext4 $disk /disk || poweroff -f
mount --move /dev /disk/dev
mount --move /proc /disk/proc
mount --move /sys /disk/sys
exec chroot /disk /sbin/init
END
	} >"$dir/initrd.init"
	# shellcheck disable=SC2086
	scripts/mkinitramfs.sh "$dir/initrd.init" "$dir/initrd.cpio.gz" $modules
}

# linux_disk NAME KERNEL - a disk image with GRUB, the kernel, and a root file
# system whose init checks reading and writing; prints its path.
linux_disk() {
	local root=$dir/$1.root

	mkdir -p "$root"/{bin,sbin,dev,proc,sys,boot/grub}
	cp "$2" "$root/boot/vmlinuz"
	cp "$(disk_initrd "$(dirname "$(dirname "$2")")")" "$root/boot/initrd" ||
		return 1
	cp build/guest/busybox-amd64/bin/busybox "$root/bin/"
	cat >"$root/boot/grub/grub.cfg" <<'END'
serial --unit=0 --speed=115200
terminal_output serial
echo "ring3-boot: GRUB"
linux /boot/vmlinuz console=ttyS0 panic=-1
initrd /boot/initrd
boot
END
	cat >"$root/sbin/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
cpus=$(grep -c ^processor /proc/cpuinfo)
head -c 3000000 /dev/urandom >/file
md5sum </file >/sum
sync
echo 3 >/proc/sys/vm/drop_caches
[ "$(md5sum </file)" = "$(cat /sum)" ] &&
	echo "ring3-boot: ok cpus=$cpus mem=0 root=$(sed -n 's/ \/ ext4.*//p' /proc/mounts)"
grep -E 'virtio|ata_piix' /proc/interrupts
mount -o remount,ro /
poweroff -f
END
	chmod 755 "$root/sbin/init"
	scripts/mkdisk.sh "$dir/$1.img" "$root"
}

# plain_disk [-e] NAME KERNEL INITRD - GRUB, a kernel and an initramfs that does
# all of the work; -e: for UEFI
plain_disk() {
	local efi= root

	[ "$1" != -e ] || {
		efi=-e
		shift
	}
	root=$dir/$1.root
	mkdir -p "$root/boot/grub"
	cp "$2" "$root/boot/vmlinuz"
	cp "$3" "$root/boot/initrd"
	cat >"$root/boot/grub/grub.cfg" <<'END'
serial --unit=0 --speed=115200
terminal_output serial
echo "ring3-boot: GRUB"
linux /boot/vmlinuz console=ttyS0 panic=-1
initrd /boot/initrd
boot
END
	scripts/mkdisk.sh $efi "$dir/$1.img" "$root"
}

# linux NAME DISK CPUS OPTION...
linux() {
	local log=$dir/$1.log start ms status ok=0 name=$1 disk=$2 cpus=$3

	shift 3
	start=$(now_ms)
	boot "$log" "${BOOT_TIMEOUT:-120}" --disk "$disk" --mem 512M \
		--cpus "$cpus" "$@"
	status=$?
	ms=$(($(now_ms) - start))
	! { good_boot "$log" $status "$cpus" && grep -aq 'ring3-boot: GRUB' "$log"; } ||
		ok=1
	result "$name" $ok "(status $status, $ms ms, $(cpu_time "$log"); $log)"
	[ $ok = 1 ] || tail -n 5 "$log" "$log.err"
}

kernel=$(scripts/fetch-kernel.sh) || exit 1
disk=$(linux_disk cloud "$kernel") || exit 1
linux grub-cloud-1cpu "$disk" 1
linux grub-cloud-4cpu "$disk" 4
linux grub-cloud-ata "$disk,if=ata" 1

initrd=$(self_check_initrd firmware-efi) || exit 1
disk=$(plain_disk -e efi "$kernel" "$initrd") || exit 1
linux ovmf-cloud-1cpu "$disk" 1 --firmware /usr/share/ovmf/OVMF.fd
cp /usr/share/OVMF/OVMF_VARS.fd "$dir/vars.fd"
linux ovmf-vars-4cpu "$disk" 4 --firmware /usr/share/OVMF/OVMF_CODE.fd \
	--firmware-vars "$dir/vars.fd"
# UEFI's variables have names in UTF-16.
LC_ALL=C grep -qaP 'B\x00o\x00o\x00t\x00O\x00r\x00d\x00e\x00r\x00' "$dir/vars.fd"
result ovmf-vars-kept $(($? == 0)) "($dir/vars.fd)"

if [ "${BOOT:-}" = long ]; then
	initrd=$(self_check_initrd firmware-i386 -a i386) || exit 1
	for name in 686-pae 686; do
		kernel=$(scripts/fetch-kernel.sh $name) || exit 1
		disk=$(plain_disk $name "$kernel" "$initrd") || exit 1
		linux grub-$name-1cpu "$disk" 1
		# The kernel without PAE is for one CPU.
		[ $name = 686 ] || linux grub-$name-4cpu "$disk" 4
	done
fi
finish
