#!/bin/bash
# stress.sh - Debian's stress-ng in a guest of CPUS (4) vCPUs: the stressors cpu, vm,
# futex, fork and switch together for STRESS_TIME seconds (600), each checking
# its results.  It fails if one of them does, or if the kernel finds anything
# wrong.  A host that is busy otherwise may starve vCPUs: what the kernel's
# watchdogs say about time alone does not count.
set -u
. "$(dirname "$0")/boot.sh"
time=${STRESS_TIME:-600}
cpus=${CPUS:-4}
command -v stress-ng >/dev/null || {
	echo "stress.sh: no stress-ng; scripts/deps.sh stress installs it" >&2
	exit 1
}
kernel=$(scripts/fetch-kernel.sh) || exit 1
cat >$out/stress.init <<END
cd /tmp
stress-ng --verify --timeout ${time}s --metrics-brief --temp-path /tmp \
	--cpu $cpus --vm 2 --vm-bytes 96M --futex 2 --fork 2 --switch 2
echo "ring3-stress: status \$? cpus=\$(grep -c ^processor /proc/cpuinfo)"
poweroff -f
END
initrd=$(scripts/mkinitramfs.sh $out/stress.init $out/stress.cpio.gz \
	"$(command -v stress-ng)") || exit 1

log=$out/stress.log
boot "$log" $((time * 2 + 600)) --kernel "$kernel" --initrd "$initrd" --mem 1G \
	--cpus "$cpus" --append "console=ttyS0 panic=-1"
status=$?
ok=0
# The watchdogs' lines begin with "BUG: soft lockup", "rcu: INFO".
if [ $status = 0 ] && grep -aq "^ring3-stress: status 0 cpus=$cpus" "$log" &&
	! grep -aE '^stress-ng: (fail|error)' "$log" &&
	! grep -aE 'Kernel panic|BUG: [^s]|Oops|WARNING:|segfault' "$log"; then
	ok=1
fi
result stress $ok "($time s on $cpus vCPUs, $(cpu_time "$log"); $log)"
if [ $ok = 1 ]; then
	grep -aE '^stress-ng: (metrc|info).*  *[0-9.]+ +[0-9.]+ +[0-9.]+' "$log"
else
	echo "status $status"
	tail -n 5 "$log" "$log.err"
fi
finish
