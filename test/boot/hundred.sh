#!/bin/bash
# hundred.sh - boots Debian's cloud kernel COUNT times (100) in a row, with 1, 2
# and 4 vCPUs in turn.  A boot fails if it takes longer than BOOT_TIMEOUT
# seconds (30), or if the guest or its kernel finds anything wrong.  The logs
# of failures are kept in build/boot/hundred.
set -u
. "$(dirname "$0")/boot.sh"
kernel=$(scripts/fetch-kernel.sh) || exit 1
initrd=$(self_check_initrd hundred) || exit 1
dir=$out/hundred
rm -rf $dir
mkdir -p $dir

slowest=0
for n in $(seq 1 "${COUNT:-100}"); do
	set -- 1 2 4
	shift $(((n - 1) % 3))
	cpus=$1
	log=$dir/$n-${cpus}cpu.log
	start=$(now_ms)
	boot "$log" "${BOOT_TIMEOUT:-30}" --kernel "$kernel" --initrd "$initrd" \
		--mem 512M --cpus "$cpus" --append "console=ttyS0 panic=-1"
	status=$?
	ms=$(($(now_ms) - start))
	[ $ms -le $slowest ] || slowest=$ms
	if good_boot "$log" $status "$cpus"; then
		result "$n" 1 "$cpus vCPUs, $ms ms, $(cpu_time "$log")"
		rm -f "$log" "$log.err"
	else
		result "$n" 0 "$cpus vCPUs, $ms ms, $(cpu_time "$log"), status $status; $log"
		tail -n 3 "$log" "$log.err"
	fi
done
echo "slowest: $slowest ms"
finish
