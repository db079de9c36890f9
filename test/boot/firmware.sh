#!/bin/bash
# firmware.sh - boots through firmware: SeaBIOS, GRUB and Debian's cloud kernel
# from a disk image, whose file system becomes the root, with 1 and 4 vCPUs; and
# OVMF, GRUB and the same kernel from a FAT partition.
set -u
. "$(dirname "$0")/boot.sh"
dir=$out/firmware
rm -rf $dir
mkdir -p $dir

# virtio_modules KERNEL-DIR - the modules that reach a virtio disk, in the order
# in which they load; fetched on the first call.
virtio_modules() {
	local m found

	ls "$1"/lib/modules/*/kernel/drivers/virtio/virtio.ko >/dev/null 2>&1 ||
		scripts/fetch-deb.sh "$(basename "$1" | sed s/^kernel/linux-image/)" \
			"$1" --wildcards './lib/modules/*/kernel/drivers/virtio' \
			'./lib/modules/*/kernel/drivers/block/virtio_blk.ko' || return 1
	for m in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev \
		virtio_pci virtio_blk; do
		found=$(echo "$1"/lib/modules/*/kernel/drivers/*/$m.ko)
		[ ! -f "$found" ] || echo "$found"
	done
}

# disk_initrd KERNEL-DIR - an initramfs that goes on from /dev/vda1
disk_initrd() {
	local modules

	modules=$(virtio_modules "$1") || return 1
	cat >"$dir/initrd.init" <<'END'
for m in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev \
	virtio_pci virtio_blk; do
	[ ! -f /bin/$m.ko ] || insmod /bin/$m.ko
done
i=0
while [ ! -b /dev/vda1 ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
mkdir /root/disk
mount -t ext4 /dev/vda1 /root/disk || poweroff -f
mount --move /dev /root/disk/dev
mount --move /proc /root/disk/proc
mount --move /sys /root/disk/sys
exec chroot /root/disk /sbin/init
END
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
[ "$(md5sum </file)" = "$(cat /sum)" ] && msi=$(grep -c virtio0 /proc/interrupts) &&
	echo "ring3-boot: ok cpus=$cpus mem=0 virtio interrupts=$msi"
mount -o remount,ro /
poweroff -f
END
	chmod 755 "$root/sbin/init"
	scripts/mkdisk.sh "$dir/$1.img" "$root"
}

# efi_disk NAME KERNEL INITRD - the same for UEFI, which only starts the kernel
efi_disk() {
	local root=$dir/$1.root

	mkdir -p "$root/boot/grub"
	cp "$2" "$root/boot/vmlinuz"
	cp "$3" "$root/boot/initrd"
	cat >"$root/boot/grub/grub.cfg" <<'END'
echo "ring3-boot: GRUB"
linux /boot/vmlinuz console=ttyS0 panic=-1
initrd /boot/initrd
boot
END
	scripts/mkdisk.sh -e "$dir/$1.img" "$root"
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

initrd=$(self_check_initrd firmware-efi) || exit 1
disk=$(efi_disk efi "$kernel" "$initrd") || exit 1
linux ovmf-cloud-1cpu "$disk" 1 --firmware /usr/share/ovmf/OVMF.fd
linux ovmf-cloud-4cpu "$disk" 4 --firmware /usr/share/ovmf/OVMF.fd
finish
