#!/bin/bash
# matrix.sh - boots Debian's kernels with 128 MiB, 512 MiB and 8 GiB, with 1 and 4
# vCPUs, runs commands in them and powers off.  BOOT_TIMEOUT is the limit of one
# boot in seconds (120); arguments choose kernels (cloud-amd64 amd64 686-pae 686).
set -u
. "$(dirname "$0")/boot.sh"
dir=$out/matrix
rm -rf $dir
mkdir -p $dir

# row KERNEL-NAME MEM CPUS
row() {
	local log=$dir/$1-$2-$3cpu.log start ms status verdict=FAIL

	start=$(now_ms)
	boot "$log" "${BOOT_TIMEOUT:-120}" --kernel "$kernel" --initrd "$initrd" \
		--mem "$2" --cpus "$3" --append "console=ttyS0 panic=-1"
	status=$?
	ms=$(($(now_ms) - start))
	if good_boot "$log" $status "$3"; then
		verdict=PASS
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
	printf '%-12s %5s %5s %6s %4d.%d  %s  %s, %s\n' "$1" "$2" "$3" $status \
		$((ms / 1000)) $((ms % 1000 / 100)) $verdict \
		"$(sed -n 's/^ring3-boot:.*mem=\([0-9]* kB\).*/MemTotal \1/p' "$log")" "$(cpu_time "$log")"
	[ $verdict = PASS ] || tail -n 5 "$log" "$log.err"
}

[ $# -gt 0 ] || set -- cloud-amd64 amd64 686-pae 686
printf '%-12s %5s %5s %6s %6s\n' kernel mem vcpus status s
for name; do
	arch=amd64
	sizes="128M 512M 8G"
	case $name in 686*) arch=i386 sizes=512M ;; esac
	kernel=$(scripts/fetch-kernel.sh "$name") || exit 1
	initrd=$(self_check_initrd "matrix-$arch" -a $arch) || exit 1
	for mem in $sizes; do
		row "$name" "$mem" 1
		row "$name" "$mem" 4
	done
done
finish
