#!/bin/bash
# linux.sh - boots Debian's cloud kernel to a shell in the initramfs, runs
# commands there and powers off.  BOOT=long: also more sizes, the careful
# executor, Debian's full kernel and the i386 one with PAE.
# BOOT_TIMEOUT is the limit of one boot in seconds (120).
set -u
cd "$(dirname "$0")/../.." || exit 2
out=build/boot
mkdir -p $out
passed=0
failed=0

result() { # NAME OK NOTE
	if [ "$2" = 1 ]; then
		passed=$((passed + 1))
		echo "PASS $1 $3"
	else
		failed=$((failed + 1))
		echo "FAIL $1 $3"
	fi
}

# boot NAME MEM CPUS [OPTION...]
boot() {
	local name=$1 mem=$2 cpus=$3 log=$out/$1.log start=$SECONDS rc ok=1

	shift 3
	timeout -k 5 "${BOOT_TIMEOUT:-120}" build/ring3 run --accel ring3 \
		--kernel "$kernel" --initrd "$initrd" --mem "$mem" \
		--cpus "$cpus" --append "console=ttyS0 panic=-1" "$@" \
		</dev/null >"$log" 2>"$log.err"
	rc=$?
	# The init script counts, computes and says how many CPUs it sees.
	grep -aq "^ring3-boot: ok cpus=$cpus" "$log" || ok=0
	[ $rc = 0 ] || ok=0
	grep -aqE 'Kernel panic|BUG:|Oops|rcu_.*stall' "$log" && ok=0
	result "$name" $ok "(status $rc, $((SECONDS - start)) s; $log)"
	[ $ok = 1 ] || tail -5 "$log"
}

make -s || exit 1
kernel=$(scripts/fetch-kernel.sh) || exit 1
cat >$out/init.sh <<'END'
cpus=$(grep -c ^processor /proc/cpuinfo)
sum=0
i=0
while [ $i -lt 1000 ]; do i=$((i + 1)); sum=$((sum + i)); done
[ $sum = 500500 ] && echo "ring3-boot: ok cpus=$cpus"
poweroff -f
END
initrd=$(scripts/mkinitramfs.sh $out/init.sh $out/initrd) || exit 1

boot cloud-512m-1cpu 512M 1
boot cloud-512m-4cpu 512M 4
if [ "${BOOT:-}" = long ]; then
	boot cloud-128m-1cpu 128M 1
	boot cloud-128m-4cpu 128M 4
	boot cloud-8g-1cpu 8G 1
	boot cloud-8g-4cpu 8G 4
	BOOT_TIMEOUT=900 boot cloud-careful 512M 1 --exec careful
	if kernel=$(scripts/fetch-kernel.sh amd64); then
		boot amd64-512m-1cpu 512M 1
		boot amd64-512m-4cpu 512M 4
	else
		result amd64 0 "no kernel"
	fi
	if kernel=$(scripts/fetch-kernel.sh 686-pae) &&
		initrd=$(scripts/mkinitramfs.sh -a i386 $out/init.sh \
			$out/initrd-i386); then
		boot 686-pae-512m-1cpu 512M 1
		boot 686-pae-512m-4cpu 512M 4
	else
		result 686-pae 0 "no kernel"
	fi
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
