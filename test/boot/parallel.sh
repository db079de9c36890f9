#!/bin/bash
# parallel.sh - COUNT (20) guests of 2 vCPUs boot at the same time, and all of
# them compute, fork and power off.  BOOT_TIMEOUT is the limit of each in
# seconds (900): they share the host's CPUs.  RING3 is the program under test.
set -u
. "$(dirname "$0")/boot.sh"
count=${COUNT:-20}
kernel=$(scripts/fetch-kernel.sh) || exit 1
initrd=$(self_check_initrd parallel) || exit 1
dir=$out/parallel
rm -rf $dir
mkdir -p $dir

# one N - boots, and leaves its result in N.ok or N.bad
one() {
	local log=$dir/$1.log start=$SECONDS status end=bad

	boot "$log" "${BOOT_TIMEOUT:-900}" --kernel "$kernel" \
		--initrd "$initrd" --mem 256M --cpus 2 \
		--append "console=ttyS0 panic=-1 quiet"
	status=$?
	if [ $status = 0 ] && grep -aq "^ring3-boot: ok cpus=2 " "$log" &&
		! grep -aE 'Kernel panic|BUG: [^s]|Oops|WARNING:' "$log"; then
		end=ok
	fi
	echo "$((SECONDS - start)) s, $(cpu_time "$log"), status $status" \
		>"$dir/$1.$end"
}

for n in $(seq 1 "$count"); do
	one "$n" &
done
wait
for n in $(seq 1 "$count"); do
	if [ -f "$dir/$n.ok" ]; then
		result "$n" 1 "($(cat "$dir/$n.ok"))"
	else
		result "$n" 0 "($(cat "$dir/$n.bad"); $dir/$n.log)"
		tail -n 3 "$dir/$n.log" "$dir/$n.log.err"
	fi
done
finish
