#!/bin/bash
# linux.sh - boots Debian's cloud kernel to the commands of its initramfs, with 1
# and 4 vCPUs, and powers off.  BOOT=long: also on the careful executor.
# BOOT_TIMEOUT is the limit of one boot in seconds (120).
set -u
. "$(dirname "$0")/boot.sh"
kernel=$(scripts/fetch-kernel.sh) || exit 1
initrd=$(self_check_initrd linux) || exit 1

# one NAME CPUS SECONDS [OPTION...]
one() {
	local name=$1 cpus=$2 limit=$3 log=$out/$1.log start status ok=0

	shift 3
	start=$SECONDS
	boot "$log" "$limit" --kernel "$kernel" --initrd "$initrd" --mem 512M \
		--cpus "$cpus" --append "console=ttyS0 panic=-1" "$@"
	status=$?
	! good_boot "$log" $status "$cpus" || ok=1
	result "$name" $ok \
		"(status $status, $((SECONDS - start)) s, $(cpu_time "$log"); $log)"
	[ $ok = 1 ] || tail -n 5 "$log" "$log.err"
}

one cloud-1cpu 1 "${BOOT_TIMEOUT:-120}"
one cloud-4cpu 4 "${BOOT_TIMEOUT:-120}"
[ "${BOOT:-}" != long ] || one cloud-careful 1 900 --exec careful
finish
