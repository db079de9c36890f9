# qemu-cases.sh - sourced by qemu.sh: its cases.  Each is a function case_NAME that
# prints what is wrong and fails, or does neither.
# shellcheck shell=bash
limit=${CLIENT_TIMEOUT:-120}
accel=kvm

# run_case NAME ARG...
run_case() {
	local name start=$SECONDS note ok=0

	name=$(IFS=-; echo "$*")
	wanted "$name" || return 0
	log=$out/qemu-$name.log
	note=$(case_"$@") && ok=1
	case $note in
	skip:*) skip "$name" "${note#skip:}" ;;
	*) result "$name" $ok "($((SECONDS - start)) s; $log) $note" ;;
	esac
}

# qemu ARG... - QEMU on ring3; the first serial port is in $log.
qemu() {
	client "$log" "$limit" qemu-system-x86_64 -accel "$accel" -nodefaults \
		-display none -serial stdio -no-reboot "$@"
}

# ended STATUS - whether a guest that checks itself was content and QEMU ended by
# its power-off, not by the time limit.
ended() {
	[ "$1" = 0 ] || { echo "status $1"; return 1; }
	grep -aq '^guest: ok' "$log" || { echo "no \"guest: ok\""; return 1; }
	clean_log "$log"
}

append="console=ttyS0 panic=-1 reboot=t"

# case_boot MACHINE CPU CPUS - the kernel to a shell script, and power-off.
case_boot() {
	local machine=$1 kernel initrd

	[ "$machine" != microvm ] || machine=microvm,acpi=on
	kernel=$(scripts/fetch-kernel.sh) || return 1
	initrd=$(initrd boot <<END
sum=\$(seq 1 20000 | md5sum | cut -c 1-8)
cpus=\$(grep -c ^processor /proc/cpuinfo)
[ "\$sum \$cpus" = "e071f707 $3" ] && echo "guest: ok" ||
	echo "guest: wrong: \$sum \$cpus"
poweroff -f
END
	) || return 1
	qemu -M "$machine" -cpu "$2" -smp "$3" -m 512M -kernel "$kernel" \
		-initrd "$initrd" -append "$append"
	ended $?
}

virtio="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci"

# case_devices MACHINE - disk, network and shared folder give and take data.
case_devices() {
	local kernel initrd share=$out/share disk=$out/disk.img sum

	kernel=$(scripts/fetch-kernel.sh amd64) || return 1
	rm -rf "$share" && mkdir -p "$share" || return 1
	seq 1 100000 >"$share/numbers"
	truncate -s 16M "$disk"
	seq 1 300000 | dd of="$disk" conv=notrunc status=none
	sum=$(md5sum <"$disk" | cut -c 1-32)
	# shellcheck disable=SC2086
	initrd=$(initrd devices $virtio virtio_blk failover net_failover \
		virtio_net netfs fscache 9pnet 9pnet_virtio 9p <<END
ok=1
bad() { echo "guest: wrong: \$*"; ok=0; }
[ "\$(md5sum </dev/vda | cut -c 1-32)" = $sum ] || bad disk read
seq 400001 700000 | dd of=/dev/vda bs=64k conv=fsync 2>/dev/null || bad disk write
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
tftp -g -r numbers -l /tmp/tftp 10.0.2.2 || bad tftp
mkdir /share
mount -t 9p -o trans=virtio,version=9p2000.L share /share || bad mount 9p
cmp /tmp/tftp /share/numbers || bad tftp against 9p
sort -rn /share/numbers >/share/sorted || bad 9p write
sync
umount /share
[ \$ok = 1 ] && echo "guest: ok"
poweroff -f
END
	) || return 1
	qemu -M "$1" -cpu max -smp 2 -m 512M -kernel "$kernel" \
		-initrd "$initrd" -append "$append" \
		-drive file="$disk",format=raw,if=virtio \
		-netdev user,id=n,tftp="$share" -device virtio-net-pci,netdev=n \
		-virtfs local,path="$share",mount_tag=share,security_model=none
	ended $? || return 1
	cmp -s <(seq 400001 700000) <(head -c 2100000 "$disk") ||
		{ echo "the disk does not hold what the guest wrote"; return 1; }
	cmp -s <(seq 100000 -1 1) "$share/sorted" ||
		{ echo "the shared folder does not hold it either"; return 1; }
}

# case_split MACHINE - the I/O APIC and PIC in QEMU, the local APIC in ring3; and
# everything in QEMU, where 7.2 itself can do no more than one CPU: it never
# takes back the request for a startup IPI, and spins once the AP halts.
case_split() {
	local kernel initrd chip

	kernel=$(scripts/fetch-kernel.sh) || return 1
	initrd=$(initrd split <<'END'
echo "guest: ok"
poweroff -f
END
	) || return 1
	for chip in split:2 off:1; do
		qemu -M "$1,kernel-irqchip=${chip%:*}" -cpu max -smp "${chip#*:}" \
			-m 512M -kernel "$kernel" -initrd "$initrd" \
			-append "$append"
		ended $? || { echo "kernel-irqchip=$chip"; return 1; }
	done
}

# case_sandbox MACHINE - under QEMU's own seccomp filter.
case_sandbox() {
	local kernel initrd

	kernel=$(scripts/fetch-kernel.sh) || return 1
	initrd=$(initrd sandbox <<'END'
echo "guest: ok"
poweroff -f
END
	) || return 1
	qemu -M "$1" -cpu max -smp 2 -m 512M -kernel "$kernel" \
		-initrd "$initrd" -append "$append" -sandbox \
		on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
	ended $?
}

. test/clients/qemu-firmware.sh
. test/clients/qemu-state.sh
