#!/bin/bash
# kvmtool.sh [PATTERN...] - kvmtool on ring3.  Debian does not have it: KVMTOOL
# names the program `lkvm`, built from its public repository.
set -u
. "$(dirname "$0")/common.sh"
lkvm=${KVMTOOL:-$(command -v lkvm)}
[ -x "$lkvm" ] || {
	skip kvmtool "no lkvm; build kvmtool and name it: KVMTOOL=.../lkvm"
	finish
	exit
}
limit=${CLIENT_TIMEOUT:-120}

# Disk, network and shared folder of a guest with two CPUs.
devices() {
	local log=$out/kvmtool.log share=$out/kvmtool.share disk=$out/kvmtool.img
	local kernel initrd status

	kernel=$(scripts/fetch-kernel.sh amd64) || return 1
	rm -rf "$share" && mkdir -p "$share" || return 1
	seq 1 100000 >"$share/numbers"
	truncate -s 16M "$disk"
	seq 1 300000 | dd of="$disk" conv=notrunc status=none
	# shellcheck disable=SC2046
	initrd=$(initrd kvmtool virtio_ring virtio virtio_pci_legacy_dev \
		virtio_pci_modern_dev virtio_pci virtio_blk failover \
		net_failover virtio_net netfs fscache 9pnet 9pnet_virtio 9p <<END
ok=1
bad() { echo "guest: wrong: \$*"; ok=0; }
[ \$(grep -c ^processor /proc/cpuinfo) = 2 ] || bad cpus
[ "\$(md5sum </dev/vda | cut -c 1-32)" = $(md5sum <"$disk" | cut -c 1-32) ] ||
	bad disk read
seq 400001 700000 | dd of=/dev/vda bs=64k conv=fsync 2>/dev/null || bad disk write
ip link set eth0 up
ip addr add 192.168.33.15/24 dev eth0
ping -c 3 192.168.33.1 >/dev/null || bad ping
mkdir /share
mount -t 9p -o trans=virtio,version=9p2000.L share /share || bad mount
sort -rn /share/numbers >/share/sorted || bad 9p
umount /share
[ \$ok = 1 ] && echo "guest: ok"
reboot -f
END
	) || return 1
	client "$log" "$limit" "$lkvm" run --name ring3-test -c 2 -m 512 \
		-k "$kernel" -i "$initrd" -d "$disk" -n mode=user \
		--9p "$share,share" -p "console=ttyS0 reboot=k panic=-1"
	status=$?
	[ $status = 0 ] || { echo "status $status; $log"; return 1; }
	grep -aq '^guest: ok' "$log" || { echo "no \"guest: ok\"; $log"; return 1; }
	clean_log "$log" || return 1
	cmp -s <(seq 400001 700000) <(head -c 2100000 "$disk") ||
		{ echo "the disk does not hold what the guest wrote"; return 1; }
	cmp -s <(seq 100000 -1 1) "$share/sorted" ||
		{ echo "the shared folder does not hold it either"; return 1; }
}

start=$SECONDS
ok=0
note=$(devices) && ok=1
result kvmtool $ok "($((SECONDS - start)) s) $note"
finish
